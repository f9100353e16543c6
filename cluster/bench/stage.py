"""Where a bench runs: its folder on the disk to be measured, its size, its voice."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.bench.report import Figure
from models.errors import InputError

Tell = Callable[[str], None]
DISK: Final = Path("/var/tmp")  # noqa: S108 - on a disk by the FHS, where /tmp may be memory
_PREFIX: Final = "parktwin-bench-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a bench is given.

    Parameters
    ----------
    folder
        Empty folder of its own; removed afterwards.
    quick
        Fewer repetitions and smaller data: shows that it works, its figures are rough.
    tell
        Takes a line of progress.
    """

    folder: Path
    quick: bool
    tell: Tell

    def size(self, whole: int, quick: int) -> int:
        """How many of something: of a whole run, or of a quick one."""
        return quick if self.quick else whole


Bench = Callable[[Stage], Sequence[Figure]]


@contextmanager
def stage(below: Path, *, quick: bool, tell: Tell) -> Iterator[Stage]:
    """Make the stage of one bench in a folder, and remove it whatever happens.

    Raises
    ------
    InputError
        When there is no such folder.
    """
    if not below.is_dir():
        raise InputError(f"no folder {below}", "name one on the disk to measure", "--data")
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=below))
    try:
        yield Stage(folder=folder, quick=quick, tell=tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def elapsed_s(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def interleaved(
    actions: Mapping[str, Callable[[int], object]], rounds: int, first: int = 0
) -> dict[str, list[float]]:
    """Seconds of each action in each round; rounds go A B C, A B C, so that all share one weather.

    Parameters
    ----------
    actions
        Called with the number of the round.
    rounds, first
        How many rounds, and the number of the first.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(first, first + rounds):
        for name, action in actions.items():
            began = time.perf_counter()
            action(number)
            seconds[name].append(time.perf_counter() - began)
    return seconds


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a share of all does not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(share * len(ranked)) - 1))]


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over the rounds of how many times longer the one took than the other."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))
