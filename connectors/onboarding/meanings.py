"""What a name says about a quantity: which metric of an asset, and how surely."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.onboarding.words import Term

_Sets = tuple[tuple[frozenset[str], float], ...]


def _sets(text: str) -> _Sets:
    """``POWER ACTIVE | KW 0.95``: alternatives of concepts that must all be there."""
    found = []
    for one in text.split("|"):
        parts = one.split()
        strength = float(parts.pop()) if parts[-1][0].isdigit() else 1.0
        found.append((frozenset(parts), strength))
    return tuple(found)


_MEANINGS: Final[Mapping[str, _Sets]] = {
    name: _sets(said)
    for name, said in {
        "active_power": "POWER | POWER ACTIVE | KW 0.95 | SYM_P 0.9 | POWER SYM_P | SYM_P KW",
        "reactive_power": "POWER REACTIVE | KVAR 0.95 | SYM_Q 0.9 | POWER SYM_Q | REACTIVE 0.8",
        "active_energy": "ENERGY | ENERGY ACTIVE | KWH 0.95 | YIELD 0.95 | SYM_E 0.85",
        "reactive_energy": "ENERGY REACTIVE | KVARH 0.95 | SYM_EQ 0.9",
        "voltage": "VOLTAGE | SYM_U 0.9",
        "current": "CURRENT | SYM_I 0.9",
        "temperature": "TEMPERATURE",
        "oil_temperature": "TEMPERATURE OIL | SYM_T OIL 0.9",
        "module_temperature": "TEMPERATURE MODULE | SYM_T MODULE 0.95",
        "air_temperature": "TEMPERATURE AIR | TEMPERATURE 0.85 | SYM_T AIR 0.9",
        "part_count": "PART COUNT | PART TOTAL | PART PRODUCED | PART 0.8 | COUNT 0.88"
        " | OUTPUT 0.85 | PRODUCED COUNT 0.9 | SP COUNT 0.9",
        "scrap_count": "SCRAP | SCRAP PART | SCRAP COUNT",
        "cycle_time": "CYCLE TIME | CYCLE 0.95",
        "item_state": "STATE 0.97",
        "operation_mode": "MODE 0.97",
        "vibration": "VIBRATION",
        "level": "LEVEL | PART COUNT 0.8",
        "breaker": "BREAKER",
        "irradiance": "IRRADIANCE",
        "strings_ok": "STRINGS",
        "state_of_charge": "SOC",
        "energy_in": "ENERGY CHARGED | CHARGED 0.95 | KWH CHARGED | ENERGY IMPORT 0.8",
        "energy_out": "ENERGY DISCHARGED | DISCHARGED 0.95 | KWH DISCHARGED",
        "queue": "QUEUE | VEHICLE WAITING",
        "lanes_busy": "LANE BUSY",
        "entries": "ENTRY | COUNT IN | VEHICLE IN",
        "exits": "EXIT | COUNT OUT | VEHICLE OUT",
        "turn_time": "TURN",
        "occupied": "OCCUPIED | SLOT BUSY",
        "busy": "BUSY | OCCUPIED 0.95",
        "tonnes": "TONNE",
        "flow": "FLOW",
        "volume": "VOLUME",
        "cod": "COD",
        "steam_flow": "FLOW STEAM | FLOW 0.9",
        "pressure": "PRESSURE",
    }.items()
}
_ANY: Final = frozenset({"TOTAL", "ACTUAL", "OF", "MACHINERY"})
_ALSO: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(said.split())
    for name, said in {
        "active_power": "ACTIVE KW CONSUMED ELECTRIC GENERATED IMPORT",
        "reactive_power": "KVAR",
        "active_energy": "ACTIVE KWH CONSUMED ELECTRIC IMPORT GENERATED YIELD",
        "reactive_energy": "KVARH IMPORT",
        "voltage": "LINE_TO_LINE !AVERAGE",
        "current": "MOTOR ELECTRIC",
        "oil_temperature": "TOP",
        "part_count": "COUNT PART PRODUCED TREATED SP",
        "scrap_count": "COUNT PART PRODUCED SP",
        "cycle_time": "LAST TIME",
        "item_state": "OPERATION",
        "operation_mode": "OPERATION",
        "vibration": "RMS",
        "breaker": "CLOSED STATE",
        "irradiance": "GLOBAL",
        "energy_in": "ENERGY KWH",
        "energy_out": "ENERGY KWH",
        "queue": "COUNT",
        "entries": "COUNT VEHICLE",
        "exits": "COUNT VEHICLE",
        "occupied": "SLOT COUNT",
        "tonnes": "TREATED",
        "flow": "OUTLET TREATED",
        "volume": "TREATED OUTLET",
        "cod": "OUTLET",
        "pressure": "STEAM",
        "steam_flow": "PRODUCED GENERATED",
        "level": "COUNT",
    }.items()
}
_OTHER_QUANTITY: Final = 0.45
_UNKNOWN_WORD: Final = 0.55
_UNKNOWN_NUMBER: Final = 0.5
_QUALIFIED: Final = 0.1


@dataclass(frozen=True, slots=True)
class Meaning:
    """How surely a name says a metric: 0 to 1, with what it was that said or spoke against it."""

    score: float
    said: str
    against: tuple[tuple[str, str], ...] = ()
    """Qualifiers and words that are not explained: (code, word)."""


NOTHING: Final = Meaning(0.0, "")


def meaning(metric: str, found: Sequence[Term], explained: Iterable[str]) -> Meaning:
    """How surely terms say a metric.

    Parameters
    ----------
    metric
        Name of the metric.
    found
        Terms of the name.
    explained
        Words that the asset's own name explains; they count neither for nor against.
    """
    own = frozenset(explained)
    concepts = _present_tense(found)
    best = NOTHING
    for wanted, strength in _MEANINGS.get(metric, ()):
        if not wanted.issubset(concepts):
            continue
        score, against = strength, []
        allowed = wanted | _ANY | _ALSO.get(metric, frozenset())
        for term, concept in zip(found, concepts, strict=True):
            if concept in allowed or (set(term.said.split()) <= own and concept not in wanted):
                continue
            factor, code = _penalty(term, concept)
            score *= factor
            against.append((code, term.said))
        if score > best.score:
            said = " ".join(t.said for t, c in zip(found, concepts, strict=True) if c in wanted)
            best = Meaning(score, said, tuple(against))
    return best


def _present_tense(found: Sequence[Term]) -> tuple[str, ...]:
    """Concepts, with ``current`` before another quantity read as *present*, not as amperes."""
    concepts = [term.concept for term in found]
    others = {c for c in concepts if c in _QUANTITIES and c != "CURRENT"}
    if others:
        concepts = ["ACTUAL" if t.said in {"current", "curr"} else c
                    for t, c in zip(found, concepts, strict=True)]  # fmt: skip
    return tuple(concepts)


_QUANTITIES: Final = frozenset(
    {
        "POWER", "ENERGY", "VOLTAGE", "TEMPERATURE", "VIBRATION", "PRESSURE", "FLOW", "VOLUME",
        "LEVEL", "STATE", "MODE", "CYCLE", "PART", "COUNT", "SCRAP",
    }
)  # fmt: skip


def _penalty(term: Term, concept: str) -> tuple[float, str]:
    if concept.startswith("!"):
        return _QUALIFIED, f"qualifier.{concept[1:].lower()}"
    if concept == "SP":
        return _QUALIFIED, "qualifier.setpoint"
    if term.number:
        return _UNKNOWN_NUMBER, "number.unexplained"
    if term.known:
        return _OTHER_QUANTITY, "word.other_quantity"
    return _UNKNOWN_WORD, "word.unexplained"


def known(metric: str) -> bool:
    """Whether there is a rule for this metric."""
    return metric in _MEANINGS
