"""Values of notifications and read results → rows.

=======================  =======================================================================
at the server            in the row
=======================  =======================================================================
numbers, booleans        `value` (booleans 0/1), times the tag's scale
enumerations             their code in `value`
integers beyond 2^53     nearest float in `value`, the integer in `exact` (scale 1 only); one
                         beyond int64 has its decimal digits in `text`
String, LocalizedText,   `text`; `value` null
Guid, DateTime, NodeId
no value (null)          `value` null, as the status is bad then
NaN, infinity            kept as it is; a good status becomes Uncertain, so that it is never
                         averaged as good
arrays, structures, …    no row; the node is listed with its reason
=======================  =======================================================================

The StatusCode is otherwise untouched. `at` follows the time policy of the endpoint: ``source`` and
``server`` take that timestamp, else the other, else park now; ``receive`` takes park now at
arrival, values of one message spread by their own time differences (at most one publishing
interval). Where `at` is not the source's own time, `server_at` keeps the source's. A timestamp of
1601-01-01 is OPC UA's "no time".

Numbers never become Python objects: the compiled walk of `connectors.opcua.kernel` writes them from
the message into the columns. Texts and identifiers, which it cannot, are made here one by one.
"""

import gc
import struct
import threading
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_to_binary, variant_from_binary

from connectors.clock import ParkClock, wall_us
from connectors.opcua import kernel
from connectors.opcua.config import Item
from connectors.opcua.kernel import NO_TIME, ODD_WIDTH, Bytes, Handles
from connectors.opcua.rows import Rows
from connectors.opcua.wire import as_bytes, malformed

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_POLICIES: Final = {
    "source": kernel.BY_SOURCE,
    "server": kernel.BY_SERVER,
    "receive": kernel.BY_RECEIPT,
}
_UINT64, _STRING, _TIME, _GUID, _BYTE_STRING, _STRUCTURE = 9, 12, 13, 14, 15, 22
_LARGEST_STRUCTURE: Final = 65_536
_HANDLE: Final = struct.Struct("<I")
_OF_THE_PRESENT: Final = ("last_us", "first_us", "was_us", "was_value", "was_mark", "was_status")
"""What old values must not overwrite."""


class Present(NamedTuple):
    """Counts and last source times by handle, at one moment."""

    heard: npt.NDArray[np.int64]
    flooded: npt.NDArray[np.int64]
    was_us: npt.NDArray[np.int64]


