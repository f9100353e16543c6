"""A what-if as work: compiled once, run in pieces anywhere, combined in order.

A plan is plain bytes and holds everything its pieces need (park text, snapshot, what-if text, and
the plan it forks from, if any), so a piece gives the same arrays in any process. A piece is a fixed
run of replications over all branches: lines that two branches share are simulated once.
"""

import hashlib
import io
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from models.errors import InputError, InvalidInput, Problem
from models.statistics import enough
from twin.parkfile.load import read_park
from twin.parkfile.schema import ParkFile
from twin.whatif.compare import BranchResult, band_table, kpi_table, pair_table, result_hash
from twin.whatif.lanes import Lanes
from twin.whatif.origin import read_origin
from twin.whatif.outcome import Outcome, Provenance
from twin.whatif.parse import check_whatif, parse_whatif
from twin.whatif.simulate import ENGINE, STEP_US, WHY, Branch, Futures, Past
from twin.whatif.snapshot import Snapshot
from twin.whatif.spec import STEP_S, WhatIf
from twin.whatif.variant import vary

Floats = npt.NDArray[np.float64]

PIECE: Final = 16
"""Replications of one piece; fixed, so that results do not depend on the number of workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Replications first … first + count - 1 of every branch."""

    first: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything a piece needs.

    Parameters
    ----------
    park_text, snapshot, text
        Park file, snapshot (`Snapshot.to_json`) and what-if.
    lock_hash
        Hash of the installed libraries, for provenance.
    parent
        Plan this one forks from; None when it starts from the snapshot.
    """

    park_text: str
    snapshot: bytes
    text: str
    lock_hash: str = ""
    parent: "Plan | None" = None

    def to_bytes(self) -> bytes:
        """Plain bytes, for other processes and the disk."""
        return orjson.dumps(self._plain())

    def _plain(self) -> dict[str, object]:
        return {
            "park": self.park_text,
            "snapshot": self.snapshot.decode(),
            "text": self.text,
            "lock": self.lock_hash,
            "parent": None if self.parent is None else self.parent._plain(),
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> "Plan":
        """Inverse of `to_bytes`."""
        return cls._of(orjson.loads(data))

    @classmethod
    def _of(cls, plain: Mapping[str, object]) -> "Plan":
        parent = plain["parent"]
        return cls(
            park_text=str(plain["park"]),
            snapshot=str(plain["snapshot"]).encode(),
            text=str(plain["text"]),
            lock_hash=str(plain["lock"]),
            parent=cls._of(parent) if isinstance(parent, Mapping) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compiled:
    """A plan read: its what-if, where it starts, and its branches ready to run."""

    spec: WhatIf
    snapshot: Snapshot
    start_us: int
    steps: int
    seed: int
    posterior: bool
    branches: Mapping[str, Branch]
    measures: frozenset[str]

    def futures(self, piece: Piece) -> Futures:
        """The replications of a piece."""
        replications = np.arange(piece.first, piece.first + piece.count, dtype=np.int64)
        lanes = Lanes(seed=self.seed, replications=replications, posterior=self.posterior)
        return Futures(lanes)


def compile_plan(plan: Plan) -> tuple[Piece, ...]:
    """Read and check a plan; return the pieces to run first.

    Raises
    ------
    InvalidInput
        With every fault of the what-if at once.
    """
    return _pieces(0, _compiled(plan.to_bytes()).spec.ensemble.least)


def run_piece(plan: Plan, piece: Piece) -> bytes:
    """Simulate a piece.

    Returns
    -------
    bytes
        Named arrays (`numpy.savez`, no objects): ``<branch>/kpi/<name>`` [count] and
        ``<branch>/series/<name>`` [count, steps].
    """
    compiled = _compiled(plan.to_bytes())
    futures = compiled.futures(piece)
    arrays: dict[str, Floats] = {}
    for name, branch in compiled.branches.items():
        result = branch.run(futures)
        arrays |= {
            f"{name}/kpi/{kpi}": values
            for kpi, values in result.kpis.items()
            if kpi in compiled.measures
        }
        arrays |= {f"{name}/series/{one}": paths for one, paths in result.series.items()}
    sink = io.BytesIO()
    np.savez(sink, allow_pickle=False, **arrays)
    return sink.getvalue()


def more_pieces(plan: Plan, parts: Sequence[bytes]) -> tuple[Piece, ...]:
    """Pieces the stopping rule still wants; none when it is content or at its largest number."""
    spec = _compiled(plan.to_bytes()).spec
    stop = spec.ensemble.stop
    if stop is None:
        return ()
    results = _results(plan, parts)
    done = len(next(iter(next(iter(results.values())).kpis.values())))
    if done >= spec.ensemble.most:
        return ()
    if all(enough(result.kpis[stop.kpi], stop.half_width) for result in results.values()):
        return ()
    return _pieces(done, min(2 * done, spec.ensemble.most))


def combine_parts(plan: Plan, parts: Sequence[bytes]) -> Outcome:
    """Make the outcome of all parts, given in the order of their pieces."""
    compiled = _compiled(plan.to_bytes())
    results = _results(plan, parts)
    at_us = compiled.start_us + STEP_US * np.arange(compiled.steps, dtype=np.int64)
    kpis = kpi_table(results)
    bands = band_table(results, at_us)
    pairs = pair_table(compiled.spec, results)
    n = int(kpis.column("n")[0].as_py()) if kpis.num_rows else 0
    return Outcome(
        kpis=kpis,
        bands=bands,
        pairs=pairs,
        provenance=Provenance(
            snapshot_hash=compiled.snapshot.digest,
            spec_hash=hashlib.sha256(plan.text.encode()).hexdigest(),
            code_version=metadata.version("parktwin"),
            lock_hash=plan.lock_hash,
            seed=compiled.seed,
            result_hash=result_hash((kpis, bands, pairs)),
            replications=n,
            from_us=compiled.start_us,
            cpu=platform.machine(),
        ),
    )


def _pieces(first: int, upto: int) -> tuple[Piece, ...]:
    return tuple(Piece(first=n, count=min(PIECE, upto - n)) for n in range(first, upto, PIECE))


def _results(plan: Plan, parts: Sequence[bytes]) -> dict[str, BranchResult]:
    spec = _compiled(plan.to_bytes()).spec
    loaded = [np.load(io.BytesIO(part), allow_pickle=False) for part in parts]
    names = loaded[0].files
    whole = {name: np.concatenate([part[name] for part in loaded]) for name in names}
    return {
        branch: BranchResult(
            kpis=_under(whole, f"{branch}/kpi/"),
            series=_under(whole, f"{branch}/series/"),
            engine=ENGINE,
            why=WHY,
        )
        for branch in spec.branches
    }


def _under(arrays: Mapping[str, Floats], prefix: str) -> dict[str, Floats]:
    return {name.removeprefix(prefix): x for name, x in arrays.items() if name.startswith(prefix)}


@lru_cache(maxsize=4)
def _compiled(data: bytes) -> _Compiled:
    """Read a plan once per process; pieces of one plan share it."""
    plan = Plan.from_bytes(data)
    spec, document = parse_whatif(plan.text)
    park = _park(plan.park_text)
    check_whatif(spec, park, document)
    snapshot = Snapshot.from_json(plan.snapshot)
    past = _past(plan, spec)
    steps = round(spec.horizon / STEP_S)
    earlier = past.changes if past else ()
    branches = {
        name: Branch(vary(park, (*earlier, *changes)), snapshot, steps, past)
        for name, changes in spec.branches.items()
    }
    first = _first(plan)
    return _Compiled(
        spec=spec,
        snapshot=snapshot,
        start_us=snapshot.at_us + (past.steps if past else 0) * STEP_US,
        steps=steps,
        seed=first.ensemble.seed,
        posterior=first.ensemble.parameters == "posterior",
        branches=branches,
        measures=frozenset().union(*(branch.measures for branch in branches.values())),
    )


@lru_cache(maxsize=2)
def _park(text: str) -> ParkFile:
    """Read a park file once per process: it changes seldom, and is half of a plan's reading."""
    return read_park(text).spec


