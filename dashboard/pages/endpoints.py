"""Endpoints: how each OPC UA source is doing, and what to do when it is not."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from dash import ALL, Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import CertificateEntry, EndpointState, EndpointStatus, NotFound
from dashboard.components import core, html
from dashboard.components.fields import triggered
from dashboard.components.parts import button, card, done, empty, facts, icon, table
from dashboard.design import SHAPES
from dashboard.page import Desk, Page, Visit
from dashboard.pages.certificates import until
from dashboard.spans import SECOND
from dashboard.text import clock, moment, number, span
from dashboard.viewer import Language
from dashboard.words.said import said

LOOKS: Final = {
    EndpointState.CONNECTED: ("", ""),
    EndpointState.CONNECTING: ("", "muted"),
    EndpointState.QUARANTINED: (SHAPES["high"], "priority priority-high"),
    EndpointState.OFFLINE: (SHAPES["high"], "priority priority-high"),
    EndpointState.DISABLED: (SHAPES["shelved"], "priority priority-shelved"),
}
OFFSET_S: Final = 2.0
"""A source clock further off than this is worth a look."""


async def layout(visit: Visit) -> Component:
    """Return the list."""
    words = visit.words
    register = core.Link(
        [icon("plus"), words("endpoints.register")],
        href=visit.href("/endpoints/new"),
        className="button primary",
        id="endpoint-new",
    )
    certificates = core.Link(
        words("nav.certificates"), href=visit.href("/certificates"), className="button"
    )
    tools = html.Div([certificates, register], className="page-tools")
    head = html.Div([html.H1(words("nav.endpoints")), tools], className="page-head")
    return html.Div([head, html.Div(await listing(visit), id="endpoints-list")])


async def listing(visit: Visit) -> Component:
    """Return all endpoints, those in trouble first."""
    words = visit.words
    found = await visit.service.endpoints(visit.park.id)
    if not found:
        return card(
            words("endpoints.title"), empty(words("endpoints.none"), words("endpoints.none_hint"))
        )
    ordered = sorted(found, key=lambda e: (e.state == EndpointState.CONNECTED, e.id))
    up = sum(e.state == EndpointState.CONNECTED for e in found)
    head = [words.code("endpoints.column", name) for name in COLUMNS]
    return card(
        words("endpoints.title"),
        table(
            head,
            [row(visit, e) for e in ordered],
            label=words("endpoints.title"),
            numeric=(2, 3, 4, 5, 6, 7),
            minor=(4, 7),
            lesser=(2, 5, 6),
        ),
        extra=words("endpoints.up", n=str(up), all=str(len(found))),
        kind="card-endpoints",
    )


COLUMNS: Final = (
    "endpoint",
    "state",
    "items",
    "rate",
    "lag",
    "offset",
    "gaps",
    "bridge",
)


def row(visit: Visit, each: EndpointStatus) -> list[object]:
    """Return one endpoint; what is wrong stands beneath its state."""
    words, language = visit.words, visit.viewer.language
    return [
        html.Div(
            [
                core.Link(each.id, href=visit.href(f"/endpoints/{each.id}"), className="strong"),
                html.Div(each.url, className="muted small nowrap"),
                html.Div(
                    words.code("endpoint.policy", each.security), className="muted small nowrap"
                ),
                html.Div(reader(visit, each), className="muted small nowrap"),
            ]
        ),
        html.Div([state(visit, each), html.Div(cause(visit, each), className="muted small")]),
        items(each, language),
        number(each.values_per_s, 0, language),
        number(each.lag_ms, 0, language),
        offset(visit, each),
        lost(visit, each),
        bridge(each, language),
    ]


def reader(visit: Visit, each: EndpointStatus) -> str:
    """Return who reads it; nothing before that is known."""
    return visit.words("endpoints.read_by", name=each.gateway) if each.gateway else ""


def bridge(each: EndpointStatus, language: Language) -> str:
    """Return how long an outage the queues survive that the server granted."""
    return "–" if each.bridge_s is None else span(each.bridge_s / 60, language)


def state(visit: Visit, each: EndpointStatus) -> Component:
    """Return the state: quiet when connected, shape and colour when not."""
    shape, kind = LOOKS[each.state]
    text = visit.words.code("endpoint.state", each.state.value)
    return html.Span(f"{shape} {text}".strip(), className=kind)


def cause(visit: Visit, each: EndpointStatus) -> str:
    """Return why it is not connected and what to do, or since when it is."""
    words = visit.words
    if each.state == EndpointState.CONNECTED:
        if each.gone:
            return words("endpoints.gone_nodes", n=str(each.gone))
        if each.new_nodes:
            return words("endpoints.new_nodes", n=str(each.new_nodes))
        if each.rejected:
            return words("endpoints.rejected", n=str(len(each.rejected)))
        if each.delivering < each.accepted:
            return words("endpoints.silent", n=str(each.accepted - each.delivering))
        return ""
    remedy = words.code("endpoint.remedy", each.state.value)
    return f"{said(words, each.cause)}. {remedy}" if each.cause else remedy


def items(each: EndpointStatus, language: Language) -> str:
    """Return requested, accepted and delivering items."""
    return " / ".join(
        number(n, 0, language) for n in (each.requested, each.accepted, each.delivering)
    )


def offset(visit: Visit, each: EndpointStatus) -> Component:
    """Return the offset of the source's clock, flagged when it is large."""
    language = visit.viewer.language
    if each.clock_offset_s is None:
        return html.Span("–")
    far = abs(each.clock_offset_s) > OFFSET_S
    text = (
        span(each.clock_offset_s / 60, language)
        if abs(each.clock_offset_s) > 120
        else f"{number(each.clock_offset_s, 2, language)} s"
    )
    policy = visit.words.code("endpoint.time", each.time_policy)
    return html.Div(
        [
            html.Span(
                f"{SHAPES['medium']} {text}" if far else text,
                className="priority priority-medium" if far else "",
            ),
            html.Div(policy, className="muted small nowrap"),
        ]
    )


