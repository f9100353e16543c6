"""Faults that pydantic finds, as problems with line, path, offending value and suggestion.

`examine` also mends a copy of the data where the fault allows it (an unknown key taken out, a
wrong quantity replaced), so that the checks of references can run in the same pass and the author
sees everything at once. The mended copy never becomes a park.
"""

import copy
import typing
from types import UnionType
from typing import Annotated, Any, Final, Generic, TypeGuard, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from models.errors import Problem, did_you_mean
from models.units import DIMENSIONS
from twin.parkfile.quantity import Quantity
from twin.parkfile.strict_yaml import Document, Path, dotted

_SHOWN: Final = 60
_PASSES: Final = 4
_TAGS: Final = ("kind", "change")
"""Keys that tell the alternatives of a union apart."""

M = TypeVar("M", bound=BaseModel)


class Examined(Generic[M]):
    """What came of validating a document against a model.

    Parameters
    ----------
    model
        The valid model; with problems it is of the mended copy, or None when mending failed.
    problems
        All faults of the document as it is written.
    mended
        Paths that were changed in the copy: what a check says about them is noise.
    """

    def __init__(
        self, model: M | None, problems: tuple[Problem, ...], mended: frozenset[Path]
    ) -> None:
        self.model, self.problems, self.mended = model, problems, mended


def examine(model: type[M], document: Document, file: str = "") -> Examined[M]:
    """Validate a document; list every fault; mend a copy as far as that goes."""
    problems: list[Problem] = []
    mended: set[Path] = set()
    data = document.value
    for round_ in range(_PASSES):
        try:
            made = model.model_validate(data)
        except ValidationError as error:
            details = error.errors(include_url=False)
        else:
            return Examined(made, tuple(problems), frozenset(mended))
        if round_ == 0:
            problems = [_problem(model, document, detail, file) for detail in details]
            data = copy.deepcopy(data)
        changed = {path for detail in details if (path := _mend(model, data, detail)) is not None}
        if not changed:
            break
        mended |= changed
    return Examined(None, tuple(problems), frozenset(mended))


def _problem(
    model: type[BaseModel], document: Document, detail: ErrorDetails, file: str
) -> Problem:
    path = _written(document.value, detail["loc"])
    if detail["type"] == "union_tag_invalid":
        path = (*path, "kind")
    return Problem(
        message=_message(detail),
        path=dotted(path),
        file=file,
        line=document.line_of(path),
        suggestion=_suggestion(model, document.value, path, detail),
    )


