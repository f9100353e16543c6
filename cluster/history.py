"""History in the service's own process: files are read here, the shard only tells the cut."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cluster.asking import (
    DAY_US,
    HOUR_US,
    MAX_ROWS,
    MAX_TAGS,
    MINUTE_US,
    check_range,
    check_windows,
)
from cluster.ports import HistoryQuery
from models.errors import InputError, NotFound
from twin.figure_tags import is_figure
from twin.memory.blind import Blinds, blinds_of
from twin.memory.downsample import chart_step_us, downsample, usual_step_us
from twin.memory.read import History, Reader
from twin.memory.settings import MemorySettings
from twin.samples import Origin
from twin.shard import Cut
from twin.status import quality_class
from twin.tags import Kind, TagRow

RAW: Final = ("at", "value", "exact", "text", "status", "origin")
WINDOW: Final = (
    *("at", "mean", "integral", "min", "max", "first", "last", "increase"),
    *("n", "good_s", "covered_s"),
)
_MAX_TAG_SECONDS: Final = 40_000_000
_MICRO: Final = 1_000_000
_ORIGINS: Final = pa.array([origin.name.lower() for origin in Origin])


class Dictionary:
    """Tag rows by path: the open one, or the newest of those that were closed.

    Parameters
    ----------
    rows
        Every row of the shard's dictionary, in order.
    """

    def __init__(self, rows: Sequence[TagRow]) -> None:
        self._rows: dict[str, TagRow] = {}
        self._past: dict[int, list[TagRow]] = defaultdict(list)
        for row in rows:
            self._past[row.tag].append(row)
            known = self._rows.get(row.binding.path)
            # A later row of the same tag closes it; one of another tag does not touch an open one.
            if (
                known is None
                or row.valid_to_us is None
                or known.valid_to_us is not None
                or known.tag == row.tag
            ):
                self._rows[row.binding.path] = row
        self.open = {row.tag: row for row in self.all() if row.valid_to_us is None}

    def of(self, paths: Sequence[str], where: str = "tags") -> list[TagRow]:
        """Rows of paths, in their order.

        Raises
        ------
        NotFound
            With near paths.
        """
        found = []
        for path in paths:
            row = self._rows.get(path)
            if row is None:
                raise NotFound(f"tag ({where})", path, tuple(self._rows))
            found.append(row)
        return found

    def past(self, rows: Iterable[TagRow]) -> list[TagRow]:
        """Every row of the tags of these rows, in order: when each was in use."""
        return [each for tag in {row.tag for row in rows} for each in self._past[tag]]

    def all(self) -> list[TagRow]:
        """The row of every path that is read; figures are asked for by name."""
        return [row for path, row in self._rows.items() if not is_figure(path)]


class HistoryReader:
    """Answers questions about the past of one park.

    Parameters
    ----------
    folder
        Folder of its memory.
    """

    def __init__(self, folder: Path) -> None:
        self._history = History(Reader(folder, MemorySettings()))

    def history(
        self, cut: Cut, rows: Sequence[TagRow], past: Sequence[TagRow], query: HistoryQuery
    ) -> pa.Table:
        """History of tags, as `ParkService.history` describes it; `past` are all their rows."""
        tags = [row.tag for row in rows]
        if query.every_us is None:
            found = self._history.read_raw(
                cut, tags, query.since_us, query.until_us, known_at_us=query.known_at_us
            )
            if query.points is not None:
                found = downsample(found, query.points)
            return _origins(_named(found, rows, RAW))
        kinds: dict[int, Kind] = {row.tag: row.binding.kind for row in rows}
        found = self._history.read_rollup(
            cut,
            tags,
            query.since_us,
            query.until_us,
            query.every_us,
            kinds=kinds,
            known_at_us=query.known_at_us,
            columns=WINDOW[1:],
            points=query.points,
            blinds=self._blinds(cut, past, query.since_us, query.until_us),
        )
        return _named(found, rows, WINDOW)

    def windows(
        self,
        cut: Cut,
        rows: Sequence[TagRow],
        since_us: int,
        until_us: int,
        every_us: int,
    ) -> pa.Table:
        """Windows of tags as the memory gives them; `rows` are all their dictionary rows."""
        kinds = {row.tag: row.binding.kind for row in rows}
        blinds = self._blinds(cut, rows, since_us, until_us)
        return self._history.read_rollup(
            cut, list(kinds), since_us, until_us, every_us, kinds=kinds, blinds=blinds
        )

    def _blinds(self, cut: Cut, rows: Sequence[TagRow], since_us: int, until_us: int) -> Blinds:
        """When the tags were not heard: such time is neither covered nor good."""
        gaps = self._history.read_gaps(cut.manifest, since_us, until_us, cut.coverage)
        return blinds_of(rows, gaps, cut.away)

    def samples(self, cut: Cut, rows: Sequence[TagRow], since_us: int, until_us: int) -> pa.Table:
        """Raw samples of tags."""
        return self._history.read_raw(cut, [row.tag for row in rows], since_us, until_us)

    def last(self, cut: Cut, rows: Sequence[TagRow], at_us: int) -> pa.Table:
        """The last sample of each tag at or before a time."""
        return self._history.latest_before(cut, [row.tag for row in rows], at_us)

    def state(
        self, cut: Cut, rows: Sequence[TagRow], at_us: int, known_at_us: int | None
    ) -> pa.Table:
        """What every tag held at a time."""
        found = self._history.latest_before(
            cut, [row.tag for row in rows], at_us, known_at_us=known_at_us
        )
        return state_table(found, rows)


def state_table(samples: pa.Table, rows: Sequence[TagRow]) -> pa.Table:
    """Samples as the state of tags: path, at, value, exact, text, status, quality, origin."""
    named = _named(samples, rows, RAW)
    quality = quality_class(named.column("status").to_numpy())
    place = named.column_names.index("origin")
    return _origins(named.add_column(place, "quality", pa.array(quality)))


def auto_step_us(tags: int, since_us: int, until_us: int, now_us: int, points: int) -> int | None:
    """Windows that show tags over a range in so many points each [us]; None: their samples.

    The shortest usual step with at most 8 windows per point, so that a read is quick; windows
    carry their extremes, so no step hides one. Samples where windows would be below a minute, as
    long as samples of that time are kept and are not too many.

    Parameters
    ----------
    tags
        How many.
    since_us, until_us
        The range [us since 1970].
    now_us
        The park's now [us since 1970].
    points
        Points per tag.
    """
    span_us = until_us - since_us
    step_us = chart_step_us(span_us, points)
    kept = MemorySettings()
    has_samples = since_us >= now_us - kept.raw_days * DAY_US
    if step_us < MINUTE_US and has_samples and tags * span_us <= _MAX_TAG_SECONDS * _MICRO:
        return None
    has_minutes = since_us >= now_us - kept.minute_days * DAY_US
    fits_us = -(-tags * span_us // MAX_ROWS)
    return usual_step_us(max(step_us, MINUTE_US if has_minutes else HOUR_US, fits_us))


def check_query(query: HistoryQuery, now_us: int) -> None:
    """Refuse a question that is malformed or too large.

    Raises
    ------
    InputError
        Saying which argument, and what would do.
    """
    check_range(query.since_us, query.until_us, now_us)
    if not query.tags:
        raise InputError("no tag is named", "name at least one", "tags")
    if len(query.tags) > MAX_TAGS:
        raise InputError(
            f"{len(query.tags)} tags are too many for one question", f"name {MAX_TAGS} at most",
            "tags",
        )  # fmt: skip
    if query.every_us is not None:
        check_windows(len(query.tags), query.since_us, query.until_us, query.every_us)
        return
    seconds = (query.until_us - query.since_us) // _MICRO * len(query.tags)
    if seconds > _MAX_TAG_SECONDS:
        raise InputError(
            f"{len(query.tags)} tag(s) over {(query.until_us - query.since_us) / 8.64e10:.1f} days "
            "are too many raw values",
            "ask every=1min, a shorter range, or fewer tags",
            "every",
        )


def _named(table: pa.Table, rows: Sequence[TagRow], columns: Sequence[str]) -> pa.Table:
    """Put paths in the place of tags, and keep some columns."""
    paths: Mapping[int, str] = {row.tag: row.binding.path for row in rows}
    tags = np.array(sorted(paths), np.int32)
    place = pc.index_in(table.column("tag"), pa.array(tags))
    names = pa.array([paths[int(tag)] for tag in tags], pa.string())
    path = pa.chunked_array([names.take(place.combine_chunks())])
    return table.select(list(columns)).add_column(0, "path", path)


def _origins(table: pa.Table) -> pa.Table:
    """Origins as words."""
    place = table.column_names.index("origin")
    words = _ORIGINS.take(table.column("origin").combine_chunks().cast(pa.int64()))
    return table.set_column(place, "origin", pa.chunked_array([words]))
