"""Routes of certificates: list, download ours, trust, take trust back, renew."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response

from cluster.acting import acting
from cluster.ports import CertificateEntry, ParkService, Renewal
from cluster.routes.answers import ERRORS, answer
from cluster.routes.documents import shape

DER = "application/pkix-cert"
Print = Annotated[
    str,
    Path(pattern=r"^[0-9A-Fa-f:-]{64,95}$", description="SHA-256 fingerprint, separators allowed"),
]


def certificates_router(service: ParkService) -> APIRouter:
    """Build the routes of certificates."""
    router = APIRouter(tags=["certificates"], responses=ERRORS)
    acts = [Depends(acting)]

    @router.get(
        "/certificates",
        responses={200: {"model": list[shape(CertificateEntry)]}},  # type: ignore[misc]
    )
    async def entries() -> Response:
        """List our certificate, those of servers, and revocation lists."""
        return answer(await service.certificates())

    @router.get("/certificates/own.der", responses={200: {"content": {DER: {}}}})
    async def own(
        staged: Annotated[bool, Query(description="The new one that waits to be trusted")] = False,  # noqa: FBT002
    ) -> Response:
        """Download our certificate, to be trusted on a server."""
        name = "parktwin-new.der" if staged else "parktwin.der"
        return Response(
            await service.certificate_der(staged=staged),
            media_type=DER,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @router.put("/certificates/{fingerprint}/trust", status_code=204, dependencies=acts)
    async def trust(fingerprint: Print) -> None:
        """Trust a certificate that a server has shown."""
        await service.certificate_trust(fingerprint)

    @router.delete("/certificates/{fingerprint}/trust", status_code=204, dependencies=acts)
    async def distrust(fingerprint: Print) -> None:
        """Take trust back; endpoints that rest on it are cut off at once."""
        await service.certificate_distrust(fingerprint)

    @router.post(
        "/certificates/renew", dependencies=acts, responses={200: {"model": shape(Renewal)}}
    )
    async def renew(*, force: bool = False) -> Response:
        """Make a new certificate, and use it once every server takes it; `force` uses it now."""
        return answer(await service.certificate_renew(force=force))

    return router
