"""Trust and secrets of the OPC UA side.

A `Pki` is a folder ``pki/{own,trusted,issuers,rejected,crl}``. An unknown certificate of a peer is
saved in ``rejected``; a person compares its fingerprint and trusts it. What asyncua offers here is
not used: without a validator it accepts every certificate, an empty trust folder raises, revocation
compares serial numbers of any issuer, and keys are written readable for all.

**Revocation.** A list counts only when its issuer signed it. An authority without a list is taken:
few plants keep lists. A list that has expired goes on revoking what it names, and its age is
remarked; nothing is refused for it, or an office's oversight would stop a plant's data.

**Host names.** A certificate made for another host is taken with a remark: PLCs are reached by
addresses their certificates do not know; application URI and fingerprint say who it is.
"""

import importlib
import importlib.util
import logging
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from connectors.opcua.certificates import (
    chain_of,
    common_name,
    fingerprint_of,
    first_certificate,
    hosts_of,
    may_issue,
    plain,
    read_certificate,
    signed_by,
    uris_of,
    write_private,
)
from connectors.opcua.own_certificate import OwnCertificate, OwnFolder
from connectors.opcua.side import GATEWAY, SERVER, Side
from models.errors import InputError, NotFound

__all__ = [
    "GATEWAY",
    "SECRET_FILES",
    "SERVER",
    "OwnCertificate",
    "Pki",
    "RevocationList",
    "SecretPlaces",
    "Seen",
    "Shown",
    "Side",
    "Verdict",
    "allow_secrets",
    "fingerprint_of",
    "first_certificate",
    "listed_files",
    "secret",
    "secret_bytes",
]

_log = logging.getLogger(__name__)

_FOLDERS: Final = ("own", "trusted", "issuers", "rejected", "crl")
_KEY_BITS: Final = 2048
_CHAIN_DEPTH: Final = 4
_REJECTED_KEPT: Final = 100
SECRET_FILES: Final = "PARKTWIN_SECRET_FILES"  # noqa: S105 - the name of a setting
"""Setting that names files of secrets outside the folder of secrets."""
_VARIABLES: Final = "PARKTWIN_"
_KEYRING: Final = "parktwin"
"""The service under which the keyring of the operating system keeps our secrets."""
_WAYS: Final = "write env:PARKTWIN_NAME, file:NAME or keyring:NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a certificate is worth to us. ``reason`` and ``remedy`` are empty when it is good.

    ``reason`` starts with a word to tell cases apart: untrusted, expired, not valid yet, wrong
    application, weak, revoked, unusable, broken. ``remarks`` are what is not right and yet no
    reason to refuse.
    """

    ok: bool
    fingerprint: str
    reason: str = ""
    remedy: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A certificate a peer has shown: who it says it is, and whether somebody trusts it.

    ``place`` is the folder it lies in: trusted, rejected, or issuers, whose certificates complete
    a chain and are not trusted by themselves.
    """

    fingerprint: str
    trusted: bool
    application_uri: str
    subject: str
    not_after: datetime
    place: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A revocation list we hold: its issuer, how many it names, and until when it is current.

    ``signed`` is false when no authority we hold has signed it: then it revokes nothing.
    """

    issuer: str
    count: int
    not_after: datetime | None
    signed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The good certificate a server showed last, and what was remarked."""

    fingerprint: str
    not_after: datetime
    remarks: tuple[str, ...]


