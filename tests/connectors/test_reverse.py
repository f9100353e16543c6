"""The listener for servers that connect to us: hellos good and bad, bounds, and who gets what."""

import asyncio
import contextlib
import struct
from functools import partial
from pathlib import Path

import pytest
import uvloop
from floor_plc import free_port
from floor_receiver import until
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.opcua import session
from connectors.opcua.config import POLICIES, EndpointConfig, endpoint_config
from connectors.opcua.listen_at import REVERSE, ListenAt, listen_at
from connectors.opcua.reach import Reach, allow_reach
from connectors.opcua.reverse import (
    Arrived,
    Listener,
    Refusal,
    ReverseHello,
    address_key,
    listener,
    read_hello,
)
from connectors.opcua.security import Pki
from connectors.opcua.session import MAX_MESSAGE_BYTES, _same_server, new_client, open_session
from models.errors import InputError, Refused, Unavailable
from twin.parkfile.load import load_park

URL = "opc.tcp://10.0.0.5:4840/plc"


def text(value: bytes | None) -> bytes:
    return struct.pack("<i", -1) if value is None else struct.pack("<i", len(value)) + value


def framed(body: bytes, kind: bytes = b"RHEF") -> bytes:
    return kind + struct.pack("<I", 8 + len(body)) + body


def hello(url: str = URL, uri: str | None = "urn:plc") -> bytes:
    return framed(text(uri.encode() if uri is not None else None) + text(url.encode()))


# --- the message ---


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GET / HTTP/1.1\r\n", "BadTcpMessageTypeInvalid"),
        (b"HELF", "BadTcpMessageTypeInvalid"),
        (framed(b"", b"RHEC"), "BadTcpMessageTypeInvalid"),
        (b"\x16\x03", "BadTcpMessageTypeInvalid"),
        (b"RHEF" + struct.pack("<I", 8209), "BadTcpMessageTooLarge"),
        (b"RHEF" + struct.pack("<I", 2**32 - 1), "BadTcpMessageTooLarge"),
        (b"RHEF" + struct.pack("<I", 7), "BadTcpEndpointUrlInvalid"),
        (hello() + b"\x00", "BadTcpMessageTypeInvalid"),
        (framed(b""), "BadTcpEndpointUrlInvalid"),
        (framed(text(b"urn:plc")), "BadTcpEndpointUrlInvalid"),
        (framed(text(b"urn:plc") + struct.pack("<i", 99) + b"x"), "BadTcpEndpointUrlInvalid"),
        (framed(text(b"urn:plc") + text(URL.encode()) + b"more"), "BadTcpEndpointUrlInvalid"),
        (framed(text(b"\xff\xfe") + text(b"")), "BadTcpEndpointUrlInvalid"),
        (framed(text(b"u" * 4097) + text(b"")), "BadTcpEndpointUrlInvalid"),
        (hello(uri=None), "BadServerUriInvalid"),
        (hello(uri=""), "BadServerUriInvalid"),
    ],
)
def test_what_is_no_hello_is_refused_by_the_code_of_the_standard(data, name):
    found = read_hello(data)
    assert isinstance(found, Refusal)
    assert found.name == name


def test_a_hello_may_have_two_texts_of_4096_bytes_and_no_more():
    longest = "opc.tcp://a:1/" + "x" * (4096 - 14)
    assert read_hello(hello(longest, "u" * 4096)) == ReverseHello(
        server_uri="u" * 4096, endpoint_url=longest
    )


@given(st.binary(max_size=64), st.integers(0, 64))
@example(hello(), 7)
def test_no_bytes_break_the_reader_and_more_bytes_never_mend_a_refusal(data, cut):
    for whole in (data, b"RHEF" + data):
        part = read_hello(whole[:cut])
        assert part is None or isinstance(part, Refusal | ReverseHello)
        if isinstance(part, Refusal):
            assert read_hello(whole) == part


