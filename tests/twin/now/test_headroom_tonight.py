"""Headroom tonight, against hand-worked evenings."""

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.bill import Grid
from twin.headroom import FINE, STEP_US, Tonight, headroom_tonight, tonight_of
from twin.park_load import park_template, planned
from twin.parkfile.schema import Calendar
from twin.samples import from_us, to_us

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = to_us(datetime(2026, 11, 23, 16, 0, tzinfo=ZONE))
NOTHING = Grid(start_us=NOW, step_us=STEP_US, steps=0)


def tonight(**more):
    given = {
        "history_kw": np.empty(0),
        "history": NOTHING,
        "rating_mva": 126.0,
        "n1_rating_mva": 63.0,
        "soc": (0.1,),
        "kvar_per_kw": 0.0,
    }
    return Tonight(**(given | more))


def flat_history(kw, days=14):
    steps = days * 96
    grid = Grid(start_us=NOW - steps * STEP_US, step_us=STEP_US, steps=steps)
    return {"history_kw": np.full(steps, kw), "history": grid}


def test_a_flat_76_mw_evening_lasts_two_hours_on_one_transformer(small_park):
    found = headroom_tonight(small_park, tonight(**flat_history(76_000.0)), NOW)
    # 76/63 = 120.6 % -> 120 min; the template still weighs two days of sixteen
    assert found.peak_mva == pytest.approx(76.0, rel=0.06)
    assert found.n1_minutes == 120.0
    assert found.p_over[0] < 0.1 < 0.5 < found.p_over[1]
    assert found.over_minutes == 7 * 60  # from 17:00 to midnight
    assert found.mva.shape == (len(found.at_us), 5)
    assert np.all(np.diff(found.mva, axis=1) >= -1e-9)


def test_the_peak_that_is_told_does_not_lie_in_the_past(small_park):
    # the forecast begins with the quarter hour that runs: it may be the highest one
    begun = 0
    for minute in range(7, 7 * 60, 15):
        now = NOW + minute * 60 * 1_000_000
        found = headroom_tonight(small_park, tonight(), now)
        assert found.at_us[0] < now <= found.peak_at_us
        assert found.peak_at_us == now or found.peak_at_us in found.at_us
        begun += found.peak_at_us == now
    assert begun


@pytest.mark.parametrize(("days", "least"), [(0, 0.05), (14, 0.05), (120, 0.025)])
def test_a_probability_is_told_as_far_as_the_days_bear_it(small_park, days, least):
    # the rule of three: never seen on 120 days is below 3/120; the band itself is drawn to 5 %
    history = flat_history(76_000.0, days=days) if days else {}
    found = headroom_tonight(small_park, tonight(**history), NOW)
    assert found.p_least == pytest.approx(least, rel=0.02)
    assert f"{100 * found.p_least:.0f} %" in found.basis.en
    assert f"{100 * found.p_least:.0f} %" in found.basis.vi


def test_a_light_evening_has_no_limit(small_park):
    found = headroom_tonight(small_park, tonight(**flat_history(40_000.0)), NOW)
    assert math.isinf(found.n1_minutes)
    assert found.over_minutes == 0.0
    assert found.enough


def test_without_a_history_it_is_estimated_and_says_so(small_park):
    found = headroom_tonight(small_park, tonight(), NOW)
    assert "Estimated" in found.basis.en
    assert "Ước tính" in found.basis.vi
    # others 60 MW at its evening share 1.0, acme 0.5 + 0.3 + 0.7 x 0.11 MW
    assert found.peak_mva == pytest.approx(60.877, rel=0.01)


def test_solar_does_not_help_after_dusk_and_the_text_says_it(small_park):
    now = to_us(datetime(2026, 11, 23, 18, 0, tzinfo=ZONE))
    found = headroom_tonight(small_park, tonight(**flat_history(76_000.0)), now)
    solar = next(action for action in found.actions if action.id == "solar")
    assert (solar.mw, solar.minutes, solar.sufficient) == (0.0, 0.0, False)
    assert "after dusk" in solar.basis.en


def test_a_full_battery_buys_minutes_and_an_empty_one_none(small_park):
    history = flat_history(76_000.0)
    full = headroom_tonight(small_park, tonight(**history, soc=(0.95,)), NOW)
    empty = headroom_tonight(small_park, tonight(**history, soc=(0.1,)), NOW)

    def battery(found):
        return next(action for action in found.actions if action.id == "battery")

    assert battery(full).minutes > 0.0
    assert battery(full).mw == pytest.approx(10.0)
    assert (battery(empty).mw, battery(empty).minutes) == (0.0, 0.0)


