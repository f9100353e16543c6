"""Noise with a memory: first-order autoregression over time steps."""

import math

import numba
import numpy as np
import numpy.typing as npt

from models.draws import Stream, normals
from models.errors import InputError

Floats = npt.NDArray[np.float64]


def correlated_normals(
    steps: int,
    step_s: float,
    memory_s: float,
    *,
    seed: int,
    stream: Stream,
    replications: npt.ArrayLike,
    key: int,
    start: npt.ArrayLike | None = None,
) -> Floats:
    """Standard normal noise whose correlation over a lag t is exp(-t / memory).

    Parameters
    ----------
    steps, step_s
        How many steps and how long each is [s].
    memory_s
        Time after which the correlation has fallen to 1/e [s].
    seed, stream, replications, key
        Key of the draws (`models.draws`).
    start
        The noise one step before the first, one number or [R], where it is known from what was
        measured; drawn from the stationary law when None.

    Returns
    -------
    Floats
        [R, steps]; stationary, mean 0 and standard deviation 1 unless `start` says otherwise.

    References
    ----------
    The discrete Ornstein-Uhlenbeck process, ``x[t] = φ x[t-1] + sqrt(1 - φ²) e[t]``.
    """
    if step_s <= 0.0 or memory_s <= 0.0:
        raise InputError(f"steps of {step_s} s, a memory of {memory_s} s", "both are positive")
    numbers = np.asarray(replications, np.int64).ravel()
    shocks = np.array([normals(seed, stream, int(r), key, steps + 1) for r in numbers])
    shocks = shocks.reshape(len(numbers), steps + 1)
    if start is not None:
        shocks[:, 0] = np.asarray(start, np.float64)
    _remember(shocks, math.exp(-step_s / memory_s))
    return shocks[:, 1:]


@numba.njit(cache=True, nogil=True)
def _remember(shocks: Floats, phi: float) -> None:
    """Turn shocks into the process, in place; column 0 is where it starts."""
    fresh = math.sqrt(1.0 - phi * phi)
    for r in range(shocks.shape[0]):
        for t in range(1, shocks.shape[1]):
            shocks[r, t] = phi * shocks[r, t - 1] + fresh * shocks[r, t]