class Decoder:
    """Appends the values of messages to a buffer, and counts what it met on the way.

    Parameters
    ----------
    rows
        Buffer; what finds no room is dropped and counted there.
    time_policy
        ``source``, ``server`` or ``receive``.
    park_now
        Park clock.
    publishing_us
        Publishing interval [us].
    """

    def __init__(
        self, rows: Rows, time_policy: str, park_now: ParkClock, publishing_us: int
    ) -> None:
        self._rows, self._policy = rows, _POLICIES[time_policy]
        self._park_now = park_now
        self.spread_us = publishing_us
        """Values of one message may lie apart by this much at most, by receive time [us]."""
        self._items: dict[int, Item] = {}
        self._handles = _handles(0)
        self._told = np.zeros(kernel.TOLD, np.int64)
        self._odd = np.empty((64, ODD_WIDTH), np.int64)
        self.taken = 0
        """Values stored."""
        self.overflows = 0
        """Values with the Overflow bit: the server dropped values before them."""
        self.unknown = 0
        """Values with a handle nobody asked for."""
        self.unsupported: dict[str, str] = {}
        """Node → why its values are not stored."""
        self.history_us = NO_TIME
        """Newest source time of the last piece of history [us]."""
        self.newest_us: int | None = None
        """Newest source time ever seen [us]."""

    # --- handles ---

    def bind(self, handle: int, item: Item) -> None:
        """Say what a client handle stands for; handles are small numbers from 1."""
        self._items[handle] = item
        if handle >= len(self._handles.tags):
            size = max(handle + 1, 2 * len(self._handles.tags))
            self._handles = _handles(size, self._handles)
        self._handles.tags[handle], self._handles.scales[handle] = item.tag, item.scale

    def unbind_all(self) -> None:
        """Forget all handles."""
        self._items.clear()
        self._handles = _handles(0)

    def present(self) -> Present:
        """Where every handle stands now; first source times are noted anew from here on."""
        of = self._handles
        of.first_us[:] = NO_TIME
        return Present(of.heard.copy(), of.flooded.copy(), of.was_us.copy())

    def since(self, then: Present, handle: int) -> tuple[int, int, int, int]:
        """Of a handle since then: values, overflowed ones, last time before, first time since.

        Times [us]; `NO_TIME` when there is none.
        """
        of, known = self._handles, handle < len(then.heard)
        return (
            int(of.heard[handle] - (then.heard[handle] if known else 0)),
            int(of.flooded[handle] - (then.flooded[handle] if known else 0)),
            int(then.was_us[handle]) if known else NO_TIME,
            int(of.first_us[handle]),
        )

    @property
    def delivering(self) -> int:
        """Handles that sent a value since they were bound."""
        return int(np.count_nonzero(self._handles.heard))

    def newest_values(self, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Newest value of handles 1 to `count`, and marks that differ where their texts do."""
        of = self._handles
        return of.was_value[1 : count + 1], of.was_mark[1 : count + 1]

    @property
    def bad(self) -> int:
        """Values with a bad status."""
        return int(self._handles.bad.sum())

    def counts(self, handle: int) -> tuple[int, int, int, int | None]:
        """Of a handle: values, bad ones, overflowed ones, and its newest source time [us]."""
        of = self._handles
        last = int(of.last_us[handle])
        return (
            int(of.heard[handle]), int(of.bad[handle]), int(of.flooded[handle]),
            None if last == NO_TIME else last,
        )  # fmt: skip

    # --- messages ---

    def take_notified(self, buf: Bytes, start: int, stop: int, count: int) -> int | None:
        """Append the values of one DataChangeNotification.

        Parameters
        ----------
        buf, start, stop
            Message, and where the MonitoredItemNotifications lie in it [bytes].
        count
            How many there are.

        Returns
        -------
        int | None
            Newest source time of the message [us].

        Raises
        ------
        Malformed
            When the bytes are none; no value of the message counts then.
        """
        return self._walk(buf, start, stop, count, 0, unchanged=False)

    def take_read(
        self, buf: Bytes, start: int, stop: int, count: int, first: int, *, unchanged: bool = True
    ) -> int | None:
        """Append the values of a read: those of handles `first`, `first` + 1, and so on.

        Parameters
        ----------
        buf, start, stop, count
            As in `take_notified`.
        first
            Handle of the first value.
        unchanged
            Leave out values that are as they were at the last read: in value, status, source time.

        Returns
        -------
        int | None
            Newest source time [us].

        Raises
        ------
        Malformed
            When the bytes are none.
        """
        return self._walk(buf, start, stop, count, first, unchanged=unchanged)

    def take_history(
        self, buf: Bytes, start: int, stop: int, count: int, handle: int,
        *, after_us: int = NO_TIME, before_us: int = kernel.END_OF_TIME, ahead_us: int = 0,
    ) -> int:  # fmt: skip
        """Append old values of one handle; returns how many became rows.

        Parameters
        ----------
        buf, start, stop, count
            As in `take_notified`.
        handle
            Whose they are.
        after_us, before_us
            Only values whose source time lies between these are taken [us].
        ahead_us
            How far the source's clock is ahead of ours: by receive time, values are placed where
            they would have been received [us].

        Raises
        ------
        Malformed
            When the bytes are none.
        """
        before, self.history_us, first = self.taken, NO_TIME, len(self._rows)
        values, of = struct.pack("<I", handle), self._handles
        p = start
        # History has no handles between its values: they are put in, and the walk stays one.
        pieces = []
        for _ in range(count):
            q = int(kernel.over(buf, p, stop, 23, 1))
            if q < 0:
                raise malformed(f"byte {p}", q)
            at = int(kernel.source_time(buf, p, q))
            self.history_us = max(at, self.history_us)
            if after_us < at < before_us:
                pieces += [values, buf[p:q].tobytes()]
            p = q
        newest = self.newest_us
        present = [getattr(of, name)[handle] for name in _OF_THE_PRESENT]
        joined = as_bytes(b"".join(pieces))
        self._walk(joined, 0, len(joined), len(pieces) // 2, 0, unchanged=False)
        if self._policy == kernel.BY_RECEIPT:
            placed, own = (
                column[first : len(self._rows)]
                for column in (self._rows.columns.at, self._rows.columns.server_at)
            )
            placed[:] = np.where(own == NO_TIME, placed, own - ahead_us)
        self.newest_us = newest
        for name, value in zip(_OF_THE_PRESENT, present, strict=True):
            getattr(of, name)[handle] = value
        return self.taken - before

    def take(self, values: Iterable[tuple[int, ua.DataValue]]) -> int | None:
        """Append values that are objects already (a few); returns their newest source time [us]."""
        pairs = [(_HANDLE.pack(handle), struct_to_binary(value)) for handle, value in values]
        joined = as_bytes(b"".join(part for pair in pairs for part in pair))
        return self._walk(joined, 0, len(joined), len(pairs), 0, unchanged=False)

    def _walk(
        self, buf: Bytes, start: int, stop: int, count: int, first: int, *, unchanged: bool
    ) -> int | None:
        rows, now_us = self._rows, self._park_now()
        if count > stop - start:
            raise malformed(f"byte {start}")
        if count > rows.room and len(rows):
            rows.dropped.add(count, now_us)
            return None
        rows.reserve(count, stop - start)
        if len(self._odd) < count:
            self._odd = np.empty((count, ODD_WIDTH), np.int64)
        before, told = len(rows), self._told
        fault = kernel.walk(
            buf, start, stop, count, first, (self._policy, now_us, wall_us()), int(unchanged),
            self._handles, rows.columns, before, rows.text_data, rows.texts, self._odd, told,
        )  # fmt: skip
        if fault < 0:
            raise malformed(f"value {int(told[kernel.ROWS])} of {count}", int(fault))
        added = int(told[kernel.ROWS])
        rows.wrote(added, int(told[kernel.TEXTS]))
        if told[kernel.ODDS]:
            self._odds(buf, int(told[kernel.ODDS]))
        self.taken += added
        self.unknown += int(told[kernel.UNKNOWN])
        self.overflows += int(told[kernel.OVERFLOWS])
        if self._policy == kernel.BY_RECEIPT and added > 1:
            self._spread(before, now_us)
        newest = int(told[kernel.NEWEST])
        if newest == NO_TIME:
            return None
        if self.newest_us is None or newest > self.newest_us:
            self.newest_us = newest
        return newest

    # --- what is not a number ---

    def _odds(self, buf: Bytes, count: int) -> None:
        raw = buf.data
        for row, handle, kind, start, stop, members in self._odd[:count].tolist():
            if row < 0:
                self._unsupported(self._items[handle].node, kind, raw[start:stop], members)
            elif kind == _UINT64:
                # The walk has put the nearest float; its digits have a place only unscaled.
                if self._items[handle].scale == 1.0:
                    digits = str(int.from_bytes(raw[start:stop], "little"))
                    self._rows.put_text(row, digits.encode())
            elif (text := _text(kind, raw[start:stop])) is not None:
                self._rows.put_text(row, text)

    def _unsupported(self, node: str, kind: int, raw: memoryview, members: int) -> None:
        """List a node with its reason; looked at once, as a node rarely changes its type."""
        if members >= 0:
            reason = f"an array of {members} is not supported: map an element that is a scalar"
        elif kind == _BYTE_STRING:
            reason = "a ByteString is not supported"
        elif kind == _STRING:
            reason = f"a text of {len(raw) - 4} characters is too long"
        elif self.unsupported.get(node, "").startswith("a structure"):
            return
        else:
            reason = f"a structure ({_type_name(kind, raw)}) is not supported: map its fields"
        self.unsupported[node] = reason

    def _spread(self, first: int, now_us: int) -> None:
        """Give values of one message that came together the distances they were taken at.

        Rows that would still coincide are one microsecond apart, in the order of the message.
        """
        n = len(self._rows) - first
        columns = self._rows.columns
        own = columns.server_at[first : first + n]
        timed = own != NO_TIME
        newest = int(own[timed].max()) if timed.any() else now_us
        back = np.where(timed, np.minimum(newest - np.where(timed, own, newest), self.spread_us), 0)
        columns.at[first : first + n] = now_us - back - np.arange(n - 1, -1, -1)


_warming: Final = threading.Lock()
_warmed: Final[list[bool]] = []


def warm() -> None:
    """Load the compiled walk, once in a process, and wait for it: the first time takes seconds.

    What is loaded by then lives as long as the process. The collector need not walk it ever again:
    that takes a tenth of a second, in which no message is taken.
    """
    with _warming:
        if _warmed:
            return
        rows = Rows()
        decoder = Decoder(rows, "source", wall_us, 0)
        decoder.bind(1, Item(tag=1, namespace="", identifier="i=1"))
        value = as_bytes(struct_to_binary(ua.DataValue(ua.Variant(1.0))))
        # First what history needs besides: the walk itself is the last to be compiled.
        decoder.take_history(value, 0, len(value), 1, 1)
        decoder.take([(1, ua.DataValue(ua.Variant(1.0)))])
        decoder.take([(1, ua.DataValue(ua.Variant("text")))])
        rows.drain()
        gc.collect()
        gc.freeze()
        _warmed.append(True)


def _handles(size: int, old: Handles | None = None) -> Handles:
    """A table of handles that nobody asked for yet; the first ones as they were in another."""
    made = Handles(
        tags=np.full(size, -1, np.int32),
        scales=np.ones(size),
        heard=np.zeros(size, np.int64),
        bad=np.zeros(size, np.int64),
        flooded=np.zeros(size, np.int64),
        last_us=np.full(size, NO_TIME, np.int64),
        marks=np.zeros(size, np.uint64),
        first_us=np.full(size, NO_TIME, np.int64),
        was_us=np.full(size, NO_TIME, np.int64),
        was_value=np.zeros(size),
        was_mark=np.zeros(size, np.int64),
        was_status=np.zeros(size, np.uint32),
    )
    if old is not None:
        for name in Handles._fields:
            getattr(made, name)[: len(old.tags)] = getattr(old, name)
    return made


def _text(kind: int, raw: memoryview) -> bytes | None:
    """Text of a scalar that is kept as text (UTF-8); None when it is null."""
    if kind == _TIME:
        return _iso(int.from_bytes(raw, "little", signed=True)).encode()
    if kind == _GUID:
        return str(uuid.UUID(bytes_le=bytes(raw))).encode()
    return _stock_text(kind, raw)


def _iso(ticks: int) -> str:
    """ISO 8601 of a DateTime; out of the years 1601 to 9999 the nearest that is in."""
    us = min(max(ticks, 0) // 10 - 11_644_473_600_000_000, 253_402_300_799_999_999)
    return (_EPOCH + timedelta(microseconds=us)).isoformat()


def _stock_text(kind: int, raw: memoryview) -> bytes | None:
    """Text of a rarer scalar, by asyncua's own decoder."""
    value = _stock(kind, raw)
    match value:
        case ua.LocalizedText():
            text: str | None = value.Text
        case ua.QualifiedName():
            text = value.Name
        case ua.NodeId():
            text = value.to_string()
        case _:
            return None
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _stock(kind: int, raw: memoryview) -> object:
    try:
        return variant_from_binary(Buffer(bytes((kind,)) + bytes(raw))).Value
    except Exception as fault:  # what its decoder raises on foreign bytes is of every kind
        raise malformed(f"{ua.VariantType(kind).name}: {fault}") from fault


def _type_name(kind: int, raw: memoryview) -> str:
    name = ua.VariantType(kind).name if kind <= 25 else f"type {kind}"
    if kind != _STRUCTURE or len(raw) > _LARGEST_STRUCTURE:
        return name
    return type(_stock(kind, raw)).__name__
