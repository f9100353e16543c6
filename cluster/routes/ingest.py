"""The ingest routes: gateways outside the service ask what to read, and deliver Arrow batches."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import Field

from cluster.arrow_body import one_batch
from cluster.errand_report import Report
from cluster.errands import OPEN_MOST
from cluster.gateway_token import SIGNATURE
from cluster.ports import EndpointStatus, Operations, Receipt, SignedConfig
from cluster.routes.alarms import Body
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape
from cluster.settings import LOOPBACK
from models.errors import Refused

Source = Annotated[str, Query(pattern=r"^[a-z][a-z0-9_.-]{0,99}$")]
Bearer = Annotated[
    str | None, Header(alias="Authorization", description="Bearer ptg_…, the gateway's token")
]
SESSIONS_MOST: Final = 1000
_SCHEME: Final = "bearer "
_FORWARDED: Final = ("forwarded", "x-forwarded-", "x-real-ip", "x-client-ip", "via")


class HelloBody(Body):
    """What a gateway says of its endpoints, and a nonce that is signed with the answer."""

    nonce: str = Field(min_length=16, max_length=100)
    told: dict[str, list[EndpointStatus]] = Field(default={}, max_length=100)


class ErrandsBody(Body):
    """What a gateway says of its errands: which process it is, and what it found."""

    nonce: str = Field(min_length=16, max_length=100)
    run: str = Field(min_length=1, max_length=40)
    reports: list[Report] = Field(default=[], max_length=OPEN_MOST)


def ingest_router(operations: Operations, *, open_beside: bool = True) -> APIRouter:
    """Build the routes of gateways. The body of a delivery may hold 64 MB.

    Parameters
    ----------
    operations
        What they ask.
    open_beside
        Whether a gateway on this machine may deliver without a token.
    """
    router = APIRouter(tags=["ingest"], responses=ERRORS)

    async def admit(request: Request, bearer: str | None, park: str, source: str) -> None:
        beside = open_beside and comes_from_beside(request)
        token = None if bearer is None else token_of(bearer)
        await operations.gateway_admit(token, park, source, beside=beside)

    @router.post("/ingest/{park}/session")
    async def session(
        request: Request,
        park: str,
        source: Source,
        count: Annotated[int, Query(ge=1, le=SESSIONS_MOST)] = 1,
        authorization: Bearer = None,
    ) -> Response:
        """Count a start of a gateway; the session its batches carry from now on.

        With `count` that many are set aside for its next starts: up to `until`.
        """
        await admit(request, authorization, park, source)
        first = await operations.gateway_session(park, source, count)
        return answer({"session": first, "until": first + count - 1})

    @router.post("/ingest/{park}", responses={200: {"model": shape(Receipt)}})
    async def ingest(
        request: Request,
        park: str,
        source: Source,
        session: Annotated[int, Query(ge=1, lt=2**63)],
        seq: Annotated[int, Query(ge=1, lt=2**63)],
        authorization: Bearer = None,
    ) -> Response:
        """Take one batch (an Arrow IPC stream with one record batch of samples or coverage)."""
        await admit(request, authorization, park, source)
        batch = await asyncio.to_thread(one_batch, await request.body())
        return answer(await operations.ingest(park, source, session, seq, batch))

    @router.post("/gateway/hello")
    async def hello(body: HelloBody, authorization: Bearer = None) -> Response:
        """Say how a gateway's endpoints are; the answer is what it has to read, signed."""
        token = shown_token(authorization)
        return _signed(await operations.gateway_hello(token, body.nonce, body.told))

    @router.post("/gateway/errands")
    async def errands(body: ErrandsBody, authorization: Bearer = None) -> Response:
        """Say how far a gateway's errands are; the answer is what else it has to do, signed."""
        token = shown_token(authorization)
        told = operations.gateway_errands(token, body.nonce, body.run, body.reports)
        return _signed(await told)

    return router


def shown_token(authorization: str | None) -> str:
    """The token of a request that has to show one.

    Raises
    ------
    Refused
        When it shows none.
    """
    if authorization is None:
        raise Refused("a gateway has to show its token", "send it as Authorization: Bearer ptg_…")
    return token_of(authorization)


def _signed(found: SignedConfig) -> Response:
    headers = {SIGNATURE: found.signature, "Cache-Control": "no-store"}
    return Response(found.body, media_type="application/json", headers=headers)


def token_of(header: str) -> str:
    """The token of an Authorization header; an empty text for another scheme."""
    return header[len(_SCHEME) :] if header.lower().startswith(_SCHEME) else ""


def comes_from_beside(request: Request) -> bool:
    """Whether a request comes from this machine, and not over a proxy that runs on it.

    A proxy is known by what it adds; one that adds nothing cannot be told from this machine.
    """
    host = "" if request.client is None else request.client.host
    return host in LOOPBACK and not any(name.startswith(_FORWARDED) for name in request.headers)
