"""A gateway in a process of its own, delivering over a socket; for the tests that kill it.

``python floor_gateway.py FOLDER OPC_URL RECEIVER_PORT``; a fail-point from the environment ends it.
"""

import asyncio
import os
import pickle
import struct
import sys
from pathlib import Path

from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.source import SourceSettings
from twin.failpoint import VARIABLE, from_setting

SIZE = struct.Struct("<I")


async def ask(port: int, question: object) -> object:
    """One question, one answer, one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = pickle.dumps(question)
        writer.write(SIZE.pack(len(data)) + data)
        (size,) = SIZE.unpack(await reader.readexactly(4))
        return pickle.loads(await reader.readexactly(size))
    finally:
        writer.close()


async def main(folder: Path, url: str, port: int) -> None:
    async def new_session():
        return await ask(port, "session")

    async def deliver(source, session, seq, batch):
        return await ask(port, (source, session, seq, batch))

    gateway = Gateway(
        source="g1",
        folder=folder,
        deliver=deliver,
        new_session=new_session,
        settings=GatewaySettings(
            idle_s=0.005,
            retry_first_s=0.02,
            source=SourceSettings(probe_s=0.1, coverage_s=0.1, backoff_first_s=0.05),
        ),
        failpoint=from_setting(os.environ.get(VARIABLE)),
    )
    await gateway.start(
        [
            EndpointConfig(
                id="plc",
                url=url,
                allow_insecure=True,
                sampling_ms=20.0,
                publishing_ms=20.0,
                queue_size=50,
                items=(Item(tag=1, namespace="urn:a", identifier="s=V"),),
            )
        ]
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
