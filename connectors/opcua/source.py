"""One endpoint: connect, verify, subscribe, watch, and tell what was covered and what was not.

The supervision is ours. asyncua's own reconnect resubscribes by namespace index (wrong tags after a
server restart that numbers them differently) and its stale watchdog throws away queued data; here
neither runs, and every connect begins with a new client that reads the namespaces again.

``CONNECTING → CONNECTED → OFFLINE → CONNECTING …``, with ``QUARANTINED`` when a namespace is
missing or another server answers at the address: then no value counts until it is as it was.

**Loss and return.** A lost connection leaves the session at the server. The next one takes it up
again, or else moves its subscriptions into a new session, has the messages sent meanwhile once more
(Republish) and then the queues. When the subscriptions are gone, or their queues did not hold the
outage, the server's history fills the gap; when it has none, the gap row says why.

**Frozen.** A gateway in front of a dead PLC may answer Good for ever (`connectors.opcua.frozen`).
Then the endpoint has a gap with cause ``frozen``, from when it stood still; of one that lives while
a device behind it is dead, that device's tags become uncertain.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.clock import ParkClock, wall_us
from connectors.coverage import CoverageRow
from connectors.latest_file import LatestFile
from connectors.opcua.budget import budget_of
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder, Present, warm
from connectors.opcua.events import EventSink, Notifiers, no_events
from connectors.opcua.frozen import CAUSE, FrozenWatch
from connectors.opcua.hooks import Encoded, heed, is_open, send, send_encoded, ticket_of
from connectors.opcua.kernel import Bytes
from connectors.opcua.ledger import Ledger
from connectors.opcua.monitor import Monitor, Subscribed, chunks
from connectors.opcua.nodes import resolve
from connectors.opcua.outage import Outage, Unjudged, cut_short, doubtful, holes_of
from connectors.opcua.pace import Pace
from connectors.opcua.publishing import TOO_LARGE, Publisher
from connectors.opcua.recovery import (
    OWNER_ONLY,
    Kept,
    Marks,
    Reached,
    backfill,
    read_kept,
    transfer,
    without_ticket,
)
from connectors.opcua.report import EndpointState, EndpointStatus
from connectors.opcua.rows import Rows
from connectors.opcua.security import Pki
from connectors.opcua.session import (
    Identity,
    Opened,
    close,
    explain,
    leave,
    open_or_resume,
    read_identity,
    read_limits,
    read_values,
)
from connectors.opcua.wire import Content, Notification, read_results
from models.errors import InputError, TwinError, Unavailable
from twin.samples import from_us, to_us
from twin.status import UNCERTAIN_LAST_USABLE_VALUE

_log = logging.getLogger(__name__)

_SUSPICIOUS_OFFSET_S: Final = 60.0
_SETTLE_INTERVALS: Final = 3
_SETTLE_S: Final = 0.3
_SILENT_INTERVALS: Final = 3.0
_LINGER_PART: Final = 8.0
"""Part of a publishing interval for which rows wait to share a batch."""
_TICKET_TRIES: Final = 3
_CANCELS: Final = 3
_JUDGE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSettings:
    """How an endpoint is supervised.

    Parameters
    ----------
    timeout_s
        Longest wait for one answer [s].
    probe_s
        Interval of the health probe [s].
    silence_s
        Without any answer for this long the connection is given up [s].
    backoff_first_s, backoff_most_s
        Wait before a new attempt: doubles from first to most, times a random 0.5 to 1 [s].
    coverage_s
        A coverage row at least this often [s].
    frozen_s
        Source times that stand still for this long are suspicious [s]; 0 never.
    rows
        Rows buffered at most; while they are full the server's queues hold what comes.
    """

    timeout_s: float = 5.0
    probe_s: float = 2.0
    silence_s: float = 8.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 15.0
    coverage_s: float = 10.0
    frozen_s: float = 60.0
    rows: int = 200_000


class Source:
    """One endpoint of a gateway.

    Parameters
    ----------
    config
        The endpoint and its items.
    park_now
        Park clock.
    pki
        Certificates; None when no endpoint is secure.
    settings
        Supervision.
    wake
        Called when rows or coverage wait to be taken.
    covered_us
        Park time up to which an earlier process covered this endpoint [us]; None for a new one.
    absent
        Why nothing was read between `covered_us` and now.
    known
        Identity the server had when an earlier process last saw it: (application, product) URI.
    keep
        File for session and sequence numbers, so that the next process can take them up; None
        keeps them in this process only.
    on_event
        Takes the events of the endpoint's notifiers.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        park_now: ParkClock = wall_us,
        pki: Pki | None = None,
        settings: SourceSettings | None = None,
        wake: Callable[[], None] = lambda: None,
        covered_us: int | None = None,
        known: tuple[str, str] | None = None,
        absent: str = "gateway was not running",
        keep: Path | None = None,
        on_event: EventSink = no_events,
    ) -> None:
        self.config = config
        self.settings = settings or SourceSettings()
        self.rows = Rows(limit=self.settings.rows)
        self.known = known
        self._park_now, self._pki, self._wake = park_now, pki, wake
        self._publishing_us = round(config.publishing_ms * 1000)
        self._decoder = Decoder(self.rows, config.time_policy, park_now, self._publishing_us)
        self._bind(range(1, len(config.items) + 1))
        self._state, self._cause = EndpointState.CONNECTING, ""
        self._since_us = wall_us()
        self._new, self._absent = covered_us is None, absent
        self._ledger = Ledger(
            config.id, park_now() if covered_us is None else covered_us, self._wake
        )
        self._told_at = 0.0
        self._heard_at = 0.0
        self._heard_us = self._ledger.covered_us
        self._answered_at = 0.0
        self._delay_s = self.settings.backoff_first_s
        self._rng = np.random.default_rng()
        self._pace = Pace()
        self._client: Client | None = None
        self._monitor: Monitor | None = None
        self._publisher = Publisher(
            take=self._on_message,
            heard=self._alive,
            lost=self._lost_message,
            ended=self._end,
            timeout_s=self.settings.timeout_s,
        )
        self._notifiers = Notifiers(config.events, on_event)
        self._identity: Identity | None = None
        self._ended, self._active = asyncio.Event(), asyncio.Event()
        self._active.set()
        self._ready = False
        self._end_cause = self._lost_cause = ""
        self._spoke, self._careful = True, False
        self._silence = (0.0, 0)
        self._kept_file = LatestFile(keep, OWNER_ONLY) if keep is not None else None
        self._marks = Marks(keep.with_suffix(".marks")) if keep is not None else None
        self._kept = _noted(keep, self._marks)
        self._ticket_tries = 0
        self._noted_at, self._kept_items = 0.0, 0
        self._outage: Outage | None = None
        self._unjudged: list[Unjudged] = []
        self._reached: Reached = {}
        self._judging: asyncio.Task[None] | None = None
        self._full_since: tuple[float, int, Present] | None = None
        self._resumes = self._backfilled = 0
        self._fresh = False
        self._frozen = ""
        self._frozen_watch = FrozenWatch(config, self.settings.frozen_s)
        self._uncertain: frozenset[str] = frozenset()
        self._sessions = 0
        self._made_at = time.monotonic()
        self._remark = ""
        self._overflows_told = 0
        self._polled = 0
        self._leaving, self._stopping = True, False
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    def start(self) -> None:
        """Begin to connect, and keep trying until `stop`."""
        if not self._new:
            self._ledger.cover(self._park_now(), alive=False, cause=self._absent)
        self._task = asyncio.create_task(self._supervise(), name=f"opcua {self.config.id}")

    async def stop(self, cause: str = "gateway stopped", *, stay: bool = False) -> None:
        """Disconnect and tell what was covered up to now.

        Parameters
        ----------
        cause
            Why.
        stay
            Leave the session at the server, for the next process to take up.
        """
        self._leaving, self._stopping = stay, True
        if self._task is not None:
            await self._cancelled(self._task)
            self._task = None
        if not stay:
            self._kept = None
            if self._kept_file is not None:
                self._kept_file.remove()
        if self._marks is not None:
            self._marks.close()
        self._tell_dropped()
        if self._state is EndpointState.CONNECTED:
            self._cover(to_us=self._sure_us, alive=True)
        else:
            self._cover(to_us=self._park_now(), alive=False, cause=self._cause or cause)
        self._enter(EndpointState.OFFLINE, cause)

    async def _cancelled(self, task: asyncio.Task[None]) -> None:
        """Cancel a task until it ends; one that never does is told and left behind."""
        for _ in range(_CANCELS):
            task.cancel()
            done, _ = await asyncio.wait((task,), timeout=3 * self.settings.timeout_s)
            if done:
                await asyncio.gather(task, return_exceptions=True)
                return
        _log.error("endpoint does not end", extra={"endpoint": self.config.id})

    @property
    def state(self) -> EndpointState:
        """Where it stands."""
        return self._state

    @property
    def standing_by(self) -> bool:
        """Whether it has a verified session and waits for the lead."""
        return self._ready and not self._active.is_set()

    def stand_by(self, *, waits: bool) -> None:
        """From the next connection on, only keep a session and wait; or subscribe at once."""
        if waits:
            self._active.clear()
        else:
            self._active.set()

    def take_lead(self, covered_us: int) -> None:
        """Subscribe now, and tell what was covered from where the last leader stopped [us]."""
        self._new, self._cause = False, self._cause or "failover"
        self._ledger.covered_us = max(self._ledger.covered_us, covered_us)
        self._heard_us = covered_us
        self._ledger.take()
        self._active.set()

    @property
    def linger_s(self) -> float:
        """Time its rows may wait for others without being late [s]."""
        fastest = (self.config.intervals_of(item)[0] for item in self.config.items)
        return min(fastest, default=self.config.publishing_ms) / 1000.0 / _LINGER_PART

    @property
    def covered_us(self) -> int:
        """Park time up to which coverage was told [us]."""
        return self._ledger.covered_us

    @property
    def _sure_us(self) -> int:
        """Park time up to which all values have come [us].

        What was sampled in the last interval before a message may lie in the next one.
        """
        monitor = self._monitor
        behind_ms = monitor.behind_ms if monitor is not None else 0.0
        return self._heard_us - round(behind_ms * 1000 * self._speed())

    def _bind(self, handles: range) -> None:
        for handle, item in zip(handles, self.config.items, strict=True):
            self._decoder.bind(handle, item)

    async def _supervise(self) -> None:
        # Before anything is subscribed: loading compiled code would let the first queues overflow.
        await asyncio.to_thread(warm)
        while True:
            heed()
            try:
                await self._serve()
            except (TwinError, UaError, OSError, TimeoutError) as fault:
                what, remedy = explain(fault)
                self._went(f"{what}: {remedy}" if remedy else what)
            except Exception as fault:  # noqa: BLE001 - what foreign bytes do ends this session only
                _log.exception("session failed", extra={"endpoint": self.config.id})
                self._went(f"unexpected answer ({type(fault).__name__}: {fault})")
            await self._pause(self._delay_s * float(self._rng.uniform(0.5, 1.0)))
            self._delay_s = min(self._delay_s * 2, self.settings.backoff_most_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, telling the gap as it grows."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.settings.coverage_s))
            self._tell_gap()

    async def _serve(self) -> None:
        """One session, from connect to loss; returns or raises when it is over."""
        opened, identity = await self._open()
        client, whole = opened.client, False
        self._client = client
        try:
            self._ended.clear()
            self._end_cause, self._spoke = "", True
            self._answered_at = self._heard_at = time.monotonic()
            heed()
            await self._wait_for_lead(client)
            if self.config.poll:
                await self._poll(client, identity)
            else:
                await self._subscribe(opened, identity)
                whole = True
                await self._watch(client)
        finally:
            await self._part(client, whole=whole)

    async def _wait_for_lead(self, client: Client) -> None:
        """Keep a verified session open until it is wanted.

        Raises
        ------
        Unavailable
            When the connection is lost.
        """
        self._ready = True
        try:
            while not self._active.is_set():
                heed()
                await self._probe(client)
                silent_s = time.monotonic() - self._answered_at
                if not is_open(client) or silent_s > self.settings.silence_s:
                    raise Unavailable("connection lost")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.probe_s):
                        await self._active.wait()
        finally:
            self._ready = False

    async def _part(self, client: Client, *, whole: bool) -> None:
        """End a session: leave it to be taken up, or close it."""
        self._client = None
        monitor = self._monitor
        if whole and monitor is not None and is_open(client) and self._stopping:
            await self._judge_before_leaving(monitor)
        if self._judging is not None:
            self._judging.cancel()
            await asyncio.gather(self._judging, return_exceptions=True)
            self._judging = None
        if monitor is not None and self._outage is not None:
            self._unjudged.append(cut_short(monitor, self._decoder, self._outage))
            self._outage = None
        await self._publisher.stop()
        self._heard_us = self._sure_us
        if whole:
            self._note()
        self._monitor, self._full_since = None, None
        if whole and not self._spoke:
            # Taken up, but silent: begin anew instead of taking it up for ever.
            self._kept = None
            await close(client)
        elif whole and self._leaving and not self._end_cause:
            await leave(client)
        elif is_open(client):
            self._kept = None
            await close(client)
        else:
            # The server ended it, or never had it whole.
            self._kept = self._kept and without_ticket(self._kept)
            await leave(client)

    async def _open(self) -> tuple[Opened, Identity]:
        """Connect, with the session of before if it is still there, and see who answers.

        Raises
        ------
        TwinError
            With the cause.
        """
        kept = self._kept
        if kept is not None and (kept.digest, kept.url) != (self.config.digest, self.config.url):
            kept = self._kept = None
        ticket = kept.ticket if kept is not None else None
        try:
            opened = await open_or_resume(
                self.config, self._pki, self.settings.timeout_s, "subscription", ticket
            )
            identity = await self._identified(opened.client)
        except TwinError as fault:
            if ticket is not None and not isinstance(fault.__cause__, OSError | TimeoutError):
                self._ticket_tries += 1
                if self._ticket_tries >= _TICKET_TRIES and kept is not None:
                    self._kept, self._ticket_tries = without_ticket(kept), 0
            raise
        self._ticket_tries = 0
        if opened.resumed and kept is not None and not kept.same_server(identity):
            # A token given before a restart may be somebody else's now.
            await leave(opened.client)
            self._kept = without_ticket(kept)
            return await self._open()
        try:
            self._verify(identity)
        except TwinError:
            await close(opened.client)
            raise
        return opened, identity

    async def _identified(self, client: Client) -> Identity:
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                return await read_identity(client)
        except BaseException as fault:
            await leave(client)
            if isinstance(fault, TwinError) or not isinstance(fault, Exception):
                raise
            what, remedy = explain(fault)
            raise Unavailable(what, remedy) from fault

    def _verify(self, identity: Identity) -> None:
        """Let values count only when the server is the one that was registered.

        Raises
        ------
        Unavailable
            After going into quarantine.
        """
        missing = {item.namespace for item in self.config.items} - set(identity.namespaces)
        known_application, known_product = self.known or (self.config.application_uri, "")
        cause = ""
        if missing:
            cause = (
                f"the server has no namespace {', '.join(sorted(missing))} any more: load its "
                "program again, or map the endpoint anew"
            )
        elif _differ(known_application, identity.application_uri) or _differ(
            known_product, identity.product_uri
        ):
            cause = (
                f"another server answers: {identity.application_uri} ({identity.product_uri}) "
                f"instead of {known_application} ({known_product}): correct the address, or "
                "remove and add the endpoint to accept it"
            )
        if cause:
            self._enter(EndpointState.QUARANTINED, cause)
            raise Unavailable(cause)
        self._identity = identity
        self.known = (
            identity.application_uri or known_application,
            identity.product_uri or known_product,
        )

    # --- subscription ---

    async def _subscribe(self, opened: Opened, identity: Identity) -> None:
        client, now = opened.client, time.monotonic()
        limits, profile = await read_limits(client), identity.profile
        budget_of(self.config.url).most = profile.sessions
        per_call = profile.call_for(limits.monitor)
        monitor = Monitor(
            client, self.config, identity.namespaces, per_call, profile, self._careful
        )
        then = self._decoder.present()
        since = self._silent_since()
        going_on, how = await self._going_on(opened, identity)
        publisher, items = self._publisher, list(enumerate(self.config.items, start=1))
        publisher.attach(partial(_sent, client), [one.id for one in going_on])
        self._fresh = True
        if going_on:
            await self._catch_up(going_on)
            await monitor.adopt(going_on, items, now)
            await monitor.publish(enabled=True)
        else:
            await monitor.start(items, now)
        await self._notifiers.start(client, monitor, identity.namespaces, going_on=bool(going_on))
        self._monitor = monitor
        publisher.start()
        publisher.fit(self._pace.round_trip_s.value or 0.0, monitor.publishing_ms / 1000.0)
        self._spoke = not going_on
        self._connected()
        if since is not None:
            settle_s = _SETTLE_INTERVALS * monitor.publishing_ms / 1000.0 + _SETTLE_S
            now, seconds = time.monotonic(), time.time() - since[0]
            for one in self._unjudged:
                # What its queues held may have lain there ever since.
                begun = one.outage.judge_at - settle_s - one.outage.seconds
                seconds = max(seconds, now - begun)
            self._outage = Outage(
                from_us=since[1],
                to_us=self._heard_us,
                seconds=seconds,
                then=then,
                kept=bool(going_on),
                how=how,
                judge_at=now + settle_s,
            )
            self._resumes += bool(going_on)
        await self._keep_session(client, identity, monitor)

    def _silent_since(self) -> tuple[float, int] | None:
        """When values were last heard: wall time [s] and park time [us]; None when never."""
        if self._kept is not None:
            return self._kept.wall_s, self._kept.heard_us
        if self._new:
            return None
        behind_s = (self._park_now() - self._heard_us) / 1e6 / self._speed()
        return time.time() - behind_s, self._heard_us

    async def _going_on(
        self, opened: Opened, identity: Identity
    ) -> tuple[tuple[Subscribed, ...], str]:
        """Subscriptions of before that still run, and how; or none, and why not."""
        kept = self._kept
        if kept is None:
            return (), "the server kept nothing"
        if cause := kept.changed(identity):
            return (), cause
        if opened.resumed:
            return kept.subscriptions, "in the same session"
        if kept.subscriptions and kept.alive:
            moved = await transfer(opened.client, kept)
            if moved:
                return moved, "in a new session"
        return (), "the server no longer knew the subscriptions"

    async def _catch_up(self, going_on: tuple[Subscribed, ...]) -> None:
        """Have once more what was sent and never came; then the queues follow by themselves."""
        kept = self._kept
        for one in going_on:
            if one.id not in self._publisher.streams:
                self._publisher.follow(one.id, kept.lasts.get(one.id, 0) if kept else 0)
        if self.config.time_policy == "receive" and kept is not None:
            # Values that waited are as old as they say among themselves.
            waited_us = round((time.time() - kept.wall_s) * 1e6)
            self._decoder.spread_us = max(self._publishing_us, waited_us)
        for one in going_on:
            await self._publisher.catch_up(one.id)

    def _connected(self) -> None:
        """Values count from here on: close the gap."""
        self._tell_gap(final=True)
        self._heard_at = time.monotonic()
        self._heard_us = max(self._park_now(), self._ledger.covered_us)
        self._delay_s = self.settings.backoff_first_s
        self._frozen_watch.connected()
        self._sessions += 1
        self._enter(EndpointState.CONNECTED, "")

    # --- messages ---

    def _on_message(self, message: Notification, body: Bytes) -> bool:
        """Put the values of a message into the columns; false when they find no room now."""
        self._was_silent()
        count = sum(part.count for part in message.parts if part.content is Content.DATA)
        if count > self.rows.room and len(self.rows):
            if self._full_since is None:
                self._full_since = (time.monotonic(), self._heard_us, self._decoder.present())
            self._wake()
            return False
        for part in message.parts:
            if part.content is Content.DATA:
                self._took(
                    partial(self._decoder.take_notified, body, part.start, part.stop, part.count)
                )
            elif part.content is Content.STATUS:
                code = int.from_bytes(body[part.start : part.start + 4].tobytes(), "little")
                name = ua.StatusCode(ua.UInt32(code)).name
                self._end(f"the server ended the subscription ({name})")
            elif part.content is Content.EVENTS:
                self._notifiers.take(part, body)
        return True

    def _took(self, decode: Callable[[], int | None]) -> None:
        """Decode, and note what the newest time says about the endpoint's pace."""
        now, decoder = time.monotonic(), self._decoder
        before, taken = decoder.newest_us, decoder.taken
        newest = decode()
        self._pace.count(now, decoder.taken - taken)
        if newest is not None and (before is None or newest > before):
            self._pace.moved(now)
            # The first message of a subscription carries old values, whose age is no lag.
            if not self._fresh and self._outage is None:
                park_us = self._park_now()
                self._pace.source_offset_us.add(newest - park_us)
                by_source = self.config.time_policy == "source" or not len(self.rows)
                at_us = newest if by_source else int(self.rows.columns.at[len(self.rows) - 1])
                self._pace.lag_us.add(park_us - at_us)
        self._fresh = False
        self._wake()

    def _alive(self) -> None:
        now = time.monotonic()
        self._silence = (now - self._heard_at, self._sure_us)
        self._heard_at = self._answered_at = now
        self._heard_us = self._park_now()
        self._spoke = True

    def _was_silent(self) -> None:
        """After a silence longer than the server's queues hold, judge what they dropped."""
        (seconds, from_us), monitor = self._silence, self._monitor
        if monitor is None or self._outage is not None or self._publisher.stalled:
            return
        longest_s = max(monitor.bridge_s or 0.0, _SILENT_INTERVALS * monitor.publishing_ms / 1000.0)
        if seconds > longest_s:
            self._outage = Outage(
                from_us=from_us,
                to_us=self._heard_us,
                seconds=seconds,
                then=self._decoder.present(),
                kept=True,
                how="after a pause",
                judge_at=time.monotonic() + _SETTLE_S,
                told=False,
            )

    def _end(self, cause: str) -> None:
        """Have the session ended by the watcher."""
        if not self._ended.is_set():
            self._end_cause = "" if cause.startswith("connection lost") else cause
            self._lost_cause = cause
            if cause == TOO_LARGE:
                # It would come again in the same subscription.
                self._careful, self._kept = True, None
            self._ended.set()

    def _lost_message(self, _: int, cause: str) -> None:
        """What the server sent since the last row told cannot be vouched for."""
        self._ledger.gaps += 1
        self._cover(to_us=self._heard_us, alive=False, cause=cause)
        if self._outage is not None:
            self._outage = replace(self._outage, kept=False, how=cause)

    # --- handing over ---

    def drain(self) -> pa.RecordBatch:
        """The rows so far as one batch; after `handed` their messages are acknowledged."""
        batch = self.rows.drain()
        self._publisher.drained()
        if self._publisher.stalled:
            self._publisher.go_on()
            self._room_again()
        return batch

    def handed(self) -> None:
        """Everything drained is stored: once that is noted, the server may forget it."""
        if self._publisher.stored():
            self._note()

    def _note(self) -> None:
        """Note up to where rows are stored, for the next connection or process; acknowledge."""
        if self._kept is None:
            return
        self._kept = replace(
            self._kept,
            lasts=self._publisher.lasts(),
            heard_us=self._sure_us,
            newest_us=self._decoder.newest_us,
            wall_s=time.time() - (time.monotonic() - self._heard_at),
        )
        if self._marks is not None:
            self._marks.note(self._kept)
            if self._task is None:
                self._marks.close()
        self._noted_at = time.monotonic()
        self._publisher.handed()

    async def _keep_session(self, client: Client, identity: Identity, monitor: Monitor) -> None:
        """Keep what it takes to take this session up again."""
        self._kept = Kept(
            url=self.config.url,
            digest=self.config.digest,
            ticket=ticket_of(client),
            application_uri=identity.application_uri,
            started=identity.started,
            namespaces=identity.namespaces,
            subscriptions=tuple(monitor.subscriptions.values()),
            lasts=self._publisher.lasts(),
            heard_us=self._sure_us,
            newest_us=self._decoder.newest_us,
            wall_s=time.time(),
            stamp=time.time_ns(),
        )
        self._kept_items = monitor.accepted
        if self._kept_file is not None:
            # It names every item: too long a work for the loop.
            await asyncio.to_thread(self._kept_file.work(self._kept.text()))
        self._note()

    # --- watching ---

    async def _watch(self, client: Client) -> None:
        """Probe and tell until the session is over.

        Raises
        ------
        Unavailable
            With the cause, when it is over.
        """
        while True:
            heed()
            ended = False
            try:
                async with asyncio.timeout(self.settings.probe_s):
                    ended = await self._ended.wait()
            except TimeoutError:
                pass
            if ended:
                raise Unavailable(self._lost_cause)
            if not is_open(client):
                raise Unavailable("connection lost")
            await self._tick(client)

    async def _tick(self, client: Client) -> None:
        await self._probe(client)
        now = time.monotonic()
        silent_s = now - max(self._heard_at, self._answered_at)
        if silent_s > self.settings.silence_s:
            raise Unavailable(f"no answer for {silent_s:.0f} s")
        monitor, publisher = self._monitor, self._publisher
        if monitor is not None:
            await self._regulate(monitor, now)
            held_up = publisher.stalled and not publisher.paused
            allowed_s = 2 * monitor.silence_s + self.settings.silence_s
            if monitor.accepted and not held_up and now - self._heard_at > allowed_s:
                raise Unavailable(f"the subscription is silent for {now - self._heard_at:.0f} s")
            await monitor.retry(now)
            publisher.fit(self._pace.round_trip_s.value or 0.0, monitor.publishing_ms / 1000.0)
            self._begin_judging(monitor, now)
            if monitor.accepted != self._kept_items and self._identity is not None:
                await self._keep_session(client, self._identity, monitor)
            elif now - self._noted_at > self.settings.probe_s:
                self._note()
        await self._look_frozen(client, now)
        self._tell_alive(now)

    async def _regulate(self, monitor: Monitor, now: float) -> None:
        """While our buffer is full the server keeps the values; it must not forget us meanwhile."""
        publisher, full = self._publisher, self._full_since
        if full is not None and publisher.stalled and not publisher.paused:
            lifetime_s = min((s.lifetime_s for s in monitor.subscriptions.values()), default=0.0)
            if now - full[0] > lifetime_s / 4:
                await monitor.publish(enabled=False)
                publisher.paused = True
                publisher.go_on()
        elif publisher.paused and not publisher.stalled:
            publisher.paused = False
            await monitor.publish(enabled=True)
            publisher.go_on()

    def _room_again(self) -> None:
        """Our buffer was full and is not any more: judge what the server's queues made of it."""
        full, monitor = self._full_since, self._monitor
        if full is None or self._publisher.stalled:
            return
        self._full_since = None
        seconds = time.monotonic() - full[0]
        bridge_s = monitor.bridge_s if monitor is not None else None
        if bridge_s is None or seconds <= bridge_s or self._outage is not None:
            return
        self._outage = Outage(
            from_us=full[1],
            to_us=self._park_now(),
            seconds=seconds,
            then=full[2],
            kept=True,
            how="after the gateway's buffer was full",
            judge_at=time.monotonic() + _SETTLE_S,
            told=False,
        )

    async def _probe(self, client: Client) -> None:
        """One read of the server's status, apart from the values; a failure is judged later."""
        before_us, before = wall_us(), time.monotonic()
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                state, current = await read_values(
                    client,
                    [
                        ObjectIds.Server_ServerStatus_State,
                        ObjectIds.Server_ServerStatus_CurrentTime,
                    ],
                )
        except (TimeoutError, UaStatusCodeError):
            return
        self._answered_at = time.monotonic()
        self._frozen_watch.server_time(current, self._answered_at)
        self._pace.round_trip_s.add(self._answered_at - before)
        middle_us = (before_us + wall_us()) // 2
        jumped = isinstance(current, datetime) and self._pace.clock(to_us(current) - middle_us)
        self._remark = (
            f"the server says it is {ua.ServerState(state).name}"
            if isinstance(state, int) and state
            else ""
        )
        if jumped:
            self._tell_alive(time.monotonic(), force=True, cause="the server's clock jumped")

    async def _look_frozen(self, client: Client, now: float) -> None:
        if self._identity is None:
            return
        watch, namespaces = self._frozen_watch, self._identity.namespaces
        blind = self._publisher.stalled or self._publisher.paused or self._outage is not None
        await watch.look(client, namespaces, self._decoder, self._pace, now, blind=blind)
        cause = f"{CAUSE}: {watch.cause}" if watch.cause else ""
        if bool(cause) != bool(self._frozen):
            # Up to now as it was; then the time in which it stood still already.
            self._tell_alive(now, force=True)
            if cause:
                stood_us = round((now - watch.since) * 1e6 * self._speed())
                self._ledger.missed(self._heard_us - stood_us, self._ledger.covered_us, cause)
        self._frozen = cause
        devices = frozenset(watch.devices)
        for device in devices ^ self._uncertain:
            await self._retell(client, namespaces, device, uncertain=device in devices)
        self._uncertain = devices

    async def _retell(
        self, client: Client, namespaces: Sequence[str], device: str, *, uncertain: bool
    ) -> None:
        """Tell the values of a device once more: as the last usable ones, or as good again."""
        most = min(len(self.config.items), self.rows.room)
        told = await self._frozen_watch.read(client, namespaces, device, most)
        newest_us = self._decoder.newest_us or self._park_now()
        for _, value in told:
            value.SourceTimestamp = cast("ua.DateTime", from_us(max(newest_us, self._park_now())))
            if uncertain and (value.StatusCode is None or value.StatusCode.is_good()):
                value.StatusCode = ua.StatusCode(ua.UInt32(UNCERTAIN_LAST_USABLE_VALUE))
        self._decoder.take(told)
        self._wake()

    # --- judging an outage ---

    def _begin_judging(self, monitor: Monitor, now: float) -> None:
        outage = self._outage
        if outage is None or self._judging is not None or now < outage.judge_at:
            return
        if self._publisher.stalled or any(self._publisher.more.values()):
            return
        self._decoder.spread_us = self._publishing_us
        self._judging = asyncio.create_task(self._judge(monitor, outage))
        self._judging.add_done_callback(self._judged)

    def _judged(self, task: asyncio.Task[None]) -> None:
        self._judging = None
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.warning("gap not filled", exc_info=fault, extra={"endpoint": self.config.id})
            if is_open_state(self._state):
                self._end(f"connection lost ({fault})")

    async def _judge(self, monitor: Monitor, outage: Outage) -> None:
        """Say what became of the values of an outage, and of those before it that wait for it."""
        spans = doubtful(monitor, self._decoder, outage)
        lost = await self._filled(monitor, spans)
        for one in tuple(self._unjudged):
            before = await self._filled(monitor, one.spans)
            self._say(one.outage, one.spans, before or (lost if one.mute else None))
            self._unjudged.remove(one)
        self._say(outage, spans, lost)
        self._outage = None
        self._reached.clear()

    async def _filled(
        self, monitor: Monitor, spans: Sequence[tuple[int, int, int]]
    ) -> tuple[int, str] | None:
        """Fill from the server's history; how many items stay without it, and why."""
        if not spans:
            return None
        ahead_us = self._pace.source_offset_us
        if self.config.time_policy == "receive" and (len(ahead_us) < 3 or self._speed() > 1.0):
            return len(spans), "history has no receive time, and the source's clock is not known"
        filled = await backfill(
            monitor.client,
            self._decoder,
            holes_of(spans, self.config, monitor.namespaces),
            room=self._room_for,
            timeout_s=self.settings.timeout_s,
            ahead_us=round(ahead_us.value or 0),
            reached=self._reached,
        )
        self._backfilled += filled.values
        self._wake()
        failed = filled.failed
        return (len(failed), next(iter(failed.values()))) if failed else None

    def _say(
        self, outage: Outage, spans: Sequence[tuple[int, int, int]], lost: tuple[int, str] | None
    ) -> None:
        if lost is not None:
            self._missed(outage, *lost)
        elif spans:
            self._ledger.recovered(outage.from_us, outage.to_us, "from the server's history")
        elif outage.told:
            kept = f"the server kept the values, taken up {outage.how}"
            self._ledger.recovered(
                outage.from_us, outage.to_us, kept if outage.kept else "nothing had changed"
            )

    async def _judge_before_leaving(self, monitor: Monitor) -> None:
        """The next process would know nothing of this outage: empty the queues first, shortly."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_JUDGE_S):
                while self._outage is not None and not self._ended.is_set():
                    self._begin_judging(monitor, time.monotonic())
                    await asyncio.sleep(0.02)

    def _missed(self, outage: Outage, items: int, reason: str) -> None:
        why = (
            f"{outage.seconds:.0f} s were more than the server's queues hold"
            if outage.kept
            else outage.how
        )
        self._ledger.missed(
            outage.from_us, outage.to_us, f"{why}; {items} items not filled ({reason})"
        )

    async def _room_for(self, count: int) -> None:
        while count > self.rows.room and len(self.rows):
            self._wake()
            await asyncio.sleep(0.02)

    # --- polling ---

    async def _poll(self, client: Client, identity: Identity) -> None:
        """Read all items in a cycle, for servers without subscriptions."""
        limits, profile = await read_limits(client), identity.profile
        readable = []
        for item in self.config.items:
            try:
                node = resolve(item.namespace, item.identifier, identity.namespaces)
            except InputError as fault:
                self._decoder.unsupported[item.node] = str(fault)
                continue
            readable.append((item, node))
        # The values of an answer have consecutive handles.
        for handle, (item, _) in enumerate(readable, start=1):
            self._decoder.bind(handle, item)
        self._frozen_watch.begin([item for item, _ in readable])
        requests, first = [], 1
        for chunk in chunks(readable, profile.call_for(limits.read)):
            requests.append((first, _read_of([node for _, node in chunk])))
            first += len(chunk)
        self._polled = len(readable)
        self._connected()
        period_s = profile.sampling_for(self.config.sampling_ms, len(readable)) / 1000.0
        next_probe = time.monotonic()
        while True:
            heed()
            began = time.monotonic()
            for handle, request in requests:
                await self._read(client, handle, request)
            if began >= next_probe:
                next_probe = began + self.settings.probe_s
                await self._probe(client)
                await self._look_frozen(client, began)
                self._tell_alive(began)
            await asyncio.sleep(max(0.0, began + period_s - time.monotonic()))

    async def _read(self, client: Client, first: int, request: Encoded) -> None:
        """Read one chunk of items."""
        body = await send_encoded(client, request, self.settings.timeout_s)
        found = read_results(body)
        await self._room_for(found.count)
        self._took(
            partial(self._decoder.take_read, body, found.start, found.stop, found.count, first)
        )
        self._alive()

    # --- telling ---

    def _enter(self, state: EndpointState, cause: str) -> None:
        if state is not self._state:
            self._since_us = wall_us()
            _log.info(
                "endpoint %s",
                state,
                extra={"endpoint": self.config.id, "state": str(state), "cause": cause},
            )
        self._state, self._cause = state, cause

    def _went(self, cause: str) -> None:
        """The session is over, or did not begin: say up to when it was alive, and why not since."""
        if self._state is EndpointState.CONNECTED:
            self._tell_dropped()
            self._cover(to_us=self._sure_us, alive=True, cause=self._alive_cause())
            self._ledger.gaps += 1
            self._told_at = 0.0
        if self._state is not EndpointState.QUARANTINED or not cause.startswith(self._cause):
            self._enter(EndpointState.OFFLINE, cause)
        self._tell_gap()

    def _tell_gap(self, *, final: bool = False) -> None:
        """Cover the time since the last row as a gap, now and then or at its end."""
        now = time.monotonic()
        if not final and now - self._told_at < self.settings.coverage_s:
            return
        new, self._new = self._new, False
        if final and new and not self._cause:
            # A new endpoint that connects at once has no gap: it begins here.
            self._ledger.covered_us = max(self._ledger.covered_us, self._park_now())
            return
        self._cover(to_us=self._park_now(), alive=False, cause=self._cause or "connecting")
        self._told_at = now

    def _tell_alive(self, now: float, *, force: bool = False, cause: str = "") -> None:
        self._tell_dropped()
        if force or now - self._told_at >= self.settings.coverage_s:
            self._cover(to_us=self._sure_us, alive=True, cause=cause or self._alive_cause())
            self._told_at = now

    def _alive_cause(self) -> str:
        if self._uncertain:
            return f"{CAUSE}: {', '.join(sorted(self._uncertain))}"
        if self._suggested_policy():
            return f"its clock is {(self._clock_offset_s() or 0.0) / 3600:+.2f} h off"
        return self._remark

    def _tell_dropped(self) -> None:
        """Say which rows found no room in our own buffer."""
        dropped = self.rows.take_dropped()
        if not dropped.count:
            return
        self._ledger.gaps += 1
        self._cover(to_us=dropped.from_us, alive=True, cause=self._alive_cause())
        self._cover(
            to_us=max(dropped.to_us, dropped.from_us + 1),
            alive=False,
            cause="gateway buffer full",
            lost=dropped.count,
        )

    def _cover(self, *, to_us: int, alive: bool, cause: str = "", lost: int | None = None) -> None:
        """Append a coverage row up to a park time, and the server's own overflows to alive ones."""
        if alive and self._frozen:
            alive, cause = False, self._frozen
        if alive and self._decoder.overflows > self._overflows_told:
            lost = self._decoder.overflows - self._overflows_told
            self._overflows_told = self._decoder.overflows
            cause = cause or f"the server's queue overflowed {lost} times or more"
        self._ledger.cover(to_us, alive=alive, cause=cause, lost=lost)

    def take_coverage(self) -> list[CoverageRow]:
        """Coverage rows since the last call."""
        return self._ledger.take()

    # --- status ---

    def status(self) -> EndpointStatus:
        """Where this endpoint stands."""
        now, monitor = time.monotonic(), self._monitor
        connected = self._state is EndpointState.CONNECTED
        rejected = dict(self._decoder.unsupported)
        if monitor is not None:
            rejected |= {r.item.node: r.reason for r in monitor.refused.values()}
        lag_us = self._pace.lag_us.value
        counts = self._publisher.counts
        return EndpointStatus(
            id=self.config.id,
            url=self.config.url,
            security=self.config.security,
            state=self._state,
            cause=self._hint() if connected else self._cause,
            since_us=self._since_us,
            requested=len(self.config.items),
            accepted=monitor.accepted if monitor is not None else self._polled * connected,
            delivering=self._decoder.delivering,
            values_per_s=self._pace.rate(now),
            lag_ms=None if lag_us is None else lag_us / 1000.0,
            clock_offset_s=self._clock_offset_s(),
            time_policy=self.config.time_policy,
            bridge_s=monitor.bridge_s if monitor is not None else None,
            gaps=self._ledger.gaps,
            lost=self._ledger.lost + self.rows.dropped.count,
            rejected=rejected,
            overflows=self._decoder.overflows,
            resumed=self._resumes,
            republished=counts.again,
            backfilled=self._backfilled,
            profile=self._identity.profile.name if self._identity is not None else "",
            bad=self._decoder.bad,
            values=self._decoder.taken,
            reconnects=max(0, self._sessions - 1),
            frozen=self._alive_cause() if self._uncertain else self._frozen,
            suggested_policy=self._suggested_policy(),
            last_gaps=tuple(dict(gap) for gap in self._ledger.recent),
        )

    def session(self) -> tuple[Client, tuple[str, ...]]:
        """The connected client and the namespaces of its session, to write or call over it.

        Raises
        ------
        Unavailable
            While the server is not connected, or is not the one that was registered.
        """
        client, identity = self._client, self._identity
        connected = self._state is EndpointState.CONNECTED
        if not connected or client is None or identity is None or not is_open(client):
            raise Unavailable(
                f"endpoint {self.config.id} is {self._state}, not connected"
                + (f" ({self._cause})" if self._cause else ""),
                f"`parktwin endpoint show {self.config.id}` says how it is",
            )
        return client, identity.namespaces

    def tag_counts(self) -> dict[int, dict[str, object]]:
        """How each tag does since the endpoint was started; plain values.

        ``values_per_s`` is a mean since then; ``refused`` says why the server sends nothing.
        """
        seconds = max(time.monotonic() - self._made_at, 1.0)
        refused = dict(self._decoder.unsupported)
        if self._monitor is not None:
            refused |= {r.item.node: r.reason for r in self._monitor.refused.values()}
        told: dict[int, dict[str, object]] = {}
        for handle, item in enumerate(self.config.items, start=1):
            values, bad, overflowed, last_us = self._decoder.counts(handle)
            told[item.tag] = {
                "values": values,
                "bad": bad,
                "overflowed": overflowed,
                "bad_share": bad / values if values else None,
                "values_per_s": values / seconds,
                "source_at": None if last_us is None else from_us(last_us).isoformat(),
                "refused": refused.get(item.node, ""),
            }
        return told

    def _clock_offset_s(self) -> float | None:
        """Offset of source times to park time; of the server's clock to ours while none moves."""
        if len(self._pace.source_offset_us) >= 3:
            offset_us = self._pace.source_offset_us.value
        else:
            offset_us = self._pace.server_offset_us.value
        return None if offset_us is None else offset_us / 1e6

    def _suggested_policy(self) -> str:
        """A source clock that is far off: the server's if that is right, else our own."""
        offset_s, most_s = self._clock_offset_s(), _SUSPICIOUS_OFFSET_S * self._speed()
        wrong = offset_s is not None and abs(offset_s) > most_s
        server_us = self._pace.server_offset_us.value
        if self.config.time_policy == "source" and wrong:
            # In a demo the server's clock is ours, and not the park's.
            right = server_us is not None and abs(server_us) <= most_s * 1e6 and most_s <= 60.0
            return "server" if right else "receive"
        server_wrong = server_us is not None and abs(server_us) > _SUSPICIOUS_OFFSET_S * 1e6
        return "receive" if self.config.time_policy == "server" and server_wrong else ""

    def _speed(self) -> float:
        """Pace of the park clock: at 60× a second on the way is a minute of park time."""
        return max(1.0, float(getattr(self._park_now, "speed", 1.0)))

    def _hint(self) -> str:
        """What is remarkable about a connected endpoint, and what to do."""
        hints = [self._remark] if self._remark else []
        hints += self._frozen_watch.hints
        if policy := self._suggested_policy():
            offset_s = self._clock_offset_s() or 0.0
            hints.append(
                f"its clock is {offset_s / 3600:+.2f} h off: correct it, or set time_policy "
                f"{policy}"
            )
        if self._pace.jumps:
            hints.append(f"the server's clock jumped {self._pace.jumps} times: is it synchronised?")
        if self._publisher.counts.storms:
            hints.append("the server floods us with empty keep-alives: look at its settings")
        if self._publisher.stalled:
            hints.append("our buffer is full: the server's queues hold the values for now")
        monitor = self._monitor
        if monitor is not None and monitor.short_queues:
            hints.append(
                f"the server gave {monitor.short_queues} items a queue shorter than one publishing "
                "interval: publish more often or sample less"
            )
        if monitor is not None and monitor.slower:
            hints.append(monitor.slower)
        if monitor is not None and monitor.plain:
            hints.append(f"{len(monitor.plain)} items have no deadband: the server cannot")
        return "; ".join(hints)


def _noted(path: Path | None, marks: Marks | None) -> Kept | None:
    """What an earlier process kept, if anything."""
    kept = read_kept(path) if path is not None else None
    return marks.onto(kept) if kept is not None and marks is not None else kept


def is_open_state(state: EndpointState) -> bool:
    """Whether values count in this state."""
    return state is EndpointState.CONNECTED


async def _sent(client: Client, request: object, timeout_s: float) -> Bytes:
    if isinstance(request, ua.PublishRequest):
        return await send_encoded(client, Encoded(request), timeout_s)
    return await send(client, request, timeout_s)


def _read_of(nodes: list[ua.NodeId]) -> Encoded:
    """A read of values with both times."""
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    for node in nodes:
        one = ua.ReadValueId()
        one.NodeId = node
        one.AttributeId = AttributeIds.Value
        request.Parameters.NodesToRead.append(one)
    return Encoded(request)


def _differ(known: str, now: str) -> bool:
    """Whether two URIs are both told and not the same."""
    return bool(known and now and known != now)
