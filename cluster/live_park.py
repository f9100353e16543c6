"""One running park as the service sees it: its twin, its gateway, its newest frame."""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from cluster import bindings, one_root
from cluster.edges import Edges
from cluster.errands import Errands
from cluster.expiries import Expiries
from cluster.gateway_actor import GatewayActor
from cluster.gateway_host import GatewayHostSettings
from cluster.gateways import OF_ENDPOINT, Gateways, GatewaysSettings
from cluster.history import Dictionary, HistoryReader
from cluster.metadata.store import MetadataStore
from cluster.metadata.tables import ParkRow
from cluster.park_actor import ParkActor
from cluster.park_host import Born, Counts, HostSettings, Pulse
from cluster.plant_address import split_gateway
from cluster.ports import FigureSpec, Frame, Part, Vitals
from cluster.ring import Recent
from cluster.rule_watch import RuleWatch
from cluster.settings import ParkSettings, ServiceSettings
from cluster.wanted import write_wanted
from connectors.clock import wall_us
from connectors.gateway import GatewayMeasures
from connectors.opcua.report import EndpointState, EndpointStatus
from models.errors import TwinError, Unavailable
from twin.park import Park
from twin.tags import TagChange, TagRow

logger = logging.getLogger(__name__)

_BEAT_S: Final = 1.0
_ANSWER_S: Final = 30.0
_PATIENT_S: Final = 3600.0
_STUCK_BEATS: Final = 5
_GATEWAY_CPUS: Final = 0.01


class ActorAway(Unavailable):
    """The actor's process is gone; Ray starts another."""


