"""Errands of gateways in plants, at the service: who waits for what, and who is away.

A gateway opens no port: it asks every few seconds what is wanted, and more often while something
is. The list of open errands is the whole truth, told with every answer: a lost answer is made up
for by the next one, and what is on the list no longer is given up in the plant. Nothing is kept on
disk: after a restart of the service nobody waits any more, and the gateway is told so.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from pydantic import ValidationError

from cluster.errand import KINDS, PAGE, Errand, Wanted, error_of, plain_arguments
from cluster.errand_report import Report
from cluster.ports import EndpointTest
from cluster.trial_room import TrialRoom
from connectors.onboarding.seen import SeenNode
from connectors.opcua.config import EndpointConfig
from models.errors import Unavailable

AWAY_S: Final = 20.0
"""A gateway asks every two seconds; ten in a row are missing."""
OPEN_MOST: Final = 8
"""Errands of one gateway at once: each may hold a session of a small PLC."""
_SLACK_S: Final = 5.0
_LOOK_S: Final = 0.5
_NODES_MOST: Final = 200_000
_CRAWLS_KEPT: Final = 2

Told = Callable[[Any], None]


@dataclass(slots=True)
class _Open:
    """An errand somebody waits for."""

    gateway: str
    errand: Errand
    told: Told
    answer: "asyncio.Future[object]"
    given_to: str = ""


@dataclass(slots=True)
class _Heard:
    """When a gateway asked last, and which process of it."""

    at_s: float
    run: str


@dataclass(slots=True)
class Errands:
    """Open errands of all gateways in plants.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    clock: Callable[[], float] = time.monotonic
    trials: TrialRoom = field(default_factory=TrialRoom)
    _open: dict[str, _Open] = field(default_factory=dict)
    _heard: dict[str, _Heard] = field(default_factory=dict)
    _news: int = field(default_factory=time.time_ns)
    _nodes: dict[tuple[str, str, str], tuple[SeenNode, ...]] = field(default_factory=dict)

    # What the service asks

    async def ask(
        self,
        gateway: str,
        park: str,
        method: str,
        *arguments: object,
        told: Told = lambda _: None,
    ) -> object:
        """Have a gateway do something, and wait for what comes of it.

        Parameters
        ----------
        gateway, park
            Who, and for which park.
        method, arguments
            One of `cluster.errand.KINDS`.
        told
            Gets what was found so far.

        Raises
        ------
        Unavailable
            When the gateway is away, falls silent, is restarted meanwhile, or takes too long.
        TwinError
            As it happened in the plant.
        """
        self._present(gateway)
        if sum(one.gateway == gateway for one in self._open.values()) >= OPEN_MOST:
            raise Unavailable(
                f"gateway {gateway} has {OPEN_MOST} errands under way", "wait until one is done"
            )
        errand = Errand(
            id=uuid.uuid4().hex,
            park=park,
            method=method,
            arguments=plain_arguments(arguments),
            limit_s=KINDS[method].limit_s,
        )
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        one = self._open[errand.id] = _Open(gateway, errand, told, answer)
        try:
            return await self._answered(one)
        finally:
            # Whoever waited is gone: the gateway reads that from the list, and stops.
            del self._open[errand.id]

    async def _answered(self, one: _Open) -> object:
        until_s = self.clock() + one.errand.limit_s + _SLACK_S
        while not one.answer.done():
            await asyncio.wait({one.answer}, timeout=_LOOK_S)
            if one.answer.done():
                break
            self._present(one.gateway)
            if self.clock() > until_s:
                raise Unavailable(
                    f"gateway {one.gateway} has not finished within {one.errand.limit_s:.0f} s",
                    "look at its log, and at the server it asks",
                )
        return one.answer.result()

    async def ask_of(self, gateway: str, park: str, method: str, *arguments: object) -> object:
        """`ask` as the gateways of the service are asked: what a crawl found comes as one list."""
        key = (gateway, park, str(arguments[0]))
        if method == "crawled":
            return await self._crawled(*key)
        found = await self.ask(gateway, park, method, *arguments)
        if method == "crawl" and cast("Mapping[str, object]", found)["state"] != "done":
            self._nodes.pop(key, None)  # another crawl of it has begun
        return found

    async def _crawled(self, gateway: str, park: str, name: str) -> tuple[SeenNode, ...]:
        """Nodes of a finished crawl; fetched once in pages, then remembered."""
        key = (gateway, park, name)
        if key not in self._nodes:
            nodes: list[SeenNode] = []
            while len(nodes) < _NODES_MOST:
                told = await self.ask(gateway, park, "crawled", name, len(nodes), PAGE)
                page = cast("tuple[SeenNode, ...]", told)
                nodes += page
                if len(page) < PAGE:
                    break
            self._nodes[key] = tuple(nodes)
            for old in list(self._nodes)[:-_CRAWLS_KEPT]:
                del self._nodes[old]
        return self._nodes[key]

    def trial_begin(self, gateway: str, park: str, config: EndpointConfig) -> str:
        """Start a test in the plant; the name to ask for it.

        Raises
        ------
        Unavailable
            When the gateway is away.
        """
        self._present(gateway)

        async def tried(config: EndpointConfig, told: Told) -> EndpointTest:
            found = await self.ask(gateway, park, "try_endpoint", config, told=told)
            return cast("EndpointTest", found)

        return self.trials.begin(config, tried)

    def nudge(self) -> None:
        """Tell every gateway with its next question that it should look what it has to read."""
        self._news += 1

    # What a gateway asks

    def take(self, gateway: str, run: str, reports: Sequence[Report]) -> Wanted:
        """Take what a gateway says of its errands; those that are open for it.

        Parameters
        ----------
        gateway
            Its name, by its token.
        run
            Names its process: another one has forgotten what was begun before.
        reports
            What it found. Those of errands that are not its own, or that nobody waits for any
            more, count nothing.
        """
        self._heard[gateway] = _Heard(self.clock(), run)
        own = {name: one for name, one in self._open.items() if one.gateway == gateway}
        for report in reports:
            if report.id in own:
                _settle(own[report.id], report)
        for one in own.values():
            if one.given_to not in ("", run) and not one.answer.done():
                one.answer.set_exception(
                    Unavailable(
                        f"gateway {gateway} was restarted while it did this",
                        "ask again; two processes with one token disturb each other too",
                    )
                )
            one.given_to = run
        wanted = tuple(one.errand for one in own.values() if not one.answer.done())
        return Wanted(news=self._news, errands=wanted)

    def _present(self, gateway: str) -> None:
        heard = self._heard.get(gateway)
        if heard is None:
            raise Unavailable(
                f"gateway {gateway} has not asked for errands since the service started",
                "it asks every 2 s: look whether `parktwin gateway` runs in its plant, in this "
                "version; `parktwin gateway-token list` shows when it was heard",
            )
        silent_s = self.clock() - heard.at_s
        if silent_s > AWAY_S:
            raise Unavailable(
                f"gateway {gateway} has been silent for {silent_s:.0f} s",
                "look at its machine and its link; it is asked again when it is back",
            )


def _settle(one: _Open, report: Report) -> None:
    """Give whoever waits what was found."""
    if one.answer.done():
        return
    if report.fault is not None:
        one.answer.set_exception(error_of(report.fault))
        return
    try:
        found = KINDS[one.errand.method].finds.validate_python(report.found)
    except ValidationError:
        one.answer.set_exception(
            Unavailable(
                f"gateway {one.gateway} told of {one.errand.method} what nobody here understands",
                "run the same version of parktwin in the plant and at the service",
            )
        )
        return
    if report.over:
        one.answer.set_result(found)
    else:
        one.told(found)
