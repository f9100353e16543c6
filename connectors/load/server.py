"""A minimal OPC UA server on loopback whose publish answers are templates, patched and sent.

Sessions and subscriptions outlive their connection, messages stay until they are acknowledged, and
queues hold what they promised: a client that reconnects well loses nothing. Everything but the
messages that come often is encoded by asyncua. Only security None and anonymous users.
"""

import asyncio
import os
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar, cast

import numpy as np
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from connectors.clock import wall_us
from connectors.load.frames import CLOSE, HELLO, OPEN, POLICY_NONE, Frames, NotOpcUa, Request
from connectors.load.messages import (
    Head,
    Values,
    acknowledged,
    created,
    fault,
    published,
    read_answer,
    read_head,
    republished,
)
from connectors.load.space import (
    APPLICATION,
    INDEX,
    PRODUCT,
    about_server,
    attribute,
    node_number,
)
from connectors.load.subscription import Counts, Subscription
from connectors.load.template import Block
from connectors.load.values import (
    Mix,
    Ticks,
    booleans,
    doubles,
    floats,
    ints,
    kinds_of,
    text_of,
)
from twin.samples import from_us, to_us

_T = TypeVar("_T")
PATH: Final = "/load"
_PER_CALL: Final = 1000
_SESSION_S: Final = 3600.0
_CACHED: Final = 64
_HISTORY_MOST: Final = 1000
_UNKNOWN: Final = StatusCodes.BadNodeIdUnknown


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSettings:
    """What a load server serves.

    Parameters
    ----------
    nodes, mix
        How many nodes, and their types.
    ticks
        When values change.
    queue
        Longest queue of an item [values].
    requests
        Publish requests it holds per session.
    flood
        Send as fast as it is asked; ticks do not wait for the clock.
    history
        Nodes have a history of all ticks.
    """

    nodes: int
    mix: Mix
    ticks: Ticks
    queue: int = 10_000
    requests: int = 20
    flood: bool = False
    history: bool = False


