"""The plant itself: one process that plays the park and feeds one server process per endpoint."""

import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from connectors.plant.child import Message, ServerChild
from connectors.plant.faults import OF_ENDPOINTS, ActiveFault, Labels, fault_kind
from connectors.plant.keys import ensure_keys
from connectors.plant.layout import namespaces, plan_server
from connectors.plant.physics.truth import Truth
from connectors.plant.settings import PlantSettings, check_free, servers_of, urls_of
from connectors.plant.statefile import PlantState, read_state, write_state
from connectors.plant.wire import ServerSetup
from models.errors import InputError, NotFound, TwinError
from twin.park import Park
from twin.parkfile.schema import Endpoint

_LOG: Final = logging.getLogger(__name__)
_TICK_S: Final = 1.0
_DRIFT_US: Final = 1_000


@dataclass(slots=True)
class PlantClock:
    """Park time from wall time: it starts at a time and runs at a speed."""

    at_us: int
    speed: float
    _since_s: float = field(default_factory=time.monotonic)

    def now_us(self) -> int:
        """Park time now, in whole milliseconds [us]."""
        passed_s = time.monotonic() - self._since_s
        us = self.at_us + round(passed_s * self.speed * 1e6)
        return us - us % _DRIFT_US

    def run_at(self, speed: float) -> None:
        """Go on from now at another speed."""
        self.at_us, self._since_s = self.now_us(), time.monotonic()
        self.speed = speed


