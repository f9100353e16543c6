"""Address spaces of the virtual plant: which variable stands where, from the park's bindings.

Every binding of an endpoint becomes one variable with exactly the namespace and identifier the
park file maps, so the twin meets the plant through its mapping alone. Layouts differ in what a
foreign client sees around it:

``machinery``
    objects as OPC 40001-1 arranges them: Machines, then a folder per site, area and line, then the
    machine with Identification, Monitoring and Production; units and enumeration texts are told.
``utility``
    a station's control system: Substation, Transformers, Feeders, Meters, ...; units are told.
``flat``
    an old gateway: folders cut from the identifier, no unit, no description, Float and Int32.
"""

import zlib
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final, Literal

from models.units import DIMENSIONS
from twin.metrics import ITEM_STATES, OPERATION_MODES
from twin.park import AssetNode, Park
from twin.parkfile.schema import PlantServer
from twin.tags import Binding, Kind

MACHINERY: Final = "http://opcfoundation.org/UA/Machinery/"
PLANT: Final = "urn:parktwin:plant"
BESS_MODES: Final = ("Idle", "Charging", "Discharging")

Layout = Literal["machinery", "flat", "utility"]
DataType = Literal["Double", "Float", "UInt32", "Int32", "Boolean", "String"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One variable of a server.

    Parameters
    ----------
    namespace, identifier
        Namespace URI and identifier with its type, e.g. ``s=Moulding.L1.P01.Power``.
    folders
        Browse names of the folders above it, below Objects.
    name
        Browse and display name.
    data_type
        Built-in type.
    unit
        Unit shown as EngineeringUnits; empty for none.
    names
        Texts of the codes of a state; empty for other variables.
    path
        Tag path whose value it shows; empty for nodes the park does not map.
    scale
        The stored value is the source's times this.
    text
        Fixed text of an unmapped node.
    """

    namespace: str
    identifier: str
    folders: tuple[str, ...]
    name: str
    data_type: DataType
    unit: str = ""
    names: tuple[str, ...] = ()
    path: str = ""
    scale: float = 1.0
    text: str = ""


def plan_server(park: Park, server: PlantServer) -> tuple[NodePlan, ...]:
    """All variables of one server: those the park maps, and others a client may refuse.

    Parameters
    ----------
    park
        The compiled park.
    server
        The endpoint it plays and its layout.
    """
    live = tuple(
        _live(park, binding, server.layout)
        for binding in park.bindings
        if binding.endpoint == server.endpoint and binding.identifier
    )
    return (*live, *_unmapped(park, live, server))


def namespaces(server: PlantServer, nodes: tuple[NodePlan, ...]) -> tuple[str, ...]:
    """Namespace URIs in the server's order: those of the file, then those its nodes still need."""
    wanted = (*server.namespaces, *(node.namespace for node in nodes), PLANT)
    needed = (*wanted, MACHINERY) if server.layout == "machinery" else wanted
    return tuple(dict.fromkeys(needed))


def source_unit(unit: str, scale: float) -> str:
    """The unit at the source, when the stored value is the source's times `scale`.

    ``source_unit("kW", 1000.0)`` is ``MW``; empty when no unit of the dimension fits.
    """
    if scale == 1.0 or not unit:
        return unit
    for dimension in DIMENSIONS.values():
        here = dimension.units.get(unit)
        if here is None:
            continue
        wanted = here * Fraction(str(scale))
        return next((name for name, factor in dimension.units.items() if factor == wanted), "")
    return ""


def _live(park: Park, binding: Binding, layout: Layout) -> NodePlan:
    asset_id, metric = binding.path.removeprefix(f"{park.id}/").rsplit("/", 1)
    asset = park.assets[asset_id]
    folders, name = _PLACES[layout](asset, metric, binding)
    told = layout != "flat"
    names = _code_names(asset.type, metric) if told else ()
    return NodePlan(
        namespace=binding.namespace,
        identifier=binding.identifier,
        folders=folders,
        name=name,
        data_type=_data_type(binding, metric, layout),
        unit=source_unit(binding.unit, binding.scale) if told else "",
        names=names,
        path=binding.path,
        scale=binding.scale,
    )


def _code_names(asset_type: str, metric: str) -> tuple[str, ...]:
    if metric == "item_state":
        return ITEM_STATES
    if metric == "operation_mode":
        return OPERATION_MODES if asset_type == "machine" else BESS_MODES
    return ()


def _data_type(binding: Binding, metric: str, layout: Layout) -> DataType:
    if metric == "breaker" and layout != "flat":
        return "Boolean"
    if binding.kind is Kind.STATE:
        return "Int32" if layout == "flat" else "UInt32"
    if not binding.unit and binding.scale == 1.0:
        return "UInt32" if binding.kind is Kind.COUNTER else "Int32"
    if binding.kind is Kind.COUNTER or layout != "flat":
        return "Double"
    return "Float"


def _camel(text: str) -> str:
    return "".join(part.capitalize() for part in text.split("_"))


_STATE_NAMES: Final = {
    "item_state": "MachineryItemState",
    "operation_mode": "MachineryOperationMode",
}
_PRODUCTION: Final = frozenset({"part_count", "scrap_count", "cycle_time"})


def _machinery_place(
    asset: AssetNode, metric: str, binding: Binding
) -> tuple[tuple[str, ...], str]:
    del binding
    above = ("Machines", *asset.id.split("/"))
    if asset.type != "machine":
        return (*above, "Monitoring"), _camel(metric)
    if metric in _STATE_NAMES:
        return (*above, "MachineryBuildingBlocks"), _STATE_NAMES[metric]
    return (*above, "Production" if metric in _PRODUCTION else "Monitoring"), _camel(metric)


_GROUPS: Final = {
    "transformer": "Transformers",
    "feeder": "Feeders",
    "site": "Meters",
    "aggregate": "Meters",
    "pv": "Solar",
    "bess": "Storage",
    "gate": "Gates",
    "yard": "Yards",
    "dock": "Docks",
    "berth": "Berths",
    "wastewater_plant": "Wastewater",
    "boiler": "Steam",
    "weather": "Weather",
}


def _utility_place(asset: AssetNode, metric: str, binding: Binding) -> tuple[tuple[str, ...], str]:
    del binding
    group = _GROUPS.get(asset.type, "Others")
    top = "Substation" if group in ("Transformers", "Feeders") else "Utilities"
    return (top, group, asset.id.split("/")[-1].upper()), _camel(metric)


def _flat_place(asset: AssetNode, metric: str, binding: Binding) -> tuple[tuple[str, ...], str]:
    del asset, metric
    *above, name = binding.identifier.partition("=")[2].split(".")
    return tuple(above) or ("Data",), name


_PLACES: Final = {
    "machinery": _machinery_place,
    "utility": _utility_place,
    "flat": _flat_place,
}


def _unmapped(park: Park, live: tuple[NodePlan, ...], server: PlantServer) -> tuple[NodePlan, ...]:
    """Nameplates, firmware and texts beside the mapped variables."""
    if not live:
        return ()
    first = live[0]
    device = replace(
        first, identifier=f"s=_{server.endpoint}.Firmware", name="SoftwareRevision", path=""
    )
    made = [_text(device, ("DeviceInfo",), f"V{2 + len(live) % 7}.{len(live) % 10}.1")]
    made += [
        _text(replace(device, identifier=f"s=_{server.endpoint}.{name}", name=name), folder, text)
        for folder, name, text in (
            (("DeviceInfo",), "Manufacturer", "Virtual Plant"),
            (("DeviceInfo",), "Model", server.layout),
            (("DeviceInfo",), "LastMessage", "OK"),
        )
    ]
    if server.layout == "machinery":
        made += _identifications(park, live)
    return tuple(made)


def _identifications(park: Park, live: tuple[NodePlan, ...]) -> list[NodePlan]:
    """Identification of each machine: serial number and manufacturer, as OPC 40001-1 has it."""
    made: dict[tuple[str, ...], NodePlan] = {}
    for node in live:
        asset_id = node.path.removeprefix(f"{park.id}/").rsplit("/", 1)[0]
        folders = ("Machines", *asset_id.split("/"), "Identification")
        if park.assets[asset_id].type == "machine" and folders not in made:
            serial = f"SN{zlib.crc32(asset_id.encode()):010d}"
            blank = replace(node, identifier=f"s={asset_id}/SerialNumber", name="SerialNumber")
            made[folders] = _text(blank, folders, serial)
    return list(made.values())


def _text(node: NodePlan, folders: tuple[str, ...], text: str) -> NodePlan:
    return replace(
        node,
        folders=folders,
        data_type="String",
        unit="",
        names=(),
        path="",
        scale=1.0,
        text=text,
    )
