"""The load server on a real socket: for asyncua, for our source, and through every outage."""

import asyncio
import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError
from floor_receiver import until

from connectors.clock import wall_us
from connectors.load.faults import QUICK, Fault, Outages, Setting
from connectors.load.peers import handler, iterator, polling
from connectors.load.process import Load, running
from connectors.load.proxy import Proxy
from connectors.load.server import LoadServer, LoadSettings, asyncua_ids
from connectors.load.taker import Plant, Taker, config_of, take
from connectors.load.values import NAMESPACE, Ticks, doubles
from twin.samples import to_us

pytestmark = pytest.mark.floor
NODE = Path(__file__).parent / "node"


@contextlib.asynccontextmanager
async def serving(nodes=20, hz=50.0, kind=LoadServer, **more):
    """A load server in this process, and how to speak to it."""
    ticks = Ticks(zero_us=wall_us(), period_us=round(1e6 / hz))
    settings = LoadSettings(nodes=nodes, mix=more.pop("mix", "double"), ticks=ticks, **more)
    server = kind(settings)
    port = await server.start(0)
    plant = Plant(
        url=f"opc.tcp://127.0.0.1:{port}/load", nodes=nodes, mix=settings.mix, ticks=ticks
    )
    try:
        yield server, plant
    finally:
        await server.stop()


def nodes_of(client, count):
    return [client.get_node(node) for node in asyncua_ids(count)]


# --- a stock client ---


async def test_a_stock_client_reads_namespaces_values_and_history():
    async with serving(history=True) as (_, plant), Client(plant.url) as client:
        assert (await client.get_namespace_array())[2] == NAMESPACE
        nodes = nodes_of(client, plant.nodes)
        found = await client.read_attributes(nodes, ua.AttributeIds.Value)
        again = await client.read_attributes(nodes, ua.AttributeIds.Value)
        for values in (found, again):
            at_us = to_us(values[0].SourceTimestamp)
            tick, rest = divmod(at_us - plant.ticks.zero_us, plant.ticks.period_us)
            assert rest == 0
            expected = doubles(np.arange(plant.nodes), tick).tolist()
            assert [value.Value.Value for value in values] == expected
        await until(lambda: plant.ticks.newest(wall_us()) >= 5)
        old = await nodes[3].read_raw_history(numvalues=1000)
        assert [value.Value.Value for value in old[:6]] == [3e8 + tick for tick in range(6)]


async def test_a_stock_client_is_told_every_change_in_order():
    heard = []

    class Handler:
        def datachange_notification(self, node, val, data):
            del data
            heard.append((node.nodeid.Identifier, val))

    async with serving(nodes=3) as (_, plant), Client(plant.url) as client:
        subscription = await client.create_subscription(40, Handler())
        await subscription.subscribe_data_change(nodes_of(client, 3), queuesize=50)
        await until(lambda: len(heard) > 60)
        await subscription.delete()
    for number in (1, 2, 3):
        ticks = [value - (number - 1) * 1e8 for which, value in heard if which == number]
        assert ticks == list(np.arange(ticks[0], ticks[0] + len(ticks)))


async def test_what_it_does_not_know_is_refused_item_by_item_and_service_by_service():
    async with serving() as (_, plant), Client(plant.url) as client:
        with pytest.raises(UaStatusCodeError, match="BadNodeIdUnknown"):
            await client.get_node("ns=2;i=999").read_value()
        with pytest.raises(UaStatusCodeError, match="BadServiceUnsupported"):
            await client.nodes.objects.get_children()
        subscription = await client.create_subscription(100, None)
        made = await subscription.subscribe_data_change(
            [client.get_node("ns=2;i=1"), client.get_node("ns=2;i=999")]
        )
        assert isinstance(made[0], int)
        assert made[1].name == "BadNodeIdUnknown"
        await subscription.delete()


async def test_bytes_that_are_no_opc_ua_end_their_connection_and_no_other():
    async with serving() as (_, plant), Client(plant.url) as client:
        port = int(plant.url.split(":")[2].split("/")[0])
        for junk in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"MSGF\x0c\x00\x00\x00abcd",
            b"OPNF" + b"\xff" * 60,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        assert await client.get_node("ns=2;i=1").read_value() >= 0


@pytest.mark.parametrize("peer", [handler, iterator, polling])
async def test_peers_count_values_of_the_same_server(peer):
    async with serving() as (server, plant):
        found = await peer(plant, 0.3, 50.0)
        assert found.values >= plant.nodes
        assert found.cpu_s > 0
        assert server.counts.values + server.counts.reads >= found.values


# --- our source ---


@pytest.mark.parametrize("mix", ["double", "mixed"])
async def test_every_value_comes_once_under_its_own_tag(mix):
    async with serving(nodes=2000, mix=mix, hz=20.0) as (server, plant):
        config = config_of(plant, publishing_ms=50.0)
        found = await take(config, plant, 1.0, linger_s=0.01)
        verdict = found.verdict
        assert (verdict.missing, verdict.doubled, verdict.wrong) == (0, 0, 0)
        assert 2000 * 10 < verdict.values <= server.counts.values


async def test_a_flood_comes_as_fast_as_it_is_asked_and_whole():
    async with serving(nodes=500, flood=True) as (_, plant):
        found = await take(config_of(plant, publishing_ms=50.0), plant, 0.5, linger_s=0.01)
        verdict = found.verdict
        assert (verdict.missing, verdict.doubled, verdict.wrong) == (0, 0, 0)
        assert verdict.values > 500 * 30


