"""Browse, BrowseNext and Read of many nodes as bytes: what is asked, and what the answers hold.

A crawl asks for a few things of each of 100,000 nodes. As asyncua's objects they cost more than the
server's whole work; here a request is a template and the bytes of its NodeIds, and an answer is
read in one pass. Layouts: OPC UA Part 4 (services), Part 6 5.2 (binary encoding). Lengths are never
trusted, every member read takes at least a byte, and bytes that are no answer are `Malformed`.
Text that is no UTF-8 is shown as well as it can be.
"""

import base64
import math
import struct
import uuid
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_to_binary, struct_to_binary

from connectors.opcua.hooks import Encoded
from connectors.opcua.kernel import Bytes, over
from connectors.opcua.nodes import resolve, split_node
from connectors.opcua.wire import malformed, read_header

_BROWSE_ANSWER, _BROWSE_NEXT_ANSWER, _READ_ANSWER = 530, 536, 634
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_NUMERIC: Final = struct.Struct("<BHI")
_TEXTUAL: Final = struct.Struct("<BHi")
_RANGE: Final = struct.Struct("<dd")
_NO_NODE: Final = b"\0\0"


class Reference(NamedTuple):
    """One reference of a node, towards another.

    Parameters
    ----------
    kind, node, type_node
        NodeIds as their bytes: reference type, target, type definition of the target.
    name, shown
        Browse name without its namespace, and display name; empty when there is none.
    node_class
        As `ua.NodeClass` counts.
    uri, server
        Of a target that is written with its namespace, or lies on another server; else empty, 0.
    """

    kind: bytes
    node: bytes
    name: str
    shown: str
    node_class: int
    type_node: bytes
    uri: str
    server: int


class Browsed(NamedTuple):
    """Answer for one node: status, continuation point (empty: that was all), references."""

    status: int
    point: bytes
    references: list[Reference]


class Unit(NamedTuple):
    """EUInformation: UnitId, and display name."""

    number: int
    shown: str


Known: TypeAlias = bool | int | float | str | bytes | Unit | tuple[float, float] | None


class Told(NamedTuple):
    """An attribute as it was read.

    Parameters
    ----------
    status
        StatusCode.
    rank
        -1 a scalar, 1 an array; None when there is no value to see it by.
    value
        Number, text (also of a LocalizedText), NodeId as its bytes, unit or range; None for all
        else, also for arrays.
    """

    status: int
    rank: int | None
    value: Known

    @property
    def good(self) -> Known:
        """The value, if its status is good."""
        return self.value if self.status >> 30 == 0 else None


# --- what is asked ---


def _without_array(parameters: object) -> bytes:
    """Encoded parameters up to the count of the array they end with."""
    return bytes(struct_to_binary(parameters)[:-4])


def _description(direction: ua.BrowseDirection, kind: int, classes: int) -> bytes:
    what = ua.BrowseDescription()
    what.BrowseDirection = direction
    what.ReferenceTypeId = ua.NodeId(ua.Int32(kind), ua.Int16(0))
    what.IncludeSubtypes = True
    what.NodeClassMask = ua.UInt32(classes)
    what.ResultMask = ua.UInt32(ua.BrowseResultMask.All)
    return bytes(struct_to_binary(what)[len(_NO_NODE) :])


CHILDREN: Final = _description(
    ua.BrowseDirection.Forward,
    ObjectIds.HierarchicalReferences,
    ua.NodeClass.Object | ua.NodeClass.Variable,
)
"""What to browse for, to be put after a NodeId: objects and variables below it."""
SUPERTYPE: Final = _description(ua.BrowseDirection.Inverse, ObjectIds.HasSubtype, 0)
"""The type a type derives from."""


def attribute(what: AttributeIds) -> bytes:
    """What to read, to be put after a NodeId."""
    one = ua.ReadValueId()
    one.AttributeId = what
    return bytes(struct_to_binary(one)[len(_NO_NODE) :])


