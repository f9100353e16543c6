"""Arrow tables of the service, turned into the arrays that figures draw."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Floats: TypeAlias = npt.NDArray[np.float64]
Times: TypeAlias = npt.NDArray[np.int64]


def times(table: pa.Table) -> Times:
    """Return the column ``at`` in microseconds."""
    return np.asarray(table["at"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()))


def floats(table: pa.Table, column: str) -> Floats:
    """Return a column as float64, nulls as NaN."""
    filled = pc.fill_null(table[column].cast(pa.float64()), float("nan"))
    return np.asarray(filled, dtype=np.float64)


def by_path(table: pa.Table, column: str) -> Mapping[str, tuple[Times, Floats]]:
    """Return path → (times, values) of a history."""
    if table.num_rows == 0:
        return {}
    at, values = times(table), floats(table, column)
    paths = np.asarray(table["path"].to_pylist())
    return {str(path): (at[paths == path], values[paths == path]) for path in dict.fromkeys(paths)}


def on_grid(
    series: Mapping[str, tuple[Times, Floats]], paths: Sequence[str]
) -> tuple[Times, dict[str, Floats]]:
    """Return all series on the union of their times, NaN where one has no value."""
    present = [path for path in paths if path in series]
    if not present:
        return np.array([], dtype=np.int64), {}
    grid = np.unique(np.concatenate([series[path][0] for path in present]))
    out: dict[str, Floats] = {}
    for path in present:
        at, values = series[path]
        column = np.full(len(grid), np.nan)
        column[np.searchsorted(grid, at)] = values
        out[path] = column
    return grid, out


def sums(table: pa.Table, key: str, column: str) -> dict[str, float]:
    """Return key → sum of a column."""
    grouped = table.group_by(key).aggregate([(column, "sum")])
    return {
        str(name): float(total or 0.0)
        for name, total in zip(
            grouped[key].to_pylist(), grouped[f"{column}_sum"].to_pylist(), strict=True
        )
    }
