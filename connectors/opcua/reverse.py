"""Servers that connect to us (reverse connect, OPC UA Part 6, 7.1.2.6 and 7.1.3).

A server behind a firewall opens the connection and says who it is in a ReverseHello; from there on
everything is as if we had connected: hello, secure channel, session. One listener per process
accepts such connections and keeps them until the endpoint whose address they claim wants one. It
listens only when a setting says where, and only while an endpoint wants it.

Anybody who reaches the port may say anything. A hello proves nothing: it only chooses the endpoint,
and the certificate decides. Connections without a hello, and connections that wait, are bounded in
number, bytes and seconds, those of one sender apart, so that nobody keeps others out: it is always
the oldest of the most frequent sender that has to go.
"""

import asyncio
import itertools
import logging
import re
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, cast
from weakref import WeakKeyDictionary

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from connectors.opcua.listen_at import REVERSE, ListenAt
from connectors.opcua.reach import allowed_reach
from connectors.opcua.slots import server_name
from models.errors import Refused, Unavailable

_log = logging.getLogger(__name__)

WAIT_S: Final = 12.0
"""Longest wait for a server to connect, for one attempt [s]."""

_HEADER: Final = struct.Struct("<3scI")
_LENGTH: Final = struct.Struct("<i")
_FIELD_MOST: Final = 4096
"""Longest ServerUri and EndpointUrl (Part 6, 7.1.2.6)."""
_HELLO_MOST: Final = _HEADER.size + 2 * (_LENGTH.size + _FIELD_MOST)
_TOLD_MOST: Final = 200
_BACKLOG: Final = 64
_SENDERS_MOST: Final = 64
_SWEEP_S: Final = 1.0
_TELL_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseHello:
    """What a server says of itself: its ApplicationUri, and the address of its endpoint."""

    server_uri: str
    endpoint_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a connection is turned away, as a StatusCode and in words."""

    code: int
    what: str

    @property
    def message(self) -> bytes:
        """The Error message (Part 6, 7.1.2.5)."""
        reason = self.what.encode()[:_TOLD_MOST]
        size = _HEADER.size + 4 + _LENGTH.size + len(reason)
        return (
            _HEADER.pack(b"ERR", b"F", size)
            + struct.pack("<I", self.code)
            + _LENGTH.pack(len(reason))
            + reason
        )

    @property
    def name(self) -> str:
        """Name of the StatusCode."""
        return str(ua.StatusCode(ua.UInt32(self.code)).name)


_CODES: Final = StatusCodes
_BUSY: Final = Refusal(code=_CODES.BadTcpServerTooBusy, what="too many connections wait here")
_LATE: Final = Refusal(code=_CODES.BadTimeout, what="no ReverseHello in time")
_STRANGE: Final = Refusal(code=_CODES.BadTcpMessageTypeInvalid, what="a ReverseHello is expected")
_LARGE: Final = Refusal(code=_CODES.BadTcpMessageTooLarge, what="the ReverseHello is too long")
_TALKS: Final = Refusal(
    code=_CODES.BadTcpMessageTypeInvalid, what="nothing may follow a ReverseHello before our hello"
)
_BROKEN: Final = Refusal(
    code=_CODES.BadTcpEndpointUrlInvalid, what="the ReverseHello cannot be read"
)
_NAMELESS: Final = Refusal(
    code=_CODES.BadServerUriInvalid, what="the ReverseHello has no ServerUri"
)


def read_hello(data: bytes) -> ReverseHello | Refusal | None:
    """Read the first message of a connection; None while it is incomplete.

    Parameters
    ----------
    data
        All bytes that came.
    """
    if not b"RHEF".startswith(data[:4]):
        return _STRANGE
    if len(data) < _HEADER.size:
        return None
    size = _HEADER.unpack_from(data)[2]
    if size < _HEADER.size:
        return _BROKEN
    if size > _HELLO_MOST:
        return _LARGE
    if len(data) < size:
        return None
    if len(data) > size:
        return _TALKS
    fields = _texts(data[_HEADER.size :])
    if fields is None:
        return _BROKEN
    server_uri, endpoint_url = fields
    if not server_uri:
        return _NAMELESS
    return ReverseHello(server_uri=server_uri, endpoint_url=endpoint_url)


def _texts(body: bytes) -> tuple[str, str] | None:
    """Two texts that fill a body; None when it is something else."""
    found = []
    for _ in range(2):
        if len(body) < _LENGTH.size:
            return None
        length = max(_LENGTH.unpack_from(body)[0], 0)
        text, body = body[_LENGTH.size : _LENGTH.size + length], body[_LENGTH.size + length :]
        if length > _FIELD_MOST or len(text) < length:
            return None
        try:
            found.append(text.decode())
        except UnicodeDecodeError:
            return None
    return None if body else (found[0], found[1])


def address_key(url: str) -> str:
    """An endpoint's address, the same however it is written; empty for what is none."""
    if not re.fullmatch(r"opc\.tcp://[^\s/@]+(/\S*)?", url, re.IGNORECASE):
        return ""
    try:
        name = server_name(url)
    except ValueError:
        return ""
    path = url.split("/", 3)[3] if url.count("/") > 2 else ""
    return f"{name}/{path.rstrip('/')}"


