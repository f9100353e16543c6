"""Overview: how much the station can still carry tonight, and the park at a glance."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from dash import Dash, Input, Output, State
from dash.development.base_component import Component

from cluster.ports import Action, Alarm, AlarmState, Asset, FigureSpec, Headroom, Run, RunState
from dashboard.components import core, html
from dashboard.components.graph import graph, stream
from dashboard.components.info import note
from dashboard.components.live import kpi, live, live_of
from dashboard.components.parts import card, empty, link, priority
from dashboard.design import PRIORITIES, SHAPES
from dashboard.figures.lines import Limit, fan, trend
from dashboard.page import Desk, Page, Visit
from dashboard.spans import MINUTE
from dashboard.text import clock, moment, number, probability, span
from dashboard.words.key import Key

KPIS: Final = (
    "park.load_mw",
    "park.station_mva",
    "park.pv_share_pct",
    "park.bess_soc_pct",
    "park.oee_pct",
    "park.turn_p90_min",
)
POWER: Final = ("park.load_mw", "park.grid_import_mw", "park.pv_mw", "park.bess_mw")
MINUTES: Final = 15.0


async def layout(visit: Visit) -> Component:
    """Return the page."""
    service, park = visit.service, visit.park.id
    wanted = [f for f in dict.fromkeys((*KPIS, *POWER)) if f in visit.specs]
    recent = await service.recent(park, wanted, MINUTES)
    points = {f: recent[f].to_pylist()[:: max(1, recent.num_rows // 60)] for f in wanted}
    cards = [kpi(visit, figure, points.get(figure, ())) for figure in KPIS]
    at_us = recent["at"].cast("int64").to_numpy()
    series = {f: recent[f].to_numpy(zero_copy_only=False) for f in POWER if f in visit.specs}
    return html.Div(
        [
            html.H1(visit.words("nav.overview"), className="sr"),
            html.Div(await tonight(visit), id="overview-headroom"),
            html.Div([c for c in cards if c is not None], className="kpis"),
            html.Div(
                [
                    schematic(visit, await service.assets(park)),
                    html.Div(await strip(visit), id="overview-strip", className="stack"),
                ],
                className="grid overview-grid",
            ),
            html.Div(power(visit, at_us, series), className="grid"),
        ]
    )


async def tonight(visit: Visit) -> Component:
    """Return the first thing to see: minutes, the evening's forecast, what buys more."""
    head = await visit.service.headroom(visit.park.id)
    words = visit.words
    title = words("headroom.title_next" if next_evening(visit, head) else "headroom.title")
    basis = note(
        words("info.about", name=title),
        title,
        [(words("info.formula"), words.label(head.basis))],
    )
    return card(
        title,
        html.Div(
            [verdict(visit, head), evening(visit, head), actions(visit, head)],
            className="headroom",
        ),
        extra=basis,
        kind="card-headroom",
    )


def next_evening(visit: Visit, head: Headroom) -> bool:
    """Whether the evening of the forecast is tomorrow's: its peak is more than 15 hours ahead."""
    return head.peak_at_us - visit.park.now_us > 15 * 3_600_000_000


def verdict(visit: Visit, head: Headroom) -> Component:
    """Return the minutes, and the sentence that says what they mean."""
    words, language = visit.words, visit.viewer.language
    short = head.n1_minutes < head.over_minutes
    endless = np.isinf(head.n1_minutes)
    minutes = words("headroom.hero_night") if endless else number(head.n1_minutes, 0, language)
    rows = [
        (words("headroom.cautious"), span_or_night(visit, head.n1_minutes_low)),
        (words("headroom.over"), span(head.over_minutes, language)),
        (
            words("headroom.peak"),
            f"{number(head.peak_mva, 1, language)} MVA · {peak_time(visit, head)}",
        ),
        (words("headroom.p_over"), probability(head.p_over[0], language, head.p_least)),
        (words("headroom.p_over_n1"), probability(head.p_over[1], language, head.p_least)),
    ]
    return html.Div(
        [
            html.Div(
                [
                    html.Span(minutes, className="hero-number num"),
                    html.Span(
                        words("headroom.hero_one" if endless else "headroom.minutes"),
                        className="hero-unit",
                    ),
                    *(
                        [
                            html.Span(
                                f"{SHAPES['high']} {words('headroom.short')}",
                                className="priority priority-high",
                            )
                        ]
                        if short
                        else []
                    ),
                ],
                className="hero",
            ),
            html.P(
                words(
                    _sentence(head),
                    at=peak_time(visit, head),
                    n1=number(head.n1_rating_mva, 0, language),
                    minutes=minutes,
                ),
                className="hero-text",
            ),
            html.Dl(
                [part for name, text in rows for part in (html.Dt(name), html.Dd(text))],
                className="facts",
            ),
        ],
        className="headroom-verdict",
    )


def peak_time(visit: Visit, head: Headroom) -> str:
    """Return when the peak comes: a time ahead, or now when the load only falls."""
    if head.peak_at_us <= visit.park.now_us + MINUTE:
        return visit.words("headroom.now")
    return clock(head.peak_at_us, visit.park.tz)


