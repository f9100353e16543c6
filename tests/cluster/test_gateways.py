"""Several gateways of one park: who reads what, and what a move tells."""

import asyncio
import contextlib
import datetime as dt
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.assignments import Assignments, read_assignments, write_assignments
from cluster.gateway_host import GatewayHost, GatewayHostSettings
from cluster.gateways import Gateways, GatewaysSettings, values_per_s
from cluster.spread import CLOSE_AT, spread
from connectors.gateway import GatewayMeasures, GatewaySettings, Taken
from connectors.opcua.config import POLICIES, EndpointConfig, Item
from connectors.opcua.source import SourceSettings
from models.errors import Conflict, Corrupt, Unavailable

sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))
from floor_plc import Plc, free_port, running
from floor_receiver import Receiver, until

# --- who reads what ---

LOADS = st.dictionaries(
    st.text("abcdefgh", min_size=1, max_size=3), st.floats(0, 1000), max_size=30
)
SEATS = st.sampled_from(["g", "g-2", "g-3", "g-9"])


@given(
    loads=LOADS,
    limit=st.integers(1, 7),
    held=st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), SEATS, max_size=30),
    broken=st.sets(SEATS),
)
def test_each_endpoint_has_one_gateway_none_too_many_and_nothing_moves_without_a_reason(
    loads, limit, held, broken
):
    found = spread(loads, held, first="g", limit=limit, broken=broken)
    assert found.keys() == loads.keys()
    counts = Counter(found.values())
    assert max(counts.values(), default=0) <= limit
    assert not broken & set(found.values())
    assert spread(loads, found, first="g", limit=limit, broken=broken) == found
    if len(counts) > 1:
        assert len(loads) > CLOSE_AT * limit * (len(counts) - 1)


def test_few_endpoints_are_read_by_the_first_gateway_and_more_open_the_next():
    two = spread({"a": 1.0, "b": 1.0}, {}, first="g", limit=2)
    assert two == {"a": "g", "b": "g"}
    three = spread({"a": 1.0, "b": 1.0, "c": 1.0}, two, first="g", limit=2)
    assert three == {"a": "g", "b": "g", "c": "g-2"}
    # Four places are one gateway too many for one endpoint: 1 <= 0.8 * 2.
    assert spread({"c": 1.0}, three, first="g", limit=2) == {"c": "g-2"}
    assert spread({"a": 1.0, "c": 1.0}, three, first="g", limit=3) == {"a": "g", "c": "g"}


def test_a_gateway_that_carries_far_more_than_the_mean_gives_something_away():
    # Mean (301 + 301 + 2) / 2 = 302: 602 is more than 1.5 times that.
    loads = {"a": 300.0, "b": 300.0, "c": 1.0}
    held = {"a": "g", "b": "g", "c": "g-2"}
    assert spread(loads, held, first="g", limit=2) == {"a": "g", "b": "g-2", "c": "g-2"}
    even = {"a": 300.0, "b": 300.0, "c": 250.0}
    assert spread(even, held, first="g", limit=2) == held


def test_the_endpoints_of_a_broken_gateway_go_to_the_others():
    held = {"a": "g", "b": "g", "c": "g-2"}
    found = spread(dict.fromkeys("abc", 1.0), held, first="g", limit=3, broken={"g"})
    assert found == dict.fromkeys("abc", "g-2")


def test_the_rate_of_an_endpoint_is_what_its_items_are_asked_for():
    items = (
        Item(tag=1, namespace="u", identifier="s=A"),
        Item(tag=2, namespace="u", identifier="s=B", sampling_ms=100.0),
    )
    config = EndpointConfig(
        id="e", url="opc.tcp://x:1", allow_insecure=True, sampling_ms=500.0, items=items
    )
    assert values_per_s(config) == 2.0 + 10.0


def test_assignments_come_back_as_they_were_and_a_torn_file_is_not_guessed(tmp_path):
    file = tmp_path / "parks" / "small" / "gateways.json"
    assert read_assignments(file) is None
    taken = {"a": Taken(memory={"covered_us": 7, "known": ["x", "y"]}, cause="moved")}
    told = Assignments(version=3, of={"a": "g", "b": "g-2"}, taken=taken)
    write_assignments(file, told)
    assert read_assignments(file) == told
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(Corrupt, match=r"gateways\.json"):
        read_assignments(file)


# --- a move while values flow ---

QUICK = GatewaySettings(
    idle_s=0.005,
    retry_first_s=0.02,
    source=SourceSettings(probe_s=0.2, coverage_s=0.2, backoff_first_s=0.05, timeout_s=2.0),
)


