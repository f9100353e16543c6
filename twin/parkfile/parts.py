"""The parts of a park file that become assets: one flat list, parents before children."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from twin.label import Label
from twin.parkfile.schema import AggregateSites, ChainItem, Line, ParkFile, Site, Strict, Text
from twin.parkfile.strict_yaml import Path

WEATHER: Final = "weather"
"""Id of the one weather station every park has."""

TYPE_LABELS: Final[dict[str, Label]] = {
    "site": Label(vi="Doanh nghiệp", en="Site"),
    "aggregate": Label(vi="Nhóm doanh nghiệp", en="Group of sites"),
    "area": Label(vi="Khu vực", en="Area"),
    "line": Label(vi="Chuyền", en="Line"),
    "machine": Label(vi="Máy", en="Machine"),
    "buffer": Label(vi="Bộ đệm", en="Buffer"),
    "grid": Label(vi="Điểm đấu nối lưới", en="Grid connection"),
    "substation": Label(vi="Trạm biến áp", en="Substation"),
    "transformer": Label(vi="Máy biến áp", en="Transformer"),
    "feeder": Label(vi="Xuất tuyến", en="Feeder"),
    "pv": Label(vi="Điện mặt trời", en="Solar roof"),
    "bess": Label(vi="Pin lưu trữ", en="Battery"),
    "boiler": Label(vi="Lò hơi", en="Boiler"),
    "wastewater_plant": Label(vi="Trạm xử lý nước thải", en="Wastewater plant"),
    "gate": Label(vi="Cổng", en="Gate"),
    "yard": Label(vi="Bãi xe", en="Yard"),
    "dock": Label(vi="Cửa xuất nhập hàng", en="Docks"),
    "berth": Label(vi="Cầu bến", en="Berth"),
    "siding": Label(vi="Đường sắt chuyên dùng", en="Siding"),
    "weather": Label(vi="Trạm thời tiết", en="Weather station"),
    "endpoint": Label(vi="Điểm kết nối", en="Endpoint"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One element of the file that becomes an asset.

    Parameters
    ----------
    id, type, label, parent, owner
        As in `twin.park.AssetNode`.
    element
        The element of the schema; None for the weather station.
    path
        Where it stands in the document.
    """

    id: str
    type: str
    label: Label
    parent: str | None
    owner: str
    element: Strict | None
    path: Path


def parts_of(spec: ParkFile) -> tuple[Part, ...]:
    """All parts in the file's order; ids may repeat when the file is wrong."""
    operator = next((o.id for o in spec.organisations if o.role == "operator"), "")
    return (
        *_sites(spec, operator),
        *_electricity(spec, operator),
        *_other_utilities(spec, operator),
        *_logistics(spec, operator),
        _part("weather", WEATHER, None, None, operator, None, ()),
        *(
            _part("endpoint", e.id, e.label, None, operator, e, ("endpoints", n))
            for n, e in enumerate(spec.endpoints)
        ),
    )


def _part(
    kind: str,
    id_: str,
    label: Text | None,
    parent: str | None,
    owner: str,
    element: Strict | None,
    path: Path,
) -> Part:
    if label is not None:
        named = Label(vi=label.vi, en=label.en)
    elif kind == "weather":
        named = TYPE_LABELS[kind]
    else:
        named = _with_id(TYPE_LABELS[kind], id_)
    return Part(
        id=id_, type=kind, label=named, parent=parent, owner=owner, element=element, path=path
    )


def _with_id(label: Label, id_: str) -> Label:
    """A label with the asset's id, which often starts with its type: Feeder 01, not FEEDER01."""
    last = id_.rsplit("/", 1)[-1].upper()
    short = last.removeprefix(label.en.upper()).strip("_-") or last
    return Label(vi=f"{label.vi} {short}", en=f"{label.en} {short}")


def _docks_of(site: Site) -> Text:
    docks = TYPE_LABELS["dock"]
    return Text(vi=f"{docks.vi} {site.label.vi}", en=f"{docks.en} {site.label.en}")


def _sites(spec: ParkFile, operator: str) -> Iterator[Part]:
    for number, site in enumerate(spec.sites):
        path: Path = ("sites", number)
        if isinstance(site, AggregateSites):
            yield _part("aggregate", site.id, site.label, None, operator, site, path)
            continue
        yield _part("site", site.id, site.label, None, site.owner, site, path)
        yield from _areas(spec, site, path)


