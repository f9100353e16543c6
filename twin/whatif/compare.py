"""From replications to an outcome: intervals, bands, paired differences and verdicts."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.statistics import Better, bands, compare_paired, mean_interval, share_interval
from twin.label import Label
from twin.samples import TIME
from twin.whatif.outcome import BANDS, KPIS, PAIRS
from twin.whatif.spec import ComparedKpi, WhatIf

Floats = npt.NDArray[np.float64]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
SHARE: Final = "1"
"""Unit of a probability: each replication says yes or no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KpiSpec:
    """A KPI of what-ifs: name, unit, which way is better, and which engine it comes from."""

    name: str
    unit: str
    better: Better
    label: Label


def _kpi(name: str, unit: str, better: Better, vi: str, en: str) -> tuple[str, KpiSpec]:
    return name, KpiSpec(name=name, unit=unit, better=better, label=Label(vi=vi, en=en))


KPI_SPECS: Final = MappingProxyType(
    dict(
        (
            _kpi("peak_mva", "MVA", Better.LOWER, "Đỉnh phụ tải trạm", "Station peak"),
            _kpi(
                "n1_minutes",
                "min",
                Better.HIGHER,
                "Thời gian chịu được khi mất một MBA",
                "Minutes carried after losing a transformer",
            ),
            _kpi(
                "over_n1_minutes",
                "min",
                Better.LOWER,
                "Thời gian vượt công suất N-1",
                "Minutes above the N-1 rating",
            ),
            _kpi(
                "p_over",
                SHARE,
                Better.LOWER,
                "Xác suất vượt định mức trạm",
                "Probability of overload",
            ),
            _kpi("energy_mwh", "MWh", Better.LOWER, "Điện năng tiêu thụ", "Energy used"),
            _kpi("grid_import_mwh", "MWh", Better.LOWER, "Điện nhận từ lưới", "Grid import"),
            _kpi("cost_mvnd", "MVND", Better.LOWER, "Tiền điện tạm tính", "Provisional cost"),
            _kpi("co2_t", "tCO2e", Better.LOWER, "Phát thải khí nhà kính", "Emissions"),
            _kpi("output", "parts", Better.HIGHER, "Sản lượng đạt", "Good output"),
            _kpi(
                "truck_turn_p90_min",
                "min",
                Better.LOWER,
                "Thời gian quay vòng xe (p90)",
                "Truck turn time (p90)",
            ),
            _kpi(
                "gate_queue_max", "trucks", Better.LOWER, "Hàng chờ cổng lớn nhất", "Longest queue"
            ),
            _kpi("wastewater_m3", "m3", Better.LOWER, "Nước thải", "Wastewater"),
        )
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchResult:
    """All replications of one branch, in the order of their numbers.

    Parameters
    ----------
    kpis
        KPI name → float64[replications].
    series
        Series name → float64[replications, steps].
    engine, why
        Engine that simulated the lines, and why it was taken.
    """

    kpis: Mapping[str, Floats]
    series: Mapping[str, Floats]
    engine: str
    why: str


SERIES_UNITS: Final = MappingProxyType(
    {
        "station_mva": "MVA",
        "load_mw": "MW",
        "pv_mw": "MW",
        "bess_mw": "MW",
        "bess_soc_pct": "%",
        "output_rate_h": "1/h",
        "gate_queue": "trucks",
    }
)


def kpi_table(results: Mapping[str, BranchResult]) -> pa.Table:
    """One row per branch and KPI; schema `KPIS`."""
    rows = []
    for branch, result in results.items():
        for name, values in result.kpis.items():
            told = share_interval if KPI_SPECS[name].unit == SHARE else mean_interval
            interval = told(values)
            at = np.quantile(values, QUANTILES, method="inverted_cdf")
            rows.append(
                {
                    "branch": branch,
                    "kpi": name,
                    "unit": KPI_SPECS[name].unit,
                    "mean": interval.mean,
                    "low": interval.low,
                    "high": interval.high,
                    **dict(zip(("q05", "q25", "q50", "q75", "q95"), at.tolist(), strict=True)),
                    "n": len(values),
                    "warmup_deleted": 0,
                    "engine": result.engine,
                    "why": result.why,
                }
            )
    return pa.Table.from_pylist(rows, schema=KPIS)


def band_table(results: Mapping[str, BranchResult], at_us: npt.NDArray[np.int64]) -> pa.Table:
    """One row per branch, series and step; schema `BANDS`."""
    pieces = []
    at = pa.array(at_us).cast(TIME)
    for branch, result in results.items():
        for name, paths in result.series.items():
            quantiles = bands(paths, QUANTILES)
            columns = [
                pa.array([branch] * len(at_us)),
                pa.array([name] * len(at_us)),
                pa.array([SERIES_UNITS[name]] * len(at_us)),
                at,
                *(pa.array(row) for row in quantiles),
            ]
            pieces.append(pa.table(columns, schema=BANDS))
    return pa.concat_tables(pieces).combine_chunks() if pieces else BANDS.empty_table()


def pair_table(spec: WhatIf, results: Mapping[str, BranchResult]) -> pa.Table:
    """One row per branch and compared KPI against the reference branch; schema `PAIRS`."""
    rows = []
    reference = results[spec.compare.against]
    for branch, result in results.items():
        if branch == spec.compare.against:
            continue
        for wanted in compared(spec, reference.kpis):
            known = KPI_SPECS[wanted.kpi]
            better = Better(wanted.better) if wanted.better else known.better
            paired = compare_paired(
                result.kpis[wanted.kpi],
                reference.kpis[wanted.kpi],
                better=better,
                material=wanted.material,
            )
            rows.append(
                {
                    "branch": branch,
                    "against": spec.compare.against,
                    "kpi": wanted.kpi,
                    "unit": known.unit,
                    "difference": paired.difference.mean,
                    "low": paired.difference.low,
                    "high": paired.difference.high,
                    "p_better": paired.p_better,
                    "better": str(better),
                    "material": wanted.material,
                    "verdict": str(paired.verdict),
                    "n": paired.difference.n,
                }
            )
    return pa.Table.from_pylist(rows, schema=PAIRS)


def compared(spec: WhatIf, kpis: Mapping[str, Floats]) -> Sequence[ComparedKpi]:
    """The KPIs a what-if compares: those it names, else all that were simulated."""
    return spec.compare.kpis or tuple(ComparedKpi(kpi=name) for name in kpis)


def result_hash(tables: Sequence[pa.Table]) -> str:
    """Sha256 over the tables' canonical bytes (one chunk, Arrow IPC, no compression)."""
    digest = hashlib.sha256()
    for table in tables:
        sink = io.BytesIO()
        whole = table.combine_chunks()
        with pa.ipc.new_stream(sink, whole.schema) as writer:
            writer.write_table(whole)
        digest.update(sink.getvalue())
    return digest.hexdigest()
