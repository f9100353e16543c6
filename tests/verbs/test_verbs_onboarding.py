"""The verbs that help to map an endpoint, over a real socket."""

import orjson
import pytest

from dashboard import main
from dashboard.verbs.outcome import INPUT

NODE, PATH = "nsu=urn:a;s=P", "small/acme/hall/l1/p01/active_power"


@pytest.fixture(scope="module")
def asked(fake):
    return fake.FakeService()


@pytest.fixture(scope="module")
def url(served, asked):
    with served(asked) as address:
        yield address


@pytest.fixture
def service(asked):
    """The service all tests of this file ask; it remembers what this one asked."""
    asked.asked.clear()
    return asked


@pytest.fixture
def run(url, capfd):
    def once(*words):
        code = main.run(("endpoint", *words, "--url", url))
        told = capfd.readouterr()
        return code, told.out, told.err

    return once


def bound(service):
    return [asked[2] for asked in service.asked if asked[0] == "map"]


def test_propose_waits_for_the_crawl_and_tells_why(run, service):
    code, out, _ = run("propose", "plc")
    assert code == 0
    assert PATH in out
    assert "1 proposals, 1 of them sure" in out
    assert [asked[0] for asked in service.asked].count("crawl") == 2
    code, out, _ = run("propose", "opc.tcp://10.0.0.5:4840", "--json", "--sure")
    assert orjson.loads(out)[0]["confidence"] == 0.9


def test_a_list_is_shown_before_it_is_applied(run, service, tmp_path):
    file = tmp_path / "tags.csv"
    file.write_text("node,path\ntwice\n", encoding="utf-8")
    code, out, err = run("map", "plc", "--from", str(file), "--dry-run")
    assert code == 0
    assert "nothing was changed" in out
    assert "no such node" in out
    assert "1 row(s) were left out" in err
    assert not bound(service)
    code, out, _ = run("map", "plc", "--from", str(file))
    assert (code, bound(service)) == (0, [{NODE: "small/a/p"}])


def test_proposals_and_rules_are_taken_with_their_units(run, service):
    code, _, _ = run("map", "plc", "--proposed")
    assert (code, bound(service)) == (0, [{NODE: f"{PATH} [W]"}])
    code, _, _ = run("map", "plc", "--rules")
    assert bound(service)[-1] == {"nsu=urn:a;s=Q": "small/a/q"}
    code, _, _ = run("map", "plc", f"{NODE}={PATH}")
    assert bound(service)[-1] == {NODE: PATH}


def test_map_wants_one_way_and_a_list_that_can_be_read(run, tmp_path):
    code, _, err = run("map", "plc")
    assert code == INPUT
    assert "one way" in err
    code, _, err = run("map", "plc", "--from", str(tmp_path / "gone.csv"))
    assert code == INPUT
    assert "cannot be read" in err
    bad = tmp_path / "bad.csv"
    bad.write_text("bad", encoding="utf-8")
    code, _, err = run("map", "plc", "--from", str(bad))
    assert code == INPUT
    assert "name the columns" in err


def test_export_writes_what_map_reads(run, tmp_path):
    code, out, _ = run("export", "plc", str(tmp_path / "out.csv"))
    assert (code, "1 tag(s)" in out) == (0, True)
    assert (tmp_path / "out.csv").read_text(encoding="utf-8-sig").startswith("node,path")
    code, _, _ = run("export", "plc", str(tmp_path / "out.xlsx"))
    assert (tmp_path / "out.xlsx").read_bytes()[:2] == b"PK"
    code, out, _ = run("export", "plc", "-")
    assert f'"{NODE}"' in out
    code, _, err = run("export", "plc", str(tmp_path / "out.doc"))
    assert code == INPUT
    assert "neither" in err


def test_lint_tells_and_fails_on_errors(run):
    code, out, _ = run("lint", "plc")
    assert code == 1
    assert "unit.wrong" in out
    assert "1 error(s)" in out
