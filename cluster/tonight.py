"""Headroom tonight: the park's load of the last weeks from the memory, and the figures of now."""

import asyncio
from typing import Final, cast

import numpy as np
import numpy.typing as npt

from cluster.live_park import LivePark
from cluster.ports import Headroom
from models.bill import Grid
from models.errors import Unavailable
from twin.figure_specs import layout_of
from twin.figures import Now
from twin.headroom import headroom_tonight, tonight_of
from twin.park_logic import year_of
from twin.samples import column_us
from twin.shard import Cut
from twin.tags import TagRow

_QUARTER_US: Final = 900_000_000
_DAY_US: Final = 86_400_000_000
_DAYS: Final = 28
_SOURCES: Final = ("transformer", "pv", "bess")
"""Asset types whose active power adds up to the park's gross load."""


async def headroom_of(live: LivePark) -> Headroom:
    """Headroom of a park tonight.

    Raises
    ------
    Unavailable
        Before the first figures.
    """
    pulse = live.pulse
    if pulse is None:
        raise Unavailable(f"park {live.id} has no figures yet", "wait some seconds")
    rows = power_tags(live)
    cut = cast("Cut", await live.ask("cut", [row.tag for row in rows]))
    return await asyncio.to_thread(judged, live, cut, rows, pulse.now)


def judged(live: LivePark, cut: Cut, rows: list[TagRow], now: Now) -> Headroom:
    """Read the history and judge it."""
    history, grid = gross_kw(live, cut, rows, now.now_us)
    layout = layout_of(live.park, year_of(now.now_us))
    return headroom_tonight(
        live.park, tonight_of(live.park, layout, now, history, grid), now.now_us
    )


def power_tags(live: LivePark) -> list[TagRow]:
    """Tags of the power of transformers, roofs and batteries."""
    wanted = {
        f"{live.id}/{node.id}/active_power" for kind in _SOURCES for node in live.park.of_type(kind)
    }
    return [row for row in live.dictionary.open.values() if row.binding.path in wanted]


def gross_kw(
    live: LivePark, cut: Cut, rows: list[TagRow], now_us: int
) -> tuple[npt.NDArray[np.float64], Grid]:
    """Mean gross load per quarter hour of the last weeks [kW], NaN where a part is unknown."""
    until_us = now_us // _QUARTER_US * _QUARTER_US
    since_us = until_us - _DAYS * _DAY_US
    steps = (until_us - since_us) // _QUARTER_US
    grid = Grid(start_us=since_us, step_us=_QUARTER_US, steps=steps)
    if not rows:
        return np.full(steps, np.nan), grid
    found = live.reader.windows(cut, rows, since_us, until_us, _QUARTER_US)
    tags = sorted(row.tag for row in rows)
    each = np.full((len(tags), steps), np.nan)
    place = np.searchsorted(tags, np.asarray(found.column("tag").to_numpy()))
    step = (column_us(found, "at") - since_us) // _QUARTER_US
    each[place, step] = found.column("mean").to_numpy()
    return each.sum(axis=0), grid