class Plant:
    """A running virtual plant.

    Parameters
    ----------
    park
        The compiled park.
    settings
        How it is run.
    """

    def __init__(self, park: Park, settings: PlantSettings) -> None:
        self._park, self._settings = park, settings
        saved = None
        if settings.state is not None and settings.start_us is None:
            saved = read_state(settings.state)
        start_us = settings.start_us or (saved.at_us if saved else round(time.time() * 1e6))
        plan = park.spec.virtual_plant
        seed = settings.seed if settings.seed is not None else plan.seed if plan else 7
        self._start_us = start_us - start_us % _DRIFT_US
        self._first_us = saved.first_us if saved else self._start_us
        self._seed = seed
        self._counters = saved.counters if saved else {}
        self._urls = urls_of(park, settings)
        check_free(self._urls)
        self._truth: Truth
        self._clock: PlantClock
        self._labels = Labels(settings.labels)
        self._due = sorted(self._planned(), key=lambda fault: fault.from_us)
        self._active: list[ActiveFault] = []
        self._children: dict[str, ServerChild] = {}
        self._stop = asyncio.Event()
        self._announced: dict[str, int] = {}

    async def run(self) -> None:
        """Play until stopped."""
        with tempfile.TemporaryDirectory(prefix="parktwin-plant-") as scratch:
            await self._make_children(self._settings.pki or Path(scratch) / "pki")
            running = [asyncio.create_task(c.keep_running()) for c in self._children.values()]
            others = [asyncio.create_task(self._listen())] if self._settings.control else []
            try:
                # The hidden park runs its first hours while the servers start.
                self._truth = await asyncio.to_thread(self._make_truth)
                for child in self._children.values():
                    child.read_from(self._truth)
                await self._first_ready(running)
                await self._play()
            finally:
                for task in (*running, *others):
                    task.cancel()
                await asyncio.gather(*running, *others, return_exceptions=True)

    def stop(self) -> None:
        """Let `run` end."""
        self._stop.set()

    def _make_truth(self) -> Truth:
        return Truth(self._park, self._seed, self._start_us, self._counters)

    async def _make_children(self, pki: Path) -> None:
        for server in servers_of(self._park):
            endpoint = self._park.endpoints[server.endpoint]
            nodes = plan_server(self._park, server)
            secure = self._settings.secure or endpoint.security != "None"
            folder = pki / endpoint.id
            if secure:
                await ensure_keys(folder, f"urn:parktwin:plant:{endpoint.id}")
            setup = ServerSetup(
                endpoint=endpoint.id,
                url=self._urls[endpoint.id],
                namespaces=namespaces(server, nodes),
                nodes=nodes,
                secure=secure,
                pki=str(folder) if secure else "",
                user=endpoint.user,
                password=_password(endpoint),
            )
            self._children[endpoint.id] = ServerChild(setup, self._heard)

    async def _first_ready(self, running: list[asyncio.Task[None]]) -> None:
        """Wait until all servers listen, or one of them cannot."""
        firsts = (asyncio.create_task(self._all_listen()), asyncio.create_task(self._stopped()))
        await asyncio.wait((*firsts, *running), return_when=asyncio.FIRST_COMPLETED)
        for wait in firsts:
            wait.cancel()
        await asyncio.gather(*firsts, return_exceptions=True)
        for task in running:
            if task.done():
                task.result()

    async def _all_listen(self) -> None:
        for child in self._children.values():
            await child.ready.wait()

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _play(self) -> None:
        speed = self._settings.speed
        self._clock = PlantClock(self._start_us, speed)
        next_s = time.monotonic()
        while not self._stop.is_set():
            self._tick()
            next_s = max(next_s + _TICK_S, time.monotonic())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), next_s - time.monotonic())

    def _tick(self) -> None:
        now_us = self._clock.now_us()
        self._faults_until(now_us)
        self._truth.advance(now_us)
        readings = self._truth.read()
        if self._settings.state is not None:
            # Written before it is shown: after a kill no counter goes back behind what was seen.
            counters = self._truth.counters()
            state = PlantState(
                at_us=now_us,
                first_us=self._first_us,
                speed=self._clock.speed,
                counters=counters,
            )
            write_state(self._settings.state, state)
        for child in self._children.values():
            child.feed(readings, now_us, self._clock.speed)
        self._announce()

    def _faults_until(self, now_us: int) -> None:
        while True:
            ends = [f for f in self._active if f.until_us is not None and f.until_us <= now_us]
            begins = [f for f in self._due if f.from_us <= now_us]
            changes = [(f.until_us or 0, 0, f) for f in ends] + [(f.from_us, 1, f) for f in begins]
            if not changes:
                return
            at_us, begin, fault = min(changes, key=lambda change: change[:2])
            self._truth.advance(at_us)
            if begin:
                self._due.remove(fault)
                self._begin(fault)
            else:
                self._end(fault, max(at_us, self._truth.now_us))

    def _begin(self, fault: ActiveFault) -> None:
        try:
            if fault.kind in OF_ENDPOINTS:
                self._at_endpoint(fault, begins=True)
            else:
                self._truth.begin_fault(fault)
        except TwinError as error:
            _LOG.warning("fault refused", extra={"fault": fault.kind, "cause": str(error)})
            return
        self._active.append(fault)
        self._labels.begin(fault)

    def _end(self, fault: ActiveFault, at_us: int) -> None:
        if fault.kind in OF_ENDPOINTS:
            self._at_endpoint(fault, begins=False)
        else:
            self._truth.end_fault(fault)
        self._active.remove(fault)
        self._labels.end(fault, at_us)

    def _at_endpoint(self, fault: ActiveFault, *, begins: bool) -> None:
        child = self._child(fault.target)
        if fault.kind == "frozen_good":
            child.frozen = begins
        else:
            child.offset_us = round((fault.size or 7.0) * 3.6e9) if begins else 0

    def _child(self, endpoint: str) -> ServerChild:
        if endpoint not in self._children:
            raise NotFound("endpoint", endpoint, tuple(self._children))
        return self._children[endpoint]

    def _planned(self) -> list[ActiveFault]:
        """Faults to come, and those that a restart finds still acting."""
        plan = self._park.spec.virtual_plant
        planned = [
            ActiveFault(
                kind=fault.kind,
                target=fault.target,
                size=fault.size,
                from_us=round(fault.at * 1e6),
                until_us=None if fault.until is None else round(fault.until * 1e6),
            )
            for fault in (plan.faults if plan else ())
        ]
        due = [fault.after(self._first_us) for fault in (*planned, *self._settings.faults)]
        return [fault for fault in due if fault.acts_after(self._start_us)]

    def _heard(self, endpoint: str, message: Message) -> None:
        """A message of a server, or a command."""
        try:
            self._obey(endpoint, message)
        except TwinError as error:
            _LOG.warning("command refused", extra={"endpoint": endpoint, "cause": str(error)})

    def _obey(self, endpoint: str, message: Message) -> None:
        fault, clear = message.get("fault"), message.get("clear")
        if isinstance(fault, Mapping):
            self._due.append(self._asked(fault))
        elif isinstance(clear, Mapping):
            self._clear(str(clear.get("kind", "")), str(clear.get("target", "")))
        elif "restart" in message:
            child = self._child(str(message["restart"] or endpoint))
            given = message.get("namespaces")
            order = tuple(str(uri) for uri in given) if isinstance(given, list) else None
            restarting = asyncio.get_running_loop().create_task(child.restart(order))
            restarting.add_done_callback(lambda task: task.exception())
        elif "speed" in message:
            speed = float(str(message["speed"]))
            self._clock.run_at(replace(self._settings, speed=speed).speed)

    def _asked(self, fault: Mapping[str, object]) -> ActiveFault:
        now_us = self._truth.now_us
        duration_s = float(str(fault.get("duration_s", 0.0)))
        return ActiveFault(
            kind=fault_kind(str(fault.get("kind", ""))),
            target=str(fault.get("target", "")),
            size=float(str(fault.get("size", 0.0))),
            from_us=now_us,
            until_us=now_us + round(duration_s * 1e6) if duration_s > 0.0 else None,
        )

    def _clear(self, kind: str, target: str) -> None:
        for fault in tuple(self._active):
            if fault.target == target and kind in ("", fault.kind):
                self._end(fault, self._truth.now_us)

    async def _listen(self) -> None:
        """Commands on standard input, one JSON object per line; its end stops the plant."""
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
        )
        async for line in reader:
            try:
                message = json.loads(line)
            except ValueError:
                _LOG.warning("command is no JSON")
                continue
            if isinstance(message, dict):
                self._heard("", message)
        self.stop()

    def _announce(self) -> None:
        """Say once per process that it listens, and keep the ready file true."""
        listening = {
            name: child.pid
            for name, child in self._children.items()
            if child.ready.is_set() and child.pid is not None
        }
        if listening == self._announced:
            return
        for name in listening.keys() - self._announced.keys():
            url = self._children[name].setup.url
            sys.stdout.write(f"endpoint {name} {url} pid {listening[name]}\n")
        sys.stdout.flush()
        self._announced = listening
        if self._settings.ready is not None and len(listening) == len(self._children):
            urls = {name: child.setup.url for name, child in self._children.items()}
            row = {"pid": os.getpid(), "endpoints": urls, "pids": listening}
            fresh = self._settings.ready.with_name(self._settings.ready.name + ".new")
            fresh.write_text(json.dumps(row), encoding="utf-8")
            fresh.replace(self._settings.ready)


def _password(endpoint: Endpoint) -> str:
    """The password an endpoint refers to, from the environment or a file.

    Raises
    ------
    InputError
        When the reference leads nowhere.
    """
    kind, _, name = endpoint.password.partition(":")
    if not endpoint.user or not kind:
        return ""
    try:
        return os.environ[name] if kind == "env" else Path(name).read_text("utf-8").strip()
    except (KeyError, OSError) as error:
        raise InputError(
            f"password of {endpoint.id} ({endpoint.password}) is not there",
            "set the variable or write the file",
            endpoint.id,
        ) from error
