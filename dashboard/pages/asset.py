"""One asset: where it belongs, its figures now, a trend, its alarms and its tags."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from dash.development.base_component import Component

from cluster.ports import Alarm, AlarmState, Asset, FigureSpec, HistoryQuery, NotFound, Tag
from dashboard.components import core, html
from dashboard.components.graph import graph
from dashboard.components.info import info
from dashboard.components.live import limits, live, live_name, meter
from dashboard.components.parts import card, empty, facts, priority, table
from dashboard.components.picker import choices, exports, span_picker
from dashboard.figures.lines import Limit, trend
from dashboard.page import Page, Visit
from dashboard.spans import Span, span_of
from dashboard.tables import by_path, on_grid
from dashboard.text import moment, number
from dashboard.words.book import Words

QUALITIES: Final = ("good", "uncertain", "bad")
UNSAID: Final = ("owner", "map")
"""Attributes a reader has no use for: the owner stands by itself, the place is drawn."""
QUANTITY: Final = re.compile(r"(?P<number>-?\d+(\.\d+)?)( (?P<unit>\S.*))?")


async def layout(visit: Visit) -> Component:
    """Return the page."""
    name = visit.params["id"]
    assets = {a.id: a for a in await visit.service.assets(visit.park.id)}
    if name not in assets:
        raise NotFound("asset", name, tuple(assets))
    asset = assets[name]
    span = span_of(visit.query.get("span", "today"), visit.park.now_us, visit.park.tz)
    specs = [visit.specs[f] for f in asset.figures if f in visit.specs]
    specs = specs or [s for s in visit.specs.values() if s.asset == asset.id]
    shown = [s for s in specs if not s.id.endswith((".alarm", ".state"))]
    alarms = [
        a
        for a in await visit.service.alarms(visit.park.id)
        if (a.asset == name or a.asset.startswith(f"{name}/")) and a.state != AlarmState.NORMAL
    ]
    tags = await own_tags(visit, asset)
    children = [a for a in assets.values() if a.parent == name]
    tools = html.Div(
        [
            span_picker(visit, span),
            exports(visit, [f"figure:{s.id}" for s in shown] or list(asset.tags), span),
        ],
        className="page-tools",
    )
    drawn = [s for s in shown if not s.id.endswith(".bottleneck")]  # a name has no curve
    left = [await trend_card(visit, span, drawn), tags_card(visit, tags, below=bool(children))]
    right = [
        about_card(visit, asset, assets),
        figures_card(visit, shown, children),
        alarms_card(visit, alarms),
        *([children_card(visit, children)] if children else []),
    ]
    return html.Div(
        [
            html.Div([crumbs(visit, asset, assets), tools], className="page-head"),
            html.Div(
                [html.Div(left, className="stack"), html.Div(right, className="stack")],
                className="grid wide-left flush",
            ),
        ]
    )


def crumbs(visit: Visit, asset: Asset, assets: dict[str, Asset]) -> Component:
    """Return the asset's name after the names of all above it."""
    parts: list[object] = []
    for each in chain(asset, assets)[:-1]:
        text = visit.words.label(each.label) or each.id
        parts += [core.Link(text, href=visit.href(f"/asset/{each.id}")), html.Span(" / ")]
    return html.H1([*parts, visit.words.label(asset.label) or asset.id])


def chain(asset: Asset, assets: Mapping[str, Asset]) -> list[Asset]:
    """Return all above an asset, the outermost first, and the asset itself."""
    found = [asset]
    while found[0].parent in assets:
        found.insert(0, assets[str(found[0].parent)])
    return found


async def own_tags(visit: Visit, asset: Asset) -> list[Tag]:
    """Return the asset's tags with their latest values."""
    if not asset.tags:
        return []
    wanted = set(asset.tags)
    return [t for t in await visit.service.tags(visit.park.id, asset.id) if t.path in wanted]


def chosen(visit: Visit, specs: Sequence[FigureSpec]) -> FigureSpec:
    """Return the figure the address asks for, else the first."""
    asked = visit.query.get("figure", "")
    return next((s for s in specs if s.id == asked), specs[0])


