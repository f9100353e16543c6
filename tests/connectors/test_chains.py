"""Chains of certificates, revocation, and what is remarked without being refused."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from connectors.opcua.certificates import chain_of, fingerprint_of
from connectors.opcua.security import Pki

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
URI = "urn:test:plc"


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


ROOT_KEY, MIDDLE_KEY, PLC_KEY, OTHER_KEY = (new_key() for _ in range(4))


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def issued(name, key, by, by_key, *, ca=False, days=365, start=NOW, hosts=(), signs=None):
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - timedelta(days=1))
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if not ca:
        names = [x509.UniformResourceIdentifier(URI), *(x509.DNSName(host) for host in hosts)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if signs is not None:
        off = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment"),
                *("data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            ),
            False,
        )
        usage = x509.KeyUsage(key_cert_sign=signs, crl_sign=True, **off)
        builder = builder.add_extension(usage, critical=True)
    return builder.sign(by_key, hashes.SHA256())


def der(*certificates) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.DER) for c in certificates)


ROOT = issued("Plant root", ROOT_KEY, "Plant root", ROOT_KEY, ca=True)
MIDDLE = issued("Line authority", MIDDLE_KEY, "Plant root", ROOT_KEY, ca=True)
PLC = issued("plc", PLC_KEY, "Line authority", MIDDLE_KEY, hosts=("plc1.acme.vn",))


def revoking(certificate, by: str, key, *, days=1):
    revoked = (
        x509.RevokedCertificateBuilder()
        .serial_number(certificate.serial_number)
        .revocation_date(NOW - timedelta(days=400))
        .build()
    )
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(named(by))
        .last_update(NOW - timedelta(days=400))
        .next_update(NOW + timedelta(days=days))
        .add_revoked_certificate(revoked)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )


@pytest.fixture
def pki(tmp_path):
    made = Pki(tmp_path)
    made.own(NOW)
    made.folder = tmp_path
    return made


def put(pki, place, *certificates):
    for certificate in certificates:
        name = f"{fingerprint_of(certificate)}.der"
        (pki.folder / place / name).write_bytes(der(certificate))


def test_a_chain_is_read_certificate_by_certificate():
    assert chain_of(der(PLC, MIDDLE, ROOT)) == [PLC, MIDDLE, ROOT]
    assert chain_of(der(PLC) + b"\x30\x82\x00\x04junk") == [PLC]
    assert chain_of(b"junk") == []


def test_a_trusted_root_vouches_through_issuers_we_hold_or_the_server_sends(pki):
    put(pki, "trusted", ROOT)
    verdict = pki.judge(der(PLC), URI, NOW)
    assert verdict.reason.endswith("(its issuer Line authority is not known)")
    assert pki.judge(der(PLC, MIDDLE), URI, NOW).ok
    put(pki, "issuers", MIDDLE)
    assert pki.judge(der(PLC), URI, NOW).ok


def test_what_a_server_sends_along_is_not_trusted_by_that(pki):
    assert pki.judge(der(PLC, MIDDLE, ROOT), URI, NOW).reason.startswith("untrusted")
    put(pki, "issuers", MIDDLE, ROOT)
    assert pki.judge(der(PLC), URI, NOW).reason.startswith("untrusted")


def test_a_certificate_that_is_no_authoritys_vouches_for_nobody(pki):
    put(pki, "trusted", issued("Line authority", MIDDLE_KEY, "Plant root", ROOT_KEY))
    barred = issued("Line authority", MIDDLE_KEY, "Plant root", ROOT_KEY, ca=True, signs=False)
    put(pki, "trusted", barred)
    assert pki.judge(der(PLC), URI, NOW).reason.startswith("untrusted")
    allowed = issued("Line authority", MIDDLE_KEY, "Plant root", ROOT_KEY, ca=True, signs=True)
    put(pki, "trusted", allowed)
    assert pki.judge(der(PLC), URI, NOW).ok


def test_an_issuer_of_the_same_name_with_another_key_vouches_for_nobody(pki):
    put(pki, "trusted", issued("Line authority", OTHER_KEY, "Plant root", ROOT_KEY, ca=True))
    assert not pki.judge(der(PLC), URI, NOW).ok


def test_an_issuer_that_has_expired_or_was_revoked_vouches_no_longer(pki):
    put(pki, "trusted", ROOT)
    old = issued("Line authority", MIDDLE_KEY, "Plant root", ROOT_KEY, ca=True, days=-0.5)
    verdict = pki.judge(der(PLC, old), URI, NOW)
    assert "its issuer Line authority has expired" in verdict.reason
    (pki.folder / "crl" / "root.crl").write_bytes(revoking(MIDDLE, "Plant root", ROOT_KEY))
    assert "its issuer Line authority is revoked" in pki.judge(der(PLC, MIDDLE), URI, NOW).reason


def test_a_list_counts_by_issuer_and_signature_not_by_number_alone(pki):
    put(pki, "trusted", ROOT, MIDDLE)
    crl = pki.folder / "crl" / "list.crl"
    for by, key in (("Plant root", ROOT_KEY), ("Line authority", OTHER_KEY)):
        crl.write_bytes(revoking(PLC, by, key))
        assert pki.judge(der(PLC), URI, NOW).ok, by
    assert [one.signed for one in pki.revocation_lists()] == [False]
    crl.write_bytes(revoking(PLC, "Line authority", MIDDLE_KEY))
    assert pki.judge(der(PLC), URI, NOW).reason.startswith("revoked")
    assert [(one.issuer, one.count, one.signed) for one in pki.revocation_lists()] == [
        ("Line authority", 1, True)
    ]


def test_a_revoked_certificate_is_refused_though_it_is_trusted_itself(pki):
    put(pki, "trusted", PLC, MIDDLE)
    (pki.folder / "crl" / "list.crl").write_bytes(revoking(PLC, "Line authority", MIDDLE_KEY))
    assert pki.judge(der(PLC), URI, NOW).reason.startswith("revoked")


def test_an_old_list_still_revokes_and_its_age_is_remarked(pki):
    put(pki, "trusted", MIDDLE)
    crl = pki.folder / "crl" / "list.crl"
    crl.write_bytes(revoking(PLC, "Line authority", MIDDLE_KEY, days=-2))
    assert pki.judge(der(PLC), URI, NOW).reason.startswith("revoked")
    crl.write_bytes(revoking(ROOT, "Line authority", MIDDLE_KEY, days=-2))
    verdict = pki.judge(der(PLC), URI, NOW)
    assert verdict.ok
    assert verdict.remarks == (
        "the revocation list of Line authority expired on 2026-11-20: put a newer one into pki/crl",
    )


def test_another_host_is_remarked_and_not_refused(pki):
    put(pki, "trusted", PLC)
    assert pki.judge(der(PLC), URI, NOW, host="PLC1.acme.vn").remarks == ()
    verdict = pki.judge(der(PLC), URI, NOW, host="10.0.0.5", who="plc1")
    assert verdict.ok
    assert verdict.remarks == ("its certificate is made for plc1.acme.vn, not for 10.0.0.5",)
    assert pki.shown["plc1"].remarks == verdict.remarks


def test_a_self_signed_stranger_is_called_so(pki):
    alone = issued("plc", PLC_KEY, "plc", PLC_KEY)
    assert pki.judge(der(alone), URI, NOW).reason.endswith("(self-signed)")


def test_trust_is_taken_back_whatever_the_file_is_called(pki):
    (pki.folder / "trusted" / "line.pem").write_bytes(PLC.public_bytes(serialization.Encoding.PEM))
    mark = fingerprint_of(PLC)
    assert pki.judge(der(PLC), URI, NOW).ok
    pki.distrust(mark.lower())
    assert not pki.judge(der(PLC), URI, NOW).ok
    assert [(one.place, one.fingerprint) for one in pki.seen()] == [("rejected", mark)]
    pki.trust(mark)
    assert pki.judge(der(PLC), URI, NOW).ok
