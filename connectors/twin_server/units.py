"""Units of figures as OPC UA's EUInformation: what they are called, and their number."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from connectors.eu_codes import unit_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit of figures.

    Parameters
    ----------
    name
        What it is called.
    coded
        The unit whose code it has, in the spelling of `CODES`.
    """

    name: str
    coded: str = ""


UNITS: Final[Mapping[str, Unit]] = MappingProxyType(
    {
        "W": Unit(name="watt", coded="W"),
        "kW": Unit(name="kilowatt", coded="kW"),
        "MW": Unit(name="megawatt", coded="MW"),
        "kVA": Unit(name="kilovolt ampere", coded="kVA"),
        "MVA": Unit(name="megavolt ampere", coded="MVA"),
        "kWh": Unit(name="kilowatt hour", coded="kWh"),
        "MWh": Unit(name="megawatt hour", coded="MWh"),
        "A": Unit(name="ampere", coded="A"),
        "°C": Unit(name="degree Celsius", coded="degC"),
        "%": Unit(name="percent", coded="%"),
        "min": Unit(name="minute", coded="min"),
        "d": Unit(name="day", coded="d"),
        "/h": Unit(name="reciprocal hour", coded="1/h"),
        "m³/h": Unit(name="cubic metre per hour", coded="m3/h"),
        "kgCO₂e/h": Unit(name="kilogram of CO2 equivalent per hour", coded="kg/h"),
        "tCO₂e": Unit(name="tonne of CO2 equivalent", coded="t"),
        "kWh/pc": Unit(name="kilowatt hour per piece"),
        "MVND": Unit(name="million Vietnamese dong"),
    }
)


def eu_id(unit: str) -> int:
    """UnitId of a unit of figures; -1 without a code."""
    known = UNITS.get(unit)
    return unit_id(known.coded if known else "")


def eu_name(unit: str) -> str:
    """What a unit is called; the unit itself where it has no name here."""
    known = UNITS.get(unit)
    return known.name if known else unit
