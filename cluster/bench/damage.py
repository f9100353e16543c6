"""Trying to be served something wrong: flipped bits, and reads while a shard seals."""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pyarrow as pa

from cluster.bench.load import SECOND_US, START_US, Load, bindings
from models.errors import Corrupt
from twin.disk import OsDisk
from twin.journal import Journal
from twin.memory.read import History, Reader
from twin.memory.settings import MemorySettings
from twin.memory.store import Memory
from twin.samples import COVERAGE, SAMPLES, sample_batch
from twin.shard import Cut, Shard, ShardSettings
from twin.tags import Kind

_HOUR_US: Final = 3600 * SECOND_US
_TAGS: Final = 20
_SEED: Final = 20_261_122

Answer = list[str]
"""Everything that was read, in words that differ when it differs."""


def flipped_memory(folder: Path, count: int) -> int:
    """Flip bits of sealed files, one at a time, and count the reads that were wrong in silence."""
    right = _sealed(folder)
    files = sorted(folder.glob("*/*.parquet"))
    return _silent(files, count, lambda: _answers(folder), right)


def flipped_journal(folder: Path, count: int) -> int:
    """Flip bits of a journal's segments, and count the replays that were wrong in silence."""
    load = Load(tags=200)
    settings = ShardSettings(segment_bytes=100_000)
    shard = Shard.open(folder, "bench", now_us=load.now_us(0), disk=OsDisk(), settings=settings)
    shard.apply_park(bindings(load.tags), "kind: Park", load.now_us(0))
    for number in range(60):
        shard.deliver("g", 1, number + 1, load.batch(number), load.now_us(number))
    shard.close()
    files = sorted((folder / "journal").glob("*.wal"))
    return _silent(files, count, lambda: _replayed(folder), _replayed(folder))


def reads_while_sealing(folder: Path, reads: int) -> tuple[int, int]:
    """Read one tag again and again while it grows, is sealed and compacted.

    Returns
    -------
    tuple
        Reads that were not exactly the rows delivered so far; seals meanwhile.
    """
    writer = Writer(folder)
    history = History(Reader(folder / "memory", MemorySettings()))
    thread = threading.Thread(target=writer.run, daemon=True)
    thread.start()
    wrong = 0
    try:
        for _ in range(reads):
            cut, upto = writer.cut()
            found = history.read_raw(cut, [1], START_US, START_US + (upto + 1) * SECOND_US)
            wrong += found.column("value").to_pylist() != [float(k) for k in range(1, upto + 1)]
    finally:
        writer.stop.set()
        thread.join()
        writer.close()
    if writer.fault is not None:
        raise writer.fault
    return wrong, writer.seals


class Writer:
    """Delivers a row per tag again and again, seals every 25 batches, compacts every 10 seals."""

    def __init__(self, folder: Path) -> None:
        self.stop = threading.Event()
        self.seals = 0
        self.fault: Exception | None = None
        self._lock = threading.Lock()
        self._memory = Memory.open(folder / "memory")
        self._shard = Shard.open(
            folder / "shard", "bench", now_us=START_US, disk=OsDisk(), memory=self._memory
        )
        self._shard.apply_park(bindings(_TAGS), "kind: Park", START_US)
        self._seq = 0

    def cut(self) -> tuple[Cut, int]:
        """One view, and how many rows a tag has in it."""
        with self._lock:
            return self._shard.cut(), self._seq

    def run(self) -> None:
        """Work until told to stop."""
        try:
            while not self.stop.is_set():
                self._step()
        except Exception as fault:  # noqa: BLE001 - passed on to the reader's thread
            self.fault = fault

    def close(self) -> None:
        """Close the shard."""
        self._shard.close()

    def _step(self) -> None:
        at_us = START_US + (self._seq + 1) * SECOND_US
        rows = sample_batch(
            tag=range(1, _TAGS + 1), at_us=at_us, value=self._seq + 1, seen_us=at_us
        )
        with self._lock:
            self._shard.deliver("g", 1, self._seq + 1, rows, at_us)
            self._seq += 1
        if self._seq % 25:
            return
        with self._lock:
            due = self._shard.sealing()
        self._memory.seal(due.rows, due.coverage, due.kinds, due.upto_offset, at_us)
        with self._lock:
            self._shard.sealed()
        self.seals += 1
        if self.seals % 10 == 0:
            self._memory.compact_due(at_us + 3 * 24 * _HOUR_US)


def _silent(files: list[Path], count: int, read: Callable[[], Answer], right: Answer) -> int:
    """How many of `count` flipped bits changed an answer without an error."""
    chance = random.Random(_SEED)  # noqa: S311 - not for secrets
    silent = 0
    for _ in range(count):
        path = chance.choice(files)
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            silent += read() != right
        except Corrupt:
            pass
        finally:
            path.write_bytes(whole)
    return silent


def _sealed(folder: Path) -> Answer:
    memory = Memory.open(folder, settings=MemorySettings(row_group=512))
    chance = random.Random(_SEED)  # noqa: S311 - not for secrets
    for part in range(2):
        tag = [1 + i % 3 for i in range(1080)]
        at_us = [START_US + part * _HOUR_US + i // 3 * 10 * SECOND_US for i in range(1080)]
        rows = sample_batch(
            tag=tag, at_us=at_us, value=[chance.random() for _ in tag], seen_us=at_us
        )
        kinds = dict.fromkeys((1, 2, 3), Kind.GAUGE)
        table = pa.Table.from_batches([rows])
        memory.seal(table, COVERAGE.empty_table(), kinds, part + 1, START_US + 2 * _HOUR_US)
    return _answers(folder)


def _answers(folder: Path) -> Answer:
    """Everything a reader can ask: samples, minutes and hours, out of freshly opened files."""
    memory = Memory.open(folder)
    until_us = START_US + 2 * _HOUR_US
    cut = Cut(
        tail=SAMPLES.empty_table(),
        coverage=COVERAGE.empty_table(),
        manifest=memory.manifest,
        now_us=until_us,
    )
    tags = [1, 2, 3]
    found = [
        memory.read_raw(cut, tags, START_US, until_us),
        memory.read_rollup(cut, tags, START_US, until_us, _HOUR_US),
        memory.read_rollup(cut, tags, START_US, until_us, 60 * SECOND_US),
    ]
    return [repr(table.to_pydict()) for table in found]


def _replayed(folder: Path) -> Answer:
    journal = Journal.open(folder / "journal", OsDisk())
    try:
        return [f"{r.offset} {r.kind} {bytes(r.payload).hex()}" for r in journal.read()]
    finally:
        journal.close()
