"""Loads by template, simulated and forecast."""

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bill import Grid
from models.errors import InputError, NotFound
from models.load import (
    SPREAD,
    Calendar,
    DayKind,
    forecast_load,
    load_template,
    load_templates,
    noisy_paths_kw,
    places,
    template_load_kw,
)
from models.sourced import Status

VN = Calendar(
    zone="Asia/Ho_Chi_Minh",
    holidays=frozenset({date(2026, 9, 2)}),
    swapped=frozenset({date(2026, 9, 5)}),
)
MIX = load_template("light_industry")
QUARTER_US = 900_000_000
MONDAY_US = 1_788_109_200_000_000  # 2026-08-31 00:00 at +07:00
DAY = 96


def days(first: int, count: int) -> Grid:
    return Grid(
        start_us=MONDAY_US + first * DAY * QUARTER_US, step_us=QUARTER_US, steps=count * DAY
    )


def truth(grid: Grid) -> np.ndarray:
    """A tenant of 800 kW that starts an hour later than its sector."""
    return np.roll(template_load_kw(MIX, 800.0, grid, VN), 4)


def test_every_step_finds_its_day_and_quarter():
    kinds, slots = places(days(0, 7), VN)
    names = [DayKind(kinds[i * DAY]).name for i in range(7)]
    # Monday 31 August; Wednesday 2 September is a holiday, Saturday 5 a swapped working day
    assert names == ["WORKING", "WORKING", "HOLIDAY", "WORKING", "WORKING", "WORKING", "SUNDAY"]
    assert slots[:DAY].tolist() == list(range(DAY))
    hourly = Grid(start_us=MONDAY_US, step_us=4 * QUARTER_US, steps=3)
    assert places(hourly, VN)[1].tolist() == [2, 6, 10]
    assert places(Grid(start_us=0, step_us=1, steps=0), VN)[0].shape == (0,)


def test_every_template_is_an_assumption_with_a_peak_of_one():
    templates = load_templates()
    assert {"textile", "electronics", "plastics", "metal", "wood", "food"} <= set(templates)
    for template in templates.values():
        assert template.provenance.status is Status.ASSUMED
        shares = template.shares()
        assert 0.95 <= shares.max() <= 1.0
        working, saturday, sunday, holiday = shares.sum(axis=1)
        assert working >= saturday >= sunday >= holiday > 0.0
    with pytest.raises(NotFound, match="did you mean 'textile'"):
        load_template("textiles")


def test_a_template_load_scales_with_its_peak():
    load = template_load_kw(MIX, 1000.0, days(0, 1), VN)
    assert load.max() == pytest.approx(1000.0, rel=0.05)
    assert template_load_kw(MIX, 500.0, days(0, 1), VN) == pytest.approx(load / 2)


def test_without_a_history_the_forecast_is_the_template_and_says_so():
    nothing = forecast_load(
        [], Grid(start_us=0, step_us=QUARTER_US, steps=0), MIX, days(0, 1), VN, peak_kw=900.0
    )
    assert nothing.estimated
    assert nothing.measured_days == 0.0
    assert nothing.expected_kw == pytest.approx(template_load_kw(MIX, 900.0, days(0, 1), VN))
    assert nothing.band_kw[1] == pytest.approx(nothing.expected_kw)
    ratio = nothing.band_kw[2] / nothing.expected_kw
    assert ratio == pytest.approx(np.full(DAY, np.exp(1.2815516 * SPREAD)))


def test_with_three_weeks_it_learns_the_tenants_own_shape_and_beats_the_template():
    past, future = days(-21, 21), days(0, 7)
    noise = noisy_paths_kw(np.ones(28 * DAY), 900.0, spread=0.05, seed=1, replications=[0], key=2)
    seen = truth(past) * noise[0][: 21 * DAY]
    coming = truth(future) * noise[0][21 * DAY :]
    forecast = forecast_load(seen, past, MIX, future, VN, peak_kw=500.0)
    assert not forecast.estimated
    assert forecast.measured_days == pytest.approx(21.0)
    template = template_load_kw(MIX, 800.0, future, VN)
    working = places(future, VN)[0] == DayKind.WORKING
    error = np.abs(forecast.expected_kw - coming)[working].mean()
    assert error < 0.6 * np.abs(template - coming)[working].mean()
    inside = (coming >= forecast.band_kw[0]) & (coming <= forecast.band_kw[2])
    assert 0.6 < inside[working].mean() <= 1.0
    assert forecast.spread < SPREAD


