"""Verbs of OPC UA endpoints: ``endpoint add, list, show, test, …``, and onboarding."""

import getpass
from typing import Annotated, Final, NamedTuple, cast

import typer

from cluster.client import Client
from cluster.plant_address import split_gateway
from cluster.ports import InputError, Unavailable
from cluster.strongest import BY_STRENGTH, strongest
from dashboard.verbs import control, onboarding
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
_STATUS_MORE: Final = ("lag_ms", "clock_offset_s", "gaps", "lost", "bridge_s", "gateway", "url")
_TAGS: Final = (
    *("path", "values", "values_per_s", "bad_share", "overflowed", "source_at", "refused", "node"),
)
_EVENTS: Final = (
    *("at", "what", "severity", "source", "message", "condition", "active", "acknowledged"),
)
_LISTS: Final = ("rejected", "last_gaps", "sessions")
_STEPS: Final = ("step", "ok", "ms", "detail", "remedy")
_NODES: Final = ("node", "name", "node_class", "value", "unit", "proposal", "confidence")

Id = Annotated[str, typer.Argument(help="Id of the endpoint")]
Address = Annotated[str, typer.Argument(help="opc.tcp://host:port")]
Security = Annotated[
    str,
    typer.Option(
        help="None, or Policy/Mode like Basic256Sha256/SignAndEncrypt; "
        "left out: the strongest the server offers, never None"
    ),
]
Insecure = Annotated[bool, typer.Option("--allow-insecure", help="The same as --security None")]
User = Annotated[str, typer.Option(help="User name; anonymous when left out")]
Password = Annotated[
    str,
    typer.Option(help="env:PARKTWIN_NAME, file:NAME or keyring:NAME, never the password itself"),
]
UserCertificate = Annotated[
    str, typer.Option(help="file:NAME of a user's certificate, in place of name and password")
]
UserKey = Annotated[
    str, typer.Option(help="file:NAME of its key; --password is the key's passphrase")
]
Reverse = Annotated[
    bool,
    typer.Option("--reverse", help="The server connects to the gateway; ADDRESS is what it claims"),
]
TimePolicy = Annotated[
    str, typer.Option(help="Which time counts: source, server or receive (for wrong clocks)")
]
Gateway = Annotated[
    str, typer.Option(help="Gateway in a plant that reads it; left out: the service itself")
]
Pairs = Annotated[list[str], typer.Option("--map", help="NODE=PATH; may be repeated")]


