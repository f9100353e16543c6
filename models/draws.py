"""Random draws that depend on nothing but their key: (seed, stream, replication, key, k).

A draw is a hash of its key, so any replication can be replayed alone, in any order, on any number
of workers, and two scenarios share their random numbers wherever their keys agree (common random
numbers). The hash is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", 2014): the first four parts of the key are mixed into a state, and ``k`` walks from it.

Every law is a table of 1,024 quantiles, read by linear interpolation: one code path, fast, and
the table *is* the definition. The knots are four runs of even steps, each finer towards the upper
tail, which is clipped at the quantile `CLIP`; a fitted law's table is scaled so that its mean is
the law's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, lru_cache
from typing import Final

import numba
import numpy as np
import numpy.typing as npt
from scipy import special

from models.errors import InputError

Floats = npt.NDArray[np.float64]

KNOTS: Final = 1024
CLIP: Final = 1.0 - 2.0**-20
"""Largest quantile that is drawn (about 1 - 1e-6); beyond it the tail is cut."""

_END_0: Final = 1.0 - 2.0**-6
_END_1: Final = 1.0 - 2.0**-12
_END_2: Final = 1.0 - 2.0**-18
_FROM_1: Final = 512
_FROM_2: Final = 768
_FROM_3: Final = 896
_STEP_0: Final = _END_0 / _FROM_1
_STEP_1: Final = (_END_1 - _END_0) / (_FROM_2 - _FROM_1)
_STEP_2: Final = (_END_2 - _END_1) / (_FROM_3 - _FROM_2)
_STEP_3: Final = (CLIP - _END_2) / (KNOTS - 1 - _FROM_3)

_PER_0: Final = 1.0 / _STEP_0
_PER_1: Final = 1.0 / _STEP_1
_PER_2: Final = 1.0 / _STEP_2
_PER_3: Final = 1.0 / _STEP_3

_LAST_PLACE: Final = math.nextafter(KNOTS - 1.0, 0.0)

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)
_S30: Final = np.uint64(30)
_S27: Final = np.uint64(27)
_S31: Final = np.uint64(31)
_S11: Final = np.uint64(11)
_UNIT: Final = 2.0**-53


class Stream(IntEnum):
    """What a draw is for; streams never share a number."""

    PROCESS = 1
    TIME_TO_FAIL = 2
    TIME_TO_REPAIR = 3
    ARRIVAL = 4
    THINNING = 5
    SERVICE = 6
    CLOUDINESS = 7
    LOAD_NOISE = 8
    RESIDUAL = 9
    LATENESS = 10
    PARAMETER = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A non-negative law of a duration or a size, as its quantile table.

    Parameters
    ----------
    name
        What it is, e.g. ``gamma(mean=28, cv=0.2)``; for people and provenance.
    table
        `KNOTS` quantiles at `knot_shares()`, not falling.
    """

    name: str
    table: tuple[float, ...] = field(repr=False)

    @property
    def mean(self) -> float:
        """Mean of the table, exactly that of the draws."""
        return table_mean(np.array(self.table))

    def scaled(self, factor: float) -> "Law":
        """Return the same shape with every value multiplied."""
        if not (math.isfinite(factor) and factor > 0.0):
            raise InputError(f"a factor of {factor}", "scale a law by a positive number")
        return Law(name=f"{factor:g} * {self.name}", table=tuple(factor * q for q in self.table))


@cache
def knot_shares() -> Floats:
    """Return the cumulative shares of the knots, [KNOTS], from 0 to `CLIP`; not to be written."""
    return _fixed(
        np.concatenate(
            (
                _STEP_0 * np.arange(_FROM_1),
                _END_0 + _STEP_1 * np.arange(_FROM_2 - _FROM_1),
                _END_1 + _STEP_2 * np.arange(_FROM_3 - _FROM_2),
                _END_2 + _STEP_3 * np.arange(KNOTS - _FROM_3),
            )
        )
    )


def table_mean(table: Floats) -> float:
    """Mean of the draws from a table: the trapezoids, and the clipped tail at its last value."""
    shares = knot_shares()
    body = float(np.sum((table[1:] + table[:-1]) / 2.0 * np.diff(shares)))
    return body + float(table[-1]) * (1.0 - CLIP)


def deterministic(value: float) -> Law:
    """Always the same value, not negative."""
    _check(value >= 0.0 and math.isfinite(value), f"a value of {value}", "give 0 or more")
    return _law(f"deterministic({value:g})", np.full(KNOTS, value))


def exponential(mean: float) -> Law:
    """Exponential law with that mean."""
    _check_positive(mean=mean)
    return _fitted(f"exponential(mean={mean:g})", -mean * np.log1p(-knot_shares()), mean)


