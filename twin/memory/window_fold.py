"""Pieces folded into windows in one pass. Compiled by numba.

Pieces come in order and may come in portions: what is open at the end of one is carried into the
next, so a year of minute rows is never in memory at once. Of a tag with more windows than points
are wanted only some stay: of each of so many equal stretches the first, the last, the one with
the lowest and the one with the highest value. So no extreme is lost, whatever lies between.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from twin.counting import counted
from twin.memory.rollup import COUNTER, EVENT

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SUMS: Final = (
    *("n", "good_n", "covered_us", "good_s", "integral", "min", "max", "first", "last"),
    *("increase", "resets", "mean"),
)
"""What is known of a window, in this order; the mean is reckoned when it is complete."""
_N, _GOOD_N, _COVERED, _GOOD_S, _INTEGRAL, _MIN, _MAX, _FIRST, _LAST, _RISE, _RESETS, _MEAN = range(
    len(SUMS)
)

PER_STRETCH: Final = 4
"""Windows that stay of a stretch."""
_compiled = njit(cache=True, nogil=True, error_model="numpy")
_FIRST_OF, _LOW_OF, _HIGH_OF, _NOW, _OPEN = range(5)
_VALUE, _READING = range(2)

_CELL, _CELL_US, _RANK, _LAST_AT, _KIND, _GOOD, _ROWS, _BEGIN = range(8)
_LOW, _HIGH, _COMPETING, _STRETCH_END, _STAYS = range(8, 13)
_COUNT, _SINCE, _UNTIL, _EVERY, _MOST, _KEPT = range(_STAYS + 4, _STAYS + 10)


class Columns(NamedTuple):
    """Columns of pieces, read-only; ``rank`` is the place of their tag among those asked for."""

    rank: Ints
    kind: Ints
    n: Ints
    good_n: Ints
    first_at: Ints
    last_at: Ints
    resets: Ints
    good_s: Floats
    integral: Floats
    low: Floats
    high: Floats
    first: Floats
    last: Floats
    increase: Floats
    holds_good: Bools


class Work(NamedTuple):
    """Where a fold stands, and what it has put out. Few arrays, because each costs at every call.

    Parameters
    ----------
    place
        Window being summed (-1: none) and its end [us]; rank of the tag (-1: none), end, kind and
        goodness of the open piece; rows put out; first window of the tag; places in `SUMS` of
        what is drawn low and high; whether windows compete; the window after the stretch (-1:
        none) and those that stay of it (-1: none). Then what is asked: windows per tag, since,
        until and every [us], most windows per tag (0: every window stays), the number of columns
        put out, and their places in `SUMS`.
    sums
        Sums of the windows that stay of the stretch and of the present one; then what the open
        piece holds and the last good reading of a counter (NaN: none).
    out, cells
        Columns put out, and the window of each row: rank x windows + window, rising.
    kinds
        Kind of each tag that had a piece.
    """

    place: Ints
    sums: Floats
    out: Floats
    cells: Ints
    kinds: Ints


def new_work(
    frame: tuple[int, int, int, int], kept: Sequence[str], tags: int, points: int | None
) -> Work:
    """Work of a fold that has not begun.

    Parameters
    ----------
    frame
        Windows per tag, since, until and every [us].
    kept
        Columns of the output, of `SUMS`.
    tags
        Number of tags.
    points
        Most windows per tag; None for all.
    """
    room = frame[0] if points is None else min(frame[0], points)
    place = np.full(_KEPT + 1 + len(SUMS), -1, np.int64)
    place[_ROWS] = place[_COMPETING] = 0
    place[_COUNT : _KEPT + 1] = (*frame, points or 0, len(kept))
    place[_KEPT + 1 : _KEPT + 1 + len(kept)] = [SUMS.index(name) for name in kept]
    return Work(
        place=place,
        sums=np.full((_OPEN + 1, len(SUMS)), np.nan),
        out=np.empty((len(kept), room * tags)),
        cells=np.empty(room * tags, np.int64),
        kinds=np.zeros(tags, np.int64),
    )


def rows_out(work: Work) -> int:
    """Rows put out so far."""
    return int(work.place[_ROWS])


def _put_row(place: Ints, sums: Floats, out: Floats, cells: Ints, which: int, cell: int) -> None:
    row = place[_ROWS]
    cells[row] = cell
    for k in range(place[_KEPT]):
        out[k, row] = sums[which, place[_KEPT + 1 + k]]
    place[_ROWS] = row + 1


_put = _compiled(_put_row)


def _end_stretch(place: Ints, sums: Floats, out: Floats, cells: Ints) -> None:
    """Put out the windows that stay of a stretch, each once, in order."""
    written = -1
    for _ in range(PER_STRETCH):
        best = -1
        for slot in range(PER_STRETCH):
            cell = place[_STAYS + slot]
            if cell > written and (best < 0 or cell < place[_STAYS + best]):
                best = slot
        if best < 0:
            break
        written = place[_STAYS + best]
        _put(place, sums, out, cells, best, written)
    place[_STRETCH_END] = -1
    for slot in range(PER_STRETCH):
        place[_STAYS + slot] = -1


_settle = _compiled(_end_stretch)


def _stay_as(place: Ints, sums: Floats, which: int, cell: int) -> None:
    for k in range(len(SUMS)):
        sums[which, k] = sums[_NOW, k]
    place[_STAYS + which] = cell


_stay = _compiled(_stay_as)


def _begin_stretch(place: Ints, sums: Floats, cell: int) -> None:
    """Begin the stretch a window lies in."""
    width, stretches = place[_COUNT] - place[_BEGIN], place[_MOST] // PER_STRETCH
    origin = place[_RANK] * place[_COUNT] + place[_BEGIN]
    stretch = (cell - origin) * stretches // width
    place[_STRETCH_END] = origin - (-(stretch + 1) * width // stretches)
    _stay(place, sums, _FIRST_OF, cell)


_start = _compiled(_begin_stretch)


def _fold_pieces(columns: Columns, ends: Ints, shapes: Ints, work: Work) -> None:
    # One loop over local numbers with one place where a window ends: as functions of their own its
    # parts take five times as long, because what they share would lie in arrays.
    ranks, kind_of, n_of, good_n_of, first_at, last_at, resets_of = columns[:7]
    good_s_of, integral_of, low, high, first, last, increase, holds_good = columns[7:]
    place, sums, out, cells, kinds = work
    since, until, every = place[_SINCE], place[_UNTIL], place[_EVERY]
    cell, cell_us, rank, held_from = place[_CELL], place[_CELL_US], place[_RANK], place[_LAST_AT]
    kind, good = place[_KIND], place[_GOOD]
    low_of, high_of = place[_LOW], place[_HIGH]
    competing = place[_COMPETING]
    n, good_n, covered_us = sums[_NOW, _N], sums[_NOW, _GOOD_N], sums[_NOW, _COVERED]
    good_s, integral = sums[_NOW, _GOOD_S], sums[_NOW, _INTEGRAL]
    lowest, highest = sums[_NOW, _MIN], sums[_NOW, _MAX]
    first_value, last_value = sums[_NOW, _FIRST], sums[_NOW, _LAST]
    rise, resets = sums[_NOW, _RISE], sums[_NOW, _RESETS]
    value, reading = sums[_OPEN, _VALUE], sums[_OPEN, _READING]
    i, count = 0, len(ranks)
    while i < count or count == 0:
        leaving = count == 0 or ranks[i] != rank
        next_us = ends[rank] if leaving else first_at[i]
        own = not leaving and next_us >= since
        begin, end = max(held_from, since), min(next_us, until)
        if rank < 0 or kind == EVENT:
            end = begin
        while begin < end or own or leaving:
            at = begin if begin < end else next_us
            gone = leaving and begin >= end
            if gone or at >= cell_us or cell < 0:
                if cell >= 0 and (n > 0.0 or covered_us > 0.0):
                    if competing and cell >= place[_STRETCH_END]:
                        _settle(place, sums, out, cells)
                    sums[_NOW, _N], sums[_NOW, _GOOD_N] = n, good_n
                    sums[_NOW, _COVERED], sums[_NOW, _GOOD_S] = covered_us, good_s
                    sums[_NOW, _INTEGRAL] = integral
                    sums[_NOW, _MIN], sums[_NOW, _MAX] = lowest, highest
                    sums[_NOW, _FIRST], sums[_NOW, _LAST] = first_value, last_value
                    sums[_NOW, _RISE], sums[_NOW, _RESETS] = rise, resets
                    sums[_NOW, _MEAN] = integral / good_s if good_s > 0.0 else np.nan
                    if not competing:
                        _put(place, sums, out, cells, _NOW, cell)
                    else:
                        place[_STAYS + _NOW] = cell
                        if place[_STRETCH_END] < 0:
                            _start(place, sums, cell)
                        # no number is never the lowest nor the highest
                        drawn, best = sums[_NOW, low_of], sums[_LOW_OF, low_of]
                        if drawn < best or (place[_STAYS + _LOW_OF] < 0 and not np.isnan(drawn)):
                            _stay(place, sums, _LOW_OF, cell)
                        drawn, best = sums[_NOW, high_of], sums[_HIGH_OF, high_of]
                        if drawn > best or (place[_STAYS + _HIGH_OF] < 0 and not np.isnan(drawn)):
                            _stay(place, sums, _HIGH_OF, cell)
                if gone:
                    break
                if cell >= 0 and at < cell_us + every:
                    cell += 1
                    cell_us += every
                else:
                    window = (at - since) // every
                    cell = rank * place[_COUNT] + window
                    cell_us = since + (window + 1) * every
                n = good_n = covered_us = good_s = integral = rise = resets = 0.0
                lowest = highest = first_value = last_value = np.nan
            if begin < end:
                stop = min(end, cell_us)
                covered_us += stop - begin
                if good:
                    held_s = (stop - begin) / 1e6
                    good_s += held_s
                    integral += value * held_s
                    lowest = value if not lowest <= value else lowest
                    highest = value if not highest >= value else highest
                begin = stop
                continue
            own = False
            n += n_of[i]
            good_n += good_n_of[i]
            good_s += good_s_of[i]
            integral += integral_of[i]
            rise += increase[i]
            resets += resets_of[i]
            if kind != EVENT and n_of[i] > 0:  # what has no sample is the mark of a gap
                covered_us += last_at[i] - next_us
            if not np.isnan(low[i]):
                lowest = low[i] if not lowest <= low[i] else lowest
            if not np.isnan(high[i]):
                highest = high[i] if not highest >= high[i] else highest
            if not np.isnan(first[i]):
                first_value = first[i] if np.isnan(first_value) else first_value
                last_value = last[i]
                if kind == COUNTER and not np.isnan(reading):
                    grown, reset = counted(reading, first[i], 0.0)
                    rise += grown
                    resets += reset
        if leaving:
            _settle(place, sums, out, cells)
            cell = -1
            if count == 0:
                break
            rank, kind = ranks[i], kind_of[i]
            place[_RANK], kinds[rank] = rank, kind
            place[_BEGIN] = max(first_at[i] - since, 0) // every
            competing = 0 < place[_MOST] < place[_COUNT] - place[_BEGIN]
            low_of, high_of = shapes[kind, 0], shapes[kind, 1]
            held_from, reading = until, np.nan
            continue
        if kind == COUNTER and not np.isnan(first[i]):
            reading = last[i]
        held_from, good, value = last_at[i], holds_good[i], last[i]
        i += 1
    place[_CELL], place[_CELL_US], place[_RANK], place[_LAST_AT] = cell, cell_us, rank, held_from
    place[_KIND], place[_GOOD] = kind, good
    place[_LOW], place[_HIGH] = low_of, high_of
    place[_COMPETING] = competing
    sums[_NOW, _N], sums[_NOW, _GOOD_N], sums[_NOW, _COVERED] = n, good_n, covered_us
    sums[_NOW, _GOOD_S], sums[_NOW, _INTEGRAL] = good_s, integral
    sums[_NOW, _MIN], sums[_NOW, _MAX] = lowest, highest
    sums[_NOW, _FIRST], sums[_NOW, _LAST] = first_value, last_value
    sums[_NOW, _RISE], sums[_NOW, _RESETS] = rise, resets
    sums[_OPEN, _VALUE], sums[_OPEN, _READING] = value, reading


fold_pieces = _compiled(_fold_pieces)
"""(columns, ends, shapes, work): fold the next portion of pieces in order; changes work.

A portion without pieces is the end. ``ends`` says for each tag how far its open sample holds
[us since 1970], ``shapes`` for each kind the places in `SUMS` of the low and the high value that
are drawn of it.
"""
