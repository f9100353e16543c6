"""When the certificates of endpoints expire, in what is told of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from connectors.opcua.report import EndpointStatus
from connectors.opcua.security import Pki
from models.errors import TwinError


def with_expiry(
    statuses: Sequence[EndpointStatus], pki: Pki, now: datetime
) -> list[EndpointStatus]:
    """The same statuses with the ends of the servers' certificates, and of ours where one is shown.

    Parameters
    ----------
    statuses
        Endpoints as their gateway sees them.
    pki
        The certificates that gateway uses.
    now
        Wall time, aware.
    """
    secure = [one for one in statuses if one.security != "None" and one.id in pki.ends]
    own_us = _own_us(pki, now) if secure else None
    ends = {one.id: _us(pki.ends[one.id]) for one in secure}
    return [
        replace(one, certificate_us=ends[one.id], own_certificate_us=own_us)
        if one.id in ends
        else one
        for one in statuses
    ]


def _own_us(pki: Pki, now: datetime) -> int | None:
    try:
        return _us(pki.own(now).not_after)
    except (TwinError, OSError):  # the connection itself says what is wrong with our files
        return None


def _us(at: datetime) -> int:
    return round(at.timestamp()) * 1_000_000
