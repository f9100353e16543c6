"""A year of a park, in our memory and in DuckDB: the same rows, each in its own best order."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from cluster.bench.load import SECOND_US, START_US
from twin.memory.manifest import ManifestRow
from twin.memory.store import Memory
from twin.samples import COVERAGE, SAMPLES, sample_batch
from twin.tags import Kind

MINUTE_US: Final = 60 * SECOND_US
DAY_US: Final = 86_400 * SECOND_US
YEAR_TAG: Final = 1
"""A tag with one value a minute over the whole span."""
RANGE_TAG: Final = 101
"""A tag with a value every 10 s over the last days."""
STEP_US: Final = 10 * SECOND_US


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCut:
    """A cut of a memory whose journal is empty."""

    manifest: ManifestRow
    now_us: int
    tail: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSize:
    """How much there is.

    Parameters
    ----------
    days, year_tags
        Days of one value a minute, and how many tags have them (from `YEAR_TAG` on).
    range_days, range_tags
        Last days with a value every 10 s, and how many tags have them (from `RANGE_TAG` on).
    wide_tags
        Tags (from `RANGE_TAG` on) that have the last day every 10 s.
    """

    days: int = 365
    year_tags: int = 4
    range_days: int = 30
    range_tags: int = 20
    wide_tags: int = 500

    @property
    def end_us(self) -> int:
        """End of the last day [us]."""
        return START_US + self.days * DAY_US

    def wide(self) -> list[int]:
        """Tags that have the last day."""
        return list(range(RANGE_TAG, RANGE_TAG + self.wide_tags))

    def parts(self) -> Iterator[pa.RecordBatch]:
        """Everything in the order of time: by 30 days while only minutes come, then by day."""
        first = self.days - self.range_days
        for day in range(0, first, 30):
            yield self._rows(day, min(day + 30, first), 0)
        for day in range(first, self.days):
            last = day == self.days - 1
            yield self._rows(day, day + 1, self.wide_tags if last else self.range_tags)

    def _rows(self, first: int, end: int, quick_tags: int) -> pa.RecordBatch:
        since, until = START_US + first * DAY_US, START_US + end * DAY_US
        slow = _grid(YEAR_TAG, self.year_tags, since, until, MINUTE_US)
        fast = _grid(RANGE_TAG, quick_tags, since, until, STEP_US)
        tag, at_us = (np.concatenate(pair) for pair in zip(slow, fast, strict=True))
        order = np.argsort(at_us, kind="stable")
        tag, at_us = tag[order], at_us[order]
        chance = np.random.default_rng((7, first))
        level = 40.0 + 30.0 * np.sin(tag + at_us / DAY_US * 2 * np.pi)
        value = np.round((level + chance.normal(0.0, 1.0, len(tag))) * 8.0) / 8.0
        return sample_batch(tag=tag, at_us=at_us, seen_us=at_us + 50_000, value=value)


class Past:
    """Both stores, filled with the same rows and put into order.

    Parameters
    ----------
    folder
        Where they are made.
    size
        How much.
    """

    def __init__(self, folder: Path, size: PastSize) -> None:
        self.size = size
        self.memory = Memory.open(folder / "memory")
        self.duck = duckdb.connect(str(folder / "past.db"))
        self.duck.execute("SET TimeZone = 'UTC'")
        self._fill()
        self.cut = PastCut(
            manifest=self.memory.manifest, now_us=size.end_us, tail=SAMPLES.empty_table()
        )

    def close(self) -> None:
        """Close the peer."""
        self.duck.close()

    def ask_duck(self, question: str, *values: object) -> pa.Table:
        """Answer of the peer, as Arrow like ours."""
        return self.duck.sql(question, params=list(values)).to_arrow_table()

    def files(self, table: str) -> list[str]:
        """Paths of the sealed files of one table, as the cut names them."""
        found = self.memory.files(self.cut.manifest, table)
        return [str(self.memory.folder / table / file.name) for file in found]

    def minute_rows(self) -> int:
        """Minute rows of `YEAR_TAG`, counted by the peer."""
        found = self.ask_duck(
            "SELECT count(*) FROM read_parquet(?) WHERE tag = ?", self.files("minute"), YEAR_TAG
        )
        return int(found.column(0)[0].as_py())

    def _fill(self) -> None:
        """Seal each part and compact; DuckDB gets its rows sorted by tag and time, as compacted."""
        self.duck.register("part", SAMPLES.empty_table())
        self.duck.execute("CREATE TABLE came AS SELECT * FROM part")
        kinds: dict[int, Kind] = {}
        for offset, part in enumerate(self.size.parts(), start=1):
            table = pa.Table.from_batches([part])
            kinds |= dict.fromkeys(np.unique(part.column("tag").to_numpy()).tolist(), Kind.GAUGE)
            now_us = int(part.column("at").cast(pa.int64())[-1].as_py())
            self.memory.seal(table, COVERAGE.empty_table(), kinds, offset, now_us)
            self.duck.register("part", table)
            self.duck.execute("INSERT INTO came SELECT * FROM part")
        self.memory.compact_due(self.size.end_us + 3 * DAY_US)
        self.duck.execute('CREATE TABLE samples AS SELECT * FROM came ORDER BY tag, "at"')
        self.duck.execute("DROP TABLE came")
        self.duck.execute("CHECKPOINT")


def _grid(
    first_tag: int, tags: int, since_us: int, until_us: int, step_us: int
) -> tuple[np.ndarray, np.ndarray]:
    at_us = np.arange(since_us, until_us, step_us, dtype=np.int64)
    tag = np.arange(first_tag, first_tag + tags, dtype=np.int64)
    return np.repeat(tag, len(at_us)), np.tile(at_us, tags)
