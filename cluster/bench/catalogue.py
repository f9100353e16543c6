"""Every bench by its name; its module, and what it measures itself against, load when it runs."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cluster.bench.report import Report, machine
from cluster.bench.stage import Bench, Tell, stage
from models.errors import NotFound, Unavailable

BENCHES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "journal": "durable rows a second, beside DuckDB",
        "query": "latest, range and rollup beside DuckDB; nothing wrong is ever read",
        "ingest": "OPC UA server to journal: values a second, CPU per value, latency",
        "opcua": "OPC UA connector beside asyncua and node-opcua: CPU, latency, outages",
        "whatif": "parts a second beside SimPy; a what-if of the demo park",
        "live": "bytes a second per browser, time to build a frame",
        "crash": "kill -9 under load: what is lost, how long it is away",
        "idle": "cores and memory of the demo when nobody asks anything",
    }
)
"""Name of a bench (and of its module here) and what it measures."""

_PEERS: Final = frozenset({"duckdb", "simpy"})


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """Names of benches to run, in the order of the catalogue; all of them when none is given.

    Raises
    ------
    NotFound
        When there is no bench of a name.
    """
    for name in names:
        if name not in BENCHES:
            raise NotFound("bench", name, tuple(BENCHES))
    return tuple(name for name in BENCHES if not names or name in names)


def run_all(names: Sequence[str], below: Path, *, quick: bool, tell: Tell) -> Iterator[Report]:
    """Run benches one after the other.

    Parameters
    ----------
    names
        Which; all when empty.
    below
        Folder on the disk to measure.
    quick, tell
        See `Stage`.

    Raises
    ------
    NotFound
        When there is no bench of a name.
    Unavailable
        When a bench cannot run here.
    """
    for name in chosen(names):
        tell(f"{name}: {BENCHES[name]}")
        bench = bench_of(name)
        with stage(below, quick=quick, tell=_named(name, tell)) as on:
            figures = bench(on)
        yield Report(bench=name, machine=machine(), figures=tuple(figures))


def _named(name: str, tell: Tell) -> Tell:
    return lambda text: tell(f"{name}: {text}")


def bench_of(name: str) -> Bench:
    """Load one bench.

    Raises
    ------
    Unavailable
        When the peer it compares with is not installed.
    """
    try:
        module = importlib.import_module(f"cluster.bench.{name}")
    except ModuleNotFoundError as missing:
        if missing.name not in _PEERS:
            raise
        raise Unavailable(
            f"bench {name} compares with {missing.name}, which is not installed",
            "install the development lock (make setup-dev), or name other benches",
        ) from missing
    bench: Bench = module.run
    return bench
