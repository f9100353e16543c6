"""The figures of one park, in their fixed order, and where each stands in the arrays of `Now`."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from models.emissions import grid_factors_vn
from models.sourced import Provenance, Status
from models.tariff import tariff_named
from twin.figure_kinds import FIGURE_KINDS, SCOPE_OF_TYPE, FigureKind
from twin.figures import FigureSpec
from twin.label import NO_LABEL, Label
from twin.park import AssetNode, Park
from twin.parkfile.schema import Berth, Dock, Gate, WastewaterPlant, Yard

_COST: Final = ("cost_today_mvnd",)
_CARBON: Final = ("co2_kg_h", "co2_today_t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The figures of one scope: `assets` rows of `names` columns, from `start` on."""

    start: int
    assets: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def end(self) -> int:
        """Position after the last figure."""
        return self.start + len(self.assets) * len(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureLayout:
    """Specs in order, the block of each scope, and the position of each id."""

    specs: tuple[FigureSpec, ...]
    blocks: Mapping[str, Block]
    position: Mapping[str, int]


def layout_of(park: Park, year: int) -> FigureLayout:
    """Lay out the figures of a park.

    Parameters
    ----------
    park
        The park.
    year
        Year whose emission factor is named in the lineage.
    """
    specs: list[FigureSpec] = []
    blocks: dict[str, Block] = {}
    tables = _tables(park, year)
    mapped = frozenset(binding.path for binding in park.bindings)
    for scope, kinds in FIGURE_KINDS.items():
        assets = _assets(park, scope)
        start = len(specs)
        ids = ("",) if scope == "park" else tuple(node.id for node in assets)
        nodes: tuple[AssetNode | None, ...] = (None,) if scope == "park" else assets
        for node in nodes:
            specs += [_spec(park, scope, node, kind, tables, mapped) for kind in kinds]
        names = tuple(kind.name for kind in kinds)
        blocks[scope] = Block(start=start, assets=ids, names=names)
    return FigureLayout(
        specs=tuple(specs),
        blocks=MappingProxyType(blocks),
        position=MappingProxyType({spec.id: place for place, spec in enumerate(specs)}),
    )


def _assets(park: Park, scope: str) -> tuple[AssetNode, ...]:
    kind = next((kind for kind, name in SCOPE_OF_TYPE.items() if name == scope), "")
    return park.of_type(kind)


def _spec(
    park: Park,
    scope: str,
    node: AssetNode | None,
    kind: FigureKind,
    tables: Mapping[str, Label],
    mapped: frozenset[str],
) -> FigureSpec:
    label = kind.label
    full = None if node is None else _full(park, node.id, kind.name)
    if node is not None:
        label = Label(
            vi=f"{node.label.vi}: {kind.label.vi}", en=f"{node.label.en}: {kind.label.en}"
        )
    return FigureSpec(
        id=f"{scope}.{node.id}.{kind.name}" if node is not None else f"{scope}.{kind.name}",
        label=label,
        unit=kind.unit,
        decimals=kind.decimals,
        asset=node.id if node is not None else "",
        low=kind.low,
        high=kind.high,
        scale_low=kind.scale_low if full is None else 0.0,
        scale_high=kind.scale_high if full is None else full,
        formula=kind.formula,
        inputs=_inputs(park, scope, node, kind.name, mapped),
        source=kind.source,
        table=tables.get(kind.name, NO_LABEL) if node is None else NO_LABEL,
    )


def _full(park: Park, asset: str, figure: str) -> float | None:
    """What a place holds when it is full: the end of its bar; None for other figures."""
    match park.elements.get(asset), figure:
        case Gate(lanes=lanes), "busy":
            return float(lanes)
        case Yard(slots=slots), "occupied":
            return float(slots)
        case Dock(count=count), "busy":
            return float(count)
        case Berth(), "busy":
            return 1.0
        case WastewaterPlant(capacity=capacity), "m3_h":
            return capacity
        case _:
            return None


def _tables(park: Park, year: int) -> Mapping[str, Label]:
    """Figure → the dated table behind it, with its status."""
    tariff = tariff_named(park.spec.utilities.electricity.connection.tariff)
    prices, windows = tariff.prices[-1], tariff.windows[-1]
    cost = _joined(f"{tariff.id}: ", _named(prices.provenance), "; ", _named(windows.provenance))
    factor = grid_factors_vn().newest(year)
    carbon = _named(factor.provenance, f", {factor.year}")
    return dict.fromkeys(_COST, cost) | dict.fromkeys(_CARBON, carbon)


_STATUS_VI: Final[Mapping[Status, str]] = {
    Status.VERIFIED: "đã đối chiếu",
    Status.SECONDARY: "nguồn thứ cấp",
    Status.ASSUMED: "giả định",
}


def _named(found: Provenance, more: str = "") -> Label:
    """A source with its status, in both languages."""
    return Label(
        vi=f"{found.source_vi or found.source}{more} ({_STATUS_VI[found.status]})",
        en=f"{found.source}{more} ({found.status})",
    )


def _joined(*parts: str | Label) -> Label:
    """Labels, and what stands between them, as one."""
    labels = [part if isinstance(part, Label) else Label(vi=part, en=part) for part in parts]
    return Label(vi="".join(each.vi for each in labels), en="".join(each.en for each in labels))


_PARK_INPUTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "load_mw": (("feeder", "active_power"), ("pv", "active_power"), ("bess", "active_power")),
    "measured_pct": (("feeder", "active_power"), ("pv", "active_power"), ("bess", "active_power")),
    "grid_import_mw": (("transformer", "active_power"),),
    "station_mva": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "station_loading_pct": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "headroom_mva": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "n1_loading_pct": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "n1_minutes": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "cos_phi": (("transformer", "active_power"), ("transformer", "reactive_power")),
    "co2_kg_h": (("transformer", "active_power"),),
    "energy_today_mwh": (("transformer", "active_power"),),
    "peak_today_mw": (("transformer", "active_power"),),
    "cost_today_mvnd": (("transformer", "active_power"),),
    "co2_today_t": (("transformer", "active_power"),),
    "pv_mw": (("pv", "active_power"),),
    "pv_share_pct": (("pv", "active_power"), ("feeder", "active_power")),
    "bess_mw": (("bess", "active_power"),),
    "bess_soc_pct": (("bess", "state_of_charge"),),
    "gate_queue": (("gate", "queue"),),
    "turn_p50_min": (("gate", "turn_time"),),
    "turn_p90_min": (("gate", "turn_time"),),
    "trucks_today": (("gate", "entries"),),
    "yard_pct": (("yard", "occupied"),),
    "docks_busy": (("dock", "busy"),),
    "berths_busy": (("berth", "busy"),),
}
_OWN_INPUTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("transformer", "mva"): ("active_power", "reactive_power"),
    ("transformer", "loading_pct"): ("active_power", "reactive_power"),
    ("transformer", "oil_c"): ("oil_temperature",),
    ("feeder", "mw"): ("active_power",),
    ("feeder", "amps"): ("current",),
    ("feeder", "loading_pct"): ("current",),
    ("pv", "kw"): ("active_power",),
    ("pv", "expected_kw"): ("irradiance", "module_temperature"),
    ("pv", "yield_pct"): ("active_power", "irradiance", "module_temperature"),
    ("bess", "kw"): ("active_power",),
    ("bess", "soc_pct"): ("state_of_charge",),
    ("site", "kw"): ("active_power",),
    ("site", "kwh_today"): ("active_energy",),
    ("machine", "state"): ("item_state",),
    ("machine", "kw"): ("active_power",),
    ("gate", "queue"): ("queue",),
    ("gate", "busy"): ("lanes_busy",),
    ("gate", "turn_p90_min"): ("turn_time",),
    ("yard", "occupied"): ("occupied",),
    ("dock", "busy"): ("busy",),
    ("berth", "busy"): ("busy",),
    ("wwtp", "m3_h"): ("flow",),
}
_LINE_METRICS: Final = ("item_state", "operation_mode", "part_count", "scrap_count")


def _inputs(
    park: Park, scope: str, node: AssetNode | None, name: str, mapped: frozenset[str]
) -> tuple[str, ...]:
    """Paths of the tags a figure is computed from; those that are mapped."""
    if node is None:
        wanted = [
            f"{park.id}/{asset.id}/{metric}"
            for kind, metric in _PARK_INPUTS.get(name, ())
            for asset in park.of_type(kind)
        ]
    elif scope == "line":
        metrics = ("active_energy", *_LINE_METRICS) if name == "kwh_per_unit" else _LINE_METRICS
        machines = [each for each in park.below(node.id) if each.type == "machine"]
        wanted = [f"{park.id}/{each.id}/{metric}" for each in machines for metric in metrics]
    else:
        own = _OWN_INPUTS.get((scope, name), ())
        wanted = [f"{park.id}/{node.id}/{metric}" for metric in own]
    return tuple(path for path in wanted if path in mapped)
