"""``python -m connectors.plant PARK.yaml``: start the virtual plant of a park file."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from connectors.plant.faults import parse_fault
from connectors.plant.leader import Plant
from connectors.plant.server import die_with_parent
from connectors.plant.settings import PlantSettings
from models.errors import InputError, TwinError
from twin.parkfile.load import load_park
from twin.samples import to_us


def arguments() -> argparse.ArgumentParser:
    """What the command line takes."""
    parser = argparse.ArgumentParser(
        prog="python -m connectors.plant",
        description="Virtual plant: real OPC UA servers with physics, noise and planted faults.",
    )
    parser.add_argument("park", type=Path, help="park file")
    parser.add_argument("--speed", type=float, default=1.0, help="park seconds per second, 1-60")
    parser.add_argument("--seed", type=int, help="seed of the hidden park; else the file's")
    parser.add_argument("--port-base", type=int, help="first port; else those of the file")
    parser.add_argument("--urls", nargs="*", default=[], metavar="ENDPOINT=URL")
    parser.add_argument("--state", type=Path, help="file of time, speed and counters")
    parser.add_argument("--start-at", help="park time at the start, e.g. 2026-11-20T08:00+07:00")
    parser.add_argument("--labels", type=Path, help="file the truth about faults is appended to")
    parser.add_argument("--ready-file", type=Path, help="written when all servers listen")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND:TARGET:SIZE:AT[:UNTIL]",
        help="e.g. cycle_drift:acme/moulding/l1/p01:0.08:2h",
    )
    parser.add_argument("--secure", action="store_true", help="Basic256Sha256 SignAndEncrypt only")
    parser.add_argument("--pki", type=Path, help="folder of the servers' keys")
    parser.add_argument("--control", action="store_true", help="read commands from standard input")
    parser.add_argument(
        "--die-with-parent", action="store_true", help="end when the starting process ends"
    )
    return parser


def settings_from(args: argparse.Namespace) -> PlantSettings:
    """Settings of a run from the command line.

    Raises
    ------
    InputError
        When an argument is not readable.
    """
    start_us = None if args.start_at is None else _start(args.start_at)
    pairs = [text.partition("=") for text in args.urls]
    if any(not equals for _, equals, _ in pairs):
        raise InputError(
            "an address without its endpoint", "write plc1=opc.tcp://127.0.0.1:4840", "--urls"
        )
    return PlantSettings(
        speed=args.speed,
        seed=args.seed,
        urls={name: url for name, _, url in pairs},
        port_base=args.port_base,
        start_us=start_us,
        state=args.state,
        labels=args.labels,
        ready=args.ready_file,
        secure=args.secure,
        pki=args.pki,
        faults=tuple(parse_fault(text) for text in args.fault),
        control=args.control,
    )


def _start(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"time {text!r}", "write 2026-11-20T08:00+07:00", "--start-at") from error
    return to_us(at)


async def _run(args: argparse.Namespace) -> None:
    plant = Plant(load_park(args.park), settings_from(args))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, plant.stop)
    await plant.run()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the plant until it is told to stop; 0, or 2 when the input is wrong."""
    args = arguments().parse_args(argv)
    if args.die_with_parent:
        die_with_parent()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        asyncio.run(_run(args))
    except TwinError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
