"""The logic inside a real shard: figures and alarms follow from the journal alone."""

import math
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from models.errors import InputError
from twin.park_logic import ParkLogic
from twin.parkfile.load import read_park
from twin.samples import sample_batch, to_us
from twin.shard import Shard
from twin.sim_disk import SimDisk

FOLDER = Path("/shard")
SECOND = 1_000_000
HOT = "hot@acme/hall/l1/m1"


def opened(disk, park, now_us):
    logic = ParkLogic(park, 2026)
    shard = Shard.open(FOLDER, park.id, now_us=now_us, disk=disk, logic=(logic,))
    return shard, logic


def live_a_little(shard, park, now_us):
    """Ninety seconds of a hot machine, with an acknowledgement in the middle."""
    shard.apply_park(park.bindings, park.text, now_us)
    effects = []
    tags = [
        shard.dictionary.of_path(f"p/{path}").tag
        for path in ("acme/hall/l1/m1/temperature", "ss1/t1/active_power", "ss1/t2/active_power")
    ]
    for k in range(90):
        at = now_us + k * SECOND
        when = np.full(3, at)
        values = [90.0 if k > 10 else 60.0, 36_000.0 + k, 36_000.0]
        batch = sample_batch(tag=tags, at_us=when, seen_us=when, value=values)
        effects += shard.deliver("gw", 1, k + 1, batch, at).effects
        effects += shard.tick(at)
        if k == 60:
            effects += shard.command(
                {"alarm": "acknowledge", "ids": [HOT], "by": "lan", "note": "", "minutes": 0.0}, at
            )
    return [effect for effect in effects if effect.kind.startswith("alarm.")]


@pytest.fixture
def lived(small_park, at):
    """A shard that lived a little, on a disk that remembers."""
    disk, now_us = SimDisk(), at(9).now_us
    shard, logic = opened(disk, small_park, now_us)
    effects = live_a_little(shard, small_park, now_us)
    yield shard, logic, disk, now_us, effects
    shard.close()


def test_the_story_is_told_once_and_in_order(lived):
    *_, effects = lived
    assert [effect.kind for effect in effects] == ["alarm.raised", "alarm.acknowledged"]


def test_a_restart_takes_the_same_decisions(lived, small_park):
    shard, logic, disk, now_us, effects = lived
    shard.close()
    again, replayed = opened(disk, small_park, now_us)
    try:
        assert replayed.snapshot() == logic.snapshot()
        assert replayed.now.value.tobytes() == logic.now.value.tobytes()
        assert again.digest() == shard.digest()
        told = [e.id for e in again.replayed if e.kind.startswith("alarm.")]
        assert told == [effect.id for effect in effects]
    finally:
        again.close()


def test_a_command_it_cannot_obey_is_refused_with_a_reason(lived):
    shard, *_ = lived
    with pytest.raises(InputError, match="no alarm"):
        shard.command({"alarm": "acknowledge", "ids": ["x@y"], "by": "lan"}, shard.now_us)


def test_a_tariff_that_has_ended_costs_nothing_known_and_stops_no_twin(small_park):
    text = small_park.text.replace("vn_industrial_one_part", "vn_industrial_two_part_pilot")
    park, end_us = read_park(text), to_us(datetime(2027, 8, 1, tzinfo=ZoneInfo(small_park.tz)))
    disk = SimDisk()
    shard, logic = opened(disk, park, end_us)
    shard.apply_park(park.bindings, text, end_us)
    for second in (-1, 900, 1800):
        shard.tick(end_us + second * SECOND)
        known = math.isfinite(logic.now.value[logic.book.layout.position["park.cost_today_mvnd"]])
        assert known == (second < 0)
    digest = shard.digest()
    shard.close()
    again, _ = opened(disk, park, end_us)
    assert again.digest() == digest
    again.close()


def test_a_park_file_that_cannot_be_read_is_refused_before_it_is_journalled(lived, small_park):
    shard, logic, disk, now_us, _ = lived
    before, offset, park = shard.digest(), shard.offset, logic.park
    with pytest.raises(InputError, match="unknown"):
        shard.apply_park((), small_park.text + "\nbogus: 1\n", shard.now_us)
    assert (shard.digest(), shard.offset, logic.park) == (before, offset, park)
    shard.close()
    again, _ = opened(disk, small_park, now_us)
    assert again.digest() == before
    again.close()


def test_a_journalled_park_file_this_version_refuses_leaves_the_last_readable_one_in_use(
    lived, small_park, monkeypatch
):
    shard, _, disk, now_us, _ = lived
    stricter, strict = small_park.text.replace("id: queue\n", "id: old_queue\n"), ["old_queue"]
    edited = small_park.text.replace("id: queue\n", "id: long_queue\n")
    for text in (edited, stricter):  # both were fine when they were journalled
        shard.apply_park(small_park.bindings, text, shard.now_us)
    shard.tick(shard.now_us + SECOND)
    shard.close()

    def read_stricter(text, file=""):
        if any(word in text for word in strict):
            raise InputError("a rule is named old_queue", "rename it")
        return read_park(text, file)

    monkeypatch.setattr("twin.park_logic.read_park", read_stricter)
    again, logic = opened(disk, small_park, now_us)
    try:
        assert logic.park.text == edited
        assert "rename it" in str(logic.unread)
        (told,) = [e for e in again.replayed if e.kind == "park.unreadable"]
        assert "old_queue" in told.data["problems"]
        assert not [e for e in again.tick(again.now_us) if e.kind == "park.unreadable"]
        again.apply_park(small_park.bindings, small_park.text, again.now_us)
        assert (logic.park.text, logic.unread) == (small_park.text, None)
    finally:
        again.close()


def test_an_edited_park_brings_its_own_rules_also_after_a_restart(lived, small_park):
    shard, logic, disk, now_us, _ = lived
    text = small_park.text.replace("id: queue\n", "id: long_queue\n")
    shard.apply_park(small_park.bindings, text, shard.now_us + SECOND)
    shard.tick(shard.now_us + SECOND)
    assert "long_queue" in {rule.id for rule in logic.park.spec.rules}
    shard.close()
    again, replayed = opened(disk, small_park, now_us)
    try:
        assert "long_queue" in {rule.id for rule in replayed.park.spec.rules}
        assert replayed.snapshot() == logic.snapshot()
    finally:
        again.close()
