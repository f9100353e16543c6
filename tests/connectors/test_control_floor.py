"""Writes and calls on a real server: nothing without leave, and a deed of everything."""

import asyncio
import pickle
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.methods import uamethod
from floor_plc import Plc, answering, free_port, running
from floor_proxy import Link

from connectors.opcua import control
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.control import call, split_method, write
from connectors.opcua.deed import Actor, CallOrder, WriteOrder
from connectors.opcua.reverse import Refusal
from connectors.opcua.session import close, open_session, read_identity
from models.errors import Conflict, InputError, NotFound, Refused, Unavailable

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]

LAN, MINH = Actor(name="lan", role="operator"), Actor(name="minh", role="viewer")
OPERATORS = frozenset({"operator"})
METHOD = "i=85 nsu=urn:a;s=Reset"
NODES = ("Setpoint", "Power", "Text", "Fixed", "Many", "Ranged")


def config_of(url: str) -> EndpointConfig:
    scales = {"Setpoint": 0.1, "Ranged": 0.001}
    items = tuple(
        Item(
            tag=number,
            namespace="urn:a",
            identifier=f"s={name}",
            scale=scales.get(name, 1.0),
            writable_by=OPERATORS,
        )
        for number, name in enumerate(NODES, start=1)
    )
    gone = Item(tag=9, namespace="urn:a", identifier="s=Gone", writable_by=OPERATORS)
    return EndpointConfig(
        id="plc",
        url=url,
        allow_insecure=True,
        items=(*items, gone),
        callable_by=((METHOD, OPERATORS), ("i=85 nsu=urn:a;s=None", OPERATORS)),
    )


class Floor:
    """A server with nodes to write and a method, and a client connected to it."""

    def __init__(self, plc, client, spaces, url):
        self.plc, self.client, self.spaces = plc, client, spaces
        self.config = config_of(url)
        self.calls = []

    async def write(self, name, value, actor=LAN, *, tag=None, dry_run=False):
        number = NODES.index(name) + 1 if tag is None else tag
        order = WriteOrder(tag=number, node=f"nsu=urn:a;s={name}", value=value, dry_run=dry_run)
        return await write(self.client, self.config, self.spaces, order, actor)

    async def call(self, *arguments, method=METHOD, actor=LAN, dry_run=False):
        order = CallOrder(method=method, arguments=arguments, dry_run=dry_run)
        return await call(self.client, self.config, self.spaces, order, actor)

    async def held(self, name):
        return await self.plc.nodes["urn:a", name].read_value()


HELD = (
    ("Setpoint", 40, ua.VariantType.Int32),
    ("Power", 1.5, ua.VariantType.Float),
    ("Text", "old", ua.VariantType.String),
    ("Fixed", 1.0, ua.VariantType.Double),
    ("Many", [1.0, 2.0], ua.VariantType.Double),
    ("Ranged", 50_000.0, ua.VariantType.Double),
)


async def furnish(floor):
    plc, kinds = floor.plc, ua.VariantType
    for name, value, kind in HELD:
        node = await plc.add("urn:a", name, value, kind)
        if name != "Fixed":
            await node.set_writable()
    span = ua.Variant(ua.Range(Low=0.0, High=90_000.0), kinds.ExtensionObject)
    await plc.nodes["urn:a", "Ranged"].add_property(0, "EURange", span)
    index = await plc.server.get_namespace_index("urn:a")

    @uamethod
    def reset(_, count, name, forced):
        floor.calls.append((count, name, forced))
        if count > 100:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadInvalidState)
        return count * 2

    arguments = [
        ua.Argument(Name=name, DataType=ua.NodeId(kind.value), ValueRank=-1)
        for name, kind in (
            ("count", kinds.UInt16),
            ("name", kinds.String),
            ("forced", kinds.Boolean),
        )
    ]
    await plc.server.nodes.objects.add_method(
        ua.NodeId(ua.String("Reset"), ua.Int16(index)),
        ua.QualifiedName("Reset", index),
        reset,
        arguments,
        [kinds.UInt16],
    )


@asynccontextmanager
async def floor_of(plc, url=""):
    client = await open_session(config_of(url or plc.url), None, 5.0)
    try:
        spaces = (await read_identity(client)).namespaces
        yield Floor(plc, client, spaces, url or plc.url)
    finally:
        await close(client)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served():
    async with running(Plc(free_port())) as plc, floor_of(plc) as floor:
        await furnish(floor)
        yield floor


