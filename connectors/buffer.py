"""The gateway's disk buffer: numbered batches that nobody has acknowledged yet.

A folder of segments ``<number>.seg``. A frame is::

    payload length u64 | crc32 u32 | kind u8 | session u64 | seq u64 | payload   (little-endian)

kind 1 is a batch (Arrow IPC stream, lz4), kind 2 an acknowledgement (no payload). Kind 3 says that
what is left has the numbers 1, 2, 3, … of a new session: its payload lists the old ones as
stretches ``session | first seq | count``; a batch in none of them is given up. The batches stay
where they are, under the number they were written with.

A batch is written before it is delivered for the first time, so what was not acknowledged survives
a kill of the process; `sync` says when it also survives a power cut. A segment is removed when all
its batches are acknowledged. At `open` a torn tail is cut off, and a frame damaged before the end
costs only itself.

**When it is full** it takes nothing in (`DiskBufferFull`): the gateway then drops what is new,
counts it, and covers it with a gap row. Dropping the oldest would tear a hole into numbered
batches, and lose what is already safe.
"""

import contextlib
import io
import math
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from models.errors import Corrupt, Refused, Unavailable
from twin.delivery import BatchId
from twin.disk import Lock, OsDisk
from twin.failpoint import Failpoint, never

Sync = Literal["always", "interval", "never"]

_FRAME: Final = struct.Struct("<QIBQQ")
_COVERED: Final = struct.Struct("<QBQQ")
_BATCH: Final = 1
_ACK: Final = 2
_RENUMBERED: Final = 3
_STRETCH: Final = struct.Struct("<QQQ")
_SUFFIX: Final = ".seg"
_STREAM_MARK: Final = b"\xff\xff\xff\xff"
_WRITE: Final = pa.ipc.IpcWriteOptions(compression="lz4")


class DiskBufferFull(Unavailable):
    """The buffer has no room for another batch."""

    def __init__(self, used_bytes: int, max_bytes: int) -> None:
        super().__init__(
            f"the gateway's buffer holds {used_bytes / 1e6:.0f} of {max_bytes / 1e6:.0f} MB",
            "bring the cluster back, or give the gateway more room",
        )
        self.args = (used_bytes, max_bytes)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a batch's payload lies."""

    segment: int
    start: int
    size: int
    rows: int | None = None
    """Rows, where this process wrote them."""


