"""From a wish on the command line to a running installation."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster import logs, supervisor
from cluster.settings import ParkSettings, ServiceSettings
from models.errors import InputError
from twin.park import Park
from twin.parkfile.load import load_park

Tell = Callable[[str], None]
_EXAMPLES: Final = Path(__file__).resolve().parents[1] / "examples"


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
    """

    data: Path
    host: str
    port: int
    parks: tuple[Path, ...]
    for_s: float | None = None
    log_level: str = "INFO"
    log_style: str = "plain"


def demo_park() -> Path:
    """The demo park of the repository."""
    return _EXAMPLES / "vsip1.yaml"


def up(wish: Wish, tell: Tell) -> None:
    """Run real parks."""
    supervisor.loopback_only(wish.host)
    parks = tuple(ParkSettings(file=str(path.resolve())) for path in wish.parks)
    different([load_park(path) for path in wish.parks])
    _supervise(wish, parks, None, tell)


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
    plant: "Callable[[], subprocess.Popen[bytes]] | None",
    tell: Tell,
) -> None:
    settings = ServiceSettings(
        data=str(wish.data.resolve()),
        host=wish.host,
        port=wish.port,
        parks=parks,
        log_level=wish.log_level,
        log_style=wish.log_style,
    )
    logs.configure(settings.folder.logs, "supervisor", wish.log_level, wish.log_style)
    supervisor.Supervisor(settings, plant, tell).run(wish.for_s)
