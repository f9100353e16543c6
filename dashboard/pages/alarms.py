"""Alarms: what stands, what is shelved, what was; acknowledged and shelved with a reason."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import dash_ag_grid
from dash import Dash, Input, Output, State, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import Alarm, AlarmState
from dashboard.components import core, html
from dashboard.components.fields import field, group, picks, triggered, who
from dashboard.components.parts import button, card, done
from dashboard.components.picker import choices
from dashboard.design import PRIORITIES, SHAPES
from dashboard.page import Desk, Page, Visit
from dashboard.spans import DAY, MINUTE
from dashboard.text import at_zone, clock, number, with_unit

AG_GRID: Final = cast("Callable[..., Component]", dash_ag_grid.AgGrid)
GRID: Final = "alarms-grid"
VIEWS: Final = ("unresolved", "shelved", "history")
ASIDE: Final = (AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE)
FLOOD: Final = 10
"""More alarms than this in ten minutes are a flood (ISA-18.2)."""

Row = dict[str, object]


async def layout(visit: Visit) -> Component:
    """Return the page; the address says which view."""
    words = visit.words
    every = await visit.service.alarms(visit.park.id, history=True)
    view = view_of(visit)
    options = [
        (name, f"{words.code('alarms.view', name)} ({len(seen(every, name))})") for name in VIEWS
    ]
    return html.Div(
        [
            html.Div(
                [html.H1(words("nav.alarms")), choices(visit, "view", options, view)],
                className="page-head",
            ),
            html.Div(summary(visit, every), id="alarms-summary"),
            html.Div(grid(visit, await rows(visit, every, view), view), className="card grid-card"),
            actions(visit),
        ]
    )


def view_of(visit: Visit) -> str:
    """Return the view the address asks for."""
    asked = visit.query.get("view", "")
    return asked if asked in VIEWS else VIEWS[0]


def seen(alarms: Sequence[Alarm], view: str) -> list[Alarm]:
    """Return the alarms of a view; unresolved ones are never cut by a time range."""
    if view == "shelved":
        return [a for a in alarms if a.state in ASIDE]
    if view == "history":
        return [a for a in alarms if a.state == AlarmState.NORMAL]
    return [a for a in alarms if a.state not in (*ASIDE, AlarmState.NORMAL)]


def summary(visit: Visit, alarms: Sequence[Alarm]) -> list[Component]:
    """Return the load on the operator, and a banner when it is a flood."""
    words, language, now = visit.words, visit.viewer.language, visit.park.now_us
    recent = sum(now - a.raised_us <= 10 * MINUTE for a in alarms)
    day = sum(now - a.raised_us <= DAY for a in alarms)
    stale = sum(now - a.raised_us > DAY for a in seen(alarms, "unresolved"))
    unread = sum("unacknowledged" in a.state.value for a in alarms)
    facts = [
        (words("alarms.rate"), number(recent, 0, language), words("alarms.rate_hint")),
        (words("alarms.mean"), number(day / 144, 2, language), words("alarms.mean_hint")),
        (words("alarms.unread"), number(unread, 0, language), ""),
        (words("alarms.old"), number(stale, 0, language), words("alarms.old_hint")),
    ]
    tiles = html.Div(
        [
            html.Section(
                [
                    html.H2(name, className="kpi-name"),
                    html.Div(value, className="kpi-value num"),
                    html.Small(hint, className="muted"),
                ],
                className="card kpi",
                **{"aria-label": name},
            )
            for name, value, hint in facts
        ],
        className="kpis four flush",
    )
    if recent <= FLOOD:
        return [tiles]
    banner = html.Div(
        f"{SHAPES['high']} {words('alarms.flood', n=str(recent))}", className="banner", role="alert"
    )
    return [banner, tiles]


async def rows(visit: Visit, alarms: Sequence[Alarm], view: str) -> list[Row]:
    """Return grid rows, worst and newest first."""
    assets = await visit.service.assets(visit.park.id)
    names = {a.id: visit.words.label(a.label) for a in assets}
    ordered = sorted(
        seen(alarms, view), key=lambda a: (PRIORITIES.index(a.priority.value), -a.raised_us)
    )
    return [row(visit, alarm, names.get(alarm.asset) or alarm.asset) for alarm in ordered]


def row(visit: Visit, alarm: Alarm, asset: str) -> Row:
    """Return one row; texts are ready to read, times sort as they are written."""
    words, language, tz = visit.words, visit.viewer.language, visit.park.tz
    unit = words.code("unit", alarm.unit) if alarm.unit else ""
    value = with_unit(alarm.value, 1, unit, language) if alarm.value is not None else ""
    limit = number(alarm.limit, 1, language) if alarm.limit is not None else ""
    text = words.label(alarm.label)
    grouped = words("alarms.members", n=str(alarm.members)) if alarm.members > 1 else ""
    return {
        "id": alarm.id,
        "priority": alarm.priority.value,
        "rank": PRIORITIES.index(alarm.priority.value),
        "shape": SHAPES[alarm.priority.value],
        "priority_text": words.code("priority", alarm.priority.value),
        "state": words.code("alarm.state", alarm.state.value),
        "raised": at_zone(alarm.raised_us, tz).strftime("%d/%m %H:%M:%S"),
        "raised_us": alarm.raised_us,
        "asset": asset,
        "asset_id": alarm.asset,
        "href": visit.href(f"/asset/{alarm.asset}"),
        "text": f"{text} ({grouped})" if grouped else text,
        "value": f"{value} / {limit}" if limit else value,
        "until": clock(alarm.shelved_until_us, tz) if alarm.shelved_until_us else "",
        "by": alarm.acknowledged_by,
        "note": alarm.note,
    }


def grid(visit: Visit, data: list[Row], view: str) -> Component:
    """Return the grid."""
    words = visit.words

    def column(name: str, width: int, **more: object) -> dict[str, object]:
        return {
            "field": name,
            "headerName": words.code("alarms.column", name),
            "width": width,
        } | more

    columns = [
        column("rank", 122, cellRenderer="Priority"),
        column("raised_us", 132, cellRenderer="Stamp"),
        column("state", 160),
        column("text", 300, flex=3, tooltipField="text"),
        column("asset", 158, cellRenderer="InsideLink", tooltipField="asset_id"),
        column("value", 136),
        *([column("until", 92)] if view == "shelved" else []),
        column("by", 110),
        column("note", 160, flex=1, tooltipField="note"),
    ]
    return AG_GRID(
        id=GRID,
        rowData=data,
        columnDefs=columns,
        defaultColDef={"sortable": True, "resizable": True, "suppressMovable": True},
        getRowId="params.data.id",
        dashGridOptions={
            "theme": {"function": "parkTheme(themeQuartz)"},
            "rowSelection": {"mode": "multiRow", "enableClickSelection": False},
            "selectionColumnDef": {"width": 44, "pinned": "left"},
            "suppressCellFocus": False,
            "animateRows": False,
            "localeText": {
                "ariaRowToggleSelection": words("alarms.select"),
                "ariaHeaderSelection": words("alarms.select_all"),
                "noRowsToShow": words("alarms.none"),
            },
        },
        style={"height": f"{min(460, max(270, 50 + 34 * len(data)))}px"},
    )


def actions(visit: Visit) -> Component:
    """Return what can be done with the selected alarms."""
    words = visit.words
    acknowledge = card(
        words("alarms.acknowledge"),
        html.Div(
            [
                who(words),
                field(
                    words("alarms.note"),
                    core.Input(
                        id="alarms-note", type="text", className="input", maxLength=300, value=""
                    ),
                ),
            ],
            className="fields",
        ),
        html.Div(
            [button(words("alarms.acknowledge"), "alarms-ack", kind="primary", icon_name="check")],
            className="form-end",
        ),
    )
    shelve = card(
        words("alarms.shelve"),
        html.Div(
            [
                group(
                    words("alarms.minutes"),
                    picks(
                        "alarms-minutes",
                        [(str(m), words.code("alarms.for", str(m))) for m in (15, 60, 240, 480)],
                        ["60"],
                    ),
                ),
                field(
                    words("alarms.reason"),
                    core.Input(
                        id="alarms-reason", type="text", className="input", maxLength=300, value=""
                    ),
                ),
            ],
            className="fields",
        ),
        html.Div(
            [
                button(words("alarms.shelve"), "alarms-shelve", icon_name="shelve"),
                button(words("alarms.unshelve"), "alarms-unshelve", kind="plain"),
            ],
            className="form-end",
        ),
    )
    return html.Div([acknowledge, shelve], className="grid two")


def wire(app: Dash, desk: Desk) -> None:
    """Connect refresh, acknowledge and shelve."""

    @app.callback(
        Output(GRID, "rowData"),
        Output("alarms-summary", "children"),
        Input("beat", "data"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def refresh(_beat: int, search: str) -> tuple[list[Row], list[Component]]:
        return await current(desk, search)

    @app.callback(
        Output(GRID, "rowData", allow_duplicate=True),
        Output("alarms-summary", "children", allow_duplicate=True),
        Output(GRID, "selectedRows"),
        Output("notice", "children", allow_duplicate=True),
        Input("alarms-ack", "n_clicks"),
        State(GRID, "selectedRows"),
        State("who", "value"),
        State("alarms-note", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def acknowledge(
        clicks: int, chosen: list[Row] | None, by: str | None, note: str | None, search: str
    ) -> tuple[object, ...]:
        ids, visit = chosen_ids(chosen), await desk.visit(search)
        if not clicks:
            raise PreventUpdate
        if not ids:
            return no_update, no_update, no_update, done(visit.words("alarms.choose"))
        await visit.service.acknowledge(visit.park.id, ids, by or "", note or "")
        said = done(visit.words("alarms.acknowledged", n=str(len(ids))))
        return *await current(desk, search), [], said

    @app.callback(
        Output(GRID, "rowData", allow_duplicate=True),
        Output("alarms-summary", "children", allow_duplicate=True),
        Output(GRID, "selectedRows", allow_duplicate=True),
        Output("notice", "children", allow_duplicate=True),
        Input("alarms-shelve", "n_clicks"),
        Input("alarms-unshelve", "n_clicks"),
        State(GRID, "selectedRows"),
        State("who", "value"),
        State("alarms-minutes", "value"),
        State("alarms-reason", "value"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def shelve(
        shelved: int,
        unshelved: int,
        chosen: list[Row] | None,
        by: str | None,
        minutes: str,
        reason: str | None,
        search: str,
    ) -> tuple[object, ...]:
        ids, visit = chosen_ids(chosen), await desk.visit(search)
        if not shelved and not unshelved:
            raise PreventUpdate
        if not ids:
            return no_update, no_update, no_update, done(visit.words("alarms.choose"))
        span = float(minutes) if triggered() == "alarms-shelve" else 0.0
        await visit.service.shelve(visit.park.id, ids, by or "", span, reason or "")
        said = visit.words("alarms.shelved" if span else "alarms.unshelved", n=str(len(ids)))
        return *await current(desk, search), [], done(said)


def chosen_ids(chosen: Sequence[Mapping[str, object]] | None) -> list[str]:
    """Return the ids of selected rows."""
    return [str(each["id"]) for each in chosen or ()]


async def current(desk: Desk, search: str) -> tuple[list[Row], list[Component]]:
    """Return rows of the view asked for, and the summary."""
    visit = await desk.visit(search)
    every = await visit.service.alarms(visit.park.id, history=True)
    return await rows(visit, every, view_of(visit)), summary(visit, every)


PAGE: Final = Page(
    path="/alarms", title="nav.alarms", layout=layout, wire=wire, profile="shell", icon="alarms"
)
