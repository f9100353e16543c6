"""The way from a gateway in a plant to its service: TLS, the token, and our errors.

**Whom it trusts.** The certificates of the operating system, a CA file, or one pinned certificate.
A pinned one is fetched, compared by its SHA-256, kept, and from then on the only one that is
trusted; the token is sent only over a connection that has proven it. http is for this machine.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from cluster.client import error_of
from cluster.gateway_token import GatewayToken
from models.errors import InputError, Refused, Unavailable

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 30.0
_HTTPS: Final = 443


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """Where the service is, and whom to trust.

    Parameters
    ----------
    url
        ``https://host:port``.
    ca
        File of the authority that signed the service's certificate; None for those of the
        operating system.
    pin
        SHA-256 of the service's certificate; empty for none.
    allow_insecure
        Take http to another machine: everybody on the way reads token and values.
    """

    url: str
    ca: Path | None = None
    pin: str = ""
    allow_insecure: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the network.

        Raises
        ------
        InputError, Refused
            With the option at fault.
        """
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise InputError(f"{self.url!r} is no address", "write https://host:port", "to")
        if parts.scheme == "http" and not _loopback(parts.hostname) and not self.allow_insecure:
            raise Refused(
                f"{self.url} would carry token and values in plain text",
                "use https (see docs/integrator.md), or say --allow-insecure",
            )
        if self.ca is not None and self.pin:
            raise InputError("both a CA and a pin are given", "choose one of them", "pin")
        if self.pin and not re.fullmatch(r"[0-9a-f]{64}", self.fingerprint):
            raise InputError(
                f"{self.pin!r} is no SHA-256 fingerprint", "write its 64 hexadecimal digits", "pin"
            )

    @property
    def fingerprint(self) -> str:
        """The pin in one form."""
        return re.sub(r"[:\s-]", "", self.pin).lower()


class Link:
    """Asks a service with a token.

    Parameters
    ----------
    settings
        Where, and whom to trust.
    token
        The token.
    kept
        Where a pinned certificate is kept.
    """

    def __init__(self, settings: LinkSettings, token: GatewayToken, kept: Path) -> None:
        self.settings, self.token, self._kept = settings, token, kept
        self._http: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def send(
        self, path: str, body: bytes = b"", query: Mapping[str, str] | None = None, kind: str = ""
    ) -> tuple[bytes, Mapping[str, str]]:
        """POST a body; the body and the headers of the answer.

        Raises
        ------
        Unavailable
            When the service does not answer.
        TwinError
            As it answered.
        """
        http = await self._client()
        headers = {"Content-Type": kind or "application/octet-stream"}
        try:
            answer = await http.post(path, content=body, params=query or {}, headers=headers)
        except httpx.RequestError as fault:  # also an answer that a proxy has garbled
            raise Unavailable(_away(self.settings.url, fault)) from fault
        if not answer.is_success:
            raise error_of(answer.status_code, answer.content)
        return answer.content, answer.headers

    async def close(self) -> None:
        """Drop the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _client(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._http is None:
                context = await asyncio.to_thread(self._context)
                self._http = httpx.AsyncClient(
                    base_url=f"{self.settings.url.rstrip('/')}/api/v1",
                    timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S),
                    headers={"Authorization": f"Bearer {self.token.text}"},
                    verify=context,
                    trust_env=False,
                )
            return self._http

    def _context(self) -> ssl.SSLContext:
        if self.settings.pin:
            return self._pinned()
        try:
            context = ssl.create_default_context(
                cafile=None if self.settings.ca is None else str(self.settings.ca)
            )
        except (OSError, ssl.SSLError) as fault:
            raise InputError(
                f"{self.settings.ca} holds no certificate ({fault})",
                "give the PEM file of the authority that signed the service's certificate",
                "ca",
            ) from fault
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _pinned(self) -> ssl.SSLContext:
        """A context that trusts one certificate; it says by itself who the other side is."""
        pem = self._kept_pin() or self._fetch_pin()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pem)
        return context

    def _kept_pin(self) -> str:
        try:
            pem = self._kept.read_text(encoding="ascii")
            return pem if self._is_pin(pem) else ""
        except (OSError, ValueError):
            return ""

    def _fetch_pin(self) -> str:
        parts = urlsplit(self.settings.url)
        try:
            pem = ssl.get_server_certificate(
                (parts.hostname or "", parts.port or _HTTPS), timeout=_CONNECT_S
            )
        except OSError as fault:
            raise Unavailable(_away(self.settings.url, fault)) from fault
        if not self._is_pin(pem):
            found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
            raise Refused(
                f"{self.settings.url} shows another certificate: {found}",
                "compare it with the service's; when it was renewed, give the new one with --pin",
            )
        self._kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._kept.write_text(pem, encoding="ascii")
        return pem

    def _is_pin(self, pem: str) -> bool:
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
        return hmac.compare_digest(found, self.settings.fingerprint)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _away(url: str, fault: Exception) -> str:
    return f"{url} does not answer ({fault or type(fault).__name__})"
