"""Sealing that fails: it is told, tried again when it is due, and never ends unseen."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from cluster.park_host import HostSettings, ParkHost, Sealer
from models.errors import Unavailable


class Panic(BaseException):
    """What a library in Rust raises when it panics: no Exception."""


class Shard:
    """Always has more rows than one wants to keep unsealed."""

    tail_rows, now_us = 10, 0

    def __init__(self) -> None:
        self.seals = self.forgotten = 0

    def sealing(self):
        self.seals += 1
        return SimpleNamespace(rows=None, coverage=None, kinds=None, upto_offset=0)

    def sealed(self) -> None:
        self.forgotten += 1


class Memory:
    """Fails as it was told, then does what it should."""

    def __init__(self, *faults: BaseException) -> None:
        self._faults = list(faults)

    def seal(self, *_: object) -> None:
        if self._faults:
            raise self._faults.pop(0)


def sealer(*faults: BaseException) -> Sealer:
    settings = HostSettings(park="p", file="p.yaml", data="", seal_rows=5)
    return Sealer(Shard(), Memory(*faults), settings)


@pytest.mark.parametrize(
    "fault", [pa.ArrowInvalid("bad"), MemoryError(), Panic("called unwrap"), OSError("full")]
)
def test_whatever_a_seal_raises_is_told_until_one_succeeds(fault):
    found = sealer(fault)
    found.run_once()
    assert found.fault.startswith(type(fault).__name__)
    assert (found.faults, found._shard.forgotten) == (1, 0)
    found.run_once()
    assert (found.fault, found.faults, found._shard.forgotten) == ("", 1, 1)


def test_a_full_tail_is_not_sealed_in_vain_at_every_look():
    found = sealer(OSError("full"))
    found.look()
    found.finish()
    for _ in range(5):
        found.look()
    assert found._shard.seals == 1
    found._due_s = 0.0
    found.look()
    found.finish()
    assert (found._shard.seals, found.fault) == (2, "")


def test_a_backup_is_refused_when_its_newest_rows_cannot_be_sealed():
    host = SimpleNamespace(_sealer=sealer(OSError("No space left")))
    with pytest.raises(Unavailable, match="No space left"):
        ParkHost.seal(host)
    ParkHost.seal(host)
