"""The journal keeps every acknowledged record, and never serves a damaged one."""

import contextlib
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import Corrupt, DiskLow, NewerFormat, Unavailable
from twin.disk import Disk, OsDisk
from twin.journal import _HEADER, _HEADER_HEAD, MAGIC, Journal, frame_head
from twin.sim_disk import Fault, SimDisk, SimulatedCrash

FOLDER = Path("/park/journal")


def opened(disk: Disk, folder: Path = FOLDER, segment_bytes: int = 1 << 20) -> Journal:
    return Journal.open(folder, disk, segment_bytes=segment_bytes)


def content(journal: Journal, after: int = 0) -> list[tuple[int, int, bytes]]:
    return [(r.offset, r.kind, bytes(r.payload)) for r in journal.read(after)]


def payload(number: int) -> bytes:
    return f"record {number} ".encode() * (number % 5 + 1)


def test_offsets_count_from_one_and_a_group_gets_consecutive_ones():
    journal = opened(SimDisk())
    assert journal.append([(1, b"a"), (2, b"b")]) == 2
    assert journal.append([(1, b"")]) == 3
    assert content(journal) == [(1, 1, b"a"), (2, 2, b"b"), (3, 1, b"")]
    assert content(journal, after=2) == [(3, 1, b"")]


def test_an_empty_group_changes_nothing():
    disk = SimDisk()
    journal = opened(disk)
    calls = disk.calls
    assert journal.append([]) == 0
    assert disk.calls == calls


def test_a_group_of_many_records_costs_one_sync():
    disk = SimDisk()
    journal = opened(disk)
    disk.log.clear()
    journal.append([(1, payload(i)) for i in range(2000)])
    assert disk.log.count("fdatasync") == 1


def test_a_reopened_journal_goes_on_where_it_stopped(tmp_path: Path):
    disk = OsDisk()
    journal = opened(disk, tmp_path / "a" / "b")
    journal.append([(1, payload(i)) for i in range(2000)])
    journal.close()
    again = opened(disk, tmp_path / "a" / "b")
    assert again.append([(7, b"next")]) == 2001
    assert content(again)[-1] == (2001, 7, b"next")
    assert [p for _, _, p in content(again)][:2000] == [payload(i) for i in range(2000)]
    again.close()


def test_a_closed_journal_refuses_to_append():
    journal = opened(SimDisk())
    journal.close()
    with pytest.raises(Unavailable, match="closed"):
        journal.append([(1, b"x")])


def test_segments_roll_over_by_size_and_trim_removes_only_whole_ones():
    disk = SimDisk()
    journal = opened(disk, segment_bytes=200)
    for _ in range(30):
        journal.append([(1, b"x" * 50)])
    firsts = [int(name.split(".")[0]) for name in disk.listing(FOLDER)]
    # a frame is 21 + 50 bytes and its mark 21: two groups fill 24 + 184 >= 200
    assert firsts == list(range(1, 31, 2))
    journal.trim(6)
    assert journal.first_offset == 7
    journal.trim(7)
    assert journal.first_offset == 7
    assert [r.offset for r in journal.read(6)] == list(range(7, 31))
    journal.trim(10_000)
    assert journal.first_offset == 29
    journal.close()
    assert opened(disk, segment_bytes=200).append([(1, b"y")]) == 31


def test_reading_from_before_the_trimmed_part_is_an_error_not_a_hole():
    journal = opened(SimDisk(), segment_bytes=100)
    for _ in range(10):
        journal.append([(1, b"x" * 50)])
    journal.trim(5)
    with pytest.raises(Corrupt, match="begins at offset"):
        list(journal.read(0))


def test_a_missing_segment_is_corrupt():
    disk = SimDisk()
    journal = opened(disk, segment_bytes=100)
    for _ in range(10):
        journal.append([(1, b"x" * 50)])
    disk.remove(FOLDER / disk.listing(FOLDER)[3])
    with pytest.raises(Corrupt):
        content(opened(disk, segment_bytes=100))


def test_a_newer_format_is_refused_by_name():
    disk = SimDisk()
    journal = opened(disk)
    journal.append([(1, b"x")])
    journal.close()
    head = _HEADER_HEAD.pack(MAGIC, 2, 1)
    file = disk.create(FOLDER / f"{1:020d}.wal")
    file.writev([head, zlib.crc32(head).to_bytes(4, "little")])
    with pytest.raises(NewerFormat) as refused:
        opened(disk)
    assert (refused.value.found, refused.value.known) == (2, 1)


def test_every_flipped_bit_is_detected_and_never_served():
    disk = SimDisk()
    journal = opened(disk)
    journal.append([(1, payload(1)), (2, payload(2))])
    journal.append([(3, payload(3))])
    path = FOLDER / disk.listing(FOLDER)[0]
    whole = content(journal)
    journal.close()
    size = disk.size(path)
    last_mark = size - len(frame_head(0, 3, b""))
    silent = 0
    for byte in range(size):
        for bit in range(8):
            disk.flip(path, byte, bit)
            before = disk.read(path)
            try:
                served = content(opened(disk))
            except (Corrupt, NewerFormat):
                pass
            else:
                # only the line nobody waited for may be lost, and it holds no record
                assert byte >= last_mark
                assert served == whole
                silent += 1
                file = disk.create(path)
                file.writev([before])
            disk.flip(path, byte, bit)
    assert silent == 8 * (size - last_mark)


