"""``crash``: ``kill -9`` under load, again and again: what is lost, and how long it is away."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from cluster.bench.demo import GATEWAY, SERVICE, TWIN, Demo
from cluster.bench.ledger import Ledger
from cluster.bench.report import Figure, at_most, median
from cluster.bench.stage import Stage
from cluster.bench.wrong_tags import wrong_rows
from connectors.clock import wall_us
from models.errors import TwinError, Unavailable
from twin.samples import to_us

LIMIT_S: Final = {TWIN: 5.0, GATEWAY: 5.0, SERVICE: 30.0}
NAMES: Final = {TWIN: "shard", GATEWAY: "gateway", SERVICE: "service"}
TAGS: Final = 20
_PATIENCE_S: Final = 180.0
_REST_S: Final = 3.0
_LOOK_S: Final = 0.05


def run(stage: Stage) -> Sequence[Figure]:
    """Kill parts of the real demo under load; then mix up what a server and a park file say."""
    kills = stage.size(20, 3)
    figures: list[Figure] = []
    with Demo(stage.folder, stage.tell) as demo:
        park = demo.client.first_park()
        fed = fed_tags(demo, park)
        plants_own = list(fed.values())[TAGS:]
        ledger = Ledger(demo.client.url, park, dict(list(fed.items())[:TAGS]))
        ledger.start()
        time.sleep(_REST_S)
        try:
            for part in (TWIN, GATEWAY, SERVICE):
                stage.tell(f"{kills} x kill -9 of the {NAMES[part]}")
                back = back_of(part, demo, park, ledger, plants_own)
                figures.append(_outages(part, kills, demo, back))
        finally:
            ledger.finish()
        demo.wait_ready(_PATIENCE_S)
        lost, twice = ledger.lost(demo.client)
    acked = len(ledger.acked) * TAGS
    figures += [
        at_most("acknowledged samples lost", lost, 0, "", n=acked),
        at_most("acknowledged samples stored twice", twice, 0, "", n=acked),
    ]
    stage.tell("a server restarts with its namespaces swapped; a park edit moves tags")
    wrong, rows = wrong_rows(stage.folder / "wrong", rounds=stage.size(4, 1))
    figures.append(at_most("rows under a wrong tag", wrong, 0, "", n=rows))
    return figures


def fed_tags(demo: Demo, park: str) -> dict[int, str]:
    """Number and path of gauges that get a value every second or so, more than `TAGS`.

    Raises
    ------
    Unavailable
        When hardly any does.
    """
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        before = _seen(demo, park)
        time.sleep(_REST_S)
        moved = [tag for tag, seen in _seen(demo, park).items() if seen != before.get(tag)]
        if len(moved) > TAGS:
            return dict(moved)
    raise Unavailable("hardly any tag moves", "is the plant running?")


def _seen(demo: Demo, park: str) -> dict[tuple[int, str], object]:
    """When each gauge was heard last, by number and path."""
    tags = demo.client.rows(f"/parks/{park}/tags")
    return {(int(str(t["tag"])), str(t["path"])): t["seen"] for t in tags if t["kind"] == "gauge"}


def _us(at: object) -> int:
    return to_us(datetime.fromisoformat(str(at)))


def back_of(
    part: str, demo: Demo, park: str, ledger: Ledger, plants_own: Sequence[str]
) -> Callable[[float, int], float]:
    """How one learns that a part is back, asked with when it was killed (monotonic s, wall us).

    A shard is back when it acknowledges; a gateway when newer values of half of the tags that move
    are in the state, as one tag may rest for a minute; the service when all its parts say so and a
    sample was acknowledged.
    """

    def acknowledges(since_s: float, _since_us: int) -> float:
        return ledger.back_after(since_s, _PATIENCE_S)

    def samples(since_s: float, since_us: int) -> float:
        until = since_s + _PATIENCE_S
        while time.monotonic() < until:
            with contextlib.suppress(TwinError):
                seen = _seen(demo, park).items()
                newer = {path for (_, path), at in seen if at is not None and _us(at) > since_us}
                if 2 * len(newer.intersection(plants_own)) >= len(plants_own):
                    return time.monotonic() - since_s
            time.sleep(_LOOK_S)
        raise Unavailable(f"the gateway delivered nothing for {_PATIENCE_S:g} s")

    def serves(since_s: float, _since_us: int) -> float:
        acked_s = ledger.back_after(since_s, _PATIENCE_S)
        demo.wait_ready(_PATIENCE_S)
        return max(acked_s, time.monotonic() - since_s)

    return {TWIN: acknowledges, GATEWAY: samples, SERVICE: serves}[part]


def _outages(part: str, kills: int, demo: Demo, back: Callable[[float, int], float]) -> Figure:
    away_s = []
    for _ in range(kills):
        pid = demo.pid_of(part)
        since_s, since_us = time.monotonic(), wall_us()
        os.kill(pid, signal.SIGKILL)
        away_s.append(back(since_s, since_us))
        demo.wait_ready(_PATIENCE_S)
        time.sleep(_REST_S)
    return at_most(
        f"{NAMES[part]} away after kill -9, longest",
        max(away_s),
        LIMIT_S[part],
        "s",
        peer="median",
        peer_value=median(away_s),
        n=kills,
    )
