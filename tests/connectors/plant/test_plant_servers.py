"""The plant's servers over real sockets, as a foreign OPC UA client meets them."""

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import Client, Node, ua

from connectors.plant.process import PlantProcess, free_ports, plant_process

PARK = Path(__file__).with_name("park.yaml")
ENDPOINTS = ("plc", "scada", "old")
START = "2026-11-20T11:00+07:00"
PRESS = "Hall.l1.p1"

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def plant() -> AsyncIterator[PlantProcess]:
    more = ("--start-at", START, "--fault", "string_lost:pv1:10:1 s")
    async with plant_process(PARK, ENDPOINTS, speed=60, arguments=more) as running:
        yield running


async def node(client: Client, uri: str, name: str) -> Node:
    return client.get_node(ua.NodeId(name, await client.get_namespace_index(uri)))


async def eventually(what: Callable[[], Awaitable[bool]], seconds: float = 12.0) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await what():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.1)


class Changes:
    def __init__(self) -> None:
        self.seen: asyncio.Queue[ua.DataValue] = asyncio.Queue()

    def datachange_notification(self, node: Node, value: object, data: object) -> None:
        self.seen.put_nowait(data.monitored_item.Value)


async def test_values_move_with_the_plants_own_time(plant: PlantProcess):
    async with Client(plant.urls["plc"]) as client:
        energy = await node(client, "urn:acme:plc", f"{PRESS}.active_energy")
        changes = Changes()
        subscription = await client.create_subscription(100, changes)
        await subscription.subscribe_data_change(energy, queuesize=10)
        values = [await asyncio.wait_for(changes.seen.get(), 5) for _ in range(4)]
        await subscription.delete()
    steps = [b.SourceTimestamp - a.SourceTimestamp for a, b in pairwise(values[1:])]
    assert all(timedelta(seconds=50) < step < timedelta(seconds=75) for step in steps)
    assert values[-1].Value.Value > values[1].Value.Value
    assert values[-1].StatusCode.is_good()


async def test_layouts_have_their_own_namespaces_types_and_units(plant: PlantProcess):
    async with Client(plant.urls["plc"]) as client:
        uris = await client.get_namespace_array()
        assert uris[2:4] == ["urn:other", "urn:acme:plc"]
        state = await node(client, "urn:acme:plc", f"{PRESS}.item_state")
        parts = await node(client, "urn:acme:plc", f"{PRESS}.part_count")
        texts = await (await state.get_child("0:EnumStrings")).read_value()
        assert [text.Text for text in texts][3] == "Executing"
        assert await state.read_value() in (1, 2, 3)
        assert await state.read_data_type_as_variant_type() is ua.VariantType.UInt32
        assert await parts.read_data_type_as_variant_type() is ua.VariantType.UInt32
        power = await node(client, "urn:acme:plc", f"{PRESS}.active_power")
        units = await (await power.get_child("0:EngineeringUnits")).read_value()
        assert (units.DisplayName.Text, units.UnitId) == ("kW", int.from_bytes(b"KWT", "big"))
        index = uris.index("http://opcfoundation.org/UA/Machinery/")
        machines = client.get_node(ua.NodeId(1001, index))
        sites = [(await site.read_browse_name()).Name for site in await machines.get_children()]
        assert sites == ["acme"]
    async with Client(plant.urls["scada"]) as client:
        power = await node(client, "urn:scada", "Station.ss1.t1.P")
        assert 0.5 < await power.read_value() < 16.0
        units = await (await power.get_child("0:EngineeringUnits")).read_value()
        assert units.DisplayName.Text == "MW"
        assert (
            await (await node(client, "urn:scada", "Station.ss1.t1.Breaker")).read_value() is True
        )
    async with Client(plant.urls["old"]) as client:
        count = await node(client, "urn:old", "Channel1.Device1.MW100")
        load = await node(client, "urn:old", "Channel1.Device1.MW108")
        assert await count.read_data_type_as_variant_type() is ua.VariantType.UInt32
        assert await load.read_data_type_as_variant_type() is ua.VariantType.Float
        assert await load.get_properties() == []


async def test_a_client_may_not_write(plant: PlantProcess):
    async with Client(plant.urls["plc"]) as client:
        power = await node(client, "urn:acme:plc", f"{PRESS}.active_power")
        with pytest.raises(ua.UaStatusCodeError):
            await power.write_value(1.0)


async def test_the_clock_tells_time_and_speed(plant: PlantProcess):
    async with Client(plant.urls["scada"]) as client:
        clock = await node(client, "urn:parktwin:plant", "PlantClock.Time")
        speed = await node(client, "urn:parktwin:plant", "PlantClock.Speed")
        now = (await clock.read_value()).replace(tzinfo=UTC)
        assert await speed.read_value() == 60.0
    start = datetime.fromisoformat(START)
    assert start < now < start + timedelta(hours=6)
    kept = json.loads(plant.paths.state.read_text())
    assert abs(datetime.fromisoformat(kept["at"]) - now) < timedelta(minutes=5)
    assert kept["speed"] == 60.0
    assert kept["counters"]["tiny/acme/active_energy"] > 0.0


