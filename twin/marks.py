"""Marks in time: copies of the cumulative sums, so that a window's figures are one subtraction.

A mark is set at local midnight and at each full quarter hour, at the first tick on or after it;
its own time is kept, so lengths are exact even when ticks are rare. Only the tags that figures
need are kept. Everything here is part of the snapshot of the twin.

What is told after a mark may be about the time before it: the first sample of a tag, which is
older than the tick that took it, a value a server has held for hours, the rows of a buffer. Its
seconds would count for the window after the mark, so a mark is settled at every later tick: what
a window holds beyond its own length is moved before the mark.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from twin.connections import Connections
from twin.fold import COUNTER
from twin.state import ShardState, Totals

Floats = npt.NDArray[np.float64]

QUARTER_US: Final = 15 * 60 * 1_000_000
QUARTERS_KEPT: Final = 5
CODES: Final = 4
"""State codes whose seconds are kept: those of OPC 40001-1."""
_DUST_S: Final = 1e-3
"""Less than this is the rounding of sums of seconds, not time that counts twice [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Sums of some tags up to one time.

    Parameters
    ----------
    at_us
        Park time [us].
    total
        Counter: increase; others: integral of the good value [unit·s].
    good_s, covered_s
        Seconds with a good value, and covered [s].
    code_s
        [tags, CODES], seconds per state code.
    """

    at_us: int
    total: Floats
    good_s: Floats
    covered_s: Floats
    code_s: Floats

    @classmethod
    def take(
        cls, state: ShardState, totals: Totals, slots: npt.NDArray[np.int64], now_us: int
    ) -> "Mark":
        """Copy the sums of the tags in those dense slots."""
        counter = state.kind[slots] == COUNTER
        return cls(
            at_us=now_us,
            total=np.where(counter, totals.increase[slots], totals.integral[slots]),
            good_s=totals.good_s[slots],
            covered_s=totals.covered_s[slots],
            code_s=totals.state_s[slots][:, :CODES],
        )

    def moved(self, places: npt.NDArray[np.int64], now: "Mark") -> "Mark":
        """The same mark for another list of tags: `places` holds old positions, -1 for new ones.

        What a tag held when this mark was set is not known where it was not kept then, and need not
        be 0: a tag that comes back has all its past in its sums. It counts from `now` on.
        """
        if not len(self.total):
            return replace(now, at_us=self.at_us)
        known, at = places >= 0, np.maximum(places, 0)
        return Mark(
            at_us=self.at_us,
            total=np.where(known, self.total[at], now.total),
            good_s=np.where(known, self.good_s[at], now.good_s),
            covered_s=np.where(known, self.covered_s[at], now.covered_s),
            code_s=np.where(known[:, None], self.code_s[at], now.code_s),
        )

    def settled(self, now: "Mark", counter: npt.NDArray[np.bool_]) -> "Mark":
        """The same mark, moved on where more happened up to `now` than the time since can hold.

        The time beyond it was before the mark, and so was its share of every sum; of a counter
        only whole units are taken, because a part is not made in halves. What a counter takes back
        (`counting.came_back`) was counted before the mark too: no window makes fewer than 0.

        Parameters
        ----------
        now
            The sums now.
        counter
            Which of the tags are counters.
        """
        seconds = max(now.at_us - self.at_us, 0) / 1e6
        covered, good = now.covered_s - self.covered_s, now.good_s - self.good_s
        code_s = now.code_s - self.code_s
        codes = code_s @ np.ones(CODES)  # four times as quick as a sum over short rows
        wrong = (covered > seconds + _DUST_S) | (good > covered + _DUST_S)
        wrong |= (codes > good + _DUST_S) | (good < -_DUST_S)
        for code in range(CODES):
            wrong |= code_s[:, code] < -_DUST_S
        wrong |= counter & (now.total < self.total)
        places = np.flatnonzero(wrong)
        if not len(places):
            return self
        within = _within(Window.between(self, now), places, counter[places], seconds)
        told = (now.total, now.good_s, now.covered_s, now.code_s)
        moved = [part.copy() for part in (self.total, self.good_s, self.covered_s, self.code_s)]
        for part, sums, held in zip(moved, told, within, strict=True):
            part[places] = sums[places] - held
        total, good_s, covered_s, code_s = moved
        return Mark(
            at_us=self.at_us, total=total, good_s=good_s, covered_s=covered_s, code_s=code_s
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What happened between two marks; the arrays end with one empty entry for missing tags.

    Parameters
    ----------
    since_us, until_us
        The window [us].
    total, good_s, covered_s, code_s
        Differences, as in `Mark`.
    """

    since_us: int
    until_us: int
    total: Floats
    good_s: Floats
    covered_s: Floats
    code_s: Floats

    @property
    def seconds(self) -> float:
        """Length [s]."""
        return (self.until_us - self.since_us) / 1e6

    @classmethod
    def between(cls, first: Mark, second: Mark) -> "Window":
        """The window from one mark to a later one."""
        return cls(
            since_us=first.at_us,
            until_us=second.at_us,
            total=np.append(second.total - first.total, 0.0),
            good_s=np.append(second.good_s - first.good_s, 0.0),
            covered_s=np.append(second.covered_s - first.covered_s, 0.0),
            code_s=np.vstack([second.code_s - first.code_s, np.zeros(CODES)]),
        )


def _within(
    window: Window, places: npt.NDArray[np.int64], counter: npt.NDArray[np.bool_], seconds: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Total, good, covered and code seconds of some tags, cut to what a window can hold."""
    told = window.covered_s[places]
    covered = np.clip(told, 0.0, seconds)
    share = np.divide(covered, told, out=np.ones(len(places)), where=told > seconds)
    good = np.clip(window.good_s[places] * share, 0.0, covered)
    codes = np.maximum(window.code_s[places] * share[:, None], 0.0)
    sums = codes.sum(axis=1)
    codes *= np.divide(good, sums, out=np.ones(len(places)), where=sums > good)[:, None]
    before = window.total[places] * (1.0 - share)
    total = window.total[places] - np.where(counter, np.floor(before + 1e-6), before)
    total = np.where(counter, np.maximum(total, 0.0), total)
    return total, good, covered, codes


@dataclass(slots=True)
class Today:
    """What adds up over the local day, quarter hour by quarter hour.

    Attributes
    ----------
    cost_vnd, co2_kg
        Of the closed quarter hours [VND], [kgCO2e].
    peak_mw
        Largest mean of a closed quarter hour [MW]; NaN before the first.
    """

    cost_vnd: float = 0.0
    co2_kg: float = 0.0
    peak_mw: float = float("nan")


@dataclass(slots=True)
class Marks:
    """The marks of a park, and the turns of trucks in the last hour.

    Attributes
    ----------
    tags
        Tag ids the marks hold, in order.
    midnight, day
        Mark of the local day, and which day that is.
    quarters
        The newest marks of full quarter hours, oldest first.
    today
        Sums of the day.
    turns
        Gate → (time [us], turn time [min]) of the last hour.
    connections
        How the endpoints did lately.
    """

    tags: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    midnight: Mark | None = None
    day: date | None = None
    quarters: list[Mark] = field(default_factory=list)
    today: Today = field(default_factory=Today)
    turns: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    connections: Connections = field(default_factory=Connections)

    def follow(self, tags: npt.NDArray[np.int64], now: Mark) -> None:
        """Hold these tags from now on; `now` holds their sums."""
        if np.array_equal(tags, self.tags):
            return
        position = {int(tag): place for place, tag in enumerate(self.tags)}
        places = np.array([position.get(int(tag), -1) for tag in tags], np.int64)
        self.midnight = self.midnight.moved(places, now) if self.midnight is not None else None
        self.quarters = [mark.moved(places, now) for mark in self.quarters]
        self.tags = tags

    def settle(self, now: Mark, counter: npt.NDArray[np.bool_]) -> None:
        """Move what was told since each mark about the time before it to where it belongs."""
        if self.midnight is not None:
            self.midnight = self.midnight.settled(now, counter)
        self.quarters = [mark.settled(now, counter) for mark in self.quarters]

    def quarter_due(self, now_us: int) -> bool:
        """Whether a quarter hour began since the newest mark."""
        if not self.quarters:
            return True
        return now_us // QUARTER_US > self.quarters[-1].at_us // QUARTER_US

    def add_quarter(self, mark: Mark) -> None:
        """Keep a mark; the oldest ones go."""
        self.quarters = [*self.quarters, mark][-QUARTERS_KEPT:]

    def start_day(self, day: date, mark: Mark) -> None:
        """Begin a local day."""
        self.day, self.midnight, self.today = day, mark, Today()

    def since(self, seconds: float, now: Mark) -> Window | None:
        """The window back to the newest mark that is at least so old; the oldest one else."""
        if not self.quarters:
            return None
        wanted = now.at_us - round(seconds * 1e6)
        old = [mark for mark in self.quarters if mark.at_us <= wanted]
        return Window.between(old[-1] if old else self.quarters[0], now)

    def since_midnight(self, now: Mark) -> Window | None:
        """The window of the local day so far."""
        return Window.between(self.midnight, now) if self.midnight is not None else None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "tags": self.tags.tolist(),
            "midnight": _packed(self.midnight) if self.midnight is not None else None,
            "day": self.day.isoformat() if self.day is not None else None,
            "quarters": [_packed(mark) for mark in self.quarters],
            "today": [self.today.cost_vnd, self.today.co2_kg, self.today.peak_mw],
            "turns": {gate: [list(turn) for turn in turns] for gate, turns in self.turns.items()},
            "connections": self.connections.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Marks":
        """Inverse of `as_dict`; an empty mapping gives marks at birth."""
        if not data:
            return cls()
        midnight, day = data["midnight"], data["day"]
        return cls(
            tags=np.array(data["tags"], np.int64),
            midnight=_unpacked(midnight) if midnight is not None else None,
            day=date.fromisoformat(day) if day is not None else None,
            quarters=[_unpacked(mark) for mark in data["quarters"]],
            today=Today(*data["today"]),
            turns={
                gate: [(at, value) for at, value in rows] for gate, rows in data["turns"].items()
            },
            connections=Connections.from_dict(data.get("connections", {})),
        )


def _packed(mark: Mark) -> dict[str, object]:
    """A mark as text: exact floats, a tenth of the size of decimals."""
    columns = np.column_stack([mark.total, mark.good_s, mark.covered_s, mark.code_s])
    return {
        "at": mark.at_us,
        "sums": base64.b64encode(zlib.compress(columns.astype("<f8").tobytes(), 1)).decode(),
    }


def _unpacked(data: Mapping[str, Any]) -> Mark:
    raw = zlib.decompress(base64.b64decode(data["sums"]))
    columns = np.frombuffer(raw, "<f8").reshape(-1, 3 + CODES).astype(np.float64)
    return Mark(
        at_us=data["at"],
        total=columns[:, 0].copy(),
        good_s=columns[:, 1].copy(),
        covered_s=columns[:, 2].copy(),
        code_s=columns[:, 3:].copy(),
    )
