"""What a what-if is made of, as plain functions that run in any process; plans travel as bytes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Final

from cluster.ports import Outcome
from twin.parkfile.load import read_park
from twin.whatif.plan import Piece, Plan, combine_parts, compile_plan, more_pieces, run_piece
from twin.whatif.snapshot import nominal


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The four steps of a run.

    Parameters
    ----------
    compile
        Plan → first pieces; checks everything.
    run
        Plan and piece → its part.
    more
        Plan and parts → further pieces the stopping rule asks for.
    combine
        Plan and parts in the order of their pieces → outcome.
    """

    compile: Callable[[bytes], tuple[Piece, ...]]
    run: Callable[[bytes, Piece], bytes]
    more: Callable[[bytes, Sequence[bytes]], tuple[Piece, ...]]
    combine: Callable[[bytes, Sequence[bytes]], Outcome]


def compile_bytes(plan: bytes) -> tuple[Piece, ...]:
    """First pieces of a plan."""
    return compile_plan(Plan.from_bytes(plan))


def run_bytes(plan: bytes, piece: Piece) -> bytes:
    """One part."""
    return run_piece(Plan.from_bytes(plan), piece)


def more_bytes(plan: bytes, parts: Sequence[bytes]) -> tuple[Piece, ...]:
    """Pieces still wanted."""
    return more_pieces(Plan.from_bytes(plan), parts)


def combine_bytes(plan: bytes, parts: Sequence[bytes]) -> Outcome:
    """The outcome."""
    return combine_parts(Plan.from_bytes(plan), parts)


_NOON_US: Final = 1_767_243_600_000_000
_LITTLE: Final = """\
apiVersion: parktwin/v1
kind: WhatIf
id: warm-up
park: {park}
from: now
horizon: 2 h
ensemble: {{replications: 2, seed: 1}}
branches:
  base: []
compare:
  against: base
  kpis:
    - {{kpi: peak_mva, material: 0.5}}
"""
PARK_WORK: Final = Work(
    compile=compile_bytes, run=run_bytes, more=more_bytes, combine=combine_bytes
)


def warm_up(parks: Sequence[str]) -> None:
    """Read the parks and simulate a little of each, so that the first run finds all loaded.

    Parameters
    ----------
    parks
        Texts of the park files.
    """
    libraries_hash()
    for text in parks:
        park = read_park(text)
        plan = Plan(
            park_text=text,
            snapshot=nominal(park, _NOON_US).to_json(),
            text=_LITTLE.format(park=park.id),
        )
        combine_parts(plan, [run_piece(plan, piece) for piece in compile_plan(plan)])


@cache
def libraries_hash() -> str:
    """SHA-256 over the names and versions of everything installed, for provenance."""
    found = {f"{d.name.lower()}=={d.version}" for d in metadata.distributions()}
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
