"""What may be asked of park files without a service: are they sound, and what may be written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError
from twin.parkfile.load import json_schema, load_park
from twin.whatif.spec import WhatIf

_SCHEMAS: Final = {"park": json_schema, "whatif": WhatIf.model_json_schema}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a sound park file holds."""

    park: str
    sites: int
    assets: int
    tags: int
    endpoints: int
    rules: int
    digest: str


def check(file: Path) -> Checked:
    """Read a park file.

    Raises
    ------
    InvalidInput
        With every fault.
    """
    park = load_park(file)
    return Checked(
        park=park.id,
        sites=len(park.spec.sites),
        assets=len(park.assets),
        tags=len(park.bindings),
        endpoints=len(park.endpoints),
        rules=len(park.spec.rules),
        digest=park.digest,
    )


def schema(kind: str) -> Mapping[str, object]:
    """JSON Schema of ``park`` or ``whatif``.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    if kind not in _SCHEMAS:
        raise InputError(f"no schema of {kind!r}", f"one of {', '.join(_SCHEMAS)}", "kind")
    return _SCHEMAS[kind]()
