"""Node mappings: templates of nodes and tag paths, expanded against the park's own tags.

``{name}`` stands for one segment of the tag path and the same text in the node; ``{name**}``
stands for one or more segments. A placeholder named like an asset type (``{line}``, ``{machine}``,
``{feeder}``…) stands only for assets of that type. Both sides must hold the same placeholders; what
they stand for comes from the assets of the park and the metrics of their types, never from the
server. A mapping with ``*`` in its match, or with ``to: auto``, is a rule instead: it is expanded
against a crawl (`connectors.onboarding.wildcard`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from models.errors import InputError, did_you_mean
from models.units import DIMENSION_OF_UNIT, DIMENSIONS, convert
from twin.metrics import METRICS, Metric
from twin.parkfile.parts import TYPE_LABELS
from twin.parkfile.placeholders import PLACEHOLDER, pattern_of
from twin.parkfile.schema import Mapping as MappingSpec
from twin.tags import Binding

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A tag the park can have: one metric of one asset."""

    asset: str
    type: str
    metric: Metric

    @property
    def path(self) -> str:
        """Path below the park."""
        return f"{self.asset}/{self.metric.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What mappings are expanded against.

    Parameters
    ----------
    types
        Asset id → its type.
    targets
        Path below the park → the tag the park can have there.
    """

    types: Mapping[str, str]
    targets: Mapping[str, Target]


def is_rule(mapping: MappingSpec) -> bool:
    """Whether a mapping is a rule with wildcards: what it matches is known after a crawl only."""
    return "*" in mapping.match or mapping.match.startswith("path:") or mapping.to == "auto"


def catalogue_of(types: Mapping[str, str]) -> Catalogue:
    """Every tag that assets (id → type) can have."""
    found: dict[str, Target] = {}
    for asset, kind in types.items():
        for metric in METRICS.get(kind, ()):
            target = Target(asset=asset, type=kind, metric=metric)
            found[target.path] = target
    return Catalogue(types=types, targets=found)


def expand(
    park: str, endpoint: str, mapping: MappingSpec, catalogue: Catalogue
) -> Iterator[Binding]:
    """Bindings of one mapping, in the order of the park's assets.

    Raises
    ------
    InputError
        When the placeholders differ, nothing matches, a node id is malformed or a unit does not
        belong to a metric; `where` names the key of the mapping.
    """
    left, right = _names(mapping.match, "match"), _names(mapping.to, "to")
    if left != right:
        missing = ", ".join(f"{{{name}}}" for name in sorted(left ^ right))
        side = "to" if left - right else "match"
        raise InputError(f"{missing} stands on one side only", f"write it in '{side}' too", "match")
    namespace, _, identifier = mapping.match.removeprefix("nsu=").partition(";")
    matched = 0
    for target, values in _matches(mapping.to, catalogue):
        matched += 1
        node = _filled(identifier, values)
        _check_identifier(node)
        yield Binding(
            path=f"{park}/{target.path}",
            unit=target.metric.unit,
            kind=target.metric.kind,
            endpoint=endpoint,
            namespace=namespace,
            identifier=node,
            scale=scale_to(target, mapping.unit),
        )
    if not matched:
        raise InputError(
            f"'{mapping.to}' matches no tag", _near_target(mapping.to, catalogue.targets), "to"
        )


def bind(
    park: str, endpoint: str, node: str, path: str, catalogue: Catalogue, unit: str = ""
) -> Binding:
    """Bind one node to one tag path (below the park, or with the park in front).

    Raises
    ------
    InputError
        When the node id is malformed, the path is no tag of the park or the unit does not fit.
    """
    below = path.removeprefix(f"{park}/")
    if not re.fullmatch(r"nsu=[^;]+;[isgb]=.+", node):
        raise InputError(
            f"node {node!r} is not portable", "write nsu=<URI>;s=…; an index changes", "node"
        )
    if "{" in below or "{" in node:
        raise InputError(f"{node!r} → {path!r} holds a placeholder", "bind one node", "node")
    spec = MappingSpec(match=node, to=below, unit=unit or None)
    return next(iter(expand(park, endpoint, spec, catalogue)))


def scale_to(target: Target, unit: str | None) -> float:
    """Factor from a source's unit to the stored one.

    Raises
    ------
    InputError
        When the unit does not belong to the metric.
    """
    stored = target.metric.unit
    if unit is None or unit == stored:
        return 1.0
    if not stored:
        raise InputError(
            f"'{target.path}' is a code or a count, it has no unit '{unit}'",
            "leave the unit out",
            "unit",
        )
    dimension = DIMENSION_OF_UNIT.get(stored)
    if dimension is None:
        raise InputError(f"'{unit}' is no unit of {target.path}", f"write '{stored}'", "unit")
    known = tuple(DIMENSIONS[dimension].units)
    if unit not in known:
        near = did_you_mean(unit, known) or f"units: {', '.join(known)}"
        raise InputError(f"'{unit}' is no unit of {target.path} ({dimension})", near, "unit")
    return convert(1.0, unit, stored)


def source_unit(binding: Binding) -> str:
    """Unit at the source of a binding; empty where it is the stored one or unknown."""
    dimension = DIMENSION_OF_UNIT.get(binding.unit)
    if binding.scale == 1.0 or dimension is None:
        return ""
    units = DIMENSIONS[dimension].units
    return next((u for u in units if convert(1.0, u, binding.unit) == binding.scale), "")


def _names(text: str, where: str) -> frozenset[str]:
    rest = PLACEHOLDER.sub("", text)
    if "{" in rest or "}" in rest:
        raise InputError(
            f"'{text}' holds a brace that is no placeholder",
            "write {name} or {name**}, a-z, 0-9 and _",
            where,
        )
    return frozenset(found.group(1) for found in PLACEHOLDER.finditer(text))


def _matches(to: str, catalogue: Catalogue) -> Iterator[tuple[Target, dict[str, str]]]:
    targets = catalogue.targets
    if "{" not in to:
        if to in targets:
            yield targets[to], {}
        return
    pattern = pattern_of(to)
    for path, target in targets.items():
        found = pattern.fullmatch(path)
        if found is not None and _types_agree(found, catalogue.types):
            yield target, found.groupdict()


def _types_agree(found: re.Match[str], types: Mapping[str, str]) -> bool:
    """Whether every placeholder that is named like an asset type stands for such an asset."""
    return all(
        types.get(found.string[: found.end(name)]) == name
        for name in found.re.groupindex
        if name in TYPE_LABELS
    )


def _filled(template: str, values: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda found: values[found.group(1)], template)


def _check_identifier(node: str) -> None:
    kind, _, text = node.partition("=")
    if kind == "i" and not (text.isascii() and text.isdigit() and int(text) < 2**32):
        raise InputError(f"'{node}' is no numeric node id", "write i=<0…4294967295>", "match")
    if kind == "g" and not _GUID.fullmatch(text):
        raise InputError(f"'{node}' is no GUID node id", "write g=xxxxxxxx-xxxx-…", "match")


def _near_target(to: str, targets: Mapping[str, Target]) -> str:
    """What the author probably meant: the metric of a known asset, or a near path."""
    if "{" in to:
        return "check the parts without placeholders against `parktwin tags`"
    asset, _, metric = to.rpartition("/")
    metrics = tuple(t.metric.name for t in targets.values() if t.asset == asset)
    if metrics:
        return did_you_mean(metric, metrics) or f"metrics: {', '.join(metrics)}"
    return did_you_mean(to, tuple(targets)) or "no asset of that id has tags"
