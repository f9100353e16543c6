"""What the tests of the memory share: rows made from tuples, a cut, and a plain oracle."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import pyarrow as pa

from twin.memory.manifest import ManifestRow
from twin.memory.settings import MINUTE_US, SECOND_US
from twin.memory.store import Memory
from twin.samples import COVERAGE, SAMPLES, Origin, sample_batch
from twin.status import GOOD
from twin.tags import Kind

T0: Final = 1_790_000_040_000_000 // (24 * 60 * MINUTE_US) * (24 * 60 * MINUTE_US)
"""A midnight in September 2026 [us since 1970]."""
S: Final = SECOND_US
M: Final = MINUTE_US
H: Final = 60 * MINUTE_US
D: Final = 24 * H
KINDS: Final = {1: Kind.GAUGE, 2: Kind.COUNTER, 3: Kind.STATE, 4: Kind.EVENT}
NO_COVERAGE: Final = COVERAGE.empty_table()


@dataclass(frozen=True, slots=True, kw_only=True)
class ACut:
    """A cut as a shard gives it."""

    manifest: ManifestRow
    now_us: int
    tail: pa.Table = field(default_factory=SAMPLES.empty_table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One sample."""

    tag: int
    at_us: int
    value: float
    status: int = GOOD
    seen_us: int | None = None
    origin: int = Origin.MEASURED


def table(rows: Iterable[Row]) -> pa.Table:
    """Samples of rows, in the order given."""
    rows = list(rows)
    if not rows:
        return SAMPLES.empty_table()
    batch = sample_batch(
        tag=[r.tag for r in rows],
        at_us=[r.at_us for r in rows],
        value=[r.value for r in rows],
        seen_us=[r.at_us if r.seen_us is None else r.seen_us for r in rows],
        status=[r.status for r in rows],
        origin=[r.origin for r in rows],
    )
    return pa.Table.from_batches([batch])


def series(tag: int, start_us: int, step_us: int, values: Sequence[float]) -> pa.Table:
    """One tag, one value each step."""
    return table(Row(tag=tag, at_us=start_us + i * step_us, value=v) for i, v in enumerate(values))


def frame(found: pa.Table) -> pl.DataFrame:
    """A table whose NaNs compare equal."""
    return pl.DataFrame(found)


def seal_all(memory: Memory, rows: Sequence[Row], now_us: int) -> ManifestRow:
    """Seal rows as the next offset."""
    return memory.seal(table(rows), NO_COVERAGE, KINDS, memory.manifest.offset + 1, now_us)


def cut_of(memory: Memory, now_us: int, tail: Iterable[Row] = ()) -> ACut:
    """Cut of a memory with a tail."""
    return ACut(manifest=memory.manifest, now_us=now_us, tail=table(tail))
