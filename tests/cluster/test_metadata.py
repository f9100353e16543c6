"""The metadata store: what it keeps, in which order it gives it out, and that its trail holds."""

import sqlite3
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest
from sqlalchemy import inspect

from cluster.metadata.connect import connect
from cluster.metadata.sqlite import FILE, next_session
from cluster.metadata.store import REGISTERED, _append
from cluster.metadata.tables import AuditRow, Base, DeedRow, EndpointRow, NoteRow, ParkRow, RunRow
from cluster.metadata.upgrade import open_store, upgrade
from cluster.ports import RunState
from models.errors import Conflict, Corrupt, NewerFormat, NotFound, Unavailable

NOW_US = 1_795_000_000_000_000


@pytest.fixture
def store(tmp_path):
    opened = open_store(tmp_path / "data")
    yield opened
    opened.close()


def a_run(run: str, priority: int = 0, created_us: int = NOW_US) -> RunRow:
    return RunRow(
        id=run,
        name="n",
        park="small",
        spec="kind: WhatIf",
        state=RunState.QUEUED,
        progress=0.0,
        priority=priority,
        attempt=0,
        submitted_by="me",
        created_us=created_us,
        owner="",
        cancel_by="",
        horizon_us=1,
        branches=["base"],
        replications=2,
        error="",
        result_hash="",
    )


def test_files_are_readable_by_their_owner_alone(store, tmp_path):
    store.next_session("g", NOW_US)
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path.name


def test_the_migrations_build_what_the_models_say(store, tmp_path):
    built = sqlite3.connect(tmp_path / "data" / FILE)
    for table in Base.metadata.sorted_tables:
        columns = {row[1] for row in built.execute(f"PRAGMA table_info({table.name})")}
        assert columns == {column.name for column in table.columns}, table.name
    built.close()


def test_every_commit_waits_for_the_disk(tmp_path):
    engine = connect(tmp_path, None)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    engine.dispose()


def test_a_store_of_a_newer_version_is_refused(tmp_path):
    engine = connect(tmp_path, None)
    upgrade(engine, tmp_path)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerFormat, match="9999"):
        upgrade(engine, tmp_path)
    engine.dispose()


def test_processes_that_start_together_migrate_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from cluster.metadata.upgrade import open_store; "
        "open_store(Path(sys.argv[1])).close()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    starts = [subprocess.Popen(command) for _ in range(3)]
    assert [start.wait(60) for start in starts] == [0, 0, 0]


def test_each_start_of_a_gateway_gets_a_higher_session(store):
    assert [store.next_session("a", NOW_US) for _ in range(3)] == [1, 2, 3]
    assert store.next_session("b", NOW_US) == 1


def test_a_gateway_counts_its_sessions_without_the_store_s_libraries_alike(tmp_path, store):
    by_turns = [
        store.next_session("a", NOW_US),
        next_session(tmp_path / "data", "a", NOW_US + 1),
        store.next_session("a", NOW_US + 2),
        next_session(tmp_path / "data", "a", NOW_US + 3),
    ]
    assert by_turns == [1, 2, 3, 4]
    assert next_session(tmp_path / "data", "b", NOW_US) == 1


def test_a_gateway_that_starts_before_the_store_has_tables_is_told_to_try_again(tmp_path):
    with pytest.raises(Unavailable, match="no such table: gateways"):
        next_session(tmp_path, "a", NOW_US)


def test_runs_are_claimed_by_priority_then_age(store):
    store.add_run(a_run("old", 0, NOW_US))
    store.add_run(a_run("new", 0, NOW_US + 1))
    store.add_run(a_run("urgent", 5, NOW_US + 2))
    claimed = [store.claim_run("me", NOW_US) for _ in range(4)]
    assert [row.id if row else None for row in claimed] == ["urgent", "old", "new", None]


def test_a_run_belongs_to_whoever_claimed_it(store):
    store.add_run(a_run("r"))
    store.claim_run("me", NOW_US)
    assert store.beat_run("r", "me", 0.5, NOW_US + 1) == ""
    with pytest.raises(Conflict):
        store.beat_run("r", "another", 0.6, NOW_US + 2)
    store.finish_run("r", "another", RunState.DONE, NOW_US)
    assert store.run("r").state == RunState.RUNNING
    store.finish_run("r", "me", RunState.DONE, NOW_US, result_hash="abc")
    assert (store.run("r").state, store.run("r").progress) == (RunState.DONE, 1.0)


