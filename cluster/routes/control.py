"""Routes that write to PLCs and call methods there; the park file says who may."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from cluster.control_ports import AuditPage, AuditQuery, Control, ControlOutcome
from cluster.routes.alarms import Body, Who
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape
from cluster.routes.ingest import comes_from_beside

Role = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$", description="Role in which one acts, as stated")
]
Text = Annotated[StrictStr, Field(max_length=5000)]
Value = StrictBool | StrictInt | StrictFloat | Text


class WriteBody(Body):
    """A value for a tag, in the tag's unit, and who writes it in which role, as stated."""

    tag: str = Field(min_length=1, max_length=512, examples=["vsip1/acme/l1/p01/speed_setpoint"])
    value: Value
    by: Who
    role: Role
    dry_run: bool = False


class CallBody(Body):
    """A method with its arguments, and who calls it in which role, as stated."""

    method: str = Field(
        min_length=1, max_length=1000, description="`<object> <method>`, or the method alone"
    )
    arguments: list[Value] = Field(default=[], max_length=64)
    by: Who
    role: Role
    dry_run: bool = False


def control_router(control: Control) -> APIRouter:
    """Build the routes of writes, calls and the audit trail."""
    router = APIRouter(responses=ERRORS)
    done: dict[int | str, dict[str, object]] = {200: {"model": shape(ControlOutcome)}}

    @router.post(
        "/parks/{park}/endpoints/{endpoint}/write",
        responses=done, tags=["control"],
    )  # fmt: skip
    async def write(request: Request, park: str, endpoint: str, body: WriteBody) -> Response:
        """Write a value to the PLC, and read it back; 403 unless allowed for that tag and role.

        Taken from the service's own machine only, over no proxy: there is no login yet, and `by`
        and `role` are as stated. `dry_run` tells what would be written. Every attempt is in the
        audit trail.
        """
        found = await control.endpoint_write(
            park,
            endpoint,
            body.tag,
            body.value,
            body.by,
            body.role,
            dry_run=body.dry_run,
            beside=comes_from_beside(request),
        )
        return answer(found)

    @router.post(
        "/parks/{park}/endpoints/{endpoint}/call",
        responses=done, tags=["control"],
    )  # fmt: skip
    async def call(request: Request, park: str, endpoint: str, body: CallBody) -> Response:
        """Call a method of the server; 403 unless allowed for that method and role.

        Taken from the service's own machine only, over no proxy: there is no login yet, and `by`
        and `role` are as stated. `dry_run` tells what would be called. Every attempt is in the
        audit trail.
        """
        found = await control.endpoint_call(
            park,
            endpoint,
            body.method,
            body.arguments,
            body.by,
            body.role,
            dry_run=body.dry_run,
            beside=comes_from_beside(request),
        )
        return answer(found)

    _audit(router, control)
    return router


def _audit(router: APIRouter, control: Control) -> None:
    @router.get("/audit", responses={200: {"model": shape(AuditPage)}}, tags=["audit"])
    async def audit(
        since: Annotated[str, Query(description="ISO 8601, now or -3h")] = "",
        until: Annotated[str, Query(description="Before this time")] = "",
        who: Annotated[str, Query(max_length=200, description="Exactly this name")] = "",
        action: Annotated[str, Query(max_length=64, description="Begins so: endpoint.")] = "",
        subject: Annotated[str, Query(max_length=512, description="Holds this")] = "",
        before: Annotated[int | None, Query(description="`next` of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Response:
        """Tell who changed what, newest first; writes and calls with before, after and result."""
        query = AuditQuery(
            since=since, until=until, who=who, action=action, subject=subject,
            before=before, limit=limit,
        )  # fmt: skip
        return answer(await control.audit(query))

    @router.get("/audit/check", tags=["audit"])
    async def check() -> Response:
        """Check that no row of the trail was changed, taken out or put in; 403 where one was."""
        return answer({"rows": await control.audit_check()})
