"""Trust, its taking back and the renewal of our certificate, from the service to a server."""

import asyncio
import logging
import shutil
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509

sys.path.insert(0, str(Path(__file__).parents[1] / "connectors"))
from floor_secure import HERE, node_server

from cluster.acting import ACTOR
from cluster.certificate_desk import CertificateDesk, warn
from cluster.gateway_host import GatewayHost, GatewayHostSettings
from cluster.metadata.upgrade import open_store
from cluster.ports import CertificateEntry
from cluster.service import Service
from cluster.settings import ParkSettings, ServiceSettings
from connectors.opcua.config import Item
from connectors.opcua.report import EndpointState
from connectors.opcua.security import SERVER, Pki
from models.errors import InputError, NotFound, Unavailable
from twin.delivery import Delivered

needs_node = pytest.mark.skipif(
    not (HERE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)


async def soon(ask):
    """The first answer that is not empty."""
    async with asyncio.timeout(30):
        while True:
            found = await ask()
            if found:
                return found
            await asyncio.sleep(0.05)


class Live:
    """A running park as the desk sees it: only its gateway, without Ray."""

    def __init__(self, host: GatewayHost) -> None:
        self.host = host

    async def ask_gateway(self, method, *arguments):
        return await getattr(self.host, method)(*arguments)

    async def state(self) -> EndpointState:
        return (await self.host.status())[0].state

    async def becomes(self, state: EndpointState) -> None:
        async def is_it():
            return await self.state() is state

        await soon(is_it)

    async def cause(self, word: str) -> bool:
        return word in (await self.host.status())[0].cause


@pytest.fixture
async def service(tmp_path):
    """A service with an empty park and a store, without Ray."""
    made = Service(ServiceSettings(data=str(tmp_path)))
    made._store = open_store(tmp_path, "")
    yield made
    made._store.close()


@pytest.fixture
async def live(tmp_path, service):
    async def deliver(source, session, seq, batch):
        return Delivered(session=session, acked_seq=seq, expect=None)

    folder = tmp_path / "buffer"
    folder.mkdir()
    host = GatewayHost(
        GatewayHostSettings(
            source="g", data=str(tmp_path), database="", folder=str(folder),
            pki=str(service.settings.folder.pki),
        ),
        deliver,
    )  # fmt: skip
    await host.begin()
    service._parks["p"] = Live(host)
    yield service._parks["p"]
    await host.stop()


@pytest.mark.floor
@needs_node
async def test_a_certificate_is_approved_renewed_and_taken_back_and_the_trail_tells_it(
    tmp_path, service, live, monkeypatch
):
    monkeypatch.setenv("PARKTWIN_TEST_PASSWORD", "đúng")
    ACTOR.set("an")
    async with node_server(tmp_path / "plc") as node:
        node.pki = Pki(service.settings.folder.pki)
        item = Item(tag=1, namespace="urn:a", identifier="s=V")
        config = node.config(
            user="reader", password="env:PARKTWIN_TEST_PASSWORD", items=(item,), sampling_ms=50.0
        )
        await live.host.put_all([config])
        waiting = await soon(partial(in_place, service, "rejected"))
        node.trust_us()
        await service.certificate_trust(waiting[0].fingerprint.lower())
        await live.becomes(EndpointState.CONNECTED)
        trusted = (await in_place(service, "trusted"))[0]
        assert trusted.endpoints == ("p/n",)
        assert trusted.application_uri == "urn:floor:secure"
        status = (await live.host.status())[0]
        ours = (await in_place(service, "own"))[0]
        assert status.certificate_us == trusted.until_us
        assert status.own_certificate_us == ours.until_us

        # The server does not know the new certificate: the old one goes on being used.
        own = (await in_place(service, "own"))[0]
        first = await service.certificate_renew()
        assert not first.used
        assert "refuses our certificate" in first.refused["p/n"]
        assert (await in_place(service, "own"))[0].fingerprint == own.fingerprint
        assert await live.state() is EndpointState.CONNECTED
        der = await service.certificate_der(staged=True)
        assert x509.load_der_x509_certificate(der).not_valid_after_utc > datetime.now(UTC)
        staged = tmp_path / "new.der"
        staged.write_bytes(der)
        node.tell("pki", staged)
        second = await soon(partial(renewed, service))
        assert second.accepted == ("p/n",)
        assert second.fingerprint == first.fingerprint
        now_own = (await in_place(service, "own"))[0]
        assert now_own.fingerprint == first.fingerprint != own.fingerprint
        assert now_own.application_uri == own.application_uri
        assert await in_place(service, "next") == []
        await live.becomes(EndpointState.CONNECTED)

        await service.certificate_distrust(trusted.fingerprint)
        await soon(partial(live.cause, "untrusted"))
    trail = [(row.action, row.who) for row in service._store.audit_trail()]
    assert trail[0] == ("certificate.trust", "an")
    assert trail[1] == ("certificate.renew", "an")
    assert trail[-1] == ("certificate.distrust", "an")
    assert service._store.verify_audit() == len(trail)


async def renewed(service):
    found = await service.certificate_renew()
    return found if found.used else None


async def in_place(service, place) -> list[CertificateEntry]:
    return [one for one in await service.certificates() if one.place == place]


async def test_trust_is_in_the_trail_though_a_gateway_is_away(service, tmp_path):
    class Away:
        async def ask_gateway(self, method, *arguments):
            raise Unavailable("the gateway of p is starting", "wait some seconds")

    folder = service.settings.folder.pki
    stranger = Pki(tmp_path / "other", SERVER).own(datetime.now(UTC))
    Pki(folder).own(datetime.now(UTC))
    rejected = folder / "rejected" / f"{stranger.fingerprint}.der"
    rejected.write_bytes(stranger.certificate.read_bytes())
    service._parks["p"] = Away()
    with pytest.raises(Unavailable):
        await service.certificate_trust(stranger.fingerprint)
    del service._parks["p"]
    assert [row.action for row in service._store.audit_trail()] == ["certificate.trust"]
    assert (await in_place(service, "trusted"))[0].fingerprint == stranger.fingerprint


async def test_trust_that_may_have_been_given_is_in_the_trail(service):
    async def away(*_):
        raise Unavailable("the gateway is being restarted")

    service._parks["p"] = SimpleNamespace(id="p", store=service._store, ask_gateway=away)
    with pytest.raises(Unavailable):
        await service.endpoint_trust("p", "press", "AB" * 32)
    (row,) = service._store.audit_trail()
    assert (row.action, row.subject) == ("endpoint.trust", "p/press")
    assert (row.detail["sha256"], row.detail["result"]) == ("AB" * 32, "unknown")


async def test_nothing_is_renewed_before_every_park_can_be_asked(tmp_path):
    file = Path(__file__).parents[2] / "examples" / "minimal.yaml"
    made = Service(ServiceSettings(data=str(tmp_path), parks=(ParkSettings(file=str(file)),)))
    with pytest.raises(Unavailable, match="starting"):
        await made.certificate_renew()
    assert not (made.settings.folder.pki / "own" / "next.der").exists()


async def test_what_is_not_there_cannot_be_trusted_or_exported(service):
    with pytest.raises(NotFound):
        await service.certificate_trust("AB" * 32)
    with pytest.raises(NotFound):
        await service.certificate_distrust("AB" * 32)
    with pytest.raises(NotFound):
        await service.certificate_der(staged=True)
    assert service._store.audit_trail() == []
    der = await service.certificate_der()
    assert x509.load_der_x509_certificate(der).serial_number


@pytest.mark.parametrize(
    ("days", "due"), [(61, None), (60, 60), (31, 60), (30, 30), (8, 30), (7, 7), (1, 7), (-1, 0)]
)
async def test_warnings_come_sixty_thirty_and_seven_days_before(tmp_path, days, due):
    folder = tmp_path / "pki"
    made = Pki(folder).own(datetime.now(UTC) + timedelta(days=days - 3 * 365, seconds=-5))
    desk = CertificateDesk(folder, {})
    if due == 0:  # an expired one of ours is made again at once
        assert (await desk.entries())[0].fingerprint != made.fingerprint
        return
    assert (await desk.entries())[0].due == due


def test_the_log_names_what_expires_and_whom_it_stops(caplog):
    kept = {"fingerprint": "AB", "subject": "CN=plc", "endpoints": ("p/plc1",)}
    with caplog.at_level(logging.WARNING):
        warn(
            [
                CertificateEntry(place="trusted", days_left=6.5, due=7, **kept),
                CertificateEntry(place="trusted", days_left=-2.0, due=0, **kept),
                CertificateEntry(place="trusted", days_left=90.0, due=None, **kept),
                CertificateEntry(place="rejected", days_left=-2.0, due=0, **kept),
            ]
        )
    assert [(r.levelname, r.days_left, r.endpoints) for r in caplog.records] == [
        ("WARNING", 6.5, "p/plc1"),
        ("ERROR", -2.0, "p/plc1"),
    ]


def test_networks_and_ports_are_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("PARKTWIN_OPCUA_NETWORKS", "private, 203.0.113.0/24")
    monkeypatch.setenv("PARKTWIN_OPCUA_PORTS", "102, 4840-4850")
    settings = ServiceSettings(data=str(tmp_path))
    assert (settings.networks, settings.ports) == ("private, 203.0.113.0/24", "102, 4840-4850")
    for name, value in (
        ("PARKTWIN_OPCUA_NETWORKS", "203.0.113.1/24"),
        ("PARKTWIN_OPCUA_PORTS", "4850-4840"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(InputError, match=name):
                ServiceSettings(data=str(tmp_path))
