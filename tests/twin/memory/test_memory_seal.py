import shutil
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_story import (
    KINDS,
    NO_COVERAGE,
    T0,
    D,
    H,
    M,
    Row,
    S,
    cut_of,
    frame,
    seal_all,
    series,
    table,
)
from polars.testing import assert_frame_equal

from models.errors import Corrupt, Refused
from twin.memory.settings import MemorySettings
from twin.memory.store import Memory
from twin.memory.tables import COVERAGE_TABLE
from twin.samples import COVERAGE, SAMPLES, TIME, Origin
from twin.status import BAD_SENSOR_FAILURE, GOOD, UNCERTAIN

NOW = T0 + 2 * D


@pytest.fixture(scope="session")
def empty_memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty") / "memory"
    Memory.open(folder)
    return folder


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("law")


values = st.one_of(st.integers(-3, 9).map(float), st.just(float("nan")))
some_row = st.builds(
    Row,
    tag=st.integers(1, 4),
    at_us=st.one_of(
        st.integers(0, 12 * 60).map(lambda s: T0 + 22 * H + s * 20 * S),
        st.integers(0, 40).map(lambda k: T0 + 23 * H + k * 7 * S + 3),
    ),
    value=values,
    status=st.sampled_from([GOOD, GOOD, GOOD, UNCERTAIN, BAD_SENSOR_FAILURE]),
    seen_us=st.integers(0, 3).map(lambda k: NOW + k * S),
    origin=st.sampled_from([Origin.MEASURED, Origin.MEASURED, Origin.CORRECTED]),
)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(some_row, min_size=1, max_size=40),
    data=st.data(),
)
def test_any_split_in_any_order_of_arrival_gives_what_one_seal_of_all_gives(
    empty_memory: Path, workshop: Path, rows: list[Row], data: st.DataObject
) -> None:
    arrival = data.draw(st.permutations(rows))
    edges = sorted(data.draw(st.lists(st.integers(0, len(rows)), min_size=1, max_size=4)))
    whole_folder, split_folder = workshop / "whole", workshop / "split"
    for folder in (whole_folder, split_folder):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(empty_memory, folder)
    whole, split = Memory.open(whole_folder), Memory.open(split_folder)
    seal_all(whole, rows, NOW)
    for begin, end in pairwise([0, *edges]):
        seal_all(split, arrival[begin:end], NOW)
    expected, got = cut_of(whole, NOW), cut_of(split, NOW, arrival[edges[-1] :])
    tags = [1, 2, 3, 4]
    assert_frame_equal(
        frame(split.read_raw(got, tags, T0, NOW)), frame(whole.read_raw(expected, tags, T0, NOW))
    )
    for since, until, every in (
        (T0 + 22 * H, T0 + 27 * H, H),
        (T0 + 22 * H + 7 * M, T0 + 25 * H + 30 * S, 5 * M),
        (T0 + 23 * H + 5, T0 + 23 * H + 9 * M, 13 * S),
    ):
        assert_frame_equal(
            frame(split.read_rollup(got, tags, since, until, every, kinds=KINDS)),
            frame(whole.read_rollup(expected, tags, since, until, every, kinds=KINDS)),
            rel_tol=1e-9,
            abs_tol=1e-9,
        )


def test_a_sealed_offset_is_sealed_once(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    rows = series(1, T0, S, [1.0, 2.0])
    first = memory.seal(rows, NO_COVERAGE, KINDS, 5, NOW)
    again = memory.seal(rows, NO_COVERAGE, KINDS, 5, NOW + S)
    assert again == first
    assert memory.read_raw(cut_of(memory, NOW), [1], T0, NOW).num_rows == 2


def test_what_is_sealed_is_there_after_opening_again(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0, value=4.5, status=BAD_SENSOR_FAILURE)], NOW)
    opened = Memory.open(tmp_path / "memory")
    assert opened.manifest == memory.manifest
    found = opened.read_raw(cut_of(opened, NOW), [1], T0, NOW)
    assert found.schema == SAMPLES
    assert found.column("status").to_pylist() == [BAD_SENSOR_FAILURE]


