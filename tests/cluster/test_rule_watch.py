"""Rules of the park file and a real server that gets and loses nodes while it runs."""

import asyncio
import itertools
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from asyncua import ua

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "connectors"))
from floor_plc import Plc, free_port, running  # noqa: E402
from floor_receiver import Receiver, until  # noqa: E402

from cluster import bindings, crawl_room  # noqa: E402
from cluster.gateway_host import GatewayHost, GatewayHostSettings  # noqa: E402
from cluster.metadata.upgrade import open_store  # noqa: E402
from cluster.ports import EndpointState, EndpointStatus  # noqa: E402
from cluster.rule_watch import AUTOMATIC, SETTLE_S, RuleWatch  # noqa: E402
from connectors.onboarding.wildcard import Later  # noqa: E402
from models.errors import Unavailable  # noqa: E402
from twin.parkfile.load import read_park  # noqa: E402
from twin.tags import TagDictionary  # noqa: E402

RULES = """
      - {match: "nsu=urn:a;s=P01.Power", to: "acme/hall/l1/p01/active_power"}
      - match: "nsu=urn:a;s={machine}.Temp*"
        to: "acme/hall/l1/{machine}/temperature"
        automatic: true
      - {match: "nsu=urn:a;s=*.Count", to: "acme/hall/l1/p01/part_count"}
virtual_plant"""
POWER, TEMP, COUNT = (f"nsu=urn:a;s=P01.{name}" for name in ("Power", "Temp1", "Count"))
TEMPERATURE = "small/acme/hall/l1/p01/temperature"


def park_of(url: str):
    text = (ROOT / "examples" / "minimal.yaml").read_text("utf-8")
    head = text.partition("endpoints:")[0]
    quick = "sampling: 20 ms, publishing: 20 ms, rules_every: 1 h, events: [i=2253], allow_insecure"
    one = f'endpoints:\n  - id: plc\n    url: "{url}"\n    ' + quick.replace(", ", "\n    ")
    tail = text.partition("virtual_plant")[2].replace(
        "servers: [{endpoint: plc}]", "enabled: false"
    )
    return read_park(f"{head}{one}: true\n    map:{RULES}{tail}", "park.yaml")


class Live:
    """A running park without Ray: gateway, store and tag dictionary are real."""

    def __init__(self, park, store, host) -> None:
        self.park, self.store, self.host, self.id = park, store, host, park.id
        self.tags, self.statuses, self.trail = TagDictionary(), [], []

    @property
    def dictionary(self):
        return SimpleNamespace(open=self.tags.open)

    async def ask_gateway(self, method, *arguments):
        return await getattr(self.host, method)(*arguments)

    async def rebind(self):
        endpoints, mappings = self.store.endpoints(self.id), self.store.mappings(self.id)
        rows, _ = self.tags.plan(bindings.wanted(self.park, endpoints, mappings), 0)
        self.tags.add_rows(rows)
        wanted = bindings.configs(self.park, endpoints, list(self.tags.open.values()), {})
        await self.host.put_all(wanted)

    async def bind(self, endpoint, mapping):
        self.store.map_nodes(self.id, endpoint, mapping)
        await self.rebind()

    async def audit(self, who, action, subject, detail):
        self.trail.append((who, action, subject, dict(detail)))


@pytest.fixture
async def plc():
    async with running(Plc(free_port(), namespaces=("urn:a",))) as served:
        await served.add("urn:a", "P01.Power", 40.0)
        yield served


@pytest.fixture
async def live(tmp_path, plc, monkeypatch):
    monkeypatch.setattr(crawl_room, "_LOOK_EVERY_S", 0.01)
    receiver, store = Receiver(), open_store(tmp_path, "")
    folder = tmp_path / "buffer"
    folder.mkdir()
    settings = GatewayHostSettings(
        source="g", data=str(tmp_path), database="", folder=str(folder), pki=str(tmp_path / "pki")
    )
    host = GatewayHost(settings, receiver.deliver)
    made = Live(park_of(plc.url), store, host)
    made.receiver, made.now = receiver, [0.0]
    made.rules = RuleWatch(made, lambda: made.now[0], lambda low, _: low, ask_s=0.01)
    await made.rebind()
    await connected(made)
    yield made
    await host.stop()
    store.close()


async def connected(live):
    async def seen():
        live.statuses = live.rules.told(await live.host.status())
        return live.statuses[0].state is EndpointState.CONNECTED

    async with asyncio.timeout(30):
        for _ in itertools.count():
            if await seen():
                return
            await asyncio.sleep(0.01)


async def looked(live, seconds):
    """The status after so much time has passed and whoever was due was looked at."""
    live.now[0] += seconds
    await connected(live)
    await live.rules.look(live.bind, live.audit)
    await connected(live)
    return live.statuses[0]


