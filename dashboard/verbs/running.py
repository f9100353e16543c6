"""Verbs that run parks: ``demo`` and ``up``."""

from pathlib import Path
from typing import Annotated, Final

import typer

from cluster import launch
from cluster.ports import InputError
from dashboard.verbs.verb import verb

Data = Annotated[Path, typer.Option(help="Folder of everything that is kept")]
Host = Annotated[str, typer.Option(help="Address to listen at; loopback only for now")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port of the web page")]
For = Annotated[float | None, typer.Option("--for", min=0, help="Stop after so many seconds")]
OpcuaPort = Annotated[
    int,
    typer.Option(min=0, max=65535, help="Also serve the twin over OPC UA at this port; 0: do not"),
]
OpcuaHost = Annotated[str, typer.Option(help="Address of the OPC UA server")]
Security = Annotated[
    str,
    typer.Option(
        help="Aes256Sha256RsaPss or Basic256Sha256, left out both; "
        "None only on loopback, and then for everybody"
    ),
]
User = Annotated[str, typer.Option(help="Name SCADA logs in with; left out: certificates only")]
Password = Annotated[
    str, typer.Option(help="env:PARKTWIN_NAME or file:NAME, never the password itself")
]
IngestPort = Annotated[
    int,
    typer.Option(min=0, max=65535, help="Port gateways in plants deliver to; 0: none"),
]
IngestHost = Annotated[str, typer.Option(help="Address of that port; others need TLS")]
TlsCert = Annotated[str, typer.Option(help="PEM file of its certificate, with its chain")]
TlsKey = Annotated[str, typer.Option(help="PEM file of its key (chmod 600)")]
Level = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR")]
Style = Annotated[str, typer.Option(help="Log lines: plain or json")]


def demo(
    port: Port = 8050,
    data: Data = Path("data"),
    park: Annotated[Path | None, typer.Option(help="Park file; the demo park if left out")] = None,
    for_s: For = None,
    speed: Annotated[
        float, typer.Option(min=1, max=60, help="Park seconds per second of a fresh plant")
    ] = 1.0,
    start_at: Annotated[
        str,
        typer.Option(help="Park time a fresh plant starts at, e.g. 2026-11-23T17:45+07:00"),
    ] = "",
    host: Host = "127.0.0.1",
    opcua_port: OpcuaPort = 0,
    opcua_host: OpcuaHost = "127.0.0.1",
    opcua_security: Security = "",
    opcua_user: User = "",
    opcua_password: Password = "",
    log_level: Level = "INFO",
    log_style: Style = "plain",
) -> None:
    """Run a park with its virtual plant: real OPC UA servers, twin, pages, what-if."""
    launch.demo(
        launch.Wish(
            data=data,
            host=host,
            port=port,
            parks=(park or launch.demo_park(),),
            for_s=for_s,
            log_level=level_of(log_level),
            log_style=log_style,
            opcua=twin_server(opcua_port, opcua_host, opcua_security, opcua_user, opcua_password),
        ),
        speed,
        typer.echo,
        start_at,
    )


def up(
    parks: Annotated[list[Path], typer.Argument(help="Park files")],
    port: Port = 8050,
    data: Data = Path("data"),
    for_s: For = None,
    host: Host = "127.0.0.1",
    opcua_port: OpcuaPort = 0,
    opcua_host: OpcuaHost = "127.0.0.1",
    opcua_security: Security = "",
    opcua_user: User = "",
    opcua_password: Password = "",
    ingest_port: IngestPort = 0,
    ingest_host: IngestHost = "127.0.0.1",
    tls_cert: TlsCert = "",
    tls_key: TlsKey = "",
    log_level: Level = "INFO",
    log_style: Style = "plain",
) -> None:
    """Run real parks: no virtual plant, wall time."""
    launch.up(
        launch.Wish(
            data=data,
            host=host,
            port=port,
            parks=tuple(parks),
            for_s=for_s,
            log_level=level_of(log_level),
            log_style=log_style,
            opcua=twin_server(opcua_port, opcua_host, opcua_security, opcua_user, opcua_password),
            ingest_host=ingest_host,
            ingest_port=ingest_port,
            tls_cert=tls_cert,
            tls_key=tls_key,
        ),
        typer.echo,
    )


def twin_server(
    port: int, host: str, security: str, user: str, password: str
) -> launch.OpcuaWish | None:
    """What was asked of the twin's OPC UA server; None for none."""
    if not port:
        return None
    return launch.OpcuaWish(port=port, host=host, security=security, user=user, password=password)


def level_of(name: str) -> str:
    """A log level.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    if name.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise InputError(f"{name!r} is no level", "DEBUG, INFO, WARNING or ERROR", "log-level")
    return name.upper()


VERBS: Final = {"demo": verb(demo), "up": verb(up)}
