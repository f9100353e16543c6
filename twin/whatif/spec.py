"""The schema of ``kind: WhatIf``: from when, how far, which changes, and what is compared.

The list of change types below is the schema; the form in the browser is made from it. Titles and
descriptions are English in JSON Schema's own keys and Vietnamese under ``x-vi``.
"""

from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from twin.parkfile.quantity import Quantity
from twin.parkfile.schema import Duration, Energy, Power, Shift, Slug, Text

STEP_S: Final = 900
"""Length of a step [s]: horizons and forks are whole numbers of it."""

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


def said(en: tuple[str, str], vi: tuple[str, str]) -> FieldInfo:
    """Title and description of a field in both languages."""
    told = Field(
        title=en[0],
        description=en[1],
        json_schema_extra={"x-vi": {"title": vi[0], "description": vi[1]}},
    )
    return cast("FieldInfo", told)


def named(en: str, vi: str, description_vi: str) -> ConfigDict:
    """Title of a type in both languages; its English description is the docstring."""
    extra = {"x-vi": {"title": vi, "description": description_vi}}
    return ConfigDict(title=en, json_schema_extra=extra)  # type: ignore[typeddict-item]


class Strict(BaseModel):
    """Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Battery(Strict):
    """Another size, power or rule of a battery; a new one when the park has none of that name."""

    model_config = named(
        "Battery",
        "Pin lưu trữ",
        "Đổi dung lượng, công suất hoặc chế độ của pin; thêm pin mới nếu KCN chưa có pin tên đó.",
    )

    change: Literal["battery"]
    asset: Annotated[
        Slug, said(("Battery", "Id of a battery, e.g. bess1"), ("Pin", "Mã của pin, vd. bess1"))
    ]
    energy: Annotated[
        Energy | None,
        said(
            ("Energy", "Energy it holds, e.g. 40 MWh"), ("Dung lượng", "Điện năng chứa, vd. 40 MWh")
        ),
    ] = None
    power: Annotated[
        Power | None,
        said(
            ("Power", "Largest power, e.g. 10 MW"), ("Công suất", "Công suất lớn nhất, vd. 10 MW")
        ),
    ] = None
    rule: Annotated[
        Literal["peak_shaving", "time_of_use", "self_consumption", "idle"] | None,
        said(
            (
                "Rule",
                "peak_shaving holds the day's load as low as it can; time_of_use gives evenly in "
                "peak hours and charges evenly off-peak; self_consumption takes solar surplus",
            ),
            (
                "Chế độ",
                "peak_shaving: giữ đỉnh trong ngày thấp nhất; time_of_use: xả đều giờ cao điểm, "
                "sạc đều giờ thấp điểm; self_consumption: sạc bằng điện mặt trời dư",
            ),
        ),
    ] = None

    @model_validator(mode="after")
    def something(self) -> "Battery":
        """At least one of energy, power and rule."""
        if self.energy is None and self.power is None and self.rule is None:
            raise ValueError("give energy, power or rule")
        return self


class Solar(Strict):
    """Another size of a solar roof; a new one when the park has none of that name."""

    model_config = named(
        "Solar roof",
        "Điện mặt trời mái nhà",
        "Đổi công suất đỉnh của một mái; thêm mái mới nếu KCN chưa có mái tên đó.",
    )

    change: Literal["solar"]
    asset: Annotated[
        Slug,
        said(("Solar roof", "Id of a solar roof, e.g. pv1"), ("Mái điện", "Mã của mái, vd. pv1")),
    ]
    peak: Annotated[
        float,
        Quantity("peak_power", low=0),
        said(("Peak power", "e.g. 8 MWp"), ("Công suất đỉnh", "vd. 8 MWp")),
    ]


class ShiftCalendar(Strict):
    """Another calendar for a line or all lines of a site: one of the park's, or shifts."""

    model_config = named(
        "Shift calendar",
        "Lịch ca",
        "Lịch làm việc khác cho một chuyền hoặc mọi chuyền của một nhà máy.",
    )

    change: Literal["calendar"]
    asset: Annotated[
        str,
        said(
            ("Line or site", "e.g. acme/moulding/l1, or acme for all its lines"),
            ("Chuyền hoặc nhà máy", "vd. acme/moulding/l1, hoặc acme cho mọi chuyền"),
        ),
    ]
    calendar: Annotated[
        str | None,
        said(
            ("Calendar", "Name of a calendar of the park; either this or shifts"),
            ("Lịch", "Tên một lịch của KCN; hoặc lịch, hoặc ca"),
        ),
    ] = None
    shifts: Annotated[
        tuple[Shift, ...] | None,
        Field(min_length=1, max_length=8),
        said(
            ("Shifts", "e.g. ['06:00-14:00']; weekdays and holidays as before"),
            ("Ca", "vd. ['06:00-14:00']; ngày làm việc và ngày lễ như cũ"),
        ),
    ] = None

    @model_validator(mode="after")
    def one_of_them(self) -> "ShiftCalendar":
        """Exactly one of calendar and shifts."""
        if (self.calendar is None) == (self.shifts is None):
            raise ValueError("give either calendar or shifts")
        return self


