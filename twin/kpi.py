"""ISO 22400 KPIs of lines, sites and the park over any windows of history.

A pure function of rollups (`twin.memory.windows.WINDOWS`): the elements of each window are summed,
then divided; a KPI with less than `min_good` of its window observed is uncertain, never zero.
Formulas as in ISO 22400-2 (confirmed against a published ontology of the standard, not its text).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import InputError
from twin.line_map import line_map_of, places_of
from twin.marks import CODES
from twin.oee import SETUP, Elements, divided, line_elements, machine_elements, ratios
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
        pa.field("quality", pa.uint8(), nullable=False),
        pa.field("formula", pa.string(), nullable=False),
    ]
)
"""One row per asset (empty for the park), window and KPI; ``value`` is null without a divisor,
``quality`` is 0 good, 1 uncertain (too little observed, a ratio or E above 100 %), 2 without a
value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One KPI: its name, unit, formula, and how it follows from elements."""

    name: str
    unit: str
    formula: str
    of: Callable[[Elements], Floats]


def _busy(e: Elements) -> Floats:
    return e.apt_s + e.aust_s + e.adet_s


KPI_LIST: Final = (
    Kpi(
        name="availability",
        unit="%",
        formula="APT / PBT",
        of=lambda e: 100.0 * ratios(e).availability,
    ),
    Kpi(
        name="effectiveness",
        unit="%",
        formula="PRI · PQ / APT",
        of=lambda e: 100.0 * ratios(e).effectiveness,
    ),
    Kpi(name="quality_ratio", unit="%", formula="GQ / PQ", of=lambda e: 100.0 * ratios(e).quality),
    Kpi(
        name="oee",
        unit="%",
        formula="(APT / PBT) · (PRI · PQ / APT) · (GQ / PQ)",
        of=lambda e: 100.0 * ratios(e).oee,
    ),
    Kpi(
        name="nee",
        unit="%",
        formula="((APT + AUST) / PBT) · (PRI · PQ / APT) · (GQ / PQ)",
        of=lambda e: (
            100.0
            * divided(e.apt_s + e.aust_s, e.pbt_s)
            * ratios(e).effectiveness
            * ratios(e).quality
        ),
    ),
    Kpi(
        name="utilization_efficiency",
        unit="%",
        formula="APT / AUBT, AUBT = APT + AUST + ADET",
        of=lambda e: 100.0 * divided(e.apt_s, _busy(e)),
    ),
    Kpi(
        name="allocation_efficiency",
        unit="%",
        formula="AUBT / PBT",
        of=lambda e: 100.0 * divided(_busy(e), e.pbt_s),
    ),
    Kpi(
        name="technical_efficiency",
        unit="%",
        formula="APT / (APT + ADET)",
        of=lambda e: 100.0 * divided(e.apt_s, e.apt_s + e.adet_s),
    ),
    Kpi(
        name="setup_ratio",
        unit="%",
        formula="AUST / AUPT, AUPT = APT + AUST",
        of=lambda e: 100.0 * divided(e.aust_s, e.apt_s + e.aust_s),
    ),
    Kpi(
        name="throughput_rate",
        unit="/h",
        formula="PQ / AOET, AOET = APT + AUST + ADET + ADOT",
        of=lambda e: 3600.0 * divided(e.made, _busy(e) + e.adot_s),
    ),
    Kpi(
        name="scrap_ratio",
        unit="%",
        formula="SQ / PQ",
        of=lambda e: 100.0 * divided(e.made - e.good, e.made),
    ),
    Kpi(name="good_quantity", unit="", formula="GQ = PQ − SQ", of=lambda e: e.good),
)
"""KPIs in the order they are listed."""
_PACED: Final = ("effectiveness", "oee", "nee")
"""KPIs that E above 100 % makes doubtful."""


def kpi_tags(park: Park, dictionary: TagDictionary) -> tuple[int, ...]:
    """Tags whose rollups `kpis` needs; metrics that were never mapped are left out."""
    return tuple(_machine_spans(park, dictionary))


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
        place = _machine_spans(park, dictionary)
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

    def lines(self, window: int, planned_s: Floats, window_s: float) -> Elements:
        """Elements of the lines in one window."""
        machines = machine_elements(
            item_s=self._item_s[window],
            setup_s=self._setup_s[window],
            observed_s=self._seen_s[window],
            produced=self._made[window],
            scrap=self._scrap[window],
            pri_s=self._pri_s,
            pbt_s=planned_s[self._map.line],
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
    found = ratios(elements)
    good = np.nan_to_num(found.good_fraction)
    values = np.column_stack([kpi.of(elements) for kpi in KPI_LIST])
    uncertain = (good < min_good)[:, None] | np.zeros_like(values, np.bool_)
    paced = [place for place, kpi in enumerate(KPI_LIST) if kpi.name in _PACED]
    uncertain[:, paced] |= found.doubtful[:, None]
    shares = np.array([kpi.unit == "%" for kpi in KPI_LIST])
    uncertain |= shares & (np.nan_to_num(values) > 100.0 + 1e-9)
    quality = np.where(uncertain, CLASS_UNCERTAIN, CLASS_GOOD)
    quality = np.where(np.isfinite(values), quality, CLASS_BAD).astype(np.uint8)
    n = len(KPI_LIST)
    return pa.table(
        {
            "asset": np.repeat(assets, n),
            "at": pa.array(np.full(len(assets) * n, at_us)).cast(TIME),
            "kpi": [kpi.name for kpi in KPI_LIST] * len(assets),
            "value": pa.array(values.ravel(), mask=~np.isfinite(values.ravel())),
            "unit": [kpi.unit for kpi in KPI_LIST] * len(assets),
            "good_fraction": np.repeat(good, n),
            "quality": quality.ravel(),
            "formula": [kpi.formula for kpi in KPI_LIST] * len(assets),
        },
        schema=KPIS,
    )
