"""The service's own verb ``serve``, started by ``demo`` and ``up``, not by people."""

import importlib
from pathlib import Path
from typing import Annotated, Final

import typer

from cluster.serving import begin
from dashboard.verbs.verb import verb


def serve(settings: Annotated[Path, typer.Argument(help="Settings of the supervisor")]) -> None:
    """Serve until told to stop."""
    chosen, engine = begin(settings)
    # The service and its pages are loaded while Ray starts.
    service = importlib.import_module("cluster.service").Service(chosen, engine)
    importlib.import_module("dashboard.web").serve(service)


VERBS: Final = {"serve": verb(serve)}
