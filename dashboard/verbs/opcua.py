"""The twin as an OPC UA server: ``serve-opcua``, and whom it trusts: ``opcua …``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cluster import twin_process
from dashboard.verbs.output import DEFAULT_URL, Json, Url, show_rows
from dashboard.verbs.running import Data, For, Level, Password, Security, Style, User, level_of
from dashboard.verbs.verb import group, verb

_CLIENTS: Final = ("fingerprint", "trusted", "application_uri", "subject", "not_after")
Fingerprint = Annotated[str, typer.Argument(help="SHA-256 fingerprint, as the client shows it")]


def serve_opcua(
    park: Annotated[Path, typer.Argument(help="Park file, as the service has it")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the server")] = 4840,
    url: Url = DEFAULT_URL,
    data: Data = Path("data"),
    host: Annotated[str, typer.Option(help="Address to listen at")] = "127.0.0.1",
    security: Security = "",
    user: User = "",
    password: Password = "",
    for_s: For = None,
    log_level: Level = "INFO",
    log_style: Style = "plain",
) -> None:
    """Serve a running twin over OPC UA: figures, forecasts and alarms, read only."""
    offer = twin_process.Offer(
        url=url,
        data=data,
        host=host,
        port=port,
        security=security,
        user=user,
        password=password,
        for_s=for_s,
        log_level=level_of(log_level),
        log_style=log_style,
    )
    twin_process.serve_twin(park, offer, typer.echo)


def clients(data: Data = Path("data"), json: Json = False) -> None:
    """List the clients that were seen, the trusted ones first."""
    found = twin_process.clients(data)
    rows = [{name: str(getattr(seen, name)) for name in _CLIENTS} for seen in found]
    show_rows(rows, _CLIENTS, json=json)


def trust(fingerprint: Fingerprint, data: Data = Path("data")) -> None:
    """Trust a client that was seen."""
    twin_process.trust_client(data, fingerprint)
    typer.echo("it may connect now")


def distrust(fingerprint: Fingerprint, data: Data = Path("data")) -> None:
    """Take trust back; what is connected is cut off within seconds."""
    twin_process.distrust_client(data, fingerprint)
    typer.echo("it is trusted no more")


def certificate(data: Data = Path("data")) -> None:
    """Name the file of the server's own certificate (DER), for clients to trust."""
    typer.echo(str(twin_process.own_certificate(data)))


VERBS: Final = {
    "serve-opcua": verb(serve_opcua),
    "opcua": group(
        "Clients of the twin's OPC UA server, and its certificate",
        {"clients": clients, "trust": trust, "distrust": distrust, "certificate": certificate},
    ),
}
