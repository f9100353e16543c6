"""The web process: API, pages and live socket in one application, on one port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

import uvicorn
from fastapi import FastAPI

from cluster.door_settings import door_of
from cluster.ingest_door import Door
from cluster.routes.api import create_api
from cluster.service import Service
from cluster.settings import ServiceSettings
from dashboard.app import create_app

_PATIENCE_S = 5


def serve(service: Service) -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = service.settings
    config = uvicorn.Config(
        application(service, settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=_PATIENCE_S,
        ws="websockets-sansio",
    )
    uvicorn.Server(config).run()


def application(service: Service, settings: ServiceSettings) -> FastAPI:
    """Compose the routes of the API and the pages over one service."""
    api = create_api(service, service, parktwin_version())

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        await service.begin()
        try:
            async with Door(service, door_of(settings)):
                yield
        finally:
            await service.end()

    api.router.lifespan_context = life
    default = service.default_park
    return create_app(service, api=api, default_park=default, hosts=allowed_hosts(settings))


def allowed_hosts(settings: ServiceSettings) -> tuple[str, ...]:
    """Host names the pages answer to, against DNS rebinding."""
    return tuple({settings.host, "127.0.0.1", "localhost", "::1"})


def parktwin_version() -> str:
    """Version of this installation."""
    try:
        return version("parktwin")
    except PackageNotFoundError:
        return "0"
