"""The algebra of rollups alone, without files."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_story import KINDS, T0, H, M, Row, S, table

from twin.memory import merge, rollup, rows
from twin.memory.rollup import EMPTY, Pieces
from twin.memory.tables import HOUR, MINUTE, RAW, TableSpec
from twin.samples import Origin
from twin.status import BAD_SENSOR_FAILURE, GOOD


class Held:
    """What is sealed, held in memory."""

    raw_floor_us = 0

    def __init__(self) -> None:
        self.raw = RAW.schema.empty_table()
        self.pieces = {"minute": EMPTY, "hour": EMPTY}

    def rollups(self, spec: TableSpec, tags: np.ndarray, since_us: int, until_us: int) -> Pieces:
        found = rollup.within(self.pieces[spec.name], since_us, until_us)
        return found.take(np.flatnonzero(np.isin(found.tag, tags)))

    def samples(self, tags: np.ndarray, since_us: int, until_us: int) -> pa.Table:
        return rows.select(self.raw, tags, since_us, until_us)

    def add(self, new: list[Row]) -> None:
        raw = rows.ordered(rows.to_raw(table(new)))
        change = merge.change(raw, KINDS, self)
        self.raw = rows.ordered(pa.concat_tables([self.raw, raw]))
        for spec, by in ((MINUTE, change.minute), (HOUR, change.hour)):
            self.pieces[spec.name] = rollup.overridden(self.pieces[spec.name], by, spec.bucket_us)


some_row = st.builds(
    Row,
    tag=st.integers(1, 4),
    at_us=st.integers(0, 400).map(lambda k: T0 + 55 * M + k * 2 * S),
    value=st.sampled_from([0.0, 1.0, 2.5, 7.0, float("nan")]),
    status=st.sampled_from([GOOD, GOOD, GOOD, BAD_SENSOR_FAILURE]),
    seen_us=st.integers(0, 3).map(lambda k: T0 + 2 * H + k),
    origin=st.sampled_from([Origin.MEASURED, Origin.MEASURED, Origin.CORRECTED]),
)


@settings(max_examples=150, deadline=None)
@given(portions=st.lists(st.lists(some_row, max_size=12), min_size=1, max_size=5))
def test_portions_in_any_order_add_up_to_the_whole(portions: list[list[Row]]) -> None:
    whole, bit_by_bit = Held(), Held()
    whole.add([row for portion in portions for row in portion])
    for portion in portions:
        bit_by_bit.add(portion)
    for name in ("minute", "hour"):
        expected, got = whole.pieces[name], bit_by_bit.pieces[name]
        for column in rollup._PLAIN:
            np.testing.assert_allclose(
                getattr(got, column), getattr(expected, column), rtol=1e-9, err_msg=column
            )
        np.testing.assert_array_equal(got.codes.row, expected.codes.row)
        np.testing.assert_array_equal(got.codes.code, expected.codes.code)
        np.testing.assert_allclose(got.codes.seconds, expected.codes.seconds)


@settings(max_examples=50, deadline=None)
@given(portion=st.lists(some_row, min_size=1, max_size=40))
def test_hours_of_minutes_are_hours_of_samples(portion: list[Row]) -> None:
    raw = rows.effective(rows.ordered(rows.to_raw(table(portion))))
    samples = rollup.samples_as_pieces(raw, KINDS)
    direct = rollup.fold(samples, 60 * M)
    by_minutes = rollup.fold(rollup.fold(samples, M), 60 * M)
    for column in rollup._PLAIN:
        np.testing.assert_allclose(
            getattr(by_minutes, column), getattr(direct, column), rtol=1e-9, err_msg=column
        )


@settings(max_examples=50, deadline=None)
@given(portion=st.lists(some_row, min_size=1, max_size=40))
def test_rows_of_the_table_are_the_pieces_they_were_made_of(portion: list[Row]) -> None:
    raw = rows.effective(rows.ordered(rows.to_raw(table(portion))))
    pieces = rollup.fold(rollup.samples_as_pieces(raw, KINDS), M)
    back = rollup.from_table(rollup.to_table(pieces, M, 1))
    for column in rollup._PLAIN:
        np.testing.assert_array_equal(getattr(back, column), getattr(pieces, column))
    np.testing.assert_array_equal(back.codes.seconds, pieces.codes.seconds)