def list_(park: ParkId = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    """List endpoints with their status."""
    with Client(url) as client:
        rows = client.rows(f"/parks/{park_of(client, park)}/endpoints")
    show_rows(rows, (*_STATUS, *_STATUS_MORE), json=json)


def show(
    endpoint: Id,
    tags: Annotated[bool, typer.Option("--tags", help="How each of its tags does")] = False,
    events: Annotated[
        bool, typer.Option("--events", help="What its notifiers told, the newest first")
    ] = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show one endpoint in full, or its tags, or its events.

    bridge_s: seconds of outage the queues survive that its server granted; gateway: who reads it;
    suggested_policy: the time policy its clock asks for; last_gaps: when and why it was away;
    session: who on the service's machine has a session to its server.
    """
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}"
        if tags:
            show_rows(client.rows(f"{route}/tags"), _TAGS, json=json)
            return
        if events:
            show_rows(client.rows(f"{route}/events"), _EVENTS, json=json)
            return
        found = cast("dict[str, object]", client.get(route))
    if json:
        show_json(found)
        return
    lines: list[dict[str, object]] = [
        {"what": name, "value": value} for name, value in found.items() if name not in _LISTS
    ]
    refused = cast("dict[str, object]", found.get("rejected") or {})
    lines += [{"what": "rejected", "value": f"{node}: {why}"} for node, why in refused.items()]
    gaps = cast("list[dict[str, str]]", found.get("last_gaps") or [])
    lines += [
        {"what": "gap", "value": f"{gap['from']} to {gap['to']}: {gap['cause']}"} for gap in gaps
    ]
    held = cast("list[dict[str, object]]", found.get("sessions") or [])
    lines += [
        {
            "what": "session",
            "value": f"{one['purpose']} of process {one['pid']} since {one['since']}",
        }
        for one in held
    ]
    show_rows(lines, ("what", "value"), json=False)


def examine(
    address: Annotated[str, typer.Argument(help="opc.tcp://host:port, or the id of an endpoint")],
    security: Security = "",
    allow_insecure: Insecure = False,
    user: User = "",
    password: Password = "",
    user_certificate: UserCertificate = "",
    user_key: UserKey = "",
    reverse: Reverse = False,
    gateway: Gateway = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Try an endpoint step by step without saving it."""
    with Client(url) as client:
        if "://" in address:
            wanted = Wanted(
                "test", address, user, password, user_certificate, user_key, gateway, reverse
            )
            tried = _try(client, wanted, _chosen(security, allow_insecure))
        else:
            route = f"/parks/{park_of(client, park)}/endpoints/{address}/test"
            tried = cast("dict[str, object]", client.send("POST", route))
    steps = _steps(tried)
    if json:
        show_json(tried)
    else:
        show_rows(steps, _STEPS, json=False)
        typer.echo(f"product: {tried['product']}  fingerprint: {tried['fingerprint'] or '-'}")
    _passed(tried)


def add(
    id: Id,
    address: Address,
    security: Security = "",
    allow_insecure: Insecure = False,
    user: User = "",
    password: Password = "",
    user_certificate: UserCertificate = "",
    user_key: UserKey = "",
    reverse: Reverse = False,
    map_: Pairs = [],  # noqa: B006 - typer copies it
    time_policy: TimePolicy = "source",
    sampling_ms: Annotated[float, typer.Option(help="Sampling interval to ask for [ms]")] = 1000.0,
    publishing_ms: Annotated[
        float, typer.Option(help="Publishing interval to ask for [ms]")
    ] = 1000.0,
    bridge_s: Annotated[float, typer.Option(help="Outage its queues should hold [s]")] = 10.0,
    deadband: Annotated[
        str, typer.Option(help="Least change that is sent: 0.5, or `2 %` of the range")
    ] = "",
    spare: Annotated[
        list[str], typer.Option(help="Address of a redundant server; may be repeated")
    ] = [],  # noqa: B006 - typer copies it
    redundancy: Annotated[str, typer.Option(help="cold, warm or hot, with --spare")] = "cold",
    heartbeat: Annotated[
        str, typer.Option(help="Node of the device behind the server that changes while it lives")
    ] = "",
    heartbeat_s: Annotated[float, typer.Option(help="It changes at least this often [s]")] = 60.0,
    gateway: Gateway = "",
    force: Annotated[bool, typer.Option(help="Save it although it does not answer")] = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Test an endpoint, then save and connect it."""
    wanted = Wanted(id, address, user, password, user_certificate, user_key, gateway, reverse)
    chosen = _chosen(security, allow_insecure)
    if force and not chosen:
        raise InputError(
            "nobody asks the server what it offers when --force is given",
            "name it: --security Policy/Mode, or None",
            "security",
        )
    mapping = _pairs(map_)
    with Client(url) as client:
        name = park_of(client, park)
        if not chosen:
            tried = _try(client, wanted, "")
            _passed(tried)
            chosen = str(tried["security"])
        more = {
            "mapping": mapping,
            "time_policy": time_policy,
            "sampling_ms": sampling_ms,
            "publishing_ms": publishing_ms,
            "bridge_s": bridge_s,
            "deadband": deadband,
            "spares": spare,
            "redundancy": redundancy,
            "heartbeat": heartbeat,
            "heartbeat_s": heartbeat_s,
        }
        whole = wanted.body(chosen) | more
        query = {"force": str(force).lower(), "by": getpass.getuser()}
        made = client.send("POST", f"/parks/{name}/endpoints", whole, **query)
    if json:
        show_json(made)
    else:
        typer.echo(f"{id} is saved and connects ({chosen})")


def browse(
    endpoint: Annotated[
        str, typer.Argument(help="Id of an endpoint, opc.tcp://…, or GATEWAY@opc.tcp://…")
    ],
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


def trust(
    endpoint: Id,
    fingerprint: Annotated[str, typer.Argument(help="SHA-256 fingerprint of the certificate")],
    gateway: Annotated[
        str, typer.Option(help="Gateway in a plant to which it was shown, before it is saved")
    ] = "",
    park: ParkId = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Trust the server certificate with this fingerprint."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}/trust"
        told = {"fingerprint": fingerprint, "gateway": gateway}
        client.send("PUT", route, told, by=getpass.getuser())
    typer.echo(f"{endpoint}: certificate trusted")


def remove(endpoint: Id, park: ParkId = "", url: Url = DEFAULT_URL) -> None:
    """Disconnect and forget an endpoint; its history stays."""
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}"
        client.send("DELETE", route, by=getpass.getuser())
    typer.echo(f"{endpoint} is removed; its history stays")


class Wanted(NamedTuple):
    """What was asked for on the command line, but for its security."""

    id: str
    address: str
    user: str
    password: str
    user_certificate: str
    user_key: str
    gateway: str
    reverse: bool

    def body(self, security: str) -> dict[str, object]:
        """Body of a request with this security."""
        policy, _, mode = security.partition("/")
        gateway, url = split_gateway(self.address)
        return {
            "id": self.id,
            "url": url,
            "policy": policy,
            "mode": mode or "None",
            "allow_insecure": policy == "None",
            "user": self.user,
            "password": self.password,
            "user_certificate": self.user_certificate,
            "user_key": self.user_key,
            "gateway": self.gateway or gateway,
            "reverse": self.reverse,
        }


def _chosen(security: str, allow_insecure: bool) -> str:
    """The security somebody named; empty to take the strongest that is offered."""
    return security or ("None" if allow_insecure else "")


def _try(client: Client, wanted: Wanted, security: str) -> dict[str, object]:
    """Try with a security, or with the strongest the server offers; never silently with none."""
    first = security or BY_STRENGTH[0]
    tried = _tried(client, wanted, first)
    if security or tried["ok"]:
        return tried
    offered = cast("list[str]", tried["policies"])
    best = strongest(offered)
    if best is not None and best != first:
        return _tried(client, wanted, best)
    if offered == ["None"]:
        failed = next(step for step in _steps(tried) if not step["ok"])
        failed["detail"] = "the server offers no security, only None"
        failed["remedy"] = (
            "enable a policy on the server, or say --security None: anyone on the network can "
            "then read and forge"
        )
    return tried


def _tried(client: Client, wanted: Wanted, security: str) -> dict[str, object]:
    tried = client.send("POST", "/endpoints/test", wanted.body(security))
    return cast("dict[str, object]", tried) | {"security": security}


def _steps(tried: dict[str, object]) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", tried["steps"])


def _passed(tried: dict[str, object]) -> None:
    if not tried["ok"]:
        failed = next(step for step in _steps(tried) if not step["ok"])
        raise Unavailable(f"{failed['step']}: {failed['detail']}", str(failed["remedy"]))


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
        "OPC UA endpoints: add, list, show, browse, test, map, lint, export, write, call, trust, "
        "remove.",
        {
            "add": add,
            "list": list_,
            "show": show,
            "browse": browse,
            "test": examine,
            "trust": trust,
            **onboarding.VERBS,
            **control.OF_ENDPOINT,
            "remove": remove,
        },
    )
}
