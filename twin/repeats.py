"""Rows that came before: found by hash tables over (tag, at). Compiled by numba.

A late batch is compared with every unsealed row of its time, which may be a million; a table of the
batch's own keys is small, so the tail is probed against it and never indexed itself.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from twin.fold import Table

Ints = npt.NDArray[np.int64]

_MIX_A: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_MIX_B: Final = np.uint64(0xBF58_476D_1CE4_E5B9)
_SHIFT: Final = np.uint64(31)


def _hash_of(tag: int, at_us: int) -> np.uint64:
    word = np.uint64(at_us) * _MIX_A + np.uint64(tag)
    word = (word ^ (word >> _SHIFT)) * _MIX_B
    return word ^ (word >> _SHIFT)


_hash = njit(cache=True)(_hash_of)


def _same_key_rows(one: int, other: int, tag: Ints, rows: Table) -> bool:
    """Whether two rows agree on tag, time, value, text and status; a NaN equals itself."""
    a, b = rows[one], rows[other]
    return bool(
        tag[one] == tag[other]
        and a.at_us == b.at_us
        and a.status == b.status
        and (a.value == b.value or (np.isnan(a.value) and np.isnan(b.value)))
        and a.exact == b.exact
        and a.text_key == b.text_key
    )


_same_key = njit(cache=True)(_same_key_rows)


def _table_of(tag: Ints, at_us: Ints) -> Ints:
    size = 16
    while size < 2 * len(tag):
        size *= 2
    table = np.full(size, -1, np.int64)
    last = np.uint64(size - 1)
    for k in range(len(tag)):
        place = _hash(tag[k], at_us[k]) & last
        while table[place] >= 0:
            other = table[place]
            if tag[other] == tag[k] and at_us[other] == at_us[k]:
                break
            place = (place + np.uint64(1)) & last
        if table[place] < 0:
            table[place] = k
    return table


def _found_in(
    table: Ints, tag: Ints, at_us: Ints, chunk_tag: Ints, chunk_at_us: Ints
) -> npt.NDArray[np.bool_]:
    hit = np.zeros(len(chunk_tag), np.bool_)
    last = np.uint64(len(table) - 1)
    for r in range(len(chunk_tag)):
        place = _hash(chunk_tag[r], chunk_at_us[r]) & last
        while table[place] >= 0:
            k = table[place]
            if tag[k] == chunk_tag[r] and at_us[k] == chunk_at_us[r]:
                hit[r] = True
                break
            place = (place + np.uint64(1)) & last
    return hit


def _repeats(tag: Ints, rows: Table) -> npt.NDArray[np.bool_]:
    again = np.zeros(len(rows), np.bool_)
    size = 16
    while size < 2 * len(rows):
        size *= 2
    table = np.full(size, -1, np.int64)
    last = np.uint64(size - 1)
    for r in range(len(rows)):
        place = _hash(tag[r], rows[r].at_us) & last
        while table[place] >= 0:
            if _same_key(table[place], r, tag, rows):
                again[r] = True
                break
            place = (place + np.uint64(1)) & last
        if not again[r]:
            table[place] = r
    return again


table_of = njit(cache=True)(_table_of)
"""(tag, at_us) -> hash table of these keys, for `found_in`."""

found_in = njit(cache=True)(_found_in)
"""(table, tag, at_us, chunk_tag, chunk_at_us) -> which rows of the chunk have one of the keys."""

repeats = njit(cache=True)(_repeats)
"""(tag, rows) -> which rows (dtype ROW) repeat an earlier one on (tag, at, value, status)."""


class Keys:
    """Some (tag, at) keys, to be looked for in batches.

    Parameters
    ----------
    tag, at_us
        The keys, at least one.
    """

    def __init__(self, tag: Ints, at_us: Ints) -> None:
        self.first_us, self.last_us = int(at_us.min()), int(at_us.max())
        self._tag, self._at_us = tag, at_us
        self._table = table_of(tag, at_us)

    def found_in(self, tag: Ints, at_us: Ints) -> npt.NDArray[np.bool_]:
        """Which rows of other columns have one of the keys."""
        return np.asarray(found_in(self._table, self._tag, self._at_us, tag, at_us))
