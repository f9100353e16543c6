"""Configurations of endpoints as plain JSON data and back, for files and for the wire."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from connectors.opcua.config import EndpointConfig, Item, Notifier


def plain_of(config: EndpointConfig) -> dict[str, object]:
    """Plain data of a configuration; passwords are references."""
    plain = asdict(config)
    plain["callable_by"] = [[node, sorted(roles)] for node, roles in config.callable_by]
    plain["items"] = [
        asdict(item) | {"writable_by": sorted(item.writable_by)} for item in config.items
    ]
    return plain


def config_from(plain: Mapping[str, object]) -> EndpointConfig:
    """Inverse of `plain_of`.

    Raises
    ------
    TypeError, KeyError, ValueError, InputError
        When it is no configuration of this version.
    """
    callable_by = cast("list[tuple[str, list[str]]]", plain.get("callable_by", []))
    items = cast("list[dict[str, object]]", plain["items"])
    events = cast("list[dict[str, object]]", plain.get("events", []))
    made = dict(plain) | {
        "spares": tuple(cast("list[str]", plain.get("spares", []))),
        "events": tuple(Notifier(**one) for one in events),  # type: ignore[arg-type]
        "callable_by": tuple((node, frozenset(roles)) for node, roles in callable_by),
        "items": tuple(_item(item) for item in items),
    }
    return EndpointConfig(**made)  # type: ignore[arg-type]


def _item(plain: Mapping[str, object]) -> Item:
    roles = cast("list[str]", plain.get("writable_by", []))
    return Item(**dict(plain) | {"writable_by": frozenset(roles)})  # type: ignore[arg-type]
