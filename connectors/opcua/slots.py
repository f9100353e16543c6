"""Sessions to one server, counted over all processes of a machine that share a data folder.

Each session is a file with an exclusive lock (``flock``). The kernel frees the lock when its
process ends, however it ends, so that nothing has to be tidied up after a ``kill -9``. Slot 0 is
the subscription's; the others are anybody's. What is written in a slot (process, purpose, since
when) is for people: only the lock counts.
"""

import contextlib
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_DOOR, _STATED, _SLOT = "door", "most", "slot-"
_NAME_MOST: Final = 100
_KNOCKS: Final = 20
_KNOCK_S: Final = 0.001
_TOLD_MOST: Final = 1000
"""Bytes read of a slot: what is longer was not written by us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who holds a session.

    Parameters
    ----------
    pid
        Its process; 0 when it has not said so yet.
    purpose
        What for: subscription, test, crawl, browse.
    since
        Since when, ISO 8601 in UTC.
    """

    pid: int
    purpose: str
    since: str

    def __str__(self) -> str:
        return f"{self.purpose} of process {self.pid} since {self.since}"


class Slots:
    """The slots of one server.

    Parameters
    ----------
    folder
        Folder of this server; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(
        self, purpose: str, since: str, most: int, *, first: bool, anyway: bool = False
    ) -> int | None:
        """Take a slot; closing the descriptor gives it back.

        Parameters
        ----------
        purpose, since
            Written into the slot.
        most
            Slots of this server.
        first
            Take slot 0, or else one above all others if none is free.
        anyway
            Do not wait for the door.

        Returns
        -------
        int or None
            Its descriptor, which no program started from here inherits; None when none is free.

        Raises
        ------
        OSError
            When the folder or a file cannot be used.
        """
        self._make()
        with self._door() as ours:
            if not ours and not anyway:
                return None
            found = self._found(most, first=first)
        if found is not None:
            told = json.dumps({"pid": os.getpid(), "purpose": purpose, "since": since})
            try:
                os.ftruncate(found, 0)
                os.pwrite(found, told.encode(), 0)
            except OSError:
                os.close(found)
                raise
        return found

    def _found(self, most: int, *, first: bool) -> int | None:
        """The lowest slot that may be taken, locked."""
        if not first:
            held = self._held()
            reserved = 0 if 0 in held else 1
            if len(held) + reserved >= most:
                return None
        number = 0 if first else 1
        while True:
            file = self._open(f"{_SLOT}{number}")
            if _locked(file):
                return file
            os.close(file)
            number += 1

    def holders(self) -> tuple[Holder, ...]:
        """Who holds sessions now, the subscription first; nobody while the door stays shut."""
        for _ in range(_KNOCKS if self._folder.is_dir() else 0):
            with self._door() as ours:
                if ours:
                    return tuple(self._told(number) for number in self._held())
            # Else a lock tried here could keep a subscription from its slot.
            time.sleep(_KNOCK_S)
        return ()

    def state(self, most: int) -> None:
        """Say how many sessions there are, to all processes.

        Raises
        ------
        OSError
            When it cannot be written.
        """
        if self.stated() != most:
            self._make()
            file = self._open(_STATED)
            try:
                os.ftruncate(file, 0)
                os.pwrite(file, str(most).encode(), 0)
            finally:
                os.close(file)

    def stated(self) -> int | None:
        """How many sessions somebody said there are; None when nobody did."""
        told = self._read(_STATED)
        return int(told) if re.fullmatch(rb"\d{1,4}", told) else None

    # --- files ---

    def _make(self) -> None:
        self._folder.parent.mkdir(mode=_FOLDER, parents=True, exist_ok=True)
        self._folder.mkdir(mode=_FOLDER, exist_ok=True)

    def _open(self, name: str) -> int:
        # A link would have us truncate somebody else's file.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self._folder / name, flags, _FILE)

    @contextlib.contextmanager
    def _door(self) -> Iterator[bool]:
        """One process at a time counts and takes; false when another one is at it."""
        try:
            file = self._open(_DOOR)
        except FileNotFoundError:
            yield False
            return
        try:
            yield _locked(file)
        finally:
            os.close(file)

    def _held(self) -> list[int]:
        """Numbers of the slots that are held; only behind the door, for it tries their locks."""
        numbers = [
            int(path.name.removeprefix(_SLOT))
            for path in self._folder.glob(f"{_SLOT}*")
            if path.name.removeprefix(_SLOT).isdecimal()
        ]
        return [number for number in sorted(numbers) if not self._free(number)]

    def _free(self, number: int) -> bool:
        file = self._open(f"{_SLOT}{number}")
        try:
            return _locked(file)
        finally:
            os.close(file)

    def _told(self, number: int) -> Holder:
        try:
            plain = json.loads(self._read(f"{_SLOT}{number}"))
            return Holder(
                pid=int(plain["pid"]), purpose=str(plain["purpose"]), since=str(plain["since"])
            )
        except (ValueError, TypeError, KeyError):
            return Holder(pid=0, purpose="session", since="now")

    def _read(self, name: str) -> bytes:
        with contextlib.suppress(OSError), (self._folder / name).open("rb") as file:
            return file.read(_TOLD_MOST)
        return b""


def _locked(file: int) -> bool:
    """Lock a file now, or not at all."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def server_name(url: str) -> str:
    """Host and port of an address as a name of a folder, the same however they are written.

    No name is looked up: a server that is called by its name and by its number has two.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost":
        host = "127.0.0.1"
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        host = str(mapped or address)
    name = f"{quote(host, safe='')}_{parts.port or 4840}"
    if len(name) > _NAME_MOST:
        return hashlib.sha256(name.encode()).hexdigest()
    return name
