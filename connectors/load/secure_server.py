"""``python -m connectors.load.secure_server FOLDER NODES HZ``: asyncua's server, with security.

The load server speaks no security; what encryption costs a client is measured against this one,
which offers None and Basic256Sha256/SignAndEncrypt for the same nodes. It reaches a few thousand
values per second. FOLDER gets its key and certificate. Prints the line the load server prints.
"""

import asyncio
import gc
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import numpy as np
from asyncua import ua
from asyncua.server.server import Server

from connectors.clock import wall_us
from connectors.load.space import APPLICATION
from connectors.load.values import NAMESPACE, Ticks, doubles
from connectors.plant.address_space import clock_value
from connectors.plant.ids import numbered
from connectors.plant.keys import CERTIFICATE, KEY, ensure_keys
from connectors.plant.process import free_ports
from connectors.plant.server import die_with_parent
from twin.samples import from_us

_DOUBLE: Final = ua.VariantType.Double


async def _serve(folder: Path, nodes: int, hz: float) -> None:
    (port,) = free_ports(1)
    await ensure_keys(folder, APPLICATION)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/load")
    await server.set_application_uri(APPLICATION)
    await server.load_certificate(folder / CERTIFICATE)
    await server.load_private_key(folder / KEY)
    policies = ua.SecurityPolicyType
    server.set_security_policy([policies.NoSecurity, policies.Basic256Sha256_SignAndEncrypt])
    index = await server.register_namespace(NAMESPACE)
    numbers = np.arange(nodes, dtype=np.int64)
    ids = []
    for number in range(1, nodes + 1):
        node = await server.nodes.objects.add_variable(
            numbered(number, index), ua.QualifiedName(f"V{number}", index), 0.0, _DOUBLE
        )
        ids.append(node.nodeid)
    ticks = Ticks(zero_us=wall_us(), period_us=round(1e6 / hz))
    async with server:
        gc.freeze()
        told = {"port": port, "zero_us": ticks.zero_us, "period_us": ticks.period_us}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        while True:
            tick = ticks.newest(wall_us()) + 1
            await asyncio.sleep((ticks.at_us(tick) - wall_us()) / 1e6)
            at = from_us(ticks.at_us(tick))
            for each, value in zip(ids, doubles(numbers, tick).tolist(), strict=True):
                await server.write_attribute_value(each, clock_value(value, at))


def main() -> None:
    """Entry of the process."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    folder, nodes, hz, *core = sys.argv[1:]
    if core:
        os.sched_setaffinity(0, {int(core[0])})
    asyncio.run(_serve(Path(folder), int(nodes), float(hz)))


if __name__ == "__main__":
    main()
