"""Outages between a gateway and the load server, and what became of every value.

Several endpoints of one gateway, each behind a proxy of its own, are several runs at once; their
outages begin at different moments of a publishing interval.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from connectors.clock import wall_us
from connectors.coverage import CoverageRow, is_coverage
from connectors.gateway import Gateway, GatewaySettings
from connectors.load.audit import Audit, Verdict
from connectors.load.process import Load, LoadProcess, running
from connectors.load.proxy import Proxy
from connectors.load.taker import config_of
from connectors.opcua.config import EndpointConfig
from connectors.opcua.report import EndpointState
from connectors.opcua.source import SourceSettings
from models.errors import Unavailable
from twin.delivery import Accept, AlreadyHave, Delivered, Inbox
from twin.samples import to_us

Kind = Literal["cut", "flap", "blackhole", "restart", "receiver"]
_PATIENCE_S: Final = 120.0
_FILLED_S: Final = 30.0
"""What does not come within this long after an outage is missing."""
_OF_THE_LINK: Final = ("cut", "flap", "blackhole")
_FLAPS: Final = 5
_BREATH_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of outage.

    Parameters
    ----------
    kind
        ``cut``: connections are reset, new ones refused; ``flap``: that several times, with a
        breath in between; ``blackhole``: nothing arrives and nothing says so; ``restart``: the
        server is killed and started again; ``receiver``: the one who takes the gateway's batches
        is away.
    seconds
        How long [s].
    runs
        How many; those of the link at once.
    holds
        Whether queues (or the history, after a restart) hold the outage.
    """

    kind: Kind
    seconds: float
    runs: int
    holds: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the outages meet.

    Parameters
    ----------
    nodes, hz
        Nodes of each endpoint, of mixed types, and their changes per second.
    publishing_ms
        Publishing interval [ms].
    flow_s
        Values flow for this long before and between outages [s].
    gateway
        Settings of the gateway.
    """

    nodes: int = 50
    hz: float = 10.0
    publishing_ms: float = 100.0
    flow_s: float = 1.0
    gateway: GatewaySettings = field(default_factory=GatewaySettings)


class _Receiver:
    """Takes batches as a shard does; those of each endpoint are audited by themselves."""

    def __init__(self, audits: Sequence[Audit], nodes: int) -> None:
        self._inbox = Inbox()
        self._audits, self._nodes = audits, nodes
        self.coverage: list[CoverageRow] = []
        self.away = False
        self._session = 0

    async def new_session(self) -> int:
        """Count starts."""
        self._session += 1
        return self._session

    async def deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        """Take a batch in its order."""
        if self.away:
            raise Unavailable("the receiver is away")
        verdict = self._inbox.check(source, session, seq)
        if isinstance(verdict, AlreadyHave):
            return Delivered(session=session, acked_seq=verdict.seq)
        if not isinstance(verdict, Accept):
            return Delivered(session=session, expect=verdict.seq)
        self._inbox.accepted(source, session, seq)
        if is_coverage(batch):
            self.coverage += [_row(told) for told in batch.to_pylist()]
        else:
            self._look(batch)
        return Delivered(session=session, acked_seq=seq)

    def _look(self, batch: pa.RecordBatch) -> None:
        tag = batch.column("tag").to_numpy().astype(np.int64) - 1
        whose = tag // self._nodes
        for endpoint in np.unique(whose):
            chosen = np.flatnonzero(whose == endpoint)
            rows = batch.take(pa.array(chosen))
            own = pa.array((tag[chosen] % self._nodes + 1).astype(np.int32))
            place = rows.schema.get_field_index("tag")
            self._audits[endpoint].take(rows.set_column(place, rows.schema.field(place), own))


def _row(told: dict[str, Any]) -> CoverageRow:
    from_us, to = (to_us(told[name]) for name in ("from", "to"))
    lost = told["lost"]
    return CoverageRow(
        endpoint=str(told["endpoint"]), from_us=from_us, to_us=to, alive=bool(told["alive"]),
        cause=str(told["cause"]), lost=lost if isinstance(lost, int) else None,
    )  # fmt: skip


class Outages:
    """One gateway, its endpoints, and their proxies.

    Parameters
    ----------
    folder
        Empty folder for the gateway.
    fault, setting
        What happens, and to what.
    """

    def __init__(self, folder: Path, fault: Fault, setting: Setting) -> None:
        self._folder, self._fault, self._setting = folder, fault, setting
        self._endpoints = fault.runs if fault.kind in _OF_THE_LINK else 1
        self._random = random.Random(1)  # noqa: S311 - spreads the beginnings, keeps no secret

    async def run(self) -> Verdict:
        """Let values flow, do it, and judge when everything has come that will come."""
        fault, setting = self._fault, self._setting
        # A queue of a few ticks cannot hold it.
        queue = 10_000 if fault.holds else max(2, round(setting.hz * fault.seconds / 5))
        load = Load(
            nodes=setting.nodes, hz=setting.hz, mix="mixed", queue=queue, history=fault.holds
        )
        async with running(load) as server, contextlib.AsyncExitStack() as stack:
            proxies = [
                await stack.enter_async_context(Proxy(server.port)) for _ in range(self._endpoints)
            ]
            audits = [server.plant.audit() for _ in proxies]
            receiver = _Receiver(audits, setting.nodes)
            gateway = await stack.enter_async_context(self._gateway(receiver, server, proxies))
            await self._settled(gateway, audits)
            await self._outages(server, proxies, receiver, gateway, audits)
            await self._settled(gateway, audits)
            upto = min(audit.newest for audit in audits) - 1
        return self._judged(audits, receiver, upto)

    @contextlib.asynccontextmanager
    async def _gateway(
        self, receiver: _Receiver, server: LoadProcess, proxies: Sequence[Proxy]
    ) -> AsyncIterator[Gateway]:
        gateway = Gateway(
            source="bench",
            folder=self._folder,
            deliver=receiver.deliver,
            new_session=receiver.new_session,
            settings=self._setting.gateway,
        )
        configs = [self._config(server, proxy, number) for number, proxy in enumerate(proxies)]
        await gateway.start(configs)
        try:
            yield gateway
        finally:
            await gateway.stop()

    def _config(self, server: LoadProcess, proxy: Proxy, number: int) -> EndpointConfig:
        plain = config_of(
            server.plant,
            publishing_ms=self._setting.publishing_ms,
            bridge_s=2 * self._fault.seconds + 10.0,
        )
        items = tuple(
            replace(item, tag=item.tag + number * self._setting.nodes) for item in plain.items
        )
        url = f"opc.tcp://127.0.0.1:{proxy.port}/load"
        return replace(plain, id=f"plc{number}", url=url, items=items)

    # --- the outages ---

    async def _outages(
        self,
        server: LoadProcess,
        proxies: Sequence[Proxy],
        receiver: _Receiver,
        gateway: Gateway,
        audits: Sequence[Audit],
    ) -> None:
        fault = self._fault
        if fault.kind in _OF_THE_LINK:
            await asyncio.gather(*(self._cut_off(proxy) for proxy in proxies))
            return
        for _ in range(fault.runs):
            if fault.kind == "restart":
                await server.kill()
                await asyncio.sleep(fault.seconds)
                await server.start()
            else:
                receiver.away = True
                await asyncio.sleep(fault.seconds)
                receiver.away = False
            await self._settled(gateway, audits)

    async def _cut_off(self, proxy: Proxy) -> None:
        await asyncio.sleep(self._random.uniform(0.0, 1.0))
        for _ in range(_FLAPS if self._fault.kind == "flap" else 1):
            held = proxy.blackhole() if self._fault.kind == "blackhole" else proxy.away()
            async with held:
                await asyncio.sleep(self._fault.seconds)
            await asyncio.sleep(self._random.uniform(0.0, _BREATH_S))

    async def _flow(self, gateway: Gateway, audits: Sequence[Audit]) -> None:
        """Wait until every endpoint has delivered what happens from now on, for a while."""
        await _until(
            lambda: all(one.state is EndpointState.CONNECTED for one in gateway.status()), gateway
        )
        wanted = audits[0].ticks.newest(wall_us()) + round(self._setting.flow_s * self._setting.hz)
        await _until(lambda: all(audit.newest >= wanted for audit in audits), gateway)

    async def _settled(self, gateway: Gateway, audits: Sequence[Audit]) -> None:
        """Wait until what happens now comes, and what waited has come or is given up."""
        await self._flow(gateway, audits)
        settings, setting = self._setting.gateway.source, self._setting
        await asyncio.sleep(
            2 * settings.probe_s + 6 * setting.publishing_ms / 1000.0 + setting.flow_s
        )
        until = time.monotonic() + _FILLED_S * self._fault.holds
        while time.monotonic() < until and _incomplete(audits):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.2)
        await self._flow(gateway, audits)

    def _judged(self, audits: Sequence[Audit], receiver: _Receiver, upto: int) -> Verdict:
        verdicts = [
            audit.verdict([row for row in receiver.coverage if row.endpoint == f"plc{n}"], upto)
            for n, audit in enumerate(audits)
        ]
        return Verdict(
            values=sum(v.values for v in verdicts),
            missing=sum(v.missing for v in verdicts),
            doubled=sum(v.doubled for v in verdicts),
            wrong=sum(v.wrong for v in verdicts),
            told=sum(v.told for v in verdicts),
        )


def _incomplete(audits: Sequence[Audit]) -> bool:
    return any(len(audit.missing(audit.newest - 1)) for audit in audits)


async def _until(done: Callable[[], bool], gateway: Gateway) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > until:
            causes = {one.cause or str(one.state) for one in gateway.status()}
            raise Unavailable(f"no values come: {', '.join(causes)}", "is the loopback open?")
        await asyncio.sleep(0.05)


QUICK: Final = GatewaySettings(
    idle_s=0.01,
    load_s=0.05,
    retry_first_s=0.05,
    retry_most_s=0.2,
    source=SourceSettings(
        timeout_s=3.0, probe_s=0.2, silence_s=1.0, backoff_first_s=0.05, backoff_most_s=0.3,
        coverage_s=0.5,
    ),
)  # fmt: skip
"""Supervision scaled down, for outages of a second or two."""
