"""The fake park, a real server in front of it, and a browser that hears every complaint."""

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from fake_service import FakePark  # noqa: E402

expect.set_options(timeout=15_000)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def park() -> FakePark:
    """A park whose clock stands still."""
    return FakePark(seconds=lambda: 0.0)


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        yield browser
        browser.close()


class Seen:
    """What a page asked for and complained of."""

    def __init__(self, context: BrowserContext, site: str) -> None:
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        own = (site, site.replace("http", "ws", 1), "data:", "blob:")
        context.on("console", lambda m: self.hear(m.type, m.text))
        context.on("weberror", lambda e: self.complaints.append(str(e.error)))
        context.on("request", lambda r: r.url.startswith(own) or self.foreign.append(r.url))
        context.on(
            "response", lambda r: r.status >= 400 and self.complaints.append(f"{r.status} {r.url}")
        )

    def hear(self, kind: str, text: str) -> None:
        if kind == "error" and "ERR_INTERNET_DISCONNECTED" not in text:
            self.complaints.append(text)


@pytest.fixture
def seen(context: BrowserContext, site: str) -> Iterator[Seen]:
    found = Seen(context, site)
    yield found
    assert found.complaints == []
    assert found.foreign == []


@pytest.fixture
def context(chromium: Browser, site: str) -> Iterator[BrowserContext]:
    made = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, seen: Seen) -> Page:
    return context.new_page()
