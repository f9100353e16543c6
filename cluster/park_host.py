"""The host of one park: its shard, memory, figures and alarms in one process."""

import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster import logs, one_root
from cluster.backup_label import write_label
from cluster.checkpoints import Checkpoints
from cluster.layout import DataFolder
from cluster.park_clock import ParkTime
from cluster.replay import record
from cluster.wanted import read_wanted
from connectors.clock import wall_us
from connectors.coverage import KIND_COVERAGE, KIND_KEY
from models.errors import ClockHeld, DiskLow, ShardOwned, Unavailable
from twin.alarms import Alarm
from twin.delivery import Delivered
from twin.disk import OsDisk
from twin.effects import Effect
from twin.figure_tags import SOURCE, FigureWriter, figure_bindings, is_figure, last_session
from twin.figures import FigureSpec, Now
from twin.memory.backup import backup
from twin.memory.settings import DAY_US
from twin.memory.store import Memory
from twin.park import Park
from twin.park_logic import ParkLogic, year_of
from twin.parkfile.load import read_park
from twin.shard import Cut, Shard
from twin.tags import Binding, TagChange, TagRow
from twin.whatif import snapshot

logger = logging.getLogger(__name__)

_LOCK_WAIT_S: Final = 20.0
_LOCK_LOOK_S: Final = 0.1
_MICRO: Final = 1_000_000
_FIGURES_S: Final = 10.0
"""Wall seconds between two rows of a figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """What a host holds.

    Parameters
    ----------
    park, file
        Id of the park, and the name of its file for messages. Its text and its tags are read from
        the data folder (`cluster.wanted`), so that a restart finds them as they are then.
    data
        Data folder.
    clock
        State file of the virtual plant; empty for wall time.
    seal_rows, seal_s
        Seal when so many rows wait, or after so many seconds.
    log_level, log_style
        See `cluster.logs`.
    """

    park: str
    file: str
    data: str
    clock: str = ""
    seal_rows: int = 1_000_000
    seal_s: float = 3600.0
    log_level: str = "INFO"
    log_style: str = "plain"

    @property
    def folder(self) -> DataFolder:
        """The data folder with its paths."""
        return DataFolder(root=Path(self.data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Born:
    """Who answers: process, code, and the tags it opened with."""

    pid: int
    roots: Mapping[str, str]
    rows: tuple[TagRow, ...]
    changes: tuple[TagChange, ...]
    specs: tuple[FigureSpec, ...]
    replayed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """What a tick tells: figures and alarms now, and what happened.

    Parameters
    ----------
    pid
        Process of the twin.
    now
        Figures.
    speed
        Park seconds per wall second.
    alarms
        Unresolved alarms by priority, and those not acknowledged.
    age_s
        Wall seconds since the twin last heard from any endpoint.
    effects, counts
        What happened since the last tick; how much there is.
    seal_fault
        Why the last seal failed; empty when it did not.
    """

    pid: int
    now: Now
    speed: float
    alarms: Mapping[str, int]
    age_s: float
    effects: tuple[Effect, ...]
    counts: "Counts"
    seal_fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much a shard holds."""

    rows: int
    tail_rows: int
    offset: int
    sealed_offset: int
    free_fraction: float
    seal_faults: int = 0


