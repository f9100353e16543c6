"""Redundant servers of one endpoint: who leads, who stands by, and what both tell stored once.

``cold``: a spare is connected when the leader is lost. ``warm``: every spare keeps a verified
session open, so that only the subscription is to be made. ``hot``: all are subscribed, and a value
that more than one tells (same tag, time, value and status) is stored once. The one that took over
keeps the lead; a server that returns stands by.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from asyncua.client.client import Client

from connectors.coverage import CoverageRow
from connectors.opcua.config import EndpointConfig
from connectors.opcua.report import EndpointState, EndpointStatus
from connectors.opcua.source import Source
from twin.samples import SAMPLES

_REMEMBERED: Final = 500_000
_LOOK_S: Final = 0.05

Make = Callable[[EndpointConfig, int, int | None, str], Source]
"""``make(config, number, covered_us, absent)``: a source of one of the servers."""


class Once:
    """Lets each row through once, of those it remembers.

    Parameters
    ----------
    most
        Rows remembered.
    """

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._known: set[int] = set()
        self._order: deque[int] = deque()

    def new(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Rows that did not come before, by tag, time, value, text and status."""
        kept = np.zeros(batch.num_rows, np.bool_)
        for i, key in enumerate(_keys(batch).tolist()):
            if key in self._known:
                continue
            kept[i] = True
            self._known.add(key)
            self._order.append(key)
            if len(self._order) > self._most:
                self._known.discard(self._order.popleft())
        return batch if kept.all() else batch.filter(pa.array(kept))


