"""The peer of ``whatif``: a line with buffers and breakdowns, as one writes it in SimPy.

Stores with a capacity are the buffers, a machine is a process, a part is a number. Its random draws
are handed in ready made: SimPy gets them for free, we pay for ours.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import numpy as np
import simpy

from models.draws import Law, Stream, draws
from models.line import TICKS_PER_S, Line

Step = Generator[simpy.Event, object, None]
_NEVER: Final = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """Ready-made draws of one machine [ticks]."""

    process: list[int]
    to_fail: list[int]
    to_repair: list[int]


def ready_draws(line: Line, *, seed: int, replication: int, parts: int) -> list[Made]:
    """Make the draws of each machine for so many parts, rounded to ticks as `models.line` does."""

    def ticks(law: Law, stream: Stream, key: int) -> list[int]:
        found = draws(law, seed, stream, replication, key, parts)
        return [int(t) for t in np.maximum((found * TICKS_PER_S + 0.5).astype(np.int64), 1)]

    made = []
    for machine in line.machines:
        failure = machine.failure
        made.append(
            Made(
                process=ticks(machine.cycle, Stream.PROCESS, machine.key),
                to_fail=ticks(failure.to_fail, Stream.TIME_TO_FAIL, machine.key) if failure else [],
                to_repair=(
                    ticks(failure.to_repair, Stream.TIME_TO_REPAIR, machine.key) if failure else []
                ),
            )
        )
    return made


def run_simpy(line: Line, made: list[Made], horizon_s: float) -> list[list[int]]:
    """Departures of each machine [ticks] up to a horizon; there is always a raw part."""
    env = simpy.Environment()
    buffers = [simpy.Store(env, capacity=spaces) for spaces in line.buffers]
    departures: list[list[int]] = [[] for _ in line.machines]
    for j, draws_of in enumerate(made):
        env.process(_machine(env, draws_of, buffers, j, departures[j]))
    env.run(until=round(horizon_s * TICKS_PER_S))
    return departures


def _machine(
    env: simpy.Environment, made: Made, buffers: list[simpy.Store], j: int, gone: list[int]
) -> Step:
    number = failures = 0
    to_fail = made.to_fail[0] if made.to_fail else _NEVER
    while True:
        if j > 0:
            yield buffers[j - 1].get()
        need = made.process[number]
        number += 1
        while need > to_fail:
            yield env.timeout(to_fail)
            need -= to_fail
            yield env.timeout(made.to_repair[failures])
            failures += 1
            to_fail = made.to_fail[failures]
        yield env.timeout(need)
        to_fail -= need
        if j < len(buffers):
            yield buffers[j].put(number)
        gone.append(int(env.now))
