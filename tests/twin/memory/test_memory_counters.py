"""A counter counts by one rule: what history says of it is what the live state says."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from memory_story import KINDS, NO_COVERAGE, T0, H, M, Row, S, cut_of, table

from twin.memory.store import Memory
from twin.samples import column_us
from twin.state import ShardState
from twin.status import BAD_SENSOR_FAILURE, GOOD
from twin.tags import Binding, TagRow

COUNTER = 2
MILLION = 1_000_000.0


def live(rows: list[Row]) -> tuple[float, int]:
    binding = Binding(path="p/c", kind=KINDS[COUNTER])
    state = ShardState([TagRow(tag=COUNTER, binding=binding, valid_from_us=0)])
    for row in rows:  # one by one: a dip is undone whenever the reading after it comes
        state.fold(table([row]).to_batches()[0])
    totals = state.totals(T0 + H)
    return float(totals.increase[0]), int(totals.resets[0])


def remembered(folder: Path, rows: list[Row], every: int) -> pa.Table:
    memory = Memory.open(folder)
    memory.seal(table(rows), NO_COVERAGE, KINDS, 1, T0 + H)
    return memory.read_rollup(cut_of(memory, T0 + H), [COUNTER], T0, T0 + H, every, kinds=KINDS)


def readings(values: list[float], step: int = 7 * S) -> list[Row]:
    return [Row(tag=COUNTER, at_us=T0 + k * step, value=v) for k, v in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "increase", "resets"),
    [
        ([65_530.0, 5.0], 11.0, 0),  # a 16-bit register wraps
        ([2.0**32 - 1, 4.0], 5.0, 0),  # a 32-bit one
        ([40_000.0, 5.0], 5.0, 1),
        ([MILLION, 0.0, MILLION + 1], 1.0, 0),  # a device that starts again shows 0 once
        ([MILLION, 3.0, MILLION, MILLION + 5], 5.0, 0),
        ([MILLION, 0.0, 0.0, MILLION + 1], MILLION + 1, 1),  # it stayed at 0: it was reset
        ([MILLION, 0.0, 2_000_000.0], 2_000_000.0, 1),  # not back: beyond what it had
        ([MILLION, 0.0, 50.0, 80.0], 80.0, 1),
        ([3.0, 0.0, 3.0], 3.0, 1),  # so few parts may be made between two readings
        ([100.0, 0.0, 101.0, 0.0, 102.0], 2.0, 0),
    ],
)
@pytest.mark.parametrize("every", [M, H])
def test_wraps_resets_and_dips(
    tmp_path: Path, values: list[float], increase: float, resets: int, every: int
) -> None:
    rows = readings(values, 40 * S)
    assert live(rows) == (increase, resets)
    found = remembered(tmp_path / "memory", rows, every)
    assert sum(found.column("increase").to_pylist()) == increase
    assert sum(found.column("resets").to_pylist()) == resets


some_values = st.lists(
    st.tuples(
        st.sampled_from([0.0, 3.0, 50.0, 65_530.0, 65_535.0, MILLION, MILLION + 1, 2.0**32 - 2]),
        st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE]),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=50, deadline=None)
@example([(MILLION, GOOD), (0.0, GOOD), (1.0, BAD_SENSOR_FAILURE), (MILLION, GOOD)], 40 * S, M)
@given(some_values, st.sampled_from([S, 7 * S, 61 * S]), st.sampled_from([M, 20 * M, H, 1000 * S]))
def test_history_counts_what_the_live_state_counted(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[tuple[float, int]],
    step: int,
    every: int,
) -> None:
    rows = [
        Row(tag=COUNTER, at_us=T0 + k * step, value=value, status=status)
        for k, (value, status) in enumerate(values)
    ]
    increase, resets = live(rows)
    found = remembered(tmp_path_factory.mktemp("memory"), rows, every)
    assert sum(found.column("increase").to_pylist()) == pytest.approx(increase)
    assert sum(found.column("resets").to_pylist()) == resets
    assert min(found.column("increase").to_pylist()) >= 0.0
    assert (np.diff(column_us(found, "at")) > 0).all()
