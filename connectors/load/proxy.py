"""A TCP proxy that fails like a network: cuts, refuses, swallows, delays, throttles."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final

_READ: Final = 65_536


class Proxy:
    """Stands between a client and a server on loopback.

    Parameters
    ----------
    target
        Port of the server.

    Attributes
    ----------
    refuse
        New connections are reset at once.
    delay_s
        Added to every piece of data on its way [s].
    bytes_per_s
        Throughput of each direction of each connection at most [B/s]; 0 is unbounded.
    swallow
        What the server sends is taken from it, and thrown away: it believes that it arrived.
    swallowed
        So much was thrown away [B].
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.refuse = False
        self.delay_s = 0.0
        self.bytes_per_s = 0
        self.swallow = False
        self.swallowed = 0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- faults ---

    def cut(self) -> None:
        """Reset every connection, on both sides."""
        for writer in tuple(self._writers):
            _reset(writer)
        self._writers.clear()

    @contextlib.asynccontextmanager
    async def away(self, target: int | None = None) -> AsyncIterator[None]:
        """Cut, and refuse until the block ends; then the server may have another port."""
        self.refuse = True
        self.cut()
        try:
            yield
        finally:
            self._target = target or self._target
            self.refuse = False

    @contextlib.asynccontextmanager
    async def blackhole(self) -> AsyncIterator[None]:
        """Swallow everything, connections included, until the block ends.

        What was on its way arrives afterwards, as TCP sends it again; connections that were made
        meanwhile are made then.
        """
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    # --- data ---

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._open.wait()
            if self.refuse:
                _reset(writer)
                return
            other, back = await asyncio.open_connection("127.0.0.1", self._target)
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, back, writer, down=False))
                    both.create_task(self._pump(other, writer, back, down=True))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except OSError:
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        *,
        down: bool,
    ) -> None:
        """Carry one direction, down from the server or up to it; when it ends, both do."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ):
                await self._open.wait()
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
        back.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken link does: with a reset, not in order."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
