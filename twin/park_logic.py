"""The logic of a park inside its shard: marks, figures and alarms, one tick at a time.

It sees the state, the tag dictionary and park time only, so a replay of the journal gives the same
figures, the same alarms and the same effects.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from twin.alarm_desk import AlarmDesk
from twin.effects import Effect
from twin.figures import FigureSpec, Now
from twin.marks import Marks
from twin.now import FigureBook
from twin.park import Park
from twin.parkfile.load import read_park
from twin.samples import from_us
from twin.state import ShardState
from twin.tags import TagDictionary
from twin.view import View


class ParkLogic:
    """Marks, figures and alarms of one park (a `twin.effects.ShardLogic`).

    Parameters
    ----------
    park
        The park; the journal's own park file takes its place as soon as it is seen.
    year
        Year whose emission factor the lineage of figures names.
    """

    name = "park"

    def __init__(self, park: Park, year: int) -> None:
        self._year = year
        self._dictionary = TagDictionary()
        self._marks = Marks()
        self._book = FigureBook(park, year)
        self._desk = AlarmDesk(park, self._book.layout)
        self._now: Now | None = None

    @property
    def park(self) -> Park:
        """The park as it is journalled."""
        return self._book.park

    @property
    def book(self) -> FigureBook:
        """The figures."""
        return self._book

    @property
    def desk(self) -> AlarmDesk:
        """The alarms."""
        return self._desk

    @property
    def marks(self) -> Marks:
        """The marks."""
        return self._marks

    @property
    def specs(self) -> tuple[FigureSpec, ...]:
        """The figures in the order of `now`."""
        return self._book.specs

    @property
    def now(self) -> Now | None:
        """Figures of the newest tick; None before the first."""
        return self._now

    def learn(self, dictionary: TagDictionary, park_text: str) -> None:
        """See the tags and the park file."""
        self._dictionary = dictionary
        if park_text and park_text != self._book.park.text:
            self._book = FigureBook(read_park(park_text), self._year)
        self._book.learn(dictionary)
        self._desk.learn(self._book.park, self._book.layout, dictionary)

    def tick(self, state: ShardState, now_us: int) -> Sequence[Effect]:
        """Set marks, compute the figures, and look at the rules."""
        mark = self._book.advance(state, state.totals(now_us), self._marks, now_us)
        now = self._book.compute(state, self._marks, mark, now_us)
        effects = self._desk.tick(View(self._book.atlas(state), state), now)
        self._now = self._with_alarms(now)
        return effects

    def command(self, data: Mapping[str, object], now_us: int) -> Sequence[Effect]:
        """Act on an alarm command (`AlarmDesk.command`); others are ignored."""
        return self._desk.command(data, now_us)

    def snapshot(self) -> Mapping[str, object]:
        """Marks and alarms as plain data."""
        return {"marks": self._marks.as_dict(), "alarms": self._desk.snapshot()}

    def restore(self, data: Mapping[str, object]) -> None:
        """Inverse of `snapshot`."""
        kept = cast("Mapping[str, Any]", data)
        self._marks = Marks.from_dict(kept.get("marks", {}))
        self._desk.restore(kept.get("alarms", {}))

    def _with_alarms(self, now: Now) -> Now:
        """Write the worst alarm of each site into the figures."""
        block = self._book.layout.blocks["site"]
        start = block.start + block.names.index("alarm")
        at = slice(start, block.end, len(block.names))
        now.value[at] = np.array([self._desk.worst(site) for site in block.assets], np.float64)
        now.quality[at], now.measured[at] = 0, 1.0
        return now


def year_of(now_us: int) -> int:
    """Year of a park time, for `ParkLogic`."""
    return from_us(now_us).year
