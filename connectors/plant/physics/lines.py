"""Production lines as they truly run: event by event, exact to the microsecond.

A machine works on one part at a time, from unlimited material at the head of the line. When it is
done and neither the buffer nor the next machine has room, it keeps the part (blocking after
service). It fails after so much operating time or so much calendar time, loses no part by it, is
set up after a long rest and at changeovers, and rests outside its line's shifts once the part in
hand is done. What it makes may be scrap; scrap leaves the line at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np

from connectors.plant.physics.agenda import Agenda
from connectors.plant.physics.draws import Floats, Stream, factors
from models.errors import NotFound
from twin.parkfile.schema import EquipmentClass
from twin.shifts import Shifts

_S: Final = 1_000_000
_H_US: Final = 3.6e9
_LONG_REST_US: Final = 4 * 3_600_000_000
_SETUP_S: Final = (720.0, 0.3)
_CHANGEOVER_S: Final = 8 * 3600.0
_REPAIR_S: Final = (1800.0, 0.8)


class Does(IntEnum):
    """What a machine does; ITEM_STATE and OPERATION_MODE say it in the words of OPC 40001-1."""

    STARVED = 0
    BUSY = 1
    BLOCKED = 2
    DOWN = 3
    OFF = 4
    SETUP = 5


ITEM_STATE: Final = np.array([2, 3, 2, 1, 2, 3], np.float64)
OPERATION_MODE: Final = np.array([3, 3, 3, 1, 0, 2], np.float64)
_POWER_KEYS: Final = {
    Does.STARVED: ("NotExecuting/Processing", "NotExecuting/None"),
    Does.BUSY: ("Executing/Processing",),
    Does.BLOCKED: ("NotExecuting/Processing", "NotExecuting/None"),
    Does.DOWN: ("OutOfService/Maintenance", "OutOfService/None", "NotExecuting/None"),
    Does.OFF: ("NotExecuting/None", "OutOfService/None"),
    Does.SETUP: ("Executing/Setup", "NotExecuting/Setup", "NotExecuting/None"),
}
_POWER_SHARE: Final = {
    Does.STARVED: 0.25,
    Does.BUSY: 1.0,
    Does.BLOCKED: 0.25,
    Does.DOWN: 0.05,
    Does.OFF: 0.1,
    Does.SETUP: 0.45,
}


@dataclass(slots=True)
class Machine:
    """One machine: its true parameters, and what it is doing."""

    id: str
    kind: EquipmentClass
    power_kw: dict[Does, float]
    cycle_s: float
    scrap: float
    ttf_factor: float
    cycles: Stream
    failures: Stream
    quality: Stream
    line: "Line" = field(init=False, repr=False)
    place: int = 0
    does: Does = Does.OFF
    since_us: int = 0
    energy_kwh: float = 0.0
    now_kw: float = 0.0
    parts: int = 0
    scrapped: int = 0
    drift: float = 0.0
    last_cycle_s: float = 0.0
    cycle_us: int = 0
    left_us: int = 0
    run_from_us: int = 0
    failure_plan: int = 0
    to_fail_us: int = -1
    loaded: bool = False
    finished: bool = False
    down: bool = False
    setting_up: bool = False
    setup_due: bool = False
    version: int = 0


@dataclass(slots=True)
class Line:
    """Machines in the order of the flow, with what waits between them.

    `waiting[j]` parts stand in the `caps[j]` spaces between machines j and j + 1; the places in the
    machines are not counted.
    """

    id: str
    machines: list[Machine]
    caps: list[int]
    shifts: Shifts
    changeovers: Stream
    waiting: list[int] = field(default_factory=list)
    open: bool = False
    closed_at_us: int = 0

    def __post_init__(self) -> None:
        self.waiting = [0] * len(self.caps)
        for place, machine in enumerate(self.machines):
            machine.line, machine.place = self, place

    @property
    def finished_parts(self) -> int:
        """Good parts that left the line."""
        last = self.machines[-1]
        return last.parts - last.scrapped


def make_machine(machine_id: str, kind: EquipmentClass, seed: int) -> Machine:
    """A machine with hidden true parameters: near the file's, never equal."""
    cycle, power, scrap, ttf = factors(seed, f"{machine_id}/hidden", 4, 1.0)
    powers = {does: _power(kind, does) * power**0.03 for does in Does}
    machine = Machine(
        id=machine_id,
        kind=kind,
        power_kw=powers,
        cycle_s=kind.cycle_time * 1.01 * float(cycle) ** 0.03,
        scrap=min(1.0, kind.scrap * float(scrap) ** 0.2),
        ttf_factor=float(ttf) ** 0.25,
        cycles=Stream(seed, f"{machine_id}/cycles"),
        failures=Stream(seed, f"{machine_id}/failures"),
        quality=Stream(seed, f"{machine_id}/quality"),
    )
    machine.last_cycle_s = machine.cycle_s
    return machine


