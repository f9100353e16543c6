"""What is asked of servers of known makers, how many sessions, and what coverage says."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.budget import Budget
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.ledger import Ledger
from connectors.opcua.monitor import _within
from connectors.opcua.pace import Pace
from connectors.opcua.profiles import PLAIN, profile_of
from models.errors import InputError, Unavailable
from twin.coverage import RECOVERED, EndpointCoverage

DAY_US = 400 * 86_400 * 1_000_000


@pytest.mark.parametrize(
    ("names", "profile"),
    [
        (("Siemens AG", "S7-1200 OPC UA Server", ""), "Siemens S7-1200"),
        (("Siemens AG", "SIMATIC.S7-1500.OPC-UA.Application", ""), "Siemens S7-1500"),
        (("Siemens AG", "SINUMERIK OPC UA Server 840D sl", ""), "SINUMERIK 840D sl"),
        (("B&R", "Automation Runtime", "http://br-automation.com/"), "B&R"),
        (("Beckhoff Automation", "TcOpcUaServer", ""), "Beckhoff TwinCAT"),
        (("Schneider Electric", "BMENUA0100", ""), "Schneider BMENUA0100"),
        (("PTC", "KEPServerEX", "urn:kepware:v6"), "Kepware"),
        (("Somebody", "else", ""), ""),
    ],
)
def test_a_server_is_known_by_its_build_info(names, profile):
    assert profile_of(*names).name == profile


@given(
    asked=st.floats(1.0, 60_000.0),
    items=st.integers(1, 20_000),
    queue=st.integers(1, 10_000),
    name=st.sampled_from(["s7-1200", "s7-1500", "828d", "sinumerik", "b&r", "bmenua", "plcnext"]),
)
def test_a_profile_never_asks_for_more_than_was_wanted(asked, items, queue, name):
    profile = profile_of(name)
    assert profile.sampling_for(asked, items) >= asked
    assert profile.publishing_for(asked) >= asked
    assert profile.queue_for(queue) <= queue
    assert profile.call_for(queue) <= queue


def test_samples_of_all_items_share_what_the_controller_can_take():
    # 828D: 500 samples/s; 100 items can have 5 samples/s each.
    assert profile_of("828D").sampling_for(10.0, 100) == 200.0
    assert PLAIN.sampling_for(10.0, 100_000) == 10.0


def test_more_rates_than_subscriptions_are_put_together_at_the_faster_rate():
    item = Item(tag=1, namespace="urn:a", identifier="s=V")
    groups = {(float(ms), float(ms)): [(ms, item)] for ms in (100, 200, 500, 1000)}
    kept = _within(dict(groups), 2)
    assert sorted(kept) == [(100.0, 100.0), (200.0, 200.0)]
    assert sorted(handle for members in kept.values() for handle, _ in members) == [
        100, 200, 500, 1000,
    ]  # fmt: skip


async def test_a_crawl_leaves_a_session_to_the_subscription_and_waits_for_its_turn():
    budget = Budget(3)
    await budget.take("crawl", 0.01)
    await budget.take("test", 0.01)
    with pytest.raises(Unavailable, match=r"2 of 3 sessions \(1 crawl, 1 test\)"):
        await budget.take("browse", 0.01)
    await budget.take("subscription", 0.01)
    waiting = asyncio.create_task(budget.take("browse", 5.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.give_back("crawl")
    await waiting
    assert budget.used.total() == 3


def test_a_clock_that_jumps_is_told_once_and_measured_anew():
    pace = Pace()
    assert not pace.clock(0.0)
    assert not pace.clock(200_000.0)
    assert pace.clock(3_600e6)
    assert not pace.clock(3_600e6)
    assert pace.server_offset_us.value == 3_600e6
    assert pace.jumps == 1


def test_coverage_is_an_unbroken_line_and_takes_a_gap_back_when_its_values_came():
    ledger = Ledger("plc", DAY_US, lambda: None)
    ledger.cover(DAY_US + 10, alive=True)
    ledger.cover(DAY_US + 30, alive=False, cause="connection lost")
    ledger.cover(DAY_US + 20, alive=True)
    ledger.cover(DAY_US + 40, alive=True)
    rows = ledger.take()
    assert all(a.to_us == b.from_us for a, b in pairwise(rows))
    ledger.recovered(DAY_US + 10, DAY_US + 30, "the server kept the values")
    rows += ledger.take()
    twin = EndpointCoverage()
    for row in rows:
        twin.add(row.from_us, row.to_us, alive=row.alive, cause=row.cause, lost=row.lost or 0)
    assert rows[-1].cause.startswith(RECOVERED)
    assert twin.gaps == []
    assert twin.alive


@given(
    gaps=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=6),
    start=st.integers(0, 60),
    length=st.integers(0, 30),
)
def test_a_recovered_time_takes_back_exactly_itself(gaps, start, length):
    coverage, lost = EndpointCoverage(), set()
    for begin, size in gaps:
        coverage.add(begin, begin + size, alive=False, cause="x", lost=0)
        lost |= set(range(begin, begin + size))
    coverage.add(start, start + length, alive=True, cause=f"{RECOVERED}: y", lost=0)
    assert {t for a, b in coverage.gaps for t in range(a, b)} == lost - set(
        range(start, start + length)
    )


def test_spares_and_their_kind_are_checked():
    plain = {"id": "plc", "url": "opc.tcp://10.0.0.1:4840", "allow_insecure": True}
    with pytest.raises(InputError, match="no OPC UA address"):
        EndpointConfig(**plain, spares=("http://x",))
    with pytest.raises(InputError, match="one of"):
        EndpointConfig(**plain, redundancy="tepid")
    assert EndpointConfig(**plain).digest != EndpointConfig(**plain, bridge_s=5.0).digest