def lost(visit: Visit, each: EndpointStatus) -> str:
    """Return gaps, and values known to be lost."""
    language = visit.viewer.language
    text = number(each.gaps, 0, language)
    return f"{text} ({visit.words('endpoints.lost', n=str(each.lost))})" if each.lost else text


async def detail(visit: Visit) -> Component:
    """Return one endpoint: its status in full, what the server refused, its tags."""
    words, name = visit.words, visit.params["endpoint"]
    found = {e.id: e for e in await visit.service.endpoints(visit.park.id)}
    if name not in found:
        raise NotFound("endpoint", name, tuple(found))
    each = found[name]
    shown = await certificates_of(visit, each)
    tags = [t for t in await visit.service.tags(visit.park.id) if t.endpoint == name]
    back = core.Link(words("nav.endpoints"), href=visit.href("/endpoints"))
    tools = html.Div(
        [
            core.Link(
                words("endpoints.remap"),
                href=visit.href("/endpoints/new", of=name),
                className="button",
            ),
            html.Details(
                [
                    html.Summary([icon("trash"), words("endpoints.remove")], className="button"),
                    html.Div(
                        [
                            html.P(words("endpoints.remove_hint")),
                            button(
                                words("endpoints.remove_yes"),
                                {"type": "endpoint-remove", "id": name},
                            ),
                        ],
                        className="info-note",
                    ),
                ],
                className="info",
            ),
        ],
        className="page-tools",
    )
    return html.Div(
        [
            html.Div([html.H1([back, html.Span(" / "), name]), tools], className="page-head"),
            html.Div(
                [status_card(visit, each), delivery_card(visit, each, shown)],
                className="grid two flush",
            ),
            html.Div([gaps_card(visit, each), rejected_card(visit, each)], className="grid two"),
            html.Div(tags_card(visit, [(t.path, t.node, t.unit) for t in tags]), className="grid"),
        ]
    )


async def certificates_of(visit: Visit, each: EndpointStatus) -> list[CertificateEntry]:
    """Return what the server of a secured endpoint has shown."""
    if each.security == "None":
        return []
    who = f"{visit.park.id}/{each.id}"
    return [one for one in await visit.service.certificates() if who in one.endpoints]


def status_card(visit: Visit, each: EndpointStatus) -> Component:
    """Return an endpoint's status, one fact a line."""
    words, language = visit.words, visit.viewer.language
    rows: list[tuple[str, object]] = [
        (
            words("endpoints.column.state"),
            [state(visit, each), html.Div(cause(visit, each), className="muted small")],
        ),
        (words("endpoints.address"), html.Span(each.url, className="mono")),
        (words("endpoints.column.security"), words.code("endpoint.policy", each.security)),
        since(visit, each),
        (words("endpoints.column.items"), items(each, language)),
        (words("endpoints.column.rate"), number(each.values_per_s, 1, language)),
        (words("endpoints.column.lag"), number(each.lag_ms, 0, language)),
        (words("endpoints.column.offset"), offset(visit, each)),
        (words("endpoints.column.gaps"), lost(visit, each)),
        (
            words("endpoints.column.bridge"),
            [
                bridge(each, language),
                html.Div(words("endpoints.bridge_source"), className="muted small"),
            ],
        ),
        (words("endpoints.reader"), each.gateway or "–"),
    ]
    return card(words("endpoints.status"), facts(rows, "wide"))


def since(visit: Visit, each: EndpointStatus) -> tuple[str, str]:
    """Return since when; the clock of a link is ours, which a virtual plant's need not be."""
    words, park = visit.words, visit.park
    if park.demo:
        at = clock(each.since_us, park.tz, "%d/%m/%Y %H:%M:%S")
        return words("endpoints.since_wall"), at
    return words("endpoints.since"), moment(each.since_us, park.tz, park.now_us)


