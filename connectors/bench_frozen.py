"""How soon a dead PLC behind a gateway is found, and how often one is suspected that is not dead.

A plant on a simulated clock: shifts, breaks, a day off for half of the machines at night, noise,
quantised and slow sensors, deadbands, setpoints, counters and states. The detector sees what a
subscription would send, and decides alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.opcua.stillness import Stillness

DAY_S: Final = 86_400.0
TICK_S: Final = 5.0
_BREAKS: Final = ((2.0, 2.5), (9.5, 9.75), (12.0, 12.75), (18.0, 18.5))
_ITEMS: Final = ("power", "temperature", "vibration", "setpoint", "count", "state", "slow")
_OUTAGE_S: Final = 1200.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What came of a simulated day.

    Parameters
    ----------
    false_flags
        Times a device was suspected that was alive.
    delays_s
        Device → time from its death to its being found [s]; infinite when it was not.
    running
        Device → whether it was at work when it died.
    """

    false_flags: int
    delays_s: Mapping[str, float]
    running: Mapping[str, bool]


class Plant:
    """Machines behind one gateway.

    Parameters
    ----------
    machines
        How many; every second one is off at night, and every fourth has a meter beside it that
        never rests.
    seed
        Of its noise.
    tick_s
        Time between two looks [s].
    """

    def __init__(self, machines: int, seed: int, tick_s: float) -> None:
        self._tick_s = tick_s
        self._rng = np.random.default_rng(seed)
        self.machines = machines
        self.groups = [f"m{m:02d}" for m in range(machines) for _ in _ITEMS]
        self._offset = self._rng.uniform(-600.0, 600.0, machines)
        self._setpoint = np.round(self._rng.uniform(20.0, 90.0, machines), 1)
        self._temperature = self._setpoint.copy()
        self._slow = np.zeros(machines)
        self._count = np.zeros(machines)
        self._next_piece = self._rng.uniform(5.0, 60.0, machines)
        self._sent = np.zeros((machines, len(_ITEMS)))
        self.runs = np.ones(machines, np.bool_)

    def tick(self, at_s: float, dead: npt.NDArray[np.bool_]) -> Floats:
        """Values a subscription has brought by now; those of dead machines stay as they were."""
        hour = ((at_s + self._offset) / 3600.0) % 24.0
        night = ((hour >= 22.0) | (hour < 6.0)) & (np.arange(self.machines) % 2 == 1)
        pause = np.zeros(self.machines, np.bool_)
        for begin, end in _BREAKS:
            pause |= (hour >= begin) & (hour < end)
        on = ~night
        self.runs = runs = on & ~pause
        noise = self._rng.standard_normal((5, self.machines))
        power = np.where(runs, 12.0 + 1.5 * noise[0], 0.8 + 0.02 * noise[0]) * on
        aim = np.where(on, self._setpoint, 28.0)
        self._temperature += (aim - self._temperature) * self._tick_s / 900.0 + 0.15 * noise[1] * on
        self._temperature += 0.02 * noise[1]
        vibration = np.where(runs, 3.0 + 0.5 * noise[2], 0.0)
        piece = runs & (at_s >= self._next_piece)
        self._count += piece
        self._next_piece = np.where(
            piece, at_s + self._rng.uniform(10.0, 60.0, self.machines), self._next_piece
        )
        turn = at_s // 30.0 > (at_s - self._tick_s) // 30.0
        self._slow = np.where(turn, np.round(50.0 + 3.0 * noise[3], 1), self._slow)
        now = np.column_stack(
            [
                power, np.round(self._temperature, 1), vibration, self._setpoint, self._count,
                on.astype(float) + runs, self._slow,
            ]
        )  # fmt: skip
        # A deadband of 0.1 on powers: what changes less is not sent.
        small = np.abs(now[:, 0] - self._sent[:, 0]) < 0.1
        now[small, 0] = self._sent[small, 0]
        now[dead] = self._sent[dead]
        self._sent = now
        return now.ravel()


def day(seed: int, *, machines: int = 8, dying: bool, tick_s: float = TICK_S) -> Day:
    """One simulated day, after a morning of learning, with a death of each machine or with none."""
    plant, rng = Plant(machines, seed, tick_s), np.random.default_rng(seed + 1)
    watch = Stillness(plant.groups, 60.0)
    spacing = DAY_S / machines
    dies = 7200.0 + np.arange(machines) * spacing + rng.uniform(0.0, spacing / 4, machines)
    marks = np.zeros(len(plant.groups), np.int64)
    delays: dict[str, float] = {}
    running: dict[str, bool] = {}
    before: set[str] = set()
    false_flags = 0
    for at_s in np.arange(0.0, DAY_S + 7200.0 + _OUTAGE_S, tick_s):
        dead = (at_s >= dies) & (at_s < dies + _OUTAGE_S) & dying
        watch.look(at_s, plant.tick(at_s, dead), marks)
        found = set(watch.still(at_s).groups)
        for name in found - before:
            machine = int(name[1:])
            # Just back to life it may be suspected until its values have come.
            if not dead[machine] and not 0 <= at_s - dies[machine] - _OUTAGE_S < 2 * tick_s:
                false_flags += 1
            elif dying:
                delays.setdefault(name, at_s - dies[machine])
        for machine in np.flatnonzero(dead & (at_s - dies < tick_s)).tolist():
            running[f"m{machine:02d}"] = bool(plant.runs[machine])
        before = found
    if dying:
        for name in running:
            delays.setdefault(name, np.inf)
    return Day(false_flags=false_flags, delays_s=delays, running=running)
