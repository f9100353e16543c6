"""Quantities are read with their unit, exactly, and refused with a remedy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError, NotFound
from models.units import DIMENSION_OF_UNIT, DIMENSIONS, convert, format_quantity, quantity

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("45 kW", "power", 45.0),
        ("0.1 MW", "power", 100.0),
        ("28 s", "duration", 28.0),
        ("63 MVA", "apparent_power", 63_000.0),
        ("20 MWh", "energy", 20_000.0),
        ("36 MJ", "energy", 10.0),
        ("110 kV", "voltage", 110.0),
        ("400 V", "voltage", 0.4),
        ("12 t/h", "mass_flow", 12_000.0),
        ("7000 kWp", "peak_power", 7000.0),
        ("10 deg", "angle", 10.0),
        ("0.88", "ratio", 0.88),
        (0.88, "ratio", 0.88),
        (1, "ratio", 1.0),
        ("100 %", "ratio", 1.0),
        ("75 s", "duration", 75.0),
        ("2 h", "duration", 7200.0),
        ("90 d", "duration", 7_776_000.0),
        ("4 m3/h", "volume_flow", 4.0),
        ("7200 m³/d", "volume_flow", 300.0),
        ("500 ha", "area", 5_000_000.0),
        ("12 km", "length", 12_000.0),
        ("60 degC", "temperature", 60.0),
        ("-5°C", "temperature", -5.0),
        ("36 km/h", "speed", 10.0),
        ("1500 trucks/d", "rate", 62.5),
        ("0.6592 tCO2e/MWh", "emission_factor", 0.6592),
        ("-0.35 %/K", "temperature_ratio", -0.0035),
        ("1833 VND/kWh", "energy_price", 1833.0),
        ("1e3 W", "power", 1.0),
    ],
)
def test_worked_examples(text, dimension, value):
    assert quantity(text, dimension) == value


@pytest.mark.parametrize(
    ("text", "dimension", "remedy"),
    [
        ("7,000 kWp", "peak_power", "write '7000 kWp'"),
        ("7 000 kWp", "peak_power", "write '7000 kWp'"),
        ("1,250,000 VND", "money", "write '1250000 VND'"),
        ("0,88", "ratio", "write '0.88'"),
        ("45 kw", "power", "did you mean '45 kW'?"),
        ("45 Kwh", "energy", "did you mean '45 kWh'?"),
        ("60 C", "temperature", "did you mean '60 degC'?"),
        ("45", "power", "write e.g. '45 kW'"),
        (45, "power", "write e.g. '45 kW'"),
        ("28 kW", "duration", "write e.g. '28 s'"),
        ("7000 kW", "peak_power", "write e.g. '7000 kWp'"),
        ("fast", "duration", "write '28 s'"),
        ("", "duration", "write '28 s'"),
        ("28  s", "duration", "write '28 s'"),
        ("nan kW", "power", "write '45 kW'"),
        (math.nan, "ratio", "write '0.88'"),
        ("1e400 kW", "power", "write e.g. '45 kW'"),
        ("1e-400 kW", "power", "write e.g. '45 kW'"),
        (True, "ratio", "write e.g. '0.88'"),
        (None, "power", "write e.g. '45 kW'"),
        ("45 kW kW", "power", "did you mean '45 kW'?"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(text, dimension, remedy):
    with pytest.raises(InputError) as caught:
        quantity(text, dimension)
    assert remedy in caught.value.remedy
    assert caught.value.what


def test_a_wrong_dimension_says_both_names():
    with pytest.raises(InputError, match="quantity of energy, here power is wanted"):
        quantity("20 MWh", "power")
    with pytest.raises(NotFound, match="did you mean 'power'"):
        quantity("20 kW", "powr")


@given(value=FINITE, unit=st.sampled_from(sorted(DIMENSION_OF_UNIT)))
def test_what_is_written_reads_back_exactly(value, unit):
    dimension = DIMENSION_OF_UNIT[unit]
    assert quantity(format_quantity(value, dimension), dimension) == value
    assert quantity(format_quantity(value, dimension, unit), dimension) == value


@given(text=st.text(max_size=30), dimension=st.sampled_from(sorted(DIMENSIONS)))
def test_any_text_is_a_finite_number_or_an_input_error(text, dimension):
    try:
        value = quantity(text, dimension)
    except InputError:
        return
    assert math.isfinite(value)


def test_every_dimension_reads_its_own_example_and_owns_its_units_alone():
    units = [unit for dimension in DIMENSIONS.values() for unit in dimension.units]
    assert len(units) == len(set(units))
    for dimension in DIMENSIONS.values():
        assert dimension.units[dimension.canonical] == 1
        assert math.isfinite(quantity(dimension.example, dimension.name))


def test_units_convert_inside_a_dimension_only():
    assert convert(1.5, "MWh", "kWh") == 1500.0
    assert convert(90.0, "s", "min") == 1.5
    with pytest.raises(InputError, match="cannot become"):
        convert(1.0, "kWh", "kW")
    with pytest.raises(NotFound, match="did you mean"):
        convert(1.0, "kWhh", "kWh")


def test_written_units_are_the_wanted_ones():
    assert format_quantity(63_000.0, "apparent_power", "MVA") == "63 MVA"
    assert format_quantity(0.88, "ratio") == "0.88"
    assert format_quantity(5400.0, "duration", "h") == "1.5 h"
    with pytest.raises(InputError, match="only finite"):
        format_quantity(math.inf, "power")
