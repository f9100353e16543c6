"""The proxy of the load bench, in front of a server of these tests."""

import asyncio

from connectors.load.proxy import Proxy


class Link(Proxy):
    """A link to a server of this machine that can be made as bad as one likes."""

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    async def outage(self, seconds: float) -> None:
        """Reset every connection, and refuse new ones for a time."""
        async with self.away():
            await asyncio.sleep(seconds)
