"""``endpoint write``, ``endpoint call`` and ``audit``: what they send, and what they print."""

import socket
import threading
import time

import orjson
import pytest
import uvicorn
from fastapi import FastAPI

from cluster.control_ports import AuditEntry, AuditPage, ControlOutcome
from cluster.routes import answers
from cluster.routes.control import control_router
from dashboard import main
from dashboard.verbs.outcome import INPUT, REFUSED
from dashboard.verbs.output import show_rows
from models.errors import Refused

TAG = "small/acme/l1/p01/active_power"
DONE = ControlOutcome(
    who="lan", role="operator", at_us=0, endpoint="plc", tag=TAG, target="nsu=urn:a;s=P", unit="kW",
    sent_unit="W", data_type="Double", asked="1.5", before="1.2", sent="1500", after="1.5",
    as_sent=True, low=0.0, high=45.0, result="Good", status="Good",
)  # fmt: skip
CALLED = ControlOutcome(
    who="lan", role="engineer", at_us=0, endpoint="plc", tag="", target="i=85 nsu=urn:a;s=Reset",
    unit="", sent_unit="", data_type="UInt16", asked="41", before="", sent="parts=41", after="42",
    as_sent=True, low=None, high=None, result="Good", status="Good",
)  # fmt: skip


class FakeControl:
    """Remembers what was asked; the trail has 1203 rows."""

    def __init__(self):
        self.asked = []

    async def endpoint_write(self, *asked, dry_run, beside):
        self.asked.append((*asked, dry_run, beside))
        if asked[-1] == "viewer":
            raise Refused("may not be written by role viewer", "say `writable_by`")
        return DONE

    async def endpoint_call(self, *asked, dry_run, beside):
        self.asked.append((*asked, dry_run, beside))
        return CALLED

    async def audit(self, query):
        self.asked.append(query)
        newest = 1203 if query.before is None else query.before - 1
        seqs = range(newest, max(newest - query.limit, 0), -1)
        detail = {"role": "operator", "before": "1.2", "asked": "1.5", "after": "1.5",
                  "unit": "kW", "result": "Good"}  # fmt: skip
        rows = tuple(
            AuditEntry(
                seq=n, at_us=n, who="lan", action="endpoint.write", subject=TAG, detail=detail
            )
            for n in seqs
        )
        return AuditPage(rows=rows, next=seqs[-1] if seqs[-1] > 1 else None)

    async def audit_check(self):
        return 1203


@pytest.fixture(scope="module")
def control():
    return FakeControl()


@pytest.fixture(scope="module")
def url(control):
    api = FastAPI()
    answers.install(api)
    api.include_router(control_router(control), prefix="/api/v1")
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)
    sock.close()


@pytest.fixture
def run(capfd, url):
    def once(*words):
        code = main.run([*words[:1], "--url", url, *words[1:]] if words[0] == "audit" else
                        [*words[:2], "--url", url, *words[2:]])  # fmt: skip
        told = capfd.readouterr()
        return code, told.out, told.err

    return once


PARK = ("--park", "small")


def test_a_write_says_what_was_there_what_was_sent_and_what_is_held(run, control):
    code, out, err = run("endpoint", "write", *PARK, "--as", "operator/lan", "plc", TAG, "1.5")
    assert code == 0, err
    assert control.asked[-1] == ("small", "plc", TAG, "1.5", "lan", "operator", False, True)
    for line in (
        "range 0 to 45",
        "before   1.2 kW",
        "written  1500 W at the PLC",
        "now      1.5 kW",
    ):
        assert line in out
    code, out, _ = run(
        "endpoint", "write", *PARK, "--as", "operator/lan", "plc", TAG, "--json", "2"
    )
    assert (code, orjson.loads(out)["after"]) == (0, "1.5")


def test_a_dry_run_and_a_negative_value_are_sent_as_such(run, control):
    words = ("endpoint", "write", *PARK, "--as", "operator", "--dry-run", "plc", TAG, "--", "-5")
    code, out, err = run(*words)
    assert code == 0, err
    *_, value, who, role, dry_run, _ = control.asked[-1]
    assert (value, role, dry_run) == ("-5", "operator", True)
    assert who  # the login
    assert "would be written  1500 W" in out


def test_a_refusal_is_told_with_its_remedy_and_code(run):
    code, _, err = run("endpoint", "write", *PARK, "--as", "viewer/minh", "plc", TAG, "1")
    assert (code, "say `writable_by`" in err) == (REFUSED, True)
    code, _, err = run("endpoint", "write", *PARK, "--as", "Boss!", "plc", TAG, "1")
    assert (code, "ROLE/NAME" in err) == (INPUT, True)


def test_a_call_carries_its_arguments_and_prints_the_answer(run, control):
    method = "i=85 nsu=urn:a;s=Reset"
    words = ("endpoint", "call", *PARK, "--as", "engineer/lan", "plc", method, "41", "true")
    code, out, err = run(*words)
    assert code == 0, err
    asked = ("small", "plc", method, ["41", "true"], "lan", "engineer", False, True)
    assert control.asked[-1] == asked
    assert "called with  parts=41" in out
    assert "answer  42 (Good)" in out


def test_the_trail_is_read_over_pages_up_to_the_limit(run, control):
    code, out, err = run("audit", "--who", "lan", "--since", "-1h", "--limit", "1100", "--json")
    assert code == 0, err
    assert [row["seq"] for row in orjson.loads(out)] == list(range(1203, 103, -1))
    assert (control.asked[-1].who, control.asked[-1].since) == ("lan", "-1h")
    code, out, _ = run("audit", "--limit", "2000")
    assert out.count("endpoint.write") == 1203
    assert "1.2 kW" in out
    code, out, _ = run("audit", "--check", "--json")
    assert orjson.loads(out) == {"rows": 1203}


def test_help_says_honestly_that_nobody_logs_in(run, capfd):
    for words in (("endpoint", "write", "--help"), ("endpoint", "call", "--help")):
        assert main.run(words) == 0
        assert "no login yet" in " ".join(capfd.readouterr().out.split())


def test_what_somebody_wrote_is_printed_and_steers_neither_table_nor_terminal(capsys):
    show_rows([{"asked": "[/x] 45 [kW] :warning: \x1b[2J"}], ("asked",), json=False)
    assert "[/x] 45 [kW] :warning: \\x1b[2J" in capsys.readouterr().out
