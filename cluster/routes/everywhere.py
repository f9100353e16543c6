"""Routes over all parks, and the answer to a path that is none."""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from cluster.ports import ParkService
from cluster.routes.answers import ERRORS, answer
from cluster.wire import plain


def everywhere_router(service: ParkService) -> APIRouter:
    """Build the lists over all parks: each row says its park."""
    router = APIRouter(tags=["all parks"], responses=ERRORS)

    @router.get("/alarms")
    async def alarms(*, history: bool = False) -> Response:
        """List unresolved alarms of every park."""
        return await _rows(service, lambda park: service.alarms(park, history=history))

    @router.get("/endpoints")
    async def endpoints() -> Response:
        """List the endpoints of every park."""
        return await _rows(service, service.endpoints)

    @router.get("/whatif")
    async def whatif() -> Response:
        """List the what-if runs of every park."""
        return await _rows(service, service.whatif_runs)

    return router


def nowhere_router() -> APIRouter:
    """Build the answer to a path below the interface that is none; included last."""
    router = APIRouter()

    @router.api_route(
        "/{path:path}",
        methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
    async def nowhere(path: str) -> None:
        """Say that there is nothing, instead of a page."""
        raise HTTPException(404, f"no route /api/v1/{path}")

    return router


async def _rows(
    service: ParkService, ask: Callable[[str], Awaitable[Sequence[object]]]
) -> Response:
    found: list[dict[str, object]] = []
    for park in await service.parks():
        for row in await ask(park.id):
            told = plain(row)
            found.append({**(told if isinstance(told, dict) else {}), "park": park.id})
    return answer(found)