@pytest_asyncio.fixture(loop_scope="module")
async def floor(served):
    """The server as every test finds it."""
    for name, value, kind in HELD:
        await served.plc.write("urn:a", name, value, kind)
    served.calls.clear()
    return served


async def test_a_value_is_written_in_the_type_and_unit_of_the_node_and_read_back(floor):
    deed = await floor.write("Setpoint", "5.5")
    assert (deed.who, deed.role, deed.result, deed.status) == ("lan", "operator", "Good", "Good")
    # 40 at the PLC are 4 here, and 5.5 here are 55 there.
    assert (deed.before, deed.asked, deed.sent, deed.held) == ("4", "5.5", "55", "5.5")
    assert deed.data_type == "Int32"
    assert (deed.fault, deed.as_sent) == (None, True)
    assert await floor.held("Setpoint") == 55
    assert (await floor.write("Power", 0.1)).held == f"{0.10000000149011612:.12g}"
    assert (await floor.write("Text", "mới")).before == "old"
    assert await floor.held("Text") == "mới"


async def test_nothing_is_sent_for_another_role_or_another_tag(floor):
    deed = await floor.write("Setpoint", 9, MINH)
    assert (deed.result, deed.sent, deed.before) == ("refused", "", "")
    assert isinstance(deed.fault, Refused)
    assert "by role viewer: only operator may" in str(deed.fault)
    assert isinstance((await floor.write("Setpoint", 9, tag=99)).fault, NotFound)
    # The tag is bound to another node by now: what was meant is not what would be written.
    assert isinstance((await floor.write("Power", 9, tag=1)).fault, Conflict)
    assert await floor.held("Setpoint") == 40


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Setpoint", "NaN", "no number"),
        ("Setpoint", "5.55", "write 5.5 or 5.6"),
        ("Setpoint", "1e12", "more than a Int32"),
        ("Setpoint", True, "true is no Int32"),
        ("Text", 5, "no text"),
        ("Many", 5, "is an array"),
        ("Ranged", "95", "write 0 to 90"),
        ("Ranged", "-0.001", "out of the range"),
    ],
)
async def test_what_does_not_fit_the_node_is_not_sent(floor, name, value, told):
    before = await floor.held(name)
    deed = await floor.write(name, value)
    assert (deed.result, deed.status) == ("failed", "")
    assert isinstance(deed.fault, InputError)
    assert told in str(deed.fault)
    assert await floor.held(name) == before


async def test_a_dry_run_says_what_would_be_written_and_writes_nothing(floor):
    deed = await floor.write("Ranged", "60", dry_run=True)
    assert (deed.result, deed.before, deed.sent) == ("dry run", "50", "60000")
    assert (deed.low, deed.high) == (0.0, 90.0)
    assert await floor.held("Ranged") == 50_000.0
    assert (await floor.write("Ranged", "60", MINH, dry_run=True)).result == "refused"


async def test_a_node_that_is_read_only_or_gone_is_told(floor):
    deed = await floor.write("Fixed", 2)
    assert (deed.result, deed.before) == ("refused", "1")
    assert "read-only (BadNotWritable)" in str(deed.fault)
    gone = await floor.write("Gone", 2, tag=9)
    assert isinstance(gone.fault, InputError)
    assert "no such node" in str(gone.fault)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("BadUserAccessDenied", Refused),
        ("BadOutOfRange", InputError),
        ("BadDeviceFailure", Refused),
    ],
)
async def test_what_the_server_refuses_is_told_with_its_status(floor, status, kind):
    async def refuse():
        return getattr(ua.StatusCodes, status)

    with answering(floor.plc, "Setpoint", refuse):
        deed = await floor.write("Setpoint", 6)
    assert (deed.status, deed.sent, deed.before) == (status, "60", "4")
    assert isinstance(deed.fault, kind)
    assert status in str(deed.fault)


async def test_what_the_plc_makes_of_a_value_is_what_is_recorded(floor):
    async def clamp():
        await floor.plc.write("urn:a", "Setpoint", 50, ua.VariantType.Int32)
        return ua.StatusCodes.GoodClamped

    with answering(floor.plc, "Setpoint", clamp):
        deed = await floor.write("Setpoint", 9)
    assert (deed.result, deed.status, deed.sent, deed.held) == ("Good", "GoodClamped", "90", "5")
    assert not deed.as_sent


