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
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from models.errors import InputError
from models.tariff import Window

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


MEMORY_H: Final = 3.0
"""Time over which a load's deviation from its outlook is forgotten [h]; an assumption."""
_HALVINGS: Final = 24
"""Halvings of the span a level is sought in: 10 MW to 0.6 W."""
_TINY_KW: Final = 1e-9


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

    With `Clock.left_h`, what the clock wants is spread evenly over what is left of its window: no
    rush at its start, no empty battery before its end.

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
class Clock:
    """What the clock wants, step by step.

    Parameters
    ----------
    wishes
        [steps], `Wish` of each step.
    left_h
        [steps], time left of the step's window, the step included [h]; None gives or takes as fast
        as it can.
    limit_kw
        [steps], limit of each step [kW], where it changes; None takes that of the rules.
    """

    wishes: Ints
    left_h: Floats | None = None
    limit_kw: Floats | None = None


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
    wishes: npt.ArrayLike | Clock | None = None,
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
        [steps], `Wish` of each step, or a whole `Clock`; idle when None.
    """
    net, start = _checked(net_kw, battery, step_h, stored_kwh)
    clock = _clock(wishes, net.shape[1], rules.limit_kw)
    power, stored = np.empty_like(net), np.empty_like(net)
    reserve = min(max(rules.reserve * battery.energy_kwh, battery.least_kwh), battery.most_kwh)
    settings = np.array(
        [*_sizes(battery, step_h), reserve, float(rules.self_consumption)], np.float64
    )
    _dispatch(net, *clock, settings, start, power, stored)
    return Dispatch(power_kw=power, stored_kwh=stored, grid_kw=net - power)


def dispatch_by_level(
    net_kw: npt.ArrayLike,
    battery: Battery,
    outlook_kw: npt.ArrayLike,
    step_h: float,
    *,
    stored_kwh: npt.ArrayLike,
) -> Dispatch:
    """Shave peaks: in each step, hold the lowest level that can be held by the outlook.

    The outlook is moved by how far the step's load is off it, a deviation that is forgotten over
    `MEMORY_H`. The level is the lowest for which the battery, giving what is above it and taking
    up to it, never lacks energy or power. Above it the battery gives; below it, it takes evenly
    what the rest of the outlook will need. It plans anew in every step and knows nothing of the
    loads to come but the outlook.

    Parameters
    ----------
    net_kw, battery, step_h, stored_kwh
        As in `dispatch_by_rules`.
    outlook_kw
        [steps, ahead], expected load less solar of the step itself, then of those after it as far
        as the plan goes (e.g. to midnight); NaN beyond [kW].
    """
    net, start = _checked(net_kw, battery, step_h, stored_kwh)
    outlook = np.ascontiguousarray(outlook_kw, np.float64)
    if outlook.ndim != 2 or len(outlook) != net.shape[1] or not np.all(np.isfinite(outlook[:, :1])):
        raise InputError(
            f"an outlook of shape {outlook.shape} for {net.shape[1]} steps",
            "give one row per step, its own expectation first",
        )
    power, stored = np.empty_like(net), np.empty_like(net)
    _hold_level(net, outlook, _sizes(battery, step_h), start, power, stored)
    return Dispatch(power_kw=power, stored_kwh=stored, grid_kw=net - power)


def _checked(
    net_kw: npt.ArrayLike, battery: Battery, step_h: float, stored_kwh: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Loads, [lanes, steps], and energy held at the start, [lanes]."""
    net = np.ascontiguousarray(np.atleast_2d(np.asarray(net_kw, np.float64)))
    if not np.all(np.isfinite(net)) or step_h <= 0.0:
        raise InputError("missing loads or a step of no length", "fill gaps; give a positive step")
    start = np.broadcast_to(np.asarray(stored_kwh, np.float64), (len(net),)).copy()
    if not np.all((start >= 0.0) & (start <= battery.energy_kwh)):
        raise InputError(
            f"{start.min()} to {start.max()} kWh stored", f"it holds 0 to {battery.energy_kwh} kWh"
        )
    return net, start


def _clock(
    given: npt.ArrayLike | Clock | None, steps: int, limit_kw: float
) -> tuple[Ints, Floats, Floats]:
    """Wishes, hours left of their windows (0: no spreading) and limits, [steps] each."""
    plain = np.zeros(steps, np.int64) if given is None else given
    clock = plain if isinstance(plain, Clock) else Clock(wishes=np.asarray(plain, np.int64))
    left = np.zeros(steps) if clock.left_h is None else np.asarray(clock.left_h, np.float64)
    limits = np.full(steps, limit_kw) if clock.limit_kw is None else clock.limit_kw
    if any(one.shape != (steps,) for one in (clock.wishes, left, limits)):
        raise InputError(f"{clock.wishes.shape} wishes for {steps} steps", "give one per step")
    return clock.wishes, left, np.asarray(limits, np.float64)


