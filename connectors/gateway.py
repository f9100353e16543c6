"""The gateway: sources on one side, numbered batches delivered in order on the other.

A plain asyncio class; a Ray actor or a process of its own hosts it. Rows and coverage of all its
endpoints go one way: collected into batches, numbered (session, seq), written to the disk buffer,
delivered through a window of calls, forgotten when acknowledged. While the receiver is away it
keeps sampling and buffers to disk; what was buffered is delivered later, in order, also by the next
process after a kill.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa
from asyncua.client.client import Client

from connectors.buffer import DiskBuffer, Sync
from connectors.clock import ParkClock, wall_us
from connectors.coverage import CoverageRow, coverage_batch, is_coverage
from connectors.latest_file import LatestFile
from connectors.opcua.browse import browse_children
from connectors.opcua.config import EndpointConfig
from connectors.opcua.redundancy import Redundant
from connectors.opcua.report import BrowsedNode, EndpointState, EndpointStatus
from connectors.opcua.security import Pki
from connectors.opcua.source import Source, SourceSettings
from models.errors import Conflict, Corrupt, NotFound, Refused, TwinError, Unavailable
from twin.delivery import BatchId, Delivered, Window
from twin.failpoint import Failpoint, never
from twin.samples import SAMPLES, column_us

_log = logging.getLogger(__name__)

Deliver = Callable[[str, int, int, pa.RecordBatch], Awaitable[Delivered]]
"""``deliver(source, session, seq, batch)``: samples, or coverage by the batch's metadata."""
NewSession = Callable[[], Awaitable[int]]
"""A session number that is higher than every one given before to this source."""

MAX_SOURCES: Final = 50
_CACHED: Final = 64
_LOADED: Final = 4
"""Under load rows wait this many times as long for others."""
_DAMAGED: Final = "stored values were damaged on the gateway's disk"

Hole = tuple[BatchId | None, BatchId | None]
"""The batches before and behind missing ones; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """How a gateway batches, buffers and delivers.

    Parameters
    ----------
    batch_rows
        Rows of a batch at most.
    idle_s, load_s
        Wait for more rows after the first one [s]: when idle, and under load.
    load_rows
        Rows waiting after `idle_s` that count as load.
    buffer_bytes, sync
        Size of the disk buffer, and when it waits for the disk.
    deliver_s
        Longest wait for an answer [s].
    retry_first_s, retry_most_s
        Wait after a failed delivery, doubling [s].
    drain_s
        Time `stop` gives the last deliveries [s]; the rest stays in the buffer.
    source
        Supervision of each endpoint.
    """

    batch_rows: int = 10_000
    idle_s: float = 0.05
    load_s: float = 0.2
    load_rows: int = 1000
    buffer_bytes: int = 2**30
    sync: Sync = "interval"
    deliver_s: float = 30.0
    retry_first_s: float = 0.2
    retry_most_s: float = 5.0
    drain_s: float = 5.0
    source: SourceSettings = field(default_factory=SourceSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one gateway hands to the next with an endpoint.

    Parameters
    ----------
    memory
        What it remembers: up to when the endpoint is covered, and who its server is.
    cause
        Why nothing was read between, for the coverage.
    """

    memory: Mapping[str, object]
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayMeasures:
    """What a gateway did since its start, and what it holds.

    Parameters
    ----------
    session
        Current session; 0 before the first was given.
    rows, batches
        Taken in since the start.
    acknowledged
        Batches acknowledged since the start.
    waiting, waiting_bytes
        Batches not acknowledged, and the size of the disk buffer.
    overflows
        How often the buffer stopped taking in, since the start.
    fault
        Why nothing is delivered or taken in; empty when all is well.
    """

    session: int = 0
    rows: int = 0
    batches: int = 0
    acknowledged: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    overflows: int = 0
    fault: str = ""


