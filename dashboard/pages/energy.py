"""Energy: power now in MW, energy of a span in MWh, and what it cost; the two never mix."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from dash.development.base_component import Component

from cluster.ports import Asset, FigureSpec, Headroom, HistoryQuery
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.info import info
from dashboard.components.live import kpi, limits, live, live_of, meter
from dashboard.components.parts import card, empty, facts, table
from dashboard.components.picker import exports, span_picker
from dashboard.figures.flows import WINDOWS, balance, sankey, window_bars
from dashboard.figures.lines import Limit, fan, trend
from dashboard.figures.style import line, numbers
from dashboard.page import Page, Visit
from dashboard.spans import Span, span_of
from dashboard.tables import Floats, Times, by_path, on_grid, sums, times
from dashboard.text import number

NOW: Final = (
    "park.grid_import_mw",
    "park.load_mw",
    "park.pv_mw",
    "park.bess_mw",
    "park.bess_soc_pct",
    "park.cos_phi",
)
SITES_NAMED: Final = 7
WHOLE: Final = 0.99


async def layout(visit: Visit) -> Component:
    """Return the page."""
    park, service, words = visit.park, visit.service, visit.words
    span = span_of(visit.query.get("span", "today"), park.now_us, park.tz)
    assets = await service.assets(park.id)
    recent = await service.recent(park.id, [f for f in NOW if f in visit.specs], 15.0)
    points = {
        f: recent[f].to_pylist()[:: max(1, recent.num_rows // 60)] for f in NOW if f in visit.specs
    }
    flows = await service.energy(park.id, span.since_us, span.until_us, span.every_us)
    head = await service.headroom(park.id)
    cards = [kpi(visit, f, points.get(f, ())) for f in NOW]
    tools = html.Div(
        [span_picker(visit, span), exports(visit, exported(visit), span)], className="page-tools"
    )
    return html.Div(
        [
            html.Div([html.H1(words("nav.energy")), tools], className="page-head"),
            html.Div([c for c in cards if c is not None], className="kpis flush"),
            html.Div(
                [
                    load_card(visit, span, await station_history(visit, span), head),
                    flow_card(visit, span, flows, assets),
                ],
                className="grid wide-left",
            ),
            html.Div(
                [
                    bill_card(visit, span, flows),
                    await solar_card(visit, span),
                    await battery_card(visit, span),
                ],
                className="grid three",
            ),
            html.Div(
                [ranking_card(visit, span, flows, assets), feeder_card(visit, assets)],
                className="grid two",
            ),
        ]
    )


def exported(visit: Visit) -> list[str]:
    """Return what a download of this page holds."""
    return [f"figure:{f}" for f in NOW if f in visit.specs]


async def read(
    visit: Visit, span: Span, figures: Sequence[str]
) -> tuple[Times, Mapping[str, Floats]]:
    """Return figures of a span on one grid of times."""
    paths = tuple(f"figure:{f}" for f in figures if f in visit.specs)
    if not paths or span.until_us <= span.since_us:
        return np.array([], dtype=np.int64), {}
    query = HistoryQuery(
        tags=paths, since_us=span.since_us, until_us=span.until_us, every_us=span.chart_us
    )
    grid, series = on_grid(
        by_path(await visit.service.history(visit.park.id, query), "mean"), paths
    )
    return grid, {path.removeprefix("figure:"): values for path, values in series.items()}


async def station_history(visit: Visit, span: Span) -> tuple[Times, Mapping[str, Floats]]:
    """Return the station's load of the span."""
    return await read(visit, span, ["park.station_mva"])


