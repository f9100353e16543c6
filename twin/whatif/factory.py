"""The lines of a park as models: built from the file and a snapshot, run from the live state."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.draws import (
    Law,
    deterministic,
    exponential,
    gamma,
    key_of,
    lognormal,
    triangular,
    weibull,
)
from models.errors import InputError
from models.line import (
    Failure,
    Line,
    LineRun,
    LineState,
    Machine,
    Scales,
    Seen,
    Spent,
    live_state,
    simulate_lines,
)
from models.machine_power import MachinePower, machine_power_kw
from twin.metrics import ITEM_STATES, OPERATION_MODES
from twin.parkfile.schema import Distribution, EquipmentClass
from twin.parkfile.schema import Line as LineSpec
from twin.whatif.calendars import Calendars
from twin.whatif.lanes import Lanes
from twin.whatif.snapshot import CycleEstimate, Snapshot
from twin.whatif.variant import Variant, lines_of

Floats = npt.NDArray[np.float64]

_POWER_KEYS: Final = {
    Spent.WORKING: ("Executing/Processing",),
    Spent.BLOCKED: ("NotExecuting/Processing", "NotExecuting/None", "Executing/Setup"),
    Spent.STARVED: ("NotExecuting/Processing", "NotExecuting/None", "Executing/Setup"),
    Spent.DOWN: ("NotExecuting/Maintenance", "OutOfService/Maintenance", "NotExecuting/None"),
    Spent.OFF: ("OutOfService/None", "NotAvailable/None", "OutOfService/Maintenance"),
}
"""Which written power a machine draws in each state, the first that its class names."""


_LAWS: Final[Mapping[str, tuple[tuple[str, ...], Callable[..., Law]]]] = {
    "deterministic": (("mean",), deterministic),
    "exponential": (("mean",), exponential),
    "gamma": (("mean", "cv"), gamma),
    "lognormal": (("mean", "cv"), lognormal),
    "weibull": (("shape", "scale"), weibull),
    "triangular": (("low", "mode", "high"), triangular),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineModel:
    """One line, ready to run.

    Parameters
    ----------
    id, site
        Line and site in the park.
    machines
        Ids of its machines below the line.
    calendar
        Name of its calendar.
    line
        Machines and buffers with their laws at calibrated means.
    seen, levels
        What the snapshot shows of it.
    cycle_s, cycle_sd
        [machines], mean cycle times [s] and their relative uncertainty [1].
    powers
        What each machine draws.
    yield_
        Share of parts that are good at the end of the line [1].
    plan_per_h
        Planned output [1/h]; None where the file has none.
    parts_per_pallet
        For the shipments it makes.
    token
        Equal for two models that have the same future.
    """

    id: str
    site: str
    machines: tuple[str, ...]
    calendar: str
    line: Line
    seen: tuple[Seen, ...]
    levels: tuple[int, ...]
    cycle_s: Floats
    cycle_sd: Floats
    powers: tuple[MachinePower, ...]
    yield_: float
    plan_per_h: float | None
    parts_per_pallet: int
    token: str

    def expected_kw(self, working: Floats) -> Floats:
        """Power to expect where that share of the time is worked: every machine at the pace of
        the slowest, none broken [kW].
        """
        pace_s = float(self.cycle_s.max())
        busy = self.cycle_s / pace_s
        on = sum(
            power.working_kw * share
            + power.starved_kw * (1.0 - share)
            + power.per_part_kwh * 3600.0 / pace_s
            for power, share in zip(self.powers, busy.tolist(), strict=True)
        )
        off = sum(power.off_kw for power in self.powers)
        power: Floats = on * working + off * (1.0 - working)
        return power


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFuture:
    """What a line does: good parts [replications, steps], power [kW], and its end state."""

    good: Floats
    power_kw: Floats
    run: LineRun


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEnd:
    """Where a line stands after some time: its state, and which machines it had."""

    machines: tuple[str, ...]
    state: LineState


def line_models(
    variant: Variant, snapshot: Snapshot, calendars: Calendars
) -> tuple[LineModel, ...]:
    """Every line of a variant, as it stands in the snapshot; shifts count from the grid's start."""
    start_us = calendars.grid.start_us
    models = []
    for name, line in lines_of(variant.spec).items():
        windows = tuple(
            ((begin - start_us) / 1e6, (end - start_us) / 1e6)
            for begin, end in calendars.spans(line.calendar)
        )
        models.append(_line_model(variant, snapshot, name, windows))
    return tuple(models)


