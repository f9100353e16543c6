"""Trying and browsing endpoints: each fault has its own step, cause and remedy."""

import asyncio
import contextlib
import os
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from asyncua import ua
from floor_plc import Plc, free_port, running

from connectors.opcua.browse import Browser, browse_children
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.reach import Reach
from connectors.opcua.security import Pki
from connectors.opcua.session import Limits
from connectors.opcua.trial import try_endpoint
from models.errors import InputError, TwinError

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc():
    """A server with a machine, a unit, an array and a method-free tree."""
    async with running(Plc(free_port())) as server:
        await server.add("urn:a", "V", 1.5)
        await server.add("urn:a", "List", [1.0, 2.0])
        index = await server.server.get_namespace_index("urn:a")
        machine = await server.server.nodes.objects.add_object(index, "P01")
        power = await machine.add_variable(index, "Power", 45.0)
        await power.add_property(
            ua.NodeId(ua.String("P01.Power.Unit"), ua.Int16(index)),
            ua.QualifiedName("EngineeringUnits", 0),
            ua.EUInformation(DisplayName=ua.LocalizedText("kW")),
        )
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded(tmp_path_factory):
    """A server that wants security and a user; yields it with a trusted-certificate folder."""
    folder = tmp_path_factory.mktemp("server")
    own = Pki(folder).own(datetime.now(UTC))

    class Users:
        def get_user(self, iserver, username=None, password=None, certificate=None):
            from asyncua.server.user_managers import User, UserRole

            known = username == "reader" and password == "right"
            return User(role=UserRole.User) if known else None

    async def configure(server):
        from asyncua.crypto.cert_gen import setup_self_signed_certificate
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key, cert = folder / "server-key.pem", folder / "server-cert.der"
        await setup_self_signed_certificate(
            key, cert, "urn:test:guarded", "localhost", [ExtendedKeyUsageOID.SERVER_AUTH], {}
        )
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        await server.load_certificate(str(cert))
        await server.load_private_key(str(key))
        server.iserver.user_manager = Users()

    plc = Plc(free_port(), application="urn:test:guarded")
    async with running(plc, configure=configure):
        await plc.add("urn:a", "V", 1.5)
        yield plc
    assert own.key.exists()


def config(url: str, **more) -> EndpointConfig:
    return EndpointConfig(id="e", url=url, **({"allow_insecure": True} | more))


def last(outcome):
    assert not outcome.ok
    assert all(step.ok for step in outcome.steps[:-1])
    assert outcome.steps[-1].remedy
    return outcome.steps[-1]


async def test_a_good_endpoint_passes_every_step(plc):
    items = (
        Item(tag=1, namespace="urn:a", identifier="s=V"),
        Item(tag=2, namespace="urn:a", identifier="s=Nope"),
    )
    outcome = await try_endpoint(config(plc.url, items=items))
    assert outcome.ok
    assert [step.step for step in outcome.steps] == [
        "address",
        "tcp",
        "endpoints",
        "certificate",
        "session",
        "namespaces",
        "status",
        "browse",
        "subscribe",
    ]
    assert outcome.policies == ("None",)
    assert "urn:a" in outcome.namespaces
    assert "1 of 2 items accepted, 1 sent a value" in outcome.steps[-1].detail
    assert "nsu=urn:a;s=Nope: BadNodeIdUnknown" in outcome.steps[-1].detail
    assert "its clock is" in outcome.steps[6].detail


async def test_without_items_the_servers_clock_is_sampled(plc):
    outcome = await try_endpoint(config(plc.url))
    assert outcome.ok
    assert "100 % good" in outcome.steps[-1].detail


async def test_nobody_listening_is_a_refused_connection():
    step = last(await try_endpoint(config(f"opc.tcp://127.0.0.1:{free_port()}")))
    assert (step.step, step.detail) == ("tcp", "connection refused")


