"""Output: effectiveness of every line as A x E x Q, what it made, and when its machines stood."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from dash.development.base_component import Component

from cluster.ports import Asset, HistoryQuery
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.info import info
from dashboard.components.live import kpi, limits, live, live_of, meter
from dashboard.components.parts import card, empty, table
from dashboard.figures.flows import heat
from dashboard.page import Page, Visit
from dashboard.pages.asset import short, written
from dashboard.spans import HOUR, MINUTE
from dashboard.tables import Floats, Times, by_path
from dashboard.text import number, span

KPIS: Final = ("park.oee_pct", "park.output_today", "park.output_rate_h", "park.tags_good_pct")
HOURS: Final = 8
STEP_MIN: Final = 1


async def layout(visit: Visit) -> Component:
    """Return the page; the address says which line is looked at closely."""
    words = visit.words
    assets = await visit.service.assets(visit.park.id)
    lines = [a for a in assets if a.type == "line" and f"line.{a.id}.oee_pct" in visit.specs]
    if not lines:
        return html.Div(
            [html.H1(words("nav.output")), empty(words("output.none"), words("output.none_hint"))]
        )
    shown = [f for f in KPIS if f in visit.specs]
    recent = await visit.service.recent(visit.park.id, shown, 15.0)
    points = {f: recent[f].to_pylist()[:: max(1, recent.num_rows // 60)] for f in shown}
    asked = visit.query.get("line", "")
    line = next((a for a in lines if a.id == asked), lines[0])
    cards = [kpi(visit, f, points[f]) for f in shown]
    return html.Div(
        [
            html.Div([html.H1(words("nav.output"))], className="page-head"),
            html.Div([c for c in cards if c is not None], className="kpis four flush"),
            html.Div(
                [
                    lines_card(visit, lines, assets, line),
                    html.Div(await close_look(visit, line, assets), className="stack"),
                ],
                className="grid lines-left",
            ),
        ]
    )


def machines_of(line: Asset, assets: Sequence[Asset]) -> list[Asset]:
    """Return the machines of a line."""
    return [a for a in assets if a.type == "machine" and a.parent == line.id]


def site_name(visit: Visit, line: Asset, assets: Sequence[Asset]) -> str:
    """Return the name of the site a line stands in."""
    site = line.id.split("/", 1)[0]
    return next((visit.words.label(a.label) for a in assets if a.id == site), site)


def lines_card(
    visit: Visit, lines: Sequence[Asset], assets: Sequence[Asset], chosen: Asset
) -> Component:
    """Return all lines in one table, site by site; a choice of line stays in the address."""
    words = visit.words
    head = [
        words("output.line"),
        "OEE %",
        "",
        "A %",
        f"{words('output.e')} %",
        "Q %",
        words("output.rate"),
        words("output.good"),
        words("output.kwh_unit"),
        words("output.machines"),
    ]
    rows: list[list[object]] = []
    for site in dict.fromkeys(site_name(visit, line, assets) for line in lines):
        rows.append([site])
        rows += [
            line_row(visit, line, assets, chosen)
            for line in lines
            if site_name(visit, line, assets) == site
        ]
    legend = html.Span(
        [
            html.Span(
                [html.I(className=f"machine state-{code}"), words.code("machine", str(code))],
                className="legend-item",
            )
            for code in (3, 2, 1, 0)
        ],
        className="card-extra",
    )
    return card(
        words("output.lines"),
        table(
            head,
            rows,
            label=words("output.lines"),
            numeric=(1, 3, 4, 5, 6, 7, 8),
            lesser=(3, 4, 5, 6, 8),
        ),
        extra=legend,
        kind="card-lines",
    )


def line_row(visit: Visit, line: Asset, assets: Sequence[Asset], chosen: Asset) -> list[object]:
    """Return one line of the table."""

    def shown(name: str) -> Component:
        return live_of(visit, f"line.{line.id}.{name}", unit=False)

    oee = visit.specs[f"line.{line.id}.oee_pct"]
    link = core.Link(
        visit.words.label(line.label),
        href=visit.href("/output", line=line.id),
        className="strong" if line is chosen else "",
    )
    return [
        link,
        shown("oee_pct"),
        html.Div(meter(oee, 100.0), className="w60", **limits(oee), **{"data-limits": oee.id}),
        shown("availability_pct"),
        above_hundred(visit, f"line.{line.id}.effectiveness_pct"),
        shown("quality_pct"),
        shown("rate_h"),
        shown("good_today"),
        shown("kwh_per_unit"),
        html.Div(
            [
                html.I(
                    className="machine",
                    title=visit.words.label(m.label),
                    **{"data-state": f"machine.{m.id}.state"},
                )
                for m in machines_of(line, assets)
            ],
            className="machines",
        ),
    ]


def above_hundred(visit: Visit, figure: str) -> Component:
    """Return a share that is shown as it is and flagged above 100 %, never clipped."""
    return html.Span(
        live_of(visit, figure, unit=False),
        className="nowrap",
        **{"data-limits": figure, "data-high": "100"},
    )


async def close_look(visit: Visit, line: Asset, assets: Sequence[Asset]) -> list[Component]:
    """Return one line closely: its OEE as a product, its plan, its machines' last hours."""
    machines = machines_of(line, assets)
    name = f"{site_name(visit, line, assets)}, {visit.words.label(line.label)}"
    at, states = await history(visit, machines)
    return [
        product_card(visit, line, name),
        states_card(visit, machines, at, states),
        downtime_card(visit, machines, states),
    ]


