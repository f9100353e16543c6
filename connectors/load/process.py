"""A load server in a process of its own: started, asked, killed and started again."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from connectors.load.taker import Plant
from connectors.load.values import Mix, Ticks
from connectors.plant.process import free_ports
from models.errors import Unavailable

_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a load server shall serve.

    Parameters
    ----------
    nodes, hz, mix
        How many nodes, changes of each per second, and their types.
    queue
        Longest queue of an item it grants.
    flood, history
        Sends as fast as it is asked; keeps a history.
    core
        Processor core to stay on; below 0 any.
    """

    nodes: int
    hz: float = 10.0
    mix: Mix = "double"
    queue: int = 10_000
    flood: bool = False
    history: bool = False
    core: int = -1

    def arguments(self, port: int) -> tuple[str, ...]:
        """Command line of the server."""
        told = (str(port), "--nodes", str(self.nodes), "--hz", f"{self.hz:g}", "--mix", self.mix,
                "--queue", str(self.queue))  # fmt: skip
        flags = (("--flood", self.flood), ("--history", self.history))
        core = ("--core", str(self.core)) if self.core >= 0 else ()
        return (*told, *core, *(name for name, given in flags if given))


class LoadProcess:
    """A running load server.

    Parameters
    ----------
    load
        What it serves.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        (self.port,) = free_ports(1)
        self._process: asyncio.subprocess.Process | None = None
        self.ticks = Ticks(zero_us=0, period_us=round(1e6 / load.hz))

    @property
    def plant(self) -> Plant:
        """How to speak to it."""
        return Plant(
            url=f"opc.tcp://127.0.0.1:{self.port}/load",
            nodes=self._load.nodes,
            mix=self._load.mix,
            ticks=self.ticks,
        )

    async def start(self) -> None:
        """Start it, again with the ticks it had.

        Raises
        ------
        Unavailable
            When it does not listen in time.
        """
        command = [sys.executable, "-m", "connectors.load", *self._load.arguments(self.port)]
        if self.ticks.zero_us:
            command += ["--zero-us", str(self.ticks.zero_us)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        told = await self._line()
        self.ticks = Ticks(zero_us=int(told["zero_us"]), period_us=int(told["period_us"]))

    async def ask(self) -> dict[str, float]:
        """What it sent so far, and its CPU time."""
        process = self._process
        if process is None or process.stdin is None:
            raise Unavailable("the load server does not run")
        process.stdin.write(b"\n")
        await process.stdin.drain()
        return await self._line()

    async def _line(self) -> dict[str, float]:
        process = self._process
        if process is None or process.stdout is None:
            raise Unavailable("the load server does not run")
        async with asyncio.timeout(_PATIENCE_S):
            line = await process.stdout.readline()
        if not line:
            raise Unavailable("the load server ended", "see its error output")
        told: dict[str, float] = json.loads(line)
        return told

    async def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def running(load: Load) -> AsyncIterator[LoadProcess]:
    """A load server until the end of the block."""
    process = LoadProcess(load)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()
