"""Alarms of the twin as events of AlarmConditionType (OPC 10000-9), read only.

A condition is told again whenever its state changes, and once more, no longer retained, when it
has ended. Alarms are acknowledged on the twin's own pages and routes, where it is audited; here
Acknowledge is refused.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.common.events import Event
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from connectors.plant.ids import named, numbered, status
from connectors.twin_server.plan import PARK
from connectors.twin_server.space import text
from twin.alarms import Alarm, AlarmState, Priority
from twin.label import Label
from twin.samples import from_us

SEVERITY: Final[Mapping[Priority, int]] = {
    Priority.CRITICAL: 900,
    Priority.HIGH: 700,
    Priority.MEDIUM: 500,
    Priority.LOW: 200,
}
"""Severity of a priority: OPC 10000-5 lets 1..1000 stand for low to urgent."""
_KIND: Final = ua.VariantType
_ID_BYTES: Final = 16
_ABOVE: Final = frozenset(
    {ObjectIds.BaseEventType, ObjectIds.ConditionType, ObjectIds.AcknowledgeableConditionType}
)
_PUT_ASIDE: Final = frozenset(
    {AlarmState.SHELVED, AlarmState.SUPPRESSED, AlarmState.OUT_OF_SERVICE}
)


class AlarmKind(ua.NodeId):
    """AlarmConditionType as the type of an event: it also equals the types above it.

    asyncua's OfType compares for equality only, so a client that asks for all conditions, as most
    do, would get no alarm.
    """

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ua.NodeId) and other.NamespaceIndex == 0:
            return other.Identifier == self.Identifier or other.Identifier in _ABOVE
        return False

    def __hash__(self) -> int:
        return hash((self.NamespaceIndex, self.Identifier))


def changed(before: Mapping[str, Alarm], after: Iterable[Alarm]) -> tuple[list[Alarm], list[Alarm]]:
    """What became new or different, and what has ended.

    Parameters
    ----------
    before
        Unresolved alarms as they were told, by id.
    after
        Unresolved alarms now.
    """
    now = {alarm.id: alarm for alarm in after}
    told = [alarm for name, alarm in now.items() if _seen(before.get(name)) != _seen(alarm)]
    return told, [alarm for name, alarm in before.items() if name not in now]


def _seen(alarm: Alarm | None) -> tuple[object, ...] | None:
    """What a client sees of an alarm; its value alone is no new state."""
    if alarm is None:
        return None
    return (
        alarm.active,
        alarm.state,
        alarm.priority,
        alarm.raised_us,
        alarm.returned_us,
        alarm.acknowledged_us,
        alarm.shelved_until_us,
        alarm.note,
        alarm.members,
    )


class Told(Event):
    """An event as it is sent: every field by its browse path, with its type."""

    def __init__(
        self, kind: ua.NodeId, fields: Mapping[str, tuple[object, ua.VariantType]]
    ) -> None:
        super().__init__()
        self.EventType = kind
        self.data_types["EventType"] = ua.VariantType.NodeId
        for name, (value, variant) in fields.items():
            self.add_property(name, value, variant)


def event_of(
    alarm: Alarm, index: int, known: Callable[[str], bool], *, ended: bool = False
) -> Told:
    """An alarm as an event.

    Parameters
    ----------
    alarm
        The alarm.
    index
        Index of the park's namespace.
    known
        Whether an asset has a node.
    ended
        Whether it is resolved: told once more, then no longer retained.
    """
    source = named(alarm.asset if known(alarm.asset) else PARK, index)
    at = from_us(max(alarm.raised_us, alarm.returned_us or 0, alarm.acknowledged_us or 0))
    severity = SEVERITY[alarm.priority]
    acked = alarm.acknowledged_us is not None or alarm.state is AlarmState.ACKNOWLEDGED
    fields: dict[str, tuple[object, ua.VariantType]] = {
        **_base(_event_id(alarm, ended=ended), source, alarm.asset or PARK, at),
        "Message": (text(_both(alarm.label)), _KIND.LocalizedText),
        "Severity": (severity, _KIND.UInt16),
        "NodeId": (named(f"alarm/{alarm.id}", index), _KIND.NodeId),
        "ConditionClassId": (numbered(ObjectIds.ProcessConditionClassType), _KIND.NodeId),
        "ConditionClassName": (text("ProcessConditionClassType"), _KIND.LocalizedText),
        "ConditionName": (alarm.rule, _KIND.String),
        "BranchId": (ua.NodeId(), _KIND.NodeId),
        "Retain": (not ended, _KIND.Boolean),
        "Quality": (status(StatusCodes.Good), _KIND.StatusCode),
        "LastSeverity": (severity, _KIND.UInt16),
        "Comment": (text(alarm.note, ""), _KIND.LocalizedText),
        "ClientUserId": (alarm.acknowledged_by, _KIND.String),
        "SuppressedOrShelved": (alarm.state in _PUT_ASIDE, _KIND.Boolean),
        "InputNode": (ua.NodeId(), _KIND.NodeId),
        **_two_states("EnabledState", ("Disabled", "Enabled"), on=True),
        **_two_states("ActiveState", ("Inactive", "Active"), on=alarm.active and not ended),
        **_two_states("AckedState", ("Unacknowledged", "Acknowledged"), on=acked or ended),
        **_two_states(
            "SuppressedState",
            ("Unsuppressed", "Suppressed"),
            on=alarm.state is AlarmState.SUPPRESSED,
        ),
        **_two_states(
            "OutOfServiceState",
            ("In service", "Out of service"),
            on=alarm.state is AlarmState.OUT_OF_SERVICE,
        ),
    }
    kind = numbered(ObjectIds.AlarmConditionType)
    return Told(AlarmKind(kind.Identifier, kind.NamespaceIndex), fields)


def refresh_event(*, start: bool) -> Told:
    """The event that frames a refresh of conditions."""
    now = datetime.now(UTC)
    stamp = hashlib.sha256(f"{start}{now.isoformat()}".encode()).digest()[:_ID_BYTES]
    kind = ObjectIds.RefreshStartEventType if start else ObjectIds.RefreshEndEventType
    fields = {
        **_base(stamp, numbered(ObjectIds.Server), "Server", now),
        "Message": (text("RefreshStart" if start else "RefreshEnd"), _KIND.LocalizedText),
        "Severity": (1, _KIND.UInt16),
    }
    return Told(numbered(kind), fields)


def _base(
    event_id: bytes, source: ua.NodeId, name: str, at: datetime
) -> dict[str, tuple[object, ua.VariantType]]:
    return {
        "EventId": (event_id, _KIND.ByteString),
        "SourceNode": (source, _KIND.NodeId),
        "SourceName": (name, _KIND.String),
        "Time": (at, _KIND.DateTime),
        "ReceiveTime": (datetime.now(UTC), _KIND.DateTime),
    }


def _two_states(
    name: str, texts: tuple[str, str], *, on: bool
) -> dict[str, tuple[object, ua.VariantType]]:
    return {
        name: (text(texts[on]), _KIND.LocalizedText),
        f"{name}/Id": (on, _KIND.Boolean),
    }


def _event_id(alarm: Alarm, *, ended: bool) -> bytes:
    """The same state of the same alarm has the same id: a refresh tells nothing new."""
    state = f"{alarm.id}|{_seen(alarm)}|{ended}"
    return hashlib.sha256(state.encode()).digest()[:_ID_BYTES]


def _both(label: Label) -> str:
    return label.vi if label.vi == label.en else f"{label.vi} / {label.en}"
