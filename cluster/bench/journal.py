"""``journal``: rows a second that are on disk when they are acknowledged, beside DuckDB."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from cluster.bench.load import Load, bindings
from cluster.bench.report import Figure, at_least, at_most, median
from cluster.bench.stage import Stage, elapsed_s, interleaved, paired_ratio, quantile
from twin.disk import OsDisk
from twin.journal import Journal
from twin.records import Delivery, RecordKind, pack_batch
from twin.samples import SAMPLES
from twin.shard import Shard

ROWS: Final = 10_000
PEER: Final = "DuckDB durable append"
_WARM: Final = 3


class DuckAppender:
    """DuckDB with one transaction, hence one durable commit, per batch.

    In its favour: no index, no checkpoint on the way (its write-ahead log only grows), and batches
    come as Arrow, which it scans without a copy.
    """

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path))
        self._connection.execute("SET wal_autocheckpoint = '64GB'")
        self._connection.execute("SET preserve_insertion_order = true")
        empty = SAMPLES.empty_table()
        self._connection.register("empty", empty)
        self._connection.execute("CREATE TABLE samples AS SELECT * FROM empty")

    def append(self, batch: pa.RecordBatch) -> None:
        """Insert one batch; durable on return."""
        self._connection.register("batch", pa.Table.from_batches([batch]))
        self._connection.execute("INSERT INTO samples SELECT * FROM batch")

    def rows(self) -> int:
        """How many rows it has."""
        found = self._connection.execute("SELECT count(*) FROM samples").fetchone()
        return 0 if found is None else int(found[0])

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def run(stage: Stage) -> Sequence[Figure]:
    """Append the same batches to a bare journal, to a whole shard and to DuckDB, in turns."""
    rounds = stage.size(60, 8)
    load = Load(tags=ROWS)
    batches = [load.batch(number) for number in range(_WARM + rounds)]
    journal = Journal.open(stage.folder / "journal", OsDisk())
    shard = Shard.open(stage.folder / "shard", "bench", now_us=load.now_us(0), disk=OsDisk())
    duck = DuckAppender(stage.folder / "duck.db")
    try:
        shard.apply_park(bindings(ROWS), "kind: Park", load.now_us(0))

        def bare(number: int) -> None:
            delivery = Delivery(source="g", session=1, seq=number + 1, now_us=load.now_us(number))
            journal.append([(RecordKind.SAMPLES, pack_batch(batches[number], delivery))])

        def whole(number: int) -> None:
            shard.deliver("g", 1, number + 1, batches[number], load.now_us(number))

        def peer(number: int) -> None:
            duck.append(batches[number])

        actions = {"bare": bare, "whole": whole, "peer": peer}
        for number in range(_WARM):
            for action in actions.values():
                action(number)
        stage.tell(f"{rounds} batches of {ROWS} rows to each of three, in turns")
        seconds = interleaved(actions, rounds, first=_WARM)
        if duck.rows() != (_WARM + rounds) * ROWS or shard.offset < _WARM + rounds:
            raise AssertionError("rows are missing on one side")
        sync_s = [_bare_sync(stage.folder / "sync") for _ in range(rounds)]
    finally:
        journal.close()
        shard.close()
        duck.close()
    return _figures(seconds, sync_s, rounds)


def _figures(
    seconds: dict[str, list[float]], sync_s: list[float], rounds: int
) -> tuple[Figure, ...]:
    rates = {name: ROWS / median(each) for name, each in seconds.items()}
    return (
        at_least(
            "bare journal over DuckDB",
            paired_ratio(seconds["peer"], seconds["bare"]),
            3.0,
            "x",
            peer=PEER,
            peer_value=1.0,
            n=rounds,
        ),
        at_least(
            "whole shard over DuckDB",
            paired_ratio(seconds["peer"], seconds["whole"]),
            3.0,
            "x",
            peer=PEER,
            peer_value=1.0,
            n=rounds,
        ),
        _rate("bare journal", rates["bare"], rates["peer"], rounds),
        _rate("whole shard", rates["whole"], rates["peer"], rounds),
        at_most("shard, one batch, median", median(seconds["whole"]) * 1e3, 2.0, "ms", n=rounds),
        Figure(
            name="shard, one batch, p99",
            value=quantile(seconds["whole"], 0.99) * 1e3,
            unit="ms",
            n=rounds,
        ),
        Figure(name="fdatasync of 4 KiB", value=median(sync_s) * 1e3, unit="ms", n=rounds),
    )


def _rate(name: str, value: float, peer_value: float, rounds: int) -> Figure:
    return Figure(name=name, value=value, unit="rows/s", peer=PEER, peer_value=peer_value, n=rounds)


def _bare_sync(path: Path) -> float:
    """What the disk itself takes, for whoever compares two machines."""
    disk = OsDisk()
    file = disk.open_append(path) if path.exists() else disk.create(path)
    try:
        file.writev([bytes(4096)])
        return elapsed_s(file.fdatasync)
    finally:
        file.close()