class ParkHost:
    """Hold one park. Methods are called one at a time; sealing runs beside them."""

    def __init__(self, settings: HostSettings) -> None:
        logs.configure(
            settings.folder.logs, f"twin-{settings.park}", settings.log_level, settings.log_style
        )
        self._settings = settings
        self._park, bindings = wanted_park(settings)
        self._clock = ParkTime(Path(settings.clock) if settings.clock else None)
        self._memory = Memory.open(settings.folder.memory(settings.park))
        self._logic = ParkLogic(self._park, year_of(self._clock()))
        self._checkpoints = Checkpoints(settings.folder.shard(settings.park))
        self._shard = open_when_free(settings, self._memory, self._logic, self._checkpoints)
        if self._logic.unread is not None:
            logger.warning(
                "the park file in the journal cannot be read any more, the wanted one is used",
                extra={"park": settings.park, "cause": str(self._logic.unread)},
            )
        self._changes = self._apply(bindings)
        self._figure_seq, self._figures_due_s = 0, 0.0
        self._figure_session = last_session(self._shard.delivered) + 1
        settings.folder.restored(settings.park).unlink(missing_ok=True)
        self._rows = 0
        self._sealer = Sealer(self._shard, self._memory, settings)

    def born(self) -> Born:
        """Say who answers."""
        return Born(
            pid=os.getpid(),
            roots=one_root.roots(),
            rows=self._shard.dictionary.rows,
            changes=self._changes,
            specs=self._logic.specs,
            replayed=len(self._shard.replayed),
        )

    def deliver(self, source: str, session: int, seq: int, batch: pa.RecordBatch) -> Delivered:
        """Take one numbered batch of samples or coverage."""
        take = self._shard.cover if is_coverage(batch) else self._shard.deliver
        delivered = take(source, session, seq, batch, self._clock())
        self._rows += batch.num_rows
        return delivered

    def tick(self) -> Pulse:
        """Let park time pass; what is true now and what happened."""
        now_us = self._clock()
        self._checkpoints.look(self._shard)
        effects = self._shard.tick(now_us)
        self._remember_figures(now_us)
        self._sealer.look()
        return Pulse(
            pid=os.getpid(),
            now=self._figures(),
            speed=self._clock.speed,
            alarms=self._logic.desk.counts(),
            age_s=self._silence_s(),
            effects=effects,
            counts=self.counts(),
            seal_fault=self._sealer.fault,
        )

    def command(self, data: Mapping[str, object]) -> tuple[Effect, ...]:
        """Journal a command and let it act."""
        return self._shard.command(data, self._clock())

    def alarms(self, *, history: bool) -> tuple[Alarm, ...]:
        """Unresolved alarms; with `history` the ended ones too."""
        return self._logic.desk.alarms(history=history)

    def apply(self) -> tuple[TagChange, ...]:
        """Bring the tags to what is wanted now."""
        self._park, bindings = wanted_park(self._settings)
        return self._apply(bindings)

    def specs(self) -> tuple[FigureSpec, ...]:
        """The figures in the order of a pulse."""
        return self._logic.specs

    def plan(self, bindings: Sequence[Binding]) -> tuple[TagChange, ...]:
        """What `apply` would do to the tags; changes nothing."""
        changes = self._shard.dictionary.plan(bindings, self._clock())[1]
        return tuple(change for change in changes if not is_figure(change.path))

    def rows(self) -> tuple[TagRow, ...]:
        """Every row of the tag dictionary."""
        return self._shard.dictionary.rows

    def latest(self) -> pa.RecordBatch:
        """Newest row of every known tag."""
        return self._shard.latest()

    def cut(self, tags: Sequence[int] | None) -> Cut:
        """One consistent view; the tail of some tags only, so that little travels."""
        cut = self._shard.cut()
        if tags is None:
            return cut
        wanted = pa.array(np.asarray(tags, np.int32))
        return replace(cut, tail=cut.tail.filter(pc.is_in(cut.tail.column("tag"), wanted)))

    def counts(self) -> Counts:
        """How much there is."""
        return Counts(
            rows=self._rows,
            tail_rows=self._shard.tail_rows,
            offset=self._shard.offset,
            sealed_offset=self._memory.manifest.offset,
            free_fraction=self._memory.free_fraction(),
            seal_faults=self._sealer.faults,
        )

    def whatif_snapshot(self) -> bytes:
        """The park as it is now, as a what-if starts from it."""
        shard = self._shard
        taken = snapshot.take(
            self._park, shard.dictionary, shard.state, self._clock(), shard.offset
        )
        return taken.to_json()

    def digest(self) -> tuple[int, str]:
        """Journal offset and the digest of everything a replay must reproduce."""
        return self._shard.offset, self._shard.digest()

    def backup(self, to: str) -> dict[str, object]:
        """Seal, then copy the memory into a new folder."""
        self.seal()
        # The newest state goes along: a restored twin then knows what was true, not an hour ago.
        self._memory.put_snapshot(self._shard.now_us, self._shard.offset, self._shard.snapshot())
        made = backup(self._memory, Path(to))
        write_label(Path(to), self._settings.park)
        return {"to": to, "files": made.files, "bytes": made.size}

    def seal(self) -> None:
        """Seal now and wait for it.

        Raises
        ------
        Unavailable
            When it failed: a backup would lack what is not sealed.
        """
        self._sealer.finish()
        self._sealer.run_once()
        if self._sealer.fault:
            raise Unavailable(f"sealing failed ({self._sealer.fault})", "read the twin's log")

    def close(self) -> None:
        """End a seal under way and give the folder up."""
        self._sealer.finish()
        record(self._settings.folder.shard(self._settings.park).parent, *self.digest())
        self._checkpoints.keep(self._shard)
        self._shard.close()

    def _remember_figures(self, now_us: int) -> None:
        """Journal the figures of now every few seconds, through the same door as samples."""
        now = self._logic.now
        if now is None or time.monotonic() < self._figures_due_s:
            return
        self._figures_due_s = time.monotonic() + _FIGURES_S
        batch = self._writer.batch(now, wall_us())
        if batch is None:
            return
        try:
            self._shard.deliver(SOURCE, self._figure_session, self._figure_seq + 1, batch, now_us)
        except (DiskLow, ClockHeld):
            return  # measured samples are refused too: the next figures come when they do
        self._figure_seq += 1

    def _figures(self) -> Now:
        now = self._logic.now
        if now is None:
            raise Unavailable("no figures yet", "wait for the first tick")
        return now

    def _silence_s(self) -> float:
        """Wall seconds since anything was heard."""
        state = self._shard.state
        known = state.seen_us[state.known]
        return (wall_us() - int(known.max())) / _MICRO if len(known) else math.inf

    def _keep_text(self) -> None:
        """Keep the park file beside the journal, so that a replay needs nothing else."""
        folder = self._settings.folder.shard(self._settings.park).parent
        draft = folder / "park.yaml.new"
        draft.write_text(self._park.text, encoding="utf-8")
        draft.replace(folder / "park.yaml")

    def _apply(self, bindings: Sequence[Binding]) -> tuple[TagChange, ...]:
        self._keep_text()
        text, now_us = self._park.text, self._clock()
        wanted = (*bindings, *figure_bindings(self._logic.specs))
        changes = self._shard.apply_park(wanted, text, now_us).changes
        again = (*bindings, *figure_bindings(self._logic.specs))
        if again != wanted:  # the park file has other figures than the one before it
            changes += self._shard.apply_park(again, text, now_us).changes
        self._writer = FigureWriter(self._logic.specs, self._shard.dictionary)
        return tuple(change for change in changes if not is_figure(change.path))


