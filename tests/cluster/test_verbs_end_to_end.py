"""Verbs against a real park that runs: a foreign OPC UA server, a gateway, backups, what-ifs."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from asyncua import Client as OpcUa
from asyncua import Server as OpcUaServer
from asyncua import ua
from asyncua.common.methods import uamethod

from cluster import processes
from cluster.client import Client
from connectors.plant.process import free_ports
from dashboard import main
from dashboard.verbs.outcome import INPUT, REFUSED, UNAVAILABLE
from models.errors import TwinError

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
MINIMAL = (
    (ROOT / "examples" / "minimal.yaml")
    .read_text("utf-8")
    .replace(
        "chain: [{machine: p01, type: press}]",
        "chain: [{machine: p01, type: press}, {machine: p02, type: press}]",
    )
)
BAD_NO_COMMUNICATION = 0x80310000
HALL = "small/acme/hall/l1"
SERVED = """endpoints:
  - {{id: plc, url: "{near}", allow_insecure: true, map: [{{match: "nsu=urn:acme:plc;s=p01.{{metric}}", to: "acme/hall/l1/p01/{{metric}}"}}]}}
  - {{id: far, gateway: edge-1, url: "{far}", allow_insecure: true, map: [{{match: "nsu=urn:acme:plc;s=p02.{{metric}}", to: "acme/hall/l1/p02/{{metric}}"}}]}}
  - {{id: drive, url: "{drive}", allow_insecure: true, callable_by: {{"i=85 nsu=urn:drive;s=Reset": [engineer]}}, map: [{{match: "nsu=urn:drive;s=Limit", to: "feeder1/active_power", unit: W, writable_by: [operator]}}]}}
"""  # noqa: E501 - YAML in one line, as in the example it follows
WHATIF = """
kind: WhatIf
id: {name}
park: small
from: now
horizon: {horizon}
ensemble: {{replications: {n}, seed: 5}}
branches: {{base: [], slow: [{{change: cycle_time, asset: acme/hall/l1/p01, factor: 1.2}}]}}
"""
Run = Callable[..., tuple[int, str, str]]


def until(true: Callable[[], object], patience_s: float) -> None:
    last = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < last, f"not within {patience_s} s"
        time.sleep(0.1)


@contextmanager
def process(out: Path, *words: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process of ours, told to stop at the end."""
    with out.open("ab") as file:
        started = subprocess.Popen([sys.executable, "-m", *words], stdout=file, stderr=file)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
        started.wait(60)


@contextmanager
def park_up(folder: Path, park: Path, data: Path, *more: str) -> Iterator[str]:
    """``parktwin up``, until it is stopped; its address."""
    (port,) = free_ports(1)
    words = ("dashboard.main", "up", str(park), "--port", str(port), "--data", str(data), *more)
    url = f"http://127.0.0.1:{port}"
    with process(folder / "up.out", *words) as up, Client(url) as client:
        until(lambda: up.poll() is not None or ready(client), 120)
        assert up.poll() is None, (folder / "up.out").read_text()
        yield url
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0, (folder / "up.out").read_text()