class DiskBuffer:
    """Numbered batches on disk, oldest first. One process, one thread.

    Parameters
    ----------
    folder
        Folder of its own.
    max_bytes
        Size above which nothing more is taken in.
    segment_bytes
        A new segment is begun above this size.
    sync
        ``always`` waits for the disk at each batch; ``interval`` when `sync_due` is called and
        `sync_every_s` passed; ``never`` leaves it to the kernel.
    clock
        Monotonic seconds.
    failpoint
        Told ``buffer.written`` after each batch.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = 2**30,
        segment_bytes: int = 16 * 2**20,
        sync: Sync = "interval",
        sync_every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        failpoint: Failpoint = never,
    ) -> None:
        self._folder, self._max_bytes, self._segment_bytes = folder, max_bytes, segment_bytes
        self._sync, self._sync_every_s, self._clock = sync, sync_every_s, clock
        self._failpoint = failpoint
        self._places: dict[BatchId, _Place] = {}
        self._order: deque[BatchId] = deque()
        self._live: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._readers: dict[int, int] = {}
        self._fd = -1
        self._writing = 0
        self._synced_at = 0.0
        self._unsynced = False
        self._full: list[int] = []
        self._renumbered: set[int] = set()
        self._lock: Lock | None = None
        self.last_session = 0
        """Highest session ever seen in the folder."""
        self.damaged_bytes = 0
        """Bytes found unreadable at `open`, torn tails among them."""
        self.torn_bytes = 0
        """Those of torn tails."""
        self.acked_upto = BatchId(0, 0)
        """Newest acknowledgement found at `open`."""

    # --- life ---

    def open(self) -> tuple[BatchId, ...]:
        """Take the folder, and find what is not acknowledged.

        Returns
        -------
        tuple[BatchId, ...]
            Batches to deliver, oldest first. Numbers may be missing where bytes were damaged.

        Raises
        ------
        Refused
            When another process holds the folder.
        """
        disk = OsDisk()
        disk.make_folder(self._folder)
        lock = disk.lock(self._folder / "lock", f"gateway {os.getpid()}")
        if isinstance(lock, str):
            raise Refused(
                f"{self._folder} is held by {lock}", "stop that gateway, or choose another folder"
            )
        self._lock = lock
        found: dict[BatchId, _Place] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            self._scan(path, found)
        for batch in sorted(found):
            if batch > self.acked_upto:
                self._remember(batch, found[batch])
        self._drop_empty()
        return tuple(self._order)

    def close(self) -> None:
        """Sync and let the folder go."""
        self.sync()
        for fd in (self._fd, *self._readers.values()):
            if fd >= 0:
                os.close(fd)
        self._fd = -1
        self._readers.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # --- batches ---

    def append(self, session: int, seq: int, batch: pa.RecordBatch) -> int:
        """Store a batch; it survives a kill of this process from now on.

        Returns
        -------
        int
            Bytes written.

        Raises
        ------
        DiskBufferFull
            When there is no room; nothing was stored.
        Unavailable
            When the disk refuses; nothing was stored.
        """
        payload = _encode(batch)
        if self.used_bytes + len(payload) > self._max_bytes:
            raise DiskBufferFull(self.used_bytes, self._max_bytes)
        place = replace(self._write(_BATCH, session, seq, payload), rows=batch.num_rows)
        if self._sync == "always":
            self._sync_or_undo(place.start)
        self._remember(BatchId(session, seq), place)
        self.last_session = max(self.last_session, session)
        self._failpoint("buffer.written")
        return len(payload)

    def read(self, batch: BatchId) -> pa.RecordBatch:
        """One stored batch.

        Raises
        ------
        Corrupt
            When its bytes changed on disk.
        """
        place = self._places[batch]
        fd = self._readers.get(place.segment)
        if fd is None:
            fd = os.open(self._path(place.segment), os.O_RDONLY | os.O_CLOEXEC)
            self._readers[place.segment] = fd
        frame = os.pread(fd, _FRAME.size + place.size, place.start)
        head, payload = frame[: _FRAME.size], frame[_FRAME.size :]
        if len(head) < _FRAME.size or not _valid(head, payload):
            raise Corrupt(
                f"batch {batch.seq} of session {batch.session} is damaged in {self._folder}",
                "check the disk; what the batch held is lost",
            )
        return _decode(payload)

    def rows_of(self, batch: BatchId) -> int | None:
        """Rows of a stored batch, also of a damaged one; None when an earlier process wrote it."""
        return self._places[batch].rows

    def acked(self, upto: BatchId) -> None:
        """Forget every batch up to and including this one; its segments go when they are empty."""
        forgotten = False
        while self._order and self._order[0] <= upto:
            batch = self._order.popleft()
            place = self._places.pop(batch)
            self._live[place.segment] -= 1
            forgotten = True
        if forgotten:
            self._note_acked(upto)
            self._drop_empty()

    def renumber(self, session: int, without: Collection[BatchId] = ()) -> tuple[BatchId, ...]:
        """Give everything left the numbers 1, 2, 3, … of a new session, in the same order.

        Needed when the receiver was set back to a backup, or numbers are missing here. One small
        record is written, on stable storage at the return; no batch is read or moved.

        Parameters
        ----------
        session
            Higher than every one before.
        without
            Batches that are given up.

        Raises
        ------
        Unavailable
            When the disk refuses; every batch keeps its number.
        """
        left = [batch for batch in self._order if batch not in without]
        stretches = b"".join(_STRETCH.pack(*stretch) for stretch in _stretches(left))
        # Twice, because a damaged one would leave batches under numbers that count as
        # acknowledged; with the mark of a payload, so that it is found behind damage.
        place = self._write(_RENUMBERED, session, len(left), _STREAM_MARK + stretches, copies=2)
        self._sync_or_undo(place.start)
        places = [self._places[batch] for batch in left]
        for batch in self._order:
            self._live[self._places[batch].segment] -= 1
        self._order.clear()
        self._places.clear()
        for seq, kept in enumerate(places, start=1):
            self._remember(BatchId(session, seq), kept)
        self.last_session = max(self.last_session, session)
        self._drop_empty()
        return tuple(self._order)

    def sync_due(self) -> Callable[[], None] | None:
        """Work for another thread that makes everything durable, when the interval has passed.

        It raises OSError when the disk refuses; the next one is then due at once.
        """
        now = self._clock()
        if self._sync != "interval" or not (self._full or (self._unsynced and self._fd >= 0)):
            return None
        if now - self._synced_at < self._sync_every_s:
            return None
        full, self._full = self._full, []
        own = os.dup(self._fd) if self._fd >= 0 else -1
        folder = self._folder if full else None
        self._unsynced, self._synced_at = False, now

        def work() -> None:
            try:
                while full:
                    os.fdatasync(full[0])
                    os.close(full.pop(0))
                if own >= 0:
                    os.fdatasync(own)
                if folder is not None:
                    OsDisk().sync_folder(folder)
            except OSError:
                self._unsynced, self._synced_at = True, -math.inf
                self._full.extend(full)
                raise
            finally:
                if own >= 0:
                    os.close(own)

        return work

    def sync(self) -> None:
        """Return once everything written is on stable storage."""
        while self._full:
            os.fdatasync(self._full[0])
            os.close(self._full.pop(0))
        if self._fd >= 0 and self._unsynced:
            os.fdatasync(self._fd)
            self._unsynced = False
        self._synced_at = self._clock()

    # --- size ---

    @property
    def unacked(self) -> tuple[BatchId, ...]:
        """Batches kept, oldest first."""
        return tuple(self._order)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def used_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    # --- inside ---

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:012d}{_SUFFIX}"

    def _remember(self, batch: BatchId, place: _Place) -> None:
        self._places[batch] = place
        self._order.append(batch)
        self._live[place.segment] = self._live.get(place.segment, 0) + 1

    def _write(self, kind: int, session: int, seq: int, payload: bytes, copies: int = 1) -> _Place:
        if self._fd < 0 or self._sizes[self._writing] >= self._segment_bytes:
            self._begin_segment()
        covered = _COVERED.pack(len(payload), kind, session, seq)
        crc = zlib.crc32(payload, zlib.crc32(covered))
        frame = (_FRAME.pack(len(payload), crc, kind, session, seq) + payload) * copies
        start = self._sizes[self._writing]
        try:
            done = os.write(self._fd, frame)
            while done < len(frame):
                done += os.write(self._fd, frame[done:])
        except OSError as fault:
            self._undo(start)
            raise self._refused(fault) from fault
        self._sizes[self._writing] = start + len(frame)
        self._unsynced = True
        return _Place(self._writing, start, len(payload))

    def _sync_or_undo(self, start: int) -> None:
        """Make the newest frame durable, or take it back."""
        try:
            self.sync()
        except OSError as fault:
            self._undo(start)
            raise self._refused(fault) from fault

    def _undo(self, start: int) -> None:
        """Cut the segment off where a frame began; if not even that works, begin another one."""
        self._sizes[self._writing] = start
        try:
            os.ftruncate(self._fd, start)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _refused(self, fault: OSError) -> Unavailable:
        return Unavailable(
            f"the gateway's buffer cannot be written ({fault.strerror})",
            f"free disk space at {self._folder}",
        )

    def _note_acked(self, upto: BatchId) -> None:
        """Write the acknowledgement down, so that a restart does not send again what is safe."""
        try:
            self._write(_ACK, upto.session, upto.seq, b"")
        except Unavailable:
            # Only a convenience: the receiver acknowledges a batch it already has once more.
            return

    def _begin_segment(self) -> None:
        try:
            self._close_segment()
            number = max(self._sizes, default=self._writing) + 1
            self._fd = self._new_file(self._path(number))
        except OSError as fault:
            raise self._refused(fault) from fault
        self._writing, self._sizes[number] = number, 0
        self._live.setdefault(number, 0)

    def _new_file(self, path: Path) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(path, flags, 0o640)
        try:
            if self._sync == "always":
                OsDisk().sync_folder(self._folder)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return fd

    def _close_segment(self) -> None:
        if self._fd < 0:
            return
        if self._sync == "interval":
            # It is written to the disk with the next sync: nobody waits for it here.
            self._full.append(self._fd)
            self._fd = -1
            return
        if self._sync == "always":
            self.sync()
        os.close(self._fd)
        self._fd = -1

    def _drop_empty(self) -> None:
        """Remove segments without live batches, oldest first, the one being written if it is long.

        An acknowledgement stands in a later segment than the batches it is about, or in the same;
        so a segment may go only when all older ones are gone.
        """
        for number in sorted(self._sizes):
            if self._live.get(number, 0):
                return
            if number == self._writing and self._fd >= 0:
                if self._sizes[number] < self._segment_bytes:
                    return
                os.close(self._fd)
                self._fd = -1
            self._remove(number)

    def _remove(self, number: int) -> None:
        fd = self._readers.pop(number, -1)
        if fd >= 0:
            os.close(fd)
        self._sizes.pop(number, None)
        self._live.pop(number, None)
        with contextlib.suppress(OSError):  # the next start finds it acknowledged and tries again
            self._path(number).unlink()

    def _scan(self, path: Path, found: dict[BatchId, _Place]) -> None:
        """Read a segment's frames."""
        number, data = int(path.stem), path.read_bytes()
        position, whole, readable = 0, 0, 0
        while position < len(data):
            frame = _frame_at(data, position)
            if frame is None:
                position = _next_batch(data, position)
                continue
            kind, batch, size = frame
            if kind == _ACK:
                self.acked_upto = max(self.acked_upto, batch)
            elif kind == _BATCH:
                found[batch] = _Place(number, position, size)
            elif batch.session not in self._renumbered:
                self._renumbered.add(batch.session)
                payload = data[position + _FRAME.size : position + _FRAME.size + size]
                _apply(payload[len(_STREAM_MARK) :], batch.session, found)
            self.last_session = max(self.last_session, batch.session)
            position += _FRAME.size + size
            whole, readable = position, readable + _FRAME.size + size
        self.damaged_bytes += len(data) - readable
        if whole < len(data):
            self.torn_bytes += len(data) - whole
            os.truncate(path, whole)
        self._sizes[number] = whole
        self._live.setdefault(number, 0)
        self._writing = max(self._writing, number)


