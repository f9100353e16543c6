import itertools
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.parkfile.schema import Calendar, Holidays
from twin.samples import to_us
from twin.shifts import LocalTime, Shifts

HCM = "Asia/Ho_Chi_Minh"
TWO = Calendar(shifts=("06:00-14:00", "14:00-22:00"), breaks=("10:00-10:30",))
NIGHT = Calendar(shifts=("22:00-06:00",), weekdays=(1, 2, 3, 4, 5))


def local_us(text: str) -> int:
    return to_us(datetime.fromisoformat(f"{text}+07:00").astimezone(UTC))


def shifts(calendar: Calendar, holidays: Holidays | None = None) -> Shifts:
    return Shifts(calendar, holidays, LocalTime(HCM))


def test_a_day_of_two_shifts_with_a_break_is_fifteen_and_a_half_hours():
    # 06:00-22:00 = 16 h, less half an hour of break; Friday 2026-11-20
    day = shifts(TWO)
    assert day.planned_s(local_us("2026-11-20T00:00"), local_us("2026-11-21T00:00")) == 15.5 * 3600


@pytest.mark.parametrize(
    ("shift", "breaks", "hours"),
    [
        ("06:00-14:00", ("12:00-13:00", "12:30-13:30"), 6.5),  # they overlap
        ("06:00-14:00", ("13:30-14:00",), 7.5),  # at the shift's end
        ("06:00-14:00", ("05:45-06:15",), 7.75),  # over its begin
        ("06:00-14:00", ("12:00-12:30", "10:00-10:15"), 7.25),
        ("06:00-14:00", ("15:00-16:00", "12:00-12:00"), 8.0),  # none inside
        ("22:00-06:00", ("23:45-00:15", "02:00-02:30"), 7.0),  # over midnight
        ("00:00-08:00", ("23:45-00:15",), 7.75),  # begun the day before
    ],
)
def test_breaks_are_taken_off_once_wherever_they_stand(shift, breaks, hours):
    plan = shifts(Calendar(shifts=(shift,), breaks=breaks))
    wednesday, thursday = local_us("2026-11-18T21:00"), local_us("2026-11-19T21:00")
    assert plan.planned_s(wednesday, thursday) == hours * 3600


def test_sunday_is_off_and_a_swapped_working_day_is_on():
    sunday = date(2026, 11, 22)
    swapped = Holidays(swapped_working_days=(sunday,))
    noon = local_us("2026-11-22T12:00")
    assert not shifts(TWO).open(noon)
    assert shifts(TWO, swapped).open(noon)


def test_a_night_shift_belongs_to_the_day_it_starts_on():
    night = shifts(NIGHT)
    assert night.open(local_us("2026-11-21T05:59"))  # Saturday morning, begun on Friday
    assert not night.open(local_us("2026-11-21T06:00"))
    assert not night.open(local_us("2026-11-23T05:59"))  # Monday morning: Sunday does not work


def test_a_holiday_stops_work():
    holiday = Holidays(dates=(date(2026, 11, 20),))
    whole = local_us("2026-11-20T00:00"), local_us("2026-11-21T00:00")
    assert shifts(TWO, holiday).planned_s(*whole) == 0


@given(
    start=st.integers(0, 400 * 86_400),
    parts=st.lists(st.integers(1, 90_000), min_size=1, max_size=6),
)
def test_planned_time_adds_up_over_any_cut(start: int, parts: list[int]):
    plan = shifts(TWO, Holidays(dates=(date(2026, 9, 2),)))
    edges = [to_us(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=start))]
    for part in parts:
        edges.append(edges[-1] + part * 1_000_000)
    pieces = sum(plan.planned_s(a, b) for a, b in itertools.pairwise(edges))
    assert pieces == plan.planned_s(edges[0], edges[-1])
