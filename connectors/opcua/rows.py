"""A bounded columnar buffer between a decoder and the batches of the gateway."""

from dataclasses import dataclass, field

import pyarrow as pa

from twin.samples import SAMPLES, TIME, Origin


@dataclass(slots=True)
class Dropped:
    """Rows that found no place: how many, and the time they span [us]."""

    count: int = 0
    from_us: int = 0
    to_us: int = 0

    def add(self, count: int, at_us: int) -> None:
        """Count rows dropped at a park time."""
        if not self.count:
            self.from_us = at_us
        self.count += count
        self.to_us = at_us


@dataclass(slots=True)
class Rows:
    """Columns of plain lists: appending costs tens of nanoseconds, and one Arrow batch per drain.

    A decoder appends to the lists itself (one call per value would cost more than the value) and
    checks `room` once per message.

    Parameters
    ----------
    limit
        Rows kept at most; the rest is dropped and counted in `dropped`.
    """

    limit: int = 200_000
    tag: list[int] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    server_at: list[int | None] = field(default_factory=list)
    seen_at: list[int] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    exact: dict[int, int] = field(default_factory=dict)
    """Row number → exact integer, for the few that float64 cannot hold."""
    text: dict[int, str] = field(default_factory=dict)
    """Row number → text."""
    dropped: Dropped = field(default_factory=Dropped)

    def __len__(self) -> int:
        return len(self.tag)

    @property
    def room(self) -> int:
        """Rows that still find a place."""
        return self.limit - len(self.tag)

    def drain(self) -> pa.RecordBatch:
        """Everything as one sample batch; the buffer is empty afterwards."""
        n = len(self.tag)
        exact = [self.exact.get(i) for i in range(n)] if self.exact else None
        text = [self.text.get(i) for i in range(n)] if self.text else None
        batch = pa.record_batch(
            [
                pa.array(self.tag, pa.int32()),
                pa.array(self.at, pa.int64()).view(TIME),
                pa.array(self.server_at, pa.int64()).view(TIME),
                pa.array(self.seen_at, pa.int64()).view(TIME),
                pa.array(self.value, pa.float64()),
                pa.nulls(n, pa.int64()) if exact is None else pa.array(exact, pa.int64()),
                pa.nulls(n, pa.string()) if text is None else pa.array(text, pa.string()),
                pa.array(self.status, pa.uint32()),
                pa.repeat(pa.scalar(int(Origin.MEASURED), pa.uint8()), n),
            ],
            schema=SAMPLES,
        )
        for column in (self.tag, self.at, self.server_at, self.seen_at, self.value, self.status):
            column.clear()
        self.exact.clear()
        self.text.clear()
        return batch

    def take_dropped(self) -> Dropped:
        """What was dropped since the last call."""
        dropped, self.dropped = self.dropped, Dropped()
        return dropped
