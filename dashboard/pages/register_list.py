"""Tag lists: uploaded or pasted, compared with the mapping, taken over; and downloaded."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

from dash import Dash, Input, Output, State, no_update
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import InputError, TwinError
from dashboard.components import core, html
from dashboard.components.fields import field, triggered
from dashboard.components.parts import button, card, failed, table
from dashboard.mapping_draft import Draft, Drafts
from dashboard.page import Desk, Visit
from dashboard.text import number
from dashboard.words.said import said

MOST_BYTES: Final = 700_000
"""A callback carries a file as base64 inside JSON, and its body is at most 1 MB."""
SHOWN: Final = 200


def list_card(visit: Visit, known: str) -> Component:
    """Return the step aside: a tag list in place of, or beside, the proposals."""
    words = visit.words
    paste = core.Textarea(
        id="ep-paste",
        className="input",
        value="",
        maxLength=MOST_BYTES,
        rows=4,
        spellCheck=False,
        placeholder="node,path,unit",
    )
    upload = core.Upload(
        html.Span(words("endpoints.list_file"), className="button"),
        id="ep-file",
        accept=".csv,.txt,.tsv,.xlsx",
        max_size=MOST_BYTES,
        className="upload",
        disable_click=True,  # the label around it opens the choice already
    )
    extra = download(visit, known) if known else None
    most = number(MOST_BYTES / 1000, 0, visit.viewer.language)
    return card(
        words("endpoints.list"),
        html.P(words("endpoints.list_hint", most=most), className="muted small"),
        html.Label(upload, **{"data-most": str(MOST_BYTES), "data-told": "ep-too-large"}),
        core.Store(id="ep-too-large"),
        field(words("endpoints.list_paste"), paste),
        html.Div(button(words("endpoints.list_compare"), "ep-compare"), className="form-end"),
        html.Div(id="ep-list-view", **{"aria-live": "polite"}),
        extra=extra,
    )


def download(visit: Visit, known: str) -> Component:
    """Return the links to the mapping as a file."""
    base = f"/api/v1/parks/{visit.park.id}/endpoints/{known}/mapping"
    links = [
        html.A(
            visit.words("endpoints.download", kind=kind.upper()),
            href=f"{base}.{kind}",
            className="button",
            download=f"{known}.{kind}",
        )
        for kind in ("csv", "xlsx")
    ]
    return html.Span(links, className="page-tools")


def differences(visit: Visit, found: Mapping[str, object]) -> Component:
    """Return what a list would change, what is wrong with it, and the button that takes it."""
    words, language = visit.words, visit.viewer.language
    changes = cast("Sequence[Mapping[str, object]]", found["changes"])
    problems = cast("Sequence[Mapping[str, object]]", found["problems"])
    mapping = cast("Mapping[str, str]", found["mapping"])
    same = sum(change["action"] == "same" for change in changes)
    rows = [
        [
            words.code("endpoints.list_action", str(change["action"])),
            html.Span(str(change["node"]), className="mono"),
            html.Div([str(change["path"] or change["was"]), *unit_at(change)]),
        ]
        for change in changes
        if change["action"] != "same"
    ]
    wrong = [
        [str(p["line"] or ""), said(words, str(p["message"])), said(words, str(p["suggestion"]))]
        for p in problems
    ]
    told = words(
        "endpoints.list_found",
        dialect=str(found["dialect"]),
        n=number(len(rows), 0, language),
        same=number(same, 0, language),
        bad=number(len(wrong), 0, language),
    )
    heads = [words("endpoints.change"), words("endpoints.node"), words("endpoints.tag")]
    faults = [words("endpoints.line"), words("endpoints.what"), words("endpoints.remedy")]
    return html.Div(
        [
            html.P(html.Strong(told)),
            tall(heads, rows, words("endpoints.list")) if rows else "",
            tall(faults, wrong, words("endpoints.problems")) if wrong else "",
            more(visit, max(len(rows), len(wrong))),
            html.Div(
                button(
                    words("endpoints.list_apply"),
                    {"type": "ep-list-apply", "n": 0},
                    kind="primary",
                    disabled=not mapping,
                ),
                className="form-end",
            ),
        ],
        className="change",
    )


def unit_at(change: Mapping[str, object]) -> list[str]:
    """Return the unit at the source, where the list names one."""
    return [f" [{change['unit']}]"] if change.get("unit") else []


def tall(head: Sequence[str], rows: Sequence[Sequence[object]], label: str) -> Component:
    """Return the first rows of a long table."""
    return html.Div(table(head, rows[:SHOWN], label=label, stacked=head), className="tall")


def more(visit: Visit, count: int) -> Component:
    """Return how many rows are not shown."""
    if count <= SHOWN:
        return html.Span()
    rest = number(count - SHOWN, 0, visit.viewer.language)
    return html.P(visit.words("endpoints.more_rows", n=rest), className="muted small")


def uploaded(contents: str) -> bytes:
    """Return the bytes of an uploaded file.

    Raises
    ------
    InputError
        When it is no file, or too large.
    """
    try:
        data = base64.b64decode(contents.partition(",")[2], validate=True)
    except (binascii.Error, ValueError) as fault:
        raise InputError("the upload is broken", "upload the file again", "list") from fault
    if len(data) > MOST_BYTES:
        raise too_large(len(data))
    return data


def too_large(size: int) -> InputError:
    """The error of a list that a page does not take."""
    return InputError(
        f"the list has {size // 1000} kB, a page takes {MOST_BYTES // 1000} kB",
        "keep the tags only, or use `parktwin endpoint map ID --from FILE`, which takes 16 MB",
        "list",
    )


def wire_list(app: Dash, desk: Desk, drafts: Drafts) -> None:
    """Compare what was uploaded or pasted with the mapping."""

    @app.callback(
        Output("ep-list-view", "children"),
        Output("ep-draft", "data", allow_duplicate=True),
        Output("ep-file", "contents"),
        Input("ep-file", "contents"),
        Input("ep-compare", "n_clicks"),
        Input("ep-too-large", "data"),
        State("ep-file", "filename"),
        State("ep-paste", "value"),
        State("ep-draft", "data"),
        State("ep-known", "data"),
        State("ep-crawled", "data"),
        State("url", "search"),
        State("ep-url", "value", allow_optional=True),
        prevent_initial_call=True,
    )
    async def compare(  # one argument per input
        contents: str | None,
        clicks: int,
        size: int | None,
        filename: str | None,
        pasted: str | None,
        name: str,
        known: str,
        crawled: str,
        search: str,
        url: str | None = None,
    ) -> tuple[Component, object, object]:
        visit, pressed = await desk.visit(search), triggered()
        if pressed == "ep-too-large" and size:
            return failed(visit.words, too_large(size)), no_update, no_update
        file = (contents or "", filename or "list") if pressed == "ep-file" else ("", "")
        if not file[0] and not (pressed == "ep-compare" and clicks):
            raise PreventUpdate
        source = known or ((url or "").strip() if crawled == "done" else "")
        return await compared(visit, drafts, name, source, listed(file, pasted or ""))


Listed = tuple[str, str, str]
"""A file in base64, its name, and what was pasted in its place."""


def listed(file: tuple[str, str], pasted: str) -> Listed:
    """Return what is to be read."""
    return (*file, "" if file[0] else pasted)


async def compared(
    visit: Visit, drafts: Drafts, name: str, source: str, given: Listed
) -> tuple[Component, object, object]:
    """Compare a list with the mapping; keep what it would decide in the draft."""
    contents, label, pasted = given
    try:
        if not source:
            raise InputError(
                "the server was not crawled yet", "crawl it first: a list is compared with it", ""
            )
        data = uploaded(contents) if contents else pasted.encode()
        label = label[:200] or "pasted.csv"
        found = await visit.service.endpoint_diff(visit.park.id, source, data, label)
    except TwinError as error:
        return failed(visit.words, error), no_update, None
    kept = drafts.get(name)
    draft = replace(kept or Draft(rows={}), listed=cast("Mapping[str, str]", found["mapping"]))
    if kept is None:
        return differences(visit, found), drafts.begin(draft), None
    drafts.put(name, draft)
    return differences(visit, found), no_update, None
