"""A bounded columnar buffer between a decoder and the batches of the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.samples import SAMPLES, TIME, Origin

NO_TIME: Final = -(2**63)
"""Stands for a missing time in `Rows.server_at`."""


@dataclass(slots=True)
class Dropped:
    """Rows that found no place: how many, and the time they span [us]."""

    count: int = 0
    from_us: int = 0
    to_us: int = 0

    def add(self, count: int, at_us: int) -> None:
        """Count rows dropped at a park time."""
        if not self.count:
            self.from_us = at_us
        self.count += count
        self.to_us = at_us


@dataclass(slots=True)
class Rows:
    """Columns of plain lists: appending costs tens of nanoseconds, and one Arrow batch per drain.

    A decoder appends to the lists itself (one call per value would cost more than the value) and
    checks `room` once per message.

    Parameters
    ----------
    limit
        Rows kept at most; the rest is dropped and counted in `dropped`.
    """

    limit: int = 200_000
    tag: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    server_at: list[int] = field(default_factory=list)
    """`NO_TIME` where there is none."""
    seen_at: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    null: set[int] = field(default_factory=set)
    """Rows without a value."""
    exact: dict[int, int] = field(default_factory=dict)
    """Row number → exact integer, for the few that float64 cannot hold."""
    text: dict[int, str] = field(default_factory=dict)
    """Row number → text."""
    dropped: Dropped = field(default_factory=Dropped)

    def __len__(self) -> int:
        return len(self.tag)

    @property
    def room(self) -> int:
        """Rows that still find a place."""
        return self.limit - len(self.tag)

    def drain(self) -> pa.RecordBatch:
        """Everything as one sample batch; the buffer is empty afterwards."""
        n = len(self.tag)
        server = np.array(self.server_at, np.int64)
        columns = [
            pa.array(np.array(self.tag, np.int32)),
            pa.array(np.array(self.at, np.int64)).view(TIME),
            pa.array(server, mask=server == NO_TIME).view(TIME),
            pa.array(np.array(self.seen_at, np.int64)).view(TIME),
            pa.array(np.array(self.value, np.float64), mask=self._no_value(n)),
            sparse(self.exact, n, pa.int64()),
            sparse(self.text, n, pa.string()),
            pa.array(np.array(self.status, np.uint32)),
            pa.array(np.full(n, int(Origin.MEASURED), np.uint8)),
        ]
        batch = pa.record_batch(columns, schema=SAMPLES)
        for column in (self.tag, self.at, self.server_at, self.seen_at, self.value, self.status):
            column.clear()
        self.exact.clear()
        self.text.clear()
        self.null.clear()
        return batch

    def _no_value(self, n: int) -> npt.NDArray[np.bool_] | None:
        if not self.null:
            return None
        mask = np.zeros(n, np.bool_)
        mask[list(self.null)] = True
        return mask

    def take_dropped(self) -> Dropped:
        """What was dropped since the last call."""
        dropped, self.dropped = self.dropped, Dropped()
        return dropped


def sparse(known: Mapping[int, int] | Mapping[int, str], n: int, kind: pa.DataType) -> pa.Array:
    """A column that is null but for a few rows.

    Made over numpy: from a list, pyarrow would first import pandas, if that is installed.
    """
    if not known:
        return pa.nulls(n, kind)
    column = np.full(n, None, np.object_)
    for row, value in known.items():
        column[row] = value
    return pa.array(column, kind)