def test_an_error_message_is_one_of_part_6():
    data = Refusal(code=0x807D0000, what="đông").message
    assert data[:4] == b"ERRF"
    size, code, length = struct.unpack_from("<IIi", data, 4)
    assert (size, code, length) == (len(data), 0x807D0000, len("đông".encode()))


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("OPC.TCP://PLC7:4840/Line/", "opc.tcp://plc7:4840/Line"),
        ("opc.tcp://plc7", "opc.tcp://plc7:4840/"),
        ("opc.tcp://[fd00:0::1]:4840", "opc.tcp://[fd00::1]:4840"),
    ],
)
def test_an_address_is_the_same_however_it_is_written(one, same):
    assert address_key(one) == address_key(same) != ""


@pytest.mark.parametrize(
    "url", ["", "http://a:4840", "opc.tcp://u:p@a:4840", "opc.tcp://a:x/", "opc.tcp://a:99999"]
)
def test_what_is_no_address_is_nobodys(url):
    assert address_key(url) == ""


# --- settings ---


def test_it_listens_nowhere_unless_it_is_told_and_then_on_this_machine():
    assert listen_at("") is None
    assert str(listen_at("4841")) == "127.0.0.1:4841"
    assert str(listen_at("10.0.0.7:4841")) == "10.0.0.7:4841"
    assert str(listen_at("[::1]:4841")) == "[::1]:4841"


@pytest.mark.parametrize("said", ["yes", "0", "65536", "plc7:4841", "10.0.0.7", "10.0.0.7:"])
def test_what_is_no_address_to_listen_at_is_told_by_its_setting(said):
    with pytest.raises(InputError, match=REVERSE):
        listen_at(said)


async def test_an_endpoint_that_waits_where_nobody_listens_is_told_how_to_mend_it():
    with pytest.raises(Refused, match=REVERSE):
        listener()


def test_a_park_file_with_spares_beside_reverse_connect_is_told_where(tmp_path):
    minimal = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text("utf-8")
    file = tmp_path / "park.yaml"
    both = 'reverse: true, spares: ["opc.tcp://10.0.0.9:4840"], allow_insecure'
    file.write_text(minimal.replace("allow_insecure", both), "utf-8")
    with pytest.raises(InputError, match="connects itself") as caught:
        load_park(file)
    assert "spares" in str(caught.value)


def test_a_server_that_is_another_one_than_it_said_is_refused():
    said = ReverseHello(server_uri="urn:plc", endpoint_url=URL)
    _same_server(said, "urn:plc")
    with pytest.raises(Refused, match="called as 'urn:plc' and is 'urn:other'"):
        _same_server(said, "urn:other")


async def test_what_a_server_offers_is_asked_anew_after_it_was_refused(tmp_path, monkeypatch):
    config = EndpointConfig(
        id="plc", url=URL, reverse=True, policy=POLICIES[0], mode="SignAndEncrypt"
    )
    # A test was answered by a stranger, or the server's certificate is another one by now.
    monkeypatch.setitem(session._TOLD, address_key(URL), [])
    with pytest.raises(Refused, match="does not offer"):
        await open_session(config, Pki(tmp_path), 1.0)
    assert address_key(URL) not in session._TOLD


def test_a_park_file_says_which_servers_connect_themselves(tmp_path):
    minimal = (Path(__file__).parents[2] / "examples" / "minimal.yaml").read_text("utf-8")
    file = tmp_path / "park.yaml"
    for text, reverse in (
        (minimal, False),
        (minimal.replace("allow_insecure", "reverse: true, allow_insecure"), True),
    ):
        file.write_text(text, "utf-8")
        assert endpoint_config(load_park(file).endpoints["plc"], ()).reverse is reverse


def test_reverse_connect_has_no_spares():
    with pytest.raises(InputError, match="no spares"):
        EndpointConfig(id="a", url=URL, allow_insecure=True, reverse=True, spares=(URL,))


# --- the listener ---


@pytest.fixture
async def door():
    """A listener with small bounds; it opens with the first endpoint that wants something."""
    made = Listener(
        ListenAt(host="127.0.0.1", port=free_port(), hello_s=0.2, greeting=4, waiting=4)
    )
    yield made
    await made.close()


async def opened(door: Listener, url: str = URL) -> None:
    """Have an endpoint that wants its server, and is not served yet."""
    with pytest.raises(Unavailable):
        await door.next(url, 0.01)


