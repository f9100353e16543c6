"""The ingest route: gateways outside the service deliver numbered Arrow batches."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from cluster.arrow_body import one_batch
from cluster.ports import Operations, Receipt
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape

Source = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_.-]{0,99}$")]


def ingest_router(operations: Operations) -> APIRouter:
    """Build the routes of gateways. The body of a delivery may hold 64 MB."""
    router = APIRouter(tags=["ingest"], responses=ERRORS)

    @router.post("/ingest/{park}/session")
    async def session(park: str, source: Source) -> Response:
        """Count a start of a gateway; the session its batches carry from now on."""
        return answer({"session": await operations.gateway_session(park, source)})

    @router.post("/ingest/{park}", responses={200: {"model": shape(Receipt)}})
    async def ingest(
        request: Request,
        park: str,
        source: Source,
        session: Annotated[int, Query(ge=1, lt=2**63)],
        seq: Annotated[int, Query(ge=1, lt=2**63)],
    ) -> Response:
        """Take one batch (an Arrow IPC stream with one record batch of samples or coverage)."""
        batch = await asyncio.to_thread(one_batch, await request.body())
        return answer(await operations.ingest(park, source, session, seq, batch))

    return router
