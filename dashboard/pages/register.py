"""Register an endpoint: address, test, trust, browse, map, save.

Nothing is saved before it answers, unless one asks for that.

Secrets never pass through the browser: a password is a reference (``env:PARKTWIN_NAME``,
``file:NAME``) that the service resolves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dash import ALL, Dash, Input, Output, State, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import (
    BrowsedNode,
    EndpointSpec,
    EndpointTest,
    InputError,
    Label,
    TestStep,
    TwinError,
)
from cluster.strongest import BY_STRENGTH, strongest
from dashboard.components import core, html
from dashboard.components.fields import field, group, picks, triggered
from dashboard.components.parts import button, card, done, empty, explained, failed, icon, table
from dashboard.page import Desk, Page, Visit
from dashboard.text import number
from dashboard.words.said import said

FORM: Final = (
    *("id", "url", "label", "policy", "user", "password", "user_certificate", "user_key"),
    "time_policy",
)
STRONGEST: Final = "strongest"
"""No policy is named: the strongest the server offers is taken, and none is never."""
POLICIES: Final = (
    STRONGEST, "Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256", "None",
)  # fmt: skip
TIMES: Final = ("source", "server", "receive")
MAP: Final = {"type": "ep-map", "node": ALL}
Rows = list[dict[str, object]]
Typed = dict[str, str]


async def layout(visit: Visit) -> Component:
    """Return the steps; ``?of=`` maps an endpoint that is registered already."""
    words = visit.words
    known = visit.query.get("of", "")
    tags = await visit.service.tags(visit.park.id) if known else []
    bound = {t.node: t.path for t in tags if t.endpoint == known}
    back = core.Link(words("nav.endpoints"), href=visit.href("/endpoints"))
    title = words("endpoints.remap") if known else words("endpoints.register")
    steps = [] if known else [address_card(visit), test_card(visit)]
    return html.Div(
        [
            html.Div(html.H1([back, html.Span(" / "), known or title]), className="page-head"),
            core.Store(id="ep-known", data=known),
            core.Store(id="ep-bound", data=bound),
            core.Store(id="ep-nodes", data=[]),
            html.Div(steps, className="grid two flush"),
            html.Div(map_card(visit, known), className="grid"),
        ]
    )


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
                text("url", "opc.tcp://10.0.0.5:4840"),
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
    )


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
    )


def map_card(visit: Visit, known: str) -> Component:
    """Return the last step: the server's nodes and the tags they become."""
    words = visit.words
    browse = button(words("endpoints.browse"), "ep-browse", icon_name="search")
    save = words("endpoints.save_map") if known else words("endpoints.save")
    force = picks("ep-force", [("force", words("endpoints.force"))], [], several=True)
    return card(
        words("endpoints.remap") if known else words("endpoints.step3"),
        html.Div(
            empty(words("endpoints.not_browsed"), words("endpoints.not_browsed_hint")), id="ep-tree"
        ),
        html.Div(
            [
                button(save, "ep-save", kind="primary", icon_name="check"),
                html.Div(force, hidden=bool(known)),
            ],
            className="form-end",
        ),
        extra=browse,
    )


def spec_of(
    values: Sequence[str | None], mapping: Sequence[Mapping[str, str]] = ()
) -> EndpointSpec:
    """Return what was typed as a spec."""
    typed = {name: (value or "").strip() for name, value in zip(FORM, values, strict=True)}
    label = typed["label"] or typed["id"]
    policy = typed["policy"] or STRONGEST
    return EndpointSpec(
        id=typed["id"],
        url=typed["url"],
        label=Label(vi=label, en=label),
        policy=policy,
        mode="None" if policy == "None" else "SignAndEncrypt",
        allow_insecure=policy == "None",
        user=typed["user"],
        password=typed["password"],
        user_certificate=typed["user_certificate"],
        user_key=typed["user_key"],
        time_policy=typed["time_policy"] or "source",
        mapping=tuple(mapping),
    )


