"""Reading: sealed files of exactly one version, joined with the tail that came after them."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError, NotFound
from twin.memory import merge, rollup, rows
from twin.memory.blind import Blind, Blinds, cut_holds, takes_back, with_gap_inside
from twin.memory.deltalog import DeltaLog, FileList, SealedFile, holds_any
from twin.memory.manifest import Cut, ManifestRow
from twin.memory.rollup import EMPTY, Pieces
from twin.memory.sealed import Footer, SealedFiles
from twin.memory.settings import HOUR_US, MINUTE_US, MemorySettings
from twin.memory.tables import COVERAGE_TABLE, HOUR, MINUTE, RAW, TABLES, TableSpec
from twin.memory.window_fold import PER_STRETCH
from twin.memory.windows import WINDOWS, Frame, checked_frame, windows
from twin.samples import COVERAGE, SAMPLES
from twin.status import is_good
from twin.tags import Kind

Ints = npt.NDArray[np.int64]

_EARLIEST_US: Final = 0
_LATEST_US: Final = 2**62
_CARRIED: Final = (
    *("tag", "at", "rev", "kind", "first_at", "last_at", "first", "last", "holds_good"),
)
"""Columns of a rollup row that say what is held after it."""
_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {
    "good_n": ("good_n",),
    "good_s": ("good_s",),
    "mean": ("good_s", "integral"),
    "integral": ("integral",),
    "min": ("min",),
    "max": ("max",),
    "increase": ("increase",),
    "resets": ("resets",),
    "codes": ("codes", "code_s"),
    "code_s": ("codes", "code_s"),
}
"""Column of a window to the columns of rollup rows it is made of, beside those carried."""


class Reader:
    """Reads the tables of a memory's folder; holds no state but caches of what never changes.

    Parameters
    ----------
    folder
        Folder of the memory.
    settings
        Settings of the memory.
    """

    def __init__(self, folder: Path, settings: MemorySettings) -> None:
        self.folder, self.settings = folder, settings
        self.logs = {name: DeltaLog(folder / name, spec) for name, spec in TABLES.items()}
        self.sealed = SealedFiles()

    def files(self, spec: TableSpec, manifest: ManifestRow) -> FileList:
        """Files of one table at the version a manifest row names.

        Raises
        ------
        Corrupt
            If the log lists other files than were sealed.
        """
        return self.logs[spec.name].files(
            manifest.version(spec.name), manifest.digests.get(spec.name)
        )

    def at(self, manifest: ManifestRow) -> "Version":
        """What is sealed as of a manifest row."""
        return Version(reader=self, manifest=manifest)

    def footer(self, spec: TableSpec, file: SealedFile) -> Footer:
        """Checked footer of one file."""
        path = self.folder / spec.name / file.name
        return self.sealed.footer(path, spec, file.size, file.when)

    def groups(self, spec: TableSpec, file: SealedFile, low: int, high: int) -> pa.Table:
        """Row groups of one file that may hold tags in (low, high]."""
        footer = self.footer(spec, file)
        return self._read(spec, file, (footer.tag_max > low) & (footer.tag_min <= high))

    def part(
        self,
        spec: TableSpec,
        file: SealedFile,
        since_us: int,
        until_us: int,
        tags: Ints | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Row groups of one file that may hold rows of the tags in [since, until).

        All columns, or only those asked for.

        Raises
        ------
        Corrupt
            If any byte that would be read fails its checksum.
        """
        footer = self.footer(spec, file)
        hit = (footer.begin_min < until_us) & (footer.end_max >= since_us)
        if tags is not None:
            hit &= holds_any(footer.tag_min, footer.tag_max, tags)
        return self._read(spec, file, hit, columns)

    def pieces(
        self,
        spec: TableSpec,
        file: SealedFile,
        tag: int,
        span: tuple[int, int],
        columns: Sequence[str],
    ) -> Pieces:
        """Rollup rows of one tag that begin in [since, until), from one file, in order.

        A file is sorted and holds a (tag, bucket) once, so neither ``at`` nor ``rev`` is read; nor
        is a column of which the checked footer says that it holds one value only. Where it says
        that every row is of one sample, that sample is all there is to read.

        Raises
        ------
        Corrupt
            If any byte that would be read fails its checksum.
        """
        since_us, until_us = span
        footer = self.footer(spec, file)
        hit = (footer.tag_min <= tag) & (footer.tag_max >= tag)
        hit &= (footer.begin_min < until_us) & (footer.end_max >= since_us)
        if not hit.any():
            return EMPTY
        known = footer.constants(np.flatnonzero(hit))
        names = set(columns) - {"at", "rev", *known}
        if known.get("n") == 1:
            names &= rollup.OF_ONE_SAMPLE
        table = self._read(spec, file, hit, [name for name in columns if name in names])
        low, high = 0, table.num_rows
        if "tag" in names:
            low, high = np.searchsorted(rows.numbers(table, "tag"), [tag, tag + 1]).tolist()
        begin = rows.ints(table, "first_at")[low:high]
        first, end = np.searchsorted(begin, [since_us, until_us]).tolist()
        return rollup.from_table(table.slice(low + first, end - first), known | {"tag": tag})

    def gaps(self, file: SealedFile, since_us: int, until_us: int) -> pa.Table:
        """Rows of a coverage file that tell a gap and may overlap [since, until).

        Row groups that tell none are not read: endpoints are alive nearly always, and say so often.
        """
        footer = self.footer(COVERAGE_TABLE, file)
        hit = (footer.begin_min < until_us) & (footer.end_max > since_us)
        if "alive" in footer.whole:
            hit &= footer.whole["alive"][0] == 0
        found = self._read(COVERAGE_TABLE, file, hit)
        return found.filter(pc.invert(found.column("alive")))

    def taken_back(self, file: SealedFile, gaps: Blind) -> pa.Table:
        """Rows of a coverage file that take a gap back and may share time with those known.

        Without a gap nothing is read.
        """
        footer = self.footer(COVERAGE_TABLE, file)
        found = self._read(COVERAGE_TABLE, file, gaps.hits(footer.begin_min, footer.end_max))
        return found.filter(takes_back(found))

    def _read(
        self,
        spec: TableSpec,
        file: SealedFile,
        hit: npt.NDArray[np.bool_],
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        schema = spec.schema
        if columns is not None:
            schema = pa.schema([f for f in schema if f.name in columns])
        groups = [int(i) for i in np.flatnonzero(hit)]
        if not groups:
            return schema.empty_table()
        path = self.folder / spec.name / file.name
        return self.sealed.read(
            path, spec, file.size, file.when, groups=groups, columns=schema.names
        ).cast(schema)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What is sealed as of one manifest row."""

    reader: Reader
    manifest: ManifestRow

    @property
    def raw_floor_us(self) -> int:
        """Samples before this are gone."""
        return self.manifest.raw_floor_us

    def samples(self, tags: Ints, since_us: int, until_us: int) -> pa.Table:
        """Samples of the sorted tags in [since, until), as stored, in order."""
        files = self.reader.files(RAW, self.manifest).within(since_us, until_us, tags)
        parts = [
            rows.select(
                self.reader.part(RAW, f, since_us, until_us, tags), tags, since_us, until_us
            )
            for f in files
        ]
        whole = rows.concat(parts, RAW.schema)
        return rows.ordered(whole) if len(parts) > 1 else whole

    def rollups(
        self,
        spec: TableSpec,
        tags: Ints,
        since_us: int,
        until_us: int,
        columns: Sequence[str] | None = None,
    ) -> Pieces:
        """Rollup rows of the sorted tags in [since, until), newest revision, in order.

        Columns that are not asked for count as empty; None asks for all.
        """
        parts = list(self.rollup_parts(spec, tags, since_us, until_us, columns))
        return rollup.concat([EMPTY, *parts])

    def rollup_parts(
        self,
        spec: TableSpec,
        tags: Ints,
        since_us: int,
        until_us: int,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Pieces]:
        """What `rollups` gives, in portions: of one tag those of each run of files."""
        files = self.reader.files(spec, self.manifest).within(since_us, until_us, tags)
        for run in _runs(files) if len(tags) == 1 else [files]:
            if len(tags) == len(run) == 1 and columns is not None:
                yield self.reader.pieces(spec, run[0], int(tags[0]), (since_us, until_us), columns)
                continue
            parts = [
                rows.select(
                    self.reader.part(spec, f, since_us, until_us, tags, columns),
                    tags,
                    since_us,
                    until_us,
                )
                for f in run
            ]
            yield rollup.from_table(newest(rows.concat(parts, spec.schema)))

    def last_hours(self, tags: Ints, before_us: int, known: Pieces) -> Pieces:
        """Hour rows that say what each tag holds when an hour opens.

        Parameters
        ----------
        tags
            Sorted tags.
        before_us
            Start of the hour [us since 1970].
        known
            Hour rows that replace sealed ones (those the tail touches).

        Returns
        -------
        Pieces
            Of each tag the last row before, and of a counter whose last row has no good reading
            also the last that has one; in order.
        """
        known = rollup.within(known, _EARLIEST_US, before_us)
        found, parts = _carried(known), []
        files = self.reader.files(HOUR, self.manifest).within(_EARLIEST_US, before_us, tags)
        for file in sorted(files, key=lambda f: f.end_us, reverse=True):
            wanting = _wanting(found, tags, file.end_us)
            if not len(wanting):
                break
            part = self.reader.part(HOUR, file, _EARLIEST_US, before_us, wanting, _CARRIED)
            parts.append(_tops(rows.select(part, wanting, _EARLIEST_US, before_us)))
            sealed = rollup.from_table(newest(pa.concat_tables(parts)))
            found = _carried(rollup.overridden(sealed, known, HOUR_US))
        return found

    def last_samples(
        self, tags: Ints, before_us: int, known_us: int | None, *, good: bool
    ) -> pa.Table:
        """Last sample of each sorted tag before a time.

        Parameters
        ----------
        tags
            Sorted tags.
        before_us
            Samples at or after this do not count [us since 1970].
        known_us
            Nor do those seen later than this [us since 1970]; None for all.
        good
            Only good ones.
        """
        found = RAW.schema.empty_table()
        files = self.reader.files(RAW, self.manifest).within(_EARLIEST_US, before_us, tags)
        for file in sorted(files, key=lambda f: f.end_us, reverse=True):
            settled = rows.ints(found, "tag")[rows.ints(found, "at") > file.end_us]
            wanting = np.setdiff1d(tags, settled)
            if not len(wanting):
                break
            part = self.reader.part(RAW, file, _EARLIEST_US, before_us, wanting)
            part = rows.select(part, wanting, _EARLIEST_US, before_us)
            found = last(pa.concat_tables([found, part]), known_us, good=good)
        return found


def last(raw: pa.Table, known_us: int | None, *, good: bool) -> pa.Table:
    """Last sample of each tag, of those known by a time and, if asked, only of good ones."""
    if known_us is not None:
        raw = rows.known_at(raw, known_us)
    if good:
        raw = raw.filter(pa.array(is_good(rows.ints(raw, "status"))))
    return rows.last_per_tag(rows.ordered(raw))


def newest(table: pa.Table) -> pa.Table:
    """Rollup rows sorted by (tag, at), of equal ones the highest revision."""
    if table.num_rows < 2:
        return table
    tag, at, rev = (rows.ints(table, name) for name in ("tag", "at", "rev"))
    later = (tag[1:] > tag[:-1]) | ((tag[1:] == tag[:-1]) & (at[1:] > at[:-1]))
    if later.all():
        return table
    place = rows.sort_order(tag, at, rev)
    tag, at = tag[place], at[place]
    last = np.append((tag[1:] != tag[:-1]) | (at[1:] != at[:-1]), [True])
    return table.take(pa.array(place[last]))


def _carried(pieces: Pieces) -> Pieces:
    """Of each tag the last piece, and of a counter the last with a good reading."""
    if not len(pieces):
        return pieces
    pieces = rollup.in_order(pieces)
    last = np.append(pieces.tag[1:] != pieces.tag[:-1], [True])
    reading = np.flatnonzero((pieces.kind == rollup.COUNTER) & ~np.isnan(pieces.last))
    tag = pieces.tag[reading]
    final = np.append(tag[1:] != tag[:-1], [True]) if len(reading) else np.zeros(0, np.bool_)
    last[reading[final]] = True
    return pieces.take(np.flatnonzero(last))


def _tops(table: pa.Table) -> pa.Table:
    """Rows of one hour file that can be carried: the last of a tag, all of an unread counter."""
    if rows.is_empty(table):
        return table
    tag, reading = rows.ints(table, "tag"), rows.floats(table, "last")
    final = np.append(tag[1:] != tag[:-1], [True])
    unread = final & np.isnan(reading) & (rows.ints(table, "kind") == rollup.COUNTER)
    return table.filter(pa.array(final | np.isin(tag, tag[unread])))


def _wanting(found: Pieces, tags: Ints, upto_us: int) -> Ints:
    """Tags whose carried rows a file that ends at a time may still beat."""
    read = found.tag[(found.kind != rollup.COUNTER) | ~np.isnan(found.last)]
    open_ = found.tag[found.bucket(HOUR_US) <= upto_us]
    return np.setdiff1d(tags, np.setdiff1d(read, open_))


class History:
    """What a shard's memory answers: samples, windows, last values and coverage of a cut.

    Parameters
    ----------
    reader
        Reader of the memory's folder.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def read_raw(
        self,
        cut: Cut,
        tags: Sequence[int],
        since_us: int,
        until_us: int,
        *,
        known_at_us: int | None = None,
    ) -> pa.Table:
        """Samples of tags in [since, until), sorted by (tag, at), each once.

        Parameters
        ----------
        cut
            Tail and manifest row of the shard, taken in one question.
        tags
            Tag ids.
        since_us, until_us
            Span in source time [us since 1970].
        known_at_us
            Only samples seen by then [us since 1970]: the span as it was known at that time.

        Returns
        -------
        pa.Table
            Rows with the schema `SAMPLES`.

        Raises
        ------
        Corrupt
            If a byte that would be read fails its checksum.
        Unavailable
            If the cut is so old that its files are gone.
        """
        wanted = rows.sorted_tags(tags)
        sealed = self._reader.at(cut.manifest).samples(wanted, since_us, until_us)
        tail = _tail(cut, wanted, since_us, until_us)
        whole = rows.ordered(pa.concat_tables([sealed, tail])) if tail.num_rows else sealed
        if known_at_us is not None:
            whole = rows.known_at(whole, known_at_us)
        return rows.to_samples(whole)

    def latest_before(
        self, cut: Cut, tags: Sequence[int], at_us: int, *, known_at_us: int | None = None
    ) -> pa.Table:
        """Last sample of each tag at or before a time: what it held then.

        Parameters
        ----------
        cut, tags, known_at_us
            As in `read_raw`.
        at_us
            Source time [us since 1970].

        Returns
        -------
        pa.Table
            At most one row per tag, schema `SAMPLES`; none for a tag without a sample by then.
        """
        wanted = rows.sorted_tags(tags)
        return rows.to_samples(self._last(cut, wanted, at_us + 1, known_at_us, good=False))

    def read_rollup(
        self,
        cut: Cut,
        tags: Sequence[int],
        since_us: int,
        until_us: int,
        every_us: int,
        *,
        kinds: Mapping[int, Kind] | None = None,
        covered_until: Mapping[int, int] | None = None,
        known_at_us: int | None = None,
        columns: Sequence[str] | None = None,
        points: int | None = None,
        blinds: Blinds | None = None,
    ) -> pa.Table:
        """Windows of tags: [since + k every, since + (k + 1) every), the last one cut at until.

        Parameters
        ----------
        cut, tags
            As in `read_raw`.
        since_us, until_us, every_us
            Span and length of a window [us]. Windows start at ``since``, so a day may start at
            local midnight. Whole hours from a whole hour are read from hour rows, whole minutes
            from minute rows, anything else from samples.
        kinds
            Kind of tags; those left out have the kind they were sealed with, or are gauges.
        covered_until
            For tags whose endpoint is not covered up to now: how far it is [us since 1970]. The
            open last sample of a tag holds up to ``min(until, now, this)``.
        known_at_us
            As in `read_raw`; then everything is computed from samples.
        columns
            Columns wanted beside ``tag`` and ``at``: the fewer, the quicker; None for all.
        points
            Most windows per tag, at least 4; of a tag that has more those stay that keep its
            shape and its extremes (`twin.memory.windows.windows`).
        blinds
            When tags were not heard: such time is neither covered nor good. Exact as long as
            samples are kept, to the minute after that; None when they always were.

        Returns
        -------
        pa.Table
            Rows with the schema `twin.memory.windows.WINDOWS`, sorted by (tag, at).

        Raises
        ------
        InputError
            If the windows make no sense or are too many, or the points too few.
        Corrupt, Unavailable
            As in `read_raw`.
        """
        if points is not None and points < PER_STRETCH:
            raise InputError(f"{points} points", f"ask for at least {PER_STRETCH}", "points")
        wanted = rows.sorted_tags(tags)
        covered = covered_until or {}
        end = np.array([min(cut.now_us, covered.get(int(t), cut.now_us)) for t in wanted], np.int64)
        frame = checked_frame(
            Frame(
                tags=wanted,
                since_us=since_us,
                until_us=until_us,
                every_us=every_us,
                end_us=np.minimum(end, until_us),
            ),
            self._reader.settings.max_windows,
        )
        asked = _checked_columns(columns)
        known_kinds = self._kinds(cut, wanted, kinds or {})
        away = {tag: blind for tag, blind in (blinds or {}).items() if tag in wanted}
        if known_at_us is None:
            parts = self._parts(cut, frame, known_kinds, asked, away)
        else:
            parts = iter([self._known_pieces(cut, frame, known_kinds, known_at_us)])
        if away:
            parts = cut_holds(parts, frame.tags, frame.end_us, away)
        return windows(parts, frame, asked, points)

    def read_coverage(
        self, manifest: ManifestRow, since_us: int, until_us: int, tail: pa.Table | None = None
    ) -> pa.Table:
        """Coverage rows that overlap [since, until), each once, sorted by endpoint and time.

        Parameters
        ----------
        manifest
            Manifest row of the cut.
        since_us, until_us
            Span [us since 1970].
        tail
            Coverage rows after the manifest row, schema `COVERAGE`.
        """
        files = self._reader.files(COVERAGE_TABLE, manifest).within(since_us, until_us)
        parts = [self._reader.part(COVERAGE_TABLE, f, since_us, until_us) for f in files]
        if tail is not None:
            parts.append(tail.cast(COVERAGE_TABLE.schema))
        whole = rows.concat(parts, COVERAGE_TABLE.schema)
        hit = (rows.ints(whole, "to") > since_us) & (rows.ints(whole, "from") < until_us)
        return coverage_in_order(whole.filter(pa.array(hit))).cast(COVERAGE)

    def read_gaps(
        self, manifest: ManifestRow, since_us: int, until_us: int, tail: pa.Table
    ) -> pa.Table:
        """Coverage rows that tell a gap and overlap [since, until), and those that take one back.

        Asked like `read_coverage`.
        """
        files = self._reader.files(COVERAGE_TABLE, manifest).within(since_us, until_us)
        tail = tail.cast(COVERAGE_TABLE.schema)
        parts = [self._reader.gaps(file, since_us, until_us) for file in files]
        parts.append(tail.filter(pc.invert(tail.column("alive"))))
        whole = rows.concat(parts, COVERAGE_TABLE.schema)
        hit = (rows.ints(whole, "to") > since_us) & (rows.ints(whole, "from") < until_us)
        told = whole.filter(pa.array(hit))
        gaps = Blind.of(np.column_stack([rows.ints(told, "from"), rows.ints(told, "to")]))
        back = [self._reader.taken_back(file, gaps) for file in files]
        return rows.concat([told, *back, tail.filter(takes_back(tail))], COVERAGE_TABLE.schema)

    def _last(
        self, cut: Cut, tags: Ints, before_us: int, known_us: int | None, *, good: bool
    ) -> pa.Table:
        sealed = self._reader.at(cut.manifest).last_samples(tags, before_us, known_us, good=good)
        tail = _tail(cut, tags, _EARLIEST_US, before_us)
        return last(pa.concat_tables([sealed, tail]), known_us, good=good)

    def _kinds(self, cut: Cut, tags: Ints, kinds: Mapping[int, Kind]) -> Mapping[int, Kind]:
        """Kinds of the tags: those given, completed with what they were sealed with."""
        unknown = np.array([t for t in tags if int(t) not in kinds], np.int64)
        if not len(unknown):
            return kinds
        found = self._reader.at(cut.manifest).last_hours(unknown, _LATEST_US, EMPTY)
        sealed = {int(t): _KINDS[int(k)] for t, k in zip(found.tag, found.kind, strict=True)}
        return sealed | dict(kinds)

    def _parts(
        self,
        cut: Cut,
        frame: Frame,
        kinds: Mapping[int, Kind],
        asked: Sequence[str],
        blinds: Blinds,
    ) -> Iterator[Pieces]:
        """Pieces that make up the windows, after those that say what is held when they open.

        As coarse as the windows allow: hours, then minutes up to ``until``, then samples. Those
        of one tag come file by file, so that a long span is folded while it is read.
        """
        since, until = frame.since_us, frame.until_us
        opening = since // HOUR_US * HOUR_US
        hours_end = minutes_end = opening
        if since % MINUTE_US == 0 and frame.every_us % MINUTE_US == 0:
            minutes_end = max(until // MINUTE_US * MINUTE_US, opening)
        if since == opening and frame.every_us % HOUR_US == 0:
            hours_end = max(until // HOUR_US * HOUR_US, opening)
        sealed = self._reader.at(cut.manifest)
        tail = rows.ordered(_tail(cut, frame.tags, _EARLIEST_US, until))
        new = merge.change(tail, kinds, sealed)
        stored = _stored_columns(asked, {kinds.get(int(t)) for t in frame.tags})
        hours, minutes = (opening, hours_end), (hours_end, minutes_end)
        finer = _Finer(
            sealed=sealed,
            minutes=lambda tags, span: _replaced(sealed, MINUTE, tags, span, new.minute, stored),
            samples=lambda tags, span: self._samples(cut, tail, tags, span, kinds),
        )
        parts = itertools.chain(
            [sealed.last_hours(frame.tags, opening, new.hour)],
            finer.hours(_replaced(sealed, HOUR, frame.tags, hours, new.hour, stored), blinds),
            finer.of_minutes(finer.minutes(frame.tags, minutes), blinds),
            self._samples(cut, tail, frame.tags, (minutes_end, until), kinds),
        )
        if len(frame.tags) == 1:
            return parts
        return iter([rollup.in_order(rollup.concat(list(parts)))])

    def _samples(
        self,
        cut: Cut,
        tail: pa.Table,
        tags: Ints,
        span: tuple[int, int],
        kinds: Mapping[int, Kind],
    ) -> Iterator[Pieces]:
        """Samples in [since, until), sealed ones and those of the tail."""
        since_us, until_us = span
        if until_us <= since_us:
            return
        sealed = self._reader.at(cut.manifest).samples(tags, since_us, until_us)
        raw = pa.concat_tables([rows.select(tail, tags, since_us, until_us), sealed])
        yield rollup.samples_as_pieces(rows.effective(rows.ordered(raw)), kinds)

    def _known_pieces(
        self, cut: Cut, frame: Frame, kinds: Mapping[int, Kind], known_us: int
    ) -> Pieces:
        """Samples known by a time, with the last ones before the windows open."""
        tags = frame.tags
        inside = self.read_raw(
            cut, tags.tolist(), frame.since_us, frame.until_us, known_at_us=known_us
        )
        counters = np.array([t for t in tags if kinds.get(int(t)) is Kind.COUNTER], np.int64)
        before = [
            self._last(cut, tags, frame.since_us, known_us, good=False),
            self._last(cut, counters, frame.since_us, known_us, good=True),
        ]
        whole = rows.ordered(pa.concat_tables([*before, rows.to_raw(inside)]))
        return rollup.samples_as_pieces(rows.effective(whole), kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finer:
    """Takes the place of rows that have a gap inside: minutes of an hour, samples of a minute."""

    sealed: Version
    minutes: Callable[[Ints, tuple[int, int]], Iterator[Pieces]]
    samples: Callable[[Ints, tuple[int, int]], Iterator[Pieces]]

    def hours(self, parts: Iterable[Pieces], blinds: Blinds) -> Iterator[Pieces]:
        """Hour rows, but minutes where there is a gap."""

        def minutes(tags: Ints, span: tuple[int, int]) -> Iterator[Pieces]:
            return self.of_minutes(self.minutes(tags, span), blinds)

        return _finer(parts, blinds, HOUR_US, minutes)

    def of_minutes(self, parts: Iterable[Pieces], blinds: Blinds) -> Iterator[Pieces]:
        """Minute rows, but samples where there is a gap, as long as samples are kept."""

        def samples(tags: Ints, span: tuple[int, int]) -> Iterator[Pieces]:
            return self.samples(tags, span) if span[0] >= self.sealed.raw_floor_us else iter(())

        return _finer(parts, blinds, MINUTE_US, samples)


def _finer(
    parts: Iterable[Pieces],
    blinds: Blinds,
    bucket_us: int,
    read: Callable[[Ints, tuple[int, int]], Iterator[Pieces]],
) -> Iterator[Pieces]:
    """Pieces, those with a gap inside replaced by what is read of their buckets, if anything is."""
    for part in parts:
        torn: Ints = np.flatnonzero(with_gap_inside(part, blinds))
        if not len(torn):
            yield part
            continue
        wanted = rollup.key(part.tag[torn], part.bucket(bucket_us)[torn])
        found = [EMPTY]
        for tags, since_us, until_us in merge.spans(part.take(torn), bucket_us):
            for fine in read(tags, (since_us, until_us)):
                inside = np.isin(rollup.key(fine.tag, fine.bucket(bucket_us)), wanted)
                found.append(fine.take(np.flatnonzero(inside)))
        fine = rollup.concat(found)
        read_keys = rollup.key(fine.tag, fine.bucket(bucket_us))
        stay = ~np.isin(
            rollup.key(part.tag, part.bucket(bucket_us)), np.intersect1d(wanted, read_keys)
        )
        yield rollup.in_order(rollup.concat([part.take(np.flatnonzero(stay)), fine]))


def _runs(files: Sequence[SealedFile]) -> list[list[SealedFile]]:
    """Files, sorted by their begin, in runs whose times do not overlap each other's."""
    runs: list[list[SealedFile]] = []
    end_us = -1
    for file in files:
        if runs and file.begin_us <= end_us:
            runs[-1].append(file)
        else:
            runs.append([file])
        end_us = max(end_us, file.end_us)
    return runs


_KINDS: Final = {code: kind for kind, code in rollup.KIND_CODE.items()}


def _checked_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Columns of windows that are wanted, as they are ordered there."""
    known = tuple(WINDOWS.names[2:])
    for name in columns or ():
        if name not in known:
            raise NotFound("column of a window", name, known)
    return known if columns is None else tuple(name for name in known if name in columns)


def _stored_columns(asked: Sequence[str], kinds: set[Kind | None]) -> tuple[str, ...]:
    """Columns of rollup rows that are read for the columns asked for and kinds there are."""
    needed = {*_CARRIED, "n", *(c for name in asked for c in _NEEDED.get(name, ()))}
    if {"first", "last"}.isdisjoint(asked) and not {Kind.COUNTER, None} & kinds:
        needed -= {"first"}
    if Kind.STATE not in kinds:
        needed -= {"codes", "code_s"}
    if Kind.COUNTER not in kinds:
        needed -= {"increase", "resets"}
    return tuple(sorted(needed))


def coverage_in_order(coverage: pa.Table) -> pa.Table:
    """Coverage rows sorted, each once."""
    order = [(name, "ascending") for name in coverage.schema.names]
    ordered = coverage.sort_by(order)
    return pl.DataFrame(ordered).unique(maintain_order=True).to_arrow().cast(coverage.schema)


def _tail(cut: Cut, tags: Ints, since_us: int, until_us: int) -> pa.Table:
    return rows.to_raw(rows.select(cut.tail.cast(SAMPLES), tags, since_us, until_us))


def _replaced(
    sealed: Version,
    spec: TableSpec,
    tags: Ints,
    span: tuple[int, int],
    new: Pieces,
    columns: Sequence[str],
) -> Iterator[Pieces]:
    """Sealed rollup rows in [since, until), with those the tail touches replaced, in order."""
    since_us, until_us = span
    if until_us <= since_us:
        return
    new = rollup.within(new, since_us, until_us)
    touched_us = (
        int(new.first_at.min()) // spec.bucket_us * spec.bucket_us if len(new) else until_us
    )
    held = [EMPTY]
    for part in sealed.rollup_parts(spec, tags, since_us, until_us, columns):
        if len(part) and len(tags) == 1 and part.first_at[-1] < touched_us:
            yield part
        else:
            held.append(part)
    yield rollup.overridden(rollup.concat(held), new, spec.bucket_us)
