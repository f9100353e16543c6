"""Engineering units as servers write them, as the units of `models.units`.

OPC UA carries the UNECE Recommendation 20 code as a number (its bytes, big-endian), and a display
name in any spelling. The code counts when both are there.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from connectors.eu_codes import CODES, unit_of_id
from models.units import DIMENSION_OF_UNIT

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
    coded = unit_of_id(unit_id)
    if coded:
        return coded
    plain = unicodedata.normalize("NFC", text.strip())
    if plain in DIMENSION_OF_UNIT:
        return "degC" if plain == "°C" else _plain_powers(plain)
    return _SPELLINGS.get(_folded(plain), plain)


def unit_in(description: str) -> str:
    """Unit a description names: ``[t/h]``, ``(kW)``, ``in kW`` or ``, bar`` at its end."""
    for first, last in _BRACKETED.findall(unicodedata.normalize("NFC", description.strip())):
        found = first or last
        unit = unit_of(found)
        if unit in DIMENSION_OF_UNIT or unit in CODES.values():
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
