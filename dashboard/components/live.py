"""Parts that the live stream fills in the browser: they carry the figure's id and format."""

from collections.abc import Sequence

import orjson
from dash.development.base_component import Component

from cluster.ports import FigureSpec
from dashboard.components import html
from dashboard.components.info import info
from dashboard.page import Visit


def live(spec: FigureSpec, *, unit: bool = True, scale: float = 1.0) -> Component:
    """Return a live number and its unit; ``scale`` multiplies what is shown."""
    value = html.Span(
        className="num",
        **{"data-live": spec.id, "data-decimals": str(spec.decimals), "data-scale": str(scale)},
    )
    if not unit or not spec.unit:
        return value
    return html.Span([value, html.Span(f" {spec.unit}", className="unit")], className="nowrap")


def live_name(spec: FigureSpec, names: Sequence[str]) -> Component:
    """Return the name a live number stands for: the first of the names for 1."""
    listed = orjson.dumps(list(names)).decode()
    return html.Span(**{"data-live": spec.id, "data-decimals": "0", "data-names": listed})


def live_of(visit: Visit, figure: str, *, unit: bool = True) -> Component:
    """Return the live number of a figure, or a dash when the park has no such figure."""
    spec = visit.specs.get(figure)
    return html.Span("–", className="num") if spec is None else live(spec, unit=unit)


def kpi(visit: Visit, figure: str, points: Sequence[float | None] = ()) -> Component | None:
    """Return a card: value, unit, deviation, bullet with the normal band, last 15 minutes.

    Parameters
    ----------
    visit
        The visit.
    figure
        Id of a figure; None is returned when the park has none of that id.
    points
        Its last 15 minutes, evenly spaced, drawn before the first frame comes.
    """
    spec = visit.specs.get(figure)
    if spec is None:
        return None
    name = visit.words.label(spec.label)
    return html.Section(
        [
            html.Div(
                [html.H2(name, className="kpi-name"), info(visit, spec)], className="kpi-head"
            ),
            html.Div(
                [
                    html.Span([live(spec)], className="kpi-value"),
                    html.Span(className="kpi-deviation", **{"data-deviation": spec.id}),
                ],
                className="kpi-line",
            ),
            bullet(spec),
            html.Div(
                className="spark",
                **{
                    "data-spark": spec.id,
                    "data-points": ",".join("" if p is None else f"{p:.4g}" for p in points),
                    "aria-hidden": "true",
                },
            ),
        ],
        className="card kpi",
        **{"aria-label": name, **limits(spec), "data-kpi": spec.id},
    )


def limits(spec: FigureSpec) -> dict[str, str]:
    """Return the attributes from which the browser tells a deviation."""
    ends = {"low": spec.low, "high": spec.high}
    return {f"data-{name}": str(end) for name, end in ends.items() if end is not None}


def bullet(spec: FigureSpec) -> Component:
    """Return a bar with the normal band and a live mark; empty when the figure has no scale."""
    if spec.scale_low is None or spec.scale_high is None or spec.scale_high <= spec.scale_low:
        return html.Div(className="bullet bullet-none")
    width = spec.scale_high - spec.scale_low
    low = max(spec.scale_low, spec.low if spec.low is not None else spec.scale_low)
    high = min(spec.scale_high, spec.high if spec.high is not None else spec.scale_high)
    left, right = ((end - spec.scale_low) / width * 100 for end in (low, high))
    return html.Div(
        [
            html.I(
                className="band", style={"left": f"{left:.1f}%", "width": f"{right - left:.1f}%"}
            ),
            html.B(
                className="mark",
                **{
                    "data-mark": spec.id,
                    "data-from": str(spec.scale_low),
                    "data-to": str(spec.scale_high),
                },
            ),
        ],
        className="bullet",
        **{"aria-hidden": "true"},
    )


def meter(spec: FigureSpec, full: float) -> Component:
    """Return a thin live bar from zero to ``full``."""
    return html.Div(
        html.B(**{"data-fill": spec.id, "data-to": str(full)}),
        className="meter",
        **{"aria-hidden": "true"},
    )