def load_card(
    visit: Visit, span: Span, past: tuple[Times, Mapping[str, Floats]], head: Headroom
) -> Component:
    """Return the station's load against its ratings; today with tonight's forecast."""
    words, style = visit.words, visit.style
    rating, n1 = (
        number(v, 0, visit.viewer.language) for v in (head.rating_mva, head.n1_rating_mva)
    )
    marks = [
        Limit(value=head.rating_mva, text=words("headroom.rating", mva=rating), above=False),
        Limit(value=head.n1_rating_mva, text=words("headroom.n1_rating", mva=n1)),
    ]
    title = words("energy.station", span=words.code("span", span.name).lower())
    at_us, series = past
    measured = series.get("park.station_mva", np.array([]))
    name = words("energy.measured_load")
    if span.name == "today":
        figure = fan(
            style,
            head.at_us,
            head.mva,
            unit="MVA",
            limits=marks,
            from_zero=True,
            names=(words("energy.forecast_load"), words("band.half"), words("band.ninety")),
        )
        dashed = {**line(style, name, style.local(at_us), numbers(measured), unit="MVA")}
        data = figure["data"]
        if isinstance(data, list):
            data[-1]["line"] = data[-1]["line"] | {"dash": "dash"}
            data.append(dashed)
    else:
        figure = trend(
            style, at_us, {name: measured}, unit="MVA", limits=marks, tickformat=span.tickformat
        )
    return card(title, graph("energy-station", figure, height=290, label=title))


def named_uses(visit: Visit, flows: pa.Table, assets: Sequence[Asset]) -> dict[str, float]:
    """Return energy per user [kWh]: each site by its name, the aggregated tenants together."""
    names = {f"site:{a.id}": visit.words.label(a.label) or a.id for a in assets}
    names["aggregated"] = visit.words("energy.aggregated")
    names["battery_in"] = visit.words("energy.battery_in")
    totals = sums(flows, "flow", "kwh")
    return {names[flow]: kwh for flow, kwh in totals.items() if flow in names}


def flow_card(visit: Visit, span: Span, flows: pa.Table, assets: Sequence[Asset]) -> Component:
    """Return where the energy of the span came from and went to."""
    words = visit.words
    title = words("energy.flow", span=words.code("span", span.name).lower())
    if flows.num_rows == 0:
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    totals = sums(flows, "flow", "kwh")
    sources = {
        words("energy.grid"): totals.get("grid", 0.0),
        words("energy.solar"): totals.get("solar", 0.0),
        words("energy.battery_out"): totals.get("battery_out", 0.0),
    }
    closed = balance(
        sources,
        named_uses(visit, flows, assets),
        most=SITES_NAMED,
        others=words("energy.other_sites"),
        unmetered=words("energy.unmetered"),
    )
    figure = sankey(visit.style, closed, bus=words("energy.bus"))
    return card(title, graph("energy-flow", figure, height=290, label=title))


def bars(flows: pa.Table, span: Span) -> tuple[Times, dict[str, Floats]]:
    """Return grid energy per bar and tariff window [MWh]; NaN where nothing of it is known."""
    grid = flows.filter(pc.equal(flows["flow"], "grid"))
    at = times(grid)
    starts = span.since_us + (at - span.since_us) // span.bar_us * span.bar_us
    edges = np.unique(starts)
    windows = np.asarray(grid["window"].to_pylist())
    mwh = np.asarray(grid["kwh"], dtype=np.float64) / 1000
    return edges, {
        window: np.array([known(mwh[(starts == edge) & (windows == window)]) for edge in edges])
        for window in WINDOWS
    }


def known(values: Floats) -> float:
    """Return the sum of what is known; NaN when nothing is."""
    return float(np.nansum(values)) if np.isfinite(values).any() else float("nan")


def covered(grid: pa.Table, span: Span) -> float:
    """Return the share of the span whose grid energy is measured, 0..1."""
    share = float(np.nansum(np.asarray(grid["measured"], dtype=np.float64)))
    return min(1.0, share * span.every_us / max(1, span.until_us - span.since_us))


