"""Rules with wildcards: many nodes by one line, also those that are added later.

``nsu=<URI>;s=Line*.Power`` matches identifiers, ``path:Line */*/Power`` matches paths of display
names. ``*`` stands for anything inside one step (between ``.`` and ``/``), ``**`` for any number of
steps, ``{name}`` as in the park file for one step that stands on both sides. A rule without
placeholders leaves the tag to the matcher: it says which nodes are looked at.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.match import Match, Matcher
from connectors.onboarding.seen import SeenNode
from models.errors import InputError
from twin.park import Park
from twin.parkfile.mapping import Catalogue, bind, catalogue_of
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
    """

    match: str
    to: str = ""
    unit: str = ""

    def pattern(self) -> re.Pattern[str]:
        """The rule as an expression on a whole node or a whole path.

        Raises
        ------
        InputError
            When it cannot be read.
        """
        return _compiled(self)


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
    """

    bindings: tuple[Binding, ...]
    open: tuple[Match, ...]
    problems: tuple[str, ...]


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
                continue
            _bind(rule, node, found, park, endpoint, catalogue, taken, used, problems)
    rest = [node for node in left.values() if node.node not in used]
    sure, open_ = _matched(rest, nodes, park, taken)
    for match in sure:
        binding = bind(park.id, endpoint, match.node, match.path, catalogue, match.unit)
        taken[binding.path] = binding
    return Expanded(bindings=tuple(taken.values()), open=tuple(open_), problems=tuple(problems))


def added(
    rules: Sequence[Rule],
    nodes: Sequence[SeenNode],
    park: Park,
    endpoint: str,
    bound: Iterable[Binding],
) -> tuple[Binding, ...]:
    """Bindings that rules make of a later crawl and that are not there yet.

    A tag that is bound stays as it is, whatever the rules would say now: a rule adds, it never
    takes away.
    """
    here = list(bound)
    paths = {binding.path for binding in here if binding.identifier}
    known = {binding.node for binding in here if binding.identifier}
    found = expand_rules(rules, nodes, park, endpoint).bindings
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
