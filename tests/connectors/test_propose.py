"""Proposed mappings: names in English, Vietnamese and abbreviations, units and types."""

from pathlib import Path

import pytest

from connectors.onboarding.words import words
from connectors.opcua.propose import propose, with_proposals
from connectors.opcua.report import BrowsedNode
from twin.parkfile.load import load_park

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def park(tmp_path_factory):
    """The smallest park, with nothing mapped yet."""
    lines = (EXAMPLES / "minimal.yaml").read_text(encoding="utf-8").splitlines()
    keep = [
        line for line in lines if not line.startswith(("endpoints:", "  - {id: plc", "virtual"))
    ]
    path = tmp_path_factory.mktemp("park") / "small.yaml"
    path.write_text("\n".join(keep), encoding="utf-8")
    return load_park(path)


def node(path: str, *, unit: str = "", data_type: str = "Double", id: str = "") -> BrowsedNode:
    return BrowsedNode(
        node=f"nsu=urn:a;s={id or path.replace('/', '.')}",
        name=path.rpartition("/")[2],
        node_class="Variable",
        path=path,
        data_type=data_type,
        unit=unit,
    )


@pytest.mark.parametrize(
    ("path", "unit", "data_type", "metric"),
    [
        ("Line 1/P01/Active power", "kW", "Double", "active_power"),
        ("Line1/P01/Power", "", "Float", "active_power"),
        ("Chuyền 1/Máy P01/Công suất", "kW", "Double", "active_power"),
        ("Chuyen_1/P01/NhietDo", "°C", "Double", "temperature"),
        ("L1/P01/Temp", "", "Float", "temperature"),
        ("L1/P01/MachineryItemState", "", "Int32", "item_state"),
        ("L1/P01/DienNang", "kWh", "Double", "active_energy"),
        ("L1/P01/CycleTime", "s", "Double", "cycle_time"),
        ("Line_1/P01/Bộ đếm sản phẩm", "", "UInt32", "part_count"),
        ("L1/P01/NG", "", "UInt32", "scrap_count"),
    ],
)
def test_names_of_three_kinds_find_their_tag(park, path, unit, data_type, metric):
    (found,) = propose([node(path, unit=unit, data_type=data_type)], park)
    assert found.path == f"small/acme/hall/l1/p01/{metric}"
    assert found.confidence >= 0.5
    assert "p 1" in found.why


@pytest.mark.parametrize(
    ("path", "unit", "data_type"),
    [
        ("Channel1/Device1/MW100", "", "Int16"),
        ("L1/P01/SerialNumber", "", "Double"),
        ("L1/P01/Power", "degC", "Double"),
        ("L1/P01/Power", "", "String"),
        ("L7/P99/Power", "", "Double"),
    ],
)
def test_what_does_not_fit_gets_no_sure_proposal(park, path, unit, data_type):
    found = propose([node(path, unit=unit, data_type=data_type)], park)
    assert all(proposal.confidence < 0.7 for proposal in found)


def test_the_right_unit_raises_and_a_wrong_one_lowers_the_confidence(park):
    def sure(unit: str) -> float:
        found = propose([node("L1/P01/Power", unit=unit)], park)
        return found[0].confidence if found else 0.0

    assert sure("kW") >= sure("MW") >= sure("") > sure("degC")
    assert "converted" in propose([node("L1/P01/Power", unit="MW")], park)[0].why


def test_a_tag_is_proposed_once_to_the_node_that_fits_best(park):
    exact, vague = node("L1/P01/Active power", unit="kW"), node("Old/P01/Power2/Power")
    found = propose([vague, exact], park)
    paths = [proposal.path for proposal in found]
    assert len(paths) == len(set(paths))
    assert next(p for p in found if p.path.endswith("active_power")).node == exact.node


def test_mapped_nodes_and_tags_are_left_out():
    mapped = load_park(EXAMPLES / "minimal.yaml")
    power = next(b for b in mapped.bindings if b.path.endswith("active_power") and b.identifier)
    again = BrowsedNode(node=power.node, name="active_power", node_class="Variable", path="p01")
    other = node("L1/P01/Active power", unit="kW")
    assert not any(p.path == power.path for p in propose([again, other], mapped))
    assert with_proposals([again], mapped) == (again,)


def test_objects_are_shown_without_a_proposal(park):
    folder = BrowsedNode(node="nsu=urn:a;s=P01", name="P01", node_class="Object", path="L1/P01")
    shown = with_proposals([folder, node("L1/P01/Power")], park)
    assert shown[0] == folder
    assert shown[1].proposal == "small/acme/hall/l1/p01/active_power"


def test_words_split_camel_case_digits_and_marks():
    assert words("Day_Chuyen01.MáyÉp.CôngSuất") == (
        "day",
        "chuyen",
        "1",
        "may",
        "ep",
        "cong",
        "suat",
    )
    assert words("PLCTag Đo") == ("plc", "tag", "do")
