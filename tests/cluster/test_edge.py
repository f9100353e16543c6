"""A gateway in a plant: real TLS, a token, a signed configuration, and a service that is away."""

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from cluster import bindings
from cluster.door_settings import DoorSettings
from cluster.edge import Edge, EdgeSettings
from cluster.edge_link import LinkSettings
from cluster.edge_store import EdgeConfig, EdgeStore
from cluster.edges import SILENT_S, Edges
from cluster.gateway_token import new_token, parse_token, read_token
from cluster.ports import EndpointState, EndpointStatus
from connectors.gateway import GatewaySettings
from connectors.opcua.config import EndpointConfig
from models.errors import Conflict, InputError, NotFound, Refused, Unavailable

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "connectors"), str(ROOT / "tests" / "cluster")]
from floor_plc import Plc, free_port, running  # noqa: E402
from floor_receiver import until  # noqa: E402
from plant_side import (  # noqa: E402
    Operations,
    authority,
    door,
    fingerprint,
    link,
    park_of,
)


@pytest.fixture
def operations(tmp_path):
    made = Operations(tmp_path / "service", park_of("opc.tcp://127.0.0.1:4841"))
    yield made
    made.store.close()


@pytest.fixture
def tls(tmp_path):
    return authority(tmp_path / "tls")


HELLO = b'{"nonce": "0123456789abcdef"}'


# --- the whole way ---


@contextlib.asynccontextmanager
async def edge(folder: Path, port: int, ca: Path, token: Path):
    """``parktwin gateway`` as a process of its own; its log is beside its folder."""
    words = ["gateway", "--to", f"https://127.0.0.1:{port}", "--token", str(token)]
    words += ["--ca", str(ca), "--data", str(folder)]
    with (folder.parent / "edge.out").open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dashboard.main", *words, stdout=out, stderr=out, cwd=ROOT
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def counting(plc: Plc, written: dict[float, dt.datetime]) -> None:
    count = 0.0
    while True:
        count += 1
        written[count] = dt.datetime.now(dt.UTC)
        await plc.write("urn:acme:plc", "p01.active_power", count, at=written[count])
        await asyncio.sleep(0.02)


