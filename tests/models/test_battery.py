"""A battery keeps its limits and its losses, and its rules do what they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from models.battery import (
    Battery,
    Clock,
    Rules,
    Wish,
    dispatch_by_level,
    dispatch_by_rules,
    one_way,
    possible_kw,
    stored_after,
    time_of_use_wishes,
)
from models.errors import InputError
from models.tariff import Window

PLAIN = Battery(power_kw=50.0, energy_kwh=100.0, charge_efficiency=0.8, discharge_efficiency=0.5)


def test_worked_steps():
    # 30 kW for 15 min at 80 %: 6 kWh come in; 10 kW for 15 min at 50 %: 5 kWh go out
    assert stored_after(PLAIN, 10.0, -30.0, 0.25) == pytest.approx(16.0)
    assert stored_after(PLAIN, 10.0, 10.0, 0.25) == pytest.approx(5.0)
    assert possible_kw(PLAIN, 10.0, 40.0, 0.25) == pytest.approx(20.0)  # 10 kWh * 0.5 / 0.25 h
    assert possible_kw(PLAIN, 100.0, -40.0, 0.25) == 0.0
    assert possible_kw(PLAIN, 0.0, -80.0, 0.25) == -50.0
    assert one_way(0.81) == pytest.approx(0.9)


def test_it_shaves_a_peak_and_refills_below_the_limit():
    # limit 100: hour 2 lacks 40 kW = 40/0.5 = 80 kWh from the store; the reserve refills by
    # up to 20 kW of room
    run = dispatch_by_rules(
        [80.0, 140.0, 80.0, 80.0],
        PLAIN,
        Rules(limit_kw=100.0, reserve=1.0),
        1.0,
        stored_kwh=100.0,
    )
    assert run.grid_kw[0].tolist() == pytest.approx([80.0, 100.0, 100.0, 100.0])
    assert run.stored_kwh[0].tolist() == pytest.approx([100.0, 20.0, 36.0, 52.0])


def test_arbitrage_follows_the_clock_and_never_feeds_in():
    wishes = time_of_use_wishes([Window.OFF_PEAK, Window.NORMAL, Window.PEAK, Window.PEAK])
    assert wishes.tolist() == [Wish.CHARGE, Wish.IDLE, Wish.DISCHARGE, Wish.DISCHARGE]
    run = dispatch_by_rules(
        [10.0, 10.0, 15.0, 15.0], PLAIN, Rules(), 1.0, stored_kwh=0.0, wishes=wishes
    )
    assert run.power_kw[0].tolist() == pytest.approx([-50.0, 0.0, 15.0, 5.0])
    assert run.stored_kwh[0].tolist() == pytest.approx([40.0, 40.0, 10.0, 0.0], abs=1e-9)
    assert run.cycles(PLAIN, 1.0)[0] == pytest.approx(20.0 / 50.0)


def test_the_reserve_is_for_shaving_only():
    run = dispatch_by_rules(
        [20.0, 120.0],
        PLAIN,
        Rules(limit_kw=100.0, reserve=0.6),
        1.0,
        stored_kwh=60.0,
        wishes=[Wish.DISCHARGE, Wish.DISCHARGE],
    )
    assert run.power_kw[0].tolist() == [0.0, 20.0]


def test_surplus_is_taken_only_where_wanted():
    taken = dispatch_by_rules([-30.0], PLAIN, Rules(), 1.0, stored_kwh=0.0)
    left = dispatch_by_rules([-30.0], PLAIN, Rules(self_consumption=False), 1.0, stored_kwh=0.0)
    assert (taken.power_kw[0, 0], left.power_kw[0, 0]) == (-30.0, 0.0)


BATTERIES = st.builds(
    Battery,
    power_kw=st.floats(0.0, 100.0),
    energy_kwh=st.floats(1.0, 300.0),
    least=st.floats(0.0, 0.4),
    most=st.floats(0.5, 1.0),
    charge_efficiency=st.floats(0.5, 1.0),
    discharge_efficiency=st.floats(0.5, 1.0),
)
NETS = st.lists(st.floats(-150.0, 250.0), min_size=1, max_size=40)


@given(
    battery=BATTERIES,
    net=NETS,
    limit=st.floats(0.0, 200.0),
    reserve=st.floats(0.0, 1.0),
    seed=st.integers(0, 99),
)
@settings(deadline=None)
def test_limits_hold_energy_balances_and_the_peak_never_grows(battery, net, limit, reserve, seed):
    wishes = np.random.default_rng(seed).integers(0, 3, len(net))
    start = battery.least_kwh + 0.3 * (battery.most_kwh - battery.least_kwh)
    run = dispatch_by_rules(
        net,
        battery,
        Rules(limit_kw=limit, reserve=reserve),
        0.25,
        stored_kwh=start,
        wishes=wishes,
    )
    power, stored = run.power_kw[0], run.stored_kwh[0]
    assert np.all(np.abs(power) <= battery.power_kw + 1e-9)
    assert np.all(stored >= battery.least_kwh - 1e-9)
    assert np.all(stored <= battery.most_kwh + 1e-9)
    out = np.maximum(power, 0.0) / battery.discharge_efficiency
    into = np.maximum(-power, 0.0) * battery.charge_efficiency
    assert np.diff(stored, prepend=start) == pytest.approx(0.25 * (into - out), abs=1e-9)
    assert run.grid_kw.max() <= max(max(net), limit) + 1e-9
    assert run.grid_kw.min() >= min(*net, 0.0) - 1e-9


@given(net=st.lists(st.floats(5.0, 60.0), min_size=8, max_size=24), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_rules_never_beat_the_linear_programme(net, seed):
    windows = np.random.default_rng(seed).choice(list(Window), len(net))
    price = np.array([{"peak": 3.4, "normal": 1.8, "off_peak": 1.2}[w] for w in windows])
    battery = Battery(power_kw=20.0, energy_kwh=40.0)
    run = dispatch_by_rules(
        net, battery, Rules(), 1.0, stored_kwh=0.0, wishes=time_of_use_wishes(windows)
    )
    n, charge, give = len(net), 0.94, 0.94
    triangle = np.tril(np.ones((n, n)))
    held = np.hstack((charge * triangle, -triangle / give))
    best = linprog(
        np.concatenate((price, -price)),
        A_ub=np.vstack((held, -held)),
        b_ub=np.concatenate((np.full(n, 40.0), np.zeros(n))),
        bounds=[(0.0, 20.0)] * n + [(0.0, min(20.0, load)) for load in net],
    )
    assert run.grid_kw[0] @ price >= best.fun + np.array(net) @ price - 1e-6


def test_lanes_are_independent():
    nets = np.random.default_rng(2).uniform(-50.0, 150.0, (5, 30))
    held = np.linspace(0.0, 100.0, 5)
    together = dispatch_by_rules(nets, PLAIN, Rules(limit_kw=90.0), 0.25, stored_kwh=held)
    alone = dispatch_by_rules(nets[3], PLAIN, Rules(limit_kw=90.0), 0.25, stored_kwh=held[3])
    assert np.array_equal(together.power_kw[3], alone.power_kw[0])


def test_impossible_batteries_are_refused():
    with pytest.raises(InputError, match="state of charge"):
        Battery(power_kw=1.0, energy_kwh=1.0, least=0.9, most=0.1)
    with pytest.raises(InputError, match="efficiencies"):
        Battery(power_kw=1.0, energy_kwh=1.0, charge_efficiency=0.0)
    with pytest.raises(InputError, match="give 0 or more"):
        Battery(power_kw=-1.0, energy_kwh=1.0)
    with pytest.raises(InputError, match="it holds 0 to 100"):
        dispatch_by_rules([1.0], PLAIN, Rules(), 1.0, stored_kwh=101.0)
    with pytest.raises(InputError, match="fill gaps"):
        dispatch_by_rules([np.nan], PLAIN, Rules(), 1.0, stored_kwh=0.0)
    with pytest.raises(InputError, match="round trip"):
        one_way(1.2)


def test_the_clock_is_followed_evenly_to_the_end_of_its_window():
    # 90 kWh above nothing, 50 % out: 45 kWh at the bus over 3 h is 15 kW, in every hour
    clock = Clock(wishes=np.full(3, Wish.DISCHARGE), left_h=np.array([3.0, 2.0, 1.0]))
    given = dispatch_by_rules([40.0] * 3, PLAIN, Rules(), 1.0, stored_kwh=90.0, wishes=clock)
    assert given.power_kw[0].tolist() == pytest.approx([15.0, 15.0, 15.0])
    # 60 kWh missing, 80 % in: 75 kWh from the bus over 3 h is 25 kW, in every hour
    clock = Clock(wishes=np.full(3, Wish.CHARGE), left_h=np.array([3.0, 2.0, 1.0]))
    taken = dispatch_by_rules([40.0] * 3, PLAIN, Rules(), 1.0, stored_kwh=40.0, wishes=clock)
    assert taken.power_kw[0].tolist() == pytest.approx([-25.0, -25.0, -25.0])


def test_a_limit_may_change_from_step_to_step():
    clock = Clock(wishes=np.zeros(2, np.int64), limit_kw=np.array([100.0, 30.0]))
    run = dispatch_by_rules([50.0, 50.0], PLAIN, Rules(), 1.0, stored_kwh=100.0, wishes=clock)
    assert run.power_kw[0].tolist() == pytest.approx([0.0, 20.0])


def to_the_end(course):
    steps = len(course)
    return np.array([[*course[t:], *[np.nan] * t] for t in range(steps)]).reshape(steps, steps)


def test_a_level_is_held_by_what_is_stored():
    # 50 kWh at 50 % give 25 kWh: of 60 and 75 above the level 55: 5 + 20
    run = dispatch_by_level([40.0, 60.0, 75.0], PLAIN, to_the_end([40.0, 60.0, 75.0]), 1.0,
                            stored_kwh=50.0)  # fmt: skip
    assert run.grid_kw[0, 1:].max() < 75.0
    # 40 kW more load is allowed in the first hour: up to the level, 80 % of it stored
    assert run.grid_kw[0].max() == pytest.approx(lowest_peak([40.0, 60.0, 75.0], 50.0), abs=1e-3)


def lowest_peak(course, stored):
    """The lowest peak of a dispatcher who knows everything: a linear programme."""
    n = len(course)
    # give[n], take[n], peak
    keep = np.tril(np.ones((n, n)))
    change = np.hstack((-keep / PLAIN.discharge_efficiency, keep * PLAIN.charge_efficiency))
    upper = np.vstack((
        np.hstack((-np.eye(n), np.eye(n), -np.ones((n, 1)))),
        np.hstack((change, np.zeros((n, 1)))),
        np.hstack((-change, np.zeros((n, 1)))),
    ))  # fmt: skip
    most = np.concatenate(
        (-np.array(course), np.full(n, PLAIN.most_kwh - stored), np.full(n, stored))
    )
    bounds = [(0.0, PLAIN.power_kw)] * (2 * n) + [(None, None)]
    found = linprog([*[0.0] * (2 * n), 1.0], A_ub=upper, b_ub=most, bounds=bounds)
    assert found.success
    return found.fun


@settings(max_examples=40)
@given(course=st.lists(st.floats(10.0, 200.0), min_size=1, max_size=8), share=st.floats(0.0, 1.0))
def test_with_a_true_outlook_no_dispatcher_has_a_lower_peak(course, share):
    run = dispatch_by_level(course, PLAIN, to_the_end(course), 1.0, stored_kwh=share * 100.0)
    assert run.grid_kw[0].max() == pytest.approx(lowest_peak(course, share * 100.0), abs=0.01)
    assert 0.0 <= run.stored_kwh.min() <= run.stored_kwh.max() <= 100.0


def test_a_level_needs_an_outlook_of_its_own_step():
    with pytest.raises(InputError, match="one row per step"):
        dispatch_by_level([1.0, 2.0], PLAIN, [[1.0], [np.nan]], 1.0, stored_kwh=0.0)
