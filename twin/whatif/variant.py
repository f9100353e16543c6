"""Typed changes applied to a park: most are an edit of its file, the rest are events on the way.

The edited park is a park like any other; nothing below knows that a change was made. A change that
names nothing of the park is an error with its place and near names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

from models.errors import InputError, did_you_mean
from models.load import load_templates
from models.tariff import known_tariffs
from twin.parkfile.schema import (
    AggregateSites,
    Bess,
    ChainItem,
    Electricity,
    Line,
    ParkFile,
    Pv,
    Site,
    Text,
    TruckDemand,
)
from twin.whatif.spec import (
    Battery,
    Change,
    Curtailment,
    CycleTime,
    DemandGrowth,
    GateLanes,
    MachineAdded,
    NewTenant,
    ShiftCalendar,
    Solar,
    TariffChange,
    TransformerTrip,
)

_LISTED: Final = 8
"""Known names that an error lists when none is near."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A park after its changes.

    Parameters
    ----------
    spec
        The edited park file.
    growth
        Asset id (empty: the whole park) → factor on its electrical demand.
    trips
        Transformer trips.
    curtailments
        Power given up by tenants.
    cycle_factors
        Machine id → factor on its calibrated cycle time.
    cycle_times
        Machine id → cycle time that replaces the calibrated one [s].
    newcomers
        Tenants that moved in: nothing of them is measured yet.
    wastewater_m3_h
        Wastewater that they add [m3/h].
    """

    spec: ParkFile
    growth: Mapping[str, float] = field(default_factory=dict)
    trips: tuple[TransformerTrip, ...] = ()
    curtailments: tuple[Curtailment, ...] = ()
    cycle_factors: Mapping[str, float] = field(default_factory=dict)
    cycle_times: Mapping[str, float] = field(default_factory=dict)
    newcomers: frozenset[str] = frozenset()
    wastewater_m3_h: float = 0.0


def vary(spec: ParkFile, changes: Sequence[Change]) -> Variant:
    """Apply changes in their order.

    Raises
    ------
    InputError
        When a change names nothing of the park, or does not fit it.
    """
    variant = Variant(spec=spec)
    for change in changes:
        variant = _APPLY[type(change)](variant, change)
    return variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """A change that does not fit the park: its number, the field at fault, and why."""

    number: int
    field: str
    error: InputError


def try_changes(spec: ParkFile, changes: Sequence[Change]) -> tuple[Variant, list[Misfit]]:
    """Apply the changes that fit, in their order; list the others."""
    found: list[Misfit] = []
    variant = Variant(spec=spec)
    for number, change in enumerate(changes):
        try:
            variant = _APPLY[type(change)](variant, change)
        except InputError as error:
            found.append(Misfit(number=number, field=error.where or "asset", error=error))
    return variant, found


STATION_KPIS: Final = frozenset(
    {
        "peak_mva",
        "n1_minutes",
        "over_n1_minutes",
        "p_over",
        "energy_mwh",
        "grid_import_mwh",
        "cost_mvnd",
        "co2_t",
    }
)


def measures_of(variant: Variant) -> frozenset[str]:
    """KPIs that mean something in a variant; those of the station always do."""
    spec, found = variant.spec, set(STATION_KPIS)
    if lines_of(spec):
        found.add("output")
    if spec.logistics.gates and spec.logistics.trucks is not None:
        found |= {"truck_turn_p90_min", "gate_queue_max"}
    if spec.utilities.wastewater or variant.wastewater_m3_h > 0.0:
        found.add("wastewater_m3")
    return frozenset(found)


def _unknown(kind: str, name: str, known: Sequence[str], where: str) -> InputError:
    """Nothing of that name; near names are offered, else all of them."""
    some = ", ".join(known[:_LISTED]) + (", …" if len(known) > _LISTED else "")
    remedy = did_you_mean(name, tuple(known)) or (f"one of {some}" if some else "there is none")
    return InputError(f"no {kind} {name!r}", remedy, where)


def _electricity(variant: Variant, **update: object) -> Variant:
    utilities = variant.spec.utilities
    electricity = utilities.electricity.model_copy(update=update)
    made = utilities.model_copy(update={"electricity": electricity})
    return replace(variant, spec=variant.spec.model_copy(update={"utilities": made}))


def _first_feeder(electricity: Electricity) -> str:
    return electricity.substations[0].feeders[0].id


def _battery(variant: Variant, change: Battery) -> Variant:
    old = variant.spec.utilities.electricity
    update = {
        name: value
        for name in ("energy", "power", "rule")
        if (value := getattr(change, name)) is not None
    }
    known = {b.id: b for b in old.bess}
    if change.asset in known:
        known[change.asset] = known[change.asset].model_copy(update=update)
        return _electricity(variant, bess=tuple(known.values()))
    if change.energy is None or change.power is None:
        unknown = _unknown("battery", change.asset, tuple(known), "asset")
        remedy = f"{unknown.remedy}, or give energy and power of a new one"
        raise InputError(unknown.what, remedy, "asset")
    new = Bess.model_construct(
        id=change.asset,
        label=None,
        feeder=_first_feeder(old),
        power=change.power,
        energy=change.energy,
        soc=(0.1, 0.95),
        round_trip_efficiency=0.88,
        rule=change.rule or "time_of_use",
    )
    return _electricity(variant, bess=(*old.bess, new))


def _solar(variant: Variant, change: Solar) -> Variant:
    old = variant.spec.utilities.electricity
    known = {p.id: p for p in old.pv}
    if change.asset in known:
        was = known[change.asset]
        scale = change.peak / was.peak if was.peak else 1.0
        inverter = None if was.inverter is None else was.inverter * scale
        known[change.asset] = was.model_copy(update={"peak": change.peak, "inverter": inverter})
        return _electricity(variant, pv=tuple(known.values()))
    new = Pv.model_construct(
        id=change.asset,
        label=None,
        feeder=_first_feeder(old),
        site=None,
        peak=change.peak,
        inverter=None,
        tilt=10.0,
        azimuth=180.0,
        strings=1,
    )
    return _electricity(variant, pv=(*old.pv, new))


def lines_of(spec: ParkFile) -> dict[str, Line]:
    """Line id (``site/area/line``) → line."""
    return {
        f"{site.id}/{area.id}/{line.id}": line
        for site in spec.sites
        if isinstance(site, Site)
        for area in site.areas
        for line in area.lines
    }


def _with_lines(spec: ParkFile, edited: Mapping[str, Line]) -> ParkFile:
    sites: list[Site | AggregateSites] = []
    for site in spec.sites:
        if not isinstance(site, Site):
            sites.append(site)
            continue
        areas = tuple(
            area.model_copy(
                update={
                    "lines": tuple(
                        edited.get(f"{site.id}/{area.id}/{line.id}", line) for line in area.lines
                    )
                }
            )
            for area in site.areas
        )
        sites.append(site.model_copy(update={"areas": areas}))
    return spec.model_copy(update={"sites": tuple(sites)})


def _calendar(variant: Variant, change: ShiftCalendar) -> Variant:
    spec = variant.spec
    lines = lines_of(spec)
    chosen = [name for name in lines if name == change.asset or name.startswith(f"{change.asset}/")]
    if not chosen:
        raise _unknown("line or site", change.asset, tuple(lines), "asset")
    calendars = dict(spec.calendars)
    if change.calendar is not None and change.calendar not in calendars:
        raise _unknown("calendar", change.calendar, tuple(calendars), "calendar")
    edited = {}
    for one in chosen:
        name = change.calendar
        if name is None:
            name = f"{lines[one].calendar} ({', '.join(change.shifts or ())})"
            calendars[name] = calendars[lines[one].calendar].model_copy(
                update={"label": None, "shifts": change.shifts, "breaks": ()}
            )
        edited[one] = lines[one].model_copy(update={"calendar": name})
    made = _with_lines(spec, edited).model_copy(update={"calendars": calendars})
    return replace(variant, spec=made)


def _machines(spec: ParkFile) -> tuple[str, ...]:
    return tuple(
        f"{name}/{item.machine}"
        for name, line in lines_of(spec).items()
        for item in line.chain
        if item.machine
    )


def _cycle_time(variant: Variant, change: CycleTime) -> Variant:
    known = _machines(variant.spec)
    if change.asset not in known:
        raise _unknown("machine", change.asset, known, "asset")
    if change.cycle_time is not None:
        if change.cycle_time <= 0:
            raise InputError("a cycle time of 0 s", "give a positive time", "cycle_time")
        times = {**variant.cycle_times, change.asset: change.cycle_time}
        return replace(variant, cycle_times=times)
    before = variant.cycle_factors.get(change.asset, 1.0)
    factors = {**variant.cycle_factors, change.asset: before * (change.factor or 1.0)}
    return replace(variant, cycle_factors=factors)


def _machine_added(variant: Variant, change: MachineAdded) -> Variant:
    lines = lines_of(variant.spec)
    line = lines.get(change.asset)
    if line is None:
        raise _unknown("line", change.asset, tuple(lines), "asset")
    if change.type not in variant.spec.types:
        raise _unknown("equipment class", change.type, tuple(variant.spec.types), "type")
    machines = [item.machine for item in line.chain if item.machine]
    after = change.after or machines[-1]
    if after not in machines:
        raise _unknown("machine of the line", after, tuple(machines), "after")
    number = 1 + sum(name.startswith("new_m") for name in machines)
    place = next(i for i, item in enumerate(line.chain) if item.machine == after)
    added = (
        ChainItem.model_construct(buffer=f"new_b{number}", cap=change.buffer),
        ChainItem.model_construct(machine=f"new_m{number}", type=change.type),
    )
    chain = (*line.chain[: place + 1], *added, *line.chain[place + 1 :])
    edited = {change.asset: line.model_copy(update={"chain": chain})}
    return replace(variant, spec=_with_lines(variant.spec, edited))


def _trip(variant: Variant, change: TransformerTrip) -> Variant:
    known = tuple(
        f"{station.id}/{transformer.id}"
        for station in variant.spec.utilities.electricity.substations
        for transformer in station.transformers
    )
    if change.asset not in known:
        raise _unknown("transformer", change.asset, known, "asset")
    return replace(variant, trips=(*variant.trips, change))


def _tariff(variant: Variant, change: TariffChange) -> Variant:
    known = tuple(known_tariffs())
    if change.tariff not in known:
        raise _unknown("tariff", change.tariff, known, "tariff")
    connection = variant.spec.utilities.electricity.connection
    return _electricity(variant, connection=connection.model_copy(update={"tariff": change.tariff}))


def _growth(variant: Variant, change: DemandGrowth) -> Variant:
    known = tuple(site.id for site in variant.spec.sites)
    if change.asset and change.asset not in known:
        raise _unknown("site", change.asset, known, "asset")
    before = variant.growth.get(change.asset, 1.0)
    growth = {**variant.growth, change.asset: before * (1.0 + change.growth)}
    return replace(variant, growth=growth)


def _gate(variant: Variant, change: GateLanes) -> Variant:
    logistics = variant.spec.logistics
    gates = {gate.id: gate for gate in logistics.gates}
    if change.asset not in gates:
        raise _unknown("gate", change.asset, tuple(gates), "asset")
    update: dict[str, object] = {"lanes": change.lanes}
    if change.service is not None:
        update["service"] = change.service
    gates[change.asset] = gates[change.asset].model_copy(update=update)
    made = logistics.model_copy(update={"gates": tuple(gates.values())})
    return replace(variant, spec=variant.spec.model_copy(update={"logistics": made}))


def _tenant(variant: Variant, change: NewTenant) -> Variant:
    spec = variant.spec
    if change.asset in {site.id for site in spec.sites}:
        raise InputError(f"{change.asset!r} is already in the park", "choose another id", "asset")
    templates = tuple(load_templates())
    if change.profile not in templates:
        raise _unknown("load template", change.profile, templates, "profile")
    feeders = [f.id for s in spec.utilities.electricity.substations for f in s.feeders]
    new = AggregateSites.model_construct(
        id=change.asset,
        kind="aggregate",
        label=Text.model_construct(vi=change.asset, en=change.asset),
        count=1,
        profile=change.profile,
        peak=change.power,
        cos_phi=change.cos_phi,
        feeders=tuple(feeders),
        workers=0,
    )
    before = spec.logistics.trucks
    trucks = TruckDemand.model_construct(
        per_day=(before.per_day if before else 0.0) + change.trucks,
        profile=before.profile if before else "industrial_trucks",
    )
    logistics = spec.logistics.model_copy(update={"trucks": trucks})
    made = spec.model_copy(update={"sites": (*spec.sites, new), "logistics": logistics})
    water = variant.wastewater_m3_h + change.wastewater
    newcomers = variant.newcomers | {change.asset}
    return replace(variant, spec=made, newcomers=newcomers, wastewater_m3_h=water)


def _curtail(variant: Variant, change: Curtailment) -> Variant:
    known = tuple(site.id for site in variant.spec.sites)
    if change.asset not in known:
        raise _unknown("site", change.asset, known, "asset")
    return replace(variant, curtailments=(*variant.curtailments, change))


_APPLY: Mapping[type[object], Callable[..., Variant]] = MappingProxyType(
    {
        Battery: _battery,
        Solar: _solar,
        ShiftCalendar: _calendar,
        CycleTime: _cycle_time,
        MachineAdded: _machine_added,
        TransformerTrip: _trip,
        TariffChange: _tariff,
        DemandGrowth: _growth,
        GateLanes: _gate,
        NewTenant: _tenant,
        Curtailment: _curtail,
    }
)
