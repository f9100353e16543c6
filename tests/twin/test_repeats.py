"""Repeated rows are found by hash tables; an oracle of tuples and sets says which they are."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.repeats import Keys, repeats
from twin.samples import sample_batch
from twin.state import rows_of

ROWS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(0, 3),
        st.sampled_from([0.0, -0.0, 1.5, math.nan]),
        st.sampled_from([0, 0x80000000]),
        st.sampled_from([None, "on", "off"]),
    ),
    min_size=1,
    max_size=60,
)


def table(rows):
    tag, at_us, value, status, text = map(list, zip(*rows, strict=True))
    batch = sample_batch(tag=tag, at_us=at_us, value=value, seen_us=0, status=status, text=text)
    return np.array(tag, np.int64), rows_of(batch)


@settings(deadline=None)
@given(ROWS)
def test_a_row_repeats_when_an_earlier_one_is_equal_and_nan_equals_itself(rows):
    seen, wanted = set(), []
    for tag, at_us, value, status, text in rows:
        key = (tag, at_us, "nan" if math.isnan(value) else value, status, text)
        wanted.append(key in seen)
        seen.add(key)
    assert repeats(*table(rows)).tolist() == wanted


@settings(deadline=None)
@given(ROWS, ROWS)
def test_keys_find_the_rows_of_their_tags_and_times(some, others):
    tag, rows = table(some)
    other_tag, other_rows = table(others)
    keys = Keys(tag, rows["at_us"].copy())
    found = keys.found_in(other_tag, other_rows["at_us"].copy())
    wanted = {row[:2] for row in some}
    assert found.tolist() == [row[:2] in wanted for row in others]
    assert (keys.first_us, keys.last_us) == (min(r[1] for r in some), max(r[1] for r in some))
