"""``parktwin demo`` as a stranger starts it: killed, restarted, stopped without a trace."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster import processes
from cluster.client import Client
from connectors.plant.process import free_ports
from models.errors import TwinError

pytestmark = [pytest.mark.cluster, pytest.mark.crash]

ROOT = Path(__file__).parents[2]
WHATIF = """
kind: WhatIf
id: kept
park: small
from: now
horizon: 3 h
ensemble: {replications: 512, seed: 5}
branches: {base: [], slow: [{change: cycle_time, asset: acme/hall/l1/p01, factor: 1.2}]}
"""


def until(true, patience_s):
    last = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < last, f"not within {patience_s} s"
        time.sleep(0.1)


def ready(client: Client) -> bool:
    try:
        return bool(client.get("/ready")["ready"])
    except TwinError:
        return False


def service_pid(demo: subprocess.Popen[bytes]) -> int:
    """The child of the supervisor that is the service."""
    for found in processes.descendants(demo.pid):
        line = Path(f"/proc/{found.pid}/cmdline").read_bytes()
        if b"dashboard.main\0serve" in line:
            return found.pid
    return 0


def offset(client: Client) -> int:
    return int(client.get("/health")["parks"][0]["offset"])


def test_a_killed_service_comes_back_goes_on_and_stops_without_a_trace(tmp_path, record_property):
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "dashboard.main", "demo", "--port", str(port)]
    command += ["--data", str(tmp_path / "d"), "--park", str(ROOT / "examples" / "minimal.yaml")]
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out)
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            until(lambda: ready(client), 120)
            until(lambda: client.rows("/parks/small/tags", pattern="power")[0]["value"], 30)
            run = client.submit(WHATIF, {"by": "me"})["id"]
            before, first = offset(client), service_pid(demo)
            os.kill(first, signal.SIGKILL)
            killed_s = time.monotonic()
            until(lambda: service_pid(demo) not in {0, first} and ready(client), 120)
            record_property("service_back_s", time.monotonic() - killed_s)
            assert offset(client) > before
            until(lambda: client.get(f"/whatif/{run}")["state"] in {"done", "failed"}, 120)
            done = client.get(f"/whatif/{run}")
            assert done["state"] == "done", done
        ours = processes.descendants(demo.pid)
        assert len(ours) > 5
        _, folders = processes.read_record(tmp_path / "d" / "run" / "processes.json")
        assert [Path(folder).is_dir() for folder in folders] == [True]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(60) == 0, (tmp_path / "out").read_text()
        assert [p for p in ours if processes.alive(p)] == []
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        told = (tmp_path / "out").read_text()
        assert "starting it again" in told
        assert "ready again after" in told
        assert [folder for folder in folders if Path(folder).exists()] == []
        assert told.rstrip().endswith("stopped")
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(60)
    left, folders = processes.read_record(tmp_path / "d" / "run" / "processes.json")
    assert (left, folders) == ([], [])