def _power(kind: EquipmentClass, does: Does) -> float:
    """Power of a state [kW] as the file has it, or a share of the power at work."""
    found = next((kind.power[key] for key in _POWER_KEYS[does] if key in kind.power), None)
    busiest = max(kind.power.values(), default=0.0)
    return float(found if found is not None else _POWER_SHARE[does] * busiest)


class Floor:
    """All lines of the park on one agenda."""

    def __init__(self, lines: Sequence[Line], agenda: Agenda) -> None:
        self.lines = tuple(lines)
        self.machines = tuple(machine for line in lines for machine in line.machines)
        self._by_id = {machine.id: machine for machine in self.machines}
        self._agenda = agenda
        for line in self.lines:
            self._begin(line, agenda.now_us)

    def machine(self, machine_id: str) -> Machine:
        """The machine of that id.

        Raises
        ------
        NotFound
            When there is none; near ids are offered.
        """
        if machine_id not in self._by_id:
            raise NotFound("machine", machine_id, tuple(self._by_id))
        return self._by_id[machine_id]

    def energy_kwh(self, t_us: int) -> Floats:
        """Energy each machine has taken up to a time not before the last event [kWh]."""
        return np.array(
            [m.energy_kwh + m.now_kw * (t_us - m.since_us) / _H_US for m in self.machines]
        )

    def break_down(self, machine_id: str, t_us: int, repair_s: float | None) -> None:
        """Break a machine; it is repaired after the given time, or one drawn from its law."""
        machine = self.machine(machine_id)
        if not machine.down:
            self._fail(machine, t_us, repair_s)

    def _begin(self, line: Line, t_us: int) -> None:
        line.open = line.shifts.open(t_us)
        line.closed_at_us = t_us
        for machine in line.machines:
            machine.since_us = t_us
            self._plan_failure(machine, t_us)
        self._agenda.at(line.shifts.next_change(t_us), lambda t: self._shift(line, t))
        self._plan_changeover(line, t_us)
        self._wake(line, t_us)

    def _shift(self, line: Line, t_us: int) -> None:
        was, line.open = line.open, line.shifts.open(t_us)
        if was and not line.open:
            line.closed_at_us = t_us
        if line.open and not was and t_us - line.closed_at_us > _LONG_REST_US:
            self._demand_setup(line)
        self._agenda.at(line.shifts.next_change(t_us), lambda t: self._shift(line, t))
        self._wake(line, t_us)

    def _wake(self, line: Line, t_us: int) -> None:
        for machine in reversed(line.machines):
            self._supply(machine, t_us)

    def _plan_changeover(self, line: Line, t_us: int) -> None:
        gap_us = round(line.changeovers.exponential(_CHANGEOVER_S) * _S)

        def change(t: int) -> None:
            if line.open:
                self._demand_setup(line)
            self._plan_changeover(line, t)

        self._agenda.at(t_us + gap_us, change)

    def _demand_setup(self, line: Line) -> None:
        for machine in line.machines:
            machine.setup_due = any(key.endswith("/Setup") for key in machine.kind.power)

    def _supply(self, machine: Machine, t_us: int) -> None:
        """Give an empty machine its next part, if one waits; then let it work if it may."""
        line, j = machine.line, machine.place
        if not machine.loaded:
            if j == 0:
                machine.loaded = line.open
            elif line.waiting[j - 1]:
                line.waiting[j - 1] -= 1
                machine.loaded = True
                self._release(line.machines[j - 1], t_us)
        self._work(machine, t_us)

    def _work(self, machine: Machine, t_us: int) -> None:
        """Start or go on with the part in hand, set up first where it is due."""
        idle = machine.does is not Does.BUSY and not machine.setting_up and not machine.down
        if idle and machine.loaded and not machine.finished:
            if machine.left_us > 0:
                self._run(machine, t_us)
            elif machine.line.open and machine.setup_due:
                self._set_up(machine, t_us)
            elif machine.line.open:
                mean = machine.cycle_s * (1.0 + machine.drift)
                machine.cycle_us = max(
                    1, round(machine.cycles.lognormal(mean, machine.kind.cycle_cv) * _S)
                )
                machine.left_us = machine.cycle_us
                self._run(machine, t_us)
        self._show(machine, t_us, running=machine.does is Does.BUSY)

    def _run(self, machine: Machine, t_us: int) -> None:
        machine.version += 1
        version = machine.version
        operates = machine.kind.failure == "operation" and machine.to_fail_us >= 0
        fails = operates and machine.to_fail_us < machine.left_us
        machine.run_from_us = t_us
        self._show(machine, t_us, running=True)
        after_us = machine.to_fail_us if fails else machine.left_us
        due = self._stopped if fails else self._done
        self._agenda.at(t_us + after_us, lambda t: due(machine, t, version))

    def _stopped(self, machine: Machine, t_us: int, version: int) -> None:
        if version == machine.version:
            self._fail(machine, t_us, None)

    def _done(self, machine: Machine, t_us: int, version: int) -> None:
        if version != machine.version:
            return
        self._operated(machine, machine.left_us)
        machine.version += 1
        machine.left_us = 0
        machine.last_cycle_s = machine.cycle_us / _S
        machine.parts += 1
        machine.finished = True
        self._show(machine, t_us, running=False)
        if machine.scrap > 0.0 and machine.quality.uniform() < machine.scrap:
            machine.scrapped += 1
            self._empty(machine, t_us)
        else:
            self._release(machine, t_us)
        self._show(machine, t_us, running=machine.does is Does.BUSY)

    def _release(self, machine: Machine, t_us: int) -> None:
        """Pass a finished part on if there is room for it, and take the next."""
        if not machine.finished:
            return
        line, j = machine.line, machine.place
        if j + 1 < len(line.machines):
            following = line.machines[j + 1]
            if line.waiting[j] + following.loaded >= line.caps[j] + 1:
                return
            line.waiting[j] += 1
            self._empty(machine, t_us, supply=False)
            if not following.loaded:
                self._supply(following, t_us)
            self._supply(machine, t_us)
        else:
            self._empty(machine, t_us)

    def _empty(self, machine: Machine, t_us: int, *, supply: bool = True) -> None:
        machine.loaded = machine.finished = False
        before = machine.place - 1
        if before >= 0 and machine.line.waiting[before] == 0:
            # The place in the machine is free again: a blocked machine before it may pass on.
            self._release(machine.line.machines[before], t_us)
        if supply:
            self._supply(machine, t_us)

    def _set_up(self, machine: Machine, t_us: int) -> None:
        machine.setup_due, machine.setting_up = False, True
        machine.version += 1
        version = machine.version

        def ready(t: int) -> None:
            if version == machine.version:
                machine.setting_up = False
                self._work(machine, t)

        self._agenda.at(t_us + round(machine.failures.lognormal(*_SETUP_S) * _S), ready)

    def _fail(self, machine: Machine, t_us: int, repair_s: float | None) -> None:
        if machine.does is Does.BUSY:
            ran_us = t_us - machine.run_from_us
            self._operated(machine, ran_us)
            machine.left_us = max(1, machine.left_us - ran_us)
        machine.version += 1
        machine.down, machine.setting_up = True, False
        if repair_s is None:
            law, draws = machine.kind.mttr, machine.failures
            repair_s = draws.duration_s(law) if law else draws.lognormal(*_REPAIR_S)
        self._show(machine, t_us, running=False)
        self._agenda.at(t_us + max(1, round(repair_s * _S)), lambda t: self._repaired(machine, t))

    def _repaired(self, machine: Machine, t_us: int) -> None:
        machine.down = False
        self._plan_failure(machine, t_us)
        self._supply(machine, t_us)

    def _operated(self, machine: Machine, for_us: int) -> None:
        if machine.to_fail_us >= 0 and machine.kind.failure == "operation":
            machine.to_fail_us = max(0, machine.to_fail_us - for_us)

    def _plan_failure(self, machine: Machine, t_us: int) -> None:
        if machine.kind.mtbf is None:
            machine.to_fail_us = -1
            return
        ttf_s = machine.failures.duration_s(machine.kind.mtbf) * machine.ttf_factor
        machine.to_fail_us = round(ttf_s * _S)
        machine.failure_plan += 1
        plan = machine.failure_plan
        if machine.kind.failure == "time":

            def fail(t: int) -> None:
                if plan == machine.failure_plan and not machine.down:
                    self._fail(machine, t, None)

            self._agenda.at(t_us + machine.to_fail_us, fail)

    def _show(self, machine: Machine, t_us: int, *, running: bool) -> None:
        """Settle the energy of the state that ends, and enter the one that begins."""
        if machine.down:
            does = Does.DOWN
        elif machine.setting_up:
            does = Does.SETUP
        elif running:
            does = Does.BUSY
        elif not machine.line.open:
            does = Does.OFF
        else:
            does = Does.BLOCKED if machine.finished else Does.STARVED
        machine.energy_kwh += machine.now_kw * (t_us - machine.since_us) / _H_US
        machine.since_us, machine.does = t_us, does
        machine.now_kw = machine.power_kw[does]
        if does is Does.BUSY and machine.kind.energy_per_part:
            machine.now_kw += machine.kind.energy_per_part * _H_US / machine.cycle_us
