"""Wastewater and steam."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from connectors.plant.physics.draws import Floats, Smooth
from connectors.plant.physics.templates import DayShape
from twin.parkfile.schema import Utilities
from twin.shifts import LocalTime

_FLOW: Final = DayShape(
    (0.48, 0.45, 0.43, 0.42, 0.43, 0.47, 0.55, 0.64, 0.72, 0.78, 0.80, 0.79,
     0.77, 0.78, 0.80, 0.79, 0.76, 0.73, 0.70, 0.67, 0.64, 0.60, 0.56, 0.52)
)  # fmt: skip
_KWH_PER_M3: Final = 0.46
_IDLE_SHARE: Final = 0.15


class Services:
    """Wastewater plants and boilers as functions of time.

    Parameters
    ----------
    spec
        The utilities of the park file.
    local, seed
        The park's clock; seed of the noise.
    """

    def __init__(self, spec: Utilities, local: LocalTime, seed: int) -> None:
        self.wastewater, self.boilers = spec.wastewater, spec.boilers
        self._local = local
        self._flow = Smooth(seed, "wastewater/flow", max(1, len(self.wastewater)), 1200.0)
        self._cod = Smooth(seed, "wastewater/cod", max(1, len(self.wastewater)), 5400.0)
        self._steam = Smooth(seed, "boilers/steam", max(1, len(self.boilers)), 420.0)
        self._capacity = np.array([plant.capacity for plant in self.wastewater])
        self._limit = np.array([plant.cod_limit for plant in self.wastewater])
        self._steam_t_h = np.array([boiler.steam / 1000.0 for boiler in self.boilers])
        self._bar = np.array([boiler.pressure for boiler in self.boilers])

    def flow_m3_h(self, t_us: int) -> Floats:
        """Flow of each wastewater plant [m3/h]."""
        noise = self._flow.at(t_us)[: len(self.wastewater)]
        return np.asarray(self._capacity * _FLOW.at(self._local.hour(t_us)) * (1.0 + 0.05 * noise))

    def cod_mg_l(self, t_us: int) -> Floats:
        """Chemical oxygen demand at the outlet of each plant [mg/L]."""
        noise = self._cod.at(t_us)[: len(self.wastewater)]
        return np.asarray(self._limit * np.clip(0.58 + 0.08 * noise, 0.2, 1.6), np.float64)

    def power_kw(self, t_us: int) -> Floats:
        """Power of each wastewater plant [kW]: blowers and pumps follow the flow."""
        share = _IDLE_SHARE * self._capacity + (1.0 - _IDLE_SHARE) * self.flow_m3_h(t_us)
        return np.asarray(_KWH_PER_M3 * share, np.float64)

    def steam_t_h(self, t_us: int, works: Sequence[float]) -> Floats:
        """Steam of each boiler [t/h]; `works` is how much of its site works [1]."""
        noise = self._steam.at(t_us)[: len(self.boilers)]
        share = 0.22 + 0.5 * np.asarray(works, np.float64) + 0.06 * noise
        return np.asarray(self._steam_t_h * np.clip(share, 0.0, 1.0), np.float64)

    def pressure_bar(self, t_us: int) -> Floats:
        """Pressure of each boiler [bar]."""
        noise = self._steam.at(t_us + 60_000_000)[: len(self.boilers)]
        return np.asarray(self._bar * (1.0 + 0.012 * noise), np.float64)