def test_silent_runs_go_back_to_the_queue_until_their_attempts_are_used_up(store):
    store.add_run(a_run("r"))
    for attempt in (1, 2, 3):
        row = store.claim_run("dead", NOW_US)
        assert row is not None
        assert row.attempt == attempt
        store.requeue_stale(NOW_US + 1, 3, NOW_US + 2)
    ended = store.run("r")
    assert ended.state == RunState.FAILED
    assert "3 times" in ended.error


def test_a_service_that_ends_costs_its_runs_no_attempt(store):
    store.add_run(a_run("r"))
    for _ in range(5):
        assert store.claim_run("me", NOW_US).attempt == 1
        store.release("me")
        assert store.claim_run("me", NOW_US).attempt == 1
        store.requeue("r", "me", "")
    store.claim_run("me", NOW_US)
    store.requeue("r", "me", "its process died")
    assert store.claim_run("me", NOW_US).attempt == 2


def test_a_run_that_another_took_over_is_not_put_back_by_the_one_before(store):
    store.add_run(a_run("r"))
    store.claim_run("slow", NOW_US)
    store.requeue_stale(NOW_US + 1, 3, NOW_US + 2)
    store.claim_run("quick", NOW_US + 3)
    store.requeue("r", "slow", "its process died")
    assert (store.run("r").state, store.run("r").owner) == (RunState.RUNNING, "quick")
    assert (store.run("r").attempt, store.run("r").error) == (2, "")


def test_a_list_of_runs_leaves_their_plans_in_the_store(store):
    store.add_run(a_run("r"))
    store.keep_plan("r", b"a whole snapshot", NOW_US)
    (listed,) = store.runs("small")
    assert "plan" in inspect(listed).unloaded
    assert (listed.spec, store.run("r").plan) == ("kind: WhatIf", b"a whole snapshot")


def test_a_damaged_store_is_an_error_of_ours(store, tmp_path):
    store.add_run(a_run("r"))
    store.close()
    for side in (tmp_path / "data").glob(f"{FILE}-*"):
        side.unlink()
    (tmp_path / "data" / FILE).write_bytes(b"no database at all" * 1000)
    with pytest.raises(Unavailable, match="not a database"):
        store.claim_run("me", NOW_US)


def test_a_queued_run_is_cancelled_at_once_and_a_running_one_is_asked(store):
    store.add_run(a_run("waiting"))
    assert store.cancel_run("waiting", "boss", NOW_US) == RunState.CANCELLED
    store.add_run(a_run("busy"))
    store.claim_run("me", NOW_US)
    assert store.cancel_run("busy", "boss", NOW_US) == RunState.RUNNING
    assert store.beat_run("busy", "me", 0.1, NOW_US) == "boss"
    with pytest.raises(Conflict):
        store.cancel_run("waiting", "boss", NOW_US)
    with pytest.raises(NotFound, match="nothing"):
        store.cancel_run("nothing", "boss", NOW_US)


@pytest.mark.parametrize("page", [1, 2, 5, 6])
def test_the_audit_trail_tells_when_somebody_changed_it(store, tmp_path, monkeypatch, page):
    monkeypatch.setattr("cluster.metadata.store._PAGE", page)
    for number in range(5):
        store.audit(NOW_US + number, "me", "endpoint.add", f"e{number}", {"url": "x", "n": number})
    assert store.verify_audit() == 5
    with sqlite3.connect(tmp_path / "data" / FILE) as raw:
        raw.execute("UPDATE audit SET subject = 'forged' WHERE seq = 3")
    raw.close()
    with pytest.raises(Corrupt, match="row 3"):
        store.verify_audit()


def test_the_audit_trail_tells_when_a_row_was_taken_out(store, tmp_path):
    for number in range(3):
        store.audit(NOW_US, "me", "a", f"s{number}", {})
    with sqlite3.connect(tmp_path / "data" / FILE) as raw:
        raw.execute("DELETE FROM audit WHERE seq = 2")
    raw.close()
    with pytest.raises(Corrupt):
        store.verify_audit()


