"""Energy of a park per interval: flows, their cost by tariff window, and their emissions.

A pure function of 15-minute rollups. Windows of the tariff begin and end on quarter hours, so a
row never mixes two prices; coarser intervals keep one row per window.
"""

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
from twin.tags import TagDictionary
from twin.working_hours import holidays_of

Floats = npt.NDArray[np.float64]

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
interval; an asset of the park that has no meter counts as not observed. Cost (without VAT) and
emissions (location-based) stand with what is bought: the grid; at the same price and factor with
sites and the aggregated rest; null elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """A tag and how it becomes kWh: ``counter`` as it is, ``power`` from its integral in kW·s.

    Of a power that runs both ways, a ``one_way`` meter counts what its sign makes positive.
    """

    counter: bool
    tag: int = -1
    sign: float = 1.0
    one_way: bool = False


_COUNTER: Final = _Meter(counter=True)
_POWER: Final = _Meter(counter=False)
_GIVING: Final = _Meter(counter=False, one_way=True)
_CHARGING: Final = _Meter(counter=False, sign=-1.0, one_way=True)
"""A battery's power is positive when it gives; of a quarter hour its net counts."""


@dataclass(slots=True)
class _Flow:
    """The meters of a flow, and how many of its assets have none."""

    meters: list[_Meter] = field(default_factory=list)
    unmetered: int = 0


def energy_tags(park: Park, dictionary: TagDictionary) -> tuple[int, ...]:
    """Tags whose rollups `energy_table` needs."""
    meters = _meters(park, dictionary)
    return tuple(dict.fromkeys(m.tag for found in meters.values() for m in found.meters))


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
    """The meters of each measured flow."""
    found: dict[str, _Flow] = {}

    def add(flow: str, asset: str, metric: str, meter: _Meter) -> bool:
        path = f"{park.id}/{asset}/{metric}"
        if path not in dictionary:
            return False
        tag = dictionary.of_path(path).tag
        found.setdefault(flow, _Flow()).meters.append(replace(meter, tag=tag))
        return True

    def add_first(flow: str, asset: str, *ways: tuple[str, _Meter]) -> None:
        """The first way that is mapped; an asset without any is not metered."""
        if not any(add(flow, asset, metric, meter) for metric, meter in ways):
            found.setdefault(flow, _Flow()).unmetered += 1

    counter = ("active_energy", _COUNTER)
    power = ("active_power", _POWER)
    for node in park.of_type("transformer"):
        add_first("grid", node.id, power)
    for node in park.of_type("pv"):
        add_first("solar", node.id, counter, power)
    for node in park.of_type("bess"):
        add_first("battery_in", node.id, ("energy_in", _COUNTER), ("active_power", _CHARGING))
        add_first("battery_out", node.id, ("energy_out", _COUNTER), ("active_power", _GIVING))
    for node in park.of_type("site"):
        flow = f"site:{node.id}"
        if not add(flow, node.id, *counter):
            add(flow, node.id, *power)
    return found


def _flows(
    park: Park, dictionary: TagDictionary, rows: pa.Table, grid: Grid
) -> dict[str, tuple[Floats, Floats]]:
    """Energy and observed share of each flow per step; a flow without any row is NaN there."""
    meters = _meters(park, dictionary)
    flows = {name: _measured(flow, rows, grid) for name, flow in meters.items() if flow.meters}
    nothing = np.zeros(grid.steps)
    blind = {name: (nothing, nothing) for name, flow in meters.items() if not flow.meters}
    none = (nothing, np.ones(grid.steps))
    names = ("grid", "solar", "battery_out", "battery_in")
    parts = [flows.get(name, blind.get(name, none)) for name in names]
    signs = (1.0, 1.0, 1.0, -1.0)
    load = sum((sign * part[0] for sign, part in zip(signs, parts, strict=True)), none[0])
    seen = np.min([part[1] for part in parts], axis=0)
    sites = [flow for name, flow in flows.items() if name.startswith("site:")]
    flows["load"] = (load, seen)
    rest = load - np.nansum([flow[0] for flow in sites], axis=0) if sites else load
    least = np.min([seen, *(flow[1] for flow in sites)], axis=0)
    flows["aggregated"] = (rest, least)
    return flows


def _measured(flow: _Flow, rows: pa.Table, grid: Grid) -> tuple[Floats, Floats]:
    assets = len(flow.meters) + flow.unmetered
    kwh, seen = np.zeros(grid.steps), np.zeros(grid.steps)
    came = np.zeros(grid.steps, np.bool_)
    at = rows.column("at").cast(pa.int64()).to_numpy()
    tags = rows.column("tag").to_numpy()
    for meter in flow.meters:
        mine = np.flatnonzero(tags == meter.tag)
        step = (at[mine] - grid.start_us) // STEP_US
        inside = (step >= 0) & (step < grid.steps)
        mine, step = mine[inside], step[inside]
        column = "increase" if meter.counter else "integral"
        value = rows.column(column).to_numpy()[mine].astype(np.float64)
        energy = meter.sign * np.nan_to_num(value) / (1.0 if meter.counter else 3600.0)
        kwh[step] += np.maximum(energy, 0.0) if meter.one_way else energy
        good = rows.column("good_s").to_numpy()[mine].astype(np.float64)
        seen[step] += np.nan_to_num(good) / _STEP_S / assets
        came[step] = True
    return np.where(came, kwh, np.nan), np.clip(seen, 0.0, 1.0)


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
