"""The twin's OPC UA server on a real socket: what clients see, and what they are refused."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from asyncua import Client, ua
from floor_plc import free_port
from floor_receiver import until
from test_twin_parts import alarm
from twin_floor import AT_US, PARK, URI, HeldServer

from connectors.opcua.security import GATEWAY, Pki, fingerprint_of, first_certificate
from connectors.twin_server.feed import News, Reading
from connectors.twin_server.limits import Limits
from connectors.twin_server.quality import Link
from connectors.twin_server.settings import ServerSettings
from models.errors import Conflict

pytestmark = pytest.mark.floor
NODE = Path(__file__).parent / "node"
needs_node = pytest.mark.skipif(
    not (NODE / "node_modules").is_dir() or shutil.which("node") is None,
    reason="run `npm ci` in tests/connectors/node",
)
MACHINERY = "http://opcfoundation.org/UA/Machinery/"
MACHINE = PARK.of_type("machine")[0].id
LIMITS = Limits(sessions=6, subscriptions_each=2, activation_s=5.0)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Iterator[HeldServer]:
    """A server on loopback that everybody may read."""
    settings = ServerSettings(
        pki=tmp_path_factory.mktemp("plain"), port=free_port(), security="None"
    )
    held = HeldServer(settings, LIMITS)
    held.first_looks = asyncio.run(first_looks(held))
    held.show(1)
    yield held
    held.stop()


@pytest.fixture(scope="module")
def secure(tmp_path_factory) -> Iterator[HeldServer]:
    """A server as it is by default, with one user."""
    settings = ServerSettings(
        pki=tmp_path_factory.mktemp("secure") / "pki",
        port=free_port(),
        user="scada",
        password="đọc thôi",
    )
    held = HeldServer(settings)
    held.show(1)
    yield held
    held.stop()


@contextlib.asynccontextmanager
async def reading(held: HeldServer, locale: str = ""):
    client = Client(held.url)
    if locale:
        client.set_locale([locale])
    async with client:
        index = await client.get_namespace_index(URI)
        yield client, lambda text: client.get_node(f"ns={index};s={text}")


async def status(node) -> int:
    return (await node.read_data_value(raise_on_bad_status=False)).StatusCode.value


async def first_looks(held: HeldServer) -> list[int]:
    """Status of a figure before anything was heard, the service level, and then the status."""
    async with reading(held) as (client, node):
        load = node("park/load_mw")
        looks = [await status(load), await client.get_node("i=2267").read_value()]
        held.ask(held.server.lose(Link.AWAY))
        return [*looks, await status(load)]


def test_before_the_twin_was_heard_nothing_is_good(plain):
    waiting, away = ua.StatusCodes.BadWaitingForInitialData, ua.StatusCodes.BadNoCommunication
    assert plain.first_looks == [waiting, 1, away]


async def test_a_client_reads_a_figure_with_its_time_unit_range_and_words(plain):
    plain.show(2, park__grid_import_mw=41.25)
    async with reading(plain) as (_, node):
        load = node("park/grid_import_mw")
        found = await load.read_data_value()
        assert found.Value.Value == 41.25
        assert found.SourceTimestamp == datetime.fromtimestamp(AT_US / 1e6 + 2, UTC)
        unit = await node("park/grid_import_mw.EngineeringUnits").read_value()
        assert (unit.UnitId, unit.DisplayName.Text) == (5062999, "MW")
        span = await node("park/station_loading_pct.EURange").read_value()
        assert (span.Low, span.High) == (0.0, 130.0)
        assert (await load.read_display_name()).Text == "Grid import"
        assert (await load.read_description()).Text == "Sum of the transformers' power"
        level = await node("acme.EquipmentLevel").read_value()
        assert level == "Site"


async def test_names_and_descriptions_come_in_the_language_of_the_session(plain):
    async with reading(plain, "vi-VN") as (client, node):
        load = node("park/grid_import_mw")
        assert (await load.read_display_name()).Text == "Điện nhận từ lưới"
        assert (await load.read_description()).Text == "Tổng công suất các máy biến áp"
        found = await node("park").get_children_descriptions()
        assert "Điện nhận từ lưới" in {one.DisplayName.Text for one in found}
        locales = client.get_node("i=2271")
        assert await locales.read_value() == ["en", "vi"]


async def test_machines_are_found_as_the_machinery_specification_says(plain):
    key = f"machine__{MACHINE}__state"
    plain.show(3, **{key: 3.0})
    modes = {MACHINE: Reading(value=2.0, at_us=AT_US)}
    plain.ask(plain.server.take(News(modes=modes)))
    async with reading(plain) as (client, node):
        index = await client.get_namespace_index(MACHINERY)
        machines = await client.get_node(f"ns={index};i=1001").get_children()
        assert {one.nodeid.Identifier for one in machines} == {
            one.id for one in PARK.of_type("machine")
        }
        blocks = f"{MACHINE}/MachineryBuildingBlocks"
        state = node(f"{blocks}/MachineryItemState/CurrentState")
        assert (await state.read_value()).Text == "Executing"
        number = await node(f"{blocks}/MachineryItemState/CurrentState/Number").read_value()
        own = await node(f"{blocks}/MachineryItemState/CurrentState/Id").read_value()
        assert (number, own.Identifier) == (3, 5006)
        mode = await node(f"{blocks}/MachineryOperationMode/CurrentState").read_value()
        assert mode.Text == "Setup"
        kind = await node(f"{MACHINE}/Identification").read_type_definition()
        assert (kind.NamespaceIndex, kind.Identifier) == (index, 1012)
        uri = await node(f"{MACHINE}/Identification.ProductInstanceUri").read_value()
        assert uri == f"{URI}:{MACHINE}"
        assert await status(node(f"{MACHINE}/Identification.SerialNumber")) == 0x809B0000


class Ear:
    """Keeps what a subscription brings."""

    def __init__(self) -> None:
        self.values, self.events = [], []

    def datachange_notification(self, node, value, data):
        self.values.append((node.nodeid.Identifier, value, data.monitored_item.Value.StatusCode))

    def event_notification(self, event):
        self.events.append(event)


async def test_only_what_changed_is_sent_and_a_lost_twin_is_seen_and_recovers(plain):
    plain.show(4)
    ear = Ear()
    async with reading(plain) as (client, node):
        subscription = await client.create_subscription(100, ear)
        watched = [node("park/grid_import_mw"), node("park/pv_mw"), node("park/forecast/peak_mva")]
        await subscription.subscribe_data_change(watched, queuesize=10)
        await until(lambda: len(ear.values) == 3)
        ear.values.clear()
        before = plain.server.written
        plain.show(5, park__pv_mw=7.0)
        plain.show(6, park__pv_mw=8.0)
        assert plain.server.written == before + 2
        await until(lambda: len(ear.values) == 2)
        assert [(name, value) for name, value, _ in ear.values] == [
            ("park/pv_mw", 7.0),
            ("park/pv_mw", 8.0),
        ]
        plain.ask(plain.server.lose(Link.STALE))
        assert await status(watched[1]) == 0x40900000
        held = await watched[1].read_data_value(raise_on_bad_status=False)
        assert held.Value.Value == 8.0
        assert await client.get_node("i=2267").read_value() == 150
        plain.ask(plain.server.lose(Link.AWAY))
        for one in (*watched, node("park/feed/park_time")):
            assert await status(one) == 0x80310000
        state = f"{MACHINE}/MachineryBuildingBlocks/MachineryItemState/CurrentState"
        assert await status(node(state)) == 0x80310000
        assert await client.get_node("i=2267").read_value() == 1
        plain.show(7, park__pv_mw=9.0)
        plain.ask(plain.server.take(News(forecasts={"peak_mva": Reading(value=70.0, at_us=AT_US)})))
        assert [await one.read_value() for one in watched] == [1.5, 9.0, 70.0]
        assert await client.get_node("i=2267").read_value() == 255


async def test_alarms_come_as_conditions_at_the_park_and_the_server_and_are_refreshed(plain):
    ears = {"park": Ear(), "server": Ear()}
    fields = [
        *("Severity", "Message", "SourceName", "Retain", "ConditionName"),
        *("ActiveState/Id", "AckedState/Id"),
    ]
    clauses = [
        ua.SimpleAttributeOperand(
            TypeDefinitionId=ua.NodeId(2041),
            BrowsePath=[ua.QualifiedName(part) for part in name.split("/")],
            AttributeId=ua.AttributeIds.Value,
        )
        for name in fields
    ]
    of_type = ua.ContentFilterElement(
        FilterOperator=ua.FilterOperator.OfType,
        FilterOperands=[ua.LiteralOperand(Value=ua.Variant(ua.NodeId(2782)))],
    )
    conditions = ua.EventFilter(
        SelectClauses=clauses, WhereClause=ua.ContentFilter(Elements=[of_type])
    )
    everything = ua.EventFilter(SelectClauses=clauses)
    async with reading(plain) as (client, node):
        subscription = await client.create_subscription(100, ears["park"])
        other = await client.create_subscription(100, ears["server"])
        await subscription.subscribe_events(node("park"), evfilter=conditions)
        await other.subscribe_events(client.nodes.server, evfilter=everything)
        plain.ask(plain.server.take(News(alarms=(alarm(),))))
        plain.ask(plain.server.take(News(alarms=(alarm(acknowledged_us=AT_US + 9),))))
        await until(lambda: all(len(ear.events) == 2 for ear in ears.values()))
        for ear in ears.values():
            first, second = ear.events
            assert (first.Severity, first.SourceName, first.Retain) == (700, "ss1/t1", True)
            assert getattr(first, "ActiveState/Id") is True
            assert [getattr(one, "AckedState/Id") for one in (first, second)] == [False, True]
            ear.events.clear()
        refresh = client.get_node("i=2782")
        await refresh.call_method(
            ua.NodeId(3875), ua.Variant(other.subscription_id, ua.VariantType.UInt32)
        )
        await until(lambda: len(ears["server"].events) == 3)
        assert [one.Severity for one in ears["server"].events] == [1, 700, 1]
        assert ears["park"].events == []
        ears["server"].events.clear()
        plain.ask(plain.server.take(News(alarms=())))
        await until(lambda: len(ears["server"].events) == 1)
        (ended,) = ears["server"].events
        assert (ended.Retain, getattr(ended, "ActiveState/Id")) == (False, False)


async def test_every_change_is_refused(plain):
    async with reading(plain) as (client, node):
        load, objects = node("park/grid_import_mw"), client.nodes.objects
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await load.write_value(1.0)
        assert refused.value.code == ua.StatusCodes.BadNotWritable
        with pytest.raises(ua.UaStatusCodeError):
            await load.write_attribute(
                ua.AttributeIds.DisplayName, ua.DataValue(ua.LocalizedText("mine"))
            )
        attempts = (
            objects.add_folder(load.nodeid.NamespaceIndex, "mine"),
            client.delete_nodes([load]),
            client.nodes.server.call_method(ua.NodeId(11492), ua.Variant(1, ua.VariantType.UInt32)),
            load.read_raw_history(),
        )
        for attempt in attempts:
            with pytest.raises(ua.UaStatusCodeError) as refused:
                await attempt
            assert refused.value.code == ua.StatusCodes.BadUserAccessDenied
        with pytest.raises(ua.UaStatusCodeError):
            await client.register_server(plain.server._server)
        assert (await load.read_display_name()).Text == "Grid import"


async def test_nobody_takes_more_than_there_is_for_one(plain):
    async with reading(plain) as (client, node):
        swift = ua.CreateSubscriptionParameters(RequestedPublishingInterval=0.001)
        made = await client.uaclient.session.create_subscription(swift, lambda _: None)
        assert made.RevisedPublishingInterval == LIMITS.publishing_ms
        await client.create_subscription(100, Ear())
        await refused_with(
            client.create_subscription(100, Ear()), ua.StatusCodes.BadTooManySubscriptions
        )
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.read_values([node("park/pv_mw")] * (LIMITS.nodes_per_call + 1))
        assert refused.value.code == ua.StatusCodes.BadTooManyOperations
    await until(lambda: plain.server.sessions == 0)
    held = [Client(plain.url) for _ in range(LIMITS.sessions)]
    try:
        for client in held:
            await client.connect()
        await refused_with(Client(plain.url).connect(), ua.StatusCodes.BadTooManySessions)
    finally:
        for client in held:
            await client.disconnect()
    await until(lambda: plain.server.sessions == 0)


async def acknowledged_by_another(held: HeldServer, subscription: int) -> tuple[int, list[int]]:
    """What a session that does not own a subscription is answered: its own ones, and statuses."""
    inner = held.server._inner
    another = next(s for s in inner.sessions if s.who != inner.owners[subscription])
    mine, results = another.publish([ua.SubscriptionAcknowledgement(subscription, 1)])
    return mine, [result.value for result in results]


async def test_nobody_ends_or_acknowledges_anothers_subscription(secure, known, tmp_path):
    visitor = Visitor(tmp_path / "own")
    secure.server.pki.judge(visitor.own.certificate.read_bytes(), None, datetime.now(UTC))
    trust(secure, visitor)
    clients = [await one.client(secure) for one in (known, visitor)]
    for client in clients:
        client.set_user("scada")
        client.set_password("đọc thôi")
    async with clients[0] as mine, clients[1] as other:
        made = await mine.create_subscription(100, Ear())
        session = other.uaclient.session
        wanted = ua.TransferSubscriptionsParameters(SubscriptionIds=[made.subscription_id])
        for attempt in (
            session.delete_subscriptions([made.subscription_id]),
            session.transfer_subscriptions(wanted),
        ):
            await refused_with(attempt, ua.StatusCodes.BadSubscriptionIdInvalid)
        await until(lambda: made.subscription_id in secure.server._inner.owners)
        forged = secure.ask(acknowledged_by_another(secure, made.subscription_id))
        assert forged == (0, [ua.StatusCodes.BadSubscriptionIdInvalid])
        refresh = other.get_node("i=2782")
        for number in (made.subscription_id, 12_345):
            number_of = ua.Variant(number, ua.VariantType.UInt32)
            attempt = refresh.call_method(ua.NodeId(3875), number_of)
            await refused_with(attempt, ua.StatusCodes.BadSubscriptionIdInvalid)
        index = await mine.get_namespace_index(URI)
        await made.subscribe_data_change(mine.get_node(f"ns={index};s=park/pv_mw"))


def test_a_stranger_who_announces_gigabytes_is_cut_off_at_once(plain):
    with socket.create_connection(("127.0.0.1", plain.settings.port), timeout=10) as link:
        link.sendall(b"OPNF" + (2**32 - 1).to_bytes(4, "little"))
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            link.sendall(b"x" * 16_000_000)


def test_a_connection_that_never_logs_in_is_closed(plain):
    with socket.create_connection(("127.0.0.1", plain.settings.port), timeout=10) as link:
        assert link.recv(1) == b""


def test_a_taken_port_says_so(plain, tmp_path):
    settings = ServerSettings(pki=tmp_path, port=plain.settings.port, security="None")
    with pytest.raises(Conflict, match="cannot be opened"):
        HeldServer(settings)


# With security


class Visitor:
    """A client with a certificate of its own."""

    def __init__(self, folder: Path) -> None:
        self.own = Pki(folder, GATEWAY).own(datetime.now(UTC))

    async def client(self, held: HeldServer, policy: str = "Basic256Sha256") -> Client:
        client = Client(held.url)
        client.application_uri = self.own.application_uri
        await client.set_security_string(
            f"{policy},SignAndEncrypt,{self.own.certificate},{self.own.key},{held.own.certificate}"
        )
        return client

    async def knows(self, held: HeldServer, client: Client) -> float:
        index = await client.get_namespace_index(URI)
        return await client.get_node(f"ns={index};s=park/grid_import_mw").read_value()


def trust(held: HeldServer, visitor: Visitor) -> None:
    """Trust a visitor that has been refused once."""
    held.server.pki.trust(visitor.own.fingerprint)


async def refused_with(attempt, code: int) -> None:
    with pytest.raises(ua.UaStatusCodeError) as refused:
        await attempt
    assert refused.value.code == code, refused.value


@pytest.fixture(scope="module")
def known(tmp_path_factory, secure) -> Visitor:
    """A visitor the server trusts."""
    visitor = Visitor(tmp_path_factory.mktemp("known"))
    secure.server.pki.judge(visitor.own.certificate.read_bytes(), None, datetime.now(UTC))
    trust(secure, visitor)
    return visitor


async def test_an_unknown_client_is_refused_kept_and_taken_once_it_is_trusted(secure, tmp_path):
    visitor = Visitor(tmp_path / "own")
    client = await visitor.client(secure)
    client.set_user("scada")
    client.set_password("đọc thôi")
    await refused_with(client.connect(), ua.StatusCodes.BadCertificateUntrusted)
    kept = secure.settings.pki / "rejected" / f"{visitor.own.fingerprint}.der"
    assert fingerprint_of(first_certificate(kept.read_bytes())) == visitor.own.fingerprint
    trust(secure, visitor)
    client = await visitor.client(secure)
    client.set_user("scada")
    client.set_password("đọc thôi")
    async with client:
        assert await visitor.knows(secure, client) == 1.5
        secure.server.pki.distrust(visitor.own.fingerprint)
        secure.ask(secure.server.expel())
        with pytest.raises((ua.UaStatusCodeError, ConnectionError, asyncio.TimeoutError)):
            await visitor.knows(secure, client)
        assert secure.server.sessions == 0


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes256Sha256RsaPss"])
async def test_a_trusted_client_logs_in_by_password_or_certificate(secure, known, policy):
    client = await known.client(secure, policy)
    client.set_user("scada")
    client.set_password("đọc thôi")
    async with client:
        assert await known.knows(secure, client) == 1.5
    client = await known.client(secure, policy)
    await client.load_client_certificate(known.own.certificate)
    await client.load_private_key(known.own.key)
    async with client:
        assert await known.knows(secure, client) == 1.5


async def test_nobody_is_anonymous_and_a_wrong_password_is_refused(secure, known):
    client = await known.client(secure)
    await refused_with(client.connect(), ua.StatusCodes.BadIdentityTokenRejected)
    for name, password in (("scada", "wrong"), ("admin", ""), ("", "đọc thôi")):
        client = await known.client(secure)
        client.set_user(name)
        client.set_password(password)
        with pytest.raises(ua.UaStatusCodeError):
            await client.connect()


async def test_only_signed_and_encrypted_policies_are_offered_and_the_key_is_ours_alone(secure):
    offered = await Client(secure.url).connect_and_get_server_endpoints()
    assert {
        (one.SecurityPolicyUri.partition("#")[2], one.SecurityMode.name) for one in offered
    } == {("Aes256_Sha256_RsaPss", "SignAndEncrypt"), ("Basic256Sha256", "SignAndEncrypt")}
    tokens = {token.TokenType for one in offered for token in one.UserIdentityTokens}
    assert ua.UserTokenType.Anonymous not in tokens
    assert secure.own.key.stat().st_mode & 0o777 == 0o600


async def opened(client: Client) -> Client:
    """A client with a channel, still without a session."""
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


async def test_a_session_over_an_unsecured_channel_is_refused(secure):
    client = await opened(Client(secure.url))
    try:
        asked = ua.CreateSessionParameters(EndpointUrl=secure.url)
        await client.uaclient.session.create_session(asked)
        params = ua.ActivateSessionParameters()
        params.UserIdentityToken = ua.UserNameIdentityToken(
            PolicyId="username", UserName="scada", Password="đọc thôi".encode()
        )
        await refused_with(
            client.uaclient.session.activate_session(params),
            ua.StatusCodes.BadSecurityModeInsufficient,
        )
    finally:
        client.disconnect_socket()


@pytest.mark.parametrize("shown", ["another's", "none"])
async def test_the_certificate_of_the_channel_counts_not_the_one_a_client_shows(
    secure, known, tmp_path, monkeypatch, shown
):
    stranger = Visitor(tmp_path / "own")
    client = await stranger.client(secure)
    await opened(client)
    try:
        session = client.uaclient.session
        create = session.create_session

        async def disguised(params):
            params.ClientDescription.ApplicationUri = known.own.application_uri
            own = known.own.certificate.read_bytes()
            params.ClientCertificate = own if shown == "another's" else None
            return await create(params)

        monkeypatch.setattr(session, "create_session", disguised)
        await client.create_session()
        await refused_with(
            client.activate_session("scada", "đọc thôi"), ua.StatusCodes.BadCertificateUntrusted
        )
    finally:
        client.disconnect_socket()


async def test_another_connection_cannot_take_over_a_session_by_its_token(plain):
    async with reading(plain) as (victim, _):
        token = victim.uaclient.session.authentication_token
        thief = await opened(Client(plain.url))
        try:
            thief.uaclient.session.restore_authentication_token(token)
            await refused_with(
                thief.uaclient.session.activate_session(ua.ActivateSessionParameters()),
                ua.StatusCodes.BadSessionIdInvalid,
            )
        finally:
            thief.disconnect_socket()


class Scada:
    """The node client, one process for several visits: it takes seconds to start."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def visit(self, held: HeldServer, policy: str) -> dict[str, object]:
        """What a visit found; it is fed two new values once it has subscribed."""
        user = "" if policy == "None" else "scada"
        asked = {"url": held.url, "policy": policy, "uri": URI, "user": user}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        held.show(20, park__grid_import_mw=42.5)
        self._process.stdin.write(orjson.dumps(asked | {"password": "đọc thôi"}) + b"\n")
        async with asyncio.timeout(60):
            while line := await self._process.stdout.readline():
                if line.startswith(b"{"):
                    return orjson.loads(line)
                if line.strip() == b"subscribed":
                    for seq, value in ((21, 43.5), (22, 44.5)):
                        await asyncio.to_thread(held.show, seq, park__grid_import_mw=value)
        raise AssertionError("the node client ended")


