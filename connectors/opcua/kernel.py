"""The compiled walk over encoded DataValues: bytes → columns.

OPC UA Binary (Part 6, 5.2): little endian; a DataValue is a mask byte and the fields it names
(value, status, source time and picoseconds, server time and picoseconds); a Variant is a type byte
(type id in six bits, flags for dimensions and array) and its value. Nothing here allocates per
value, raises or trusts a length: every read is checked against the end of the message, arrays and
structures are stepped over in time linear in their bytes, and a fault comes back as a code.

Numbers and strings become rows here. What Python has to look at (times as values, identifiers,
integers beyond int64; and what has no row at all: arrays, structures) is listed with the bytes it
lies in.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Bytes: TypeAlias = npt.NDArray[np.uint8]
Table: TypeAlias = npt.NDArray[np.int64]

TRUNCATED: Final = -1
UNKNOWN_TYPE: Final = -2
TOO_DEEP: Final = -3

NO_TIME: Final = -(2**63)
"""Stands for a missing time."""
END_OF_TIME: Final = 2**63 - 1
TEXT_LIMIT: Final = 65_536
"""Longest text that gets a row [bytes]."""

BY_SOURCE, BY_SERVER, BY_RECEIPT = 0, 1, 2
"""Which time becomes `at`."""

# Columns of a table of odd values.
ODD_ROW, ODD_HANDLE, ODD_KIND, ODD_START, ODD_STOP, ODD_COUNT, ODD_WIDTH = 0, 1, 2, 3, 4, 5, 6

# What a walk tells.
END, ROWS, ODDS, UNKNOWN, OVERFLOWS, NEWEST, SAME, TEXTS, TOLD = 0, 1, 2, 3, 4, 5, 6, 7, 8

_BOOLEAN, _SBYTE, _BYTE, _INT16, _UINT16, _INT32, _UINT32, _INT64 = 1, 2, 3, 4, 5, 6, 7, 8
_UINT64, _FLOAT, _DOUBLE, _STRING, _TIME, _GUID, _BYTES, _XML = 9, 10, 11, 12, 13, 14, 15, 16
_NODE, _FAR_NODE, _STATUS, _NAME, _LOCAL, _STRUCTURE = 17, 18, 19, 20, 21, 22
_DATA, _VARIANT, _DIAGNOSTIC, _LAST_KIND = 23, 24, 25, 31
_ARRAY, _DIMENSIONS = 0x80, 0x40
_DEEPEST = 128
_BYTES_LEFT, _SIZES = 40, 41
"""Not types: bytes to step over, and the dimensions of an array."""
_EXACT = 2**53
_EPOCH_US = 11_644_473_600_000_000
_LATEST_US = 253_402_300_799_999_999
_OVERFLOW = 0x480
_UNCERTAIN = 0x40000000
_FNV = 1_099_511_628_211
_FNV_START = 14_695_981_039_346_656_037


def _bits_to_double(_: object, __: object) -> tuple[object, object]:
    def build(_: object, builder: ir.IRBuilder, __: object, args: list[ir.Value]) -> ir.Value:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), build


def _bits_to_float(_: object, __: object) -> tuple[object, object]:
    def build(_: object, builder: ir.IRBuilder, __: object, args: list[ir.Value]) -> ir.Value:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), build


_f64 = cast("Callable[[int], float]", intrinsic(_bits_to_double))
_f32 = cast("Callable[[int], float]", intrinsic(_bits_to_float))


@numba.njit(cache=True, inline="always")
def _byte(buf: Bytes, p: int) -> int:
    """A byte as a signed number: with unsigned ones, numba would compute in floats."""
    return int(np.int64(buf[p]))


@numba.njit(cache=True, inline="always")
def _u16(buf: Bytes, p: int) -> int:
    return _byte(buf, p) | _byte(buf, p + 1) << 8


@numba.njit(cache=True, inline="always")
def _u32(buf: Bytes, p: int) -> int:
    return (
        _byte(buf, p) | _byte(buf, p + 1) << 8 | _byte(buf, p + 2) << 16 | _byte(buf, p + 3) << 24
    )


@numba.njit(cache=True, inline="always")
def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


@numba.njit(cache=True, inline="always")
def _i32(buf: Bytes, p: int) -> int:
    return _signed(_u32(buf, p), 32)


@numba.njit(cache=True, inline="always")
def _i64(buf: Bytes, p: int) -> int:
    """Of a UInt64 beyond int64 the same bits, so a number below 0."""
    return _u32(buf, p) | _u32(buf, p + 4) << 32


@numba.njit(cache=True, inline="always")
def _width(kind: int) -> int:
    """Bytes of a type of fixed size; 0 of the others."""
    if kind <= _BYTE:
        return 1
    if kind <= _UINT16:
        return 2
    if kind <= _UINT32 or kind in (_FLOAT, _STATUS):
        return 4
    if kind <= _DOUBLE or kind == _TIME:
        return 8
    return 16 if kind == _GUID else 0


@numba.njit(cache=True, inline="always")
def _rest(mask: int) -> int:
    """Bytes of the status and the times a DataValue's mask names."""
    n = 0
    if mask & 2:
        n += 4
    if mask & 4:
        n += 8
    if mask & 16:
        n += 2
    if mask & 8:
        n += 8
    if mask & 32:
        n += 2
    return n


