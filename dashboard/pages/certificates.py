"""Certificates: ours to be trusted on servers, theirs to be trusted here, and when they expire."""

from collections.abc import Sequence
from typing import Final

from dash import ALL, Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import CertificateEntry, Renewal, TwinError
from dashboard.components import core, html
from dashboard.components.fields import triggered
from dashboard.components.parts import button, card, empty, facts, failed, table
from dashboard.design import SHAPES
from dashboard.page import Desk, Page, Visit
from dashboard.text import clock, number
from dashboard.words.said import said

OWN: Final = "/api/v1/certificates/own.der"
VENDORS: Final = (
    "general", "siemens", "beckhoff", "br", "schneider", "kepware", "ignition", "uaexpert",
)  # fmt: skip
URGENT_DAYS: Final = 7
NUMBERED: Final = {"listStyle": "decimal", "paddingLeft": "24px"}


async def layout(visit: Visit) -> Component:
    """Return our certificate, those of servers, and how to be trusted by each maker's server."""
    words = visit.words
    back = core.Link(words("nav.endpoints"), href=visit.href("/endpoints"))
    title = html.H1([back, html.Span(" / "), words("certificates.title")])
    return html.Div(
        [
            html.Div(title, className="page-head"),
            html.Div(id="cert-result", **{"aria-live": "polite"}),
            html.Div(await cards(visit), id="cert-cards"),
            html.Div(steps_card(visit), className="grid"),
        ]
    )


async def cards(visit: Visit) -> list[Component]:
    """Return what there is now."""
    entries = await visit.service.certificates()
    ours = [e for e in entries if e.place in ("own", "next")]
    theirs = [e for e in entries if e.place not in ("own", "next")]
    return [
        html.Div([own_card(visit, one) for one in ours], className="grid two flush"),
        html.Div(their_card(visit, theirs), className="grid"),
    ]


def own_card(visit: Visit, one: CertificateEntry) -> Component:
    """Return our certificate, or the new one that waits."""
    words, new = visit.words, one.place == "next"
    rows: list[tuple[str, object]] = [
        (words("certificates.until"), until(visit, one)),
        (words("certificates.print"), html.Code(one.fingerprint, className="mono fingerprint")),
        (words("certificates.uri"), html.Span(one.application_uri, className="mono")),
        (words("certificates.hosts"), ", ".join(one.hosts)),
    ]
    text = words("certificates.download_new" if new else "certificates.download")
    tools = [
        html.A(text, href=f"{OWN}?staged=true" if new else OWN, className="button", download=""),
        button(
            words("certificates.ask" if new else "certificates.renew"),
            {"type": "cert-renew", "force": "no"},
        ),
    ]
    if new:
        tools.append(button(words("certificates.force"), {"type": "cert-renew", "force": "yes"}))
    hint = words("certificates.force_hint" if new else "certificates.renew_hint")
    return card(
        words("certificates.next" if new else "certificates.ours"),
        facts(rows, "wide"),
        html.P(hint, className="muted small"),
        html.Div(tools, className="form-end"),
    )


def until(visit: Visit, one: CertificateEntry) -> Component:
    """Return until when it is valid, marked when a warning is due."""
    words, language = visit.words, visit.viewer.language
    if one.days_left is None:
        return html.Span("–")
    day = clock(one.until_us, visit.park.tz, "%d/%m/%Y") if one.until_us is not None else ""
    over = one.days_left < 0
    text = words(
        "certificates.over" if over else "certificates.left",
        n=number(abs(one.days_left), 0, language),
    )
    told = f"{day} · {text}" if day else text
    if one.due is None:
        return html.Span(told)
    kind = "high" if one.due <= URGENT_DAYS else "medium"
    return html.Span(f"{SHAPES[kind]} {told}", className=f"priority priority-{kind}")


