"""Figures of now, worked by hand."""

import math

import pytest

BAD = 0x808C_0000


def feed_station(bench, p_kw=36_000.0, q_kvar=12_000.0, **more):
    """Both transformers and feeders alike, nothing else."""
    bench.say(
        {f"ss1/{t}/active_power": p_kw for t in ("t1", "t2")}
        | {f"ss1/{t}/reactive_power": q_kvar for t in ("t1", "t2")}
        | {f"ss1/{t}/breaker": 1.0 for t in ("t1", "t2")}
        | {"f1/active_power": p_kw, "f2/active_power": p_kw, "f1/current": 1000.0}
        | {"pv1/active_power": 500.0, "bess1/active_power": 3000.0}
        | {"bess1/state_of_charge": 60.0}
        | more
    )


def test_the_evening_of_the_demo_is_120_percent_of_one_transformer_and_two_hours(at):
    bench = at(18)
    # P = 72 MW, Q = 24.33 Mvar -> 76 MVA; 76/126 = 60.3 %; 76/63 = 120.6 % -> row +30 %: 120 min
    feed_station(bench, 36_000.0, math.sqrt(76.0**2 - 72.0**2) * 500.0)
    bench.tick()
    assert bench.figure("park.grid_import_mw") == pytest.approx(72.0)
    assert bench.figure("park.station_mva") == pytest.approx(76.0)
    assert bench.figure("park.station_loading_pct") == pytest.approx(7600 / 126)
    assert bench.figure("park.headroom_mva") == pytest.approx(50.0)
    assert bench.figure("park.n1_loading_pct") == pytest.approx(7600 / 63)
    assert bench.figure("park.n1_minutes") == 120.0
    assert bench.figure("park.cos_phi") == pytest.approx(72 / 76)
    assert bench.figure("transformer.ss1/t1.loading_pct") == pytest.approx(3800 / 63)
    assert bench.figure("feeder.f1.loading_pct") == pytest.approx(50.0)
    assert bench.quality("park.station_mva") == 0


@pytest.mark.parametrize(
    ("mva", "minutes"), [(60.0, 1440.0), (81.9, 120.0), (85.0, 80.0), (126.0, 10.0), (130.0, 0.0)]
)
def test_n1_minutes_follow_the_short_time_table(at, mva, minutes):
    bench = at(18)
    feed_station(bench, mva * 500.0, 0.0)
    bench.tick()
    assert bench.figure("park.n1_minutes") == minutes


def test_after_a_trip_the_minutes_are_those_of_the_transformer_that_is_left(at):
    bench = at(18)
    feed_station(bench, **{"ss1/t2/breaker": 0.0, "ss1/t2/active_power": 0.0})
    bench.say({"ss1/t2/reactive_power": 0.0, "ss1/t1/active_power": 72_000.0})
    bench.say({"ss1/t1/reactive_power": 24_000.0})
    bench.tick()
    loading = math.hypot(72.0, 24.0) / 63.0
    assert bench.figure("park.station_loading_pct") == pytest.approx(100 * loading)
    assert bench.figure("park.n1_loading_pct") == pytest.approx(100 * loading)
    assert bench.figure("park.n1_minutes") == 120.0


def test_park_load_is_feeders_plus_solar_plus_battery(at):
    bench = at(12)
    feed_station(bench)
    bench.tick()
    # 36 + 36 + 0.5 + 3.0
    assert bench.figure("park.load_mw") == pytest.approx(75.5)
    assert bench.figure("park.pv_share_pct") == pytest.approx(100 * 0.5 / 75.5)
    assert bench.figure("park.measured_pct") == 100.0
    assert bench.figure("park.bess_soc_pct") == 60.0


