"""The fold: rows of a batch, in order, into the newest values and the sums. Compiled by numba.

One loop over the rows, so that a batch cut anywhere gives bit for bit the same state. Times are
int64 microseconds since 1970; durations are summed as integers, hence exactly.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from twin.counting import came_back, counted
from twin.status import CLASS_BAD, CLASS_GOOD

GAUGE: Final = 0
COUNTER: Final = 1
STATE: Final = 2
EVENT: Final = 3

STATE_CODES: Final = 16
"""Codes 0 to 15 have a slot each; every other value shares the slot after them."""

FOLDED: Final = 0
LATE: Final = 1
DUPLICATE: Final = 2
KEPT_OUT: Final = 3
UNKNOWN: Final = 4
SAME_TIME: Final = 5
"""Folded, at the time of the newest row but with another value or status; only `judge_rows` says
so, `fold_rows` says FOLDED."""

HOLDS_KEPT: Final = 16
"""Closed holds kept per tag, a power of 2: a gap told so many samples late takes its time back."""

Table = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]


ROW: Final = np.dtype(
    [
        ("slot", np.int64),
        ("at_us", np.int64),
        ("seen_us", np.int64),
        ("server_us", np.int64),
        ("value", np.float64),
        ("exact", np.int64),
        ("text_key", np.int64),
        ("status", np.uint32),
        ("quality", np.uint8),
        ("origin", np.uint8),
        ("known", np.bool_),
        ("has_value", np.bool_),
        ("has_exact", np.bool_),
        ("restamped", np.bool_),
    ],
    align=True,
)
"""A row of a batch, and the newest row of a tag.

``slot`` is the dense index of the tag, -1 when it has none; ``known`` is true in every row of a
batch. ``quality`` is the class the sums use; ``text_key`` a hash of the text, 0 for none;
``restamped`` marks rows whose source time was out of bounds and was replaced.
"""

SUMS: Final = np.dtype(
    [
        ("n", np.int64),
        ("n_good", np.int64),
        ("late", np.int64),
        ("misclocked", np.int64),
        ("integral", np.float64),
        ("good_us", np.int64),
        ("bad_us", np.int64),
        ("covered_us", np.int64),
        ("settled_us", np.int64),
        ("increase", np.float64),
        ("resets", np.int64),
        ("reading", np.float64),
        ("base", np.float64),
        ("has_reading", np.bool_),
        ("fell", np.bool_),
    ],
    align=True,
)
"""Cumulative sums of a tag up to its newest row.

``reading`` is the newest good reading of a counter; where it ``fell``, ``base`` is the one before,
else 0. ``settled_us`` is uncovered time since the
newest row that no gap of `Gaps` names any more; ``misclocked`` counts rows kept out of the state
because their time was not to be trusted.
"""

TRAITS: Final = np.dtype(
    [("kind", np.uint8), ("endpoint", np.int32), ("modulus", np.float64)], align=True
)
"""What is fixed about a tag: kind, endpoint (-1: none), modulus of a counter (0: unknown)."""

HOLD: Final = np.dtype(
    [
        ("start_us", np.int64),
        ("end_us", np.int64),
        ("covered_us", np.int64),
        ("value", np.float64),
        ("quality", np.uint8),
    ],
    align=True,
)
"""A closed hold [start, end) as the sums count it; hold n of a tag is at n modulo HOLDS_KEPT."""


def _fill_rows(
    rows: Table,
    dense: Ints,
    tag: npt.NDArray[np.int32],
    times: tuple[Ints, Ints, Ints],
    value: npt.NDArray[np.float64],
    exact: Ints,
    text_key: Ints,
    codes: tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    marks: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
) -> None:
    at_us, seen_us, server_us = times
    status, quality, origin = codes
    has_value, has_exact, restamped = marks
    for r in range(len(rows)):
        given = 0 <= tag[r] < len(dense)
        rows[r].slot = dense[tag[r]] if given else -1
        rows[r].at_us = at_us[r]
        rows[r].seen_us = seen_us[r]
        rows[r].server_us = server_us[r]
        rows[r].value = value[r]
        rows[r].exact = exact[r]
        rows[r].text_key = text_key[r]
        rows[r].status = status[r]
        rows[r].quality = quality[r]
        rows[r].origin = origin[r]
        rows[r].known = True
        rows[r].has_value = has_value[r]
        rows[r].has_exact = has_exact[r]
        rows[r].restamped = restamped[r]


fill_rows = njit(cache=True)(_fill_rows)
"""(rows, dense, tag, (at, seen, server), value, exact, text_key, (status, quality, origin),
(has_value, has_exact, restamped)): write columns into rows (dtype ROW).

