"""The station: what comes in goes out, every hour has its price, every loss its minutes."""

import io
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from models.bill import Grid
from twin.parkfile.load import read_park
from twin.shifts import LocalTime
from twin.whatif.calendars import Calendars
from twin.whatif.compare import BranchResult, kpi_table
from twin.whatif.factory import line_models
from twin.whatif.lanes import Lanes
from twin.whatif.loads import Loads, joint_spread
from twin.whatif.plan import compile_plan, run_piece
from twin.whatif.snapshot import Reading, nominal
from twin.whatif.spec import Curtailment, DemandGrowth, NewTenant, TransformerTrip
from twin.whatif.station import Station, ratings, terms
from twin.whatif.storage import steps_to_midnight
from twin.whatif.variant import Variant, vary

STEP_US = 900 * 1_000_000
LANES = Lanes(seed=5, replications=np.arange(6), posterior=True)


def time_us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def grid_from(text: str, steps: int) -> Grid:
    return Grid(start_us=time_us(text), step_us=STEP_US, steps=steps)


def models(variant, snapshot, grid):
    return line_models(variant, snapshot, Calendars(variant.spec, grid))


def loads_of(variant, snapshot, grid) -> Loads:
    lines = models(variant, snapshot, grid)
    return Loads(variant, snapshot, lines, Calendars(variant.spec, grid))


def station_of(variant, snapshot, grid) -> Station:
    return Station(variant, snapshot, models(variant, snapshot, grid), grid)


def test_an_overload_that_no_replication_saw_has_a_bound_not_nought():
    result = BranchResult(
        kpis={"p_over": np.zeros(64), "peak_mva": np.linspace(50.0, 60.0, 64)},
        series={},
        engine="none",
        why="by hand",
    )
    never, peak = kpi_table({"base": result}).to_pylist()
    # 1 - 0.05^(1/64), about 3/64
    assert (never["mean"], never["low"]) == (0.0, 0.0)
    assert never["high"] == pytest.approx(0.0457, abs=1e-4)
    assert peak["low"] < 55.0 < peak["high"]


NO_LINES = {"acme/hall/l1": 0.0, "acme/hall/l2": 0.0}


def run(station, steps):
    zero = np.zeros((len(LANES), steps))
    return station.run(dict.fromkeys(NO_LINES, zero), LANES)


@pytest.mark.parametrize("rule", ["peak_shaving", "time_of_use", "self_consumption", "idle"])
def test_load_is_grid_and_solar_and_battery_in_every_step(park, start, rule):
    electricity = park.spec.utilities.electricity
    bess = electricity.bess[0].model_copy(update={"rule": rule})
    utilities = park.spec.utilities.model_copy(
        update={"electricity": electricity.model_copy(update={"bess": (bess,)})}
    )
    variant = Variant(spec=park.spec.model_copy(update={"utilities": utilities}))
    done = run(station_of(variant, start, grid_from("2026-11-24T14:00+07:00", 96)), 96)
    supplied = done.grid_kw + done.pv_kw + done.storage.power_kw
    assert np.allclose(done.load_kw, supplied, rtol=0, atol=1e-9)
    assert (done.mva * 1000.0 >= np.abs(done.grid_kw) - 1e-9).all()
    assert done.pv_kw.min() >= 0.0
    assert np.abs(done.storage.power_kw).max() <= 1000.0 + 1e-9
    assert 10.0 - 1e-9 <= done.storage.soc_pct.min() <= done.storage.soc_pct.max() <= 95.0 + 1e-9
    # energy: what is stored is what went in less what went out, at 88 % there and back
    one_way = np.sqrt(0.88)
    power = done.storage.power_kw
    change = np.where(power > 0.0, -power / one_way, -power * one_way).sum(axis=1) * 0.25
    stored = done.storage.soc_pct[:, -1] / 100.0 * 2000.0
    assert stored == pytest.approx(0.525 * 2000.0 + change)
    assert done.storage.refill_kwh == pytest.approx((0.525 * 2000.0 - stored) / one_way)