def browse(asked: Sequence[bytes], most: int) -> Encoded:
    """Browse, each of NodeId and description; at most so many references of each node."""
    view = struct_to_binary(ua.ViewDescription(Timestamp=_NEVER))
    head = view + _U32.pack(most) + _I32.pack(len(asked))
    return Encoded.of(
        "BrowseRequest", ObjectIds.BrowseRequest_Encoding_DefaultBinary, head + b"".join(asked)
    )


def browse_next(points: Sequence[bytes], *, release: bool) -> Encoded:
    """The rest of some lists by their continuation points, or no more of them."""
    each = (_I32.pack(len(point)) + point for point in points)
    return Encoded.of(
        "BrowseNextRequest",
        ObjectIds.BrowseNextRequest_Encoding_DefaultBinary,
        bytes((release,)) + _I32.pack(len(points)) + b"".join(each),
    )


def _reading() -> bytes:
    wanted = ua.ReadParameters()
    wanted.TimestampsToReturn = ua.TimestampsToReturn.Neither
    return _without_array(wanted)


_NEVER: Final = ua.DateTime(1601, 1, 1)
_READING: Final = _reading()


def read(asked: Sequence[bytes]) -> Encoded:
    """Read, each of NodeId and `attribute`."""
    return Encoded.of(
        "ReadRequest",
        ObjectIds.ReadRequest_Encoding_DefaultBinary,
        _READING + _I32.pack(len(asked)) + b"".join(asked),
    )


class Names:
    """NodeIds as files write them and as one session's bytes.

    Parameters
    ----------
    namespaces
        The server's NamespaceArray, read in this session.
    """

    def __init__(self, namespaces: Sequence[str]) -> None:
        self._namespaces = tuple(namespaces)
        self._indexes: Mapping[str, int] = {
            uri: n for n, uri in reversed(list(enumerate(self._namespaces)))
        }
        self._seen: dict[bytes, str] = {}

    def encoded(self, text: str) -> bytes:
        """Bytes of ``nsu=<URI>;<identifier>``.

        Raises
        ------
        NotFound
            When the server has no such namespace.
        InputError
            When it is no node id.
        """
        uri, identifier = split_node(text)
        index = self._indexes.get(uri)
        if index is not None:
            if identifier.startswith("s="):
                raw = identifier[2:].encode("utf-8", "surrogateescape")
                return _TEXTUAL.pack(3, index, len(raw)) + raw
            number = identifier[2:]
            if identifier.startswith("i=") and number.isdecimal() and int(number) < 2**32:
                return _NUMERIC.pack(2, index, int(number))
        return bytes(nodeid_to_binary(resolve(uri, identifier, self._namespaces)))

    def text(self, node: bytes) -> str:
        """``nsu=<URI>;<identifier>`` of encoded bytes; an unknown index becomes an empty URI."""
        form = node[0]
        if form == 3:
            return f"{self._prefix(node)}s={node[7:].decode('utf-8', 'replace')}"
        if form == 2:
            return f"{self._prefix(node)}i={_U32.unpack_from(node, 3)[0]}"
        if form == 1:
            return f"nsu={self._uri(node[1])};i={int.from_bytes(node[2:4], 'little')}"
        if form == 0:
            return f"nsu={self._uri(0)};i={node[1]}"
        if form == 4:
            return f"{self._prefix(node)}g={uuid.UUID(bytes_le=node[3:19])}"
        return f"{self._prefix(node)}b={base64.b64encode(node[7:]).decode()}"

    def often(self, node: bytes) -> str:
        """As `text`, of nodes that come again and again: types."""
        found = self._seen.get(node)
        if found is None:
            found = self._seen[node] = self.text(node)
        return found

    def target(self, reference: Reference) -> str:
        """Text of a reference's target, also if it is written with its namespace."""
        text = self.text(reference.node)
        return f"nsu={reference.uri};{text.partition(';')[2]}" if reference.uri else text

    def _prefix(self, node: bytes) -> str:
        return f"nsu={self._uri(node[1] | node[2] << 8)};"

    def _uri(self, index: int) -> str:
        return self._namespaces[index] if index < len(self._namespaces) else ""


