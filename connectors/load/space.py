"""What the load server says about itself: the few nodes of namespace 0 that clients read."""

from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from connectors.load.values import NAMESPACE, Kind

APPLICATION: Final = "urn:parktwin:load:server"
PRODUCT: Final = "urn:parktwin:load"
INDEX: Final = 2
"""Index of our namespace."""
_READ_NOW, _READ_HISTORY = 0x01, 0x04
_BROWSE_PREFIX: Final = "V"


def about_server(started: datetime, per_call: int) -> dict[int, ua.Variant]:
    """Node of namespace 0 → its value."""
    build = ua.BuildInfo()
    build.ProductUri, build.ManufacturerName, build.ProductName = PRODUCT, "parktwin", "load server"
    build.SoftwareVersion, build.BuildNumber, build.BuildDate = "1", "1", started
    status = ua.ServerStatusDataType()
    status.StartTime, status.State, status.BuildInfo = started, ua.ServerState.Running, build
    status.CurrentTime = datetime.now(UTC)
    text, count = ua.VariantType.String, ua.VariantType.UInt32
    limits = {
        int(getattr(ObjectIds, f"Server_ServerCapabilities_OperationLimits_{name}")): ua.Variant(
            ua.UInt32(per_call), count
        )
        for name in ("MaxNodesPerRead", "MaxMonitoredItemsPerCall", "MaxNodesPerBrowse")
    }
    info = "Server_ServerStatus_BuildInfo_"
    return limits | {
        ObjectIds.Server_NamespaceArray: ua.Variant(
            ["http://opcfoundation.org/UA/", APPLICATION, NAMESPACE], text
        ),
        ObjectIds.Server_ServerArray: ua.Variant([APPLICATION], text),
        ObjectIds.Server_ServiceLevel: ua.Variant(255, ua.VariantType.Byte),
        ObjectIds.Server_ServerStatus: ua.Variant(status, ua.VariantType.ExtensionObject),
        ObjectIds.Server_ServerStatus_State: ua.Variant(0, ua.VariantType.Int32),
        ObjectIds.Server_ServerStatus_StartTime: ua.Variant(started, ua.VariantType.DateTime),
        int(getattr(ObjectIds, f"{info}ProductUri")): ua.Variant(PRODUCT, text),
        int(getattr(ObjectIds, f"{info}ProductName")): ua.Variant("load server", text),
        int(getattr(ObjectIds, f"{info}ManufacturerName")): ua.Variant("parktwin", text),
        int(getattr(ObjectIds, f"{info}SoftwareVersion")): ua.Variant("1", text),
    }


def node_number(node: ua.NodeId, nodes: int) -> int | None:
    """Number of a node of ours, from 0; None of any other."""
    if node.NamespaceIndex != INDEX or not isinstance(node.Identifier, int):
        return None
    return node.Identifier - 1 if 1 <= node.Identifier <= nodes else None


def attribute(number: int, kind: int, which: int, *, history: bool) -> ua.Variant | None:
    """An attribute of a node of ours other than its value; None when it has none such."""
    name = f"{_BROWSE_PREFIX}{number + 1}"
    level = ua.Variant(_READ_NOW | (_READ_HISTORY if history else 0), ua.VariantType.Byte)
    table = {
        AttributeIds.NodeId: ua.Variant(ua.NodeId(ua.Int32(number + 1), ua.Int16(INDEX))),
        AttributeIds.NodeClass: ua.Variant(int(ua.NodeClass.Variable), ua.VariantType.Int32),
        AttributeIds.BrowseName: ua.Variant(ua.QualifiedName(name, INDEX)),
        AttributeIds.DisplayName: ua.Variant(ua.LocalizedText(name)),
        AttributeIds.DataType: ua.Variant(ua.NodeId(ua.Int32(int(Kind(kind))), ua.Int16(0))),
        AttributeIds.ValueRank: ua.Variant(-1, ua.VariantType.Int32),
        AttributeIds.AccessLevel: level,
        AttributeIds.UserAccessLevel: level,
        AttributeIds.Historizing: ua.Variant(history, ua.VariantType.Boolean),
    }
    return table.get(AttributeIds(which)) if which in set(AttributeIds) else None
