"""The token of a gateway outside the service: what is shown once, what is stored, what it signs.

``ptg_<id>_<secret>``: the id finds the stored row, the secret is 256 random bits. Stored is only a
SHA-256 of it: so many bits need no salt and no slow hash. A configuration is signed with a key
that is derived from the secret as the gateway presents it, so that the store alone can sign none.
"""

import hashlib
import hmac
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import InputError, Refused

SIGNATURE: Final = "X-Parktwin-Signature"
"""Header of the signature of a configuration."""
_FORM: Final = re.compile(r"ptg_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayToken:
    """A token as its gateway holds it."""

    id: str
    secret: str

    def __repr__(self) -> str:
        """Never the secret: a token may end up in a log."""
        return f"GatewayToken(id={self.id!r})"

    @property
    def text(self) -> str:
        """What is shown once and sent with every request."""
        return f"ptg_{self.id}_{self.secret}"

    @property
    def verifier(self) -> str:
        """What the service stores in place of the secret."""
        return hashlib.sha256(b"parktwin gateway token\0" + self.secret.encode()).hexdigest()

    def matches(self, verifier: str) -> bool:
        """Whether this is the token of a stored verifier; takes as long for every wrong one."""
        return hmac.compare_digest(self.verifier, verifier)

    def sign(self, *parts: bytes) -> str:
        """HMAC-SHA-256 of parts of known number, each with its length."""
        key = hmac.digest(self.secret.encode(), b"parktwin gateway configuration", "sha256")
        told = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(key, told, "sha256").hexdigest()

    def signed(self, signature: str, *parts: bytes) -> bool:
        """Whether a signature is ours."""
        return hmac.compare_digest(self.sign(*parts).encode(), signature.encode())


def new_token() -> GatewayToken:
    """A token nobody else has."""
    return GatewayToken(id=secrets.token_hex(6), secret=secrets.token_urlsafe(_SECRET_BYTES))


def parse_token(text: str) -> GatewayToken:
    """Inverse of `GatewayToken.text`.

    Raises
    ------
    InputError
        When it has another form; what was given is not shown.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise InputError(
            "this is no token of a gateway",
            "write it as `parktwin gateway-token create` printed it: ptg_…",
            "token",
        )
    return GatewayToken(id=found[1], secret=found[2])


def read_token(path: Path) -> GatewayToken:
    """The token of a file that only its owner may read.

    Raises
    ------
    InputError
        When there is no such file, or it holds no token.
    Refused
        When others may read it.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(
            f"the token cannot be read from {path} ({fault})",
            "make one with `parktwin gateway-token create NAME` at the service, and put it there",
            "token",
        ) from fault
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Refused(f"{path} may be read by others", f"chmod 600 {path}")
    return parse_token(text)
