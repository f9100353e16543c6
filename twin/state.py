"""What is true now: the newest value of every tag, and cumulative sums over its past."""

import hashlib
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import Corrupt, InputError, NewerFormat, NotFound
from twin.coverage import Blind, EndpointCoverage, blind_tables, coverage_tables
from twin.fold import (
    COUNTER,
    DUPLICATE,
    EVENT,
    FOLDED,
    GAUGE,
    HOLD,
    HOLDS_KEPT,
    KEPT_OUT,
    LATE,
    ROW,
    STATE,
    STATE_CODES,
    SUMS,
    TRAITS,
    UNKNOWN,
    Table,
    correct_holds,
    fill_rows,
    fold_rows,
    judge_rows,
    open_covered,
)
from twin.samples import COVERAGE, SAMPLES, TIME, column_us, is_number
from twin.status import CLASS_BAD, CLASS_GOOD, UNCERTAIN_LAST_USABLE_VALUE, quality_class
from twin.tags import Kind, TagRow

FORMAT: Final = 2
"""2 keeps closed holds; 1 is read too, with none kept: what was closed before stays as it was."""
_MAGIC: Final = b"PTWINSTA"
_HEAD: Final = struct.Struct("<8sII")
NEVER: Final = int(np.iinfo(np.int64).max)
"""Time of something that has not happened."""

_NONE: Final = int(np.iinfo(np.int64).min)
_KINDS: Final = {Kind.GAUGE: GAUGE, Kind.COUNTER: COUNTER, Kind.STATE: STATE, Kind.EVENT: EVENT}
_NO_SLOTS: Final = np.empty(0, np.int64)
_CANONICAL_NAN: Final = np.array([struct.pack("<d", float("nan"))]).view(np.uint64)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Cumulative sums of every tag up to one instant; arrays in the order of `ShardState.tags`.

    Parameters
    ----------
    integral
        Gauge: time integral of the good, covered value [unit·s].
    good_s, bad_s, covered_s
        Seconds with a good value, with a bad one, and covered at all [s]; what is covered and
        neither good nor bad was uncertain.
    increase, resets
        Counter: growth since birth over wraps and resets [unit]; number of resets.
    state_s
        State: seconds per code 0…15, and for all other codes in the last column [s].
    n, n_good
        Rows folded in time order; good ones among them.
    """

    integral: npt.NDArray[np.float64]
    good_s: npt.NDArray[np.float64]
    bad_s: npt.NDArray[np.float64]
    covered_s: npt.NDArray[np.float64]
    increase: npt.NDArray[np.float64]
    resets: npt.NDArray[np.int64]
    state_s: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]
    n_good: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What became of the rows of a batch; `folded` is a mask, the others are numbers of rows."""

    folded: npt.NDArray[np.bool_]
    late: int
    duplicate: int
    kept_out: int
    unknown: int


