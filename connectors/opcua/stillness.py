"""Values that stand still although their device used to be lively: a dead PLC that answers Good.

What is steady by nature must not be flagged, so each item teaches how it moves. Only an item that
rises and falls, in more than a few steps and often enough, is a witness: counters and states wait
for production, setpoints for people. A device is suspicious when nothing of it moves and all its
witnesses, two at least, stand still for many of their own intervals, and most of them amid the
values they moved among: a machine that is switched off comes to rest beside them, a dead one stops
anywhere. Who rests amid them and moves again by itself is no witness for a week.

Pure: times come as arguments, in seconds of any monotonic clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

KEPT: Final = 48
"""Moves remembered of an item; before so many it is no witness."""
_INTERVALS: Final = 20.0
_LONGEST: Final = 3.0
_STILL_MOST: Final = 4.0
"""An item that may rest for more than this times the least stillness is no witness: a frozen device
is to be found in minutes."""
_DISTINCT: Final = 8
_TURNS: Final = 0.15
_WITNESSES: Final = 2
_BESIDE: Final = 0.02
"""A value further than this part of their span from the ones before is beside them."""
_NAP_FORGOTTEN_S: Final = 7 * 86_400.0
"""For so long an item that rested by itself is no witness: a week has its night and its Sunday."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """What stands still.

    Parameters
    ----------
    groups
        Device → since when its values stand still [s].
    whole
        No witness of any device moves: it is the endpoint, not one of its devices.
    """

    groups: Mapping[str, float]
    whole: bool = False


NOTHING: Final = Still(groups={})


class Stillness:
    """How the items of one endpoint move.

    Parameters
    ----------
    groups
        Device of each item.
    still_s
        Stillness that is never suspicious when shorter [s].
    """

    def __init__(self, groups: Sequence[str], still_s: float) -> None:
        self._still_s = still_s
        self._names = tuple(dict.fromkeys(groups))
        number = {name: place for place, name in enumerate(self._names)}
        self._group = np.array([number[name] for name in groups], np.int64)
        n = len(groups)
        self._value = np.full(n, np.nan)
        self._mark = np.zeros(n, np.int64)
        self._moved_at = np.full(n, np.nan)
        self._napped_at = np.full(n, -np.inf)
        self._moves = np.zeros(n, np.int64)
        self._gaps = np.zeros((n, KEPT))
        self._values = np.zeros((n, KEPT))
        self._limit = np.full(n, np.inf)
        self._witness = np.zeros(n, np.bool_)
        self._amid = np.zeros(n, np.bool_)
        self._flagged = np.zeros(len(self._names), np.bool_)
        self._told_at = np.full(len(self._names), -np.inf)

    def look(self, now: float, value: Floats, mark: Ints) -> None:
        """See the newest values, and marks that stand for texts, of all items."""
        same = (value == self._value) | (np.isnan(value) & np.isnan(self._value))
        moved = np.flatnonzero(~(same & (mark == self._mark)))
        if len(moved):
            quiet = now - self._moved_at[moved]
            # Who rested amid his values without his device being frozen does so by habit.
            told = self._told_at[self._group[moved]] > self._moved_at[moved]
            rested = (quiet > self._limit[moved]) & self._amid[moved] & ~told
            self._napped_at[moved[rested]] = now
            known = np.isfinite(quiet)
            timed = moved[known]
            place = self._moves[timed] % KEPT
            self._gaps[timed, place] = quiet[known]
            self._values[timed, place] = value[timed]
            self._moves[timed] += 1
            self._moved_at[moved] = now
            self._limit[moved] = np.inf
            self._witness[moved] = self._amid[moved] = False
        self._value, self._mark = value.copy(), mark.copy()

    def pause(self, seconds: float) -> None:
        """Take time out in which nothing could be seen to move."""
        self._moved_at += seconds

    def still(self, now: float) -> Still:
        """What stands still now and should not."""
        quiet = now - self._moved_at
        resting = quiet > self._still_s
        fresh = np.flatnonzero(resting & (self._moves >= KEPT) & ~np.isfinite(self._limit))
        if len(fresh):
            self._weigh(fresh, now)
        dead = self._witness & (quiet > self._limit)
        if not dead.any():
            self._flagged[:] = False
            return NOTHING
        count = len(self._names)
        stopped = np.bincount(self._group[dead], minlength=count)
        amid = np.bincount(self._group[dead & self._amid], minlength=count)
        # Moves at all, or has a witness whose own time is not up.
        alive = np.bincount(self._group[(quiet <= self._still_s) | (self._witness & ~dead)],
                            minlength=count) > 0  # fmt: skip
        enough = (amid >= _WITNESSES) & (2 * amid >= stopped)
        # A frozen device stays so until something of it moves again.
        self._flagged = ~alive & (enough | (self._flagged & (stopped > 0)))
        self._told_at[self._flagged] = now
        if not self._flagged.any():
            return NOTHING
        since = {
            self._names[g]: float(self._moved_at[dead & (self._group == g)].max())
            for g in np.flatnonzero(self._flagged)
        }
        return Still(groups=since, whole=not bool((quiet <= self._still_s).any()))

    def lives(self, group: str, now: float) -> None:
        """A device was read and does live: its items are awaited anew from here on."""
        own = np.array([name == group for name in self._names])[self._group]
        self._moved_at[own], self._limit[own] = now, np.inf
        self._witness[own] = self._amid[own] = False

    def _weigh(self, items: Ints, now: float) -> None:
        """Say which of the items that came to rest are witnesses, and from when on."""
        gaps, order = self._gaps[items], (self._moves[items, None] + np.arange(KEPT)) % KEPT
        own = np.maximum(_INTERVALS * np.median(gaps, axis=1), _LONGEST * gaps.max(axis=1))
        own = np.maximum(own, self._still_s)
        self._limit[items] = own
        values = np.take_along_axis(self._values[items], order, axis=1)
        steps = np.diff(values, axis=1)
        turns = np.minimum((steps < 0).mean(axis=1), (steps > 0).mean(axis=1))
        distinct = 1 + (np.diff(np.sort(values, axis=1), axis=1) > 0).sum(axis=1)
        self._witness[items] = (
            (turns >= _TURNS)
            & (distinct >= _DISTINCT)
            & (own <= _STILL_MOST * self._still_s)
            & (now - self._napped_at[items] > _NAP_FORGOTTEN_S)
        )
        last, low, high = values[:, -1], values[:, :-1].min(axis=1), values[:, :-1].max(axis=1)
        slack = _BESIDE * (high - low)
        self._amid[items] = (last > low - slack) & (last < high + slack) & (last != 0.0)
