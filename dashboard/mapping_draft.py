"""A mapping that is being made: what was proposed, what was decided, and the way back.

It is held beside the service and not in the browser: a plant has thousands of nodes, and every
click would carry them all.
"""

import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

UNDO_MOST: Final = 100
KEPT_MOST: Final = 24
Standing: TypeAlias = Literal["open", "accepted", "refused", "bound", "removed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One node with the tag it could become.

    Parameters
    ----------
    node, browsed
        Node, and its path on the server.
    path
        Proposed tag, or the one it is bound to.
    unit, stored
        Unit at the source, and the unit its values are stored in.
    confidence
        0 to 1; None for what nobody proposed: bound before, or taken from a list.
    sure
        Whether it may be taken unseen.
    why
        What the proposal rests on.
    """

    node: str
    browsed: str = ""
    path: str = ""
    unit: str = ""
    stored: str = ""
    confidence: float | None = None
    sure: bool = False
    why: str = ""

    @property
    def written(self) -> str:
        """The tag as a mapping keeps it: with the unit at its source where that differs."""
        return written_as(self.path, self.unit if self.unit != self.stored else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """Rows and decisions about them; every change gives a new draft that knows the one before.

    Parameters
    ----------
    rows
        Node → row.
    bound
        Node → written tag, as the service has it now.
    decided
        Node → written tag; empty where the node was refused or is to be unbound.
    past
        Decisions before each change, the latest last.
    listed
        What the latest tag list would decide, not taken yet.
    """

    rows: Mapping[str, Row]
    bound: Mapping[str, str] = field(default_factory=dict)
    decided: Mapping[str, str] = field(default_factory=dict)
    past: tuple[Mapping[str, str], ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)

    def standing(self, node: str) -> Standing:
        """Where a node stands."""
        if node in self.decided:
            if self.decided[node]:
                return "accepted"
            return "removed" if node in self.bound else "refused"
        return "bound" if node in self.bound else "open"

    def tag(self, node: str) -> str:
        """The tag of a node as decided, bound or proposed."""
        return self.decided.get(node) or self.bound.get(node) or self.rows[node].written

    def decide(self, changes: Mapping[str, str]) -> "Draft":
        """Take decisions: node → written tag, empty refuses or unbinds."""
        after = {**self.decided, **changes}
        if after == self.decided:
            return self
        rows = {n: Row(node=n) for n in changes if n not in self.rows}
        past = (*self.past, self.decided)[-UNDO_MOST:]
        return replace(self, rows={**self.rows, **rows}, decided=after, past=past)

    def accept(self, nodes: Iterable[str]) -> "Draft":
        """Accept the tags of nodes as they stand, but none that another node has."""
        taken = self.taken()
        changes: dict[str, str] = {}
        for node in nodes:
            tag = self.tag(node)
            path = path_of(tag)
            if path and taken.get(path, node) == node:
                changes[node], taken[path] = tag, node
        return self.decide(changes)

    def accept_above(self, least: float) -> "Draft":
        """Accept every open proposal of at least this confidence."""
        return self.accept(
            row.node
            for row in self.rows.values()
            if row.confidence is not None
            and row.confidence >= least
            and self.standing(row.node) == "open"
        )

    def refuse(self, node: str) -> "Draft":
        """Refuse a proposal, or unbind what is bound."""
        return self.decide({node: ""})

    def undo(self) -> "Draft":
        """The draft before the latest change; itself when there is none."""
        if not self.past:
            return self
        return replace(self, decided=self.past[-1], past=self.past[:-1])

    def taken(self) -> dict[str, str]:
        """Path → node of every tag that is accepted or bound."""
        return {
            path_of(self.tag(node)): node
            for node in self.rows
            if self.standing(node) in ("accepted", "bound")
        }

    def mapping(self) -> dict[str, str]:
        """What saving would send: decisions that change something."""
        return {n: tag for n, tag in self.decided.items() if tag != self.bound.get(n, "")}

    def counts(self) -> dict[Standing, int]:
        """How many rows stand where."""
        found: dict[Standing, int] = {}
        for node in self.rows:
            standing = self.standing(node)
            found[standing] = found.get(standing, 0) + 1
        return found


def path_of(written: str) -> str:
    """Path of a written tag, without the unit at its source."""
    return written.partition(" [")[0]


def unit_of(written: str) -> str:
    """Unit at the source of a written tag; empty when it is the stored one."""
    return written.partition(" [")[2].removesuffix("]")


def written_as(path: str, unit: str) -> str:
    """A tag with the unit at its source, as a mapping keeps it."""
    path, unit = path.strip(), unit.strip()
    return f"{path} [{unit}]" if path and unit else path


class Drafts:
    """The drafts people work on; the oldest are forgotten."""

    def __init__(self) -> None:
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    def begin(self, draft: Draft) -> str:
        """Keep a draft; its name."""
        name = secrets.token_urlsafe(12)
        self.put(name, draft)
        return name

    def get(self, name: str) -> Draft | None:
        """Return a draft; None when it is forgotten."""
        return self._drafts.get(name)

    def put(self, name: str, draft: Draft) -> None:
        """Keep a draft in place of the one before."""
        self._drafts[name] = draft
        self._drafts.move_to_end(name)
        while len(self._drafts) > KEPT_MOST:
            self._drafts.popitem(last=False)
