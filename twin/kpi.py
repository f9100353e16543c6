"""ISO 22400 KPIs of lines, sites and the park over any windows of history.

A pure function of rollups (`twin.memory.windows.WINDOWS`): the elements of each window are summed,
then divided; a KPI with less than `min_good` of its window observed is uncertain, never zero.
Formulas as in ISO 22400-2 (confirmed against a published ontology of the standard, not its text).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from twin.line_map import line_map_of, places_of
from twin.marks import CODES
from twin.oee import (
    SETUP,
    Elements,
    counted,
    divided,
    lasted,
    line_elements,
    machine_elements,
    raw_ratios,
)
from twin.park import Park
from twin.samples import TIME
from twin.status import CLASS_BAD, CLASS_GOOD, CLASS_UNCERTAIN
from twin.tag_past import Span, TagPast, since_ever
from twin.tags import Kind, TagDictionary
from twin.working_hours import WorkingHours

Floats = npt.NDArray[np.float64]

METRICS_READ: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "item_state": Kind.STATE,
        "operation_mode": Kind.STATE,
        "part_count": Kind.COUNTER,
        "scrap_count": Kind.COUNTER,
    }
)
"""Metrics of a machine, and as what their tags are read; all of them are codes or counts."""
MAX_WINDOWS: Final = 100_000

KPIS: Final = pa.schema(
    [
        pa.field("asset", pa.string(), nullable=False),
        pa.field("at", TIME, nullable=False),
        pa.field("kpi", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("good_fraction", pa.float64(), nullable=False),
        pa.field("plan_seen", pa.float64()),
        pa.field("quality", pa.uint8(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
        pa.field("formula", pa.string(), nullable=False),
    ]
)
"""One row per asset (empty for the park), window and KPI; ``value`` is null where it is unknown,
``why`` is the reason then (`WHY`) and empty otherwise. ``good_fraction`` is the share of the window
that was observed, ``plan_seen`` that of its planned time (null where nothing was planned): planned
time that nobody saw is not in PBT. ``quality`` is 0 good, 1 uncertain (too little observed, a ratio
or E above 100 %), 2 without a value."""

NOT_PLANNED, NOT_OBSERVED, TOO_SHORT, TOO_FEW, NO_DIVISOR = WHY = (
    "not_planned",
    "not_observed",
    "too_short",
    "too_few_parts",
    "nothing_made",
)
"""Why a KPI has no value: no planned time; none of it observed; less time than `twin.oee` asks of a
divisor; fewer parts than that; nothing was made or ran."""

WHOLE: Final = 0.999
"""Share of a window from which on it counts as observed throughout."""
_PIECES_US: Final = tuple(minutes * 60_000_000 for minutes in (15, 5, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One KPI: its name, unit, formula, how it follows from elements, and what it is divided by.

    Parameters
    ----------
    time
        The time it is divided by, or that its rate refers to; None for none.
    parts
        Whether it is divided by parts.
    """

    name: str
    unit: str
    formula: str
    of: Callable[[Elements], Floats]
    time: Callable[[Elements], Floats] | None = None
    parts: bool = False


def _busy(e: Elements) -> Floats:
    return e.apt_s + e.aust_s + e.adet_s


