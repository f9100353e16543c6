"""Logging, configured once at the door of each process: rotating files, plain or JSON lines."""

import logging
import logging.handlers
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

_BYTES: Final = 10 * 2**20
_FILES: Final = 5
_PLAIN: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    *("message", "asctime", "taskName", "color_message", "_ray_timestamp_ns")
}
_LOUD: Final = ("asyncua", "uvicorn.access", "alembic", "ray", "httpx", "httpcore", "numba")


class JsonLines(logging.Formatter):
    """One JSON object per record; what a call passed as ``extra`` becomes keys of it."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= extras(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class PlainLines(logging.Formatter):
    """A readable line; extras follow as ``key=value``."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line = super().format(record)
        more = " ".join(f"{key}={on_one_line(value)}" for key, value in extras(record).items())
        return f"{line} {more}" if more else line


def on_one_line(value: object) -> str:
    """A value as text without control signs: what a server says must not look like our lines."""
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def extras(record: logging.LogRecord) -> dict[str, object]:
    """What a call passed as ``extra``."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def configure(folder: Path, name: str, level: str = "INFO", style: str = "plain") -> None:
    """Send this process's log to ``<folder>/<name>.log``, rotated; errors to the console too."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    formatter = JsonLines() if style == "json" else PlainLines(_PLAIN)
    file = logging.handlers.RotatingFileHandler(
        folder / f"{name}.log", maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8"
    )
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.ERROR)
    for handler in (file, console):
        handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        if isinstance(old, logging.FileHandler):
            old.close()
    root.setLevel(level.upper())
    root.addHandler(file)
    root.addHandler(console)
    for loud in _LOUD:
        logging.getLogger(loud).setLevel(max(logging.WARNING, root.level))


def cut_output(file: Path, most_bytes: int = _BYTES, files: int = _FILES) -> None:
    """Rotate what a process writes to its console, while it writes.

    The process keeps its handle, so the text is copied and the file emptied; a line written in
    between is lost. It has to be open for appending.
    """
    try:
        if file.stat().st_size < most_bytes:
            return
        for number in range(files - 1, 0, -1):
            older = file.with_name(f"{file.name}.{number}")
            if older.exists():
                older.replace(file.with_name(f"{file.name}.{number + 1}"))
        shutil.copyfile(file, file.with_name(f"{file.name}.1"))
        os.truncate(file, 0)
    except FileNotFoundError:
        return
    except OSError as error:  # a full disk: it is tried again, nothing else depends on it
        logging.getLogger(__name__).warning("output not rotated", extra={"cause": str(error)})
