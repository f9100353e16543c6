"""The live socket: one small frame a second, encoded once per view and fanned out.

A client of ``/live?park=…&profile=…`` gets a snapshot first (every figure of its profile, with the
order of ids), then deltas that name figures by their place in that order. A value is sent again
only when what a person would see changes: the dead-band is the figure's last shown digit. A client
that is slow loses frames, never the connection: its queue holds two, and after a loss it gets a
snapshot, so that no delta is missed.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import orjson
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from cluster.ports import FigureSpec, Frame, ParkService, TwinError

logger = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
QUEUE: Final = 2

PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "shell": ("park.endpoints", "park.tags_good_pct"),
    "overview": ("park.", "transformer.", "site.", "gate.", "wwtp."),
    "energy": ("park.", "transformer.", "feeder.", "pv.", "bess.", "site."),
    "output": ("park.", "line.", "machine.", "site."),
    "logistics": ("park.", "gate.", "yard.", "dock.", "berth.", "wwtp."),
}
LEFT_OUT: Final[dict[str, tuple[str, ...]]] = {
    "overview": (".kwh_today", ".good_today", ".oil_c", ".busy", ".turn_p90_min"),
    "energy": (".good_today", ".oee_pct"),
    "output": ("machine.kw", ".kwh_today"),
}
"""Ends of ids (or ``scope.name``) a page does not show; they would only cost bytes."""


def shows(profile: str, spec: FigureSpec) -> bool:
    """Whether a page profile shows a figure; ``asset:<id>`` shows all figures at or below it."""
    if profile.startswith("asset:"):
        asset = profile.removeprefix("asset:")
        return spec.asset == asset or spec.asset.startswith(f"{asset}/")
    scope, name = spec.id.split(".", 1)[0], spec.id.rsplit(".", 1)[-1]
    left_out = LEFT_OUT.get(profile, ())
    if f".{name}" in left_out and scope != "park":
        return False
    return f"{scope}.{name}" not in left_out and spec.id.startswith(
        PROFILES.get(profile, PROFILES["shell"])
    )


@dataclass(slots=True)
class View:
    """What the clients of one (park, profile) have been sent.

    Parameters
    ----------
    specs
        Figures of the profile, in the order their numbers travel.
    tz
        Zone of the park.
    """

    specs: Sequence[FigureSpec]
    tz: str
    values: dict[int, float | None] = field(default_factory=dict)
    quality: dict[int, int] = field(default_factory=dict)
    measured: dict[int, float] = field(default_factory=dict)
    alarms: Mapping[str, int] = field(default_factory=dict)
    head: dict[str, object] = field(default_factory=dict)

    def fold(self, frame: Frame) -> bytes:
        """Take a frame in; return the delta to what was sent before."""
        values, quality, measured = self._seen(frame)
        delta: dict[str, object] = {
            "v": _changed(self.values, values),
            "q": _changed(self.quality, quality),
            "m": _changed(self.measured, measured),
        }
        delta = {name: change for name, change in delta.items() if change}
        if frame.alarms != self.alarms:
            delta["a"] = dict(frame.alarms)
        self.values, self.quality, self.measured = values, quality, measured
        self.alarms = frame.alarms
        self.head = {
            "s": frame.seq,
            "t": frame.now_us // 1000,
            "x": frame.speed,
            "g": round(frame.age_s, 1),
        }
        return orjson.dumps(self.head | delta, option=orjson.OPT_NON_STR_KEYS)

    def snapshot(self) -> bytes:
        """Return everything, with the ids and the park's offset to UTC in minutes."""
        now = datetime.fromtimestamp(int(str(self.head["t"])) / 1000, tz=ZoneInfo(self.tz))
        offset = now.utcoffset()
        whole = self.head | {
            "ids": [spec.id for spec in self.specs],
            "o": 0 if offset is None else int(offset.total_seconds() // 60),
            "v": self.values,
            "q": self.quality,
            "m": self.measured,
            "a": dict(self.alarms),
        }
        return orjson.dumps(whole, option=orjson.OPT_NON_STR_KEYS)

    def _seen(
        self, frame: Frame
    ) -> tuple[dict[int, float | None], dict[int, int], dict[int, float]]:
        values: dict[int, float | None] = {}
        quality: dict[int, int] = {}
        measured: dict[int, float] = {}
        for place, spec in enumerate(self.specs):
            value = frame.values.get(spec.id)
            known = value is not None and math.isfinite(value)
            values[place] = round(value, spec.decimals) if known and value is not None else None
            quality[place] = frame.quality.get(spec.id, 0)
            measured[place] = round(frame.measured.get(spec.id, 1.0), 2)
        return values, quality, measured


K = TypeVar("K")
V = TypeVar("V")


def _changed(before: Mapping[K, V], after: Mapping[K, V]) -> dict[K, V]:
    return {key: value for key, value in after.items() if key not in before or before[key] != value}


class Client:
    """One socket's queue: at most two messages, the oldest dropped."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self.dropped = 0

    def put(self, delta: bytes, snapshot: Callable[[], bytes]) -> None:
        """Queue a delta; when the client lags, replace all it has waiting by one snapshot."""
        if not self._queue.full():
            self._queue.put_nowait(delta)
            return
        while not self._queue.empty():
            self._queue.get_nowait()
            self.dropped += 1
        self._queue.put_nowait(snapshot())

    async def next(self) -> bytes:
        """Wait for the next message."""
        return await self._queue.get()


class LiveHub:
    """Ask for the frame of each watched park once a second and fan it out."""

    def __init__(self, service: ParkService, *, period_s: float = PERIOD_S) -> None:
        self._service, self._period_s = service, period_s
        self._views: dict[tuple[str, str], View] = {}
        self._clients: dict[tuple[str, str], set[Client]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._last: dict[str, Frame] = {}

    async def join(self, park: str, profile: str) -> Client:
        """Register a client; its first message is a snapshot.

        Raises
        ------
        NotFound
            There is no such park.
        """
        key = (park, profile)
        fresh = self._views.get(key) or await self._view(park, profile)
        frame = self._last.get(park) or await self._service.frame(park)
        frame = self._last.setdefault(park, frame)
        view = self._views.setdefault(key, fresh)
        client = Client()
        if not view.head:
            view.fold(frame)
        client.put(view.snapshot(), view.snapshot)
        self._clients.setdefault(key, set()).add(client)
        if park not in self._tasks:
            self._tasks[park] = asyncio.create_task(self._run(park), name=f"live {park}")
        return client

    def leave(self, park: str, profile: str, client: Client) -> None:
        """Forget a client; what nobody watches is no longer asked for."""
        key = (park, profile)
        self._clients[key].discard(client)
        if not self._clients[key]:
            del self._clients[key], self._views[key]
        if not any(watched == park for watched, _ in self._clients):
            self._last.pop(park, None)
            task = self._tasks.pop(park, None)
            if task is not None:
                task.cancel()

    async def _view(self, park: str, profile: str) -> View:
        specs = [spec for spec in await self._service.specs(park) if shows(profile, spec)]
        tz = next((p.tz for p in await self._service.parks() if p.id == park), "UTC")
        return View(specs, tz)

    async def _run(self, park: str) -> None:
        """Ask and send, until nobody is left; an error waits for the next second."""
        while True:
            await asyncio.sleep(self._period_s)
            try:
                frame = await self._service.frame(park)
            except TwinError as error:
                logger.warning("no live frame", extra={"park": park, "cause": str(error)})
                continue
            self.publish(park, frame)

    def publish(self, park: str, frame: Frame) -> None:
        """Send one frame to every client of a park; a frame already sent is not sent again."""
        last = self._last.get(park)
        if last is not None and last.seq == frame.seq:
            return
        self._last[park] = frame
        for (watched, profile), clients in self._clients.items():
            if watched == park:
                view = self._views[watched, profile]
                delta = view.fold(frame)
                for client in clients:
                    client.put(delta, view.snapshot)


def live_router(hub: LiveHub, default_park: Callable[[], str | None]) -> APIRouter:
    """Return the router of ``/live``."""
    router = APIRouter()

    @router.websocket("/live")
    async def live(socket: WebSocket, park: str = "", profile: str = "shell") -> None:
        watched = park or default_park() or ""
        await socket.accept()
        try:
            client = await hub.join(watched, profile)
        except TwinError as error:
            await socket.close(4404, str(error)[:120])
            return
        try:
            await _serve(socket, client)
        finally:
            hub.leave(watched, profile, client)

    return router


async def _serve(socket: WebSocket, client: Client) -> None:
    """Send until either side ends."""
    listening = asyncio.create_task(_until_closed(socket))
    sending = asyncio.create_task(_send_all(socket, client))
    _, pending = await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(listening, sending, return_exceptions=True)


async def _until_closed(socket: WebSocket) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive_bytes()


async def _send_all(socket: WebSocket, client: Client) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.send_text((await client.next()).decode())
