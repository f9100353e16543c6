"""The disk buffer: what was not acknowledged survives, in order, and nothing else comes back."""

import errno
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.buffer import DiskBuffer, DiskBufferFull
from connectors.coverage import CoverageRow, coverage_batch, is_coverage
from models.errors import Corrupt, Refused, Unavailable
from twin.delivery import BatchId
from twin.samples import sample_batch


def rows(first: int, n: int = 3) -> pa.RecordBatch:
    return sample_batch(
        tag=np.arange(n), at_us=first, value=np.arange(first, first + n), seen_us=first
    )


def filled(folder, count: int, session: int = 1, **more) -> DiskBuffer:
    buffer = DiskBuffer(folder, **more)
    buffer.open()
    for seq in range(1, count + 1):
        buffer.append(session, seq, rows(seq))
    return buffer


def test_batches_come_back_as_they_were_after_a_restart(tmp_path):
    buffer = filled(tmp_path, 5)
    covered = coverage_batch([CoverageRow(endpoint="e", from_us=1, to_us=2, alive=True)])
    buffer.append(1, 6, covered)
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == tuple(BatchId(1, seq) for seq in range(1, 7))
    assert again.read(BatchId(1, 3)).equals(rows(3))
    assert is_coverage(again.read(BatchId(1, 6)))
    assert again.last_session == 1
    again.close()


def test_what_was_acknowledged_does_not_come_back(tmp_path):
    buffer = filled(tmp_path, 5)
    buffer.acked(BatchId(1, 3))
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == (BatchId(1, 4), BatchId(1, 5))
    again.close()


def test_acknowledged_segments_leave_the_disk(tmp_path):
    buffer = filled(tmp_path, 50, segment_bytes=4096)
    before = len(list(tmp_path.glob("*.seg")))
    assert before > 5
    buffer.acked(BatchId(1, 50))
    assert len(list(tmp_path.glob("*.seg"))) <= 1
    assert buffer.used_bytes < 8192
    buffer.append(1, 51, rows(51))
    assert buffer.read(BatchId(1, 51)).equals(rows(51))
    buffer.close()


def test_a_full_buffer_takes_nothing_in_and_keeps_what_it_has(tmp_path):
    buffer = DiskBuffer(tmp_path, max_bytes=10_000, segment_bytes=2000)
    buffer.open()
    seq = 1
    while buffer.used_bytes < 9_000:
        buffer.append(1, seq, rows(seq))
        seq += 1
    with pytest.raises(DiskBufferFull, match="bring the cluster back"):
        buffer.append(1, seq, rows(0, 5000))
    assert buffer.unacked == tuple(BatchId(1, s) for s in range(1, seq))
    buffer.acked(BatchId(1, seq - 1))
    buffer.append(1, seq, rows(seq))
    buffer.close()


def test_a_second_process_is_refused(tmp_path):
    buffer = filled(tmp_path, 1)
    with pytest.raises(Refused, match="choose another folder"):
        DiskBuffer(tmp_path).open()
    buffer.close()


@given(cut=st.integers(1, 400))
@settings(max_examples=25, deadline=None)
def test_a_torn_tail_costs_only_the_torn_batch(tmp_path_factory, cut):
    folder = tmp_path_factory.mktemp("torn")
    buffer = filled(folder, 4)
    sizes = buffer.used_bytes
    buffer.close()
    (segment,) = folder.glob("*.seg")
    with segment.open("r+b") as file:
        file.truncate(sizes - cut)
    again = DiskBuffer(folder)
    left = again.open()
    assert left == tuple(BatchId(1, seq) for seq in range(1, len(left) + 1))
    assert len(left) == 3
    assert all(again.read(batch).equals(rows(batch.seq)) for batch in left)
    again.append(1, 4, rows(4))
    assert again.read(BatchId(1, 4)).equals(rows(4))
    again.close()


