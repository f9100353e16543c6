"""``serve-opcua`` and ``opcua``: what is refused before anything starts, and whom it trusts."""

import socket
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from connectors.opcua.security import GATEWAY, SERVER, Pki, fingerprint_of, first_certificate
from dashboard import main
from dashboard.verbs.outcome import INPUT, REFUSED

PARK = str(Path(__file__).parents[2] / "examples" / "minimal.yaml")
NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--host", "0.0.0.0", "--security", "None"), REFUSED, "leave --security out"),
        (("--security", "Basic256"), INPUT, "one of Aes256Sha256RsaPss, Basic256Sha256"),
        (("--user", "scada"), INPUT, "--password env:PARKTWIN_NAME"),
        (("--user", "scada", "--password", "secret"), INPUT, "env:PARKTWIN_NAME"),
        (("--url", "nonsense"), INPUT, "write http://127.0.0.1:8050"),
    ],
)
def test_what_cannot_be_served_safely_is_refused_with_what_to_do(
    tmp_path, capfd, words, code, told
):
    assert main.run(["serve-opcua", PARK, "--data", str(tmp_path), *words]) == code
    assert told in capfd.readouterr().err


def test_up_refuses_an_open_server_and_a_taken_port_before_it_starts_anything(tmp_path, capfd):
    up = ["up", PARK, "--data", str(tmp_path), "--port", "1"]
    open_to_all = ["--opcua-host", "0.0.0.0", "--opcua-security", "None"]
    assert main.run([*up, "--opcua-port", "4840", *open_to_all]) == REFUSED
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main.run([*up, "--opcua-port", str(port)]) == INPUT
    assert "--opcua-port" in capfd.readouterr().err


def test_a_client_that_knocked_is_listed_trusted_and_distrusted(tmp_path, capfd):
    visitor = Pki(tmp_path / "visitor", GATEWAY).own(NOW)
    Pki(tmp_path / "opcua" / "pki", SERVER).judge(visitor.certificate.read_bytes(), None, NOW)

    def listed() -> dict[str, str]:
        assert main.run(["opcua", "clients", "--data", str(tmp_path), "--json"]) == 0
        (row,) = orjson.loads(capfd.readouterr().out)
        return row

    assert (listed()["fingerprint"], listed()["trusted"]) == (visitor.fingerprint, "False")
    spaced = ":".join(visitor.fingerprint[at : at + 2] for at in range(0, 64, 2)).lower()
    assert main.run(["opcua", "trust", spaced, "--data", str(tmp_path)]) == 0
    capfd.readouterr()
    assert listed()["trusted"] == "True"
    assert main.run(["opcua", "distrust", visitor.fingerprint, "--data", str(tmp_path)]) == 0
    capfd.readouterr()
    assert listed()["trusted"] == "False"
    assert main.run(["opcua", "trust", "AB12", "--data", str(tmp_path)]) == INPUT
    assert "AB12" in capfd.readouterr().err


def test_the_servers_certificate_is_made_once_for_a_server(tmp_path, capfd):
    files = set()
    for _ in range(2):
        assert main.run(["opcua", "certificate", "--data", str(tmp_path)]) == 0
        files.add(Path(capfd.readouterr().out.strip()))
    (file,) = files
    certificate = first_certificate(file.read_bytes())
    assert "parktwin server" in certificate.subject.rfc4514_string()
    verdict = Pki(tmp_path / "gateway", GATEWAY).judge(file.read_bytes(), None, NOW)
    assert verdict.reason.startswith("untrusted"), verdict  # all else a gateway asks for is right
    assert fingerprint_of(certificate) == verdict.fingerprint
