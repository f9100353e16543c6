"""What all tests share: where a skipped test is a failure, and one place to ask for a free port."""

import os
import socket
from collections.abc import Callable, Iterator

import pytest


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With PARKTWIN_NO_SKIP set (CI), a skipped test fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("PARKTWIN_NO_SKIP") or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line(f"{len(skipped)} skipped test(s): a skipped test fails this run")


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Return a function that gives a free loopback port, each call another one."""
    held: list[socket.socket] = []

    def give() -> int:
        probe = socket.socket()
        probe.bind(("127.0.0.1", 0))
        held.append(probe)
        port = int(probe.getsockname()[1])
        probe.close()
        return port

    yield give
    held.clear()
