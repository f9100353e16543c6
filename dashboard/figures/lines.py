"""Lines over time: live power, trends and fans."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dashboard.figures.style import (
    Figure,
    Style,
    Trace,
    axis,
    frame,
    limit,
    line,
    numbers,
    time_axis,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A horizontal limit: its value, its name, and whether the name stands above the line."""

    value: float
    text: str
    above: bool = True


def trend(
    style: Style,
    at_us: npt.NDArray[np.int64],
    series: Mapping[str, npt.NDArray[np.float64]],
    *,
    unit: str,
    limits: Sequence[Limit] = (),
    tickformat: str = "%H:%M",
    from_zero: bool = True,
    steps: bool = False,
    counts: bool = False,
) -> Figure:
    """Return lines over time; nulls are gaps, limits are drawn and named.

    Values that are ``counts`` get an axis of whole numbers even when all of them are small.
    """
    x = style.local(at_us)
    more: dict[str, object] = {"line_shape": "hv"} if steps else {}
    traces = [
        line(style, name, x, numbers(values), order=order, unit=unit)
        for order, (name, values) in enumerate(series.items())
    ]
    if more:
        for trace in traces:
            trace["line"] = {**_dict(trace["line"]), "shape": "hv"}
    layout = frame(style, legend=len(series) > 1)
    layout["xaxis"] = time_axis(style, tickformat)
    whole = {"autorangeoptions": {"include": [0, 4]}} if counts else {}
    layout["yaxis"] = axis(style, rangemode="tozero" if from_zero else "normal", nticks=6, **whole)
    return {"data": traces, "layout": _with_limits(style, layout, limits)}


def fan(
    style: Style,
    at_us: npt.NDArray[np.int64],
    quantiles: npt.NDArray[np.float64],
    *,
    unit: str,
    names: tuple[str, str, str],
    limits: Sequence[Limit] = (),
    legend: bool = True,
    from_zero: bool = False,
) -> Figure:
    """Return a fan: the median as a line inside its 50 and 90 % prediction bands.

    Parameters
    ----------
    at_us
        int64[t], park times.
    quantiles
        float64[t, 5]: 5, 25, 50, 75, 95 %.
    unit
        Unit of the values.
    names
        Names of the median, the 50 % and the 90 % band.
    """
    x = style.local(at_us)
    median, half, ninety = names
    traces = [
        *band(style, x, quantiles[:, 0], quantiles[:, 4], ninety),
        *band(style, x, quantiles[:, 1], quantiles[:, 3], half, fill="band50"),
        line(style, median, x, numbers(quantiles[:, 2]), unit=unit),
    ]
    layout = frame(style, legend=legend)
    layout["xaxis"] = time_axis(style)
    layout["yaxis"] = axis(style, rangemode="tozero" if from_zero else "normal", nticks=6)
    return {"data": traces, "layout": _with_limits(style, layout, limits)}


def fans(
    style: Style,
    branches: Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]],
    *,
    unit: str,
    limits: Sequence[Limit] = (),
    banded: Collection[str] | None = None,
) -> Figure:
    """Return the medians of several branches, each of ``banded`` (None: all) in its 90 % band."""
    traces: list[Trace] = []
    for order, (name, (at_us, quantiles)) in enumerate(branches.items()):
        x = style.local(at_us)
        fill = "band" if order % 2 == 0 else "band2"
        if banded is None or name in banded:
            traces += band(style, x, quantiles[:, 0], quantiles[:, 4], "", fill=fill)
        traces.append(line(style, name, x, numbers(quantiles[:, 2]), order=order, unit=unit))
    layout = frame(style)
    layout["xaxis"] = time_axis(style)
    layout["yaxis"] = axis(style, nticks=6)
    return {"data": traces, "layout": _with_limits(style, layout, limits)}


def band(
    style: Style,
    x: Sequence[object],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    name: str,
    *,
    fill: str = "band",
) -> list[Trace]:
    """Return the two traces of a filled band; without a name it stays out of the legend."""
    edge: Trace = {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "line": {"width": 0, "color": style.colour("trace1")},
        "hoverinfo": "skip",
    }
    filled: Trace = {"fill": "tonexty", "fillcolor": style.colour(fill), "name": name}
    return [
        edge | {"y": numbers(low), "showlegend": False},
        edge | {"y": numbers(high), "showlegend": bool(name)} | filled,
    ]


def _with_limits(
    style: Style, layout: dict[str, object], limits: Sequence[Limit]
) -> dict[str, object]:
    marks = [limit(style, each.value, each.text, above=each.above) for each in limits]
    layout["shapes"] = [shape for mark in marks for shape in mark["shapes"]]
    layout["annotations"] = [note for mark in marks for note in mark["annotations"]]
    return layout


def _dict(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}
