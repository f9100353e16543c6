"""What a connection itself tells: tags of bad quality, and certificates that expire."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from twin.alarms import AlarmState
from twin.connections import BAD_MINUTES, Connections
from twin.park_logic import ParkLogic
from twin.samples import sample_batch
from twin.shard import Shard
from twin.sim_disk import SimDisk

BAD = 0x808C_0000
M1 = "acme/hall/l1/m1"
SECOND = 1_000_000


def kinds(effects):
    return [effect.kind for effect in effects]


def the_alarm(bench, id_):
    return next((a for a in bench.logic.desk.alarms() if a.id == id_), None)


def say(bench, *, bad, good):
    names = ("temperature", "active_power", "part_count", "scrap_count")
    bench.say({f"{M1}/{name}": 1.0 for name in names[:bad]}, status=BAD)
    bench.say({f"{M1}/{name}": 1.0 for name in names[bad : bad + good]})


def told(bench, plc=None, own=None):
    days = {} if plc is None else {"plc": plc}
    return list(
        bench.logic.command({"certificates": {"endpoints": days, "own": own}}, bench.now_us)
    )


def test_the_share_of_bad_tags_is_a_mean_over_ten_minutes(at):
    bench = at(9)
    say(bench, bad=1, good=3)
    bench.tick()
    assert bench.figure("endpoint.plc.bad_pct") == 25.0
    assert math.isnan(bench.figure("endpoint.scada.bad_pct"))
    # Two of four from the second minute on: (25 + 50 + 50 + 50) / 4.
    bench.now_us += 60 * SECOND
    say(bench, bad=2, good=2)
    bench.tick()
    bench.tick(60.0)
    bench.tick(60.0)
    assert bench.figure("endpoint.plc.bad_pct") == pytest.approx(43.75)
    # Ten minutes after the first tick nothing of it is left.
    for _ in range(BAD_MINUTES - 3):
        bench.tick(60.0)
    assert bench.figure("endpoint.plc.bad_pct") == 50.0


def test_many_bad_tags_are_an_alarm_beside_others_of_the_endpoint(at):
    bench = at(9)
    bench.hear("plc", alive=True, cause="its clock is +7.00 h off")
    say(bench, bad=1, good=3)
    assert kinds(bench.tick()) == []
    bench.hear("plc", alive=True, cause="its clock is +7.00 h off")
    assert kinds(bench.tick(60.0)) == ["alarm.raised", "alarm.raised"]
    alarm = the_alarm(bench, "bad_tags@plc")
    assert (alarm.value, alarm.limit, alarm.unit) == (25.0, 20.0, "%")
    assert (alarm.group, alarm.state) == ("quality:plc", AlarmState.UNACKNOWLEDGED)
    bench.now_us += 60 * SECOND
    say(bench, bad=0, good=4)
    effects = [kinds(bench.tick(60.0)) for _ in range(9)]
    # (25·2 + 0·n) / (2 + n) is below 20 − 5 from the second good minute on.
    assert effects[1] == ["alarm.returned"]


def test_an_endpoint_that_is_away_tells_nothing_of_its_tags(at):
    bench = at(9)
    say(bench, bad=2, good=2)
    bench.tick()
    bench.hear("plc", alive=False, cause="cut")
    for _ in range(BAD_MINUTES):
        bench.tick(60.0)
    assert math.isnan(bench.figure("endpoint.plc.bad_pct"))
    assert the_alarm(bench, "bad_tags@plc") is None


def test_a_certificate_warns_before_it_expires_and_more_when_it_has(at):
    bench = at(9)
    told(bench, plc=30.4, own=400.0)
    assert kinds(bench.tick()) == []
    assert bench.figure("endpoint.plc.certificate_days") == 30.4
    told(bench, plc=29.98, own=400.0)
    assert kinds(bench.tick(1.0)) == ["alarm.raised"]
    warning = the_alarm(bench, "expires@plc")
    assert (warning.priority, warning.value, warning.unit) == ("low", 29.98, "d")
    # A dead endpoint does not silence it: it may be the cause.
    bench.hear("plc", alive=False, cause="cut")
    bench.tick(1.0)
    bench.tick(10.0)
    assert the_alarm(bench, "dead@plc").active
    assert the_alarm(bench, "expires@plc").state == AlarmState.UNACKNOWLEDGED
    told(bench, plc=-0.01, own=400.0)
    assert sorted(kinds(bench.tick(1.0))) == ["alarm.raised", "alarm.suppressed"]
    assert the_alarm(bench, "expired@plc").priority == "high"
    assert the_alarm(bench, "expires@plc").state == AlarmState.SUPPRESSED
    told(bench, plc=365.0, own=400.0)
    assert kinds(bench.tick(1.0)) == ["alarm.returned", "alarm.returned"]


def test_our_own_certificate_is_one_alarm_of_the_park(at):
    bench = at(9)
    told(bench, plc=100.0, own=29.0)
    assert kinds(bench.tick()) == ["alarm.raised"]
    assert the_alarm(bench, "own_expires@").value == 29.0


def test_what_is_not_known_leaves_alarms_as_they_are(at):
    bench = at(9)
    told(bench, plc=3.0)
    bench.tick()
    told(bench)
    assert kinds(bench.tick(1.0)) == []
    assert the_alarm(bench, "expires@plc").active


@pytest.mark.parametrize(
    "data",
    [
        {"endpoints": {"plc": "soon"}},
        {"endpoints": {"plc": float("nan")}},
        {"endpoints": 3},
        {"endpoints": {}, "own": True},
    ],
)
def test_what_is_no_number_of_days_is_refused_and_changes_nothing(at, data):
    bench = at(9)
    told(bench, plc=12.0)
    with pytest.raises(InputError):
        bench.logic.command({"certificates": data}, bench.now_us)
    bench.tick()
    assert bench.figure("endpoint.plc.certificate_days") == 12.0


def test_a_replay_and_a_snapshot_give_the_same_figures_and_alarms(small_park, at):
    disk, now_us, folder = SimDisk(), at(9).now_us, Path("/shard")

    def opened():
        logic = ParkLogic(small_park, 2026)
        return Shard.open(folder, "p", now_us=now_us, disk=disk, logic=(logic,)), logic

    shard, _ = opened()
    shard.apply_park(small_park.bindings, small_park.text, now_us)
    tag = shard.dictionary.of_path(f"p/{M1}/temperature").tag
    when = np.array([now_us])
    batch = sample_batch(tag=[tag], at_us=when, seen_us=when, value=[1.0], status=BAD)
    shard.deliver("gw", 1, 1, batch, now_us)
    certificates = {"endpoints": {"plc": 2.5}, "own": 12.0}
    shard.command({"certificates": certificates}, now_us)
    for k in range(3):
        shard.tick(now_us + k * 40 * SECOND)
    before, kept = shard.digest(), shard.snapshot()
    shard.close()
    again, logic = opened()
    assert (again.digest(), again.snapshot()) == (before, kept)
    raised = {alarm.id for alarm in logic.desk.alarms()}
    assert raised == {"bad_tags@plc", "expires@plc", "own_expires@"}
    again.close()


@given(
    ticks=st.lists(
        st.dictionaries(st.sampled_from("ab"), st.tuples(st.floats(0, 9), st.integers(1, 9))),
        max_size=4,
    ),
    own=st.none() | st.floats(-9, 999),
)
def test_what_was_kept_is_restored_from_plain_data(ticks, own):
    kept = Connections.from_dict(
        {
            "minutes": [[n, {k: list(v) for k, v in one.items()}] for n, one in enumerate(ticks)],
            "days": {"a": 1.5},
            "own": own,
        }
    )
    plain = json.loads(json.dumps(kept.as_dict()))
    assert Connections.from_dict(plain) == kept
    assert Connections.from_dict({}) == Connections()
