"""Samples as rows: one order, no duplicates, and what was known at a time.

The order is total and does not depend on the order of arrival: by tag, by source time, then
corrected rows after others, then by when they were seen. The last row of a (tag, at) is the one
whose value holds.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from twin.memory.tables import RAW
from twin.samples import SAMPLES, Origin

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_KEY: Final = ["tag", "at", "value", "exact", "text", "status"]
_TIES: Final = ["seen_at", "server_at", "value", "exact", "text", "status", "origin"]


def ints(table: pa.Table, name: str) -> Ints:
    """One integer or time column as int64; it must hold no null."""
    column = table.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    return np.asarray(column.to_numpy(), dtype=np.int64)


def numbers(table: pa.Table, name: str) -> npt.NDArray[np.generic]:
    """One column without nulls as it is stored; not copied."""
    return np.asarray(table.column(name).to_numpy())


def floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    """One float column; a null becomes NaN."""
    return np.asarray(table.column(name).to_numpy(), dtype=np.float64)


def to_raw(samples: pa.Table) -> pa.Table:
    """Samples with the types Delta can hold."""
    return samples.cast(RAW.schema)


def to_samples(raw: pa.Table) -> pa.Table:
    """Stored rows with the types of `SAMPLES`."""
    return raw.cast(SAMPLES)


def ordered(raw: pa.Table) -> pa.Table:
    """Sort rows into the one order and drop duplicates on (tag, at, value, status).

    The value is all of it: number, exact integer and text. Of duplicates the first seen stays,
    which is the one that answers ``known_at`` truly.
    """
    if raw.num_rows < 2:
        return raw
    raw = raw.combine_chunks()
    tag, at = ints(raw, "tag"), ints(raw, "at")
    if not _in_order(tag, at):
        order = sort_order(tag, at)
        raw = raw.take(pa.array(order))
        tag, at = tag[order], at[order]
    equal = (tag[1:] == tag[:-1]) & (at[1:] == at[:-1])
    return _settled(raw, equal) if equal.any() else raw


def _in_order(tag: Ints, at: Ints) -> bool:
    later = (tag[1:] > tag[:-1]) | ((tag[1:] == tag[:-1]) & (at[1:] >= at[:-1]))
    return bool(later.all())


def _settled(raw: pa.Table, equal: Bools) -> pa.Table:
    """Order and dedupe the runs of rows with equal (tag, at); leave the others where they are."""
    tied = np.zeros(raw.num_rows, np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    frame = pl.DataFrame(raw.filter(pa.array(tied))).with_columns(
        corrected=pl.col("origin") == Origin.CORRECTED
    )
    kept = (
        frame.sort(["tag", "at", *_TIES], nulls_last=True, maintain_order=True)
        .unique(subset=_KEY, keep="first", maintain_order=True)
        .sort(["tag", "at", "corrected", *_TIES], nulls_last=True, maintain_order=True)
        .drop("corrected")
    )
    settled = kept.to_arrow().cast(raw.schema)
    whole = pa.concat_tables([raw.filter(pa.array(~tied)), settled]).combine_chunks()
    return whole.take(pa.array(sort_order(ints(whole, "tag"), ints(whole, "at"))))


def sort_order(*keys: Ints) -> Ints:
    """Places of the rows sorted by the keys, the first one first; stable."""
    frame = pl.DataFrame({str(i): column for i, column in enumerate(keys)})
    order = frame.select(pl.arg_sort_by(frame.columns, maintain_order=True))
    return order.to_series().to_numpy().astype(np.int64)


def effective(raw: pa.Table) -> pa.Table:
    """Rows that count: where a (tag, at) has corrected rows, only those."""
    corrected = np.asarray(raw.column("origin").to_numpy()) == Origin.CORRECTED
    if not corrected.any():
        return raw
    tag, at = ints(raw, "tag"), ints(raw, "at")
    last = np.append((tag[1:] != tag[:-1]) | (at[1:] != at[:-1]), [True])
    group = np.concatenate(([0], np.cumsum(last[:-1])))
    replaced = corrected[np.flatnonzero(last)][group] & ~corrected
    return raw.filter(pa.array(~replaced))


def known_at(raw: pa.Table, known_us: int) -> pa.Table:
    """Rows that had been seen by a time [us since 1970]."""
    return raw.filter(pa.array(ints(raw, "seen_at") <= known_us))


def select(raw: pa.Table, tags: Ints, since_us: int, until_us: int) -> pa.Table:
    """Rows of the sorted tags in [since, until); a slice where the rows are sorted by tag."""
    tag, at = ints(raw, "tag"), ints(raw, "at")
    hit = (at >= since_us) & (at < until_us)
    if len(tags) == 1:
        hit &= tag == tags[0]
    elif len(tag):
        place = np.minimum(np.searchsorted(tags, tag), len(tags) - 1)
        hit &= tags[place] == tag if len(tags) else np.zeros(len(tag), np.bool_)
    return _picked(raw, hit)


def _picked(table: pa.Table, hit: Bools) -> pa.Table:
    """Rows that are hit; a slice where they lie together, as those of one tag do."""
    place = np.flatnonzero(hit)
    if not len(place):
        return table.slice(0, 0)
    first, count = int(place[0]), len(place)
    together = int(place[-1]) - first + 1 == count
    return table.slice(first, count) if together else table.filter(pa.array(hit))


def day_of(raw: pa.Table, begin: str, day_us: int) -> Ints:
    """Day of each row, counted from 1970."""
    return np.asarray(ints(raw, begin) // day_us)


def is_empty(table: pa.Table) -> bool:
    """Whether a table has no rows."""
    return int(table.num_rows) == 0


def last_per_tag(raw: pa.Table) -> pa.Table:
    """Last row of each tag of sorted rows."""
    if is_empty(raw):
        return raw
    tag = ints(raw, "tag")
    return raw.take(pa.array(np.flatnonzero(np.append(tag[1:] != tag[:-1], [True]))))


def sorted_tags(tags: npt.ArrayLike) -> Ints:
    """Tags sorted, each once."""
    return np.unique(np.asarray(tags, np.int64))


def concat(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Tables one after the other; the empty table of the schema when there are none."""
    return pa.concat_tables(tables) if tables else schema.empty_table()


def tag_values(table: pa.Table) -> Ints:
    """Tags in a table, sorted, each once."""
    return np.asarray(pc.unique(table.column("tag")).sort().to_numpy(), dtype=np.int64)
