"""Backup while running, and restore that believes nothing unchecked.

A backup holds the files of one manifest row, their logs, that one row, the snapshots and the
format stamp, and a list of checksums that is written last: a folder without it is no backup.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from models.errors import Corrupt, Refused
from twin.failpoint import Failpoint, never
from twin.memory.deltalog import SealedFile
from twin.memory.fsync import fsync_folder, write_durably
from twin.memory.manifest import ManifestRow, ManifestStore
from twin.memory.snapshots import FOLDER as SNAPSHOTS
from twin.memory.stamp import FILE as STAMP
from twin.memory.stamp import checked_stamp
from twin.memory.tables import TABLES, TableSpec

LIST: Final = "checksums.json"
_PIN: Final = "backup"
_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What a backup holds.

    Parameters
    ----------
    manifest
        The manifest row it is of.
    files
        Number of files.
    size
        Bytes in them.
    """

    manifest: ManifestRow
    files: int
    size: int


class Source(Protocol):
    """What is asked of a memory that is backed up."""

    @property
    def folder(self) -> Path:
        """Folder of the memory."""

    def pinned(self, name: str) -> AbstractContextManager[ManifestRow]:
        """Newest manifest row, its files kept until the block ends."""

    def files(self, manifest: ManifestRow, table: str) -> tuple[SealedFile, ...]:
        """Files of one table."""

    def log_files(self, manifest: ManifestRow, table: str) -> list[Path]:
        """Log files of one table."""

    def snapshot_files(self) -> list[Path]:
        """Files of the snapshots."""

    def check(self, spec: TableSpec, file: SealedFile) -> None:
        """Check every byte of one file."""


def backup(memory: Source, to: Path, failpoint: Failpoint = never) -> Backup:
    """Copy a consistent state of a running memory; sealing and reading go on.

    Parameters
    ----------
    memory
        The memory.
    to
        Folder that is missing or empty.
    failpoint
        Called after every file.

    Raises
    ------
    Refused
        If the folder holds anything.
    Corrupt
        If a file fails its checksum: a backup of damaged data is not made.
    """
    _refuse_taken(to)
    to.mkdir(parents=True, exist_ok=True)
    with memory.pinned(f"{_PIN}:{to}") as row:
        listed = {}
        for path in _files(memory, row):
            name = path.relative_to(memory.folder).as_posix()
            if path.parent.name == SNAPSHOTS and not path.exists():
                continue  # retention took it meanwhile
            listed[name] = _copy(path, to / name)
            failpoint("backup.copied")
        store = ManifestStore(to)
        store.create()
        store.add(row)
        store.settle()
        listed[store.path.name] = _hash(store.path)
        for folder in {(to / name).parent for name in listed}:
            fsync_folder(folder)
        failpoint("backup.listed")
        write_durably(to / LIST, _list(listed))
    return Backup(manifest=row, files=len(listed), size=sum(size for size, _ in listed.values()))


def restore(source: Path, to: Path, failpoint: Failpoint = never) -> int:
    """Put a backup in place, after every checksum of it was found right.

    Parameters
    ----------
    source
        A backup.
    to
        Folder of the memory to be: missing or empty.
    failpoint
        Called after every file.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    Refused
        If the target holds anything, or the source is no whole backup.
    Corrupt
        If any byte of the backup is not what was backed up; the target is not touched.
    """
    _refuse_taken(to)
    listed = _read_list(source)
    for name, (size, digest) in listed.items():
        path = source / name
        if not path.is_file():
            raise Corrupt(f"{path} is missing from the backup", "use another backup")
        if _hash(path) != (size, digest):
            raise Corrupt(f"{path} is not what was backed up", "use another backup")
    checked_stamp(source)
    failpoint("restore.checked")
    beside = to.with_name(f".{to.name}.restoring")
    shutil.rmtree(beside, ignore_errors=True)
    for name, expected in listed.items():
        if _copy(source / name, beside / name) != expected:
            raise Corrupt(f"{source / name} changed while it was copied", "restore again")
        failpoint("restore.copied")
    for folder in {(beside / name).parent for name in listed}:
        fsync_folder(folder)
    fsync_folder(beside)
    failpoint("restore.whole")
    if to.exists():
        to.rmdir()
    beside.rename(to)
    fsync_folder(to.parent)
    return len(listed)


def _files(memory: Source, row: ManifestRow) -> Iterator[Path]:
    """Every file of the row's versions, each sealed file checked before it is copied."""
    yield memory.folder / STAMP
    for name, spec in TABLES.items():
        for file in memory.files(row, name):
            path = memory.folder / name / file.name
            memory.check(spec, file)
            yield path
        yield from memory.log_files(row, name)
    yield from memory.snapshot_files()


def _copy(source: Path, to: Path) -> tuple[int, str]:
    """Copy a file durably; return its size and digest."""
    to.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as given, to.open("wb") as taken:
        while block := given.read(_BLOCK):
            digest.update(block)
            size += len(block)
            taken.write(block)
        taken.flush()
        os.fsync(taken.fileno())
    return size, digest.hexdigest()


def _hash(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _list(listed: dict[str, tuple[int, str]]) -> bytes:
    body = json.dumps(listed, sort_keys=True)
    return json.dumps({"files": body, "sha256": _digest(body)}).encode()


def _read_list(source: Path) -> dict[str, tuple[int, str]]:
    path = source / LIST
    if not path.is_file():
        raise Refused(f"{source} is no whole backup: {LIST} is missing", "use another backup")
    try:
        given = json.loads(path.read_bytes())
        body = given["files"]
        sound = _digest(body) == given["sha256"]
        listed = {
            name: (int(size), str(digest)) for name, (size, digest) in json.loads(body).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise Corrupt(f"{path} fails its checksum", "use another backup")
    inside = source.resolve()
    if any(not (source / name).resolve().is_relative_to(inside) for name in listed):
        raise Refused(f"{path} names files outside the backup", "use another backup")
    return listed


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _refuse_taken(to: Path) -> None:
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise Refused(f"{to} is not empty", "give a new or empty folder")
