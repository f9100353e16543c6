"""Before saving: what is wrong with the mapping, and what it does to tags and their history."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from dash import Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import InputError, TwinError
from dashboard.components import html
from dashboard.components.fields import picks
from dashboard.components.parts import button, card, empty, failed
from dashboard.design import SHAPES
from dashboard.mapping_draft import Draft, Drafts
from dashboard.page import Desk, Visit
from dashboard.pages.register_list import more, tall
from dashboard.pages.register_tree import MAP, mapping_of
from dashboard.text import number
from dashboard.words.said import said

ACTIONS: Final = ("add", "rename", "replace", "revive", "remove")


def review_card(visit: Visit, known: str) -> Component:
    """Return the last step: look at what saving would do, then save."""
    words = visit.words
    save = words("endpoints.save_map") if known else words("endpoints.save")
    force = picks("ep-force", [("force", words("endpoints.force"))], [], several=True)
    return card(
        words("endpoints.step5"),
        html.Div(
            empty(words("endpoints.not_reviewed"), words("endpoints.not_reviewed_hint")),
            id="ep-review",
            **{"aria-live": "polite"},
        ),
        html.Div(
            [
                button(words("endpoints.review"), "ep-review-run", icon_name="search"),
                button(save, "ep-save", kind="primary", icon_name="check"),
                html.Div(force, hidden=bool(known)),
            ],
            className="form-end",
        ),
    )


def whole(draft: Draft | None, by_hand: Mapping[str, str]) -> dict[str, str]:
    """Return all that would be saved: what was typed by hand, and above it what was decided."""
    return {**by_hand, **(draft.mapping() if draft is not None else {})}


def reviewed(visit: Visit, found: Mapping[str, object]) -> Component:
    """Return changes with what they do to history, findings and problems with their remedies."""
    words, language = visit.words, visit.viewer.language
    changes = cast("Sequence[Mapping[str, object]]", found["changes"])
    findings = cast("Sequence[Mapping[str, object]]", found["findings"])
    problems = cast("Sequence[Mapping[str, object]]", found["problems"])
    parts: list[object] = []
    if problems:
        parts += [html.H3(words("endpoints.problems")), problem_table(visit, problems)]
    parts.append(html.H3(words("endpoints.lint")))
    parts.append(
        finding_table(visit, findings) if findings else html.P(words("endpoints.lint_none"))
    )
    tally = ", ".join(
        f"{words.code('endpoints.tag_action', name)}: {number(count, 0, language)}"
        for name in ACTIONS
        if (count := sum(change["action"] == name for change in changes))
    )
    parts.append(html.H3(words("endpoints.dry_run")))
    parts.append(html.P(tally or words("endpoints.no_change")))
    if changes:
        parts += [change_table(visit, changes), more(visit, len(changes))]
    return html.Div(parts, className="review")


def problem_table(visit: Visit, rows: Sequence[Mapping[str, object]]) -> Component:
    """Return rows that name no node or no tag."""
    words = visit.words
    head = [words("endpoints.node"), words("endpoints.what"), words("endpoints.remedy")]
    lines = [
        [
            html.Span(str(p["node"]), className="mono"),
            said(words, str(p["message"])),
            said(words, str(p["suggestion"])),
        ]
        for p in rows
    ]
    return tall(head, lines, words("endpoints.problems"))


def finding_table(visit: Visit, rows: Sequence[Mapping[str, object]]) -> Component:
    """Return what the lint found."""
    words = visit.words
    head = [
        words("endpoints.finding"),
        words("endpoints.tag"),
        words("endpoints.why"),
        words("endpoints.remedy"),
    ]
    lines = []
    for each in rows:
        kind = "high" if each["severity"] == "error" else "medium"
        text = words.code("endpoints.severity", str(each["severity"]))
        lines.append(
            [
                html.Span(f"{SHAPES[kind]} {text}", className=f"priority priority-{kind}"),
                html.Div(
                    [str(each["path"]), html.Div(str(each["node"]), className="mono muted small")]
                ),
                said(words, str(each["why"])),
                said(words, str(each["remedy"])),
            ]
        )
    return tall(head, lines, words("endpoints.lint"))


def change_table(visit: Visit, rows: Sequence[Mapping[str, object]]) -> Component:
    """Return the changes of tags, each with what becomes of its history."""
    words = visit.words
    head = [words("endpoints.change"), words("endpoints.tag"), words("endpoints.history")]
    lines = [
        [
            words.code("endpoints.tag_action", str(each["action"])),
            str(each["path"]),
            html.Div(
                [
                    words.code("endpoints.history_of", str(each["action"])),
                    html.Div(said(words, detail(each)), className="muted small"),
                ]
            ),
        ]
        for each in rows
    ]
    return tall(head, lines, words("endpoints.dry_run"))


def detail(change: Mapping[str, object]) -> str:
    """Return what differs, where that says more than the action."""
    return str(change["reason"]) if change["action"] in ("rename", "replace") else ""


def wire_review(app: Dash, desk: Desk, drafts: Drafts) -> None:
    """Ask the service what saving would do."""

    @app.callback(
        Output("ep-review", "children"),
        Input("ep-review-run", "n_clicks"),
        State("ep-draft", "data"),
        State("ep-known", "data"),
        State("ep-crawled", "data"),
        State(MAP, "id"),
        State(MAP, "value"),
        State("url", "search"),
        State("ep-url", "value", allow_optional=True),
        State("ep-id", "value", allow_optional=True),
        prevent_initial_call=True,
    )
    async def review(  # one argument per input
        clicks: int,
        name: str,
        known: str,
        crawled: str,
        ids: list[dict[str, str]],
        paths: list[str | None],
        search: str,
        url: str | None = None,
        new: str | None = None,
    ) -> Component:
        if not clicks:
            raise PreventUpdate
        visit = await desk.visit(search)
        mapping = whole(drafts.get(name), mapping_of(ids, paths))
        source = known or (url or "").strip()
        place = (source if crawled == "done" else "", known or (new or "").strip())
        return await checked(visit, place, mapping)


async def checked(visit: Visit, place: tuple[str, str], mapping: Mapping[str, str]) -> Component:
    """Ask the service what saving would do; `place` is whose crawl, and the id it is saved as."""
    try:
        if not place[0]:
            raise InputError(
                "the server was not crawled yet", "crawl it first: the mapping is checked with it"
            )
        return reviewed(visit, await visit.service.endpoint_review(visit.park.id, *place, mapping))
    except TwinError as error:
        return failed(visit.words, error)
