"""Events of an endpoint as people ask for them: the newest first, sealed or not, each once."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster import bindings
from cluster.event_desk import EVENTS_MOST, events_of
from cluster.history import Dictionary, HistoryReader
from cluster.ports import EndpointSpec
from models.errors import InputError, NotFound
from twin.disk import OsDisk
from twin.happenings import Condition, Happening, Missing, Standing
from twin.memory.store import Memory
from twin.notifiers import notifiers
from twin.park import Park
from twin.parkfile.load import read_park
from twin.samples import sample_batch
from twin.shard import Shard
from twin.tags import TagDictionary

ROOT = Path(__file__).parents[2]
T0 = 1_795_305_600_000_000
S, H, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
SERVER = "nsu=http://opcfoundation.org/UA/;i=2253"


def happening(number: int) -> Happening:
    return Happening(source="Bồn 1", message=f"Mức cao {number}", id=f"{number:04x}")


class Live:
    """A running park of which only the memory is real."""

    def __init__(self, folder: Path) -> None:
        self.memory = Memory.open(folder / "memory")
        self.shard = Shard.open(folder / "shard", "p", now_us=T0, disk=OsDisk(), memory=self.memory)
        self.shard.apply_park(list(notifiers("p", "plc", ["i=2253"])), "", T0)
        self.tag = self.shard.dictionary.of_path("p/endpoint/plc/events_server").tag
        self.dictionary = Dictionary(self.shard.dictionary.rows)
        self.reader = HistoryReader(folder / "memory")
        self.statuses = [SimpleNamespace(id="plc"), SimpleNamespace(id="other")]
        self.asked, self._seq = 0, 0

    @property
    def now_us(self) -> int:
        return self.shard.now_us

    def tell(self, at_us: int, *notes, value: float | None = 700.0) -> None:
        self._seq += 1
        batch = sample_batch(
            tag=[self.tag] * len(notes), at_us=[at_us] * len(notes), seen_us=[at_us] * len(notes),
            value=[value] * len(notes), text=[note.text() for note in notes],
        )  # fmt: skip
        self.shard.deliver("gw", 1, self._seq, batch, at_us)

    async def ask(self, name: str, tags):
        assert (name, tags) == ("cut", [self.tag])
        self.asked += 1
        return self.shard.cut()


@pytest.fixture
def live(tmp_path):
    made = Live(tmp_path)
    yield made
    made.shard.close()


@pytest.mark.parametrize("seal", [False, True])
async def test_events_are_told_the_newest_first_and_each_once(live, seal):
    live.tell(T0, happening(1), happening(2), happening(1))
    live.tell(T0 + 2 * DAY, happening(3))
    if seal:
        live.shard.seal(T0 + 2 * DAY)
        live.tell(T0, happening(2))  # again, and its first row is sealed: the memory knows it
    live.tell(T0 + 2 * DAY + H, happening(4))
    if seal:
        live.shard.seal(T0 + 2 * DAY + H)
    until_us = live.now_us + S
    found = await events_of(live, "plc", T0, until_us, 200)
    assert [row["message"] for row in found[:2]] == ["Mức cao 4", "Mức cao 3"]
    assert sorted(row["message"] for row in found[2:]) == ["Mức cao 1", "Mức cao 2"]
    assert found[0] | {"node": ""} == {
        "at": "2026-11-24T01:00:00Z", "notifier": SERVER, "what": "event", "severity": 700.0,
        "source": "Bồn 1", "message": "Mức cao 4", "id": "0004", "condition": "", "node": "",
    }  # fmt: skip
    assert [r["id"] for r in await events_of(live, "plc", T0, until_us, 2)] == ["0004", "0003"]
    assert await events_of(live, "plc", T0 + S, T0 + DAY, 9) == []
    assert await events_of(live, "other", T0, until_us, 9) == []


async def test_what_stood_and_what_may_be_missing_are_told_as_such(live):
    state = Happening(
        source="Bồn 1", message="Mức cao", condition="nsu=urn:p;s=Bon1", name="Cao", id="01",
        active=True, acknowledged=False, retained=True,
    )  # fmt: skip
    one = Condition(state=state, severity=300, at_us=T0)
    live.tell(T0 + S, Standing(conditions=(one, one)), value=2.0)
    live.tell(T0 + 2 * S, Missing(from_us=T0, to_us=T0 + S, why="restart"), value=None)
    gap, *standing = await events_of(live, "plc", T0, live.now_us + S, 200)
    assert (gap["what"], gap["message"]) == (
        "missing",
        "2026-11-22T00:00:00Z to 2026-11-22T00:00:01Z: restart",
    )
    assert [(s["what"], s["severity"], s["condition"], s["node"]) for s in standing] == [
        ("standing", 300, "Cao", "nsu=urn:p;s=Bon1")
    ] * 2
    assert (standing[0]["active"], standing[0]["acknowledged"]) == (True, False)


async def test_a_question_that_makes_no_sense_is_refused_with_a_reason(live):
    with pytest.raises(NotFound, match="plcc"):
        await events_of(live, "plcc", T0, T0 + S, 9)
    with pytest.raises(InputError, match="ask for 1 to"):
        await events_of(live, "plc", T0, T0 + S, EVENTS_MOST + 1)
    with pytest.raises(InputError):
        await events_of(live, "plc", T0 + S, T0, 9)


def minimal() -> Park:
    return read_park((ROOT / "examples" / "minimal.yaml").read_text("utf-8"), "minimal.yaml")


def test_the_notifiers_of_a_registered_endpoint_have_tags_and_are_heard():
    park = minimal()
    spec = EndpointSpec(
        id="boiler", url="opc.tcp://10.0.0.5:4840", allow_insecure=True, events=("i=2253",)
    )
    row = bindings.row_of(park.id, spec, 0)
    wanted = bindings.wanted(park, [row], [])
    (told,) = [binding for binding in wanted if binding.endpoint == "boiler"]
    assert told.path == f"{park.id}/endpoint/boiler/events_server"
    rows, _ = TagDictionary().plan(wanted, 0)
    (config,) = [c for c in bindings.configs(park, [row], rows, {}) if c.id == "boiler"]
    assert [one.node for one in config.events] == [SERVER]
    assert config.items == ()


@pytest.mark.parametrize(
    ("more", "says"),
    [({"events": ("ns=2;i=5",)}, "no node"), ({"events": ("i=2253",), "poll": True}, "polled")],
)
def test_notifiers_that_cannot_be_heard_are_refused_before_they_are_saved(more, says):
    spec = EndpointSpec(id="boiler", url="opc.tcp://10.0.0.5:4840", **more)
    with pytest.raises(InputError, match=says):
        bindings.row_of("p", spec, 0)
