from pathlib import Path

import pytest
from memory_story import T0, D, H, M, Row, S, series, table

from models.errors import Corrupt, InputError
from twin.memory.downsample import chart_step_us, downsample
from twin.memory.snapshots import Snapshots
from twin.memory.store import Memory


def test_the_newest_snapshot_at_or_before_a_time_is_found(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    assert memory.snapshot_before(T0) is None
    for hour in (2, 0, 1):
        memory.put_snapshot(T0 + hour * H, 10 + hour, bytes([hour]) * 1000)
    found = Memory.open(tmp_path / "memory").snapshot_before(T0 + 2 * H - 1)
    assert (found.at_us, found.offset, found.data) == (T0 + H, 11, b"\x01" * 1000)
    assert memory.snapshot_before(T0 - 1) is None


def test_every_flipped_bit_of_a_snapshot_is_found(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path)
    snapshots.put(T0, 7, b"state")
    (path,) = snapshots.paths()
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(Corrupt, match="an earlier snapshot"):
                snapshots.before(T0)
    for keep in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:keep])
        with pytest.raises(Corrupt):
            snapshots.before(T0)


class Crash(Exception):
    """The process ended here."""


def test_a_snapshot_half_written_is_not_there(tmp_path: Path) -> None:
    def crash(step: str) -> None:
        if step == "snapshot.begun":
            raise Crash

    Snapshots(tmp_path).put(T0, 1, b"one")
    with pytest.raises(Crash):
        Snapshots(tmp_path, crash).put(T0 + H, 2, b"two")
    (tmp_path / "snapshots" / ".x.snapshot.tmp").write_bytes(b"torn")
    assert Snapshots(tmp_path).before(T0 + D).data == b"one"


def test_downsampling_keeps_ends_and_peaks() -> None:
    values = [0.0] * 5_000
    values[1_234], values[3_456] = 99.0, -77.0
    rows = series(1, T0, S, values)
    few = downsample(rows, 100)
    assert few.num_rows <= 100
    kept = few.column("value").to_pylist()
    assert 99.0 in kept
    assert -77.0 in kept
    assert few.column("at")[0] == rows.column("at")[0]
    assert few.column("at")[-1] == rows.column("at")[-1]


def test_downsampling_is_per_tag_and_leaves_short_series_alone() -> None:
    rows = table(
        [Row(tag=1, at_us=T0 + i * S, value=float(i % 9)) for i in range(400)]
        + [Row(tag=2, at_us=T0 + i * S, value=1.0) for i in range(10)]
    )
    few = downsample(rows, 50)
    tags = few.column("tag").to_pylist()
    assert tags.count(1) <= 50
    assert tags.count(2) == 10
    assert downsample(rows.slice(400), 50).equals(rows.slice(400))
    assert downsample(rows.slice(0, 0), 50).num_rows == 0


def test_numbers_that_are_none_are_not_drawn() -> None:
    values = [float("nan") if i % 2 else 5.0 for i in range(1_000)]
    few = downsample(series(1, T0, S, values), 20).column("value").to_pylist()
    assert few[:-1] == [5.0] * (len(few) - 1)
    assert few[-1] != few[-1]


def test_too_few_points_are_refused() -> None:
    with pytest.raises(InputError, match="at least 3"):
        downsample(series(1, T0, S, [1.0]), 2)


@pytest.mark.parametrize(
    ("span", "points", "step"),
    [(H, 1_000, S), (D, 2_000, 15 * S), (30 * D, 2_000, 5 * M), (365 * D, 2_000, H)],
)
def test_a_chart_reads_the_coarsest_windows_that_still_show_it(
    span: int, points: int, step: int
) -> None:
    assert chart_step_us(span, points) == step
