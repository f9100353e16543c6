"""Numbers, times and spans as people write them."""

import pytest

from dashboard.spans import DAY, HOUR, SECOND, span_of
from dashboard.text import moment, number, probability, significant, span, with_unit

TZ = "Asia/Ho_Chi_Minh"
NOON = 1_795_323_600 * SECOND  # 2026-11-22T12:00+07:00
NBSP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("value", "decimals", "vi", "en"),
    [
        (1234567.0, 0, "1.234.567", "1,234,567"),
        (47.06, 1, "47,1", "47.1"),
        (-3.5, 1, "−3,5", "−3.5"),
        (-0.01, 1, "0,0", "0.0"),
        (None, 1, "–", "–"),
        (float("nan"), 1, "–", "–"),
        (float("inf"), 0, "∞", "∞"),
    ],
)
def test_numbers_are_written_in_each_language(value, decimals, vi, en):
    assert (number(value, decimals, "vi"), number(value, decimals, "en")) == (vi, en)


def test_a_difference_carries_its_sign():
    assert number(2.0, 1, "en", sign=True) == "+2.0"
    assert number(-2.0, 1, "en", sign=True) == "−2.0"


def test_a_unit_does_not_part_from_its_number():
    assert with_unit(47.1, 1, "MW", "vi") == f"47,1{NBSP}MW"


@pytest.mark.parametrize(("value", "digits"), [(0.0, 1), (3.14, 2), (31.4, 1), (314.0, 0)])
def test_about_three_digits_are_significant(value, digits):
    assert significant(value) == digits


@pytest.mark.parametrize(
    ("minutes", "vi"),
    [
        (0.5, f"30{NBSP}giây"),
        (118, f"118{NBSP}phút"),
        (225, f"3{NBSP}giờ 45{NBSP}phút"),
        (3000, f"2{NBSP}ngày 2{NBSP}giờ"),
    ],
)
def test_a_duration_has_its_two_largest_units(minutes, vi):
    assert span(minutes, "vi") == vi


def test_a_time_of_another_day_has_its_date():
    assert moment(NOON, TZ, NOON + HOUR) == "12:00:00"
    assert moment(NOON, TZ, NOON + DAY) == "22/11/2026 12:00"


def test_today_begins_at_midnight_in_the_park():
    today = span_of("today", NOON, TZ)
    assert (today.since_us, today.until_us) == (NOON - 12 * HOUR, NOON)


def test_yesterday_is_a_whole_day_and_ends_at_midnight():
    found = span_of("yesterday", NOON, TZ)
    assert (found.since_us, found.until_us) == (NOON - 36 * HOUR, NOON - 12 * HOUR)


def test_an_unknown_span_is_today():
    assert span_of("fortnight", NOON, TZ) == span_of("today", NOON, TZ)


@pytest.mark.parametrize(
    ("value", "least", "vi", "en"),
    [
        (0.0, 0.047, "< 4,7 %", "< 4.7 %"),
        (0.0004, 0.05, "< 5 %", "< 5 %"),
        (1.0, 0.05, "> 95 %", "> 95 %"),
        (0.93, 0.05, "93 %", "93 %"),
        (0.0312, 0.01, "3,1 %", "3.1 %"),
        (0.0, 0.003, "< 0,3 %", "< 0.3 %"),
    ],
)
def test_a_probability_is_never_nought_or_one(value, least, vi, en):
    assert probability(value, "vi", least) == vi
    assert probability(value, "en", least) == en
