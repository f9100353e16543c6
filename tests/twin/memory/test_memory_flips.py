import random
from pathlib import Path

import pytest
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

from models.errors import Corrupt, Unavailable
from twin.memory.settings import MemorySettings
from twin.memory.store import Memory

NOW = T0 + D
FLIPS = 200
UNREAD_HEAD = 4
"""The leading "PAR1" of a file is read by nobody."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flips") / "memory"
    memory = Memory.open(folder, settings=MemorySettings(row_group=512))
    draw = random.Random(7)
    for part in range(2):
        rows = [
            Row(
                tag=tag,
                at_us=T0 + part * H + i * 10 * S,
                value=draw.choice([1.0, 2.0, draw.random()]),
            )
            for tag in (1, 2, 3)
            for i in range(360)
        ]
        memory.seal(table(rows), NO_COVERAGE, KINDS, part + 1, NOW)
    return folder


def answers(folder: Path) -> list[object]:
    memory = Memory.open(folder)
    cut = cut_of(memory, NOW)
    tags = [1, 2, 3]
    found = [
        memory.read_raw(cut, tags, T0, NOW),
        memory.read_rollup(cut, tags, T0, NOW, H),
        memory.read_rollup(cut, tags, T0, T0 + 2 * H, M),
        *(memory.read_rollup(cut, [t], T0, T0 + 2 * H, M, columns=["mean", "max"]) for t in tags),
    ]
    return [frame(table) for table in found]


def fault_or_answers(folder: Path) -> tuple[Corrupt | None, list[object]]:
    try:
        return None, answers(folder)
    except Corrupt as fault:
        return fault, []


def test_of_200_flipped_bits_none_is_served(folder: Path) -> None:
    right = answers(folder)
    files = sorted(folder.glob("*/*.parquet"))
    draw = random.Random(20261122)
    detected = 0
    for _ in range(FLIPS):
        path = draw.choice(files)
        data = bytearray(path.read_bytes())
        place, bit = draw.randrange(len(data)), draw.randrange(8)
        data[place] ^= 1 << bit
        whole = path.read_bytes()
        path.write_bytes(data)
        fault, got = fault_or_answers(folder)
        path.write_bytes(whole)
        if fault is None:
            assert place < UNREAD_HEAD, f"bit {bit} of byte {place} of {path.name} was served"
            for one, other in zip(got, right, strict=True):
                assert_frame_equal(one, other)
        else:
            detected += 1
            assert path.name in str(fault)
            assert "2026-09-21T0" in str(fault)
            assert "restore this file" in str(fault)
    assert detected >= FLIPS - 3


@pytest.mark.parametrize("keep", [0, 3, 100, -1])
def test_a_torn_file_is_not_served(folder: Path, keep: int) -> None:
    path = next(folder.glob("raw/*.parquet"))
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    try:
        with pytest.raises(Corrupt, match=path.name):
            answers(folder)
    finally:
        path.write_bytes(whole)


def test_a_damaged_file_spoils_only_its_own_time_range(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    seal_all(memory, [Row(tag=1, at_us=T0, value=1.0)], NOW)
    seal_all(memory, [Row(tag=1, at_us=T0 + 5 * H, value=2.0)], NOW)
    path = sorted((tmp_path / "memory" / "raw").glob("*.parquet"))[0]
    data = bytearray(path.read_bytes())
    data[10] ^= 4
    path.write_bytes(data)
    cut = cut_of(memory, NOW)
    assert memory.read_raw(cut, [1], T0 + H, NOW).column("value").to_pylist() == [2.0]
    with pytest.raises(Corrupt):
        memory.read_raw(cut, [1], T0, NOW)
    (fault,) = memory.verify()
    assert path.name in str(fault)


def test_a_file_that_is_gone_asks_for_a_new_cut(tmp_path: Path) -> None:
    memory = Memory.open(tmp_path / "memory")
    memory.seal(series(1, T0, S, [1.0, 2.0]), NO_COVERAGE, KINDS, 1, NOW)
    old = cut_of(memory, NOW)
    memory.seal(series(1, T0 + H, S, [3.0]), NO_COVERAGE, KINDS, 2, NOW)
    memory.compact_due(NOW + 3 * D)
    memory.vacuum(NOW + 4 * D)
    reader = Memory.open(tmp_path / "memory")
    with pytest.raises(Unavailable, match="new cut"):
        reader.read_raw(old, [1], T0, NOW)
