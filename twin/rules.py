"""The little language of alarm rules, and what a rule watches in a park.

``<scope>.<name> <comparison> <limit>``. The scope is ``park`` (``station`` is its station), an
asset type (every asset of it is watched) or an asset id (``ss1/t1``). The name is a figure or a
metric of that type. The limit is a number, with a unit where the metric has one, or the name of a
quantity of the asset (``temperature_limit``, ``road_storage``), perhaps times a number::

    station.n1_loading_pct > 120
    machine.temperature > temperature_limit
    gate.queue > 0.8 * road_storage
    ss1/t1.oil_temperature > 95 degC
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.errors import InputError, did_you_mean
from models.units import DIMENSION_OF_UNIT, DIMENSIONS, convert, quantity
from twin.figure_kinds import FIGURE_KINDS, SCOPE_OF_TYPE
from twin.metrics import METRICS

_RULE: Final = re.compile(
    r"\s*(?P<scope>[a-z][a-z0-9_/]*)\.(?P<name>[a-z][a-z0-9_]*)"
    r"\s*(?P<op><=|>=|==|!=|<|>)\s*(?P<limit>\S.*?)\s*"
)
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d+)?")
_NAMED: Final = re.compile(r"(?:(?P<factor>\d+(?:\.\d+)?)\s*\*\s*)?(?P<name>[a-z][a-z0-9_]*)")
_EXAMPLE: Final = "write e.g. `machine.temperature > 85 degC`"

LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "machine": ("temperature_limit",),
    "gate": ("road_storage", "lanes"),
    "yard": ("slots",),
    "dock": ("count",),
    "feeder": ("rating",),
    "pv": ("peak", "inverter", "strings"),
    "bess": ("power", "energy"),
    "wastewater_plant": ("cod_limit", "capacity"),
    "boiler": ("pressure",),
    "buffer": ("cap",),
}
"""Asset type → its quantities a rule may use as a limit: those whose unit a metric shares."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A parsed rule.

    Parameters
    ----------
    scope
        ``park``, an asset type or an asset id.
    type
        Asset type watched; ``park`` for figures of the park.
    name
        Figure or metric.
    is_metric
        Whether it reads a tag; else a figure.
    op
        Comparison.
    limit
        Limit in the stored unit; None when the asset says it.
    limit_name, factor
        Quantity of the asset, and what it is multiplied by.
    unit
        Stored unit of what is watched.
    """

    scope: str
    type: str
    name: str
    is_metric: bool
    op: str
    limit: float | None
    limit_name: str = ""
    factor: float = 1.0
    unit: str = ""


def parse_rule(when: str, types: Mapping[str, str]) -> Condition:
    """Read a rule's `when`.

    Parameters
    ----------
    when
        The text.
    types
        Asset id → type, of the park.

    Raises
    ------
    InputError
        When it is no rule, or names what the park does not have.
    """
    found = _RULE.fullmatch(when)
    if found is None:
        raise InputError(f"'{when}' is no rule", _EXAMPLE)
    scope, name = found["scope"], found["name"]
    kind, name, is_metric, unit = _watched(scope, name, types)
    limit, limit_name, factor = _limit(found["limit"], kind, unit)
    return Condition(
        scope=scope,
        type=kind,
        name=name,
        is_metric=is_metric,
        op=found["op"],
        limit=limit,
        limit_name=limit_name,
        factor=factor,
        unit=unit,
    )


def _watched(scope: str, name: str, types: Mapping[str, str]) -> tuple[str, str, bool, str]:
    """Type, name, whether it is a metric, and unit of what a rule watches."""
    if scope in ("park", "station"):
        figures = {kind.name: kind.unit for kind in FIGURE_KINDS["park"]}
        for candidate in (name, f"station_{name}") if scope == "station" else (name,):
            if candidate in figures:
                return "park", candidate, False, figures[candidate]
        raise _unknown(scope, name, tuple(figures))
    kind = types.get(scope, scope)
    metrics = {metric.name: metric.unit for metric in METRICS.get(kind, ())}
    figures = {f.name: f.unit for f in FIGURE_KINDS.get(SCOPE_OF_TYPE.get(kind, ""), ())}
    if kind not in METRICS and not figures:
        known = ("park", "station", *METRICS, *SCOPE_OF_TYPE, *types)
        near = did_you_mean(scope, tuple(dict.fromkeys(known)))
        raise InputError(f"'{scope}' is no asset type and no asset", near or _EXAMPLE)
    if name in metrics:
        return kind, name, True, metrics[name]
    if name in figures:
        return kind, name, False, figures[name]
    raise _unknown(kind, name, (*metrics, *figures))


def _unknown(kind: str, name: str, known: tuple[str, ...]) -> InputError:
    near = did_you_mean(name, known) or f"known: {', '.join(known)}"
    return InputError(f"'{name}' is no figure or metric of {kind}", near)


def _limit(text: str, kind: str, unit: str) -> tuple[float | None, str, float]:
    """A number in the stored unit, or the name of a quantity with its factor."""
    if _NUMBER.fullmatch(text):
        return float(text), "", 1.0
    named = _NAMED.fullmatch(text)
    if named is not None:
        known = LIMITS.get(kind, ())
        name = named["name"]
        if name not in known:
            near = did_you_mean(name, known) or (
                f"known: {', '.join(known)}" if known else "write a number"
            )
            raise InputError(f"'{name}' is no quantity of {kind}", near)
        return None, name, float(named["factor"] or 1.0)
    dimension = DIMENSION_OF_UNIT.get(unit.replace("°C", "degC"))
    if dimension is None:
        shown = f"a number in {unit}" if unit else "a number without a unit"
        raise InputError(f"'{text}' is no limit here", f"write {shown}")
    stored = unit.replace("°C", "degC")
    value = quantity(text, dimension)
    return convert(value, DIMENSIONS[dimension].canonical, stored), "", 1.0
