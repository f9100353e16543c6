"""What happens when: one list of future events for the whole park."""

from collections.abc import Callable
from heapq import heappop, heappush

Event = Callable[[int], None]


class Agenda:
    """Events in the order of their time; those of one instant in the order they were entered."""

    def __init__(self, start_us: int) -> None:
        self.now_us = start_us
        self._heap: list[tuple[int, int, Event]] = []
        self._entered = 0

    def at(self, t_us: int, event: Event) -> None:
        """Enter an event; one in the past happens now."""
        self._entered += 1
        heappush(self._heap, (max(t_us, self.now_us), self._entered, event))

    def run(self, to_us: int) -> None:
        """Let everything up to and including `to_us` happen."""
        while self._heap and self._heap[0][0] <= to_us:
            self.now_us, _, event = heappop(self._heap)
            event(self.now_us)
        self.now_us = max(self.now_us, to_us)