async def test_a_planned_fault_is_labelled(plant: PlantProcess):
    async def labelled() -> bool:
        return bool(plant.labels())

    await eventually(labelled)
    first = plant.labels()[0]
    assert (first["event"], first["kind"], first["target"], first["size"]) == (
        "begin",
        "string_lost",
        "pv1",
        10.0,
    )
    assert first["at"] == "2026-11-20T04:00:01+00:00"


async def test_a_method_plants_a_fault_and_clears_it(plant: PlantProcess):
    async with Client(plant.urls["old"]) as client:
        energy = await node(client, "urn:old", "Channel1.Device1.MW112")
        control = await node(client, "urn:parktwin:plant", "PlantControl")
        inject = await node(client, "urn:parktwin:plant", "PlantControl.InjectFault")
        clear = await node(client, "urn:parktwin:plant", "PlantControl.ClearFault")
        await control.call_method(inject, "meter_stuck", "acme", 0.0, 0.0)

        async def stuck() -> bool:
            before = await energy.read_data_value()
            await asyncio.sleep(2.2)
            after = await energy.read_data_value()
            moved = after.SourceTimestamp > before.SourceTimestamp
            return moved and before.Value.Value == after.Value.Value

        await eventually(stuck)
        held = await energy.read_value()
        await control.call_method(clear, "meter_stuck", "acme")

        async def free() -> bool:
            return await energy.read_value() > held

        await eventually(free)


async def test_a_dead_plc_stays_good_with_frozen_values_and_times(plant: PlantProcess):
    async with Client(plant.urls["plc"]) as client:
        energy = await node(client, "urn:acme:plc", f"{PRESS}.active_energy")
        await plant.inject("frozen_good", "plc")

        async def frozen() -> bool:
            before = await energy.read_data_value()
            await asyncio.sleep(2.2)
            after = await energy.read_data_value()
            return (
                after.SourceTimestamp == before.SourceTimestamp
                and after.ServerTimestamp > before.ServerTimestamp
                and after.Value.Value == before.Value.Value
                and after.StatusCode.is_good()
            )

        await eventually(frozen)
        await plant.clear("frozen_good", "plc")

        async def alive() -> bool:
            return not await frozen()

        await eventually(alive)


async def test_a_plc_clock_may_be_seven_hours_off(plant: PlantProcess):
    async with Client(plant.urls["scada"]) as client:
        oil = await node(client, "urn:scada", "Station.ss1.t1.Oil")
        await plant.inject("clock_offset", "scada", 7.0)

        async def off() -> bool:
            value = await oil.read_data_value()
            return value.SourceTimestamp - value.ServerTimestamp == timedelta(hours=7)

        await eventually(off)
        await plant.clear("clock_offset", "scada")

        async def right() -> bool:
            return not await off()

        await eventually(right)


async def test_a_restart_may_swap_the_namespaces(plant: PlantProcess):
    async with Client(plant.urls["plc"]) as client:
        before = await client.get_namespace_index("urn:acme:plc")
    order = ["urn:acme:plc", "urn:parktwin:plant", "http://opcfoundation.org/UA/Machinery/"]
    await plant.restart("plc", [*order, "urn:other"])
    async with Client(plant.urls["plc"]) as client:
        assert await client.get_namespace_index("urn:acme:plc") == 2 != before
        energy = await node(client, "urn:acme:plc", f"{PRESS}.active_energy")

        async def good() -> bool:
            return (await energy.read_data_value(raise_on_bad_status=False)).StatusCode.is_good()

        await eventually(good)


async def test_a_killed_server_comes_back_and_a_paused_one_goes_on(plant: PlantProcess):
    first = plant.server_pid("old")
    plant.kill("old")

    async def back() -> bool:
        return plant.server_pid("old") != first

    await eventually(back, 30.0)
    async with Client(plant.urls["old"], timeout=1.0) as client:
        hangs = pytest.raises((TimeoutError, ua.UaError, ConnectionError))
        with plant.paused("old"), hangs:
            await client.nodes.server_state.read_value()
        assert await client.nodes.server_state.read_value() == 0


async def test_a_secure_plant_speaks_only_to_those_who_encrypt(tmp_path: Path):
    pki = tmp_path / "pki"
    async with plant_process(PARK, ENDPOINTS, arguments=("--secure", "--pki", str(pki))) as secure:
        key = pki / "plc" / "plant_key.pem"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        url = secure.urls["plc"]
        with pytest.raises((ua.UaError, TimeoutError, ConnectionError)):
            async with Client(url, timeout=2.0):
                pass
        client = Client(url)
        client.application_uri = "urn:parktwin:plant:plc"
        await client.set_security_string(
            f"Basic256Sha256,SignAndEncrypt,{pki / 'plc' / 'plant_cert.der'},{key}"
        )
        async with client:
            power = await node(client, "urn:acme:plc", f"{PRESS}.active_power")
            assert await power.read_value() > 0.0
        pids = [secure.pid, secure.server_pid("plc")]
        assert await secure.stop() == 0
    assert not [pid for pid in pids if running(pid)]


async def test_a_taken_port_is_told_with_a_remedy(tmp_path: Path):
    (port,) = free_ports(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        urls = [f"{name}=opc.tcp://127.0.0.1:{port}" for name in ENDPOINTS]
        command = [sys.executable, "-m", "connectors.plant", str(PARK), "--urls", *urls]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert f"plc cannot listen at opc.tcp://127.0.0.1:{port}" in said.decode()
    assert "--port-base" in said.decode()


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