class Pki:
    """Our certificate, and whom we trust.

    Parameters
    ----------
    folder
        The folder with own, trusted, issuers, rejected and crl.
    side
        Whether we read servers or serve clients.
    staged
        Show the new certificate that waits to be trusted, where there is one.
    """

    def __init__(self, folder: Path, side: Side = GATEWAY, *, staged: bool = False) -> None:
        self._folder, self._side, self._staged = folder, side, staged
        self.renewal = OwnFolder(folder / "own", side)
        self.shown: dict[str, Shown] = {}
        self.ends: dict[str, datetime] = {}
        """Endpoint → end of the certificate its server showed last, good or expired."""

    def with_staged(self) -> "Pki":
        """The same trust with the certificate that waits, to ask servers whether they take it."""
        return Pki(self._folder, self._side, staged=True)

    def own(self, now: datetime) -> OwnCertificate:
        """Our certificate; it is made when there is none, and renewed when it has expired.

        A renewed certificate keeps its application URI and key, so that servers that trust by key
        or URI know it again.
        """
        for name in _FOLDERS:
            folder = self._folder / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        current = self.renewal.current(now)
        return (self.renewal.staged() or current) if self._staged else current

    def judge(
        self,
        der: bytes,
        application_uri: str | None,
        now: datetime,
        *,
        host: str = "",
        who: str = "",
    ) -> Verdict:
        """Whether a peer's certificate is good; an untrusted one is saved in ``rejected``.

        Parameters
        ----------
        der
            Certificate, or chain with the certificate first, as the peer sent it.
        application_uri
            ApplicationUri the peer calls itself by; None where that was checked before.
        now
            Wall time, aware.
        host
            Host name or address it was reached by; empty checks none.
        who
            Id of the endpoint, to remember what its server showed.
        """
        chain = chain_of(der)
        if not chain:
            peer = self._side.peer
            return Verdict(
                ok=False,
                fingerprint="",
                reason=f"broken: the {peer}'s certificate cannot be read",
                remedy=f"renew the certificate on the {peer}",
            )
        certificate, sent = chain[0], chain[1:]
        mark = fingerprint_of(certificate)
        if who and certificate.not_valid_after_utc <= now:
            self.ends[who] = certificate.not_valid_after_utc
        fault = _unusable(certificate, application_uri, now, self._side)
        fault = fault or self._distrusted(certificate, sent, now)
        if fault is not None:
            return Verdict(ok=False, fingerprint=mark, reason=fault[0], remedy=fault[1])
        remarks = self._remarks(certificate, sent, host, now)
        if who:
            until = self.ends[who] = certificate.not_valid_after_utc
            self.shown[who] = Shown(fingerprint=mark, not_after=until, remarks=remarks)
        return Verdict(ok=True, fingerprint=mark, remarks=remarks)

    def seen(self, places: Sequence[str] = ("trusted", "rejected")) -> list[Seen]:
        """Peers whose certificates were seen, the trusted ones first."""
        return [
            Seen(
                fingerprint=fingerprint_of(certificate),
                trusted=name == "trusted",
                application_uri=next(iter(uris_of(certificate)), ""),
                subject=certificate.subject.rfc4514_string(),
                not_after=certificate.not_valid_after_utc,
                place=name,
                hosts=tuple(hosts_of(certificate)),
            )
            for name in places
            for _, certificate in self._files(name)
        ]

    def revocation_lists(self) -> list[RevocationList]:
        """The revocation lists we hold."""
        issuers = [c for name in ("trusted", "issuers") for c in self._certificates(name)]
        return [
            RevocationList(
                issuer=common_name(crl.issuer),
                count=len(crl),
                not_after=crl.next_update_utc,
                signed=any(c.subject == crl.issuer and _signed_list(crl, c) for c in issuers),
            )
            for crl in self._lists()
        ]

    def trust(self, fingerprint: str) -> None:
        """Trust a certificate that was seen (it is in ``rejected``).

        Raises
        ------
        NotFound
            When no certificate with this fingerprint was seen.
        """
        mark = plain(fingerprint)
        for certificate in self._certificates("rejected"):
            if fingerprint_of(certificate) == mark:
                der = certificate.public_bytes(serialization.Encoding.DER)
                write_private(self._folder / "trusted" / f"{mark}.der", der)
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
        mark = plain(fingerprint)
        for path, certificate in self._files("trusted"):
            if fingerprint_of(certificate) == mark:
                der = certificate.public_bytes(serialization.Encoding.DER)
                write_private(self._folder / "rejected" / f"{mark}.der", der)
                path.unlink()
                return
        known = tuple(fingerprint_of(c) for c in self._certificates("trusted"))
        raise NotFound("trusted certificate", mark, known)

    # --- folders ---

    def _certificates(self, name: str) -> Iterator[x509.Certificate]:
        for _, certificate in self._files(name):
            yield certificate

    def _files(self, name: str) -> Iterator[tuple[Path, x509.Certificate]]:
        for path in sorted((self._folder / name).glob("*")):
            try:
                certificate = read_certificate(path.read_bytes())
            except (OSError, ValueError):
                continue
            yield path, certificate

    def _lists(self) -> Iterator[x509.CertificateRevocationList]:
        for path in sorted((self._folder / "crl").glob("*")):
            try:
                data = path.read_bytes()
                if data.startswith(b"-----"):
                    yield x509.load_pem_x509_crl(data)
                else:
                    yield x509.load_der_x509_crl(data)
            except (OSError, ValueError):
                continue

    # --- trust ---

    def _distrusted(
        self, certificate: x509.Certificate, sent: Sequence[x509.Certificate], now: datetime
    ) -> tuple[str, str] | None:
        """Why nobody vouches for it, and what to do; None when somebody does."""
        if self._revoked(certificate, sent):
            return (
                "revoked: its issuer revoked this certificate",
                f"renew the certificate on the {self._side.peer}",
            )
        mark = fingerprint_of(certificate)
        trusted = {fingerprint_of(c) for c in self._certificates("trusted")}
        if mark in trusted:
            return None
        why = self._chain_fault(certificate, sent, trusted, now)
        if why is None:
            return None
        self._save_rejected(certificate)
        return (
            f"untrusted: nobody has trusted certificate {mark} yet ({why})",
            self._side.trust.format(mark),
        )

    def _issuer(
        self, certificate: x509.Certificate, sent: Sequence[x509.Certificate]
    ) -> x509.Certificate | None:
        """Who signed it: of those we hold, else of those the peer sent along."""
        held = (c for name in ("trusted", "issuers") for c in self._certificates(name))
        for candidates in (held, sent):
            for candidate in candidates:
                if may_issue(candidate) and signed_by(certificate, candidate):
                    return candidate
        return None

    def _chain_fault(
        self,
        certificate: x509.Certificate,
        sent: Sequence[x509.Certificate],
        trusted: set[str],
        now: datetime,
    ) -> str | None:
        """Why its issuers do not vouch for it; None when a trusted one does."""
        current = certificate
        for _ in range(_CHAIN_DEPTH):
            issuer = self._issuer(current, sent)
            if current.issuer == current.subject:
                return "self-signed" if current == certificate else "its root is not trusted"
            if issuer is None:
                return f"its issuer {common_name(current.issuer)} is not known"
            name = common_name(issuer.subject)
            if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
                return f"its issuer {name} has expired or is not valid yet"
            if self._revoked(issuer, sent):
                return f"its issuer {name} is revoked"
            if fingerprint_of(issuer) in trusted:
                return None
            current = issuer
        return "too many issuers"

    def _revoked(self, certificate: x509.Certificate, sent: Sequence[x509.Certificate]) -> bool:
        return any(
            crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            for crl in self._lists_of(certificate, sent)
        )

    def _lists_of(
        self, certificate: x509.Certificate, sent: Sequence[x509.Certificate]
    ) -> list[x509.CertificateRevocationList]:
        """Revocation lists of a certificate's issuer that bear its signature."""
        named = [crl for crl in self._lists() if crl.issuer == certificate.issuer]
        issuer = self._issuer(certificate, sent) if named else None
        return [crl for crl in named if issuer is not None and _signed_list(crl, issuer)]

    def _remarks(
        self,
        certificate: x509.Certificate,
        sent: Sequence[x509.Certificate],
        host: str,
        now: datetime,
    ) -> tuple[str, ...]:
        remarks = []
        hosts = hosts_of(certificate)
        if host and host.lower() not in {name.lower() for name in hosts}:
            remarks.append(
                f"its certificate is made for {', '.join(hosts) or 'no host'}, not for {host}"
            )
        for crl in self._lists_of(certificate, sent):
            until = crl.next_update_utc
            if until is not None and until <= now:
                remarks.append(
                    f"the revocation list of {common_name(crl.issuer)} expired on "
                    f"{until:%Y-%m-%d}: put a newer one into pki/crl"
                )
        return tuple(remarks)

    def _save_rejected(self, certificate: x509.Certificate) -> None:
        """Keep a certificate to be trusted later; of too many the one saved longest ago goes.

        What is refused is refused also where it cannot be kept: the disk is full, or another
        process has just cleared away the same old one.
        """
        folder = self._folder / "rejected"
        path = folder / f"{fingerprint_of(certificate)}.der"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists():
                return
            kept = sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)
            for old in kept[: max(0, len(kept) - _REJECTED_KEPT + 1)]:
                old.unlink(missing_ok=True)
            write_private(path, certificate.public_bytes(serialization.Encoding.DER))
        except OSError as fault:
            _log.warning("a refused certificate is not kept", extra={"fault": repr(fault)})


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
        ``env:PARKTWIN_NAME``; ``file:NAME`` in an allowed place (`SecretPlaces`), which must be
        readable for its owner only; or ``keyring:NAME``, of the service ``parktwin``.
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
    if kind == "keyring":
        return _from_keyring(name, where)
    if kind != "file":
        raise InputError("it is no reference", _WAYS, where)
    return _private_text(_allowed_file(name, where), where)


