"""What callers may ask for: times, steps and ranges, read strictly and with a remedy."""

import re
from datetime import UTC, datetime
from typing import Final

from models.errors import InputError
from twin.samples import to_us

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
MAX_TAGS: Final = 500
"""Most tags one question about the past may name."""
MAX_ROWS: Final = 2_000_000
"""Most rollup windows one question may ask for, over all its tags."""
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD_US: Final = 31 * DAY_US
_STEP: Final = re.compile(r"^(\d{1,6})(ms|s|min|h|d)$")
_STEP_US: Final = {"ms": 1000, "s": SECOND_US, "min": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_RELATIVE: Final = re.compile(r"^(?:now)?-(\d{1,6}(?:s|min|h|d))$")


def parse_time(text: str, where: str, now_us: int) -> int:
    """Microseconds since 1970 of ``2026-11-22T17:30+07:00``, ``now`` or ``-3h``.

    Parameters
    ----------
    text
        As the caller wrote it.
    where
        Name of the argument, for the error.
    now_us
        The park's now [us].

    Raises
    ------
    InputError
        When it is no time, has no zone, or lies outside what a park can hold.
    """
    text = text.strip().replace(" ", "+") if "T" in text else text.strip()
    if text == "now":
        return now_us
    if (ago := _RELATIVE.match(text)) is not None:
        return now_us - parse_step(ago.group(1), where)
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} is no time", "write 2026-11-22T17:30:00+07:00, now, or -3h", where
        ) from error
    if at.tzinfo is None:
        raise InputError(f"{text!r} has no zone", "write it with Z or +07:00", where)
    return check_time(to_us(at), where, now_us)


def check_time(us: int, where: str, now_us: int) -> int:
    """Return a time that a park can hold.

    Raises
    ------
    InputError
        Before 2000, or more than 31 days ahead of the park's now.
    """
    if us < to_us(_EARLIEST):
        raise InputError("lies before the year 2000", "no park has data from then", where)
    if us > now_us + _AHEAD_US:
        raise InputError("lies more than 31 days ahead of the park's now", "check the year", where)
    return us


def parse_step(text: str, where: str) -> int:
    """Microseconds of ``15min``, ``1h``, ``1s``, ``1d``.

    Raises
    ------
    InputError
        When it is no step.
    """
    found = _STEP.match(text.strip())
    if found is None or int(found.group(1)) == 0:
        raise InputError(f"{text!r} is no step", "write 1s, 1min, 15min, 1h or 1d", where)
    return int(found.group(1)) * _STEP_US[found.group(2)]


def check_range(since_us: int, until_us: int, now_us: int) -> None:
    """Refuse a range that is empty, turned round or outside what a park can hold.

    Raises
    ------
    InputError
        Saying which.
    """
    check_time(since_us, "since", now_us)
    check_time(until_us, "until", now_us)
    if since_us >= until_us:
        raise InputError("since is not before until", "swap them, or ask a longer range", "since")


def step_text(us: int) -> str:
    """A step as `parse_step` reads it, in its largest unit."""
    unit = next(name for name in ("d", "h", "min", "s", "ms") if us % _STEP_US[name] == 0)
    return f"{us // _STEP_US[unit]}{unit}"


def check_windows(tags: int, since_us: int, until_us: int, every_us: int) -> None:
    """Refuse a question for more windows than one answer may hold.

    Raises
    ------
    InputError
        With the smallest step that would do.
    """
    if every_us < SECOND_US:
        raise InputError("the step is below 1 s", "leave every out to read raw values", "every")
    windows = tags * (until_us - since_us) // every_us
    if windows > MAX_ROWS:
        fits_s = -(-tags * (until_us - since_us) // MAX_ROWS) // SECOND_US + 1
        raise InputError(
            f"{windows:,} windows asked for, {MAX_ROWS:,} are allowed",
            f"ask every={fits_s}s or coarser, a shorter range, or fewer tags",
            "every",
        )
