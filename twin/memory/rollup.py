"""Rollups as closed pieces that add up.

A `Pieces` table says of each tag and bucket what happened between the first and the last own
sample inside it; a single sample is such a piece too. `fold` joins consecutive pieces of a bucket:
what lies between two of them is held by the last value of the earlier one (step-hold). Folding is
associative, so samples may be folded in any portions: minutes from samples, hours from minutes.

Only good samples count in means, integrals, extremes and rises; a sample that is not good ends the
hold of the one before it, and what it holds itself is covered but not good. A counter's rise is
taken between consecutive good samples and belongs to the bucket of the later one, by the rule of
`twin.counting`. A reading that dips and comes back at once says nothing; it is known as one where
the readings around it are sealed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twin.counting import dips, growths
from twin.memory.rows import floats, ints
from twin.memory.settings import MINUTE_US, SECOND_US
from twin.memory.tables import MINUTE
from twin.samples import TIME, is_number
from twin.status import is_good
from twin.tags import Kind

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

GAUGE: Final = 0
COUNTER: Final = 1
STATE: Final = 2
EVENT: Final = 3
KIND_CODE: Final[Mapping[Kind, int]] = {
    Kind.GAUGE: GAUGE,
    Kind.COUNTER: COUNTER,
    Kind.STATE: STATE,
    Kind.EVENT: EVENT,
}


_KEPT_ROWS: Final = 65_536
"""Rows of one tag in a month of minutes, and some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Codes:
    """Seconds per state code, long: one entry per row and code, sorted by both.

    Parameters
    ----------
    row
        Row of the pieces the entry belongs to.
    code
        State code.
    seconds
        How long it was held [s].
    """

    row: Ints
    code: Ints
    seconds: Floats


