"""Certificates of one installation: ours, whom we trust, and when they expire.

All gateways of a service share one folder; `parktwin gateway` in a plant has its own, and a desk of
its own.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, cast

from cluster.ports import CertificateEntry, Renewal
from connectors.opcua.own_certificate import OwnCertificate, expiry_stage
from connectors.opcua.security import Pki, Seen, Shown
from models.errors import NotFound, TwinError

logger = logging.getLogger(__name__)

_PLACES = ("trusted", "issuers", "rejected")
_LOOK_S = 6 * 3600.0
_SHOWN_S = 3.0


class Asks(Protocol):
    """A running park of the service, or what a gateway in a plant reads of it."""

    async def ask_gateway(self, method: str, *arguments: object) -> object:
        """Call a method of its gateways."""


class CertificateDesk:
    """What may be asked about certificates, and done with them.

    Parameters
    ----------
    folder
        Folder of the certificates.
    parks
        The parks whose gateways use them.
    """

    def __init__(self, folder: Path, parks: Mapping[str, Asks]) -> None:
        self._pki, self._parks = Pki(folder), parks

    async def entries(self) -> list[CertificateEntry]:
        """Ours first, then those of servers, then revocation lists."""
        shown = await self._shown()
        return await asyncio.to_thread(self._entries, shown, datetime.now(UTC))

    async def der(self, *, staged: bool) -> bytes:
        """Our certificate as DER; the one that waits to be trusted when `staged`.

        Raises
        ------
        NotFound
            When none waits.
        """
        return await asyncio.to_thread(self._der, staged)

    async def trust(self, fingerprint: str) -> None:
        """Trust a certificate that a server has shown; `tell` the gateways afterwards."""
        await asyncio.to_thread(self._pki.trust, fingerprint)

    async def distrust(self, fingerprint: str) -> None:
        """Take trust back; `tell` the gateways afterwards."""
        await asyncio.to_thread(self._pki.distrust, fingerprint)

    async def tell(self, cause: str, fingerprint: str) -> None:
        """Have endpoints connect again after a change, see `GatewayHost.certificates_changed`.

        Raises
        ------
        Unavailable
            When a gateway is away; the others have been told. It reads the folders at its start.
        """
        away: list[TwinError] = []
        for live in self._parks.values():
            try:
                await live.ask_gateway("certificates_changed", cause, fingerprint)
            except TwinError as error:
                away.append(error)
        if away:
            raise away[0]

    async def renew(self, *, force: bool) -> Renewal:
        """Make a new certificate, ask the servers with it, and use it once all of them take it.

        `tell` the gateways afterwards, when it is used.

        Parameters
        ----------
        force
            Use it although some servers do not take it yet: they are lost until they do.
        """
        now = datetime.now(UTC)
        staged = await asyncio.to_thread(self._pki.renewal.stage, now)
        answers: dict[str, str] = {}
        for name, live in self._parks.items():
            asked = cast("dict[str, str]", await live.ask_gateway("ask_with_staged"))
            answers |= {f"{name}/{endpoint}": why for endpoint, why in asked.items()}
        refusing = {endpoint: why for endpoint, why in answers.items() if why}
        used = force or not refusing
        if used:
            await asyncio.to_thread(self._pki.renewal.switch)
        return Renewal(
            fingerprint=staged.fingerprint,
            used=used,
            accepted=tuple(endpoint for endpoint, why in answers.items() if not why),
            refused=refusing,
        )

    async def stage(self) -> str:
        """Make a new certificate and ask nobody; its fingerprint."""
        staged = await asyncio.to_thread(self._pki.renewal.stage, datetime.now(UTC))
        return staged.fingerprint

    async def watch(self) -> None:
        """Tell in the log, every few hours, what expires soon."""
        while True:
            try:
                warn(await self.entries())
            except (TwinError, OSError) as fault:
                logger.warning("certificates cannot be looked at", extra={"cause": str(fault)})
            await asyncio.sleep(_LOOK_S)

    async def _shown(self) -> dict[str, list[tuple[str, Shown]]]:
        """Fingerprint → the endpoints that showed it, with remarks."""
        found: dict[str, list[tuple[str, Shown]]] = {}
        for name, live in self._parks.items():
            try:
                async with asyncio.timeout(_SHOWN_S):
                    told = cast("dict[str, Shown]", await live.ask_gateway("shown"))
            except (TwinError, TimeoutError):  # a gateway that starts has seen nothing yet
                continue
            for endpoint, one in told.items():
                found.setdefault(one.fingerprint, []).append((f"{name}/{endpoint}", one))
        return found

    def _entries(
        self, shown: Mapping[str, Sequence[tuple[str, Shown]]], now: datetime
    ) -> list[CertificateEntry]:
        found = [_ours("own", self._pki.own(now), now)]
        staged = self._pki.renewal.staged()
        if staged is not None:
            found.append(_ours("next", staged, now))
        seen = self._pki.seen(_PLACES)
        found += [_theirs(one, shown.get(one.fingerprint, ()), now) for one in seen]
        kept = {one.fingerprint for one in seen}
        # A certificate that an authority vouches for lies in no folder of ours.
        found += [_vouched(mark, told, now) for mark, told in shown.items() if mark not in kept]
        for crl in self._pki.revocation_lists():
            remarks = () if crl.signed else ("no authority we hold has signed it: it counts not",)
            found.append(
                CertificateEntry(
                    place="crl",
                    fingerprint="",
                    subject=crl.issuer,
                    days_left=_days(crl.not_after, now) if crl.not_after is not None else None,
                    due=expiry_stage(crl.not_after, now) if crl.not_after is not None else None,
                    remarks=remarks,
                )
            )
        return found

    def _der(self, staged: bool) -> bytes:  # noqa: FBT001 - an own method
        own = self._pki.own(datetime.now(UTC))
        waiting = self._pki.renewal.staged()
        if staged and waiting is None:
            raise NotFound("new certificate", "next", ("own",))
        return (waiting if staged and waiting is not None else own).certificate.read_bytes()


def warn(entries: Sequence[CertificateEntry]) -> None:
    """Say in the log what has expired or will soon."""
    for one in entries:
        if one.due is None or one.place in ("rejected", "next"):
            continue
        about = {
            "place": one.place,
            "subject": one.subject,
            "days_left": round(one.days_left or 0.0, 1),
            "endpoints": ", ".join(one.endpoints),
        }
        level = logging.WARNING if one.due > 0 else logging.ERROR
        logger.log(level, "a certificate expires", extra=about)


def _days(until: datetime, now: datetime) -> float:
    return (until - now) / timedelta(days=1)


def _ours(place: str, own: OwnCertificate, now: datetime) -> CertificateEntry:
    return CertificateEntry(
        place=place,
        fingerprint=own.fingerprint,
        subject="parktwin gateway",
        application_uri=own.application_uri,
        hosts=own.hosts,
        until_us=_us(own.not_after),
        days_left=own.days_left(now),
        due=expiry_stage(own.not_after, now),
    )


def _theirs(one: Seen, told: Sequence[tuple[str, Shown]], now: datetime) -> CertificateEntry:
    return CertificateEntry(
        place=one.place,
        fingerprint=one.fingerprint,
        subject=one.subject,
        application_uri=one.application_uri,
        hosts=one.hosts,
        until_us=_us(one.not_after),
        days_left=_days(one.not_after, now),
        due=expiry_stage(one.not_after, now),
        endpoints=tuple(endpoint for endpoint, _ in told),
        remarks=_remarks(told),
    )


def _vouched(mark: str, told: Sequence[tuple[str, Shown]], now: datetime) -> CertificateEntry:
    until = told[0][1].not_after
    return CertificateEntry(
        place="vouched",
        fingerprint=mark,
        subject="",
        until_us=_us(until),
        days_left=_days(until, now),
        due=expiry_stage(until, now),
        endpoints=tuple(endpoint for endpoint, _ in told),
        remarks=_remarks(told),
    )


def _remarks(told: Sequence[tuple[str, Shown]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(remark for _, one in told for remark in one.remarks))


def _us(at: datetime) -> int:
    return round(at.timestamp()) * 1_000_000