@numba.njit(cache=True)
def _over_bytes(buf: Bytes, p: int, end: int) -> int:
    """Position after a String or ByteString."""
    if end - p < 4:
        return TRUNCATED
    n = max(_i32(buf, p), 0)
    return TRUNCATED if n > end - p - 4 else p + 4 + n


@numba.njit(cache=True)
def _over_node(buf: Bytes, p: int, end: int) -> int:
    """Position after a NodeId or ExpandedNodeId."""
    if p >= end:
        return TRUNCATED
    head = _byte(buf, p)
    form = head & 0x3F
    if form <= 2:
        p += 2 if form == 0 else 4 if form == 1 else 7
    elif form == 4:
        p += 19
    elif form in (3, 5):
        p = _over_bytes(buf, p + 3, end)
    else:
        return UNKNOWN_TYPE
    if p >= 0 and head & 0x80:
        p = _over_bytes(buf, p, end)
    if p >= 0 and head & 0x40:
        p += 4
    return TRUNCATED if p > end else p


@numba.njit(cache=True)
def _over_leaf(buf: Bytes, p: int, end: int, kind: int) -> int:
    """Position after a value that holds no values."""
    fixed = _width(kind) if kind < _DATA else 0
    if fixed:
        return p + fixed if fixed <= end - p else TRUNCATED
    if kind in (_NODE, _FAR_NODE):
        return _over_node(buf, p, end)
    if kind == _NAME:
        return _over_bytes(buf, p + 2, end)
    if kind == _STRUCTURE:
        p = _over_node(buf, p, end)
        if p < 0 or p >= end:
            return min(p, TRUNCATED)
        return _over_bytes(buf, p + 1, end) if buf[p] else p + 1
    if kind == _LOCAL:
        if p >= end:
            return TRUNCATED
        mask = _byte(buf, p)
        p += 1
        for bit in (1, 2):
            if mask & bit and p >= 0:
                p = _over_bytes(buf, p, end)
        return p
    return _over_bytes(buf, p, end)


