"""Opening the metadata store: SQLite beside the data by default, PostgreSQL by URL."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from cluster.metadata.sqlite import BUSY_S, file_of, make_durable


def connect(folder: Path, url: str | None) -> Engine:
    """Open the store of a data folder, or the database of a URL; nothing is created in it yet."""
    if url:
        return create_engine(url, pool_pre_ping=True)
    engine = create_engine(f"sqlite:///{file_of(folder)}", connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _durable)
    event.listen(engine, "begin", _immediate)
    return engine


def _durable(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    make_durable(connection)


def _immediate(connection: Connection) -> None:
    """Take the write lock at once: a deferred transaction can fail when it starts to write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
