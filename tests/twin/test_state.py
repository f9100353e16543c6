"""Newest values and sums: worked numbers, and laws against a brute-force reckoning."""

import math
import struct
import zlib
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import Corrupt, InputError, NewerFormat, NotFound
from twin.coverage import GAPS_KEPT, EndpointCoverage
from twin.fold import HOLDS_KEPT, fold_rows
from twin.samples import COVERAGE, TIME, sample_batch
from twin.state import FORMAT, ShardState
from twin.status import (
    BAD_SENSOR_FAILURE,
    GOOD,
    GOOD_OVERLOAD,
    UNCERTAIN,
    UNCERTAIN_LAST_USABLE_VALUE,
)
from twin.tags import Binding, Kind, TagRow

S = 1_000_000


def row(tag: int, kind: Kind = Kind.GAUGE, endpoint: str = "plc", **valid) -> TagRow:
    binding = Binding(path=f"p/{tag}", kind=kind, endpoint=endpoint)
    return TagRow(tag=tag, binding=binding, valid_from_us=valid.get("start", 0),
                  valid_to_us=valid.get("end"))  # fmt: skip


def state_of(*kinds: Kind) -> ShardState:
    return ShardState(row(tag, kind) for tag, kind in enumerate(kinds, 1))


def samples(*rows: tuple[float, float] | tuple[float, float, int], tag: int = 1):
    """(at_s, value[, status]) of one tag."""
    at, value, status = zip(*((*r, GOOD)[:3] for r in rows), strict=True)
    return sample_batch(
        tag=[tag] * len(at), at_us=[int(a * S) for a in at], value=value, status=status, seen_us=7
    )


def coverage(*rows: tuple[float, float, bool], endpoint: str = "plc"):
    return pa.record_batch(
        [
            pa.array([endpoint] * len(rows)),
            pa.array([int(r[0] * S) for r in rows]).cast(TIME),
            pa.array([int(r[1] * S) for r in rows]).cast(TIME),
            pa.array([r[2] for r in rows]),
            pa.array(["test"] * len(rows)),
            pa.array([0] * len(rows)),
        ],
        schema=COVERAGE,
    )


def told(*rows):
    """Coverage rows (from_s, to_s, what): a gap, alive, or recovered."""
    batch = coverage(*((a, b, what != "gap") for a, b, what in rows))
    causes = pa.array(["recovered: history" if what == "recovered" else "" for *_, what in rows])
    columns = [causes if name == "cause" else batch.column(name) for name in COVERAGE.names]
    return pa.record_batch(columns, schema=COVERAGE)


def test_a_gauge_integrates_what_it_held_and_the_open_sample_only_on_reading():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 10.0), (4, 20.0)))
    # 10 kW for 4 s, then 20 kW for the 3 s since: 40 + 60 kW·s
    totals = state.totals(7 * S)
    assert totals.integral[0] == 100.0
    assert (totals.good_s[0], totals.covered_s[0], totals.n[0]) == (7.0, 7.0, 2)
    assert state.totals(4 * S).integral[0] == 40.0
    assert state.totals(0).integral[0] == 40.0


def test_bad_never_counts_as_good():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 10.0), (2, 99.0, BAD_SENSOR_FAILURE), (5, 99.0, UNCERTAIN), (6, 1.0)))
    totals = state.totals(10 * S)
    assert totals.integral[0] == 10 * 2 + 1 * 4
    assert (totals.good_s[0], totals.bad_s[0], totals.covered_s[0]) == (6.0, 3.0, 10.0)
    assert (totals.n[0], totals.n_good[0]) == (4, 2)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 3.4e38, -1e15])
def test_a_good_status_without_a_finite_number_counts_as_bad(odd):
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, odd), (2, 1.0)))
    totals = state.totals(3 * S)
    assert (totals.integral[0], totals.good_s[0], totals.bad_s[0]) == (1.0, 1.0, 2.0)


def test_good_overload_is_not_good():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 5.0, GOOD_OVERLOAD), (2, 1.0)))
    assert state.totals(2 * S).good_s[0] == 0.0


def test_one_absurd_reading_does_not_spoil_the_integral_for_ever():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1e308), (1000, 2.0), (1001, 2.0)))
    assert state.totals(1001 * S).integral[0] == 2.0


