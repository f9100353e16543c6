"""What a what-if answers: per branch and KPI, per branch and time step, per pair of branches."""

from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from twin.samples import TIME

KPIS: Final = pa.schema(
    [
        pa.field("branch", pa.string(), nullable=False),
        pa.field("kpi", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("mean", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("q05", pa.float64()),
        pa.field("q25", pa.float64()),
        pa.field("q50", pa.float64()),
        pa.field("q75", pa.float64()),
        pa.field("q95", pa.float64()),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("warmup_deleted", pa.int32(), nullable=False),
        pa.field("engine", pa.string(), nullable=False),
        pa.field("why", pa.string(), nullable=False),
    ]
)
"""``low``/``high``: 95 % interval of the mean, Student's t, or of a probability (unit 1) the exact
one: none of n replications says that it is below ``high``, about 3/n. ``q*``: quantiles over
replications."""

BANDS: Final = pa.schema(
    [
        pa.field("branch", pa.string(), nullable=False),
        pa.field("series", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("at", TIME, nullable=False),
        pa.field("q05", pa.float64()),
        pa.field("q25", pa.float64()),
        pa.field("q50", pa.float64()),
        pa.field("q75", pa.float64()),
        pa.field("q95", pa.float64()),
    ]
)
"""``series``: station_mva, load_mw, pv_mw, bess_mw, bess_soc_pct, output_rate_h, gate_queue."""

PAIRS: Final = pa.schema(
    [
        pa.field("branch", pa.string(), nullable=False),
        pa.field("against", pa.string(), nullable=False),
        pa.field("kpi", pa.string(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("difference", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("p_better", pa.float64()),
        pa.field("better", pa.string(), nullable=False),
        pa.field("material", pa.float64()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
    ]
)
"""``better``: lower | higher. ``verdict``: about_same, clearly_better, clearly_worse,
not_enough_data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an outcome comes from: the same five give the same result hash."""

    snapshot_hash: str
    spec_hash: str
    code_version: str
    lock_hash: str
    seed: int
    result_hash: str
    replications: int
    from_us: int
    cpu: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Tables with the schemas `KPIS`, `BANDS` and `PAIRS`, and their provenance."""

    kpis: pa.Table
    bands: pa.Table
    pairs: pa.Table
    provenance: Provenance
