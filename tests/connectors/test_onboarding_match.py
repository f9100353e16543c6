"""Proposals against frozen plants, and the laws they keep."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.bench_match import PLANTS, frozen, park_of, rows, score, truth_of
from connectors.onboarding.companion import Companions
from connectors.onboarding.eu_units import unit_in, unit_of
from connectors.onboarding.match import Matcher, candidate
from connectors.onboarding.meanings import known, meaning
from connectors.onboarding.seen import SeenNode, observed
from connectors.onboarding.words import terms, words
from models.errors import Corrupt, NotFound
from twin.metrics import METRICS


@pytest.fixture(scope="module")
def plants():
    """Each plant with its park, nodes and truth."""
    return {name: (park_of(name), list(rows(name)), truth_of(name)) for name in PLANTS}


def test_the_plants_are_those_that_were_frozen(tmp_path):
    frozen()
    with pytest.raises(NotFound):
        frozen(tmp_path)
    (tmp_path / "SHA256SUMS").write_text("00  en.jsonl\n", encoding="ascii")
    (tmp_path / "en.jsonl").write_text("changed", encoding="ascii")
    with pytest.raises(Corrupt, match=r"en\.jsonl"):
        frozen(tmp_path)


@pytest.mark.parametrize("plant", PLANTS)
def test_what_is_accepted_without_a_look_is_right_and_is_most_of_what_there_is(plant):
    found = score(plant)
    assert found.precision >= 0.98, found
    assert found.share >= 0.80, found


def test_setpoints_limits_averages_and_registers_are_never_taken(plants):
    park, nodes, truth = plants["abbr"]
    sure = {match.node for match in Matcher(park).match(nodes) if match.sure}
    traps = ("_SP", "_HH", "_MAX", "_D1", "_SHIFT", "SPARE", "MW1", "Tag", "_Error", "rPwrLim")
    found = [n for n in nodes if any(trap in n.path for trap in traps) and n.node not in truth]
    assert len(found) > 100
    assert not {node.node for node in found} & sure


def test_a_machine_without_its_line_is_not_guessed(plants):
    park, nodes, _ = plants["abbr"]
    orphans = [node for node in nodes if "PLC_OLD/" in node.path]
    assert len(orphans) == 2
    assert not [match for match in Matcher(park).match(orphans) if match.sure]


def test_a_machine_the_park_does_not_have_is_nobodys(plants):
    park, nodes, _ = plants["vi"]
    strangers = [n for n in nodes if "Máy ép 09" in n.path and n.node_class == "Variable"]
    assert len(strangers) == 2
    assert not Matcher(park).match(strangers)


@pytest.mark.parametrize("plant", PLANTS)
def test_marks_apart_or_together_propose_the_same(plants, plant):
    park, nodes, _ = plants[plant]

    def proposed(form):
        changed = [replace(n, path=unicodedata.normalize(form, n.path)) for n in nodes]
        return {(m.node, m.path, m.confidence) for m in Matcher(park).match(changed)}

    assert proposed("NFC") == proposed("NFD")


@settings(max_examples=10, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_nodes_does_not_matter_and_nothing_is_given_twice(plants, random):
    park, nodes, _ = plants["companion"]
    shuffled = list(nodes)
    random.shuffle(shuffled)
    found = Matcher(park).match(shuffled)
    assert set(found) == set(Matcher(park).match(nodes))
    assert len({m.node for m in found}) == len({m.path for m in found}) == len(found)
    assert all(0.0 <= match.confidence <= 1.0 for match in found)


def test_what_is_bound_already_is_left_out(plants):
    park, nodes, _ = plants["en"]
    first = Matcher(park).match(nodes)
    binding = next(b for b in _bound(park, first[0]))
    again = Matcher(replace(park, bindings=(binding,))).match(nodes)
    assert first[0].path not in {match.path for match in again}
    assert first[0].node not in {match.node for match in again}


def _bound(park, match):
    from twin.parkfile.mapping import bind, catalogue_of

    catalogue = catalogue_of({a.id: a.type for a in park.assets.values()})
    yield bind(park.id, "plc", match.node, match.path, catalogue)


def test_a_unit_that_differs_is_told_for_the_mapping(plants):
    park, nodes, _ = plants["en"]
    by_path = {match.path: match for match in Matcher(park).match(nodes)}
    assert by_path["bright/brightwell/smt/line_a/aoi/active_power"].unit == "W"
    assert by_path["bright/ss1/t1/active_power"].unit == "MW"
    assert by_path["bright/brightwell/active_power"].unit == ""


def test_reasons_have_codes_and_words(plants):
    park, nodes, _ = plants["companion"]
    found = {match.path.rpartition("/")[2]: match for match in Matcher(park).match(nodes)}
    state = found["item_state"]
    assert {"asset.named", "companion"} <= {reason.code for reason in state.reasons}
    assert "Machinery defines it as item_state" in state.why


def test_modes_with_other_codes_are_recognised_and_left(plants):
    _, nodes, _ = plants["companion"]
    companions = Companions({node.path: node for node in nodes})
    told = {node.path: companions.of(node) for node in nodes}
    mode = told["Machines/Mill F01/Monitoring/MachineTool/OperationMode"]
    assert (mode.model, mode.metric) == ("MachineTool", "")
    assert "codes of its own" in mode.why_not
    assert "codes of its own" in told["Filler K01/Status/UnitModeCurrent"].why_not
    lifetime = told["Machines/Mill F01/Production/Statistics/PartsProducedInLifetime"]
    assert lifetime.metric == "part_count"


def node(path, **more):
    return SeenNode(node=f"nsu=urn:a;s={path}", path=path, data_type="Double", **more)


def test_texts_arrays_and_objects_are_no_candidates():
    assert candidate(node("P"))
    assert not candidate(node("P", rank=1))
    assert not candidate(replace(node("P"), data_type="String"))
    assert not candidate(replace(node("P"), node_class="Object"))


def test_every_metric_of_the_catalogue_has_a_meaning():
    named = {metric.name: metric for kind in METRICS.values() for metric in kind}
    assert all(known(name) for name in named)
    for name, metric in named.items():
        for label in (metric.label.vi, metric.label.en, name):
            assert meaning(name, terms(words(label)), ("machine", "may")).score > 0.5, (name, label)


@pytest.mark.parametrize(
    ("name", "metric", "sure"),
    [
        ("Công suất", "active_power", True),
        ("Công suất phản kháng", "active_power", False),
        ("Công suất định mức", "active_power", False),
        ("Nhiệt độ cài đặt", "temperature", False),
        ("rTemp", "temperature", True),
        ("Current Temperature", "temperature", True),
        ("Current", "current", True),
        ("Chu kỳ quét PLC", "cycle_time", False),
        ("San pham loi", "scrap_count", True),
        ("Mã lỗi", "scrap_count", False),
        ("Voltage L1-N", "voltage", False),
        ("KWH_D1", "active_energy", False),
    ],
)
def test_a_name_means_one_quantity(name, metric, sure):
    assert (meaning(metric, terms(words(name)), ()).score > 0.7) is sure


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        ("", 4937556, "kW"),
        ("anything", 4408652, "degC"),
        ("°C", None, "degC"),
        ("m³/h", None, "m3/h"),
        ("KWH", None, "kWh"),
        ("giây", None, "s"),
        ("furlong", None, "furlong"),
        ("kW", -1, "kW"),
        ("kW", 2**40, "kW"),
    ],
)
def test_units_are_read_by_code_then_by_name(text, number, unit):
    assert unit_of(text, number) == unit


def test_a_description_may_hold_the_unit():
    assert unit_in("Lưu lượng hơi [t/h]") == "t/h"
    assert unit_in("Actual power consumption in kW") == "kW"
    assert unit_in("Áp suất hơi, bar") == "bar"
    assert unit_in("Pressure of the main (old one)") == ""


@given(st.text(max_size=60))
def test_any_name_has_words(name):
    assert all(word and word == word.lower() for word in words(name))
    assert words(unicodedata.normalize("NFD", name)) == words(unicodedata.normalize("NFC", name))


def test_statistics_say_what_the_values_did():
    seen = observed([1.0, 2.0, 2.0, float("nan"), 0.0])
    assert (seen.n, seen.least, seen.most, seen.rises, seen.falls) == (4, 0.0, 2.0, 1, 1)
    assert seen.whole
    assert observed([float("inf")]) is None
