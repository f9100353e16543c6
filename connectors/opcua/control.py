"""Writing values and calling methods: refused unless allowed for that tag and role, and recorded.

Nothing in this service calls these by itself. What may be written or called is said in the
configuration, tag by tag and method by method; by default it is nothing.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.nodes import resolve, split_node
from models.errors import InputError, NotFound, Refused

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: a name and a role, as the service has authenticated them."""

    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Audit record of a write or a call, also of one that was refused.

    Parameters
    ----------
    who, role
        Actor.
    at_us
        Wall time [us].
    endpoint, target
        Endpoint, and node or method as files write them.
    tag
        Tag written; None for a method.
    before, after
        Value before, and value asked for or arguments, as text.
    result
        ``Good``, the server's StatusCode, or why we refused.
    """

    who: str
    role: str
    at_us: int
    endpoint: str
    target: str
    tag: int | None
    before: str
    after: str
    result: str


class Refusal(Refused):
    """Not allowed; carries the audit record."""

    def __init__(self, what: str, remedy: str, deed: Deed) -> None:
        super().__init__(what, remedy)
        self.args = (what, remedy, deed)
        self.deed = deed


async def write(
    client: Client,
    config: EndpointConfig,
    namespaces: Sequence[str],
    tag: int,
    value: float | str,
    actor: Actor,
) -> Deed:
    """Write one value in the data type the node has.

    Parameters
    ----------
    client, config, namespaces
        Connected client, its endpoint, and the namespaces of this session.
    tag
        Tag; its scale is taken out of the value.
    value
        As the service stores it.
    actor
        Who asks.

    Raises
    ------
    Refusal
        When the tag may not be written by this role; nothing was sent then.
    NotFound
        When the endpoint has no such tag.
    InputError
        When the value does not fit the node's data type.
    """
    item = next((item for item in config.items if item.tag == tag), None)
    if item is None:
        raise NotFound("tag", str(tag), tuple(str(item.tag) for item in config.items))
    if actor.role not in item.writable_by:
        deed = _deed(config, item.node, tag, actor, "", str(value), "refused: not allowed")
        raise Refusal(
            f"{item.node} may not be written by {actor.role}",
            "allow it for this tag and role in the endpoint's configuration",
            deed,
        )
    node = resolve(item.namespace, item.identifier, namespaces)
    (now,) = await client.uaclient.read_attributes([node], AttributeIds.Value)
    if now.Value is None:
        raise InputError(f"{item.node} has no value", "its data type is not known", "tag")
    kind = now.Value.VariantType
    wanted = ua.DataValue(ua.Variant(_fitted(value, item, kind), kind))
    try:
        (status,) = await client.uaclient.write_attributes([node], [wanted])
        result = status.name
    except UaStatusCodeError as fault:
        result = ua.StatusCode(ua.UInt32(fault.code)).name
    return _deed(config, item.node, tag, actor, str(now.Value.Value), str(value), result)


async def call(
    client: Client,
    config: EndpointConfig,
    namespaces: Sequence[str],
    method: str,
    arguments: Sequence[ua.Variant],
    actor: Actor,
) -> Deed:
    """Call a method, given as ``<object> <method>``.

    Raises
    ------
    Refusal
        When the method may not be called by this role; nothing was sent then.
    InputError
        When the nodes cannot be read.
    """
    told = ", ".join(str(argument.Value) for argument in arguments)
    if actor.role not in dict(config.callable_by).get(method, frozenset()):
        deed = _deed(config, method, None, actor, "", told, "refused: not allowed")
        raise Refusal(
            f"{method} may not be called by {actor.role}",
            "allow it for this method and role in the endpoint's configuration",
            deed,
        )
    owner, _, name = method.partition(" ")
    request = ua.CallMethodRequest()
    request.ObjectId = resolve(*split_node(owner), namespaces)
    request.MethodId = resolve(*split_node(name), namespaces)
    request.InputArguments = list(arguments)
    try:
        (answer,) = await client.uaclient.call([request])
        result = answer.StatusCode.name
    except UaStatusCodeError as fault:
        result = ua.StatusCode(ua.UInt32(fault.code)).name
    return _deed(config, method, None, actor, "", told, result)


def _fitted(value: float | str, item: Item, kind: ua.VariantType) -> float | str:
    """The value as the node's data type has it, its scale taken out."""
    if kind is ua.VariantType.String:
        return str(value)
    if isinstance(value, str):
        raise InputError(f"{value!r} is no {kind.name}", "write a number", "value")
    if kind is ua.VariantType.Boolean:
        return bool(value)
    plain = value / item.scale
    if kind in (ua.VariantType.Double, ua.VariantType.Float):
        return plain
    if plain != round(plain):
        raise InputError(f"{plain!r} is no {kind.name}", "write a whole number", "value")
    return round(plain)


def _deed(
    config: EndpointConfig,
    target: str,
    tag: int | None,
    actor: Actor,
    before: str,
    after: str,
    result: str,
) -> Deed:
    deed = Deed(
        who=actor.name,
        role=actor.role,
        at_us=wall_us(),
        endpoint=config.id,
        target=target,
        tag=tag,
        before=before,
        after=after,
        result=result,
    )
    _log.warning("control %s", result, extra={"who": actor.name, "target": target})
    return deed
