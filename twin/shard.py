"""A shard: the one owner of a park's (or a part of a park's) truth."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy.typing as npt
import pyarrow as pa

from twin.disk import Disk
from twin.effects import Effect, ShardLogic
from twin.failpoint import Failpoint, never
from twin.state import ShardState
from twin.tags import Binding, Kind, TagChange, TagDictionary

__all__ = [
    "Applied",
    "Cut",
    "Delivered",
    "Effect",
    "ManifestRow",
    "Memory",
    "Shard",
    "ShardLogic",
    "ShardSettings",
    "Snapshot",
]


class ManifestRow(Protocol):
    """What the memory holds, by journal offset and table version."""

    @property
    def offset(self) -> int:
        """Last journal offset that is sealed."""

    @property
    def raw_version(self) -> int:
        """Delta version of the raw table."""

    @property
    def minute_version(self) -> int:
        """Delta version of the 1-minute table."""

    @property
    def hour_version(self) -> int:
        """Delta version of the 1-hour table."""

    @property
    def sealed_us(self) -> int:
        """Wall time of the sealing [us]."""


class Snapshot(Protocol):
    """A state kept by the memory."""

    @property
    def at_us(self) -> int:
        """Park time of the snapshot [us]."""

    @property
    def offset(self) -> int:
        """Last journal offset folded into it."""

    @property
    def data(self) -> bytes:
        """What `Shard.snapshot` returned."""


class Memory(Protocol):
    """What a shard asks of the memory; the memory knows no journal."""

    @property
    def manifest(self) -> ManifestRow:
        """The newest manifest row."""

    def seal(
        self,
        rows: pa.Table,
        coverage: pa.Table,
        kinds: Mapping[int, Kind],
        upto_offset: int,
        now_us: int,
    ) -> ManifestRow:
        """Store everything up to a journal offset; sealing the same offset again is harmless."""

    def put_snapshot(self, at_us: int, offset: int, data: bytes) -> None:
        """Keep a state durably."""

    def snapshot_before(self, at_us: int) -> Snapshot | None:
        """The newest state kept at or before a park time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSettings:
    """Limits of a shard."""

    raw_retention_s: float = 35 * 86_400.0
    future_s: float = 300.0
    min_free_fraction: float = 0.05
    segment_bytes: int = 64 * 2**20
    snapshot_every_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Answer to one delivery.

    Parameters
    ----------
    session
        The session the answer is about.
    acked_seq
        Everything up to this number is journalled and on disk; None when `expect` is set.
    expect
        The batch was not taken: the source drains its window and rewinds to this number.
    effects
        What happened on the way.
    """

    session: int
    acked_seq: int | None = None
    expect: int | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What an edit of the park did."""

    changes: tuple[TagChange, ...]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One consistent view for a reader: sealed files of `manifest`, and the rows after it.

    Parameters
    ----------
    tail
        SAMPLES rows journalled after the manifest's offset, in journal order.
    coverage
        COVERAGE rows journalled after it.
    manifest
        What is sealed; None for a shard without memory.
    now_us
        Park time of the cut [us].
    """

    tail: pa.Table
    coverage: pa.Table
    manifest: ManifestRow | None
    now_us: int


class Shard:
    """Journal, delivery, state and tag dictionary of one shard, as one deterministic machine.

    No method may be called by two threads at once. `state` and `dictionary` are to be read only.
    """

    state: ShardState
    dictionary: TagDictionary
    park_text: str
    park_hash: str
    now_us: int
    replayed: tuple[Effect, ...] = field()

    @classmethod
    def open(
        cls,
        folder: Path,
        park: str,
        *,
        now_us: int,
        disk: Disk,
        memory: Memory | None = None,
        logic: Sequence[ShardLogic] = (),
        settings: ShardSettings | None = None,
        failpoint: Failpoint = never,
    ) -> "Shard":
        """Lock the folder, restore the newest snapshot and replay the journal after it."""
        raise NotImplementedError

    def deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch, now_us: int
    ) -> Delivered:
        """Take one numbered sample batch."""
        raise NotImplementedError

    def cover(
        self, source: str, session: int, seq: int, rows: pa.RecordBatch, now_us: int
    ) -> Delivered:
        """Take one numbered batch of coverage rows; it shares the numbers of `deliver`."""
        raise NotImplementedError

    def command(self, data: Mapping[str, object], now_us: int) -> tuple[Effect, ...]:
        """Journal a command (acknowledgement, shelving, note) and let the logic act on it."""
        raise NotImplementedError

    def tick(self, now_us: int) -> tuple[Effect, ...]:
        """Let park time pass and the logic look at the state."""
        raise NotImplementedError

    def apply_park(self, bindings: Iterable[Binding], park_text: str, now_us: int) -> Applied:
        """Make exactly these bindings the open tags, and remember the park file's text."""
        raise NotImplementedError

    def latest(self, tags: npt.ArrayLike | None = None) -> pa.RecordBatch:
        """Newest row of each known tag; see `ShardState.latest`."""
        raise NotImplementedError

    def cut(self) -> Cut:
        """Tail and manifest in one answer."""
        raise NotImplementedError

    def seal(self, now_us: int) -> ManifestRow:
        """Hand the tail to the memory, keep a snapshot when one is due, and trim the journal."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The whole shard (state, dictionary, delivery, park, logic) at the last offset."""
        raise NotImplementedError

    def digest(self) -> str:
        """Sha256 of everything a replay must reproduce."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the journal and free the folder."""
        raise NotImplementedError
