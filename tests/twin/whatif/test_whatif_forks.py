"""A fork goes on from a run's replications: with no change it is the run's own tail, exactly."""

import io

import numpy as np
import pytest

from models.errors import InvalidInput
from twin.whatif.plan import Plan, compile_plan, run_piece

PARENT = {
    "base": "[]",
    "big": "[{change: battery, asset: bess1, energy: 6 MWh, rule: peak_shaving}, "
    "{change: battery, asset: bess2, power: 500 kW, energy: 1 MWh}, "
    "{change: cycle_time, asset: acme/hall/l1/p1, factor: 1.2}, "
    "{change: new_tenant, asset: new1, power: 1 MW, trucks: 300 1/d}]",
}


def arrays(plan: Plan) -> dict[str, np.ndarray]:
    (piece,) = compile_plan(plan)
    loaded = np.load(io.BytesIO(run_piece(plan, piece)), allow_pickle=False)
    return {name: loaded[name] for name in loaded.files}


@pytest.fixture(scope="module")
def parent(plan_of) -> Plan:
    return plan_of(PARENT, horizon="12 h", ensemble="{replications: 6, seed: 11}")


@pytest.fixture(scope="module")
def run(parent) -> dict[str, np.ndarray]:
    return arrays(parent)


SERIES = (
    "station_mva",
    "load_mw",
    "pv_mw",
    "bess_mw",
    "bess_soc_pct",
    "output_rate_h",
    "gate_queue",
)


@pytest.mark.parametrize("branch", ["base", "big"])
def test_a_fork_without_changes_is_the_tail_of_its_parent(plan_of, parent, run, branch):
    fork = plan_of(
        {"base": "[]"},
        parent=parent,
        horizon="9 h",
        ensemble="{replications: 6, seed: 99}",  # the seed is the parent's: the same futures go on
        **{"from": f"run:x/{branch}@+3h"},
    )
    tail = arrays(fork)
    for name in SERIES:
        expected = run[f"{branch}/series/{name}"][:, 12:]
        assert np.array_equal(tail[f"base/series/{name}"], expected), name


def test_a_fork_of_a_fork_goes_on_too_and_shorter_horizons_change_nothing(plan_of, parent, run):
    fork = plan_of({"base": "[]"}, parent=parent, horizon="4 h", **{"from": "run:x/big@+135min"})
    second = plan_of({"base": "[]"}, parent=fork, horizon="3 h", **{"from": "run:y@+90min"})
    tail = arrays(second)
    for name in SERIES:
        expected = run[f"big/series/{name}"][:6, 15:27]
        assert np.array_equal(tail[f"base/series/{name}"][:6], expected), name


def test_a_change_in_a_fork_leaves_the_other_lines_and_the_sky_alone(plan_of, parent, run):
    changed = "[{change: machine_added, asset: acme/hall/l1, type: robot, after: p1, buffer: 3}]"
    fork = plan_of(
        {"base": "[]", "added": changed},
        parent=parent,
        horizon="9 h",
        ensemble="{replications: 6}",
        **{"from": "run:x@+3h"},
    )
    made = arrays(fork)
    assert np.array_equal(made["added/series/pv_mw"], run["base/series/pv_mw"][:, 12:])
    # the new machine starts empty, so the line gives less for a moment and never more
    assert made["added/kpi/output"].mean() <= made["base/kpi/output"].mean()
    assert made["added/kpi/output"].mean() > 0.97 * made["base/kpi/output"].mean()
    assert (made["added/kpi/energy_mwh"] > made["base/kpi/energy_mwh"]).all()


@pytest.mark.parametrize(
    ("origin", "problem", "remedy"),
    [
        ("run:x/nowhere@+3h", "no branch 'nowhere'", "one of base, big"),
        ("run:x@+13h", "ends 12 h after its start", "fork it earlier"),
        ("now", "does not fit this plan", "plan it forks from"),
    ],
)
def test_a_fork_that_cannot_be_is_told_why(plan_of, parent, origin, problem, remedy):
    fork = plan_of({"base": "[]"}, parent=parent, horizon="1 h", **{"from": origin})
    with pytest.raises(InvalidInput) as error:
        compile_plan(fork)
    (found,) = error.value.problems
    assert problem in found.message
    assert remedy in found.suggestion
    assert found.path == "from"


def test_a_fork_without_its_parent_is_refused(plan_of):
    with pytest.raises(InvalidInput, match="does not fit this plan"):
        compile_plan(plan_of({"base": "[]"}, **{"from": "run:x@+3h"}))
