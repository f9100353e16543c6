"""Which gateway reads which endpoint: by count and rate, moving as little as possible.

A move costs seconds without values, so nothing moves but for a reason: its gateway is gone, holds
more than it may, is closed because the others have room, or carries far more than the mean.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import Final

CLOSE_AT: Final = 0.8
"""One gateway fewer only where this share of their places would be enough: the next endpoint that
is added must not open it again."""
HEAVY_AT: Final = 1.5
"""A gateway that carries more than this times the mean gives something away."""


def seats(first: str) -> Iterator[str]:
    """Names of gateways: stable, because each names a folder and a numbered stream."""
    yield first
    number = 2
    while True:
        yield f"{first}-{number}"
        number += 1


def spread(
    loads: Mapping[str, float],
    held: Mapping[str, str],
    *,
    first: str,
    limit: int,
    broken: Collection[str] = (),
) -> dict[str, str]:
    """Endpoint → gateway.

    Parameters
    ----------
    loads
        Endpoint → values a second it is asked for [1/s].
    held
        Where each is read now; others are new.
    first
        Name of the first gateway; the others are numbered after it.
    limit
        Endpoints of one gateway at most.
    broken
        Gateways that do not come back: nothing stays there, nothing goes there.
    """
    found = {e: g for e, g in held.items() if e in loads and g not in broken}
    _cut(found, loads, limit)
    open_ = sorted(set(found.values()), key=_order)
    names = (name for name in seats(first) if name not in broken and name not in open_)
    while len(open_) * limit < len(loads):
        open_.append(next(names))
    while len(open_) > 1 and len(loads) <= CLOSE_AT * limit * (len(open_) - 1):
        closed = max(open_, key=_order)
        open_.remove(closed)
        found = {e: g for e, g in found.items() if g != closed}
    for endpoint in sorted(loads.keys() - found.keys(), key=lambda e: (-loads[e], e)):
        found[endpoint] = _lightest(found, loads, open_, limit)
    _balance(found, loads, open_, limit)
    return found


def _order(gateway: str) -> tuple[int, str]:
    return len(gateway), gateway


def _weight(loads: Mapping[str, float], endpoint: str) -> float:
    return loads[endpoint] + 1.0  # an endpoint without values costs a connection


def _carried(found: Mapping[str, str], loads: Mapping[str, float], gateway: str) -> float:
    return sum(_weight(loads, e) for e, g in found.items() if g == gateway)


def _count(found: Mapping[str, str], gateway: str) -> int:
    return sum(g == gateway for g in found.values())


def _lightest(
    found: Mapping[str, str], loads: Mapping[str, float], open_: Collection[str], limit: int
) -> str:
    room = [g for g in open_ if _count(found, g) < limit]
    return min(room, key=lambda g: (_carried(found, loads, g), _order(g)))


def _cut(found: dict[str, str], loads: Mapping[str, float], limit: int) -> None:
    """Take from gateways what is beyond the limit, the lightest first."""
    for gateway in set(found.values()):
        own = sorted((e for e, g in found.items() if g == gateway), key=lambda e: (loads[e], e))
        for endpoint in own[: max(0, len(own) - limit)]:
            del found[endpoint]


def _balance(
    found: dict[str, str], loads: Mapping[str, float], open_: Collection[str], limit: int
) -> None:
    """Move from the heaviest to the lightest as long as that lowers the heaviest."""
    if len(open_) < 2:
        return
    mean = math.fsum(_weight(loads, e) for e in loads) / len(open_)
    while True:
        heavy = max(open_, key=lambda g: (_carried(found, loads, g), _order(g)))
        most = _carried(found, loads, heavy)
        room = [g for g in open_ if _count(found, g) < limit and g != heavy]
        if most <= HEAVY_AT * mean or not room:
            return
        light = min(room, key=lambda g: (_carried(found, loads, g), _order(g)))
        least = _carried(found, loads, light)
        own = [e for e, g in found.items() if g == heavy]
        fit = [e for e in own if least + _weight(loads, e) < most]
        if not fit:
            return
        found[max(fit, key=lambda e: (loads[e], e))] = light
