"""The gateway's disk buffer: numbered batches that nobody has acknowledged yet.

A folder of segments ``<number>.seg``. A frame is::

    payload length u64 | crc32 u32 | kind u8 | session u64 | seq u64 | payload   (little-endian)

kind 1 is a batch (Arrow IPC stream, lz4), kind 2 an acknowledgement (no payload). A frame is
written before its batch is delivered for the first time, so what was not acknowledged survives a
kill of the process; `sync` says when it also survives a power cut. A segment is removed when all
its batches are acknowledged. At `open` a torn tail is cut off, and a frame damaged before the end
costs only itself.

**When it is full** it takes nothing in (`DiskBufferFull`): the gateway then drops what is new,
counts it, and covers it with a gap row. Dropping the oldest would tear a hole into numbered
batches, and lose what is already safe.
"""

import io
import os
import struct
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
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
        self._lock: Lock | None = None
        self.last_session = 0
        """Highest session ever seen in the folder."""
        self.damaged_bytes = 0
        """Bytes found unreadable at `open`, torn tails among them."""

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
        acked = BatchId(0, 0)
        found: dict[BatchId, _Place] = {}
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            acked = max(acked, self._scan(path, found))
        self.last_session = max((self.last_session, acked.session, *(b.session for b in found)))
        for batch in sorted(found):
            if batch > acked:
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
        place = self._write(_BATCH, session, seq, payload)
        self._remember(BatchId(session, seq), place)
        self.last_session = max(self.last_session, session)
        self._unsynced = True
        self._failpoint("buffer.written")
        if self._sync == "always":
            self.sync()
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

    def renumber(self, session: int) -> tuple[BatchId, ...]:
        """Give everything left the numbers 1, 2, 3, … of a new session, in the same order.

        Needed when the receiver was set back to a backup, or numbers are missing here.
        """
        left = list(self._order)
        old = sorted(self._sizes)
        self._begin_segment()
        fresh: list[tuple[BatchId, _Place]] = []
        for batch in left:
            try:
                payload = _encode(self.read(batch))
            except Corrupt:
                continue
            new = BatchId(session, len(fresh) + 1)
            fresh.append((new, self._write(_BATCH, *new, payload)))
        self._unsynced = True
        self.sync()
        for number in old:
            self._remove(number)
        self._order.clear()
        self._places.clear()
        self._live = dict.fromkeys(self._sizes, 0)
        for new, place in fresh:
            self._remember(new, place)
        self.last_session = max(self.last_session, session)
        return tuple(self._order)

    def sync_due(self) -> Callable[[], None] | None:
        """Work for another thread that makes everything durable, when the interval has passed."""
        now = self._clock()
        if self._sync != "interval" or not self._unsynced or self._fd < 0:
            return None
        if now - self._synced_at < self._sync_every_s:
            return None
        self._unsynced, self._synced_at = False, now
        own = os.dup(self._fd)

        def work() -> None:
            try:
                os.fdatasync(own)
            finally:
                os.close(own)

        return work

    def sync(self) -> None:
        """Return once everything written is on stable storage."""
        if self._fd >= 0 and self._unsynced:
            self._unsynced = False
            os.fdatasync(self._fd)
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

    def _write(self, kind: int, session: int, seq: int, payload: bytes) -> _Place:
        if self._fd < 0 or self._sizes[self._writing] >= self._segment_bytes:
            self._begin_segment()
        covered = _COVERED.pack(len(payload), kind, session, seq)
        crc = zlib.crc32(payload, zlib.crc32(covered))
        frame = _FRAME.pack(len(payload), crc, kind, session, seq) + payload
        start = self._sizes[self._writing]
        try:
            done = os.write(self._fd, frame)
            while done < len(frame):
                done += os.write(self._fd, frame[done:])
        except OSError as fault:
            os.ftruncate(self._fd, start)
            raise Unavailable(
                f"the gateway's buffer cannot be written ({fault.strerror})",
                f"free disk space at {self._folder}",
            ) from fault
        self._sizes[self._writing] = start + len(frame)
        return _Place(self._writing, start, len(payload))

    def _note_acked(self, upto: BatchId) -> None:
        """Write the acknowledgement down, so that a restart does not send again what is safe."""
        try:
            self._write(_ACK, upto.session, upto.seq, b"")
        except Unavailable:
            # Only a convenience: the receiver acknowledges a batch it already has once more.
            return

    def _begin_segment(self) -> None:
        self._close_segment()
        self._writing = max(self._sizes, default=self._writing) + 1
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path(self._writing), flags, 0o640)
        except OSError as fault:
            raise Unavailable(
                f"the gateway's buffer cannot be written ({fault.strerror})",
                f"free disk space at {self._folder}",
            ) from fault
        self._sizes[self._writing] = 0
        self._live.setdefault(self._writing, 0)
        if self._sync != "never":
            OsDisk().sync_folder(self._folder)

    def _close_segment(self) -> None:
        if self._fd < 0:
            return
        if self._sync != "never":
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
        self._path(number).unlink(missing_ok=True)
        self._sizes.pop(number, None)
        self._live.pop(number, None)

    def _scan(self, path: Path, found: dict[BatchId, _Place]) -> BatchId:
        """Read a segment's frames; return the highest acknowledgement in it."""
        number, data = int(path.stem), path.read_bytes()
        acked, position, whole, readable = BatchId(0, 0), 0, 0, 0
        while position < len(data):
            frame = _frame_at(data, position)
            if frame is None:
                position = _next_batch(data, position)
                continue
            kind, batch, size = frame
            if kind == _ACK:
                acked = max(acked, batch)
            else:
                found[batch] = _Place(number, position, size)
            position += _FRAME.size + size
            whole, readable = position, readable + _FRAME.size + size
        self.damaged_bytes += len(data) - readable
        if whole < len(data):
            os.truncate(path, whole)
        self._sizes[number] = whole
        self._live.setdefault(number, 0)
        self._writing = max(self._writing, number)
        return acked


def _frame_at(data: bytes, position: int) -> tuple[int, BatchId, int] | None:
    """Kind, number and payload size of the frame that begins here; None when none does."""
    head = data[position : position + _FRAME.size]
    if len(head) < _FRAME.size:
        return None
    size, _, kind, session, seq = _FRAME.unpack(head)
    if kind not in {_BATCH, _ACK} or size > len(data) - position - _FRAME.size:
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
