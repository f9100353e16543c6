"""Routes of alarms: list, acknowledge, shelve; and of notes."""

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from cluster.ports import Alarm, Operations, ParkService
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape

Who = Annotated[str, Field(min_length=1, max_length=200)]


class Body(BaseModel):
    """A body; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Acknowledgement(Body):
    """Which alarms somebody has seen."""

    alarms: list[str] = Field(min_length=1, max_length=1000)
    by: Who
    note: str = Field("", max_length=2000)


class Shelving(Body):
    """Which alarms are put aside, for how long and why; 0 minutes brings them back."""

    alarms: list[str] = Field(min_length=1, max_length=1000)
    by: Who
    minutes: float = Field(ge=0, le=7 * 24 * 60, allow_inf_nan=False)
    reason: str = Field("", max_length=2000)


class Note(Body):
    """A note at an asset."""

    asset: str = Field(max_length=256)
    text: str = Field(min_length=1, max_length=4000)
    by: Who


def alarms_router(service: ParkService, operations: Operations) -> APIRouter:
    """Build the routes of alarms and notes."""
    router = APIRouter(tags=["alarms"], responses=ERRORS)

    @router.get("/parks/{park}/alarms", responses={200: {"model": list[shape(Alarm)]}})  # type: ignore[misc]
    async def alarms(park: str, *, history: bool = False) -> Response:
        """List unresolved alarms; with `history` the ended ones too."""
        return answer(await service.alarms(park, history=history))

    @router.post("/parks/{park}/alarms/acknowledge", status_code=204)
    async def acknowledge(park: str, body: Acknowledgement) -> None:
        """Acknowledge alarms."""
        await service.acknowledge(park, body.alarms, body.by, body.note)

    @router.post("/parks/{park}/alarms/shelve", status_code=204)
    async def shelve(park: str, body: Shelving) -> None:
        """Shelve alarms for a limited time."""
        await service.shelve(park, body.alarms, body.by, body.minutes, body.reason)

    @router.post("/parks/{park}/notes", status_code=204)
    async def note(park: str, body: Note) -> None:
        """Keep a note at an asset."""
        await operations.note(park, body.asset, body.text, body.by)

    return router
