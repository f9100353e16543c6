"""What a row of an event tag says: one event of a server, what stands, or what may be missing.

An event tag stands for one notifier of an OPC UA server. Each of its rows has the severity as
`value` and one of three notes as `text`, in JSON that people can read too, with what is empty left
out:

==============  ================================================================================
`Happening`     an event, or a new state of a condition. Its server's id of the event is part of
                it, so two events of one moment are two rows, and one told twice is one.
`Standing`      the conditions that stand, as the server told them on demand (ConditionRefresh)
                after a connect; value is their number.
`Missing`       from when to when events may have been lost, and why; no value.
==============  ================================================================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

TEXT_MOST: Final = 1000
NAME_MOST: Final = 300
"""Longer messages and names are cut, with an ellipsis at their end."""
_TRUTHS: Final = ("active", "acknowledged", "retained")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event as it is stored.

    Parameters
    ----------
    source, message
        Name of its source, and what it says.
    type
        Event type, as files write nodes.
    id
        The server's id of the event (hex).
    condition, name
        Node of the condition it is a state of, and its name; empty for a plain event.
    active, acknowledged, retained
        State of the condition at the server; None where it has none.
    branch
        Whether it is about an earlier state of the condition, which only waits for its
        acknowledgement at the server.
    """

    source: str = ""
    message: str = ""
    type: str = ""
    id: str = ""
    condition: str = ""
    name: str = ""
    active: bool | None = None
    acknowledged: bool | None = None
    retained: bool | None = None
    branch: bool = False

    @property
    def key(self) -> str:
        """Which condition of its notifier this is about; empty for a plain event."""
        if self.condition or self.retained is None:
            return self.condition
        return f"{self.source}/{self.name}" if self.name else ""

    @property
    def stands(self) -> bool:
        """Whether it says that its condition is an alarm now."""
        return self.active is True and self.retained is not False

    def said(self) -> dict[str, object]:
        """Plain data without what is empty."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, most in (("message", TEXT_MOST), ("source", NAME_MOST), ("name", NAME_MOST)):
            told[name] = cut(str(told[name]), most)
        return {name: value for name, value in told.items() if value not in ("", None, False)} | {
            name: False for name in _TRUTHS if told[name] is False
        }

    def text(self) -> str:
        """As it is stored."""
        return _written(self.said())


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition that stands: its state, its severity and its time at the server [us]."""

    state: Happening
    severity: int
    at_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All conditions of a notifier that stand; what else stood before stands no more.

    Parameters
    ----------
    conditions
        Those that stand.
    whole
        Whether these are all; else nothing follows of the others.
    """

    conditions: tuple[Condition, ...]
    whole: bool = True

    def text(self) -> str:
        """As it is stored."""
        rows = [c.state.said() | {"severity": c.severity, "at": c.at_us} for c in self.conditions]
        return _written({"standing": rows, "whole": self.whole})


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A time of which events may have been lost [us], and why."""

    from_us: int
    to_us: int
    why: str

    def text(self) -> str:
        """As it is stored."""
        return _written({"missing": {"from": self.from_us, "to": self.to_us, "why": self.why}})


Note = Happening | Standing | Missing


def read_note(text: str | None) -> Note | None:
    """What the text of a row says; None when it is none of ours."""
    try:
        said = json.loads(text or "")
        if not isinstance(said, dict):
            return None
        if "standing" in said:
            conditions = tuple(_condition(row) for row in said["standing"])
            return Standing(conditions=conditions, whole=said["whole"] is True)
        if "missing" in said:
            lost = said["missing"]
            return Missing(
                from_us=int(lost["from"]), to_us=int(lost["to"]), why=str(lost.get("why", ""))
            )
        return _happening(said)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _condition(row: Mapping[str, object]) -> Condition:
    plain = dict(row)
    severity, at_us = plain.pop("severity"), plain.pop("at")
    if not isinstance(severity, int) or not isinstance(at_us, int):
        raise TypeError(row)
    return Condition(state=_happening(plain), severity=severity, at_us=at_us)


def _happening(said: Mapping[str, object]) -> Happening:
    """A happening from plain data, whoever wrote it: of the right types, its texts real UTF-8."""
    return Happening(
        source=_word(said, "source"),
        message=_word(said, "message"),
        type=_word(said, "type"),
        id=_word(said, "id"),
        condition=_word(said, "condition"),
        name=_word(said, "name"),
        active=_truth(said, "active"),
        acknowledged=_truth(said, "acknowledged"),
        retained=_truth(said, "retained"),
        branch=said.get("branch") is True,
    )


def _word(said: Mapping[str, object], name: str) -> str:
    given = said.get(name, "")
    if not isinstance(given, str):
        raise TypeError(given)
    return given.encode("utf-8", "replace").decode()


def _truth(said: Mapping[str, object], name: str) -> bool | None:
    given = said.get(name)
    if given is None or isinstance(given, bool):
        return given
    raise TypeError(given)


def _written(said: Mapping[str, object]) -> str:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def cut(text: str, most: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
