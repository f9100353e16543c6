"""Sources and gateway against real asyncua servers on real sockets."""

import asyncio
import contextlib
import math
import os
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from asyncua import ua
from floor_plc import Plc, free_port, running, stamped
from floor_proxy import Link
from floor_receiver import Receiver, until

from connectors.clock import PacedClock, wall_us
from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.report import EndpointState
from connectors.opcua.source import SourceSettings
from models.errors import Conflict, NotFound
from twin.coverage import RECOVERED
from twin.samples import from_us, to_us
from twin.status import UNCERTAIN_LAST_USABLE_VALUE

pytestmark = [
    pytest.mark.floor,
    pytest.mark.asyncio(loop_scope="module"),
    # asyncua's server forgets a coroutine when a node of a subscription that lost its client goes.
    pytest.mark.filterwarnings("ignore:.*MonitoredItemService.datachange_callback"),
]

QUICK = SourceSettings(
    timeout_s=1.0,
    probe_s=0.1,
    silence_s=1.0,
    backoff_first_s=0.05,
    backoff_most_s=0.2,
    coverage_s=0.2,
    frozen_s=0.5,
)
SETTINGS = GatewaySettings(
    idle_s=0.005, load_s=0.02, retry_first_s=0.02, retry_most_s=0.1, source=QUICK
)


def endpoint(url: str, *nodes: tuple[str, str], **more) -> EndpointConfig:
    """Configuration with items tagged 1, 2, 3, … in the order of the nodes."""
    items = tuple(
        Item(tag=i, namespace=uri, identifier=f"s={name}")
        for i, (uri, name) in enumerate(nodes, start=1)
    )
    settings = {"sampling_ms": 20.0, "publishing_ms": 20.0, "allow_insecure": True} | more
    return EndpointConfig(id="plc", url=url, items=items, **settings)


@contextlib.asynccontextmanager
async def gateway(folder: Path, receiver: Receiver, *endpoints: EndpointConfig, **more):
    """A running gateway, stopped afterwards."""
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        settings=more.pop("settings", SETTINGS),
        **more,
    )
    await held.start(endpoints)
    try:
        yield held
    finally:
        await held.stop()


def of(held: Gateway):
    """Status of the only endpoint."""
    return held.status()[0]


async def connected(held: Gateway) -> None:
    await until(lambda: of(held).state is EndpointState.CONNECTED)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_plc():
    """One server for all tests that need no other: starting one takes two seconds."""
    async with running(Plc(free_port())) as plc:
        yield plc


@pytest_asyncio.fixture(loop_scope="module")
async def plc(shared_plc):
    """The shared server; what a test adds is removed again."""
    yield shared_plc
    await shared_plc.server.delete_nodes(list(shared_plc.nodes.values()))
    shared_plc.nodes.clear()


# --- values ---


async def test_a_value_arrives_with_its_tag_its_source_time_and_its_status(plc, tmp_path):
    receiver, at = Receiver(), datetime(2026, 11, 22, 3, 4, 5, 678_901, UTC)
    await plc.add("urn:a", "Power", 1.0)
    await plc.add("urn:b", "Power", 2.0)
    config = endpoint(plc.url, ("urn:a", "Power"), ("urn:b", "Power"))
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        await plc.write("urn:b", "Power", 7.5, at=at, status=0x40950000)
        await until(lambda: len(receiver.values(2)) == 2)
        row = [r for r in receiver.samples if r["tag"] == 2][-1]
        assert (row["value"], row["at"], row["status"]) == (7.5, at, 0x40950000)
        assert row["server_at"] is not None
        assert of(held).accepted == of(held).requested == of(held).delivering == 2


async def test_every_change_arrives_once_and_in_order(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "N", 0.0)
    config = endpoint(plc.url, ("urn:a", "N"), publishing_ms=100.0, queue_size=200)
    async with gateway(tmp_path, receiver, config):
        await until(lambda: receiver.values(1))
        for i in range(1, 101):
            await plc.write("urn:a", "N", float(i))
            await asyncio.sleep(0.002)
        await until(lambda: receiver.values(1)[-1] == 100.0)
        assert receiver.values(1) == [float(i) for i in range(101)]
        times = [row["at"] for row in receiver.samples]
        assert times == sorted(times)


