"""A subscription of the load server: its queues are ticks, not values.

All nodes change at every tick, so what an item's queue holds is a range of ticks; and as a value
is a function of node and tick, a message that has to be sent again is made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from connectors.load.messages import Values
from connectors.load.template import Block
from connectors.load.values import Ints, Mix, Ticks, kinds_of

LARGEST_NUMBER: Final = 0xFFFF_FFFF
_SENT_MOST: Final = 10_000
"""Messages kept for Republish; each is a few numbers."""


@dataclass(slots=True)
class Counts:
    """What a server sent, and what its queues dropped."""

    values: int = 0
    messages: int = 0
    again: int = 0
    dropped: int = 0
    sessions: int = 0
    reads: int = 0


class Run:
    """Items that stand at the same tick.

    Parameters
    ----------
    nodes, handles, mix
        Node numbers with their client handles, and how types are given to nodes.
    upcoming
        Next tick to be sent.
    """

    def __init__(self, nodes: Ints, handles: Ints, mix: Mix, upcoming: int) -> None:
        self.nodes, self.handles, self._mix = nodes, handles, mix
        self.upcoming = upcoming
        self.flooded = False
        """The queues overflowed before the upcoming tick."""
        self._blocks: dict[bool, Block] = {}

    def __len__(self) -> int:
        return len(self.nodes)

    def block(self, *, flooded: bool) -> Block:
        """Its encoded values, with the Overflow bit or without."""
        if flooded not in self._blocks:
            kinds = kinds_of(self.nodes, self._mix)
            self._blocks[flooded] = Block(self.nodes, kinds, self.handles, overflow=flooded)
        return self._blocks[flooded]


@dataclass(frozen=True, slots=True)
class Message:
    """What a message held: number, time of sending, and (run, tick, overflow) of its values."""

    sequence: int
    published_us: int
    parts: tuple[tuple[Run, int, bool], ...]

    def values(self, ticks: Ticks) -> Values:
        """Its bytes, made now."""
        pieces, count = [], 0
        for run, tick, flooded in self.parts:
            block = run.block(flooded=flooded)
            pieces.append(bytes(block.at(tick, ticks.at_us(tick), self.published_us)))
            count += len(run)
        return Values(count, pieces)


@dataclass(slots=True)
class Subscription:
    """Items, their queues, and the messages nobody has acknowledged yet.

    Parameters
    ----------
    id
        Subscription id.
    ticks, mix
        Clock, and how types are given to nodes.
    publishing_s
        Publishing interval [s].
    keep_alive, lifetime
        Publishing intervals until a keep-alive, and until it ends when nobody asks.
    most
        Values of a message at most.
    flood
        There is always one tick more, whatever the time: it sends as fast as it is asked.
    """

    id: int
    ticks: Ticks
    mix: Mix
    publishing_s: float
    keep_alive: int
    lifetime: int
    most: int
    counts: Counts
    flood: bool = False
    enabled: bool = True
    queue: int = 0
    runs: list[Run] = field(default_factory=list)
    sent: dict[int, Message] = field(default_factory=dict)
    sequence: int = 1
    idle: int = 0
    """Publishing intervals without a message."""
    unasked: int = 0
    """Publishing intervals without a request."""
    started: bool = False
    """Whether anything was sent yet; the first message does not wait for a keep-alive."""

    # --- items ---

    def add(self, nodes: Ints, handles: Ints, queue: int, now_us: int) -> None:
        """Monitor more nodes; the first value is the newest one."""
        self.queue = self.queue or queue
        upcoming = 0 if self.flood else max(self.ticks.newest(now_us), 0)
        if self.flood and self.runs:
            upcoming = self.runs[0].upcoming
        for first in range(0, len(nodes), self.most):
            piece = slice(first, first + self.most)
            self.runs.append(Run(nodes[piece], handles[piece], self.mix, upcoming))

    def _merge(self) -> None:
        """Items that came in several calls and stand at the same tick become one template."""
        if len(self.runs) < 2 or len({run.upcoming for run in self.runs}) > 1:
            return
        if any(run.flooded for run in self.runs) or len(self.runs[0]) == self.most:
            return
        nodes = np.concatenate([run.nodes for run in self.runs])
        handles = np.concatenate([run.handles for run in self.runs])
        upcoming = self.runs[0].upcoming
        self.runs = [
            Run(nodes[first : first + self.most], handles[first : first + self.most], self.mix,
                upcoming)
            for first in range(0, len(nodes), self.most)
        ]  # fmt: skip

    # --- messages ---

    def waiting(self, now_us: int) -> bool:
        """Whether there are values to send."""
        if not self.enabled or not self.runs:
            return False
        return self.flood or min(run.upcoming for run in self.runs) <= self.ticks.newest(now_us)

    def take(self, now_us: int) -> Message:
        """The next message; its values leave the queues. Only when there are some waiting."""
        self._merge()
        newest = self.runs[0].upcoming if self.flood else self.ticks.newest(now_us)
        for run in self.runs:
            self._overflow(run, newest)
        parts: list[tuple[Run, int, bool]] = []
        count = 0
        while count < self.most:
            run = min(self.runs, key=lambda each: each.upcoming)
            if run.upcoming > newest or count + len(run) > self.most:
                break
            parts.append((run, run.upcoming, run.flooded))
            run.upcoming, run.flooded = run.upcoming + 1, False
            count += len(run)
        message = Message(self.sequence, now_us, tuple(parts))
        self.sequence = self.sequence % LARGEST_NUMBER + 1
        self.sent[message.sequence] = message
        while len(self.sent) > _SENT_MOST:
            del self.sent[next(iter(self.sent))]
        self.counts.values += count
        self.counts.messages += 1
        return message

    def _overflow(self, run: Run, newest: int) -> None:
        """Drop the oldest ticks that the queues do not hold."""
        too_many = newest - run.upcoming + 1 - self.queue
        if too_many > 0:
            run.upcoming += too_many
            run.flooded = True
            self.counts.dropped += too_many * len(run)

    def acknowledge(self, sequence: int) -> bool:
        """Forget a message; false when it is not there."""
        return self.sent.pop(sequence, None) is not None

    @property
    def available(self) -> Sequence[int]:
        """Messages that can be had again."""
        return list(self.sent)
