"""When a park works: planned busy time of its lines, and its kinds of days."""

import numpy as np
import numpy.typing as npt

from models.load import Calendar
from twin.park import Park
from twin.parkfile.schema import Site
from twin.shifts import LocalTime, Shifts

Floats = npt.NDArray[np.float64]


def holidays_of(park: Park) -> Calendar:
    """Kinds of days of a park: all its holidays together."""
    plans = park.spec.holidays.values()
    return Calendar(
        zone=park.tz,
        holidays=frozenset(day for plan in plans for day in plan.dates),
        swapped=frozenset(day for plan in plans for day in plan.swapped_working_days),
    )


class WorkingHours:
    """Planned busy time of each line."""

    def __init__(self, park: Park) -> None:
        local = LocalTime(park.tz)
        spec = park.spec
        self._shifts = {
            name: Shifts(
                calendar,
                spec.holidays.get(calendar.holidays) if calendar.holidays else None,
                local,
            )
            for name, calendar in spec.calendars.items()
        }
        self._names = [
            line.calendar for site in _sites(park) for area in site.areas for line in area.lines
        ]

    def planned_s(self, since_us: int, until_us: int) -> Floats:
        """Planned busy time of each line in a window [s], in the park's order."""
        used = dict.fromkeys(self._names)
        seconds = {name: self._shifts[name].planned_s(since_us, until_us) for name in used}
        return np.array([seconds[name] for name in self._names], np.float64)

    def open(self, now_us: int) -> npt.NDArray[np.bool_]:
        """Whether each line is planned to work now."""
        used = {name: self._shifts[name].open(now_us) for name in dict.fromkeys(self._names)}
        return np.array([used[name] for name in self._names], np.bool_)


def _sites(park: Park) -> list[Site]:
    return [site for site in park.spec.sites if isinstance(site, Site)]