def secret_bytes(reference: str, where: str, *, private: bool = False) -> bytes:
    """Read a certificate or a key that is given by reference; DER can only come from a file.

    Parameters
    ----------
    reference
        As `secret` takes it.
    where
        Field named in the error.
    private
        Whether a file must be readable for its owner only, as a key must.

    Raises
    ------
    InputError
        When it is not there or not allowed, or others may read a private file.
    """
    kind, _, name = reference.partition(":")
    if kind != "file":
        return secret(reference, where).encode()
    path = _allowed_file(name, where)
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path} cannot be read ({fault.strerror})", "check it", where) from fault
    if private and stat.S_IMODE(mode) & 0o077:
        raise InputError(f"{path} may be read by others", f"chmod 600 {path}", where)
    return data


def _allowed_file(name: str, where: str) -> Path:
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
    return path


def _from_keyring(name: str, where: str) -> str:
    """A secret of the operating system's keyring; the library for it is no dependency of ours."""
    if importlib.util.find_spec("keyring") is None:
        raise InputError(
            "the Python package keyring is not installed beside parktwin",
            "install it (pip install keyring), or write env:PARKTWIN_NAME or file:NAME",
            where,
        )
    keyring = importlib.import_module("keyring")
    try:
        found: str | None = keyring.get_password(_KEYRING, name)
    except Exception as fault:
        raise InputError(
            f"the keyring cannot be read ({type(fault).__name__})",
            "a service without a desktop session often has none: write file:NAME instead",
            where,
        ) from fault
    if found is None:
        raise InputError(
            f"the keyring has no {name} for {_KEYRING}",
            f"put it there: keyring set {_KEYRING} {name}",
            where,
        )
    return found


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
            f"not valid yet: it begins at {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC, "
            f"our clock says {now:%Y-%m-%d %H:%M}",
            f"set the clock of the {side.peer} and of this machine by NTP; if both are right, "
            f"renew the certificate on the {side.peer}",
        )
    if certificate.not_valid_after_utc <= now:
        return (
            f"expired: since {certificate.not_valid_after_utc:%Y-%m-%d} UTC",
            f"renew the certificate on the {side.peer}, then trust the new one",
        )
    uris = uris_of(certificate)
    if application_uri is not None and application_uri not in uris:
        return (
            f"wrong application: it is made for {', '.join(uris) or 'nobody'}, "
            f"the {side.peer} calls itself {application_uri}",
            f"renew the certificate on the {side.peer} with its own ApplicationUri",
        )
    weak = _weak(certificate)
    if weak:
        return (
            f"weak: {weak}",
            f"renew the certificate on the {side.peer}: RSA of 2048 bits or more, SHA-256",
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


def _weak(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return "its key is no RSA key"
    if key.key_size < _KEY_BITS:
        return f"its key has {key.key_size} bits, less than {_KEY_BITS}"
    signed_with = certificate.signature_hash_algorithm
    if isinstance(signed_with, hashes.SHA1 | hashes.MD5):
        return f"it is signed with {signed_with.name.upper()}"
    return ""


def _signed_list(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    return crl.is_signature_valid(key)
