"""Encoded DataValues, made once; per tick only the bytes that change are patched in place.

A DataValue here is: mask, [type, value], [status], source time, server time (OPC UA Part 6,
5.2.2.17); in a notification it is preceded by its client handle.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.load.values import (
    PER_NODE,
    TEXT_BYTES,
    TEXT_TICK_AT,
    Ints,
    Kind,
    booleans,
    doubles,
    floats,
    ints,
    text_of,
)

EPOCH_TICKS: Final = 116_444_736_000_000_000
"""100 ns from 1601 to 1970."""
GOOD_OVERFLOW: Final = 0x480
"""Good, with the bit that says values before this one were dropped."""
_VALUE_BYTES: Final = {
    Kind.BOOLEAN: 1,
    Kind.INT32: 4,
    Kind.FLOAT: 4,
    Kind.DOUBLE: 8,
    Kind.STRING: 4 + TEXT_BYTES,
}
_PLAIN, _WITH_STATUS = 0x0D, 0x0F
_Compute = Callable[[Ints, int], npt.NDArray[np.generic]]
_NUMBERS: Final[dict[Kind, tuple[str, _Compute]]] = {
    Kind.BOOLEAN: ("u1", booleans),
    Kind.INT32: ("<i4", ints),
    Kind.FLOAT: ("<f4", floats),
    Kind.DOUBLE: ("<f8", doubles),
}


def ua_time(us: int) -> int:
    """A time [us since 1970] as OPC UA writes it [100 ns since 1601]."""
    return us * 10 + EPOCH_TICKS


class Field:
    """The same field of many values in one buffer.

    Parameters
    ----------
    data
        Bytes.
    offsets
        Where the field begins in each value.
    form
        Its numpy type.
    """

    def __init__(self, data: npt.NDArray[np.uint8], offsets: Ints, form: str) -> None:
        kind = np.dtype(form)
        steps = np.unique(np.diff(offsets))
        if len(offsets) and len(steps) <= 1:
            step = int(steps[0]) if len(steps) else kind.itemsize
            self._view: npt.NDArray[np.generic] = np.ndarray(
                (len(offsets),), kind, data.data, int(offsets[0]), (step,)
            )
            self._where: slice | Ints = slice(None)
        else:
            # Every byte of the buffer begins an overlapping window; only some are written.
            room = max(len(data) - kind.itemsize + 1, 0)
            self._view = np.ndarray((room,), kind, data.data, 0, (1,))
            self._where = offsets

    def put(self, values: npt.ArrayLike) -> None:
        """Write one value for all, or one for each."""
        self._view[self._where] = values


class Block:
    """DataValues of some nodes at one tick, as bytes.

    Parameters
    ----------
    nodes, kinds
        Numbers and types of the nodes.
    handles
        Client handles; None in a read result, which has none.
    overflow
        Every value has the Overflow bit.
    """

    def __init__(
        self, nodes: Ints, kinds: Ints, handles: Ints | None, *, overflow: bool = False
    ) -> None:
        self.nodes, self.kinds, self.handles = nodes, kinds, handles
        before = 0 if handles is None else 4
        status = 4 if overflow else 0
        widths = np.zeros(256, np.int64)
        for kind, width in _VALUE_BYTES.items():
            widths[kind] = width
        value_bytes = widths[kinds]
        sizes = before + 2 + value_bytes + status + 16
        ends = np.cumsum(sizes)
        begins = ends - sizes
        self.data = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
        if handles is not None:
            Field(self.data, begins, "<u4").put(handles)
        Field(self.data, begins + before, "u1").put(_WITH_STATUS if overflow else _PLAIN)
        Field(self.data, begins + before + 1, "u1").put(kinds)
        values_at = begins + before + 2
        after = values_at + value_bytes
        if overflow:
            Field(self.data, after, "<u4").put(GOOD_OVERFLOW)
        self._source = Field(self.data, after + status, "<i8")
        self._server = Field(self.data, after + status + 8, "<i8")
        self._numbers: list[tuple[Field, Ints, _Compute]] = []
        for kind, (form, compute) in _NUMBERS.items():
            chosen = kinds == kind
            if chosen.any():
                field = Field(self.data, values_at[chosen], form)
                self._numbers.append((field, nodes[chosen], compute))
        self._texts = self._write_texts(values_at)

    def _write_texts(self, values_at: Ints) -> Field | None:
        """Write every text but for its tick; returns where the ticks go."""
        chosen = self.kinds == Kind.STRING
        if not chosen.any():
            return None
        at = values_at[chosen]
        Field(self.data, at, "<i4").put(TEXT_BYTES)
        texts = np.array([text_of(int(n), 0).encode() for n in self.nodes[chosen]])
        Field(self.data, at + 4, f"S{TEXT_BYTES}").put(texts)
        return Field(self.data, at + 4 + TEXT_TICK_AT, "S8")

    def __len__(self) -> int:
        return len(self.nodes)

    def at(self, tick: int, source_us: int, server_us: int) -> memoryview:
        """The bytes at a tick; they change with the next call."""
        for field, nodes, compute in self._numbers:
            field.put(compute(nodes, tick))
        if self._texts is not None:
            self._texts.put(f"{tick % PER_NODE:08d}".encode())
        self._source.put(ua_time(source_us))
        self._server.put(ua_time(server_us))
        return self.data.data
