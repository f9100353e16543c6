"""Opening the metadata store: SQLite beside the data by default, PostgreSQL by URL."""

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from cluster.metadata.sqlite import BUSY_S, file_of, make_durable
from models.errors import InputError, Refused

_WHERE: Final = "DATABASE_URL"
_DRIVERS: Final = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
"""A URL without a driver means psycopg 3; SQLAlchemy would take psycopg 2."""


def connect(folder: Path, url: str | None) -> Engine:
    """Open the store of a data folder, or the database of a URL; nothing is created in it yet."""
    if url:
        return _server(url)
    engine = create_engine(f"sqlite:///{file_of(folder)}", connect_args={"timeout": BUSY_S})
    event.listen(engine, "connect", _durable)
    event.listen(engine, "begin", _immediate)
    return engine


def _server(url: str) -> Engine:
    """A database by its URL, which may hold a password and is therefore never repeated.

    Raises
    ------
    InputError
        When it is no URL of a database.
    Refused
        When its driver is not installed: the default store needs none.
    """
    scheme, colon, rest = url.partition(":")
    try:
        return create_engine(f"{_DRIVERS.get(scheme, scheme)}{colon}{rest}", pool_pre_ping=True)
    except ArgumentError as error:
        raise InputError(
            "it is no address of a database", "write postgresql://user@host:5432/name", _WHERE
        ) from error
    except ModuleNotFoundError as error:
        raise Refused(
            f"{_WHERE} needs the driver {error.name}, which is not installed",
            "install it beside parktwin: pip install 'psycopg[binary]'",
        ) from error


def _durable(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    make_durable(connection)


def _immediate(connection: Connection) -> None:
    """Take the write lock at once: a deferred transaction can fail when it starts to write."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
