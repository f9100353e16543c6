"""What others need for the same values: asyncua as its documentation shows it.

Each counts values and nothing else, and is alone in its process, whose CPU time is measured.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif, Subscription
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from connectors.bench import Ingested
from connectors.load.server import asyncua_ids
from connectors.load.taker import Plant
from models.errors import Unavailable

ITERATOR_QUEUE: Final = 200_000
"""Its default of 1000 would drop most of a message of 10,000 values."""
_WATCHDOG_S: Final = 30.0
_QUEUE: Final = 10
_PATIENCE_S: Final = 120.0


class _Counter:
    """The smallest handler: it counts."""

    def __init__(self) -> None:
        self.values = 0

    def datachange_notification(self, node: Node, val: object, data: DataChangeNotif) -> None:
        """Count one value."""
        del node, val, data
        self.values += 1


@asynccontextmanager
async def _subscribed(
    plant: Plant, counter: _Counter | None, publishing_ms: float
) -> AsyncIterator[Subscription]:
    async with Client(plant.url, watchdog_intervall=_WATCHDOG_S) as client:
        subscription = await client.create_subscription(
            publishing_ms, counter, queue_maxsize=ITERATOR_QUEUE
        )
        await subscription.subscribe_data_change(
            [client.get_node(node) for node in asyncua_ids(plant.nodes)],
            queuesize=_QUEUE,
            sampling_interval=ua.Double(plant.ticks.period_us / 1000.0),
        )
        yield subscription


async def _measured(counter: _Counter, settle: int, seconds: float) -> Ingested:
    """Count for a time, once so many values have come."""
    until = time.monotonic() + _PATIENCE_S
    while counter.values < settle:
        if time.monotonic() > until:
            raise Unavailable("nothing from the load server", "is the loopback open?")
        await asyncio.sleep(0.05)
    counter.values, cpu_s, began = 0, time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    return Ingested(
        values=counter.values,
        seconds=time.monotonic() - began,
        cpu_s=time.process_time() - cpu_s,
    )


async def handler(plant: Plant, seconds: float, publishing_ms: float) -> Ingested:
    """One handler, called once per value."""
    counter = _Counter()
    async with _subscribed(plant, counter, publishing_ms):
        return await _measured(counter, plant.nodes, seconds)


async def iterator(plant: Plant, seconds: float, publishing_ms: float) -> Ingested:
    """``async for`` over the subscription, with a queue that holds whole messages."""
    counter = _Counter()
    async with _subscribed(plant, None, publishing_ms) as subscription:

        async def consume() -> None:
            async for _ in subscription:
                counter.values += 1

        task = asyncio.create_task(consume())
        try:
            return await _measured(counter, plant.nodes, seconds)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def polling(plant: Plant, seconds: float, _: float) -> Ingested:
    """``read_values`` of all nodes in one call, again and again."""
    async with Client(plant.url, watchdog_intervall=_WATCHDOG_S) as client:
        nodes = [client.get_node(node) for node in asyncua_ids(plant.nodes)]
        await client.read_values(nodes)
        values, cpu_s, began = 0, time.process_time(), time.monotonic()
        while time.monotonic() - began < seconds:
            values += len(await client.read_values(nodes))
        return Ingested(
            values=values,
            seconds=time.monotonic() - began,
            cpu_s=time.process_time() - cpu_s,
        )


Peer = Callable[[Plant, float, float], Awaitable[Ingested]]
PEERS: Final[dict[str, Peer]] = {"handler": handler, "iterator": iterator, "polling": polling}


def decode_publish(body: bytes) -> int:
    """Decode a PublishResponse into objects with asyncua's own decoder; how many values it had."""
    response = struct_from_binary(ua.PublishResponse, Buffer(body))
    told = response.Parameters.NotificationMessage.NotificationData
    return sum(len(each.MonitoredItems) for each in told)
