"""Verbs of OPC UA endpoints: ``endpoint add, list, browse, test, trust, map, remove``."""

from typing import Annotated, Final, cast

import typer

from cluster.client import Client
from cluster.ports import InputError, Unavailable
from dashboard.verbs.output import (
    DEFAULT_URL,
    Json,
    ParkId,
    Url,
    park_of,
    show_json,
    show_rows,
)
from dashboard.verbs.verb import group

_STATUS: Final = ("id", "state", "cause", "security", "requested", "delivering", "values_per_s")
_STATUS_MORE: Final = ("lag_ms", "clock_offset_s", "gaps", "lost", "url")
_STEPS: Final = ("step", "ok", "ms", "detail", "remedy")
_NODES: Final = ("node", "name", "node_class", "value", "unit", "proposal", "confidence")

Id = Annotated[str, typer.Argument(help="Id of the endpoint")]
Address = Annotated[str, typer.Argument(help="opc.tcp://host:port")]
Policy = Annotated[str, typer.Option(help="None, Basic256Sha256, Aes128Sha256RsaOaep, …")]
Mode = Annotated[str, typer.Option(help="None, Sign or SignAndEncrypt")]
Insecure = Annotated[bool, typer.Option("--allow-insecure", help="Needed for policy None")]
User = Annotated[str, typer.Option(help="User name; anonymous when left out")]
Password = Annotated[str, typer.Option(help="env:NAME or file:PATH, never the password itself")]
Pairs = Annotated[list[str], typer.Option("--map", help="NODE=PATH; may be repeated")]


def list_(park: ParkId = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List endpoints with their status."""
    with Client(url) as client:
        rows = client.rows(f"/parks/{park_of(client, park)}/endpoints")
    show_rows(rows, (*_STATUS, *_STATUS_MORE), json=json)


def examine(
    address: Annotated[str, typer.Argument(help="opc.tcp://host:port, or the id of an endpoint")],
    policy: Policy = "None",
    mode: Mode = "None",
    allow_insecure: Insecure = False,
    user: User = "",
    password: Password = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Try an endpoint step by step without saving it."""
    with Client(url) as client:
        if not address.startswith("opc.tcp://"):
            known = client.rows(f"/parks/{park_of(client, park)}/endpoints")
            found = next((row for row in known if row["id"] == address), None)
            if found is None:
                raise InputError(f"no endpoint {address!r}", "see `parktwin endpoint list`")
            address = str(found["url"])
            security = str(found["security"])
            policy, _, mode = security.partition("/")
            mode, allow_insecure = mode or "None", security == "None"
        body = _body("test", address, policy, mode, allow_insecure, user, password)
        tried = cast("dict[str, object]", client.send("POST", "/endpoints/test", body))
    steps = cast("list[dict[str, object]]", tried["steps"])
    if json:
        show_json(tried)
    else:
        show_rows(steps, _STEPS, json=False)
        typer.echo(f"product: {tried['product']}  fingerprint: {tried['fingerprint'] or '-'}")
    if not tried["ok"]:
        failed = next(step for step in steps if not step["ok"])
        raise Unavailable(f"{failed['step']}: {failed['detail']}", str(failed["remedy"]))


def add(
    id: Id,
    address: Address,
    policy: Policy = "None",
    mode: Mode = "None",
    allow_insecure: Insecure = False,
    user: User = "",
    password: Password = "",
    map_: Pairs = [],  # noqa: B006 - typer copies it
    force: Annotated[bool, typer.Option(help="Save it although it does not answer")] = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Test an endpoint, then save and connect it."""
    body = _body(id, address, policy, mode, allow_insecure, user, password)
    with Client(url) as client:
        name = park_of(client, park)
        whole = body | {"mapping": _pairs(map_)}
        client.send("POST", f"/parks/{name}/endpoints", whole, force=str(force).lower())
    typer.echo(f"{id} is saved and connects")


def browse(
    endpoint: Annotated[str, typer.Argument(help="Id of an endpoint, or opc.tcp:// address")],
    node: Annotated[str, typer.Argument(help="nsu=<URI>;…; the Objects folder if empty")] = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List the children of a node, with proposals for the mapping."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/browse"
        rows = client.rows(route, endpoint=endpoint, node=node)
    show_rows(rows, _NODES, json=json)


def map_(
    endpoint: Id,
    pairs: Annotated[list[str], typer.Argument(help="NODE=PATH; an empty path unbinds")],
    park: ParkId = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Bind nodes to tag paths."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}/mapping"
        client.send("PUT", route, _pairs(pairs))
    typer.echo(f"{len(pairs)} node(s) bound")


def trust(
    endpoint: Id,
    fingerprint: Annotated[str, typer.Argument(help="SHA-256 fingerprint of the certificate")],
    park: ParkId = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Trust the server certificate with this fingerprint."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}/trust"
        client.send("PUT", route, {"fingerprint": fingerprint})
    typer.echo(f"{endpoint}: certificate trusted")


def remove(endpoint: Id, park: ParkId = "", url: Url = DEFAULT_URL) -> None:
    """Disconnect and forget an endpoint; its history stays."""
    with Client(url) as client:
        client.send("DELETE", f"/parks/{park_of(client, park)}/endpoints/{endpoint}")
    typer.echo(f"{endpoint} is removed; its history stays")


def _body(
    name: str,
    address: str,
    policy: str,
    mode: str,
    allow_insecure: bool,
    user: str,
    password: str,
) -> dict[str, object]:
    return {
        "id": name,
        "url": address,
        "policy": policy,
        "mode": mode,
        "allow_insecure": allow_insecure,
        "user": user,
        "password": password,
    }


def _pairs(texts: list[str]) -> dict[str, str]:
    """``nsu=…;s=X=path``: the path is what follows the last equals sign."""
    found = {}
    for text in texts:
        node, equals, path = text.rpartition("=")
        if not equals or not node.startswith("nsu="):
            raise InputError(f"{text!r} is no NODE=PATH", "write nsu=<URI>;s=<name>=<path>", "map")
        found[node] = path
    return found


VERBS: Final = {
    "endpoint": group(
        "OPC UA endpoints: add, list, browse, test, trust, map, remove.",
        {
            "add": add,
            "list": list_,
            "browse": browse,
            "test": examine,
            "trust": trust,
            "map": map_,
            "remove": remove,
        },
    )
}