class Gateway:
    """Holds up to 50 endpoints and delivers what they send.

    Parameters
    ----------
    source
        Name of the numbered stream: gateway × shard.
    folder
        Folder of its own, for buffer and state.
    deliver
        Delivers one batch; raises when the receiver is away.
    new_session
        Asked once at each start.
    park_now
        Park clock.
    pki
        Certificates.
    settings
        Sizes and times.
    failpoint
        For tests that end the process at a named step.
    """

    def __init__(
        self,
        *,
        source: str,
        folder: Path,
        deliver: Deliver,
        new_session: NewSession,
        park_now: ParkClock = wall_us,
        pki: Pki | None = None,
        settings: GatewaySettings | None = None,
        failpoint: Failpoint = never,
    ) -> None:
        self.settings = settings or GatewaySettings()
        self.source = source
        self._source, self._folder = source, folder
        self._deliver, self._new_session = deliver, new_session
        self._park_now, self._pki = park_now, pki
        self._buffer = DiskBuffer(
            folder / "buffer",
            max_bytes=self.settings.buffer_bytes,
            sync=self.settings.sync,
            failpoint=failpoint,
        )
        self._failpoint = failpoint
        self._state = LatestFile(folder / "state.json")
        self._state_due: Callable[[], None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._window = Window()
        self._sources: dict[str, Source | Redundant] = {}
        self._disabled: dict[str, EndpointConfig] = {}
        self._retired: list[Source | Redundant] = []
        self._remembered: dict[str, dict[str, object]] = {}
        self._unstored: list[pa.RecordBatch] = []
        self._cache: dict[BatchId, pa.RecordBatch] = {}
        self._wake, self._kick = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._session = self._seq = 0
        self._rows = self._batches = self._acknowledged = 0
        self._fault = ""
        self._retry_s = self.settings.retry_first_s
        self._resume_at = 0.0
        self._overflows, self._overflowing = 0, False
        self._again = ""
        self._damaged: set[BatchId] = set()
        self._delivered_us = 0
        self._changing = asyncio.Lock()
        self._stopped = False

    # --- life ---

    async def start(self, endpoints: Iterable[EndpointConfig] = ()) -> None:
        """Take the folder, begin to sample, and deliver as soon as there is a session.

        Raises
        ------
        Refused
            When another gateway process holds the folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stopped = False
        left = self._buffer.open()
        self._remembered = read_state(self._folder)
        delivered = [was.get("delivered_us") for was in self._remembered.values()]
        self._delivered_us = max((us for us in delivered if isinstance(us, int)), default=0)
        for config in endpoints:
            await self.put(config)
        task = asyncio.create_task(self._run(left), name=f"gateway {self._source}")
        task.add_done_callback(self._ended)
        self._tasks = [task]

    async def stop(self) -> None:
        """Stop sampling, store and deliver what there is, and let the folder go."""
        async with self._changing:
            self._stopped = True
            sources = list(self._sources.values())
            # All at once: a silent endpoint takes seconds to say goodbye to. Their sessions stay,
            # for the next process to take them up.
            ends = await asyncio.gather(
                *(s.stop(stay=True) for s in sources), return_exceptions=True
            )
            for end in ends:
                if isinstance(end, Exception):
                    _log.error("an endpoint did not stop cleanly", exc_info=end)
            self._retired.extend(sources)
            self._sources.clear()
        if self._session:
            self._collect()
        until = time.monotonic() + self.settings.drain_s
        while self._tasks and len(self._window) and time.monotonic() < until:
            self._kick.set()
            await asyncio.sleep(0.02)
        for task in (*self._tasks, *self._calls):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._calls, return_exceptions=True)
        self._tasks.clear()
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        if self._state_due is not None:
            self._state_due()
            self._state_due = None
        self._buffer.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing should end the loops but `stop`; if something does, it must not go unseen."""
        if task.cancelled() or task.exception() is None:
            return
        self._fault = f"the gateway stopped: {task.exception()!r}; restart it"
        _log.error("gateway stopped", exc_info=task.exception())

    # --- endpoints ---

    async def put(self, config: EndpointConfig, taken: Taken | None = None) -> None:
        """Add an endpoint, or bring it to this configuration; others are not touched.

        Parameters
        ----------
        config
            The endpoint.
        taken
            What the gateway that read it before remembers; goes on where that one ended. It counts
            only while the endpoint is not read here.

        Raises
        ------
        Conflict
            When the gateway already holds as many endpoints as it may.
        Unavailable
            When it is being stopped.
        """
        async with self._changing:
            await self._put(config, taken)

    async def _put(self, config: EndpointConfig, taken: Taken | None) -> None:
        if self._stopped:
            raise Unavailable("the gateway is being stopped", "wait for the next one")
        running = self._sources.get(config.id)
        if running is not None and running.config == config:
            return
        if running is None and len(self._sources) >= MAX_SOURCES:
            raise Conflict(f"{MAX_SOURCES} endpoints in one gateway", "start another gateway")
        if running is not None:
            await self._retire(running, "endpoint changed")
        was_off = self._disabled.pop(config.id, None) is not None
        if taken is not None and running is None:
            self._remembered[config.id] = dict(taken.memory)
        if not config.enabled:
            self._disabled[config.id] = config
            return
        changed = running is not None
        moved = taken.cause if taken is not None and not changed else ""
        self._start(config, moved or _absence(changed=changed, disabled=was_off))

    def _start(self, config: EndpointConfig, absent: str) -> None:
        """Begin to sample an endpoint where the one before it ended."""
        was = self._remembered.get(config.id, {})
        covered, known = was.get("covered_us"), was.get("known")
        same = was.get("url") in (None, config.url)
        source = self._made(
            config,
            covered if isinstance(covered, int) else None,
            (str(known[0]), str(known[1])) if same and isinstance(known, list) else None,
            absent,
        )
        self._sources[config.id] = source
        source.start()
        # At once: a process that dies before its first coverage row leaves a gap too.
        self._remember(source)
        self._write_state()

    def _made(
        self,
        config: EndpointConfig,
        covered_us: int | None,
        known: tuple[str, str] | None,
        absent: str,
    ) -> Source | Redundant:
        def one(alone: EndpointConfig, number: int, covered: int | None, why: str) -> Source:
            name = f"{config.id}.{number}.json" if number else f"{config.id}.json"
            return Source(
                alone,
                park_now=self._park_now,
                pki=self._pki,
                settings=self.settings.source,
                wake=self._wake.set,
                covered_us=covered,
                known=None if number else known,
                absent=why,
                keep=self._folder / "sessions" / name,
            )

        if not config.spares:
            return one(config, 0, covered_us, absent)
        return Redundant(
            config,
            one,
            covered_us=covered_us,
            absent=absent,
            failover_s=self.settings.source.silence_s,
        )

    async def remove(self, endpoint: str) -> None:
        """Disconnect an endpoint and forget it.

        Raises
        ------
        NotFound
            When there is none of this id.
        """
        async with self._changing:
            if self._disabled.pop(endpoint, None) is None:
                source = self._sources.get(endpoint)
                if source is None:
                    raise NotFound("endpoint", endpoint, (*self._sources, *self._disabled))
                await self._retire(source, "endpoint removed")
            self._remembered.pop(endpoint, None)
            self._write_state()

    async def release(self, endpoint: str, cause: str) -> Taken:
        """Disconnect an endpoint for another gateway; what is remembered of it is kept here too.

        Raises
        ------
        NotFound
            When there is none of this id, and never was.
        """
        async with self._changing:
            if self._disabled.pop(endpoint, None) is None:
                source = self._sources.get(endpoint)
                if source is not None:
                    await self._retire(source, cause)
                    self._write_state()
                elif endpoint not in self._remembered:
                    raise NotFound("endpoint", endpoint, (*self._sources, *self._disabled))
            return Taken(memory=self._remembered.get(endpoint, {}), cause=cause)

    async def reconnect(self, endpoint: str, cause: str) -> None:
        """Connect an endpoint anew at once; what is known of its server and its past stays.

        Parameters
        ----------
        endpoint
            Id of an endpoint; nothing happens when it is not sampled.
        cause
            Why, for the coverage of the moment between.
        """
        async with self._changing:
            source = self._sources.get(endpoint)
            if source is not None and not self._stopped:
                await self._retire(source, cause)
                self._start(source.config, cause)

    async def _retire(self, source: Source | Redundant, cause: str) -> None:
        del self._sources[source.config.id]
        await source.stop(cause)
        self._retired.append(source)
        self._remember(source)
        self._wake.set()

    def status(self) -> list[EndpointStatus]:
        """Where every endpoint stands, disabled ones too."""
        running = [source.status() for source in self._sources.values()]
        off = [
            EndpointStatus(
                id=c.id, url=c.url, security=c.security, state=EndpointState.DISABLED,
                requested=len(c.items), time_policy=c.time_policy,
            )
            for c in self._disabled.values()
        ]  # fmt: skip
        return sorted([*running, *off], key=lambda status: status.id)

    def tag_counts(self, endpoint: str) -> dict[int, dict[str, object]]:
        """Tag → values, bad, overflowed, bad_share, values_per_s, source_at and refused.

        Raises
        ------
        NotFound
            When no endpoint of this id is read here.
        """
        source = self._sources.get(endpoint)
        if source is None:
            raise NotFound("running endpoint", endpoint, tuple(self._sources))
        return source.tag_counts()

    def session_of(self, endpoint: str) -> tuple[Client, tuple[str, ...]]:
        """The session over which an endpoint is read, and its namespaces, see `Source.session`.

        Raises
        ------
        NotFound
            When no endpoint of this id is read here.
        Unavailable
            When it is disabled or not connected.
        """
        source = self._sources.get(endpoint)
        if endpoint in self._disabled:
            raise Unavailable(f"endpoint {endpoint} is disabled", "enable it")
        if source is None:
            raise NotFound("running endpoint", endpoint, tuple(self._sources))
        return source.session()

    def measures(self) -> GatewayMeasures:
        """What it did and what it holds."""
        return GatewayMeasures(
            session=self._session,
            rows=self._rows,
            batches=self._batches,
            acknowledged=self._acknowledged,
            waiting=len(self._window) if self._session else len(self._buffer),
            waiting_bytes=self._buffer.used_bytes,
            overflows=self._overflows,
            fault=self._fault,
        )

    async def browse(self, endpoint: str, node: str = "") -> tuple[BrowsedNode, ...]:
        """Children of a node of one of its endpoints, over a session of its own.

        Raises
        ------
        NotFound
            When there is no endpoint of this id.
        TwinError
            When the server cannot be reached, or the node id cannot be read.
        """
        source, off = self._sources.get(endpoint), self._disabled.get(endpoint)
        config = source.config if source is not None else off
        if config is None:
            raise NotFound("endpoint", endpoint, (*self._sources, *self._disabled))
        return await browse_children(config, node, pki=self._pki)

    # --- batches ---

    async def _run(self, left: tuple[BatchId, ...]) -> None:
        self._session = await self._ask_session()
        holes = self._holes(left)
        torn: Hole = (left[-1] if left else None, None)
        self._tell_lost([*holes, torn] if self._buffer.torn_bytes else holes)
        if holes:
            # Damaged bytes tore them; the receiver would wait for what is missing for ever.
            self._store_unstored()
            await self._renumber(self._session)
        else:
            for batch in left:
                self._window.offer(*batch)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._batch())
            group.create_task(self._send_all())

    async def _ask_session(self) -> int:
        delay_s = self.settings.retry_first_s
        while True:
            try:
                session = await self._new_session()
            except (TwinError, OSError, TimeoutError) as fault:
                self._fault = f"no session number: {fault}"
            except Exception as fault:  # noqa: BLE001 - the store is behind a seam: any fault is "away"
                self._fault = f"no session number: {type(fault).__name__}: {fault}"
            else:
                if session > self._buffer.last_session:
                    self._fault = ""
                    return session
                self._fault = f"session {session} was given before: is the metadata restored?"
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, self.settings.retry_most_s)

    async def _batch(self) -> None:
        """Collect rows into batches: soon when idle, in larger ones under load."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._wake.wait()
            self._wake.clear()
            await self._linger()
            self._collect()
            if self._writing is None or self._writing.done():
                # Values do not wait for the disk: the next batch is collected meanwhile.
                sync, state = self._buffer.sync_due(), self._state_due
                self._state_due = None
                if sync is not None or state is not None:
                    self._writing = asyncio.create_task(self._write(sync, state))

    async def _write(
        self, sync: Callable[[], None] | None, state: Callable[[], None] | None
    ) -> None:
        """What waits for the disk, in other threads."""
        if state is not None:
            await asyncio.to_thread(state)
        if sync is not None:
            try:
                await asyncio.to_thread(sync)
            except OSError as fault:  # it is due again at the next look
                self._fault = f"the gateway's buffer cannot be synced ({fault.strerror})"
                _log.warning("buffer not synced", extra={"fault": str(fault)})

    async def _linger(self) -> None:
        # An endpoint that publishes every 10 ms is not to wait for one that does every second.
        soon_s = min((source.linger_s for source in self._sources.values()), default=1.0)
        await asyncio.sleep(min(self.settings.idle_s, soon_s))
        waiting = sum(len(source.rows) for source in self._sources.values())
        if self.settings.load_rows <= waiting < self.settings.batch_rows:
            more_s = self.settings.load_s - self.settings.idle_s
            await asyncio.sleep(max(0.0, min(more_s, _LOADED * soon_s)))

    def _collect(self) -> None:
        """Number and store what waits; what finds no room stays with its source, which counts."""
        if not self._store_unstored():
            return
        sources = [*self._sources.values(), *self._retired]
        batches = [source.drain() for source in sources if len(source.rows)]
        if batches:
            table = pa.Table.from_batches(batches, SAMPLES).combine_chunks()
            self._unstored.extend(table.to_batches(max_chunksize=self.settings.batch_rows))
        covered = [row for source in sources for row in source.take_coverage()]
        if covered:
            self._unstored.append(coverage_batch(covered))
        self._retired.clear()
        if self._store_unstored():
            for source in sources:
                source.handed()
        if covered:
            for source in self._sources.values():
                self._remember(source)
            self._state_due = self._state.work(json.dumps(self._remembered))

    def _store_unstored(self) -> bool:
        """Append batches to the buffer; false when it takes nothing in."""
        while self._unstored:
            batch = self._unstored[0]
            try:
                self._buffer.append(self._session, self._seq + 1, batch)
            except Unavailable as fault:
                self._fault = str(fault)
                self._overflows += not self._overflowing
                self._overflowing = True
                return False
            self._overflowing = False
            self._seq += 1
            del self._unstored[0]
            number = BatchId(self._session, self._seq)
            self._window.offer(*number)
            if len(self._cache) < _CACHED:
                self._cache[number] = batch
            self._batches += 1
            self._rows += batch.num_rows
            self._kick.set()
        return True

    # --- delivery ---

    async def _send_all(self) -> None:
        while True:
            pause_s = self._resume_at - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            if self._again and not self._window.in_flight:
                await self._begin_again()
                continue
            number = None if self._again else self._window.next_to_send()
            if number is None:
                self._kick.clear()
                await self._kick.wait()
                continue
            call = asyncio.create_task(self._send(number))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)

    async def _send(self, number: BatchId) -> None:
        """One call; it ends in exactly one of the window's answers."""
        try:
            batch = self._cache.get(number)
            if batch is None:
                batch = self._buffer.read(number)
            async with asyncio.timeout(self.settings.deliver_s):
                answer = await self._deliver(self._source, *number, batch)
        except Refused as fault:
            self._refused(number, fault)
        except Exception as fault:  # noqa: BLE001 - the receiver is behind a seam: any fault is "away"
            self._failed(f"{type(fault).__name__}: {fault}")
        else:
            self._failpoint("gateway.answered")
            try:
                self._answered(number, answer)
                if answer.acked_seq is not None and not is_coverage(batch):
                    self._delivered_us = _span(batch)[1]
            except Exception as fault:  # noqa: BLE001 - delivery goes on, and it is told
                self._fault = f"an answer could not be taken in: {type(fault).__name__}: {fault}"
                _log.exception("answer not taken in", extra={"seq": number.seq})
        finally:
            self._kick.set()

    def _answered(self, number: BatchId, answer: Delivered) -> None:
        self._fault, self._retry_s = "", self.settings.retry_first_s
        if answer.expect is not None:
            try:
                self._window.expect(answer.session, answer.expect)
            except Refused:
                self._again = "receiver was set back"
        elif answer.acked_seq is not None:
            upto = BatchId(answer.session, answer.acked_seq)
            before = len(self._window)
            self._window.acked(*upto)
            self._acknowledged += before - len(self._window)
            self._forget(upto)
        else:
            _log.error("answer without a number", extra={"seq": number.seq})
            self._window.lost()

    def _forget(self, upto: BatchId) -> None:
        self._buffer.acked(upto)
        for number in [n for n in self._cache if n <= upto]:
            del self._cache[number]

    def _refused(self, number: BatchId, fault: Refused) -> None:
        if isinstance(fault, Corrupt):
            _log.error("stored batch is damaged", extra={"seq": number.seq})
            self._damaged.add(number)
            self._again = "stored batch is damaged"
        if number.session < self._session and not isinstance(fault, Corrupt):
            # A newer session of ours was heard, which begins only when all older is acknowledged.
            self._window.acked(*number)
            self._forget(number)
            return
        self._failed(str(fault))

    def _failed(self, fault: str) -> None:
        if not self._fault:
            _log.warning("delivery failed", extra={"source": self._source, "fault": fault})
        self._fault = fault
        self._window.lost()
        self._resume_at = time.monotonic() + self._retry_s
        self._retry_s = min(self._retry_s * 2, self.settings.retry_most_s)

    async def _begin_again(self) -> None:
        """Deliver everything left in a new session, without what is damaged."""
        _log.warning("delivery begins again", extra={"source": self._source, "why": self._again})
        session = await self._ask_session()
        damaged = sorted(self._damaged)
        order = self._buffer.unacked
        known = [number for number in damaged if number in order]
        rows = [self._buffer.rows_of(number) for number in known]
        lost = sum(count for count in rows if count is not None) if None not in rows else None
        self._tell_lost([_around(order, number) for number in known], lost)
        self._store_unstored()
        await self._renumber(session, damaged)
        self._damaged.clear()
        self._again = ""

    async def _renumber(self, session: int, without: Collection[BatchId] = ()) -> None:
        """Number the buffer anew; a disk that refuses is asked again, for as long as it takes."""
        delay_s = self.settings.retry_first_s
        while True:
            try:
                left = self._buffer.renumber(session, without)
            except Unavailable as fault:
                self._fault = str(fault)
                _log.warning("buffer not numbered anew", extra={"fault": str(fault)})
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, self.settings.retry_most_s)
                continue
            break
        self._fault = ""
        self._session, self._seq = session, len(left)
        self._cache.clear()
        self._window = Window()
        for number in left:
            self._window.offer(*number)

    # --- what damage took ---

    def _holes(self, left: tuple[BatchId, ...]) -> list[Hole]:
        """Between which batches some are missing after a start."""
        buffer = self._buffer
        holes: list[Hole] = [(a, b) for a, b in pairwise(left) if not _follows(a, b)]
        if buffer.damaged_bytes > buffer.torn_bytes and not holes:
            # The damage hit the oldest batches, or the last ones of a session.
            holes = [(a, b) for a, b in pairwise(left) if a.session != b.session]
            first = left[0] if left else None
            acked = buffer.acked_upto
            if first is None or (first.seq > 1 and first != (acked.session, acked.seq + 1)):
                holes.append((None, first))
        return holes

    def _tell_lost(self, holes: Collection[Hole], lost: int | None = None) -> None:
        """Cover what damaged bytes held by a gap of every endpoint: whose it was stood in them.

        Parameters
        ----------
        holes
            Where batches are missing.
        lost
            Rows they held together, when that is known; it is told where it can have but one
            meaning: of one hole of one endpoint.
        """
        ids = {*self._remembered, *self._sources, *self._disabled}
        lost = lost if len(holes) == len(ids) == 1 else None
        rows = []
        for before, after in holes:
            from_us, to_us = self._times(before, after)
            _log.error("stored values are lost", extra={"from_us": from_us, "to_us": to_us})
            rows += [
                CoverageRow(
                    endpoint=endpoint, from_us=from_us, to_us=to_us, alive=False,
                    cause=_DAMAGED, lost=lost,
                )
                for endpoint in sorted(ids)
            ]  # fmt: skip
        if rows:
            self._unstored.append(coverage_batch(rows))

    def _times(self, before: BatchId | None, after: BatchId | None) -> tuple[int, int]:
        """Park time from the newest row before a hole to the oldest one behind it."""
        to_us = self._span_of(after)[0] if after is not None else 0
        to_us = to_us or self._park_now()
        from_us = self._span_of(before)[1] if before is not None else self._delivered_us
        if not from_us:
            known = [was.get("covered_us") for was in self._remembered.values()]
            from_us = min((us for us in known if isinstance(us, int)), default=to_us)
        return min(from_us, to_us), to_us

    def _span_of(self, number: BatchId) -> tuple[int, int]:
        try:
            return _span(self._buffer.read(number))
        except (Corrupt, OSError):
            return 0, 0

    # --- state ---

    def _remember(self, source: Source | Redundant) -> None:
        self._remembered[source.config.id] = {
            "covered_us": source.covered_us,
            "known": list(source.known) if source.known else None,
            "delivered_us": self._delivered_us,
            "url": source.config.url,
        }

    def _write_state(self) -> None:
        """Keep how far each endpoint is covered, so that the next process tells its own absence."""
        self._state.write(json.dumps(self._remembered))


def _absence(*, changed: bool, disabled: bool) -> str:
    """Why an endpoint was not read before it starts now."""
    if changed:
        return "endpoint changed"
    return "endpoint disabled" if disabled else "gateway was not running"


def _follows(older: BatchId, newer: BatchId) -> bool:
    """Whether a number is the next one; only the first of all may begin above 1."""
    if newer.session > older.session:
        return newer.seq == 1
    return newer == (older.session, older.seq + 1)


def _around(order: tuple[BatchId, ...], number: BatchId) -> Hole:
    at = order.index(number)
    before = order[at - 1] if at else None
    return before, order[at + 1] if at + 1 < len(order) else None


def _span(batch: pa.RecordBatch) -> tuple[int, int]:
    """Oldest and newest park time of a batch [us]; zeros of an empty one."""
    first, last = ("from", "to") if is_coverage(batch) else ("at", "at")
    if not batch.num_rows:
        return 0, 0
    return int(column_us(batch, first).min()), int(column_us(batch, last).max())


def read_state(folder: Path) -> dict[str, dict[str, object]]:
    """What a process remembers of its endpoints; nothing when the file is missing or torn."""
    try:
        found = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
