"""Bringing the metadata store to this version's format: one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from cluster.metadata.connect import connect
from cluster.metadata.store import MetadataStore
from models.errors import NewerFormat, Unavailable

_ADVISORY_KEY: Final = 0x7061726B
_MIGRATIONS: Final = Path(__file__).parent / "migrations"


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


def open_store(folder: Path, url: str | None = None) -> MetadataStore:
    """Open a store and bring it to this version's format.

    Raises
    ------
    Unavailable
        When the database does not answer.
    """
    engine = connect(folder, url)
    try:
        upgrade(engine, folder)
    except OperationalError as error:
        engine.dispose()
        raise Unavailable(
            f"the metadata store does not answer ({str(error.orig).strip()})",
            "look at its disk, or at the database that DATABASE_URL names",
        ) from error
    return MetadataStore(engine)
