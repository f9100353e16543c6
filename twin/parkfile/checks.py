"""Checks of what pydantic cannot see: references between the parts of a park file.

Each check is a generator of findings; all of them run, so that the author sees everything at once.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import available_timezones

from models.errors import InputError, Problem, did_you_mean
from models.load import load_templates
from models.tariff import known_tariffs
from twin.metrics import ITEM_STATES, METRICS, OPERATION_MODES
from twin.parkfile.mapping import catalogue_of, expand, is_rule
from twin.parkfile.parts import WEATHER, Part, parts_of
from twin.parkfile.schema import (
    AggregateSites,
    Area,
    ChainItem,
    Distribution,
    Endpoint,
    Line,
    ParkFile,
    Site,
)
from twin.parkfile.strict_yaml import Document, Path, dotted
from twin.rules import parse_rule

TRUCK_PROFILES: Final = ("industrial_trucks",)
EMISSION_TABLES: Final = ("vn_grid",)
_POLICIES: Final = (
    "Basic256Sha256",
    "Aes128Sha256RsaOaep",
    "Aes256Sha256RsaPss",
)
_MODES: Final = ("Sign", "SignAndEncrypt")
_OWN_GATEWAY: Final = re.compile(r"gateway(-\d+)?")
_NEEDED: Final = {
    "deterministic": ("mean",),
    "exponential": ("mean",),
    "gamma": ("mean", "cv"),
    "lognormal": ("mean", "cv"),
    "weibull": ("shape", "scale"),
    "triangular": ("low", "mode", "high"),
}
_PARAMETERS: Final = ("mean", "cv", "shape", "scale", "low", "mode", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault: where, what, and what to do."""

    path: Path
    message: str
    suggestion: str = ""