KPI_LIST: Final = (
    Kpi(
        name="availability",
        unit="%",
        formula="APT / PBT",
        of=lambda e: 100.0 * raw_ratios(e).availability,
        time=lambda e: e.pbt_s,
    ),
    Kpi(
        name="effectiveness",
        unit="%",
        formula="PRI · PQ / APT",
        of=lambda e: 100.0 * raw_ratios(e).effectiveness,
        time=lambda e: e.apt_s,
    ),
    Kpi(
        name="quality_ratio",
        unit="%",
        formula="GQ / PQ",
        of=lambda e: 100.0 * raw_ratios(e).quality,
        parts=True,
    ),
    Kpi(
        name="oee",
        unit="%",
        formula="(APT / PBT) · (PRI · PQ / APT) · (GQ / PQ)",
        of=lambda e: 100.0 * raw_ratios(e).oee,
        time=lambda e: e.pbt_s,
    ),
    Kpi(
        name="nee",
        unit="%",
        formula="((APT + AUST) / PBT) · (PRI · PQ / APT) · (GQ / PQ)",
        of=lambda e: (
            100.0
            * divided(e.apt_s + e.aust_s, e.pbt_s)
            * raw_ratios(e).effectiveness
            * raw_ratios(e).quality
        ),
        time=lambda e: e.pbt_s,
    ),
    Kpi(
        name="utilization_efficiency",
        unit="%",
        formula="APT / AUBT, AUBT = APT + AUST + ADET",
        of=lambda e: 100.0 * divided(e.apt_s, _busy(e)),
        time=_busy,
    ),
    Kpi(
        name="allocation_efficiency",
        unit="%",
        formula="AUBT / PBT",
        of=lambda e: 100.0 * divided(_busy(e), e.pbt_s),
        time=lambda e: e.pbt_s,
    ),
    Kpi(
        name="technical_efficiency",
        unit="%",
        formula="APT / (APT + ADET)",
        of=lambda e: 100.0 * divided(e.apt_s, e.apt_s + e.adet_s),
        time=lambda e: e.apt_s + e.adet_s,
    ),
    Kpi(
        name="setup_ratio",
        unit="%",
        formula="AUST / AUPT, AUPT = APT + AUST",
        of=lambda e: 100.0 * divided(e.aust_s, e.apt_s + e.aust_s),
        time=lambda e: e.apt_s + e.aust_s,
    ),
    Kpi(
        name="throughput_rate",
        unit="/h",
        formula="PQ / AOET, AOET = APT + AUST + ADET + ADOT",
        of=lambda e: 3600.0 * divided(e.made, _busy(e) + e.adot_s),
        time=lambda e: _busy(e) + e.adot_s,
    ),
    Kpi(
        name="scrap_ratio",
        unit="%",
        formula="SQ / PQ",
        of=lambda e: 100.0 * divided(e.made - e.good, e.made),
        parts=True,
    ),
    Kpi(name="good_quantity", unit="", formula="GQ = PQ − SQ", of=lambda e: e.good),
)
"""KPIs in the order they are listed."""
_PACED: Final = ("effectiveness", "oee", "nee")
"""KPIs that E above 100 % makes doubtful."""
_PLANNED: Final = ("availability", "oee", "nee", "allocation_efficiency")
"""KPIs that are divided by planned time."""


def kpi_tags(park: Park, dictionary: TagDictionary) -> tuple[int, ...]:
    """Tags whose rollups `kpis` needs; metrics that were never mapped are left out."""
    return tuple(_machine_spans(park, dictionary))


def state_tags(park: Park, dictionary: TagDictionary) -> tuple[int, ...]:
    """Tags of machine states: their good seconds say when a machine was observed."""
    found = _machine_spans(park, dictionary)
    return tuple(tag for tag, (_, metric, _) in found.items() if metric == "item_state")


def piece_us(since_us: int, until_us: int, every_us: int | None) -> int | None:
    """Length of the pieces of a window in which planned and observed time are held together [us].

    None where no usual piece divides the window: then the plan is taken to be observed evenly.
    """
    if every_us is None:
        fits = (piece for piece in _PIECES_US if piece < until_us - since_us)
    else:
        fits = (piece for piece in _PIECES_US if piece < every_us and every_us % piece == 0)
    return next(fits, None)


def partly_observed(
    rows: pa.Table, states: Sequence[int], since_us: int, until_us: int, every_us: int | None
) -> bool:
    """Whether any window of those machine states was not observed throughout."""
    starts, ends = _windows(since_us, until_us, every_us)
    known = rows.filter(pc.is_in(rows.column("tag"), pa.array(states, pa.int32())))
    if known.num_rows < len(starts) * len(states):
        return True
    at_us = known.column("at").cast(pa.int64()).to_numpy()
    good_s = pc.fill_null(known.column("good_s"), 0.0).to_numpy()
    length_us = np.minimum(at_us + (ends[0] - starts[0]), until_us) - at_us
    return bool((good_s < WHOLE * length_us / 1e6).any())


def _machine_spans(
    park: Park, dictionary: TagDictionary
) -> dict[int, tuple[int, str, tuple[Span, ...]]]:
    """Of each tag that is or was a machine's: the machine, the metric, and when."""
    past = TagPast(dictionary)
    found: dict[int, tuple[int, str, tuple[Span, ...]]] = {}
    for number, node in enumerate(park.of_type("machine")):
        for metric, kind in METRICS_READ.items():
            spans = past.of(f"{park.id}/{node.id}/{metric}")
            (fitting,) = since_ever([[span for span in spans if span.binding.kind is kind]])
            for span in fitting:
                *_, before = found.get(span.tag, (number, metric, ()))
                found[span.tag] = (number, metric, (*before, span))
    return found


