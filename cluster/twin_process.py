"""The process of ``parktwin serve-opcua``: a twin's OPC UA server, fed by a running service.

It is a process of its own: what its clients ask costs the service nothing, and either may be killed
and started again without the other.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cluster import logs
from cluster.layout import DataFolder
from cluster.settings import SECRET_FILES
from cluster.twin_feed import TwinFeed
from cluster.until_stopped import until_stopped
from connectors.opcua.security import (
    SERVER,
    Pki,
    SecretPlaces,
    Seen,
    allow_secrets,
    listed_files,
    secret,
)
from connectors.twin_server.plan import plan_space
from connectors.twin_server.server import TwinServer
from connectors.twin_server.settings import ServerSettings, refuse_open
from models.errors import InputError
from twin.figure_specs import layout_of
from twin.park import Park
from twin.parkfile.load import load_park

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What was asked for.

    Parameters
    ----------
    url
        Where the service is.
    data
        Data folder; the certificates lie in it.
    host, port, security
        As in `connectors.twin_server.settings.ServerSettings`.
    user, password
        A name, and a reference to its password.
    for_s
        Stop after this many seconds.
    log_level, log_style
        See `cluster.logs`.
    """

    url: str
    data: Path
    host: str = "127.0.0.1"
    port: int = 4840
    security: str = ""
    user: str = ""
    password: str = ""
    for_s: float | None = None
    log_level: str = "INFO"
    log_style: str = "plain"

    @property
    def pki(self) -> Path:
        """Folder of the server's certificate and of the clients it trusts."""
        return DataFolder(root=self.data.resolve()).opcua_pki


def serve_twin(file: Path, offer: Offer, tell: Tell) -> None:
    """Serve a park until SIGINT, SIGTERM or the time is over.

    Raises
    ------
    InputError, Refused
        When the park file or the settings cannot be.
    """
    place = urlsplit(offer.url)
    if place.scheme not in {"http", "https"} or not place.netloc:
        raise InputError(f"{offer.url!r} is no address", "write http://127.0.0.1:8050", "url")
    refuse_open(offer.host, offer.security, offer.user, offer.password)
    park = load_park(file)
    folder = DataFolder(root=offer.data.resolve())
    folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs.configure(folder.logs, f"opcua-{park.id}", offer.log_level, offer.log_style)
    listed = listed_files(os.environ.get(SECRET_FILES, ""))
    allow_secrets(SecretPlaces(folder=folder.secrets, files=listed))
    settings = _settings(offer, secret(offer.password) if offer.password else "")
    asyncio.run(_serve(park, settings, offer, tell))


async def _serve(park: Park, settings: ServerSettings, offer: Offer, tell: Tell) -> None:
    # Thousands of nodes are made and none is dropped: collecting meanwhile doubles the start.
    gc.disable()
    specs = layout_of(park, datetime.now(UTC).year).specs
    server = TwinServer(plan_space(park, specs), settings)
    own = await server.start()
    gc.freeze()
    gc.enable()
    tell(f"serving {len(specs)} figures of {park.id} at {settings.url}, fed by {offer.url}")
    if own is not None:
        tell(f"certificate {own.fingerprint} in {own.certificate}")
    feed = TwinFeed(offer.url, park.id, server.take, server.lose, tell=tell)
    try:
        await until_stopped(feed.run(), offer.for_s)
    finally:
        await server.stop()


def _settings(offer: Offer, password: str) -> ServerSettings:
    return ServerSettings(
        pki=offer.pki,
        host=offer.host,
        port=offer.port,
        security=offer.security,
        user=offer.user,
        password=password,
    )


def clients(data: Path) -> list[Seen]:
    """Clients whose certificates were seen, the trusted ones first."""
    return _pki(data).seen()


def trust_client(data: Path, fingerprint: str) -> None:
    """Trust a client that was seen; the server takes it at its next connection.

    Raises
    ------
    NotFound
        When no client with this fingerprint was seen.
    """
    _pki(data).trust(fingerprint)


def distrust_client(data: Path, fingerprint: str) -> None:
    """Take trust back.

    Raises
    ------
    NotFound
        When no such client is trusted.
    """
    _pki(data).distrust(fingerprint)


def own_certificate(data: Path) -> Path:
    """File of the server's own certificate (DER); it is made when there is none."""
    return _pki(data).own(datetime.now(UTC)).certificate


def _pki(data: Path) -> Pki:
    return Pki(DataFolder(root=data.resolve()).opcua_pki, SERVER)
