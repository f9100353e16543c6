"""Browsing a server by hand: its nodes level by level, each with the tag it becomes."""

from collections.abc import Mapping, Sequence
from typing import Final

from dash import ALL, Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import BrowsedNode, TwinError
from dashboard.components import core, html
from dashboard.components.fields import triggered
from dashboard.components.parts import button, empty, failed, icon, table
from dashboard.page import Desk, Visit
from dashboard.text import number
from dashboard.words.said import said

MAP: Final = {"type": "ep-map", "node": ALL}
Rows = list[dict[str, object]]
Typed = dict[str, str]


def by_hand(visit: Visit) -> Component:
    """Return the tree, folded: for single nodes, and for servers without a crawl."""
    words = visit.words
    return html.Details(
        [
            html.Summary(words("endpoints.by_hand")),
            html.P(words("endpoints.not_browsed_hint"), className="muted small"),
            html.Div(button(words("endpoints.browse"), "ep-browse", icon_name="search")),
            html.Div(id="ep-tree"),
        ],
        className="card by-hand",
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
        table(head, [tree_row(visit, row) for row in rows], label=words("endpoints.by_hand")),
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
    proposal = words("endpoints.no_proposal")
    if row["proposal"]:
        proposal = f"{sure} % · {said(words, str(row['why']))}"
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
