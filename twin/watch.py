"""Watching conditions: what a rule compares, with deadband and delays, for all its assets at once.

A condition becomes true when the value breaks the limit and false when it is back by more than the
deadband; the watch follows after the on or off delay. A value that is bad, stale or missing tells
nothing: the condition stays as it was, and no delay runs out on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from twin.figure_kinds import SCOPE_OF_TYPE
from twin.figure_specs import FigureLayout
from twin.figures import Now
from twin.park import Park
from twin.parkfile.schema import Rule
from twin.rules import Condition, parse_rule
from twin.status import CLASS_BAD
from twin.view import View

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_COMPARE: Final[Mapping[str, Callable[[Floats, Floats], Bools]]] = {
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
    "==": np.equal,
    "!=": np.not_equal,
}
_BACK: Final = {">": -1.0, ">=": -1.0, "<": 1.0, "<=": 1.0, "==": 0.0, "!=": 0.0}
"""Where the deadband lies: below an upper limit, above a lower one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A condition that changed: asset, whether it holds now, value and limit."""

    place: int
    holds: bool
    value: float
    limit: float


class Watch:
    """One rule over its assets.

    Parameters
    ----------
    rule
        The rule.
    park, layout
        Where its assets, limits and figures are.
    """

    def __init__(self, rule: Rule, park: Park, layout: FigureLayout) -> None:
        self.rule = rule
        types = {node.id: node.type for node in park.assets.values()}
        self.condition: Condition = parse_rule(rule.when, types)
        kind = self.condition.type
        every = [""] if kind == "park" else [node.id for node in park.of_type(kind)]
        chosen = [self.condition.scope] if self.condition.scope in types else every
        self.assets: tuple[str, ...] = tuple(chosen)
        self._rows = np.array([every.index(asset) for asset in chosen], np.int64)
        self.limits = self._limits(park)
        self._figures = np.array([self._figure(layout, asset) for asset in chosen], np.int64)
        n = len(chosen)
        self.holds: Bools = np.zeros(n, np.bool_)
        self._raw: Bools = np.zeros(n, np.bool_)
        self._since_us = np.zeros(n, np.int64)

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self.condition.unit

    def look(self, view: View, now: Now) -> list[Turned]:
        """Compare all values; return what changed after its delay, in the order of the assets."""
        value, usable = self._values(view, now)
        compare = _COMPARE[self.condition.op]
        slack = np.where(self._raw, _BACK[self.condition.op] * self.rule.deadband, 0.0)
        with np.errstate(invalid="ignore"):
            told = compare(value, self.limits + slack) & np.isfinite(self.limits)
        raw = np.where(usable, told, self._raw)
        self._since_us[raw != self._raw] = now.now_us
        self._raw = raw
        delay_us = np.where(raw, self.rule.on_delay, self.rule.off_delay) * 1e6
        due = usable & (raw != self.holds) & (now.now_us - self._since_us >= delay_us)
        self.holds = np.where(due, raw, self.holds)
        return [
            Turned(
                place=int(place),
                holds=bool(raw[place]),
                value=float(value[place]),
                limit=float(self.limits[place]),
            )
            for place in np.flatnonzero(due)
        ]

    def inputs(self, park: Park, layout: FigureLayout) -> list[tuple[str, ...]]:
        """Tag paths each asset's condition rests on."""
        if self.condition.is_metric:
            return [(f"{park.id}/{asset}/{self.condition.name}",) for asset in self.assets]
        return [layout.specs[place].inputs for place in self._figures]

    def snapshot(self) -> list[list[object]]:
        """Assets whose condition holds or is on its way: plain data."""
        busy = np.flatnonzero(self._raw | self.holds)
        return [
            [self.assets[i], bool(self._raw[i]), bool(self.holds[i]), int(self._since_us[i])]
            for i in busy
        ]

    def restore(self, rows: list[list[object]]) -> None:
        """Inverse of `snapshot`; assets that are gone are left out."""
        place = {asset: i for i, asset in enumerate(self.assets)}
        for asset, raw, holds, since in rows:
            i = place.get(str(asset))
            if i is not None:
                self._raw[i], self.holds[i] = bool(raw), bool(holds)
                self._since_us[i] = int(str(since))

    def _values(self, view: View, now: Now) -> tuple[Floats, Bools]:
        if self.condition.is_metric:
            reading = view.read(self.condition.type, self.condition.name)
            return reading.value[self._rows], reading.good[self._rows]
        value = now.value[self._figures]
        usable = np.isfinite(value) & (now.quality[self._figures] < CLASS_BAD)
        return value, usable

    def _limits(self, park: Park) -> Floats:
        if self.condition.limit is not None:
            return np.full(len(self.assets), self.condition.limit)
        name, factor = self.condition.limit_name, self.condition.factor
        found = [self._quantity(park, asset, name) for asset in self.assets]
        return np.array([np.nan if limit is None else factor * limit for limit in found])

    def _quantity(self, park: Park, asset: str, name: str) -> float | None:
        holder = park.class_of(asset) if self.condition.type == "machine" else park.elements[asset]
        found = getattr(holder, name, None)
        return None if found is None else float(found)

    def _figure(self, layout: FigureLayout, asset: str) -> int:
        if self.condition.is_metric:
            return -1
        if self.condition.type == "park":
            return layout.position[f"park.{self.condition.name}"]
        scope = SCOPE_OF_TYPE[self.condition.type]
        return layout.position[f"{scope}.{asset}.{self.condition.name}"]
