"""A value that somebody gives for a node, in the data type and unit the node has."""

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from asyncua import ua

from connectors.opcua.deed import Given
from models.errors import InputError

TEXT_MOST: Final = 4096
_INTEGERS: Final[Mapping[ua.VariantType, tuple[int, int]]] = MappingProxyType(
    {
        ua.VariantType.SByte: (-(2**7), 2**7 - 1),
        ua.VariantType.Byte: (0, 2**8 - 1),
        ua.VariantType.Int16: (-(2**15), 2**15 - 1),
        ua.VariantType.UInt16: (0, 2**16 - 1),
        ua.VariantType.Int32: (-(2**31), 2**31 - 1),
        ua.VariantType.UInt32: (0, 2**32 - 1),
        ua.VariantType.Int64: (-(2**63), 2**63 - 1),
        ua.VariantType.UInt64: (0, 2**64 - 1),
    }
)
_FLOAT_MOST: Final = 3.4028234663852886e38
_NUMBERS: Final = frozenset({*_INTEGERS, ua.VariantType.Float, ua.VariantType.Double})
_WRITTEN: Final = frozenset({*_NUMBERS, ua.VariantType.Boolean, ua.VariantType.String})
_TRUTHS: Final = MappingProxyType(
    {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
)
_WHOLE: Final = re.compile(r"[+-]?\d{1,400}")
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?")
_NO_NUMBER: Final = frozenset({"nan", "inf", "infinity", "-inf", "+inf", "-infinity"})


def fitted(
    value: Given, kind: ua.VariantType, scale: float = 1.0, where: str = "value"
) -> bool | int | float | str:
    """The value as the node's data type has it, its scale taken out.

    Parameters
    ----------
    value
        In the stored unit.
    kind
        Data type of the node.
    scale
        The stored value is the node's times this.
    where
        Argument the value is, for errors.

    Raises
    ------
    InputError
        When it is of another type, no number, or more than the type holds.
    """
    if kind not in _WRITTEN:
        raise InputError(
            f"a value of type {kind.name} cannot be written from here",
            "numbers, booleans and texts can; write others with the PLC's own tool",
            where,
        )
    if kind is ua.VariantType.String:
        return _text(value, where)
    if kind is ua.VariantType.Boolean:
        return _truth(value, where)
    number = _number(value, kind, where)
    if kind in _INTEGERS:
        return _whole(number, kind, scale, where)
    plain = _divided(number, scale)
    most = _FLOAT_MOST if kind is ua.VariantType.Float else math.inf
    if not math.isfinite(plain) or abs(plain) > most:
        raise InputError(f"{value!r} is more than a {kind.name} holds", "write less", where)
    return plain


def shown(value: object, scale: float = 1.0) -> str:
    """A value of a node as text, in the stored unit; empty when it has none.

    Bytes of a server's text that are no UTF-8 are question marks in it: no record could be written
    with them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and scale == 1.0:
        return str(value)
    if isinstance(value, int | float):
        return f"{value * scale:.12g}"
    return str(value)[:TEXT_MOST].encode(errors="replace").decode()


def same(held: object, sent: object, kind: ua.VariantType) -> bool:
    """Whether a server holds what was sent, as far as its type can hold it."""
    if isinstance(held, float) and isinstance(sent, float):
        return math.isclose(held, sent, rel_tol=1e-6 if kind is ua.VariantType.Float else 1e-15)
    return held == sent


def _text(value: Given, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{value!r} is no text", 'the node holds texts: write "…"', where)
    if len(value) > TEXT_MOST:
        raise InputError(f"a text of {len(value)} characters", f"{TEXT_MOST} at most", where)
    return value


def _truth(value: Given, where: str) -> bool:
    found = _TRUTHS.get(str(value).strip().lower())
    if found is None:
        raise InputError(f"{value!r} is no Boolean", "write true or false", where)
    return found


def _number(value: Given, kind: ua.VariantType, where: str) -> int | float:
    if isinstance(value, bool):
        raise InputError(f"{str(value).lower()} is no {kind.name}", "write a number", where)
    found: int | float | None = None
    if not isinstance(value, str):
        found = value
    else:
        text = value.strip()
        if _WHOLE.fullmatch(text):
            found = int(text)
        elif _DECIMAL.fullmatch(text):
            found = float(text)
        elif text.lower() in _NO_NUMBER:
            found = math.nan
    if found is None:
        remedy = "write a number with a point for decimals and without a unit, like 45.5"
        raise InputError(f"{value!r} is no {kind.name}", remedy, where)
    if isinstance(found, float) and not math.isfinite(found):
        raise InputError(f"{value!r} is no number that a PLC may be given", "write one", where)
    return found


def _whole(number: float, kind: ua.VariantType, scale: float, where: str) -> int:
    low, high = _INTEGERS[kind]
    if isinstance(number, int) and scale == 1.0:
        near = number  # exact, also beyond 2^53
    else:
        plain = _divided(number, scale)
        if not math.isfinite(plain):
            raise InputError(f"{number!r} is more than a {kind.name} holds", "write less", where)
        near = round(plain)
        # A division by 0.1 leaves 2.9999999999999996 of 3.
        if not math.isclose(plain, near, rel_tol=1e-9, abs_tol=1e-9):
            below = math.floor(plain)
            raise InputError(
                f"{number!r} is {plain:.12g} at the PLC, and no {kind.name}",
                f"it holds whole numbers: write {shown(below, scale)} or {shown(below + 1, scale)}",
                where,
            )
    if not low <= near <= high:
        raise InputError(
            f"{number!r} is more than a {kind.name} holds",
            f"write {shown(low, scale)} to {shown(high, scale)}",
            where,
        )
    return near


def _divided(number: float, scale: float) -> float:
    try:
        return float(number) / scale
    except OverflowError:
        return math.inf
