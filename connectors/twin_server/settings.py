"""How the server is asked to listen, and what is refused."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError, Refused

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
NONE: Final = "None"
POLICIES: Final = ("Aes256Sha256RsaPss", "Basic256Sha256")
"""Policies that are offered, all signed and encrypted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One server.

    Parameters
    ----------
    pki
        Folder of its certificate and of the clients it trusts.
    host, port
        Where it listens.
    security
        ``None``, one of `POLICIES`, or empty for all of them.
    user, password
        A name and its password; empty leaves certificates as the only way to log in.
    """

    pki: Path
    host: str = "127.0.0.1"
    port: int = 4840
    security: str = ""
    user: str = ""
    password: str = ""

    @property
    def secure(self) -> bool:
        """Whether connections are signed and encrypted."""
        return self.security != NONE

    @property
    def url(self) -> str:
        """Address for a client."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"opc.tcp://{host}:{self.port}"

    def policies(self) -> tuple[str, ...]:
        """Policies that are offered, the strongest first; `NONE` alone without security."""
        return (self.security,) if self.security else POLICIES


def refuse_open(host: str, security: str, user: str, password: str) -> None:
    """Refuse what would be open to others.

    Parameters
    ----------
    host, security, user, password
        As in `ServerSettings`; here the password may also be its reference.

    Raises
    ------
    InputError
        When a policy is none of ours, or a password is missing.
    Refused
        When it would listen without security where others can reach it.
    """
    if security not in {"", NONE, *POLICIES}:
        raise InputError(
            f"{security!r} is no policy",
            f"one of {', '.join(POLICIES)}, or {NONE} on loopback; left out: all but {NONE}",
            "security",
        )
    if security == NONE and host not in LOOPBACK:
        raise Refused(
            f"without security anybody could read the twin at {host}",
            f"leave --security out, or listen at 127.0.0.1 with --security {NONE}",
        )
    if user and not password:
        raise InputError(
            f"the user {user!r} has no password",
            "name it: --password env:PARKTWIN_NAME or file:NAME",
            "password",
        )
