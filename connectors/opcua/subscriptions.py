"""The subscriptions of one endpoint: begun or taken up, watched over, and their messages taken."""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from asyncua import ua
from asyncua.client.client import Client

from connectors.opcua.budget import budget_of
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.events import Notifiers
from connectors.opcua.hooks import Encoded, send, send_encoded
from connectors.opcua.intake import Intake
from connectors.opcua.judging import Judge
from connectors.opcua.keeping import Keeping
from connectors.opcua.kernel import Bytes
from connectors.opcua.monitor import Monitor, Subscribed
from connectors.opcua.pace import Pace
from connectors.opcua.publishing import TOO_LARGE, Publisher
from connectors.opcua.recovery import transfer
from connectors.opcua.session import Identity, Opened, read_limits
from connectors.opcua.supervision import SourceSettings
from connectors.opcua.telling import Telling
from connectors.opcua.wire import Content, Notification, Part
from models.errors import Unavailable


class Subscriptions:
    """What an endpoint is subscribed to, over one session after the other.

    Parameters
    ----------
    config, settings
        The endpoint, and how it is supervised.
    decoder, pace, publisher, intake, telling, judge, keeping, notifiers
        Parts of the source.
    now_us
        Park clock.
    connected
        Called when values count.
    """

    def __init__(
        self,
        config: EndpointConfig,
        settings: SourceSettings,
        *,
        decoder: Decoder,
        pace: Pace,
        publisher: Publisher,
        intake: Intake,
        telling: Telling,
        judge: Judge,
        keeping: Keeping,
        notifiers: Notifiers,
        now_us: Callable[[], int],
        connected: Callable[[], None],
    ) -> None:
        self._config, self._settings = config, settings
        self._decoder, self._pace, self._publisher = decoder, pace, publisher
        self._intake, self._telling, self._judge = intake, telling, judge
        self._keeping, self._notifiers = keeping, notifiers
        self._now_us, self._connected = now_us, connected
        self._careful = False
        self.ended = asyncio.Event()
        """Set when the server, or what it sends, ended the session."""
        self.end_cause = ""
        """Why; empty when only the connection was lost."""
        self.lost_cause = ""

    def begin(self) -> None:
        """A new session, that nothing ended."""
        self.ended.clear()
        self.end_cause = ""

    def end(self, cause: str) -> None:
        """Have the session ended by the watcher."""
        if not self.ended.is_set():
            self.end_cause = "" if cause.startswith("connection lost") else cause
            self.lost_cause = cause
            if cause == TOO_LARGE:
                # It would come again in the same subscription.
                self._careful = True
                self._keeping.forget()
            self.ended.set()

    # --- beginning ---

    async def start(self, opened: Opened, identity: Identity) -> None:
        """Take up what runs, or subscribe anew."""
        client, now = opened.client, time.monotonic()
        limits, profile = await read_limits(client), identity.profile
        budget_of(self._config.url).most = profile.sessions
        per_call = profile.call_for(limits.monitor)
        monitor = Monitor(
            client, self._config, identity.namespaces, per_call, profile, self._careful
        )
        then = self._decoder.present()
        since = self._silent_since()
        going_on, how = await self._going_on(opened, identity)
        publisher, items = self._publisher, list(enumerate(self._config.items, start=1))
        publisher.attach(partial(_sent, client), [one.id for one in going_on])
        self._intake.fresh = True
        if going_on:
            await self._catch_up(going_on)
            await monitor.adopt(going_on, items, now)
            await monitor.publish(enabled=True)
        else:
            await monitor.start(items, now)
        await self._notifiers.start(client, monitor, identity.namespaces, going_on=bool(going_on))
        self._telling.monitor = monitor
        publisher.start()
        publisher.fit(self._pace.round_trip_s.value or 0.0, monitor.publishing_ms / 1000.0)
        self._telling.spoke = not going_on
        self._connected()
        if since is not None:
            self._judge.returned(since, monitor, then, kept=bool(going_on), how=how)
            if not going_on:
                self._notifiers.missed(since[1], self._telling.heard_us, how)
            self._telling.resumes += bool(going_on)
        await self._keeping.keep(client, identity, monitor)

    def _silent_since(self) -> tuple[float, int] | None:
        """When values were last heard: wall time [s] and park time [us]; None when never."""
        kept, telling = self._keeping.kept, self._telling
        if kept is not None:
            return kept.wall_s, kept.heard_us
        if telling.new:
            return None
        behind_s = (self._now_us() - telling.heard_us) / 1e6 / telling.speed
        return time.time() - behind_s, telling.heard_us

    async def _going_on(
        self, opened: Opened, identity: Identity
    ) -> tuple[tuple[Subscribed, ...], str]:
        """Subscriptions of before that still run, and how; or none, and why not."""
        kept = self._keeping.kept
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
        kept = self._keeping.kept
        for one in going_on:
            if one.id not in self._publisher.streams:
                self._publisher.follow(one.id, kept.lasts.get(one.id, 0) if kept else 0)
        if self._config.time_policy == "receive" and kept is not None:
            # Values that waited are as old as they say among themselves.
            waited_us = round((time.time() - kept.wall_s) * 1e6)
            self._decoder.spread_us = max(round(self._config.publishing_ms * 1000), waited_us)
        for one in going_on:
            await self._publisher.catch_up(one.id)

    # --- messages ---

    def take(self, message: Notification, body: Bytes) -> bool:
        """Put the values of a message into the columns; false when they find no room now."""
        self._judge.was_silent(self._telling.monitor)
        rows = (Content.DATA, Content.EVENTS)
        count = sum(part.count for part in message.parts if part.content in rows)
        if count > self._intake.rows.room and len(self._intake.rows):
            self._judge.full()
            self._intake.wake()
            return False
        for part in message.parts:
            if part.content is Content.DATA:
                self._intake.took(
                    partial(self._decoder.take_notified, body, part.start, part.stop, part.count),
                    settled=self._judge.outage is None,
                )
            elif part.content is Content.STATUS:
                code = int.from_bytes(body[part.start : part.start + 4].tobytes(), "little")
                name = ua.StatusCode(ua.UInt32(code)).name
                self.end(f"the server ended the subscription ({name})")
            elif part.content is Content.EVENTS:
                self._take_events(part, body)
        return True

    def _take_events(self, part: Part, body: Bytes) -> None:
        taken, overflows = self._notifiers.taken, self._notifiers.overflows
        self._notifiers.take(part, body)
        self._decoder.overflows += self._notifiers.overflows - overflows
        self._pace.count(time.monotonic(), self._notifiers.taken - taken)
        self._intake.wake()

    def lost(self, cause: str) -> None:
        """A message is lost for good: values may be had from history, events may not."""
        covered_us = self._telling.ledger.covered_us
        self._judge.lost_message(cause)
        self._notifiers.missed(covered_us, self._telling.heard_us, cause)
        self._notifiers.stale = bool(self._notifiers)

    def drained(self) -> None:
        """The rows left the columns: there is room again."""
        self._publisher.drained()
        if self._publisher.stalled:
            self._publisher.go_on()
            self._judge.room_again(self._telling.monitor)

    # --- watching ---

    async def watch(self, client: Client, now: float) -> None:
        """Look after the subscriptions, between two probes [monotonic s].

        Raises
        ------
        Unavailable
            When they are silent for too long.
        """
        monitor, publisher, telling = self._telling.monitor, self._publisher, self._telling
        if monitor is None:
            return
        await self._regulate(monitor)
        held_up = publisher.stalled and not publisher.paused
        allowed_s = 2 * monitor.silence_s + self._settings.silence_s
        asked = monitor.accepted or self._notifiers
        if asked and not held_up and now - telling.heard_at > allowed_s:
            raise Unavailable(f"the subscription is silent for {now - telling.heard_at:.0f} s")
        await monitor.retry(now)
        if self._notifiers.stale:
            await self._notifiers.refresh(client)
        publisher.fit(self._pace.round_trip_s.value or 0.0, monitor.publishing_ms / 1000.0)
        self._judge.begin(monitor, now)
        if monitor.accepted != self._keeping.items and telling.identity is not None:
            await self._keeping.keep(client, telling.identity, monitor)
        elif now - self._keeping.noted_at > self._settings.probe_s:
            self._keeping.note()

    async def _regulate(self, monitor: Monitor) -> None:
        """While our buffer is full the server keeps the values; it must not forget us meanwhile."""
        publisher, full_s = self._publisher, self._judge.full_for_s
        if full_s is not None and publisher.stalled and not publisher.paused:
            lifetime_s = min((s.lifetime_s for s in monitor.subscriptions.values()), default=0.0)
            if full_s > lifetime_s / 4:
                await monitor.publish(enabled=False)
                publisher.paused = True
                publisher.go_on()
        elif publisher.paused and not publisher.stalled:
            publisher.paused = False
            await monitor.publish(enabled=True)
            publisher.go_on()


async def _sent(client: Client, request: object, timeout_s: float) -> Bytes:
    if isinstance(request, ua.PublishRequest):
        return await send_encoded(client, Encoded(request), timeout_s)
    return await send(client, request, timeout_s)
