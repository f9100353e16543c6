"""Where a what-if starts: now, a past time, another run, or an empty park."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from models.errors import InputError, InvalidInput, Problem
from models.units import quantity
from twin.samples import to_us

_RUN: Final = re.compile(
    r"^run:(?P<run>[A-Za-z0-9]+)(/(?P<branch>[a-z][a-z0-9_]*))?@\+(?P<after>.+)$"
)
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2098
"""Beyond these it is the default of a clock that was never set, not a time."""
_HOW: Final = "write now, empty, a time such as 2026-11-20T08:00+07:00, or run:<id>@+3h"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a what-if starts.

    Parameters
    ----------
    kind
        ``now``, ``time``, ``run`` or ``empty``.
    at_us
        Park time of a ``time`` [us].
    run, branch
        Id of the run, and its branch (empty: the one it compares against).
    after_us
        How far into that run [us].
    """

    kind: str
    at_us: int = 0
    run: str = ""
    branch: str = ""
    after_us: int = 0


def read_origin(text: str) -> Origin:
    """Read the ``from`` of a what-if.

    Raises
    ------
    InvalidInput
        When it is none of the forms.
    """
    if text in {"now", "empty"}:
        return Origin(kind=text)
    match = _RUN.match(text)
    if match:
        return _of_run(match, text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput((_fault(f"cannot read {text!r}", _HOW),)) from None
    if at.tzinfo is None:
        raise InvalidInput((_fault(f"{text!r} has no zone", "end it with +07:00 or Z"),))
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        years = f"{_FIRST_YEAR} to {_LAST_YEAR}"
        raise InvalidInput((_fault(f"{text!r} is no time a park remembers", f"a year of {years}"),))
    return Origin(kind="time", at_us=to_us(at))


def _of_run(match: re.Match[str], text: str) -> Origin:
    after = re.sub(r"(?<=\d)(?=[a-z])", " ", match["after"])
    try:
        seconds = quantity(after, "duration")
    except InputError as error:
        raise InvalidInput((_fault(f"{text!r}: {error.what}", _HOW),)) from error
    if seconds <= 0 or seconds % 900:
        raise InvalidInput(
            (_fault(f"{match['after']!r} into the run", "give a multiple of 15 min, e.g. +3h"),)
        )
    return Origin(
        kind="run",
        run=match["run"],
        branch=match["branch"] or "",
        after_us=round(seconds * 1e6),
    )


def _fault(message: str, suggestion: str) -> Problem:
    return Problem(message=message, path="from", suggestion=suggestion)
