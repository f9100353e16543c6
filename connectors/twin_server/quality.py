"""What a figure's quality is in OPC UA: a StatusCode (OPC 10000-8, table of status codes)."""

import math
from enum import StrEnum
from typing import Final

from asyncua.ua.status_codes import StatusCodes

GOOD, UNCERTAIN, BAD = 0, 1, 2
"""Qualities of a figure, as `twin.figures.Now` counts them."""
_SEVERITY: Final = 30
_BAD_BITS: Final = 2


class Link(StrEnum):
    """How well the twin itself is heard: live, its newest frame is old, or it is away."""

    LIVE = "live"
    STALE = "stale"
    AWAY = "away"


def status_of(value: float | None, quality: int, measured: float, link: Link = Link.LIVE) -> int:
    """StatusCode of a figure.

    Parameters
    ----------
    value
        The figure; None or not finite when it is not known.
    quality
        0 good, 1 uncertain, 2 bad.
    measured
        Share of it that comes from good measurements, 0..1.
    link
        How well the twin is heard.

    Returns
    -------
    int
        Good · UncertainSubNormal (partly or wholly estimated) · UncertainLastUsableValue (its
        source or the twin is stale) · Bad (a value that is no good) · BadNoData (no value) ·
        BadNoCommunication (the twin is away).
    """
    if link is Link.AWAY:
        return int(StatusCodes.BadNoCommunication)
    if value is None or not math.isfinite(value):
        return int(StatusCodes.BadNoData)
    if quality >= BAD:
        return int(StatusCodes.Bad)
    if link is Link.STALE:
        return int(StatusCodes.UncertainLastUsableValue)
    if quality == GOOD:
        return int(StatusCodes.Good)
    if measured < 1.0:
        return int(StatusCodes.UncertainSubNormal)
    return int(StatusCodes.UncertainLastUsableValue)


def is_bad(status: int) -> bool:
    """Whether a status says that there is no value to use."""
    return status >> _SEVERITY == _BAD_BITS
