"""The host of one gateway: remembers its endpoints, so that a new process goes on with them."""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from cluster.assignments import read_assignments
from cluster.config_json import config_from, plain_of
from cluster.gateway_hands import GatewayHands
from cluster.layout import SECRETS, SESSIONS
from cluster.metadata import sqlite
from cluster.park_clock import ParkTime
from connectors.clock import wall_us
from connectors.gateway import MAX_SOURCES, Gateway, GatewayMeasures, GatewaySettings, Taken
from connectors.opcua.budget import share_sessions
from connectors.opcua.config import EndpointConfig
from connectors.opcua.expiry import with_expiry
from connectors.opcua.listen_at import listen_at
from connectors.opcua.reach import allow_reach, reach_of
from connectors.opcua.report import EndpointStatus
from connectors.opcua.reverse import listen_for_servers, stop_listening
from connectors.opcua.security import Pki, SecretPlaces, allow_secrets, listed_files
from models.errors import Conflict, InputError, NotFound
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
    secret_files, networks, ports, reverse
        Files of secrets outside the data folder, where endpoints may lie, and where to listen for
        servers; see `cluster.settings`.
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
    reverse: str = ""
    log_level: str = "INFO"
    log_style: str = "plain"


class GatewayHost(GatewayHands):
    """Hold one gateway. `begin` starts it, with the endpoints of the process before."""

    def __init__(self, settings: GatewayHostSettings, deliver: Deliver) -> None:
        self._settings = settings
        self._folder = Path(settings.folder)
        self._remembered = self._folder / "endpoints.json"
        self._configs: dict[str, EndpointConfig] = {}
        pki = Pki(Path(settings.pki))
        gateway = Gateway(
            source=settings.source,
            folder=self._folder,
            deliver=deliver,
            new_session=self._new_session,
            park_now=ParkTime(Path(settings.clock) if settings.clock else None),
            pki=pki,
            settings=GatewaySettings(retry_most_s=_RETRY_MOST_S),
        )
        super().__init__(gateway, pki, self._folder, self._configs)
        self._starting, self._putting = asyncio.Lock(), asyncio.Lock()
        allow_secrets(
            SecretPlaces(
                folder=Path(settings.data) / SECRETS, files=listed_files(settings.secret_files)
            )
        )
        allow_reach(reach_of(settings.networks, settings.ports))
        share_sessions(Path(settings.data) / SESSIONS)
        listen_for_servers(listen_at(settings.reverse))
        self._started = False
        self._version = 0

    async def begin(self) -> int:
        """Start, if that has not happened; the process id."""
        async with self._starting:
            if not self._started:
                self._configs.update({c.id: c for c in self._still_ours()})
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
        return with_expiry(self._gateway.status(), self._pki, datetime.now(UTC))

    async def measures(self) -> GatewayMeasures:
        """What it did and holds."""
        await self.begin()
        return self._gateway.measures()

    async def stop(self) -> None:
        """Deliver what there is, and stop."""
        await self.rest()
        if self._started:
            await self._gateway.stop()
        await stop_listening()

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
