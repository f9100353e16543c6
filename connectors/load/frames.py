"""OPC UA Connection Protocol without security: chunks in, chunks out (Part 6, 6.7 and 7.1)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HELLO, OPEN, MESSAGE, CLOSE = b"HEL", b"OPN", b"MSG", b"CLO"
POLICY_NONE: Final = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_HEAD: Final = struct.Struct("<3scI")
_MESSAGE_HEAD: Final = struct.Struct("<3scIIIII")
_SEQUENCE: Final = struct.Struct("<II")
_U32: Final = struct.Struct("<I")
_BUFFERS: Final = struct.Struct("<IIIII")
_SMALLEST: Final = 8192
_LARGEST: Final = 65_535
_LARGEST_REQUEST: Final = 64 * 2**20


class NotOpcUa(Exception):
    """The peer does not speak OPC UA, or not the part of it that this server knows."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole message: its type, its number, and its body."""

    kind: bytes
    number: int
    body: bytes


class Frames:
    """Bytes of one connection ↔ messages."""

    def __init__(self) -> None:
        self._left = bytearray()
        self._parts: list[bytes] = []
        self._chunk = _SMALLEST
        self._sequence = 0
        self.channel = 0
        self.token = 0

    def feed(self, data: bytes) -> Iterator[Request]:
        """Messages that are whole now.

        Raises
        ------
        NotOpcUa
            When the bytes are none.
        """
        self._left += data
        while len(self._left) >= _HEAD.size:
            kind, last, size = _HEAD.unpack_from(self._left)
            if kind not in (HELLO, OPEN, MESSAGE, CLOSE) or not 8 <= size <= _LARGEST_REQUEST:
                raise NotOpcUa(f"{kind!r} of {size} bytes")
            if len(self._left) < size:
                return
            chunk = bytes(self._left[_HEAD.size : size])
            del self._left[:size]
            found = self._chunk_in(kind, last, chunk)
            if found is not None:
                yield found

    def _chunk_in(self, kind: bytes, last: bytes, chunk: bytes) -> Request | None:
        if kind == HELLO:
            return Request(kind, 0, chunk)
        try:
            p = 4 + (_over_texts(chunk, 4) if kind == OPEN else 4)
            _, number = _SEQUENCE.unpack_from(chunk, p)
        except struct.error as fault:
            raise NotOpcUa("a chunk ends in its header") from fault
        if last == b"A":
            self._parts.clear()
            return None
        self._parts.append(chunk[p + _SEQUENCE.size :])
        if last == b"C":
            return None
        body = b"".join(self._parts)
        self._parts.clear()
        return Request(kind, number, body)

    def acknowledge(self, hello: bytes) -> bytes:
        """Answer to Hello; chunks are as large as both sides can."""
        version, receive, _, _, _ = _BUFFERS.unpack_from(hello)
        self._chunk = max(_SMALLEST, min(receive or _LARGEST, _LARGEST))
        body = _BUFFERS.pack(version, _LARGEST, _LARGEST, 0, 0)
        return _HEAD.pack(b"ACK", b"F", _HEAD.size + len(body)) + body

    def opened(self, number: int, body: bytes) -> bytes:
        """Answer to OpenSecureChannel."""
        self._sequence += 1
        head = _U32.pack(self.channel) + _U32.pack(len(POLICY_NONE)) + POLICY_NONE + b"\xff" * 8
        inner = head + _SEQUENCE.pack(self._sequence, number) + body
        return _HEAD.pack(OPEN, b"F", _HEAD.size + len(inner)) + inner

    def message(self, number: int, body: bytes | bytearray) -> list[bytes | memoryview]:
        """A message, cut into chunks."""
        room = self._chunk - _MESSAGE_HEAD.size
        out: list[bytes | memoryview] = []
        whole, size = memoryview(body), len(body)
        for first in range(0, max(size, 1), room):
            piece = whole[first : first + room]
            self._sequence += 1
            last = b"F" if first + room >= size else b"C"
            head = (MESSAGE, last, _MESSAGE_HEAD.size + len(piece))
            out.append(_MESSAGE_HEAD.pack(*head, self.channel, self.token, self._sequence, number))
            out.append(piece)
        return out


def _over_texts(chunk: bytes, p: int) -> int:
    """Bytes of the three texts of an asymmetric header (policy, certificate, thumbprint)."""
    start = p
    for _ in range(3):
        (length,) = struct.unpack_from("<i", chunk, p)
        p += 4 + max(length, 0)
    if POLICY_NONE not in chunk[start:p]:
        raise NotOpcUa("only security policy None is spoken here")
    return p - start
