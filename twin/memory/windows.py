"""Rollups as they are read: windows of any length over pieces of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import InputError
from twin.memory.rollup import (
    COUNTER,
    EVENT,
    GAUGE,
    STATE,
    Codes,
    Pieces,
    rises,
    state_code,
    sum_codes,
)
from twin.memory.settings import SECOND_US
from twin.samples import TIME

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

WINDOWS: Final = pa.schema(
    [
        pa.field("tag", pa.int32(), nullable=False),
        pa.field("at", TIME, nullable=False),
        pa.field("n", pa.int64(), nullable=False),
        pa.field("good_n", pa.int64(), nullable=False),
        pa.field("good_s", pa.float64()),
        pa.field("covered_s", pa.float64()),
        pa.field("mean", pa.float64()),
        pa.field("integral", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("first", pa.float64()),
        pa.field("last", pa.float64()),
        pa.field("increase", pa.float64()),
        pa.field("resets", pa.int64()),
        pa.field("codes", pa.list_(pa.int64())),
        pa.field("code_s", pa.list_(pa.float64())),
    ]
)
"""One row per tag and window in which it had a sample or held one.

``at`` is the start of the window; ``n`` and ``good_n`` count own samples. ``good_s`` and
``covered_s`` are the seconds held by a good sample, and by any [s]; null for events, which hold
nothing. Gauges: ``mean`` is weighted by time over the good seconds, ``integral`` in unit·s,
``min`` and ``max`` of what was in force. ``first`` and ``last`` are own good samples of the
window, null without one. Counters: ``increase`` and ``resets``. States: ``codes`` and the seconds
``code_s`` each was held. What a kind does not have is null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The windows of a read: [since + k every, since + (k + 1) every), cut at until.

    Parameters
    ----------
    tags
        Sorted tags.
    since_us, until_us, every_us
        Bounds and length [us].
    end_us
        For each tag, how far its open sample holds [us since 1970].
    """

    tags: Ints
    since_us: int
    until_us: int
    every_us: int
    end_us: Ints

    @property
    def count(self) -> int:
        """Windows per tag."""
        return -((self.since_us - self.until_us) // self.every_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Holds:
    """Stretches between samples, cut at the edges of windows.

    ``cell`` is tag rank x windows + window and never falls.
    """

    row: Ints
    cell: Ints
    seconds: Floats


def checked_frame(frame: Frame, max_windows: int) -> Frame:
    """Refuse a frame that cannot be meant."""
    if frame.every_us <= 0:
        raise InputError(f"every is {frame.every_us} us", "give a length above 0", "every")
    if frame.until_us < frame.since_us:
        raise InputError("until lies before since", "swap them", "until")
    if frame.count * max(len(frame.tags), 1) > max_windows:
        raise InputError(
            f"{frame.count} windows of {len(frame.tags)} tag(s) are more than {max_windows}",
            "ask for longer windows, a shorter span or fewer tags",
            "every",
        )
    return frame


def windows(pieces: Pieces, frame: Frame, asked: Sequence[str]) -> pa.Table:
    """Roll pieces up into windows.

    Parameters
    ----------
    pieces
        Pieces in order; each that begins at or after ``since`` lies inside one window. Those
        before it say what is held when the first window opens.
    frame
        The windows.
    asked
        Columns wanted beside ``tag`` and ``at``; only these are computed.

    Returns
    -------
    pa.Table
        Rows with these columns of the schema `WINDOWS`, sorted by (tag, at).
    """
    size = frame.count * len(frame.tags)
    rank = np.searchsorted(frame.tags, pieces.tag)
    window = (pieces.first_at - frame.since_us) // frame.every_us
    cell = rank * frame.count + window
    own = np.flatnonzero(window >= 0)
    holds = _holds(pieces, frame, rank)
    sums = _sums(pieces, own, cell, holds, size, asked)
    extremes = _extremes(pieces, own, cell, holds, size, asked)
    kept = np.flatnonzero((sums["n"] > 0) | (sums["covered_s"] > 0))
    kind = _kind_of_cells(pieces, rank, frame, kept)
    columns: dict[str, pa.Array] = {
        "tag": pa.array(frame.tags[kept // max(frame.count, 1)].astype(np.int32)),
        "at": pa.array(frame.since_us + kept % max(frame.count, 1) * frame.every_us).cast(TIME),
    }
    columns |= _values(sums, kept, kind)
    columns |= {name: _number(best[kept], kind != GAUGE) for name, best in extremes.items()}
    if not {"increase", "resets"}.isdisjoint(asked):
        columns |= _rise_columns(pieces, own, cell, kept, kind, size)
    if not {"first", "last"}.isdisjoint(asked):
        columns |= _end_columns(pieces, own, cell, kept, kind, size)
    if not {"codes", "code_s"}.isdisjoint(asked):
        columns |= _code_columns(pieces, own, cell, holds, kept, kind)
    names = ["tag", "at", *asked]
    schema = pa.schema([WINDOWS.field(name) for name in names])
    return pa.table([columns[name] for name in names], schema=schema)


def _holds(pieces: Pieces, frame: Frame, rank: Ints) -> _Holds:
    """Cut what each piece holds until the next own sample of its tag at the window edges."""
    begin = np.maximum(pieces.last_at, frame.since_us)
    until = frame.end_us[rank] if len(rank) else np.zeros(0, np.int64)
    if len(rank) > 1:
        same = pieces.tag[1:] == pieces.tag[:-1]
        until[:-1] = np.where(same, pieces.first_at[1:], until[:-1])
    until = np.minimum(until, frame.until_us)
    rows = np.flatnonzero((until > begin) & (pieces.kind != EVENT))
    begin, until = begin[rows], until[rows]
    first = (begin - frame.since_us) // frame.every_us
    count = (until - 1 - frame.since_us) // frame.every_us - first + 1
    if not len(rows) or count.max() == 1:
        cell = rank[rows] * frame.count + first
        return _Holds(row=rows, cell=cell, seconds=(until - begin) / SECOND_US)
    link = np.repeat(np.arange(len(rows)), count)
    step = np.arange(len(link)) - np.repeat(np.cumsum(count) - count, count)
    window = first[link] + step
    edge = frame.since_us + window * frame.every_us
    low = np.maximum(begin[link], edge)
    high = np.minimum(until[link], edge + frame.every_us)
    row = rows[link]
    return _Holds(row=row, cell=rank[row] * frame.count + window, seconds=(high - low) / SECOND_US)


def _sums(
    pieces: Pieces, own: Ints, cell: Ints, holds: _Holds, size: int, asked: Sequence[str]
) -> dict[str, Floats]:
    """Sums per cell, of those asked for; ``n`` and ``covered_s`` always."""
    inner, outer = _Cells.of(cell[own], size), _Cells.of(holds.cell, size)
    good = pieces.holds_good[holds.row]
    inner_s = (pieces.last_at[own] - pieces.first_at[own]) / SECOND_US
    inner_s[pieces.kind[own] == EVENT] = 0.0
    found = {
        "n": inner.sums(pieces.n[own]),
        "covered_s": inner.sums(inner_s) + outer.sums(holds.seconds),
    }
    if "good_n" in asked:
        found["good_n"] = inner.sums(pieces.good_n[own])
    if not {"good_s", "mean"}.isdisjoint(asked):
        good_s = np.where(good, holds.seconds, 0.0)
        found["good_s"] = inner.sums(pieces.good_s[own]) + outer.sums(good_s)
    if not {"integral", "mean"}.isdisjoint(asked):
        held = np.where(good, pieces.last[holds.row] * holds.seconds, 0.0)
        found["integral"] = inner.sums(pieces.integral[own]) + outer.sums(held)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cells:
    """Where rows add to; of the cells of a dense read each has one row, which costs no sum.

    Parameters
    ----------
    cell
        Cell of each row; it never falls.
    size
        How many cells there are.
    once
        Whether no cell has two rows.
    """

    cell: Ints
    size: int
    once: bool

    @classmethod
    def of(cls, cell: Ints, size: int) -> "_Cells":
        return cls(cell=cell, size=size, once=bool((cell[1:] > cell[:-1]).all()))

    def sums(self, values: npt.NDArray[np.generic]) -> Floats:
        """Sum per cell of one value per row."""
        if not self.once:
            return np.asarray(np.bincount(self.cell, values, self.size), np.float64)
        if len(self.cell) == self.size:
            return np.asarray(values, np.float64)
        out = np.zeros(self.size)
        out[self.cell] = values
        return out


def _extremes(
    pieces: Pieces, own: Ints, cell: Ints, holds: _Holds, size: int, asked: Sequence[str]
) -> dict[str, Floats]:
    """Smallest and largest good value in force per cell, of those asked for."""
    held = np.where(pieces.holds_good[holds.row], pieces.last[holds.row], np.nan)
    found = {}
    for name, inner, best in (("min", pieces.low, np.fmin), ("max", pieces.high, np.fmax)):
        if name in asked:
            out = found[name] = np.full(size, np.nan)
            _fold_cells(best, out, cell[own], inner[own])
            _fold_cells(best, out, holds.cell, held)
    return found


def _fold_cells(best: np.ufunc, out: Floats, cell: Ints, values: Floats) -> None:
    """Fold values into their cells; cells never fall."""
    if len(cell):
        starts = np.flatnonzero(np.append([True], cell[1:] != cell[:-1]))
        places = cell[starts]
        out[places] = best(out[places], best.reduceat(values, starts))


def _kind_of_cells(pieces: Pieces, rank: Ints, frame: Frame, kept: Ints) -> Ints:
    kind = np.zeros(len(frame.tags), np.int64)
    last = np.flatnonzero(np.append(rank[1:] != rank[:-1], [True])) if len(rank) else rank
    kind[rank[last]] = pieces.kind[last]
    return np.asarray(kind[kept // max(frame.count, 1)])


def _values(sums: dict[str, Floats], kept: Ints, kind: Ints) -> dict[str, pa.Array]:
    """Columns made of sums, of those there are."""
    not_gauge, event = kind != GAUGE, kind == EVENT
    found = {name: column[kept] for name, column in sums.items()}
    counts = (name for name in ("n", "good_n") if name in found)
    columns: dict[str, pa.Array] = {name: pa.array(found[name].astype(np.int64)) for name in counts}
    columns["covered_s"] = pa.array(found["covered_s"], mask=event)
    if "good_s" in found:
        columns["good_s"] = pa.array(found["good_s"], mask=event)
    if "integral" in found:
        columns["integral"] = pa.array(found["integral"], mask=not_gauge)
    if "good_s" in found and "integral" in found:
        good_s, mean = found["good_s"], np.full(len(kept), np.nan)
        np.divide(found["integral"], good_s, out=mean, where=good_s > 0)
        columns["mean"] = _number(mean, not_gauge)
    return columns


def _rise_columns(
    pieces: Pieces, own: Ints, cell: Ints, kept: Ints, kind: Ints, size: int
) -> dict[str, pa.Array]:
    other = kind != COUNTER
    if other.all():
        return {"increase": pa.nulls(len(kept), pa.float64()), "resets": _nulls(len(kept))}
    same = np.append([False], pieces.tag[1:] == pieces.tag[:-1])
    later, rise, fell = rises(pieces, same)
    inside = np.isin(later, own)
    later, rise, fell = later[inside], rise[inside], fell[inside]
    increase = np.bincount(cell[own], pieces.increase[own], size)
    resets = np.bincount(cell[own], pieces.resets[own], size)
    increase = increase + np.bincount(cell[later], rise, size)
    resets = resets + np.bincount(cell[later], fell, size)
    return {
        "increase": pa.array(increase[kept], mask=other),
        "resets": pa.array(resets[kept].astype(np.int64), mask=other),
    }


def _end_columns(
    pieces: Pieces, own: Ints, cell: Ints, kept: Ints, kind: Ints, size: int
) -> dict[str, pa.Array]:
    first, last = np.full(size, np.nan), np.full(size, np.nan)
    rows = own[~np.isnan(pieces.first[own])]
    last[cell[rows]] = pieces.last[rows]
    first[cell[rows[::-1]]] = pieces.first[rows[::-1]]
    event = kind == EVENT
    return {
        "first": _number(first[kept], event),
        "last": _number(last[kept], event),
    }


def _code_columns(
    pieces: Pieces, own: Ints, cell: Ints, holds: _Holds, kept: Ints, kind: Ints
) -> dict[str, pa.Array]:
    other = kind != STATE
    if other.all():
        return {name: _nulls(len(kept), WINDOWS.field(name).type) for name in ("codes", "code_s")}
    inner = np.flatnonzero(np.isin(pieces.codes.row, own))
    outer = np.flatnonzero((pieces.kind[holds.row] == STATE) & pieces.holds_good[holds.row])
    codes = sum_codes(
        np.concatenate((cell[pieces.codes.row[inner]], holds.cell[outer])),
        np.concatenate((pieces.codes.code[inner], state_code(pieces.last[holds.row[outer]]))),
        np.concatenate((pieces.codes.seconds[inner], holds.seconds[outer])),
    )
    return _lists(codes, kept, other)


def _lists(codes: Codes, kept: Ints, other: Bools) -> dict[str, pa.Array]:
    """Long entries as one list per kept cell, null for other kinds."""
    low = np.searchsorted(codes.row, kept)
    high = np.searchsorted(codes.row, kept, "right")
    end = high[-1:] if len(kept) else [0]
    offsets = pa.array(np.append(low, end).astype(np.int32), mask=np.append(other, [False]))
    return {
        "codes": pa.ListArray.from_arrays(offsets, pa.array(codes.code)),
        "code_s": pa.ListArray.from_arrays(offsets, pa.array(codes.seconds)),
    }


def _number(values: Floats, other: Bools) -> pa.Array:
    """Numbers, null where there is none or the kind has none."""
    return pa.array(values, mask=other | np.isnan(values))


def _nulls(n: int, kind: pa.DataType | None = None) -> pa.Array:
    return pa.nulls(n, pa.int64() if kind is None else kind)
