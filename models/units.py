"""Quantities written with their unit, and the one unit each dimension has inside.

Everywhere inside parktwin a number of a dimension is a float in its canonical unit:

====================== ============= ================================================
dimension              canonical     also read
====================== ============= ================================================
power                  kW            W, MW, GW
peak_power             kWp           Wp, MWp (solar, at standard test conditions)
energy                 kWh           Wh, MWh, GWh, kJ, MJ, GJ
apparent_power         kVA           VA, MVA
reactive_power         kvar          var, Mvar
reactive_energy        kvarh         varh, Mvarh
voltage                kV            V
current                A             mA, kA
duration               s             us, ms, min, h, d, weeks
length                 m             mm, cm, km
area                   m2            ha, km2
volume                 m3            l
mass                   kg            g, t, kt
volume_flow            m3/h          m3/s, m3/min, m3/d, l/s, l/min
mass_flow              kg/h          kg/s, kg/min, kg/d, t/h, t/d
speed                  m/s           km/h
temperature            degC          °C
temperature_difference K
angle                  deg           rad
pressure               bar           Pa, kPa, MPa, mbar
irradiance             W/m2          kW/m2
rate                   1/h           1/s, 1/min, 1/d, parts/h, trucks/d and their like
ratio                  1             no unit at all, %
temperature_ratio      1/K           %/K
money                  VND           kVND, MVND
energy_price           VND/kWh       VND/MWh, kVND/kWh
capacity_price         VND/kW        VND/MW, kVND/kW (per month)
energy_per_part        kWh/part      Wh/part, MJ/part
emission_factor        kgCO2e/kWh    tCO2e/MWh, gCO2e/kWh
emission_mass          kgCO2e        tCO2e, gCO2e
====================== ============= ================================================

The factors are exact fractions and a text is converted in one rounding, so ``0.1 MW`` is
exactly ``100.0`` kW and formatting loses nothing.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Final

from models.errors import InputError, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One physical dimension.

    Parameters
    ----------
    name
        Its name, e.g. ``power``.
    canonical
        The unit every number of this dimension has inside.
    units
        Unit → how many canonical units it is, exactly.
    example
        A text a person may write.
    """

    name: str
    canonical: str
    units: Mapping[str, Fraction]
    example: str


_K: Final = Fraction(1000)
_H: Final = Fraction(3600)
_D: Final = Fraction(24)


def _per_hour(noun: str) -> dict[str, Fraction | int]:
    return {
        f"{noun}/h": Fraction(1),
        f"{noun}/min": Fraction(60),
        f"{noun}/s": _H,
        f"{noun}/d": 1 / _D,
    }


