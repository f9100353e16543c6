"""Opening the metadata store: SQLite beside the data by default, PostgreSQL by URL."""

import os
import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

FILE: Final = "metadata.db"
_BUSY_S: Final = 30.0


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


def _durable(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    """WAL, every commit on disk; transactions are begun by us (`_immediate`), not by the driver."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={int(_BUSY_S * 1000)}")


def _immediate(connection: Connection) -> None:
    """Take the write lock at once: a deferred transaction can fail when it starts to write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
