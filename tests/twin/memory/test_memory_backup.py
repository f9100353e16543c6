import hashlib
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from memory_story import KINDS, NO_COVERAGE, T0, D, H, M, Row, cut_of, frame, seal_all, table
from polars.testing import assert_frame_equal

from models.errors import Corrupt, NewerFormat, Refused
from twin.memory import migrate as migrations
from twin.memory.backup import LIST, backup, restore
from twin.memory.manifest import FILE
from twin.memory.migrate import migrate
from twin.memory.stamp import FORMAT, read_stamp, write_stamp
from twin.memory.store import Memory
from twin.samples import from_us

NOW = T0 + D
TAGS = [1, 2, 3]


def rows_of(hour: int) -> list[Row]:
    return [
        Row(tag=tag, at_us=T0 + hour * H + i * M, value=float(i % 7))
        for tag in TAGS
        for i in range(50)
    ]


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory.open(tmp_path / "memory")
    for hour in range(3):
        seal_all(memory, rows_of(hour), NOW)
    memory.put_snapshot(T0 + H, 2, b"state of the shard")
    return memory


def answers(memory: Memory) -> list[object]:
    cut = cut_of(memory, NOW)
    found = (memory.read_raw(cut, TAGS, T0, NOW), memory.read_rollup(cut, TAGS, T0, NOW, H))
    return [frame(one) for one in found]


def same(one: Memory, other: Memory) -> None:
    for a, b in zip(answers(one), answers(other), strict=True):
        assert_frame_equal(a, b)


def test_a_restored_backup_answers_as_the_memory_did(memory: Memory, tmp_path: Path) -> None:
    made = memory.backup(tmp_path / "backup")
    assert made.manifest == memory.manifest
    assert Memory.restore(tmp_path / "backup", tmp_path / "restored") == made.files
    restored = Memory.open(tmp_path / "restored")
    same(restored, memory)
    assert restored.manifest == memory.manifest
    assert restored.snapshot_before(NOW).data == b"state of the shard"
    assert restored.verify() == ()
    seal_all(restored, rows_of(5), NOW)
    seal_all(memory, rows_of(5), NOW)
    same(restored, memory)


def test_a_backup_made_while_sealing_and_compacting_is_of_one_moment(
    memory: Memory, tmp_path: Path
) -> None:
    copied, may_go_on = threading.Event(), threading.Event()

    def wait(_step: str) -> None:
        copied.set()
        assert may_go_on.wait(30)

    worker = threading.Thread(target=backup, args=(memory, tmp_path / "backup", wait))
    expected = answers(memory)
    worker.start()
    assert copied.wait(30)
    seal_all(memory, rows_of(7), NOW)
    memory.compact(from_us(T0).date(), NOW)
    memory.vacuum(NOW + 9 * D)
    may_go_on.set()
    worker.join()
    restore(tmp_path / "backup", tmp_path / "restored")
    for a, b in zip(answers(Memory.open(tmp_path / "restored")), expected, strict=True):
        assert_frame_equal(a, b)


def test_any_damaged_byte_of_a_backup_is_refused_before_anything_is_put_in_place(
    memory: Memory, tmp_path: Path
) -> None:
    memory.backup(tmp_path / "backup")
    files = [p for p in (tmp_path / "backup").rglob("*") if p.is_file()]
    assert len(files) > 15
    for path in files:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(Corrupt, match="another backup"):
            restore(tmp_path / "backup", tmp_path / "restored")
        assert not (tmp_path / "restored").exists()
        path.write_bytes(whole)
    assert restore(tmp_path / "backup", tmp_path / "restored") == len(files) - 1


def test_a_missing_file_of_a_backup_is_named(memory: Memory, tmp_path: Path) -> None:
    memory.backup(tmp_path / "backup")
    next((tmp_path / "backup" / "raw").glob("*.parquet")).unlink()
    with pytest.raises(Corrupt, match="missing from the backup"):
        restore(tmp_path / "backup", tmp_path / "restored")


class Crash(Exception):
    """The process ended here."""


@pytest.mark.parametrize("stop", ["backup.copied", "backup.listed"])
def test_a_backup_that_stopped_half_way_is_no_backup(
    memory: Memory, tmp_path: Path, stop: str
) -> None:
    def crash(step: str) -> None:
        if step == stop:
            raise Crash

    with pytest.raises(Crash):
        backup(memory, tmp_path / "backup", crash)
    with pytest.raises(Refused, match=LIST):
        restore(tmp_path / "backup", tmp_path / "restored")


@pytest.mark.parametrize("stop", ["restore.checked", "restore.copied", "restore.whole"])
def test_a_restore_that_stopped_half_way_can_be_repeated(
    memory: Memory, tmp_path: Path, stop: str
) -> None:
    def crash(step: str) -> None:
        if step == stop:
            raise Crash

    memory.backup(tmp_path / "backup")
    with pytest.raises(Crash):
        restore(tmp_path / "backup", tmp_path / "restored", crash)
    assert not (tmp_path / "restored").exists()
    restore(tmp_path / "backup", tmp_path / "restored")
    same(Memory.open(tmp_path / "restored"), memory)


