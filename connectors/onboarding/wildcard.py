"""Rules with wildcards: many nodes by one line, also those that are added later.

``nsu=<URI>;s=Line*.Power`` matches identifiers, ``path:Line */*/Power`` matches paths of display
names. ``*`` stands for anything inside one step (between ``.`` and ``/``), ``**`` for any number of
steps, ``{name}`` as in the park file for one step that stands on both sides. A rule without
placeholders leaves the tag to the matcher: it says which nodes are looked at.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.match import Match, Matcher
from connectors.onboarding.seen import SeenNode
from models.errors import InputError
from twin.notifiers import STANDARD
from twin.park import Park
from twin.parkfile.mapping import Catalogue, bind, catalogue_of, is_rule
from twin.parkfile.schema import Mapping as MappingSpec
from twin.tags import Binding

_TOKEN: Final = re.compile(r"\*\*|\*|\{[a-z][a-z0-9_]*\}")
_LONGEST: Final = 500
_STARS_MOST: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Parameters
    ----------
    match
        ``nsu=<URI>;s=…`` or ``path:…`` with ``*``, ``**`` and ``{name}``.
    to
        Tag path below the park with the same ``{name}``; empty to let the matcher say.
    unit
        Unit at the source; empty for the stored one.
    automatic
        What it takes later is bound by itself; else it waits for a review.
    """

    match: str
    to: str = ""
    unit: str = ""
    automatic: bool = False

    def pattern(self) -> re.Pattern[str]:
        """The rule as an expression on a whole node or a whole path.

        Raises
        ------
        InputError
            When it cannot be read.
        """
        return _compiled(self)


