"""Node plans → nodes of an asyncua server, and the quick way to write their values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from typing import Final

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from connectors.eu_codes import NAMESPACE, unit_id
from connectors.held import Held
from connectors.plant.ids import OBJECTS, moment, named, node_id, numbered, status
from connectors.plant.layout import NodePlan
from connectors.plant.wire import Frame
from models.errors import InputError
from twin.samples import from_us

_ANALOG: Final = numbered(ObjectIds.AnalogUnitType)
_DISCRETE: Final = numbered(ObjectIds.MultiStateDiscreteType)
_PLAIN: Final = numbered(ObjectIds.BaseDataVariableType)
_PROPERTY: Final = numbered(ObjectIds.PropertyType)
_FOLDER: Final = numbered(ObjectIds.FolderType)
_ORGANIZES: Final = numbered(ObjectIds.Organizes)
_HAS_COMPONENT: Final = numbered(ObjectIds.HasComponent)
_HAS_PROPERTY: Final = numbered(ObjectIds.HasProperty)
_GOOD: Final = status(StatusCodes.Good)
_WAITING: Final = status(StatusCodes.BadWaitingForInitialData)
_NO_DATA: Final = status(StatusCodes.BadNoData)
_UINT32: Final = 2**32

CASTS: Final[dict[str, Callable[[float], float | int | bool]]] = {
    "Double": float,
    "Float": float,
    "UInt32": lambda value: round(value) % _UINT32,
    "Int32": round,
    "Boolean": bool,
}
"""How a number becomes a value of a built-in type; a 32-bit counter wraps as in a real PLC."""


@dataclass(slots=True)
class _Live:
    """One variable that follows the plant."""

    attribute: AttributeValue
    variant: ua.VariantType
    cast: Callable[[float], float | int | bool]
    number: float = float("nan")
    held: ua.DataValue | None = None


class AddressSpace:
    """The variables of one server; made once, written every second."""

    def __init__(
        self,
        server: Server,
        indexes: dict[str, int],
        folders: dict[tuple[str, ...], ua.NodeId] | None = None,
    ) -> None:
        self._server = server
        self._indexes = indexes
        self._folders: dict[tuple[str, ...], ua.NodeId] = {(): OBJECTS} | (folders or {})
        self._live: list[_Live] = []

    async def build(self, nodes: Sequence[NodePlan]) -> None:
        """Create all nodes, folders before what they hold."""
        for node in nodes:
            parent = await self._folder(node.folders, self._indexes[node.namespace])
            await self._variable(parent, node)

    async def show(self, frame: Frame) -> None:
        """Write a frame's values into the live variables, and tell the subscriptions."""
        at, server_at = moment(from_us(frame.at_us)), moment(from_us(frame.clock_us))
        for live, number in zip(self._live, frame.values.tolist(), strict=True):
            live.number = number
            quality = _NO_DATA if isnan(number) else _GOOD
            value = None if isnan(number) else live.cast(number)
            variant = ua.Variant(value, ua.VariantType.Null if value is None else live.variant)
            await self._put(live, Held(variant, quality, at, server_at))

    async def hold(self, clock_us: int) -> None:
        """Keep values, source times and Good as they are; only the server's own time goes on."""
        server_at = moment(from_us(clock_us))
        for live in self._live:
            was = live.attribute.value
            if was is not None:
                held = Held(was.Value, was.StatusCode, was.SourceTimestamp, server_at)
                await self._put(live, held)

    async def _put(self, live: _Live, value: ua.DataValue) -> None:
        live.attribute.value = value
        for handle, tell in tuple(live.attribute.datachange_callbacks.items()):
            await tell(handle, value)

    async def _folder(self, folders: tuple[str, ...], index: int) -> ua.NodeId:
        if folders in self._folders:
            return self._folders[folders]
        parent = await self._folder(folders[:-1], index)
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = named("folder:" + "/".join(folders), index)
        item.BrowseName = ua.QualifiedName(folders[-1], index)
        item.NodeClass = ua.NodeClass.Object
        item.ParentNodeId = parent
        item.ReferenceTypeId = _ORGANIZES
        item.TypeDefinition = _FOLDER
        item.NodeAttributes = ua.ObjectAttributes(DisplayName=ua.LocalizedText(folders[-1]))
        made = await self._add(item)
        self._folders[folders] = made
        return made

    async def _variable(self, parent: ua.NodeId, node: NodePlan) -> None:
        index = self._indexes[node.namespace]
        own = node_id(index, node.identifier)
        variant = ua.VariantType[node.data_type]
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = own
        item.BrowseName = ua.QualifiedName(node.name, index)
        item.NodeClass = ua.NodeClass.Variable
        item.ParentNodeId = parent
        item.ReferenceTypeId = _HAS_COMPONENT
        item.TypeDefinition = _DISCRETE if node.names else _ANALOG if node.unit else _PLAIN
        start = ua.Variant(node.text, variant) if not node.path else ua.Variant(None)
        item.NodeAttributes = _variable_attributes(node.name, start, numbered(variant.value))
        await self._add(item)
        attribute = self._server.iserver.aspace[own].attributes[AttributeIds.Value]
        if node.path:
            attribute.value = Held(ua.Variant(None), _WAITING)
            self._live.append(_Live(attribute, variant, CASTS[node.data_type]))
        if node.unit:
            await self._property(own, "EngineeringUnits", _units(node.unit), "EUInformation")
        if node.names:
            texts = ua.Variant([ua.LocalizedText(name) for name in node.names])
            await self._property(own, "EnumStrings", texts, "LocalizedText")

    async def _property(self, owner: ua.NodeId, name: str, value: ua.Variant, kind: str) -> None:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = named(f"{owner.Identifier!s}.{name}", owner.NamespaceIndex)
        item.BrowseName = ua.QualifiedName(name, 0)
        item.NodeClass = ua.NodeClass.Variable
        item.ParentNodeId = owner
        item.ReferenceTypeId = _HAS_PROPERTY
        item.TypeDefinition = _PROPERTY
        data_type = numbered(getattr(ObjectIds, kind))
        item.NodeAttributes = _variable_attributes(name, value, data_type)
        if isinstance(value.Value, list):
            item.NodeAttributes.ValueRank = 1
        await self._add(item)

    async def _add(self, item: ua.AddNodesItem) -> ua.NodeId:
        result = (await self._server.iserver.isession.add_nodes([item]))[0]
        if not result.StatusCode.is_good():
            raise InputError(
                f"node {item.RequestedNewNodeId.to_string()}: {result.StatusCode.name}",
                "give each node of an endpoint its own identifier",
            )
        made: ua.NodeId = result.AddedNodeId
        return made


def _variable_attributes(
    name: str, value: ua.Variant, data_type: ua.NodeId
) -> ua.VariableAttributes:
    made = ua.VariableAttributes(
        DisplayName=ua.LocalizedText(name), Value=value, DataType=data_type
    )
    made.AccessLevel = made.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
    made.MinimumSamplingInterval = 100.0
    return made


def _units(unit: str) -> ua.Variant:
    shown = unit.replace("degC", "°C").replace("m3", "m³").replace("m2", "m²")
    made = ua.EUInformation(
        NamespaceUri=NAMESPACE,
        UnitId=unit_id(unit),
        DisplayName=ua.LocalizedText(shown),
        Description=ua.LocalizedText(unit),
    )
    return ua.Variant(made, ua.VariantType.ExtensionObject)


def clock_value(value: datetime | float, at: datetime) -> ua.DataValue:
    """A value of the plant's clock."""
    kind = ua.VariantType.DateTime if isinstance(value, datetime) else ua.VariantType.Double
    return Held(ua.Variant(value, kind), _GOOD, moment(at), moment(at))