async def test_bad_values_pass_with_their_status_and_raise_nothing(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 1.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))):
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", 3.0, status=0x808C0000)
        await until(lambda: len(receiver.samples) == 2)
        # asyncua's server sends no value with a bad status, as the specification allows.
        assert receiver.samples[-1]["status"] == 0x808C0000
        await plc.write("urn:a", "V", 4.0, status=0x002F0000)
        await until(lambda: len(receiver.samples) == 3)
        assert (receiver.samples[-1]["value"], receiver.samples[-1]["status"]) == (
            4.0,
            0x002F0000,
        )


KINDS = [
    (ua.VariantType.Boolean, True, 1.0, None, None),
    (ua.VariantType.Int32, -7, -7.0, None, None),
    (ua.VariantType.Byte, 255, 255.0, None, None),
    (ua.VariantType.Float, 0.5, 0.5, None, None),
    (ua.VariantType.UInt64, 2**53 + 1, float(2**53), 2**53 + 1, None),
    (ua.VariantType.Int64, -(2**63), -(2.0**63), -(2**63), None),
    (ua.VariantType.UInt64, 2**64 - 1, 2.0**64, None, "18446744073709551615"),
    (ua.VariantType.String, "Máy đang chạy", None, None, "Máy đang chạy"),
    (ua.VariantType.LocalizedText, ua.LocalizedText("Chạy", "vi"), None, None, "Chạy"),
    (
        ua.VariantType.DateTime,
        datetime(2099, 1, 1, tzinfo=UTC),
        None,
        None,
        "2099-01-01T00:00:00+00:00",
    ),
]


async def test_each_data_type_is_stored_in_its_column(plc, tmp_path):
    receiver = Receiver()
    for i, (kind, value, *_) in enumerate(KINDS):
        await plc.add("urn:a", f"K{i}", value, kind)
    config = endpoint(plc.url, *(("urn:a", f"K{i}") for i in range(len(KINDS))))
    async with gateway(tmp_path, receiver, config):
        await until(lambda: len(receiver.samples) == len(KINDS))
    rows = {row["tag"]: row for row in receiver.samples}
    for tag, (_, _, value, exact, text) in enumerate(KINDS, start=1):
        assert (rows[tag]["value"], rows[tag]["exact"], rows[tag]["text"]) == (value, exact, text)


async def test_nan_and_infinity_are_kept_but_never_good(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 1.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))):
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", math.nan)
        await until(lambda: len(receiver.samples) == 2)
        await plc.write("urn:a", "V", -math.inf)
        await until(lambda: len(receiver.samples) == 3)
    nan, infinite = receiver.samples[1:]
    assert math.isnan(nan["value"])
    assert infinite["value"] == -math.inf
    assert [row["status"] >> 30 for row in (nan, infinite)] == [1, 1]


async def test_times_of_2099_pass_and_1601_means_no_time(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 1.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))):
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", 2.0, at=datetime(2099, 5, 6, tzinfo=UTC))
        await until(lambda: len(receiver.samples) == 2)
        await plc.write("urn:a", "V", 3.0, at=datetime(1601, 1, 1, tzinfo=UTC))
        await until(lambda: len(receiver.samples) == 3)
    future, none = receiver.samples[1:]
    assert future["at"] == datetime(2099, 5, 6, tzinfo=UTC)
    assert abs(none["at"] - datetime.now(UTC)) < timedelta(minutes=1)


async def test_arrays_are_not_stored_and_are_listed_with_the_reason(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "Array", [1.0, 2.0])
    await plc.add("urn:a", "V", 1.0)
    config = endpoint(plc.url, ("urn:a", "Array"), ("urn:a", "V"))
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(2))
        assert "array of 2" in of(held).rejected["nsu=urn:a;s=Array"]
        assert not receiver.values(1)


async def test_one_bad_node_harms_no_other_and_is_taken_when_it_appears(plc, tmp_path, monkeypatch):
    monkeypatch.setattr("connectors.opcua.monitor._RETRY_FIRST_S", 0.2)
    receiver = Receiver()
    await plc.add("urn:a", "V", 1.0)
    config = endpoint(plc.url, ("urn:a", "Later"), ("urn:a", "V"))
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(2))
        assert of(held).rejected == {"nsu=urn:a;s=Later": "BadNodeIdUnknown"}
        assert (of(held).requested, of(held).accepted) == (2, 1)
        await plc.add("urn:a", "Later", 5.0)
        await until(lambda: receiver.values(1) == [5.0])
        await until(lambda: not of(held).rejected)


