"""The start of a demo's virtual plant: on ports that are free, and told when it fails."""

import asyncio
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import orjson

from cluster.supervisor import last_line
from connectors.plant.process import PlantPaths, free_ports
from connectors.plant.settings import servers_of
from models.errors import Unavailable
from twin.park import Park

_LOOK_S: Final = 0.2
PLANT_S: Final = 120.0
"""How long a plant may take until all its servers listen [s]."""


class PlantStart:
    """Chooses where the servers of a plant listen, anew for each start until they all do.

    A port that is free when it is looked at can be taken before the plant opens it: by a second
    demo that starts at the same time. Once a plant was ready, the service knows its addresses, and
    the plant keeps them.

    Parameters
    ----------
    park
        The park.
    files
        Files of the plant; the ready file says that all its servers listen.
    begin
        Starts a plant at addresses by endpoint.
    """

    def __init__(
        self,
        park: Park,
        files: PlantPaths,
        begin: "Callable[[dict[str, str]], subprocess.Popen[bytes]]",
    ) -> None:
        self._park, self._files, self._begin = park, files, begin
        self._urls: dict[str, str] = {}
        self._known = False

    def __call__(self) -> "subprocess.Popen[bytes]":
        """Start it once more."""
        self._known = self._known or (bool(self._urls) and self._files.ready.exists())
        if not self._known:
            self._urls = addresses(self._park)
        self._files.ready.unlink(missing_ok=True)
        return self._begin(self._urls)


def addresses(park: Park) -> dict[str, str]:
    """Address of each played endpoint: the file's port, or a free one where it is taken."""
    played = {server.endpoint for server in servers_of(park)}
    urls = {name: endpoint.url for name, endpoint in park.endpoints.items() if name in played}
    spare = iter(free_ports(len(urls)))
    return {
        name: url if _bindable(url) else f"opc.tcp://127.0.0.1:{next(spare)}"
        for name, url in urls.items()
    }


async def told_addresses(ready: Path, output: Path, patience_s: float = PLANT_S) -> dict[str, str]:
    """Wait until all servers of a plant listen; the address of each.

    Parameters
    ----------
    ready
        Its ready file.
    output
        What it prints.
    patience_s
        Longest wait [s].

    Raises
    ------
    Unavailable
        When they do not, with what the plant said last.
    """
    for _ in range(max(1, round(patience_s / _LOOK_S))):
        if await asyncio.to_thread(ready.exists):
            told = orjson.loads(await asyncio.to_thread(ready.read_bytes))
            return {str(name): str(url) for name, url in told["endpoints"].items()}
        await asyncio.sleep(_LOOK_S)
    said = await asyncio.to_thread(last_line, output)
    raise Unavailable(
        f"the virtual plant does not start ({said or f'{ready} is missing'})", f"read {output}"
    )


def _bindable(url: str) -> bool:
    """Whether a server of ours can listen at an address."""
    place = urlsplit(url)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.hostname or "127.0.0.1", place.port or 0))
        except OSError:
            return False
    return True
