"""Rules of the park file, looked at again on a clock: nodes that a server has got since.

A crawl at a time, each by the crawl room of the endpoint's gateway and within its server's budget
of sessions; sooner where a server says by an event that its nodes changed. What automatic rules
take is bound as if somebody had; all else is told and waits.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, cast

from cluster import bindings
from connectors.clock import wall_us
from connectors.onboarding.seen import SeenNode
from connectors.onboarding.wildcard import Later, later, rules_of
from connectors.opcua.report import EndpointState, EndpointStatus
from models.errors import TwinError, Unavailable
from twin.notifiers import is_notifier
from twin.parkfile.mapping import is_rule

if TYPE_CHECKING:
    from cluster.live_park import LivePark

logger = logging.getLogger(__name__)

AUTOMATIC: Final = "rule"
"""Who acted, in the audit trail, when nobody did."""
GONE_TOLD: Final = 20
"""So many nodes that are gone are named; all are counted."""
_FIRST: Final = (0.02, 0.1)
_AGAIN: Final = (0.9, 1.1)
"""Parts of the interval between which chance chooses: gateways must not crawl all at once."""
_ASK_S: Final = 1.0
_RETRY_S: Final = 300.0
SETTLE_S: Final = 15.0
"""A server that says it changed is looked at so much later: changes come in crowds."""

Bind = Callable[[str, Mapping[str, str]], Awaitable[None]]
Audit = Callable[[str, str, str, Mapping[str, object]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the last look at an endpoint's rules found."""

    new_nodes: int = 0
    gone: int = 0
    gone_nodes: tuple[str, ...] = ()
    rules_us: int | None = None
    rules_fault: str = ""


@dataclass(slots=True)
class Due:
    """When an endpoint is looked at next [monotonic s], and what is known of it."""

    next_s: float
    changes: int = 0
    told: Told = field(default_factory=Told)


