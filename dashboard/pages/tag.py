"""One tag: its latest value, its history and quality, its source and what is computed from it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
from dash.development.base_component import Component

from cluster.ports import Asset, HistoryQuery, NotFound, Tag
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.parts import card, empty, facts
from dashboard.components.picker import exports, span_picker
from dashboard.figures.lines import trend
from dashboard.page import Page, Visit
from dashboard.pages.asset import chain, property_name, quality, shown
from dashboard.spans import Span, span_of
from dashboard.tables import by_path, floats
from dashboard.text import clock, moment, number

COLUMN: Final = {"counter": "increase", "state": "last", "event": "last"}


async def layout(visit: Visit) -> Component:
    """Return the page."""
    path = visit.params["path"]
    near = await visit.service.tags(visit.park.id, path)
    tag = next((t for t in near if t.path == path), None)
    if tag is None:
        raise NotFound("tag", path, tuple(t.path for t in near))
    span = span_of(visit.query.get("span", "today"), visit.park.now_us, visit.park.tz)
    query = HistoryQuery(
        tags=(path,), since_us=span.since_us, until_us=span.until_us, every_us=span.chart_us
    )
    rows = await visit.service.history(visit.park.id, query)
    assets = {a.id: a for a in await visit.service.assets(visit.park.id)}
    owner = next((a for a in assets.values() if path in a.tags), None)
    name = html.Span(property_name(visit.words, tag), title=path)
    head = html.Div(
        [
            html.H1(name if owner is None else [*above(visit, owner, assets), name]),
            html.Div(
                [span_picker(visit, span), exports(visit, [path], span)], className="page-tools"
            ),
        ],
        className="page-head",
    )
    right = [latest_card(visit, tag), source_card(visit, tag), lineage_card(visit, tag)]
    return html.Div(
        [
            head,
            html.Div(
                [
                    html.Div([trend_card(visit, tag, span, rows)], className="stack"),
                    html.Div(right, className="stack"),
                ],
                className="grid wide-left flush",
            ),
        ]
    )


def above(visit: Visit, owner: Asset, assets: Mapping[str, Asset]) -> list[object]:
    """Return links to the tag's asset and to all above it."""
    parts: list[object] = []
    for each in chain(owner, assets):
        text = visit.words.label(each.label) or each.id
        parts += [core.Link(text, href=visit.href(f"/asset/{each.id}")), html.Span(" / ")]
    return parts


def trend_card(visit: Visit, tag: Tag, span: Span, rows: pa.Table) -> Component:
    """Return the tag over the span; a counter as its increase per step, a state as steps."""
    words = visit.words
    wanted = COLUMN.get(tag.kind, "mean")
    column = wanted if wanted in rows.column_names else "mean"
    name, unit = property_name(words, tag), words.code("unit", tag.unit)
    title = f"{name} ({unit})" if unit else name
    found = by_path(rows, column)
    if tag.path not in found or not np.isfinite(found[tag.path][1]).any():
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    at, values = found[tag.path]
    figure = trend(
        visit.style,
        at,
        {name: values},
        unit=unit,
        tickformat=span.tickformat,
        steps=tag.kind == "state",
        from_zero=bool(np.nanmin(values) >= 0),
    )
    note = words.code("tag.shown_as", column)
    return card(
        title,
        graph("tag-trend", figure, height=380, label=title),
        html.P([note, " ", coverage(visit, rows)], className="muted small"),
    )


def coverage(visit: Visit, rows: pa.Table) -> str:
    """Return how much of the span is covered, and how much of that is good."""
    if "covered_s" not in rows.column_names or not rows.num_rows:
        return ""
    covered, good = (float(np.nansum(floats(rows, c))) for c in ("covered_s", "good_s"))
    share = good / covered * 100 if covered else 0.0
    hours = covered / 3600
    language = visit.viewer.language
    return visit.words(
        "tag.coverage", hours=number(hours, 1, language), good=number(share, 1, language)
    )


def latest_card(visit: Visit, tag: Tag) -> Component:
    """Return the latest value with its times and quality."""
    words, tz, now = visit.words, visit.park.tz, visit.park.now_us
    rows: list[tuple[str, object]] = [
        (words("tag.at"), moment(tag.at_us, tz, now)),
        *received(visit, tag),
        (words("tag.quality"), quality(visit, tag)),
        (words("tag.status"), html.Span(f"0x{tag.status:08X}", className="mono")),
        (words("tag.origin"), words.code("origin", tag.origin)),
    ]
    value = html.Div(shown(visit, tag), className="kpi-value")
    return card(words("tag.latest"), value, facts(rows, "wide"))


def received(visit: Visit, tag: Tag) -> list[tuple[str, object]]:
    """Return when the value came and how late that was.

    The clock of a virtual plant is not ours: between the two there is no lag to tell.
    """
    words, park = visit.words, visit.park
    if park.demo:
        return [(words("tag.seen_wall"), clock(tag.seen_us, park.tz, "%d/%m/%Y %H:%M:%S"))]
    late = None if tag.at_us is None or tag.seen_us is None else (tag.seen_us - tag.at_us) / 1e3
    return [
        (words("tag.seen"), moment(tag.seen_us, park.tz, park.now_us)),
        (
            words("tag.late"),
            "–" if late is None else f"{number(late, 0, visit.viewer.language)} ms",
        ),
    ]


def source_card(visit: Visit, tag: Tag) -> Component:
    """Return where the tag comes from."""
    words = visit.words
    rows: list[tuple[str, object]] = [
        (
            words("tag.endpoint"),
            core.Link(tag.endpoint, href=visit.href(f"/endpoints/{tag.endpoint}")),
        ),
        (words("endpoints.node"), html.Span(tag.node, className="mono")),
        (words("tag.kind"), words.code("tag.kind_of", tag.kind)),
        (words("run.unit"), words.code("unit", tag.unit) if tag.unit else "–"),
        (words("asset.path"), html.Span(tag.path, className="mono")),
        (words("tag.number"), str(tag.tag)),
    ]
    return card(words("tag.source"), facts(rows, "wide"))


def lineage_card(visit: Visit, tag: Tag) -> Component:
    """Return the figures computed from this tag."""
    words = visit.words
    users = [s for s in visit.specs.values() if tag.path in s.inputs]
    if not users:
        return card(words("tag.lineage"), html.P(words("tag.no_lineage"), className="muted"))
    rows = [html.Li(words.label(s.label)) for s in users[:20]]
    return card(words("tag.lineage"), html.Ul(rows, className="children"))


PAGE: Final = Page(path="/tag/<path>", title="nav.tag", layout=layout)
