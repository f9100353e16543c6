"""The gateway is killed at named steps and at any moment: what it had buffered is delivered."""

import asyncio
import contextlib
import os
import pickle
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from floor_gateway import SIZE
from floor_plc import Plc, free_port, running
from floor_receiver import Receiver, until

from models.errors import TwinError
from twin.failpoint import VARIABLE

pytestmark = [pytest.mark.floor, pytest.mark.crash]

HERE = Path(__file__).parent


@contextlib.asynccontextmanager
async def listening(receiver: Receiver):
    """The receiver behind a socket; yields its port."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            (size,) = SIZE.unpack(await reader.readexactly(4))
            question = pickle.loads(await reader.readexactly(size))
            try:
                if question == "session":
                    answer = await receiver.new_session()
                else:
                    answer = await receiver.deliver(*question)
            except TwinError as fault:
                answer = fault
            data = pickle.dumps(answer)
            writer.write(SIZE.pack(len(data)) + data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def spawn(folder: Path, url: str, port: int, failpoint: str = ""):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "floor_gateway.py"),
        str(folder),
        url,
        str(port),
        env={**os.environ, VARIABLE: failpoint, "PYTHONPATH": str(HERE.parent.parent)},
    )


async def counting(plc: Plc, written: dict[float, datetime]) -> None:
    """Write 1, 2, 3, … and note when."""
    count = 0.0
    while True:
        count += 1
        at = datetime.now(UTC)
        written[count] = at.replace(microsecond=at.microsecond)
        await plc.write("urn:a", "V", count, at=at)
        await asyncio.sleep(0.01)


async def test_killed_at_any_step_it_delivers_what_it_buffered_once_and_in_order(tmp_path):
    receiver, written = Receiver(), {}
    rng = np.random.default_rng(5)
    steps = ["buffer.written:3", "gateway.answered:4", "buffer.written:9", "", ""]
    async with running(Plc(free_port())) as plc, listening(receiver) as port:
        await plc.add("urn:a", "V", 0.0)
        writer = asyncio.create_task(counting(plc, written))
        for step in steps:
            process = await spawn(tmp_path, plc.url, port, step)
            if step:
                assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
            else:
                seen = len(receiver.samples)
                await until(lambda n=seen: len(receiver.samples) > n + 20, 30)
                await asyncio.sleep(float(rng.uniform(0.0, 0.1)))
                os.kill(process.pid, signal.SIGKILL)
                await process.wait()
        last = await spawn(tmp_path, plc.url, port)
        seen = len(receiver.samples)
        await until(lambda: len(receiver.samples) > seen + 20, 30)
        writer.cancel()
        await until(lambda: receiver.values(1)[-1] == max(written))
        os.kill(last.pid, signal.SIGKILL)
        await last.wait()
    assert receiver.order == sorted(receiver.order)
    assert len(set(receiver.order)) == len(receiver.order)
    assert_nothing_lost_in_silence(receiver, written)


def assert_nothing_lost_in_silence(receiver: Receiver, written: dict[float, datetime]) -> None:
    got = receiver.values(1)
    kept = list(dict.fromkeys(got))
    assert kept == sorted(kept)
    # Killed between storing a batch and noting it, its messages come once more: with the same time
    # and status, so that the copy can be told. Anything else that came twice is a fault.
    rows = [(r["tag"], r["at"], r["value"], r["status"]) for r in receiver.samples]
    assert len(set(rows)) == len(kept)
    assert len(got) - len(kept) <= 120
    first = min(v for v in kept if v in written)
    gaps = [(row["from"], row["to"]) for row in receiver.gaps()]
    missing = {v: at for v, at in written.items() if v > first}.keys() - set(kept)
    unexplained = [v for v in missing if not any(a <= written[v] <= b for a, b in gaps)]
    assert not unexplained
