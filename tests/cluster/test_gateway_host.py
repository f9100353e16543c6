"""The host of a gateway: holds exactly the endpoints it is given, whatever happened before."""

import asyncio
from pathlib import Path

import pytest

from cluster.gateway_host import GatewayHost, GatewayHostSettings, read_configs
from cluster.settings import ServiceSettings
from connectors.opcua import security
from connectors.opcua.config import EndpointConfig
from connectors.opcua.source import Source
from models.errors import Conflict, InputError, Unavailable


def plc(name: str, port: int = 1, **more) -> EndpointConfig:
    return EndpointConfig(id=name, url=f"opc.tcp://127.0.0.1:{port}", allow_insecure=True, **more)


async def away(*_: object) -> object:
    raise Unavailable("the twin is away")


@pytest.fixture
async def host(tmp_path):
    before = list(security._places)
    held = GatewayHost(
        GatewayHostSettings(
            source="p-gateway",
            data=str(tmp_path),
            database="",
            folder=str(tmp_path / "gateway"),
            pki=str(tmp_path / "pki"),
            secret_files=str(tmp_path / "run" / "plc"),
        ),
        away,
    )
    held._gateway.settings = type(held._gateway.settings)(drain_s=0.0)
    (tmp_path / "gateway").mkdir()
    yield held
    await held.stop()
    security._places[:] = before


async def ids(host: GatewayHost) -> list[str]:
    return [status.id for status in await host.status()]


async def test_too_many_endpoints_are_refused_before_anything_is_changed(host):
    await host.put_all([plc("a"), plc("b")])
    with pytest.raises(Conflict, match="51 endpoints are enabled, one gateway samples 50"):
        await host.put_all([plc(f"e{n}") for n in range(51)])
    assert await ids(host) == ["a", "b"]
    await host.put_all([plc("b"), plc("off", enabled=False)])
    assert await ids(host) == ["b", "off"]


async def test_after_a_call_that_failed_halfway_the_next_one_brings_it_to_what_is_wanted(
    host, monkeypatch
):
    await host.put_all([plc("a"), plc("b")])
    put = host._gateway.put

    async def broken(config, taken=None):
        if config.id == "d":
            raise Unavailable("not now")
        await put(config, taken)

    monkeypatch.setattr(host._gateway, "put", broken)
    with pytest.raises(Unavailable):
        await host.put_all([plc("b"), plc("c"), plc("d")])
    assert await ids(host) == ["b", "c"]
    assert [config.id for config in read_configs(host._remembered)] == ["b", "c"]
    monkeypatch.undo()
    await host.put_all([plc("d")])
    assert await ids(host) == ["d"]


async def test_remembered_endpoints_of_another_version_do_not_end_the_start(host, caplog):
    await host.put_all([plc("a")])
    await host.stop()
    held = host._remembered
    held.write_text(held.read_text().replace("opc.tcp://127", "opc.tcp://user@127"))
    assert read_configs(held) == []
    assert "no OPC UA address" in caplog.records[-1].cause
    held.unlink()
    assert read_configs(held) == []


async def test_two_calls_at_once_leave_what_the_later_one_wants(host):
    await host.put_all([plc("a")])
    await asyncio.gather(
        host.put_all([plc("a", 2), plc("b")]), host.put_all([plc("a", 3), plc("c")])
    )
    assert await ids(host) == ["a", "c"]
    assert {config.id: config.url[-1] for config in read_configs(host._remembered)} == {
        "a": "3",
        "c": "1",
    }


async def test_trust_connects_anew_and_forgets_neither_identity_nor_coverage(host, monkeypatch):
    await host.put_all([plc("a")])
    source = host._gateway._sources["a"]
    source.known = ("urn:the:server", "urn:its:maker")
    monkeypatch.setattr(host._pki, "trust", lambda mark: None)
    await host.trust("a", "AB" * 32)
    after = host._gateway._sources["a"]
    assert isinstance(after, Source)
    assert after is not source
    assert after.known == ("urn:the:server", "urn:its:maker")
    assert after.covered_us >= source.covered_us
    await host.trust("not registered", "AB" * 32)


async def test_passwords_are_read_from_the_data_folder_and_the_listed_files(host, tmp_path):
    for path in (tmp_path / "secrets" / "plc", tmp_path / "run" / "plc", tmp_path / "pki" / "key"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.parent.name)
        path.chmod(0o600)
    assert security.secret("file:plc") == "secrets"
    assert security.secret(f"file:{tmp_path}/run/plc") == "run"
    with pytest.raises(InputError):
        security.secret(f"file:{tmp_path}/pki/key")


def test_the_list_of_secret_files_reaches_the_gateway_over_the_settings_file(tmp_path, monkeypatch):
    monkeypatch.setenv("PARKTWIN_SECRET_FILES", "/run/a:/run/b")
    settings = ServiceSettings(data=str(tmp_path))
    settings.folder.make()
    monkeypatch.delenv("PARKTWIN_SECRET_FILES")
    assert ServiceSettings.read(settings.write()).secret_files == "/run/a:/run/b"
    assert (Path(settings.data) / "secrets").stat().st_mode & 0o777 == 0o700


def test_how_long_what_ifs_are_kept_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PARKTWIN_WHATIF_KEEP_DAYS", "7.5")
    settings = ServiceSettings(data=str(tmp_path))
    assert (settings.whatif_keep_days, settings.whatif_keep_runs) == (7.5, 500)
    for wrong in ("many", "0", "-1", "inf", "nan"):
        monkeypatch.setenv("PARKTWIN_WHATIF_KEEP_RUNS", wrong)
        with pytest.raises(InputError, match="PARKTWIN_WHATIF_KEEP_RUNS"):
            ServiceSettings(data=str(tmp_path))
