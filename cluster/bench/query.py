"""``query``: reading beside DuckDB on the same rows, and that nothing wrong is ever read."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from cluster.bench.damage import flipped_journal, flipped_memory, reads_while_sealing
from cluster.bench.load import START_US, Load, bindings
from cluster.bench.past import DAY_US, MINUTE_US, RANGE_TAG, YEAR_TAG, Past, PastSize
from cluster.bench.report import Figure, at_most, median
from cluster.bench.stage import Stage, interleaved, paired_ratio
from twin.memory.downsample import chart_step_us
from twin.samples import from_us
from twin.state import ShardState
from twin.tags import TagDictionary

PEER: Final = "DuckDB, sorted by tag and time"
FILES_PEER: Final = "DuckDB on the same Parquet files, unchecked"
POINTS: Final = 2000
STRETCHES: Final = POINTS // 4
LATEST_TAGS: Final = 10_000
_QUICK: Final = PastSize(days=60, year_tags=1, range_days=3, range_tags=4, wide_tags=50)


def run(stage: Stage) -> Sequence[Figure]:
    """Fill both with the same rows, ask both in turns, then try to be served something wrong."""
    size = _QUICK if stage.quick else PastSize()
    stage.tell(f"filling memory and DuckDB: {size.days} days, the last with {size.wide_tags} tags")
    past = Past(stage.folder, size)
    try:
        figures = [_latest(stage), *_beside(stage, past)]
    finally:
        past.close()
    count = stage.size(200, 20)
    stage.tell(f"flipping {count} bits of sealed files and {count} of a journal")
    figures += [
        at_most(
            f"flipped bits of sealed files served silently, of {count}",
            flipped_memory(stage.folder / "flips", count),
            0,
            "",
            n=count,
        ),
        at_most(
            f"flipped bits of a journal served silently, of {count}",
            flipped_journal(stage.folder / "torn", count),
            0,
            "",
            n=count,
        ),
    ]
    reads = stage.size(1000, 100)
    stage.tell(f"{reads} reads while the shard delivers, seals and compacts")
    wrong, seals = reads_while_sealing(stage.folder / "sealing", reads)
    figures.append(
        at_most(
            f"reads with a hole or a duplicate, of {reads} during {seals} seals",
            wrong,
            0,
            "",
            n=reads,
        )
    )
    return figures


def _latest(stage: Stage) -> Figure:
    """Newest values of 10,000 tags, out of the state of a shard."""
    dictionary, load = TagDictionary(), Load(tags=LATEST_TAGS)
    dictionary.add_rows(dictionary.plan(bindings(LATEST_TAGS), START_US)[0])
    state = ShardState(dictionary.rows)
    state.fold(load.batch(0))
    tags = np.arange(1, LATEST_TAGS + 1)
    if state.latest(tags).num_rows != LATEST_TAGS:
        raise AssertionError("a tag has no latest value")
    seconds = interleaved({"ours": lambda _: state.latest(tags)}, stage.size(200, 20))["ours"]
    return Figure(
        name="latest of 10,000 tags", value=median(seconds) * 1e3, unit="ms", n=len(seconds)
    )


def _beside(stage: Stage, past: Past) -> list[Figure]:
    """Each question to both, in turns, after their answers were compared."""
    rounds = stage.size(15, 3)
    size = past.size
    since_us = size.end_us - size.range_days * DAY_US
    day_us = size.end_us - DAY_US
    span_us = size.end_us - START_US
    step_us = chart_step_us(span_us, POINTS)
    wide = size.wide()

    def year(every_us: int) -> pa.Table:
        return past.memory.read_rollup(
            past.cut,
            [YEAR_TAG],
            START_US,
            size.end_us,
            every_us,
            columns=["mean", "min", "max"],
            points=POINTS,
        )

    def minutes() -> pa.Table:
        return year(MINUTE_US)

    def chart() -> pa.Table:
        return year(step_us)

    def stretches() -> pa.Table:
        return past.ask_duck(
            'SELECT ((epoch_us("at") - ?) // ?) * ? // ? AS b, '
            'min("min"), max("max"), arg_min("first", "at"), arg_max("last", "at") '
            "FROM read_parquet(?) WHERE tag = ? GROUP BY b ORDER BY b",
            START_US,
            MINUTE_US,
            STRETCHES,
            span_us // MINUTE_US,
            past.files("minute"),
            YEAR_TAG,
        )

    def raw() -> pa.Table:
        return past.memory.read_raw(past.cut, [RANGE_TAG], since_us, size.end_us)

    def duck_raw() -> pa.Table:
        return past.ask_duck(
            'SELECT * FROM samples WHERE tag = ? AND "at" >= ? AND "at" < ? ORDER BY "at"',
            RANGE_TAG,
            from_us(since_us),
            from_us(size.end_us),
        )

    def rolled() -> pa.Table:
        return past.memory.read_rollup(
            past.cut, wide, day_us, size.end_us, MINUTE_US, columns=["mean", "min", "max", "n"]
        )

    def duck_rolled() -> pa.Table:
        return past.ask_duck(
            'SELECT tag, time_bucket(INTERVAL 1 MINUTE, "at") AS b, avg(value), min(value), '
            'max(value), count(*) FROM samples WHERE tag BETWEEN ? AND ? AND "at" >= ? '
            'AND "at" < ? GROUP BY tag, b ORDER BY tag, b',
            wide[0],
            wide[-1],
            from_us(day_us),
            from_us(size.end_us),
        )

    def hour() -> pa.Table:
        return past.memory.read_raw(past.cut, [RANGE_TAG], size.end_us - DAY_US // 24, size.end_us)

    def duck_hour() -> pa.Table:
        return past.ask_duck(
            'SELECT * FROM samples WHERE tag = ? AND "at" >= ? AND "at" < ? ORDER BY "at"',
            RANGE_TAG,
            from_us(size.end_us - DAY_US // 24),
            from_us(size.end_us),
        )

    def duck_latest() -> pa.Table:
        return past.ask_duck(
            'SELECT tag, max("at"), arg_max(value, "at") FROM samples GROUP BY tag'
        )

    def latest() -> pa.Table:
        known = [*range(YEAR_TAG, YEAR_TAG + size.year_tags), *wide]
        return past.memory.latest_before(past.cut, known, size.end_us)

    same_values(raw(), duck_raw())
    same_rollups(rolled(), duck_rolled())
    if latest().num_rows != duck_latest().num_rows:
        raise AssertionError("other tags have a latest value")
    read = past.minute_rows()
    if read != size.days * DAY_US // MINUTE_US:
        raise AssertionError(f"the year has {read} minute rows")
    same_extremes(minutes(), stretches(), span_us)
    years = f"1 tag x {size.days} d from all {read:,} minute rows to {POINTS:,} points"
    chart_name = f"the same from {step_us // MINUTE_US}-minute windows, as every=auto reads"
    figures: list[Figure] = []
    for name, ours in ((years, minutes), (chart_name, chart)):
        stage.tell(name)
        figures += _pair(name, ours, stretches, 50.0, rounds, FILES_PEER)
    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        (f"1 tag x {size.range_days} d raw", raw, duck_raw),
        ("1 tag x 1 h raw", hour, duck_hour),
        (f"{size.wide_tags} tags x 24 h in 1-minute windows", rolled, duck_rolled),
        (f"latest of {size.wide_tags} tags out of sealed files", latest, duck_latest),
    ]
    for name, ours, peer in pairs:
        stage.tell(name)
        figures += _pair(name, ours, peer, None, rounds, PEER)
    return figures


def _pair(
    name: str,
    ours: Callable[[], object],
    peer: Callable[[], object],
    limit_ms: float | None,
    rounds: int,
    who: str,
) -> list[Figure]:
    ours(), peer()
    seconds = interleaved({"ours": lambda _: ours(), "peer": lambda _: peer()}, rounds)
    mine_ms, peer_ms = (median(seconds[side]) * 1e3 for side in ("ours", "peer"))
    ratio = Figure(
        name=f"{name}: time over DuckDB's",
        value=paired_ratio(seconds["ours"], seconds["peer"]),
        unit="x",
        peer=who,
        peer_value=1.0,
        n=rounds,
    )
    if limit_ms is None:
        plain = Figure(name=name, value=mine_ms, unit="ms", peer=who, peer_value=peer_ms, n=rounds)
        return [plain, ratio]
    return [at_most(name, mine_ms, limit_ms, "ms", peer=who, peer_value=peer_ms, n=rounds), ratio]


def same_values(ours: pa.Table, peer: pa.Table) -> None:
    """Compare raw answers.

    Raises
    ------
    AssertionError
        When they differ.
    """
    for name in ("at", "value"):
        mine, other = (t.column(name).to_numpy() for t in (ours, peer))
        if not np.array_equal(mine, other):
            raise AssertionError(f"{name} of a raw range is not the peer's")


def same_rollups(ours: pa.Table, peer: pa.Table) -> None:
    """Compare windows of equally spaced samples, where a time-weighted mean is a plain one.

    Raises
    ------
    AssertionError
        When they differ.
    """
    mine = ours.column("mean").to_numpy()
    other = peer.column(2).to_numpy()
    if len(mine) != len(other) or not np.allclose(mine, other, rtol=1e-9):
        raise AssertionError("means of windows are not the peer's")


def same_extremes(ours: pa.Table, peer: pa.Table, span_us: int) -> None:
    """Compare the extremes of each stretch of a thinned year with the peer's of all its rows.

    Raises
    ------
    AssertionError
        When one is missing.
    """
    minute = (ours.column("at").cast(pa.int64()).to_numpy() - START_US) // MINUTE_US
    stretch = minute * STRETCHES // (span_us // MINUTE_US)
    begins = np.flatnonzero(np.append([True], stretch[1:] != stretch[:-1]))
    low = np.minimum.reduceat(ours.column("min").to_numpy(), begins)
    high = np.maximum.reduceat(ours.column("max").to_numpy(), begins)
    if not np.array_equal(low, peer.column(1)) or not np.array_equal(high, peer.column(2)):
        raise AssertionError("the thinned year lacks an extreme")
