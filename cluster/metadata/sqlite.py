"""SQLite as the metadata store uses it, without SQLAlchemy: a gateway's first step after a kill.

SQLAlchemy and the tables take half a second of CPU to import, which a restarted gateway would spend
before it delivers anything. The only thing it asks of the store is the number of its session.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from models.errors import Unavailable

FILE: Final = "metadata.db"
BUSY_S: Final = 30.0
_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
NEXT_SESSION: Final = """
INSERT INTO gateways (source, session, started_us) VALUES (:source, :count, :now_us)
ON CONFLICT (source) DO UPDATE
SET session = gateways.session + :count, started_us = excluded.started_us
RETURNING session
"""
"""Counts starts of a gateway; the last session of them. SQLite and PostgreSQL read it alike."""


def file_of(folder: Path) -> Path:
    """The store's file, made if missing.

    By us first, so that neither it nor SQLite's side files are ever readable to others: -wal and
    -shm inherit the mode of the database.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / FILE
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return path


def make_durable(connection: sqlite3.Connection) -> None:
    """WAL, every commit on disk; transactions are begun by us, not by the driver."""
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")


def next_session(folder: Path, source: str, now_us: int) -> int:
    """Count a start of a gateway in the store of a data folder; the new session, from 1.

    Raises
    ------
    Unavailable
        When the store does not answer, or another process has not made its tables yet.
    """
    try:
        with closing(sqlite3.connect(file_of(folder), timeout=BUSY_S)) as connection:
            make_durable(connection)
            asked = {"source": source, "now_us": now_us, "count": 1}
            ((session,),) = connection.execute(NEXT_SESSION, asked).fetchall()
            return int(session)
    except sqlite3.OperationalError as error:
        raise Unavailable(
            f"the metadata store does not answer ({error})",
            "look at its disk; it is tried again",
        ) from error
