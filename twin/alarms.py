"""Alarms by rules of the park file, with the states of ISA-18.2."""

from dataclasses import dataclass
from enum import StrEnum

from twin.label import Label


class Priority(StrEnum):
    """Priority of an alarm, highest first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class AlarmState(StrEnum):
    """States of ISA-18.2."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"
    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm as it stands.

    Parameters
    ----------
    id
        ``<rule>@<asset>``; stable, so that a replay raises nothing twice.
    rule, asset
        Rule of the park file and path of the asset.
    label
        What is wrong.
    priority, state
        See the enumerations.
    active
        Whether the condition holds now.
    raised_us, returned_us, acknowledged_us
        Park times [us]; None when it has not happened.
    acknowledged_by, note
        Who acknowledged and what they wrote.
    value, limit, unit
        The value that raised it, the limit it broke.
    shelved_until_us
        End of the shelving [us]; None when it is not shelved.
    group
        Cause group: alarms that follow from one cause (a dead endpoint) share it and count once.
    members
        How many conditions the group holds.
    """

    id: str
    rule: str
    asset: str
    label: Label
    priority: Priority
    state: AlarmState
    active: bool
    raised_us: int
    returned_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    note: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    shelved_until_us: int | None = None
    group: str = ""
    members: int = 1