@pytest.mark.parametrize("kind", [Kind.GAUGE, Kind.COUNTER, Kind.STATE])
@given(odd=st.floats(1e15, 1e308), sign=st.sampled_from([1, -1]))
def test_one_absurd_reading_changes_no_later_sum(kind, odd, sign):
    rows = [(0, 1.0), (30, 5.0), (31, 6.0)]
    clean, spoiled = state_of(kind), state_of(kind)
    clean.fold(samples(rows[0], (20, 0.0, BAD_SENSOR_FAILURE), *rows[1:]))
    spoiled.fold(samples(rows[0], (20, sign * odd), *rows[1:]))
    told, found = clean.totals(40 * S), spoiled.totals(40 * S)
    for name in ("integral", "increase", "good_s", "bad_s", "resets"):
        assert getattr(found, name).tolist() == getattr(told, name).tolist()
    assert found.state_s.tolist() == told.state_s.tolist()


def test_an_older_row_never_replaces_a_newer_one():
    state = state_of(Kind.GAUGE)
    state.fold(samples((5, 50.0)))
    folded = state.fold(samples((3, 30.0), (6, 60.0), (4, 40.0)))
    assert (folded.late, folded.folded.tolist()) == (2, [False, True, False])
    assert (state.value[0], state.at_us[0], state.late[0]) == (60.0, 6 * S, 2)
    assert state.totals(6 * S).integral[0] == 50.0


def test_a_repeated_row_is_dropped_and_another_value_at_the_same_time_is_not():
    state = state_of(Kind.GAUGE)
    folded = state.fold(samples((5, 1.0), (5, 1.0), (5, 2.0), (5, 2.0, UNCERTAIN), (5, math.nan)))
    assert (folded.duplicate, folded.folded.sum()) == (1, 4)
    assert state.fold(samples((5, math.nan))).duplicate == 1


def test_rows_of_unknown_tags_are_counted_and_nothing_else():
    state = state_of(Kind.GAUGE)
    before = state.digest()
    assert state.fold(samples((1, 1.0), tag=77)).unknown == 1
    assert state.digest() == before
    with pytest.raises(NotFound):
        state.latest([77])


def test_a_counter_grows_over_wraps_and_resets():
    state = state_of(Kind.COUNTER)
    # +100, wrap of 16 bits (65 530 -> 20 is +26), reset to zero and 5 more, bad ignored, +7
    readings = [(0, 65_430), (1, 65_530), (2, 20), (3, 10_000), (4, 5)]
    state.fold(samples(*readings, (5, 0, BAD_SENSOR_FAILURE), (6, 12)))
    totals = state.totals(6 * S)
    assert totals.increase[0] == 100 + 26 + 9_980 + 5 + 7
    assert totals.resets[0] == 1


def test_a_32_bit_counter_wraps_and_a_known_modulus_is_used():
    state = state_of(Kind.COUNTER, Kind.COUNTER)
    state.add_rows((), moduli={2: 1000.0})
    state.fold(samples((0, 2**32 - 10), (1, 5)))
    state.fold(samples((0, 990), (1, 8), (2, 300), (3, 2), tag=2))
    totals = state.totals(3 * S)
    # the second: wrap 990 -> 8 is 18, +292, then 300 -> 2 is no wrap of 1000 but a reset: 2
    assert totals.increase.tolist() == [15.0, 18.0 + 292.0 + 2.0]
    assert totals.resets.tolist() == [0, 1]


def test_seconds_per_state_code_with_odd_codes_in_the_overflow_slot():
    state = state_of(Kind.STATE)
    state.fold(samples((0, 3), (2, 15), (5, 16), (6, -1), (8, 2.5), (9, 3)))
    seconds = state.totals(10 * S).state_s[0]
    assert (seconds[3], seconds[15], seconds[16]) == (3.0, 3.0, 4.0)
    assert seconds.sum() == 10.0


def test_events_count_and_their_texts_are_kept():
    state = state_of(Kind.EVENT)
    batch = sample_batch(tag=[1, 1], at_us=[1, 2], value=[1, 1], seen_us=5, text=["a", "bê tông"])
    state.fold(batch)
    assert state.text[0] == "bê tông"
    assert state.totals(2).n[0] == 2
    state.fold(sample_batch(tag=1, at_us=3, value=1, seen_us=5))
    assert state.text[0] is None


