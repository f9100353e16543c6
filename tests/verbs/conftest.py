"""The routes of a service that is played, on a real socket, for the verbs to ask."""

import importlib.util
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn

from cluster.routes.api import create_api

_FILE = Path(__file__).parents[1] / "cluster" / "fake_service.py"


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The file with the played service; that of the dashboard has the same name."""
    spec = importlib.util.spec_from_file_location("fake_service", _FILE)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@contextmanager
def _served(service) -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_api(service, service, "1"), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def served() -> Callable[[object], AbstractContextManager[str]]:
    """Serves a service in a thread until the end of the block; gives its address."""
    return _served
