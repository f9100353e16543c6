"""Verbs of what-if runs: ``whatif run, submit, list, watch, show, compare, cancel``."""

import getpass
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster import offline
from cluster.client import Client
from cluster.ports import Conflict, InputError, InvalidInput
from cluster.wire import plain
from dashboard.verbs.output import (
    DEFAULT_URL,
    Json,
    ParkId,
    Url,
    park_of,
    show_fields,
    show_json,
    show_rows,
)
from dashboard.verbs.verb import group

_RUNS: Final = ("id", "name", "state", "progress", "priority", "created", "branches", "error")
_KPIS: Final = ("branch", "kpi", "unit", "mean", "low", "high", "q05", "q95", "n")
_PAIRS: Final = ("branch", "kpi", "unit", "difference", "low", "high", "p_better", "verdict")
_LOOK_S: Final = 0.5
_MAX_BYTES: Final = 1_000_000

File = Annotated[Path, typer.Argument(help="File of kind WhatIf")]
RunId = Annotated[str, typer.Argument(help="Id of the run")]


def run(
    file: File,
    park_file: Annotated[Path, typer.Option("--park-file", help="Park file")],
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes")] = 1,
    json: Json = False,
) -> None:
    """Run a what-if here, without a service, from the park file alone."""
    outcome = offline.run_whatif(_text(file), park_file, workers)
    _show_outcome(cast("dict[str, object]", plain(outcome)), json=json)


def submit(
    file: File,
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    by: Annotated[str, typer.Option(help="Who submits")] = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Queue a what-if at the service."""
    query: dict[str, object] = {"by": by or getpass.getuser(), "priority": priority}
    with Client(url) as client:
        try:
            queued = client.submit(_text(file), query)
        except InvalidInput as error:
            named = tuple(replace(p, file=p.file or str(file)) for p in error.problems)
            raise InvalidInput(named) from error
    show_fields(queued, json=json)


def list_(park: ParkId = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List runs, newest first."""
    with Client(url) as client:
        rows = client.rows(f"/parks/{park_of(client, park)}/whatif")
    show_rows(rows, _RUNS, json=json)


def watch(run_id: RunId, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Follow a run until it has ended."""
    last: dict[str, object] = {}
    with Client(url) as client:
        for now in client.watch(run_id, lambda: time.sleep(_LOOK_S)):
            if not json and (now["state"], now["progress"]) != (
                last.get("state"),
                last.get("progress"),
            ):
                typer.echo(f"{now['state']} {cast('float', now['progress']):.0%}")
            last = now
    if json:
        show_json(last)
    if last["state"] != "done":
        raise Conflict(
            f"run {run_id} is {last['state']}: {last['error']}",
            f"`parktwin whatif show {run_id}` tells more; mend it and submit it again",
        )


def show(run_id: RunId, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show a run, and its outcome when it is done."""
    with Client(url) as client:
        found = cast("dict[str, object]", client.get(f"/whatif/{run_id}"))
        if found["state"] != "done":
            show_fields(found, json=json)
            return
        outcome = cast("dict[str, object]", client.get(f"/whatif/{run_id}/outcome"))
    if json:
        show_json({"run": found, "outcome": outcome})
        return
    _show_outcome(outcome, json=False)


def compare(run_id: RunId, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show the paired differences of a run with their verdicts."""
    with Client(url) as client:
        found = cast("dict[str, object]", client.get(f"/whatif/{run_id}/compare"))
    show_rows(cast("list[dict[str, object]]", found["pairs"]), _PAIRS, json=json)


def cancel(run_id: RunId, url: Url = DEFAULT_URL) -> None:
    """Cancel a queued or running run."""
    with Client(url) as client:
        client.send("POST", f"/whatif/{run_id}/cancel", by=getpass.getuser())
    typer.echo(f"{run_id} is being cancelled")


def _show_outcome(outcome: dict[str, object], *, json: bool) -> None:
    if json:
        show_json(outcome)
        return
    show_rows(cast("list[dict[str, object]]", outcome["kpis"]), _KPIS, json=False)
    typer.echo("")
    show_rows(cast("list[dict[str, object]]", outcome["pairs"]), _PAIRS, json=False)
    typer.echo("")
    show_fields(cast("dict[str, object]", outcome["provenance"]), json=False)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise InputError(f"{file} is larger than 1 MB", "split it", "file")
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {error.strerror}", "check its path", "file"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8", "save it as UTF-8", "file") from error


VERBS: Final = {
    "whatif": group(
        "What-if: run, submit, list, watch, show, compare, cancel.",
        {
            "run": run,
            "submit": submit,
            "list": list_,
            "watch": watch,
            "show": show,
            "compare": compare,
            "cancel": cancel,
        },
    )
}
