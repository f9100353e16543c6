"""Merging many small files into few sorted ones, a bounded number of rows at a time."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from twin.memory import rows
from twin.memory.deltalog import SealedFile
from twin.memory.read import Reader, coverage_in_order, newest
from twin.memory.settings import DAY_US
from twin.memory.tables import TableSpec
from twin.samples import from_us

_WEEK: Final = 7


def files_of_day(files: Sequence[SealedFile], day: int, spec: TableSpec) -> list[SealedFile]:
    """Files whose rows all begin on one day, counted from 1970."""
    return [f for f in files if f.day == day and _one_day(f, spec)]


def days_due(files: Sequence[SealedFile], before: int, spec: TableSpec) -> list[int]:
    """Days before a day that have more than one file."""
    count = Counter(f.day for f in files if f.day < before and _one_day(f, spec))
    return sorted(day for day, n in count.items() if n > 1)


def _one_day(file: SealedFile, spec: TableSpec) -> bool:
    # A coverage row may end on a later day; its files are split by where rows begin, and a merged
    # month is told by its name.
    if not spec.has_tag:
        return "-month-" not in file.name
    return file.end_us // DAY_US == file.day


def weeks_due(files: Sequence[SealedFile], before: int, spec: TableSpec) -> list[list[SealedFile]]:
    """Files of single days before a day, by seven of one month, oldest first."""
    days = [f for f in files if f.day < before and _one_day(f, spec)]
    weeks = []
    for month in sorted({month_of(f) for f in days}):
        of_month = files_of_month(days, month)
        full = len(of_month) // _WEEK * _WEEK
        weeks += [of_month[i : i + _WEEK] for i in range(0, full, _WEEK)]
    return weeks


def month_of(file: SealedFile) -> str:
    """Month of a file's first row, as 2026-01."""
    return from_us(file.begin_us).strftime("%Y-%m")


def files_of_month(files: Sequence[SealedFile], month: str) -> list[SealedFile]:
    """Files whose first row lies in a month."""
    return [f for f in files if month_of(f) == month]


def months_due(files: Sequence[SealedFile], before: int) -> list[str]:
    """Months with more than one file, all of whose rows lie before a day."""
    count = Counter(month_of(f) for f in files)
    young = {month_of(f) for f in files if f.end_us // DAY_US >= before}
    ended = from_us(before * DAY_US).strftime("%Y-%m")
    return sorted(m for m, n in count.items() if n > 1 and m not in young and m < ended)


def merged(
    reader: Reader, spec: TableSpec, files: Sequence[SealedFile], merge_rows: int
) -> Iterator[pa.Table]:
    """Rows of several files in order, each once, in portions of about ``merge_rows`` rows.

    A portion is a range of tags; of equal rollup rows the newest revision stays.
    """
    if not spec.has_tag:
        parts = [reader.groups(spec, f, -1, 1) for f in files]
        yield coverage_in_order(pa.concat_tables(parts))
        return
    low = -1
    for high in _cuts(reader, spec, files, merge_rows):
        parts = [_between(reader.groups(spec, f, low, high), low, high) for f in files]
        portion = pa.concat_tables(parts)
        yield newest(portion) if spec.bucket_us else rows.ordered(portion)
        low = high


def _between(table: pa.Table, low: int, high: int) -> pa.Table:
    tag = rows.ints(table, "tag")
    return table.filter(pa.array((tag > low) & (tag <= high)))


def _cuts(
    reader: Reader, spec: TableSpec, files: Sequence[SealedFile], merge_rows: int
) -> list[int]:
    """Tags at which to cut, so that no portion holds many more rows than asked for."""
    footers = [reader.footer(spec, f) for f in files]
    last_tag = np.concatenate([f.tag_max for f in footers])
    count = np.concatenate(
        [[f.metadata.row_group(i).num_rows for i in range(len(f.groups))] for f in footers]
    )
    order = np.argsort(last_tag, kind="stable")
    cuts: list[int] = []
    held = 0
    for tag, n in zip(last_tag[order], count[order], strict=True):
        held += int(n)
        if held >= merge_rows and (not cuts or tag > cuts[-1]):
            cuts.append(int(tag))
            held = 0
    highest = int(last_tag.max())
    return cuts if cuts and cuts[-1] == highest else [*cuts, highest]
