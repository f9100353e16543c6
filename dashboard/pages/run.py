"""One what-if run: its progress, then bands, KPIs, paired differences, a verdict in words."""

from collections.abc import Sequence
from typing import Final

from dash import Dash, Input, Output, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from cluster.ports import Outcome, Run, RunState, Unavailable
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.parts import card, empty, facts, table
from dashboard.components.picker import choices
from dashboard.figures.flows import differences
from dashboard.figures.lines import fan, fans
from dashboard.outcomes import (
    SHARE,
    Kpi,
    Pair,
    branch_bands,
    difference_as,
    interval,
    kpis,
    ordered,
    pairs,
    sentence,
    series_names,
    shown_as,
    unit_of,
)
from dashboard.page import Desk, Page, Visit
from dashboard.pages.whatif import GOING, state, submitted, submitted_when
from dashboard.text import moment, number, probability, significant, span
from dashboard.words.book import Words
from dashboard.words.said import said

MOST_BANDS: Final = 3
RULE_OF_THREE: Final = 3.0


async def layout(visit: Visit) -> Component:
    """Return the page: the outcome, or how far the run is."""
    run = await visit.service.whatif_run(visit.params["run"])
    words = visit.words
    back = core.Link(words("nav.whatif"), href=visit.href("/whatif"))
    compare = core.Link(
        words("run.compare"), href=visit.href("/whatif/compare", runs=run.id), className="button"
    )
    head = html.Div(
        [html.H1([back, html.Span(" / "), run.name or run.id]), compare], className="page-head"
    )
    return html.Div(
        [
            head,
            html.Div(await body(visit, run), id="run-body"),
            core.Store(id="run-state", data=run.state),
        ]
    )


async def body(visit: Visit, run: Run) -> list[Component]:
    """Return what a run has to show in its state."""
    spec = await visit.service.whatif_spec(run.id)
    if run.state != RunState.DONE:
        return [waiting(visit, run), spec_card(visit, spec)]
    try:
        outcome = await visit.service.whatif_outcome(run.id)
    except Unavailable:
        return [waiting(visit, run), spec_card(visit, spec)]
    return [
        verdict_card(visit, pairs(outcome.pairs)),
        html.Div(
            [bands_card(visit, outcome), differences_card(visit, pairs(outcome.pairs))],
            className="grid wide-left",
        ),
        html.Div(kpi_card(visit, outcome), className="grid"),
        html.Div(
            [
                pair_card(visit, pairs(outcome.pairs)),
                html.Div(
                    [provenance_card(visit, run, outcome), spec_card(visit, spec)],
                    className="stack",
                ),
            ],
            className="grid two",
        ),
    ]


def waiting(visit: Visit, run: Run) -> Component:
    """Return how far a run is, or why it ended without an outcome."""
    words = visit.words
    rows = [
        (words("run.state_title"), state(visit, run)),
        (submitted_when(visit), submitted(visit, run)),
        (words("run.by"), run.submitted_by or "–"),
        (words("run.branches"), ", ".join(run.branches)),
        (words("run.replications"), number(run.replications, 0, visit.viewer.language)),
    ]
    failed = (
        [html.P(said(words, run.error), className="problem", role="alert")] if run.error else []
    )
    fast = {"data-fast": ""} if run.state in GOING else {}
    return html.Div(card(words("run.progress"), facts(rows, "wide"), *failed), **fast)


def verdict_card(visit: Visit, found: Sequence[Pair]) -> Component:
    """Return the verdict of every branch in words, effect before probability."""
    words = visit.words
    if not found:
        return card(words("run.verdict"), empty(words("run.one_branch")))
    blocks = []
    for branch in ordered([pair.branch for pair in found]):
        own = [pair for pair in found if pair.branch == branch]
        same = [pair for pair in own if pair.verdict == "about_same"]
        lines = [
            html.Li([verdict_mark(pair), " ", sentence(words, pair)])
            for pair in own
            if pair not in same
        ]
        if same:
            names = ", ".join(words.code("kpi", pair.kpi) for pair in same)
            text = words("run.about_same", kpis=names)
            lines.append(html.Li([verdict_mark(same[0]), " ", text], className="muted"))
        blocks.append(html.Div([html.H3(branch), html.Ul(lines, className="verdicts")]))
    return card(words("run.verdict"), html.Div(blocks, className="grid flush verdict-grid"))


def verdict_mark(pair: Pair) -> Component:
    """Return the verdict as a shape; the words beside it say the same."""
    marks = {"clearly_better": "▲", "clearly_worse": "▼", "about_same": "≈"}
    return html.Span(
        marks.get(pair.verdict, "?"), className=f"mark-{pair.verdict}", **{"aria-hidden": "true"}
    )


