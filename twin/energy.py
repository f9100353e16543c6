"""Energy of a park per interval: flows, their cost by tariff window, and their emissions.

A pure function of 15-minute rollups. Windows of the tariff begin and end on quarter hours, so a
row never mixes two prices; coarser intervals keep one row per window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.bill import Grid, prices, share_of_steps, slots
from models.emissions import grid_factors_vn
from models.errors import InputError
from models.tariff import Window, tariff_named
from twin.park import Park
from twin.samples import TIME, from_us
from twin.tag_past import Span, TagPast, since_ever, without
from twin.tags import Kind, TagDictionary
from twin.working_hours import holidays_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STEP_US: Final = 15 * 60 * 1_000_000
_STEP_S: Final = 900.0
_WINDOWS: Final = (Window.NORMAL, Window.PEAK, Window.OFF_PEAK)

ENERGY: Final = pa.schema(
    [
        pa.field("at", TIME, nullable=False),
        pa.field("flow", pa.string(), nullable=False),
        pa.field("kwh", pa.float64()),
        pa.field("measured", pa.float64(), nullable=False),
        pa.field("cost_vnd", pa.float64()),
        pa.field("co2_kg", pa.float64()),
        pa.field("window", pa.string(), nullable=False),
    ]
)
"""Flows: ``grid``, ``solar``, ``battery_in``, ``battery_out``, ``load`` (grid + solar + out − in),
``site:<id>`` and ``aggregated`` (load less the sites). ``measured`` is the observed share of the
interval; an asset of the park that has no meter counts as not observed. A meter that was replaced
keeps its past: each tag its path has had counts for its time. Cost (without VAT) and
emissions (location-based) stand with what is bought: the grid; at the same price and factor with
sites and the aggregated rest; null elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """How a tag becomes kWh: a counter as it is, a power from its integral in kW·s.

    Of a power that runs both ways, a ``one_way`` meter counts what its sign makes positive.
    """

    kind: Kind
    unit: str
    column: str
    per_kwh: float
    sign: float = 1.0
    one_way: bool = False


_COUNTER: Final = _Meter(kind=Kind.COUNTER, unit="kWh", column="increase", per_kwh=1.0)
_POWER: Final = _Meter(kind=Kind.GAUGE, unit="kW", column="integral", per_kwh=3600.0)
_GIVING: Final = replace(_POWER, one_way=True)
_CHARGING: Final = replace(_POWER, sign=-1.0, one_way=True)
"""A battery's power is positive when it gives; of a quarter hour its net counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """A meter of an asset, with the tags it had and when each of them was the asset's."""

    meter: _Meter
    spans: tuple[Span, ...]


@dataclass(slots=True)
class _Flow:
    """The ways each asset of a flow is metered, at no time two of them; without any, it is not."""

    assets: list[tuple[_Way, ...]] = field(default_factory=list)


def energy_tags(park: Park, dictionary: TagDictionary) -> tuple[int, ...]:
    """Tags whose rollups `energy_table` needs: those of today, and those before them."""
    flows = _meters(park, dictionary).values()
    ways = [way for flow in flows for asset in flow.assets for way in asset]
    return tuple(dict.fromkeys(span.tag for way in ways for span in way.spans))


