"""The verbs of gateways in plants: ``gateway``, and ``gateway-token`` at the service."""

import getpass
import os
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster.client import Client
from cluster.edge import EdgeSettings, run_edge
from cluster.edge_link import LinkSettings
from cluster.ports import Conflict
from dashboard.verbs.output import DEFAULT_URL, Json, Url, park_of, show_json, show_rows
from dashboard.verbs.running import For, Level, level_of
from dashboard.verbs.verb import group, verb

_TOKENS: Final = ("id", "gateway", "parks", "created", "expires", "revoked", "heard")


def gateway(
    to: Annotated[str, typer.Option(help="Address of the service: https://host:port")],
    token: Annotated[
        Path, typer.Option(help="File of its token (chmod 600), from `gateway-token create`")
    ],
    ca: Annotated[
        Path | None, typer.Option(help="PEM file of the authority of the service's certificate")
    ] = None,
    pin: Annotated[
        str, typer.Option(help="SHA-256 of the service's certificate, in place of an authority")
    ] = "",
    allow_insecure: Annotated[
        bool, typer.Option("--allow-insecure", help="Take http to another machine")
    ] = False,
    data: Annotated[Path, typer.Option(help="Folder of its buffer, certificates and log")] = Path(
        "data", "gateway"
    ),
    for_s: For = None,
    log_level: Level = "INFO",
) -> None:
    """Read the endpoints a service names, here in the plant; listens at no port."""
    link = LinkSettings(url=to, ca=ca, pin=pin, allow_insecure=allow_insecure)
    settings = EdgeSettings(link=link, token=token, folder=data.resolve(), for_s=for_s)
    run_edge(settings, level_of(log_level), typer.echo)


def create(
    name: Annotated[str, typer.Argument(help="Name of the gateway, as endpoints say `gateway:`")],
    park: Annotated[list[str], typer.Option(help="Park it may deliver to; may be repeated")] = [],  # noqa: B006 - typer copies it
    days: Annotated[float, typer.Option(min=0.01, max=3660, help="How long it counts")] = 365.0,
    out: Annotated[
        Path | None, typer.Option(help="File to write it to (0600), instead of printing it")
    ] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Make the token of a gateway; it is shown this once."""
    if out is not None and out.exists():
        raise Conflict(f"{out} is there", "name another file, or remove it", "out")
    with Client(url) as client:
        parks = list(park) or [park_of(client, "")]
        asked = {"gateway": name, "parks": parks, "days": days}
        made = client.send("POST", "/gateway-tokens", asked, by=getpass.getuser())
    issued = cast("dict[str, object]", made)
    if out is not None:
        fd = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(f"{issued['token']}\n")
        issued = issued | {"token": f"(in {out})"}
    if json:
        show_json(issued)
    else:
        typer.echo(f"{issued['token']}")
        typer.echo(f"gateway {name}, until {issued['expires']}; revoke it by {issued['id']}")


def list_(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List the tokens of gateways, also those that are over."""
    with Client(url) as client:
        rows = client.rows("/gateway-tokens")
    show_rows(rows, _TOKENS, json=json)


def revoke(
    id: Annotated[str, typer.Argument(help="Id of the token, from `gateway-token list`")],
    url: Url = DEFAULT_URL,
) -> None:
    """End a token; its gateway is refused from its next request on."""
    with Client(url) as client:
        client.send("DELETE", f"/gateway-tokens/{id}", by=getpass.getuser())
    typer.echo(f"token {id} is revoked")


VERBS: Final = {
    "gateway": verb(gateway),
    "gateway-token": group(
        "Tokens of gateways in plants: create, list, revoke.",
        {"create": create, "list": list_, "revoke": revoke},
    ),
}
