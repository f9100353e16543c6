"""Rows under a wrong tag: a server that swaps its namespaces, a park edit that moves tags."""

import asyncio
import time
from pathlib import Path
from typing import Final

import pyarrow as pa

from cluster.bench.children import Child
from connectors.bench_server import identifier, namespace, url_of
from connectors.clock import wall_us
from connectors.coverage import is_coverage
from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig, items_of
from connectors.opcua.source import SourceSettings
from connectors.plant.process import free_ports
from models.errors import Unavailable
from twin.delivery import Delivered
from twin.disk import OsDisk
from twin.journal import Journal
from twin.records import RecordKind, unpack_batch
from twin.shard import Shard
from twin.tags import Binding, TagRow

ENDPOINT: Final = "plc"
_VARIABLES: Final = 20
_EVERY_MS: Final = 50
_ROWS: Final = 400
_PATIENCE_S: Final = 60.0


def wrong_rows(folder: Path, rounds: int) -> tuple[int, int]:
    """Swap and edit again and again, then ask every journalled row whether it is at home.

    A value says which variable of which namespace it was; the dictionary says which one its tag
    was bound to. A tag id is never bound to another node, so one check does for all times.

    Returns
    -------
    tuple
        Rows whose tag belongs to another node; all rows.
    """
    return asyncio.run(Mixing(folder).run(rounds))


class Mixing:
    """One server, one gateway, one shard."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self._shard = Shard.open(folder / "shard", "bench", now_us=wall_us(), disk=OsDisk())
        self._session = self._rows = 0

    async def run(self, rounds: int) -> tuple[int, int]:
        """Run all rounds and count."""
        gateway = Gateway(
            source="bench",
            folder=self._folder / "gateway",
            deliver=self._deliver,
            new_session=self._new_session,
            settings=GatewaySettings(source=SourceSettings(probe_s=0.2, backoff_first_s=0.1)),
        )
        self._apply(0)
        await gateway.start([self._config()])
        try:
            for number in range(rounds):
                await self._server(gateway, number)
        finally:
            await gateway.stop()
            tags = self._shard.dictionary.rows
            self._shard.close()
        return self._count(tags)

    async def _server(self, gateway: Gateway, number: int) -> None:
        """Let values flow, edit the park, let them flow, and restart the other way round."""
        order = (1, 2) if number % 2 == 0 else (2, 1)
        with Child("connectors.bench_server", (self._port, _VARIABLES, _EVERY_MS, *order)) as plc:
            await asyncio.to_thread(plc.line, _PATIENCE_S)
            await self._flow()
            self._apply(number + 1)
            await gateway.put(self._config())
            await self._flow()
            plc.kill()

    def _apply(self, edit: int) -> None:
        """Bind both namespaces; each edit adds, removes and renames some, and moves others."""
        bindings = []
        for each in (1, 2):
            for number in range(1, _VARIABLES + 1):
                if number % 5 == edit % 5:
                    continue  # removed by this edit, back with the next
                renamed = number % 7 == 0 and edit % 2
                moved = (number - 1 + edit) % _VARIABLES + 1 if number % 3 == 0 else number
                bindings.append(
                    Binding(
                        path=f"bench/ns{each}/{'n' if renamed else 'v'}{number:02d}",
                        endpoint=ENDPOINT,
                        namespace=namespace(each),
                        identifier=identifier(moved),
                    )
                )
        self._shard.apply_park(bindings, f"kind: Park # {edit}", wall_us())

    def _config(self) -> EndpointConfig:
        return EndpointConfig(
            id=ENDPOINT,
            url=url_of(self._port),
            allow_insecure=True,
            sampling_ms=50.0,
            publishing_ms=50.0,
            items=items_of(self._shard.dictionary.rows, ENDPOINT),
        )

    async def _new_session(self) -> int:
        self._session += 1
        return self._session

    async def _deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        take = self._shard.cover if is_coverage(batch) else self._shard.deliver
        answer = take(source, session, seq, batch, wall_us())
        self._rows += 0 if is_coverage(batch) else batch.num_rows
        return answer

    async def _flow(self) -> None:
        wanted, until = self._rows + _ROWS, time.monotonic() + _PATIENCE_S
        while self._rows < wanted:
            if time.monotonic() > until:
                raise Unavailable("no values from the bench server", "is the loopback open?")
            await asyncio.sleep(0.05)

    def _count(self, tags: tuple[TagRow, ...]) -> tuple[int, int]:
        home = {row.tag: (row.binding.namespace, row.binding.identifier) for row in tags}
        journal = Journal.open(self._folder / "shard" / "journal", OsDisk())
        wrong = rows = 0
        try:
            for record in journal.read():
                if record.kind != RecordKind.SAMPLES:
                    continue
                batch, _ = unpack_batch(record.payload)
                tag, value = (batch.column(name).to_pylist() for name in ("tag", "value"))
                came = [_node_of(v) for v in value]
                wrong += sum(home[t] != c for t, c in zip(tag, came, strict=True) if c is not None)
                rows += sum(c is not None for c in came)
        finally:
            journal.close()
        return wrong, rows


def _node_of(value: float | None) -> tuple[str, str] | None:
    """Namespace and identifier a value says it came from; None where there is no value."""
    if value is None or value < 1e9:
        return None
    return namespace(int(value // 1e9)), identifier(int(value % 1e9 // 1e6))