class Local:
    """A gateway's host in this process, in place of an actor; it can be away, or die."""

    def __init__(self, name: str, folder: Path, receiver: Receiver) -> None:
        self.name, self.away, self.dead = name, False, False
        self.host = GatewayHost(
            GatewayHostSettings(
                source=name,
                data=str(folder),
                database="",
                folder=str(folder / "gateways" / name),
                pki=str(folder / "pki"),
                assignments=str(folder / "gateways.json"),
            ),
            receiver.deliver,
        )
        self.host._gateway.settings = QUICK
        self.host._gateway._new_session = receiver.new_session
        (folder / "gateways" / name).mkdir(parents=True, exist_ok=True)

    async def ask(self, method: str, *arguments: object) -> object:
        await asyncio.sleep(0)
        if self.away or self.dead:
            raise Unavailable(f"{self.name} is away")
        return await getattr(self.host, method)(*arguments)

    def kill(self) -> None:
        self.dead = True
        gateway = self.host._gateway
        tasks = [*gateway._tasks, *gateway._calls]
        tasks += [s._task for s in gateway._sources.values() if s._task is not None]
        for task in tasks:
            task.cancel()
        gateway._buffer.close()


class Floor:
    """Some gateways of a park, and what they deliver; each source has a receiver of its own."""

    def __init__(self, folder: Path, limit: int, away_s: float = 0.3) -> None:
        self.folder, self.receivers = folder, {}
        self.started: list[Local] = []
        self.gateways = Gateways(
            GatewaysSettings(first="g", limit=limit, away_s=away_s),
            folder / "gateways.json",
            lambda name: folder / "gateways" / name,
            self.start,
        )

    def start(self, name: str) -> Local:
        made = Local(name, self.folder, self.receivers.setdefault(name, Receiver()))
        self.started.append(made)
        return made

    def values(self, tag: int) -> list[float]:
        return [v for r in self.receivers.values() for v in r.values(tag)]

    def coverage(self, endpoint: str) -> list[dict]:
        rows = [row for r in self.receivers.values() for row in r.coverage]
        return sorted((r for r in rows if r["endpoint"] == endpoint), key=lambda r: r["from"])

    def readers(self, endpoint: str) -> list[str]:
        """Who reads an endpoint now, by what runs and not by what is written."""
        return [
            one.name
            for one in self.started
            if not one.dead and endpoint in one.host._gateway._sources
        ]


def endpoint(name: str, url: str, tag: int) -> EndpointConfig:
    return EndpointConfig(
        id=name,
        url=url,
        allow_insecure=True,
        sampling_ms=20.0,
        publishing_ms=20.0,
        queue_size=50,
        items=(Item(tag=tag, namespace="urn:a", identifier=f"s={name}"),),
    )


async def counting(plc: Plc, names: str, written: dict[float, dt.datetime]) -> None:
    count = 0.0
    while True:
        count += 1
        written[count] = dt.datetime.now(dt.UTC)
        for name in names:
            await plc.write("urn:a", name, count, at=written[count])
        await asyncio.sleep(0.02)


@pytest.fixture
async def plc():
    async with running(Plc(free_port())) as made:
        for name in "abc":
            await made.add("urn:a", name, 0.0)
        yield made


@contextlib.asynccontextmanager
async def written_by(plc: Plc):
    written: dict[float, dt.datetime] = {}
    task = asyncio.create_task(counting(plc, "abc", written))
    try:
        yield written
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def assert_told(floor: Floor, name: str, tag: int, written: dict[float, dt.datetime]) -> None:
    """Every value came, or lies in a gap that is told; and coverage has no hole."""
    got = floor.values(tag)
    last = max(got)
    gaps = [(r["from"], r["to"]) for r in floor.coverage(name) if not r["alive"]]
    lost = {v: at for v, at in written.items() if min(got) < v < last}.keys() - set(got)
    assert not [v for v in lost if not any(a <= written[v] <= b for a, b in gaps)]
    reached = None
    for row in floor.coverage(name):
        assert reached is None or row["from"] <= reached, f"a hole before {row}"
        reached = row["to"] if reached is None else max(reached, row["to"])


