"""Testing a server: every phase is told as it passes, and what to do where it fails."""

from collections.abc import Sequence
from typing import Final

from dash import ALL, Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import EndpointSpec, EndpointTest, TestStep, TwinError
from cluster.strongest import BY_STRENGTH, strongest
from dashboard.components import core, html
from dashboard.components.fields import triggered
from dashboard.components.parts import button, card, empty, failed, table
from dashboard.page import Desk, Visit
from dashboard.pages.register_spec import STRONGEST, Tried, spec_of, typed_states, with_security
from dashboard.text import number
from dashboard.words.said import said

PHASES: Final = (
    *("address", "tcp", "endpoints", "certificate", "session", "namespaces", "status"),
    *("browse", "subscribe"),
)
BEAT_MS: Final = 400


def test_card(visit: Visit) -> Component:
    """Return the second step: what the test found."""
    words = visit.words
    return card(
        words("endpoints.step2"),
        html.Div(
            empty(words("endpoints.not_tested"), words("endpoints.not_tested_hint")),
            id="ep-result",
            **{"aria-live": "polite"},
        ),
        core.Store(id="ep-tried", data={}),
        core.Interval(id="ep-trial-beat", interval=BEAT_MS, disabled=True),
        anchor="ep-step-test",
    )


def result(visit: Visit, test: EndpointTest, *, over: bool = True) -> Component:
    """Return the steps of a test, and the certificate to trust when that is what is missing."""
    words, language = visit.words, visit.viewer.language
    rows = [
        [
            step_mark(visit, step),
            words.code("endpoint.step", step.step),
            html.Div(
                [
                    html.Div(said(words, step.detail)),
                    html.Div(said(words, step.remedy), className="remedy small"),
                ]
            ),
            f"{number(step.ms, 0, language)} ms",
        ]
        for step in test.steps
    ]
    if not over:
        rows += [
            [waiting(visit, n == 0), words.code("endpoint.step", step), "", ""]
            for n, step in enumerate(PHASES[len(rows) :])
        ]
    head = ["", words("endpoints.step"), words("endpoints.found"), ""]
    verdict = words("endpoints.ok") if test.ok else words("endpoints.not_ok")
    if not over:
        verdict = words("endpoints.testing")
    untrusted = any(step.step == "certificate" and not step.ok for step in test.steps)
    return html.Div(
        [
            html.P([html.Strong(verdict), " ", html.Span(test.product, className="muted")]),
            table(head, rows, label=words("endpoints.step2"), numeric=(3,)),
            *([offers(visit, test.policies)] if test.policies else []),
            html.P(
                words("endpoints.namespaces", names=", ".join(test.namespaces) or "–"),
                className="muted small",
            ),
            *([trust(visit, test.fingerprint)] if untrusted and test.fingerprint else []),
        ]
    )


def step_mark(visit: Visit, step: TestStep) -> Component:
    """Return whether a step passed, as shape and for readers."""
    if step.ok:
        return html.Span(["✓", html.Span(visit.words("endpoints.passed"), className="sr")])
    return html.Span(
        ["▲", html.Span(visit.words("endpoints.failed"), className="sr")],
        className="priority priority-high",
    )


def trust(visit: Visit, fingerprint: str) -> Component:
    """Return the server's fingerprint and the button that trusts it."""
    words = visit.words
    return html.Div(
        [
            html.H3(words("endpoints.certificate")),
            html.P(words("endpoints.certificate_hint"), className="muted small"),
            html.Code(fingerprint, className="mono fingerprint"),
            html.Div(
                button(words("endpoints.trust"), {"type": "ep-trust", "print": fingerprint}),
                className="form-end",
            ),
        ],
        className="change",
    )


def waiting(visit: Visit, now: bool) -> Component:  # noqa: FBT001 - one of two looks
    """Return the mark of a phase that runs, or has not begun."""
    text = visit.words("endpoints.runs") if now else visit.words("endpoints.waits")
    return html.Span(["…" if now else "·", html.Span(text, className="sr")], className="muted")


def offers(visit: Visit, policies: Sequence[str]) -> Component:
    """Return what a server offers, the strongest and the unprotected one marked."""
    words, best = visit.words, strongest(policies)
    ordered = sorted(policies, key=lambda p: BY_STRENGTH.index(p) if p in BY_STRENGTH else 99)
    lines = []
    for each in ordered:
        mark = ""
        if each == best:
            mark = words("endpoints.offer_best")
        elif each.startswith("None"):
            mark = words("endpoints.offer_none")
        lines.append(html.Li([html.Span(each, className="mono"), " ", html.Strong(mark)]))
    return html.Div([html.H3(words("endpoints.offers")), html.Ul(lines)], className="change")


def wire_trial(app: Dash, desk: Desk) -> None:
    """Test what is typed; trusting the certificate tests again."""

    @app.callback(
        Output("ep-result", "children"),
        Output("ep-tried", "data"),
        Output("ep-trial-beat", "disabled"),
        Input("ep-test", "n_clicks"),
        Input({"type": "ep-trust", "print": ALL}, "n_clicks"),
        Input("ep-trial-beat", "n_intervals"),
        State("ep-tried", "data"),
        State("url", "search"),
        *typed_states(),
        prevent_initial_call=True,
    )
    async def test(  # one argument per input
        clicks: int,
        trusted: list[int],
        _beats: int | None,
        tried: Tried,
        search: str,
        *typed: str | None,
    ) -> tuple[Component, Tried, bool]:
        if not clicks:
            raise PreventUpdate
        visit, spec, pressed = await desk.visit(search), spec_of(typed), triggered()
        if isinstance(pressed, dict) and not any(trusted):
            raise PreventUpdate
        try:
            return await stepped(visit, spec, pressed, tried)
        except TwinError as error:
            return failed(visit.words, error), {}, True


async def stepped(
    visit: Visit, spec: EndpointSpec, pressed: object, tried: Tried
) -> tuple[Component, Tried, bool]:
    """Begin a test, trust and begin it anew, or tell how far it is."""
    if pressed == "ep-trial-beat":
        return await gone_on(visit, spec, tried)
    if isinstance(pressed, dict):
        shown = str(pressed["print"])
        await visit.service.endpoint_trust(visit.park.id, spec.id, shown, spec.gateway)
    return await begun(visit, spec)


async def begun(
    visit: Visit, spec: EndpointSpec, security: str = ""
) -> tuple[Component, Tried, bool]:
    """Start a test, with the strongest policy when none is named."""
    asked = security or (BY_STRENGTH[0] if spec.policy == STRONGEST else "")
    chosen = with_security(spec, asked) if asked else spec
    name = await visit.service.endpoint_trial_begin(visit.park.id, chosen)
    nothing = EndpointTest(url=spec.url, ok=False, steps=())
    tried = {"name": name, "url": spec.address, "security": f"{chosen.policy}/{chosen.mode}"}
    return result(visit, nothing, over=False), tried | {"again": security}, False


async def gone_on(visit: Visit, spec: EndpointSpec, tried: Tried) -> tuple[Component, Tried, bool]:
    """Tell how far a test is; try the strongest that is offered when the first guess was not."""
    if not tried.get("name"):
        raise PreventUpdate
    found, over = await visit.service.endpoint_trial(visit.park.id, tried["name"])
    if not over:
        return result(visit, found, over=False), tried, False
    best = strongest(found.policies)
    other = best is not None and best != tried["security"] and not tried["again"]
    if other and best and spec.policy == STRONGEST and not found.ok:
        return await begun(visit, spec, best)
    return result(visit, found), tried | {"passed": "yes" if found.ok else ""}, True
