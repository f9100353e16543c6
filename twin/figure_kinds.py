"""The catalogue of figures: what each is called, its unit, its normal band and its formula.

A `FigureKind` is the same for every park; `twin.now.FigureBook` makes a `FigureSpec` of it for each
asset of a park it applies to. Formulas are written for people, in both languages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from twin.connections import BAD_MINUTES
from twin.label import Label
from twin.oee import LEAST_CYCLES, LEAST_PARTS, LEAST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureKind:
    """One kind of figure; fields as in `twin.figures.FigureSpec`."""

    name: str
    label: Label
    formula: Label
    unit: str = ""
    decimals: int = 1
    low: float | None = None
    high: float | None = None
    scale_low: float | None = None
    scale_high: float | None = None
    source: str = "derived"


def _f(
    name: str,
    unit: str,
    decimals: int,
    label: tuple[str, str],
    formula: tuple[str, str],
    *,
    band: tuple[float | None, float | None] = (None, None),
    scale: tuple[float | None, float | None] = (None, None),
    source: str = "derived",
) -> FigureKind:
    return FigureKind(
        name=name,
        unit=unit,
        decimals=decimals,
        label=Label(vi=label[0], en=label[1]),
        formula=Label(vi=formula[0], en=formula[1]),
        low=band[0],
        high=band[1],
        scale_low=scale[0],
        scale_high=scale[1],
        source=source,
    )


_READ: Final = ("Số đo trực tiếp", "Read from the instrument")
_TIME: Final = (
    f"; chưa rõ (–) khi thời gian làm mẫu số dưới {LEAST_S / 60:.0f} phút "
    f"hoặc {LEAST_CYCLES:.0f} chu kỳ",
    f"; unknown (–) until its divisor holds {LEAST_S / 60:.0f} min and {LEAST_CYCLES:.0f} cycles",
)
_PARTS: Final = (
    f"; chưa rõ (–) khi dưới {LEAST_PARTS:.0f} sản phẩm",
    f"; unknown (–) below {LEAST_PARTS:.0f} parts",
)
_MINUTES: Final = (
    f"; chưa rõ (–) trong {LEAST_S / 60:.0f} phút đầu",
    f"; unknown (–) in the first {LEAST_S / 60:.0f} min",
)


def _until(told: tuple[str, str], least: tuple[str, str]) -> tuple[str, str]:
    """A formula, and from when on it has a value."""
    return told[0] + least[0], told[1] + least[1]


_OEE: Final = _until(
    (
        "A × E × Q từ tổng các thành phần của hôm nay; A = APT/PBT, E = PRI·PQ/APT, Q = GQ/PQ "
        "(ISO 22400-2)",
        "A × E × Q from today's summed elements; A = APT/PBT, E = PRI·PQ/APT, Q = GQ/PQ "
        "(ISO 22400-2)",
    ),
    _TIME,
)
_FULL: Final = (0.0, 100.0)

_PARK: Final = (
    _f(
        "load_mw",
        "MW",
        1,
        ("Phụ tải khu công nghiệp", "Park load"),
        (
            "Tổng công suất xuất tuyến + điện mặt trời + pin xả; xuất tuyến mất số đo thì ước tính",
            "Sum of feeders + solar + battery discharge; a feeder without a meter is estimated",
        ),
    ),
    _f(
        "grid_import_mw",
        "MW",
        1,
        ("Điện nhận từ lưới", "Grid import"),
        ("Tổng công suất các máy biến áp", "Sum of the transformers' power"),
    ),
    _f(
        "station_mva",
        "MVA",
        1,
        ("Tải trạm 110 kV", "Station load"),
        ("√(ΣP² + ΣQ²) của các máy biến áp", "√(ΣP² + ΣQ²) of the transformers"),
    ),
    _f(
        "station_loading_pct",
        "%",
        0,
        ("Mức mang tải trạm", "Station loading"),
        (
            "Tải trạm / tổng công suất định mức các máy đang đóng",
            "Station load / rating of the transformers in service",
        ),
        band=(None, 90.0),
        scale=(0.0, 130.0),
    ),
    _f(
        "headroom_mva",
        "MVA",
        1,
        ("Còn tải thêm", "Headroom"),
        (
            "Công suất định mức đang vận hành − tải trạm",
            "Rating in service − station load",
        ),
        band=(0.0, None),
    ),
    _f(
        "n1_loading_pct",
        "%",
        0,
        ("Mức mang tải N-1", "N-1 loading"),
        (
            "Tải trạm / công suất còn lại khi mất máy biến áp lớn nhất đang đóng",
            "Station load / rating left after losing the largest transformer in service",
        ),
        band=(None, 130.0),
        scale=(0.0, 200.0),
    ),
    _f(
        "n1_minutes",
        "min",
        0,
        ("Thời gian N-1", "N-1 minutes"),
        (
            "Số phút máy biến áp còn lại chịu được tải này theo bảng quá tải ngắn hạn "
            "(Thông tư 28/2014, điều 33); tối đa 1440",
            "Minutes the remaining transformer carries this load by the short-time overload table "
            "(Circular 28/2014 art. 33); at most 1440",
        ),
        band=(60.0, None),
    ),
    _f(
        "pv_mw",
        "MW",
        2,
        ("Điện mặt trời", "Solar power"),
        ("Tổng công suất các mái", "Sum of the roofs"),
    ),
    _f(
        "pv_share_pct",
        "%",
        0,
        ("Tỷ lệ điện mặt trời", "Solar share"),
        ("Điện mặt trời / phụ tải", "Solar power / park load"),
        scale=_FULL,
    ),
    _f(
        "bess_mw",
        "MW",
        2,
        ("Pin lưu trữ (+ xả)", "Battery (+ discharging)"),
        ("Tổng công suất các pin", "Sum of the batteries"),
    ),
    _f(
        "bess_soc_pct",
        "%",
        0,
        ("Mức sạc pin", "Battery state of charge"),
        ("Trung bình theo dung lượng", "Mean weighted by capacity"),
        band=(12.0, None),
        scale=_FULL,
    ),
    _f(
        "cos_phi",
        "",
        3,
        ("Hệ số công suất", "Power factor"),
        ("P / √(P² + Q²) của trạm", "P / √(P² + Q²) of the station"),
        band=(0.9, None),
        scale=(0.7, 1.0),
    ),
    _f(
        "co2_kg_h",
        "kgCO₂e/h",
        0,
        ("Phát thải", "Emissions"),
        ("Điện nhận từ lưới × hệ số phát thải lưới", "Grid import × grid emission factor"),
    ),
    _f(
        "energy_today_mwh",
        "MWh",
        1,
        ("Điện nhận hôm nay", "Energy today"),
        (
            "Tích phân công suất máy biến áp từ 0 giờ",
            "Integral of the transformers' power since midnight",
        ),
    ),
    _f(
        "peak_today_mw",
        "MW",
        1,
        ("Đỉnh hôm nay", "Peak today"),
        (
            "Trung bình 15 phút lớn nhất của điện nhận từ lưới hôm nay",
            "Largest 15-minute mean of grid import today",
        ),
    ),
    _f(
        "cost_today_mvnd",
        "MVND",
        1,
        ("Tiền điện hôm nay (tạm tính)", "Energy cost today (provisional)"),
        (
            "Điện năng mỗi 15 phút × giá theo khung giờ, chưa VAT",
            "Energy per 15 min × price of its window, without VAT",
        ),
    ),
    _f(
        "co2_today_t",
        "tCO₂e",
        2,
        ("Phát thải hôm nay", "Emissions today"),
        ("Điện nhận hôm nay × hệ số phát thải", "Energy today × emission factor"),
    ),
    _f(
        "measured_pct",
        "%",
        0,
        ("Phần đo được", "Measured share"),
        (
            "Phần phụ tải lấy từ đồng hồ đang tốt; phần còn lại là ước tính",
            "Share of the park load that comes from good meters; the rest is estimated",
        ),
        scale=_FULL,
    ),
    _f("oee_pct", "%", 1, ("OEE toàn khu", "OEE of the park"), _OEE, scale=_FULL),
    _f(
        "output_today",
        "",
        0,
        ("Sản lượng đạt hôm nay", "Good output today"),
        ("Tổng sản phẩm đạt ở cuối các chuyền", "Good parts at the end of the lines"),
    ),
    _f(
        "output_rate_h",
        "/h",
        0,
        ("Năng suất", "Output rate"),
        _until(
            ("Sản phẩm đạt trong 15 phút vừa qua × 4", "Good parts of the last 15 min × 4"),
            _MINUTES,
        ),
    ),
    _f(
        "gate_queue",
        "",
        0,
        ("Xe chờ ở cổng", "Vehicles waiting at gates"),
        ("Tổng các cổng", "Sum of the gates"),
    ),
    _f(
        "turn_p50_min",
        "min",
        0,
        ("Quay vòng xe, trung vị", "Turn time, median"),
        ("Trung vị các lượt trong 1 giờ qua", "Median of the turns of the last hour"),
    ),
    _f(
        "turn_p90_min",
        "min",
        0,
        ("Quay vòng xe, 90 %", "Turn time, 90 %"),
        ("Phân vị 90 % trong 1 giờ qua", "90 % quantile of the last hour"),
        band=(None, 120.0),
    ),
    _f(
        "trucks_today",
        "",
        0,
        ("Lượt xe vào hôm nay", "Trucks in today"),
        ("Bộ đếm lượt vào các cổng từ 0 giờ", "Entry counters of the gates since midnight"),
    ),
    _f(
        "yard_pct",
        "%",
        0,
        ("Bãi xe đã dùng", "Yard occupied"),
        ("Ô đang dùng / tổng số ô", "Slots occupied / slots"),
        band=(None, 90.0),
        scale=_FULL,
    ),
    _f(
        "docks_busy",
        "",
        0,
        ("Cửa xuất nhập đang dùng", "Docks busy"),
        ("Tổng các cửa đang dùng", "Sum of busy docks"),
    ),
    _f(
        "berths_busy",
        "",
        0,
        ("Cầu bến đang dùng", "Berths busy"),
        ("Tổng các bến đang dùng", "Sum of busy berths"),
    ),
    _f(
        "endpoints_up",
        "",
        0,
        ("Điểm kết nối đang hoạt động", "Endpoints up"),
        ("Điểm kết nối không bị gián đoạn", "Endpoints without a gap now"),
    ),
    _f(
        "endpoints",
        "",
        0,
        ("Điểm kết nối", "Endpoints"),
        ("Số điểm kết nối trong tệp khu", "Endpoints of the park file"),
    ),
    _f(
        "own_certificate_days",
        "d",
        0,
        ("Chứng thư của ta còn hạn", "Our certificate still valid"),
        (
            "Số ngày đến khi chứng thư của ta hết hạn, ít nhất trong các cổng thu thập",
            "Days until our own certificate expires, the least of all gateways",
        ),
    ),
    _f(
        "tags_good_pct",
        "%",
        1,
        ("Điểm đo tốt", "Tags good"),
        ("Điểm đo có giá trị tốt / tất cả", "Tags with a good value / all"),
        band=(95.0, None),
        scale=_FULL,
    ),
)

_SITE: Final = (
    _f("kw", "kW", 0, ("Công suất", "Power"), _READ, source="measured"),
    _f(
        "kwh_today",
        "kWh",
        0,
        ("Điện năng hôm nay", "Energy today"),
        (
            "Tăng của công tơ từ 0 giờ; không có công tơ thì tích phân công suất",
            "Increase of the energy meter since midnight; without one, the integral of power",
        ),
    ),
    _f("oee_pct", "%", 1, ("OEE", "OEE"), _OEE, scale=_FULL),
    _f(
        "good_today",
        "",
        0,
        ("Sản phẩm đạt hôm nay", "Good parts today"),
        ("Ở cuối các chuyền", "At the end of the lines"),
    ),
    _f(
        "alarm",
        "",
        0,
        ("Cảnh báo nặng nhất", "Worst alarm"),
        (
            "0 không, 1 thấp, 2 trung bình, 3 cao, 4 nghiêm trọng",
            "0 none, 1 low, 2 medium, 3 high, 4 critical",
        ),
        band=(None, 0.5),
        scale=(0.0, 4.0),
    ),
)

_LINE: Final = (
    _f("oee_pct", "%", 1, ("OEE", "OEE"), _OEE, scale=_FULL),
    _f(
        "availability_pct",
        "%",
        1,
        ("Mức sẵn sàng (A)", "Availability"),
        _until(("APT / PBT của nút thắt", "APT / PBT of the bottleneck"), _TIME),
        scale=_FULL,
    ),
    _f(
        "effectiveness_pct",
        "%",
        1,
        ("Hiệu suất tốc độ (P)", "Effectiveness"),
        _until(
            (
                "PRI·PQ / APT; trên 100 % nghĩa là PRI sai",
                "PRI·PQ / APT; above 100 % the planned cycle PRI is wrong",
            ),
            _TIME,
        ),
        band=(None, 100.0),
        scale=(0.0, 120.0),
    ),
    _f(
        "quality_pct",
        "%",
        1,
        ("Tỷ lệ đạt (Q)", "Quality ratio"),
        _until(("GQ / PQ, cả chuyền", "GQ / PQ of the whole line"), _PARTS),
        scale=_FULL,
    ),
    _f(
        "good_today",
        "",
        0,
        ("Sản phẩm đạt hôm nay", "Good parts today"),
        ("Bộ đếm máy cuối chuyền trừ phế phẩm", "Last machine's counter less its scrap"),
    ),
    _f(
        "rate_h",
        "/h",
        0,
        ("Năng suất", "Rate"),
        _until(
            ("Sản phẩm đạt trong 15 phút qua × 4", "Good parts of the last 15 min × 4"), _MINUTES
        ),
    ),
    _f(
        "kwh_per_unit",
        "kWh/pc",
        3,
        ("Điện năng mỗi sản phẩm", "Energy per unit"),
        _until(
            (
                "Điện năng các máy hôm nay / sản phẩm đạt",
                "Energy of the machines today / good parts",
            ),
            _PARTS,
        ),
    ),
    _f(
        "bottleneck",
        "",
        0,
        ("Nút thắt (máy)", "Bottleneck (machine)"),
        _until(
            (
                "Máy có thời gian chạy + dừng do chính nó lớn nhất trong 1 giờ qua, đếm từ 1",
                "Machine with the most busy and own down time of the last hour, counted from 1",
            ),
            _MINUTES,
        ),
    ),
)

FIGURE_KINDS: Final[Mapping[str, tuple[FigureKind, ...]]] = MappingProxyType(
    {
        "park": _PARK,
        "transformer": (
            _f(
                "mva",
                "MVA",
                1,
                ("Công suất biểu kiến", "Apparent power"),
                ("√(P² + Q²)", "√(P² + Q²)"),
            ),
            _f(
                "loading_pct",
                "%",
                0,
                ("Mức mang tải", "Loading"),
                ("Công suất biểu kiến / định mức", "Apparent power / rating"),
                band=(None, 100.0),
                scale=(0.0, 150.0),
            ),
            _f(
                "oil_c",
                "°C",
                0,
                ("Nhiệt độ dầu", "Oil temperature"),
                _READ,
                band=(None, 95.0),
                scale=(20.0, 110.0),
                source="measured",
            ),
        ),
        "feeder": (
            _f("mw", "MW", 2, ("Công suất", "Power"), _READ, source="measured"),
            _f("amps", "A", 0, ("Dòng điện", "Current"), _READ, source="measured"),
            _f(
                "loading_pct",
                "%",
                0,
                ("Mức mang tải", "Loading"),
                ("Dòng điện / định mức", "Current / rating"),
                band=(None, 95.0),
                scale=(0.0, 130.0),
            ),
        ),
        "pv": (
            _f("kw", "kW", 0, ("Công suất", "Power"), _READ, source="measured"),
            _f(
                "expected_kw",
                "kW",
                0,
                ("Công suất kỳ vọng", "Expected power"),
                (
                    "Từ bức xạ đo được trên mặt tấm; không có thì bức xạ trời quang",
                    "From the measured irradiance of the array; without it, from the clear sky",
                ),
                source="estimated",
            ),
            _f(
                "yield_pct",
                "%",
                0,
                ("Tỷ lệ so với kỳ vọng", "Yield against expected"),
                (
                    "Công suất / kỳ vọng; chỉ khi kỳ vọng trên 5 % công suất đặt",
                    "Power / expected; only while expected is over 5 % of the peak",
                ),
                band=(70.0, None),
                scale=(0.0, 120.0),
            ),
        ),
        "bess": (
            _f("kw", "kW", 0, ("Công suất (+ xả)", "Power (+ out)"), _READ, source="measured"),
            _f(
                "soc_pct",
                "%",
                0,
                ("Mức sạc", "State of charge"),
                _READ,
                band=(12.0, None),
                scale=_FULL,
                source="measured",
            ),
        ),
        "site": _SITE,
        "line": _LINE,
        "machine": (
            _f(
                "state",
                "",
                0,
                ("Trạng thái", "State"),
                (
                    "0 không có, 1 ngừng sử dụng, 2 chờ, 3 chạy",
                    "0 not available, 1 out of service, 2 not executing, 3 executing",
                ),
                scale=(0.0, 3.0),
                source="measured",
            ),
            _f("kw", "kW", 1, ("Công suất", "Power"), _READ, source="measured"),
        ),
        "gate": (
            _f("queue", "", 0, ("Xe chờ", "Vehicles waiting"), _READ, source="measured"),
            _f("busy", "", 0, ("Làn đang phục vụ", "Lanes busy"), _READ, source="measured"),
            _f(
                "turn_p90_min",
                "min",
                0,
                ("Quay vòng xe, 90 %", "Turn time, 90 %"),
                ("Phân vị 90 % trong 1 giờ qua", "90 % quantile of the last hour"),
            ),
        ),
        "yard": (_f("occupied", "", 0, ("Ô đang dùng", "Occupied"), _READ, source="measured"),),
        "dock": (_f("busy", "", 0, ("Đang dùng", "Busy"), _READ, source="measured"),),
        "berth": (_f("busy", "", 0, ("Đang dùng", "Busy"), _READ, source="measured"),),
        "wwtp": (_f("m3_h", "m³/h", 0, ("Lưu lượng", "Flow"), _READ, source="measured"),),
        "endpoint": (
            _f(
                "alive",
                "",
                0,
                ("Hoạt động", "Alive"),
                ("1 có kết nối, 0 gián đoạn", "1 connected, 0 in a gap"),
                band=(0.5, None),
                scale=(0.0, 1.0),
            ),
            _f(
                "trouble",
                "",
                0,
                ("Bất thường", "In trouble"),
                (
                    "1 có kết nối nhưng có điều bất thường (đứng yên, tràn hàng đợi, lệch giờ)",
                    "1 connected, and yet something is wrong (frozen, overflow, clock, bad values)",
                ),
                band=(None, 0.5),
                scale=(0.0, 1.0),
            ),
            _f(
                "bad_pct",
                "%",
                1,
                ("Điểm đo xấu", "Bad tags"),
                (
                    f"Phần điểm đo có chất lượng xấu, trung bình {BAD_MINUTES} phút qua khi có "
                    "kết nối",
                    f"Share of its tags whose value is bad, mean over the last {BAD_MINUTES} min "
                    "it was heard",
                ),
                scale=_FULL,
            ),
            _f(
                "certificate_days",
                "d",
                0,
                ("Chứng thư máy chủ còn hạn", "Server's certificate still valid"),
                (
                    "Số ngày đến khi chứng thư máy chủ hết hạn; âm là đã hết hạn",
                    "Days until its server's certificate expires; negative afterwards",
                ),
            ),
        ),
    }
)
"""Scope → its figures, in the order pages show them."""

SCOPE_OF_TYPE: Final[Mapping[str, str]] = MappingProxyType(
    {scope: scope for scope in FIGURE_KINDS if scope not in ("park", "wwtp")}
    | {"wastewater_plant": "wwtp"}
)
"""Asset type → the scope of its figures; types that are missing have none."""
