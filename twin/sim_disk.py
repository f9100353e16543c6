"""A disk in memory that can lose power, fail and stop: the fake that ships with `twin.disk`.

It keeps two truths. The *page cache* is what a running process reads back. The *platter* is what
survives a power cut: for a file, what `fdatasync` confirmed; for a name, what `sync_folder`
confirmed. Between the two stands an ordered list of pending operations; a power cut applies a
prefix of it, chosen by the seed, the last write of it perhaps torn or zero-filled.

A failed `fdatasync` behaves as Linux does: the pending bytes stay readable but count as clean, so
that a second `fdatasync` succeeds without storing them.
"""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

from twin.disk import AppendFile, Buffer, Lock


class SimulatedCrash(BaseException):
    """The process ends here. Not an Exception, so that no handler can survive it."""


class Fault(StrEnum):
    """What happens at a disk call."""

    CRASH = "crash"
    """The process ends before the call does anything."""
    CRASH_AFTER = "crash after"
    """The process ends when the call is done."""
    NO_SPACE = "ENOSPC"
    """The call fails; a write may leave some of its bytes."""
    BROKEN = "EIO"
    """The call fails; a write may leave some of its bytes, a sync loses what was pending."""


@dataclass(slots=True)
class _Op:
    """One pending operation on a file: a write at a position, or (data None) a truncation."""

    position: int
    data: bytes | None


def _apply(content: bytearray, op: _Op) -> None:
    if op.data is None:
        del content[op.position :]
        return
    if len(content) < op.position:
        content.extend(bytes(op.position - len(content)))
    content[op.position : op.position + len(op.data)] = op.data


@dataclass(slots=True)
class _Node:
    """A file: page cache, platter, and what lies between."""

    cache: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    pending: list[_Op] = field(default_factory=list)

    def do(self, op: _Op) -> None:
        _apply(self.cache, op)
        self.pending.append(op)

    def sync(self) -> None:
        for op in self.pending:
            _apply(self.platter, op)
        self.pending.clear()

    def lose(self, random: Random) -> None:
        """A failed sync: some were stored, the others count as clean and never will be."""
        for op in self.pending[: random.randint(0, len(self.pending))]:
            _apply(self.platter, op)
        self.pending.clear()

    def cut_power(self, random: Random) -> None:
        """Some prefix of what was pending reached the platter."""
        keep = random.randint(0, len(self.pending))
        for op in self.pending[:keep]:
            _apply(self.platter, op)
        if keep < len(self.pending) and (data := self.pending[keep].data):
            at = self.pending[keep].position
            _apply(self.platter, _Op(at, data[: random.randint(0, len(data))]))
            if random.random() < 0.25:  # the size reached the platter before the bytes did
                self.platter.extend(bytes(max(0, at + len(data) - len(self.platter))))
        self.pending.clear()
        self.cache = bytearray(self.platter)


@dataclass(slots=True)
class _Folder:
    """Names of files: as a process sees them, as they survive, and the changes between."""

    names: dict[str, _Node] = field(default_factory=dict)
    durable: dict[str, _Node] = field(default_factory=dict)
    pending: list[tuple[str, _Node | None, str]] = field(default_factory=list)

    def put(self, name: str, node: _Node, instead_of: str = "") -> None:
        self.names.pop(instead_of, None)
        self.names[name] = node
        self.pending.append((name, node, instead_of))

    def drop(self, name: str) -> None:
        del self.names[name]
        self.pending.append((name, None, ""))

    def settle(self, count: int) -> None:
        """Make the first `count` pending changes durable, and forget the others."""
        for name, node, instead_of in self.pending[:count]:
            self.durable.pop(instead_of, None)
            if node is None:
                self.durable.pop(name, None)
            else:
                self.durable[name] = node
        self.pending.clear()


class SimFile:
    """A file open on a `SimDisk`."""

    def __init__(self, disk: "SimDisk", node: _Node) -> None:
        self._disk, self._node = disk, node

    def writev(self, parts: Sequence[Buffer]) -> None:
        """Append to the page cache."""
        data = b"".join(parts)
        fault = self._disk.step("writev")
        if fault is not None:
            data = data[: self._disk.random.randint(0, len(data))]
        self._node.do(_Op(len(self._node.cache), data))
        self._disk.end(fault)

    def rewrite(self, position: int, data: Buffer) -> None:
        """Dirty existing bytes again."""
        fault = self._disk.step("rewrite")
        if fault is None:
            self._node.do(_Op(position, bytes(data)))
        self._disk.end(fault)

    def truncate(self, size: int) -> None:
        """Cut the page cache."""
        fault = self._disk.step("truncate")
        if fault is None:
            self._node.do(_Op(size, None))
        self._disk.end(fault)

    def fdatasync(self) -> None:
        """Move what is pending to the platter."""
        fault = self._disk.step("fdatasync")
        if fault is None:
            self._node.sync()
        else:
            self._node.lose(self._disk.random)
        self._disk.end(fault)

    def close(self) -> None:
        """Nothing to release."""


