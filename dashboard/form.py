"""The what-if form, made from the schema: fields of a change, a document from what is typed.

Pure: no component, no request. A form is a flat mapping from a path such as
``branches.1.changes.0.energy`` to what stands in the field; a document is what is submitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Final, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from cluster.ports import InputError, Problem

Node: TypeAlias = Mapping[str, object]
Document: TypeAlias = dict[str, object]
Typed: TypeAlias = dict[str, object]
"""What a change or a form holds: field → text or number."""

EXAMPLES: Final = {
    "energy": "40 MWh",
    "power": "10 MW",
    "peak_power": "30 MWp",
    "duration": "2 h",
    "ratio": "8 %",
    "volume_flow": "50 m3/h",
    "rate": "60 1/d",
}
"""How a quantity is written, by its dimension."""

ENSEMBLE_FIELDS: Final = ("replications", "seed", "parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the form.

    Parameters
    ----------
    name
        Key in the document.
    kind
        ``text``, ``number``, ``integer``, ``choice`` or ``truth``.
    required
        Whether it must be there.
    options
        Values of a choice.
    default
        What is taken when it is left empty; None when nothing is.
    example
        How a value is written.
    hint
        Description of the schema: a text, or one per language.
    """

    name: str
    kind: str
    required: bool
    options: tuple[str, ...] = ()
    default: object = None
    example: str = ""
    hint: object = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeType:
    """One type of change, with its own fields (``change`` itself left out)."""

    name: str
    fields: tuple[Field, ...]
    hint: object = ""


def resolve(schema: Node, node: object) -> Node:
    """Return a node with its reference followed."""
    if not isinstance(node, Mapping):
        return {}
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    found: object = schema
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return {**resolve(schema, found), **{k: v for k, v in node.items() if k != "$ref"}}


def properties(schema: Node, node: Node) -> Mapping[str, Node]:
    """Return the properties of an object node, resolved."""
    found = node.get("properties")
    if not isinstance(found, Mapping):
        return {}
    return {str(name): resolve(schema, child) for name, child in found.items()}


def change_types(schema: Node) -> tuple[ChangeType, ...]:
    """Return every type of change the schema allows, in its order."""
    branches = properties(schema, schema).get("branches", {})
    changes = resolve(schema, branches.get("additionalProperties"))
    patterns = branches.get("patternProperties")
    if isinstance(patterns, Mapping) and patterns:
        changes = resolve(schema, next(iter(patterns.values())))
    items = resolve(schema, changes.get("items"))
    variants = items.get("oneOf") or items.get("anyOf") or ()
    types = []
    for variant in variants if isinstance(variants, Sequence) else ():
        node = resolve(schema, variant)
        own = properties(schema, node)
        name = str(own.get("change", {}).get("const", ""))
        required = node.get("required", ())
        fields = tuple(
            field_of(
                schema, key, child, required=isinstance(required, Sequence) and key in required
            )
            for key, child in own.items()
            if key != "change" and kind_of(schema, child) != "list"
        )
        if name:
            types.append(ChangeType(name=name, fields=fields, hint=node.get("description", "")))
    return tuple(types)


def ensemble_fields(schema: Node) -> tuple[Field, ...]:
    """Return the fields of the ensemble a form offers; the others are for the text."""
    node = properties(schema, schema).get("ensemble", {})
    own = properties(schema, node)
    return tuple(
        field_of(schema, name, own[name], required=name == "replications")
        for name in ENSEMBLE_FIELDS
        if name in own
    )


def kpi_names(schema: Node) -> tuple[str, ...]:
    """Return the KPIs that can be compared."""
    compare = alternative(schema, properties(schema, schema).get("compare", {}))
    listed = properties(schema, compare).get("kpis", {})
    item = resolve(schema, listed.get("items"))
    options = properties(schema, item).get("kpi", {}).get("enum", ())
    return tuple(map(str, options)) if isinstance(options, Sequence) else ()


