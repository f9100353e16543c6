"""What a server says of a node: attributes, properties and the built-in type of its values."""

from typing import Final, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.ua_utils import data_type_to_variant_type
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaError

_FIRST_STRUCTURE: Final = 22


async def attributes(client: Client, node: ua.NodeId, *wanted: AttributeIds) -> list[ua.DataValue]:
    """Attributes of a node in one call."""
    ask = ua.ReadParameters()
    ask.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=which) for which in wanted]
    return list(await client.uaclient.read(ask))


async def property_of(client: Client, node: ua.NodeId, name: str) -> object:
    """Value of a property of the base namespace; None where the node has none."""
    step = ua.RelativePathElement(
        ReferenceTypeId=ua.NodeId(ua.Int32(ObjectIds.HasProperty), ua.Int16(0)),
        IsInverse=False,  # type: ignore[arg-type] # asyncua's default is True, its Boolean a class
        TargetName=ua.QualifiedName(name, 0),
    )
    path = ua.BrowsePath(StartingNode=node, RelativePath=ua.RelativePath(Elements=[step]))
    (found,) = await client.uaclient.translate_browsepaths_to_nodeids([path])
    if not found.StatusCode.is_good() or not found.Targets:
        return None
    (value,) = await attributes(client, found.Targets[0].TargetId, AttributeIds.Value)
    return None if value.Value is None else cast("object", value.Value.Value)


async def type_of(client: Client, told: ua.DataValue) -> ua.VariantType:
    """Built-in type that a DataType attribute tells; Variant where it tells none."""
    data_type = None if told.Value is None else told.Value.Value
    if not isinstance(data_type, ua.NodeId):
        return ua.VariantType.Variant
    return await variant_type(client, data_type)


async def variant_type(client: Client, data_type: ua.NodeId) -> ua.VariantType:
    """Built-in type of a data type; the server is asked for the supertypes of its own."""
    number = data_type.Identifier
    if data_type.NamespaceIndex == 0 and isinstance(number, int) and number < _FIRST_STRUCTURE:
        return ua.VariantType(number)
    try:
        return await data_type_to_variant_type(client.get_node(data_type))
    except (UaError, ValueError):  # it tells no supertype among the built-in ones
        return ua.VariantType.Variant


def number_of(told: ua.DataValue, default: int) -> int:
    """A number of an attribute; the default where the server does not tell it."""
    value = None if told.Value is None else told.Value.Value
    return int(value) if isinstance(value, int) else default
