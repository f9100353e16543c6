"""A gateway of the bench's own that remembers what was acknowledged, whatever dies meanwhile."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa

from cluster.client import Client
from connectors.clock import wall_us
from models.errors import InputError, Refused, TwinError, Unavailable
from twin.samples import from_us, sample_batch

SOURCE: Final = "bench"
OFFSET: Final = 1e9
"""Added to the number of a batch to make its value: tells our rows from the plant's."""
_EVERY_S: Final = 0.05
_RETRY_S: Final = 0.05
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Acked:
    """One acknowledged batch: its number, and when it was sent last and acknowledged [s]."""

    number: int
    sent_s: float
    at_s: float


class Ledger(threading.Thread):
    """Delivers one batch after the other over HTTP, again until it is acknowledged.

    Parameters
    ----------
    url, park
        Where.
    tags
        Number and path of the tags it writes: one row each per batch.
    """

    def __init__(self, url: str, park: str, tags: dict[int, str]) -> None:
        super().__init__(daemon=True)
        self.acked: list[Acked] = []
        self.fault: TwinError | None = None
        self._stop_asked = threading.Event()
        self._url, self._park, self._tags = url, park, tags
        self._began_us = wall_us()

    def run(self) -> None:
        """Deliver until told to stop."""
        with Client(self._url) as client:
            try:
                session = self._session(client)
                number = 0
                while not self._stop_asked.is_set():
                    number += 1
                    self._deliver(client, session, number)
                    time.sleep(_EVERY_S)
            except (InputError, Refused) as fault:
                self.fault = fault

    def finish(self) -> None:
        """Stop and wait.

        Raises
        ------
        TwinError
            When the service refused a batch.
        """
        self._stop_asked.set()
        self.join()
        if self.fault is not None:
            raise self.fault

    def back_after(self, since_s: float, patience_s: float) -> float:
        """Seconds from a moment until a batch sent after it was acknowledged.

        Raises
        ------
        Unavailable
            When none is in time.
        """
        until = since_s + patience_s
        while time.monotonic() < until and self.fault is None:
            for acked in reversed(self.acked):
                if acked.sent_s <= since_s:
                    break
                return acked.at_s - since_s
            time.sleep(_LOOK_S)
        raise Unavailable(f"nothing was acknowledged for {patience_s:g} s ({self.fault})")

    def lost(self, client: Client) -> tuple[int, int]:
        """Acknowledged samples that history does not have, and those it has twice."""
        lost = twice = 0
        since = from_us(self._began_us - 60_000_000).isoformat()
        until = from_us(wall_us() + 60_000_000).isoformat()  # the park's clock may be behind
        for path in self._tags.values():
            found = client.history(self._park, [path], since=since, until=until)
            values = [v for v in found.column("value").to_pylist() if v is not None and v >= OFFSET]
            times = Counter(values)
            lost += sum(times[OFFSET + acked.number] == 0 for acked in self.acked)
            twice += sum(count - 1 for count in times.values())
        return lost, twice

    def _session(self, client: Client) -> int:
        path = f"/ingest/{self._park}/session"
        answer = orjson.loads(client.raw("POST", path, query={"source": SOURCE}))
        return int(answer["session"])

    def _deliver(self, client: Client, session: int, number: int) -> None:
        body = _body(list(self._tags), number)
        query = {"source": SOURCE, "session": session, "seq": number}
        while not self._stop_asked.is_set():
            sent_s = time.monotonic()
            try:
                path = f"/ingest/{self._park}"
                receipt = orjson.loads(client.raw("POST", path, content=body, query=query))
            except Unavailable:
                time.sleep(_RETRY_S)
                continue
            if receipt["acked_seq"] == number:
                now_s = time.monotonic()
                self.acked.append(Acked(number=number, sent_s=sent_s, at_s=now_s))
                return
            raise Refused(f"batch {number} was answered {receipt}", "this is a fault of delivery")


def _body(tags: list[int], number: int) -> bytes:
    now_us = wall_us()
    batch = sample_batch(tag=tags, at_us=now_us, value=OFFSET + number, seen_us=now_us)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    body: bytes = sink.getvalue().to_pybytes()
    return body