def chosen_series(visit: Visit, outcome: Outcome) -> str:
    """Return the series the address asks for, else the first."""
    names = series_names(outcome.bands)
    asked = visit.query.get("series", "")
    return asked if asked in names else next(iter(names), "")


def bands_card(visit: Visit, outcome: Outcome) -> Component:
    """Return the chosen series of all branches with their prediction bands."""
    words = visit.words
    series = chosen_series(visit, outcome)
    if not series:
        return card(words("run.bands"), empty(words("state.no_data")))
    options = [(name, words.code("series", name)) for name in series_names(outcome.bands)]
    unit = shown_as(words, unit_of(outcome.bands, series))[1]
    found = branch_bands(outcome.bands, series)
    banded = reference(outcome, list(found))
    if len(found) == 1:
        at, quantiles = next(iter(found.values()))
        names = (words("band.median"), words("band.half"), words("band.ninety"))
        figure = fan(visit.style, at, quantiles, unit=unit, names=names)
    else:
        figure = fans(visit.style, found, unit=unit, banded=banded)
    title = f"{words.code('series', series)} ({unit})" if unit else words.code("series", series)
    return card(
        title,
        choices(visit, "series", options, series),
        graph("run-bands", figure, height=beside(outcome), label=title),
        html.P(hint(words, list(found), banded), className="muted small"),
    )


def reference(outcome: Outcome, branches: Sequence[str]) -> list[str]:
    """Return the branches drawn with their bands: all of a few, else the one compared with.

    More than a few bands on one chart cover each other.
    """
    if len(branches) <= MOST_BANDS:
        return list(branches)
    return ordered([pair.against for pair in pairs(outcome.pairs)])[:1] or list(branches[:1])


def hint(words: Words, branches: Sequence[str], banded: Sequence[str]) -> str:
    """Return what the lines and the shaded bands are."""
    if len(banded) == len(branches):
        return words("run.bands_hint")
    return f"{words('run.bands_hint')} {words('run.bands_of', names=', '.join(banded))}"


def beside(outcome: Outcome) -> int:
    """Return the height at which the bands end where the differences beside them end."""
    return max(300, 8 + 26 * int(outcome.pairs.num_rows))


def differences_card(visit: Visit, found: Sequence[Pair]) -> Component:
    """Return all differences on one scale: in units of what matters for each KPI."""
    words = visit.words
    title = words("run.differences")
    shown = [p for p in found if p.material > 0]
    if not shown:
        return card(title, empty(words("run.no_material")))
    several = len({p.branch for p in shown}) > 1
    labels = [
        f"{p.branch}: {words.code('kpi', p.kpi)}" if several else words.code("kpi", p.kpi)
        for p in shown
    ]
    middle = [p.difference / p.material for p in shown]
    half = [(p.high - p.low) / 2 / p.material for p in shown]
    figure = differences(visit.style, labels, middle, half)
    return card(
        title,
        graph("run-differences", figure, height=max(220, 60 + 26 * len(shown)), label=title),
        html.P(words("run.differences_hint"), className="muted small"),
    )


def kpi_card(visit: Visit, outcome: Outcome) -> Component:
    """Return every KPI of every branch: mean and 95 % interval."""
    words = visit.words
    found = kpis(outcome.kpis)
    names = ordered([k.branch for k in found])
    rows = []
    for kpi in ordered([k.kpi for k in found]):
        own = {k.branch: k for k in found if k.kpi == kpi}
        unit = next(iter(own.values())).unit
        rows.append(
            [
                words.code("kpi", kpi),
                shown_as(words, unit)[1],
                *(mean_of(visit, own.get(name)) for name in names),
            ]
        )
    head = [words("run.kpi"), words("run.unit"), *names]
    numeric = tuple(range(2, 2 + len(names)))
    return card(
        words("run.kpis"),
        table(head, rows, label=words("run.kpis"), numeric=numeric, stacked=head),
        extra=words("run.interval"),
        kind="card-kpis",
    )


def mean_of(visit: Visit, kpi: Kpi | None) -> Component:
    """Return a mean with its interval beneath."""
    if kpi is None:
        return html.Span("–")
    times, _ = shown_as(visit.words, kpi.unit)
    if kpi.unit == SHARE:
        return share_of(visit, kpi)
    digits = significant(kpi.mean * times)
    return html.Div(
        [
            html.Div(number(kpi.mean * times, digits, visit.viewer.language)),
            html.Div(
                interval(visit.words, kpi.low * times, kpi.high * times, digits),
                className="muted small nowrap",
            ),
        ]
    )