def _message(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else "the document"
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key '{name}'"
        case "missing":
            return f"'{name}' is missing"
        case "union_tag_invalid":
            return f"unknown kind {detail.get('ctx', {}).get('tag')!r}"
        case "value_error":
            return f"{_shown(detail['input'])} does not fit"
        case kind if kind.startswith("quantity"):
            return str(detail.get("ctx", {}).get("what", detail["msg"]))
    return f"{_lower(detail['msg'])}, got {_shown(detail['input'])}"


def _suggestion(model: type[BaseModel], data: object, path: Path, detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            known = _fields_at(model, data, path[:-1])
            return did_you_mean(str(path[-1]), known) or f"known keys: {', '.join(known)}"
        case "missing":
            owner = _model_at(model, data, path[:-1])
            field = owner.model_fields.get(str(path[-1])) if owner is not None else None
            return _example(field) if field is not None else "add it"
        case "quantity":
            return str(detail.get("ctx", {}).get("remedy", ""))
        case "literal_error":
            return _one_of(detail.get("ctx", {}).get("expected", ""), str(detail["input"]))
        case "union_tag_invalid":
            context = detail.get("ctx", {})
            return _one_of(context.get("expected_tags", ""), str(context.get("tag", "")))
        case "string_pattern_mismatch":
            owner = _model_at(model, data, path[:-1])
            field = owner.model_fields.get(str(path[-1])) if owner is not None else None
            return (field.description if field is not None else None) or "see `parktwin schema`"
        case "value_error":
            return str(detail.get("ctx", {}).get("error", ""))
    owner = _model_at(model, data, path[:-1])
    field = owner.model_fields.get(str(path[-1])) if owner is not None and path else None
    return _bound(detail) or (field.description if field is not None else None) or ""


def _bound(detail: ErrorDetails) -> str:
    """What a bound allows; empty where the fault is of another kind."""
    context = detail.get("ctx", {})
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    words |= {"low": "at least", "high": "at most", "min_length": "at least"}
    for name, word in words.items():
        if name in context:
            return f"give {word} {context[name]} {context.get('unit', '')}".rstrip()
    return ""


def _one_of(expected: object, written: str) -> str:
    """A near one of the texts that are allowed, else all of them."""
    names = tuple(part.strip(" '") for part in str(expected).replace(" or ", ",").split(","))
    return did_you_mean(written, names) or f"write one of {', '.join(names)}"


def _example(field: FieldInfo) -> str:
    quantity = _quantity_of(field)
    if quantity is not None:
        return f"write e.g. '{DIMENSIONS[quantity.dimension].example}'"
    return field.description or "add it"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _written(data: object, loc: tuple[int | str, ...]) -> Path:
    """The path as it is written: pydantic adds the tag of a union and of a key."""
    path: list[str | int] = []
    here: object = data
    tagged = False
    for number, part in enumerate(loc):
        last = number == len(loc) - 1
        if not tagged and isinstance(here, dict) and here.get("change") == part:
            tagged = True  # the type of a change, which may be the name of one of its fields too
            continue
        if _has(here, part):
            here = _step(here, part)
        elif not last or part == "[key]" or not isinstance(here, dict):
            continue
        path.append(part)
    return tuple(path)


def _resolved(annotation: object, value: object) -> object:
    """The model or container an annotation stands for; of a union the one meant by its tag."""
    if get_origin(annotation) is Annotated:
        return _resolved(get_args(annotation)[0], value)
    if get_origin(annotation) not in (typing.Union, UnionType):
        return annotation
    options = [_resolved(o, value) for o in get_args(annotation) if o is not type(None)]
    for tag in _TAGS:
        meant = value.get(tag) if isinstance(value, dict) else None
        for option in options:
            field = option.model_fields.get(tag) if _is_model(option) else None
            if meant is not None and field is not None and meant in get_args(field.annotation):
                return option
    return options[0]


def _is_model(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _child(annotation: object, part: str | int) -> object:
    """Annotation one step further down; None where the schema ends."""
    if _is_model(annotation):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field is not None else None
    arguments = get_args(annotation)
    if get_origin(annotation) is dict:
        return arguments[1]
    if get_origin(annotation) is tuple and isinstance(part, int):
        return arguments[0] if arguments[-1] is Ellipsis else arguments[part % len(arguments)]
    return None


def _model_at(model: type[BaseModel], data: object, path: Path) -> type[BaseModel] | None:
    """The model that a path leads to; None when something else stands there."""
    here: object = _resolved(model, data)
    at: object = data
    for part in path:
        at = _step(at, part)
        here = _resolved(_child(here, part), at)
    return here if _is_model(here) else None


def _fields_at(model: type[BaseModel], data: object, path: Path) -> tuple[str, ...]:
    found = _model_at(model, data, path)
    return tuple(found.model_fields) if found is not None else ()


def _has(at: object, part: str | int) -> bool:
    if isinstance(at, list):
        return isinstance(part, int) and part < len(at)
    return isinstance(at, dict) and part in at


def _step(at: object, part: str | int) -> object:
    if isinstance(at, dict):
        return at.get(part)
    if isinstance(at, list) and isinstance(part, int) and part < len(at):
        return at[part]
    return None


def _mend(model: type[BaseModel], data: object, detail: ErrorDetails) -> Path | None:
    """Mend one fault in place; return the path that changed, None when it cannot be mended."""
    path = _written(data, detail["loc"])
    if not path:
        return None
    at: object = data
    for part in path[:-1]:
        at = _step(at, part)
    key = path[-1]
    if detail["type"] == "extra_forbidden" and isinstance(at, dict):
        value = at.pop(str(key))
        known = [name for name in _fields_at(model, data, path[:-1]) if name not in at]
        meant = [name for name in known if did_you_mean(str(key), (name,))]
        if meant:
            at[meant[0]] = value
        return path
    owner = _model_at(model, data, path[:-1])
    field = owner.model_fields.get(str(key)) if owner is not None else None
    if not isinstance(at, dict) or field is None:
        return None
    if detail["type"] != "missing" and not field.is_required():
        at.pop(str(key), None)
        return path
    stand_in = _stand_in(field)
    if stand_in is None:
        return None
    at[str(key)] = stand_in
    return path


def _stand_in(field: FieldInfo) -> object:
    """Some valid value for a field; None when there is no obvious one."""
    quantity = _quantity_of(field)
    if quantity is not None:
        value = quantity.low if quantity.low is not None else 1.0
        return f"{value} {DIMENSIONS[quantity.dimension].canonical}"
    if get_origin(field.annotation) is typing.Literal:
        return get_args(field.annotation)[0]
    if field.annotation in (int, float):
        return 1
    if field.annotation is str:
        return "x"
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return {"vi": "x", "en": "x"} if "vi" in field.annotation.model_fields else None
    return None


def _quantity_of(field: FieldInfo) -> Quantity | None:
    parts: list[Any] = list(field.metadata)
    for option in get_args(field.annotation):
        if get_origin(option) is Annotated or isinstance(option, UnionType):
            parts += get_args(option)
    return next((part for part in parts if isinstance(part, Quantity)), None)
