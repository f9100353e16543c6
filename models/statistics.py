"""What replications say: intervals, paired comparisons, a verdict, and when to stop.

Sources: A. M. Law, *Simulation Modeling and Analysis* (replication-deletion and paired-t
intervals); K. P. White, "An effective truncation heuristic for bias reduction in simulation
output" (MSER); order-statistic intervals as in any text on non-parametric statistics.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from models.errors import InputError

Floats = npt.NDArray[np.float64]

LEAST_REPLICATIONS: Final = 5
"""Below this many replications no verdict is given."""


class Better(StrEnum):
    """Which way a figure should go."""

    HIGHER = "higher"
    LOWER = "lower"


class Verdict(StrEnum):
    """What a paired comparison says in words."""

    ABOUT_SAME = "about_same"
    """The whole interval lies inside the material difference."""
    CLEARLY_BETTER = "clearly_better"
    """The whole interval lies beyond zero on the better side, and its mean is material."""
    CLEARLY_WORSE = "clearly_worse"
    """The same on the worse side."""
    NOT_ENOUGH_DATA = "not_enough_data"
    """None of the three: more replications, or a larger material difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean with its two-sided interval.

    Parameters
    ----------
    mean
        Mean of the replications.
    low, high
        Ends of the interval; infinite with a single replication.
    n
        How many replications.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """A branch against another, replication by replication under common random numbers.

    Parameters
    ----------
    difference
        Branch minus reference.
    p_better
        Probability that a replication of the branch is better: better pairs plus half the ties
        over all pairs, drawn towards 1/2 by one pair of each kind (so it is never 0 or 1).
    verdict
        In words.
    """

    difference: Interval
    p_better: float
    verdict: Verdict


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Student's t-interval of the mean of independent replications.

    Parameters
    ----------
    values
        [n], one figure per replication, finite.
    confidence
        Between 0 and 1.
    """
    sample = _sample(values)
    _check_share(confidence, "confidence")
    n = len(sample)
    mean = float(sample.mean())
    if n == 1:
        return Interval(mean=mean, low=-math.inf, high=math.inf, n=1)
    half = student_t(confidence, n - 1) * float(sample.std(ddof=1)) / math.sqrt(n)
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n)


def share_interval(values: npt.ArrayLike, confidence: float = 0.95) -> Interval:
    """Interval of a probability from replications that each say yes (1) or no (0).

    The exact one of Clopper and Pearson, which Student's t is not: of n times no it would say that
    the probability is 0. Where all agree, one end is certain and all the doubt lies at the other:
    1 - (1 - confidence)^(1/n), with 95 % about 3/n (the rule of three).

    Parameters
    ----------
    values
        [n], each 0 or 1.
    confidence
        Between 0 and 1; the coverage is at least this.
    """
    sample = _sample(values)
    _check_share(confidence, "confidence")
    if not np.isin(sample, (0.0, 1.0)).all():
        raise InputError("a share of values other than 0 and 1", "give yes (1) or no (0)")
    n, yes = len(sample), int(sample.sum())
    tail = 1.0 - confidence if yes in (0, n) else (1.0 - confidence) / 2.0
    return Interval(
        mean=yes / n,
        low=float(special.betaincinv(yes, n - yes + 1, tail)) if yes else 0.0,
        high=float(special.betaincinv(yes + 1, n - yes, 1.0 - tail)) if yes < n else 1.0,
        n=n,
    )


def student_t(confidence: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t."""
    return float(special.stdtrit(freedom, 0.5 + confidence / 2.0))


def quantile_interval(values: npt.ArrayLike, quantile: float, confidence: float = 0.95) -> Interval:
    """Order-statistic interval of a quantile; free of any distribution.

    Parameters
    ----------
    values
        [n], one figure per replication.
    quantile
        Which, between 0 and 1.
    confidence
        Smallest coverage; the two ends are order statistics, so the true one is at least this.

    Returns
    -------
    Interval
        ``mean`` is the point estimate; an end is infinite where n is too small for it.
    """
    sample = np.sort(_sample(values))
    _check_share(quantile, "quantile")
    _check_share(confidence, "confidence")
    n, tail = len(sample), (1.0 - confidence) / 2.0
    ranks = np.arange(n)
    below = special.bdtr(ranks, n, quantile)  # P(at most r of n lie below the quantile)
    lower = int(np.searchsorted(below, tail, side="right"))
    upper = int(np.searchsorted(below, 1.0 - tail, side="left"))
    return Interval(
        mean=float(np.quantile(sample, quantile)),
        low=float(sample[lower - 1]) if lower >= 1 else -math.inf,
        high=float(sample[upper]) if upper < n else math.inf,
        n=n,
    )


