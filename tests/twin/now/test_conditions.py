"""Events and conditions of servers: rows that are kept apart, and alarms that follow from them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.coverage import CoverageRow, coverage_batch
from models.errors import InputError
from twin.alarms import AlarmState
from twin.conditions import priority_of
from twin.effects import Effect
from twin.happenings import Condition, Happening, Missing, Standing, read_note
from twin.notifiers import is_notifier, notifiers
from twin.park_logic import ParkLogic
from twin.parkfile.load import read_park
from twin.samples import sample_batch
from twin.shard import Shard
from twin.sim_disk import SimDisk

SECOND = 1_000_000
PATH = "p/endpoint/plc/events_server"


def level(number: int, *, active: bool, message: str = "Mức cao", **more) -> Happening:
    return Happening(
        source="Bồn 1", message=message, type="nsu=http://opcfoundation.org/UA/;i=2955",
        id=f"{number:04x}", condition="nsu=urn:p;s=Bon1.Cao", name="LevelHigh",
        active=active, acknowledged=False, **({"retained": active} | more),
    )  # fmt: skip


class Plant:
    """A shard of a park whose endpoint `plc` tells events."""

    def __init__(self, park, now_us: int, disk: SimDisk | None = None) -> None:
        self.disk, self.park, self.now_us = disk or SimDisk(), park, now_us
        self.logic = ParkLogic(park, 2026)
        self.shard = Shard.open(
            Path("/shard"), park.id, now_us=now_us, disk=self.disk, logic=(self.logic,)
        )
        self.shard.apply_park(park.bindings, park.text, now_us)
        self.tag = self.shard.dictionary.of_path(PATH).tag
        self._seq = 0

    def told(self, *notes, severity: float | None = 700.0, at_us: int | None = None) -> list[str]:
        at = self.now_us if at_us is None else at_us
        self._seq += 1
        batch = sample_batch(
            tag=[self.tag] * len(notes), at_us=[at] * len(notes),
            seen_us=[self.now_us] * len(notes),
            value=[severity] * len(notes),
            text=[note if isinstance(note, str) else note.text() for note in notes],
        )  # fmt: skip
        answer = self.shard.deliver("gw", 1, self._seq, batch, self.now_us)
        return [effect.kind for effect in answer.effects]

    def tick(self, seconds: float = 1.0) -> list[Effect]:
        self.now_us += round(seconds * SECOND)
        return list(self.shard.tick(self.now_us))

    def cover(self, *, alive: bool, seconds: float) -> None:
        self._seq += 1
        row = CoverageRow(
            endpoint="plc", from_us=self.now_us - round(seconds * SECOND), to_us=self.now_us,
            alive=alive, cause="",
        )  # fmt: skip
        self.shard.cover("gw", 1, self._seq, coverage_batch([row]), self.now_us)

    @property
    def alarms(self):
        return [a for a in self.logic.desk.alarms() if a.id.startswith("condition:")]


@pytest.fixture
def park(small_park):
    text = small_park.text.replace(
        '48402"\n', '48402"\n    events: ["i=2253", "nsu=urn:p;s=Hall A"]\n'
    )
    return read_park(text)


@pytest.fixture
def plant(park, at):
    made = Plant(park, at(9).now_us)
    yield made
    made.shard.close()


def test_every_notifier_has_one_tag_whose_name_follows_from_its_node(park):
    found = [b for b in park.bindings if is_notifier(b)]
    assert [b.path for b in found] == [PATH, "p/endpoint/plc/events_hall_a_bebc0127"]
    assert found[0].node == "nsu=http://opcfoundation.org/UA/;i=2253"
    assert found[1].node == "nsu=urn:p;s=Hall A"
    assert not any(edge.target.startswith("endpoint/") for edge in park.edges)
    with pytest.raises(InputError, match="no node"):
        list(notifiers("p", "plc", ["ns=2;s=Hall"]))


def test_two_events_of_one_moment_are_two_rows_and_one_told_twice_is_one(plant):
    plant.told(level(1, active=True), level(2, active=True), level(1, active=True))
    plant.told(level(2, active=True))
    plant.tick()
    plant.told(level(3, active=True))
    plant.told(level(1, active=True), at_us=plant.now_us - SECOND)  # late, and known
    texts = plant.shard.cut().tail.column("text").to_pylist()
    assert [read_note(text).id for text in texts] == ["0001", "0002", "0003"]


def test_a_condition_is_one_alarm_from_when_it_is_active_until_it_is_not(plant):
    assert plant.told(level(1, active=True)) == ["alarm.raised"]
    (alarm,) = plant.alarms
    assert (alarm.asset, alarm.priority, alarm.value) == ("plc", "high", 700.0)
    assert alarm.label.vi == alarm.label.en == "Bồn 1: “Mức cao”"
    assert plant.told(level(2, active=True, message="Mức rất cao"), severity=900.0) == []
    (alarm,) = plant.alarms
    assert (alarm.priority, alarm.label.en) == ("critical", "Bồn 1: “Mức rất cao”")
    plant.tick()
    assert plant.told(level(3, active=False)) == ["alarm.returned"]
    (alarm,) = plant.alarms
    assert alarm.state is AlarmState.RETURNED_UNACKNOWLEDGED
    assert alarm.returned_us == plant.now_us
    assert plant.told(level(4, active=True)) == ["alarm.raised"]
    assert len(plant.alarms) == 1


def test_what_the_server_says_of_acknowledgement_is_its_own_matter(plant):
    plant.told(level(1, active=True))
    (alarm,) = plant.alarms
    command = {"alarm": "acknowledge", "ids": [alarm.id], "by": "lan", "note": ""}
    plant.shard.command(command, plant.now_us)
    plant.told(level(2, active=True))
    assert plant.alarms[0].state is AlarmState.ACKNOWLEDGED
    plant.told(level(3, active=False, retained=True))
    assert plant.alarms == []


@pytest.mark.parametrize(
    "note",
    [
        Happening(source="PLC", message="program loaded", id="01"),
        level(1, active=True, retained=False),
        level(1, active=True, branch=True),
        Missing(from_us=1, to_us=2, why="the server was restarted"),
        '{"standing":1,"whole":true}',
        '{"source":5,"active":true,"condition":"x"}',
        '{"standing":[{"severity":1e400,"at":0}]}',
        '{"missing":{"from":1e400,"to":0}}',
        "[" * 100_000,
        "null",
        "không phải JSON",
    ],
)
def test_what_is_no_standing_condition_raises_nothing(plant, note):
    assert plant.told(note) == []
    assert plant.alarms == []
    assert plant.tick() == []


@given(st.text())
def test_no_text_stops_the_reading_of_notes(text):
    read_note(text)


@given(
    st.builds(
        Happening,
        source=st.text(max_size=20), message=st.text(max_size=20), id=st.text("0123456789abcdef"),
        condition=st.text(max_size=9), name=st.text(max_size=9),
        active=st.none() | st.booleans(), acknowledged=st.none() | st.booleans(),
        retained=st.none() | st.booleans(), branch=st.booleans(),
    )
)  # fmt: skip
def test_a_happening_is_read_as_it_was_written(happening):
    assert read_note(happening.text()) == happening


def test_half_a_character_in_a_foreign_text_harms_no_shard(plant):
    broken = r'{"source":"\ud800","message":"\udfff","condition":"\ud800","active":true}'
    assert plant.told(broken) == ["alarm.raised"]
    plant.alarms[0].label.en.encode()
    assert plant.shard.digest()


def test_after_a_refresh_what_it_does_not_name_stands_no_more(plant):
    other = Happening(
        source="Bơm 2", message="Quá nhiệt", condition="nsu=urn:p;s=Bom2", active=True,
        retained=True, id="07",
    )  # fmt: skip
    plant.told(level(1, active=True), other)
    plant.tick(60.0)
    third = Happening(source="Van", message="Kẹt", condition="nsu=urn:p;s=Van", active=True)
    since_us = plant.now_us - 30 * SECOND
    named = Standing(
        conditions=(
            Condition(state=level(1, active=True), severity=700, at_us=since_us),
            Condition(state=third, severity=300, at_us=since_us),
        )
    )
    assert plant.told(named, severity=2.0) == ["alarm.raised", "alarm.returned"]
    assert {(a.label.en, a.active) for a in plant.alarms} == {
        ("Bồn 1: “Mức cao”", True),
        ("Bơm 2: “Quá nhiệt”", False),
        ("Van: “Kẹt”", True),
    }
    (new,) = [a for a in plant.alarms if a.label.en.startswith("Van")]
    assert (new.raised_us, new.priority) == (since_us, "low")
    assert plant.told(named, severity=2.0, at_us=plant.now_us) == []
    part = Standing(conditions=(), whole=False)
    assert plant.told(part, severity=0.0) == []


def test_a_condition_whose_clock_is_nonsense_is_told_from_when_it_was_heard_of(plant):
    for at_us in (-(10**30), 0, 10**30):
        one = Condition(state=level(1, active=True), severity=10**9, at_us=at_us)
        plant.told(Standing(conditions=(one,)), severity=1.0)
        assert plant.alarms[0].raised_us == plant.now_us
        assert plant.alarms[0].value == 1000.0
        plant.told(Standing(conditions=()), severity=0.0)
        plant.shard.command(
            {"alarm": "acknowledge", "ids": [plant.alarms[0].id], "by": "lan"}, plant.now_us
        )
        plant.tick()


def test_a_dead_endpoint_stays_one_alarm(plant):
    plant.told(level(1, active=True))
    plant.cover(alive=False, seconds=20.0)
    effects = [plant.tick(1.0) for _ in range(12)]
    kinds = [effect.kind for tick in effects for effect in tick]
    assert kinds.count("alarm.raised") == 1  # the endpoint's
    assert kinds.count("alarm.suppressed") == 1  # the condition's
    assert [a.id for a in plant.logic.desk.alarms() if a.state in ("unacknowledged",)] == [
        "dead@plc"
    ]
    plant.cover(alive=True, seconds=1.0)
    plant.tick()
    assert plant.alarms[0].state is AlarmState.UNACKNOWLEDGED


def test_a_condition_suppresses_no_alarm_of_its_endpoint(plant):
    plant.told(level(1, active=True), severity=1000.0)
    plant.cover(alive=False, seconds=20.0)
    for _ in range(12):
        plant.tick(1.0)
    (dead,) = [a for a in plant.logic.desk.alarms() if a.id == "dead@plc"]
    assert dead.state is AlarmState.UNACKNOWLEDGED


def test_conditions_are_not_looked_at_as_causes_of_each_other(plant):
    others = [Happening(condition=f"nsu=urn:p;s=C{n}", active=True, id=f"{n}") for n in range(5)]
    plant.told(*others)
    assert len(plant.alarms) == 5
    assert plant.logic.desk._able() == []
    plant.cover(alive=False, seconds=20.0)
    for _ in range(12):
        plant.tick(1.0)
    assert [record.id for record in plant.logic.desk._able()] == ["dead@plc"]
    assert {alarm.state for alarm in plant.alarms} == {AlarmState.SUPPRESSED}


def test_a_notifier_that_is_no_longer_asked_lets_its_alarms_go(plant, small_park):
    plant.told(level(1, active=True))
    plant.shard.apply_park(small_park.bindings, small_park.text, plant.now_us)
    assert [effect.kind for effect in plant.tick()] == ["alarm.returned"]
    plant.told(level(2, active=True))
    assert not plant.alarms[0].active


def test_a_restart_takes_the_same_decisions(plant, park):
    plant.told(level(1, active=True))
    plant.tick(5.0)
    plant.told(level(2, active=False), level(3, active=True))
    plant.tick()
    before, digest = plant.logic.snapshot(), plant.shard.digest()
    plant.shard.close()
    again = ParkLogic(park, 2026)
    shard = Shard.open(Path("/shard"), park.id, now_us=0, disk=plant.disk, logic=(again,))
    try:
        assert (again.snapshot(), shard.digest()) == (before, digest)
        assert [e.kind for e in shard.replayed if e.kind.startswith("alarm.")] == [
            "alarm.raised", "alarm.returned", "alarm.raised",
        ]  # fmt: skip
        assert shard.tick(plant.now_us) == ()
    finally:
        shard.close()


def test_priorities_follow_the_stated_table():
    levels = (0, 1, 400, 401, 600, 601, 800, 801, 1000)
    assert [str(priority_of(n)) for n in levels] == [
        *("low", "low", "low", "medium", "medium", "high", "high", "critical", "critical")
    ]