class LivePark:
    """Holds the handles of one park's actors and what they last said.

    Parameters
    ----------
    park
        The compiled park file.
    settings, service
        What this park and the whole service were asked to run.
    store
        The metadata store.
    errands
        What gateways in plants are wanted to do.
    """

    def __init__(
        self,
        park: Park,
        settings: ParkSettings,
        service: ServiceSettings,
        store: MetadataStore,
        errands: Errands | None = None,
    ) -> None:
        self.park, self.settings, self.store = park, settings, store
        self.reader = HistoryReader(service.folder.memory(park.id))
        self.rows: tuple[TagRow, ...] = ()
        self.dictionary = Dictionary(())
        self.statuses: list[EndpointStatus] = []
        self.edges = Edges()
        self.errands = errands or Errands()
        self._in_plants: tuple[EndpointStatus, ...] = ()
        self._expiries = Expiries()
        self.rules = RuleWatch(self)
        self.fault = "starting"
        self.specs: tuple[FigureSpec, ...] = ()
        self.pulse: Pulse | None = None
        self.recent = Recent(())
        self.restarts = 0
        self._actor: ActorHandle[object] | None = None
        self._service = service
        self.gateways = Gateways(
            GatewaysSettings(first=f"{park.id}-gateway", limit=service.gateway_endpoints),
            service.folder.assignments(park.id),
            service.folder.buffer,
            self._start_gateway,
        )
        self._ids: tuple[str, ...] = ()
        self._seq = 0
        self._heard_s = time.monotonic()
        self._failed_beats = 0
        self._busy = 0
        self._rebinding = asyncio.Lock()
        self._counts: Counts | None = None

    @property
    def id(self) -> str:
        """Id of the park."""
        return self.park.id

    @property
    def measures(self) -> GatewayMeasures:
        """What the gateways of the service did and hold together."""
        return together(list(self.gateways.measures.values()))

    # Life

    async def open(self) -> None:
        """Start the twin and its gateway."""
        await asyncio.to_thread(self._remember)
        name = f"park-{self.id}"
        actor = ParkActor.options(name=name).remote(self._host_settings())
        self._actor = cast("ActorHandle[object]", actor)
        self.gateways.open()
        born = cast("Born", await self.ask_patiently("born"))
        one_root.check(one_root.roots(), born.roots, f"the twin of {self.id}")
        self._learn(born.rows)
        self._tell_changes(born.changes)
        self._show(born.specs)
        await self.connect()
        await self.beat()

    async def connect(self) -> None:
        """Give the gateway the endpoints as they are wanted now."""
        rows = list(self.dictionary.open.values())
        known = await asyncio.to_thread(self.store.endpoints, self.id)
        self._in_plants = bindings.in_plants(self.park, known)
        self.errands.nudge()
        await self.gateways.hold(bindings.configs(self.park, known, rows, self.settings.urls))
        await self._look_at_gateways()

    async def plan(self, park: Park) -> tuple[TagChange, ...]:
        """What adopting an edited file would do to the tags."""
        endpoints = await asyncio.to_thread(self.store.endpoints, self.id)
        mappings = await asyncio.to_thread(self.store.mappings, self.id)
        wanted = bindings.wanted(park, endpoints, mappings)
        return cast("tuple[TagChange, ...]", await self.ask("plan", wanted))

    async def adopt(self, park: Park) -> tuple[TagChange, ...]:
        """Go on with an edited file, or with the one before it when any part does not take it."""
        async with self._rebinding:
            before, self.park = self.park, park
            try:
                changes = await self._rebind()
                await asyncio.to_thread(self._remember)
            except Exception:
                self.park = before
                await self._go_back()
                raise
            return changes

    async def _go_back(self) -> None:
        """After a change that was not taken: what a restart would find is what was there before."""
        try:
            await asyncio.to_thread(self._remember)
            await self._rebind()
        except TwinError as error:
            # The twin reads what is wanted at its next start, the gateway is told by then too.
            logger.warning("not brought back yet", extra={"park": self.id, "cause": str(error)})

    async def rebind(self) -> tuple[TagChange, ...]:
        """Bring tags and endpoints to what the store says, after a change of it."""
        async with self._rebinding:
            return await self._rebind()

    async def _rebind(self) -> tuple[TagChange, ...]:
        await asyncio.to_thread(self._say_what_is_wanted)
        changes = cast("tuple[TagChange, ...]", await self.ask("apply"))
        self._tell_changes(changes)
        self._learn(cast("tuple[TagRow, ...]", await self.ask("rows")))
        self._show(cast("tuple[FigureSpec, ...]", await self.ask("specs")))
        await self.connect()
        return changes

    async def close(self) -> None:
        """Stop the gateways, then the twin."""
        await self.gateways.close()
        try:
            await self.ask("close")
        except TwinError as error:
            logger.warning("did not stop cleanly", extra={"park": self.id, "cause": str(error)})
        if self._actor is not None:
            ray.kill(self._actor)

    # Beats

    async def keep_beating(self) -> None:
        """Tick the twin once a second and look at the gateway, for ever."""
        while True:
            began_s = time.monotonic()
            try:
                await self.beat()
            except Exception as error:
                # The next beat may do: without beats the page would show old figures for ever.
                logger.exception("a beat broke", extra={"park": self.id})
                self.fault = f"the last beat broke ({type(error).__name__}: {error})"
            await asyncio.sleep(max(0.05, _BEAT_S - (time.monotonic() - began_s)))

    async def beat(self) -> None:
        """One tick, one look at the gateway."""
        try:
            pulse = cast("Pulse", await self.ask("tick"))
        except TwinError as error:
            await self._missed(error)
        else:
            self._take(pulse)
        await self._look_at_gateways()
        await self._tell_expiries()

    async def _look_at_gateways(self) -> None:
        await self.gateways.look()
        edges = self.edges.statuses(self._in_plants)
        found = sorted([*self.gateways.statuses, *edges], key=lambda status: status.id)
        self.statuses = self.rules.told(found)

    async def _tell_expiries(self) -> None:
        """Tell the twin how long certificates last, once a day or when one has changed."""
        told = self._expiries.news(self.statuses, wall_us())
        if told is None or self.fault:
            return
        try:
            await self.ask("command", {"certificates": told})
        except TwinError as error:
            logger.warning("not told yet", extra={"park": self.id, "cause": str(error)})
        else:
            self._expiries.told(told)

    def _take(self, pulse: Pulse) -> None:
        if self.pulse is not None and pulse.pid != self.pulse.pid:
            self.restarts += 1
        self.pulse, self.fault, self._failed_beats = pulse, "", 0
        self._heard_s = time.monotonic()
        self._seq += 1
        self.recent.add(pulse.now.now_us, pulse.now.value)
        self._counts = pulse.counts
        for effect in pulse.effects:
            logger.info("effect", extra={"park": self.id, "kind": effect.kind, "id": effect.id})

    async def _missed(self, error: TwinError) -> None:
        """A twin that answers but cannot go on is replaced: its journal has everything."""
        self.fault = str(error)
        self._failed_beats += not isinstance(error, ActorAway) and not self._busy
        logger.warning("no tick", extra={"park": self.id, "cause": str(error)})
        if self._failed_beats >= _STUCK_BEATS and self._actor is not None:
            self._failed_beats = 0
            ray.kill(self._actor, no_restart=False)

    # What pages ask

    @property
    def now_us(self) -> int:
        """Park now as of the newest beat [us]."""
        return wall_us() if self.pulse is None else self.pulse.now.now_us

    def frame(self) -> Frame:
        """The newest frame.

        Raises
        ------
        Unavailable
            Before the first beat.
        """
        pulse = self.pulse
        if pulse is None:
            raise Unavailable(f"park {self.id} has no figures yet", "wait some seconds")
        now = pulse.now
        named = list(zip(self._ids, now.value.tolist(), strict=True))
        return Frame(
            seq=self._seq,
            now_us=now.now_us,
            speed=pulse.speed,
            values={name: value if math.isfinite(value) else None for name, value in named},
            quality={self._ids[i]: int(now.quality[i]) for i in now.quality.nonzero()[0]},
            measured={
                self._ids[i]: float(now.measured[i]) for i in (now.measured < 1.0).nonzero()[0]
            },
            alarms=pulse.alarms,
            age_s=pulse.age_s + time.monotonic() - self._heard_s,
        )

    def vitals(self) -> Vitals:
        """Numbers for the operator of the service."""
        counts = self._counts
        return Vitals(
            park=self.id,
            rows=counts.rows if counts else 0,
            tail_rows=counts.tail_rows if counts else 0,
            offset=counts.offset if counts else 0,
            sealed_offset=counts.sealed_offset if counts else 0,
            restarts=self.restarts,
            free_fraction=counts.free_fraction if counts else 1.0,
            frame_age_s=time.monotonic() - self._heard_s,
            seal_faults=counts.seal_faults if counts else 0,
            buffered_batches=self.measures.waiting,
            buffered_bytes=self.measures.waiting_bytes,
            overflows=self.measures.overflows,
        )

    def parts(self) -> tuple[Part, ...]:
        """The twin, its memory and its gateway, and whether they work."""
        sealing = "" if self.pulse is None else self.pulse.seal_fault
        causes = {
            f"twin {self.id}": self.fault,
            f"memory {self.id}": sealing and f"sealing fails, it is tried again: {sealing}",
            self.gateways.settings.first: "starting",
        }
        causes |= {name: held.fault for name, held in self.gateways.measures.items()}
        return tuple(Part(name=name, ok=not cause, cause=cause) for name, cause in causes.items())

    @property
    def speed(self) -> float:
        """Park seconds per wall second."""
        return 1.0 if self.pulse is None else self.pulse.speed

    def endpoints_up(self) -> int:
        """Endpoints that are connected."""
        return sum(status.state is EndpointState.CONNECTED for status in self.statuses)

    async def ask(self, method: str, *arguments: object, **named: object) -> object:
        """Call a method of the twin and wait for its answer."""
        call = (method, arguments, named)
        return await answered(self._actor, "ask", call, {}, f"the twin of {self.id}")

    async def ask_patiently(self, method: str, *arguments: object) -> object:
        """Call a method of the twin that may take long; it is not held for stuck meanwhile."""
        self._busy += 1
        try:
            none: dict[str, object] = {}
            call = (method, arguments, none)
            return await answered(
                self._actor, "ask", call, none, f"the twin of {self.id}", _PATIENT_S
            )
        finally:
            self._busy -= 1

    async def ask_gateway(self, method: str, *arguments: object) -> object:
        """Call a method of those gateways whom it concerns, here or in a plant, and wait."""
        gateway, name = self._in_plant(str(arguments[0])) if method in OF_ENDPOINT else ("", "")
        if gateway:
            asked = (name, *arguments[1:])
            return await self.errands.ask_of(gateway, self.id, method, *asked)
        return await self.gateways.ask(method, *arguments)

    def gateway_of(self, endpoint: str) -> str:
        """Name of the gateway in a plant that reads an endpoint; empty for the service itself."""
        return next((one.gateway for one in self._in_plants if one.id == endpoint), "")

    def _in_plant(self, url_or_id: str) -> tuple[str, str]:
        gateway, url = split_gateway(url_or_id)
        return (gateway, url) if gateway else (self.gateway_of(url_or_id), url_or_id)

    def _start_gateway(self, name: str) -> "GatewayHandle":
        # Idle most of the time, and a park may need many: they must not take the twin's place.
        actor = GatewayActor.options(num_cpus=_GATEWAY_CPUS).remote(
            self._gateway_settings(name), f"park-{self.id}"
        )
        return GatewayHandle(name, cast("ActorHandle[object]", actor))

    def _remember(self) -> None:
        self.store.put_park(
            ParkRow(
                id=self.id,
                digest=self.park.digest,
                text=self.park.text,
                demo=self.settings.demo,
                applied_us=wall_us(),
            )
        )
        self._say_what_is_wanted()

    def _say_what_is_wanted(self) -> None:
        """Write it where the twin looks, at every start of its process."""
        wanted = bindings.wanted(
            self.park, self.store.endpoints(self.id), self.store.mappings(self.id)
        )
        write_wanted(self._service.folder, self.id, self.park.text, wanted)

    def _show(self, specs: tuple[FigureSpec, ...]) -> None:
        ids = tuple(spec.id for spec in specs)
        if ids != self._ids:
            self._ids, self.recent = ids, Recent(ids)
        self.specs = specs

    def _learn(self, rows: tuple[TagRow, ...]) -> None:
        self.rows, self.dictionary = rows, Dictionary(rows)

    def _tell_changes(self, changes: Sequence[TagChange]) -> None:
        counts = Counter(change.action for change in changes)
        if counts:
            logger.info("tags changed", extra={"park": self.id, **counts})

    def _host_settings(self) -> HostSettings:
        service = self._service
        return HostSettings(
            park=self.id,
            file=self.settings.file,
            data=str(service.folder.root),
            clock=self.settings.clock,
            log_level=service.log_level,
            log_style=service.log_style,
        )

    def _gateway_settings(self, name: str) -> GatewayHostSettings:
        service = self._service
        return GatewayHostSettings(
            source=name,
            data=str(service.folder.root),
            database=service.database,
            folder=str(service.folder.buffer(name)),
            assignments=str(service.folder.assignments(self.id)),
            pki=str(service.folder.pki),
            clock=self.settings.clock,
            secret_files=service.secret_files,
            networks=service.networks,
            ports=service.ports,
            reverse=service.reverse,
            log_level=service.log_level,
            log_style=service.log_style,
        )


