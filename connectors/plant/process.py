"""A plant as a child process of a test or a supervisor: started, commanded, stopped."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import Unavailable

_PATIENCE_S: Final = 10.0
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantPaths:
    """Files of a running plant: who listens where, its clock and counters, its fault labels."""

    ready: Path
    state: Path
    labels: Path


class PlantProcess:
    """A running plant in its own process.

    Parameters
    ----------
    process
        The process, with standard input for commands.
    paths
        Its files.
    """

    def __init__(self, process: asyncio.subprocess.Process, paths: PlantPaths) -> None:
        self._process = process
        self.paths = paths

    @property
    def pid(self) -> int:
        """Process id of the plant."""
        return self._process.pid

    @property
    def urls(self) -> Mapping[str, str]:
        """Address of each endpoint."""
        return {name: str(url) for name, url in self._ready()["endpoints"].items()}

    def server_pid(self, endpoint: str) -> int:
        """Process id of one server."""
        return int(str(self._ready()["pids"][endpoint]))

    def labels(self) -> list[dict[str, object]]:
        """Labels of the faults so far."""
        if not self.paths.labels.exists():
            return []
        return [json.loads(line) for line in self.paths.labels.read_text("utf-8").splitlines()]

    async def ready(self, timeout_s: float = 60.0) -> None:
        """Wait until all servers listen.

        Raises
        ------
        Unavailable
            When the plant ended or did not listen in time.
        """
        ended = self._process
        await _until(lambda: self.paths.ready.exists() or ended.returncode is not None, timeout_s)
        if ended.returncode is not None:
            raise Unavailable("the plant ended at its start", "see its error output")

    async def inject(
        self, kind: str, target: str, size: float = 0.0, duration_s: float = 0.0
    ) -> None:
        """Begin a fault with the next second; a duration of 0 lasts until it is cleared."""
        fault = {"kind": kind, "target": target, "size": size, "duration_s": duration_s}
        await self._command({"fault": fault})

    async def clear(self, kind: str, target: str) -> None:
        """End a fault."""
        await self._command({"clear": {"kind": kind, "target": target}})

    async def run_at(self, speed: float) -> None:
        """Go on at another speed."""
        await self._command({"speed": speed})

    async def restart(self, endpoint: str, namespaces: Sequence[str] | None = None) -> None:
        """Kill a server, and wait for the next one, with its namespaces in the given order."""
        before = self.server_pid(endpoint)
        order = None if namespaces is None else list(namespaces)
        await self._command({"restart": endpoint, "namespaces": order})
        await _until(lambda: self.server_pid(endpoint) != before, 60.0)

    def kill(self, endpoint: str) -> None:
        """Kill a server; the plant starts it again."""
        os.kill(self.server_pid(endpoint), signal.SIGKILL)

    @contextlib.contextmanager
    def paused(self, endpoint: str) -> Iterator[None]:
        """Stop a server's process and let it go on at the end: a line that hangs."""
        pid = self.server_pid(endpoint)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    async def stop(self) -> int:
        """Stop the plant and all its servers; its exit code."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _command(self, message: Mapping[str, object]) -> None:
        pipe = self._process.stdin
        if pipe is None or self._process.returncode is not None:
            raise Unavailable("the plant has ended", "start it again")
        pipe.write(json.dumps(message).encode() + b"\n")
        await pipe.drain()

    def _ready(self) -> dict[str, dict[str, object]]:
        made: dict[str, dict[str, object]] = json.loads(self.paths.ready.read_text("utf-8"))
        return made


async def _until(done: Callable[[], bool], timeout_s: float) -> None:
    """Look at a file until it says so."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not done():
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"the plant said nothing for {timeout_s:g} s", "see its error output")
        await asyncio.sleep(_LOOK_S)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that are free now."""
    with contextlib.ExitStack() as open_sockets:
        ports = []
        for _ in range(count):
            sock = open_sockets.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports.append(int(sock.getsockname()[1]))
        return ports


@contextlib.asynccontextmanager
async def plant_process(
    park_file: Path,
    endpoints: Sequence[str],
    *,
    speed: float = 1.0,
    arguments: Sequence[str] = (),
) -> AsyncIterator[PlantProcess]:
    """Run the plant of a park file on free ports until the end of the block.

    Parameters
    ----------
    park_file
        The park file.
    endpoints
        Its endpoints; each gets a free port of the loopback.
    speed
        Seconds of park time per wall second.
    arguments
        More of the command line, e.g. ``("--secure",)``.
    """
    with tempfile.TemporaryDirectory(prefix="parktwin-plant-") as folder:
        paths = PlantPaths(
            ready=Path(folder) / "ready.json",
            state=Path(folder) / "state.json",
            labels=Path(folder) / "labels.jsonl",
        )
        ports = free_ports(len(endpoints))
        urls = [
            f"{name}=opc.tcp://127.0.0.1:{port}"
            for name, port in zip(endpoints, ports, strict=True)
        ]
        command = [sys.executable, "-m", "connectors.plant", str(park_file), "--control"]
        command += ["--die-with-parent", "--speed", f"{speed:g}", "--urls", *urls]
        command += ["--ready-file", str(paths.ready), "--state", str(paths.state)]
        command += ["--labels", str(paths.labels), *arguments]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
        )
        plant = PlantProcess(process, paths)
        try:
            await plant.ready()
            yield plant
        finally:
            await plant.stop()