def _keys(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """A number per row; the same for the same tag, time, value, text and status."""
    value = batch.column("value").fill_null(np.nan).to_numpy(zero_copy_only=False)
    columns = [
        batch.column("at").cast(pa.int64()).to_numpy(),
        batch.column("tag").to_numpy(),
        value.view(np.int64),
        batch.column("status").to_numpy(),
    ]
    if batch.column("text").null_count < batch.num_rows:
        texts = batch.column("text").to_pylist()
        columns.append(np.array([hash(text) for text in texts], np.int64))
    key = np.zeros(batch.num_rows, np.uint64)
    for column in columns:
        # Times and tags are small steps apart: unmixed, (time + 1, tag - 31) would be (time, tag).
        key = _mixed(key ^ column.astype(np.int64).view(np.uint64))
    return key.view(np.int64)


def _mixed(key: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Spread neighbours over all 64 bits, one to one (the finaliser of SplitMix64)."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


class Redundant:
    """Several servers as one source; to its gateway it is like a `Source`.

    Parameters
    ----------
    config
        Endpoint with its spares.
    make
        Makes the source of one server.
    covered_us
        Park time up to which an earlier process covered this endpoint [us]; None for a new one.
    absent
        Why nothing was read between `covered_us` and now.
    failover_s
        A leader that is away for this long loses the lead [s].
    """

    def __init__(
        self,
        config: EndpointConfig,
        make: Make,
        *,
        covered_us: int | None,
        absent: str,
        failover_s: float,
    ) -> None:
        self.config, self._make, self._failover_s = config, make, failover_s
        self._urls = (config.url, *config.spares)
        self._leader = 0
        self._sources: dict[int, Source] = {0: self._made(0, covered_us, absent)}
        self._left: list[Source] = []
        self._known: tuple[str, str] | None = None
        self._told: list[CoverageRow] = []
        self._once = Once()
        self._away_since: float | None = None
        self._failovers = 0
        self._task: asyncio.Task[None] | None = None

    def _made(self, number: int, covered_us: int | None, absent: str) -> Source:
        alone = replace(self.config, url=self._urls[number], spares=(), redundancy="cold")
        return self._make(alone, number, covered_us, absent)

    # --- life ---

    def start(self) -> None:
        """Begin to connect."""
        self._sources[0].start()
        if self.config.redundancy != "cold":
            for number in range(1, len(self._urls)):
                self._begin(number, active=self.config.redundancy == "hot")
        self._task = asyncio.create_task(self._lead(), name=f"redundancy {self.config.id}")

    def _begin(self, number: int, *, active: bool) -> None:
        source = self._sources[number] = self._made(number, None, "")
        source.stand_by(waits=not active)
        source.start()

    async def stop(self, cause: str = "gateway stopped", *, stay: bool = False) -> None:
        """Disconnect from all."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        # The leader last: what it covers is no gap of the others.
        for number in sorted(self._sources, key=lambda n: n == self._leader):
            await self._sources[number].stop(cause, stay=stay)
            if number != self._leader:
                self._told = self.take_coverage()

    async def _lead(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            if self._state(self._leader) is EndpointState.CONNECTED:
                self._away_since = None
            elif self._away_since is None:
                self._away_since = now
            elif now - self._away_since > self._failover_s:
                await self._fail_over()
                self._away_since = None

    def _state(self, number: int) -> EndpointState:
        source = self._sources.get(number)
        return EndpointState.DISABLED if source is None else source.state

    async def _fail_over(self) -> None:
        """Give the lead to the next server that can take it."""
        old, kind = self._leader, self.config.redundancy
        following = [(old + i) % len(self._urls) for i in range(1, len(self._urls))]
        if kind == "cold":
            lost, self._known = self._sources[old], self.known
            await lost.stop("failover", stay=True)
            del self._sources[old]
            self._left.append(lost)
            self._leader = following[0]
            source = self._made(self._leader, lost.covered_us, f"failover from {self._urls[old]}")
            if not self._leader:
                source.known = self._known
            self._sources[self._leader] = source
            source.start()
        elif kind == "warm":
            ready = [n for n in following if self._sources[n].standing_by]
            if not ready:
                return
            self._leader = ready[0]
            self._sources[self._leader].take_lead(self._sources[old].covered_us)
            self._sources[old].stand_by(waits=True)
        else:
            alive = [n for n in following if self._state(n) is EndpointState.CONNECTED]
            if not alive:
                return
            self._leader = alive[0]
        self._failovers += 1

    # --- as a source ---

    @property
    def rows(self) -> Sized:
        """As long as the rows that wait."""
        return range(sum(len(source.rows) for source in self._every()))

    @property
    def known(self) -> tuple[str, str] | None:
        """Identity of the first server, also while it is not asked."""
        first = self._sources.get(0)
        return (first.known if first is not None else None) or self._known

    @property
    def covered_us(self) -> int:
        """Park time up to which coverage was told [us]."""
        return self._sources[self._leader].covered_us

    @property
    def linger_s(self) -> float:
        """Time its rows may wait for others [s]."""
        return self._sources[self._leader].linger_s

    def _every(self) -> Sequence[Source]:
        return (*self._left, *self._sources.values())

    def drain(self) -> pa.RecordBatch:
        """Rows of all servers as one batch, each once."""
        batches = [source.drain() for source in self._every()]
        table = pa.Table.from_batches(batches, SAMPLES).combine_chunks()
        batch = pa.RecordBatch.from_arrays(
            [column.combine_chunks() for column in table.columns], schema=SAMPLES
        )
        # Also when cold: the server that takes over repeats the present values.
        return self._once.new(batch)

    def handed(self) -> None:
        """Everything drained is stored."""
        for source in self._every():
            source.handed()
        self._left.clear()

    def take_coverage(self) -> list[CoverageRow]:
        """Coverage of the leader; of all when hot, without gaps that another one covered."""
        rows, self._told = self._told, []
        for number, source in self._sources.items():
            others = [n for n in self._sources if n != number]
            covered = any(self._state(n) is EndpointState.CONNECTED for n in others)
            for row in source.take_coverage():
                if self.config.redundancy == "hot":
                    if row.alive or not covered:
                        rows.append(row)
                elif number == self._leader:
                    rows.append(row)
        for source in self._left:
            rows = [*source.take_coverage(), *rows]
        return rows

    def session(self) -> tuple[Client, tuple[str, ...]]:
        """The session of the leader, see `Source.session`."""
        return self._sources[self._leader].session()

    def tag_counts(self) -> dict[int, dict[str, object]]:
        """How each tag does, as the leader has it."""
        return self._sources[self._leader].tag_counts()

    def status(self) -> EndpointStatus:
        """Where the leader stands, and what the others do."""
        told = self._sources[self._leader].status()
        others = [
            f"{self._urls[n]} {'standing by' if s.standing_by else s.state}"
            for n, s in self._sources.items()
            if n != self._leader
        ]
        hints = [told.cause, f"led by {told.url}" if self._leader else "", *others]
        return replace(
            told,
            url=self.config.url,
            cause="; ".join(hint for hint in hints if hint),
            failovers=self._failovers,
        )
