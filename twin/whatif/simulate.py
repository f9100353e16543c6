"""One branch on one clock: lines → power and pallets → station and gates → KPIs and series.

Machine states become power at 15 minutes; good parts become pallets, and pallets beyond the plan
become trucks at the gates. A branch that forks another run goes on from that run's replications:
the same line states, stored energy, queues, noise and clouds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from models.bill import Grid
from models.line import LineState
from models.queueing import Served
from twin.shifts import LocalTime, Shifts
from twin.whatif.factory import LineFuture, LineModel, line_models, run_line
from twin.whatif.gates import (
    PALLETS_PER_TRUCK,
    GateFuture,
    GateStart,
    gate_start,
    run_gates,
    truck_rates,
)
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import Change
from twin.whatif.station import Station, StationFuture, minutes_carried
from twin.whatif.variant import Variant, lines_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STEP_S: Final = 900.0
ENGINE: Final = "recursion"
WHY: Final = (
    "serial lines with finite buffers and operation-dependent failures are in the exact class of "
    "the (max,+) recursion; gates are G/G/c queues; the station is balanced every 15 minutes"
)
_DAYS_PER_MONTH: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """KPIs [replications] and series [replications, steps] of a branch."""

    kpis: Mapping[str, Floats]
    series: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a branch stands after its last step, replication by replication."""

    lines: Mapping[str, LineState]
    stored: Floats
    gates: Mapping[str, Served]