def bill_card(visit: Visit, span: Span, flows: pa.Table) -> Component:
    """Return grid energy by tariff window, its provisional cost and its emissions."""
    words, language = visit.words, visit.viewer.language
    title = words("energy.bill", span=words.code("span", span.name).lower())
    if flows.num_rows == 0:
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    at, mwh = bars(flows, span)
    names = {window: words.code("window", window) for window in WINDOWS}
    figure = window_bars(visit.style, at, mwh, names, tickformat=span.tickformat)
    grid = flows.filter(pc.equal(flows["flow"], "grid"))
    told = grid.filter(pc.is_valid(grid["kwh"]))
    cost, co2 = sums(told, "window", "cost_vnd"), sums(told, "window", "co2_kg")
    rows = [
        [
            html.Span([html.I(className=f"swatch window-{w}"), names[w]]),
            number(known(mwh[w]), 1, language),
            number(cost[w] / 1e6 if w in cost else None, 1, language),
            number(co2[w] / 1e3 if w in co2 else None, 1, language),
        ]
        for w in reversed(WINDOWS)
    ]
    rows.append(
        [
            words("energy.total"),
            number(known(np.concatenate(list(mwh.values()))), 1, language),
            number(sum(cost.values()) / 1e6, 1, language),
            number(sum(co2.values()) / 1e3, 1, language),
        ]
    )
    head = [words("energy.window"), "MWh", words("energy.mvnd"), words("energy.tco2e")]
    return card(
        title,
        graph("energy-bill", figure, height=170, label=title),
        table(head, rows, label=title, numeric=(1, 2, 3)),
        *gaps(visit, covered(grid, span)),
        html.P(provenance(visit), className="muted small"),
    )


def gaps(visit: Visit, share: float) -> list[Component]:
    """Return what a sum leaves out, when it leaves out anything worth telling."""
    if share >= WHOLE:
        return []
    part = "< 1" if 0 < share < 0.01 else number(share * 100, 0, visit.viewer.language)
    return [html.P(visit.words("energy.covered", share=part), className="small")]


def provenance(visit: Visit) -> str:
    """Return the dated tables behind cost and emissions."""
    tables = [
        visit.words.label(visit.specs[f].table)
        for f in ("park.cost_today_mvnd", "park.co2_today_t")
        if f in visit.specs
    ]
    return visit.words("energy.tables", tables=" · ".join(filter(None, tables)) or "–")


async def solar_card(visit: Visit, span: Span) -> Component:
    """Return solar power against what the sky allowed."""
    words = visit.words
    title = words("energy.solar_expected")
    actual = [f for f in visit.specs if f.startswith("pv.") and f.endswith(".kw")]
    expected = [f for f in visit.specs if f.startswith("pv.") and f.endswith(".expected_kw")]
    at, series = await read(visit, span, [*actual, *expected])
    if not len(at):
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    summed = {
        words("energy.actual"): sum_of(series, actual),
        words("energy.expected"): sum_of(series, expected),
    }
    figure = trend(visit.style, at, summed, unit="MW", tickformat=span.tickformat)
    roofs = [(visit.words.label(visit.specs[f].label), live(visit.specs[f])) for f in actual]
    return card(title, graph("energy-solar", figure, height=262, label=title), facts(roofs))


def sum_of(series: Mapping[str, Floats], names: Sequence[str]) -> Floats:
    """Return the sum of those that are there [MW from kW]; NaN only where none is known."""
    stack = np.array([series[name] for name in names if name in series])
    if not len(stack):
        return np.array([])
    known = ~np.isnan(stack).all(axis=0)
    return np.where(known, np.nansum(stack, axis=0) / 1000, np.nan)


async def battery_card(visit: Visit, span: Span) -> Component:
    """Return the batteries' state of charge over the span."""
    words = visit.words
    title = words("energy.battery")
    socs = [f for f in visit.specs if f.startswith("bess.") and f.endswith(".soc_pct")]
    at, series = await read(visit, span, socs)
    if not len(at):
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    named = {words.label(visit.specs[f].label): values for f, values in series.items()}
    figure = trend(visit.style, at, named, unit="%", tickformat=span.tickformat)
    powers = [s for s in visit.specs.values() if s.id.startswith("bess.") and s.id.endswith(".kw")]
    rows = [(words.label(s.label), live(s)) for s in powers]
    return card(title, graph("energy-battery", figure, height=316, label=title), facts(rows))


