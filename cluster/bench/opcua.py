"""``opcua``: our connector beside asyncua and node-opcua, on the same bytes of one load server.

Every client is alone in its process on one core, the load server on another; what is compared is
CPU time per value, which does not depend on what else the machine does. Clients take turns, so that
all share one weather.
"""

import json
from collections.abc import Sequence
from typing import Final

from cluster.bench.children import Child
from cluster.bench.opcua_faults import outages, told_of_losses
from cluster.bench.opcua_more import more_figures
from cluster.bench.opcua_turns import CORES, PATIENCE_S, Server, Turn, serving, without_node
from cluster.bench.report import Figure, at_least, at_most, median
from cluster.bench.stage import Stage, paired_ratio
from connectors.load.process import Load
from connectors.plant.keys import CERTIFICATE

HANDLER: Final = "stock asyncua handler"
ITERATOR: Final = "stock asyncua iterator"
NODE: Final = "node-opcua's client"
MANY: Final = 10_000
FEW: Final = 1000
FASTEST_HZ: Final = 50.0


def run(stage: Stage) -> Sequence[Figure]:
    """All figures, one after the other."""
    return (
        *_many(stage),
        *_mixed(stage),
        *_decoding(stage),
        *_few(stage),
        *_polling(stage),
        *_latency(stage),
        *_highest(stage),
        *_security(stage),
        *outages(stage),
        *told_of_losses(stage),
        *more_figures(stage),
    )


def _ratio(what: str, peer: str, limit: float, mine: Sequence[Turn], its: Sequence[Turn]) -> Figure:
    """How many times the CPU per value the other needs."""
    mine_us, its_us = [t.cpu_us for t in mine], [t.cpu_us for t in its]
    return at_least(
        f"{what}: CPU per value, {peer} over ours", paired_ratio(its_us, mine_us), limit, "x",
        peer=f"{peer} [us]", peer_value=median(its_us), n=len(mine),
    )  # fmt: skip


def _sound(what: str, turns: Sequence[Turn]) -> Figure:
    return at_most(
        f"{what}: values missing, doubled or wrong", sum(t.wrong for t in turns), 0, "",
        n=sum(t.values for t in turns),
    )  # fmt: skip


# --- figures ---


def _many(stage: Stage) -> Sequence[Figure]:
    rounds, seconds = stage.size(5, 2), stage.size(10, 2)
    missing = without_node()
    ours, handler, iterator, node = [], [], [], []
    with serving(Load(nodes=MANY)) as server:
        for number in range(rounds):
            stage.tell(f"{MANY} Double at 10 Hz, round {number + 1} of {rounds}")
            ours.append(server.side("ours", seconds=seconds))
            handler.append(server.side("handler", seconds=seconds))
            iterator.append(server.side("iterator", seconds=seconds))
            if not missing:
                node.append(server.node(seconds, 100.0))
    what = "10k Double at 10 Hz"
    figures = [
        at_most(
            f"{what}: CPU per value to Arrow batches", median([t.cpu_us for t in ours]), 0.5, "us",
            peer=HANDLER, peer_value=median([t.cpu_us for t in handler]), n=rounds,
        ),
        Figure(
            name=f"{what}: values delivered", unit="values/s", n=rounds,
            value=median([t.values / t.seconds for t in ours]),
            peer=HANDLER, peer_value=median([t.values / t.seconds for t in handler]),
        ),
        _sound(what, ours),
        _ratio(what, HANDLER, 60, ours, handler),
        _ratio(what, ITERATOR, 30, ours, iterator),
    ]  # fmt: skip
    if missing:
        return (*figures, Figure(name=f"{what}: {NODE} left out ({missing})", value=0.0, unit=""))
    return (*figures, _ratio(what, NODE, 6, ours, node))


def _mixed(stage: Stage) -> Sequence[Figure]:
    what = "10k mixed at 10 Hz"
    ours, handler = _pairs(stage, what, Load(nodes=MANY, mix="mixed"))
    return (_cpu(what, ours), _sound(what, ours), _ratio(what, HANDLER, 60, ours, handler))


def _few(stage: Stage) -> Sequence[Figure]:
    what = "1k Double at 10 Hz"
    ours, handler = _pairs(stage, what, Load(nodes=FEW))
    return (_cpu(what, ours), _sound(what, ours), _ratio(what, HANDLER, 15, ours, handler))


def _pairs(stage: Stage, what: str, load: Load) -> tuple[list[Turn], list[Turn]]:
    rounds, seconds = stage.size(5, 2), stage.size(10, 2)
    ours, handler = [], []
    with serving(load) as server:
        for number in range(rounds):
            stage.tell(f"{what}, round {number + 1} of {rounds}")
            ours.append(server.side("ours", seconds=seconds))
            handler.append(server.side("handler", seconds=seconds))
    return ours, handler


def _cpu(what: str, turns: Sequence[Turn]) -> Figure:
    return Figure(
        name=f"{what}: CPU per value to Arrow batches", unit="us", n=len(turns),
        value=median([t.cpu_us for t in turns]),
    )  # fmt: skip


