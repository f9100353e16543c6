"""Form fields: a name, an input, a hint, and what is wrong with it."""

import json
from collections.abc import Sequence

from dash import ctx
from dash.development.base_component import Component

from dashboard.components import core, html
from dashboard.words.book import Words


def field(name: str, control: Component, *, hint: str = "", problem: str = "") -> Component:
    """Return a labelled field; the label belongs to the input it names."""
    children: list[object] = [
        html.Label([html.Span(name, className="label"), control], className="field-label")
    ]
    if problem:
        children.append(html.Span(f"▲ {problem}", className="problem", role="alert"))
    elif hint:
        children.append(html.Span(hint, className="hint"))
    return html.Div(children, className="field bad" if problem else "field")


def group(name: str, control: Component, *, problem: str = "") -> Component:
    """Return a named group of radio buttons."""
    children: list[object] = [html.Legend(name, className="label"), control]
    if problem:
        children.append(html.Span(f"▲ {problem}", className="problem", role="alert"))
    return html.Fieldset(children, className="field group bad" if problem else "field group")


def picks(
    name: str | dict[str, object],
    options: Sequence[tuple[str, str]],
    chosen: Sequence[str],
    *,
    several: bool = False,
) -> Component:
    """Return a row of toggles over a hidden input, whose value is what is chosen.

    Of several the values stand in the input with commas between them. (Dash's own radio buttons
    nest inputs in options, which readers of screens cannot follow.)
    """
    buttons = [
        html.Button(
            text,
            type="button",
            **{"data-value": value, "aria-pressed": "true" if value in chosen else "false"},
        )
        for value, text in options
    ]
    held = core.Input(id=name, type="hidden", value=",".join(chosen))
    return html.Div(
        [*buttons, held],
        className="picks",
        **{
            "data-pick": name if isinstance(name, str) else json.dumps(name),
            "data-several": "1" if several else "",
        },
    )


def who(words: Words) -> Component:
    """Return the field for one's name, kept in this browser: it is written beside what one does."""
    return field(
        words("field.who"),
        core.Input(
            id="who",
            type="text",
            className="input",
            value="",
            maxLength=80,
            persistence=True,
            persistence_type="local",
            autoComplete="name",
        ),
        hint=words("field.who_hint"),
    )


def triggered() -> str | dict[str, object] | None:
    """Return the id of what set off the running callback."""
    found: object = ctx.triggered_id
    if isinstance(found, str):
        return found
    return dict(found) if isinstance(found, dict) else None
