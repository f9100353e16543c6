"""What the OPC UA server of a twin shows, asked of a running service over HTTP once a second."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar, cast

import httpx
import orjson

from cluster.client import error_of
from connectors.twin_server.feed import Figures, News, Reading
from connectors.twin_server.quality import Link
from models.errors import InputError, TwinError, Unavailable
from twin.alarms import Alarm, AlarmState, Priority
from twin.label import Label
from twin.samples import to_us

logger = logging.getLogger(__name__)

T = TypeVar("T")
Take = Callable[[News], Awaitable[None]]
Lose = Callable[[Link], Awaitable[None]]
_PATIENCE: Final = 5
"""Answers that may fail in a row before a part counts as unknown."""
_UNKNOWN: Final = {"modes": News(modes={}), "forecasts": News(forecasts={})}
_MODE: Final = "/operation_mode"
_MINUTE_US: Final = 60_000_000
ALL_NIGHT_MIN: Final = 1440.0
"""What stands for "all night": a forecast without an end is no number for a trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """How often what is asked, and when the twin counts as lost [s].

    Parameters
    ----------
    figures_s, alarms_s, modes_s, forecasts_s
        Wall time between two questions; alarms are asked at once when their counts change.
    stale_s
        Without a new frame after this, values are uncertain.
    away_s
        Without a new frame after this they are bad.
    mute_s
        The same for a service that does not answer at all.
    """

    figures_s: float = 1.0
    alarms_s: float = 5.0
    modes_s: float = 5.0
    forecasts_s: float = 60.0
    stale_s: float = 5.0
    away_s: float = 30.0
    mute_s: float = 3.0


