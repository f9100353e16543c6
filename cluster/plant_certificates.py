"""Certificates of a gateway in a plant, looked at and changed from the service by errands."""

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

from cluster.errands import Errands
from cluster.ports import CertificateEntry, Renewal
from models.errors import Unavailable

Audit = Callable[[str, str, Mapping[str, object]], Awaitable[None]]
"""Writes an action, its subject and details to the trail."""


class PlantCertificates:
    """What `CertificateDesk` offers, in a plant.

    Parameters
    ----------
    gateway
        Name of its gateway.
    errands
        Carries what is asked.
    audit
        Told what was changed: trust before it is asked for, a renewal with what came of it.
    """

    def __init__(self, gateway: str, errands: Errands, audit: Audit) -> None:
        self._gateway, self._errands, self._audit = gateway, errands, audit

    async def entries(self) -> list[CertificateEntry]:
        """Those of the plant: its gateway's first, then those of servers, then revocation lists."""
        return cast("list[CertificateEntry]", await self._ask("certificates"))

    async def der(self, *, staged: bool) -> bytes:
        """The gateway's certificate as DER; the one that waits to be trusted when `staged`."""
        return base64.b64decode(str(await self._ask("certificate_der", staged)))

    async def trust(self, fingerprint: str) -> None:
        """Trust a certificate that a server has shown there."""
        await self._audit("certificate.trust", self._subject(fingerprint), {})
        await self._ask("certificate_trust", fingerprint)

    async def distrust(self, fingerprint: str) -> None:
        """Take trust back; endpoints that rest on it are cut off at once."""
        await self._audit("certificate.distrust", self._subject(fingerprint), {})
        await self._ask("certificate_distrust", fingerprint)

    async def renew(self, *, force: bool) -> Renewal:
        """Make a new certificate there, and use it once all of its servers take it."""
        try:
            renewal = cast("Renewal", await self._ask("certificate_renew", force))
        except Unavailable as fault:  # it may have been done, though the answer did not come
            detail = {"result": "unknown", "cause": str(fault), "force": force}
            await self._audit("certificate.renew", self._subject(""), detail)
            raise
        told = {"used": renewal.used, "refused": dict(renewal.refused), "force": force}
        await self._audit("certificate.renew", self._subject(renewal.fingerprint), told)
        return renewal

    async def _ask(self, method: str, *arguments: object) -> object:
        return await self._errands.ask(self._gateway, "", method, *arguments)

    def _subject(self, fingerprint: str) -> str:
        return f"{self._gateway}/{fingerprint}"
