"""How a plant is run: speed, seed, addresses, files."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlparse

from connectors.plant.faults import ActiveFault
from models.errors import InputError, Unavailable
from twin.park import Park
from twin.parkfile.schema import PlantServer

MAX_SPEED = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantSettings:
    """One run of the plant.

    Parameters
    ----------
    speed
        Seconds of park time per wall second, 1 to 60.
    seed
        Seed of the hidden park; None for the park file's.
    urls
        Addresses that replace those of the file, by endpoint id.
    port_base
        First of the ports that replace those of the file, in the order of the servers.
    start_us
        Park time at the start [us]; None to go on from the state file, else wall time.
    state
        File the park's time, speed and counters are written to every second.
    labels
        File the truth about faults is appended to.
    ready
        File written when all servers listen: addresses and process ids.
    secure
        Offer Basic256Sha256 SignAndEncrypt only, at every server.
    pki
        Folder of the servers' keys; a temporary one when empty.
    faults
        Faults beside those of the park file; their times count from the start.
    control
        Read commands from standard input, and stop at its end.
    """

    speed: float = 1.0
    seed: int | None = None
    urls: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    port_base: int | None = None
    start_us: int | None = None
    state: Path | None = None
    labels: Path | None = None
    ready: Path | None = None
    secure: bool = False
    pki: Path | None = None
    faults: tuple[ActiveFault, ...] = ()
    control: bool = False

    def __post_init__(self) -> None:
        if not 1.0 <= self.speed <= MAX_SPEED:
            raise InputError(f"speed {self.speed:g}", f"give 1 to {MAX_SPEED:g}", "--speed")
        if self.port_base is not None and not 1024 <= self.port_base <= 65_000:
            raise InputError(f"port {self.port_base}", "give 1024 to 65000", "--port-base")


def servers_of(park: Park) -> tuple[PlantServer, ...]:
    """The servers the park file wants played; one per endpoint when it names none.

    Raises
    ------
    InputError
        When the file has no plant, or nothing to play.
    """
    plant = park.spec.virtual_plant
    if plant is None or not plant.enabled:
        raise InputError(
            f"park {park.id!r} has no virtual plant",
            "add virtual_plant: {seed: 7, servers: [{endpoint: …}]} to the park file",
        )
    servers = plant.servers or tuple(PlantServer(endpoint=name) for name in park.endpoints)
    if not servers:
        raise InputError(
            f"park {park.id!r} has no endpoint", "add endpoints with a map to the park file"
        )
    return servers


def urls_of(park: Park, settings: PlantSettings) -> dict[str, str]:
    """The address each server listens at.

    Raises
    ------
    InputError
        When an address is no ``opc.tcp://host:port``, or replaces that of an unknown endpoint.
    """
    servers = servers_of(park)
    urls = {server.endpoint: park.endpoints[server.endpoint].url for server in servers}
    if settings.port_base is not None:
        urls = {
            name: f"opc.tcp://127.0.0.1:{settings.port_base + k}" for k, name in enumerate(urls)
        }
    for name, url in settings.urls.items():
        if name not in urls:
            raise InputError(f"no server plays {name!r}", f"choose of {', '.join(urls)}", "--urls")
        urls[name] = url
    for name, url in urls.items():
        parsed = urlparse(url)
        if parsed.scheme != "opc.tcp" or parsed.port is None:
            raise InputError(f"address {url!r} of {name}", "write opc.tcp://127.0.0.1:4840")
    return urls


def check_free(urls: Mapping[str, str]) -> None:
    """See that every address can be listened at, before anything is started.

    Raises
    ------
    Unavailable
        When one is taken, or not an address of this machine.
    """
    for name, url in urls.items():
        parsed = urlparse(url)
        family = socket.AF_INET6 if ":" in (parsed.hostname or "") else socket.AF_INET
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((parsed.hostname, parsed.port))
            except OSError as error:
                raise Unavailable(
                    f"{name} cannot listen at {url} ({error.strerror})",
                    "free the port or choose another with --urls or --port-base",
                ) from error
