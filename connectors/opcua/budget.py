"""Sessions we may have at one server: test, crawl, browse and subscription share them.

Small PLCs know five or ten sessions for everybody. A test or a crawl waits for its turn, and never
takes the last one, which is the subscription's. Processes that share a data folder share the count
(`connectors.opcua.slots`); those of other folders or machines cannot be known.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from connectors.opcua.profiles import SESSIONS
from connectors.opcua.slots import Holder, Slots, server_name
from models.errors import Unavailable

_log = logging.getLogger(__name__)

Purpose = Literal["subscription", "spare", "test", "crawl", "browse"]

_LOOK_S: Final = 0.1
"""Nobody tells when another process gives a session back."""
_DOOR_S: Final = 1.0
"""A subscription waits this long for its turn to count, and then goes on all the same."""
_KEPT: Final[dict[tuple[int, str, str], "Budget"]] = {}
_folder: Final[list[Path]] = []


class Budget:
    """Sessions to one server.

    Parameters
    ----------
    most
        How many at a time.
    folder
        Folder of this server that all processes share; None counts in this one only.
    """

    def __init__(self, most: int = SESSIONS, folder: Path | None = None) -> None:
        self._most = most
        self._slots = Slots(folder) if folder is not None else None
        self._files: dict[Purpose, list[int]] = {}
        self.used: Counter[Purpose] = Counter()
        self._changed = asyncio.Event()

    @property
    def most(self) -> int:
        """How many sessions at a time; at least two, for one is the subscription's."""
        stated = self._slots.stated() if self._slots is not None else None
        return max(stated or self._most, 2)

    @most.setter
    def most(self, most: int) -> None:
        self._most = most
        if self._slots is not None:
            with contextlib.suppress(OSError):
                self._slots.state(most)

    def __str__(self) -> str:
        holders = self.holders()
        if holders:
            told = "; ".join(map(str, holders))
            return f"{len(holders)} of {self.most} sessions ({told})"
        told = ", ".join(f"{n} {purpose}" for purpose, n in sorted(self.used.items()) if n)
        return f"{self.used.total()} of {self.most} sessions ({told or 'none'})"

    def holders(self) -> tuple[Holder, ...]:
        """Who has sessions, in all processes; nobody when they are counted in this one only."""
        with contextlib.suppress(OSError):
            return self._slots.holders() if self._slots is not None else ()
        return ()

    async def take(self, purpose: Purpose, timeout_s: float) -> None:
        """Wait for a session; a subscription gets one at once, whoever has the others.

        Raises
        ------
        Unavailable
            When none becomes free in time.
        """
        first = purpose == "subscription"
        until = time.monotonic() + (min(timeout_s, _DOOR_S) if first else timeout_s)
        while not self._took(purpose, anyway=first and time.monotonic() >= until):
            left_s = until - time.monotonic()
            if left_s <= 0 and not first:
                raise Unavailable(
                    f"no session left: {self} to this server are in use",
                    "wait until a test or crawl has ended",
                )
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(left_s, 0.0), _LOOK_S)):
                    await self._changed.wait()

    def _took(self, purpose: Purpose, *, anyway: bool) -> bool:
        """Take a session if that is possible now.

        The files are opened here and not in a thread: a few calls that never wait, and no
        cancellation can come between them and the count.
        """
        if self._slots is not None:
            since = datetime.now(UTC).isoformat(timespec="seconds")
            try:
                file = self._slots.take(
                    purpose, since, self.most, first=purpose == "subscription", anyway=anyway
                )
            except OSError as fault:
                _log.warning(
                    "sessions are counted in this process only", extra={"fault": str(fault)}
                )
                self._slots = None
            else:
                if file is None:
                    return False
                self._files.setdefault(purpose, []).append(file)
                self.used[purpose] += 1
                return True
        if not self._fits(purpose):
            return False
        self.used[purpose] += 1
        return True

    def _fits(self, purpose: Purpose) -> bool:
        if purpose == "subscription":
            # It is the one that may not wait for anybody.
            return True
        reserved = 0 if self.used["subscription"] else 1
        return self.used.total() + reserved < self.most

    def give_back(self, purpose: Purpose) -> None:
        """A session was closed."""
        self.used[purpose] -= 1
        if files := self._files.get(purpose):
            os.close(files.pop())
        self._changed.set()


def share_sessions(folder: Path) -> None:
    """Say where the processes of this machine count their sessions together; once, at the door."""
    _folder[:] = [folder]


def budget_of(url: str) -> Budget:
    """The budget of the server at an address, shared by everything in this event loop."""
    name, shared = server_name(url), _folder[0] if _folder else None
    key = (id(asyncio.get_running_loop()), name, str(shared or ""))
    if key not in _KEPT:
        _KEPT[key] = Budget(folder=shared / name if shared is not None else None)
    return _KEPT[key]


def holders_at(url: str) -> tuple[Holder, ...]:
    """Who has sessions to the server at an address, as far as this machine knows."""
    if not _folder:
        return ()
    with contextlib.suppress(OSError, ValueError):  # an address that is none has no sessions
        return Slots(_folder[0] / server_name(url)).holders()
    return ()
