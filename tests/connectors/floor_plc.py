"""A small real OPC UA server for the tests: in the process, or a process of its own.

``python floor_plc.py PORT --namespaces urn:a urn:b --every 0.05 --start 0`` serves
variables ``V0``, ``V1``, … in each namespace. A value is ``namespace number × 1e6 + a count`` whose
namespace number follows the URI, not the index, so that a swapped value is recognisable.
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime

from asyncua import Server, ua
from asyncua.common.node import Node

from connectors.plant.process import free_ports

APPLICATION = "urn:test:plc"


def free_port() -> int:
    """A port nobody listens on now."""
    (port,) = free_ports(1)
    return port


def stamped(value: object, kind: ua.VariantType, at: datetime | None, status: int = 0):
    """A data value with its source time and status."""
    return ua.DataValue(
        Value=ua.Variant(value, kind),
        StatusCode=ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=at,
        ServerTimestamp=datetime.now(UTC),
    )


class Plc:
    """An asyncua server on loopback with variables one can write."""

    def __init__(
        self,
        port: int,
        namespaces: Sequence[str] = ("urn:a", "urn:b"),
        application: str = APPLICATION,
    ) -> None:
        self.port, self.namespaces, self.application = port, tuple(namespaces), application
        self.server = Server()
        self.nodes: dict[tuple[str, str], Node] = {}

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/plc"

    async def start(self, *, configure=None) -> "Plc":
        await self.server.init()
        self.server.set_endpoint(self.url)
        await self.server.set_application_uri(self.application)
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if configure is not None:
            await configure(self.server)
        for uri in self.namespaces:
            await self.server.register_namespace(uri)
        await self.server.start()
        return self

    async def stop(self) -> None:
        await self.server.stop()

    async def add(
        self, uri: str, name: str, value: object, kind: ua.VariantType = ua.VariantType.Double
    ) -> Node:
        index = await self.server.get_namespace_index(uri)
        node = await self.server.nodes.objects.add_variable(
            ua.NodeId(ua.String(name), ua.Int16(index)),
            ua.QualifiedName(name, index),
            ua.Variant(value, kind),
        )
        self.nodes[uri, name] = node
        return node

    async def write(
        self,
        uri: str,
        name: str,
        value: object,
        kind: ua.VariantType = ua.VariantType.Double,
        *,
        at: datetime | None = None,
        status: int = 0,
    ) -> None:
        data = stamped(value, kind, at or datetime.now(UTC), status)
        await self.server.write_attribute_value(self.nodes[uri, name].nodeid, data)


@contextlib.contextmanager
def answering(plc: "Plc", name: str, answer: Callable[[], Awaitable[int]]) -> Iterator[None]:
    """Writes to one node are answered with the code of `answer`; the server's own go on."""
    service = plc.server.iserver.attribute_service
    kept = service.write

    async def write(params, user):
        if params.NodesToWrite[0].NodeId.Identifier != name:
            return await kept(params, user=user)
        return [ua.StatusCode(ua.UInt32(await answer()))]

    service.write = write
    try:
        yield
    finally:
        service.write = kept


@contextlib.asynccontextmanager
async def running(plc: Plc, **more) -> AsyncIterator[Plc]:
    """The server, stopped afterwards."""
    await plc.start(**more)
    try:
        yield plc
    finally:
        await plc.stop()


async def _serve(port: int, namespaces: list[str], nodes: int, every: float, start: int) -> None:
    plc = await Plc(port, namespaces).start()
    numbers = {uri: int(uri.rpartition(":")[2], 36) for uri in namespaces}
    for uri in namespaces:
        for i in range(nodes):
            await plc.add(uri, f"V{i}", float(numbers[uri] * 1_000_000))
    print("ready", flush=True)
    count = start
    while True:
        count += 1
        for uri in namespaces:
            for i in range(nodes):
                await plc.write(uri, f"V{i}", float(numbers[uri] * 1_000_000 + count))
        await asyncio.sleep(every)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--namespaces", nargs="+", default=["urn:a", "urn:b"])
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--every", type=float, default=0.05)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(_serve(given.port, given.namespaces, given.nodes, given.every, given.start))
