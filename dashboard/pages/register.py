"""Register an endpoint: address, test, trust, browse, map, save.

Nothing is saved before it answers, unless one asks for that.

Secrets never pass through the browser: a password is a reference (``env:PARKTWIN_NAME``,
``file:NAME``) that the service resolves.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from dash import Dash, Input, Output, State, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import InputError, NotFound
from dashboard.components import core, html
from dashboard.components.fields import field, group, picks
from dashboard.components.parts import button, card, done, explained
from dashboard.mapping_draft import Drafts
from dashboard.page import Desk, Page, Visit
from dashboard.pages.register_crawl import crawl_card, wire_crawl
from dashboard.pages.register_list import list_card, wire_list
from dashboard.pages.register_map import map_card, wire_map
from dashboard.pages.register_review import review_card, whole, wire_review
from dashboard.pages.register_spec import STRONGEST, Tried, settled, spec_of, typed_states
from dashboard.pages.register_tree import MAP, by_hand, mapping_of, wire_tree
from dashboard.pages.register_trial import test_card, wire_trial

POLICIES: Final = (
    STRONGEST, "Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256", "None",
)  # fmt: skip
TIMES: Final = ("source", "server", "receive")
STEPS: Final = ("address", "test", "crawl", "map", "review")


async def layout(visit: Visit) -> Component:
    """Return the steps; ``?of=`` maps an endpoint that is registered already."""
    words = visit.words
    known = visit.query.get("of", "")
    bound = await bound_of(visit, known) if known else {}
    back = core.Link(words("nav.endpoints"), href=visit.href("/endpoints"))
    title = words("endpoints.remap") if known else words("endpoints.register")
    first = [] if known else [address_card(visit), test_card(visit)]
    return html.Div(
        [
            html.Div(html.H1([back, html.Span(" / "), known or title]), className="page-head"),
            html.Nav(steps(visit, STEPS[2:] if known else STEPS), **{"aria-label": title}),
            core.Store(id="ep-known", data=known),
            core.Store(id="ep-bound", data=bound),
            core.Store(id="ep-nodes", data=[]),
            core.Store(id="ep-draft", data=""),
            html.Div(first, className="grid two flush"),
            html.Div([crawl_card(visit), list_card(visit, known)], className="grid two"),
            html.Div([map_card(visit), by_hand(visit)], className="grid", id="ep-step-map"),
            html.Div(review_card(visit, known), className="grid", id="ep-step-review"),
        ]
    )


async def bound_of(visit: Visit, known: str) -> dict[str, str]:
    """Return node → tag of an endpoint that is registered.

    Raises
    ------
    NotFound
        When it is none.
    """
    names = [e.id for e in await visit.service.endpoints(visit.park.id)]
    if known not in names:
        raise NotFound("endpoint", known, tuple(names))
    tags = await visit.service.tags(visit.park.id)
    # What a notifier tells is no value one could map.
    return {t.node: t.path for t in tags if t.endpoint == known and t.kind != "event"}


def steps(visit: Visit, names: Sequence[str]) -> Component:
    """Return the steps as links to their cards."""
    links = [
        html.Li(html.A(visit.words.code("endpoints.stage", name), href=f"#ep-step-{name}"))
        for name in names
    ]
    return html.Ol(links, className="steps")


def address_card(visit: Visit) -> Component:
    """Return the first step: where the server is, and how to speak with it."""
    words = visit.words

    def text(name: str, example: str, hint: str = "") -> Component:
        box = core.Input(
            id=f"ep-{name}",
            type="text",
            className="input",
            value="",
            placeholder=example,
            maxLength=500,
        )
        return field(words.code("endpoint.field", name), box, hint=hint)

    def choice(name: str, options: Sequence[str], group_name: str) -> Component:
        box = picks(f"ep-{name}", [(o, words.code(group_name, o)) for o in options], [options[0]])
        return group(words.code("endpoint.field", name), box)

    return card(
        words("endpoints.step1"),
        html.Div(
            [
                text("url", "opc.tcp://10.0.0.5:4840", words("endpoints.address_hint")),
                text("id", "acme_plc1"),
                text("label", "PLC ACME"),
            ],
            className="fields",
        ),
        html.Div(
            [
                choice("policy", POLICIES, "endpoint.policy"),
                choice("time_policy", TIMES, "endpoint.time"),
            ],
            className="fields wide-fields",
        ),
        html.Div(
            [
                text("user", "parktwin"),
                text("password", "env:PARKTWIN_PLC1_PASSWORD", words("endpoints.secret")),
                text("user_certificate", "file:user.der", words("endpoints.secret_user")),
                text("user_key", "file:user.pem", words("endpoints.secret")),
            ],
            className="fields wide-fields",
        ),
        html.Div(
            button(words("endpoints.test"), "ep-test", kind="primary", icon_name="play"),
            className="form-end",
        ),
        anchor="ep-step-address",
    )


def wire(app: Dash, desk: Desk) -> None:
    """Connect the steps; what is being mapped is held here, not in the browser."""
    drafts = Drafts()
    wire_trial(app, desk)
    wire_crawl(app, desk)
    wire_tree(app, desk)
    wire_map(app, desk, drafts)
    wire_list(app, desk, drafts)
    wire_review(app, desk, drafts)
    wire_save(app, desk, drafts)


def wire_save(app: Dash, desk: Desk, drafts: Drafts) -> None:
    """Save: the service tests once more, then connects."""

    @app.callback(
        Output("url", "href", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input("ep-save", "n_clicks"),
        State("ep-known", "data"),
        State("ep-force", "value"),
        State("ep-draft", "data"),
        State("ep-tried", "data", allow_optional=True),
        State(MAP, "id"),
        State(MAP, "value"),
        State("url", "search"),
        *typed_states(),
        prevent_initial_call=True,
    )
    async def save(  # one argument per input
        clicks: int,
        known: str,
        force: str,
        draft: str,
        tried: Tried | None,
        ids: list[dict[str, str]],
        paths: list[str | None],
        search: str,
        *typed: str | None,
    ) -> tuple[object, Component]:
        if not clicks:
            raise PreventUpdate
        visit = await desk.visit(search)
        mapping = whole(drafts.get(draft), mapping_of(ids, paths))
        try:
            insists = bool(force)
            name = known or await added(visit, mapping, typed, tried or {}, force=insists)
            return await kept(visit, known, name, mapping)
        except InputError as error:
            return no_update, html.Div(explained(visit.words, error), className="state state-error")


async def kept(
    visit: Visit, known: str, name: str, mapping: dict[str, str]
) -> tuple[object, Component]:
    """Save the mapping of an endpoint that was there; say what was saved."""
    if known:
        await visit.service.endpoint_map(visit.park.id, known, mapping)
    return visit.href(f"/endpoints/{name}"), done(visit.words("endpoints.saved", name=name))


async def added(
    visit: Visit,
    mapping: dict[str, str],
    typed: Sequence[str | None],
    tried: Tried,
    *,
    force: bool,
) -> str:
    """Save a new endpoint with its mapping; return its name."""
    bound = [{"node": node, "path": path} for node, path in mapping.items() if path]
    spec = spec_of(typed, bound)
    if spec.policy == STRONGEST:
        if force:
            raise InputError(
                "nobody asks the server what it offers when it is saved without a test",
                "choose a security policy",
                "policy",
            )
        found = settled(typed, tried)
        spec = replace(spec, policy=found.policy, mode=found.mode)
    await visit.service.endpoint_add(visit.park.id, spec, force=force)
    return spec.id


PAGE: Final = Page(path="/endpoints/new", title="nav.endpoints", layout=layout, wire=wire)