def rejected_card(visit: Visit, each: EndpointStatus) -> Component:
    """Return the nodes the server refused, with its reason."""
    words = visit.words
    title = words("endpoints.rejected_title")
    if not each.rejected:
        return card(title, empty(words("endpoints.none_rejected")))
    rows = [
        [html.Span(node, className="mono"), said(words, why)] for node, why in each.rejected.items()
    ]
    head = [words("endpoints.node"), words("endpoints.why")]
    return card(title, table(head, rows, label=title, stacked=head))


def delivery_card(
    visit: Visit, each: EndpointStatus, shown: Sequence[CertificateEntry]
) -> Component:
    """Return what it delivered since it was started, and what that took, one fact a line."""
    words, language = visit.words, visit.viewer.language

    def count(n: int) -> str:
        return number(n, 0, language)

    rows: list[tuple[str, object]] = [
        (words("endpoints.values"), count(each.values)),
        (words("endpoints.bad"), bad_share(each, language)),
        (words("endpoints.overflows"), count(each.overflows)),
        (words("endpoints.reconnects"), count(each.reconnects)),
        (words("endpoints.resumed"), count(each.resumed)),
        (words("endpoints.republished"), count(each.republished)),
        (words("endpoints.backfilled"), count(each.backfilled)),
    ]
    if each.failovers:
        rows.append((words("endpoints.failovers"), count(each.failovers)))
    if each.frozen:
        rows.append((words("endpoints.frozen"), said(words, each.frozen)))
    if each.suggested_policy:
        policy = words.code("endpoint.time", each.suggested_policy)
        rows.append((words("endpoints.suggested"), f"{SHAPES['medium']} {policy}"))
    rows += [(words("endpoints.certificate_until"), until(visit, one)) for one in shown]
    return card(words("endpoints.delivery"), facts(rows, "wide"))


def bad_share(each: EndpointStatus, language: Language) -> str:
    """Return how many values had a bad status, and which share that is."""
    if not each.values:
        return "–"
    share = number(each.bad / each.values * 100, 2, language)
    return f"{number(each.bad, 0, language)} ({share} %)"


def gaps_card(visit: Visit, each: EndpointStatus) -> Component:
    """Return the newest gaps, the latest first, with their causes."""
    words, tz, now = visit.words, visit.park.tz, visit.park.now_us
    title = words("endpoints.last_gaps")
    if not each.last_gaps:
        return card(title, empty(words("endpoints.no_gaps")))
    rows = [
        [
            *(moment(us_of(gap[end]), tz, now) for end in ("from", "to")),
            said(words, gap["cause"]),
        ]
        for gap in reversed(each.last_gaps)
    ]
    head = [words("endpoints.gap_from"), words("endpoints.gap_to"), words("endpoints.why")]
    return card(title, table(head, rows, label=title, stacked=head))


def us_of(text: str) -> int:
    """Return the time of a gap [us], which is told in ISO 8601 with its zone."""
    return round(datetime.fromisoformat(text).timestamp() * SECOND)


def tags_card(visit: Visit, rows: list[tuple[str, str, str]]) -> Component:
    """Return what is mapped from an endpoint."""
    words = visit.words
    title = words("endpoints.tags", n=str(len(rows)))
    if not rows:
        return card(title, empty(words("endpoints.no_tags"), words("endpoints.no_tags_hint")))
    shown = [
        [core.Link(path, href=visit.href(f"/tag/{path}")), html.Span(node, className="mono"), unit]
        for path, node, unit in rows[:200]
    ]
    head = [words("endpoints.tag"), words("endpoints.node"), words("run.unit")]
    return card(title, html.Div(table(head, shown, label=title, stacked=head), className="tall"))


def wire(app: Dash, desk: Desk) -> None:
    """Refresh the list."""

    @app.callback(
        Output("endpoints-list", "children"),
        Input("beat", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def refresh(_beat: int, search: str) -> Component:
        return await listing(await desk.visit(search))


def wire_detail(app: Dash, desk: Desk) -> None:
    """Remove an endpoint."""

    @app.callback(
        Output("url", "href", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input({"type": "endpoint-remove", "id": ALL}, "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def remove(clicks: list[int], search: str) -> tuple[str, Component]:
        pressed = triggered()
        if not any(clicks) or not isinstance(pressed, dict):
            raise PreventUpdate
        visit, name = await desk.visit(search), str(pressed["id"])
        await visit.service.endpoint_remove(visit.park.id, name)
        return visit.href("/endpoints"), done(visit.words("endpoints.removed", name=name))


PAGE: Final = Page(
    path="/endpoints", title="nav.endpoints", layout=layout, wire=wire, icon="endpoints"
)
DETAIL: Final = Page(
    path="/endpoints/<endpoint>", title="nav.endpoints", layout=detail, wire=wire_detail
)