def test_a_bad_feeder_is_estimated_from_its_tenants_and_says_so(at):
    bench = at(12)
    feed_station(bench)
    bench.say({"f2/active_power": 36_000.0}, status=BAD)
    bench.tick()
    # f2 carries only `others`: 60 MW x the template's share at noon of a working day (0.84)
    share = bench.figure("park.measured_pct") / 100.0
    estimated_mw = bench.figure("park.load_mw") - 36.5
    assert estimated_mw == pytest.approx(60.0 * 0.84, rel=0.03)
    assert share == pytest.approx(36.5 / bench.figure("park.load_mw"), rel=1e-6)
    assert bench.quality("park.load_mw") == 1
    assert bench.measured("park.load_mw") == pytest.approx(share)


def test_a_bad_transformer_is_taken_from_its_feeders_and_is_uncertain(at):
    bench = at(12)
    feed_station(bench, **{"f2/reactive_power": 12_000.0})
    bench.say({"ss1/t2/active_power": 1.0}, status=BAD)
    bench.tick()
    assert bench.figure("park.grid_import_mw") == pytest.approx(72.0)
    assert bench.quality("park.grid_import_mw") == 1
    assert bench.measured("park.grid_import_mw") == pytest.approx(0.5)


def test_nothing_known_is_nothing_shown(bench):
    bench.tick()
    assert math.isnan(bench.figure("site.acme.kw"))
    assert bench.quality("site.acme.kw") == 2
    assert bench.quality("park.load_mw") == 1
    assert bench.measured("park.load_mw") == 0.0


def test_energy_cost_and_carbon_of_a_day_are_exact(at):
    bench = at(0)
    for quarter in range(4 * 24 - 1):
        # 10 MW up to 17:30, then 20 MW, until 23:45
        kw = 5_000.0 if quarter < 70 else 10_000.0
        bench.say({"ss1/t1/active_power": kw, "ss1/t2/active_power": kw})
        bench.tick()
        bench.tick(900.0)
    mwh = 17.5 * 10 + 6.25 * 20
    assert bench.figure("park.energy_today_mwh") == pytest.approx(mwh)
    # off-peak 0-6 at 1,146; normal 6-17:30 and 22:30-24 at 1,811; peak 17:30-22:30 at 3,266 VND
    vnd = (60 * 1146 + 115 * 1811 + 100 * 3266 + 25 * 1811) * 1e3
    assert bench.figure("park.cost_today_mvnd") == pytest.approx(vnd / 1e6, rel=1e-9)
    assert bench.figure("park.co2_today_t") == pytest.approx(mwh * 0.6592)
    assert bench.figure("park.peak_today_mw") == pytest.approx(20.0)
    assert bench.quality("park.energy_today_mwh") == 0


def test_a_new_local_day_starts_at_nought(at):
    bench = at(23, 0)
    bench.say({"ss1/t1/active_power": 6_000.0, "ss1/t2/active_power": 0.0})
    bench.tick()
    bench.tick(3600.0)  # midnight
    bench.tick(1800.0)
    assert bench.figure("park.energy_today_mwh") == pytest.approx(3.0)


def test_a_twin_that_saw_half_the_day_does_not_claim_it(at):
    bench = at(12)
    feed_station(bench)
    bench.tick()
    bench.tick(12 * 1800.0)  # 18:00: six of eighteen hours
    assert bench.quality("park.energy_today_mwh") == 1
    assert bench.measured("park.energy_today_mwh") == pytest.approx(1 / 3, abs=1e-3)


def test_energy_of_a_site_comes_from_its_meter(at):
    bench = at(0)
    bench.say({"acme/active_energy": 1000.0, "acme/active_power": 99.0})
    bench.tick()
    bench.now_us += 3600 * 1_000_000
    bench.say({"acme/active_energy": 1250.0})
    bench.tick()
    assert bench.figure("site.acme.kwh_today") == pytest.approx(250.0)


M1, M2 = "acme/hall/l1/m1", "acme/hall/l1/m2"