async def test_a_scale_turns_the_source_unit_into_the_stored_one(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "Watt", 45_000, ua.VariantType.Int32)
    item = Item(tag=9, namespace="urn:a", identifier="s=Watt", scale=0.001)
    config = EndpointConfig(id="plc", url=plc.url, allow_insecure=True, items=(item,))
    async with gateway(tmp_path, receiver, config):
        await until(lambda: receiver.values(9) == [45.0])


async def test_queue_sizes_are_asked_for_by_rate(plc, tmp_path):
    config = endpoint(
        "opc.tcp://127.0.0.1:4840", sampling_ms=100.0, publishing_ms=1000.0, bridge_s=1.0
    )
    assert config.queue_for(100.0) == 20
    assert config.queue_for(2000.0) == 10
    assert endpoint("opc.tcp://127.0.0.1:4840", bridge_s=60.0).queue_for(100.0) == 600
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), sampling_ms=20.0, publishing_ms=400.0)
    async with gateway(tmp_path, receiver, config) as held:
        await connected(held)
        assert of(held).bridge_s >= 40 * 0.02
        await until(lambda: receiver.values(1))
        for i in range(1, 31):
            await plc.write("urn:a", "V", float(i))
        await until(lambda: receiver.values(1)[-1] == 30.0)
        assert receiver.values(1) == [float(i) for i in range(31)]


async def test_values_the_server_dropped_are_counted_and_told(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), publishing_ms=200.0)
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", 5.0, status=0x480)
        await until(lambda: of(held).lost == 1)
        await until(lambda: any(row["lost"] for row in receiver.coverage))
        told = next(row for row in receiver.coverage if row["lost"])
        assert (told["alive"], told["lost"]) == (True, 1)
        assert "overflowed" in told["cause"]


async def test_while_our_buffer_is_full_the_server_keeps_the_values(plc, tmp_path, monkeypatch):
    receiver = Receiver()
    monkeypatch.setattr("connectors.opcua.source._LINGER_PART", 0.01)
    tiny = SourceSettings(**{**_fields(QUICK), "rows": 5})
    slow = GatewaySettings(idle_s=0.5, load_s=0.5, source=tiny)
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), queue_size=100)
    async with gateway(tmp_path, receiver, config, settings=slow) as held:
        await until(lambda: receiver.values(1))
        full = False
        for i in range(1, 51):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.005)
            full = full or "our buffer is full" in of(held).cause
        await until(lambda: receiver.values(1)[-1] == 50.0)
        assert receiver.values(1) == [float(i) for i in range(51)]
        assert full
        assert of(held).lost == 0
        assert not receiver.gaps()


async def test_what_neither_our_buffer_nor_the_servers_queue_holds_is_a_gap(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    monkeypatch.setattr("connectors.opcua.source._LINGER_PART", 0.01)
    tiny = SourceSettings(**{**_fields(QUICK), "rows": 5})
    slow = GatewaySettings(idle_s=0.6, load_s=0.6, source=tiny)
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), queue_size=5)
    async with gateway(tmp_path, receiver, config, settings=slow):
        await until(lambda: receiver.values(1))
        for i in range(1, 61):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.01)
        await until(lambda: receiver.values(1)[-1] == 60.0)
        assert len(receiver.values(1)) < 61
        await until(receiver.gaps)
        assert "more than the server's queues hold" in receiver.gaps()[0]["cause"]


def _fields(settings: SourceSettings) -> dict:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


async def test_a_server_without_subscriptions_is_polled(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), ("urn:b", "Nope"), poll=True)
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 6):
            await plc.write("urn:a", "V", float(i))
            await until(lambda i=i: receiver.values(1)[-1] == float(i))
        assert receiver.values(1) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert {r["status"] for r in receiver.samples if r["tag"] == 2} == {0x80340000}
        assert of(held).accepted == 2


# --- time ---