def test_a_removed_endpoint_keeps_its_row_and_loses_its_mapping(store):
    row = EndpointRow(
        park="p",
        id="e",
        origin=REGISTERED,
        url="opc.tcp://h:1",
        spec={"url": "opc.tcp://h:1"},
        fingerprint="",
        created_us=NOW_US,
        removed_us=None,
    )
    store.put_endpoint(row)
    store.map_nodes("p", "e", {"nsu=u;s=a": "p/x/power"})
    store.remove_endpoint("p", "e", NOW_US + 1)
    assert [r.removed_us for r in store.endpoints("p")] == [NOW_US + 1]
    assert store.mappings("p") == []
    with pytest.raises(NotFound):
        store.remove_endpoint("p", "e", NOW_US + 2)


def test_parks_and_notes_come_back_as_they_were(store):
    store.put_park(ParkRow(id="p", digest="d", text="kind: Park", demo=True, applied_us=NOW_US))
    store.add_note(NoteRow(park="p", asset="a", at_us=NOW_US, by="me", text="máy kêu to"))
    assert store.park("p").text == "kind: Park"
    assert [note.text for note in store.notes("p")] == ["máy kêu to"]
    with pytest.raises(NotFound, match="did you mean 'p'"):
        store.park("pp")


def a_deed(deed, subject="small/p01/setpoint"):
    return DeedRow(
        id=deed, at_us=NOW_US, who="lan", action="endpoint.write", subject=subject,
        detail={"role": "operator", "asked": "5"},
    )  # fmt: skip


def test_a_deed_is_one_row_of_the_trail_however_it_ends(store, tmp_path):
    store.begin_deed(a_deed("one"))
    assert store.audit_trail() == []
    store.end_deed("one", {"result": "Good", "held": "5"})
    (row,) = store.audit_trail()
    assert (row.who, row.action, row.at_us) == ("lan", "endpoint.write", NOW_US)
    assert row.detail == {"role": "operator", "asked": "5", "result": "Good", "held": "5"}
    # A process that dies meanwhile: the next one records that nobody knows.
    store.begin_deed(a_deed("two"))
    store.begin_deed(a_deed("three"))
    store.close()
    after = open_store(tmp_path / "data")
    assert (after.settle_deeds(), after.settle_deeds()) == (2, 0)
    assert [row.detail["result"] for row in after.audit_trail()] == ["Good", "unknown", "unknown"]
    assert after.verify_audit() == 3
    after.close()


def test_the_trail_is_read_in_pages_and_by_who_what_and_when(store):
    for number in range(7):
        who, action = ("lan", "endpoint.write") if number % 2 else ("minh", "endpoint.map")
        store.audit(NOW_US + number, who, action, f"small/plc_{number}", {})
    pages, before = [], None
    while page := store.audit_page(before=before, limit=3):
        pages.append([row.seq for row in page])
        before = page[-1].seq
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]

    def found(**asked):
        return [row.seq for row in store.audit_page(**asked)]

    assert found(who="lan") == [6, 4, 2]
    assert found(action="endpoint.m") == [7, 5, 3, 1]
    assert found(action="endpoint_") == []  # no wildcard
    assert found(subject="plc_3") == [4]
    assert found(since_us=NOW_US + 2, until_us=NOW_US + 4) == [4, 3]


def test_in_postgresql_one_at_a_time_finds_the_newest_row_of_the_trail():
    asked = []

    class Session:
        def get_bind(self):
            return SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))

        def execute(self, statement):
            asked.append(str(statement))

        def scalar(self, statement):
            asked.append(str(statement))

        def add(self, row):
            asked.append(row.previous)

    row = AuditRow(at_us=NOW_US, who="an", action="a", subject="s", detail={})
    assert _append(Session(), row) == row.hash
    assert asked[0] == "LOCK TABLE audit IN EXCLUSIVE MODE"
    assert ("FROM audit" in asked[1], asked[2]) == (True, "0" * 64)
