"""How fast an endpoint's values come, how late, and whether its clock still moves."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from connectors.clock import RunningMedian

RATE_WINDOW_S: Final = 10.0
_FROZEN_AFTER_MOVES: Final = 20
_FROZEN_INTERVALS: Final = 20.0
_JUMP_S: Final = 5.0


@dataclass(slots=True)
class Pace:
    """What the messages of an endpoint tell about its speed and its clock."""

    counts: deque[tuple[float, int]] = field(default_factory=deque)
    lag_us: RunningMedian = field(default_factory=lambda: RunningMedian(31))
    source_offset_us: RunningMedian = field(default_factory=lambda: RunningMedian(31))
    server_offset_us: RunningMedian = field(default_factory=lambda: RunningMedian(15))
    round_trip_s: RunningMedian = field(default_factory=lambda: RunningMedian(15))
    jumps: int = 0
    moved_at: float = 0.0
    moves: int = 0
    interval_s: float = 0.0

    def count(self, now: float, values: int) -> None:
        """Note values that arrived [monotonic s]."""
        self.counts.append((now, values))
        while self.counts and self.counts[0][0] < now - RATE_WINDOW_S:
            self.counts.popleft()

    def moved(self, now: float) -> None:
        """Note that the newest source time went forward."""
        if self.moves:
            step = now - self.moved_at
            self.interval_s += (step - self.interval_s) / min(self.moves, 50)
        self.moves += 1
        self.moved_at = now

    def clock(self, offset_us: float) -> bool:
        """Note the offset of the server's clock; true when it jumped since the last look."""
        before = self.server_offset_us.value
        jumped = before is not None and abs(offset_us - before) > _JUMP_S * 1e6
        if jumped:
            self.jumps += 1
            for median in (self.server_offset_us, self.source_offset_us, self.lag_us):
                median.clear()
        self.server_offset_us.add(offset_us)
        return jumped

    def rate(self, now: float) -> float:
        """Values per second over the window."""
        recent = sum(n for at, n in self.counts if at >= now - RATE_WINDOW_S)
        return recent / RATE_WINDOW_S

    def stands_still(self, now: float, frozen_s: float) -> bool:
        """Whether source times, which used to move, have stood still for suspiciously long."""
        if not frozen_s or self.moves < _FROZEN_AFTER_MOVES:
            return False
        return now - self.moved_at > max(frozen_s, _FROZEN_INTERVALS * self.interval_s)
