"""The same line in SimPy, as one would write it there: the oracle of `models.line`.

Stores with a capacity are the buffers (so each needs at least one space), a machine is a process.
Draws are handed in ready made, from the same keys: SimPy gets them for free.
"""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simpy

from models.draws import Stream, draws
from models.line import Line, Machine, Spent, to_ticks

Ints = npt.NDArray[np.int64]
Step = Generator[simpy.Event, object, None]


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineDraws:
    """Ready-made ticks of one machine."""

    process: list[int]
    to_fail: list[int]
    to_repair: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Departures per machine [ticks] and ticks spent per machine and state."""

    departures: list[list[int]]
    spent: Ints


def ready_draws(line: Line, *, seed: int, replication: int, parts: int) -> list[MachineDraws]:
    """Make the draws of each machine for so many parts, rounded to ticks as the kernel does."""

    def ticks(machine: Machine, stream: Stream) -> list[int]:
        failure = machine.failure
        law = machine.cycle
        if stream is not Stream.PROCESS:
            if failure is None:
                return []
            law = failure.to_fail if stream is Stream.TIME_TO_FAIL else failure.to_repair
        found = draws(law, seed, stream, replication, machine.key, parts)
        whole: list[int] = np.maximum((found * 1000.0 + 0.5).astype(np.int64), 1).tolist()
        return whole

    return [
        MachineDraws(
            process=ticks(machine, Stream.PROCESS),
            to_fail=ticks(machine, Stream.TIME_TO_FAIL),
            to_repair=ticks(machine, Stream.TIME_TO_REPAIR),
        )
        for machine in line.machines
    ]


def run_simpy(line: Line, made: list[MachineDraws], horizon: int) -> Peer:
    """Run the line up to a horizon [ticks]; the first machine always has a raw part."""
    env = simpy.Environment()
    width = len(line.machines)
    buffers = [simpy.Store(env, capacity=spaces) for spaces in line.buffers]
    peer = Peer(departures=[[] for _ in range(width)], spent=np.zeros((width, 5), np.int64))
    for j in range(width):
        env.process(_machine(env, line, made[j], buffers, j, peer, horizon))
    env.run(until=horizon)
    return peer


def _machine(
    env: simpy.Environment,
    line: Line,
    made: MachineDraws,
    buffers: list[simpy.Store],
    j: int,
    peer: Peer,
    horizon: int,
) -> Step:
    shifts = line.machines[j].shifts
    windows = None if shifts is None else [(to_ticks(a), to_ticks(b)) for a, b in shifts]
    fails, number, failures = bool(made.to_fail), 0, 0
    to_fail = made.to_fail[0] if fails else 1 << 60
    while True:
        if j > 0:
            yield buffers[j - 1].get()
        need = made.process[number]
        number += 1
        while True:
            piece = min(need, to_fail)
            yield from _inside(env, piece, windows)
            need -= piece
            to_fail -= piece
            if need == 0:
                break
            yield from _inside(env, made.to_repair[failures], windows)
            failures += 1
            to_fail = made.to_fail[failures]
        finished = env.now
        if j < len(buffers):
            yield buffers[j].put(number)
        peer.departures[j].append(int(env.now))
        if windows is None:
            peer.spent[j, Spent.BLOCKED] += env.now - finished


def _inside(env: simpy.Environment, need: int, windows: list[tuple[int, int]] | None) -> Step:
    """Let so many ticks pass inside the shifts."""
    if windows is None:
        if need:
            yield env.timeout(need)
        return
    for start, end in windows:
        if need == 0:
            return
        if end <= env.now:
            continue
        if env.now < start:
            yield env.timeout(start - env.now)
        step = min(need, end - env.now)
        need -= step
        yield env.timeout(step)
    if need:
        yield env.timeout(1 << 60)
