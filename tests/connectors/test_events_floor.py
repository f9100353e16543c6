"""Events of real servers become rows, and their conditions alarms: none lost, none twice."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import pytest_asyncio
from floor_plc import Plc, free_port, running
from floor_proxy import Link
from floor_receiver import Receiver, until

from connectors.coverage import is_coverage
from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig, Item, Notifier, endpoint_config
from connectors.opcua.decode import warm
from connectors.opcua.source import SourceSettings
from models.errors import InputError
from twin.alarms import AlarmState
from twin.happenings import Happening, Missing, Standing, read_note
from twin.park_logic import ParkLogic
from twin.parkfile.load import read_park
from twin.samples import from_us, to_us
from twin.shard import Shard
from twin.sim_disk import SimDisk

HERE = Path(__file__).parent / "node"
SERVER = "i=2253"
TAG = 9

pytestmark = [pytest.mark.floor, pytest.mark.asyncio(loop_scope="module")]
needs_node = pytest.mark.skipif(
    not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)

SETTINGS = GatewaySettings(
    idle_s=0.005,
    retry_first_s=0.02,
    source=SourceSettings(
        timeout_s=2.0, probe_s=0.1, silence_s=1.0, backoff_first_s=0.05, backoff_most_s=0.2,
        coverage_s=0.2, frozen_s=0.0,
    ),
)  # fmt: skip


@contextlib.asynccontextmanager
async def gateway(folder: Path, receiver, *configs: EndpointConfig) -> AsyncIterator[Gateway]:
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        settings=SETTINGS,
    )
    await held.start(configs)
    try:
        yield held
    finally:
        await held.stop()


def endpoint(url: str, **more) -> EndpointConfig:
    chosen = {
        "items": (Item(tag=1, namespace="urn:a", identifier="s=V"),),
        "events": (Notifier(tag=TAG, node=SERVER),),
        "sampling_ms": 20.0,
        "publishing_ms": 20.0,
    }
    return EndpointConfig(id="plc", url=url, allow_insecure=True, **(chosen | more))


def notes(receiver: Receiver, kind: type) -> list:
    found = [read_note(row["text"]) for row in receiver.samples if row["tag"] == TAG]
    return [note for note in found if isinstance(note, kind)]


def messages(receiver: Receiver) -> list[str]:
    return [note.message for note in notes(receiver, Happening)]


async def connected(held: Gateway) -> None:
    await until(lambda: held.status()[0].delivering)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """No test waits for the compiler."""
    warm()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plc():
    async with running(Plc(free_port())) as made:
        await made.add("urn:a", "V", 0.0)
        yield made


async def fire(plc: Plc, *texts: str, severity: int = 500) -> None:
    generator = await plc.server.get_event_generator()
    generator.event.Severity = severity
    for text in texts:
        await generator.trigger(message=text)


async def test_an_event_is_a_row_with_its_severity_its_words_and_its_time(plc, tmp_path):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await connected(held)
        await fire(plc, "Áp suất cao", severity=700)
        await until(lambda: messages(receiver))
    (event,) = notes(receiver, Happening)
    assert (event.source, event.message) == ("Server", "Áp suất cao")
    assert event.type == "nsu=http://opcfoundation.org/UA/;i=2041"
    assert (event.key, event.active, event.stands) == ("", None, False)
    (row,) = [r for r in receiver.samples if r["text"] and "Áp suất" in r["text"]]
    assert (row["value"], row["status"], row["at"]) == (700.0, 0, row["server_at"])


async def test_two_events_of_one_moment_are_two_rows(plc, tmp_path):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await connected(held)
        generator = await plc.server.get_event_generator()
        moment = datetime.now(UTC)
        for _ in range(2):
            await generator.trigger(time_attr=moment, message="same")
        await until(lambda: len(messages(receiver)) == 2)
    rows = [r for r in receiver.samples if r["tag"] == TAG and '"same"' in r["text"]]
    assert rows[0]["at"] == rows[1]["at"]
    assert rows[0]["text"] != rows[1]["text"]


@pytest.mark.parametrize("policy", ["source", "server", "receive"])
async def test_the_time_of_an_event_follows_the_time_policy(plc, tmp_path, policy):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url, time_policy=policy)) as held:
        await connected(held)
        generator = await plc.server.get_event_generator()
        old = from_us(to_us(datetime.now(UTC)) - 60_000_000)
        await generator.trigger(time_attr=old, message="old")
        await until(lambda: "old" in messages(receiver))
    (row,) = [r for r in receiver.samples if r["tag"] == TAG and '"old"' in r["text"]]
    assert abs(row["server_at"] - old).total_seconds() < 0.001
    is_old = abs(row["at"] - old).total_seconds() < 0.001
    assert is_old == (policy == "source")


async def test_no_event_is_lost_or_told_twice_while_the_link_is_cut_again_and_again(plc, tmp_path):
    receiver, fired = Receiver(), 0
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await connected(held)
        generator = await plc.server.get_event_generator()
        for _ in range(4):
            for _ in range(25):
                await generator.trigger(message=f"{fired}")
                fired += 1
                await asyncio.sleep(0.005)
            link.cut()
        await until(lambda: str(fired - 1) in messages(receiver))
        resumed = held.status()[0].resumed
    assert messages(receiver) == [str(n) for n in range(fired)]
    assert notes(receiver, Missing) == []
    assert resumed >= 1


async def test_events_of_a_time_whose_subscription_is_lost_are_said_to_be_missing(plc, tmp_path):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await connected(held)
        assert notes(receiver, Missing) == []
        await held.reconnect("plc", "a test")
        await until(lambda: notes(receiver, Missing))
        (gap,) = notes(receiver, Missing)
        assert (gap.why, gap.to_us > gap.from_us) == ("the server kept nothing", True)
        await fire(plc, "after")
        await until(lambda: "after" in messages(receiver))


async def test_events_wait_on_disk_while_the_twin_is_away_and_come_once(plc, tmp_path):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await connected(held)
        receiver.away = True
        await fire(plc, *map(str, range(20)))
        await until(lambda: held.measures().waiting)
        receiver.away = False
        await until(lambda: len(messages(receiver)) == 20)
        await until(lambda: not held.measures().waiting)
    assert messages(receiver) == [str(n) for n in range(20)]


async def test_an_endpoint_may_tell_events_only(plc, tmp_path):
    receiver = Receiver()
    async with gateway(tmp_path, receiver, endpoint(plc.url, items=())) as held:
        await until(lambda: held.status()[0].state == "connected")
        await fire(plc, "alone")
        await until(lambda: messages(receiver) == ["alone"])


async def test_a_notifier_that_is_none_is_told_and_harms_nothing(plc, tmp_path):
    receiver = Receiver()
    wrong = (
        Notifier(tag=7, node="nsu=urn:nowhere;s=X"),
        Notifier(tag=8, node="nsu=urn:a;s=None"),
        Notifier(tag=TAG, node=SERVER),
    )
    async with gateway(tmp_path, receiver, endpoint(plc.url, events=wrong)) as held:
        await connected(held)
        rejected = held.status()[0].rejected
        assert "urn:nowhere" in rejected["nsu=urn:nowhere;s=X"]
        assert rejected["nsu=urn:a;s=None"].startswith("Bad")
        await fire(plc, "heard")
        await until(lambda: messages(receiver) == ["heard"])


async def test_a_polled_endpoint_tells_no_events():
    with pytest.raises(InputError, match="polled"):
        endpoint("opc.tcp://127.0.0.1:4840", poll=True)


# --- conditions, with a server nobody here wrote ---


class Tank:
    """node-opcua's server with a limit alarm, told what to do over its standard input."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port, self._folder = port, folder

    async def __aenter__(self) -> "Tank":
        self._process = await asyncio.create_subprocess_exec(
            "node", str(HERE / "alarms.js"), str(self.port), str(self._folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await self._heard(b"ready")
        return self

    async def __aexit__(self, *_) -> None:
        self._process.terminate()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        # The pipes close with the transport, not with the process.
        self._process._transport.close()

    async def say(self, line: str) -> None:
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()
        await self._heard(b"done")

    async def _heard(self, word: bytes) -> None:
        async with asyncio.timeout(60):
            while word not in (line := await self._process.stdout.readline()):
                assert line, "node-opcua ended"


PARK = """
apiVersion: parktwin/v1
kind: Park
id: p
label: {{vi: Khu thử, en: Test park}}
region: {{id: binh_duong, label: {{vi: Bình Dương, en: Binh Duong}}}}
tz: Asia/Ho_Chi_Minh
geo: {{lat: 10.93, lon: 106.71, area: 10 ha}}
organisations:
  - {{id: acme, role: tenant, label: {{vi: Acme, en: Acme}}}}
sites:
  - {{id: acme, label: {{vi: Acme, en: Acme}}, owner: acme, feeder: f1, base_load: 500 kW}}
utilities:
  electricity:
    connection: {{id: grid, voltage: 110 kV, tariff: vn_industrial_one_part}}
    substations:
      - id: ss1
        label: {{vi: Trạm, en: Station}}
        feeder_voltage: 22 kV
        transformers: [{{id: t1, rating: 63 MVA}}]
        feeders: [{{id: f1, rating: 2000 A, transformer: t1}}]
endpoints:
  - id: plc
    url: "{url}"
    allow_insecure: true
    events: ["i=2253"]
    sampling: 0.05 s
    publishing: 0.05 s
rules:
  - id: dead
    when: endpoint.alive == 0
    priority: high
    label: {{vi: Mất kết nối, en: Endpoint dead}}
"""


class Twin(Receiver):
    """A real shard behind a gateway: what it takes is journalled and judged."""

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__()
        self.park = read_park(PARK.format(url=url))
        self.logic = ParkLogic(self.park, 2026)
        now_us = to_us(datetime.now(UTC))
        self.shard = Shard.open(folder, "p", now_us=now_us, disk=SimDisk(), logic=(self.logic,))
        self.shard.apply_park(self.park.bindings, self.park.text, now_us)
        self.raised = 0

    @property
    def config(self) -> EndpointConfig:
        rows = tuple(self.shard.dictionary.open.values())
        return endpoint_config(self.park.endpoints["plc"], rows)

    async def deliver(self, source: str, session: int, seq: int, batch: pa.RecordBatch):
        await asyncio.sleep(0)
        now_us = to_us(datetime.now(UTC))
        take = self.shard.cover if is_coverage(batch) else self.shard.deliver
        answer = take(source, session, seq, batch, now_us)
        told = [*answer.effects, *self.shard.tick(now_us)]
        self.raised += sum(
            effect.kind == "alarm.raised" and str(effect.data["alarm"]).startswith("condition:")
            for effect in told
        )
        return answer

    @property
    def alarm(self):
        found = [a for a in self.logic.desk.alarms() if a.id.startswith("condition:")]
        assert len(found) <= 1
        return found[0] if found else None

    @property
    def notes(self) -> list:
        return [read_note(text) for text in self.shard.cut().tail.column("text").to_pylist()]

    def standing(self) -> int:
        return sum(isinstance(note, Standing) for note in self.notes)


@needs_node
async def test_a_condition_of_another_server_is_one_alarm_over_cuts_and_restarts(tmp_path):
    port = free_port()
    async with Link(port) as link:
        twin = Twin(tmp_path / "shard", f"opc.tcp://127.0.0.1:{link.port}/floor")
        async with gateway(tmp_path / "g", twin, twin.config):
            async with Tank(port, tmp_path / "pki") as tank:
                await until(twin.standing)
                assert twin.alarm is None
                await tank.say("event xin chào")
                await tank.say("level 85")
                await until(lambda: twin.alarm and twin.raised)
                assert twin.alarm.label.vi == "2:Level: “Condition is 85.000 and state is High”"
                assert (twin.alarm.priority, twin.alarm.asset) == ("low", "plc")
                told = twin.standing()
                link.cut()
                await until(lambda: twin.standing() > told)
                assert twin.alarm.active
                assert twin.raised == 1
                await tank.say("level 50")
                await until(lambda: not twin.alarm.active)
                assert twin.alarm.state is AlarmState.RETURNED_UNACKNOWLEDGED
                await tank.say("level 5")
                await until(lambda: twin.alarm.state is AlarmState.UNACKNOWLEDGED)
                told = twin.standing()
            # The server starts anew, its tank is at 50: the refresh does not name the condition.
            async with Tank(port, tmp_path / "pki"):
                await until(lambda: twin.standing() > told)
                await until(lambda: not twin.alarm.active)
    happenings = [note for note in twin.notes if isinstance(note, Happening)]
    assert len({note.id for note in happenings}) == len(happenings)
    assert [n.message for n in happenings if n.source == "Tank"] == ["xin chào"]
    assert any(isinstance(note, Missing) for note in twin.notes)
    twin.shard.close()
