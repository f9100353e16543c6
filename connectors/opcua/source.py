"""One endpoint: connect, verify, subscribe, watch, and tell what was covered and what was not.

The supervision is ours. asyncua's own reconnect resubscribes by namespace index (wrong tags after a
server restart that numbers them differently) and its stale watchdog throws away queued data; so
every loss ends the client, and every connect begins with a new one that reads the namespaces again.

``CONNECTING → CONNECTED → OFFLINE → CONNECTING …``, with ``QUARANTINED`` when a namespace is
missing or another server answers at the address: then no value counts until it is as it was.

**Frozen.** A gateway in front of a dead PLC may answer Good for ever. When the source times of an
endpoint, which used to move, have stood still for `SourceSettings.frozen_s` while the server's own
clock runs, the values are read once; when that shows no newer time either, the coverage rows stay
alive with cause ``frozen``, and the state shows the values as stale.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.clock import ParkClock, RunningMedian, wall_us
from connectors.coverage import CoverageRow
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.monitor import Monitor, chunks
from connectors.opcua.nodes import resolve
from connectors.opcua.report import EndpointState, EndpointStatus
from connectors.opcua.rows import Rows
from connectors.opcua.security import Pki
from connectors.opcua.session import (
    Identity,
    close,
    explain,
    open_session,
    read_identity,
    read_limits,
    read_values,
)
from models.errors import InputError, TwinError, Unavailable
from twin.samples import to_us

_log = logging.getLogger(__name__)

CAUSE_FROZEN: Final = "frozen"
_SUSPICIOUS_OFFSET_S: Final = 60.0
_CLOCK_UNKNOWN_US: Final = 365 * 86_400 * 1_000_000
"""A park clock in 1970 does not know its time."""
_FROZEN_AFTER_MOVES: Final = 20
_FROZEN_INTERVALS: Final = 20.0
_FROZEN_READ: Final = 50
_ASKED_AGAIN: Final = 10
"""Messages asked for again at most; a longer hole is a gap at once."""
_RATE_WINDOW_S: Final = 10.0


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
        Rows buffered at most before they are dropped and counted.
    """

    timeout_s: float = 5.0
    probe_s: float = 2.0
    silence_s: float = 8.0
    backoff_first_s: float = 0.5
    backoff_most_s: float = 15.0
    coverage_s: float = 10.0
    frozen_s: float = 60.0
    rows: int = 200_000


