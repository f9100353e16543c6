"""A shard: the one owner of a park's (or a part of a park's) truth."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import (
    ClockHeld,
    Corrupt,
    DiskLow,
    InputError,
    NewerFormat,
    Refused,
    Unavailable,
)
from twin.delivery import AlreadyHave, BatchId, Delivered, Expect, Inbox
from twin.disk import Buffer, Disk
from twin.effects import Effect, ShardLogic
from twin.failpoint import Failpoint, never
from twin.fold import Table
from twin.intake import (
    IN_ORDER,
    coverage_effects,
    coverage_in_bounds,
    in_bounds,
    repeated,
    sample_effects,
)
from twin.journal import Journal, Record
from twin.memory.manifest import ManifestRow
from twin.memory.snapshots import Snapshot
from twin.records import (
    Delivery,
    RecordKind,
    pack_batch,
    pack_plain,
    unpack_batch,
    unpack_plain,
)
from twin.samples import checked
from twin.snapshot import pack_snapshot, unpack_snapshot
from twin.state import ShardState, checked_coverage
from twin.tags import Binding, Kind, TagChange, TagDictionary, TagRow
from twin.tail import Tail
from twin.term import Term

__all__ = [
    "Applied",
    "Cut",
    "Effect",
    "ManifestRow",
    "Sealing",
    "Shard",
    "ShardLogic",
    "ShardMemory",
    "ShardSettings",
    "Snapshot",
]


FOREVER_US: Final = 253_402_300_799_000_000
"""The end of the year 9999 [us]: asks the memory for its newest snapshot."""


NOTHING_SEALED: Final = ManifestRow(
    offset=0, raw_version=0, minute_version=0, hour_version=0, sealed_us=0
)
"""The manifest of a shard without memory."""


class ShardMemory(Protocol):
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
    """Limits of a shard.

    Parameters
    ----------
    raw_retention_s, future_s
        Source times are believed so far back, and so far ahead of park now [s].
    min_free_fraction
        Free part of the disk below which nothing is acknowledged.
    segment_bytes
        Length of a journal segment.
    snapshot_every_s
        Park time between two snapshots [s].
    jump_s, jump_ticks
        Park time that is further ahead at once than `jump_s` [s] is held until so many ticks in a
        row say it: a glitch of the clock passes without a trace, a machine that slept or was off
        waits that long.
    """

    raw_retention_s: float = 35 * 86_400.0
    future_s: float = 300.0
    min_free_fraction: float = 0.05
    segment_bytes: int = 64 * 2**20
    snapshot_every_s: float = 3600.0
    jump_s: float = 2 * 86_400.0
    jump_ticks: int = 30


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
        What is sealed.
    now_us
        Park time of the cut [us].
    away
        Endpoints that are not heard now, and up to when their newest coverage row says so [us].
    """

    tail: pa.Table
    coverage: pa.Table
    manifest: ManifestRow
    now_us: int
    away: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What one seal hands to the memory: all rows up to a journal offset that are not sealed."""

    rows: pa.Table
    coverage: pa.Table
    kinds: Mapping[int, Kind]
    upto_offset: int


class Shard:
    """Journal, delivery, state and tag dictionary of one shard, as one deterministic machine.

    Every change is a journal record first and is then taken from that record, live exactly as in a
    replay. No clock, no chance, no log: equal journals give equal shards. No method may be called
    by two threads at once. Attributes are to be read only.

    Attributes
    ----------
    state, dictionary
        What is true now; which number a tag has.
    park_text, park_hash
        The park file as applied last, and its sha256; empty before.
    now_us
        The highest park time heard [us].
    replayed
        Effects of the records that `open` replayed; the shell passes on the ids it has not yet.
    """

    def __init__(
        self,
        park: str,
        folder: Path,
        disk: Disk,
        memory: ShardMemory | None,
        logic: Sequence[ShardLogic],
        settings: ShardSettings,
        failpoint: Failpoint,
    ) -> None:
        self.park, self.folder = park, folder
        self.state, self.dictionary = ShardState(), TagDictionary()
        self.park_text = self.park_hash = ""
        self.now_us = 0
        self.replayed: tuple[Effect, ...] = ()
        self._disk, self._memory, self._logic = disk, memory, tuple(logic)
        self._settings, self._failpoint = settings, failpoint
        self._inbox = Inbox()
        self._tail = Tail()
        self._journal: Journal | None = None
        self._term: Term | None = None
        self._kept_offset = self._kept_before = 0
        self._kept_us = 0
        self._ahead_us = self._ahead_ticks = 0
        self._refusal: InputError | None = None
        self._event_tags = np.empty(0, np.int64)

    @classmethod
    def open(
        cls,
        folder: Path,
        park: str,
        *,
        now_us: int,
        disk: Disk,
        memory: ShardMemory | None = None,
        logic: Sequence[ShardLogic] = (),
        settings: ShardSettings | None = None,
        failpoint: Failpoint = never,
        restored: bool = False,
        checkpoint: Snapshot | None = None,
    ) -> "Shard":
        """Lock the folder, restore the newest snapshot and replay the journal after it.

        Parameters
        ----------
        folder
            The shard's own folder; created when missing.
        park
            Id of the park, part of the ids of effects.
        now_us
            Wall time [us], told to a process that finds the folder taken.
        disk, memory, logic, settings, failpoint
            What the shard works with; without memory nothing is sealed and nothing trimmed.
        restored
            The memory was restored from a backup that holds no journal: an empty journal then
            begins after what the memory holds.
        checkpoint
            A state of this shard that spares replaying the journal up to it; the memory's newest
            snapshot is taken when that is newer, or when the journal does not reach the checkpoint.

        Raises
        ------
        ShardOwned
            When another process has the folder.
        Corrupt
            When acknowledged bytes are damaged or missing.
        NewerFormat
            When a newer parktwin wrote them.
        """
        shard = cls(park, folder, disk, memory, logic, settings or ShardSettings(), failpoint)
        shard._term = Term.take(folder, disk, pid=os.getpid(), started_us=now_us)
        try:
            shard._restore(None if restored else checkpoint, restored=restored)
        except BaseException:
            shard.close()
            raise
        return shard

    @property
    def offset(self) -> int:
        """Offset of the newest journal record; everything up to it is in the state."""
        return self._open_journal().last_offset

    @property
    def delivered(self) -> Mapping[str, tuple[BatchId, ...]]:
        """Last journalled batch of each remembered session, by source."""
        return self._inbox.last

    @property
    def tail_rows(self) -> int:
        """Sample rows not sealed yet."""
        return self._tail.rows

    def deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch, now_us: int
    ) -> Delivered:
        """Take one numbered sample batch; acknowledged means journalled and on disk.

        Rows of tags nobody gave are dropped and reported; repeated rows are dropped; source times
        out of bounds are replaced by the time received and reported.

        Raises
        ------
        InputError
            When the batch is no SAMPLES batch, or its number is nonsense.
        Refused
            When the session is over.
        DiskLow
            When less than 5 % of the disk is free.
        Unavailable
            When the disk fails, or park time is held (`ClockHeld`, see `ShardSettings`). After any
            error but Refused, the source may send the batch again.
        """
        answer = self._answer(source, session, seq)
        if answer is not None:
            return answer
        self._need_time(now_us)
        delivery = Delivery(source=source, session=session, seq=seq, now_us=now_us)
        ready, rows, delivery = self._prepared(_checked(batch), delivery)
        self._failpoint("deliver.before_journal")
        effects = self._commit([(RecordKind.SAMPLES, pack_batch(ready, delivery))], rows)
        return Delivered(session=session, acked_seq=seq, effects=effects)

    def cover(
        self, source: str, session: int, seq: int, rows: pa.RecordBatch, now_us: int
    ) -> Delivered:
        """Take one numbered batch of coverage rows; it shares the numbers of `deliver`.

        Times out of bounds are moved into them and reported: no gap reaches into times to come.

        Raises
        ------
        InputError, Refused, DiskLow, Unavailable
            As `deliver`.
        """
        answer = self._answer(source, session, seq)
        if answer is not None:
            return answer
        checked_coverage(rows)
        self._need_time(now_us)
        delivery = Delivery(source=source, session=session, seq=seq, now_us=now_us)
        effects = self._commit([(RecordKind.COVERAGE, pack_batch(rows, delivery))])
        return Delivered(session=session, acked_seq=seq, effects=effects)

    def command(self, data: Mapping[str, object], now_us: int) -> tuple[Effect, ...]:
        """Journal a command (acknowledgement, shelving, note) and let the logic act on it.

        Raises
        ------
        InputError
            When the logic cannot obey; the attempt stays in the journal.
        """
        try:
            record = pack_plain({"now": now_us, "data": data})
        except (TypeError, ValueError) as fault:
            raise InputError(f"command {data!r} is no plain data", "send JSON", "data") from fault
        effects = self._commit([(RecordKind.COMMAND, record)])
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise refusal
        return effects

    def tick(self, now_us: int) -> tuple[Effect, ...]:
        """Let park time pass and the logic look at the state; works below the disk mark too.

        Time that is far ahead is held, and told, until enough ticks say it (`ShardSettings`); park
        time stands still meanwhile.
        """
        return self._commit([(RecordKind.TICK, pack_plain({"now": now_us}))])

    def apply_park(self, bindings: Iterable[Binding], park_text: str, now_us: int) -> Applied:
        """Make exactly these bindings the open tags, and remember the park file's text.

        Applying what is applied already writes nothing.

        Raises
        ------
        InputError
            When the text cannot be read; nothing is written then.
        DiskLow, Unavailable
            When nothing can be written.
        """
        for logic in self._logic:
            logic.check(park_text)
        now_us = self._believed(now_us)
        rows, changes = self.dictionary.plan(bindings, now_us)
        digest = hashlib.sha256(park_text.encode()).hexdigest()
        records: list[tuple[int, Buffer]] = []
        if rows:
            tags = {"now": now_us, "rows": [row.as_dict() for row in rows]}
            records.append((RecordKind.TAGS, pack_plain(tags)))
        if digest != self.park_hash:
            park = {"now": now_us, "text": park_text, "hash": digest}
            records.append((RecordKind.PARK, pack_plain(park)))
        if records:
            self._need_room()
            self._commit(records)
        return Applied(changes=changes, offset=self.offset)

    def latest(self, tags: npt.ArrayLike | None = None) -> pa.RecordBatch:
        """Newest row of each known tag; see `ShardState.latest`."""
        return self.state.latest(tags)

    def cut(self) -> Cut:
        """Tail and manifest in one answer, so that a reader sees every row exactly once."""
        manifest = self._sealed()
        return Cut(
            tail=self._tail.samples(after=manifest.offset),
            coverage=self._tail.coverage(after=manifest.offset),
            manifest=manifest,
            now_us=self.now_us,
            away={
                name: heard.until_us
                for name, heard in self.state.endpoints.items()
                if heard.alive is False
            },
        )

    def seal(self, now_us: int) -> ManifestRow:
        """Hand the tail to the memory, keep a snapshot when one is due, and trim the journal.

        Where a seal takes too long to stand still for, the shell does the same in three steps:
        `sealing`, ``memory.seal`` in another thread, `sealed`.

        Parameters
        ----------
        now_us
            Wall time [us].

        Raises
        ------
        Refused
            When the shard was opened without memory.
        """
        memory, due = self._need_memory(), self.sealing()
        memory.seal(due.rows, due.coverage, due.kinds, due.upto_offset, now_us)
        self._failpoint("seal.stored")
        return self.sealed()

    def sealing(self) -> Sealing:
        """Everything that is journalled and not sealed now."""
        after = self._sealed().offset
        return Sealing(
            rows=self._tail.samples(after),
            coverage=self._tail.coverage(after),
            kinds={row.tag: row.binding.kind for row in self.dictionary.rows},
            upto_offset=self.offset,
        )

    def sealed(self) -> ManifestRow:
        """Forget what the memory has sealed; keep a snapshot when one is due; trim the journal.

        The journal is kept from the snapshot before the newest one on, so that a damaged snapshot
        costs nothing but a longer replay.
        """
        memory = self._need_memory()
        manifest = memory.manifest
        self._tail.drop(manifest.offset)
        every_us = self._settings.snapshot_every_s * 1e6
        if self._kept_offset == 0 or abs(self.now_us - self._kept_us) >= every_us:
            memory.put_snapshot(self.now_us, self.offset, self.snapshot())
            self._kept_before = self._kept_offset
            self._kept_offset, self._kept_us = self.offset, self.now_us
            self._failpoint("seal.kept")
        self._open_journal().trim(min(manifest.offset, self._kept_before))
        self._failpoint("seal.trimmed")
        return manifest

    def snapshot(self) -> bytes:
        """The whole shard (state, dictionary, delivery, park, logic) at the last offset."""
        return pack_snapshot(self._plain(), self.state.snapshot())

    def digest(self) -> str:
        """Sha256 of everything a replay must reproduce."""
        return hashlib.sha256(pack_plain(self._plain()) + self.state.digest().encode()).hexdigest()

    def close(self) -> None:
        """Close the journal and free the folder."""
        if self._journal is not None:
            self._journal.close()
        if self._term is not None:
            self._term.end()

    def _answer(self, source: str, session: int, seq: int) -> Delivered | None:
        """The answer to a batch that is not taken; None for the next one, if there is room."""
        match self._inbox.check(source, session, seq):
            case AlreadyHave(seq=have):
                return Delivered(session=session, acked_seq=have)
            case Expect(seq=wanted):
                return Delivered(session=session, expect=wanted)
        self._need_room()
        return None

    def _need_time(self, now_us: int) -> None:
        """Take nothing at a time that is not believed: its source times could not be judged."""
        if self._is_far(now_us):
            raise ClockHeld((now_us - self.now_us) / 1e6)

    def _is_far(self, now_us: int) -> bool:
        return self.now_us > 0 and now_us - self.now_us > self._settings.jump_s * 1e6

    def _believed(self, now_us: int) -> int:
        """A park time, or the newest one believed where it is too far ahead of it."""
        return self.now_us if self._is_far(now_us) else now_us

    def _pass(self, record: str, now_us: int) -> tuple[int, tuple[Effect, ...]]:
        """The park time of a tick, and what is to be told of a jump of the clock."""
        if not self._is_far(now_us):
            self._ahead_us = self._ahead_ticks = 0
            return now_us, ()
        steady = 0 <= now_us - self._ahead_us <= self._settings.jump_s * 1e6
        self._ahead_ticks = self._ahead_ticks + 1 if self._ahead_ticks and steady else 1
        self._ahead_us = now_us
        believed = self._ahead_ticks >= self._settings.jump_ticks
        effects: tuple[Effect, ...] = ()
        if believed or self._ahead_ticks == 1:
            kind = "clock.jumped" if believed else "clock.held"
            data = {"from_us": self.now_us, "to_us": now_us}
            effects = (Effect(id=f"{record}/{kind}", at_us=self.now_us, kind=kind, data=data),)
        if believed:
            self._ahead_us = self._ahead_ticks = 0
        return now_us if believed else self.now_us, effects

    def _sealed(self) -> ManifestRow:
        return NOTHING_SEALED if self._memory is None else self._memory.manifest

    def _need_memory(self) -> ShardMemory:
        if self._memory is None:
            raise Refused(f"shard {self.park} has no memory to seal into", "open it with one")
        return self._memory

    def _need_room(self) -> None:
        free = self._disk.free_fraction(self.folder)
        if free < self._settings.min_free_fraction:
            raise DiskLow(str(self.folder), free)

    def _prepared(
        self, batch: pa.RecordBatch, delivery: Delivery
    ) -> tuple[pa.RecordBatch, Table, Delivery]:
        """Apply the clock rule, then drop rows of unknown tags and repeated rows.

        Returns
        -------
        tuple
            The batch to journal, the same as `ShardState.rows_of` reads it, how it came.
        """
        batch, original_us = in_bounds(batch, *self._bounds(delivery.now_us))
        restamped = original_us != IN_ORDER
        rows = self.state.rows_of(batch, restamped)
        keep = ~repeated(rows, self.state.judge(rows), batch, self._tail)
        unknown = rows["slot"] < 0
        keep &= ~unknown
        tags, counts = np.unique(batch.column("tag").to_numpy()[unknown], return_counts=True)
        if not keep.all():
            batch, rows = batch.filter(pa.array(keep)), rows[keep]
            restamped, original_us = restamped[keep], original_us[keep]
        delivery = replace(
            delivery,
            restamped_rows=tuple(np.flatnonzero(restamped).tolist()),
            restamped_at_us=tuple(original_us[restamped].tolist()),
            unknown={str(t): c for t, c in zip(tags.tolist(), counts.tolist(), strict=True)},
        )
        return batch, rows, delivery

    def _commit(
        self, records: Sequence[tuple[int, Buffer]], rows: Table | None = None
    ) -> tuple[Effect, ...]:
        """Journal records as one group, then take each of them; see `_take` for `rows`."""
        journal = self._open_journal()
        last = journal.append(records)
        self._failpoint("shard.journalled")
        self._journal = None  # until every record is taken: a half-taken group must not be served
        effects: list[Effect] = []
        for offset, (kind, payload) in enumerate(records, last - len(records) + 1):
            effects += self._take(Record(offset, kind, payload), rows)
        self._journal = journal
        self._failpoint("shard.folded")
        return tuple(effects)

    def _take(self, record: Record, rows: Table | None = None) -> Sequence[Effect]:
        """Let one journal record act: the only way anything in a shard changes.

        `rows` spares a sample record a second reading of its columns.
        """
        match record.kind:
            case RecordKind.SAMPLES:
                return self._take_samples(record, rows)
            case RecordKind.COVERAGE:
                return self._take_coverage(record)
        data = unpack_plain(record.payload)
        told: tuple[Effect, ...] = ()
        if record.kind == RecordKind.TICK:
            now_us, told = self._pass(f"{self.park}/{record.offset}", data["now"])
        else:
            now_us = self._believed(data["now"])
        self.now_us = max(self.now_us, now_us)
        match record.kind:
            case RecordKind.TAGS:
                tags = [TagRow.from_dict(row) for row in data["rows"]]
                self.dictionary.add_rows(tags)
                self.state.add_rows(tags)
                self._teach()
            case RecordKind.PARK:
                self.park_text, self.park_hash = data["text"], data["hash"]
                self._teach()
            case RecordKind.TICK:
                ticks = (logic.tick(self.state, now_us) for logic in self._logic)
                return [*told, *(effect for effects in ticks for effect in effects)]
            case RecordKind.COMMAND:
                return self._obey(data["data"], now_us)
            case _:
                raise NewerFormat(f"journal record {record.offset}", record.kind, max(RecordKind))
        return ()

    def _take_samples(self, record: Record, rows: Table | None) -> Sequence[Effect]:
        batch, delivery = unpack_batch(record.payload)
        restamped = np.zeros(batch.num_rows, np.bool_)
        restamped[list(delivery.restamped_rows)] = True
        self._delivered(delivery)
        self.state.fold(batch, restamped, rows)
        self._tail.add_samples(record.offset, batch)
        told = sample_effects(f"{self.park}/{record.offset}", batch, delivery)
        return [*told, *self._happened(batch)]

    def _happened(self, batch: pa.RecordBatch) -> Iterator[Effect]:
        """Show the logic the rows of event tags among these; they all have a text."""
        if not len(self._event_tags) or batch.column("text").null_count == batch.num_rows:
            return
        hit = np.isin(batch.column("tag").to_numpy(), self._event_tags)
        if hit.any():
            rows = batch.filter(pa.array(hit))
            for logic in self._logic:
                yield from logic.happened(rows, self.now_us)

    def _take_coverage(self, record: Record) -> Sequence[Effect]:
        told, delivery = unpack_batch(record.payload)
        rows, changed = self._bounded(told, delivery)
        self._delivered(delivery)
        self.state.cover(rows)
        self._tail.add_coverage(record.offset, rows)
        return coverage_effects(f"{self.park}/{record.offset}", told, changed, delivery)

    def _bounded(
        self, rows: pa.RecordBatch, delivery: Delivery
    ) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        """Coverage rows of a record by the clock rule; the record keeps them as they came."""
        return coverage_in_bounds(rows, delivery.now_us, *self._bounds(delivery.now_us))

    def _bounds(self, now_us: int) -> tuple[int, int]:
        """Earliest and latest source time that is believed at a park time [us]."""
        settings = self._settings
        earliest = now_us - int(settings.raw_retention_s * 1e6)
        return earliest, now_us + int(settings.future_s * 1e6)

    def _delivered(self, delivery: Delivery) -> None:
        self._inbox.accepted(delivery.source, delivery.session, delivery.seq)
        self.now_us = max(self.now_us, self._believed(delivery.now_us))

    def _obey(self, data: Mapping[str, object], now_us: int) -> Sequence[Effect]:
        """Let every logic see a command; remember the first that cannot obey."""
        effects: list[Effect] = []
        self._refusal = None
        for logic in self._logic:
            try:
                effects += logic.command(data, now_us)
            except InputError as refusal:
                self._refusal = self._refusal or refusal
        return effects

    def _restore(self, checkpoint: Snapshot | None, *, restored: bool) -> None:
        """Load the newest state, then take every record after it; rebuild the unsealed tail."""
        kept = None if self._memory is None else self._memory.snapshot_before(FOREVER_US)
        if kept is not None:
            self._refuse_other(kept)
            self._kept_offset, self._kept_us = kept.offset, kept.at_us
        sealed = self._sealed().offset
        needed = max(sealed, self._kept_offset)
        self._journal = journal = Journal.open(
            self.folder / "journal",
            self._disk,
            segment_bytes=self._settings.segment_bytes,
            failpoint=self._failpoint,
            base=needed if restored else 0,
        )
        if journal.last_offset < needed:
            raise Corrupt(
                f"the journal in {self.folder} ends at {journal.last_offset}, "
                f"the memory at {needed}",
                "restore the last backup",
            )
        begins = journal.first_offset - 1 if restored else 0
        newest = kept
        if checkpoint and self._kept_offset < checkpoint.offset <= journal.last_offset:
            newest = checkpoint
        loaded = 0
        if newest is not None:
            self._load(newest)
            loaded = newest.offset
        effects: list[Effect] = []
        for record in journal.read(max(min(sealed, loaded), begins)):
            if record.offset > loaded:
                effects += self._take(record)
            else:
                self._recall(record)
        self._tail.drop(sealed)
        self.replayed, self._refusal = tuple(effects), None

    def _recall(self, record: Record) -> None:
        """Put the rows of a record that the snapshot holds, but no sealed file, into the tail."""
        if record.kind == RecordKind.SAMPLES:
            self._tail.add_samples(record.offset, unpack_batch(record.payload)[0])
        elif record.kind == RecordKind.COVERAGE:
            rows, _ = self._bounded(*unpack_batch(record.payload))
            self._tail.add_coverage(record.offset, rows)

    def _refuse_other(self, kept: Snapshot) -> None:
        park = unpack_snapshot(kept.data)[0]["park"]
        if park != self.park:
            raise Refused(
                f"the memory holds park {park!r}, not {self.park!r}",
                "open the folder of that park",
            )

    def _load(self, kept: Snapshot) -> None:
        plain, state = unpack_snapshot(kept.data)
        self.state = ShardState.restore(state)
        self.dictionary = TagDictionary(TagRow.from_dict(row) for row in plain["tags"])
        self._inbox = Inbox(plain["delivered"])
        self.park_text, self.park_hash = plain["park_text"], plain["park_hash"]
        self.now_us = plain["now"]
        self._ahead_us, self._ahead_ticks = plain.get("ahead", (0, 0))
        for logic in self._logic:
            logic.restore(plain["logic"].get(logic.name, {}))
        self._teach()

    def _teach(self) -> None:
        """Show the logic what tags there are and what the park wants."""
        self._event_tags = np.array(
            [t for t, row in self.dictionary.open.items() if row.binding.kind is Kind.EVENT],
            np.int64,
        )
        for logic in self._logic:
            logic.learn(self.dictionary, self.park_text)

    def _plain(self) -> dict[str, object]:
        """Everything but the state's columns, as plain data."""
        return {
            "park": self.park,
            "now": self.now_us,
            **({"ahead": [self._ahead_us, self._ahead_ticks]} if self._ahead_ticks else {}),
            "tags": [row.as_dict() for row in self.dictionary.rows],
            "delivered": {name: list(map(list, ids)) for name, ids in self._inbox.last.items()},
            "park_text": self.park_text,
            "park_hash": self.park_hash,
            "logic": {logic.name: logic.snapshot() for logic in self._logic},
        }

    def _open_journal(self) -> Journal:
        if self._journal is None:
            raise Unavailable(f"shard {self.park} is closed or stopped half-way", "open it again")
        return self._journal


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return checked(batch)
    except pa.ArrowInvalid as fault:
        raise InputError(
            f"not a valid batch ({fault})", "send valid Arrow data", "batch"
        ) from fault
