"""What a refresh of conditions says, and what it does not say when a part of it is lost."""

import pytest

from connectors.opcua import events
from connectors.opcua.config import EndpointConfig, Notifier
from connectors.opcua.events import Event, Notifiers
from connectors.opcua.monitor import Monitor, Subscribed
from connectors.opcua.rows import Rows
from twin.happenings import Happening, Standing, read_note

TAG, NOW_US = 9, 1_000_000


def level(number: int) -> Happening:
    return Happening(
        source="Tank", id=f"{number:02x}", condition=f"nsu=urn:p;s=C{number}", active=True,
        retained=True,
    )  # fmt: skip


class Told:
    """The notifiers of an endpoint, and what their rows say."""

    def __init__(self, limit: int = 100) -> None:
        config = EndpointConfig(
            id="plc", url="opc.tcp://10.0.0.5:4840", allow_insecure=True,
            events=(Notifier(tag=TAG, node="i=2253"),),
        )  # fmt: skip
        self.rows = Rows(limit)
        self.notifiers = Notifiers(config, self.rows, lambda: NOW_US)

    def hear(self, *states: Happening | str, at_us: int = 500) -> None:
        for state in states:
            said = Happening(type=state) if isinstance(state, str) else state
            event = Event(state=said, severity=300, at_us=at_us, received_us=None)
            self.notifiers._took(TAG, event)

    def lose(self) -> None:
        self.notifiers.missed(0, NOW_US, "a message of the server was lost")

    def standing(self) -> list[set[str]]:
        notes = map(read_note, self.rows.drain().column("text").to_pylist())
        found = [note.conditions for note in notes if isinstance(note, Standing)]
        return [{one.state.condition[-2:] for one in conditions} for conditions in found]


def overflows(told: Told) -> None:
    told.hear(events._OVERFLOW)


@pytest.mark.parametrize("loss", [Told.lose, overflows])
def test_a_refresh_of_which_a_part_is_lost_lets_no_alarm_go(loss):
    told = Told()
    told.hear(events._REFRESH_STARTS, level(1))
    loss(told)
    told.hear(level(3), events._REFRESH_ENDS)
    assert told.standing() == []
    told.hear(events._REFRESH_STARTS, level(1), level(2), level(3), events._REFRESH_ENDS)
    assert told.standing() == [{"C1", "C2", "C3"}]


def test_an_event_that_finds_no_room_is_dropped_at_our_time_and_not_at_its_own():
    told = Told(limit=1)
    told.hear(level(1), level(2), at_us=10**17)
    assert (told.rows.dropped.count, told.rows.dropped.to_us) == (1, NOW_US)


async def test_notifiers_stay_where_they_are_when_a_quicker_subscription_is_made_anew():
    def subscribed(number: int, interval_ms: float, *, events: bool) -> Subscribed:
        return Subscribed(
            id=number, asked_publishing_ms=interval_ms, asked_sampling_ms=interval_ms,
            publishing_ms=interval_ms, silence_s=3.0, lifetime_s=60.0, events=events,
        )  # fmt: skip

    config = EndpointConfig(id="plc", url="opc.tcp://10.0.0.5:4840", allow_insecure=True)
    monitor = Monitor(None, config, (), 100)
    moved, anew = subscribed(1, 1000.0, events=True), subscribed(2, 100.0, events=False)
    monitor.subscriptions = {(1000.0, 1000.0): moved, (100.0, 100.0): anew}
    assert await monitor.group_for_events() is moved
    moved.events = False
    assert await monitor.group_for_events() is anew