@dataclass(slots=True)
class Pace:
    """What the messages of an endpoint tell about its speed and its clock."""

    counts: deque[tuple[float, int]] = field(default_factory=deque)
    lag_us: RunningMedian = field(default_factory=lambda: RunningMedian(31))
    source_offset_us: RunningMedian = field(default_factory=lambda: RunningMedian(31))
    server_offset_us: RunningMedian = field(default_factory=lambda: RunningMedian(15))
    moved_at: float = 0.0
    moves: int = 0
    interval_s: float = 0.0

    def count(self, now: float, values: int) -> None:
        """Note values that arrived [monotonic s]."""
        self.counts.append((now, values))
        while self.counts and self.counts[0][0] < now - _RATE_WINDOW_S:
            self.counts.popleft()

    def moved(self, now: float) -> None:
        """Note that the newest source time went forward."""
        if self.moves:
            step = now - self.moved_at
            self.interval_s += (step - self.interval_s) / min(self.moves, 50)
        self.moves += 1
        self.moved_at = now

    def rate(self, now: float) -> float:
        """Values per second over the window."""
        recent = sum(n for at, n in self.counts if at >= now - _RATE_WINDOW_S)
        return recent / _RATE_WINDOW_S

    def stands_still(self, now: float, frozen_s: float) -> bool:
        """Whether source times, which used to move, have stood still for suspiciously long."""
        if not frozen_s or self.moves < _FROZEN_AFTER_MOVES:
            return False
        return now - self.moved_at > max(frozen_s, _FROZEN_INTERVALS * self.interval_s)


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
    ) -> None:
        self.config = config
        self.settings = settings or SourceSettings()
        self.rows = Rows(limit=self.settings.rows)
        self.coverage: list[CoverageRow] = []
        self.known = known
        self._park_now, self._pki, self._wake = park_now, pki, wake
        self._decoder = Decoder(
            self.rows, config.time_policy, park_now, round(config.publishing_ms * 1000)
        )
        self._state, self._cause = EndpointState.CONNECTING, ""
        self._since_us = wall_us()
        self._new, self._absent = covered_us is None, absent
        self._covered_us = park_now() if covered_us is None else covered_us
        self._told_at = 0.0
        self._heard_at = 0.0
        self._heard_us = self._covered_us
        self._answered_at = 0.0
        self._delay_s = self.settings.backoff_first_s
        self._rng = np.random.default_rng()
        self._pace = Pace()
        self._monitor: Monitor | None = None
        self._identity: Identity | None = None
        self._ended = asyncio.Event()
        self._end_cause = ""
        self._sequence: dict[int, int] = {}
        self._missing: list[tuple[int, int]] = []
        self._fresh = False
        self._frozen = False
        self._remark = ""
        self._overflows_told = 0
        self._gaps = self._lost = 0
        self._polled = 0
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    def start(self) -> None:
        """Begin to connect, and keep trying until `stop`."""
        if not self._new:
            self._cover(to_us=self._park_now(), alive=False, cause=self._absent)
        self._task = asyncio.create_task(self._supervise(), name=f"opcua {self.config.id}")

    async def stop(self, cause: str = "gateway stopped") -> None:
        """Disconnect and tell what was covered up to now."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._tell_dropped()
        if self._state is EndpointState.CONNECTED:
            self._cover(to_us=self._heard_us, alive=True)
        else:
            self._cover(to_us=self._park_now(), alive=False, cause=self._cause or cause)
        self._enter(EndpointState.OFFLINE, cause)

    @property
    def covered_us(self) -> int:
        """Park time up to which coverage was told [us]."""
        return self._covered_us

    async def _supervise(self) -> None:
        while True:
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
        client = await open_session(self.config, self._pki, self.settings.timeout_s)
        try:
            self._ended.clear()
            self._end_cause = ""
            self._answered_at = self._heard_at = time.monotonic()
            identity = await read_identity(client)
            self._verify(identity)
            if self.config.poll:
                await self._poll(client, identity)
            else:
                await self._subscribe(client, identity)
                await self._watch(client)
        finally:
            self._decoder.unbind_all()
            self._monitor = None
            self._sequence.clear()
            if self._missing:
                self._missing.clear()
                self._lost_messages()
            await close(client)

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

    async def _subscribe(self, client: Client, identity: Identity) -> None:
        limits = await read_limits(client)
        monitor = Monitor(
            client, self.config, identity.namespaces, limits.monitor, self._on_message
        )
        self._monitor = monitor
        handles = list(enumerate(self.config.items, start=1))
        for handle, item in handles:
            self._decoder.bind(handle, item)
        self._fresh = True
        await monitor.start(handles, time.monotonic())
        self._connected()

    def _connected(self) -> None:
        """Values count from here on: close the gap."""
        self._tell_gap(final=True)
        self._heard_at = time.monotonic()
        self._heard_us = max(self._park_now(), self._covered_us)
        self._delay_s = self.settings.backoff_first_s
        self._enter(EndpointState.CONNECTED, "")

    def _on_message(self, message: ua.PublishResult) -> None:
        """Take one message: count it as a sign of life, and put its values into the buffer."""
        now = time.monotonic()
        notification = message.NotificationMessage
        parts = notification.NotificationData
        if not parts:
            self._alive(now)
            return
        self._check_sequence(int(message.SubscriptionId), int(notification.SequenceNumber))
        for part in parts:
            if isinstance(part, ua.DataChangeNotification):
                items = part.MonitoredItems
                self._take(((i.ClientHandle, i.Value) for i in items), len(items), now)
                self._alive(now)
            elif isinstance(part, ua.StatusChangeNotification):
                self._end(f"the server ended the subscription ({part.Status.name})")

    def _take(self, values: Iterable[tuple[int, ua.DataValue]], count: int, now: float) -> None:
        decoder = self._decoder
        before, taken = decoder.newest_us, decoder.taken
        newest = decoder.take(values, count)
        self._pace.count(now, decoder.taken - taken)
        if newest is not None and (before is None or newest > before):
            self._pace.moved(now)
            # The first message of a subscription carries old values, whose age is no lag.
            if not self._fresh:
                self._pace.source_offset_us.add(newest - self._park_now())
                at_us = newest if self.config.time_policy == "source" else self.rows.at[-1]
                self._pace.lag_us.add(self._park_now() - at_us)
        self._fresh = False
        self._wake()

    def _alive(self, now: float) -> None:
        self._heard_at = self._answered_at = now
        self._heard_us = self._park_now()

    def _end(self, cause: str) -> None:
        """Have the session ended by the watcher."""
        if not self._ended.is_set():
            self._end_cause = cause
            self._ended.set()

    def _check_sequence(self, subscription: int, number: int) -> None:
        """Notice messages the server sent and we did not get (Part 4, 5.14.1.1)."""
        last = self._sequence.get(subscription)
        self._sequence[subscription] = number
        if last is None:
            return
        expected = last % 0xFFFF_FFFF + 1
        if number - expected > _ASKED_AGAIN:
            self._lost_messages()
            return
        self._missing.extend((subscription, missing) for missing in range(expected, number))

    def _lost_messages(self) -> None:
        """What the server sent since the last row told cannot be vouched for."""
        self._gaps += 1
        self._cover(to_us=self._heard_us, alive=False, cause="a message of the server was lost")

    async def _fetch_missing(self, client: Client) -> None:
        """Ask for missing messages again; what the server no longer has becomes a gap."""
        while self._missing:
            subscription, number = self._missing[0]
            try:
                notification = await client.uaclient.session.republish(subscription, number)
            except UaStatusCodeError:
                del self._missing[0]
                self._lost_messages()
                continue
            # Only now: when the connection is lost instead of an answer, it is still missing.
            del self._missing[0]
            for part in notification.NotificationData or ():
                if isinstance(part, ua.DataChangeNotification):
                    pairs = ((i.ClientHandle, i.Value) for i in part.MonitoredItems)
                    self._take(pairs, len(part.MonitoredItems), time.monotonic())

    # --- watching ---

    async def _watch(self, client: Client) -> None:
        """Probe and tell until the session is over.

        Raises
        ------
        Unavailable
            With the cause, when it is over.
        """
        async with client.uaclient.subscribe_state() as states:
            lost = asyncio.create_task(states.wait_for_state(UaClientState.DISCONNECTED))
            ended = asyncio.create_task(self._ended.wait())
            try:
                while True:
                    await asyncio.wait(
                        {lost, ended},
                        timeout=self.settings.probe_s,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    # Of a lost connection asyncua also tells the subscriptions: look at it first.
                    if lost.done() or client.state is not UaClientState.CONNECTED:
                        raise Unavailable("connection lost")
                    if ended.done():
                        raise Unavailable(self._end_cause)
                    await self._tick(client)
            finally:
                lost.cancel()
                ended.cancel()
                await asyncio.gather(lost, ended, return_exceptions=True)

    async def _tick(self, client: Client) -> None:
        await self._probe(client)
        now = time.monotonic()
        silent_s = now - max(self._heard_at, self._answered_at)
        if silent_s > self.settings.silence_s:
            raise Unavailable(f"no answer for {silent_s:.0f} s")
        monitor = self._monitor
        if monitor is not None:
            allowed_s = 2 * monitor.silence_s + self.settings.silence_s
            if monitor.accepted and now - self._heard_at > allowed_s:
                raise Unavailable(f"the subscription is silent for {now - self._heard_at:.0f} s")
            await monitor.retry(now)
            if self._missing:
                await self._fetch_missing(client)
        await self._look_frozen(client, now)
        self._tell_alive(now)

    async def _probe(self, client: Client) -> None:
        """One read of the server's status, apart from the values; a failure is judged later."""
        before_us = wall_us()
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
        middle_us = (before_us + wall_us()) // 2
        if isinstance(current, datetime):
            self._pace.server_offset_us.add(to_us(current) - middle_us)
        self._remark = (
            f"the server says it is {ua.ServerState(state).name}"
            if isinstance(state, int) and state
            else ""
        )

    async def _look_frozen(self, client: Client, now: float) -> None:
        if not self._pace.stands_still(now, self.settings.frozen_s):
            self._frozen = False
            return
        if self._frozen or self._identity is None:
            return
        # Report by exception: a steady value sends nothing, but reading it shows another time; an
        # earlier one when somebody has set the clock back.
        newest = await self._newest_read(client, self._identity)
        if newest is not None and newest != self._decoder.newest_us:
            self._decoder.newest_us = newest
            self._pace.moved_at = now
            return
        self._tell_alive(now, force=True)
        self._frozen = True

    async def _newest_read(self, client: Client, identity: Identity) -> int | None:
        nodes = []
        for item in self.config.items[:_FROZEN_READ]:
            try:
                nodes.append(resolve(item.namespace, item.identifier, identity.namespaces))
            except InputError:
                continue
        values = await client.uaclient.read_attributes(nodes, AttributeIds.Value)
        times = [to_us(v.SourceTimestamp) for v in values if v.SourceTimestamp is not None]
        return max(times, default=None)

    # --- polling ---

    async def _poll(self, client: Client, identity: Identity) -> None:
        """Read all items in a cycle, for servers without subscriptions."""
        limits = await read_limits(client)
        readable: list[tuple[int, ua.NodeId]] = []
        for handle, item in enumerate(self.config.items, start=1):
            try:
                readable.append(
                    (handle, resolve(item.namespace, item.identifier, identity.namespaces))
                )
            except InputError as fault:
                self._decoder.unsupported[item.node] = str(fault)
                continue
            self._decoder.bind(handle, item)
        self._polled = len(readable)
        self._connected()
        period_s = self.config.sampling_ms / 1000.0
        last: dict[int, tuple[object, ...]] = {}
        next_probe = time.monotonic()
        while True:
            began = time.monotonic()
            for chunk in chunks(readable, limits.read):
                async with asyncio.timeout(self.settings.timeout_s):
                    values = await client.uaclient.read_attributes(
                        [node for _, node in chunk], AttributeIds.Value
                    )
                news = _changed(((h, v) for (h, _), v in zip(chunk, values, strict=True)), last)
                self._take(news, len(news), time.monotonic())
                self._alive(time.monotonic())
            if began >= next_probe:
                next_probe = began + self.settings.probe_s
                await self._probe(client)
                await self._look_frozen(client, began)
                self._tell_alive(began)
            await asyncio.sleep(max(0.0, began + period_s - time.monotonic()))

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
            self._cover(to_us=self._heard_us, alive=True, cause=self._alive_cause())
            self._gaps += 1
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
            self._covered_us = max(self._covered_us, self._park_now())
            return
        self._cover(to_us=self._park_now(), alive=False, cause=self._cause or "connecting")
        self._told_at = now

    def _tell_alive(self, now: float, *, force: bool = False) -> None:
        self._tell_dropped()
        if force or now - self._told_at >= self.settings.coverage_s:
            self._cover(to_us=self._heard_us, alive=True, cause=self._alive_cause())
            self._told_at = now

    def _alive_cause(self) -> str:
        return CAUSE_FROZEN if self._frozen else self._remark

    def _tell_dropped(self) -> None:
        """Say which rows found no room in our own buffer."""
        dropped = self.rows.take_dropped()
        if not dropped.count:
            return
        self._gaps += 1
        self._lost += dropped.count
        self._cover(to_us=dropped.from_us, alive=True, cause=self._alive_cause())
        self._cover(
            to_us=max(dropped.to_us, dropped.from_us + 1),
            alive=False,
            cause="gateway buffer full",
            lost=dropped.count,
        )

    def _cover(self, *, to_us: int, alive: bool, cause: str = "", lost: int | None = None) -> None:
        """Append a coverage row up to a park time, and the server's own overflows to alive ones."""
        if alive and self._decoder.overflows > self._overflows_told:
            lost = self._decoder.overflows - self._overflows_told
            self._overflows_told = self._decoder.overflows
            self._lost += lost
            cause = cause or f"the server's queue overflowed {lost} times or more"
        if self._covered_us < _CLOCK_UNKNOWN_US:
            # The plant that keeps the park clock was not up: there is no time to cover yet.
            self._covered_us = to_us
            return
        if to_us <= self._covered_us and not lost:
            return
        end = max(to_us, self._covered_us)
        self.coverage.append(
            CoverageRow(
                endpoint=self.config.id,
                from_us=self._covered_us,
                to_us=end,
                alive=alive,
                cause=cause,
                lost=lost,
            )
        )
        self._covered_us = end
        self._wake()

    def take_coverage(self) -> list[CoverageRow]:
        """Coverage rows since the last call."""
        told, self.coverage = self.coverage, []
        return told

    # --- status ---

    def status(self) -> EndpointStatus:
        """Where this endpoint stands."""
        now, monitor = time.monotonic(), self._monitor
        connected = self._state is EndpointState.CONNECTED
        rejected = dict(self._decoder.unsupported)
        if monitor is not None:
            rejected |= {r.item.node: r.reason for r in monitor.refused.values()}
        lag_us = self._pace.lag_us.value
        return EndpointStatus(
            id=self.config.id,
            url=self.config.url,
            security=self.config.security,
            state=self._state,
            cause=self._hint() if connected else self._cause,
            since_us=self._since_us,
            requested=len(self.config.items),
            accepted=monitor.accepted if monitor is not None else self._polled * connected,
            delivering=len(self._decoder.heard),
            values_per_s=self._pace.rate(now),
            lag_ms=None if lag_us is None else lag_us / 1000.0,
            clock_offset_s=self._clock_offset_s(),
            time_policy=self.config.time_policy,
            bridge_s=monitor.bridge_s if monitor is not None else None,
            gaps=self._gaps,
            lost=self._lost + self.rows.dropped.count,
            rejected=rejected,
        )

    def _clock_offset_s(self) -> float | None:
        """Offset of source times to park time; of the server's clock to ours while none moves."""
        if len(self._pace.source_offset_us) >= 3:
            offset_us = self._pace.source_offset_us.value
        else:
            offset_us = self._pace.server_offset_us.value
        return None if offset_us is None else offset_us / 1e6

    def _speed(self) -> float:
        """Pace of the park clock: at 60× a second on the way is a minute of park time."""
        return max(1.0, float(getattr(self._park_now, "speed", 1.0)))

    def _hint(self) -> str:
        """What is remarkable about a connected endpoint, and what to do."""
        hints = [self._remark] if self._remark else []
        if self._frozen:
            hints.append("frozen: source times stand still, is the PLC behind the server alive?")
        offset_s = self._clock_offset_s()
        if (
            offset_s is not None
            and abs(offset_s) > _SUSPICIOUS_OFFSET_S * self._speed()
            and self.config.time_policy == "source"
        ):
            hints.append(
                f"its clock is {offset_s / 3600:+.2f} h off: correct it, or set time_policy receive"
            )
        monitor = self._monitor
        if monitor is not None and monitor.short_queues:
            hints.append(
                f"the server gave {monitor.short_queues} items a queue shorter than one publishing "
                "interval: publish more often or sample less"
            )
        return "; ".join(hints)


def _differ(known: str, now: str) -> bool:
    """Whether two URIs are both told and not the same."""
    return bool(known and now and known != now)


def _changed(
    values: Iterable[tuple[int, ua.DataValue]], last: dict[int, tuple[object, ...]]
) -> list[tuple[int, ua.DataValue]]:
    """Values that differ from the last read in value, status or source time."""
    news = []
    for handle, value in values:
        raw = value.Value.Value if value.Value is not None else None
        code = value.StatusCode.value if value.StatusCode is not None else 0
        mark = (repr(raw), code, value.SourceTimestamp)
        if last.get(handle) != mark:
            last[handle] = mark
            news.append((handle, value))
    return news
