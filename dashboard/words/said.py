"""What the service says in English, in the viewer's language: causes, remedies, reasons.

The English text is the key, as with gettext: rooms below write one clear sentence, and the pages
find its translation here, with its places (`{names}`) as they came. A text that is not ours (what a
foreign server answers) has no entry: it stays as it is, in quotation marks.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

import orjson

from dashboard.words.book import FOLDER, Words, words

_PLACE: Final = re.compile(r"\{(\w+)\}")
_SEPARATORS: Final = ("; ", ": ")
_OURS: Final = ("what", "refusal")
"""Places that hold a text of ours, or else the whole one is not ours."""
_LONG: Final = ("what", "cause", "said", "kind", "fault")
"""Places that may hold several pieces of text."""
_CAUSES: Final = (*_OURS, "cause", "said", "kind", "purpose")
"""Places that hold a text of the service, not a name."""
_SHORT: Final = "(?:(?![;:] ).)"
"""A name or a number ends where the next piece of the text begins."""


def said(spoken: Words, text: str) -> str:
    """Return a text of the service in the viewer's language; a foreign one quoted."""
    text = text.strip()
    if spoken.language != "vi" or not text:
        return text
    return _translated(text) or _foreign(text)


@cache
def sayings() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return pattern and translation of every text, the most definite ones first."""
    known: dict[str, str] = orjson.loads((FOLDER / "said.json").read_bytes())
    ordered = sorted(known.items(), key=lambda pair: -len(_PLACE.sub("", pair[0])))
    return tuple((_pattern(english), vietnamese) for english, vietnamese in ordered)


def _pattern(english: str) -> re.Pattern[str]:
    parts = _PLACE.split(english)
    pieces = [
        re.escape(part) if place % 2 == 0 else f"(?P<{part}>{'.' if part in _LONG else _SHORT}+?)"
        for place, part in enumerate(parts)
    ]
    return re.compile("".join(pieces), re.DOTALL)


def _translated(text: str) -> str:
    """Return a text of ours, whole or piece by piece; empty when no piece is."""
    whole = _known(text)
    if whole:
        return whole
    for left, separator, right in _cuts(text):
        begin, end = _translated(left) if separator == "; " else _known(left), _translated(right)
        if begin or end:
            return f"{begin or _foreign(left)}{separator}{end or _foreign(right)}"
    return ""


def _known(text: str) -> str:
    for pattern, vietnamese in sayings():
        found = pattern.fullmatch(text)
        if found is None:
            continue
        told = found.groupdict()
        if any(name in told and not _translated(told[name]) for name in _OURS):
            continue
        places = {name: _inner(name, value) for name, value in told.items()}
        return vietnamese.format(**places)
    return ""


def _inner(place: str, value: str) -> str:
    """A cause or a quantity in words where it is ours; a name or a number as it came."""
    if place == "metric":
        return words("vi").code("property", value.replace(" ", "_")).replace("_", " ")
    return (_translated(value) if place in _CAUSES else "") or value


def _cuts(text: str) -> Iterator[tuple[str, str, str]]:
    for separator in _SEPARATORS:
        at = text.find(separator)
        while at >= 0:
            yield text[:at], separator, text[at + len(separator) :]
            at = text.find(separator, at + 1)


def _foreign(text: str) -> str:
    """A name stays a name; a sentence that is not ours is quoted."""
    return f"“{text}”" if " " in text else text