def run_line(
    model: LineModel,
    lanes: Lanes,
    *,
    horizon_s: float,
    step_s: float,
    start: LineState | None = None,
) -> LineFuture:
    """Simulate replications of one line.

    Parameters
    ----------
    model, lanes
        The line, and which futures.
    horizon_s, step_s
        Length and bin [s].
    start
        State to go on from; None starts from what the snapshot shows.
    """
    seed, replications = lanes.seed, lanes.replications
    if start is None:
        start = live_state(
            model.line, model.seen, model.levels, seed=seed, replications=replications
        )
    run = simulate_lines(
        [model.line],
        seed=seed,
        replications=replications,
        horizon_s=horizon_s,
        bin_s=step_s,
        start=start,
        scales=_scales(model, lanes),
    )
    power = machine_power_kw(run.spent_s, run.made, model.powers).sum(axis=1)
    good = np.asarray(run.output * model.yield_, np.float64)
    return LineFuture(good=good, power_kw=power, run=run)


def carried(end: LineEnd, model: LineModel) -> LineState:
    """State of a line to go on from; a machine that was added since starts empty.

    A buffer belongs to the machine after it, so parts before a new machine's successor stay there.
    """
    if end.machines == model.machines:
        return end.state
    lanes, width = len(end.state.arrived), len(model.machines)
    state = LineState.empty(lanes, width)
    before = {name: j for j, name in enumerate(end.machines)}
    for j, name in enumerate(model.machines):
        i = before.get(name)
        if i is None:
            continue
        for part in ("work_left", "repair_left", "to_fail", "begun", "failed"):
            getattr(state, part)[:, j] = getattr(end.state, part)[:, i]
        if i > 0 and j > 0:
            state.level[:, j - 1] = end.state.level[:, i - 1]
    state.arrived[:] = end.state.arrived
    return state


def law_of(written: Distribution) -> Law:
    """The law a park file writes.

    Raises
    ------
    InputError
        When a parameter its kind needs is missing.
    """
    names, maker = _LAWS[written.dist]
    numbers = [getattr(written, name) for name in names]
    missing = [n for n, x in zip(names, numbers, strict=True) if x is None]
    if missing:
        raise InputError(f"{written.dist} lacks {', '.join(missing)}", f"it needs {names}")
    return maker(*numbers)


def powers_of(kind: EquipmentClass) -> MachinePower:
    """What a machine of a class draws; zero in a state for which the class names no power."""

    def drawn(spent: Spent) -> float:
        return next((kind.power[key] for key in _POWER_KEYS[spent] if key in kind.power), 0.0)

    return MachinePower(
        working_kw=drawn(Spent.WORKING),
        down_kw=drawn(Spent.DOWN),
        blocked_kw=drawn(Spent.BLOCKED),
        starved_kw=drawn(Spent.STARVED),
        off_kw=drawn(Spent.OFF),
        per_part_kwh=kind.energy_per_part,
    )


def _line_model(
    variant: Variant, snapshot: Snapshot, name: str, windows: tuple[tuple[float, float], ...]
) -> LineModel:
    line, types = lines_of(variant.spec)[name], variant.spec.types
    chain = _chain(line)
    names = [f"{name}/{machine}" for machine, _ in chain.machines]
    classes = [types[kind] for _, kind in chain.machines]
    cycles = [
        _cycle(variant, snapshot.cycles, asset, kind.cycle_time)
        for asset, kind in zip(names, classes, strict=True)
    ]
    machines = tuple(
        _machine(asset, kind, cycle, windows)
        for asset, kind, cycle in zip(names, classes, cycles, strict=True)
    )
    seen = tuple(_seen(snapshot, asset) for asset in names)
    levels = _levels(snapshot, name, chain)
    return LineModel(
        id=name,
        site=name.split("/")[0],
        machines=tuple(machine for machine, _ in chain.machines),
        calendar=line.calendar,
        line=Line(machines=machines, buffers=chain.buffers),
        seen=seen,
        levels=levels,
        cycle_s=np.array([cycle.mean_s for cycle in cycles]),
        cycle_sd=np.array([cycle.sd_s / cycle.mean_s for cycle in cycles]),
        powers=tuple(powers_of(kind) for kind in classes),
        yield_=math.prod(1.0 - kind.scrap for kind in classes),
        plan_per_h=line.plan,
        parts_per_pallet=line.parts_per_pallet,
        token=repr((name, chain, cycles, windows, seen, levels)),
    )


