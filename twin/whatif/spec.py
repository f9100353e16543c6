"""The schema of ``kind: WhatIf``: from when, how far, which changes, and what is compared.

The list of change types below is the schema; the form in the browser is made from it.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from twin.parkfile.quantity import Quantity
from twin.parkfile.schema import Duration, Energy, Power, Shift, Slug, Text

KpiName = Literal[
    "peak_mva",
    "n1_minutes",
    "over_n1_minutes",
    "p_over",
    "energy_mwh",
    "grid_import_mwh",
    "cost_mvnd",
    "co2_t",
    "output",
    "truck_turn_p90_min",
    "gate_queue_max",
    "wastewater_m3",
]


class Strict(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Battery(Strict):
    """Another size, power or rule of a battery; a new one when `asset` is not in the park."""

    change: Literal["battery"]
    asset: Slug = Field(description="Battery, e.g. bess1")
    energy: Energy | None = None
    power: Power | None = None
    rule: Literal["peak_shaving", "time_of_use", "self_consumption", "idle"] | None = None


class Solar(Strict):
    """Another size of a solar roof; a new one when `asset` is not in the park."""

    change: Literal["solar"]
    asset: Slug = Field(description="Solar roof, e.g. pv1")
    peak: Annotated[float, Quantity("peak_power", low=0)]


class ShiftCalendar(Strict):
    """Another calendar for a line: one of the park's, or shifts written here."""

    change: Literal["calendar"]
    asset: str = Field(description="Line or site, e.g. acme/moulding/l1")
    calendar: str | None = Field(None, description="Name of a calendar of the park")
    shifts: tuple[Shift, ...] | None = None

    @model_validator(mode="after")
    def one_of_them(self) -> "ShiftCalendar":
        """Exactly one of calendar and shifts."""
        if (self.calendar is None) == (self.shifts is None):
            raise ValueError("give either calendar or shifts")
        return self


class CycleTime(Strict):
    """Another cycle time of a machine."""

    change: Literal["cycle_time"]
    asset: str = Field(description="Machine, e.g. acme/moulding/l1/p01")
    cycle_time: Duration | None = None
    factor: float | None = Field(None, gt=0, le=100, description="Times the present cycle time")

    @model_validator(mode="after")
    def one_of_them(self) -> "CycleTime":
        """Exactly one of cycle_time and factor."""
        if (self.cycle_time is None) == (self.factor is None):
            raise ValueError("give either cycle_time or factor")
        return self


class MachineAdded(Strict):
    """One more machine in a line, at a place of the chain, with a buffer before it."""

    change: Literal["machine_added"]
    asset: str = Field(description="Line, e.g. acme/moulding/l1")
    type: str = Field(description="Equipment class of the park")
    after: Slug | None = Field(None, description="Machine it follows; at the end when left out")
    parallel: bool = Field(
        default=False, description="Beside the machine it names, sharing its work"
    )
    buffer: int = Field(5, ge=0)


class TransformerTrip(Strict):
    """A transformer is lost at a moment, for a time."""

    change: Literal["transformer_trip"]
    asset: str = Field(description="Transformer, e.g. ss1/t2")
    at: Duration = Field(0.0, description="After the start of the what-if")
    lasts: Duration | None = Field(None, description="Until the end when left out")


class TariffChange(Strict):
    """Another tariff."""

    change: Literal["tariff"]
    tariff: str = Field(description="Id of a dated tariff")


class DemandGrowth(Strict):
    """All electrical demand, or one site's, grows by a share."""

    change: Literal["demand_growth"]
    asset: str = Field("", description="Site; the whole park when empty")
    growth: Annotated[float, Quantity("ratio", low=-1, high=10)]


class GateLanes(Strict):
    """Another number of lanes or service time of a gate."""

    change: Literal["gate_lanes"]
    asset: Slug = Field(description="Gate, e.g. g1")
    lanes: int = Field(ge=1, le=64)
    service: Duration | None = None


class NewTenant(Strict):
    """A tenant moves in: power, water and trucks."""

    change: Literal["new_tenant"]
    asset: Slug = Field(description="Id of the new tenant")
    power: Annotated[float, Quantity("power", low=0)] = Field(description="Peak demand, e.g. 3 MW")
    profile: str = Field("light_industry", description="Load template")
    wastewater: Annotated[float, Quantity("volume_flow", low=0)] = 0.0
    trucks: Annotated[float, Quantity("rate", low=0)] = Field(0.0, description="e.g. 60 1/d")
    cos_phi: float = Field(0.92, gt=0, le=1)


class Curtailment(Strict):
    """A tenant gives up power during a span of each day."""

    change: Literal["curtailment"]
    asset: str = Field(description="Site or aggregate, e.g. acme")
    power: Power
    span: Shift = "17:30-22:30"


Change = Annotated[
    Battery
    | Solar
    | ShiftCalendar
    | CycleTime
    | MachineAdded
    | TransformerTrip
    | TariffChange
    | DemandGrowth
    | GateLanes
    | NewTenant
    | Curtailment,
    Field(discriminator="change"),
]


class Stop(Strict):
    """Stop when the 95 % interval of a KPI's mean is at most this wide to each side."""

    kpi: KpiName
    half_width: float = Field(gt=0, description="In the KPI's unit")


class Ensemble(Strict):
    """How many futures, from which seed, with which parameters."""

    replications: int | None = Field(None, ge=2, le=4096)
    min: int | None = Field(None, ge=2, le=4096)
    max: int | None = Field(None, ge=2, le=4096)
    stop: Stop | None = None
    seed: int = Field(1, ge=0, lt=2**63)
    parameters: Literal["posterior", "nominal"] = "posterior"

    @model_validator(mode="after")
    def fixed_or_sequential(self) -> "Ensemble":
        """Either a fixed number, or min, max and stop together."""
        sequential = (self.min, self.max, self.stop)
        if self.replications is not None and any(part is not None for part in sequential):
            raise ValueError("give either replications, or min, max and stop")
        if self.replications is None and any(part is None for part in sequential):
            raise ValueError("give replications, or all of min, max and stop")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self

    @property
    def most(self) -> int:
        """The largest number of replications."""
        return self.replications or self.max or 0

    @property
    def least(self) -> int:
        """The number of replications before the first look."""
        return self.replications or self.min or 0


class ComparedKpi(Strict):
    """A KPI to compare: which direction is better, and what difference matters."""

    kpi: KpiName
    better: Literal["lower", "higher"] | None = Field(None, description="The KPI's own when empty")
    material: float = Field(0.0, ge=0, description="Smallest difference that matters, KPI's unit")


class Compare(Strict):
    """What is compared with what; paired means common random numbers."""

    against: str = "base"
    kpis: tuple[ComparedKpi, ...] = ()
    paired: Literal[True] = True


class WhatIf(Strict):
    """A what-if: ``kind: WhatIf``."""

    apiVersion: Literal["parktwin/v1"] = "parktwin/v1"  # noqa: N815 - the key in the file
    kind: Literal["WhatIf"]
    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
    label: Text | None = None
    park: Slug
    from_: str = Field(
        "now", alias="from", description="now, a time, run:<id>@+3h, or empty (an empty park)"
    )
    horizon: Annotated[float, Quantity("duration", low=900, high=31 * 86_400)]
    ensemble: Ensemble
    branches: dict[Slug, tuple[Change, ...]] = Field(min_length=1, max_length=16)
    compare: Compare = Compare()


__all__ = ["Change", "WhatIf"]
