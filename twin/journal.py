"""The journal: the record of everything that was acknowledged.

A folder of segments ``<first offset>.wal``. A segment is a header and frames::

    header  magic 8 | format u32 | first offset u64 | crc32 u32           (little-endian)
    frame   payload length u64 | crc32 u32 | kind u8 | offset u64 | payload

The CRC of a frame covers its length, kind, offset and payload. Offsets count records 1, 2, 3, …
without holes, over all segments.

A group of records is appended by one write and made durable by one ``fdatasync``; only then is it
acknowledged. After that a *mark* (kind 0, no payload, the last durable offset) is written without
waiting for the disk. It makes a fault in the last acknowledged group recognisable: a torn tail is
followed by nothing, a damaged record is followed by the mark. After a power cut the mark itself may
be missing, as nobody waited for it; `Journal.open` writes it again.

What a failed ``fdatasync`` leaves in the page cache cannot be trusted (Linux marks the pages clean
although they were not stored; see LWN, "PostgreSQL's fsync() surprise", 2018). So after any
failure the file is cut back to the last acknowledged byte and the next group goes to a new segment;
and at `open` the bytes from the last mark on are written over before they count as durable.
"""

import errno
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import Corrupt, DiskLow, NewerFormat, TwinError, Unavailable
from twin.disk import AppendFile, Buffer, Disk
from twin.failpoint import Failpoint, never

FORMAT: Final = 1
MAGIC: Final = b"PTWINWAL"
SEGMENT_BYTES: Final = 64 * 2**20
MARK: Final = 0
"""Kind of the frame that says what is durable; it carries no record."""

_HEADER: Final = struct.Struct("<8sIQI")
_HEADER_HEAD: Final = struct.Struct("<8sIQ")
_FRAME: Final = struct.Struct("<QIBQ")
_FRAME_TYPE: Final = np.dtype([("size", "<u8"), ("crc", "<u4"), ("kind", "u1"), ("offset", "<u8")])
_COVERED: Final = struct.Struct("<QBQ")
_SUFFIX: Final = ".wal"
_UNFINISHED: Final = ".new"
_RESTORE: Final = "stop, keep the folder for analysis, and restore the last backup"


@dataclass(frozen=True, slots=True)
class Record:
    """One journal record: its offset, its kind (1 to 255) and its bytes."""

    offset: int
    kind: int
    payload: Buffer


@dataclass(frozen=True, slots=True)
class _Scan:
    """What a segment's bytes hold: whole frames up to `end`.

    Everything before `marked`, where the last mark begins, is durable; `open_records` stand after.
    """

    records: tuple[Record, ...]
    end: int
    marked: int
    open_records: bool
    next_offset: int


def frame_head(kind: int, offset: int, payload: Buffer) -> bytes:
    """The frame before its payload."""
    size = len(payload)
    crc = zlib.crc32(payload, zlib.crc32(_COVERED.pack(size, kind, offset)))
    return _FRAME.pack(size, crc, kind, offset)


