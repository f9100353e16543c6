"""A node-opcua server with security on, for the tests: it takes only whom it knows."""

import asyncio
import contextlib
import copy
from datetime import UTC, datetime
from pathlib import Path

from floor_plc import free_port

from connectors.opcua.config import POLICIES, EndpointConfig
from connectors.opcua.security import Pki
from connectors.opcua.session import close, open_session, read_identity
from connectors.opcua.trial import try_endpoint
from models.errors import Unavailable

HERE = Path(__file__).parent / "node"
NOW = datetime.now(UTC)


class Node:
    """A node-opcua server with security on, the folder of its trust, and ours."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.pki = Pki(folder / "ours")
        self.process: asyncio.subprocess.Process | None = None

    def config(self, **more) -> EndpointConfig:
        wanted = {"policy": POLICIES[0], "mode": "SignAndEncrypt"} | more
        return EndpointConfig(id="n", url=f"opc.tcp://127.0.0.1:{self.port}/floor", **wanted)

    def visitor(self, folder: Path) -> "Node":
        """The same server, and one of us whom it has not met: starting a server takes seconds."""
        other = copy.copy(self)
        other.pki = Pki(folder)
        return other

    def trust_us(self) -> None:
        self.tell("pki", self.pki.own(NOW).certificate)

    def tell(self, who: str, certificate: Path) -> None:
        """Have the server trust an application (``pki``) or a user (``users``)."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{who} {certificate}\n".encode())

    async def trust_them(self) -> None:
        self.pki.trust((await self.try_it()).fingerprint)

    async def try_it(self, **more):
        return await try_endpoint(self.config(**more), pki=self.pki)


@contextlib.asynccontextmanager
async def node_server(folder: Path, clock_s: int = 0, clients: str = ""):
    node = Node(folder)
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "secure.js"), str(node.port), str(folder / "server"), str(clock_s),
        clients,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    node.process = process
    try:
        async with asyncio.timeout(60):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "node-opcua did not start"
        yield node
    finally:
        process.kill()
        await process.wait()


async def identity_of(config: EndpointConfig, pki: Pki):
    client = await open_session(config, pki, 10.0)
    try:
        return await read_identity(client), client
    finally:
        await close(client)


async def let_in(config: EndpointConfig, pki: Pki):
    """Its identity as soon as node-opcua, which watches its folders, has seen our certificate."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(Unavailable):
                return (await identity_of(config, pki))[0]
            await asyncio.sleep(0.2)
