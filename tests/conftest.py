"""What all tests share: where their files lie, their order, and where a skip is a failure."""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

# A law is judged by what it says, not by how long an example takes on a busy machine.
settings.register_profile("laws", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("laws")

_MEMORY: Final = Path("/dev/shm")
_LONG: Final = ("browser", "cluster", "crash", "floor")
"""Marks of what waits, the longest first."""
_ROOM_BYTES: Final = 4 * 2**30
"""So much is left to Ray's object store, which lies in the same place."""


def pytest_configure() -> None:
    """Put the files of the tests into memory where there is room: thousands of them are synced.

    No test can tell what a sync is worth: that a power cut takes what was not synced is played by
    the simulated disk, and what a killed process wrote is kept by either place.
    """
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what waits longest come first: workers take whole files in the order they come in.

    A file is one worker's, with the servers, Ray or browser it starts; the many short tests fill
    what is left at the end.
    """
    rank: dict[Path, int] = {}
    for item in items:
        rank[item.path] = min(_rank(item), rank.get(item.path, len(_LONG)))
    items.sort(key=lambda item: rank[item.path])


def _rank(item: pytest.Item) -> int:
    marks = {mark.name for mark in item.iter_markers()}
    return next((place for place, name in enumerate(_LONG) if name in marks), len(_LONG))


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