NO_CODES: Final = Codes(row=np.zeros(0, np.int64), code=np.zeros(0, np.int64), seconds=np.zeros(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Rollup rows as columns, sorted by (tag, first_at); columns as in `twin.memory.tables`.

    ``low``, ``high``, ``first`` and ``last`` are NaN where there was no good number; times are in
    microseconds since 1970.
    """

    tag: Ints
    kind: Ints
    n: Ints
    good_n: Ints
    first_at: Ints
    last_at: Ints
    good_s: Floats
    integral: Floats
    low: Floats
    high: Floats
    first: Floats
    last: Floats
    holds_good: Bools
    increase: Floats
    resets: Ints
    codes: Codes

    def __len__(self) -> int:
        return len(self.tag)

    def bucket(self, bucket_us: int) -> Ints:
        """Start of the bucket each piece lies in [us since 1970]."""
        return np.asarray(self.first_at // bucket_us * bucket_us)

    def take(self, rows: Ints) -> "Pieces":
        """Rows by position, each at most once."""
        columns = {name: getattr(self, name)[rows] for name in _PLAIN}
        return Pieces(**columns, codes=_take_codes(self.codes, rows, len(self)))


_PLAIN: Final = tuple(f.name for f in fields(Pieces) if f.name != "codes")


def _take_codes(codes: Codes, rows: Ints, n: int) -> Codes:
    if not len(codes.row):
        return NO_CODES
    place = np.full(n, -1, np.int64)
    place[rows] = np.arange(len(rows))
    moved = place[codes.row]
    kept = np.flatnonzero(moved >= 0)
    return sum_codes(moved[kept], codes.code[kept], codes.seconds[kept])


def sum_codes(row: Ints, code: Ints, seconds: Floats) -> Codes:
    """Add entries of equal row and code."""
    if not len(row):
        return NO_CODES
    order = np.lexsort((code, row))
    row, code, seconds = row[order], code[order], seconds[order]
    starts = np.flatnonzero(np.append(True, (row[1:] != row[:-1]) | (code[1:] != code[:-1])))
    return Codes(row=row[starts], code=code[starts], seconds=np.add.reduceat(seconds, starts))


def kinds_of(tag: Ints, kinds: Mapping[int, Kind]) -> Ints:
    """Kind code of each row; a tag of no known kind is a gauge."""
    known, place = np.unique(tag, return_inverse=True)
    codes = [KIND_CODE[kinds.get(int(t), Kind.GAUGE)] for t in known]
    return np.array(codes, np.int64)[place] if len(tag) else np.zeros(0, np.int64)


def samples_as_pieces(raw: pa.Table, kinds: Mapping[int, Kind]) -> Pieces:
    """Each sample as a piece of its own; rows sorted as `rows.ordered` does."""
    tag, at = ints(raw, "tag"), ints(raw, "at")
    kind = kinds_of(tag, kinds)
    value = floats(raw, "value")
    number = is_number(value)
    good = is_good(ints(raw, "status"))
    counts = good & (number | (kind == EVENT))
    value = np.where(good & number, value, np.nan)
    readings = np.flatnonzero((kind == COUNTER) & good & number)
    value[readings[dips(tag[readings], value[readings])]] = np.nan
    zero = np.zeros(len(tag))
    return Pieces(
        tag=tag,
        kind=kind,
        n=np.ones(len(tag), np.int64),
        good_n=counts.astype(np.int64),
        first_at=at,
        last_at=at,
        good_s=zero,
        integral=zero,
        low=value,
        high=value,
        first=value,
        last=value,
        holds_good=counts & (kind != EVENT),
        increase=zero,
        resets=np.zeros(len(tag), np.int64),
        codes=NO_CODES,
    )


def concat(parts: Sequence[Pieces]) -> Pieces:
    """Pieces one after the other, as they come; not copied where only one part has any."""
    parts = [p for p in parts if len(p)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in _PLAIN}
    offsets = np.cumsum([0, *(len(p) for p in parts)])
    codes = Codes(
        row=np.concatenate([p.codes.row + o for p, o in zip(parts, offsets, strict=False)]),
        code=np.concatenate([p.codes.code for p in parts]),
        seconds=np.concatenate([p.codes.seconds for p in parts]),
    )
    return Pieces(**columns, codes=codes)


def in_order(pieces: Pieces) -> Pieces:
    """Pieces sorted by (tag, first_at); a copy only where they are not."""
    tag, at = pieces.tag, pieces.first_at
    later = (tag[1:] > tag[:-1]) | ((tag[1:] == tag[:-1]) & (at[1:] >= at[:-1]))
    return pieces if later.all() else pieces.take(np.lexsort((at, tag)))


def key(tag: Ints, bucket_us: Ints) -> Ints:
    """One integer per (tag, bucket), growing with both; buckets are whole minutes from 1970 on."""
    return np.asarray((tag << 32) | (bucket_us // MINUTE_US))


def rises(pieces: Pieces, same: Bools) -> tuple[Ints, Floats, Ints]:
    """Rise of each counter between consecutive pieces that have a good sample.

    Parameters
    ----------
    pieces
        Pieces in order.
    same
        For each row, whether a rise *from* an earlier row to it counts, given as group ids'
        equality of neighbours: ``same[i]`` is False where row i starts a group.

    Returns
    -------
    tuple
        Row of the later piece, rise, and 1 where it was a reset.
    """
    rows = np.flatnonzero((pieces.kind == COUNTER) & ~np.isnan(pieces.first))
    group = np.cumsum(~same)[rows]
    linked = np.flatnonzero(group[1:] == group[:-1]) if len(rows) else rows
    later, earlier = rows[linked + 1], rows[linked]
    grown, resets = growths(pieces.last[earlier], pieces.first[later])
    return later, grown, resets


def fold(pieces: Pieces, bucket_us: int) -> Pieces:
    """Join the pieces of each (tag, bucket) into one.

    Parameters
    ----------
    pieces
        Pieces in order, each inside one bucket.
    bucket_us
        Length of a bucket [us].
    """
    n = len(pieces)
    if n < 2:
        return pieces
    bucket = pieces.bucket(bucket_us)
    same = np.empty(n, np.bool_)
    same[0] = False
    same[1:] = (pieces.tag[1:] == pieces.tag[:-1]) & (bucket[1:] == bucket[:-1])
    starts = np.flatnonzero(~same)
    if len(starts) == n:
        return pieces
    ends = np.append(starts[1:], n) - 1
    group = np.cumsum(~same) - 1
    hold_s = _holds_s(pieces, same)
    good_hold_s = np.where(pieces.holds_good, hold_s, 0.0)
    held = np.where(good_hold_s > 0, pieces.last * good_hold_s, 0.0)
    held[pieces.kind != GAUGE] = 0.0
    increase, resets = _folded_rises(pieces, same, group, starts)
    first, last = _ends(pieces, group, len(starts))
    return Pieces(
        tag=pieces.tag[starts],
        kind=pieces.kind[starts],
        n=np.add.reduceat(pieces.n, starts),
        good_n=np.add.reduceat(pieces.good_n, starts),
        first_at=pieces.first_at[starts],
        last_at=pieces.last_at[ends],
        good_s=np.add.reduceat(pieces.good_s + good_hold_s, starts),
        integral=np.add.reduceat(pieces.integral + held, starts),
        low=np.fmin.reduceat(pieces.low, starts),
        high=np.fmax.reduceat(pieces.high, starts),
        first=first,
        last=last,
        holds_good=pieces.holds_good[ends],
        increase=increase,
        resets=resets,
        codes=_folded_codes(pieces, group, good_hold_s),
    )


def _holds_s(pieces: Pieces, same: Bools) -> Floats:
    """Seconds each piece holds until the next of its group; 0 for the last."""
    hold_s = np.zeros(len(pieces))
    gap_us = pieces.first_at[1:] - pieces.last_at[:-1]
    hold_s[:-1] = np.where(same[1:], gap_us, 0) / SECOND_US
    return hold_s


def _folded_rises(pieces: Pieces, same: Bools, group: Ints, starts: Ints) -> tuple[Floats, Ints]:
    increase = np.add.reduceat(pieces.increase, starts)
    resets = np.add.reduceat(pieces.resets, starts)
    if (pieces.kind == COUNTER).any():
        later, rise, fell = rises(pieces, same)
        increase = increase + np.bincount(group[later], rise, len(starts))
        resets = resets + np.bincount(group[later], fell, len(starts)).astype(np.int64)
    return increase, resets


def _ends(pieces: Pieces, group: Ints, groups: int) -> tuple[Floats, Floats]:
    """First and last good number of each group."""
    first, last = np.full(groups, np.nan), np.full(groups, np.nan)
    rows = np.flatnonzero(~np.isnan(pieces.first))
    last[group[rows]] = pieces.last[rows]
    backwards = rows[::-1]
    first[group[backwards]] = pieces.first[backwards]
    return first, last


def _folded_codes(pieces: Pieces, group: Ints, good_hold_s: Floats) -> Codes:
    held = np.flatnonzero((pieces.kind == STATE) & (good_hold_s > 0))
    inner = pieces.codes
    return sum_codes(
        np.concatenate((group[inner.row], group[held])),
        np.concatenate((inner.code, state_code(pieces.last[held]))),
        np.concatenate((inner.seconds, good_hold_s[held])),
    )


def state_code(value: Floats) -> Ints:
    """Code of a state value: the nearest whole number."""
    return np.asarray(np.rint(value)).astype(np.int64)


def to_table(pieces: Pieces, bucket_us: int, rev: int) -> pa.Table:
    """Pieces as rows of the minute or hour table."""
    n = len(pieces)
    offsets = pa.array(np.searchsorted(pieces.codes.row, np.arange(n + 1)).astype(np.int32))

    def number(column: Floats) -> pa.Array:
        return pa.array(column, from_pandas=True)

    def time(column: Ints) -> pa.Array:
        return pa.array(column).cast(TIME)

    columns = {
        "tag": pa.array(pieces.tag.astype(np.int32)),
        "at": time(pieces.bucket(bucket_us)),
        "rev": pa.array(np.full(n, rev, np.int64)),
        "kind": pa.array(pieces.kind.astype(np.int16)),
        "n": pa.array(pieces.n),
        "good_n": pa.array(pieces.good_n),
        "first_at": time(pieces.first_at),
        "last_at": time(pieces.last_at),
        "good_s": pa.array(pieces.good_s),
        "integral": pa.array(pieces.integral),
        "min": number(pieces.low),
        "max": number(pieces.high),
        "first": number(pieces.first),
        "last": number(pieces.last),
        "holds_good": pa.array(pieces.holds_good),
        "increase": pa.array(pieces.increase),
        "resets": pa.array(pieces.resets),
        "codes": pa.ListArray.from_arrays(offsets, pa.array(pieces.codes.code)),
        "code_s": pa.ListArray.from_arrays(offsets, pa.array(pieces.codes.seconds)),
    }
    return pa.table([columns[name] for name in MINUTE.schema.names], schema=MINUTE.schema)


OF_ONE_SAMPLE: Final = frozenset({"tag", "kind", "good_n", "first_at", "last", "holds_good"})
"""Columns of a row of one sample that the others follow from."""


def alike(value: float, count: int) -> npt.NDArray[Any]:
    """A read-only column of one value; short ones are views of what is kept for the next file."""
    kind = np.asarray(value).dtype.str
    return _block(value, kind)[:count] if count <= _KEPT_ROWS else np.full(count, value, kind)


@lru_cache(maxsize=16)
def _block(value: float, kind: str) -> npt.NDArray[Any]:
    block: npt.NDArray[Any] = np.full(_KEPT_ROWS, value, kind)
    block.flags.writeable = False
    return block


def from_table(table: pa.Table, known: Mapping[str, int] | None = None) -> Pieces:
    """Rows of the minute or hour table as pieces.

    Parameters
    ----------
    table
        Rows; columns that were not read count as empty.
    known
        Columns that were not read because all their rows have one value; where ``n`` is 1, only
        `OF_ONE_SAMPLE` need to be there.
    """
    names, known = set(table.column_names), known or {}
    one = known.get("n") == 1
    last = floats(table, "last")
    begin = ints(table, "first_at")

    def number(name: str, otherwise: float) -> Floats:
        return floats(table, name) if name in names else alike(otherwise, table.num_rows)

    def count(name: str) -> Ints:
        return ints(table, name) if name in names else alike(known.get(name, 0), table.num_rows)

    def mark(name: str) -> Bools:
        if name in names:
            return np.asarray(table.column(name).to_numpy(), np.bool_)
        return alike(bool(known.get(name, 0)), table.num_rows)

    return Pieces(
        tag=count("tag"),
        kind=count("kind"),
        n=count("n"),
        good_n=count("good_n"),
        first_at=begin,
        last_at=begin if one else ints(table, "last_at"),
        good_s=number("good_s", 0.0),
        integral=number("integral", 0.0),
        low=last if one else number("min", np.nan),
        high=last if one else number("max", np.nan),
        first=last if one else number("first", np.nan),
        last=last,
        holds_good=mark("holds_good"),
        increase=number("increase", 0.0),
        resets=count("resets"),
        codes=_codes_of(table) if "codes" in names else NO_CODES,
    )


def _codes_of(table: pa.Table) -> Codes:
    if not table.num_rows:
        return NO_CODES
    table = table.select(["codes", "code_s"]).combine_chunks()
    codes = table.column("codes").combine_chunks()
    seconds = table.column("code_s").combine_chunks()
    offsets = np.asarray(codes.offsets.to_numpy(), np.int64)
    lengths: Ints = offsets[1:] - offsets[:-1]
    return Codes(
        row=np.repeat(np.arange(table.num_rows), lengths),
        code=np.asarray(codes.flatten().to_numpy(), np.int64),
        seconds=np.asarray(seconds.flatten().to_numpy(), np.float64),
    )


EMPTY: Final = samples_as_pieces(
    pa.table(
        {
            "tag": pa.array([], pa.int32()),
            "at": pa.array([], TIME),
            "value": pa.array([], pa.float64()),
            "status": pa.array([], pa.int64()),
        }
    ),
    {},
)


def overridden(pieces: Pieces, by: Pieces, bucket_us: int) -> Pieces:
    """Pieces with the rows of equal (tag, bucket) replaced by, and completed with, newer ones."""
    if not len(by):
        return pieces
    if not len(pieces):
        return in_order(by)
    newer = key(by.tag, by.bucket(bucket_us))
    stay = ~np.isin(key(pieces.tag, pieces.bucket(bucket_us)), newer)
    return in_order(concat([pieces.take(np.flatnonzero(stay)), by]))


def within(pieces: Pieces, since_us: int, until_us: int) -> Pieces:
    """Pieces that begin in [since, until)."""
    hit = (pieces.first_at >= since_us) & (pieces.first_at < until_us)
    return pieces if hit.all() else pieces.take(np.flatnonzero(hit))
