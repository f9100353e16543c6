"""Peers for the ingest bench: what a plain asyncua subscription costs, in the same run."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """Values a client received in a time, and the CPU time its process spent on them [s]."""

    values: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Values per second."""
        return self.values / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU per value [us]; infinite when there was none."""
        return self.cpu_s / self.values * 1e6 if self.values else float("inf")


class _Counter:
    """The smallest handler: it counts."""

    def __init__(self) -> None:
        self.values = 0

    def datachange_notification(self, node: Node, val: object, data: DataChangeNotif) -> None:
        """Count one value."""
        del node, val, data
        self.values += 1


async def bare_subscription(
    url: str,
    nodes: Sequence[str],
    seconds: float,
    *,
    publishing_ms: float = 100.0,
    sampling_ms: float = 100.0,
) -> Ingested:
    """Receive with asyncua as its documentation shows it: one handler, called once per value.

    The process should do nothing else meanwhile: its whole CPU time is counted.

    Parameters
    ----------
    url
        Server without security.
    nodes
        Node ids as asyncua writes them (``ns=2;s=…``).
    seconds
        How long to count, after two publishing intervals of settling [s].
    publishing_ms, sampling_ms
        Intervals [ms].
    """
    counter = _Counter()
    async with Client(url, watchdog_intervall=30) as client:
        subscription = await client.create_subscription(publishing_ms, counter)
        await subscription.subscribe_data_change(
            [client.get_node(node) for node in nodes],
            queuesize=10,
            sampling_interval=ua.Double(sampling_ms),
        )
        await asyncio.sleep(2 * publishing_ms / 1000.0)
        counter.values, cpu, began = 0, time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        got = Ingested(
            values=counter.values,
            seconds=time.monotonic() - began,
            cpu_s=time.process_time() - cpu,
        )
        await subscription.delete()
    return got