def _sentence(head: Headroom) -> Key:
    if np.isinf(head.n1_minutes):
        return "headroom.all_night"
    return "headroom.out" if head.rating_mva <= head.n1_rating_mva else "headroom.sentence"


def span_or_night(visit: Visit, minutes: float) -> str:
    """Return a duration, or words for one that outlasts the night."""
    if np.isinf(minutes):
        return visit.words("headroom.night")
    return span(minutes, visit.viewer.language)


def evening(visit: Visit, head: Headroom) -> Component:
    """Return the forecast of station load against both ratings."""
    words = visit.words
    title = words("headroom.forecast_next" if next_evening(visit, head) else "headroom.forecast")
    rating, n1 = (
        number(v, 0, visit.viewer.language) for v in (head.rating_mva, head.n1_rating_mva)
    )
    limits = [
        Limit(value=head.rating_mva, text=words("headroom.rating", mva=rating), above=False),
        Limit(value=head.n1_rating_mva, text=words("headroom.n1_rating", mva=n1)),
    ]
    if head.rating_mva <= head.n1_rating_mva:
        limits = [Limit(value=head.rating_mva, text=words("headroom.in_service", mva=rating))]
    figure = fan(
        visit.style,
        head.at_us,
        head.mva,
        unit="MVA",
        names=(words("band.median"), words("band.half"), words("band.ninety")),
        limits=limits,
        from_zero=True,
    )
    return html.Div(
        [
            html.H3(title),
            graph("overview-evening", figure, height=226, label=title),
        ],
        className="headroom-chart",
    )


def actions(visit: Visit, head: Headroom) -> Component:
    """Return what would buy more, best first."""
    words = visit.words
    endless = np.isinf(head.n1_minutes)
    rows = [action(visit, each) for each in head.actions[:5] if each.minutes >= 1.0]
    nothing = words("headroom.not_needed" if endless else "headroom.no_actions")
    together = words("headroom.enough" if head.enough else "headroom.not_enough")
    return html.Div(
        [
            html.H3(words("headroom.buys")),
            html.Ol(rows, className="actions") if rows else empty(nothing),
            html.P(together, className="muted") if rows else None,
            link(words("headroom.try"), visit.href("/whatif"), "button"),
        ],
        className="headroom-actions",
    )


def action(visit: Visit, each: Action) -> Component:
    """Return one line: what to do, the minutes it buys, the megawatts it takes off."""
    language = visit.viewer.language
    alone = html.Span(visit.words("headroom.alone"), className="chip") if each.sufficient else None
    return html.Li(
        [
            html.Span(
                [visit.words.label(each.label), " ", alone], title=visit.words.label(each.basis)
            ),
            html.Span(
                f"+{number(each.minutes, 0, language)} {visit.words('headroom.min')}",
                className="num strong",
            ),
            html.Span(f"−{number(each.mw, 1, language)} MW", className="num muted"),
        ]
    )


def power(visit: Visit, at_us: np.ndarray, series: Mapping[str, np.ndarray]) -> Component:
    """Return the last minutes of load, import, solar and battery, extended live."""
    named = {visit.words.label(visit.specs[f].label): values for f, values in series.items()}
    title = visit.words("overview.power")
    figure = trend(visit.style, at_us, named, unit="MW")
    return card(
        title,
        stream("overview-power", figure, list(series), height=240, label=title),
        kind="card-power",
    )


def schematic(visit: Visit, assets: Sequence[Asset]) -> Component:
    """Return the park as tiles along its roads: each with its power and its worst alarm."""
    words = visit.words
    sites = [asset for asset in assets if asset.type == "site"]
    others = [asset for asset in assets if asset.type == "aggregate"]
    tiles = [tile(visit, asset) for asset in sites]
    tiles += [
        html.Div(
            [
                html.Span(words.label(asset.label), className="tile-name"),
                html.Span(peak(visit, asset), className="tile-value muted"),
            ],
            className="tile tile-others",
        )
        for asset in others
    ]
    return card(
        words("overview.map"),
        html.Div(
            [station(visit, assets), html.Div(tiles, className="tiles"), edge(visit, assets)],
            className="park-map",
        ),
        extra=html.Span(words("overview.map_hint"), className="muted"),
        kind="card-map",
    )


def peak(visit: Visit, asset: Asset) -> str:
    """Return the peak of tenants without a meter of their own; never a reading."""
    mw = asset.attributes.get("peak", "")
    return visit.words("overview.peak", mw=mw) if mw else ""


