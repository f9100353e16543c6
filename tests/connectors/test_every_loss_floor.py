"""Whatever goes wrong: each value sent is stored once, or lies in a gap that says why."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
import pytest_asyncio
from floor_plc import Plc, free_port, running
from floor_proxy import Link
from floor_receiver import Receiver, until
from test_recovery_floor import (
    QUICK,
    SETTINGS,
    Writer,
    added,
    claimed,
    endpoint,
    forgotten,
    gateway,
    historized,
    of,
    settled,
    unexplained,
)

from connectors.buffer import DiskBuffer, DiskBufferFull
from connectors.opcua.report import EndpointState
from models.errors import Unavailable

BUFFER = replace(SETTINGS, source=replace(QUICK, rows=20))
EVERY_S = 0.02
"""As often as the items are sampled: this server queues what is written oftener, too, and a queue
would hold less than it says."""

pytestmark = [
    pytest.mark.floor,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*MonitoredItemService.datachange_callback"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_plc():
    async with running(Plc(free_port())) as plc:
        yield plc


@pytest_asyncio.fixture(loop_scope="module")
async def plc(shared_plc):
    await added(shared_plc)
    yield shared_plc
    await shared_plc.server.delete_nodes(list(shared_plc.nodes.values()))
    shared_plc.nodes.clear()


async def cut(plc, link, held, monkeypatch):
    await link.outage(0.5)


async def blackhole(plc, link, held, monkeypatch):
    async with link.blackhole():
        await until(lambda: of(held).state is EndpointState.OFFLINE, 15)
        link.cut()


async def restart(plc, link, held, monkeypatch):
    """The server forgets its sessions and all their queues."""
    outage = asyncio.create_task(link.outage(0.4))
    await until(lambda: of(held).state is EndpointState.OFFLINE, 15)
    own = plc.server.iserver.isession
    for session in list(plc.server.iserver._external_sessions.values()):
        if session is not own:
            await session.close_session(True)
    await outage


async def refused(held, monkeypatch, fault):
    stock, before = DiskBuffer.append, held.status()[0].delivering

    def full(self, session, seq, batch):
        raise fault

    monkeypatch.setattr(DiskBuffer, "append", full)
    await until(lambda: held.measures().fault and before)
    await asyncio.sleep(1.0)
    monkeypatch.setattr(DiskBuffer, "append", stock)


async def own_buffer_full(plc, link, held, monkeypatch):
    await refused(held, monkeypatch, DiskBufferFull(100, 100))


async def disk_full(plc, link, held, monkeypatch):
    await refused(held, monkeypatch, Unavailable("No space left on device", "free disk space"))


@pytest.mark.parametrize("queue", [5, 2000], ids=["short queues", "long queues"])
@pytest.mark.parametrize("fault", [cut, blackhole, restart, own_buffer_full, disk_full])
async def test_sent_is_stored_or_told(plc, tmp_path, monkeypatch, fault, queue):
    receiver = Receiver()
    async with contextlib.AsyncExitStack() as stack:
        link = await stack.enter_async_context(Link(plc.port))
        config = endpoint(link.url, queue_size=queue)
        held = await stack.enter_async_context(gateway(tmp_path, receiver, config, BUFFER))
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc, EVERY_S) as writer:
            await until(lambda: writer.count > 20)
            await fault(plc, link, held, monkeypatch)
            await until(lambda: of(held).state is EndpointState.CONNECTED, 15)
            back = writer.count + 30
            await until(lambda: receiver.values(1)[-1] > back, 15)
            await until(lambda: held._sources["plc"]._judge.outage is None, 15)
            last = await writer.stop()
        await settled(receiver, last)
        await held.stop()
    stored = [int(value) for value in receiver.values(1)]
    assert len(stored) == len(set(stored))
    assert unexplained(receiver, writer, last) == []
    lost = last + 1 - min(stored) - len({value for value in stored if value <= last})
    if queue == 2000 and fault is not restart:
        assert (lost, claimed(receiver)) == (0, [])
    else:
        assert lost > 0
        assert claimed(receiver)
        assert all(row["cause"] for row in receiver.gaps())


async def test_a_buffer_that_is_full_before_a_silence_is_judged_is_told_too(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    monkeypatch.setattr("connectors.opcua.judging._SETTLE_S", 2.0)
    async with gateway(tmp_path, receiver, endpoint(plc.url, queue_size=5), BUFFER) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        judge = held._sources["plc"]._judge
        await asyncio.sleep(0.3)  # longer than the queues hold
        async with Writer(plc, EVERY_S) as writer:
            await until(lambda: judge.outage is not None)
            await refused(held, monkeypatch, DiskBufferFull(100, 100))
            back = writer.count + 30
            await until(lambda: receiver.values(1)[-1] > back, 15)
            await until(lambda: judge.outage is None, 15)
            last = await writer.stop()
        await settled(receiver, last)
        await held.stop()
    assert unexplained(receiver, writer, last) == []
    assert len(set(receiver.values(1))) < last + 1


async def test_what_a_full_buffer_made_the_queues_drop_comes_from_history(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    await historized(plc)
    async with gateway(tmp_path, receiver, endpoint(plc.url, queue_size=5), BUFFER) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc, EVERY_S) as writer:
            await until(lambda: writer.count > 20)
            await refused(held, monkeypatch, DiskBufferFull(100, 100))
            await until(lambda: of(held).backfilled > 0, 15)
            await until(lambda: held._sources["plc"]._judge.outage is None, 15)
            last = await writer.stop()
        await settled(receiver, last)
        await until(lambda: not missing(receiver, last), 15)
    for tag in (1, 2):
        assert len(receiver.values(tag)) == len(set(receiver.values(tag)))
    await forgotten(plc)


def missing(receiver: Receiver, last: int) -> set[float]:
    """Numbers up to the last that did not come, of either variable."""
    up, down = set(receiver.values(1)), {-value for value in receiver.values(2)}
    first = int(max(min(up), min(down)))
    return set(map(float, range(first, last + 1))) - (up & down)
