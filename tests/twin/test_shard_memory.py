"""A shard with its real memory on the real disk: sealed files and tail make one whole."""

from pathlib import Path

import pytest

from twin.disk import OsDisk
from twin.memory.snapshots import Snapshot
from twin.memory.store import Memory
from twin.samples import sample_batch
from twin.shard import Shard, ShardSettings
from twin.tags import Binding

S = 1_000_000
NOW = 1_700_000_000 * S


def test_every_row_is_read_exactly_once_before_while_and_after_sealing(tmp_path: Path):
    memory = Memory.open(tmp_path / "memory")
    settings = ShardSettings(segment_bytes=20_000, snapshot_every_s=30)

    def opened() -> Shard:
        return Shard.open(
            tmp_path / "shard", "vsip1", now_us=NOW, disk=OsDisk(), memory=memory, settings=settings
        )

    def values(shard: Shard) -> list[float]:
        table = memory.read_raw(shard.cut(), [1], NOW, NOW + 1000 * S)
        return [float(v) for v in table.column("value").to_pylist()]

    shard = opened()
    shard.apply_park([Binding(path="p/power")], "kind: Park", NOW)
    for seq in range(1, 61):
        at = NOW + seq * S
        shard.deliver("gw", 1, seq, sample_batch(tag=1, at_us=at, value=seq, seen_us=at), at)
        if seq % 20 == 0:
            due = shard.sealing()
            memory.seal(due.rows, due.coverage, due.kinds, due.upto_offset, at)
            assert values(shard) == list(range(1, seq + 1))
            shard.sealed()
        if seq == 30:
            digest = shard.digest()
            shard.close()
            shard = opened()
            assert shard.digest() == digest
        if seq % 15 == 0:
            assert values(shard) == list(range(1, seq + 1))
    # sent again by a source that lost its note: sealed already, so the memory's to drop
    shard.deliver("other", 1, 1, sample_batch(tag=1, at_us=NOW + S, value=1, seen_us=NOW), NOW)
    shard.seal(NOW + 61 * S)
    assert values(shard) == list(range(1, 61))
    shard.close()


class Clockwork:
    """Logic that counts ticks and remembers what it last saw."""

    name = "clockwork"

    def __init__(self) -> None:
        self.ticks, self.taken = 0, 0

    def check(self, park_text) -> None:
        pass

    def learn(self, dictionary, park_text) -> None:
        pass

    def tick(self, state, now_us):
        self.ticks, self.taken = self.ticks + 1, self.taken + 1
        return ()

    def happened(self, rows, now_us):
        return ()

    def command(self, data, now_us):
        return ()

    def snapshot(self):
        return {"ticks": self.ticks}

    def restore(self, data) -> None:
        self.ticks = int(data.get("ticks", 0))


@pytest.mark.parametrize(
    ("checkpoint_at", "sealed_at"), [(10, None), (25, None), (10, 20), (25, 20), (40, 20)]
)
def test_a_checkpoint_spares_replaying_and_changes_nothing(tmp_path, checkpoint_at, sealed_at):
    memory = Memory.open(tmp_path / "memory")
    settings = ShardSettings(segment_bytes=5_000, snapshot_every_s=5)

    def opened(checkpoint: Snapshot | None = None) -> tuple[Shard, Clockwork]:
        logic = Clockwork()
        shard = Shard.open(
            tmp_path / "shard",
            "vsip1",
            now_us=NOW,
            disk=OsDisk(),
            memory=memory,
            logic=[logic],
            settings=settings,
            checkpoint=checkpoint,
        )
        return shard, logic

    shard, _ = opened()
    shard.apply_park([Binding(path="p/power")], "kind: Park", NOW)
    checkpoint = None
    for seq in range(1, 41):
        at = NOW + seq * S
        shard.deliver("gw", 1, seq, sample_batch(tag=1, at_us=at, value=seq, seen_us=at), at)
        shard.tick(at)
        if seq == sealed_at:
            shard.seal(at)
        if seq == checkpoint_at:
            checkpoint = Snapshot(at_us=shard.now_us, offset=shard.offset, data=shard.snapshot())
    digest, offset = shard.digest(), shard.offset
    shard.close()
    spared = max(checkpoint_at, sealed_at or 0)
    for _ in range(2):
        shard, logic = opened(checkpoint)
        assert (shard.digest(), shard.offset, logic.ticks) == (digest, offset, 40)
        assert logic.taken == 40 - spared
        rows = memory.read_raw(shard.cut(), [1], NOW, NOW + 1000 * S)
        assert rows.column("value").to_pylist() == list(range(1, 41))
        shard.close()
    for passed_over in (None, Snapshot(at_us=NOW, offset=offset + 1, data=b"ahead")):
        shard, logic = opened(passed_over)
        assert (shard.digest(), logic.taken) == (digest, 40 - (sealed_at or 0))
        shard.close()
    shard, _ = opened(checkpoint)
    again = shard.deliver("gw", 1, 40, sample_batch(tag=1, at_us=NOW, value=0, seen_us=NOW), NOW)
    assert again.acked_seq == 40
    shard.seal(NOW + 41 * S)
    rows = memory.read_raw(shard.cut(), [1], NOW, NOW + 1000 * S)
    assert rows.column("value").to_pylist() == list(range(1, 41))
    shard.close()
