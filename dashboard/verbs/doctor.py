"""The verb ``doctor``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cluster import doctor as examination
from dashboard.verbs.output import Json, show_json, show_rows
from dashboard.verbs.verb import verb


def doctor(
    data: Annotated[Path, typer.Option(help="Data folder to look at")] = Path("data"),
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8050,
    full: Annotated[bool, typer.Option("--full", help="Start Ray too")] = False,
    json: Json = False,
) -> None:
    """Tell what is wrong with this installation or this machine."""
    findings = examination.examine(data, port, full=full)
    state = examination.worst(findings)
    if json:
        show_json({"state": state, "findings": findings})
    else:
        rows = [
            {"check": f.check, "state": f.state, "detail": f.detail, "remedy": f.remedy}
            for f in findings
        ]
        show_rows(rows, ("check", "state", "detail", "remedy"), json=False)
    if state == examination.BAD:
        raise typer.Exit(2)


VERBS: Final = {"doctor": verb(doctor)}
