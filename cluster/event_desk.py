"""What the notifiers of an endpoint told: its events, the newest first, in words one can read."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, cast

import pyarrow as pa

from cluster.asking import check_range
from cluster.live_park import LivePark
from cluster.ports import HistoryQuery
from cluster.wire import iso
from models.errors import InputError, NotFound
from twin.happenings import Happening, Missing, Note, Standing, read_note
from twin.notifiers import is_notifier
from twin.samples import to_us
from twin.shard import Cut

EVENTS_MOST: Final = 5000
_HOUR_US: Final = 3_600_000_000
_REACH: Final = (0, 1, 24, 24 * 7, 24 * 35)
"""Hours back at which a question for the newest events is asked wider: most end soon."""


async def events_of(
    live: LivePark, endpoint: str, since_us: int, until_us: int, limit: int
) -> Sequence[Mapping[str, object]]:
    """The newest events of an endpoint, each as plain data.

    Parameters
    ----------
    live
        The running park.
    endpoint
        Id of the endpoint.
    since_us, until_us
        Left-closed range of their times [us].
    limit
        So many at most, the newest first.

    Returns
    -------
    list
        ``at`` and ``notifier``; ``what``: ``event``, ``standing`` (one row for each condition that
        stood when the server was asked) or ``missing``; ``severity``, ``source``, ``message``,
        ``condition``, ``active``, ``acknowledged``, ``retained``, ``type`` and ``id`` where there
        are such.

    Raises
    ------
    NotFound, InputError
        When there is no such endpoint, or the range or number makes no sense.
    """
    known = tuple(status.id for status in live.statuses)
    if endpoint not in known:
        raise NotFound("endpoint", endpoint, known)
    if not 1 <= limit <= EVENTS_MOST:
        raise InputError(f"{limit} events", f"ask for 1 to {EVENTS_MOST}", "limit")
    check_range(since_us, until_us, live.now_us)
    rows = [
        row
        for row in live.dictionary.all()
        if row.binding.endpoint == endpoint and is_notifier(row.binding)
    ]
    if not rows:
        return []
    nodes = {row.binding.path: row.binding.node for row in rows}
    cut = cast("Cut", await live.ask("cut", [row.tag for row in rows]))
    past, told = live.dictionary.past(rows), list[Mapping[str, object]]()
    for begin_us, end_us in _pieces(since_us, until_us):
        query = HistoryQuery(tags=tuple(nodes), since_us=begin_us, until_us=end_us)
        found = await asyncio.to_thread(live.reader.history, cut, rows, past, query)
        told += await asyncio.to_thread(_told, found, nodes)
        if len(told) >= limit:
            break
    return told[:limit]


def _pieces(since_us: int, until_us: int) -> list[tuple[int, int]]:
    """A range in pieces that grow as they go back, the newest first."""
    begins = [max(since_us, until_us - hours * _HOUR_US) for hours in _REACH]
    pieces = [(older, newer) for newer, older in pairwise(begins) if older < newer]
    if begins[-1] > since_us:
        pieces.append((since_us, begins[-1]))
    return pieces


def _told(table: pa.Table, nodes: Mapping[str, str]) -> list[Mapping[str, object]]:
    found = []
    for row in table.select(["path", "at", "value", "text"]).to_pylist():
        note = read_note(row["text"])
        if note is not None:
            about = {"at": iso(to_us(row["at"])), "notifier": nodes[row["path"]]}
            found.append((row["at"], about, note, row["value"]))
    found.sort(key=lambda one: one[0], reverse=True)
    return [about | said for _, about, note, value in found for said in _said(note, value)]


def _said(note: Note, value: float | None) -> list[dict[str, object]]:
    match note:
        case Happening():
            return [{"what": "event", "severity": value, **_words(note)}]
        case Standing(conditions=conditions):
            return [
                {"what": "standing", "severity": c.severity, **_words(c.state)} for c in conditions
            ]
        case Missing():
            span = f"{iso(note.from_us)} to {iso(note.to_us)}"
            return [{"what": "missing", "message": f"{span}: {note.why}"}]


def _words(state: Happening) -> dict[str, object]:
    said = state.said()
    name = said.pop("name", "")
    return {**said, "condition": name or said.get("condition", ""), "node": state.condition}
