"""Whose memory a backup holds: a small file beside it, so that none is restored as another's."""

from pathlib import Path
from typing import Final

import orjson

from models.errors import Corrupt, InputError, Refused
from twin.memory.backup import LIST

FILE: Final = "park.json"


def write_label(folder: Path, park: str) -> None:
    """Say in a finished backup whose it is."""
    (folder / FILE).write_bytes(orjson.dumps({"park": park}))


def labelled_park(folder: Path, park: str) -> str:
    """The park whose memory a backup holds.

    Parameters
    ----------
    folder
        The backup.
    park
        The park it is asked for; empty takes the backup's word.

    Raises
    ------
    Refused
        When it is no whole backup, or another park's.
    InputError
        When neither the caller nor the backup names a park.
    Corrupt
        When what it says cannot be read.
    """
    if not (folder / LIST).is_file():
        raise Refused(f"{folder} is no whole backup: {LIST} is missing", "use another backup")
    found = _read(folder / FILE)
    if not (park or found):
        raise InputError("the backup does not say whose it is", "name the park: --park ID", "park")
    if park and found and park != found:
        raise Refused(
            f"{folder} is a backup of park {found!r}, not of {park!r}",
            "use a backup of that park, or name the right one",
        )
    return park or found


def _read(file: Path) -> str:
    """Its park; empty when it was made before backups said so."""
    if not file.exists():
        return ""
    try:
        return str(orjson.loads(file.read_bytes())["park"])
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Corrupt(f"{file} cannot be read", "use another backup") from error
