"""``whatif``: parts a second beside SimPy, and a whole what-if of the demo park.

Lines are timed by the processor's time of this process, one core on both sides, in turns, after
both have run once: other work on the machine then slows both and is not counted for either.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from cluster.bench.load import SECOND_US, START_US
from cluster.bench.report import Figure, at_least, at_most, median
from cluster.bench.simpy_line import Made, ready_draws, run_simpy
from cluster.bench.stage import Stage, elapsed_s
from cluster.engine import Engine, EngineSettings
from cluster.jobs import JobQueue, Request
from cluster.launch import demo_park
from cluster.layout import DataFolder
from cluster.metadata.store import MetadataStore
from cluster.metadata.upgrade import open_store
from cluster.ports import RunState
from cluster.whatif_tasks import PARK_WORK, warm_up
from cluster.workers import RayWorkers
from models.draws import exponential, gamma, key_of, lognormal
from models.errors import Unavailable
from models.line import Failure, Line, LineRun, Machine, simulate_lines
from twin.parkfile.load import load_park
from twin.whatif.outcome import Outcome
from twin.whatif.plan import Plan, combine_parts, compile_plan, run_piece
from twin.whatif.snapshot import nominal

SEED: Final = 7
HOUR_S: Final = 3600.0
MACHINES: Final = 10
SPACES: Final = 5
CYCLE_S: Final = 30.0
PEER: Final = "SimPy, draws given"
LANES: Final = 256
SLOTS: Final = 2
QUEUED_S: Final = 300.0
_LOOK_S: Final = 0.02

TEXT: Final = """\
apiVersion: parktwin/v1
kind: WhatIf
id: bench
park: vsip1
from: now
horizon: 24 h
ensemble: {replications: 64, seed: 11}
branches:
  base: []
  battery:
    - {change: battery, asset: bess1, energy: 40 MWh}
  trip:
    - {change: transformer_trip, asset: ss1/t2, at: 8 h, lasts: 6 h}
compare:
  against: base
  kpis:
    - {kpi: peak_mva, material: 0.5}
