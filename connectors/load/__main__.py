"""``python -m connectors.load PORT``: the load server as a process.

Prints one line of JSON when it listens: port, zero and period of the ticks. Each line it reads is
answered by one with what it sent and the CPU time it took; it ends with its input.
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import time
from dataclasses import asdict

from connectors.clock import wall_us
from connectors.load.server import LoadServer, LoadSettings
from connectors.load.values import Ticks
from connectors.plant.server import die_with_parent


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m connectors.load", description=__doc__)
    parser.add_argument("port", type=int, help="0 takes a free one")
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--hz", type=float, default=10.0, help="changes of every node per second")
    parser.add_argument("--mix", choices=("double", "mixed"), default="double")
    parser.add_argument("--queue", type=int, default=10_000, help="longest queue it grants")
    parser.add_argument("--zero-us", type=int, help="time of tick 0; now, when not given")
    parser.add_argument("--flood", action="store_true", help="send as fast as it is asked")
    parser.add_argument("--history", action="store_true", help="nodes have a history")
    parser.add_argument("--core", type=int, help="processor core to stay on")
    return parser.parse_args()


async def _serve(given: argparse.Namespace) -> None:
    ticks = Ticks(
        zero_us=wall_us() if given.zero_us is None else given.zero_us,
        period_us=round(1e6 / given.hz),
    )
    server = LoadServer(
        LoadSettings(
            nodes=given.nodes, mix=given.mix, ticks=ticks, queue=given.queue,
            flood=given.flood, history=given.history,
        )
    )  # fmt: skip
    port = await server.start(given.port)
    gc.freeze()
    _say({"port": port, "zero_us": ticks.zero_us, "period_us": ticks.period_us})
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    pipe, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
    )
    try:
        while await commands.readline():
            _say(asdict(server.counts) | {"cpu_s": time.process_time(), "at_s": time.monotonic()})
    finally:
        pipe.close()
        await server.stop()


def _say(told: dict[str, int | float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    given = _given()
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})
    asyncio.run(_serve(given))


if __name__ == "__main__":
    main()
