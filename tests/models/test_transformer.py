"""Short-time overload: how many minutes are left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from models.transformer import (
    OverloadTable,
    allowed_minutes,
    minutes_from_worst_moment,
    minutes_of_headroom,
)

LOADINGS = st.lists(st.floats(0.2, 2.2), min_size=1, max_size=60)


def test_the_table_of_the_circular_with_conservative_steps_between_its_rows():
    loading = [0.5, 1.0, 1.01, 1.30, 1.31, 1.45, 1.60, 1.75, 2.0, 2.01]
    allowed = [np.inf, np.inf, 120, 120, 80, 80, 45, 20, 10, 0]
    assert allowed_minutes(loading).tolist() == allowed


def test_n_minus_1_at_120_percent_is_a_two_hour_window():
    headroom = minutes_of_headroom(np.full(96, 75_600.0), 63_000.0, 15.0)
    assert headroom.minutes == 120.0
    assert headroom.limited
    assert headroom.overload_at_min == 0.0


def test_shares_of_the_margin_add_up():
    # 30 min at +30 % use 30/120 = 1/4; at +60 % the rest lasts 3/4 * 45 = 33.75 min
    load = [130.0, 130.0, 160.0, 160.0, 160.0, 160.0]
    headroom = minutes_of_headroom(load, 100.0, 15.0)
    assert headroom.minutes == pytest.approx(30.0 + 33.75)


def test_a_short_pause_gives_nothing_back_and_a_full_rest_gives_all():
    overload, pause, rest = [1.2] * 4, [0.9] * 4, [0.9] * 24
    short = minutes_of_headroom(overload + pause + overload * 2, 1.0, 15.0)
    assert (short.limited, short.minutes) == (True, 60.0 + 60.0 + 60.0)
    assert minutes_of_headroom(overload + rest + overload, 1.0, 15.0).used == pytest.approx(0.5)


def test_a_load_that_fits_has_the_length_of_its_series():
    headroom = minutes_of_headroom([0.9, 1.0, 0.95], 1.0, 15.0)
    assert (headroom.minutes, headroom.limited, headroom.overload_at_min) == (45.0, False, None)
    assert minutes_of_headroom([0.5, 2.5], 1.0, 15.0).minutes == 15.0
    assert minutes_of_headroom([1.2] * 20, 1.0, 15.0, used=0.5).minutes == 60.0


@given(loads=LOADINGS, more=st.floats(1.0, 1.5))
def test_more_load_never_lasts_longer(loads, more):
    less = minutes_of_headroom(loads, 1.0, 5.0)
    assert minutes_of_headroom(np.array(loads) * more, 1.0, 5.0).minutes <= less.minutes
    assert 0.0 <= less.minutes <= len(loads) * 5.0
    assert minutes_of_headroom(loads, 1.0, 5.0, used=0.5).minutes <= less.minutes


@given(loads=LOADINGS)
def test_finer_steps_of_the_same_load_give_the_same_minutes(loads):
    coarse = minutes_of_headroom(loads, 1.0, 12.0)
    fine = minutes_of_headroom(np.repeat(loads, 4), 1.0, 3.0)
    assert fine.minutes == pytest.approx(coarse.minutes, abs=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="missing values"):
        minutes_of_headroom([1.0, np.nan], 1.0, 15.0)
    with pytest.raises(InputError, match="positive"):
        minutes_of_headroom([1.0], 0.0, 15.0)
    with pytest.raises(InputError, match="not in order"):
        OverloadTable(loading=(1.4, 1.3), allowed_min=(10.0, 5.0))


def test_the_worst_moment_counts():
    # 60 min at +20 % before the evening, then +45 %: from its begin 80 min, from the start
    # 60/120 of the margin is gone and 40 min are left of the rest
    load = [120.0] * 4 + [145.0] * 8
    found = minutes_from_worst_moment([load, [90.0] * 12, [120.0] * 12], 100.0, 15.0)
    assert found.tolist() == [80.0, 180.0, 120.0]


@given(loads=LOADINGS)
def test_the_worst_moment_is_the_shortest_of_all_starts(loads):
    starts = [minutes_of_headroom(loads[k:], 1.0, 15.0) for k in range(len(loads))]
    found = minutes_from_worst_moment(loads, 1.0, 15.0)[0]
    expected = min(
        (s.minutes for s, load in zip(starts, loads, strict=True) if s.limited and load > 1.0),
        default=len(loads) * 15.0,
    )
    assert found == pytest.approx(expected)


def test_bad_loads_have_no_worst_moment():
    with pytest.raises(InputError, match="missing"):
        minutes_from_worst_moment([1.0, np.nan], 1.0, 15.0)
    with pytest.raises(InputError, match="positive"):
        minutes_from_worst_moment([1.0], 0.0, 15.0)
