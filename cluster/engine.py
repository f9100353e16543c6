"""The engine: our own local Ray, or a cluster by address; started quiet, ended without a trace."""

import logging
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ray

from cluster import one_root, temp_folders
from cluster.layout import DataFolder
from models.errors import Refused

_STORE_BYTES: Final = 300 * 2**20
_TEMP_PREFIX: Final = "pt"
_NAMESPACE: Final = "parktwin"
WHATIF: Final = "whatif"
"""Custom resource of what-if tasks: one per slot, so that twins never starve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How Ray is started.

    Parameters
    ----------
    address
        A running cluster to join; empty starts our own, on this machine alone.
    temp
        Short, empty folder for Ray's session; empty makes one. It is removed at the end.
    cpus
        CPUs Ray may count on; actors and tasks state what they need of them.
    whatif_slots
        What-if tasks that may run at once.
    """

    address: str = ""
    temp: str = ""
    cpus: int = 0
    whatif_slots: int = 1


class Engine:
    """A started Ray. One per process."""

    def __init__(self, temp: Path | None, address: str) -> None:
        self.temp = temp
        self.address = address

    @classmethod
    def start(cls, data: DataFolder, settings: EngineSettings) -> "Engine":
        """Start or join Ray, and make sure that its workers run our code.

        Raises
        ------
        MixedInstall
            When they import the five packages from elsewhere.
        """
        if settings.address:
            ray.init(
                settings.address,
                namespace=_NAMESPACE,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            engine = cls(None, settings.address)
        else:
            _authenticate(data)
            # Unix sockets hold 107 bytes and Ray spends about 60: the folder must be short.
            temp = Path(settings.temp or tempfile.mkdtemp(prefix=_TEMP_PREFIX, dir="/tmp"))
            try:
                engine = cls(_start_local(settings, temp), "local")
            except BaseException:
                temp_folders.remove(temp)
                raise
        try:
            check_workers()
        except BaseException:
            engine.stop()
            raise
        return engine

    def stop(self) -> None:
        """Leave Ray; our own one ends with its processes, sockets and session folder."""
        ray.shutdown()
        if self.temp is not None:
            temp_folders.remove(self.temp)


def whatif_slots() -> int:
    """Slots this machine offers: one per core, since what-if tasks step back before the twins."""
    return os.cpu_count() or 1


def check_workers() -> None:
    """Compare where the driver and a worker import the five packages from."""
    there = ray.get(ray.remote(num_cpus=0)(one_root.roots).remote())
    one_root.check(one_root.roots(), there, "Ray's workers")


def _authenticate(data: DataFolder) -> None:
    """Token authentication with a token file of our own.

    A new local Ray turns it on by itself as long as nobody chose another mode; only the file has to
    be named (Ray would write one that others can read).
    """
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        raise Refused(
            f"RAY_AUTH_MODE is {os.environ['RAY_AUTH_MODE']!r}: everyone on this machine could "
            "run code in the twin",
            "unset RAY_AUTH_MODE",
        )
    token = data.ray_token
    token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not token.exists():
        fd = os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_hex(32))
    os.environ.update(
        RAY_AUTH_TOKEN_PATH=str(token.resolve()),
        RAY_USAGE_STATS_ENABLED="0",
        RAY_DEDUP_LOGS="0",
        # What Ray's warning about a zero for accelerators asks for.
        RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    )


def _start_local(settings: EngineSettings, temp: Path) -> Path:
    logging.getLogger("ray").setLevel(logging.ERROR)
    cpus = settings.cpus or max(2, os.cpu_count() or 2)
    ray.init(
        "local",
        namespace=_NAMESPACE,
        num_cpus=cpus,
        resources={WHATIF: float(settings.whatif_slots)},
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=False,
        _temp_dir=str(temp),
        _node_ip_address="127.0.0.1",
        _system_config={
            # Ray's own 15 would put twins and gateways behind everything else, and level with
            # what-ifs, which lower themselves.
            "worker_niceness": 0,
            # Calls to an actor that is being restarted fail sooner, so that the next one is sooner.
            "timeout_ms_task_wait_for_death_info": 100,
        },
    )
    return temp