class TwinFeed:
    """Asks one service for one park and hands on what is new.

    Parameters
    ----------
    url, park
        Where the service is, and which park.
    take, lose
        Get what is new, and that the twin is not heard.
    paces
        How often.
    tell
        Gets a line when the twin is heard or lost.
    transport
        Carries the requests; tests pass one that stays in the process.
    """

    def __init__(
        self,
        url: str,
        park: str,
        take: Take,
        lose: Lose,
        paces: Paces | None = None,
        tell: Callable[[str], None] = logger.info,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self._park = url, park
        self._take, self._lose, self._paces = take, lose, paces or Paces()
        self._tell = tell
        self._misses: Counter[str] = Counter()
        self._http = httpx.AsyncClient(
            base_url=f"{url.rstrip('/')}/api/v1",
            timeout=httpx.Timeout(60.0, connect=2.0),
            transport=transport,
            trust_env=False,
        )
        self._seq: int | None = None
        self._at_us = 0
        self._heard_s = self._answered_s = time.monotonic()
        self._counts: object = None
        self._due_s: dict[str, float] = {}
        self._side: set[asyncio.Task[None]] = set()
        self.fault = "not asked yet"

    async def run(self) -> None:
        """Ask for ever."""
        try:
            while True:
                began_s = time.monotonic()
                await self.step()
                used_s = time.monotonic() - began_s
                await asyncio.sleep(max(0.05, self._paces.figures_s - used_s))
        finally:
            await self.close()

    async def close(self) -> None:
        """Stop asking."""
        for task in self._side:
            task.cancel()
        await asyncio.gather(*self._side, return_exceptions=True)
        await self._http.aclose()

    async def step(self) -> None:
        """Ask once, and hand on what is new."""
        try:
            frame = await self._get("figures", self._paces.mute_s)
            await self._show(frame)
        except TwinError as error:
            await self._failed(error)

    async def _show(self, frame: Mapping[str, object]) -> None:
        figures, now_s = self._read(lambda: figures_of(frame)), time.monotonic()
        self._answered_s = now_s
        if figures.seq == self._seq:
            await self._judge(now_s - self._heard_s)
            return
        if self.fault:
            self._tell(f"the twin of {self._park} is heard")
            self._due_s.clear()
        self._seq, self._heard_s, self.fault = figures.seq, now_s, ""
        self._at_us = figures.at_us
        await self._take(News(figures=figures))
        counts, self._counts = self._counts, frame.get("alarms")
        if counts != self._counts:
            self._due_s.pop("alarms", None)
        await self._ask_aside(now_s)

    async def _ask_aside(self, now_s: float) -> None:
        """Ask for the rest where it is due, beside the figures: a slow answer delays none."""
        paces, asks = self._paces, (self._alarms, self._modes, self._forecasts)
        every = (paces.alarms_s, paces.modes_s, paces.forecasts_s)
        for name, ask, pace_s in zip(("alarms", "modes", "forecasts"), asks, every, strict=True):
            running = any(task.get_name() == name for task in self._side)
            if now_s >= self._due_s.get(name, 0.0) and not running:
                self._due_s[name] = now_s + pace_s
                task = asyncio.create_task(self._quietly(name, ask), name=name)
                self._side.add(task)
                task.add_done_callback(self._side.discard)

    async def _quietly(self, name: str, ask: Callable[[], Awaitable[News]]) -> None:
        try:
            news = await ask()
        except TwinError as error:
            logger.warning("a part is missing", extra={"part": name, "cause": str(error)})
            self._misses[name] += 1
            if self._misses[name] < _PATIENCE:
                return
            news = _UNKNOWN.get(name, News())
        else:
            self._misses.pop(name, None)
        if not self.fault:  # an answer from before the twin was lost must not undo that
            await self._take(news)

    async def _alarms(self) -> News:
        found = await self._rows("alarms")
        return News(alarms=self._read(lambda: tuple(alarm_of(row) for row in found)))

    async def _modes(self) -> News:
        found = await self._rows("tags", pattern=_MODE)
        return News(modes=self._read(lambda: modes_of(self._park, found)))

    async def _forecasts(self) -> News:
        found = await self._get("headroom", None)
        return News(forecasts=self._read(lambda: forecasts_of(found, self._at_us)))

    async def _failed(self, error: TwinError) -> None:
        if self.fault != str(error):
            self._tell(f"the twin of {self._park} is not heard: {error}")
        self.fault = str(error)
        silent_s = time.monotonic() - self._answered_s
        if silent_s >= self._paces.mute_s:
            self._seq = None
            await self._lose(Link.AWAY)

    async def _judge(self, silent_s: float) -> None:
        """The service answers, but its twin has no newer frame."""
        if silent_s < self._paces.stale_s:
            return
        link = Link.AWAY if silent_s >= self._paces.away_s else Link.STALE
        self.fault = f"no new frame for {silent_s:.0f} s"
        await self._lose(link)

    def _read(self, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise _not_ours(self.url) from error

    async def _get(self, path: str, patience_s: float | None) -> Mapping[str, object]:
        found = await self._ask(path, {}, patience_s)
        if not isinstance(found, dict):
            raise _not_ours(self.url)
        return found

    async def _rows(self, path: str, **query: str) -> list[Mapping[str, object]]:
        found = await self._ask(path, query, None)
        if not isinstance(found, list):
            raise _not_ours(self.url)
        return found

    async def _ask(self, path: str, query: dict[str, str], patience_s: float | None) -> object:
        limit = {} if patience_s is None else {"timeout": patience_s}
        try:
            answer = await self._http.get(
                f"/parks/{self._park}/{path}",
                params=query,
                **limit,  # type: ignore[arg-type]
            )
        except httpx.TransportError as error:
            raise Unavailable(f"{self.url} does not answer ({type(error).__name__})") from error
        if answer.is_error:
            raise error_of(answer.status_code, answer.content)
        try:
            return orjson.loads(answer.content)
        except orjson.JSONDecodeError as error:
            raise _not_ours(self.url) from error


def figures_of(frame: Mapping[str, object]) -> Figures:
    """A frame as the routes render it."""
    return Figures(
        seq=int(str(frame["seq"])),
        at_us=_us(frame["now"]),
        speed=float(str(frame["speed"])),
        values=cast("Mapping[str, float | None]", frame["values"]),
        quality=cast("Mapping[str, int]", frame["quality"]),
        measured=cast("Mapping[str, float]", frame["measured"]),
    )


def alarm_of(row: Mapping[str, object]) -> Alarm:
    """An alarm as the routes render it."""
    label = cast("Mapping[str, str]", row["label"])
    return Alarm(
        id=str(row["id"]),
        rule=str(row["rule"]),
        asset=str(row["asset"]),
        label=Label(vi=label["vi"], en=label["en"]),
        priority=Priority(str(row["priority"])),
        state=AlarmState(str(row["state"])),
        active=bool(row["active"]),
        raised_us=_us(row["raised"]),
        returned_us=_maybe_us(row["returned"]),
        acknowledged_us=_maybe_us(row["acknowledged"]),
        acknowledged_by=str(row["acknowledged_by"]),
        note=str(row["note"]),
        shelved_until_us=_maybe_us(row["shelved_until"]),
        members=int(str(row["members"])),
    )


def modes_of(park: str, rows: Iterable[Mapping[str, object]]) -> dict[str, Reading]:
    """Operation modes of machines, from the tags that hold them."""
    modes: dict[str, Reading] = {}
    for row in rows:
        path = str(row["path"])
        if not path.endswith(_MODE) or row["at"] is None:
            continue
        value = row["value"]
        modes[path.removeprefix(f"{park}/").removesuffix(_MODE)] = Reading(
            value=None if value is None else float(str(value)),
            at_us=_us(row["at"]),
            quality=int(str(row["quality"])),
        )
    return modes


def forecasts_of(headroom: Mapping[str, object], now_us: int) -> dict[str, Reading]:
    """The coming evening as numbers, by the names of `plan.FORECASTS`.

    Parameters
    ----------
    headroom
        Headroom as the routes render it; what has no end is null there.
    now_us
        Park now [us].
    """
    over = cast("list[float]", headroom["p_over"])
    numbers = {
        "peak_mva": headroom["peak_mva"],
        "minutes_to_peak": max(0, _us(headroom["peak_at"]) - now_us) / _MINUTE_US,
        "n1_minutes": _ended(headroom["n1_minutes"]),
        "n1_minutes_low": _ended(headroom["n1_minutes_low"]),
        "over_minutes": headroom["over_minutes"],
        "p_over_pct": over[0] * 100.0,
        "p_over_n1_pct": over[1] * 100.0,
    }
    return {
        name: Reading(value=None if value is None else float(str(value)), at_us=now_us)
        for name, value in numbers.items()
    }


def _ended(minutes: object) -> float:
    return ALL_NIGHT_MIN if minutes is None else min(float(str(minutes)), ALL_NIGHT_MIN)


def _us(value: object) -> int:
    return to_us(datetime.fromisoformat(str(value)))


def _maybe_us(value: object) -> int | None:
    return None if value is None else _us(value)


def _not_ours(url: str) -> InputError:
    return InputError(f"what answers at {url} is no parktwin", "name the service with --url", "url")
