"""Processes of ours: never mistaken for another's, ended with what they left behind."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cluster import one_root, processes, supervisor, temp_folders
from cluster.layout import DataFolder
from cluster.processes import ProcessMark
from cluster.settings import ParkSettings, ServiceSettings
from models.errors import Conflict, MixedInstall, Refused


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])


def test_a_process_is_known_by_its_start_too():
    with sleeper() as child:
        known = processes.mark(child.pid)
        assert known is not None
        assert processes.alive(known)
        other = ProcessMark(pid=known.pid, started=known.started - 1)
        assert not processes.alive(other)
        assert processes.end([other], 0.1) == []
        assert processes.alive(known)
        processes.end([known], 5.0)
        child.wait(5)
        assert not processes.alive(known)


def test_a_process_that_does_not_listen_is_killed():
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        forced = processes.end([processes.mark(child.pid)], 0.3)
        assert [p.pid for p in forced] == [child.pid]
        assert child.wait(5) == -signal.SIGKILL


def test_descendants_are_found_through_generations():
    code = (
        "import subprocess, sys; "
        "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(c.pid, flush=True); c.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= {p.pid for p in processes.descendants(os.getpid())}
        processes.end([processes.mark(grandchild)], 5.0)
        child.wait(5)


def test_leftovers_of_a_dead_predecessor_are_ended_and_strangers_spared(tmp_path):
    data = DataFolder(root=tmp_path)
    data.make()
    temp = Path("/tmp") / f"pttest{os.getpid()}"
    temp.mkdir()
    with sleeper() as ours, sleeper() as stranger:
        mark, other = processes.mark(ours.pid), processes.mark(stranger.pid)
        stale = ProcessMark(pid=other.pid, started=other.started + 1)
        processes.write_record(data.processes, [mark, stale], [str(temp), "/etc"])
        told = []
        assert supervisor.clean_leftovers(data, told.append) == 1
        ours.wait(5)
        assert processes.alive(other)
        processes.end([other], 5.0)
    assert not temp.exists()
    assert Path("/etc").is_dir()
    assert not data.processes.exists()
    assert "1 process" in told[0]


def test_a_torn_record_counts_as_none(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b'{"processes": [')
    assert processes.read_record(path) == ([], [])


def test_two_supervisors_never_share_a_data_folder(tmp_path):
    data = DataFolder(root=tmp_path)
    with (
        supervisor.only_one(data),
        pytest.raises(Conflict, match=str(os.getpid())),
        supervisor.only_one(data),
    ):
        pass
    with supervisor.only_one(data):
        pass


def test_a_taken_port_is_told_before_anything_starts():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Conflict, match="--port"):
            supervisor.port_is_free("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_addresses_others_could_reach_are_refused(host):
    with pytest.raises(Refused):
        supervisor.loopback_only(host)


def test_a_child_that_dies_comes_back_later_each_time():
    def fail() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])

    child = supervisor.Child("x", fail)
    now_s = time.monotonic()
    waits = []
    for _ in range(3):
        child.start()
        child._process.wait(10)
        news = child.look(now_s)
        assert "code 3" in news
        waits.append(child._due_s - now_s)
        assert child.look(now_s) is None
    assert waits == pytest.approx([0.5, 1.0, 2.0])
    child.start()
    child.works()
    child._process.wait(10)
    child.look(now_s)
    assert child._due_s - now_s == pytest.approx(0.5)


def test_a_folder_goes_though_somebody_still_writes_there(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()

    def write() -> None:
        with contextlib.suppress(FileNotFoundError):
            for number in range(20_000):
                (folder / f"{number}.log").touch()

    writer = threading.Thread(target=write)
    writer.start()
    assert temp_folders.remove(folder)
    writer.join(10)
    assert not folder.exists()
    assert temp_folders.remove(folder)


def test_settings_come_back_as_they_were_written(tmp_path):
    park = ParkSettings(file="p.yaml", demo=True, urls={"a": "opc.tcp://h:1"}, clock="c", ready="r")
    settings = ServiceSettings(data=str(tmp_path), parks=(park,), temp="/tmp/ptx", whatif_slots=2)
    settings.folder.make()
    assert ServiceSettings.read(settings.write()) == settings


def test_packages_from_two_places_are_a_mixed_install():
    here = {name: f"/a/{name}" for name in one_root.PACKAGES}
    one_root.check(here, here, "a worker")
    with pytest.raises(MixedInstall, match="'models' is /a/models here and /b/models in a worker"):
        one_root.check(here, here | {"models": "/b/models"}, "a worker")
    split = here | {"models": "/b/models"}
    with pytest.raises(MixedInstall, match="2 places"):
        one_root.check(split, split, "a worker")
