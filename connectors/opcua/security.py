"""Certificates, trust and secrets of the OPC UA side.

A `Pki` is a folder ``pki/{own,trusted,issuers,rejected,crl}``. An unknown server certificate is
saved in ``rejected``; a person compares its fingerprint and trusts it. What asyncua offers here is
not used: without a validator it accepts every certificate, an empty trust folder raises, revocation
compares serial numbers of any issuer, and keys are written readable for all.
"""

import ipaddress
import os
import socket
import stat
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from models.errors import InputError, NotFound

_FOLDERS: Final = ("own", "trusted", "issuers", "rejected", "crl")
_KEY_BITS: Final = 2048
_OWN_DAYS: Final = 3 * 365
_CHAIN_DEPTH: Final = 4
_REJECTED_KEPT: Final = 100
EXPIRY_WARNING_DAYS: Final = (60, 30, 7)
SECRET_FILES: Final = "PARKTWIN_SECRET_FILES"  # noqa: S105 - the name of a setting
"""Setting that names files of secrets outside the folder of secrets."""
_VARIABLES: Final = "PARKTWIN_"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """Our application instance certificate: files, application URI, fingerprint and last day."""

    certificate: Path
    key: Path
    application_uri: str
    fingerprint: str
    not_after: datetime

    def days_left(self, now: datetime) -> float:
        """Days until it expires; negative afterwards."""
        return (self.not_after - now) / timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a certificate is worth to us. ``reason`` and ``remedy`` are empty when it is good.

    ``reason`` starts with a word to tell cases apart: untrusted, expired, wrong application, weak,
    revoked, unusable, broken.
    """

    ok: bool
    fingerprint: str
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A certificate a peer has shown: who it says it is, and whether somebody trusts it."""

    fingerprint: str
    trusted: bool
    application_uri: str
    subject: str
    not_after: datetime


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 fingerprint, upper case hexadecimal without separators."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def first_certificate(der: bytes) -> x509.Certificate:
    """The first certificate of a DER blob that may hold a chain.

    Raises
    ------
    ValueError
        When it is none.
    """
    length = int.from_bytes(der[2:4], "big") + 4
    return x509.load_der_x509_certificate(der[:length])


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Which side of a connection we are, and what our peer is: names, and usages of certificates.

    Parameters
    ----------
    peer
        What the other side is called in messages.
    name
        Common name of our own certificate, and the last words of its application URI.
    own_usages, peer_usage
        Extended key usages of our certificate, and the one a peer's must allow.
    trust
        How a person trusts a peer; ``{}`` is the fingerprint.
    """

    peer: str
    name: str
    own_usages: tuple[x509.ObjectIdentifier, ...]
    peer_usage: x509.ObjectIdentifier
    trust: str


GATEWAY: Final = Side(
    peer="server",
    name="gateway",
    own_usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    peer_usage=ExtendedKeyUsageOID.SERVER_AUTH,
    trust="compare the fingerprint with the one the server shows, then "
    "`parktwin endpoint trust … {}`",
)
"""We read servers."""
SERVER: Final = Side(
    peer="client",
    name="server",
    own_usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    peer_usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    trust="compare the fingerprint with the one the client shows, then `parktwin opcua trust {}`",
)
"""Clients read us."""


class Pki:
    """Our certificate, and whom we trust.

    Parameters
    ----------
    folder
        The folder with own, trusted, issuers, rejected and crl.
    side
        Whether we read servers or serve clients.
    """

    def __init__(self, folder: Path, side: Side = GATEWAY) -> None:
        self._folder, self._side = folder, side

    def own(self, now: datetime) -> OwnCertificate:
        """Our certificate; it is made when there is none, and renewed when it has expired.

        A renewed certificate keeps its application URI and key, so that servers that trust by key
        or URI know it again.
        """
        for name in _FOLDERS:
            folder = self._folder / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, key_path = self._folder / "own" / "cert.der", self._folder / "own" / "key.pem"
        if not path.exists() or not key_path.exists():
            host = socket.gethostname()
            uri = f"urn:{host}:parktwin:{self._side.name}:{uuid.uuid4().hex[:12]}"
            self._make(uri, _new_key(), now)
        certificate = x509.load_der_x509_certificate(path.read_bytes())
        if certificate.not_valid_after_utc <= now:
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
            if not isinstance(key, rsa.RSAPrivateKey):
                raise InputError(f"{key_path} is no RSA key", "remove own/ to make a new one")
            self._make(_application_uri(certificate), key, now)
            certificate = x509.load_der_x509_certificate(path.read_bytes())
        return OwnCertificate(
            certificate=path,
            key=key_path,
            application_uri=_application_uri(certificate),
            fingerprint=fingerprint_of(certificate),
            not_after=certificate.not_valid_after_utc,
        )

    def judge(self, der: bytes, application_uri: str | None, now: datetime) -> Verdict:
        """Whether a peer's certificate is good; an untrusted one is saved in ``rejected``.

        Parameters
        ----------
        der
            Certificate, or chain with the certificate first, as the peer sent it.
        application_uri
            ApplicationUri the peer calls itself by; None where that was checked before.
        now
            Wall time, aware.
        """
        peer = self._side.peer
        try:
            certificate = first_certificate(der)
        except ValueError:
            return Verdict(
                ok=False,
                fingerprint="",
                reason=f"broken: the {peer}'s certificate cannot be read",
                remedy=f"renew the certificate on the {peer}",
            )
        mark = fingerprint_of(certificate)
        fault = _unusable(certificate, application_uri, now, self._side)
        if fault is not None:
            return Verdict(ok=False, fingerprint=mark, reason=fault[0], remedy=fault[1])
        trusted = {fingerprint_of(c) for c in self._certificates("trusted")}
        if mark in trusted and not self._revoked(certificate):
            return Verdict(ok=True, fingerprint=mark)
        if self._revoked(certificate):
            return Verdict(
                ok=False,
                fingerprint=mark,
                reason="revoked: its issuer revoked this certificate",
                remedy=f"renew the certificate on the {peer}",
            )
        if self._issued_by_trusted(certificate, trusted, now):
            return Verdict(ok=True, fingerprint=mark)
        self._save_rejected(certificate)
        return Verdict(
            ok=False,
            fingerprint=mark,
            reason=f"untrusted: nobody has trusted certificate {mark} yet",
            remedy=self._side.trust.format(mark),
        )

    def seen(self) -> list[Seen]:
        """Peers whose certificates were seen, the trusted ones first."""
        return [
            Seen(
                fingerprint=fingerprint_of(certificate),
                trusted=name == "trusted",
                application_uri=_application_uri(certificate),
                subject=certificate.subject.rfc4514_string(),
                not_after=certificate.not_valid_after_utc,
            )
            for name in ("trusted", "rejected")
            for certificate in self._certificates(name)
        ]

    def trust(self, fingerprint: str) -> None:
        """Trust a certificate that was seen (it is in ``rejected``).

        Raises
        ------
        NotFound
            When no certificate with this fingerprint was seen.
        """
        mark = _plain(fingerprint)
        for certificate in self._certificates("rejected"):
            if fingerprint_of(certificate) == mark:
                der = certificate.public_bytes(serialization.Encoding.DER)
                _write(self._folder / "trusted" / f"{mark}.der", der)
                (self._folder / "rejected" / f"{mark}.der").unlink(missing_ok=True)
                return
        if any(fingerprint_of(c) == mark for c in self._certificates("trusted")):
            return
        known = tuple(fingerprint_of(c) for c in self._certificates("rejected"))
        raise NotFound("certificate", mark, known)

    def distrust(self, fingerprint: str) -> None:
        """Take trust back; the certificate goes to ``rejected``.

        Raises
        ------
        NotFound
            When no such certificate is trusted.
        """
        mark = _plain(fingerprint)
        path = self._folder / "trusted" / f"{mark}.der"
        if not path.exists():
            known = tuple(fingerprint_of(c) for c in self._certificates("trusted"))
            raise NotFound("trusted certificate", mark, known)
        path.replace(self._folder / "rejected" / path.name)

    def _make(self, application_uri: str, key: rsa.RSAPrivateKey, now: datetime) -> None:
        certificate = _self_signed(application_uri, key, now, self._side)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write(self._folder / "own" / "key.pem", pem)
        _write(
            self._folder / "own" / "cert.der", certificate.public_bytes(serialization.Encoding.DER)
        )

    def _certificates(self, name: str) -> Iterator[x509.Certificate]:
        for path in sorted((self._folder / name).glob("*")):
            data = path.read_bytes()
            try:
                if data.startswith(b"-----"):
                    yield x509.load_pem_x509_certificate(data)
                else:
                    yield x509.load_der_x509_certificate(data)
            except ValueError:
                continue

    def _issuer(self, certificate: x509.Certificate) -> x509.Certificate | None:
        for name in ("trusted", "issuers"):
            for candidate in self._certificates(name):
                if _is_ca(candidate) and _signed_by(certificate, candidate):
                    return candidate
        return None

    def _issued_by_trusted(
        self, certificate: x509.Certificate, trusted: set[str], now: datetime
    ) -> bool:
        current = certificate
        for _ in range(_CHAIN_DEPTH):
            issuer = self._issuer(current)
            if issuer is None or issuer == current or _expired(issuer, now):
                return False
            if self._revoked(issuer):
                return False
            if fingerprint_of(issuer) in trusted:
                return True
            current = issuer
        return False

    def _revoked(self, certificate: x509.Certificate) -> bool:
        for path in sorted((self._folder / "crl").glob("*")):
            data = path.read_bytes()
            try:
                load = (
                    x509.load_pem_x509_crl if data.startswith(b"-----") else x509.load_der_x509_crl
                )
                crl = load(data)
            except ValueError:
                continue
            if crl.issuer != certificate.issuer:
                continue
            issuer = self._issuer(certificate)
            key = issuer.public_key() if issuer is not None else None
            if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
                continue
            if not crl.is_signature_valid(key):
                continue
            if crl.get_revoked_certificate_by_serial_number(certificate.serial_number):
                return True
        return False

    def _save_rejected(self, certificate: x509.Certificate) -> None:
        """Keep a certificate to be trusted later; of too many the one saved longest ago goes."""
        folder = self._folder / "rejected"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{fingerprint_of(certificate)}.der"
        if path.exists():
            return
        kept = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)
        for old in kept[: max(0, len(kept) - _REJECTED_KEPT + 1)]:
            old.unlink()
        _write(path, certificate.public_bytes(serialization.Encoding.DER))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlaces:
    """Where secrets may come from, set once at the door of a process by `allow_secrets`.

    A reference can be registered by whoever may register an endpoint, and its value goes to the
    server of that endpoint: without bounds any file and any variable could be sent anywhere.

    Parameters
    ----------
    folder
        The one folder of secrets; relative names are meant in it.
    files
        Further files, named one by one by whoever runs the process.
    """

    folder: Path
    files: tuple[Path, ...] = ()

    def find(self, name: str) -> Path | None:
        """The file of a reference; None when it lies elsewhere, also by a link."""
        try:
            path = (self.folder / name).resolve()
        except (OSError, RuntimeError, ValueError):  # a loop of links, or no name at all
            return None
        if path.is_relative_to(self.folder.resolve()):
            return path
        return path if path in {file.resolve() for file in self.files} else None


_places: list[SecretPlaces] = []


def allow_secrets(places: SecretPlaces) -> None:
    """Say where this process may read secrets; until then none is read from a file."""
    _places[:] = [places]


def listed_files(text: str) -> tuple[Path, ...]:
    """Files of the setting ``PARKTWIN_SECRET_FILES``: absolute paths between colons.

    Raises
    ------
    InputError
        When one is not absolute.
    """
    files = tuple(Path(name) for name in text.split(os.pathsep) if name)
    for file in files:
        if not file.is_absolute():
            raise InputError(f"{str(file)!r} is not absolute", "write /path/to/file", SECRET_FILES)
    return files


def secret(reference: str, where: str = "password") -> str:
    """Read a secret that is given by reference; it is never kept or logged.

    Parameters
    ----------
    reference
        ``env:PARKTWIN_NAME`` or ``file:NAME`` in an allowed place (`SecretPlaces`); the file must
        be readable for its owner only.
    where
        Field named in the error.

    Raises
    ------
    InputError
        When it is not there or not allowed, or others may read the file.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        return _variable(name, where)
    if kind != "file":
        raise InputError("it is no reference", "write env:PARKTWIN_NAME or file:NAME", where)
    folder = _places[0].folder if _places else Path()
    path = _places[0].find(name) if _places else None
    if path is None:
        raise InputError(
            f"{name} is no file of secrets",
            f"put it into {folder}, or name it in {SECRET_FILES} and start again"
            if _places
            else "write env:PARKTWIN_NAME: this process has no folder of secrets",
            where,
        )
    return _private_text(path, where)


