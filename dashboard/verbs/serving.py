"""The service's own verb ``serve``, started by ``demo`` and ``up``, not by people."""

import importlib
from pathlib import Path
from typing import Annotated, Final

import typer

from cluster.serving import service
from dashboard.verbs.verb import verb


def serve(settings: Annotated[Path, typer.Argument(help="Settings of the supervisor")]) -> None:
    """Serve until told to stop."""
    made = service(settings)
    # The pages are loaded while Ray starts.
    importlib.import_module("dashboard.web").serve(made)


VERBS: Final = {"serve": verb(serve)}