_TABLE: Final[tuple[tuple[str, str, str, Mapping[str, Fraction | int]], ...]] = (
    ("power", "kW", "45 kW", {"kW": 1, "W": 1 / _K, "MW": _K, "GW": _K**2}),
    ("peak_power", "kWp", "7000 kWp", {"kWp": 1, "Wp": 1 / _K, "MWp": _K}),
    (
        "energy",
        "kWh",
        "20 MWh",
        {
            "kWh": 1,
            "Wh": 1 / _K,
            "MWh": _K,
            "GWh": _K**2,
            "kJ": 1 / _H,
            "MJ": _K / _H,
            "GJ": _K**2 / _H,
        },
    ),
    ("apparent_power", "kVA", "63 MVA", {"kVA": 1, "VA": 1 / _K, "MVA": _K}),
    ("reactive_power", "kvar", "500 kvar", {"kvar": 1, "var": 1 / _K, "Mvar": _K}),
    ("reactive_energy", "kvarh", "500 kvarh", {"kvarh": 1, "varh": 1 / _K, "Mvarh": _K}),
    ("voltage", "kV", "110 kV", {"kV": 1, "V": 1 / _K}),
    ("current", "A", "400 A", {"A": 1, "mA": 1 / _K, "kA": _K}),
    (
        "duration",
        "s",
        "28 s",
        {
            "s": 1,
            "us": 1 / _K**2,
            "ms": 1 / _K,
            "min": 60,
            "h": _H,
            "d": 24 * _H,
            "weeks": 7 * 24 * _H,
            "week": 7 * 24 * _H,
        },
    ),
    ("length", "m", "12 km", {"m": 1, "mm": 1 / _K, "cm": Fraction(1, 100), "km": _K}),
    ("area", "m2", "500 ha", {"m2": 1, "m²": 1, "ha": 10_000, "km2": _K**2, "km²": _K**2}),
    ("volume", "m3", "12000 m3", {"m3": 1, "m³": 1, "l": 1 / _K}),
    ("mass", "kg", "24 t", {"kg": 1, "g": 1 / _K, "t": _K, "kt": _K**2}),
    (
        "volume_flow",
        "m3/h",
        "4 m3/h",
        {
            "m3/h": 1,
            "m³/h": 1,
            "m3/s": _H,
            "m³/s": _H,
            "m3/min": 60,
            "m³/min": 60,
            "m3/d": 1 / _D,
            "m³/d": 1 / _D,
            "l/s": _H / _K,
            "l/min": 60 / _K,
        },
    ),
    (
        "mass_flow",
        "kg/h",
        "12 t/h",
        {"kg/h": 1, "kg/s": _H, "kg/min": 60, "kg/d": 1 / _D, "t/h": _K, "t/d": _K / _D},
    ),
    ("speed", "m/s", "40 km/h", {"m/s": 1, "km/h": _K / _H}),
    ("temperature", "degC", "60 degC", {"degC": 1, "°C": 1}),
    ("temperature_difference", "K", "5 K", {"K": 1}),
    (
        "angle",
        "deg",
        "10 deg",
        {"deg": 1, "°": 1, "rad": Fraction(180) / Fraction(math.pi)},
    ),
    (
        "pressure",
        "bar",
        "8 bar",
        {"bar": 1, "mbar": 1 / _K, "Pa": Fraction(1, 100_000), "kPa": Fraction(1, 100), "MPa": 10},
    ),
    ("irradiance", "W/m2", "800 W/m2", {"W/m2": 1, "W/m²": 1, "kW/m2": _K}),
    (
        "rate",
        "1/h",
        "1500 trucks/d",
        {**_per_hour("1"), **_per_hour("parts"), **_per_hour("trucks"), **_per_hour("barges")},
    ),
    ("ratio", "1", "0.88", {"1": 1, "%": Fraction(1, 100)}),
    ("temperature_ratio", "1/K", "-0.35 %/K", {"1/K": 1, "%/K": Fraction(1, 100)}),
    ("money", "VND", "1500000 VND", {"VND": 1, "kVND": _K, "MVND": _K**2}),
    (
        "energy_price",
        "VND/kWh",
        "1833 VND/kWh",
        {"VND/kWh": 1, "VND/MWh": 1 / _K, "kVND/kWh": _K},
    ),
    (
        "capacity_price",
        "VND/kW",
        "235414 VND/kW",
        {"VND/kW": 1, "VND/MW": 1 / _K, "kVND/kW": _K},
    ),
    (
        "energy_per_part",
        "kWh/part",
        "0.4 kWh/part",
        {"kWh/part": 1, "Wh/part": 1 / _K, "MJ/part": _K / _H},
    ),
    (
        "emission_factor",
        "kgCO2e/kWh",
        "0.6592 tCO2e/MWh",
        {"kgCO2e/kWh": 1, "tCO2e/MWh": 1, "gCO2e/kWh": 1 / _K},
    ),
    ("emission_mass", "kgCO2e", "12 tCO2e", {"kgCO2e": 1, "tCO2e": _K, "gCO2e": 1 / _K}),
)

DIMENSIONS: Final[Mapping[str, Dimension]] = {
    name: Dimension(
        name=name,
        canonical=canonical,
        units={unit: Fraction(factor) for unit, factor in units.items()},
        example=example,
    )
    for name, canonical, example, units in _TABLE
}
"""Every dimension by name."""

DIMENSION_OF_UNIT: Final[Mapping[str, str]] = {
    unit: dimension.name for dimension in DIMENSIONS.values() for unit in dimension.units
}
"""The dimension a unit belongs to; no unit belongs to two."""

_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?")
_THOUSANDS: Final = re.compile(
    r"([+-]?)(\d{1,3}(?:[,_' \u00a0\u202f]\d{3})+)(?![\d,])(.*)", re.DOTALL
)
_DECIMAL_COMMA: Final = re.compile(r"([+-]?\d+),(\d+)(.*)", re.DOTALL)


def quantity(text: str | float, dimension: str) -> float:
    """Read a quantity such as ``45 kW`` into the canonical unit of its dimension.

    Parameters
    ----------
    text
        A number, one unit, at most one space between them. The decimal mark is a point and
        there is no thousands mark. A bare number (also a Python number) is read only where the
        dimension is ``ratio``.
    dimension
        Name of a dimension of `DIMENSIONS`.

    Returns
    -------
    float
        The value in the dimension's canonical unit, rounded once; always finite.

    Raises
    ------
    InputError
        If the text is not a number with a unit of that dimension; the remedy says what to write.
    """
    wanted = dimension_named(dimension)
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise InputError(f"{text!r} is no quantity", f"write e.g. '{wanted.example}'")
    written = text.strip() if isinstance(text, str) else repr(text)
    number, unit = _split(written, wanted)
    value = _rounded(Fraction(number) * _factor(written, number, unit, wanted))
    if not math.isfinite(value) or (value == 0.0 and Fraction(number) != 0):
        raise InputError(f"'{written}' is out of range", f"write e.g. '{wanted.example}'")
    return value


