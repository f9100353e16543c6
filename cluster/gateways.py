"""The gateways of one park: as many as its endpoints need, each endpoint read by exactly one.

**A move.** The old gateway lets go and says up to when it has covered the endpoint; the new owner
is written down; the new gateway goes on from there and covers the time between as a gap. Whatever
ends halfway is taken up at the next beat. An old gateway that does not answer any more is ended
first, and nothing moves before its folder's lock is free: that is when its process is gone.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol, cast

from cluster.assignments import Assignments, read_assignments, write_assignments
from cluster.spread import spread
from connectors.gateway import GatewayMeasures, Taken, read_state
from connectors.opcua.config import EndpointConfig
from connectors.opcua.report import EndpointState, EndpointStatus
from models.errors import TwinError, Unavailable
from twin.disk import Lock, OsDisk

logger = logging.getLogger(__name__)

_EACH: Final = frozenset({"certificates_changed"})
_RENEWAL: Final = "ask_with_staged"
_MERGED: Final = frozenset({_RENEWAL, "shown"})
_IDLE_LOOKS: Final = 5
OF_ENDPOINT: Final = frozenset({"browse", "tag_counts", "trust", "crawl", "crawl_stop", "crawled"})
"""Methods whose first argument is an endpoint, or an address."""
_CONTROL: Final = frozenset({"write", "call"})
"""The same, but no gateway in a plant takes them."""


class Handle(Protocol):
    """One gateway, wherever it runs."""

    async def ask(self, method: str, *arguments: object) -> object:
        """Call a method of its host; raises `Unavailable` while it is away."""

    def kill(self) -> None:
        """End its process for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaysSettings:
    """How the gateways of a park share its endpoints.

    Parameters
    ----------
    first
        Name of the first gateway; the others are numbered after it.
    limit
        Endpoints of one gateway at most.
    away_s
        A gateway that does not answer for this long is given up [s].
    """

    first: str
    limit: int = 50
    away_s: float = 60.0