def test_texts_decide_whether_a_row_is_repeated():
    state = state_of(Kind.EVENT)
    for text, folded in [("a", True), ("a", False), ("b", True)]:
        batch = sample_batch(tag=1, at_us=1, value=math.nan, seen_us=5, text=[text])
        assert state.fold(batch).folded.tolist() == [folded]


def test_time_in_a_gap_is_not_covered():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 10.0)))
    state.cover(coverage((2, 5, False)))
    assert state.totals(9 * S).covered_s[0] == 2.0  # 2 s, then the gap goes on
    state.cover(coverage((5, 6, True)))
    assert state.totals(9 * S).covered_s[0] == 6.0
    state.fold(samples((10, 20.0)))
    totals = state.totals(10 * S)
    assert (totals.integral[0], totals.good_s[0]) == (70.0, 7.0)


def test_a_growing_gap_counts_once():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1.0)))
    state.cover(coverage((2, 2, False), (2, 3, False), (2, 5, False), (4, 6, False), (6, 6, True)))
    assert state.totals(10 * S).integral[0] == 6.0


def test_a_gap_told_late_counts_and_does_not_make_the_endpoint_stale():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1.0)))
    state.cover(coverage((0, 8, True), (2, 5, False)))
    assert state.stale().tolist() == [False]
    assert state.totals(10 * S).good_s[0] == 7.0
    assert (state.endpoints["plc"].alive, state.endpoints["plc"].until_us) == (True, 8 * S)


def test_a_sample_after_the_gap_row_says_the_endpoint_is_back():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1.0)))
    state.cover(coverage((2, 5, False)))
    assert state.stale().tolist() == [True]
    state.fold(samples((8, 1.0)))
    assert state.stale().tolist() == [False]
    assert state.totals(9 * S).good_s[0] == 3.0


def test_a_stale_tag_is_reported_as_last_usable_and_stored_as_it_was():
    state = state_of(Kind.GAUGE, Kind.GAUGE)
    state.fold(samples((1, 10.0)))
    state.fold(samples((1, 10.0, BAD_SENSOR_FAILURE), tag=2))
    state.cover(coverage((2, 3, False)))
    reported = state.latest().column("status").to_pylist()
    assert reported == [UNCERTAIN_LAST_USABLE_VALUE, BAD_SENSOR_FAILURE]
    assert state.status.tolist() == [GOOD, BAD_SENSOR_FAILURE]
    state.cover(coverage((3, 4, True)))
    assert state.latest().column("status").to_pylist() == [GOOD, BAD_SENSOR_FAILURE]


def test_tags_without_an_endpoint_have_no_gaps():
    state = ShardState([row(1, endpoint="")])
    state.fold(samples((0, 1.0)))
    state.cover(coverage((0, 5, False)))
    assert state.totals(9 * S).good_s[0] == 9.0
    assert state.stale().tolist() == [False]


def test_many_gaps_are_settled_on_the_tags_they_touch():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1.0)))
    count = GAPS_KEPT + 50
    gaps = [(10 * k + 1, 10 * k + 3, False) for k in range(count)]
    state.cover(coverage(*gaps, (10 * count, 10 * count, True)))
    assert state.totals(10 * count * S).good_s[0] == 8.0 * count
    assert len(state.endpoints["plc"].gaps) == GAPS_KEPT
    state.fold(samples((10 * count, 1.0)))
    assert state.totals(10 * count * S).good_s[0] == 8.0 * count


def test_a_coverage_row_that_ends_before_it_begins_is_refused_whole():
    state = state_of(Kind.GAUGE)
    before = state.digest()
    with pytest.raises(InputError, match="ends before"):
        state.cover(coverage((1, 2, False), (5, 4, False)))
    assert state.digest() == before


@given(rows=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10), st.booleans()), max_size=12))
def test_gaps_are_the_union_of_what_was_claimed(rows):
    coverage = EndpointCoverage()
    for start, length, alive in rows:
        coverage.add(start, start + length, alive=alive, cause="", lost=0)
    claimed = {
        t for start, length, alive in rows if not alive for t in range(start, start + length)
    }
    assert {t for start, end in coverage.gaps for t in range(start, end)} == claimed
    assert all(a[1] < b[0] for a, b in pairwise(coverage.gaps))


