"""Runs side by side: their bands in one chart, their KPIs in one table."""

from collections.abc import Sequence
from typing import Final

from dash.development.base_component import Component

from cluster.ports import Outcome, Run, RunState
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.parts import card, empty, table
from dashboard.components.picker import choices
from dashboard.figures.lines import fans
from dashboard.outcomes import branch_bands, kpis, ordered, pairs, series_names, shown_as, unit_of
from dashboard.page import Page, Visit
from dashboard.pages.run import MOST_BANDS, chosen_series, hint, mean_of, pair_card

MOST_LINES: Final = 6


async def layout(visit: Visit) -> Component:
    """Return the page; the address says which runs."""
    words = visit.words
    runs = [r for r in await visit.service.whatif_runs(visit.park.id) if r.state == RunState.DONE]
    asked = [name for name in visit.query.get("runs", "").split(",") if name]
    chosen = [r for r in runs if r.id in asked] or runs[:2]
    back = core.Link(words("nav.whatif"), href=visit.href("/whatif"))
    head = html.Div(html.H1([back, " / ", words("nav.compare")]), className="page-head")
    if not runs:
        return html.Div([head, empty(words("whatif.no_runs"), words("whatif.no_runs_hint"))])
    found = [(run, await visit.service.whatif_outcome(run.id)) for run in chosen]
    return html.Div(
        [
            head,
            picker(visit, runs, [run.id for run in chosen]),
            html.Div([bands_card(visit, found), kpi_card(visit, found)], className="grid"),
            html.Div(
                [named_pairs(visit, run, outcome) for run, outcome in found], className="grid two"
            ),
        ]
    )


def picker(visit: Visit, runs: Sequence[Run], chosen: Sequence[str]) -> Component:
    """Return the runs as switches; each adds itself to the address or leaves it."""
    links = []
    for run in runs:
        rest = [name for name in chosen if name != run.id]
        after = rest if run.id in chosen else [*rest, run.id]
        links.append(
            core.Link(
                [
                    html.Span(
                        "✓\N{NO-BREAK SPACE}" if run.id in chosen else "", **{"aria-hidden": "true"}
                    ),
                    f"{run.name} ({run.id})",
                ],
                href=visit.href("/whatif/compare", runs=",".join(after)),
                className="current" if run.id in chosen else "",
            )
        )
    return html.Div(
        [
            html.Span(visit.words("compare.choose"), className="muted"),
            html.Div(links, className="choices"),
        ],
        className="page-tools",
    )


def bands_card(visit: Visit, found: Sequence[tuple[Run, Outcome]]) -> Component:
    """Return one series of all branches of all chosen runs."""
    words = visit.words
    first = found[0][1]
    series = chosen_series(visit, first)
    lines = {
        f"{run.name}: {branch}": bands
        for run, outcome in found
        for branch, bands in branch_bands(outcome.bands, series).items()
    }
    shown = dict(list(lines.items())[:MOST_LINES])
    unit = shown_as(words, unit_of(first.bands, series))[1]
    banded = list(shown) if len(shown) <= MOST_BANDS else list(shown)[:1]
    options = [(name, words.code("series", name)) for name in series_names(first.bands)]
    title = f"{words.code('series', series)} ({unit})" if unit else words.code("series", series)
    more = words("compare.more", n=str(len(lines) - len(shown))) if len(lines) > len(shown) else ""
    return card(
        title,
        choices(visit, "series", options, series),
        graph(
            "compare-bands",
            fans(visit.style, shown, unit=unit, banded=banded),
            height=330,
            label=title,
        ),
        html.P(" ".join((hint(words, list(shown), banded), more)), className="muted small"),
    )


def kpi_card(visit: Visit, found: Sequence[tuple[Run, Outcome]]) -> Component:
    """Return KPIs of all branches of the chosen runs, mean and interval."""
    words = visit.words
    columns = {
        (run.name, k.branch): {x.kpi: x for x in kpis(outcome.kpis) if x.branch == k.branch}
        for run, outcome in found
        for k in kpis(outcome.kpis)
    }
    names = ordered([kpi for own in columns.values() for kpi in own])
    units = {x.kpi: x.unit for own in columns.values() for x in own.values()}
    rows = [
        [
            words.code("kpi", kpi),
            shown_as(words, units[kpi])[1],
            *(mean_of(visit, own.get(kpi)) for own in columns.values()),
        ]
        for kpi in names
    ]
    head = [
        words("run.kpi"),
        words("run.unit"),
        *(html.Span([run, html.Br(), branch]) for run, branch in columns),
    ]
    texts = [
        words("run.kpi"),
        words("run.unit"),
        *(f"{run}: {branch}" for run, branch in columns),
    ]
    numeric = tuple(range(2, 2 + len(columns)))
    return card(
        words("run.kpis"),
        table(head, rows, label=words("run.kpis"), numeric=numeric, stacked=texts),
        html.P(words("compare.unpaired"), className="muted small"),
        extra=words("run.interval"),
        kind="card-kpis",
    )


def named_pairs(visit: Visit, run: Run, outcome: Outcome) -> Component:
    """Return a run's own paired differences under its name."""
    return html.Div(
        [
            html.H2(
                core.Link(run.name, href=visit.href(f"/whatif/{run.id}")), className="run-name"
            ),
            pair_card(visit, pairs(outcome.pairs)),
        ]
    )


PAGE: Final = Page(path="/whatif/compare", title="nav.compare", layout=layout)
