"""What the load server reads and writes without asyncua's encoders: the messages that come often.

Layouts: OPC UA Part 4 (services), Part 6, 5.2 (binary encoding).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary
from asyncua.ua.uaerrors import UaError

from connectors.load.frames import NotOpcUa
from connectors.load.template import ua_time
from connectors.opcua.kernel import over
from connectors.opcua.wire import as_bytes

PUBLISH, REPUBLISH, READ = 826, 832, 631
_PUBLISHED, _REPUBLISHED, _READ_ANSWER, _CREATED, _FAULT = 829, 835, 634, 754, 397
_DATA_CHANGE: Final = 811
_STRUCTURE: Final = 22
_HEADER: Final = struct.Struct("<BBHqIIBiBBB")
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_REQUEST: Final = struct.Struct("<qIIi")
_NONE: Final = _I32.pack(-1)
_ACK: Final = struct.Struct("<II")
_CREATED_ITEM: Final = np.dtype(
    [("status", "<u4"), ("id", "<u4"), ("sampling", "<f8"), ("queue", "<u4"), ("filter", "S3")]
)


@dataclass(frozen=True, slots=True)
class Head:
    """What precedes the parameters of a request: type, session, handle, and where they begin."""

    kind: int
    token: ua.NodeId
    handle: int
    parameters_at: int


def read_head(body: bytes) -> Head:
    """Type and header of a request.

    Raises
    ------
    NotOpcUa
        When the bytes are none.
    """
    buffer = Buffer(body)
    try:
        kind, token = nodeid_from_binary(buffer), nodeid_from_binary(buffer)
        p = len(body) - len(buffer)
        _, handle, _, audit = _REQUEST.unpack_from(body, p)
    except (ValueError, IndexError, struct.error, UaError) as fault:
        raise NotOpcUa(f"a request that cannot be read ({fault})") from fault
    p += _REQUEST.size + max(audit, 0) + 4
    p = int(over(as_bytes(body), p, len(body), _STRUCTURE, 1))
    if p < 0 or not isinstance(kind.Identifier, int):
        raise NotOpcUa("a request that ends in its header")
    return Head(kind.Identifier, token, handle, p)


def acknowledged(body: bytes, p: int) -> list[tuple[int, int]]:
    """Acknowledgements of a PublishRequest: (subscription, sequence number)."""
    (count,) = _I32.unpack_from(body, p)
    wanted = max(count, 0) * _ACK.size
    return list(_ACK.iter_unpack(body[p + 4 : p + 4 + wanted]))


def header(kind: int, handle: int, now_us: int, status: int = 0) -> bytes:
    """Type and ResponseHeader of an answer."""
    return _HEADER.pack(1, 0, kind, ua_time(now_us), handle, status, 0, -1, 0, 0, 0)


def fault(handle: int, now_us: int, status: int) -> bytes:
    """A ServiceFault."""
    return header(_FAULT, handle, now_us, status)


@dataclass(frozen=True, slots=True)
class Values:
    """Encoded values, and how many they are."""

    count: int
    data: Sequence[bytes | bytearray | memoryview]


def _notification(sequence: int, published_us: int, values: Values | None) -> Iterable[bytes]:
    yield struct.pack("<Iq", sequence, ua_time(published_us))
    if values is None:
        yield _I32.pack(0)
        return
    size = sum(len(piece) for piece in values.data) + 8
    yield struct.pack("<iBBHBii", 1, 1, 0, _DATA_CHANGE, 1, size, values.count)
    for piece in values.data:
        yield bytes(piece)
    yield _NONE


def published(
    handle: int,
    now_us: int,
    subscription: int,
    available: Sequence[int],
    sequence: int,
    values: Values | None,
    *,
    more: bool,
    results: Sequence[int],
) -> bytes:
    """A PublishResponse; without values a keep-alive."""
    return b"".join(
        (
            header(_PUBLISHED, handle, now_us),
            _U32.pack(subscription),
            struct.pack(f"<i{len(available)}I", len(available), *available),
            b"\x01" if more else b"\x00",
            *_notification(sequence, now_us, values),
            struct.pack(f"<i{len(results)}I", len(results), *results),
            _NONE,
        )
    )


def republished(
    handle: int, now_us: int, sequence: int, published_us: int, values: Values
) -> bytes:
    """A RepublishResponse."""
    whole = (
        header(_REPUBLISHED, handle, now_us),
        *_notification(sequence, published_us, values),
    )
    return b"".join(whole)


def read_answer(handle: int, now_us: int, values: Values) -> bytes:
    """A ReadResponse."""
    whole = (
        header(_READ_ANSWER, handle, now_us),
        _I32.pack(values.count),
        *values.data,
        _NONE,
    )
    return b"".join(whole)


def created(
    handle: int, now_us: int, statuses: Sequence[int], first_id: int, sampling_ms: float, queue: int
) -> bytes:
    """A CreateMonitoredItemsResponse."""
    items = np.zeros(len(statuses), _CREATED_ITEM)
    items["status"] = statuses
    items["id"] = np.arange(first_id, first_id + len(statuses))
    items["sampling"], items["queue"] = sampling_ms, queue
    return b"".join(
        (header(_CREATED, handle, now_us), _I32.pack(len(items)), items.tobytes(), _NONE)
    )
