"""What a what-if is made of, as plain functions that run in any process."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.ports import Outcome

Piece = object
"""One task of a plan; opaque here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A plan and its first pieces."""

    plan: object
    pieces: tuple[Piece, ...]


class WhatifWork(Protocol):
    """The four steps; every one of them may run in another process."""

    def compile(self, park_text: str, snapshot: bytes, spec: str) -> Compiled:
        """Read the texts, apply the changes and plan the tasks."""

    def run(self, plan: object, piece: Piece) -> object:
        """Simulate one piece."""

    def more(self, plan: object, parts: Sequence[object]) -> tuple[Piece, ...]:
        """Further pieces the stopping rule asks for; none when it is content."""

    def combine(self, plan: object, parts: Sequence[object]) -> Outcome:
        """Make the outcome of all parts."""


class ParkWork:
    def compile(self, park_text, snapshot, spec):
        raise NotImplementedError

    def run(self, plan, piece):
        raise NotImplementedError

    def more(self, plan, parts):
        return ()

    def combine(self, plan, parts):
        raise NotImplementedError


class WhatifStart:
    def __init__(self, parks, store):
        self._parks = parks

    async def state(self, park, spec):
        live = self._parks[park]
        return await live.ask("whatif_snapshot"), live.now_us
