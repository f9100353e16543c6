"""Our own side of the bench: a source, its columns, and Arrow batches, as in a gateway."""

import asyncio
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from connectors.clock import wall_us
from connectors.coverage import CoverageRow
from connectors.load.audit import Audit, Verdict
from connectors.load.server import identifiers
from connectors.load.values import NAMESPACE, Mix, Ticks
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.report import EndpointState
from connectors.opcua.security import Pki
from connectors.opcua.source import Source, SourceSettings
from models.errors import Unavailable
from twin.samples import column_us

_PATIENCE_S: Final = 120.0
_ROOMY: Final = SourceSettings(rows=2_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The load server one speaks to: address, nodes, types, ticks."""

    url: str
    nodes: int
    mix: Mix
    ticks: Ticks

    def audit(self) -> Audit:
        """A fresh audit of its values."""
        return Audit(self.nodes, self.mix, self.ticks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a source took in a time.

    Parameters
    ----------
    values, seconds, cpu_s
        Rows in Arrow batches, in how long, and CPU time of the process [s].
    verdict
        What the audit says of them.
    p50_ms, p99_ms
        From the change in the plant until the row is in an Arrow batch [ms].
    """

    values: int
    seconds: float
    cpu_s: float
    verdict: Verdict
    p50_ms: float
    p99_ms: float


def config_of(
    plant: Plant,
    *,
    publishing_ms: float,
    poll: bool = False,
    bridge_s: float = 10.0,
    policy: str = "None",
) -> EndpointConfig:
    """An endpoint with every node of the plant; tag ids are node numbers plus one.

    A polled one is read at the publishing interval; a secure one is signed and encrypted.
    """
    items = tuple(
        Item(tag=tag, namespace=NAMESPACE, identifier=identifier)
        for tag, identifier in enumerate(identifiers(plant.nodes), start=1)
    )
    period_ms = plant.ticks.period_us / 1000.0
    return EndpointConfig(
        id="plc",
        url=plant.url,
        policy=policy,
        mode="None" if policy == "None" else "SignAndEncrypt",
        allow_insecure=policy == "None",
        sampling_ms=publishing_ms if poll else period_ms,
        publishing_ms=publishing_ms,
        bridge_s=bridge_s,
        poll=poll,
        items=items,
    )


class Taker:
    """Drains one source whenever rows wait, after a pause in which more of them gather.

    Parameters
    ----------
    config
        Endpoint.
    linger_s
        The pause; the gateway's own is 0.05 s [s].
    pki
        Certificates, for a secure endpoint.
    settings
        Supervision.
    """

    def __init__(
        self,
        config: EndpointConfig,
        linger_s: float,
        pki: Pki | None = None,
        settings: SourceSettings = _ROOMY,
    ) -> None:
        self._wake = asyncio.Event()
        self._linger_s = linger_s
        self.batches: list[tuple[int, pa.RecordBatch]] = []
        """Wall time it was made [us], and batch."""
        self.coverage: list[CoverageRow] = []
        self.rows = 0
        self.source = Source(config, pki=pki, settings=settings, wake=self._wake.set)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Taker":
        self.source.start()
        self._task = asyncio.create_task(self._run())
        await self._until(lambda: self.source.status().state is EndpointState.CONNECTED)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.source.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.collect()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._linger_s:
                await asyncio.sleep(self._linger_s)
            self.collect()

    def collect(self) -> None:
        """One Arrow batch of what waits."""
        if len(self.source.rows):
            batch = self.source.drain()
            self.batches.append((wall_us(), batch))
            self.rows += batch.num_rows
        self.coverage += self.source.take_coverage()
        self.source.handed()

    async def _until(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + _PATIENCE_S
        while not done():
            if time.monotonic() > until:
                raise Unavailable(
                    f"nothing from the load server: {self.source.status().cause}",
                    "is the loopback open?",
                )
            await asyncio.sleep(0.02)

    async def flowing(self, rows: int) -> None:
        """Wait until so many rows have come."""
        await self._until(lambda: self.rows >= rows)


async def take(
    config: EndpointConfig, plant: Plant, seconds: float, *, linger_s: float, pki: Pki | None = None
) -> Taken:
    """Receive everything for a time; rows are kept, and audited when it is over.

    Parameters
    ----------
    config, plant
        Endpoint, and what it holds.
    seconds
        How long to measure, after all items have come twice [s].
    linger_s
        Pause before a batch is made [s].
    pki
        Certificates, for a secure endpoint.
    """
    async with Taker(config, linger_s, pki) as taker:
        await taker.flowing(2 * plant.nodes)
        await asyncio.sleep(2 * config.publishing_ms / 1000.0)
        gc.collect()
        taker.collect()
        first, before = len(taker.batches), taker.rows
        cpu_s, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        taker.collect()
        cpu_s, seconds = time.process_time() - cpu_s, time.monotonic() - began
        values, measured = taker.rows - before, taker.batches[first:]
    audit = plant.audit()
    for _, batch in taker.batches:
        audit.take(batch)
    late_ms = [(made_us - column_us(batch, "at")) / 1000.0 for made_us, batch in measured]
    late = np.concatenate(late_ms) if late_ms else np.full(1, np.inf)
    return Taken(
        values=values, seconds=seconds, cpu_s=cpu_s, verdict=audit.verdict(taker.coverage),
        p50_ms=float(np.quantile(late, 0.5)), p99_ms=float(np.quantile(late, 0.99)),
    )  # fmt: skip
