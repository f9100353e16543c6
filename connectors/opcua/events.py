"""Events, and alarms & conditions: each becomes a plain value for whoever listens.

An event is subscribed like a value, at the node that notifies it. Conditions that were active
before we came are told once more by ConditionRefresh (Part 9, 5.5.7), also after a reconnect.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.kernel import Bytes
from connectors.opcua.monitor import Monitor
from connectors.opcua.nodes import resolve, split_node, written
from connectors.opcua.wire import Part, malformed
from models.errors import InputError
from twin.samples import to_us

_log = logging.getLogger(__name__)

EVENT_HANDLES: Final = 2**30
"""Client handles of notifiers begin here, far above those of values."""
_QUEUE: Final = 1000
_FIELDS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (ObjectIds.BaseEventType, ("EventId",)),
    (ObjectIds.BaseEventType, ("EventType",)),
    (ObjectIds.BaseEventType, ("SourceName",)),
    (ObjectIds.BaseEventType, ("Time",)),
    (ObjectIds.BaseEventType, ("Message",)),
    (ObjectIds.BaseEventType, ("Severity",)),
    (ObjectIds.ConditionType, ("ConditionName",)),
    (ObjectIds.ConditionType, ("Retain",)),
    (ObjectIds.AlarmConditionType, ("ActiveState", "Id")),
    (ObjectIds.AcknowledgeableConditionType, ("AckedState", "Id")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event, or one state of a condition.

    Parameters
    ----------
    notifier, kind
        Node that notified it, and its event type, as files write nodes.
    event_id
        The server's id of this event; it acknowledges by it.
    source, text
        Name of the source, and message.
    at_us
        Time the server gives [us]; None when it gives none.
    severity
        1 to 1000.
    condition
        Name of the condition; empty for a plain event.
    active, acknowledged, retained
        State of the condition; None where it has none.
    """

    notifier: str
    kind: str
    event_id: bytes
    source: str
    text: str
    at_us: int | None
    severity: int
    condition: str = ""
    active: bool | None = None
    acknowledged: bool | None = None
    retained: bool | None = None


EventSink = Callable[[Event], None]


def no_events(_: Event) -> None:
    """Nobody listens."""


class Notifiers:
    """The notifiers of an endpoint.

    Parameters
    ----------
    nodes
        As files write them.
    sink
        Takes each event.
    """

    def __init__(self, nodes: Sequence[str], sink: EventSink) -> None:
        self._nodes, self._sink = tuple(nodes), sink
        self._namespaces: Sequence[str] = ()
        self.refused: Mapping[str, str] = {}
        """Notifiers without events, with the reason."""
        self.taken = 0

    async def start(
        self, client: Client, monitor: Monitor, namespaces: Sequence[str], *, going_on: bool
    ) -> None:
        """Subscribe, unless the subscription went on; then have active conditions told again."""
        self._namespaces = namespaces
        if not self._nodes:
            return
        refused = {}
        group = await monitor.group_for_events()
        for number, node in enumerate(self._nodes):
            if going_on and group.events:
                break
            try:
                where = resolve(*split_node(node), namespaces)
            except InputError as fault:
                refused[node] = str(fault)
                continue
            results = await _created(client, group.id, EVENT_HANDLES + number, where)
            if results[0].StatusCode.is_bad():
                refused[node] = results[0].StatusCode.name
        group.events = True
        self.refused = refused
        await _refresh(client, group.id)

    def take(self, part: Part, body: Bytes) -> None:
        """Hand on the events of one notification.

        Raises
        ------
        Malformed
            When the bytes are none.
        """
        buffer = Buffer(body[part.start : part.stop].tobytes())
        for _ in range(part.count):
            try:
                fields = struct_from_binary(ua.EventFieldList, buffer)
            except Exception as fault:  # what its decoder raises on foreign bytes is of every kind
                raise malformed(f"event: {fault}") from fault
            number = int(fields.ClientHandle) - EVENT_HANDLES
            if 0 <= number < len(self._nodes):
                self.taken += 1
                self._sink(self._event(self._nodes[number], fields.EventFields))

    def _event(self, notifier: str, fields: Sequence[ua.Variant]) -> Event:
        values = [field.Value for field in fields]
        values += [None] * (len(_FIELDS) - len(values))
        event_id, kind, source, at, message, severity, condition, retain, active, acked = values[
            : len(_FIELDS)
        ]
        return Event(
            notifier=notifier,
            kind=written(kind, self._namespaces) if isinstance(kind, ua.NodeId) else "",
            event_id=event_id if isinstance(event_id, bytes) else b"",
            source=str(source or ""),
            text=str(getattr(message, "Text", message) or ""),
            at_us=to_us(at) if isinstance(at, datetime) and at.year > 1601 else None,
            severity=severity if isinstance(severity, int) else 0,
            condition=str(condition or ""),
            active=_truth(active),
            acknowledged=_truth(acked),
            retained=_truth(retain),
        )


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


async def _created(
    client: Client, subscription: int, handle: int, node: ua.NodeId
) -> list[ua.MonitoredItemCreateResult]:
    what = ua.ReadValueId()
    what.NodeId = node
    what.AttributeId = AttributeIds.EventNotifier
    how = ua.MonitoringParameters()
    how.ClientHandle = ua.IntegerId(handle)
    how.QueueSize = ua.Counter(_QUEUE)
    how.Filter = _filter()
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = what
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters = how
    wanted = ua.CreateMonitoredItemsParameters()
    wanted.SubscriptionId = ua.IntegerId(subscription)
    wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
    wanted.ItemsToCreate = [request]
    return list(await client.uaclient.create_monitored_items(wanted))


def _filter() -> ua.EventFilter:
    chosen = ua.EventFilter()
    for kind, path in _FIELDS:
        operand = ua.SimpleAttributeOperand()
        operand.TypeDefinitionId = ua.NodeId(ua.Int32(kind), ua.Int16(0))
        operand.BrowsePath = [ua.QualifiedName(name, 0) for name in path]
        operand.AttributeId = AttributeIds.Value
        chosen.SelectClauses.append(operand)
    return chosen


async def _refresh(client: Client, subscription: int) -> None:
    """ConditionRefresh; a server without conditions refuses it, which is no fault."""
    call = ua.CallMethodRequest()
    call.ObjectId = ua.NodeId(ua.Int32(ObjectIds.ConditionType), ua.Int16(0))
    call.MethodId = ua.NodeId(ua.Int32(ObjectIds.ConditionType_ConditionRefresh), ua.Int16(0))
    call.InputArguments = [ua.Variant(ua.UInt32(subscription), ua.VariantType.UInt32)]
    try:
        await client.uaclient.call([call])
    except UaStatusCodeError as fault:
        _log.info("no condition refresh", extra={"fault": str(fault)})
