"""A shard with its real memory on the real disk: sealed files and tail make one whole."""

from pathlib import Path

from twin.disk import OsDisk
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
