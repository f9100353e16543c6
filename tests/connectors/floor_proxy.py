"""A TCP proxy for the tests: it cuts, refuses, delays, throttles, and swallows one way or both."""

import asyncio
import contextlib

from floor_plc import free_port


class Link:
    """A link to a port of this machine that can be made as bad as one likes.

    Attributes
    ----------
    refuse
        New connections are reset at once.
    flow
        While not set, bytes wait in both directions (a half-open link: nobody is told).
    swallow
        What the server sends is taken from it, and thrown away.
    delay_s
        Every piece comes this much later.
    bytes_per_s
        Most bytes per second and direction; 0 has no limit.
    """

    def __init__(self, target: int) -> None:
        self.target, self.port = target, free_port()
        self.refuse = self.swallow = False
        self.delay_s = 0.0
        self.bytes_per_s = 0
        self.swallowed = 0
        self.flow = asyncio.Event()
        self.flow.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        self.flow.set()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def outage(self, seconds: float) -> None:
        """Reset every connection, and refuse new ones for a time."""
        self.refuse = True
        self.cut()
        await asyncio.sleep(seconds)
        self.refuse = False

    async def blackhole(self, seconds: float) -> None:
        """Let nothing through for a time, and tell nobody."""
        self.flow.clear()
        await asyncio.sleep(seconds)
        self.flow.set()

    async def _accept(self, reader, writer) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        try:
            other, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, back}
        for source, sink, down in ((reader, back, False), (other, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, down))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader, writer, down: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self.flow.wait()
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                if down and self.swallow:
                    self.swallowed += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