async def test_a_port_that_is_no_opc_ua_says_so():
    async def http(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(http, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        step = last(await try_endpoint(config(f"opc.tcp://127.0.0.1:{port}"), timeout_s=1.0))
    assert step.step == "endpoints"
    assert step.detail.startswith("not an OPC UA server")


async def test_a_silent_port_times_out():
    async def silent(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        step = last(await try_endpoint(config(f"opc.tcp://127.0.0.1:{port}"), timeout_s=0.5))
    assert step.step == "endpoints"
    assert "no answer in time" in step.detail


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("opc.tcp://8.8.8.8:4840", "outside the allowed networks"),
        ("opc.tcp://127.0.0.1:22", "port 22 is not allowed"),
        ("opc.tcp://169.254.169.254:4840", "outside the allowed networks"),
        ("opc.tcp://no.such.host.invalid:4840", "is not known"),
    ],
)
async def test_addresses_outside_the_allow_list_are_not_tried(url, word):
    step = last(await try_endpoint(config(url)))
    assert step.step == "address"
    assert word in step.detail


async def test_a_name_that_answers_otherwise_the_second_time_leads_nowhere_else(plc, monkeypatch):
    port = int(plc.url.rpartition(":")[2].partition("/")[0])
    loop, asked, connected = asyncio.get_running_loop(), [], []
    known, connect = loop.getaddrinfo, loop.create_connection

    async def rebound(host, service, **more):
        if host != "plc.example":
            return await known(host, service, **more)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return await known(address, service, **more)

    async def noted(factory, host=None, port=None, **more):
        connected.append(host)
        return await connect(factory, host, port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", rebound)
    monkeypatch.setattr(loop, "create_connection", noted)
    outcome = await try_endpoint(config(f"opc.tcp://plc.example:{port}"))
    assert outcome.ok, outcome.steps[-1]
    assert asked == ["plc.example"]
    assert set(connected) == {"127.0.0.1"}
    assert outcome.url == f"opc.tcp://plc.example:{port}"


async def test_a_pinned_address_keeps_its_port_and_path():
    reach = Reach()
    assert await reach.pinned("opc.tcp://localhost:4841/a/b") in {
        "opc.tcp://127.0.0.1:4841/a/b",
        "opc.tcp://[::1]:4841/a/b",
    }
    assert await reach.pinned("opc.tcp://[::1]:4841/x") == "opc.tcp://[::1]:4841/x"


async def test_an_allow_list_can_be_widened():
    reach = Reach(networks=("127.0.0.0/8",), ports=((1, 65535),))
    step = last(await try_endpoint(config("opc.tcp://127.0.0.1:1"), reach=reach))
    assert step.step == "tcp"


async def test_a_policy_that_is_not_offered_is_named_with_those_that_are(plc, tmp_path):
    wanted = config(plc.url, policy="Basic256Sha256", mode="SignAndEncrypt")
    step = last(await try_endpoint(wanted, pki=Pki(tmp_path)))
    assert step.step == "certificate"
    assert "does not offer Basic256Sha256/SignAndEncrypt, only None" in step.detail


async def test_a_missing_namespace_is_told(plc):
    items = (Item(tag=1, namespace="urn:gone", identifier="s=V"),)
    step = last(await try_endpoint(config(plc.url, items=items)))
    assert (step.step, step.detail) == ("namespaces", "the server has no namespace urn:gone")


async def test_certificate_then_trust_then_user_then_values(guarded, tmp_path, monkeypatch):
    pki = Pki(tmp_path)
    secure = {
        "policy": "Basic256Sha256",
        "mode": "SignAndEncrypt",
        "allow_insecure": False,
        "items": (Item(tag=1, namespace="urn:a", identifier="s=V"),),
    }
    outcome = await try_endpoint(config(guarded.url, **secure), pki=pki)
    step = last(outcome)
    assert step.step == "certificate"
    assert step.detail.startswith("untrusted")
    assert outcome.fingerprint in step.remedy

    pki.trust(outcome.fingerprint)
    monkeypatch.setenv("PARKTWIN_PLC_PASSWORD", "wrong")
    user = {"user": "reader", "password": "env:PARKTWIN_PLC_PASSWORD"}
    step = last(await try_endpoint(config(guarded.url, **secure, **user), pki=pki))
    assert step.step == "session"
    assert "BadUserAccessDenied" in step.detail

    monkeypatch.setenv("PARKTWIN_PLC_PASSWORD", "right")
    outcome = await try_endpoint(config(guarded.url, **secure, **user), pki=pki)
    assert outcome.ok, outcome.steps[-1]
    assert "right" not in repr(outcome)


async def test_children_come_with_value_type_unit_and_stable_ids(plc):
    children = {node.name: node for node in await browse_children(config(plc.url))}
    assert children["V"].node == "nsu=urn:a;s=V"
    assert (children["V"].value, children["V"].data_type) == ("1.5", "Double")
    assert children["P01"].has_children
    (power,) = await browse_children(config(plc.url), children["P01"].node)
    assert (power.name, power.unit, power.value) == ("Power", "kW", "45.0")


async def test_a_node_that_is_not_there_is_told_and_not_taken_for_an_empty_one(plc):
    with pytest.raises(InputError, match="BadNodeId"):
        await browse_children(config(plc.url), f"nsu={plc.namespaces[0]};s=nothing")


class EndlessServer:
    """Stands in for a client whose server has always one more child, or always promises one."""

    def __init__(self, *, gives: bool) -> None:
        self.uaclient, self.gives, self.calls = self, gives, 0

    async def browse(self, _wanted):
        return [self._result()]

    async def browse_next(self, _wanted):
        return [self._result()]

    def _result(self):
        self.calls += 1
        result = ua.BrowseResult()
        result.ContinuationPoint = b"more"
        if self.gives:
            result.References = [ua.ReferenceDescription() for _ in range(1000)]
        return result


@pytest.mark.parametrize(("gives", "calls"), [(True, 100), (False, 1)])
async def test_a_server_that_never_ends_its_list_is_left(gives, calls):
    server = EndlessServer(gives=gives)
    with pytest.raises(InputError, match="does not come to an end"):
        await Browser(server, ["http://opcfoundation.org/UA/"], Limits()).children()
    assert server.calls == calls


async def test_browsing_a_bare_index_or_a_dead_server_is_an_error_with_a_remedy(plc):
    with pytest.raises(InputError, match="bare namespace index"):
        await browse_children(config(plc.url), "ns=2;s=V")
    with pytest.raises(TwinError, match="is the server running"):
        await browse_children(config(f"opc.tcp://127.0.0.1:{free_port()}"))
    assert os.environ.get("PARKTWIN_PLC_PASSWORD") is None
