"""Park files: what is wrong is said all at once, with line, path, value and a way out."""

import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError, InvalidInput, Problem
from twin.parkfile.load import json_schema, load_park, read_park
from twin.parkfile.strict_yaml import read_documents

EXAMPLES = Path(__file__).parents[3] / "examples"

PARK = """\
apiVersion: parktwin/v1
kind: Park
id: small
label: {vi: "Khu nhỏ", en: "Small park"}
region: {id: binh_duong, label: {vi: "Bình Dương", en: "Binh Duong"}}
tz: Asia/Ho_Chi_Minh
geo: {lat: 10.93, lon: 106.71, area: 2 ha}
holidays:
  vn: {dates: ["2026-02-17"], swapped_working_days: ["2026-02-21"]}
calendars:
  day: {shifts: ["06:00-14:00", "14:00-22:00"], holidays: vn}
types:
  press:
    label: {vi: "Máy ép", en: "Press"}
    cycle_time: 28 s
    power: {Executing/Processing: 45 kW, NotExecuting/None: 9 kW}
    mtbf: {dist: weibull, shape: 1.4, scale: 60 h}
    mttr: {dist: lognormal, mean: 40 min, cv: 0.8}
    temperature: 45 degC
    temperature_limit: 85 degC
organisations:
  - {id: acme, role: tenant, label: {vi: "Acme", en: "Acme"}}
sites:
  - id: acme
    label: {vi: "Acme", en: "Acme plant"}
    owner: acme
    feeder: feeder1
    areas:
      - id: hall
        label: {vi: "Xưởng", en: "Hall"}
        lines:
          - id: l1
            label: {vi: "Chuyền 1", en: "Line 1"}
            calendar: day
            product: case
            chain:
              - {machine: p01, type: press}
              - {buffer: b01, cap: 20}
              - {machine: p02, type: press}
  - id: others
    kind: aggregate
    label: {vi: "Khác", en: "Others"}
    count: 4
    profile: light_industry
    peak: 800 kW
    feeders: [feeder1]
utilities:
  electricity:
    connection: {id: grid, voltage: 22 kV, tariff: vn_industrial_one_part}
    substations:
      - id: ss1
        label: {vi: "Trạm", en: "Station"}
        feeder_voltage: 22 kV
        transformers: [{id: t1, rating: 2 MVA}]
        feeders:
          - {id: feeder1, rating: 50 A, transformer: t1}
    pv:
      - {id: pv1, feeder: feeder1, site: acme, peak: 500 kWp}
    bess:
      - {id: bess1, feeder: feeder1, power: 1 MW, energy: 2 MWh, soc: [0.1, 0.95]}
  boilers:
    - {id: boiler1, site: acme, steam: 2 t/h, pressure: 8 bar, fuel: biomass}
logistics:
  gates:
    - {id: g1, lanes: 2, service: 60 s}
  docks:
    - {id: d1, site: acme}
  links:
    - {source: g1, target: port, mode: road, length: 12 km}
  trucks: {per_day: 40 trucks/d}
symbiosis:
  streams:
    - {site: acme, direction: out, medium: hot_water, rate: 2 m3/h}
endpoints:
  - id: plc
    url: "opc.tcp://127.0.0.1:48401"
    allow_insecure: true
    map:
      - match: "nsu=urn:acme;s={line}.{machine}.P"
        to: "acme/hall/{line}/{machine}/active_power"
        unit: W
      - {match: "nsu=urn:acme;s=Air", to: "weather/air_temperature"}
rules:
  - id: hot
    when: machine.temperature > temperature_limit
    priority: medium
    label: {vi: "Nóng", en: "Hot"}
virtual_plant:
  servers:
    - {endpoint: plc, namespaces: ["urn:other", "urn:acme"]}
  faults:
    - {at: 60 s, kind: breakdown, target: acme/hall/l1/p01, until: 90 s}
"""


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        read_park(text, "park.yaml")
    return caught.value.problems


def edited(*edits: tuple[str, str]) -> tuple[str, list[int]]:
    """The park with texts replaced, and the lines they stand in."""
    text = PARK
    for old, new in edits:
        assert PARK.count(old) == 1, old
        text = text.replace(old, new)
    return text, [PARK[: PARK.index(old)].count("\n") + 1 for old, _ in edits]


def test_the_sample_itself_is_right():
    park = read_park(PARK)
    assert [a.id for a in park.of_type("machine")] == ["acme/hall/l1/p01", "acme/hall/l1/p02"]
    assert park.warnings == ()


FAULTS, _ = read_documents((Path(__file__).parent / "faults.yaml").read_text())


@pytest.mark.parametrize(
    "fault", FAULTS[0].value, ids=lambda f: f"{f['path']}: {f['message']}"[:70]
)
def test_a_fault_is_named_with_line_path_value_and_remedy(fault):
    text, (line,) = edited((fault["old"], fault["new"]))
    said = problems_of(text)
    found = [p for p in said if p.path == fault["path"] and fault["message"] in p.message]
    assert found, [str(p) for p in said]
    assert fault["suggestion"] in found[0].suggestion
    assert found[0].file == "park.yaml"
    assert found[0].line == line


def test_a_missing_key_is_asked_for_with_an_example():
    text = PARK.replace("    peak: 800 kW\n", "")
    (problem,) = problems_of(text)
    assert (problem.path, problem.message) == ("sites[1].peak", "'peak' is missing")
    assert problem.suggestion == "write e.g. '45 kW'"


