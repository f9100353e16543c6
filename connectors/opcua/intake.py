"""Values on their way into the columns: what their times say of the endpoint, and room for them."""

import asyncio
import time
from collections.abc import Callable

from connectors.clock import ParkClock
from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.pace import Pace
from connectors.opcua.rows import Rows


class Intake:
    """Lets decoders write rows of one endpoint.

    Parameters
    ----------
    config
        The endpoint.
    rows, decoder, pace
        Where rows go, who writes them, and what their times tell.
    park_now
        Park clock.
    wake
        Called when rows wait to be taken.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        rows: Rows,
        decoder: Decoder,
        pace: Pace,
        park_now: ParkClock,
        wake: Callable[[], None],
    ) -> None:
        self._by_source = config.time_policy == "source"
        self.rows, self._decoder, self._pace = rows, decoder, pace
        self._park_now, self.wake = park_now, wake
        self.fresh = False
        """Whether the next message is the first of a subscription."""

    def took(self, decode: Callable[[], int | None], *, settled: bool = True) -> None:
        """Decode, and note what the newest time says about the endpoint's pace.

        Parameters
        ----------
        decode
            Writes rows; returns their newest source time [us].
        settled
            Whether no outage waits for its judgement: else values are old, and their age no lag.
        """
        now, decoder = time.monotonic(), self._decoder
        before, taken = decoder.newest_us, decoder.taken
        newest = decode()
        self._pace.count(now, decoder.taken - taken)
        if newest is not None and (before is None or newest > before):
            self._pace.moved(now)
            # The first message of a subscription carries old values, whose age is no lag.
            if not self.fresh and settled:
                park_us = self._park_now()
                self._pace.source_offset_us.add(newest - park_us)
                by_source = self._by_source or not len(self.rows)
                at_us = newest if by_source else int(self.rows.columns.at[len(self.rows) - 1])
                self._pace.lag_us.add(park_us - at_us)
        self.fresh = False
        self.wake()

    async def room_for(self, count: int) -> None:
        """Wait until so many rows find a place; an empty buffer takes any number."""
        while count > self.rows.room and len(self.rows):
            self.wake()
            await asyncio.sleep(0.02)
