"""Logistics: gates and their queues, how long trucks stay, yard, docks and berths."""

from collections.abc import Sequence
from typing import Final

from dash.development.base_component import Component

from cluster.ports import Asset, FigureSpec, HistoryQuery
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.info import info
from dashboard.components.live import kpi, limits, live, live_of, meter
from dashboard.components.parts import card, empty, table
from dashboard.components.picker import exports, span_picker
from dashboard.figures.lines import Limit, trend
from dashboard.page import Page, Visit
from dashboard.spans import Span, span_of
from dashboard.tables import by_path, on_grid
from dashboard.text import number

KPIS: Final = (
    "park.gate_queue",
    "park.turn_p50_min",
    "park.turn_p90_min",
    "park.yard_pct",
    "park.docks_busy",
    "park.trucks_today",
)


async def layout(visit: Visit) -> Component:
    """Return the page."""
    words, park = visit.words, visit.park
    span = span_of(visit.query.get("span", "today"), park.now_us, park.tz)
    shown = [f for f in KPIS if f in visit.specs]
    recent = await visit.service.recent(park.id, shown, 15.0)
    points = {f: recent[f].to_pylist()[:: max(1, recent.num_rows // 60)] for f in shown}
    assets = await visit.service.assets(park.id)
    cards = [kpi(visit, f, points[f]) for f in shown]
    tools = html.Div(
        [span_picker(visit, span), exports(visit, [f"figure:{f}" for f in shown], span)],
        className="page-tools",
    )
    queues = [f for f in visit.specs if f.startswith("gate.") and f.endswith(".queue")]
    turns = ["park.turn_p50_min", "park.turn_p90_min"]
    return html.Div(
        [
            html.Div([html.H1(words("nav.logistics")), tools], className="page-head"),
            html.Div([c for c in cards if c is not None], className="kpis flush"),
            html.Div(
                [
                    await trend_card(visit, span, "turn", words("logistics.turn"), turns, "min"),
                    await trend_card(visit, span, "queue", words("logistics.queue"), queues, ""),
                ],
                className="grid two",
            ),
            html.Div(
                [
                    gates_card(visit, assets),
                    places_card(visit, assets, "logistics.places", ("yard.", "dock.")),
                    places_card(visit, assets, "logistics.water", ("berth.", "wwtp.")),
                ],
                className="grid three",
            ),
        ]
    )


async def trend_card(
    visit: Visit, span: Span, name: str, title: str, figures: Sequence[str], unit: str
) -> Component:
    """Return figures over the span, against the upper end of the first one's normal band."""
    specs = [visit.specs[f] for f in figures if f in visit.specs]
    paths = tuple(f"figure:{spec.id}" for spec in specs)
    empty_card = card(title, empty(visit.words("state.no_data"), visit.words("state.no_data_hint")))
    if not paths or span.until_us <= span.since_us:
        return empty_card
    query = HistoryQuery(
        tags=paths, since_us=span.since_us, until_us=span.until_us, every_us=span.chart_us
    )
    at, grid = on_grid(by_path(await visit.service.history(visit.park.id, query), "mean"), paths)
    if not len(at):
        return empty_card
    series = {
        visit.words.label(s.label): grid[f"figure:{s.id}"]
        for s in specs
        if f"figure:{s.id}" in grid
    }
    figure = trend(
        visit.style,
        at,
        series,
        unit=visit.words.code("unit", unit) if unit else "",
        counts=not unit,
        limits=limits_of(visit, specs),
        tickformat=span.tickformat,
    )
    return card(
        title,
        graph(f"logistics-{name}", figure, height=240, label=title),
        extra=info(visit, specs[-1]),
    )


def limits_of(visit: Visit, specs: Sequence[FigureSpec]) -> list[Limit]:
    """Return the upper end of the last figure's normal band, named."""
    high = specs[-1].high
    if high is None:
        return []
    text = visit.words("logistics.normal", value=number(high, 0, visit.viewer.language))
    return [Limit(value=high, text=text)]


def gates_card(visit: Visit, assets: Sequence[Asset]) -> Component:
    """Return gates: queue, busy lanes of all, turn time."""
    words = visit.words
    title = words("logistics.gates")
    gates = [a for a in assets if a.type == "gate"]
    if not gates:
        return card(title, empty(words("state.no_data")))
    rows = [
        [
            core.Link(words.label(g.label) or g.id, href=visit.href(f"/asset/{g.id}")),
            live_of(visit, f"gate.{g.id}.queue", unit=False),
            html.Span(
                [
                    live_of(visit, f"gate.{g.id}.busy", unit=False),
                    " / ",
                    g.attributes.get("lanes", "–"),
                ]
            ),
            live_of(visit, f"gate.{g.id}.turn_p90_min", unit=False),
        ]
        for g in gates
    ]
    head = [
        words("logistics.gate"),
        words("logistics.waiting"),
        words("logistics.lanes"),
        words("logistics.p90"),
    ]
    return card(title, table(head, rows, label=title, numeric=(1, 2, 3)))


def places_card(
    visit: Visit, assets: Sequence[Asset], key: str, scopes: tuple[str, ...]
) -> Component:
    """Return places with a live bar each: how full of how much."""
    words = visit.words
    title = words.code("logistics", key.split(".", 1)[1])
    names = {a.id: words.label(a.label) for a in assets}
    specs = [s for s in visit.specs.values() if s.id.startswith(scopes)]
    rows = [
        html.Div(
            [
                core.Link(names.get(s.asset) or s.asset, href=visit.href(f"/asset/{s.asset}")),
                meter(s, s.scale_high or 1.0),
                html.Span([live(s), of_all(visit, s)], className="r nowrap"),
            ],
            className="product-row",
            **limits(s),
            **{"data-limits": s.id},
        )
        for s in specs
    ]
    return card(title, *rows) if rows else card(title, empty(words("state.no_data")))


def of_all(visit: Visit, spec: FigureSpec) -> str:
    """Return ``/ 300`` for a count out of a known whole."""
    if spec.scale_high is None or spec.unit:
        return ""
    return f" / {number(spec.scale_high, 0, visit.viewer.language)}"


PAGE: Final = Page(
    path="/logistics", title="nav.logistics", layout=layout, profile="logistics", icon="logistics"
)