def short(visit: Visit, spec: FigureSpec) -> str:
    """Return a figure's name without the name of its asset before it."""
    return visit.words.label(spec.label).rsplit(": ", 1)[-1]


async def trend_card(visit: Visit, span: Span, specs: Sequence[FigureSpec]) -> Component:
    """Return one figure over the span with its normal band."""
    words = visit.words
    if not specs:
        return card(words("asset.trend"), empty(words("asset.no_figures")))
    spec = chosen(visit, specs)
    path = f"figure:{spec.id}"
    query = HistoryQuery(
        tags=(path,), since_us=span.since_us, until_us=span.until_us, every_us=span.chart_us
    )
    rows = await visit.service.history(visit.park.id, query)
    at, grid = on_grid(by_path(rows, "mean"), (path,))
    title = f"{words.label(spec.label)} ({spec.unit})" if spec.unit else words.label(spec.label)
    picker = choices(visit, "figure", [(s.id, short(visit, s)) for s in specs[:8]], spec.id)
    if not len(at):
        return card(title, picker, empty(words("state.no_data"), words("state.no_data_hint")))
    marks = ends(visit, spec)
    figure = trend(
        visit.style,
        at,
        {words.label(spec.label): grid[path]},
        unit=spec.unit,
        limits=marks,
        tickformat=span.tickformat,
        from_zero=bool(np.nanmin(grid[path]) >= 0) if len(at) else True,
    )
    return card(
        title,
        picker,
        graph("asset-trend", figure, height=330, label=title),
        extra=info(visit, spec),
    )


def ends(visit: Visit, spec: FigureSpec) -> list[Limit]:
    """Return the ends of a figure's normal band, named."""

    def text(end: float) -> str:
        return number(end, 0 if end % 1 == 0 else 1, visit.viewer.language)

    made = []
    if spec.high is not None:
        high = visit.words("logistics.normal", value=text(spec.high))
        made.append(Limit(value=spec.high, text=high))
    if spec.low is not None:
        low = visit.words("asset.normal_low", value=text(spec.low))
        made.append(Limit(value=spec.low, text=low, above=False))
    return made


def about_card(visit: Visit, asset: Asset, known: Mapping[str, Asset]) -> Component:
    """Return what the park file says about the asset; other assets it names are links."""
    words = visit.words
    rows: list[tuple[str, object]] = [
        (words("asset.type"), words.code("asset.type_of", asset.type)),
        (words("asset.path"), html.Span(asset.id, className="mono")),
        (words("asset.owner"), asset.owner or "–"),
        *(
            (words.code("asset.attribute", name), attribute(visit, name, value, known))
            for name, value in asset.attributes.items()
            if name not in UNSAID
        ),
    ]
    return card(words("asset.about"), facts(rows, "wide"))


def attribute(visit: Visit, name: str, value: str, known: Mapping[str, Asset]) -> object:
    """Return what the park file says, in the viewer's language where it has words for it."""
    words = visit.words
    if value in known:
        text = words.label(known[value].label) or value
        return core.Link(text, href=visit.href(f"/asset/{value}"))
    if name == "rule":
        return words.code("whatif.option", value)
    if name == "soc":
        return shares(words, value)
    if name == "time_policy":
        return words.code("endpoint.time", value)
    return written(words, value)


def shares(words: Words, text: str) -> str:
    """Return the ends of a range of shares as per cent; other text as it is."""
    try:
        ends = [round(float(end) * 100.0, 3) for end in text.split(",")]
    except ValueError:
        return text
    return "–".join(f"{number(e, 0 if e.is_integer() else 1, words.language)} %" for e in ends)


def written(words: Words, text: str) -> str:
    """Return a quantity of the park file as the language writes it; other text as it is."""
    found = QUANTITY.fullmatch(text)
    if found is None:
        return text
    digits, unit = found["number"], found["unit"] or ""
    decimals = len(digits.partition(".")[2])
    shown = number(float(digits), decimals, words.language)
    return f"{shown} {words.code('unit', unit)}" if unit else shown