def test_the_energy_kpi_is_the_sum_of_the_series(plan_of):
    plan = plan_of({"base": "[]"}, horizon="24 h", ensemble="{replications: 6}")
    (piece,) = compile_plan(plan)
    made = np.load(io.BytesIO(run_piece(plan, piece)))
    load = made["base/series/load_mw"]
    assert made["base/kpi/energy_mwh"] == pytest.approx(load.sum(axis=1) * 0.25)
    assert made["base/kpi/peak_mva"] == pytest.approx(made["base/series/station_mva"].max(axis=1))
    assert made["base/kpi/output"] == pytest.approx(
        made["base/series/output_rate_h"].sum(axis=1) * 0.25
    )
    over = (made["base/series/station_mva"] > 8.0).sum(axis=1) * 15.0
    assert made["base/kpi/over_n1_minutes"] == pytest.approx(over)


# One site of 800 kW around the clock and nothing else: every figure can be reckoned by hand.
CONSTANT = """
apiVersion: parktwin/v1
kind: Park
id: small
label: {vi: "Khu", en: "Park"}
region: {id: binh_duong, label: {vi: "Bình Dương", en: "Binh Duong"}}
tz: Asia/Ho_Chi_Minh
geo: {lat: 10.93, lon: 106.71, area: 2 ha}
organisations: [{id: acme, role: tenant, label: {vi: "Acme", en: "Acme"}}]
sites:
  - {id: acme, label: {vi: "A", en: "A"}, owner: acme, feeder: f1, base_load: 800 kW, cos_phi: 0.8}
utilities:
  electricity:
    connection: {id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}
    substations:
      - id: ss1
        label: {vi: "Trạm", en: "Station"}
        feeder_voltage: 22 kV
        transformers: [{id: t1, rating: 2 MVA}]
        feeders: [{id: f1, rating: 50 A, transformer: t1}]
"""


def kpis_of(plan, **edits):
    plan = replace(plan, **edits)
    (piece,) = compile_plan(plan)
    made = np.load(io.BytesIO(run_piece(plan, piece)))
    kpis = {name.split("/", 1)[1]: made[name] for name in made.files if "/kpi/" in name}
    return {name.removeprefix("kpi/"): values for name, values in kpis.items()}, made


@pytest.fixture
def constant(plan_of, text_of):
    def make(at: str, horizon: str):
        park = read_park(CONSTANT)
        taken = nominal(park, time_us(at)).to_json()
        text = text_of({"base": "[]"}, horizon=horizon, ensemble="{replications: 4}")
        return kpis_of(plan_of({"base": "[]"}), park_text=CONSTANT, snapshot=taken, text=text)

    return make


def test_a_load_across_the_begin_of_the_peak_window_is_priced_by_the_minute(constant):
    # 17:20 to 18:20 on a Tuesday: 10 min normal at 1,833 VND, 50 min peak at 3,398 VND; 22 kV
    kpis, made = constant("2026-11-24T17:20+07:00", "1 h")
    load = made["base/series/load_mw"] * 1000.0
    prices = np.array([(10 * 1833.0 + 5 * 3398.0) / 15.0, 3398.0, 3398.0, 3398.0])
    assert kpis["cost_mvnd"] == pytest.approx(load @ prices * 0.25 / 1e6)
    # about 800 kWh, of which a sixth at the normal price
    assert kpis["cost_mvnd"].mean() == pytest.approx(
        0.8 * (1833.0 / 6 + 3398.0 * 5 / 6) / 1e3, rel=0.1
    )
    assert kpis["grid_import_mwh"] == pytest.approx(kpis["energy_mwh"])
    assert made["base/series/station_mva"] == pytest.approx(load / 0.8 / 1000.0)


def test_a_sunday_has_no_peak_window(constant):
    kpis, made = constant("2026-11-22T17:30+07:00", "1 h")
    load = made["base/series/load_mw"].sum(axis=1) * 250.0
    assert kpis["cost_mvnd"] == pytest.approx(load * 1833.0 / 1e6)


def test_a_park_without_lines_gates_or_water_has_only_the_stations_kpis(constant):
    kpis, made = constant("2026-11-24T08:00+07:00", "1 h")
    assert set(kpis) == {
        "peak_mva", "n1_minutes", "over_n1_minutes", "p_over", "energy_mwh", "grid_import_mwh",
        "cost_mvnd", "co2_t",
    }  # fmt: skip
    assert set(made.files) & {"base/series/output_rate_h", "base/series/gate_queue"} == set()


