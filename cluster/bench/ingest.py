"""``ingest``: a real OPC UA server to a journalled shard, beside a bare asyncua subscription."""

import json
from collections.abc import Sequence
from typing import Final

from cluster.bench.children import Child
from cluster.bench.ingest_process import INTERVAL_MS, Taken
from cluster.bench.report import Figure, at_most, median
from cluster.bench.stage import Stage, paired_ratio
from connectors.bench_server import url_of
from connectors.plant.process import free_ports

PEER: Final = "bare asyncua subscription"
TAGS: Final = 500
LATENCY_TAGS: Final = 100
PATIENCE_S: Final = 120.0
LIMIT_MS: Final = 300.0


def run(stage: Stage) -> Sequence[Figure]:
    """Take the values of one server in turns: gateway and shard, then the bare subscription."""
    rounds, seconds = stage.size(3, 1), stage.size(15, 4)
    (port,) = free_ports(1)
    ours: list[Taken] = []
    peer: list[Taken] = []
    with Child("connectors.bench_server", (port, LATENCY_TAGS, INTERVAL_MS)) as server:
        server.line(PATIENCE_S)
        stage.tell(f"latency: {LATENCY_TAGS} values every {INTERVAL_MS:g} ms")
        quick = _side("ours", stage.folder / "latency", url_of(port), LATENCY_TAGS, seconds)
    with Child("connectors.bench_server", (port, TAGS, INTERVAL_MS)) as server:
        index = server.line(PATIENCE_S).split()[1]
        for number in range(rounds):
            stage.tell(f"round {number + 1} of {rounds}: {TAGS} values every {INTERVAL_MS:g} ms")
            folder = stage.folder / f"round{number}"
            ours.append(_side("ours", folder, url_of(port), TAGS, seconds))
            peer.append(_side("bare", url_of(port), index, TAGS, seconds))
    return (*_latency(quick), *_figures(ours, peer))


def _side(*arguments: object) -> Taken:
    with Child("cluster.bench.ingest_process", arguments) as child:
        return Taken(**json.loads(child.line(PATIENCE_S)))


def _latency(taken: Taken) -> tuple[Figure, ...]:
    return (
        at_most(
            "PLC to journalled state, p99", taken.p99_ms or 0.0, LIMIT_MS, "ms", n=taken.values
        ),
        Figure(
            name="PLC to journalled state, median",
            value=taken.p50_ms or 0.0,
            unit="ms",
            n=taken.values,
        ),
    )


def _figures(ours: Sequence[Taken], peer: Sequence[Taken]) -> tuple[Figure, ...]:
    n = sum(t.values for t in ours)
    mine_us, peer_us = ([t.cpu_s / t.values * 1e6 for t in side] for side in (ours, peer))
    return (
        Figure(
            name="values taken in",
            value=median([t.values / t.seconds for t in ours]),
            unit="values/s",
            peer=PEER,
            peer_value=median([t.values / t.seconds for t in peer]),
            n=n,
        ),
        Figure(
            name="CPU per value, journal and state included",
            value=median(mine_us),
            unit="us",
            peer=PEER,
            peer_value=median(peer_us),
            n=n,
        ),
        Figure(
            name="CPU per value over the bare subscription's",
            value=paired_ratio(mine_us, peer_us),
            unit="x",
            peer=PEER,
            peer_value=1.0,
            n=len(ours),
        ),
        at_most("values lost", sum(t.missing for t in ours), 0, "", n=n),
    )
