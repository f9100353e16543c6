"""One alarm's life: the states of ISA-18.2 as what happened to it, never as a stored word.

An alarm is *active* while its condition holds and *acknowledged* once somebody saw it; from these,
and from shelving, suppression and service, follows its state. It ends when it is neither active
nor unacknowledged: an active or unacknowledged alarm never disappears.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twin.alarms import Alarm, AlarmState, Priority
from twin.label import Label


@dataclass(slots=True, kw_only=True)
class AlarmRecord:
    """What happened to an alarm since it was raised; fields as in `twin.alarms.Alarm`.

    Attributes
    ----------
    announced
        Whether it was told to people (a suppressed one is not).
    cause
        Id of the alarm that suppresses it; empty for none.
    out_of_service
        Who took it out of service; empty when it is in service.
    """

    id: str
    rule: str
    asset: str
    label: Label
    priority: Priority
    active: bool
    raised_us: int
    value: float | None
    limit: float | None
    unit: str
    group: str = ""
    members: int = 1
    returned_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    note: str = ""
    shelved_until_us: int | None = None
    announced: bool = False
    cause: str = ""
    out_of_service: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing is left to do: not active, seen, in service and not shelved."""
        idle = not self.active and self.acknowledged_us is not None
        return idle and not self.out_of_service and self.shelved_until_us is None

    def state(self) -> AlarmState:
        """State of ISA-18.2."""
        if self.out_of_service:
            return AlarmState.OUT_OF_SERVICE
        if self.shelved_until_us is not None:
            return AlarmState.SHELVED
        if self.active and self.cause:
            return AlarmState.SUPPRESSED
        seen = self.acknowledged_us is not None
        if self.active:
            return AlarmState.ACKNOWLEDGED if seen else AlarmState.UNACKNOWLEDGED
        return AlarmState.NORMAL if seen else AlarmState.RETURNED_UNACKNOWLEDGED

    def shown(self) -> Alarm:
        """The alarm as pages see it."""
        return Alarm(
            id=self.id,
            rule=self.rule,
            asset=self.asset,
            label=self.label,
            priority=self.priority,
            state=self.state(),
            active=self.active,
            raised_us=self.raised_us,
            returned_us=self.returned_us,
            acknowledged_us=self.acknowledged_us,
            acknowledged_by=self.acknowledged_by,
            note=self.note,
            value=self.value,
            limit=self.limit,
            unit=self.unit,
            shelved_until_us=self.shelved_until_us,
            group=self.group,
            members=self.members,
        )

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "AlarmRecord":
        """Inverse of `as_dict`."""
        kept = dict(data)
        kept["label"] = Label(**kept["label"])
        kept["priority"] = Priority(kept["priority"])
        return cls(**kept)
