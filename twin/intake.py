"""What a shard does to a delivered batch before it is journalled; pure."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.effects import Effect
from twin.fold import DUPLICATE, KEPT_OUT, LATE, SAME_TIME, Table
from twin.records import Delivery
from twin.samples import SAMPLES, TIME, column_us
from twin.state import rows_of
from twin.status import CLASS_GOOD, UNCERTAIN, quality_class
from twin.tail import Tail

IN_ORDER: Final = int(np.iinfo(np.int64).min)
"""In place of an original time: the source time was within bounds."""


def in_bounds(
    batch: pa.RecordBatch, earliest_us: int, latest_us: int
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """Apply the clock rule: a source time out of bounds is replaced by the time received.

    A good status becomes Uncertain then; a worse one stays.

    Parameters
    ----------
    batch
        SAMPLES rows.
    earliest_us, latest_us
        Bounds of `at`, both within [us].

    Returns
    -------
    tuple
        The batch, and the original time of each replaced row [us], `IN_ORDER` for the others.
    """
    at_us = column_us(batch, "at")
    outside = (at_us < earliest_us) | (at_us > latest_us)
    if not outside.any():
        return batch, np.full(len(at_us), IN_ORDER)
    status = batch.column("status").to_numpy()
    doubtful = outside & (quality_class(status) == CLASS_GOOD)
    columns = {
        "at": pa.array(np.where(outside, column_us(batch, "seen_at"), at_us)).cast(TIME),
        "status": pa.array(np.where(doubtful, np.uint32(UNCERTAIN), status)),
    }
    arrays = [columns.get(name, batch.column(name)) for name in SAMPLES.names]
    return pa.record_batch(arrays, schema=SAMPLES), np.where(outside, at_us, IN_ORDER)


def repeated(
    rows: Table, verdicts: npt.NDArray[np.uint8], batch: pa.RecordBatch, tail: Tail
) -> npt.NDArray[np.bool_]:
    """Which rows repeat an earlier one on (tag, at, value, status).

    Rows newer than everything of their tag cannot; the few others are compared with the batch's own
    earlier rows and with the tail. Repeats of sealed rows are left to the memory.

    Parameters
    ----------
    rows, batch
        The batch, as `twin.state.rows_of` reads it and as it came.
    verdicts
        What `ShardState.judge` says of them.
    tail
        Journalled rows that are not sealed.
    """
    again = np.asarray(verdicts == DUPLICATE)
    doubtful = np.isin(verdicts, (LATE, KEPT_OUT, SAME_TIME))
    if not doubtful.any():
        return again
    times_us = np.unique(rows["at_us"][doubtful])
    seen: set[tuple[object, ...]] = set()
    for journalled in tail.at_times(times_us):
        seen.update(_keys(rows_of(journalled), journalled))
    near = np.flatnonzero(np.isin(rows["at_us"], times_us) & (rows["slot"] >= 0))
    for r, key in zip(near, _keys(rows[near], batch.take(pa.array(near))), strict=True):
        if doubtful[r] and key in seen:
            again[r] = True
        seen.add(key)
    return again


def sample_effects(record: str, batch: pa.RecordBatch, delivery: Delivery) -> tuple[Effect, ...]:
    """Effects of a journalled sample batch; their ids follow from the record's id."""
    effects: list[Effect] = []
    if delivery.restamped_rows:
        rows = pa.array(delivery.restamped_rows)
        effects.append(
            Effect(
                id=f"{record}/clock",
                at_us=delivery.now_us,
                kind="clock.rejected",
                data={
                    "source": delivery.source,
                    "tags": batch.column("tag").take(rows).to_pylist(),
                    "original_us": list(delivery.restamped_at_us),
                    "stored_us": column_us(batch.take(rows), "at").tolist(),
                },
            )
        )
    if delivery.unknown:
        effects.append(
            Effect(
                id=f"{record}/unknown",
                at_us=delivery.now_us,
                kind="tag.unknown",
                data={"source": delivery.source, "rows": dict(delivery.unknown)},
            )
        )
    return tuple(effects)


def _keys(rows: Table, batch: pa.RecordBatch) -> list[tuple[object, ...]]:
    """(tag, at, value, exact, text, status) of each row; a NaN equals itself."""
    nan = np.isnan(rows["value"])
    values = np.where(nan, 0.0, rows["value"])
    columns = (rows[name].tolist() for name in ("at_us", "exact", "text_key", "status"))
    tags = batch.column("tag").to_pylist()
    return list(zip(tags, values.tolist(), nan.tolist(), *columns, strict=True))