@numba.njit(cache=True)
def over(buf: Bytes, p: int, end: int, kind: int, count: int) -> int:
    """Position after `count` values of a built-in type; a fault below 0.

    Every value takes at least one byte, so the time is linear in the bytes stepped over, and what
    is still to come at each level lies on a stack of bounded depth.
    """
    if kind not in (_DATA, _VARIANT, _DIAGNOSTIC):
        for _ in range(count):
            p = _over_leaf(buf, p, end, kind)
            if p < 0:
                return p
        return p
    kinds, left = np.empty(_DEEPEST, np.int64), np.empty(_DEEPEST, np.int64)
    kinds[0], left[0] = kind, count
    top = 0
    while top >= 0:
        kind = kinds[top]
        if left[top] == 0:
            top -= 1
            continue
        if kind == _BYTES_LEFT:
            p += left[top]
            top -= 1
            if p > end:
                return TRUNCATED
            continue
        left[top] -= 1
        if kind == _SIZES:
            if end - p < 4:
                return TRUNCATED
            n = max(_i32(buf, p), 0)
            if n > (end - p - 4) // 4:
                return TRUNCATED
            p += 4 + 4 * n
            continue
        if kind not in (_DATA, _VARIANT, _DIAGNOSTIC):
            p = _over_leaf(buf, p, end, kind)
            if p < 0:
                return p
            continue
        if p >= end:
            return TRUNCATED
        if top + 3 > _DEEPEST:
            return TOO_DEEP
        mask = _byte(buf, p)
        p += 1
        if kind == _DATA:
            top += 1
            kinds[top], left[top] = _BYTES_LEFT, _rest(mask)
            if mask & 1:
                top += 1
                kinds[top], left[top] = _VARIANT, 1
        elif kind == _DIAGNOSTIC:
            for bit in (1, 2, 8, 4):
                if mask & bit:
                    p += 4
            if mask & 0x10:
                p = _over_bytes(buf, p, end)
                if p < 0:
                    return p
            if mask & 0x20:
                p += 4
            if p > end:
                return TRUNCATED
            if mask & 0x40:
                top += 1
                kinds[top], left[top] = _DIAGNOSTIC, 1
        else:
            inner, n = mask & 0x3F, 1
            if inner > _LAST_KIND:
                return UNKNOWN_TYPE
            if mask & _ARRAY:
                if end - p < 4:
                    return TRUNCATED
                n = max(_i32(buf, p), 0)
                p += 4
            elif inner == 0:
                n = 0
            fixed = _width(inner) if inner < _DATA else 1
            if n > (end - p) // max(fixed, 1) or (inner == 0 and n):
                return TRUNCATED
            if mask & _DIMENSIONS:
                top += 1
                kinds[top], left[top] = _SIZES, 1
            top += 1
            kinds[top], left[top] = inner, n
    return p


@numba.njit(cache=True, inline="always")
def _time_us(buf: Bytes, p: int) -> int:
    """A DateTime [us since 1970]; 1601 and earlier are no time, beyond 9999 is its last second."""
    ticks = _i64(buf, p)
    return min(ticks // 10 - _EPOCH_US, _LATEST_US) if ticks > 0 else NO_TIME


@numba.njit(cache=True)
def source_time(buf: Bytes, p: int, end: int) -> int:
    """Source time of a whole DataValue [us]; `NO_TIME` when it has none."""
    mask = _byte(buf, p)
    p += 1
    if mask & 1:
        p = over(buf, p, end, _VARIANT, 1)
    if mask & 2:
        p += 4
    return _time_us(buf, p) if mask & 4 and p > 0 else NO_TIME


class Handles(NamedTuple):
    """What is known and counted by client handle; a handle is an index.

    Parameters
    ----------
    tags, scales
        Tag id (below 0: nobody asked for it) and factor.
    heard, bad, flooded
        Values, values of bad quality, values with the Overflow bit.
    last_us
        Newest source time [us].
    marks
        Hash of the last value, for reads that leave out what is unchanged.
    first_us
        First source time since this was last set to `NO_TIME` [us].
    was_us, was_value, was_mark, was_status
        Source time, value, integer or hash of a text, and status of the last value taken: the
        same once more (a new subscription repeats it) is no new value.
    """

    tags: npt.NDArray[np.int32]
    scales: npt.NDArray[np.float64]
    heard: npt.NDArray[np.int64]
    bad: npt.NDArray[np.int64]
    flooded: npt.NDArray[np.int64]
    last_us: npt.NDArray[np.int64]
    marks: npt.NDArray[np.uint64]
    first_us: npt.NDArray[np.int64]
    was_us: npt.NDArray[np.int64]
    was_value: npt.NDArray[np.float64]
    was_mark: npt.NDArray[np.int64]
    was_status: npt.NDArray[np.uint32]


class Columns(NamedTuple):
    """Where rows are written.

    Parameters
    ----------
    tag, at, server_at, seen_at, value, exact, status
        As in a sample batch; times [us].
    flag
        1 no value, 2 `exact` holds the integer.
    text_row, text_end
        Of each text its row, and its end in the bytes of all texts.
    """

    tag: npt.NDArray[np.int32]
    at: npt.NDArray[np.int64]
    server_at: npt.NDArray[np.int64]
    seen_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    exact: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint32]
    flag: npt.NDArray[np.uint8]
    text_row: npt.NDArray[np.int64]
    text_end: npt.NDArray[np.int64]


