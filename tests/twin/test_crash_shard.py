"""kill -9 of a real process that owns a shard: no acknowledged batch lost, none twice, in order."""

import os
import random
import select
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import InputError, ShardOwned
from twin.delivery import Window
from twin.disk import OsDisk
from twin.failpoint import VARIABLE, from_setting, never
from twin.journal import Journal
from twin.records import RecordKind, unpack_batch
from twin.shard import Shard
from twin.term import Term

HERE = Path(__file__).parent
PATIENCE_S = 60.0


class Owner:
    """The child process, and the gateway's end of its pipes."""

    def __init__(self, folder: Path, failpoint: str = "") -> None:
        root = str(HERE.parents[1])
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "shard_process.py"), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root, VARIABLE: failpoint},
            bufsize=0,
        )
        self._left = b""
        self.answers: list[str] = []
        while not (line := self.read()):
            assert line is not None
        self.ready = line.split()

    def read(self) -> str | None:
        """The next answer; None when the process ended."""
        assert self.process.stdout is not None
        while b"\n" not in self._left:
            readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE_S)
            assert readable, "the shard process is silent"
            data = os.read(self.process.stdout.fileno(), 65_536)
            if not data:
                return None
            self._left += data
        line, self._left = self._left.split(b"\n", 1)
        return line.decode()

    def send(self, text: str) -> bool:
        """Whether the process was there to take it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(text.encode())
        except BrokenPipeError:
            return False
        return True

    def end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def feed(owner: Owner, window: Window, acked: list[tuple[int, int]], stop_after: int) -> None:
    """Keep the window full until `stop_after` answers came, everything is acked, or it died."""
    answers = 0
    while len(window) and answers < stop_after:
        while (batch := window.next_to_send()) is not None:
            if not owner.send(f"{batch.session} {batch.seq} {1000 * batch.session + batch.seq}\n"):
                window.lost()
        if not window.in_flight:
            return
        line = owner.read()
        if line is None:
            while window.in_flight:
                window.lost()
            return
        answers += 1
        kind, session, seq = line.split()
        if kind == "acked":
            before = len(window)
            gone = window.unacked
            window.acked(int(session), int(seq))
            acked += gone[: before - len(window)]
        else:
            window.expect(int(session), int(seq))


def die(owner: Owner, window: Window) -> None:
    """SIGKILL with calls in flight; their answers are lost."""
    owner.end()
    while window.in_flight:
        window.lost()


@pytest.mark.crash
def test_three_kills_with_eight_batches_in_flight_lose_nothing(tmp_path: Path):
    chance = random.Random(20261122)
    window, acked = Window(8), []
    for seq in range(1, 301):
        window.offer(1, seq)
    for failpoint in ("", "", "journal.written:25"):
        owner = Owner(tmp_path, failpoint)
        try:
            feed(owner, window, acked, chance.randint(20, 90) if not failpoint else 10**9)
            if failpoint:
                assert owner.process.wait(PATIENCE_S) == -9
        finally:
            die(owner, window)
    assert 0 < len(acked) < 300
    owner = Owner(tmp_path)
    try:
        feed(owner, window, acked, 10**9)
        with pytest.raises(ShardOwned, match=f"process {owner.process.pid} since"):
            Shard.open(tmp_path, "vsip1", now_us=1, disk=OsDisk())
    finally:
        die(owner, window)
    assert acked == [(1, seq) for seq in range(1, 301)]
    journal = Journal.open(tmp_path / "journal", OsDisk())
    ids, values = [], []
    for record in journal.read():
        if record.kind == RecordKind.SAMPLES:
            batch, delivery = unpack_batch(record.payload)
            ids.append((delivery.session, delivery.seq))
            values.append(set(batch.column("value").to_pylist()))
    journal.close()
    assert ids == acked
    assert values == [{1000.0 * session + seq} for session, seq in acked]
    first = Shard.open(tmp_path, "vsip1", now_us=1, disk=OsDisk())
    first.close()
    again = Shard.open(tmp_path, "vsip1", now_us=1, disk=OsDisk())
    assert again.digest() == first.digest()
    again.close()


@pytest.mark.crash
def test_a_killed_owner_frees_the_folder_at_once(tmp_path: Path):
    owner = Owner(tmp_path)
    with pytest.raises(ShardOwned):
        Term.take(tmp_path, OsDisk(), pid=1, started_us=0)
    owner.end()
    term = Term.take(tmp_path, OsDisk(), pid=1, started_us=0)
    term.end()
    term.end()


def test_a_fail_point_setting_is_name_and_count():
    assert from_setting(None) is from_setting("") is never
    for wrong in ("journal.synced", ":3", "a:0", "a:x", "a:-1"):
        with pytest.raises(InputError, match=VARIABLE):
            from_setting(wrong)
    harmless = from_setting("journal.synced:2")
    harmless("journal.synced")
    harmless("journal.written")


def test_kill_at_counts_only_its_own_step():
    code = "from twin.failpoint import kill_at\ns = kill_at('a', 2)\ns('b'); s('a'); s('b')\n"
    for more, status in [("", 0), ("s('a')", -9)]:
        done = subprocess.run([sys.executable, "-c", code + more], cwd=HERE.parents[1], check=False)
        assert done.returncode == status
