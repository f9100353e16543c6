"""What-if: a form made from the schema, the same as YAML, and the queue of runs."""

from collections.abc import Mapping, Sequence
from typing import Final

from dash import ALL, Dash, Input, Output, State, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import Asset, InputError, InvalidInput, Run, RunState
from dashboard.components import core, html
from dashboard.components.fields import triggered, who
from dashboard.components.parts import button, card, done, empty, explained, table
from dashboard.components.whatif_form import (
    ADD_BRANCH,
    ADD_CHANGE,
    ASSETS,
    DROP,
    FIELD,
    form,
)
from dashboard.form import (
    Typed,
    added,
    at_fields,
    change_types,
    document,
    dropped,
    ensemble_fields,
    from_yaml,
    numbered,
    to_yaml,
    typed_of,
)
from dashboard.page import Desk, Page, Visit
from dashboard.text import clock, moment, number
from dashboard.words.said import said

FIELDS: Final = {"type": FIELD, "path": ALL}
GOING: Final = (RunState.QUEUED, RunState.RUNNING)


async def layout(visit: Visit) -> Component:
    """Return the page."""
    words = visit.words
    assets = await visit.service.assets(visit.park.id)
    typed = first(assets)
    problems: Mapping[str, str] = {}
    return html.Div(
        [
            html.Div(
                [
                    html.H1(words("nav.whatif")),
                    core.Link(
                        words("nav.compare"), href=visit.href("/whatif/compare"), className="button"
                    ),
                ],
                className="page-head",
            ),
            html.Datalist([html.Option(value=a.id) for a in assets], id=ASSETS),
            core.Store(id="wf-typed", data=typed),
            html.Div(
                [
                    card(
                        words("whatif.form"),
                        html.Div(form(visit, typed, problems), id="wf-form"),
                        extra=words("whatif.form_hint"),
                    ),
                    html.Div(
                        [text_card(visit, typed), queue_card(visit, await queue(visit))],
                        className="stack",
                    ),
                ],
                className="grid whatif-grid flush",
            ),
        ]
    )


def first(assets: Sequence[Asset]) -> Typed:
    """Return the form one begins with: tonight's peak, as it is and with a larger battery."""
    battery = next((a.id for a in assets if a.type in ("bess", "battery")), "")
    typed: Typed = {
        "id": "evening-peak",
        "from": "now",
        "horizon": "24 h",
        "ensemble.replications": 64,
        "ensemble.seed": 11,
        "against": "base",
        "kpis": "peak_mva,n1_minutes,cost_mvnd",
        "branches.0.name": "base",
    }
    if not battery:
        return typed
    change = {"change": "battery", "asset": battery, "energy": "40 MWh"}
    return (
        typed
        | {"branches.1.name": "bess2x"}
        | {f"branches.1.changes.0.{name}": value for name, value in change.items()}
    )


def text_card(visit: Visit, typed: Typed) -> Component:
    """Return the same what-if as text, and the button that submits it."""
    words = visit.words
    return card(
        words("whatif.yaml"),
        html.Label(
            [
                html.Span(words("whatif.yaml"), className="sr"),
                core.Textarea(
                    id="wf-yaml",
                    value=as_text(visit, typed),
                    className="input yaml",
                    spellCheck=False,
                    rows=20,
                ),
            ]
        ),
        html.Div(id="wf-problems"),
        html.Div(
            [
                who(words),
                button(words("whatif.submit"), "wf-submit", kind="primary", icon_name="play"),
            ],
            className="submit-row",
        ),
        extra=words("whatif.yaml_hint"),
    )


def as_text(visit: Visit, typed: Typed) -> str:
    """Return a form as YAML."""
    schema = visit.service.whatif_schema()
    made = document(typed, visit.park.id, change_types(schema), ensemble_fields(schema))
    return to_yaml(made)