@pytest.mark.floor
async def test_an_endpoint_that_moves_is_read_by_one_gateway_and_the_move_is_told(tmp_path, plc):
    floor = Floor(tmp_path, limit=2)
    a, b, c = (endpoint(name, plc.url, tag) for tag, name in enumerate("abc", start=1))
    async with written_by(plc) as written:
        await floor.gateways.hold([a, b])
        await until(lambda: all(len(floor.values(tag)) > 20 for tag in (1, 2)), 20)
        await floor.gateways.hold([a, b, c])
        await until(lambda: len(floor.values(3)) > 20, 20)
        assert [floor.readers(name) for name in "abc"] == [["g"], ["g"], ["g-2"]]
        # Without a the second gateway is not needed any more: 2 > 0.8 * 2 keeps it, 1 does not.
        before = max(floor.values(3))
        floor.gateways.settings = GatewaysSettings(first="g", limit=3, away_s=9.0)
        await floor.gateways.hold([b, c])
        await until(lambda: max(floor.values(3)) > before + 20, 20)
        assert [floor.readers(name) for name in "abc"] == [[], ["g"], ["g"]]
        await floor.gateways.look()
        assert {s.id: s.gateway for s in floor.gateways.statuses} == {"b": "g", "c": "g"}
        # A gateway without endpoints is closed once it has delivered everything.
        while "g-2" in floor.gateways.handles:
            await floor.gateways.look()
        assert floor.started[1].dead
        await floor.gateways.close()
    assert_told(floor, "c", 3, written)
    moved = [r for r in floor.coverage("c") if "read by g now" in r["cause"]]
    assert len(moved) == 1
    assert not moved[0]["alive"]
    assert not [r for r in floor.coverage("b") if "read by" in r["cause"]]
    assert len(floor.values(3)) - len(set(floor.values(3))) <= 1  # the new one reads what stands


@pytest.mark.floor
async def test_a_gateway_that_dies_for_good_loses_its_endpoints_to_the_others(tmp_path, plc):
    floor = Floor(tmp_path, limit=2, away_s=0.2)
    configs = [endpoint(name, plc.url, tag) for tag, name in enumerate("abc", start=1)]
    async with written_by(plc) as written:
        await floor.gateways.hold(configs)
        await until(lambda: all(len(floor.values(tag)) > 20 for tag in (1, 2, 3)), 20)
        lost = floor.started[1]
        assert (lost.name, floor.readers("b")) == ("g-2", ["g-2"])
        # It is away but its process runs on: nothing moves while it may be reading.
        lost.away = True
        lost.kill = lambda: None
        await floor.gateways.look()
        await asyncio.sleep(0.3)
        await floor.gateways.look()
        assert floor.readers("b") == ["g-2"]
        seen = max(floor.values(2))
        del lost.kill
        lost.kill()
        await floor.gateways.look()
        await until(lambda: max(floor.values(2)) > seen + 20, 20)
        assert floor.readers("b") == ["g-3"]
        await floor.gateways.look()
        assert {s.id: s.gateway for s in floor.gateways.statuses}["b"] == "g-3"
        assert not floor.gateways.broken
        # Its successor came back under its name, delivers what was left, and reads nothing.
        assert [one.name for one in floor.started] == ["g", "g-2", "g-3", "g-2"]
        assert not floor.started[3].host._gateway._sources
        await floor.gateways.close()
    assert_told(floor, "b", 2, written)
    assert [r for r in floor.coverage("b") if "read by g-3 now" in r["cause"]]


@pytest.mark.floor
async def test_a_gateway_that_starts_again_reads_only_what_is_still_its_own(tmp_path, plc):
    floor = Floor(tmp_path, limit=2)
    a, b = (endpoint(name, plc.url, tag) for tag, name in enumerate("ab", start=1))
    await floor.gateways.hold([a, b])
    floor.started[0].kill()
    told = read_assignments(tmp_path / "gateways.json")
    assert told is not None
    moved = Assignments(version=told.version + 5, of={"a": "g", "b": "g-2"})
    write_assignments(tmp_path / "gateways.json", moved)
    again = floor.start("g")
    await again.ask("begin")
    assert set(again.host._gateway._sources) == {"a"}
    with pytest.raises(Conflict, match="older"):
        await again.ask("put_all", [a, b], told.version)
    assert set(again.host._gateway._sources) == {"a"}
    await again.ask("stop")


def test_a_gateway_that_left_something_is_started_with_the_service(tmp_path):
    floor = Floor(tmp_path, limit=1)
    left = tmp_path / "gateways" / "g-3" / "buffer"
    left.mkdir(parents=True)
    (left / "000000000001.seg").write_bytes(b"something")
    (tmp_path / "gateways" / "g-2" / "buffer").mkdir(parents=True)
    (tmp_path / "gateways" / "g-other" / "buffer").mkdir(parents=True)
    floor.gateways.open()
    assert [one.name for one in floor.started] == ["g", "g-3"]