"""
"""Three branches, 64 replications, 24 hours."""


def bench_line() -> Line:
    """Ten machines with scattered cycles and breakdowns, five spaces between each two."""
    failure = Failure(to_fail=exponential(1500.0), to_repair=lognormal(300.0, 0.8))
    return Line(
        machines=tuple(
            Machine(key=key_of(f"bench/m{j}"), cycle=gamma(CYCLE_S, 0.4), failure=failure)
            for j in range(MACHINES)
        ),
        buffers=(SPACES,) * (MACHINES - 1),
    )


def run(stage: Stage) -> Sequence[Figure]:
    """Time lines in turns with SimPy, then a what-if here, through the queue, and in a fresh
    process.
    """
    figures = list(line_figures(stage))
    stage.tell("a what-if of the demo park: compiled, then warm")
    plans = [demo_plan(number) for number in range(1 + stage.size(3, 1))]
    what_if(plans[0])
    warm_s = [_timed(plan) for plan in plans[1:]]
    figures.append(
        at_most(
            "what-if 3 x 64 x 24 h of the demo park, warm, one core",
            median(warm_s),
            10.0,
            "s",
            n=len(warm_s),
        )
    )
    stage.tell(f"the same through the queue, on {SLOTS} workers of Ray")
    queued = asyncio.run(queued_s(stage.folder, stage.size(4, 2)))
    figures.append(Figure(name="the same through the queue, its first", value=queued[0], unit="s"))
    figures.append(
        at_most(
            "the same through the queue, warm",
            median(queued[1:]),
            10.0,
            "s",
            n=len(queued) - 1,
        )
    )
    stage.tell("the same in a fresh process with nothing compiled")
    figures.append(
        Figure(name="the same, first run after install", value=first_run_s(stage.folder), unit="s")
    )
    return figures


def line_figures(stage: Stage) -> tuple[Figure, ...]:
    """Part-machines a second of one core, beside SimPy on the same line with equal departures.

    Raises
    ------
    AssertionError
        When a single departure differs from SimPy's.
    """
    line, horizon_s = bench_line(), stage.size(24, 8) * HOUR_S
    rounds = stage.size(9, 5)
    parts = int(1.5 * horizon_s / CYCLE_S) + 100
    made = [
        ready_draws(line, seed=SEED, replication=number, parts=parts) for number in range(rounds)
    ]
    check_equal(line, made, horizon_s, parts)
    stage.tell(f"{rounds} replications by SimPy in turns with {rounds} x {LANES} of ours")
    each = [float(simulated(line, [number], horizon_s).made.sum()) for number in range(rounds)]
    ours_moved = float(simulated(line, range(LANES), horizon_s).made.sum())
    peer_s, ours_s = [], []
    for number in range(rounds):
        peer_s.append(_cpu_s(partial(run_simpy, line, made[number], horizon_s)) / each[number])
        ours_s.append(_cpu_s(partial(simulated, line, range(LANES), horizon_s)) / ours_moved)
    ratios = [a / b for a, b in zip(peer_s, ours_s, strict=True)]
    return (
        at_least(
            "line of 10 machines over SimPy, one core",
            median(ratios),
            300.0,
            "x",
            peer=PEER,
            peer_value=1.0,
            n=rounds,
        ),
        Figure(name="the same, least of the rounds", value=min(ratios), unit="x", n=rounds),
        Figure(name="the same, most of the rounds", value=max(ratios), unit="x", n=rounds),
        Figure(
            name="parts through machines",
            value=1.0 / median(ours_s),
            unit="part-machines/s",
            peer=PEER,
            peer_value=1.0 / median(peer_s),
            n=rounds,
        ),
    )


def simulated(line: Line, replications: Sequence[int], horizon_s: float, keep: int = 0) -> LineRun:
    """Our run of the line: one bin over the whole horizon, draws included."""
    return simulate_lines(
        [line],
        seed=SEED,
        replications=list(replications),
        horizon_s=horizon_s,
        bin_s=horizon_s,
        keep=keep,
    )


def check_equal(line: Line, made: Sequence[list[Made]], horizon_s: float, parts: int) -> None:
    """Compare every departure of every replication with SimPy's.

    Raises
    ------
    AssertionError
        At the first that differs.
    """
    ours = simulated(line, range(len(made)), horizon_s, keep=parts)
    for number, of_machines in enumerate(made):
        peer = run_simpy(line, of_machines, horizon_s)
        for j, times in enumerate(peer):
            kept = ours.departures[number, j]
            if kept[kept >= 0].tolist() != times:
                raise AssertionError(f"replication {number}, machine {j} departs otherwise")


def demo_plan(number: int = 0) -> Plan:
    """The what-if of this bench on the demo park, another quarter of an hour each time."""
    park = load_park(demo_park())
    snapshot = nominal(park, START_US + number * 900 * SECOND_US)
    return Plan(park_text=park.text, snapshot=snapshot.to_json(), text=TEXT)


async def queued_s(folder: Path, runs: int) -> list[float]:
    """Wall seconds of what-ifs from their submission to their kept outcome, one after the other.

    The workers are warm, as the service keeps them; each run starts from another quarter of an
    hour.

    Raises
    ------
    Unavailable
        When a run fails.
    """
    engine = Engine.start(DataFolder(root=folder), EngineSettings(whatif_slots=SLOTS))
    store = open_store(folder)
    workers = RayWorkers(SLOTS, partial(warm_up, [demo_plan().park_text]))
    plans = iter([demo_plan(100 + number).to_bytes() for number in range(runs)])

    async def make_plan(_park: str, _text: str) -> tuple[bytes, int]:
        return next(plans), START_US

    queue = JobQueue(store, workers, PARK_WORK, folder / "runs", make_plan)
    dispatching = asyncio.create_task(queue.dispatch())
    try:
        await asyncio.gather(
            *(workers.call(time.sleep, 1.0, limit_s=QUEUED_S) for _ in range(SLOTS))
        )
        return [await _queued_once(store, queue) for _ in range(runs)]
    finally:
        dispatching.cancel()
        await asyncio.gather(dispatching, return_exceptions=True)
        store.close()
        engine.stop()


async def _queued_once(store: MetadataStore, queue: JobQueue) -> float:
    asked = Request(
        name="bench",
        park="vsip1",
        origin="now",
        horizon_us=24 * 3600 * SECOND_US,
        branches=("base", "battery", "trip"),
        replications=64,
    )
    began = time.perf_counter()
    run_id = (await queue.submit(TEXT, asked, "bench", 0)).id
    waiting = {RunState.QUEUED, RunState.RUNNING}
    while (row := store.run(run_id)).state in waiting:  # noqa: ASYNC110 - a table tells nobody
        await asyncio.sleep(_LOOK_S)
    if row.state != RunState.DONE:
        raise Unavailable(f"the run {row.state}", row.error)
    return time.perf_counter() - began


def _cpu_s(action: Callable[[], object]) -> float:
    """Seconds of the processor that one call takes."""
    began = time.process_time()
    action()
    return time.process_time() - began


def _timed(plan: Plan) -> float:
    return elapsed_s(lambda: what_if(plan))


def what_if(plan: Plan) -> Outcome:
    """Everything a worker and the service do, in this process, one core."""
    parts = [run_piece(plan, piece) for piece in compile_plan(plan)]
    return combine_parts(plan, parts)


def first_run_s(folder: Path) -> float:
    """Seconds of a fresh process with an empty cache of compiled code, imports included.

    Raises
    ------
    Unavailable
        When it fails.
    """
    cache = folder / "numba"
    cache.mkdir()
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "cluster.bench.whatif"],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable("the first run failed", done.stderr.decode(errors="replace")[-400:])
    return time.perf_counter() - began


if __name__ == "__main__":
    what_if(demo_plan())
