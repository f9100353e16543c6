"""Shapes of a day: a group's share of its peak, an hour's share of the day's trucks."""

from typing import Final

import numpy as np

from connectors.plant.physics.draws import Floats

_LIGHT: Final = (
    0.60, 0.58, 0.57, 0.57, 0.58, 0.62, 0.70, 0.81, 0.87, 0.89, 0.90, 0.82,
    0.81, 0.88, 0.90, 0.89, 0.88, 0.88, 0.91, 0.93, 0.91, 0.86, 0.75, 0.66,
)  # fmt: skip
_OFFICE: Final = (
    0.30, 0.29, 0.28, 0.28, 0.29, 0.33, 0.48, 0.75, 0.93, 0.98, 1.00, 0.88,
    0.85, 0.96, 1.00, 0.99, 0.94, 0.80, 0.62, 0.50, 0.44, 0.39, 0.35, 0.32,
)  # fmt: skip
_FLAT: Final = (
    0.93, 0.93, 0.92, 0.92, 0.92, 0.92, 0.93, 0.95, 0.97, 0.98, 0.98, 0.95,
    0.95, 0.97, 0.98, 0.98, 0.98, 0.99, 1.00, 1.00, 0.99, 0.98, 0.96, 0.94,
)  # fmt: skip
_TRUCKS: Final = (
    0.010, 0.008, 0.007, 0.008, 0.014, 0.028, 0.045, 0.066, 0.080, 0.084, 0.078, 0.056,
    0.050, 0.072, 0.078, 0.076, 0.064, 0.048, 0.036, 0.029, 0.024, 0.018, 0.012, 0.009,
)  # fmt: skip
_SUNDAY: Final = 0.62
_HOLIDAY: Final = 0.30


class DayShape:
    """A share of the peak over the hours of a day, straight between the hours."""

    def __init__(self, hourly: tuple[float, ...]) -> None:
        self._hourly = (*hourly, hourly[0])

    def at(self, hour: float) -> float:
        """The share at an hour of the local day, 0 <= hour < 24."""
        k = int(hour)
        rest = hour - k
        return self._hourly[k] * (1.0 - rest) + self._hourly[k + 1] * rest


def load_shape(profile: str) -> DayShape:
    """The shape a load template's name stands for in the plant."""
    if any(word in profile for word in ("office", "service", "logistics", "day")):
        return DayShape(_OFFICE)
    if any(word in profile for word in ("three_shift", "continuous", "cold", "flat", "24")):
        return DayShape(_FLAT)
    return DayShape(_LIGHT)


def week_share(weekday: int, *, holiday: bool) -> float:
    """How much of a working day's load a day draws; weekday 1 Monday … 7 Sunday."""
    if holiday:
        return _HOLIDAY
    return _SUNDAY if weekday == 7 else 1.0


def truck_shares() -> Floats:
    """Share of a day's trucks in each hour; they add up to 1."""
    hourly = np.array(_TRUCKS, np.float64)
    return np.asarray(hourly / hourly.sum(), np.float64)