@contextlib.asynccontextmanager
async def scada(folder: Path):
    process = await asyncio.create_subprocess_exec(
        "node",
        str(NODE / "scada.js"),
        str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Scada(process)
    finally:
        process.kill()
        await process.wait()


@needs_node
async def test_a_scada_client_nobody_here_wrote_reads_subscribes_and_is_refused_changes(
    plain, secure, tmp_path
):
    async with scada(tmp_path) as client:
        told = await client.visit(plain, "None")
        assert {PARK.id, "Machines"} <= set(told["objects"]), told
        assert set(told["machines"]) == {m.id.rpartition("/")[2] for m in PARK.of_type("machine")}
        assert {"grid_import_mw", "acme", "forecast"} <= set(told["park"])
        assert (told["unit"], told["range"]) == ([5062999, "MW"], [0, 130])
        assert (told["value"], told["status"]) == (42.5, "Good")
        at = datetime.fromtimestamp(AT_US / 1e6 + 20, UTC)
        assert told["at"] == at.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert (told["write"], told["call"]) == ("BadNotWritable", "BadUserAccessDenied")
        assert "BadUserAccessDenied" in told["added"]
        assert told["seen"] == [42.5, 43.5, 44.5]
        refused = await client.visit(secure, "Basic256Sha256")
        assert "BadCertificateUntrusted" in refused["fault"], refused
        seen = secure.server.pki.seen()
        (unknown,) = [one for one in seen if one.application_uri == "urn:floor:scada"]
        secure.server.pki.trust(unknown.fingerprint)
        for policy in ("Basic256Sha256", "Aes256_Sha256_RsaPss"):
            assert await client.visit(secure, policy) == told
