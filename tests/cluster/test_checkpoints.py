import pytest

from cluster.checkpoints import Checkpoints
from twin.disk import OsDisk
from twin.shard import Shard
from twin.tags import Binding

S = 1_000_000
NOW = 1_700_000_000 * S


@pytest.fixture
def shard(tmp_path):
    opened = Shard.open(tmp_path, "p", now_us=NOW, disk=OsDisk())
    opened.apply_park([Binding(path="p/power")], "kind: Park", NOW)
    yield opened
    opened.close()


def test_only_the_newest_checkpoint_is_kept(tmp_path, shard):
    kept = Checkpoints(tmp_path, every_s=0.0)
    assert kept.newest() is None
    for second in range(1, 4):
        shard.tick(NOW + second * S)
        kept.look(shard)
    newest = kept.newest()
    assert (newest.at_us, newest.offset) == (NOW + 3 * S, shard.offset)
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_none_is_kept_before_its_time(tmp_path, shard):
    kept = Checkpoints(tmp_path, every_s=3600.0)
    kept.look(shard)
    assert kept.newest() is None


def test_a_damaged_checkpoint_is_passed_over(tmp_path, shard):
    kept = Checkpoints(tmp_path)
    kept.keep(shard)
    (file,) = (tmp_path / "snapshots").iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert kept.newest() is None