def tile(visit: Visit, asset: Asset) -> Component:
    """Return one site: name, live power, shape of its worst alarm."""
    spec = visit.specs.get(f"site.{asset.id}.kw")
    name = visit.words.label(asset.label) or asset.id
    return core.Link(
        [
            html.Span(name, className="tile-name", title=name),
            html.Span(className="tile-shape", **{"data-shape": f"site.{asset.id}.alarm"}),
            html.Span(
                [
                    html.Span(
                        className="num",
                        **{"data-live": spec.id, "data-decimals": "2", "data-scale": "0.001"},
                    ),
                    " MW",
                ]
                if spec
                else "–",
                className="tile-value",
            ),
        ],
        href=visit.href(f"/asset/{asset.id}"),
        className="tile",
    )


def station(visit: Visit, assets: Sequence[Asset]) -> Component:
    """Return the station at the head of the map: its transformers, solar and battery."""
    words = visit.words
    parts: list[object] = []
    for asset in assets:
        spec = visit.specs.get(f"transformer.{asset.id}.loading_pct")
        if asset.type == "transformer" and spec is not None:
            parts.append(
                core.Link(
                    [html.Span(words.label(asset.label)), live(spec)],
                    href=visit.href(f"/asset/{asset.id}"),
                    className="node",
                )
            )
    for figure, key in (("park.pv_mw", "overview.solar"), ("park.bess_mw", "overview.battery")):
        if figure in visit.specs:
            parts.append(
                html.Div(
                    [html.Span(words.code("overview", key[9:])), live_of(visit, figure)],
                    className="node",
                )
            )
    return html.Div(parts, className="map-station")


def edge(visit: Visit, assets: Sequence[Asset]) -> Component:
    """Return the edge of the map: gates to the road, berths to the river, the water plant."""
    names = {asset.id: visit.words.label(asset.label) for asset in assets}
    parts = [
        core.Link(
            [
                html.Span(names.get(spec.asset, spec.asset)),
                html.Span([live(spec), queueing(visit, spec)], className="nowrap"),
            ],
            href=visit.href(f"/asset/{spec.asset}"),
            className="node",
        )
        for spec in visit.specs.values()
        if spec.id.startswith(("gate.", "wwtp.")) and spec.id.endswith((".queue", ".m3_h"))
    ]
    return html.Div(parts, className="map-edge")


def queueing(visit: Visit, spec: FigureSpec) -> Component | None:
    """Return what a gate's bare count counts."""
    if spec.unit:
        return None
    return html.Span(f" {visit.words('overview.queueing')}", className="unit")


async def strip(visit: Visit) -> list[Component]:
    """Return active alarms and running what-ifs."""
    alarms = await visit.service.alarms(visit.park.id)
    runs = await visit.service.whatif_runs(visit.park.id)
    return [alarm_card(visit, alarms), run_card(visit, runs)]


def alarm_card(visit: Visit, alarms: Sequence[Alarm]) -> Component:
    """Return the unresolved alarms, worst and newest first; the shelved ones stay away."""
    words = visit.words
    shown = sorted(
        (a for a in alarms if a.state not in (AlarmState.SHELVED, AlarmState.SUPPRESSED)),
        key=lambda a: (PRIORITIES.index(a.priority.value), -a.raised_us),
    )
    rows = [
        html.Li(
            [
                priority(words, a.priority.value),
                html.Span(words.label(a.label), className="alarm-text"),
                html.Span(
                    moment(a.raised_us, visit.park.tz, visit.park.now_us)[:5], className="num muted"
                ),
            ],
            className="" if "unacknowledged" in a.state.value else "acked",
        )
        for a in shown[:6]
    ]
    body = html.Ul(rows, className="alarm-list") if rows else empty(words("alarms.none"))
    return card(
        words("overview.alarms"),
        body,
        extra=link(words("overview.all_alarms", n=str(len(shown))), visit.href("/alarms")),
    )


def run_card(visit: Visit, runs: Sequence[Run]) -> Component:
    """Return the what-ifs that wait, run, or were done last."""
    words = visit.words
    going = [r for r in runs if r.state in (RunState.QUEUED, RunState.RUNNING)]
    shown = [*going, *[r for r in runs if r.state == RunState.DONE]][:3]
    rows = [
        html.Li(
            [
                link(r.name, visit.href(f"/whatif/{r.id}")),
                html.Progress(value=str(r.progress), max="1", **{"aria-label": r.name})
                if r.state == RunState.RUNNING
                else html.Span(),
                html.Span(words.code("run.state", r.state), className="muted"),
            ]
        )
        for r in shown
    ]
    body = html.Ul(rows, className="run-list") if rows else empty(words("whatif.no_runs"))
    return card(
        words("overview.runs"), body, extra=link(words("overview.new_run"), visit.href("/whatif"))
    )


def wire(app: Dash, desk: Desk) -> None:
    """Refresh what no live figure tells: the forecast, the alarms, the runs."""

    @app.callback(
        Output("overview-headroom", "children"),
        Output("overview-strip", "children"),
        Input("beat", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def refresh(_beat: int, search: str) -> tuple[Component, list[Component]]:
        visit = await desk.visit(search)
        return await tonight(visit), await strip(visit)


PAGE: Final = Page(
    path="/", title="nav.overview", layout=layout, wire=wire, profile="overview", icon="overview"
)