async def test_a_plc_seven_hours_ahead_is_told_and_receive_time_mends_it(plc, tmp_path):
    receiver, ahead = Receiver(), timedelta(hours=7)
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"))
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 6):
            await plc.write("urn:a", "V", float(i), at=datetime.now(UTC) + ahead)
            await until(lambda i=i: receiver.values(1)[-1] == float(i))
        assert of(held).clock_offset_s == pytest.approx(7 * 3600, abs=1.0)
        assert "+7.00 h off" in of(held).cause
        mended = endpoint(plc.url, ("urn:a", "V"), time_policy="receive")
        await held.put(mended)
        await connected(held)
        await plc.write("urn:a", "V", 99.0, at=datetime.now(UTC) + ahead)
        await until(lambda: receiver.values(1)[-1] == 99.0)
        row = receiver.samples[-1]
        assert abs(row["at"] - datetime.now(UTC)) < timedelta(minutes=1)
        assert row["server_at"] - row["at"] == pytest.approx(ahead, abs=timedelta(minutes=1))


async def test_in_a_park_at_sixty_times_the_pace_lag_is_no_wrong_clock(plc, tmp_path):
    receiver, start = Receiver(), to_us(datetime(2027, 3, 1, tzinfo=UTC))
    park_now = PacedClock(park_us=start, wall_us=wall_us(), speed=60.0)
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"))
    async with gateway(tmp_path, receiver, config, park_now=park_now) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 6):
            # Two wall seconds late: two minutes of park time.
            late = from_us(park_now() - 120_000_000)
            await plc.write("urn:a", "V", float(i), at=late)
            await until(lambda i=i: receiver.values(1)[-1] == float(i))
        assert of(held).clock_offset_s < -119.0
        assert of(held).cause == ""
        assert receiver.samples[-1]["at"].year == 2027


async def test_source_times_that_stand_still_are_frozen_where_a_server_stamps_every_reading(
    plc, tmp_path
):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    await plc.add("urn:a", "Setpoint", 7.0)
    nodes = (("urn:a", "V"), ("urn:a", "Setpoint"))
    async with gateway(tmp_path, receiver, endpoint(plc.url, *nodes)) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 90):
            await plc.write("urn:a", "V", float(i))
            # Unchanged, so it is not sent; but a read of it shows a newer time.
            await plc.write("urn:a", "Setpoint", 7.0)
            await asyncio.sleep(0.02)
        assert not any(row["cause"] for row in receiver.coverage)
        await until(lambda: "frozen: source times stand still" in of(held).cause)
        assert of(held).state is EndpointState.CONNECTED
        # A gateway that answers for a dead PLC keeps its own subscription alive.
        await until(lambda: any(r["cause"].startswith("frozen") for r in receiver.coverage), 15)
        assert all(not r["alive"] for r in receiver.coverage if r["cause"].startswith("frozen"))
        await plc.write("urn:a", "V", 100.0)
        await until(lambda: "frozen" not in of(held).cause)


async def test_steady_values_are_not_frozen_at_a_server_that_stamps_only_what_is_written(
    plc, tmp_path
):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 40):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.02)
        looked, quiet_us = len(receiver.coverage), wall_us() + 1_500_000
        # Three times the stillness that would be suspicious.
        await until(lambda: to_us(receiver.coverage[-1]["to"]) > quiet_us, 30)
        assert of(held).cause == ""
        assert all(row["alive"] for row in receiver.coverage[looked:])


async def test_a_heartbeat_that_stands_still_makes_an_endpoint_stale_until_it_beats_again(
    plc, tmp_path
):
    receiver = Receiver()
    await plc.add("urn:a", "V", 5.0)
    await plc.add("urn:a", "Beat", 0)
    config = endpoint(plc.url, ("urn:a", "V"), heartbeat="nsu=urn:a;s=Beat", heartbeat_s=0.6)
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 15):
            await plc.write("urn:a", "Beat", i)
            await asyncio.sleep(0.1)
            assert "frozen" not in of(held).cause
        await until(lambda: "heartbeat nsu=urn:a;s=Beat stands still" in of(held).cause)
        await until(lambda: any(r["cause"].startswith("frozen") for r in receiver.coverage), 15)
        await plc.write("urn:a", "Beat", 99)
        await until(lambda: "frozen" not in of(held).cause)
        frozen = [r for r in receiver.coverage if r["cause"].startswith("frozen")]
        assert not any(row["alive"] for row in frozen)
        # The gap begins where the heart stood still, not where it was noticed.
        assert (frozen[0]["to"] - frozen[0]["from"]).total_seconds() > 0.5


