"""Where endpoints may lie: networks and ports this process may connect to.

Whoever may register an endpoint makes this process open connections. Without bounds it could be
used to scan other networks, so every address is checked, on every connection, and what was checked
is what is connected to: a name that is looked up again may answer with another number.
"""

import asyncio
import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from models.errors import InputError, Refused, Unavailable

NETWORKS: Final = "PARKTWIN_OPCUA_NETWORKS"
"""Setting with the allowed networks, between commas; ``private`` stands for `PRIVATE`."""
PORTS: Final = "PARKTWIN_OPCUA_PORTS"
"""Setting with the allowed ports or ranges of ports, between commas."""
PRIVATE: Final = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
)
"""Loopback and the private ranges (RFC 1918, RFC 4193)."""
_PORTS: Final = ((1024, 65535),)
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Addresses an endpoint may have.

    Parameters
    ----------
    networks
        Allowed networks; by default loopback and private ranges.
    ports
        Allowed ports: first and last of each range.
    """

    networks: tuple[str, ...] = PRIVATE
    ports: tuple[tuple[int, int], ...] = _PORTS

    async def resolve(self, url: str) -> tuple[str, int]:
        """First address of the host, and the port.

        Raises
        ------
        Refused
            When any address of the host, or the port, is not allowed.
        Unavailable
            When the name is not known.
        """
        host, port = self._checked(url)
        addresses = await _addresses(host, port)
        for address in addresses:
            self._allowed(host, address)
        return addresses[0], port

    def claimed(self, url: str) -> None:
        """Check an address nobody connects to, because its server connects to us.

        A name in it is not looked up: it may be known in the server's network only.

        Raises
        ------
        Refused
            When the port, or the host as a number, is not allowed.
        """
        host, _ = self._checked(url)
        with contextlib.suppress(ValueError):
            self._allowed(host, str(ipaddress.ip_address(host)))

    def _checked(self, url: str) -> tuple[str, int]:
        """Host and port, when the port is allowed."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 4840
        if not any(first <= port <= last for first, last in self.ports):
            allowed = ", ".join(f"{first}-{last}" for first, last in self.ports)
            raise Refused(
                f"port {port} is not allowed, only {allowed}",
                f"correct it, or add it to {PORTS} and start again",
            )
        return host, port

    def _allowed(self, host: str, address: str) -> None:
        if not self.holds(address):
            raise Refused(
                f"{host} is {address}, which is outside the allowed networks",
                f"correct it, or add its network to {NETWORKS} (private,{address}/…) and "
                "start again",
            )

    async def pinned(self, url: str) -> str:
        """The same address with the first number of its host in place of the name.

        Raises
        ------
        Refused, Unavailable
            As `resolve`.
        """
        address, port = await self.resolve(url)
        host = f"[{address}]" if ":" in address else address
        return urlsplit(url)._replace(netloc=f"{host}:{port}").geturl()

    def holds(self, address: str) -> bool:
        """Whether an address lies in the allowed networks.

        One of IPv4 comes as ``::ffff:10.0.0.5`` to whoever listens at ``[::]``.
        """
        number = ipaddress.ip_address(address.partition("%")[0])
        mapped = number.ipv4_mapped if isinstance(number, ipaddress.IPv6Address) else None
        number = mapped or number
        networks: list[_Network] = [ipaddress.ip_network(text) for text in self.networks]
        return any(number in network for network in networks if network.version == number.version)


async def _addresses(host: str, port: int) -> list[str]:
    """All addresses of a host; one that is written as a number is asked of nobody."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as fault:
        raise Unavailable(
            f"the name {host} is not known", "check the spelling, or write the IP address"
        ) from fault
    return [str(entry[4][0]) for entry in found]


_process: list[Reach] = [Reach()]


def allow_reach(reach: Reach) -> None:
    """Say where this process may connect to; once, at its door."""
    _process[:] = [reach]


def allowed_reach() -> Reach:
    """Where this process may connect to."""
    return _process[0]


def reach_of(networks: str, ports: str) -> Reach:
    """What the settings `NETWORKS` and `PORTS` say; the defaults where they are empty.

    Raises
    ------
    InputError
        When one is no network or no port.
    """
    return Reach(networks=_networks(networks) or PRIVATE, ports=_ranges(ports) or _PORTS)


def _networks(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        if part == "private":
            found.extend(PRIVATE)
            continue
        try:
            found.append(str(ipaddress.ip_network(part)))
        except ValueError as fault:
            raise InputError(
                f"{part!r} is no network ({fault})",
                "write private, 203.0.113.0/24 or 203.0.113.7/32, between commas",
                NETWORKS,
            ) from fault
    return tuple(found)


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            raise InputError(
                f"{part!r} is no port", "write 4840 or 49320-49330, between commas", PORTS
            )
        found.append((first, last))
    return tuple(found)
