"""The command line: what verbs print, and how they fail."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from dashboard import main
from dashboard.verbs.outcome import INPUT, REFUSED, UNAVAILABLE

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(fake):
    return fake.FakeService()


@pytest.fixture(scope="module")
def url(served, service):
    with served(service) as address:
        yield address


@pytest.fixture
def run(capfd):
    """Run one command line: exit code, what it printed, what it complained."""

    def once(*words: str) -> tuple[int, str, str]:
        code = main.run(words)
        told = capfd.readouterr()
        return code, told.out, told.err

    return once


def test_help_lists_the_verbs_without_the_inner_one(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f" {name} " in out for name in main.VERBS if name != "serve")
    assert " serve " not in out


def test_a_sound_park_file_is_counted(run):
    code, out, _ = run("check", str(ROOT / "examples" / "minimal.yaml"), "--json")
    assert (code, orjson.loads(out)["park"]) == (0, "small")


def test_a_faulty_park_file_is_told_with_line_and_suggestion(run, tmp_path):
    file = tmp_path / "bad.yaml"
    text = (ROOT / "examples" / "minimal.yaml").read_text("utf-8")
    file.write_text(text.replace("45 kW", "45").replace("cycle_time:", "cycle_tme:"))
    code, _, err = run("check", str(file))
    assert code == INPUT
    assert "problem(s)" in err
    assert f"{file}:" in err
    assert "did you mean 'cycle_time'" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("words", [("check", "/nowhere.yaml"), ("check", "/tmp"), ("schema", "x")])
def test_input_errors_exit_with_2_and_a_remedy(run, words):
    code, _, err = run(*words)
    assert code == INPUT
    assert err.strip()
    assert "Traceback" not in err


def test_messages_come_in_vietnamese(run):
    code, _, err = run("--lang", "vi", "schema", "x")
    assert code == INPUT
    assert err.startswith("lỗi: ")
    assert "cách xử lý: " in err


@pytest.mark.parametrize("kind", ["park", "whatif"])
def test_schemas_are_printed(run, kind):
    code, out, _ = run("schema", kind)
    assert code == 0
    assert "properties" in orjson.loads(out)


def test_a_service_that_is_not_there_exits_with_3(run):
    code, _, err = run("tags", "--url", "http://127.0.0.1:9")
    assert code == UNAVAILABLE
    assert "parktwin demo" in err


def test_up_refuses_an_address_others_could_reach(run):
    code, _, err = run("up", str(ROOT / "examples" / "minimal.yaml"), "--host", "0.0.0.0")
    assert code == REFUSED
    assert "127.0.0.1" in err


def test_a_verb_that_is_none_is_an_input_error(run):
    assert run("frobnicate")[0] == INPUT


@pytest.mark.parametrize(
    "words",
    [
        ("tags",),
        ("read", "small/acme/active_power"),
        ("at", "now-1h"),
        ("history", "small/acme/active_power"),
        ("endpoint", "list"),
        ("whatif", "list"),
    ],
)
def test_listing_verbs_print_tables_and_json(run, url, words):
    code, table, _ = run(*words, "--url", url)
    assert code == 0
    assert table.strip()
    code, out, _ = run(*words, "--url", url, "--json")
    assert code == 0
    assert isinstance(orjson.loads(out), list)


def test_reading_an_unknown_tag_offers_a_near_one(run, url):
    code, _, err = run("read", "small/acme/power", "--url", url)
    assert code == INPUT
    assert "did you mean small/acme/active_power?" in err


def test_history_as_json_goes_into_a_file_too(run, url, tmp_path):
    out = tmp_path / "h.json"
    words = ("small/acme/active_power", "--format", "json", "--out", str(out))
    assert run("history", *words, "--url", url)[0] == 0
    assert isinstance(orjson.loads(out.read_bytes()), list)


def test_a_file_that_cannot_be_written_is_told_with_its_cause(run, url, tmp_path):
    words = ("small/acme/active_power", "--format", "csv", "--out", str(tmp_path / "no" / "h.csv"))
    code, _, err = run("history", *words, "--url", url)
    assert code == INPUT
    assert "No such file or directory" in err
    assert "what to do: check the path" in err
    assert "Traceback" not in err


def test_force_without_a_security_is_refused_before_anything_is_saved(run, url, service):
    before = len(service.asked)
    code, _, err = run("endpoint", "add", "e5", "opc.tcp://127.0.0.1:4840", "--force", "--url", url)
    assert code == INPUT
    assert "--security" in err
    assert len(service.asked) == before


def test_a_password_is_never_repeated_in_an_error(run, url):
    words = ("opc.tcp://127.0.0.1:4840", "--security", "None", "--password", "geheim")
    code, _, err = run("endpoint", "test", *words, "--url", url)
    assert code == INPUT
    assert "password" in err
    assert "geheim" not in err


@pytest.mark.parametrize("verb", ["migrate", "replay"])
def test_a_folder_that_is_none_is_not_made_one(run, tmp_path, verb):
    code, _, err = run(verb, str(tmp_path / "nowhere"))
    assert code == INPUT
    assert "--data" in err
    assert not (tmp_path / "nowhere").exists()


def test_a_park_that_is_no_id_cannot_lead_a_restore_out_of_its_folder(run, tmp_path):
    backup, data = tmp_path / "b", tmp_path / "d"
    backup.mkdir()
    (backup / "checksums.json").write_text("{}")
    code, _, err = run("restore", str(backup), "--data", str(data), "--park", "../x")
    assert code == INPUT
    assert "no id of a park" in err
    assert not data.exists()


def test_a_backup_of_another_park_is_refused(run, tmp_path):
    backup = tmp_path / "b"
    backup.mkdir()
    (backup / "checksums.json").write_text("{}")
    (backup / "park.json").write_text('{"park": "large"}')
    code, _, err = run("restore", str(backup), "--data", str(tmp_path / "d"), "--park", "small")
    assert code == REFUSED
    assert "'large'" in err


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text("ptg_0123456789ab_" + "s" * 43)
    return path


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--to", "ftp://x"), "no address"),
        (("--to", "http://10.1.2.3"), "plain text"),
        (("--to", "https://127.0.0.1:9", "--ca", "/no.pem"), "no certificate"),
        (("--to", "http://127.0.0.1:9", "--for", "0.2"), "has not answered"),
    ],
)
def test_a_gateway_that_cannot_work_says_why_and_ends(run, tmp_path, token, words, cause):
    code, _, err = run("gateway", "--token", str(token), "--data", str(tmp_path / "g"), *words)
    assert code in {INPUT, UNAVAILABLE, REFUSED}
    assert cause in err
    assert "what to do: " in err


def test_a_gateway_says_where_its_buffer_is(run, tmp_path, token, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("--to", "http://127.0.0.1:9", "--for", "0.2", "--token", str(token))
    _, out, _ = run("gateway", *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "token"]
    assert str(tmp_path / "data" / "gateway") in out


def test_a_token_is_made_into_a_file_of_its_owner_listed_and_revoked(run, url, service, tmp_path):
    out = tmp_path / "hall-2.token"
    words = ("hall-2", "--park", "small", "--days", "30", "--out", str(out), "--url", url)
    code, said, _ = run("gateway-token", "create", *words)
    assert (code, out.read_text(), out.stat().st_mode & 0o777) == (
        0, "ptg_0123456789ab_secret\n", 0o600,
    )  # fmt: skip
    assert "secret" not in said
    assert service.asked[-1][:4] == ("token", "hall-2", ("small",), 30.0)
    code, _, err = run("gateway-token", "create", *words)
    assert (code, "is there" in err) == (INPUT, True)
    assert "hall-2" in run("gateway-token", "list", "--url", url)[1]
    assert run("gateway-token", "revoke", "0123456789ab", "--url", url)[0] == 0
    assert service.asked[-1][:2] == ("revoke", "0123456789ab")


def test_one_endpoint_is_shown_in_full(run, url):
    code, said, _ = run("endpoint", "show", "plc", "--url", url)
    assert code == 0
    assert {"bridge_s", "gateway"} <= {line.split()[0] for line in said.splitlines() if line}
    code, said, _ = run("endpoint", "show", "plc", "--tags", "--json", "--url", url)
    assert code == 0
    assert '"path"' in said
    code, said, _ = run("endpoint", "show", "plc", "--events", "--url", url)
    assert (code, "Mức cao" in said) == (0, True)
    assert run("endpoint", "show", "plcc", "--url", url)[0] == INPUT


def test_history_goes_into_a_file(run, url, tmp_path):
    out = tmp_path / "h.csv"
    words = ("small/acme/active_power", "--format", "csv", "--out", str(out), "--lang", "vi")
    assert run("history", *words, "--url", url)[0] == 0
    assert out.read_bytes().startswith(b"\xef\xbb\xbf")


def test_an_endpoint_that_does_not_answer_is_told_step_by_step(run, url):
    words = ("endpoint", "test", "opc.tcp://127.0.0.1:1", "--allow-insecure", "--url", url)
    code, out, err = run(*words)
    assert code == UNAVAILABLE
    assert "connect" in out
    assert "check the port" in err


def test_endpoints_are_added_mapped_and_removed(run, url, service):
    add = ("endpoint", "add", "e2", "opc.tcp://127.0.0.1:4840", "--map", "nsu=u;s=A=small/acme/x")
    assert run(*add, "--security", "None", "--force", "--url", url)[0] == 0
    bind = ("endpoint", "map", "e2", "nsu=urn:x;s=P=1=small/acme/y")
    assert run(*bind, "--url", url)[0] == 0
    assert run("endpoint", "remove", "e2", "--url", url)[0] == 0
    asked = [a for a in service.asked if a[0] in {"add", "map", "remove"}]
    assert asked == [
        ("add", "e2", True),
        ("map", "e2", {"nsu=urn:x;s=P=1": "small/acme/y"}),
        ("remove", "e2"),
    ]


def test_a_conflict_and_a_refusal_have_their_codes(run, url):
    assert (
        run("endpoint", "add", "plc", "opc.tcp://h:1", "--security", "None", "--url", url)[0]
        == INPUT
    )
    assert run("endpoint", "trust", "plc", "0" * 64, "--url", url)[0] == REFUSED


def test_a_what_if_is_submitted_and_followed(run, url, tmp_path):
    file = tmp_path / "w.yaml"
    file.write_text("kind: WhatIf\n")
    code, out, _ = run("whatif", "submit", str(file), "--json", "--url", url)
    assert (code, orjson.loads(out)["state"]) == (0, "queued")
    assert run("whatif", "watch", "r1", "--url", url)[0] == 0
    assert run("whatif", "compare", "r1", "--url", url)[0] == UNAVAILABLE


def test_a_wrong_what_if_lists_all_its_problems(run, url, tmp_path):
    file = tmp_path / "w.yaml"
    file.write_text("kind: Nothing\n")
    code, _, err = run("whatif", "submit", str(file), "--url", url)
    assert code == INPUT
    assert err.count("no what-if") == 2


def test_apply_tells_what_an_edit_does(run, url):
    words = ("apply", str(ROOT / "examples" / "minimal.yaml"), "--dry-run", "--url", url)
    code, out, _ = run(*words)
    assert code == 0
    assert "would change" in out


def test_the_doctor_finds_this_installation_sound(run, tmp_path):
    code, out, _ = run("doctor", "--json", "--data", str(tmp_path / "d"))
    findings = {f["check"]: f["state"] for f in orjson.loads(out)["findings"]}
    assert code == 0
    assert findings["install"] == findings["python"] == findings["rights"] == "ok"
    assert findings["time"] in {"ok", "warn", "unknown"}


def test_the_doctor_sees_a_stranger_in_the_current_folder(run, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("doctor", "--json")
    install = next(f for f in orjson.loads(out)["findings"] if f["check"] == "install")
    assert (code, install["state"]) == (INPUT, "bad")
    assert "models" in install["detail"]


def test_replay_of_a_folder_without_parks_is_an_input_error(run, tmp_path):
    code, _, err = run("replay", str(tmp_path))
    assert code == INPUT
    assert "--data" in err


def test_checking_a_park_loads_neither_ray_nor_pages(tmp_path):
    code = (
        "import sys; from dashboard import main; "
        f"main.run(['check', {str(ROOT / 'examples' / 'minimal.yaml')!r}]); "
        "print({'ray', 'dash', 'asyncua', 'sqlalchemy'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip().endswith("set()")


def test_our_certificate_is_exported_and_renewed_only_when_servers_take_it(run, url, tmp_path):
    code, out, _ = run("certificate", "list", "--url", url, "--json")
    assert (code, orjson.loads(out)[0]["due"]) == (0, 30)
    file = tmp_path / "parktwin.der"
    assert run("certificate", "export", "--der", str(file), "--url", url)[0] == 0
    assert file.read_bytes() == b"\x30old"
    assert run("certificate", "export", "--new", "--der", str(file), "--url", url)[0] == 0
    assert file.read_bytes() == b"\x30new"
    code, _, err = run("certificate", "export", "--der", str(tmp_path), "--url", url)
    assert code == INPUT
    assert "is a folder" in err
    assert run("certificate", "trust", "AB" * 32, "--url", url)[0] == 0
    assert run("certificate", "distrust", "AB" * 32, "--url", url)[0] == 0
    code, out, err = run("certificate", "renew", "--url", url)
    assert code == REFUSED
    assert "p/e does not take it yet: not yet" in out
    assert "the old certificate stays in use: 1 server(s)" in err
    assert run("certificate", "renew", "--force", "--url", url)[0] == 0


def test_certificates_of_a_gateway_in_a_plant_are_handled_in_its_folder(run, tmp_path):
    folder = ("--folder", str(tmp_path))
    code, _, err = run("certificate", "list", *folder)
    assert code == INPUT
    assert "holds no certificates" in err
    (tmp_path / "pki").mkdir()
    code, out, _ = run("certificate", "list", *folder, "--json")
    first = orjson.loads(out)[0]["fingerprint"]
    assert run("certificate", "renew", *folder)[0] == REFUSED
    assert run("certificate", "export", "--new", "--der", str(tmp_path / "n.der"), *folder)[0] == 0
    assert run("certificate", "renew", "--force", *folder)[0] == 0
    _, out, _ = run("certificate", "list", *folder, "--json")
    assert [one["place"] for one in orjson.loads(out)] == ["own"]
    assert orjson.loads(out)[0]["fingerprint"] != first
    code, _, err = run("certificate", "trust", "AB" * 32, *folder)
    assert code == INPUT
    assert "no certificate" in err