async def queue(visit: Visit) -> Component:
    """Return all runs, newest first."""
    words, language = visit.words, visit.viewer.language
    runs = await visit.service.whatif_runs(visit.park.id)
    if not runs:
        return empty(words("whatif.no_runs"), words("whatif.no_runs_hint"))
    rows = [
        [
            core.Link(run.name or run.id, href=visit.href(f"/whatif/{run.id}"), className="nowrap"),
            state(visit, run),
            number(len(run.branches), 0, language),
            submitted(visit, run),
            run.submitted_by,
            cancel(visit, run),
        ]
        for run in runs
    ]
    head = [
        words("run.name"),
        words("run.state_title"),
        words("run.branches"),
        submitted_when(visit),
        words("run.by"),
        "",
    ]
    fast = {"data-fast": ""} if any(run.state in GOING for run in runs) else {}
    return html.Div(
        table(head, rows, label=words("whatif.queue"), numeric=(2,), lesser=(2, 3, 4)), **fast
    )


def submitted_when(visit: Visit) -> str:
    """Return what the time of submission is called: our clock's, which a demo's need not be."""
    return visit.words("run.submitted_wall" if visit.park.demo else "run.submitted")


def submitted(visit: Visit, run: Run) -> str:
    """Return when a run was submitted; with its date where the park's day is another."""
    park = visit.park
    if park.demo:
        return clock(run.created_us, park.tz, "%d/%m/%Y %H:%M")
    return moment(run.created_us, park.tz, park.now_us)


def state(visit: Visit, run: Run) -> Component:
    """Return a run's state: a bar while it runs, the error when it failed."""
    word = visit.words.code("run.state", run.state)
    if run.state == RunState.RUNNING:
        share = number(run.progress * 100, 0, visit.viewer.language)
        bar = html.Progress(value=str(run.progress), max="1", **{"aria-label": run.name})
        return html.Div(
            [bar, html.Span(f"{word} {share}\N{NO-BREAK SPACE}%", className="muted small")]
        )
    if run.state == RunState.FAILED:
        return html.Span(
            f"▲ {word}", className="priority priority-high", title=said(visit.words, run.error)
        )
    return html.Span(word)


def cancel(visit: Visit, run: Run) -> Component | None:
    """Return the button that cancels a run that still can be."""
    if run.state not in GOING:
        return None
    return button(visit.words("run.cancel"), {"type": "wf-cancel", "run": run.id}, kind="small")


def queue_card(visit: Visit, body: Component) -> Component:
    """Return the queue."""
    return card(visit.words("whatif.queue"), html.Div(body, id="wf-queue"))


def told(visit: Visit, error: InputError, typed: Typed) -> tuple[list[Component], list[Component]]:
    """Return the form with what is wrong at its fields, and what belongs to no field."""
    if not isinstance(error, InvalidInput):
        return form(visit, typed, {}), explained(visit.words, error)
    at, rest = at_fields(error.problems, typed)
    others = explained(visit.words, InvalidInput(tuple(rest))) if rest else []
    count = visit.words("whatif.problems", n=str(len(error.problems)))
    return form(visit, typed, at), [
        html.P(f"▲ {count}", className="problem", role="alert"),
        *others,
    ]


def typed_now(values: Sequence[object], ids: Sequence[Mapping[str, str]], before: Typed) -> Typed:
    """Return what stands in the fields; a branch without any stays."""
    kept = {k: v for k, v in before.items() if k.endswith(".name")}
    return kept | {str(i["path"]): v for i, v in zip(ids, values, strict=True)}


def edited(typed: Typed, cause: object) -> Typed:
    """Return the form after a button: a branch or a change added or removed."""
    if cause == ADD_BRANCH:
        name = f"branch{len(numbered(typed, 'branches.')) + 1}"
        return added(typed, "branches", {"name": name})
    if isinstance(cause, dict) and cause.get("type") == ADD_CHANGE:
        return added(typed, f"branches.{cause['branch']}.changes", {"change": cause["change"]})
    if isinstance(cause, dict) and cause.get("type") == DROP:
        return dropped(typed, str(cause["path"]))
    return typed


