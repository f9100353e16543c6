"""Messages in order, once, whatever the server and the link do; and how many requests wait."""

import asyncio

import numpy as np
import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import BadNoSubscription, BadTooManyPublishRequests
from floor_receiver import until
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.publishing import LARGEST_NUMBER, Publisher, Stream, ahead, following
from connectors.opcua.wire import Content, Malformed, Notification, Part, as_bytes

BODY = np.zeros(0, np.uint8)
PART = (Part(Content.DATA, 0, 0, 0),)


def message(number: int, *, empty: bool = False, subscription: int = 7) -> Notification:
    return Notification(subscription, number, 0, False, (), {}, () if empty else PART)


def numbers(found) -> list[int]:
    return [one.sequence for one, _ in found]


def test_after_the_largest_number_comes_one_and_never_zero():
    assert following(LARGEST_NUMBER) == 1
    assert following(1) == 2
    assert ahead(LARGEST_NUMBER, 1) == 1
    assert ahead(1, LARGEST_NUMBER) == LARGEST_NUMBER - 1


def test_a_hole_holds_back_what_follows_until_it_is_filled_or_given_up():
    stream = Stream(7, 10)
    assert numbers(stream.offer(message(11), BODY)) == [11]
    assert stream.offer(message(13), BODY) == []
    assert list(stream.missing) == [12]
    assert stream.offer(message(14), BODY) == []
    assert numbers(stream.offer(message(12), BODY)) == [12, 13, 14]
    assert not stream.missing
    assert stream.offer(message(16), BODY) == []
    assert numbers(stream.skip(15)) == [16]


def test_a_keep_alive_shows_that_a_message_is_missing_and_is_none_itself():
    stream = Stream(7, 10)
    assert stream.offer(message(11, empty=True), BODY) == []
    assert not stream.missing
    assert stream.offer(message(13, empty=True), BODY) == []
    assert list(stream.missing) == [11, 12]


def test_a_message_that_came_before_is_not_taken_again():
    stream = Stream(7, 10)
    assert stream.offer(message(10), BODY) == []
    assert stream.offer(message(3), BODY) == []
    assert numbers(stream.offer(message(11), BODY)) == [11]


@given(
    start=st.sampled_from([0, 5, LARGEST_NUMBER - 4, LARGEST_NUMBER - 1, LARGEST_NUMBER]),
    order=st.permutations(range(12)),
    twice=st.sets(st.integers(0, 11)),
    gone=st.sets(st.integers(1, 11)),
)
def test_every_message_is_taken_once_and_in_order_whatever_order_they_come_in(
    start, order, twice, gone
):
    first = following(start or LARGEST_NUMBER)
    every = [first]
    for _ in range(11):
        every.append(following(every[-1]))
    stream = Stream(7, start or LARGEST_NUMBER)
    taken: list[int] = []
    for i in order:
        if i in gone:
            continue
        for _ in range(2 if i in twice else 1):
            taken += numbers(stream.offer(message(every[i]), BODY))
    stream.offer(message(following(every[-1]), empty=True), BODY)
    for i in sorted(gone):
        assert every[i] in stream.missing
        taken += numbers(stream.skip(every[i]))
    assert taken == [number for i, number in enumerate(every) if i not in gone]


class Server:
    """Answers requests as a test wants them answered."""

    def __init__(self) -> None:
        self.kept: dict[int, int] = {}
        self.waiting: list[asyncio.Future] = []
        self.most = 100
        self.acks: list[int] = []
        self.asked: list[int] = []

    async def send(self, request, timeout_s):
        if isinstance(request, ua.RepublishRequest):
            return self._again(int(request.Parameters.RetransmitSequenceNumber))
        acks = request.Parameters.SubscriptionAcknowledgements
        self.acks += [int(ack.SequenceNumber) for ack in acks]
        if len(self.waiting) >= self.most:
            raise BadTooManyPublishRequests
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]

    def _again(self, number: int):
        self.asked.append(number)
        response = ua.RepublishResponse()
        if number in self.kept:
            response.NotificationMessage.SequenceNumber = ua.Counter(number)
            response.NotificationMessage.NotificationData = [ua.DataChangeNotification()]
        return as_bytes(struct_to_binary(response))

    def publish(self, number: int, *, empty: bool = False) -> None:
        response = ua.PublishResponse()
        response.Parameters.SubscriptionId = ua.IntegerId(7)
        response.Parameters.NotificationMessage.SequenceNumber = ua.Counter(number)
        if not empty:
            response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification()]
        self.waiting.pop(0).set_result(as_bytes(struct_to_binary(response)))


class Taker:
    def __init__(self) -> None:
        self.taken: list[int] = []
        self.lost: list[str] = []
        self.ends: list[str] = []
        self.room = True
        self.fault: Exception | None = None

    def take(self, one: Notification, _) -> bool:
        if self.fault is not None:
            raise self.fault
        if self.room:
            self.taken.append(one.sequence)
        return self.room


@pytest.fixture
def taker():
    return Taker()


