"""The what-if form as components: fields with ids that are their paths in the document."""

from collections.abc import Mapping, Sequence
from typing import Final

from dash.development.base_component import Component

from dashboard.components import core, html
from dashboard.components.fields import field, group, picks
from dashboard.components.parts import button, icon
from dashboard.form import (
    ChangeType,
    Field,
    Typed,
    change_types,
    ensemble_fields,
    kpi_names,
    listed_in,
    numbered,
    text_of,
)
from dashboard.page import Visit
from dashboard.words.book import Words

FIELD: Final = "wf"
ADD_BRANCH: Final = "wf-add-branch"
ADD_CHANGE: Final = "wf-add-change"
DROP: Final = "wf-drop"
ASSETS: Final = "wf-assets"


def form(visit: Visit, typed: Typed, problems: Mapping[str, str]) -> list[Component]:
    """Return the whole form, with what is wrong at the fields."""
    words, schema = visit.words, visit.service.whatif_schema()
    types = change_types(schema)
    head = [
        entry("id", typed, problems, name=words("whatif.field.id"), example="evening-peak"),
        entry(
            "from",
            typed,
            problems,
            name=words("whatif.field.from"),
            example="now",
            hint=words("whatif.from_hint"),
        ),
        entry("horizon", typed, problems, name=words("whatif.field.horizon"), example="24 h"),
        *(
            control(words, f"ensemble.{f.name}", f, typed, problems)
            for f in ensemble_fields(schema)
        ),
    ]
    blocks = [
        branch(words, number, typed, types, problems) for number in numbered(typed, "branches.")
    ]
    return [
        html.Div(head, className="fields"),
        *blocks,
        html.Div(
            button(words("whatif.add_branch"), ADD_BRANCH, icon_name="plus"), className="form-end"
        ),
        compare(words, typed, kpi_names(schema), problems),
    ]


def path_id(path: str) -> dict[str, object]:
    """Return the id of a field."""
    return {"type": FIELD, "path": path}


def entry(
    path: str,
    typed: Typed,
    problems: Mapping[str, str],
    *,
    name: str,
    example: str = "",
    hint: str = "",
    listed: str = "",
) -> Component:
    """Return a text field."""
    more = {"list": listed} if listed else {}
    box = core.Input(
        id=path_id(path),
        type="text",
        className="input",
        debounce=True,
        placeholder=example,
        value=text_of(typed.get(path)),
        **more,
    )
    return field(name, box, hint=hint, problem=problems.get(path, ""))


def control(
    words: Words, path: str, spec: Field, typed: Typed, problems: Mapping[str, str]
) -> Component:
    """Return the input a field of the schema needs."""
    name = words.code("whatif.field", spec.name) + (" *" if spec.required else "")
    value = typed.get(path)
    if spec.kind in ("choice", "truth"):
        options = spec.options or ("true", "false")
        box = picks(
            path_id(path),
            [(o, words.code("whatif.option", o)) for o in options],
            [
                text_of(value if value is not None else spec.default).lower()
                if spec.kind == "truth"
                else text_of(value or spec.default)
            ],
        )
        return group(name, box, problem=problems.get(path, ""))
    default = "" if spec.default is None else str(spec.default)
    return entry(
        path,
        typed,
        problems,
        name=name,
        example=spec.example or default,
        listed=ASSETS if spec.name == "asset" else "",
    )


def branch(
    words: Words,
    number: int,
    typed: Typed,
    types: Sequence[ChangeType],
    problems: Mapping[str, str],
) -> Component:
    """Return one branch: its name, its changes, and a button for every type of change."""
    path = f"branches.{number}"
    known = {each.name: each for each in types}
    places = numbered(typed, f"{path}.changes.")
    changes = [change(words, f"{path}.changes.{place}", known, typed, problems) for place in places]
    adding = html.Details(
        [
            html.Summary([icon("plus"), words("whatif.add_change")], className="button small"),
            html.Div(
                [
                    button(
                        words.code("whatif.change", each.name),
                        {"type": ADD_CHANGE, "branch": number, "change": each.name},
                        kind="small",
                    )
                    for each in types
                ],
                className="change-types",
            ),
        ],
        className="add-change",
    )
    name = text_of(typed.get(f"{path}.name"))
    head = html.Div(
        [
            entry(f"{path}.name", typed, problems, name=words("whatif.branch")),
            drop(words("whatif.drop_branch", name=name), path),
        ],
        className="branch-head",
    )
    nothing = [html.P(words("whatif.no_changes"), className="muted")] if not places else []
    return html.Section(
        [head, *changes, *nothing, adding], className="branch", **{"aria-label": name}
    )


def change(
    words: Words,
    path: str,
    known: Mapping[str, ChangeType],
    typed: Typed,
    problems: Mapping[str, str],
) -> Component:
    """Return one change with the fields of its type."""
    kind = text_of(typed.get(f"{path}.change"))
    fields = known[kind].fields if kind in known else ()
    title = words.code("whatif.change", kind)
    return html.Div(
        [
            html.Div(
                [html.Strong(title), drop(words("whatif.drop_change", name=title), path)],
                className="branch-head",
            ),
            core.Input(id=path_id(f"{path}.change"), type="hidden", value=kind),
            html.Div(
                [control(words, f"{path}.{f.name}", f, typed, problems) for f in fields],
                className="fields",
            ),
            *(
                [html.Span(f"▲ {problems[path]}", className="problem", role="alert")]
                if path in problems
                else []
            ),
        ],
        className="change",
    )


def drop(label: str, path: str) -> Component:
    """Return the button that removes a branch or a change."""
    return html.Button(
        icon("trash"),
        id={"type": DROP, "path": path},
        n_clicks=0,
        type="button",
        className="icon-button",
        **{"aria-label": label},
    )


def compare(
    words: Words, typed: Typed, names: Sequence[str], problems: Mapping[str, str]
) -> Component:
    """Return what is compared with what."""
    box = picks(
        path_id("kpis"),
        [(name, words.code("kpi", name)) for name in names],
        listed_in(typed.get("kpis")),
        several=True,
    )
    return html.Div(
        [
            entry("against", typed, problems, name=words("whatif.against"), example="base"),
            group(words("whatif.kpis"), box, problem=problems.get("compare.kpis", "")),
        ],
        className="branch",
    )