class GatewayHandle:
    """A gateway in an actor of Ray.

    Parameters
    ----------
    name
        Its name, for errors.
    actor
        The actor.
    """

    def __init__(self, name: str, actor: "ActorHandle[object]") -> None:
        self._name, self._actor = name, actor

    async def ask(self, method: str, *arguments: object) -> object:
        """Call a method and wait for its answer."""
        return await answered(self._actor, method, arguments, {}, f"gateway {self._name}")

    def kill(self) -> None:
        """End it for good."""
        ray.kill(self._actor)


def together(held: Sequence[GatewayMeasures]) -> GatewayMeasures:
    """Sums over gateways; the fault of the first that has one."""
    return GatewayMeasures(
        session=max((one.session for one in held), default=0),
        rows=sum(one.rows for one in held),
        batches=sum(one.batches for one in held),
        acknowledged=sum(one.acknowledged for one in held),
        waiting=sum(one.waiting for one in held),
        waiting_bytes=sum(one.waiting_bytes for one in held),
        overflows=sum(one.overflows for one in held),
        fault=next((one.fault for one in held if one.fault), ""),
    )


async def answered(
    actor: "ActorHandle[object] | None",
    method: str,
    arguments: Sequence[object],
    named: Mapping[str, object],
    who: str,
    patience_s: float = _ANSWER_S,
) -> object:
    """The answer of an actor; its errors as ours.

    Raises
    ------
    Unavailable
        When the actor is away or too slow.
    TwinError
        As the actor raised it.
    """
    if actor is None:
        raise Unavailable(f"{who} is starting", "wait some seconds")
    try:
        return await asyncio.wait_for(
            getattr(actor, method).remote(*arguments, **named), patience_s
        )
    except RayTaskError as error:
        cause = error.cause
        raise cause if isinstance(cause, TwinError) else Unavailable(f"{who}: {cause}") from error
    except RayActorError as error:
        raise ActorAway(f"{who} is being restarted", "it is back in some seconds") from error
    except TimeoutError as error:
        raise Unavailable(f"{who} does not answer within {patience_s:.0f} s") from error
    except RayError as error:
        raise Unavailable(f"{who}: Ray lost the call ({type(error).__name__})") from error
