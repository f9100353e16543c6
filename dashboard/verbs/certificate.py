"""Verbs of certificates: ``certificate list, export, trust, distrust, renew``."""

import getpass
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster.client import Client
from cluster.ports import InputError, Refused
from dashboard.verbs.output import DEFAULT_URL, Json, Url, show_json, show_rows
from dashboard.verbs.verb import group

_COLUMNS: Final = ("place", "subject", "days_left", "due", "fingerprint", "endpoints")
_COLUMNS_MORE: Final = ("application_uri", "hosts", "remarks")

Print = Annotated[str, typer.Argument(help="SHA-256 fingerprint, with or without separators")]


def list_(
    wide: Annotated[bool, typer.Option("--wide", help="With addresses and remarks")] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List our certificate, those of servers, and revocation lists; `due` warns of expiry."""
    with Client(url) as client:
        rows = client.rows("/certificates")
    show_rows(rows, (*_COLUMNS, *_COLUMNS_MORE) if wide else _COLUMNS, json=json)


def export(
    der: Annotated[Path, typer.Option(help="File to write, e.g. parktwin.der")],
    new: Annotated[bool, typer.Option("--new", help="The new one that waits")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Write our certificate as DER, to be trusted on a server."""
    if der.is_dir():
        raise InputError(f"{der} is a folder", f"write {der / 'parktwin.der'}", "der")
    with Client(url) as client:
        data = client.raw("GET", "/certificates/own.der", query={"staged": str(new).lower()})
    try:
        der.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{der} cannot be written ({error.strerror})", "name another file", "der"
        ) from error
    typer.echo(f"{der}: import it on the server as a trusted client (docs/certificates.md)")


def trust(fingerprint: Print, url: Url = DEFAULT_URL) -> None:
    """Trust a certificate that a server has shown."""
    with Client(url) as client:
        client.send("PUT", f"/certificates/{fingerprint}/trust", by=getpass.getuser())
    typer.echo(f"{fingerprint} is trusted")


def distrust(fingerprint: Print, url: Url = DEFAULT_URL) -> None:
    """Take trust back; endpoints that rest on it are cut off at once."""
    with Client(url) as client:
        client.send("DELETE", f"/certificates/{fingerprint}/trust", by=getpass.getuser())
    typer.echo(f"{fingerprint} is trusted no longer")


def renew(
    force: Annotated[
        bool, typer.Option("--force", help="Use it although some servers do not take it yet")
    ] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Make a new certificate; it is used once every server takes it. Run it again to ask again."""
    with Client(url) as client:
        query = {"force": str(force).lower(), "by": getpass.getuser()}
        found = cast("dict[str, object]", client.send("POST", "/certificates/renew", None, **query))
    refused = cast("dict[str, str]", found["refused"])
    if json:
        show_json(found)
    else:
        for endpoint, why in refused.items():
            typer.echo(f"{endpoint} does not take it yet: {why}")
    if not found["used"]:
        raise Refused(
            f"the old certificate stays in use: {len(refused)} server(s) do not take the new one",
            "parktwin certificate export --new --der parktwin-new.der, trust it on these servers, "
            "then renew again; --force uses it now",
        )
    if not json:
        typer.echo(f"the new certificate is in use: {found['fingerprint']}")


VERBS: Final = {
    "certificate": group(
        "Certificates of OPC UA: list, export, trust, distrust, renew.",
        {
            "list": list_,
            "export": export,
            "trust": trust,
            "distrust": distrust,
            "renew": renew,
        },
    )
}
