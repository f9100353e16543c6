"""The verb ``gateway``: reads endpoints inside the plant, outside the service."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cluster.edge import EdgeSettings, run_edge
from dashboard.verbs.running import For, Level, level_of
from dashboard.verbs.verb import verb


def gateway(
    park: Annotated[Path, typer.Argument(help="Park file whose endpoints are read")],
    to: Annotated[str, typer.Option(help="Address of the service")] = "http://127.0.0.1:8050",
    source: Annotated[str, typer.Option(help="Name of this gateway")] = "edge",
    data: Annotated[
        Path | None, typer.Option(help="Folder of its buffer; data/gateways/SOURCE without")
    ] = None,
    for_s: For = None,
    log_level: Level = "INFO",
) -> None:
    """Read endpoints here and deliver them to a service elsewhere; listens at no port."""
    folder = Path("data", "gateways", source) if data is None else data
    settings = EdgeSettings(url=to, source=source, folder=folder.resolve(), for_s=for_s)
    run_edge(park, settings, level_of(log_level), typer.echo)


VERBS: Final = {"gateway": verb(gateway)}
