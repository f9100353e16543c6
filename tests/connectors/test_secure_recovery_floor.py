"""Sessions and subscriptions are taken up again under signatures and encryption: node-opcua."""

import asyncio
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
import pytest_asyncio
from floor_proxy import Link
from floor_receiver import Receiver, until
from floor_secure import HERE, let_in, node_server

from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import Item
from connectors.opcua.report import EndpointState
from connectors.opcua.source import SourceSettings

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
COUNT = (Item(tag=1, namespace="urn:a", identifier="s=Count"),)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARKTWIN_TEST_PASSWORD", "đúng")
        async with node_server(tmp_path_factory.mktemp("recovery")) as node:
            await node.trust_them()
            await node.try_it(user="reader", password="env:PARKTWIN_TEST_PASSWORD")
            node.trust_us()
            config = node.config(user="reader", password="env:PARKTWIN_TEST_PASSWORD")
            await let_in(config, node.pki)
            yield node


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("session", ["kept", "forgotten"])
async def test_a_secure_session_is_taken_up_and_else_its_subscription_moves_to_the_next(
    node, tmp_path, mode, session
):
    receiver = Receiver()
    async with Link(node.port) as link:
        config = replace(
            node.config(mode=mode, user="reader", password="env:PARKTWIN_TEST_PASSWORD"),
            url=link.url.replace("/plc", "/floor"),
            items=COUNT,
            sampling_ms=20.0,
            publishing_ms=100.0,
            queue_size=2000,
        )
        held = Gateway(
            source="g1",
            folder=tmp_path,
            deliver=receiver.deliver,
            new_session=receiver.new_session,
            settings=SETTINGS,
            pki=node.pki,
        )
        await held.start([config])
        try:
            await until(lambda: len(receiver.values(1)) > 20, 20)
            link.refuse = True
            link.cut()
            await until(lambda: held.status()[0].state is EndpointState.OFFLINE, 15)
            if session == "forgotten":
                source = held._sources["n"]
                source._keeping.forget_session()
            await asyncio.sleep(1.0)
            link.refuse = False
            word = "in the same session" if session == "kept" else "in a new session"
            await until(lambda: any(word in row["cause"] for row in receiver.coverage), 15)
            seen = len(receiver.values(1))
            await until(lambda: len(receiver.values(1)) > seen + 20, 15)
        finally:
            await held.stop()
    steps = [b - a for a, b in pairwise(receiver.values(1))]
    # It samples by a timer of its own, so that a step may be two; a lost second would be fifty.
    assert min(steps) > 0
    assert max(steps) < 20
