"""The host of one gateway: remembers its endpoints, so that a new process goes on with them."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from cluster.assignments import read_assignments
from cluster.config_json import config_from, plain_of
from cluster.crawl_room import CrawlRoom
from cluster.layout import SECRETS
from cluster.metadata import sqlite
from cluster.park_clock import ParkTime
from cluster.trial_room import TrialRoom
from connectors.clock import wall_us
from connectors.gateway import MAX_SOURCES, Gateway, GatewayMeasures, GatewaySettings, Taken
from connectors.onboarding.seen import SeenNode
from connectors.opcua.browse import browse_children
from connectors.opcua.certificates import plain
from connectors.opcua.config import EndpointConfig
from connectors.opcua.reach import allow_reach, reach_of
from connectors.opcua.report import BrowsedNode, EndpointState, EndpointStatus, EndpointTest
from connectors.opcua.security import Pki, SecretPlaces, Shown, allow_secrets, listed_files
from connectors.opcua.session import close, open_session
from connectors.opcua.trial import try_endpoint
from models.errors import Conflict, InputError, NotFound, TwinError
from twin.delivery import Delivered

logger = logging.getLogger(__name__)

_ASKED_AT_ONCE: Final = 16
_ASK_S: Final = 3.0
_RETRY_MOST_S: Final = 0.5
"""A shard is back within seconds; a longer wait would be the larger part of the outage."""

Deliver = Callable[[str, int, int, pa.RecordBatch], Awaitable[Delivered]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayHostSettings:
    """What a gateway's host needs.

    Parameters
    ----------
    source
        Name of the numbered stream.
    data
        Data folder, for the metadata store.
    database
        URL of the metadata store; empty for SQLite in the data folder.
    folder, pki
        Folders of the buffer and of the certificates.
    assignments
        File that says which gateway reads what, see `cluster.assignments`; empty for a gateway
        that is the only one.
    clock
        State file of the virtual plant; empty for wall time.
    secret_files, networks, ports
        Files of secrets outside the data folder, and where endpoints may lie; see
        `cluster.settings`.
    log_level, log_style
        See `cluster.logs`.
    """

    source: str
    data: str
    database: str
    folder: str
    pki: str
    assignments: str = ""
    clock: str = ""
    secret_files: str = ""
    networks: str = ""
    ports: str = ""
    log_level: str = "INFO"
    log_style: str = "plain"


class GatewayHost:
    """Hold one gateway. `begin` starts it, with the endpoints of the process before."""

    def __init__(self, settings: GatewayHostSettings, deliver: Deliver) -> None:
        self._settings = settings
        self._folder = Path(settings.folder)
        self._remembered = self._folder / "endpoints.json"
        self._configs: dict[str, EndpointConfig] = {}
        self._pki = Pki(Path(settings.pki))
        self._crawls = CrawlRoom(self._folder, self._pki)
        self._trials = TrialRoom(self._pki)
        self._gateway = Gateway(
            source=settings.source,
            folder=self._folder,
            deliver=deliver,
            new_session=self._new_session,
            park_now=ParkTime(Path(settings.clock) if settings.clock else None),
            pki=self._pki,
            settings=GatewaySettings(retry_most_s=_RETRY_MOST_S),
        )
        self._starting, self._putting = asyncio.Lock(), asyncio.Lock()
        allow_secrets(
            SecretPlaces(
                folder=Path(settings.data) / SECRETS, files=listed_files(settings.secret_files)
            )
        )
        allow_reach(reach_of(settings.networks, settings.ports))
        self._started = False
        self._version = 0

    async def begin(self) -> int:
        """Start, if that has not happened; the process id."""
        async with self._starting:
            if not self._started:
                self._configs = {c.id: c for c in self._still_ours()}
                await self._gateway.start(self._configs.values())
                self._started = True
        return os.getpid()

    def _still_ours(self) -> list[EndpointConfig]:
        """What was read before, but for what was given to another gateway since."""
        remembered = read_configs(self._remembered)
        if not self._settings.assignments:
            return remembered
        now = read_assignments(Path(self._settings.assignments))
        if now is None:
            return remembered
        self._version = max(self._version, now.version)
        return [c for c in remembered if now.of.get(c.id) == self._settings.source]

    async def put_all(
        self,
        configs: Sequence[EndpointConfig],
        version: int = 0,
        taken: Mapping[str, Taken] | None = None,
        leaving: Mapping[str, str] | None = None,
    ) -> dict[str, Taken]:
        """Hold exactly these endpoints.

        Parameters
        ----------
        configs
            The endpoints.
        version
            Of the assignments that say so.
        taken
            What another gateway remembers of those that come from it.
        leaving
            Endpoint → why another gateway reads it from now on.

        Returns
        -------
        dict[str, Taken]
            What is remembered of those that leave.

        Raises
        ------
        Conflict
            When they are too many, or the assignments are older than those known here; nothing is
            changed.
        """
        await self.begin()
        wanted = {config.id: config for config in configs}
        room_for(wanted.values())
        async with self._putting:
            self._newer(version)
            try:
                told = await self._let_go(dict(leaving or {}))
                for gone in self._configs.keys() - wanted.keys():
                    # Forgotten first: should this call end halfway, the next one goes on.
                    del self._configs[gone]
                    with contextlib.suppress(NotFound):
                        await self._gateway.remove(gone)
                for config in wanted.values():
                    await self._gateway.put(config, (taken or {}).get(config.id))
                    self._configs[config.id] = config
            finally:
                held = list(self._configs.values())
                await asyncio.to_thread(write_configs, self._remembered, held)
        return told

    def _newer(self, version: int) -> None:
        """Refuse a command that was overtaken: it could read what another gateway reads by now."""
        if version < self._version:
            raise Conflict(
                f"assignment {version} is older than {self._version}", "ask again", "version"
            )
        self._version = version

    async def _let_go(self, leaving: Mapping[str, str]) -> dict[str, Taken]:
        told = {}
        for endpoint, why in leaving.items():
            self._configs.pop(endpoint, None)
            with contextlib.suppress(NotFound):
                told[endpoint] = await self._gateway.release(endpoint, why)
        return told

    async def status(self) -> list[EndpointStatus]:
        """Where every endpoint stands."""
        await self.begin()
        return self._gateway.status()

    async def tag_counts(self, endpoint: str) -> dict[int, dict[str, object]]:
        """How each tag of an endpoint does."""
        await self.begin()
        return self._gateway.tag_counts(endpoint)

    async def measures(self) -> GatewayMeasures:
        """What it did and holds."""
        await self.begin()
        return self._gateway.measures()

    async def try_endpoint(self, config: EndpointConfig) -> EndpointTest:
        """Try an endpoint step by step, beside those that are held."""
        return await try_endpoint(config, pki=self._pki)

    async def browse(self, url_or_id: str, node: str) -> tuple[BrowsedNode, ...]:
        """Children of a node of an endpoint that is held, or of an open server by its address."""
        config = self._configs.get(url_or_id)
        if config is None:
            config = EndpointConfig(id="browsed", url=url_or_id, allow_insecure=True)
        return await browse_children(config, node, pki=self._pki)

    async def trial_begin(self, config: EndpointConfig) -> str:
        """Start a test of an endpoint; the name to ask for it."""
        return self._trials.begin(config)

    async def trial_told(self, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over."""
        return self._trials.told(trial)

    async def crawl(
        self,
        url_or_id: str,
        fresh: bool,  # noqa: FBT001 - called by name over Ray
        unsaved: EndpointConfig | None = None,
    ) -> dict[str, object]:
        """Start a crawl, or tell how far it is; `unsaved` says how to speak with a new address."""
        config = self._configs.get(url_or_id) or unsaved
        if config is None:
            config = EndpointConfig(id="browsed", url=url_or_id, allow_insecure=True)
        return self._crawls.begin(url_or_id, config, fresh=fresh)

    async def crawl_stop(self, url_or_id: str) -> dict[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was."""
        return await self._crawls.cancel(url_or_id)

    async def crawled(self, url_or_id: str) -> tuple[SeenNode, ...]:
        """Nodes of a finished crawl, with what was observed of their values."""
        return self._crawls.nodes(url_or_id)

    async def trust(self, endpoint: str, fingerprint: str) -> None:
        """Trust a certificate that was shown, and connect again at once."""
        await asyncio.to_thread(self._pki.trust, fingerprint)
        await self._gateway.reconnect(endpoint, "certificate trusted")

    async def shown(self) -> dict[str, Shown]:
        """The good certificate each endpoint's server showed last."""
        await self.begin()
        return dict(self._pki.shown)

    async def certificates_changed(self, cause: str, fingerprint: str) -> None:
        """Connect endpoints again after trust or our certificate has changed.

        Parameters
        ----------
        cause
            Why, for the coverage rows.
        fingerprint
            Certificate whose endpoints are cut off; ``*`` for all secure ones, empty for those
            that are not connected.
        """
        await self.begin()
        up = {one.id for one in self._gateway.status() if one.state is EndpointState.CONNECTED}
        for name, config in list(self._configs.items()):
            shown = self._pki.shown.get(name)
            if config.policy == "None" or not config.enabled:
                continue
            rests = shown is not None and shown.fingerprint == plain(fingerprint)
            if fingerprint == "*" or rests or (not fingerprint and name not in up):
                if rests:
                    del self._pki.shown[name]
                await self._gateway.reconnect(name, cause)

    async def ask_with_staged(self) -> dict[str, str]:
        """Endpoint → what its server says to our new certificate; empty when it takes it."""
        await self.begin()
        pki, few = self._pki.with_staged(), asyncio.Semaphore(_ASKED_AT_ONCE)

        async def one(config: EndpointConfig) -> str:
            async with few:
                try:
                    await close(await open_session(config, pki, _ASK_S))
                except TwinError as fault:
                    return str(fault)
                return ""

        secure = [c for c in self._configs.values() if c.policy != "None" and c.enabled]
        answers = await asyncio.gather(*(one(config) for config in secure))
        return {config.id: told for config, told in zip(secure, answers, strict=True)}

    async def stop(self) -> None:
        """Deliver what there is, and stop."""
        await self._crawls.stop()
        await self._trials.stop()
        if self._started:
            await self._gateway.stop()

    async def _new_session(self) -> int:
        return await asyncio.to_thread(self._count_start)

    def _count_start(self) -> int:
        folder, database = Path(self._settings.data), self._settings.database
        if not database:
            return sqlite.next_session(folder, self._settings.source, wall_us())
        # Imported here: only a gateway with another database needs SQLAlchemy, and waits for it.
        from cluster.metadata.store import MetadataStore

        store = MetadataStore.attach(folder, database)
        try:
            return store.next_session(self._settings.source, wall_us())
        finally:
            store.close()


def room_for(configs: Iterable[EndpointConfig]) -> None:
    """Refuse more endpoints than one gateway may sample.

    Raises
    ------
    Conflict
        With how many there are.
    """
    enabled = sum(config.enabled for config in configs)
    if enabled > MAX_SOURCES:
        raise Conflict(
            f"{enabled} endpoints are enabled, one gateway samples {MAX_SOURCES}",
            "disable or remove some, or read them with `parktwin gateway` inside the plant",
            "endpoints",
        )


def write_configs(file: Path, configs: Sequence[EndpointConfig]) -> None:
    """Remember endpoints; passwords are references, and the file is its owner's alone."""
    draft = file.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps([plain_of(config) for config in configs]), encoding="utf-8")
    draft.replace(file)


def read_configs(file: Path) -> list[EndpointConfig]:
    """What `write_configs` remembered; nothing when this version finds no whole file.

    The service gives all of them again: a file that is not understood must not end the start.
    """
    try:
        return [config_from(row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, InputError) as fault:
        logger.warning("endpoints are not remembered", extra={"cause": str(fault)})
        return []
