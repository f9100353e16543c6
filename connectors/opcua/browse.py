"""Looking at a server's address space: children of a node, in chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua.config import EndpointConfig
from connectors.opcua.monitor import chunks
from connectors.opcua.nodes import resolve, split_node, written
from connectors.opcua.report import BrowsedNode
from connectors.opcua.security import Pki
from connectors.opcua.session import Limits, close, open_session, read_identity, read_limits
from models.errors import InputError

_TEXT_LIMIT: Final = 80
_PER_BROWSE: Final = 1000
_MOST_CHILDREN: Final = 100_000
_UNIT_PROPERTY: Final = "EngineeringUnits"
_HAS_PROPERTY: Final = ua.NodeId(ua.Int32(ObjectIds.HasProperty), ua.Int16(0))


async def browse_children(
    config: EndpointConfig, node: str = "", *, pki: Pki | None = None, timeout_s: float = 5.0
) -> tuple[BrowsedNode, ...]:
    """Children of a node over a session of its own; the Objects folder when `node` is empty.

    Raises
    ------
    TwinError
        When the server cannot be reached, or the node is not there.
    """
    client = await open_session(config, pki, timeout_s)
    try:
        browser = await Browser.of(client)
        return await browser.children(node)
    finally:
        await close(client)


@dataclass(slots=True)
class _Seen:
    """A node as its parent's references tell it."""

    id: ua.NodeId
    name: str
    node_class: ua.NodeClass
    path: str


@dataclass(slots=True)
class _Below:
    """Children of a node; ``fault`` says why they are not all, or none."""

    nodes: list[_Seen]
    fault: str = ""


class Browser:
    """Browses over an open session.

    Parameters
    ----------
    client
        Connected client.
    namespaces
        NamespaceArray of this session.
    limits
        Nodes per call.
    """

    def __init__(self, client: Client, namespaces: Sequence[str], limits: Limits) -> None:
        self._client, self._namespaces, self._limits = client, namespaces, limits

    @classmethod
    async def of(cls, client: Client) -> "Browser":
        """A browser that knows this session's namespaces and limits."""
        identity = await read_identity(client)
        return cls(client, identity.namespaces, await read_limits(client))

    async def children(self, node: str = "") -> tuple[BrowsedNode, ...]:
        """Children of a node, with value, data type, unit and status of the variables.

        Raises
        ------
        InputError
            When the node id cannot be read, or the server does not browse it.
        """
        root = self._root(node)
        (below,) = await self._references([_Seen(root, "", ua.NodeClass.Object, "")])
        if below.fault:
            raise InputError(
                f"{node or 'the Objects folder'} cannot be browsed ({below.fault})",
                "browse from its parent again, the server may have changed",
                "node",
            )
        return await self._described(below.nodes)

    def _root(self, node: str) -> ua.NodeId:
        if not node:
            return ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder), ua.Int16(0))
        return resolve(*split_node(node), self._namespaces)

    async def _references(self, parents: Sequence[_Seen]) -> list[_Below]:
        """Hierarchical children of each node, without its properties."""
        wanted = ua.BrowseParameters()
        wanted.RequestedMaxReferencesPerNode = ua.Counter(_PER_BROWSE)
        wanted.NodesToBrowse = [_forward(parent.id) for parent in parents]
        results = await self._client.uaclient.browse(wanted)
        found: list[_Below] = []
        for parent, first in zip(parents, results, strict=True):
            result, references = first, list(first.References or ())
            while result.ContinuationPoint and result.References and _fits(references):
                more = ua.BrowseNextParameters()
                more.ReleaseContinuationPoints = False  # asyncua's own default gives the rest up
                more.ContinuationPoints = [result.ContinuationPoint]
                (result,) = await self._client.uaclient.browse_next(more)
                references.extend(result.References or ())
            seen = [
                _seen(reference, parent.path)
                for reference in references
                if reference.ReferenceTypeId != _HAS_PROPERTY
            ]
            found.append(_Below(seen, _fault(result)))
        return found

    async def _described(self, found: Sequence[_Seen]) -> tuple[BrowsedNode, ...]:
        variables = [seen for seen in found if seen.node_class == ua.NodeClass.Variable]
        values = await self._read(variables, AttributeIds.Value)
        types = await self._read(variables, AttributeIds.DataType)
        units = await self._units(variables)
        facts = {
            id(seen): (value, kind, unit)
            for seen, value, kind, unit in zip(variables, values, types, units, strict=True)
        }
        return tuple(self._node(seen, facts.get(id(seen))) for seen in found)

    def _node(
        self, seen: _Seen, facts: tuple[ua.DataValue, ua.DataValue, str] | None
    ) -> BrowsedNode:
        value, kind, unit = facts if facts is not None else (None, None, "")
        return BrowsedNode(
            node=written(seen.id, self._namespaces),
            name=seen.name,
            node_class=seen.node_class.name,
            path=seen.path,
            data_type=_type_name(kind),
            value=_shown(value),
            unit=unit,
            status=int(value.StatusCode.value) if value is not None and value.StatusCode else 0,
            has_children=seen.node_class == ua.NodeClass.Object,
        )

    async def _read(self, seen: Sequence[_Seen], what: AttributeIds) -> list[ua.DataValue]:
        values: list[ua.DataValue] = []
        for chunk in chunks(seen, self._limits.read):
            values.extend(
                await self._client.uaclient.read_attributes([node.id for node in chunk], what)
            )
        return values

    async def _units(self, variables: Sequence[_Seen]) -> list[str]:
        """Display name of each variable's EngineeringUnits; empty where there is none."""
        units: list[str] = []
        for chunk in chunks(variables, self._limits.browse):
            paths = [_property_path(node.id) for node in chunk]
            found = await self._client.uaclient.translate_browsepaths_to_nodeids(paths)
            targets = [r.Targets[0].TargetId if r.Targets else None for r in found]
            known = [target for target in targets if target is not None]
            read = (
                await self._client.uaclient.read_attributes(known, AttributeIds.Value)
                if known
                else []
            )
            told = iter(read)
            units.extend("" if target is None else _unit(next(told)) for target in targets)
        return units