class Gateways:
    """Holds the gateways of a park.

    Parameters
    ----------
    settings
        Names and limits.
    file
        Where the assignments are kept.
    folder_of
        Folder of a gateway by its name.
    start
        Starts a gateway of this name.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        settings: GatewaysSettings,
        file: Path,
        folder_of: Callable[[str], Path],
        start: Callable[[str], Handle],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.handles: dict[str, Handle] = {}
        self.statuses: list[EndpointStatus] = []
        self.measures: dict[str, GatewayMeasures] = {}
        self.broken: set[str] = set()
        self._file, self._folder_of, self._start, self._clock = file, folder_of, start, clock
        self._away: dict[str, float] = {}
        self._idle: dict[str, int] = {}
        self._wanted: dict[str, EndpointConfig] | None = None
        self._now: Assignments | None = None
        self._settled = True
        self._holding, self._looking = asyncio.Lock(), asyncio.Lock()

    # Holding endpoints

    async def hold(self, configs: Sequence[EndpointConfig]) -> None:
        """Have exactly these endpoints read, each by one gateway.

        Raises
        ------
        TwinError
            When a gateway does not take part; `look` tries again.
        """
        async with self._holding:
            self._wanted = {config.id: config for config in configs}
            await self._hold()

    async def _hold(self) -> None:
        self._settled = False
        wanted = self._wanted or {}
        before = await self._before()
        of = spread(
            {name: values_per_s(config) for name, config in wanted.items()},
            before.of,
            first=self.settings.first,
            limit=self.settings.limit,
            broken=self.broken,
        )
        version = before.version + 1
        taken = dict(before.taken)
        leaving = {e: g for e, g in before.of.items() if of.get(e) != g}
        for gateway in sorted(set(leaving.values())):
            own = [e for e, g in leaving.items() if g == gateway]
            taken |= await self._let_go(gateway, own, of, before, version)
        if self._file.exists():
            new = of.keys() - before.of.keys()
            # Whatever a gateway remembers of one that was removed long ago is no gap of this one.
            taken |= {e: Taken(memory={}, cause="") for e in new}
        now = Assignments(
            version=version, of=of, taken={e: one for e, one in taken.items() if e in of}
        )
        await self._write(now)
        for gateway in sorted({self.settings.first, *of.values(), *self.handles}):
            if gateway not in self.broken:
                reads = [wanted[e] for e, g in of.items() if g == gateway]
                known = {c.id: now.taken[c.id] for c in reads if c.id in now.taken}
                await self._handle(gateway).ask("put_all", reads, version, known, {})
        if now.taken:
            await self._write(replace(now, taken={}))
        for gateway in sorted(self.broken):
            self._handle(gateway)  # a process without endpoints delivers what the buffer holds
        self._settled = True

    async def _before(self) -> Assignments:
        if self._now is None:
            found = await asyncio.to_thread(read_assignments, self._file)
            self._now = found or Assignments()
        return self._now

    async def _write(self, now: Assignments) -> None:
        await asyncio.to_thread(write_assignments, self._file, now)
        self._now = now

    async def _let_go(
        self,
        gateway: str,
        own: Sequence[str],
        of: Mapping[str, str],
        before: Assignments,
        version: int,
    ) -> dict[str, Taken]:
        """Have a gateway stop reading endpoints; what it knows of those another one takes."""
        moved = {e: f"read by {of[e]} now" for e in own if e in of}
        # What it had not taken up itself is passed on as it came.
        passed_on = {e: one for e, one in before.taken.items() if e in moved}
        if gateway in self.broken:
            return passed_on | await asyncio.to_thread(self._left_by, gateway, moved)
        wanted = self._wanted or {}
        kept = [e for e, g in before.of.items() if g == gateway and e not in own]
        stays = [wanted[endpoint] for endpoint in kept if endpoint in wanted]
        staying = {c.id: before.taken[c.id] for c in stays if c.id in before.taken}
        told = await self._handle(gateway).ask("put_all", stays, version, staying, moved)
        return passed_on | cast("dict[str, Taken]", told)

    def _left_by(self, gateway: str, moved: Mapping[str, str]) -> dict[str, Taken]:
        """What a gateway that was given up remembered, once its process is certainly gone."""
        folder = self._folder_of(gateway)
        lock = _lock(folder)
        if isinstance(lock, str):
            raise Unavailable(
                f"{gateway} does not answer and its process has not ended ({lock})",
                "end that process: its endpoints are then read by the others",
            )
        memory = read_state(folder)
        lock.release()
        return {e: Taken(memory=memory[e], cause=why) for e, why in moved.items() if e in memory}

    def _handle(self, gateway: str) -> Handle:
        if gateway not in self.handles:
            self.handles[gateway] = self._start(gateway)
        return self.handles[gateway]

    def open(self) -> None:
        """Start the first gateway, and those with something left; others when they are needed."""
        first = self.settings.first
        self._handle(first)
        for folder in self._folder_of(first).parent.glob(f"{first}-*"):
            numbered = folder.name.removeprefix(f"{first}-").isdigit()
            if numbered and any(s.stat().st_size for s in folder.glob("buffer/*.seg")):
                self._handle(folder.name)

    # Looking at them

    async def look(self) -> None:
        """Ask every gateway how it is; give up who is away too long, and finish what is open."""
        async with self._looking:  # else one look could ask a gateway that another one closes
            await self._look()

    async def _look(self) -> None:
        names = list(self.handles)
        told = await asyncio.gather(*(self._look_at(name) for name in names))
        self.statuses = sorted((s for each in told for s in each), key=lambda s: s.id)
        async with self._holding:
            lost = [n for n in names if self._away_s(n) > self.settings.away_s]
            for name in lost:
                self._give_up(name)
            if self._wanted is not None and not self._settled:
                try:
                    await self._hold()
                except TwinError as fault:
                    logger.warning("endpoints are not shared out", extra={"cause": str(fault)})
            for name in self._spare():
                await self._close_one(name)

    def _spare(self) -> list[str]:
        """Gateways that read nothing and have had nothing to deliver for some looks."""
        of = {} if self._now is None else self._now.of
        reads = {self.settings.first, *of.values()}
        for name in list(self.handles):
            held = self.measures.get(name)
            empty = held is not None and not held.waiting and not held.fault
            idle = self._settled and name not in reads and empty
            self._idle[name] = self._idle.get(name, 0) + 1 if idle else 0
        return [name for name, looks in self._idle.items() if looks >= _IDLE_LOOKS]

    async def _close_one(self, name: str) -> None:
        handle = self.handles.pop(name)
        self._idle.pop(name, None)
        self.measures.pop(name, None)
        self._away.pop(name, None)
        try:
            await handle.ask("stop")
        except TwinError as fault:
            logger.warning("a gateway did not stop cleanly", extra={"cause": str(fault)})
        handle.kill()

    async def _look_at(self, name: str) -> list[EndpointStatus]:
        handle = self.handles[name]
        try:
            statuses = cast("list[EndpointStatus]", await handle.ask("status"))
            self.measures[name] = cast("GatewayMeasures", await handle.ask("measures"))
        except TwinError as fault:
            return self._lost(name, fault)
        self._away.pop(name, None)
        self.broken.discard(name)
        return [replace(status, gateway=name) for status in statuses]

    def _lost(self, name: str, fault: TwinError) -> list[EndpointStatus]:
        """What it said last does not hold any more: nobody knows how its endpoints are."""
        logger.warning("gateway is away", extra={"gateway": name, "cause": str(fault)})
        self._away.setdefault(name, self._clock())
        known = self.measures.get(name, GatewayMeasures())
        self.measures[name] = replace(known, fault=str(fault))
        of = {} if self._now is None else self._now.of
        return [
            status
            if status.state is EndpointState.DISABLED
            else replace(status, state=EndpointState.OFFLINE, cause=str(fault), values_per_s=0.0)
            for status in self.statuses
            if status.gateway == name and of.get(status.id, name) == name
        ]

    def _away_s(self, name: str) -> float:
        since = self._away.get(name)
        return 0.0 if since is None else self._clock() - since

    def _give_up(self, name: str) -> None:
        """End a gateway; another process of its name delivers what its buffer holds."""
        logger.error("gateway is given up", extra={"gateway": name})
        self.handles.pop(name).kill()
        self._idle.pop(name, None)
        del self._away[name]
        self.broken.add(name)
        self._settled = False

    # Asking them

    def owner(self, endpoint: str) -> str:
        """Name of the gateway that reads an endpoint; the first for one nobody reads."""
        of = {} if self._now is None else self._now.of
        return of.get(endpoint, self.settings.first)

    async def ask(self, method: str, *arguments: object) -> object:
        """Ask those whom it concerns: the owner of an endpoint, all, or the first."""
        if method in _EACH:
            asked = (handle.ask(method, *arguments) for handle in self.handles.values())
            # One that is away keeps it from no other: the fault is told when all have answered.
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                if isinstance(answer, BaseException):
                    raise answer
            return None
        if method in _MERGED:
            merged: dict[str, object] = self._unasked() if method == _RENEWAL else {}
            for name in list(self.handles):
                merged |= cast("dict[str, object]", await self.handles[name].ask(method))
            return merged
        name = self.settings.first
        if method in OF_ENDPOINT | _CONTROL and arguments:
            name = self.owner(str(arguments[0]))
        if name not in self.handles and self.handles:
            name = min(self.handles)
        if name not in self.handles:
            raise Unavailable("the gateway is starting", "wait some seconds")
        return await self.handles[name].ask(method, *arguments)

    def _unasked(self) -> dict[str, object]:
        """Secure endpoint → why its server does not take our new certificate, until it was asked.

        One that no gateway reads at the moment would else be lost by the renewal in silence.
        """
        if self._wanted is None:
            raise Unavailable("the gateway is starting", "wait some seconds")
        why = "it was not asked, for no gateway reads it now: wait some seconds"
        secure = (c for c in self._wanted.values() if c.policy != "None" and c.enabled)
        return {config.id: why for config in secure}

    async def close(self) -> None:
        """Stop them all at once, and end their processes."""
        handles = list(self.handles.values())
        ends = await asyncio.gather(*(h.ask("stop") for h in handles), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                logger.warning("a gateway did not stop cleanly", extra={"cause": str(end)})
        for handle in handles:
            handle.kill()


def values_per_s(config: EndpointConfig) -> float:
    """Values a second an endpoint is asked for at most [1/s]."""
    if not config.enabled:
        return 0.0
    intervals = (item.sampling_ms or config.sampling_ms for item in config.items)
    return sum(1000.0 / max(ms, 1.0) for ms in intervals)


def _lock(folder: Path) -> Lock | str:
    """The lock of a gateway's buffer, or who holds it."""
    buffer = folder / "buffer"
    buffer.mkdir(parents=True, exist_ok=True)
    return OsDisk().lock(buffer / "lock", "moving endpoints")
