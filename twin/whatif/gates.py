"""Trucks at the gates: arrivals by the hour, lanes, queues and turn times."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from models.draws import Stream, draws, key_of, lognormal
from models.queueing import NEVER, TICKS_PER_S, Served, arrivals_by_rate, serve, service_times
from twin.parkfile.schema import Gate, ParkFile
from twin.samples import from_us
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFuture:
    """All gates together.

    Parameters
    ----------
    queue
        [replications, steps], trucks waiting at the start of each step.
    longest
        [replications], longest queue of any gate, seen by an arriving truck.
    turn_p90_min
        [replications], 90 % quantile of gate wait, service and time in the park [min].
    """

    queue: Floats
    longest: Floats
    turn_p90_min: Floats


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStart:
    """A gate at a start: trucks waiting [replications], lanes busy until [replications, lanes],
    ticks from that start.
    """

    waiting: Ints
    busy_until: Ints


def run_gates(
    spec: ParkFile,
    snapshot: Snapshot,
    *,
    rates_per_h: Floats,
    ceiling_per_h: float,
    step_s: float,
    seed: int,
    replications: Ints,
    skip: int = 0,
    starts: Mapping[str, GateStart] | None = None,
) -> tuple[GateFuture, dict[str, Served]]:
    """Simulate the gates of a park.

    Parameters
    ----------
    spec, snapshot
        The park; trucks that wait now are served first.
    rates_per_h
        [replications, steps], arrivals of the whole park.
    ceiling_per_h
        Rate of the candidates: the same for every branch that is compared.
    step_s
        Length of a step [s].
    seed, replications
        Keys of the draws.
    skip, starts
        Steps another run has simulated, and the gates after them.

    Returns
    -------
    tuple[GateFuture, dict[str, Served]]
        All gates together, and each gate's visits (ticks from the first step not skipped).
    """
    gates = spec.logistics.gates
    lanes = sum(gate.lanes for gate in gates)
    times = np.arange(rates_per_h.shape[1] - skip) * step_s
    queue = np.zeros((len(replications), len(times)))
    longest = np.zeros(len(replications))
    turns: list[Floats] = []
    visits: dict[str, Served] = {}
    for gate in gates:
        start = starts.get(gate.id) if starts else None
        rates = rates_per_h * (gate.lanes / lanes)
        came = _arrivals(gate, rates, ceiling_per_h, step_s, seed, replications, skip)
        if start is None:
            start = _start_of(snapshot, gate, len(replications))
        served = _run_gate(gate, came, start, seed, replications)
        visits[gate.id] = served
        queue += served.waiting_at(times)
        longest = np.maximum(longest, _longest(served))
        turns.append(_turns_min(served, _dwell_min(snapshot, gate), seed, replications, gate.id))
    p90 = np.zeros(len(replications))
    if turns:
        p90 = np.nan_to_num(np.nanquantile(np.concatenate(turns, axis=1), 0.9, axis=1))
    return GateFuture(queue=queue, longest=longest, turn_p90_min=p90), visits


def gate_start(served: Served, at_s: float, lanes: int) -> GateStart:
    """A gate after some time: who waits, and until when its lanes are busy.

    Parameters
    ----------
    served
        Its visits.
    at_s
        Time of the new start [s].
    lanes
        Lanes from then on; of more busy ones than that, the last to get free count.
    """
    at = round(at_s * TICKS_PER_S)
    waiting = served.waiting_at([at_s])[:, 0]
    busy = np.zeros((len(served.ends), lanes), np.int64)
    for lane, (begun, ended) in enumerate(zip(served.starts, served.ends, strict=True)):
        ends = np.sort(ended[(begun <= at) & (ended > at) & (ended < NEVER)] - at)[-lanes:]
        busy[lane, : len(ends)] = ends
    return GateStart(waiting=waiting, busy_until=busy)


def _start_of(snapshot: Snapshot, gate: Gate, replications: int) -> GateStart:
    waiting = max(0, round(snapshot.value(gate.id, "queue") or 0.0))
    return GateStart(
        waiting=np.full(replications, waiting, np.int64),
        busy_until=np.zeros((replications, gate.lanes), np.int64),
    )


def _arrivals(
    gate: Gate,
    rates_per_h: Floats,
    ceiling_per_h: float,
    step_s: float,
    seed: int,
    replications: Ints,
    skip: int,
) -> list[Ints]:
    """Arrivals of each replication after the skipped steps [ticks from then]."""
    from_tick = round(skip * step_s * TICKS_PER_S)
    found = []
    for rates, replication in zip(rates_per_h, replications.tolist(), strict=True):
        came = arrivals_by_rate(
            rates,
            step_s,
            seed=seed,
            replications=[replication],
            key=key_of(f"gate/{gate.id}"),
            ceiling_per_h=ceiling_per_h,
        )[0]
        found.append(came[(came >= from_tick) & (came < NEVER)] - from_tick)
    return found


def _run_gate(
    gate: Gate, came: list[Ints], start: GateStart, seed: int, replications: Ints
) -> Served:
    room = max(len(row) + int(n) for row, n in zip(came, start.waiting, strict=True))
    arrivals = np.full((len(came), max(room, 1)), NEVER, np.int64)
    for lane, (row, waiting) in enumerate(zip(came, start.waiting.tolist(), strict=True)):
        arrivals[lane, :waiting] = 0
        arrivals[lane, waiting : waiting + len(row)] = row
    law = lognormal(gate.service, gate.service_cv or 1e-6)
    services = service_times(
        law,
        arrivals.shape,
        seed=seed,
        replications=replications,
        key=key_of(f"gate/{gate.id}"),
    )
    return serve(arrivals, services, gate.lanes, busy_until=start.busy_until)


def _longest(served: Served) -> Floats:
    """Longest queue of each lane, as the trucks see it when they arrive."""
    found = np.zeros(len(served.arrivals))
    for lane, (came, begun) in enumerate(zip(served.arrivals, served.starts, strict=True)):
        there = came[came < NEVER]
        ahead = np.arange(1, len(there) + 1) - np.searchsorted(begun, there, side="right")
        found[lane] = max(0, int(ahead.max(initial=0)))
    return found


def _turns_min(
    served: Served, dwell_min: float, seed: int, replications: Ints, gate: str
) -> Floats:
    law = lognormal(dwell_min, _DWELL_CV)
    n = served.arrivals.shape[1]
    dwell = [
        draws(law, seed, Stream.LATENESS, replication, key_of(f"dwell/{gate}"), n)
        for replication in replications.tolist()
    ]
    turns: Floats = served.turns_s() / 60.0 + np.array(dwell)
    return turns


def _dwell_min(snapshot: Snapshot, gate: Gate) -> float:
    """Time inside the park [min]: the gate's measured turn time, else an assumption of ours."""
    measured = snapshot.value(gate.id, "turn_time")
    return measured if measured and measured > 1.0 else _DWELL_MIN