def ready(client: Client) -> bool:
    try:
        return bool(client.get("/ready")["ready"])
    except TwinError:
        return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verbs")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """Address of an OPC UA server that nobody of the service started."""
    (port,) = free_ports(1)
    played, told = folder / "played.yaml", folder / "ready.json"
    played.write_text(MINIMAL)
    address = f"opc.tcp://127.0.0.1:{port}"
    words = ("connectors.plant", str(played), "--urls", f"plc={address}")
    with process(folder / "plant.out", *words, "--ready-file", str(told)):
        until(told.exists, 60)
        yield address


@pytest.fixture(scope="module")
def drive() -> Iterator[str]:
    """Address of a server with a limit that may be written and a method that counts."""
    (port,) = free_ports(1)
    address, stop, ready = f"opc.tcp://127.0.0.1:{port}", threading.Event(), threading.Event()

    async def serve() -> None:
        server = OpcUaServer()
        await server.init()
        server.set_endpoint(address)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace("urn:drive")
        top = server.nodes.objects
        limit = await top.add_variable(f"ns={index};s=Limit", "Limit", 2000.0)
        await limit.set_writable()
        span = ua.Variant(ua.Range(Low=0.0, High=9000.0), ua.VariantType.ExtensionObject)
        await limit.add_property(0, "EURange", span)
        more = ua.Argument(Name="parts", DataType=ua.NodeId(ua.ObjectIds.UInt16), ValueRank=-1)
        await top.add_method(
            f"ns={index};s=Reset", "Reset", uamethod(lambda _, parts: parts + 1), [more],
            [ua.VariantType.UInt16],
        )  # fmt: skip
        async with server:
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="drive")
    thread.start()
    try:
        assert ready.wait(60)
        yield address
    finally:
        stop.set()
        thread.join(30)


@pytest.fixture(scope="module")
def park(folder: Path, server: str, drive: str) -> Path:
    """The park: the service reads two endpoints, a gateway in the plant one."""
    file, served = folder / "park.yaml", SERVED.format(near=server, far=server, drive=drive)
    file.write_text(MINIMAL.partition("endpoints:")[0] + served)
    return file


@pytest.fixture(scope="module")
def scada_port() -> int:
    return free_ports(1)[0]


@pytest.fixture(scope="module")
def url(folder: Path, park: Path, scada_port: int) -> Iterator[str]:
    served = ("--opcua-port", str(scada_port), "--opcua-security", "None")
    with park_up(folder, park, folder / "data", *served) as address:
        yield address


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def once(*words: str) -> tuple[int, str, str]:
        code = main.run(words)
        told = capfd.readouterr()
        return code, told.out, told.err

    return once


def rows(run: Run, *words: str) -> list[dict[str, object]]:
    code, out, err = run(*words, "--json")
    assert code == 0, err
    found: list[dict[str, object]] = orjson.loads(out)
    return found


def value(run: Run, url: str, path: str) -> object:
    return rows(run, "read", path, "--url", url)[0]["value"]


def states(run: Run, url: str) -> dict[object, object]:
    return {row["id"]: row["state"] for row in rows(run, "endpoint", "list", "--url", url)}


def test_a_real_park_reads_a_server_it_did_not_start(run: Run, url: str) -> None:
    until(lambda: value(run, url, f"{HALL}/p01/active_power") is not None, 30)
    # The service looks at its gateway once a second: a value may be there before its state is.
    until(
        lambda: states(run, url) == {"plc": "connected", "drive": "connected", "far": "offline"}, 30
    )
    assert value(run, url, f"{HALL}/p02/active_power") is None


def test_a_gateway_in_the_plant_brings_what_the_service_cannot_reach(
    run: Run, url: str, folder: Path, park: Path
) -> None:
    path = f"{HALL}/p02/temperature"
    token = folder / "edge.token"
    made = run("gateway-token", "create", "edge-1", "--out", str(token), "--url", url)
    assert (made[0], token.stat().st_mode & 0o777) == (0, 0o600), made[2]
    assert token.read_text().strip() not in made[1]
    words = ("dashboard.main", "gateway", "--to", url, "--token", str(token))
    with process(folder / "edge.out", *words, "--data", str(folder / "edge")) as gateway:
        until(lambda: value(run, url, path) is not None, 30)
        first = rows(run, "read", path, "--url", url)[0]["at"]
        until(lambda: rows(run, "read", path, "--url", url)[0]["at"] != first, 30)
        until(lambda: states(run, url)["far"] == "connected", 30)
        gateway.send_signal(signal.SIGINT)
        assert gateway.wait(30) == 0, (folder / "edge.out").read_text()
    readers = {row["id"]: row["gateway"] for row in rows(run, "endpoint", "list", "--url", url)}
    assert readers == {"plc": "small-gateway", "drive": "small-gateway", "far": "edge-1"}
    (issued,) = rows(run, "gateway-token", "list", "--url", url)
    assert (issued["gateway"], issued["revoked"]) == ("edge-1", None)
    assert issued["heard"] is not None
    assert run("gateway-token", "revoke", str(issued["id"]), "--url", url)[0] == 0
    code, _, err = run("gateway", *words[2:], "--data", str(folder / "edge-2"), "--for", "20")
    assert (code, "was revoked" in err) == (REFUSED, True), err


def test_a_value_is_written_to_a_plc_and_a_method_called_by_those_who_may(
    run: Run, url: str
) -> None:
    path, at = "small/feeder1/active_power", ("--url", url, "--json")
    until(lambda: value(run, url, path) == 2.0, 30)
    write = ("endpoint", "write", *at, "--as")
    code, out, err = run(*write, "operator/lan", "drive", path, "4.5")
    assert code == 0, err
    found = orjson.loads(out)
    assert [found[name] for name in ("before", "sent", "after")] == ["2", "4500", "4.5"]
    until(lambda: value(run, url, path) == 4.5, 30)
    for words, code, told in (
        (("viewer/minh", "drive", path, "5"), REFUSED, "only operator may"),
        (("operator/lan", "drive", path, "9.5"), INPUT, "write 0 to 9"),
        (("operator/lan", "plc", f"{HALL}/p01/active_power", "5"), REFUSED, "nobody may"),
        (("operator/lan", "far", f"{HALL}/p02/active_power", "5"), INPUT, "in its plant"),
    ):
        refused = run(*write, *words)
        assert (refused[0], told in refused[2]) == (code, True), refused[2]
    call = ("endpoint", "call", *at, "--as", "engineer/lan", "drive", "nsu=urn:drive;s=Reset", "41")
    assert orjson.loads(run(*call)[1])["after"] == "42"
    trail = rows(run, "audit", "--url", url, "--action", "endpoint.", "--since", "-1h")
    told = [(row["who"], row["detail"]["result"]) for row in trail if "result" in row["detail"]]
    lan = "lan"
    assert told[::-1] == [
        (lan, "Good"), ("minh", "refused"), (lan, "failed"), (lan, "refused"), (lan, "failed"),
        (lan, "Good"),
    ]  # fmt: skip
    assert run("audit", "--check", "--url", url)[0] == 0


def test_an_endpoint_is_added_read_and_removed_while_the_service_runs(
    run: Run, url: str, server: str
) -> None:
    path = "small/acme/active_power"
    at = ("--url", url)
    code, _, err = run("endpoint", "test", server, *at)
    assert (code, "--security None" in err) == (UNAVAILABLE, True)
    node = "nsu=urn:acme:plc;s=p01.active_power"
    add = ("endpoint", "add", "second", server, "--security", "None", *at)
    for wrong, cause in (
        (f"nsu=urn:nobody;s=p01.active_power={path}", "urn:nobody"),
        (f"nsu=urn:acme:plc;s=p09.active_power={path}", "BadNodeIdUnknown"),
        (f"{node}=small/nobody/active_power", "nobody"),
    ):
        code, _, err = run(*add, "--map", wrong)
        assert (code, cause in err) == (INPUT, True), err
    assert "second" not in states(run, url)
    assert path not in {row["path"] for row in rows(run, "tags", *at)}
    assert run(*add, "--map", f"{node}={path}")[0] == 0
    until(lambda: value(run, url, path) is not None, 30)
    assert run("endpoint", "test", "second", *at)[0] == 0
    assert run("endpoint", "remove", "second", *at)[0] == 0
    assert "second" not in states(run, url)
    assert path not in {row["path"] for row in rows(run, "tags", *at)}
    assert rows(run, "history", path, *at)
    assert run("endpoint", "remove", "second", *at)[0] == INPUT


def test_an_address_outside_the_allowed_networks_is_never_reached(run: Run, url: str) -> None:
    outside = "opc.tcp://198.51.100.7:4840"
    add = ("endpoint", "add", "out", outside, "--security", "None", "--force")
    assert run(*add, "--url", url)[0] == REFUSED
    assert run("endpoint", "browse", outside, "--url", url)[0] == REFUSED
    assert "out" not in states(run, url)


def at_scada(port: int, figure: str) -> tuple[object, int]:
    """Value and status code of a figure as SCADA has it; nothing and 0 while nobody listens."""

    async def read() -> tuple[object, int]:
        async with OpcUa(f"opc.tcp://127.0.0.1:{port}", timeout=2) as client:
            index = await client.get_namespace_index("urn:parktwin:small")
            node = client.get_node(f"ns={index};s={figure}")
            found = await node.read_data_value(raise_on_bad_status=False)
            return found.Value.Value, found.StatusCode.value

    try:
        return asyncio.run(read())
    except (OSError, TimeoutError, ua.UaError):
        return None, 0


def pid_of(word: str) -> int:
    """The process of ours whose command holds a word."""
    found = [
        mark.pid
        for mark in processes.descendants(os.getpid())
        if word.encode() in Path(f"/proc/{mark.pid}/cmdline").read_bytes()
    ]
    assert found, word
    return found[0]


def test_scada_reads_the_twin_and_hears_when_it_is_away_and_when_it_is_back(
    url: str, scada_port: int
) -> None:
    power = "acme/hall/l1/p01/kw"
    until(lambda: at_scada(scada_port, power)[0] is not None, 60)
    with Client(url) as client:
        shown = client.get("/parks/small/figures/specs")
    assert {spec["id"] for spec in shown} >= {"machine.acme/hall/l1/p01.kw"}
    server, service = pid_of("serve-opcua"), pid_of("dashboard.main\0serve\0")
    os.kill(service, signal.SIGSTOP)
    try:
        until(lambda: at_scada(scada_port, power) == (None, BAD_NO_COMMUNICATION), 30)
    finally:
        os.kill(service, signal.SIGCONT)
    until(lambda: at_scada(scada_port, power)[0] is not None, 30)
    os.kill(server, signal.SIGKILL)
    until(lambda: at_scada(scada_port, power)[0] is not None, 60)
    assert pid_of("serve-opcua") != server


def submitted(run: Run, url: str, file: Path, name: str, horizon: str, n: int) -> str:
    file.write_text(WHATIF.format(name=name, horizon=horizon, n=n))
    code, out, err = run("whatif", "submit", str(file), "--json", "--url", url)
    assert code == 0, err
    return str(orjson.loads(out)["id"])


def test_a_what_if_is_watched_to_its_end_and_one_is_cancelled(
    run: Run, url: str, tmp_path: Path
) -> None:
    short = submitted(run, url, tmp_path / "w.yaml", "short", "1 h", 4)
    code, out, _ = run("whatif", "watch", short, "--url", url)
    assert (code, out.strip().splitlines()[-1]) == (0, "done 100%")
    assert run("whatif", "compare", short, "--url", url)[0] == 0
    long = submitted(run, url, tmp_path / "w.yaml", "long", "72 h", 4096)
    assert run("whatif", "cancel", long, "--url", url)[0] == 0
    code, _, err = run("whatif", "watch", long, "--url", url)
    assert (code, "cancelled" in err) == (INPUT, True)
    assert run("whatif", "cancel", long, "--url", url)[0] == INPUT
    listed = {row["id"]: row["state"] for row in rows(run, "whatif", "list", "--url", url)}
    assert listed == {short: "done", long: "cancelled"}


def test_a_backup_is_restored_elsewhere_and_serves_the_same_past(
    run: Run, url: str, folder: Path, park: Path
) -> None:
    path, kept = f"{HALL}/p01/temperature", folder / "backup"
    assert run("backup", str(kept), "--url", url)[0] == 0
    assert run("backup", str(kept), "--url", url)[0] == REFUSED
    before = rows(run, "history", path, "--url", url)
    used, new = folder / "data", folder / "new"
    code, _, err = run("restore", str(kept), "--data", str(used))
    assert (code, "in use" in err) == (INPUT, True)
    assert run("restore", str(kept), "--data", str(new), "--park", "large")[0] == REFUSED
    assert not new.exists()
    assert run("restore", str(kept), "--data", str(new))[0] == 0
    assert run("migrate", str(new))[0] == 0
    with park_up(folder, park, new) as again:
        told = {row["at"]: row["value"] for row in rows(run, "history", path, "--url", again)}
        # the last rows before the backup may have come while it was made
        assert len(before) > 3
        assert {row["at"]: row["value"] for row in before}.items() & told.items()
        assert [row for row in before[:-2] if told.get(row["at"]) != row["value"]] == []
    assert all(proof["equal"] for proof in rows(run, "replay", str(new)))