def listens(pid: int) -> bool:
    """Whether a process listens at a TCP port."""
    own = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(str(fd.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return any(row[3] == "0A" and f"socket:[{row[9]}]" in own for row in rows)


@pytest.mark.floor
@pytest.mark.crash
async def test_an_hour_without_the_service_and_a_kill_in_it_lose_nothing_in_silence(tmp_path, tls):
    """A value each 20 ms stands for one each 20 s: the three seconds away are 50 minutes."""
    written: dict[float, dt.datetime] = {}
    async with running(Plc(free_port(), ("urn:acme:plc",))) as plc:
        await plc.add("urn:acme:plc", "p01.active_power", 0.0)
        operations = Operations(tmp_path / "service", park_of(plc.url))
        in_plant = bindings.in_plants(operations.live.park, ())
        receiver, port = operations.receiver, free_port()
        token, folder = tmp_path / "token", tmp_path / "edge"
        token.touch(mode=0o600)
        token.write_text(await operations.token(days=10_000))
        writer = asyncio.create_task(counting(plc, written))

        def got():
            return receiver.values(operations.tag)

        async with edge(folder, port, tls[0], token) as first:
            async with door(operations, tls, port):
                await until(lambda: len(got()) > 30, 40)
                assert not listens(first.pid)
                await until(
                    lambda: operations.live.edges.statuses(in_plant)[0].state
                    == EndpointState.CONNECTED, 40,
                )  # fmt: skip
            away = max(written)
            await until(lambda: max(written) > away + 100)
            os.kill(first.pid, signal.SIGKILL)
            await first.wait()
        async with edge(folder, port, tls[0], token) as second:
            seen = max(written)
            segment = folder / "small" / "buffer"

            def size() -> int:
                return sum(path.stat().st_size for path in segment.glob("*.seg"))

            before = size()
            # It samples and keeps although nobody answers, from what it was told last.
            await until(lambda: size() > before + 20_000, 40)
            assert max(got()) < seen
            async with door(operations, tls, port):
                await until(lambda: max(got()) > seen + 20, 40)
                writer.cancel()
                await until(lambda: max(got()) == max(written), 20)
                second.send_signal(signal.SIGINT)
                assert await asyncio.wait_for(second.wait(), 30) == 0
        operations.store.close()
    assert receiver.order == sorted(receiver.order)
    assert len(set(receiver.order)) == len(receiver.order)
    assert len({session for session, _ in receiver.order}) == 2
    missing = {v for v in written if v > min(got())} - set(got())
    gaps = [(row["from"], row["to"]) for row in receiver.gaps()]
    assert not [v for v in missing if not any(a <= written[v] <= b for a, b in gaps)]
    # The kill costs what lay between the last batch and the new connection, not the outage.
    assert away + 50 in got()
    doubled = len(got()) - len(set(got()))
    assert doubled <= 2  # a new subscription repeats the present value


# --- TLS and the token ---


async def test_only_the_certificate_that_was_named_is_spoken_to(operations, tls, tmp_path):
    port, token = free_port(), await operations.token()
    other = authority(tmp_path / "other")
    pin = fingerprint(tls[1])
    colons = ":".join(pin[n : n + 2] for n in range(0, 64, 2)).upper()
    async with door(operations, tls, port):
        for more in ({"ca": tls[0]}, {"pin": pin}, {"pin": colons}):
            good = link(port, token, tmp_path, **more)
            assert (await good.send("/gateway/hello", HELLO, kind="application/json"))[0]
            await good.close()
        for more, kind in (
            ({"ca": other[0]}, Unavailable),
            ({}, Unavailable),
            ({"pin": fingerprint(other[1])}, Refused),
        ):
            bad = link(port, token, tmp_path / "new", **more)
            with pytest.raises(kind, match="certificate"):
                await bad.send("/gateway/hello", HELLO)
            await bad.close()
    # The pin is kept: with another certificate at the same place nothing is sent.
    async with door(operations, other, port):
        kept = link(port, token, tmp_path, pin=pin)
        with pytest.raises(Unavailable, match="certificate"):
            await kept.send("/gateway/hello", HELLO)
        await kept.close()


@pytest.mark.parametrize(
    ("options", "error", "cause"),
    [
        ({"url": "http://10.0.0.5:8050"}, Refused, "plain text"),
        ({"url": "ftp://10.0.0.5"}, InputError, "no address"),
        ({"url": "https://me:secret@10.0.0.5"}, InputError, "no address"),
        ({"url": "https://10.0.0.5", "pin": "abc"}, InputError, "no SHA-256"),
        ({"url": "https://x", "pin": "0" * 64, "ca": Path("ca")}, InputError, "both"),
    ],
)
def test_an_address_that_would_tell_the_token_to_others_is_refused(options, error, cause):
    with pytest.raises(error, match=cause):
        LinkSettings(**options)


def test_plain_http_is_for_this_machine_or_for_who_asks_for_it():
    for url in ("http://127.0.0.1:8050", "http://[::1]:1", "http://localhost:1", "https://x"):
        assert LinkSettings(url=url).url == url
    assert LinkSettings(url="http://10.0.0.5", allow_insecure=True).url


@pytest.mark.parametrize("gone", ["revoked", "expired", "unknown", "other park", "other name"])
async def test_a_token_counts_for_its_name_and_park_until_it_ends(operations, gone):
    text = await operations.token()
    token = parse_token(text)
    await operations.desk.admit(text, "small", "hall-2", beside=False)
    park, name = "small", "hall-2"
    if gone == "revoked":
        await operations.desk.revoke(token.id)
    elif gone == "expired":
        operations.now_us += 86_400_000_001
    elif gone == "unknown":
        text = type(token)(id=token.id, secret=new_token().secret).text
    elif gone == "other park":
        park = "large"
    else:
        name = "hall-3"
    with pytest.raises(Refused):
        await operations.desk.admit(text, park, name, beside=True)


async def test_without_a_token_only_this_machine_may_deliver_and_never_under_a_taken_name(
    operations,
):
    await operations.token("hall-2")
    await operations.desk.admit(None, "small", "ledger", beside=True)
    for name, beside in (("ledger", False), ("hall-2", True)):
        with pytest.raises(Refused, match="show its token"):
            await operations.desk.admit(None, "small", name, beside=beside)


async def test_the_store_knows_no_secret(operations, tmp_path):
    token = parse_token(await operations.token())
    operations.store.close()
    held = b"".join(
        path.read_bytes() for path in (tmp_path / "service").rglob("*") if path.is_file()
    )
    assert token.id.encode() in held
    assert token.secret.encode() not in held
    assert token.secret not in repr(token)


@pytest.mark.parametrize(
    ("name", "parks", "error"),
    [
        ("gateway", ["small"], InputError),
        ("gateway-3", ["small"], InputError),
        ("edge", ["smal"], NotFound),
        ("edge", [], InputError),
    ],
)
async def test_no_token_is_made_for_what_is_not_there(operations, name, parks, error):
    with pytest.raises(error):
        await operations.desk.issue(name, parks, 1.0)


def test_a_token_others_could_read_is_not_used(tmp_path):
    path = tmp_path / "token"
    with pytest.raises(InputError, match="gateway-token create"):
        read_token(path)
    path.write_text(f"{new_token().text}\n")
    path.chmod(0o640)
    with pytest.raises(Refused, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path).text in path.read_text()
    path.write_text("ptg_1_2")
    with pytest.raises(InputError, match="no token"):
        read_token(path)


# --- what it has to read ---


async def test_the_configuration_is_signed_for_its_question_and_kept(operations, tmp_path):
    text = await operations.token()
    store = EdgeStore(tmp_path / "edge", parse_token(text))
    assert store.kept() is None
    answer = await operations.gateway_hello(text, "question-0000001", {})
    config = store.keep("question-0000001", answer.body, answer.signature)
    version, (endpoint,) = config.parks["small"]
    assert (config.gateway, endpoint.id, endpoint.url) == (
        "hall-2", "plc", "opc.tcp://127.0.0.1:4841",
    )  # fmt: skip
    assert isinstance(endpoint, EndpointConfig)
    assert operations.tag in {item.tag for item in endpoint.items}
    assert store.kept() == config
    with pytest.raises(Refused, match="not signed"):
        store.keep("question-0000002", answer.body, answer.signature)
    forged = answer.body.replace(b"4841", b"4842")
    with pytest.raises(Refused, match="not signed"):
        store.keep("question-0000001", forged, answer.signature)
    again = await operations.gateway_hello(text, "question-0000003", {})
    assert store.keep("question-0000003", again.body, again.signature).parks["small"][0] == version
    operations.live.park = park_of("opc.tcp://127.0.0.1:4849")
    moved = await operations.gateway_hello(text, "question-0000004", {})
    assert store.keep("question-0000004", moved.body, moved.signature).parks["small"][0] > version
    # A kept file that somebody edited, or another token's, is none.
    file = tmp_path / "edge" / "config.json"
    assert file.stat().st_mode & 0o077 == 0
    assert EdgeStore(tmp_path / "edge", new_token()).kept() is None
    file.write_bytes(file.read_bytes().replace(b"4849", b"4850"))
    assert store.kept() is None


def test_a_kept_configuration_of_another_version_is_asked_for_again(tmp_path):
    token = new_token()
    body = b'{"gateway": "hall-2", "expires_us": 1, "parks": [{"park": "small"}]}'
    store = EdgeStore(tmp_path, token)
    kept = {"nonce": "n", "signature": token.sign(b"n", body), "body": body.decode()}
    (tmp_path / "config.json").write_bytes(orjson.dumps(kept))
    assert store.kept() is None


async def test_a_configuration_that_stays_is_written_once(operations, tmp_path):
    text, file = await operations.token(), tmp_path / "config.json"
    store = EdgeStore(tmp_path, parse_token(text))
    for written in (True, False):
        answer = await operations.gateway_hello(text, f"question-{written}", {})
        store.keep(f"question-{written}", answer.body, answer.signature)
        assert file.exists() is written
        file.unlink(missing_ok=True)


def test_set_aside_sessions_are_used_once_and_grow(tmp_path):
    store = EdgeStore(tmp_path, new_token())
    assert (store.next_session("small"), store.sessions_left("small")) == (None, 0)
    store.set_aside("small", 5, 7)
    assert [EdgeStore(tmp_path, new_token()).next_session("small") for _ in range(4)] == [
        5, 6, 7, None,
    ]  # fmt: skip


def test_sessions_that_are_set_aside_are_given_to_nobody_else(operations):
    first = operations.store.next_session("small-hall-2", 1, 64)
    assert operations.store.next_session("small-hall-2", 2) == first + 64


def test_the_service_leaves_the_endpoints_of_a_gateway_alone(operations):
    park, rows = operations.live.park, list(operations.live.dictionary.open.values())
    assert bindings.configs(park, [], rows, {}) == ()
    assert [c.id for c in bindings.edge_configs(park, [], rows, "hall-2")] == ["plc"]
    assert bindings.edge_configs(park, [], rows, "hall-3") == ()
    plain = park_of("opc.tcp://127.0.0.1:4841", "")
    assert [c.id for c in bindings.configs(plain, [], rows, {})] == ["plc"]


async def test_what_a_gateway_says_of_its_endpoints_is_shown_until_it_falls_silent(operations):
    now = [100.0]
    operations.live.edges = edges = Edges(lambda: now[0])
    endpoints = bindings.in_plants(operations.live.park, ())
    (before,) = edges.statuses(endpoints)
    assert (before.state, before.gateway) == (EndpointState.OFFLINE, "hall-2")
    assert "has not been heard" in before.cause
    told = [
        EndpointStatus(id=name, url="opc.tcp://x:1", state=EndpointState.CONNECTED, bridge_s=30.0)
        for name in ("plc", "of another gateway")
    ]
    await operations.gateway_hello(await operations.token(), "question-0000001", {"small": told})
    (shown,) = edges.statuses(endpoints)
    assert (shown.state, shown.gateway, shown.bridge_s) == (EndpointState.CONNECTED, "hall-2", 30.0)
    now[0] += SILENT_S + 1
    (silent,) = edges.statuses(endpoints)
    assert (silent.state, "silent for 46 s" in silent.cause) == (EndpointState.OFFLINE, True)
    removed = SimpleNamespace(id="plc", removed_us=5, origin="file", spec={})
    assert bindings.in_plants(operations.live.park, [removed]) == ()


async def test_a_change_that_ended_halfway_is_finished_by_the_next_answer(tmp_path, monkeypatch):
    def plc(name):
        return EndpointConfig(id=name, url=f"opc.tcp://127.0.0.1:{port}", allow_insecure=True)

    def told(version, *names):
        endpoints = tuple(plc(name) for name in names)
        return EdgeConfig(gateway="hall-2", expires_us=1, parks={"small": (version, endpoints)})

    port, token = free_port(), tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(new_token().text)
    settings = LinkSettings(url=f"http://127.0.0.1:{port}")
    quick = GatewaySettings(drain_s=0.0)
    made = Edge(
        EdgeSettings(link=settings, token=token, folder=tmp_path / "edge", gateway=quick),
        lambda line: None,
    )
    holder = made._gateway("small", "hall-2")
    await holder.start()
    with pytest.raises(Refused):  # another process holds the folder
        await made._apply(told(1, "a"))
    await holder.stop()
    await made._apply(told(1, "a"))
    gateway = made._gateways["small"]
    put = gateway.put

    async def broken(config, taken):
        if config.id == "c":
            raise Conflict("too many")
        await put(config, taken)

    monkeypatch.setattr(gateway, "put", broken)
    with pytest.raises(Conflict):
        await made._apply(told(2, "b", "c"))
    monkeypatch.undo()
    await made._apply(told(2, "b", "c"))
    assert [status.id for status in gateway.status()] == ["b", "c"]
    await gateway.stop()


async def test_a_gateway_that_died_before_it_began_is_missing_since_it_was_told(
    operations, tmp_path, monkeypatch
):
    folder, token = tmp_path / "edge", tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(await operations.token())
    told = await operations.gateway_hello(token.read_text(), "question-0000001", {})
    monkeypatch.setattr("cluster.edge_store.wall_us", lambda: 1_790_000_000_000_000)
    store = EdgeStore(folder, read_token(token))
    store.keep("question-0000001", told.body, told.signature)
    monkeypatch.undo()
    state = folder / "small" / "state.json"

    async def first_gap() -> str:
        link_to = LinkSettings(url=f"http://127.0.0.1:{free_port()}")
        made = Edge(
            EdgeSettings(
                link=link_to, token=token, folder=folder, gateway=GatewaySettings(drain_s=0.0)
            ),
            lambda line: None,
        )
        work = asyncio.create_task(made.work())
        await until(lambda: made._versions)
        (status,) = made._gateways["small"].status()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return f"{status.last_gaps[0]['from'][:19]}: {status.last_gaps[0]['cause']}"

    assert not state.exists()
    assert await first_gap() == "2026-09-21T14:13:20: gateway was not running"
    # Once it has begun its own memory counts.
    state.write_bytes(orjson.dumps({"plc": {"covered_us": 1_791_000_000_000_000}}))
    assert await first_gap() == "2026-10-03T04:00:00: gateway was not running"


# --- the door ---


@pytest.mark.parametrize(
    ("more", "error", "cause"),
    [
        ({"port": 8443, "host": "0.0.0.0"}, Refused, "plain text"),
        ({"port": 8443, "certificate": "a.pem"}, InputError, "comes with its key"),
        ({"certificate": "a.pem", "key": "a.key"}, InputError, "without a door"),
        ({"port": 8443, "certificate": "/no.pem", "key": "/no.key"}, InputError, "no certificate"),
    ],
)
def test_a_door_that_would_be_open_is_not_opened(more, error, cause):
    with pytest.raises(error, match=cause):
        DoorSettings(**more).check()


def test_a_key_others_could_read_is_not_used(tls):
    tls[2].chmod(0o644)
    with pytest.raises(Refused, match="chmod 600"):
        DoorSettings(port=1, certificate=str(tls[1]), key=str(tls[2])).check()


async def test_behind_the_door_there_is_nothing_without_a_token(operations, tls, tmp_path):
    port = free_port()
    async with door(operations, tls, port):
        wrong = link(port, new_token().text, tmp_path, ca=tls[0])
        for path, query in (
            ("/gateway/hello", {}),
            ("/ingest/small/session", {"source": "hall-2"}),
            ("/ingest/small", {"source": "hall-2", "session": "1", "seq": "1"}),
        ):
            with pytest.raises(Refused, match="not known"):
                await wrong.send(path, HELLO, query, "application/json")
        # Without a token that counts nothing is read: not even whether it is JSON.
        for path in ("/gateway/hello", "/gateway/errands"):
            with pytest.raises(Refused, match="not known"):
                await wrong.send(path, b"{" * 1000, kind="application/json")
        with pytest.raises(InputError, match="Not Found"):
            await wrong.send("/parks/small/backup", b"{}")
        await wrong.close()
