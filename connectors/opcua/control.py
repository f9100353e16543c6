"""Writing values and calling methods: refused unless allowed for that tag and role.

What may be written or called is said in the park file, tag by tag and method by method; by default
it is nothing. Nothing in this service calls these by itself. Each attempt ends as one `Deed`, also
one that was refused or failed: the caller records it before it tells the fault.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from asyncua.ua.uaprotocol_auto import Argument  # what is decoded; ua.Argument is another class

from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.deed import (
    DRY,
    FAILED,
    GOOD,
    REFUSED,
    UNKNOWN,
    Actor,
    CallOrder,
    Deed,
    WriteOrder,
)
from connectors.opcua.fitted import fitted, same, shown
from connectors.opcua.hooks import is_cut
from connectors.opcua.node_facts import attributes, number_of, property_of, type_of, variant_type
from connectors.opcua.nodes import resolve, split_node
from connectors.opcua.session import explain
from models.errors import Conflict, InputError, NotFound, Refused, TwinError, Unavailable

_log = logging.getLogger(__name__)

_LONGEST_S: Final = 20.0
_READ_BACK_S: Final = 1.0
_READ_BACK_EVERY_S: Final = 0.1
_CURRENT_WRITE: Final = 2
_SCALAR: Final = -1
_NODE: Final = r"(?:nsu=[^;]+;)?[isgb]=.+"
_METHOD: Final = re.compile(rf"({_NODE}?) ({_NODE})")
_LINK_LOST: Final = frozenset(
    {"BadTimeout", "BadConnectionClosed", "BadCommunicationError", "BadRequestTimeout"}
)
_SAID: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "BadUserAccessDenied": (
            "the server does not allow it to the user we log in as",
            "give that user the right on the server, or log in as another one",
        ),
        "BadNotWritable": ("the node is read-only", "make it writable in the PLC's program"),
        "BadTypeMismatch": ("the node has another data type", "see its type on the server"),
        "BadOutOfRange": ("the value is out of the range the PLC takes", "write one inside it"),
        "BadNodeIdUnknown": ("the server has no such node", "`endpoint browse` lists them"),
        "BadNodeIdInvalid": ("the server has no such node", "`endpoint browse` lists them"),
        "BadMethodInvalid": ("the object has no such method", "name the object that has it"),
        "BadNotExecutable": ("the method cannot be called now", "look at the state of the machine"),
        "BadArgumentsMissing": ("arguments are missing", "give those the method takes"),
        "BadTooManyArguments": ("too many arguments", "give those the method takes"),
        "BadInvalidArgument": ("the method does not take these arguments", "correct them"),
        "BadInvalidState": ("not in the state the machine is in", "look at its state"),
    }
)  # fmt: skip
_CALLERS: Final = frozenset(
    {"BadTypeMismatch", "BadOutOfRange", "BadArgumentsMissing", "BadTooManyArguments"}
    | {"BadInvalidArgument", "BadNodeIdUnknown", "BadNodeIdInvalid", "BadMethodInvalid"}
)
"""Answers of a server that whoever asked can mend by asking otherwise."""


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """A deed while it is done: what is known of it so far, and whether it was sent."""

    client: Client
    config: EndpointConfig
    actor: Actor
    target: str
    asked: str
    found: dict[str, object] = field(default_factory=dict)
    under_way: bool = False

    async def ends(self, work: Awaitable[None]) -> Deed:
        """Do it; the deed, whatever happens on the way."""
        try:
            async with asyncio.timeout(_LONGEST_S):
                await work
        except TwinError as fault:
            self._failed(fault)
        except UaStatusCodeError as fault:
            name = _name(fault.code)
            if name in _LINK_LOST or is_cut(self.client):
                self._lost(fault)
            else:
                self._failed(_refusal(name, self.target), status=name)
        except (UaError, OSError, TimeoutError) as fault:
            self._lost(fault)
        deed = Deed(
            who=self.actor.name,
            role=self.actor.role,
            at_us=wall_us(),
            endpoint=self.config.id,
            target=self.target,
            asked=self.asked,
            **self.found,  # type: ignore[arg-type]
        )
        _log.warning("control %s", deed.result, extra={"who": deed.who, "target": deed.target})
        return deed

    def _failed(self, fault: TwinError, **more: object) -> None:
        result = REFUSED if isinstance(fault, Refused) else FAILED
        self.found |= {"result": result, "fault": fault, **more}

    def _lost(self, fault: BaseException) -> None:
        if self.found.get("result") == GOOD:
            return  # the server has taken it: only what came of it could not be read in time
        what, remedy = explain(fault)
        if not self.under_way:
            self._failed(Unavailable(f"{self.config.id}: {what}", remedy))
            return
        self.found |= {
            "result": UNKNOWN,
            "fault": Unavailable(
                f"the link was lost before {self.config.id} answered ({what})",
                "it may have been done: read the value before you try again",
            ),
        }


async def write(
    client: Client,
    config: EndpointConfig,
    namespaces: Sequence[str],
    order: WriteOrder,
    actor: Actor,
) -> Deed:
    """Write one value in the data type and unit the node has, and read it back.

    Never raises for what is not allowed or fails: the deed says so, and carries the fault.

    Parameters
    ----------
    client, config, namespaces
        Connected client, its endpoint, and the namespaces of this session.
    order
        Tag and value.
    actor
        Who asks.
    """
    attempt = _Attempt(
        client=client, config=config, actor=actor, target=order.node, asked=shown(order.value)
    )
    return await attempt.ends(_write(client, namespaces, order, attempt))


async def call(
    client: Client,
    config: EndpointConfig,
    namespaces: Sequence[str],
    order: CallOrder,
    actor: Actor,
) -> Deed:
    """Call a method with arguments in the types it takes; see `write`."""
    asked = ", ".join(map(shown, order.arguments))
    attempt = _Attempt(client=client, config=config, actor=actor, target=order.method, asked=asked)
    return await attempt.ends(_call(client, namespaces, order, attempt))


def undone(endpoint: str, order: WriteOrder | CallOrder, actor: Actor, fault: TwinError) -> Deed:
    """The deed of what was never begun, and why."""
    if isinstance(order, WriteOrder):
        target, asked = order.node, shown(order.value)
    else:
        target, asked = order.method, ", ".join(map(shown, order.arguments))
    return Deed(
        who=actor.name,
        role=actor.role,
        at_us=wall_us(),
        endpoint=endpoint,
        target=target,
        asked=asked,
        result=REFUSED if isinstance(fault, Refused) else FAILED,
        fault=fault,
    )


def writable(config: EndpointConfig, tag: int, node: str, actor: Actor) -> Item:
    """The item of a tag that this role may write.

    Raises
    ------
    NotFound
        When the endpoint has no such tag.
    Conflict
        When the tag is read from another node by now.
    Refused
        When the role may not write it.
    """
    item = next((item for item in config.items if item.tag == tag), None)
    if item is None:
        raise NotFound("tag of this endpoint", str(tag), ())
    if item.node != node:
        raise Conflict(f"tag {tag} is read from {item.node}, not from {node}", "ask again", "tag")
    if actor.role not in item.writable_by:
        may = (
            f"only {', '.join(sorted(item.writable_by))} may" if item.writable_by else "nobody may"
        )
        raise Refused(
            f"{item.node} may not be written by role {actor.role}: {may}",
            "say `writable_by` at its `map` entry in the park file, and `parktwin apply` it",
        )
    return item


def callable_method(config: EndpointConfig, method: str, actor: Actor) -> str:
    """The method with its object, when this role may call it.

    Raises
    ------
    InputError
        When it is no method, or its object is not clear.
    Refused
        When the role may not call it.
    """
    allowed = dict(config.callable_by)
    named = [name for name in allowed if method in (name, split_method(name)[1])]
    if len(named) > 1:
        raise InputError(f"{len(named)} objects have {method}", f"one of {named}", "method")
    roles = allowed[named[0]] if named else frozenset[str]()
    if actor.role not in roles:
        may = f"only {', '.join(sorted(roles))} may" if roles else "nobody may"
        raise Refused(
            f"{method} may not be called by role {actor.role}: {may}",
            "say `callable_by` at its endpoint in the park file, and `parktwin apply` it",
        )
    return named[0]


def split_method(text: str) -> tuple[str, str]:
    """Object and method of ``<object> <method>``.

    Raises
    ------
    InputError
        When it is not written like that.
    """
    found = _METHOD.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text[:200]!r} names no object and method",
            "write nsu=<URI>;s=<object> nsu=<URI>;s=<method>",
            "method",
        )
    return found.group(1), found.group(2)


# --- writing ---


async def _write(
    client: Client, namespaces: Sequence[str], order: WriteOrder, attempt: _Attempt
) -> None:
    item = writable(attempt.config, order.tag, order.node, attempt.actor)
    node = resolve(item.namespace, item.identifier, namespaces)
    kind = await _looked_at(client, node, item, attempt)
    value = fitted(order.value, kind, item.scale)
    await _in_range(client, node, item, value, attempt)
    attempt.found |= {"sent": shown(value)}
    if order.dry_run:
        attempt.found |= {"result": DRY}
        return
    # Without status and times: many PLCs refuse a write that brings its own (BadWriteNotSupported).
    wanted = ua.DataValue(Value=ua.Variant(value, kind), StatusCode=None)
    attempt.under_way = True
    (status,) = await client.uaclient.write_attributes([node], [wanted])
    attempt.under_way = False
    attempt.found |= {"status": status.name}
    if not status.is_good():
        raise _refusal(status.name, item.node)
    attempt.found |= {"result": GOOD, "as_sent": False}
    held = await _read_back(client, node, value, kind)
    attempt.found |= {"held": shown(held, item.scale), "as_sent": same(held, value, kind)}


async def _looked_at(
    client: Client, node: ua.NodeId, item: Item, attempt: _Attempt
) -> ua.VariantType:
    """Data type of a node that can be written; what it holds is noted."""
    now, kind, rank, access, own = await attributes(
        client,
        node,
        AttributeIds.Value,
        AttributeIds.DataType,
        AttributeIds.ValueRank,
        AttributeIds.AccessLevel,
        AttributeIds.UserAccessLevel,
    )
    _must_be_there(kind, item.node)
    held = now.Value
    if held is not None and held.Value is not None:
        attempt.found |= {"before": shown(held.Value, item.scale)}
    if number_of(rank, _SCALAR) >= 0 or (held is not None and held.is_array):
        raise InputError(f"{item.node} is an array", "only single values can be written", "tag")
    if not number_of(access, _CURRENT_WRITE) & _CURRENT_WRITE:
        raise _refusal("BadNotWritable", item.node)
    if not number_of(own, _CURRENT_WRITE) & _CURRENT_WRITE:
        raise _refusal("BadUserAccessDenied", item.node)
    found = await type_of(client, kind)
    if found is ua.VariantType.Variant and held is not None and held.Value is not None:
        found = held.VariantType  # a node of any type keeps the one it has
    attempt.found |= {"data_type": found.name}
    return found


async def _in_range(
    client: Client, node: ua.NodeId, item: Item, value: object, attempt: _Attempt
) -> None:
    """Refuse what is outside the range that the server states for the node (EURange)."""
    span = await property_of(client, node, "EURange")
    low, high = getattr(span, "Low", None), getattr(span, "High", None)
    if not isinstance(low, float) or not isinstance(high, float) or not low < high:
        return
    attempt.found |= {"low": low * item.scale, "high": high * item.scale}
    if isinstance(value, int | float) and not low <= value <= high:
        raise InputError(
            f"{shown(value, item.scale)} is out of the range of {item.node}",
            f"write {shown(low, item.scale)} to {shown(high, item.scale)}",
            "value",
        )


async def _read_back(client: Client, node: ua.NodeId, sent: object, kind: ua.VariantType) -> object:
    """What the server holds; it is given a moment to take a value over from its PLC."""
    until = asyncio.get_running_loop().time() + _READ_BACK_S
    while True:
        try:
            (now,) = await attributes(client, node, AttributeIds.Value)
        except (UaError, OSError, TimeoutError):
            return None  # it is written; what came of it is not known
        held = None if now.Value is None else now.Value.Value
        if same(held, sent, kind) or asyncio.get_running_loop().time() > until:
            return cast("object", held)
        await asyncio.sleep(_READ_BACK_EVERY_S)


# --- calling ---


async def _call(
    client: Client, namespaces: Sequence[str], order: CallOrder, attempt: _Attempt
) -> None:
    method = callable_method(attempt.config, order.method, attempt.actor)
    attempt.target = method
    owner, name = (resolve(*split_node(part), namespaces) for part in split_method(method))
    await _executable(client, name, method)
    arguments, told = await _arguments(client, name, order)
    attempt.found |= {
        "sent": ", ".join(told),
        "data_type": ", ".join(one.VariantType.name for one in arguments),
    }
    if order.dry_run:
        attempt.found |= {"result": DRY}
        return
    request = ua.CallMethodRequest()
    request.ObjectId, request.MethodId, request.InputArguments = owner, name, arguments
    attempt.under_way = True
    (answer,) = await client.uaclient.call([request])
    attempt.under_way = False
    attempt.found |= {"status": answer.StatusCode.name}
    if not answer.StatusCode.is_good():
        bad = [
            told[n]
            for n, one in enumerate(answer.InputArgumentResults or ())
            if n < len(told) and not one.is_good()
        ]
        raise _refusal(answer.StatusCode.name, method, f" ({', '.join(bad)})" if bad else "")
    outputs = ", ".join(shown(one.Value) for one in answer.OutputArguments or ())
    attempt.found |= {"held": outputs, "result": GOOD}


async def _executable(client: Client, node: ua.NodeId, method: str) -> None:
    kind, may, own = await attributes(
        client,
        node,
        AttributeIds.NodeClass,
        AttributeIds.Executable,
        AttributeIds.UserExecutable,
    )
    _must_be_there(kind, method)
    if number_of(kind, 0) != ua.NodeClass.Method:
        raise InputError(f"{method} is no method", "name the object, then its method", "method")
    if may.Value is not None and may.Value.Value is False:
        raise _refusal("BadNotExecutable", method)
    if own.Value is not None and own.Value.Value is False:
        raise _refusal("BadUserAccessDenied", method)


async def _arguments(
    client: Client, node: ua.NodeId, order: CallOrder
) -> tuple[list[ua.Variant], list[str]]:
    """Arguments in the types the method takes, and each as ``name=value``."""
    stated = await property_of(client, node, "InputArguments")
    takes = [one for one in stated if isinstance(one, Argument)] if isinstance(stated, list) else []
    given = order.arguments
    if len(takes) != len(given):
        names = ", ".join(shown(one.Name) for one in takes) or "none"
        raise InputError(
            f"{len(given)} argument(s) given, the method takes {len(takes)}",
            f"give: {names}",
            "arguments",
        )
    made, told = [], []
    for one, value in zip(takes, given, strict=True):
        name = shown(one.Name)
        if one.ValueRank >= 0:
            raise InputError(
                f"argument {name} is an array", "such a method cannot be called from here", name
            )
        kind = await variant_type(client, one.DataType)
        plain = fitted(value, kind, where=name)
        made.append(ua.Variant(plain, kind))
        told.append(f"{name}={shown(plain)}")
    return made, told


def _must_be_there(told: ua.DataValue, node: str) -> None:
    status = told.StatusCode
    if status is not None and status.name in ("BadNodeIdUnknown", "BadNodeIdInvalid"):
        raise _refusal(status.name, node)


def _name(code: int) -> str:
    return str(ua.StatusCode(ua.UInt32(code)).name)


def _refusal(name: str, target: str, more: str = "") -> TwinError:
    """A server's refusal as an error of ours."""
    what, remedy = _SAID.get(name, ("the server refuses", "look at the server's own log"))
    told = f"{target}: {what}{more} ({name})"
    return InputError(told, remedy) if name in _CALLERS else Refused(told, remedy)