def field_of(schema: Node, name: str, node: Node, *, required: bool) -> Field:
    """Return the field of a property; of alternatives the first that is not null counts."""
    plain = alternative(schema, node)
    options = plain.get("enum", ())
    examples = node.get("examples") or plain.get("examples") or ()
    example = examples[0] if isinstance(examples, Sequence) and examples else ""
    example = example or EXAMPLES.get(str(plain.get("x-dimension")), "")
    return Field(
        name=name,
        kind=kind_of(schema, node),
        required=required,
        options=tuple(map(str, options)) if isinstance(options, Sequence) else (),
        default=node.get("default"),
        example=str(example),
        hint=node.get("description") or plain.get("description") or "",
    )


def alternative(schema: Node, node: Node) -> Node:
    """Return the first alternative that is not null, or the node itself."""
    several = node.get("anyOf") or node.get("oneOf") or ()
    for each in several if isinstance(several, Sequence) else ():
        found = resolve(schema, each)
        if found.get("type") != "null":
            return found
    return node


def kind_of(schema: Node, node: Node) -> str:
    """Return the kind of input a property needs."""
    plain = alternative(schema, node)
    if "enum" in plain:
        return "choice"
    known = {"number": "number", "integer": "integer", "boolean": "truth", "array": "list"}
    return known.get(str(plain.get("type", "")), "text")


def document(
    typed: Typed, park: str, types: Sequence[ChangeType], fields: Sequence[Field]
) -> Document:
    """Return the what-if a form describes; empty fields are left out."""
    ensemble = {
        f.name: value_of(f, typed.get(f"ensemble.{f.name}"))
        for f in fields
        if not is_left_out(f, typed.get(f"ensemble.{f.name}"))
    }
    made: Document = {
        "apiVersion": "parktwin/v1",
        "kind": "WhatIf",
        "id": text_of(typed.get("id")),
        "park": park,
        "from": text_of(typed.get("from")) or "now",
        "horizon": text_of(typed.get("horizon")),
        "ensemble": ensemble,
        "branches": dict(branches(typed, types)),
    }
    against = text_of(typed.get("against"))
    kpis = listed_in(typed.get("kpis"))
    if against or kpis:
        made["compare"] = {"against": against or "base", "kpis": [{"kpi": k} for k in kpis]}
    return made


def branches(typed: Typed, types: Sequence[ChangeType]) -> list[tuple[str, list[Typed]]]:
    """Return branch name → changes, in the order of the form."""
    known = {each.name: each for each in types}
    made = []
    for branch in numbered(typed, "branches."):
        name = text_of(typed.get(f"branches.{branch}.name")) or f"branch{branch + 1}"
        changes: list[Typed] = []
        for place in numbered(typed, f"branches.{branch}.changes."):
            prefix = f"branches.{branch}.changes.{place}."
            kind = text_of(typed.get(prefix + "change"))
            fields = known[kind].fields if kind in known else ()
            given = {
                f.name: value_of(f, typed.get(prefix + f.name))
                for f in fields
                if not is_left_out(f, typed.get(prefix + f.name))
            }
            changes.append({"change": kind} | given)
        made.append((name, changes))
    return made


def numbered(typed: Typed, prefix: str) -> list[int]:
    """Return the numbers that follow a prefix, in order."""
    found = {key.removeprefix(prefix).split(".", 1)[0] for key in typed if key.startswith(prefix)}
    return sorted(int(number) for number in found if number.isdigit())


def typed_of(made: Mapping[str, object]) -> Typed:
    """Return the fields of a document: the inverse of `document` for what a form can show."""
    typed: Typed = {name: made.get(name, "") for name in ("id", "from", "horizon")}
    ensemble = made.get("ensemble")
    if isinstance(ensemble, Mapping):
        typed |= {f"ensemble.{name}": value for name, value in ensemble.items()}
    compare = made.get("compare")
    if isinstance(compare, Mapping):
        kpis = compare.get("kpis") or ()
        typed["against"] = compare.get("against", "")
        names = [str(k["kpi"]) for k in kpis if isinstance(k, Mapping) and "kpi" in k]
        typed["kpis"] = ",".join(names)
    named = made.get("branches")
    for branch, (name, changes) in enumerate(named.items() if isinstance(named, Mapping) else ()):
        typed[f"branches.{branch}.name"] = name
        for place, change in enumerate(changes if isinstance(changes, Sequence) else ()):
            if isinstance(change, Mapping):
                typed |= {f"branches.{branch}.changes.{place}.{k}": v for k, v in change.items()}
    return typed


