"""The what-if form: made from the schema, and back."""

import pytest
import yaml_text
from hypothesis import given
from hypothesis import strategies as st

from cluster.ports import InputError, Problem
from dashboard.form import (
    added,
    at_fields,
    change_types,
    document,
    dropped,
    ensemble_fields,
    from_yaml,
    kpi_names,
    to_yaml,
    typed_of,
)

TYPES = change_types(yaml_text.SCHEMA)
FIELDS = ensemble_fields(yaml_text.SCHEMA)


def test_the_schema_gives_every_type_of_change():
    assert {each.name for each in TYPES} == yaml_text.CHANGES
    assert len(TYPES) == 11


def test_a_field_knows_its_kind_and_how_it_is_written():
    battery = next(each for each in TYPES if each.name == "battery")
    fields = {f.name: f for f in battery.fields}
    assert fields["asset"].required
    assert fields["energy"].example == "40 MWh"
    assert fields["rule"].kind == "choice"
    assert "peak_shaving" in fields["rule"].options


def test_kpis_come_from_the_schema():
    assert {"peak_mva", "n1_minutes"} <= set(kpi_names(yaml_text.SCHEMA))


def test_the_example_survives_the_form():
    made = from_yaml(yaml_text.EXAMPLE)
    again = document(typed_of(made), "vsip1", TYPES, FIELDS)
    assert again["branches"] == {
        "base": [],
        "bess2x": [{"change": "battery", "asset": "bess1", "energy": "40 MWh"}],
        "shift": [{"change": "calendar", "asset": "tantao/main/l1", "calendar": "night_heavy"}],
    }
    assert again["ensemble"] == {"replications": 64, "seed": 11}
    assert yaml_text.problems(again) == []


@given(st.lists(st.sampled_from(["battery", "solar", "gate_lanes"]), max_size=5), st.data())
def test_removing_a_change_leaves_the_others_in_order(kinds, data):
    typed = {"branches.0.name": "base"}
    for n, kind in enumerate(kinds):
        typed = added(typed, "branches.0.changes", {"change": kind, "asset": f"a{n}"})
    if not kinds:
        return
    gone = data.draw(st.integers(0, len(kinds) - 1))
    left = document(dropped(typed, f"branches.0.changes.{gone}"), "p", TYPES, FIELDS)
    assets = [change["asset"] for change in left["branches"]["base"]]
    assert assets == [f"a{n}" for n in range(len(kinds)) if n != gone]


def test_a_branch_added_after_a_removal_gets_its_own_place():
    typed = {"branches.0.name": "base", "branches.1.name": "b", "branches.2.name": "c"}
    after = added(dropped(typed, "branches.1"), "branches", {"name": "d"})
    assert after == {"branches.0.name": "base", "branches.1.name": "c", "branches.2.name": "d"}


@pytest.mark.parametrize(
    "path",
    ["branches.bess2x.0.energy", "branches.bess2x[0].energy", "branches.bess2x.0.battery.energy"],
)
def test_a_problem_stands_at_its_field(path):
    typed = typed_of(from_yaml(yaml_text.EXAMPLE))
    told, rest = at_fields([Problem(message="no unit", path=path)], typed)
    assert told == {"branches.1.changes.0.energy": "no unit"}
    assert rest == []


def test_a_problem_of_no_field_is_told_apart():
    told, rest = at_fields([Problem(message="odd", path="compare.paired")], {"id": "x"})
    assert told == {}
    assert len(rest) == 1


def test_broken_yaml_names_its_line():
    with pytest.raises(InputError) as caught:
        from_yaml("kind: WhatIf\nbranches: {base: [}\n")
    assert caught.value.where == "line 2"


def test_text_that_is_no_mapping_is_refused():
    with pytest.raises(InputError, match="mapping"):
        from_yaml("- a\n- b\n")


def test_yaml_keeps_the_order_of_a_document():
    text = to_yaml(
        document({"id": "x", "horizon": "2 h", "branches.0.name": "b"}, "p", TYPES, FIELDS)
    )
    assert [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")][:4] == [
        "apiVersion",
        "kind",
        "id",
        "park",
    ]


def test_what_is_taken_anyway_is_not_written():
    typed = {
        "ensemble.replications": "64",
        "ensemble.parameters": "posterior",
        "ensemble.seed": "7",
    }
    made = document(typed, "p", TYPES, FIELDS)
    assert made["ensemble"] == {"replications": 64, "seed": 7}
