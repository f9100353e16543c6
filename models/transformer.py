"""How long a transformer may carry more than its rating.

Oil transformers, Circular 28/2014/TT-BCT art. 33 (read; its successor is unchecked):

========  =======================
overload  allowed for at most
========  =======================
+30 %     120 min
+45 %     80 min
+60 %     45 min
+75 %     20 min
+100 %    10 min
========  =======================

Between two rows the shorter time counts (a conservative step); above the last row nothing is
allowed. The table says nothing about overloads in a row, so we count conservatively: an episode
uses up the share ``duration / allowed`` of the thermal margin at each loading (as in a linear
damage sum), and the margin only comes back after a full rest at or below the rating.
"""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from models.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverloadTable:
    """Short-time overload limits.

    Parameters
    ----------
    loading
        Loadings over the rating [1], rising, each above 1.
    allowed_min
        Longest time at that loading [min], falling.
    rest_min
        Time at or below the rating after which the whole margin is back [min]; an assumption of
        ours (six hours, about two oil time constants).
    """

    loading: tuple[float, ...] = (1.30, 1.45, 1.60, 1.75, 2.00)
    allowed_min: tuple[float, ...] = (120.0, 80.0, 45.0, 20.0, 10.0)
    rest_min: float = 360.0

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((1.0, *self.loading), self.loading, strict=False))
        falling = all(a > b for a, b in zip(self.allowed_min, self.allowed_min[1:], strict=False))
        if len(self.loading) != len(self.allowed_min) or not (rising and falling):
            raise InputError(
                "the overload table is not in order",
                "list loadings above 1, rising, with as many falling times",
            )


OIL: Final = OverloadTable()
"""Circular 28/2014/TT-BCT art. 33."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """How long a load may go on.

    Parameters
    ----------
    minutes
        Minutes until the margin is used up; the length of the series when it lasts that long.
    limited
        Whether the margin is used up inside the series.
    overload_at_min
        Minutes until the load first exceeds the rating; None when it never does.
    used
        Largest share of the margin in use inside the series, 1 when it is used up [1].
    """

    minutes: float
    limited: bool
    overload_at_min: float | None
    used: float


def allowed_minutes(loading: npt.ArrayLike, table: OverloadTable = OIL) -> Floats:
    """Longest time at a loading [min], elementwise.

    Parameters
    ----------
    loading
        Load over rating [1].

    Returns
    -------
    Floats
        Infinite up to 1, then the time of the next row at or above the loading, 0 above the last.
    """
    levels = np.array((1.0, *table.loading))
    times = np.array((np.inf, *table.allowed_min, 0.0))
    allowed: Floats = times[np.searchsorted(levels, np.asarray(loading, np.float64), side="left")]
    return allowed


def minutes_of_headroom(
    load_kva: npt.ArrayLike,
    rating_kva: float,
    step_min: float,
    *,
    used: float = 0.0,
    table: OverloadTable = OIL,
) -> Headroom:
    """How long a series of loads may go on before the short-time limit is exceeded.

    Parameters
    ----------
    load_kva
        [steps], load of each step [kVA]; a missing value (NaN) is refused.
    rating_kva
        Rating of what carries it [kVA]: one transformer for N-1.
    step_min
        Length of a step [min].
    used
        Share of the margin in use at the start [1], from an earlier call.
    table
        Limits.

    Returns
    -------
    Headroom
        Exact inside a step: the load is constant there.
    """
    load = np.atleast_1d(np.asarray(load_kva, np.float64))
    if rating_kva <= 0.0 or step_min <= 0.0 or not 0.0 <= used <= 1.0:
        raise InputError(
            f"rating {rating_kva} kVA, step {step_min} min, used {used}",
            "rating and step are positive, used lies between 0 and 1",
        )
    if not np.all(np.isfinite(load)):
        raise InputError("the load has missing values", "forecast the gap first")
    loading = load / rating_kva
    over = np.flatnonzero(loading > 1.0)
    first = float(over[0]) * step_min if len(over) else None
    minutes, most = _use_up(loading, allowed_minutes(loading, table), step_min, used, table)
    return Headroom(
        minutes=len(load) * step_min if minutes is None else minutes,
        limited=minutes is not None,
        overload_at_min=first,
        used=most,
    )


def minutes_from_worst_moment(
    load_kva: npt.ArrayLike, rating_kva: float, step_min: float, *, table: OverloadTable = OIL
) -> Floats:
    """How long each load may go on from the worst moment to begin, with the whole margin then.

    The smallest of `minutes_of_headroom` over all steps that a rating could be left alone with the
    load from, e.g. after the other transformer is lost.

    Parameters
    ----------
    load_kva
        [lanes, steps], load of each step [kVA].
    rating_kva, step_min, table
        As in `minutes_of_headroom`.

    Returns
    -------
    Floats
        [lanes], minutes; the length of the series where the margin is never used up.
    """
    load = np.atleast_2d(np.asarray(load_kva, np.float64))
    if rating_kva <= 0.0 or step_min <= 0.0:
        raise InputError(f"rating {rating_kva} kVA, step {step_min} min", "both are positive")
    if not np.all(np.isfinite(load)):
        raise InputError("the load has missing values", "forecast the gap first")
    allowed = allowed_minutes(load / rating_kva, table)
    found = np.full(len(load), load.shape[1] * step_min)
    _shortest(allowed, step_min, table.rest_min, found)
    return found


@numba.njit(cache=True, nogil=True)
def _shortest(allowed: Floats, step_min: float, rest_min: float, found: Floats) -> None:
    """Lower `found` to the shortest time; a start is given up at a full rest, since what follows
    is reached sooner from a later start.
    """
    lanes, steps = allowed.shape
    for lane in range(lanes):
        for first in range(steps):
            if np.isinf(allowed[lane, first]):
                continue
            used, rested = 0.0, 0.0
            for i in range(first, steps):
                if np.isinf(allowed[lane, i]):
                    rested += step_min
                    if rested >= rest_min:
                        break
                    continue
                rested = 0.0
                left = (1.0 - used) * allowed[lane, i]
                if left < step_min:
                    found[lane] = min(found[lane], (i - first) * step_min + left)
                    break
                used += step_min / allowed[lane, i]


def _use_up(
    loading: Floats, allowed_min: Floats, step_min: float, used: float, table: OverloadTable
) -> tuple[float | None, float]:
    """Walk the steps; return when the margin is used up (None: never) and its largest use."""
    most, rested_min = used, 0.0
    for i in range(len(loading)):
        if loading[i] <= 1.0:
            rested_min += step_min
            used = 0.0 if rested_min >= table.rest_min else used
            continue
        rested_min = 0.0
        left_min = (1.0 - used) * float(allowed_min[i])
        if left_min < step_min:
            return i * step_min + left_min, 1.0
        used += step_min / float(allowed_min[i])
        most = max(most, used)
    return None, most
