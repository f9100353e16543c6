"""Two servers of one endpoint: the second takes over, and what both tell is stored once."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import pytest_asyncio
from floor_plc import Plc, free_port, running
from floor_proxy import Link
from floor_receiver import Receiver, until
from test_recovery_floor import SETTINGS, endpoint, gateway, of

from connectors.opcua.decode import warm
from connectors.opcua.redundancy import Once
from connectors.opcua.report import EndpointState
from twin.samples import SAMPLES, TIME

pytestmark = [
    pytest.mark.floor,
    pytest.mark.filterwarnings("ignore:.*MonitoredItemService.datachange_callback"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers():
    """Two servers for all tests: starting one takes two seconds."""
    warm()  # loaded within the first connect, it would be a server that does not answer in time
    async with running(Plc(free_port())) as first, running(Plc(free_port())) as second:
        yield first, second


@pytest_asyncio.fixture(loop_scope="module")
async def pair(servers):
    """Two servers with the same nodes, the first behind a link."""
    for plc in servers:
        await plc.add("urn:a", "V", 0.0)
        await plc.add("urn:a", "W", 0.0)
    async with Link(servers[0].port) as link:
        yield *servers, link
    for plc in servers:
        await plc.server.delete_nodes(list(plc.nodes.values()))
        plc.nodes.clear()


async def both(first: Plc, second: Plc, value: float) -> None:
    """The same value at the same source time, as a redundant pair has it."""
    at = datetime.now(UTC)
    for plc in (first, second):
        await plc.write("urn:a", "V", value, at=at)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("kind", ["cold", "warm", "hot"])
async def test_the_second_server_takes_over_and_no_row_comes_twice(kind, pair, tmp_path):
    receiver, (first, second, link) = Receiver(), pair
    config = endpoint(link.url, spares=(second.url,), redundancy=kind)
    async with gateway(tmp_path, receiver, config, SETTINGS) as held:
        await until(lambda: of(held).state is EndpointState.CONNECTED)
        await until(lambda: receiver.values(1) and receiver.values(2))
        if kind == "warm":
            await until(lambda: "standing by" in of(held).cause)
        for i in range(1, 6):
            await both(first, second, float(i))
            await asyncio.sleep(0.05)
        await until(lambda: receiver.values(1)[-1] == 5.0)
        assert of(held).failovers == 0
        link.refuse = True
        link.cut()
        await until(lambda: of(held).failovers == 1)
        await until(lambda: of(held).state is EndpointState.CONNECTED)
        for i in range(6, 11):
            await both(first, second, float(i))
            await asyncio.sleep(0.05)
        await until(lambda: receiver.values(1)[-1] == 10.0)
        assert f"led by {second.url}" in of(held).cause
        # The first one is known even when it is not asked any more, and by the next process.
        assert held._sources["plc"].known[0] == first.application
    rows = [(r["tag"], r["at"], r["value"], r["status"]) for r in receiver.samples if r["value"]]
    assert len(rows) == len(set(rows))
    assert sorted(set(receiver.values(1))) == [float(i) for i in range(11)]
    assert bool(receiver.gaps()) is (kind != "hot")


def test_a_row_is_let_through_once_and_another_text_or_status_is_another_row():
    def batch(*rows: tuple) -> pa.RecordBatch:
        names = ("tag", "at", "value", "text", "status")
        plain = [{"seen_at": 0, "origin": 0, **dict(zip(names, row, strict=True))} for row in rows]
        return pa.RecordBatch.from_pylist(plain, schema=SAMPLES)

    once = Once()
    a, b = (1, 5, 1.0, None, 0), (1, 5, None, "x", 0)
    assert once.new(batch(a, b)).num_rows == 2
    others = (1, 5, None, "y", 0), (1, 5, 1.0, None, 1), (2, 5, 1.0, None, 0), (1, 6, 1.0, None, 0)
    assert once.new(batch(a, *others, b)).num_rows == 4
    assert once.new(batch(a, b, *others)).num_rows == 0


def test_rows_a_moment_apart_are_never_taken_for_each_other():
    """By receive time the values of a message are a microsecond apart; many are 0."""
    tags, times = np.meshgrid(np.arange(1, 201, dtype=np.int32), np.arange(200))
    n = tags.size
    batch = pa.record_batch(
        [
            pa.array(tags.ravel()),
            pa.array(times.ravel()).view(TIME),
            pa.nulls(n, TIME),
            pa.array(np.zeros(n, np.int64)).view(TIME),
            pa.array(np.zeros(n)),
            pa.nulls(n, pa.int64()),
            pa.nulls(n, pa.string()),
            pa.array(np.zeros(n, np.uint32)),
            pa.array(np.zeros(n, np.uint8)),
        ],
        schema=SAMPLES,
    )
    once = Once()
    assert once.new(batch).num_rows == n
    assert once.new(batch).num_rows == 0
