"""Envelopes of the answers whose values we decode ourselves: Publish, Republish, Read, HistoryRead.

Only what lies around the values is read here, in plain Python: a few fields per message. Layouts:
OPC UA Part 4 (services), Part 6 5.2 (binary encoding).
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np

from connectors.opcua.kernel import TOO_DEEP, UNKNOWN_TYPE, Bytes, over
from models.errors import Unavailable

_PUBLISH, _REPUBLISH, _READ, _HISTORY_READ = 829, 835, 634, 667
_DATA_CHANGE, _STATUS_CHANGE, _EVENTS, _HISTORY_DATA = 811, 820, 916, 658
_STRUCTURE, _DIAGNOSTIC = 22, 25
_EMPTY: Final = {_STRUCTURE: b"\0\0\0", _DIAGNOSTIC: b"\0"}
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_I64: Final = struct.Struct("<q")
_NO_TIME_TICKS: Final = 116_444_736_000_000_000

_REASONS: Final = {UNKNOWN_TYPE: "a type that does not exist", TOO_DEEP: "values nested too deep"}


class Malformed(Unavailable):
    """Bytes of a server that are no OPC UA message."""


def malformed(where: str, fault: int = -1) -> Malformed:
    """The one error of every decoder, whatever the bytes."""
    return Malformed(
        f"the server sent a message that cannot be read ({where}: "
        f"{_REASONS.get(fault, 'it ends too early or a length is wrong')})",
        "update the server's firmware; if it stays, tell its vendor",
    )


class Content(Enum):
    """What a part of a notification message holds."""

    DATA = _DATA_CHANGE
    STATUS = _STATUS_CHANGE
    EVENTS = _EVENTS
    HISTORY = _HISTORY_DATA
    OTHER = 0


@dataclass(frozen=True, slots=True)
class Part:
    """One notification: what it is, how many members it announces, and where they lie."""

    content: Content
    count: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification message (Part 4, 7.26).

    Parameters
    ----------
    subscription
        Subscription id; 0 in an answer to Republish, which does not say.
    sequence
        Sequence number; of a keep-alive the next one to come.
    published_us
        Time of the server [us since 1970].
    more
        Whether the server has more waiting.
    available
        Sequence numbers it can still republish.
    refused
        Acknowledgements it did not accept: index → StatusCode.
    parts
        Notifications; none in a keep-alive.
    """

    subscription: int
    sequence: int
    published_us: int
    more: bool
    available: tuple[int, ...]
    refused: dict[int, int]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Results:
    """Values of a read: how many, and where they lie."""

    count: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class History:
    """Result for one node of a HistoryRead: its status, whether there is more, and its values."""

    status: int
    more: bytes
    values: Part | None


def as_bytes(body: bytes | memoryview) -> Bytes:
    """The bytes of a message as an array, not copied and not to be written."""
    found = np.frombuffer(body, np.uint8)
    found.flags.writeable = False
    return found


