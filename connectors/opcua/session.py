"""Opening a session: explicit security, a verified server certificate, and who the server is."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import UaStatusCodeError
from cryptography import x509

from connectors.opcua.budget import Budget, Purpose, budget_of
from connectors.opcua.config import EndpointConfig
from connectors.opcua.guarded import GuardedClient, clock_remedy
from connectors.opcua.hooks import Ticket, connect, heed
from connectors.opcua.hooks import leave as drop
from connectors.opcua.profiles import Profile, profile_of
from connectors.opcua.refusals import REFUSALS
from connectors.opcua.reverse import WAIT_S, ReverseHello, address_key
from connectors.opcua.security import Pki, fingerprint_of, first_certificate
from connectors.opcua.users import log_in
from models.errors import Refused, TwinError, Unavailable

_log = logging.getLogger(__name__)

_HELD: Final[WeakKeyDictionary[Client, tuple[Budget, Purpose]]] = WeakKeyDictionary()
"""Sessions taken from a budget."""
_TOLD: Final[dict[str, list[ua.EndpointDescription]]] = {}
"""What servers offer that connect to us."""

PRODUCT_URI: Final = "urn:parktwin"
SESSION_TIMEOUT_MS: Final = 60_000
"""Short, so that a server soon frees the session of a gateway that died."""
MAX_MESSAGE_BYTES: Final = 64 * 2**20
_OWN_WATCHDOG_OFF_S: Final = 86_400.0
_CLOSE_S: Final = 2.0
_POLICY_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
_MODES: Final = {
    "None": ua.MessageSecurityMode.None_,
    "Sign": ua.MessageSecurityMode.Sign,
    "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a server says it is, and its namespaces in the order of this session.

    Parameters
    ----------
    application_uri, product_uri
        ServerArray[0] and BuildInfo.ProductUri; empty when the server does not tell.
    product, manufacturer
        Product name and software version, and who makes it.
    started
        ServerStatus.StartTime; None when the server does not tell.
    namespaces
        NamespaceArray.
    """

    application_uri: str
    product_uri: str
    product: str
    started: datetime | None
    namespaces: tuple[str, ...]
    manufacturer: str = ""

    @property
    def profile(self) -> Profile:
        """What servers of this kind allow."""
        return profile_of(self.manufacturer, self.product, self.product_uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """OperationLimits of a server: nodes or items per call."""

    read: int = 500
    monitor: int = 500
    browse: int = 500


class CertificateRefused(Refused):
    """The server's certificate is not good, or not trusted; carries its fingerprint."""

    def __init__(self, what: str, remedy: str, fingerprint: str) -> None:
        super().__init__(what, remedy)
        self.args = (what, remedy, fingerprint)
        self.fingerprint = fingerprint


def new_client(
    url: str, timeout_s: float, *, reverse: bool = False, first: bool = False
) -> GuardedClient:
    """A client whose own watchdog never probes: the supervision is ours.

    Parameters
    ----------
    url, timeout_s
        Address, and longest wait for an answer [s].
    reverse, first
        Wait for the server to connect, and go before others that wait too.
    """
    client = GuardedClient(url, timeout=timeout_s, watchdog_intervall=_OWN_WATCHDOG_OFF_S)
    client.name = client.description = "parktwin"
    client.product_uri = PRODUCT_URI
    client.session_timeout = SESSION_TIMEOUT_MS
    client.max_messagesize = MAX_MESSAGE_BYTES
    client.reverse, client.first = reverse, first
    return client


async def offered(
    url: str, timeout_s: float, *, reverse: bool = False
) -> list[ua.EndpointDescription]:
    """What the server offers; asked over an unsecured channel, as discovery always is."""
    client = new_client(url, timeout_s, reverse=reverse)
    async with asyncio.timeout(timeout_s + WAIT_S * reverse):
        return await _asked(client, url)


async def _asked(client: GuardedClient, url: str) -> list[ua.EndpointDescription]:
    """Ask a server what it offers; one that connects itself is asked once, until a try fails.

    Each question takes a connection, and such a server lets seconds pass before the next one.
    """
    if not client.reverse:
        return list(await client.connect_and_get_server_endpoints())
    key = address_key(url)
    if key not in _TOLD:
        endpoints = await client.connect_and_get_server_endpoints()
        if client.hello is not None:
            for endpoint in endpoints:
                _same_server(client.hello, endpoint.Server.ApplicationUri or "")
        _TOLD[key] = list(endpoints)
    return _TOLD[key]


def _same_server(hello: ReverseHello | None, application_uri: str) -> None:
    """Refuse a server that is another one than it said when it connected.

    Raises
    ------
    Refused
        With both names.
    """
    if hello is not None and hello.server_uri != application_uri:
        raise Refused(
            f"the server called as {hello.server_uri[:200]!r} and is {application_uri!r}",
            "enter its own ApplicationUri at the server",
        )


def choose(
    endpoints: Sequence[ua.EndpointDescription], config: EndpointConfig
) -> ua.EndpointDescription:
    """The endpoint with exactly the wanted policy and mode; nothing weaker is ever taken.

    Raises
    ------
    Refused
        When the server does not offer it.
    """
    for endpoint in endpoints:
        policy = _policy_name(endpoint)
        if policy == config.policy and endpoint.SecurityMode == _MODES[config.mode]:
            return endpoint
    raise Refused(
        f"the server does not offer {config.security}, only {', '.join(policies_of(endpoints))}",
        "choose one of these, or enable it on the server",
    )


def policies_of(endpoints: Sequence[ua.EndpointDescription]) -> tuple[str, ...]:
    """Policies a server offers, as the park file writes them, without repeats."""
    names: dict[str, None] = {}
    for endpoint in endpoints:
        policy = _policy_name(endpoint)
        mode = ua.MessageSecurityMode(endpoint.SecurityMode).name.rstrip("_")
        names["None" if policy == "None" else f"{policy}/{mode}"] = None
    return tuple(names)


def _policy_name(endpoint: ua.EndpointDescription) -> str:
    """Policy of an endpoint without the underscores its URI has (Aes128_Sha256_RsaOaep)."""
    uri = endpoint.SecurityPolicyUri or ""
    return uri.removeprefix(_POLICY_URI).replace("_", "")


async def secured(client: GuardedClient, config: EndpointConfig, pki: Pki | None) -> None:
    """Set security and user of a client, before it connects.

    Raises
    ------
    CertificateRefused
        When the server's certificate is not good or not trusted.
    Refused
        When the server does not offer the policy, or there is no folder for certificates.
    InputError
        When the password cannot be read.
    """
    log_in(client, config, datetime.now(UTC))
    if config.policy == "None":
        return
    if pki is None:
        raise Refused("there is no certificate folder", "start the service with a data folder")
    now = datetime.now(UTC)
    own = await asyncio.to_thread(pki.own, now)
    client.application_uri = own.application_uri
    endpoint = choose(await _asked(client, config.url), config)
    der = endpoint.ServerCertificate or b""
    _judged(pki, config, der, endpoint.Server.ApplicationUri or "")

    async def validate(certificate: x509.Certificate, server: ua.ApplicationDescription) -> None:
        # The session may present another certificate than discovery did.
        if fingerprint_of(certificate) != fingerprint_of(first_certificate(der)):
            raise Refused("the server's certificate changed while connecting", "try again")
        _same_server(client.hello, server.ApplicationUri or "")
        _judged(pki, config, der, server.ApplicationUri or "")

    client.certificate_validator = validate
    await client.set_security(
        getattr(security_policies, f"SecurityPolicy{config.policy}"),
        CertProperties(own.certificate, "der"),
        CertProperties(own.key, "pem"),
        server_certificate=CertProperties(_only_first(der), "der"),
        mode=_MODES[config.mode],
    )


def _only_first(der: bytes) -> bytes:
    return der[: int.from_bytes(der[2:4], "big") + 4]


def _judged(pki: Pki, config: EndpointConfig, der: bytes, application_uri: str) -> None:
    host = urlsplit(config.url).hostname or ""
    verdict = pki.judge(der, application_uri, datetime.now(UTC), host=host, who=config.id)
    if not verdict.ok:
        raise CertificateRefused(verdict.reason, verdict.remedy, verdict.fingerprint)


@dataclass(frozen=True, slots=True)
class Opened:
    """A connected client with an active session, and whether that is the one of the ticket."""

    client: Client
    resumed: bool


async def open_session(
    config: EndpointConfig,
    pki: Pki | None,
    timeout_s: float,
    purpose: Purpose = "browse",
) -> Client:
    """A connected client with an activated session of its own.

    Raises
    ------
    TwinError
        With cause and remedy, whatever went wrong.
    """
    return (await open_or_resume(config, pki, timeout_s, purpose, None)).client


async def open_or_resume(
    config: EndpointConfig,
    pki: Pki | None,
    timeout_s: float,
    purpose: Purpose,
    ticket: Ticket | None,
) -> Opened:
    """A connected client, with the session of a ticket if the server still knows it.

    Raises
    ------
    TwinError
        With cause and remedy, whatever went wrong.
    """
    first = purpose == "subscription"
    client = new_client(config.url, timeout_s, reverse=config.reverse, first=first)
    await reserve(client, config.url, purpose, timeout_s)
    try:
        async with asyncio.timeout(2 * (timeout_s + WAIT_S * config.reverse)):
            await secured(client, config, pki)
            opened = Opened(client, await connect(client, ticket, MAX_MESSAGE_BYTES))
            heed()
            return opened
    except BaseException as fault:
        if client.hello is not None or isinstance(fault, Refused):
            # What is kept may be what was refused: a new certificate is seen only by asking anew.
            forget_offered(config.url)
        await close(client)
        if isinstance(fault, TwinError) or not isinstance(fault, Exception):
            raise
        what, remedy = explain(fault)
        what += ours_of(fault, config.url)
        raise Unavailable(what, "; ".join(filter(None, (clock_remedy(client), remedy)))) from fault


def forget_offered(url: str) -> None:
    """Ask a server that connects itself anew what it offers."""
    _TOLD.pop(address_key(url), None)


def ours_of(fault: BaseException, url: str) -> str:
    """Who of us has sessions, when a server says that it has none left; else empty."""
    if not isinstance(fault, UaStatusCodeError):
        return ""
    if ua.StatusCode(ua.UInt32(fault.code)).name not in _NONE_LEFT:
        return ""
    return f"; ours: {budget_of(url)}"


async def reserve(client: Client, url: str, purpose: Purpose, timeout_s: float) -> None:
    """Take a session of the server's budget for a client, until it is closed.

    Raises
    ------
    Unavailable
        When none becomes free in time.
    """
    budget = budget_of(url)
    await budget.take(purpose, timeout_s)
    _HELD[client] = (budget, purpose)


async def close(client: Client) -> None:
    """Close session, channel and socket; never raises, never waits long for a dead server."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_S):
            await client.disconnect()
    with contextlib.suppress(Exception):
        client.disconnect_socket()
    _give_back(client)


async def leave(client: Client) -> None:
    """Close channel and socket, and leave the session with its subscriptions to be taken up."""
    await drop(client)
    _give_back(client)


def _give_back(client: Client) -> None:
    held = _HELD.pop(client, None)
    if held is not None:
        held[0].give_back(held[1])


async def read_identity(client: Client) -> Identity:
    """Ask the server who it is; nothing is taken from an earlier session."""
    values = await read_values(
        client,
        [
            ObjectIds.Server_NamespaceArray,
            ObjectIds.Server_ServerArray,
            ObjectIds.Server_ServerStatus_StartTime,
            ObjectIds.Server_ServerStatus_BuildInfo_ProductUri,
            ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
            ObjectIds.Server_ServerStatus_BuildInfo_SoftwareVersion,
            ObjectIds.Server_ServerStatus_BuildInfo_ManufacturerName,
        ],
    )
    namespaces, servers, started, product_uri, name, version, manufacturer = values
    if not isinstance(namespaces, list):
        raise Unavailable("the server does not tell its namespaces", "update its firmware")
    server = servers[0] if isinstance(servers, list) and servers else ""
    return Identity(
        application_uri=str(server or ""),
        product_uri=str(product_uri or ""),
        product=" ".join(str(part) for part in (name, version) if part),
        started=started if isinstance(started, datetime) else None,
        namespaces=tuple(str(uri or "") for uri in namespaces),
        manufacturer=str(manufacturer or ""),
    )


async def read_values(client: Client, ids: Sequence[int]) -> list[object]:
    """Values of nodes of the base namespace; None where the server has none."""
    nodes = [ua.NodeId(ua.Int32(int(i)), ua.Int16(0)) for i in ids]
    results = await client.uaclient.read_attributes(nodes, AttributeIds.Value)
    return [
        r.Value.Value if r.Value is not None and (r.StatusCode is None or r.StatusCode.is_good())
        else None
        for r in results
    ]  # fmt: skip


async def read_limits(client: Client) -> Limits:
    """OperationLimits, with 500 where the server states none (0 means none too)."""
    values = await read_values(
        client,
        [
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall,
            ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        ],
    )
    stated = [v if isinstance(v, int) and 0 < v <= 1000 else 500 for v in values]
    return Limits(read=stated[0], monitor=stated[1], browse=stated[2])


_NONE_LEFT: Final = ("BadTooManySessions", "BadMaxConnectionsReached")
_FAULTS: Final = {
    "BadTooManySessions": (
        "the server has no session left",
        "close other clients, or wait until their sessions time out",
    ),
    "BadMaxConnectionsReached": (
        "the server has no session left",
        "close other clients, or wait until their sessions time out",
    ),
    "BadRequestTooLarge": (
        "the server sent a message above 64 MB",
        "take large arrays out of the mapping",
    ),
    "BadTcpMessageTooLarge": (
        "the server sent a message above 64 MB",
        "take large arrays out of the mapping",
    ),
    "BadTcpEndpointUrlInvalid": ("the server knows no such address", "check the path of the url"),
    "BadTimeout": ("the server did not answer in time", "check the network and the server's load"),
}


def explain(fault: BaseException) -> tuple[str, str]:
    """What a fault of the network or of asyncua means, and what to do, in plain words."""
    if isinstance(fault, TwinError):
        return str(getattr(fault, "what", fault)), str(getattr(fault, "remedy", ""))
    if isinstance(fault, UaStatusCodeError):
        name = ua.StatusCode(ua.UInt32(fault.code)).name
        what, remedy = REFUSALS.get(name) or _FAULTS.get(
            name, ("the server refuses", "look at the server's own log for the reason")
        )
        return f"{what} ({name})", remedy
    if isinstance(fault, ConnectionRefusedError):
        return "connection refused", "is the server running, and is the port right?"
    if isinstance(fault, TimeoutError):
        return "no answer in time", "check address, cable, firewall, and that it is an OPC UA port"
    if isinstance(fault, ConnectionError):
        return f"connection lost ({fault})", "is it an OPC UA server, and is it still running?"
    if isinstance(fault, OSError):
        return f"the address cannot be reached ({fault.strerror or fault})", "check the host name"
    return f"unexpected answer ({type(fault).__name__}: {fault})", "is it an OPC UA server?"
