"""Routes of the tokens of gateways outside the service: list, create, revoke."""

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from pydantic import Field

from cluster.acting import acting
from cluster.ports import GatewayTokenEntry, IssuedToken, Operations
from cluster.routes.alarms import Body
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape


class TokenBody(Body):
    """For which gateway, which parks, and how long."""

    gateway: str = Field(pattern=r"^[a-z][a-z0-9_.-]{0,47}$")
    parks: list[str] = Field(min_length=1, max_length=100)
    days: float = Field(365.0, gt=0, le=3660, allow_inf_nan=False)


def gateway_tokens_router(operations: Operations) -> APIRouter:
    """Build the routes."""
    router = APIRouter(tags=["gateway tokens"], responses=ERRORS)
    acts = [Depends(acting)]

    @router.get(
        "/gateway-tokens",
        responses={200: {"model": list[shape(GatewayTokenEntry)]}},  # type: ignore[misc]
    )
    async def tokens() -> Response:
        """List the tokens of gateways, also those that are over; never their secrets."""
        return answer(await operations.gateway_tokens())

    @router.post(
        "/gateway-tokens",
        status_code=201,
        dependencies=acts,
        responses={201: {"model": shape(IssuedToken)}},
    )
    async def create(body: TokenBody) -> Response:
        """Make a token; it is shown this once."""
        issued = await operations.gateway_token_create(body.gateway, body.parks, body.days)
        made = answer(issued, 201)
        made.headers["Cache-Control"] = "no-store"
        return made

    @router.delete("/gateway-tokens/{token}", status_code=204, dependencies=acts)
    async def revoke(token: str) -> None:
        """End a token; its gateway is refused from its next request on."""
        await operations.gateway_token_revoke(token)

    return router
