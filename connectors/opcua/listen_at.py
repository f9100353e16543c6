"""Where a process listens for servers that connect to it, and within what bounds.

Apart from the listener itself (`connectors.opcua.reverse`), so that settings are read without
loading asyncua.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from models.errors import InputError

REVERSE: Final = "PARKTWIN_OPCUA_REVERSE"
"""Setting with the address to listen at, ``4841`` or ``10.0.0.7:4841``; empty for nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAt:
    """Where to listen, and within what bounds.

    Parameters
    ----------
    host, port
        Address of this machine.
    hello_s
        A hello has to come within this time [s].
    greeting
        Connections without a hello at a time.
    waiting
        Connections that wait for one endpoint; half of them from one sender.
    asked_s
        So long after an endpoint last wanted a connection they are kept for it [s].
    """

    host: str
    port: int
    hello_s: float = 5.0
    greeting: int = 32
    waiting: int = 4
    asked_s: float = 120.0

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def listen_at(text: str) -> ListenAt | None:
    """What the setting `REVERSE` says; None where it is empty.

    Raises
    ------
    InputError
        When it is no address.
    """
    if not text.strip():
        return None
    match = re.fullmatch(r"(?:(.+):)?(\d{1,5})", text.strip(), re.ASCII)
    port = int(match[2]) if match else 0
    host = (match[1] or "127.0.0.1").strip("[]") if match else ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise InputError(
            f"{text!r} is no address to listen at",
            "write 4841 for this machine only, or 10.0.0.7:4841 with a number of this machine",
            REVERSE,
        )
    return ListenAt(host=host, port=port)
