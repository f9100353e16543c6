"""Templates of nodes and tags: placeholders, units, identifiers."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from twin.parkfile.mapping import bind, catalogue_of, expand
from twin.parkfile.schema import Mapping
from twin.tags import Kind

TYPES = {
    "acme": "site",
    "acme/hall": "area",
    "acme/hall/l1": "line",
    "acme/hall/l1/p01": "machine",
    "acme/hall/l1/p02": "machine",
    "acme/hall/l1/b01": "buffer",
    "acme/hall/l2": "line",
    "acme/hall/l2/p01": "machine",
    "feeder1": "feeder",
    "ss1": "substation",
    "ss1/t1": "transformer",
    "weather": "weather",
}
CATALOGUE = catalogue_of(TYPES)


def made(match: str, to: str, unit: str | None = None) -> dict[str, str]:
    mapping = Mapping(match=f"nsu=urn:a;{match}", to=to, unit=unit)
    return {b.path: b.identifier for b in expand("small", "plc", mapping, CATALOGUE)}


def test_placeholders_stand_for_the_same_text_on_both_sides():
    assert made("s={line}.{machine}.Power", "acme/hall/{line}/{machine}/active_power") == {
        "small/acme/hall/l1/p01/active_power": "s=l1.p01.Power",
        "small/acme/hall/l1/p02/active_power": "s=l1.p02.Power",
        "small/acme/hall/l2/p01/active_power": "s=l2.p01.Power",
    }


def test_a_placeholder_named_like_a_type_stands_only_for_that_type():
    assert list(made("s={feeder}.P", "{feeder}/active_power")) == ["small/feeder1/active_power"]
    assert list(made("s={site}.P", "{site}/active_power")) == ["small/acme/active_power"]
    assert len(made("s={anything}.P", "{anything}/active_power")) == 2


def test_two_stars_stand_for_several_segments():
    assert made("s={asset**}:oil", "{asset**}/oil_temperature") == {
        "small/ss1/t1/oil_temperature": "s=ss1/t1:oil"
    }


def test_a_metric_may_be_a_placeholder_too():
    found = made("s=X.{machine}.{metric}", "acme/hall/l2/{machine}/{metric}")
    assert len(found) == 10
    assert found["small/acme/hall/l2/p01/item_state"] == "s=X.p01.item_state"


def test_the_unit_at_the_source_becomes_a_scale_and_the_kind_comes_from_the_metric():
    mapping = Mapping(match="nsu=urn:a;s=E", to="acme/active_energy", unit="MWh")
    (binding,) = expand("small", "plc", mapping, CATALOGUE)
    assert (binding.unit, binding.scale, binding.kind) == ("kWh", 1000.0, Kind.COUNTER)
    assert binding.node == "nsu=urn:a;s=E"


@pytest.mark.parametrize(
    ("match", "to", "unit", "said"),
    [
        ("s={a}", "{b}/active_power", None, "{a}, {b} stands on one side only"),
        ("s={a", "weather/irradiance", None, "holds a brace that is no placeholder"),
        ("s=A", "{a*}/irradiance", None, "holds a brace that is no placeholder"),
        ("s=A", "wether/irradiance", None, "did you mean 'weather/irradiance'"),
        ("s={x}", "acme/{x}/nothing", None, "matches no tag"),
        ("s=A", "acme/hall/l1/p01/item_state", "kW", "it has no unit 'kW'"),
        ("s=A", "acme/hall/l1/p01/vibration", "m/s", "write 'mm/s'"),
        ("s=A", "acme/active_power", "kWW", "'kWW' is no unit"),
        ("i=4294967296", "acme/active_power", None, "no numeric node id"),
        ("g=12", "acme/active_power", None, "no GUID node id"),
    ],
)
def test_a_wrong_mapping_says_what_is_wrong(match, to, unit, said):
    with pytest.raises(InputError, match=re.escape(said)):
        made(match, to, unit)


def test_one_node_is_bound_by_hand_with_or_without_the_park_in_front():
    one = bind("small", "plc", "nsu=urn:a;i=5001", "small/acme/active_power", CATALOGUE, "MW")
    assert one == bind("small", "plc", "nsu=urn:a;i=5001", "acme/active_power", CATALOGUE, "MW")
    assert one.scale == 1000.0
    with pytest.raises(InputError, match="not portable"):
        bind("small", "plc", "ns=2;i=5001", "acme/active_power", CATALOGUE)
    with pytest.raises(InputError, match="holds a placeholder"):
        bind("small", "plc", "nsu=urn:a;s={x}", "acme/{x}", CATALOGUE)


SEGMENT = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)


@given(
    st.lists(SEGMENT, min_size=1, max_size=6, unique=True),
    st.lists(SEGMENT, min_size=1, max_size=4, unique=True),
)
def test_law_every_match_is_bound_once_and_reads_back(lines, machines):
    types = {"s": "site", "s/a": "area"}
    for line in lines:
        types[f"s/a/{line}"] = "line"
        types |= {f"s/a/{line}/{machine}": "machine" for machine in machines}
    mapping = Mapping(
        match="nsu=u;s=<{line}|{machine}|{metric}>", to="s/a/{line}/{machine}/{metric}"
    )
    found = tuple(expand("p", "e", mapping, catalogue_of(types)))
    assert len(found) == len(lines) * len(machines) * 10
    assert len({b.path for b in found}) == len({b.identifier for b in found}) == len(found)
    for binding in found:
        line, machine, metric = binding.identifier[3:-1].split("|")
        assert binding.path == f"p/s/a/{line}/{machine}/{metric}"
