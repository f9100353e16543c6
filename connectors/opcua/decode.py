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
"""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from connectors.clock import ParkClock, wall_us
from connectors.opcua.config import Item
from connectors.opcua.rows import NO_TIME, Rows
from twin.status import UNCERTAIN

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME: Final = datetime(1601, 1, 1, tzinfo=UTC)
_EXACT_LIMIT: Final = 2**53
_INT64_LIMIT: Final = 2**63
_TEXT_LIMIT: Final = 65_536
_OVERFLOW_BITS: Final = 0x480
_INFO_BITS: Final = 0xFFFF


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
        self._rows, self._policy = rows, time_policy
        self._park_now, self._publishing_us = park_now, publishing_us
        self._targets: dict[int, tuple[int, float, str]] = {}
        self.taken = 0
        """Values stored."""
        self.overflows = 0
        """Values with the Overflow bit: the server dropped values before them."""
        self.unknown = 0
        """Values with a handle nobody asked for."""
        self.unsupported: dict[str, str] = {}
        """Node → why its values are not stored."""
        self.heard: set[int] = set()
        """Handles that sent a value."""
        self.newest_us: int | None = None
        """Newest source time ever seen [us]."""

    def bind(self, handle: int, item: Item) -> None:
        """Say what a client handle stands for."""
        self._targets[handle] = (item.tag, item.scale, item.node)

    def unbind_all(self) -> None:
        """Forget all handles: the session is over."""
        self._targets.clear()
        self.heard.clear()

    def take(self, values: Iterable[tuple[int, ua.DataValue]], count: int) -> int | None:
        """Append the values of one message.

        Parameters
        ----------
        values
            Client handle and value.
        count
            How many there are.

        Returns
        -------
        int | None
            Newest source time of the message [us].
        """
        rows, now_us, seen_us = self._rows, self._park_now(), wall_us()
        if count > rows.room:
            rows.dropped.add(count, now_us)
            return None
        first, newest = len(rows), None
        targets, heard, policy = self._targets, self.heard, self._policy
        tags, ats, servers = rows.tag.append, rows.at.append, rows.server_at.append
        stored, statuses = rows.value.append, rows.status.append
        for handle, data in values:
            target = targets.get(handle)
            if target is None:
                self.unknown += 1
                continue
            tag, scale, node = target
            code = data.StatusCode
            status = 0 if code is None else int(code.value)
            raw: Any = data.Value.Value if data.Value is not None else None
            kind = type(raw)
            if kind is float:
                value: float = raw if scale == 1.0 else raw * scale
                # NaN and infinity are the only floats for which x - x is not 0; the scale may
                # make one of a finite value.
                if value - value != 0.0 and status < UNCERTAIN:
                    status = UNCERTAIN | (status & _INFO_BITS)
            elif kind is bool:
                value = (1.0 if raw else 0.0) * scale
            elif kind is int and -_EXACT_LIMIT <= raw <= _EXACT_LIMIT:
                value = raw * scale
            elif raw is None:
                value = math.nan
                rows.null.add(len(rows))
            else:
                other = self._unusual(raw, scale, len(rows), node)
                if other is None:
                    continue
                value = other
            if status & _OVERFLOW_BITS == _OVERFLOW_BITS:
                self.overflows += 1
            source: datetime | None = data.SourceTimestamp
            server: datetime | None = data.ServerTimestamp
            source_us = server_us = NO_TIME
            if source is not None and source > _NO_TIME:
                since = source - _EPOCH
                source_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
                if newest is None or source_us > newest:
                    newest = source_us
            if server is not None and server > _NO_TIME:
                since = server - _EPOCH
                server_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            tags(tag)
            stored(value)
            statuses(status)
            heard.add(handle)
            original = server_us if source_us == NO_TIME else source_us
            if policy == "source":
                ats(now_us if original == NO_TIME else original)
                servers(server_us)
            elif policy == "server" and original != NO_TIME:
                ats(original if server_us == NO_TIME else server_us)
                servers(original)
            else:
                ats(now_us)
                servers(original)
        added = len(rows) - first
        rows.seen_at.extend([seen_us] * added)
        self.taken += added
        if policy == "receive" and added > 1:
            self._spread(first, now_us)
        if newest is not None and (self.newest_us is None or newest > self.newest_us):
            self.newest_us = newest
        return newest

    def _unusual(self, raw: object, scale: float, row: int, node: str) -> float | None:
        """Value column of a rarer type, the other columns filled in; None when it has no place."""
        if isinstance(raw, bool | int | float):
            number = int(raw)
            if abs(number) <= _EXACT_LIMIT:
                return float(raw) * scale
            if scale == 1.0:
                if -_INT64_LIMIT <= number < _INT64_LIMIT:
                    self._rows.exact[row] = number
                else:
                    self._rows.text[row] = str(number)
            return float(number) * scale
        if isinstance(raw, ua.StatusCode):
            return float(raw.value)
        text = _text(raw)
        if text is None:
            self.unsupported[node] = _reason(raw)
            return None
        if len(text) > _TEXT_LIMIT:
            self.unsupported[node] = f"a text of {len(text)} characters is too long"
            return None
        self._rows.text[row] = text
        self._rows.null.add(row)
        return math.nan

    def _spread(self, first: int, now_us: int) -> None:
        """Give values of one message that came together the distances they were taken at.

        Rows that would still coincide are one microsecond apart, in the order of the message.
        """
        rows = self._rows
        own = [us for us in rows.server_at[first:] if us != NO_TIME]
        newest, last = max(own, default=now_us), len(rows) - 1
        for i in range(first, len(rows)):
            stamp = rows.server_at[i]
            back = 0 if stamp == NO_TIME else min(newest - stamp, self._publishing_us)
            rows.at[i] = now_us - back - (last - i)


def _text(raw: object) -> str | None:
    """Text of a scalar that is kept as text; None when it is not one."""
    match raw:
        case str():
            text = raw
        case ua.LocalizedText():
            text = raw.Text or ""
        case ua.QualifiedName():
            text = raw.Name or ""
        case datetime():
            text = raw.isoformat()
        case ua.NodeId():
            text = raw.to_string()
        case _ if type(raw).__name__ == "UUID":
            text = str(raw)
        case _:
            return None
    if text.isascii():
        return text
    # A server may send bytes that are no UTF-8; they arrive as lone surrogates.
    return text.encode("utf-8", "replace").decode("utf-8")


def _reason(raw: object) -> str:
    if isinstance(raw, list | tuple):
        return f"an array of {len(raw)} is not supported: map an element that is a scalar"
    if isinstance(raw, bytes):
        return "a ByteString is not supported"
    return f"a structure ({type(raw).__name__}) is not supported: map its fields"
