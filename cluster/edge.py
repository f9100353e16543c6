"""A gateway outside the service: reads endpoints in the plant and delivers over HTTP."""

import asyncio
import contextlib
import logging
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import orjson
import pyarrow as pa

from cluster import logs
from cluster.client import error_of
from cluster.layout import SECRETS
from cluster.settings import SECRET_FILES
from connectors.clock import wall_us
from connectors.gateway import Gateway
from connectors.opcua.config import EndpointConfig, endpoint_config
from connectors.opcua.reach import NETWORKS, PORTS, allow_reach, reach_of
from connectors.opcua.security import Pki, SecretPlaces, allow_secrets, listed_files
from models.errors import InputError, Unavailable
from twin.delivery import Delivered
from twin.park import Park
from twin.parkfile.load import load_park
from twin.tags import Binding, TagRow

logger = logging.getLogger(__name__)

_LOOK_S = 5.0
_FOLLOW_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """What a gateway at the edge needs: where it delivers, its name, and its folder."""

    url: str
    source: str
    folder: Path
    for_s: float | None = None


class Edge:
    """One gateway process.

    Parameters
    ----------
    park
        The park whose endpoints it reads.
    settings
        Where and how.
    tell
        Gets each line for the console.
    """

    def __init__(self, park: Park, settings: EdgeSettings, tell: Callable[[str], None]) -> None:
        self._park, self._settings, self._tell = park, settings, tell
        self._http = httpx.AsyncClient(
            base_url=f"{settings.url.rstrip('/')}/api/v1", timeout=30.0, trust_env=False
        )
        self._reading = False

    async def run(self) -> None:
        """Read and deliver until SIGINT, SIGTERM or the time is over.

        Raises
        ------
        Unavailable
            When it had to stop before the service answered once.
        """
        work = asyncio.create_task(self._work())
        stopped = asyncio.create_task(self._until_stopped())
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        for task in (work, stopped):
            task.cancel()
        done, _ = await asyncio.gather(work, stopped, return_exceptions=True)
        await self._http.aclose()
        if isinstance(done, asyncio.CancelledError) and not self._reading:
            raise Unavailable(f"{self._settings.url} has not answered", "start it, or mend --to")
        if isinstance(done, Exception):
            raise done

    async def _work(self) -> None:
        rows = await self._tags()
        secrets = self._settings.folder / SECRETS
        listed = listed_files(os.environ.get(SECRET_FILES, ""))
        allow_secrets(SecretPlaces(folder=secrets, files=listed))
        allow_reach(reach_of(os.environ.get(NETWORKS, ""), os.environ.get(PORTS, "")))
        gateway = Gateway(
            source=self._settings.source,
            folder=self._settings.folder,
            deliver=self._deliver,
            new_session=self._session,
            pki=Pki(self._settings.folder / "pki"),
        )
        await gateway.start(self._configs(rows))
        self._reading = True
        self._tell(
            f"reading {len(self._park.endpoints)} endpoint(s) with {len(rows)} tag(s), "
            f"delivering to {self._settings.url}"
        )
        try:
            await self._follow(gateway, rows)
        finally:
            await gateway.stop()

    def _configs(self, rows: list[TagRow]) -> list[EndpointConfig]:
        return [endpoint_config(e, rows) for e in self._park.endpoints.values()]

    async def _follow(self, gateway: Gateway, rows: list[TagRow]) -> None:
        """Take over what the service does to its tags, or values would go to closed ones."""
        known = _numbers(rows)
        while True:
            await asyncio.sleep(_FOLLOW_S)
            try:
                rows = await self._ask_tags()
            except Unavailable:  # sampling goes on; the buffer keeps what is not taken
                continue
            if _numbers(rows) != known:
                known = _numbers(rows)
                self._tell(f"the service has changed its tags: {len(rows)} are read now")
                for config in self._configs(rows):
                    await gateway.put(config)

    async def _until_stopped(self) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.for_s):
                await stopped.wait()

    async def _tags(self) -> list[TagRow]:
        """Numbers of the tags, from the service; it is waited for."""
        while True:
            try:
                return await self._ask_tags()
            except Unavailable as error:
                self._tell(f"waiting for the service: {error}")
                await asyncio.sleep(_LOOK_S)

    async def _ask_tags(self) -> list[TagRow]:
        found = await self._get(f"/parks/{self._park.id}/tags")
        tags = {str(row["path"]): int(str(row["tag"])) for row in found}
        return [_row(tags[b.path], b) for b in self._park.bindings if b.path in tags]

    async def _session(self) -> int:
        query = {"source": self._settings.source}
        answer = await self._send(f"/ingest/{self._park.id}/session", b"", query)
        return int(str(answer["session"]))

    async def _deliver(
        self, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Delivered:
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        query = {"source": source, "session": str(session), "seq": str(seq)}
        body = sink.getvalue().to_pybytes()
        answer = await self._send(f"/ingest/{self._park.id}", body, query)
        return Delivered(**answer)  # type: ignore[arg-type]

    async def _get(self, path: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = orjson.loads(await self._ask("GET", path, None, {}))
        return found

    async def _send(self, path: str, body: bytes, query: dict[str, str]) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(await self._ask("POST", path, body, query))
        return found

    async def _ask(
        self, method: str, path: str, body: bytes | None, query: dict[str, str]
    ) -> bytes:
        try:
            answer = await self._http.request(method, path, content=body, params=query)
        except httpx.TransportError as error:
            raise Unavailable(f"{self._settings.url} does not answer ({error})") from error
        if answer.is_error:
            raise error_of(answer.status_code, answer.content)
        return answer.content


def _numbers(rows: list[TagRow]) -> dict[str, int]:
    return {row.binding.path: row.tag for row in rows}


def _row(tag: int, binding: Binding) -> TagRow:
    return TagRow(tag=tag, binding=binding, valid_from_us=wall_us())


def run_edge(
    park: Path, settings: EdgeSettings, log_level: str, tell: Callable[[str], None]
) -> None:
    """Read the endpoints of a park here and deliver them to a service elsewhere.

    Raises
    ------
    InputError
        When an address or a name is none.
    """
    if urlsplit(settings.url).scheme not in {"http", "https"} or not urlsplit(settings.url).netloc:
        raise InputError(f"{settings.url!r} is no address", "write https://host:port", "to")
    if not re.fullmatch(r"[a-z][a-z0-9_.-]{0,99}", settings.source):
        raise InputError(
            f"{settings.source!r} is no name of a gateway",
            "write it like edge-1: a-z, 0-9 and _ . -, 100 at most",
            "source",
        )
    found = load_park(park)
    if not found.endpoints:
        raise InputError(f"{park} has no endpoints", "add endpoints: to the park file", "park")
    logs.configure(settings.folder / "logs", "gateway", log_level)
    tell(f"its buffer and its log are in {settings.folder}")
    asyncio.run(Edge(found, settings, tell).run())
