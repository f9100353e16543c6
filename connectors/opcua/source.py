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
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.clock import ParkClock, wall_us
from connectors.coverage import CoverageRow
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder, warm
from connectors.opcua.events import Notifiers
from connectors.opcua.frozen import CAUSE, FrozenWatch
from connectors.opcua.hooks import heed, is_open
from connectors.opcua.intake import Intake
from connectors.opcua.judging import Judge
from connectors.opcua.keeping import Keeping
from connectors.opcua.pace import Pace
from connectors.opcua.polling import Polling
from connectors.opcua.publishing import Publisher
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
    read_values,
)
from connectors.opcua.subscriptions import Subscriptions
from connectors.opcua.supervision import SourceSettings
from connectors.opcua.telling import Telling
from models.errors import TwinError, Unavailable
from twin.samples import from_us, to_us
from twin.status import UNCERTAIN_LAST_USABLE_VALUE

__all__ = ["Source", "SourceSettings"]

_log = logging.getLogger(__name__)

_LINGER_PART: Final = 8.0
"""Part of a publishing interval for which rows wait to share a batch."""
_TICKET_TRIES: Final = 3
_CANCELS: Final = 3


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
    ) -> None:
        self.config = config
        self.settings = settings or SourceSettings()
        self.rows = Rows(limit=self.settings.rows)
        self.known = known
        self._park_now, self._pki, self._wake, self._absent = park_now, pki, wake, absent
        publishing_us = round(config.publishing_ms * 1000)
        self._decoder = Decoder(self.rows, config.time_policy, park_now, publishing_us)
        for handle, item in enumerate(config.items, start=1):
            self._decoder.bind(handle, item)
        self._pace = Pace()
        self._publisher = Publisher(
            take=lambda message, body: self._subscriptions.take(message, body),
            heard=lambda: self._telling.heard(),
            lost=lambda _, cause: self._subscriptions.lost(cause),
            ended=lambda cause: self._subscriptions.end(cause),
            timeout_s=self.settings.timeout_s,
        )
        self._frozen_watch = FrozenWatch(config, self.settings.frozen_s)
        self._notifiers = Notifiers(config, self.rows, park_now)
        self._telling = Telling(
            config,
            self.settings.coverage_s,
            rows=self.rows,
            decoder=self._decoder,
            pace=self._pace,
            publisher=self._publisher,
            frozen_watch=self._frozen_watch,
            notifiers=self._notifiers,
            park_now=park_now,
            wake=wake,
            covered_us=covered_us,
        )
        self._intake = Intake(
            config,
            rows=self.rows,
            decoder=self._decoder,
            pace=self._pace,
            park_now=park_now,
            wake=wake,
        )
        self._judge = Judge(
            config,
            self.settings.timeout_s,
            decoder=self._decoder,
            pace=self._pace,
            publisher=self._publisher,
            intake=self._intake,
            telling=self._telling,
            publishing_us=publishing_us,
            end=lambda cause: self._subscriptions.end(cause),
        )
        self._keeping = Keeping(
            config,
            keep,
            decoder=self._decoder,
            publisher=self._publisher,
            telling=self._telling,
        )
        self._subscriptions = Subscriptions(
            config,
            self.settings,
            decoder=self._decoder,
            pace=self._pace,
            publisher=self._publisher,
            intake=self._intake,
            telling=self._telling,
            judge=self._judge,
            keeping=self._keeping,
            notifiers=self._notifiers,
            now_us=park_now,
            connected=self._connected,
        )
        self._polling = Polling(
            config,
            self.settings,
            decoder=self._decoder,
            intake=self._intake,
            telling=self._telling,
            frozen_watch=self._frozen_watch,
            connected=self._connected,
            tick=self._look,
        )
        self._delay_s = self.settings.backoff_first_s
        self._rng = np.random.default_rng()
        self._client: Client | None = None
        self._active = asyncio.Event()
        self._active.set()
        self._ready = False
        self._ticket_tries = 0
        self._leaving, self._stopping = True, False
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    def start(self) -> None:
        """Begin to connect, and keep trying until `stop`."""
        if not self._telling.new:
            self._telling.ledger.cover(self._park_now(), alive=False, cause=self._absent)
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
        self._keeping.end(stay=stay)
        self._telling.stopped(cause)

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
        return self._telling.state

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
        self._telling.led(covered_us)
        self._active.set()

    @property
    def linger_s(self) -> float:
        """Time its rows may wait for others without being late [s]."""
        fastest = (self.config.intervals_of(item)[0] for item in self.config.items)
        return min(fastest, default=self.config.publishing_ms) / 1000.0 / _LINGER_PART

    @property
    def covered_us(self) -> int:
        """Park time up to which coverage was told [us]."""
        return self._telling.ledger.covered_us

    async def _supervise(self) -> None:
        # Before anything is subscribed: loading compiled code would let the first queues overflow.
        await asyncio.to_thread(warm)
        while True:
            heed()
            try:
                await self._serve()
            except (TwinError, UaError, OSError, TimeoutError) as fault:
                what, remedy = explain(fault)
                self._telling.went(f"{what}: {remedy}" if remedy else what)
            except Exception as fault:  # noqa: BLE001 - what foreign bytes do ends this session only
                _log.exception("session failed", extra={"endpoint": self.config.id})
                self._telling.went(f"unexpected answer ({type(fault).__name__}: {fault})")
            await self._pause(self._delay_s * float(self._rng.uniform(0.5, 1.0)))
            self._delay_s = min(self._delay_s * 2, self.settings.backoff_most_s)

    async def _pause(self, seconds: float) -> None:
        """Wait, telling the gap as it grows."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.settings.coverage_s))
            self._telling.gap()

    async def _serve(self) -> None:
        """One session, from connect to loss; returns or raises when it is over."""
        opened, identity = await self._open()
        client, whole = opened.client, False
        self._client = client
        try:
            self._subscriptions.begin()
            self._telling.spoke = True
            self._telling.answered_at = self._telling.heard_at = time.monotonic()
            heed()
            await self._wait_for_lead(client)
            if self.config.poll:
                await self._polling.run(client, identity)
            else:
                await self._subscriptions.start(opened, identity)
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
                silent_s = time.monotonic() - self._telling.answered_at
                if not is_open(client) or silent_s > self.settings.silence_s:
                    raise Unavailable("connection lost")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.probe_s):
                        await self._active.wait()
        finally:
            self._ready = False

    def _connected(self) -> None:
        """Values count from here on."""
        self._telling.connected()
        self._delay_s = self.settings.backoff_first_s

    async def _part(self, client: Client, *, whole: bool) -> None:
        """End a session: leave it to be taken up, or close it."""
        self._client = None
        telling, keeping, subscriptions = self._telling, self._keeping, self._subscriptions
        monitor = telling.monitor
        if whole and monitor is not None and is_open(client) and self._stopping:
            await self._judge.before_leaving(monitor, subscriptions.ended)
        await self._judge.part(monitor)
        await self._publisher.stop()
        telling.heard_us = telling.sure_us
        if whole:
            keeping.note()
        telling.monitor = None
        if whole and not telling.spoke:
            # Taken up, but silent: begin anew instead of taking it up for ever.
            keeping.forget()
            await close(client)
        elif whole and self._leaving and not subscriptions.end_cause:
            await leave(client)
        elif is_open(client):
            keeping.forget()
            await close(client)
        else:
            # The server ended it, or never had it whole.
            keeping.forget_session()
            await leave(client)

    async def _open(self) -> tuple[Opened, Identity]:
        """Connect, with the session of before if it is still there, and see who answers.

        Raises
        ------
        TwinError
            With the cause.
        """
        kept = self._keeping.of(self.config)
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
                    self._keeping.forget_session()
                    self._ticket_tries = 0
            raise
        self._ticket_tries = 0
        if opened.resumed and kept is not None and not kept.same_server(identity):
            # A token given before a restart may be somebody else's now.
            await leave(opened.client)
            self._keeping.forget_session()
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
            self._telling.enter(EndpointState.QUARANTINED, cause)
            raise Unavailable(cause)
        self._telling.identity = identity
        self.known = (
            identity.application_uri or known_application,
            identity.product_uri or known_product,
        )

    # --- handing over ---

    def drain(self) -> pa.RecordBatch:
        """The rows so far as one batch; after `handed` their messages are acknowledged."""
        batch = self.rows.drain()
        self._subscriptions.drained()
        return batch

    def handed(self) -> None:
        """Everything drained is stored: once that is noted, the server may forget it."""
        self._keeping.handed()

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
                    ended = await self._subscriptions.ended.wait()
            except TimeoutError:
                pass
            if ended:
                raise Unavailable(self._subscriptions.lost_cause)
            if not is_open(client):
                raise Unavailable("connection lost")
            await self._tick(client)

    async def _tick(self, client: Client) -> None:
        await self._probe(client)
        now, telling = time.monotonic(), self._telling
        silent_s = now - max(telling.heard_at, telling.answered_at)
        if silent_s > self.settings.silence_s:
            raise Unavailable(f"no answer for {silent_s:.0f} s")
        await self._subscriptions.watch(client, now)
        await self._look_frozen(client, now)
        telling.alive(now)

    async def _look(self, client: Client, began: float) -> None:
        """One look at a server that is polled, from `began` on [monotonic s]."""
        await self._probe(client)
        await self._look_frozen(client, began)
        self._telling.alive(began)

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
        answered_at = self._telling.answered_at = time.monotonic()
        self._frozen_watch.server_time(current, answered_at)
        self._pace.round_trip_s.add(answered_at - before)
        middle_us = (before_us + wall_us()) // 2
        jumped = isinstance(current, datetime) and self._pace.clock(to_us(current) - middle_us)
        self._telling.remark = (
            f"the server says it is {ua.ServerState(state).name}"
            if isinstance(state, int) and state
            else ""
        )
        if jumped:
            self._telling.alive(time.monotonic(), force=True, cause="the server's clock jumped")

    async def _look_frozen(self, client: Client, now: float) -> None:
        telling = self._telling
        if telling.identity is None:
            return
        watch, namespaces = self._frozen_watch, telling.identity.namespaces
        blind = self._publisher.stalled or self._publisher.paused or self._judge.outage is not None
        await watch.look(client, namespaces, self._decoder, self._pace, now, blind=blind)
        telling.froze(f"{CAUSE}: {watch.cause}" if watch.cause else "", now)
        devices = frozenset(watch.devices)
        for device in devices ^ telling.uncertain:
            await self._retell(client, namespaces, device, uncertain=device in devices)
        telling.uncertain = devices

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

    # --- telling ---

    def take_coverage(self) -> list[CoverageRow]:
        """Coverage rows since the last call."""
        return self._telling.ledger.take()

    def status(self) -> EndpointStatus:
        """Where this endpoint stands."""
        return replace(self._telling.status(), model_changes=self._notifiers.model_changes)

    def session(self) -> tuple[Client, tuple[str, ...]]:
        """The connected client and the namespaces of its session, to write or call over it.

        Raises
        ------
        Unavailable
            While the server is not connected, or is not the one that was registered.
        """
        client, identity = self._client, self._telling.identity
        connected = self._telling.state is EndpointState.CONNECTED
        if not connected or client is None or identity is None or not is_open(client):
            raise Unavailable(
                f"endpoint {self.config.id} is {self._telling.state}, not connected"
                + (f" ({self._telling.cause})" if self._telling.cause else ""),
                f"`parktwin endpoint show {self.config.id}` says how it is",
            )
        return client, identity.namespaces

    def tag_counts(self) -> dict[int, dict[str, object]]:
        """How each tag does since the endpoint was started; plain values."""
        return self._telling.tag_counts()


def _differ(known: str, now: str) -> bool:
    """Whether two URIs are both told and not the same."""
    return bool(known and now and known != now)
