"""Every place where we reach below asyncua's public face; `PINNED` lists the names.

asyncua keeps the socket, the secure channel and the session's cryptography. What it does with
values (decoding into objects, one publish request at a time, its own reconnect and its stale
watchdog) is replaced, which needs names it calls private. They are all here, and a contract test
looks for each of them in the installed version, so that an upgrade fails there and not in a plant.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary, struct_to_binary
from asyncua.ua.uaerrors import UaError

from connectors.opcua.kernel import Bytes
from connectors.opcua.wire import as_bytes

PINNED: Final = {
    "asyncua.client.ua_session:UaSession._send_request": ("request", "timeout", "message_type"),
    "asyncua.client.ua_session:UaSession.ensure_publish_loop": (),
    "asyncua.client.ua_session:UaSession.restore_authentication_token": ("token",),
    "asyncua.client.ua_session:UaSession._publish_loop": (),
    "asyncua.client.client:Client._create_and_activate_session": (),
    "asyncua.client.client:Client._activate_with_credentials": (),
    "asyncua.client.client:Client._start_renew_loop": (),
    "asyncua.client.client:Client._teardown_transport_only": (),
    "asyncua.client.client:Client.connect_socket": (),
    "asyncua.client.client:Client.send_hello": (),
    "asyncua.client.client:Client.open_secure_channel": ("renew",),
    "asyncua.client.client:Client.find_endpoint": ("endpoints", "security_mode", "policy_uri"),
    "asyncua.client.ua_client:UaClient._make_protocol": (),
    "asyncua.client.ua_client:UaClient._set_state": ("target",),
    "asyncua.client.ua_client:UASocketProtocol.connection_made": ("transport",),
    "asyncua.client.ua_client:UASocketProtocol._setup_request_header": ("hdr", "timeout"),
    "asyncua.client.ua_client:UASocketProtocol.revolve_security_token": (),
    "asyncua.client.ua_client:UASocketProtocol.check_answer": ("data", "context"),
    "asyncua.common.connection:SecureConnection.message_to_binary": (
        "message",
        "message_type",
        "request_id",
    ),
    "asyncua.common.utils:Buffer.__bytes__": (),
}
"""Functions we call or replace, with the parameters we rely on."""
PINNED_FIELDS: Final = {
    "asyncua.client.client:Client": ("_server_nonce", "_policy_ids", "_renew_channel_task"),
    "asyncua.client.ua_session:UaSession": ("authentication_token", "_publish_task", "_client"),
    "asyncua.client.ua_client:UASocketProtocol": (
        "authentication_token",
        "_connection",
        "_request_id",
        "_callbackmap",
        "transport",
    ),
    "asyncua.common.connection:SecureConnection": ("_limits",),
    "asyncua.common.connection:TransportLimits": ("max_message_size",),
}
"""Attributes of instances we read or set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What is needed to take up a session again on another connection (Part 4, 6.7).

    Parameters
    ----------
    token
        Authentication token, encoded as a NodeId.
    nonce
        Last nonce of the server, which the next activation signs.
    """

    token: bytes
    nonce: bytes


async def connect(client: Client, ticket: Ticket | None, largest_bytes: int) -> bool:
    """Open socket and channel, and take up the ticket's session or begin a new one.

    Neither asyncua's supervisor nor its stale watchdog is started.

    Parameters
    ----------
    client
        A client that is not connected, with its security set.
    ticket
        Session to take up; None begins a new one.
    largest_bytes
        Messages above this end the connection; asyncua itself would take any.

    Returns
    -------
    bool
        Whether the session is the ticket's.
    """
    client.uaclient.session.ensure_publish_loop = _no_loop  # type: ignore[method-assign]
    client.uaclient.clear_disconnect_request()
    await client.connect_socket()
    try:
        await client.send_hello()
        hold_to(client, largest_bytes)
        await client.open_secure_channel()
        resumed = ticket is not None and await _resumed(client, ticket)
        if not resumed:
            await client._create_and_activate_session()
        client._start_renew_loop()
    except BaseException:
        client.disconnect_socket()
        raise
    return resumed


def hold_to(client: Client, largest_bytes: int) -> None:
    """Bound the messages of a connection, whatever its other side has answered to our hello.

    asyncua takes over the limits of that answer, where 0 stands for none.
    """
    protocol = client.uaclient.protocol
    if protocol is not None:
        limits = protocol._connection._limits
        limits.max_message_size = min(limits.max_message_size or largest_bytes, largest_bytes)


def adopt(client: Client, transport: asyncio.Transport) -> None:
    """Give a client a connection that its server has opened, as if the client had opened it."""
    inner = client.uaclient
    inner._set_state(UaClientState.CONNECTING)
    protocol = inner._make_protocol()
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    inner._set_state(UaClientState.SOCKET_OPEN)


def _no_loop() -> None:
    """Stands in for asyncua's publish loop: ours runs instead."""


