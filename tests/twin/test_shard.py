"""A shard acknowledges only what is on disk, and equals the replay of its journal."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import (
    ClockHeld,
    Corrupt,
    DiskLow,
    InputError,
    NewerFormat,
    Refused,
    ShardOwned,
    Unavailable,
)
from twin.effects import Effect
from twin.failpoint import Failpoint, never
from twin.journal import Journal
from twin.memory.manifest import ManifestRow
from twin.memory.snapshots import Snapshot
from twin.samples import COVERAGE, TIME, sample_batch
from twin.shard import NOTHING_SEALED, Shard, ShardSettings
from twin.sim_disk import Fault, SimDisk, SimulatedCrash
from twin.snapshot import FORMAT, pack_snapshot, unpack_snapshot
from twin.state import ShardState
from twin.status import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN
from twin.tags import Binding, Kind, TagDictionary

FOLDER = Path("/park/shard")
S = 1_000_000
NOW = 1_000_000 * S
BINDINGS = (
    Binding(path="p/power", unit="kW", endpoint="plc"),
    Binding(path="p/count", kind=Kind.COUNTER, endpoint="plc"),
    Binding(path="p/note", kind=Kind.EVENT),
)


class Limit:
    """Logic for tests: an alarm above 90, and a command that shelves it."""

    name = "limit"

    def __init__(self) -> None:
        self.active, self.shelved = False, False

    def check(self, park_text: str) -> None:
        pass

    def learn(self, dictionary: TagDictionary, park_text: str) -> None:
        self.paths = [row.binding.path for row in dictionary.open.values()]

    def tick(self, state: ShardState, now_us: int) -> Sequence[Effect]:
        high = bool((state.value[state.index_of(1)] > 90).any())
        if high == self.active or self.shelved:
            return ()
        self.active = high
        kind = "alarm.raised" if high else "alarm.returned"
        return (Effect(id=f"limit@1/{now_us}", at_us=now_us, kind=kind),)

    def happened(self, rows: pa.RecordBatch, now_us: int) -> Sequence[Effect]:
        return ()

    def command(self, data: Mapping[str, object], now_us: int) -> Sequence[Effect]:
        if data.get("do") != "shelve":
            return ()
        if data.get("alarm") != "limit@1":
            raise InputError(f"no alarm {data.get('alarm')!r}", "see `parktwin read alarms`")
        self.shelved = True
        return (Effect(id=f"limit@1/shelved/{now_us}", at_us=now_us, kind="alarm.shelved"),)

    def snapshot(self) -> Mapping[str, object]:
        return {"active": self.active, "shelved": self.shelved}

    def restore(self, data: Mapping[str, object]) -> None:
        self.active = bool(data.get("active", False))
        self.shelved = bool(data.get("shelved", False))


@dataclass
class Store:
    """A memory that survives everything."""

    manifest: ManifestRow = NOTHING_SEALED
    rows: list[dict] = field(default_factory=list)
    kept: list[Snapshot] = field(default_factory=list)

    def seal(self, rows, coverage, kinds, upto_offset, now_us) -> ManifestRow:
        if upto_offset > self.manifest.offset:
            self.rows += rows.to_pylist()
            self.manifest = ManifestRow(
                offset=upto_offset, raw_version=self.manifest.raw_version + 1,
                minute_version=0, hour_version=0, sealed_us=now_us,
            )  # fmt: skip
        return self.manifest

    def put_snapshot(self, at_us: int, offset: int, data: bytes) -> None:
        self.kept.append(Snapshot(at_us=at_us, offset=offset, data=data))

    def snapshot_before(self, at_us: int) -> Snapshot | None:
        return next((s for s in reversed(self.kept) if s.at_us <= at_us), None)


def opened(
    disk: SimDisk,
    memory: Store | None = None,
    failpoint: Failpoint = never,
    segment_bytes: int = 6000,
    **more,
) -> Shard:
    return Shard.open(
        FOLDER, "vsip1", now_us=NOW, disk=disk, memory=memory, logic=(Limit(),),
        settings=ShardSettings(segment_bytes=segment_bytes), failpoint=failpoint, **more,
    )  # fmt: skip


def reopened(disk: SimDisk, memory: Store | None = None, **more) -> Shard:
    disk.process_died()
    return opened(disk, memory, **more)


def ready(disk: SimDisk | None = None, memory: Store | None = None) -> Shard:
    shard = opened(disk or SimDisk(), memory)
    shard.apply_park(BINDINGS, "kind: Park", NOW)
    return shard


def power(*rows: tuple[float, float], status: int = GOOD, tag: int = 1) -> pa.RecordBatch:
    """Rows (seconds after NOW, value) of the power tag, received 1 s later."""
    at = [NOW + int(a * S) for a, _ in rows]
    return sample_batch(
        tag=[tag] * len(rows), at_us=at, value=[v for _, v in rows], status=status,
        seen_us=[a + S for a in at],
    )  # fmt: skip


def gap(start: float, end: float, *, alive: bool = False) -> pa.RecordBatch:
    moments = [pa.array([NOW + int(t * S)]).cast(TIME) for t in (start, end)]
    rest = [pa.array([alive]), pa.array(["cut"]), pa.array([3])]
    return pa.record_batch([pa.array(["plc"]), *moments, *rest], schema=COVERAGE)


def tail(shard: Shard) -> list[tuple[float, float]]:
    table = shard.cut().tail
    return [((r["at"].timestamp() * S - NOW) / S, r["value"]) for r in table.to_pylist()]


def test_a_batch_is_acknowledged_folded_and_served():
    shard = ready()
    answer = shard.deliver("gw", 1, 1, power((0, 50.0), (1, 60.0)), NOW)
    assert (answer.acked_seq, answer.expect, answer.effects) == (1, None, ())
    assert shard.latest([1]).column("value").to_pylist() == [60.0]
    assert tail(shard) == [(0.0, 50.0), (1.0, 60.0)]
    assert shard.cut().manifest == NOTHING_SEALED


def test_lower_numbers_are_acknowledged_again_and_higher_ones_answered_expect():
    shard = ready()
    shard.deliver("gw", 3, 1, power((0, 1.0)), NOW)
    shard.deliver("gw", 3, 2, power((1, 2.0)), NOW)
    assert shard.deliver("gw", 3, 1, power((0, 9.0)), NOW).acked_seq == 2
    ahead = shard.deliver("gw", 3, 4, power((4, 9.0)), NOW)
    assert (ahead.acked_seq, ahead.expect) == (None, 3)
    assert shard.deliver("gw", 4, 2, power((4, 9.0)), NOW).expect == 1
    assert len(tail(shard)) == 2
    with pytest.raises(Refused):
        shard.deliver("gw", 2, 1, power((4, 9.0)), NOW)


def test_coverage_shares_the_numbers_of_samples():
    shard = ready()
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    assert shard.cover("gw", 1, 2, gap(1, 4), NOW).acked_seq == 2
    assert shard.cover("gw", 1, 2, gap(1, 4), NOW).acked_seq == 2
    assert shard.deliver("gw", 1, 2, power((5, 1.0)), NOW).acked_seq == 2
    assert shard.cut().coverage.num_rows == 1
    assert shard.state.stale().tolist() == [True, False, False]
    assert shard.state.endpoints["plc"].lost == 3


def test_a_gap_that_reaches_into_times_to_come_ends_now_and_is_told():
    disk = SimDisk()
    shard = ready(disk)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    (effect,) = shard.cover("gw", 1, 2, gap(1, 400 * 86_400), NOW + 9 * S).effects
    assert effect.kind == "clock.rejected"
    assert effect.data["endpoints"] == ["plc"]
    assert effect.data["original_us"] == [[NOW + S, NOW + 400 * 86_400 * S]]
    (row,) = shard.cut().coverage.column("to").cast(pa.int64()).to_pylist()
    assert row == NOW + 9 * S
    # the endpoint is heard again: it is alive
    shard.cover("gw", 1, 3, gap(9, 12, alive=True), NOW + 12 * S)
    assert shard.state.endpoints["plc"].alive
    assert not shard.state.stale().any()
    again = reopened(disk)
    assert again.digest() == shard.digest()
    assert again.cut().coverage.equals(shard.cut().coverage)


@given(
    start=st.one_of(st.integers(-600 * S, 600 * S), st.integers(-(2**62), 2**62)),
    length=st.one_of(st.integers(0, 600 * S), st.integers(0, 2**61)),
    alive=st.booleans(),
)
def test_no_coverage_row_leaves_the_calendar(start, length, alive):
    shard = ready()
    shard.cover("gw", 1, 1, gap(start / S, (start + length) / S, alive=alive), NOW)
    stored = shard.cut().coverage
    (begin,), (end,) = (stored.column(n).cast(pa.int64()).to_pylist() for n in ("from", "to"))
    assert NOW - 35 * 86_400 * S <= begin <= end <= NOW + 300 * S
    assert stored.to_pylist()  # every time is one of the calendar


def test_a_wrong_batch_is_refused_and_takes_no_number():
    shard = ready()
    offset = shard.offset
    with pytest.raises(InputError):
        shard.deliver("gw", 1, 1, pa.record_batch({"x": [1]}), NOW)
    with pytest.raises(InputError):
        shard.cover("gw", 1, 1, gap(4, 1), NOW)
    with pytest.raises(InputError):
        shard.cover("gw", 1, 1, power((0, 1.0)), NOW)
    assert shard.offset == offset
    assert shard.deliver("gw", 1, 1, power((0, 1.0)), NOW).acked_seq == 1


def test_times_out_of_bounds_are_replaced_marked_and_reported():
    shard = ready()
    shard.deliver("gw", 1, 1, power((0, 50.0)), NOW)
    month = 36 * 86_400
    batch = sample_batch(
        tag=[1, 2, 2, 1], at_us=[NOW + 301 * S, NOW - month * S, NOW, NOW + 300 * S],
        value=[1, 7, 8, 60], seen_us=NOW + 9 * S, status=[GOOD, BAD_SENSOR_FAILURE, GOOD, GOOD],
    )  # fmt: skip
    answer = shard.deliver("gw", 1, 2, batch, NOW)
    stored = shard.cut().tail.to_pylist()[1:]
    assert [r["status"] for r in stored] == [UNCERTAIN, BAD_SENSOR_FAILURE, GOOD, GOOD]
    assert [r["at"] == r["seen_at"] for r in stored] == [True, True, False, False]
    (effect,) = answer.effects
    assert effect.kind == "clock.rejected"
    assert effect.data["original_us"] == [NOW + 301 * S, NOW - month * S]
    assert effect.data["tags"] == [1, 2]
    assert shard.state.value[:2].tolist() == [60.0, 8.0]
    assert shard.state.misclocked.tolist() == [1, 0, 0]


def test_equal_rows_of_a_clock_that_stands_still_are_all_kept_in_order_and_told():
    shard = ready()
    # a PLC an hour ahead tells three times that tag 1 is at 1, and once that tag 2 is
    originals = [NOW + 3600 * S, NOW + 3600 * S, NOW + 3600 * S, NOW + 3606 * S]
    batch = sample_batch(tag=[1, 1, 2, 1], at_us=originals, value=1.0, seen_us=NOW)
    (effect,) = shard.deliver("gw", 1, 1, batch, NOW).effects
    stored = shard.cut().tail
    at_us = stored.column("at").cast(pa.int64()).to_pylist()
    assert stored.column("tag").to_pylist() == [1, 1, 2, 1]
    assert at_us == [NOW, NOW + 1, NOW, NOW + 2]
    assert effect.data["original_us"] == originals
    assert effect.data["stored_us"] == at_us
    assert shard.state.at_us[:2].tolist() == [NOW + 2, NOW]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=20
    )
)
def test_no_row_with_a_bad_clock_is_lost_and_none_overtakes(rows):
    shard = ready()
    tags, clock, seen = (list(column) for column in zip(*rows, strict=True))
    originals = [NOW + (3600 + k) * S for k in clock]
    batch = sample_batch(
        tag=tags, at_us=originals, value=1.0, seen_us=[NOW + k for k in seen], status=GOOD
    )
    (effect,) = shard.deliver("gw", 1, 1, batch, NOW).effects
    stored = shard.cut().tail
    assert stored.column("tag").to_pylist() == tags
    assert effect.data["original_us"] == originals
    at_us = np.array(stored.column("at").cast(pa.int64()))
    assert (at_us >= NOW + np.array(seen)).all()
    for tag in set(tags):
        assert (np.diff(at_us[np.array(tags) == tag]) > 0).all()


YEARS_3 = 3 * 365 * 86_400 * S


def test_one_tick_years_ahead_leaves_park_time_where_it_is_and_is_told():
    disk, memory = SimDisk(), Store()
    shard = ready(disk, memory=memory)
    shard.tick(NOW)
    (effect,) = shard.tick(NOW + YEARS_3)
    assert (effect.kind, effect.data["to_us"]) == ("clock.held", NOW + YEARS_3)
    with pytest.raises(ClockHeld, match="is held"):
        shard.deliver("gw", 1, 1, power((1, 5.0)), NOW + YEARS_3)
    with pytest.raises(ClockHeld):
        shard.cover("gw", 1, 1, gap(0, 1), NOW + YEARS_3)
    shard.command({"do": "nothing"}, NOW + YEARS_3)
    shard.apply_park((*BINDINGS, Binding(path="p/new")), "", NOW + YEARS_3)
    assert shard.now_us == NOW
    assert shard.dictionary.of_path("p/new").valid_from_us == NOW
    assert shard.tick(NOW + S) == ()
    # the batch that was refused is taken as it came
    assert shard.deliver("gw", 1, 1, power((1, 5.0)), NOW + S).acked_seq == 1
    assert shard.now_us == NOW + S
    again = reopened(disk, memory=memory)
    assert (again.now_us, again.digest()) == (NOW + S, shard.digest())


@pytest.mark.parametrize("restart_after", [0, 7, 29])
def test_a_machine_that_was_off_for_years_goes_on_after_some_ticks(restart_after):
    disk = SimDisk()
    shard = ready(disk)
    shard.tick(NOW)
    kinds = []
    for k in range(30):
        kinds += [e.kind for e in shard.tick(NOW + YEARS_3 + 60 * k * S)]
        if k == restart_after:
            shard = reopened(disk)
    assert kinds == ["clock.held", "clock.jumped"]
    later = NOW + YEARS_3 + 29 * 60 * S
    assert shard.now_us == later
    assert shard.deliver("gw", 1, 1, power((0, 1.0)), later + S).acked_seq == 1


@given(steps=st.lists(st.integers(1, 86_400), min_size=1, max_size=20))
def test_a_fast_demo_and_a_machine_that_slept_for_a_day_are_never_held(steps):
    shard, now_us = ready(), NOW
    shard.tick(now_us)
    for step in steps:
        now_us += step * S
        assert not [e for e in shard.tick(now_us) if e.kind.startswith("clock.")]
    assert shard.now_us == now_us


def test_a_misclocked_row_does_not_hide_the_newer_state_after_a_replay_either():
    disk = SimDisk()
    shard = ready(disk)
    shard.deliver("gw", 1, 1, power((0, 50.0)), NOW)
    shard.deliver("gw", 1, 2, power((1e9, 1.0)), NOW)
    again = reopened(disk)
    assert again.state.value[0] == 50.0
    assert again.digest() == shard.digest()


def test_rows_of_tags_nobody_gave_are_dropped_and_reported():
    shard = ready()
    answer = shard.deliver("gw", 1, 1, power((0, 1.0), (1, 2.0), tag=99), NOW)
    assert answer.acked_seq == 1
    assert answer.effects[0].kind == "tag.unknown"
    assert answer.effects[0].data["rows"] == {"99": 2}
    assert tail(shard) == []


def test_repeated_rows_are_dropped_wherever_they_come_from():
    shard = ready()
    shard.deliver("gw", 1, 1, power((0, 1.0), (0, 2.0), (0, 1.0), (5, 3.0), (5, 3.0)), NOW)
    assert tail(shard) == [(0, 1.0), (0, 2.0), (5, 3.0)]
    # late repeats, over another source, and a late row that is new
    shard.deliver("backfill", 1, 1, power((0, 2.0), (0, 1.0), (2, 9.0), (2, 9.0), (5, 3.0)), NOW)
    assert tail(shard) == [(0, 1.0), (0, 2.0), (5, 3.0), (2, 9.0)]
    nan = power((6, math.nan), (7, 1.0), (6, math.nan), (6, 0.0))
    shard.deliver("gw", 1, 2, nan, NOW)
    assert [at for at, _ in tail(shard)[4:]] == [6, 7, 6]


def test_a_batch_that_comes_again_after_its_gateway_was_killed_changes_nothing():
    once, twice = ready(SimDisk()), ready(SimDisk())
    first = power(*[(at, float(at % 7)) for at in range(20)])
    for shard in (once, twice):
        shard.deliver("gw", 1, 1, first, NOW)
        shard.deliver("gw", 1, 2, power((20, 4.0)), NOW)
    # Killed between storing a batch and noting it: the server sends its message once more, to
    # another process with a session of its own, among new rows and no longer the newest.
    again = power(*[(at, float(at % 7)) for at in range(5, 21) if at != 20], (21, 5.0))
    twice.deliver("gw", 2, 1, again, NOW)
    once.deliver("gw", 2, 1, power((21, 5.0)), NOW)
    assert tail(twice) == tail(once)
    until_us = NOW + 60 * S
    for name in ("integral", "good_s", "n"):
        one, two = (getattr(shard.state.totals(until_us), name) for shard in (once, twice))
        assert two.tolist() == one.tolist()


def test_rows_that_come_again_after_they_were_sealed_do_not_move_the_present():
    memory = Store()
    shard = ready(memory=memory)
    rows = [(at, float(at % 7)) for at in range(20)]
    shard.deliver("gw", 1, 1, power(*rows), NOW)
    before = shard.state.totals(NOW + 60 * S)
    shard.seal(NOW)
    shard.deliver("gw", 2, 1, power(*rows[5:]), NOW)
    after = shard.state.totals(NOW + 60 * S)
    assert after.integral.tolist() == before.integral.tolist()
    assert shard.state.at_us[0] == NOW + 19 * S


def test_acknowledging_stops_below_five_percent_free_and_resumes_by_itself():
    disk = SimDisk()
    shard = ready(disk)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    disk.free = 0.049
    with pytest.raises(DiskLow):
        shard.deliver("gw", 1, 2, power((1, 1.0)), NOW)
    with pytest.raises(DiskLow):
        shard.cover("gw", 1, 2, gap(1, 2), NOW)
    assert shard.deliver("gw", 1, 1, power((0, 1.0)), NOW).acked_seq == 1
    shard.tick(NOW + S)
    disk.free = 0.06
    assert shard.deliver("gw", 1, 2, power((1, 1.0)), NOW).acked_seq == 2


def test_a_failing_disk_acknowledges_nothing_and_the_batch_may_come_again():
    disk = SimDisk()
    shard = ready(disk)
    for fault, error in [(Fault.NO_SPACE, DiskLow), (Fault.BROKEN, Unavailable)]:
        disk.faults[disk.calls + 1] = fault
        with pytest.raises(error):
            shard.deliver("gw", 1, 1, power((1, 1.0)), NOW)
    assert tail(shard) == []
    assert shard.deliver("gw", 1, 1, power((1, 1.0)), NOW).acked_seq == 1
    assert tail(reopened(disk)) == [(1, 1.0)]


def test_two_owners_are_refused_and_the_second_learns_who_has_it():
    disk = SimDisk()
    shard = opened(disk)
    with pytest.raises(ShardOwned, match=r"process \d+ since 1970-01-12"):
        opened(disk)
    shard.close()
    opened(disk)


def test_a_closed_shard_says_so():
    shard = ready()
    shard.close()
    with pytest.raises(Unavailable):
        shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)


def test_applying_a_park_twice_writes_nothing():
    shard = ready()
    before = shard.offset
    assert shard.apply_park(BINDINGS, "kind: Park", NOW + S).changes == ()
    assert shard.offset == before
    applied = shard.apply_park(BINDINGS[:2], "kind: Park # smaller", NOW + S)
    assert [(c.action, c.tag) for c in applied.changes] == [("remove", 3)]
    assert shard.park_text == "kind: Park # smaller"


def test_a_tick_lets_the_logic_act_and_a_replay_yields_the_same_effects():
    disk = SimDisk()
    shard = ready(disk)
    shard.deliver("gw", 1, 1, power((0, 95.0)), NOW)
    live = [*shard.tick(NOW + S), *shard.tick(NOW + 2 * S)]
    live += shard.command({"do": "shelve", "alarm": "limit@1"}, NOW + 3 * S)
    assert [e.kind for e in live] == ["alarm.raised", "alarm.shelved"]
    again = reopened(disk)
    assert list(again.replayed) == live
    assert again.digest() == shard.digest()
    assert again.now_us == NOW + 3 * S


def test_a_command_the_logic_cannot_obey_is_an_error_and_replays_quietly():
    disk = SimDisk()
    shard = ready(disk)
    with pytest.raises(InputError, match="no alarm 'nope'"):
        shard.command({"do": "shelve", "alarm": "nope"}, NOW)
    with pytest.raises(InputError, match="plain data"):
        shard.command({"do": object()}, NOW)
    assert reopened(disk).digest() == shard.digest()


def test_sealing_moves_the_tail_without_a_hole_or_a_repeat():
    disk, memory = SimDisk(), Store()
    shard = ready(disk, memory)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    manifest = shard.seal(NOW)
    shard.deliver("gw", 1, 2, power((1, 2.0)), NOW)
    cut = shard.cut()
    assert cut.manifest == manifest == memory.manifest
    assert [r["value"] for r in memory.rows] == [1.0]
    assert tail(shard) == [(1, 2.0)]
    again = reopened(disk, memory)
    assert tail(again) == [(1, 2.0)]
    assert again.digest() == shard.digest()


def test_rows_that_arrive_while_the_memory_seals_stay_in_the_tail():
    memory = Store()
    shard = ready(memory=memory)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    due = shard.sealing()
    shard.deliver("gw", 1, 2, power((1, 2.0)), NOW)
    memory.seal(due.rows, due.coverage, due.kinds, due.upto_offset, NOW)
    assert tail(shard) == [(1, 2.0)]  # already consistent before the shard has noticed
    shard.sealed()
    assert tail(shard) == [(1, 2.0)]
    assert shard.tail_rows == 1


def test_the_journal_is_trimmed_behind_the_snapshot_before_the_newest():
    disk, memory = SimDisk(), Store()
    shard = ready(disk, memory)
    for hour in range(5):
        now = NOW + hour * 3600 * S
        for seq in range(1, 6):
            shard.deliver("gw", hour + 1, seq, power((hour * 3600 + seq, seq)), now)
        shard.seal(now)
    assert [s.offset for s in memory.kept] == [7, 12, 17, 22, 27]
    assert len(disk.listing(FOLDER / "journal")) < 12
    again = reopened(disk, memory)
    assert again.digest() == shard.digest()
    # the newest snapshot is damaged: the one before and the journal replace it
    memory.kept.pop()
    assert reopened(disk, memory).digest() == shard.digest()


def test_sealing_without_a_memory_is_refused():
    with pytest.raises(Refused):
        ready().seal(NOW)


def test_a_lost_journal_is_noticed_unless_it_was_restored_on_purpose():
    memory = Store()
    shard = ready(memory=memory)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    shard.seal(NOW)
    with pytest.raises(Corrupt, match="ends at 0, the memory at 3"):
        opened(SimDisk(), memory)
    disk = SimDisk()
    again = opened(disk, memory, restored=True)
    assert again.digest() == shard.digest()
    again.deliver("gw", 1, 2, power((1, 2.0)), NOW)
    assert again.offset == 4
    assert reopened(disk, memory).digest() == again.digest()


def test_the_memory_of_another_park_is_refused():
    memory = Store()
    shard = ready(memory=memory)
    shard.seal(NOW)
    with pytest.raises(Refused, match="holds park 'vsip1', not 'vsip2'"):
        Shard.open(FOLDER, "vsip2", now_us=NOW, disk=SimDisk(), memory=memory)


def test_a_failed_open_frees_the_folder():
    disk = SimDisk()
    shard = ready(disk)
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    shard.close()
    path = FOLDER / "journal" / disk.listing(FOLDER / "journal")[0]
    disk.flip(path, 40, 1)
    for _ in range(2):
        with pytest.raises(Corrupt):
            opened(disk)
    disk.flip(path, 40, 1)
    opened(disk)


def test_a_record_kind_of_a_newer_version_is_refused():
    disk = SimDisk()
    shard = ready(disk)
    shard.close()
    journal = Journal.open(FOLDER / "journal", disk)
    journal.append([(99, b'{"now":1}')])
    with pytest.raises(NewerFormat):
        reopened(disk)


def test_a_damaged_or_newer_shard_snapshot_is_refused():
    data = bytearray(pack_snapshot({"a": 1}, b"state"))
    assert unpack_snapshot(bytes(data)) == ({"a": 1}, b"state")
    for byte in [*range(8), *range(12, len(data))]:
        data[byte] ^= 1
        with pytest.raises(Corrupt):
            unpack_snapshot(bytes(data))
        data[byte] ^= 1
    data[8] = FORMAT + 1
    with pytest.raises(NewerFormat):
        unpack_snapshot(bytes(data))


def script(shard: Shard, acked: list[tuple[float, float]]) -> None:
    """A short life: batches, a gap, ticks, a command, a park edit, two seals."""
    session = 1 + max((s for s, _ in shard._inbox.last.get("gw", ())), default=0)
    if not shard.park_text:
        shard.apply_park(BINDINGS, "kind: Park", NOW)
    for seq in range(1, 9):
        at = session * 100.0 + seq
        now = NOW + int(at * S)
        if seq == 4:
            shard.cover("gw", session, seq, gap(at, at + 0.5), now)
            continue
        rows = [(at, float(seq * 20)), (at + 0.25, float(seq))]
        assert shard.deliver("gw", session, seq, power(*rows), now).acked_seq == seq
        acked += rows
        if seq in {3, 6}:
            shard.tick(now)
            shard.seal(now)
    with contextlib.suppress(InputError):
        shard.command({"do": "shelve", "alarm": "limit@1"}, NOW)
    shard.apply_park(BINDINGS[:2], f"kind: Park # {session}", NOW)


def everything(shard: Shard, memory: Store) -> list[tuple[float, float]]:
    sealed = [((r["at"].timestamp() * S - NOW) / S, r["value"]) for r in memory.rows]
    return sealed + tail(shard)


def check_recovery(disk: SimDisk, memory: Store, acked: list[tuple[float, float]]) -> None:
    """After a crash: no acked row lost, none twice, in order; the shard equals its replay."""
    shard = opened(disk, memory)
    rows = everything(shard, memory)
    assert rows[: len(acked)] == acked
    assert len(rows) - len(acked) <= 2
    assert len(set(rows)) == len(rows)
    shard.close()
    again = opened(disk, memory)
    assert again.digest() == shard.digest()
    script(again, [])
    again.close()
    assert opened(disk, memory).digest() == again.digest()


def life(disk: SimDisk, failpoint: Failpoint = never) -> tuple[Store, list[tuple[float, float]]]:
    memory, acked = Store(), []
    with contextlib.suppress(SimulatedCrash, DiskLow, Unavailable):
        script(opened(disk, memory, failpoint), acked)
    return memory, acked


def calls_of_a_life() -> int:
    disk = SimDisk()
    life(disk)
    return disk.calls


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.CRASH_AFTER, Fault.BROKEN, Fault.NO_SPACE])
def test_power_loss_at_every_disk_call_loses_no_acked_row_and_the_twin_equals_its_replay(fault):
    for call in range(1, calls_of_a_life() + 1):
        disk = SimDisk(call, {call: fault})
        memory, acked = life(disk)
        disk.power_lost()
        check_recovery(disk, memory, acked)


def test_a_crash_at_every_step_loses_no_acked_row():
    steps: list[str] = []
    life(SimDisk(), steps.append)
    assert {"journal.written", "journal.synced", "shard.folded", "seal.kept"} <= set(steps)
    for stop in range(len(steps)):
        count = iter(range(len(steps)))

        def crash(_step: str, stop: int = stop, count=count) -> None:
            if next(count) == stop:
                raise SimulatedCrash(stop)

        for lose_power in (False, True):
            disk = SimDisk(stop)
            count = iter(range(len(steps)))
            memory, acked = life(disk, lambda step, c=count, s=stop: crash(step, s, c))
            if lose_power:
                disk.power_lost()
            else:
                disk.process_died()
            check_recovery(disk, memory, acked)


def test_no_flipped_bit_of_the_journal_is_ever_served():
    disk = SimDisk()
    shard = opened(disk, segment_bytes=1 << 20)
    shard.apply_park(BINDINGS, "kind: Park", NOW)
    shard.deliver("gw", 1, 1, power((0, 1.0), (1, 2.0)), NOW)
    shard.tick(NOW)
    shard.close()
    path = FOLDER / "journal" / disk.listing(FOLDER / "journal")[0]
    size = disk.size(path)
    whole = disk.read(path)
    detected = 0
    for byte in range(size):
        disk.flip(path, byte, byte % 8)
        try:
            again = opened(disk, segment_bytes=1 << 20)
        except (Corrupt, NewerFormat):
            detected += 1
            disk.flip(path, byte, byte % 8)
        else:
            assert again.digest() == shard.digest()
            again.close()
            disk.create(path).writev([whole])
    assert detected == size - 21  # all but the last mark, which holds no record


@given(
    seed=st.integers(0, 2**32 - 1),
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(0, 12), st.sampled_from([1.0, 2.0, math.nan])),
            min_size=1,
            max_size=6,
        ),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=60, deadline=None)
def test_every_distinct_row_is_kept_exactly_once_whatever_the_order(seed, batches):
    disk = SimDisk(seed)
    shard = ready(disk)
    for seq, rows in enumerate(batches, 1):
        shard.deliver("gw", 1, seq, power(*rows), NOW)
    kept = [(at, str(v)) for at, v in tail(shard)]
    wanted = {(float(at), str(v)) for rows in batches for at, v in rows}
    assert len(kept) == len(set(kept))
    assert set(kept) == wanted
    at, value = max((at, i) for i, (at, _) in enumerate(r for b in batches for r in b))
    del value
    assert shard.state.at_us[0] == NOW + at * S
    disk.power_lost()
    assert opened(disk).digest() == shard.digest()


def test_a_cut_does_not_change_when_the_shard_goes_on():
    shard = ready()
    shard.deliver("gw", 1, 1, power((0, 1.0)), NOW)
    cut = shard.cut()
    shard.deliver("gw", 1, 2, power((1, 2.0)), NOW)
    assert cut.tail.num_rows == 1


def test_a_delivered_batch_may_be_overwritten_by_its_owner():
    shard = ready()
    values = np.array([5.0, 6.0])
    batch = sample_batch(tag=[1, 1], at_us=[NOW, NOW + 1], value=values, seen_us=NOW)
    shard.deliver("gw", 1, 1, batch, NOW)
    memory = np.frombuffer(batch.column("value").buffers()[1], np.float64)
    assert not np.shares_memory(memory, shard.cut().tail.column("value").chunk(0).to_numpy())