class Futures:
    """Replications that all branches of a piece share; equal lines are simulated once."""

    def __init__(self, *, seed: int, replications: Ints, posterior: bool) -> None:
        self.seed, self.replications, self.posterior = seed, replications, posterior
        self._lines: dict[tuple[str, int, bytes], LineFuture] = {}
        self._ends: dict[int, End] = {}

    def line(self, model: LineModel, horizon_s: float, start: LineState | None) -> LineFuture:
        """The future of a line; the same model from the same start is simulated once."""
        origin = b"" if start is None else start.work_left.tobytes() + start.begun.tobytes()
        key = (model.token, round(horizon_s), origin)
        if key not in self._lines:
            self._lines[key] = run_line(
                model,
                seed=self.seed,
                replications=self.replications,
                horizon_s=horizon_s,
                step_s=STEP_S,
                posterior=self.posterior,
                start=start,
            )
        return self._lines[key]

    def end_of(self, past: "Past") -> End:
        """Where the past of a fork ends; simulated once for all branches."""
        if id(past) not in self._ends:
            self._ends[id(past)] = past.branch.end(self)
        return self._ends[id(past)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a fork goes on from.

    Parameters
    ----------
    changes
        All changes in force then.
    branch
        The branch that was simulated, as far as the fork.
    steps
        Steps from the snapshot to the fork.
    """

    changes: tuple[Change, ...]
    branch: "Branch"
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Everything one run of a branch made."""

    lines: Mapping[str, LineFuture]
    station: StationFuture
    gates: GateFuture
    visits: Mapping[str, Served]


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One branch: a varied park from a start over a number of 15-minute steps.

    Parameters
    ----------
    variant, snapshot
        The park after its changes, and where the clock starts.
    steps
        Steps to simulate.
    past
        What another run has simulated before them; None when it starts at the snapshot.
    ceiling_per_h
        Rate of candidate trucks that all compared branches share.
    """

    variant: Variant
    snapshot: Snapshot
    steps: int
    past: Past | None = None
    ceiling_per_h: float = 0.0
    _station: Station = field(init=False, repr=False)
    _lines: tuple[LineModel, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        start_us = self.grid.start_us + self.skip * self.grid.step_us
        horizon_us = self.steps * self.grid.step_us
        lines = line_models(self.variant, self.snapshot, start_us, horizon_us)
        object.__setattr__(self, "_lines", lines)
        station = Station(self.variant, self.snapshot, lines, self.grid)
        object.__setattr__(self, "_station", station)

    @property
    def skip(self) -> int:
        """Steps from the snapshot to the start of this branch."""
        return self.past.steps if self.past else 0

    @property
    def grid(self) -> Grid:
        """Steps from the snapshot on, the skipped ones included."""
        return Grid(
            start_us=self.snapshot.at_us,
            step_us=round(STEP_S * 1e6),
            steps=self.skip + self.steps,
        )

    def under(self, ceiling_per_h: float) -> "Branch":
        """The same branch with the common rate of candidate trucks."""
        past = self.past
        if past is not None:
            past = replace(past, branch=past.branch.under(ceiling_per_h))
        return replace(self, ceiling_per_h=ceiling_per_h, past=past)

    def largest_rate_per_h(self) -> float:
        """Largest expected arrival rate of trucks, for the common ceiling."""
        rates = truck_rates(self.variant.spec, self.grid.start_us, self.grid.steps, STEP_S)
        return float(rates.max(initial=0.0))

    def run(self, futures: Futures) -> Result:
        """Simulate the replications of a piece."""
        done = self._simulate(futures)
        return Result(kpis=self._kpis(done), series=_series(done))

    def end(self, futures: Futures) -> End:
        """Simulate and tell where it ends."""
        done = self._simulate(futures)
        return End(
            lines={name: future.run.end for name, future in done.lines.items()},
            stored=done.station.soc_pct[:, -1] / 100.0,
            gates=done.visits,
        )

    def _simulate(self, futures: Futures) -> _Run:
        before = futures.end_of(self.past) if self.past else None
        horizon_s = self.steps * STEP_S
        lines = {
            model.id: futures.line(model, horizon_s, _fitting(before, model))
            for model in self._lines
        }
        station = self._station.run(
            {name: future.power_kw for name, future in lines.items()},
            seed=futures.seed,
            replications=futures.replications,
            skip=self.skip,
            stored=None if before is None else before.stored,
        )
        gates, visits = run_gates(
            self.variant.spec,
            self.snapshot,
            rates_per_h=self._rates(lines, len(futures.replications)),
            ceiling_per_h=self.ceiling_per_h,
            step_s=STEP_S,
            seed=futures.seed,
            replications=futures.replications,
            skip=self.skip,
            starts=self._gate_starts(before),
        )
        return _Run(lines=lines, station=station, gates=gates, visits=visits)

    def _rates(self, lines: Mapping[str, LineFuture], replications: int) -> Floats:
        """Trucks per hour: the written demand, and the trucks of pallets beyond the plan."""
        base = truck_rates(self.variant.spec, self.grid.start_us, self.grid.steps, STEP_S)
        rates = np.broadcast_to(base, (replications, len(base))).copy()
        extra = np.zeros((len(rates), self.steps))
        for model in self._lines:
            planned = _planned_parts(self.variant, model.id, self._from_us, self.steps)
            pallets = (lines[model.id].good - planned) / model.parts_per_pallet
            extra += pallets / PALLETS_PER_TRUCK / (STEP_S / 3600.0)
        rates[:, self.skip :] += _smooth(extra)
        return np.clip(rates, 0.0, self.ceiling_per_h)

    @property
    def _from_us(self) -> int:
        return self.grid.start_us + self.skip * self.grid.step_us

    def _gate_starts(self, before: End | None) -> dict[str, GateStart] | None:
        if before is None or self.past is None:
            return None
        at_s = self.past.branch.steps * STEP_S
        return {
            gate.id: gate_start(before.gates[gate.id], at_s, gate.lanes)
            for gate in self.variant.spec.logistics.gates
            if gate.id in before.gates
        }

    def _kpis(self, done: _Run) -> dict[str, Floats]:
        station, step_h = done.station, STEP_S / 3600.0
        bought = np.maximum(station.grid_kw, 0.0) * step_h
        over = station.mva > station.n1_rating_mva
        kpis = {
            "peak_mva": station.mva.max(axis=1),
            "n1_minutes": self._n1_minutes(station),
            "over_n1_minutes": over.sum(axis=1) * STEP_S / 60.0,
            "p_over": (station.mva > station.rating_mva).any(axis=1).astype(np.float64),
            "energy_mwh": station.load_kw.sum(axis=1) * step_h / 1000.0,
            "grid_import_mwh": bought.sum(axis=1) / 1000.0,
            "cost_mvnd": (bought @ station.price_vnd_kwh + self._capacity_vnd(station)) / 1e6,
            "co2_t": bought.sum(axis=1) * station.co2_kg_kwh / 1000.0,
        }
        if done.lines:
            good = [future.good.sum(axis=1) for future in done.lines.values()]
            kpis["output"] = np.sum(good, axis=0)
        if self.variant.spec.logistics.gates and self.ceiling_per_h > 0.0:
            kpis["truck_turn_p90_min"] = done.gates.turn_p90_min
            kpis["gate_queue_max"] = done.gates.longest
        wastewater_m3 = self._wastewater_m3()
        if wastewater_m3 > 0.0:
            kpis["wastewater_m3"] = np.full(len(station.mva), wastewater_m3)
        return kpis

    def _n1_minutes(self, station: StationFuture) -> Floats:
        """Minutes what is left carries the load: after the trip of the branch, else after the
        loss of the largest transformer at the worst moment.
        """
        out = station.rating_mva < station.rating_mva.max()
        if not self.variant.trips or not out.any():
            return minutes_carried(station.mva, station.n1_rating_mva, STEP_S / 60.0)
        rating = float(station.rating_mva[out].min())
        if rating <= 0.0:
            return np.zeros(len(station.mva))
        return minutes_carried(station.mva[:, out], rating, STEP_S / 60.0)

    def _capacity_vnd(self, station: StationFuture) -> Floats:
        """Capacity charge on the largest 30-minute mean, its part of a month of 30 days."""
        if station.capacity_vnd_kw <= 0.0:
            return np.zeros(len(station.mva))
        bought = np.maximum(station.grid_kw, 0.0)
        even = bought[:, : bought.shape[1] // 2 * 2]
        halves = even.reshape(len(bought), -1, 2).mean(axis=2)
        days = self.steps * STEP_S / 86_400.0
        largest: Floats = halves.max(axis=1, initial=0.0)
        return largest * station.capacity_vnd_kw * min(days / _DAYS_PER_MONTH, 1.0)

    def _wastewater_m3(self) -> float:
        """Measured flows go on; what new tenants add comes on top."""
        plants = self.variant.spec.utilities.wastewater
        flow = sum(self.snapshot.value(plant.id, "flow") or 0.0 for plant in plants)
        return (flow + self.variant.wastewater_m3_h) * self.steps * STEP_S / 3600.0


def common_ceiling(branches: Sequence[Branch]) -> float:
    """Rate of candidate trucks for branches that are compared: well above every expected one."""
    return 2.0 * max((branch.largest_rate_per_h() for branch in branches), default=0.0)


def _fitting(before: End | None, model: LineModel) -> LineState | None:
    """State of a line at the fork; None where the line has another length since."""
    state = None if before is None else before.lines.get(model.id)
    if state is None or state.work_left.shape[1] != len(model.line.machines):
        return None
    return state


def _series(done: _Run) -> dict[str, Floats]:
    station = done.station
    good = [future.good for future in done.lines.values()]
    series = {
        "station_mva": station.mva,
        "load_mw": station.load_kw / 1000.0,
        "pv_mw": station.pv_kw / 1000.0,
        "bess_mw": station.bess_kw / 1000.0,
        "bess_soc_pct": station.soc_pct,
    }
    if good:
        series["output_rate_h"] = np.sum(good, axis=0) / (STEP_S / 3600.0)
    if done.visits:
        series["gate_queue"] = done.gates.queue
    return series


def _planned_parts(variant: Variant, line: str, from_us: int, steps: int) -> Floats:
    """Parts a line's plan has in each step; zero where it has no plan."""
    spec = variant.spec
    written = lines_of(spec)[line]
    if written.plan is None:
        return np.zeros(steps)
    calendar = spec.calendars[written.calendar]
    days_off = spec.holidays.get(calendar.holidays) if calendar.holidays else None
    plan = Shifts(calendar, days_off, LocalTime(spec.tz))
    step_us = round(STEP_S * 1e6)
    hours = [
        plan.planned_s(from_us + k * step_us, from_us + (k + 1) * step_us) / 3600.0
        for k in range(steps)
    ]
    return written.plan * np.array(hours)


def _smooth(rates: Floats) -> Floats:
    """Mean over the last four hours: pallets leave as truckloads, not part by part."""
    window = 16
    total = np.concatenate((np.zeros((len(rates), 1)), np.cumsum(rates, axis=1)), axis=1)
    last = np.arange(1, rates.shape[1] + 1)
    first = np.maximum(last - window, 0)
    mean: Floats = (total[:, last] - total[:, first]) / (last - first)
    return mean
