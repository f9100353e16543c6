"""Which tags a path has had: a change of unit, scale or node gives it a new one, its past stays."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from models.errors import InputError
from models.units import convert
from twin.tags import Binding, TagDictionary, TagRow

ALWAYS_US: Final = 1 << 62
"""A time no park reaches [us]; minus it, one no park remembers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Time [start_us, end_us) in which a tag was a path's."""

    tag: int
    binding: Binding
    start_us: int
    end_us: int

    def overlaps(self, start_us: int, end_us: int) -> bool:
        """Whether it shares time with [start, end)."""
        return self.start_us < end_us and start_us < self.end_us

    def factor(self, unit: str) -> float | None:
        """What turns its stored values into values in a unit; None when it does not fit."""
        stored = self.binding.unit
        if not stored or stored == unit:
            return 1.0
        try:
            return convert(1.0, stored, unit)
        except InputError:
            return None


def spans_of(rows: Iterable[TagRow]) -> dict[int, list[Span]]:
    """When each tag was in use, by all its dictionary rows in order; at least one span each."""
    spans: dict[int, list[Span]] = defaultdict(list)
    for row in rows:
        own = spans[row.tag]
        if own and own[-1].end_us == ALWAYS_US:
            end_us = row.valid_from_us if row.valid_to_us is None else row.valid_to_us
            own[-1] = replace(own[-1], end_us=end_us)
        if row.valid_to_us is None:
            own.append(
                Span(
                    tag=row.tag,
                    binding=row.binding,
                    start_us=row.valid_from_us,
                    end_us=ALWAYS_US,
                )
            )
    return {tag: own for tag, own in spans.items() if own}


class TagPast:
    """The spans of every path.

    A tag belongs to the path it had last, with its whole past: a renamed meter takes its readings
    along, as far as its new path had no tag of its own then.

    Parameters
    ----------
    dictionary
        Every row ever given.
    """

    def __init__(self, dictionary: TagDictionary) -> None:
        self._of: dict[str, list[Span]] = defaultdict(list)
        for own in spans_of(dictionary.rows).values():
            self._of[own[-1].binding.path] += own

    def of(self, path: str) -> tuple[Span, ...]:
        """Spans of a path by their start; at no time two of them."""
        found = self._of.get(path, [])
        own = [span for span in found if span.binding.path == path]
        taken = list(own)
        for span in found:
            if span.binding.path != path:
                taken += without([span], taken)
        return tuple(sorted(taken, key=lambda span: span.start_us))


def without(spans: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """What is left of spans outside others."""
    left = [span for span in spans if span.end_us > span.start_us]
    for other in others:
        cut: list[Span] = []
        for span in left:
            if not span.overlaps(other.start_us, other.end_us):
                cut.append(span)
                continue
            if span.start_us < other.start_us:
                cut.append(replace(span, end_us=other.start_us))
            if other.end_us < span.end_us:
                cut.append(replace(span, start_us=other.end_us))
        left = cut
    return left


def since_ever(ways: list[list[Span]]) -> list[list[Span]]:
    """The same ways to measure one thing, the oldest span stretched to the beginning of time.

    Rows that were imported, or stamped by a clock that is behind, are older than their tag.
    """
    starts = [
        (span.start_us, way, place)
        for way, its in enumerate(ways)
        for place, span in enumerate(its)
    ]
    if not starts:
        return ways
    _, way, place = min(starts)
    stretched = [list(its) for its in ways]
    stretched[way][place] = replace(stretched[way][place], start_us=-ALWAYS_US)
    return stretched