class RuleWatch:
    """Looks at the rules of one park's endpoints.

    Parameters
    ----------
    live
        The running park.
    clock
        Monotonic seconds.
    chance
        A number between two others.
    ask_s
        How often a crawl under way is asked for [s].
    """

    def __init__(
        self,
        live: "LivePark",
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[float, float], float] = random.uniform,
        ask_s: float = _ASK_S,
    ) -> None:
        self._live = live
        self._clock, self._chance, self._ask_s = clock, chance, ask_s
        self._due: dict[str, Due] = {}

    async def run(self, bind: Bind, audit: Audit) -> None:
        """Look whenever it is time, for ever.

        Parameters
        ----------
        bind, audit
            How a reviewed mapping is saved, and how the trail hears of it.
        """
        while True:
            try:
                await self.look(bind, audit)
            except Exception:
                logger.exception("rules were not looked at", extra={"park": self._live.id})
            await asyncio.sleep(self._ask_s)

    async def look(self, bind: Bind, audit: Audit) -> None:
        """Look at the endpoints whose time has come, one after the other."""
        up = {s.id: s for s in self._live.statuses if s.state is EndpointState.CONNECTED}
        wanted = self._wanted()
        self._due = {name: due for name, due in self._due.items() if name in wanted}
        for name, every_s in wanted.items():
            due = self._due.get(name)
            if due is None:
                first_s = self._clock() + every_s * self._chance(*_FIRST)
                due = self._due[name] = Due(next_s=first_s)
            if name not in up:
                continue
            if up[name].model_changes != due.changes:
                due.changes = up[name].model_changes
                due.next_s = min(due.next_s, self._clock() + SETTLE_S)
            if self._clock() >= due.next_s:
                await self._look_at(name, due, every_s, bind, audit)

    def told(self, statuses: Sequence[EndpointStatus]) -> list[EndpointStatus]:
        """Statuses with what the rules of each endpoint found."""
        none = Told()
        found = {name: due.told for name, due in self._due.items() if due.told != none}
        return [
            replace(
                one,
                new_nodes=found[one.id].new_nodes,
                gone=found[one.id].gone,
                gone_nodes=found[one.id].gone_nodes,
                rules_us=found[one.id].rules_us,
                rules_fault=found[one.id].rules_fault,
            )
            if one.id in found
            else one
            for one in statuses
        ]

    def _wanted(self) -> dict[str, float]:
        """Endpoints of the file that have rules to be looked at, and how often [s]."""
        return {
            name: endpoint.rules_every
            for name, endpoint in self._live.park.endpoints.items()
            if endpoint.rules_every > 0 and any(map(is_rule, endpoint.map))
        }

    async def _look_at(self, name: str, due: Due, every_s: float, bind: Bind, audit: Audit) -> None:
        try:
            found = await self._expanded(name)
            for rule, new in found.automatic.items():
                mapping = {binding.node: bindings.written(binding) for binding in new}
                await bind(name, mapping)
                detail = {"rule": rule.match, "to": rule.to or "auto", **mapping}
                await audit(AUTOMATIC, "endpoint.map", f"{self._live.id}/{name}", detail)
        except TwinError as fault:
            about = {"endpoint": name, "cause": str(fault)}
            logger.warning("rules were not looked at", extra=about)
            self._failed(due, every_s, str(fault))
            return
        except Exception as fault:
            # Left due it would crawl its PLC anew every second, and those after it never.
            logger.exception("rules were not looked at", extra={"endpoint": name})
            self._failed(due, every_s, f"{type(fault).__name__}: {fault}")
            return
        due.next_s = self._clock() + every_s * self._chance(*_AGAIN)
        told = Told(
            new_nodes=len(found.review) + len(found.open),
            gone=len(found.gone),
            gone_nodes=found.gone[:GONE_TOLD],
            rules_us=wall_us(),
        )
        if replace(told, rules_us=None) != replace(due.told, rules_us=None, rules_fault=""):
            counts = {"new": told.new_nodes, "gone": told.gone}
            logger.info("rules found something", extra={"endpoint": name, **counts})
        due.told = told

    def _failed(self, due: Due, every_s: float, cause: str) -> None:
        """Tell why, and look again sooner than after a look that went well."""
        due.told = replace(due.told, rules_fault=cause)
        due.next_s = self._clock() + min(_RETRY_S, every_s) * self._chance(*_AGAIN)

    async def _expanded(self, name: str) -> Later:
        nodes, complete = await self._crawled(name)
        live = self._live
        written = live.park.endpoints.get(name)
        rules = rules_of(written.map) if written is not None else ()
        kept = await asyncio.to_thread(live.store.mappings, live.id)
        unwanted = {row.node for row in kept if row.endpoint == name and not row.path}
        every = tuple(row.binding for row in live.dictionary.open.values())
        bound = tuple(b for b in every if b.endpoint == name and not is_notifier(b))
        return await asyncio.to_thread(
            later,
            rules,
            nodes,
            replace(live.park, bindings=every),
            name,
            bound,
            unwanted=unwanted,
            complete=complete,
        )

    async def _crawled(self, name: str) -> tuple[Sequence[SeenNode], bool]:
        """A crawl begun now, or one under way; what was interrupted goes on where it was.

        Raises
        ------
        Unavailable
            When it failed.
        """
        told = await self._ask("crawl", name, False)  # noqa: FBT003 - called by name
        if told["state"] == "done":  # an older one
            told = await self._ask("crawl", name, True)  # noqa: FBT003 - called by name
        while told["state"] == "running":
            await asyncio.sleep(self._ask_s)
            told = await self._ask("crawl", name, False)  # noqa: FBT003 - called by name
        if told["state"] != "done":
            raise Unavailable(f"its crawl {told['state']}: {told['what']}", str(told["remedy"]))
        nodes = await self._live.ask_gateway("crawled", name)
        return cast("Sequence[SeenNode]", nodes), bool(told["complete"])

    async def _ask(self, method: str, *arguments: object) -> Mapping[str, object]:
        return cast("Mapping[str, object]", await self._live.ask_gateway(method, *arguments))
