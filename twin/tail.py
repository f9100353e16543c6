"""The live tail: rows that are journalled and not sealed yet, by journal offset."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from twin.repeats import Keys
from twin.samples import COVERAGE, SAMPLES, column_us


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Sample rows of one record; `first_us` to `last_us` spans their source times."""

    offset: int
    rows: pa.RecordBatch
    first_us: int
    last_us: int


class Tail:
    """Rows after the last seal, in journal order."""

    def __init__(self) -> None:
        self._samples: list[_Chunk] = []
        self._coverage: list[tuple[int, pa.RecordBatch]] = []
        self.rows = 0

    def add_samples(self, offset: int, rows: pa.RecordBatch) -> None:
        """Append the sample rows of a record."""
        if rows.num_rows:
            at_us = column_us(rows, "at")
            self._samples.append(_Chunk(offset, rows, int(at_us.min()), int(at_us.max())))
            self.rows += rows.num_rows

    def add_coverage(self, offset: int, rows: pa.RecordBatch) -> None:
        """Append the coverage rows of a record."""
        if rows.num_rows:
            self._coverage.append((offset, rows))

    def samples(self, after: int = 0) -> pa.Table:
        """Sample rows of the records after an offset (schema SAMPLES)."""
        return pa.Table.from_batches([c.rows for c in self._samples if c.offset > after], SAMPLES)

    def coverage(self, after: int = 0) -> pa.Table:
        """Coverage rows of the records after an offset (schema COVERAGE)."""
        return pa.Table.from_batches(
            [b for offset, b in self._coverage if offset > after], COVERAGE
        )

    def drop(self, upto: int) -> None:
        """Forget the records up to an offset: they are sealed."""
        self._samples = [chunk for chunk in self._samples if chunk.offset > upto]
        self._coverage = [kept for kept in self._coverage if kept[0] > upto]
        self.rows = sum(chunk.rows.num_rows for chunk in self._samples)

    def rows_with(self, keys: Keys) -> list[pa.RecordBatch]:
        """Sample rows that have one of some (tag, at), batch by batch."""
        found = []
        for chunk in self._samples:
            if chunk.last_us < keys.first_us or chunk.first_us > keys.last_us:
                continue
            tag = np.array(chunk.rows.column("tag").to_numpy(), np.int64)
            hit = keys.found_in(tag, column_us(chunk.rows, "at").copy())
            if hit.any():
                found.append(chunk.rows.filter(pa.array(hit)))
        return found
