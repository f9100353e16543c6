"""What is to be written or called, by whom, and what came of it: plain values that travel."""

from dataclasses import dataclass
from typing import Final

from models.errors import TwinError

Given = bool | int | float | str
"""A value as it is asked for: a text from a command line, or what JSON has."""

GOOD: Final = "Good"
DRY: Final = "dry run"
REFUSED: Final = "refused"
FAILED: Final = "failed"
UNKNOWN: Final = "unknown"
"""It was sent, and the link was lost before the answer: it may have been done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: a name and a role, as they were stated; there is no login yet."""

    name: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOrder:
    """What is to be written.

    Parameters
    ----------
    tag, node
        Tag, and the node it is meant to be: both must agree with what is read.
    value
        In the stored unit of the tag.
    dry_run
        Say what would be written, and write nothing.
    """

    tag: int
    node: str
    value: Given
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOrder:
    """What is to be called.

    Parameters
    ----------
    method
        ``<object> <method>`` as files write nodes, or the method alone where one object has it.
    arguments
        Values, converted to the types the method takes.
    dry_run
        Say what would be called, and call nothing.
    """

    method: str
    arguments: tuple[Given, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What came of a write or a call.

    Parameters
    ----------
    who, role
        Actor.
    at_us
        Wall time [us].
    endpoint, target
        Endpoint, and node or method as files write them.
    asked, before, held
        Value asked for (or arguments), held by the server before, and read back afterwards (or
        outputs): in the stored unit, as text. Empty where not known.
    sent
        What the PLC was, or would be, given: in its own unit and type.
    as_sent
        Whether the server held what was sent when it was read back.
    data_type
        Data type of the node, or of the arguments.
    low, high
        Range of the node in the stored unit; None where the server states none.
    result
        ``Good``, ``dry run``, ``refused``, ``failed`` or ``unknown``.
    status
        StatusCode of the server; empty when it was not asked.
    fault
        Why it was refused or failed.
    """

    who: str
    role: str
    at_us: int
    endpoint: str
    target: str
    asked: str
    before: str = ""
    held: str = ""
    sent: str = ""
    as_sent: bool = True
    data_type: str = ""
    low: float | None = None
    high: float | None = None
    result: str = GOOD
    status: str = ""
    fault: TwinError | None = None