class Journal:
    """Append-only records in segments. One owner, one thread.

    After a failure (DiskLow, Unavailable) nothing of the failed group is acknowledged; the next
    `append` mends the file first and may then succeed.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        failpoint: Failpoint = never,
    ) -> None:
        self._folder, self._disk = folder, disk
        self._segment_bytes, self._failpoint = segment_bytes, failpoint
        self._firsts: list[int] = []
        self._next = 1
        self._file: AppendFile | None = None
        self._end = 0
        self._sound = True

    @classmethod
    def open(
        cls,
        folder: Path,
        disk: Disk,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        failpoint: Failpoint = never,
        base: int = 0,
    ) -> "Journal":
        """Open or create the journal of a folder and mend what a crash left.

        Every whole, valid record is kept and made durable; a torn tail is cut off.

        Parameters
        ----------
        folder, disk
            Where it is.
        segment_bytes
            A segment that has grown to this size is followed by a new one.
        failpoint
            Called with the name of every step.
        base
            Offset after which a journal that has no segment yet begins.

        Raises
        ------
        Corrupt
            When bytes that were acknowledged fail their checksum, or a segment is missing.
        NewerFormat
            When a newer parktwin wrote it.
        """
        journal = cls(folder, disk, segment_bytes=segment_bytes, failpoint=failpoint)
        journal._next = base + 1
        journal._recover()
        return journal

    @property
    def last_offset(self) -> int:
        """Offset of the newest durable record; 0 in an empty journal."""
        return self._next - 1

    @property
    def first_offset(self) -> int:
        """Offset of the oldest record still kept, or that the first one will get."""
        return self._firsts[0]

    def append(self, records: Sequence[tuple[int, Buffer]]) -> int:
        """Append records (kind, payload) as one group, durable on return.

        Returns
        -------
        int
            Offset of the last of them.

        Raises
        ------
        DiskLow
            When the disk is full.
        Unavailable
            When the disk fails; nothing of the group is kept.
        """
        if not records:
            return self.last_offset
        parts: list[Buffer] = []
        for offset, (kind, payload) in enumerate(records, self._next):
            parts += (frame_head(kind, offset, payload), payload)
        try:
            if not self._sound:
                self._mend()
            elif self._end >= self._segment_bytes:
                self._roll()
            self._write(parts)
        except OSError as fault:
            raise self._unavailable(fault) from fault
        self._next += len(records)
        self._end += sum(map(len, parts))
        self._mark()
        return self.last_offset

    def read(self, after: int = 0) -> Iterator[Record]:
        """Every record with an offset greater than `after`, in order.

        Raises
        ------
        Corrupt
            At the first record that fails its checksum or is missing; or at once when records
            after `after` were trimmed.
        """
        if after + 1 < self.first_offset:
            raise Corrupt(
                f"{self._folder} begins at offset {self.first_offset}, needed from {after + 1}",
                _RESTORE,
            )
        ends = [*self._firsts[1:], self._next]
        for first, end in zip(self._firsts, ends, strict=True):
            if end > after + 1:
                yield from self._read_segment(first, end, after)

    def trim(self, upto: int) -> None:
        """Remove the segments that hold no record after `upto`; the one being written stays.

        Raises
        ------
        Unavailable
            When the disk fails; the segments not yet removed stay.
        """
        gone = [f for f, following in zip(self._firsts, self._firsts[1:], strict=False)
                if following <= upto + 1]  # fmt: skip
        try:
            for first in gone:
                self._disk.remove(self._path(first))
                self._firsts.remove(first)
            if gone:
                self._disk.sync_folder(self._folder)
        except OSError as fault:
            raise self._unavailable(fault) from fault

    def close(self) -> None:
        """Release the file; every acknowledged record is durable already."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _path(self, first: int) -> Path:
        return self._folder / f"{first:020d}{_SUFFIX}"

    def _write(self, parts: list[Buffer]) -> None:
        """Write and sync; the file is unsound from the first byte until the sync returned."""
        file = self._open_file()
        self._sound = False
        file.writev(parts)
        self._failpoint("journal.written")
        file.fdatasync()
        self._sound = True
        self._failpoint("journal.synced")

    def _mark(self) -> None:
        """Say that everything so far is durable; losing this line loses no record."""
        mark = frame_head(MARK, self.last_offset, b"")
        self._sound = False
        try:
            self._open_file().writev([mark])
        except OSError:
            return  # the group is durable; the next append mends the file first
        self._sound = True
        self._end += len(mark)
        self._failpoint("journal.marked")

    def _mend(self) -> None:
        """Cut the file back to what was acknowledged, and go on in a new segment."""
        file = self._open_file()
        file.truncate(self._end)
        file.fdatasync()
        if self._firsts[-1] < self._next:
            self._roll()
        self._sound = True

    def _roll(self) -> None:
        """Begin a segment: complete and durable under its name before it is used."""
        path, draft = self._path(self._next), self._folder / f"{self._next:020d}{_UNFINISHED}"
        head = _HEADER_HEAD.pack(MAGIC, FORMAT, self._next)
        file = self._disk.create(draft)
        try:
            file.writev([head, zlib.crc32(head).to_bytes(4, "little")])
            file.fdatasync()
            self._failpoint("journal.segment_written")
            self._disk.rename(draft, path)
            self._disk.sync_folder(self._folder)
        except OSError:
            file.close()
            raise
        self._failpoint("journal.segment_named")
        self.close()
        self._file, self._end = file, _HEADER.size
        self._firsts.append(self._next)

    def _open_file(self) -> AppendFile:
        if self._file is None:
            raise Unavailable(f"the journal in {self._folder} is closed", "open it again")
        return self._file

    def _recover(self) -> None:
        self._disk.make_folder(self._folder)
        names = self._disk.listing(self._folder)
        try:
            for name in names:
                if name.endswith(_UNFINISHED):
                    self._disk.remove(self._folder / name)
            self._firsts = sorted(int(n[: -len(_SUFFIX)]) for n in names if n.endswith(_SUFFIX))
            if self._firsts:
                self._recover_last(self._firsts[-1])
            else:
                self._roll()
        except OSError as fault:
            raise self._unavailable(fault) from fault

    def _recover_last(self, first: int) -> None:
        path = self._path(first)
        data = self._disk.read(path)
        found = scan(data, first, str(path))
        self._file = file = self._disk.open_append(path)
        if found.end < len(data):
            file.truncate(found.end)
        if found.marked < found.end:
            file.rewrite(found.marked, memoryview(data)[found.marked : found.end])
        self._failpoint("journal.recovered")
        file.fdatasync()
        self._disk.sync_folder(self._folder)
        self._next, self._end = found.next_offset, found.end
        if found.open_records:
            self._mark()

    def _read_segment(self, first: int, end: int, after: int) -> Iterator[Record]:
        path = self._path(first)
        try:
            data = memoryview(self._disk.read(path))
        except FileNotFoundError as fault:
            raise Corrupt(f"{path} is missing", _RESTORE) from fault
        except OSError as fault:
            raise self._unavailable(fault) from fault
        if first == self._firsts[-1]:
            data = data[: self._end]
        found = scan(data, first, str(path))
        if found.next_offset != end:  # a torn mark at the end is no loss
            raise Corrupt(f"{path} ends at offset {found.next_offset - 1}, not {end - 1}", _RESTORE)
        yield from (record for record in found.records if record.offset > after)

    def _unavailable(self, fault: OSError) -> TwinError:
        if fault.errno == errno.ENOSPC:
            return DiskLow(str(self._folder), self._disk.free_fraction(self._folder))
        what = f"the journal in {self._folder} cannot be written ({fault.strerror})"
        return Unavailable(what, "check the disk; it goes on by itself")


