"""The door for gateways in plants: the ingest routes alone, over TLS, every request with a token.

The service's own address stays on loopback, since nobody logs in there yet. Here a token is asked
for before anything is read, and nothing else can be asked.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Final

import uvicorn
from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.door_settings import DoorSettings
from cluster.ports import Operations
from cluster.routes import answers
from cluster.routes.api import PREFIX
from cluster.routes.ingest import ingest_router, shown_token
from models.errors import TwinError

logger = logging.getLogger(__name__)

BODY_MOST: Final = 64_000_000
_JSON: Final = f"{PREFIX}/gateway/"
_AT_ONCE: Final = 200
_PATIENCE_S: Final = 2
_LOOK_S: Final = 0.02


def door_app(operations: Operations) -> ASGIApp:
    """The ingest routes; nothing else is answered."""
    api = FastAPI(title="parktwin ingest", docs_url=None, redoc_url=None, openapi_url=None)
    answers.install(api)
    house = APIRouter(prefix=PREFIX)
    house.include_router(ingest_router(operations, open_beside=False))
    api.include_router(house)
    return Measured(api, operations)


class Measured:
    """Let in bodies of declared length alone: the server holds the sender to its word.

    Bodies of JSON are read before their route begins, so that their token is looked at here: 64 MB
    of brackets become gigabytes.

    Parameters
    ----------
    app
        What is behind.
    operations
        Know which tokens count.
    """

    def __init__(self, app: ASGIApp, operations: Operations) -> None:
        self._app, self._operations = app, operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http" and scope["method"] == "POST":
            headers = Headers(scope=scope)
            length = headers.get("content-length", "")
            if not length.isdigit() or int(length) > BODY_MOST:
                body = {
                    "error": "Refused",
                    "what": f"a body has to say its length, {BODY_MOST // 1_000_000} MB at most",
                    "remedy": "send less at once",
                }
                await JSONResponse(body, 413)(scope, receive, send)
                return
            if scope["path"].startswith(_JSON):
                try:
                    await self._operations.gateway_known(shown_token(headers.get("authorization")))
                except TwinError as fault:
                    await answers.error_answer(fault)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """A second server in one process: signals belong to the first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


class Door:
    """Listens while it is entered.

    Parameters
    ----------
    operations
        What gateways ask.
    settings
        Where; port 0 listens nowhere.
    """

    def __init__(self, operations: Operations, settings: DoorSettings) -> None:
        self._settings = settings
        self._task: asyncio.Task[None] | None = None
        config = uvicorn.Config(
            door_app(operations),
            host=settings.host,
            port=settings.port,
            ssl_certfile=settings.certificate or None,
            ssl_keyfile=settings.key or None,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="off",
            ws="none",
            limit_concurrency=_AT_ONCE,
            timeout_graceful_shutdown=_PATIENCE_S,
        )
        if settings.certificate:
            config.load()
            if config.ssl is not None:
                config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        self._server = _Server(config)

    async def __aenter__(self) -> "Door":
        """Listen."""
        if self._settings.port:
            self._task = asyncio.create_task(self._serve(), name="ingest door")
            while not self._server.started and not self._task.done():  # noqa: ASYNC110 - no event
                await asyncio.sleep(_LOOK_S)
        return self

    async def _serve(self) -> None:
        try:
            await self._server.serve()
        except SystemExit as end:
            # So uvicorn says that the address is taken; the service itself goes on.
            where = {"host": self._settings.host, "port": self._settings.port}
            logger.error("gateways in plants cannot deliver", extra=where | {"code": end.code})  # noqa: TRY400

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the requests under way end."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        for connection in list(self._server.server_state.connections):
            # An idle gateway does not answer the end of TLS before it asks again.
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
