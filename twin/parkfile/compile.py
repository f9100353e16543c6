"""From a checked park file to assets, edges and bindings."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType

from models.errors import InputError, Problem
from twin.notifiers import is_notifier, notifiers
from twin.park import AssetNode, Edge, Park
from twin.parkfile.mapping import catalogue_of, expand, is_rule
from twin.parkfile.parts import Part, parts_of
from twin.parkfile.schema import AggregateSites, ChainItem, Line, ParkFile
from twin.parkfile.strict_yaml import Document, Path
from twin.tags import Binding

_HIDDEN = frozenset(("id", "label", "kind", "machine", "buffer", "user", "password"))


def compile_park(
    spec: ParkFile, document: Document, text: str, warnings: tuple[Problem, ...] = ()
) -> Park:
    """Compile a file whose references hold."""
    parts = parts_of(spec)
    assets = {
        part.id: AssetNode(
            id=part.id,
            type=part.type,
            label=part.label,
            parent=part.parent,
            owner=part.owner,
            attributes=_attributes(document.value, part.path),
        )
        for part in parts
    }
    elements = {part.id: part.element for part in parts if part.element is not None}
    bindings, sampling = _bindings(spec, parts)
    return Park(
        spec=spec,
        assets=MappingProxyType(assets),
        edges=tuple(_edges(spec, parts, bindings)),
        bindings=bindings,
        endpoints=MappingProxyType({endpoint.id: endpoint for endpoint in spec.endpoints}),
        elements=MappingProxyType(elements),
        sampling_s=MappingProxyType(sampling),
        warnings=warnings,
        text=text,
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _bindings(
    spec: ParkFile, parts: Iterable[Part]
) -> tuple[tuple[Binding, ...], dict[str, float]]:
    catalogue = catalogue_of({part.id: part.type for part in parts})
    found: dict[str, Binding] = {}
    sampling: dict[str, float] = {}
    for endpoint in spec.endpoints:
        for mapping in endpoint.map:
            if is_rule(mapping):
                continue
            try:
                made = tuple(expand(spec.id, endpoint.id, mapping, catalogue))
            except InputError as error:
                raise InputError(error.what, error.remedy, f"{endpoint.id}.map") from error
            found.update({binding.path: binding for binding in made})
            every = mapping.sampling if mapping.sampling is not None else endpoint.sampling
            sampling.update({binding.path: every for binding in made})
        notified = notifiers(spec.id, endpoint.id, endpoint.events)
        found.update({binding.path: binding for binding in notified})
    return tuple(found.values()), sampling


def _attributes(data: object, path: Path) -> Mapping[str, str]:
    """What the author wrote about a part, as text with units."""
    here = data
    for step in path:
        if isinstance(here, dict):
            here = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            here = here[step]
    if not path or not isinstance(here, dict):
        return MappingProxyType({})
    shown = {key: _shown(value) for key, value in here.items() if key not in _HIDDEN}
    return MappingProxyType({key: value for key, value in shown.items() if value})


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    return ""


def _edges(spec: ParkFile, parts: Iterable[Part], bindings: Iterable[Binding]) -> Iterator[Edge]:
    for part in parts:
        if part.parent is not None:
            yield _edge("contains", part.parent, part.id)
        if isinstance(part.element, Line):
            yield from _routes(part.id, part.element.chain)
    yield from _feeds(spec)
    for link in spec.logistics.links:
        yield _edge("moves", link.source, link.target, mode=link.mode, length_m=f"{link.length:g}")
    yield from _supplies(spec)
    measured = dict.fromkeys(
        (b.endpoint, b.path.removeprefix(f"{spec.id}/").rpartition("/")[0])
        for b in bindings
        if not is_notifier(b)
    )
    for endpoint, asset in measured:
        yield _edge("measures", endpoint, asset)


def _edge(kind: str, source: str, target: str, **attributes: str) -> Edge:
    return Edge(kind=kind, source=source, target=target, attributes=MappingProxyType(attributes))


def _routes(line: str, chain: tuple[ChainItem, ...]) -> Iterator[Edge]:
    names = [f"{line}/{item.machine or item.buffer}" for item in chain]
    for first, second in pairwise(names):
        yield _edge("routes", first, second)


def _feeds(spec: ParkFile) -> Iterator[Edge]:
    power = spec.utilities.electricity
    for station in power.substations:
        yield _edge("feeds", power.connection.id, station.id, medium="electricity")
        for feeder in station.feeders:
            source = f"{station.id}/{feeder.transformer}"
            yield _edge("feeds", source, feeder.id, medium="electricity")
    for site in spec.sites:
        feeders = site.feeders if isinstance(site, AggregateSites) else (site.feeder,)
        for feeder_id in feeders:
            yield _edge("feeds", feeder_id, site.id, medium="electricity")
    for pv in power.pv:
        yield _edge("feeds", pv.id, pv.feeder, medium="electricity")
    for bess in power.bess:
        yield _edge("feeds", bess.id, bess.feeder, medium="electricity")
    for boiler in spec.utilities.boilers:
        if boiler.site is not None:
            yield _edge("feeds", boiler.id, boiler.site, medium="steam")


def _supplies(spec: ParkFile) -> Iterator[Edge]:
    streams = spec.symbiosis.streams
    for given in streams:
        for taken in streams:
            if (
                given.direction == "out"
                and taken.direction == "in"
                and (given.medium == taken.medium and given.site != taken.site)
            ):
                both = {given.status, taken.status}
                status = "existing" if both == {"existing"} else "proposed"
                yield _edge(
                    "supplies",
                    given.site,
                    taken.site,
                    stream=given.medium,
                    grade=given.grade,
                    rate=given.rate,
                    status=status,
                )
