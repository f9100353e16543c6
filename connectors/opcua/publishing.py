"""Our own publish loop: several requests outstanding, messages in order, acknowledged late.

A server keeps each message until it is acknowledged. So a message is acknowledged only when its
rows are in the gateway's buffer; until then it can be had again with Republish, also by the next
process. Sequence numbers run from 1 to 2^32 - 1 and then begin at 1 again (Part 4, 5.13.1.1).

`Stream` is the pure part: which messages are taken, held back and missing. `Publisher` sends.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from connectors.opcua.kernel import Bytes
from connectors.opcua.wire import Malformed, Notification, read_publish, read_republish

_log = logging.getLogger(__name__)

LARGEST_NUMBER: Final = 0xFFFF_FFFF
_OLD: Final = LARGEST_NUMBER // 2
"""A number this far ahead is one from the past."""
_HELD_MOST: Final = 64
_ASKED_MOST: Final = 100
_ACKS_MOST: Final = 500
_WINDOW_FIRST, _WINDOW_MOST = 2, 16
_CEILING_S: Final = 300.0
_BREATH_S: Final = 0.2
"""Pause after a refusal, so that a server that refuses at once is not asked in a tight loop."""
_STORM_PER_S: Final = 50
_SHED: Final = StatusCodes.BadTooManyPublishRequests
TOO_LARGE: Final = "a message of the server is larger than we take: arrays are left out now"
_TOO_LARGE: Final = frozenset(
    (
        StatusCodes.BadRequestTooLarge,
        StatusCodes.BadResponseTooLarge,
        StatusCodes.BadTcpMessageTooLarge,
        StatusCodes.BadEncodingLimitsExceeded,
    )
)
_GONE: Final = frozenset(
    (
        StatusCodes.BadNoSubscription,
        StatusCodes.BadSessionIdInvalid,
        StatusCodes.BadSessionClosed,
        StatusCodes.BadSessionNotActivated,
        StatusCodes.BadSecureChannelIdInvalid,
        StatusCodes.BadSecureChannelClosed,
        StatusCodes.BadUserAccessDenied,
    )
)


def following(number: int) -> int:
    """The sequence number after this one."""
    return number % LARGEST_NUMBER + 1


def ahead(expected: int, number: int) -> int:
    """How many numbers lie between the expected one and this one."""
    return (number - expected) % LARGEST_NUMBER


Send = Callable[[object, float], Awaitable[Bytes]]
"""``send(request, timeout_s)``: a request of the session; the bytes of its answer."""


async def _unsent(_: object, __: float) -> Bytes:
    raise ConnectionError("not connected")


@dataclass(slots=True)
class Stream:
    """Messages of one subscription, in the order of their numbers.

    Parameters
    ----------
    subscription
        Id at the server.
    last
        Number of the last message taken; 0 before the first.
    """

    subscription: int
    last: int = 0
    held: dict[int, tuple[Notification, Bytes]] = field(default_factory=dict)
    missing: deque[int] = field(default_factory=deque)

    def offer(self, message: Notification, body: Bytes) -> list[tuple[Notification, Bytes]]:
        """What can be taken now that this message came, in order; notes what is missing.

        A keep-alive carries the number of the next message, so it too shows what is missing.
        """
        number = message.sequence
        if not self.last:
            # The first message heard of a subscription we began ourselves; nothing came before.
            self.last = _before(number)
        distance = ahead(following(self.last), number)
        if distance > _OLD:
            return []
        if not message.parts:
            self._miss(number)
            return []
        if distance:
            self._miss(number)
            self.held[number] = (message, body)
            return []
        self.last = number
        return [(message, body), *self._freed()]

    def skip(self, number: int) -> list[tuple[Notification, Bytes]]:
        """Give a missing message up; what waited for it can be taken now."""
        if number == following(self.last):
            self.last = number
        return self._freed()

    def _miss(self, upto: int) -> None:
        known = {*self.missing, *self.held}
        number = following(self.last)
        for _ in range(ahead(number, upto)):
            if len(self.missing) >= _HELD_MOST * _HELD_MOST:
                return
            if number not in known:
                self.missing.append(number)
            number = following(number)

    def _freed(self) -> list[tuple[Notification, Bytes]]:
        free = []
        while (found := self.held.pop(following(self.last), None)) is not None:
            self.last = following(self.last)
            free.append(found)
        while self.missing and ahead(following(self.last), self.missing[0]) > _OLD:
            self.missing.popleft()
        return free


def _before(number: int) -> int:
    return number - 1 if number > 1 else LARGEST_NUMBER


@dataclass(slots=True)
class Published:
    """What a publisher counted.

    Parameters
    ----------
    messages, keep_alives
        Messages with content taken in order, and those without.
    again, lost
        Messages had by Republish, and those the server no longer had.
    malformed
        Messages that could not be read.
    shed
        Requests the server had too many of.
    storms
        Seconds in which more keep-alives came than any interval explains.
    """

    messages: int = 0
    keep_alives: int = 0
    again: int = 0
    lost: int = 0
    malformed: int = 0
    shed: int = 0
    storms: int = 0


class Publisher:
    """Keeps publish requests outstanding and hands messages over in order.

    Parameters
    ----------
    take
        Takes the content of one message; false when there is no room for it now. It may raise
        `Malformed`; the message counts as lost then.
    heard
        Called at every answer.
    lost
        ``lost(subscription, cause)``: a message is lost for good.
    ended
        Called with the cause when the subscriptions or the session are no more.
    timeout_s
        Longest wait for an answer to Republish [s].
    """

    def __init__(
        self,
        *,
        take: Callable[[Notification, Bytes], bool],
        heard: Callable[[], None],
        lost: Callable[[int, str], None],
        ended: Callable[[str], None],
        timeout_s: float,
    ) -> None:
        self._take, self._heard = take, heard
        self._send: Send = _unsent
        self._lost, self._ended, self._timeout_s = lost, ended, timeout_s
        self.streams: dict[int, Stream] = {}
        self.window = _WINDOW_FIRST
        self.counts = Published()
        self.more: dict[int, bool] = {}
        """Whether a subscription said it had more."""
        self._ceiling, self._ceiling_until = _WINDOW_MOST, 0.0
        self._waiting: deque[tuple[Stream, Notification, Bytes]] = deque()
        self._taken: deque[tuple[int, int]] = deque()
        self._drained: deque[tuple[int, int]] = deque()
        self._stored: deque[tuple[int, int]] = deque()
        self._ready: deque[tuple[int, int]] = deque()
        self._flying: set[asyncio.Task[None]] = set()
        self._repairs: dict[int, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._over = False
        self.paused = False
        """The server was told not to publish; requests only keep the subscriptions alive."""
        self._second, self._in_second = 0, 0

    # --- life ---

    def follow(self, subscription: int, last: int = 0) -> Stream:
        """Take a subscription's messages, from the one after `last`; 0 for a new subscription."""
        stream = self.streams[subscription] = Stream(subscription, last)
        return stream

    def attach(self, send: Send, subscriptions: Iterable[int]) -> None:
        """Work over a new connection, with the subscriptions that are still there.

        What was held back is asked for again; what waits for room stays.
        """
        self._send, self._over, self.paused = send, False, False
        still = frozenset(subscriptions)
        self.streams = {i: stream for i, stream in self.streams.items() if i in still}
        for stream in self.streams.values():
            stream.held.clear()
            stream.missing.clear()
        for queue in (self._taken, self._drained, self._stored, self._ready):
            kept = [one for one in queue if one[0] in still]
            queue.clear()
            queue.extend(kept)
        self.more.clear()

    def start(self) -> None:
        """Begin to ask for messages."""
        self._loop = asyncio.create_task(self._run(), name="opcua publish")

    async def stop(self) -> None:
        """Stop asking; what is on its way is dropped here and kept by the server."""
        self._over = True
        tasks = [*self._flying, *self._repairs.values()]
        if self._loop is not None:
            tasks.append(self._loop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._flying.clear()
        self._repairs.clear()

    @property
    def stalled(self) -> bool:
        """Whether messages wait for room."""
        return bool(self._waiting)

    @property
    def outstanding(self) -> int:
        """Publish requests the server holds."""
        return len(self._flying)

    def lasts(self) -> dict[int, int]:
        """Subscription → number of the last message whose rows are stored."""
        found = {s.subscription: s.last for s in self.streams.values()}
        for waiting in (self._drained, self._taken):
            for subscription, number in waiting:
                if ahead(number, found.get(subscription, 0)) < _OLD:
                    found[subscription] = _before(number)
        for stream, message, _ in self._waiting:
            last = found.get(stream.subscription)  # none when it was lost while this waits
            if last is not None and ahead(message.sequence, last) < _OLD:
                found[stream.subscription] = _before(message.sequence)
        return found

    # --- acknowledgement ---

    def drained(self) -> None:
        """The rows of all messages taken so far left the columns."""
        self._drained.extend(self._taken)
        self._taken.clear()

    def stored(self) -> bool:
        """The drained rows are stored; tells whether there were any messages of them."""
        if not self._drained:
            return False
        self._stored.extend(self._drained)
        self._drained.clear()
        return True

    def handed(self) -> None:
        """The numbers of stored messages are noted: the server may forget them."""
        self._ready.extend(self._stored)
        self._stored.clear()

    def go_on(self) -> None:
        """There is room again: take what waits."""
        while self._waiting:
            stream, message, body = self._waiting[0]
            if not self._took(stream, message, body):
                return
            self._waiting.popleft()
        self._changed.set()

    # --- the window ---

    def fit(self, round_trip_s: float, publishing_s: float) -> None:
        """Set the window so that the server never waits for a request.

        While one answer and the next request travel, each subscription may publish again.
        """
        now = time.monotonic()
        if now > self._ceiling_until:
            self._ceiling = _WINDOW_MOST
        travelling = math.ceil(round_trip_s / max(publishing_s, 0.001))
        wanted = max(_WINDOW_FIRST, len(self.streams) * (1 + travelling) + 1)
        self.window = max(1, min(wanted, self._ceiling))
        self._changed.set()

    def _shrink(self) -> None:
        self.counts.shed += 1
        self._ceiling = max(1, min(self._ceiling, self.window) - 1)
        self._ceiling_until = time.monotonic() + _CEILING_S
        self.window = min(self.window, self._ceiling)

    async def _run(self) -> None:
        while not self._over:
            while len(self._flying) < self.window and not self._full():
                task = asyncio.create_task(self._ask())
                self._flying.add(task)
                task.add_done_callback(self._landed)
            self._changed.clear()
            await self._changed.wait()

    def _full(self) -> bool:
        if self.paused:
            return bool(self._flying)
        held = max((len(stream.held) for stream in self.streams.values()), default=0)
        # While one waits none is asked for: what comes next shows what the server's queues dropped.
        return self.stalled or held >= _HELD_MOST

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)
        self._changed.set()
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("publish failed", exc_info=fault)
            self._finish(f"unexpected answer ({type(fault).__name__}: {fault})")

    async def _ask(self) -> None:
        """One publish request and its answer."""
        acks = [self._ready.popleft() for _ in range(min(len(self._ready), _ACKS_MOST))]
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [_ack(*one) for one in acks]
        try:
            body = await self._send(request, 0.0)
        except UaStatusCodeError as fault:
            self._ready.extendleft(reversed(acks))
            self._refused(fault.code)
            await asyncio.sleep(_BREATH_S)
            return
        except (OSError, TimeoutError, UaError) as fault:
            self._finish(f"connection lost ({fault})")
            return
        try:
            message = read_publish(body)
        except Malformed as fault:
            # Its number shows as missing with the next one.
            self.counts.malformed += 1
            _log.warning("message unreadable", extra={"fault": str(fault)})
            return
        self._arrived(message, body)
        if not message.parts and self._storms():
            await asyncio.sleep(_BREATH_S)

    def _storms(self) -> bool:
        """Whether keep-alives come far too often; each would be asked for by our own request."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        self.counts.storms += self._in_second == _STORM_PER_S
        return self._in_second >= _STORM_PER_S

    def _refused(self, code: int) -> None:
        if code == _SHED:
            self._shrink()
        elif code in _TOO_LARGE:
            self._finish(TOO_LARGE)
        elif code in _GONE:
            self._finish(f"the server ended it ({ua.StatusCode(ua.UInt32(code)).name})")
        elif code != StatusCodes.BadTimeout:
            self._finish(f"the server refuses to publish ({ua.StatusCode(ua.UInt32(code)).name})")

    def _finish(self, cause: str) -> None:
        if not self._over:
            self._over = True
            self._changed.set()
            self._ended(cause)

    # --- messages ---

    def _arrived(self, message: Notification, body: Bytes) -> None:
        self._heard()
        if not message.subscription:
            return
        # All subscriptions of the session are ours, also one whose creation is not yet answered.
        stream = self.streams.get(message.subscription) or self.follow(message.subscription)
        self.more[message.subscription] = message.more
        if not message.parts:
            self.counts.keep_alives += 1
        self._pass_on(stream, stream.offer(message, body))
        if stream.missing and message.subscription not in self._repairs:
            available = frozenset(message.available)
            self._repairs[message.subscription] = asyncio.create_task(
                self._repair(stream, available)
            )

    def _pass_on(self, stream: Stream, found: Iterable[tuple[Notification, Bytes]]) -> None:
        for message, body in found:
            if self._waiting or not self._took(stream, message, body):
                self._waiting.append((stream, message, body))

    def _took(self, stream: Stream, message: Notification, body: Bytes) -> bool:
        try:
            if not self._take(message, body):
                return False
            self.counts.messages += 1
        except Malformed as fault:
            self.counts.malformed += 1
            self._lost(stream.subscription, f"a message of the server could not be read ({fault})")
        self._taken.append((stream.subscription, message.sequence))
        return True

    async def _repair(self, stream: Stream, available: frozenset[int]) -> None:
        """Ask for missing messages again, oldest first; what the server lacks is lost."""
        try:
            asked = 0
            while stream.missing and not self._over:
                number = stream.missing[0]
                known = not available or number in available
                asked += known
                if not known or asked > _ASKED_MOST or not await self._fetch(stream, number):
                    self.counts.lost += 1
                    self._lost(stream.subscription, "a message of the server was lost")
                    self._pass_on(stream, stream.skip(number))
                if stream.missing and stream.missing[0] == number:
                    stream.missing.popleft()
        except (OSError, TimeoutError, UaError) as fault:
            self._finish(f"connection lost ({fault})")
        finally:
            self._repairs.pop(stream.subscription, None)
            self._changed.set()

    async def catch_up(self, subscription: int) -> int:
        """Have what was sent while nobody listened; returns how many messages that were.

        Asked one by one from the last that was taken, until the server has no more of them.
        """
        stream, count = self.streams[subscription], 0
        while stream.last and await self._fetch(stream, following(stream.last)):
            count += 1
        return count

    async def _fetch(self, stream: Stream, number: int) -> bool:
        """Republish one message; false when the server no longer has it."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = ua.IntegerId(stream.subscription)
        request.Parameters.RetransmitSequenceNumber = ua.Counter(number)
        try:
            body = await self._send(request, self._timeout_s)
            message = read_republish(body)
        except (UaStatusCodeError, Malformed):
            return False
        self._heard()
        # asyncua's server answers with an empty message instead of BadMessageNotAvailable.
        if message.sequence != number or not message.parts:
            return False
        self.counts.again += 1
        self._pass_on(stream, stream.offer(message, body))
        return True


def _ack(subscription: int, number: int) -> ua.SubscriptionAcknowledgement:
    ack = ua.SubscriptionAcknowledgement()
    ack.SubscriptionId = ua.IntegerId(subscription)
    ack.SequenceNumber = ua.Counter(number)
    return ack
