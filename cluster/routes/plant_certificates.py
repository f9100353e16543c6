"""Routes of the certificates of a gateway in a plant; as those of the service's own."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import Response

from cluster.acting import acting
from cluster.ports import CertificateEntry, Operations, Renewal
from cluster.routes.answers import ERRORS, answer
from cluster.routes.certificates import DER, Print
from cluster.routes.documents import shape

Gateway = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_.-]{0,47}$")]


def plant_certificates_router(operations: Operations) -> APIRouter:
    """Build the routes."""
    router = APIRouter(
        prefix="/gateways/{gateway}/certificates", tags=["certificates"], responses=ERRORS
    )
    acts = [Depends(acting)]

    @router.get(
        "",
        responses={200: {"model": list[shape(CertificateEntry)]}},  # type: ignore[misc]
    )
    async def entries(gateway: Gateway) -> Response:
        """List the certificates of a plant: its gateway's, those of servers, revocation lists."""
        return answer(await operations.plant_certificates(gateway).entries())

    @router.get("/own.der", responses={200: {"content": {DER: {}}}})
    async def own(gateway: Gateway, *, staged: bool = False) -> Response:
        """Download the gateway's certificate; with `staged` the new one that waits."""
        der = await operations.plant_certificates(gateway).der(staged=staged)
        name = f"{gateway}-new.der" if staged else f"{gateway}.der"
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(der, media_type=DER, headers=headers)

    @router.put("/{fingerprint}/trust", status_code=204, dependencies=acts)
    async def trust(gateway: Gateway, fingerprint: Print) -> None:
        """Trust a certificate that a server has shown there."""
        await operations.plant_certificates(gateway).trust(fingerprint)

    @router.delete("/{fingerprint}/trust", status_code=204, dependencies=acts)
    async def distrust(gateway: Gateway, fingerprint: Print) -> None:
        """Take trust back there; endpoints that rest on it are cut off at once."""
        await operations.plant_certificates(gateway).distrust(fingerprint)

    @router.post("/renew", dependencies=acts, responses={200: {"model": shape(Renewal)}})
    async def renew(gateway: Gateway, *, force: bool = False) -> Response:
        """Make a new certificate there, used once its servers take it; `force` uses it now."""
        return answer(await operations.plant_certificates(gateway).renew(force=force))

    return router
