"""Outcome tables as the pages read them: bands by branch, KPIs in words, verdicts in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dashboard.tables import Floats, Times, floats, times
from dashboard.text import number, significant
from dashboard.words.book import Words

SHARE = "1"
"""Unit of a probability."""
QUANTILES = ("q05", "q25", "q50", "q75", "q95")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One paired difference: branch minus the one it is compared with."""

    branch: str
    against: str
    kpi: str
    unit: str
    difference: float
    low: float
    high: float
    p_better: float
    better: str
    material: float
    verdict: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One KPI of one branch: mean with its 95 % interval."""

    branch: str
    kpi: str
    unit: str
    mean: float
    low: float
    high: float
    n: int
    engine: str
    why: str


def series_names(bands: pa.Table) -> list[str]:
    """Return the series of an outcome, in order."""
    return list(dict.fromkeys(bands["series"].to_pylist()))


def unit_of(bands: pa.Table, series: str) -> str:
    """Return a series' unit."""
    units = bands.filter(pc.equal(bands["series"], series))["unit"].to_pylist()
    return str(units[0]) if units else ""


def branch_bands(bands: pa.Table, series: str) -> dict[str, tuple[Times, Floats]]:
    """Return branch → (times, float64[t, 5] quantiles) of one series."""
    chosen = bands.filter(pc.equal(bands["series"], series))
    made: dict[str, tuple[Times, Floats]] = {}
    for branch in dict.fromkeys(chosen["branch"].to_pylist()):
        own = chosen.filter(pc.equal(chosen["branch"], branch)).sort_by("at")
        stack = np.column_stack([floats(own, name) for name in QUANTILES])
        made[str(branch)] = (times(own), stack)
    return made


def pairs(table: pa.Table) -> list[Pair]:
    """Return the paired differences."""
    return [Pair(**_numbers(row)) for row in table.to_pylist()]


def kpis(table: pa.Table) -> list[Kpi]:
    """Return the KPIs of all branches."""
    wanted = ("branch", "kpi", "unit", "mean", "low", "high", "n", "engine", "why")
    return [Kpi(**_numbers({name: row[name] for name in wanted})) for row in table.to_pylist()]


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its missing numbers as NaN."""
    return {k: _known(v) if isinstance(v, float) or v is None else v for k, v in row.items()}


def sentence(words: Words, pair: Pair) -> str:
    """Return one difference in words: the effect first, then how sure, then the verdict."""
    language = words.language
    times, unit = difference_as(words, pair.unit)
    difference = pair.difference * times
    size = number(abs(difference), significant(difference), language)
    return words.texts[f"verdict.{_direction(pair)}"].format(
        branch=pair.branch,
        kpi=words.code("kpi", pair.kpi),
        size=f"{size} {unit}".strip(),
        against=pair.against,
        verdict=words.code("verdict.word", pair.verdict),
    )


def shown_as(words: Words, unit: str) -> tuple[float, str]:
    """Return factor and unit a number is shown in: a probability as per cent."""
    return (100.0, "%") if unit == SHARE else (1.0, words.code("unit", unit) if unit else "")


def difference_as(words: Words, unit: str) -> tuple[float, str]:
    """Return factor and unit of a difference: that of two percentages is in points."""
    times, shown = shown_as(words, unit)
    return times, words("run.points") if shown == "%" else shown


def interval(words: Words, low: float, high: float, digits: int) -> str:
    """Return an interval in brackets."""
    return f"[{number(low, digits, words.language)}; {number(high, digits, words.language)}]"


def ordered(found: Sequence[str]) -> list[str]:
    """Return each name once, in order."""
    return list(dict.fromkeys(found))


def _direction(pair: Pair) -> str:
    if pair.verdict in ("about_same", "not_enough_data"):
        return pair.verdict
    return "raises" if pair.difference > 0 else "lowers"


def _known(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