def is_null(node: bytes) -> bool:
    """Whether an encoded NodeId has the number 0 or an empty identifier."""
    form = node[0]
    if form == 0:
        return not node[1]
    if form == 1:
        return not any(node[2:])
    if form == 4:
        return False
    return len(node) == 7 and (form != 2 or not any(node[3:]))


# --- what is answered ---


def browsed(buf: Bytes, *, more: bool) -> list[Browsed]:
    """Results of a BrowseResponse; `more`: of a BrowseNextResponse.

    Raises
    ------
    Malformed
        When the bytes are none.
    asyncua.ua.uaerrors.UaStatusCodeError
        When the whole call failed.
    """
    wanted = _BROWSE_NEXT_ANSWER if more else _BROWSE_ANSWER
    p = _after_header(buf, wanted, "answer to a browse")
    raw = buf.tobytes()
    try:
        count, p = _count(raw, p)
        results = []
        for _ in range(count):
            (status,) = _U32.unpack_from(raw, p)
            point, p = _slice(raw, p + 4)
            members, p = _count(raw, p)
            references = []
            for _ in range(members):
                one, p = _reference(raw, p)
                references.append(one)
            results.append(Browsed(status, point, references))
    except (IndexError, struct.error):
        raise malformed("browse") from None
    return results


def told(buf: Bytes) -> list[Told]:
    """Results of a ReadResponse.

    Raises
    ------
    Malformed
        When the bytes are none.
    asyncua.ua.uaerrors.UaStatusCodeError
        When the whole call failed.
    """
    p = _after_header(buf, _READ_ANSWER, "ReadResponse")
    raw = buf.tobytes()
    end = len(raw)
    values: list[Told] = []
    try:
        count, p = _count(raw, p)
        for _ in range(count):
            mask = raw[p]
            p += 1
            rank: int | None = None
            value: Known = None
            if mask & 1:
                form = _NUMBERS.get(raw[p])
                if form is not None:
                    (value,) = form.unpack_from(raw, p + 1)
                    rank, p = -1, p + 1 + form.size
                else:
                    rank, value, p = _rarer(buf, raw, p)
            status = 0
            if mask & 2:
                (status,) = _U32.unpack_from(raw, p)
                p += 4
            p += _TIMES[mask & 0x3C]
            if p > end:
                raise malformed("read")
            values.append(Told(status, rank, value))
    except (IndexError, struct.error):
        raise malformed("read") from None
    return values


_NUMBERS: Final = {
    kind: struct.Struct(f"<{letter}")
    for kind, letter in zip(range(1, 12), "?bBhHiIqQfd", strict=True)
}
_TIMES: Final = {
    mask: sum(n for bit, n in ((4, 8), (16, 2), (8, 8), (32, 2)) if mask & bit)
    for mask in range(0, 0x40, 4)
}
_STRING, _NODE, _LOCAL, _STRUCTURE, _VARIANT = 12, 17, 21, 22, 24
_NULLABLE: Final = frozenset({12, 15, 16})
_RANGE_TYPE: Final = int(ObjectIds.Range_Encoding_DefaultBinary)
_UNIT_TYPE: Final = int(ObjectIds.EUInformation_Encoding_DefaultBinary)


def _after_header(buf: Bytes, wanted: int, name: str) -> int:
    result, p = read_header(buf, wanted, name)
    ua.StatusCode(ua.UInt32(result)).check()
    return p


def _count(raw: bytes, p: int) -> tuple[int, int]:
    (n,) = _I32.unpack_from(raw, p)
    if n > len(raw) - p - 4:
        raise IndexError
    return max(n, 0), p + 4


def _slice(raw: bytes, p: int) -> tuple[bytes, int]:
    (n,) = _I32.unpack_from(raw, p)
    p += 4
    if n <= 0:
        return b"", p
    if p + n > len(raw):
        raise IndexError
    return raw[p : p + n], p + n