def test_the_capacity_part_is_the_largest_half_hour_for_its_share_of_a_month(plan_of):
    two_parts = "{change: tariff, tariff: vn_industrial_two_part_pilot}"
    idle = "{change: battery, asset: bess1, rule: idle}"
    plan = plan_of({"base": "[]", "idle": f"[{idle}, {two_parts}]"}, horizon="24 h",
                   ensemble="{replications: 4}")  # fmt: skip
    (piece,) = compile_plan(plan)
    made = np.load(io.BytesIO(run_piece(plan, piece)))
    grid = (made["idle/series/load_mw"] - made["idle/series/pv_mw"]) * 1000.0
    start = time_us("2026-11-24T14:00+07:00")
    hours = (start / 3.6e9 + 7.0 + 0.25 * np.arange(96)) % 24.0
    price = np.where(hours < 6.0, 859.0, np.where((hours >= 17.5) & (hours < 22.5), 2182.0, 1275.0))
    energy = grid @ price * 0.25
    largest = grid.reshape(4, 48, 2).mean(axis=2).max(axis=1)
    assert made["idle/kpi/cost_mvnd"] == pytest.approx((energy + largest * 235_414.0 / 30.0) / 1e6)


@pytest.mark.parametrize(
    ("trips", "expected"),
    [
        ([], [16.0] * 4),
        ([("t2", 900.0, 900.0)], [16.0, 8.0, 16.0, 16.0]),
        ([("t2", 1000.0, None)], [16.0, 8.0, 8.0, 8.0]),
        ([("t2", 0.0, 1800.0), ("t2", 900.0, 1800.0)], [8.0, 8.0, 8.0, 16.0]),
        ([("t1", 0.0, None), ("t2", 2700.0, None)], [8.0, 8.0, 8.0, 0.0]),
    ],
)
def test_ratings_in_service(park, trips, expected):
    made = tuple(
        TransformerTrip(change="transformer_trip", asset=f"ss1/{name}").model_copy(
            update={"at": at, "lasts": lasts}
        )
        for name, at, lasts in trips
    )
    found = ratings(park.spec, made, grid_from("2026-11-24T14:00+07:00", 4))
    assert found.in_service.tolist() == expected
    assert found.after_loss == 8.0


def test_prices_of_a_voltage_class_and_their_emissions(park):
    found = terms(park.spec, grid_from("2026-11-24T05:00+07:00", 8))
    assert found.price_vnd_kwh.tolist() == [1190.0] * 4 + [1833.0] * 4
    assert (found.off_peak_vnd_kwh, found.capacity_vnd_kw) == (1190.0, 0.0)
    assert 0.5 < found.co2_kg_kwh < 0.8


def test_a_battery_gives_evenly_over_the_whole_peak_window(park, start):
    grid = grid_from("2026-11-24T14:00+07:00", 96)
    done = run(station_of(Variant(spec=park.spec), start, grid), 96)
    power = done.storage.power_kw[0]
    # 17:30 to 22:30 are steps 14 to 33: (52.5 % - 10 %) of 2 MWh, one way sqrt(0.88), over 5 h
    assert power[14:34] == pytest.approx(0.425 * 2000.0 * np.sqrt(0.88) / 5.0)
    # midnight to 06:00 are steps 40 to 63: from 10 % to 95 % over 6 h
    assert power[40:64] == pytest.approx(-0.85 * 2000.0 / np.sqrt(0.88) / 6.0)
    assert np.abs(np.delete(power, [*range(14, 34), *range(40, 64)])).max() == 0.0


def test_steps_to_midnight(park):
    local = LocalTime(park.tz)
    grid = grid_from("2026-11-24T23:07+07:00", 5)
    assert steps_to_midnight(grid, local).tolist() == [4, 3, 2, 1, 96]
    assert steps_to_midnight(grid_from("2026-11-24T00:00+07:00", 1), local).tolist() == [96]


