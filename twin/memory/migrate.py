"""Migrations: from each older folder format to the next, one step at a time.

Each step may be repeated: the stamp is moved on last, so a crash half way runs it again.
"""

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from models.errors import NewerFormat, Refused
from twin.failpoint import Failpoint, never
from twin.memory.deltalog import DeltaLog
from twin.memory.fsync import fsync_folder
from twin.memory.manifest import FILE, ManifestRow, ManifestStore
from twin.memory.stamp import FORMAT, read_stamp, write_stamp
from twin.memory.tables import COVERAGE_TABLE, TABLES


def migrate(folder: Path, failpoint: Failpoint = never) -> tuple[int, ...]:
    """Bring a memory's folder to the format of this parktwin.

    Parameters
    ----------
    folder
        Folder of the memory; nobody may have it open.
    failpoint
        Called after every step.

    Returns
    -------
    tuple of int
        The formats reached, in order; empty when there was nothing to do.

    Raises
    ------
    NewerFormat
        If a newer parktwin wrote it.
    Refused
        If it has no stamp.
    """
    found = read_stamp(folder)
    if found is None:
        raise Refused(f"{folder} has no format stamp", "give a folder made by parktwin")
    if found > FORMAT:
        raise NewerFormat(str(folder), found, FORMAT)
    reached = []
    for number in range(found, FORMAT):
        MIGRATIONS[number](folder)
        failpoint(f"migrate.changed.{number + 1}")
        write_stamp(folder, number + 1)
        reached.append(number + 1)
        failpoint(f"migrate.stamped.{number + 1}")
    return tuple(reached)


def _add_coverage(folder: Path) -> None:
    """Format 0 to 1: a coverage table, and manifest rows with checksums.

    Format 0 had no coverage table; its manifest rows were (id, offset, raw_version,
    minute_version, hour_version, sealed_us). Only its newest row is carried over.
    """
    with closing(sqlite3.connect(folder / FILE)) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(manifest)")]
        if "crc" in columns:
            return
        newest = db.execute(
            'SELECT id, "offset", raw_version, minute_version, hour_version, sealed_us'
            " FROM manifest ORDER BY id DESC LIMIT 1"
        ).fetchone()
    shutil.rmtree(folder / COVERAGE_TABLE.name, ignore_errors=True)
    DeltaLog(folder / COVERAGE_TABLE.name, COVERAGE_TABLE).create()
    fsync_folder(folder)
    names = ("id", "offset", "raw_version", "minute_version", "hour_version", "sealed_us")
    bare = ManifestRow(**dict(zip(names, newest, strict=True)))
    digests = {
        name: DeltaLog(folder / name, spec).files(bare.version(name)).digest
        for name, spec in TABLES.items()
    }
    row = ManifestRow(**dict(zip(names, newest, strict=True)), digests=digests)
    ManifestStore(folder).replace_all(row)


MIGRATIONS: Final[Mapping[int, Callable[[Path], None]]] = {0: _add_coverage}
"""Format number to what brings it to the next."""
