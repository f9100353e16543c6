"""A planned address space as nodes of an asyncua server, and the quick way to write its values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.server.address_space import AttributeValue
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from connectors.eu_codes import NAMESPACE
from connectors.held import Held
from connectors.plant.ids import OBJECTS, moment, named, numbered, status
from connectors.twin_server.plan import FEED, FORECAST, PARK, FigurePlan, ObjectPlan, SpacePlan
from connectors.twin_server.quality import is_bad
from connectors.twin_server.units import eu_id, eu_name
from models.errors import Conflict
from twin.label import NO_LABEL, Label
from twin.samples import from_us

LOCALES: Final = ("en", "vi")
_PROPERTY: Final = numbered(ObjectIds.PropertyType)
_FOLDER: Final = numbered(ObjectIds.FolderType)
_OBJECT: Final = numbered(ObjectIds.BaseObjectType)
_PLAIN: Final = numbered(ObjectIds.BaseDataVariableType)
_WITH_UNIT: Final = numbered(ObjectIds.AnalogUnitType)
_WITH_RANGE: Final = numbered(ObjectIds.AnalogUnitRangeType)
ORGANIZES: Final = numbered(ObjectIds.Organizes)
HAS_COMPONENT: Final = numbered(ObjectIds.HasComponent)
HAS_PROPERTY: Final = numbered(ObjectIds.HasProperty)
_DOUBLE: Final = numbered(ObjectIds.Double)
_TEXT: Final = numbered(ObjectIds.String)
_SAMPLING_MS: Final = 1000.0


@dataclass(slots=True)
class Cell:
    """One variable that follows the twin, with what it shows."""

    attribute: AttributeValue
    make: Callable[[float], ua.Variant]
    value: float | None = None
    status: int = int(StatusCodes.BadWaitingForInitialData)
    at: datetime | None = None

    async def show(self, value: float | None, status_code: int, at: datetime) -> bool:
        """Show a value if it or its status is another one; whether it was."""
        if is_bad(status_code):
            value = None
        if value == self.value and status_code == self.status:
            return False
        self.value, self.status, self.at = value, status_code, at
        variant = ua.Variant(None) if value is None else self.make(value)
        held = Held(variant, status(status_code), moment(at), moment(datetime.now(UTC)))
        self.attribute.value = held
        for handle, tell in tuple(self.attribute.datachange_callbacks.items()):
            await tell(handle, held)
        return True


def double(value: float) -> ua.Variant:
    """A Double."""
    return ua.Variant(value, ua.VariantType.Double)


def text(value: str, locale: str = "en") -> ua.LocalizedText:
    """A text with its locale."""
    return ua.LocalizedText(Text=ua.String(value), Locale=ua.String(locale))


class Space:
    """The nodes of one server: made once, written every second.

    Parameters
    ----------
    server
        An asyncua server that was initialised.
    index
        Index of the park's namespace.
    """

    def __init__(self, server: Server, index: int) -> None:
        self.server, self.index = server, index
        self.figures: dict[str, Cell] = {}
        self.forecasts: dict[str, Cell] = {}
        self.names: dict[ua.NodeId, Label] = {}
        self.descriptions: dict[ua.NodeId, Label] = {}
        self.clock: Cell
        self.speed: Cell

    async def build(self, plan: SpacePlan) -> None:
        """Create all nodes, parents before children."""
        for planned in plan.objects:
            await self._object(planned)
        for figure in plan.figures:
            self.figures[figure.key] = await self._figure(figure)
        await self.folder(FORECAST, PARK, Label(vi="Dự báo", en="Forecast"))
        for figure in plan.forecasts:
            self.forecasts[figure.key] = await self._figure(figure)
        await self._feed()

    def node(self, identifier: str) -> ua.NodeId:
        """Node id in the park's namespace."""
        return named(identifier, self.index)

    async def show_figures(
        self, at_us: int, values: Mapping[str, float | None], statuses: Mapping[str, int]
    ) -> int:
        """Write the figures that changed; how many they were."""
        at, changed = from_us(at_us), 0
        for key, cell in self.figures.items():
            changed += await cell.show(values.get(key), statuses[key], at)
        return changed

    async def mark_all(self, status_of: Callable[[Cell], int]) -> None:
        """Give every variable another status; what it showed stays unless the status is bad."""
        at = datetime.now(UTC)
        cells = (*self.figures.values(), *self.forecasts.values(), self.clock, self.speed)
        for cell in cells:
            await cell.show(cell.value, status_of(cell), cell.at or at)

    async def folder(self, identifier: str, parent: str, label: Label) -> ua.NodeId:
        """Make a folder below an object."""
        item = self.item(identifier, parent, identifier.rpartition("/")[2], HAS_COMPONENT)
        item.NodeClass, item.TypeDefinition = ua.NodeClass.Object, _FOLDER
        item.NodeAttributes = ua.ObjectAttributes(DisplayName=text(label.en))
        return await self.add(item, label)

    async def _object(self, planned: ObjectPlan) -> None:
        reference = HAS_COMPONENT if planned.parent else ORGANIZES
        item = self.item(planned.id, planned.parent, planned.name, reference)
        item.NodeClass, item.TypeDefinition = ua.NodeClass.Object, _OBJECT
        attributes = ua.ObjectAttributes(DisplayName=text(planned.label.en))
        if planned.id == PARK:
            attributes.EventNotifier = ua.Byte(1)
        item.NodeAttributes = attributes
        made = await self.add(item, planned.label)
        await self.property(made, "AssetType", ua.Variant(planned.kind, ua.VariantType.String))
        if planned.level:
            level = ua.Variant(planned.level, ua.VariantType.String)
            await self.property(made, "EquipmentLevel", level)

    async def _figure(self, figure: FigurePlan) -> Cell:
        low, high = figure.low, figure.high
        ranged = low is not None and high is not None
        kind = _PLAIN if not figure.unit else _WITH_RANGE if ranged else _WITH_UNIT
        item = self.item(figure.id, figure.parent, figure.name, HAS_COMPONENT)
        cell = await self.variable(item, kind, _DOUBLE, double, figure.label, figure.description)
        own = item.RequestedNewNodeId
        if figure.unit:
            await self.property(own, "EngineeringUnits", _units(figure.unit), "EUInformation")
        if low is not None and high is not None:
            span = ua.Range(Low=ua.Double(low), High=ua.Double(high))
            await self.property(
                own, "EURange", ua.Variant(span, ua.VariantType.ExtensionObject), "Range"
            )
        return cell

    async def _feed(self) -> None:
        """When the values are of: park time, its speed, whether the twin is heard."""
        await self.folder(FEED, PARK, Label(vi="Nguồn dữ liệu", en="Feed"))
        item = self.item(f"{FEED}/park_time", FEED, "park_time", HAS_COMPONENT)
        self.clock = await self.variable(
            item,
            _PLAIN,
            numbered(ObjectIds.DateTime),
            lambda us: ua.Variant(from_us(int(us)), ua.VariantType.DateTime),
            Label(vi="Giờ của khu công nghiệp", en="Park time"),
        )
        item = self.item(f"{FEED}/speed", FEED, "speed", HAS_COMPONENT)
        label = Label(vi="Tốc độ thời gian", en="Park seconds per second")
        self.speed = await self.variable(item, _PLAIN, _DOUBLE, double, label)

    def item(
        self, identifier: str, parent: str, name: str, reference: ua.NodeId
    ) -> ua.AddNodesItem:
        """A node still without class, type and attributes."""
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = self.node(identifier)
        item.BrowseName = ua.QualifiedName(ua.String(name), ua.UInt16(self.index))
        item.ParentNodeId = self.node(parent) if parent else OBJECTS
        item.ReferenceTypeId = reference
        return item

    async def variable(
        self,
        item: ua.AddNodesItem,
        kind: ua.NodeId,
        data_type: ua.NodeId,
        make: Callable[[float], ua.Variant],
        label: Label,
        description: Label = NO_LABEL,
    ) -> Cell:
        """Make a variable that follows the twin; nobody but the twin can write it."""
        item.NodeClass, item.TypeDefinition = ua.NodeClass.Variable, kind
        attributes = _read_only(text(label.en), ua.Variant(None), data_type)
        attributes.Description = text(description.en)
        attributes.MinimumSamplingInterval = ua.Double(_SAMPLING_MS)
        item.NodeAttributes = attributes
        made = await self.add(item, label, description)
        attribute = self.server.iserver.aspace[made].attributes[AttributeIds.Value]
        cell = Cell(attribute, make)
        attribute.value = Held(ua.Variant(None), status(cell.status))
        return cell

    async def property(
        self,
        owner: ua.NodeId,
        name: str,
        value: ua.Variant,
        kind: str = "String",
        namespace: int = 0,
        status_code: int = 0,
    ) -> None:
        """Give a node a property that never changes."""
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = self.node(f"{owner.Identifier!s}.{name}")
        item.BrowseName = ua.QualifiedName(ua.String(name), ua.UInt16(namespace))
        item.NodeClass = ua.NodeClass.Variable
        item.ParentNodeId, item.ReferenceTypeId = owner, HAS_PROPERTY
        item.TypeDefinition = _PROPERTY
        data_type = numbered(getattr(ObjectIds, kind))
        item.NodeAttributes = _read_only(text(name, ""), value, data_type)
        made = await self.add(item)
        if status_code:
            attribute = self.server.iserver.aspace[made].attributes[AttributeIds.Value]
            attribute.value = Held(ua.Variant(None), status(status_code))

    async def add(
        self, item: ua.AddNodesItem, label: Label = NO_LABEL, description: Label = NO_LABEL
    ) -> ua.NodeId:
        """Add a node.

        Raises
        ------
        Conflict
            When the server does not take it.
        """
        result = (await self.server.iserver.isession.add_nodes([item]))[0]
        if not result.StatusCode.is_good():
            raise Conflict(
                f"node {item.RequestedNewNodeId.to_string()}: {result.StatusCode.name}",
                "rename the asset: its path clashes with another node's",
                "park",
            )
        made: ua.NodeId = result.AddedNodeId
        if label.vi != label.en:
            self.names[made] = label
        if description.vi != description.en:
            self.descriptions[made] = description
        return made

    async def refer(self, source: ua.NodeId, reference: int, target: ua.NodeId) -> None:
        """Add a reference between two nodes of ours, readable from both ends."""
        for start, end, forward in ((source, target, True), (target, source, False)):
            item = ua.AddReferencesItem()
            item.SourceNodeId, item.TargetNodeId = start, end
            item.ReferenceTypeId, item.IsForward = numbered(reference), forward
            item.TargetNodeClass = ua.NodeClass.Object
            for result in await self.server.iserver.isession.add_references([item]):
                result.check()


def _read_only(
    name: ua.LocalizedText, value: ua.Variant, data_type: ua.NodeId
) -> ua.VariableAttributes:
    made = ua.VariableAttributes(DisplayName=name, Value=value, DataType=data_type)
    made.AccessLevel = made.UserAccessLevel = ua.Byte(ua.AccessLevel.CurrentRead.mask)
    return made


def _units(unit: str) -> ua.Variant:
    made = ua.EUInformation(
        NamespaceUri=ua.String(NAMESPACE),
        UnitId=ua.Int32(eu_id(unit)),
        DisplayName=text(unit, ""),
        Description=text(eu_name(unit)),
    )
    return ua.Variant(made, ua.VariantType.ExtensionObject)
