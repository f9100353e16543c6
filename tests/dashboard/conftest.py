"""The fake park, and a real server in front of it for the browser."""

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from fake_service import FakePark  # noqa: E402


@pytest.fixture
def park() -> FakePark:
    """A park whose clock stands still."""
    return FakePark(seconds=lambda: 0.0)


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Address of a server with the fake park, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, str(FOLDER / "demo.py"), str(port)])
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(address, server)
        yield address
    finally:
        server.terminate()
        server.wait(10)


def wait_until_it_answers(address: str, server: "subprocess.Popen[bytes]") -> None:
    until = monotonic() + 60
    while monotonic() < until:
        assert server.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            sleep(0.1)
    raise AssertionError("the server does not answer")