class ShardState:
    """Numpy columns over a dense index that is rebuilt from the tag dictionary.

    Columns, one entry per tag in the order of `tags`, are properties; treat them as read-only, and
    ask again after `add_rows`. A row never replaces a newer one: it is counted as late and left to
    the memory. A value holds until the next row, over time its endpoint was heard. A good status
    without a number that can be counted with (`twin.samples.is_number`) counts as bad in the sums
    of gauges, counters and states.
    """

    def __init__(self, rows: Iterable[TagRow] = ()) -> None:
        self._tags = np.empty(0, np.int32)
        self._dense = np.full(1, -1, np.int64)
        self._newest = _nothing_yet(0)
        self._trial = _nothing_yet(0)
        self._sums = np.zeros(0, SUMS)
        self._traits = np.zeros(0, TRAITS)
        self._state_us = np.zeros((0, STATE_CODES + 1), np.int64)
        self._holds = np.zeros((0, HOLDS_KEPT), HOLD)
        self._closed_us = np.empty(0, np.int64)
        self._text = np.empty(0, np.object_)
        self._has_text = False
        self._endpoints: dict[str, EndpointCoverage] = {}
        self._heard, self._gaps = coverage_tables(())
        self.add_rows(rows)

    def add_rows(self, rows: Iterable[TagRow], moduli: Mapping[int, float] | None = None) -> None:
        """Give columns to the tags of new dictionary rows; note which tags open and close.

        Parameters
        ----------
        rows
            Rows in the order they were added to the dictionary.
        moduli
            Modulus of the counters that have a known one, by tag (2^16 for a 16-bit register).
        """
        new: dict[int, TagRow] = {}
        rows = list(rows)
        for row in rows:
            if self.index_of(row.tag)[0] < 0:
                new.setdefault(row.tag, row)
        if new:
            self._grow(tuple(new.values()))
        for row in rows:
            self._open_or_close(row)
        for tag, modulus in (moduli or {}).items():
            self._traits["modulus"][self._index(tag)] = modulus

    @property
    def tags(self) -> npt.NDArray[np.int32]:
        """Tag id of each column entry."""
        return self._tags

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether any row came."""
        return self._newest["known"]

    @property
    def open(self) -> npt.NDArray[np.bool_]:
        """Whether the tag is in use."""
        return np.asarray(self._closed_us == NEVER)

    @property
    def at_us(self) -> npt.NDArray[np.int64]:
        """Source time of the newest row [us]."""
        return self._newest["at_us"]

    @property
    def seen_us(self) -> npt.NDArray[np.int64]:
        """Wall time it was received [us]."""
        return self._newest["seen_us"]

    @property
    def server_us(self) -> npt.NDArray[np.int64]:
        """Server time [us]; the smallest int64 for none."""
        return self._newest["server_us"]

    @property
    def value(self) -> npt.NDArray[np.float64]:
        """Newest value; NaN for none."""
        return self._newest["value"]

    @property
    def exact(self) -> npt.NDArray[np.int64]:
        """Exact integer, where `has_exact`."""
        return self._newest["exact"]

    @property
    def has_exact(self) -> npt.NDArray[np.bool_]:
        """Whether there is an exact integer."""
        return self._newest["has_exact"]

    @property
    def text(self) -> npt.NDArray[np.object_]:
        """Newest text; None for none."""
        return self._text

    @property
    def status(self) -> npt.NDArray[np.uint32]:
        """Stored StatusCode; `reported_status` knows about gaps too."""
        return self._newest["status"]

    @property
    def origin(self) -> npt.NDArray[np.uint8]:
        """Where the value came from."""
        return self._newest["origin"]

    @property
    def kind(self) -> npt.NDArray[np.uint8]:
        """0 gauge, 1 counter, 2 state, 3 event."""
        return self._traits["kind"]

    @property
    def quality(self) -> npt.NDArray[np.uint8]:
        """Class of the newest row as the sums use it: 0 good, 1 uncertain, 2 bad."""
        return self._newest["quality"]

    @property
    def endpoint(self) -> npt.NDArray[np.int32]:
        """Place of the tag's endpoint in `endpoints`; -1 for none."""
        return self._traits["endpoint"]

    @property
    def late(self) -> npt.NDArray[np.int64]:
        """Rows that came after a newer one."""
        return self._sums["late"]

    @property
    def misclocked(self) -> npt.NDArray[np.int64]:
        """Rows kept out because their source time was out of bounds."""
        return self._sums["misclocked"]

    @property
    def endpoints(self) -> Mapping[str, EndpointCoverage]:
        """Coverage of each endpoint that any tag or row names."""
        return self._endpoints

    def index_of(self, tags: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Dense index of each tag, -1 for unknown ones."""
        wanted = np.atleast_1d(np.asarray(tags, np.int64))
        inside = (wanted >= 0) & (wanted < len(self._dense))
        return np.where(inside, self._dense[np.where(inside, wanted, 0)], -1)

    def fold(
        self,
        batch: pa.RecordBatch,
        restamped: npt.NDArray[np.bool_] | None = None,
        rows: Table | None = None,
    ) -> Folded:
        """Take the rows of a SAMPLES batch in their order.

        Parameters
        ----------
        batch
            Rows with the schema SAMPLES.
        restamped
            Rows whose source time was out of bounds and replaced: they never replace a row whose
            time was in order, and give way to the next one that is.
        rows
            What `rows_of` says of both, where the caller has asked already.
        """
        if rows is None:
            rows = self.rows_of(batch, restamped)
        verdicts = fold_rows(
            rows,
            self._newest,
            self._sums,
            self._state_us,
            self._traits,
            self._heard,
            self._gaps,
            self._holds,
        )
        folded = np.asarray(verdicts == FOLDED)
        self._fold_texts(batch, rows["slot"], folded)
        counts = np.bincount(verdicts, minlength=UNKNOWN + 1)
        return Folded(
            folded=folded,
            late=int(counts[LATE]),
            duplicate=int(counts[DUPLICATE]),
            kept_out=int(counts[KEPT_OUT]),
            unknown=int(counts[UNKNOWN]),
        )

    def judge(self, rows: Table) -> npt.NDArray[np.uint8]:
        """Verdict per row that `fold` would give (`twin.fold`), changing nothing."""
        return np.asarray(judge_rows(rows, self._newest, self._trial))

    def rows_of(
        self, batch: pa.RecordBatch, restamped: npt.NDArray[np.bool_] | None = None
    ) -> Table:
        """The columns of a SAMPLES batch as the fold reads them."""
        rows = rows_of(batch, self._dense, restamped)
        empty = np.flatnonzero(~is_number(rows["value"]))
        if len(empty) and len(self._tags):
            numeric = self.kind[np.maximum(rows["slot"][empty], 0)] != EVENT
            empty = empty[numeric & (rows["quality"][empty] == CLASS_GOOD)]
            rows["quality"][empty] = CLASS_BAD
        return rows

    def cover(self, rows: pa.RecordBatch) -> None:
        """Take coverage rows (schema COVERAGE).

        A row that is told after the next sample was folded corrects what that sample closed: the
        sums are the same whichever came first, as long as no more than `HOLDS_KEPT` samples of a
        tag came in between.

        Raises
        ------
        InputError
            When a row ends before it begins; nothing is taken then.
        """
        starts, ends = checked_coverage(rows)
        plain = rows.select(["endpoint", "alive", "cause", "lost"]).to_pylist()
        for row, start, end in zip(plain, starts.tolist(), ends.tolist(), strict=True):
            coverage = self._endpoint(row["endpoint"])
            lost = row["lost"] or 0
            before, since_us = coverage.blind, min(start, coverage.until_us)
            coverage.add(start, end, alive=row["alive"], cause=row["cause"], lost=lost)
            if coverage.blind != before:
                self._correct(row["endpoint"], since_us, before, coverage.blind)
            for gap in coverage.overflow():
                self._settle(row["endpoint"], gap)
        self._heard, self._gaps = coverage_tables(tuple(self._endpoints.values()))

    def stale(self) -> npt.NDArray[np.bool_]:
        """Whether each tag's endpoint has a gap now, and nothing newer than the gap came."""
        endpoint = self._traits["endpoint"]
        if not len(self._heard):
            return np.zeros(len(endpoint), np.bool_)
        heard = self._heard[endpoint]
        gap = heard["gap"] & (self.at_us < heard["until_us"])
        return np.asarray(gap & (endpoint >= 0) & self.known)

    def reported_status(self) -> npt.NDArray[np.uint32]:
        """Status a reader is told: a good value of a stale tag is the last usable one."""
        last_usable = self.stale() & (quality_class(self.status) == CLASS_GOOD)
        return np.where(last_usable, np.uint32(UNCERTAIN_LAST_USABLE_VALUE), self.status)

    def latest(self, tags: npt.ArrayLike | None = None) -> pa.RecordBatch:
        """Newest rows (schema SAMPLES) with the reported status.

        Parameters
        ----------
        tags
            Tag ids; None for every tag in use. Tags without any row yet are left out.

        Raises
        ------
        NotFound
            When a tag id was never given.
        """
        if tags is None:
            index = np.flatnonzero(self.known & self.open)
        else:
            index = self.index_of(tags)
            if (index < 0).any():
                unknown = np.atleast_1d(np.asarray(tags))[index < 0]
                raise NotFound("tag", str(int(unknown[0])))
            index = index[self.known[index]]
        return self._rows_at(index)

    def totals(self, now_us: int) -> Totals:
        """Sums up to park time `now_us`, the time each newest row has held so far included."""
        newest, sums = self._newest, self._sums
        until = np.minimum(self._closed_us, now_us)
        held_us = open_covered(until, newest, sums, self._traits, self._heard, self._gaps)
        good_us = np.where(newest["quality"] == CLASS_GOOD, held_us, 0)
        bad_us = np.where(newest["quality"] == CLASS_BAD, held_us, 0)
        gauge = (self.kind == GAUGE) & (good_us > 0)
        state_us = self._state_us.copy()
        states = np.flatnonzero((self.kind == STATE) & (good_us > 0))
        state_us[states, _slots(newest["value"][states])] += good_us[states]
        open_integral = np.where(gauge, newest["value"], 0.0) * (good_us * 1e-6)
        return Totals(
            integral=sums["integral"] + open_integral,
            good_s=_seconds(sums["good_us"] + good_us),
            bad_s=_seconds(sums["bad_us"] + bad_us),
            covered_s=_seconds(sums["covered_us"] + held_us),
            increase=sums["increase"].copy(),
            resets=sums["resets"].copy(),
            state_s=_seconds(state_us),
            n=sums["n"].copy(),
            n_good=sums["n_good"].copy(),
        )

    def snapshot(self) -> bytes:
        """Everything: magic, format and CRC32, then an Arrow stream."""
        names, arrays = [], []
        for name, column in self._columns().items():
            names.append(name)
            arrays.append(pa.array(column.reshape(-1)) if column.ndim == 1 else _wide(column))
        names.append("text")
        arrays.append(pa.array(self._text.tolist(), pa.string()))
        batch = pa.record_batch(arrays, names=names)
        endpoints = json.dumps(self._endpoint_data())
        batch = batch.replace_schema_metadata({"endpoints": endpoints})
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        stream = bytes(sink.getvalue())
        return _HEAD.pack(_MAGIC, FORMAT, zlib.crc32(stream)) + stream

    @classmethod
    def restore(cls, data: bytes) -> "ShardState":
        """Inverse of `snapshot`.

        Raises
        ------
        Corrupt
            When the bytes fail their checksum.
        NewerFormat
            When a newer parktwin wrote it.
        """
        stream = memoryview(data)[_HEAD.size :]
        if len(data) < _HEAD.size or data[: len(_MAGIC)] != _MAGIC:
            raise Corrupt("a state snapshot is damaged", "restore an older one")
        _, version, crc = _HEAD.unpack_from(data)
        if zlib.crc32(stream) != crc:
            raise Corrupt("a state snapshot fails its checksum", "restore an older one")
        if version > FORMAT:
            raise NewerFormat("a state snapshot", version, FORMAT)
        batch = pa.ipc.open_stream(stream).read_next_batch()
        state = cls()
        state._fill(batch, json.loads(batch.schema.metadata[b"endpoints"]))
        return state

    def digest(self) -> str:
        """Sha256 over the canonical content: equal for equal states, whatever their tag order."""
        order = np.argsort(self._tags, kind="stable")
        names = sorted(self._endpoints)
        rank = {name: position for position, name in enumerate(names)}
        ranks = np.array([*(rank[name] for name in self._endpoints), -1], np.int32)
        total = hashlib.sha256()
        for name, column in self._columns().items():
            ordered = column[order] if name != "endpoint" else ranks[column[order]]
            if ordered.dtype == np.float64:
                ordered = np.where(np.isnan(ordered), _CANONICAL_NAN, ordered.view(np.uint64))
            total.update(name.encode())
            total.update(np.ascontiguousarray(ordered).tobytes())
        endpoints = self._endpoint_data()
        texts = {int(self._tags[i]): self._text[i] for i in order if self._text[i] is not None}
        total.update(json.dumps([{n: endpoints[n] for n in names}, texts]).encode())
        return total.hexdigest()

    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        columns: dict[str, npt.NDArray[Any]] = {"tag": self._tags, "closed_us": self._closed_us}
        for table in (self._newest, self._sums, self._traits):
            columns.update({name: table[name] for name in table.dtype.names or ()})
        del columns["slot"]
        columns["state_us"] = self._state_us
        columns |= {f"hold_{name}": self._holds[name] for name in HOLD.names or ()}
        return columns

    def _fill(self, batch: pa.RecordBatch, endpoints: Mapping[str, dict[str, Any]]) -> None:
        def column(name: str) -> npt.NDArray[Any]:
            stored = batch.column(name)
            if pa.types.is_fixed_size_list(stored.type):
                flat = stored.flatten().to_numpy()
                return np.array(flat.reshape(-1, stored.type.list_size))
            return np.array(stored.to_numpy(zero_copy_only=False))

        self._tags, self._closed_us = column("tag"), column("closed_us")
        self._newest = _nothing_yet(len(self._tags))
        self._sums, self._traits = (
            np.zeros(len(self._tags), SUMS),
            np.zeros(len(self._tags), TRAITS),
        )
        for table in (self._newest, self._sums, self._traits):
            for name in set(table.dtype.names or ()) - {"slot"}:
                if name in batch.schema.names:  # an older parktwin knew fewer
                    table[name] = column(name)
        self._state_us = column("state_us")
        self._holds = np.zeros((len(self._tags), HOLDS_KEPT), HOLD)
        for name in HOLD.names or ():
            if f"hold_{name}" in batch.schema.names:  # format 1 kept none
                self._holds[name] = column(f"hold_{name}")
        self._text = np.array(batch.column("text").to_pylist(), np.object_)
        self._has_text = any(text is not None for text in self._text)
        self._endpoints = {name: EndpointCoverage.of(**kept) for name, kept in endpoints.items()}
        self._heard, self._gaps = coverage_tables(tuple(self._endpoints.values()))
        self._index_tags()

    def _endpoint_data(self) -> dict[str, dict[str, object]]:
        return {name: coverage.as_dict() for name, coverage in self._endpoints.items()}

    def _grow(self, new: Sequence[TagRow]) -> None:
        """Append empty entries for new tags."""
        count = len(new)
        for row in new:
            self._endpoint(row.binding.endpoint)
        order = {name: position for position, name in enumerate(self._endpoints)}
        traits = np.zeros(count, TRAITS)
        traits["kind"] = [_KINDS[row.binding.kind] for row in new]
        traits["endpoint"] = [order.get(row.binding.endpoint, -1) for row in new]
        self._tags = np.concatenate([self._tags, np.array([row.tag for row in new], np.int32)])
        self._newest = np.concatenate([self._newest, _nothing_yet(count)])
        self._sums = np.concatenate([self._sums, np.zeros(count, SUMS)])
        self._traits = np.concatenate([self._traits, traits])
        self._state_us = np.concatenate([self._state_us, np.zeros((count, STATE_CODES + 1), int)])
        self._holds = np.concatenate([self._holds, np.zeros((count, HOLDS_KEPT), HOLD)])
        self._closed_us = np.concatenate([self._closed_us, np.full(count, NEVER)])
        self._text = np.concatenate([self._text, np.full(count, None, np.object_)])
        self._heard, self._gaps = coverage_tables(tuple(self._endpoints.values()))
        self._index_tags()

    def _index_tags(self) -> None:
        self._trial = np.empty_like(self._newest)
        self._dense = np.full(int(self._tags.max(initial=0)) + 1, -1, np.int64)
        self._dense[self._tags] = np.arange(len(self._tags))

    def _open_or_close(self, row: TagRow) -> None:
        """A closed tag stops holding; the time it was closed is never covered."""
        i = self._index(row.tag)
        was_closed = self._closed_us[i]
        if row.valid_to_us is not None:
            self._closed_us[i] = row.valid_to_us
        elif was_closed != NEVER:
            self._closed_us[i] = NEVER
            self._sums["settled_us"][i] += max(0, row.valid_from_us - int(was_closed))

    def _index(self, tag: int) -> int:
        i = int(self.index_of(tag)[0])
        if i < 0:
            raise NotFound("tag", str(tag))
        return i

    def _endpoint(self, name: str) -> EndpointCoverage:
        """Coverage of an endpoint; tags that none feeds (empty name) have none."""
        if not name:
            return EndpointCoverage()
        return self._endpoints.setdefault(name, EndpointCoverage())

    def _correct(self, endpoint: str, since_us: int, before: Blind, after: Blind) -> None:
        """Count the kept holds as if what is known of an endpoint now had been known before."""
        if not endpoint:
            return
        correct_holds(
            list(self._endpoints).index(endpoint),
            since_us,
            self._holds,
            self._sums,
            self._state_us,
            self._traits,
            blind_tables(before),
            blind_tables(after),
        )

    def _settle(self, endpoint: str, gap: tuple[int, int]) -> None:
        """Book a gap that will be forgotten on the tags whose newest row held through it."""
        position = list(self._endpoints).index(endpoint) if endpoint in self._endpoints else -2
        touched = (self._traits["endpoint"] == position) & self.known
        held = gap[1] - np.maximum(self.at_us, gap[0])
        self._sums["settled_us"][touched] += np.maximum(held, 0)[touched]

    def _fold_texts(
        self,
        batch: pa.RecordBatch,
        index: npt.NDArray[np.int64],
        folded: npt.NDArray[np.bool_],
    ) -> None:
        texts = batch.column("text")
        if not self._has_text and texts.null_count == len(texts):
            return
        self._has_text = True
        last = np.full(len(self._tags), -1)
        rows = np.flatnonzero(folded)
        last[index[rows]] = rows
        touched = np.flatnonzero(last >= 0)
        self._text[touched] = texts.take(pa.array(last[touched])).to_pylist()

    def _rows_at(self, index: npt.NDArray[np.int64]) -> pa.RecordBatch:
        newest = self._newest[index]
        none = newest["server_us"] == _NONE
        columns = {
            "tag": pa.array(self._tags[index]),
            "at": pa.array(newest["at_us"]).cast(TIME),
            "server_at": pa.array(np.where(none, 0, newest["server_us"]), mask=none).cast(TIME),
            "seen_at": pa.array(newest["seen_us"]).cast(TIME),
            "value": pa.array(newest["value"], mask=~newest["has_value"]),
            "exact": pa.array(newest["exact"], mask=~newest["has_exact"]),
            "text": pa.array(self._text[index].tolist(), pa.string()),
            "status": pa.array(self.reported_status()[index]),
            "origin": pa.array(newest["origin"]),
        }
        return pa.record_batch([columns[name] for name in SAMPLES.names], schema=SAMPLES)


def rows_of(
    batch: pa.RecordBatch,
    dense: npt.NDArray[np.int64] = _NO_SLOTS,
    restamped: npt.NDArray[np.bool_] | None = None,
) -> Table:
    """The columns of a SAMPLES batch as one table (dtype ROW).

    Parameters
    ----------
    batch
        Rows with the schema SAMPLES.
    dense
        Slot of each tag; rows of tags beyond it have none.
    restamped
        Rows whose source time was out of bounds and replaced; None for none.
    """
    count = batch.num_rows
    rows = np.empty(count, ROW)
    value, exact = batch.column("value"), batch.column("exact")
    server_at = batch.column("server_at")
    no_server = server_at.null_count == count
    status = np.array(batch.column("status").to_numpy())
    none = np.zeros(count, np.bool_)
    # copies, because Arrow's own memory is read-only: one kind of array, compiled once
    fill_rows(
        rows,
        dense,
        np.array(batch.column("tag").to_numpy()),
        (
            column_us(batch, "at").copy(),
            column_us(batch, "seen_at").copy(),
            np.full(count, _NONE) if no_server else column_us(batch, "server_at").copy(),
        ),
        np.array(value.to_numpy(zero_copy_only=False)),
        _filled(exact),
        _text_keys(batch.column("text")),
        (status, quality_class(status), np.array(batch.column("origin").to_numpy())),
        (_valid(value), _valid(exact), none if restamped is None else restamped),
    )
    return rows


def checked_coverage(
    rows: pa.RecordBatch,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Begin and end of each coverage row [us]; the door for foreign ones.

    Raises
    ------
    InputError
        When the columns are not those of COVERAGE, or a row ends before it begins.
    """
    if not rows.schema.equals(COVERAGE, check_metadata=False):
        raise InputError(
            f"columns are {rows.schema.to_string(show_schema_metadata=False)!r}",
            "send the columns of COVERAGE (docs/contracts.md)",
            "rows",
        )
    starts, ends = column_us(rows, "from"), column_us(rows, "to")
    if (ends < starts).any():
        raise InputError("a coverage row ends before it begins", "swap from and to", "rows.to")
    return starts, ends


def _seconds(us: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(us * 1e-6, np.float64)


def _valid(column: pa.Array) -> npt.NDArray[np.bool_]:
    if column.null_count == 0:
        return np.ones(len(column), np.bool_)
    if column.null_count == len(column):
        return np.zeros(len(column), np.bool_)
    return np.array(column.is_valid().to_numpy(zero_copy_only=False))


def _filled(column: pa.Array) -> npt.NDArray[np.int64]:
    if column.null_count == len(column):
        return np.zeros(len(column), np.int64)
    return np.array(column.fill_null(0).to_numpy())


def _text_keys(texts: pa.Array) -> npt.NDArray[np.int64]:
    """A 64-bit hash of each text that is the same in every process; 0 for none."""
    keys = np.zeros(len(texts), np.int64)
    if texts.null_count < len(texts):
        for row, text in enumerate(texts.to_pylist()):
            if text is not None:
                digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
                keys[row] = int.from_bytes(digest, "little", signed=True)
    return keys


def _slots(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    whole = (values >= 0) & (values < STATE_CODES) & (values == np.floor(values))
    return np.where(whole, values, STATE_CODES).astype(np.int64)


def _wide(column: npt.NDArray[np.int64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(column.reshape(-1)), column.shape[1])


def _nothing_yet(n: int) -> Table:
    newest = np.zeros(n, ROW)
    newest["slot"] = -1
    newest["server_us"] = _NONE
    newest["value"] = np.nan
    return newest
