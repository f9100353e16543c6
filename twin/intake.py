"""What a shard does to a delivered batch before it is journalled; pure."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from twin.effects import Effect
from twin.fold import DUPLICATE, KEPT_OUT, LATE, SAME_TIME, Table
from twin.records import Delivery
from twin.repeats import Keys, repeats
from twin.samples import COVERAGE, SAMPLES, TIME, column_us
from twin.state import rows_of
from twin.status import CLASS_GOOD, UNCERTAIN, quality_class
from twin.tail import Tail

Ints = npt.NDArray[np.int64]

IN_ORDER: Final = int(np.iinfo(np.int64).min)
"""In place of an original time: the source time was within bounds."""


def in_bounds(
    batch: pa.RecordBatch, earliest_us: int, latest_us: int
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """Apply the clock rule: a source time out of bounds is replaced by the time received.

    A good status becomes Uncertain then; a worse one stays. Rows of one tag keep their order: each
    is at least a microsecond after the one before it, so that equal ones are not taken for repeats.

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
    stored_us = at_us.copy()
    tag = batch.column("tag").to_numpy()[outside]
    stored_us[outside] = _one_after_another(tag, column_us(batch, "seen_at")[outside])
    columns = {
        "at": pa.array(stored_us).cast(TIME),
        "status": pa.array(np.where(doubtful, np.uint32(UNCERTAIN), status)),
    }
    arrays = [columns.get(name, batch.column(name)) for name in SAMPLES.names]
    return pa.record_batch(arrays, schema=SAMPLES), np.where(outside, at_us, IN_ORDER)


def coverage_in_bounds(
    rows: pa.RecordBatch, now_us: int, earliest_us: int, latest_us: int
) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Apply the clock rule to coverage: nothing ends in times to come, or begins before memory.

    Parameters
    ----------
    rows
        COVERAGE rows, each ending at or after its begin.
    now_us
        Park time of the delivery [us]; it takes the place of a time after `latest_us`.
    earliest_us, latest_us
        Bounds, both within [us]; a time before them becomes `earliest_us`.

    Returns
    -------
    tuple
        The rows, and which of them were changed.
    """
    told = {name: column_us(rows, name) for name in ("from", "to")}
    bounded = {
        name: np.where(at_us > latest_us, now_us, np.maximum(at_us, earliest_us))
        for name, at_us in told.items()
    }
    bounded["to"] = np.maximum(bounded["to"], bounded["from"])
    changed = (bounded["from"] != told["from"]) | (bounded["to"] != told["to"])
    if changed.any():
        columns = {name: pa.array(at_us).cast(TIME) for name, at_us in bounded.items()}
        arrays = [columns.get(name, rows.column(name)) for name in COVERAGE.names]
        rows = pa.record_batch(arrays, schema=COVERAGE)
    return rows, np.asarray(changed)


def coverage_effects(
    record: str, rows: pa.RecordBatch, changed: npt.NDArray[np.bool_], delivery: Delivery
) -> tuple[Effect, ...]:
    """Effects of a journalled coverage batch, of which some rows were out of bounds."""
    if not changed.any():
        return ()
    wrong = rows.filter(pa.array(changed))
    return (
        Effect(
            id=f"{record}/clock",
            at_us=delivery.now_us,
            kind="clock.rejected",
            data={
                "source": delivery.source,
                "endpoints": wrong.column("endpoint").to_pylist(),
                "original_us": np.column_stack(
                    [column_us(wrong, "from"), column_us(wrong, "to")]
                ).tolist(),
            },
        ),
    )


def _one_after_another(tag: npt.NDArray[np.int32], seen_us: Ints) -> Ints:
    """Times of receipt, moved so that those of each tag rise in the order of the rows."""
    order = np.argsort(tag, kind="stable")
    risen = seen_us.copy()
    risen[order] = _risen(tag[order], seen_us[order])
    return risen


def _risen_times(tag: npt.NDArray[np.int32], at_us: Ints) -> Ints:
    risen = at_us.copy()
    for row in range(1, len(tag)):
        if tag[row] == tag[row - 1]:
            risen[row] = max(risen[row], risen[row - 1] + 1)
    return risen


_risen = njit(cache=True)(_risen_times)


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
    tag = np.array(batch.column("tag").to_numpy(), np.int64)
    at_us = np.ascontiguousarray(rows["at_us"])
    keys = Keys(tag[doubtful], at_us[doubtful])
    known = tail.rows_with(keys)
    near = np.flatnonzero(keys.found_in(tag, at_us) & (rows["slot"] >= 0))
    before = sum(journalled.num_rows for journalled in known)
    tags = [np.asarray(journalled.column("tag").to_numpy(), np.int64) for journalled in known]
    whole = np.concatenate([*map(rows_of, known), rows[near]])
    seen = repeats(np.concatenate([*tags, tag[near]]), whole)[before:]
    again[near] |= seen & doubtful[near]
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