def energy_table(
    park: Park,
    dictionary: TagDictionary,
    rows: pa.Table,
    *,
    since_us: int,
    until_us: int,
    every_us: int = STEP_US,
) -> pa.Table:
    """Flows per interval.

    Parameters
    ----------
    park, dictionary
        Meters of the park.
    rows
        Rollups of `energy_tags` every `STEP_US` from `since_us`: tag, at, integral, increase,
        good_s.
    since_us, until_us
        Left-closed span [us]; a whole number of quarter hours.
    every_us
        Interval [us]; a whole number of quarter hours.

    Returns
    -------
    pa.Table
        Schema `ENERGY`, by time and flow.

    Raises
    ------
    InputError
        When the span or the interval is no whole number of quarter hours.
    """
    for name, length in (("until", until_us - since_us), ("every", every_us)):
        if length <= 0 or length % STEP_US:
            raise InputError(
                f"{length / 6e7:g} min is no whole number of quarter hours",
                "round it to 15 minutes",
                name,
            )
    grid = Grid(start_us=since_us, step_us=STEP_US, steps=(until_us - since_us) // STEP_US)
    flows = _flows(park, dictionary, rows, grid)
    money = _Money(park, grid)
    tables = [_flow_table(name, *flow, money, every_us) for name, flow in flows.items()]
    return pa.concat_tables(tables).sort_by([("at", "ascending")])


class _Money:
    """Price, factor and window of each step."""

    def __init__(self, park: Park, grid: Grid) -> None:
        connection = park.spec.utilities.electricity.connection
        tariff = tariff_named(connection.tariff)
        holidays = holidays_of(park).holidays
        cut = slots(tariff, grid, connection.voltage, holidays)
        share = [share_of_steps(grid, [s for s in cut if s.window is w]) for w in _WINDOWS]
        self.grid = grid
        self.window = np.argmax(np.array(share), axis=0)
        self.price = prices(tariff, grid, connection.voltage, holidays)
        factors = grid_factors_vn()
        starts = grid.start_us + STEP_US * np.arange(grid.steps, dtype=np.int64)
        years = [from_us(int(at)).year for at in starts]
        known = {year: factors.newest(year).kgco2e_kwh for year in dict.fromkeys(years)}
        self.factor = np.array([known[year] for year in years], np.float64)


def _meters(park: Park, dictionary: TagDictionary) -> dict[str, _Flow]:
    """The meters of each measured flow, with all their past."""
    past = TagPast(dictionary)
    found: dict[str, _Flow] = {}

    def add(flow: str, asset: str, *ways: tuple[str, _Meter]) -> None:
        """The first way that is mapped counts, at any time the first of then."""
        spans = since_ever([_fitting(past, park, asset, *way) for way in ways])
        taken: list[Span] = []
        metered: list[_Way] = []
        for (_, meter), its in zip(ways, spans, strict=True):
            if own := without(its, taken):
                metered.append(_Way(meter=meter, spans=tuple(own)))
                taken += own
        found.setdefault(flow, _Flow()).assets.append(tuple(metered))

    counter = ("active_energy", _COUNTER)
    power = ("active_power", _POWER)
    for node in park.of_type("transformer"):
        add("grid", node.id, power)
    for node in park.of_type("pv"):
        add("solar", node.id, counter, power)
    for node in park.of_type("bess"):
        add("battery_in", node.id, ("energy_in", _COUNTER), ("active_power", _CHARGING))
        add("battery_out", node.id, ("energy_out", _COUNTER), ("active_power", _GIVING))
    for node in park.of_type("site"):
        add(f"site:{node.id}", node.id, counter, power)
    return found


def _fitting(past: TagPast, park: Park, asset: str, metric: str, meter: _Meter) -> list[Span]:
    """Spans of a metric whose tags can be read as this meter."""
    return [
        span
        for span in past.of(f"{park.id}/{asset}/{metric}")
        if span.binding.kind is meter.kind and span.factor(meter.unit) is not None
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One flow per step: energy [kWh], NaN without any row; observed share; whether metered."""

    kwh: Floats
    seen: Floats
    metered: Bools


def _flows(
    park: Park, dictionary: TagDictionary, rows: pa.Table, grid: Grid
) -> dict[str, tuple[Floats, Floats]]:
    """Energy and observed share of each flow per step; a flow without any row is NaN there."""
    meters = _meters(park, dictionary)
    measured = {name: _measured(flow, rows, grid) for name, flow in meters.items()}
    flows = {name: (m.kwh, m.seen) for name, m in measured.items() if m.metered.any()}
    nothing = np.zeros(grid.steps)
    none = (nothing, np.ones(grid.steps))
    names = ("grid", "solar", "battery_out", "battery_in")
    # what has no meter counts nothing and is not seen; what has one and no row is not known
    parts = [
        (np.where(measured[name].metered, measured[name].kwh, 0.0), measured[name].seen)
        if name in measured
        else none
        for name in names
    ]
    signs = (1.0, 1.0, 1.0, -1.0)
    load = sum((sign * part[0] for sign, part in zip(signs, parts, strict=True)), none[0])
    seen = np.min([part[1] for part in parts], axis=0)
    sites = [m for name, m in measured.items() if name.startswith("site:")]
    flows["load"] = (load, seen)
    rest = load - np.nansum([site.kwh for site in sites], axis=0) if sites else load
    least = np.min([seen, *(np.where(site.metered, site.seen, 1.0) for site in sites)], axis=0)
    flows["aggregated"] = (rest, least)
    return flows


def _measured(flow: _Flow, rows: pa.Table, grid: Grid) -> _Measured:
    table = _Columns.of(rows, grid)
    kwh, seen = np.zeros(grid.steps), np.zeros(grid.steps)
    came, metered = np.zeros(grid.steps, np.bool_), np.zeros(grid.steps, np.bool_)
    for ways in flow.assets:
        open_us = np.array([_open_us(way, grid) for way in ways]).reshape(len(ways), grid.steps)
        chosen = np.argmax(open_us, axis=0) if ways else np.zeros(grid.steps, np.int64)
        for number, way in enumerate(ways):
            use = (chosen == number) & (open_us[number] > 0)
            metered |= use
            _add(way, table, grid, use, (kwh, seen, came))
    seen = seen / max(len(flow.assets), 1)
    return _Measured(kwh=np.where(came, kwh, np.nan), seen=np.clip(seen, 0.0, 1.0), metered=metered)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Rollup rows inside the grid as columns."""

    tag: Ints
    step: Ints
    value: Mapping[str, Floats]
    good_s: Floats

    @classmethod
    def of(cls, rows: pa.Table, grid: Grid) -> "_Columns":
        step = (rows.column("at").cast(pa.int64()).to_numpy() - grid.start_us) // STEP_US
        inside = (step >= 0) & (step < grid.steps)

        def column(name: str) -> Floats:
            values: Floats = rows.column(name).to_numpy()[inside].astype(np.float64)
            return np.nan_to_num(values)

        return cls(
            tag=rows.column("tag").to_numpy()[inside].astype(np.int64),
            step=step[inside],
            value={name: column(name) for name in ("increase", "integral")},
            good_s=column("good_s"),
        )


def _add(
    way: _Way, table: _Columns, grid: Grid, use: Bools, sums: tuple[Floats, Floats, Bools]
) -> None:
    """Add the rows of a way in the steps it counts in; each tag in the steps it was open in."""
    kwh, seen, came = sums
    for tag in dict.fromkeys(span.tag for span in way.spans):
        its = tuple(span for span in way.spans if span.tag == tag)
        was_open = _open_us(replace(way, spans=its), grid) > 0
        mine = np.flatnonzero(table.tag == tag)
        mine = mine[(use & was_open)[table.step[mine]]]
        step, meter = table.step[mine], way.meter
        factor = meter.sign * (its[0].factor(meter.unit) or 0.0) / meter.per_kwh
        energy = factor * table.value[meter.column][mine]
        kwh[step] += np.maximum(energy, 0.0) if meter.one_way else energy
        seen[step] += table.good_s[mine] / _STEP_S
        came[step] = True


def _open_us(way: _Way, grid: Grid) -> Ints:
    """How long the tags of a way were the asset's in each step [us]."""
    starts = grid.start_us + STEP_US * np.arange(grid.steps, dtype=np.int64)
    total = np.zeros(grid.steps, np.int64)
    for span in way.spans:
        upto = np.minimum(starts + STEP_US, span.end_us)
        total += np.maximum(upto - np.maximum(starts, span.start_us), 0)
    return total


def _flow_table(name: str, kwh: Floats, seen: Floats, money: _Money, every_us: int) -> pa.Table:
    """Rows of one flow: one per interval and window."""
    per = every_us // STEP_US
    interval = np.arange(money.grid.steps) // per
    key = interval * len(_WINDOWS) + money.window
    groups, inverse = np.unique(key, return_inverse=True)
    n = len(groups)

    def summed(values: Floats) -> Floats:
        return np.bincount(inverse, values, n).astype(np.float64)

    steps = summed(np.ones(len(key)))
    known = summed(np.isfinite(kwh).astype(np.float64)) > 0.0
    energy = np.nan_to_num(kwh)
    bought = name in ("grid", "aggregated") or name.startswith("site:")
    at = money.grid.start_us + (groups // len(_WINDOWS)) * every_us
    paid = known & bought
    return pa.table(
        {
            "at": pa.array(at.astype(np.int64)).cast(TIME),
            "flow": [name] * n,
            "kwh": pa.array(summed(energy), mask=~known),
            "measured": summed(seen) / steps,
            "cost_vnd": pa.array(summed(energy * money.price), mask=~paid),
            "co2_kg": pa.array(summed(energy * money.factor), mask=~paid),
            "window": [str(_WINDOWS[code]) for code in groups % len(_WINDOWS)],
        },
        schema=ENERGY,
    )