def test_all_faults_of_all_stages_are_listed_at_once_in_the_order_of_the_lines():
    text, lines = edited(
        ("tz: Asia/Ho_Chi_Minh", "tz: Asia/Saigonn"),  # a check
        ("cycle_time: 28 s", "cycle_tme: 28 s"),  # the schema: an unknown key, one missing
        ("owner: acme", "owner: acmee"),  # a reference
        ("peak: 800 kW", "peak: 800"),  # a quantity
        ("lanes: 2,", "lanes: 2, lanes: 3,"),  # strict YAML
        ("unit: W\n", "unit: Wh\n"),  # a unit
    )
    found = problems_of(text)
    assert set(lines) <= {p.line for p in found}
    assert [p.line for p in found] == sorted(p.line for p in found)
    assert len(found) == 7


def test_a_mended_fault_makes_no_noise():
    text, _ = edited(("feeder: feeder1\n    areas", "feedr: feeder1\n    areas"))
    assert sorted(p.message for p in problems_of(text)) == [
        "'feeder' is missing",
        "unknown key 'feedr'",
    ]


def test_two_parks_in_one_file_are_refused_and_other_kinds_are_welcome():
    park = read_park(PARK + "---\nkind: WhatIf\nid: x\n")
    assert park.id == "small"
    with pytest.raises(InvalidInput, match="a second park in one file"):
        read_park(PARK + "---\n" + PARK)


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing", "3", "[]", "kind: Park", "a: 1", "null", "---\n---\n"]
)
def test_an_empty_or_foreign_text_is_refused_with_a_word(text):
    assert problems_of(text)[0].message


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_park(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="directory"):
        load_park(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: \xe9\n")
    with pytest.raises(InvalidInput, match=r"latin\.yaml:2: byte 0xe9 is no UTF-8"):
        load_park(latin)
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(InvalidInput, match="4,194,305 bytes"):
        load_park(large)


def test_a_byte_order_mark_is_harmless(tmp_path):
    path = tmp_path / "park.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + PARK.encode())
    assert load_park(path).id == "small"


def test_hints_do_not_stop_a_park():
    text, lines = edited(("rating: 50 A", "rating: 20 A"), ("{endpoint: plc,", "{endpoint: plc,"))
    (hint,) = read_park(text, "park.yaml").warnings
    assert hint.line == lines[0]
    # (45 + 45 kW)/0.92 + 800/0.92 = 967 kVA -> 967 / (22 * sqrt 3) = 25 A
    assert "25 A, over its 20 A" in hint.message


def test_the_demonstration_park_has_the_size_it_promises():
    park = load_park(EXAMPLES / "vsip1.yaml")
    spec = park.spec
    assert park.warnings == ()
    assert len(park.of_type("site")) >= 12
    assert len(park.of_type("line")) >= 20
    assert len(park.of_type("machine")) >= 120
    assert len(park.bindings) >= 1500
    assert sum(s.count for s in spec.sites if s.kind == "aggregate") == 200
    assert spec.geo.area == 5_000_000
    assert [t.rating for t in spec.utilities.electricity.substations[0].transformers] == [
        63_000
    ] * 2
    assert len(park.of_type("feeder")) == 16
    assert sum(pv.peak for pv in spec.utilities.electricity.pv) == 20_000
    assert (
        spec.utilities.electricity.bess[0].power,
        spec.utilities.electricity.bess[0].energy,
    ) == (10_000, 20_000)
    assert len(park.endpoints) >= 3
    assert {server.layout for server in spec.virtual_plant.servers} == {
        "utility",
        "machinery",
        "flat",
    }
    orders = {
        s.namespaces.index(u)
        for s in spec.virtual_plant.servers
        for u in s.namespaces
        if "opcfoundation" not in u and "spare" not in u
    }
    assert len(orders) >= 3


def test_the_minimal_park_fits_on_one_screen():
    text = (EXAMPLES / "minimal.yaml").read_text()
    assert text.count("\n") <= 40
    assert len(load_park(EXAMPLES / "minimal.yaml").of_type("machine")) == 1


def test_the_json_schema_describes_every_quantity_with_its_unit():
    schema = json_schema()
    bess = schema["$defs"]["Bess"]["properties"]
    assert bess["energy"]["x-unit"] == "kWh"
    assert schema["$defs"]["Bess"]["additionalProperties"] is False
    assert "title" in bess["rule"]


VALUES = ("null", "[]", "{}", "-1", "true", "1e400", "x", "99999999999999999999")
LINES = PARK.splitlines(keepends=True)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_a_mutated_file_is_read_or_refused_never_worse(seed, times):
    rng = random.Random(seed)
    lines = list(LINES)
    for _ in range(times):
        k = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[k]
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[k])
            case 2:
                lines[k] = lines[k].replace(
                    rng.choice("aeiou01:{}[]"), rng.choice(["", "x", "é", "}", "- "]), 1
                )
            case 3:
                lines[k] = "  " * rng.randrange(4) + lines[k].lstrip()
            case 4:
                head, colon, _ = lines[k].partition(":")
                lines[k] = f"{head}{colon} {rng.choice(VALUES)}\n"
            case _:
                lines[k] = lines[k].replace("acme", rng.choice(["", "ACME", "weather", "pv1"]), 1)
    with suppress(InvalidInput):
        read_park("".join(lines), "f")
