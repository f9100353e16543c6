"""ISO 22400: ratios from sums of elements."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from twin.oee import Elements, LineMap, line_elements, machine_elements, ratios

FIELDS = (
    "pbt_s", "apt_s", "aust_s", "adet_s", "adot_s", "run_s", "made", "good", "observed_s",
    "window_s",
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
        pbt_s=np.array([3600.0]),
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


AMOUNT = st.floats(1.0, 1e5)


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
