"""Snapshots of a shard's state: one checked file each, for `at=`, past forks and proofs."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import Corrupt
from twin.failpoint import Failpoint, never
from twin.memory.fsync import fsync_folder, write_durably

FOLDER: Final = "snapshots"
KEPT: Final = 2
"""Newest snapshots that no age removes: the journal is trimmed to the one before the last."""
_MAGIC: Final = b"PTSN"
_HEAD: Final = struct.Struct("<4sqqQI")
_SUFFIX: Final = ".snapshot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A state of the shard.

    Parameters
    ----------
    at_us
        Park time of the state [us since 1970].
    offset
        Journal offset it includes.
    data
        What the shard gave.
    """

    at_us: int
    offset: int
    data: bytes


class Snapshots:
    """Snapshots in a folder, by park time and offset."""

    def __init__(self, folder: Path, failpoint: Failpoint = never) -> None:
        self.folder = folder / FOLDER
        self._failpoint = failpoint

    def put(self, at_us: int, offset: int, data: bytes) -> None:
        """Keep a snapshot durably; the same (at, offset) again replaces it."""
        if not self.folder.exists():
            self.folder.mkdir()
            fsync_folder(self.folder.parent)
        self._failpoint("snapshot.begun")
        head = _HEAD.pack(_MAGIC, at_us, offset, len(data), zlib.crc32(data))
        check = struct.pack("<I", zlib.crc32(head))
        write_durably(self.folder / f"{at_us:020d}-{offset:020d}{_SUFFIX}", head + check + data)
        self._failpoint("snapshot.kept")

    def before(self, at_us: int) -> Snapshot | None:
        """Newest snapshot at or before a time, None when there is none.

        Raises
        ------
        Corrupt
            If it fails its checksum; ask for an earlier time to get the one before.
        """
        earlier = [p for p in self.paths() if _at_us(p) <= at_us]
        return _read(earlier[-1]) if earlier else None

    def paths(self) -> list[Path]:
        """Files of all snapshots, oldest first."""
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def drop_before(self, at_us: int, keep: int = KEPT) -> int:
        """Remove snapshots older than a time, but not the newest ones; return how many."""
        paths = self.paths()
        old = [p for p in paths[: max(len(paths) - keep, 0)] if _at_us(p) < at_us]
        for path in old:
            path.unlink()
        if old:
            fsync_folder(self.folder)
        return len(old)


def _at_us(path: Path) -> int:
    return int(path.name[:20])


def _read(path: Path) -> Snapshot:
    raw = path.read_bytes()
    body = _HEAD.size + 4
    if len(raw) < body or struct.unpack("<I", raw[body - 4 : body])[0] != zlib.crc32(
        raw[: _HEAD.size]
    ):
        raise _corrupt(path)
    magic, at_us, offset, length, crc = _HEAD.unpack(raw[: _HEAD.size])
    data = raw[body:]
    if magic != _MAGIC or len(data) != length or zlib.crc32(data) != crc or at_us != _at_us(path):
        raise _corrupt(path)
    return Snapshot(at_us=at_us, offset=offset, data=data)


def _corrupt(path: Path) -> Corrupt:
    return Corrupt(
        f"{path} fails its checksum", "remove it: an earlier snapshot and the journal replace it"
    )
