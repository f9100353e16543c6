"""Energy: a Sankey that conserves, and bars by tariff window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from dashboard.figures.style import Figure, Style, axis, frame, numbers, time_axis
from dashboard.text import number


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Energy in and out of the park's bus over a span [kWh], by name; both sides have one sum.

    Parameters
    ----------
    sources, uses
        Name → energy, largest first; what does not add up stands under the name given for it.
    """

    sources: Mapping[str, float]
    uses: Mapping[str, float]

    @property
    def total(self) -> float:
        """Sum of one side [kWh]."""
        return sum(self.sources.values())


def balance(
    sources: Mapping[str, float],
    uses: Mapping[str, float],
    *,
    most: int,
    others: str,
    unmetered: str,
) -> Balance:
    """Close the balance: the smallest uses become one, the difference gets a name.

    Parameters
    ----------
    sources, uses
        Name → energy [kWh]; negative or missing values count as zero.
    most
        Uses shown by name; the rest is put together under ``others``.
    others, unmetered
        Names of the small ones together, and of what is used but not metered (losses included).
        When more is used than comes in, ``unmetered`` is a source.
    """
    into = {name: max(0.0, value) for name, value in sources.items()}
    ranked = sorted(((n, max(0.0, v)) for n, v in uses.items()), key=lambda pair: -pair[1])
    out = dict(ranked[:most])
    rest = sum(value for _, value in ranked[most:])
    if rest > 0:
        out[others] = out.get(others, 0.0) + rest
    gap = sum(into.values()) - sum(out.values())
    side = out if gap > 0 else into
    if abs(gap) > 1e-9:
        side[unmetered] = side.get(unmetered, 0.0) + abs(gap)
    return Balance(
        sources={n: v for n, v in into.items() if v > 0},
        uses={n: v for n, v in out.items() if v > 0},
    )


def _positive(side: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in side.items() if value > 0}


def sankey(style: Style, flows: Balance, *, bus: str, unit: str = "MWh") -> Figure:
    """Return the flow from sources over the bus to uses, in thousands of the balance's unit.

    Every end carries its amount; the bus is named by the pointer only, to keep the middle free.
    """
    digits = 2 if flows.total < 1e4 else 1 if flows.total < 1e5 else 0

    def ends(side: Mapping[str, float]) -> list[str]:
        return [
            f"{name}  {number(kwh / 1000, digits, style.language)}" for name, kwh in side.items()
        ]

    names = [*ends(flows.sources), "", *ends(flows.uses)]
    middle = len(flows.sources)
    links = [(i, middle, v) for i, v in enumerate(flows.sources.values())]
    links += [(middle, middle + 1 + i, v) for i, v in enumerate(flows.uses.values())]
    return {
        "data": [
            {
                "type": "sankey",
                "arrangement": "fixed",
                "valueformat": f",.{digits}f",
                "valuesuffix": f" {unit}",
                "textfont": {"size": 12, "color": style.colour("text"), "shadow": "none"},
                "node": {
                    "label": names,
                    "pad": 9,
                    "thickness": 12,
                    "line": {"width": 0},
                    "customdata": [*flows.sources, bus, *flows.uses],
                    "hovertemplate": "%{customdata}: %{value}<extra></extra>",
                    "color": [style.colour("trace2")] * len(names),
                },
                "link": {
                    "source": [s for s, _, _ in links],
                    "target": [t for _, t, _ in links],
                    "value": [v / 1000 for _, _, v in links],
                    "color": [style.colour("link")] * len(links),
                },
            }
        ],
        "layout": frame(style, legend=False, hovermode="closest"),
    }


WINDOWS: Final = ("off_peak", "normal", "peak")
LOOKS: Final = {"off_peak": "fill", "normal": "trace2", "peak": "trace1"}


def window_bars(
    style: Style,
    at_us: npt.NDArray[np.int64],
    mwh: Mapping[str, npt.NDArray[np.float64]],
    names: Mapping[str, str],
    *,
    tickformat: str,
) -> Figure:
    """Return energy per bar, stacked by tariff window; the darker, the dearer."""
    x = style.local(at_us)
    traces = [
        {
            "type": "bar",
            "name": names[window],
            "x": x,
            "y": numbers(mwh[window]),
            "marker": {"color": style.colour(LOOKS[window])},
            "hovertemplate": f"%{{y:,.1f}} MWh<extra>{names[window]}</extra>",
        }
        for window in WINDOWS
        if window in mwh
    ]
    layout = frame(style, legend=False, barmode="stack", bargap=0.25)
    layout["xaxis"] = time_axis(style, tickformat)
    layout["yaxis"] = axis(style, rangemode="tozero", nticks=5)
    return {"data": traces, "layout": layout}


def heat(
    style: Style,
    at_us: npt.NDArray[np.int64],
    rows: Sequence[str],
    states: npt.NDArray[np.float64],
    names: Sequence[str],
    *,
    step_us: int,
) -> Figure:
    """Return machine states over time, one row a machine.

    Parameters
    ----------
    at_us
        int64[t], the beginning of each cell, evenly spaced by ``step_us``.
    rows
        Names of the machines.
    states
        float64[machines, t]: 0 not available, 1 out of service, 2 not executing, 3 executing.
    names
        Names of the four states.
    """
    tokens = ("shelved", "medium", "fill", "trace2")
    scale: list[list[object]] = []
    for code, token in enumerate(tokens):
        scale += [[code / 4, style.colour(token)], [(code + 1) / 4, style.colour(token)]]
    cells = [numbers(row) for row in states]
    told = [[names[int(v)] if v is not None else "" for v in row] for row in cells]
    layout = frame(style, legend=False, hovermode="closest")
    layout["xaxis"] = time_axis(style)
    layout["yaxis"] = axis(style, autorange="reversed", type="category", showgrid=False)
    return {
        "data": [
            {
                "type": "heatmap",
                "x": style.local(at_us + step_us // 2),
                "y": list(rows),
                "z": cells,
                "zmin": -0.5,
                "zmax": 3.5,
                "colorscale": scale,
                "showscale": False,
                "ygap": 3,
                "text": told,
                "hovertemplate": "%{y} · %{x|%H:%M} · %{text}<extra></extra>",
            }
        ],
        "layout": layout,
    }


def differences(
    style: Style, labels: Sequence[str], middle: Sequence[float], half: Sequence[float]
) -> Figure:
    """Return differences with their intervals about zero, one row each, in units of materiality."""
    layout = frame(style, legend=False, hovermode="closest")
    layout["xaxis"] = axis(
        style, zeroline=True, zerolinecolor=style.colour("text"), zerolinewidth=1
    )
    layout["yaxis"] = axis(style, autorange="reversed", type="category", showgrid=False)
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": list(middle),
                "y": list(labels),
                "marker": {"color": style.colour("trace1"), "size": 8, "symbol": "diamond"},
                "error_x": {
                    "type": "data",
                    "array": list(half),
                    "color": style.colour("trace1"),
                    "thickness": 1.5,
                    "width": 5,
                },
                "hovertemplate": "%{y}: %{x:.3~g}<extra></extra>",
            }
        ],
        "layout": layout,
    }
