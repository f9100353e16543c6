"""A line equals SimPy part by part, the closed forms, and its own continuation."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.draws import deterministic, exponential, gamma, key_of, lognormal
from models.errors import InputError
from models.line import (
    Failure,
    Line,
    LineRun,
    LineState,
    Machine,
    Scales,
    Seen,
    Spent,
    live_state,
    simulate_lines,
    to_ticks,
)
from models.statistics import mean_interval

_SPEC = importlib.util.spec_from_file_location(
    "simpy_line", Path(__file__).with_name("simpy_line.py")
)
simpy_line = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(simpy_line)

HOUR = 3600.0
BREAKDOWNS = Failure(to_fail=exponential(1500.0), to_repair=lognormal(300.0, 0.8))


def line_of(buffers, cycle=None, failure=BREAKDOWNS, shifts=None) -> Line:
    law = gamma(30.0, 0.4) if cycle is None else cycle
    return Line(
        machines=tuple(
            Machine(key=key_of(f"m{j}"), cycle=law, failure=failure, shifts=shifts)
            for j in range(len(buffers) + 1)
        ),
        buffers=tuple(buffers),
    )


def run(line, *, hours=8.0, replications=(0,), bin_s=900.0, **more) -> LineRun:
    return simulate_lines(
        [line], seed=7, replications=replications, horizon_s=hours * HOUR, bin_s=bin_s, **more
    )


def departed(result: LineRun, lane: int, machine: int) -> list[int]:
    times = result.departures[lane, machine]
    return times[times >= 0].tolist()


CASES = {
    "ten machines with breakdowns": line_of([5] * 9),
    "one machine": line_of([]),
    "mixed buffers, no failures": line_of([1, 200, 2], failure=None),
    "shifts with breaks": line_of(
        [3, 1, 4], shifts=((1800.0, 9000.0), (10_000.0, 17_000.0), (20_000.5, 28_000.0))
    ),
}


@pytest.mark.parametrize("line", CASES.values(), ids=CASES)
@pytest.mark.parametrize("replication", [0, 5])
def test_every_departure_equals_simpys(line, replication):
    ours = run(line, replications=[3, replication], keep=3000)
    made = simpy_line.ready_draws(line, seed=7, replication=replication, parts=3000)
    peer = simpy_line.run_simpy(line, made, to_ticks(8 * HOUR))
    for j, times in enumerate(peer.departures):
        assert departed(ours, 1, j) == times
        assert len(times) > 100


def test_blocked_time_equals_simpys():
    # what SimPy books when a wait ends; a wait that is still open at the horizon is not booked
    line = CASES["mixed buffers, no failures"]
    ours = run(line)
    made = simpy_line.ready_draws(line, seed=7, replication=0, parts=3000)
    peer = simpy_line.run_simpy(line, made, to_ticks(8 * HOUR))
    blocked = ours.spent[0, :, :, Spent.BLOCKED].sum(axis=1)
    assert np.all(blocked - peer.spent[:, Spent.BLOCKED] >= 0)
    assert np.all(blocked - peer.spent[:, Spent.BLOCKED] < 120_000)
    assert blocked[0] > 100_000


CLOSED_FORMS = [
    # exponential line, mean 1, equal buffers: exact Markov chain values (facts, section 4a)
    ([0], 0.666667),
    ([1], 0.75),
    ([4], 0.857143),
    ([0, 0], 0.564103),
    ([2, 2], 0.734017),
    ([1, 1, 1], 0.631153),
    ([0, 0, 0, 0], 0.485798),
    ([3, 3, 3, 3, 3], 0.717908),
]


@pytest.mark.parametrize(("buffers", "rate"), CLOSED_FORMS, ids=str)
def test_exponential_lines_have_their_exact_throughput(buffers, rate):
    line = line_of(buffers, cycle=exponential(1.0), failure=None)
    result = run(line, hours=11, replications=range(32), bin_s=3600.0)
    per_s = result.output[:, 1:].sum(axis=1) / 36_000.0
    interval = mean_interval(per_s, 0.999)
    assert interval.low <= rate <= interval.high
    assert interval.half_width < 0.004


def test_a_long_buffer_gives_the_stand_alone_availability():
    # min over machines of mttf / (mttf + mttr) = 1500 / 1800, cycle 10 s
    failure = Failure(to_fail=exponential(1500.0), to_repair=exponential(300.0))
    line = line_of([100_000], cycle=deterministic(10.0), failure=failure)
    result = run(line, hours=400, replications=range(8), bin_s=HOUR)
    made = result.made[:, 0].sum(axis=1) / (400 * HOUR)
    assert mean_interval(made, 0.999).low <= 0.1 * 1500 / 1800 <= mean_interval(made, 0.999).high


def test_worked_deterministic_line():
    # 10 s, then 20 s, one space: machine 0 ends at 10, 20, 30 and is blocked until 50, 70, ...
    machines = (
        Machine(key=1, cycle=deterministic(10.0)),
        Machine(key=2, cycle=deterministic(20.0)),
    )
    result = simulate_lines(
        [Line(machines=machines, buffers=(1,))],
        seed=1,
        replications=[0],
        horizon_s=100.0,
        bin_s=50.0,
        keep=10,
    )
    assert departed(result, 0, 0) == [10_000, 20_000, 30_000, 50_000, 70_000, 90_000]
    assert departed(result, 0, 1) == [30_000, 50_000, 70_000, 90_000]
    by_state = result.spent_s[0, 0]
    assert by_state[0].tolist() == [40.0, 0.0, 10.0, 0.0, 0.0]
    assert by_state[1].tolist() == [30.0, 0.0, 20.0, 0.0, 0.0]
    assert result.spent_s[0, 1, 0].tolist() == [40.0, 0.0, 0.0, 10.0, 0.0]
    assert result.made[0].tolist() == [[3, 3], [1, 3]]


@st.composite
def lines(draw):
    buffers = draw(st.lists(st.integers(0, 4), min_size=0, max_size=4))
    fails = draw(st.booleans())
    shifts = draw(st.sampled_from([None, ((0.0, 3000.0), (4000.0, 7000.0)), ((500.0, 20_000.0),)]))
    return line_of(buffers, failure=BREAKDOWNS if fails else None, shifts=shifts)


@given(line=lines(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_tick_is_spent_once_and_no_part_is_lost(line, seed):
    result = simulate_lines(
        [line], seed=seed, replications=[0, 1], horizon_s=2.2 * HOUR, bin_s=900.0
    )
    lengths = result.spent.sum(axis=3)
    assert np.all(lengths[:, :, :-1] == 900_000)
    assert np.all(lengths.sum(axis=2) == to_ticks(2.2 * HOUR))
    made = result.made.sum(axis=2)
    inside = result.end.level + (result.end.work_left[:, 1:] >= 0)
    assert np.all(made[:, :-1] - made[:, 1:] == inside)
    assert np.all(result.end.level >= 0)
    assert np.all(result.end.begun - made == (result.end.work_left >= 0))


@given(line=lines(), seed=st.integers(0, 1000), bin_s=st.sampled_from([1.0, 7.0, 600.0]))
@settings(max_examples=40, deadline=None)
def test_bins_only_divide_the_time_and_change_nothing_of_it(line, seed, bin_s):
    """In short bins every part crosses an edge and is followed tick by tick; in one bin over the
    whole run hardly any is, and repairs are folded into jobs: both must be the same run.
    """
    whole, binned = (
        simulate_lines(
            [line], seed=seed, replications=(0, 3), horizon_s=7200.0, bin_s=length, keep=9000
        )
        for length in (7200.0, bin_s)
    )
    assert np.array_equal(binned.departures, whole.departures)
    assert np.array_equal(binned.spent.sum(axis=2), whole.spent[:, :, 0])
    assert np.array_equal(binned.made.sum(axis=2), whole.made[:, :, 0])
    for name in LineState.__slots__:
        assert np.array_equal(getattr(binned.end, name), getattr(whole.end, name)), name


def later(line: Line, cut_s: float) -> Line:
    """The same line with its shifts told from the cut on."""
    machines = tuple(
        Machine(
            key=m.key,
            cycle=m.cycle,
            failure=m.failure,
            shifts=None
            if m.shifts is None
            else tuple((max(a - cut_s, 0.0), b - cut_s) for a, b in m.shifts if b > cut_s),
        )
        for m in line.machines
    )
    return Line(machines=machines, buffers=line.buffers)


@given(line=lines(), cut_ms=st.integers(1, 7_000_000), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_cut_anywhere_and_go_on_to_the_identical_future(line, cut_ms, seed):
    whole, cut = 7_200_000, cut_ms
    one = simulate_lines(
        [line], seed=seed, replications=[0, 4], horizon_s=7200.0, bin_s=7200.0, keep=400
    )
    first = simulate_lines(
        [line], seed=seed, replications=[0, 4], horizon_s=cut / 1000, bin_s=7200.0, keep=400
    )
    second = simulate_lines(
        [later(line, cut / 1000)],
        seed=seed,
        replications=[0, 4],
        horizon_s=(whole - cut) / 1000,
        bin_s=7200.0,
        start=first.end,
        keep=400,
    )
    assert np.array_equal(first.spent.sum(axis=2) + second.spent.sum(axis=2), one.spent.sum(axis=2))
    for lane in (0, 1):
        for j in range(len(line.machines)):
            going_on = [cut + at for at in departed(second, lane, j)]
            assert departed(first, lane, j) + going_on == departed(one, lane, j)
    for name in ("work_left", "repair_left", "to_fail", "begun", "failed", "level"):
        assert np.array_equal(getattr(second.end, name), getattr(one.end, name))


def test_given_arrivals_feed_the_line_and_are_counted_on():
    line = line_of([2], cycle=deterministic(10.0), failure=None)
    arrivals = np.array([[-5000, 0, 30_000, 31_000, 90_000, 1 << 60]])
    result = run(line, hours=0.02, arrivals=arrivals, keep=9)  # 72 s
    assert departed(result, 0, 0) == [10_000, 20_000, 40_000, 50_000]
    assert result.end.arrived.tolist() == [4]
    then = run(line, hours=0.02, arrivals=arrivals - 72_000, start=result.end, keep=9)
    assert departed(then, 0, 0) == [28_000]


def test_replications_are_the_same_alone_and_together_and_scenarios_share_draws():
    line, wider = line_of([1, 1]), line_of([3, 3])
    together = simulate_lines(
        [line, wider], seed=3, replications=range(6), horizon_s=8 * HOUR, bin_s=900.0, keep=2000
    )
    alone = simulate_lines(
        [wider], seed=3, replications=[4], horizon_s=8 * HOUR, bin_s=900.0, keep=2000
    )
    assert np.array_equal(together.departures[10], alone.departures[0])
    narrow, wide = together.output.sum(axis=1).reshape(2, 6)
    assert np.all(wide >= narrow)
    # with the same draws, more space never makes any departure later
    assert np.all(together.departures[6:, -1, :300] <= together.departures[:6, -1, :300])


def test_scales_multiply_the_durations():
    line = line_of([2], cycle=deterministic(10.0), failure=None)
    twice = Scales(cycle=np.full((1, 2), 2.0), to_fail=np.ones((1, 2)), to_repair=np.ones((1, 2)))
    assert run(line).output.sum() == pytest.approx(2 * run(line, scales=twice).output.sum(), abs=2)


def test_a_live_line_starts_where_it_stands():
    line = line_of([2, 2], cycle=deterministic(30.0))
    seen = [
        Seen(has_part=True, worked_s=12.0, since_failure_s=100.0, begun=50),
        Seen(has_part=True, worked_s=10.0, down_s=60.0, begun=47),
        Seen(has_part=False, begun=46),
    ]
    state = live_state(line, seen, [2, 1], seed=1, replications=range(400))
    assert set(state.work_left[:, 0]) == {18_000}
    assert set(state.work_left[:, 1]) == {20_000}
    assert set(state.work_left[:, 2]) == {-1}
    assert len(set(state.repair_left[:, 1])) > 390
    assert set(state.repair_left[:, 0]) == {0}
    run_on = run(line, replications=range(400), start=state, keep=2)
    # machine 2 takes the waiting part at once; machine 0 is blocked until the repair ends
    assert set(run_on.departures[:, 2, 0]) >= {30_000}
    assert np.all(run_on.departures[:, 0, 0] >= state.repair_left[:, 1])
    assert np.all(run_on.end.begun[:, 2] > 46)


def test_a_machine_never_works_outside_its_shifts():
    line = line_of([5, 5], shifts=((0.0, 4 * HOUR), (6 * HOUR, 8 * HOUR)))
    result = run(line)
    off = result.spent_s[0, :, :, Spent.OFF]
    assert np.all(off[:, 16:24] == 900.0)
    assert off.sum() == 3 * 2 * HOUR
    assert result.made[0, :, 16:24].sum() == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="one buffer fewer"):
        Line(machines=(Machine(key=1, cycle=deterministic(1.0)),), buffers=(1,))
    with pytest.raises(InputError, match="spaces"):
        line_of([-1])
    with pytest.raises(InputError, match="overlap"):
        line_of([1], shifts=((0.0, 10.0), (5.0, 20.0)))
    line = line_of([1])
    state = run(line).end
    state.level[0, 0] = 9
    with pytest.raises(InputError, match="9 parts in buffer 0 of 1 spaces"):
        run(line, start=state)
    with pytest.raises(InputError, match="differ in machines"):
        simulate_lines([line, line_of([])], seed=1, replications=[0], horizon_s=1.0, bin_s=1.0)
    with pytest.raises(InputError, match="positive times"):
        run(line, hours=0.0)
    with pytest.raises(InputError, match="go back in time"):
        run(line, arrivals=np.array([[5, 4]]))
    with pytest.raises(InputError, match="2 machines and 1 buffers"):
        live_state(line, [Seen()], [], seed=1, replications=[0])
