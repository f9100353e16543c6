"""Who reads which endpoint, on disk: the word that counts when a gateway or the service restarts.

A gateway that starts again by itself reads only what stands here under its name, so that an
endpoint which was given to another is never read twice.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

from connectors.gateway import Taken
from models.errors import Corrupt
from twin.memory.fsync import write_durably


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignments:
    """Which gateway reads which endpoint of a park.

    Parameters
    ----------
    version
        Grows with every change; a gateway refuses commands of an older one.
    of
        Endpoint → gateway.
    taken
        Endpoint → what its new gateway has to go on with; until that one has it.
    """

    version: int = 0
    of: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, Taken] = field(default_factory=dict)


def read_assignments(file: Path) -> Assignments | None:
    """What stands in a file; None when there is none yet.

    Raises
    ------
    Corrupt
        When it cannot be read: two gateways might take the same endpoint.
    """
    try:
        plain = orjson.loads(file.read_bytes())
        return Assignments(
            version=int(plain["version"]),
            of={str(e): str(g) for e, g in plain["of"].items()},
            taken={str(e): Taken(**one) for e, one in plain["taken"].items()},
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Corrupt(
            f"{file} cannot be read ({fault})",
            "stop the service and remove it: its gateways then share the endpoints out anew",
        ) from fault


def write_assignments(file: Path, found: Assignments) -> None:
    """Replace what stands in a file; durable when it returns."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(file, orjson.dumps(asdict(found)), mode=0o600)