def share_of(visit: Visit, kpi: Kpi) -> Component:
    """Return a probability: of none (or all) of the runs its bound, and of how many."""
    words = visit.words
    yes = round(kpi.mean * kpi.n)
    if yes not in (0, kpi.n):
        told = interval(words, kpi.low * 100, kpi.high * 100, 1)
    else:
        told = words("run.of_runs", n=str(yes), all=str(kpi.n))
    # outcomes of before the exact interval say 0 for the bound of a probability
    doubt = min(1.0, RULE_OF_THREE / kpi.n)
    least = (kpi.high or doubt) if yes == 0 else 0.0
    most = (kpi.low if kpi.low < 1.0 else 1.0 - doubt) if yes == kpi.n else 1.0
    text = probability(kpi.mean, words.language, least, most).removesuffix(" %")
    return html.Div([html.Div(text), html.Div(told, className="muted small nowrap")])


def pair_card(visit: Visit, found: Sequence[Pair]) -> Component:
    """Return paired differences: effect, interval, then P(better) with its direction."""
    words = visit.words
    title = words("run.pairs")
    if not found:
        return card(title, empty(words("run.one_branch")))
    head = [
        words("run.kpi"),
        words("run.difference"),
        words("run.p_better"),
        words("run.verdict_short"),
    ]
    rows = [pair_row(visit, pair) for pair in found]
    shown = table(head, rows, label=title, numeric=(1, 2), stacked=head)
    return card(title, shown, extra=words("run.interval"))


def pair_row(visit: Visit, pair: Pair) -> list[object]:
    """Return one paired difference."""
    words, language = visit.words, visit.viewer.language
    times, unit = difference_as(words, pair.unit)
    difference = pair.difference * times
    digits = significant(difference)
    effect = f"{number(difference, digits, language, sign=True)} {unit}"
    return [
        two_lines(words.code("kpi", pair.kpi), f"{pair.branch} − {pair.against}"),
        two_lines(effect, interval(words, pair.low * times, pair.high * times, digits)),
        two_lines(
            probability(pair.p_better, language, 1.0 / (pair.n + 2.0)),
            words.code("better", pair.better),
        ),
        words.code("verdict.word", pair.verdict),
    ]


def two_lines(first: str, second: str) -> Component:
    """Return a cell of two lines, the second one muted."""
    return html.Div(
        [html.Div(first, className="nowrap"), html.Div(second, className="muted small nowrap")]
    )


def provenance_card(visit: Visit, run: Run, outcome: Outcome) -> Component:
    """Return where the outcome comes from: the same inputs give the same hash."""
    words, proof = visit.words, outcome.provenance
    took = (
        span((run.finished_us - run.started_us) / 6e7, visit.viewer.language)
        if run.finished_us and run.started_us
        else "–"
    )
    engines = ordered(
        [f"{said(words, k.engine)}: {said(words, k.why)}" for k in kpis(outcome.kpis)]
    )
    rows = [
        (words("proof.from"), moment(proof.from_us, visit.park.tz, visit.park.now_us)),
        (words("proof.seed"), str(proof.seed)),
        (words("run.replications"), number(proof.replications, 0, visit.viewer.language)),
        (words("proof.snapshot"), html.Span(proof.snapshot_hash, className="mono")),
        (words("proof.spec"), html.Span(proof.spec_hash, className="mono")),
        (
            words("proof.code"),
            html.Span(f"{proof.code_version} · {proof.lock_hash}", className="mono"),
        ),
        (words("proof.cpu"), proof.cpu),
        (words("proof.result"), html.Span(proof.result_hash, className="mono")),
        (words("proof.engine"), "; ".join(engines)),
        (words("run.by"), run.submitted_by or "–"),
        (words("proof.took"), took),
    ]
    return card(words("proof.title"), facts(rows, "wide"), extra=words("proof.hint"))


def spec_card(visit: Visit, text: str) -> Component:
    """Return the text the run was submitted with."""
    words = visit.words
    box = html.Pre(text, className="mono spec", tabIndex="0", **{"aria-label": words("run.spec")})
    return card(words("run.spec"), box)


def wire(app: Dash, desk: Desk) -> None:
    """Refresh a run until it is over."""

    @app.callback(
        Output("run-body", "children"),
        Output("run-state", "data"),
        Input("beat", "data"),
        State("run-state", "data"),
        State("url", "pathname"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    async def refresh(
        _beat: int, before: str, path: str, search: str
    ) -> tuple[list[Component], str]:
        if before not in GOING:
            raise PreventUpdate
        visit = await desk.visit(search, path, PAGE.match(path))
        run = await desk.service.whatif_run(visit.params["run"])
        return await body(visit, run), run.state


PAGE: Final = Page(path="/whatif/<run>", title="nav.run", layout=layout, wire=wire)
