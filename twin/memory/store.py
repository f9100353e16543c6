"""The memory of one shard: seal, read, compact, retain, vacuum, snapshots."""

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import Corrupt, TwinError
from twin.disk import Disk, OsDisk
from twin.failpoint import Failpoint, never
from twin.memory import compact, merge, retention
from twin.memory.backup import Backup, backup, restore
from twin.memory.deltalog import SealedFile, describe
from twin.memory.fsync import fsync_folder
from twin.memory.manifest import ManifestRow, ManifestStore
from twin.memory.read import History, Reader, coverage_in_order
from twin.memory.rollup import to_table
from twin.memory.rows import day_of, ints, is_empty, ordered, to_raw
from twin.memory.sealed import write_sealed
from twin.memory.settings import DAY_US, HOUR_US, DiskLevel, MemorySettings, disk_level
from twin.memory.snapshots import Snapshot, Snapshots
from twin.memory.stamp import FORMAT, checked_stamp, read_stamp, write_stamp
from twin.memory.tables import COVERAGE_TABLE, HOUR, MINUTE, RAW, TABLES, TableSpec
from twin.samples import from_us
from twin.tags import Kind

Ints = npt.NDArray[np.int64]

_DEFAULTS: Final = MemorySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What one commit does to one table.

    Parameters
    ----------
    add, remove
        Files that join and leave.
    """

    add: Sequence[SealedFile] = ()
    remove: Sequence[SealedFile] = ()


class Memory(History):
    """What a shard remembers. One writer (the shard's owner), any number of readers.

    Made by `Memory.open`. A reader in another process needs no `Memory`: it builds
    ``History(Reader(folder, settings))`` and reads with the shard's cut.
    """

    def __init__(
        self, folder: Path, disk: Disk, settings: MemorySettings, failpoint: Failpoint
    ) -> None:
        self.folder, self.settings = folder, settings
        self._disk, self._failpoint = disk, failpoint
        self._store = ManifestStore(folder)
        self._snapshots = Snapshots(folder, failpoint)
        self._write = threading.RLock()
        self._reader = Reader(folder, settings)
        self._newest: ManifestRow | None = None
        super().__init__(self._reader)

    @classmethod
    def open(
        cls,
        folder: Path,
        disk: Disk | None = None,
        settings: MemorySettings = _DEFAULTS,
        failpoint: Failpoint = never,
    ) -> Self:
        """Open a memory, or make one where the folder is missing or empty.

        Parameters
        ----------
        folder
            Folder of the memory, all its own.
        disk
            Asked for free space; the machine's own when None. Sealed files themselves are written
            by pyarrow and deltalake.
        settings, failpoint
            Settings, and the tests' fail-points.

        Raises
        ------
        NewerFormat, Refused
            If the folder has another format, or holds something else.
        Corrupt
            If the manifest fails its checksum.
        """
        folder.mkdir(parents=True, exist_ok=True)
        fsync_folder(folder.parent)
        if read_stamp(folder) is None and not any(
            entry for entry in folder.iterdir() if not entry.name.startswith(".")
        ):
            write_stamp(folder, FORMAT)
        checked_stamp(folder)
        memory = cls(folder, disk or OsDisk(), settings, failpoint)
        memory._recover()
        return memory

    @property
    def manifest(self) -> ManifestRow:
        """Newest manifest row."""
        if self._newest is None:
            raise Corrupt(f"{self.folder} is not open", "open it with Memory.open")
        return self._newest

    def seal(
        self,
        rows: pa.Table,
        coverage: pa.Table,
        kinds: Mapping[int, Kind],
        upto_offset: int,
        now_us: int,
    ) -> ManifestRow:
        """Seal everything journalled up to an offset.

        Parameters
        ----------
        rows
            Samples journalled after the manifest's offset, any order, schema `SAMPLES`.
        coverage
            Coverage rows journalled after it, schema `COVERAGE`.
        kinds
            Kind of each tag.
        upto_offset
            Journal offset of the last of them; one that is sealed already does nothing.
        now_us
            Wall time [us since 1970].

        Returns
        -------
        ManifestRow
            What names the sealed versions: durable when returned.
        """
        with self._write:
            if upto_offset <= self.manifest.offset:
                return self.manifest
            self._roll_back()
            self._failpoint("seal.begun")
            new = ordered(to_raw(rows))
            changed = merge.change(new, kinds, self._reader.at(self.manifest))
            self._failpoint("seal.folded")
            edits = {
                "raw": Edit(add=self._write_raw(new, changed.dirty)),
                "minute": Edit(
                    add=self._write_days(
                        MINUTE, to_table(changed.minute, MINUTE.bucket_us, upto_offset)
                    )
                ),
                "hour": Edit(
                    add=self._write_days(HOUR, to_table(changed.hour, HOUR.bucket_us, upto_offset))
                ),
                "coverage": Edit(
                    add=self._write_days(
                        COVERAGE_TABLE, coverage_in_order(coverage.cast(COVERAGE_TABLE.schema))
                    )
                ),
            }
            return self._publish("seal", edits, now_us, offset=upto_offset, data_change=True)

    def compact(self, day: date, now_us: int) -> ManifestRow:
        """Merge the files of one UTC day into one sorted file per table; rows stay the same."""
        number = (day - date(1970, 1, 1)).days
        with self._write:
            groups = {
                name: compact.files_of_day(self._files(name), number, spec)
                for name, spec in TABLES.items()
            }
            return self._merge(groups, f"day-{day.isoformat()}", now_us)

    def compact_due(self, now_us: int, keep_days: int = 1, keep_months_days: int = 2) -> int:
        """Compact every day before the last ``keep_days`` days, then rollup weeks and months.

        A chart of a year opens every file of a rollup table, so these are kept few: days are
        merged by seven as long as their month runs, and the month once it has ended.

        Parameters
        ----------
        now_us
            Wall time [us since 1970].
        keep_days
            Full days before today that are left alone.
        keep_months_days
            Months that ended longer ago than this have their rollups merged into one file [d].

        Returns
        -------
        int
            Merges done; call again until it is 0 when the work is to be spread.
        """
        before = now_us // DAY_US - keep_days
        with self._write:
            days = {
                day
                for name, spec in TABLES.items()
                for day in compact.days_due(self._files(name), before, spec)
            }
            for day in sorted(days):
                self.compact(from_us(day * DAY_US).date(), now_us)
            weeks = self._compact_weeks(before, now_us)
            months = {
                month
                for spec in (MINUTE, HOUR, COVERAGE_TABLE)
                for month in compact.months_due(
                    self._files(spec.name), now_us // DAY_US - keep_months_days
                )
            }
            for month in sorted(months):
                groups = {
                    spec.name: compact.files_of_month(self._files(spec.name), month)
                    for spec in (MINUTE, HOUR, COVERAGE_TABLE)
                }
                self._merge(groups, f"month-{month}", now_us)
        return len(days) + weeks + len(months)

    def _compact_weeks(self, before: int, now_us: int) -> int:
        """Merge rollup days before a day by seven of one month; return how many merges."""
        done = 0
        for spec in (MINUTE, HOUR):
            for week in compact.weeks_due(self._files(spec.name), before, spec):
                first = from_us(week[0].begin_us).date().isoformat()
                self._merge({spec.name: week}, f"week-{first}", now_us)
                done += 1
        return done

    def retain(self, park_us: int, now_us: int) -> ManifestRow:
        """Forget what is older than the settings keep: whole files of samples and minutes.

        Parameters
        ----------
        park_us
            Park time [us since 1970]: rows and snapshots are as old as it says, and a demo's park
            may live in another season than we.
        now_us
            Wall time [us since 1970].
        """
        with self._write:
            self._roll_back()
            limits = retention.limits_us(self.settings, park_us)
            edits = {
                name: Edit(remove=[f for f in self._files(name) if f.end_us < limit])
                for name, limit in limits.items()
            }
            self._snapshots.drop_before(park_us - self.settings.raw_days * DAY_US)
            if not any(edit.remove for edit in edits.values()):
                return self.manifest
            return self._publish(
                "retain", edits, now_us, data_change=True, raw_floor_us=limits["raw"]
            )

    def vacuum(self, now_us: int) -> int:
        """Remove files that no version still to be read needs, and what crashes left.

        A version stays until `MemorySettings.pin_s` after it was superseded, or while it is
        pinned. Returns how many files went.
        """
        with self._write:
            self._roll_back()
            kept = retention.kept_rows(
                self._store.all(), set(self._store.pins()), now_us, self.settings.pin_s
            )
            self._store.drop_except([row.id for row in kept])
            gone = 0
            for name, spec in TABLES.items():
                needed = {f.name for row in kept for f in self._reader.files(spec, row).files}
                for path in (self.folder / name).glob("*.parquet"):
                    if path.name not in needed:
                        path.unlink()
                        gone += 1
                fsync_folder(self.folder / name)
                self._reader.logs[name].drop_log_before(min(row.version(name) for row in kept))
            return gone

    @contextmanager
    def pinned(self, name: str) -> Iterator[ManifestRow]:
        """Newest manifest row, its files kept until the block ends."""
        with self._write:
            row = self.manifest
            self._store.pin(name, row.id)
        try:
            yield row
        finally:
            self._store.unpin(name)

    def put_snapshot(self, at_us: int, offset: int, data: bytes) -> None:
        """Keep a state of the shard durably; see `Snapshots.put`."""
        self._snapshots.put(at_us, offset, data)

    def snapshot_before(self, at_us: int) -> Snapshot | None:
        """Newest state at or before a time; see `Snapshots.before`."""
        return self._snapshots.before(at_us)

    def snapshot_files(self) -> list[Path]:
        """Files of the snapshots, oldest first."""
        return self._snapshots.paths()

    def backup(self, to: Path) -> Backup:
        """Copy a consistent state while running; see `twin.memory.backup.backup`."""
        return backup(self, to, self._failpoint)

    @staticmethod
    def restore(source: Path, to: Path) -> int:
        """Put a backup in place; see `twin.memory.backup.restore`."""
        return restore(source, to)

    def free_fraction(self) -> float:
        """Free part of the disk the memory is on, 0 to 1."""
        return self._disk.free_fraction(self.folder)

    def disk_level(self) -> DiskLevel:
        """What the free disk still allows."""
        return disk_level(self.free_fraction(), self.settings)

    def verify(self) -> tuple[TwinError, ...]:
        """Check every byte of every file of the newest version; return what is wrong."""
        faults: list[TwinError] = []
        for name, spec in TABLES.items():
            for file in self._files(name):
                try:
                    self.check(spec, file)
                except TwinError as error:
                    faults.append(error)
        return tuple(faults)

    def check(self, spec: TableSpec, file: SealedFile) -> None:
        """Check every byte of one file.

        Raises
        ------
        Corrupt
            If any checksum fails.
        """
        path = self.folder / spec.name / file.name
        self._reader.sealed.verify(path, spec, file.size, file.when)

    def files(self, manifest: ManifestRow, table: str) -> tuple[SealedFile, ...]:
        """Files of one table in the version a manifest row names."""
        return self._reader.files(TABLES[table], manifest).files

    def log_files(self, manifest: ManifestRow, table: str) -> list[Path]:
        """Log files of one table that a manifest row's version needs."""
        return self._reader.logs[table].log_files(manifest.version(table))

    def _files(self, name: str) -> tuple[SealedFile, ...]:
        return self.files(self.manifest, name)

    def _recover(self) -> None:
        """Find the newest row, make the tables where there is none, drop what nobody named."""
        self._store.create()
        self._newest = self._store.newest()
        if self._newest is None:
            for name, log in self._reader.logs.items():
                shutil.rmtree(self.folder / name, ignore_errors=True)
                log.create()
                self._failpoint(f"create.{name}")
            fsync_folder(self.folder)
            empty = ManifestRow(
                offset=0, raw_version=0, minute_version=0, hour_version=0, sealed_us=0
            )
            self._name(empty, dict.fromkeys(TABLES, 0))
        self._roll_back()

    def _roll_back(self) -> None:
        for name, log in self._reader.logs.items():
            log.roll_back(self.manifest.version(name))

    def _write_raw(self, new: pa.Table, dirty: npt.NDArray[np.bool_]) -> list[SealedFile]:
        """Write samples by day; late ones apart, so that the others' time range stays narrow."""
        if is_empty(new):
            return []
        sealed_to = max((f.end_us for f in self._files("raw")), default=0)
        late = dirty | (ints(new, "at") < sealed_to - HOUR_US)
        on_time = self._write_days(RAW, new.filter(pa.array(~late)))
        return on_time + self._write_days(RAW, new.filter(pa.array(late)), "late")

    def _write_days(self, spec: TableSpec, table: pa.Table, what: str = "seal") -> list[SealedFile]:
        """Write sorted rows as one file per UTC day."""
        if is_empty(table):
            return []
        day = day_of(table, spec.begin, DAY_US)
        files = []
        for number in np.unique(day):
            name = f"{what}-{from_us(int(number) * DAY_US).date().isoformat()}"
            part = table if (day == number).all() else table.filter(pa.array(day == number))
            files.append(self._write_file(spec, name, iter([part]), part.num_rows))
        self._failpoint(f"seal.written.{spec.name}.{what}")
        return files

    def _write_file(
        self, spec: TableSpec, what: str, tables: Iterator[pa.Table], count: int
    ) -> SealedFile:
        """Write one file of the manifest row to come, of about so many rows, and fsync it."""
        path = self.folder / spec.name / f"{self.manifest.id + 1:010d}-{what}.parquet"
        path.unlink(missing_ok=True)
        metadata = write_sealed(path, spec, tables, self.settings.group_rows(spec.bucket_us, count))
        return describe(path, spec, metadata)

    def _merge(
        self, groups: Mapping[str, Sequence[SealedFile]], what: str, now_us: int
    ) -> ManifestRow:
        """Replace each group of files by one that holds the same rows."""
        due = {name: files for name, files in groups.items() if len(files) > 1}
        if not due:
            return self.manifest
        self._roll_back()
        edits = {}
        for name, files in due.items():
            spec = TABLES[name]
            merged = compact.merged(self._reader, spec, files, self.settings.merge_rows)
            count = sum(f.rows for f in files)
            edits[name] = Edit(add=[self._write_file(spec, what, merged, count)], remove=files)
            self._failpoint(f"compact.written.{name}")
        return self._publish("compact", edits, now_us, data_change=False)

    def _publish(
        self,
        what: str,
        edits: Mapping[str, Edit],
        now_us: int,
        *,
        data_change: bool,
        offset: int | None = None,
        raw_floor_us: int = 0,
    ) -> ManifestRow:
        """Make the files durable, commit them to their logs, and name the versions."""
        before = self.manifest
        versions = before.versions()
        for name, edit in edits.items():
            if edit.add or edit.remove:
                fsync_folder(self.folder / name)
                self._failpoint(f"{what}.synced.{name}")
                versions[name] = self._reader.logs[name].commit(
                    before.version(name), edit.add, edit.remove, data_change=data_change
                )
                self._failpoint(f"{what}.committed.{name}")
        named = ManifestRow(
            id=before.id,
            offset=before.offset if offset is None else offset,
            raw_version=0,
            minute_version=0,
            hour_version=0,
            sealed_us=now_us,
            raw_floor_us=max(before.raw_floor_us, raw_floor_us),
        )
        row = self._name(named, versions)
        self._failpoint(f"{what}.named")
        self._checkpoint(before, row)
        self._failpoint(f"{what}.done")
        return row

    def _name(self, row: ManifestRow, versions: Mapping[str, int]) -> ManifestRow:
        """Commit the manifest row of these versions."""
        digests = {
            name: self._reader.logs[name].files(version).digest
            for name, version in versions.items()
        }
        named = ManifestRow(
            id=row.id + 1,
            offset=row.offset,
            raw_version=versions["raw"],
            minute_version=versions["minute"],
            hour_version=versions["hour"],
            coverage_version=versions["coverage"],
            sealed_us=row.sealed_us,
            raw_floor_us=row.raw_floor_us,
            digests=digests,
        )
        self._store.add(named)
        self._newest = named
        return named

    def _checkpoint(self, before: ManifestRow, row: ManifestRow) -> None:
        every = self.settings.checkpoint_every
        for name, log in self._reader.logs.items():
            if before.version(name) // every < row.version(name) // every:
                log.checkpoint(row.version(name))
