"""Spans of park time a page looks at, kept in its address."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

NAMES: Final = ("today", "yesterday", "week", "month")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A left-closed interval of park time [us], the step of its data and of its bars.

    Parameters
    ----------
    name
        One of `NAMES`.
    since_us, until_us
        Ends; `until_us` is never after now.
    every_us
        Step of energy and money.
    chart_us
        Step of curves: fine enough that a park of a few minutes shows them.
    bar_us
        Width of a bar.
    tickformat
        How its time axis is written.
    """

    name: str
    since_us: int
    until_us: int
    every_us: int
    chart_us: int
    bar_us: int
    tickformat: str


def span_of(name: str, now_us: int, tz: str) -> Span:
    """Return a named span; an unknown name is today.

    Days are the park's own, so that a day of a zone with summer time keeps its length.
    """
    now = datetime.fromtimestamp(now_us / 1e6, tz=ZoneInfo(tz))
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"yesterday": 1, "week": 6, "month": 29}.get(name, 0)
    since = (midnight - timedelta(days=days)).timestamp()
    until = int(midnight.timestamp()) * SECOND if name == "yesterday" else now_us
    short = name not in ("week", "month")
    return Span(
        name=name if name in NAMES else "today",
        since_us=int(since) * SECOND,
        until_us=until,
        every_us=15 * MINUTE if short else HOUR,
        chart_us=MINUTE if short else 15 * MINUTE if name == "week" else HOUR,
        bar_us=HOUR if short else DAY,
        tickformat="%H:%M" if short else "%d/%m",
    )