def result(visit: Visit, test: EndpointTest) -> Component:
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
    head = ["", words("endpoints.step"), words("endpoints.found"), ""]
    verdict = words("endpoints.ok") if test.ok else words("endpoints.not_ok")
    untrusted = any(step.step == "certificate" and not step.ok for step in test.steps)
    return html.Div(
        [
            html.P([html.Strong(verdict), " ", html.Span(test.product, className="muted")]),
            table(head, rows, label=words("endpoints.step2"), numeric=(3,)),
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


def as_rows(nodes: Sequence[BrowsedNode], depth: int, bound: Typed) -> Rows:
    """Return browsed nodes as rows of the tree; a bound node keeps its path, others a proposal."""
    return [
        {
            "node": n.node,
            "name": n.name,
            "variable": n.node_class == "Variable",
            "children": n.has_children,
            "open": False,
            "depth": depth,
            "value": n.value,
            "unit": n.unit,
            "type": n.data_type,
            "proposal": n.proposal,
            "confidence": n.confidence,
            "why": n.why,
            "path": bound.get(n.node, n.proposal),
        }
        for n in nodes
    ]


def opened(rows: Rows, node: str, children: Rows) -> Rows:
    """Return the tree with a node's children beneath it, or folded away when they were there."""
    place = next(i for i, r in enumerate(rows) if r["node"] == node)
    depth = int(str(rows[place]["depth"]))
    end = place + 1
    while end < len(rows) and int(str(rows[end]["depth"])) > depth:
        end += 1
    folded = bool(rows[place]["open"])
    head = rows[place] | {"open": not folded}
    return [*rows[:place], head, *([] if folded else children), *rows[end:]]


def tree(visit: Visit, rows: Rows) -> Component:
    """Return the nodes, each variable with the tag path it becomes."""
    words = visit.words
    if not rows:
        return empty(words("endpoints.no_nodes"))
    head = [
        words("endpoints.node"),
        words("endpoints.value"),
        words("endpoints.type"),
        words("endpoints.proposal"),
        words("endpoints.path"),
    ]
    return html.Div(
        table(head, [tree_row(visit, row) for row in rows], label=words("endpoints.step3")),
        className="tall",
    )


def tree_row(visit: Visit, row: Mapping[str, object]) -> list[object]:
    """Return one node."""
    words, node = visit.words, str(row["node"])
    name: Component = html.Span(str(row["name"]), title=node)
    if row["children"]:
        name = html.Button(
            [icon("chevron"), str(row["name"])],
            id={"type": "ep-open", "node": node},
            n_clicks=0,
            type="button",
            className="tree-toggle",
            **{"aria-expanded": str(row["open"]).lower()},
        )
    indent = html.Div(name, style={"paddingLeft": f"{18 * int(str(row['depth']))}px"})
    if not row["variable"]:
        return [indent, "", "", "", ""]
    sure = number(float(str(row["confidence"])) * 100, 0, visit.viewer.language)
    proposal = f"{sure} % · {row['why']}" if row["proposal"] else words("endpoints.no_proposal")
    box = html.Label(
        [
            html.Span(words("endpoints.path_of", name=str(row["name"])), className="sr"),
            core.Input(
                id={"type": "ep-map", "node": node},
                type="text",
                className="input",
                value=str(row["path"]),
                placeholder=words("endpoints.unmapped"),
            ),
        ]
    )
    value = f"{row['value']} {row['unit']}".strip()
    return [indent, value, str(row["type"]), html.Span(proposal, className="muted small"), box]


def mapping_of(ids: Sequence[Mapping[str, str]], paths: Sequence[str | None]) -> dict[str, str]:
    """Return node → path as typed; an empty path unbinds."""
    return {i["node"]: (path or "").strip() for i, path in zip(ids, paths, strict=True)}


def wire(app: Dash, desk: Desk) -> None:
    """Connect test, trust, browse and save."""
    wire_test(app, desk)
    wire_tree(app, desk)
    wire_save(app, desk)


def typed_states() -> list[State]:
    """Return the fields of the form, in the order of `FORM`."""
    return [State(f"ep-{name}", "value", allow_optional=True) for name in FORM]


def wire_test(app: Dash, desk: Desk) -> None:
    """Test what is typed; trusting the certificate tests again."""

    @app.callback(
        Output("ep-result", "children"),
        Input("ep-test", "n_clicks"),
        Input({"type": "ep-trust", "print": ALL}, "n_clicks"),
        State("url", "search"),
        *typed_states(),
        prevent_initial_call=True,
    )
    async def test(clicks: int, trusted: list[int], search: str, *typed: str | None) -> Component:
        if not clicks:
            raise PreventUpdate
        visit, spec, pressed = await desk.visit(search), spec_of(typed), triggered()
        if isinstance(pressed, dict) and any(trusted):
            await desk.service.endpoint_trust(visit.park.id, spec.id, str(pressed["print"]))
        return await tested(visit, spec)


async def tested(visit: Visit, spec: EndpointSpec) -> Component:
    """Return the result of a test, or why there is none."""
    try:
        return result(visit, (await settled(visit, spec))[1])
    except TwinError as error:
        return failed(visit.words, error)


async def settled(visit: Visit, spec: EndpointSpec) -> tuple[EndpointSpec, EndpointTest]:
    """Return the spec with a policy, and its test.

    The policy is the strongest the server offers when none is named; a server that offers no
    security is not taken without: its test says so.
    """
    if spec.policy != STRONGEST:
        return spec, await visit.service.endpoint_test(spec)
    first = with_security(spec, BY_STRENGTH[0])
    test = await visit.service.endpoint_test(first)
    best = strongest(test.policies)
    if test.ok or best is None or best == BY_STRENGTH[0]:
        return first, test
    chosen = with_security(spec, best)
    return chosen, await visit.service.endpoint_test(chosen)


def with_security(spec: EndpointSpec, security: str) -> EndpointSpec:
    """Return the spec with a policy and mode as a server names them."""
    policy, _, mode = security.partition("/")
    return replace(spec, policy=policy, mode=mode)


def wire_tree(app: Dash, desk: Desk) -> None:
    """Browse: the top first, then what is opened."""

    @app.callback(
        Output("ep-tree", "children"),
        Output("ep-nodes", "data"),
        Input("ep-browse", "n_clicks"),
        Input({"type": "ep-open", "node": ALL}, "n_clicks"),
        State("ep-nodes", "data"),
        State("ep-bound", "data"),
        State("ep-known", "data"),
        State(MAP, "id"),
        State(MAP, "value"),
        State("url", "search"),
        State("ep-url", "value", allow_optional=True),
        prevent_initial_call=True,
    )
    async def browse(  # one argument per input
        top: int,
        opens: list[int],
        rows: Rows,
        bound: Typed,
        known: str,
        ids: list[dict[str, str]],
        paths: list[str | None],
        search: str,
        url: str | None = None,
    ) -> tuple[Component, Rows]:
        if not top and not any(opens):
            raise PreventUpdate
        visit, pressed = await desk.visit(search), triggered()
        node = str(pressed["node"]) if isinstance(pressed, dict) else ""
        kept = with_paths(rows, mapping_of(ids, paths)) if node else []
        return await branched(visit, known or (url or "").strip(), node, kept, bound)


def with_paths(rows: Rows, mapping: Typed) -> Rows:
    """Return the tree with the paths as they stand in the fields."""
    return [row | {"path": mapping.get(str(row["node"]), row["path"])} for row in rows]


async def branched(
    visit: Visit, source: str, node: str, rows: Rows, bound: Typed
) -> tuple[Component, Rows]:
    """Return the tree after browsing a node; the top when none is named."""
    try:
        found = await visit.service.endpoint_browse(visit.park.id, source, node)
    except TwinError as error:
        return failed(visit.words, error), rows
    if not node:
        after = as_rows(found, 0, bound)
    else:
        depth = next(int(str(r["depth"])) for r in rows if r["node"] == node)
        after = opened(rows, node, as_rows(found, depth + 1, bound))
    return tree(visit, after), after


def wire_save(app: Dash, desk: Desk) -> None:
    """Save: the service tests once more, then connects."""

    @app.callback(
        Output("url", "href", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input("ep-save", "n_clicks"),
        State("ep-known", "data"),
        State("ep-force", "value"),
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
        ids: list[dict[str, str]],
        paths: list[str | None],
        search: str,
        *typed: str | None,
    ) -> tuple[object, Component]:
        if not clicks:
            raise PreventUpdate
        visit, mapping = await desk.visit(search), mapping_of(ids, paths)
        try:
            name = await stored(visit, known, mapping, typed, force=bool(force))
        except InputError as error:
            return no_update, html.Div(explained(visit.words, error), className="state state-error")
        return visit.href(f"/endpoints/{name}"), done(visit.words("endpoints.saved", name=name))


async def stored(
    visit: Visit, known: str, mapping: Typed, typed: Sequence[str | None], *, force: bool
) -> str:
    """Save a new endpoint with its mapping, or the mapping of a known one; return its name."""
    if known:
        await visit.service.endpoint_map(visit.park.id, known, mapping)
        return known
    bound = [{"node": node, "path": path} for node, path in mapping.items() if path]
    spec = spec_of(typed, bound)
    if spec.policy == STRONGEST:
        if force:
            raise InputError(
                "nobody asks the server what it offers when it is saved without a test",
                "choose a security policy",
                "policy",
            )
        spec, _ = await settled(visit, spec)
    await visit.service.endpoint_add(visit.park.id, spec, force=force)
    return spec.id


PAGE: Final = Page(path="/endpoints/new", title="nav.endpoints", layout=layout, wire=wire)