def test_a_meter_that_comes_back_brings_no_past_with_it(at):
    bench = at(0)
    bench.say({"acme/active_energy": 1000.0})
    bench.tick()
    bench.tick(3600.0)
    bench.say({"acme/active_energy": 900_000.0})  # of another day, as far as the next one goes
    bench.tick(23 * 3600.0)
    every = bench.park.bindings
    for bindings in ([b for b in every if b.path != "p/acme/active_energy"], every):
        rows, _ = bench.dictionary.plan(bindings, bench.now_us)
        bench.dictionary.add_rows(rows)
        bench.state.add_rows(rows)
        bench.logic.learn(bench.dictionary, bench.park.text)
        bench.tick(60.0)
    bench.now_us += 60 * 1_000_000
    bench.say({"acme/active_energy": 900_007.0})
    bench.tick()
    assert bench.figure("site.acme.kwh_today") == pytest.approx(7.0)


def run_line(bench):
    """06:00 to 10:00: press executes 3 h and is down 1 h; 330 pressed, 10 scrap; 320 packed, 2."""
    bench.say({f"{m}/{c}": 0.0 for m in (M1, M2) for c in ("part_count", "scrap_count")})
    bench.say({f"{m}/operation_mode": 3.0 for m in (M1, M2)})
    bench.say({f"{M1}/item_state": 3.0, f"{M2}/item_state": 2.0})
    bench.say({f"{M1}/active_energy": 0.0, f"{M2}/active_energy": 0.0})
    bench.tick()
    bench.now_us += 3 * 3600 * 1_000_000
    bench.say({f"{M1}/item_state": 1.0})
    bench.tick()
    bench.now_us += 3600 * 1_000_000
    bench.say({f"{M1}/part_count": 330.0, f"{M1}/scrap_count": 10.0, f"{M1}/active_energy": 300.0})
    bench.say({f"{M2}/part_count": 320.0, f"{M2}/scrap_count": 2.0, f"{M2}/active_energy": 18.0})
    bench.tick()


def test_oee_of_a_line_from_the_elements_of_its_constraint(at):
    bench = at(6)
    run_line(bench)
    line = "line.acme/hall/l1"
    # A = 3 h / 4 h; E = 30 s x 330 / 10,800 s = 91.7 %; Q = 318 / (318 + 12)
    a, e, q = 0.75, 9900 / 10800, 318 / 330
    assert bench.figure(f"{line}.availability_pct") == pytest.approx(100 * a)
    assert bench.figure(f"{line}.effectiveness_pct") == pytest.approx(100 * e)
    assert bench.figure(f"{line}.quality_pct") == pytest.approx(100 * q)
    assert bench.figure(f"{line}.oee_pct") == pytest.approx(100 * a * e * q)
    assert bench.figure(f"{line}.good_today") == 318.0
    assert bench.figure(f"{line}.kwh_per_unit") == pytest.approx(1.0)
    assert bench.figure("park.oee_pct") == pytest.approx(100 * a * e * q)
    assert bench.figure("site.acme.good_today") == 318.0
    assert bench.figure(f"{line}.bottleneck") == 1.0


def test_ratios_and_rates_of_the_first_minutes_are_unknown_not_absurd(at):
    bench = at(10)
    line = "line.acme/hall/l1"
    names = ("oee_pct", "availability_pct", "effectiveness_pct", "quality_pct", "rate_h",
             "kwh_per_unit", "bottleneck")  # fmt: skip
    bench.say({f"{m}/{c}": 0.0 for m in (M1, M2) for c in ("part_count", "active_energy")})
    bench.say({f"{M1}/item_state": 3.0, f"{M2}/item_state": 3.0})
    bench.tick()
    for second in range(12, 301, 12):  # a part every 12 s of a 30 s cycle
        bench.tick(12.0)
        bench.say({f"{m}/part_count": second / 12.0 for m in (M1, M2)})
        bench.say({f"{m}/active_energy": second / 12.0 for m in (M1, M2)})
        if second < 120:
            bench.tick()
            for id_ in (*(f"{line}.{name}" for name in names), "park.oee_pct", "site.acme.oee_pct"):
                assert math.isnan(bench.figure(id_)), id_
                assert bench.quality(id_) == 2
            assert math.isnan(bench.figure("park.output_rate_h"))
            assert bench.figure(f"{line}.good_today") == second / 12.0
    bench.tick()
    assert bench.figure(f"{line}.availability_pct") == pytest.approx(100.0)
    assert bench.figure(f"{line}.effectiveness_pct") == pytest.approx(250.0)  # PRI is wrong then
    assert bench.figure(f"{line}.quality_pct") == 100.0
    assert bench.figure(f"{line}.rate_h") == pytest.approx(300.0)
    assert bench.figure(f"{line}.kwh_per_unit") == pytest.approx(2.0)
    assert bench.figure(f"{line}.bottleneck") == 1.0


