"""What the faces may ask about writes, calls and the audit trail: one protocol, and its values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors.opcua.deed import Given


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOutcome:
    """What came of a write or a call that was allowed and done, or of its dry run.

    Parameters
    ----------
    who, role, at_us
        Who asked, as it was stated, and when [us].
    endpoint, tag, target
        Endpoint, tag path (empty for a method), and node or ``<object> <method>``.
    asked, before, after
        Value (or arguments) asked for, held before, and read back afterwards (or outputs), as text
        in `unit`; empty where not known.
    sent, sent_unit, data_type
        What the PLC was, or would be, given: in its own unit and type.
    as_sent
        Whether the server held what was sent when it was read back.
    low, high
        Range the server states for the node, in `unit`; None where it states none.
    result, status
        ``Good`` or ``dry run``, and the server's StatusCode.
    """

    who: str
    role: str
    at_us: int
    endpoint: str
    tag: str
    target: str
    unit: str
    sent_unit: str
    data_type: str
    asked: str
    before: str
    sent: str
    after: str
    as_sent: bool
    low: float | None
    high: float | None
    result: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """A row of the audit trail: who did what to what, and what came of it."""

    seq: int
    at_us: int
    who: str
    action: str
    subject: str
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Rows of the audit trail, newest first; ``next`` goes on to older ones, None at the end."""

    rows: tuple[AuditEntry, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditQuery:
    """Which rows are wanted; what is empty or None does not matter.

    Parameters
    ----------
    since, until
        From this time on, and before that one: ISO 8601, ``now`` or ``-3h``.
    who, action, subject
        Exactly this name; actions that begin so; subjects that hold this.
    before
        `next` of the page before.
    limit
        Rows at most.
    """

    since: str = ""
    until: str = ""
    who: str = ""
    action: str = ""
    subject: str = ""
    before: int | None = None
    limit: int = 100


class Control(Protocol):
    """Writes, calls, and the trail of everything that people changed.

    `beside`: asked on the service's own machine, over no proxy; all else is refused.
    """

    async def endpoint_write(
        self,
        park: str,
        endpoint: str,
        tag: str,
        value: Given,
        who: str,
        role: str,
        *,
        dry_run: bool,
        beside: bool,
    ) -> ControlOutcome:
        """Write a value; `Refused` unless the park file allows it for that tag and role."""

    async def endpoint_call(
        self,
        park: str,
        endpoint: str,
        method: str,
        arguments: Sequence[Given],
        who: str,
        role: str,
        *,
        dry_run: bool,
        beside: bool,
    ) -> ControlOutcome:
        """Call a method; `Refused` unless the park file allows it for that method and role."""

    async def audit(self, query: AuditQuery) -> AuditPage:
        """Rows of the audit trail, newest first."""

    async def audit_check(self) -> int:
        """Rows of the trail, when none was changed, taken out or put in; else `Refused`."""
