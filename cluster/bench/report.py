"""The shape of a bench's report: figures with their target and their peer, and the machine."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a bench.

    Parameters
    ----------
    name, value, unit
        What was measured.
    target
        What it shall reach, as text with its direction (``<= 5 s``); empty for a figure without.
    holds
        Whether it does; None without a target.
    peer, peer_value
        What was measured beside it in the same run, and its value in the same unit.
    n
        How many measurements stand behind the value.
    """

    name: str
    value: float
    unit: str
    target: str = ""
    holds: bool | None = None
    peer: str = ""
    peer_value: float | None = None
    n: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of one bench on one machine."""

    bench: str
    machine: str
    figures: tuple[Figure, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, as ``--json`` prints it."""
        return asdict(self)


def at_most(
    name: str,
    value: float,
    limit: float,
    unit: str,
    *,
    peer: str = "",
    peer_value: float | None = None,
    n: int = 1,
) -> Figure:
    """A figure that shall not exceed a limit."""
    plain = Figure(name=name, value=value, unit=unit, peer=peer, peer_value=peer_value, n=n)
    return replace(plain, target=f"<= {limit:g} {unit}", holds=value <= limit)


def at_least(
    name: str,
    value: float,
    limit: float,
    unit: str,
    *,
    peer: str = "",
    peer_value: float | None = None,
    n: int = 1,
) -> Figure:
    """A figure that shall reach a limit."""
    plain = Figure(name=name, value=value, unit=unit, peer=peer, peer_value=peer_value, n=n)
    return replace(plain, target=f">= {limit:g} {unit}", holds=value >= limit)


def median(values: Sequence[float]) -> float:
    """Median; what a bench quotes of several runs."""
    return statistics.median(values)


def machine() -> str:
    """Processor, cores and memory of this machine, in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [x for x in cpuinfo.read_text().splitlines() if x.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    cores = len(os.sched_getaffinity(0))
    version = platform.python_version()
    return f"{model}, {cores} cores, {pages / 2**30:.0f} GiB, Python {version}"
