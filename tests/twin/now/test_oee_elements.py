"""ISO 22400: ratios from sums of elements."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from twin.oee import Elements, LineMap, line_elements, machine_elements, ratios

FIELDS = (
    "plan_s", "pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "run_s", "made", "good", "observed_s",
    "window_s", "least_s", "least_parts",
)  # fmt: skip


def elements(**given):
    n = max((np.size(value) for value in given.values()), default=1)
    columns = {name: np.broadcast_to(given.get(name, 0.0), n) for name in FIELDS}
    return Elements(**{name: np.array(column, float) for name, column in columns.items()})


def test_worked_example():
    # 8 h planned, 6 h producing, 600 parts of 30 s planned (5 h), 570 good
    found = ratios(elements(pbt_s=28800, apt_s=21600, run_s=18000, made=600, good=570))
    assert found.availability[0] == pytest.approx(0.75)
    assert found.effectiveness[0] == pytest.approx(18000 / 21600)
    assert found.quality[0] == pytest.approx(0.95)
    assert found.oee[0] == pytest.approx(0.75 * 18000 / 21600 * 0.95)


def test_faster_than_planned_is_shown_and_flagged_not_clipped():
    found = ratios(elements(pbt_s=3600, apt_s=3600, run_s=4500, made=150, good=150))
    assert found.oee[0] == pytest.approx(1.25)
    assert found.doubtful[0]


def test_a_planned_window_in_which_nothing_ran_has_oee_0_and_an_unplanned_one_has_none():
    assert ratios(elements(pbt_s=3600)).oee[0] == 0.0
    assert math.isnan(ratios(elements()).oee[0])


def test_machine_states_become_elements():
    found = machine_elements(
        item_s=np.array([[100.0, 200.0, 300.0, 3000.0]]),
        setup_s=np.array([600.0]),
        observed_s=np.array([3500.0]),
        produced=np.array([70.0]),
        scrap=np.array([3.0]),
        pri_s=np.array([30.0]),
        plan_s=np.array([3600.0]),
        window_s=3600.0,
    )
    assert (found.apt_s[0], found.aust_s[0]) == (2400.0, 600.0)
    assert (found.adet_s[0], found.adot_s[0]) == (300.0, 200.0)
    assert (found.run_s[0], found.made[0], found.good[0]) == (2100.0, 70.0, 67.0)


def test_a_line_takes_time_from_its_constraint_and_quality_from_all():
    machines = elements(
        pbt_s=[100, 100, 100], apt_s=[50, 80, 20], run_s=[40, 70, 10],
        made=[30, 28, 26], good=[28, 26, 25],
    )  # fmt: skip
    lines = LineMap(line=np.array([0, 0, 0]), constraint=np.array([1]), last=np.array([2]))
    found = line_elements(machines, np.array([2.0, 2.0, 1.0]), lines)
    assert (found.apt_s[0], found.run_s[0]) == (80, 70)
    assert (found.good[0], found.made[0]) == (25, 30)  # 25 of the 30 that went in


def test_elements_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="different lengths"):
        Elements(**{name: np.zeros(2 if name == "apt_s" else 1) for name in FIELDS})


def of_machine(seconds, parts, cycle_s=30.0, executing=1.0, scrap=0.0):
    """A machine that was planned and seen for some seconds, and executed a share of them."""
    item_s = np.array([[0.0, 0.0, (1.0 - executing) * seconds, executing * seconds]])
    return machine_elements(
        item_s=item_s,
        setup_s=np.zeros(1),
        observed_s=np.array([seconds]),
        produced=np.array([parts]),
        scrap=np.array([scrap]),
        pri_s=np.array([cycle_s]),
        plan_s=np.array([seconds]),
        window_s=seconds,
    )


def told(found):
    """Which of A, E, Q and OEE have a value."""
    every = (found.availability, found.effectiveness, found.quality, found.oee)
    return "".join(name for name, ratio in zip("AEQO", every, strict=True) if np.isfinite(ratio[0]))


@pytest.mark.parametrize(
    ("seconds", "parts", "cycle_s", "names"),
    [
        (12.0, 1.0, 30.0, ""),  # one part in 12 s of a 30 s cycle would be 250 %
        (299.0, 9.0, 30.0, ""),
        (300.0, 10.0, 30.0, "AEQO"),  # ten cycles, five minutes, ten parts
        (300.0, 9.0, 30.0, "AEO"),  # one part more moves Q by a ninth, OEE by a tenth
        (30.0, 30.0, 1.0, "Q"),  # thirty cycles, but half a minute
        (2999.0, 10.0, 300.0, "Q"),  # fifty minutes, but not yet ten cycles
        (3000.0, 9.0, 300.0, "AEO"),
    ],
)
def test_a_ratio_is_told_once_its_divisor_means_something(seconds, parts, cycle_s, names):
    assert told(ratios(of_machine(seconds, parts, cycle_s))) == names


def test_a_machine_that_hardly_ran_has_an_oee_and_no_effectiveness():
    # 60 s of 8 h, two parts: E would be 100 % of two, OEE is 60 s of 28,800 s times Q
    found = ratios(of_machine(28_800.0, 2.0, executing=60.0 / 28_800.0))
    assert told(found) == "AO"
    assert found.oee[0] == pytest.approx(60.0 / 28_800.0)


@given(st.integers(0, 400), st.floats(1.0, 3600.0), st.floats(1.0, 600.0))
def test_law_one_part_more_moves_no_ratio_that_is_told_by_more_than_a_tenth(parts, seconds, cycle):
    for scrap in (0.0, parts / 2.0):
        before = ratios(of_machine(seconds, float(parts), cycle, scrap=scrap))
        after = ratios(of_machine(seconds, parts + 1.0, cycle, scrap=scrap))
        for name in ("availability", "effectiveness", "quality", "oee"):
            old, new = getattr(before, name)[0], getattr(after, name)[0]
            if np.isfinite(old) and np.isfinite(new):
                assert abs(new - old) <= 0.1 + 1e-9


def test_a_park_waits_for_each_of_its_lines_that_works_and_for_no_other():
    young, idle = of_machine(300.0, 10.0), of_machine(0.0, 0.0)
    slow = of_machine(300.0, 1.0, cycle_s=120.0)

    def joined(*parts):
        columns = {name: [getattr(each, name)[0] for each in parts] for name in FIELDS}
        return ratios(elements(**columns).total())

    assert told(joined(young, idle)) == "AEQO"
    assert told(joined(young, slow)) == ""


AMOUNT = st.floats(300.0, 1e5)


@given(st.lists(st.tuples(AMOUNT, AMOUNT, AMOUNT, AMOUNT), min_size=1, max_size=8))
def test_law_oee_of_a_group_is_that_of_its_summed_elements(rows):
    pbt, apt, run, made = (np.array(column) for column in zip(*rows, strict=True))
    good = 0.9 * made
    lines = elements(pbt_s=pbt, apt_s=apt, run_s=run, made=made, good=good)
    whole = ratios(lines.total())
    expected = (apt.sum() / pbt.sum()) * (run.sum() / apt.sum()) * (good.sum() / made.sum())
    assert whole.oee[0] == pytest.approx(expected)


@given(st.lists(st.tuples(AMOUNT, AMOUNT), min_size=1, max_size=8), st.integers(1, 3))
def test_law_grouping_in_any_steps_gives_the_same_sums(rows, groups):
    pbt, apt = (np.array(column) for column in zip(*rows, strict=True))
    lines = elements(pbt_s=pbt, apt_s=apt)
    grouped = lines.grouped(np.arange(len(rows)) % groups, groups)
    assert grouped.total().apt_s[0] == pytest.approx(lines.total().apt_s[0])
    assert ratios(grouped.total()).availability == pytest.approx(ratios(lines.total()).availability)
