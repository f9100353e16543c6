"""Shapes of a day: a group's share of its peak, an hour's share of the day's trucks."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np

from connectors.plant.physics.draws import Floats, factors
from models.load import SLOTS, Calendar, load_template
from twin.parkfile.schema import ParkFile

_TRUCKS: Final = (
    0.010, 0.008, 0.007, 0.008, 0.014, 0.028, 0.045, 0.066, 0.080, 0.084, 0.078, 0.056,
    0.050, 0.072, 0.078, 0.076, 0.064, 0.048, 0.036, 0.029, 0.024, 0.018, 0.012, 0.009,
)  # fmt: skip
_WARP: Final = 0.015
"""Spread of the hidden factor between a group's true shape and its sector's template, per hour."""


class DayShape:
    """Shares over the 24 hours of a day, straight between the hours."""

    def __init__(self, hourly: Sequence[float]) -> None:
        self._hourly = (*hourly, hourly[0])

    def at(self, hour: float) -> float:
        """The share at an hour of the local day, 0 <= hour < 24."""
        k = int(hour)
        rest = hour - k
        return self._hourly[k] * (1.0 - rest) + self._hourly[k + 1] * rest


class GroupShape:
    """The true load shape of a group of tenants: its sector's template, a little off.

    Parameters
    ----------
    profile, name
        Template and id of the group.
    spec
        The park file, for zone and holidays.
    seed
        Seed of the hidden difference.
    """

    def __init__(self, profile: str, name: str, spec: ParkFile, seed: int) -> None:
        holidays = spec.holidays.values()
        self._calendar = Calendar(
            zone=spec.tz,
            holidays=frozenset(day for each in holidays for day in each.dates),
            swapped=frozenset(day for each in holidays for day in each.swapped_working_days),
        )
        self._shares = load_template(profile).shares()
        self._warp = DayShape(factors(seed, f"{name}/shape", 24, _WARP).tolist())

    def at(self, day: date, hour: float) -> float:
        """Share of the group's peak at an hour of a local day."""
        shares = self._shares[self._calendar.kind(day)]
        # A template's share stands for the middle of its quarter hour.
        place = (hour * 4.0 - 0.5) % SLOTS
        k, rest = int(place), place % 1.0
        share = shares[k] * (1.0 - rest) + shares[(k + 1) % SLOTS] * rest
        return float(share) * self._warp.at(hour)


def truck_shares() -> Floats:
    """Share of a day's trucks in each hour; they add up to 1."""
    hourly = np.array(_TRUCKS, np.float64)
    return np.asarray(hourly / hourly.sum(), np.float64)
