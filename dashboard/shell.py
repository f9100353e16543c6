"""What stands around every page: header, navigation, notices; and the router between pages."""

from collections.abc import Mapping, Sequence

from dash import Dash, Input, Output
from dash.development.base_component import Component

from cluster.ports import TwinError
from dashboard.components import core, html
from dashboard.components.parts import failed, icon
from dashboard.design import PRIORITIES, SHAPES
from dashboard.page import Desk, Page, Visit
from dashboard.viewer import CURRENT
from dashboard.words.book import words

Found = tuple[Page, Mapping[str, str]]


def skeleton() -> Component:
    """Return the tree every page hangs in; the router fills it."""
    spoken = words(CURRENT.get().language)
    return html.Div(
        [
            core.Location(id="url", refresh="callback-nav"),
            core.Store(id="language"),
            core.Store(id="beat"),
            html.A(spoken("shell.skip"), href="#page", className="skip"),
            html.Div(id="shell"),
            html.Main(
                html.Div(spoken("state.loading"), className="state"), id="page", tabIndex="-1"
            ),
            html.Div(id="notice", role="status", **{"aria-live": "polite"}),
        ],
        className="root",
    )


def wire(app: Dash, desk: Desk, pages: Sequence[Page]) -> None:
    """Connect the router: an address becomes header, navigation and page."""

    @app.callback(
        Output("shell", "children"),
        Output("page", "children"),
        Output("notice", "children"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("language", "data"),
    )
    async def route(
        path: str | None, search: str | None, _language: str | None
    ) -> tuple[object, object, None]:
        return *await render(desk, pages, path or "/", search), None


async def render(
    desk: Desk, pages: Sequence[Page], path: str, search: str | None
) -> tuple[Component | None, Component]:
    """Return header with navigation, and the page; an error stands where the page would."""
    page, params = find(pages, path)
    try:
        visit = await desk.visit(search, path, params)
    except TwinError as error:
        return None, failed(words(CURRENT.get().language), error)
    try:
        body = html.Div(failed_address(visit)) if page is None else await page.layout(visit)
    except TwinError as error:
        body = failed(visit.words, error)
    return around(visit, pages, page), view(visit, page, body)


def find(pages: Sequence[Page], path: str) -> tuple[Page | None, Mapping[str, str]]:
    """Return the first page that matches, with its params."""
    for page in pages:
        params = page.match(path)
        if params is not None:
            return page, params
    return None, {}


def view(visit: Visit, page: Page | None, body: Component) -> Component:
    """Wrap a page with what the browser needs to know about it."""
    title = visit.words("state.nowhere") if page is None else visit.words(page.title)
    return html.Div(
        body,
        className="view",
        key=f"{visit.path}:{visit.viewer.language}",
        **{
            "data-title": f"{title} · {visit.words.label(visit.park.label)}",
            "data-park": visit.park.id,
            "data-uncertain": visit.words("quality.uncertain_hint"),
            "data-bad": visit.words("quality.bad_hint"),
            "data-unknown": visit.words("quality.unknown_hint"),
            "data-profile": "shell" if page is None else page.profile.format(**visit.params),
        },
    )


def failed_address(visit: Visit) -> list[Component]:
    """Return what an unknown address shows."""
    return [
        html.H1(visit.words("state.nowhere")),
        html.P(visit.words("state.nowhere_hint")),
        core.Link(visit.words("nav.overview"), href=visit.href("/"), className="button"),
    ]


def around(visit: Visit, pages: Sequence[Page], page: Page | None) -> Component:
    """Return header and navigation."""
    return html.Div([header(visit), navigation(visit, pages, page)], className="around")


def header(visit: Visit) -> Component:
    """Return the header: park, its clock, alarms, live state, language and theme."""
    spoken = visit.words
    return html.Header(
        [
            html.Div(
                [
                    html.Strong(spoken.label(visit.park.label), className="park-name"),
                    html.Span(spoken.label(visit.park.region), className="park-region"),
                    *([_demo(visit)] if visit.park.demo else []),
                ],
                className="header-park",
            ),
            html.Div(
                [
                    _alarm_counts(visit),
                    html.Span(
                        className="clock num", title=spoken("shell.clock"), **{"data-clock": ""}
                    ),
                    _live_state(visit),
                    _languages(visit),
                    html.Button(
                        icon("moon"),
                        id="theme-switch",
                        className="icon-button",
                        type="button",
                        **{"aria-label": spoken("shell.theme"), "data-theme-switch": ""},
                    ),
                ],
                className="header-tools",
            ),
        ],
        className="header",
    )


def _demo(visit: Visit) -> Component:
    return html.Span(
        [visit.words("shell.demo"), " ", html.Span(**{"data-speed": ""})],
        className="chip",
        title=visit.words("shell.demo_hint"),
    )


def _alarm_counts(visit: Visit) -> Component:
    counts = [
        html.Span(
            [
                html.Span(SHAPES[code], **{"aria-hidden": "true"}),
                html.Span(className="num", **{"data-alarms": code}),
                html.Span(visit.words.code("priority", code), className="sr"),
            ],
            className=f"count priority-{code}",
            **{"data-count": code},
        )
        for code in PRIORITIES
    ]
    return core.Link(
        [*counts, html.Span(visit.words("nav.alarms"), className="sr")],
        href=visit.href("/alarms"),
        className="counts",
    )


def _live_state(visit: Visit) -> Component:
    spoken = visit.words
    return html.Button(
        [
            html.Span(className="live-dot", **{"aria-hidden": "true"}),
            html.Span(spoken("shell.live"), className="when-live"),
            html.Span(spoken("shell.paused"), className="when-paused"),
            html.Span(spoken("shell.stale"), className="when-stale"),
        ],
        id="pause-switch",
        className="live-state",
        type="button",
        title=spoken("shell.pause_hint"),
        **{"data-pause-switch": "", "aria-pressed": "false"},
    )


def _languages(visit: Visit) -> Component:
    return html.Div(
        [
            html.Button(
                code.upper(),
                type="button",
                id=f"language-{code}",
                title={"vi": "Tiếng Việt", "en": "English"}[code],
                **{
                    "data-language": code,
                    "aria-pressed": "true" if visit.viewer.language == code else "false",
                    "lang": code,
                },
            )
            for code in ("vi", "en")
        ],
        className="languages",
        role="group",
        **{"aria-label": visit.words("shell.language")},
    )


def navigation(visit: Visit, pages: Sequence[Page], page: Page | None) -> Component:
    """Return the navigation; the current page is marked for eyes and for readers."""
    section = (page.section if page else "") or "/" + visit.path.strip("/").split("/")[0]
    items = []
    for each in pages:
        if not each.icon:
            continue
        current = each is page or (each.path != "/" and each.path == section)
        items.append(
            html.Li(
                core.Link(
                    [icon(each.icon), html.Span(visit.words(each.title))],
                    href=visit.href(each.path),
                    className="nav-link current" if current else "nav-link",
                    id=f"nav-{each.icon}",
                ),
            )
        )
    return html.Nav(
        [html.Ul(items), _parks(visit)],
        className="nav",
        **{"aria-label": visit.words("shell.navigation")},
    )


def _parks(visit: Visit) -> Component | None:
    """Return the choice of parks, when there is one."""
    if len(visit.parks) < 2:
        return None
    links = [
        html.Li(core.Link(visit.words.label(park.label), href=f"/?park={park.id}"))
        for park in visit.parks
    ]
    return html.Div([html.H2(visit.words("shell.parks")), html.Ul(links)], className="nav-parks")
