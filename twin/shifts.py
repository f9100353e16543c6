"""When lines work: shifts of a calendar in the park's own time, less breaks and holidays."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from twin.parkfile.schema import Calendar, Holidays
from twin.samples import from_us, to_us

DAY_US: Final = 86_400_000_000
_FAR_DAYS: Final = 20


class LocalTime:
    """Hour and day of the park's own clock."""

    def __init__(self, tz: str) -> None:
        self.zone = ZoneInfo(tz)
        self._offsets: dict[int, int] = {}

    def offset_us(self, t_us: int) -> int:
        """Local time minus UTC [us]; looked up once per UTC hour."""
        hour = t_us // 3_600_000_000
        if hour not in self._offsets:
            if len(self._offsets) > 48:
                self._offsets.clear()
            offset = from_us(hour * 3_600_000_000).astimezone(self.zone).utcoffset()
            self._offsets[hour] = round((offset or timedelta()).total_seconds() * 1e6)
        return self._offsets[hour]

    def hour(self, t_us: int) -> float:
        """Hour of the local day, 0 <= hour < 24."""
        return (t_us + self.offset_us(t_us)) % DAY_US / 3.6e9

    def day(self, t_us: int) -> date:
        """Local date."""
        return from_us(t_us + self.offset_us(t_us)).date()


class Shifts:
    """A calendar as edges in time.

    Parameters
    ----------
    calendar
        Shifts, weekdays and breaks; a shift belongs to the day it starts on.
    holidays
        Days off, and working days that replace some of them; None for none.
    local
        The park's clock.
    """

    def __init__(self, calendar: Calendar, holidays: Holidays | None, local: LocalTime) -> None:
        self._calendar, self._holidays, self._local = calendar, holidays, local
        self._first = date.min
        self._edges: list[int] = []

    def works_on(self, day: date) -> bool:
        """Whether shifts start on that day."""
        if self._holidays is not None and day in self._holidays.swapped_working_days:
            return True
        if self._holidays is not None and day in self._holidays.dates:
            return False
        return day.isoweekday() in self._calendar.weekdays

    def open(self, t_us: int) -> bool:
        """Whether work is planned at that time."""
        return bisect_right(self._around(t_us), t_us) % 2 == 1

    def next_change(self, t_us: int) -> int:
        """The next time at which `open` changes, or a look-out of some days if none is near."""
        edges = self._around(t_us)
        k = bisect_right(edges, t_us)
        return edges[k] if k < len(edges) else t_us + (_FAR_DAYS - 3) * DAY_US

    def spans(self, since_us: int, until_us: int) -> list[tuple[int, int]]:
        """Spans of planned work inside [since, until), in order, as (begin, end) [us]."""
        found: list[tuple[int, int]] = []
        t_us, working = since_us, self.open(since_us)
        while t_us < until_us:
            change = min(self.next_change(t_us), until_us)
            if working:
                found.append((t_us, change))
            t_us = change
            working = self.open(t_us)
        return [(begin, end) for begin, end in found if begin < end]

    def planned_s(self, since_us: int, until_us: int) -> float:
        """Planned busy time inside [since, until) [s]."""
        return sum(end - begin for begin, end in self.spans(since_us, until_us)) / 1e6

    def _around(self, t_us: int) -> list[int]:
        day = self._local.day(t_us)
        if day != self._first:
            self._first = day
            self._edges = _edges(sorted(self._spans(day)))
        return self._edges

    def _spans(self, today: date) -> Iterator[tuple[int, int]]:
        for ahead in range(-2, _FAR_DAYS):
            day = today + timedelta(days=ahead)
            if self.works_on(day):
                for shift in self._calendar.shifts:
                    yield from self._less_breaks(*_span(shift, day, self._local.zone))

    def _less_breaks(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """What is left of a shift between its breaks; breaks may overlap, or stand at its ends."""
        first = from_us(begin).astimezone(self._local.zone).date() - timedelta(days=1)
        pauses = [
            _span(pause, first + timedelta(days=ahead), self._local.zone)
            for ahead in range(3)
            for pause in self._calendar.breaks
            if len(set(pause.split("-"))) == 2  # 12:00-12:00 is no break, not one of a day
        ]
        inside = [(max(low, begin), min(high, end)) for low, high in pauses]
        cuts = _edges(sorted((low, high) for low, high in inside if low < high))
        for work in _worked([begin, *cuts, end]):
            if work[0] < work[1]:
                yield work


def _worked(edges: list[int]) -> Iterator[tuple[int, int]]:
    """Every second span between edges: work, pause, work, ..."""
    yield from zip(edges[::2], edges[1::2], strict=True)


def _edges(spans: list[tuple[int, int]]) -> list[int]:
    """Begin and end of the union of spans, in order."""
    edges: list[int] = []
    for begin, end in spans:
        if edges and begin <= edges[-1]:
            edges[-1] = max(edges[-1], end)
        else:
            edges += [begin, end]
    return edges


def _span(text: str, day: date, zone: ZoneInfo) -> tuple[int, int]:
    begin, end = (_minutes(part) for part in text.split("-"))
    if end <= begin:
        end += 24 * 60
    midnight = datetime.combine(day, time(), zone)
    return _local_us(midnight, begin), _local_us(midnight, end)


def _local_us(midnight: datetime, minutes: int) -> int:
    # Arithmetic on an aware local time moves the wall clock, which is what a shift plan means.
    return to_us((midnight + timedelta(minutes=minutes)).astimezone(UTC))


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