def their_card(visit: Visit, entries: Sequence[CertificateEntry]) -> Component:
    """Return the certificates of servers, those that wait for approval first."""
    words = visit.words
    title = words("certificates.theirs")
    if not entries:
        return card(title, empty(words("certificates.none"), words("certificates.none_hint")))
    ordered = sorted(entries, key=lambda e: (e.place != "rejected", e.days_left or 0.0))
    head = [
        words("certificates.place_title"),
        words("certificates.subject"),
        words("certificates.until"),
        words("certificates.endpoints"),
        words("certificates.remark"),
        "",
    ]
    rows = [row(visit, one) for one in ordered]
    return card(title, table(head, rows, label=title, stacked=head))


def row(visit: Visit, one: CertificateEntry) -> list[object]:
    """Return one certificate with what may be done to it."""
    words = visit.words
    act: object = ""
    if one.place in ("trusted", "rejected"):
        verb = "distrust" if one.place == "trusted" else "trust"
        text = words("certificates.distrust" if verb == "distrust" else "certificates.trust")
        act = button(text, {"type": "cert-act", "act": verb, "print": one.fingerprint})
    return [
        words.code("certificates.place", one.place),
        html.Div(
            [
                html.Div(one.subject),
                html.Div(one.application_uri, className="mono small muted"),
                html.Code(one.fingerprint, className="mono fingerprint small"),
            ]
        ),
        until(visit, one),
        ", ".join(one.endpoints) or "–",
        "; ".join(said(words, remark) for remark in one.remarks) or "–",
        act,
    ]


def steps_card(visit: Visit) -> Component:
    """Return how to be trusted on the servers of each maker."""
    words = visit.words
    guides = [
        html.Details(
            [
                html.Summary(words.code("certificates.vendor", vendor)),
                html.Ol(
                    [
                        html.Li(step)
                        for step in words.code("certificates.steps_of", vendor).splitlines()
                    ],
                    style=NUMBERED,
                ),
            ],
            open=vendor == VENDORS[0],
            className="guide",
        )
        for vendor in VENDORS
    ]
    hint = html.P(words("certificates.steps_hint"), className="muted small")
    return card(words("certificates.steps"), hint, *guides)


def renewal_told(visit: Visit, renewal: Renewal) -> Component:
    """Return what came of a renewal: in use, or who does not take it and why."""
    words = visit.words
    if renewal.used:
        return html.Div(html.P(words("certificates.renewed")), className="state state-done")
    refused = [
        html.Li(f"{endpoint}: {said(words, why)}") for endpoint, why in renewal.refused.items()
    ]
    told = words("certificates.waiting", n=str(len(renewal.refused)))
    return html.Div([html.P(told, className="state-title"), html.Ul(refused)], className="state")


def wire(app: Dash, desk: Desk) -> None:
    """Trust, take trust back, renew."""

    @app.callback(
        Output("cert-result", "children"),
        Output("cert-cards", "children"),
        Input({"type": "cert-act", "act": ALL, "print": ALL}, "n_clicks"),
        Input({"type": "cert-renew", "force": ALL}, "n_clicks"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def act(
        acts: list[int], renews: list[int], search: str
    ) -> tuple[Component, list[Component]]:
        pressed = triggered()
        if not (any(acts) or any(renews)) or not isinstance(pressed, dict):
            raise PreventUpdate
        visit = await desk.visit(search)
        return await acted(visit, pressed), await cards(visit)


async def acted(visit: Visit, pressed: dict[str, object]) -> Component:
    """Return what came of a button."""
    words, service = visit.words, visit.service
    try:
        if pressed["type"] == "cert-renew":
            renewal = await service.certificate_renew(force=pressed["force"] == "yes")
            return renewal_told(visit, renewal)
        mark = str(pressed["print"])
        name = f"{mark[:16]}…"
        if pressed["act"] == "trust":
            await service.certificate_trust(mark)
            text = words("certificates.trusted", name=name)
        else:
            await service.certificate_distrust(mark)
            text = words("certificates.distrusted", name=name)
    except TwinError as error:
        return failed(words, error)
    return html.Div(html.P(text), className="state state-done")


PAGE: Final = Page(
    path="/certificates", title="nav.certificates", layout=layout, wire=wire, section="/endpoints"
)
