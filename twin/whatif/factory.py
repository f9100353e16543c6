"""The lines of a park as models: built from the file and a snapshot, run from the live state."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.draws import (
    Law,
    Stream,
    deterministic,
    exponential,
    gamma,
    key_of,
    lognormal,
    normals,
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
from twin.metrics import ITEM_STATES, OPERATION_MODES
from twin.parkfile.schema import Distribution, EquipmentClass, ParkFile
from twin.parkfile.schema import Line as LineSpec
from twin.shifts import LocalTime, Shifts
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
    line
        Machines and buffers with their laws at calibrated means.
    seen, levels
        What the snapshot shows of it.
    cycle_sd
        Relative uncertainty of each machine's mean cycle time [1].
    power_kw
        [machines, Spent], power drawn in each state [kW].
    kwh_per_part
        [machines], energy of one part on top of it [kWh].
    yield_
        Share of parts that are good at the end of the line [1].
    parts_per_pallet
        For the shipments it makes.
    token
        Equal for two models that have the same future.
    """

    id: str
    site: str
    line: Line
    seen: tuple[Seen, ...]
    levels: tuple[int, ...]
    cycle_sd: Floats
    power_kw: Floats
    kwh_per_part: Floats
    yield_: float
    parts_per_pallet: int
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFuture:
    """What a line does: good parts [replications, steps], power [kW], and its end state."""

    good: Floats
    power_kw: Floats
    run: LineRun


def line_models(
    variant: Variant, snapshot: Snapshot, start_us: int, horizon_us: int
) -> tuple[LineModel, ...]:
    """Every line of a variant, as it stands in the snapshot."""
    spec = variant.spec
    local = LocalTime(spec.tz)
    return tuple(
        _line_model(variant, snapshot, name, _windows(spec, line, local, start_us, horizon_us))
        for name, line in lines_of(spec).items()
    )


def run_line(
    model: LineModel,
    *,
    seed: int,
    replications: npt.NDArray[np.int64],
    horizon_s: float,
    step_s: float,
    posterior: bool,
    start: LineState | None = None,
) -> LineFuture:
    """Simulate replications of one line.

    Parameters
    ----------
    model
        The line.
    seed, replications
        Keys of the draws.
    horizon_s, step_s
        Length and bin [s].
    posterior
        Whether each replication draws its own mean cycle times.
    start
        State to go on from; None starts from what the snapshot shows.
    """
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
        scales=_scales(model, seed, replications) if posterior else None,
    )
    share = run.spent_s / step_s
    kwh = run.made * model.kwh_per_part[None, :, None]
    power = np.einsum("rmts,ms->rt", share, model.power_kw) + kwh.sum(axis=1) / (step_s / 3600.0)
    good = np.asarray(run.output * model.yield_, np.float64)
    return LineFuture(good=good, power_kw=power, run=run)


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


def state_powers(kind: EquipmentClass) -> Floats:
    """Power in each `Spent` state [kW]; zero where the class names none that fits."""
    powers = np.zeros(len(Spent))
    for spent, keys in _POWER_KEYS.items():
        powers[spent] = next((kind.power[key] for key in keys if key in kind.power), 0.0)
    return powers


def _windows(
    spec: ParkFile, line: LineSpec, local: LocalTime, start_us: int, horizon_us: int
) -> tuple[tuple[float, float], ...]:
    calendar = spec.calendars[line.calendar]
    holidays = spec.holidays.get(calendar.holidays) if calendar.holidays else None
    plan = Shifts(calendar, holidays, local)
    return tuple(
        ((begin - start_us) / 1e6, (end - start_us) / 1e6)
        for begin, end in plan.spans(start_us, start_us + horizon_us)
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
        line=Line(machines=machines, buffers=chain.buffers),
        seen=seen,
        levels=levels,
        cycle_sd=np.array([cycle.sd_s / cycle.mean_s for cycle in cycles]),
        power_kw=np.array([state_powers(kind) for kind in classes]),
        kwh_per_part=np.array([kind.energy_per_part for kind in classes]),
        yield_=math.prod(1.0 - kind.scrap for kind in classes),
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


def _scales(model: LineModel, seed: int, replications: npt.NDArray[np.int64]) -> Scales:
    """Factors on the mean cycle times, drawn from their posterior: one per replication."""
    width = len(model.line.machines)
    scales = Scales.ones(len(replications), width)
    for j, machine in enumerate(model.line.machines):
        for lane, replication in enumerate(replications.tolist()):
            score = normals(seed, Stream.PARAMETER, replication, machine.key, 1)[0]
            scales.cycle[lane, j] = max(0.2, 1.0 + float(model.cycle_sd[j]) * score)
    return scales
