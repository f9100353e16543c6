"""How the endpoints of a park do beyond alive: how many of their tags are bad, what expires."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.errors import InputError
from twin.state import ShardState
from twin.status import CLASS_BAD

Floats = npt.NDArray[np.float64]

BAD_MINUTES: Final = 10
"""The share of bad tags is a mean over so many minutes of park time."""
_MINUTE_US: Final = 60_000_000


@dataclass(slots=True)
class Minute:
    """One minute of ticks: endpoint → sum of its shares of bad tags, and how many ticks."""

    number: int
    shares: dict[str, tuple[float, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Connections:
    """What the figures of endpoints need of the past and of the service.

    Attributes
    ----------
    minutes
        The newest minutes, oldest first.
    days
        Endpoint → days its server's certificate is still valid, as the service said last.
    own_days
        The same of our own certificates, the least of all gateways; None before it was said.
    """

    minutes: list[Minute] = field(default_factory=list)
    days: dict[str, float] = field(default_factory=dict)
    own_days: float | None = None

    def tell(self, data: Mapping[str, object]) -> None:
        """Take what the service says of certificates: ``{"endpoints": {id: days}, "own": days}``.

        Raises
        ------
        InputError
            When it is something else; nothing is taken then.
        """
        told, own = data.get("endpoints"), data.get("own")
        if not isinstance(told, Mapping) or not all(map(_is_days, told.values())):
            raise InputError("days per endpoint are wanted", "send numbers", "certificates")
        if own is not None and not _is_days(own):
            raise InputError(f"{own!r} is no number of days", "send a number", "certificates.own")
        self.days = {str(endpoint): float(days) for endpoint, days in told.items()}
        self.own_days = float(str(own)) if own is not None else None

    def look(self, state: ShardState, now_us: int) -> None:
        """Count the bad tags of each endpoint that is heard; once a tick.

        A tag counts from its first value on; a text or an event too, by its status.
        """
        number = now_us // _MINUTE_US
        self.minutes = [m for m in self.minutes if number - BAD_MINUTES < m.number <= number]
        if not self.minutes or self.minutes[-1].number != number:
            self.minutes.append(Minute(number=number))
        shares = self.minutes[-1].shares
        for endpoint, share in _bad_now(state).items():
            total, ticks = shares.get(endpoint, (0.0, 0))
            shares[endpoint] = (total + share, ticks + 1)

    def bad_pct(self, endpoints: Sequence[str]) -> Floats:
        """Mean share of bad tags over the window [%]; NaN where nothing was heard in it."""
        found = np.full(len(endpoints), np.nan)
        for place, endpoint in enumerate(endpoints):
            kept = [m.shares[endpoint] for m in self.minutes if endpoint in m.shares]
            ticks = sum(n for _, n in kept)
            if ticks:
                found[place] = 100.0 * sum(total for total, _ in kept) / ticks
        return found

    def certificate_days(self, endpoints: Sequence[str]) -> Floats:
        """Days the certificate of each endpoint's server is valid; NaN where none is known."""
        return np.array([self.days.get(endpoint, np.nan) for endpoint in endpoints], np.float64)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "minutes": [
                [m.number, {name: list(sums) for name, sums in m.shares.items()}]
                for m in self.minutes
            ],
            "days": dict(self.days),
            "own": self.own_days,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Connections":
        """Inverse of `as_dict`; an empty mapping knows nothing yet."""
        if not data:
            return cls()
        return cls(
            minutes=[
                Minute(number=number, shares={name: (t, n) for name, (t, n) in shares.items()})
                for number, shares in data["minutes"]
            ],
            days=dict(data["days"]),
            own_days=data["own"],
        )


def _bad_now(state: ShardState) -> dict[str, float]:
    """Share of bad tags of each endpoint that is alive and has values."""
    names = list(state.endpoints)
    endpoint = state.endpoint
    counted = state.known & state.open & (endpoint >= 0)
    if not names or not counted.any():
        return {}
    bad = counted & (state.quality == CLASS_BAD)
    all_of = np.bincount(endpoint[counted], minlength=len(names))
    bad_of = np.bincount(endpoint[bad], minlength=len(names))
    return {
        name: float(bad_of[place] / all_of[place])
        for place, name in enumerate(names)
        if all_of[place] and state.endpoints[name].alive is not False
    }


def _is_days(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
