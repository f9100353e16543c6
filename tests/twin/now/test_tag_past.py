"""A meter that is replaced keeps its past: KPIs and energy read every tag a path has had."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.energy import STEP_US, energy_table, energy_tags
from twin.kpi import kpi_tags, kpis
from twin.memory.windows import WINDOWS
from twin.parkfile.load import load_park
from twin.samples import TIME
from twin.tag_past import TagPast
from twin.tags import Kind, TagDictionary

PARK = load_park(Path(__file__).with_name("park.yaml"))
START = 1_795_000_000_000_000 // STEP_US * STEP_US
STEPS = 6


def planned(park, *edits):
    """A dictionary after edits (time, change of a binding): None removes it."""
    bindings = list(park.bindings)
    made = TagDictionary()
    made.add_rows(made.plan(bindings, 0)[0])
    for at, change in edits:
        bindings = [after for b in bindings if (after := change(b)) is not None]
        made.add_rows(made.plan(bindings, at)[0])
    return made


def edit(path, **fields):
    return lambda b: replace(b, **fields) if b.path == path else b


def windows(rows):
    """A table of rollups from (tag, start, columns)."""
    empty = dict.fromkeys(WINDOWS.names)
    plain = [empty | {"tag": tag, "at": at, "n": 1, "good_n": 1} | sums for tag, at, sums in rows]
    arrays = [
        pa.array([row[f.name] for row in plain], pa.int64() if f.type == TIME else f.type).cast(
            f.type
        )
        for f in WINDOWS
    ]
    return pa.table(arrays, schema=WINDOWS)


def energy(park, dictionary, rows):
    table = energy_table(
        park, dictionary, windows(rows), since_us=START, until_us=START + STEPS * STEP_US
    )
    return {(r["flow"], r["at"]): (r["kwh"], r["measured"]) for r in table.to_pylist()}


def tag_at(dictionary, path, at):
    (span,) = (s for s in TagPast(dictionary).of(path) if s.start_us <= at < s.end_us)
    return span.tag


METER, POWER = "p/acme/active_energy", "p/acme/active_power"


@settings(max_examples=25)
@given(
    changes=st.lists(st.integers(1, STEPS - 1), unique=True, max_size=3).map(sorted),
    kwh=st.lists(st.floats(0, 1e4), min_size=STEPS, max_size=STEPS),
)
def test_energy_does_not_ask_how_often_a_meter_was_replaced(changes, kwh):
    once = planned(PARK)
    often = planned(
        PARK,
        *((START + k * STEP_US, edit(METER, scale=1.0 + k)) for k in changes),
    )
    assert len({s.tag for s in TagPast(often).of(METER)}) == len(changes) + 1
    steps = [START + k * STEP_US for k in range(STEPS)]

    def rows(dictionary):
        return [
            (tag_at(dictionary, METER, at), at, {"increase": e, "good_s": 900.0})
            for at, e in zip(steps, kwh, strict=True)
        ]

    # what a closed tag's last value holds after it is not the meter's any more
    stale = [
        (span.tag, at, {"increase": 7.0, "good_s": 900.0})
        for span in TagPast(often).of(METER)
        for at in steps
        if at >= span.end_us
    ]
    expected, found = (
        energy(PARK, once, rows(once)),
        energy(PARK, often, rows(often) + stale),
    )
    assert found == expected


def test_energy_before_a_counter_came_is_told_by_the_power(small_park):
    change = START + 2 * STEP_US
    without = [b for b in small_park.bindings if b.path != METER]
    known = TagDictionary()
    known.add_rows(known.plan(without, 0)[0])
    known.add_rows(known.plan(small_park.bindings, change)[0])
    power, meter = tag_at(known, POWER, START), known.of_path(METER).tag
    assert {power, meter} <= set(energy_tags(small_park, known))
    rows = [
        (power, START + k * STEP_US, {"integral": 40.0 * 900, "good_s": 900.0})
        for k in range(STEPS)
    ]
    rows += [
        (meter, START + k * STEP_US, {"increase": 11.0, "good_s": 900.0}) for k in range(2, STEPS)
    ]
    found = energy(small_park, known, rows)
    assert [v for (flow, _), v in found.items() if flow == "site:acme"] == [
        (pytest.approx(10.0), 1.0)
    ] * 2 + [(pytest.approx(11.0), 1.0)] * 4


@pytest.mark.parametrize(
    ("fields", "first_kwh"),
    [
        ({"unit": "MWh"}, 3000.0),  # its rows are in MWh, as its dictionary row says
        ({"unit": "degC"}, None),
        ({"kind": Kind.GAUGE}, None),
    ],
)
def test_an_old_tag_is_read_as_its_dictionary_row_says(small_park, fields, first_kwh):
    bindings = [
        replace(b, **fields) if b.path == METER else b
        for b in small_park.bindings
        if b.path != POWER
    ]
    known = TagDictionary()
    known.add_rows(known.plan(bindings, 0)[0])
    old = known.of_path(METER).tag
    known.add_rows(known.plan(small_park.bindings, START + STEP_US)[0])
    rows = [(old, START, {"increase": 3.0, "integral": 3.0, "good_s": 900.0})]
    rows.append((known.of_path(METER).tag, START + STEP_US, {"increase": 5.0, "good_s": 900.0}))
    site = [v for (flow, _), v in energy(small_park, known, rows).items() if flow == "site:acme"]
    assert [kwh for kwh, _ in site[:2]] == [first_kwh, 5.0]


def test_a_machines_windows_hold_every_tag_its_metrics_have_had(small_park):
    count = "p/acme/hall/l1/m1/part_count"
    known = planned(small_park, (START + STEP_US // 3, edit(count, endpoint="other")))
    old, new = (span.tag for span in TagPast(known).of(count))
    assert {old, new} <= set(kpi_tags(small_park, known))
    state = {"codes": [3], "code_s": [900.0], "good_s": 900.0}
    rows = [
        (known.of_path("p/acme/hall/l1/m1/item_state").tag, START, state),
        (known.of_path("p/acme/hall/l1/m2/item_state").tag, START, state),
        (old, START, {"increase": 30.0}),
        (new, START, {"increase": 12.0}),
        (known.of_path("p/acme/hall/l1/m2/part_count").tag, START, {"increase": 42.0}),
    ]
    table = kpis(small_park, known, windows(rows), since_us=START, until_us=START + STEP_US)
    (good,) = (
        r["value"]
        for r in table.to_pylist()
        if (r["asset"], r["kpi"]) == ("acme/hall/l1", "good_quantity")
    )
    assert good == 42.0


def test_a_renamed_tag_takes_its_past_along_where_its_new_path_had_none(small_park):
    # the old meter of acme ends at 20; the node of p/x/active_energy is its meter from 50 on
    other = replace(
        next(b for b in small_park.bindings if b.path == METER),
        path="p/x/active_energy",
        identifier="s=Other",
    )
    known = TagDictionary()
    known.add_rows(known.plan([*small_park.bindings, other], 0)[0])
    mine, its = known.of_path(METER).tag, known.of_path(other.path).tag
    kept = [b for b in small_park.bindings if b.path != METER]
    known.add_rows(known.plan([*kept, other], 20)[0])
    known.add_rows(known.plan([*kept, replace(other, path=METER)], 50)[0])
    spans = TagPast(known).of(METER)
    assert [(s.tag, s.start_us, min(s.end_us, 99)) for s in spans] == [
        (mine, 0, 20),
        (its, 20, 50),
        (its, 50, 99),
    ]
    assert TagPast(known).of(other.path) == ()
