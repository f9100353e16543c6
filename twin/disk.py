"""The seam between logic and disk: a small protocol, and the real disk behind it.

The journal, the shard and the memory do their durable work through `Disk`, so that tests can run
them on `twin.sim_disk.SimDisk`, which knows which bytes would survive a power cut.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

Buffer = bytes | bytearray | memoryview

_IOV_MAX: Final = 512
"""Buffers per writev call; Linux allows 1024 (IOV_MAX)."""
_LOCK_TEXT_BYTES: Final = 4096


class AppendFile(Protocol):
    """A file open for appending. Nothing is durable before `fdatasync` returned."""

    def writev(self, parts: Sequence[Buffer]) -> None:
        """Append all bytes of all parts, or raise OSError (some bytes may then be written)."""

    def rewrite(self, position: int, data: Buffer) -> None:
        """Write over existing bytes, so that the next `fdatasync` has to store them again."""

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; later writes append there."""

    def fdatasync(self) -> None:
        """Return once every byte written so far, and the size, is on stable storage."""

    def close(self) -> None:
        """Release the file; closing twice is harmless."""


class Lock(Protocol):
    """An exclusive lock, held until released or until the process dies."""

    def release(self) -> None:
        """Give the lock up; releasing twice is harmless."""


class Disk(Protocol):
    """What parktwin asks of a disk. Every method raises OSError as the operating system does."""

    def make_folder(self, folder: Path) -> None:
        """Create a folder and its parents, durable; an existing one is left as it is."""

    def create(self, path: Path) -> AppendFile:
        """Open an empty file for appending; an existing file loses its content."""

    def open_append(self, path: Path) -> AppendFile:
        """Open an existing file for appending."""

    def read(self, path: Path) -> bytes:
        """Every byte of a file, as the page cache has them."""

    def size(self, path: Path) -> int:
        """Bytes in a file."""

    def listing(self, folder: Path) -> tuple[str, ...]:
        """Names in a folder, sorted; empty when there is no such folder."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name at once, replacing what had it; durable after `sync_folder`."""

    def remove(self, path: Path) -> None:
        """Remove a file; durable after `sync_folder`."""

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in the folder are on stable storage."""

    def free_fraction(self, folder: Path) -> float:
        """Part of the file system that an ordinary user may still fill, 0 to 1."""

    def lock(self, path: Path, owner: str) -> Lock | str:
        """Take an exclusive lock without waiting.

        Returns
        -------
        Lock | str
            The lock, with `owner` written in the file for others to read; or, when another holder
            has it, what that one wrote.
        """


class OsFile:
    """An `AppendFile` on a file descriptor."""

    def __init__(self, path: Path, flags: int) -> None:
        self._fd = os.open(path, flags | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._path = path

    def writev(self, parts: Sequence[Buffer]) -> None:
        """Append all bytes; short writes are continued."""
        left = [memoryview(part).cast("B") for part in parts if len(part)]
        while left:
            done = os.writev(self._fd, left[:_IOV_MAX])
            while left and done >= len(left[0]):
                done -= len(left.pop(0))
            if done:
                left[0] = left[0][done:]

    def rewrite(self, position: int, data: Buffer) -> None:
        """Write over existing bytes through a second descriptor: O_APPEND ignores positions."""
        fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            view = memoryview(data).cast("B")
            while view:
                done = os.pwrite(fd, view, position)
                view, position = view[done:], position + done
        finally:
            os.close(fd)

    def truncate(self, size: int) -> None:
        """Cut the file."""
        os.ftruncate(self._fd, size)

    def fdatasync(self) -> None:
        """Wait for the device."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Release the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsLock:
    """A flock. The kernel frees it when the last process that has the descriptor ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def release(self) -> None:
        """Close the descriptor, which frees the lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsDisk:
    """The disk of the machine."""

    def make_folder(self, folder: Path) -> None:
        """Create missing folders from the top down, each made durable in its parent."""
        missing = [f for f in (folder, *folder.parents) if not f.exists()]
        for new in reversed(missing):
            new.mkdir(exist_ok=True)
            self.sync_folder(new.parent)

    def create(self, path: Path) -> AppendFile:
        """Open an empty file."""
        return OsFile(path, os.O_CREAT | os.O_TRUNC)

    def open_append(self, path: Path) -> AppendFile:
        """Open an existing file."""
        return OsFile(path, 0)

    def read(self, path: Path) -> bytes:
        """Read the whole file."""
        return path.read_bytes()

    def size(self, path: Path) -> int:
        """Ask the file system."""
        return path.stat().st_size

    def listing(self, folder: Path) -> tuple[str, ...]:
        """Sorted names."""
        if not folder.is_dir():
            return ()
        return tuple(sorted(entry.name for entry in folder.iterdir()))

    def rename(self, old: Path, new: Path) -> None:
        """Atomic within one file system."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Unlink."""
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        """Fsync the folder itself."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_fraction(self, folder: Path) -> float:
        """Blocks free to ordinary users over all blocks."""
        stat = os.statvfs(folder)
        return stat.f_bavail / stat.f_blocks if stat.f_blocks else 1.0

    def lock(self, path: Path, owner: str) -> Lock | str:
        """Flock without waiting; the file itself is never removed."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, _LOCK_TEXT_BYTES, 0).decode("utf-8", "replace").strip()
            os.close(fd)
            return holder or "another process"
        except OSError:
            os.close(fd)
            raise
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{owner}\n".encode(), 0)
        return OsLock(fd)
