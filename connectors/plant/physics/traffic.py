"""Gates, yards, docks and berths: trucks and barges one by one."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.plant.physics.agenda import Agenda
from connectors.plant.physics.draws import Smooth, Stream
from connectors.plant.physics.templates import truck_shares
from twin.parkfile.schema import Berth, Dock, Gate, Logistics, Yard
from twin.shifts import LocalTime

_S: Final = 1_000_000
_OWN_DOCK_USE: Final = 0.45
"""Share of the time the park's metered docks are busy on a mean hour; other trucks go to docks
nobody meters."""
_DWELL_S: Final = (2400.0, 0.45)
_BERTH_GAP: Final = 0.5


@dataclass(slots=True)
class GateNow:
    """A gate: lanes that serve, vehicles that wait."""

    gate: Gate
    service: Stream
    waiting: deque[int] = field(default_factory=deque)
    busy: int = 0
    entries: int = 0
    exits: int = 0
    turns_s: deque[float] = field(default_factory=lambda: deque(maxlen=10))

    @property
    def turn_min(self) -> float:
        """Mean time in the park of the last trucks that left [min]."""
        return sum(self.turns_s) / len(self.turns_s) / 60.0 if self.turns_s else 45.0


@dataclass(slots=True)
class DockNow:
    """The docks of a site."""

    dock: Dock
    busy: int = 0
    waiting: deque[Callable[[int], None]] = field(default_factory=deque)


@dataclass(slots=True)
class BerthNow:
    """A berth; tonnes grow while a barge is worked."""

    berth: Berth
    draws: Stream
    busy: bool = False
    since_us: int = 0
    tonnes: float = 0.0

    def tonnes_at(self, t_us: int) -> float:
        """Tonnes handled up to a time [t]."""
        if not self.busy:
            return self.tonnes
        return self.tonnes + self.berth.handling / 1000.0 * (t_us - self.since_us) / 3.6e9


class Traffic:
    """All vehicles of the park on one agenda."""

    def __init__(self, spec: Logistics, agenda: Agenda, local: LocalTime, seed: int) -> None:
        self.gates = [GateNow(g, Stream(seed, f"{g.id}/service")) for g in spec.gates]
        self.docks = [DockNow(dock) for dock in spec.docks]
        self.berths = [BerthNow(b, Stream(seed, f"{b.id}/barges")) for b in spec.berths]
        self.yards: Sequence[Yard] = spec.yards
        self._agenda, self._local = agenda, local
        self._paths = Stream(seed, "traffic/paths")
        self._arrivals = Stream(seed, "traffic/arrivals")
        self._boxes = Smooth(seed, "traffic/boxes", max(1, len(spec.yards)), 4 * 3600.0)
        self._per_h = (spec.trucks.per_day if spec.trucks else 0.0) * truck_shares() * 24.0
        self._own_share = self._share_of_own_docks()
        if self.gates and self._per_h.max() > 0.0:
            self._next_arrival(agenda.now_us)
        for berth in self.berths:
            self._next_barge(berth, agenda.now_us)

    def occupied(self, t_us: int) -> list[int]:
        """Slots in use of each yard: boxes that stand, and trucks that wait for a dock."""
        if not self.yards:
            return []
        waits = sum(len(dock.waiting) for dock in self.docks)
        total = sum(yard.slots for yard in self.yards)
        standing = 0.55 + 0.12 * self._boxes.at(t_us)
        return [
            min(yard.slots, max(0, round(share * yard.slots + waits * yard.slots / total)))
            for yard, share in zip(self.yards, standing.tolist(), strict=True)
        ]

    def _share_of_own_docks(self) -> float:
        mean_per_h = float(self._per_h.mean())
        capacity_per_h = sum(d.dock.count * 3600.0 / max(60.0, d.dock.handling) for d in self.docks)
        return min(1.0, _OWN_DOCK_USE * capacity_per_h / mean_per_h) if mean_per_h else 0.0

    def _next_arrival(self, t_us: int) -> None:
        """Arrivals at a rate that changes by the hour, by thinning at the busiest hour's rate."""
        most = float(self._per_h.max())
        gap_us = max(1, round(self._arrivals.exponential(3600.0 / most) * _S))

        def arrive(t: int) -> None:
            rate = self._per_h[int(self._local.hour(t))]
            if self._arrivals.uniform() * most < rate:
                self._arrive(t)
            self._next_arrival(t)

        self._agenda.at(t_us + gap_us, arrive)

    def _arrive(self, t_us: int) -> None:
        lanes = sum(gate.gate.lanes for gate in self.gates)
        pick = self._paths.uniform() * lanes
        for gate in self.gates:
            pick -= gate.gate.lanes
            if pick < 0:
                break
        gate.waiting.append(t_us)
        self._serve(gate, t_us)

    def _serve(self, gate: GateNow, t_us: int) -> None:
        while gate.waiting and gate.busy < gate.gate.lanes:
            arrived_us = gate.waiting.popleft()
            gate.busy += 1
            service_s = gate.service.lognormal(gate.gate.service, gate.gate.service_cv)

            def enter(t: int, arrived_us: int = arrived_us) -> None:
                gate.busy -= 1
                gate.entries += 1
                self._inside(gate, arrived_us, t)
                self._serve(gate, t)

            self._agenda.at(t_us + round(service_s * _S), enter)

    def _inside(self, gate: GateNow, arrived_us: int, t_us: int) -> None:
        if self.docks and self._paths.uniform() < self._own_share:
            count = sum(dock.dock.count for dock in self.docks)
            pick = self._paths.uniform() * count
            for dock in self.docks:
                pick -= dock.dock.count
                if pick < 0:
                    break
            dock.waiting.append(lambda t: self._leave(gate, arrived_us, t))
            self._dock(dock, t_us)
        else:
            stay_us = round(self._paths.lognormal(*_DWELL_S) * _S)
            self._agenda.at(t_us + stay_us, lambda t: self._leave(gate, arrived_us, t))

    def _dock(self, dock: DockNow, t_us: int) -> None:
        while dock.waiting and dock.busy < dock.dock.count:
            leave = dock.waiting.popleft()
            dock.busy += 1

            def ready(t: int, leave: Callable[[int], None] = leave) -> None:
                dock.busy -= 1
                leave(t)
                self._dock(dock, t)

            handling_us = round(self._paths.lognormal(dock.dock.handling, 0.35) * _S)
            self._agenda.at(t_us + handling_us, ready)

    def _leave(self, gate: GateNow, arrived_us: int, t_us: int) -> None:
        gate.exits += 1
        gate.turns_s.append((t_us - arrived_us) / _S)

    def _next_barge(self, berth: BerthNow, t_us: int) -> None:
        hours = berth.berth.vessel / max(1.0, berth.berth.handling)
        gap_us = round(berth.draws.exponential(_BERTH_GAP * hours * 3600.0) * _S)

        def moor(t: int) -> None:
            berth.busy, berth.since_us = True, t
            load = 0.75 + 0.25 * berth.draws.uniform()
            self._agenda.at(t + round(load * hours * 3600.0 * _S), clear)

        def clear(t: int) -> None:
            berth.tonnes = berth.tonnes_at(t)
            berth.busy = False
            self._next_barge(berth, t)

        self._agenda.at(t_us + gap_us, moor)
