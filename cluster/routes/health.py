"""Routes for those who watch the service: health, live, ready, and figures for Prometheus."""

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cluster.ports import Operations, ParkService, Part, Vitals
from cluster.routes.answers import answer


def health_router(operations: Operations) -> APIRouter:
    """Build ``health``, ``live`` and ``ready``."""
    router = APIRouter(tags=["health"])

    @router.get("/live")
    async def live() -> Response:
        """Say that the process answers."""
        return answer({"live": True})

    @router.get("/ready", responses={503: {"description": "A part does not work yet"}})
    async def ready() -> Response:
        """Say whether every part works; 503 until it does."""
        parts = await operations.parts()
        ok = all(part.ok for part in parts)
        return answer({"ready": ok, "parts": parts}, 200 if ok else 503)

    @router.get("/health")
    async def health() -> Response:
        """Return every part and the numbers of every park."""
        parts = await operations.parts()
        return answer(
            {
                "ok": all(part.ok for part in parts),
                "parts": parts,
                "parks": await operations.vitals(),
            }
        )

    return router


def metrics_router(service: ParkService, operations: Operations) -> APIRouter:
    """Build ``/metrics`` in the text format of Prometheus, from a registry of its own."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics")
    async def metrics() -> Response:
        """Return the service's numbers for Prometheus."""
        registry = CollectorRegistry()
        _parts(registry, await operations.parts())
        _parks(registry, await operations.vitals())
        await _frames(registry, service)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _parts(registry: CollectorRegistry, parts: Sequence[Part]) -> None:
    up = Gauge("parktwin_part_up", "1 while a part works", ["part"], registry=registry)
    for part in parts:
        up.labels(part.name).set(float(part.ok))


def _parks(registry: CollectorRegistry, vitals: Sequence[Vitals]) -> None:
    names = {
        "rows": "Samples journalled since the twin's process started",
        "tail_rows": "Samples not yet sealed",
        "offset": "Last journal offset",
        "sealed_offset": "Last sealed journal offset",
        "restarts": "How often the twin's process was replaced",
        "free_fraction": "Free part of the disk",
        "frame_age_s": "Seconds since the newest frame",
    }
    for name, text in names.items():
        gauge = Gauge(f"parktwin_{name}", text, ["park"], registry=registry)
        for one in vitals:
            gauge.labels(one.park).set(float(getattr(one, name)))


async def _frames(registry: CollectorRegistry, service: ParkService) -> None:
    shown = Gauge(
        "parktwin_figure", "Live figures of a park", ["park", "figure"], registry=registry
    )
    lag = Gauge("parktwin_endpoint_lag_ms", "Lag", ["park", "endpoint"], registry=registry)
    rate = Gauge("parktwin_endpoint_values_per_s", "Rate", ["park", "endpoint"], registry=registry)
    for park in await service.parks():
        frame = await service.frame(park.id)
        for name, value in frame.values.items():
            if name.startswith("park.") and value is not None:
                shown.labels(park.id, name).set(value)
        for endpoint in await service.endpoints(park.id):
            rate.labels(park.id, endpoint.id).set(endpoint.values_per_s)
            if endpoint.lag_ms is not None:
                lag.labels(park.id, endpoint.id).set(endpoint.lag_ms)
