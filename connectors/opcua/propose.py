"""Proposed mappings: which tag of the park a browsed variable is likely to be, and why.

Names are compared as words: ``Day_Chuyen1.May_P01.CongSuat`` and ``Line 1/P01/Active power`` meet
at ``line 1 p 1 power``. Vietnamese is compared without its marks, with the abbreviations
integrators use. A unit the server tells (EUInformation) and the data type count for or against.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.opcua.report import BrowsedNode
from models.errors import InputError
from models.units import convert
from twin.metrics import METRICS, Metric
from twin.park import AssetNode, Park
from twin.tags import Kind

LIKELY: Final = 0.5
"""Confidence below which nothing is proposed."""

_ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "active_power": (
        "power",
        "active power",
        "p",
        "kw",
        "p act",
        "ptot",
        "cong suat",
        "cs",
        "csdt",
    ),
    "reactive_power": ("reactive power", "q", "kvar", "cong suat phan khang", "cspk"),
    "active_energy": ("energy", "kwh", "active energy", "ea", "dien nang", "wh", "dn"),
    "reactive_energy": ("kvarh", "reactive energy", "er", "dien nang phan khang"),
    "voltage": ("voltage", "u", "volt", "dien ap", "da"),
    "current": ("current", "i", "amp", "dong dien", "dong"),
    "temperature": ("temperature", "temp", "nhiet do", "nd", "t"),
    "oil_temperature": ("oil temperature", "oil temp", "nhiet do dau"),
    "module_temperature": ("module temperature", "module temp", "nhiet do tam pin"),
    "air_temperature": ("air temperature", "air temp", "ambient", "nhiet do khong khi"),
    "part_count": (
        "part count",
        "parts",
        "good count",
        "counter",
        "san pham",
        "bo dem",
        "sl",
        "dem",
    ),
    "scrap_count": ("scrap", "reject", "rejects", "ng", "phe pham", "phe"),
    "cycle_time": ("cycle time", "cycle", "ct", "chu ky", "tg chu ky"),
    "item_state": ("state", "machinery item state", "item state", "status", "trang thai", "tt"),
    "operation_mode": ("mode", "machinery operation mode", "operation mode", "che do", "cd"),
    "vibration": ("vibration", "vib", "do rung", "rung"),
    "irradiance": ("irradiance", "ghi", "poa", "buc xa"),
    "state_of_charge": ("soc", "state of charge", "muc sac"),
    "queue": ("queue", "waiting", "xe cho", "hang cho"),
    "flow": ("flow", "luu luong", "q"),
    "level": ("level", "muc", "count"),
    "breaker": ("breaker", "cb", "may cat", "mc"),
    "occupied": ("occupied", "slots", "o dang dung"),
}
_WORDS: Final[Mapping[str, str]] = {
    "l": "line", "chuyen": "line", "ln": "line", "m": "machine", "may": "machine",
    "tram": "substation", "ss": "substation", "mba": "transformer", "t": "transformer",
    "tr": "transformer", "cong": "gate", "g": "gate", "lo": "feeder", "fdr": "feeder",
    "xuong": "area", "nha": "site", "pin": "bess", "batt": "bess", "bess": "bess",
}  # fmt: skip
_GENERIC: Final = frozenset(
    {
        "line", "machine", "substation", "transformer", "gate", "feeder", "area", "site", "plant",
        "factory", "station", "hall", "nha", "may", "chuyen", "khu", "tram", "cong", "ty", "xuong",
        "the", "of", "and", "va", "so", "no", "l", "m", "t", "g", "p", "ss", "tr", "lo",
    }
)  # fmt: skip
"""Words that name no asset by themselves; with a number (``line1``) they do."""
_LEAST_WEIGHT: Final = 0.8
"""An asset right below the park is known by its own name only, which is less than a chain."""
_LEVEL_WEIGHTS: Final = (0.5, 0.3, 0.2)
_NUMERIC: Final = frozenset(
    {
        "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
        "Float", "Double", "Number", "Integer", "UInteger", "Enumeration", "Duration",
    }
)  # fmt: skip
_REAL: Final = frozenset(("Float", "Double", "Number", "Duration"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A node and the tag path it may be; `confidence` 0 to 1, `why` in words."""

    node: str
    path: str
    confidence: float
    why: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    path: str
    metric: Metric
    levels: tuple[frozenset[str], ...]
    """Words of the asset's own id, its parent's, its grandparent's."""


def propose(nodes: Iterable[BrowsedNode], park: Park) -> tuple[Proposal, ...]:
    """Best tag for each variable, each tag at most once, the most certain first.

    Parameters
    ----------
    nodes
        Browsed nodes; only variables of a number type are looked at. Nodes that are mapped already
        are left out.
    park
        Park whose unmapped tags are candidates.
    """
    mapped_nodes = {b.node for b in park.bindings if b.identifier}
    mapped_paths = {b.path for b in park.bindings if b.identifier}
    by_key: dict[str, list[_Candidate]] = defaultdict(list)
    for candidate in _candidates(park):
        if candidate.path not in mapped_paths:
            for key in candidate.levels[0]:
                by_key[key].append(candidate)
    scored: list[Proposal] = []
    for node in nodes:
        if node.node_class != "Variable" or node.node in mapped_nodes:
            continue
        if node.data_type and node.data_type not in _NUMERIC:
            continue
        keys = _keys(words(f"{node.path}/{node.node.partition(';')[2][2:]}"))
        near = {c.path: c for key in keys for c in by_key.get(key, ())}
        scored.extend(p for c in near.values() if (p := _score(node, keys, c)) is not None)
    chosen: list[Proposal] = []
    used: set[str] = set()
    for proposal in sorted(scored, key=lambda p: (-p.confidence, p.path, p.node)):
        if proposal.node in used or proposal.path in used:
            continue
        used |= {proposal.node, proposal.path}
        chosen.append(proposal)
    return tuple(chosen)


