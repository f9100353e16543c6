"""The parent of everything: keeps the service (and a demo's plant) running, and ends it cleanly."""

import contextlib
import fcntl
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Final

import orjson

from cluster import logs, processes, temp_folders
from cluster.client import Client
from cluster.layout import DataFolder
from cluster.settings import LOOPBACK, ServiceSettings
from models.errors import Conflict, Refused, TwinError, Unavailable

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]
TEMP_ROOT: Final = Path("/tmp")  # noqa: S108 - Ray's sockets need a short path; the folder is 0700
TEMP_PREFIX: Final = "pt"
_LOOK_S: Final = 0.25
_RECORD_S: Final = 5.0
_PATIENCE_S: Final = 20.0
_ORPHAN_S: Final = 3.0
_BACK_OFF_S: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STABLE_S: Final = 120.0
_READY_S: Final = 180.0
_HOPELESS: Final = 3
_NO_PLANT: Final = 5
_LINE_BYTES: Final = 2000


class Child:
    """A process that is started again when it ends by itself, later each time in a row.

    Parameters
    ----------
    name
        For people and log files.
    start
        Starts it.
    stop_signal
        What asks it to end; Ray answers SIGTERM with a stack trace, so the service gets SIGINT.
    output
        Where it prints; the last line is told when it ends.
    """

    def __init__(
        self,
        name: str,
        start: "Callable[[], subprocess.Popen[bytes]]",
        stop_signal: signal.Signals = signal.SIGTERM,
        output: Path | None = None,
    ) -> None:
        self.name = name
        self._output = output
        self._stop_signal = stop_signal
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self.failures = 0
        self._due_s = 0.0

    @property
    def pid(self) -> int | None:
        """Its process id, None while it is not running."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it now."""
        self._process = self._start()
        self._started_s = time.monotonic()

    def look(self, now_s: float) -> str | None:
        """Start it again when it is due; a text when it has just ended or been started."""
        if self._process is None:
            if now_s < self._due_s:
                return None
            self.start()
            return f"{self.name} started again"
        code = self._process.poll()
        if code is None:
            return None
        self.failures = 0 if now_s - self._started_s > _STABLE_S else self.failures
        wait_s = _BACK_OFF_S[min(self.failures, len(_BACK_OFF_S) - 1)]
        self.failures, self._due_s, self._process = self.failures + 1, now_s + wait_s, None
        ended = ": ".join(filter(None, (f"{self.name} ended with {_ending(code)}", self.said())))
        return f"{ended}; starting it again in {wait_s:g} s"

    def said(self) -> str:
        """What it printed last."""
        return "" if self._output is None else last_line(self._output)

    def works(self) -> None:
        """Take note that it does its work: its next end is not one more in a row."""
        self.failures = 0

    def stop(self, patience_s: float) -> None:
        """Ask it to end, and after a while end it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            logger.warning("had to be killed", extra={"part": self.name})
            self._process.kill()
            self._process.wait()
        self._process = None


class Supervisor:
    """Runs one installation until it is told to stop.

    Parameters
    ----------
    settings
        The service to run; ``temp`` is set here, anew for each start.
    plant
        The virtual plant; None for a real park.
    tell
        Gets each line for the console.
    beside
        Further processes that ask the service and may be killed without it.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        plant: Child | None,
        tell: Tell,
        beside: Sequence[Child] = (),
    ) -> None:
        self._settings = settings
        self._data = settings.folder
        self._tell = tell
        self._temp: Path | None = None
        self._stopping = False
        self._recorded_s = 0.0
        self._away_s: float | None = None
        self._service = Child("service", self._start_service, signal.SIGINT)
        self._plant = plant
        self._beside = tuple(beside)

    def run(self, for_s: float | None = None) -> None:
        """Start everything, keep it running, and end it all.

        Parameters
        ----------
        for_s
            Stop after this many seconds; None waits for Ctrl-C or SIGTERM.
        """
        with only_one(self._data), self._signals():
            clean_leftovers(self._data, self._tell)
            port_is_free(self._settings.host, self._settings.port)
            processes.adopt_orphans()
            try:
                until_s = math.inf if for_s is None else time.monotonic() + for_s
                self._start(until_s)
                self._keep(until_s)
            finally:
                self._stop()

    def _start(self, until_s: float) -> None:
        if self._plant is not None:
            self._tell("starting the virtual plant")
            self._plant.start()
        self._service.start()
        for child in self._beside:
            child.start()
        self._wait_until_ready(until_s)

    def _wait_until_ready(self, until_s: float) -> None:
        began_s, last = time.monotonic(), ""
        with Client(self._settings.url) as client:
            while not self._stopping and time.monotonic() < until_s:
                waited_s = time.monotonic() - began_s
                state = _readiness(client)
                if state == "":
                    self._service.works()
                    self._away_s = None
                    self._tell(f"ready after {waited_s:.0f} s: open {self._settings.url}")
                    return
                if state != last:
                    self._tell(f"{state} … {waited_s:.0f} s")
                    last = state
                if waited_s > _READY_S or self._service.failures >= _HOPELESS:
                    raise Unavailable(
                        f"the service is not ready after {waited_s:.0f} s ({state})",
                        f"read service.log and service.out in {self._data.logs}",
                    )
                if self._plant is not None and self._plant.failures >= _NO_PLANT:
                    raise Unavailable(
                        f"the virtual plant does not start ({self._plant.said()})",
                        f"read {self._data.plant_output}",
                    )
                self._look_after_children()
                time.sleep(_LOOK_S)

    def _keep(self, until_s: float) -> None:
        with Client(self._settings.url) as client:
            while not self._stopping and time.monotonic() < until_s:
                self._look_after_children()
                self._look_for_return(client)
                time.sleep(_LOOK_S)

    def _look_for_return(self, client: Client) -> None:
        """After a restart of the service, say when everything works again."""
        if self._away_s is None or self._service.pid is None:
            return
        with contextlib.suppress(Unavailable):
            if _readiness(client) == "":
                self._service.works()
                self._tell(f"ready again after {time.monotonic() - self._away_s:.0f} s")
                self._away_s = None

    def _look_after_children(self) -> None:
        now_s = time.monotonic()
        for child in self._children():
            news = child.look(now_s)
            if news is not None:
                self._tell(news)
                if child is self._service and child.pid is None:
                    self._away_s = now_s
                    self._clear_service()
        processes.reap_all_but(self._own_pids())
        if now_s - self._recorded_s > _RECORD_S:
            self._recorded_s = now_s
            self._record()
            for output in self._data.logs.glob("*.out"):
                logs.cut_output(output)

    def _own_pids(self) -> set[int]:
        return {child.pid for child in self._children() if child.pid is not None}

    def _children(self) -> tuple[Child, ...]:
        plant = () if self._plant is None else (self._plant,)
        return (*plant, self._service, *self._beside)

    def _record(self) -> None:
        folders = [] if self._temp is None else [str(self._temp)]
        processes.write_record(self._data.processes, processes.descendants(os.getpid()), folders)

    def _start_service(self) -> "subprocess.Popen[bytes]":
        self._temp = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=TEMP_ROOT))
        path = replace(self._settings, temp=str(self._temp)).write()
        command = [sys.executable, "-m", "dashboard.main", "serve", str(path)]
        process = start_child(command, self._data.logs / "service.out")
        self._record()
        return process

    def _clear_service(self) -> None:
        """End what a dead service left behind: its actors would hold the shards' locks."""
        others = self._own_pids() - {self._service.pid}
        spared = others | {p.pid for pid in others for p in processes.descendants(pid)}
        left = [p for p in processes.descendants(os.getpid()) if p.pid not in spared]
        processes.end(left, 0.0)
        processes.reap_all_but(self._own_pids())
        self._remove_temp()

    def _remove_temp(self) -> None:
        if self._temp is not None:
            if not temp_folders.remove(self._temp):
                logger.warning("a folder stays", extra={"folder": str(self._temp)})
            self._temp = None

    def _stop(self) -> None:
        self._tell("stopping")
        for child in self._beside:
            child.stop(_PATIENCE_S)
        self._service.stop(_PATIENCE_S)
        if self._plant is not None:
            self._plant.stop(_PATIENCE_S)
        processes.end(processes.descendants(os.getpid()), _ORPHAN_S)
        processes.reap_all_but(set())
        self._remove_temp()
        self._data.processes.unlink(missing_ok=True)
        self._tell("stopped")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def start_child(command: list[str], output: Path) -> "subprocess.Popen[bytes]":
    """Start a process of ours in a session of its own; its output goes to a file.

    It does not see the terminal's Ctrl-C (the supervisor passes it on in order), and it ends when
    the supervisor ends, however that happens.
    """
    logs.cut_output(output)
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=processes.die_with_parent,
        )