``dense`` is the slot of each tag. One pass over the rows; column by column it takes five times as
long, because a row is wider than a cache line.
"""


def _uncovered_us(endpoint: int, start_us: int, end_us: int, heard: Table, gaps: Table) -> int:
    """Microseconds of [start, end) in which an endpoint was not heard."""
    if endpoint < 0:
        return 0
    total = 0
    for k in range(heard[endpoint].end - 1, heard[endpoint].begin - 1, -1):
        if gaps[k].end_us <= start_us:
            break
        total += max(0, min(end_us, gaps[k].end_us) - max(start_us, gaps[k].start_us))
    # a sample newer than the newest gap row says that the endpoint is back
    if heard[endpoint].gap and start_us < heard[endpoint].until_us:
        total += max(0, end_us - heard[endpoint].until_us)
    return total


_uncovered = njit(cache=True)(_uncovered_us)


def _slot(value: float) -> int:
    """Slot of a state code."""
    if 0.0 <= value < STATE_CODES and value == np.floor(value):
        return int(value)
    return STATE_CODES


_state_slot = njit(cache=True)(_slot)


def _same_row(row: Any, newest: Any) -> bool:  # noqa: ANN401 - a record of dtype ROW
    """Whether a row repeats the newest one on (at, value, status)."""
    return bool(
        row.at_us == newest.at_us
        and row.status == newest.status
        and (row.value == newest.value or (np.isnan(row.value) and np.isnan(newest.value)))
        and row.has_exact == newest.has_exact
        and row.exact == newest.exact
        and row.text_key == newest.text_key
    )


_same = njit(cache=True)(_same_row)


def _verdict_of(row: Any, newest: Any) -> int:  # noqa: ANN401 - records of dtype ROW
    """What becomes of a row whose tag has a slot."""
    if not newest.known:
        return FOLDED
    if _same(row, newest):
        return DUPLICATE
    if row.restamped and not newest.restamped:
        return KEPT_OUT
    trusted_again = newest.restamped and not row.restamped
    if row.at_us < newest.at_us and not trusted_again:
        return LATE
    return FOLDED


_verdict = njit(cache=True)(_verdict_of)


def _close_hold(newest: Any, sums: Any, kind: int, covered: int) -> None:  # noqa: ANN401 - records
    """Add the covered time the newest row held to the sums of its tag."""
    sums.settled_us = 0
    sums.covered_us += covered
    if newest.quality == CLASS_BAD:
        sums.bad_us += covered
    elif newest.quality == CLASS_GOOD:
        sums.good_us += covered
        if kind == GAUGE:
            grown = sums.integral + newest.value * (covered * 1e-6)
            if np.isfinite(grown):  # one absurd reading must not spoil the sum for ever
                sums.integral = grown


_close = njit(cache=True)(_close_hold)


def _take_reading(value: float, sums: Any, modulus: float) -> None:  # noqa: ANN401 - a record
    """Add a good reading of a counter to the sums of its tag; a fall that was a dip is undone."""
    if sums.has_reading:
        if sums.fell and came_back(sums.base, sums.reading, value):
            grown, reset = counted(sums.base, sums.reading, modulus)
            sums.increase += value - sums.base - grown
            sums.resets -= reset
            sums.fell, sums.base = False, 0.0
        else:
            grown, reset = counted(sums.reading, value, modulus)
            sums.increase += grown
            sums.resets += reset
            sums.fell = value < sums.reading
            sums.base = sums.reading if sums.fell else 0.0
    sums.reading = value
    sums.has_reading = True


_read = njit(cache=True)(_take_reading)


def _covered_us(
    i: int, until_us: int, newest: Table, sums: Table, traits: Table, heard: Table, gaps: Table
) -> int:
    """Covered microseconds from the newest row of tag i to `until_us`."""
    start = newest[i].at_us
    held = max(0, until_us - start)
    blind = sums[i].settled_us + _uncovered(traits[i].endpoint, start, until_us, heard, gaps)
    return int(held - min(held, blind))


_covered = njit(cache=True)(_covered_us)


def _keep_hold(newest: Any, until_us: int, covered: int, hold: Any) -> None:  # noqa: ANN401
    """Note a hold that is closed, in the place of the oldest one kept."""
    hold.start_us = newest.at_us
    hold.end_us = until_us
    hold.covered_us = covered
    hold.value = newest.value
    hold.quality = newest.quality


_keep = njit(cache=True)(_keep_hold)


def _fold_rows(
    rows: Table,
    newest: Table,
    sums: Table,
    state_us: Ints,
    traits: Table,
    heard: Table,
    gaps: Table,
    holds: Table,
) -> npt.NDArray[np.uint8]:
    verdicts = np.full(len(rows), UNKNOWN, np.uint8)
    for r in range(len(rows)):
        row = rows[r]
        i = row.slot
        if i < 0:
            continue
        verdict = _verdict(row, newest[i])
        verdicts[r] = verdict
        if verdict == LATE:
            sums[i].late += 1
        elif verdict == KEPT_OUT:
            sums[i].misclocked += 1
        if verdict != FOLDED:
            continue
        if newest[i].known:
            covered = _covered(i, row.at_us, newest, sums, traits, heard, gaps)
            _close(newest[i], sums[i], traits[i].kind, covered)
            if traits[i].kind == STATE and newest[i].quality == CLASS_GOOD:
                state_us[i, _state_slot(newest[i].value)] += covered
            if traits[i].endpoint >= 0:
                _keep(newest[i], row.at_us, covered, holds[i, (sums[i].n - 1) & (HOLDS_KEPT - 1)])
        newest[i] = row
        sums[i].n += 1
        if row.quality == CLASS_GOOD:
            sums[i].n_good += 1
            if traits[i].kind == COUNTER:
                _read(row.value, sums[i], traits[i].modulus)
    return verdicts


def _judge_rows(rows: Table, newest: Table, trial: Table) -> npt.NDArray[np.uint8]:
    for r in range(len(rows)):
        i = rows[r].slot
        if i >= 0:
            trial[i] = newest[i]
    verdicts = np.full(len(rows), UNKNOWN, np.uint8)
    for r in range(len(rows)):
        i = rows[r].slot
        if i < 0:
            continue
        verdict = _verdict(rows[r], trial[i])
        if verdict == FOLDED:
            if trial[i].known and trial[i].at_us == rows[r].at_us:
                verdict = SAME_TIME
            trial[i] = rows[r]
        verdicts[r] = verdict
    return verdicts


def _open_covered(
    until_us: Ints, newest: Table, sums: Table, traits: Table, heard: Table, gaps: Table
) -> Ints:
    covered = np.zeros(len(newest), np.int64)
    for i in range(len(newest)):
        if newest[i].known:
            covered[i] = _covered(i, until_us[i], newest, sums, traits, heard, gaps)
    return covered


def _correct_holds(
    endpoint: int,
    from_us: int,
    holds: Table,
    sums: Table,
    state_us: Ints,
    traits: Table,
    before: tuple[Table, Table],
    after: tuple[Table, Table],
) -> None:
    for i in range(len(sums)):
        if traits[i].endpoint != endpoint:
            continue
        for k in range(HOLDS_KEPT):
            hold = holds[i, k]
            if hold.end_us <= from_us or hold.end_us <= hold.start_us:
                continue
            was = _uncovered(0, hold.start_us, hold.end_us, before[0], before[1])
            blind = _uncovered(0, hold.start_us, hold.end_us, after[0], after[1])
            length = hold.end_us - hold.start_us
            change = max(0, min(length, hold.covered_us + was - blind)) - hold.covered_us
            if change == 0:
                continue
            hold.covered_us += change
            sums[i].covered_us += change
            if hold.quality == CLASS_BAD:
                sums[i].bad_us += change
            elif hold.quality == CLASS_GOOD:
                sums[i].good_us += change
                if traits[i].kind == GAUGE:
                    grown = sums[i].integral + hold.value * (change * 1e-6)
                    if np.isfinite(grown):
                        sums[i].integral = grown
                elif traits[i].kind == STATE:
                    state_us[i, _state_slot(hold.value)] += change


fold_rows = njit(cache=True)(_fold_rows)
"""(rows, newest, sums, state_us, traits, heard, gaps, holds) -> verdict per row.

Changes newest, sums, state_us (one row of slots per tag) and holds (HOLDS_KEPT per tag). The other
tables have the dtypes ROW, ROW, SUMS, TRAITS, HEARD and GAP of `twin.coverage`, and HOLD.
"""

correct_holds = njit(cache=True)(_correct_holds)
"""(endpoint, from_us, holds, sums, state_us, traits, (heard, gaps) before, (heard, gaps) after).

Counts the kept holds of an endpoint's tags that end after ``from_us`` as if its coverage had been
known before they were closed. ``heard`` holds that endpoint alone.
"""

judge_rows = njit(cache=True)(_judge_rows)
"""(rows, newest, trial) -> the verdicts `fold_rows` would give, or SAME_TIME.

Scribbles on trial, which is as long as newest.
"""

open_covered = njit(cache=True)(_open_covered)
"""(until_us, newest, sums, traits, heard, gaps) -> covered microseconds since each newest row."""
