"""Texts of what-ifs: every fault has its line, its path and a remedy; the form has its words."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidInput
from twin.parkfile.load import load_park
from twin.whatif.compare import KPI_SPECS
from twin.whatif.origin import read_origin
from twin.whatif.parse import check_whatif, parse_whatif
from twin.whatif.plan import Plan, combine_parts, compile_plan, run_piece
from twin.whatif.snapshot import nominal
from twin.whatif.spec import KpiName, WhatIf
from twin.whatif.variant import STATION_KPIS, vary

EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD = """apiVersion: parktwin/v1
kind: WhatIf
id: test
park: small
from: now
horizon: 12 h
ensemble: {replications: 8}
branches:
  base: []
  big:
    - {change: battery, asset: bess1, energy: 8 MWh}
compare:
  against: base
  kpis:
    - {kpi: peak_mva}
"""


def read(text: str, park=None) -> None:
    spec, document = parse_whatif(text, "w.yaml")
    if park is not None:
        check_whatif(spec, park.spec, document, "w.yaml")


def problems_of(text: str, park=None):
    with pytest.raises(InvalidInput) as error:
        read(text, park)
    return error.value.problems


def with_change(change: str) -> str:
    return GOOD.replace("{change: battery, asset: bess1, energy: 8 MWh}", change)


def test_a_good_text_is_read(park):
    spec, document = parse_whatif(GOOD)
    check_whatif(spec, park.spec, document)
    assert (spec.horizon, spec.from_, spec.ensemble.least) == (43_200.0, "now", 8)
    (change,) = spec.branches["big"]
    assert change.energy == 8000.0
    assert parse_whatif('{"kind": "WhatIf", "id": "j", "park": "small", "horizon": "1 h", '
                        '"ensemble": {"replications": 2}, "branches": {"base": []}}')  # fmt: skip


SCHEMA_FAULTS = {
    "unknown key": ("horizon: 12 h", "horizn: 12 h", "horizn", "did you mean 'horizon'", 6),
    "unknown branch key": ("against: base", "agains: base", "compare.agains", "'against'", 13),
    "not enough": ("{replications: 8}", "{replications: 1}", "ensemble.replications", "", 7),
    "two ways": ("{replications: 8}", "{replications: 8, min: 2}", "ensemble", "", 7),
    "half a way": ("{replications: 8}", "{min: 2, max: 4}", "ensemble", "", 7),
    "min above max": (
        "{replications: 8}",
        "{min: 8, max: 4, stop: {kpi: output, half_width: 1}}",
        "ensemble",
        "",
        7,
    ),
    "NaN": (
        "{replications: 8}",
        "{min: 2, max: 4, stop: {kpi: output, half_width: .nan}}",
        "ensemble.stop.half_width",
        "",
        7,
    ),
    "no horizon": ("horizon: 12 h\n", "", "horizon", "", 1),
    "short horizon": ("12 h", "5 min", "horizon", "", 6),
    "long horizon": ("12 h", "32 d", "horizon", "", 6),
    "odd horizon": ("12 h", "20 min", "horizon", "", 6),
    "horizon without unit": ("horizon: 12 h", "horizon: 12", "horizon", "", 6),
    "wrong unit": ("8 MWh", "8 MW", "branches.big[0].energy", "write e.g.", 11),
    "NaN energy": ("8 MWh", "nan MWh", "branches.big[0].energy", "", 11),
    "negative": ("8 MWh", "-8 MWh", "branches.big[0].energy", "", 11),
    "unknown kpi": ("peak_mva", "peak", "compare.kpis[0].kpi", "did you mean 'peak_mva'", 15),
    "nothing to change": (", energy: 8 MWh", "", "branches.big[0]", "", 11),
    "a field named as its change": (
        "{change: battery, asset: bess1, energy: 8 MWh}",
        "{change: calendar, asset: 7, calendar: day}",
        "branches.big[0].asset",
        "",
        11,
    ),
}


@pytest.mark.parametrize("fault", SCHEMA_FAULTS)
def test_a_fault_of_the_schema_has_line_path_and_remedy(fault):
    old, new, path, remedy, line = SCHEMA_FAULTS[fault]
    assert old in GOOD
    found = [p for p in problems_of(GOOD.replace(old, new)) if p.path == path]
    assert remedy in found[0].suggestion
    assert (found[0].file, found[0].line) == ("w.yaml", line)
    assert found[0].message
    assert found[0].suggestion


def test_an_unknown_change_names_the_known_ones():
    (found,) = problems_of(with_change("{change: batery, asset: bess1}"))
    assert "batery" in found.message
    assert "battery" in found.suggestion
    assert found.line == 11


@pytest.mark.parametrize(
    ("change", "field", "remedy"),
    [
        ("{change: battery, asset: bess9, rule: idle}", "asset", "did you mean 'bess1'"),
        ("{change: battery, asset: store, energy: 1 MWh}", "asset", "energy and power of a new"),
        ("{change: calendar, asset: acme/hall/l9, calendar: day}", "asset", "'acme/hall/l1'"),
        ("{change: calendar, asset: acme, calendar: dya}", "calendar", "'day'"),
        ("{change: cycle_time, asset: acme/hall/l1/x1, factor: 2}", "asset", "did you mean"),
        ("{change: cycle_time, asset: acme/hall/l1/p1, cycle_time: 0 s}", "cycle_time", "positive"),
        ("{change: machine_added, asset: acme/hall/l3, type: press}", "asset", "did you mean"),
        ("{change: machine_added, asset: acme/hall/l1, type: pres}", "type", "'press'"),
        ("{change: machine_added, asset: acme/hall/l1, type: press, after: zz}", "after", "p1, r1"),
        ("{change: transformer_trip, asset: ss1/t3}", "asset", "'ss1/t2'"),
        ("{change: tariff, tariff: vn_one_part}", "tariff", "vn_industrial_one_part"),
        ("{change: demand_growth, asset: acmee, growth: 5 %}", "asset", "'acme'"),
        ("{change: gate_lanes, asset: g7, lanes: 3}", "asset", "one of g1"),
        ("{change: new_tenant, asset: others, power: 1 MW}", "asset", "another id"),
        ("{change: new_tenant, asset: n, power: 1 MW, profile: foood}", "profile", "'food'"),
        ("{change: curtailment, asset: nobody, power: 1 MW}", "asset", "one of acme, others"),
    ],
)
def test_a_change_that_fits_nothing_has_line_path_and_remedy(park, change, field, remedy):
    (found,) = problems_of(with_change(change), park)
    assert found.path == f"branches.big[0].{field}"
    assert remedy in found.suggestion
    assert (found.file, found.line) == ("w.yaml", 11)


@pytest.mark.parametrize(
    "change",
    [
        "{change: calendar, asset: acme}",
        "{change: calendar, asset: acme, calendar: day, shifts: ['06:00-14:00']}",
        "{change: calendar, asset: acme, shifts: []}",
        "{change: calendar, asset: acme, shifts: ['6-14']}",
        "{change: cycle_time, asset: acme/hall/l1/p1}",
        "{change: cycle_time, asset: acme/hall/l1/p1, factor: 0}",
        "{change: cycle_time, asset: acme/hall/l1/p1, factor: .inf}",
        "{change: machine_added, asset: acme/hall/l1, type: press, parallel: true}",
        "{change: gate_lanes, asset: g1, lanes: 0}",
        "{change: demand_growth, growth: -200 %}",
        "{change: new_tenant, asset: n, power: 1 MW, cos_phi: 1.2}",
        "{change: curtailment, asset: acme, power: 1 MW, span: all day}",
    ],
)
def test_a_change_with_impossible_fields_is_refused_at_its_line(change):
    found = problems_of(with_change(change))
    assert found[0].path.startswith("branches.big[0]")
    assert found[0].line == 11
    assert found[0].suggestion


def test_all_faults_are_told_at_once(park):
    text = (
        GOOD.replace("park: small", "park: smal")
        .replace("from: now", "from: yesterday")
        .replace("against: base", "against: bas")
        .replace("asset: bess1", "asset: bess7")
    )
    found = problems_of(text.replace("energy: 8 MWh", "rule: idle"), park)
    assert [(p.path, p.line) for p in found] == [
        ("park", 4),
        ("compare.against", 13),
        ("from", 5),
        ("branches.big[0].asset", 11),
    ]
    assert all(p.suggestion for p in found)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: 1", "no what-if"), (GOOD + "---\n" + GOOD, "2 what-ifs")],
)
def test_a_text_holds_one_what_if(text, message):
    (found,) = problems_of(text)
    assert message in found.message
    assert found.suggestion == "write 'kind: WhatIf'"


def test_a_kpi_without_anything_to_measure_is_refused(park):
    bare = park.spec.model_copy(update={"logistics": park.spec.logistics.model_copy(
        update={"gates": ()})})  # fmt: skip
    text = GOOD.replace("{kpi: peak_mva}", "{kpi: gate_queue_max}")
    spec, document = parse_whatif(text)
    check_whatif(spec, park.spec, document)
    with pytest.raises(InvalidInput) as error:
        check_whatif(spec, bare, document)
    (found,) = error.value.problems
    assert (found.path, found.line) == ("compare.kpis[0].kpi", 15)
    assert "output" in found.suggestion


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "2026-11-20T08:00",
        "1601-01-01T00:00Z",
        "2099-12-31T00:00Z",
        "2026-13-01T00:00Z",
        "run:x",
        "run:x@3h",
        "run:x@+3",
        "run:x@+20min",
        "run:x@+0h",
        "run:x@+-3h",
        "run:x@+nan h",
        "",
    ],
)
def test_an_origin_that_is_none_says_what_is(text):
    with pytest.raises(InvalidInput) as error:
        read_origin(text)
    (found,) = error.value.problems
    assert found.path == "from"
    assert found.message
    assert found.suggestion


def test_origins():
    assert read_origin("now").kind == "now"
    assert read_origin("empty").kind == "empty"
    at = read_origin("2026-11-20T08:00+07:00")
    assert at.at_us == datetime(2026, 11, 20, 1, tzinfo=UTC).timestamp() * 1e6
    fork = read_origin("run:a1B2/big@+90min")
    assert (fork.kind, fork.run, fork.branch, fork.after_us) == ("run", "a1B2", "big", 5400_000_000)
    assert read_origin("run:x@+1.25 h").after_us == 4500_000_000
    assert read_origin("run:x@+2d").after_us == 2 * 86_400_000_000


@given(text=st.text(max_size=40))
def test_no_text_breaks_the_reader(text):
    assert problems_of(text)


def test_every_field_and_type_has_its_words_in_both_languages():
    schema = WhatIf.model_json_schema()
    objects = {"WhatIf": schema} | {
        name: node for name, node in schema["$defs"].items() if name != "Text"
    }
    said = 0
    for name, node in objects.items():
        assert node["title"], name
        assert node["description"], name
        assert {"title", "description"} <= node["x-vi"].keys(), name
        for field, inner in node["properties"].items():
            if "const" in inner and field != "paired":
                continue
            assert inner["description"], (name, field)
            assert inner["x-vi"]["title"], (name, field)
            assert inner["x-vi"]["description"], (name, field)
            said += 1
    assert said > 40


def test_every_quantity_has_its_unit():
    change = WhatIf.model_json_schema()["$defs"]["NewTenant"]["properties"]
    units = {name: node["x-unit"] for name, node in change.items() if "x-unit" in node}
    assert units == {"power": "kW", "wastewater": "m3/h", "trucks": "1/h"}
    assert change["power"]["x-minimum"] == 0


def test_every_kpi_has_its_unit_and_direction():
    assert set(KpiName.__args__) == set(KPI_SPECS)
    assert set(KPI_SPECS) >= STATION_KPIS
    assert all(spec.unit and spec.label.vi and spec.label.en for spec in KPI_SPECS.values())


@pytest.mark.parametrize("name", ["evening-peak", "new-tenant", "shift"])
def test_the_examples_fit_the_demonstration_park(name):
    park = load_park(EXAMPLES / "vsip1.yaml")
    text = (EXAMPLES / f"whatif-{name}.yaml").read_text()
    spec, document = parse_whatif(text, name)
    check_whatif(spec, park.spec, document, name)
    assert spec.id == name
    assert spec.label is not None
    for changes in spec.branches.values():
        assert vary(park.spec, changes).spec.id == "vsip1"


def test_on_the_demonstration_park_a_large_battery_buys_minutes_and_response_cuts_cost():
    park = load_park(EXAMPLES / "vsip1.yaml")
    text = (EXAMPLES / "whatif-evening-peak.yaml").read_text()
    small = text.replace("replications: 64", "replications: 12")
    at_us = round(datetime(2026, 11, 24, 2, 40, tzinfo=UTC).timestamp()) * 1_000_000
    plan = Plan(park_text=park.text, snapshot=nominal(park, at_us).to_json(), text=small)
    outcome = combine_parts(plan, [run_piece(plan, piece) for piece in compile_plan(plan)])
    row = {(r["branch"], r["kpi"]): r for r in outcome.pairs.to_pylist()}
    assert row["battery", "n1_minutes"]["verdict"] == "clearly_better"
    assert row["battery", "peak_mva"]["difference"] < row["shaved", "peak_mva"]["difference"] < -1.0
    assert row["response", "cost_mvnd"]["verdict"] == "clearly_better"
    means = {(r["branch"], r["kpi"]): r["mean"] for r in outcome.kpis.to_pylist()}
    assert 70.0 < means["base", "peak_mva"] < 90.0
    assert 1500.0 < means["base", "energy_mwh"] < 1900.0
    assert means["grown", "energy_mwh"] == pytest.approx(1.07 * means["base", "energy_mwh"])


def test_an_unknown_key_of_a_change_is_told_the_keys_of_that_change():
    (found,) = problems_of(with_change("{change: gate_lanes, asset: g1, lanes: 3, speed: 1}"))
    assert found.message == "unknown key 'speed'"
    assert found.suggestion == "known keys: change, asset, lanes, service"
    (parallel,) = problems_of(
        with_change("{change: machine_added, asset: acme/hall/l1, type: press, parallel: true}")
    )
    assert parallel.message == "unknown key 'parallel'"
