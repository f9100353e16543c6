"""Laws of the hidden park: nothing is lost, everything adds up, and one seed is one park."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.plant.faults import ActiveFault, FaultKind
from connectors.plant.physics.battery import BatteryNow
from connectors.plant.physics.lines import Does
from connectors.plant.physics.truth import Truth
from models.errors import NotFound
from twin.park import Park
from twin.parkfile.load import load_park
from twin.samples import to_us

PARK = Path(__file__).with_name("park.yaml")
DEMO = Path(__file__).parents[3] / "examples" / "vsip1.yaml"
MORNING = to_us(datetime.fromisoformat("2026-11-20T08:00+07:00"))
SMALL = load_park(PARK)
S, MIN, H = 1_000_000, 60_000_000, 3_600_000_000


@pytest.fixture
def park() -> Park:
    return SMALL


@dataclass
class Day:
    after: Truth
    readings: list[dict[str, float]]
    battery_before: BatteryNow
    entries_before: int
    exits_before: int

    def of(self, path: str) -> np.ndarray:
        return np.array([reading[f"tiny/{path}"] for reading in self.readings])


def truth(park: Park, start_us: int = MORNING, seed: int = 7, warm_up_h: float = 2.0) -> Truth:
    return Truth(park, seed, start_us, warm_up_h=warm_up_h)


@pytest.fixture(scope="module")
def day() -> Day:
    """One day in quarter hours."""
    here = Truth(SMALL, 7, MORNING, warm_up_h=1.0)
    gate, battery = here.traffic.gates[0], here.batteries[0]
    before = replace(battery), gate.entries, gate.exits
    readings = []
    for quarter in range(24 * 4):
        here.advance(MORNING + quarter * 15 * MIN)
        readings.append(dict(zip(here.paths, here.exact().tolist(), strict=True)))
    return Day(here, readings, *before)


def fault(
    kind: FaultKind, target: str, size: float = 0.0, until_us: int | None = None
) -> ActiveFault:
    return ActiveFault(kind=kind, target=target, size=size, from_us=MORNING, until_us=until_us)


def value(here: Truth, path: str) -> float:
    return float(here.exact()[here.column(f"tiny/{path}")])


@settings(max_examples=6, deadline=None)
@given(cuts=st.lists(st.integers(1, 20 * MIN - 1), max_size=12))
def test_any_way_of_cutting_the_time_gives_the_same_park(cuts: list[int]):
    whole, cut = truth(SMALL, warm_up_h=0.2), truth(SMALL, warm_up_h=0.2)
    whole.advance(MORNING + 20 * MIN)
    for us in sorted(cuts):
        cut.advance(MORNING + us)
        cut.read()
    cut.advance(MORNING + 20 * MIN)
    np.testing.assert_array_equal(whole.read(), cut.read())


def test_another_seed_is_another_park(park: Park):
    column = truth(park).column("tiny/acme/hall/l1/p1/active_power")
    assert truth(park, seed=7).read()[column] != truth(park, seed=8).read()[column]


def test_no_part_is_lost_along_a_line(park: Park):
    here = truth(park)
    line = here.floor.lines[0]
    for minute in range(0, 180, 3):
        here.advance(MORNING + minute * MIN)
        for before, after, waits in zip(
            line.machines, line.machines[1:], line.waiting, strict=False
        ):
            made = before.parts - before.scrapped
            in_hand = 1 if after.loaded else 0
            taken = after.parts + in_hand - (1 if after.finished else 0)
            held = 1 if before.finished else 0
            assert made - held == waits + taken
        assert all(
            0 <= waits <= cap + 1 for waits, cap in zip(line.waiting, line.caps, strict=True)
        )
        level = value(here, "acme/hall/l1/b1/level")
        assert 0 <= level <= 5


def test_scrap_is_about_its_share_of_all_parts(day: Day):
    press = day.after.floor.machine("acme/hall/l1/p1")
    assert press.parts > 2000
    assert press.scrapped / press.parts == pytest.approx(press.scrap, rel=0.3)
    assert press.scrap == pytest.approx(0.05, rel=0.9)


def test_a_machine_makes_its_parts_in_its_hidden_cycle_time(park: Park):
    here = truth(park)
    press = here.floor.machine("acme/hall/l2/p1")
    press.to_fail_us = 10**15
    before, worked_us = press.parts, 90 * MIN
    here.advance(MORNING + worked_us)
    expected = worked_us / S / press.cycle_s
    assert press.cycle_s != 20.0
    assert press.parts - before == pytest.approx(expected, abs=5)


def test_energy_of_a_machine_is_the_integral_of_its_power(park: Park):
    here = truth(park)
    columns = [here.column(f"tiny/acme/hall/l1/p1/{m}") for m in ("active_power", "active_energy")]
    first = here.exact()[columns[1]]
    integral = 0.0
    for second in range(1, 1801):
        integral += here.exact()[columns[0]] / 3600.0
        here.advance(MORNING + second * S)
    assert here.exact()[columns[1]] - first == pytest.approx(integral, rel=0.01)


def test_energy_of_a_site_is_the_integral_of_its_power(park: Park):
    here = truth(park)
    first, integral = value(here, "acme/active_energy"), 0.0
    for second in range(1, 1801):
        integral += value(here, "acme/active_power") / 3600.0
        here.advance(MORNING + second * S)
    assert value(here, "acme/active_energy") - first == pytest.approx(integral, rel=0.01)
    ratio = value(here, "acme/reactive_power") / value(here, "acme/active_power")
    assert ratio == pytest.approx(np.tan(np.arccos(0.92)))


def test_a_line_rests_outside_its_shift_and_in_its_break(park: Park):
    here = truth(park)
    press = here.floor.machine("acme/hall/l2/p1")
    press.to_fail_us = 10**15
    seen: dict[str, Does] = {}
    for at in ("09:59", "10:15", "10:45", "14:15"):
        here.advance(to_us(datetime.fromisoformat(f"2026-11-20T{at}+07:00")))
        seen[at] = press.does
    assert seen == {"09:59": Does.BUSY, "10:15": Does.OFF, "10:45": Does.BUSY, "14:15": Does.OFF}
    assert value(here, "acme/hall/l2/p1/operation_mode") == 0.0


def test_feeders_carry_their_loads_and_transformers_their_feeders(park: Park):
    here = truth(park)
    for hour in range(0, 5, 2):
        here.advance(MORNING + hour * H)
        now = here.electricity.at(here.now_us, here.weather.at(here.now_us), 0.0, here.batteries)
        lost = now.feeder_kw - now.load_kw
        assert (lost >= 0.0).all()
        assert (lost < 0.02 * np.abs(now.load_kw) + 1.0).all()
        upstream = now.transformer_kw.sum() - now.feeder_kw.sum()
        assert 0.0 < upstream < 0.005 * here.electricity.rating_kva.sum()
        bought = now.site_kw.sum() - now.pv_kw.sum() - sum(b.power_kw for b in here.batteries)
        groups = now.load_kw.sum() - bought
        assert 2000.0 < groups < 8000.0


def test_a_tripped_transformer_leaves_everything_to_the_other(park: Park):
    here = truth(park)
    before = value(here, "ss1/t1/active_power") + value(here, "ss1/t2/active_power")
    here.begin_fault(trip := fault("transformer_trip", "ss1/t2"))
    assert value(here, "ss1/t2/active_power") == 0.0
    assert value(here, "ss1/t2/breaker") == 0.0
    assert value(here, "ss1/t1/active_power") == pytest.approx(before, rel=0.005)
    oil = value(here, "ss1/t1/oil_temperature")
    here.advance(MORNING + 2 * H)
    assert value(here, "ss1/t1/oil_temperature") > oil + 2.0
    here.end_fault(trip)
    assert value(here, "ss1/t2/breaker") == 1.0


def test_the_battery_keeps_its_bounds_and_loses_a_little(day: Day):
    soc, power = day.of("b1/state_of_charge"), day.of("b1/active_power")
    assert soc.min() >= 10.0 - 1e-6
    assert soc.max() <= 95.0 + 1e-6
    assert np.abs(power).max() <= 1000.0
    before, after = day.battery_before, day.after.batteries[0]
    taken, given_back = after.in_kwh - before.in_kwh, after.out_kwh - before.out_kwh
    assert min(taken, given_back) > 500.0
    one_way = after.efficiency**0.5
    stored = after.stored_kwh - before.stored_kwh
    assert stored == pytest.approx(taken * one_way - given_back / one_way, abs=1e-6)


def test_the_sun_shines_by_day_only(day: Day):
    power = day.of("pv1/active_power")
    hours = (8.0 + np.arange(len(power)) / 4.0) % 24.0
    assert (power[(hours < 5.5) | (hours > 18.5)] == 0.0).all()
    assert 500.0 < power.max() <= 1700.0


def test_lost_strings_cost_their_share(park: Park):
    noon = MORNING + 4 * H
    here = truth(park, noon)
    power = value(here, "pv1/active_power")
    here.begin_fault(fault("string_lost", "pv1", 25.0))
    assert value(here, "pv1/active_power") == pytest.approx(0.75 * power)
    assert value(here, "pv1/strings_ok") == 75.0


def test_a_breakdown_costs_output_and_is_repaired(park: Park):
    well, broken = truth(park), truth(park)
    broken.begin_fault(fault("breakdown", "acme/hall/l1/k2", until_us=MORNING + 60 * MIN))
    assert value(broken, "acme/hall/l1/k2/item_state") == 1.0
    assert value(broken, "acme/hall/l1/k2/operation_mode") == 1.0
    for here in (well, broken):
        here.advance(MORNING + 60 * MIN + S)
    assert broken.floor.lines[0].finished_parts < well.floor.lines[0].finished_parts - 20
    assert value(broken, "acme/hall/l1/k2/item_state") != 1.0


def test_a_drift_lengthens_the_cycles(park: Park):
    here = truth(park)
    press = here.floor.machine("acme/hall/l2/p1")
    here.begin_fault(fault("cycle_drift", press.id, 0.5))
    cycles = []
    for minute in range(1, 60):
        here.advance(MORNING + minute * MIN)
        cycles.append(value(here, f"{press.id}/cycle_time"))
    assert np.mean(cycles[5:]) == pytest.approx(1.5 * press.cycle_s, rel=0.05)


def test_a_stuck_meter_shows_one_value_while_the_site_goes_on(park: Park):
    here = truth(park)
    here.begin_fault(stuck := fault("meter_stuck", "acme"))
    column = here.column("tiny/acme/active_energy")
    shown = here.read()[column]
    here.advance(MORNING + 10 * MIN)
    assert here.read()[column] == shown
    here.end_fault(stuck)
    assert here.read()[column] > shown + 10.0


def test_a_fault_of_nothing_is_refused_with_near_names(park: Park):
    with pytest.raises(NotFound, match="did you mean 'acme/hall/l1/p1'"):
        truth(park).begin_fault(fault("cycle_drift", "acme/hall/l1/p9", 0.1))


def test_trucks_that_enter_leave_after_their_turn(day: Day):
    gate = day.after.traffic.gates[0]
    entries, exits = gate.entries - day.entries_before, gate.exits - day.exits_before
    assert 320 < entries < 480
    assert abs(entries - exits) < 60
    assert 15.0 < day.of("g1/turn_time")[-1] < 240.0
    assert day.of("q1/tonnes")[-1] - day.of("q1/tonnes")[0] > 500.0
    assert (day.of("y1/occupied") <= 60).all()


def test_counters_go_on_after_a_restart(park: Park):
    first = truth(park)
    first.advance(MORNING + 10 * MIN)
    saved = first.counters()
    second = Truth(park, 7, first.now_us, saved, warm_up_h=0.5)
    for path, reading in saved.items():
        assert second.read()[second.column(path)] == pytest.approx(reading, abs=1e-6)
    second.advance(first.now_us + 10 * MIN)
    energy = "tiny/acme/active_energy"
    assert second.read()[second.column(energy)] > saved[energy] + 10.0


def test_the_plant_has_an_instrument_for_every_tag_of_the_demonstration_park():
    park = load_park(DEMO)
    afternoon = to_us(datetime.fromisoformat("2026-11-20T17:00+07:00"))
    here = truth(park, afternoon, warm_up_h=0.5)
    columns = [here.column(binding.path) for binding in park.bindings if binding.endpoint]
    assert np.isfinite(here.read()[columns]).all()
    station = [here.column(f"vsip1/ss1/{name}/active_power") for name in ("t1", "t2")]
    loads_mw = []
    for quarter in range(9):
        here.advance(afternoon + quarter * 15 * MIN)
        loads_mw.append(here.exact()[station].sum() / 1000.0)
    assert 68.0 <= max(loads_mw) <= 76.0
