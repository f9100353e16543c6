"""Time that nobody saw: gaps of coverage are cut out of what samples held, when history is read.

Rollup rows hold what happened between their first and their last sample, and what a value does
after them is reckoned when it is read. So a gap is cut out there too: a mark is put where it
begins, which ends the hold and takes it up again where the gap ends. Rows with a gap inside are
replaced by finer ones first (`History`), down to samples. Late gap rows so correct the past, and
nothing that is stored has to be written again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twin.coverage import RECOVERED
from twin.memory import rollup
from twin.memory.rollup import EVENT, NO_CODES, Pieces
from twin.samples import column_us
from twin.tag_past import ALWAYS_US, Span, spans_of
from twin.tags import TagRow

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NEVER_US: Final = ALWAYS_US
"""End of a gap that has none [us]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blind:
    """When one tag was not heard.

    Parameters
    ----------
    starts_us, ends_us
        Gaps [start, end), disjoint and rising [us since 1970].
    open_us
        From here on nothing is known, but for what a sample at or after it says: the newest
        coverage row says that the endpoint is away; `NEVER_US` when it does not.
    """

    starts_us: Ints
    ends_us: Ints
    open_us: int = NEVER_US

    @classmethod
    def of(cls, gaps: npt.ArrayLike, open_us: int = NEVER_US) -> "Blind":
        """Of any gaps [start, end), in any order: [n, 2]."""
        pairs = np.asarray(gaps, np.int64).reshape(-1, 2)
        pairs = pairs[pairs[:, 1] > pairs[:, 0]]
        pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
        reached = np.maximum.accumulate(pairs[:, 1])
        first = np.append(True, pairs[1:, 0] > reached[:-1])[: len(pairs)]
        last = np.append(first[1:], True)[: len(pairs)]
        return cls(starts_us=pairs[first, 0], ends_us=reached[last], open_us=open_us)

    def hits(self, begin_us: Ints, end_us: Ints) -> Bools:
        """Which of some rising stretches [begin, end] may share time with a gap."""
        after = np.searchsorted(self.ends_us, begin_us, "right")
        before = np.searchsorted(self.starts_us, end_us, "left")
        away = (begin_us < self.open_us) & (end_us > self.open_us)
        return np.asarray(((before > after) & (end_us > begin_us)) | away)


Blinds = Mapping[int, Blind]
"""Tag to when it was not heard; tags that always were are left out."""


def blinds_of(rows: Iterable[TagRow], gaps: pa.Table, away: Mapping[str, int]) -> Blinds:
    """When tags were not heard, by what their endpoints' gateways and the dictionary say.

    Parameters
    ----------
    rows
        Dictionary rows of the tags, in order: the time a tag was closed is not its own.
    gaps
        Coverage rows that say so, of the span that is read, and those that take it back.
    away
        Endpoints that are not heard now, and up to when their newest row says so [us].
    """
    spans = spans_of(rows)
    endpoints = {tag: own[-1].binding.endpoint for tag, own in spans.items()}
    heard_not = _by_endpoint(gaps, set(endpoints.values()))
    found = {
        tag: Blind.of(
            np.concatenate([heard_not[name], _closed(spans[tag])]), away.get(name, NEVER_US)
        )
        for tag, name in endpoints.items()
    }
    return {
        tag: blind
        for tag, blind in found.items()
        if len(blind.starts_us) or blind.open_us < NEVER_US
    }


def _closed(spans: Sequence[Span]) -> Ints:
    """When a tag was not in use after it had been: [n, 2]."""
    starts = [*(span.start_us for span in spans[1:]), NEVER_US]
    return np.array([(a.end_us, b) for a, b in zip(spans, starts, strict=True)], np.int64)


def takes_back(coverage: pa.Table) -> pa.ChunkedArray:
    """Which coverage rows say that the values of their time came after all."""
    return pc.and_(coverage.column("alive"), pc.starts_with(coverage.column("cause"), RECOVERED))


def _by_endpoint(told: pa.Table, names: set[str]) -> dict[str, Ints]:
    """Gaps of each endpoint that were not taken back, those that touch already joined: [n, 2]."""
    endpoint = told.column("endpoint").to_numpy(zero_copy_only=False)
    alive = told.column("alive").to_numpy(zero_copy_only=False)
    times = np.column_stack([column_us(told, "from"), column_us(told, "to")])
    return {
        name: _outside(
            Blind.of(times[(endpoint == name) & ~alive]),
            Blind.of(times[(endpoint == name) & alive]),
        )
        for name in names
    }


def _outside(gaps: Blind, back: Blind) -> Ints:
    """What is left of gaps outside of what was taken back: [n, 2]."""
    rest = Blind(
        starts_us=np.append(-NEVER_US, back.ends_us), ends_us=np.append(back.starts_us, NEVER_US)
    )
    _, low, high = next(_gaps_in(gaps.starts_us, gaps.ends_us, rest))
    return np.column_stack([low, high])


