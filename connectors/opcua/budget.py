"""Sessions one service may have at one server: test, crawl, browse and subscription share them.

Small PLCs know five or ten sessions for everybody. A test or a crawl waits for its turn, and never
takes the last one, which is the subscription's.
"""

import asyncio
from collections import Counter
from typing import Final, Literal
from urllib.parse import urlsplit

from connectors.opcua.profiles import SESSIONS
from models.errors import Unavailable

Purpose = Literal["subscription", "spare", "test", "crawl", "browse"]

_KEPT: Final[dict[tuple[int, str], "Budget"]] = {}


class Budget:
    """Sessions to one server.

    Parameters
    ----------
    most
        How many at a time.
    """

    def __init__(self, most: int = SESSIONS) -> None:
        self.most = most
        self.used: Counter[Purpose] = Counter()
        self._changed = asyncio.Event()

    def __str__(self) -> str:
        told = ", ".join(f"{n} {purpose}" for purpose, n in sorted(self.used.items()) if n)
        return f"{self.used.total()} of {self.most} sessions ({told or 'none'})"

    def _fits(self, purpose: Purpose) -> bool:
        if purpose == "subscription":
            # It is the one that may not wait for anybody.
            return True
        reserved = 0 if self.used["subscription"] else 1
        return self.used.total() + reserved < max(self.most, 2)

    async def take(self, purpose: Purpose, timeout_s: float) -> None:
        """Wait for a session.

        Raises
        ------
        Unavailable
            When none becomes free in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while not self._fits(purpose):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as fault:
            raise Unavailable(
                f"{self} to this server are in use", "wait until a test or crawl has ended"
            ) from fault
        self.used[purpose] += 1

    def give_back(self, purpose: Purpose) -> None:
        """A session was closed."""
        self.used[purpose] -= 1
        self._changed.set()


def budget_of(url: str) -> Budget:
    """The budget of the server at an address, shared by everything in this event loop."""
    parts = urlsplit(url)
    key = (id(asyncio.get_running_loop()), f"{parts.hostname}:{parts.port}")
    return _KEPT.setdefault(key, Budget())
