"""Clocks of the shell: wall time, park time, and the measured difference to a server's clock.

Park time (`at`) is the source's; wall time is ours. In a real park both are the same clock; in a
demo the virtual plant's clock may run at another pace and stand elsewhere.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ParkClock = Callable[[], int]
"""Park now [us since 1970]."""


def wall_us() -> int:
    """Wall time [us since 1970]."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PacedClock:
    """A park clock that passed `park_us` when the wall clock showed `wall_us`, at a given pace.

    Parameters
    ----------
    park_us, wall_us
        One instant on both clocks [us since 1970].
    speed
        Park seconds per wall second.
    """

    park_us: int
    wall_us: int
    speed: float = 1.0

    def __call__(self) -> int:
        """Park now [us since 1970]."""
        return self.park_us + round((wall_us() - self.wall_us) * self.speed)


class RunningMedian:
    """Median of the last `size` numbers; None before the first."""

    def __init__(self, size: int) -> None:
        self._last: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        """Take one more number, forgetting the oldest."""
        self._last.append(value)

    def clear(self) -> None:
        """Forget everything."""
        self._last.clear()

    def __len__(self) -> int:
        return len(self._last)

    @property
    def value(self) -> float | None:
        """The median."""
        return median(self._last) if self._last else None
