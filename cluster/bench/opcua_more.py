"""Figures of the ``opcua`` bench that need no stream of values: crawl, mapping, dead devices."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

from cluster.bench.report import Figure, at_least, at_most
from cluster.bench.stage import Stage
from connectors import bench_crawl, bench_match
from connectors.bench_frozen import day
from models.errors import NotFound

_PLAIN: Final = 5000


def more_figures(stage: Stage) -> Sequence[Figure]:
    """Figures of crawl, proposed mapping, and dead devices behind a gateway that answers Good."""
    return (*_crawls(stage), *_mapping(stage), *_dead(stage))


def _crawls(stage: Stage) -> Sequence[Figure]:
    if stage.quick:
        return _crawl(stage, 2000, 0.0)
    return (*_crawl(stage, 100_000, 0.0), *_crawl(stage, 10_000, 1.0))


def _crawl(stage: Stage, nodes: int, delay_ms: float) -> Sequence[Figure]:
    name = f"crawl of {nodes:,} nodes" + (f", {delay_ms:g} ms each way" if delay_ms else "")
    stage.tell(name)
    # The plain browse takes so long that it is measured on a part, and compared per node.
    plain, ours = asyncio.run(bench_crawl.compare(nodes, min(nodes, _PLAIN), delay_ms))
    peer = "plain recursive browse"
    return (
        at_least(
            f"{name}: nodes/s, ours over a {peer}", ours.per_s / plain.per_s, 5, "x", n=ours.nodes
        ),
        Figure(
            name=f"{name}: nodes found per second", value=ours.per_s, unit="nodes/s",
            peer=peer, peer_value=plain.per_s, n=ours.nodes,
        ),
        Figure(
            name=f"{name}: CPU per node", value=ours.cpu_s / ours.nodes * 1e6, unit="us",
            peer=peer, peer_value=plain.cpu_s / plain.nodes * 1e6, n=ours.nodes,
        ),
    )  # fmt: skip


def _mapping(stage: Stage) -> Sequence[Figure]:
    stage.tell("proposed mapping of frozen plants")
    try:
        bench_match.frozen()
    except NotFound:
        why = "the frozen plants lie beside the tests"
        return (Figure(name=f"proposed mapping left out ({why})", value=0.0, unit=""),)
    figures: list[Figure] = []
    for plant in bench_match.PLANTS:
        score = bench_match.score(plant)
        name = f"proposed mapping, plant {plant}"
        figures += [
            at_least(
                f"{name}: right among those accepted", 100 * score.precision, 98, "%",
                n=score.accepted,
            ),
            at_least(f"{name}: share accepted", 100 * score.share, 80, "%", n=score.true),
        ]  # fmt: skip
    return figures


def _dead(stage: Stage) -> Sequence[Figure]:
    """On a simulated clock."""
    days = stage.size(5, 2)
    delays, resting, false_flags = [], 0, 0
    for seed in range(days):
        stage.tell(f"dead devices, simulated day {seed + 1} of {days}")
        false_flags += day(seed, dying=False).false_flags
        died = day(seed, dying=True)
        false_flags += died.false_flags
        delays += [died.delays_s[name] for name, works in died.running.items() if works]
        resting += sum(not works for works in died.running.values())
    return (
        at_most(
            "dead device behind a gateway that answers Good, at work: found within, longest",
            max(delays, default=math.inf), 300, "s", n=len(delays),
        ),
        at_most(
            "false flags on steady values, per 24 simulated hours of 8 machines",
            false_flags, 0, "", n=2 * days,
        ),
        Figure(
            name="devices that died while they rested, which only a heartbeat tells",
            value=float(resting), unit="",
        ),
    )  # fmt: skip
