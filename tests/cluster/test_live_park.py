"""A park as the service sees it when its actors do not do as they should; they are stood in for."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray.exceptions import ActorUnavailableError, RaySystemError

from cluster import live_park
from cluster.live_park import GatewayHandle, LivePark
from cluster.ports import EndpointState, EndpointStatus
from cluster.rule_watch import Due, Told
from cluster.service import Service, stream_of
from cluster.settings import ParkSettings, ServiceSettings
from cluster.wanted import read_wanted
from models.errors import Conflict, Unavailable
from twin.parkfile.load import load_park, read_park

PARK = Path(__file__).parents[2] / "examples" / "minimal.yaml"


class Actor:
    """Stands in for an actor handle: each method answers what it was given, or raises it."""

    def __init__(self, **answers):
        self._answers = answers

    def __getattr__(self, method):
        async def remote(*arguments):
            # A twin is asked by one method, with the name of what is wanted.
            name = arguments[0] if method == "ask" else method
            answer = self._answers[name]
            if isinstance(answer, asyncio.Event):
                await answer.wait()
            if isinstance(answer, Exception):
                raise answer
            return answer

        return SimpleNamespace(remote=remote)


@pytest.fixture
def live(tmp_path):
    return LivePark(
        load_park(PARK), ParkSettings(file=str(PARK)), ServiceSettings(data=str(tmp_path)), None
    )


def endpoint(state):
    return EndpointStatus(
        id="plc", url="opc.tcp://127.0.0.1:4840", state=state, values_per_s=9.0,
        gateway="small-gateway",
    )  # fmt: skip


def gateway(live, actor):
    """Stand an actor in for the park's first gateway."""
    live.gateways.handles["small-gateway"] = GatewayHandle("small-gateway", actor)


async def test_endpoints_of_a_gateway_that_is_away_are_not_shown_as_connected(live):
    away = Unavailable("no tick", "wait")
    live._actor = Actor(tick=away)
    gateway(live, Actor(status=ActorUnavailableError("gone", None)))
    live.gateways.statuses = [endpoint(EndpointState.CONNECTED), endpoint(EndpointState.DISABLED)]
    await live.beat()
    assert "is being restarted" in live.measures.fault
    assert [s.state for s in live.statuses] == [EndpointState.OFFLINE, EndpointState.DISABLED]
    assert (live.endpoints_up(), live.statuses[0].values_per_s) == (0, 0.0)


async def test_beats_go_on_after_a_fault_nobody_thought_of(live, monkeypatch):
    monkeypatch.setattr(live_park, "_BEAT_S", 0.01)
    beats, third = [], asyncio.Event()

    async def beat():
        beats.append(live.fault)
        if len(beats) == 3:
            third.set()
        raise ValueError("what is that?")

    monkeypatch.setattr(live, "beat", beat)
    beating = asyncio.create_task(live.keep_beating())
    async with asyncio.timeout(10):
        await third.wait()
    beating.cancel()
    await asyncio.gather(beating, return_exceptions=True)
    assert "what is that?" in live.fault


async def test_whatever_ray_says_is_an_error_of_ours(live):
    live._actor = Actor(tick=RaySystemError("the store is gone"))
    with pytest.raises(Unavailable, match="RaySystemError"):
        await live.ask("tick")


async def test_a_twin_that_is_backed_up_is_not_replaced_for_being_stuck(live, monkeypatch):
    killed, done = [], asyncio.Event()
    monkeypatch.setattr(ray, "kill", lambda actor, **_: killed.append(actor))
    live._actor = Actor(tick=Unavailable("it does not answer"), backup=done)
    gateway(live, Actor(status=[], measures=live.measures))
    backup = asyncio.create_task(live.ask_patiently("backup", "/somewhere"))
    await asyncio.sleep(0)
    for _ in range(12):
        await live.beat()
    assert not killed
    done.set()
    await backup
    for _ in range(5):
        await live.beat()
    assert killed == [live._actor]