def test_a_restamped_row_gives_way_and_never_replaces():
    state = state_of(Kind.GAUGE)
    doubtful = np.array([True])
    state.fold(samples((100, 1.0, UNCERTAIN)), doubtful)
    assert state.value[0] == 1.0
    state.fold(samples((90, 2.0)))  # older than the doubtful time, but in order
    assert (state.value[0], state.late[0]) == (2.0, 0)
    assert state.fold(samples((200, 3.0, UNCERTAIN)), doubtful).kept_out == 1
    assert (state.value[0], state.misclocked[0]) == (2.0, 1)


def test_a_closed_tag_stops_holding_and_a_revived_one_starts_anew():
    state = state_of(Kind.GAUGE)
    state.fold(samples((0, 1.0)))
    state.add_rows([row(1, end=4 * S)])
    assert state.totals(10 * S).good_s[0] == 4.0
    assert state.latest().num_rows == 0
    state.add_rows([row(1, start=7 * S)])
    assert state.totals(10 * S).good_s[0] == 7.0
    state.fold(samples((10, 1.0)))
    assert state.totals(10 * S).good_s[0] == 7.0


def test_latest_gives_the_rows_back_as_they_came():
    state = ShardState([row(1), row(2, Kind.EVENT), row(3)])
    batch = sample_batch(
        tag=[2, 1], at_us=[5, 6], value=[math.nan, 2.5], seen_us=[7, 8], server_us=[1, 2],
        exact=[2**60 + 1, None], text=["x", None], origin=[1, 0],
    )  # fmt: skip
    state.fold(batch)
    assert state.latest([2]).to_pylist()[0]["exact"] == 2**60 + 1
    by_tag = {r["tag"]: r for r in state.latest().to_pylist()}
    for sent in batch.to_pylist():
        got = by_tag[sent["tag"]]
        assert {k: str(v) for k, v in got.items()} == {k: str(v) for k, v in sent.items()}
    assert 3 not in by_tag


def test_the_fold_is_compiled_once_whatever_arrow_hands_over():
    state = state_of(Kind.GAUGE, Kind.EVENT)
    state.fold(samples((0, 1.0)))
    once = len(fold_rows.signatures)
    state.fold(samples((1, 1.0)).slice(0, 0))
    state.fold(sample_batch(tag=2, at_us=1, value=1, seen_us=5, text=["x"], exact=[4]))
    restored = ShardState.restore(state.snapshot())
    restored.fold(samples((3, 1.0)))
    assert len(fold_rows.signatures) == once == 1


times = st.integers(0, 60)
values = st.one_of(st.integers(-50, 50).map(float), st.just(math.nan), st.floats(-1e6, 1e6))
statuses = st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE, UNCERTAIN, GOOD_OVERLOAD])
streams = st.lists(st.tuples(times, values, statuses), max_size=25)
gap_lists = st.lists(st.tuples(times, st.integers(0, 10)), max_size=4)


def brute_force(stream, gaps, until):
    """Second by second: what holds, whether it is good, whether the endpoint is heard."""
    newest, kept = -1, []
    for at, value, status in stream:
        if at >= newest:
            newest = at
            kept.append((at, value, status))
    blind = {t for start, length in gaps for t in range(start, start + length)}
    integral = good = bad = covered = 0.0
    for t in range(until):
        held = [r for r in kept if r[0] <= t]
        if not held or t in blind:
            continue
        _, value, status = held[-1]
        covered += 1
        if status == BAD_SENSOR_FAILURE or (status == GOOD and not math.isfinite(value)):
            bad += 1
        elif status == GOOD:
            good += 1
            integral += value
    return integral, good, bad, covered


@given(stream=streams, gaps=gap_lists, extra=st.integers(0, 20))
@settings(max_examples=200)
def test_the_integral_equals_a_second_by_second_reckoning(stream, gaps, extra):
    state = state_of(Kind.GAUGE)
    state.cover(coverage(*((s, s + n, False) for s, n in gaps), (100, 100, True)))
    until = max((r[0] for r in stream), default=0) + extra
    if stream:
        state.fold(samples(*stream))
    totals = state.totals(until * S)
    integral, good, bad, covered = brute_force(stream, gaps, until)
    assert totals.integral[0] == pytest.approx(integral, abs=1e-3, rel=1e-9)
    assert (totals.good_s[0], totals.bad_s[0], totals.covered_s[0]) == pytest.approx(
        (good, bad, covered)
    )


