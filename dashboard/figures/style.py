"""How every figure looks: one frame of axes, fonts and marks per theme and language."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from dashboard.design import Theme, colour
from dashboard.viewer import Language

Figure: TypeAlias = dict[str, object]
Trace: TypeAlias = dict[str, object]

FONT: Final = "Inter Variable, Noto Sans, sans-serif"
CLEAR: Final = "rgba(0,0,0,0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Theme, language and zone a figure is drawn for."""

    theme: Theme
    language: Language
    tz: str

    def colour(self, token: str) -> str:
        """Return a token's colour."""
        return colour(token, self.theme)

    def local(self, at_us: npt.NDArray[np.int64] | Sequence[int]) -> list[str]:
        """Return park times as local clock readings, the way plotly takes dates without a zone."""
        zone = ZoneInfo(self.tz)
        return [
            datetime.fromtimestamp(us / 1e6, tz=UTC).astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
            for us in np.asarray(at_us, dtype=np.int64).tolist()
        ]


def axis(style: Style, **more: object) -> dict[str, object]:
    """Return one axis: a thin grid, no zero line, no box."""
    return {
        "gridcolor": style.colour("grid"),
        "linecolor": style.colour("border"),
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "tickfont": {"size": 12, "color": style.colour("muted")},
        "automargin": True,
        "fixedrange": True,
        "exponentformat": "none",
        "separatethousands": True,
    } | more


def time_axis(style: Style, tickformat: str = "%H:%M", **more: object) -> dict[str, object]:
    """Return a time axis; ticks less than a minute apart are written with their seconds."""
    return (
        axis(
            style,
            type="date",
            tickformat=tickformat,
            tickformatstops=[{"dtickrange": [None, 59_999], "value": "%H:%M:%S"}],
            hoverformat="%d/%m %H:%M",
            nticks=8,
            showgrid=False,
            ticks="outside",
            ticklen=4,
            tickcolor=style.colour("border"),
        )
        | more
    )


def frame(style: Style, *, legend: bool = True, **more: object) -> dict[str, object]:
    """Return the layout all figures share."""
    return {
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": FONT, "size": 12, "color": style.colour("text")},
        "margin": {"l": 8, "r": 8, "t": 26 if legend else 8, "b": 8, "pad": 2},
        "separators": ",." if style.language == "vi" else ".,",
        "showlegend": legend,
        "legend": {
            "orientation": "h",
            "traceorder": "normal",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "bgcolor": CLEAR,
            "font": {"size": 12, "color": style.colour("muted")},
            "itemclick": False,
            "itemdoubleclick": False,
        },
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": style.colour("raised"),
            "bordercolor": style.colour("border"),
            "font": {"family": FONT, "size": 12, "color": style.colour("text")},
        },
        "dragmode": False,
        "uirevision": "kept",
    } | more


def line(
    style: Style,
    name: str,
    x: Sequence[object],
    y: Sequence[float | None],
    *,
    order: int = 0,
    unit: str = "",
    **more: object,
) -> Trace:
    """Return a line; its order gives colour and dash, so that it is told without colour too."""
    token, dash, width = LOOKS[order % len(LOOKS)]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": list(y),
        "line": {"color": style.colour(token), "dash": dash, "width": width},
        "hovertemplate": f"%{{y:,.4~g}} {unit}".rstrip() + f"<extra>{name}</extra>",
        "connectgaps": False,
    } | more


LOOKS: Final = (
    ("trace1", "solid", 2),
    ("trace2", "dash", 2),
    ("trace3", "dot", 2),
    ("trace1", "dashdot", 1.5),
    ("trace2", "solid", 1.5),
    ("trace3", "dash", 1.5),
)


def limit(style: Style, value: float, text: str, *, above: bool = True) -> dict[str, list[Trace]]:
    """Return the shape and annotation of a horizontal limit with its name at the right end."""
    return {
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": value,
                "y1": value,
                "line": {"color": style.colour("text"), "width": 1, "dash": "longdash"},
            }
        ],
        "annotations": [
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": value,
                "yanchor": "bottom" if above else "top",
                "text": text,
                "showarrow": False,
                "font": {"size": 12, "color": style.colour("text")},
            }
        ],
    }


def numbers(values: npt.NDArray[np.float64] | Sequence[float | None]) -> list[float | None]:
    """Return finite numbers as they are and all others as null, which plotly draws as a gap."""
    return [
        float(v) if v is not None and np.isfinite(v) else None
        for v in (values.tolist() if isinstance(values, np.ndarray) else values)
    ]
