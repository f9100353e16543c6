"""Windows are folded in any portions, and thinned ones keep every extreme."""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_story import KINDS, T0, D, H, M, Row, S, cut_of, frame, seal_all, table
from polars.testing import assert_frame_equal

from models.errors import InputError
from twin.memory import rollup, rows
from twin.memory.store import Memory
from twin.memory.windows import WINDOWS, Frame, windows
from twin.status import BAD_SENSOR_FAILURE, GOOD

GAUGE, COUNTER = 1, 2
NAMES = tuple(WINDOWS.names[2:])

some_row = st.builds(
    Row,
    tag=st.integers(1, 4),
    at_us=st.integers(0, 500).map(lambda k: T0 + k * 7 * S),
    value=st.sampled_from([0.0, 1.0, 2.5, 7.0, float("nan")]),
    status=st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE]),
)


def pieces_of(given_rows: list[Row]) -> rollup.Pieces:
    raw = rows.effective(rows.ordered(rows.to_raw(table(given_rows))))
    return rollup.samples_as_pieces(raw, KINDS)


def frame_of(since: int, until: int, every: int) -> Frame:
    return Frame(
        tags=np.arange(1, 5),
        since_us=T0 + since,
        until_us=T0 + until,
        every_us=every,
        end_us=np.full(4, T0 + until),
    )


@settings(max_examples=60, deadline=None)
@given(
    portion=st.lists(some_row, min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    since=st.sampled_from([0, 90 * S]),
    every=st.sampled_from([5 * S, M, 10 * M]),
)
def test_pieces_in_any_portions_make_the_same_windows(
    portion: list[Row], cuts: list[int], since: int, every: int
) -> None:
    pieces, asked = pieces_of(portion), frame_of(since, H, every)
    edges = sorted({0, len(pieces), *(min(cut, len(pieces)) for cut in cuts)})
    parts = [pieces.take(np.arange(a, b)) for a, b in itertools.pairwise(edges)]
    whole = windows([pieces], asked, NAMES)
    assert_frame_equal(frame(windows(parts, asked, NAMES)), frame(whole))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, -3.0, 9.5, float("nan")]), min_size=9, max_size=300),
    step=st.sampled_from([20 * S, M, 150 * S]),
    first=st.integers(0, 30),
    points=st.integers(4, 40),
)
def test_thinned_windows_keep_the_ends_and_the_extremes_of_every_stretch(
    values: list[float], step: int, first: int, points: int
) -> None:
    begin = T0 + first * M
    given_rows = [Row(tag=1, at_us=begin + i * step, value=v) for i, v in enumerate(values)]
    count = first + -(-len(values) * step // M)
    asked = Frame(
        tags=np.array([1]),
        since_us=T0,
        until_us=T0 + count * M,
        every_us=M,
        end_us=np.array([T0 + count * M]),
    )
    pieces, names = pieces_of(given_rows), ("n", "min", "max", "mean")
    every = pl.DataFrame(windows([pieces], asked, names))
    few = pl.DataFrame(windows([pieces], asked, names, points))
    assert few.height <= points
    assert few.join(every, on=["at", *names], nulls_equal=True).height == few.height
    if every.height <= points:
        assert_frame_equal(few, every)
        return
    stretch = (pl.col("at").dt.epoch("us") - begin) // M * (points // 4) // (count - first)
    ends = [pl.col("at").min().alias("from"), pl.col("at").max().alias("to")]
    best = [pl.col("min").min(), pl.col("max").max(), *ends]
    told = (t.group_by(stretch.alias("s")).agg(best).sort("s") for t in (few, every))
    assert_frame_equal(next(told), next(told))


def test_a_peak_of_one_sample_in_a_month_is_on_a_chart_of_forty_points(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    lines = [Row(tag=GAUGE, at_us=T0 + i * 10 * M, value=50.0) for i in range(30 * 144)]
    lines[2_000] = Row(tag=GAUGE, at_us=T0 + 20_001 * M, value=-7.0)
    lines[3_000] = Row(tag=GAUGE, at_us=T0 + 30_001 * M + S, value=99.0)
    seal_all(memory, lines, T0 + 30 * D)
    cut = cut_of(memory, T0 + 30 * D)
    for every in (M, H, 6 * H):
        few = memory.read_rollup(cut, [GAUGE], T0, T0 + 30 * D, every, points=40)
        assert few.num_rows <= 40
        assert (min(few["min"].to_pylist()), max(few["max"].to_pylist())) == (-7.0, 99.0)


def test_what_is_drawn_of_a_counter_is_its_rise(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    readings = np.cumsum([500 if i == 777 else 1 for i in range(1_440)])
    lines = [Row(tag=COUNTER, at_us=T0 + i * M, value=float(v)) for i, v in enumerate(readings)]
    seal_all(memory, lines, T0 + D)
    few = memory.read_rollup(cut_of(memory, T0 + D), [COUNTER], T0, T0 + D, M, points=20)
    assert few.num_rows <= 20
    assert max(few["increase"].to_pylist()) == 500.0


def test_fewer_than_four_points_are_refused(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    with pytest.raises(InputError, match="at least 4"):
        memory.read_rollup(cut_of(memory, T0), [1], T0 - H, T0, M, points=3)


def days_of(memory: Memory, step: int) -> int:
    """Seal three mornings of four kinds, with late rows into the first two; return the end."""
    draw = np.random.default_rng(11)
    for day in range(3):
        lines = [
            Row(
                tag=tag,
                at_us=T0 + day * D + i * step,
                value=float(draw.integers(0, 6)) + (day * 1e4 if tag == COUNTER else 0),
                status=GOOD if draw.random() < 0.9 else BAD_SENSOR_FAILURE,
            )
            for tag in KINDS
            for i in range(8 * H // step)
        ]
        seal_all(memory, lines, T0 + (day + 1) * D)
    late = [Row(tag=t, at_us=T0 + d * D + 3 * H + 1, value=3.0) for t in KINDS for d in (0, 1)]
    seal_all(memory, late, T0 + 3 * D)
    return T0 + 3 * D


@pytest.mark.parametrize("step", [M, 130 * S, 40 * S])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_tag_read_alone_is_the_tag_read_with_others(
    tmp_path: Path, step: int, compacted: bool
) -> None:
    memory = Memory.open(tmp_path / "memory")
    end = days_of(memory, step)
    if compacted:
        memory.compact_due(end + 3 * D)
    cut = cut_of(memory, end + H, [Row(tag=t, at_us=end + 90 * S, value=5.0) for t in KINDS])
    asked = [T0 + 5 * M, end + 30 * M]
    for every in (M, 7 * M):
        together = pl.DataFrame(memory.read_rollup(cut, [1, 2, 3, 4], *asked, every))
        for tag in KINDS:
            alone = pl.DataFrame(memory.read_rollup(cut, [tag], *asked, every))
            assert_frame_equal(alone, together.filter(tag=tag))
            for names in (["mean"], ["min", "max", "n"], ["first", "increase"], ["last", "codes"]):
                some = pl.DataFrame(memory.read_rollup(cut, [tag], *asked, every, columns=names))
                assert_frame_equal(
                    some.select("at", *names), alone.select("at", *names), rel_tol=1e-12
                )
