"""The tag dictionary: which number a tag has, for ever.

Append-only and journalled with the data. A tag id is given once and never reused: a rename is a
new row with the same tag; a change of unit, kind or source node is a new tag; a removal closes the
row. The dense column of a tag inside a shard is a cache rebuilt from this and never stored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from models.errors import Conflict, NotFound


class Kind(StrEnum):
    """How the values of a tag behave between samples, and so how they aggregate."""

    GAUGE = "gauge"
    """A level that holds until the next sample: time-weighted mean, integral."""
    COUNTER = "counter"
    """A count that only grows, but may wrap or reset: increase."""
    STATE = "state"
    """A code that holds until the next sample: seconds per code."""
    EVENT = "event"
    """Something that happened at an instant: count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a park wants measured: one path, and the node it comes from.

    Parameters
    ----------
    path
        ``park/site/area/line/unit/metric``, ASCII lower snake, the unit not in it.
    unit
        Unit of the stored value, e.g. ``kW``; empty for codes and counts.
    kind
        Behaviour between samples.
    endpoint
        Id of the endpoint, empty for tags no endpoint feeds (manual, imported).
    namespace
        Namespace URI of the node, never an index.
    identifier
        Identifier with its type, e.g. ``s=Moulding.L1.P01.Power`` or ``i=2253``.
    scale
        The stored value is the source's times this; 1 leaves it untouched.
    """

    path: str
    unit: str = ""
    kind: Kind = Kind.GAUGE
    endpoint: str = ""
    namespace: str = ""
    identifier: str = ""
    scale: float = 1.0

    @property
    def node(self) -> str:
        """The node as it is written in files: ``nsu=<URI>;<identifier>``."""
        return f"nsu={self.namespace};{self.identifier}" if self.identifier else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """One row of the dictionary: a tag's binding during [valid_from_us, valid_to_us)."""

    tag: int
    binding: Binding
    valid_from_us: int
    valid_to_us: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for the journal."""
        b = self.binding
        return {
            "tag": self.tag,
            "path": b.path,
            "unit": b.unit,
            "kind": str(b.kind),
            "endpoint": b.endpoint,
            "namespace": b.namespace,
            "identifier": b.identifier,
            "scale": b.scale,
            "from": self.valid_from_us,
            "to": self.valid_to_us,
        }

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "TagRow":
        """Inverse of `as_dict`."""
        binding = Binding(
            path=row["path"],
            unit=row["unit"],
            kind=Kind(row["kind"]),
            endpoint=row["endpoint"],
            namespace=row["namespace"],
            identifier=row["identifier"],
            scale=row["scale"],
        )
        return cls(
            tag=row["tag"], binding=binding, valid_from_us=row["from"], valid_to_us=row["to"]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """What an edit of the park does to one tag, for ``apply --dry-run`` and for the journal.

    ``action`` is one of add, rename, replace (unit, kind, scale or node changed: a new tag, the old
    one closed), remove, revive (a closed path that comes back unchanged keeps its number).
    """

    action: str
    path: str
    tag: int | None
    reason: str


class TagDictionary:
    """All rows, and the open one per tag and per path. Mutated only by `add_rows`."""

    def __init__(self, rows: Iterable[TagRow] = ()) -> None:
        self._rows: list[TagRow] = []
        self._open: dict[int, TagRow] = {}
        self._by_path: dict[str, TagRow] = {}
        self._next = 1
        self.add_rows(rows)

    @property
    def rows(self) -> tuple[TagRow, ...]:
        """Every row in the order it was added."""
        return tuple(self._rows)

    @property
    def open(self) -> Mapping[int, TagRow]:
        """The open row of each tag that is in use."""
        return MappingProxyType(self._open)

    @property
    def next_tag(self) -> int:
        """The number the next new tag gets; one above every number ever given."""
        return self._next

    def add_rows(self, rows: Iterable[TagRow]) -> None:
        """Append rows; a row closes or replaces the open row of its tag.

        Raises
        ------
        Conflict
            When a row would open a path that another tag has open.
        """
        for row in rows:
            self._rows.append(row)
            self._next = max(self._next, row.tag + 1)
            was = self._open.pop(row.tag, None)
            if was is not None:
                self._by_path.pop(was.binding.path, None)
            if row.valid_to_us is not None:
                continue
            other = self._by_path.get(row.binding.path)
            if other is not None:
                raise Conflict(
                    f"path {row.binding.path!r} is open for tag {other.tag}",
                    "close that tag first",
                )
            self._open[row.tag] = row
            self._by_path[row.binding.path] = row

    def of_path(self, path: str) -> TagRow:
        """The open row of a path.

        Raises
        ------
        NotFound
            When no open tag has that path; near paths are offered.
        """
        row = self._by_path.get(path)
        if row is None:
            raise NotFound("tag", path, tuple(self._by_path))
        return row

    def __contains__(self, path: str) -> bool:
        """Whether a path is open."""
        return path in self._by_path

    def plan(
        self, bindings: Iterable[Binding], now_us: int
    ) -> tuple[tuple[TagRow, ...], tuple[TagChange, ...]]:
        """Rows to append so that exactly `bindings` are open, and what each of them means.

        A path that vanished while its node (endpoint, namespace, identifier, with unit, kind and
        scale) now stands under one new path is a rename. Closing rows come before opening ones.
        """
        wanted = {b.path: b for b in bindings}
        closing: list[TagRow] = []
        opening: list[TagRow] = []
        changes: list[TagChange] = []
        gone = {p: r for p, r in self._by_path.items() if p not in wanted}
        new = {p: b for p, b in wanted.items() if p not in self._by_path}
        by_meaning = {_meaning(r.binding): r for r in gone.values() if r.binding.identifier}
        next_tag = self._next

        def start(binding: Binding) -> int:
            nonlocal next_tag
            tag, next_tag = next_tag, next_tag + 1
            opening.append(TagRow(tag=tag, binding=binding, valid_from_us=now_us))
            return tag

        for path, binding in new.items():
            was = by_meaning.pop(_meaning(binding), None) if binding.identifier else None
            if was is not None:
                del gone[was.binding.path]
                closing.append(replace(was, valid_to_us=now_us))
                opening.append(TagRow(tag=was.tag, binding=binding, valid_from_us=now_us))
                changes.append(
                    TagChange(
                        action="rename", path=path, tag=was.tag, reason=f"was {was.binding.path}"
                    )
                )
                continue
            closed = self._closed_with(binding)
            if closed is not None:
                opening.append(TagRow(tag=closed, binding=binding, valid_from_us=now_us))
                changes.append(
                    TagChange(action="revive", path=path, tag=closed, reason="it comes back")
                )
                continue
            tag = start(binding)
            changes.append(TagChange(action="add", path=path, tag=tag, reason="new path"))
        for path, binding in wanted.items():
            row = self._by_path.get(path)
            if row is None or row.binding == binding:
                continue
            closing.append(replace(row, valid_to_us=now_us))
            why = _difference(row.binding, binding)
            tag = start(binding)
            changes.append(
                TagChange(
                    action="replace", path=path, tag=tag, reason=f"{why}; tag {row.tag} is closed"
                )
            )
        for path, row in gone.items():
            closing.append(replace(row, valid_to_us=now_us))
            changes.append(
                TagChange(
                    action="remove", path=path, tag=row.tag, reason="not in the park file any more"
                )
            )
        return (*closing, *opening), tuple(changes)

    def _closed_with(self, binding: Binding) -> int | None:
        """Tag of a closed row with exactly this binding, if any."""
        return next(
            (
                r.tag
                for r in reversed(self._rows)
                if r.binding == binding and r.tag not in self._open
            ),
            None,
        )


def _meaning(b: Binding) -> tuple[str, str, str, str, Kind, float]:
    return (b.endpoint, b.namespace, b.identifier, b.unit, b.kind, b.scale)


def _difference(old: Binding, new: Binding) -> str:
    names = ("unit", "kind", "endpoint", "namespace", "identifier", "scale")
    return ", ".join(
        f"{n} {getattr(old, n)!r} -> {getattr(new, n)!r}"
        for n in names
        if getattr(old, n) != getattr(new, n)
    )
