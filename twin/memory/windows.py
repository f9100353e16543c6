"""Rollups as they are read: windows of any length over pieces of any length."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import InputError
from twin.memory import rollup
from twin.memory.rollup import (
    COUNTER,
    EMPTY,
    EVENT,
    GAUGE,
    STATE,
    Codes,
    Pieces,
    state_code,
    sum_codes,
)
from twin.memory.settings import SECOND_US
from twin.memory.window_fold import (
    SUMS,
    Columns,
    Work,
    fold_pieces,
    new_work,
    rows_out,
)
from twin.samples import TIME

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)

_COUNTS: Final = ("n", "good_n", "resets")
_SUMMED: Final = {"covered_s": "covered_us"}
"""Columns of a window that are summed under another name."""

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


def windows(
    parts: Iterable[Pieces], frame: Frame, asked: Sequence[str], points: int | None = None
) -> pa.Table:
    """Roll pieces up into windows.

    Parameters
    ----------
    parts
        Pieces in order, in any portions; each piece that begins at or after ``since`` lies inside
        one window. Those before it say what is held when the first window opens.
    frame
        The windows.
    asked
        Columns wanted beside ``tag`` and ``at``; only these are computed.
    points
        Most windows per tag; None for all. Of a tag that has more, of each of ``points // 4``
        equal stretches the first, the last and those with the extremes stay: of gauges the lowest
        ``min`` and highest ``max`` where they are asked, else of ``mean``; of counters the
        smallest and largest ``increase``, of states ``last``, of events ``n``.

    Returns
    -------
    pa.Table
        Rows with these columns of the schema `WINDOWS`, sorted by (tag, at).
    """
    with_codes = not {"codes", "code_s"}.isdisjoint(asked)
    if with_codes:
        parts = [rollup.concat([EMPTY, *parts])]
    work, summed = _folded(parts, frame, asked, points)
    rows = rows_out(work)
    cell = work.cells[:rows]
    rank = cell // max(frame.count, 1)
    kind = work.kinds[rank]
    found = dict(zip(summed, work.out[:, :rows], strict=True))
    columns = _columns(found, kind)
    columns["tag"] = pa.array(frame.tags[rank].astype(np.int32))
    at = frame.since_us + cell % max(frame.count, 1) * frame.every_us
    columns["at"] = pa.array(at).cast(TIME)
    if with_codes:
        (pieces,) = parts
        columns |= _code_columns(pieces, frame, cell, kind)
    names = ["tag", "at", *asked]
    schema = pa.schema([WINDOWS.field(name) for name in names])
    return pa.table([columns[name] for name in names], schema=schema)


def _folded(
    parts: Iterable[Pieces], frame: Frame, asked: Sequence[str], points: int | None
) -> tuple[Work, list[str]]:
    """Fold the parts; return the work and the names of its columns."""
    summed = [_SUMMED.get(name, name) for name in asked if name not in ("codes", "code_s")]
    bounds = (frame.count, frame.since_us, frame.until_us, frame.every_us)
    work = new_work(bounds, summed, len(frame.tags), points)
    ends, shapes = _fixed(frame.end_us), _fixed(_shapes(asked))
    for pieces in parts:
        if len(pieces):
            fold_pieces(_columns_of(pieces, frame.tags), ends, shapes, work)
    fold_pieces(_columns_of(EMPTY, frame.tags), ends, shapes, work)
    return work, summed


def _shapes(asked: Sequence[str]) -> Ints:
    """For each kind the places of what is drawn of it: low and high."""
    gauge = ("min", "max") if {"min", "max"} <= set(asked) else ("mean", "mean")
    drawn = {GAUGE: gauge, COUNTER: ("increase",) * 2, STATE: ("last",) * 2, EVENT: ("n",) * 2}
    return np.array([[SUMS.index(name) for name in drawn[kind]] for kind in sorted(drawn)])


def _columns_of(pieces: Pieces, tags: Ints) -> Columns:
    """Columns of pieces as the fold reads them."""
    one = len(tags) == 1
    rank = rollup.alike(0, len(pieces)) if one else np.searchsorted(tags, pieces.tag)
    named = {name: _fixed(getattr(pieces, name)) for name in Columns._fields if name != "rank"}
    return Columns(rank=_fixed(rank), **named)


def _fixed(column: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """A view that cannot be written, as Arrow's are: one kind of array, compiled once."""
    view = np.ascontiguousarray(column).view()
    view.flags.writeable = False
    return view


def _columns(found: dict[str, Floats], kind: Ints) -> dict[str, pa.Array]:
    """Columns of the sums there are; null where a kind has none."""
    event = kind == EVENT
    none = {
        "good_s": event,
        "covered_us": event,
        "first": event,
        "last": event,
        "increase": kind != COUNTER,
        "resets": kind != COUNTER,
    } | dict.fromkeys(("mean", "integral", "min", "max"), kind != GAUGE)
    columns = {}
    for name, values in found.items():
        if name in _COUNTS:
            columns[name] = pa.array(values.astype(np.int64), mask=none.get(name))
        elif name == "covered_us":
            columns["covered_s"] = pa.array(values / SECOND_US, mask=event)
        else:
            missing = none[name] | np.isnan(values)
            columns[name] = pa.array(values, mask=missing if missing.any() else None)
    return columns


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


def _code_columns(pieces: Pieces, frame: Frame, kept: Ints, kind: Ints) -> dict[str, pa.Array]:
    """Seconds per state code of the windows that stay."""
    other = kind != STATE
    if other.all():
        return {n: pa.nulls(len(kept), WINDOWS.field(n).type) for n in ("codes", "code_s")}
    rank = np.searchsorted(frame.tags, pieces.tag)
    cell = rank * frame.count + (pieces.first_at - frame.since_us) // frame.every_us
    holds = _holds(pieces, frame, rank)
    inner = np.flatnonzero(pieces.first_at[pieces.codes.row] >= frame.since_us)
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
