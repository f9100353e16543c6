"""Our own certificate: what it says, its renewal beside the old one, and a stop in between."""

import socket
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from connectors.opcua.own_certificate import OwnFolder, expiry_stage
from connectors.opcua.side import GATEWAY, SERVER
from models.errors import InputError, NotFound

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def loaded(own) -> x509.Certificate:
    return x509.load_der_x509_certificate(own.certificate.read_bytes())


def fits(own) -> bool:
    return load_pem_private_key(own.key.read_bytes(), None).public_key() == loaded(own).public_key()


def test_it_names_this_application_and_this_machine(tmp_path):
    own = OwnFolder(tmp_path, GATEWAY).current(NOW)
    certificate = loaded(own)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [own.application_uri]
    assert socket.gethostname() in own.hosts
    assert certificate.public_key().key_size >= 2048
    assert certificate.signature_hash_algorithm.name == "sha256"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert stat.S_IMODE(own.key.stat().st_mode) == 0o600
    # A PLC that shows local time as UTC, or is hours late, takes it all the same.
    assert certificate.not_valid_before_utc == NOW - timedelta(days=1)


def test_a_servers_own_certificate_names_loopback_too(tmp_path):
    own = OwnFolder(tmp_path, SERVER).current(NOW)
    assert {"localhost", "127.0.0.1"} <= set(own.hosts)
    assert ":parktwin:server:" in own.application_uri


def test_gateways_that_start_together_share_one(tmp_path):
    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(lambda _: OwnFolder(tmp_path, GATEWAY).current(NOW), range(6)))
    assert len(made) == 1
    assert fits(made.pop())


def test_a_new_one_waits_beside_the_old_until_it_is_switched(tmp_path):
    folder = OwnFolder(tmp_path, GATEWAY)
    old = folder.current(NOW)
    new = folder.stage(NOW)
    assert folder.stage(NOW) == new == folder.staged()
    assert folder.current(NOW) == old
    assert new.application_uri == old.application_uri
    assert loaded(new).public_key() != loaded(old).public_key()
    used = folder.switch()
    assert used.fingerprint == new.fingerprint == folder.current(NOW).fingerprint
    assert fits(used)
    assert folder.staged() is None
    before = x509.load_der_x509_certificate((tmp_path / "before.der").read_bytes())
    assert (
        before.public_key()
        == load_pem_private_key((tmp_path / "before.pem").read_bytes(), None).public_key()
    )
    with pytest.raises(NotFound):
        folder.switch()


def test_a_switch_that_was_interrupted_is_finished(tmp_path):
    folder = OwnFolder(tmp_path, GATEWAY)
    folder.current(NOW)
    new = folder.stage(NOW)
    (tmp_path / "next.pem").replace(tmp_path / "key.pem")  # and then the power went
    found = OwnFolder(tmp_path, GATEWAY).current(NOW)
    assert found.fingerprint == new.fingerprint
    assert fits(found)
    assert folder.staged() is None


def test_one_that_expired_while_it_waited_is_made_anew(tmp_path):
    folder = OwnFolder(tmp_path, GATEWAY)
    waiting = folder.stage(NOW)
    later = NOW + timedelta(days=4 * 365)
    assert folder.stage(later).fingerprint != waiting.fingerprint


def test_a_file_that_is_none_is_told_and_not_overwritten(tmp_path):
    own = OwnFolder(tmp_path, GATEWAY).current(NOW)
    own.certificate.write_bytes(b"torn")
    with pytest.raises(InputError, match="is no certificate"):
        OwnFolder(tmp_path, GATEWAY).current(NOW)
    assert own.certificate.read_bytes() == b"torn"


@pytest.mark.parametrize(
    ("left", "stage"),
    [(61, None), (60, 60), (30.5, 60), (30, 30), (7, 7), (0.1, 7), (0, 0), (-3, 0)],
)
def test_warnings_are_due_at_sixty_thirty_and_seven_days(left, stage):
    assert expiry_stage(NOW + timedelta(days=left), NOW) == stage
