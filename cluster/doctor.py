"""What is wrong with an installation or a machine: one finding per check, each with a remedy."""

import ctypes
import locale
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster import one_root, processes
from cluster.engine import Engine, EngineSettings
from cluster.layout import DataFolder
from cluster.supervisor import port_is_free
from cluster.wanted import read_wanted
from models.errors import Conflict, TwinError
from twin.parkfile.load import read_park

OK, WARN, BAD, UNKNOWN = "ok", "warn", "bad", "unknown"
_GIB: Final = 2**30
_SHM_BYTES: Final = 512 * 2**20
_MEMORY_BYTES: Final = 4 * _GIB
_DISK_WARN: Final = 0.15
_DISK_BAD: Final = 0.05
_PYTHON: Final = (3, 11)
_STA_UNSYNC: Final = 0x0040
_TIMEX_BYTES: Final = 208
_TIMEX_STATUS: Final = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Outcome of one check: ``ok``, ``warn``, ``bad`` or ``unknown``."""

    check: str
    state: str
    detail: str
    remedy: str = ""


def examine(data: Path, port: int, *, full: bool) -> tuple[Finding, ...]:
    """Run every check.

    Parameters
    ----------
    data
        Data folder to look at; it need not exist.
    port
        Port the page would use.
    full
        Start Ray too, which takes some seconds.
    """
    checks: list[Callable[[], Finding]] = [
        _python,
        _install,
        _locale,
        lambda: _port(port),
        lambda: _rights(data),
        lambda: _disk(data),
        _shared_memory,
        _memory,
        _short_temp,
        _time,
        lambda: _leftovers(DataFolder(root=data)),
        lambda: _park_files(DataFolder(root=data)),
    ]
    if full:
        checks.append(_ray)
    return tuple(check() for check in checks)


def worst(findings: Iterable[Finding]) -> str:
    """The worst state among findings."""
    order = (OK, UNKNOWN, WARN, BAD)
    return max((f.state for f in findings), key=order.index, default=OK)


def _judged(check: str, detail: str, remedy: str, *, good: bool, otherwise: str = WARN) -> Finding:
    """A finding that is ok, or else has a state and a remedy."""
    if good:
        return Finding(check=check, state=OK, detail=detail)
    return Finding(check=check, state=otherwise, detail=detail, remedy=remedy)


def _python() -> Finding:
    good = sys.version_info[:2] >= _PYTHON and sys.maxsize > 2**32
    detail = f"{platform.python_version()} at {sys.executable}"
    return _judged(
        "python", detail, "install a 64-bit Python 3.11 or newer", good=good, otherwise=BAD
    )


def _install() -> Finding:
    try:
        one_root.check(one_root.roots(), one_root.roots(), "this process")
    except TwinError as error:
        return Finding(check="install", state=BAD, detail=str(error))
    home = Path(one_root.roots()["cluster"]).parent
    hidden = [name for name in one_root.PACKAGES if (Path.cwd() / name).is_dir()]
    foreign = [name for name in hidden if (Path.cwd() / name).resolve().parent != home]
    if foreign:
        return Finding(
            check="install",
            state=BAD,
            detail=f"the current folder holds other packages named {', '.join(foreign)}",
            remedy="start parktwin from another folder: Ray's workers would import those",
        )
    return Finding(check="install", state=OK, detail=f"all five packages come from {home}")


def _locale() -> Finding:
    encoding = locale.getpreferredencoding(do_setlocale=False)
    good = encoding.lower().replace("-", "") == "utf8"
    remedy = "set LANG=C.UTF-8, or Vietnamese names print wrongly"
    return _judged("locale", encoding, remedy, good=good)


def _port(port: int) -> Finding:
    try:
        port_is_free("127.0.0.1", port)
    except Conflict as error:
        return Finding(check="port", state=WARN, detail=error.what, remedy=error.remedy)
    return Finding(check="port", state=OK, detail=f"127.0.0.1:{port} is free")


def _existing(folder: Path) -> Path:
    return next((f for f in (folder, *folder.resolve().parents) if f.exists()), Path("/"))


def _rights(data: Path) -> Finding:
    place = _existing(data)
    try:
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        return Finding(
            check="rights",
            state=BAD,
            detail=f"cannot write in {place} ({error.strerror})",
            remedy="choose another --data folder, or change its owner",
        )
    return Finding(check="rights", state=OK, detail=f"{place} can be written")


def _disk(data: Path) -> Finding:
    usage = shutil.disk_usage(_existing(data))
    if not usage.total:
        return Finding(
            check="disk",
            state=BAD,
            detail=f"{_existing(data)} is on no disk",
            remedy="choose another --data folder",
        )
    free = usage.free / usage.total
    detail = f"{usage.free / _GIB:.1f} GiB free, {free:.0%}"
    remedy = "free disk space: below 10 % what-if stops, below 5 % ingest"
    otherwise = BAD if free < _DISK_BAD else WARN
    return _judged("disk", detail, remedy, good=free >= _DISK_WARN, otherwise=otherwise)


def _shared_memory() -> Finding:
    shm = Path("/dev/shm")  # noqa: S108 - it is asked for its size, nothing is written
    if not shm.is_dir():
        return Finding(check="shared memory", state=UNKNOWN, detail="no /dev/shm")
    free = shutil.disk_usage(shm).free
    detail = f"{free / _GIB:.1f} GiB free in {shm}"
    remedy = "give the container --shm-size=1g, or Ray spills to the disk"
    return _judged("shared memory", detail, remedy, good=free >= _SHM_BYTES)


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{total / _GIB:.1f} GiB, {os.cpu_count()} CPU(s)"
    return _judged("memory", detail, "4 GiB are needed for the demo", good=total >= _MEMORY_BYTES)


def _short_temp() -> Finding:
    with tempfile.TemporaryDirectory(prefix="pt", dir="/tmp") as folder:
        path = Path(folder) / "s"
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.bind(str(path))
            except OSError as error:
                return Finding(
                    check="sockets",
                    state=BAD,
                    detail=f"no unix socket in /tmp ({error.strerror})",
                    remedy="make /tmp writable and not mounted without sockets",
                )
    return Finding(check="sockets", state=OK, detail="unix sockets work in /tmp")


def _time() -> Finding:
    """Ask the kernel (adjtimex), which every time service keeps informed."""
    try:
        status = _clock_status()
    except (OSError, AttributeError):
        return Finding(check="time", state=UNKNOWN, detail="this system does not tell")
    good = not status & _STA_UNSYNC
    told = "synchronised" if good else "not synchronised, or no time service says so"
    remedy = "run chrony or systemd-timesyncd; receive times and leases depend on it"
    return _judged("time", f"the clock is {told}", remedy, good=good)


def _clock_status() -> int:
    """The status word of ``struct timex``, which follows five longs (offset 40 on 64-bit Linux)."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")
    return int.from_bytes(buffer.raw[_TIMEX_STATUS : _TIMEX_STATUS + 4], sys.byteorder)


