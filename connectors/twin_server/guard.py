"""What every connection is held to before a byte of it is understood.

asyncua gathers a chunk of any announced size before it looks at its limits, so a stranger who
announces four gigabytes could fill the memory. Here the announced size of every chunk is read as it
comes in, and a connection that announces too much, or is no OPC UA, is closed at once.
"""

from typing import Final

from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.server import Server

from connectors.twin_server.sessions import GuardedServer

HEADER: Final = 8
KINDS: Final = frozenset({b"HEL", b"OPN", b"MSG", b"CLO"})


class Chunks:
    """Follows a stream of chunks by their headers alone.

    Parameters
    ----------
    most
        Largest chunk that is taken [B].
    """

    def __init__(self, most: int) -> None:
        self._most, self._head, self._left = most, b"", 0

    def take(self, data: bytes) -> bool:
        """Follow some bytes; False when the stream announced what is not taken."""
        while data:
            if self._left:
                skipped = min(self._left, len(data))
                data, self._left = data[skipped:], self._left - skipped
                continue
            wanted = HEADER - len(self._head)
            self._head, data = self._head + data[:wanted], data[wanted:]
            if len(self._head) == HEADER and not self._announced():
                return False
        return True

    def _announced(self) -> bool:
        size = int.from_bytes(self._head[4:], "little")
        known = self._head[:3] in KINDS and HEADER < size <= self._most
        self._head, self._left = b"", size - HEADER
        return known


class GuardedProtocol(OPCUAProtocol):
    """A connection of asyncua behind `Chunks`."""

    _chunks: Chunks | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless they announce too much."""
        if self._chunks is None:
            self._chunks = Chunks(self.limits.max_recv_buffer)
        if self._chunks.take(data):
            super().data_received(data)
        elif self.transport is not None:
            self.transport.abort()

    def connection_lost(self, ex: BaseException | None) -> None:
        """Forget the connection."""
        super().connection_lost(ex)
        if isinstance(self.iserver, GuardedServer):
            self.iserver.forget(self.peer_name)


class GuardedBinaryServer(BinaryServer):
    """asyncua's socket server with guarded connections."""

    def _make_protocol(self) -> OPCUAProtocol:
        return GuardedProtocol(
            iserver=self.iserver,
            policies=self._policies,
            clients=self.clients,
            closing_tasks=self.closing_tasks,
            limits=self.limits,
        )


class GuardedUaServer(Server):
    """asyncua's server that listens through guarded connections."""

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        OSError
            When the address cannot be opened.
        """
        await self._setup_server_nodes()
        await self.iserver.start()
        host, port = self.endpoint.hostname, self.endpoint.port
        self.bserver = GuardedBinaryServer(self.iserver, host or "", port or 0, self.limits)
        self.bserver.set_policies(self._policies)
        try:
            await self.bserver.start()
        except OSError:
            await self.iserver.stop()
            raise
