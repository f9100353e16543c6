"""Opening the metadata store: SQLite beside the data by default, PostgreSQL by URL."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import ConnectionPoolEntry

from models.errors import NewerFormat

FILE: Final = "metadata.db"
_BUSY_S: Final = 30.0
_ADVISORY_KEY: Final = 0x7061726B
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def connect(folder: Path, url: str | None) -> Engine:
    """Open the store of a data folder, or the database of a URL; nothing is created in it yet."""
    if url:
        return create_engine(url, pool_pre_ping=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    # Created by us first, so that neither the file nor SQLite's side files are ever readable to
    # others: -wal and -shm inherit the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": _BUSY_S})
    event.listen(engine, "connect", _durable)
    event.listen(engine, "begin", _immediate)
    return engine


def upgrade(engine: Engine, folder: Path) -> None:
    """Bring the store to this version's format; one process at a time, the others wait.

    Raises
    ------
    NewerFormat
        When a newer version wrote it.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with _alone(engine, folder), engine.connect() as connection:
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        connection.commit()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _durable(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """WAL, every commit on disk; transactions are begun by us (`_immediate`), not by the driver."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")


def _immediate(connection: Connection) -> None:
    """Take the write lock at once: a deferred transaction can fail when it starts to write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    found = MigrationContext.configure(connection).get_current_revision()
    head = scripts.get_current_head() or "0"
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        number = int(found) if found.isdigit() else 0
        raise NewerFormat("the metadata store", number, int(head))


@contextmanager
def _alone(engine: Engine, folder: Path) -> Iterator[None]:
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_KEY})
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_KEY})
        return
    fd = os.open(folder / "metadata.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
