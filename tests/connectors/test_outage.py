"""What is known of an outage that the next one cut short."""

from types import SimpleNamespace

import pytest

from connectors.opcua.kernel import NO_TIME
from connectors.opcua.outage import Outage, cut_short

QUEUES = {1: (5, 1.0)}


def known_of(*, kept: bool, seconds: float, last_us: int, first_us: int):
    """Spans and muteness of an outage from 100 to 200 us; its one queue holds a second."""
    monitor = SimpleNamespace(subscriptions={(1.0, 1.0): SimpleNamespace(queues=QUEUES)})
    decoder = SimpleNamespace(since=lambda then, handle: (0, 0, last_us, first_us))
    outage = Outage(
        from_us=100, to_us=200, seconds=seconds, then=None, kept=kept, how="", judge_at=0.0
    )
    found = cut_short(monitor, decoder, outage)
    return found.spans, found.mute


@pytest.mark.parametrize(
    ("kept", "seconds", "last_us", "first_us", "known"),
    [
        # The queue may still hold its values: what it dropped shows with the next message.
        (True, 9.0, 90, NO_TIME, ((), True)),
        (True, 9.0, 90, 150, (((1, 90, 150),), False)),
        (True, 0.5, 90, 150, ((), False)),
        (False, 0.5, 90, 150, (((1, 90, 150),), False)),
        # The subscription is gone with what it held, whatever a new one sends later.
        (False, 0.5, 90, NO_TIME, (((1, 90, 200),), False)),
        (False, 0.5, NO_TIME, NO_TIME, (((1, 100, 200),), False)),
    ],
)
def test_what_an_outage_may_have_cost_is_put_down_before_the_next(
    kept, seconds, last_us, first_us, known
):
    assert known_of(kept=kept, seconds=seconds, last_us=last_us, first_us=first_us) == known
