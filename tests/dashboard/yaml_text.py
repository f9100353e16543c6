"""The what-if document of the fake park: the project's own schema, an example, a reader."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from twin.whatif.spec import WhatIf

EXAMPLE = """\
apiVersion: parktwin/v1
kind: WhatIf
id: evening-peak
park: vsip1
from: now
horizon: 24 h
ensemble: {replications: 64, seed: 11}
branches:
  base: []
  bess2x:
    - {change: battery, asset: bess1, energy: 40 MWh}
  shift:
    - {change: calendar, asset: tantao/main/l1, calendar: night_heavy}
compare:
  against: base
  kpis:
    - {kpi: peak_mva, material: 0.5}
"""


SCHEMA: Mapping[str, object] = WhatIf.model_json_schema(by_alias=True)


def read(text: str) -> dict[str, Any]:
    """The document as plain values."""
    document = YAML(typ="safe").load(text)
    return document if isinstance(document, dict) else {}


def problems(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(path, message, remedy) of what is wrong."""
    try:
        WhatIf.model_validate(document)
    except ValidationError as error:
        return [
            (".".join(str(part) for part in each["loc"] if part not in CHANGES), each["msg"], "")
            for each in error.errors()
        ]
    return []


CHANGES = frozenset(
    variant["properties"]["change"]["const"]
    for variant in WhatIf.model_json_schema()["$defs"].values()
    if "change" in variant.get("properties", {})
)
