"""``python -m connectors.bench_server PORT TAGS EVERY_MS``: a PLC whose values all change at a pace.

A real asyncua server on loopback, in a process of its own. Each value is a count that goes up by
one at every change, so whoever reads it can tell what is missing; source time is the moment of the
change.
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from datetime import UTC, datetime
from typing import Final

from asyncua import Server, ua

from connectors.plant.server import die_with_parent

NAMESPACE: Final = "urn:parktwin:bench"


def url_of(port: int) -> str:
    """Address of the server at a port."""
    return f"opc.tcp://127.0.0.1:{port}/bench"


def identifier(number: int) -> str:
    """Identifier of variable 1, 2, 3, …"""
    return f"s=V{number}"


async def serve(port: int, tags: int, every_s: float) -> None:
    """Serve until cancelled; prints the namespace index when ready."""
    server = Server()
    await server.init()
    server.set_endpoint(url_of(port))
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(NAMESPACE)
    nodes = []
    for number in range(1, tags + 1):
        node = await server.nodes.objects.add_variable(
            ua.NodeId(ua.String(f"V{number}"), ua.Int16(index)),
            ua.QualifiedName(f"V{number}", index),
            ua.Variant(0.0, ua.VariantType.Double),
        )
        nodes.append(node.nodeid)
    async with server:
        gc.freeze()
        sys.stdout.write(f"ready {index}\n")
        sys.stdout.flush()
        await _count(server, nodes, every_s)


async def _count(server: Server, nodes: list[ua.NodeId], every_s: float) -> None:
    """Change every value once per period; a period that is too short is skipped, not queued."""
    count, due = 0, time.monotonic()
    while True:
        count += 1
        for node in nodes:
            now = datetime.now(UTC)
            value = ua.DataValue(
                Value=ua.Variant(float(count), ua.VariantType.Double),
                SourceTimestamp=now,
                ServerTimestamp=now,
            )
            await server.write_attribute_value(node, value)
        due = max(due + every_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    port, tags, every_ms = sys.argv[1:]
    asyncio.run(serve(int(port), int(tags), float(every_ms) / 1000.0))


if __name__ == "__main__":
    main()