class _Fault(Exception):
    """A service fault."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@dataclass(slots=True)
class _Asked:
    """A publish request that waits: where its answer goes, and the results of its acks."""

    connection: "Connection"
    number: int
    handle: int
    results: list[int]


@dataclass(slots=True)
class _Session:
    """A session, which outlives its connection."""

    token: int
    timeout_s: float
    heard_at: float
    asked: deque[_Asked] = field(default_factory=deque)


@dataclass(slots=True)
class _Running:
    """A subscription with its session and timer."""

    of: Subscription
    session: _Session
    timer: asyncio.TimerHandle | None = None
    due: float = 0.0
    late: bool = False
    """It had something to send and no request to answer."""


class LoadServer:
    """Serves one plant of counting nodes.

    Parameters
    ----------
    settings
        What it serves.
    """

    def __init__(self, settings: LoadSettings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.started = datetime.now(UTC)
        self._about = about_server(self.started, _PER_CALL)
        self._nodes = np.arange(settings.nodes, dtype=np.int64)
        self._kinds = kinds_of(self._nodes, settings.mix)
        self._sessions: dict[int, _Session] = {}
        self._running: dict[int, _Running] = {}
        self._reads: dict[bytes, Block] = {}
        self._numbers = int.from_bytes(os.urandom(3), "little")
        self._connections: set[Connection] = set()
        self._listening: asyncio.Server | None = None
        self._services: dict[int, Callable[[Connection, Head, Request], bytes | None]] = {
            ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary: self._get_endpoints,
            ObjectIds.FindServersRequest_Encoding_DefaultBinary: self._find_servers,
            ObjectIds.CreateSessionRequest_Encoding_DefaultBinary: self._create_session,
            ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary: self._activate,
            ObjectIds.CloseSessionRequest_Encoding_DefaultBinary: self._close_session,
            ObjectIds.ReadRequest_Encoding_DefaultBinary: self._read,
            ObjectIds.HistoryReadRequest_Encoding_DefaultBinary: self._history,
            ObjectIds.CreateSubscriptionRequest_Encoding_DefaultBinary: self._subscribe,
            ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary: self._set_publishing,
            ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary: self._monitor,
            ObjectIds.DeleteSubscriptionsRequest_Encoding_DefaultBinary: self._delete,
            ObjectIds.TransferSubscriptionsRequest_Encoding_DefaultBinary: self._transfer,
            ObjectIds.PublishRequest_Encoding_DefaultBinary: self._publish,
            ObjectIds.RepublishRequest_Encoding_DefaultBinary: self._republish,
        }

    # --- life ---

    async def start(self, port: int) -> int:
        """Listen on loopback; returns the port."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), "127.0.0.1", port)
        return int(self._listening.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and drop all connections."""
        for each in self._running.values():
            if each.timer is not None:
                each.timer.cancel()
        self._running.clear()
        for connection in tuple(self._connections):
            connection.drop()
        if self._listening is not None:
            self._listening.close()
            await self._listening.wait_closed()

    def forget(self) -> None:
        """Lose all sessions and subscriptions; connections stay, and values go on."""
        for number in tuple(self._running):
            self._end(number)
        self._sessions.clear()

    def joined(self, connection: "Connection") -> None:
        """A connection was made."""
        self._connections.add(connection)

    def left(self, connection: "Connection") -> None:
        """A connection was lost; its session and subscriptions stay."""
        self._connections.discard(connection)
        for session in self._sessions.values():
            session.asked = deque(a for a in session.asked if a.connection is not connection)

    # --- requests ---

    def answer(self, connection: "Connection", request: Request) -> bytes | None:
        """Answer to a request; None when it comes later."""
        head = read_head(request.body)
        try:
            return self._services.get(head.kind, _unsupported)(connection, head, request)
        except _Fault as refused:
            return fault(head.handle, wall_us(), refused.status)

    def channel(self, connection: "Connection", request: Request) -> bytes:
        """Open or renew a channel."""
        head = read_head(request.body)
        wanted = _parameters(ua.OpenSecureChannelParameters, head, request)
        self._numbers += 1
        frames = connection.frames
        frames.channel = frames.channel or self._numbers
        frames.token = self._numbers
        response = ua.OpenSecureChannelResponse()
        token = response.Parameters.SecurityToken
        token.ChannelId, token.TokenId = ua.UInt32(frames.channel), ua.UInt32(frames.token)
        token.CreatedAt = datetime.now(UTC)
        token.RevisedLifetime = wanted.RequestedLifetime
        response.Parameters.ServerNonce = b""
        return _encoded(response, head)

    def _get_endpoints(self, _: "Connection", head: Head, request: Request) -> bytes:
        wanted = _parameters(ua.GetEndpointsParameters, head, request)
        response = ua.GetEndpointsResponse()
        response.Endpoints = [_endpoint(str(wanted.EndpointUrl))]
        return _encoded(response, head)

    def _find_servers(self, _: "Connection", head: Head, request: Request) -> bytes:
        wanted = _parameters(ua.FindServersParameters, head, request)
        response = ua.FindServersResponse()
        response.Servers = [_endpoint(str(wanted.EndpointUrl)).Server]
        return _encoded(response, head)

    # --- sessions ---

    def _create_session(self, _: "Connection", head: Head, request: Request) -> bytes:
        wanted = _parameters(ua.CreateSessionParameters, head, request)
        self._numbers += 1
        timeout_s = min(float(wanted.RequestedSessionTimeout) / 1000.0 or _SESSION_S, _SESSION_S)
        session = _Session(self._numbers, timeout_s, time.monotonic())
        self._sessions[session.token] = session
        self.counts.sessions += 1
        response = ua.CreateSessionResponse()
        result = response.Parameters
        result.SessionId = ua.NodeId(ua.Int32(session.token), ua.Int16(1))
        result.AuthenticationToken = ua.NodeId(ua.Int32(session.token), ua.Int16(1))
        result.RevisedSessionTimeout = ua.Duration(timeout_s * 1000.0)
        result.ServerNonce = os.urandom(32)
        result.ServerEndpoints = [_endpoint(str(wanted.EndpointUrl))]
        return _encoded(response, head)

    def _session(self, head: Head) -> _Session:
        token = head.token.Identifier
        session = self._sessions.get(token) if isinstance(token, int) else None
        now = time.monotonic()
        if session is None or now - session.heard_at > session.timeout_s:
            raise _Fault(StatusCodes.BadSessionIdInvalid)
        session.heard_at = now
        return session

    def _activate(self, _: "Connection", head: Head, request: Request) -> bytes:
        del request
        self._session(head)
        response = ua.ActivateSessionResponse()
        response.Parameters.ServerNonce = os.urandom(32)
        return _encoded(response, head)

    def _close_session(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        del self._sessions[session.token]
        if request.body[head.parameters_at : head.parameters_at + 1] != b"\x00":
            for each in [r.of.id for r in self._running.values() if r.session is session]:
                self._end(each)
        return _encoded(ua.CloseSessionResponse(), head)

    # --- reading ---

    def _read(self, _: "Connection", head: Head, request: Request) -> bytes:
        self._session(head)
        now_us = wall_us()
        block = self._reads.get(request.body[head.parameters_at :])
        if block is None:
            wanted = _parameters(ua.ReadParameters, head, request).NodesToRead
            numbers = [node_number(each.NodeId, self.settings.nodes) for each in wanted]
            values = all(each.AttributeId == AttributeIds.Value for each in wanted)
            if not values or None in numbers or not wanted:
                response = ua.ReadResponse()
                pairs = zip(wanted, numbers, strict=True)
                response.Results = [self._value(each, number) for each, number in pairs]
                return _encoded(response, head)
            nodes = np.array(numbers, np.int64)
            block = Block(nodes, self._kinds[nodes], None)
            if len(self._reads) < _CACHED:
                self._reads[request.body[head.parameters_at :]] = block
        ticks = self.settings.ticks
        tick = max(ticks.newest(now_us), 0)
        self.counts.reads += len(block)
        data = block.at(tick, ticks.at_us(tick), now_us)
        return read_answer(head.handle, now_us, Values(len(block), (data,)))

    def _value(self, wanted: ua.ReadValueId, number: int | None) -> ua.DataValue:
        now = datetime.now(UTC)
        if number is not None and wanted.AttributeId == AttributeIds.Value:
            return self._at(number, max(self.settings.ticks.newest(wall_us()), 0))
        if number is not None:
            kind = int(self._kinds[number])
            found = attribute(number, kind, int(wanted.AttributeId), history=self.settings.history)
        elif wanted.NodeId.Identifier == ObjectIds.Server_ServerStatus_CurrentTime:
            found = ua.Variant(now, ua.VariantType.DateTime)
        elif wanted.NodeId.NamespaceIndex == 0 and wanted.AttributeId == AttributeIds.Value:
            found = self._about.get(int(wanted.NodeId.Identifier))
        else:
            found = None
        if found is None:
            return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(_UNKNOWN)))
        return _stamped(found, now)

    def _at(self, number: int, tick: int) -> ua.DataValue:
        """The value of a node at a tick."""
        at = from_us(self.settings.ticks.at_us(tick))
        variant = _variant(number, int(self._kinds[number]), tick)
        return _stamped(variant, at)

    def _history(self, _: "Connection", head: Head, request: Request) -> bytes:
        """HistoryRead of raw values (Part 11, 6.4.3): start < end <= now, both included."""
        self._session(head)
        wanted = _parameters(ua.HistoryReadParameters, head, request)
        details = wanted.HistoryReadDetails
        if not self.settings.history or not isinstance(details, ua.ReadRawModifiedDetails):
            raise _Fault(StatusCodes.BadHistoryOperationUnsupported)
        response = ua.HistoryReadResponse()
        response.Results = [self._history_of(each, details) for each in wanted.NodesToRead]
        return _encoded(response, head)

    def _history_of(
        self, wanted: ua.HistoryReadValueId, details: ua.ReadRawModifiedDetails
    ) -> ua.HistoryReadResult:
        result = ua.HistoryReadResult()
        number = node_number(wanted.NodeId, self.settings.nodes)
        if number is None:
            result.StatusCode = ua.StatusCode(ua.UInt32(_UNKNOWN))
            return result
        ticks = self.settings.ticks
        start_us, end_us = _bound_us(details.StartTime), _bound_us(details.EndTime) or wall_us()
        first = -((ticks.zero_us - start_us) // ticks.period_us)
        if wanted.ContinuationPoint:
            (first,) = struct.unpack("<q", wanted.ContinuationPoint)
        first = max(first, 0)
        last = min(ticks.newest(end_us), ticks.newest(wall_us()))
        most = min(int(details.NumValuesPerNode) or _HISTORY_MOST, _HISTORY_MOST)
        stop = min(first + most, last + 1)
        data = ua.HistoryData()
        data.DataValues = [self._at(number, tick) for tick in range(first, stop)]
        result.HistoryData = data
        if stop <= last:
            result.ContinuationPoint = struct.pack("<q", stop)
        return result

    # --- subscriptions ---

    def _subscribe(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.CreateSubscriptionParameters, head, request)
        self._numbers += 1
        publishing_ms = max(float(wanted.RequestedPublishingInterval), 1.0)
        keep_alive = max(int(wanted.RequestedMaxKeepAliveCount), 1)
        subscription = Subscription(
            id=self._numbers,
            ticks=self.settings.ticks,
            mix=self.settings.mix,
            publishing_s=publishing_ms / 1000.0,
            keep_alive=keep_alive,
            lifetime=max(int(wanted.RequestedLifetimeCount), 3 * keep_alive),
            most=int(wanted.MaxNotificationsPerPublish) or 1_000_000,
            counts=self.counts,
            flood=self.settings.flood,
            enabled=bool(wanted.PublishingEnabled),
        )
        running = _Running(subscription, session)
        self._running[subscription.id] = running
        running.due = asyncio.get_running_loop().time() + subscription.publishing_s
        self._arm(running)
        response = ua.CreateSubscriptionResponse()
        result = response.Parameters
        result.SubscriptionId = ua.IntegerId(subscription.id)
        result.RevisedPublishingInterval = ua.Duration(publishing_ms)
        result.RevisedLifetimeCount = ua.Counter(subscription.lifetime)
        result.RevisedMaxKeepAliveCount = ua.Counter(subscription.keep_alive)
        return _encoded(response, head)

    def _owned(self, session: _Session, number: int) -> _Running:
        running = self._running.get(number)
        if running is None or running.session is not session:
            raise _Fault(StatusCodes.BadSubscriptionIdInvalid)
        return running

    def _monitor(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.CreateMonitoredItemsParameters, head, request)
        subscription = self._owned(session, int(wanted.SubscriptionId)).of
        statuses, nodes, handles, queues = [], [], [], []
        for each in wanted.ItemsToCreate:
            number = node_number(each.ItemToMonitor.NodeId, self.settings.nodes)
            statuses.append(_UNKNOWN if number is None else 0)
            if number is not None:
                nodes.append(number)
                handles.append(int(each.RequestedParameters.ClientHandle))
                queues.append(int(each.RequestedParameters.QueueSize))
        # All items of a subscription share one queue length: their queues are ranges of ticks.
        queue = max(min(max(queues, default=1), self.settings.queue), 1)
        now_us = wall_us()
        subscription.add(np.array(nodes, np.int64), np.array(handles, np.int64), queue, now_us)
        first = self._numbers + 1
        self._numbers += len(statuses)
        period_ms = self.settings.ticks.period_us / 1000.0
        return created(head.handle, now_us, statuses, first, period_ms, subscription.queue)

    def _set_publishing(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.SetPublishingModeParameters, head, request)
        for number in wanted.SubscriptionIds:
            self._owned(session, int(number)).of.enabled = bool(wanted.PublishingEnabled)
        response = ua.SetPublishingModeResponse()
        response.Parameters.Results = [ua.StatusCode()] * len(wanted.SubscriptionIds)
        return _encoded(response, head)

    def _delete(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.DeleteSubscriptionsParameters, head, request)
        for number in wanted.SubscriptionIds:
            self._end(self._owned(session, int(number)).of.id)
        response = ua.DeleteSubscriptionsResponse()
        response.Results = [ua.StatusCode()] * len(wanted.SubscriptionIds)
        return _encoded(response, head)

    def _transfer(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.TransferSubscriptionsParameters, head, request)
        response = ua.TransferSubscriptionsResponse()
        for number in wanted.SubscriptionIds:
            result = ua.TransferResult()
            running = self._running.get(int(number))
            if running is None:
                result.StatusCode = ua.StatusCode(ua.UInt32(StatusCodes.BadSubscriptionIdInvalid))
            else:
                running.session = session
                result.AvailableSequenceNumbers = [ua.Counter(n) for n in running.of.available]
            response.Parameters.Results.append(result)
        return _encoded(response, head)

    def _end(self, number: int) -> None:
        running = self._running.pop(number)
        if running.timer is not None:
            running.timer.cancel()

    # --- publishing ---

    def _publish(self, connection: "Connection", head: Head, request: Request) -> None:
        session = self._session(head)
        results = []
        for number, sequence in acknowledged(request.body, head.parameters_at):
            running = self._running.get(number)
            known = running is not None and running.of.acknowledge(sequence)
            results.append(0 if known else StatusCodes.BadSequenceNumberUnknown)
        session.asked.append(_Asked(connection, request.number, head.handle, results))
        if len(session.asked) > self.settings.requests:
            oldest = session.asked.popleft()
            refusal = fault(oldest.handle, wall_us(), StatusCodes.BadTooManyPublishRequests)
            oldest.connection.send(oldest.number, refusal)
        mine = [each for each in self._running.values() if each.session is session]
        if not mine:
            last = session.asked.pop()
            connection.send(
                last.number, fault(last.handle, wall_us(), StatusCodes.BadNoSubscription)
            )
        for running in mine:
            running.of.unasked = 0
            if running.late or running.of.flood:
                self._send(running)

    def _arm(self, running: _Running) -> None:
        loop = asyncio.get_running_loop()
        running.timer = loop.call_at(running.due, self._cycle, running)

    def _cycle(self, running: _Running) -> None:
        """One publishing interval is over (Part 4, 5.14.1.2)."""
        subscription = running.of
        running.due = max(
            running.due + subscription.publishing_s, asyncio.get_running_loop().time()
        )
        subscription.idle += 1
        if not running.session.asked:
            subscription.unasked += 1
            if subscription.unasked > subscription.lifetime:
                self._end(subscription.id)
                return
        self._send(running)
        self._arm(running)

    def _send(self, running: _Running) -> None:
        """Answer as many requests as there are messages; say so when one is due and none waits."""
        subscription, asked = running.of, running.session.asked
        while subscription.waiting(now_us := wall_us()):
            if not asked:
                running.late = True
                return
            one = asked.popleft()
            message = subscription.take(now_us)
            subscription.idle, subscription.started, running.late = 0, True, False
            answer = published(
                one.handle, now_us, subscription.id, subscription.available, message.sequence,
                message.values(self.settings.ticks),
                more=subscription.waiting(now_us) and not subscription.flood,
                results=one.results,
            )  # fmt: skip
            one.connection.send(one.number, answer)
        running.late = False
        if subscription.idle >= subscription.keep_alive or not subscription.started:
            if not asked:
                running.late = subscription.started
                return
            one = asked.popleft()
            subscription.idle, subscription.started = 0, True
            answer = published(
                one.handle, now_us, subscription.id, subscription.available,
                subscription.sequence, None, more=False, results=one.results,
            )  # fmt: skip
            one.connection.send(one.number, answer)

    def _republish(self, _: "Connection", head: Head, request: Request) -> bytes:
        session = self._session(head)
        wanted = _parameters(ua.RepublishParameters, head, request)
        subscription = self._owned(session, int(wanted.SubscriptionId)).of
        message = subscription.sent.get(int(wanted.RetransmitSequenceNumber))
        if message is None:
            raise _Fault(StatusCodes.BadMessageNotAvailable)
        self.counts.again += 1
        values = message.values(self.settings.ticks)
        return republished(head.handle, wall_us(), message.sequence, message.published_us, values)


class Connection(asyncio.Protocol):
    """One client's socket."""

    def __init__(self, server: LoadServer) -> None:
        self._server = server
        self.frames = Frames()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the socket."""
        self._transport = cast("asyncio.Transport", transport)
        self._server.joined(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the socket."""
        del exc
        self._transport = None
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        """Answer what is whole."""
        try:
            for request in self.frames.feed(data):
                self._take(request)
        except NotOpcUa:
            self.drop()

    def _take(self, request: Request) -> None:
        transport = self._transport
        if transport is None:
            return
        if request.kind == HELLO:
            transport.write(self.frames.acknowledge(request.body))
        elif request.kind == OPEN:
            transport.write(self.frames.opened(request.number, self._server.channel(self, request)))
        elif request.kind == CLOSE:
            transport.close()
        else:
            answer = self._server.answer(self, request)
            if answer is not None:
                self.send(request.number, answer)

    def send(self, number: int, body: bytes) -> None:
        """Send an answer, if there is still somebody to take it."""
        if self._transport is not None:
            self._transport.writelines(self.frames.message(number, body))

    def drop(self) -> None:
        """End it at once."""
        if self._transport is not None:
            self._transport.abort()


def _unsupported(_: Connection, __: Head, ___: Request) -> bytes:
    raise _Fault(StatusCodes.BadServiceUnsupported)


def _parameters(kind: type[_T], head: Head, request: Request) -> _T:
    """Decoded parameters of a request.

    Raises
    ------
    NotOpcUa
        When the bytes are none.
    """
    try:
        found: _T = struct_from_binary(kind, Buffer(request.body[head.parameters_at :]))
    except Exception as broken:  # what asyncua's decoder raises on foreign bytes is of every kind
        raise NotOpcUa(f"a {kind.__name__} that cannot be read ({broken})") from broken
    return found


def _bound_us(at: datetime | None) -> int:
    """A bound of history [us]; 0 when it is left out, as 1601 says too."""
    return 0 if at is None else max(to_us(at), 0)


def _stamped(value: ua.Variant, at: datetime) -> ua.DataValue:
    data = ua.DataValue(Value=value)
    data.SourceTimestamp = data.ServerTimestamp = at  # type: ignore[assignment]
    return data


def _encoded(response: object, head: Head) -> bytes:
    response.ResponseHeader.RequestHandle = ua.IntegerId(head.handle)  # type: ignore[attr-defined]
    response.ResponseHeader.Timestamp = datetime.now(UTC)  # type: ignore[attr-defined]
    return bytes(struct_to_binary(response))


def _endpoint(url: str) -> ua.EndpointDescription:
    endpoint = ua.EndpointDescription()
    endpoint.EndpointUrl = url
    server = endpoint.Server
    server.ApplicationUri, server.ProductUri = APPLICATION, PRODUCT
    server.ApplicationName = ua.LocalizedText("parktwin load server")
    server.ApplicationType = ua.ApplicationType.Server
    server.DiscoveryUrls = [url]
    endpoint.SecurityMode = ua.MessageSecurityMode.None_
    endpoint.SecurityPolicyUri = POLICY_NONE.decode()
    endpoint.TransportProfileUri = (
        "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
    )
    anonymous = ua.UserTokenPolicy()
    anonymous.PolicyId, anonymous.TokenType = "anonymous", ua.UserTokenType.Anonymous
    endpoint.UserIdentityTokens = [anonymous]
    return endpoint


def _variant(number: int, kind: int, tick: int) -> ua.Variant:
    """A value as asyncua encodes it, for what is asked rarely."""
    node, built_in = np.array([number], np.int64), ua.VariantType(kind)
    match built_in:
        case ua.VariantType.Double:
            return ua.Variant(float(doubles(node, tick)[0]), built_in)
        case ua.VariantType.Float:
            return ua.Variant(float(floats(node, tick)[0]), built_in)
        case ua.VariantType.Int32:
            return ua.Variant(int(ints(node, tick)[0]), built_in)
        case ua.VariantType.Boolean:
            return ua.Variant(bool(booleans(node, tick)[0]), built_in)
        case _:
            return ua.Variant(text_of(number, tick), built_in)


def identifiers(nodes: int) -> Sequence[str]:
    """Identifiers of the nodes, as files write them."""
    return [f"i={number}" for number in range(1, nodes + 1)]


def asyncua_ids(nodes: int) -> Sequence[str]:
    """Node ids as asyncua's documentation writes them."""
    return [f"ns={INDEX};i={number}" for number in range(1, nodes + 1)]
