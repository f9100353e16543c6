from dataclasses import replace
from pathlib import Path

import pytest
from memory_story import T0, D, H, M, Row, cut_of, frame, seal_all
from polars.testing import assert_frame_equal

from twin.disk import OsDisk
from twin.memory.settings import DiskLevel, MemorySettings, disk_level
from twin.memory.store import Memory
from twin.samples import from_us

TAGS = [1, 2, 3, 4]


def rows_of_hour(hour: int, step: int = 7 * M) -> list[Row]:
    begin = T0 + hour * H
    return [
        Row(tag=tag, at_us=at, value=float((at // M + tag) % 5))
        for tag in TAGS
        for at in range(begin, begin + H, step)
    ]


def filled(folder: Path, hours: range, **settings: int) -> Memory:
    """Memory of hourly seals, with duplicates and late rows between them."""
    memory = Memory.open(folder, settings=MemorySettings(**settings))
    for hour in hours:
        rows = rows_of_hour(hour) + rows_of_hour(hour - 3, 20 * M)[:4]
        seal_all(memory, rows, T0 + (hour + 1) * H)
    return memory


def answers(memory: Memory, cut, until: int) -> list[object]:
    found = [
        memory.read_raw(cut, TAGS, T0 - D, until),
        memory.read_rollup(cut, TAGS, T0 - D, until, H),
        memory.read_rollup(cut, TAGS, T0, until, 5 * M),
        memory.latest_before(cut, TAGS, until),
    ]
    return [frame(table) for table in found]


def same(one: list[object], other: list[object]) -> None:
    for a, b in zip(one, other, strict=True):
        assert_frame_equal(a, b, rel_tol=1e-12)


@pytest.mark.parametrize("merge_rows", [4_000_000, 50])
def test_a_compacted_day_answers_the_same_from_one_file(tmp_path: Path, merge_rows: int) -> None:
    memory = filled(tmp_path / "memory", range(12), merge_rows=merge_rows, row_group=40)
    until = T0 + 12 * H
    old = cut_of(memory, until)
    before = answers(memory, old, until)
    memory.compact(from_us(T0).date(), until)
    for name in ("raw", "minute", "hour"):
        of_day = [f for f in memory.files(memory.manifest, name) if f.begin_us >= T0]
        assert len(of_day) == 1
    now = cut_of(memory, until)
    assert now.manifest.offset == old.manifest.offset
    same(answers(memory, now, until), before)
    same(answers(memory, old, until), before)
    assert memory.verify() == ()


def test_old_days_are_compacted_and_yesterday_is_left_alone(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(0, 72, 6))
    until = T0 + 72 * H
    before = answers(memory, cut_of(memory, until), until)
    assert memory.compact_due(T0 + 2 * D + H) >= 1
    days = [f.day - T0 // D for f in memory.files(memory.manifest, "raw")]
    assert days.count(0) == 1
    assert days.count(1) > 1
    assert days.count(2) > 1
    assert memory.compact_due(T0 + 2 * D + H) == 0
    same(answers(memory, cut_of(memory, until), until), before)


def test_seven_old_days_of_a_running_month_become_one_file_of_rollups(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(0, 9 * 24, 24))
    until = T0 + 9 * D
    before = answers(memory, cut_of(memory, until), until)
    assert memory.compact_due(until) > 0
    for name in ("minute", "hour"):
        spans = [
            (f.begin_us // D - T0 // D, f.end_us // D - T0 // D)
            for f in memory.files(memory.manifest, name)
        ]
        assert spans[0] == (-1, 5)
        assert spans[1:3] == [(6, 6), (7, 7)]
        assert {begin for begin, _ in spans[3:]} == {8}
    assert len({f.day for f in memory.files(memory.manifest, "raw")}) == 10
    assert memory.compact_due(until) == 0
    same(answers(memory, cut_of(memory, until), until), before)
    assert memory.verify() == ()


@pytest.mark.parametrize(
    ("rows", "group"), [(1, 16_384), (1_728_000, 16_384), (8_640_000, 67_500), (10**9, 131_072)]
)
def test_groups_of_samples_grow_with_their_file(rows: int, group: int) -> None:
    assert MemorySettings().group_rows(0, rows) == group
    assert MemorySettings().group_rows(M, rows) == 16_384


def test_cold_months_of_rollups_become_one_file(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(0, 15 * 24, 30))
    until = T0 + 15 * D
    before = answers(memory, cut_of(memory, until), until)
    memory.compact_due(T0 + 80 * D)
    assert len(memory.files(memory.manifest, "minute")) == 2
    assert len(memory.files(memory.manifest, "hour")) == 2
    same(answers(memory, cut_of(memory, until), until), before)
    seal_all(memory, [Row(tag=1, at_us=T0 + D + M + 1, value=1e6)], T0 + 80 * D)
    cut = cut_of(memory, until)
    assert max(memory.read_rollup(cut, [1], T0 + D, T0 + 2 * D, H)["max"].to_pylist()) == 1e6
    after = answers(memory, cut, until)
    memory.compact_due(T0 + 80 * D)
    assert len(memory.files(memory.manifest, "minute")) == 2
    same(answers(memory, cut_of(memory, until), until), after)


class Crash(Exception):
    """The process ended here."""


def test_a_compaction_that_stops_at_any_step_changes_nothing(tmp_path: Path) -> None:
    until, met = T0 + 2 * H, []
    probe = filled(tmp_path / "probe", range(2))
    probe._failpoint = met.append
    probe.compact(from_us(T0).date(), until)
    expected = answers(probe, cut_of(probe, until), until)
    assert len(met) > 8
    for stop in met:

        def crash(step: str, stop: str = stop) -> None:
            if step == stop:
                raise Crash

        folder = tmp_path / stop
        filled(folder, range(2))
        with pytest.raises(Crash):
            Memory.open(folder, failpoint=crash).compact(from_us(T0).date(), until)
        memory = Memory.open(folder)
        same(answers(memory, cut_of(memory, until), until), expected)
        memory.compact(from_us(T0).date(), until)
        same(answers(memory, cut_of(memory, until), until), expected)


def test_vacuum_keeps_what_is_named_pinned_or_superseded_just_now(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(6), pin_s=3_600)
    until = T0 + 6 * H
    old = cut_of(memory, until)
    before = answers(memory, old, until)
    (tmp_path / "memory" / "raw" / "orphan.parquet").write_bytes(b"left by a crash")
    with memory.pinned("reader"):
        memory.compact(from_us(T0).date(), until)
        memory.vacuum(until + 10 * D)
        assert not (tmp_path / "memory" / "raw" / "orphan.parquet").exists()
        same(answers(Memory.open(tmp_path / "memory"), old, until), before)
    assert memory.vacuum(until + 10 * D) > 0
    same(answers(memory, cut_of(memory, until), until), before)
    assert memory.vacuum(until + 10 * D) == 0


def test_retention_forgets_samples_then_minutes_and_keeps_hours(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(0, 96, 12), raw_days=1, late_days=0, minute_days=2)
    until = T0 + 96 * H
    hours = frame(memory.read_rollup(cut_of(memory, until), TAGS, T0 - D, until, H))
    memory.put_snapshot(T0, 1, b"old")
    memory.put_snapshot(T0 + 4 * D, 2, b"new")
    memory.put_snapshot(T0 + 4 * D + H, 3, b"newest")
    memory.retain(until, until)
    cut = cut_of(memory, until)
    first = memory.read_raw(cut, TAGS, T0 - D, until)["at"][0].value
    assert first >= T0 + 3 * D - 12 * H
    assert min(f.end_us for f in memory.files(memory.manifest, "minute")) >= T0 + 2 * D
    assert_frame_equal(frame(memory.read_rollup(cut, TAGS, T0 - D, until, H)), hours)
    assert memory.snapshot_before(T0 + D) is None
    assert memory.snapshot_before(T0 + 4 * D).data == b"new"


def test_a_park_that_lives_in_the_past_keeps_what_it_remembers(tmp_path: Path) -> None:
    # its third day ends while on the wall it is 400 days later
    memory = filled(tmp_path / "memory", range(3))
    until, files = T0 + 3 * D, memory.files(memory.manifest, "raw")
    for day in range(3):
        memory.put_snapshot(T0 + day * D, day, b"state")
    memory.retain(until, until + 400 * D)
    assert memory.files(memory.manifest, "raw") == files
    assert len(memory.snapshot_files()) == 3


def test_the_newest_two_snapshots_outlive_every_age(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    for day in range(4):
        memory.put_snapshot(T0 + day * D, day + 1, b"state")
    memory.retain(T0 + 4000 * D, T0 + 4000 * D)
    assert [memory.snapshot_before(T0 + day * D).offset for day in (2, 3)] == [3, 4]
    assert len(memory.snapshot_files()) == 2


def test_a_late_row_for_a_minute_whose_samples_are_gone_leaves_its_rollup(tmp_path: Path) -> None:
    memory = filled(tmp_path / "memory", range(2), raw_days=1, late_days=0)
    now = T0 + 40 * D
    before = frame(memory.read_rollup(cut_of(memory, now), [1], T0, T0 + H, H))
    memory.retain(now, now)
    seal_all(memory, [Row(tag=1, at_us=T0, value=-99.0)], now)
    after = frame(memory.read_rollup(cut_of(memory, now), [1], T0, T0 + H, H))
    assert_frame_equal(after, before)


class SmallDisk(OsDisk):
    """A disk with so much free."""

    def __init__(self, free: float) -> None:
        self.free = free

    def free_fraction(self, folder: Path) -> float:
        return self.free


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (0.5, DiskLevel.OK),
        (0.15, DiskLevel.OK),
        (0.149, DiskLevel.ALARM),
        (0.099, DiskLevel.NO_WHATIF),
        (0.049, DiskLevel.NO_ACK),
    ],
)
def test_free_disk_has_three_watermarks(tmp_path: Path, free: float, level: DiskLevel) -> None:
    memory = Memory.open(tmp_path / "memory", disk=SmallDisk(free))
    assert memory.free_fraction() == free
    assert memory.disk_level() is level
    assert disk_level(free, replace(MemorySettings(), ack_free=0.0)) <= level