@dataclass(frozen=True, slots=True)
class _Chain:
    """Machines (id, type) and, between each two, the spaces and the buffers they are in."""

    machines: tuple[tuple[str, str], ...]
    buffers: tuple[int, ...]
    buffer_ids: tuple[tuple[str, ...], ...]


def _chain(line: LineSpec) -> _Chain:
    machines: list[tuple[str, str]] = []
    spaces: list[int] = []
    ids: list[tuple[str, ...]] = []
    for item in line.chain:
        if item.machine is not None and item.type is not None:
            machines.append((item.machine, item.type))
            spaces.append(0)
            ids.append(())
        elif item.buffer is not None and machines:
            spaces[-1] += item.cap or 0
            ids[-1] = (*ids[-1], item.buffer)
    return _Chain(tuple(machines), tuple(spaces[:-1]), tuple(ids[:-1]))


def _cycle(
    variant: Variant, known: Mapping[str, CycleEstimate], asset: str, planned_s: float
) -> CycleEstimate:
    estimate = known.get(asset, CycleEstimate(mean_s=planned_s, sd_s=0.02 * planned_s, parts=0.0))
    replaced = variant.cycle_times.get(asset)
    factor = variant.cycle_factors.get(asset, 1.0)
    mean_s = (estimate.mean_s if replaced is None else replaced) * factor
    return CycleEstimate(
        mean_s=mean_s, sd_s=estimate.sd_s / estimate.mean_s * mean_s, parts=estimate.parts
    )


def _machine(
    asset: str,
    kind: EquipmentClass,
    cycle: CycleEstimate,
    windows: tuple[tuple[float, float], ...],
) -> Machine:
    law = gamma(cycle.mean_s, kind.cycle_cv) if kind.cycle_cv else deterministic(cycle.mean_s)
    failure = None
    if kind.mtbf is not None and kind.mttr is not None:
        failure = Failure(to_fail=law_of(kind.mtbf), to_repair=law_of(kind.mttr))
    return Machine(key=key_of(asset), cycle=law, failure=failure, shifts=windows)


def _seen(snapshot: Snapshot, asset: str) -> Seen:
    """What the snapshot shows of a machine: a state says how long it has lasted."""
    item = snapshot.readings.get(f"{asset}/item_state")
    mode = snapshot.value(asset, "operation_mode")
    if item is None:
        return Seen()
    elapsed_s = max(0.0, (snapshot.at_us - item.at_us) / 1e6)
    state = ITEM_STATES[int(item.value)] if 0 <= item.value < len(ITEM_STATES) else ""
    maintained = mode == OPERATION_MODES.index("Maintenance")
    if state == "Executing":
        cycle = snapshot.cycles.get(asset)
        worked_s = min(elapsed_s, cycle.mean_s) if cycle else elapsed_s
        return Seen(has_part=True, worked_s=worked_s)
    if state == "OutOfService" or maintained:
        return Seen(has_part=True, worked_s=0.0, down_s=elapsed_s)
    return Seen()


def _levels(snapshot: Snapshot, name: str, chain: _Chain) -> tuple[int, ...]:
    """Levels of the buffers between machines, as far as they are measured, within their places."""
    seen = (
        sum(snapshot.value(f"{name}/{buffer}", "level") or 0.0 for buffer in ids)
        for ids in chain.buffer_ids
    )
    return tuple(
        min(cap, max(0, round(level))) for cap, level in zip(chain.buffers, seen, strict=True)
    )


def _scales(model: LineModel, lanes: Lanes) -> Scales | None:
    """Factors on the mean cycle times, drawn from their posterior: one per replication."""
    if not lanes.posterior:
        return None
    scales = Scales.ones(len(lanes), len(model.machines))
    for j, machine in enumerate(model.machines):
        scores = lanes.parameter(f"{model.id}/{machine}")
        scales.cycle[:, j] = np.maximum(0.2, 1.0 + model.cycle_sd[j] * scores)
    return scales
