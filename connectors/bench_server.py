"""``python -m connectors.bench_server PORT TAGS EVERY_MS [NAMESPACE...]``: a PLC under a bench.

A real asyncua server on loopback, in a process of its own. All values change at one pace; each says
which variable of which namespace it belongs to, and goes up by one at every change, so whoever
reads it can tell what is missing or under a wrong name. Source time is the moment of the change.
"""

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from asyncua import ua
from asyncua.server.server import Server

from connectors.plant.address_space import clock_value
from connectors.plant.ids import named
from connectors.plant.server import die_with_parent


def namespace(number: int) -> str:
    """URI of namespace 1, 2, …"""
    return f"urn:parktwin:bench:{number}"


def url_of(port: int) -> str:
    """Address of the server at a port."""
    return f"opc.tcp://127.0.0.1:{port}/bench"


def identifier(number: int) -> str:
    """Identifier of variable 1, 2, 3, …"""
    return f"s=V{number}"


def value_of(namespace: int, number: int, count: int) -> float:
    """What variable `number` of namespace 1, 2, … holds after so many changes."""
    return namespace * 1e9 + number * 1e6 + count % 1e6


async def serve(port: int, tags: int, every_s: float, order: Sequence[int]) -> None:
    """Serve until cancelled; prints the index of each namespace, in their order, when ready.

    Parameters
    ----------
    port, tags, every_s
        Where, how many variables in each namespace, and how often they change [s].
    order
        Numbers of the namespaces, in the order they are registered: it gives their indexes.
    """
    server = Server()
    await server.init()
    server.set_endpoint(url_of(port))
    await server.set_application_uri("urn:parktwin:bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    nodes: list[tuple[ua.NodeId, int, int]] = []
    indexes = [await server.register_namespace(namespace(each)) for each in order]
    for each, index in zip(order, indexes, strict=True):
        for number in range(1, tags + 1):
            node = await server.nodes.objects.add_variable(
                named(f"V{number}", index),
                ua.QualifiedName(f"V{number}", index),
                ua.Variant(value_of(each, number, 0), ua.VariantType.Double),
            )
            nodes.append((node.nodeid, each, number))
    async with server:
        gc.freeze()
        sys.stdout.write(f"ready {' '.join(map(str, indexes))}\n")
        sys.stdout.flush()
        await _count(server, nodes, every_s)


async def _count(
    server: Server, nodes: Sequence[tuple[ua.NodeId, int, int]], every_s: float
) -> None:
    """Change every value once per period; a period that is too short is skipped, not queued."""
    count, due = 0, time.monotonic()
    while True:
        count += 1
        for node, each, number in nodes:
            data = clock_value(value_of(each, number, count), datetime.now(UTC))
            await server.write_attribute_value(node, data)
        due = max(due + every_s, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    port, tags, every_ms, *order = sys.argv[1:]
    namespaces = [int(each) for each in order] or [1]
    asyncio.run(serve(int(port), int(tags), float(every_ms) / 1000.0, namespaces))


if __name__ == "__main__":
    main()