def dropped(typed: Typed, path: str) -> Typed:
    """Return a form without a branch or a change (``branches.1`` or ``branches.1.changes.0``)."""
    kept = {k: v for k, v in typed.items() if k != path and not k.startswith(f"{path}.")}
    head, number = path.rsplit(".", 1)
    renamed: Typed = {}
    for key, value in kept.items():
        rest = key.removeprefix(f"{head}.")
        place = rest.split(".", 1)[0]
        if key.startswith(f"{head}.") and place.isdigit() and int(place) > int(number):
            key = f"{head}.{int(place) - 1}" + rest[len(place) :]
        renamed[key] = value
    return renamed


def added(typed: Typed, path: str, values: Mapping[str, object]) -> Typed:
    """Return a form with one more item under a path (``branches`` or ``branches.1.changes``)."""
    taken = numbered(typed, f"{path}.")
    place = taken[-1] + 1 if taken else 0
    return typed | {f"{path}.{place}.{name}": value for name, value in values.items()}


def listed_in(value: object) -> list[str]:
    """Return several values: a list, or text with commas between them."""
    if isinstance(value, (list, tuple)):
        return [str(each) for each in value]
    return [part.strip() for part in text_of(value).split(",") if part.strip()]


def is_blank(value: object) -> bool:
    """Whether nothing was typed."""
    return value is None or value == ""


def is_left_out(field: Field, value: object) -> bool:
    """Whether a field stays out of the document: nothing typed, or what is taken anyway."""
    if is_blank(value):
        return True
    default = field.default
    return default is not None and text_of(value).lower() == text_of(default).lower()


def text_of(value: object) -> str:
    """Return what was typed as text."""
    return "" if value is None else str(value).strip()


def value_of(field: Field, value: object) -> object:
    """Return what was typed as the field's own type; text that is no number stays text."""
    if field.kind == "truth":
        return value in (True, "true", "yes")
    if field.kind not in ("number", "integer"):
        return text_of(value) if isinstance(value, str) else value
    try:
        found = float(str(value))
    except ValueError:
        return value
    return int(found) if field.kind == "integer" or found.is_integer() else found


def to_yaml(made: Document) -> str:
    """Return a document as YAML in the order of its keys."""
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(made, out)
    return out.getvalue()


def from_yaml(text: str) -> Document:
    """Return a document from YAML.

    Raises
    ------
    InputError
        It is not YAML, or not a mapping; the line is named.
    """
    try:
        found = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(
            str(error.problem or error), "mend the YAML there", f"line {line}"
        ) from error
    if not isinstance(found, dict):
        raise InputError("the text is not a mapping", "begin with `kind: WhatIf`")
    return dict(found)


def at_fields(problems: Sequence[Problem], typed: Typed) -> tuple[dict[str, str], list[Problem]]:
    """Return field → message for problems that name one of the form's fields, and the others.

    A problem names a branch by its name, the form by its number; ``[0]`` and ``.0`` mean the same.
    """
    names = {text_of(typed.get(f"branches.{n}.name")): n for n in numbered(typed, "branches.")}
    told: dict[str, str] = {}
    rest: list[Problem] = []
    for problem in problems:
        parts = problem.path.replace("[", ".").replace("]", "").split(".")
        if parts[0] == "branches" and len(parts) > 3 and parts[1] in names:
            parts[1:3] = [str(names[parts[1]]), "changes", parts[2]]
            if len(parts) > 4 and parts[4] == typed.get(".".join([*parts[:4], "change"])):
                del parts[4]  # the schema names the type of change once more
        path = ".".join(parts)
        matches = [key for key in typed if key == path or path.startswith(f"{key}.")]
        if path in typed or matches or path.startswith("branches."):
            message = f"{problem.message} {problem.suggestion}".strip()
            told[path] = message
        else:
            rest.append(problem)
    return told, rest