def test_a_flip_after_opening_is_found_when_reading():
    disk = SimDisk()
    journal = opened(disk)
    journal.append([(1, payload(1))])
    disk.flip(FOLDER / disk.listing(FOLDER)[0], _HEADER.size + 25, 3)
    with pytest.raises(Corrupt):
        content(journal)


@given(cut=st.integers(1, 10_000), zeros=st.integers(0, 64))
def test_a_torn_tail_is_cut_off_and_the_rest_kept(cut: int, zeros: int):
    disk = SimDisk()
    journal = opened(disk)
    journal.append([(1, payload(1))])
    path = FOLDER / disk.listing(FOLDER)[0]
    whole = disk.read(path)
    torn = (frame_head(2, 2, payload(4)) + payload(4))[:-1]
    file = disk.create(path)
    file.writev([whole, torn[: cut % len(torn)], bytes(zeros)])
    again = opened(disk)
    assert content(again) == [(1, 1, payload(1))]
    assert disk.read(path) == whole
    assert again.append([(5, b"on")]) == 2


def test_a_full_disk_is_said_and_the_journal_goes_on_when_there_is_room():
    disk = SimDisk()
    journal = opened(disk)
    journal.append([(1, b"kept")])
    disk.faults[disk.calls + 1] = Fault.NO_SPACE
    with pytest.raises(DiskLow):
        journal.append([(1, b"refused" * 100)])
    assert content(journal) == [(1, 1, b"kept")]
    assert journal.append([(1, b"later")]) == 2
    assert content(opened(disk)) == [(1, 1, b"kept"), (2, 1, b"later")]


def test_after_a_failed_sync_nothing_of_the_page_cache_is_trusted():
    disk = SimDisk(seed=3)
    journal = opened(disk)
    journal.append([(1, b"kept")])
    disk.faults[disk.calls + 2] = Fault.BROKEN
    with pytest.raises(Unavailable, match="cannot be written"):
        journal.append([(1, b"refused")])
    journal.append([(1, b"later")])
    assert len(disk.listing(FOLDER)) == 2
    disk.power_lost()
    assert content(opened(disk)) == [(1, 1, b"kept"), (2, 1, b"later")]


def test_a_record_found_after_a_crash_is_made_durable_before_it_counts():
    # The sync failed and the process died before it could mend: the bytes are readable, clean,
    # and not stored. Whoever reopens must store them again, or a power cut takes them.
    for seed in range(20):
        disk = SimDisk(seed)
        journal = opened(disk)
        journal.append([(1, b"kept")])
        disk.faults[disk.calls + 2] = Fault.BROKEN
        with pytest.raises(Unavailable):
            journal.append([(1, b"found later")])
        disk.process_died()
        found = content(opened(disk))
        disk.power_lost()
        assert content(opened(disk)) == found


def test_a_flip_after_a_power_cut_and_a_reopening_is_detected_too():
    for seed in range(10):
        disk = SimDisk(seed)
        opened(disk).append([(1, b"acknowledged")])
        disk.power_lost()  # with it may go the mark that nobody waited for
        opened(disk).close()
        disk.flip(FOLDER / disk.listing(FOLDER)[0], _HEADER.size + 25, 3)
        with pytest.raises(Corrupt):
            opened(disk)


def scripted(disk: SimDisk, acked: list[bytes]) -> None:
    """Append, roll, trim; `acked` holds what was acknowledged."""
    journal = opened(disk, segment_bytes=300)
    done = journal.last_offset
    for i in range(done + 1, done + 25):
        with contextlib.suppress(DiskLow, Unavailable):
            journal.append([(1, payload(i)), (2, payload(i + 1))])
            acked += [payload(i), payload(i + 1)]
    journal.close()


def disk_calls() -> int:
    disk = SimDisk()
    scripted(disk, [])
    return disk.calls


@pytest.mark.parametrize("fault", list(Fault))
def test_no_acked_record_is_lost_whatever_happens_at_whichever_disk_call(fault: Fault):
    for call in range(1, disk_calls() + 1):
        for seed in range(3):
            disk = SimDisk(seed * 1000 + call, {call: fault})
            acked: list[bytes] = []
            with contextlib.suppress(SimulatedCrash, DiskLow, Unavailable):
                scripted(disk, acked)
            disk.power_lost()
            found = [p for _, _, p in content(opened(disk, segment_bytes=300))]
            assert found[: len(acked)] == acked
            assert len(found) - len(acked) <= 2
            disk.power_lost()
            again = [p for _, _, p in content(opened(disk, segment_bytes=300))]
            assert again == found


@given(
    seed=st.integers(0, 2**32 - 1),
    faults=st.dictionaries(st.integers(1, 120), st.sampled_from(list(Fault)), max_size=6),
    power=st.booleans(),
)
@settings(max_examples=150)
def test_no_acked_record_is_lost_through_several_faults(seed, faults, power):
    disk = SimDisk(seed, faults)
    acked: list[bytes] = []
    for _ in range(3):
        journal = None
        with contextlib.suppress(SimulatedCrash, DiskLow, Unavailable):
            journal = opened(disk, segment_bytes=300)
            kept = [p for _, _, p in content(journal)]
            assert [p for p in kept if p in acked] == acked
            for i in range(10):
                text = b"%d.%d" % (disk.calls, i)
                with contextlib.suppress(DiskLow, Unavailable):
                    journal.append([(1, text)])
                    acked.append(text)
        if power:
            disk.power_lost()
        else:
            disk.process_died()
    disk.faults.clear()
    kept = [p for _, _, p in content(opened(disk, segment_bytes=300))]
    assert [p for p in kept if p in acked] == acked
