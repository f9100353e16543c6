"""The same promises against a server nobody here wrote: node-opcua."""

import asyncio
import contextlib
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from floor_plc import free_port
from floor_proxy import Link
from floor_receiver import Receiver, until

from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import POLICIES, EndpointConfig, Item
from connectors.opcua.report import EndpointState
from connectors.opcua.security import Pki
from connectors.opcua.source import SourceSettings
from connectors.opcua.trial import try_endpoint

HERE = Path(__file__).parent / "node"
NAMES = ("Count", "Big", "Bad", "Name", "List")

pytestmark = [
    pytest.mark.floor,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
        reason="run `npm ci` in tests/connectors/node",
    ),
]

SETTINGS = GatewaySettings(
    idle_s=0.005,
    source=SourceSettings(probe_s=0.2, backoff_first_s=0.1, backoff_most_s=0.3, coverage_s=0.2),
)


@contextlib.asynccontextmanager
async def node_server(port: int, folder: Path, *uris: str):
    """A node-opcua server with these namespaces, in this order."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(HERE / "server.js"),
        str(port),
        str(folder),
        *uris,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "node-opcua did not start"
        yield
    finally:
        process.kill()
        await process.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port(tmp_path_factory):
    """Where one server listens for all tests that do not restart it."""
    made = free_port()
    async with node_server(made, tmp_path_factory.mktemp("node"), "urn:a", "urn:b"):
        yield made


def endpoint(port: int, **more) -> EndpointConfig:
    """Tags 1 to 5 are urn:a's Count, Big, Bad, Name, List; 6 to 10 urn:b's."""
    items = tuple(
        Item(tag=i, namespace=uri, identifier=f"s={name}")
        for i, (uri, name) in enumerate(((u, n) for u in ("urn:a", "urn:b") for n in NAMES), 1)
    )
    settings = {"sampling_ms": 20.0, "publishing_ms": 100.0, "allow_insecure": True} | more
    url = f"opc.tcp://127.0.0.1:{port}/floor"
    return EndpointConfig(id="node", url=url, items=items, **settings)


@contextlib.asynccontextmanager
async def gateway(folder: Path, receiver: Receiver, config: EndpointConfig, pki: Pki | None = None):
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        settings=SETTINGS,
        pki=pki,
    )
    await held.start([config])
    try:
        yield held
    finally:
        await held.stop()


async def test_values_of_every_kind_and_a_restart_with_swapped_namespaces(tmp_path):
    receiver, port = Receiver(), free_port()
    async with gateway(tmp_path / "g", receiver, endpoint(port)) as held:
        async with node_server(port, tmp_path / "pki", "urn:a", "urn:b"):
            await until(lambda: len(receiver.values(1)) > 30 and len(receiver.values(6)) > 30, 30)
            status = held.status()[0]
            assert (status.requested, status.accepted) == (10, 10)
            assert "array of 2" in status.rejected["nsu=urn:a;s=List"]
        await until(lambda: held.status()[0].state is EndpointState.OFFLINE)
        before = len(receiver.values(1))
        async with node_server(port, tmp_path / "pki", "urn:b", "urn:a"):
            await until(lambda: len(receiver.values(1)) > before + 30, 30)
    rows = {row["tag"]: row for row in receiver.samples}
    assert (rows[2]["exact"], rows[2]["at"]) == (
        0x00200000_00000001,
        datetime(2026, 11, 22, 3, 4, 5, 678_000, UTC),
    )
    assert rows[3]["status"] == 0x808C0000
    assert rows[4]["text"] == "Máy ép"
    assert all(1000 <= value < 2000 for value in receiver.values(1))
    assert all(2000 <= value < 3000 for value in receiver.values(6))
    assert any("connection lost" in row["cause"] for row in receiver.gaps())
    steps = [b - a for a, b in pairwise(receiver.values(1)[:20])]
    assert all(step > 0 for step in steps)


@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_signs_and_encrypts_once_the_server_is_trusted(port, tmp_path, policy):
    receiver, pki = Receiver(), Pki(tmp_path / "ours")
    secure = endpoint(port, policy=policy, mode="SignAndEncrypt", allow_insecure=False)
    first = await try_endpoint(secure, pki=pki)
    assert first.steps[-1].detail.startswith("untrusted")
    pki.trust(first.fingerprint)
    second = await try_endpoint(secure, pki=pki)
    assert second.ok, second.steps[-1]
    async with gateway(tmp_path / "g", receiver, secure, pki) as held:
        await until(lambda: len(receiver.values(1)) > 5, 30)
        assert held.status()[0].security == f"{policy}/SignAndEncrypt"


@pytest.mark.parametrize("session", ["kept", "forgotten"])
async def test_after_a_cut_the_session_goes_on_and_else_the_gap_says_why(port, tmp_path, session):
    """A stranger's server: it moves no subscription of an anonymous user into another session."""
    receiver = Receiver()
    async with Link(port) as link:
        config = replace(endpoint(port, queue_size=2000), url=link.url.replace("/plc", "/floor"))
        async with gateway(tmp_path, receiver, config) as held:
            await until(lambda: len(receiver.values(1)) > 20, 30)
            link.refuse = True
            link.cut()
            await until(lambda: held.status()[0].state is EndpointState.OFFLINE, 30)
            if session == "forgotten":
                source = held._sources["node"]
                source._keeping.forget_session()
            await asyncio.sleep(1.0)
            link.refuse = False
            await until(lambda: held.status()[0].state is EndpointState.CONNECTED, 30)
            seen = len(receiver.values(1))
            await until(lambda: len(receiver.values(1)) > seen + 50, 30)
            word = "same session" if session == "kept" else "no longer knew the subscriptions"
            await until(lambda: any(word in row["cause"] for row in receiver.coverage), 30)
    steps = [b - a for a, b in pairwise(receiver.values(1))]
    # It samples by a timer of its own, so that a step may be two; a lost second would be fifty.
    assert min(steps) > 0
    assert (max(steps) < 0.02) is (session == "kept")


async def test_a_deadband_in_percent_is_of_the_range_at_the_server_and_else_left_out(tmp_path):
    """Level has a range of 200 and grows by 1, so 5 % are 10; Count has no range."""
    receiver, port = Receiver(), free_port()
    items = tuple(
        Item(tag=i, namespace="urn:a", identifier=f"s={name}", deadband=5.0, deadband_percent=True)
        for i, name in enumerate(("Level", "Count"), 1)
    )
    async with (
        node_server(port, tmp_path / "pki", "urn:a"),
        gateway(tmp_path / "g", receiver, replace(endpoint(port), items=items)) as held,
    ):
        await until(lambda: len(receiver.values(1)) > 6 and len(receiver.values(2)) > 20, 40)
        status = held.status()[0]
    assert all(b - a > 10 for a, b in pairwise(receiver.values(1)))
    assert status.accepted == 2
    assert "1 items have no deadband" in status.cause