def wire(app: Dash, desk: Desk) -> None:
    """Connect form, text, submit and queue."""
    wire_edit(app, desk)
    wire_submit(app, desk)

    @app.callback(
        Output("wf-queue", "children"),
        Input("beat", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def refresh(_beat: int, search: str) -> Component:
        return await queue(await desk.visit(search))

    @app.callback(
        Output("wf-queue", "children", allow_duplicate=True),
        Input({"type": "wf-cancel", "run": ALL}, "n_clicks"),
        State("who", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def stop(clicks: list[int], by: str | None, search: str) -> Component:
        cause = triggered()
        if not any(clicks) or not isinstance(cause, dict):
            raise PreventUpdate
        await desk.service.whatif_cancel(str(cause["run"]), by or "")
        return await queue(await desk.visit(search))


def wire_edit(app: Dash, desk: Desk) -> None:
    """Keep form and text the same what-if: what changed last is what counts."""

    @app.callback(
        Output("wf-form", "children"),
        Output("wf-yaml", "value"),
        Output("wf-typed", "data"),
        Input(ADD_BRANCH, "n_clicks"),
        Input({"type": ADD_CHANGE, "branch": ALL, "change": ALL}, "n_clicks"),
        Input({"type": DROP, "path": ALL}, "n_clicks"),
        Input(FIELDS, "value"),
        State(FIELDS, "id"),
        State("wf-typed", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def edit(
        branch: int,
        change: list[int],
        drop: list[int],
        values: list[object],
        ids: list[dict[str, str]],
        before: Typed,
        search: str,
    ) -> tuple[object, object, Typed]:
        visit, cause = await desk.visit(search), triggered()
        now = typed_now(values, ids, before)
        pressed = bool(branch) or any(change) or any(drop)
        after = edited(now, cause) if pressed else now
        text = as_text(visit, after)
        if text == as_text(visit, before):
            raise PreventUpdate  # fields just drawn report themselves once; nothing was typed
        shown = form(visit, after, {}) if after != now else no_update
        return shown, text, after

    @app.callback(
        Output("wf-form", "children", allow_duplicate=True),
        Output("wf-typed", "data", allow_duplicate=True),
        Output("wf-problems", "children"),
        Input("wf-yaml", "n_blur"),
        State("wf-yaml", "value"),
        State("wf-typed", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def read(
        _left: int, text: str, before: Typed, search: str
    ) -> tuple[object, object, list[Component]]:
        visit = await desk.visit(search)
        if text == as_text(visit, before):
            return no_update, no_update, []
        try:
            typed = typed_of(from_yaml(text))
        except InputError as error:
            return no_update, no_update, explained(visit.words, error)
        return form(visit, typed, {}), typed, []


def wire_submit(app: Dash, desk: Desk) -> None:
    """Submit the text; an accepted run is opened, a refused one is explained."""

    @app.callback(
        Output("url", "href"),
        Output("wf-form", "children", allow_duplicate=True),
        Output("wf-problems", "children", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input("wf-submit", "n_clicks"),
        State("wf-yaml", "value"),
        State("wf-typed", "data"),
        State("who", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def submit(
        clicks: int, text: str, typed: Typed, by: str | None, search: str
    ) -> tuple[object, object, object, object]:
        if not clicks:
            raise PreventUpdate
        visit = await desk.visit(search)
        try:
            run = await desk.service.whatif_submit(text, by or "")
        except InputError as error:
            return no_update, *told(visit, error, typed), None
        said = done(visit.words("whatif.submitted", name=run.name))
        return visit.href(f"/whatif/{run.id}"), no_update, [], said


PAGE: Final = Page(
    path="/whatif", title="nav.whatif", layout=layout, wire=wire, profile="shell", icon="whatif"
)