class Sealer:
    """Seals beside the shard: the tail is taken and forgotten between calls, files in a thread.

    Parameters
    ----------
    shard, memory
        What is sealed, and where to.
    settings
        When.
    """

    def __init__(self, shard: Shard, memory: Memory, settings: HostSettings) -> None:
        self._shard, self._memory, self._settings = shard, memory, settings
        self._due_s = time.monotonic() + settings.seal_s
        self._thread: threading.Thread | None = None
        self._stored = False
        self.fault, self.faults = "", 0
        """Why the last seal failed, empty when it did not; and how many have failed."""
        self._upkeep_day = wall_us() // DAY_US

    def look(self) -> None:
        """Begin or end a seal; called between other calls of the shard."""
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._end()
        # After a fault only when it is due: a full tail would be sealed in vain each second.
        full = self._shard.tail_rows >= self._settings.seal_rows and not self.fault
        if full or time.monotonic() >= self._due_s:
            self._begin()

    def run_once(self) -> None:
        """Seal now and wait for it."""
        self._begin()
        self.finish()

    def finish(self) -> None:
        """Wait for a seal under way."""
        if self._thread is not None:
            self._thread.join()
            self._end()

    def _begin(self) -> None:
        due, park_us = self._shard.sealing(), self._shard.now_us

        def store() -> None:
            try:
                self._memory.seal(due.rows, due.coverage, due.kinds, due.upto_offset, wall_us())
                self._stored = True
                self._upkeep(park_us)
                self.fault = ""
            except BaseException as error:
                # Whatever it is, also a panic of a library (which is no Exception): the thread
                # ends here, and the tail grows until somebody hears of it.
                self.faults += 1
                self.fault = f"{type(error).__name__}: {error}"
                logger.exception("sealing failed, it is tried again")

        self._stored = False
        self._thread = threading.Thread(target=store, name="seal", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._thread = None
        wait_s = self._settings.seal_s if self._stored else min(60.0, self._settings.seal_s)
        self._due_s = time.monotonic() + wait_s
        if self._stored:
            self._shard.sealed()

    def _upkeep(self, park_us: int) -> None:
        """Compact, forget and vacuum once a day of wall time."""
        today = wall_us() // DAY_US
        if today == self._upkeep_day:
            return
        self._upkeep_day = today
        self._memory.compact_due(wall_us())
        self._memory.retain(park_us, wall_us())
        self._memory.vacuum(wall_us())


def is_coverage(batch: pa.RecordBatch) -> bool:
    """Whether a batch holds coverage rows."""
    return (batch.schema.metadata or {}).get(KIND_KEY) == KIND_COVERAGE


def wanted_park(settings: HostSettings) -> tuple[Park, tuple[Binding, ...]]:
    """The park as it is to be now, and every tag it wants with what was registered at run time."""
    text, bindings = read_wanted(settings.folder, settings.park)
    return read_park(text, settings.file), bindings


def open_when_free(
    settings: HostSettings, memory: Memory, logic: ParkLogic, checkpoints: Checkpoints
) -> Shard:
    """Open the shard; a dead owner's lock is waited for.

    Raises
    ------
    ShardOwned
        When a living process keeps it.
    """
    until_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            return Shard.open(
                settings.folder.shard(settings.park),
                settings.park,
                now_us=wall_us(),
                disk=OsDisk(),
                memory=memory,
                logic=(logic,),
                restored=settings.folder.restored(settings.park).exists(),
                checkpoint=checkpoints.newest(),
            )
        except ShardOwned:
            if time.monotonic() >= until_s:
                raise
            time.sleep(_LOCK_LOOK_S)
