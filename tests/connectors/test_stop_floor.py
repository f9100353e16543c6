"""A source stops whenever it is asked to, whatever it was doing."""

import asyncio

import pytest
from floor_plc import Plc, free_port, running

from connectors.opcua import source as sources
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.decode import warm
from connectors.opcua.report import EndpointState
from connectors.opcua.source import Source, SourceSettings

pytestmark = pytest.mark.floor


def made(url: str, **more) -> Source:
    config = EndpointConfig(
        id="plc",
        url=url,
        items=(Item(tag=1, namespace="urn:a", identifier="s=V"),),
        allow_insecure=True,
        **({"sampling_ms": 20.0, "publishing_ms": 20.0} | more),
    )
    return Source(config, settings=SourceSettings(timeout_s=5.0, probe_s=0.1))


def sampling() -> list[str]:
    return [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("opcua")]


@pytest.mark.parametrize("poll", [False, True])
async def test_it_stops_after_any_number_of_steps(poll):
    warm()
    async with running(Plc(free_port())) as plc:
        await plc.add("urn:a", "V", 0.0)
        for steps in (*range(30), 60, 120, 200):
            source = made(plc.url, poll=poll)
            source.start()
            for _ in range(steps):
                await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await source.stop(stay=bool(steps % 2))
            assert source.state is EndpointState.OFFLINE
            assert sampling() == []


async def test_it_stops_though_a_cancellation_was_swallowed(monkeypatch):
    """As `asyncio.wait_for` does when the answer comes in the same moment."""
    begun, real = asyncio.Event(), sources.open_or_resume

    async def swallowing(*given):
        opening = asyncio.ensure_future(real(*given))
        begun.set()
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            return await opening

    monkeypatch.setattr(sources, "open_or_resume", swallowing)
    async with running(Plc(free_port())) as plc:
        await plc.add("urn:a", "V", 0.0)
        source = made(plc.url)
        source.start()
        await begun.wait()
        async with asyncio.timeout(10):
            await source.stop()
        assert sampling() == []
