"""Writes and calls: nothing without leave, and a record of everything."""

import pytest
from asyncua import ua
from floor_plc import Plc, free_port, running

from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.control import Actor, Refusal, call, write
from connectors.opcua.session import close, open_session, read_identity
from models.errors import InputError, NotFound

pytestmark = [pytest.mark.floor]

OPERATOR, GUEST = Actor(name="lan", role="operator"), Actor(name="minh", role="viewer")


async def test_only_an_allowed_role_writes_and_calls_and_each_deed_is_recorded():
    async with running(Plc(free_port())) as plc:
        node = await plc.add("urn:a", "Setpoint", 40, ua.VariantType.Int32)
        await node.set_writable()
        calls = []
        index = await plc.server.get_namespace_index("urn:a")
        await plc.server.nodes.objects.add_method(
            ua.NodeId(ua.String("Reset"), ua.Int16(index)),
            ua.QualifiedName("Reset", index),
            lambda parent, *values: calls.append(values) or [],
            [ua.VariantType.Int64],
            [],
        )
        method = "i=85 nsu=urn:a;s=Reset"
        config = EndpointConfig(
            id="plc",
            url=plc.url,
            allow_insecure=True,
            items=(
                Item(
                    tag=1,
                    namespace="urn:a",
                    identifier="s=Setpoint",
                    scale=0.1,
                    writable_by=frozenset({"operator"}),
                ),
            ),
            callable_by=((method, frozenset({"operator"})),),
        )
        client = await open_session(config, None, 5.0)
        try:
            spaces = (await read_identity(client)).namespaces
            deed = await write(client, config, spaces, 1, 5.5, OPERATOR)
            assert (deed.who, deed.before, deed.after, deed.result) == ("lan", "40", "5.5", "Good")
            assert await node.read_value() == 55
            with pytest.raises(Refusal, match="may not be written by viewer") as refused:
                await write(client, config, spaces, 1, 9.0, GUEST)
            assert refused.value.deed.result == "refused: not allowed"
            assert await node.read_value() == 55
            with pytest.raises(InputError, match="no Int32"):
                await write(client, config, spaces, 1, 5.55, OPERATOR)
            with pytest.raises(NotFound):
                await write(client, config, spaces, 2, 5.0, OPERATOR)
            done = await call(client, config, spaces, method, [ua.Variant(7)], OPERATOR)
            assert (done.result, done.after) == ("Good", "7")
            with pytest.raises(Refusal, match="may not be called by viewer"):
                await call(client, config, spaces, method, [ua.Variant(8)], GUEST)
            assert len(calls) == 1
        finally:
            await close(client)


def test_by_default_nothing_may_be_written_or_called():
    config = EndpointConfig(id="plc", url="opc.tcp://127.0.0.1:4840", allow_insecure=True)
    assert config.callable_by == ()
    assert Item(tag=1, namespace="urn:a", identifier="s=V").writable_by == frozenset()
