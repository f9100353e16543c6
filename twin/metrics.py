"""The metrics an asset of each type has: the catalogue behind every tag path.

A tag path is ``<park>/<asset id>/<metric>``. The catalogue says the stored unit and the kind of
each metric; a mapping may read another unit at the source, the difference is the tag's scale.
State codes: ``item_state`` and ``operation_mode`` follow OPC 40001-1 (`MachineryItemState`,
`MachineryOperationMode`) in the order given here.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from twin.label import Label
from twin.tags import Kind

ITEM_STATES: Final = ("NotAvailable", "OutOfService", "NotExecuting", "Executing")
OPERATION_MODES: Final = ("None", "Maintenance", "Setup", "Processing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: its unit as stored, its kind, its name in both languages."""

    name: str
    unit: str
    kind: Kind
    label: Label


def _m(name: str, unit: str, kind: Kind, vi: str, en: str) -> Metric:
    return Metric(name=name, unit=unit, kind=kind, label=Label(vi=vi, en=en))


_POWER: Final = _m("active_power", "kW", Kind.GAUGE, "Công suất tác dụng", "Active power")
_REACTIVE: Final = _m(
    "reactive_power", "kvar", Kind.GAUGE, "Công suất phản kháng", "Reactive power"
)
_ENERGY: Final = _m("active_energy", "kWh", Kind.COUNTER, "Điện năng tác dụng", "Active energy")
_KVARH: Final = _m(
    "reactive_energy", "kvarh", Kind.COUNTER, "Điện năng phản kháng", "Reactive energy"
)
_CURRENT: Final = _m("current", "A", Kind.GAUGE, "Dòng điện", "Current")

METRICS: Final = MappingProxyType(
    {
        "machine": (
            _m("item_state", "", Kind.STATE, "Trạng thái máy", "Item state"),
            _m("operation_mode", "", Kind.STATE, "Chế độ vận hành", "Operation mode"),
            _m("part_count", "", Kind.COUNTER, "Bộ đếm sản phẩm", "Part counter"),
            _m("scrap_count", "", Kind.COUNTER, "Bộ đếm phế phẩm", "Scrap counter"),
            _POWER,
            _ENERGY,
            _CURRENT,
            _m("temperature", "degC", Kind.GAUGE, "Nhiệt độ", "Temperature"),
            _m("cycle_time", "s", Kind.GAUGE, "Thời gian chu kỳ", "Cycle time"),
            _m("vibration", "mm/s", Kind.GAUGE, "Độ rung", "Vibration"),
        ),
        "buffer": (_m("level", "", Kind.GAUGE, "Số lượng trong bộ đệm", "Level"),),
        "site": (
            _POWER,
            _REACTIVE,
            _ENERGY,
            _KVARH,
            _m("voltage", "kV", Kind.GAUGE, "Điện áp", "Voltage"),
        ),
        "feeder": (_POWER, _REACTIVE, _CURRENT),
        "transformer": (
            _POWER,
            _REACTIVE,
            _CURRENT,
            _m("oil_temperature", "degC", Kind.GAUGE, "Nhiệt độ dầu", "Oil temperature"),
            _m("breaker", "", Kind.STATE, "Máy cắt (1 đóng)", "Breaker (1 closed)"),
        ),
        "pv": (
            _POWER,
            _ENERGY,
            _m("irradiance", "W/m2", Kind.GAUGE, "Bức xạ", "Irradiance"),
            _m("module_temperature", "degC", Kind.GAUGE, "Nhiệt độ tấm pin", "Module temperature"),
            _m("strings_ok", "", Kind.GAUGE, "Số chuỗi hoạt động", "Strings in operation"),
        ),
        "bess": (
            _POWER,
            _m("state_of_charge", "%", Kind.GAUGE, "Mức sạc", "State of charge"),
            _m("energy_in", "kWh", Kind.COUNTER, "Điện năng sạc", "Energy charged"),
            _m("energy_out", "kWh", Kind.COUNTER, "Điện năng xả", "Energy discharged"),
            _m("operation_mode", "", Kind.STATE, "Chế độ vận hành", "Operation mode"),
        ),
        "gate": (
            _m("queue", "", Kind.GAUGE, "Xe đang chờ", "Vehicles waiting"),
            _m("lanes_busy", "", Kind.GAUGE, "Làn đang phục vụ", "Lanes busy"),
            _m("entries", "", Kind.COUNTER, "Lượt vào", "Entries"),
            _m("exits", "", Kind.COUNTER, "Lượt ra", "Exits"),
            _m("turn_time", "min", Kind.GAUGE, "Thời gian quay vòng", "Turn time"),
        ),
        "yard": (_m("occupied", "", Kind.GAUGE, "Ô đang dùng", "Slots occupied"),),
        "dock": (_m("busy", "", Kind.STATE, "Đang dùng", "Busy"),),
        "berth": (
            _m("busy", "", Kind.STATE, "Đang dùng", "Busy"),
            _m("tonnes", "t", Kind.COUNTER, "Khối lượng bốc dỡ", "Tonnes handled"),
        ),
        "wastewater_plant": (
            _m("flow", "m3/h", Kind.GAUGE, "Lưu lượng", "Flow"),
            _m("volume", "m3", Kind.COUNTER, "Thể tích đã xử lý", "Volume treated"),
            _m("cod", "mg/L", Kind.GAUGE, "COD đầu ra", "COD at the outlet"),
            _POWER,
        ),
        "boiler": (
            _m("steam_flow", "t/h", Kind.GAUGE, "Lưu lượng hơi", "Steam flow"),
            _m("pressure", "bar", Kind.GAUGE, "Áp suất", "Pressure"),
        ),
        "weather": (
            _m("air_temperature", "degC", Kind.GAUGE, "Nhiệt độ không khí", "Air temperature"),
            _m("irradiance", "W/m2", Kind.GAUGE, "Bức xạ toàn phần", "Global irradiance"),
        ),
    }
)
"""Asset type → its metrics. Power of a battery is positive when it discharges."""
