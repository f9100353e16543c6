"""Verbs that keep data safe: ``replay``, ``backup``, ``restore``, ``migrate``."""

import getpass
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from cluster import offline
from cluster.client import Client
from cluster.layout import DataFolder
from cluster.replay import replay as prove
from cluster.wire import plain
from dashboard.verbs.output import (
    DEFAULT_URL,
    Json,
    ParkId,
    Url,
    park_of,
    show_fields,
    show_json,
    show_rows,
)
from dashboard.verbs.verb import verb

Folder = Annotated[Path, typer.Argument(help="Data folder")]
_PROOF: Final = ("park", "equal", "offset", "digest", "earlier", "recorded", "note")


def replay(data: Folder, park: ParkId = "", json: Json = False) -> None:
    """Rebuild the twins of a data folder from their journals and compare digests."""
    proofs = prove(DataFolder(root=data.resolve()), (park,) if park else ())
    rows = cast("list[dict[str, object]]", plain(proofs))
    if json:
        show_json(rows)
    else:
        short = dict.fromkeys(("digest", "earlier", "recorded"), 12)
        shown = [{k: str(v)[: short.get(k, 200)] for k, v in row.items()} for row in rows]
        show_rows(shown, _PROOF, json=False)
    if not all(proof.equal for proof in proofs):
        raise typer.Exit(4)


def backup(
    to: Annotated[Path, typer.Argument(help="New folder on the service's machine")],
    park: ParkId = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Back up the memory of a running park; it goes on working."""
    with Client(url) as client:
        name = park_of(client, park)
        body = {"to": str(to.resolve())}
        made = client.send("POST", f"/parks/{name}/backup", body, by=getpass.getuser())
    show_fields(cast("dict[str, object]", made), json=json)


def restore(
    source: Annotated[Path, typer.Argument(help="Folder of a backup")],
    data: Annotated[Path, typer.Option(help="Data folder")],
    park: Annotated[str, typer.Option(help="Park it is a backup of; it says so itself")] = "",
    json: Json = False,
) -> None:
    """Put a backup in place, after every checksum of it was found right."""
    done = offline.restore(DataFolder(root=data.resolve()), park, source)
    show_fields(cast("dict[str, object]", plain(done)), json=json)


def migrate(data: Folder, json: Json = False) -> None:
    """Bring a data folder to this version's format."""
    done = offline.migrate(DataFolder(root=data.resolve()))
    rows: list[dict[str, object]] = [{"park": p, "formats": list(f)} for p, f in done.items()]
    show_rows(rows, ("park", "formats"), json=json)


VERBS: Final = {
    "replay": verb(replay),
    "backup": verb(backup),
    "restore": verb(restore),
    "migrate": verb(migrate),
}