def with_proposals(nodes: Sequence[BrowsedNode], park: Park) -> tuple[BrowsedNode, ...]:
    """The nodes with their proposal, confidence and reason filled in."""
    found = {p.node: p for p in propose(nodes, park)}
    return tuple(
        replace(node, proposal=p.path, confidence=p.confidence, why=p.why)
        if (p := found.get(node.node)) is not None
        else node
        for node in nodes
    )


def words(text: str) -> tuple[str, ...]:
    """Words of a name: lower case, no marks, camel case and digits split, ``01`` as ``1``."""
    plain = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", plain)
    return tuple(
        str(int(word)) if word.isdigit() else word.lower()
        for word in re.findall(r"[A-Za-z]+|\d+", spaced)
    )


def _candidates(park: Park) -> list[_Candidate]:
    found: list[_Candidate] = []
    for asset in park.assets.values():
        levels = _levels(asset, park)
        found.extend(
            _Candidate(f"{park.id}/{asset.id}/{metric.name}", metric, levels)
            for metric in METRICS.get(asset.type, ())
        )
    return found


def _levels(asset: AssetNode, park: Park) -> tuple[frozenset[str], ...]:
    levels: list[frozenset[str]] = []
    node: AssetNode | None = asset
    while node is not None and len(levels) < len(_LEVEL_WEIGHTS):
        own = _keys(words(node.id.rpartition("/")[2]))
        named = own | _keys(words(node.label.en)) | _keys(words(node.label.vi))
        levels.append(named - _GENERIC)
        node = park.assets.get(node.parent) if node.parent else None
    return tuple(levels)


def _keys(found: Sequence[str]) -> frozenset[str]:
    """What a name is recognised by: a word with its number (``line1``, ``p1``), else the word."""
    keys: set[str] = set()
    for i, word in enumerate(found):
        after = found[i + 1] if i + 1 < len(found) else ""
        if word.isdigit():
            continue
        for form in (word, _WORDS.get(word, word)):
            keys.add(form + after if after.isdigit() else form)
    return frozenset(keys)


def _score(node: BrowsedNode, keys: frozenset[str], candidate: _Candidate) -> Proposal | None:
    metric, metric_word = _metric_score(node, candidate.metric)
    if metric == 0.0:
        return None
    asset, matched = 0.0, []
    weights = _LEVEL_WEIGHTS[: len(candidate.levels)]
    for weight, level in zip(weights, candidate.levels, strict=True):
        common = level & keys
        if common:
            asset += weight
            matched.append(max(common, key=len))
    asset /= max(sum(weights), _LEAST_WEIGHT)
    unit, unit_word = _unit_score(node.unit, candidate.metric.unit)
    kind = _kind_score(node.data_type, candidate.metric.kind)
    confidence = min(1.0, max(0.0, 0.55 * asset + 0.35 * metric + 0.1 + unit + kind))
    if confidence < LIKELY:
        return None
    why = f"name: {', '.join(matched)}; {metric_word}" + (f"; {unit_word}" if unit_word else "")
    path = candidate.path
    return Proposal(node=node.node, path=path, confidence=round(confidence, 3), why=why)


def _metric_score(node: BrowsedNode, metric: Metric) -> tuple[float, str]:
    """How well the node's last name says the metric: 1 for all of it, less for a part."""
    leaf = words(node.name)
    best, said = 0.0, ""
    names = {metric.name, metric.label.en, metric.label.vi, *_ALIASES.get(metric.name, ())}
    for name in names:
        wanted = words(name)
        if not wanted or not _contains(leaf, wanted):
            continue
        share = len(" ".join(wanted)) / max(len(" ".join(leaf)), 1)
        score = 0.6 + 0.4 * share
        if score > best:
            best, said = score, f"{node.name} is {metric.name.replace('_', ' ')}"
    return best, said


def _contains(leaf: Sequence[str], wanted: Sequence[str]) -> bool:
    size = len(wanted)
    return any(tuple(leaf[i : i + size]) == tuple(wanted) for i in range(len(leaf) - size + 1))


def _unit_score(told: str, wanted: str) -> tuple[float, str]:
    if not told or not wanted:
        return 0.0, ""
    if told == wanted or _UNIT_FORMS.get(told, told) == _UNIT_FORMS.get(wanted, wanted):
        return 0.05, f"unit {told}"
    try:
        convert(1.0, told, wanted)
    except InputError:
        return -0.3, ""
    return 0.03, f"unit {told}, converted to {wanted}"


_UNIT_FORMS: Final = {"°C": "degC", "℃": "degC", "C": "degC", "m³/h": "m3/h", "W/m²": "W/m2"}


def _kind_score(data_type: str, kind: Kind) -> float:
    if not data_type:
        return 0.0
    if kind is Kind.STATE and data_type in _REAL:
        return -0.1
    if kind is Kind.GAUGE and data_type == "Boolean":
        return -0.2
    return 0.0
