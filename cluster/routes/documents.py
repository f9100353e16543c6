"""Models for the OpenAPI document, made from the dataclasses that `cluster.wire` renders."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, create_model

from cluster.wire import DURATIONS


class ErrorBody(BaseModel):
    """Every error: what happened, and what to do about it."""

    error: str = Field(description="Kind of error, e.g. NotFound")
    what: str = Field(description="What is wrong, with the offending value")
    remedy: str = Field("", description="What to do about it")
    where: str = Field("", description="Argument, field or path the fault is at")
    problems: list[dict[str, object]] = Field(
        default=[], description="All faults of a document: message, path, file, line, suggestion"
    )


@cache
def shape(value: type) -> type[BaseModel]:
    """Model of a dataclass as it looks in JSON: instants are texts, names lose ``_us``."""
    hints = get_type_hints(value)
    members = dict(_member(f.name, hints[f.name]) for f in fields(value))
    model: type[BaseModel] = create_model(  # type: ignore[call-overload]
        value.__name__, __doc__=value.__doc__, **members
    )
    return model


def _member(name: str, hint: object) -> tuple[str, tuple[object, object]]:
    if name in DURATIONS:
        return f"{name.removesuffix('_us')}_s", (float | None, ...)
    if name.endswith("_us"):
        one = get_origin(hint) in {None, Union, types.UnionType}
        return name.removesuffix("_us"), (datetime | None if one else list[datetime], ...)
    return name, (_kind(hint), ...)


def _kind(hint: object) -> object:
    if isinstance(hint, type) and is_dataclass(hint):
        return shape(hint)
    if isinstance(hint, type) and issubclass(hint, Enum | str | int | float):
        return hint
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        return Union[tuple(_kind(a) for a in arguments)]  # noqa: UP007 - built at run time
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict[str, _kind(arguments[1])]  # type: ignore[misc]
    if origin is not None and isinstance(origin, type) and issubclass(origin, Sequence):
        return list[_kind(arguments[0])]  # type: ignore[misc]
    return list[object]