async def test_a_polled_server_gives_values_under_their_own_tags():
    async with serving(nodes=500, hz=200.0, mix="mixed") as (_, plant):
        config = config_of(plant, publishing_ms=20.0, poll=True)
        found = await take(config, plant, 0.5, linger_s=0.0)
        assert (found.verdict.doubled, found.verdict.wrong) == (0, 0)
        assert found.values > 500


async def test_a_server_killed_and_started_again_goes_on_with_its_ticks():
    async with running(Load(nodes=5, hz=50.0)) as server:
        zero_us = server.ticks.zero_us
        assert (await server.ask())["messages"] == 0
        await server.kill()
        await server.start()
        assert server.ticks.zero_us == zero_us
        async with Client(server.plant.url) as client:
            tick = await client.get_node("ns=2;i=1").read_value()
            assert tick == pytest.approx(server.ticks.newest(wall_us()), abs=50)


# --- outages ---

SCALED = Setting(nodes=20, hz=20.0, publishing_ms=50.0, flow_s=0.3, gateway=QUICK)
HELD = [
    Fault(kind="cut", seconds=0.1, runs=3),
    Fault(kind="cut", seconds=1.5, runs=3),
    Fault(kind="blackhole", seconds=2.0, runs=3),
    Fault(kind="restart", seconds=0.1, runs=3),
    Fault(kind="receiver", seconds=0.5, runs=3),
]
LOST = [
    Fault(kind="cut", seconds=1.5, runs=2, holds=False),
    Fault(kind="blackhole", seconds=2.0, runs=2, holds=False),
    Fault(kind="restart", seconds=0.1, runs=1, holds=False),
]


async def verdicts(folder, faults):
    """All faults at once: each waits most of its time."""
    every = [
        Outages(folder / str(number), fault, SCALED).run() for number, fault in enumerate(faults)
    ]
    return await asyncio.gather(*every)


async def test_outages_that_queues_or_history_hold_lose_double_and_swap_nothing(tmp_path):
    for fault, found in zip(HELD, await verdicts(tmp_path, HELD), strict=True):
        assert (found.missing, found.doubled, found.wrong) == (0, 0, 0), fault
        assert found.values > 3 * SCALED.nodes


class Interrupted(LoadServer):
    """Loses the connection over its second answer with history."""

    asked = 0

    def _history(self, connection, head, request):
        self.asked += 1
        if self.asked == 2:
            connection.drop()
            return None
        return super()._history(connection, head, request)


async def test_history_that_is_interrupted_goes_on_where_it_was_and_repeats_nothing():
    def verdict():
        audit = plant.audit()
        for _, batch in taker.batches:
            audit.take(batch)
        found = audit.verdict(upto=audit.newest - 1)
        return found.missing, found.doubled, found.wrong

    async with (
        serving(hz=20.0, kind=Interrupted, mix="mixed", history=True) as (server, plant),
        Proxy(int(plant.url.split(":")[2].split("/")[0])) as proxy,
    ):
        plain = config_of(plant, publishing_ms=50.0)
        config = replace(plain, url=f"opc.tcp://127.0.0.1:{proxy.port}/load")
        async with Taker(config, 0.01, settings=QUICK.source) as taker:
            await taker.flowing(5 * plant.nodes)
            async with proxy.away():
                server.forget()
                tick = plant.ticks.newest(wall_us())
                await until(lambda: plant.ticks.newest(wall_us()) > tick + 5)
            # Ten nodes a call: the first half, the second in vain, and the second again.
            await until(lambda: server.asked >= 3 and not verdict()[0])
        assert verdict() == (0, 0, 0)


async def test_values_lost_in_an_outage_that_nothing_holds_are_all_told(tmp_path):
    for fault, found in zip(LOST, await verdicts(tmp_path, LOST), strict=True):
        assert found.missing > 0, fault
        assert found.told == found.missing, fault
        assert (found.doubled, found.wrong) == (0, 0), fault


# --- proxy ---


@contextlib.asynccontextmanager
async def echoing():
    """A proxy in front of a server that says back what it hears."""

    async def echo(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


async def test_a_proxy_carries_both_ways_and_a_cut_resets_and_refuses():
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"there")
        assert await reader.readexactly(5) == b"there"
        async with proxy.away():
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            second, refused = await asyncio.open_connection("127.0.0.1", proxy.port)
            with pytest.raises(ConnectionResetError):
                await second.readexactly(1)
            refused.close()
        third, again = await asyncio.open_connection("127.0.0.1", proxy.port)
        again.write(b"back")
        assert await third.readexactly(4) == b"back"
        again.close()
        writer.close()


async def test_a_blackhole_says_nothing_and_lets_go_what_it_held():
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with proxy.blackhole():
            writer.write(b"lost?")
            waiting = asyncio.create_task(reader.readexactly(5))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
        assert await waiting == b"lost?"
        writer.close()


async def test_what_the_server_sends_is_swallowed_and_nobody_is_told():
    async with echoing() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.swallow = True
        writer.write(b"gone")
        await until(lambda: proxy.swallowed == 4)
        proxy.swallow = False
        writer.write(b"here")
        assert await reader.readexactly(4) == b"here"
        writer.close()


# --- a client nobody here wrote ---


@pytest.mark.skipif(
    not (NODE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)
async def test_the_client_of_node_opcua_takes_the_values():
    async with serving(nodes=1200, mix="mixed", hz=10.0) as (_, plant):
        process = await asyncio.create_subprocess_exec(
            "node", str(NODE / "client.js"), plant.url, "2", "1200", "100", "100", "1",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        found = json.loads(out.splitlines()[-1])
        assert found["values"] >= 1200 * 5
        assert found["cpu_s"] > 0