def compare_paired(
    branch: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    better: Better,
    material: float,
    confidence: float = 0.95,
) -> Paired:
    """Compare two branches simulated with the same random numbers.

    Parameters
    ----------
    branch, reference
        [n], the same replications in the same order.
    better
        Which way the figure should go.
    material
        Smallest difference that matters, in the figure's unit, not negative.
    confidence
        Of the interval.
    """
    ours, theirs = _sample(branch), _sample(reference)
    if ours.shape != theirs.shape:
        raise InputError(
            f"{len(ours)} replications against {len(theirs)}", "compare the same replications"
        )
    if not material >= 0.0:
        raise InputError(f"a material difference of {material}", "give a number from 0 up")
    difference = ours - theirs
    interval = mean_interval(difference, confidence)
    gain = difference if better is Better.HIGHER else -difference
    wins = float(np.sum(gain > 0.0) + 0.5 * np.sum(gain == 0.0))
    return Paired(
        difference=interval,
        p_better=(wins + 1.0) / (len(gain) + 2.0),
        verdict=_verdict(interval, better, material),
    )


def warm_up_cut(values: npt.ArrayLike, batch: int = 5) -> int:
    """Return how many leading observations to delete: MSER-m (5 by default).

    Parameters
    ----------
    values
        [n], observations of one run, or of the mean over replications, in order of time.
    batch
        Observations per batch.

    Returns
    -------
    int
        Observations to delete; at most half of them, as White advises, else the run is too short.
    """
    series = np.asarray(values, np.float64)
    count = len(series) // batch
    if count < 2:
        return 0
    means = series[: count * batch].reshape(count, batch).mean(axis=1)
    left = count - np.arange(count)
    centred = means - means.mean()
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    error = np.maximum(squares - sums**2 / left, 0.0) / left.astype(np.float64) ** 2
    return int(np.argmin(error[: count // 2 + 1])) * batch


def enough(
    values: npt.ArrayLike, half_width: float, *, least: int = 10, confidence: float = 0.95
) -> bool:
    """Whether the interval of the mean is narrow enough to stop.

    Parameters
    ----------
    values
        [n], figures of the replications so far.
    half_width
        Wanted half width, in the figure's unit.
    least
        Replications before which it never stops (a narrow interval of few is luck).
    """
    sample = np.asarray(values, np.float64)
    return len(sample) >= max(least, 2) and (
        mean_interval(sample, confidence).half_width <= half_width
    )


def replications_wanted(values: npt.ArrayLike, half_width: float, confidence: float = 0.95) -> int:
    """How many replications the wanted half width will take, judged by those so far."""
    sample = _sample(values)
    if half_width <= 0.0:
        raise InputError(f"a half width of {half_width}", "give a positive number")
    now = mean_interval(sample, confidence).half_width
    if not math.isfinite(now):
        return LEAST_REPLICATIONS
    return max(math.ceil(len(sample) * (now / half_width) ** 2), 2)


def bands(paths: npt.ArrayLike, quantiles: tuple[float, ...] = (0.1, 0.5, 0.9)) -> Floats:
    """Quantiles over replications at each time step.

    Parameters
    ----------
    paths
        [replications, steps], floats or integers; NaN (not simulated) is refused.
    quantiles
        Which.

    Returns
    -------
    Floats
        [quantiles, steps]. The quantile of type "inverted CDF": always a simulated value, so a
        band of whole numbers is whole and a band of a conserved quantity stays attainable.
    """
    table = np.asarray(paths)
    if table.ndim != 2 or not len(table):
        raise InputError(f"paths of shape {table.shape}", "give [replications, steps]")
    if not np.all(np.isfinite(table)):
        raise InputError("the paths have missing values", "simulate every step of every path")
    band: Floats = np.quantile(table, quantiles, axis=0, method="inverted_cdf").astype(np.float64)
    return band


def _verdict(interval: Interval, better: Better, material: float) -> Verdict:
    if interval.n < LEAST_REPLICATIONS:
        return Verdict.NOT_ENOUGH_DATA
    if -material <= interval.low and interval.high <= material:
        return Verdict.ABOUT_SAME
    if abs(interval.mean) < material or interval.low <= 0.0 <= interval.high:
        return Verdict.NOT_ENOUGH_DATA
    up = interval.low > 0.0
    good = up if better is Better.HIGHER else not up
    return Verdict.CLEARLY_BETTER if good else Verdict.CLEARLY_WORSE


def _sample(values: npt.ArrayLike) -> Floats:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise InputError(f"a sample of shape {sample.shape}", "give at least one replication")
    if not np.all(np.isfinite(sample)):
        raise InputError("the sample has missing values", "leave out what was not simulated")
    return sample


def _check_share(value: float, name: str) -> None:
    if not 0.0 < value < 1.0:
        raise InputError(f"a {name} of {value}", "it lies between 0 and 1")
