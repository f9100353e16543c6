"""Cards, states of a page, priorities and tables."""

from collections.abc import Sequence

from dash.development.base_component import Component

from cluster.ports import InputError, InvalidInput, NotFound, TwinError, Unavailable
from dashboard.components import core, html
from dashboard.design import SHAPES
from dashboard.words.book import Words
from dashboard.words.said import said


def card(
    title: str, *children: object, extra: object = None, kind: str = "", anchor: str = ""
) -> Component:
    """Return a titled card; ``extra`` stands at the right of its title, ``anchor`` is its id."""
    head = html.Div(
        [html.H2(title), html.Div(extra, className="card-extra")], className="card-head"
    )
    named = {"id": anchor} if anchor else {}
    return html.Section(
        [head, *children], className=f"card {kind}".strip(), **{"aria-label": title}, **named
    )


def icon(name: str) -> Component:
    """Return an icon that is decoration only."""
    return html.Span(className=f"icon icon-{name}", **{"aria-hidden": "true"})


def button(
    text: str,
    name: str | dict[str, object],
    *,
    kind: str = "",
    icon_name: str = "",
    disabled: bool = False,
) -> Component:
    """Return a button."""
    return html.Button(
        [icon(icon_name), html.Span(text)] if icon_name else text,
        id=name,
        n_clicks=0,
        className=f"button {kind}".strip(),
        type="button",
        disabled=disabled,
    )


def empty(title: str, hint: str = "") -> Component:
    """Return what stands where there is nothing to show, and what to do about it."""
    return html.Div([html.P(title, className="state-title"), html.P(hint)], className="state")


def failed(words: Words, error: TwinError) -> Component:
    """Return an error with its cause and its remedy."""
    title, hint = words("state.failed"), []
    if isinstance(error, Unavailable):
        title = words("state.unavailable")
    elif isinstance(error, NotFound):
        title, hint = words("state.not_found"), [html.P(words("state.nowhere_hint"))]
    return html.Div(
        [
            html.P([html.Span(SHAPES["high"] + " "), title], className="state-title"),
            *hint,
            *explained(words, error),
        ],
        className="state state-error",
        role="alert",
    )


def done(text: str) -> Component:
    """Return a notice that goes away by itself."""
    return html.Div(html.P(text), className="state state-done")


def explained(words: Words, error: TwinError) -> list[Component]:
    """Return what is wrong and how to mend it, one line each."""
    if isinstance(error, InvalidInput):
        return [html.Ul([html.Li(str(problem)) for problem in error.problems])]
    what, remedy = said(words, getattr(error, "what", str(error))), getattr(error, "remedy", "")
    remedy = said(words, remedy)
    where = f"{error.where}: " if isinstance(error, InputError) and error.where else ""
    return [html.P(where + what), *([html.P(remedy, className="remedy")] if remedy else [])]


def priority(words: Words, code: str) -> Component:
    """Return a priority: shape and word in its colour."""
    return html.Span(
        [
            html.Span(SHAPES.get(code, ""), **{"aria-hidden": "true"}),
            " ",
            words.code("priority", code),
        ],
        className=f"priority priority-{code}",
    )


def table(
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    label: str,
    numeric: Sequence[int] = (),
    minor: Sequence[int] = (),
    lesser: Sequence[int] = (),
    stacked: Sequence[str] = (),
) -> Component:
    """Return a table; columns of ``numeric`` are set right and in tabular figures.

    A row of one cell is the heading of the rows below it.

    Parameters
    ----------
    head, rows
        Headings and cells.
    label
        What the table shows, for those who do not see it.
    numeric
        Columns of numbers.
    minor, lesser
        Columns left out where the screen is no desktop's, and only where it is a phone's; what they
        show is told elsewhere too.
    stacked
        Headings as texts: on a phone a row becomes a block that names each of its cells.
    """

    def kind(column: int) -> str:
        names = {"r": numeric, "minor": minor, "lesser": lesser}
        return " ".join(name for name, columns in names.items() if column in columns)

    def cell(column: int, value: object) -> Component:
        named = {"data-head": stacked[column], "role": "cell"} if stacked else {}
        return html.Td(value, className=kind(column), **named)

    def line(row: Sequence[object]) -> Component:
        if len(row) == 1 < len(head):
            group = html.Th(row[0], scope="colgroup", colSpan=len(head), className="group")
            return html.Tr(group)
        return html.Tr([cell(i, c) for i, c in enumerate(row)], **role("row"))

    def role(name: str) -> dict[str, str]:
        # a table that is laid out as blocks is told as a table only when it says so
        return {"role": name} if stacked else {}

    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr([_heading(h, kind(i)) for i, h in enumerate(head)], **role("row")),
                    **role("rowgroup"),
                ),
                html.Tbody([line(row) for row in rows], **role("rowgroup")),
            ],
            className="stacked" if stacked else "",
            **{"aria-label": label},
            **role("table"),
        ),
        className="table",
        tabIndex="0",
        role="group",
        **{"aria-label": label},
    )


def _heading(text: object, kind: str) -> Component:
    """Return a column's heading; a column without one has an empty cell, not an empty heading."""
    return html.Th(text, scope="col", className=kind) if text != "" else html.Td(className="th")


def link(text: object, href: str, kind: str = "") -> Component:
    """Return a link inside the app."""
    return core.Link(text, href=href, className=kind)


def facts(rows: Sequence[tuple[str, object]], kind: str = "") -> Component:
    """Return named values, one a line."""
    return html.Dl(
        [part for name, value in rows for part in (html.Dt(name), html.Dd(value))],
        className=f"facts {kind}".strip(),
    )
