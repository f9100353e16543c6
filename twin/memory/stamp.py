"""The format of a memory's folder: one number in one file.

A newer parktwin reads older folders after `twin.memory.migrate.migrate`; an older one refuses
newer folders with a clear word.
"""

import json
from pathlib import Path
from typing import Final

from models.errors import Corrupt, NewerFormat, Refused
from twin.memory.fsync import write_durably

FORMAT: Final = 1
FILE: Final = "format.json"


def read_stamp(folder: Path) -> int | None:
    """Format of a folder, None where there is no stamp.

    Raises
    ------
    Corrupt
        If the stamp cannot be read.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())["memory"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{path} is not a format stamp", "restore the latest backup") from error
    if not isinstance(found, int) or found < 0:
        raise Corrupt(f"{path} names format {found!r}", "restore the latest backup")
    return found


def write_stamp(folder: Path, number: int) -> None:
    """Stamp a folder durably."""
    write_durably(folder / FILE, json.dumps({"memory": number}).encode())


def checked_stamp(folder: Path) -> int:
    """Format of a folder that this parktwin may open.

    Raises
    ------
    NewerFormat
        If a newer parktwin wrote it.
    Refused
        If it is older and has to be migrated first.
    """
    found = read_stamp(folder)
    if found is None:
        raise Refused(f"{folder} has no format stamp", "give a folder made by parktwin")
    if found > FORMAT:
        raise NewerFormat(str(folder), found, FORMAT)
    if found < FORMAT:
        raise Refused(
            f"{folder} has format {found}, this parktwin uses {FORMAT}", "run `parktwin migrate`"
        )
    return found