def test_actions_are_ranked_and_bilingual(small_park):
    given = tonight(**flat_history(76_000.0), soc=(0.9,), site_kw=(("acme", 900.0),))
    found = headroom_tonight(small_park, given, NOW)
    minutes = [action.minutes for action in found.actions]
    assert minutes == sorted(minutes, reverse=True)
    assert {a.id for a in found.actions} == {
        "battery", "solar", "shift", "transfer", "curtail:acme", "curtail:others",
    }  # fmt: skip
    assert all(a.label.vi and a.label.en and a.basis.vi and a.basis.en for a in found.actions)
    acme = next(action for action in found.actions if action.id == "curtail:acme")
    assert acme.mw == pytest.approx(0.27)
    assert not found.enough


def test_more_load_never_buys_minutes(small_park):
    before = math.inf
    for mw in (55, 62, 66, 72, 80, 90, 110):
        found = headroom_tonight(small_park, tonight(**flat_history(mw * 1e3)), NOW)
        assert found.n1_minutes <= before
        assert found.n1_minutes_low <= found.n1_minutes
        before = found.n1_minutes


def test_a_station_with_one_transformer_has_no_n_minus_1(small_park):
    given = tonight(**flat_history(20_000.0), rating_mva=63.0, n1_rating_mva=0.0)
    assert headroom_tonight(small_park, given, NOW).n1_minutes == 0.0


def test_from_eight_on_the_night_ends_at_six(small_park):
    now = to_us(datetime(2026, 11, 23, 21, 10, tzinfo=ZONE))
    found = headroom_tonight(small_park, tonight(**flat_history(50_000.0)), now)
    assert from_us(int(found.at_us[0])).astimezone(ZONE).strftime("%H:%M") == "21:00"
    assert from_us(int(found.at_us[-1])).astimezone(ZONE).strftime("%d %H:%M") == "24 05:45"


def test_the_finer_table_agrees_with_the_regulation_from_its_first_row_on():
    rows = dict(zip(FINE.loading, FINE.allowed_min, strict=True))
    assert rows[1.30] == 120.0
    assert rows[1.45] == 80.0
    assert rows[1.20] == pytest.approx(180.0)
    assert 30 * 120 == 45 * 80 == 3600


def test_what_the_figures_know_reaches_the_answer(at, small_park):
    bench = at(18)
    bench.say({f"ss1/{t}/active_power": 36_000.0 for t in ("t1", "t2")})
    bench.say({f"ss1/{t}/reactive_power": 12_000.0 for t in ("t1", "t2")})
    bench.say({"f1/active_power": 36_000.0, "f2/active_power": 36_000.0})
    bench.say({"pv1/active_power": 0.0, "bess1/active_power": 0.0, "acme/active_power": 900.0})
    bench.say({"bess1/state_of_charge": 80.0, "ss1/t1/breaker": 1.0, "ss1/t2/breaker": 1.0})
    bench.tick()
    known = tonight_of(small_park, bench.logic.book.layout, bench.logic.now, np.empty(0), NOTHING)
    assert (known.rating_mva, known.n1_rating_mva) == (pytest.approx(126.0), 63.0)
    assert known.kvar_per_kw == pytest.approx(24 / 72)
    assert known.soc == (pytest.approx(0.8),)
    assert known.site_kw == (("acme", 900.0),)
    # the station stands 24 % above one transformer now, so far as the template goes on
    assert headroom_tonight(small_park, known, bench.now_us).n1_minutes >= 80.0


def test_the_parks_template_is_its_tenants_added_up(small_park):
    template, peak_kw, kvar = park_template(small_park)
    assert peak_kw == pytest.approx(60_000 + 500 + 300 + 0.7 * 110)
    assert max(template.working) == 1.0
    assert template.provenance.status == "assumed"
    assert kvar == pytest.approx(math.tan(math.acos(0.92)))


def test_planned_quarter_hours_of_a_night_shift_wrap_around_midnight():
    plan = planned(Calendar(shifts=("22:00-06:00",), weekdays=(1, 2, 3, 4, 5)))
    assert plan[0].sum() == 32
    assert plan[0, 0] == plan[0, 95] == 1.0
    assert plan[1].sum() == 0  # Saturdays are free


def test_once_the_evening_peak_is_over_the_next_evening_counts(small_park):
    late = to_us(datetime(2026, 11, 23, 22, 29, tzinfo=ZONE))
    over = to_us(datetime(2026, 11, 23, 22, 30, tzinfo=ZONE))
    until = to_us(datetime(2026, 11, 25, 0, 0, tzinfo=ZONE))
    before = headroom_tonight(small_park, tonight(), late)
    after = headroom_tonight(small_park, tonight(), over)
    assert before.at_us[-1] + STEP_US == to_us(datetime(2026, 11, 24, 6, 0, tzinfo=ZONE))
    assert after.at_us[-1] + STEP_US == until
    assert after.peak_at_us >= to_us(datetime(2026, 11, 24, 17, 0, tzinfo=ZONE))
