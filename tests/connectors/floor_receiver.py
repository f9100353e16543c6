"""A receiver for the tests: the real delivery rule, and everything it took."""

import asyncio
from collections.abc import Callable

import pyarrow as pa

from connectors.coverage import is_coverage
from models.errors import Unavailable
from twin.delivery import Accept, AlreadyHave, Delivered, Inbox


class Receiver:
    """Takes batches as a shard does, and keeps them."""

    def __init__(self) -> None:
        self.inbox = Inbox()
        self.samples: list[dict] = []
        self.coverage: list[dict] = []
        self.order: list[tuple[int, int]] = []
        self.away = False
        self.session = 0
        self.on_batch: Callable[[pa.RecordBatch], None] = lambda _: None

    async def new_session(self) -> int:
        self.session += 1
        return self.session

    async def deliver(self, source: str, session: int, seq: int, batch: pa.RecordBatch):
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("the cluster is away")
        match self.inbox.check(source, session, seq):
            case Accept():
                self.inbox.accepted(source, session, seq)
                self.order.append((session, seq))
                (self.coverage if is_coverage(batch) else self.samples).extend(batch.to_pylist())
                self.on_batch(batch)
                return Delivered(session=session, acked_seq=seq)
            case AlreadyHave(seq=have):
                return Delivered(session=session, acked_seq=have)
            case verdict:
                return Delivered(session=session, expect=verdict.seq)

    def values(self, tag: int) -> list[float]:
        return [row["value"] for row in self.samples if row["tag"] == tag]

    def gaps(self) -> list[dict]:
        return [row for row in self.coverage if not row["alive"]]


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for something to become true; fail when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition may be anything
            await asyncio.sleep(0.01)