def _areas(spec: ParkFile, site: Site, path: Path) -> Iterator[Part]:
    for number, area in enumerate(site.areas):
        at: Path = (*path, "areas", number)
        id_ = f"{site.id}/{area.id}"
        yield _part("area", id_, area.label, site.id, site.owner, area, at)
        for row, line in enumerate(area.lines):
            here: Path = (*at, "lines", row)
            line_id = f"{id_}/{line.id}"
            yield _part("line", line_id, line.label, id_, site.owner, line, here)
            yield from _chain(spec, line, line_id, site.owner, here)


def _chain(spec: ParkFile, line: Line, line_id: str, owner: str, path: Path) -> Iterator[Part]:
    for number, item in enumerate(line.chain):
        name = item.machine or item.buffer
        if name is None:
            continue
        kind = "machine" if item.machine else "buffer"
        part = _part(
            kind, f"{line_id}/{name}", item.label, line_id, owner, item, (*path, "chain", number)
        )
        yield _named_by_type(spec, item, part)


def _named_by_type(spec: ParkFile, item: ChainItem, part: Part) -> Part:
    """A machine without a label is called by its equipment class and id."""
    if item.label is not None or not item.machine or item.type not in spec.types:
        return part
    label = spec.types[item.type].label
    return Part(
        id=part.id,
        type=part.type,
        label=_with_id(Label(vi=label.vi, en=label.en), part.id),
        parent=part.parent,
        owner=part.owner,
        element=item,
        path=part.path,
    )


def _electricity(spec: ParkFile, operator: str) -> Iterator[Part]:
    power = spec.utilities.electricity
    top: Path = ("utilities", "electricity")
    owners = {site.id: site.owner for site in spec.sites if isinstance(site, Site)}
    connection = power.connection
    yield _part("grid", connection.id, None, None, operator, connection, (*top, "connection"))
    for number, station in enumerate(power.substations):
        at: Path = (*top, "substations", number)
        yield _part("substation", station.id, station.label, None, operator, station, at)
        for row, unit in enumerate(station.transformers):
            id_, here = f"{station.id}/{unit.id}", (*at, "transformers", row)
            yield _part("transformer", id_, None, station.id, operator, unit, here)
        for row, feeder in enumerate(station.feeders):
            yield _part("feeder", feeder.id, None, None, operator, feeder, (*at, "feeders", row))
    for number, pv in enumerate(power.pv):
        owner = owners.get(pv.site or "", operator)
        yield _part("pv", pv.id, pv.label, None, owner, pv, (*top, "pv", number))
    for number, bess in enumerate(power.bess):
        yield _part("bess", bess.id, bess.label, None, operator, bess, (*top, "bess", number))


def _other_utilities(spec: ParkFile, operator: str) -> Iterator[Part]:
    owners = {site.id: site.owner for site in spec.sites if isinstance(site, Site)}
    for number, boiler in enumerate(spec.utilities.boilers):
        owner = owners.get(boiler.site or "", operator)
        path: Path = ("utilities", "boilers", number)
        yield _part("boiler", boiler.id, boiler.label, None, owner, boiler, path)
    for number, plant in enumerate(spec.utilities.wastewater):
        path = ("utilities", "wastewater", number)
        yield _part("wastewater_plant", plant.id, plant.label, None, operator, plant, path)


def _logistics(spec: ParkFile, operator: str) -> Iterator[Part]:
    sites = {site.id: site for site in spec.sites if isinstance(site, Site)}
    owners = {site.id: site.owner for site in sites.values()}
    flows = spec.logistics
    for number, gate in enumerate(flows.gates):
        path: Path = ("logistics", "gates", number)
        yield _part("gate", gate.id, gate.label, None, operator, gate, path)
    for number, yard in enumerate(flows.yards):
        path = ("logistics", "yards", number)
        yield _part("yard", yard.id, yard.label, None, operator, yard, path)
    for number, dock in enumerate(flows.docks):
        path = ("logistics", "docks", number)
        label = _docks_of(sites[dock.site]) if dock.site in sites else None
        yield _part("dock", dock.id, label, None, owners.get(dock.site, operator), dock, path)
    for number, berth in enumerate(flows.berths):
        path = ("logistics", "berths", number)
        yield _part("berth", berth.id, berth.label, None, operator, berth, path)
    for number, siding in enumerate(flows.sidings):
        path = ("logistics", "sidings", number)
        yield _part("siding", siding.id, siding.label, None, operator, siding, path)