class _Caller(asyncio.Protocol):
    """A connection somebody opened to us, until a client takes it over."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._data = b""
        self._timer: asyncio.TimerHandle | None = None
        self.peer = ""
        self.hello: ReverseHello | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if name else ""
        if not self.peer or not allowed_reach().holds(self.peer):
            # Nothing is said to strangers, not even that somebody is here.
            self._listener.count("NotAllowed", self.peer, "outside the allowed networks")
            self.transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._listener.at.hello_s, self.refuse, _LATE)
        self._listener.came(self)

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        if self.hello is not None:
            self.refuse(_TALKS)
            return
        # One byte more than allowed is enough to see that it is too much.
        self._data += data[: _HELLO_MOST + 1 - len(self._data)]
        found = read_hello(self._data)
        if isinstance(found, Refusal):
            self.refuse(found)
        elif found is not None:
            self._stop_timer()
            self.hello, self._data = found, b""
            self._listener.introduced(self, found)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._stop_timer()
        self._listener.gone(self)

    @property
    def closing(self) -> bool:
        """Whether it is of no use any more."""
        return self.transport is None or self.transport.is_closing()

    def refuse(self, refusal: Refusal) -> None:
        """Say why, and close."""
        self._stop_timer()
        if self.transport is not None and not self.closing:
            self._listener.count(refusal.name, self.peer, refusal.what)
            self.transport.write(refusal.message)
            self.transport.close()
        self._listener.gone(self)

    def taken(self) -> asyncio.Transport:
        """The connection, for whoever goes on with it."""
        self._listener.gone(self)
        assert self.transport is not None  # noqa: S101 - only open ones are taken
        return self.transport

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _listening(at: ListenAt) -> socket.socket:
    """A socket that listens; accepted ones notice in half a minute that their sender vanished.

    Raises
    ------
    OSError
        When the address is not ours, or taken.
    """
    family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        made.bind((at.host, at.port))
    except OSError:
        made.close()
        raise
    return made


@dataclass(slots=True)
class _Place:
    """One address that endpoints of this process wait for."""

    url: str
    asked_at: float = 0.0
    waiting: list[_Caller] = field(default_factory=list)
    queue: list[tuple[bool, int]] = field(default_factory=list)
    used: list[asyncio.Transport] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def pick(self) -> _Caller | None:
        """The next connection: of the sender that was served longest ago, its newest."""
        self.waiting = [one for one in self.waiting if not one.closing]
        if not self.waiting:
            return None
        return min(reversed(self.waiting), key=lambda one: self.served.get(one.peer, 0))

    def serve(self, peer: str, number: int) -> None:
        """Note that a sender was served; the others come before it then."""
        self.served.pop(peer, None)
        self.served[peer] = number
        if len(self.served) > _SENDERS_MOST:
            del self.served[next(iter(self.served))]

    @property
    def in_use(self) -> bool:
        """Whether a connection of this address is in use."""
        self.used = [one for one in self.used if not one.is_closing()]
        return bool(self.used)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A connection a server has opened, with its hello and where it came from."""

    transport: asyncio.Transport
    hello: ReverseHello
    peer: str


