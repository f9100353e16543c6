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
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from connectors.buffer import DiskBuffer, Sync
from connectors.clock import ParkClock, wall_us
from connectors.coverage import coverage_batch
from connectors.opcua.browse import browse_children
from connectors.opcua.config import EndpointConfig
from connectors.opcua.redundancy import Redundant
from connectors.opcua.report import BrowsedNode, EndpointState, EndpointStatus
from connectors.opcua.security import Pki
from connectors.opcua.source import Source, SourceSettings
from models.errors import Conflict, Corrupt, NotFound, Refused, TwinError, Unavailable
from twin.delivery import BatchId, Window
from twin.failpoint import Failpoint, never
from twin.samples import SAMPLES

if TYPE_CHECKING:
    from twin.shard import Delivered

_log = logging.getLogger(__name__)

Deliver = Callable[[str, int, int, pa.RecordBatch], "Awaitable[Delivered]"]
"""``deliver(source, session, seq, batch)``: samples, or coverage by the batch's metadata."""
NewSession = Callable[[], Awaitable[int]]
"""A session number that is higher than every one given before to this source."""

MAX_SOURCES: Final = 50
_CACHED: Final = 64


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
    fault
        Why nothing is delivered or taken in; empty when all is well.
    """

    session: int = 0
    rows: int = 0
    batches: int = 0
    acknowledged: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
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
        self._renumbering = False

    # --- life ---

    async def start(self, endpoints: Iterable[EndpointConfig] = ()) -> None:
        """Take the folder, begin to sample, and deliver as soon as there is a session.

        Raises
        ------
        Refused
            When another gateway process holds the folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        left = self._buffer.open()
        self._remembered = _read_state(self._folder / "state.json")
        for config in endpoints:
            await self.put(config)
        task = asyncio.create_task(self._run(left), name=f"gateway {self._source}")
        task.add_done_callback(self._ended)
        self._tasks = [task]

    async def stop(self) -> None:
        """Stop sampling, store and deliver what there is, and let the folder go."""
        for source in self._sources.values():
            # The next process takes the sessions up again.
            await source.stop(stay=True)
        self._retired.extend(self._sources.values())
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
        self._buffer.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Nothing should end the loops but `stop`; if something does, it must not go unseen."""
        if task.cancelled() or task.exception() is None:
            return
        self._fault = f"the gateway stopped: {task.exception()!r}; restart it"
        _log.error("gateway stopped", exc_info=task.exception())

    # --- endpoints ---

    async def put(self, config: EndpointConfig) -> None:
        """Add an endpoint, or bring it to this configuration; others are not touched.

        Raises
        ------
        Conflict
            When the gateway already holds as many endpoints as it may.
        """
        running = self._sources.get(config.id)
        if running is not None and running.config == config:
            return
        if running is None and len(self._sources) >= MAX_SOURCES:
            raise Conflict(f"{MAX_SOURCES} endpoints in one gateway", "start another gateway")
        if running is not None:
            await self._retire(running, "endpoint changed")
        was_off = self._disabled.pop(config.id, None) is not None
        if not config.enabled:
            self._disabled[config.id] = config
            return
        was = self._remembered.get(config.id, {})
        covered, known = was.get("covered_us"), was.get("known")
        same = was.get("url") in (None, config.url)
        source = self._made(
            config,
            covered if isinstance(covered, int) else None,
            (str(known[0]), str(known[1])) if same and isinstance(known, list) else None,
            _absence(changed=running is not None, disabled=was_off),
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
        if self._disabled.pop(endpoint, None) is None:
            source = self._sources.get(endpoint)
            if source is None:
                raise NotFound("endpoint", endpoint, (*self._sources, *self._disabled))
            await self._retire(source, "endpoint removed")
        self._remembered.pop(endpoint, None)
        self._write_state()

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

    def measures(self) -> GatewayMeasures:
        """What it did and what it holds."""
        return GatewayMeasures(
            session=self._session,
            rows=self._rows,
            batches=self._batches,
            acknowledged=self._acknowledged,
            waiting=len(self._window) if self._session else len(self._buffer),
            waiting_bytes=self._buffer.used_bytes,
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
        if not _whole(left):
            # Damaged bytes tore a hole; the receiver would wait for it for ever.
            left = self._buffer.renumber(self._session)
            self._seq = len(left)
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
            work = self._buffer.sync_due()
            if work is not None:
                await asyncio.to_thread(work)

    async def _linger(self) -> None:
        # An endpoint that publishes every 10 ms is not to wait for one that does every second.
        soon_s = min((source.linger_s for source in self._sources.values()), default=1.0)
        await asyncio.sleep(min(self.settings.idle_s, soon_s))
        waiting = sum(len(source.rows) for source in self._sources.values())
        if self.settings.load_rows <= waiting < self.settings.batch_rows:
            await asyncio.sleep(self.settings.load_s - self.settings.idle_s)

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
            self._write_state()

    def _store_unstored(self) -> bool:
        """Append batches to the buffer; false when it takes nothing in."""
        while self._unstored:
            batch = self._unstored[0]
            try:
                self._buffer.append(self._session, self._seq + 1, batch)
            except Unavailable as fault:
                self._fault = str(fault)
                return False
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
            number = None if self._renumbering else self._window.next_to_send()
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
            await self._answered(number, answer)
        self._kick.set()

    async def _answered(self, number: BatchId, answer: "Delivered") -> None:
        self._fault, self._retry_s = "", self.settings.retry_first_s
        if answer.expect is not None:
            try:
                self._window.expect(answer.session, answer.expect)
            except Refused:
                await self._begin_again()
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
        """The receiver was set back to a backup: deliver everything left in a new session."""
        _log.warning("receiver was set back", extra={"source": self._source})
        self._renumbering = True
        self._session = await self._ask_session()
        self._cache.clear()
        self._window = Window()
        left = self._buffer.renumber(self._session)
        self._seq = len(left)
        for number in left:
            self._window.offer(*number)
        self._renumbering = False

    # --- state ---

    def _remember(self, source: Source | Redundant) -> None:
        self._remembered[source.config.id] = {
            "covered_us": source.covered_us,
            "known": list(source.known) if source.known else None,
            "url": source.config.url,
        }

    def _write_state(self) -> None:
        """Keep how far each endpoint is covered, so that the next process tells its own absence."""
        path = self._folder / "state.json"
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(self._remembered), encoding="utf-8")
            new.replace(path)
        except OSError as fault:
            _log.warning("state not written", extra={"fault": str(fault)})


def _absence(*, changed: bool, disabled: bool) -> str:
    """Why an endpoint was not read before it starts now."""
    if changed:
        return "endpoint changed"
    return "endpoint disabled" if disabled else "gateway was not running"


def _whole(numbers: tuple[BatchId, ...]) -> bool:
    """Whether each session's numbers follow one another; only the first may begin above 1."""
    for older, newer in pairwise(numbers):
        follows = newer == (older.session, older.seq + 1)
        if not follows and not (newer.session > older.session and newer.seq == 1):
            return False
    return True


def _read_state(path: Path) -> dict[str, dict[str, object]]:
    """What an earlier process remembered; nothing when the file is missing or torn."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
