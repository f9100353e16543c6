"""Crawling a server: how far it is, how fast, stopped and gone on with."""

from collections.abc import Mapping
from typing import Final

from dash import Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import TwinError
from dashboard.components import core, html
from dashboard.components.fields import triggered
from dashboard.components.parts import button, card, empty, facts, failed
from dashboard.page import Desk, Visit
from dashboard.pages.register_spec import Tried, settled, spec_of, typed_states
from dashboard.text import number
from dashboard.words.said import said

BEAT_MS: Final = 700


def crawl_card(visit: Visit) -> Component:
    """Return the step that reads all nodes of the server."""
    words = visit.words
    return card(
        words("endpoints.step3"),
        html.Div(
            empty(words("endpoints.not_crawled"), words("endpoints.not_crawled_hint")),
            id="ep-crawl-view",
            **{"aria-live": "polite"},
        ),
        html.Div(
            [
                button(words("endpoints.crawl"), "ep-crawl", kind="primary", icon_name="search"),
                button(words("endpoints.crawl_stop"), "ep-crawl-stop", disabled=True),
                button(words("endpoints.crawl_anew"), "ep-crawl-anew"),
            ],
            className="form-end",
        ),
        core.Store(id="ep-crawled", data=""),
        core.Interval(id="ep-crawl-beat", interval=BEAT_MS, disabled=True),
        anchor="ep-step-crawl",
    )


def told(visit: Visit, crawl: Mapping[str, object]) -> Component:
    """Return how far a crawl is."""
    words, language = visit.words, visit.viewer.language
    state = str(crawl["state"])
    nodes, left = int(str(crawl["nodes"])), int(str(crawl["left"]))
    title = words.code("endpoints.crawl_state", state)
    if state == "done" and not crawl["complete"]:
        title = words("endpoints.crawl_partly")
    rows: list[tuple[str, object]] = [
        (words("endpoints.crawl_nodes"), number(nodes, 0, language)),
        (words("endpoints.crawl_levels"), number(int(str(crawl["levels"])), 0, language)),
        (words("endpoints.crawl_rate"), number(float(str(crawl["per_s"])), 0, language)),
        (words("endpoints.crawl_left"), number(left, 0, language)),
    ]
    looked = html.Progress(
        value=str(nodes - left if state == "running" else nodes),
        max=str(max(nodes, 1)),
        **{"aria-label": words("endpoints.step3")},
    )
    why = []
    if state == "failed":
        why = [
            html.P(said(words, str(crawl["what"]))),
            html.P(said(words, str(crawl["remedy"])), className="remedy"),
        ]
    return html.Div(
        [html.P(html.Strong(title), className=f"crawl-{state}"), looked, *why, facts(rows, "wide")],
        className="crawl",
        role="alert" if state == "failed" else "status",
    )


def wire_crawl(app: Dash, desk: Desk) -> None:
    """Start, follow, stop, go on."""

    @app.callback(
        Output("ep-crawl-view", "children"),
        Output("ep-crawled", "data"),
        Output("ep-crawl-beat", "disabled"),
        Output("ep-crawl", "disabled"),
        Output("ep-crawl-stop", "disabled"),
        Input("ep-crawl", "n_clicks"),
        Input("ep-crawl-stop", "n_clicks"),
        Input("ep-crawl-anew", "n_clicks"),
        Input("ep-crawl-beat", "n_intervals"),
        State("ep-known", "data"),
        State("ep-tried", "data", allow_optional=True),
        State("url", "search"),
        *typed_states(),
        prevent_initial_call=True,
    )
    async def crawl(  # one argument per input
        start: int,
        _stop: int,
        anew: int,
        _beats: int | None,
        known: str,
        tried: Tried | None,
        search: str,
        *typed: str | None,
    ) -> tuple[Component, str, bool, bool, bool]:
        if not start and not anew:
            raise PreventUpdate
        visit, pressed = await desk.visit(search), triggered()
        try:
            found = await crawled(visit, str(pressed), known, tried or {}, typed)
        except TwinError as error:
            return failed(visit.words, error), "", True, False, True
        runs = found["state"] == "running"
        return told(visit, found), str(found["state"]), not runs, runs, not runs


async def crawled(
    visit: Visit, pressed: str, known: str, tried: Tried, typed: tuple[str | None, ...]
) -> Mapping[str, object]:
    """Do what was pressed; return how far the crawl is."""
    service, park = visit.service, visit.park.id
    if pressed == "ep-crawl-stop":
        return await service.endpoint_crawl_stop(park, known or spec_of(typed).address)
    fresh = pressed == "ep-crawl-anew"
    if known:
        return await service.endpoint_crawl(park, known, fresh=fresh)
    spec = settled(typed, tried)
    return await service.endpoint_crawl(park, spec.address, fresh=fresh, spec=spec)
