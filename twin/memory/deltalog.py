"""The Delta log of one table: which files make up which version.

Only versions named by a manifest row count. Whatever a crash left above the named version, even a
torn log entry, is removed before the next commit, so that sealing again repeats nothing. Every
log entry is fsynced with its folder before the manifest names it: deltalake itself never fsyncs.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, PostCommitHookProperties, RemoveAction

from models.errors import Corrupt, Unavailable
from twin.memory.fsync import fsync_file, fsync_folder
from twin.memory.manifest import digest_of
from twin.memory.settings import DAY_US
from twin.memory.tables import TableSpec
from twin.samples import from_us

_LOG: Final = "_delta_log"
_KEPT_FOR_EVER: Final = {"delta.logRetentionDuration": "interval 36500 days"}
_NO_HOOKS: Final = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
_CACHED_VERSIONS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedFile:
    """One file of a table as its log describes it.

    Parameters
    ----------
    name
        File name inside the table's folder.
    size
        Bytes.
    rows
        Rows.
    tag_min, tag_max
        Smallest and largest tag; 0 where rows belong to none.
    begin_us, end_us
        Earliest and latest time in it [us since 1970].
    """

    name: str
    size: int
    rows: int
    tag_min: int
    tag_max: int
    begin_us: int
    end_us: int

    @property
    def when(self) -> str:
        """Time range in words."""
        return f"{from_us(self.begin_us).isoformat()} to {from_us(self.end_us).isoformat()}"

    @property
    def day(self) -> int:
        """Day of its first row, counted from 1970."""
        return self.begin_us // DAY_US

    def line(self) -> str:
        """All of it as one line, for the digest of a version."""
        return (
            f"{self.name} {self.size} {self.rows} {self.tag_min} {self.tag_max}"
            f" {self.begin_us} {self.end_us}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileList:
    """The files of one version, with their bounds as columns for pruning."""

    files: tuple[SealedFile, ...]
    tag_min: npt.NDArray[np.int64]
    tag_max: npt.NDArray[np.int64]
    begin_us: npt.NDArray[np.int64]
    end_us: npt.NDArray[np.int64]

    @property
    def digest(self) -> str:
        """Digest over every file and its bounds."""
        return digest_of([f.line() for f in self.files])

    def within(
        self, since_us: int, until_us: int, tags: npt.NDArray[np.int64] | None = None
    ) -> list[SealedFile]:
        """Files that may hold rows in [since, until) of any of the sorted tags."""
        hit = (self.begin_us < until_us) & (self.end_us >= since_us)
        if tags is not None:
            hit &= holds_any(self.tag_min, self.tag_max, tags)
        return [self.files[i] for i in np.flatnonzero(hit)]


def holds_any(
    low: npt.NDArray[np.int64], high: npt.NDArray[np.int64], tags: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether any of the sorted tags lies in each closed range [low, high]."""
    return np.asarray(np.searchsorted(tags, low, "left") < np.searchsorted(tags, high, "right"))


def file_list(files: Sequence[SealedFile]) -> FileList:
    """Build a file list, sorted by time and name."""
    ordered = tuple(sorted(files, key=lambda f: (f.begin_us, f.name)))

    def column(name: str) -> npt.NDArray[np.int64]:
        return np.array([getattr(f, name) for f in ordered], np.int64)

    return FileList(
        files=ordered,
        tag_min=column("tag_min"),
        tag_max=column("tag_max"),
        begin_us=column("begin_us"),
        end_us=column("end_us"),
    )


def describe(path: Path, spec: TableSpec, metadata: pq.FileMetaData) -> SealedFile:
    """Describe a file just written, from the metadata its writer returned."""

    def bounds(name: str) -> tuple[int, int]:
        j = spec.schema.get_field_index(name)
        found = [metadata.row_group(i).column(j).statistics for i in range(metadata.num_row_groups)]
        return min(s.min_raw for s in found), max(s.max_raw for s in found)

    tag_min, tag_max = bounds("tag") if spec.has_tag else (0, 0)
    return SealedFile(
        name=path.name,
        size=path.stat().st_size,
        rows=metadata.num_rows,
        tag_min=tag_min,
        tag_max=tag_max,
        begin_us=bounds(spec.begin)[0],
        end_us=bounds(spec.end)[1],
    )