def ranking_card(visit: Visit, span: Span, flows: pa.Table, assets: Sequence[Asset]) -> Component:
    """Return sites by energy of the span, largest first."""
    words, language = visit.words, visit.viewer.language
    title = words("energy.ranking", span=words.code("span", span.name).lower())
    totals = sums(flows, "flow", "kwh") if flows.num_rows else {}
    sites = [a for a in assets if f"site:{a.id}" in totals]
    if not sites:
        return card(title, empty(words("state.no_data"), words("state.no_data_hint")))
    ranked = sorted(sites, key=lambda a: -totals[f"site:{a.id}"])
    largest = totals[f"site:{ranked[0].id}"] or 1.0
    load = totals.get("load") or sum(totals[f"site:{a.id}"] for a in sites)
    rows = [
        [
            core.Link(words.label(a.label), href=visit.href(f"/asset/{a.id}")),
            share(totals[f"site:{a.id}"] / largest),
            number(totals[f"site:{a.id}"] / 1000, 1, language),
            number(totals[f"site:{a.id}"] / load * 100, 1, language),
            now_of(visit, a),
        ]
        for a in ranked
    ]
    head = [words("energy.site"), "", "MWh", words("energy.share"), words("energy.now_mw")]
    return card(title, table(head, rows, label=title, numeric=(2, 3, 4), lesser=(1,)))


def share(part: float) -> Component:
    """Return a bar of fixed length, 0..1."""
    bar = html.B(style={"width": f"{part * 100:.1f}%"})
    return html.Div(bar, className="meter", **{"aria-hidden": "true"})


def now_of(visit: Visit, asset: Asset) -> Component:
    """Return a site's power now in MW."""
    spec = visit.specs.get(f"site.{asset.id}.kw")
    return html.Span(
        "–"
        if spec is None
        else html.Span(
            className="num", **{"data-live": spec.id, "data-decimals": "2", "data-scale": "0.001"}
        )
    )


def feeder_card(visit: Visit, assets: Sequence[Asset]) -> Component:
    """Return feeders in amperes and per cent of what protects them."""
    words = visit.words
    title = words("energy.feeders")
    names = {a.id: words.label(a.label) for a in assets}
    rows = []
    for amps in (s for s in visit.specs.values() if s.id.startswith("feeder.")):
        loading = visit.specs.get(f"feeder.{amps.asset}.loading_pct")
        if amps.id.endswith(".amps") and loading is not None:
            rows.append(feeder_row(visit, names.get(amps.asset, amps.asset), amps, loading))
    if not rows:
        return card(title, empty(words("state.no_data")))
    head = [words("energy.feeder"), "A", "%", ""]
    half = (len(rows) + 1) // 2
    tables = [table(head, part, label=title, numeric=(1, 2)) for part in (rows[:half], rows[half:])]
    first = next(s for s in visit.specs.values() if s.id.startswith("feeder."))
    return card(
        title,
        html.Div(tables, className="grid two flush"),
        html.H3(words("energy.transformers"), className="card-sub"),
        transformer_table(visit, names),
        extra=info(visit, first),
    )


def transformer_table(visit: Visit, names: Mapping[str, str]) -> Component:
    """Return transformers in MVA, per cent and oil temperature."""
    words = visit.words
    assets = dict.fromkeys(s.asset for s in visit.specs.values() if s.id.startswith("transformer."))
    rows = [
        [
            core.Link(names.get(a) or a, href=visit.href(f"/asset/{a}")),
            *(
                live_of(visit, f"transformer.{a}.{name}", unit=False)
                for name in ("mva", "loading_pct", "oil_c")
            ),
        ]
        for a in assets
    ]
    head = [words("energy.transformer"), "MVA", "%", words("energy.oil")]
    return table(head, rows, label=words("energy.transformers"), numeric=(1, 2, 3))


def feeder_row(visit: Visit, name: str, amps: FigureSpec, loading: FigureSpec) -> list[object]:
    """Return one feeder."""
    return [
        core.Link(name, href=visit.href(f"/asset/{amps.asset}"), className="nowrap"),
        live(amps, unit=False),
        live(loading, unit=False),
        html.Div(meter(loading, 100.0), **limits(loading), **{"data-limits": loading.id}),
    ]


PAGE: Final = Page(
    path="/energy", title="nav.energy", layout=layout, profile="energy", icon="energy"
)
