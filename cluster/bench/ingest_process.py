"""``python -m cluster.bench.ingest_process``: one side of the ingest bench, alone in its process.

``ours FOLDER URL TAGS SECONDS`` is a gateway and a journalled shard; ``bare URL INDEX TAGS
SECONDS`` a plain asyncua subscription. Prints one line of JSON.
"""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from cluster import processes
from cluster.bench.load import bindings
from connectors.bench import bare_subscription
from connectors.bench_server import identifier, namespace
from connectors.clock import wall_us
from connectors.coverage import is_coverage
from connectors.gateway import Gateway
from connectors.opcua.config import EndpointConfig, Item
from models.errors import Unavailable
from twin.delivery import Delivered
from twin.disk import OsDisk
from twin.samples import column_us
from twin.shard import Shard

INTERVAL_MS: Final = 100.0
_PATIENCE_S: Final = 60.0
_SETTLE_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one side took in.

    Parameters
    ----------
    values, seconds, cpu_s
        Values, in how long, and CPU time of the process [s].
    p50_ms, p99_ms
        From the change in the PLC until the value is in the state, journalled [ms]; None where it
        was not measured.
    missing
        Counts that were skipped: values lost on the way.
    """

    values: int
    seconds: float
    cpu_s: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    missing: int = 0


class Receiver:
    """A shard behind the gateway, called one batch at a time in another thread."""

    def __init__(self, folder: Path, tags: int) -> None:
        self.shard = Shard.open(folder, "bench", now_us=wall_us(), disk=OsDisk())
        self.shard.apply_park(bindings(tags), "kind: Park", wall_us())
        self._thread = ThreadPoolExecutor(1)
        self._session = 0
        self.values = self.missing = 0
        self._last = np.full(tags + 1, np.nan)
        self.latencies_us: list[np.ndarray] = []

    async def new_session(self) -> int:
        """Count starts."""
        self._session += 1
        return self._session

    async def deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        """Journal and fold a batch; then look at how old its values are."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._deliver, source, session, seq, batch)

    def _deliver(self, source: str, session: int, seq: int, batch: pa.RecordBatch) -> Delivered:
        take = self.shard.cover if is_coverage(batch) else self.shard.deliver
        answer = take(source, session, seq, batch, wall_us())
        if not is_coverage(batch) and answer.acked_seq == seq:
            self._look(batch)
        return answer

    def _look(self, batch: pa.RecordBatch) -> None:
        self.latencies_us.append(wall_us() - column_us(batch, "at"))
        self.values += batch.num_rows
        tag, value = batch.column("tag").to_numpy(), batch.column("value").to_numpy()
        order = np.argsort(tag, kind="stable")
        tag, value = tag[order], value[order]
        first = np.append([True], tag[1:] != tag[:-1])
        before = np.where(first, self._last[tag], np.append([np.nan], value[:-1]))
        self.missing += int(np.nansum(np.maximum(value - before - 1.0, 0.0)))
        last = np.append(first[1:], [True])
        self._last[tag[last]] = value[last]


async def ours(folder: Path, url: str, tags: int, seconds: float) -> Taken:
    """Let a gateway feed a shard, and measure this process."""
    receiver = Receiver(folder / "shard", tags)
    gateway = Gateway(
        source="bench",
        folder=folder / "gateway",
        deliver=receiver.deliver,
        new_session=receiver.new_session,
    )
    items = tuple(
        Item(tag=number, namespace=namespace(1), identifier=identifier(number))
        for number in range(1, tags + 1)
    )
    config = EndpointConfig(
        id="plc",
        url=url,
        allow_insecure=True,
        sampling_ms=INTERVAL_MS,
        publishing_ms=INTERVAL_MS,
        queue_size=10,
        items=items,
    )
    await gateway.start([config])
    try:
        await _until_flowing(receiver, tags)
        await asyncio.sleep(_SETTLE_S)
        receiver.latencies_us.clear()
        receiver.missing, before = 0, receiver.values
        cpu_s, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu_s, seconds = time.process_time() - cpu_s, time.monotonic() - began
        values, missing = receiver.values - before, receiver.missing
        late_ms = np.concatenate(receiver.latencies_us) / 1000.0
    finally:
        await gateway.stop()
        receiver.shard.close()
    return Taken(
        values=values,
        seconds=seconds,
        cpu_s=cpu_s,
        p50_ms=float(np.quantile(late_ms, 0.5)),
        p99_ms=float(np.quantile(late_ms, 0.99)),
        missing=missing,
    )


async def _until_flowing(receiver: Receiver, tags: int) -> None:
    until = time.monotonic() + _PATIENCE_S
    while receiver.values < 2 * tags:
        if time.monotonic() > until:
            raise Unavailable("no values from the bench server", "is the loopback open?")
        await asyncio.sleep(0.1)


async def bare(url: str, index: str, tags: int, seconds: float) -> Taken:
    """Let a plain asyncua subscription count the same values."""
    nodes = [f"ns={index};{identifier(number)}" for number in range(1, tags + 1)]
    got = await bare_subscription(
        url, nodes, seconds, publishing_ms=INTERVAL_MS, sampling_ms=INTERVAL_MS
    )
    return Taken(values=got.values, seconds=got.seconds, cpu_s=got.cpu_s)


def main(side: str, place: str, what: str, tags: str, seconds: str) -> None:
    """Run one side."""
    processes.die_with_parent()
    if side == "ours":
        taken = asyncio.run(ours(Path(place), what, int(tags), float(seconds)))
    else:
        taken = asyncio.run(bare(place, what, int(tags), float(seconds)))
    sys.stdout.write(json.dumps(asdict(taken)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