def gamma(mean: float, cv: float) -> Law:
    """Gamma law by mean and coefficient of variation (standard deviation over mean)."""
    _check_positive(mean=mean, cv=cv)
    shape = cv**-2
    values = _gamma_quantiles(shape) * (mean / shape)
    return _fitted(f"gamma(mean={mean:g}, cv={cv:g})", values, mean)


def lognormal(mean: float, cv: float) -> Law:
    """Lognormal law by mean and coefficient of variation."""
    _check_positive(mean=mean, cv=cv)
    sigma = math.sqrt(math.log1p(cv * cv))
    values = np.exp(math.log(mean) - sigma * sigma / 2.0 + sigma * _normal_quantiles())
    return _fitted(f"lognormal(mean={mean:g}, cv={cv:g})", values, mean)


def weibull(shape: float, scale: float) -> Law:
    """Weibull law by shape and scale (its 63.2 % quantile)."""
    _check_positive(shape=shape, scale=scale)
    values = scale * (-np.log1p(-knot_shares())) ** (1.0 / shape)
    mean = scale * math.gamma(1.0 + 1.0 / shape)
    return _fitted(f"weibull(shape={shape:g}, scale={scale:g})", values, mean)


def triangular(low: float, mode: float, high: float) -> Law:
    """Triangular law on [low, high]."""
    _check(
        0.0 <= low <= mode <= high and low < high and math.isfinite(high),
        f"a triangle of {low}, {mode}, {high}",
        "give 0 <= low <= mode <= high",
    )
    shares, width = knot_shares(), high - low
    rising = low + np.sqrt(shares * width * (mode - low))
    falling = high - np.sqrt((1.0 - shares) * width * (high - mode))
    values = np.where(shares < (mode - low) / width, rising, falling)
    name = f"triangular({low:g}, {mode:g}, {high:g})"
    return _fitted(name, values, (low + mode + high) / 3.0)


def empirical(samples: npt.ArrayLike) -> Law:
    """Law of measured values: their linearly interpolated quantiles, not rescaled.

    Parameters
    ----------
    samples
        [n], at least one, finite and not negative.
    """
    values = np.asarray(samples, np.float64)
    usable = values.ndim == 1 and len(values) > 0 and bool(np.all(np.isfinite(values)))
    _check(usable and bool(np.all(values >= 0.0)), "the sample", "give finite values from 0 up")
    return _law(f"empirical(n={len(values)})", np.quantile(values, knot_shares()))


def tables(laws: Sequence[Law]) -> Floats:
    """Stack the tables of laws, [laws, KNOTS], as the kernels read them."""
    return np.array([law.table for law in laws], np.float64).reshape(len(laws), KNOTS)


@numba.njit(cache=True, nogil=True, inline="always")
def mix(word: np.uint64) -> np.uint64:
    """Scramble 64 bits: the finaliser of splitmix64."""
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@numba.njit(cache=True, nogil=True)
def walk_start(seed: int, stream: int, replication: int, key: int) -> np.uint64:
    """State from which the draws k = 0, 1, 2… of one key are walked."""
    state = mix(np.uint64(seed) + _GOLDEN)
    state = mix(state + np.uint64(stream) * _GOLDEN)
    state = mix(state + np.uint64(replication) * _GOLDEN + _MIX_1)
    return mix(state + np.uint64(key) * _GOLDEN + _MIX_2)


@numba.njit(cache=True, nogil=True, inline="always")
def share_of(start: np.uint64, k: int) -> float:
    """Uniform share number k of a walk, strictly between 0 and 1."""
    word = mix(start + np.uint64(k + 1) * _GOLDEN)
    return (np.float64(word >> _S11) + 0.5) * _UNIT


@numba.njit(cache=True, nogil=True, inline="always")
def place_of(share: float) -> float:
    """Where a share stands among the knots: the number of the one below, and how far beyond it."""
    # the runs of knots get finer upwards, so the place is the largest of four lines: no branch,
    # so that a loop over it runs in vector registers
    line_0, line_1 = share * _PER_0, _FROM_1 + (share - _END_0) * _PER_1
    line_2, line_3 = _FROM_2 + (share - _END_1) * _PER_2, _FROM_3 + (share - _END_2) * _PER_3
    body = line_0 if line_0 > line_1 else line_1
    tail = line_2 if line_2 > line_3 else line_3
    place = body if body > tail else tail
    return place if place < _LAST_PLACE else _LAST_PLACE


@numba.njit(cache=True, nogil=True, inline="always")
def read_place(table: npt.NDArray[np.float64], place: float) -> float:
    """Quantile at a place, by linear interpolation between the knots."""
    knot = np.uint32(np.int32(place))
    low = table[knot]
    return float(low + (place - np.float64(np.int32(place))) * (table[knot + np.uint32(1)] - low))