class DeltaLog:
    """The log of one table.

    Parameters
    ----------
    folder
        Folder of the table.
    spec
        What the table is.
    """

    def __init__(self, folder: Path, spec: TableSpec) -> None:
        self.folder, self.spec = folder, spec
        self._lists: OrderedDict[int, FileList] = OrderedDict()
        self._lock = threading.Lock()

    def create(self) -> None:
        """Create the empty table, version 0."""
        DeltaTable.create(
            self.folder,
            schema=Schema.from_arrow(self.spec.schema),
            name=self.spec.name,
            configuration=_KEPT_FOR_EVER,
        )
        self._fsync(0)

    def files(self, version: int, digest: str | None = None) -> FileList:
        """Files of one version.

        Parameters
        ----------
        version
            Version as the manifest names it.
        digest
            Digest the list must have; None skips the check.

        Raises
        ------
        Corrupt
            If the log cannot be read or says something else than what was sealed.
        """
        with self._lock:
            found = self._lists.get(version)
        if found is None:
            found = self._load(version)
            if digest is not None and found.digest != digest:
                raise Corrupt(
                    f"{self.folder / _LOG}: version {version} lists other files than were sealed",
                    "restore the latest backup, then the journal replays what came after it",
                )
            with self._lock:
                self._lists[version] = found
                while len(self._lists) > _CACHED_VERSIONS:
                    self._lists.popitem(last=False)
        return found

    def commit(
        self,
        named: int,
        add: Sequence[SealedFile],
        remove: Sequence[SealedFile] = (),
        *,
        data_change: bool,
    ) -> int:
        """Commit files on top of the named version; return the new version, fsynced.

        Parameters
        ----------
        named
            Version the manifest names; anything above it is dropped first.
        add, remove
            Files that join and leave.
        data_change
            False when the rows stay the same (compaction).
        """
        before = self.files(named)
        self.roll_back(named)
        table = DeltaTable(self.folder, version=named)
        now_ms = time.time_ns() // 1_000_000
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=f.name,
                size=f.size,
                partition_values={},
                modification_time=now_ms,
                data_change=data_change,
                stats=self._stats(f),
            )
            for f in add
        ]
        actions += [
            RemoveAction(f.name, data_change, now_ms, size=f.size, partition_values={})
            for f in remove
        ]
        table.create_write_transaction(
            actions,
            mode="append",
            schema=table.schema(),
            partition_by=[],
            post_commithook_properties=_NO_HOOKS,
        )
        version = named + 1
        self._fsync(version)
        gone = {f.name for f in remove}
        with self._lock:
            self._lists[version] = file_list(
                [*(f for f in before.files if f.name not in gone), *add]
            )
        return version

    def roll_back(self, named: int) -> None:
        """Remove every log entry above the named version."""
        entries = list((self.folder / _LOG).glob("*.json"))
        above = [e for e in entries if e.stem.isdigit() and int(e.stem) > named]
        for entry in sorted(above, reverse=True):
            entry.unlink()
        for leftover in (self.folder / _LOG).glob("*.tmp*"):
            leftover.unlink()
        if above:
            fsync_folder(self.folder / _LOG)
        with self._lock:
            for version in [v for v in self._lists if v > named]:
                del self._lists[version]

    def checkpoint(self, version: int) -> None:
        """Write a checkpoint of a named version, so that opening it stays quick."""
        DeltaTable(self.folder, version=version).create_checkpoint()
        log = self.folder / _LOG
        for path in (*log.glob(f"{version:020d}.checkpoint*"), log / "_last_checkpoint"):
            fsync_file(path)
        fsync_folder(log)

    def log_files(self, version: int) -> list[Path]:
        """Log entries and checkpoints that a version needs."""
        found = (self.folder / _LOG).glob("*.*")
        return sorted(p for p in found if _version_of(p) is not None and _known(p, version))

    def drop_log_before(self, version: int) -> None:
        """Remove log entries that no version from this one on needs."""
        log = self.folder / _LOG
        checkpoints = [_version_of(p) for p in log.glob("*.checkpoint.parquet")]
        base = max((c for c in checkpoints if c is not None and c <= version), default=None)
        if base is None:
            return
        for path in log.glob("*.*"):
            found = _version_of(path)
            if found is not None and found < base:
                path.unlink()
        fsync_folder(log)

    def _stats(self, file: SealedFile) -> str:
        low: dict[str, object] = {self.spec.begin: from_us(file.begin_us).isoformat()}
        high: dict[str, object] = {self.spec.end: from_us(file.end_us).isoformat()}
        if self.spec.has_tag:
            low["tag"], high["tag"] = file.tag_min, file.tag_max
        return json.dumps(
            {"numRecords": file.rows, "minValues": low, "maxValues": high, "nullCount": {}}
        )

    def _load(self, version: int) -> FileList:
        try:
            actions = DeltaTable(self.folder, version=version).get_add_actions(flatten=True)
        except (DeltaError, OSError, ValueError) as error:
            if not (self.folder / _LOG).exists():
                raise Unavailable(f"{self.folder} is gone", "ask for a new cut") from error
            raise Corrupt(
                f"{self.folder / _LOG}: version {version} cannot be read: {error}",
                "restore the latest backup, then the journal replays what came after it",
            ) from error
        table = pa.table(actions)
        n = table.num_rows

        def column(name: str) -> list[int]:
            if name not in table.column_names:
                return [0] * n
            values = table[name]
            if pa.types.is_timestamp(values.type):
                values = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
            return [int(v or 0) for v in values.to_pylist()]

        columns = zip(
            table["path"].to_pylist() if n else [],
            column("size_bytes"),
            column("num_records"),
            column("min.tag"),
            column("max.tag"),
            column(f"min.{self.spec.begin}"),
            column(f"max.{self.spec.end}"),
            strict=True,
        )
        names = ("name", "size", "rows", "tag_min", "tag_max", "begin_us", "end_us")
        return file_list([SealedFile(**dict(zip(names, row, strict=True))) for row in columns])

    def _fsync(self, version: int) -> None:
        fsync_file(self.folder / _LOG / f"{version:020d}.json")
        fsync_folder(self.folder / _LOG)
        fsync_folder(self.folder)


def _version_of(path: Path) -> int | None:
    head = path.name.split(".")[0]
    return int(head) if head.isdigit() else None


def _known(path: Path, version: int) -> bool:
    found = _version_of(path)
    return found is not None and found <= version
