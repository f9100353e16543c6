"""Choices that live in the address: spans, views, and downloads."""

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from dash.development.base_component import Component

from dashboard.components import core, html
from dashboard.components.parts import icon
from dashboard.page import Visit
from dashboard.spans import NAMES, Span


def choices(visit: Visit, name: str, options: Sequence[tuple[str, str]], current: str) -> Component:
    """Return links that set one name of the query and keep the others."""
    kept = {k: v for k, v in visit.query.items() if k not in (name, "park")}
    return html.Div(
        [
            core.Link(
                text,
                href=visit.href(visit.path, **(kept | {name: value})),
                className="current" if value == current else "",
            )
            for value, text in options
        ],
        className="choices",
    )


def span_picker(visit: Visit, span: Span) -> Component:
    """Return the choice of spans."""
    return choices(
        visit, "span", [(name, visit.words.code("span", name)) for name in NAMES], span.name
    )


def exports(visit: Visit, tags: Sequence[str], span: Span) -> Component:
    """Return links that download what is shown, straight from the history route."""
    links = [
        html.A(
            [icon("download"), file.upper()],
            href=history_address(visit.park.id, tags, span, file),
            className="button small",
            download="",
            **{"aria-label": visit.words("export.as", file=file.upper())},
        )
        for file in ("csv", "xlsx", "parquet")
    ]
    return html.Div(links, className="page-tools")


def history_address(park: str, tags: Sequence[str], span: Span, file: str) -> str:
    """Return the address of a download."""
    since, until = (
        datetime.fromtimestamp(us / 1e6, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for us in (span.since_us, span.until_us)
    )
    query = {
        "tags": ",".join(tags),
        "since": since,
        "until": until,
        "every": f"{span.every_us // 1_000_000}s",
        "format": file,
    }
    return f"/api/v1/parks/{park}/history?{urlencode(query)}"