def _variable(name: str, where: str) -> str:
    if not name.startswith(_VARIABLES) or name == SECRET_FILES:
        raise InputError(
            f"environment variable {name} is not for endpoints",
            f"name it {_VARIABLES}… and set it for the service",
            where,
        )
    value = os.environ.get(name)
    if value is None:
        raise InputError(f"no environment variable {name}", "set it for the service", where)
    return value


def _private_text(path: Path, where: str) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise InputError(f"{path} cannot be read ({fault.strerror})", "check it", where) from fault
    except UnicodeDecodeError as fault:
        raise InputError(
            f"{path} is no text in UTF-8", "write the password alone", where
        ) from fault
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(f"{path} may be read by others", f"chmod 600 {path}", where)
    return text.rstrip("\r\n")


def _unusable(
    certificate: x509.Certificate, application_uri: str | None, now: datetime, side: Side
) -> tuple[str, str] | None:
    if certificate.not_valid_before_utc > now:
        return (
            f"expired: valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            f"set the clock of the {side.peer} and of this machine",
        )
    if _expired(certificate, now):
        return (
            f"expired: since {certificate.not_valid_after_utc:%Y-%m-%d} UTC",
            f"renew the certificate on the {side.peer}, then trust the new one",
        )
    if application_uri is not None and application_uri not in _uris(certificate):
        return (
            f"wrong application: it is made for {', '.join(_uris(certificate)) or 'nobody'}, "
            f"the {side.peer} calls itself {application_uri}",
            f"renew the certificate on the {side.peer} with its own ApplicationUri",
        )
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _KEY_BITS:
        return (
            "weak: its key has less than 2048 bits",
            f"renew the certificate on the {side.peer}",
        )
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    if side.peer_usage not in usage:
        return (
            f"unusable: it is not made for a {side.peer}",
            f"renew the certificate on the {side.peer}",
        )
    return None


def _self_signed(
    application_uri: str, key: rsa.RSAPrivateKey, now: datetime, side: Side
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
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(application_uri),
        x509.DNSName(socket.gethostname()),
    ]
    if ExtendedKeyUsageOID.SERVER_AUTH in side.own_usages:
        loopback = ipaddress.ip_address("127.0.0.1")
        names += [x509.DNSName("localhost"), x509.IPAddress(loopback)]
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=_OWN_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(side.own_usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _application_uri(certificate: x509.Certificate) -> str:
    return next(iter(_uris(certificate)), "")


def _expired(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc <= now


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _plain(fingerprint: str) -> str:
    return fingerprint.replace(":", "").replace(" ", "").upper()


def _write(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, replacing an older one at once."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_suffix(path.suffix + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
