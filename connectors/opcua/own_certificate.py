"""Our application instance certificate: made once, renewed in two steps.

A server lets us in when somebody has trusted our certificate there, by hand. So a new one is made
beside the old, which goes on being used; servers are asked with the new one; when all have taken
it, it takes the old one's place, which is kept.

``own/cert.der, key.pem`` are in use, ``next.*`` wait to be trusted, ``before.*`` were in use.
"""

import contextlib
import fcntl
import ipaddress
import os
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connectors.opcua.certificates import (
    fingerprint_of,
    hosts_of,
    read_certificate,
    uris_of,
    write_private,
)
from connectors.opcua.side import Side
from models.errors import InputError, NotFound

KEY_BITS: Final = 2048
"""The longest key that every policy and every older PLC takes."""
OWN_DAYS: Final = 3 * 365
EXPIRY_WARNING_DAYS: Final = (60, 30, 7)
_BACKDATED: Final = timedelta(days=1)
"""A PLC whose clock shows local time as UTC must not hold a new certificate for not yet valid."""
_DNS_LONGEST: Final = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """Our application instance certificate: files, URI, hosts, fingerprint and last day."""

    certificate: Path
    key: Path
    application_uri: str
    hosts: tuple[str, ...]
    fingerprint: str
    not_after: datetime

    def days_left(self, now: datetime) -> float:
        """Days until it expires; negative afterwards."""
        return (self.not_after - now) / timedelta(days=1)


def expiry_stage(not_after: datetime, now: datetime) -> int | None:
    """Which warning is due: the least of `EXPIRY_WARNING_DAYS` that holds, 0 when expired."""
    left = (not_after - now) / timedelta(days=1)
    if left <= 0:
        return 0
    return min((days for days in EXPIRY_WARNING_DAYS if left <= days), default=None)


class OwnFolder:
    """Our key pairs. Several gateways of one house share them, hence the lock."""

    def __init__(self, folder: Path, side: Side) -> None:
        self._folder, self._side = folder, side

    def current(self, now: datetime) -> OwnCertificate:
        """The one in use; made when there is none, and again from its key when it has expired.

        Raises
        ------
        InputError
            When its files cannot be read.
        """
        found = self._read("cert", "key")
        if found is None or found.not_after <= now or self._half_switched():
            with self._locked():  # another process may have been faster
                if self._half_switched():
                    (self._folder / "next.der").replace(self._folder / "cert.der")
                found = self._read("cert", "key")
                if found is None or found.not_after <= now:
                    found = self._mend(found, now)
        return found

    def _half_switched(self) -> bool:
        """Whether `switch` was interrupted: the key is in its place, its certificate is not."""
        waits = (self._folder / "next.der").exists()
        return waits and not (self._folder / "next.pem").exists()

    def staged(self) -> OwnCertificate | None:
        """The one that waits to be trusted by the servers; None when none was made."""
        return self._read("next", "next")

    def stage(self, now: datetime) -> OwnCertificate:
        """Make a new one with a new key and our URI; one that waits already is kept."""
        current = self.current(now)
        with self._locked():
            waiting = self.staged()
            if waiting is not None and waiting.not_after > now:
                return waiting
            return self._make("next", "next", current.application_uri, _new_key(), now)

    def switch(self) -> OwnCertificate:
        """Use the one that waits from now on; the one before is kept beside it.

        Raises
        ------
        NotFound
            When none waits.
        """
        with self._locked():
            if self.staged() is None:
                raise NotFound("new certificate", "next.der", ())
            for was, becomes in (("cert.der", "before.der"), ("key.pem", "before.pem")):
                write_private(self._folder / becomes, (self._folder / was).read_bytes())
            (self._folder / "next.pem").replace(self._folder / "key.pem")
            (self._folder / "next.der").replace(self._folder / "cert.der")
        found = self._read("cert", "key")
        assert found is not None  # noqa: S101 - just put there
        return found

    def _mend(self, expired: OwnCertificate | None, now: datetime) -> OwnCertificate:
        """A certificate where there is none that is valid; key and URI are kept if they are there.

        Servers that trust by key or URI know it again.
        """
        key_path = self._folder / "key.pem"
        key = _load_key(key_path) if key_path.exists() else _new_key()
        host = _host() if _is_dns(_host()) else "host"
        uri = f"urn:{host}:parktwin:{self._side.name}:{uuid.uuid4().hex[:12]}"
        return self._make("cert", "key", expired.application_uri if expired else uri, key, now)

    def _make(
        self, name: str, key_name: str, uri: str, key: rsa.RSAPrivateKey, now: datetime
    ) -> OwnCertificate:
        certificate = self_signed(uri, own_hosts(self._side), key, now, self._side)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        write_private(self._folder / f"{key_name}.pem", pem)
        der = certificate.public_bytes(serialization.Encoding.DER)
        write_private(self._folder / f"{name}.der", der)
        return self._told(name, key_name, certificate)

    def _read(self, name: str, key_name: str) -> OwnCertificate | None:
        path, key_path = self._folder / f"{name}.der", self._folder / f"{key_name}.pem"
        if not path.exists() or not key_path.exists():
            return None
        try:
            certificate = read_certificate(path.read_bytes())
        except (OSError, ValueError) as fault:
            raise InputError(
                f"{path} is no certificate ({fault})", "put it back, or remove it to make a new one"
            ) from fault
        return self._told(name, key_name, certificate)

    def _told(self, name: str, key_name: str, certificate: x509.Certificate) -> OwnCertificate:
        return OwnCertificate(
            certificate=self._folder / f"{name}.der",
            key=self._folder / f"{key_name}.pem",
            application_uri=next(iter(uris_of(certificate)), ""),
            hosts=tuple(hosts_of(certificate)),
            fingerprint=fingerprint_of(certificate),
            not_after=certificate.not_valid_after_utc,
        )

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def own_hosts(side: Side) -> tuple[str, ...]:
    """Names and addresses of this machine, as far as it knows them; a server's loopback too."""
    found = [_host()] if _is_dns(_host()) else []
    for kind, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Connecting a datagram socket sends nothing; it asks which address would be used.
        with contextlib.suppress(OSError), socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            found.append(str(probe.getsockname()[0]).partition("%")[0])
    if ExtendedKeyUsageOID.SERVER_AUTH in side.own_usages:
        found += ["localhost", "127.0.0.1"]
    return tuple(dict.fromkeys(found))


def self_signed(
    application_uri: str,
    hosts: tuple[str, ...],
    key: rsa.RSAPrivateKey,
    now: datetime,
    side: Side,
) -> x509.Certificate:
    """Application instance certificate as OPC UA Part 6, 6.2.2 asks for it."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"parktwin {side.name}"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "parktwin"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(application_uri)]
    names.extend(_general(host) for host in hosts)
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=OWN_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(side.own_usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _host() -> str:
    return socket.gethostname() or "localhost"


def _is_dns(name: str) -> bool:
    return bool(name) and name.isascii() and len(name) <= _DNS_LONGEST


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def _load_key(path: Path) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as fault:
        raise InputError(f"{path} is no key", "put it back, or remove it to make one") from fault
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InputError(f"{path} is no RSA key", "remove own/ to make a new one")
    return key
