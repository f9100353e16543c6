"""The past of figures: one row a minute, never mixed with what was measured.

A day is a file of fixed rows, each with its checksum, appended as it passes; a day that is over
becomes one Parquet file. Figures can be computed anew from the journal, so nothing here is waited
for: a crash costs at most the minute under way.
"""

import json
import logging
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from twin.samples import from_us

logger = logging.getLogger(__name__)

MINUTE_US: Final = 60_000_000
_DAY_US: Final = 86_400_000_000
_KEEP_DAYS: Final = 400
_CODES: Final = (".state", ".alarm", ".busy")
"""Ends of ids that are codes: their last value is kept, others as the mean of the minute."""

Floats = npt.NDArray[np.float64]


class Minute:
    """The figures of the minute under way."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._codes = np.array([name.endswith(_CODES) for name in ids], np.bool_)
        self._number = -1
        self._sum = np.zeros(len(ids))
        self._count = np.zeros(len(ids))
        self._last = np.full(len(ids), np.nan)

    def add(self, at_us: int, values: Floats) -> tuple[int, Floats] | None:
        """Take one row in; the minute before it when that has ended."""
        number = at_us // MINUTE_US
        ended = None
        if number != self._number and self._number >= 0:
            ended = (self._number * MINUTE_US, self._row())
        if number != self._number:
            self._number = number
            self._sum[:] = self._count[:] = 0.0
            self._last[:] = np.nan
        known = np.isfinite(values)
        self._sum += np.where(known, values, 0.0)
        self._count += known
        self._last = np.where(known, values, self._last)
        return ended

    def _row(self) -> Floats:
        mean = np.full(len(self._sum), np.nan)
        np.divide(self._sum, self._count, out=mean, where=self._count > 0)
        return np.where(self._codes, self._last, mean)


class FigureLog:
    """Minute rows of one park's figures.

    Parameters
    ----------
    folder
        Folder of its own.
    ids
        Ids of the figures, in the order of the values.
    """

    def __init__(self, folder: Path, ids: Sequence[str]) -> None:
        self._folder, self._ids = folder, tuple(ids)
        self._minute = Minute(ids)
        self._kind = sha256("\n".join(ids).encode()).hexdigest()[:12]
        self._row = _row_type(len(ids))
        self._day = -1

    def add(self, at_us: int, values: Floats) -> None:
        """Take the figures of one tick; writes a row when a minute has ended."""
        ended = self._minute.add(at_us, values)
        if ended is not None:
            self._append(*ended)

    def read(
        self, figures: Sequence[str], since_us: int, until_us: int
    ) -> tuple[npt.NDArray[np.int64], Floats]:
        """Minutes in [since, until): starts [us], and one column of values per figure."""
        parts = [
            part
            for path in sorted(self._folder.glob("*.*"))
            if _overlaps(path, since_us, until_us)
            and (part := self._from_file(path, figures)) is not None
        ]
        if not parts:
            return np.zeros(0, np.int64), np.zeros((0, len(figures)))
        at = np.concatenate([part[0] for part in parts])
        value = np.concatenate([part[1] for part in parts])
        inside = np.flatnonzero((at >= since_us) & (at < until_us))
        inside = inside[np.argsort(at[inside], kind="stable")]
        return at[inside], value[inside]

    def _append(self, at_us: int, values: Floats) -> None:
        day = at_us // _DAY_US
        try:
            if day != self._day:
                self._begin(day)
            row = np.zeros(1, self._row)
            row["at"], row["value"] = at_us, values
            row["crc"] = zlib.crc32(row.tobytes()[:-4])
            with self._path(day, "rows").open("ab") as file:
                file.write(row.tobytes())
        except OSError as error:
            logger.warning("a minute of figures is not kept", extra={"cause": str(error)})

    def _begin(self, day: int) -> None:
        """Begin a day: turn the ones before it into Parquet, and forget the oldest."""
        self._day = day
        self._folder.mkdir(parents=True, exist_ok=True)
        names = self._folder / f"{self._kind}.json"
        if not names.exists():
            names.write_text(json.dumps(self._ids), encoding="utf-8")
        for path in self._folder.glob("*.rows"):
            if _day_of(path) < day:
                self._close_day(path)
        for path in self._folder.glob("*.parquet"):
            if _day_of(path) < day - _KEEP_DAYS:
                path.unlink()

    def _close_day(self, path: Path) -> None:
        ids, rows = self._rows(path)
        columns = [pa.array(rows["at"])]
        columns += [pa.array(rows["value"][:, k].astype(np.float32)) for k in range(len(ids))]
        whole = path.with_suffix(".parquet")
        draft = path.with_suffix(".new")
        table = pa.table(columns, names=["at", *ids])
        pq.write_table(table, draft, compression="zstd", write_page_checksum=True)
        draft.replace(whole)
        path.unlink()

    def _from_file(
        self, path: Path, figures: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], Floats] | None:
        try:
            if path.suffix == ".parquet":
                return _from_parquet(path, figures)
            ids, rows = self._rows(path)
        except (OSError, ValueError, KeyError, pa.ArrowInvalid) as error:
            logger.warning("a day of figures is not read", extra={"cause": str(error)})
            return None
        value = np.full((len(rows), len(figures)), np.nan)
        for place, name in enumerate(figures):
            if name in ids:
                value[:, place] = rows["value"][:, ids.index(name)]
        return rows["at"], value

    def _rows(self, path: Path) -> tuple[list[str], npt.NDArray[np.void]]:
        """Ids of a rows file, and its rows whose checksum is right."""
        kind = path.stem.rpartition("-")[2]
        ids: list[str] = json.loads((self._folder / f"{kind}.json").read_text("utf-8"))
        row = _row_type(len(ids))
        data = path.read_bytes()
        rows = np.frombuffer(data[: len(data) // row.itemsize * row.itemsize], row)
        good = [zlib.crc32(one.tobytes()[:-4]) == one["crc"] for one in rows]
        return ids, rows[np.array(good, np.bool_)]

    def _path(self, day: int, suffix: str) -> Path:
        return self._folder / f"{from_us(day * _DAY_US).date().isoformat()}-{self._kind}.{suffix}"


def _from_parquet(path: Path, figures: Sequence[str]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Columns of a day that is over; a figure the park had not then is unknown."""
    known = set(pq.read_schema(path).names)
    wanted = [name for name in dict.fromkeys(figures) if name in known]
    table = pq.read_table(path, columns=["at", *wanted], page_checksum_verification=True)
    value = np.full((table.num_rows, len(figures)), np.nan)
    for place, name in enumerate(figures):
        if name in known:
            value[:, place] = table.column(name).to_numpy()
    return table.column("at").to_numpy(), value


def _row_type(figures: int) -> np.dtype[np.void]:
    return np.dtype([("at", "<i8"), ("value", "<f4", (figures,)), ("crc", "<u4")])


def _day_of(path: Path) -> int:
    """Day of a file by its name, days since 1970."""
    return int(np.datetime64(path.stem[:10], "D").astype(np.int64))


def _overlaps(path: Path, since_us: int, until_us: int) -> bool:
    if path.suffix not in {".rows", ".parquet"}:
        return False
    begin_us = _day_of(path) * _DAY_US
    return begin_us < until_us and begin_us + _DAY_US > since_us
