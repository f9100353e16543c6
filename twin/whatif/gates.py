"""Trucks at the gates: arrivals by the hour, lanes, queues and turn times.

Arrivals are drawn in layers of a fixed rate, each thinned to what is left of the wanted rate: so
two branches share all trucks they have in common, whatever else they compare with.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.draws import Law, Stream, draws, key_of, lognormal
from models.queueing import NEVER, TICKS_PER_S, Served, arrivals_by_rate, serve
from twin.parkfile.schema import Gate, ParkFile
from twin.samples import from_us
from twin.whatif.lanes import Lanes
from twin.whatif.snapshot import Snapshot

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TRUCKS_BY_HOUR: Final = (
    0.011, 0.009, 0.008, 0.009, 0.015, 0.030, 0.048, 0.066, 0.078, 0.082, 0.076, 0.058,
    0.052, 0.070, 0.076, 0.074, 0.062, 0.048, 0.036, 0.029, 0.024, 0.018, 0.012, 0.009,
)  # fmt: skip
"""Share of a day's trucks in each local hour (`industrial_trucks`): an assumption of ours, shaped
after day shifts with a lunch dip; replaced by counted arrivals once there are some."""

PALLETS_PER_TRUCK: Final = 20
_DWELL_MIN: Final = 45.0
_DWELL_CV: Final = 0.45
"""Time inside the park where no gate measures it: assumptions of ours."""
_LAYER_PER_H: Final = 16.0
"""Rate of the candidates of one layer [1/h]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFuture:
    """All gates together.

    Parameters
    ----------
    queue
        [R, steps], trucks waiting at the start of each step.
    longest
        [R], longest queue of any gate, seen by an arriving truck.
    turn_p90_min
        [R], 90 % quantile of gate wait, service and time in the park [min].
    visits
        Gate id → its visits.
    """

    queue: Floats
    longest: Floats
    turn_p90_min: Floats
    visits: Mapping[str, "Visits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStart:
    """A gate at a start.

    Parameters
    ----------
    waiting
        [R], trucks that wait.
    busy_until
        [R, lanes], ticks from the start until which the lanes are busy.
    number
        [R], number of the first waiting truck: of its draws.
    """

    waiting: Ints
    busy_until: Ints
    number: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Visits:
    """Visits to one gate [ticks from its start], and the number of the first truck, [R]."""

    served: Served
    number: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which steps are simulated: all of `step_s` length, the first `skip` ones another run's."""

    step_s: float
    skip: int = 0

    @property
    def from_tick(self) -> int:
        """Where the simulated steps begin [ticks from the snapshot]."""
        return round(self.skip * self.step_s * TICKS_PER_S)


def truck_rates(spec: ParkFile, start_us: int, steps: int, step_s: float) -> Floats:
    """Arrivals per hour in each step, all gates together, [steps]."""
    if spec.logistics.trucks is None or not spec.logistics.gates:
        return np.zeros(steps)
    shares = np.array(TRUCKS_BY_HOUR) / sum(TRUCKS_BY_HOUR)
    zone = ZoneInfo(spec.tz)
    at_us = start_us + (np.arange(steps) * step_s * 1e6).astype(np.int64)
    hours = [from_us(int(t)).astimezone(zone).hour for t in at_us]
    rates: Floats = spec.logistics.trucks.per_day * 24.0 * shares[hours]
    return rates


def run_gates(
    spec: ParkFile,
    snapshot: Snapshot,
    lanes: Lanes,
    *,
    rates_per_h: Floats,
    window: Window,
    starts: Mapping[str, GateStart] | None = None,
) -> GateFuture:
    """Simulate the gates of a park; trucks choose them by their lanes.

    Parameters
    ----------
    spec, snapshot
        The park; trucks that wait now are served first.
    lanes
        Which futures.
    rates_per_h
        [R, steps], arrivals of the whole park, the skipped steps included.
    window
        Which steps are simulated.
    starts
        The gates after the skipped steps; what the snapshot shows when None.
    """
    gates = spec.logistics.gates
    every = sum(gate.lanes for gate in gates)
    times = np.arange(rates_per_h.shape[1] - window.skip) * window.step_s
    queue, longest = np.zeros((len(lanes), len(times))), np.zeros(len(lanes))
    turns: list[Floats] = []
    visits: dict[str, Visits] = {}
    for gate in gates:
        start = starts.get(gate.id) if starts else None
        came = _arrivals(gate, rates_per_h * (gate.lanes / every), window, lanes)
        seen = _run_gate(gate, came, start or _start_of(snapshot, gate, len(lanes)), lanes)
        visits[gate.id] = seen
        queue += seen.served.waiting_at(times)
        longest = np.maximum(longest, _longest(seen.served))
        turns.append(_turns_min(gate, seen, _dwell_min(snapshot, gate), lanes))
    return GateFuture(
        queue=queue, longest=longest, turn_p90_min=_p90(turns, len(lanes)), visits=visits
    )


def gate_start(seen: Visits, at_s: float, lanes: int) -> GateStart:
    """A gate after some time: who waits, and until when its lanes are busy.

    Parameters
    ----------
    seen
        Its visits.
    at_s
        Time of the new start [s].
    lanes
        Lanes from then on; of more busy ones than that, the last to get free count.
    """
    served, at = seen.served, round(at_s * TICKS_PER_S)
    waiting = served.waiting_at([at_s])[:, 0]
    busy = np.zeros((len(served.ends), lanes), np.int64)
    for lane, (begun, ended) in enumerate(zip(served.starts, served.ends, strict=True)):
        ends = np.sort(ended[(begun <= at) & (ended > at) & (ended < NEVER)] - at)[-lanes:]
        busy[lane, : len(ends)] = ends
    arrived = (served.arrivals <= at).sum(axis=1)
    return GateStart(waiting=waiting, busy_until=busy, number=seen.number + arrived - waiting)


def _start_of(snapshot: Snapshot, gate: Gate, count: int) -> GateStart:
    waiting = max(0, round(snapshot.value(gate.id, "queue") or 0.0))
    return GateStart(
        waiting=np.full(count, waiting, np.int64),
        busy_until=np.zeros((count, gate.lanes), np.int64),
        number=np.zeros(count, np.int64),
    )


def _arrivals(gate: Gate, rates_per_h: Floats, window: Window, lanes: Lanes) -> list[Ints]:
    """Arrivals of each replication after the skipped steps [ticks from then]."""
    layers = math.ceil(float(rates_per_h.max(initial=0.0)) / _LAYER_PER_H)
    found = []
    for rates, replication in zip(rates_per_h, lanes.replications.tolist(), strict=True):
        came = [
            arrivals_by_rate(
                np.clip(rates - layer * _LAYER_PER_H, 0.0, _LAYER_PER_H),
                window.step_s,
                seed=lanes.seed,
                replications=[replication],
                key=key_of(f"gate/{gate.id}/{layer}"),
                ceiling_per_h=_LAYER_PER_H,
            )[0]
            for layer in range(layers)
        ]
        together = np.sort(np.concatenate(came)) if came else np.zeros(0, np.int64)
        inside = (together >= window.from_tick) & (together < NEVER)
        found.append(together[inside] - window.from_tick)
    return found


def _run_gate(gate: Gate, came: list[Ints], start: GateStart, lanes: Lanes) -> Visits:
    room = max(len(row) + int(n) for row, n in zip(came, start.waiting, strict=True))
    arrivals = np.full((len(came), max(room, 1)), NEVER, np.int64)
    for lane, (row, waiting) in enumerate(zip(came, start.waiting.tolist(), strict=True)):
        arrivals[lane, :waiting] = 0
        arrivals[lane, waiting : waiting + len(row)] = row
    law = lognormal(gate.service, gate.service_cv or 1e-6)
    name = f"gate/{gate.id}"
    service_s = _numbered(law, Stream.SERVICE, name, start.number, arrivals.shape[1], lanes)
    services = np.round(service_s * TICKS_PER_S).astype(np.int64)
    served = serve(arrivals, services, gate.lanes, busy_until=start.busy_until)
    return Visits(served=served, number=start.number)


def _numbered(law: Law, stream: Stream, name: str, first: Ints, count: int, lanes: Lanes) -> Floats:
    """Draws number first … first + count - 1 of each replication, [R, count]."""
    key = key_of(name)
    rows = [
        draws(law, lanes.seed, stream, replication, key, number + count)[number:]
        for replication, number in zip(lanes.replications.tolist(), first.tolist(), strict=True)
    ]
    return np.array(rows, np.float64)


def _longest(served: Served) -> Floats:
    """Longest queue of each replication, as the trucks see it when they arrive."""
    found = np.zeros(len(served.arrivals))
    for lane, (came, begun) in enumerate(zip(served.arrivals, served.starts, strict=True)):
        there = came[came < NEVER]
        ahead = np.arange(1, len(there) + 1) - np.searchsorted(begun, there, side="right")
        found[lane] = max(0, int(ahead.max(initial=0)))
    return found


def _turns_min(gate: Gate, seen: Visits, dwell_min: float, lanes: Lanes) -> Floats:
    """Turn time of each visit [min]; NaN where there is none."""
    law = lognormal(dwell_min, _DWELL_CV)
    count = seen.served.arrivals.shape[1]
    dwell = _numbered(law, Stream.LATENESS, f"dwell/{gate.id}", seen.number, count, lanes)
    turns: Floats = seen.served.turns_s() / 60.0 + dwell
    return turns


def _p90(turns: list[Floats], count: int) -> Floats:
    """90 % quantile of all visits of each replication; 0 where nobody came."""
    found = np.zeros(count)
    together = np.concatenate(turns, axis=1) if turns else np.zeros((count, 0))
    for lane, row in enumerate(together):
        present = row[~np.isnan(row)]
        if len(present):
            found[lane] = np.quantile(present, 0.9)
    return found


def _dwell_min(snapshot: Snapshot, gate: Gate) -> float:
    """Time inside the park [min]: the gate's measured turn time, else an assumption of ours."""
    measured = snapshot.value(gate.id, "turn_time")
    return measured if measured and measured > 1.0 else _DWELL_MIN
