"""``idle``: what the demo costs when nobody asks anything, its plant apart."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster import processes
from cluster.bench.demo import PLANT, Demo
from cluster.bench.report import Figure, at_most, median
from cluster.bench.stage import Stage
from cluster.processes import ProcessMark

CORES: Final = 0.6
MEMORY_GIB: Final = 3.0
SETTLE_S: Final = 30.0
_LOOK_S: Final = 2.0
_GIB: Final = 2**30


@dataclass(slots=True)
class Watch:
    """CPU time and memory of processes by part, looked at again and again."""

    spent_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    memory: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _seen_s: dict[ProcessMark, float] = field(default_factory=dict)

    def look(self, parts: dict[ProcessMark, str], *, weigh: bool) -> None:
        """Add what each process used since the last look; a new one counts from its start."""
        first = not self._seen_s
        memory: dict[str, int] = defaultdict(int)
        for process, part in parts.items():
            used_s = processes.cpu_seconds(process.pid)
            before_s = self._seen_s.get(process, used_s if first else 0.0)
            self.spent_s[part] += max(0.0, used_s - before_s)
            self._seen_s[process] = max(used_s, before_s)
            if weigh:
                memory[part] += processes.memory_bytes(process.pid)
        for part, size in memory.items():
            self.memory[part].append(size)


def run(stage: Stage) -> Sequence[Figure]:
    """Start the demo, leave it alone, and look at its process tree."""
    seconds = stage.size(300, 60)
    with Demo(stage.folder, stage.tell) as demo:
        time.sleep(SETTLE_S)
        stage.tell(f"watching for {seconds} s")
        watch, began = Watch(), time.monotonic()
        looks = 0
        while time.monotonic() - began < seconds:
            watch.look(demo.parts(), weigh=looks % 5 == 0)
            looks += 1
            time.sleep(_LOOK_S)
        watch.look(demo.parts(), weigh=True)
        took_s = time.monotonic() - began
        ready_s = demo.ready_s
    return _figures(watch, took_s, ready_s)


def _figures(watch: Watch, took_s: float, ready_s: float) -> tuple[Figure, ...]:
    cores = {part: spent_s / took_s for part, spent_s in watch.spent_s.items()}
    memory = {part: median(sizes) / _GIB for part, sizes in watch.memory.items()}
    n = max(len(sizes) for sizes in watch.memory.values())
    ours = [part for part in cores if part != PLANT]
    figures = [
        at_most("cores, plant apart", sum(cores[p] for p in ours), CORES, "cores", n=n),
        at_most(
            "memory, plant apart", sum(memory.get(p, 0.0) for p in ours), MEMORY_GIB, "GiB", n=n
        ),
        Figure(name="ready after", value=ready_s, unit="s"),
    ]
    by_cores = sorted(cores, key=lambda p: -cores[p])
    by_memory = sorted(memory, key=lambda p: -memory[p])
    figures += [Figure(name=f"cores of {p}", value=cores[p], unit="cores", n=n) for p in by_cores]
    figures += [Figure(name=f"memory of {p}", value=memory[p], unit="GiB", n=n) for p in by_memory]
    return tuple(figures)
