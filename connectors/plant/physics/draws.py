"""Seeded randomness of the plant: a stream per cause, and noise that is a function of time."""

import math
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from twin.parkfile.schema import Distribution

Floats = npt.NDArray[np.float64]

_BLOCK: Final = 64
_US: Final = 1_000_000


def key_of(seed: int, name: str) -> tuple[int, int]:
    """Key of a stream: the seed and a hash of its name that never changes."""
    return seed & 0xFFFFFFFF, zlib.crc32(name.encode())


class Stream:
    """One cause's own random numbers, so that no cause moves those of another.

    Parameters
    ----------
    seed, name
        The same seed and name give the same numbers.
    """

    __slots__ = ("_generator", "_normals", "_uniforms")

    def __init__(self, seed: int, name: str) -> None:
        self._generator = np.random.Generator(np.random.PCG64(key_of(seed, name)))
        self._normals: list[float] = []
        self._uniforms: list[float] = []

    def normal(self) -> float:
        """Standard normal."""
        if not self._normals:
            self._normals = self._generator.standard_normal(_BLOCK).tolist()
        return self._normals.pop()

    def uniform(self) -> float:
        """Uniform on [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._generator.random(_BLOCK).tolist()
        return self._uniforms.pop()

    def exponential(self, mean: float) -> float:
        """Exponential with that mean."""
        return -mean * math.log1p(-self.uniform())

    def lognormal(self, mean: float, cv: float) -> float:
        """Lognormal by mean and coefficient of variation."""
        if cv <= 0.0 or mean <= 0.0:
            return mean
        variance = math.log1p(cv * cv)
        return mean * math.exp(self.normal() * math.sqrt(variance) - variance / 2.0)

    def duration_s(self, law: Distribution) -> float:
        """Draw from a law of the park file [s]."""
        if law.dist == "weibull":
            shape, scale = law.shape or 1.0, law.scale or law.mean or 0.0
            return scale * math.pow(-math.log1p(-self.uniform()), 1.0 / shape)
        if law.dist == "triangular":
            return _triangular(self.uniform(), law.low or 0.0, law.mode or 0.0, law.high or 0.0)
        mean = law.mean if law.mean is not None else law.scale or 0.0
        if law.dist == "exponential":
            return self.exponential(mean)
        if law.dist == "deterministic":
            return mean
        cv = law.cv if law.cv is not None else (law.shape or 1.0) ** -0.5
        return self.lognormal(mean, cv) if law.dist == "lognormal" else self._gamma(mean, cv)

    def _gamma(self, mean: float, cv: float) -> float:
        shape = cv**-2
        return float(self._generator.gamma(shape, mean / shape))


def _triangular(u: float, low: float, mode: float, high: float) -> float:
    if high <= low:
        return low
    share = (mode - low) / (high - low)
    if u < share:
        return low + math.sqrt(u * (high - low) * (mode - low))
    return high - math.sqrt((1.0 - u) * (high - low) * (high - mode))


def factors(seed: int, name: str, n: int, spread: float, centre: float = 1.0) -> Floats:
    """`n` hidden factors around `centre`, lognormal with the given spread."""
    normals = np.random.Generator(np.random.PCG64(key_of(seed, name))).standard_normal(n)
    return np.asarray(centre * np.exp(spread * normals), np.float64)


class Smooth:
    """`n` smooth noises with mean 0 and spread about 1, as a function of time alone.

    Knots are drawn from (seed, name, number of the knot), so asking for any time in any order
    gives the same value.
    """

    def __init__(self, seed: int, name: str, n: int, period_s: float) -> None:
        self._seed, self._stream = key_of(seed, name)
        self._n, self._period_us = n, round(period_s * _US)
        self._knots: dict[int, Floats] = {}

    def at(self, t_us: int) -> Floats:
        """The `n` values at a time."""
        k, rest = divmod(t_us, self._period_us)
        x = rest / self._period_us
        weight = x * x * (3.0 - 2.0 * x)
        # Between knots the mix would lose spread; the root of the squares restores it.
        spread = math.hypot(1.0 - weight, weight)
        return ((1.0 - weight) * self._knot(k) + weight * self._knot(k + 1)) / spread

    def _knot(self, k: int) -> Floats:
        if k not in self._knots:
            if len(self._knots) > 8:
                del self._knots[min(self._knots)]
            self._knots[k] = white(self._seed, self._stream, k, self._n)
        return self._knots[k]


def white(seed: int, stream: int, k: int, n: int) -> Floats:
    """`n` standard normals that depend on nothing but (seed, stream, k)."""
    key = np.array([(seed << 32) | stream, k], np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(n)