async def _resumed(client: Client, ticket: Ticket) -> bool:
    """Activate a session of an earlier connection; false when the server knows it no more."""
    session = client.uaclient.session
    try:
        found = client.find_endpoint(
            await client.get_endpoints(), client.security_policy.Mode, client.security_policy.URI
        )
        client._policy_ids = found.UserIdentityTokens
        session.restore_authentication_token(nodeid_from_binary(Buffer(ticket.token)))
        client._server_nonce = ticket.nonce  # type: ignore[assignment]
        await client._activate_with_credentials()
    except (UaError, NotEnoughData, ValueError):
        session.restore_authentication_token(ua.NodeId())
        client._server_nonce = None
        return False
    return True


def ticket_of(client: Client) -> Ticket | None:
    """What it takes to take up this client's session again."""
    token = client.uaclient.session.authentication_token
    if token.is_null():
        return None
    return Ticket(token=nodeid_to_binary(token), nonce=client._server_nonce or b"")


async def leave(client: Client) -> None:
    """Drop the connection, and leave the session at the server as it is; never raises."""
    with contextlib.suppress(Exception):
        client.uaclient.request_disconnect()
        await client._teardown_transport_only()
    with contextlib.suppress(Exception):
        client.disconnect_socket()


def heed() -> None:
    """End this task if that was asked of it.

    `asyncio.wait_for`, by which asyncua waits, forgets a cancellation that comes in the same moment
    as its answer (CPython 86296): the task would go on as if nobody had wanted it to stop.

    Raises
    ------
    asyncio.CancelledError
        When it was cancelled before.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def send(client: Client, request: object, timeout_s: float) -> Bytes:
    """Send a request of a session; the bytes of its answer, undecoded.

    Parameters
    ----------
    client
        Connected client.
    request
        An asyncua request structure.
    timeout_s
        Longest wait [s]; 0 waits for ever.

    Raises
    ------
    asyncua.ua.uaerrors.UaStatusCodeError
        When the server answers with a fault.
    """
    answer = await client.uaclient.session._send_request(request, timeout=timeout_s)
    heed()
    return as_bytes(bytes(answer))


class Encoded:
    """A request whose parameters are encoded once and sent many times.

    Parameters
    ----------
    request
        An asyncua request structure, complete but for its header.
    """

    def __init__(self, request: ua.ReadRequest | ua.PublishRequest) -> None:
        self._kind = type(request).__name__
        self._type = nodeid_to_binary(request.TypeId)
        self.parameters = struct_to_binary(request.Parameters)

    @classmethod
    def of(cls, kind: str, number: int, parameters: bytes) -> "Encoded":
        """A request whose parameters are bytes already; `number` is that of its encoding."""
        made = cls.__new__(cls)
        made._kind, made.parameters = kind, parameters
        made._type = nodeid_to_binary(ua.FourByteNodeId(ua.Int32(number)))
        return made

    def bytes_with(self, header: ua.RequestHeader) -> bytes:
        """The whole request."""
        return bytes(self._type + struct_to_binary(header) + self.parameters)


async def send_encoded(client: Client, request: Encoded, timeout_s: float) -> Bytes:
    """As `send`, without encoding the parameters again.

    Raises
    ------
    ConnectionError
        When there is no connection.
    asyncua.ua.uaerrors.UaStatusCodeError
        When the server answers with a fault.
    """
    protocol = client.uaclient.protocol
    if protocol is None or protocol.transport is None:
        raise ConnectionError("connection is not open")
    header = ua.RequestHeader()
    protocol._setup_request_header(header, timeout_s)
    protocol.revolve_security_token()
    number = protocol._request_id + 1
    message = protocol._connection.message_to_binary(request.bytes_with(header), request_id=number)
    protocol._request_id = number
    answer: asyncio.Future[Buffer] = asyncio.get_running_loop().create_future()
    protocol._callbackmap[number] = answer
    protocol.transport.write(message)
    if timeout_s:
        async with asyncio.timeout(timeout_s):
            body = await answer
    else:
        body = await answer
    protocol.check_answer(body, f" in response to {request._kind}")
    return as_bytes(bytes(body))


def is_open(client: Client) -> bool:
    """Whether the connection still stands, as far as the socket knows."""
    return client.uaclient.state is UaClientState.CONNECTED


def is_cut(client: Client) -> bool:
    """Whether the connection ends, also when that is not through yet.

    asyncua gives every request under way the status with which a connection ends: from such a
    fault alone nobody can tell an answer of the server from none.
    """
    protocol = client.uaclient.protocol
    transport = None if protocol is None else protocol.transport
    return transport is None or transport.is_closing() or not is_open(client)