class Listener:
    """Accepts connections of servers while endpoints want them.

    Parameters
    ----------
    at
        Where, and within what bounds.
    """

    def __init__(self, at: ListenAt) -> None:
        self.at = at
        self.counts: Counter[str] = Counter()
        self.last = ""
        self._places: dict[str, _Place] = {}
        self._greeting: list[_Caller] = []
        self._numbers = itertools.count(1)
        self._opening = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._told_at = 0.0

    # --- for endpoints ---

    async def next(self, url: str, timeout_s: float = WAIT_S, *, first: bool = False) -> Arrived:
        """Wait for a connection of the server at an address.

        Parameters
        ----------
        url
            Address of the endpoint, as its server claims it.
        timeout_s
            Longest wait [s].
        first
            Go before others that wait for the same server.

        Raises
        ------
        Refused
            When the address may not be an endpoint's.
        Unavailable
            When none comes in time, or nobody can listen.
        """
        place = await self._place(url)
        caller = await self._wait(place, timeout_s, first=first)
        hello = caller.hello
        assert hello is not None  # noqa: S101 - none waits without
        place.serve(caller.peer, next(self._numbers))
        transport = caller.taken()
        place.used.append(transport)
        return Arrived(transport=transport, hello=hello, peer=caller.peer)

    async def arrival(self, url: str, timeout_s: float = WAIT_S) -> str:
        """Wait until a connection is there, and leave it to whoever asks next; who called.

        Raises
        ------
        Refused, Unavailable
            As `next`.
        """
        return (await self._wait(await self._place(url), timeout_s, first=False)).peer

    @property
    def waiting(self) -> str:
        """What an endpoint does that waits."""
        return f"waiting for the server to connect to {self.at}"

    def waits_for(self, url: str) -> bool:
        """Whether somebody waits for a server now."""
        place = self._places.get(address_key(url))
        return place is not None and bool(place.queue)

    async def close(self) -> None:
        """Listen no more; connections in use go on."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        self._shut()

    async def _place(self, url: str) -> _Place:
        """The place of an address, with the listener open."""
        allowed_reach().claimed(url)
        place = self._places.setdefault(address_key(url), _Place(url))
        place.asked_at = time.monotonic()
        async with self._opening:
            if self._server is None:
                await self._open()
        return place

    async def _wait(self, place: _Place, timeout_s: float, *, first: bool) -> _Caller:
        turn = (not first, next(self._numbers))
        place.queue.append(turn)
        place.queue.sort()
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = place.pick() if place.queue[0] == turn else None
                    if found is not None:
                        return found
                    place.news.clear()
                    await place.news.wait()
        except TimeoutError as fault:
            raise self._nobody(place, timeout_s) from fault
        finally:
            place.asked_at = time.monotonic()
            place.queue.remove(turn)
            place.news.set()

    def _nobody(self, place: _Place, waited_s: float) -> Unavailable:
        what = f"{self.waiting} (for {waited_s:.0f} s by now)"
        if self.counts:
            told = ", ".join(f"{n} {name}" for name, n in self.counts.most_common(3))
            what += f"; turned away since the start: {told}, the last one {self.last}"
        if place.in_use:
            return Unavailable(
                f"{what}; the only connection it has opened is in use",
                "give the server a second reverse connection to this client",
            )
        return Unavailable(
            what,
            f"enter this address as a client of the server's reverse connect; it has to call its "
            f"endpoint {place.url}",
        )

    # --- life ---

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Caller(self), sock=_listening(self.at), backlog=_BACKLOG
            )
        except OSError as fault:
            raise Unavailable(
                f"nobody can listen at {self.at} ({fault.strerror or fault})",
                f"another program has it, perhaps another gateway: let one gateway read all "
                f"endpoints with reverse connect, or set {REVERSE} to a free address",
            ) from fault
        self._sweeper = asyncio.create_task(self._sweep(), name=f"reverse connect {self.at}")
        _log.info("listening for servers", extra={"at": str(self.at)})

    async def _sweep(self) -> None:
        """Forget addresses nobody asked for lately; with the last one the listener ends."""
        try:
            while self._places:
                await asyncio.sleep(_SWEEP_S)
                until = time.monotonic() - self.at.asked_s
                for key, place in list(self._places.items()):
                    if not place.queue and not place.in_use and place.asked_at < until:
                        del self._places[key]
                        _end(place.waiting)
        finally:
            self._shut()

    def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        _end(self._greeting)
        for place in self._places.values():
            _end(place.waiting)

    # --- for connections ---

    def came(self, caller: _Caller) -> None:
        """Give a new connection its time to say hello."""
        if self._server is None:
            caller.refuse(_BUSY)
            return
        self._greeting.append(caller)
        if len(self._greeting) > self.at.greeting:
            _crowding(self._greeting).refuse(_BUSY)

    def introduced(self, caller: _Caller, hello: ReverseHello) -> None:
        """Keep a connection for the endpoint it names, or turn it away."""
        self._greeting.remove(caller)
        place = self._places.get(address_key(hello.endpoint_url))
        if place is None:
            claimed = hello.endpoint_url[:_TOLD_MOST]
            code = _CODES.BadTcpEndpointUrlInvalid
            caller.refuse(Refusal(code=code, what=f"no endpoint here has the address {claimed!r}"))
            return
        place.waiting.append(caller)
        same = [one for one in place.waiting if one.peer == caller.peer]
        if len(same) > max(1, self.at.waiting // 2):
            # The oldest is the likeliest to be dead.
            same[0].refuse(_BUSY)
        elif len(place.waiting) > self.at.waiting:
            _crowding(place.waiting).refuse(_BUSY)
        place.news.set()

    def gone(self, caller: _Caller) -> None:
        """Forget a connection that is closed, or was taken over."""
        if caller in self._greeting:
            self._greeting.remove(caller)
        for place in self._places.values():
            if caller in place.waiting:
                place.waiting.remove(caller)

    def count(self, name: str, peer: str, what: str) -> None:
        """Count who is turned away, and tell it now and then."""
        self.counts[name] += 1
        self.last = f"{peer}: {what}"
        now = time.monotonic()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            _log.warning(
                "connections turned away", extra={"counts": dict(self.counts), "last": self.last}
            )


def _crowding(callers: Iterable[_Caller]) -> _Caller:
    """The oldest connection of the sender that has most."""
    held = list(callers)
    many = Counter(one.peer for one in held)
    return max(held, key=lambda one: many[one.peer])


def _end(callers: list[_Caller]) -> None:
    for caller in list(callers):
        if caller.transport is not None:
            caller.transport.abort()
    callers.clear()


_at: Final[list[ListenAt]] = []
_listeners: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Listener]] = WeakKeyDictionary()


def listen_for_servers(at: ListenAt | None) -> None:
    """Say where this process listens, if anywhere; once, at its door."""
    _at[:] = [at] if at is not None else []


def listener() -> Listener:
    """The listener of this event loop.

    Raises
    ------
    Refused
        When this process listens nowhere.
    """
    if not _at:
        raise Refused(
            "this gateway listens for no servers, and the endpoint is one that connects itself",
            f"set {REVERSE} (4841, or 10.0.0.7:4841) where the gateway is started, and start again",
        )
    loop = asyncio.get_running_loop()
    found = _listeners.get(loop)
    if found is None or found.at is not _at[0]:
        found = _listeners[loop] = Listener(_at[0])
    return found


async def stop_listening() -> None:
    """Close the listener of this event loop, if there is one."""
    found = _listeners.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found.close()


def waiting_told(url: str) -> str:
    """That an endpoint waits for its server to connect; empty when it does not."""
    found = _listeners.get(asyncio.get_running_loop())
    return found.waiting if found is not None and found.waits_for(url) else ""
