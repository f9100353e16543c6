"""One branch on one clock: lines → power and pallets → station and gates → KPIs and series.

Machine states become power at 15 minutes; good parts become pallets, and pallets beyond the plan
become trucks at the gates. A branch that forks another run goes on from that run's replications:
the same line states, stored energy, queues, noise and clouds.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from models.bill import Grid
from models.line import LineState
from models.transformer import minutes_from_worst_moment
from twin.whatif.calendars import Calendars
from twin.whatif.factory import LineEnd, LineFuture, LineModel, carried, line_models, run_line
from twin.whatif.gates import (
    PALLETS_PER_TRUCK,
    GateFuture,
    GateStart,
    Visits,
    Window,
    gate_start,
    run_gates,
    truck_rates,
)
from twin.whatif.lanes import Lanes
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import STEP_S, Change
from twin.whatif.station import Station, StationFuture
from twin.whatif.storage import Held
from twin.whatif.variant import Variant, measures_of

Floats = npt.NDArray[np.float64]

STEP_US: Final = STEP_S * 1_000_000
ENGINE: Final = "recursion"
WHY: Final = (
    "serial lines with finite buffers and operation-dependent failures are in the exact class of "
    "the (max,+) recursion; gates are G/G/c queues; the station is balanced every 15 minutes"
)
_STEP_H: Final = STEP_S / 3600.0
_STEP_MIN: Final = STEP_S / 60.0
_DAYS_PER_MONTH: Final = 30.0
_SHIPMENT_STEPS: Final = 16
"""Pallets leave as truckloads, not part by part: over the last four hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """KPIs [R] and series [R, steps] of a branch."""

    kpis: Mapping[str, Floats]
    series: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a branch stands after its last step, replication by replication.

    Parameters
    ----------
    lines, gates
        Line id → state; gate id → visits.
    stored
        Battery id → what it holds.
    extra_per_h
        [R, steps since the snapshot], trucks of pallets beyond the plan, before smoothing.
    """

    lines: Mapping[str, LineEnd]
    stored: Mapping[str, Held]
    gates: Mapping[str, Visits]
    extra_per_h: Floats


class Futures:
    """Replications that all branches of a piece share; equal lines are simulated once."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self._lines: dict[tuple[str, int, str], LineFuture] = {}
        self._ends: dict[int, End] = {}

    def line(self, model: LineModel, horizon_s: float, start: LineState | None) -> LineFuture:
        """The future of a line; the same model from the same start is simulated once."""
        key = (model.token, round(horizon_s), "" if start is None else _digest(start))
        if key not in self._lines:
            self._lines[key] = run_line(
                model, self.lanes, horizon_s=horizon_s, step_s=STEP_S, start=start
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
    extra_per_h: Floats


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
    """

    def __init__(
        self, variant: Variant, snapshot: Snapshot, steps: int, past: Past | None = None
    ) -> None:
        self.variant, self.snapshot, self.steps, self.past = variant, snapshot, steps, past
        self.skip = past.steps if past else 0
        self._whole = Grid(start_us=snapshot.at_us, step_us=STEP_US, steps=self.skip + steps)
        start_us = self._whole.start_us + self.skip * STEP_US
        own = Grid(start_us=start_us, step_us=STEP_US, steps=steps)
        self._calendars = Calendars(variant.spec, own)
        self._lines = line_models(variant, snapshot, self._calendars)
        self._station = Station(variant, snapshot, self._lines, self._whole)

    @cached_property
    def measures(self) -> frozenset[str]:
        """KPIs beyond those of the station that mean something here."""
        return measures_of(self.variant)

    def run(self, futures: Futures) -> Result:
        """Simulate the replications of a piece."""
        done = self._simulate(futures)
        return Result(kpis=self._kpis(done), series=_series(done))

    def end(self, futures: Futures) -> End:
        """Simulate and tell where it ends."""
        done = self._simulate(futures)
        return End(
            lines={
                model.id: LineEnd(machines=model.machines, state=done.lines[model.id].run.end)
                for model in self._lines
            },
            stored=done.station.storage.end,
            gates=done.gates.visits,
            extra_per_h=done.extra_per_h,
        )

    def _simulate(self, futures: Futures) -> _Run:
        before = futures.end_of(self.past) if self.past else None
        lines = {}
        for model in self._lines:
            end = before.lines.get(model.id) if before else None
            state = None if end is None else carried(end, model)
            lines[model.id] = futures.line(model, self.steps * STEP_S, state)
        station = self._station.run(
            {name: future.power_kw for name, future in lines.items()},
            futures.lanes,
            skip=self.skip,
            stored=None if before is None else before.stored,
        )
        extra = self._extra_per_h(lines, before, len(futures.lanes))
        gates = run_gates(
            self.variant.spec,
            self.snapshot,
            futures.lanes,
            rates_per_h=self._rates_per_h(extra),
            window=Window(step_s=STEP_S, skip=self.skip),
            starts=self._gate_starts(before),
        )
        return _Run(lines=lines, station=station, gates=gates, extra_per_h=extra)

    def _extra_per_h(
        self, lines: Mapping[str, LineFuture], before: End | None, count: int
    ) -> Floats:
        """Trucks per hour of pallets beyond the plan since the snapshot, [R, all steps]."""
        extra = np.zeros((count, self.steps))
        for model in self._lines:
            if model.plan_per_h is None:
                continue
            planned = model.plan_per_h * _STEP_H * self._calendars.share(model.calendar)
            pallets = (lines[model.id].good - planned) / model.parts_per_pallet
            extra += pallets / PALLETS_PER_TRUCK / _STEP_H
        return extra if before is None else np.concatenate((before.extra_per_h, extra), axis=1)

    def _rates_per_h(self, extra_per_h: Floats) -> Floats:
        """Trucks per hour: the written demand, and those of pallets beyond the plan."""
        grid = self._whole
        base = truck_rates(self.variant.spec, grid.start_us, grid.steps, STEP_S)
        return np.maximum(base + _recent_mean(extra_per_h), 0.0)

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
        """Every KPI; a zero where there is nothing to measure (see `measures`)."""
        station, terms, ratings = done.station, self._station.terms, self._station.ratings
        own = slice(self.skip, None)
        bought = np.maximum(station.grid_kw, 0.0) * _STEP_H
        refill = station.storage.refill_kwh
        energy_vnd = bought @ terms.price_vnd_kwh[own] + refill * terms.off_peak_vnd_kwh
        over = station.mva > ratings.after_loss
        good = [future.good.sum(axis=1) for future in done.lines.values()]
        return {
            "peak_mva": station.mva.max(axis=1),
            "n1_minutes": self._n1_minutes(station),
            "over_n1_minutes": over.sum(axis=1) * _STEP_MIN,
            "p_over": (station.mva > ratings.in_service[own]).any(axis=1).astype(np.float64),
            "energy_mwh": station.load_kw.sum(axis=1) * _STEP_H / 1000.0,
            "grid_import_mwh": (bought.sum(axis=1) + refill) / 1000.0,
            "cost_mvnd": (energy_vnd + self._capacity_vnd(station)) / 1e6,
            "co2_t": (bought.sum(axis=1) + refill) * terms.co2_kg_kwh / 1000.0,
            "output": np.sum(good, axis=0) if good else np.zeros(len(station.mva)),
            "truck_turn_p90_min": done.gates.turn_p90_min,
            "gate_queue_max": done.gates.longest,
            "wastewater_m3": np.full(len(station.mva), self._wastewater_m3()),
        }

    def _n1_minutes(self, station: StationFuture) -> Floats:
        """Minutes what is left carries the load: from the trip of the branch, else from the
        loss of the largest transformer at the worst moment; the horizon where it always does.
        """
        ratings, mva = self._station.ratings, station.mva
        out = np.flatnonzero(ratings.in_service[self.skip :] < ratings.in_service.max(initial=0.0))
        if not self.variant.trips or not len(out):
            return minutes_from_worst_moment(mva, ratings.after_loss, _STEP_MIN)
        rating = float(ratings.in_service[self.skip :].min())
        if rating <= 0.0:
            return np.zeros(len(mva))
        horizon = mva.shape[1] * _STEP_MIN
        found = minutes_from_worst_moment(mva[:, out[0] :], rating, _STEP_MIN)
        carried_on = found >= (mva.shape[1] - out[0]) * _STEP_MIN
        return np.where(carried_on, horizon, found)

    def _capacity_vnd(self, station: StationFuture) -> Floats:
        """Capacity charge on the largest 30-minute mean, its part of a month of 30 days."""
        price = self._station.terms.capacity_vnd_kw
        bought = np.maximum(station.grid_kw, 0.0)
        halves = bought[:, : bought.shape[1] // 2 * 2].reshape(len(bought), -1, 2).mean(axis=2)
        days = self.steps * STEP_S / 86_400.0
        largest: Floats = halves.max(axis=1, initial=0.0)
        return largest * price * min(days / _DAYS_PER_MONTH, 1.0)

    def _wastewater_m3(self) -> float:
        """Measured flows go on (none counts as 0); what new tenants add comes on top."""
        plants = self.variant.spec.utilities.wastewater
        flow = sum(self.snapshot.value(plant.id, "flow") or 0.0 for plant in plants)
        return (flow + self.variant.wastewater_m3_h) * self.steps * _STEP_H


def _series(done: _Run) -> dict[str, Floats]:
    station, storage = done.station, done.station.storage
    good = [future.good for future in done.lines.values()]
    series = {
        "station_mva": station.mva,
        "load_mw": station.load_kw / 1000.0,
        "pv_mw": station.pv_kw / 1000.0,
        "bess_mw": storage.power_kw / 1000.0,
        "bess_soc_pct": storage.soc_pct,
    }
    if good:
        series["output_rate_h"] = np.sum(good, axis=0) / _STEP_H
    if done.gates.visits:
        series["gate_queue"] = done.gates.queue
    return series


def _digest(state: LineState) -> str:
    parts = (getattr(state, part.name).tobytes() for part in fields(state))
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _recent_mean(rates: Floats) -> Floats:
    """Mean over the last steps, [R, steps]."""
    total = np.concatenate((np.zeros((len(rates), 1)), np.cumsum(rates, axis=1)), axis=1)
    last = np.arange(1, rates.shape[1] + 1)
    first = np.maximum(last - _SHIPMENT_STEPS, 0)
    mean: Floats = (total[:, last] - total[:, first]) / (last - first)
    return mean
