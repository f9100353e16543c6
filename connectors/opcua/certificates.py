"""What a certificate says: whose it is, for which hosts, who signed it."""

import os
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

_CHAIN_LONGEST: Final = 8
_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What a stranger's bytes make of a certificate's parts."""


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 fingerprint, upper case hexadecimal without separators."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def plain(fingerprint: str) -> str:
    """A fingerprint as somebody typed it, without separators."""
    return fingerprint.replace(":", "").replace(" ", "").replace("-", "").upper()


def read_certificate(data: bytes) -> x509.Certificate:
    """A certificate in DER or PEM, every part of which can be read.

    Parts are read when they are asked for; one that cannot be would fail whoever asks first.

    Raises
    ------
    ValueError
        When it is none, or a part of it cannot be read.
    """
    pem = b"-----BEGIN" in data
    load = x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate
    try:
        found = load(data)
        _ = (found.subject, found.issuer, found.extensions, found.public_key())
        _ = found.signature_hash_algorithm
    except _UNREADABLE as fault:
        raise ValueError(str(fault)) from fault
    return found


def first_certificate(der: bytes) -> x509.Certificate:
    """The first certificate of a DER blob that may hold a chain.

    Raises
    ------
    ValueError
        When it is none, or a part of it cannot be read.
    """
    length = int.from_bytes(der[2:4], "big") + 4
    return read_certificate(der[:length])


def chain_of(der: bytes) -> list[x509.Certificate]:
    """Certificates of a DER blob, in order; those from the first unreadable one on are left out."""
    found: list[x509.Certificate] = []
    while der and len(found) < _CHAIN_LONGEST:
        try:
            found.append(first_certificate(der))
        except ValueError:
            break
        der = der[int.from_bytes(der[2:4], "big") + 4 :]
    return found


def _names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def uris_of(certificate: x509.Certificate) -> list[str]:
    """Application URIs it is made for; an OPC UA certificate has exactly one."""
    names = _names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Host names and IP addresses it is made for."""
    names = _names(certificate)
    if names is None:
        return []
    numbers = [str(number) for number in names.get_values_for_type(x509.IPAddress)]
    return [*names.get_values_for_type(x509.DNSName), *numbers]


def common_name(name: x509.Name) -> str:
    """The common name, or the whole name where it has none."""
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def may_issue(certificate: x509.Certificate) -> bool:
    """Whether it is that of an authority, which may sign others."""
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return basic.ca
    return basic.ca and usage.key_cert_sign


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the issuer's key signed it, by name and signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def write_private(path: Path, data: bytes) -> None:
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
