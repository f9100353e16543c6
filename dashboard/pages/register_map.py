"""The proposed mapping: accepted, refused and edited row by row or all at once, and undone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from dash import ALL, Dash, Input, Output, State, ctx, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import TwinError
from dashboard.components import core, html
from dashboard.components.fields import field, group, picks, triggered
from dashboard.components.parts import button, card, empty, failed, table
from dashboard.mapping_draft import Draft, Drafts, Row, path_of, unit_of, written_as
from dashboard.page import Desk, Visit
from dashboard.text import number
from dashboard.words.said import said

ON_A_PAGE: Final = 15
LEAST: Final = ("0", "0.5", "0.8", "0.95")
STANDINGS: Final = ("open", "accepted", "refused", "bound", "removed")


def map_card(visit: Visit) -> Component:
    """Return the step that decides which node becomes which tag."""
    words, language = visit.words, visit.viewer.language
    least = [
        (
            each,
            words("endpoints.any")
            if each == "0"
            else f"≥ {number(float(each) * 100, 0, language)} %",
        )
        for each in LEAST
    ]
    standings = [("", words("endpoints.any"))]
    standings += [(each, words.code("endpoints.standing", each)) for each in STANDINGS]
    find = core.Input(
        id="ep-find", type="search", className="input", value="", debounce=0.4, maxLength=120
    )
    return card(
        words("endpoints.step4"),
        html.Div(
            [
                field(words("endpoints.find"), find),
                group(words("endpoints.confidence"), picks("ep-least", least, ["0"])),
                group(words("endpoints.standing_of"), picks("ep-standing", standings, [""])),
            ],
            className="fields wide-fields",
        ),
        html.Div(
            [
                button(
                    words("endpoints.accept_all"),
                    "ep-accept-all",
                    kind="primary",
                    icon_name="check",
                ),
                button(words("endpoints.undo"), "ep-undo"),
                html.Span(words("endpoints.accept_hint"), className="muted small"),
            ],
            className="form-end",
        ),
        html.Div(
            empty(words("endpoints.no_proposals"), words("endpoints.no_proposals_hint")),
            id="ep-proposals",
        ),
        core.Store(id="ep-turned", data=0),
    )


def shown(draft: Draft, asked: "Asked") -> list[Row]:
    """Return the rows that match, proposals first, the most certain before the others."""
    wanted, least, standing = asked.find.strip().casefold(), asked.least, asked.standing
    rows = [
        row
        for row in draft.rows.values()
        if (not standing or draft.standing(row.node) == standing)
        and (least == 0 or (row.confidence or 0.0) >= least)
        and (not wanted or wanted in f"{row.node} {row.browsed} {draft.tag(row.node)}".casefold())
    ]
    return sorted(rows, key=lambda r: (r.confidence is None, -(r.confidence or 0.0), r.node))


def view(visit: Visit, draft: Draft, rows: Sequence[Row], turned: int) -> Component:
    """Return one page of rows, how many stand where, and the way to the other pages."""
    words, language = visit.words, visit.viewer.language
    counts = draft.counts()
    tally = [
        html.Span(
            f"{words.code('endpoints.standing', name)}: {number(counts[name], 0, language)}",
            className="chip",
        )
        for name in STANDINGS
        if name in counts
    ]
    head = [words.code("endpoints.map_column", name) for name in COLUMNS]
    first = turned * ON_A_PAGE
    here = rows[first : first + ON_A_PAGE]
    body = (
        table(
            [*head, words("endpoints.decision")],
            [line(visit, draft, row) for row in here],
            label=words("endpoints.step4"),
            numeric=(4,),
            stacked=[*head, words("endpoints.decision")],
        )
        if here
        else empty(words("endpoints.none_match"))
    )
    pages = (len(rows) + ON_A_PAGE - 1) // ON_A_PAGE
    turns = [
        button("‹", {"type": "ep-turn", "to": turned - 1}, disabled=turned == 0),
        html.Span(words("endpoints.page", n=str(turned + 1), all=str(max(pages, 1)))),
        button("›", {"type": "ep-turn", "to": turned + 1}, disabled=turned + 1 >= pages),
    ]
    return html.Div(
        [
            html.Div(tally, className="tally", role="status"),
            html.Div(body, className="mapping"),
            html.Div(turns, className="form-end") if pages > 1 else "",
        ]
    )


COLUMNS: Final = ("node", "asset", "metric", "unit", "confidence", "why")


def line(visit: Visit, draft: Draft, row: Row) -> list[object]:
    """Return one node: where it is, what it becomes, how sure that is, and what to do."""
    words, node = visit.words, row.node
    tag, standing = draft.tag(node), draft.standing(node)
    asset, _, metric = path_of(tag).rpartition("/")
    unit = unit_of(tag) or row.stored or row.unit

    def box(part: str, value: str) -> Component:
        name = words(
            "endpoints.edit_of",
            part=words.code("endpoints.map_column", part),
            node=row.browsed or node,
        )
        entry = core.Input(
            id={"type": "ep-edit", "part": part, "node": node},
            type="text",
            value=value,
            className="input",
            debounce=True,
            maxLength=300,
        )
        return html.Label([html.Span(name, className="sr"), entry], className=f"edit edit-{part}")

    sure = (
        "–"
        if row.confidence is None
        else f"{number(row.confidence * 100, 0, visit.viewer.language)} %"
    )
    no = words("endpoints.unbind") if node in draft.bound else words("endpoints.refuse")
    settled = standing in ("refused", "removed")
    acts = [
        button(text, {"type": "ep-act", "act": act, "node": node}, kind="small", disabled=is_off)
        for act, text, is_off in (
            ("accept", words("endpoints.accept"), standing == "accepted" or not tag),
            ("refuse", no, settled),
        )
    ]
    stored = f" → {row.stored}" if row.stored and row.stored != unit else ""
    return [
        html.Div(
            [
                html.Div(row.browsed or node, className="strong"),
                html.Div(node, className="mono muted small"),
            ]
        ),
        box("asset", asset),
        box("metric", metric),
        html.Div([box("unit", unit), html.Span(stored, className="nowrap")], className="units"),
        sure,
        html.Span(said(words, row.why), className="small muted"),
        html.Div(
            [
                html.Div(
                    words.code("endpoints.standing", standing),
                    className=f"standing-{standing} small",
                ),
                html.Div(acts, className="acts"),
            ]
        ),
    ]


async def begun(visit: Visit, known: str, address: str, *, proposed: bool) -> Draft:
    """Return a new draft: what is bound already, and what a finished crawl proposes."""
    rows: dict[str, Row] = {}
    bound: dict[str, str] = {}
    if known:
        stored = {
            t.node: t.unit for t in await visit.service.tags(visit.park.id) if t.endpoint == known
        }
        for node, path, unit, *_ in (await visit.service.endpoint_export(visit.park.id, known))[1:]:
            row = Row(node=node, path=path, unit=unit, stored=stored.get(node, unit))
            rows[node], bound[node] = row, row.written
    if proposed:
        for found in await visit.service.endpoint_propose(visit.park.id, known or address):
            rows.setdefault(str(found["node"]), row_of(found))
    return Draft(rows=rows, bound=bound)


def row_of(found: Mapping[str, object]) -> Row:
    """Return a proposal of the service as a row."""
    return Row(
        node=str(found["node"]),
        browsed=str(found["browsed"]),
        path=str(found["path"]),
        unit=str(found["unit"]),
        stored=str(found.get("stored", "")),
        confidence=float(str(found["confidence"])),
        sure=bool(found["sure"]),
        why=str(found["why"]),
    )


def edited(draft: Draft, node: str, part: str, value: str) -> Draft:
    """Return the draft after one cell of a row was typed; the row is accepted with it."""
    row, tag = draft.rows[node], draft.tag(node)
    asset, _, metric = path_of(tag).rpartition("/")
    now = {"asset": asset, "metric": metric, "unit": unit_of(tag) or row.stored or row.unit}
    if now[part] == value.strip():
        return draft
    now[part] = value.strip()
    unit = "" if now["unit"] == row.stored else now["unit"]
    path = f"{now['asset']}/{now['metric']}" if now["asset"] and now["metric"] else ""
    return draft.decide({node: written_as(path, unit)})


def acted(draft: Draft, pressed: Mapping[str, object], value: object) -> Draft:
    """Return the draft after a button or a cell of a row."""
    node = str(pressed["node"])
    if pressed["type"] == "ep-edit":
        return edited(draft, node, str(pressed["part"]), str(value or ""))
    if not value:
        return draft
    return draft.accept([node]) if pressed["act"] == "accept" else draft.refuse(node)


def wire_map(app: Dash, desk: Desk, drafts: Drafts) -> None:
    """Begin with what is bound and proposed; decide; turn pages; undo."""

    @app.callback(
        Output("ep-proposals", "children"),
        Output("ep-draft", "data"),
        Output("ep-turned", "data"),
        Output("ep-review", "children", allow_duplicate=True),
        Input("ep-known", "data"),
        Input("ep-crawled", "data"),
        Input("ep-draft", "data"),
        Input({"type": "ep-act", "act": ALL, "node": ALL}, "n_clicks"),
        Input({"type": "ep-edit", "part": ALL, "node": ALL}, "value"),
        Input({"type": "ep-turn", "to": ALL}, "n_clicks"),
        Input({"type": "ep-list-apply", "n": ALL}, "n_clicks"),
        Input("ep-accept-all", "n_clicks"),
        Input("ep-undo", "n_clicks"),
        Input("ep-find", "value"),
        Input("ep-least", "value"),
        Input("ep-standing", "value"),
        State("ep-turned", "data"),
        State("url", "search"),
        State("ep-url", "value", allow_optional=True),
        prevent_initial_call="initial_duplicate",
    )
    async def change(  # one argument per input
        known: str,
        crawled: str,
        name: str,
        _acts: list[int],
        _edits: list[str],
        _turns: list[int],
        _lists: list[int],
        _all: int,
        _undo: int,
        find: str | None,
        least: str,
        standing: str,
        turned: int,
        search: str,
        url: str | None = None,
    ) -> tuple[object, object, int, object]:
        pressed, value = triggered(), ctx.triggered[0]["value"] if ctx.triggered else None
        if idle(pressed, value) or (pressed == "ep-crawled" and crawled != "done"):
            raise PreventUpdate
        visit, kept = await desk.visit(search), drafts.get(name)
        asked = Asked(find or "", float(least or 0), standing, turned)
        if kept is None or pressed == "ep-crawled":
            server = (known, (url or "").strip(), crawled)
            return await opened(visit, drafts, kept, server, asked)
        return changed(visit, drafts, name, (pressed, value), asked)


class Asked(NamedTuple):
    """What of a draft is looked at: a text, a least confidence, a standing, a page."""

    find: str
    least: float
    standing: str
    turned: int


def idle(pressed: object, value: object) -> bool:
    """Return whether a button was only drawn, which Dash tells as if it were pressed."""
    return isinstance(pressed, dict) and pressed["type"] != "ep-edit" and not value


async def opened(
    visit: Visit, drafts: Drafts, kept: Draft | None, server: tuple[str, str, str], asked: Asked
) -> tuple[object, object, int, object]:
    """Begin a draft, or bring new proposals into the one there is."""
    known, address, crawled = server
    if not known and crawled != "done":
        raise PreventUpdate
    try:
        after = await begun(visit, known, address, proposed=crawled == "done")
    except TwinError as error:
        return failed(visit.words, error), no_update, 0, no_update
    if kept is not None:
        after = replace(after.decide(kept.decided), listed=kept.listed)
    return view(visit, after, shown(after, asked), 0), drafts.begin(after), 0, no_update


def changed(
    visit: Visit, drafts: Drafts, name: str, event: tuple[object, object], asked: Asked
) -> tuple[object, object, int, object]:
    """Do what was pressed or typed, and show the draft after it."""
    kept, (pressed, value) = drafts.get(name) or Draft(rows={}), event
    after = decided(kept, pressed, value, asked)
    if after is kept and isinstance(pressed, dict) and pressed["type"] in ("ep-act", "ep-edit"):
        raise PreventUpdate
    drafts.put(name, after)
    turned = asked.turned if pressed in ("ep-undo", "ep-accept-all") else 0
    if isinstance(pressed, dict):
        turned = int(str(pressed["to"])) if pressed["type"] == "ep-turn" else asked.turned
    rows = shown(after, asked)
    turned = min(turned, max(0, (len(rows) - 1) // ON_A_PAGE))
    stale = no_update if after is kept else stale_review(visit)
    return view(visit, after, rows, turned), no_update, turned, stale


def decided(kept: Draft, pressed: object, value: object, asked: Asked) -> Draft:
    """Return the draft after a button; itself after what only changes the look at it."""
    if pressed == "ep-accept-all" and value:
        return kept.accept_above(asked.least or sure(kept))
    if pressed == "ep-undo" and value:
        return kept.undo()
    if not isinstance(pressed, dict) or pressed["type"] == "ep-turn":
        return kept
    return (
        kept.decide(kept.listed)
        if pressed["type"] == "ep-list-apply"
        else acted(kept, pressed, value)
    )


def sure(draft: Draft) -> float:
    """Return the least confidence that may be taken unseen; above one when none may."""
    return min((r.confidence or 0.0 for r in draft.rows.values() if r.sure), default=1.1)


def stale_review(visit: Visit) -> Component:
    """Return what stands in place of a review that is older than the mapping."""
    return empty(visit.words("endpoints.not_reviewed"), visit.words("endpoints.not_reviewed_hint"))
