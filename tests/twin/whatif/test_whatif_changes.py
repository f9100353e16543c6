"""Every change moves what it must, in the right direction, and nothing else."""

import pytest

STATION = {
    "peak_mva",
    "n1_minutes",
    "over_n1_minutes",
    "energy_mwh",
    "grid_import_mwh",
    "cost_mvnd",
    "co2_t",
}
GATES = {"truck_turn_p90_min", "gate_queue_max"}
BOUGHT = {"grid_import_mwh", "cost_mvnd", "co2_t"}

CHANGES = {
    "battery": "{change: battery, asset: bess1, power: 2 MW, energy: 8 MWh}",
    "second": "{change: battery, asset: bess2, power: 1 MW, energy: 4 MWh}",
    "rule": "{change: battery, asset: bess1, rule: idle}",
    "solar": "{change: solar, asset: pv1, peak: 4 MWp}",
    "roof": "{change: solar, asset: pv2, peak: 2 MWp}",
    "calendar": "{change: calendar, asset: acme/hall/l1, calendar: always}",
    "shifts": "{change: calendar, asset: acme, shifts: ['06:00-14:00']}",
    "slower": "{change: cycle_time, asset: acme/hall/l2/p2, factor: 2}",
    "machine": "{change: machine_added, asset: acme/hall/l2, type: robot}",
    "trip": "{change: transformer_trip, asset: ss1/t2, at: 1 h, lasts: 2 h}",
    "tariff": "{change: tariff, tariff: vn_industrial_two_part_pilot}",
    "growth": "{change: demand_growth, growth: 10 %}",
    "lanes": "{change: gate_lanes, asset: g1, lanes: 4}",
    "tenant": "{change: new_tenant, asset: new1, power: 2 MW, wastewater: 20 m3/h, "
    "trucks: 240 1/d}",
    "less": "{change: curtailment, asset: others, power: 1 MW, span: '18:00-20:00'}",
}

MAY_MOVE = {
    "battery": STATION - {"energy_mwh"},
    "second": STATION - {"energy_mwh"},
    "rule": STATION - {"energy_mwh"},
    "solar": STATION - {"energy_mwh"},
    "roof": STATION - {"energy_mwh"},
    "calendar": STATION | GATES | {"output"},
    "shifts": STATION | GATES | {"output"},
    "slower": STATION | {"output"},
    "machine": STATION | {"output"},
    "trip": {"n1_minutes", "p_over"},
    "tariff": {"cost_mvnd"},
    "growth": STATION,
    "lanes": GATES,
    "tenant": STATION | GATES | {"wastewater_m3"},
    "less": STATION,
}

RISES = {
    "calendar": {"output", "energy_mwh"},
    "machine": {"energy_mwh"},
    "trip": {"p_over"},
    "growth": STATION - {"n1_minutes"},
    "tenant": {"energy_mwh", "peak_mva", "wastewater_m3", "cost_mvnd", "gate_queue_max"},
}
FALLS = {
    "battery": {"peak_mva", "cost_mvnd"},
    "second": {"peak_mva", "cost_mvnd"},
    "solar": BOUGHT,
    "roof": BOUGHT,
    "shifts": {"output", "energy_mwh"},
    "slower": {"output"},
    "growth": {"n1_minutes"},
    "lanes": GATES,
    "less": {"energy_mwh", "cost_mvnd"},
}


@pytest.fixture(scope="module")
def differences(outcome_of):
    """(branch, KPI) → (mean difference to the base, half width of its interval)."""
    branches = {"base": "[]"} | {name: f"[{change}]" for name, change in CHANGES.items()}
    outcome = outcome_of(branches, horizon="24 h", ensemble="{replications: 8, seed: 3}")
    return {
        (row["branch"], row["kpi"]): (row["difference"], row["high"] - row["low"])
        for row in outcome.pairs.to_pylist()
    }


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_everything_else_exactly_as_it_was(differences, name):
    moved = {kpi for (branch, kpi), (mean, width) in differences.items()
             if branch == name and (mean != 0.0 or width != 0.0)}  # fmt: skip
    assert moved <= MAY_MOVE[name]
    assert moved


@pytest.mark.parametrize("name", RISES)
def test_a_change_raises_what_it_must(differences, name):
    assert all(differences[name, kpi][0] > 0.0 for kpi in RISES[name])


@pytest.mark.parametrize("name", FALLS)
def test_a_change_lowers_what_it_must(differences, name):
    assert all(differences[name, kpi][0] < 0.0 for kpi in FALLS[name])


def test_worked_sizes(differences):
    # 20 m3/h for 24 h; 1 MW for two hours; a tenth of everything
    assert differences["tenant", "wastewater_m3"] == (pytest.approx(480.0), 0.0)
    assert differences["less", "energy_mwh"][0] == pytest.approx(-2.0)


def test_growth_is_a_share_of_the_load(outcome_of):
    outcome = outcome_of({"base": "[]", "grown": f"[{CHANGES['growth']}]"}, horizon="3 h")
    energy = {r["branch"]: r["mean"] for r in outcome.kpis.to_pylist() if r["kpi"] == "energy_mwh"}
    assert energy["grown"] == pytest.approx(1.1 * energy["base"])


def test_growths_of_a_site_and_of_the_park_multiply_and_changes_apply_in_order(outcome_of):
    both = "{change: demand_growth, growth: 50 %, asset: others}"
    outcome = outcome_of(
        {
            "base": "[]",
            "others": f"[{both}]",
            "twice": f"[{both}, {both}]",
            "added": "[{change: machine_added, asset: acme/hall/l2, type: robot}, "
            "{change: cycle_time, asset: acme/hall/l2/new_m1, cycle_time: 120 s}]",
        },
        horizon="3 h",
    )
    energy = {r["branch"]: r["mean"] for r in outcome.kpis.to_pylist() if r["kpi"] == "energy_mwh"}
    others = (energy["others"] - energy["base"]) / 0.5
    assert energy["twice"] - energy["base"] == pytest.approx(1.25 * others)
    output = {r["branch"]: r["mean"] for r in outcome.kpis.to_pylist() if r["kpi"] == "output"}
    assert output["added"] < output["base"]