def kpis(
    park: Park,
    dictionary: TagDictionary,
    rows: pa.Table,
    *,
    since_us: int,
    until_us: int,
    every_us: int | None = None,
    seen: pa.Table | None = None,
) -> pa.Table:
    """KPIs per window.

    Parameters
    ----------
    park, dictionary
        Lines and their tags.
    rows
        Rollups of `kpi_tags` read with the same window and step: columns tag, at, good_s,
        increase, codes, code_s.
    since_us, until_us, every_us
        Left-closed window and its step [us]; None makes one window of it.
    seen
        Rollups of `state_tags` over the same span in steps of `piece_us`, for windows that were
        observed in part; None takes the plan to be observed as evenly as the window.

    Returns
    -------
    pa.Table
        Schema `KPIS`, by asset, window, KPI: lines, then sites, then the park.

    Raises
    ------
    InputError
        When the window or the step makes no sense.
    """
    starts, ends = _windows(since_us, until_us, every_us)
    if not park.of_type("line"):
        return KPIS.empty_table()
    gathered = _Gathered(park, dictionary, rows, (starts, ends))
    hours = WorkingHours(park)
    if seen is not None:
        piece = piece_us(since_us, until_us, every_us) or ends[0] - starts[0]
        gathered.see(seen, hours, piece, until_us)
    blocks: list[pa.Table] = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        lines = gathered.lines(place, hours.planned_s(start, end), (end - start) / 1e6)
        blocks.append(_window_table(park, lines, start))
    return pa.concat_tables(blocks).sort_by([("asset", "ascending"), ("at", "ascending")])


def _windows(since_us: int, until_us: int, every_us: int | None) -> tuple[list[int], list[int]]:
    if until_us <= since_us:
        raise InputError("the window is empty", "until must lie after since", "until")
    step = every_us if every_us is not None else until_us - since_us
    if step <= 0:
        raise InputError(f"a step of {step} us", "it must be positive", "every")
    if (until_us - since_us) / step > MAX_WINDOWS:
        raise InputError(
            f"{(until_us - since_us) // step} windows", f"at most {MAX_WINDOWS}", "every"
        )
    starts = list(range(since_us, until_us, step))
    return starts, [min(start + step, until_us) for start in starts]


class _Gathered:
    """Rollup rows by window and machine, summed over the tags a metric has had."""

    def __init__(
        self,
        park: Park,
        dictionary: TagDictionary,
        rows: pa.Table,
        windows: tuple[list[int], list[int]],
    ) -> None:
        starts, ends = windows
        machines = [node.id for node in park.of_type("machine")]
        self._map = line_map_of(park)
        self._pri_s = np.array([park.class_of(machine).cycle_time for machine in machines], float)
        shape = (len(starts), len(machines))
        self._item_s, self._setup_s = np.zeros((*shape, CODES)), np.zeros(shape)
        self._seen_s, self._made, self._scrap = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._plan_seen_s: Floats | None = None
        self._starts = np.array(starts, np.int64)
        self._places = place = _machine_spans(park, dictionary)
        window = {start: number for number, start in enumerate(starts)}
        columns = ("tag", "at", "good_s", "increase", "codes", "code_s")
        plain = rows.select(list(columns)).set_column(1, "at", rows.column("at").cast(pa.int64()))
        for row in plain.to_pylist():
            found, at = place.get(row["tag"]), window.get(row["at"])
            if found is None or at is None:
                continue
            machine, metric, spans = found
            if any(span.overlaps(starts[at], ends[at]) for span in spans):
                self._take(at, machine, metric, row)

    def _take(self, window: int, machine: int, metric: str, row: Mapping[str, Any]) -> None:
        at = (window, machine)
        if metric == "part_count":
            self._made[at] += _number(row["increase"])
        elif metric == "scrap_count":
            self._scrap[at] += _number(row["increase"])
        else:
            seconds = np.zeros(CODES)
            for code, held in zip(row["codes"] or [], row["code_s"] or [], strict=True):
                if 0 <= code < CODES:
                    seconds[code] += held
            if metric == "item_state":
                self._item_s[at] += seconds
                self._seen_s[at] += _number(row["good_s"])
            else:
                self._setup_s[at] += seconds[SETUP]

    def see(self, rows: pa.Table, hours: WorkingHours, piece_us: int, until_us: int) -> None:
        """Sum the planned time of every machine that was observed, piece by piece."""
        found = self._plan_seen_s = np.zeros(self._seen_s.shape)
        at_us = rows.column("at").cast(pa.int64()).to_pylist()
        good = rows.column("good_s").to_pylist()
        planned: dict[int, Floats] = {}
        for tag, start, good_s in zip(rows.column("tag").to_pylist(), at_us, good, strict=True):
            known = self._places.get(tag)
            if known is None or not good_s:
                continue
            end = min(start + piece_us, until_us)
            if start not in planned:
                planned[start] = hours.planned_s(start, end)
            machine = known[0]
            share = min(1.0, good_s * 1e6 / (end - start))
            window = int(np.searchsorted(self._starts, start, "right")) - 1
            found[window, machine] += share * planned[start][self._map.line[machine]]

    def _observed_plan_s(self, window: int, plan_s: Floats, window_s: float) -> Floats:
        """Planned time of each machine in a window that was observed."""
        if self._plan_seen_s is not None:
            return np.asarray(np.minimum(self._plan_seen_s[window], plan_s))
        return np.asarray(plan_s * np.minimum(self._seen_s[window] / window_s, 1.0))

    def lines(self, window: int, planned_s: Floats, window_s: float) -> Elements:
        """Elements of the lines in one window."""
        plan_s = planned_s[self._map.line]
        machines = machine_elements(
            item_s=self._item_s[window],
            setup_s=self._setup_s[window],
            observed_s=self._seen_s[window],
            produced=self._made[window],
            scrap=self._scrap[window],
            pri_s=self._pri_s,
            plan_s=plan_s,
            pbt_s=self._observed_plan_s(window, plan_s, window_s),
            window_s=window_s,
        )
        return line_elements(machines, self._scrap[window], self._map)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _window_table(park: Park, lines: Elements, at_us: int) -> pa.Table:
    """All KPIs of one window."""
    line_ids = [node.id for node in park.of_type("line")]
    site_ids = [node.id for node in park.of_type("site")]
    site_of = places_of([line.split("/")[0] for line in line_ids], site_ids)
    groups = (
        (line_ids, lines),
        (site_ids, lines.grouped(site_of, len(site_ids))),
        ([""], lines.total()),
    )
    return pa.concat_tables(
        [_table(assets, elements, at_us, park.spec.kpis.min_good) for assets, elements in groups]
    )