def _leftovers(data: DataFolder) -> Finding:
    recorded, _ = processes.read_record(data.processes)
    running = [p for p in recorded if processes.alive(p)]
    held = _holder(data)
    if running and held is None:
        return Finding(
            check="leftovers",
            state=WARN,
            detail=f"{len(running)} process(es) of a run that did not stop cleanly",
            remedy="the next start ends them",
        )
    detail = f"in use by process {held}" if held else "none"
    return Finding(check="leftovers", state=OK, detail=detail)


def _park_files(data: DataFolder) -> Finding:
    """Read every park as a start would: a newer parktwin may refuse what an older one took."""
    parks = sorted(path.parent.name for path in data.root.glob("parks/*/wanted.json"))
    faults: list[str] = []
    for park in parks:
        try:
            read_park(read_wanted(data, park)[0], f"park {park}")
        except TwinError as error:
            faults.append(str(error))
    detail = "\n".join(faults) or f"{len(parks)} park(s) can be read"
    remedy = "mend the file and start with it, or run `parktwin apply`"
    return _judged("park files", detail, remedy, good=not faults, otherwise=BAD)


def _holder(data: DataFolder) -> int | None:
    try:
        pid = int(data.processes.with_name("supervisor.lock").read_text())
    except (OSError, ValueError):
        return None
    return pid if processes.mark(pid) is not None else None


def _ray() -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        data = DataFolder(root=Path(folder))
        data.make()
        try:
            engine = Engine.start(data, EngineSettings())
        except (TwinError, RuntimeError, OSError, ConnectionError) as error:
            return Finding(
                check="ray",
                state=BAD,
                detail=f"it does not start: {error}",
                remedy="look at memory, /dev/shm and who else runs Ray here",
            )
        engine.stop()
    return Finding(check="ray", state=OK, detail="starts, and its workers run this code")
