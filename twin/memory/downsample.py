"""Fewer points for a chart, with its shape kept."""

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tsdownsample import MinMaxLTTBDownsampler

from models.errors import InputError
from twin.memory.rows import floats, ints
from twin.memory.settings import DAY_US, HOUR_US, MINUTE_US, SECOND_US

_DOWNSAMPLER: Final = MinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]
_OVERSAMPLING: Final = 8
_STEPS_US: Final = (
    *(SECOND_US, 5 * SECOND_US, 15 * SECOND_US, MINUTE_US, 5 * MINUTE_US, 15 * MINUTE_US),
    *(HOUR_US, 6 * HOUR_US, DAY_US, 7 * DAY_US),
)


def downsample(table: pa.Table, points: int, column: str = "value") -> pa.Table:
    """At most ``points`` rows per tag, chosen by MinMaxLTTB; each tag's first and last row stay.

    Parameters
    ----------
    table
        Rows with ``tag``, ``at`` and a number, sorted by (tag, at). Rows without a number (null
        or not finite) are not drawn and are left out, except a tag's first and last.
    points
        Most rows per tag, at least 3.
    column
        The number to keep the shape of.

    Raises
    ------
    InputError
        If fewer than 3 points are asked for.

    References
    ----------
    Van Der Donckt et al. (2023), MinMaxLTTB: leveraging MinMax-preselection to scale LTTB.
    """
    if points < 3:
        raise InputError(f"{points} points", "ask for at least 3", "points")
    tag = ints(table, "tag")
    if not len(tag):
        return table
    at, value = ints(table, "at"), floats(table, column)
    starts = np.flatnonzero(np.append([True], tag[1:] != tag[:-1]))
    ends = np.append(starts[1:], len(tag))
    kept = [_kept(at, value, int(a), int(b), points) for a, b in zip(starts, ends, strict=True)]
    rows = np.concatenate(kept)
    return table if len(rows) == len(tag) else table.take(pa.array(rows))


def _kept(
    at: npt.NDArray[np.int64], value: npt.NDArray[np.float64], begin: int, end: int, points: int
) -> npt.NDArray[np.int64]:
    """Rows of one tag that stay."""
    if end - begin <= points:
        return np.arange(begin, end)
    finite = np.isfinite(value[begin:end])
    finite[[0, -1]] = True
    drawn = begin + np.flatnonzero(finite)
    if len(drawn) <= points:
        return drawn
    heights = np.where(np.isfinite(value[drawn]), value[drawn], 0.0)
    chosen = _DOWNSAMPLER.downsample(at[drawn], heights, n_out=points)
    places = np.concatenate(([0], np.asarray(chosen, np.int64), [len(drawn) - 1]))
    return np.asarray(drawn[np.unique(places)])


def chart_step_us(span_us: int, points: int) -> int:
    """Length of the windows to read for a chart of so many points [us].

    The shortest usual step that gives at most 8 windows per point: enough for a chart to keep
    its shape, few enough to be read from the coarsest rollup that shows them.

    Parameters
    ----------
    span_us
        Length of the chart [us].
    points
        Points it will have.
    """
    return usual_step_us(-(-span_us // (_OVERSAMPLING * max(points, 1))))


def usual_step_us(least_us: int) -> int:
    """Shortest usual length of a window that is no shorter than this; a week at most [us]."""
    return next((step for step in _STEPS_US if step >= least_us), _STEPS_US[-1])