def _decoding(stage: Stage) -> Sequence[Figure]:
    rounds = stage.size(9, 3)
    core = CORES[0] if len(CORES) > 1 else -1
    figures = []
    for mix, limit in (("mixed", 200.0), ("double", None)):
        stage.tell(f"decoding messages of 20,000 {mix} values")
        told = {"nodes": 2 * MANY, "mix": mix, "rounds": rounds, "core": core}
        with Child("connectors.load.side", ("decode", json.dumps(told))) as child:
            found = json.loads(child.line(PATIENCE_S))
        ours, stock = found["ours_us"], found["stock_us"]
        name = f"decode only, 20,000 {mix}: CPU per value, stock over ours"
        ratio, its = paired_ratio(stock, ours), median(stock)
        peer = "stock decode [us]"
        if limit is None:
            figures.append(
                Figure(name=name, value=ratio, unit="x", peer=peer, peer_value=its, n=rounds)
            )
        else:
            figures.append(at_least(name, ratio, limit, "x", peer=peer, peer_value=its, n=rounds))
    return figures


def _polling(stage: Stage) -> Sequence[Figure]:
    rounds, seconds = stage.size(5, 2), stage.size(10, 2)
    ours, stock = [], []
    # Values change faster than they are read: every read brings all of them.
    with serving(Load(nodes=FEW, hz=200.0)) as server:
        for number in range(rounds):
            stage.tell(f"polling {FEW} nodes per call, round {number + 1} of {rounds}")
            ours.append(server.side("poll", seconds=seconds, publishing_ms=20.0))
            stock.append(server.side("polling", seconds=seconds))
    return (_ratio("polling 1,000 nodes per call", "stock read_values", 5, ours, stock),)


def _latency(stage: Stage) -> Sequence[Figure]:
    rounds, seconds = stage.size(5, 2), stage.size(20, 3)
    at_once: list[Turn] = []
    paused: list[Turn] = []
    with serving(Load(nodes=FEW)) as server:
        for number in range(rounds):
            stage.tell(f"latency, round {number + 1} of {rounds}")
            for turns, linger_s in ((at_once, 0.0), (paused, 0.05)):
                more = {"seconds": seconds, "publishing_ms": 10.0, "linger_s": linger_s}
                turns.append(server.side("ours", **more))
    name = "PLC change to Arrow batch, publishing at 10 ms"
    return (
        at_most(
            f"{name}, p99", median([float(t.more["p99_ms"]) for t in at_once]), 25, "ms",
            n=rounds,
        ),
        Figure(
            name=f"{name}, median", value=median([float(t.more["p50_ms"]) for t in at_once]),
            unit="ms", n=rounds,
        ),
        Figure(
            name=f"{name}, p99 with the gateway's own pause of 50 ms",
            value=median([float(t.more["p99_ms"]) for t in paused]), unit="ms", n=rounds,
        ),
    )  # fmt: skip


def _highest(stage: Stage) -> Sequence[Figure]:
    """What the clock asks for, and what comes when the server sends as fast as it is asked."""
    seconds = stage.size(12, 3)
    stage.tell("500,000 values per second")
    with serving(Load(nodes=MANY, hz=FASTEST_HZ)) as server:
        before = server.counts()
        paced = server.side("ours", seconds=seconds, publishing_ms=20.0)
        after = server.counts()
    own = (after["cpu_s"] - before["cpu_s"]) / (after["at_s"] - before["at_s"])
    stage.tell("as fast as it goes")
    with serving(Load(nodes=MANY, hz=1000.0, flood=True)) as server:
        flood = server.side("ours", seconds=stage.size(12, 3), publishing_ms=20.0)
    return (
        at_least(
            "10k Double at 50 Hz: values delivered", paced.values / paced.seconds,
            0.98 * MANY * FASTEST_HZ, "values/s", n=paced.values,
        ),
        _sound("10k Double at 50 Hz", [paced]),
        Figure(
            name="10k Double at 50 Hz: share of a core, ours", value=paced.cpu_s / paced.seconds,
            unit="cores", peer="load server", peer_value=own,
        ),
        Figure(
            name="as fast as it is asked: values delivered", value=flood.values / flood.seconds,
            unit="values/s", n=flood.values,
        ),
        _sound("as fast as it is asked", [flood]),
        Figure(
            name="as fast as it is asked: share of a core, ours",
            value=flood.cpu_s / flood.seconds, unit="cores",
        ),
    )  # fmt: skip


def _security(stage: Stage) -> Sequence[Figure]:
    rounds, seconds = stage.size(5, 2), stage.size(10, 3)
    nodes, hz = 500, 10.0
    plain, secure = [], []
    keys = stage.folder / "server"
    core = (CORES[1],) if len(CORES) > 1 else ()
    with Child("connectors.load.secure_server", (keys, nodes, hz, *core)) as child:
        server = Server(child, Load(nodes=nodes, hz=hz))
        for number in range(rounds):
            stage.tell(f"security, round {number + 1} of {rounds}")
            plain.append(server.side("ours", seconds=seconds))
            more = {"pki": str(stage.folder / "pki"), "certificate": str(keys / CERTIFICATE)}
            secure.append(server.side("ours", seconds=seconds, policy="Basic256Sha256", **more))
    extra = [s.cpu_us - p.cpu_us for p, s in zip(plain, secure, strict=True)]
    return (
        Figure(
            name="Basic256Sha256/SignAndEncrypt: more CPU per value than None, asyncua's server, "
            f"{nodes} Double at {hz:g} Hz",
            value=median(extra), unit="us", peer="None, CPU per value",
            peer_value=median([t.cpu_us for t in plain]), n=rounds,
        ),
    )  # fmt: skip