@pytest.mark.floor
# asyncua's server may lose a call of its own when nodes are deleted under it.
@pytest.mark.filterwarnings("ignore:.*MonitoredItemService.datachange_callback")
async def test_nodes_a_server_gets_are_bound_or_told_and_a_lost_one_is_told(live, plc):
    before = await looked(live, 0.0)
    assert (before.rules_us, before.new_nodes) == (None, 0)
    first = await looked(live, 72.0)  # 2 % of the hour
    assert first.rules_us
    assert (first.new_nodes, first.gone_nodes, live.trail) == (0, (), [])

    await plc.add("urn:a", "P01.Temp1", 71.5)
    await plc.add("urn:a", "P01.Count", 7, ua.VariantType.UInt32)
    assert (await looked(live, 3239.0)).new_nodes == 0  # nine tenths of an hour have not passed
    told = await looked(live, 1.0)
    assert (told.new_nodes, told.gone_nodes) == (1, ())
    bound = {row.binding.path: row for row in live.tags.open.values()}
    assert bound[TEMPERATURE].binding.node == TEMP
    assert "small/acme/hall/l1/p01/part_count" not in bound
    detail = {"rule": "nsu=urn:a;s={machine}.Temp*", "to": "acme/hall/l1/{machine}/temperature"}
    assert live.trail == [(AUTOMATIC, "endpoint.map", "small/plc", detail | {TEMP: TEMPERATURE})]
    await until(lambda: live.receiver.values(bound[TEMPERATURE].tag) == [71.5])

    # What somebody has unbound is not bound again, what is gone is told and stays bound.
    await live.bind("plc", {TEMP: ""})
    await plc.server.delete_nodes([plc.nodes["urn:a", "P01.Power"]])
    later = await looked(live, 3240.0)
    assert (later.new_nodes, later.gone_nodes) == (1, (POWER,))
    assert [row.binding.node for row in live.tags.open.values() if "acme" in row.binding.path] == [
        POWER
    ]
    assert len(live.trail) == 1


@pytest.mark.floor
async def test_a_server_that_says_it_changed_is_looked_at_soon(live, plc):
    await looked(live, 0.0)
    assert (await looked(live, 72.0)).rules_us
    await plc.add("urn:a", "P01.Temp1", 71.5)
    kind = ua.NodeId(ua.Int32(ua.ObjectIds.GeneralModelChangeEventType), ua.Int16(0))
    generator = await plc.server.get_event_generator(plc.server.get_node(kind))
    await generator.trigger(message="changed")
    async with asyncio.timeout(30):
        for _ in itertools.count():
            await connected(live)
            if live.statuses[0].model_changes:
                break
            await asyncio.sleep(0.01)
    await looked(live, 1.0)
    assert live.trail == []
    await looked(live, SETTLE_S)
    assert [row[3][TEMP] for row in live.trail] == [TEMPERATURE]


@pytest.mark.floor
async def test_a_crawl_that_fails_is_told_and_tried_again_sooner(live, plc, monkeypatch):
    asked = live.ask_gateway

    async def away(method, *arguments):
        if method == "crawl":
            raise Unavailable("no session left", "close one")
        return await asked(method, *arguments)

    monkeypatch.setattr(live, "ask_gateway", away)
    await looked(live, 0.0)
    told = await looked(live, 72.0)
    assert "no session left" in told.rules_fault
    monkeypatch.setattr(live, "ask_gateway", asked)
    assert (await looked(live, 269.0)).rules_us is None
    told = await looked(live, 1.0)  # nine tenths of five minutes
    assert (told.rules_fault, told.rules_us is None) == ("", False)


def watched(monkeypatch, expanded):
    """A watch of one endpoint that is connected, its clock, and what a look at its rules finds."""
    up = EndpointStatus(id="plc", url="opc.tcp://plc:4840", state=EndpointState.CONNECTED)
    live = SimpleNamespace(id="small", park=park_of("opc.tcp://127.0.0.1:4841"), statuses=[up])
    now = [0.0]
    watch = RuleWatch(live, lambda: now[0], lambda low, _: low)
    monkeypatch.setattr(watch, "_expanded", expanded)

    async def look(at_s):
        now[0] = at_s
        await watch.look(live, live)
        return watch.told([up])[0]

    return look


async def test_what_nobody_foresaw_is_told_and_does_not_crawl_a_plc_every_second(monkeypatch):
    asked = []

    async def broken(name):
        asked.append(name)
        raise RuntimeError("no such thing")

    look = watched(monkeypatch, broken)
    await look(0.0)
    assert (await look(72.0)).rules_fault == "RuntimeError: no such thing"
    await look(73.0)
    await look(341.0)
    assert asked == ["plc"]
    await look(342.0)  # nine tenths of five minutes
    assert asked == ["plc", "plc"]


async def test_all_nodes_that_are_gone_are_counted_and_the_first_are_named(monkeypatch):
    gone = tuple(f"nsu=urn:a;s=x{n:02d}" for n in range(21))

    async def expanded(_):
        return Later(automatic={}, review=(), open=(), gone=gone)

    look = watched(monkeypatch, expanded)
    await look(0.0)
    told = await look(72.0)
    assert (told.gone, told.gone_nodes) == (21, gone[:20])


async def test_who_wants_no_clock_is_not_looked_at():
    park = park_of("opc.tcp://127.0.0.1:4841")
    still = park.endpoints["plc"].model_copy(update={"rules_every": 0.0})
    assert RuleWatch(SimpleNamespace(park=park))._wanted() == {"plc": 3600.0}
    park = SimpleNamespace(endpoints={"plc": still})
    assert RuleWatch(SimpleNamespace(park=park))._wanted() == {}