def format_quantity(value: float, dimension: str, unit: str = "") -> str:
    """Write a value so that `quantity` reads exactly the same value back.

    Parameters
    ----------
    value
        Value in the canonical unit of the dimension; finite.
    dimension
        Name of a dimension of `DIMENSIONS`.
    unit
        Unit to write; the canonical one when empty, and also when the value has no text in the
        wanted unit that reads back exactly.

    Returns
    -------
    str
        Such as ``45 kW``; whole numbers without a point, a ratio without a unit.
    """
    wanted = dimension_named(dimension)
    if not math.isfinite(value):
        raise InputError(f"{value!r} is no quantity", "only finite numbers are written")
    if unit and unit not in wanted.units:
        raise InputError(f"'{unit}' is no unit of {dimension}", _units_of(wanted))
    if unit:
        factor = wanted.units[unit]
        near = _rounded(Fraction(value) / factor)
        for candidate in (near, math.nextafter(near, math.inf), math.nextafter(near, -math.inf)):
            exact = math.isfinite(candidate) and _rounded(_decimal(candidate) * factor) == value
            if exact and (candidate != 0.0 or value == 0.0):
                return _joined(candidate, unit)
    return _joined(value, wanted.canonical)


def convert(value: float, unit: str, to: str) -> float:
    """Convert a value between two units of one dimension, e.g. kWh → MWh.

    Raises
    ------
    InputError
        If a unit is unknown or the two belong to different dimensions.
    """
    for name in (unit, to):
        if name not in DIMENSION_OF_UNIT:
            raise NotFound("unit", name, tuple(DIMENSION_OF_UNIT))
    dimension, other = DIMENSION_OF_UNIT[unit], DIMENSION_OF_UNIT[to]
    if dimension != other:
        raise InputError(
            f"{unit} ({dimension}) cannot become {to} ({other})",
            _units_of(DIMENSIONS[dimension]),
        )
    units = DIMENSIONS[dimension].units
    return float(Fraction(value) * units[unit] / units[to])


def dimension_named(name: str) -> Dimension:
    """Return the dimension of that name, or say which names are near."""
    if name not in DIMENSIONS:
        raise NotFound("dimension", name, tuple(DIMENSIONS))
    return DIMENSIONS[name]


def _rounded(exact: Fraction) -> float:
    """Return the nearest float, infinite beyond the largest."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


def _decimal(value: float) -> Fraction:
    """Return the number that the shortest text of a float stands for."""
    return Fraction(repr(value))


def _split(written: str, wanted: Dimension) -> tuple[str, str]:
    """Split a text into its number and its unit (empty when there is none)."""
    found = _NUMBER.match(written)
    _refuse_marks(written)
    if found is None:
        raise InputError(f"'{written}' does not start with a number", f"write '{wanted.example}'")
    number, rest = found.group(), written[found.end() :]
    unit = rest.strip()
    if rest != unit and rest != f" {unit}":
        raise InputError(f"'{written}' has more than one space", f"write '{number} {unit}'")
    return number, unit


def _refuse_marks(written: str) -> None:
    """Refuse thousands marks and decimal commas, and say how to write the number instead."""
    grouped = _THOUSANDS.match(written)
    if grouped:
        sign, digits, rest = grouped.groups()
        plain = sign + re.sub(r"\D", "", digits) + rest
        remedy = f"write '{plain}'"
        if digits.count(",") == 1:
            remedy += (
                f", or '{sign}{digits.replace(',', '.')}{rest}' if the comma is a decimal mark"
            )
        raise InputError(f"'{written}' has a thousands mark", remedy)
    comma = _DECIMAL_COMMA.match(written)
    if comma:
        whole, decimals, rest = comma.groups()
        raise InputError(f"'{written}' has a decimal comma", f"write '{whole}.{decimals}{rest}'")


def _factor(written: str, number: str, unit: str, wanted: Dimension) -> Fraction:
    """How many canonical units the written unit is; refuse what does not belong."""
    if unit in wanted.units:
        return wanted.units[unit]
    if not unit and wanted.name == "ratio":
        return Fraction(1)
    if not unit:
        raise InputError(f"'{written}' has no unit", f"write e.g. '{number} {wanted.canonical}'")
    if unit in DIMENSION_OF_UNIT:
        other = DIMENSION_OF_UNIT[unit]
        raise InputError(
            f"'{written}' is a quantity of {other}, here {wanted.name} is wanted", _units_of(wanted)
        )
    near = _near(unit, wanted)
    remedy = f"did you mean '{number} {near}'?" if near else _units_of(wanted)
    raise InputError(f"'{unit}' in '{written}' is no unit of {wanted.name}", remedy)


def _near(unit: str, wanted: Dimension) -> str:
    """Return the unit of the dimension a person most probably meant; empty when none is near."""
    if unit == "C" and "degC" in wanted.units:
        return "degC"
    folded: dict[str, str] = {}
    for known in wanted.units:
        folded.setdefault(known.casefold(), known)
    if unit.casefold() in folded:
        return folded[unit.casefold()]
    near: list[str] = get_close_matches(unit.casefold(), list(folded), n=1, cutoff=0.4)
    return folded[near[0]] if near else ""


def _units_of(wanted: Dimension) -> str:
    units = ", ".join(wanted.units)
    return f"write e.g. '{wanted.example}' (units: {units})"


def _joined(value: float, unit: str) -> str:
    number = repr(float(value))
    number = number.removesuffix(".0")
    return number if unit == "1" else f"{number} {unit}"
