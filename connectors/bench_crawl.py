"""A crawl beside a plain recursive browse, against one server in a process of its own.

``python -m connectors.bench_crawl serve PORT NODES DELAY_MS`` is the server;
``python -m connectors.bench_crawl NODES [PLAIN [DELAY_MS]]`` measures. The plain one is what
asyncua's documentation leads to: each node's children, then each variable's attributes, one call
after another. It is far slower, so it may be measured on a part (PLAIN nodes) and is compared per
node; both see the same nodes of one server. DELAY_MS holds every byte back each way, as a plant's
network and a PLC do; without it both are bound by the server's own work.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from connectors.opcua.config import EndpointConfig
from connectors.opcua.crawl import CrawlLimits, crawl_all
from connectors.plant.server import die_with_parent
from models.errors import Unavailable

_FOLDERS = 100
_URI = "urn:parktwin:crawl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crawled:
    """Nodes a crawl found, and its wall and CPU time in this process [s]."""

    nodes: int
    seconds: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        """Nodes per second."""
        return self.nodes / self.seconds


async def plain_browse(url: str, most: int) -> Crawled:
    """Children one node at a time, attributes one variable at a time, until `most` nodes.

    What is asked is what `crawl_all` tells too: data type, rank, access level, description, value.
    """
    found = 0
    async with Client(url, watchdog_intervall=3600) as client:
        began, cpu = time.monotonic(), time.process_time()
        waiting: list[Node] = [client.nodes.objects]
        known = {client.nodes.objects.nodeid, client.nodes.server.nodeid}
        while waiting and found < most:
            node = waiting.pop()
            for told in await node.get_children_descriptions():
                target = client.get_node(told.NodeId)
                if target.nodeid in known:
                    continue
                known.add(target.nodeid)
                found += 1
                waiting.append(target)
                if told.NodeClass == ua.NodeClass.Variable:
                    await target.read_attributes(
                        [
                            AttributeIds.DataType,
                            AttributeIds.ValueRank,
                            AttributeIds.AccessLevel,
                            AttributeIds.Description,
                            AttributeIds.Value,
                        ]
                    )
                if found >= most:
                    break
        return Crawled(
            nodes=found, seconds=time.monotonic() - began, cpu_s=time.process_time() - cpu
        )


async def our_crawl(url: str, most: int) -> Crawled:
    """The same nodes by `crawl_all`."""
    config = EndpointConfig(id="bench", url=url, allow_insecure=True)
    began, cpu = time.monotonic(), time.process_time()
    crawl = await crawl_all(config, limits=CrawlLimits(nodes=most), timeout_s=60.0)
    return Crawled(
        nodes=len(crawl.nodes), seconds=time.monotonic() - began, cpu_s=time.process_time() - cpu
    )


@contextlib.asynccontextmanager
async def server_of(
    nodes: int, *, delay_ms: float = 0.0, start_s: float = 300.0
) -> AsyncIterator[str]:
    """A server with so many nodes in a process of its own; its address.

    Raises
    ------
    Unavailable
        When it does not start in time.
    """
    port = _free_port()
    command = ("-m", "connectors.bench_crawl", "serve", str(port), str(nodes), str(delay_ms))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        async with asyncio.timeout(start_s):
            line = await process.stdout.readline()
        if line.strip() != b"ready":
            raise Unavailable("the server of the bench did not start", "look at its messages")
        yield _url(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def compare(nodes: int, plain: int, delay_ms: float = 0.0) -> tuple[Crawled, Crawled]:
    """The plain browse on a part, and our crawl of the whole; `delay_ms` each way on the link."""
    async with server_of(nodes, delay_ms=delay_ms) as url:
        ours = await our_crawl(url, nodes + _FOLDERS * 20)
        return await plain_browse(url, plain), ours


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _url(port: int) -> str:
    return f"opc.tcp://127.0.0.1:{port}/crawl"


async def _serve(port: int, nodes: int, delay_s: float) -> None:
    server = Server()
    await server.init()
    inner = port if not delay_s else _free_port()
    server.set_endpoint(_url(inner))
    await server.set_application_uri(_URI)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(_URI)
    parents = [ua.NodeId(ua.Int32(ObjectIds.ObjectsFolder), ua.Int16(0))]
    items: list[ua.AddNodesItem] = []
    folders = max(1, nodes // _FOLDERS)
    for number in range(folders):
        folder = ua.NodeId(ua.String(f"F{number}"), ua.Int16(index))
        # Folders below folders: ten to each, so that the tree has levels.
        parent = parents[number // 10]
        parents.append(folder)
        items.append(_folder(folder, parent, f"F{number}", index))
        items.extend(
            _variable(ua.NodeId(ua.String(f"F{number}.V{n}"), ua.Int16(index)), folder, n, index)
            for n in range(_FOLDERS - 1)
        )
    results = await server.iserver.isession.add_nodes(items)
    if any(result.StatusCode.is_bad() for result in results):
        sys.stdout.write("failed\n")
        return
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        if delay_s:
            link = functools.partial(_link, inner, delay_s)
            await stack.enter_async_context(await asyncio.start_server(link, "127.0.0.1", port))
        gc.freeze()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def _link(
    port: int, delay_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One connection over a link on which every byte takes its time, in order, each way."""
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_slow(reader, inner_writer, delay_s), _slow(inner_reader, writer, delay_s))


