"""Configurations of endpoints as plain JSON data and back, for files and for the wire."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from pydantic import TypeAdapter

from connectors.opcua.config import EndpointConfig

_READ: Final = TypeAdapter(EndpointConfig)


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
    ValueError, InputError
        When it is no configuration of this version.
    """
    return _READ.validate_python(plain)
