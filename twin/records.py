"""What the journal records of a shard hold, and how their bytes read."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import pyarrow as pa

from models.errors import Corrupt
from twin.disk import Buffer

_META: Final = b"parktwin"
# one record is small: handing its columns to other threads costs more than it gains
_LZ4: Final = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
_READ: Final = pa.ipc.IpcReadOptions(use_threads=False)


class RecordKind(IntEnum):
    """Kinds of records; numbers are for ever."""

    SAMPLES = 1
    """Arrow stream of SAMPLES rows, with a `Delivery` in its metadata."""
    COVERAGE = 2
    """Arrow stream of COVERAGE rows, with a `Delivery` in its metadata."""
    TAGS = 3
    """Dictionary rows (JSON)."""
    COMMAND = 4
    """A command of a person (JSON)."""
    TICK = 5
    """Park time passed (JSON)."""
    PARK = 6
    """Text and hash of the park file (JSON)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a batch came.

    Parameters
    ----------
    source, session, seq
        Its number, given once.
    now_us
        Park time of the delivery [us].
    restamped_rows, restamped_at_us
        Rows whose source time was out of bounds, and that time [us].
    unknown
        Rows dropped because nobody gave their tag, by tag.
    """

    source: str
    session: int
    seq: int
    now_us: int
    restamped_rows: tuple[int, ...] = ()
    restamped_at_us: tuple[int, ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)


def pack_batch(batch: pa.RecordBatch, delivery: Delivery) -> pa.Buffer:
    """Bytes of a SAMPLES or COVERAGE record."""
    head = {name: getattr(delivery, name) for name in Delivery.__slots__}
    batch = batch.replace_schema_metadata({_META: json.dumps(head)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_LZ4) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def unpack_batch(payload: Buffer | pa.Buffer) -> tuple[pa.RecordBatch, Delivery]:
    """Inverse of `pack_batch`; the batch owns its memory.

    Raises
    ------
    Corrupt
        When the bytes are no such record although their checksum holds.
    """
    try:
        batch = pa.ipc.open_stream(payload, options=_READ).read_next_batch()
        head = json.loads(batch.schema.metadata[_META])
        head["restamped_rows"] = tuple(head["restamped_rows"])
        head["restamped_at_us"] = tuple(head["restamped_at_us"])
        delivery = Delivery(**head)
    except (pa.ArrowInvalid, OSError, StopIteration, KeyError, ValueError, TypeError) as fault:
        raise Corrupt("a journal record holds no batch", "restore the last backup") from fault
    return batch.replace_schema_metadata(None), delivery


def pack_plain(data: Mapping[str, object]) -> bytes:
    """Bytes of a JSON record; floats keep every digit."""
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()


def unpack_plain(payload: Buffer) -> dict[str, Any]:
    """Inverse of `pack_plain`.

    Raises
    ------
    Corrupt
        When the bytes are no such record although their checksum holds.
    """
    try:
        data = json.loads(bytes(payload))
    except ValueError as fault:
        raise Corrupt("a journal record is no JSON", "restore the last backup") from fault
    if not isinstance(data, dict):
        raise Corrupt("a journal record is no JSON object", "restore the last backup")
    return data
