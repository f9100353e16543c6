"""What new samples change in the rollups: used by a seal, and by every read for its tail.

A bucket without a row is folded from the new samples alone. A bucket that has one is continued
where all new samples lie after its last one, which costs nothing; otherwise it is dirty: the
minute is folded again from its samples, sealed and new, and its hour from its minutes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.memory import rows
from twin.memory.rollup import (
    EMPTY,
    Pieces,
    concat,
    fold,
    in_order,
    key,
    overridden,
    samples_as_pieces,
)
from twin.memory.settings import HOUR_US, MINUTE_US
from twin.memory.tables import HOUR, MINUTE, TableSpec
from twin.tags import Kind

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Sealed(Protocol):
    """What is sealed already, of one version."""

    @property
    def raw_floor_us(self) -> int:
        """Samples before this are gone; their rollups can no longer be folded again."""

    def rollups(self, spec: TableSpec, tags: Ints, since_us: int, until_us: int) -> Pieces:
        """Rollup rows of the sorted tags in [since, until), newest revision, in order."""

    def samples(self, tags: Ints, since_us: int, until_us: int) -> pa.Table:
        """Samples of the sorted tags in [since, until), as stored, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Rollup rows that new samples make or replace.

    Parameters
    ----------
    minute, hour
        The rows, in order.
    dirty
        For each new sample, whether its hour had to be folded again.
    """

    minute: Pieces
    hour: Pieces
    dirty: Bools


NO_CHANGE = Change(minute=EMPTY, hour=EMPTY, dirty=np.zeros(0, np.bool_))


def change(new: pa.Table, kinds: Mapping[int, Kind], sealed: Sealed) -> Change:
    """Rollup rows that new samples make or replace.

    Parameters
    ----------
    new
        New samples as stored, in order (`rows.ordered`).
    kinds
        Kind of each tag.
    sealed
        What is there already.
    """
    if rows.is_empty(new):
        return NO_CHANGE
    minutes = fold(samples_as_pieces(rows.effective(new), kinds), MINUTE_US)
    old = _rows_of(sealed, MINUTE, minutes)
    fresh, continued, again = _split(minutes, old, MINUTE_US)
    refolded = _refolded(new, again, kinds, sealed)
    after = in_order(concat([fresh, continued, refolded]))
    hours, dirty_hours = _hours(minutes, again, after, sealed)
    sample_hours = key(rows.ints(new, "tag"), rows.ints(new, "at") // HOUR_US * HOUR_US)
    return Change(minute=after, hour=hours, dirty=np.isin(sample_hours, dirty_hours))


def _split(new: Pieces, old: Pieces, bucket_us: int) -> tuple[Pieces, Pieces, Pieces]:
    """Split new pieces: without a row, continuing one (and joined to it), and those that cannot."""
    if not len(old):
        return new, EMPTY, EMPTY
    old_keys = key(old.tag, old.bucket(bucket_us))
    new_keys = key(new.tag, new.bucket(bucket_us))
    place = np.minimum(np.searchsorted(old_keys, new_keys), len(old) - 1)
    known = old_keys[place] == new_keys
    after = known & (new.first_at > old.last_at[place])
    rows_after = np.flatnonzero(after)
    before = old.take(place[rows_after])
    joined = in_order(concat([before, new.take(rows_after)]))
    continued = fold(joined, bucket_us) if len(rows_after) else EMPTY
    fresh = new.take(np.flatnonzero(~known))
    return fresh, continued, new.take(np.flatnonzero(known & ~after))


def _refolded(new: pa.Table, again: Pieces, kinds: Mapping[int, Kind], sealed: Sealed) -> Pieces:
    """Fold minutes again from all their samples; those without samples left stay as they are."""
    keep = again.bucket(MINUTE_US) >= sealed.raw_floor_us
    again = again.take(np.flatnonzero(keep))
    if not len(again):
        return EMPTY
    wanted = key(again.tag, again.bucket(MINUTE_US))
    parts = [_in_buckets(new, wanted)]
    for tags, since_us, until_us in spans(again, MINUTE_US):
        parts.append(_in_buckets(sealed.samples(tags, since_us, until_us), wanted))
    whole = rows.effective(rows.ordered(pa.concat_tables(parts)))
    return fold(samples_as_pieces(whole, kinds), MINUTE_US)


def _in_buckets(raw: pa.Table, wanted: Ints) -> pa.Table:
    """Samples of the wanted (tag, minute)s."""
    keys = key(rows.ints(raw, "tag"), rows.ints(raw, "at"))
    return raw.filter(pa.array(np.isin(keys, wanted)))


def _hours(minutes: Pieces, again: Pieces, after: Pieces, sealed: Sealed) -> tuple[Pieces, Ints]:
    """Hour rows that change, and the keys of those folded again from their minutes."""
    partial = fold(minutes, HOUR_US)
    old = _rows_of(sealed, HOUR, partial)
    fresh, continued, overlapping = _split(partial, old, HOUR_US)
    dirty = np.union1d(
        key(again.tag, again.bucket(HOUR_US)), key(overlapping.tag, overlapping.bucket(HOUR_US))
    )
    if not len(dirty):
        return in_order(concat([fresh, continued])), dirty
    clean = concat([fresh, continued])
    clean = clean.take(np.flatnonzero(~np.isin(key(clean.tag, clean.bucket(HOUR_US)), dirty)))
    of_dirty = partial.take(
        np.flatnonzero(np.isin(key(partial.tag, partial.bucket(HOUR_US)), dirty))
    )
    parts = [EMPTY]
    for tags, since_us, until_us in spans(of_dirty, HOUR_US):
        found = sealed.rollups(MINUTE, tags, since_us, until_us)
        parts.append(_pieces_in(found, dirty))
    stored = in_order(concat(parts))
    whole = overridden(stored, _pieces_in(after, dirty), MINUTE_US)
    return in_order(concat([clean, fold(whole, HOUR_US)])), dirty


def _pieces_in(pieces: Pieces, hours: Ints) -> Pieces:
    keys = key(pieces.tag, pieces.bucket(HOUR_US))
    return pieces.take(np.flatnonzero(np.isin(keys, hours)))


def _rows_of(sealed: Sealed, spec: TableSpec, wanted: Pieces) -> Pieces:
    """Rows the table already has for the buckets of the wanted pieces, in order."""
    keys = key(wanted.tag, wanted.bucket(spec.bucket_us))
    parts = [EMPTY]
    for tags, since_us, until_us in spans(wanted, spec.bucket_us):
        found = sealed.rollups(spec, tags, since_us, until_us)
        hit = np.isin(key(found.tag, found.bucket(spec.bucket_us)), keys)
        parts.append(found.take(np.flatnonzero(hit)))
    return in_order(concat(parts))


def spans(pieces: Pieces, bucket_us: int) -> list[tuple[Ints, int, int]]:
    """Tags and time ranges that cover the buckets of the pieces, one per run of hours.

    A late sample of last month beside today's must not make a reader open all files between.
    """
    if not len(pieces):
        return []
    bucket = pieces.bucket(bucket_us)
    hour = bucket // HOUR_US
    distinct = np.unique(hour)
    run = np.cumsum(np.append([0], np.diff(distinct) > 1))
    run_of = run[np.searchsorted(distinct, hour)]
    found = []
    for r in range(int(run[-1]) + 1):
        inside = run_of == r
        found.append(
            (
                np.unique(pieces.tag[inside]),
                int(bucket[inside].min()),
                int(bucket[inside].max()) + bucket_us,
            )
        )
    return found