def publisher(taker: Taker, server: Server) -> Publisher:
    made = Publisher(
        take=taker.take,
        heard=lambda: None,
        lost=lambda _, cause: taker.lost.append(cause),
        ended=taker.ends.append,
        timeout_s=1.0,
    )
    made.attach(server.send, ())
    made.follow(7, 0)
    return made


async def test_two_requests_wait_at_the_server_and_more_on_a_long_way(taker):
    server = Server()
    made = publisher(taker, server)
    made.start()
    await until(lambda: len(server.waiting) == 2)
    made.fit(0.05, 0.01)
    await until(lambda: len(server.waiting) == 7)
    await made.stop()


async def test_a_server_that_bears_one_request_gets_one(taker):
    server = Server()
    server.most = 1
    made = publisher(taker, server)
    made.start()
    await until(lambda: made.counts.shed > 0)
    assert made.window == 1
    made.fit(1.0, 0.01)
    assert made.window == 1
    server.publish(1)
    await until(lambda: taker.taken == [1])
    await made.stop()


async def test_a_message_is_acknowledged_only_when_its_rows_are_stored_and_noted(taker):
    server = Server()
    made = publisher(taker, server)
    made.start()
    await until(lambda: len(server.waiting) == 2)
    server.publish(1)
    await until(lambda: taker.taken == [1])
    made.drained()
    assert made.lasts() == {7: LARGEST_NUMBER}
    made.stored()
    assert made.lasts() == {7: 1}
    server.publish(2)
    await until(lambda: taker.taken == [1, 2])
    assert server.acks == []
    made.handed()
    server.publish(3)
    await until(lambda: server.acks == [1])
    await made.stop()


async def test_without_room_messages_wait_and_no_more_are_asked_for(taker):
    server = Server()
    made = publisher(taker, server)
    taker.room = False
    made.start()
    await until(lambda: len(server.waiting) == 2)
    for number in (1, 2):
        server.publish(number)
        await asyncio.sleep(0.01)
    assert made.stalled
    assert not server.waiting
    assert made.lasts() == {7: LARGEST_NUMBER}
    taker.room = True
    made.go_on()
    assert taker.taken == [1, 2]
    await until(lambda: len(server.waiting) == 2)
    await made.stop()


async def test_what_waits_of_a_subscription_that_is_gone_is_taken_and_not_counted(taker):
    server = Server()
    made = publisher(taker, server)
    taker.room = False
    made.start()
    await until(lambda: len(server.waiting) == 2)
    server.publish(1)
    await until(lambda: made.stalled)
    await made.stop()
    made.attach(server.send, ())
    made.follow(8, 5)
    assert made.lasts() == {8: 5}
    taker.room = True
    made.go_on()
    assert taker.taken == [1]
    assert made.lasts() == {8: 5}


async def test_missing_messages_are_asked_for_and_the_lost_ones_told(taker):
    server = Server()
    server.kept = {2: 1, 4: 1}
    made = publisher(taker, server)
    made.start()
    await until(lambda: len(server.waiting) == 2)
    server.publish(1)
    await until(lambda: len(server.waiting) == 2)
    server.publish(5)
    await until(lambda: taker.taken == [1, 2, 4, 5])
    assert server.asked == [2, 3, 4]
    assert taker.lost == ["a message of the server was lost"]
    await made.stop()


async def test_catching_up_asks_until_the_server_has_no_more(taker):
    server = Server()
    server.kept = {LARGEST_NUMBER: 1, 1: 1, 2: 1}
    made = publisher(taker, server)
    made.follow(7, LARGEST_NUMBER - 1)
    assert await made.catch_up(7) == 3
    assert taker.taken == [LARGEST_NUMBER, 1, 2]


async def test_a_message_that_cannot_be_read_is_told_and_stops_nothing(taker):
    server = Server()
    made = publisher(taker, server)
    made.start()
    await until(lambda: len(server.waiting) == 2)
    taker.fault = Malformed("broken", "mend it")
    server.publish(1)
    await until(lambda: taker.lost)
    taker.fault = None
    server.publish(2)
    await until(lambda: taker.taken == [2])
    assert "could not be read" in taker.lost[0]
    await made.stop()


async def test_a_storm_of_keep_alives_is_slowed_down_and_counted(taker):
    server = Server()
    made = publisher(taker, server)
    made.start()
    answered = 0
    while not made.counts.storms and answered < 1000:
        while server.waiting:
            server.publish(1, empty=True)
            answered += 1
        await asyncio.sleep(0)
    assert made.counts.storms == 1
    assert answered < 200
    assert not taker.ends
    await made.stop()


async def test_a_server_without_our_subscription_ends_it(taker):
    server = Server()
    made = publisher(taker, server)
    made.start()
    await until(lambda: len(server.waiting) == 2)
    server.waiting.pop(0).set_exception(BadNoSubscription())
    await until(lambda: taker.ends)
    assert "BadNoSubscription" in taker.ends[0]
    await made.stop()
