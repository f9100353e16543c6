"""A serial production line: parts, finite buffers, breakdowns, shifts, exactly and fast.

With ``S`` the start, ``C`` the finish and ``D`` the departure of part ``n`` at machine ``j``, and
``b[j]`` spaces between ``j`` and ``j + 1`` (the machine's own place excluded):

    S[j, n] = max(D[j-1, n], D[j, n-1])
    C[j, n] = S[j, n] + work and repairs, counted only inside shifts
    D[j, n] = max(C[j, n], D[j+1, n-b[j]-1])

This is blocking after service: a finished part stays in its machine until the next buffer has a
space. Failures depend on operating time: they fall where the machine's worked time reaches the
next time to failure, so they do not depend on blocking and the recursion is exact (J. Dallery and
S. Gershwin, "Manufacturing flow line systems: a review of models and analytical results", 1992,
for the model; the recursion is (max, +) algebra). Outside its shifts a machine may take a part in
and let a finished one go, but it neither works nor repairs.

Times are whole ticks of 1 ms, so sums have no rounding and the order of work does not matter.
Every draw has a key (`models.draws`): a lane is one replication of one line, and lanes with equal
keys share their random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from models.draws import (
    Law,
    Stream,
    left_over,
    place_of,
    read_place,
    read_table,
    share_of,
    tables,
    uniforms,
    walk_start,
)
from models.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TICKS_PER_S: Final = 1000
NEVER: Final = 1 << 60
"""A time later than any other [ticks]."""
LARGEST_BUFFER: Final = 1 << 20


class Spent(IntEnum):
    """What a machine's time is spent on; every tick is exactly one of these."""

    WORKING = 0
    DOWN = 1
    BLOCKED = 2
    STARVED = 3
    OFF = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Operation-dependent failures.

    Parameters
    ----------
    to_fail
        Worked time from a repair to the next failure [s].
    to_repair
        Time to repair [s].
    """

    to_fail: Law
    to_repair: Law


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine of a line.

    Parameters
    ----------
    key
        Key of its draws (`models.draws.key_of` of its path): equal in every scenario.
    cycle
        Processing time of one part [s].
    failure
        Its failures; None when it never fails.
    shifts
        (start, end) of its working windows [s from the start of the run], in order, not
        overlapping; None when it always runs.
    """

    key: int
    cycle: Law
    failure: Failure | None = None
    shifts: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Machines in a row with buffers between them.

    Parameters
    ----------
    machines
        At least one, first to last.
    buffers
        Spaces between each machine and the next, one fewer than machines.
    """

    machines: tuple[Machine, ...]
    buffers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.machines or len(self.buffers) != len(self.machines) - 1:
            raise InputError(
                f"{len(self.machines)} machines and {len(self.buffers)} buffers",
                "a line has one buffer fewer than machines",
            )
        if not all(0 <= b <= LARGEST_BUFFER for b in self.buffers):
            raise InputError(
                f"buffers of {self.buffers} spaces", f"each has 0 to {LARGEST_BUFFER} spaces"
            )
        for number, machine in enumerate(self.machines):
            _check_shifts(number, machine.shifts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """Factors on the laws of a line, lane by lane: calibrated or drawn parameters.

    Parameters
    ----------
    cycle, to_fail, to_repair
        [lanes, machines], positive.
    """

    cycle: Floats
    to_fail: Floats
    to_repair: Floats

    @staticmethod
    def ones(lanes: int, machines: int) -> "Scales":
        """Return factors that change nothing."""
        one = np.ones((lanes, machines))
        return Scales(cycle=one, to_fail=one, to_repair=one)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """All that the future of a line depends on, lane by lane.

    Parameters
    ----------
    work_left
        [lanes, machines], processing left of the part in the machine [ticks]; 0 when it is
        finished and blocked, -1 when there is no part.
    repair_left
        [lanes, machines], repair left [ticks]; 0 when the machine is not down.
    to_fail
        [lanes, machines], worked time to the next failure [ticks]; -1 when not drawn yet.
    begun, failed
        [lanes, machines], parts begun and failures so far: the numbers of the next draws.
    level
        [lanes, machines - 1], parts in each buffer.
    arrived
        [lanes], arrivals taken so far.
    """

    work_left: Ints
    repair_left: Ints
    to_fail: Ints
    begun: Ints
    failed: Ints
    level: Ints
    arrived: Ints

    @staticmethod
    def empty(lanes: int, machines: int) -> "LineState":
        """Return a line that has never run."""
        per_machine = (lanes, machines)
        return LineState(
            work_left=np.full(per_machine, -1, np.int64),
            repair_left=np.zeros(per_machine, np.int64),
            to_fail=np.full(per_machine, -1, np.int64),
            begun=np.zeros(per_machine, np.int64),
            failed=np.zeros(per_machine, np.int64),
            level=np.zeros((lanes, machines - 1), np.int64),
            arrived=np.zeros(lanes, np.int64),
        )

    def copy(self) -> "LineState":
        """Return an independent copy."""
        return LineState(**{name: getattr(self, name).copy() for name in self.__slots__})

    def lanes(self, chosen: Ints) -> "LineState":
        """Return the state of some lanes, in that order (a lane may be taken twice)."""
        return LineState(**{name: getattr(self, name)[chosen] for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a machine of the live line.

    Parameters
    ----------
    has_part
        Whether a part is in it.
    worked_s
        How long that part has been worked on [s]; None when it is finished and blocked.
    down_s
        How long it has been under repair [s]; None when it is not down.
    since_failure_s
        How long it has worked since its last repair [s]; None when not known (a new machine's
        law is used).
    begun, failed
        Parts begun and failures so far, the present ones included, as far as counted: the numbers
        of its next draws.
    """

    has_part: bool = False
    worked_s: float | None = None
    down_s: float | None = None
    since_failure_s: float | None = None
    begun: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRun:
    """What happened, lane by lane.

    Parameters
    ----------
    spent
        [lanes, machines, bins, Spent], ticks in each state; they sum to the bin's length.
    made
        [lanes, machines, bins], parts that left each machine.
    departures
        [lanes, machines, kept], ticks at which the first parts left; -1 beyond the last.
    end
        State at the horizon, to go on from.
    """

    spent: Ints
    made: Ints
    departures: Ints
    end: LineState

    @property
    def spent_s(self) -> Floats:
        """Seconds in each state, [lanes, machines, bins, Spent]."""
        seconds: Floats = self.spent / TICKS_PER_S
        return seconds

    @property
    def output(self) -> Ints:
        """Parts that left the line, [lanes, bins]."""
        return self.made[:, -1, :]


