"""The verb ``bench``."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from cluster.bench.catalogue import BENCHES, run_all
from cluster.bench.report import Figure, Report
from cluster.bench.stage import DISK
from dashboard.verbs.output import Json, show_json, show_rows
from dashboard.verbs.verb import verb

_COLUMNS: Final = ("figure", "value", "unit", "target", "holds", "peer", "peer value", "n")


def bench(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help=", ".join(BENCHES))
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small and rough")] = False,
    data: Annotated[Path, typer.Option(help="Folder on the disk to measure")] = DISK,
    json: Json = False,
) -> None:
    """Measure this installation on this machine, beside peers in the same run."""
    # servers are killed on purpose here; what clients say about it is no news
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    done: list[Mapping[str, object]] = []
    for report in run_all(names or (), data, quick=quick, tell=_tell):
        if json:
            done.append(report.as_dict())
        else:
            _show(report)
    if json:
        show_json(done)


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _show(report: Report) -> None:
    typer.echo(f"\n{report.bench} on {report.machine}")
    show_rows([_row(figure) for figure in report.figures], _COLUMNS, json=False)


def _row(figure: Figure) -> dict[str, object]:
    return {
        "figure": figure.name,
        "value": _short(figure.value),
        "unit": figure.unit,
        "target": figure.target,
        "holds": figure.holds,
        "peer": figure.peer,
        "peer value": None if figure.peer_value is None else _short(figure.peer_value),
        "n": figure.n,
    }


def _short(value: float) -> float:
    """Four digits: no bench is more exact."""
    return float(f"{value:.4g}")


VERBS: Final = {"bench": verb(bench)}
