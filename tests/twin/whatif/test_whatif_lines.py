"""Lines of a what-if are those of `models.line`, started from what the snapshot shows."""

import io
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from models.bill import Grid
from models.draws import deterministic, gamma, key_of
from models.errors import InputError
from models.line import Spent, live_state, simulate_lines
from models.machine_power import machine_energy_kwh
from twin.parkfile.schema import Distribution
from twin.whatif.calendars import Calendars
from twin.whatif.factory import LineEnd, carried, law_of, line_models, powers_of, run_line
from twin.whatif.lanes import Lanes
from twin.whatif.plan import compile_plan, run_piece
from twin.whatif.snapshot import CycleEstimate, Reading
from twin.whatif.spec import CycleTime, MachineAdded
from twin.whatif.variant import Variant, vary

HOURS = 8
NOMINAL = Lanes(seed=4, replications=np.arange(10), posterior=False)


def grid(steps: int = 4 * HOURS, at: str = "2026-11-24T14:00+07:00") -> Grid:
    start_us = round(datetime.fromisoformat(at).timestamp()) * 1_000_000
    return Grid(start_us=start_us, step_us=900_000_000, steps=steps)


def models(park, snapshot, changes=(), over=None):
    variant = vary(park.spec, changes) if changes else Variant(spec=park.spec)
    found = line_models(variant, snapshot, Calendars(variant.spec, over or grid()))
    return {model.id: model for model in found}


def simulate(model, lanes=NOMINAL, hours=HOURS, **more):
    return run_line(model, lanes, horizon_s=hours * 3600.0, step_s=900.0, **more)


def test_a_line_from_an_empty_park_is_the_line_of_the_models(park, start):
    model = models(park, start)["acme/hall/l1"]
    state = live_state(model.line, model.seen, model.levels, seed=4, replications=np.arange(10))
    peer = simulate_lines(
        [model.line], seed=4, replications=np.arange(10), horizon_s=HOURS * 3600.0, bin_s=900.0,
        start=state,
    )  # fmt: skip
    ours = simulate(model)
    assert np.array_equal(ours.run.spent, peer.spent)
    assert np.array_equal(ours.good, peer.output * 0.99)
    assert (state.work_left == -1).all()


def test_a_line_is_built_as_it_is_written(park, start):
    model = models(park, start)["acme/hall/l1"]
    press, robot = model.line.machines
    assert (model.machines, model.line.buffers, model.levels) == (("p1", "r1"), (10,), (0,))
    assert press.key == key_of("acme/hall/l1/p1")
    assert (press.cycle, robot.cycle) == (gamma(30.0, 0.1), gamma(25.0, 0.1))
    assert press.failure is not None
    assert press.failure.to_fail.mean == pytest.approx(20 * 3600.0, rel=1e-4)
    assert press.failure.to_repair.mean == pytest.approx(20 * 60.0, rel=1e-4)
    assert robot.failure is None
    # from 14:00 to 22:00 on a Tuesday
    assert press.shifts == ((0.0, HOURS * 3600.0),)


def test_power_is_that_of_the_states_and_of_the_parts(park, start):
    model = models(park, start)["acme/hall/l1"]
    done = simulate(model)
    energy = machine_energy_kwh(done.run.spent_s, done.run.made, model.powers).sum(axis=1)
    assert done.power_kw == pytest.approx(energy / 0.25)
    spent = done.run.spent_s.sum(axis=2) / 3600.0
    idle = [Spent.BLOCKED, Spent.STARVED]
    press = 60.0 * spent[:, 0, Spent.WORKING] + 10.0 * spent[:, 0, idle].sum(axis=1)
    press += 3.0 * spent[:, 0, [Spent.DOWN, Spent.OFF]].sum(axis=1)
    robot = 6.0 * spent[:, 1, Spent.WORKING] + 1.0 * spent[:, 1, idle].sum(axis=1)
    by_hand = press + robot + 0.02 * done.run.made[:, 1].sum(axis=1)
    assert done.power_kw.sum(axis=1) * 0.25 == pytest.approx(by_hand)