async def test_a_move_that_ends_halfway_goes_on_at_the_next_look(tmp_path):
    floor = Floor(tmp_path, limit=1, away_s=99.0)
    a = endpoint("a", f"opc.tcp://127.0.0.1:{free_port()}", 1)
    b = endpoint("b", a.url, 2)
    floor.gateways._handle("g-2").away = True
    with pytest.raises(Unavailable, match="g-2 is away"):
        await floor.gateways.hold([a, b])
    await floor.gateways.look()
    assert floor.readers("b") == []
    floor.started[0].away = False
    await floor.gateways.look()
    assert (floor.readers("a"), floor.readers("b")) == (["g"], ["g-2"])
    assert floor.gateways.owner("b") == "g-2"
    await floor.gateways.close()


async def test_what_concerns_all_gateways_reaches_those_that_answer_though_one_is_away(tmp_path):
    told = []

    class Told:
        def __init__(self, name):
            self.name = name

        async def ask(self, method, *arguments):
            told.append((self.name, method, *arguments))
            if self.name == "g":
                raise Unavailable("g is away")

    gateways = Floor(tmp_path, limit=1).gateways
    gateways.handles |= {name: Told(name) for name in ("g", "g-2", "g-3")}
    with pytest.raises(Unavailable, match="g is away"):
        await gateways.ask("certificates_changed", "no longer trusted", "AB")
    assert told == [
        (name, "certificates_changed", "no longer trusted", "AB") for name in ("g", "g-2", "g-3")
    ]


@pytest.mark.parametrize("method", ["browse", "tag_counts", "write", "call"])
async def test_what_concerns_one_endpoint_is_asked_of_the_gateway_that_reads_it(tmp_path, method):
    told = []

    class Told:
        def __init__(self, name):
            self.name = name

        async def ask(self, method, *arguments):
            if method not in ("put_all", "status", "measures"):
                told.append((self.name, method, *arguments))
            return {}

    floor = Floor(tmp_path, limit=1)
    floor.gateways.handles |= {name: Told(name) for name in ("g", "g-2")}
    url = "opc.tcp://127.0.0.1:4840"
    await floor.gateways.hold([endpoint("a", url, 1), endpoint("b", url, 2)])
    await floor.gateways.ask(method, "b", "what")
    assert told == [("g-2", method, "b", "what")]


async def test_a_server_that_no_gateway_asked_has_not_taken_a_new_certificate(tmp_path):
    class Asked:
        async def ask(self, method, *arguments):
            return {"a": ""} if method == "ask_with_staged" else {}

    gateways = Floor(tmp_path, limit=9).gateways
    with pytest.raises(Unavailable, match="starting"):
        await gateways.ask("ask_with_staged")
    gateways.handles["g"] = Asked()
    url, secure = "opc.tcp://127.0.0.1:4840", {"policy": POLICIES[0], "mode": "Sign"}
    a, b = (replace(endpoint(name, url, 1), **secure) for name in "ab")
    off, plain = replace(b, id="off", enabled=False), endpoint("plain", url, 2)
    await gateways.hold([a, b, off, plain])
    answers = await gateways.ask("ask_with_staged")
    assert answers.keys() == {"a", "b"}
    assert (answers["a"], "not asked" in answers["b"]) == ("", True)


async def test_a_look_beside_another_one_leaves_no_trace_of_a_gateway_that_was_closed(tmp_path):
    gateways, closed = Floor(tmp_path, limit=1).gateways, asyncio.Event()

    class Idle:
        def __init__(self):
            self.looks = 0

        async def ask(self, method, *arguments):
            self.looks += method == "status"
            if method == "status" and self.looks > 5:  # slower than who closes it
                await closed.wait()
                raise Unavailable("g-2 is away")
            return GatewayMeasures() if method == "measures" else []

        def kill(self):
            closed.set()

    class First(Idle):
        async def ask(self, method, *arguments):
            return GatewayMeasures() if method == "measures" else []

    gateways.handles |= {"g": First(), "g-2": Idle()}
    for _ in range(4):
        await gateways.look()
    async with asyncio.timeout(10):
        await asyncio.gather(gateways.look(), gateways.look())
    assert closed.is_set()
    assert (gateways.handles.keys(), gateways.measures.keys()) == ({"g"}, {"g"})
