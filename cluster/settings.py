"""What the supervisor asks a service to run: read once, from one file."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import orjson

from cluster.layout import DataFolder
from connectors.opcua.listen_at import REVERSE, listen_at
from connectors.opcua.reach import NETWORKS, PORTS, reach_of
from models.errors import InputError

DEFAULT_PORT: Final = 8050
SECRET_FILES: Final = "PARKTWIN_SECRET_FILES"  # noqa: S105 - the name of a setting
_ENDPOINTS_MOST: Final = 50
"""`connectors.gateway.MAX_SOURCES`, which would bring asyncua with it."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def _number(variable: str, default: float) -> float:
    """A setting from the environment.

    Raises
    ------
    InputError
        When it is no number above 0.
    """
    text = os.environ.get(variable, "")
    try:
        found = float(text) if text else default
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise InputError(f"{text!r} is no number above 0", "write e.g. 90", variable)
    return found


def _endpoints(variable: str) -> int:
    """How many endpoints one gateway holds.

    Raises
    ------
    InputError
        When it is no whole number from 1 to what a gateway can hold.
    """
    text = os.environ.get(variable, "") or str(_ENDPOINTS_MOST)
    if not text.isdigit() or not 1 <= int(text) <= _ENDPOINTS_MOST:
        raise InputError(f"{text!r}", f"write a whole number from 1 to {_ENDPOINTS_MOST}", variable)
    return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkSettings:
    """One park of a service.

    Parameters
    ----------
    file
        Path of its park file.
    demo
        Whether a virtual plant feeds it.
    urls
        Endpoint id → address, where it differs from the park file's.
    clock, ready
        State file of the virtual plant, and the file it writes when its servers listen; empty for
        a real park.
    """

    file: str
    demo: bool = False
    urls: Mapping[str, str] = field(default_factory=dict)
    clock: str = ""
    ready: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """A whole service.

    Parameters
    ----------
    data
        Data folder.
    host, port
        Where the web server listens.
    parks
        What it runs.
    temp
        Short folder for Ray's session; removed by whoever made it.
    database
        URL of the metadata store; empty for SQLite in the data folder.
    ray_address
        A running Ray cluster; empty starts our own.
    secret_files
        Files of secrets outside the data folder, absolute paths between colons; see
        docs/integrator.md.
    networks, ports
        Where endpoints may lie, see `connectors.opcua.reach`; empty for loopback and private
        networks, and ports from 1024.
    reverse
        Where its gateway listens for servers that connect to it, see `connectors.opcua.reverse`;
        empty for nowhere.
    ingest_host, ingest_port, tls_cert, tls_key
        Where gateways in plants deliver, see `cluster.ingest_door`; port 0 for nowhere.
    gateway_endpoints
        Endpoints of one gateway at most; a park with more has more gateways.
    whatif_slots
        What-if tasks at once; 0 takes one per CPU (they run with low priority).
    whatif_keep_days, whatif_keep_runs
        Ended what-ifs older than this, or beyond this number, are forgotten; pinned ones stay.
    log_level, log_style
        Level, and ``plain`` or ``json``.
    """

    data: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    parks: tuple[ParkSettings, ...] = ()
    ingest_host: str = "127.0.0.1"
    ingest_port: int = 0
    tls_cert: str = ""
    tls_key: str = ""
    temp: str = ""
    database: str = field(default_factory=lambda: os.environ.get("DATABASE_URL", ""))
    ray_address: str = ""
    secret_files: str = field(default_factory=lambda: os.environ.get(SECRET_FILES, ""))
    networks: str = field(default_factory=lambda: os.environ.get(NETWORKS, ""))
    ports: str = field(default_factory=lambda: os.environ.get(PORTS, ""))
    reverse: str = field(default_factory=lambda: os.environ.get(REVERSE, ""))
    gateway_endpoints: int = field(default_factory=lambda: _endpoints("PARKTWIN_GATEWAY_ENDPOINTS"))
    whatif_slots: int = 0
    whatif_keep_days: float = field(
        default_factory=lambda: _number("PARKTWIN_WHATIF_KEEP_DAYS", 90)
    )
    whatif_keep_runs: float = field(
        default_factory=lambda: _number("PARKTWIN_WHATIF_KEEP_RUNS", 500)
    )
    log_level: str = "INFO"
    log_style: str = "plain"

    def __post_init__(self) -> None:
        """Refuse networks, ports and addresses that are none before anything starts.

        Raises
        ------
        InputError
            With the setting at fault.
        """
        reach_of(self.networks, self.ports)
        listen_at(self.reverse)

    @property
    def folder(self) -> DataFolder:
        """The data folder with its paths."""
        return DataFolder(root=Path(self.data).resolve())

    @property
    def url(self) -> str:
        """Address of the service for a browser on this machine."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def write(self) -> Path:
        """Keep these settings in the data folder, readable by its owner; the file."""
        path = self.folder.settings
        path.touch(mode=0o600)
        path.write_bytes(orjson.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: Path) -> "ServiceSettings":
        """Inverse of `write`."""
        plain = orjson.loads(path.read_bytes())
        parks = tuple(ParkSettings(**park) for park in plain["parks"])
        return cls(**plain | {"parks": parks})
