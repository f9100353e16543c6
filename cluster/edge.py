"""A gateway outside the service: reads endpoints in the plant and delivers over HTTPS.

It listens at no port. What it has to read it asks the service for, with its token; the answer is
signed and kept, so that it starts, samples and buffers while the service is away. What else is
wanted of it (tests, browsing, certificates) it asks for too, see `cluster.edge_errands`.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import orjson
import pyarrow as pa

from cluster import logs
from cluster.edge_errands import EdgeErrands, Pace
from cluster.edge_link import Link, LinkSettings
from cluster.edge_store import SET_ASIDE, EdgeConfig, EdgeStore
from cluster.gateway_hands import GatewayHands
from cluster.gateway_token import SIGNATURE, read_token
from cluster.layout import SECRETS, SESSIONS
from cluster.settings import SECRET_FILES
from cluster.until_stopped import until_stopped
from connectors.gateway import Gateway, GatewaySettings, Taken, read_state
from connectors.opcua.budget import share_sessions
from connectors.opcua.compiled import compile_once
from connectors.opcua.config import EndpointConfig
from connectors.opcua.expiry import with_expiry
from connectors.opcua.listen_at import REVERSE, listen_at
from connectors.opcua.reach import NETWORKS, PORTS, allow_reach, reach_of
from connectors.opcua.reverse import listen_for_servers, stop_listening
from connectors.opcua.security import Pki, SecretPlaces, allow_secrets, listed_files
from models.errors import TwinError, Unavailable
from twin.delivery import Delivered

logger = logging.getLogger(__name__)

_LOOK_S: Final = 5.0
_SOON_S: Final = 2.0
"""The service is told early whether the endpoints answer."""
_FOLLOW_S: Final = 15.0
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """What a gateway at the edge needs.

    Parameters
    ----------
    link
        Where it delivers.
    token
        File of its token.
    folder
        Folder of its buffer, certificates and log.
    for_s
        Stop after so many seconds; None for Ctrl-C.
    gateway
        How it batches and buffers.
    follow_s
        How often it asks what it has to read [s].
    pace
        How often it asks for errands.
    """

    link: LinkSettings
    token: Path
    folder: Path
    for_s: float | None = None
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    follow_s: float = _FOLLOW_S
    pace: Pace = field(default_factory=Pace)


class Edge:
    """One gateway process: a `Gateway` for each park its token is for.

    Parameters
    ----------
    settings
        Where and how.
    tell
        Gets each line for the console.
    """

    def __init__(self, settings: EdgeSettings, tell: Callable[[str], None]) -> None:
        token = read_token(settings.token)
        self._settings, self._tell = settings, tell
        self._store = EdgeStore(settings.folder, token)
        self._link = Link(settings.link, token, settings.folder / "service.pem")
        self._gateways: dict[str, Gateway] = {}
        self._pkis: dict[str, Pki] = {}
        self._configs: dict[str, dict[str, EndpointConfig]] = {}
        self._hands: dict[str, GatewayHands] = {}
        self._news = asyncio.Event()
        self._errands = EdgeErrands(
            self._link, self._hands, settings.folder / "pki", self._news.set, settings.pace
        )
        self._remembered: dict[str, frozenset[str]] = {}
        self._versions: dict[str, int] = {}
        self._told = ""
        self._reading = False

    async def run(self) -> None:
        """Read and deliver until SIGINT, SIGTERM or the time is over.

        Raises
        ------
        Unavailable
            When it had to stop before the service answered once.
        """
        await until_stopped(self.work(), self._settings.for_s)
        if not self._reading:
            url = self._settings.link.url
            raise Unavailable(f"{url} has not answered", "start it, or mend --to")

    async def work(self) -> None:
        """Read and deliver until cancelled; at the end deliver what there is."""
        self._allow()
        errands: asyncio.Task[None] | None = None
        try:
            await self._apply(await self._first())
            self._reading = True
            errands = asyncio.create_task(self._errands.run(), name="errands")
            wait_s = min(_SOON_S, self._settings.follow_s)
            while True:
                await self._set_aside()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), wait_s)
                self._news.clear()
                await self._follow()
                wait_s = self._settings.follow_s
        finally:
            await self._end_errands(errands)
            gateways = self._gateways.values()
            await asyncio.gather(*(gateway.stop() for gateway in gateways), return_exceptions=True)
            await stop_listening()
            await self._link.close()

    async def _end_errands(self, errands: "asyncio.Task[None] | None") -> None:
        if errands is not None:
            errands.cancel()
            await asyncio.gather(errands, return_exceptions=True)
        await asyncio.gather(*(hands.rest() for hands in self._hands.values()))

    def _allow(self) -> None:
        listed = listed_files(os.environ.get(SECRET_FILES, ""))
        allow_secrets(SecretPlaces(folder=self._settings.folder / SECRETS, files=listed))
        allow_reach(reach_of(os.environ.get(NETWORKS, ""), os.environ.get(PORTS, "")))
        share_sessions(self._settings.folder / SESSIONS)
        listen_for_servers(listen_at(os.environ.get(REVERSE, "")))

    # --- what to read ---

    async def _first(self) -> EdgeConfig:
        """What was kept, at once; the first time of all the service is waited for."""
        kept = await asyncio.to_thread(self._store.kept)
        if kept is not None:
            self._tell("it starts with what it was told last")
            return kept
        while True:
            try:
                return await self._ask()
            except Unavailable as fault:
                self._say(f"waiting for the service: {fault}")
                await asyncio.sleep(min(_LOOK_S, self._settings.follow_s))

    async def _follow(self) -> None:
        """Take over what the service wants read by now; sampling goes on whatever it says."""
        try:
            await self._apply(await self._ask())
        except Unavailable as fault:
            self._say(f"the service is away, what is read is kept here: {fault}")
        except (TwinError, OSError) as fault:
            self._say(f"not followed: {fault}")
        else:
            self._say("")

    async def _ask(self) -> EdgeConfig:
        nonce = secrets.token_urlsafe(24)
        now = datetime.now(UTC)
        told = {
            park: [asdict(s) for s in with_expiry(gateway.status(), self._pkis[park], now)]
            for park, gateway in self._gateways.items()
        }
        question = orjson.dumps({"nonce": nonce, "told": told})
        body, headers = await self._link.send("/gateway/hello", question, kind=_JSON)
        signature = headers.get(SIGNATURE, "")
        return await asyncio.to_thread(self._store.keep, nonce, body, signature)

    async def _apply(self, config: EdgeConfig) -> None:
        """Read exactly what is wanted; a park that is not named any more goes on as it was."""
        for park, (version, endpoints) in config.parks.items():
            if park not in self._gateways:
                remembered = await asyncio.to_thread(read_state, self._settings.folder / park)
                new = self._gateway(park, config.gateway)
                await new.start()
                self._remembered[park] = frozenset(remembered)
                self._gateways[park] = new
                self._hold(park, new)
            if version == self._versions.get(park):
                continue
            gateway = self._gateways[park]
            # First, for a renewal counts on being told everything that is read.
            self._configs[park].clear()
            self._configs[park].update({endpoint.id: endpoint for endpoint in endpoints})
            # By what it holds: should this end halfway, the next answer finishes it.
            held = {status.id for status in gateway.status()}
            for gone in held - {endpoint.id for endpoint in endpoints}:
                await gateway.remove(gone)
            for endpoint in endpoints:
                await gateway.put(endpoint, self._never_begun(park, endpoint.id, config.kept_us))
            self._versions[park] = version
            items = sum(len(endpoint.items) for endpoint in endpoints)
            self._tell(
                f"{park}: reading {len(endpoints)} endpoint(s) with {items} tag(s), "
                f"delivering to {self._settings.link.url} as {config.gateway}"
            )

    def _never_begun(self, park: str, endpoint: str, kept_us: int) -> Taken | None:
        """Since when an endpoint is missing that no process lived long enough to begin with."""
        if not kept_us or endpoint in self._remembered[park]:
            return None
        return Taken(memory={"covered_us": kept_us}, cause="gateway was not running")

    def _hold(self, park: str, gateway: Gateway) -> None:
        """Have somebody who does what is asked of a gateway besides reading."""
        reads = self._configs[park] = {}
        folder = self._settings.folder / park
        self._hands[park] = GatewayHands(gateway, self._pkis[park], folder, reads)

    def _gateway(self, park: str, name: str) -> Gateway:
        self._pkis[park] = Pki(self._settings.folder / "pki")
        return Gateway(
            source=name,
            folder=self._settings.folder / park,
            deliver=partial(self._deliver, park),
            new_session=partial(self._session, park, name),
            pki=self._pkis[park],
            settings=self._settings.gateway,
        )

    # --- delivery ---

    async def _session(self, park: str, name: str) -> int:
        """A number the service has set aside; only without one it has to answer."""
        session = await asyncio.to_thread(self._store.next_session, park)
        if session is None:
            await self._more_sessions(park, name)
            session = await asyncio.to_thread(self._store.next_session, park)
        if session is None:
            raise Unavailable("the service gave no session number", "it is asked again")
        return session

    async def _set_aside(self) -> None:
        """Have numbers for the next starts, while the service answers."""
        for park, gateway in self._gateways.items():
            if self._store.sessions_left(park) < SET_ASIDE // 2 and gateway.measures().session:
                with contextlib.suppress(TwinError, OSError):
                    await self._more_sessions(park, gateway.source)

    async def _more_sessions(self, park: str, name: str) -> None:
        query = {"source": name, "count": str(SET_ASIDE)}
        body, _ = await self._link.send(f"/ingest/{park}/session", query=query)
        plain = orjson.loads(body)
        first, until = int(plain["session"]), int(plain["until"])
        await asyncio.to_thread(self._store.set_aside, park, first, until)

    async def _deliver(
        self, park: str, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        query = {"source": source, "session": str(session), "seq": str(seq)}
        body, _ = await self._link.send(f"/ingest/{park}", sink.getvalue().to_pybytes(), query)
        return Delivered(**orjson.loads(body))

    # --- people ---

    def _say(self, line: str) -> None:
        """Tell something that lasts once, not every few seconds."""
        if line and line != self._told:
            self._tell(line)
        self._told = line


def run_edge(settings: EdgeSettings, log_level: str, tell: Callable[[str], None]) -> None:
    """Read endpoints here and deliver them to a service elsewhere.

    Raises
    ------
    InputError, Refused
        When the token cannot be read, or is not taken.
    """
    edge = Edge(settings, tell)
    logs.configure(settings.folder / "logs", "gateway", log_level)
    tell(f"its buffer and its log are in {settings.folder}")
    compile_once(tell)
    asyncio.run(edge.run())