def test_a_gap_told_after_the_next_sample_takes_its_time_back():
    state = state_of(Kind.GAUGE, Kind.STATE)
    for tag in (1, 2):
        state.fold(samples((0, 3.0), (10, 5.0), (12, 5.0), tag=tag))
    state.cover(coverage((2, 8, False), (12, 13, True)))
    totals = state.totals(12 * S)
    # 3 for the 4 s that were heard of 10, then 5 for 2 s
    assert totals.integral[0] == pytest.approx(22.0)
    assert totals.covered_s.tolist() == totals.good_s.tolist() == [6.0, 6.0]
    assert totals.state_s[1][[3, 5]].tolist() == [4.0, 2.0]
    state.cover(told((4, 6, "recovered")))
    assert state.totals(12 * S).state_s[1][[3, 5]].tolist() == [6.0, 2.0]


def test_a_gap_reaches_no_hold_that_is_not_kept_any_more():
    state = state_of(Kind.GAUGE)
    state.fold(samples(*((t, 1.0) for t in range(HOLDS_KEPT + 4))))
    state.cover(coverage((0, HOLDS_KEPT + 3, False), (HOLDS_KEPT + 3, HOLDS_KEPT + 4, True)))
    assert state.totals((HOLDS_KEPT + 3) * S).covered_s[0] == 3.0


def test_a_state_of_the_format_before_is_read_and_goes_on():
    now = state_of(Kind.GAUGE)
    now.fold(samples((0, 3.0), (10, 5.0)))
    batch = pa.ipc.open_stream(now.snapshot()[16:]).read_next_batch()
    kept = [name for name in batch.schema.names if not name.startswith("hold_")]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.select(kept).schema) as writer:
        writer.write_batch(batch.select(kept))
    stream = bytes(sink.getvalue())
    before = struct.pack("<8sII", b"PTWINSTA", 1, zlib.crc32(stream)) + stream
    state = ShardState.restore(before)
    state.cover(coverage((2, 8, False), (12, 13, True)))
    assert state.totals(10 * S).covered_s[0] == 10.0  # closed by the version before
    state.fold(samples((20, 5.0), (21, 5.0)))
    state.cover(coverage((14, 18, False), (20, 22, True)))
    assert state.totals(21 * S).covered_s[0] == 10.0 + 6.0 + 1.0
    again = ShardState.restore(state.snapshot())
    assert again.digest() == state.digest()


turns = st.lists(st.booleans(), max_size=40)
coverages = st.lists(
    st.tuples(times, st.integers(0, 12), st.sampled_from(["gap", "gap", "alive", "recovered"])),
    max_size=8,
)


@given(
    stream=st.lists(st.tuples(times, values, statuses), max_size=HOLDS_KEPT),
    rows=coverages,
    order=turns,
    kind=st.sampled_from([Kind.GAUGE, Kind.STATE]),
    restart=st.integers(0, 40),
)
@settings(max_examples=300)
def test_sums_are_the_same_whichever_of_gaps_and_samples_comes_first(
    stream, rows, order, kind, restart
):
    heard = [(start, start + length, what) for start, length, what in rows]
    heard.append((99, 100, "alive"))
    first, mixed = state_of(kind), state_of(kind)
    first.cover(told(*heard))
    if stream:
        first.fold(samples(*stream))
    left = [list(stream), list(heard)]
    turn = iter(order)
    for step in range(len(stream) + len(heard)):
        if step == restart:
            mixed = ShardState.restore(mixed.snapshot())
        if left[0] and (next(turn, True) or not left[1]):
            mixed.fold(samples(left[0].pop(0)))
        else:
            mixed.cover(told(left[1].pop(0)) if left[1] else told())
    while left[1]:
        mixed.cover(told(left[1].pop(0)))
    assert not left[0]
    wanted, found = first.totals(80 * S), mixed.totals(80 * S)
    for name in ("good_s", "bad_s", "covered_s", "increase", "n", "n_good"):
        assert getattr(found, name).tolist() == getattr(wanted, name).tolist()
    assert found.state_s.tolist() == wanted.state_s.tolist()
    assert found.integral == pytest.approx(wanted.integral, rel=1e-9, abs=1e-3)
    if kind == Kind.GAUGE:
        blind: set[int] = set()
        for start, end, what in heard:
            change = set(range(start, end))
            blind = (
                blind | change
                if what == "gap"
                else blind - (change if what == "recovered" else set())
            )
        integral, good, bad, covered = brute_force(stream, [(t, 1) for t in blind], 80)
        assert found.integral[0] == pytest.approx(integral, abs=1e-3, rel=1e-9)
        assert (found.good_s[0], found.bad_s[0], found.covered_s[0]) == pytest.approx(
            (good, bad, covered)
        )


