"""Verbs that write to PLCs and call methods there, and the trail of who changed what."""

import getpass
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final, cast

import typer

from cluster.client import Client
from cluster.ports import InputError
from dashboard.verbs.output import (
    DEFAULT_URL,
    Json,
    ParkId,
    Url,
    park_of,
    printable,
    show_fields,
    show_json,
    show_rows,
)
from dashboard.verbs.verb import verb

_AS: Final = re.compile(r"([a-z][a-z0-9_-]{0,47})(?:/(.{1,200}))?")
_TOLD: Final = ("at", "who", "role", "action", "subject", "before", "asked", "after", "result")
_MORE: Final = ("cause",)

Id = Annotated[str, typer.Argument(help="Id of the endpoint")]
As = Annotated[
    str,
    typer.Option(
        "--as",
        help="ROLE, or ROLE/NAME: in which role you act, and who you are (your login if left out). "
        "Taken as stated: there is no login yet",
    ),
]
Dry = Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing")]


def write(
    endpoint: Id,
    tag: Annotated[str, typer.Argument(help="Path of the tag, with or without the park")],
    value: Annotated[str, typer.Argument(help="In the tag's unit; a negative one after `--`")],
    actor: As,
    dry_run: Dry = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Write a value to a PLC, and read it back.

    Refused unless the park file allows it (`writable_by`) for this tag and role.

    The value is converted from the tag's unit to the PLC's; what does not fit the
    node's type or range is not sent. Every attempt is in `parktwin audit`.

    Who you are is taken as stated: there is no login yet, and the service takes
    writes from its own machine only.
    """
    body = {"tag": tag, "value": value, **_actor(actor), "dry_run": dry_run}
    found = _send(endpoint, "write", body, park, url)
    if json:
        show_json(found)
        return
    unit, low, high = found["unit"], found["low"], found["high"]
    span = f", range {low:.6g} to {high:.6g}" if low is not None and high is not None else ""
    done = "would be written" if dry_run else "written"
    _say(
        f"{found['tag']} ({found['target']}, {found['data_type']}{span})\n"
        f"before   {found['before'] or '-'} {unit}\n"
        f"asked    {found['asked']} {unit}\n"
        f"{done}  {found['sent']} {found['sent_unit']} at the PLC"
    )
    if not dry_run:
        _say(f"now      {found['after'] or 'not known'} {unit} ({found['status']})")
        if found["after"] and not found["as_sent"]:
            typer.echo("the PLC holds another value than was asked for")


def call(
    endpoint: Id,
    method: Annotated[
        str, typer.Argument(help="'nsu=<URI>;s=<object> nsu=<URI>;s=<method>', or the method alone")
    ],
    actor: As,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="In the order the method has them")
    ] = None,
    dry_run: Dry = False,
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Call a method of a server.

    Refused unless the park file allows it (`callable_by`) for this method and role.
    Every attempt is in `parktwin audit`.

    Who you are is taken as stated: there is no login yet, and the service takes
    calls from its own machine only.
    """
    body = {"method": method, "arguments": arguments or [], **_actor(actor), "dry_run": dry_run}
    found = _send(endpoint, "call", body, park, url)
    if json:
        show_json(found)
        return
    done = "would be called" if dry_run else "called"
    _say(f"{found['target']}\n{done} with  {found['sent'] or 'no arguments'}")
    if not dry_run:
        _say(f"answer  {found['after'] or '-'} ({found['status']})")


def audit(
    since: Annotated[str, typer.Option(help="ISO time with zone, or -3h, -7d")] = "",
    until: Annotated[str, typer.Option(help="Before this time")] = "",
    who: Annotated[str, typer.Option(help="Exactly this name")] = "",
    action: Annotated[str, typer.Option(help="Actions that begin so, e.g. endpoint.write")] = "",
    subject: Annotated[str, typer.Option(help="Subjects that hold this, e.g. a tag path")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Rows at most")] = 50,
    check: Annotated[
        bool, typer.Option("--check", help="Only check that no row was changed or taken out")
    ] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show who changed what, newest first; writes and calls with before, after and result.

    Names are as they were stated: there is no login yet.
    """
    with Client(url) as client:
        if check:
            show_fields(cast("dict[str, object]", client.get("/audit/check")), json=json)
            return
        asked = {"since": since, "until": until, "who": who, "action": action, "subject": subject}
        rows: list[dict[str, object]] = []
        before: object = None
        while len(rows) < limit:
            page = cast(
                "dict[str, object]",
                client.get("/audit", **asked, before=before, limit=min(limit - len(rows), 1000)),
            )
            rows += cast("list[dict[str, object]]", page["rows"])
            before = page["next"]
            if before is None:
                break
    if json:
        show_json(rows)
        return
    show_rows([_flat(row) for row in rows], (*_TOLD, *_MORE), json=False)


def _say(lines: str) -> None:
    """Print what a server had a part in."""
    typer.echo(printable(lines.rstrip()))


def _flat(row: Mapping[str, object]) -> dict[str, object]:
    """A row of the trail as a line of a table; what has no column stands in the cause."""
    detail = dict(cast("Mapping[str, object]", row["detail"]))
    unit = detail.pop("unit", "")
    line: dict[str, object] = {"at": row["at"], "who": row["who"], "action": row["action"]}
    line["subject"] = row["subject"]
    for name in ("role", "before", "asked", "after", "result"):
        value = detail.pop(name, None)
        numeric = name in ("before", "asked", "after") and value not in (None, "") and unit
        line[name] = f"{value} {unit}" if numeric else value
    if line["result"] is None:
        line["cause"] = ", ".join(f"{name}={value}" for name, value in detail.items())
    else:
        line["cause"] = detail.get("cause")
    return line


def _actor(text: str) -> dict[str, str]:
    found = _AS.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no role", "write --as ROLE or ROLE/NAME: operator/lan", "as")
    return {"role": found.group(1), "by": found.group(2) or getpass.getuser()}


def _send(
    endpoint: str, how: str, body: Mapping[str, object], park: str, url: str
) -> dict[str, object]:
    with Client(url) as client:
        route = f"/parks/{park_of(client, park)}/endpoints/{endpoint}/{how}"
        return cast("dict[str, object]", client.send("POST", route, body))


OF_ENDPOINT: Final[Mapping[str, Callable[..., None]]] = {"write": write, "call": call}
VERBS: Final = {"audit": verb(audit)}