@numba.njit(cache=True, nogil=True, inline="always")
def read_table(table: npt.NDArray[np.float64], share: float) -> float:
    """Quantile of a share."""
    return read_place(table, place_of(share))


@numba.njit(cache=True, nogil=True)
def share_below(table: npt.NDArray[np.float64], value: float) -> float:
    """Largest share whose quantile is at most a value: the law's distribution function."""
    if value < table[0]:
        return 0.0
    if value >= table[KNOTS - 1]:
        return 1.0
    low, high = 0, KNOTS - 1
    while high - low > 1:
        middle = (low + high) // 2
        if table[middle] <= value:
            low = middle
        else:
            high = middle
    place = float(low + (value - table[low]) / (table[high] - table[low]))
    if place < _FROM_1:
        return place * _STEP_0
    if place < _FROM_2:
        return _END_0 + (place - _FROM_1) * _STEP_1
    if place < _FROM_3:
        return _END_1 + (place - _FROM_2) * _STEP_2
    return _END_2 + (place - _FROM_3) * _STEP_3


@numba.njit(cache=True, nogil=True)
def left_over(table: npt.NDArray[np.float64], elapsed: float, share: float) -> float:
    """What is still to come of a duration that has lasted so long: drawn from the cut law.

    Parameters
    ----------
    table
        Quantile table of the whole duration.
    elapsed
        How long it has lasted, in the table's unit.
    share
        A uniform share.

    Returns
    -------
    float
        Residual duration, not negative; 0 when it has lasted longer than anything the law knows
        (an overdue job ends now).
    """
    known = share_below(table, elapsed)
    if known >= 1.0:
        return 0.0
    return max(read_table(table, known + (1.0 - known) * share) - elapsed, 0.0)


@numba.njit(cache=True, nogil=True)
def _fill(
    seed: int, stream: int, replication: int, key: int, first: int, found: npt.NDArray[np.float64]
) -> None:
    start = walk_start(seed, stream, replication, key)
    for i in range(len(found)):
        found[i] = share_of(start, first + i)


@numba.njit(cache=True, nogil=True)
def _read(table: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]) -> None:
    for i in range(len(shares)):
        shares[i] = read_table(table, shares[i])


def uniforms(
    seed: int, stream: Stream, replication: int, key: int, n: int, first: int = 0
) -> Floats:
    """Uniform shares k = first … first + n - 1 of one key, [n], each in (0, 1)."""
    found = np.empty(n)
    _fill(seed, int(stream), replication, key, first, found)
    return found


def normals(
    seed: int, stream: Stream, replication: int, key: int, n: int, first: int = 0
) -> Floats:
    """Standard normal draws of one key, [n], by inversion."""
    scores: Floats = special.ndtri(uniforms(seed, stream, replication, key, n, first))
    return scores


def draws(
    law: Law, seed: int, stream: Stream, replication: int, key: int, n: int, first: int = 0
) -> Floats:
    """Draws k = first … first + n - 1 of a law under one key, [n], in the law's unit."""
    found = uniforms(seed, stream, replication, key, n, first)
    _read(np.array(law.table), found)
    return found


def residual(law: Law, elapsed: float, share: float) -> float:
    """Draw what is left of a duration that has lasted `elapsed`; see `left_over`."""
    _check(elapsed >= 0.0, f"an elapsed time of {elapsed}", "give 0 or more")
    return float(left_over(np.array(law.table), elapsed, share))


def key_of(name: str) -> int:
    """Key of a name (FNV-1a, 63 bits), so that a machine draws the same whatever is beside it."""
    word = 0xCBF29CE484222325
    for byte in name.encode():
        word = ((word ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return word >> 1


@lru_cache(maxsize=64)
def _gamma_quantiles(shape: float) -> Floats:
    """Quantiles of a gamma law of scale 1: slow to invert, and a park has few shapes."""
    return _fixed(special.gammaincinv(shape, knot_shares()))


@cache
def _normal_quantiles() -> Floats:
    return _fixed(special.ndtri(knot_shares()))


def _fixed(values: Floats) -> Floats:
    """Make values that are kept unwritable."""
    values.flags.writeable = False
    return values


def _fitted(name: str, values: Floats, mean: float) -> Law:
    return _law(name, values * (mean / table_mean(values)))


def _law(name: str, values: Floats) -> Law:
    return Law(name=name, table=tuple(values.tolist()))


def _check(fine: object, what: str, remedy: str) -> None:
    if not fine:
        raise InputError(what, remedy)


def _check_positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(f"{name} {value}", "give a positive number")
