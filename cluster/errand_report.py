"""How far an errand of a gateway in a plant is, as it travels."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why an errand failed: name of the error, and what it says."""

    error: str
    what: str
    remedy: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far an errand is: what was found so far, or in the end, or why it failed."""

    id: str
    over: bool = False
    found: object = None
    fault: Fault | None = None