@given(
    rows=st.lists(st.tuples(st.integers(1, 3), times, values, statuses), min_size=1, max_size=30),
    cuts=st.sets(st.integers(0, 30), max_size=5),
)
@settings(max_examples=100)
def test_a_batch_cut_anywhere_gives_the_same_state(rows, cuts):
    kinds = (Kind.GAUGE, Kind.COUNTER, Kind.STATE)
    tag, at, value, status = zip(*rows, strict=True)
    whole = sample_batch(tag=tag, at_us=[a * S for a in at], value=value, status=status, seen_us=9)
    once, pieces = state_of(*kinds), state_of(*kinds)
    once.fold(whole)
    edges = sorted({0, len(rows), *(c for c in cuts if c < len(rows))})
    for start, end in pairwise(edges):
        pieces.fold(whole.slice(start, end - start))
    assert once.digest() == pieces.digest()


@given(
    steps=st.lists(st.integers(0, 5000), min_size=1, max_size=40),
    start=st.integers(0, 65_535),
    bits=st.sampled_from([16, 32]),
)
def test_a_wrapping_counter_grows_by_the_sum_of_its_steps(steps, start, bits):
    modulus = 2**bits
    state = state_of(Kind.COUNTER)
    true = np.cumsum([modulus - 65_536 + start, *steps])
    state.fold(samples(*((t, float(v % modulus)) for t, v in enumerate(true))))
    totals = state.totals(0)
    assert totals.increase[0] == sum(steps)
    assert totals.resets[0] == 0


@given(stream=streams, gaps=gap_lists)
@settings(max_examples=50)
def test_a_restored_snapshot_is_the_same_state_and_goes_on_the_same(stream, gaps):
    state = state_of(Kind.GAUGE, Kind.EVENT)
    state.cover(coverage(*((s, s + n, False) for s, n in gaps), (1, 1, True)))
    if stream:
        state.fold(samples(*stream))
    state.fold(sample_batch(tag=2, at_us=1, value=math.nan, seen_us=5, text=["chữ"]))
    again = ShardState.restore(state.snapshot())
    assert again.digest() == state.digest()
    for each in (state, again):
        each.fold(samples((61, 4.0)))
        each.cover(coverage((70, 75, False)))
        each.add_rows([row(9, Kind.COUNTER, endpoint="other")])
    assert again.digest() == state.digest()
    assert str(again.latest().to_pylist()) == str(state.latest().to_pylist())


def test_a_damaged_or_newer_snapshot_is_refused():
    state = state_of(Kind.GAUGE)
    state.fold(samples((1, 5.0)))
    data = bytearray(state.snapshot())
    for byte in [*range(8), *range(12, len(data))]:
        data[byte] ^= 4
        with pytest.raises(Corrupt):
            ShardState.restore(bytes(data))
        data[byte] ^= 4
    data[8] = FORMAT + 1
    with pytest.raises(NewerFormat):
        ShardState.restore(bytes(data))
    with pytest.raises(Corrupt):
        ShardState.restore(b"")


def test_the_digest_does_not_depend_on_the_order_of_tags():
    a = ShardState([row(1), row(2, endpoint="b")])
    b = ShardState([row(2, endpoint="b"), row(1)])
    for state in (a, b):
        state.fold(samples((1, 1.0)))
        state.fold(samples((2, 5.0), tag=2))
    assert a.digest() == b.digest()
    b.fold(samples((3, 5.0), tag=2))
    assert a.digest() != b.digest()