class CycleTime(Strict):
    """Another cycle time of a machine."""

    model_config = named("Cycle time", "Thời gian chu kỳ", "Thời gian chu kỳ khác cho một máy.")

    change: Literal["cycle_time"]
    asset: Annotated[
        str,
        said(("Machine", "e.g. acme/moulding/l1/p01"), ("Máy", "vd. acme/moulding/l1/p01")),
    ]
    cycle_time: Annotated[
        Duration | None,
        said(
            ("Cycle time", "e.g. 26 s, in place of the calibrated one; either this or factor"),
            ("Chu kỳ", "vd. 26 s, thay chu kỳ đã hiệu chỉnh; hoặc chu kỳ, hoặc hệ số"),
        ),
    ] = None
    factor: Annotated[
        float | None,
        Field(gt=0, le=100),
        said(
            ("Factor", "Times the calibrated cycle time, e.g. 0.9"),
            ("Hệ số", "Nhân với chu kỳ đã hiệu chỉnh, vd. 0.9"),
        ),
    ] = None

    @model_validator(mode="after")
    def one_of_them(self) -> "CycleTime":
        """Exactly one of cycle_time and factor."""
        if (self.cycle_time is None) == (self.factor is None):
            raise ValueError("give either cycle_time or factor")
        return self


class MachineAdded(Strict):
    """One more step in a line: every part passes it too, with a buffer before it."""

    model_config = named(
        "Machine added",
        "Thêm máy",
        "Thêm một công đoạn vào chuyền: mọi sản phẩm đều đi qua, có bộ đệm phía trước.",
    )

    change: Literal["machine_added"]
    asset: Annotated[
        str, said(("Line", "e.g. acme/moulding/l1"), ("Chuyền", "vd. acme/moulding/l1"))
    ]
    type: Annotated[
        str,
        said(
            ("Equipment class", "Class of the park file, e.g. assembly_cell"),
            ("Loại máy", "Loại máy trong tệp KCN, vd. assembly_cell"),
        ),
    ]
    after: Annotated[
        Slug | None,
        said(
            ("After", "Machine it follows; at the end of the line when left out"),
            ("Sau máy", "Máy đứng trước nó; để trống: cuối chuyền"),
        ),
    ] = None
    buffer: Annotated[
        int,
        Field(ge=0, le=100_000),
        said(("Buffer", "Spaces between the two"), ("Bộ đệm", "Số chỗ giữa hai máy")),
    ] = 5


class TransformerTrip(Strict):
    """A transformer is lost at a moment, for a time."""

    model_config = named(
        "Transformer trip", "Mất máy biến áp", "Một máy biến áp ngừng làm việc trong một thời gian."
    )

    change: Literal["transformer_trip"]
    asset: Annotated[str, said(("Transformer", "e.g. ss1/t2"), ("Máy biến áp", "vd. ss1/t2"))]
    at: Annotated[
        Duration,
        said(
            ("At", "After the start of the what-if, e.g. 4 h"),
            ("Lúc", "Sau khi bắt đầu kịch bản, vd. 4 h"),
        ),
    ] = 0.0
    lasts: Annotated[
        Duration | None,
        said(
            ("Lasts", "e.g. 2 h; until the end when left out"),
            ("Kéo dài", "vd. 2 h; để trống: đến hết kịch bản"),
        ),
    ] = None


class TariffChange(Strict):
    """Another tariff."""

    model_config = named("Tariff", "Biểu giá điện", "Biểu giá điện khác.")

    change: Literal["tariff"]
    tariff: Annotated[
        str,
        said(
            ("Tariff", "Id of a dated tariff, e.g. vn_industrial_two_part_pilot"),
            ("Biểu giá", "Mã biểu giá, vd. vn_industrial_two_part_pilot"),
        ),
    ]


class DemandGrowth(Strict):
    """Electrical demand of the park, or of one site, grows by a share."""

    model_config = named(
        "Demand growth",
        "Tăng phụ tải",
        "Phụ tải điện của toàn khu hoặc một nhà máy tăng theo tỷ lệ.",
    )

    change: Literal["demand_growth"]
    asset: Annotated[
        str,
        said(
            ("Site", "Site or tenants, e.g. acme; the whole park when empty"),
            ("Nhà máy", "Nhà máy hoặc nhóm, vd. acme; để trống: toàn khu"),
        ),
    ] = ""
    growth: Annotated[
        float,
        Quantity("ratio", low=-1, high=10),
        said(("Growth", "e.g. 8 %"), ("Mức tăng", "vd. 8 %")),
    ]


