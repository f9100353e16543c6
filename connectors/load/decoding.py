"""Decoding alone: the same message bytes to Arrow by our columns, and to objects by asyncua."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.clock import wall_us
from connectors.load.messages import Values, published
from connectors.load.peers import decode_publish
from connectors.load.server import identifiers
from connectors.load.template import Block
from connectors.load.values import NAMESPACE, Mix, Ticks, kinds_of
from connectors.opcua.config import Item
from connectors.opcua.decode import Decoder
from connectors.opcua.rows import Rows
from connectors.opcua.wire import as_bytes, read_publish
from models.errors import Unavailable

_MESSAGES: Final = 8
_SUBSCRIPTION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """CPU per value [us], of ours and of asyncua's decoder, in each round."""

    ours_us: tuple[float, ...]
    stock_us: tuple[float, ...]


def messages(nodes: int, mix: Mix, count: int = _MESSAGES) -> list[bytes]:
    """PublishResponses with all nodes, at consecutive ticks."""
    numbers = np.arange(nodes, dtype=np.int64)
    block = Block(numbers, kinds_of(numbers, mix), numbers + 1)
    ticks = Ticks(zero_us=wall_us(), period_us=100_000)
    made = []
    for tick in range(count):
        now_us = ticks.at_us(tick)
        values = Values(nodes, (block.at(tick, now_us, now_us),))
        made.append(
            published(1, now_us, _SUBSCRIPTION, (tick + 1,), tick + 1, values, more=False,
                      results=())
        )  # fmt: skip
    return made


class Ours:
    """Our decoder, with every node bound."""

    def __init__(self, nodes: int) -> None:
        self.rows = Rows(limit=2 * nodes)
        self.decoder = Decoder(self.rows, "source", wall_us, 100_000)
        for tag, identifier in enumerate(identifiers(nodes), start=1):
            item = Item(tag=tag, namespace=NAMESPACE, identifier=identifier)
            self.decoder.bind(tag, item)

    def decode(self, body: bytes) -> int:
        """Bytes of a message to one Arrow batch; how many rows it has."""
        data = as_bytes(body)
        for part in read_publish(data).parts:
            self.decoder.take_notified(data, part.start, part.stop, part.count)
        return int(self.rows.drain().num_rows)


def compare(nodes: int, mix: Mix, rounds: int) -> Decoded:
    """Decode the same bytes in turns.

    Raises
    ------
    Unavailable
        When a decoder misses a value.
    """
    bodies = messages(nodes, mix)
    ours = Ours(nodes)
    for body in bodies:
        ours.decode(body)
    ours_us, stock_us = [], []
    for number in range(rounds):
        one = bodies[number % len(bodies)]
        # Ours is too fast for one message to be a measurement.
        ours_us.append(_cpu_us(ours.decode, bodies, nodes))
        stock_us.append(_cpu_us(decode_publish, [one], nodes))
    return Decoded(ours_us=tuple(ours_us), stock_us=tuple(stock_us))


def _cpu_us(decode: Callable[[bytes], int], bodies: list[bytes], nodes: int) -> float:
    began = time.process_time()
    found = sum(decode(body) for body in bodies)
    spent = time.process_time() - began
    if found != nodes * len(bodies):
        raise Unavailable(f"{decode.__qualname__} found {found} of {nodes * len(bodies)} values")
    return spent / found * 1e6