def test_the_level_of_the_last_hour_lifts_the_next_and_is_forgotten():
    past, future = days(-21, 21), days(0, 2)
    seen = truth(past)
    seen[-4:] *= 1.3
    lifted = forecast_load(seen, past, MIX, future, VN, peak_kw=800.0)
    plain = forecast_load(truth(past), past, MIX, future, VN, peak_kw=800.0)
    ratio = lifted.expected_kw / plain.expected_kw
    assert ratio[0] > 1.15
    assert ratio[-1] == pytest.approx(1.0, abs=0.02)
    assert np.all(np.diff(ratio[:90]) < 1e-3)


def test_gaps_and_a_dead_meter_do_no_harm():
    past, future = days(-7, 7), days(0, 1)
    seen = truth(past)
    seen[100:300] = np.nan
    forecast = forecast_load(seen, past, MIX, future, VN, peak_kw=800.0)
    assert forecast.measured_days == pytest.approx(7 - 200 / DAY)
    dead = forecast_load(np.zeros(7 * DAY), past, MIX, future, VN, peak_kw=800.0)
    assert np.all(np.isfinite(dead.band_kw))
    assert dead.expected_kw.max() < 1.0
    silent = forecast_load(np.full(7 * DAY, np.nan), past, MIX, future, VN, peak_kw=800.0)
    assert silent.estimated
    assert silent.expected_kw == pytest.approx(template_load_kw(MIX, 800.0, future, VN))


@given(seed=st.integers(0, 500), level=st.floats(0.5, 20_000.0), known=st.integers(0, 10 * DAY))
@settings(deadline=None, max_examples=25)
def test_bands_are_ordered_finite_and_scale_with_the_load(seed, level, known):
    past, future = days(-10, 10), days(0, 1)
    seen = truth(past) * np.random.default_rng(seed).lognormal(0.0, 0.2, 10 * DAY)
    seen[: 10 * DAY - known] = np.nan
    one = forecast_load(seen, past, MIX, future, VN, peak_kw=800.0)
    many = forecast_load(seen * level, past, MIX, future, VN, peak_kw=800.0 * level)
    assert np.all(np.isfinite(one.band_kw))
    assert np.all(np.diff(one.band_kw, axis=0) >= 0.0)
    assert many.band_kw == pytest.approx(one.band_kw * level, rel=1e-9)


def test_paths_have_the_expected_course_as_their_median():
    expected = template_load_kw(MIX, 1000.0, days(0, 1), VN)
    paths = noisy_paths_kw(expected, 900.0, spread=0.1, seed=3, replications=range(2000), key=9)
    assert np.median(paths, axis=0) == pytest.approx(expected, rel=0.015)
    assert np.log(paths / expected).std() == pytest.approx(0.1, rel=0.05)
    known = noisy_paths_kw(
        expected, 900.0, spread=0.1, seed=3, replications=range(500), key=9, start=2.0
    )
    assert np.median(known[:, 0]) > np.median(known[:, -1])


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="give one per step"):
        forecast_load([1.0], days(0, 1), MIX, days(1, 1), VN, peak_kw=1.0)
    with pytest.raises(InputError, match="rising"):
        forecast_load(
            np.ones(DAY), days(0, 1), MIX, days(1, 1), VN, peak_kw=1.0, quantiles=(0.9, 0.1)
        )
    with pytest.raises(InputError, match="peak"):
        template_load_kw(MIX, -1.0, days(0, 1), VN)