class GateLanes(Strict):
    """Another number of lanes, or another service time, of a gate."""

    model_config = named(
        "Gate lanes", "Làn cổng", "Số làn hoặc thời gian làm thủ tục khác ở một cổng."
    )

    change: Literal["gate_lanes"]
    asset: Annotated[Slug, said(("Gate", "e.g. gate_north"), ("Cổng", "vd. gate_north"))]
    lanes: Annotated[
        int, Field(ge=1, le=64), said(("Lanes", "How many, 1 to 64"), ("Số làn", "1 đến 64"))
    ]
    service: Annotated[
        Duration | None,
        said(
            ("Service time", "Mean per truck, e.g. 60 s; as it is when left out"),
            ("Thời gian thủ tục", "Trung bình mỗi xe, vd. 60 s; để trống: như cũ"),
        ),
    ] = None


class NewTenant(Strict):
    """A tenant moves in: power, wastewater and trucks."""

    model_config = named(
        "New tenant", "Khách thuê mới", "Một khách thuê mới: điện, nước thải và xe tải."
    )

    change: Literal["new_tenant"]
    asset: Annotated[
        Slug, said(("Id", "New id, e.g. cold_store_2"), ("Mã", "Mã mới, vd. cold_store_2"))
    ]
    power: Annotated[
        float,
        Quantity("power", low=0),
        said(("Power", "Peak demand, e.g. 3 MW"), ("Công suất", "Phụ tải đỉnh, vd. 3 MW")),
    ]
    profile: Annotated[
        str,
        said(
            ("Load profile", "A load template, e.g. light_industry, food, electronics"),
            ("Biểu đồ phụ tải", "Một mẫu phụ tải, vd. light_industry, food, electronics"),
        ),
    ] = "light_industry"
    wastewater: Annotated[
        float,
        Quantity("volume_flow", low=0),
        said(("Wastewater", "e.g. 400 m3/d"), ("Nước thải", "vd. 400 m3/d")),
    ] = 0.0
    trucks: Annotated[
        float,
        Quantity("rate", low=0),
        said(("Trucks", "e.g. 60 1/d"), ("Xe tải", "vd. 60 1/d")),
    ] = 0.0
    cos_phi: Annotated[
        float,
        Field(gt=0, le=1),
        said(("Power factor", "Of its load, e.g. 0.92"), ("Hệ số công suất", "vd. 0.92")),
    ] = 0.92


class Curtailment(Strict):
    """A tenant gives up power during a span of each day."""

    model_config = named(
        "Curtailment", "Cắt giảm phụ tải", "Một nhà máy giảm công suất trong khung giờ mỗi ngày."
    )

    change: Literal["curtailment"]
    asset: Annotated[
        str,
        said(("Site", "Site or tenants, e.g. acme"), ("Nhà máy", "Nhà máy hoặc nhóm, vd. acme")),
    ]
    power: Annotated[
        Power, said(("Power", "Power given up, e.g. 2 MW"), ("Công suất", "Mức giảm, vd. 2 MW"))
    ]
    span: Annotated[
        Shift,
        said(
            ("Hours", "Local time, e.g. 17:30-22:30"),
            ("Khung giờ", "Giờ địa phương, vd. 17:30-22:30"),
        ),
    ] = "17:30-22:30"


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

    model_config = named(
        "Stop", "Điều kiện dừng", "Dừng khi khoảng tin cậy 95 % của KPI đủ hẹp về mỗi phía."
    )

    kpi: Annotated[KpiName, said(("KPI", "Which one"), ("KPI", "KPI nào"))]
    half_width: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False),
        said(("Half width", "In the KPI's unit"), ("Nửa độ rộng", "Theo đơn vị của KPI")),
    ]


