"""Sessions to one server, counted over real processes that share a folder."""

import asyncio
import contextlib
import fcntl
import os
import stat
import subprocess
import sys

import pytest
from asyncua import ua

from connectors.opcua import budget as budgets
from connectors.opcua.budget import Budget, budget_of, holders_at, share_sessions
from connectors.opcua.session import ours_of
from connectors.opcua.slots import Slots, server_name
from models.errors import Unavailable

URL = "opc.tcp://10.0.0.5:4840/plc"

OTHER = """
import asyncio, sys
from pathlib import Path
from connectors.opcua.budget import budget_of, share_sessions
async def main():
    share_sessions(Path(sys.argv[1]))
    for purpose in sys.argv[3:]:
        await budget_of(sys.argv[2]).take(purpose, 10.0)
    print("taken", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
asyncio.run(main())
"""


@contextlib.contextmanager
def other(folder, *purposes, url=URL):
    """Another process that has sessions, until it is let go."""
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(folder), url, *purposes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def folder(tmp_path):
    share_sessions(tmp_path / "slots")
    yield tmp_path / "slots"
    budgets._folder.clear()


def held() -> list[str]:
    return [holder.purpose for holder in holders_at(URL)]


async def test_two_processes_share_one_budget_and_the_error_names_who_has_it(folder):
    with other(folder, "subscription", "crawl") as process:
        ours = budget_of(URL)
        await ours.take("test", 1.0)
        with pytest.raises(Unavailable, match="3 of 3 sessions") as caught:
            await ours.take("browse", 0.05)
        told = str(caught.value)
        assert "no session left" in told
        assert f"subscription of process {process.pid} since 20" in told
        assert f"crawl of process {process.pid}" in told
        assert f"test of process {os.getpid()}" in told
        assert held() == ["subscription", "crawl", "test"]
        ours.give_back("test")
        assert held() == ["subscription", "crawl"]
    assert held() == []


async def test_a_process_killed_with_kill_9_leaves_nothing_taken(folder):
    with other(folder, "crawl", "crawl") as process:
        waiting = asyncio.create_task(budget_of(URL).take("test", 30.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        process.kill()
        await waiting
        assert held() == ["test"]
    budget_of(URL).give_back("test")


async def test_a_subscription_waits_for_no_crawl_and_the_crawls_count_it_afterwards(folder):
    with other(folder, "crawl", "crawl"), other(folder, "subscription"):
        ours = budget_of(URL)
        # The slot of subscriptions is taken: it goes above the budget rather than wait.
        await ours.take("subscription", 0.01)
        assert sorted(held()) == ["crawl", "crawl", "subscription", "subscription"]
    # Now it is alone, in a slot above the others, and still counts.
    assert held() == ["subscription"]
    await ours.take("crawl", 0.5)
    with pytest.raises(Unavailable):
        # One more would leave none to a subscription that comes back to the lowest slot.
        await ours.take("crawl", 0.05)
    for purpose in ("subscription", "crawl"):
        ours.give_back(purpose)


async def test_a_process_that_stands_still_while_it_counts_holds_up_no_subscription(folder):
    await budget_of(URL).take("test", 1.0)
    budget_of(URL).give_back("test")
    door = os.open(folder / server_name(URL) / "door", os.O_RDWR)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)
        with pytest.raises(Unavailable):
            await budget_of(URL).take("test", 0.05)
        await budget_of(URL).take("subscription", 0.05)
    finally:
        os.close(door)
    assert held() == ["subscription"]
    budget_of(URL).give_back("subscription")


async def test_who_only_looks_tries_no_lock_while_another_process_counts(folder, monkeypatch):
    await budget_of(URL).take("test", 1.0)
    door = os.open(folder / server_name(URL) / "door", os.O_RDWR)
    try:
        fcntl.flock(door, fcntl.LOCK_EX)
        monkeypatch.setattr(Slots, "_free", lambda *_: pytest.fail("a lock was tried"))
        assert holders_at(URL) == ()
    finally:
        os.close(door)
    monkeypatch.undo()
    assert held() == ["test"]
    budget_of(URL).give_back("test")


async def test_what_one_process_learned_of_the_server_binds_the_others(folder):
    budget_of(URL).most = 2
    again = Budget(folder=folder / server_name(URL))
    assert again.most == 2
    await again.take("test", 0.1)
    with pytest.raises(Unavailable, match="1 of 2 sessions"):
        await again.take("crawl", 0.05)
    again.give_back("test")


async def test_a_program_started_meanwhile_does_not_keep_the_session(folder):
    await budget_of(URL).take("test", 1.0)
    child = await asyncio.create_subprocess_exec("sleep", "60", close_fds=False)
    try:
        budget_of(URL).give_back("test")
        assert held() == []
    finally:
        child.kill()
        await child.wait()


async def test_files_are_their_owners_alone(folder):
    budget_of(URL).most = 3
    await budget_of(URL).take("test", 1.0)
    for path in (folder, folder / server_name(URL)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    files = list((folder / server_name(URL)).iterdir())
    assert {path.name for path in files} >= {"door", "most", "slot-1"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    budget_of(URL).give_back("test")


async def test_a_folder_that_cannot_be_used_leaves_the_count_of_this_process(tmp_path, caplog):
    (tmp_path / "slots").write_text("no folder")
    ours = Budget(2, tmp_path / "slots" / "a")
    await ours.take("subscription", 0.1)
    await ours.take("test", 0.1)
    with pytest.raises(Unavailable, match="2 of 2 sessions"):
        await ours.take("test", 0.05)
    assert caplog.text.count("counted in this process only") == 1


async def test_what_stands_in_a_slot_is_for_people_only(folder):
    await budget_of(URL).take("test", 1.0)
    (folder / server_name(URL) / "slot-1").write_text("{not json")
    (folder / server_name(URL) / "slot-x").touch()
    assert [str(holder) for holder in holders_at(URL)] == ["session of process 0 since now"]
    budget_of(URL).give_back("test")
    assert held() == []


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("opc.tcp://PLC7.plant.:4840/a", "opc.tcp://plc7.plant:4840"),
        ("opc.tcp://localhost:4840", "opc.tcp://127.0.0.1:4840/x"),
        ("opc.tcp://[::ffff:10.0.0.5]:4840", URL),
        ("opc.tcp://[2001:DB8:0::1]:4840", "opc.tcp://[2001:db8::1]:4840"),
    ],
)
def test_one_server_has_one_name_however_its_address_is_written(one, same):
    assert server_name(one) == server_name(same)


@pytest.mark.parametrize("host", ["..", "%2e%2e", "a" * 300, "[::1]", "a\\b"])
def test_no_address_leads_out_of_the_folder(host, tmp_path):
    name = server_name(f"opc.tcp://{host}:4840")
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert len(name) <= 100
    assert name not in (".", "..")


def test_who_has_sessions_is_told_of_an_address_that_is_none_too(folder):
    assert holders_at("opc.tcp://10.0.0.5:99999") == ()
    assert holders_at("opc.tcp://[::1:4840") == ()


async def test_a_server_that_has_no_session_left_is_told_with_who_of_us_has_some(folder):
    await budget_of(URL).take("crawl", 1.0)
    told = ours_of(ua.UaStatusCodeError(ua.StatusCodes.BadTooManySessions), URL)
    assert f"crawl of process {os.getpid()}" in told
    assert not ours_of(ua.UaStatusCodeError(ua.StatusCodes.BadTimeout), URL)
    budget_of(URL).give_back("crawl")