def with_gap_inside(pieces: Pieces, blinds: Blinds) -> Bools:
    """Which pieces have a gap between their first and their last sample."""
    hit = np.zeros(len(pieces), np.bool_)
    for tag, rows in _rows_of(pieces, blinds):
        hit[rows] = blinds[tag].hits(pieces.first_at[rows], pieces.last_at[rows])
    return np.asarray(hit & (pieces.kind != EVENT))


def cut_holds(
    parts: Iterable[Pieces], tags: Ints, end_us: Ints, blinds: Blinds
) -> Iterator[Pieces]:
    """Put marks into pieces, so that nothing is held through a gap.

    Parameters
    ----------
    parts
        Pieces in order; portions of one tag, or one portion of several.
    tags, end_us
        Sorted tags, and how far the open sample of each holds [us since 1970].
    blinds
        When they were not heard.

    Returns
    -------
    Iterator[Pieces]
        The same with marks: pieces without samples that begin and end with a gap, and hold after it
        what was held before.
    """
    open_end = {int(tag): int(end) for tag, end in zip(tags, end_us, strict=True)}
    carried = rollup.EMPTY
    for part in parts:
        pieces = rollup.concat([carried, part])
        if not len(pieces):
            continue
        last = len(pieces) - 1
        yield _marked(pieces.take(np.arange(last)), pieces, open_end, blinds)
        carried = pieces.take(np.array([last]))
    if len(carried):
        yield _marked(carried, carried, open_end, blinds)


def _marked(emitted: Pieces, known: Pieces, open_end: Mapping[int, int], blinds: Blinds) -> Pieces:
    """The emitted pieces with the marks behind them; the known ones say when they are followed."""
    found: list[tuple[Ints, Ints, Ints]] = []
    for tag, rows in _rows_of(emitted, blinds):
        if emitted.kind[rows[0]] == EVENT:
            continue
        begin = emitted.last_at[rows]
        until = np.full(len(rows), open_end[tag])
        followed = (rows + 1 < len(known)) & (
            known.tag[np.minimum(rows + 1, len(known) - 1)] == tag
        )
        until[followed] = known.first_at[rows[followed] + 1]
        found += [
            (rows[hold], low, high) for hold, low, high in _gaps_in(begin, until, blinds[tag])
        ]
    if not found:
        return emitted
    row, low, high = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.lexsort((low, row))
    row, low, high = row[order], low[order], high[order]
    place = np.concatenate([np.arange(len(emitted)), row])
    at = np.concatenate([np.full(len(emitted), -1), low])
    return rollup.concat([emitted, _marks(emitted, row, low, high)]).take(np.lexsort((at, place)))


def _gaps_in(begin: Ints, until: Ints, blind: Blind) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Hold, begin and end of what lies in gaps of the holds [begin, until)."""
    first = np.searchsorted(blind.ends_us, begin, "right")
    count = np.searchsorted(blind.starts_us, until, "left") - first
    hold = np.repeat(np.arange(len(begin)), np.maximum(count, 0))
    nth = np.arange(len(hold)) - np.repeat(np.cumsum(np.maximum(count, 0)), np.maximum(count, 0))
    gap = first[hold] + nth + np.maximum(count, 0)[hold]
    low = np.maximum(begin[hold], blind.starts_us[gap])
    high = np.minimum(until[hold], blind.ends_us[gap])
    real = high > low
    yield hold[real], low[real], high[real]
    away = np.flatnonzero((begin < blind.open_us) & (until > blind.open_us))
    yield away, np.full(len(away), blind.open_us), until[away]


def _marks(pieces: Pieces, row: Ints, low: Ints, high: Ints) -> Pieces:
    """Marks of gaps [low, high) in what the rows hold."""
    nothing, zero = np.full(len(row), np.nan), np.zeros(len(row))
    none = np.zeros(len(row), np.int64)
    return Pieces(
        tag=pieces.tag[row],
        kind=pieces.kind[row],
        n=none,
        good_n=none,
        first_at=low,
        last_at=high,
        good_s=zero,
        integral=zero,
        low=nothing,
        high=nothing,
        first=nothing,
        last=pieces.last[row],
        holds_good=pieces.holds_good[row],
        increase=zero,
        resets=none,
        codes=NO_CODES,
    )


def _rows_of(pieces: Pieces, blinds: Blinds) -> Sequence[tuple[int, Ints]]:
    """Rows of each tag that was not always heard; pieces are in order."""
    found = []
    for tag in sorted(blinds):
        low, high = np.searchsorted(pieces.tag, [tag, tag + 1]).tolist()
        if high > low:
            found.append((tag, np.arange(low, high)))
    return found
