"""A snapshot is small, plain and canonical, and holds only what is good."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.samples import COVERAGE, TIME, sample_batch
from twin.state import ShardState
from twin.status import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN
from twin.tags import Binding, Kind, TagDictionary, TagRow
from twin.whatif.snapshot import CycleEstimate, Reading, Snapshot, nominal, planned, take

S = 1_000_000
P1 = "acme/hall/l1/p1"
KINDS = {
    "bess1/state_of_charge": Kind.GAUGE,
    f"{P1}/cycle_time": Kind.GAUGE,
    f"{P1}/part_count": Kind.COUNTER,
    f"{P1}/item_state": Kind.STATE,
}
TAGS = {path: number for number, path in enumerate(KINDS, 1)}


@pytest.fixture
def twin():
    """A dictionary of four tags, and their empty state."""
    rows = [
        TagRow(
            tag=TAGS[path],
            binding=Binding(path=f"small/{path}", kind=kind, endpoint="plc"),
            valid_from_us=0,
        )
        for path, kind in KINDS.items()
    ]
    return TagDictionary(rows), ShardState(rows)


def feed(state, path, *rows, status=GOOD):
    """Fold (at_s, value) of one tag."""
    at, value = zip(*rows, strict=True)
    state.fold(
        sample_batch(
            tag=[TAGS[path]] * len(at),
            at_us=[int(a * S) for a in at],
            value=value,
            status=status,
            seen_us=0,
        )
    )


def test_an_empty_park_stands_as_its_file_says(park):
    made = nominal(park, 5)
    assert (made.at_us, made.offset, dict(made.readings)) == (5, 0, {})
    assert made.park_hash == park.digest
    assert planned(park) == {
        "acme/hall/l1/p1": 30.0,
        "acme/hall/l1/r1": 25.0,
        "acme/hall/l2/p2": 30.0,
    }
    assert made.cycles["acme/hall/l1/r1"] == CycleEstimate(mean_s=25.0, sd_s=0.5, parts=0.0)


def test_newest_good_values_are_taken_with_their_times(park, twin):
    dictionary, state = twin
    feed(state, "bess1/state_of_charge", (1, 40.0), (9, 55.0))
    feed(state, f"{P1}/item_state", (3, 3.0), status=BAD_SENSOR_FAILURE)
    taken = take(park, dictionary, state, 10 * S, 77)
    assert (taken.at_us, taken.offset) == (10 * S, 77)
    assert dict(taken.readings) == {"bess1/state_of_charge": Reading(value=55.0, at_us=9 * S)}
    assert taken.value("bess1", "state_of_charge") == 55.0
    assert taken.value(P1, "item_state") is None


@pytest.mark.parametrize(
    ("value", "status"), [(float("nan"), GOOD), (float("inf"), GOOD), (50.0, UNCERTAIN)]
)
def test_what_is_not_a_good_number_is_left_out(park, twin, value, status):
    dictionary, state = twin
    feed(state, "bess1/state_of_charge", (1, value), status=status)
    assert not take(park, dictionary, state, 2 * S, 1).readings


def gap(start_s, end_s):
    row = {"endpoint": "plc", "from": start_s * S, "to": end_s * S}
    row |= {"alive": False, "cause": "link lost", "lost": None}
    arrays = [
        pa.array([row[f.name]], pa.int64() if f.type == TIME else f.type).cast(f.type)
        for f in COVERAGE
    ]
    return pa.record_batch(arrays, schema=COVERAGE)


def test_a_reading_of_a_silent_endpoint_starts_no_fork_but_its_calibration_stays(park, twin):
    dictionary, state = twin
    feed(state, "bess1/state_of_charge", (9, 55.0))
    feed(state, f"{P1}/cycle_time", (0, 33.0), (100, 33.0))
    feed(state, f"{P1}/part_count", (0, 10.0), (100, 70.0))
    before = take(park, dictionary, state, 100 * S, 1)
    assert before.value("bess1", "state_of_charge") == 55.0
    state.cover(gap(100, 100 + 4 * 3600))
    after = take(park, dictionary, state, (100 + 4 * 3600) * S, 1)
    assert not after.readings
    assert after.cycles == before.cycles
    # heard again: good again
    feed(state, "bess1/state_of_charge", (100 + 4 * 3600, 50.0))
    assert take(park, dictionary, state, 15_000 * S, 1).value("bess1", "state_of_charge") == 50.0


def test_cycle_times_are_calibrated_against_the_planned_one(park, twin):
    dictionary, state = twin
    # 100 s at 30 s and 100 s at 36 s: 33 s in the mean, from 60 parts; 20 parts weigh the plan
    feed(state, f"{P1}/cycle_time", (0, 30.0), (100, 36.0), (200, 36.0))
    feed(state, f"{P1}/part_count", (0, 10.0), (200, 70.0))
    found = take(park, dictionary, state, 200 * S, 1).cycles[P1]
    assert found.mean_s == pytest.approx((60 * 33.0 + 20 * 30.0) / 80)
    assert found.sd_s == pytest.approx(0.1 * found.mean_s / 80**0.5)
    assert found.parts == 60.0


def test_without_parts_the_planned_cycle_time_stands(park, twin):
    dictionary, state = twin
    feed(state, f"{P1}/cycle_time", (0, 99.0), (100, 99.0))
    assert take(park, dictionary, state, 100 * S, 1).cycles == nominal(park, 0).cycles


names = st.text("abcdefghijklmnopqrstuvwxyz/_0123456789", min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(
    readings=st.dictionaries(
        names, st.builds(Reading, value=numbers, at_us=st.integers(0, 2**60)), max_size=5
    ),
    cycles=st.dictionaries(
        names, st.builds(CycleEstimate, mean_s=numbers, sd_s=numbers, parts=numbers), max_size=5
    ),
)
def test_a_snapshot_survives_its_bytes_and_its_order_does_not_matter(readings, cycles):
    made = Snapshot(park="p", park_hash="h", at_us=1, offset=2, readings=readings, cycles=cycles)
    assert Snapshot.from_json(made.to_json()) == made
    backwards = replace(made, readings=dict(reversed(readings.items())))
    assert backwards.digest == made.digest
    assert replace(made, offset=3).digest != made.digest
