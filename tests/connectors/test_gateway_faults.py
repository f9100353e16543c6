"""A gateway whose disk, whose stored bytes or whose callers do what they should not."""

import asyncio
import contextlib
import errno
import threading
from pathlib import Path

import numpy as np
import pytest
from floor_plc import free_port
from floor_receiver import Receiver, until

from connectors.buffer import DiskBuffer
from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig
from connectors.opcua.source import Source, SourceSettings
from models.errors import Unavailable
from twin.samples import sample_batch, to_us

NOW_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
QUICK = GatewaySettings(
    idle_s=0.005,
    load_s=0.02,
    retry_first_s=0.01,
    retry_most_s=0.02,
    drain_s=0.2,
    source=SourceSettings(timeout_s=0.5, backoff_first_s=0.05, backoff_most_s=0.2),
)


def plc(name: str = "plc", **more) -> EndpointConfig:
    """An endpoint at an address where nobody listens."""
    url = f"opc.tcp://127.0.0.1:{free_port()}"
    return EndpointConfig(id=name, url=url, allow_insecure=True, **more)


@contextlib.asynccontextmanager
async def gateway(folder: Path, receiver: Receiver, *endpoints: EndpointConfig):
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        park_now=lambda: NOW_US + 100 * SECOND_US,
        settings=QUICK,
    )
    await held.start(endpoints)
    try:
        yield held
    finally:
        await held.stop()


def at_us(seq: int) -> int:
    return NOW_US + seq * SECOND_US


def stored(folder: Path, *numbers: int) -> Path:
    """A buffer with batches of session 1, one row a second; its only segment."""
    buffer = DiskBuffer(folder / "buffer")
    buffer.open()
    for seq in numbers:
        row = {"at_us": at_us(seq), "seen_us": at_us(seq), "value": float(seq)}
        buffer.append(1, seq, sample_batch(tag=np.arange(1), **row))
    buffer.close()
    (segment,) = (folder / "buffer").glob("*.seg")
    return segment


def damage(segment: Path, batch: int, of: int) -> None:
    """Flip a bit in the middle of one of equally long batches."""
    data = bytearray(segment.read_bytes())
    size = len(data) // of
    data[batch * size + size // 2] ^= 1
    segment.write_bytes(data)


def receiver_after(session: int) -> Receiver:
    receiver = Receiver()
    receiver.session = session
    return receiver


def damaged(receiver: Receiver) -> list[tuple[str, int, int]]:
    return [
        (row["endpoint"], to_us(row["from"]), to_us(row["to"]))
        for row in receiver.gaps()
        if "damaged" in row["cause"]
    ]


async def test_a_full_disk_does_not_stop_delivery_in_a_new_session_for_ever(tmp_path, monkeypatch):
    stored(tmp_path, 3, 4)  # the receiver knows nothing of 1 and 2: it was set back
    receiver, tries = receiver_after(1), []
    renumber = DiskBuffer.renumber

    def refused(buffer, session, without=()):
        tries.append(session)
        if len(tries) < 4:
            raise Unavailable("the gateway's buffer cannot be written (No space left on device)")
        return renumber(buffer, session, without)

    monkeypatch.setattr(DiskBuffer, "renumber", refused)
    async with gateway(tmp_path, receiver) as held:
        await until(lambda: "No space left" in held.measures().fault)
        await until(lambda: receiver.values(0) == [3.0, 4.0])
        assert held.measures().fault == ""
    assert receiver.order == [(3, 1), (3, 2)]


async def test_a_batch_damaged_meanwhile_is_given_up_and_its_time_covered(tmp_path):
    segment = stored(tmp_path, 1, 2, 3)
    receiver = receiver_after(1)
    receiver.away = True
    async with gateway(tmp_path, receiver, plc()) as held:
        await until(lambda: "away" in held.measures().fault)
        damage(segment, 1, of=3)
        receiver.away = False
        await until(lambda: receiver.values(0) == [1.0, 3.0] and damaged(receiver))
        assert not held.measures().fault
    assert damaged(receiver) == [("plc", at_us(1), at_us(3))]


async def test_rows_of_a_damaged_batch_are_counted_by_the_process_that_wrote_it(
    tmp_path, monkeypatch
):
    receiver = receiver_after(0)
    async with gateway(tmp_path, receiver, plc()) as held:
        monkeypatch.setattr("connectors.gateway._CACHED", 0)
        await until(lambda: held.measures().session)
        receiver.away = True
        rows = sample_batch(tag=np.arange(7), at_us=at_us(1), value=1.0, seen_us=at_us(1))
        held._unstored.append(rows)
        await until(lambda: held.measures().waiting and "away" in held.measures().fault)
        (segment,) = (tmp_path / "buffer").glob("*.seg")
        damage(segment, 0, of=1)
        receiver.away = False
        await until(lambda: damaged(receiver))
    assert [row["lost"] for row in receiver.gaps() if "damaged" in row["cause"]] == [7]


@pytest.mark.parametrize(
    ("batch", "from_us", "to_us_"),
    [
        pytest.param(0, at_us(-5), at_us(2), id="the oldest: from what was delivered last"),
        pytest.param(1, at_us(1), at_us(3), id="one between"),
        pytest.param(3, at_us(3), at_us(100), id="the newest: up to now"),
    ],
)
async def test_a_start_tells_once_what_damage_took(tmp_path, batch, from_us, to_us_):
    damage(stored(tmp_path, 1, 2, 3, 4), batch, of=4)
    (tmp_path / "state.json").write_text(f'{{"plc": {{"delivered_us": {at_us(-5)}}}}}')
    receiver = receiver_after(1)
    receiver.inbox.accepted("g1", 1, 1) if batch != 0 else None
    kept = [float(seq) for seq in (1, 2, 3, 4) if seq != batch + 1]
    async with gateway(tmp_path, receiver, plc()):
        await until(lambda: receiver.values(0)[-1:] == kept[-1:] and damaged(receiver))
    assert damaged(receiver) == [("plc", from_us, to_us_)]
    async with gateway(tmp_path, receiver, plc()) as held:
        await until(lambda: held.measures().session == 3 and not held.measures().waiting)
    assert len(damaged(receiver)) == 1


async def test_a_disk_that_does_not_sync_is_told_and_ends_nothing(tmp_path, monkeypatch):
    receiver, asked = receiver_after(0), []

    def broken() -> None:
        asked.append(1)
        raise OSError(errno.EIO, "Input/output error")

    async with gateway(tmp_path, receiver) as held:
        monkeypatch.setattr(DiskBuffer, "sync_due", lambda _: broken if len(asked) < 2 else None)
        held._wake.set()
        await until(lambda: "Input/output" in held.measures().fault)
        held._unstored.append(sample_batch(tag=[5], at_us=NOW_US, value=1.0, seen_us=NOW_US))
        held._wake.set()
        await until(lambda: receiver.values(5))


async def test_values_do_not_wait_for_a_slow_disk(tmp_path, monkeypatch):
    receiver, disk, writing = receiver_after(0), threading.Event(), threading.Event()

    def slow() -> None:
        writing.set()
        assert disk.wait(20)

    monkeypatch.setattr(DiskBuffer, "sync_due", lambda _: None if writing.is_set() else slow)
    async with gateway(tmp_path, receiver) as held:
        held._wake.set()
        await until(writing.is_set)
        held._unstored.append(sample_batch(tag=[5], at_us=NOW_US, value=1.0, seen_us=NOW_US))
        held._wake.set()
        await until(lambda: receiver.values(5))
        disk.set()


def sampling() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("opcua")]


