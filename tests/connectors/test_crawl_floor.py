"""Crawls of real servers: asyncua's, and node-opcua with many nodes, units and ranges."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest
from asyncua import ua
from floor_plc import Plc, free_port
from floor_receiver import until

from cluster.crawl_room import CrawlRoom
from connectors.bench_crawl import compare
from connectors.opcua.config import EndpointConfig
from connectors.opcua.crawl import CrawlLimits, crawl_all, look
from connectors.opcua.security import Pki
from connectors.opcua.session import close, open_session
from models.errors import Unavailable

HERE = Path(__file__).parent / "node"
pytestmark = pytest.mark.floor


@contextlib.asynccontextmanager
async def many(folder: Path, count: int):
    """node-opcua with so many nodes; its configuration."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "many.js"), str(port), str(folder), str(count),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "node-opcua did not start"
        url = f"opc.tcp://127.0.0.1:{port}/crawl"
        yield EndpointConfig(id="many", url=url, allow_insecure=True)
    finally:
        process.kill()
        await process.wait()


@pytest.mark.skipif(
    not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)
async def test_a_server_nobody_here_wrote_is_found_whole_with_units_and_ranges(tmp_path):
    async with many(tmp_path, 600) as config:
        crawl = await crawl_all(config, limits=CrawlLimits(outstanding=3))
    own = {row.path: row for row in crawl.nodes if row.node.startswith("nsu=urn:parktwin:crawl;")}
    assert crawl.complete
    assert len(own) == 600
    power = own["F0/V0"]
    assert (power.unit, power.unit_id, power.span) == ("kW", 4937556, (0.0, 200.0))
    assert (power.data_type, power.access, power.rank) == ("Double", 1, -1)
    assert own["F1/V1"].unit == ""


async def test_types_of_ones_own_lead_back_to_built_in_ones_and_values_are_watched():
    plc = await Plc(free_port()).start()
    try:
        node = await plc.add("urn:a", "V", 1.0)
        await plc.add("urn:a", "List", [1.0, 2.0])
        kind = await plc.server.nodes.base_object_type.add_object_type(2, "OwnType")
        below = await kind.add_object_type(2, "BelowType")
        await plc.server.nodes.objects.add_object(2, "Thing", objecttype=below)
        config = EndpointConfig(id="plc", url=plc.url, allow_insecure=True)
        crawl = await crawl_all(config)
        rows = {row.path: row for row in crawl.nodes}
        assert rows["Thing"].bases == (f"nsu=urn:a;i={kind.nodeid.Identifier}",)
        assert (rows["List"].rank, rows["V"].rank) == (1, -1)
        client = await open_session(config, None, 5.0)
        try:

            async def move():
                for value in (2.0, 3.0, 1.0, 4.0):
                    await asyncio.sleep(0.05)
                    await node.write_value(ua.Variant(value, ua.VariantType.Double))

            moving = asyncio.create_task(move())
            seen = {n.path: n for n in await look(client, crawl.nodes, rounds=6, every_s=0.06)}
            await moving
        finally:
            await close(client)
        assert seen["V"].observed.distinct > 1
        assert seen["V"].observed.good == 1.0
        assert seen["List"].observed == rows["List"].observed
    finally:
        await plc.stop()


async def ended(room, name, config):
    """What a crawl tells when it is under way no more."""
    told = {}

    def over():
        told.update(room.begin(name, config, fresh=False))
        return told["state"] != "running"

    await until(over, 30)
    return told


async def test_a_gateway_crawls_in_the_background_and_tells_how_far_it_is(tmp_path):
    room = CrawlRoom(tmp_path, Pki(tmp_path / "pki"))
    plc = await Plc(free_port()).start()
    config = EndpointConfig(id="plc", url=plc.url, allow_insecure=True)
    try:
        await plc.add("urn:a", "V", 1.0)
        assert room.begin("plc", config, fresh=False)["state"] == "running"
        with pytest.raises(Unavailable, match="not crawled yet"):
            room.nodes("plc")
        told = await ended(room, "plc", config)
        assert (told["state"], told["complete"]) == ("done", True)
        assert "V" in {row.path for row in room.nodes("plc")}
        assert room.begin("plc", config, fresh=True)["state"] == "running"
    finally:
        await room.stop()
        await plc.stop()
    gone = EndpointConfig(id="x", url=f"opc.tcp://127.0.0.1:{free_port()}", allow_insecure=True)
    room.begin("x", gone, fresh=False)
    told = await ended(room, "x", gone)
    assert (told["state"], "running" in told["remedy"]) == ("failed", True)
    assert room.begin("x", gone, fresh=False)["state"] == "running", "asked again it starts anew"
    await room.stop()


async def test_the_bench_finds_the_same_nodes_both_ways():
    plain, ours = await compare(200, 1000)
    assert plain.nodes >= ours.nodes > 200, "the plain one also counts methods and properties"
