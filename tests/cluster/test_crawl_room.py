"""Crawls and tests under way at a real server: told while they run, stopped, gone on with."""

import asyncio
import socket

import pytest
from asyncua import Server

from cluster.crawl_room import CrawlRoom
from cluster.trial_room import TrialRoom
from connectors.opcua.config import EndpointConfig
from connectors.opcua.security import Pki
from connectors.opcua.trial import try_endpoint
from models.errors import NotFound, Unavailable

pytestmark = pytest.mark.floor


@pytest.fixture
async def config():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"opc.tcp://127.0.0.1:{probe.getsockname()[1]}"
    server = Server()
    await server.init()
    server.set_endpoint(url)
    index = await server.register_namespace("urn:room")
    hall = await server.nodes.objects.add_object(index, "Hall")
    for n in range(40):
        await hall.add_variable(index, f"V{n}", float(n))
    async with server:
        yield EndpointConfig(id="browsed", url=url, allow_insecure=True)


async def over(told):
    async with asyncio.timeout(60):
        while (found := told())["state"] == "running":  # noqa: ASYNC110 - it is asked, as by a page
            await asyncio.sleep(0.02)
    return found


async def test_a_crawl_is_stopped_and_goes_on(config, tmp_path):
    room = CrawlRoom(tmp_path, Pki(tmp_path / "pki"))
    with pytest.raises(Unavailable, match="not crawled yet"):
        await room.cancel(config.url)
    assert room.begin(config.url, config, fresh=False)["state"] == "running"
    assert (await room.cancel(config.url))["state"] == "stopped"
    with pytest.raises(Unavailable, match="not crawled yet"):
        room.nodes(config.url)
    assert room.begin(config.url, config, fresh=False)["state"] == "running"
    found = await over(lambda: room.begin(config.url, config, fresh=False))
    assert (found["state"], found["complete"]) == ("done", True)
    assert sum(node.path.startswith("Hall/V") for node in room.nodes(config.url)) == 40
    await room.stop()


async def test_a_test_is_told_step_by_step(config, tmp_path):
    pki = Pki(tmp_path / "pki")

    async def tries(config, told):
        return await try_endpoint(config, pki=pki, told=told)

    room = TrialRoom()
    name, seen = room.begin(config, tries), []
    async with asyncio.timeout(60):
        while not (told := room.told(name))[1]:
            seen.append(len(told[0].steps))
            await asyncio.sleep(0.02)
    assert told[0].ok
    assert len(told[0].steps) == 9
    assert len(set(seen)) > 1
    assert seen == sorted(seen)
    with pytest.raises(NotFound):
        room.told("another")
    await room.stop()
