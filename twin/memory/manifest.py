"""The manifest: one row in SQLite per seal says which version of each table belongs together.

A reader asks the shard once for (tail, manifest row) and opens exactly the versions of that row.
SQLite runs in WAL mode with ``synchronous=FULL``: a row that was committed survives a power cut,
and it is written only after the files and logs it names were fsynced.
"""

import hashlib
import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa

from models.errors import Corrupt

FILE: Final = "manifest.db"
_BUSY_S: Final = 30.0
_COLUMNS: Final = (
    *("id", "offset", "raw_version", "minute_version", "hour_version", "coverage_version"),
    *("sealed_us", "raw_floor_us", "digests"),
)
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS manifest (
    id INTEGER PRIMARY KEY,
    "offset" INTEGER NOT NULL,
    raw_version INTEGER NOT NULL,
    minute_version INTEGER NOT NULL,
    hour_version INTEGER NOT NULL,
    coverage_version INTEGER NOT NULL,
    sealed_us INTEGER NOT NULL,
    raw_floor_us INTEGER NOT NULL,
    digests TEXT NOT NULL,
    crc INTEGER NOT NULL
)
"""
_CREATE_PINS: Final = """
CREATE TABLE IF NOT EXISTS pin (manifest_id INTEGER NOT NULL, name TEXT PRIMARY KEY)
"""


_INSERT: Final = "INSERT INTO manifest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestRow:
    """The versions of the tables that belong together.

    Parameters
    ----------
    offset
        Journal offset up to which (inclusive) everything is sealed in these versions.
    raw_version, minute_version, hour_version, coverage_version
        Version of each Delta table.
    sealed_us
        When the row was written [us since 1970].
    raw_floor_us
        Samples before this time were removed by retention [us since 1970].
    id
        Running number of the row.
    digests
        Table name to the digest of the file list of its version: a damaged log is not believed.
    """

    offset: int
    raw_version: int
    minute_version: int
    hour_version: int
    sealed_us: int
    coverage_version: int = 0
    raw_floor_us: int = 0
    id: int = 0
    digests: Mapping[str, str] = field(default_factory=dict)

    def version(self, table: str) -> int:
        """Version of one table by its name."""
        return self.versions()[table]

    def versions(self) -> dict[str, int]:
        """Table name to version."""
        return {
            "raw": self.raw_version,
            "minute": self.minute_version,
            "hour": self.hour_version,
            "coverage": self.coverage_version,
        }

    def crc(self) -> int:
        """Checksum over every field."""
        fields = asdict(self) | {"digests": dict(self.digests)}
        return zlib.crc32(json.dumps(fields, sort_keys=True).encode())


class Cut(Protocol):
    """A consistent view of a shard: what is sealed, what is not yet, and when it was taken."""

    @property
    def tail(self) -> pa.Table:
        """Samples journalled after the manifest's offset, schema `SAMPLES`."""

    @property
    def manifest(self) -> ManifestRow:
        """The versions that hold everything up to the manifest's offset."""

    @property
    def now_us(self) -> int:
        """Park time of the cut [us since 1970]; the open sample holds up to it."""


def digest_of(lines: list[str]) -> str:
    """Digest of a file list, independent of its order."""
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()


def _values(row: ManifestRow) -> list[object]:
    """Values of a row in the order of the columns, its checksum last."""
    digests = json.dumps(dict(row.digests), sort_keys=True)
    return [*(digests if c == "digests" else getattr(row, c) for c in _COLUMNS), row.crc()]


class ManifestStore:
    """The manifest rows of one memory, newest last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def create(self) -> None:
        """Create the tables where they are missing."""
        with self._open() as db:
            db.execute(_CREATE)
            db.execute(_CREATE_PINS)

    def newest(self) -> ManifestRow | None:
        """Last row, None before the first.

        Raises
        ------
        Corrupt
            If the row fails its checksum, or SQLite cannot read its file.
        """
        rows = self._rows("ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def all(self) -> list[ManifestRow]:
        """Return every row, oldest first."""
        return self._rows("ORDER BY id")

    def add(self, row: ManifestRow) -> None:
        """Commit a row; it is durable on return."""
        with self._open() as db:
            db.execute(_INSERT, _values(row))

    def replace_all(self, row: ManifestRow) -> None:
        """Make the table anew with one row, in one transaction."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("DROP TABLE IF EXISTS manifest")
            db.execute(_CREATE)
            db.execute(_CREATE_PINS)
            db.execute(_INSERT, _values(row))

    def settle(self) -> None:
        """Move everything into the one file, so that it can be copied by itself."""
        with closing(sqlite3.connect(self.path)) as db:
            db.execute("PRAGMA journal_mode=DELETE")

    def drop_except(self, kept: Sequence[int]) -> None:
        """Forget all rows but those of these ids."""
        marks = ", ".join("?" * len(kept))
        with self._open() as db:
            db.execute(f"DELETE FROM manifest WHERE id NOT IN ({marks})", list(kept))  # noqa: S608

    def pin(self, name: str, row_id: int) -> None:
        """Keep the files of a row until `unpin`, over restarts too."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO pin VALUES (?, ?)", [row_id, name])

    def unpin(self, name: str) -> None:
        """Release a pin; nothing happens where there is none."""
        with self._open() as db:
            db.execute("DELETE FROM pin WHERE name = ?", [name])

    def pins(self) -> list[int]:
        """Ids of the pinned rows."""
        with self._open() as db:
            return [r[0] for r in db.execute("SELECT manifest_id FROM pin")]

    def _rows(self, how: str) -> list[ManifestRow]:
        names = ", ".join(f'"{c}"' for c in _COLUMNS)
        with self._open() as db:
            found = db.execute(f"SELECT {names}, crc FROM manifest {how}").fetchall()  # noqa: S608
        return [self._checked(row) for row in found]

    def _checked(self, values: tuple[object, ...]) -> ManifestRow:
        named = dict(zip(_COLUMNS, values[:-1], strict=True))
        try:
            named["digests"] = json.loads(str(named["digests"]))
            row = ManifestRow(**named)  # type: ignore[arg-type]
            sound = row.crc() == values[-1]
        except (TypeError, ValueError):
            sound = False
        if not sound:
            raise Corrupt(
                f"{self.path}: manifest row {named['id']} fails its checksum",
                "restore the latest backup, then the journal replays what came after it",
            )
        return row

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as db:
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                with db:
                    yield db
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise Corrupt(
                f"{self.path}: {error}",
                "restore the latest backup, then the journal replays what came after it",
            ) from error
