"""Machines as OPC 40001-1 (Machinery) has them, so that clients made for it find them.

Below ``Machines`` every machine has its identification, its item state and its operation mode. The
companion specification's types are there by name and number, without their full declarations: a
client that knows them recognises the instances, and one that does not reads plain variables.
"""

from collections.abc import Callable, Mapping
from typing import Final

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from connectors.plant.ids import OBJECTS, numbered
from connectors.twin_server.feed import Reading
from connectors.twin_server.plan import SpacePlan, namespace_of
from connectors.twin_server.quality import Link, status_of
from connectors.twin_server.space import HAS_COMPONENT, HAS_PROPERTY, ORGANIZES, Cell, Space, text
from twin.label import Label
from twin.metrics import ITEM_STATES, OPERATION_MODES
from twin.park import AssetNode
from twin.samples import from_us

MACHINERY: Final = "http://opcfoundation.org/UA/Machinery/"
DI: Final = "http://opcfoundation.org/UA/DI/"
MACHINES: Final = 1001
_IDENTIFICATION, _STATE, _MODE = 1012, 1002, 1008
_TYPES: Final[Mapping[int, tuple[str, int]]] = {
    _IDENTIFICATION: ("MachineIdentificationType", ObjectIds.FolderType),
    _STATE: ("MachineryItemState_StateMachineType", ObjectIds.FiniteStateMachineType),
    _MODE: ("MachineryOperationModeStateMachineType", ObjectIds.FiniteStateMachineType),
}
"""Number of an object type in the namespace of OPC 40001-1 → its name and supertype."""
_STATE_IDS: Final = (5005, 5004, 5007, 5006)
_MODE_IDS: Final = (5024, 5025, 5027, 5026)
"""Numbers of the states in the order of our codes, which are also their StateNumbers."""
_FINITE: Final = numbered(ObjectIds.FiniteStateVariableType)
_LOCALIZED: Final = numbered(ObjectIds.LocalizedText)
_BLOCKS: Final = "MachineryBuildingBlocks"


