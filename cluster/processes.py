"""Our own processes: recorded with their start times, found as descendants, ended by id."""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

_PROC: Final = Path("/proc")
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMark:
    """A process that cannot be mistaken for another.

    Parameters
    ----------
    pid
        Process id.
    started
        Clock ticks from boot to its start; a pid that was given anew has another.
    what
        Its command, for people.
    """

    pid: int
    started: int
    what: str = ""


def die_with_parent() -> None:
    """In a new child, before it runs: end when the parent ends, however that ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is lost."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def mark(pid: int) -> ProcessMark | None:
    """Mark a living process; None when there is none of that id, or it is a zombie."""
    found = _stat(pid)
    return None if found is None else found[1]


def descendants(pid: int) -> list[ProcessMark]:
    """Every living process below one, parents before children."""
    children: dict[int, list[ProcessMark]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))) is not None:
            children.setdefault(found[0], []).append(found[1])
    below: list[ProcessMark] = []
    front = [pid]
    while front:
        near = [child for parent in front for child in children.get(parent, ())]
        below += near
        front = [child.pid for child in near]
    return below


def alive(process: ProcessMark) -> bool:
    """Whether exactly this process still runs."""
    now = mark(process.pid)
    return now is not None and now.started == process.started


def end(processes: Iterable[ProcessMark], patience_s: float) -> list[ProcessMark]:
    """Ask processes to end, and after `patience_s` end them; those that had to be forced."""
    left = [p for p in processes if _send(p, signal.SIGTERM)]
    left = _wait(left, patience_s)
    for process in left:
        _send(process, signal.SIGKILL)
    _wait(left, patience_s)
    return left


def write_record(path: Path, processes: Sequence[ProcessMark], folders: Sequence[str]) -> None:
    """Remember which processes and temporary folders are ours."""
    record = {"processes": [asdict(p) for p in processes], "folders": list(folders)}
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps(record))
    draft.replace(path)


def read_record(path: Path) -> tuple[list[ProcessMark], list[str]]:
    """What `write_record` remembered; nothing when there is no such file or it is torn."""
    try:
        record = orjson.loads(path.read_bytes())
        return [ProcessMark(**p) for p in record["processes"]], list(record["folders"])
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def reap_all_but(spared: set[int]) -> None:
    """Collect ended orphans of ours; those in `spared` are waited for by whoever started them."""
    for entry in (_PROC / "self" / "task" / str(os.getpid()) / "children").read_text().split():
        if int(entry) not in spared:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(entry), os.WNOHANG)


def memory_bytes(pid: int) -> int:
    """Proportional share of memory of a process [B]; 0 when it cannot be read."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used [s]; 0 when it is gone."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> tuple[int, ProcessMark] | None:
    try:
        head, _, tail = (_PROC / str(pid) / "stat").read_text().rpartition(")")
    except OSError:
        return None
    fields = tail.split()
    if fields[0] in {"Z", "X"}:
        return None
    name = head.partition("(")[2]
    return int(fields[1]), ProcessMark(pid=pid, started=int(fields[19]), what=name)


def _send(process: ProcessMark, signal_number: int) -> bool:
    if not alive(process):
        return False
    try:
        os.kill(process.pid, signal_number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _wait(processes: list[ProcessMark], patience_s: float) -> list[ProcessMark]:
    until = time.monotonic() + patience_s
    left = [p for p in processes if alive(p)]
    while left and time.monotonic() < until:
        time.sleep(_POLL_S)
        left = [p for p in left if alive(p)]
    return left