def test_duplicates_appear_once_whichever_seal_or_tail_brought_them(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    row = Row(tag=1, at_us=T0, value=1.0)
    other = Row(tag=1, at_us=T0, value=2.0)
    seal_all(memory, [row, row], NOW)
    seal_all(memory, [row, other], NOW)
    cut = cut_of(memory, NOW, [row, other])
    assert memory.read_raw(cut, [1], T0, NOW).column("value").to_pylist() == [1.0, 2.0]
    assert memory.read_rollup(cut, [1], T0, T0 + H, H).column("n").to_pylist() == [2]


def test_texts_of_one_time_are_not_taken_for_duplicates(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    rows = table([Row(tag=1, at_us=T0, value=0.0)] * 2)
    texts = pa.array(["batch 7", "batch 8"])
    place = SAMPLES.get_field_index("text")
    rows = rows.set_column(place, SAMPLES.field("text"), texts)
    rows = rows.set_column(4, SAMPLES.field("value"), pa.nulls(2, pa.float64()))
    memory.seal(rows, NO_COVERAGE, KINDS, 1, NOW)
    found = memory.read_raw(cut_of(memory, NOW), [1], T0, NOW)
    assert found.column("text").to_pylist() == ["batch 7", "batch 8"]


def test_late_samples_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0 + 10 * H + i * M, value=1.0) for i in range(60)], NOW)
    late = Row(tag=1, at_us=T0 + 10 * H + 90 * S, value=9.0)
    seal_all(memory, [late, Row(tag=1, at_us=T0 + 11 * H, value=2.0)], NOW)
    names = [f.name for f in memory.files(memory.manifest, "raw")]
    assert [("late" in name) for name in names] == [False, True, False]


def test_coverage_rows_are_kept_once_and_found_by_overlap(tmp_path: Path) -> None:
    def rows(*spans: tuple[int, int, bool]) -> pa.Table:
        return pa.table(
            [
                pa.array(["plc1"] * len(spans)),
                pa.array([s[0] for s in spans]).cast(TIME),
                pa.array([s[1] for s in spans]).cast(TIME),
                pa.array([s[2] for s in spans]),
                pa.array(["cut"] * len(spans)),
                pa.nulls(len(spans), pa.int64()),
            ],
            schema=COVERAGE,
        )

    memory = Memory.open(tmp_path / "memory")
    first = rows((T0, T0 + H, True), (T0 + H, T0 + 30 * H, False))
    memory.seal(SAMPLES.empty_table(), first, KINDS, 1, NOW)
    memory.seal(SAMPLES.empty_table(), first.slice(1), KINDS, 2, NOW)
    tail = rows((T0 + 30 * H, T0 + 31 * H, True), (T0 + H, T0 + 30 * H, False))
    found = memory.read_coverage(memory.manifest, T0 + 2 * H, T0 + 40 * H, tail)
    assert found.schema == COVERAGE
    assert found.column("alive").to_pylist() == [False, True]
    memory.compact_due(T0 + 90 * D)
    assert len(memory.files(memory.manifest, COVERAGE_TABLE.name)) == 1
    assert memory.read_coverage(memory.manifest, T0 + 2 * H, T0 + 40 * H, tail) == found


class Crash(Exception):
    """The process ended here."""


def steps_of_a_seal(tmp_path: Path) -> list[str]:
    met: list[str] = []
    memory = Memory.open(tmp_path / "steps", failpoint=met.append)
    met.clear()
    seal_twice(memory)
    return met


def seal_twice(memory: Memory) -> None:
    seal_all(
        memory,
        [Row(tag=t, at_us=T0 + i * S, value=float(i)) for t in (1, 3) for i in range(9)],
        NOW,
    )
    memory.seal(table(MORE), NO_COVERAGE, KINDS, 2, NOW)


MORE = [
    Row(tag=1, at_us=T0 + 2 * D, value=1.0),
    Row(tag=1, at_us=T0 + 4 * S + 1, value=50.0),
    Row(tag=3, at_us=T0 + H, value=2.0),
]