class Machinery:
    """The machines of a park below ``Machines``.

    Parameters
    ----------
    space
        The park's nodes, built already.
    machinery, di
        Indexes of both namespaces.
    """

    def __init__(self, space: Space, machinery: int, di: int) -> None:
        self._space, self._index, self._di = space, machinery, di
        self._states: dict[str, tuple[Cell, Cell, Cell]] = {}
        self._modes: dict[str, tuple[Cell, Cell, Cell]] = {}

    async def build(self, plan: SpacePlan) -> None:
        """Make the types in use, the Machines folder and every machine's blocks."""
        for number, (name, supertype) in _TYPES.items():
            await self._type(number, name, supertype)
        folder = await self._machines()
        for machine in plan.machines:
            node = self._space.node(machine.id)
            await self._space.refer(folder, ObjectIds.Organizes, node)
            await self._identification(plan.park, machine)
            await self._blocks(machine)

    async def show_state(self, machine: str, code: float | None, status: int, at_us: int) -> None:
        """Show the item state of a machine."""
        await _show(self._states.get(machine), code, status, at_us)

    async def show_modes(self, modes: Mapping[str, Reading]) -> None:
        """Show the operation mode of every machine that has one."""
        for machine, cells in self._modes.items():
            found = modes.get(machine)
            if found is not None:
                code = status_of(found.value, found.quality, 1.0)
                await _show(cells, found.value, code, found.at_us)
            else:
                at = next(iter(modes.values())).at_us if modes else 0
                await _show(cells, None, status_of(None, 0, 1.0), at)

    async def lose(self, link: Link, at_us: int) -> None:
        """Say that the twin is not heard any more."""
        for cells in (*self._states.values(), *self._modes.values()):
            value = cells[1].value
            if cells[1].status != StatusCodes.BadWaitingForInitialData or link is Link.AWAY:
                await _show(cells, value, status_of(value, 1, 1.0, link), at_us)

    async def _type(self, number: int, name: str, supertype: int) -> None:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = numbered(number, self._index)
        item.BrowseName = ua.QualifiedName(ua.String(name), ua.UInt16(self._index))
        item.NodeClass = ua.NodeClass.ObjectType
        item.ParentNodeId = numbered(supertype)
        item.ReferenceTypeId = numbered(ObjectIds.HasSubtype)
        item.NodeAttributes = ua.ObjectTypeAttributes(DisplayName=text(name, ""))
        await self._space.add(item)

    async def _machines(self) -> ua.NodeId:
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = numbered(MACHINES, self._index)
        item.BrowseName = ua.QualifiedName(ua.String("Machines"), ua.UInt16(self._index))
        item.NodeClass = ua.NodeClass.Object
        item.ParentNodeId, item.ReferenceTypeId = OBJECTS, ORGANIZES
        item.TypeDefinition = numbered(ObjectIds.FolderType)
        item.NodeAttributes = ua.ObjectAttributes(DisplayName=text("Machines"))
        return await self._space.add(item, Label(vi="Máy", en="Machines"))

    async def _identification(self, park: str, machine: AssetNode) -> None:
        own = await self._object(
            f"{machine.id}/Identification",
            machine.id,
            "Identification",
            _IDENTIFICATION,
            self._di,
            ObjectIds.HasAddIn,
        )
        kind = str(machine.attributes.get("type", ""))
        strings = {
            "ProductInstanceUri": f"{namespace_of(park)}:{machine.id}",
            "DeviceClass": kind,
            "Location": machine.id.rpartition("/")[0],
        }
        for name, value in strings.items():
            variant = ua.Variant(value, ua.VariantType.String)
            await self._space.property(own, name, variant, namespace=self._di)
        named = ua.Variant(text(machine.label.en), ua.VariantType.LocalizedText)
        await self._space.property(own, "ComponentName", named, "LocalizedText", self._di)
        # Mandatory ones that no park file says: there, and bad, instead of invented.
        nothing, unknown = ua.Variant(None), int(StatusCodes.BadNoData)
        await self._space.property(own, "SerialNumber", nothing, "String", self._di, unknown)
        await self._space.property(own, "Manufacturer", nothing, "LocalizedText", self._di, unknown)

    async def _blocks(self, machine: AssetNode) -> None:
        blocks = f"{machine.id}/{_BLOCKS}"
        item = self._space.item(blocks, machine.id, _BLOCKS, HAS_COMPONENT)
        item.BrowseName = ua.QualifiedName(ua.String(_BLOCKS), ua.UInt16(self._index))
        item.NodeClass = ua.NodeClass.Object
        item.TypeDefinition = numbered(ObjectIds.FolderType)
        item.NodeAttributes = ua.ObjectAttributes(DisplayName=text(_BLOCKS))
        await self._space.add(item)
        identification = self._space.node(f"{machine.id}/Identification")
        await self._space.refer(self._space.node(blocks), ObjectIds.HasAddIn, identification)
        self._states[machine.id] = await self._machine_of_states(
            blocks, "MachineryItemState", _STATE, ITEM_STATES, _STATE_IDS
        )
        self._modes[machine.id] = await self._machine_of_states(
            blocks, "MachineryOperationMode", _MODE, OPERATION_MODES, _MODE_IDS
        )

    async def _machine_of_states(
        self, parent: str, name: str, kind: int, names: tuple[str, ...], ids: tuple[int, ...]
    ) -> tuple[Cell, Cell, Cell]:
        """A state machine's CurrentState with its Id and Number."""
        own = f"{parent}/{name}"
        await self._object(own, parent, name, kind, self._index, ObjectIds.HasAddIn)
        current = f"{own}/CurrentState"
        item = self._standard(current, own, "CurrentState", HAS_COMPONENT)
        label = Label(vi="Trạng thái", en="CurrentState")
        shown = await self._space.variable(
            item,
            _FINITE,
            _LOCALIZED,
            lambda code: ua.Variant(text(names[int(code)]), ua.VariantType.LocalizedText),
            label,
        )
        number = await self._property(
            current,
            "Number",
            numbered(ObjectIds.UInt32),
            lambda code: ua.Variant(int(code), ua.VariantType.UInt32),
        )
        identifier = await self._property(
            current,
            "Id",
            numbered(ObjectIds.NodeId),
            lambda code: ua.Variant(numbered(ids[int(code)], self._index), ua.VariantType.NodeId),
        )
        return shown, number, identifier

    async def _property(
        self, owner: str, name: str, data_type: ua.NodeId, make: Callable[[float], ua.Variant]
    ) -> Cell:
        item = self._standard(f"{owner}/{name}", owner, name, HAS_PROPERTY)
        kind = numbered(ObjectIds.PropertyType)
        return await self._space.variable(item, kind, data_type, make, Label(vi=name, en=name))

    def _standard(
        self, identifier: str, parent: str, name: str, reference: ua.NodeId
    ) -> ua.AddNodesItem:
        """A node of ours whose browse name is OPC UA's own."""
        item = self._space.item(identifier, parent, name, reference)
        item.BrowseName = ua.QualifiedName(ua.String(name), ua.UInt16(0))
        return item

    async def _object(
        self, identifier: str, parent: str, name: str, kind: int, namespace: int, reference: int
    ) -> ua.NodeId:
        item = self._space.item(identifier, parent, name, numbered(reference))
        item.BrowseName = ua.QualifiedName(ua.String(name), ua.UInt16(namespace))
        item.NodeClass = ua.NodeClass.Object
        item.TypeDefinition = numbered(kind, self._index)
        item.NodeAttributes = ua.ObjectAttributes(DisplayName=text(name))
        return await self._space.add(item)


async def machinery_of(server: Server, space: Space, plan: SpacePlan) -> Machinery:
    """Build the machines of a park; both namespaces are registered when they are missing."""
    di = await server.register_namespace(DI)
    made = Machinery(space, await server.register_namespace(MACHINERY), di)
    await made.build(plan)
    return made


async def _show(
    cells: tuple[Cell, Cell, Cell] | None, code: float | None, status: int, at_us: int
) -> None:
    if cells is None:
        return
    known = code is not None and 0 <= code < len(ITEM_STATES)
    if code is not None and not known:
        status = int(StatusCodes.BadOutOfRange)
    for cell in cells:
        await cell.show(code if known else None, status, from_us(at_us))
