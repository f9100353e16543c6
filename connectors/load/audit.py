"""What a receiver got, against what the load server's nodes held: missing, doubled, wrong.

The source time of a row says which tick it belongs to, its tag which node; so the value it must
have is known. Tag ids are node numbers plus one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.coverage import CoverageRow
from connectors.load.template import GOOD_OVERFLOW
from connectors.load.values import (
    Ints,
    Kind,
    Mix,
    Ticks,
    booleans,
    doubles,
    floats,
    ints,
    kinds_of,
    text_of,
)
from twin.coverage import EndpointCoverage
from twin.samples import column_us

_GROWTH: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the values of a run.

    Parameters
    ----------
    values
        Rows received.
    missing
        Values between the first and the last tick of each node that never came.
    doubled
        Rows that came more than once.
    wrong
        Rows whose value is not what their tag's node held at their time.
    told
        Of the missing ones, those that lie in a gap or beside a count of lost values.
    """

    values: int
    missing: int
    doubled: int
    wrong: int
    told: int


class Audit:
    """Checks every row.

    Parameters
    ----------
    nodes, mix, ticks
        What the load server was started with.
    """

    def __init__(self, nodes: int, mix: Mix, ticks: Ticks) -> None:
        self.ticks = ticks
        self._kinds = kinds_of(np.arange(nodes, dtype=np.int64), mix)
        self._first: int | None = None
        self._seen = np.zeros((nodes, _GROWTH), np.uint8)
        self.values = self.wrong = self.doubled = 0

    def take(self, batch: pa.RecordBatch) -> None:
        """Check the rows of a sample batch."""
        node = batch.column("tag").to_numpy().astype(np.int64) - 1
        at_us = column_us(batch, "at").astype(np.int64)
        tick, rest = np.divmod(at_us - self.ticks.zero_us, self.ticks.period_us)
        self.values += len(node)
        known = (node >= 0) & (node < len(self._kinds)) & (rest == 0) & (tick >= 0)
        status = batch.column("status").to_numpy()
        known &= (status == 0) | (status == GOOD_OVERFLOW)
        good = np.zeros(len(node), np.bool_)
        chosen = np.flatnonzero(known)
        good[chosen] = self._as_expected(batch.take(pa.array(chosen)), node[chosen], tick[chosen])
        self.wrong += int(np.count_nonzero(~good))
        self._count(node[good], tick[good])

    def _as_expected(self, batch: pa.RecordBatch, node: Ints, tick: Ints) -> npt.NDArray[np.bool_]:
        value = batch.column("value").to_numpy(zero_copy_only=False)
        good = np.zeros(len(node), np.bool_)
        kinds = self._kinds[node]
        for kind, of in _NUMBERS.items():
            chosen = kinds == kind
            good[chosen] = value[chosen] == of(node[chosen], tick[chosen])
        chosen = kinds == Kind.STRING
        if chosen.any():
            texts = batch.column("text").filter(pa.array(chosen)).to_pylist()
            pairs = zip(node[chosen].tolist(), tick[chosen].tolist(), strict=True)
            good[chosen] = [text == text_of(*pair) for text, pair in zip(texts, pairs, strict=True)]
        return good

    def _count(self, node: Ints, tick: Ints) -> None:
        if not len(node):
            return
        if self._first is None:
            self._first = int(tick.min())
        column = tick - self._reach(self._first, int(tick.min()))
        self._room(int(column.max()) + 1)
        flat = node * self._seen.shape[1] + column
        places, times = np.unique(flat, return_counts=True)
        seen = self._seen.reshape(-1)
        self.doubled += int(np.sum(times - 1)) + int(np.count_nonzero(seen[places]))
        seen[places] = 1

    def _reach(self, first: int, oldest: int) -> int:
        """Make room for an older tick; returns the tick of the first column.

        History may bring ticks from long before the first one that was heard: an endpoint is
        filled from when it was asked for, however late its first connection came.
        """
        if oldest < first:
            more = min(first, max(first - oldest, _GROWTH))
            older = np.zeros((len(self._seen), more), np.uint8)
            self._seen = np.concatenate((older, self._seen), axis=1)
            self._first = first = first - more
        return first

    def _room(self, columns: int) -> None:
        have = self._seen.shape[1]
        if columns > have:
            wider = np.zeros((len(self._seen), max(columns, 2 * have)), np.uint8)
            wider[:, :have] = self._seen
            self._seen = wider

    def missing(self, upto: int | None = None) -> Ints:
        """Ticks that are missing, one for each value, up to a tick or the newest one received.

        A node counts from its first tick on; one that never came is missing from the first of all.
        """
        seen = self._seen.astype(np.bool_)
        filled = np.flatnonzero(seen.any(axis=0))
        if self._first is None or not len(filled):
            return np.zeros(0, np.int64)
        stop = int(filled[-1]) + 1 if upto is None else upto - self._first + 1
        begins = np.where(seen.any(axis=1), seen.argmax(axis=1), filled[0])
        columns = np.arange(stop)
        lost = ~seen[:, :stop] & (columns >= begins[:, None])
        return np.asarray(np.nonzero(lost)[1] + self._first, np.int64)

    @property
    def newest(self) -> int:
        """Newest tick received; -1 before the first."""
        filled = np.flatnonzero(self._seen.any(axis=0))
        return int(filled[-1]) + (self._first or 0) if len(filled) else -1

    def verdict(self, coverage: Iterable[CoverageRow] = (), upto: int | None = None) -> Verdict:
        """All of it, the missing ones judged by the coverage rows that came with them."""
        missing = self.missing(upto)
        at_us = self.ticks.zero_us + missing * self.ticks.period_us
        return Verdict(
            values=self.values,
            missing=len(missing),
            doubled=self.doubled,
            wrong=self.wrong,
            told=int(np.count_nonzero(_told(at_us, list(coverage)))),
        )


_NUMBERS: Final = {
    Kind.DOUBLE: doubles,
    Kind.FLOAT: floats,
    Kind.INT32: ints,
    Kind.BOOLEAN: booleans,
}


def _told(at_us: Ints, rows: Sequence[CoverageRow]) -> npt.NDArray[np.bool_]:
    """Which times lie in a gap that was not taken back, or in a row that counts lost values."""
    told = np.zeros(len(at_us), np.bool_)
    folded = EndpointCoverage()
    for row in rows:
        folded.add(row.from_us, row.to_us, alive=row.alive, cause=row.cause, lost=row.lost or 0)
        if row.lost:
            told |= (at_us >= row.from_us) & (at_us <= row.to_us)
    for start_us, end_us in folded.gaps:
        told |= (at_us >= start_us) & (at_us <= end_us)
    return told
