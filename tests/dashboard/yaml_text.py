"""The what-if document of the fake park: schema, example and a small check of its own."""

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

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


def _change(name: str, required: list[str], **fields: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {"change": {"const": name, "type": "string"}, **fields},
        "required": ["change", *required],
    }


ASSET = {"type": "string", "description": "Asset of the park, e.g. bess1"}


def _quantity(example: str) -> dict[str, object]:
    return {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "examples": [example]}


SCHEMA: Mapping[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "id", "park", "horizon", "ensemble", "branches"],
    "$defs": {
        "Battery": _change(
            "battery",
            ["asset"],
            asset=ASSET,
            energy=_quantity("40 MWh"),
            power=_quantity("10 MW"),
            rule={
                "anyOf": [
                    {"enum": ["peak_shaving", "time_of_use", "idle"], "type": "string"},
                    {"type": "null"},
                ],
                "default": None,
            },
        ),
        "Solar": _change(
            "solar", ["asset", "peak"], asset=ASSET, peak={"type": "string", "examples": ["30 MWp"]}
        ),
        "ShiftCalendar": _change(
            "calendar", ["asset"], asset=ASSET, calendar=_quantity("night_heavy")
        ),
        "TransformerTrip": _change(
            "transformer_trip",
            ["asset"],
            asset=ASSET,
            at={"type": "string", "default": "0 h", "examples": ["3 h"]},
            lasts=_quantity("2 h"),
        ),
        "DemandGrowth": _change(
            "demand_growth",
            ["growth"],
            asset={"type": "string", "default": ""},
            growth={"type": "string", "examples": ["8 %"]},
        ),
        "GateLanes": _change(
            "gate_lanes",
            ["asset", "lanes"],
            asset=ASSET,
            lanes={"type": "integer", "minimum": 1, "maximum": 64},
        ),
        "Ensemble": {
            "type": "object",
            "properties": {
                "replications": {
                    "anyOf": [{"type": "integer", "minimum": 2, "maximum": 4096}, {"type": "null"}],
                    "default": None,
                },
                "seed": {"type": "integer", "default": 1, "minimum": 0},
                "parameters": {
                    "enum": ["posterior", "nominal"],
                    "default": "posterior",
                    "type": "string",
                },
            },
        },
    },
    "properties": {
        "apiVersion": {"const": "parktwin/v1", "default": "parktwin/v1"},
        "kind": {"const": "WhatIf"},
        "id": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,63}$"},
        "park": {"type": "string"},
        "from": {"type": "string", "default": "now"},
        "horizon": {"type": "string", "examples": ["24 h"]},
        "ensemble": {"$ref": "#/$defs/Ensemble"},
        "branches": {
            "type": "object",
            "additionalProperties": {
                "type": "array",
                "items": {
                    "discriminator": {"propertyName": "change"},
                    "oneOf": [
                        {"$ref": f"#/$defs/{name}"}
                        for name in (
                            "Battery",
                            "Solar",
                            "ShiftCalendar",
                            "TransformerTrip",
                            "DemandGrowth",
                            "GateLanes",
                        )
                    ],
                },
            },
        },
        "compare": {"type": "object"},
    },
}


def read(text: str) -> dict[str, Any]:
    """The document as plain values."""
    document = YAML(typ="safe").load(text)
    return document if isinstance(document, dict) else {}


def problems(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(path, message, remedy) of what is wrong."""
    found = [
        (name, f"{name} is missing", "write it")
        for name in ("id", "park", "horizon", "branches")
        if not document.get(name)
    ]
    for branch, changes in (document.get("branches") or {}).items():
        for place, change in enumerate(changes or []):
            energy = change.get("energy")
            if energy is not None and "Wh" not in str(energy):
                found.append(
                    (
                        f"branches.{branch}.{place}.energy",
                        f"{energy!r} has no unit of energy",
                        "write e.g. 40 MWh",
                    )
                )
    return found
