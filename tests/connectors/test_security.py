"""Certificates, trust and secrets."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from connectors.opcua import security
from connectors.opcua.security import (
    Pki,
    SecretPlaces,
    allow_secrets,
    fingerprint_of,
    listed_files,
    secret,
)
from models.errors import InputError, NotFound

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
URI = "urn:test:plc"


def key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


KEY, CA_KEY, SMALL_KEY = key(), key(), key(1024)
CA_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plant CA")])


def certificate(
    *,
    uri=URI,
    start=NOW,
    days=365,
    own=KEY,
    signer=None,
    ca=False,
    usage=ExtendedKeyUsageOID.SERVER_AUTH,
):
    name = CA_NAME if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(CA_NAME if signer is not None else name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
    )
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signer or own, hashes.SHA256())


def der(cert) -> bytes:
    return cert.public_bytes(serialization.Encoding.DER)


CA = certificate(own=CA_KEY, ca=True)


@pytest.fixture
def pki(tmp_path):
    made = Pki(tmp_path)
    made.own(NOW)
    return made


def test_our_certificate_is_made_once_and_its_key_is_ours_alone(tmp_path):
    first = Pki(tmp_path).own(NOW)
    assert Pki(tmp_path).own(NOW) == first
    assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o700
    assert first.application_uri.startswith("urn:")
    assert first.days_left(NOW) > 365
    loaded = x509.load_der_x509_certificate(first.certificate.read_bytes())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [first.application_uri]


def test_two_gateways_have_different_names(tmp_path):
    uris = {Pki(tmp_path / name).own(NOW).application_uri for name in ("a", "b")}
    assert len(uris) == 2


def test_an_expired_certificate_is_renewed_with_the_same_key_and_name(tmp_path):
    old = Pki(tmp_path).own(NOW)
    new = Pki(tmp_path).own(NOW + timedelta(days=4 * 365))
    assert new.fingerprint != old.fingerprint
    assert new.application_uri == old.application_uri
    load = x509.load_der_x509_certificate
    assert load(new.certificate.read_bytes()).not_valid_after_utc > NOW + timedelta(days=4 * 365)


def test_a_stranger_is_saved_as_rejected_and_good_once_trusted(pki, tmp_path):
    cert = certificate()
    first = pki.judge(der(cert), URI, NOW)
    assert not first.ok
    assert first.reason.startswith("untrusted")
    assert first.fingerprint == fingerprint_of(cert)
    assert (tmp_path / "rejected" / f"{first.fingerprint}.der").exists()
    pki.trust(":".join(first.fingerprint[i : i + 2] for i in range(0, 64, 2)).lower())
    assert pki.judge(der(cert), URI, NOW).ok
    pki.distrust(first.fingerprint)
    assert not pki.judge(der(cert), URI, NOW).ok


@pytest.mark.parametrize(
    ("cert", "reason"),
    [
        (certificate(start=NOW - timedelta(days=400)), "expired: since"),
        (
            certificate(start=NOW + timedelta(days=1)),
            "not valid yet: it begins at 2026-11-23 10:00 UTC, our clock says 2026-11-22",
        ),
        (certificate(uri="urn:other"), "wrong application: it is made for urn:other"),
        (certificate(own=SMALL_KEY), "weak"),
        (certificate(usage=ExtendedKeyUsageOID.CLIENT_AUTH), "unusable"),
    ],
)
def test_trust_does_not_mend_a_bad_certificate(pki, tmp_path, cert, reason):
    (tmp_path / "trusted" / "x.der").write_bytes(der(cert))
    verdict = pki.judge(der(cert), URI, NOW)
    assert not verdict.ok
    assert verdict.reason.startswith(reason)
    assert verdict.remedy


def test_bytes_that_are_no_certificate_are_refused(pki):
    for data in (b"", b"\x30\x82", b"not a certificate" * 10):
        assert pki.judge(data, URI, NOW).reason.startswith("broken")


def test_a_certificate_of_a_trusted_authority_is_good_until_it_is_revoked(pki, tmp_path):
    cert = certificate(signer=CA_KEY)
    assert not pki.judge(der(cert), URI, NOW).ok
    (tmp_path / "trusted" / "ca.pem").write_bytes(CA.public_bytes(serialization.Encoding.PEM))
    assert pki.judge(der(cert), URI, NOW).ok
    (tmp_path / "crl" / "ca.crl").write_bytes(revocation(cert, CA_KEY))
    assert pki.judge(der(cert), URI, NOW).reason.startswith("revoked")


def test_the_list_of_an_authority_with_an_elliptic_key_revokes_too(pki, tmp_path):
    authority = ec.generate_private_key(ec.SECP256R1())
    cert = certificate(signer=authority)
    (tmp_path / "trusted" / "ca.der").write_bytes(der(certificate(own=authority, ca=True)))
    assert pki.judge(der(cert), URI, NOW).ok
    (tmp_path / "crl" / "ca.crl").write_bytes(revocation(cert, authority))
    assert pki.judge(der(cert), URI, NOW).reason.startswith("revoked")


def test_after_a_hundred_strangers_the_next_can_still_be_trusted(pki, tmp_path):
    for number in range(100):
        stranger = tmp_path / "rejected" / f"{number:064X}.der"
        stranger.write_bytes(b"a stranger")
        os.utime(stranger, (number, number))
    cert = certificate()
    mark = pki.judge(der(cert), URI, NOW).fingerprint
    assert len(list((tmp_path / "rejected").iterdir())) == 100
    assert not (tmp_path / "rejected" / f"{0:064X}.der").exists()
    pki.trust(mark)
    assert pki.judge(der(cert), URI, NOW).ok


def test_a_revocation_list_that_the_authority_did_not_sign_revokes_nothing(pki, tmp_path):
    cert = certificate(signer=CA_KEY)
    (tmp_path / "trusted" / "ca.der").write_bytes(der(CA))
    (tmp_path / "crl" / "forged.crl").write_bytes(revocation(cert, KEY))
    assert pki.judge(der(cert), URI, NOW).ok


def test_an_issuer_without_trust_is_not_enough(pki, tmp_path):
    (tmp_path / "issuers" / "ca.der").write_bytes(der(CA))
    assert pki.judge(der(certificate(signer=CA_KEY)), URI, NOW).reason.startswith("untrusted")


def revocation(cert, signer) -> bytes:
    revoked = (
        x509.RevokedCertificateBuilder()
        .serial_number(cert.serial_number)
        .revocation_date(NOW)
        .build()
    )
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CA_NAME)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
        .add_revoked_certificate(revoked)
        .sign(signer, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


def test_only_a_seen_certificate_can_be_trusted(pki):
    with pytest.raises(NotFound):
        pki.trust("AB" * 32)
    with pytest.raises(NotFound):
        pki.distrust("AB" * 32)


@pytest.fixture
def places(tmp_path):
    """A folder of secrets and one file outside it; what was allowed before is put back."""
    before = list(security._places)
    found = SecretPlaces(folder=tmp_path / "secrets", files=(tmp_path / "run" / "plc",))
    allow_secrets(found)
    yield found
    security._places[:] = before


def private(path, text: str, mode: int = 0o600):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_secrets_come_from_the_environment_or_a_private_file(places, monkeypatch):
    monkeypatch.setenv("PARKTWIN_PLC_PW", "mật khẩu")
    assert secret("env:PARKTWIN_PLC_PW") == "mật khẩu"
    path = private(places.folder / "pw", "s3cret\n")
    assert secret(f"file:{path}") == secret("file:pw") == "s3cret"
    listed = private(places.files[0], "listed")
    assert secret(f"file:{listed}") == "listed"


def test_nothing_else_of_this_machine_can_be_sent_to_a_server(places, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv(security.SECRET_FILES, "s3cret")
    token = private(tmp_path / "ray" / "token", "s3cret")
    places.folder.mkdir()
    (places.folder / "link").symlink_to(token)
    for reference in (
        "env:AWS_SECRET_ACCESS_KEY",
        f"env:{security.SECRET_FILES}",
        f"file:{token}",
        "file:../ray/token",
        f"file:{places.folder}/../ray/token",
        "file:link",
        "file:\0",
    ):
        with pytest.raises(InputError, match="PARKTWIN_") as caught:
            secret(reference)
        assert "s3cret" not in str(caught.value)


def test_a_process_that_named_no_folder_reads_no_file(places, tmp_path):
    path = private(tmp_path / "pw", "s3cret")
    security._places.clear()
    with pytest.raises(InputError, match="no folder of secrets"):
        secret(f"file:{path}")


def test_files_are_listed_by_absolute_paths(tmp_path):
    assert listed_files(f"{tmp_path}/a:/b") == (tmp_path / "a", Path("/b"))
    assert listed_files("") == ()
    with pytest.raises(InputError, match="is not absolute"):
        listed_files("/a:b")


def test_a_missing_or_open_secret_is_an_error_that_does_not_show_it(places, monkeypatch):
    monkeypatch.delenv("PARKTWIN_PLC_PW", raising=False)
    path = private(places.folder / "pw", "s3cret", 0o644)
    for reference, word in (
        ("env:PARKTWIN_PLC_PW", "no environment variable"),
        (f"file:{path}", "chmod 600"),
        ("file:none", "cannot be read"),
        ("s3cret", "no reference"),
    ):
        with pytest.raises(InputError) as caught:
            secret(reference)
        assert word in str(caught.value)
        assert "s3cret" not in str(caught.value)


def spoiled(part: str) -> bytes:
    """A certificate that loads, and one part of it that does not."""
    if part in {"17", "19", "37"}:
        garbage = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"2.5.29.{part}"), b"0\x84no")
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(KEY.public_key()).serial_number(5).not_valid_before(NOW)
        builder = builder.not_valid_after(NOW + timedelta(days=5))
        return der(builder.add_extension(garbage, critical=False).sign(KEY, hashes.SHA256()))
    rsa_ids = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01"
    wrong = {"signature": b"\x0b", "key": b"\x01"}[part]
    return der(certificate()).replace(rsa_ids + wrong, rsa_ids + b"\x77")


@pytest.mark.parametrize("part", ["17", "19", "37", "signature", "key"])
def test_a_strangers_certificate_with_a_part_that_cannot_be_read_is_broken(pki, part):
    data = spoiled(part)
    x509.load_der_x509_certificate(data)
    assert pki.judge(data, None, NOW).reason.startswith("broken")
    # Nor does it stand in the way of others: in a chain, or in a folder.
    good = der(certificate(start=NOW - timedelta(days=1)))
    assert pki.judge(good + data, URI, NOW).reason.startswith("untrusted")
    (pki._folder / "trusted" / "odd.der").write_bytes(data)
    assert [seen.fingerprint for seen in pki.seen()] == [pki.judge(good, URI, NOW).fingerprint]


def test_a_refused_certificate_that_cannot_be_kept_is_refused(pki, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(security, "write_private", full)
    good = der(certificate(start=NOW - timedelta(days=1)))
    assert pki.judge(good, URI, NOW).reason.startswith("untrusted")
