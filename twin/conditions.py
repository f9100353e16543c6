"""Conditions of OPC UA servers (Part 9) as alarms of the park: which alarm, how urgent, its words.

A condition is an alarm while the server says it is active and of interest (`ActiveState` and
`Retain`). It is the park's own alarm then: acknowledging, shelving and taking it out of service
happen here, whatever the server's own acknowledgement says.

=================  ========
severity (Part 5)  priority
=================  ========
801 to 1000        critical
601 to 800         high
401 to 600         medium
below              low
=================  ========
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from twin.alarm_record import AlarmRecord
from twin.alarms import Priority
from twin.happenings import Condition, Happening, Standing, read_note
from twin.label import Label
from twin.samples import column_us

PREFIX: Final = "condition:"
"""Begins the id and the rule of every alarm of this kind; no rule of a park file has a colon."""
_LONGEST_US: Final = 366 * 86_400_000_000
"""A condition that stands for longer is told from when it was heard of: a clock may be wrong."""
_PRIORITIES: Final = (
    (801, Priority.CRITICAL),
    (601, Priority.HIGH),
    (401, Priority.MEDIUM),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionState:
    """What a row says of one condition.

    Parameters
    ----------
    tag
        Event tag of its notifier.
    state
        What it says.
    severity
        1 to 1000.
    at_us
        When it became so [us].
    """

    tag: int
    state: Happening
    severity: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlyThese:
    """Of the conditions of a notifier no others than these stand since a time [us]."""

    tag: int
    keys: frozenset[str]
    at_us: int


def read_rows(rows: pa.RecordBatch) -> Iterator[ConditionState | OnlyThese]:
    """What SAMPLES rows of event tags say of conditions, in their order."""
    columns = zip(
        rows.column("tag").to_pylist(),
        column_us(rows, "at").tolist(),
        rows.column("value").to_pylist(),
        rows.column("text").to_pylist(),
        strict=True,
    )
    for tag, at_us, value, text in columns:
        match read_note(text):
            case Standing() as standing:
                yield from (_state(tag, c, at_us) for c in standing.conditions if c.state.key)
                if standing.whole:
                    keys = frozenset(one.state.key for one in standing.conditions)
                    yield OnlyThese(tag=tag, keys=keys, at_us=at_us)
            case Happening() as state if state.key and not state.branch:
                known = value is not None and math.isfinite(value)
                severity = _severity(int(value)) if known else 0
                yield ConditionState(tag=tag, state=state, severity=severity, at_us=at_us)


def _state(tag: int, one: Condition, told_us: int) -> ConditionState:
    believed = told_us - _LONGEST_US <= one.at_us <= told_us
    return ConditionState(
        tag=tag,
        state=one.state,
        severity=_severity(one.severity),
        at_us=one.at_us if believed else told_us,
    )


def _severity(told: int) -> int:
    return min(max(told, 0), 1000)


def alarm_id(tag: int, key: str, endpoint: str) -> str:
    """Id of the alarm of a condition: the same at every time."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"{PREFIX}{tag}:{digest}@{endpoint}"


def tag_of(alarm: str) -> int | None:
    """Event tag of the notifier an alarm came from; None for one of a rule."""
    head, _, rest = alarm.removeprefix(PREFIX).partition(":")
    return int(head) if alarm.startswith(PREFIX) and rest and head.isdigit() else None


def priority_of(severity: int) -> Priority:
    """Priority by the server's severity."""
    return next((name for least, name in _PRIORITIES if severity >= least), Priority.LOW)


def label_of(state: Happening) -> Label:
    """Words of the alarm: the server's own, quoted, hence the same in every language."""
    said = state.message or state.name
    quoted = f"“{said}”" if said else ""
    text = f"{state.source}: {quoted}" if state.source and quoted else state.source or quoted
    return Label(vi=text, en=text)


def record_of(told: ConditionState, endpoint: str, raised_us: int) -> AlarmRecord:
    """A new alarm of a condition that stands."""
    state = told.state
    return AlarmRecord(
        id=alarm_id(told.tag, state.key, endpoint),
        rule=f"{PREFIX}{state.name or state.source}",
        asset=endpoint,
        label=label_of(state),
        priority=priority_of(told.severity),
        active=True,
        raised_us=raised_us,
        value=float(told.severity),
        limit=None,
        unit="",
        group=f"{PREFIX}{endpoint}",
    )