def scan(data: Buffer, first: int, path: str = "segment") -> _Scan:
    """Read a segment's bytes: every whole frame, up to the end or to a torn tail.

    Parameters
    ----------
    data
        All bytes of the segment.
    first
        Offset its name promises.
    path
        Its path, for messages.

    Raises
    ------
    Corrupt
        When the header is damaged, an offset is out of turn, or a damaged frame is followed by a
        valid one.
    NewerFormat
        When a newer parktwin wrote it.
    """
    _check_header(data, first, path)
    view = memoryview(data)
    records: list[Record] = []
    position = marked = _HEADER.size
    expected, open_records = first, False
    while (frame := _frame_at(view, position)) is not None:
        if frame.offset != (expected - 1 if frame.kind == MARK else expected):
            raise Corrupt(f"{path} holds offset {frame.offset} in place of {expected}", _RESTORE)
        if frame.kind == MARK:
            marked, open_records = position, False
        else:
            records.append(frame)
            expected, open_records = expected + 1, True
        position += _FRAME.size + len(frame.payload)
    if _valid_after(view, position, expected):
        raise Corrupt(f"{path} is damaged at byte {position}", _RESTORE)
    return _Scan(tuple(records), position, marked, open_records, expected)


def _check_header(data: Buffer, first: int, path: str) -> None:
    """A segment gets its name only once its header is durable, so any fault here is damage."""
    head = data[: _HEADER_HEAD.size]
    crc = data[_HEADER_HEAD.size : _HEADER.size]
    if len(data) < _HEADER.size or zlib.crc32(head) != int.from_bytes(crc, "little"):
        raise Corrupt(f"{path} has a damaged header", _RESTORE)
    magic, version, begins = _HEADER_HEAD.unpack(head)
    if magic != MAGIC:
        raise Corrupt(f"{path} is no journal segment", _RESTORE)
    if version > FORMAT:
        raise NewerFormat(path, version, FORMAT)
    if begins != first:
        raise Corrupt(f"{path} begins at offset {begins}", _RESTORE)


def _frame_at(view: memoryview, position: int) -> Record | None:
    """The frame at a position, or None when no whole, valid one is there."""
    start = position + _FRAME.size
    if start > len(view):
        return None
    size, crc, kind, offset = _FRAME.unpack_from(view, position)
    if size > len(view) - start:
        return None
    payload = view[start : start + size]
    if zlib.crc32(payload, zlib.crc32(_COVERED.pack(size, kind, offset))) != crc:
        return None
    return Record(offset, kind, payload)


def _valid_after(view: memoryview, position: int, expected: int) -> bool:
    """Whether a valid frame of this journal stands anywhere after a fault at `position`.

    Every byte is tried as the start of a frame whose size and offset are possible there.
    """
    room = len(view) - position - _FRAME.size
    if room <= 0:
        return False
    heads = np.ndarray((room,), _FRAME_TYPE, view, position + 1, (1,))
    possible = (heads["size"] < room) & (heads["offset"] >= max(expected - 1, 0))
    possible &= heads["offset"] <= expected + room // _FRAME.size
    return any(
        _frame_at(view, position + 1 + int(at)) is not None for at in np.flatnonzero(possible)
    )