async def test_a_method_is_called_with_arguments_in_its_types(floor):
    deed = await floor.call("7", "line 1", "true")
    assert floor.calls == [(7, "line 1", True)]
    assert (deed.result, deed.sent) == ("Good", "count=7, name=line 1, forced=true")
    assert deed.held == "14"
    # The method alone says enough where one object has it.
    assert (await floor.call(8, "x", False, method="nsu=urn:a;s=Reset")).target == METHOD
    dry = await floor.call("9", "x", "off", dry_run=True)
    assert (dry.result, dry.sent) == ("dry run", "count=9, name=x, forced=false")
    assert len(floor.calls) == 2


async def test_a_call_that_is_not_allowed_or_does_not_fit_is_not_made(floor):
    for deed, kind, told in (
        (await floor.call(7, "x", True, actor=MINH), Refused, "by role viewer: only operator may"),
        (await floor.call(7, method="i=85 nsu=urn:a;s=Other"), Refused, "nobody may"),
        (await floor.call(7, "x"), InputError, "2 argument(s) given, the method takes 3"),
        (await floor.call("70000", "x", True), InputError, "more than a UInt16"),
        (await floor.call(7, "x", "perhaps"), InputError, "no Boolean"),
        (await floor.call(method="i=85 nsu=urn:a;s=None"), InputError, "no such node"),
    ):
        assert isinstance(deed.fault, kind), deed
        assert told in str(deed.fault)
    assert floor.calls == []


async def test_a_method_that_fails_at_the_server_is_told(floor):
    deed = await floor.call(200, "x", True)
    assert (deed.result, deed.sent[:9]) == ("refused", "count=200")
    assert deed.status.startswith("Bad")
    assert deed.status in str(deed.fault)


async def test_a_link_that_is_lost_before_the_answer_leaves_it_unknown(floor):
    async with Link(floor.plc.port) as link, floor_of(floor.plc, link.url) as far:
        asked = asyncio.Event()

        async def silent():
            asked.set()
            return await asyncio.sleep(30, ua.StatusCodes.Good)

        with answering(floor.plc, "Setpoint", silent):
            attempt = asyncio.create_task(far.write("Setpoint", 9))
            await asked.wait()
            link.cut()
            deed = await attempt
        assert (deed.result, deed.sent) == ("unknown", "90")
        assert isinstance(deed.fault, Unavailable)
        assert "it may have been done" in str(deed.fault)
        after = await far.write("Setpoint", 9)
        assert after.result == "failed"  # nothing was sent: the link is down


async def test_a_server_that_ends_the_connection_with_a_code_has_not_answered(floor):
    async with floor_of(floor.plc) as near:
        asked = asyncio.Event()

        async def silent():
            asked.set()
            return await asyncio.sleep(30, ua.StatusCodes.Good)

        ended = Refusal(code=ua.StatusCodes.BadTcpInternalError, what="it is being restarted")
        with answering(floor.plc, "Setpoint", silent):
            attempt = asyncio.create_task(near.write("Setpoint", 9))
            await asked.wait()
            near.client.uaclient.protocol.data_received(ended.message)
            deed = await attempt
    assert (deed.result, deed.status) == ("unknown", "")
    assert "it may have been done" in str(deed.fault)


async def test_a_value_that_was_taken_is_no_failure_where_it_cannot_be_read_back_in_time(
    floor, monkeypatch
):
    async def never(*_):
        await asyncio.sleep(30)

    monkeypatch.setattr(control, "_read_back", never)
    monkeypatch.setattr(control, "_LONGEST_S", 3.0)
    deed = await floor.write("Setpoint", 9)
    assert (deed.result, deed.status, deed.held, deed.fault) == ("Good", "Good", "", None)
    assert not deed.as_sent
    assert await floor.held("Setpoint") == 90


async def test_a_deed_travels_with_its_fault(floor):
    deed = await floor.write("Setpoint", 9, MINH)
    again = pickle.loads(pickle.dumps(deed))
    assert str(again.fault) == str(deed.fault)


async def test_by_default_nothing_may_be_written_or_called():
    config = EndpointConfig(id="plc", url="opc.tcp://127.0.0.1:4840", allow_insecure=True)
    assert config.callable_by == ()
    assert Item(tag=1, namespace="urn:a", identifier="s=V").writable_by == frozenset()


async def test_an_object_may_have_blanks_in_its_name():
    assert split_method("nsu=urn:a;s=Line 1 nsu=urn:a;s=Reset all") == (
        "nsu=urn:a;s=Line 1", "nsu=urn:a;s=Reset all",
    )  # fmt: skip
    with pytest.raises(InputError, match="no object and method"):
        split_method("Reset")
