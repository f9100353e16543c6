"""A bounded columnar buffer between a decoder and the batches of the gateway."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from connectors.opcua.kernel import NO_TIME, Columns
from twin.samples import SAMPLES, TIME, Origin

__all__ = ["NO_TIME", "Dropped", "Rows"]

NO_VALUE: Final = 1
EXACT: Final = 2
_FIRST: Final = 1024


@dataclass(slots=True)
class Dropped:
    """Rows that found no place: how many, and the time they span [us]."""

    count: int = 0
    from_us: int = 0
    to_us: int = 0

    def add(self, count: int, at_us: int) -> None:
        """Count rows dropped at a park time."""
        if not self.count:
            self.from_us = at_us
        self.count += count
        self.to_us = at_us


class Rows:
    """Columns a decoder writes into, handed over as one Arrow batch per drain.

    Parameters
    ----------
    limit
        Rows kept at most; the rest is dropped and counted in `dropped`.

    Attributes
    ----------
    columns
        Columns, of which the first ``len(rows)`` count; texts, in any order of rows, of which the
        first `texts` count. A missing time is `NO_TIME`.
    text_data
        Bytes of the texts.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self.limit = limit
        self.dropped = Dropped()
        self._n = 0
        self.texts = 0
        """Texts there are."""
        self.text_data = np.empty(_FIRST, np.uint8)
        self.columns = _columns(min(_FIRST, limit))

    def __len__(self) -> int:
        return self._n

    @property
    def room(self) -> int:
        """Rows that still find a place."""
        return self.limit - self._n

    def reserve(self, count: int, text_bytes: int) -> None:
        """Make room for `count` rows more, which must not exceed `room`, and for their texts."""
        have, need = len(self.columns.tag), self._n + count
        if need > have:
            size = max(need, min(2 * have, self.limit))
            longer = _columns(size)
            _copy(self.columns, longer, have)
            self.columns = longer
        used = self._text_bytes()
        if used + text_bytes > len(self.text_data):
            data = np.empty(2 * (used + text_bytes), np.uint8)
            data[:used] = self.text_data[:used]
            self.text_data = data

    def _text_bytes(self) -> int:
        return int(self.columns.text_end[self.texts - 1]) if self.texts else 0

    def wrote(self, rows: int, texts: int) -> None:
        """Count rows written behind the last one, and the texts there are now."""
        self._n += rows
        self.texts = texts

    def put_text(self, row: int, text: bytes) -> None:
        """Give a row its text (UTF-8)."""
        self.reserve(0, len(text))
        start = self._text_bytes()
        self.text_data[start : start + len(text)] = np.frombuffer(text, np.uint8)
        self.columns.text_row[self.texts] = row
        self.columns.text_end[self.texts] = start + len(text)
        self.texts += 1

    def put(
        self,
        *,
        tag: int,
        at_us: int,
        server_us: int,
        seen_us: int,
        value: float | None,
        text: bytes,
        status: int = 0,
    ) -> None:
        """Append one row with a text (UTF-8); there must be room for it.

        Times in microseconds; `server_us` may be `NO_TIME`.
        """
        self.reserve(1, len(text))
        of, n = self.columns, self._n
        of.tag[n], of.status[n] = tag, status
        of.at[n], of.server_at[n], of.seen_at[n] = at_us, server_us, seen_us
        of.value[n], of.exact[n] = np.nan if value is None else value, 0
        of.flag[n] = NO_VALUE if value is None else 0
        self.put_text(n, text)
        self.wrote(1, self.texts)

    def drain(self) -> pa.RecordBatch:
        """Everything as one sample batch; the buffer is empty afterwards."""
        n = self._n
        of = self.columns
        server_at, flag = of.server_at[:n].copy(), of.flag[:n]
        batch = pa.record_batch(
            [
                pa.array(of.tag[:n].copy()),
                pa.array(of.at[:n].copy()).view(TIME),
                _masked(server_at, server_at == NO_TIME, pa.int64()).view(TIME),
                pa.array(of.seen_at[:n].copy()).view(TIME),
                _masked(of.value[:n].copy(), flag == NO_VALUE, pa.float64()),
                self._exact_column(flag == EXACT),
                self._text_column(n),
                pa.array(of.status[:n].copy()),
                pa.array(np.full(n, int(Origin.MEASURED), np.uint8)),
            ],
            schema=SAMPLES,
        )
        self._n = 0
        self.texts = 0
        return batch

    def _exact_column(self, present: npt.NDArray[np.bool_]) -> pa.Array:
        n = len(present)
        if not present.any():
            return pa.nulls(n, pa.int64())
        return pa.array(self.columns.exact[:n].copy(), mask=~present)

    def _text_column(self, n: int) -> pa.Array:
        """Texts, each checked to be UTF-8; a byte that is none becomes a question mark."""
        k = self.texts
        if not k:
            return pa.nulls(n, pa.string())
        row, end = self.columns.text_row[:k], self.columns.text_end[:k]
        data = self.text_data[: self._text_bytes()].copy()
        if (row[1:] < row[:-1]).any():
            return _readable(_strings(np.arange(k), end, data, k)).take(_places(row, n))
        return _readable(_strings(row, end, data, n))

    def take_dropped(self) -> Dropped:
        """What was dropped since the last call."""
        dropped, self.dropped = self.dropped, Dropped()
        return dropped


def _columns(size: int) -> Columns:
    return Columns(
        tag=np.empty(size, np.int32),
        at=np.empty(size, np.int64),
        server_at=np.empty(size, np.int64),
        seen_at=np.empty(size, np.int64),
        value=np.empty(size, np.float64),
        exact=np.empty(size, np.int64),
        status=np.empty(size, np.uint32),
        flag=np.empty(size, np.uint8),
        text_row=np.empty(size, np.int64),
        text_end=np.empty(size, np.int64),
    )


def _copy(source: Columns, target: Columns, n: int) -> None:
    for name in Columns._fields:
        getattr(target, name)[:n] = getattr(source, name)[:n]


def _masked(
    column: npt.NDArray[np.generic], missing: npt.NDArray[np.bool_], kind: pa.DataType
) -> pa.Array:
    """A column with nulls where it says."""
    if not missing.any():
        return pa.array(column)
    return pa.nulls(len(column), kind) if missing.all() else pa.array(column, mask=missing)


def _strings(
    row: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    n: int,
) -> pa.StringArray:
    """`n` strings that are null but at some rows, which ascend, made from their bytes."""
    lengths = np.zeros(n + 1, np.int32)
    lengths[row + 1] = np.diff(end, prepend=0)
    present = np.zeros(n, np.bool_)
    present[row] = True
    return pa.StringArray.from_buffers(
        n,
        pa.py_buffer(np.cumsum(lengths, dtype=np.int32)),
        pa.py_buffer(data),
        pa.py_buffer(np.packbits(present, bitorder="little")),
    )


def _places(row: npt.NDArray[np.int64], n: int) -> pa.Array:
    """For each of `n` rows the number of its text, or null."""
    which = np.full(n, -1, np.int64)
    which[row] = np.arange(len(row))
    return pa.array(which, mask=which < 0)


def _readable(texts: pa.StringArray) -> pa.Array:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.cast(pa.binary()).to_pylist()
        return pa.array([None if text is None else _repaired(text) for text in raw], pa.string())
    return texts


def _repaired(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode()