def test_logistics_figures(at):
    bench = at(9)
    bench.say({"g1/queue": 7.0, "g1/lanes_busy": 2.0, "g1/entries": 100.0, "y1/occupied": 50.0})
    bench.tick()
    for minutes in (30.0, 40.0, 50.0, 60.0):
        bench.now_us += 60_000_000
        bench.say({"g1/turn_time": minutes})
        bench.tick()
    bench.say({"g1/entries": 130.0})
    bench.tick()
    assert bench.figure("park.gate_queue") == 7.0
    assert bench.figure("park.yard_pct") == 25.0
    assert bench.figure("park.trucks_today") == 30.0
    assert bench.figure("park.turn_p50_min") == pytest.approx(45.0)
    assert bench.figure("gate.g1.turn_p90_min") == pytest.approx(57.0)
    bench.tick(3600.0)  # an hour later no turn is left
    assert math.isnan(bench.figure("park.turn_p50_min"))


def test_solar_yield_against_the_measured_sun(at):
    bench = at(12)
    # 1000 kWp x 0.8 kW/m2 x (1 - 0.0035 x (50 - 25)) x 0.95 x 0.98 = 679.6 kW
    expected = 1000 * 0.8 * (1 - 0.0035 * 25) * 0.95 * 0.98
    bench.say({"pv1/irradiance": 800.0, "pv1/module_temperature": 50.0})
    bench.say({"pv1/active_power": expected / 2})
    bench.tick()
    assert bench.figure("pv.pv1.expected_kw") == pytest.approx(expected)
    assert bench.figure("pv.pv1.yield_pct") == pytest.approx(50.0)


def test_endpoints_and_tags(at):
    bench = at(12)
    bench.hear("scada", alive=True)
    bench.hear("plc", alive=False)
    feed_station(bench)
    bench.tick()
    assert bench.figure("endpoint.scada.alive") == 1.0
    assert bench.figure("endpoint.plc.alive") == 0.0
    assert bench.figure("park.endpoints_up") == 1.0
    assert bench.figure("park.endpoints") == 2.0
    known = bench.state.known.mean()
    assert bench.figure("park.tags_good_pct") == pytest.approx(100 * known)


def test_every_figure_has_labels_formulas_and_inputs_that_exist(bench):
    for spec in bench.logic.specs:
        assert spec.label.vi
        assert spec.label.en
        assert spec.formula.vi
        assert spec.formula.en
        assert all(path in bench.dictionary for path in spec.inputs)
    ids = [spec.id for spec in bench.logic.specs]
    assert len(ids) == len(set(ids))
    cost = bench.logic.specs[bench.logic.book.layout.position["park.cost_today_mvnd"]]
    assert "vn_industrial_one_part" in cost.table.en
    assert "secondary" in cost.table.en
    assert "nguồn thứ cấp" in cost.table.vi


def test_figures_survive_a_snapshot_to_the_last_bit(at, small_park):
    bench = at(6)
    run_line(bench)
    other = type(bench.logic)(small_park, 2026)
    other.restore(bench.logic.snapshot())
    other.learn(bench.dictionary, small_park.text)
    bench.tick(60.0)
    other.tick(bench.state, bench.now_us)
    assert other.now.value.tobytes() == bench.logic.now.value.tobytes()
    assert other.snapshot() == bench.logic.snapshot()
