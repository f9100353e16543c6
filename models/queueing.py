"""Queues with several servers, first come first served: gates with lanes, docks, berths.

The recursion of a G/G/c queue (J. Kiefer and J. Wolfowitz, "On the theory of queues with many
servers", 1955): a visitor starts when it has arrived and the server that is free first is free.

    start[n] = max(arrival[n], earliest free server);  end[n] = start[n] + service[n]

Times are whole ticks of 1 ms. Stations follow one another: the ends of one, sorted, are the
arrivals of the next (`in_order`). Arrivals of a day come from a rate per time bin, by thinning
(P. Lewis and G. Shedler, 1979), so a scenario with more trucks keeps those of the base.
"""

from dataclasses import dataclass
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from models.draws import Law, Stream, read_table, share_of, walk_start
from models.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TICKS_PER_S: Final = 1000
NEVER: Final = 1 << 60
"""Time of a visitor that does not come [ticks]."""
_ARRIVAL: Final = int(Stream.ARRIVAL)
_THINNING: Final = int(Stream.THINNING)
_SERVICE: Final = int(Stream.SERVICE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Visits to one station, lane by lane, in order of arrival.

    Parameters
    ----------
    arrivals, starts, ends
        [lanes, N], ticks; `NEVER` where a lane has fewer visitors.
    """

    arrivals: Ints
    starts: Ints
    ends: Ints

    @property
    def came(self) -> npt.NDArray[np.bool_]:
        """Which entries are visitors, [lanes, N]."""
        there: npt.NDArray[np.bool_] = self.arrivals < NEVER
        return there

    def waits_s(self) -> Floats:
        """Wait of each visitor [s], [lanes, N]; NaN where there is none."""
        waited: Floats = np.where(self.came, (self.starts - self.arrivals) / TICKS_PER_S, np.nan)
        return waited

    def turns_s(self) -> Floats:
        """Turn time, arrival to end, of each visitor [s], [lanes, N]; NaN where there is none."""
        turned: Floats = np.where(self.came, (self.ends - self.arrivals) / TICKS_PER_S, np.nan)
        return turned

    def waiting_at(self, times_s: npt.ArrayLike) -> Ints:
        """How many wait at given times [s], [lanes, times]."""
        return present_at(self.arrivals, self.starts, times_s)

    def inside_at(self, times_s: npt.ArrayLike) -> Ints:
        """How many wait or are served at given times [s], [lanes, times]."""
        return present_at(self.arrivals, np.sort(self.ends, axis=1), times_s)


def arrivals_by_rate(
    rate_per_h: npt.ArrayLike,
    bin_s: float,
    *,
    seed: int,
    replications: npt.ArrayLike,
    key: int,
    ceiling_per_h: float | None = None,
) -> Ints:
    """Draw arrivals whose rate changes from bin to bin (a Poisson process, by thinning).

    Parameters
    ----------
    rate_per_h
        [bins], arrivals per hour in each bin, not negative.
    bin_s
        Length of a bin [s]; the run is bins × bin_s long.
    seed, replications, key
        Key of the draws (`models.draws`).
    ceiling_per_h
        Rate of the candidates, at least the largest rate. Scenarios that are compared need the
        same one: then a scenario with higher rates has all arrivals of the lower one and more.

    Returns
    -------
    Ints
        [R, N], rising ticks, `NEVER` after the last of a replication.
    """
    rates = np.ascontiguousarray(rate_per_h, np.float64)
    numbers = np.asarray(replications, np.int64).ravel()
    largest = float(rates.max(initial=0.0))
    ceiling = largest if ceiling_per_h is None else ceiling_per_h
    if rates.ndim != 1 or not np.all(np.isfinite(rates)) or bool(np.any(rates < 0.0)):
        raise InputError("rates that are negative or missing", "give one rate per bin, 0 or more")
    if bin_s <= 0.0 or ceiling < largest:
        raise InputError(
            f"bins of {bin_s} s, a ceiling of {ceiling} below {largest} per hour",
            "give a positive length and a ceiling at or above every rate",
        )
    expected = largest * len(rates) * bin_s / 3600.0
    room = int(expected + 10.0 * expected**0.5) + 16
    while True:
        found = np.full((len(numbers), room), NEVER, np.int64)
        longest = _thin(rates, bin_s, ceiling / 3600.0, seed, numbers, key, found)
        if longest <= room:
            return found[:, : max(longest, 1)]
        room = longest


def service_times(
    law: Law, shape: tuple[int, int], *, seed: int, replications: npt.ArrayLike, key: int
) -> Ints:
    """Draw the service of each visitor [ticks], [R, N]: visitor n of a replication draws number n.

    Parameters
    ----------
    law
        Service time [s].
    shape
        (R, N) of the arrivals.
    """
    numbers = np.asarray(replications, np.int64).ravel()
    if len(numbers) != shape[0]:
        raise InputError(f"{len(numbers)} replications for {shape[0]} lanes", "give one per lane")
    found = np.empty(shape, np.int64)
    _fill_service(np.array(law.table), seed, numbers, key, found)
    return found


def serve(
    arrivals: Ints, services: Ints, servers: int, *, busy_until: Ints | None = None
) -> Served:
    """Serve visitors first come first served at equal servers.

    Parameters
    ----------
    arrivals
        [lanes, N], rising ticks, `NEVER` where a lane has fewer; times before 0 are visitors who
        wait already.
    services
        [lanes, N], ticks.
    servers
        How many: lanes of a gate, docks, berths.
    busy_until
        [lanes, servers], when each server is free [ticks]; all free when None.
    """
    came = np.ascontiguousarray(arrivals, np.int64)
    takes = np.ascontiguousarray(services, np.int64)
    if came.shape != takes.shape or came.ndim != 2:
        raise InputError(f"{came.shape} arrivals, {takes.shape} services", "give one per visitor")
    if servers < 1:
        raise InputError(
            f"{servers} servers", "a station has at least one; close it by a rate of 0"
        )
    if bool(np.any(np.diff(came, axis=1) < 0)):
        raise InputError("arrivals that go back in time", "sort them: `in_order`")
    free = np.zeros((len(came), servers), np.int64)
    if busy_until is not None:
        if busy_until.shape != free.shape:
            raise InputError(f"busy_until of shape {busy_until.shape}", f"give {free.shape}")
        free[:] = busy_until
    starts = np.empty_like(came)
    ends = np.empty_like(came)
    _serve(came, takes, free, starts, ends)
    return Served(arrivals=came, starts=starts, ends=ends)


def in_order(ends: Ints, delay_s: float = 0.0) -> tuple[Ints, Ints]:
    """Sort the ends of a station into the arrivals of the next.

    Returns
    -------
    tuple[Ints, Ints]
        Arrivals [lanes, N], later by the delay, and which visitor each one is [lanes, N].
    """
    order = np.argsort(ends, axis=1, kind="stable")
    sorted_ends = np.take_along_axis(ends, order, axis=1)
    later = sorted_ends + round(delay_s * TICKS_PER_S)
    return np.where(sorted_ends < NEVER, later, NEVER), order


def present_at(entered: Ints, left: Ints, times_s: npt.ArrayLike) -> Ints:
    """How many have entered and not left at given times: a queue's length, a yard's occupancy.

    Parameters
    ----------
    entered, left
        [lanes, N], sorted ticks of the same visitors (each row sorted on its own), `NEVER` last.
        Whoever enters or leaves at a time counts as inside or gone.
    times_s
        [times], seconds.

    Returns
    -------
    Ints
        [lanes, times].
    """
    ticks = np.round(np.asarray(times_s, np.float64) * TICKS_PER_S).astype(np.int64)
    found = np.empty((len(entered), len(ticks)), np.int64)
    for lane in range(len(entered)):
        inside = np.searchsorted(entered[lane], ticks, side="right")
        found[lane] = inside - np.searchsorted(left[lane], ticks, side="right")
    return found


def percentiles(values_s: Floats, shares: tuple[float, ...] = (0.5, 0.9)) -> Floats:
    """Percentiles of the visitors of each lane, [lanes, shares]; NaN where nobody came.

    Parameters
    ----------
    values_s
        [lanes, N], with NaN where there is no visitor.
    """
    found = np.full((len(values_s), len(shares)), np.nan)
    for lane, row in enumerate(values_s):
        present = row[~np.isnan(row)]
        if len(present):
            found[lane] = np.quantile(present, shares)
    return found


@numba.njit(cache=True, nogil=True)
def _thin(
    rates: Floats,
    bin_s: float,
    ceiling_per_s: float,
    seed: int,
    numbers: Ints,
    key: int,
    found: Ints,
) -> int:
    """Fill the arrivals; return the largest number of them (the caller makes room for more)."""
    longest = 0
    end_s = len(rates) * bin_s
    if ceiling_per_s <= 0.0:
        return 0
    for lane in range(len(numbers)):
        gaps = walk_start(seed, _ARRIVAL, numbers[lane], key)
        coins = walk_start(seed, _THINNING, numbers[lane], key)
        at_s, n, k = 0.0, 0, 0
        while True:
            at_s -= np.log(share_of(gaps, k)) / ceiling_per_s
            if at_s >= end_s:
                break
            bin_number = min(int(at_s / bin_s), len(rates) - 1)
            if share_of(coins, k) * ceiling_per_s * 3600.0 < rates[bin_number]:
                if n < found.shape[1]:
                    found[lane, n] = int(at_s * TICKS_PER_S)
                n += 1
            k += 1
        longest = max(longest, n)
    return longest


@numba.njit(cache=True, nogil=True)
def _fill_service(table: Floats, seed: int, numbers: Ints, key: int, found: Ints) -> None:
    for lane in range(found.shape[0]):
        walk = walk_start(seed, _SERVICE, numbers[lane], key)
        for n in range(found.shape[1]):
            found[lane, n] = int(read_table(table, share_of(walk, n)) * TICKS_PER_S + 0.5)


@numba.njit(cache=True, nogil=True)
def _serve(arrivals: Ints, services: Ints, free: Ints, starts: Ints, ends: Ints) -> None:
    lanes, visitors = arrivals.shape
    servers = free.shape[1]
    for lane in range(lanes):
        for n in range(visitors):
            if arrivals[lane, n] >= NEVER:
                starts[lane, n] = NEVER
                ends[lane, n] = NEVER
                continue
            first = 0
            for server in range(1, servers):
                if free[lane, server] < free[lane, first]:
                    first = server
            start = max(arrivals[lane, n], free[lane, first])
            starts[lane, n] = start
            ends[lane, n] = start + services[lane, n]
            free[lane, first] = ends[lane, n]
