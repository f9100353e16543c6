"""Cuts, silence, lost messages and lost subscriptions: nothing is missing that was not told."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from floor_plc import Plc, free_port, running
from floor_proxy import Link
from floor_receiver import Receiver, until

from connectors.gateway import Gateway, GatewaySettings
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.report import EndpointState
from connectors.opcua.source import SourceSettings
from twin.coverage import RECOVERED

pytestmark = [
    pytest.mark.floor,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.filterwarnings("ignore:.*MonitoredItemService.datachange_callback"),
]

QUICK = SourceSettings(
    timeout_s=2.0,
    probe_s=0.1,
    silence_s=1.0,
    backoff_first_s=0.05,
    backoff_most_s=0.2,
    coverage_s=0.2,
    frozen_s=0.0,
)
SETTINGS = GatewaySettings(
    idle_s=0.005, load_s=0.02, retry_first_s=0.02, retry_most_s=0.1, source=QUICK
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_plc():
    async with running(Plc(free_port())) as plc:
        yield plc


@pytest_asyncio.fixture(loop_scope="module")
async def plc(shared_plc):
    yield shared_plc
    await shared_plc.server.delete_nodes(list(shared_plc.nodes.values()))
    shared_plc.nodes.clear()


def endpoint(url: str, *, names=("V", "W"), **more) -> EndpointConfig:
    items = tuple(
        Item(tag=i, namespace="urn:a", identifier=f"s={name}") for i, name in enumerate(names, 1)
    )
    settings = {"sampling_ms": 20.0, "publishing_ms": 20.0, "queue_size": 2000} | more
    return EndpointConfig(id="plc", url=url, items=items, allow_insecure=True, **settings)


@contextlib.asynccontextmanager
async def gateway(folder: Path, receiver: Receiver, config: EndpointConfig, settings=SETTINGS):
    held = Gateway(
        source="g1",
        folder=folder,
        deliver=receiver.deliver,
        new_session=receiver.new_session,
        settings=settings,
    )
    await held.start([config])
    try:
        yield held
    finally:
        await held.stop()


def of(held: Gateway):
    return held.status()[0]


class Writer:
    """Writes 1, 2, 3, … to both variables, V counting up and W down, until it is stopped."""

    def __init__(self, plc: Plc, every_s: float = 0.01) -> None:
        self.plc, self.count, self._every_s = plc, 0, every_s
        self.times: dict[int, datetime] = {}

    async def __aenter__(self) -> "Writer":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            # The number grows only when both were written.
            number, at = self.count + 1, datetime.now(UTC)
            self.times[number] = at
            await self.plc.write("urn:a", "V", float(number), at=at)
            await self.plc.write("urn:a", "W", -float(number), at=at)
            self.count = number
            await asyncio.sleep(self._every_s)

    async def stop(self) -> int:
        """The last number that both have."""
        await self.__aexit__()
        return self.count


async def added(plc: Plc) -> None:
    await plc.add("urn:a", "V", 0.0)
    await plc.add("urn:a", "W", 0.0)


async def historized(plc: Plc) -> None:
    """From here on the server has a history of both."""
    plc.server.iserver.history_manager.storage._datachanges.clear()
    for node in plc.nodes.values():
        await plc.server.historize_node_data_change(node, count=100_000)


async def forgotten(plc: Plc) -> None:
    for node in plc.nodes.values():
        await plc.server.dehistorize_node_data_change(node)


async def settled(receiver: Receiver, last: int) -> None:
    """Wait for the last number of both."""
    await until(lambda: receiver.values(1)[-1] >= last and receiver.values(2)[-1] <= -last)


def assert_whole(receiver: Receiver, last: int) -> None:
    """Every number once, in order, under its own tag."""
    first = receiver.values(1)[0]
    assert receiver.values(1)[: last - int(first) + 1] == [
        float(i) for i in range(int(first), last + 1)
    ]
    down = receiver.values(2)
    assert down[: last + int(down[0]) + 1] == [-float(i) for i in range(-int(down[0]), last + 1)]


def recovered(receiver: Receiver) -> list[dict]:
    return [row for row in receiver.coverage if row["cause"].startswith(RECOVERED)]


def unexplained(receiver: Receiver, writer: Writer, last: int) -> list[int]:
    """Numbers that neither came nor lie in a gap that was not taken back."""
    got = {int(v) for v in receiver.values(1)}
    gaps = claimed(receiver)
    return [
        n
        for n in range(min(got), last + 1)
        if n not in got and not any(a <= writer.times[n] <= b for a, b in gaps)
    ]


# --- the link ---


@pytest.mark.parametrize(("seconds", "times"), [(0.02, 3), (0.4, 3), (2.0, 1)])
async def test_a_cut_that_the_queues_hold_loses_nothing_and_doubles_nothing(
    plc, tmp_path, seconds, times
):
    """A tenth of a second, five seconds and a minute, scaled."""
    receiver = Receiver()
    await added(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            for _ in range(times):
                seen = of(held).resumed
                await link.outage(seconds)
                await until(lambda n=seen: of(held).resumed > n)
                await asyncio.sleep(0.1)
            last = await writer.stop()
        await settled(receiver, last)
        assert_whole(receiver, last)
        await until(lambda: len(recovered(receiver)) >= 1)
        assert of(held).lost == 0


async def test_a_half_open_link_is_noticed_and_nothing_is_lost(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            async with link.blackhole():
                await until(lambda: of(held).state is EndpointState.OFFLINE)
                assert "no answer" in of(held).cause
                link.cut()
            await until(lambda: of(held).state is EndpointState.CONNECTED)
            last = await writer.stop()
        await settled(receiver, last)
        assert_whole(receiver, last)


async def test_messages_that_were_sent_and_never_came_are_had_once_more(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            # The server believes that these answers arrived; then the link breaks.
            link.swallow = True
            await until(lambda: link.swallowed > 100)
            link.cut()
            link.swallow = False
            await until(lambda: of(held).republished > 0)
            await asyncio.sleep(0.1)
            last = await writer.stop()
        await settled(receiver, last)
        assert_whole(receiver, last)


async def test_a_slow_link_opens_the_window_and_loses_nothing(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        link.delay_s = 0.05
        link.bytes_per_s = 200_000
        publisher = held._sources["plc"]._publisher
        async with Writer(plc) as writer:
            await until(lambda: publisher.window > 2)
            last = await writer.stop()
        await settled(receiver, last)
        assert_whole(receiver, last)
        assert of(held).state is EndpointState.CONNECTED


# --- the server ---


async def test_a_message_dropped_in_normal_flow_is_had_once_more_and_in_its_place(
    plc, tmp_path, monkeypatch
):
    receiver, dropped = Receiver(), []
    stock = UaProcessor.forward_publish_response

    async def forward(self, result, request):
        if result.NotificationMessage.NotificationData and len(dropped) < 3 and wanted:
            dropped.append(result.NotificationMessage.SequenceNumber)
            self._publish_requests.appendleft(request)
            return
        await stock(self, result, request)

    wanted: list[bool] = []
    monkeypatch.setattr(UaProcessor, "forward_publish_response", forward)
    await added(plc)
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            wanted.append(True)
            await until(lambda: of(held).republished == 3)
            last = await writer.stop()
        await settled(receiver, last)
        assert len(dropped) == 3
        assert_whole(receiver, last)
        assert not receiver.gaps()


async def test_a_message_the_server_no_longer_has_is_a_gap_with_its_cause(
    plc, tmp_path, monkeypatch
):
    receiver, dropped = Receiver(), []
    stock = UaProcessor.forward_publish_response

    async def forward(self, result, request):
        if result.NotificationMessage.NotificationData and not dropped and wanted:
            number = result.NotificationMessage.SequenceNumber
            dropped.append(number)
            self._publish_requests.appendleft(request)
            for sub in self.iserver.subscription_service.subscriptions.values():
                sub._not_acknowledged_results.pop(number, None)
            return
        await stock(self, result, request)

    wanted: list[bool] = []
    monkeypatch.setattr(UaProcessor, "forward_publish_response", forward)
    await added(plc)
    async with gateway(tmp_path, receiver, endpoint(plc.url)):
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            wanted.append(True)
            await until(receiver.gaps)
            last = await writer.stop()
        await settled(receiver, last)
        assert "a message of the server was lost" in receiver.gaps()[0]["cause"]
        assert len(set(receiver.values(1))) < last + 1
        assert not unexplained(receiver, writer, last)


async def test_publish_requests_the_server_does_not_want_make_the_window_smaller(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    monkeypatch.setattr(UaProcessor, "publish_request_limit", lambda self, count: 1)
    await added(plc)
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        publisher = held._sources["plc"]._publisher
        await until(lambda: publisher.counts.shed > 0)
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 50)
            last = await writer.stop()
        await settled(receiver, last)
        assert_whole(receiver, last)
        assert publisher.window == 1


async def test_when_the_subscriptions_are_gone_history_fills_the_gap(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    await historized(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            outage = asyncio.create_task(link.outage(1.0))
            await asyncio.sleep(0.2)
            await _forget_clients(plc)
            await outage
            await until(lambda: recovered(receiver))
            last = await writer.stop()
        await settled(receiver, last)
        assert of(held).backfilled > 0
    assert "history" in recovered(receiver)[0]["cause"]
    for tag, sign in ((1, 1), (2, -1)):
        came = sorted(sign * v for v in receiver.values(tag) if sign * v <= last)
        assert came == [float(i) for i in range(int(came[0]), last + 1)]
    await forgotten(plc)


async def test_by_receive_time_history_lies_where_it_would_have_been_received(plc, tmp_path):
    """The clock of this PLC is seven hours ahead."""
    receiver, ahead = Receiver(), timedelta(hours=7)
    await added(plc)
    await historized(plc)
    config = {"time_policy": "receive"}
    async with (
        Link(plc.port) as link,
        gateway(tmp_path, receiver, endpoint(link.url, **config)) as held,
    ):
        await until(lambda: receiver.values(1) and receiver.values(2))
        for i in range(1, 6):
            await plc.write("urn:a", "V", float(i), at=datetime.now(UTC) + ahead)
            await until(lambda n=i: receiver.values(1)[-1] == n)
        outage = asyncio.create_task(link.outage(0.6))
        await until(lambda: of(held).state is EndpointState.OFFLINE, 15)
        await _forget_clients(plc)
        written = datetime.now(UTC)
        await plc.write("urn:a", "V", 6.0, at=written + ahead)
        await plc.write("urn:a", "V", 7.0, at=datetime.now(UTC) + ahead)
        await outage
        await until(lambda: recovered(receiver), 15)
        await until(lambda: 6.0 in receiver.values(1))
    (row,) = (row for row in receiver.samples if row["value"] == 6.0)
    assert abs(row["at"] - written) < timedelta(seconds=5)
    assert row["server_at"] == written + ahead
    await forgotten(plc)


async def test_a_long_history_is_read_over_continuation_points_to_its_end(plc, tmp_path):
    receiver, count = Receiver(), 2500
    await added(plc)
    await historized(plc)
    asked, stock = [], plc.server.iserver.history_manager.storage.read_node_history

    async def read(node, start, end, most):
        asked.append(most)
        return await stock(node, start, end, most)

    plc.server.iserver.history_manager.storage.read_node_history = read
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        link.refuse = True
        link.cut()
        await until(lambda: of(held).state is EndpointState.OFFLINE, 15)
        await _forget_clients(plc)
        begun = datetime.now(UTC)
        for i in range(1, count + 1):
            await plc.write("urn:a", "V", float(i), at=begun + timedelta(microseconds=200 * i))
        await until(lambda: datetime.now(UTC) > begun + timedelta(microseconds=200 * count))
        link.refuse = False
        await until(lambda: of(held).state is EndpointState.CONNECTED, 15)
        await plc.write("urn:a", "V", float(count + 1))
        await until(lambda: recovered(receiver), 20)
        await until(lambda: len(receiver.values(1)) >= count + 2)
    assert sorted(receiver.values(1)) == [float(i) for i in range(count + 2)]
    assert len(asked) >= 3
    await forgotten(plc)


async def test_without_history_the_gap_row_says_why_and_covers_all_that_is_missing(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    async with Link(plc.port) as link, gateway(tmp_path, receiver, endpoint(link.url)):
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            outage = asyncio.create_task(link.outage(0.5))
            await asyncio.sleep(0.2)
            await _forget_clients(plc)
            await outage
            await until(lambda: any("no history" in row["cause"] for row in receiver.gaps()))
            last = await writer.stop()
        await settled(receiver, last)
        assert not recovered(receiver)
        assert len(set(receiver.values(1))) < last + 1
        assert not unexplained(receiver, writer, last)
        rows = [(r["tag"], r["at"], r["value"], r["status"]) for r in receiver.samples]
        assert len(rows) == len(set(rows))


def claimed(receiver: Receiver) -> list[tuple[datetime, datetime]]:
    """Gaps that were told and not taken back."""
    gaps = [(row["from"], row["to"]) for row in receiver.gaps()]
    for row in recovered(receiver):
        gaps = [
            piece
            for a, b in gaps
            for piece in ((a, min(b, row["from"])), (max(a, row["to"]), b))
            if piece[0] < piece[1]
        ]
    return gaps


@contextlib.asynccontextmanager
async def a_first_cut(plc, receiver, folder, monkeypatch):
    """A link whose first outage is over and waits to be judged; a second one is up to the test."""
    async with Link(plc.port) as link, gateway(folder, receiver, endpoint(link.url)) as held:
        await until(lambda: receiver.values(1) and receiver.values(2))
        async with Writer(plc) as writer:
            await until(lambda: writer.count > 20)
            monkeypatch.setattr("connectors.opcua.judging._SETTLE_S", 60.0)
            await link.outage(0.4)
            await until(lambda: of(held).resumed == 1, 15)
            seen = receiver.values(1)[-1]
            await until(lambda: receiver.values(1)[-1] > seen)
            assert claimed(receiver)
            monkeypatch.undo()
            yield link, held, writer


async def test_a_second_cut_before_the_first_is_judged_leaves_no_gap_whose_values_came(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    await added(plc)
    async with a_first_cut(plc, receiver, tmp_path, monkeypatch) as (link, _, writer):
        await link.outage(0.4)
        await until(lambda: len(recovered(receiver)) == 2 and not claimed(receiver), 15)
        last = await writer.stop()
        await settled(receiver, last)
    assert_whole(receiver, last)


async def test_a_second_cut_that_loses_the_subscriptions_is_filled_on_its_own(
    plc, tmp_path, monkeypatch
):
    receiver = Receiver()
    await added(plc)
    await historized(plc)
    async with a_first_cut(plc, receiver, tmp_path, monkeypatch) as (link, held, writer):
        outage = asyncio.create_task(link.outage(0.6))
        await asyncio.sleep(0.2)
        await _forget_clients(plc)
        await outage
        await until(lambda: len(recovered(receiver)) == 2 and not claimed(receiver), 15)
        last = await writer.stop()
        await settled(receiver, last)
        assert of(held).backfilled > 0
    for tag, sign in ((1, 1), (2, -1)):
        came = sorted(sign * v for v in receiver.values(tag) if sign * v <= last)
        assert came == [float(i) for i in range(int(came[0]), last + 1)]
    await forgotten(plc)


async def test_a_gateway_that_ends_judges_first_what_is_still_open(plc, tmp_path, monkeypatch):
    receiver = Receiver()
    await added(plc)
    monkeypatch.setattr("connectors.opcua.judging._SETTLE_S", 1.0)
    async with (
        Link(plc.port) as link,
        Writer(plc) as writer,
        gateway(tmp_path, receiver, endpoint(link.url)) as held,
    ):
        await until(lambda: writer.count > 20 and receiver.values(1))
        await link.outage(0.4)
        await until(lambda: of(held).resumed == 1, 15)
        assert claimed(receiver)
        assert not recovered(receiver)
        await held.stop()
        assert not claimed(receiver)


async def _forget_clients(plc: Plc) -> None:
    """The server loses every session and subscription of others."""
    own = plc.server.iserver.isession
    for session in list(plc.server.iserver._external_sessions.values()):
        if session is not own:
            await session.close_session(True)


async def test_a_queue_shorter_than_the_cut_is_a_gap_of_that_length(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    config = endpoint(plc.url, queue_size=10)
    async with Link(plc.port) as link:
        config = endpoint(link.url, queue_size=10)
        async with gateway(tmp_path, receiver, config):
            await until(lambda: receiver.values(1) and receiver.values(2))
            async with Writer(plc) as writer:
                await until(lambda: writer.count > 20)
                await link.outage(1.0)
                await until(lambda: any("queues hold" in r["cause"] for r in receiver.gaps()))
                last = await writer.stop()
            await settled(receiver, last)
            assert not unexplained(receiver, writer, last)


async def test_a_session_limit_is_told_and_survived(plc, tmp_path, monkeypatch):
    receiver = Receiver()
    await added(plc)
    monkeypatch.setattr(InternalSession, "max_connections", 0)
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await until(lambda: "no session left" in of(held).cause)
        monkeypatch.setattr(InternalSession, "max_connections", 1000)
        await until(lambda: receiver.values(1) and receiver.values(2))


async def test_a_gateway_that_returns_takes_its_session_up_again(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    async with Writer(plc) as writer:
        for _ in range(3):
            seen = len(receiver.samples)
            async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
                await until(lambda n=seen: len(receiver.samples) > n + 20)
                resumed = of(held).resumed
        assert resumed == 1
        last = await writer.stop()
        async with gateway(tmp_path, receiver, endpoint(plc.url)):
            await settled(receiver, last)
            await until(lambda: recovered(receiver))
    assert_whole(receiver, last)
    kept = tmp_path / "sessions" / "plc.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.with_suffix(".marks").stat().st_mode & 0o777 == 0o600


async def test_an_endpoint_that_changed_begins_anew_and_closes_what_it_had(plc, tmp_path):
    receiver = Receiver()
    await added(plc)
    sessions = plc.server.iserver._external_sessions
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await until(lambda: receiver.values(1))
        before = len(sessions)
        await held.put(endpoint(plc.url, names=("W", "V")))
        await plc.write("urn:a", "W", 5.0)
        await until(lambda: receiver.values(1)[-1] == 5.0)
        assert len(sessions) == before
        await held.remove("plc")
        await until(lambda: len(sessions) == before - 1)
        assert not (tmp_path / "sessions" / "plc.json").exists()


async def test_a_type_that_changes_moves_to_its_column(plc, tmp_path, monkeypatch):
    receiver = Receiver()
    monkeypatch.setattr(AddressSpace, "_is_expected_variant_type", lambda *_: True)
    await added(plc)
    async with gateway(tmp_path, receiver, endpoint(plc.url)) as held:
        await until(lambda: receiver.values(1))
        await plc.write("urn:a", "V", "text", ua.VariantType.String)
        await plc.write("urn:a", "V", 7, ua.VariantType.Int16)
        await until(lambda: receiver.values(1)[-1] == 7.0)
        assert [r["text"] for r in receiver.samples if r["tag"] == 1] == [None, "text", None]
        assert of(held).state is EndpointState.CONNECTED


async def test_a_value_too_large_for_any_message_harms_no_other(plc, tmp_path, monkeypatch):
    receiver = Receiver()
    monkeypatch.setattr("connectors.opcua.session.MAX_MESSAGE_BYTES", 200_000)
    await added(plc)
    await plc.add("urn:a", "Huge", [float(i) for i in range(100_000)])
    config = endpoint(plc.url, names=("Huge", "V"))
    async with gateway(tmp_path, receiver, config) as held:
        await until(lambda: receiver.values(2))
        await plc.write("urn:a", "V", 5.0)
        await until(lambda: receiver.values(2)[-1] == 5.0)
        assert "array" in of(held).rejected["nsu=urn:a;s=Huge"]
        assert (of(held).requested, of(held).accepted) == (2, 1)
