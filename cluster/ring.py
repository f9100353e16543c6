"""The recent figures of a park, in memory: fine for a quarter of an hour, coarser for an hour."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.samples import TIME

_FINE_ROWS: Final = 900
_COARSE_ROWS: Final = 720
_COARSE_EVERY: Final = 5
_MINUTE_US: Final = 60_000_000


class Ring:
    """The last rows of a table of numbers, oldest overwritten.

    Parameters
    ----------
    rows, columns
        Its size.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._at = np.zeros(rows, np.int64)
        self._values = np.full((rows, columns), np.nan, np.float32)
        self._count = 0

    def add(self, at_us: int, values: npt.NDArray[np.float64]) -> None:
        """Put one row in."""
        row = self._count % len(self._at)
        self._at[row], self._values[row] = at_us, values
        self._count += 1

    def since(
        self, from_us: int, columns: Sequence[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Rows at or after a time, oldest first, of some columns."""
        held = min(self._count, len(self._at))
        order = (self._count - held + np.arange(held)) % len(self._at)
        order = order[self._at[order] >= from_us]
        return self._at[order], self._values[np.ix_(order, np.asarray(columns, np.intp))]


class Recent:
    """Recent figures of one park: every row for 15 minutes, every fifth for an hour of rows.

    Parameters
    ----------
    ids
        Ids of the figures, in the order of the values.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._column = {name: number for number, name in enumerate(ids)}
        self._fine = Ring(_FINE_ROWS, len(ids))
        self._coarse = Ring(_COARSE_ROWS, len(ids))
        self._count = 0

    def add(self, at_us: int, values: npt.NDArray[np.float64]) -> None:
        """Put one row in."""
        self._fine.add(at_us, values)
        if self._count % _COARSE_EVERY == 0:
            self._coarse.add(at_us, values)
        self._count += 1

    def known(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(self._column)

    def table(self, ids: Sequence[str], now_us: int, minutes: float) -> pa.Table:
        """Rows of the last minutes: ``at``, then one column per id.

        The ids must be known.
        """
        columns = [self._column[name] for name in ids]
        from_us = now_us - round(minutes * _MINUTE_US)
        fine_at, fine = self._fine.since(from_us, columns)
        before = fine_at[0] if len(fine_at) else now_us + 1
        coarse_at, coarse = self._coarse.since(from_us, columns)
        older = coarse_at < before
        at = np.concatenate([coarse_at[older], fine_at])
        values = np.concatenate([coarse[older], fine]).astype(np.float64)
        arrays = [pa.array(at).cast(TIME)]
        arrays += [pa.array(values[:, k], from_pandas=True) for k in range(len(columns))]
        return pa.table(arrays, names=["at", *ids])
