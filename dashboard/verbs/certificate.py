"""Verbs of certificates: ``certificate list, export, trust, distrust, renew``."""

import asyncio
import getpass
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster.certificate_desk import CertificateDesk
from cluster.client import Client
from cluster.ports import InputError, Refused
from dashboard.verbs.output import DEFAULT_URL, Json, Url, show_json, show_rows
from dashboard.verbs.verb import group

_COLUMNS: Final = ("place", "subject", "days_left", "due", "fingerprint", "endpoints")
_COLUMNS_MORE: Final = ("application_uri", "hosts", "remarks")

Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of `parktwin gateway`, or a data folder, in place of a service"),
]
Gateway = Annotated[str, typer.Option(help="Name of a gateway in a plant: its certificates")]
Print = Annotated[str, typer.Argument(help="SHA-256 fingerprint, with or without separators")]


def list_(
    wide: Annotated[bool, typer.Option("--wide", help="With addresses and remarks")] = False,
    folder: Folder = None,
    gateway: Gateway = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List our certificate, those of servers, and revocation lists; `due` warns of expiry."""
    if folder is not None:
        rows = [asdict(one) for one in asyncio.run(_desk(folder).entries())]
    else:
        with Client(url) as client:
            rows = client.rows(_route(gateway))
    show_rows(rows, (*_COLUMNS, *_COLUMNS_MORE) if wide else _COLUMNS, json=json)


def export(
    der: Annotated[Path, typer.Option(help="File to write, e.g. parktwin.der")],
    new: Annotated[bool, typer.Option("--new", help="The new one that waits")] = False,
    folder: Folder = None,
    gateway: Gateway = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Write our certificate as DER, to be trusted on a server."""
    if der.is_dir():
        raise InputError(f"{der} is a folder", f"write {der / 'parktwin.der'}", "der")
    if folder is not None:
        data = asyncio.run(_desk(folder).der(staged=new))
    else:
        with Client(url) as client:
            query = {"staged": str(new).lower()}
            data = client.raw("GET", f"{_route(gateway)}/own.der", query=query)
    try:
        der.write_bytes(data)
    except OSError as error:
        raise InputError(
            f"{der} cannot be written ({error.strerror})", "name another file", "der"
        ) from error
    typer.echo(f"{der}: trust it on the server as a client; the page Certificates has the steps")


def trust(
    fingerprint: Print, folder: Folder = None, gateway: Gateway = "", url: Url = DEFAULT_URL
) -> None:
    """Trust a certificate that a server has shown."""
    if folder is not None:
        asyncio.run(_desk(folder).trust(fingerprint))
    else:
        with Client(url) as client:
            client.send("PUT", f"{_route(gateway)}/{fingerprint}/trust", by=getpass.getuser())
    typer.echo(f"{fingerprint} is trusted")


def distrust(
    fingerprint: Print, folder: Folder = None, gateway: Gateway = "", url: Url = DEFAULT_URL
) -> None:
    """Take trust back; endpoints that rest on it are cut off, with --folder at their next start."""
    if folder is not None:
        asyncio.run(_desk(folder).distrust(fingerprint))
    else:
        with Client(url) as client:
            client.send("DELETE", f"{_route(gateway)}/{fingerprint}/trust", by=getpass.getuser())
    typer.echo(f"{fingerprint} is trusted no longer")


def renew(
    force: Annotated[
        bool, typer.Option("--force", help="Use it although some servers do not take it yet")
    ] = False,
    folder: Folder = None,
    gateway: Gateway = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Make a new certificate; it is used once every server takes it. Run it again to ask again."""
    if folder is not None:
        _renew_folder(folder, force=force)
        return
    with Client(url) as client:
        query = {"force": str(force).lower(), "by": getpass.getuser()}
        answer = client.send("POST", f"{_route(gateway)}/renew", None, **query)
    found = cast("dict[str, object]", answer)
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


def _renew_folder(folder: Path, *, force: bool) -> None:
    """Nobody runs who could ask the servers: the new one is made, and used on demand."""
    if force:
        asyncio.run(_desk(folder).renew(force=True))
        typer.echo("the new certificate is in use")
        return
    asyncio.run(_desk(folder).stage())
    raise Refused(
        "the new certificate waits; the old one stays in use",
        "export it with --new --der FILE, trust it on the servers, then renew with --force",
    )


def _route(gateway: str) -> str:
    return f"/gateways/{gateway}/certificates" if gateway else "/certificates"


def _desk(folder: Path) -> CertificateDesk:
    """The certificates of a data folder, or of a gateway's folder, without a service."""
    pki = folder / "pki"
    if not pki.is_dir():
        raise InputError(
            f"{folder} holds no certificates", "name a data folder or a gateway's", "folder"
        )
    return CertificateDesk(pki, {})


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