class Twin(Actor):
    """A twin that keeps what it was told to be, and refuses or is away when it is told to."""

    def __init__(self, live):
        self.live, self.taken, self.fault = live, [], None
        super().__init__(rows=(), specs=())

    def __getattr__(self, method):
        async def remote(*arguments):
            if method == "put_all" or arguments[0] == "apply":
                fault, self.fault = self.fault, None
                if fault is not None and fault[0] in (method, arguments[0]):
                    raise fault[1]
                self.fault = fault
                if method != "put_all":
                    text, _ = read_wanted(self.live._service.folder, self.live.id)
                    self.taken.append(text)
                return {} if method == "put_all" else ()
            return await super(Twin, self).__getattr__(method).remote(*arguments)

        return SimpleNamespace(remote=remote)


class Store:
    """Remembers parks; has no endpoints."""

    def __init__(self):
        self.parks, self.fault = [], None

    def put_park(self, row):
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.parks.append(row.text)

    def endpoints(self, park):
        return []

    mappings = endpoints


@pytest.fixture
def running(tmp_path):
    store = Store()
    live = LivePark(
        load_park(PARK), ParkSettings(file=str(PARK)), ServiceSettings(data=str(tmp_path)), store
    )
    live._actor = Twin(live)
    gateway(live, live._actor)
    live._look_at_gateways = lambda: asyncio.sleep(0)
    return live


def edited(live):
    return read_park(live.park.text + "\n# edited\n", str(PARK))


async def test_an_edited_file_is_kept_once_every_part_has_taken_it(running):
    new = edited(running)
    await running.adopt(new)
    assert running.park is new
    assert running._actor.taken == running.store.parks == [new.text]


@pytest.mark.parametrize(
    "refuses",
    [
        ("apply", Unavailable("the twin is being restarted")),
        ("put_all", Conflict("51 endpoints are enabled")),
        ("store", Unavailable("the disk is full")),
    ],
)
async def test_an_edited_file_that_one_part_does_not_take_is_taken_by_none(running, refuses):
    before, (who, fault) = running.park, refuses
    if who == "store":
        running.store.fault = fault
    else:
        running._actor.fault = refuses
    with pytest.raises(type(fault), match=str(fault)[:20]):
        await running.adopt(edited(running))
    assert running.park is before
    assert running._actor.taken[-1] == running.store.parks[-1] == before.text
    assert read_wanted(running._service.folder, running.id)[0] == before.text


def test_nobody_delivers_under_the_name_of_the_services_own_gateway(live):
    assert stream_of(live, "hall-2") == "small-hall-2"
    for own in ("gateway", "gateway-2"):
        with pytest.raises(Conflict, match="own gateway"):
            stream_of(live, own)


async def test_a_part_that_ended_by_a_fault_is_told(tmp_path):
    service = Service(ServiceSettings(data=str(tmp_path)))

    async def dispatch():
        raise RuntimeError("disk image is malformed")

    service._keep(dispatch(), "what-if")
    await asyncio.gather(*service._tasks, return_exceptions=True)
    await asyncio.sleep(0)
    (part,) = await service.parts()
    assert (part.name, part.ok) == ("what-if", False)
    assert "malformed" in part.cause


async def test_the_twin_is_told_of_certificates_until_it_has_taken_it(live, monkeypatch):
    asked: list[dict[str, object]] = []
    away = [Unavailable("no twin", "wait")]

    async def ask(_method, command):
        asked.append(command)
        if away:
            raise away.pop()

    monkeypatch.setattr(live, "ask", ask)
    monkeypatch.setattr(live_park, "wall_us", lambda: 0)
    live.statuses = [replace(endpoint(EndpointState.CONNECTED), certificate_us=86_400_000_000)]
    for _ in range(4):
        await live._tell_expiries()
        live.fault = ""
    assert asked == [{"certificates": {"endpoints": {"plc": 1.0}, "own": None}}] * 2


async def test_what_rules_found_stands_in_the_status(live):
    live._actor = Actor(tick=Unavailable("no tick", "wait"))
    live.rules._due["plc"] = Due(next_s=0.0, told=Told(new_nodes=2, gone_nodes=("nsu=urn:a;s=x",)))
    gateway(live, Actor(status=[endpoint(EndpointState.CONNECTED)], measures=live.measures))
    await live.beat()
    (told,) = live.statuses
    assert (told.new_nodes, told.gone_nodes) == (2, ("nsu=urn:a;s=x",))
