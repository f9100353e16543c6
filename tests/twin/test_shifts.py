import itertools
from datetime import UTC, date, datetime, timedelta

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
