"""A server process as the plant sees it: started, fed, watched, started again."""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from connectors.plant.physics.draws import Floats
from connectors.plant.physics.truth import Truth
from connectors.plant.wire import Frame, ServerSetup
from models.errors import Unavailable

_LOG: Final = logging.getLogger(__name__)
_MOST_UNREAD: Final = 256 * 1024
_PATIENCE_S: Final = 5.0
_RESTART_S: Final = 1.0

Message = Mapping[str, object]


@dataclass(slots=True)
class ServerChild:
    """One server process.

    Parameters
    ----------
    setup
        What it is told at its start.
    heard
        Called with each message of the process.
    """

    setup: ServerSetup
    heard: Callable[[str, Message], None]
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0
    dropped: int = 0
    offset_us: int = 0
    frozen: bool = False
    listened: bool = False
    failure: str = ""
    _process: asyncio.subprocess.Process | None = None
    _columns: "np.ndarray[tuple[int], np.dtype[np.intp]] | None" = None
    _scales: Floats | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._process is None else self._process.pid

    def read_from(self, truth: Truth) -> None:
        """Remember which readings of the park its variables show."""
        live = [node for node in self.setup.nodes if node.path]
        self._columns = np.array([truth.column(node.path) for node in live], np.intp)
        self._scales = np.array([node.scale for node in live])

    async def keep_running(self) -> None:
        """Start the process, and start it again whenever it ends; until cancelled.

        Raises
        ------
        Unavailable
            When it ended before it ever listened.
        """
        try:
            while True:
                await self._run_once()
                if not self.listened:
                    raise Unavailable(
                        f"no server listens at {self.setup.url} ({self.failure or 'it ended'})",
                        "free the port or choose another with --urls or --port-base",
                    )
                _LOG.warning("server ended", extra={"endpoint": self.setup.endpoint})
                await asyncio.sleep(_RESTART_S)
        finally:
            await self._stop()

    async def restart(self, namespaces: tuple[str, ...] | None) -> None:
        """Kill the process; the next one may have its namespaces in another order."""
        if namespaces is not None:
            self.setup = replace(self.setup, namespaces=namespaces)
        self.ready.clear()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def feed(self, readings: Floats, clock_us: int, speed: float) -> None:
        """Send the readings; a process that does not read loses them, like a dead line."""
        process = self._process
        if process is None or process.stdin is None or not self.ready.is_set():
            return
        if process.stdin.transport.get_write_buffer_size() > _MOST_UNREAD:
            self.dropped += 1
            return
        values = np.zeros(0)
        if not self.frozen and self._columns is not None and self._scales is not None:
            values = readings[self._columns] / self._scales
        frame = Frame(
            at_us=clock_us + self.offset_us, clock_us=clock_us, speed=speed, values=values
        )
        with suppress(ConnectionError, RuntimeError):
            process.stdin.write(frame.encode())

    async def _run_once(self) -> None:
        self.ready.clear()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "connectors.plant.server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.starts += 1
        if self._process.stdin is None or self._process.stdout is None:
            return
        with suppress(ConnectionError):
            self._process.stdin.write(self.setup.line())
            await self._process.stdin.drain()
        async for line in self._process.stdout:
            message = json.loads(line)
            if "ready" in message:
                self.listened = True
                self.ready.set()
            self.failure = str(message.get("failed", ""))
            self.heard(self.setup.endpoint, message)
        await self._process.wait()

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE_S)
        except TimeoutError:
            process.kill()
            await process.wait()