def simulate_lines(
    lines: Sequence[Line],
    *,
    seed: int,
    replications: npt.ArrayLike,
    horizon_s: float,
    bin_s: float,
    start: LineState | None = None,
    scales: Scales | None = None,
    arrivals: Ints | None = None,
    keep: int = 0,
) -> LineRun:
    """Simulate replications of one or more variants of a line under common random numbers.

    Parameters
    ----------
    lines
        Variants with equally many machines.
    seed
        Seed of all draws.
    replications
        [R], numbers of the replications, not negative; a replication draws the same alone or
        among others.
    horizon_s, bin_s
        Length of the run and of the bins its figures are given in [s].
    start
        State to start from, one lane per variant and replication (variant by variant); empty
        when None. It is not changed.
    scales
        Factors on the laws, one row per lane; none when None.
    arrivals
        [lanes, N], rising ticks at which raw parts arrive, `NEVER` where a lane has fewer;
        earlier than 0 means waiting already; counted on from ``start.arrived``. None: there is
        always a raw part.
    keep
        How many departures to return per machine.

    Returns
    -------
    LineRun
        Lanes are variant by variant, replication by replication.

    Raises
    ------
    InputError
        If shapes do not fit, or the start state holds more parts than there is place for.
    """
    width = len(lines[0].machines) if lines else 0
    if not lines or any(len(line.machines) != width for line in lines):
        raise InputError("the variants differ in machines", "simulate each length in its own call")
    numbers = np.asarray(replications, np.int64).ravel()
    lanes = len(lines) * len(numbers)
    horizon, bin_ticks = to_ticks(horizon_s), to_ticks(bin_s)
    if horizon <= 0 or bin_ticks <= 0 or lanes == 0:
        raise InputError(
            f"a horizon of {horizon_s} s in bins of {bin_s} s", "give positive times and lanes"
        )
    state = (LineState.empty(lanes, width) if start is None else start).copy()
    _check_state(lines, state, lanes, width)
    factors = Scales.ones(lanes, width) if scales is None else scales
    if any(one.shape != (lanes, width) for one in (factors.cycle, factors.to_fail)):
        raise InputError(f"scales of shape {factors.cycle.shape}", f"give {(lanes, width)}")
    bins = -(-horizon // bin_ticks)
    ledger = np.zeros((lanes, width, bins, len(Spent) + 1), np.int64)
    run = LineRun(
        spent=ledger[..., : len(Spent)],
        made=ledger[..., len(Spent)],
        departures=np.full((lanes, width, keep), -1, np.int64),
        end=state,
    )
    raw = np.empty((lanes, 0), np.int64) if arrivals is None else _fitted(arrivals, lanes)
    laws, cycle_law, fail_law, repair_law = _laws(lines)
    shifts, first_shift, last_shift = _shifts(lines, horizon)
    _simulate(
        np.repeat(np.arange(len(lines)), len(numbers)),
        np.tile(numbers, len(lines)),
        np.array([[machine.key for machine in line.machines] for line in lines], np.int64),
        np.array([(*line.buffers, 0) for line in lines], np.int64),
        laws,
        cycle_law,
        fail_law,
        repair_law,
        shifts,
        first_shift,
        last_shift,
        np.ascontiguousarray(factors.cycle, np.float64),
        np.ascontiguousarray(factors.to_fail, np.float64),
        np.ascontiguousarray(factors.to_repair, np.float64),
        np.array([seed, horizon, bin_ticks, bins, arrivals is not None], np.int64),
        raw,
        state.work_left,
        state.repair_left,
        state.to_fail,
        state.begun,
        state.failed,
        state.level,
        state.arrived,
        ledger.reshape(-1),
        run.departures,
    )
    return run


def live_state(
    line: Line,
    machines: Sequence[Seen],
    levels: Sequence[int],
    *,
    seed: int,
    replications: npt.ArrayLike,
) -> LineState:
    """Start states from what a live line shows: what is left is drawn from the laws cut at what
    has passed.

    Parameters
    ----------
    line
        The line.
    machines
        What is known of each machine.
    levels
        Parts in each buffer.
    seed
        Seed of the draws.
    replications
        [R], numbers of the replications: each draws its own remainder.

    Returns
    -------
    LineState
        One lane per replication.
    """
    width = len(line.machines)
    if len(machines) != width or len(levels) != width - 1:
        raise InputError(
            f"{len(machines)} machines and {len(levels)} levels seen",
            f"the line has {width} machines and {width - 1} buffers",
        )
    numbers = np.asarray(replications, np.int64).ravel()
    state = LineState.empty(len(numbers), width)
    state.level[:] = np.asarray(levels, np.int64)
    for j, (machine, seen) in enumerate(zip(line.machines, machines, strict=True)):
        state.begun[:, j] = seen.begun
        state.failed[:, j] = seen.failed
        if seen.has_part and seen.worked_s is None:
            state.work_left[:, j] = 0
        if seen.has_part and seen.worked_s is not None:
            state.work_left[:, j] = _left(machine.cycle, seen.worked_s, seed, numbers, machine, 0)
        if machine.failure is None:
            continue
        if seen.down_s is not None:
            law = machine.failure.to_repair
            state.repair_left[:, j] = _left(law, seen.down_s, seed, numbers, machine, 1)
        elif seen.since_failure_s is not None:
            law = machine.failure.to_fail
            state.to_fail[:, j] = _left(law, seen.since_failure_s, seed, numbers, machine, 2)
    return state


def to_ticks(seconds: float) -> int:
    """Whole ticks of a time in seconds, rounded to the nearest."""
    return round(seconds * TICKS_PER_S)


def _left(
    law: Law, elapsed_s: float, seed: int, numbers: Ints, machine: Machine, which: int
) -> Ints:
    table = np.array(law.table)
    found = np.empty(len(numbers), np.int64)
    for i, number in enumerate(numbers):
        share = uniforms(seed, Stream.RESIDUAL, int(number), machine.key, 1, which)[0]
        left_s = left_over(table, elapsed_s, share)
        found[i] = int(left_s * TICKS_PER_S + 0.5)
    return found


def _laws(lines: Sequence[Line]) -> tuple[Floats, Ints, Ints, Ints]:
    """Stack each different law once; return tables and the law number of each machine."""
    known: dict[Law, int] = {}

    def number(law: Law | None) -> int:
        return -1 if law is None else known.setdefault(law, len(known))

    def numbers(laws: list[list[Law | None]]) -> Ints:
        return np.array([[number(law) for law in row] for row in laws], np.int64)

    cycle = numbers([[m.cycle for m in line.machines] for line in lines])
    fail = numbers(
        [[m.failure.to_fail if m.failure else None for m in line.machines] for line in lines]
    )
    repair = numbers(
        [[m.failure.to_repair if m.failure else None for m in line.machines] for line in lines]
    )
    return tables(list(known)), cycle, fail, repair


def _shifts(lines: Sequence[Line], horizon: int) -> tuple[Ints, Ints, Ints]:
    """Flatten the shifts; return starts and ends in turn, first and last window of machines."""
    flat: list[tuple[int, int]] = []
    first = np.zeros((len(lines), len(lines[0].machines)), np.int64)
    last = np.zeros_like(first)
    for s, line in enumerate(lines):
        for j, machine in enumerate(line.machines):
            first[s, j] = len(flat)
            if machine.shifts is None:
                flat.append((0, horizon))
            else:
                spans = [(to_ticks(a), to_ticks(b)) for a, b in machine.shifts]
                flat += [(a, b) for a, b in spans if b > 0 and a < horizon and a < b]
            last[s, j] = len(flat)
    return np.array(flat, np.int64).reshape(-1), first, last


def _fitted(arrivals: Ints, lanes: int) -> Ints:
    raw = np.ascontiguousarray(arrivals, np.int64)
    if raw.ndim != 2 or len(raw) != lanes:
        raise InputError(
            f"arrivals of shape {raw.shape}", f"give one row for each of {lanes} lanes"
        )
    if bool(np.any(np.diff(raw, axis=1) < 0)):
        raise InputError("arrivals that go back in time", "sort each lane")
    return raw


def _check_state(lines: Sequence[Line], state: LineState, lanes: int, width: int) -> None:
    if state.work_left.shape != (lanes, width) or state.level.shape != (lanes, width - 1):
        raise InputError(
            f"a start state of shape {state.work_left.shape}", f"give {lanes} lanes of {width}"
        )
    spaces = np.repeat([line.buffers for line in lines], lanes // len(lines), axis=0)
    room = spaces.reshape(lanes, width - 1) + (state.work_left[:, 1:] < 0)
    over = np.argwhere((state.level < 0) | (state.level > room))
    if len(over):
        lane, j = (int(i) for i in over[0])
        raise InputError(
            f"{int(state.level[lane, j])} parts in buffer {j} of {int(spaces[lane, j])} spaces",
            "correct the level counted there, or the buffer's size",
        )


def _check_shifts(number: int, shifts: tuple[tuple[float, float], ...] | None) -> None:
    if shifts is None:
        return
    edges = [edge for shift in shifts for edge in shift]
    if any(a > b for a, b in pairwise(edges)):
        raise InputError(f"shifts of machine {number} overlap", "list them in order of time")


_AT: Final = 0
_EDGE: Final = 1
_UP: Final = 2
_BIN: Final = 3
_BIN_EDGE: Final = 4
_WINDOW: Final = 5
_LAST: Final = 6
_HORIZON: Final = 7
_BIN_TICKS: Final = 8
_BINS: Final = 9
_LEDGER: Final = 10
_BEGUN: Final = 11
_FAILED: Final = 12
_TO_FAIL: Final = 13
_WORK_LEFT: Final = 14
_REPAIR_LEFT: Final = 15
_ENTERED: Final = 16
_LEFT: Final = 17
_SPENT: Final = 18
_MADE: Final = _SPENT + len(Spent)
_BOOKED: Final = len(Spent) + 1
_COLUMNS: Final = 24
"""Columns of a machine's hand: where its time stands, its limits, its counters, and what the
present bin has so far (ticks per state, then parts). The hands are one flat array: the helpers
are called often, and every further array costs them time."""
_WORKING: Final = int(Spent.WORKING)
_DOWN: Final = int(Spent.DOWN)
_BLOCKED: Final = int(Spent.BLOCKED)
_STARVED: Final = int(Spent.STARVED)
_OFF: Final = int(Spent.OFF)
_FOR_PROCESS: Final = int(Stream.PROCESS)
_FOR_FAILURE: Final = int(Stream.TIME_TO_FAIL)
_FOR_REPAIR: Final = int(Stream.TIME_TO_REPAIR)
_BLOCK: Final = 64
"""Jobs are drawn in blocks: a tight loop is worth three times a lone draw."""
_AFTER: Final = 0
_LIMIT: Final = 1
_FAILURES: Final = 2
_REPAIRED: Final = 3
_STOP_COLUMNS: Final = 4
"""Columns of a stop, a job of the block with failures in it: the job's place in the block (-1 for
the block's start), and after it: the worked time of the next failure, the failures so far and the
repairs of the block."""


@numba.njit(cache=True, nogil=True, inline="always")
def _ticks(table: Floats, share: float, scale: float) -> int:
    """Draw a duration [ticks], at least one (so that time goes on)."""
    return max(int(read_table(table, share) * (scale * TICKS_PER_S) + 0.5), 1)


@numba.njit(cache=True, nogil=True)
def _draw_jobs(
    jobs: Ints, row: Floats, walk: np.uint64, first: int, table: Floats, scale: float
) -> None:
    """Draw the processing times from number `first` on [ticks].

    One loop for each step, of a length known beforehand: all but the reading of the table run in
    vector registers. The same numbers as `_ticks`.
    """
    for i in range(_BLOCK):
        row[i] = share_of(walk, first + i)
    for i in range(_BLOCK):
        row[i] = place_of(row[i])
    for i in range(_BLOCK):
        row[i] = read_place(table, row[i])
    per_unit = scale * TICKS_PER_S
    for i in range(_BLOCK):
        jobs[i] = max(int(row[i] * per_unit + 0.5), 1)


@numba.njit(cache=True, nogil=True)
def _fold_repairs(
    jobs: Ints,
    worked: Ints,
    stops: Ints,
    walks: npt.NDArray[np.uint64],
    fail_table: Floats,
    repair_table: Floats,
    fail_scale: float,
    repair_scale: float,
) -> int:
    """Lengthen each job by the repairs that fall into it; return how many stops there are.

    Failures fall at worked times, which no waiting shifts: so a job's whole length is known
    before the line has run. ``worked[i]`` becomes the work before job i; ``stops[0]`` holds the
    state at the start of the block.
    """
    total, number = 0, 0
    limit, failures, repaired = stops[0, _LIMIT], stops[0, _FAILURES], stops[0, _REPAIRED]
    for i in range(len(jobs)):
        worked[i] = total
        total += jobs[i]
        if total > limit:
            while total > limit:
                repair = _ticks(repair_table, share_of(walks[1], failures), repair_scale)
                failures += 1
                limit += _ticks(fail_table, share_of(walks[0], failures), fail_scale)
                jobs[i] += repair
                repaired += repair
            number += 1
            stops[number, _AFTER] = i
            stops[number, _LIMIT] = limit
            stops[number, _FAILURES] = failures
            stops[number, _REPAIRED] = repaired
    worked[len(jobs)] = total
    return number


@numba.njit(cache=True, nogil=True)
def _last_stop(stops: Ints, j: int, number: int, job: int) -> int:
    """The last stop of machine j before a job of the block."""
    while stops[j, number, _AFTER] >= job:
        number -= 1
    return number


@numba.njit(cache=True, nogil=True)
def _settle(
    hands: Ints,
    j: int,
    job: int,
    settled: Ints,
    left_at: Ints,
    blocked: Ints,
    worked: Ints,
    stops: Ints,
    stopped: Ints,
) -> None:
    """Write the jobs of machine j before `job` to its hand, all within one bin and shift.

    Of the time since the hand stood, what was not worked, repaired or blocked was starved. Whole
    arrays are handed on: a view of a row costs more than what is done with it.
    """
    hand = j * _COLUMNS
    stop = _last_stop(stops, j, stopped[j], job)
    hands[hand + _TO_FAIL] = stops[j, stop, _LIMIT] - worked[j, job]
    hands[hand + _FAILED] = stops[j, stop, _FAILURES]
    first = settled[j]
    count = job - first
    settled[j] = job
    if count <= 0:
        return
    before = _last_stop(stops, j, stop, first)
    work = worked[j, job] - worked[j, first]
    down = stops[j, stop, _REPAIRED] - stops[j, before, _REPAIRED]
    stuck = blocked[j]
    blocked[j] = 0
    hands[hand + _SPENT + _WORKING] += work
    hands[hand + _SPENT + _DOWN] += down
    hands[hand + _SPENT + _BLOCKED] += stuck
    hands[hand + _SPENT + _STARVED] += left_at[j] - hands[hand + _AT] - work - down - stuck
    hands[hand + _AT] = left_at[j]
    hands[hand + _BEGUN] += count
    hands[hand + _ENTERED] += count
    hands[hand + _LEFT] += count
    hands[hand + _MADE] += count


@numba.njit(cache=True, nogil=True)
def _flush(hands: Ints, hand: int, ledger: Ints) -> None:
    """Write what the present bin has so far to the ledger, and clear it."""
    if hands[hand + _BIN] < hands[hand + _BINS]:
        row = hands[hand + _LEDGER] + hands[hand + _BIN] * _BOOKED
        for column in range(_BOOKED):
            ledger[row + column] += hands[hand + _SPENT + column]
    for column in range(_BOOKED):
        hands[hand + _SPENT + column] = 0


@numba.njit(cache=True, nogil=True)
def _turn(hands: Ints, hand: int, shifts: Ints, ledger: Ints) -> None:
    """Move a machine's hand over the edge it stands at: next bin, next shift."""
    at = hands[hand + _AT]
    if at >= hands[hand + _BIN_EDGE]:
        _flush(hands, hand, ledger)
        hands[hand + _BIN] += 1
        hands[hand + _BIN_EDGE] += hands[hand + _BIN_TICKS]
    window = hands[hand + _WINDOW]
    while window < hands[hand + _LAST] and at >= shifts[2 * window + 1]:
        window += 1
    hands[hand + _WINDOW] = window
    edge = hands[hand + _HORIZON]
    hands[hand + _UP] = 0
    if window < hands[hand + _LAST]:
        up = at >= shifts[2 * window]
        hands[hand + _UP] = 1 if up else 0
        edge = shifts[2 * window + 1] if up else shifts[2 * window]
    hands[hand + _EDGE] = min(edge, hands[hand + _BIN_EDGE], hands[hand + _HORIZON])


@numba.njit(cache=True, nogil=True)
def _wait(hands: Ints, hand: int, until: int, what: int, shifts: Ints, ledger: Ints) -> None:
    """Let a machine's time pass up to a moment, as `what` inside shifts and OFF outside."""
    until = min(until, hands[hand + _HORIZON])
    while hands[hand + _AT] < until:
        if hands[hand + _AT] >= hands[hand + _EDGE]:
            _turn(hands, hand, shifts, ledger)
        to = min(until, hands[hand + _EDGE])
        state = what if hands[hand + _UP] else _OFF
        hands[hand + _SPENT + state] += to - hands[hand + _AT]
        hands[hand + _AT] = to


@numba.njit(cache=True, nogil=True)
def _work(hands: Ints, hand: int, need: int, what: int, shifts: Ints, ledger: Ints) -> int:
    """Let a machine do so many ticks of `what` inside its shifts; return what the horizon left."""
    while need > 0 and hands[hand + _AT] < hands[hand + _HORIZON]:
        if hands[hand + _AT] >= hands[hand + _EDGE]:
            _turn(hands, hand, shifts, ledger)
        room = hands[hand + _EDGE] - hands[hand + _AT]
        if hands[hand + _UP]:
            step = min(need, room)
            hands[hand + _SPENT + what] += step
            hands[hand + _AT] += step
            need -= step
        else:
            hands[hand + _SPENT + _OFF] += room
            hands[hand + _AT] = hands[hand + _EDGE]
    return need


@numba.njit(cache=True, nogil=True)
def _job(hands: Ints, hand: int, shifts: Ints, ledger: Ints) -> bool:
    """Work one part to its end or to its next failure; return whether it got to its end.

    It stops at the horizon, or where the time to the next failure is used up: then the caller
    draws the repair and calls again.
    """
    if hands[hand + _REPAIR_LEFT] > 0:
        left = _work(hands, hand, hands[hand + _REPAIR_LEFT], _DOWN, shifts, ledger)
        hands[hand + _REPAIR_LEFT] = left
        if left > 0:
            return False
    piece = min(hands[hand + _WORK_LEFT], hands[hand + _TO_FAIL])
    done = piece - _work(hands, hand, piece, _WORKING, shifts, ledger)
    hands[hand + _WORK_LEFT] -= done
    hands[hand + _TO_FAIL] -= done
    return bool(hands[hand + _WORK_LEFT] == 0)


@numba.njit(cache=True, nogil=True)
def _part(
    hands: Ints,
    j: int,
    ready: int,
    need: int,
    space: int,
    walks: npt.NDArray[np.uint64],
    laws: Floats,
    fail_law: int,
    repair_law: int,
    fail_scale: float,
    repair_scale: float,
    shifts: Ints,
    ledger: Ints,
) -> int:
    """Take one part through machine j, over edges of bins and shifts and through failures.

    `need` is its processing time, -1 for a part that is in the machine already; `space` is when
    the next buffer has a place. Returns when it left, `NEVER` when the horizon came first.
    """
    hand = j * _COLUMNS
    horizon = hands[hand + _HORIZON]
    if need >= 0:
        _wait(hands, hand, ready, _STARVED, shifts, ledger)
        if hands[hand + _AT] >= horizon:
            return NEVER
        hands[hand + _WORK_LEFT] = need
        hands[hand + _BEGUN] += 1
        hands[hand + _ENTERED] += 1
    through = _job(hands, hand, shifts, ledger)
    while not through and hands[hand + _TO_FAIL] == 0 and hands[hand + _REPAIR_LEFT] == 0:
        failures = hands[hand + _FAILED]
        share = share_of(walks[j, 1], failures)
        hands[hand + _REPAIR_LEFT] = _ticks(laws[repair_law], share, repair_scale)
        share = share_of(walks[j, 0], failures + 1)
        hands[hand + _TO_FAIL] = _ticks(laws[fail_law], share, fail_scale)
        hands[hand + _FAILED] = failures + 1
        through = _job(hands, hand, shifts, ledger)
    if not through or hands[hand + _AT] >= horizon:
        return NEVER
    _wait(hands, hand, space, _BLOCKED, shifts, ledger)
    if hands[hand + _AT] >= horizon:
        return NEVER
    if hands[hand + _AT] >= hands[hand + _EDGE]:
        _turn(hands, hand, shifts, ledger)
    hands[hand + _WORK_LEFT] = -1
    hands[hand + _LEFT] += 1
    hands[hand + _MADE] += 1
    return int(hands[hand + _AT])


@numba.njit(cache=True, nogil=True)
def _simple_machines(
    first: int,
    reach: int,
    job: int,
    n: int,
    slot: int,
    mask: int,
    ready: int,
    jobs: Ints,
    behind: Ints,
    edge: Ints,
    left_at: Ints,
    blocked: Ints,
    gone: Ints,
) -> tuple[int, int]:
    """Take part n through machines as long as it leaves each before its next edge.

    Returns the machine where it does not, or `reach`, and when it is ready there.
    """
    for j in range(np.uint64(first), np.uint64(reach)):
        done = max(ready, left_at[j]) + jobs[j, np.uint64(job)]
        ahead = n - behind[j]
        space = gone[j + np.uint64(1), np.uint64(ahead & mask)] if ahead >= 0 else 0
        out = max(done, space)
        if out >= edge[j]:
            return int(np.int64(j)), ready
        blocked[j] += out - done
        left_at[j] = out
        gone[j, np.uint64(slot)] = out
        ready = out
    return reach, ready


@numba.njit(cache=True, nogil=True)
def _simulate(
    line_of: Ints,
    replication: Ints,
    keys: Ints,
    buffers: Ints,
    laws: Floats,
    cycle_law: Ints,
    fail_law: Ints,
    repair_law: Ints,
    shifts: Ints,
    first_shift: Ints,
    last_shift: Ints,
    cycle_scale: Floats,
    fail_scale: Floats,
    repair_scale: Floats,
    settings: Ints,
    arrivals: Ints,
    work_left: Ints,
    repair_left: Ints,
    to_fail: Ints,
    begun: Ints,
    failed: Ints,
    level: Ints,
    arrived: Ints,
    ledger: Ints,
    departures: Ints,
) -> None:
    """Run the recursion lane by lane; arrays as in `simulate_lines`, the state is changed.

    The parts that are inside at the start go one by one through `_part`. After them all machines
    count alike, so jobs are drawn in blocks, repairs folded in, and a part that leaves a machine
    before its next edge costs two maxima and a sum; only one that does not goes through `_part`.
    """
    lanes, width = work_left.shape
    seed, horizon, bin_ticks, bins, given = settings
    kept = departures.shape[2]
    ring = 2
    while ring < buffers.max() + 2:
        ring *= 2
    mask = ring - 1
    gone = np.zeros((width + 1, ring), np.int64)  # departures of the last parts at each machine
    hands = np.zeros(width * _COLUMNS, np.int64)
    walks = np.zeros((width, 3), np.uint64)
    waiting = np.zeros(width, np.int64)  # parts in front of each machine at the start
    row = np.empty(_BLOCK)
    jobs = np.empty((width, _BLOCK), np.int64)
    worked = np.empty((width, _BLOCK + 1), np.int64)
    stops = np.zeros((width, _BLOCK + 1, _STOP_COLUMNS), np.int64)
    stopped = np.zeros(width, np.int64)  # number of stops in each machine's block
    settled = np.zeros(width, np.int64)  # jobs of the block that the hand knows of
    left_at = np.zeros(width, np.int64)  # last departure
    blocked = np.zeros(width, np.int64)  # since the hand stood
    edge = np.zeros(width, np.int64)  # a part that leaves before it is a simple one
    kept_from = np.zeros(width, np.int64)
    behind = np.zeros(width, np.int64)  # a part needs the place of the one so many before it
    for lane in range(lanes):
        s, r = line_of[lane], replication[lane]
        inside = 0
        hands[:] = 0
        for j in range(width):
            hand = j * _COLUMNS
            hands[hand + _HORIZON] = horizon
            hands[hand + _BIN_TICKS] = bin_ticks
            hands[hand + _BINS] = bins
            hands[hand + _BIN_EDGE] = bin_ticks
            hands[hand + _LEDGER] = (lane * width + j) * bins * _BOOKED
            hands[hand + _WINDOW] = first_shift[s, j]
            hands[hand + _LAST] = last_shift[s, j]
            _turn(hands, hand, shifts, ledger)
            walks[j, 0] = walk_start(seed, _FOR_FAILURE, r, keys[s, j])
            walks[j, 1] = walk_start(seed, _FOR_REPAIR, r, keys[s, j])
            walks[j, 2] = walk_start(seed, _FOR_PROCESS, r, keys[s, j])
            hands[hand + _TO_FAIL] = to_fail[lane, j]
            hands[hand + _REPAIR_LEFT] = repair_left[lane, j]
            hands[hand + _FAILED] = failed[lane, j]
            if fail_law[s, j] < 0:
                hands[hand + _TO_FAIL] = NEVER
                hands[hand + _REPAIR_LEFT] = 0
            elif to_fail[lane, j] < 0:
                share = share_of(walks[j, 0], failed[lane, j])
                scale = fail_scale[lane, j]
                hands[hand + _TO_FAIL] = _ticks(laws[fail_law[s, j]], share, scale)
            hands[hand + _WORK_LEFT] = work_left[lane, j]
            hands[hand + _BEGUN] = begun[lane, j]
            waiting[j] = level[lane, j - 1] if j > 0 else 0
            inside += waiting[j] + (1 if work_left[lane, j] >= 0 else 0)
            if work_left[lane, j] < 0:
                repair = hands[hand + _REPAIR_LEFT]
                hands[hand + _REPAIR_LEFT] = _work(hands, hand, repair, _DOWN, shifts, ledger)
        place = width - 1  # where the next part that is inside at the start stands
        taken = work_left[lane, place] < 0  # whether the part in that machine is already set
        for n in range(inside):
            while taken and waiting[place] == 0:
                place -= 1
                taken = work_left[lane, place] < 0
            loaded = not taken
            if taken:
                waiting[place] -= 1
            taken = True
            slot = n & mask
            for j in range(place):
                gone[j, slot] = 0
            ready = 0
            for j in range(place, width):
                hand = j * _COLUMNS
                need = -1
                if not loaded:
                    share = share_of(walks[j, 2], hands[hand + _BEGUN])
                    need = _ticks(laws[cycle_law[s, j]], share, cycle_scale[lane, j])
                loaded = False
                ahead = n - buffers[s, j] - 1
                ready = _part(
                    hands,
                    j,
                    ready,
                    need,
                    gone[j + 1, ahead & mask] if ahead >= 0 else 0,
                    walks,
                    laws,
                    fail_law[s, j],
                    repair_law[s, j],
                    fail_scale[lane, j],
                    repair_scale[lane, j],
                    shifts,
                    ledger,
                )
                if ready >= horizon:
                    for stuck in range(j, width):
                        gone[stuck, slot] = NEVER
                    break
                gone[j, slot] = ready
                if hands[hand + _LEFT] <= kept:
                    departures[lane, j, hands[hand + _LEFT] - 1] = ready
        reach = width  # machines that can still begin a part
        for j in range(width - 1, -1, -1):
            hand = j * _COLUMNS
            if hands[hand + _AT] >= horizon:
                reach = j
            left_at[j] = hands[hand + _AT]
            blocked[j] = 0
            edge[j] = hands[hand + _EDGE] if hands[hand + _UP] else 0
            kept_from[j] = hands[hand + _LEFT] - inside
            behind[j] = buffers[s, j] + 1
        first = inside
        more = True
        while reach > 0 and more:
            for j in range(reach):
                hand = j * _COLUMNS
                _draw_jobs(
                    jobs[j],
                    row,
                    walks[j, 2],
                    hands[hand + _BEGUN],
                    laws[cycle_law[s, j]],
                    cycle_scale[lane, j],
                )
                stops[j, 0, _AFTER] = -1
                stops[j, 0, _LIMIT] = hands[hand + _TO_FAIL]
                stops[j, 0, _FAILURES] = hands[hand + _FAILED]
                stops[j, 0, _REPAIRED] = 0
                stopped[j] = _fold_repairs(
                    jobs[j],
                    worked[j],
                    stops[j],
                    walks[j],
                    laws[fail_law[s, j]],
                    laws[repair_law[s, j]],
                    fail_scale[lane, j],
                    repair_scale[lane, j],
                )
                settled[j] = 0
            ended = _BLOCK
            for i in range(_BLOCK):
                n = first + i
                ready = 0
                if given:
                    number = arrived[lane] + n - inside
                    ready = horizon
                    if number < arrivals.shape[1]:
                        ready = max(arrivals[lane, number], 0)
                    if ready >= horizon:
                        more = False
                        ended = i
                        break
                slot = n & mask
                stuck = -1
                j = 0
                while True:
                    j, ready = _simple_machines(
                        j,
                        reach,
                        i,
                        n,
                        slot,
                        mask,
                        ready,
                        jobs,
                        behind,
                        edge,
                        left_at,
                        blocked,
                        gone,
                    )
                    if j == reach:
                        break
                    hand = j * _COLUMNS
                    _settle(hands, j, i, settled, left_at, blocked, worked, stops, stopped)
                    settled[j] = i + 1
                    ahead = n - behind[j]
                    ready = _part(
                        hands,
                        j,
                        ready,
                        worked[j, i + 1] - worked[j, i],
                        gone[j + 1, ahead & mask] if ahead >= 0 else 0,
                        walks,
                        laws,
                        fail_law[s, j],
                        repair_law[s, j],
                        fail_scale[lane, j],
                        repair_scale[lane, j],
                        shifts,
                        ledger,
                    )
                    if ready >= horizon:
                        stuck = j
                        break
                    edge[j] = hands[hand + _EDGE] if hands[hand + _UP] else 0
                    left_at[j] = ready
                    gone[j, slot] = ready
                    j += 1
                if kept > 0:
                    for j in range(stuck if stuck >= 0 else reach):
                        if n + kept_from[j] < kept:
                            departures[lane, j, n + kept_from[j]] = gone[j, slot]
                if stuck >= 0:
                    for j in range(stuck + 1, reach):
                        _settle(hands, j, i, settled, left_at, blocked, worked, stops, stopped)
                    reach = stuck
                    if reach == 0:
                        break
                gone[reach, slot] = NEVER if reach < width else 0
            for j in range(reach):
                _settle(hands, j, ended, settled, left_at, blocked, worked, stops, stopped)
            first += _BLOCK
        for j in range(width):
            hand = j * _COLUMNS
            _wait(hands, hand, horizon, _STARVED, shifts, ledger)
            _flush(hands, hand, ledger)
            work_left[lane, j] = hands[hand + _WORK_LEFT]
            repair_left[lane, j] = hands[hand + _REPAIR_LEFT]
            to_fail[lane, j] = hands[hand + _TO_FAIL] if fail_law[s, j] >= 0 else -1
            begun[lane, j] = hands[hand + _BEGUN]
            failed[lane, j] = hands[hand + _FAILED]
            if j > 0:
                level[lane, j - 1] += hands[hand - _COLUMNS + _LEFT] - hands[hand + _ENTERED]
        arrived[lane] += hands[_ENTERED]