def _sizes(battery: Battery, step_h: float) -> Floats:
    return np.array(
        [
            battery.power_kw,
            battery.least_kwh,
            battery.most_kwh,
            battery.charge_efficiency,
            battery.discharge_efficiency,
            step_h,
        ]
    )


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
def _kept(stored: float, least: float, most: float, start: float) -> float:
    """Take rounding away; a start outside the range is only brought inside."""
    return min(max(stored, min(least, start)), max(most, start))


@numba.njit(cache=True, nogil=True)
def _dispatch(
    net: Floats,
    wishes: Ints,
    left_h: Floats,
    limits: Floats,
    settings: Floats,
    start: Floats,
    power: Floats,
    stored: Floats,
) -> None:
    most_kw, least, most, charge, discharge, step_h = settings[:6]
    reserve, take_surplus = settings[6], settings[7] > 0.0
    for lane in range(net.shape[0]):
        held = start[lane]
        for t in range(net.shape[1]):
            load = net[lane, t]
            room = limits[t] - load
            pace_h = max(left_h[t], step_h)
            wish, floor = 0.0, reserve
            if room < 0.0:
                wish, floor = -room, least
            elif wishes[t] == 1:
                wish = -min(room, most_kw)
                if left_h[t] > 0.0:
                    wish = max(wish, -max(most - held, 0.0) / charge / pace_h)
            elif (load < 0.0 and take_surplus) or (load > 0.0 and wishes[t] == 2):
                wish = load
                if left_h[t] > 0.0 and load > 0.0:
                    wish = min(load, max(held - reserve, 0.0) * discharge / pace_h)
            elif held < reserve and wishes[t] != 2:
                need = (reserve - held) / charge / step_h
                wish = -min(room, need, most_kw)
            done = _possible(wish, held, most_kw, floor, most, charge, discharge, step_h)
            held = _kept(_after(held, done, charge, discharge, step_h), least, most, start[lane])
            power[lane, t] = done
            stored[lane, t] = held


@numba.njit(cache=True, nogil=True)
def _hold_level(
    net: Floats,
    outlook: Floats,
    settings: Floats,
    start: Floats,
    power: Floats,
    stored: Floats,
) -> None:
    most_kw, least, most, charge, discharge, step_h = settings
    fade = math.exp(-step_h / MEMORY_H)
    course = np.empty(outlook.shape[1])
    for lane in range(net.shape[0]):
        held = start[lane]
        for t in range(net.shape[1]):
            load = net[lane, t]
            ahead = _moved(outlook[t], load - outlook[t, 0], fade, course)
            level = _lowest_level(course[:ahead], held, settings)
            wish = load - level
            if wish < 0.0:
                wish = max(wish, -_least_take(course[:ahead], level, held, settings))
            done = _possible(wish, held, most_kw, least, most, charge, discharge, step_h)
            held = _kept(_after(held, done, charge, discharge, step_h), least, most, start[lane])
            power[lane, t] = done
            stored[lane, t] = held


@numba.njit(cache=True, nogil=True)
def _moved(row: Floats, deviation: float, fade: float, course: Floats) -> int:
    """Write the outlook moved by a fading deviation; return how far it goes."""
    for k in range(len(row)):
        if np.isnan(row[k]):
            return k
        course[k] = row[k] + deviation
        deviation *= fade
    return len(row)


@numba.njit(cache=True, nogil=True)
def _lowest_level(course: Floats, held: float, settings: Floats) -> float:
    """Lowest level that can be held over a course [kW]."""
    high = float(course.max())
    low = high - settings[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if _holds(course, middle, settings[0], held, settings):
            high = middle
        else:
            low = middle
    return high


@numba.njit(cache=True, nogil=True)
def _holds(course: Floats, level: float, take_kw: float, held: float, settings: Floats) -> bool:
    """Whether a battery that takes so much, up to a level, always has what is missing above it."""
    most_kw, least, most, charge, discharge, step_h = settings
    for load in course:
        wish = max(load - level, -take_kw)
        done = _possible(wish, held, most_kw, least, most, charge, discharge, step_h)
        if done < wish - _TINY_KW and wish > 0.0:
            return False
        held = _after(held, done, charge, discharge, step_h)
    return True


@numba.njit(cache=True, nogil=True)
def _least_take(course: Floats, level: float, held: float, settings: Floats) -> float:
    """Least power that, taken wherever a level leaves room, still holds the level [kW]."""
    low, high = 0.0, float(settings[0])
    if _holds(course, level, low, held, settings):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if _holds(course, level, middle, held, settings):
            high = middle
        else:
            low = middle
    return high