def test_powers_fall_back_to_the_state_that_comes_nearest(park):
    press = powers_of(park.spec.types["press"])
    assert press.by_state() == (60.0, 3.0, 10.0, 10.0, 3.0)
    assert powers_of(park.spec.types["robot"]).by_state() == (6.0, 1.0, 1.0, 1.0, 0.0)


def test_good_parts_never_exceed_what_the_cycle_times_allow(park, start):
    for model in models(park, start).values():
        done = simulate(model, Lanes(seed=9, replications=np.arange(20), posterior=True))
        scale = 1.0 - 4.0 * model.cycle_sd.max()
        slowest = scale * model.cycle_s.max() * 0.9  # cycles vary by 10 %
        assert done.good.sum(axis=1).max() <= HOURS * 3600.0 / slowest
        made = done.run.made.sum(axis=2)
        assert (np.diff(made, axis=1) <= 0).all()


def test_a_slower_calibrated_cycle_lowers_the_output_of_the_bottleneck_line(park, start):
    slow = dict(start.cycles)
    slow["acme/hall/l2/p2"] = CycleEstimate(mean_s=30.0 * 1.08, sd_s=0.1, parts=500.0)
    drifted = replace(start, cycles=slow)
    before = simulate(models(park, start)["acme/hall/l2"]).good.sum()
    after = simulate(models(park, drifted)["acme/hall/l2"]).good.sum()
    assert after / before == pytest.approx(1.0 / 1.08, abs=0.005)
    untouched = simulate(models(park, drifted)["acme/hall/l1"]).good
    assert np.array_equal(untouched, simulate(models(park, start)["acme/hall/l1"]).good)


def test_a_drift_in_the_snapshot_moves_the_output_kpi(plan_of, start):
    slow = {k: replace(c, mean_s=1.08 * c.mean_s, sd_s=0.0) for k, c in start.cycles.items()}
    fast = {k: replace(c, sd_s=0.0) for k, c in start.cycles.items()}
    output = []
    for cycles in (fast, slow):
        plan = plan_of({"base": "[]"}, snapshot=replace(start, cycles=cycles), horizon="8 h")
        (piece,) = compile_plan(plan)
        output.append(np.load(io.BytesIO(run_piece(plan, piece)))["base/kpi/output"].mean())
    assert output[1] / output[0] == pytest.approx(1.0 / 1.08, abs=0.01)


def test_cycle_times_are_replaced_or_scaled_with_their_relative_uncertainty(park, start):
    name = "acme/hall/l2/p2"
    calibrated = replace(
        start, cycles={**start.cycles, name: CycleEstimate(mean_s=32.0, sd_s=0.8, parts=10.0)}
    )
    for change, mean_s in (
        (CycleTime(change="cycle_time", asset=name, factor=0.5), 16.0),
        (CycleTime(change="cycle_time", asset=name, cycle_time="20 s"), 20.0),
    ):
        model = models(park, calibrated, [change])["acme/hall/l2"]
        assert model.cycle_s.tolist() == [mean_s]
        assert model.cycle_sd.tolist() == [0.025]


def test_posterior_cycles_are_drawn_once_per_replication_and_shared_by_scenarios(park, start):
    model = models(park, start)["acme/hall/l2"]
    lanes = Lanes(seed=4, replications=np.arange(10), posterior=True)
    varied, fixed = simulate(model, lanes).good.sum(axis=1), simulate(model).good.sum(axis=1)
    assert (varied != fixed).any()
    assert np.array_equal(simulate(model, lanes).good.sum(axis=1), varied)


def seen(start, readings):
    return replace(
        start,
        readings={
            key: Reading(value=float(value), at_us=start.at_us - age_s * 1_000_000)
            for key, (value, age_s) in readings.items()
        },
    )