class Ensemble(Strict):
    """How many futures, from which seed, with which parameters."""

    model_config = named(
        "Ensemble", "Tập mô phỏng", "Bao nhiêu tương lai, hạt giống nào, tham số nào."
    )

    replications: Annotated[
        int | None,
        Field(ge=2, le=4096),
        said(
            ("Replications", "How many futures; or give min, max and stop"),
            ("Số lần lặp", "Bao nhiêu tương lai; hoặc cho min, max và stop"),
        ),
    ] = None
    min: Annotated[
        int | None,
        Field(ge=2, le=4096),
        said(("At least", "Futures before the first look"), ("Ít nhất", "Số tương lai tối thiểu")),
    ] = None
    max: Annotated[
        int | None,
        Field(ge=2, le=4096),
        said(("At most", "Futures after which it ends"), ("Nhiều nhất", "Số tương lai tối đa")),
    ] = None
    stop: Annotated[
        Stop | None, said(("Stop", "When it is exact enough"), ("Dừng", "Khi đã đủ chính xác"))
    ] = None
    seed: Annotated[
        int,
        Field(ge=0, lt=2**63),
        said(
            ("Seed", "The same seed draws the same futures"),
            ("Hạt giống", "Cùng hạt giống, cùng tương lai"),
        ),
    ] = 1
    parameters: Annotated[
        Literal["posterior", "nominal"],
        said(
            ("Parameters", "posterior also draws what is not known exactly; nominal does not"),
            ("Tham số", "posterior: rút cả phần chưa biết chắc; nominal: không"),
        ),
    ] = "posterior"

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

    model_config = named("Compared KPI", "KPI so sánh", "Chiều tốt hơn, và chênh lệch đáng kể.")

    kpi: Annotated[KpiName, said(("KPI", "Which one"), ("KPI", "KPI nào"))]
    better: Annotated[
        Literal["lower", "higher"] | None,
        said(("Better", "The KPI's own when empty"), ("Tốt hơn khi", "Để trống: theo KPI")),
    ] = None
    material: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False),
        said(
            ("Material difference", "Smallest difference that matters, in the KPI's unit"),
            ("Chênh lệch đáng kể", "Theo đơn vị của KPI"),
        ),
    ] = 0.0


class Compare(Strict):
    """What is compared with what; paired means common random numbers."""

    model_config = named("Compare", "So sánh", "So sánh nhánh nào với nhánh nào.")

    against: Annotated[
        str, said(("Against", "Branch the others are compared with"), ("So với", "Nhánh làm mốc"))
    ] = "base"
    kpis: Annotated[
        tuple[ComparedKpi, ...],
        said(("KPIs", "All that are simulated when empty"), ("Các KPI", "Để trống: tất cả")),
    ] = ()
    paired: Annotated[
        Literal[True],
        said(
            ("Paired", "Always: equal random numbers in all branches"),
            ("Theo cặp", "Luôn có: các nhánh dùng chung số ngẫu nhiên"),
        ),
    ] = True


class WhatIf(Strict):
    """A what-if: ``kind: WhatIf``."""

    model_config = named("What-if", "Kịch bản giả định", "Một kịch bản: ``kind: WhatIf``.")

    apiVersion: Literal["parktwin/v1"] = "parktwin/v1"  # noqa: N815 - the key in the file
    kind: Literal["WhatIf"]
    id: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$"),
        said(("Name", "a-z, 0-9, _ and -"), ("Tên", "a-z, 0-9, _ và -")),
    ]
    label: Annotated[
        Text | None,
        said(("Label", "For people, in both languages"), ("Nhãn", "Bằng hai thứ tiếng")),
    ] = None
    park: Annotated[Slug, said(("Park", "Id of the park"), ("KCN", "Mã khu công nghiệp"))]
    from_: Annotated[
        str,
        said(
            ("From", "now, a time with its zone, run:<id>@+3h, or empty (an empty park)"),
            ("Từ", "now, một thời điểm có múi giờ, run:<id>@+3h, hoặc empty (khu trống)"),
        ),
    ] = Field("now", alias="from")
    horizon: Annotated[
        float,
        Quantity("duration", low=STEP_S, high=31 * 86_400),
        said(
            ("Horizon", "A multiple of 15 min, e.g. 24 h"),
            ("Thời lượng", "Bội của 15 phút, vd. 24 h"),
        ),
    ]
    ensemble: Annotated[
        Ensemble, said(("Ensemble", "How many futures"), ("Tập mô phỏng", "Bao nhiêu tương lai"))
    ]
    branches: Annotated[
        dict[Slug, tuple[Change, ...]],
        Field(min_length=1, max_length=16),
        said(
            ("Branches", "Name → changes; [] for none"),
            ("Các nhánh", "Tên → thay đổi; [] nếu không"),
        ),
    ]
    compare: Annotated[
        Compare, said(("Compare", "What with what"), ("So sánh", "Nhánh nào với nhánh nào"))
    ] = Compare()

    @field_validator("horizon")
    @classmethod
    def whole_steps(cls, horizon_s: float) -> float:
        """A whole number of steps."""
        if horizon_s % STEP_S:
            raise ValueError(f"{horizon_s / 60:g} min is no multiple of 15 min")
        return horizon_s


__all__ = ["STEP_S", "Change", "KpiName", "WhatIf"]