def test_a_seal_that_stops_at_any_step_is_finished_by_the_next(
    empty_memory: Path, tmp_path: Path
) -> None:
    steps = steps_of_a_seal(tmp_path)
    expected = Memory.open(tmp_path / "steps")
    tags, late = [1, 3], NOW + H
    raw = frame(expected.read_raw(cut_of(expected, late), tags, T0, late))
    hours = frame(expected.read_rollup(cut_of(expected, late), tags, T0, late, H))
    assert {"seal.begun", "seal.committed.raw", "seal.named", "seal.done"} <= set(steps)
    for stop in range(len(steps)):
        folder = shutil.copytree(empty_memory, tmp_path / f"stop{stop}")
        left = stop

        def crash(step: str) -> None:
            nonlocal left
            if step.startswith("seal"):
                if left == 0:
                    raise Crash
                left -= 1

        memory = Memory.open(folder, failpoint=crash, settings=MemorySettings(checkpoint_every=1))
        with pytest.raises(Crash):
            seal_twice(memory)
        reopened = Memory.open(folder)
        if reopened.manifest.offset < 1:
            seal_twice(reopened)
        else:
            reopened.seal(table(MORE), NO_COVERAGE, KINDS, 2, NOW)
        cut = cut_of(reopened, late)
        assert_frame_equal(frame(reopened.read_raw(cut, tags, T0, late)), raw)
        assert_frame_equal(frame(reopened.read_rollup(cut, tags, T0, late, H)), hours)
        assert reopened.verify() == ()
        reopened.vacuum(late + D)
        on_disk = {p.name for p in (folder / "raw").glob("*.parquet")}
        assert on_disk == {f.name for f in reopened.files(reopened.manifest, "raw")}


def test_the_same_memory_goes_on_after_a_seal_that_failed(tmp_path: Path) -> None:
    full = [True]

    def no_space(step: str) -> None:
        if step == "seal.committed.minute" and full[0]:
            raise OSError(28, "No space left on device")

    memory = Memory.open(tmp_path / "memory", failpoint=no_space)
    rows = [Row(tag=1, at_us=T0 + i * S, value=1.0) for i in range(5)]
    with pytest.raises(OSError, match="No space"):
        seal_all(memory, rows, NOW)
    cut = cut_of(memory, NOW, rows)
    assert memory.read_raw(cut, [1], T0, NOW).num_rows == 5
    full[0] = False
    seal_all(memory, rows, NOW)
    assert memory.read_raw(cut_of(memory, NOW), [1], T0, NOW).num_rows == 5


def test_a_torn_log_entry_above_the_named_version_is_dropped(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0, value=1.0)], NOW)
    torn = tmp_path / "memory" / "raw" / "_delta_log" / f"{2:020d}.json"
    torn.write_bytes(b"")
    opened = Memory.open(tmp_path / "memory")
    seal_all(opened, [Row(tag=1, at_us=T0 + S, value=2.0)], NOW)
    found = opened.read_raw(cut_of(opened, NOW), [1], T0, NOW)
    assert found.column("value").to_pylist() == [1.0, 2.0]


def test_a_log_that_lists_other_files_is_not_believed(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0, value=1.0)], NOW)
    entry = tmp_path / "memory" / "raw" / "_delta_log" / f"{1:020d}.json"
    text = entry.read_text()
    entry.write_text(text.replace('\\"tag\\": 1', '\\"tag\\": 3'))
    assert entry.read_text() != text
    opened = Memory.open(tmp_path / "memory")
    with pytest.raises(Corrupt, match="restore the latest backup"):
        opened.read_raw(cut_of(opened, NOW), [1], T0, NOW)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("not ours")
    with pytest.raises(Refused, match="no format stamp"):
        Memory.open(tmp_path)


def test_creation_that_stopped_half_way_is_begun_again(tmp_path: Path) -> None:
    def crash(step: str) -> None:
        if step == "create.minute":
            raise Crash

    with pytest.raises(Crash):
        Memory.open(tmp_path / "memory", failpoint=crash)
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0, value=1.0)], NOW)
    assert memory.manifest.offset == 1


def test_versions_are_read_past_checkpoints(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory", settings=MemorySettings(checkpoint_every=2))
    for i in range(5):
        seal_all(memory, [Row(tag=1, at_us=T0 + i * S + 1, value=float(i))], NOW)
    memory.vacuum(NOW + D)
    opened = Memory.open(tmp_path / "memory")
    found = opened.read_raw(cut_of(opened, NOW), [1], T0, NOW)
    assert found.column("value").to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