class _Reader:
    """A position in a message; every step is checked."""

    __slots__ = ("buf", "end", "p", "raw")

    def __init__(self, buf: Bytes, start: int = 0, end: int | None = None) -> None:
        self.buf, self.raw = buf, buf.data
        self.p = start
        self.end = len(buf) if end is None else end

    def number(self, form: struct.Struct) -> int:
        at = self.p
        if at + form.size > self.end:
            raise malformed(f"byte {at}")
        self.p = at + form.size
        return int(form.unpack_from(self.raw, at)[0])

    def byte(self) -> int:
        if self.p >= self.end:
            raise malformed(f"byte {self.p}")
        self.p += 1
        return int(self.raw[self.p - 1])

    def count(self) -> int:
        """A length; -1 is none. Each member has at least one byte."""
        n = max(self.number(_I32), 0)
        if n > self.end - self.p:
            raise malformed(f"byte {self.p}")
        return n

    def skip(self, kind: int) -> None:
        empty = _EMPTY.get(kind)
        if empty and self.raw[self.p : self.p + len(empty)] == empty:
            # The rule; the compiled walk need not be loaded for it.
            self.p += len(empty)
            return
        p = int(over(self.buf, self.p, self.end, kind, 1))
        if p < 0:
            raise malformed(f"byte {self.p}", p)
        self.p = p

    def numbers(self) -> tuple[int, ...]:
        n = self.count()
        if 4 * n > self.end - self.p:
            raise malformed(f"byte {self.p}")
        found = struct.unpack_from(f"<{n}I", self.raw, self.p)
        self.p += 4 * n
        return found

    def type_id(self) -> int:
        """Number of a NodeId of the base namespace; 0 of any other."""
        form = self.byte()
        if form == 0:
            return self.byte()
        if form == 1:
            namespace, number = self.byte(), self.number(_U16)
            return 0 if namespace else number
        if form == 2:
            namespace, number = self.number(_U16), self.number(_U32)
            return 0 if namespace else number
        self.p -= 1
        self.skip(17)
        return 0

    def header(self, wanted: int, name: str) -> int:
        """Type and ResponseHeader of an answer; its ServiceResult.

        Raises
        ------
        Malformed
            When it is another answer.
        """
        if self.type_id() != wanted:
            raise malformed(f"not a {name}")
        self.number(_I64)
        self.number(_U32)
        result = self.number(_U32)
        self.skip(_DIAGNOSTIC)
        for _ in range(self.count()):
            self.skip(12)
        self.skip(_STRUCTURE)
        return result

    def text(self) -> bytes:
        n = self.count()
        self.p += n
        return bytes(self.raw[self.p - n : self.p])

    def part(self) -> Part | None:
        """An extension object that holds an array; None when it holds nothing."""
        content = self.type_id()
        form = self.byte()
        if form == 0:
            return None
        size = self.count()
        start, stop = self.p, self.p + size
        self.p = stop
        if form != 1 or content not in _PARTS:
            return Part(Content.OTHER, 0, start, stop)
        if content == _STATUS_CHANGE:
            return Part(Content.STATUS, 1, start, stop)
        inner = _Reader(self.buf, start, stop)
        return Part(_PARTS[content], inner.count(), inner.p, stop)


_PARTS: Final = {c.value: c for c in Content if c.value}


def read_header(buf: Bytes, wanted: int, name: str) -> tuple[int, int]:
    """ServiceResult of an answer, and where its content begins.

    Raises
    ------
    Malformed
        When it is another answer, or none.
    """
    reader = _Reader(buf)
    return reader.header(wanted, name), reader.p


def read_publish(buf: Bytes) -> Notification:
    """Envelope of a PublishResponse.

    Raises
    ------
    Malformed
        When the bytes are none.
    """
    reader = _Reader(buf)
    reader.header(_PUBLISH, "PublishResponse")
    subscription = reader.number(_U32)
    available = reader.numbers()
    more = bool(reader.byte())
    sequence, published_us, parts = _message(reader)
    results = reader.numbers()
    return Notification(
        subscription, sequence, published_us, more, available,
        {i: code for i, code in enumerate(results) if code}, parts,
    )  # fmt: skip


def read_republish(buf: Bytes) -> Notification:
    """Envelope of a RepublishResponse.

    Raises
    ------
    Malformed
        When the bytes are none.
    """
    reader = _Reader(buf)
    reader.header(_REPUBLISH, "RepublishResponse")
    sequence, published_us, parts = _message(reader)
    return Notification(
        0, sequence, published_us, more=False, available=(), refused={}, parts=parts
    )


def _message(reader: _Reader) -> tuple[int, int, tuple[Part, ...]]:
    sequence = reader.number(_U32)
    published_us = (reader.number(_I64) - _NO_TIME_TICKS) // 10
    found = [reader.part() for _ in range(reader.count())]
    return sequence, published_us, tuple(part for part in found if part is not None)


def read_results(buf: Bytes) -> Results:
    """Envelope of a ReadResponse.

    Raises
    ------
    Malformed
        When the bytes are none.
    """
    reader = _Reader(buf)
    reader.header(_READ, "ReadResponse")
    count = reader.count()
    return Results(count, reader.p, reader.end)


def read_history(buf: Bytes) -> list[History]:
    """Envelope of a HistoryReadResponse: one result for each node asked.

    Raises
    ------
    Malformed
        When the bytes are none.
    """
    reader = _Reader(buf)
    reader.header(_HISTORY_READ, "HistoryReadResponse")
    results = []
    for _ in range(reader.count()):
        status, more = reader.number(_U32), reader.text()
        part = reader.part()
        if part is not None and part.content is not Content.HISTORY:
            part = None
        results.append(History(status, more, part))
    return results
