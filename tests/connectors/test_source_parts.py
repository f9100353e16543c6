"""A source fed with messages by hand: what of the server is missing is told, whatever happens."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import BadMessageNotAvailable

from connectors.opcua import source as module
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.source import Source
from models.errors import Unavailable
from twin.samples import to_us

NOON = to_us(datetime(2026, 11, 22, 12, tzinfo=UTC))
CONFIG = EndpointConfig(
    id="plc",
    url="opc.tcp://127.0.0.1:4840",
    allow_insecure=True,
    items=(Item(tag=1, namespace="urn:a", identifier="s=V"),),
)


def message(number: int) -> ua.PublishResult:
    """A data change without values."""
    result = ua.PublishResult()
    result.SubscriptionId = ua.UInt32(1)
    result.NotificationMessage.SequenceNumber = ua.UInt32(number)
    result.NotificationMessage.NotificationData = [ua.DataChangeNotification()]
    return result


class Session:
    """Stands in for the session of a client: which messages it still has, or how it fails."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault, self.asked = fault, []

    async def republish(self, _subscription: int, number: int):
        self.asked.append(number)
        if self.fault is not None:
            raise self.fault
        return message(number).NotificationMessage


async def served(monkeypatch, numbers, session, *, ticks: bool) -> list:
    """Coverage rows of a source that got these messages, a tick or none, and lost the link."""
    now = [NOON]
    source = Source(CONFIG, park_now=lambda: now[0])
    client = SimpleNamespace(uaclient=SimpleNamespace(session=session))

    async def as_is(*_):
        return client

    async def nothing(*_):
        return None

    async def subscribe(*_):
        source._connected()

    async def watch(_client):
        for number in numbers:
            now[0] += 1_000_000
            source._on_message(message(number))
        if ticks:
            await source._fetch_missing(client)
        raise Unavailable("connection lost")

    monkeypatch.setattr(module, "open_session", as_is)
    monkeypatch.setattr(module, "read_identity", nothing)
    monkeypatch.setattr(module, "close", nothing)
    monkeypatch.setattr(source, "_verify", lambda _identity: None)
    monkeypatch.setattr(source, "_subscribe", subscribe)
    monkeypatch.setattr(source, "_watch", watch)
    with pytest.raises((Unavailable, ConnectionError)):
        await source._serve()
    source._went("connection lost")
    return source.take_coverage()


def lost(rows: list) -> list[str]:
    return [row.cause for row in rows if not row.alive and "lost" in row.cause]


async def test_messages_that_follow_one_another_leave_no_gap(monkeypatch):
    rows = await served(monkeypatch, [1, 2, 3], Session(), ticks=True)
    assert not lost(rows)
    assert [row.to_us for row in rows if row.alive] == [NOON + 3_000_000]


async def test_a_message_fetched_again_leaves_no_gap(monkeypatch):
    session = Session()
    assert not lost(await served(monkeypatch, [1, 3, 5], session, ticks=True))
    assert session.asked == [2, 4]


@pytest.mark.parametrize(
    ("session", "ticks"),
    [
        (Session(), False),
        (Session(BadMessageNotAvailable()), True),
        (Session(ConnectionError()), True),
    ],
    ids=["before it was asked for", "the server has it no more", "while it was asked for"],
)
async def test_a_missing_message_is_a_gap_even_when_the_link_goes(monkeypatch, session, ticks):
    rows = await served(monkeypatch, [1, 2, 4], session, ticks=ticks)
    assert lost(rows) == ["a message of the server was lost"]
    assert not any(row.alive for row in rows)


async def test_a_hole_too_long_to_be_asked_for_is_a_gap(monkeypatch):
    session = Session()
    assert lost(await served(monkeypatch, [1, 500], session, ticks=True))
    assert session.asked == []
