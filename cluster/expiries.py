"""Days the certificates of a park's endpoints last, told to its twin when they change."""

import math
from collections.abc import Sequence
from typing import TypedDict

from connectors.opcua.report import EndpointStatus

_DAY_US = 86_400_000_000


class News(TypedDict):
    """Days left per endpoint, and of our own certificate; None while nobody told of that."""

    endpoints: dict[str, float]
    own: float | None


class Expiries:
    """What the twin was told, and what is news.

    Wall time decides, whatever the clock of the park shows; so the twin is told days, not dates.
    """

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}
        self._own_us = 0
        self._told: tuple[dict[str, int], int | None] | None = None

    def news(self, statuses: Sequence[EndpointStatus], now_us: int) -> News | None:
        """What the twin is to be told now; None while it would hear the same whole days again.

        An endpoint whose gateway is away keeps what was known of it.

        Parameters
        ----------
        statuses
            All endpoints of the park.
        now_us
            Wall time [us].
        """
        known = {one.id: one.certificate_us for one in statuses if one.certificate_us}
        here = {one.id for one in statuses}
        self._ends = {id_: us for id_, us in (self._ends | known).items() if id_ in here}
        own = [one.own_certificate_us for one in statuses if one.own_certificate_us]
        self._own_us = min(own, default=self._own_us)
        days = {id_: (us - now_us) / _DAY_US for id_, us in self._ends.items()}
        own_days = (self._own_us - now_us) / _DAY_US if self._own_us else None
        told: News = {"endpoints": days, "own": own_days}
        nothing_yet = self._told is None and not days and own_days is None
        return None if nothing_yet or _whole(told) == self._told else told

    def told(self, news: News) -> None:
        """The twin has taken it."""
        self._told = _whole(news)


def _whole(told: News) -> tuple[dict[str, int], int | None]:
    own = told["own"]
    days = {name: math.floor(each) for name, each in told["endpoints"].items()}
    return days, None if own is None else math.floor(own)
