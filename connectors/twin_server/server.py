"""The server: a planned park behind guarded connections, fed with what is new."""

import asyncio
import logging
import math
import socket
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uatypes import SecurityPolicyType

from connectors.opcua.security import SERVER, OwnCertificate, Pki
from connectors.plant.ids import numbered
from connectors.twin_server.alarms import Told, changed, event_of
from connectors.twin_server.feed import Figures, News
from connectors.twin_server.guard import GuardedUaServer
from connectors.twin_server.limits import Limits
from connectors.twin_server.machinery import Machinery, machinery_of
from connectors.twin_server.plan import PARK, SpacePlan, namespace_of
from connectors.twin_server.quality import Link, status_of
from connectors.twin_server.sessions import GuardedServer, ReadOnly
from connectors.twin_server.settings import NONE, ServerSettings, refuse_open
from connectors.twin_server.space import LOCALES, Cell, Space
from connectors.twin_server.users import TwinUsers
from models.errors import Conflict
from twin.alarms import Alarm

logger = logging.getLogger(__name__)

_POLICIES: Final = {
    "Aes256Sha256RsaPss": SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
    "Basic256Sha256": SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    NONE: SecurityPolicyType.NoSecurity,
}
_EXPEL_S: Final = 5.0
_PRODUCT: Final = "urn:parktwin:server"
_LEVEL: Final = {Link.LIVE: 255, Link.STALE: 150, Link.AWAY: 1}
"""ServiceLevel: 200..255 healthy, 2..199 degraded, 1 no data (OPC 10000-4, 6.6.2.4.2)."""


