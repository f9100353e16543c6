"""Security against servers nobody here wrote: node-opcua, and asyncua's own."""

import asyncio
import contextlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.server.user_managers import User, UserRole
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from floor_plc import Plc, free_port, running
from floor_secure import HERE, identity_of, let_in, node_server

from connectors.opcua import session
from connectors.opcua.config import MODES, POLICIES, EndpointConfig
from connectors.opcua.guarded import GuardedClient
from connectors.opcua.reach import Reach, allow_reach, allowed_reach
from connectors.opcua.security import Pki, SecretPlaces, allow_secrets
from connectors.opcua.session import open_session
from connectors.opcua.trial import try_endpoint
from models.errors import InputError, Refused, TwinError, Unavailable

ALL = [(policy, mode) for policy in POLICIES for mode in MODES]
NOW = datetime.now(UTC)

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]
needs_node = pytest.mark.skipif(
    not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)


def made_for_a_user(name="reader", *, days=30, bits=2048):
    """A user's certificate and its key, both as PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = NOW - timedelta(days=60)
    built = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    return built.public_bytes(serialization.Encoding.DER), pem


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory):
    """Both sides trust each other."""
    async with node_server(tmp_path_factory.mktemp("node")) as made:
        await made.trust_them()
        made.trust_us()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PARKTWIN_TEST_PASSWORD", "đúng")
            login = made.config(user="reader", password="env:PARKTWIN_TEST_PASSWORD")
            await let_in(login, made.pki)
        yield made


@pytest.fixture
def visitor(node, tmp_path):
    """One of us whom the server has not met."""
    return node.visitor(tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ahead(tmp_path_factory):
    """A server whose clock is six minutes ahead."""
    async with node_server(tmp_path_factory.mktemp("ahead"), clock_s=360) as made:
        yield made


@pytest.fixture
def password(monkeypatch):
    monkeypatch.setenv("PARKTWIN_TEST_PASSWORD", "đúng")
    return "env:PARKTWIN_TEST_PASSWORD"


@pytest.fixture
def secrets(tmp_path):
    """The folder of secrets of this process."""
    allow_secrets(SecretPlaces(folder=tmp_path))
    return tmp_path


@needs_node
async def test_a_server_that_does_not_trust_us_says_so_and_lets_us_in_once_it_does(
    visitor, password
):
    assert (await visitor.try_it()).steps[-1].detail.startswith("untrusted")
    await visitor.trust_them()
    step = (await visitor.try_it(user="reader", password=password)).steps[-1]
    assert step.step == "session"
    assert step.detail == "the server refuses our certificate (BadSecurityChecksFailed)"
    assert "parktwin certificate export --der" in step.remedy
    visitor.trust_us()
    await let_in(visitor.config(user="reader", password=password), visitor.pki)
    outcome = await visitor.try_it(user="reader", password=password)
    assert outcome.ok, outcome.steps[-1]
    # Untrusted again, at once.
    visitor.pki.distrust(outcome.fingerprint)
    assert (await visitor.try_it()).steps[-1].step == "certificate"


@needs_node
@pytest.mark.parametrize(("policy", "mode"), ALL)
async def test_a_user_logs_in_under_every_policy_and_mode_of_node_opcua(
    node, password, policy, mode
):
    config = node.config(policy=policy, mode=mode, user="reader", password=password)
    identity, client = await identity_of(config, node.pki)
    assert identity.application_uri == "urn:floor:secure"
    assert client.security_policy.URI.rpartition("#")[2].replace("_", "") == policy
    assert ua.MessageSecurityMode(client.security_policy.Mode).name == mode


@needs_node
async def test_each_wrong_login_has_its_own_cause_and_remedy(node, password, monkeypatch):
    step = (await node.try_it()).steps[-1]
    assert step.detail.startswith("the server lets nobody in without a user, only by a user's")
    assert step.remedy.startswith("give a user")
    step = (await node.try_it(user="nobody", password=password)).steps[-1]
    assert step.detail == "the server refuses this user (BadUserAccessDenied)"
    monkeypatch.setenv("PARKTWIN_TEST_PASSWORD", "sai")
    step = (await node.try_it(user="reader", password=password)).steps[-1]
    assert step.detail == "the server refuses this user (BadUserAccessDenied)"
    assert "check user and password" in step.remedy
    step = (await node.try_it(user="reader", password="env:PARKTWIN_NOT_THERE")).steps[-1]
    assert (step.step, step.detail) == (
        "certificate",
        "no environment variable PARKTWIN_NOT_THERE",
    )


@needs_node
@pytest.mark.parametrize("policy", POLICIES)
async def test_a_user_with_a_certificate_is_let_in_once_the_server_trusts_it(
    node, secrets, policy, monkeypatch
):
    certificate, key = made_for_a_user()
    (secrets / "user.der").write_bytes(certificate)
    (secrets / "user.pem").write_bytes(key)
    (secrets / "user.pem").chmod(0o600)
    monkeypatch.setenv("PARKTWIN_TEST_PASSPHRASE", "passphrase")
    login = {
        "policy": policy,
        "user_certificate": "file:user.der",
        "user_key": "file:user.pem",
        "password": "env:PARKTWIN_TEST_PASSPHRASE",
    }
    step = (await node.try_it(**login)).steps[-1]
    assert step.step == "session"
    assert step.detail.startswith("the server refuses this user (")
    node.tell("users", secrets / "user.der")
    identity = await let_in(node.config(**login), node.pki)
    assert identity.application_uri == "urn:floor:secure"


@needs_node
async def test_a_new_certificate_waits_until_the_server_trusts_it(visitor, password):
    await visitor.trust_them()
    visitor.trust_us()
    login = visitor.config(user="reader", password=password)
    old = visitor.pki.own(NOW)
    new = visitor.pki.renewal.stage(NOW)
    await let_in(login, visitor.pki)
    with pytest.raises(Unavailable, match="refuses our certificate"):
        await open_session(login, visitor.pki.with_staged(), 10.0)
    visitor.tell("pki", new.certificate)
    await let_in(login, visitor.pki.with_staged())
    visitor.pki.renewal.switch()
    assert visitor.pki.own(NOW).fingerprint == new.fingerprint != old.fingerprint
    await identity_of(login, visitor.pki)


@needs_node
async def test_a_clock_six_minutes_ahead_is_named_first(ahead, tmp_path):
    step = (await ahead.visitor(tmp_path).try_it()).steps[-1]
    # Its certificate was made a moment ago, hence in our future.
    assert step.detail.startswith("not valid yet: it begins at")
    assert "first set both clocks by NTP: the server's is +36" in step.remedy


@needs_node
async def test_a_clock_six_minutes_ahead_is_named_when_the_server_refuses_us(
    ahead, tmp_path, password, monkeypatch
):
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(minutes=6)

    monkeypatch.setattr(session, "datetime", Ahead)
    visitor = ahead.visitor(tmp_path)
    await visitor.trust_them()
    with pytest.raises(Unavailable, match="refuses our certificate") as caught:
        await open_session(visitor.config(user="reader", password=password), visitor.pki, 10.0)
    assert "the server's is +36" in str(caught.value)


# --- asyncua's own server ---


class Users:
    """Knows reader/right, and every certificate."""

    def get_user(self, iserver, username=None, password=None, certificate=None):
        known = (username == "reader" and password == "right") or certificate is not None
        return User(role=UserRole.User) if known else None


@contextlib.asynccontextmanager
async def asyncua_server(folder: Path, *, tokens=None):
    own = Pki(folder / "server").own(NOW)  # its key and certificate serve as the server's

    async def configure(server):
        key = serialization.load_pem_private_key(own.key.read_bytes(), None)
        cert = server_certificate(key)
        (folder / "server.der").write_bytes(cert.public_bytes(serialization.Encoding.DER))
        server.iserver.user_manager = Users()
        await server.load_certificate(str(folder / "server.der"))
        await server.load_private_key(str(own.key))
        kinds = ua.SecurityPolicyType
        server.set_security_policy([getattr(kinds, f"{policy}_{mode}") for policy, mode in ALL])
        if tokens is not None:
            server.set_identity_tokens(tokens)

    async with running(Plc(free_port(), application="urn:test:plc"), configure=configure) as plc:
        yield plc


def server_certificate(key):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc")])
    uri = x509.UniformResourceIdentifier("urn:test:plc")
    host = x509.DNSName("plc1.acme.vn")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=20))
        .add_extension(x509.SubjectAlternativeName([uri, host]), critical=False)
        .sign(key, hashes.SHA256())
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asyncua")
    async with asyncua_server(folder) as made:
        made.pki = Pki(folder / "ours")
        first = await try_endpoint(secure(made), pki=made.pki)
        made.pki.trust(first.fingerprint)
        yield made


def secure(plc, **more) -> EndpointConfig:
    wanted = {"policy": POLICIES[0], "mode": "SignAndEncrypt"} | more
    return EndpointConfig(id="p", url=plc.url, **wanted)


@pytest.mark.parametrize(("policy", "mode"), ALL)
async def test_a_user_logs_in_under_every_policy_and_mode_of_asyncua(
    plc, monkeypatch, policy, mode
):
    monkeypatch.setenv("PARKTWIN_TEST_PASSWORD", "right")
    config = secure(
        plc, policy=policy, mode=mode, user="reader", password="env:PARKTWIN_TEST_PASSWORD"
    )
    identity, client = await identity_of(config, plc.pki)
    assert identity.application_uri == "urn:test:plc"
    assert client.security_policy.Mode.name == mode


async def test_a_certificate_for_another_host_is_taken_with_a_remark(plc):
    outcome = await try_endpoint(secure(plc, user="reader"), pki=plc.pki)
    told = {step.step: step.detail for step in outcome.steps}["certificate"]
    assert "its certificate is made for plc1.acme.vn, not for 127.0.0.1" in told
    assert plc.pki.shown["p"].remarks
    assert plc.pki.shown["p"].not_after.date() == (NOW + timedelta(days=20)).date()


async def test_a_pair_that_does_not_fit_is_told_before_anything_is_sent(plc, secrets):
    certificate, key = made_for_a_user()
    _, other = made_for_a_user()
    old, old_key = made_for_a_user(days=-1)
    files = {
        "user.der": certificate, "user.pem": key, "other.pem": other, "old.der": old,
        "old.pem": old_key, "none.der": b"none", "open.pem": key,
    }  # fmt: skip
    for name, data in files.items():
        (secrets / name).write_bytes(data)
        (secrets / name).chmod(0o644 if name == "open.pem" else 0o600)
    (secrets / "pass").write_text("passphrase")
    (secrets / "wrong").write_text("wrong")
    for name in ("pass", "wrong"):
        (secrets / name).chmod(0o600)
    for cert, key_name, phrase, words in (
        ("user.der", "other.pem", "file:pass", "belongs to another certificate"),
        ("old.der", "old.pem", "file:pass", "expired on"),
        ("none.der", "user.pem", "file:pass", "holds no certificate"),
        ("user.der", "none.der", "file:pass", "cannot be read"),
        ("user.der", "user.pem", "file:wrong", "cannot be read"),
        ("user.der", "user.pem", "", "is encrypted"),
        ("user.der", "open.pem", "file:pass", "may be read by others"),
    ):
        config = secure(
            plc, user_certificate=f"file:{cert}", user_key=f"file:{key_name}", password=phrase
        )
        with pytest.raises(InputError, match=words):
            await open_session(config, plc.pki, 5.0)


# --- the client's own rules ---


def offering(*tokens: tuple[ua.UserTokenType, str], mode=ua.MessageSecurityMode.Sign):
    """A client whose server offers these ways to log in."""
    client = GuardedClient("opc.tcp://127.0.0.1:4840")
    client.security_policy.Mode = mode
    client.security_policy.URI = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
    uri = "http://opcfoundation.org/UA/SecurityPolicy#"
    client._policy_ids = [
        ua.UserTokenPolicy(
            PolicyId=str(n), TokenType=kind, SecurityPolicyUri=uri + name if name else None
        )
        for n, (kind, name) in enumerate(tokens)
    ]
    return client


NAMED, CERTIFIED = ua.UserTokenType.UserName, ua.UserTokenType.Certificate


async def test_a_password_is_encrypted_by_the_best_policy_the_server_offers():
    client = offering((NAMED, "None"), (NAMED, "Basic256Sha256"), (NAMED, "Aes256_Sha256_RsaPss"))
    assert client.server_policy(NAMED).PolicyId == "2"
    # Nothing said means the policy of the channel.
    assert offering((NAMED, "")).server_policy(NAMED).SecurityPolicyUri.endswith("Basic256Sha256")


@pytest.mark.parametrize("name", ["None", "Basic128Rsa15", "Basic256"])
async def test_a_password_that_nothing_protects_is_not_sent(name):
    with pytest.raises(Refused, match="plain text") as caught:
        offering((NAMED, name)).server_policy(NAMED)
    assert "SignAndEncrypt" in str(caught.value)
    encrypted = offering((NAMED, name), mode=ua.MessageSecurityMode.SignAndEncrypt)
    assert encrypted.server_policy(NAMED).PolicyId == "0"


async def test_a_users_certificate_always_signs():
    found = offering((CERTIFIED, "None")).server_policy(CERTIFIED)
    assert found.SecurityPolicyUri.endswith("Basic256Sha256")


async def test_a_way_to_log_in_that_is_not_offered_is_named():
    with pytest.raises(Refused, match="in by user and password, only without a user"):
        offering((ua.UserTokenType.Anonymous, "")).server_policy(NAMED)


@pytest.fixture
def narrow():
    """Only loopback may be reached."""
    before = allowed_reach()
    allow_reach(Reach(networks=("127.0.0.0/8",)))
    yield
    allow_reach(before)


async def test_every_connection_stays_within_the_allowed_addresses(narrow, tmp_path):
    for url, setting in (
        ("opc.tcp://10.255.255.1:4840", "PARKTWIN_OPCUA_NETWORKS"),
        ("opc.tcp://127.0.0.1:22", "PARKTWIN_OPCUA_PORTS"),
    ):
        config = EndpointConfig(id="x", url=url, allow_insecure=True)
        with pytest.raises(Refused) as caught:
            await open_session(config, None, 2.0)
        assert setting in str(caught.value)
        config = EndpointConfig(id="x", url=url, policy=POLICIES[0], mode="Sign")
        with pytest.raises(Refused):
            await open_session(config, Pki(tmp_path), 2.0)


async def test_a_session_connects_to_the_address_that_was_checked(plc, monkeypatch, narrow):
    loop = asyncio.get_running_loop()
    looked_up, connected = [], []
    real_lookup, real_connect = loop.getaddrinfo, loop.create_connection

    async def rebound(host, port, **more):
        looked_up.append(host)
        target = "127.0.0.1" if len(looked_up) == 1 else "203.0.113.9"
        return await real_lookup(target, port, **more)

    async def noted(factory, host=None, port=None, **more):
        connected.append(host)
        return await real_connect(factory, host, port, **more)

    client = session.new_client(f"opc.tcp://plc.example:{plc.port}", 5.0)
    monkeypatch.setattr(loop, "getaddrinfo", rebound)
    monkeypatch.setattr(loop, "create_connection", noted)
    try:
        await client.connect_socket()
        assert connected == ["127.0.0.1"]
    finally:
        client.disconnect_socket()
    with pytest.raises(TwinError, match="outside the allowed networks"):
        await session.new_client(f"opc.tcp://plc.example:{plc.port}", 5.0).connect_socket()
    assert connected == ["127.0.0.1"]
