"""asyncua's typed ids from plain numbers and texts."""

from datetime import datetime
from typing import Final, cast

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from models.errors import InputError

OBJECTS: Final = ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder), ua.Int16(0))


def numbered(number: int, index: int = 0) -> ua.NodeId:
    """A numeric node id."""
    return ua.NodeId(ua.Int32(number), ua.Int16(index))


def named(text: str, index: int) -> ua.NodeId:
    """A node id that is a text."""
    return ua.NodeId(ua.String(text), ua.Int16(index))


def status(code: int) -> ua.StatusCode:
    """A status code."""
    return ua.StatusCode(ua.UInt32(code))


def moment(at: datetime) -> ua.DateTime:
    """An aware time as asyncua's type, which is the same at run time."""
    return cast("ua.DateTime", at)


def node_id(index: int, identifier: str) -> ua.NodeId:
    """Node id from an identifier with its type, e.g. ``s=Line1.Speed`` or ``i=2253``.

    Raises
    ------
    InputError
        When the type is not one of i, s, g, b.
    """
    kind, _, text = identifier.partition("=")
    if kind == "s":
        return named(text, index)
    if kind == "i" and text.isdigit():
        return numbered(int(text), index)
    if kind in ("g", "b"):
        return ua.NodeId.from_string(f"ns={index};{identifier}")
    raise InputError(f"identifier {identifier!r}", "write it as s=…, i=…, g=… or b=…")
