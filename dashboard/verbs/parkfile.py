"""Verbs of park files: ``check``, ``schema``, ``apply``."""

import getpass
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster import parkfiles
from cluster.client import Client
from cluster.wire import plain
from dashboard.verbs.output import DEFAULT_URL, Json, Url, show_fields, show_json, show_rows
from dashboard.verbs.verb import verb

File = Annotated[Path, typer.Argument(help="Park file")]


def check(file: File, json: Json = False) -> None:
    """Read a park file and tell every fault with its line and a suggestion."""
    found = cast("dict[str, object]", plain(parkfiles.check(file)))
    show_fields(found, json=json)


def schema(
    kind: Annotated[str, typer.Argument(help="park or whatif")] = "park",
) -> None:
    """Print the JSON Schema of park files or what-if files."""
    show_json(parkfiles.schema(kind))


def apply(
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change")] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Bring a running park to an edited file; tells what that does to its tags and history."""
    park = parkfiles.check(file).park
    with Client(url) as client:
        query: dict[str, object] = {"dry_run": str(dry_run).lower(), "by": getpass.getuser()}
        changes = client.put_text(f"/parks/{park}/file", file.read_text("utf-8"), query)
    show_rows(changes, ("action", "path", "tag", "reason"), json=json)
    if not json:
        done = "would change" if dry_run else "changed"
        typer.echo(f"{len(changes)} tag(s) {done}; history is never touched")


VERBS: Final = {"check": verb(check), "schema": verb(schema), "apply": verb(apply)}