async def test_a_dead_device_behind_a_gateway_is_told_while_its_siblings_move(plc, tmp_path):
    receiver, rng = Receiver(), np.random.default_rng(7)
    names = [f"{device}.{what}" for device in ("A", "B") for what in ("P", "T")]
    for name in (*names, "A.Set"):
        await plc.add("urn:a", name, 20.0)
    items = tuple(
        Item(tag=i, namespace="urn:a", identifier=f"s={name}", group=name[0])
        for i, name in enumerate((*names, "A.Set"), start=1)
    )
    config = replace(endpoint(plc.url), items=items)
    settings = replace(SETTINGS, source=replace(QUICK, frozen_s=4.0))

    async def live(devices: str) -> None:
        for name in names:
            if name[0] in devices:
                await plc.write("urn:a", name, float(rng.normal(20.0, 3.0)))
        await asyncio.sleep(0.05)

    async with gateway(tmp_path, receiver, config, settings=settings) as held:
        await until(lambda: receiver.values(5))
        for _ in range(130):
            await live("AB")
        for name in ("A.P", "A.T"):  # amid the values before, as a device that dies at work
            await plc.write("urn:a", name, 20.0 + float(rng.normal(0.0, 0.1)))
        for _ in range(400):
            await live("B")
            if "frozen: A while" in of(held).cause:
                break
        assert "frozen: A while" in of(held).cause
        await until(lambda: {r["tag"] for r in receiver.samples if r["status"]} >= {1, 2, 5})
        uncertain = {
            r["tag"] for r in receiver.samples if r["status"] == UNCERTAIN_LAST_USABLE_VALUE
        }
        assert uncertain == {1, 2, 5}
        for _ in range(40):
            await live("AB")
            if "frozen" not in of(held).cause:
                break
        assert "frozen" not in of(held).cause
        # The setpoint did not change: it is told good again all the same.
        await until(lambda: [r["status"] for r in receiver.samples if r["tag"] == 5][-1] == 0)


async def test_a_steady_value_whose_source_time_moves_is_not_frozen(plc, tmp_path):
    receiver = Receiver()
    node = await plc.add("urn:a", "V", 0.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))) as held:
        await until(lambda: receiver.values(1))
        for i in range(1, 40):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.02)
        # From here on the value is steady; a read shows that it is still sampled.
        plc.server.iserver.aspace.set_attribute_value_callback(
            node.nodeid,
            ua.AttributeIds.Value,
            lambda *_: stamped(39.0, ua.VariantType.Double, datetime.now(UTC)),
        )
        for _ in range(20):
            await asyncio.sleep(0.1)
            assert "frozen" not in of(held).cause


async def test_a_clock_that_was_set_back_is_not_taken_for_a_frozen_plc(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), time_policy="receive")
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(1))
        # Local time sent as UTC, as many PLCs do it, until somebody corrects it.
        for i in range(1, 40):
            await plc.write("urn:a", "V", float(i), at=datetime.now(UTC) + timedelta(hours=7))
            await asyncio.sleep(0.02)
        for i in range(40, 60):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.1)
            assert "frozen" not in of(held).cause


# --- loss and return ---


async def test_after_a_restart_with_swapped_namespaces_no_row_has_a_wrong_tag(tmp_path):
    receiver, port = Receiver(), free_port()
    config = endpoint(f"opc.tcp://127.0.0.1:{port}/plc", ("urn:a", "V"), ("urn:b", "V"))
    async with gateway(tmp_path, receiver, config):
        for turn, order in enumerate((("urn:a", "urn:b"), ("urn:b", "urn:a"))):
            async with running(Plc(port, order)) as plc:
                await plc.add("urn:a", "V", 1000.0 + turn)
                await plc.add("urn:b", "V", 2000.0 + turn)
                for i in range(10):
                    await plc.write("urn:a", "V", 1000.0 + turn + i / 100)
                    await plc.write("urn:b", "V", 2000.0 + turn + i / 100)
                    await asyncio.sleep(0.03)
                final = turn + 0.09
                await until(lambda f=final: 1000.0 + f in receiver.values(1))
                await until(lambda f=final: 2000.0 + f in receiver.values(2))
    assert all(1000 <= value < 2000 for value in receiver.values(1))
    assert all(2000 <= value < 3000 for value in receiver.values(2))


