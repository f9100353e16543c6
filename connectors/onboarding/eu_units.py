"""Engineering units as servers write them, as the units of `models.units`.

OPC UA carries the UNECE Recommendation 20 code as a number (its bytes, big-endian), and a display
name in any spelling. The code counts when both are there.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from models.units import DIMENSION_OF_UNIT

_CODES: Final[Mapping[str, str]] = {
    "WTT": "W", "KWT": "kW", "MAW": "MW", "A90": "GW",
    "WHR": "Wh", "KWH": "kWh", "MWH": "MWh", "GWH": "GWh", "JOU": "J", "KJO": "kJ", "3B": "MJ",
    "GV": "GJ", "D46": "VA", "KVA": "kVA", "MVA": "MVA", "D44": "var", "KVR": "kvar",
    "MAR": "Mvar", "K3": "kvarh", "VLT": "V", "KVT": "kV", "AMP": "A", "4K": "mA", "B22": "kA",
    "SEC": "s", "C26": "ms", "MIN": "min", "HUR": "h", "DAY": "d", "MTR": "m", "MMT": "mm",
    "CMT": "cm", "KMT": "km", "MTQ": "m3", "LTR": "l", "KGM": "kg", "GRM": "g", "TNE": "t",
    "MQH": "m3/h", "MQS": "m3/s", "G51": "l/s", "L2": "l/min", "E93": "kg/h", "4M": "mg/h",
    "E18": "t/h", "CEL": "degC", "KEL": "K", "FAH": "degF", "BAR": "bar", "KPA": "kPa",
    "PAL": "Pa", "MPA": "MPa", "MBR": "mbar", "D54": "W/m2", "P1": "%", "C16": "mm/s",
    "MTS": "m/s", "M1": "mg/L", "HTZ": "Hz", "RPM": "rpm", "C62": "1", "DD": "deg",
}  # fmt: skip
_SPELLINGS: Final[Mapping[str, str]] = {
    "c": "degC", "°c": "degC", "degc": "degC", "oc": "degC", "do c": "degC", "deg c": "degC",
    "celsius": "degC", "degree celsius": "degC", "m³/h": "m3/h", "m3/gio": "m3/h", "m³": "m3",
    "cbm": "m3", "w/m²": "W/m2", "kw/m²": "kW/m2", "kwh": "kWh", "mwh": "MWh", "wh": "Wh",
    "kw": "kW", "mw": "MW", "gwh": "GWh", "kvar": "kvar", "mvar": "Mvar", "kvarh": "kvarh",
    "mvarh": "Mvarh", "kva": "kVA", "mva": "MVA", "v": "V", "kv": "kV", "a": "A", "amp": "A",
    "ampe": "A", "amps": "A", "ampere": "A", "ka": "kA", "ma": "mA", "s": "s", "sec": "s",
    "giay": "s", "second": "s", "seconds": "s", "ms": "ms", "min": "min", "phut": "min",
    "minutes": "min", "h": "h", "gio": "h", "hour": "h", "hours": "h", "t/h": "t/h", "t/gio": "t/h",
    "tan/h": "t/h", "tan/gio": "t/h", "kg/h": "kg/h", "l/s": "l/s", "bar": "bar", "kpa": "kPa",
    "mpa": "MPa", "pa": "Pa", "mg/l": "mg/L", "mm/s": "mm/s", "%": "%", "pct": "%",
    "percent": "%", "hz": "Hz", "rpm": "rpm", "v/ph": "rpm", "vong/phut": "rpm", "tan": "t",
    "tonne": "t", "tonnes": "t", "w": "W", "var": "var", "va": "VA", "pcs": "1", "pc": "1",
    "cai": "1", "sp": "1", "units": "1", "count": "1", "ea": "1", "kg": "kg", "mj": "MJ",
    "gj": "GJ", "k": "K", "mm": "mm", "m3/d": "m3/d", "m3/ngay": "m3/d", "m3/h": "m3/h",
    "m3": "m3", "w/m2": "W/m2",
}  # fmt: skip
_BRACKETED: Final = re.compile(
    r"[\[(]\s*([^\[\]()\s]{1,12}(?: C)?)\s*[\])]|\b(?:in|theo|,)\s+(\S{1,8})\s*$"
)


def unit_of(text: str, unit_id: int | None = None) -> str:
    """Unit in our spelling; the text itself where it is none we know, empty where there is none."""
    if unit_id is not None and 0 < unit_id < 2**32:
        code = unit_id.to_bytes(4, "big").lstrip(b"\0").decode("ascii", "replace")
        if code in _CODES:
            return _CODES[code]
    plain = unicodedata.normalize("NFC", text.strip())
    if plain in DIMENSION_OF_UNIT:
        return "degC" if plain == "°C" else _plain_powers(plain)
    return _SPELLINGS.get(_folded(plain), plain)


def unit_in(description: str) -> str:
    """Unit a description names: ``[t/h]``, ``(kW)``, ``in kW`` or ``, bar`` at its end."""
    for first, last in _BRACKETED.findall(unicodedata.normalize("NFC", description.strip())):
        found = first or last
        unit = unit_of(found)
        if unit in DIMENSION_OF_UNIT or unit in _CODES.values():
            return unit
    return ""


def _plain_powers(text: str) -> str:
    return text.replace("²", "2").replace("³", "3")


def _folded(text: str) -> str:
    marks = unicodedata.normalize("NFD", text.casefold().replace("đ", "d"))
    return (
        "".join(c for c in marks if not unicodedata.combining(c))
        if "°" not in text
        else text.casefold()
    )
