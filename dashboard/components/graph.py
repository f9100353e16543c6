"""The one way to put a figure on a page: nothing is offered to the cloud, nothing floats over."""

from collections.abc import Sequence

from dash.development.base_component import Component

from dashboard.components import core, html
from dashboard.figures.style import Figure
from dashboard.viewer import CURRENT


def graph(name: str, figure: Figure, *, height: int, label: str) -> Component:
    """Return a chart of a fixed height with a text alternative."""
    return html.Div(
        core.Graph(
            id=name,
            figure=figure,
            config=config(),
            responsive=True,
            style={"height": f"{height}px"},
        ),
        role="img",
        className="chart",
        style={"height": f"{height}px"},
        **{"aria-label": label},
    )


def stream(
    name: str, figure: Figure, figures: Sequence[str], *, height: int, label: str, keep: int = 900
) -> Component:
    """Return a chart whose traces are extended by the live stream, one figure per trace."""
    return html.Div(
        graph(name, figure, height=height, label=label),
        **{"data-stream": name, "data-figures": ",".join(figures), "data-keep": str(keep)},
    )


def config() -> dict[str, object]:
    """Return the settings of every chart."""
    return {
        "displayModeBar": False,
        "displaylogo": False,
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "scrollZoom": False,
        "doubleClick": False,
        "locale": "vi" if CURRENT.get().language == "vi" else "en-US",
    }
