"""The batteries of a variant, run by the rules their file names.

``time_of_use`` gives evenly over what is left of the tariff's peak window and charges evenly over
what is left of its off-peak window; ``peak_shaving`` holds the lowest level that what is stored
can hold until midnight by the expected course; ``self_consumption`` takes solar surplus; ``idle``
does nothing. All but the second and the last also keep the station inside its full rating. After
the loss of a transformer a battery goes on by its rule: what to do then is the operator's call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from models.battery import (
    Battery,
    Clock,
    Dispatch,
    Rules,
    Wish,
    dispatch_by_level,
    dispatch_by_rules,
    one_way,
)
from models.bill import Grid, Slot, share_of_steps
from models.tariff import Window
from twin.parkfile.schema import Bess
from twin.shifts import LocalTime
from twin.whatif.snapshot import Snapshot

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a battery of some size holds, [R] [kWh]."""

    kwh: Floats
    energy_kwh: float

    def inside(self, energy_kwh: float) -> Floats:
        """The same in a battery of another size: the same share of it."""
        return (
            self.kwh if energy_kwh == self.energy_kwh else self.kwh / self.energy_kwh * energy_kwh
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFuture:
    """What the batteries do.

    Parameters
    ----------
    power_kw, soc_pct
        [R, steps], all together: power, positive when they give [kW], and state of charge [%].
    refill_kwh
        [R], what it takes from the grid to bring them back to where they began [kWh].
    end
        Battery id → what it holds at the end.
    """

    power_kw: Floats
    soc_pct: Floats
    refill_kwh: Floats
    end: Mapping[str, Held]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a dispatcher knows beforehand.

    Parameters
    ----------
    net_kw
        [steps + ahead], expected load less typical solar, on to the last midnight [kW].
    limit_kw
        [steps], active power the station's transformers carry [kW].
    clock
        What the tariff's windows want.
    to_midnight
        [steps], steps from each one to the next local midnight, itself included.
    """

    net_kw: Floats
    limit_kw: Floats
    clock: Clock
    to_midnight: Ints

    def rows(self, steps: slice) -> Floats:
        """Expected course from each step to midnight, [steps, ahead]; NaN beyond."""
        starts = np.arange(len(self.to_midnight))[steps]
        ahead = np.arange(int(self.to_midnight.max(initial=1)))
        places = np.minimum(starts[:, None] + ahead, len(self.net_kw) - 1)
        inside = ahead < self.to_midnight[steps][:, None]
        return np.where(inside, self.net_kw[places], np.nan)


class Storage:
    """The batteries of a park.

    Parameters
    ----------
    batteries
        As in the file.
    snapshot
        Where they start.
    outlook
        What is expected.
    step_h
        Length of a step [h].
    """

    def __init__(
        self, batteries: tuple[Bess, ...], snapshot: Snapshot, outlook: Outlook, step_h: float
    ) -> None:
        self._batteries = [one for one in batteries if one.energy > 0.0 and one.power > 0.0]
        self._snapshot, self._outlook, self._step_h = snapshot, outlook, step_h

    def run(self, net_kw: Floats, steps: slice, start: Mapping[str, Held] | None) -> StorageFuture:
        """Run the batteries one after the other.

        Parameters
        ----------
        net_kw
            [R, steps], load less solar [kW].
        steps
            Which steps of the outlook these are.
        start
            Battery id → what it holds; what the snapshot shows where it is missing.
        """
        total, stored = np.zeros_like(net_kw), np.zeros_like(net_kw)
        refill = np.zeros(len(net_kw))
        end: dict[str, Held] = {}
        for bess in self._batteries:
            battery, before = battery_of(bess), (start or {}).get(bess.id)
            held_kwh = self._seen_kwh(bess) * np.ones(len(net_kw))
            if before is not None:
                held_kwh = before.inside(bess.energy)
            done = self._dispatch(bess, battery, net_kw - total, steps, held_kwh)
            total += done.power_kw
            stored += done.stored_kwh
            left_kwh = done.stored_kwh[:, -1]
            end[bess.id] = Held(kwh=left_kwh, energy_kwh=bess.energy)
            refill += (held_kwh - left_kwh) / battery.charge_efficiency
        capacity = sum(one.energy for one in self._batteries)
        soc: Floats = 100.0 * stored / capacity if capacity else stored
        return StorageFuture(power_kw=total, soc_pct=soc, refill_kwh=refill, end=end)

    def _dispatch(
        self, bess: Bess, battery: Battery, net_kw: Floats, steps: slice, held_kwh: Floats
    ) -> Dispatch:
        if bess.rule == "peak_shaving":
            rows = self._outlook.rows(steps)
            return dispatch_by_level(net_kw, battery, rows, self._step_h, stored_kwh=held_kwh)
        clock, idle = self._outlook.clock, np.zeros(net_kw.shape[1], np.int64)
        left_h = clock.left_h
        timed = bess.rule == "time_of_use" and left_h is not None
        return dispatch_by_rules(
            net_kw,
            battery,
            Rules(self_consumption=bess.rule == "self_consumption"),
            self._step_h,
            stored_kwh=held_kwh,
            wishes=Clock(
                wishes=clock.wishes[steps] if timed else idle,
                left_h=left_h[steps] if timed and left_h is not None else None,
                limit_kw=None if bess.rule == "idle" else self._outlook.limit_kw[steps],
            ),
        )

    def _seen_kwh(self, bess: Bess) -> float:
        """Energy held: as measured, else the middle of its range."""
        soc = self._snapshot.value(bess.id, "state_of_charge")
        share = (bess.soc[0] + bess.soc[1]) / 2.0 if soc is None else soc / 100.0
        return min(max(share, 0.0), 1.0) * bess.energy


def battery_of(bess: Bess) -> Battery:
    """The battery model of a park file's battery."""
    efficiency = one_way(bess.round_trip_efficiency)
    return Battery(
        power_kw=bess.power,
        energy_kwh=bess.energy,
        least=bess.soc[0],
        most=bess.soc[1],
        charge_efficiency=efficiency,
        discharge_efficiency=efficiency,
    )


def clock_of(cut: tuple[Slot, ...], grid: Grid) -> Clock:
    """Charge in steps that are mostly off-peak, give in those that are mostly peak; evenly."""
    peak = share_of_steps(grid, [slot for slot in cut if slot.window is Window.PEAK])
    off_peak = share_of_steps(grid, [slot for slot in cut if slot.window is Window.OFF_PEAK])
    wishes = np.full(grid.steps, int(Wish.IDLE), np.int64)
    wishes[off_peak > 0.5] = int(Wish.CHARGE)
    wishes[peak > 0.5] = int(Wish.DISCHARGE)
    left = [
        float(length - number)
        for length in (len(list(run)) for _, run in groupby(wishes.tolist()))
        for number in range(length)
    ]
    return Clock(wishes=wishes, left_h=np.array(left, np.float64) * grid.step_h)


def steps_to_midnight(grid: Grid, local: LocalTime) -> Ints:
    """Steps from each one to the next local midnight, itself included, [steps]."""
    starts = grid.start_us + grid.step_us * np.arange(grid.steps, dtype=np.int64)
    left_h = np.array([24.0 - local.hour(int(t)) for t in starts])
    return np.ceil(left_h / grid.step_h - 1e-9).astype(np.int64)