def _fits(references: Sequence[ua.ReferenceDescription]) -> bool:
    return len(references) < _MOST_CHILDREN


def _fault(result: ua.BrowseResult) -> str:
    """Why a browse did not tell all children; empty when it did."""
    if result.StatusCode.is_bad():
        return str(result.StatusCode.name)
    return "the server does not come to an end" if result.ContinuationPoint else ""


def _forward(node: ua.NodeId) -> ua.BrowseDescription:
    what = ua.BrowseDescription()
    what.NodeId = node
    what.BrowseDirection = ua.BrowseDirection.Forward
    what.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.HierarchicalReferences), ua.Int16(0))
    what.IncludeSubtypes = True
    what.NodeClassMask = ua.UInt32(
        ua.NodeClass.Object | ua.NodeClass.Variable | ua.NodeClass.Method
    )
    what.ResultMask = ua.UInt32(ua.BrowseResultMask.All)
    return what


def _property_path(node: ua.NodeId) -> ua.BrowsePath:
    step = ua.RelativePathElement()
    step.ReferenceTypeId = _HAS_PROPERTY
    step.IsInverse = False  # type: ignore[assignment]
    step.IncludeSubtypes = True  # type: ignore[assignment]
    step.TargetName = ua.QualifiedName(_UNIT_PROPERTY, 0)
    path = ua.BrowsePath()
    path.StartingNode = node
    path.RelativePath.Elements = [step]
    return path


def _seen(reference: ua.ReferenceDescription, parent_path: str) -> _Seen:
    name = str(reference.DisplayName.Text or reference.BrowseName.Name or "")
    path = f"{parent_path}/{name}" if parent_path else name
    target = reference.NodeId
    node = ua.NodeId(target.Identifier, target.NamespaceIndex, target.NodeIdType)
    return _Seen(node, name, ua.NodeClass(reference.NodeClass), path)


def _type_name(kind: ua.DataValue | None) -> str:
    node = kind.Value.Value if kind is not None and kind.Value is not None else None
    if not isinstance(node, ua.NodeId):
        return ""
    if node.NamespaceIndex == 0 and isinstance(node.Identifier, int):
        return _BASE_TYPES.get(int(node.Identifier), "structure")
    return "structure"


_BASE_TYPES: Final = {
    1: "Boolean", 2: "SByte", 3: "Byte", 4: "Int16", 5: "UInt16", 6: "Int32", 7: "UInt32",
    8: "Int64", 9: "UInt64", 10: "Float", 11: "Double", 12: "String", 13: "DateTime", 14: "Guid",
    15: "ByteString", 21: "LocalizedText", 26: "Number", 27: "Integer", 28: "UInteger",
    29: "Enumeration", 290: "Duration", 294: "UtcTime",
}  # fmt: skip


def _shown(value: ua.DataValue | None) -> str:
    raw = value.Value.Value if value is not None and value.Value is not None else None
    if raw is None:
        return ""
    text = str(raw.Text if isinstance(raw, ua.LocalizedText) else raw)
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _unit(value: ua.DataValue) -> str:
    raw = value.Value.Value if value.Value is not None else None
    if not isinstance(raw, ua.EUInformation):
        return ""
    return str(raw.DisplayName.Text or raw.Description.Text or "")