def _first(plan: Plan) -> WhatIf:
    """The what-if at the root: a fork goes on with its seed and its parameters."""
    while plan.parent is not None:
        plan = plan.parent
    return parse_whatif(plan.text)[0]


def _past(plan: Plan, spec: WhatIf) -> Past | None:
    """What the run it forks from has simulated, as far as the fork."""
    origin = read_origin(spec.from_)
    if (origin.kind == "run") != (plan.parent is not None):
        raise _fault(f"{spec.from_!r} does not fit this plan", "a fork has the plan it forks from")
    if plan.parent is None:
        return None
    parent, _ = parse_whatif(plan.parent.text)
    branch = origin.branch or parent.compare.against
    if branch not in parent.branches:
        known = ", ".join(parent.branches)
        raise _fault(f"run {origin.run} has no branch {branch!r}", f"one of {known}")
    if origin.after_us > parent.horizon * 1e6:
        hours = parent.horizon / 3600
        raise _fault(f"run {origin.run} ends {hours:g} h after its start", "fork it earlier")
    before = _past(plan.parent, parent)
    park = _park(plan.park_text)
    changes = (*(before.changes if before else ()), *parent.branches[branch])
    steps = origin.after_us // STEP_US
    return Past(
        changes=changes,
        branch=Branch(vary(park, changes), Snapshot.from_json(plan.snapshot), steps, before),
        steps=steps + (before.steps if before else 0),
    )


def _fault(message: str, suggestion: str) -> InputError:
    return InvalidInput((Problem(message=message, path="from", suggestion=suggestion),))
