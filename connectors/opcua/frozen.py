"""Is what an endpoint tells alive? A gateway may answer Good for ever for a PLC that is dead.

Four signs, the surest first: the heartbeat of the device stands still; the server's own clock does;
source times do, at a server that is known to stamp every reading; the values of a device do, though
they used to move (`connectors.opcua.stillness`). The last two are asked once more by a read.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.decode import Decoder
from connectors.opcua.nodes import resolve, split_node
from connectors.opcua.pace import Pace
from connectors.opcua.stillness import Stillness
from models.errors import InputError, NotFound
from twin.samples import to_us

CAUSE: Final = "frozen"
_READ: Final = 50
_STAMPED: Final = 3
_ASKED_MOST: Final = 20
_SAME: Final = 1e-9
_CLOCK_S: Final = 30.0
"""Servers show their clock in steps; some of ten seconds."""


class FrozenWatch:
    """Watches one endpoint for values that are Good and dead.

    Parameters
    ----------
    config
        The endpoint.
    frozen_s
        Stillness that is never suspicious when shorter [s]; 0 never looks.
    """

    def __init__(self, config: EndpointConfig, frozen_s: float) -> None:
        self._config, self._frozen_s = config, frozen_s
        self.cause = ""
        """Why the whole endpoint counts as frozen; empty while it does not."""
        self.since = 0.0
        """Since when [monotonic s]."""
        self.devices: Mapping[str, float] = {}
        """Frozen devices of an endpoint that lives, and since when."""
        self.remark = ""
        self._stamps: bool | None = None
        self._stamped: set[int] = set()
        self._asked, self._asked_at = 0, 0.0
        self._beat: object = None
        self._beat_at: float | None = None
        self._clock: object = None
        self._clock_at: float | None = None
        self._looked_at: float | None = None
        self.begin(config.items)

    def begin(self, items: Sequence[Item]) -> None:
        """Say which items have handles 1, 2, 3, …"""
        self._items = tuple(items)
        self._stillness = Stillness([item.group for item in items], self._frozen_s or 1.0)

    def connected(self) -> None:
        """A new session: what stood still before it is not held against it."""
        self._beat_at = self._clock_at = None
        if self._looked_at is not None:
            self._looked_at = math.nan

    def server_time(self, told: object, now: float) -> None:
        """Note what the server's clock shows."""
        if isinstance(told, datetime) and told != self._clock:
            self._clock, self._clock_at = told, now

    async def look(
        self, client: Client, namespaces: Sequence[str], decoder: Decoder, pace: Pace,
        now: float, *, blind: bool,
    ) -> None:  # fmt: skip
        """Look at all signs.

        Parameters
        ----------
        client, namespaces
            The session.
        decoder, pace
            What its messages said.
        now
            Monotonic time [s].
        blind
            Messages are held up on our side: nothing can be seen to move.
        """
        if not self._frozen_s:
            return
        before, self._looked_at = self._looked_at, now
        if before is not None and (blind or math.isnan(before)):
            self._stillness.pause(0.0 if math.isnan(before) else now - before)
            return
        await self._look_heartbeat(client, namespaces, now)
        told = decoder.newest_values(len(self._items))
        self._stillness.look(now, *told)
        still = self._stillness.still(now)
        devices = dict(still.groups)
        for name in [name for name in devices if name not in self.devices and not self.cause]:
            if await self._lives(client, namespaces, name, told[0]):
                self._stillness.lives(name, now)
                del devices[name]
        found = self._certain(now)
        if found is None and still.whole and devices:
            found = "no value of any device moves any more", max(devices.values())
        if found is None:
            found = await self._source_times(client, namespaces, decoder, pace, now)
        self.cause, self.since = found or ("", 0.0)
        self.devices = {} if self.cause else devices

    def _certain(self, now: float) -> tuple[str, float] | None:
        """Signs that need no second look."""
        if self._beat_at is not None and now - self._beat_at > self._config.heartbeat_s:
            return f"heartbeat {self._config.heartbeat} stands still", self._beat_at
        if self._clock_at is not None and now - self._clock_at > max(self._frozen_s, _CLOCK_S):
            return "the server's own clock stands still", self._clock_at
        return None

    async def _look_heartbeat(self, client: Client, namespaces: Sequence[str], now: float) -> None:
        if not self._config.heartbeat:
            return
        try:
            node = resolve(*split_node(self._config.heartbeat), namespaces)
        except (InputError, NotFound) as fault:
            self.remark = f"heartbeat: {fault}"
            return
        (told,) = await client.uaclient.read_attributes([node], AttributeIds.Value)
        if told.Value is None or (told.StatusCode is not None and told.StatusCode.is_bad()):
            code = told.StatusCode.name if told.StatusCode is not None else "no value"
            self.remark = f"heartbeat {self._config.heartbeat} cannot be read ({code})"
            return
        self.remark = ""
        if self._beat_at is None or told.Value.Value != self._beat:
            self._beat, self._beat_at = told.Value.Value, now

    async def _source_times(
        self, client: Client, namespaces: Sequence[str], decoder: Decoder, pace: Pace, now: float
    ) -> tuple[str, float] | None:
        """Source times stand still at a server that stamps every reading."""
        if not pace.stands_still(now, self._frozen_s):
            await self._learn_stamps(client, namespaces, decoder, pace, now)
            return None
        if self.cause.startswith("source times"):
            return self.cause, self.since
        if not self._stamps:
            return None
        # A steady value sends nothing, but reading it shows another time; an earlier one when
        # somebody has set the clock back.
        newest = max((at for _, at, _ in await self._read(client, namespaces)), default=None)
        if newest is not None and newest != decoder.newest_us:
            decoder.newest_us, pace.moved_at = newest, now
            return None
        return "source times stand still", pace.moved_at

    async def _learn_stamps(
        self, client: Client, namespaces: Sequence[str], decoder: Decoder, pace: Pace, now: float
    ) -> None:
        """Find out whether an unchanged value is read with a newer time."""
        early = now - self._asked_at < self._frozen_s / 2
        if self._stamps or self._asked >= _ASKED_MOST or early or not pace.moves:
            return
        self._asked, self._asked_at = self._asked + 1, now
        values, _ = decoder.newest_values(len(self._items))
        for handle, at_us, value in await self._read(client, namespaces):
            last_us = decoder.counts(handle)[3]
            same = value is not None and _equal(value, float(values[handle - 1]))
            if same and last_us is not None and at_us > last_us:
                self._stamped.add(self._asked)
        self._stamps = len(self._stamped) >= _STAMPED or None

    async def _lives(
        self, client: Client, namespaces: Sequence[str], group: str, known: np.ndarray
    ) -> bool:
        """Whether reading a device shows another value than the last one sent."""
        return any(
            value is not None and not _equal(value, float(known[handle - 1]))
            for handle, _, value in await self._read(client, namespaces, group)
        )

    async def _read(
        self, client: Client, namespaces: Sequence[str], group: str | None = None
    ) -> list[tuple[int, int, float | None]]:
        """Handle, source time [us], and number as it is stored, of the first few items."""
        return [
            (handle, at_us, _number(value, self._items[handle - 1].scale))
            for handle, value in await self.read(client, namespaces, group, _READ)
            if (at_us := _time_of(value)) is not None
        ]

    async def read(
        self, client: Client, namespaces: Sequence[str], group: str | None, most: int
    ) -> list[tuple[int, ua.DataValue]]:
        """Handles and present values of a device, or of all."""
        nodes = list(self._nodes(namespaces, group))[:most]
        if not nodes:
            return []
        values = await client.uaclient.read_attributes([n for _, n in nodes], AttributeIds.Value)
        return [(handle, value) for (handle, _), value in zip(nodes, values, strict=True)]

    def _nodes(
        self, namespaces: Sequence[str], group: str | None
    ) -> Iterator[tuple[int, ua.NodeId]]:
        for handle, item in enumerate(self._items, start=1):
            if group is None or item.group == group:
                try:
                    yield handle, resolve(item.namespace, item.identifier, namespaces)
                except (InputError, NotFound):
                    continue

    @property
    def hints(self) -> list[str]:
        """What people should know."""
        found = [self.remark] if self.remark else []
        if self.cause:
            found += [f"{CAUSE}: {self.cause}", "is the PLC behind the server alive?"]
        if self.devices:
            devices = ", ".join(self.devices)
            found += [f"{CAUSE}: " + f"{devices} while other devices move"]
        return found


def _time_of(value: ua.DataValue) -> int | None:
    at = value.SourceTimestamp
    return None if at is None else to_us(at)


def _number(value: ua.DataValue, scale: float) -> float | None:
    plain = value.Value.Value if value.Value is not None else None
    return float(plain) * scale if isinstance(plain, int | float) else None


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_SAME) or (math.isnan(one) and math.isnan(other))
