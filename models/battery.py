"""A battery at the park's meter and the rules a real energy management system runs it by.

Rules are what such systems do, not the best that could be done: a result names them, and never
calls them optimal. Whatever decides, the outcome is a `Dispatch`; `dispatch_by_rules` is one way
to one, an exact optimiser is another with the same inputs.

Power is counted at the AC side, positive when the battery gives. Losses: ``stored`` falls by
``power / discharge efficiency`` when it gives and rises by ``power · charge efficiency`` when it
takes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numba
import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.tariff import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Wish(IntEnum):
    """What the clock wants of the battery in a step."""

    IDLE = 0
    CHARGE = 1
    DISCHARGE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """One battery.

    Parameters
    ----------
    power_kw
        Largest power either way, AC [kW].
    energy_kwh
        Energy it can hold, nameplate [kWh].
    least, most
        Shares of it that are used [1], e.g. 0.1 and 0.95.
    charge_efficiency, discharge_efficiency
        One-way efficiencies [1]; of a round trip efficiency, its square root each (`one_way`).
    """

    power_kw: float
    energy_kwh: float
    least: float = 0.0
    most: float = 1.0
    charge_efficiency: float = 0.94
    discharge_efficiency: float = 0.94

    def __post_init__(self) -> None:
        sizes = math.isfinite(self.power_kw) and math.isfinite(self.energy_kwh)
        if not (sizes and self.power_kw >= 0.0 and self.energy_kwh >= 0.0):
            raise InputError(
                f"a battery of {self.power_kw} kW and {self.energy_kwh} kWh", "give 0 or more"
            )
        if not 0.0 <= self.least <= self.most <= 1.0:
            raise InputError(
                f"a state of charge from {self.least} to {self.most}",
                "give 0 <= least <= most <= 1",
            )
        if not (0.0 < self.charge_efficiency <= 1.0 and 0.0 < self.discharge_efficiency <= 1.0):
            raise InputError(
                f"efficiencies {self.charge_efficiency} and {self.discharge_efficiency}",
                "each lies above 0 and up to 1",
            )

    @property
    def least_kwh(self) -> float:
        """Energy below which it never falls [kWh]."""
        return self.least * self.energy_kwh

    @property
    def most_kwh(self) -> float:
        """Energy above which it never rises [kWh]."""
        return self.most * self.energy_kwh


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How an energy management system runs a battery, in order of priority.

    1. Above `limit_kw` it gives what is above (peak shaving); nothing else may use `reserve`.
    2. Where the clock wants it (`Wish`), it charges up to the limit, from solar first.
    3. What solar leaves over it takes (`self_consumption`); where the clock wants it to give, it
       gives as much as the load.
    4. Below `reserve` it refills while there is room under the limit, unless the clock wants it
       to give.

    Parameters
    ----------
    limit_kw
        Power that may be taken from the grid, e.g. a station's limit times cos phi [kW].
    reserve
        Share of the energy kept for shaving [1].
    self_consumption
        Whether it takes surplus.
    """

    limit_kw: float = math.inf
    reserve: float = 0.0
    self_consumption: bool = True

    def __post_init__(self) -> None:
        if math.isnan(self.limit_kw) or not 0.0 <= self.reserve <= 1.0:
            raise InputError(
                f"a limit of {self.limit_kw} kW, a reserve of {self.reserve}",
                "the limit is a number, the reserve lies between 0 and 1",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What a battery does.

    Parameters
    ----------
    power_kw
        [lanes, steps], positive when it gives [kW].
    stored_kwh
        [lanes, steps], energy held at the end of each step [kWh].
    grid_kw
        [lanes, steps], taken from the grid; negative when fed in [kW].
    """

    power_kw: Floats
    stored_kwh: Floats
    grid_kw: Floats

    def cycles(self, battery: Battery, step_h: float) -> Floats:
        """Equivalent full cycles of each lane: energy given over energy held, [lanes]."""
        given = np.maximum(self.power_kw, 0.0).sum(axis=1) * step_h
        full = battery.energy_kwh * battery.discharge_efficiency
        cycles: Floats = given / full if full > 0.0 else np.zeros(len(given))
        return cycles


def one_way(round_trip: float) -> float:
    """Return the one-way efficiency of a round trip efficiency: its square root."""
    if not 0.0 < round_trip <= 1.0:
        raise InputError(f"a round trip efficiency of {round_trip}", "it lies above 0 and up to 1")
    return math.sqrt(round_trip)


def possible_kw(battery: Battery, stored_kwh: float, wish_kw: float, step_h: float) -> float:
    """Power the battery can really give (positive) or take over a step, nearest to a wish [kW]."""
    return float(
        _possible(
            wish_kw,
            stored_kwh,
            battery.power_kw,
            battery.least_kwh,
            battery.most_kwh,
            battery.charge_efficiency,
            battery.discharge_efficiency,
            step_h,
        )
    )


def stored_after(battery: Battery, stored_kwh: float, power_kw: float, step_h: float) -> float:
    """Energy held after a step at a possible power [kWh]."""
    efficiencies = (battery.charge_efficiency, battery.discharge_efficiency)
    return float(_after(stored_kwh, power_kw, *efficiencies, step_h))


def time_of_use_wishes(windows: Sequence[Window]) -> Ints:
    """Charge in the off-peak window, give in the peak window: the arbitrage clock, [steps]."""
    wishes = {Window.OFF_PEAK: Wish.CHARGE, Window.PEAK: Wish.DISCHARGE, Window.NORMAL: Wish.IDLE}
    return np.array([wishes[window] for window in windows], np.int64)


def dispatch_by_rules(
    net_kw: npt.ArrayLike,
    battery: Battery,
    rules: Rules,
    step_h: float,
    *,
    stored_kwh: npt.ArrayLike,
    wishes: npt.ArrayLike | None = None,
) -> Dispatch:
    """Run a battery by rules over load less solar.

    Parameters
    ----------
    net_kw
        [lanes, steps] or [steps], load less solar; negative is surplus [kW].
    battery, rules
        The battery and how it is run.
    step_h
        Length of a step [h].
    stored_kwh
        Energy held at the start, one number or [lanes] [kWh]; outside its range it is first
        brought inside by what the range allows.
    wishes
        [steps], `Wish` of each step; idle when None.
    """
    net = np.atleast_2d(np.asarray(net_kw, np.float64))
    if not np.all(np.isfinite(net)) or step_h <= 0.0:
        raise InputError("missing loads or a step of no length", "fill gaps; give a positive step")
    lanes, steps = net.shape
    clock = np.zeros(steps, np.int64) if wishes is None else np.asarray(wishes, np.int64)
    if clock.shape != (steps,):
        raise InputError(f"{clock.shape} wishes for {steps} steps", "give one per step")
    start = np.broadcast_to(np.asarray(stored_kwh, np.float64), (lanes,))
    if not np.all((start >= 0.0) & (start <= battery.energy_kwh)):
        raise InputError(
            f"{start.min()} to {start.max()} kWh stored", f"it holds 0 to {battery.energy_kwh} kWh"
        )
    power, stored = np.empty_like(net), np.empty_like(net)
    settings = np.array(
        [
            battery.power_kw,
            battery.least_kwh,
            battery.most_kwh,
            battery.charge_efficiency,
            battery.discharge_efficiency,
            step_h,
            rules.limit_kw,
            min(max(rules.reserve * battery.energy_kwh, battery.least_kwh), battery.most_kwh),
            float(rules.self_consumption),
        ]
    )
    _dispatch(np.ascontiguousarray(net), clock, settings, start.copy(), power, stored)
    return Dispatch(power_kw=power, stored_kwh=stored, grid_kw=net - power)


@numba.njit(cache=True, nogil=True)
def _possible(
    wish_kw: float,
    stored: float,
    most_kw: float,
    least: float,
    most: float,
    charge: float,
    discharge: float,
    step_h: float,
) -> float:
    if wish_kw >= 0.0:
        return min(wish_kw, most_kw, max(stored - least, 0.0) * discharge / step_h)
    return -min(-wish_kw, most_kw, max(most - stored, 0.0) / charge / step_h)


@numba.njit(cache=True, nogil=True)
def _after(stored: float, power: float, charge: float, discharge: float, step_h: float) -> float:
    if power >= 0.0:
        return stored - power / discharge * step_h
    return stored - power * charge * step_h


@numba.njit(cache=True, nogil=True)
def _dispatch(
    net: Floats, clock: Ints, settings: Floats, start: Floats, power: Floats, stored: Floats
) -> None:
    most_kw, least, most, charge, discharge, step_h = settings[:6]
    limit, reserve, take_surplus = settings[6], settings[7], settings[8] > 0.0
    for lane in range(net.shape[0]):
        held = start[lane]
        for t in range(net.shape[1]):
            load = net[lane, t]
            room = limit - load
            wish, floor = 0.0, reserve
            if room < 0.0:
                wish, floor = -room, least
            elif clock[t] == 1:
                wish = -min(room, most_kw)
            elif (load < 0.0 and take_surplus) or (load > 0.0 and clock[t] == 2):
                wish = load
            elif held < reserve and clock[t] != 2:
                need = (reserve - held) / charge / step_h
                wish = -min(room, need, most_kw)
            done = _possible(wish, held, most_kw, floor, most, charge, discharge, step_h)
            held = _after(held, done, charge, discharge, step_h)
            held = min(max(held, min(least, start[lane])), max(most, start[lane]))
            power[lane, t] = done
            stored[lane, t] = held
