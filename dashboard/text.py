"""Numbers and times as people of each language write them."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from dashboard.viewer import Language

MINUS: Final = "\N{MINUS SIGN}"
ABSENT: Final = "–"


def number(value: float | None, decimals: int, language: Language, *, sign: bool = False) -> str:
    """Return a number with the language's marks; a dash when it is not known.

    ``sign`` writes a plus before positive numbers, as differences need it.
    """
    if value is None or value != value:
        return ABSENT
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{abs(value):,.{decimals}f}"
    if language == "vi":
        text = text.translate(str.maketrans(",.", ".,"))
    below = value < 0 and any(digit in text for digit in "123456789")
    if below:
        return MINUS + text
    return f"+{text}" if sign and value > 0 else text


def with_unit(value: float | None, decimals: int, unit: str, language: Language) -> str:
    """Return a number and its unit with a no-break space between them."""
    text = number(value, decimals, language)
    return f"{text}\N{NO-BREAK SPACE}{unit}" if unit else text


def probability(value: float, language: Language, least: float, most: float | None = None) -> str:
    """Return a probability in per cent, never as 0 or 100: what data cannot tell is a bound.

    Parameters
    ----------
    value
        Between 0 and 1.
    language
        Of the marks.
    least, most
        What can still be told; ``most`` is the complement of ``least`` when it is left out.
    """
    most = 1.0 - least if most is None else most
    if value < least:
        return f"< {_percent(least, language)}"
    if value > most:
        return f"> {_percent(most, language)}"
    return _percent(value, language)


def _percent(share: float, language: Language) -> str:
    decimals = 0 if 0.095 <= share <= 0.905 or round(share * 100, 6).is_integer() else 1
    return f"{number(share * 100, decimals, language)} %"


def significant(value: float | None) -> int:
    """Return how many decimals show about three significant digits."""
    if value is None or value != value or value == 0:
        return 1
    size = abs(value)
    if size >= 100:
        return 0
    return 1 if size >= 10 else 2


def at_zone(us: int, tz: str) -> datetime:
    """Return a park time in the park's zone."""
    return datetime.fromtimestamp(us / 1e6, tz=ZoneInfo(tz))


def clock(us: int | None, tz: str, pattern: str = "%H:%M") -> str:
    """Return a time of the park in its zone, or a dash."""
    return ABSENT if us is None else at_zone(us, tz).strftime(pattern)


def moment(us: int | None, tz: str, now_us: int) -> str:
    """Return a time: of today as HH:MM:SS, of another day with its date."""
    if us is None:
        return ABSENT
    at = at_zone(us, tz)
    same_day = at.date() == at_zone(now_us, tz).date()
    return at.strftime("%H:%M:%S" if same_day else "%d/%m/%Y %H:%M")


def span(minutes: float, language: Language) -> str:
    """Return a duration in its two largest units."""
    if minutes < 2:
        second = "giây" if language == "vi" else "s"
        return f"{round(minutes * 60)}\N{NO-BREAK SPACE}{second}"
    total = round(minutes)
    day, hour, minute = ("ngày", "giờ", "phút") if language == "vi" else ("d", "h", "min")
    if total < 120:
        return f"{total}\N{NO-BREAK SPACE}{minute}"
    if total < 2 * 1440:
        return f"{total // 60}\N{NO-BREAK SPACE}{hour} {total % 60:02d}\N{NO-BREAK SPACE}{minute}"
    return f"{total // 1440}\N{NO-BREAK SPACE}{day} {total % 1440 // 60}\N{NO-BREAK SPACE}{hour}"
