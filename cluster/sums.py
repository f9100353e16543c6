"""KPIs and energy over a span: rollups read here, sums made by the twin's pure functions."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

import pyarrow as pa

from cluster.asking import check_range, check_windows
from cluster.live_park import LivePark
from models.errors import InputError
from twin.energy import STEP_US, energy_table, energy_tags
from twin.kpi import kpi_tags, kpis, partly_observed, piece_us, state_tags
from twin.shard import Cut
from twin.tags import TagDictionary

_LONGEST_US: Final = 400 * 86_400_000_000


async def kpi_table(live: LivePark, since_us: int, until_us: int, every_us: int | None) -> pa.Table:
    """KPIs per line and window."""
    check_range(since_us, until_us, live.now_us)
    dictionary = TagDictionary(live.rows)
    tags = kpi_tags(live.park, dictionary)
    step_us = every_us or until_us - since_us
    check_windows(len(tags), since_us, until_us, step_us)
    rows = await _windows(live, tags, since_us, until_us, step_us)
    states = state_tags(live.park, dictionary)
    seen = None
    piece = piece_us(since_us, until_us, every_us)
    # A piece of a window costs what a window costs: only where the plan was not seen throughout.
    if piece is not None and partly_observed(rows, states, since_us, until_us, every_us):
        check_windows(len(states), since_us, until_us, piece)
        seen = await _windows(live, states, since_us, until_us, piece)
    return await asyncio.to_thread(
        kpis,
        live.park,
        dictionary,
        rows,
        since_us=since_us,
        until_us=until_us,
        every_us=every_us,
        seen=seen,
    )


async def energy_rows(live: LivePark, since_us: int, until_us: int, every_us: int) -> pa.Table:
    """Energy per flow and interval; the span is widened to whole quarter hours."""
    check_range(since_us, until_us, live.now_us)
    if until_us - since_us > _LONGEST_US:
        raise InputError("the span is longer than 400 days", "ask year by year", "since")
    since_us = since_us // STEP_US * STEP_US
    until_us = -(-until_us // STEP_US) * STEP_US
    dictionary = TagDictionary(live.rows)
    tags = energy_tags(live.park, dictionary)
    rows = await _windows(live, tags, since_us, until_us, STEP_US)
    return await asyncio.to_thread(
        energy_table,
        live.park,
        dictionary,
        rows,
        since_us=since_us,
        until_us=until_us,
        every_us=every_us,
    )


async def _windows(
    live: LivePark, tags: Sequence[int], since_us: int, until_us: int, every_us: int
) -> pa.Table:
    cut = cast("Cut", await live.ask("cut", list(tags)))
    # closed tags too: a path keeps the past of the tags it had before
    wanted = set(tags)
    rows = [row for row in live.rows if row.tag in wanted]
    return await asyncio.to_thread(live.reader.windows, cut, rows, since_us, until_us, every_us)