def _frame_at(data: bytes, position: int) -> tuple[int, BatchId, int] | None:
    """Kind, number and payload size of the frame that begins here; None when none does."""
    head = data[position : position + _FRAME.size]
    if len(head) < _FRAME.size:
        return None
    size, _, kind, session, seq = _FRAME.unpack(head)
    if kind not in {_BATCH, _ACK, _RENUMBERED} or size > len(data) - position - _FRAME.size:
        return None
    payload = data[position + _FRAME.size : position + _FRAME.size + size]
    return (kind, BatchId(session, seq), size) if _valid(head, payload) else None


def _next_batch(data: bytes, damaged: int) -> int:
    """Where the next batch begins after a damaged frame; the end of the data when there is none.

    A payload begins with the mark of an Arrow stream. An acknowledgement that is stepped over costs
    nothing: its batches are offered once more, and acknowledged again.
    """
    mark = data.find(_STREAM_MARK, damaged + _FRAME.size + 1)
    while mark >= 0:
        if _frame_at(data, mark - _FRAME.size) is not None:
            return mark - _FRAME.size
        mark = data.find(_STREAM_MARK, mark + 1)
    return len(data)


def _stretches(numbers: Iterable[BatchId]) -> list[tuple[int, int, int]]:
    """Numbers in their order as (session, first seq, count)."""
    found: list[tuple[int, int, int]] = []
    for session, seq in numbers:
        if found and (session, seq) == (found[-1][0], found[-1][1] + found[-1][2]):
            found[-1] = (session, found[-1][1], found[-1][2] + 1)
        else:
            found.append((session, seq, 1))
    return found


def _apply(stretches: bytes, session: int, found: dict[BatchId, _Place]) -> None:
    """Give the batches of the stretches the numbers 1, 2, 3, … of a session; the others go.

    One that is missing keeps its number free, so that the hole is seen.
    """
    places: dict[BatchId, _Place] = {}
    seq = 0
    for old, first, count in _STRETCH.iter_unpack(stretches):
        for number in range(first, first + count):
            seq += 1
            place = found.get(BatchId(old, number))
            if place is not None:
                places[BatchId(session, seq)] = place
    found.clear()
    found.update(places)


def _valid(head: bytes, payload: bytes) -> bool:
    size, crc, kind, session, seq = _FRAME.unpack(head)
    covered = _COVERED.pack(size, kind, session, seq)
    return bool(size == len(payload) and crc == zlib.crc32(payload, zlib.crc32(covered)))


def _encode(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema, options=_WRITE) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _decode(payload: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(payload) as reader:
        return reader.read_next_batch()
