"""Judging times without values: what the queues kept, what history filled, and what is a gap."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder, Present
from connectors.opcua.intake import Intake
from connectors.opcua.monitor import Monitor
from connectors.opcua.outage import Outage, Unjudged, cut_short, doubtful, holes_of
from connectors.opcua.pace import Pace
from connectors.opcua.publishing import Publisher
from connectors.opcua.recovery import Reached, backfill
from connectors.opcua.telling import Telling, is_open_state

_log = logging.getLogger(__name__)

_SETTLE_INTERVALS: Final = 3
_SETTLE_S: Final = 0.3
_SILENT_INTERVALS: Final = 3.0
_JUDGE_S: Final = 2.0


class Judge:
    """The outages of one endpoint, from their end to what is told of them.

    Parameters
    ----------
    config
        The endpoint.
    timeout_s
        Longest wait for one answer [s].
    decoder, pace, publisher, intake, telling
        Parts of the source.
    publishing_us
        Publishing interval asked for [us].
    end
        Has the session ended, with a cause.
    """

    def __init__(
        self,
        config: EndpointConfig,
        timeout_s: float,
        *,
        decoder: Decoder,
        pace: Pace,
        publisher: Publisher,
        intake: Intake,
        telling: Telling,
        publishing_us: int,
        end: Callable[[str], None],
    ) -> None:
        self._config, self._timeout_s = config, timeout_s
        self._decoder, self._pace, self._publisher = decoder, pace, publisher
        self._intake, self._telling = intake, telling
        self._publishing_us, self._end = publishing_us, end
        self.outage: Outage | None = None
        """The one that is over and not judged yet."""
        self._unjudged: list[Unjudged] = []
        self._reached: Reached = {}
        self._task: asyncio.Task[None] | None = None
        self._full_since: tuple[float, int] | None = None
        """Since when our buffer takes no more: monotonic [s], and up to when all came [park us]."""

    # --- what begins one ---

    def returned(
        self, since: tuple[float, int], monitor: Monitor, then: Present, *, kept: bool, how: str
    ) -> None:
        """A connection is back: `since` is when values were last heard (wall s, park us)."""
        settle_s = _SETTLE_INTERVALS * monitor.publishing_ms / 1000.0 + _SETTLE_S
        now, seconds, from_us = time.monotonic(), time.time() - since[0], since[1]
        if self._full_since is not None:
            # Keep-alives may have come since our buffer was full, and no values.
            seconds = max(seconds, now - self._full_since[0])
            from_us = min(from_us, self._full_since[1])
        self._full_since = (now, self._telling.heard_us) if self._publisher.stalled else None
        self.outage = Outage(
            from_us=from_us,
            to_us=self._telling.heard_us,
            seconds=self._held_for(seconds, settle_s),
            then=then,
            kept=kept,
            how=how,
            judge_at=now + settle_s,
        )

    def _held_for(self, seconds: float, settle_s: float) -> float:
        """Seconds for which queues may have held values, outages before it that wait included."""
        begun = (one.outage.judge_at - settle_s - one.outage.seconds for one in self._unjudged)
        return max(seconds, time.monotonic() - min(begun, default=math.inf))

    def was_silent(self, monitor: Monitor | None) -> None:
        """After a silence longer than the server's queues hold, judge what they dropped.

        To them our full buffer is one too. It ends with the first message that did not wait for
        room: what the queues still held comes with it, and what they dropped lies before it.
        """
        if monitor is None or self._publisher.stalled:
            return
        seconds, from_us = self._telling.silence
        held_s, how = monitor.bridge_s or 0.0, "after a pause"
        longest_s = max(held_s, _SILENT_INTERVALS * monitor.publishing_ms / 1000.0)
        now, full = time.monotonic(), self._full_since
        if full is not None:
            seconds, from_us = max(seconds, now - full[0]), min(from_us, full[1])
            longest_s, how = held_s, "after the gateway's buffer was full"
            self._full_since = None
        elif self.outage is not None:
            return
        if seconds <= longest_s:
            return
        if self.outage is not None and self._task is None:
            # It could not be judged while our buffer was full: both are told together.
            self._unjudged.append(cut_short(monitor, self._decoder, self.outage))
        self.outage = Outage(
            from_us=from_us,
            to_us=self._telling.heard_us,
            seconds=self._held_for(seconds, _SETTLE_S),
            then=self._decoder.present(),
            kept=True,
            how=how,
            judge_at=now + _SETTLE_S,
            told=False,
        )

    def full(self) -> None:
        """Our buffer takes no more: the server's queues hold what comes."""
        if self._full_since is None:
            self._full_since = (time.monotonic(), self._telling.silence[1])

    @property
    def full_for_s(self) -> float | None:
        """How long our buffer is full by now [s]; until a message shows what that cost."""
        return None if self._full_since is None else time.monotonic() - self._full_since[0]

    def room_again(self, monitor: Monitor | None) -> None:
        """Our buffer was full and is not any more: forget it when the server's queues held it."""
        full_s = self.full_for_s
        if full_s is None or self._publisher.stalled:
            return
        bridge_s = monitor.bridge_s if monitor is not None else None
        if bridge_s is None or full_s <= bridge_s:
            self._full_since = None

    def lost_message(self, cause: str) -> None:
        """What the server sent since the last row told cannot be vouched for."""
        self._telling.lost_message(cause)
        if self.outage is not None:
            self.outage = replace(self.outage, kept=False, how=cause)

    # --- judging ---

    def begin(self, monitor: Monitor, now: float) -> None:
        """Judge the outage whose queues should be empty by now [monotonic s]."""
        outage = self.outage
        if outage is None or self._task is not None or now < outage.judge_at:
            return
        if self._publisher.stalled or any(self._publisher.more.values()):
            return
        self._decoder.spread_us = self._publishing_us
        self._task = asyncio.create_task(self._judge(monitor, outage))
        self._task.add_done_callback(self._judged)

    async def before_leaving(self, monitor: Monitor, ended: asyncio.Event) -> None:
        """The next process would know nothing of this outage: empty the queues first, shortly."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_JUDGE_S):
                while self.outage is not None and not ended.is_set():
                    self.begin(monitor, time.monotonic())
                    await asyncio.sleep(0.02)

    async def part(self, monitor: Monitor | None) -> None:
        """The connection is over: what is not judged waits for the next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if monitor is not None and self.outage is not None:
            self._unjudged.append(cut_short(monitor, self._decoder, self.outage))
            self.outage = None

    def _judged(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.warning("gap not filled", exc_info=fault, extra={"endpoint": self._config.id})
            if is_open_state(self._telling.state):
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
        if self.outage is not None and self.outage.then is outage.then:
            # Another one may have begun meanwhile.
            self.outage = None
        self._reached.clear()

    async def _filled(
        self, monitor: Monitor, spans: Sequence[tuple[int, int, int]]
    ) -> tuple[int, str] | None:
        """Fill from the server's history; how many items stay without it, and why."""
        if not spans:
            return None
        ahead_us, speed = self._pace.source_offset_us, self._telling.speed
        if self._config.time_policy == "receive" and (len(ahead_us) < 3 or speed > 1.0):
            return len(spans), "history has no receive time, and the source's clock is not known"
        filled = await backfill(
            monitor.client,
            self._decoder,
            holes_of(spans, self._config, monitor.namespaces),
            room=self._intake.room_for,
            timeout_s=self._timeout_s,
            ahead_us=round(ahead_us.value or 0),
            reached=self._reached,
        )
        self._telling.backfilled += filled.values
        self._intake.wake()
        failed = filled.failed
        return (len(failed), next(iter(failed.values()))) if failed else None

    def _say(
        self, outage: Outage, spans: Sequence[tuple[int, int, int]], lost: tuple[int, str] | None
    ) -> None:
        ledger = self._telling.ledger
        if lost is not None:
            self._missed(outage, *lost)
        elif spans:
            ledger.recovered(outage.from_us, outage.to_us, "from the server's history")
        elif outage.told:
            kept = f"the server kept the values, taken up {outage.how}"
            ledger.recovered(
                outage.from_us, outage.to_us, kept if outage.kept else "nothing had changed"
            )

    def _missed(self, outage: Outage, items: int, reason: str) -> None:
        why = (
            f"{outage.seconds:.0f} s were more than the server's queues hold"
            if outage.kept
            else outage.how
        )
        self._telling.ledger.missed(
            outage.from_us, outage.to_us, f"{why}; {items} items not filled ({reason})"
        )
