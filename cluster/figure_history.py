"""The past of figures as `ParkService.history` gives it: minutes kept, and the minute under way."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cluster.figure_log import MINUTE_US, FigureLog
from cluster.history import RAW, WINDOW
from cluster.ports import HistoryQuery
from cluster.ring import Recent
from models.errors import NotFound
from twin.samples import TIME

PREFIX: Final = "figure:"
_SECOND_US: Final = 1_000_000
_MINUTE_S: Final = 60.0
_COARSE_S: Final = 5.0
_TYPES: Final = {
    "at": TIME,
    "text": pa.string(),
    "status": pa.uint32(),
    "origin": pa.string(),
    "n": pa.int64(),
}
Floats = npt.NDArray[np.float64]


def figure_table(log: FigureLog, recent: Recent, now_us: int, query: HistoryQuery) -> pa.Table:
    """History of figures; raw rows are minutes, windows are means over them.

    Raises
    ------
    NotFound
        For an unknown figure.
    """
    names = [tag.removeprefix(PREFIX) for tag in query.tags]
    for name in names:
        if name not in recent.known():
            raise NotFound("figure", name, recent.known())
    at, values, weight = _series(log, recent, names, now_us, query)
    parts = [_rows(tag, at, values[:, k], weight, query) for k, tag in enumerate(query.tags)]
    return pa.concat_tables(parts)


def _series(
    log: FigureLog, recent: Recent, names: Sequence[str], now_us: int, query: HistoryQuery
) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Minutes of the log, then what the ring holds after them; with the seconds each stands for."""
    at, values = log.read(names, query.since_us, query.until_us)
    fresh = recent.table(names, now_us, 60.0)
    fresh_at = fresh.column("at").cast(pa.int64()).to_numpy()
    after = (at[-1] + MINUTE_US) if len(at) else query.since_us
    kept = (fresh_at >= max(after, query.since_us)) & (fresh_at < query.until_us)
    columns = [fresh.column(name).to_numpy(zero_copy_only=False) for name in names]
    newer = np.column_stack(columns)[kept]
    newer_at = fresh_at[kept]
    held_s = np.diff(newer_at, append=newer_at[-1:] + _SECOND_US) / _SECOND_US
    weight = np.concatenate([np.full(len(at), _MINUTE_S), np.clip(held_s, 0.0, _COARSE_S)])
    return np.concatenate([at, newer_at]), np.concatenate([values, newer]), weight


def _rows(
    tag: str, at: npt.NDArray[np.int64], value: Floats, weight: Floats, query: HistoryQuery
) -> pa.Table:
    known = np.isfinite(value)
    at, value, weight = at[known], value[known], weight[known]
    if query.every_us is None:
        n = len(at)
        return _table(
            tag,
            RAW,
            {
                "at": at,
                "value": value,
                "status": np.zeros(n, np.uint32),
                "origin": ["estimated"] * n,
            },
            n,
        )
    window, first = np.unique((at - query.since_us) // query.every_us, return_index=True)
    if not len(window):
        return _table(tag, WINDOW, {}, 0)
    ends = np.append(first[1:], len(at))
    count = ends - first
    return _table(
        tag,
        WINDOW,
        {
            "at": query.since_us + window * query.every_us,
            "mean": np.add.reduceat(value * weight, first) / np.add.reduceat(weight, first),
            "min": np.minimum.reduceat(value, first),
            "max": np.maximum.reduceat(value, first),
            "first": value[first],
            "last": value[ends - 1],
            "n": count,
        },
        len(window),
    )


def _table(
    tag: str, names: Sequence[str], columns: "dict[str, npt.ArrayLike | list[str]]", n: int
) -> pa.Table:
    """Columns in the order of the contract, nulls where a figure has none."""
    arrays = [pa.array([tag] * n, pa.string())]
    for name in names:
        kind = _TYPES.get(name, pa.float64())
        if name not in columns:
            arrays.append(pa.nulls(n, kind))
        elif name == "at":
            arrays.append(pa.array(np.asarray(columns[name], np.int64)).cast(TIME))
        else:
            arrays.append(pa.array(columns[name], kind))
    return pa.table(arrays, names=["path", *names])