async def test_a_missing_namespace_puts_the_endpoint_in_quarantine(tmp_path):
    receiver, port = Receiver(), free_port()
    config = endpoint(f"opc.tcp://127.0.0.1:{port}/plc", ("urn:a", "V"), ("urn:b", "V"))
    async with gateway(tmp_path, receiver, config) as held:
        async with running(Plc(port, ("urn:a",))) as plc:
            await plc.add("urn:a", "V", 1.0)
            await until(lambda: of(held).state is EndpointState.QUARANTINED)
            assert "no namespace urn:b" in of(held).cause
            await asyncio.sleep(0.3)
            assert of(held).state is EndpointState.QUARANTINED
            assert not receiver.samples
            await until(lambda: any("no namespace urn:b" in r["cause"] for r in receiver.gaps()))
        async with running(Plc(port)) as plc:
            await plc.add("urn:a", "V", 1.0)
            await plc.add("urn:b", "V", 2.0)
            await until(lambda: receiver.values(1) and receiver.values(2))


async def test_another_server_at_the_address_is_quarantined_also_by_the_next_process(tmp_path):
    receiver, port = Receiver(), free_port()
    config = endpoint(f"opc.tcp://127.0.0.1:{port}/plc", ("urn:a", "V"))
    async with running(Plc(port)) as plc:
        await plc.add("urn:a", "V", 1.0)
        async with gateway(tmp_path, receiver, config):
            await until(lambda: receiver.values(1) and receiver.coverage)
    async with running(Plc(port, application="urn:test:other")) as plc:
        await plc.add("urn:a", "V", 666.0)
        async with gateway(tmp_path, receiver, config) as held:
            await until(lambda: of(held).state is EndpointState.QUARANTINED)
            assert "urn:test:other" in of(held).cause
            await held.remove("plc")
            await held.put(config)
            await until(lambda: receiver.values(1)[-1] == 666.0)


@pytest.mark.crash
async def test_a_killed_server_leaves_a_gap_row_and_comes_back(tmp_path):
    receiver, port = Receiver(), free_port()
    config = endpoint(f"opc.tcp://127.0.0.1:{port}/plc", ("urn:a", "V0"), ("urn:b", "V0"))
    async with gateway(tmp_path, receiver, config) as held:
        first = await _plc_process(port, "urn:a", "urn:b")
        await until(lambda: len(receiver.values(1)) > 5, 20)
        os.kill(first.pid, signal.SIGKILL)
        await first.wait()
        await until(lambda: of(held).state is EndpointState.OFFLINE)
        second = await _plc_process(port, "urn:b", "urn:a", start=500)
        try:
            await until(lambda: max(receiver.values(1)) >= 10_000_501, 20)
            await until(lambda: receiver.gaps())
        finally:
            os.kill(second.pid, signal.SIGKILL)
            await second.wait()
    lost = [row for row in receiver.gaps() if "connection lost" in row["cause"]]
    assert lost
    assert all(row["to"] > row["from"] for row in receiver.gaps())
    assert all(int(value) // 1_000_000 == 10 for value in receiver.values(1))
    assert all(int(value) // 1_000_000 == 11 for value in receiver.values(2))


async def _plc_process(port: int, *namespaces: str, start: int = 0):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).parent / "floor_plc.py"),
        str(port),
        "--namespaces",
        *namespaces,
        "--start",
        str(start),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).strip() == b"ready"
    return process


@pytest.mark.parametrize("fault", ["cut", "blackhole"])
async def test_a_broken_link_becomes_a_gap_and_data_resume_without_duplicates(plc, tmp_path, fault):
    receiver = Receiver()
    async with Link(plc.port) as link:
        await plc.add("urn:a", "V", 0.0)
        config = endpoint(link.url, ("urn:a", "V"))
        async with gateway(tmp_path, receiver, config) as held:
            await until(lambda: receiver.values(1))
            await plc.write("urn:a", "V", 1.0)
            await until(lambda: receiver.values(1)[-1] == 1.0)
            async with link.away() if fault == "cut" else link.blackhole():
                await until(lambda: of(held).state is EndpointState.OFFLINE, 15)
                await plc.write("urn:a", "V", 2.0)
                await until(receiver.gaps)
            await until(lambda: receiver.values(1)[-1] == 2.0, 15)
            await plc.write("urn:a", "V", 3.0)
            await until(lambda: receiver.values(1)[-1] == 3.0)
            assert of(held).gaps >= 1
    kept = list(
        dict.fromkeys((r["tag"], r["at"], r["value"], r["status"]) for r in receiver.samples)
    )
    assert [value for _, _, value, _ in kept] == [0.0, 1.0, 2.0, 3.0]
    assert all(row["cause"] for row in receiver.gaps())
    # What takes a gap back lies over it; the line below it is unbroken.
    line = [row for row in receiver.coverage if not row["cause"].startswith(RECOVERED)]
    assert all(a["to"] == b["from"] for a, b in pairwise(line))


