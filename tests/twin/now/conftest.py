"""A small park with a state that can be told what its instruments read."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from twin.effects import Effect
from twin.park import Park
from twin.park_logic import ParkLogic
from twin.parkfile.load import load_park
from twin.samples import COVERAGE, TIME, sample_batch, to_us
from twin.state import ShardState
from twin.tags import TagDictionary

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
SECOND = 1_000_000


def local(hour: int, minute: int = 0, day: int = 23) -> int:
    """A local time of November 2026 (the 23rd is a Monday) in microseconds."""
    return to_us(datetime(2026, 11, day, hour, minute, tzinfo=ZONE))


class Bench:
    """A park, its state and its logic, driven by hand."""

    def __init__(self, park: Park, now_us: int) -> None:
        self.park, self.now_us = park, now_us
        self.dictionary = TagDictionary()
        rows, _ = self.dictionary.plan(park.bindings, 0)
        self.dictionary.add_rows(rows)
        self.state = ShardState(rows)
        self.logic = ParkLogic(park, 2026)
        self.logic.learn(self.dictionary, park.text)

    def say(self, values: Mapping[str, float], status: int = 0) -> None:
        """Readings at the present time; paths below the park."""
        tags = [self.dictionary.of_path(f"{self.park.id}/{path}").tag for path in values]
        now = np.full(len(tags), self.now_us)
        batch = sample_batch(
            tag=tags, at_us=now, seen_us=now, value=list(values.values()), status=status
        )
        self.state.fold(batch)

    def hear(self, endpoint: str, *, alive: bool, seconds: float = 1.0, cause: str = "") -> None:
        """A coverage row that ends now."""
        begin = self.now_us - round(seconds * SECOND)
        times = [pa.array([t]).cast(TIME) for t in (begin, self.now_us)]
        columns = [
            pa.array([endpoint]),
            *times,
            pa.array([alive]),
            pa.array([cause]),
            pa.array([0]),
        ]
        self.state.cover(pa.record_batch(columns, schema=COVERAGE))

    def tick(self, seconds: float = 0.0) -> list[Effect]:
        """Let time pass, then tick once."""
        self.now_us += round(seconds * SECOND)
        return list(self.logic.tick(self.state, self.now_us))

    def figure(self, id_: str) -> float:
        """Value of a figure at the newest tick."""
        return float(self.logic.now.value[self.logic.book.layout.position[id_]])

    def quality(self, id_: str) -> int:
        """Its quality."""
        return int(self.logic.now.quality[self.logic.book.layout.position[id_]])

    def measured(self, id_: str) -> float:
        """Its measured share."""
        return float(self.logic.now.measured[self.logic.book.layout.position[id_]])


@pytest.fixture(scope="session")
def small_park() -> Park:
    return load_park(Path(__file__).parent / "park.yaml")


@pytest.fixture
def bench(small_park: Park) -> Bench:
    return Bench(small_park, local(0))


@pytest.fixture
def at(small_park: Park):
    """A bench that begins at a local hour of Monday 23 November 2026."""
    return lambda hour, minute=0, day=23: Bench(small_park, local(hour, minute, day))


@pytest.fixture(scope="session")
def new_bench(small_park: Park):
    """Makes benches, also for tests that need many."""
    return lambda: Bench(small_park, local(9))
