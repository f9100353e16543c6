"""The HTTP face: one FastAPI application with every route below ``/api/v1``."""

from typing import Final

from fastapi import APIRouter, FastAPI

from cluster.ports import Operations, ParkService
from cluster.routes import answers
from cluster.routes.alarms import alarms_router
from cluster.routes.certificates import certificates_router
from cluster.routes.control import control_router
from cluster.routes.endpoints import endpoints_router
from cluster.routes.everywhere import everywhere_router, nowhere_router
from cluster.routes.gateway_tokens import gateway_tokens_router
from cluster.routes.health import health_router, metrics_router
from cluster.routes.ingest import ingest_router
from cluster.routes.keeping import keeping_router
from cluster.routes.parks import parks_router
from cluster.routes.plant_certificates import plant_certificates_router
from cluster.routes.whatif import whatif_router

PREFIX: Final = "/api/v1"
_ABOUT: Final = (
    "Digital twin of industrial parks. Times are ISO 8601 in UTC; every error has `what` and "
    "`remedy`. Bodies may hold 1 MB, deliveries of gateways 64 MB."
)


def create_api(service: ParkService, operations: Operations, version: str) -> FastAPI:
    """Build the application.

    Parameters
    ----------
    service, operations
        What the routes ask.
    version
        Version of parktwin.
    """
    api = FastAPI(
        title="parktwin",
        version=version,
        description=_ABOUT,
        docs_url=None,  # its page would load scripts from elsewhere
        openapi_url=f"{PREFIX}/openapi.json",
        redoc_url=None,
    )
    answers.install(api)
    house = APIRouter(prefix=PREFIX)
    for router in (
        health_router(operations),
        parks_router(service),
        alarms_router(service, operations),
        endpoints_router(service),
        control_router(operations),
        certificates_router(service),
        whatif_router(service),
        ingest_router(operations),
        gateway_tokens_router(operations),
        plant_certificates_router(operations),
        keeping_router(operations),
        everywhere_router(service),
        nowhere_router(),
    ):
        house.include_router(router)
    api.include_router(house)
    api.include_router(metrics_router(service, operations))
    return api