class SimLock:
    """A lock of a `SimDisk`."""

    def __init__(self, holders: dict[Path, str], path: Path) -> None:
        self._holders, self._path = holders, path

    def release(self) -> None:
        """Forget the holder."""
        self._holders.pop(self._path, None)


class SimDisk:
    """A `Disk` in memory.

    Parameters
    ----------
    seed
        Chooses what a power cut and a failed write leave behind.
    faults
        Fault by number of the disk call that changes something, counted from 1.

    Attributes
    ----------
    calls
        Number of such calls so far.
    free
        What `free_fraction` answers.
    """

    def __init__(self, seed: int = 0, faults: Mapping[int, Fault] | None = None) -> None:
        self.random = Random(seed)  # noqa: S311 - a reproducible simulation, not a secret
        self.faults = dict(faults or {})
        self.calls = 0
        self.free = 1.0
        self.log: list[str] = []
        self._folders: dict[Path, _Folder] = {}
        self._locks: dict[Path, str] = {}
        self._crash_after = False

    def step(self, call: str) -> Fault | None:
        """Count one call; return the fault it meets, or raise the crash before it."""
        self.calls += 1
        self.log.append(call)
        fault = self.faults.get(self.calls)
        if fault is Fault.CRASH:
            raise SimulatedCrash(self.calls, call)
        if fault is Fault.CRASH_AFTER:
            self._crash_after = True
            return None
        return fault

    def end(self, fault: Fault | None) -> None:
        """Raise what the call of the last `step` has to raise."""
        if self._crash_after:
            self._crash_after = False
            raise SimulatedCrash(self.calls, "after")
        if fault is not None:
            number = errno.ENOSPC if fault is Fault.NO_SPACE else errno.EIO
            raise OSError(number, os.strerror(number))

    def process_died(self) -> None:
        """A crash of the process: locks are free, the page cache lives on."""
        self._locks.clear()

    def power_lost(self) -> None:
        """A power cut: only the platter, and a prefix of what was pending, is left."""
        self._locks.clear()
        for folder in self._folders.values():
            folder.settle(self.random.randint(0, len(folder.pending)))
            folder.names = dict(folder.durable)
            for node in folder.names.values():
                node.cut_power(self.random)

    def flip(self, path: Path, byte: int, bit: int) -> None:
        """Turn over one bit, in the page cache and on the platter."""
        node = self._node(path)
        node.cache[byte] ^= 1 << bit
        if byte < len(node.platter):
            node.platter[byte] ^= 1 << bit

    def make_folder(self, folder: Path) -> None:
        """Folders are durable at once."""
        self._folders.setdefault(folder, _Folder())

    def create(self, path: Path) -> AppendFile:
        """Put an empty file under the name."""
        fault = self.step("create")
        node = _Node()
        if fault is None:
            self._folder(path).put(path.name, node)
        self.end(fault)
        return SimFile(self, node)

    def open_append(self, path: Path) -> AppendFile:
        """Open an existing file."""
        return SimFile(self, self._node(path))

    def read(self, path: Path) -> bytes:
        """Read the page cache."""
        return bytes(self._node(path).cache)

    def size(self, path: Path) -> int:
        """Size in the page cache."""
        return len(self._node(path).cache)

    def listing(self, folder: Path) -> tuple[str, ...]:
        """Sorted names."""
        return tuple(sorted(self._folders[folder].names)) if folder in self._folders else ()

    def rename(self, old: Path, new: Path) -> None:
        """Move a name within its folder."""
        fault = self.step("rename")
        if fault is None:
            self._folder(new).put(new.name, self._node(old), instead_of=old.name)
        self.end(fault)

    def remove(self, path: Path) -> None:
        """Remove a name."""
        self._node(path)  # a missing name is an error, not a call
        fault = self.step("remove")
        if fault is None:
            self._folder(path).drop(path.name)
        self.end(fault)

    def sync_folder(self, folder: Path) -> None:
        """Make the names durable."""
        fault = self.step("sync_folder")
        if fault is None:
            names = self._folders[folder]
            names.settle(len(names.pending))
        self.end(fault)

    def free_fraction(self, folder: Path) -> float:
        """The attribute `free`."""
        del folder
        return self.free

    def lock(self, path: Path, owner: str) -> Lock | str:
        """One holder per path until released or until the process dies."""
        if path in self._locks:
            return self._locks[path]
        self._locks[path] = owner
        return SimLock(self._locks, path)

    def _folder(self, path: Path) -> _Folder:
        if path.parent not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
        return self._folders[path.parent]

    def _node(self, path: Path) -> _Node:
        node = self._folder(path).names.get(path.name)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return node