@contextlib.asynccontextmanager
async def call(door: Listener, data: bytes = b"", sender: str = "127.0.0.1"):
    """Connect as a server would."""
    reader, writer = await asyncio.open_connection(
        door.at.host, door.at.port, local_addr=(sender, 0)
    )
    writer.write(data)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def refusal(reader) -> tuple[int, str]:
    """Code and reason of the Error message with which it is closed."""
    async with asyncio.timeout(10):
        data = await reader.read()
    assert data[:4] == b"ERRF"
    return struct.unpack_from("<I", data, 8)[0], data[16:].decode()


def waiting(door: Listener, url: str = URL) -> int:
    return len(door._places[address_key(url)].waiting)


async def test_a_server_that_calls_by_the_address_of_an_endpoint_is_given_to_it(door):
    wanted = asyncio.create_task(door.next(URL, 10))
    await until(lambda: door.waits_for(URL))
    async with call(door, hello("OPC.TCP://10.0.0.5:4840/plc/")) as (reader, _):
        found = await wanted
        assert isinstance(found, Arrived)
        assert (found.peer, found.hello.server_uri) == ("127.0.0.1", "urn:plc")
        found.transport.write(b"HEL")
        assert await reader.readexactly(3) == b"HEL"
        found.transport.abort()


async def test_a_hello_may_come_byte_by_byte_and_a_connection_waits_until_it_is_wanted(door):
    await opened(door)
    async with call(door) as (_, writer):
        for byte in hello():
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        assert await door.arrival(URL, 10) == "127.0.0.1"
        assert waiting(door) == 1
        (await door.next(URL, 10)).transport.abort()
        assert waiting(door) == 0


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 0x807E0000, "ReverseHello is expected"),
        (hello() + b"HEL", 0x807E0000, "nothing may follow"),
        (hello("opc.tcp://other:4840"), 0x80830000, "no endpoint here has the address"),
        (hello("\n" * 4000), 0x80830000, "no endpoint here has the address"),
        (b"", 0x800A0000, "no ReverseHello in time"),
        (hello()[:20], 0x800A0000, "no ReverseHello in time"),
    ],
)
async def test_strangers_are_told_why_and_counted(door, data, code, word):
    await opened(door)
    async with call(door, data) as (reader, _):
        said, why = await refusal(reader)
    assert said == code
    assert word in why
    assert door.counts.total() == 1
    with pytest.raises(Unavailable, match="turned away since the start: 1 Bad") as caught:
        await door.next(URL, 0.01)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_bytes_after_the_hello_end_a_connection_that_waits(door):
    await opened(door)
    async with call(door, hello()) as (reader, writer):
        await until(lambda: waiting(door) == 1)
        writer.write(b"x")
        assert (await refusal(reader))[0] == 0x807E0000
    assert waiting(door) == 0


async def test_a_connection_its_server_closed_is_given_to_nobody(door):
    await opened(door)
    async with call(door, hello()):
        await until(lambda: waiting(door) == 1)
    await until(lambda: waiting(door) == 0)
    with pytest.raises(Unavailable, match="waiting for the server to connect to 127"):
        await door.next(URL, 0.01)


async def test_senders_and_addresses_outside_the_allowed_networks_are_turned_away(door):
    await opened(door)
    try:
        allow_reach(Reach(networks=("10.0.0.0/8",)))
        async with call(door, hello()) as (reader, _):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        await until(lambda: door.counts["NotAllowed"] == 1)
    finally:
        allow_reach(Reach())
    with pytest.raises(Refused, match="outside the allowed networks"):
        await door.next("opc.tcp://8.8.8.8:4840", 1)
    with pytest.raises(Refused, match="port 80"):
        await door.next("opc.tcp://plc7:80", 1)


async def test_silent_connections_are_bounded_and_keep_no_server_out(door):
    await opened(door)
    async with contextlib.AsyncExitStack() as silent:
        for _ in range(20):
            await silent.enter_async_context(call(door))
        await until(lambda: door.counts["BadTcpServerTooBusy"] == 16)
        assert len(door._greeting) == 4
        async with call(door, hello()):
            (await door.next(URL, 10)).transport.abort()
    await until(lambda: not door._greeting)


