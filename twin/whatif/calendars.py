"""When the lines of a park work: spans for their machines, shares of steps for everything else."""

from datetime import date

import numpy as np
import numpy.typing as npt

from models.bill import Grid
from models.load import Calendar
from twin.parkfile.schema import ParkFile
from twin.shifts import LocalTime, Shifts

Floats = npt.NDArray[np.float64]


class Calendars:
    """The calendars of a park file over the steps of a grid; each is read once.

    Parameters
    ----------
    spec
        The park file.
    grid
        Time steps.
    """

    def __init__(self, spec: ParkFile, grid: Grid) -> None:
        self._spec, self._grid = spec, grid
        self.local = LocalTime(spec.tz)
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._shares: dict[str, Floats] = {}

    @property
    def grid(self) -> Grid:
        """Time steps."""
        return self._grid

    def spans(self, name: str) -> list[tuple[int, int]]:
        """Spans of planned work on the grid, (begin, end) [us]."""
        if name not in self._spans:
            calendar = self._spec.calendars[name]
            holidays = self._spec.holidays.get(calendar.holidays) if calendar.holidays else None
            plan = Shifts(calendar, holidays, self.local)
            self._spans[name] = plan.spans(self._grid.start_us, self._grid.end_us)
        return self._spans[name]

    def share(self, name: str) -> Floats:
        """Share of each step in which work is planned, [steps]."""
        if name not in self._shares:
            self._shares[name] = _covered(self.spans(name), self._grid)
        return self._shares[name]


def _covered(spans: list[tuple[int, int]], grid: Grid) -> Floats:
    """Share of each step that lies in spans, in order and apart; exact to the microsecond."""
    edges = grid.start_us + grid.step_us * np.arange(grid.steps + 1, dtype=np.int64)
    inside = np.zeros(grid.steps + 1, np.int64)
    for begin, end in spans:
        inside += np.clip(edges - begin, 0, end - begin)
    shares: Floats = np.diff(inside) / grid.step_us
    return shares


def kinds_of_days(spec: ParkFile) -> Calendar:
    """Which local day is what: all holidays and swapped working days of a park together."""
    return Calendar(
        zone=spec.tz,
        holidays=public_holidays(spec),
        swapped=frozenset(
            day for one in spec.holidays.values() for day in one.swapped_working_days
        ),
    )


def public_holidays(spec: ParkFile) -> frozenset[date]:
    """All dated holidays of a park."""
    return frozenset(day for one in spec.holidays.values() for day in one.dates)