@numba.njit(cache=True, nogil=True, boundscheck=False)
def walk(
    buf: Bytes,
    p: int,
    end: int,
    count: int,
    first_handle: int,
    clock: tuple[int, int, int],
    unchanged: int,
    of: Handles,
    out: Columns,
    row: int,
    text_data: Bytes,
    texts: int,
    odd: Table,
    told: Table,
) -> int:
    """Walk over `count` values and write a row for each that has one.

    Parameters
    ----------
    buf, p, end
        Message, and where the values begin and the message ends.
    count
        Values announced.
    first_handle
        0: each value is preceded by its client handle (notifications). Else they have the handles
        `first_handle`, `first_handle` + 1, … (read results).
    clock
        `BY_SOURCE`, `BY_SERVER` or `BY_RECEIPT`; park now and wall now [us].
    unchanged
        1: leave out values whose bytes up to the source time are those of the last one.
    of
        Handles; their counts are brought up to date.
    out, row
        Columns, and their first free row; they have room for `count` more.
    text_data, texts
        Bytes of the texts so far, with room for as many as the message has, and how many texts
        there are.
    odd
        Table (count, ODD_WIDTH) of values Python has to look at.
    told
        Result: position after the values, rows written, odd values, unknown handles, overflows,
        newest source time, values left out as unchanged, texts there are now.

    Returns
    -------
    int
        0, or a fault below 0; the rows written before it are not to count.
    """
    policy, now_us, seen_us = clock
    known = len(of.tags)
    start_row, odds, texts_now = row, 0, texts
    told[UNKNOWN] = told[OVERFLOWS] = told[SAME] = 0
    newest = NO_TIME
    fault = 0
    handle = first_handle - 1
    for _ in range(count):
        if first_handle == 0:
            if end - p < 5:
                fault = TRUNCATED
                break
            handle = _u32(buf, p)
            p += 4
        else:
            if p >= end:
                fault = TRUNCATED
                break
            handle += 1
        begin = p
        mask = _byte(buf, p)
        p += 1
        # --- the value ---
        kind, value, exact, flag, n_array = 0, 0.0, 0, 1, -1
        value_at = p
        if mask & 1:
            if p >= end:
                fault = TRUNCATED
                break
            head = _byte(buf, p)
            kind = head & 0x3F
            if kind > _LAST_KIND:
                fault = UNKNOWN_TYPE
                break
            size = 0
            if head & (_ARRAY | _DIMENSIONS) == 0 and 0 < kind < _DATA:
                size = _width(kind)
            if size and end - p <= size:
                fault = TRUNCATED
                break
            v = p + 1
            value_at = v
            p = v + size
            if head & (_ARRAY | _DIMENSIONS):
                n_array = max(_i32(buf, v), 0) if head & _ARRAY and end - v >= 4 else 0
                p = over(buf, v - 1, end, _VARIANT, 1)
                if p < 0:
                    fault = p
                    break
            elif kind == _DOUBLE:
                value, flag = _f64(_i64(buf, v)), 0
            elif kind == _FLOAT:
                value, flag = float(_f32(_u32(buf, v))), 0
            elif kind == _BOOLEAN:
                value, flag = (1.0 if buf[v] else 0.0), 0
            elif kind == _INT32:
                value, flag = float(_i32(buf, v)), 0
            elif kind in (_UINT32, _STATUS):
                value, flag = float(_u32(buf, v)), 0
            elif kind == _INT16:
                value, flag = float(_signed(_u16(buf, v), 16)), 0
            elif kind == _UINT16:
                value, flag = float(_u16(buf, v)), 0
            elif kind == _BYTE:
                value, flag = float(buf[v]), 0
            elif kind == _SBYTE:
                value, flag = float(_signed(_byte(buf, v), 8)), 0
            elif kind == _INT64:
                exact = _i64(buf, v)
                value, flag = float(exact), 0
                if exact > _EXACT or exact < -_EXACT:
                    flag = 2
            elif kind == _UINT64:
                exact = _i64(buf, v)
                value, flag = float(np.uint64(exact)), 0
                if exact > _EXACT or exact < 0:
                    flag = 2
            elif kind and not size:
                p = over(buf, v, end, kind, 1)
                if p < 0:
                    fault = p
                    break
        value_end = p
        # --- status and times ---
        status, source_us, server_us = 0, NO_TIME, NO_TIME
        if end - p < _rest(mask):
            fault = TRUNCATED
            break
        if mask & 2:
            status = _u32(buf, p)
            p += 4
        if mask & 4:
            source_us = _time_us(buf, p)
            p += 8
        own_end = p
        if mask & 16:
            p += 2
        if mask & 8:
            server_us = _time_us(buf, p)
            p += 8
        if mask & 32:
            p += 2
        # --- whose it is ---
        if handle >= known or of.tags[handle] < 0:
            told[UNKNOWN] += 1
            continue
        if source_us > newest:
            newest = source_us
        if unchanged:
            mark = np.uint64(_FNV_START)
            for q in range(begin, own_end):
                mark = (mark ^ np.uint64(buf[q])) * np.uint64(_FNV)
            if of.marks[handle] == mark and of.heard[handle]:
                told[SAME] += 1
                continue
            of.marks[handle] = mark
        of.heard[handle] += 1
        if of.first_us[handle] == NO_TIME:
            of.first_us[handle] = source_us
        mark_now = exact
        if flag == 1 and value_end > value_at:
            hashed = np.uint64(_FNV_START)
            for q in range(value_at, value_end):
                hashed = (hashed ^ np.uint64(buf[q])) * np.uint64(_FNV)
            mark_now = int(np.int64(hashed))
        if source_us != NO_TIME and of.was_us[handle] == source_us:
            same = of.was_value[handle] == value or (
                value != value and of.was_value[handle] != of.was_value[handle]
            )
            if same and of.was_mark[handle] == mark_now and of.was_status[handle] == status:
                told[SAME] += 1
                continue
        of.was_us[handle], of.was_value[handle] = source_us, value
        of.was_mark[handle], of.was_status[handle] = mark_now, status
        if source_us > of.last_us[handle]:
            of.last_us[handle] = source_us
        if status & _OVERFLOW == _OVERFLOW:
            told[OVERFLOWS] += 1
            of.flooded[handle] += 1
        if status >= 2 * _UNCERTAIN:
            of.bad[handle] += 1
        # --- the row ---
        scale = of.scales[handle]
        plain = kind == 0 or (kind == _STRING and value_end - value_at <= TEXT_LIMIT + 4)
        if n_array >= 0 or (flag == 1 and not plain) or (kind == _UINT64 and exact < 0):
            odd[odds, ODD_ROW] = row
            odd[odds, ODD_HANDLE] = handle
            odd[odds, ODD_KIND] = kind
            odd[odds, ODD_START] = value_at
            odd[odds, ODD_STOP] = value_end
            odd[odds, ODD_COUNT] = n_array
            odds += 1
            worded = kind in (_TIME, _GUID, _UINT64, _NODE, _FAR_NODE, _NAME, _LOCAL)
            if n_array >= 0 or not worded or value_end - value_at > TEXT_LIMIT + 16:
                # No row: the node is listed with its reason.
                odd[odds - 1, ODD_ROW] = -1
                continue
        elif kind == _STRING and _i32(buf, value_at) >= 0:
            to = int(out.text_end[texts_now - 1]) if texts_now else 0
            for q in range(value_at + 4, value_end):
                text_data[to] = buf[q]
                to += 1
            out.text_row[texts_now], out.text_end[texts_now] = row, to
            texts_now += 1
        if flag == 2 and (scale != 1.0 or (kind == _UINT64 and exact < 0)):
            flag = 0
        value *= of.scales[handle]
        # NaN and infinity are the only floats for which x - x is not 0; the scale may make one.
        if value - value != 0.0 and status < _UNCERTAIN:
            status = _UNCERTAIN | (status & 0xFFFF)
        original = server_us if source_us == NO_TIME else source_us
        at, other = now_us, original
        if policy == BY_SOURCE:
            at = now_us if original == NO_TIME else original
            other = server_us
        elif policy == BY_SERVER and original != NO_TIME:
            at = original if server_us == NO_TIME else server_us
        out.tag[row] = of.tags[handle]
        out.at[row] = at
        out.server_at[row] = other
        out.seen_at[row] = seen_us
        out.value[row] = value
        out.exact[row] = exact
        out.status[row] = status
        out.flag[row] = flag
        row += 1
    told[END] = p
    told[ROWS] = row - start_row
    told[TEXTS] = texts_now
    told[ODDS] = odds
    told[NEWEST] = newest
    return fault
