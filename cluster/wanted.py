"""What a park is to be now: written by the service, read by each process of its twin.

A twin that is restarted must find its park as it is then, and soon: from one small file, not
through the metadata store, whose libraries take longer to import than everything else it does.
"""

from collections.abc import Sequence
from dataclasses import asdict

import orjson

from cluster.layout import DataFolder
from models.errors import Corrupt, Unavailable
from twin.tags import Binding, Kind


def write_wanted(data: DataFolder, park: str, text: str, bindings: Sequence[Binding]) -> None:
    """Say what a park is to be: the text of its file, and every tag it wants."""
    path = data.wanted(park)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps({"text": text, "bindings": [asdict(b) for b in bindings]}))
    draft.replace(path)


def read_wanted(data: DataFolder, park: str) -> tuple[str, tuple[Binding, ...]]:
    """What was written last: the text of the park file, and every tag.

    Raises
    ------
    Unavailable
        When nothing was written yet.
    Corrupt
        When it cannot be read.
    """
    path = data.wanted(park)
    try:
        found = orjson.loads(path.read_bytes())
        bindings = (Binding(**row | {"kind": Kind(row["kind"])}) for row in found["bindings"])
        return str(found["text"]), tuple(bindings)
    except FileNotFoundError as error:
        raise Unavailable(
            f"{path} is missing", "start the service: it writes what the park is to be"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupt(
            f"{path} cannot be read ({error})", "restart the service: it is written anew"
        ) from error