Check = Callable[["Context"], Iterator[Finding]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The file and what its checks look things up in."""

    spec: ParkFile
    parts: tuple[Part, ...]
    types: dict[str, str]
    feeders: tuple[str, ...]
    organisations: tuple[str, ...]
    sites: tuple[str, ...]


def faults(spec: ParkFile, document: Document, file: str = "") -> list[tuple[Path, Problem]]:
    """Everything that is wrong between the parts of a file, with the path it stands at."""
    return _run(_FAULTS, spec, document, file)


def hints(spec: ParkFile, document: Document, file: str = "") -> tuple[Problem, ...]:
    """What is allowed but looks wrong."""
    return tuple(problem for _, problem in _run(_HINTS, spec, document, file))


def _run(
    checks: Collection[Check], spec: ParkFile, document: Document, file: str
) -> list[tuple[Path, Problem]]:
    parts = parts_of(spec)
    context = Context(
        spec=spec,
        parts=parts,
        types={part.id: part.type for part in parts},
        feeders=tuple(part.id for part in parts if part.type == "feeder"),
        organisations=tuple(o.id for o in spec.organisations),
        sites=tuple(part.id for part in parts if part.type == "site"),
    )
    return [
        (
            found.path,
            Problem(
                message=found.message,
                path=dotted(found.path),
                file=file,
                line=document.line_of(found.path),
                suggestion=found.suggestion,
            ),
        )
        for check in checks
        for found in check(context)
    ]


def _reference(path: Path, kind: str, name: str, known: Collection[str]) -> Iterator[Finding]:
    if name not in known:
        names = tuple(known)
        few = f"known: {', '.join(names[:12])}" if names else f"the file has no {kind}"
        yield Finding(
            path=path, message=f"no {kind} '{name}'", suggestion=did_you_mean(name, names) or few
        )


def _ids(context: Context) -> Iterator[Finding]:
    """No two assets, organisations or rules may share an id."""
    seen: dict[str, Path] = {}
    for part in context.parts:
        if part.id == WEATHER and part.type != "weather":
            yield Finding(
                path=part.path,
                message=f"'{WEATHER}' is the park's weather station",
                suggestion="choose another id",
            )
        elif part.id in seen:
            where = dotted(seen[part.id])
            yield Finding(
                path=_id_path(part),
                message=f"'{part.id}' is already the id of {where}",
                suggestion="ids of the park's own parts share one list; choose another",
            )
        seen.setdefault(part.id, part.path)
    yield from _twice([o.id for o in context.spec.organisations], "organisations")
    yield from _twice([r.id for r in context.spec.rules], "rules")


def _id_path(part: Part) -> Path:
    if isinstance(part.element, ChainItem):
        return (*part.path, "machine" if part.element.machine else "buffer")
    return (*part.path, "id")


def _twice(names: list[str], where: str) -> Iterator[Finding]:
    for number, name in enumerate(names):
        if name in names[:number]:
            yield Finding(
                path=(where, number, "id"),
                message=f"'{name}' stands twice under {where}",
                suggestion="choose another id",
            )


def _place_and_time(context: Context) -> Iterator[Finding]:
    spec = context.spec
    if spec.tz not in available_timezones():
        yield Finding(
            path=("tz",),
            message=f"'{spec.tz}' is no IANA time zone",
            suggestion=did_you_mean(spec.tz, tuple(sorted(available_timezones())))
            or "write e.g. Asia/Ho_Chi_Minh",
        )
    for name, plan in spec.holidays.items():
        both = set(plan.dates) & set(plan.swapped_working_days)
        for day in sorted(both):
            at: Path = ("holidays", name, "swapped_working_days")
            yield Finding(
                path=(*at, plan.swapped_working_days.index(day)),
                message=f"{day} is a holiday and a working day",
                suggestion="keep it in one of the two lists",
            )
        for key, days in (
            ("dates", plan.dates),
            ("swapped_working_days", plan.swapped_working_days),
        ):
            for day in _repeated(days):
                yield Finding(
                    path=("holidays", name, key), message=f"{day} stands twice under {key}"
                )
    for name, calendar in spec.calendars.items():
        if calendar.holidays is not None:
            path: Path = ("calendars", name, "holidays")
            yield from _reference(path, "holidays", calendar.holidays, spec.holidays)
        yield from _shifts(("calendars", name, "shifts"), calendar.shifts)


def _repeated(days: tuple[date, ...]) -> list[date]:
    return sorted(day for day, count in Counter(days).items() if count > 1)


def _shifts(path: Path, shifts: tuple[str, ...]) -> Iterator[Finding]:
    """Shifts of a day must not overlap, also over midnight."""
    taken = [False] * 1440
    for number, text in enumerate(shifts):
        start, end = (_minute(part) for part in text.split("-"))
        if end > 1440 or start == end:
            yield Finding(
                path=(*path, number), message=f"shift '{text}' is empty or ends after 24:00"
            )
            continue
        minutes = [m % 1440 for m in range(start, end if end > start else end + 1440)]
        if any(taken[m] for m in minutes):
            yield Finding(
                path=(*path, number),
                message=f"shift '{text}' overlaps another",
                suggestion="a minute belongs to one shift",
            )
        for m in minutes:
            taken[m] = True


def _minute(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _types(context: Context) -> Iterator[Finding]:
    """Power keys, distributions and limits of the equipment classes."""
    known = tuple(f"{state}/{mode}" for state in ITEM_STATES for mode in OPERATION_MODES)
    for name, kind in context.spec.types.items():
        path: Path = ("types", name)
        for key in kind.power:
            yield from _reference((*path, "power", key), "machine state", key, known)
        if kind.cycle_time <= 0:
            yield Finding(path=(*path, "cycle_time"), message="a cycle time of 0 s makes no parts")
        for key, law in (("mtbf", kind.mtbf), ("mttr", kind.mttr)):
            if law is not None:
                yield from _distribution((*path, key), law)
        if (kind.mtbf is None) != (kind.mttr is None):
            given, missing = ("mtbf", "mttr") if kind.mtbf is not None else ("mttr", "mtbf")
            yield Finding(
                path=(*path, given),
                message=f"'{given}' without '{missing}'",
                suggestion="write both or none",
            )
        if kind.temperature_limit is not None and kind.temperature_limit <= kind.temperature:
            yield Finding(
                path=(*path, "temperature_limit"),
                message=f"{kind.temperature_limit:g} degC is not above the working temperature "
                f"{kind.temperature:g} degC",
            )


def _distribution(path: Path, law: Distribution) -> Iterator[Finding]:
    needed = _NEEDED[law.dist]
    for name in needed:
        if getattr(law, name) is None:
            yield Finding(path=path, message=f"{law.dist} needs '{name}'", suggestion=f"add {name}")
    for name in _PARAMETERS:
        if name not in needed and getattr(law, name) is not None:
            yield Finding(
                path=(*path, name),
                message=f"{law.dist} has no '{name}'",
                suggestion=f"it takes {', '.join(needed)}",
            )
    low, mode, high = law.low, law.mode, law.high
    if low is not None and mode is not None and high is not None and not low <= mode <= high:
        yield Finding(path=path, message=f"{low:g} s, {mode:g} s, {high:g} s are not in order")
    if law.mean is not None and law.mean <= 0:
        yield Finding(path=(*path, "mean"), message="a mean of 0 s")


def _sites(context: Context) -> Iterator[Finding]:
    for number, site in enumerate(context.spec.sites):
        path: Path = ("sites", number)
        if isinstance(site, AggregateSites):
            for row, feeder in enumerate(site.feeders):
                yield from _reference((*path, "feeders", row), "feeder", feeder, context.feeders)
                if feeder in site.feeders[:row]:
                    yield Finding(path=(*path, "feeders", row), message=f"'{feeder}' stands twice")
            yield from _reference(
                (*path, "profile"), "load template", site.profile, load_templates()
            )
            continue
        yield from _reference((*path, "owner"), "organisation", site.owner, context.organisations)
        yield from _reference((*path, "feeder"), "feeder", site.feeder, context.feeders)
        for row, area in enumerate(site.areas):
            yield from _lines(context, (*path, "areas", row), area)


def _lines(context: Context, path: Path, area: Area) -> Iterator[Finding]:
    for number, line in enumerate(area.lines):
        at: Path = (*path, "lines", number)
        yield from _reference((*at, "calendar"), "calendar", line.calendar, context.spec.calendars)
        yield from _chain(context, (*at, "chain"), line)


def _chain(context: Context, path: Path, line: Line) -> Iterator[Finding]:
    """Each element is one thing; buffers stand between machines or at the end, never in a row."""
    before = ""
    for number, item in enumerate(line.chain):
        at: Path = (*path, number)
        kind = "machine" if item.machine else "buffer" if item.buffer else ""
        if not kind or (item.machine and item.buffer):
            yield Finding(
                path=at,
                message="neither a machine nor a buffer" if not kind else "a machine and a buffer",
                suggestion="write machine with type, or buffer with cap",
            )
            continue
        yield from _element(context, at, item, kind)
        if kind == "buffer" and before != "machine":
            yield Finding(
                path=at,
                message=f"buffer '{item.buffer}' does not follow a machine",
                suggestion="a chain starts with a machine; join two buffers into one",
            )
        before = kind


def _element(context: Context, path: Path, item: ChainItem, kind: str) -> Iterator[Finding]:
    if kind == "machine":
        if item.type is None:
            yield Finding(
                path=path,
                message=f"machine '{item.machine}' has no type",
                suggestion=f"known: {', '.join(tuple(context.spec.types)[:12])}",
            )
        else:
            yield from _reference((*path, "type"), "type", item.type, context.spec.types)
        if item.cap is not None:
            yield Finding(path=(*path, "cap"), message="a machine has no 'cap'")
        return
    if item.cap is None:
        yield Finding(
            path=path, message=f"buffer '{item.buffer}' has no cap", suggestion="add e.g. cap: 100"
        )
    if item.type is not None:
        yield Finding(path=(*path, "type"), message="a buffer has no 'type'")


def _electricity(context: Context) -> Iterator[Finding]:
    power = context.spec.utilities.electricity
    top: Path = ("utilities", "electricity")
    tariff: Path = (*top, "connection", "tariff")
    yield from _reference(tariff, "tariff", power.connection.tariff, known_tariffs())
    yield from _reference(
        (*top, "emission_factor"), "emission table", power.emission_factor, EMISSION_TABLES
    )
    for number, station in enumerate(power.substations):
        own = tuple(unit.id for unit in station.transformers)
        at: Path = (*top, "substations", number)
        for row, unit in enumerate(station.transformers):
            if unit.rating <= 0:
                yield Finding(path=(*at, "transformers", row, "rating"), message="a rating of 0")
        for row, feeder in enumerate(station.feeders):
            here: Path = (*at, "feeders", row)
            yield from _reference((*here, "transformer"), "transformer", feeder.transformer, own)
            if feeder.rating <= 0:
                yield Finding(path=(*here, "rating"), message="a rating of 0")
    for number, pv in enumerate(power.pv):
        yield from _reference((*top, "pv", number, "feeder"), "feeder", pv.feeder, context.feeders)
        if pv.site is not None:
            yield from _reference((*top, "pv", number, "site"), "site", pv.site, context.sites)
    for number, bess in enumerate(power.bess):
        here = (*top, "bess", number)
        yield from _reference((*here, "feeder"), "feeder", bess.feeder, context.feeders)
        low, high = bess.soc
        if not 0.0 <= low < high <= 1.0:
            yield Finding(
                path=(*here, "soc"),
                message=f"state of charge [{low:g}, {high:g}] is not in order",
                suggestion="write [low, high] with 0 <= low < high <= 1, e.g. [0.1, 0.95]",
            )


def _other_utilities(context: Context) -> Iterator[Finding]:
    for number, boiler in enumerate(context.spec.utilities.boilers):
        if boiler.site is not None:
            path: Path = ("utilities", "boilers", number, "site")
            yield from _reference(path, "site", boiler.site, context.sites)


def _logistics(context: Context) -> Iterator[Finding]:
    flows = context.spec.logistics
    for number, dock in enumerate(flows.docks):
        yield from _reference(
            ("logistics", "docks", number, "site"), "site", dock.site, context.sites
        )
    own = [
        part.id
        for part in context.parts
        if part.type in ("gate", "yard", "dock", "berth", "siding")
    ]
    reached = {link.target for link in flows.links}
    for number, link in enumerate(flows.links):
        known = (*own, *(reached - {link.target}))
        yield from _reference(
            ("logistics", "links", number, "source"),
            "gate, yard, berth or siding",
            link.source,
            known,
        )
    if flows.trucks is not None:
        yield from _reference(
            ("logistics", "trucks", "profile"),
            "truck profile",
            flows.trucks.profile,
            TRUCK_PROFILES,
        )
        if not flows.gates:
            yield Finding(
                path=("logistics", "trucks"),
                message="trucks, but no gate for them",
                suggestion="add an entry under gates",
            )
    for number, stream in enumerate(context.spec.symbiosis.streams):
        path: Path = ("symbiosis", "streams", number)
        yield from _reference((*path, "site"), "site", stream.site, context.sites)


def _endpoints(context: Context) -> Iterator[Finding]:
    # Two plants may use the same private addresses: they are apart where their gateways are.
    urls: dict[tuple[str, str], int] = {}
    for number, endpoint in enumerate(context.spec.endpoints):
        path: Path = ("endpoints", number)
        address = (endpoint.gateway, endpoint.url)
        if address in urls:
            other = context.spec.endpoints[urls[address]].id
            yield Finding(
                path=(*path, "url"), message=f"'{endpoint.url}' is also the url of '{other}'"
            )
        urls.setdefault(address, number)
        if _OWN_GATEWAY.fullmatch(endpoint.gateway):
            yield Finding(
                path=(*path, "gateway"),
                message=f"'{endpoint.gateway}' is the name of a gateway of the service itself",
                suggestion="leave it out, or name the gateway in the plant, like hall-2",
            )
        if endpoint.reverse and endpoint.spares:
            yield Finding(
                path=(*path, "spares"),
                message="an endpoint whose server connects itself (reverse) has no spares",
                suggestion="leave them out, or leave `reverse` out",
            )
        yield from _control(path, endpoint)
        yield from _security(path, endpoint)
        if endpoint.publishing <= 0 or endpoint.sampling < 0:
            yield Finding(path=(*path, "publishing"), message="a publishing interval of 0 s")


def _control(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    """Writes and calls go from the service: a gateway in a plant takes none."""
    if not endpoint.gateway:
        return
    named = [("map", row, "writable_by") for row, m in enumerate(endpoint.map) if m.writable_by]
    methods = [("callable_by",)] if endpoint.callable_by else []
    for where in (*named, *methods):
        yield Finding(
            path=(*path, *where),
            message=f"gateway '{endpoint.gateway}' in the plant writes and calls nothing",
            suggestion="leave it out, or have the service read this endpoint (no `gateway`)",
        )


def _security(path: Path, endpoint: Endpoint) -> Iterator[Finding]:
    policy, _, mode = endpoint.security.partition("/")
    if endpoint.security == "None":
        if not endpoint.allow_insecure:
            yield Finding(
                path=(*path, "security") if "security" in endpoint.model_fields_set else path,
                message=f"endpoint '{endpoint.id}' has no security",
                suggestion="write e.g. security: Basic256Sha256/SignAndEncrypt, "
                "or allow_insecure: true",
            )
        return
    yield from _reference((*path, "security"), "security policy", policy, _POLICIES)
    yield from _reference((*path, "security"), "security mode", mode, _MODES)


def _mappings(context: Context) -> Iterator[Finding]:
    """Placeholders, matches and units; one node has one path, one path one node."""
    catalogue = catalogue_of(context.types)
    of_path: dict[str, Path] = {}
    for number, endpoint in enumerate(context.spec.endpoints):
        of_node: dict[tuple[str, str], Path] = {}
        for row, mapping in enumerate(endpoint.map):
            path: Path = ("endpoints", number, "map", row)
            if is_rule(mapping):
                if mapping.writable_by:
                    yield Finding(
                        path=(*path, "writable_by"),
                        message="a rule cannot say who may write: it takes nodes nobody has named",
                        suggestion="map the nodes that may be written without * and `auto`",
                    )
                continue
            try:
                made = tuple(expand(context.spec.id, endpoint.id, mapping, catalogue))
            except InputError as error:
                yield Finding(
                    path=(*path, error.where or "match"),
                    message=error.what,
                    suggestion=error.remedy,
                )
                continue
            for binding in made:
                other = of_path.setdefault(binding.path, path)
                if other != path:
                    yield Finding(
                        path=(*path, "to"),
                        message=f"'{binding.path}' is already mapped by {dotted(other)}",
                        suggestion="a tag has one source",
                    )
                    break
                key = (binding.namespace, binding.identifier)
                if key in of_node:
                    yield Finding(
                        path=(*path, "match"),
                        message=f"node '{binding.node}' is mapped twice",
                        suggestion=f"see {dotted(of_node[key])}; a node feeds one tag",
                    )
                    break
                of_node[key] = path


def _rules(context: Context) -> Iterator[Finding]:
    for number, rule in enumerate(context.spec.rules):
        try:
            parse_rule(rule.when, context.types)
        except InputError as error:
            yield Finding(
                path=("rules", number, "when"), message=error.what, suggestion=error.remedy
            )


def _plant(context: Context) -> Iterator[Finding]:
    plant = context.spec.virtual_plant
    if plant is None:
        return
    endpoints = {endpoint.id: endpoint for endpoint in context.spec.endpoints}
    played: set[str] = set()
    for number, server in enumerate(plant.servers):
        path: Path = ("virtual_plant", "servers", number)
        yield from _reference((*path, "endpoint"), "endpoint", server.endpoint, endpoints)
        if server.endpoint in played:
            yield Finding(
                path=(*path, "endpoint"), message=f"'{server.endpoint}' is played by two servers"
            )
        played.add(server.endpoint)
        endpoint = endpoints.get(server.endpoint)
        if endpoint is not None and server.namespaces:
            yield from _namespaces(path, endpoint, server.namespaces)
    for number, fault in enumerate(plant.faults):
        path = ("virtual_plant", "faults", number)
        if fault.kind in ("clock_offset", "frozen_good"):
            yield from _reference((*path, "target"), "endpoint", fault.target, endpoints)
        else:
            fit = [id_ for id_, kind in context.types.items() if kind in _FAULTY[fault.kind]]
            kinds = " or ".join(_FAULTY[fault.kind])
            yield from _reference((*path, "target"), kinds, fault.target, fit)
        if fault.until is not None and fault.until <= fault.at:
            yield Finding(
                path=(*path, "until"),
                message=f"{fault.until:g} s is not after {fault.at:g} s",
                suggestion="'at' and 'until' both count from the plant's start",
            )


_FAULTY: Final = {
    "cycle_drift": ("machine",),
    "breakdown": ("machine",),
    "meter_stuck": tuple(
        kind for kind, metrics in METRICS.items() if any(m.name == "active_power" for m in metrics)
    ),
    "string_lost": ("pv",),
    "transformer_trip": ("transformer",),
}


def _namespaces(path: Path, endpoint: Endpoint, given: tuple[str, ...]) -> Iterator[Finding]:
    used = dict.fromkeys(
        mapping.match.removeprefix("nsu=").partition(";")[0] for mapping in endpoint.map
    )
    for uri in used:
        if uri not in given:
            yield Finding(
                path=(*path, "namespaces"),
                message=f"'{uri}' of endpoint '{endpoint.id}' is not among the server's namespaces",
                suggestion=did_you_mean(uri, given) or "add it",
            )


def _unplayed(context: Context) -> Iterator[Finding]:
    plant = context.spec.virtual_plant
    if plant is None or not plant.enabled:
        return
    played = {server.endpoint for server in plant.servers}
    for number, endpoint in enumerate(context.spec.endpoints):
        if endpoint.id not in played and not endpoint.gateway:
            yield Finding(
                path=("endpoints", number),
                message=f"no server of the virtual plant plays endpoint '{endpoint.id}'",
                suggestion="add it under virtual_plant.servers, or run a real one",
            )


def _unmapped(context: Context) -> Iterator[Finding]:
    for number, endpoint in enumerate(context.spec.endpoints):
        if not endpoint.map:
            yield Finding(
                path=("endpoints", number),
                message=f"endpoint '{endpoint.id}' maps no node",
                suggestion="add entries under map, or map it on the endpoints page",
            )


def _overload(context: Context) -> Iterator[Finding]:
    """What is connected against what carries it: peaks of groups and sites, ratings of feeders."""
    power = context.spec.utilities.electricity
    peak: defaultdict[str, float] = defaultdict(float)
    for site in context.spec.sites:
        if isinstance(site, AggregateSites):
            for name in site.feeders:
                peak[name] += site.peak / site.cos_phi / len(site.feeders)
        else:
            peak[site.feeder] += _site_peak_kw(context.spec, site) / site.cos_phi
    for number, station in enumerate(power.substations):
        path: Path = ("utilities", "electricity", "substations", number)
        total = sum(peak[feeder.id] for feeder in station.feeders)
        rating = sum(unit.rating for unit in station.transformers)
        if total > rating:
            yield Finding(
                path=(*path, "transformers"),
                message=f"the connected peak {total / 1e3:.1f} MVA is over the station's "
                f"{rating / 1e3:.1f} MVA",
                suggestion="check peaks and ratings; not all peaks fall together",
            )
        for row, feeder in enumerate(station.feeders):
            amps = peak[feeder.id] / (station.feeder_voltage * math.sqrt(3.0))
            if amps > feeder.rating:
                yield Finding(
                    path=(*path, "feeders", row, "rating"),
                    message=f"the connected peak of '{feeder.id}' is {amps:.0f} A, over its "
                    f"{feeder.rating:g} A",
                    suggestion="move a site to another feeder, or check its rating",
                )


def _site_peak_kw(spec: ParkFile, site: Site) -> float:
    machines = sum(
        spec.types[item.type].power.get("Executing/Processing", 0.0)
        for area in site.areas
        for line in area.lines
        for item in line.chain
        if item.type in spec.types
    )
    return site.base_load + site.shift_load + machines


_FAULTS: Final[tuple[Check, ...]] = (
    _ids,
    _place_and_time,
    _types,
    _sites,
    _electricity,
    _other_utilities,
    _logistics,
    _endpoints,
    _mappings,
    _rules,
    _plant,
)
_HINTS: Final[tuple[Check, ...]] = (_unplayed, _unmapped, _overload)
