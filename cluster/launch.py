"""From a wish on the command line to a running installation."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from cluster import logs, supervisor
from cluster.door_settings import door_of
from cluster.layout import DataFolder
from cluster.plant_start import PlantStart
from cluster.settings import ParkSettings, ServiceSettings
from connectors.opcua.compiled import compile_once
from connectors.plant.process import PlantPaths
from connectors.twin_server.settings import refuse_open
from models.errors import InputError
from twin.park import Park
from twin.parkfile.load import load_park

Tell = Callable[[str], None]
_EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaWish:
    """The twin's OPC UA server beside the service: one per park, on ports one after another.

    Parameters
    ----------
    port
        Port of the first park's.
    host, security, user, password
        As in `cluster.twin_process.Offer`.
    """

    port: int
    host: str = "127.0.0.1"
    security: str = ""
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asked for.

    Parameters
    ----------
    data, host, port
        Data folder, and where the page is.
    parks
        Park files.
    for_s
        Stop after this many seconds.
    log_level, log_style
        See `cluster.logs`.
    opcua
        The twin's OPC UA server; None for none.
    ingest_host, ingest_port, tls_cert, tls_key
        The door for gateways in plants, see `cluster.ingest_door`; port 0 for none.
    """

    data: Path
    host: str
    port: int
    parks: tuple[Path, ...]
    for_s: float | None = None
    log_level: str = "INFO"
    log_style: str = "plain"
    opcua: OpcuaWish | None = None
    ingest_host: str = "127.0.0.1"
    ingest_port: int = 0
    tls_cert: str = ""
    tls_key: str = ""


def demo_park() -> Path:
    """The demo park of the repository."""
    return _EXAMPLES / "vsip1.yaml"


def up(wish: Wish, tell: Tell) -> None:
    """Run real parks."""
    supervisor.loopback_only(wish.host)
    parks = tuple(ParkSettings(file=str(path.resolve())) for path in wish.parks)
    different([load_park(path) for path in wish.parks])
    _supervise(wish, parks, None, tell)


def demo(wish: Wish, speed: float, tell: Tell, start_at: str = "") -> None:
    """Run one park with its virtual plant.

    Parameters
    ----------
    wish, tell
        What to run, and who hears of it.
    speed
        Park seconds per wall second of a fresh plant.
    start_at
        Park time a fresh plant starts at; wall time when empty. One that has run goes on.
    """
    supervisor.loopback_only(wish.host)
    check_time(start_at)
    park = load_park(wish.parks[0])
    data = DataFolder(root=wish.data.resolve())
    folder = data.plant(park.id)
    files = PlantPaths(
        ready=folder / "ready.json", state=folder / "state.json", labels=folder / "labels.jsonl"
    )
    chosen = ParkSettings(
        file=str(wish.parks[0].resolve()),
        demo=True,
        clock=str(files.state),
        ready=str(files.ready),
    )
    command = [sys.executable, "-m", "connectors.plant", str(wish.parks[0].resolve())]
    command += ["--die-with-parent", "--speed", f"{speed:g}"]
    command += ["--ready-file", str(files.ready), "--state", str(files.state)]
    command += ["--labels", str(files.labels)]

    def begin(urls: dict[str, str]) -> "subprocess.Popen[bytes]":
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = ["--urls", *(f"{name}={url}" for name, url in urls.items())]
        fresh = start_at and not files.state.exists()
        start = ["--start-at", start_at] if fresh else []
        return supervisor.start_child([*command, *places, *start], data.plant_output)

    plant = supervisor.Child("plant", PlantStart(park, files, begin), output=data.plant_output)
    _supervise(wish, (chosen,), plant, tell)


def check_door(settings: ServiceSettings) -> None:
    """Refuse a door for gateways that would be open, or cannot be opened."""
    door_of(settings).check()
    if settings.ingest_port:
        supervisor.port_is_free(settings.ingest_host, settings.ingest_port, "ingest-port")


def check_time(start_at: str) -> None:
    """Refuse a start time that is none.

    Raises
    ------
    InputError
        With the form it takes.
    """
    if not start_at:
        return
    try:
        aware = datetime.fromisoformat(start_at).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise InputError(f"{start_at!r} is no time with a zone", "write 2026-11-23T17:45+07:00")


def different(parks: list[Park]) -> None:
    """Refuse two parks of one id.

    Raises
    ------
    InputError
        Naming the id.
    """
    seen: set[str] = set()
    for park in parks:
        if park.id in seen:
            raise InputError(
                f"two files hold the park {park.id!r}", "give each its own id", "parks"
            )
        seen.add(park.id)


def _supervise(
    wish: Wish,
    parks: tuple[ParkSettings, ...],
    plant: supervisor.Child | None,
    tell: Tell,
) -> None:
    settings = ServiceSettings(
        data=str(wish.data.resolve()),
        host=wish.host,
        port=wish.port,
        parks=parks,
        log_level=wish.log_level,
        log_style=wish.log_style,
        ingest_host=wish.ingest_host,
        ingest_port=wish.ingest_port,
        tls_cert=wish.tls_cert and str(Path(wish.tls_cert).resolve()),
        tls_key=wish.tls_key and str(Path(wish.tls_key).resolve()),
    )
    check_door(settings)
    logs.configure(settings.folder.logs, "supervisor", wish.log_level, wish.log_style)
    beside = _twin_servers(wish, settings, tell)
    compile_once(tell)
    supervisor.Supervisor(settings, plant, tell, beside).run(wish.for_s)


def _twin_servers(wish: Wish, settings: ServiceSettings, tell: Tell) -> list[supervisor.Child]:
    """The OPC UA server of each park as a process that is kept running."""
    asked = wish.opcua
    if asked is None:
        return []
    made = []
    for port, park in enumerate(settings.parks, asked.port):
        made.append(_twin_server(park.file, asked, port, settings))
        tell(f"OPC UA at opc.tcp://{asked.host}:{port}, its lines in logs/opcua-{port}.out")
    return made


def _twin_server(
    file: str, asked: OpcuaWish, port: int, settings: ServiceSettings
) -> supervisor.Child:
    refuse_open(asked.host, asked.security, asked.user, asked.password)
    supervisor.port_is_free(asked.host, port, "opcua-port")
    command = [sys.executable, "-m", "dashboard.main", "serve-opcua", file]
    command += ["--url", settings.url, "--data", settings.data]
    command += ["--host", asked.host, "--port", str(port), "--security", asked.security]
    command += ["--user", asked.user, "--password", asked.password]
    command += ["--log-level", settings.log_level, "--log-style", settings.log_style]
    output = settings.folder.logs / f"opcua-{port}.out"
    start = partial(supervisor.start_child, command, output)
    return supervisor.Child("OPC UA server", start, output=output)
