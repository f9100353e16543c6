"""The real demo as a child: started on a free port, watched by process, stopped, nothing left."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import orjson

from cluster import processes
from cluster.bench.stage import Tell
from cluster.client import Client
from cluster.processes import ProcessMark
from connectors.plant.process import free_ports
from models.errors import TwinError, Unavailable

READY_S: Final = 300.0
STOP_S: Final = 60.0
_LOOK_S: Final = 0.25
PLANT: Final = "plant"
SERVICE: Final = "service"
TWIN: Final = "twin"
GATEWAY: Final = "gateway"
_PARTS: Final[Mapping[str, re.Pattern[str]]] = {
    PLANT: re.compile(r"connectors\.plant"),
    SERVICE: re.compile(r"dashboard\.main serve"),
    TWIN: re.compile(r"^ray::Park\w*Host"),
    GATEWAY: re.compile(r"^ray::Gateway\w*Host"),
    "ray workers": re.compile(r"^ray::"),
    "ray engine": re.compile(r"gcs_server|raylet|dashboard/agent|log_monitor|monitor\.py"),
}


class Demo:
    """One run of ``parktwin demo``, ready when the block begins.

    Parameters
    ----------
    folder
        Data folder and output.
    tell
        Takes a line of progress.
    """

    def __init__(self, folder: Path, tell: Tell) -> None:
        self._folder, self._tell = folder, tell
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.client = Client(f"http://127.0.0.1:{self._port}")
        self.ready_s = 0.0

    @property
    def address(self) -> str:
        """Host and port of the web server."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> "Demo":
        command = [sys.executable, "-m", "dashboard.main", "demo", "--port", str(self._port)]
        command += ["--data", str(self._folder / "data")]
        with (self._folder / "demo.out").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=processes.die_with_parent,
            )
        try:
            began = time.monotonic()
            self.wait_ready(READY_S)
            self.ready_s = time.monotonic() - began
        except BaseException:
            self.stop()
            raise
        self._tell(f"the demo is ready after {self.ready_s:.0f} s")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._tell(f"the demo said last: {self._said()}")
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise Unavailable("the demo was not started", "use it in a with block")
        return self._process.pid

    def wait_ready(self, patience_s: float) -> None:
        """Wait until every part works.

        Raises
        ------
        Unavailable
            When the demo ends, or is not ready in time; with what it said last.
        """
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                raise Unavailable(f"the demo ended: {self._said()}")
            with contextlib.suppress(TwinError, orjson.JSONDecodeError):
                if orjson.loads(self.client.raw("GET", "/ready")).get("ready"):
                    return
            time.sleep(_LOOK_S)
        raise Unavailable(f"the demo is not ready after {patience_s:g} s: {self._said()}")

    def parts(self) -> dict[ProcessMark, str]:
        """Every process below the supervisor, itself included, and which part it belongs to."""
        own = processes.mark(self.pid)
        found = {} if own is None else {own: "supervisor"}
        for process in processes.descendants(self.pid):
            found[process] = part_of(process.pid)
        return found

    def pid_of(self, part: str) -> int:
        """The process of a part.

        Raises
        ------
        Unavailable
            When there is none.
        """
        for process, name in self.parts().items():
            if name == part:
                return process.pid
        raise Unavailable(f"the demo has no {part} process now")

    def stop(self) -> None:
        """Ctrl-C, and wait; what is still there after a minute is ended by id."""
        self.client.close()
        if self._process is None:
            return
        below = processes.descendants(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            below = processes.descendants(self._process.pid)
            self._process.kill()
            self._process.wait()
        processes.end([p for p in below if processes.alive(p)], 1.0)
        self._process = None

    def _said(self) -> str:
        lines = (self._folder / "demo.out").read_text(errors="replace").splitlines()
        return " | ".join(lines[-5:])


def part_of(pid: int) -> str:
    """Which part of the installation a process is, by its command line."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return "other"
    return next((name for name, mark in _PARTS.items() if mark.search(command)), "other")