def _table(assets: list[str], elements: Elements, at_us: int, min_good: float) -> pa.Table:
    found = raw_ratios(elements)
    good = np.nan_to_num(found.good_fraction)
    why = np.column_stack([_why(kpi, elements) for kpi in KPI_LIST])
    values = np.column_stack([kpi.of(elements) for kpi in KPI_LIST])
    values = np.where(why == "", values, np.nan)
    uncertain = (good < min_good)[:, None] | np.zeros_like(values, np.bool_)
    paced = [place for place, kpi in enumerate(KPI_LIST) if kpi.name in _PACED]
    uncertain[:, paced] |= found.doubtful[:, None]
    shares = np.array([kpi.unit == "%" for kpi in KPI_LIST])
    uncertain |= shares & (np.nan_to_num(values) > 100.0 + 1e-9)
    quality = np.where(uncertain, CLASS_UNCERTAIN, CLASS_GOOD)
    quality = np.where(np.isfinite(values), quality, CLASS_BAD).astype(np.uint8)
    n = len(KPI_LIST)
    plan_seen = np.repeat(divided(elements.pbt_s, elements.plan_s), n)
    return pa.table(
        {
            "asset": np.repeat(assets, n),
            "at": pa.array(np.full(len(assets) * n, at_us)).cast(TIME),
            "kpi": [kpi.name for kpi in KPI_LIST] * len(assets),
            "value": pa.array(values.ravel(), mask=~np.isfinite(values.ravel())),
            "unit": [kpi.unit for kpi in KPI_LIST] * len(assets),
            "good_fraction": np.repeat(good, n),
            "plan_seen": pa.array(plan_seen, mask=~np.isfinite(plan_seen)),
            "quality": quality.ravel(),
            "why": pa.array(why.ravel().tolist(), pa.string()),
            "formula": [kpi.formula for kpi in KPI_LIST] * len(assets),
        },
        schema=KPIS,
    )


def _why(kpi: Kpi, elements: Elements) -> npt.NDArray[np.str_]:
    """Why each entry has no value of a KPI; empty where it has one. The first reason counts."""
    nothing = np.zeros(len(elements.apt_s), np.bool_)
    planned = kpi.name in _PLANNED
    short = ~lasted(elements, kpi.time(elements)) if kpi.time is not None else nothing
    reasons = (
        (nothing | planned & (elements.plan_s <= 0.0), NOT_PLANNED),
        (elements.observed_s <= 0.0, NOT_OBSERVED),
        (nothing | planned & (elements.pbt_s <= 0.0), NOT_OBSERVED),
        (short, TOO_SHORT),
        (~counted(elements) if kpi.parts else nothing, TOO_FEW),
        (~np.isfinite(kpi.of(elements)), NO_DIVISOR),
    )
    return np.select([wrong for wrong, _ in reasons], [why for _, why in reasons], "")