def last_line(output: Path) -> str:
    """The last line a process has printed that is not empty; empty when there is none."""
    try:
        with output.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LINE_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def loopback_only(host: str) -> None:
    """Refuse an address that others could reach.

    Raises
    ------
    Refused
        There is no log-in yet.
    """
    if host not in LOOPBACK:
        raise Refused(
            f"{host} could be reached by others, and nobody has to log in yet",
            "use --host 127.0.0.1, and a proxy with TLS and log-in in front of it",
        )


def port_is_free(host: str, port: int, option: str = "port") -> None:
    """Make sure that we can listen.

    Parameters
    ----------
    host, port
        Where.
    option
        The option that chooses the port, for the error.

    Raises
    ------
    Conflict
        When somebody else listens there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise Conflict(
                f"{host}:{port} cannot be opened ({error.strerror})",
                f"stop what listens there, or choose another --{option}",
                option,
            ) from error


@contextmanager
def only_one(data: DataFolder) -> Iterator[None]:
    """Hold the data folder for this supervisor.

    Raises
    ------
    Conflict
        When another one holds it.
    """
    data.make()
    path = data.processes.with_name("supervisor.lock")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            raise Conflict(
                f"{data.root} is in use by process {holder}",
                "stop that one, or choose another --data folder",
                "data",
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(fd)


def clean_leftovers(data: DataFolder, tell: Tell) -> int:
    """End processes and remove folders a dead predecessor recorded; how many processes there were.

    A process counts only with its recorded start time, so that a number given anew is spared.
    """
    recorded, folders = processes.read_record(data.processes)
    left = [p for p in recorded if processes.alive(p)]
    if left:
        tell(f"ending {len(left)} process(es) of an earlier run that did not stop cleanly")
        processes.end(left, _ORPHAN_S)
    for folder in map(Path, folders):
        if folder.parent == TEMP_ROOT and folder.name.startswith(TEMP_PREFIX):
            temp_folders.remove(folder)
    data.processes.unlink(missing_ok=True)
    return len(left)


def _readiness(client: Client) -> str:
    """What is still missing; empty when everything works."""
    try:
        state = orjson.loads(client.raw("GET", "/ready"))
    except (TwinError, orjson.JSONDecodeError):
        return "starting the service"
    waiting = [part for part in state.get("parts", ()) if not part["ok"]]
    if state.get("ready"):
        return ""
    broken = next((p["cause"] for p in waiting if p["cause"].startswith("failed: ")), None)
    if broken is not None:
        raise Unavailable(str(broken), "mend it and start again")
    return ", ".join(part["cause"] or part["name"] for part in waiting[:2]) or "starting"


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