async def _slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(2**16):
        loop.call_later(delay_s, writer.write, data)
    loop.call_later(delay_s, writer.close)


def _folder(node: ua.NodeId, parent: ua.NodeId, name: str, index: int) -> ua.AddNodesItem:
    item = ua.AddNodesItem()
    item.RequestedNewNodeId = node
    item.BrowseName = ua.QualifiedName(name, index)
    item.ParentNodeId = parent
    item.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.Organizes), ua.Int16(0))
    item.NodeClass = ua.NodeClass.Object
    item.TypeDefinition = ua.NodeId(ua.Int32(ObjectIds.FolderType), ua.Int16(0))
    attributes = ua.ObjectAttributes()
    attributes.DisplayName = ua.LocalizedText(name)
    item.NodeAttributes = attributes
    return item


def _variable(node: ua.NodeId, parent: ua.NodeId, number: int, index: int) -> ua.AddNodesItem:
    item = _folder(node, parent, f"V{number}", index)
    item.NodeClass = ua.NodeClass.Variable
    item.ReferenceTypeId = ua.NodeId(ua.Int32(ObjectIds.HasComponent), ua.Int16(0))
    item.TypeDefinition = ua.NodeId(ua.Int32(ObjectIds.BaseDataVariableType), ua.Int16(0))
    attributes = ua.VariableAttributes()
    attributes.DisplayName = ua.LocalizedText(f"V{number}")
    attributes.DataType = ua.NodeId(ua.Int32(ObjectIds.Double), ua.Int16(0))
    attributes.Value = ua.Variant(float(number), ua.VariantType.Double)
    attributes.ValueRank = ua.Int32(-1)
    attributes.AccessLevel = ua.Byte(1)
    attributes.UserAccessLevel = ua.Byte(1)
    item.NodeAttributes = attributes
    return item


def main() -> None:
    """Serve, or measure and print."""
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr)
    if sys.argv[1] == "serve":
        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(_serve(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]) / 1000.0))
        return
    nodes = int(sys.argv[1])
    part = int(sys.argv[2]) if len(sys.argv) > 2 else nodes
    delay_ms = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    plain, ours = asyncio.run(compare(nodes, part, delay_ms))
    for name, one in (("plain recursive browse", plain), ("crawl", ours)):
        sys.stdout.write(
            f"{name:24} {one.nodes:7} nodes in {one.seconds:.2f} s: {one.per_s:,.0f}/s,"
            f" {one.cpu_s / one.nodes * 1e6:.0f} us CPU per node\n"
        )
    sys.stdout.write(f"ratio {ours.per_s / plain.per_s:.1f}x\n")


if __name__ == "__main__":
    main()
