"""Proposed mappings: which tag of the park a variable is, how surely, and why.

Asset and metric are judged apart and multiplied: the path says which asset (`places`), the name
says which metric (`meanings`), and unit, data type, what was observed and companion models speak
for or against. Then every tag goes to one node and every node to one tag, the best in sum; a tag
that two nodes claim nearly equally is proposed with doubt.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from connectors.onboarding.companion import Companions, Told, models_of
from connectors.onboarding.eu_units import unit_in, unit_of
from connectors.onboarding.meanings import NOTHING, Meaning, meaning
from connectors.onboarding.places import Place, Places, share
from connectors.onboarding.seen import SeenNode
from connectors.onboarding.words import Term, terms, words
from models.units import DIMENSION_OF_UNIT
from twin.metrics import METRICS, Metric
from twin.park import Park
from twin.tags import Kind

ACCEPT: Final = 0.7
"""Confidence from which a proposal may be taken without a look (calibrated: see the bench)."""
LIKELY: Final = 0.4
"""Confidence below which nothing is proposed."""
_CANDIDATE: Final = 0.1
_REAL: Final = frozenset({"Float", "Double", "Number", "Duration"})
_NUMERIC: Final = _REAL | frozenset(
    {
        "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
        "Integer", "UInteger", "Enumeration",
    }
)  # fmt: skip
_CODES: Final[Mapping[str, tuple[int, int]]] = {
    "item_state": (0, 3), "operation_mode": (0, 3), "breaker": (0, 1), "busy": (0, 1),
}  # fmt: skip
_ACCEPTED_UNITS: Final = {"1", "", "%"}
_COMPONENT_MOST: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason for or against a proposal: a code a page can translate, and its text."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A node and the tag it may be.

    Parameters
    ----------
    node, path
        Node, and tag path with the park in front.
    confidence
        0 to 1.
    unit
        Unit at the source where it differs from the stored one and is known; the mapping needs it.
    reasons
        Why, the strongest first.
    """

    node: str
    path: str
    confidence: float
    unit: str
    reasons: tuple[Reason, ...]

    @property
    def sure(self) -> bool:
        """Whether it may be taken without a look."""
        return self.confidence >= ACCEPT

    @property
    def why(self) -> str:
        """The reasons as one sentence."""
        return "; ".join(reason.text for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class _Claim:
    node: int
    path: str
    score: float
    unit: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What a node tells about its quantity, whatever its asset is."""

    node: SeenNode
    names: tuple[tuple[str, ...], ...]
    told: tuple[Term, ...]
    unit: str
    companion: Told | None
    model: str


class Matcher:
    """Proposes tags of one park.

    Parameters
    ----------
    park
        The park; tags that are bound already are left out, and so are their nodes.
    """

    def __init__(self, park: Park) -> None:
        self._park = park
        self._places = Places(park, METRICS)
        self._taken_nodes = {b.node for b in park.bindings if b.identifier}
        self._taken_paths = {b.path for b in park.bindings if b.identifier}

    def match(self, nodes: Sequence[SeenNode]) -> tuple[Match, ...]:
        """Best tag for each variable, each tag at most once, the most certain first."""
        companions = Companions({node.path: node for node in nodes})
        nodes = _access_that_tells(nodes)
        claims: list[_Claim] = []
        for number, node in enumerate(nodes):
            if candidate(node) and node.node not in self._taken_nodes:
                claims.extend(self._claims(number, _leaf(node, companions)))
        return tuple(
            sorted(
                (self._judged(claim, claims_of) for claim, claims_of in _assigned(claims, nodes)),
                key=lambda m: (-m.confidence, m.path),
            )
        )

    def _judged(self, claim: _Claim, of: "_Rivals") -> Match:
        doubt, reasons = of.doubt()
        return Match(
            node=of.node,
            path=claim.path,
            confidence=round(claim.score * doubt, 3),
            unit=claim.unit,
            reasons=claim.reasons + reasons,
        )

    def _claims(self, number: int, leaf: _Leaf) -> Iterable[_Claim]:
        best: dict[str, _Claim] = {}
        for steps in _contexts(leaf):
            places = self._places.of(steps)
            ranks = [place.rank for place in places]
            for at, place in enumerate(places):
                for metric in METRICS.get(self._park.assets[place.asset].type, ()):
                    claim = self._claim(number, leaf, steps, place, metric)
                    if claim is None or claim.path in self._taken_paths:
                        continue
                    rivals = self._same_metric(places, metric)
                    alone = share([ranks[i] for i in rivals], rivals.index(at))
                    claim = _lowered(claim, alone, len(rivals))
                    was = best.get(claim.path)
                    if claim.score >= _CANDIDATE and (was is None or claim.score > was.score):
                        best[claim.path] = claim
        return best.values()

    def _same_metric(self, places: Sequence[Place], metric: Metric) -> list[int]:
        """Places whose type has the metric too: only they are rivals of each other."""
        return [
            at
            for at, place in enumerate(places)
            if any(m.name == metric.name for m in METRICS[self._park.assets[place.asset].type])
        ]

    def _claim(
        self, number: int, leaf: _Leaf, steps: Sequence[str], place: Place, metric: Metric
    ) -> _Claim | None:
        said = _meaning(leaf, steps, place, metric)
        if said.score <= 0.0:
            return None
        unit, unit_reason = _unit(leaf.unit, metric)
        kind, kind_reasons = _kind(leaf.node, metric)
        score = place.score * said.score * unit * kind
        if score < _CANDIDATE:
            return None
        reasons = [Reason(code="asset.named", text=f"path names {place.said} ({place.asset})")]
        if leaf.companion is not None and leaf.companion.metric == metric.name:
            reasons.append(
                Reason(code="companion", text=f"{leaf.companion.model} defines it as {metric.name}")
            )
        else:
            reasons.append(
                Reason(
                    code="metric.named", text=f"{said.said!r} is {metric.name.replace('_', ' ')}"
                )
            )
        reasons.extend(Reason(code=code, text=_AGAINST.get(code.split(".")[0], "{}").format(word))
                       for code, word in (*place.against, *said.against))  # fmt: skip
        reasons.extend(r for r in (unit_reason, *kind_reasons) if r is not None)
        path = f"{self._park.id}/{place.asset}/{metric.name}"
        source = leaf.unit if leaf.unit in DIMENSION_OF_UNIT and leaf.unit != metric.unit else ""
        return _Claim(number, path, min(1.0, score), source if metric.unit else "", tuple(reasons))


_AGAINST: Final[Mapping[str, str]] = {
    "asset": "but the path says {}",
    "path": "{} in the path is not explained",
    "qualifier": "{!r} makes it another quantity",
    "word": "{!r} is not explained",
    "number": "the number {} is not explained",
}


_TELLING: Final = 0.5


def _access_that_tells(nodes: Sequence[SeenNode]) -> Sequence[SeenNode]:
    """The nodes, all read-only where a server lets clients write nearly everything."""
    variables = [node for node in nodes if candidate(node)]
    writable = sum(1 for node in variables if node.writable)
    if writable <= _TELLING * len(variables):
        return nodes
    return [replace(node, access=node.access & ~2) for node in nodes]


def candidate(node: SeenNode) -> bool:
    """Whether a node can be a tag at all: a scalar variable of a number type."""
    return (
        node.node_class == "Variable"
        and (not node.data_type or node.data_type in _NUMERIC)
        and node.rank < 0
    )


def _leaf(node: SeenNode, companions: Companions) -> _Leaf:
    spoken = dict.fromkeys(words(name) for name in (node.name, *node.names.values()))
    unit = unit_of(node.unit, node.unit_id) if node.unit or node.unit_id else ""
    return _Leaf(
        node=node,
        names=tuple(spoken),
        told=terms(words(node.description)) if node.description else (),
        unit=unit or unit_in(node.description) or _unit_in_name(words(node.name)),
        companion=companions.of(node),
        model=models_of(node),
    )


_NAMED_UNITS: Final = {
    "kw": "kW", "mw": "MW", "kwh": "kWh", "mwh": "MWh", "kvar": "kvar", "kvarh": "kvarh",
}  # fmt: skip


def _unit_in_name(found: Sequence[str]) -> str:
    return next((_NAMED_UNITS[word] for word in found if word in _NAMED_UNITS), "")


def _contexts(leaf: _Leaf) -> list[list[str]]:
    """The path, and the identifier where it is a path of its own."""
    node = leaf.node
    steps = node.path.split("/")
    if leaf.companion is not None and leaf.companion.metric:
        # The steps a companion model prescribes say nothing about which machine it is.
        return [[*steps[: -leaf.companion.steps], node.name]]
    found = [steps]
    text = node.identifier
    if text and ("." in text or "/" in text):
        other = [step.strip('"[]') for step in text.replace("/", ".").split(".")]
        if [words(s) for s in other] != [words(s) for s in steps]:
            found.append([*other[:-1], node.name])
    return found


def _meaning(leaf: _Leaf, steps: Sequence[str], place: Place, metric: Metric) -> Meaning:
    companion = leaf.companion
    if companion is not None:
        if companion.metric:
            return Meaning(1.0, companion.metric) if companion.metric == metric.name else NOTHING
        return Meaning(0.2, companion.why_not, (("companion.other", companion.why_not),))
    best = NOTHING
    last = words(steps[-1])
    for name in leaf.names:
        rest = (
            tuple(w for n, w in enumerate(name) if n not in place.used)
            if name == last and place.used
            else name
        )
        found = meaning(metric.name, terms(rest), place.own)
        if found.score > best.score:
            best = found
    if leaf.told:
        said = meaning(metric.name, leaf.told, place.own | _DESCRIBING)
        # A description adds to a short name; it rarely names the quantity alone.
        if said.score > 0.5:
            score = max(best.score, 0.55 * best.score + 0.45 * said.score, 0.75 * said.score)
            best = Meaning(score, best.said or said.said, best.against)
        elif any(t.concept.startswith("!") for t in leaf.told):
            word = next(t.said for t in leaf.told if t.concept.startswith("!"))
            best = Meaning(best.score * 0.3, best.said, (*best.against, ("qualifier.told", word)))
    return best


_DESCRIBING: Final = frozenset(words("nha may plant machine may kW kvar kWh in theo from since"))


def _unit(unit: str, metric: Metric) -> tuple[float, Reason | None]:
    if not unit:
        missing = None if not metric.unit else Reason(code="unit.missing", text="no unit is told")
        return (0.97 if metric.unit else 1.0), missing
    if unit == metric.unit:
        return 1.0, Reason(code="unit.same", text=f"unit {unit}")
    if not metric.unit:
        if unit in _ACCEPTED_UNITS:
            return 1.0, None
        return 0.15, Reason(code="unit.unexpected", text=f"unit {unit} on a count or a code")
    told, wanted = DIMENSION_OF_UNIT.get(unit), DIMENSION_OF_UNIT.get(metric.unit)
    if told is not None and told == wanted:
        return 1.0, Reason(code="unit.converted", text=f"unit {unit}, converted to {metric.unit}")
    if told is None and unit.casefold() == metric.unit.casefold():
        return 1.0, Reason(code="unit.same", text=f"unit {unit}")
    return 0.05, Reason(code="unit.wrong", text=f"unit {unit} is none of {metric.name}")


def _kind(node: SeenNode, metric: Metric) -> tuple[float, list[Reason]]:
    """What data type, access and the observed values say."""
    factor, reasons = 1.0, []

    def spoke(by: float, code: str, text: str) -> None:
        nonlocal factor
        factor *= by
        reasons.append(Reason(code=code, text=text))

    if node.data_type == "Boolean" and metric.name not in {"breaker", "busy"}:
        spoke(0.1, "type.boolean", "a Boolean is no such value")
    if metric.kind is Kind.STATE and node.data_type in _REAL:
        spoke(0.4, "type.real", "a state with decimals")
    if node.writable and metric.kind is not Kind.STATE:
        spoke(0.6, "access.writable", "clients may write it, as they do setpoints")
    seen = node.observed
    if seen is None or seen.n < 3:
        return factor, reasons
    if metric.kind is Kind.COUNTER:
        if seen.falls:
            spoke(0.3, "seen.falls", "it fell while it was observed")
        elif seen.rises:
            reasons.append(Reason(code="seen.rises", text="it only rises"))
        elif node.writable:
            spoke(0.3, "seen.still", "it stood still and can be written")
    elif metric.kind is Kind.STATE:
        low, high = _CODES.get(metric.name, (0, 255))
        if not seen.whole or seen.least < low or seen.most > high:
            spoke(0.25, "seen.codes", f"values {seen.least:g}…{seen.most:g} are not its codes")
        else:
            reasons.append(Reason(code="seen.codes", text=f"codes {seen.least:g}…{seen.most:g}"))
    elif seen.distinct == 1 and node.writable:
        spoke(0.4, "seen.still", "it stood still and can be written: a setpoint")
    elif seen.n >= 8 and not seen.falls and seen.rises > seen.n // 2:
        spoke(0.6, "seen.rises", "it only rises, as counters do")
    return factor, reasons


def _lowered(claim: _Claim, alone: float, rivals: int) -> _Claim:
    if alone > 0.98:
        return claim
    text = f"{rivals} assets fit the path nearly as well"
    reason = Reason(code="asset.rivals", text=text)
    return _Claim(claim.node, claim.path, claim.score * alone, claim.unit, (*claim.reasons, reason))


@dataclass(frozen=True, slots=True)
class _Rivals:
    """The best other claims on a claim's tag and of its node."""

    node: str
    score: float
    other_node: float
    other_tag: float

    def doubt(self) -> tuple[float, tuple[Reason, ...]]:
        """A factor for how nearly somebody else fits, with the reason."""
        factor, reasons = 1.0, []
        for other, code, text in (
            (self.other_node, "tag.rival", "another node fits this tag nearly as well"),
            (self.other_tag, "node.rival", "this node fits another tag nearly as well"),
        ):
            near = other / self.score if self.score else 0.0
            if near > 0.8:
                factor *= 1.0 - 0.5 * (near - 0.8) / 0.2
                reasons.append(Reason(code=code, text=text))
        return max(factor, 0.25), tuple(reasons)


def _assigned(
    claims: Sequence[_Claim], nodes: Sequence[SeenNode]
) -> Iterable[tuple[_Claim, _Rivals]]:
    """One tag per node and one node per tag, the best in sum, piece by connected piece."""
    by_node: dict[int, list[_Claim]] = defaultdict(list)
    by_path: dict[str, list[_Claim]] = defaultdict(list)
    for claim in claims:
        by_node[claim.node].append(claim)
        by_path[claim.path].append(claim)
    for piece in _pieces(by_node, by_path):
        for claim in _best_of(piece):
            if claim.score < LIKELY:
                continue
            yield (
                claim,
                _Rivals(
                    nodes[claim.node].node,
                    claim.score,
                    max(
                        (c.score for c in by_path[claim.path] if c.node != claim.node), default=0.0
                    ),
                    max(
                        (c.score for c in by_node[claim.node] if c.path != claim.path), default=0.0
                    ),
                ),
            )


def _pieces(
    by_node: Mapping[int, Sequence[_Claim]], by_path: Mapping[str, Sequence[_Claim]]
) -> Iterable[list[_Claim]]:
    """Claims that hang together by a node or a tag."""
    left = set(by_node)
    while left:
        queue, piece = [left.pop()], []
        while queue:
            for claim in by_node[queue.pop()]:
                piece.append(claim)
                for other in by_path[claim.path]:
                    if other.node in left:
                        left.discard(other.node)
                        queue.append(other.node)
        yield piece


def _best_of(piece: Sequence[_Claim]) -> Iterable[_Claim]:
    rows = list(dict.fromkeys(claim.node for claim in piece))
    columns = list(dict.fromkeys(claim.path for claim in piece))
    if len(piece) == 1:
        return piece
    if len(rows) * len(columns) > _COMPONENT_MOST**2:
        return _greedy(piece)
    row, column = {n: i for i, n in enumerate(rows)}, {p: i for i, p in enumerate(columns)}
    worth = np.zeros((len(rows), len(columns)))
    for claim in piece:
        worth[row[claim.node], column[claim.path]] = claim.score
    chosen = set(zip(*linear_sum_assignment(worth, maximize=True), strict=True))
    return [c for c in piece if (row[c.node], column[c.path]) in chosen and c.score > 0.0]


def _greedy(piece: Sequence[_Claim]) -> list[_Claim]:
    """For a piece too large for a matrix: the best first."""
    nodes: set[int] = set()
    paths: set[str] = set()
    chosen = []
    for claim in sorted(piece, key=lambda c: (-c.score, c.path, c.node)):
        if claim.node not in nodes and claim.path not in paths:
            nodes.add(claim.node)
            paths.add(claim.path)
            chosen.append(claim)
    return chosen
