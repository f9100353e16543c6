"""A term: the time in which one process owns a shard's folder."""

from datetime import datetime
from pathlib import Path
from typing import Final

from models.errors import ShardOwned
from twin.disk import Disk, Lock
from twin.samples import from_us

LOCK_FILE: Final = "owner.lock"


class Term:
    """An exclusive hold on a shard's folder, taken before anything in it is read.

    The operating system ends it when the process dies, by whatever cause; a forked child that
    keeps the descriptor open prolongs it, so children are started by exec.
    """

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    @classmethod
    def take(cls, folder: Path, disk: Disk, *, pid: int, started_us: int) -> "Term":
        """Own the folder, creating it when it is missing.

        Parameters
        ----------
        folder, disk
            What is owned.
        pid, started_us
            Who owns it, and since when [us]: what another process is told.

        Raises
        ------
        ShardOwned
            When another process owns it; the error says which and since when.
        """
        disk.make_folder(folder)
        since: datetime = from_us(started_us)
        held = disk.lock(folder / LOCK_FILE, f"process {pid} since {since.isoformat()}")
        if isinstance(held, str):
            raise ShardOwned(str(folder), held)
        return cls(held)

    def end(self) -> None:
        """Give the folder up; ending twice is harmless."""
        self._lock.release()
