"""What every node of the load server holds at every tick, and the clock of the ticks.

A value is a function of (node, tick), and its source time is the tick's own; so whoever receives it
can tell from the time which value it has to be, and see what is missing, doubled or under the wrong
tag. Nodes count from 0 and have the identifiers 1, 2, 3, …; ticks count from 0.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mix = Literal["double", "mixed"]

NAMESPACE: Final = "urn:parktwin:load"
PER_NODE: Final = 10**8
"""Ticks after which a Double begins again."""
_FLOAT_SHARE: Final = 2**12
"""A Float holds 24 bits: 12 of the node, 12 of the tick."""
_INT_SHARE: Final = 2**15
_SPREAD: Final = 2_654_435_761


class Kind(IntEnum):
    """Built-in type of a node's value (OPC UA Part 6, 5.1.2)."""

    BOOLEAN = 1
    INT32 = 6
    FLOAT = 10
    DOUBLE = 11
    STRING = 12


_MIXED: Final = np.array(
    [Kind.DOUBLE, Kind.FLOAT, Kind.DOUBLE, Kind.INT32, Kind.DOUBLE, Kind.BOOLEAN, Kind.DOUBLE,
     Kind.STRING],
    np.int64,
)  # fmt: skip


def kinds_of(nodes: Ints, mix: Mix) -> Ints:
    """Types of nodes: all Double; or every other one, and the rest of four other types in turn."""
    if mix == "double":
        return np.full(len(nodes), int(Kind.DOUBLE), np.int64)
    return _MIXED[nodes % len(_MIXED)]


def doubles(nodes: Ints, tick: Ints | int) -> npt.NDArray[np.float64]:
    """Exact in a float for 10^7 nodes."""
    return np.asarray(nodes * float(PER_NODE) + np.asarray(tick) % PER_NODE, np.float64)


def floats(nodes: Ints, tick: Ints | int) -> npt.NDArray[np.float32]:
    """Exact in 24 bits; nodes 4096 apart and ticks 4096 apart are the same."""
    whole = nodes % _FLOAT_SHARE * _FLOAT_SHARE + np.asarray(tick) % _FLOAT_SHARE
    return np.asarray(whole, np.float32)


def ints(nodes: Ints, tick: Ints | int) -> npt.NDArray[np.int32]:
    """16 bits of the node, 15 of the tick."""
    whole = nodes % _INT_SHARE * 2 * _INT_SHARE + np.asarray(tick) % _INT_SHARE
    return np.asarray(whole, np.int32)


def booleans(nodes: Ints, tick: Ints | int) -> npt.NDArray[np.uint8]:
    """Changes at every tick; which of two it begins with is scattered over the nodes."""
    return np.asarray(((nodes * _SPREAD >> 16) + np.asarray(tick)) & 1, np.uint8)


def text_of(node: int, tick: int) -> str:
    """Text of a node at a tick; always of the same length."""
    return f"node {node:06d} at {tick % PER_NODE:08d}"


TEXT_BYTES: Final = len(text_of(0, 0))
TEXT_TICK_AT: Final = TEXT_BYTES - 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticks:
    """The clock of the ticks: one every `period_us`, the first at `zero_us` [us since 1970]."""

    zero_us: int
    period_us: int

    def newest(self, now_us: int) -> int:
        """Number of the newest tick; below 0 before the first."""
        return (now_us - self.zero_us) // self.period_us

    def at_us(self, tick: int) -> int:
        """Time of a tick [us]."""
        return self.zero_us + tick * self.period_us
