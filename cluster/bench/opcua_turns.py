"""Clients of the ``opcua`` bench that take turns, each alone in its process on one core."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cluster.bench.children import Child
from connectors.load.process import Load
from connectors.load.side import Task
from models.errors import Unavailable

PATIENCE_S: Final = 180.0
CORES: Final = sorted(os.sched_getaffinity(0))
_NODE_FOLDER: Final = Path(__file__).parents[2] / "tests" / "connectors" / "node"
_INDEX: Final = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one client did in one turn."""

    values: int
    seconds: float
    cpu_s: float
    more: Mapping[str, Any]

    @property
    def cpu_us(self) -> float:
        """CPU per value [us]; infinite when there was none."""
        return self.cpu_s / self.values * 1e6 if self.values else float("inf")

    @property
    def wrong(self) -> int:
        """Values that were missing, doubled or not what they had to be."""
        verdict = self.more["verdict"]
        return int(verdict["missing"] + verdict["doubled"] + verdict["wrong"])


class Server:
    """A load server, and clients that speak to it one after the other."""

    def __init__(self, child: Child, load: Load) -> None:
        self._child, self._load = child, load
        told = json.loads(child.line(PATIENCE_S))
        self._task = Task(
            nodes=load.nodes,
            mix=load.mix,
            port=told["port"],
            zero_us=told["zero_us"],
            period_us=told["period_us"],
            core=CORES[0] if len(CORES) > 1 else -1,
        )

    def counts(self) -> dict[str, float]:
        """What it sent so far, and its CPU time."""
        self._child.say("")
        told: dict[str, float] = json.loads(self._child.line(PATIENCE_S))
        return told

    def side(self, name: str, **more: object) -> Turn:
        """Let one of our processes, or asyncua in one, take values."""
        task = replace(self._task, **more)  # type: ignore[arg-type]
        return _turn(name, task)

    def node(self, seconds: float, publishing_ms: float) -> Turn:
        """Let node-opcua's client take values."""
        url = f"opc.tcp://127.0.0.1:{self._task.port}/load"
        numbers = (self._load.nodes, publishing_ms, 1000.0 / self._load.hz, seconds)
        command = ["node", str(_NODE_FOLDER / "client.js"), url, _INDEX]
        done = subprocess.run(
            _pinned([*command, *(f"{number:g}" for number in numbers)]),
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise Unavailable(f"node-opcua's client failed: {last[0]}")
        found = json.loads(lines[-1])
        return Turn(more={}, **found)


def _turn(name: str, task: Task) -> Turn:
    told = json.dumps({key: getattr(task, key) for key in Task.__dataclass_fields__})
    with Child("connectors.load.side", (name, told)) as child:
        found = json.loads(child.line(PATIENCE_S + 2 * task.seconds))
    return Turn(values=found["values"], seconds=found["seconds"], cpu_s=found["cpu_s"], more=found)


def _pinned(command: list[str]) -> list[str]:
    """On the clients' core, where the system can."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(CORES[0]), *command] if taskset and len(CORES) > 1 else command


@contextmanager
def serving(load: Load) -> Iterator[Server]:
    """A load server on its core until the end of the block."""
    with Child("connectors.load", _on_its_core(load).arguments(0)) as child:
        yield Server(child, load)


def _on_its_core(load: Load) -> Load:
    return replace(load, core=CORES[1]) if len(CORES) > 1 else load


def without_node() -> str:
    """Why node-opcua cannot be measured here; empty when it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (_NODE_FOLDER / "node_modules").is_dir():
        return "run `npm ci` in tests/connectors/node"
    return ""
