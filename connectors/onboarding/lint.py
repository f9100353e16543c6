"""What is wrong with a mapping before a value counts: units, ranges, duplicates, dead nodes.

Each finding names the node, the tag, what it rests on and what to do. Nothing is guessed away: a
finding is advice, and the mapping is the integrator's.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.eu_units import unit_in, unit_of
from connectors.onboarding.seen import SeenNode
from models.units import DIMENSION_OF_UNIT, convert
from twin.tags import Binding, Kind

_NUMERIC: Final = frozenset(
    {
        "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
        "Float", "Double", "Number", "Integer", "UInteger", "Enumeration", "Duration",
    }
)  # fmt: skip
_REAL: Final = frozenset({"Float", "Double", "Number", "Duration"})
_SHORT: Final = frozenset({"SByte", "Byte", "Int16", "UInt16"})
_LEAST_LOOKS: Final = 3
_PLAUSIBLE: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (-50.0, 1800.0),
    "oil_temperature": (-20.0, 180.0),
    "module_temperature": (-20.0, 120.0),
    "air_temperature": (-20.0, 60.0),
    "state_of_charge": (0.0, 100.0),
    "irradiance": (-10.0, 1600.0),
    "voltage": (0.0, 550.0),
    "vibration": (0.0, 200.0),
    "cycle_time": (0.0, 86_400.0),
    "pressure": (-1.0, 400.0),
    "part_count": (0.0, 1e12),
    "scrap_count": (0.0, 1e12),
}
"""Metric → what its stored value can be at all; outside it the unit or the node is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding.

    Parameters
    ----------
    code
        What it is, e.g. ``unit.wrong``.
    severity
        ``error``: the values would be wrong; ``warning``: look at it.
    node, path
        Node and tag path.
    why, remedy
        What it rests on, and what to do.
    """

    code: str
    severity: str
    node: str
    path: str
    why: str
    remedy: str


def lint(bindings: Iterable[Binding], nodes: Sequence[SeenNode]) -> tuple[Finding, ...]:
    """Findings of a mapping, errors first.

    Parameters
    ----------
    bindings
        Mapped tags of one endpoint.
    nodes
        A crawl of it, looked at a few times (`connectors.opcua.crawl.look`).
    """
    mapped = [binding for binding in bindings if binding.identifier]
    by_node = {node.node: node for node in nodes}
    found: list[Finding] = []
    for binding in mapped:
        node = by_node.get(binding.node)
        if node is None:
            found.append(
                _finding(
                    binding, "node.missing", "error", "the server has no such node",
                    "browse it and map it anew; was it renamed?",
                )
            )  # fmt: skip
        else:
            found.extend(_of_one(binding, node))
    found.extend(_duplicates(mapped))
    found.extend(_twins(mapped, by_node))
    order = {"error": 0, "warning": 1}
    return tuple(sorted(found, key=lambda f: (order[f.severity], f.code, f.path)))


def _finding(binding: Binding, code: str, severity: str, why: str, remedy: str) -> Finding:
    return Finding(
        code=code, severity=severity, node=binding.node, path=binding.path, why=why, remedy=remedy
    )


def _of_one(binding: Binding, node: SeenNode) -> Iterator[Finding]:
    if node.node_class != "Variable":
        yield _finding(
            binding, "node.class", "error", f"it is an {node.node_class}, it has no value",
            "map one of the variables below it",
        )  # fmt: skip
        return
    yield from _type(binding, node)
    yield from _units(binding, node)
    yield from _life(binding, node)
    yield from _range(binding, node)


def _type(binding: Binding, node: SeenNode) -> Iterator[Finding]:
    if node.rank >= 0:
        yield _finding(
            binding, "type.array", "error", "it is an array", "map one element by a node of its own"
        )
    elif node.data_type and node.data_type not in _NUMERIC:
        yield _finding(
            binding, "type.text", "error", f"its type is {node.data_type}, the tag is a number",
            "map a numeric node",
        )  # fmt: skip
    elif binding.kind is Kind.STATE and node.data_type in _REAL:
        yield _finding(
            binding, "type.real", "warning", f"a state code of type {node.data_type}",
            "check that it is a state and not a measurement",
        )  # fmt: skip
    elif binding.kind is Kind.COUNTER and node.data_type in _SHORT:
        yield _finding(
            binding, "type.short", "warning", f"a counter of type {node.data_type} wraps soon",
            "use a 32-bit counter if the PLC has one",
        )  # fmt: skip
    elif binding.kind is not Kind.STATE and node.data_type == "Boolean":
        yield _finding(
            binding, "type.boolean", "error", "it is a Boolean, the tag is a quantity",
            "map the measurement itself",
        )  # fmt: skip
    if not node.access & 1:
        yield _finding(
            binding, "access.denied", "error", "the server does not let us read it",
            "allow reading for our user, or map another node",
        )  # fmt: skip


def _units(binding: Binding, node: SeenNode) -> Iterator[Finding]:
    told = unit_of(node.unit, node.unit_id) if node.unit or node.unit_id else ""
    told = told or unit_in(node.description)
    if not told or not binding.unit:
        return
    ours, theirs = DIMENSION_OF_UNIT.get(binding.unit), DIMENSION_OF_UNIT.get(told)
    if ours is None or theirs is None:
        return
    if ours != theirs:
        yield _finding(
            binding, "unit.wrong", "error",
            f"the server tells {told}, the tag is in {binding.unit}",
            "map another node, or correct EUInformation on the server",
        )  # fmt: skip
        return
    scale = convert(1.0, told, binding.unit)
    if abs(scale - binding.scale) > 1e-9 * max(abs(scale), 1.0):
        yield _finding(
            binding, "unit.scale", "error",
            f"the server tells {told}, the mapping multiplies by {binding.scale:g} instead of"
            f" {scale:g}",
            f"write unit: {told} in the mapping",
        )  # fmt: skip


def _life(binding: Binding, node: SeenNode) -> Iterator[Finding]:
    if node.status >> 30:
        yield _finding(
            binding, "node.bad", "error", f"its status is 0x{node.status:08X}",
            "repair the sensor or its line, or map another node",
        )  # fmt: skip
        return
    seen = node.observed
    if seen is None:
        return
    if seen.n == 0:
        yield _finding(
            binding, "node.dead", "error", "it never gave a number", "look at it on the PLC"
        )
    elif seen.n >= _LEAST_LOOKS and seen.distinct == 1 and binding.kind is Kind.GAUGE:
        what = "zero" if seen.most == 0.0 else f"{seen.most:g}"
        yield _finding(
            binding, "node.still", "warning", f"it stood at {what} in {seen.n} looks",
            "is it connected, and is the machine on? a steady value may be right",
        )  # fmt: skip
    if 0 < seen.good < 1:
        yield _finding(
            binding, "node.shaky", "warning", f"only {seen.good:.0%} of the looks were good",
            "check its connection",
        )  # fmt: skip


def _range(binding: Binding, node: SeenNode) -> Iterator[Finding]:
    seen = node.observed
    if seen is None or seen.n == 0:
        return
    if binding.kind is Kind.COUNTER and seen.falls:
        yield _finding(
            binding, "counter.falls", "error", f"it fell {seen.falls} times in {seen.n} looks",
            "map the counter that is never reset, not the one of a shift or an order",
        )  # fmt: skip
    if binding.kind is Kind.STATE and not seen.whole:
        yield _finding(
            binding, "state.real", "error", "its values are no whole codes", "map the state itself"
        )
    if node.span is not None and node.span[0] < node.span[1]:
        low, high = node.span
        if seen.least < low or seen.most > high:
            yield _finding(
                binding, "range.left", "warning",
                f"{seen.least:g}…{seen.most:g} is outside the server's own range {low:g}…{high:g}",
                "correct EURange, or the scaling on the PLC",
            )  # fmt: skip
    plausible = _PLAUSIBLE.get(binding.path.rpartition("/")[2])
    if plausible is not None:
        least, most = sorted((seen.least * binding.scale, seen.most * binding.scale))
        if least < plausible[0] or most > plausible[1]:
            yield _finding(
                binding, "range.implausible", "error",
                f"{least:g}…{most:g} {binding.unit} cannot be".replace("  ", " "),
                "check the unit of the mapping and the scaling on the PLC",
            )  # fmt: skip


def _duplicates(bindings: Sequence[Binding]) -> Iterator[Finding]:
    """One node under two tags."""
    by_node: dict[str, list[Binding]] = defaultdict(list)
    for binding in bindings:
        by_node[binding.node].append(binding)
    for members in by_node.values():
        for binding in members[1:]:
            yield _finding(
                binding, "node.twice", "error", f"the node is {members[0].path} too",
                "map each node once",
            )  # fmt: skip


def _twins(bindings: Sequence[Binding], nodes: Mapping[str, SeenNode]) -> Iterator[Finding]:
    """Two nodes of one kind that showed the very same moving values."""
    by_look: dict[tuple[object, ...], list[Binding]] = defaultdict(list)
    for binding in bindings:
        node = nodes.get(binding.node)
        seen = node.observed if node is not None else None
        if seen is None or seen.n < _LEAST_LOOKS or seen.distinct < _LEAST_LOOKS or seen.whole:
            continue
        metric = binding.path.rpartition("/")[2]
        by_look[metric, seen.n, seen.least, seen.most, seen.rises, seen.falls].append(binding)
    for members in by_look.values():
        for binding in members[1:]:
            if binding.node != members[0].node:
                yield _finding(
                    binding, "node.same_values", "warning",
                    f"it showed exactly the values of {members[0].path}",
                    "is one a copy of the other?",
                )  # fmt: skip
