"""``live``: what a browser receives each second from the real demo, and what a frame costs."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cluster import processes
from cluster.bench.children import Child
from cluster.bench.demo import SERVICE, Demo
from cluster.bench.report import Figure, at_most, median
from cluster.bench.stage import Stage, quantile
from models.errors import Unavailable

CLIENTS: Final = 20
PROFILES: Final = ("overview", "energy", "output", "logistics")
FRAME_BYTES: Final = 2048
FOLDING: Final = "dashboard.verbs.bench_frames"
_SETTLE_S: Final = 15.0


@dataclass(slots=True)
class Browser:
    """What one client received: the first message (a snapshot), then one per second."""

    profile: str
    snapshot: int = 0
    frames: list[int] = field(default_factory=list)


def run(stage: Stage) -> Sequence[Figure]:
    """Open 20 sockets over the pages of the demo, and weigh what comes."""
    seconds = stage.size(60, 10)
    with Demo(stage.folder, stage.tell) as demo:
        time.sleep(_SETTLE_S)
        park = demo.client.first_park()
        service = demo.pid_of(SERVICE)
        alone_s = cpu_of(service, seconds)
        stage.tell(f"{CLIENTS} clients for {seconds} s")
        before_s, began = processes.cpu_seconds(service), time.monotonic()
        browsers, frames = asyncio.run(watch(demo, park, seconds))
        busy_s = (processes.cpu_seconds(service) - before_s) / (time.monotonic() - began)
        specs = demo.client.raw("GET", f"/parks/{park}/figures/specs")
    folded_ms = folded(specs, frames)
    return _figures(browsers, seconds, folded_ms, (alone_s, busy_s))


def cpu_of(pid: int, seconds: float) -> float:
    """Cores a process uses over some seconds."""
    before_s = processes.cpu_seconds(pid)
    time.sleep(seconds)
    return (processes.cpu_seconds(pid) - before_s) / seconds


async def watch(demo: Demo, park: str, seconds: float) -> tuple[list[Browser], list[bytes]]:
    """Listen with all clients; the frames themselves are asked for once a second beside."""
    browsers = [Browser(PROFILES[number % len(PROFILES)]) for number in range(CLIENTS)]
    async with asyncio.TaskGroup() as group:
        for browser in browsers:
            group.create_task(_listen(browser, demo.address, park, seconds))
        asked = group.create_task(_frames(demo, park, seconds))
    return browsers, asked.result()


async def _listen(browser: Browser, address: str, park: str, seconds: float) -> None:
    url = f"ws://{address}/live?park={park}&profile={browser.profile}"
    try:
        async with asyncio.timeout(seconds), connect(url, max_size=2**22, proxy=None) as socket:
            async for message in socket:
                size = len(message if isinstance(message, bytes) else message.encode())
                if browser.snapshot:
                    browser.frames.append(size)
                else:
                    browser.snapshot = size
    except (TimeoutError, ConnectionClosed):
        return


async def _frames(demo: Demo, park: str, seconds: float) -> list[bytes]:
    found = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        path = f"/parks/{park}/figures"
        found.append(await asyncio.to_thread(demo.client.raw, "GET", path))
        await asyncio.sleep(1.0)
    return found


def folded(specs: bytes, frames: Sequence[bytes]) -> dict[str, list[float]]:
    """Milliseconds the web process needs for each frame, by profile: the same fold, apart.

    Raises
    ------
    Unavailable
        When the process that folds fails.
    """
    with Child(FOLDING) as child:
        child.say(orjson.dumps(PROFILES).decode())
        child.say(specs.decode())
        for frame in frames:
            child.say(frame.decode())
        child.say("")
        times: dict[str, list[float]] = json.loads(child.line(60.0))
    return times


def _figures(
    browsers: Sequence[Browser],
    seconds: float,
    folded_ms: dict[str, list[float]],
    cores: tuple[float, float],
) -> tuple[Figure, ...]:
    silent = [browser.profile for browser in browsers if not browser.frames]
    if silent:
        raise Unavailable(f"no frame came to {silent[0]}", "is the demo park alive?")
    sizes = {p: [s for b in browsers if b.profile == p for s in b.frames] for p in PROFILES}
    mean = {p: sum(sizes[p]) / len(sizes[p]) for p in PROFILES}
    worst = max(mean, key=lambda p: mean[p])
    all_ms = [ms for times in folded_ms.values() for ms in times]
    rate = sum(sum(b.frames) for b in browsers) / len(browsers) / seconds
    figures = [
        at_most(
            f"frame per browser, mean, {worst} page",
            mean[worst],
            FRAME_BYTES,
            "B",
            n=len(sizes[worst]),
        ),
        Figure(
            name=f"frame per browser, p99, {worst} page",
            value=quantile(sizes[worst], 0.99),
            unit="B",
            n=len(sizes[worst]),
        ),
        Figure(name="per browser, all pages", value=rate, unit="B/s", n=len(browsers)),
        Figure(
            name="frames per second and browser",
            value=sum(len(b.frames) for b in browsers) / len(browsers) / seconds,
            unit="1/s",
            n=len(browsers),
        ),
        Figure(name="first message, largest", value=max(b.snapshot for b in browsers), unit="B"),
        Figure(name="building a frame, median", value=median(all_ms), unit="ms", n=len(all_ms)),
        Figure(
            name="building a frame, p99", value=quantile(all_ms, 0.99), unit="ms", n=len(all_ms)
        ),
        Figure(
            name=f"cores of the service with {CLIENTS} browsers",
            value=cores[1],
            unit="cores",
            peer="the same without a browser",
            peer_value=cores[0],
        ),
    ]
    figures += [
        Figure(name=f"frame, mean, {p} page", value=mean[p], unit="B", n=len(sizes[p]))
        for p in PROFILES
        if p != worst
    ]
    return tuple(figures)
