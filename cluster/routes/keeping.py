"""Routes of a park's file and its backups."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import Field

from cluster.acting import acting
from cluster.ports import Operations, TagChange
from cluster.routes.alarms import Body
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape
from cluster.routes.whatif import text_of


class BackupBody(Body):
    """Where a backup goes: a new or empty folder on the service's machine."""

    to: str = Field(min_length=1, max_length=1000)


def keeping_router(operations: Operations) -> APIRouter:
    """Build the routes."""
    router = APIRouter(tags=["keeping"], responses=ERRORS, dependencies=[Depends(acting)])

    @router.put("/parks/{park}/file", responses={200: {"model": list[shape(TagChange)]}})  # type: ignore[misc]
    async def apply(request: Request, park: str, *, dry_run: bool = True) -> Response:
        """Bring a park to an edited file (the body); by default only tell what would change."""
        text = text_of(await request.body())
        return answer(await operations.apply(park, text, dry_run=dry_run))

    @router.post("/parks/{park}/backup")
    async def backup(park: str, body: BackupBody) -> Response:
        """Back up the memory of a park."""
        return answer(await operations.backup(park, body.to))

    return router
