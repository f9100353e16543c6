"""Values that are given for a node: in its type, its unit and its bounds, or refused."""

import math

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from connectors.opcua.fitted import fitted, same, shown
from models.errors import InputError

T = ua.VariantType
WHOLE = (
    (T.SByte, 8, True), (T.Byte, 8, False), (T.Int16, 16, True), (T.UInt16, 16, False),
    (T.Int32, 32, True), (T.UInt32, 32, False), (T.Int64, 64, True), (T.UInt64, 64, False),
)  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind", "scale", "sent"),
    [
        ("45.5", T.Double, 1.0, 45.5),
        ("-.5e1", T.Float, 1.0, -5.0),
        ("1.2", T.Double, 0.001, 1200.0),  # 1.2 kW is 1200 W at the source
        ("0.3", T.Int16, 0.1, 3),  # 0.3 / 0.1 is 2.9999999999999996
        (5.5, T.Int32, 0.1, 55),
        ("9007199254740993", T.Int64, 1.0, 2**53 + 1),
        ("on", T.Boolean, 1.0, True),
        (0, T.Boolean, 1.0, False),
        ("45", T.String, 1.0, "45"),
    ],
)
def test_a_value_becomes_what_the_node_has(value, kind, scale, sent):
    found = fitted(value, kind, scale)
    assert (found, type(found)) == (pytest.approx(sent) if kind is T.Double else sent, type(sent))


@pytest.mark.parametrize(
    ("value", "kind", "scale", "told"),
    [
        ("NaN", T.Double, 1.0, "no number that a PLC may be given"),
        (math.inf, T.Float, 1.0, "no number that a PLC may be given"),
        ("-Infinity", T.Int32, 1.0, "no number that a PLC may be given"),
        ("45,5", T.Double, 1.0, "with a point for decimals"),
        ("45 kW", T.Double, 1.0, "without a unit"),
        ("fast", T.Int32, 1.0, "is no Int32"),
        (True, T.Double, 1.0, "true is no Double"),
        (2, T.Boolean, 1.0, "2 is no Boolean"),
        ("maybe", T.Boolean, 1.0, "write true or false"),
        (5, T.String, 1.0, "is no text"),
        ("x" * 5000, T.String, 1.0, "4096 at most"),
        ("1e39", T.Float, 1.0, "more than a Float holds"),
        ("1e308", T.Double, 1e-3, "more than a Double holds"),
        ("1" * 400, T.Double, 1.0, "more than a Double holds"),
        ("5.55", T.Int32, 0.1, "write 5.5 or 5.6"),
        ("6553.6", T.UInt16, 0.1, "write 0 to 6553.5"),
        ("2026-01-01", T.DateTime, 1.0, "type DateTime cannot be written"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(value, kind, scale, told):
    with pytest.raises(InputError, match=told):
        fitted(value, kind, scale)


@pytest.mark.parametrize(("kind", "bits", "signed"), WHOLE)
def test_whole_numbers_end_where_their_type_ends(kind, bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    assert [fitted(str(v), kind) for v in (low, high)] == [low, high]
    for outside in (low - 1, high + 1):
        with pytest.raises(InputError, match="more than a"):
            fitted(str(outside), kind)


@given(st.integers(-(10**9), 10**9), st.sampled_from([1.0, 0.1, 0.01, 0.001, 1 / 60, 1000.0]))
def test_what_is_shown_of_a_whole_number_can_be_written_again(held, scale):
    assert fitted(shown(held, scale), T.Int64, scale) == held


@given(st.one_of(st.text(max_size=40), st.floats(), st.integers(), st.booleans()),
       st.sampled_from(list(T)), st.sampled_from([1.0, 0.001, 1e300]))  # fmt: skip
def test_whatever_is_given_fits_or_is_refused(value, kind, scale):
    try:
        found = fitted(value, kind, scale)
    except InputError:
        return
    assert not isinstance(found, float) or math.isfinite(found)
    ua.Variant(found, kind)


def test_a_float_is_compared_as_a_float_holds_it():
    assert same(0.10000000149011612, 0.1, T.Float)
    assert not same(0.10000000149011612, 0.1, T.Double)
    assert not same(None, 0.1, T.Double)


def test_a_text_that_is_no_utf_8_is_shown_so_that_it_can_be_recorded():
    held = b"M\xe1y 1".decode(errors="surrogateescape")  # as asyncua reads it
    assert shown(held) == "M?y 1"
    assert shown("Máy 1") == "Máy 1"