class TwinServer:
    """One park as an OPC UA server.

    Parameters
    ----------
    plan
        What it shows.
    settings
        Where and how it listens.
    limits
        How much it gives.

    Raises
    ------
    InputError, Refused
        When the settings cannot be (`settings.refuse_open`).
    """

    def __init__(
        self, plan: SpacePlan, settings: ServerSettings, limits: Limits | None = None
    ) -> None:
        refuse_open(settings.host, settings.security, settings.user, settings.password)
        self._plan, self.settings = plan, settings
        self._limits = limits or Limits()
        self.pki = Pki(settings.pki, SERVER) if settings.secure else None
        self._server: GuardedUaServer | None = None
        self._inner: GuardedServer | None = None
        self._space: Space | None = None
        self._machinery: Machinery | None = None
        self._alarms: dict[str, Alarm] = {}
        self._retained: dict[str, Told] = {}
        self._watch: asyncio.Task[None] | None = None
        self._at_us = 0
        self.link: Link | None = None
        self.written = 0
        self._strangers: frozenset[str] = frozenset()

    @property
    def sessions(self) -> int:
        """Sessions at the moment."""
        return 0 if self._inner is None else len(self._inner.sessions)

    async def start(self) -> OwnCertificate | None:
        """Build the address space and listen; the server's own certificate.

        Raises
        ------
        Conflict
            When the address cannot be opened.
        """
        settings = self.settings
        try:
            _probe(settings)  # building takes seconds: better told before
        except OSError as error:
            raise _taken(settings, error) from error
        users = TwinUsers(settings.user, settings.password, self.pki)
        inner = GuardedServer(users, self.pki, self._limits)
        server = GuardedUaServer(iserver=inner)
        self._server, self._inner = server, inner
        await server.init()
        own = await self._dress(server)
        index = await server.register_namespace(namespace_of(self._plan.park))
        space = Space(server, index)
        await space.build(self._plan)
        self._machinery = await machinery_of(server, space, self._plan)
        await self._events(server, space)
        await self._set_level(Link.AWAY)
        inner.space, inner.retained = space, self._retained.values
        self._space = space
        try:
            await server.start()
        except OSError as error:
            raise _taken(settings, error) from error
        self._watch = asyncio.create_task(self._keep_expelling(), name="expel")
        return own

    async def stop(self) -> None:
        """Stop listening."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        if self._server is not None and self._server.bserver is not None:
            await self._server.stop()

    async def take(self, news: News) -> None:
        """Show what is new."""
        if news.figures is not None:
            await self._figures(news.figures)
        if news.forecasts is not None:
            for name, cell in self._need_space().forecasts.items():
                found = news.forecasts.get(name)
                value = None if found is None else found.value
                quality = 0 if found is None else found.quality
                at = datetime.fromtimestamp(
                    (self._at_us if found is None else found.at_us) / 1e6, UTC
                )
                await cell.show(value, status_of(value, quality, 1.0), at)
        if news.modes is not None and self._machinery is not None:
            await self._machinery.show_modes(news.modes)
        if news.alarms is not None:
            await self._tell_alarms(news.alarms)

    async def lose(self, link: Link) -> None:
        """Say that the twin is not heard: its newest frame is old, or it is away."""
        if link is self.link:
            return

        def lost(cell: Cell) -> int:
            return status_of(cell.value, 1, 1.0, link)

        await self._need_space().mark_all(lost)
        if self._machinery is not None:
            await self._machinery.lose(link, self._at_us)
        await self._say(link)

    async def expel(self) -> None:
        """Cut off whose trust was taken back; done every few seconds while it runs."""
        if self._inner is not None:
            await self._inner.expel()

    async def _figures(self, figures: Figures) -> None:
        space = self._need_space()
        statuses = {
            key: status_of(
                figures.values.get(key),
                figures.quality.get(key, 0),
                figures.measured.get(key, 1.0),
            )
            for key in space.figures
        }
        self._miss(figures)
        self._at_us = figures.at_us
        self.written += await space.show_figures(figures.at_us, figures.values, statuses)
        at = datetime.fromtimestamp(figures.at_us / 1e6, UTC)
        await space.clock.show(float(figures.at_us), 0, at)
        await space.speed.show(figures.speed, 0, at)
        if self._machinery is not None:
            for machine in self._plan.machines:
                key = f"machine.{machine.id}.state"
                code, value = statuses.get(key), figures.values.get(key)
                if code is not None:
                    whole = value if value is None or math.isfinite(value) else None
                    await self._machinery.show_state(machine.id, whole, code, figures.at_us)
        await self._say(Link.LIVE)

    def _miss(self, figures: Figures) -> None:
        """Say once when the twin has figures this tree was made without."""
        strangers = frozenset(figures.values.keys() - self._need_space().figures.keys())
        if strangers - self._strangers:
            logger.warning(
                "the park has changed: start the OPC UA server again to show all of it",
                extra={"figures": len(strangers), "first": min(strangers)},
            )
        self._strangers = strangers

    async def _tell_alarms(self, alarms: tuple[Alarm, ...]) -> None:
        told, ended = changed(self._alarms, alarms)
        for alarm in told:
            self._retained[alarm.id] = await self._tell(alarm, ended=False)
        for alarm in ended:
            self._retained.pop(alarm.id, None)
            await self._tell(alarm, ended=True)
        self._alarms = {alarm.id: alarm for alarm in alarms}

    async def _tell(self, alarm: Alarm, *, ended: bool) -> Told:
        space, inner = self._need_space(), self._inner

        def known(asset: str) -> bool:
            return bool(asset) and space.node(asset) in space.server.iserver.aspace

        event = event_of(alarm, space.index, known, ended=ended)
        if inner is not None:
            for emitter in (numbered(ObjectIds.Server), space.node(PARK)):
                event.emitting_node = emitter
                for subscription in tuple(inner.subscription_service.subscriptions.values()):
                    await subscription.monitored_item_srv.trigger_event(event)
        return event

    async def _say(self, link: Link) -> None:
        """Tell clients by the ServiceLevel how much the values are worth."""
        if link is not self.link:
            logger.info("the twin is heard differently", extra={"link": str(link)})
            self.link = link
            await self._set_level(link)

    async def _set_level(self, link: Link) -> None:
        if self._server is not None:
            node = self._server.get_node(numbered(ObjectIds.Server_ServiceLevel))
            await node.write_value(ua.Variant(_LEVEL[link], ua.VariantType.Byte))

    async def _dress(self, server: GuardedUaServer) -> OwnCertificate | None:
        """Name, certificate, policies, limits."""
        settings, limits = self.settings, self._limits
        server.set_endpoint(settings.url)
        server.set_server_name(f"parktwin {self._plan.park}")
        server.application_type = ua.ApplicationType.Server
        server.product_uri = _PRODUCT
        server.limits = TransportLimits(
            max_recv_buffer=limits.chunk_bytes,
            max_send_buffer=limits.chunk_bytes,
            max_chunk_count=limits.message_bytes // limits.chunk_bytes + 1,
            max_message_size=limits.message_bytes,
        )
        own = None
        if self.pki is not None:
            own = self.pki.own(datetime.now(UTC))
            await server.load_certificate(own.certificate)
            await server.load_private_key(own.key)
        uri = own.application_uri if own else f"{namespace_of(self._plan.park)}:server"
        await server.set_application_uri(uri)
        release = _version()
        epoch = datetime.fromtimestamp(0, UTC)
        await server.set_build_info(_PRODUCT, "parktwin", "parktwin", release, release, epoch)
        tokens: list[type] = [ua.X509IdentityToken] if settings.secure else []
        if settings.user:
            tokens.append(ua.UserNameIdentityToken)
        server.set_identity_tokens(tokens or [ua.AnonymousIdentityToken])
        policies = [_POLICIES[name] for name in settings.policies()]
        server.set_security_policy(policies, permission_ruleset=ReadOnly())
        locales = server.get_node(numbered(ObjectIds.Server_ServerCapabilities_LocaleIdArray))
        await locales.write_value(ua.Variant(list(LOCALES), ua.VariantType.String))
        return own

    async def _events(self, server: GuardedUaServer, space: Space) -> None:
        """Let clients listen for alarms at the park and at the Server object."""
        events = {ua.EventNotifier.SubscribeToEvents}
        await server.get_node(numbered(ObjectIds.Server)).set_event_notifier(events)
        await space.refer(numbered(ObjectIds.Server), ObjectIds.HasNotifier, space.node(PARK))

    async def _keep_expelling(self) -> None:
        while True:
            await asyncio.sleep(_EXPEL_S)
            await self.expel()

    def _need_space(self) -> Space:
        if self._space is None:
            raise Conflict("the server is not started", "start it first")
        return self._space


def _probe(settings: ServerSettings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((settings.host, settings.port))


def _taken(settings: ServerSettings, error: OSError) -> Conflict:
    return Conflict(
        f"{settings.host}:{settings.port} cannot be opened ({error.strerror})",
        "stop what listens there, or choose another --port",
        "port",
    )


def _version() -> str:
    try:
        return version("parktwin")
    except PackageNotFoundError:
        return "0"
