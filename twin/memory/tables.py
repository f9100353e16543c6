"""The four tables of a memory: their columns, their order and how each column is encoded.

Delta has no unsigned integers: a StatusCode is int64 there (as int32, the first Bad value could
not be stored) and the origin int16.

Rollup rows are sparse and closed: a row says what happened between the first and the last own
sample *inside* its minute or hour. What a value does between two rows (it holds) is not stored but
computed when read, so a late sample changes only the bucket it falls into, and a tag that is
silent for a month costs nothing. Of rows with equal (tag, at) the one with the highest ``rev``
holds; compaction drops the others.

===============  ==========================================================================
rollup column    meaning
===============  ==========================================================================
tag, at          tag and start of the minute or hour
rev              journal offset of the seal that wrote the row
kind             0 gauge, 1 counter, 2 state, 3 event
n, good_n        samples, and good ones
first_at         time of the first sample
last_at          time of the last sample
good_s           seconds between them held by a good sample [s]
integral         integral of the good holds between them [unit s]
min, max         over good samples
first, last      first and last good sample
holds_good       whether the last sample is good, so that `last` holds on
increase         counter: sum of rises between good samples (`twin.counting`)
resets           counter: how often it was reset
codes, code_s    state: codes and the seconds each was held, between first_at and last_at
===============  ==========================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from twin.memory.settings import HOUR_US, MINUTE_US
from twin.samples import TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """One Delta table of the memory.

    Parameters
    ----------
    name
        Folder of the table.
    schema
        Columns as stored.
    begin, end
        Columns whose smallest and largest values bound a file in time.
    order
        Columns a file is sorted by.
    dictionary, delta
        Columns written as dictionary, and as differences.
    bucket_us
        Length of a rollup row [us]; 0 where rows are not rollups.
    """

    name: str
    schema: pa.Schema
    begin: str
    end: str
    order: tuple[str, ...]
    dictionary: tuple[str, ...]
    delta: tuple[str, ...]
    bucket_us: int = 0

    @property
    def has_tag(self) -> bool:
        """Whether rows belong to tags."""
        return "tag" in self.schema.names


def _field(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


_RAW_SCHEMA: Final = pa.schema(
    [
        _field("tag", pa.int32()),
        _field("at", TIME),
        pa.field("server_at", TIME),
        _field("seen_at", TIME),
        pa.field("value", pa.float64()),
        pa.field("exact", pa.int64()),
        pa.field("text", pa.string()),
        _field("status", pa.int64()),
        _field("origin", pa.int16()),
    ]
)
_ROLLUP_SCHEMA: Final = pa.schema(
    [
        _field("tag", pa.int32()),
        _field("at", TIME),
        _field("rev", pa.int64()),
        _field("kind", pa.int16()),
        _field("n", pa.int64()),
        _field("good_n", pa.int64()),
        _field("first_at", TIME),
        _field("last_at", TIME),
        _field("good_s", pa.float64()),
        _field("integral", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("first", pa.float64()),
        pa.field("last", pa.float64()),
        _field("holds_good", pa.bool_()),
        _field("increase", pa.float64()),
        _field("resets", pa.int64()),
        pa.field("codes", pa.list_(pa.int64())),
        pa.field("code_s", pa.list_(pa.float64())),
    ]
)
_COVERAGE_SCHEMA: Final = pa.schema(
    [
        _field("endpoint", pa.string()),
        _field("from", TIME),
        _field("to", TIME),
        _field("alive", pa.bool_()),
        _field("cause", pa.string()),
        pa.field("lost", pa.int64()),
    ]
)
_ROLLUP_DICTIONARY: Final = (
    *("tag", "rev", "kind", "n", "good_n", "good_s", "integral", "min", "max", "first", "last"),
    *("increase", "resets", "codes", "code_s"),
)

RAW: Final = TableSpec(
    name="raw",
    schema=_RAW_SCHEMA,
    begin="at",
    end="at",
    order=("tag", "at"),
    dictionary=("tag", "status", "value", "origin", "text"),
    delta=("at", "server_at", "seen_at", "exact"),
)
MINUTE: Final = TableSpec(
    name="minute",
    schema=_ROLLUP_SCHEMA,
    begin="at",
    end="at",
    order=("tag", "at"),
    dictionary=_ROLLUP_DICTIONARY,
    delta=("at", "first_at", "last_at"),
    bucket_us=MINUTE_US,
)
HOUR: Final = TableSpec(
    name="hour",
    schema=_ROLLUP_SCHEMA,
    begin="at",
    end="at",
    order=("tag", "at"),
    dictionary=_ROLLUP_DICTIONARY,
    delta=("at", "first_at", "last_at"),
    bucket_us=HOUR_US,
)
COVERAGE_TABLE: Final = TableSpec(
    name="coverage",
    schema=_COVERAGE_SCHEMA,
    begin="from",
    end="to",
    order=("endpoint", "from", "to"),
    dictionary=("endpoint", "cause"),
    delta=("from", "to"),
)
TABLES: Final[Mapping[str, TableSpec]] = {
    spec.name: spec for spec in (RAW, MINUTE, HOUR, COVERAGE_TABLE)
}
