"""The sample batch: the one table that travels and is journalled.

=========  ====================  ==============================================================
column     type                  meaning
=========  ====================  ==============================================================
tag        int32                 tag id of the dictionary; never reused
at         timestamp[us, UTC]    time at the source (park time)
server_at  timestamp[us, UTC]    time at the OPC UA server, null if none
seen_at    timestamp[us, UTC]    wall time we received it
value      float64               numbers, booleans (0/1), enumerations as codes; null for texts
exact      int64                 the exact integer where float64 cannot hold it, else null
text       string                the text of a text tag, else null
status     uint32                OPC UA StatusCode, untouched
origin     uint8                 `Origin`: measured, manual, imported, corrected, estimated
=========  ====================  ==============================================================
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import InputError
from twin.status import GOOD

TIME: Final = pa.timestamp("us", tz="UTC")

SAMPLES: Final = pa.schema(
    [
        pa.field("tag", pa.int32(), nullable=False),
        pa.field("at", TIME, nullable=False),
        pa.field("server_at", TIME),
        pa.field("seen_at", TIME, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("exact", pa.int64()),
        pa.field("text", pa.string()),
        pa.field("status", pa.uint32(), nullable=False),
        pa.field("origin", pa.uint8(), nullable=False),
    ]
)

COVERAGE: Final = pa.schema(
    [
        pa.field("endpoint", pa.string(), nullable=False),
        pa.field("from", TIME, nullable=False),
        pa.field("to", TIME, nullable=False),
        pa.field("alive", pa.bool_(), nullable=False),
        pa.field("cause", pa.string(), nullable=False),
        pa.field("lost", pa.int64()),
    ]
)
"""Coverage rows of a gateway: under report-by-exception, silence is not a gap; these rows say
when an endpoint was alive and when it was not, and why (``lost``: values known to be dropped)."""


NO_NUMBER_FROM: Final = 1e15
"""No instrument of a park reads a magnitude like this (the world's electricity of 30 years is
1e15 kWh), and one such row would swallow the digits of every later sum."""


class Origin(IntEnum):
    """Where a stored value came from. Simulated and forecast rows never mix with these."""

    MEASURED = 0
    MANUAL = 1
    IMPORTED = 2
    CORRECTED = 3
    ESTIMATED = 4


def to_us(at: datetime) -> int:
    """Microseconds since 1970 of an aware time."""
    if at.tzinfo is None:
        raise InputError(f"time {at.isoformat()} has no zone", "write it with Z or +07:00")
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_us(us: int) -> datetime:
    """Aware UTC time of microseconds since 1970."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_US: Final = 253_402_300_800_000_000


def sample_batch(
    *,
    tag: npt.ArrayLike,
    at_us: npt.ArrayLike,
    value: npt.ArrayLike,
    seen_us: npt.ArrayLike,
    status: npt.ArrayLike = GOOD,
    server_us: npt.ArrayLike | None = None,
    exact: Sequence[int | None] | None = None,
    text: Sequence[str | None] | None = None,
    origin: npt.ArrayLike = Origin.MEASURED,
) -> pa.RecordBatch:
    """Build a sample batch from columns of equal length; scalars are repeated.

    Parameters
    ----------
    tag, at_us, value, seen_us, status, server_us, origin
        Columns; times in microseconds since 1970. A NaN value is stored as NaN, never as null.
    exact, text
        Columns with None where there is none; all null when left out.

    Returns
    -------
    pa.RecordBatch
        Rows with the schema `SAMPLES`.
    """
    tags = np.atleast_1d(np.asarray(tag, np.int32))
    n = len(tags)

    def full(column: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.broadcast_to(np.asarray(column, dtype), (n,))

    def times(column: npt.ArrayLike) -> pa.Array:
        return pa.array(np.ascontiguousarray(full(column, np.int64))).cast(TIME)

    columns: Mapping[str, pa.Array] = {
        "tag": pa.array(tags),
        "at": times(at_us),
        "server_at": pa.nulls(n, TIME) if server_us is None else times(server_us),
        "seen_at": times(seen_us),
        "value": pa.array(np.ascontiguousarray(full(value, np.float64))),
        "exact": pa.nulls(n, pa.int64()) if exact is None else pa.array(exact, pa.int64()),
        "text": pa.nulls(n, pa.string()) if text is None else pa.array(text, pa.string()),
        "status": pa.array(np.ascontiguousarray(full(status, np.uint32))),
        "origin": pa.array(np.ascontiguousarray(full(origin, np.uint8))),
    }
    return pa.record_batch([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def column_us(batch: pa.RecordBatch | pa.Table, name: str) -> npt.NDArray[np.int64]:
    """One time column as microseconds since 1970; a null becomes the smallest int64."""
    column = batch.column(name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    whole = column.cast(pa.int64())
    if whole.null_count:
        whole = whole.fill_null(np.iinfo(np.int64).min)
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.int64)


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch if it has exactly the sample schema; the door for foreign batches.

    Raises
    ------
    InputError
        When a column is missing, has another type, or holds a null it may not hold; when a time
        it was received at cannot be one.
    """
    if not batch.schema.equals(SAMPLES, check_metadata=False):
        raise InputError(
            f"columns are {batch.schema.to_string(show_schema_metadata=False)!r}",
            "send the columns of the sample batch (docs/contracts.md)",
            "batch",
        )
    batch.validate(full=True)
    for field in SAMPLES:
        if not field.nullable and batch.column(field.name).null_count:
            raise InputError("holds a null", "leave out rows without it", f"batch.{field.name}")
    seen_us = column_us(batch, "seen_at")
    if ((seen_us < 0) | (seen_us >= _YEAR_10000_US)).any():
        # it stands in for a source time that is out of bounds, and files are named by their day
        raise InputError(
            "holds a time before 1970 or after 9999", "set the gateway's clock", "batch.seen_at"
        )
    return batch


def is_number(value: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which values can be counted with: neither missing nor of a magnitude nothing has."""
    return np.asarray(np.abs(value) < NO_NUMBER_FROM)
