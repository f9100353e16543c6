"""One real service on one real Ray for the tests of a file, with a virtual plant to read."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from cluster.service import Service
from cluster.settings import ParkSettings, ServiceSettings
from connectors.plant.process import free_ports

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
PARK = ROOT / "examples" / "minimal.yaml"
_START_S = 120.0


class RunningService:
    """A service in a thread with an event loop of its own.

    Parameters
    ----------
    service
        The service.
    plant
        The process of its plant.
    """

    def __init__(self, service: Service, plant: "subprocess.Popen[bytes]") -> None:
        self.service, self.plant = service, plant
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="service")

    def ask(self, question: Awaitable[T]) -> T:
        """Wait for an answer of the service."""
        return asyncio.run_coroutine_threadsafe(question, self.loop).result(120)

    def start(self) -> None:
        """Begin, and wait until every part works."""
        self._thread.start()
        self.ask(self.service.begin())
        until(lambda: self._ready(), _START_S)

    def stop(self) -> None:
        """End the service and its loop."""
        self.ask(self.service.end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        self.loop.close()

    def _ready(self) -> bool:
        parts = self.ask(self.service.parts())
        broken = [part.cause for part in parts if part.cause.startswith("failed: ")]
        assert not broken, broken
        return len(parts) >= 5 and all(part.ok for part in parts)


def until(true: Callable[[], bool], patience_s: float) -> None:
    """Wait for something that becomes true in another process."""
    last = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < last, f"not within {patience_s} s"
        time.sleep(0.05)


def start_plant(folder: Path, park: Path, endpoint: str) -> "subprocess.Popen[bytes]":
    """Start the plant of a park with one endpoint on a free port."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "connectors.plant", str(park), "--die-with-parent"]
    command += ["--urls", f"{endpoint}=opc.tcp://127.0.0.1:{port}"]
    command += ["--ready-file", str(folder / "ready.json"), "--state", str(folder / "state.json")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The service of ``examples/minimal.yaml`` with its plant."""
    folder = tmp_path_factory.mktemp("service")
    plant = start_plant(folder, PARK, "plc")
    until(lambda: (folder / "ready.json").exists(), 60)
    urls = json.loads((folder / "ready.json").read_text("utf-8"))["endpoints"]
    settings = ServiceSettings(
        data=str(folder / "data"),
        database="",
        parks=(
            ParkSettings(
                file=str(PARK),
                demo=True,
                urls=urls,
                clock=str(folder / "state.json"),
                ready=str(folder / "ready.json"),
            ),
        ),
        whatif_slots=2,
    )
    settings.folder.make()
    service = Service(settings)
    running = RunningService(service, plant)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        plant.terminate()
        plant.wait(20)
