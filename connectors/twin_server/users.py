"""Who may log in: a name with its password, or a trusted certificate; anonymous only when asked."""

import hmac
from datetime import UTC, datetime

from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.user_managers import UserManager

from connectors.opcua.security import Pki


class TwinUsers(UserManager):
    """Users of the server; all of them only read.

    Parameters
    ----------
    name, password
        The one name and its password; an empty name means that there is none.
    pki
        Whose certificates are trusted as users; None takes anonymous ones.
    """

    def __init__(self, name: str, password: str, pki: Pki | None) -> None:
        self._name, self._password, self._pki = name, password, pki

    def get_user(
        self,
        iserver: object,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """The user, or None when there is no such one."""
        del iserver
        if username is not None:
            return self._named(username, password)
        if self._pki is None:
            return User(role=UserRole.User, name="anonymous")
        if not certificate:
            return None
        verdict = self._pki.judge(certificate, None, datetime.now(UTC))
        return User(role=UserRole.User, name=verdict.fingerprint) if verdict.ok else None

    def _named(self, username: str, password: str | bytes | None) -> User | None:
        given = password.encode() if isinstance(password, str) else password or b""
        same = hmac.compare_digest(given, self._password.encode())
        right = bool(self._name) and same and username == self._name
        return User(role=UserRole.User, name=username) if right else None
