"""A battery and the rule its energy management follows."""

import math
from dataclasses import dataclass
from typing import Final

from twin.parkfile.schema import Bess

OFF_PEAK_H: Final = (0.0, 6.0)
PEAK_H: Final = (17.5, 22.5)
IDLE, CHARGING, DISCHARGING = 0, 1, 2
_AT_REST_KW: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the rule looks at.

    Parameters
    ----------
    load_kw
        Load of the station without batteries, solar power subtracted [kW].
    firm_kw
        Power the station carries without its largest transformer [kW].
    pv_kw
        Solar power [kW].
    hour, weekday
        Local hour of the day; 1 Monday … 7 Sunday.
    """

    load_kw: float
    firm_kw: float
    pv_kw: float
    hour: float
    weekday: int


@dataclass(slots=True)
class BatteryNow:
    """State of one battery; power is positive when it discharges."""

    bess: Bess
    stored_kwh: float
    efficiency: float
    power_kw: float = 0.0
    in_kwh: float = 0.0
    out_kwh: float = 0.0

    @property
    def soc_pct(self) -> float:
        """State of charge [%]."""
        return 100.0 * self.stored_kwh / self.bess.energy if self.bess.energy else 0.0

    @property
    def mode(self) -> int:
        """Code of what it does: idle, charging, discharging."""
        if abs(self.power_kw) < _AT_REST_KW:
            return IDLE
        return DISCHARGING if self.power_kw > 0.0 else CHARGING

    def decide(self, grid: Grid, for_h: float) -> None:
        """Choose the power of the next step, within power and state of charge."""
        wish = _RULES[self.bess.rule](self, grid)
        low, high = (share * self.bess.energy for share in self.bess.soc)
        one_way = math.sqrt(self.efficiency)
        can_give = max(0.0, (self.stored_kwh - low) * one_way / for_h)
        can_take = max(0.0, (high - self.stored_kwh) / one_way / for_h)
        limit = self.bess.power
        self.power_kw = max(-min(limit, can_take), min(limit, can_give, wish))

    def run(self, for_h: float) -> None:
        """Let the chosen power flow."""
        one_way = math.sqrt(self.efficiency)
        if self.power_kw > 0.0:
            self.out_kwh += self.power_kw * for_h
            self.stored_kwh -= self.power_kw * for_h / one_way
        else:
            self.in_kwh -= self.power_kw * for_h
            self.stored_kwh -= self.power_kw * for_h * one_way


def start_soc(bess: Bess, hour: float) -> float:
    """A state of charge that fits the time of day [1]: full by morning, empty by night."""
    low, high = bess.soc
    if hour < OFF_PEAK_H[1]:
        return low + (high - low) * hour / OFF_PEAK_H[1]
    if hour < PEAK_H[0]:
        return high
    left = max(0.0, (PEAK_H[1] - hour) / (PEAK_H[1] - PEAK_H[0]))
    return low + (high - low) * left


def _time_of_use(now: BatteryNow, grid: Grid) -> float:
    low, high = (share * now.bess.energy for share in now.bess.soc)
    one_way = math.sqrt(now.efficiency)
    if PEAK_H[0] <= grid.hour < PEAK_H[1] and grid.weekday != 7:
        return (now.stored_kwh - low) * one_way / max(0.25, PEAK_H[1] - grid.hour)
    if grid.hour < OFF_PEAK_H[1]:
        return -(high - now.stored_kwh) / one_way / max(0.25, OFF_PEAK_H[1] - grid.hour)
    return 0.0


def _peak_shaving(now: BatteryNow, grid: Grid) -> float:
    del now
    if grid.load_kw > grid.firm_kw:
        return grid.load_kw - grid.firm_kw
    return -max(0.0, 0.85 * grid.firm_kw - grid.load_kw)


def _self_consumption(now: BatteryNow, grid: Grid) -> float:
    del now
    if grid.pv_kw > 0.0:
        return -0.5 * grid.pv_kw
    return 0.1 * grid.load_kw


def _idle(now: BatteryNow, grid: Grid) -> float:
    del now, grid
    return 0.0


_RULES: Final = {
    "time_of_use": _time_of_use,
    "peak_shaving": _peak_shaving,
    "self_consumption": _self_consumption,
    "idle": _idle,
}
