"""The logic of a park inside its shard: marks, figures and alarms, one tick at a time.

It sees the state, the tag dictionary and park time only, so a replay of the journal gives the same
figures, the same alarms and the same effects.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from models.errors import InputError
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
        self._checked: Park | None = None
        self._unread = ""
        self._fault: InputError | None = None
        self._untold = False

    @property
    def unread(self) -> InputError | None:
        """Why the park file's text as journalled last cannot be read; None when it is in use."""
        return self._fault

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

    def check(self, park_text: str) -> None:
        """Refuse a park file that cannot be read.

        Raises
        ------
        InvalidInput
            With every fault of the text at once.
        """
        if park_text and park_text != self._book.park.text:
            self._checked = read_park(park_text)

    def learn(self, dictionary: TagDictionary, park_text: str) -> None:
        """See the tags and the park file; one that cannot be read leaves the park as it was."""
        self._dictionary = dictionary
        if park_text and park_text != self._unread:
            self._learn_park(park_text)
        self._book.learn(dictionary)
        self._desk.learn(self._book.park, self._book.layout, dictionary)

    def tick(self, state: ShardState, now_us: int) -> Sequence[Effect]:
        """Set marks, compute the figures, and look at the rules."""
        mark = self._book.advance(state, state.totals(now_us), self._marks, now_us)
        now = self._book.compute(state, self._marks, mark, now_us)
        effects = self._desk.tick(View(self._book.atlas(state), state), now)
        self._now = self._with_alarms(now)
        return [*effects, *self._unread_park(now_us)]

    def happened(self, rows: pa.RecordBatch, now_us: int) -> Sequence[Effect]:
        """Let the alarms see what servers said of their conditions."""
        return self._desk.happened(rows, now_us)

    def command(self, data: Mapping[str, object], now_us: int) -> Sequence[Effect]:
        """Act on an alarm command (`AlarmDesk.command`), or take what is said of certificates."""
        told = data.get("certificates")
        if isinstance(told, Mapping):
            self._marks.connections.tell(told)
        return self._desk.command(data, now_us)

    def snapshot(self) -> Mapping[str, object]:
        """Marks, alarms and the typical sky as plain data."""
        return {
            "marks": self._marks.as_dict(),
            "alarms": self._desk.snapshot(),
            "sky": self._book.estimates.snapshot(),
        }

    def restore(self, data: Mapping[str, object]) -> None:
        """Inverse of `snapshot`."""
        kept = cast("Mapping[str, Any]", data)
        self._marks = Marks.from_dict(kept.get("marks", {}))
        self._desk.restore(kept.get("alarms", {}))
        # Of another park file, it goes with the figures made anew when that file is seen (`learn`).
        self._book.estimates.restore(kept.get("sky", {}))

    def _learn_park(self, text: str) -> None:
        self._unread, self._fault, self._untold = "", None, False
        if text == self._book.park.text:
            return
        checked, self._checked = self._checked, None
        try:
            park = checked if checked is not None and checked.text == text else read_park(text)
        except InputError as fault:
            # Another version journalled it: the twin must open all the same.
            self._unread, self._fault, self._untold = text, fault, True
        else:
            self._book = FigureBook(park, self._year)

    def _unread_park(self, now_us: int) -> Sequence[Effect]:
        """Tell once that the park file is not the one in use."""
        if not self._untold or self._fault is None:
            return ()
        self._untold = False
        digest = hashlib.sha256(self._unread.encode()).hexdigest()
        return (
            Effect(
                id=f"{self.park.id}/park-file/{digest[:16]}",
                at_us=now_us,
                kind="park.unreadable",
                data={"problems": str(self._fault), "in_use": self.park.digest},
            ),
        )

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