def figures_card(visit: Visit, specs: Sequence[FigureSpec], children: Sequence[Asset]) -> Component:
    """Return its figures now; a machine's number in its line is told by the machine's name."""
    words = visit.words
    if not specs:
        return card(words("asset.now"), empty(words("asset.no_figures")))
    machines = [words.label(c.label) or c.id for c in children if c.type == "machine"]

    def value(spec: FigureSpec) -> Component:
        return live_name(spec, machines) if spec.id.endswith(".bottleneck") else live(spec)

    rows = [
        html.Div(
            [
                html.Span(short(visit, s)),
                meter(s, s.scale_high) if s.scale_high else html.Span(),
                html.Span([value(s), info(visit, s)], className="r nowrap with-info"),
            ],
            className="product-row",
            **limits(s),
            **{"data-limits": s.id},
        )
        for s in specs
    ]
    return card(words("asset.now"), *rows)


def alarms_card(visit: Visit, alarms: Sequence[Alarm]) -> Component:
    """Return its unresolved alarms."""
    words = visit.words
    if not alarms:
        return card(words("nav.alarms"), html.P(words("alarms.none"), className="muted"))
    rows = [
        html.Li(
            [
                priority(words, a.priority.value),
                html.Span(words.label(a.label), className="alarm-text"),
                html.Span(
                    moment(a.raised_us, visit.park.tz, visit.park.now_us), className="num muted"
                ),
            ]
        )
        for a in alarms
    ]
    link = core.Link(words("overview.all_alarms", n=str(len(alarms))), href=visit.href("/alarms"))
    return card(words("nav.alarms"), html.Ul(rows, className="alarm-list"), extra=link)


def children_card(visit: Visit, children: Sequence[Asset]) -> Component:
    """Return what stands below it."""
    words = visit.words
    rows = [
        html.Li(
            [
                core.Link(words.label(c.label) or c.id, href=visit.href(f"/asset/{c.id}")),
                html.Span(words.code("asset.type_of", c.type), className="muted"),
            ],
            className="child",
        )
        for c in children
    ]
    return card(words("asset.below"), html.Ul(rows, className="children"))


def tags_card(visit: Visit, tags: Sequence[Tag], *, below: bool) -> Component:
    """Return its tags with value, quality and source; ``below`` says whether it has parts."""
    words = visit.words
    title = words("asset.tags", n=str(len(tags)))
    if not tags and below:
        return card(title, empty(words("asset.tags_below"), words("asset.tags_below_hint")))
    if not tags:
        return card(title, empty(words("asset.no_tags"), words("asset.no_tags_hint")))
    rows = [
        [
            core.Link(property_name(words, t), href=visit.href(f"/tag/{t.path}"), title=t.path),
            shown(visit, t),
            quality(visit, t),
            moment(t.at_us, visit.park.tz, visit.park.now_us),
            core.Link(t.endpoint, href=visit.href(f"/endpoints/{t.endpoint}")),
        ]
        for t in tags
    ]
    head = [
        words("endpoints.tag"),
        words("tag.value"),
        words("tag.quality"),
        words("tag.at"),
        words("tag.endpoint"),
    ]
    return card(title, table(head, rows, label=title, numeric=(1,), lesser=(3, 4)))


def property_name(words: Words, tag: Tag) -> str:
    """Return what a tag measures: the last part of its path, in words where there are some."""
    return words.code("property", tag.path.rsplit("/", 1)[-1])


def shown(visit: Visit, tag: Tag) -> str:
    """Return a tag's value and unit."""
    if tag.value is None:
        return tag.text or "–"
    decimals = 0 if float(tag.value).is_integer() else 2
    unit = visit.words.code("unit", tag.unit) if tag.unit else ""
    return f"{number(tag.value, decimals, visit.viewer.language)} {unit}".strip()


def quality(visit: Visit, tag: Tag) -> Component:
    """Return the quality of a tag: quiet when good, shape and word when not."""
    name = QUALITIES[min(tag.quality, 2)]
    text = visit.words.code("quality", name)
    if name == "good":
        return html.Span(text, className="muted")
    shape, kind = (("◆", "medium"), ("▲", "high"))[tag.quality > 1]
    return html.Span(f"{shape} {text}", className=f"priority priority-{kind}")


PAGE: Final = Page(path="/asset/<id>", title="nav.asset", layout=layout, profile="asset:{id}")