async def test_one_sender_keeps_half_of_the_places_and_its_newest_connections(door):
    await opened(door)
    async with contextlib.AsyncExitStack() as callers:
        flood = [await callers.enter_async_context(call(door, hello())) for _ in range(6)]
        for reader, _ in flood[:4]:
            assert (await refusal(reader))[0] == 0x807D0000
        assert waiting(door) == 2


async def test_senders_are_served_by_turns(door):
    """Else one that calls often, and is no server, would keep the server out."""
    await opened(door)
    async with contextlib.AsyncExitStack() as callers:
        peers = []
        for number, sender in enumerate(("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.1")):
            await callers.enter_async_context(call(door, hello(), sender))
            await until(lambda n=number: waiting(door) == max(1, n))
            if number in (0, 3):
                served = await door.next(URL, 10)
                peers.append(served.peer)
                served.transport.abort()
        assert peers == ["127.0.0.1", "127.0.0.2"]


async def test_a_subscription_goes_before_a_test_that_waited_longer(door):
    test = asyncio.create_task(door.next(URL, 10))
    await until(lambda: door.waits_for(URL))
    subscription = asyncio.create_task(door.next(URL, 10, first=True))
    await asyncio.sleep(0)
    async with call(door, hello()), contextlib.AsyncExitStack() as more:
        found = await subscription
        assert not test.done()
        await more.enter_async_context(call(door, hello()))
        for one in (found, await test):
            one.transport.abort()


async def test_who_gives_up_waiting_takes_no_connection_with_it(door):
    given_up = asyncio.create_task(door.next(URL, 10))
    await until(lambda: door.waits_for(URL))
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    async with call(door, hello()):
        (await door.next(URL, 10)).transport.abort()


async def test_a_server_with_one_connection_only_is_told_to_open_a_second(door):
    await opened(door)
    async with call(door, hello()):
        found = await door.next(URL, 10)
        with pytest.raises(Unavailable, match="a second reverse connection"):
            await door.next(URL, 0.01)
        found.transport.abort()


async def test_a_port_that_is_taken_is_told(door):
    other = Listener(door.at)
    await opened(door)
    with pytest.raises(Unavailable, match="nobody can listen at 127"):
        await other.next(URL, 1)


async def test_it_listens_only_as_long_as_an_endpoint_wants_it(door):
    with pytest.raises(ConnectionRefusedError):
        async with call(door):
            pass
    short = Listener(ListenAt(host="127.0.0.1", port=door.at.port, asked_s=0.0))
    await opened(short)
    async with call(short, hello()) as (reader, _):
        await until(lambda: short._server is None)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    with pytest.raises(ConnectionRefusedError):
        async with call(short):
            pass
    await opened(short)
    async with call(short, hello()):
        (await short.next(URL, 10)).transport.abort()
        async with call(short) as (reader, _):
            await until(lambda: short._greeting)
            await short.close()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_asyncua_goes_on_with_the_connection_in_either_event_loop(loop, monkeypatch):
    """Ray runs its actors in uvloop, everything else here runs in asyncio's own."""

    async def run():
        door = Listener(ListenAt(host="127.0.0.1", port=free_port()))
        monkeypatch.setattr("connectors.opcua.guarded.listener", lambda: door)
        client = new_client(URL, 5.0, reverse=True)
        connecting = asyncio.create_task(client.connect_socket())
        await until(lambda: door.waits_for(URL))
        async with call(door, hello()) as (reader, writer):
            await connecting
            assert client.hello is not None
            greeting = asyncio.create_task(client.send_hello())
            said = await reader.readexactly(8)
            body = await reader.readexactly(struct.unpack_from("<I", said, 4)[0] - 8)
            assert said[:4] == b"HELF"
            assert body.endswith(URL.encode())
            writer.write(b"ACKF" + struct.pack("<IIIIII", 28, 0, 65535, 65535, 0, 0))
            await greeting
            # It said that it knows no limits; ours hold all the same.
            protocol = client.uaclient.protocol
            assert protocol._connection._limits.max_message_size == MAX_MESSAGE_BYTES
            client.disconnect_socket()
            assert await reader.read() == b""
        await door.close()

    with asyncio.Runner(loop_factory=partial(loop)) as runner:
        runner.run(run())