def test_a_flipped_bit_is_never_served(tmp_path):
    buffer = filled(tmp_path, 3)
    (segment,) = tmp_path.glob("*.seg")
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        file.seek(size // 2)
        byte = file.read(1)
        file.seek(size // 2)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(Corrupt, match="batch 2"):
        buffer.read(BatchId(1, 2))
    buffer.close()


@given(flip=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_costs_only_its_own_batch_at_the_next_start(tmp_path_factory, flip, bit):
    folder = tmp_path_factory.mktemp("flipped")
    filled(folder, 6).close()
    (segment,) = folder.glob("*.seg")
    data = bytearray(segment.read_bytes())
    hit = int(flip * len(data))
    data[hit] ^= 1 << bit
    segment.write_bytes(data)
    again = DiskBuffer(folder)
    lost = hit // (len(data) // 6) + 1
    assert again.open() == tuple(BatchId(1, seq) for seq in range(1, 7) if seq != lost)
    assert all(again.read(batch).equals(rows(batch.seq)) for batch in again.unacked)
    assert again.damaged_bytes == len(data) // 6
    assert again.renumber(2) == tuple(BatchId(2, seq) for seq in range(1, 6))
    again.close()


def test_numbering_anew_moves_nothing_and_takes_next_to_no_room(tmp_path):
    buffer = filled(tmp_path, 40, segment_bytes=10_000)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.seg")}
    used = buffer.used_bytes
    buffer.renumber(2)
    # a head of 29 bytes, a mark of 4 and one stretch of 24, twice
    assert buffer.used_bytes - used == 2 * (29 + 4 + 24)
    assert all((tmp_path / name).read_bytes().startswith(data) for name, data in before.items())
    buffer.close()


def test_a_batch_that_is_given_up_does_not_come_back(tmp_path):
    buffer = filled(tmp_path, 4)
    assert buffer.renumber(2, {BatchId(1, 2)}) == tuple(BatchId(2, seq) for seq in (1, 2, 3))
    buffer.append(2, 4, rows(5))
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == tuple(BatchId(2, seq) for seq in (1, 2, 3, 4))
    assert [again.read(b).column("value")[0].as_py() for b in again.unacked] == [1, 3, 4, 5]
    again.close()


def test_numbering_anew_survives_a_damaged_note_of_it(tmp_path):
    buffer = filled(tmp_path, 3)
    (segment,) = tmp_path.glob("*.seg")
    at = segment.stat().st_size
    buffer.renumber(2)
    buffer.acked(BatchId(2, 1))
    buffer.close()
    data = bytearray(segment.read_bytes())
    data[at + 40] ^= 1
    segment.write_bytes(data)
    again = DiskBuffer(tmp_path)
    assert again.open() == (BatchId(2, 2), BatchId(2, 3))
    again.close()


class Disk:
    """A disk that refuses to make anything durable while it is broken."""

    def __init__(self, monkeypatch) -> None:
        self.broken, self.synced, self._sync = False, 0, os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self)

    def __call__(self, fd: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        self._sync(fd)
        self.synced += 1


def test_a_disk_that_refuses_leaves_every_batch_its_number(tmp_path, monkeypatch):
    disk, buffer = Disk(monkeypatch), filled(tmp_path, 3)
    disk.broken = True
    with pytest.raises(Unavailable, match="Input/output"):
        buffer.renumber(2)
    assert buffer.unacked == tuple(BatchId(1, seq) for seq in (1, 2, 3))
    disk.broken = False
    buffer.append(1, 4, rows(4))
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == tuple(BatchId(1, seq) for seq in (1, 2, 3, 4))
    again.close()


@pytest.mark.parametrize("more", [{"segment_bytes": 100, "sync": "always"}, {"sync": "always"}])
def test_what_the_disk_refuses_is_not_stored_and_can_be_tried_again(tmp_path, monkeypatch, more):
    disk, buffer = Disk(monkeypatch), filled(tmp_path, 2, **more)
    disk.broken = True
    with pytest.raises(Unavailable, match="Input/output"):
        buffer.append(1, 3, rows(3))
    assert len(buffer) == 2
    disk.broken = False
    buffer.append(1, 3, rows(3))
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == tuple(BatchId(1, seq) for seq in (1, 2, 3))
    assert all(again.read(batch).equals(rows(batch.seq)) for batch in again.unacked)
    again.close()


def test_what_could_not_be_made_durable_is_due_again_at_once(tmp_path, monkeypatch):
    disk, buffer = Disk(monkeypatch), filled(tmp_path, 1)
    disk.broken = True
    work = buffer.sync_due()
    with pytest.raises(OSError, match="Input/output"):
        work()
    disk.broken = False
    again = buffer.sync_due()
    assert again is not None
    again()
    assert buffer.sync_due() is None
    buffer.close()


@given(
    steps=st.lists(
        st.one_of(st.sampled_from(["append", "restart", "anew"]), st.integers(1, 5)), max_size=40
    ),
    give_up=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_numbering_anew_at_any_time_keeps_what_is_left_in_order(tmp_path_factory, steps, give_up):
    folder = tmp_path_factory.mktemp("anew")
    buffer = DiskBuffer(folder, segment_bytes=3000)
    buffer.open()
    model: list[tuple[BatchId, int]] = []
    session, seq, value = 1, 0, 0
    for step in steps:
        if step == "append":
            seq, value = seq + 1, value + 1
            buffer.append(session, seq, rows(value))
            model.append((BatchId(session, seq), value))
        elif step == "restart":
            buffer.close()
            buffer = DiskBuffer(folder, segment_bytes=3000)
            buffer.open()
        elif step == "anew":
            gone = {number for number, _ in model[give_up : give_up + 1]}
            kept = [held for number, held in model if number not in gone]
            session, seq = session + 1, len(kept)
            buffer.renumber(session, gone)
            model = [(BatchId(session, n), held) for n, held in enumerate(kept, start=1)]
        elif model:
            upto = model[min(step, len(model)) - 1][0]
            buffer.acked(upto)
            model = [(number, held) for number, held in model if number > upto]
        assert buffer.unacked == tuple(number for number, _ in model)
        assert all(buffer.read(number).equals(rows(held)) for number, held in model)
    assert buffer.last_session <= session
    buffer.close()


def test_what_is_left_can_be_numbered_anew_in_the_same_order(tmp_path):
    buffer = filled(tmp_path, 6, segment_bytes=2000)
    buffer.acked(BatchId(1, 2))
    assert buffer.renumber(7) == tuple(BatchId(7, seq) for seq in range(1, 5))
    buffer.close()
    again = DiskBuffer(tmp_path)
    assert again.open() == tuple(BatchId(7, seq) for seq in range(1, 5))
    assert [again.read(b).column("value")[0].as_py() for b in again.unacked] == [3, 4, 5, 6]
    again.close()


@given(
    steps=st.lists(st.one_of(st.just("append"), st.just("restart"), st.integers(1, 5)), max_size=40)
)
@settings(max_examples=40, deadline=None)
def test_the_buffer_is_a_queue_that_restarts_do_not_disturb(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("queue")
    buffer = DiskBuffer(folder, segment_bytes=3000)
    buffer.open()
    model: list[int] = []
    seq = 0
    for step in steps:
        if step == "append":
            seq += 1
            buffer.append(1, seq, rows(seq))
            model.append(seq)
        elif step == "restart":
            buffer.close()
            buffer = DiskBuffer(folder, segment_bytes=3000)
            buffer.open()
        elif model:
            upto = model[min(step, len(model)) - 1]
            buffer.acked(BatchId(1, upto))
            model = [s for s in model if s > upto]
        assert [b.seq for b in buffer.unacked] == model
        assert all(buffer.read(b).equals(rows(b.seq)) for b in buffer.unacked)
    buffer.close()


def test_a_full_segment_is_made_durable_with_the_next_sync_and_nobody_waits_for_it(
    tmp_path, monkeypatch
):
    disk, buffer = Disk(monkeypatch), filled(tmp_path, 3, segment_bytes=100, sync_every_s=0.0)
    disk.broken = True
    buffer.append(1, 4, rows(4))
    work = buffer.sync_due()
    with pytest.raises(OSError, match="Input/output"):
        work()
    disk.broken, disk.synced = False, 0
    again = buffer.sync_due()
    again()
    assert disk.synced == 4
    assert buffer.sync_due() is None
    buffer.close()


def test_syncing_happens_at_the_asked_time(tmp_path):
    now = [100.0]
    buffer = DiskBuffer(tmp_path, sync="interval", sync_every_s=1.0, clock=lambda: now[0])
    buffer.open()
    assert buffer.sync_due() is None
    buffer.append(1, 1, rows(1))
    work = buffer.sync_due()
    assert work is not None
    work()
    buffer.append(1, 2, rows(2))
    assert buffer.sync_due() is None
    now[0] += 1.0
    later = buffer.sync_due()
    assert later is not None
    later()
    buffer.close()