def _text(raw: bytes, p: int) -> tuple[str, int]:
    found, p = _slice(raw, p)
    return found.decode("utf-8", "replace"), p


def _local(raw: bytes, p: int) -> tuple[str, int]:
    mask = raw[p]
    p += 1
    if mask & 1:
        _, p = _slice(raw, p)
    return _text(raw, p) if mask & 2 else ("", p)


def _node_end(raw: bytes, p: int) -> int:
    """End of a NodeId, without what an ExpandedNodeId adds."""
    form = raw[p] & 0x3F
    if form in (3, 5):
        end = p + 7 + max(int(_I32.unpack_from(raw, p + 3)[0]), 0)
    elif form <= 4:
        end = p + _NODE_SIZES[form]
    else:
        raise IndexError
    if end > len(raw):
        raise IndexError
    return end


_NODE_SIZES: Final = (2, 4, 7, 0, 19)


def _node(raw: bytes, p: int) -> tuple[bytes, int, str, int]:
    """Bytes of a NodeId and its end; namespace and server that an ExpandedNodeId adds."""
    head, end = raw[p], _node_end(raw, p)
    if not head & 0xC0:
        return raw[p:end], end, "", 0
    plain = bytes((head & 0x3F,)) + raw[p + 1 : end]
    uri, server = "", 0
    if head & 0x80:
        uri, end = _text(raw, end)
    if head & 0x40:
        (server,) = _U32.unpack_from(raw, end)
        end += 4
    return plain, end, uri, server


def _reference(raw: bytes, p: int) -> tuple[Reference, int]:
    kind, p, _, _ = _node(raw, p)
    node, p, uri, server = _node(raw, p + 1)
    name, p = _text(raw, p + 2)
    shown, p = _local(raw, p)
    (node_class,) = _I32.unpack_from(raw, p)
    type_node, p, _, _ = _node(raw, p + 4)
    return Reference(kind, node, name, shown, node_class, type_node, uri, server), p


def _rarer(buf: Bytes, raw: bytes, p: int) -> tuple[int | None, Known, int]:
    """Rank, value and end of a Variant that is no number."""
    head, at = raw[p], p + 1
    if head == _NODE:
        node, at, _, _ = _node(raw, at)
        return -1, node, at
    if head == _LOCAL:
        shown, at = _local(raw, at)
        return -1, shown, at
    if head == _STRING:
        rank = None if _I32.unpack_from(raw, at)[0] < 0 else -1
        text, at = _text(raw, at)
        return rank, None if rank is None else text, at
    # Arrays, structures and what is rarer: stepped over, whatever is in them.
    end = int(over(buf, p, len(raw), _VARIANT, 1))
    if end < 0:
        raise malformed("read", end)
    kind = head & 0x3F
    if head & 0x80:
        return (None if _I32.unpack_from(raw, at)[0] < 0 else 1), None, end
    if kind == 0 or (kind in _NULLABLE and _I32.unpack_from(raw, at)[0] < 0):
        return None, None, end
    if kind == _STRUCTURE:
        return -1, _structure(raw, at), end
    return -1, None, end


def _structure(raw: bytes, p: int) -> Unit | tuple[float, float] | None:
    """A unit or a range; None of any other structure."""
    kind, p, _, _ = _node(raw, p)
    number = _base_number(kind)
    if raw[p] != 1 or number not in (_RANGE_TYPE, _UNIT_TYPE):
        return None
    body, _ = _slice(raw, p + 1)
    if number == _RANGE_TYPE:
        low, high = _RANGE.unpack_from(body)
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None
    _, at = _slice(body, 0)
    (unit,) = _I32.unpack_from(body, at)
    return Unit(unit, _local(body, at + 4)[0])


def _base_number(node: bytes) -> int:
    """Number of an encoded NodeId of the base namespace; 0 of any other."""
    if node[0] == 1 and not node[1]:
        return int.from_bytes(node[2:4], "little")
    if node[0] == 2 and not any(node[1:3]):
        return int(_U32.unpack_from(node, 3)[0])
    return int(node[1]) if node[0] == 0 else 0
