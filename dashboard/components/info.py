"""Where a number comes from: the note behind every figure."""

from dash.development.base_component import Component

from cluster.ports import FigureSpec
from dashboard.components import core, html
from dashboard.page import Visit
from dashboard.text import number


def info(visit: Visit, spec: FigureSpec) -> Component:
    """Return the small button that opens a figure's formula, inputs, source and table."""
    words = visit.words
    name = words.label(spec.label)
    rows: list[tuple[str, object]] = [
        (words("info.formula"), words.label(spec.formula) or words("info.read")),
        (words("info.source"), _source(visit, spec)),
        (words("info.band"), _band(visit, spec)),
        (words("info.table"), words.label(spec.table) or words("info.no_table")),
        (words("info.inputs"), _inputs(visit, spec)),
    ]
    return note(words("info.about", name=name), name, rows)


def note(label: str, title: str, rows: list[tuple[str, object]]) -> Component:
    """Return a button with a note of named rows; rows without content are left out."""
    body = [part for term, text in rows if text for part in (html.Dt(term), html.Dd(text))]
    return html.Details(
        [
            html.Summary(
                html.Span(className="icon icon-info", **{"aria-hidden": "true"}),
                className="info-button",
                **{"aria-label": label},
            ),
            html.Div([html.Strong(title), html.Dl(body)], className="info-note"),
        ],
        className="info",
    )


def _source(visit: Visit, spec: FigureSpec) -> object:
    share = html.Span(**{"data-measured": spec.id}, className="num")
    kind = visit.words.code("info.kind", spec.source)
    return [kind, " · ", visit.words("info.measured"), " ", share]


def _band(visit: Visit, spec: FigureSpec) -> str:
    low, high = (
        None if end is None else number(end, spec.decimals, visit.viewer.language)
        for end in (spec.low, spec.high)
    )
    if low is None and high is None:
        return ""
    if low is None:
        return f"≤ {high} {spec.unit}"
    return f"≥ {low} {spec.unit}" if high is None else f"{low} – {high} {spec.unit}"


def _inputs(visit: Visit, spec: FigureSpec) -> object:
    shown = spec.inputs[:4]
    links: list[object] = [
        html.Div(core.Link(path, href=visit.href(f"/tag/{path}"))) for path in shown
    ]
    if len(spec.inputs) > len(shown):
        links.append(visit.words("info.more", n=str(len(spec.inputs) - len(shown))))
    return links
