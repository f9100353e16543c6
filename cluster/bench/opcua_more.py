"""Figures of the ``opcua`` bench that need no stream of values: crawl, mapping, dead devices."""

import math
from collections.abc import Sequence

from cluster.bench.report import Figure, at_most
from cluster.bench.stage import Stage
from connectors.bench_frozen import day


def more_figures(stage: Stage) -> Sequence[Figure]:
    """Figures of dead devices behind a gateway that answers Good, on a simulated clock."""
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
