"""A small file that always holds the newest of many versions, written wherever nobody waits."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)


class LatestFile:
    """Replaces a file in one step; an older version never overwrites a newer one.

    Parameters
    ----------
    path
        The file; its folder is made when it is missing.
    mode
        Permissions of a new file.
    """

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        self.path, self._mode = path, mode
        self._lock = threading.Lock()
        self._given = self._written = 0

    def work(self, text: str) -> Callable[[], None]:
        """Work for any thread that makes `text` the content, unless a newer one is there by then.

        A disk that refuses is logged; what the file held before stays.
        """
        self._given += 1
        number = self._given

        def write() -> None:
            with self._lock:
                if number > self._written:
                    self._replace(text)
                    self._written = number

        return write

    def write(self, text: str) -> None:
        """Make `text` the content now."""
        self.work(text)()

    def remove(self) -> None:
        """Have no file, whatever is still on its way."""
        self._given += 1
        with self._lock:
            self._written = self._given
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _replace(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, self._mode)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(text)
            new.replace(self.path)
        except OSError as fault:
            _log.warning("not noted", extra={"file": self.path.name, "fault": str(fault)})