def rules_of(mappings: Iterable[MappingSpec]) -> tuple[Rule, ...]:
    """The rules among the mappings of a park file."""
    return tuple(
        Rule(
            match=mapping.match,
            to="" if mapping.to == "auto" else mapping.to,
            unit=mapping.unit or "",
            automatic=mapping.automatic,
        )
        for mapping in mappings
        if is_rule(mapping)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """What rules made of a crawl.

    Parameters
    ----------
    bindings
        Tags with their nodes.
    open
        Nodes that a rule without a target matched and the matcher is not sure of.
    problems
        Rule → what did not work.
    rules
        Node → the rule that took it.
    """

    bindings: tuple[Binding, ...]
    open: tuple[Match, ...]
    problems: tuple[str, ...]
    rules: Mapping[str, Rule]


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """What rules make of a later crawl beside what is bound.

    Parameters
    ----------
    automatic
        Rule → the bindings it makes by itself.
    review
        Bindings of rules that wait for a review.
    open
        Nodes a rule takes and the matcher is not sure of.
    gone
        Bound nodes that the crawl did not find; none when it was not complete.
    """

    automatic: Mapping[Rule, tuple[Binding, ...]]
    review: tuple[Binding, ...]
    open: tuple[str, ...]
    gone: tuple[str, ...]


def expand_rules(
    rules: Sequence[Rule], nodes: Sequence[SeenNode], park: Park, endpoint: str
) -> Expanded:
    """Expand rules against a crawl; the first rule that takes a node or a tag keeps it.

    Parameters
    ----------
    rules, nodes
        The rules, and the crawl.
    park, endpoint
        The park whose tags are meant, and the id of the endpoint.
    """
    catalogue = catalogue_of({asset.id: asset.type for asset in park.assets.values()})
    taken: dict[str, Binding] = {}
    used: set[str] = set()
    problems: list[str] = []
    left: dict[str, SeenNode] = {}
    by: dict[str, Rule] = {}
    for rule in rules:
        try:
            pattern = rule.pattern()
        except InputError as fault:
            problems.append(str(fault))
            continue
        hits = [(n, found) for n in nodes if (found := _hit(rule, pattern, n)) is not None]
        if not hits:
            problems.append(f"{rule.match}: no node matches: check the spelling against a browse")
        for node, found in hits:
            if node.node in used:
                continue
            if not rule.to:
                left.setdefault(node.node, node)
                by.setdefault(node.node, rule)
                continue
            _bind(rule, node, found, park, endpoint, catalogue, taken, used, problems)
            if node.node in used:
                by[node.node] = rule
    rest = [node for node in left.values() if node.node not in used]
    sure, open_ = _matched(rest, nodes, park, taken)
    for match in sure:
        try:
            binding = bind(park.id, endpoint, match.node, match.path, catalogue, match.unit)
        except InputError as fault:
            problems.append(f"{match.node}: {fault.what}")
            continue
        taken[binding.path] = binding
    return Expanded(
        bindings=tuple(taken.values()), open=tuple(open_), problems=tuple(problems), rules=by
    )


def added(
    rules: Sequence[Rule],
    nodes: Sequence[SeenNode],
    park: Park,
    endpoint: str,
    bound: Iterable[Binding],
) -> tuple[Binding, ...]:
    """Bindings that rules make of a later crawl and that are not there yet.

    A tag that is bound stays as it is, here or at another endpoint of the park, whatever the rules
    would say now: a rule adds, it never takes away.
    """
    found = expand_rules(rules, nodes, park, endpoint).bindings
    return _new(found, list(bound), park)


def later(
    rules: Sequence[Rule],
    nodes: Sequence[SeenNode],
    park: Park,
    endpoint: str,
    bound: Iterable[Binding],
    *,
    unwanted: Collection[str] = (),
    complete: bool = True,
) -> Later:
    """Compare a later crawl with what is bound.

    Parameters
    ----------
    rules, nodes, park, endpoint
        As in `expand_rules`; what the park binds at other endpoints stays there.
    bound
        What is bound at this endpoint now.
    unwanted
        Nodes somebody unbound: no rule takes them again.
    complete
        Whether the crawl saw all nodes; only then one is missed.
    """
    here, wanted = list(bound), [node for node in nodes if node.node not in unwanted]
    expanded = expand_rules(rules, wanted, park, endpoint)
    new = _new(expanded.bindings, here, park)
    by_itself: dict[Rule, tuple[Binding, ...]] = {}
    for binding in new:
        rule = expanded.rules[binding.node]
        if rule.automatic:
            by_itself[rule] = (*by_itself.get(rule, ()), binding)
    known = {binding.node for binding in here if binding.identifier}
    # Of the standard's own nodes a crawl sees those with values only, and notifiers have none.
    looked_for = {b.node for b in here if b.identifier and b.namespace != STANDARD}
    seen = {node.node for node in nodes}
    return Later(
        automatic=by_itself,
        review=tuple(b for b in new if not expanded.rules[b.node].automatic),
        open=tuple(match.node for match in expanded.open if match.node not in known),
        gone=tuple(sorted(looked_for - seen)) if complete else (),
    )


def _new(found: Iterable[Binding], here: Sequence[Binding], park: Park) -> tuple[Binding, ...]:
    """Bindings whose tag is free in the whole park, and whose node is free at this endpoint."""
    paths = {binding.path for binding in (*park.bindings, *here) if binding.identifier}
    known = {binding.node for binding in here if binding.identifier}
    return tuple(b for b in found if b.path not in paths and b.node not in known)


def _bind(
    rule: Rule,
    node: SeenNode,
    found: Mapping[str, str],
    park: Park,
    endpoint: str,
    catalogue: Catalogue,
    taken: dict[str, Binding],
    used: set[str],
    problems: list[str],
) -> None:
    path = re.sub(r"\{(\w+)\}", lambda m: _slug(found.get(m.group(1), "")), rule.to)
    try:
        binding = bind(park.id, endpoint, node.node, path, catalogue, rule.unit)
    except InputError as fault:
        problems.append(f"{rule.match}: {node.node}: {fault.what}")
        return
    if binding.path in taken:
        problems.append(f"{rule.match}: {node.node}: {binding.path} has {taken[binding.path].node}")
        return
    taken[binding.path] = binding
    used.add(node.node)


def _matched(
    rest: Sequence[SeenNode], nodes: Sequence[SeenNode], park: Park, taken: Mapping[str, Binding]
) -> tuple[list[Match], list[Match]]:
    if not rest:
        return [], []
    wanted = {node.node for node in rest}
    found = [match for match in Matcher(park).match(nodes) if match.node in wanted]
    free = [match for match in found if match.path not in taken]
    return [m for m in free if m.sure], [m for m in free if not m.sure]


def _hit(rule: Rule, pattern: re.Pattern[str], node: SeenNode) -> dict[str, str] | None:
    if node.node_class != "Variable":
        return None
    text = node.path if rule.match.startswith("path:") else node.node
    found = pattern.fullmatch(unicodedata.normalize("NFC", text))
    return None if found is None else found.groupdict()


def _compiled(rule: Rule) -> re.Pattern[str]:
    text = unicodedata.normalize("NFC", rule.match)
    by_path = text.startswith("path:")
    head, _, body = ("", "", text[5:]) if by_path else text.partition(";")
    if not body or len(text) > _LONGEST:
        raise InputError(
            f"{rule.match[:80]!r} is no rule", "write nsu=<URI>;s=Line*.Power or path:Line */Power"
        )
    if not by_path and (not head.startswith("nsu=") or body[:2] not in {"s=", "i=", "g="}):
        raise InputError(
            f"{rule.match[:80]!r} is no rule", "write nsu=<URI>;s=…; a bare ns= index changes"
        )
    crowded = any(len(_TOKEN.findall(step)) > 2 for step in re.split(r"[./]", body))
    if body.count("**") > 1 or crowded or len(_TOKEN.findall(body)) > _STARS_MOST:
        # More would let one line of a file keep a core busy for hours.
        raise InputError(
            f"{rule.match[:80]!r} has too many wildcards (one **, two in a step)",
            "write several rules",
        )
    names = set(re.findall(r"\{(\w+)\}", rule.to))
    missing = names - set(re.findall(r"\{(\w+)\}", body))
    if missing:
        raise InputError(
            f"{{{sorted(missing)[0]}}} stands on one side only", "write it in 'match' too", "match"
        )
    prefix = "" if by_path else re.escape(head + ";")
    return re.compile(prefix + _expression(body, by_path=by_path))


def _expression(body: str, *, by_path: bool) -> str:
    step = r"[^/]*" if by_path else r"[^./]*"
    out, at, seen = "", 0, set()
    for token in _TOKEN.finditer(body):
        out += re.escape(body[at : token.start()])
        said = token.group()
        if said == "**":
            out += r".*"
        elif said == "*":
            out += step
        else:
            name = said[1:-1]
            out += f"(?P={name})" if name in seen else f"(?P<{name}>{step[:-1]}+)"
            seen.add(name)
        at = token.end()
    return out + re.escape(body[at:])


def _slug(text: str) -> str:
    """What stood in a node as part of a tag path: ``May Ep 1`` is ``may_ep_1``."""
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
