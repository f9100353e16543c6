"""Intervals cover, comparisons have the right sign, and verdicts need data."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.errors import InputError
from models.statistics import (
    Better,
    Verdict,
    bands,
    compare_paired,
    enough,
    mean_interval,
    quantile_interval,
    replications_wanted,
    share_interval,
    student_t,
    warm_up_cut,
)

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=40)


def test_worked_t_interval():
    # mean 3, s = sqrt(2.5), t(0.975, 4) = 2.776: half width 2.776 * 1.5811 / 2.2361 = 1.963
    interval = mean_interval([1, 2, 3, 4, 5])
    assert (interval.mean, interval.n) == (3.0, 5)
    assert interval.half_width == pytest.approx(1.963, abs=5e-4)
    assert student_t(0.95, 4) == pytest.approx(2.7764451)


def test_one_replication_says_nothing_about_its_spread():
    interval = mean_interval([7.0])
    assert (interval.low, interval.high) == (-math.inf, math.inf)


@given(values=SAMPLES)
def test_the_interval_equals_scipys(values):
    ours = mean_interval(values)
    spread = np.std(values, ddof=1)
    if spread > 1e-9:
        low, high = stats.t.interval(
            0.95, len(values) - 1, loc=np.mean(values), scale=spread / np.sqrt(len(values))
        )
        assert (ours.low, ours.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(("n", "bound"), [(1, 0.95), (64, 0.0457), (300, 0.00994)])
def test_what_was_never_seen_has_a_probability_below_about_three_over_n(n, bound):
    # 1 - 0.05^(1/n): 3/64 = 0.0469, 3/300 = 0.01
    never, always = share_interval(np.zeros(n)), share_interval(np.ones(n))
    assert (never.mean, never.low, never.high) == (0.0, 0.0, pytest.approx(bound, rel=1e-2))
    assert (always.mean, always.low, always.high) == (1.0, pytest.approx(1 - never.high), 1.0)


@given(n=st.integers(2, 200), data=st.data())
def test_the_interval_of_a_share_equals_scipys(n, data):
    yes = data.draw(st.integers(1, n - 1))
    ours = share_interval([1.0] * yes + [0.0] * (n - yes))
    exact = stats.binomtest(yes, n).proportion_ci(0.95, "exact")
    assert (ours.low, ours.high) == (pytest.approx(exact.low), pytest.approx(exact.high))


def test_the_interval_of_a_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(5)
    for p in (0.01, 0.05, 0.5, 0.97):
        told = [share_interval(row) for row in (rng.random((1500, 64)) < p).astype(float)]
        assert np.mean([i.low <= p <= i.high for i in told]) >= 0.94


def test_a_share_is_made_of_yes_and_no():
    with pytest.raises(InputError, match="0 and 1"):
        share_interval([0.0, 0.5])


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(3)
    draws = rng.exponential(size=(4000, 40))
    means = [mean_interval(row) for row in draws]
    assert np.mean([i.low <= 1.0 <= i.high for i in means]) == pytest.approx(0.93, abs=0.025)
    medians = [quantile_interval(row, 0.9) for row in draws]
    covered = np.mean([i.low <= math.log(10) <= i.high for i in medians])
    assert covered >= 0.95


def test_order_statistics_of_the_median_of_ten():
    # P(X <= 1) with X ~ B(10, 1/2) is 0.0107 <= 0.025, P(X <= 2) = 0.0547: the 2nd and the 9th
    interval = quantile_interval(range(1, 11), 0.5)
    assert (interval.low, interval.high) == (2.0, 9.0)
    assert quantile_interval(range(1, 11), 0.95).high == math.inf


def test_p_better_knows_the_direction():
    branch, reference = np.arange(10.0) + 2.0, np.arange(10.0)
    higher = compare_paired(branch, reference, better=Better.HIGHER, material=1.0)
    lower = compare_paired(branch, reference, better=Better.LOWER, material=1.0)
    assert higher.p_better == pytest.approx(11 / 12)
    assert lower.p_better == pytest.approx(1 / 12)
    assert (higher.verdict, lower.verdict) == (Verdict.CLEARLY_BETTER, Verdict.CLEARLY_WORSE)
    assert higher.difference.mean == 2.0


@pytest.mark.parametrize(
    ("difference", "spread", "material", "verdict"),
    [
        (0.0, 0.1, 1.0, Verdict.ABOUT_SAME),
        (0.0, 10.0, 1.0, Verdict.NOT_ENOUGH_DATA),
        (0.6, 0.1, 1.0, Verdict.ABOUT_SAME),
        (5.0, 1.0, 1.0, Verdict.CLEARLY_BETTER),
        (-5.0, 1.0, 1.0, Verdict.CLEARLY_WORSE),
        (0.0, 0.0, 0.0, Verdict.ABOUT_SAME),
        (0.9, 0.4, 1.0, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_verdicts(difference, spread, material, verdict):
    noise = spread * np.array([-1.0, 1.0] * 8)
    paired = compare_paired(
        difference + noise, np.zeros(16), better=Better.HIGHER, material=material
    )
    assert paired.verdict is verdict


def test_four_replications_are_never_a_verdict():
    paired = compare_paired([9.0] * 4, [0.0] * 4, better=Better.HIGHER, material=0.1)
    assert paired.verdict is Verdict.NOT_ENOUGH_DATA


@given(values=SAMPLES, others=SAMPLES)
def test_swapping_the_branches_mirrors_the_comparison(values, others):
    n = min(len(values), len(others))
    a, b = values[:n], others[:n]
    one = compare_paired(a, b, better=Better.LOWER, material=1.0)
    other = compare_paired(b, a, better=Better.LOWER, material=1.0)
    assert one.difference.mean == -other.difference.mean
    assert one.p_better + other.p_better == pytest.approx(1.0)


def test_the_warm_up_is_found_and_a_steady_run_keeps_all():
    rng = np.random.default_rng(5)
    steady = rng.normal(10.0, 1.0, 1000)
    ramp = np.concatenate((np.linspace(0.0, 10.0, 200), rng.normal(10.0, 1.0, 800)))
    assert 150 <= warm_up_cut(ramp) <= 230
    assert warm_up_cut(np.full(100, 3.0)) == 0
    assert warm_up_cut(steady) <= 500
    assert warm_up_cut([1.0, 2.0]) == 0


def test_the_warm_up_equals_the_definition():
    values = np.random.default_rng(6).exponential(size=100)
    means = values.reshape(20, 5).mean(axis=1)
    by_definition = [np.sum((means[d:] - means[d:].mean()) ** 2) / (20 - d) ** 2 for d in range(11)]
    assert warm_up_cut(values) == int(np.argmin(by_definition)) * 5


def test_it_stops_at_the_wanted_half_width_and_not_before():
    values = np.array([-1.0, 1.0] * 50)
    assert enough(values, 0.2)
    assert not enough(values, 0.19)
    assert not enough([1.0] * 9, 0.5)
    assert replications_wanted(values, 0.1) == pytest.approx(4 * 100, rel=0.05)
    assert replications_wanted([3.0], 0.1) == 5
    with pytest.raises(InputError):
        replications_wanted(values, 0.0)


def test_bands_are_simulated_values_and_ordered():
    paths = np.random.default_rng(1).poisson(4.0, size=(64, 96))
    low, middle, high = bands(paths)
    assert np.all(low <= middle)
    assert np.all(middle <= high)
    assert np.all(low == np.round(low))
    assert bands([[1, 2], [3, 4]], (0.5,)).tolist() == [[1.0, 2.0]]


def test_bad_samples_are_refused():
    with pytest.raises(InputError, match="missing"):
        mean_interval([1.0, np.nan])
    with pytest.raises(InputError, match="at least one"):
        mean_interval([])
    with pytest.raises(InputError, match="same replications"):
        compare_paired([1.0], [1.0, 2.0], better=Better.LOWER, material=0.0)
    with pytest.raises(InputError, match="material"):
        compare_paired([1.0], [1.0], better=Better.LOWER, material=np.nan)
    with pytest.raises(InputError, match="missing"):
        bands([[np.nan]])
    with pytest.raises(InputError, match="between 0 and 1"):
        quantile_interval([1.0], 1.5)
