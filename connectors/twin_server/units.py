"""Units of figures as OPC UA's EUInformation: the common code of UN/CEFACT Recommendation 20."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"
NO_CODE: Final = -1
"""UnitId of a unit the recommendation does not know (OPC 10000-8, 5.6.4.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit: its common code (empty where there is none), and its name."""

    code: str
    name: str


UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "W": Unit(code="WTT", name="watt"),
        "kW": Unit(code="KWT", name="kilowatt"),
        "MW": Unit(code="MAW", name="megawatt"),
        "kVA": Unit(code="KVA", name="kilovolt ampere"),
        "MVA": Unit(code="MVA", name="megavolt ampere"),
        "kWh": Unit(code="KWH", name="kilowatt hour"),
        "MWh": Unit(code="MWH", name="megawatt hour"),
        "A": Unit(code="AMP", name="ampere"),
        "°C": Unit(code="CEL", name="degree Celsius"),
        "%": Unit(code="P1", name="percent"),
        "min": Unit(code="MIN", name="minute"),
        "/h": Unit(code="H10", name="reciprocal hour"),
        "m³/h": Unit(code="MQH", name="cubic metre per hour"),
        "kgCO₂e/h": Unit(code="E93", name="kilogram of CO2 equivalent per hour"),
        "tCO₂e": Unit(code="TNE", name="tonne of CO2 equivalent"),
        "kWh/pc": Unit(code="", name="kilowatt hour per piece"),
        "MVND": Unit(code="", name="million Vietnamese dong"),
    }
)


def unit_id(unit: str) -> int:
    """EUInformation's UnitId: the common code read as a big-endian number, -1 without a code."""
    known = UNITS.get(unit)
    return int.from_bytes(known.code.encode(), "big") if known and known.code else NO_CODE


def unit_name(unit: str) -> str:
    """What a unit is called; the unit itself where it has no name here."""
    known = UNITS.get(unit)
    return known.name if known else unit
