"""Units and the numbers OPC UA's EUInformation has for them.

A number is a common code of UNECE Recommendation 20, its bytes read big-endian (OPC 10000-8,
5.6.4.3).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
NO_CODE: Final = -1
"""UnitId of a unit the recommendation does not know."""

CODES: Final[Mapping[str, str]] = MappingProxyType({
    "WTT": "W", "KWT": "kW", "MAW": "MW", "A90": "GW",
    "WHR": "Wh", "KWH": "kWh", "MWH": "MWh", "GWH": "GWh", "JOU": "J", "KJO": "kJ", "3B": "MJ",
    "GV": "GJ", "D46": "VA", "KVA": "kVA", "MVA": "MVA", "D44": "var", "KVR": "kvar",
    "MAR": "Mvar", "K3": "kvarh", "VLT": "V", "KVT": "kV", "AMP": "A", "4K": "mA", "B22": "kA",
    "SEC": "s", "C26": "ms", "MIN": "min", "HUR": "h", "DAY": "d", "MTR": "m", "MMT": "mm",
    "CMT": "cm", "KMT": "km", "MTQ": "m3", "LTR": "l", "KGM": "kg", "GRM": "g", "TNE": "t",
    "MQH": "m3/h", "MQS": "m3/s", "G51": "l/s", "L2": "l/min", "E93": "kg/h", "4M": "mg/h",
    "E18": "t/h", "CEL": "degC", "KEL": "K", "FAH": "degF", "BAR": "bar", "KPA": "kPa",
    "PAL": "Pa", "MPA": "MPa", "MBR": "mbar", "D54": "W/m2", "P1": "%", "C16": "mm/s",
    "MTS": "m/s", "M1": "mg/L", "HTZ": "Hz", "RPM": "rpm", "C62": "1", "DD": "deg", "H10": "1/h",
})  # fmt: skip
"""Common code → unit in our spelling."""

_CODE_OF: Final = {unit: code for code, unit in CODES.items()}


def unit_id(unit: str) -> int:
    """UnitId of a unit; `NO_CODE` where it has no code."""
    code = _CODE_OF.get(unit)
    return NO_CODE if code is None else int.from_bytes(code.encode(), "big")


def unit_of_id(number: int | None) -> str:
    """Unit of a UnitId; empty where it is none we know."""
    if number is None or not 0 < number < 2**32:
        return ""
    code = number.to_bytes(4, "big").lstrip(b"\0").decode("ascii", "replace")
    return CODES.get(code, "")
