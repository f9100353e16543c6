"""Marks of quarter hours: what may be judged over them."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twin.marks import Mark, Window

SECOND = 1_000_000
BAD = 0x808C_0000


def test_the_seconds_before_the_first_quarter_hour_are_no_peak(at):
    bench = at(10, 14)
    bench.say({"ss1/t1/active_power": 100_000.0, "ss1/t2/active_power": 0.0})
    bench.tick(50.0)
    bench.tick(10.0)  # 10:15: ten seconds at 100 MW
    bench.say({"ss1/t1/active_power": 20_000.0})
    for _ in range(2):
        bench.tick(900.0)
    assert bench.figure("park.peak_today_mw") == pytest.approx(20.0)


M1 = "acme/hall/l1/m1"
LINE = "line.acme/hall/l1"


def test_the_second_before_the_first_mark_does_not_count(at):
    # what came first was measured a second before the twin's first tick: 61 s in a minute
    bench = at(10)
    bench.tick()
    bench.now_us -= SECOND
    bench.say({f"{M1}/item_state": 3.0, f"{M1}/part_count": 0.0})
    bench.now_us += 2 * SECOND
    bench.tick()
    bench.tick(3599.0)
    assert bench.figure(f"{LINE}.availability_pct") == pytest.approx(100.0, abs=1e-9)


def test_a_value_that_has_not_changed_for_hours_brings_no_hours_with_it(at):
    # a server hands a new session the newest value with the time at which it changed
    bench = at(10)
    bench.tick()
    bench.now_us -= 2 * 3600 * SECOND
    bench.say({f"{M1}/item_state": 3.0, "acme/active_power": 100.0})
    bench.now_us += 2 * 3600 * SECOND
    bench.tick(1800.0)
    bench.say({f"{M1}/item_state": 2.0})
    bench.tick(1800.0)
    assert bench.figure(f"{LINE}.availability_pct") == pytest.approx(50.0, abs=1e-9)


def test_rows_told_after_midnight_about_the_time_before_it_move_no_seconds_into_the_day(at):
    # down from 23:59:30 on, told at 00:00:10: the day has ten seconds, all of them down
    bench = at(23, 59)
    bench.say({f"{M1}/item_state": 3.0})
    bench.tick()
    bench.tick(60.0)
    bench.now_us -= 30 * SECOND
    bench.say({f"{M1}/item_state": 1.0})
    bench.now_us += 30 * SECOND
    bench.tick(10.0)
    midnight = bench.logic.marks.midnight
    window = Window.between(midnight, _mark(bench))
    place = bench.logic.book.atlas(bench.state).marked[("machine", "item_state")][0]
    assert window.code_s[place].tolist() == pytest.approx([0.0, 10.0, 0.0, 0.0])
    assert window.covered_s[place] == pytest.approx(10.0)


def _mark(bench):
    atlas = bench.logic.book.atlas(bench.state)
    return Mark.take(bench.state, bench.state.totals(bench.now_us), atlas.kept, bench.now_us)


TOLD = st.lists(
    st.tuples(st.integers(-7200, 0), st.integers(0, 5), st.sampled_from([0, BAD])), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.tuples(st.integers(1, 900), TOLD), min_size=1, max_size=6))
@example(rounds=[(1, [(0, 3, 0)]), (343, [(0, 1, 0)]), (556, []), (1, [(0, 3, 0)])])  # a dip
def test_law_no_window_holds_more_than_its_own_seconds(new_bench, rounds):
    bench = new_bench()
    bench.tick()
    for seconds, told in rounds:
        bench.now_us += seconds * SECOND
        now_us = bench.now_us
        for late_s, code, status in told:
            bench.now_us = now_us + late_s * SECOND
            bench.say({f"{M1}/item_state": float(code), f"{M1}/part_count": 7.0 * code}, status)
        bench.now_us = now_us
        bench.tick()
        now = _mark(bench)
        for mark in (bench.logic.marks.midnight, *bench.logic.marks.quarters):
            window = Window.between(mark, now)
            assert (window.covered_s <= window.seconds + 1e-3).all()
            assert (window.good_s <= window.covered_s + 1e-3).all()
            assert (window.code_s.sum(axis=1) <= window.good_s + 1e-3).all()
            for least in (window.covered_s, window.good_s, window.code_s, window.total):
                assert (least >= -1e-3).all()


def test_parts_counted_before_the_mark_but_told_after_it_are_taken_out_whole(at):
    # two hours of a buffer arrive at once: 240 parts, of which the last minute made two
    bench = at(10)
    bench.tick(0.0)
    end_us = bench.now_us + 60 * SECOND
    for second in range(0, 7261, 30):
        bench.now_us = end_us - (7260 - second) * SECOND
        bench.say({f"{M1}/item_state": 3.0, f"{M1}/part_count": float(second // 30)})
    bench.now_us = end_us
    bench.tick()
    place = bench.logic.book.atlas(bench.state).marked[("machine", "part_count")][0]
    window = Window.between(bench.logic.marks.midnight, _mark(bench))
    assert window.total[place] == 2.0
