"""A stranger's server that connects to us, with security on: node-opcua."""

import asyncio
import contextlib
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import pytest_asyncio
from floor_plc import free_port
from floor_proxy import Link
from floor_receiver import Receiver, until
from floor_secure import HERE, let_in, node_server

from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua import reverse
from connectors.opcua.config import Item
from connectors.opcua.crawl import crawl_all
from connectors.opcua.listen_at import ListenAt
from connectors.opcua.report import EndpointState
from connectors.opcua.reverse import (
    listen_for_servers,
    listener,
    stop_listening,
)
from connectors.opcua.session import close, open_session
from connectors.opcua.source import SourceSettings
from connectors.opcua.trial import try_endpoint
from models.errors import TwinError

pytestmark = [
    pytest.mark.floor,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
        reason="run `npm ci` in tests/connectors/node",
    ),
]
SETTINGS = GatewaySettings(
    idle_s=0.005,
    source=SourceSettings(probe_s=0.2, backoff_first_s=0.1, backoff_most_s=0.3, coverage_s=0.2),
)
COUNT = (Item(tag=1, namespace="urn:a", identifier="s=Count"),)


def only_to(port, patch):
    """Nobody of this process may connect to the server; only the link may, to our listener."""
    connect = asyncio.BaseEventLoop.create_connection

    async def guarded(self, factory, host=None, at=None, **more):
        assert at == port, f"somebody connects to {host}:{at}"
        return await connect(self, factory, host, at, **more)

    patch.setattr(asyncio.BaseEventLoop, "create_connection", guarded)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory):
    """A server that connects to us, twice, over a link; it has let us in once."""
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARKTWIN_TEST_PASSWORD", "đúng")
        only_to(port, patch)
        listen_for_servers(ListenAt(host="127.0.0.1", port=port, hello_s=0.5))
        async with Link(port) as link:
            clients = ",".join([link.url] * 2)
            folder = tmp_path_factory.mktemp("reverse")
            async with node_server(folder, clients=clients) as node:
                first = await try_endpoint(config_of(node), pki=node.pki)
                assert [step.step for step in first.steps if not step.ok] == ["certificate"]
                node.pki.trust(first.fingerprint)
                await try_endpoint(config_of(node), pki=node.pki)
                node.trust_us()
                await let_in(config_of(node), node.pki)
                yield node, link
        await stop_listening()
        listen_for_servers(None)


def config_of(node, **more):
    login = {"user": "reader", "password": "env:PARKTWIN_TEST_PASSWORD"}
    return replace(node.config(**login), **({"reverse": True, "items": COUNT} | more))


@contextlib.asynccontextmanager
async def gateway(folder, receiver, node, config):
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        settings=SETTINGS,
        pki=node.pki,
    )
    await held.start([config])
    try:
        yield held
    finally:
        await held.stop()


def fast(node):
    return config_of(node, sampling_ms=20.0, publishing_ms=100.0, queue_size=2000)


def state_of(held):
    return held.status()[0].state


async def test_a_test_and_a_crawl_use_the_connections_their_server_opens(node):
    server, _ = node
    tried = await try_endpoint(config_of(server), pki=server.pki)
    assert tried.ok, tried.steps[-1]
    assert tried.steps[1].detail == "127.0.0.1 has connected"
    found = await crawl_all(config_of(server), pki=server.pki, timeout_s=10.0)
    assert "nsu=urn:a;s=Count" in {one.node for one in found.nodes}


async def test_a_server_that_calls_by_another_name_than_its_certificates_is_not_read(
    node, monkeypatch
):
    server, _ = node
    config = config_of(server)

    def lying(data):
        found = read(data)
        return found and replace(found, server_uri="urn:another")

    await close(await open_session(config, server.pki, 10.0))
    read = reverse.read_hello
    monkeypatch.setattr(reverse, "read_hello", lying)
    # What it offers is known from before, so that its session is what is judged; then it is asked.
    for _ in range(2):
        with pytest.raises(TwinError, match="called as 'urn:another' and is 'urn:floor:secure'"):
            await opened_anew(config, server)


async def opened_anew(config, server):
    """Open a session by a connection that was opened from now on."""
    door = listener()
    for place in door._places.values():
        for one in list(place.waiting):
            one.transport.abort()
    await close(await open_session(config, server.pki, 10.0))


async def test_values_come_a_lost_connection_is_waited_for_and_nothing_is_missing(node, tmp_path):
    server, link = node
    receiver = Receiver()
    async with gateway(tmp_path, receiver, server, fast(server)) as held:
        await until(lambda: len(receiver.values(1)) > 20, 30)
        assert held.status()[0].security.endswith("/SignAndEncrypt")
        # Another connection of the same server: a test beside the subscription.
        assert (await try_endpoint(config_of(server), pki=server.pki)).ok
        link.refuse = True
        link.cut()
        words = "waiting for the server to connect to 127.0.0.1"
        await until(lambda: held.status()[0].cause.startswith(words), 30)
        assert state_of(held) is EndpointState.OFFLINE
        link.refuse = False
        await until(lambda: state_of(held) is EndpointState.CONNECTED, 30)
        seen = len(receiver.values(1))
        await until(lambda: len(receiver.values(1)) > seen + 50, 30)
        await until(lambda: any("same session" in row["cause"] for row in receiver.coverage), 30)
    steps = [b - a for a, b in pairwise(receiver.values(1))]
    assert min(steps) > 0
    # The server samples by a timer of its own, so that a step may be two; a lost second is fifty.
    assert max(steps) < 20


BAD = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"RHEF\xff\xff\xff\xff",
    b"RHEF\x08\x00\x00\x00",
    b"",
)


async def test_a_flood_of_bad_hellos_harms_no_connection_and_keeps_no_server_out(node, tmp_path):
    server, link = node
    receiver, door, over = Receiver(), listener(), asyncio.Event()

    async def flood(number: int) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", door.at.port)
                writer.write(BAD[number % len(BAD)])
                if number % len(BAD) != len(BAD) - 1:
                    await reader.read()
                writer.transport.abort()

    async with gateway(tmp_path, receiver, server, fast(server)) as held:
        await until(lambda: len(receiver.values(1)) > 20, 30)
        attackers = [asyncio.create_task(flood(number)) for number in range(8)]
        try:
            await until(lambda: door.counts.total() > 1000, 60)
            seen = len(receiver.values(1))
            await until(lambda: len(receiver.values(1)) > seen + 50, 30)
            assert state_of(held) is EndpointState.CONNECTED
            link.cut()
            await until(lambda: held.status()[0].reconnects == 1, 60)
            seen = len(receiver.values(1))
            await until(lambda: len(receiver.values(1)) > seen + 50, 30)
        finally:
            over.set()
            await asyncio.gather(*attackers)
    await until(lambda: not door._greeting, 30)
    steps = [b - a for a, b in pairwise(receiver.values(1))]
    assert min(steps) > 0
    assert max(steps) < 20