def test_a_live_line_starts_where_it_stands(park, start):
    live = seen(
        start,
        {
            "acme/hall/l1/p1/item_state": (3, 12),  # executing for 12 s
            "acme/hall/l1/p1/operation_mode": (3, 12),
            "acme/hall/l1/b1/level": (7, 1),
            "acme/hall/l1/r1/item_state": (2, 40),  # idle
            "acme/hall/l2/p2/item_state": (1, 300),  # out of service for five minutes
        },
    )
    found = models(park, live)
    line = found["acme/hall/l1"]
    assert (line.seen[0].has_part, line.seen[0].worked_s) == (True, 12.0)
    assert not line.seen[1].has_part
    assert line.levels == (7,)
    assert found["acme/hall/l2"].seen[0].down_s == 300.0
    state = live_state(line.line, line.seen, line.levels, seed=1, replications=np.arange(50))
    # 30 s less 12 s, and some noise
    assert np.median(state.work_left[:, 0]) == pytest.approx(18_000, rel=0.05)
    # seven parts wait: the robot gives seven more than it would from empty
    full, empty = simulate(line, hours=1), simulate(models(park, start)["acme/hall/l1"], hours=1)
    assert (full.run.made[:, 1].sum(axis=1) > empty.run.made[:, 1].sum(axis=1)).all()


def test_levels_beyond_the_buffer_and_states_beyond_the_list_are_brought_inside(park, start):
    odd = seen(
        start,
        {
            "acme/hall/l1/b1/level": (99, 1),
            "acme/hall/l1/p1/item_state": (17, 1),
            "acme/hall/l1/r1/item_state": (3, -60),  # a clock that runs ahead
        },
    )
    line = models(park, odd)["acme/hall/l1"]
    assert line.levels == (10,)
    assert not line.seen[0].has_part
    assert line.seen[1].worked_s == 0.0
    assert simulate(line, hours=1).good.sum() > 0.0


def test_a_line_goes_on_with_a_machine_more(park, start):
    model = models(park, start)["acme/hall/l1"]
    end = LineEnd(machines=model.machines, state=simulate(model, hours=2).run.end)
    assert carried(end, model) is end.state
    more = MachineAdded(change="machine_added", asset="acme/hall/l1", type="robot", after="p1")
    longer = models(park, start, [more])["acme/hall/l1"]
    assert longer.machines == ("p1", "new_m1", "r1")
    state = carried(end, longer)
    assert np.array_equal(state.work_left[:, [0, 2]], end.state.work_left)
    assert (state.work_left[:, 1] == -1).all()
    assert np.array_equal(state.level[:, 1], end.state.level[:, 0])
    assert (state.level[:, 0] == 0).all()
    assert simulate(longer, hours=1, start=state).good.sum() > 0.0


def test_outside_its_shifts_a_line_makes_nothing_and_draws_its_power_at_rest(park, start):
    night = models(park, start, over=grid(steps=8, at="2026-11-24T23:00+07:00"))["acme/hall/l1"]
    done = simulate(night, hours=2)
    assert done.good.sum() == 0.0
    assert done.power_kw == pytest.approx(3.0)
    assert night.expected_kw(np.zeros(8)) == pytest.approx(3.0)


def test_the_expected_power_is_near_the_simulated_one(park, start):
    # an hour on, when the line has filled; breakdowns take a little more than 1 %
    for model in models(park, start).values():
        done = simulate(model, Lanes(seed=1, replications=np.arange(100), posterior=True))
        expected = model.expected_kw(np.ones(32))[4:]
        assert done.power_kw[:, 4:].mean() == pytest.approx(expected.mean(), rel=0.03)


@pytest.mark.parametrize(
    ("written", "mean"),
    [
        ({"dist": "deterministic", "mean": "30 s"}, 30.0),
        ({"dist": "exponential", "mean": "2 h"}, 7200.0),
        ({"dist": "gamma", "mean": "30 s", "cv": 0.2}, 30.0),
        ({"dist": "triangular", "low": "10 s", "mode": "20 s", "high": "60 s"}, 30.0),
    ],
)
def test_written_laws_have_their_means(written, mean):
    assert law_of(Distribution.model_validate(written)).mean == pytest.approx(mean, rel=1e-3)
    assert law_of(Distribution(dist="deterministic", mean="1 s")) == deterministic(1.0)


def test_a_law_without_its_parameters_is_refused():
    with pytest.raises(InputError, match="weibull lacks shape, scale"):
        law_of(Distribution(dist="weibull", mean="30 s"))