def test_a_folder_that_holds_anything_is_not_overwritten(memory: Memory, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "letter.txt").write_text("mine")
    memory.backup(tmp_path / "backup")
    with pytest.raises(Refused, match="not empty"):
        memory.backup(taken)
    with pytest.raises(Refused, match="not empty"):
        restore(tmp_path / "backup", taken)
    assert (taken / "letter.txt").read_text() == "mine"


def test_damaged_data_is_not_backed_up(memory: Memory, tmp_path: Path) -> None:
    path = next((tmp_path / "memory" / "raw").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    with pytest.raises(Corrupt, match=path.name):
        memory.backup(tmp_path / "backup")


def test_a_list_that_points_outside_is_refused(memory: Memory, tmp_path: Path) -> None:
    memory.backup(tmp_path / "backup")
    (tmp_path / "secret").write_text("x")
    listed = tmp_path / "backup" / LIST
    given = json.loads(json.loads(listed.read_text())["files"])
    given["../secret"] = given.pop("format.json")
    body = json.dumps(given, sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()
    listed.write_text(json.dumps({"files": body, "sha256": digest}))
    with pytest.raises(Refused, match="outside"):
        restore(tmp_path / "backup", tmp_path / "restored")


def as_format_0(folder: Path) -> None:
    """Turn a folder into what the first format was: no coverage, a manifest without checksums."""
    for path in sorted((folder / "coverage").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "coverage").rmdir()
    with closing(sqlite3.connect(folder / FILE)) as db, db:
        kept = db.execute(
            'SELECT id, "offset", raw_version, minute_version, hour_version, sealed_us'
            " FROM manifest"
        ).fetchall()
        db.execute("DROP TABLE manifest")
        db.execute(
            'CREATE TABLE manifest (id INTEGER PRIMARY KEY, "offset" INTEGER, raw_version INTEGER,'
            " minute_version INTEGER, hour_version INTEGER, sealed_us INTEGER)"
        )
        db.executemany("INSERT INTO manifest VALUES (?, ?, ?, ?, ?, ?)", kept)
    write_stamp(folder, 0)


def test_an_older_folder_is_refused_until_it_is_migrated(memory: Memory, tmp_path: Path) -> None:
    folder, expected = tmp_path / "memory", answers(memory)
    as_format_0(folder)
    with pytest.raises(Refused, match="parktwin migrate"):
        Memory.open(folder)
    assert migrate(folder) == (1,)
    assert read_stamp(folder) == FORMAT
    assert migrate(folder) == ()
    migrated = Memory.open(folder)
    assert migrated.manifest.offset == 3
    for a, b in zip(answers(migrated), expected, strict=True):
        assert_frame_equal(a, b)
    migrated.seal(table(rows_of(4)), NO_COVERAGE, KINDS, 4, NOW)
    assert Memory.open(folder).manifest.offset == 4


def test_a_migration_that_stopped_half_way_is_repeated(memory: Memory, tmp_path: Path) -> None:
    folder, expected = tmp_path / "memory", answers(memory)
    as_format_0(folder)

    def crash(step: str) -> None:
        if step == "migrate.changed.1":
            raise Crash

    with pytest.raises(Crash):
        migrate(folder, crash)
    assert read_stamp(folder) == 0
    assert migrate(folder) == (1,)
    for a, b in zip(answers(Memory.open(folder)), expected, strict=True):
        assert_frame_equal(a, b)


def test_every_format_has_its_migration() -> None:
    assert sorted(migrations.MIGRATIONS) == list(range(FORMAT))


def test_a_newer_folder_is_refused_with_a_clear_word(memory: Memory, tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    write_stamp(folder, FORMAT + 1)
    for act in (Memory.open, migrate):
        with pytest.raises(NewerFormat, match="install the newer parktwin"):
            act(folder)


@pytest.mark.parametrize("text", ["", "{}", '{"memory": "one"}', '{"memory": -1}', "[]"])
def test_a_stamp_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "format.json").write_text(text)
    with pytest.raises(Corrupt):
        Memory.open(tmp_path)


def test_a_damaged_manifest_row_is_not_believed(memory: Memory, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "memory" / FILE)) as db, db:
        db.execute("UPDATE manifest SET raw_version = raw_version - 1 WHERE id = 4")
    with pytest.raises(Corrupt, match="manifest row 4"):
        Memory.open(tmp_path / "memory")


def test_a_manifest_file_that_is_none_is_refused(memory: Memory, tmp_path: Path) -> None:
    for path in (tmp_path / "memory").glob("manifest.db*"):
        path.write_bytes(b"no database at all" * 100)
    with pytest.raises(Corrupt, match="restore the latest backup"):
        Memory.open(tmp_path / "memory")
