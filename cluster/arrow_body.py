"""One record batch from a body somebody sent: measured before a byte of it is unpacked.

A compressed Arrow buffer begins with its unpacked length, and whatever stands there is allocated:
6 kB could ask for gigabytes. The places of the buffers are read from the message's flatbuffer
(Message.fbs and Schema.fbs of Apache Arrow, format version 5), which pyarrow has verified.
"""

import struct
from typing import Final

import pyarrow as pa

from models.errors import InputError
from twin.samples import COVERAGE, SAMPLES

UNPACKED_MOST: Final = 256_000_000
"""Longest batch, unpacked [B]: four times the longest body."""

_LONG: Final = struct.Struct("<q")
_PLAIN: Final = -1
"""Unpacked length of a buffer that was left as it is."""
_EARLY_COMPRESSION: Final = b"ARROW:experimental_compression"


def one_batch(body: bytes) -> pa.RecordBatch:
    """The one record batch of an IPC stream: samples or coverage, valid to the last offset.

    Raises
    ------
    InputError
        When it is no stream, is too long unpacked, or holds other columns, or more or less than
        one batch.
    """
    try:
        messages = pa.ipc.MessageReader.open_stream(body)
        schema = pa.ipc.read_schema(messages.read_next_message())
        _known(schema)
        found = [message for _, message in zip(range(2), messages, strict=False)]
        if len(found) != 1:
            held = f"{len(found)} or more" if found else "0"
            raise InputError(f"the stream holds {held} batches", "send exactly one", "body")
        _bounded(found[0])
        batch = pa.ipc.read_record_batch(found[0], schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, StopIteration, struct.error) as error:
        raise InputError(
            f"the body is no Arrow IPC stream ({error})", "send one with one batch", "body"
        ) from error
    return batch


def _known(schema: pa.Schema) -> None:
    if not any(schema.equals(known, check_metadata=False) for known in (SAMPLES, COVERAGE)):
        raise InputError(
            f"columns are {', '.join(schema.names) or 'none'}",
            "send those of the sample batch or of coverage, with their types (docs/contracts.md)",
            "body",
        )


def _bounded(message: pa.ipc.Message) -> None:
    if message.type != "record batch":
        raise InputError(f"the stream holds a {message.type}", "send exactly one batch", "body")
    size = unpacked_bytes(message)
    if size > UNPACKED_MOST:
        raise InputError(
            f"the batch holds {size / 1e6:.0f} MB unpacked, {UNPACKED_MOST / 1e6:.0f} MB are taken",
            "send fewer rows at once",
            "body",
        )


def unpacked_bytes(message: pa.ipc.Message) -> int:
    """Bytes that reading a record batch message allocates for its buffers.

    Raises
    ------
    InputError
        When a buffer lies outside the body, or the compression is that of before Arrow 1.0.
    """
    metadata, body = message.metadata.to_pybytes(), message.body
    if _EARLY_COMPRESSION in metadata:
        raise InputError(
            "it is compressed as before Arrow 1.0", "write it with a newer one", "body"
        )
    batch = _Table(metadata, _offset(metadata, 0)).table(2)
    size = body.size
    compressed, total = batch.has(3), 0
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > size:
            raise InputError("a buffer lies outside the body", "send it whole", "body")
        unpacked = _PLAIN
        if compressed and length >= _LONG.size:
            (unpacked,) = _LONG.unpack(body.slice(offset, _LONG.size).to_pybytes())
        total += length if unpacked == _PLAIN else max(unpacked, 0)
    return total


class _Table:
    """A table of a flatbuffer: its fields are found through its vtable."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - struct.unpack_from("<i", data, at)[0]
        (self._vtable_bytes,) = struct.unpack_from("<H", data, self._vtable)

    def has(self, field: int) -> bool:
        """Whether a field was written."""
        return self._place(field) != 0

    def table(self, field: int) -> "_Table":
        """The table a field refers to."""
        at = self._at + self._place(field)
        return _Table(self._data, at + _offset(self._data, at))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structures of two longs; empty when it was not written."""
        if not self.has(field):
            return []
        at = self._at + self._place(field)
        at += _offset(self._data, at)
        count = _offset(self._data, at)
        return [
            (first, second)
            for first, second in struct.iter_unpack("<qq", self._data[at + 4 : at + 4 + 16 * count])
        ]

    def _place(self, field: int) -> int:
        entry = 4 + 2 * field
        if entry >= self._vtable_bytes:
            return 0
        place: int = struct.unpack_from("<H", self._data, self._vtable + entry)[0]
        return place


def _offset(data: bytes, at: int) -> int:
    found: int = struct.unpack_from("<I", data, at)[0]
    return found
