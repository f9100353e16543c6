"""Verbs that read: ``tags``, ``read``, ``history``, ``at``."""

import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from cluster.client import Client
from cluster.ports import InputError
from dashboard.verbs.output import DEFAULT_URL, Json, ParkId, Url, park_of, show_rows
from dashboard.verbs.verb import verb

_TAG_COLUMNS: Final = ("path", "value", "text", "unit", "quality", "at", "endpoint")
_STATE_COLUMNS: Final = ("path", "at", "value", "exact", "text", "status", "quality")
_BINARY: Final = frozenset({"arrow", "xlsx", "parquet"})


def tags(
    pattern: Annotated[str, typer.Argument(help="Part of a path")] = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List tags whose path contains a text, with their latest values."""
    with Client(url) as client:
        rows = client.rows(f"/parks/{park_of(client, park)}/tags", pattern=pattern)
    show_rows(rows, _TAG_COLUMNS, json=json)


def read(
    paths: Annotated[list[str], typer.Argument(help="Tag paths")],
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Print the latest value of tags."""
    with Client(url) as client:
        name = park_of(client, park)
        rows = [_one(client, name, path) for path in paths]
    show_rows(rows, _TAG_COLUMNS, json=json)


def history(
    paths: Annotated[list[str], typer.Argument(help="Tag paths, or figure:<id>")],
    since: Annotated[str, typer.Option(help="ISO 8601 with zone, or -3h")] = "-1h",
    until: Annotated[str, typer.Option(help="ISO 8601 with zone, or now")] = "now",
    every: Annotated[
        str, typer.Option(help="1s, 1min, 15min, 1h, auto or raw; auto with --points")
    ] = "",
    points: Annotated[int, typer.Option(help="Downsample each tag to about so many rows")] = 0,
    known_at: Annotated[str, typer.Option(help="As it was known then")] = "",
    form: Annotated[
        str, typer.Option("--format", help="table, json, csv, arrow, xlsx or parquet")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="File to write")] = None,
    lang: Annotated[str, typer.Option(help="vi: CSV as Vietnamese spreadsheets read it")] = "en",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Print the history of tags."""
    query = {
        "tags": ",".join(paths),
        "since": since,
        "until": until,
        "every": every or None,
        "points": points or None,
        "known_at": known_at or None,
        "lang": lang,
    }
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/history"
        if form == "table" and out is not None:
            raise InputError("a table is for a terminal", "name a --format for the file", "format")
        if form == "table" or (form == "json" and out is None):
            rows = client.rows(route, **query)
            show_rows(rows, list(rows[0]) if rows else [], json=json or form == "json")
            return
        _write(client.raw("GET", route, query=query | {"format": form}), out, form)


def at(
    when: Annotated[str, typer.Argument(help="ISO 8601 with zone, now, or now-3h")],
    pattern: Annotated[str, typer.Option(help="Part of a path")] = "",
    known_at: Annotated[str, typer.Option(help="As it was known then")] = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Print every tag as it was at a time."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/state"
        rows = client.rows(route, at=when, known_at=known_at or None)
    show_rows([r for r in rows if pattern in str(r["path"])], _STATE_COLUMNS, json=json)


def _one(client: Client, park: str, path: str) -> dict[str, object]:
    found = client.rows(f"/parks/{park}/tags", pattern=path)
    exact = [row for row in found if row["path"] == path]
    if exact:
        return exact[0]
    close = found or client.rows(f"/parks/{park}/tags")
    paths = [str(row["path"]) for row in close]
    near = ", ".join(paths[:3] if found else get_close_matches(path, paths))
    raise InputError(
        f"no tag {path!r}", f"did you mean {near}?" if near else "see `parktwin tags`", "path"
    )


def _write(body: bytes, out: Path | None, form: str) -> None:
    if out is not None:
        out.write_bytes(body)
        typer.echo(f"{out}: {len(body):,} bytes")
        return
    if form in _BINARY and sys.stdout.isatty():
        raise InputError(f"{form} is not for a terminal", "name a file with --out", "out")
    sys.stdout.buffer.write(body)


VERBS: Final = {
    "tags": verb(tags),
    "read": verb(read),
    "history": verb(history),
    "at": verb(at),
}