def product_card(visit: Visit, line: Asset, name: str) -> Component:
    """Return A, E and Q as bars whose product is the OEE."""
    words = visit.words
    rows = []
    for figure in ("availability_pct", "effectiveness_pct", "quality_pct", "oee_pct"):
        spec = visit.specs.get(f"line.{line.id}.{figure}")
        if spec is not None:
            rows.append(
                html.Div(
                    [
                        html.Span(short(visit, spec)),
                        meter(spec, 100.0),
                        html.Span(
                            [
                                live(spec),
                                " ",
                                html.Span(className="kpi-deviation", **{"data-deviation": spec.id}),
                            ],
                            className="r",
                        ),
                    ],
                    className="product-row strong" if figure == "oee_pct" else "product-row",
                    **limits(spec),
                    **{"data-limits": spec.id},
                )
            )
    oee = visit.specs[f"line.{line.id}.oee_pct"]
    plan = written(words, line.attributes.get("plan", ""))
    made = html.P(
        [
            words("output.good"),
            ": ",
            live_of(visit, f"line.{line.id}.good_today"),
            f" · {words('output.plan')}: {plan}" if plan else "",
        ],
        className="muted",
    )
    link = core.Link(words("output.detail"), href=visit.href(f"/asset/{line.id}"))
    return card(name, *rows, made, extra=[link, info(visit, oee)])


async def history(visit: Visit, machines: Sequence[Asset]) -> tuple[Times, Floats]:
    """Return machine states of the last hours, float64[machines, t]; NaN where none is known."""
    paths = tuple(f"figure:machine.{m.id}.state" for m in machines)
    now, step = visit.park.now_us, STEP_MIN * MINUTE
    since = (now - HOURS * HOUR) // step * step
    at: Times = np.arange(since, now, step, dtype=np.int64)
    if not paths:
        return at[:0], np.empty((0, 0))
    query = HistoryQuery(tags=paths, since_us=since, until_us=now, every_us=step)
    series = by_path(await visit.service.history(visit.park.id, query), "last")
    states = np.full((len(paths), len(at)), np.nan)
    for row, path in enumerate(paths):
        seen, values = series.get(path, (at[:0], states[row, :0]))
        inside = (seen >= since) & (seen < now)
        states[row, (seen[inside] - since) // step] = values[inside]
    return at, states


def states_card(visit: Visit, machines: Sequence[Asset], at: Times, states: Floats) -> Component:
    """Return a strip per machine."""
    words = visit.words
    title = words("output.states", hours=str(HOURS))
    if not np.isfinite(states).any():
        return card(title, empty(words("state.no_data")))
    names = [words.code("machine", str(code)) for code in range(4)]
    rows = [words.label(m.label) for m in machines]
    figure = heat(visit.style, at, rows, states, names, step_us=STEP_MIN * MINUTE)
    height = 50 + 27 * len(machines)
    return card(title, graph("output-states", figure, height=height, label=title))


def downtime_card(visit: Visit, machines: Sequence[Asset], states: Floats) -> Component:
    """Return how long each machine was down or waiting, longest first."""
    words, language = visit.words, visit.viewer.language
    title = words("output.downtime", hours=str(HOURS))
    if not np.isfinite(states).any():
        return card(title, empty(words("state.no_data")))
    down = np.nansum(states <= 1, axis=1) * STEP_MIN
    idle = np.nansum(states == 2, axis=1) * STEP_MIN
    known = np.isfinite(states).sum(axis=1)
    running = np.where(known > 0, (states == 3).sum(axis=1) / np.maximum(known, 1) * 100, np.nan)
    order = np.argsort(-(down * 10_000 + idle))
    rows = [
        [
            core.Link(words.label(machines[i].label), href=visit.href(f"/asset/{machines[i].id}")),
            span(float(down[i]), language),
            span(float(idle[i]), language),
            number(running[i], 0, language),
        ]
        for i in order
    ]
    head = [
        words("output.machine"),
        words("machine.1"),
        words("machine.2"),
        words("output.running"),
    ]
    return card(title, table(head, rows, label=title, numeric=(1, 2, 3)))


PAGE: Final = Page(
    path="/output", title="nav.output", layout=layout, profile="output", icon="output"
)
