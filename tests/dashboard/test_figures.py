"""Figures are plain dicts that plotly accepts, and they tell the truth."""

import re
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import plotly.offline
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import design
from dashboard.figures.flows import balance, differences, heat, sankey, window_bars
from dashboard.figures.lines import Limit, fan, fans, trend
from dashboard.figures.style import Style

ASSETS = Path(design.__file__).parent / "assets"
AT = np.arange(4, dtype=np.int64) * 900_000_000 + 1_795_323_600_000_000
ENERGY = st.dictionaries(st.text(min_size=1, max_size=6), st.floats(0, 1e7), max_size=12)


def style(theme="light", language="vi"):
    return Style(theme=theme, language=language, tz="Asia/Ho_Chi_Minh")


def every_figure(look):
    bands = np.cumsum(np.ones((4, 5)), axis=1)
    flows = balance({"a": 5e3, "b": 1e3}, {"x": 4e3, "y": 1e3}, most=3, others="o", unmetered="u")
    return [
        trend(
            look,
            AT,
            {"a": np.array([1, np.nan, 3, 4.0])},
            unit="MW",
            limits=[Limit(value=2.0, text="limit")],
        ),
        trend(look, AT, {"a": np.arange(4.0), "b": np.arange(4.0)}, unit="", steps=True),
        fan(look, AT, bands, unit="MVA", names=("m", "h", "n")),
        fans(look, {"base": (AT, bands), "more": (AT, bands + 1)}, unit="MVA"),
        sankey(look, flows, bus="bus"),
        window_bars(look, AT, {"peak": np.ones(4)}, {"peak": "Peak"}, tickformat="%H:%M"),
        heat(
            look,
            AT,
            ["p01", "p02"],
            np.array([[0, 1, 2, 3], [3, 3, np.nan, 1.0]]),
            list("abcd"),
            step_us=60_000_000,
        ),
        differences(look, ["a", "b"], [1.0, -2.0], [0.1, 0.2]),
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plotly_accepts_every_figure(theme):
    for figure in every_figure(style(theme)):
        go.Figure(figure)


def colours_in(value):
    if isinstance(value, dict):
        return {c for v in value.values() for c in colours_in(v)}
    if isinstance(value, (list, tuple)):
        return {c for v in value for c in colours_in(v)}
    text = str(value).lower()
    return {text} if re.match(r"^(#[0-9a-f]{6}|rgba?\()", text) else set()


def test_every_colour_of_a_figure_has_a_counterpart_in_the_other_theme():
    known = set(design.counterparts()) | {"rgba(0,0,0,0)"}
    for figure in every_figure(style("light")):
        assert colours_in(figure) <= known


def test_counterparts_are_one_to_one():
    pairs = {(light.lower(), dark.lower()) for light, dark in design.TOKENS.values()}
    assert len({light for light, _ in pairs}) == len(pairs) == len({dark for _, dark in pairs})


def test_the_style_sheet_is_that_of_the_tokens():
    assert (ASSETS / "10-tokens.css").read_text() == design.tokens_css()


def test_the_browser_knows_every_token():
    script = (ASSETS / "shell.js").read_text()
    assert [name for name in design.TOKENS if f"'{name}'" not in script] == []


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize("token", ["text", "muted", *design.PRIORITIES, "shelved"])
@pytest.mark.parametrize("ground", ["surface", "raised"])
def test_text_colours_reach_aa(theme, token, ground):
    assert contrast(design.TOKENS[token][theme], design.TOKENS[ground][theme]) >= 4.5


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@given(sources=ENERGY, uses=ENERGY, most=st.integers(1, 6))
def test_the_energy_flow_conserves(sources, uses, most):
    closed = balance(sources, uses, most=most, others="\0others", unmetered="\0unmetered")
    assert sum(closed.uses.values()) == pytest.approx(closed.total, abs=1e-3)


def test_small_uses_are_put_together_and_the_difference_gets_a_name():
    closed = balance(
        {"grid": 100.0},
        {"a": 50.0, "b": 20.0, "c": 10.0},
        most=1,
        others="others",
        unmetered="losses",
    )
    assert closed.uses == {"a": 50.0, "others": 30.0, "losses": 20.0}


def test_more_used_than_supplied_is_an_unmetered_source():
    closed = balance({"grid": 10.0}, {"a": 15.0}, most=3, others="o", unmetered="unknown")
    assert closed.sources == {"grid": 10.0, "unknown": 5.0}


def test_unknown_values_are_gaps():
    figure = trend(style(), AT, {"a": np.array([1.0, np.nan, np.inf, 2.0])}, unit="MW")
    assert figure["data"][0]["y"] == [1.0, None, None, 2.0]


def test_times_are_those_of_the_park():
    assert style().local(AT)[0] == "2026-11-22T12:00:00"


def test_numbers_of_a_figure_use_the_marks_of_the_language():
    seps = [trend(style(language=x), AT, {}, unit="")["layout"]["separators"] for x in ("vi", "en")]
    assert seps == [",.", ".,"]


def test_the_plot_bundle_is_the_version_plotly_draws_for():
    head = (ASSETS / "00-plotly-twin.min.js").read_text()[:200]
    assert f"plotly.js {plotly.offline.get_plotlyjs_version()}," in head