# --- gateway ---


async def test_while_the_cluster_is_away_sampling_goes_on_and_order_is_kept(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))) as held:
        await until(lambda: receiver.values(1))
        receiver.away = True
        for i in range(1, 40):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.03)
        assert held.measures().waiting > 8
        assert "away" in held.measures().fault
        receiver.away = False
        await until(lambda: receiver.values(1)[-1] == 39.0)
        assert receiver.values(1) == [float(i) for i in range(40)]
        assert not held.measures().fault
    assert receiver.order == [(1, seq) for seq in range(1, len(receiver.order) + 1)]


async def test_what_one_process_could_not_deliver_the_next_one_does_first(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"))
    short = GatewaySettings(idle_s=0.005, retry_first_s=0.02, drain_s=0.05, source=QUICK)
    async with gateway(tmp_path, receiver, config, settings=short):
        await until(lambda: receiver.values(1))
        receiver.away = True
        for i in range(1, 20):
            await plc.write("urn:a", "V", float(i))
            await asyncio.sleep(0.03)
    receiver.away = False
    async with gateway(tmp_path, receiver, config):
        await plc.write("urn:a", "V", 50.0)
        await until(lambda: receiver.values(1)[-1] == 50.0)
    seen = list(dict.fromkeys(receiver.values(1)))
    assert seen == [*map(float, range(20)), 50.0]
    assert receiver.order == sorted(receiver.order)
    assert "gateway was not running" in {row["cause"] for row in receiver.gaps()}


async def test_endpoints_come_change_and_go_while_it_runs(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 1.0)
    await plc.add("urn:a", "W", 2.0)
    async with gateway(tmp_path, receiver) as held:
        assert held.status() == []
        await held.put(endpoint(plc.url, ("urn:a", "V")))
        await until(lambda: receiver.values(1))
        await held.put(endpoint(plc.url, ("urn:a", "V"), ("urn:a", "W")))
        await until(lambda: receiver.values(2))
        await held.put(endpoint(plc.url, ("urn:a", "V"), enabled=False))
        assert of(held).state is EndpointState.DISABLED
        await held.remove("plc")
        assert held.status() == []
        with pytest.raises(NotFound):
            await held.remove("plc")


async def test_a_gateway_holds_fifty_endpoints_and_no_more(tmp_path):
    port = free_port()
    configs = [
        EndpointConfig(id=f"e{i}", url=f"opc.tcp://127.0.0.1:{port}", allow_insecure=True)
        for i in range(51)
    ]
    async with gateway(tmp_path, Receiver(), *configs[:50]) as held:
        assert len(held.status()) == 50
        with pytest.raises(Conflict, match="start another gateway"):
            await held.put(configs[50])


async def test_a_receiver_set_back_to_a_backup_gets_what_is_left_in_a_new_session(plc, tmp_path):
    receiver = Receiver()
    await plc.add("urn:a", "V", 0.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, ("urn:a", "V"))):
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", 1.0)
        await until(lambda: receiver.values(1)[-1] == 1.0)
        receiver.inbox.accepted("g1", 1, 1)
        await plc.write("urn:a", "V", 2.0)
        await until(lambda: receiver.values(1)[-1] == 2.0)
        assert receiver.order[-1][0] == 2


async def test_park_time_comes_from_the_clock_that_is_passed_in(plc, tmp_path):
    receiver = Receiver()
    park = to_us(datetime(2030, 1, 1, tzinfo=UTC))
    await plc.add("urn:a", "V", 0.0)
    config = endpoint(plc.url, ("urn:a", "V"), time_policy="receive")
    async with gateway(tmp_path, receiver, config, park_now=lambda: park):
        await until(lambda: receiver.values(1))
    assert receiver.samples[0]["at"] == datetime(2030, 1, 1, tzinfo=UTC)
    assert receiver.samples[0]["seen_at"].year < 2030