def test_a_curtailment_spans_midnight_and_never_makes_load_negative(park, start):
    grid = grid_from("2026-11-24T21:00+07:00", 24)
    base = loads_of(Variant(spec=park.spec), start, grid).expected().kw
    some = Curtailment(change="curtailment", asset="others", power="1 MW", span="22:00-01:00")
    less = base - loads_of(vary(park.spec, [some]), start, grid).expected().kw
    assert less.tolist() == pytest.approx([0.0] * 4 + [1000.0] * 12 + [0.0] * 8)
    everything = some.model_copy(update={"power": 1e9, "span": "00:00-24:00"})
    left = loads_of(vary(park.spec, [everything]), start, grid)
    assert left.expected().kw.min() > 0.0  # the site goes on
    alone = vary(park.spec, [everything, everything.model_copy(update={"asset": "acme"})])
    assert loads_of(alone, start, grid).expected().kw.max() == 0.0


def measured(park, start, factor: float):
    """A snapshot in which the tenants draw so many times their template now."""
    others = 9000.0 * factor * 1.0
    readings = {
        "f1/active_power": 500.0 + others / 2 - 120.0 + 300.0,
        "f2/active_power": others / 2,
        "acme/active_power": 500.0,
        "pv1/active_power": 120.0,
        "bess1/active_power": -300.0,
    }
    return replace(
        start, readings={k: Reading(value=v, at_us=start.at_us) for k, v in readings.items()}
    )


def test_tenants_stand_where_their_meters_show_them(park, start):
    grid = grid_from("2026-11-24T14:00+07:00", 96)
    plain = loads_of(Variant(spec=park.spec), start, grid)
    assert plain.level.passing is None
    first = plain.expected().kw[0]
    level = loads_of(Variant(spec=park.spec), measured(park, start, 0.8), grid).level
    everything = Curtailment(change="curtailment", asset="others", power="1 GW", span="00:00-24:00")
    without = loads_of(vary(park.spec, [everything]), start, grid).expected().kw[0]
    template = first - without
    # the whole deviation is known now; part of it stays, the rest is forgotten
    assert level.lasting + level.passing == pytest.approx(np.log(0.8 * 9000.0 / template))
    share = 0.05**2 / (0.05**2 + joint_spread(20) ** 2)
    assert level.lasting == pytest.approx(share * (level.lasting + level.passing))
    assert level.spread < plain.level.spread


def test_a_new_tenant_does_not_hide_in_the_measured_level(park, start):
    grid = grid_from("2026-11-24T14:00+07:00", 8)
    taken = measured(park, start, 0.8)
    new = NewTenant(change="new_tenant", asset="new1", power="4 MW")
    before = loads_of(Variant(spec=park.spec), taken, grid)
    after = loads_of(vary(park.spec, [new]), taken, grid)
    assert after.level == before.level
    profile = (after.expected().kw - before.expected().kw) / 4000.0
    assert 0.5 < profile.min() <= profile.max() <= 1.0


def test_the_expected_load_is_the_middle_of_the_futures(park, start):
    grid = grid_from("2026-11-24T14:00+07:00", 32)
    lanes = Lanes(seed=2, replications=np.arange(200), posterior=True)
    loads = loads_of(Variant(spec=park.spec), start, grid)
    lines = {line.id: np.broadcast_to(
        line.expected_kw(Calendars(park.spec, grid).share(line.calendar)), (200, 32))
        for line in models(Variant(spec=park.spec), start, grid)}  # fmt: skip
    futures = loads.futures(lines, lanes, slice(None))
    expected = loads.expected()
    assert np.median(futures.kw, axis=0) == pytest.approx(expected.kw, rel=0.03)
    assert np.median(futures.kvar, axis=0) == pytest.approx(expected.kvar, rel=0.03)


def test_a_holiday_stops_the_day_shift_and_growth_lifts_the_rest(park, start):
    working = loads_of(Variant(spec=park.spec), start, grid_from("2026-09-03T09:00+07:00", 4))
    free = loads_of(Variant(spec=park.spec), start, grid_from("2026-09-02T09:00+07:00", 4))
    assert (free.expected().kw < 0.8 * working.expected().kw).all()
    grown = vary(park.spec, [DemandGrowth(change="demand_growth", growth="10 %", asset="acme")])
    grid = grid_from("2026-09-03T09:00+07:00", 4)
    more = loads_of(grown, start, grid).expected().kw - working.expected().kw
    # a tenth of 500 kW and of what the machines draw
    assert (more > 50.0).all()
    assert (more < 0.1 * (500.0 + 2 * 60.0 + 6.0 + 5.0)).all()
