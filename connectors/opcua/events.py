"""Events, and alarms & conditions: each becomes a row of its notifier's tag (`twin.happenings`).

An event is subscribed like a value, at the node that notifies it, and its message is acknowledged
like one: when its row is stored. Conditions that stand are told once more by ConditionRefresh
(Part 9, 5.5.7) after every connect. What a refresh tells are states, not events: those whose event
is known already make no row, and when it is over one row says what stands (`Standing`).

A server keeps no events for a subscription it forgot. Where none could be taken up, one row says
of which time events may be missing (`Missing`).
"""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.clock import ParkClock, wall_us
from connectors.opcua.config import EndpointConfig, Notifier
from connectors.opcua.kernel import NO_TIME, Bytes
from connectors.opcua.monitor import Monitor
from connectors.opcua.nodes import resolve, split_node, written
from connectors.opcua.rows import Rows
from connectors.opcua.wire import Part, malformed
from models.errors import InputError
from twin.happenings import Condition, Happening, Missing, Note, Standing
from twin.samples import to_us

_log = logging.getLogger(__name__)

EVENT_HANDLES: Final = 2**30
"""Client handles of notifiers begin here, far above those of values."""
_STANDARD: Final = "nsu=http://opcfoundation.org/UA/;i="
MODEL_CHANGED: Final = f"{_STANDARD}{ObjectIds.GeneralModelChangeEventType}"
"""Part 3, 9.32: nodes were added or deleted; a server sends it at its Server object, i=2253."""
_REFRESH_STARTS: Final = f"{_STANDARD}{ObjectIds.RefreshStartEventType}"
_REFRESH_ENDS: Final = f"{_STANDARD}{ObjectIds.RefreshEndEventType}"
_REFRESH_NEEDED: Final = f"{_STANDARD}{ObjectIds.RefreshRequiredEventType}"
_OVERFLOW: Final = f"{_STANDARD}{ObjectIds.EventQueueOverflowEventType}"
_QUEUE: Final = 1000
_KNOWN_MOST: Final = 10_000
"""Ids of events remembered, so that a refresh tells none of them twice."""
_STANDING_MOST: Final = 2000
"""Conditions in one row; of more nothing follows for those that are not named."""
_PLAIN: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (ObjectIds.BaseEventType, ("EventId",)),
    (ObjectIds.BaseEventType, ("EventType",)),
    (ObjectIds.BaseEventType, ("SourceName",)),
    (ObjectIds.BaseEventType, ("Time",)),
    (ObjectIds.BaseEventType, ("ReceiveTime",)),
    (ObjectIds.BaseEventType, ("Message",)),
    (ObjectIds.BaseEventType, ("Severity",)),
)
_FIELDS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    *_PLAIN,
    (ObjectIds.ConditionType, ()),
    (ObjectIds.ConditionType, ("ConditionName",)),
    (ObjectIds.ConditionType, ("BranchId",)),
    (ObjectIds.ConditionType, ("Retain",)),
    (ObjectIds.AlarmConditionType, ("ActiveState", "Id")),
    (ObjectIds.AcknowledgeableConditionType, ("AckedState", "Id")),
)
"""No path is the condition's own node (Part 9, 5.5.2)."""
_FILTER_FAULTS: Final = frozenset(
    (
        StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadMonitoredItemFilterUnsupported,
        StatusCodes.BadEventFilterInvalid,
        StatusCodes.BadFilterNotAllowed,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event, or one state of a condition, as its server sent it.

    Parameters
    ----------
    state
        What it says.
    severity
        1 to 1000.
    at_us, received_us
        Times the server gives [us]: when it happened, and when the server heard of it; None where
        it gives none.
    """

    state: Happening
    severity: int
    at_us: int | None
    received_us: int | None


@dataclass(slots=True)
class _Heard:
    """What is known of one notifier."""

    known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Ids of events that became rows, the newest last."""
    begun_us: int | None = None
    """When the refresh under way began by the server's clock [us]."""
    standing: dict[str, Condition] | None = None
    """What the refresh under way named so far; None when there is none."""

    def remember(self, event: str) -> None:
        """Note an event that became a row."""
        if event:
            self.known[event] = None
            self.known.move_to_end(event)
            if len(self.known) > _KNOWN_MOST:
                self.known.popitem(last=False)


class Notifiers:
    """The notifiers of an endpoint.

    Parameters
    ----------
    config
        The endpoint.
    rows
        Takes a row for each event.
    park_now
        Park clock.
    """

    def __init__(self, config: EndpointConfig, rows: Rows, park_now: ParkClock) -> None:
        self._nodes: tuple[Notifier, ...] = config.events
        self._policy, self._rows, self._park_now = config.time_policy, rows, park_now
        self._heard = {one.tag: _Heard() for one in self._nodes}
        self._namespaces: Sequence[str] = ()
        self._subscription = 0
        self.refused: Mapping[str, str] = {}
        """Notifiers without events, with the reason."""
        self.taken = 0
        self.overflows = 0
        """Times the server's queue of events overflowed."""
        self.model_changes = 0
        """Events by which the server says that it has got or lost nodes."""
        self.stale = False
        """Whether the server asks for a refresh, as it lost events."""

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._nodes)

    async def start(
        self, client: Client, monitor: Monitor, namespaces: Sequence[str], *, going_on: bool
    ) -> None:
        """Subscribe, unless the subscription went on; then have active conditions told again."""
        self._namespaces = namespaces
        if not self._nodes:
            return
        for heard in self._heard.values():
            heard.standing = None
        refused = {}
        group = await monitor.group_for_events()
        for number, one in enumerate(self._nodes):
            if going_on and group.events:
                break
            try:
                where = resolve(*split_node(one.node), namespaces)
            except InputError as fault:
                refused[one.node] = str(fault)
                continue
            if reason := await _subscribed(client, group.id, EVENT_HANDLES + number, where):
                refused[one.node] = reason
        group.events = True
        self.refused = refused if not (going_on and not refused) else self.refused
        self._subscription = group.id
        await self.refresh(client)

    async def refresh(self, client: Client) -> None:
        """Have the conditions that stand told again."""
        self.stale = False
        if self._nodes:
            await _refresh(client, self._subscription)

    def missed(self, from_us: int, to_us: int, why: str) -> None:
        """Say that events between two park times may be missing [us]."""
        for one in self._nodes:
            # A refresh of which a part is lost does not say what stands.
            self._heard[one.tag].standing = None
            self._put(one.tag, Missing(from_us=from_us, to_us=to_us, why=why), None, to_us)

    def take(self, part: Part, body: Bytes) -> None:
        """Make the events of one notification rows.

        Raises
        ------
        Malformed
            When the bytes are none; no event of the notification counts then.
        """
        buffer = Buffer(body[part.start : part.stop].tobytes())
        found = []
        for _ in range(part.count):
            try:
                fields = struct_from_binary(ua.EventFieldList, buffer)
            except Exception as fault:  # what its decoder raises on foreign bytes is of every kind
                raise malformed(f"event: {fault}") from fault
            number = int(fields.ClientHandle) - EVENT_HANDLES
            if 0 <= number < len(self._nodes):
                found.append((self._nodes[number].tag, self._event(fields.EventFields)))
        for tag, event in found:
            self.taken += 1
            self._took(tag, event)

    def _took(self, tag: int, event: Event) -> None:
        heard, state = self._heard[tag], event.state
        if state.type == _REFRESH_STARTS:
            heard.standing, heard.begun_us = {}, event.at_us
            return
        if state.type == _REFRESH_ENDS:
            if heard.standing is not None:
                self._put_standing(tag, list(heard.standing.values()))
            heard.standing = None
            return
        self.stale |= state.type == _REFRESH_NEEDED
        if state.type == _OVERFLOW:
            self.overflows += 1
            heard.standing = None  # what fell out of the queue may have been told to stand
        self.model_changes += state.type == MODEL_CHANGED
        if heard.standing is not None and state.key and self._told_again(heard, event):
            return
        heard.remember(state.id)
        self._put(tag, state, event.severity, self._at(event), event.at_us)

    def _told_again(self, heard: _Heard, event: Event) -> bool:
        """Note a state that comes during a refresh; whether it is one that makes no row of its own.

        By the server's time a row told twice is stored once; by time of receipt it would be two.
        """
        state, standing = event.state, heard.standing
        if standing is not None and not state.branch:
            standing.pop(state.key, None)
            if state.stands:
                at_us = self._at(event)
                standing[state.key] = Condition(state=state, severity=event.severity, at_us=at_us)
        if state.id in heard.known:
            return True
        old = None not in (event.at_us, heard.begun_us) and (event.at_us or 0) < (
            heard.begun_us or 0
        )
        return old and self._policy == "receive"

    def _put_standing(self, tag: int, conditions: Sequence[Condition]) -> None:
        whole = len(conditions) <= _STANDING_MOST
        note = Standing(conditions=tuple(conditions[:_STANDING_MOST]), whole=whole)
        self._put(tag, note, len(conditions), self._park_now())

    def _put(
        self, tag: int, note: Note, value: int | None, at_us: int, server_us: int | None = None
    ) -> None:
        """Append a row, or count it as dropped where there is no room at all."""
        if not self._rows.room:
            self._rows.dropped.add(1, self._park_now())
            return
        text = note.text().encode("utf-8", "replace")
        self._rows.put(
            tag=tag, at_us=at_us, server_us=NO_TIME if server_us is None else server_us,
            seen_us=wall_us(), value=value, text=text,
        )  # fmt: skip

    def _at(self, event: Event) -> int:
        """Time of an event by the endpoint's time policy [us]."""
        if self._policy == "receive":
            return self._park_now()
        by_server = event.received_us if self._policy == "server" else None
        first = by_server if by_server is not None else event.at_us
        return first if first is not None else self._park_now()

    def _event(self, fields: Sequence[ua.Variant]) -> Event:
        values = [one.Value for one in fields]
        values += [None] * (len(_FIELDS) - len(values))
        event_id, kind, source, at, received, message, severity = values[: len(_PLAIN)]
        condition, name, branch, retain, active, acked = values[len(_PLAIN) : len(_FIELDS)]
        return Event(
            state=Happening(
                source=str(source or ""),
                message=str(getattr(message, "Text", message) or ""),
                type=self._written(kind),
                id=event_id.hex()[:64] if isinstance(event_id, bytes) else "",
                condition=self._written(condition),
                name=str(name or ""),
                active=_truth(active),
                acknowledged=_truth(acked),
                retained=_truth(retain),
                branch=isinstance(branch, ua.NodeId) and not branch.is_null(),
            ),
            severity=severity if isinstance(severity, int) else 0,
            at_us=_time(at),
            received_us=_time(received),
        )

    def _written(self, node: object) -> str:
        known = isinstance(node, ua.NodeId) and not node.is_null()
        return written(node, self._namespaces) if known and isinstance(node, ua.NodeId) else ""


def _truth(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _time(value: object) -> int | None:
    return to_us(value) if isinstance(value, datetime) and value.year > 1601 else None


async def _subscribed(client: Client, subscription: int, handle: int, node: ua.NodeId) -> str:
    """Subscribe to a notifier; why it is refused, or nothing."""
    result = await _created(client, subscription, handle, node, _FIELDS)
    if result.StatusCode.is_bad() and int(result.StatusCode.value) in _FILTER_FAULTS:
        # A server without conditions may refuse to select what only they have.
        result = await _created(client, subscription, handle, node, _PLAIN)
    return str(result.StatusCode.name) if result.StatusCode.is_bad() else ""


async def _created(
    client: Client,
    subscription: int,
    handle: int,
    node: ua.NodeId,
    selected: Sequence[tuple[int, tuple[str, ...]]],
) -> ua.MonitoredItemCreateResult:
    what = ua.ReadValueId()
    what.NodeId = node
    what.AttributeId = AttributeIds.EventNotifier
    how = ua.MonitoringParameters()
    how.ClientHandle = ua.IntegerId(handle)
    how.QueueSize = ua.Counter(_QUEUE)
    how.Filter = _filter(selected)
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = what
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters = how
    wanted = ua.CreateMonitoredItemsParameters()
    wanted.SubscriptionId = ua.IntegerId(subscription)
    wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
    wanted.ItemsToCreate = [request]
    return (await client.uaclient.create_monitored_items(wanted))[0]


def _filter(selected: Sequence[tuple[int, tuple[str, ...]]]) -> ua.EventFilter:
    chosen = ua.EventFilter()
    for kind, path in selected:
        operand = ua.SimpleAttributeOperand()
        operand.TypeDefinitionId = ua.NodeId(ua.Int32(kind), ua.Int16(0))
        operand.BrowsePath = [ua.QualifiedName(name, 0) for name in path]
        operand.AttributeId = AttributeIds.Value if path else AttributeIds.NodeId
        chosen.SelectClauses.append(operand)
    return chosen


async def _refresh(client: Client, subscription: int) -> None:
    """ConditionRefresh; a server without conditions refuses it, which is no fault."""
    call = ua.CallMethodRequest()
    call.ObjectId = ua.NodeId(ua.Int32(ObjectIds.ConditionType), ua.Int16(0))
    call.MethodId = ua.NodeId(ua.Int32(ObjectIds.ConditionType_ConditionRefresh), ua.Int16(0))
    call.InputArguments = [ua.Variant(ua.UInt32(subscription), ua.VariantType.UInt32)]
    try:
        for result in await client.uaclient.call([call]):
            result.StatusCode.check()
    except UaStatusCodeError as fault:
        _log.info("no condition refresh", extra={"fault": str(fault)})
