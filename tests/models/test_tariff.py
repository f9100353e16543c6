"""Tariffs are dated data, and a bill adds up to the dong."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bill import Grid, bill, dong, prices, share_of_steps, slots, split_kwh
from models.emissions import grid_factors_vn
from models.errors import InputError, InvalidInput, NotFound
from models.reactive import charge_coefficient, power_factor
from models.sourced import Status
from models.tariff import DayWindows, Window, known_tariffs, tariff_from, tariff_named

VN = timezone(timedelta(hours=7))
ONE = tariff_named("vn_industrial_one_part")
QUARTER_US = 15 * 60 * 1_000_000


def us(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=VN).timestamp()) * 1_000_000


def grid(start_us: int, hours: float, minutes: int = 15) -> Grid:
    return Grid(start_us=start_us, step_us=minutes * 60_000_000, steps=round(hours * 60 / minutes))


def steady(tariff_grid: Grid, kw: float) -> np.ndarray:
    return np.full(tariff_grid.steps, kw * tariff_grid.step_h)


def test_a_working_day_under_the_windows_of_april_2026():
    # Monday 2026-06-01, 1,000 kW all day at 22 kV: off-peak 00-06 = 6 h, peak 17:30-22:30 = 5 h,
    # normal 13 h: 6,000 * 1,190 + 5,000 * 3,398 + 13,000 * 1,833 = 7.14 + 16.99 + 23.829 M
    day = grid(us(2026, 6, 1), 24)
    paid = bill(ONE, day, steady(day, 1000.0), 22.0)
    assert {line.item: line.amount_vnd for line in paid.lines} == {
        "normal": 23_829_000,
        "peak": 16_990_000,
        "off_peak": 7_140_000,
    }
    assert paid.net_vnd == 47_959_000
    assert paid.vat_vnd == 3_836_720
    assert paid.total_vnd == 51_795_720
    assert paid.voltage_class == "22 kV to below 110 kV"


def test_the_same_day_under_the_old_windows_at_110_kv():
    # Monday 2026-04-20: peak 09:30-11:30 + 17-20 = 5 h, off-peak 22-04 = 6 h, normal 13 h
    # 13,000 * 1,811 + 5,000 * 3,266 + 6,000 * 1,146 = 23.543 + 16.33 + 6.876 M
    day = grid(us(2026, 4, 20), 24)
    paid = bill(ONE, day, steady(day, 1000.0), 110.0)
    assert [line.amount_vnd for line in paid.lines] == [23_543_000, 16_330_000, 6_876_000]


def test_a_sunday_has_no_peak_and_a_holiday_follows_its_weekday():
    sunday = grid(us(2026, 6, 7), 24)
    assert split_kwh(ONE, sunday, steady(sunday, 100.0)) == pytest.approx(
        {Window.NORMAL: 1800.0, Window.PEAK: 0.0, Window.OFF_PEAK: 600.0}
    )
    national_day = grid(us(2026, 9, 2), 24)
    holidays = frozenset({date(2026, 9, 2)})
    assert split_kwh(ONE, national_day, steady(national_day, 100.0), holidays)[
        Window.PEAK
    ] == pytest.approx(500.0)


def test_windows_changed_inside_the_billing_month():
    # 2026-04-20 (Mon) to 23 (Thu): two old days, two new days, 100 kW at 10 kV (6-<22 kV class)
    # old per day: 1,300 * 1,899 + 500 * 3,508 + 600 * 1,234 (kWh); new per day: the same hours
    four = grid(us(2026, 4, 20), 96)
    paid = bill(ONE, four, steady(four, 100.0), 10.0)
    assert [(line.item, line.first, line.last) for line in paid.lines] == [
        ("normal", date(2026, 4, 20), date(2026, 4, 21)),
        ("peak", date(2026, 4, 20), date(2026, 4, 21)),
        ("off_peak", date(2026, 4, 20), date(2026, 4, 21)),
        ("normal", date(2026, 4, 22), date(2026, 4, 23)),
        ("peak", date(2026, 4, 22), date(2026, 4, 23)),
        ("off_peak", date(2026, 4, 22), date(2026, 4, 23)),
    ]
    per_two_days = [2_600 * 1899, 1_000 * 3508, 1_200 * 1234]
    assert [line.amount_vnd for line in paid.lines] == per_two_days * 2
    assert paid.total_vnd == 2 * sum(per_two_days) + dong(2 * sum(per_two_days) * 0.08)


def test_vat_changes_at_new_year_inside_one_bill():
    # 2026-12-31 is a Thursday, 2027-01-01 a Friday: the same hours, 8 % and 10 % VAT
    two = grid(us(2026, 12, 31), 48)
    paid = bill(ONE, two, steady(two, 1000.0), 22.0)
    assert paid.vat_vnd == dong(47_959_000 * 0.08) + dong(47_959_000 * 0.10)


@pytest.mark.parametrize(
    ("at", "window"),
    [
        ((2026, 6, 1, 17, 29), Window.NORMAL),
        ((2026, 6, 1, 17, 30), Window.PEAK),
        ((2026, 6, 1, 22, 29), Window.PEAK),
        ((2026, 6, 1, 22, 30), Window.NORMAL),
        ((2026, 6, 1, 0, 0), Window.OFF_PEAK),
        ((2026, 6, 7, 18, 0), Window.NORMAL),
        ((2026, 4, 21, 22, 0), Window.OFF_PEAK),
        ((2026, 4, 21, 23, 59), Window.OFF_PEAK),
        ((2026, 4, 22, 3, 0), Window.OFF_PEAK),
        ((2026, 4, 22, 4, 0), Window.OFF_PEAK),
        ((2026, 4, 22, 10, 0), Window.NORMAL),
        ((2026, 4, 21, 10, 0), Window.PEAK),
    ],
)
def test_every_minute_falls_into_its_window(at, window):
    minute = Grid(start_us=us(*at), step_us=60_000_000, steps=1)
    assert split_kwh(ONE, minute, [1.0])[window] == 1.0


def test_an_hour_across_the_start_of_the_peak_is_split_to_the_minute():
    hour = Grid(start_us=us(2026, 6, 1, 17, 10), step_us=3_600_000_000, steps=1)
    shares = split_kwh(ONE, hour, [60.0])
    assert shares == pytest.approx({Window.NORMAL: 20.0, Window.PEAK: 40.0, Window.OFF_PEAK: 0.0})
    assert prices(ONE, hour, 22.0)[0] == pytest.approx((20 * 1833 + 40 * 3398) / 60)


@given(
    start_min=st.integers(0, 40 * 24 * 60),
    step_min=st.sampled_from([1, 7, 15, 30, 60, 97]),
    kwh=st.lists(st.floats(0, 1e4), min_size=1, max_size=60),
)
def test_registers_add_up_and_slots_adjoin_wherever_the_series_starts(start_min, step_min, kwh):
    series = Grid(
        start_us=us(2026, 4, 1) + start_min * 60_000_000,
        step_us=step_min * 60_000_000,
        steps=len(kwh),
    )
    assert sum(split_kwh(ONE, series, kwh).values()) == pytest.approx(sum(kwh), abs=1e-6)
    cut = slots(ONE, series, 22.0)
    assert all(a.end_us == b.start_us for a, b in pairwise(cut))
    assert cut[0].start_us <= series.start_us
    assert cut[-1].end_us >= series.end_us
    assert share_of_steps(series, list(cut)) == pytest.approx(np.ones(series.steps))
    paid = bill(ONE, series, kwh, 22.0)
    assert paid.total_vnd == sum(line.amount_vnd for line in paid.lines) + paid.vat_vnd


def test_the_draft_two_part_tariff_bills_the_largest_half_hour():
    # two quarters of 900 and 1,100 kW make a half hour of 1,000 kW: 1,000 * 235,414 VND
    two = tariff_named("vn_industrial_two_part_pilot")
    hour = grid(us(2026, 7, 1, 8), 1)
    paid = bill(two, hour, [225.0, 275.0, 100.0, 100.0], 22.0)
    capacity = next(line for line in paid.lines if line.item == "capacity")
    assert (capacity.quantity, capacity.amount_vnd) == (1000.0, 235_414_000)
    with pytest.raises(InputError, match="half hours"):
        bill(two, grid(us(2026, 7, 1, 8), 1, 20), [1.0, 1.0, 1.0], 22.0)


def test_what_has_no_edition_is_refused_with_the_days_that_are_known():
    with pytest.raises(InputError, match="known are 2025-05-10"):
        ONE.prices_on(date(2024, 1, 1))
    with pytest.raises(NotFound, match="did you mean 'vn_industrial_one_part'"):
        tariff_named("vn_industrial_onepart")
    day = grid(us(2026, 6, 1), 1)
    with pytest.raises(InputError, match="negative or missing"):
        bill(ONE, day, [1.0, np.nan, 1.0, 1.0], 22.0)
    with pytest.raises(InputError, match="for 4 steps"):
        bill(ONE, day, [1.0], 22.0)


def test_every_shipped_figure_names_its_source_and_status():
    for tariff in known_tariffs().values():
        for edition in (*tariff.prices, *tariff.windows, *tariff.vat, *tariff.surplus):
            assert edition.provenance.source
            assert edition.provenance.status in Status
    assert ONE.surplus_on(date(2026, 6, 25)).share == 0.20
    assert ONE.surplus_on(date(2026, 6, 26)).share == 0.50


@pytest.mark.parametrize(
    ("windows", "fault"),
    [
        ({"normal": ["06:00-24:00"], "off_peak": ["00:00-05:00"]}, "a gap at 05:00"),
        ({"normal": ["06:00-24:00"], "off_peak": ["00:00-07:00"]}, "an overlap at 06:00"),
        ({"normal": ["00:00-23:00"]}, "ends at 23:00"),
        ({"normal": ["0-24"]}, "no time of day"),
        ({"normal": ["all day"]}, "no span"),
        ({"normal": ["00:00-24:01"]}, "no time of day"),
    ],
)
def test_windows_must_cover_the_day_once(windows, fault):
    with pytest.raises(ValueError, match=fault):
        DayWindows(**{name: tuple(texts) for name, texts in windows.items()})


def test_a_faulty_tariff_lists_every_fault_with_its_path():
    provenance = {"source": "a", "dated": "2026-01-01", "status": "sure"}
    day = {"normal": ["00:00-24:00"], "pek": []}
    data = {
        "id": "t",
        "label": {},
        "zone": "Asia/Ho_Chi_Minh",
        "prices": [],
        "vat": [],
        "windows": [
            {
                "effective_from": "2026-01-01",
                "effective_to": None,
                "days": {"working": day, "sunday": {"normal": ["00:00-24:00"]}},
                "provenance": provenance,
            }
        ],
    }
    with pytest.raises(InvalidInput) as caught:
        tariff_from(data, "my.yaml")
    paths = {problem.path for problem in caught.value.problems}
    assert paths == {"windows.0.days.working.pek", "windows.0.provenance.status"}


def test_overlapping_editions_are_refused():
    vat = {
        "effective_from": "2026-01-01",
        "effective_to": None,
        "rate": 0.08,
        "provenance": {"source": "a", "dated": None, "status": "assumed"},
    }
    data = {"id": "t", "label": {}, "zone": "UTC", "prices": [], "windows": []}
    with pytest.raises(InvalidInput, match="overlaps the one from 2026-02-01"):
        tariff_from(data | {"vat": [vat, vat | {"effective_from": "2026-02-01"}]})


def test_reactive_power_is_charged_as_the_circular_works_it_out():
    assert charge_coefficient(0.85, 100.0) == pytest.approx(0.0588, abs=5e-5)
    assert charge_coefficient(0.80, 100.0) == pytest.approx(0.125)
    assert charge_coefficient(0.59, 100.0) == 0.5254
    assert charge_coefficient(0.90, 100.0) == 0.0
    assert charge_coefficient(0.50, 39.9) == 0.0
    assert power_factor(300.0, 400.0) == pytest.approx(0.6)
    assert power_factor(0.0, 0.0) == 1.0
    with pytest.raises(InputError):
        charge_coefficient(1.01, 100.0)
    day = grid(us(2026, 6, 1), 24)
    paid = bill(ONE, day, steady(day, 1000.0), 22.0, reactive_k=0.125)
    assert paid.lines[-1].amount_vnd == dong(47_959_000 * 0.125)
    assert paid.net_vnd == 47_959_000 + 5_994_875


def test_emission_factors_carry_their_year():
    table = grid_factors_vn()
    assert table.newest(2026).year == 2023
    assert table.newest(2026).kgco2e_kwh == 0.6592
    assert table.of(2025).official is False
    with pytest.raises(InputError, match="starts in 2014"):
        table.newest(2010)
    with pytest.raises(InputError, match="known are"):
        table.of(2030)


def test_a_zone_with_summer_time_has_days_of_23_hours():
    provenance = {"source": "a", "dated": None, "status": "assumed"}
    term = {"effective_from": "2026-01-01", "effective_to": None, "provenance": provenance}
    flat = {
        "name": "all",
        "from_kv": 0,
        "below_kv": None,
        "normal_vnd_kwh": 1,
        "peak_vnd_kwh": 2,
        "off_peak_vnd_kwh": 3,
    }
    days = {
        "working": {"normal": ["00:00-24:00"]},
        "sunday": {"normal": ["06:00-24:00"], "off_peak": ["00:00-06:00"]},
    }
    tariff = tariff_from(
        {
            "id": "t",
            "label": {},
            "zone": "Europe/Berlin",
            "prices": [term | {"classes": [flat]}],
            "windows": [term | {"days": days}],
            "vat": [term | {"rate": 0.2}],
        }
    )
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)  # 2026-03-29 00:00 in Berlin, a Sunday
    day = Grid(start_us=int(start.timestamp()) * 1_000_000, step_us=QUARTER_US, steps=92)
    assert split_kwh(tariff, day, np.full(92, 0.25)) == pytest.approx(
        {Window.NORMAL: 18.0, Window.PEAK: 0.0, Window.OFF_PEAK: 5.0}
    )


def two_part(*prices_vnd: tuple[str, str | None, float]):
    """A tariff that has nothing but capacity prices."""
    provenance = {"source": "a", "dated": None, "status": "assumed"}
    always = {"effective_from": "2026-01-01", "effective_to": None, "provenance": provenance}
    free = {"name": "all", "from_kv": 0, "below_kv": None}
    free |= dict.fromkeys(("normal_vnd_kwh", "peak_vnd_kwh", "off_peak_vnd_kwh"), 0)
    whole = {"normal": ["00:00-24:00"]}
    prices = [
        {
            "effective_from": first,
            "effective_to": end,
            "provenance": provenance,
            "classes": [free | {"capacity_vnd_kw_month": price}],
        }
        for first, end, price in prices_vnd
    ]
    return tariff_from(
        {
            "id": "t",
            "label": {},
            "zone": "Asia/Ho_Chi_Minh",
            "prices": prices,
            "windows": [always | {"days": {"working": whole, "sunday": whole}}],
            "vat": [always | {"rate": 0.1}],
        }
    )


def capacity_lines(tariff, days, kw):
    return [
        line for line in bill(tariff, days, steady(days, kw), 22.0).lines if line.item == "capacity"
    ]


def test_a_capacity_price_that_begins_inside_a_month_is_paid_for_its_days():
    # 29 of 30 days of November at 200,000 VND/kW: 1,000 * 200,000 * 29 / 30 = 193,333,333.33
    tariff = two_part(("2026-01-01", "2026-11-02", 0.0), ("2026-11-02", None, 200_000.0))
    (line,) = capacity_lines(tariff, grid(us(2026, 11, 1), 30 * 24, 30), 1000.0)
    assert (line.first, line.last) == (date(2026, 11, 2), date(2026, 11, 30))
    assert (line.quantity, line.price_vnd, line.amount_vnd) == (1000.0, 200_000.0, 193_333_333)
    assert line.share == pytest.approx(29 / 30)


@given(change=st.integers(2, 30), kw=st.floats(0.0, 1e5), price=st.integers(1, 500_000))
def test_an_edition_with_the_same_price_changes_no_capacity_amount(change, kw, price):
    day = f"2026-11-{change:02d}"
    month = grid(us(2026, 11, 1), 30 * 24, 30)
    one = capacity_lines(two_part(("2026-01-01", None, price)), month, kw)
    two = capacity_lines(two_part(("2026-01-01", day, price), (day, None, price)), month, kw)
    assert [len(one), len(two)] == [1, 2]
    assert sum(line.share for line in two) == pytest.approx(1.0)
    # each line is rounded to whole dong by itself
    assert sum(line.amount_vnd for line in two) == pytest.approx(one[0].amount_vnd, abs=1, rel=0)