async def test_an_endpoint_put_twice_at_once_is_sampled_once(tmp_path):
    async with gateway(tmp_path, receiver_after(0), plc()) as held:
        await asyncio.gather(*(held.put(plc(sampling_ms=ms)) for ms in (20.0, 30.0, 40.0)))
        assert sampling() == ["opcua plc"]
        await asyncio.gather(held.put(plc(sampling_ms=50.0)), held.remove("plc"), held.put(plc()))
        assert sampling() == ["opcua plc"]
    assert sampling() == []


async def test_nothing_begins_to_sample_while_it_stops(tmp_path):
    held = Gateway(
        source="g1",
        folder=tmp_path,
        deliver=Receiver().deliver,
        new_session=Receiver().new_session,
        settings=QUICK,
    )
    await held.start([plc()])
    _, late = await asyncio.gather(held.stop(), held.put(plc("late")), return_exceptions=True)
    assert isinstance(late, Unavailable)
    assert sampling() == []


async def test_all_endpoints_are_left_at_once(tmp_path, monkeypatch):
    meet = asyncio.Barrier(3)
    stop = Source.stop

    async def together(source, cause="gateway stopped", *, stay=False):
        async with asyncio.timeout(10):
            await meet.wait()
        await stop(source, cause, stay=stay)

    async with gateway(tmp_path, receiver_after(0), *(plc(f"e{n}") for n in range(3))):
        monkeypatch.setattr(Source, "stop", together)
    assert not meet.broken


async def test_connecting_anew_forgets_neither_the_server_nor_the_past(tmp_path):
    receiver, config = receiver_after(0), plc()
    async with gateway(tmp_path, receiver, config) as held:
        before = held._sources["plc"]
        before.known = ("urn:the:server", "urn:its:maker")
        await held.reconnect("plc", "certificate trusted")
        after = held._sources["plc"]
        assert after is not before
        assert after.config == config
        assert after.known == ("urn:the:server", "urn:its:maker")
        assert after.covered_us >= before.covered_us
        await held.reconnect("nobody", "it is not there")
        assert sampling() == ["opcua plc"]
