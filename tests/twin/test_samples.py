"""The door for foreign sample batches."""

import pytest

from models.errors import InputError
from twin.samples import checked, from_us, sample_batch

LAST_US = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""


@pytest.mark.parametrize("seen_us", [0, LAST_US])
def test_a_time_of_receipt_that_a_calendar_knows_is_taken(seen_us):
    batch = sample_batch(tag=1, at_us=0, value=1.0, seen_us=seen_us)
    assert checked(batch) is batch
    assert from_us(seen_us).year in (1970, 9999)


@pytest.mark.parametrize("seen_us", [-1, LAST_US + 1, 2**60])
def test_one_that_no_calendar_knows_is_refused(seen_us):
    # it would stand in for a source time out of bounds, and no file could be named by its day
    with pytest.raises(InputError, match=r"batch\.seen_at.*set the gateway's clock"):
        checked(sample_batch(tag=[1, 1], at_us=0, value=1.0, seen_us=[0, seen_us]))
