"""KPIs and energy of any window, from rollups written by hand."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from models.errors import InputError
from twin.energy import ENERGY, STEP_US, energy_table, energy_tags
from twin.kpi import KPI_LIST, KPIS, kpi_tags, kpis, partly_observed, piece_us, state_tags
from twin.memory.windows import WINDOWS
from twin.samples import TIME, to_us
from twin.tags import TagDictionary

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
HOUR_US = 3_600_000_000
SIX = to_us(datetime(2026, 11, 23, 6, 0, tzinfo=ZONE))


@pytest.fixture(scope="module")
def dictionary(small_park):
    found = TagDictionary()
    found.add_rows(found.plan(small_park.bindings, 0)[0])
    return found


def rollup(dictionary, rows):
    """A table of rollups; each row: path, start, columns."""
    empty = dict.fromkeys(WINDOWS.names)
    plain = [
        empty
        | {"tag": dictionary.of_path(f"p/{path}").tag, "at": at, "n": 1, "good_n": 1}
        | columns
        for path, at, columns in rows
    ]
    arrays = [
        pa.array([row[f.name] for row in plain], pa.int64() if f.type == TIME else f.type).cast(
            f.type
        )
        for f in WINDOWS
    ]
    return pa.table(arrays, schema=WINDOWS)


def state(**seconds):
    codes = [int(name[1:]) for name in seconds]
    return {"codes": codes, "code_s": list(seconds.values()), "good_s": sum(seconds.values())}


def line_rows(at, executing=3600.0, parts=100.0, scrap=5.0):
    m1, m2 = "acme/hall/l1/m1", "acme/hall/l1/m2"
    return [
        (f"{m1}/item_state", at, state(c3=executing, c1=3600.0 - executing)),
        (f"{m1}/operation_mode", at, state(c3=3000.0, c2=600.0)),
        (f"{m1}/part_count", at, {"increase": parts}),
        (f"{m1}/scrap_count", at, {"increase": scrap}),
        (f"{m2}/item_state", at, state(c3=1800.0, c2=1800.0)),
        (f"{m2}/part_count", at, {"increase": parts - scrap}),
        (f"{m2}/scrap_count", at, {"increase": 0.0}),
    ]


def value(table, asset, kpi, at=SIX):
    rows = table.to_pylist()
    row = next(r for r in rows if (r["asset"], r["kpi"]) == (asset, kpi) and to_us(r["at"]) == at)
    return row["value"], row["quality"]


def test_kpis_of_one_hour_by_hand(small_park, dictionary):
    rows = rollup(dictionary, line_rows(SIX))
    table = kpis(small_park, dictionary, rows, since_us=SIX, until_us=SIX + HOUR_US)
    assert table.schema == KPIS
    line = "acme/hall/l1"
    # APT = 3600 - 600 set-up = 3000 of 3600 planned; PRI·PQ = 3000; Q = 95 / 100
    assert value(table, line, "availability")[0] == pytest.approx(100 * 3000 / 3600)
    assert value(table, line, "effectiveness")[0] == pytest.approx(100.0)
    assert value(table, line, "quality_ratio")[0] == pytest.approx(95.0)
    assert value(table, line, "oee") == (pytest.approx(100 * 3000 / 3600 * 0.95), 0)
    assert value(table, line, "nee")[0] == pytest.approx(95.0)
    assert value(table, line, "setup_ratio")[0] == pytest.approx(100 / 6)
    assert value(table, line, "throughput_rate")[0] == pytest.approx(100.0)
    assert value(table, line, "good_quantity")[0] == 95.0
    assert value(table, "", "oee") == value(table, "acme", "oee") == value(table, line, "oee")


def test_kpis_of_a_longer_window_come_from_sums(small_park, dictionary):
    first = line_rows(SIX, executing=3600.0, parts=100.0, scrap=0.0)
    second = line_rows(SIX + HOUR_US, executing=1200.0, parts=10.0, scrap=8.0)
    split = kpis(
        small_park,
        dictionary,
        rollup(dictionary, first + second),
        since_us=SIX,
        until_us=SIX + 2 * HOUR_US,
        every_us=HOUR_US,
    )
    assert len(split) == 2 * 3 * len(KPI_LIST)
    assert value(split, "acme/hall/l1", "quality_ratio", SIX + HOUR_US)[0] == pytest.approx(20.0)


def test_too_little_observed_is_uncertain_and_too_fast_is_flagged(small_park, dictionary):
    rows = line_rows(SIX, parts=130.0)
    rows[0] = ("acme/hall/l1/m1/item_state", SIX, state(c3=1800.0))
    table = kpis(
        small_park, dictionary, rollup(dictionary, rows), since_us=SIX, until_us=SIX + HOUR_US
    )
    assert value(table, "acme/hall/l1", "availability")[1] == 1
    assert value(table, "acme/hall/l1", "effectiveness")[0] > 100.0


@pytest.mark.parametrize(
    ("kpi", "quality"), [("effectiveness", 1), ("oee", 1), ("nee", 1), ("availability", 0)]
)
def test_a_planned_cycle_that_is_too_long_makes_all_that_rest_on_it_doubtful(
    small_park, dictionary, kpi, quality
):
    table = kpis(
        small_park,
        dictionary,
        rollup(dictionary, line_rows(SIX, parts=130.0)),
        since_us=SIX,
        until_us=SIX + HOUR_US,
    )
    assert value(table, "acme/hall/l1", kpi)[1] == quality


def test_more_work_than_was_planned_is_shown_and_doubtful(small_park, dictionary):
    # shifts begin at 06:00, so 05:00-07:00 holds one hour of plan; 7200 s less 600 s set-up
    start = SIX - HOUR_US
    rows = line_rows(start, parts=200.0)
    rows[0] = ("acme/hall/l1/m1/item_state", start, state(c3=7200.0))
    table = kpis(
        small_park, dictionary, rollup(dictionary, rows), since_us=start, until_us=SIX + HOUR_US
    )
    overtime = value(table, "acme/hall/l1", "availability", start)
    assert overtime == (pytest.approx(100 * 6600 / 3600), 1)
    assert value(table, "acme/hall/l1", "quality_ratio", start)[1] == 0


DAY_US = 24 * HOUR_US
LINE = "acme/hall/l1"


def young(dictionary, minutes, parts=40.0):
    """A twin born late: 24 h to Monday 20:00, of which it lived the last minutes."""
    start = SIX + 14 * HOUR_US - DAY_US
    seconds = 60.0 * minutes
    m1, m2 = f"{LINE}/m1", f"{LINE}/m2"
    held = state(c3=0.9 * seconds, c2=0.1 * seconds)
    rows = [
        (f"{m1}/item_state", start, held),
        (f"{m1}/part_count", start, {"increase": parts}),
        (f"{m2}/part_count", start, {"increase": parts}),
        (f"{m2}/item_state", start, held),
    ]
    last = start + DAY_US - 15 * 60_000_000
    seen = [(f"{m}/item_state", last, held) for m in (m1, m2)]
    return start, rollup(dictionary, rows), rollup(dictionary, seen)


def why(table, asset, kpi):
    row = next(r for r in table.to_pylist() if (r["asset"], r["kpi"]) == (asset, kpi))
    return row["value"], row["why"], row["plan_seen"]


def test_planned_time_that_nobody_saw_is_no_delay(small_park, dictionary):
    # Monday from 06:00: 15 of 840 planned minutes seen, 90 % of them executed; not 1.6 %
    start, rows, seen = young(dictionary, 15.0)
    table = kpis(small_park, dictionary, rows, since_us=start, until_us=start + DAY_US, seen=seen)
    available, reason, plan_seen = why(table, LINE, "availability")
    assert (available, reason) == (pytest.approx(90.0), "")
    assert plan_seen == pytest.approx(15.0 / 840.0)
    assert value(table, LINE, "availability", start)[1] == 1  # too little was seen to be sure


def test_planned_and_observed_time_are_held_together_piece_by_piece(small_park, dictionary):
    # the night before the shift was seen and half of its first hour; nothing of that night is plan
    start = SIX - HOUR_US
    quarter = 15 * 60_000_000
    pieces = [(f"{LINE}/m1/item_state", start + k * quarter, state(c3=900.0)) for k in range(6)]
    whole = [
        (f"{LINE}/m1/item_state", start, state(c2=3600.0, c3=1800.0)),
        (f"{LINE}/m1/part_count", start, {"increase": 60.0}),
    ]
    table = kpis(
        small_park,
        dictionary,
        rollup(dictionary, whole),
        since_us=start,
        until_us=SIX + HOUR_US,
        seen=rollup(dictionary, pieces),
    )
    assert why(table, LINE, "availability") == (pytest.approx(100.0), "", pytest.approx(0.5))


@pytest.mark.parametrize(
    ("minutes", "parts", "kpi", "reason"),
    [
        (4.0, 40.0, "availability", "too_short"),
        (4.0, 40.0, "oee", "too_short"),
        (4.0, 40.0, "throughput_rate", "too_short"),
        (15.0, 4.0, "quality_ratio", "too_few_parts"),
        (15.0, 40.0, "setup_ratio", ""),
        (0.0, 0.0, "availability", "not_observed"),
    ],
)
def test_a_kpi_without_a_value_says_why(small_park, dictionary, minutes, parts, kpi, reason):
    start, rows, seen = young(dictionary, minutes, parts)
    table = kpis(small_park, dictionary, rows, since_us=start, until_us=start + DAY_US, seen=seen)
    found, told, _ = why(table, LINE, kpi)
    assert told == reason
    assert (found is None) == bool(reason)


def test_what_was_never_planned_has_no_availability(small_park, dictionary):
    start = SIX - 3 * HOUR_US
    rows = [
        (f"{LINE}/m1/item_state", start, state(c3=3600.0)),
        (f"{LINE}/m1/part_count", start, {"increase": 100.0}),
    ]
    table = kpis(
        small_park,
        dictionary,
        rollup(dictionary, rows),
        since_us=start,
        until_us=start + HOUR_US,
    )
    assert why(table, LINE, "availability") == (None, "not_planned", None)
    assert why(table, LINE, "effectiveness")[:2] == (pytest.approx(100 * 3000 / 3600), "")


def test_without_pieces_the_plan_counts_as_seen_as_evenly_as_the_window(small_park, dictionary):
    rows = line_rows(SIX)
    rows[0] = ("acme/hall/l1/m1/item_state", SIX, state(c3=1350.0, c2=450.0))
    rows[1] = ("acme/hall/l1/m1/operation_mode", SIX, state(c3=1800.0))
    table = kpis(
        small_park, dictionary, rollup(dictionary, rows), since_us=SIX, until_us=SIX + HOUR_US
    )
    assert why(table, LINE, "availability") == (pytest.approx(75.0), "", pytest.approx(0.5))


@pytest.mark.parametrize(
    ("hours", "every_min", "minutes"),
    [
        (24.0, None, 15),
        (24.0, 60, 15),
        (24.0, 20, 5),
        (24.0, 15, 5),
        (0.2, None, 5),
        (24.0, 1, None),
    ],
)
def test_pieces_divide_the_windows(hours, every_min, minutes):
    every_us = None if every_min is None else every_min * 60_000_000
    found = piece_us(0, round(hours * HOUR_US), every_us)
    assert found == (None if minutes is None else minutes * 60_000_000)


def test_only_what_was_seen_in_part_is_read_in_pieces(small_park, dictionary):
    states = state_tags(small_park, dictionary)
    rows = line_rows(SIX)
    assert len(states) == 2
    span = {"since_us": SIX, "until_us": SIX + HOUR_US, "every_us": None}
    assert not partly_observed(rollup(dictionary, rows), states, **span)
    rows[0] = ("acme/hall/l1/m1/item_state", SIX, state(c3=3000.0))
    assert partly_observed(rollup(dictionary, rows), states, **span)
    assert partly_observed(rollup(dictionary, rows[1:]), states, **span)


def test_nothing_read_is_nothing_said(small_park, dictionary):
    table = kpis(
        small_park, dictionary, WINDOWS.empty_table(), since_us=SIX, until_us=SIX + HOUR_US
    )
    oee, quality = value(table, "acme/hall/l1", "quality_ratio")
    assert (oee, quality) == (None, 2)


@pytest.mark.parametrize(("until", "every"), [(SIX, None), (SIX + HOUR_US, 0), (SIX + HOUR_US, 1)])
def test_senseless_windows_are_refused(small_park, dictionary, until, every):
    with pytest.raises(InputError):
        kpis(
            small_park,
            dictionary,
            WINDOWS.empty_table(),
            since_us=SIX,
            until_us=until,
            every_us=every,
        )


def test_the_tags_to_read_are_those_of_the_machines(small_park, dictionary):
    assert len(kpi_tags(small_park, dictionary)) == 8
    assert len(energy_tags(small_park, dictionary)) == 2 + 1 + 2 + 1


def flow(table, name, window=None):
    rows = [r for r in table.to_pylist() if r["flow"] == name]
    return [r for r in rows if window is None or r["window"] == window]


def test_energy_flows_cost_and_carbon_by_window(small_park, dictionary):
    start = to_us(datetime(2026, 11, 23, 17, 15, tzinfo=ZONE))
    rows = []
    for k in range(2):
        at = start + k * STEP_US
        rows += [
            (f"ss1/{t}/active_power", at, {"integral": 5000.0 * 900, "good_s": 900.0})
            for t in ("t1", "t2")
        ]
        rows.append(("pv1/active_energy", at, {"increase": 10.0, "good_s": 900.0}))
        rows.append(("bess1/energy_out", at, {"increase": 50.0, "good_s": 900.0}))
        rows.append(("bess1/energy_in", at, {"increase": 0.0, "good_s": 900.0}))
        rows.append(("acme/active_energy", at, {"increase": 200.0, "good_s": 450.0}))
    table = energy_table(
        small_park,
        dictionary,
        rollup(dictionary, rows),
        since_us=start,
        until_us=start + 2 * STEP_US,
        every_us=2 * STEP_US,
    )
    assert table.schema == ENERGY
    # two transformers at 5 MW: 2,500 kWh per quarter hour; 17:15 is normal, 17:30 is peak
    (normal,), (peak,) = flow(table, "grid", "normal"), flow(table, "grid", "peak")
    assert normal["kwh"] == pytest.approx(2500.0)
    assert normal["cost_vnd"] == pytest.approx(2500 * 1811)
    assert peak["cost_vnd"] == pytest.approx(2500 * 3266)
    assert peak["co2_kg"] == pytest.approx(2500 * 0.6592)
    assert sum(r["kwh"] for r in flow(table, "load")) == pytest.approx(2 * (2500 + 10 + 50))
    assert sum(r["kwh"] for r in flow(table, "aggregated")) == pytest.approx(2 * 2360)
    assert flow(table, "site:acme")[0]["measured"] == pytest.approx(0.5)
    assert flow(table, "solar")[0]["cost_vnd"] is None


def without(dictionary, *paths):
    """The same dictionary with some paths not mapped."""
    keep = [r.binding for r in dictionary.open.values() if r.binding.path not in paths]
    made = TagDictionary(dictionary.rows)
    made.add_rows(made.plan(keep, 1)[0])
    return made


def quarter(park, dictionary, *rows):
    at = [(path, SIX, {"good_s": 900.0, **sums}) for path, sums in rows]
    return energy_table(
        park, dictionary, rollup(dictionary, at), since_us=SIX, until_us=SIX + STEP_US
    )


@pytest.mark.parametrize(("kw", "out", "charged"), [(4000.0, 1000.0, 0.0), (-2000.0, 0.0, 500.0)])
def test_a_battery_without_counters_is_told_by_its_power(small_park, dictionary, kw, out, charged):
    known = without(dictionary, "p/bess1/energy_in", "p/bess1/energy_out")
    table = quarter(
        small_park,
        known,
        *((f"ss1/{t}/active_power", {"integral": 1000.0 * 900}) for t in ("t1", "t2")),
        ("pv1/active_energy", {"increase": 0.0}),
        ("bess1/active_power", {"integral": kw * 900}),
    )
    assert flow(table, "battery_out")[0]["kwh"] == pytest.approx(out)
    assert flow(table, "battery_in")[0]["kwh"] == pytest.approx(charged)
    assert flow(table, "load")[0]["kwh"] == pytest.approx(500.0 + out - charged)
    assert flow(table, "load")[0]["measured"] == 1.0


@pytest.mark.parametrize(
    ("unmapped", "measured"),
    [
        (("p/ss1/t2/active_power",), 0.5),
        (("p/pv1/active_energy", "p/pv1/active_power"), 0.0),
        ((), 1.0),
    ],
)
def test_what_has_no_meter_is_not_called_measured(small_park, dictionary, unmapped, measured):
    known = without(dictionary, *unmapped)
    rows = [(f"ss1/{t}/active_power", {"integral": 1000.0 * 900}) for t in ("t1", "t2")]
    rows += [("pv1/active_energy", {"increase": 1.0})]
    rows += [(f"bess1/{way}", {"increase": 0.0}) for way in ("energy_in", "energy_out")]
    table = quarter(small_park, known, *(r for r in rows if f"p/{r[0]}" in known))
    assert flow(table, "load")[0]["measured"] == pytest.approx(measured)


def test_an_interval_without_rows_is_null_not_nought(small_park, dictionary):
    table = energy_table(
        small_park, dictionary, WINDOWS.empty_table(), since_us=SIX, until_us=SIX + STEP_US
    )
    assert all(r["kwh"] is None and r["measured"] == 0.0 for r in flow(table, "grid"))


@pytest.mark.parametrize(
    ("until", "every"), [(SIX + 1, STEP_US), (SIX, STEP_US), (SIX + STEP_US, 60)]
)
def test_intervals_must_be_whole_quarter_hours(small_park, dictionary, until, every):
    with pytest.raises(InputError, match="quarter hours"):
        energy_table(
            small_park,
            dictionary,
            WINDOWS.empty_table(),
            since_us=SIX,
            until_us=until,
            every_us=every,
        )
