"""What a source needs to know about its endpoint."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from pydantic import ConfigDict

from models.errors import InputError
from twin.notifiers import is_notifier
from twin.parkfile.placeholders import paired
from twin.parkfile.schema import Endpoint
from twin.tags import TagRow

POLICIES = ("Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256")
"""Security policies we speak, strongest first. Basic128Rsa15 and Basic256 are broken."""
MODES = ("Sign", "SignAndEncrypt")
REFERENCES = ("env:", "file:", "keyring:")
TIME_POLICIES = ("source", "server", "receive")
REDUNDANCIES = ("cold", "warm", "hot")
_QUEUE_LEAST = 10
"""A queue of one publishing interval overflows as soon as a publish is late; ten hold a pause."""


_READ = ConfigDict(extra="forbid")
"""Plain data with other fields is of another version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One monitored node: its tag, its address, and how its value is stored.

    Parameters
    ----------
    tag
        Tag id of the dictionary.
    namespace, identifier
        Namespace URI and identifier with its type, e.g. ``s=L1.P01.Power``.
    scale
        The stored value is the source's times this.
    sampling_ms, publishing_ms
        Intervals asked for [ms]; None takes the endpoint's.
    deadband
        Least change that is sent, in the source's unit; 0 sends every change.
    deadband_percent
        The deadband is in percent of the node's range (EURange) instead.
    writable_by
        Roles that may write this node; by default nobody. What is read stays the same with others.
    group
        Device it belongs to: the asset of its tag path. Values of one device freeze together.
    """

    __pydantic_config__: ClassVar = _READ

    tag: int
    namespace: str
    identifier: str
    scale: float = 1.0
    sampling_ms: float | None = None
    publishing_ms: float | None = None
    deadband: float = 0.0
    deadband_percent: bool = False
    writable_by: frozenset[str] = field(default=frozenset(), compare=False)
    group: str = ""

    @property
    def node(self) -> str:
        """The node as files write it."""
        return f"nsu={self.namespace};{self.identifier}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """A node whose events are taken, as files write nodes, and the tag they are stored under."""

    __pydantic_config__: ClassVar = _READ

    tag: int
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a mapping asks for its nodes; None takes the endpoint's."""

    sampling_ms: float | None = None
    publishing_ms: float | None = None
    deadband: float = 0.0
    deadband_percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    """An endpoint and its items.

    Parameters
    ----------
    id, url
        Id in the park, and ``opc.tcp://host:port/path``.
    policy, mode
        ``None``/``None``, or one of `POLICIES` with one of `MODES`. Never negotiated downwards.
    allow_insecure
        Has to be said for policy None.
    user, password
        User name, and where its password is (``env:``, ``file:`` or ``keyring:``); empty for
        anonymous.
    user_certificate, user_key
        Where the certificate and key of a user without a name are; then `password` is the key's
        passphrase.
    time_policy
        Which time becomes `at`: ``source``, ``server`` or ``receive``.
    sampling_ms, publishing_ms
        Intervals asked for [ms].
    queue_size
        Queue of each item at the server; 0 computes it from the intervals, `queue_margin` and
        `bridge_s`.
    bridge_s
        Outage the server's queues should hold [s]; it may grant less.
    spares
        Addresses of redundant servers with the same nodes, in order of preference.
    redundancy
        ``cold``: a spare is asked when the first is lost; ``warm``: a session to it is kept open;
        ``hot``: it is subscribed too, and what both tell is stored once.
    events
        Notifiers whose events are taken (``i=2253`` is the server itself).
    callable_by
        Methods (``<object> <method>``, as files write nodes) and the roles that may call them; by
        default none.
    heartbeat, heartbeat_s
        Node of the device behind the server that changes at least this often [s]; when it does not,
        the endpoint is frozen although its server answers. Empty for none.
    reverse
        The server connects to us (reverse connect); it has to claim exactly `url`.
    poll
        Read in a cycle of `sampling_ms` instead of subscribing, for servers that cannot.
    enabled
        A disabled endpoint is not connected.
    application_uri
        ApplicationUri the server must have; empty accepts what it says at first contact.
    items
        What is read.
    """

    __pydantic_config__: ClassVar = _READ

    id: str
    url: str
    policy: str = "None"
    mode: str = "None"
    allow_insecure: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    user_certificate: str = ""
    user_key: str = ""
    time_policy: str = "source"
    sampling_ms: float = 1000.0
    publishing_ms: float = 1000.0
    queue_size: int = 0
    queue_margin: float = 2.0
    bridge_s: float = 10.0
    spares: tuple[str, ...] = ()
    redundancy: str = "cold"
    events: tuple[Notifier, ...] = ()
    callable_by: tuple[tuple[str, frozenset[str]], ...] = field(default=(), compare=False)
    heartbeat: str = ""
    heartbeat_s: float = 60.0
    reverse: bool = False
    poll: bool = False
    enabled: bool = True
    application_uri: str = ""
    items: tuple[Item, ...] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without the network.

        Raises
        ------
        InputError
            With the field at fault.
        """
        for field_, urls in (("url", (self.url,)), ("spares", self.spares)):
            for url in urls:
                if not re.fullmatch(r"opc\.tcp://[^\s/@]+:\d+(/\S*)?", url):
                    raise InputError(
                        f"{url!r} is no OPC UA address",
                        "write it like opc.tcp://10.0.4.21:4840, without user and password",
                        field_,
                    )
        if self.poll and self.events:
            raise InputError(
                "an endpoint that is polled tells no events",
                "leave the notifiers out, or subscribe",
                "events",
            )
        if self.redundancy not in REDUNDANCIES:
            raise InputError(f"{self.redundancy!r}", f"one of {REDUNDANCIES}", "redundancy")
        if self.reverse and self.spares:
            raise InputError(
                "an endpoint with reverse connect has no spares",
                "leave them out, or let us connect to the server",
                "spares",
            )
        self._check_security()
        if self.time_policy not in TIME_POLICIES:
            raise InputError(f"{self.time_policy!r}", f"one of {TIME_POLICIES}", "time_policy")
        if self.heartbeat and not re.fullmatch(r"(nsu=[^;]+;)?[isgb]=.+", self.heartbeat):
            raise InputError(
                f"{self.heartbeat!r} is no node", "write nsu=<URI>;s=<name>", "heartbeat"
            )
        for name in ("sampling_ms", "publishing_ms", "queue_margin", "bridge_s", "heartbeat_s"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise InputError(f"{value!r}", "must be above 0", name)

    def _check_security(self) -> None:
        if self.policy == "None":
            if self.mode != "None":
                raise InputError("policy None has no mode", "leave the mode out", "mode")
            if not self.allow_insecure:
                raise InputError(
                    "security None is not allowed",
                    "choose a policy, or say allow_insecure for this endpoint",
                    "policy",
                )
        elif self.policy not in POLICIES:
            raise InputError(f"policy {self.policy!r}", f"one of {POLICIES}", "policy")
        elif self.mode not in MODES:
            raise InputError(f"mode {self.mode!r}", f"one of {MODES}", "mode")
        check_login(self)

    @property
    def security(self) -> str:
        """Policy and mode in one word, as the park file writes it."""
        return "None" if self.policy == "None" else f"{self.policy}/{self.mode}"

    def intervals_of(self, item: Item) -> tuple[float, float]:
        """Publishing and sampling interval to ask for [ms]."""
        return (
            item.publishing_ms or self.publishing_ms,
            item.sampling_ms or self.sampling_ms,
        )

    def queue_for(self, sampling_ms: float, publishing_ms: float | None = None) -> int:
        """Queue size to ask for: what an interval brings, times the margin, or the bridge time."""
        if self.queue_size:
            return self.queue_size
        per = max(sampling_ms, 1.0)
        needed = math.ceil((publishing_ms or self.publishing_ms) / per)
        bridge = math.ceil(self.bridge_s * 1000.0 / per)
        return max(_QUEUE_LEAST, math.ceil(needed * self.queue_margin), bridge)

    @property
    def digest(self) -> str:
        """Stands for everything a subscription rests on: the same digest may take it up again."""
        told = (self.sampling_ms, self.publishing_ms, self.queue_size, self.bridge_s, self.events)
        items = [
            (i.tag, i.node, i.sampling_ms, i.publishing_ms, i.deadband, i.deadband_percent)
            for i in self.items
        ]
        return hashlib.sha256(repr((self.url, self.security, told, items)).encode()).hexdigest()


def check_login(config: EndpointConfig) -> None:
    """Refuse a login that says too much or too little.

    Raises
    ------
    InputError
        With the field at fault.
    """
    if (config.user or config.user_certificate) and config.policy == "None":
        raise InputError(
            "a password would travel in plain text", "choose a security policy", "user"
        )
    if config.user and config.user_certificate:
        raise InputError(
            "a user logs in by name and password, or by certificate",
            "leave one of them out",
            "user_certificate",
        )
    if bool(config.user_certificate) != bool(config.user_key):
        missing = "user_key" if config.user_certificate else "user_certificate"
        raise InputError("a user's certificate comes with its key", "give both", missing)
    for name in ("password", "user_certificate", "user_key"):
        value = getattr(config, name)
        if value and not value.startswith(REFERENCES):
            raise InputError(
                f"a {name.replace('_', ' ')} is given by reference only",
                "write env:PARKTWIN_NAME, file:NAME or keyring:NAME",
                name,
            )


def endpoint_config(
    endpoint: Endpoint, rows: Sequence[TagRow], *, url: str | None = None
) -> EndpointConfig:
    """Configuration of a park file's endpoint.

    Parameters
    ----------
    endpoint
        As the park file has it.
    rows
        Open rows of the tag dictionary; those of other endpoints are left out.
    url
        Address that takes the place of the file's, e.g. a demo's own port.
    """
    policy, _, mode = endpoint.security.partition("/")
    rates = _rules(endpoint)
    return EndpointConfig(
        id=endpoint.id,
        url=url or endpoint.url,
        policy=policy,
        mode=mode or "None",
        allow_insecure=endpoint.allow_insecure,
        user=endpoint.user,
        password=endpoint.password,
        user_certificate=endpoint.user_certificate,
        user_key=endpoint.user_key,
        time_policy=endpoint.time_policy,
        sampling_ms=endpoint.sampling * 1000.0,
        publishing_ms=endpoint.publishing * 1000.0,
        bridge_s=endpoint.bridge,
        spares=endpoint.spares,
        redundancy=endpoint.redundancy,
        events=notifiers_of(rows, endpoint.id),
        callable_by=tuple(
            (method, frozenset(roles)) for method, roles in endpoint.callable_by.items()
        ),
        heartbeat=endpoint.heartbeat,
        heartbeat_s=endpoint.heartbeat_within,
        reverse=endpoint.reverse,
        items=tuple(_allowed(endpoint, items_of(rows, endpoint.id, rates), rows)),
    )


def _allowed(endpoint: Endpoint, items: Iterable[Item], rows: Sequence[TagRow]) -> Iterator[Item]:
    """Items with the roles that may write them.

    Only where node and path are bound as the file binds them: a tag that was mapped anew at run
    time to another node may not be written through what the file says of the old one.
    """
    allowed = [
        (paired(mapping.match, mapping.to), frozenset(mapping.writable_by))
        for mapping in endpoint.map
        if mapping.writable_by
    ]
    paths = {row.tag: row.binding.path.partition("/")[2] for row in rows}
    for item in items:
        fits = (
            roles for pair, roles in allowed if pair.fullmatch(f"{item.node}\n{paths[item.tag]}")
        )
        roles = next(fits, frozenset[str]())
        yield replace(item, writable_by=roles) if roles else item


def items_of(
    rows: Iterable[TagRow],
    endpoint: str,
    rates: Mapping[re.Pattern[str], Rate] | None = None,
) -> tuple[Item, ...]:
    """Items of one endpoint, from open rows of the tag dictionary.

    Parameters
    ----------
    rows
        Rows of the dictionary; closed ones and those of other endpoints are left out.
    endpoint
        Id of the endpoint.
    rates
        Intervals and deadband of the nodes that match a pattern.
    """
    found: list[Item] = []
    for row in rows:
        b = row.binding
        if b.endpoint != endpoint or row.valid_to_us is not None or not b.identifier:
            continue
        if is_notifier(b):
            continue
        rate = next((r for p, r in (rates or {}).items() if p.fullmatch(b.node)), Rate())
        found.append(
            Item(
                tag=row.tag,
                namespace=b.namespace,
                identifier=b.identifier,
                scale=b.scale,
                sampling_ms=rate.sampling_ms,
                publishing_ms=rate.publishing_ms,
                deadband=rate.deadband,
                deadband_percent=rate.deadband_percent,
                group=b.path.rpartition("/")[0],
            )
        )
    return tuple(found)


def notifiers_of(rows: Iterable[TagRow], endpoint: str) -> tuple[Notifier, ...]:
    """Notifiers of one endpoint, from open rows of the tag dictionary."""
    return tuple(
        Notifier(tag=row.tag, node=row.binding.node)
        for row in rows
        if row.binding.endpoint == endpoint and row.valid_to_us is None and is_notifier(row.binding)
    )


def rate_of(deadband: str) -> Rate:
    """What a deadband asks for: a number in the source's unit, or ``2 %`` of the node's range."""
    number = float(deadband.rstrip(" %") or 0.0)
    return Rate(deadband=number, deadband_percent=deadband.endswith("%"))


def _rules(endpoint: Endpoint) -> dict[re.Pattern[str], Rate]:
    rules: dict[re.Pattern[str], Rate] = {}
    for mapping in endpoint.map:
        rate = replace(
            rate_of(mapping.deadband),
            sampling_ms=_ms(mapping.sampling),
            publishing_ms=_ms(mapping.publishing),
        )
        if rate != Rate():
            pieces = re.split(r"\{\w+\}", mapping.match)
            rules[re.compile("(.+?)".join(map(re.escape, pieces)))] = rate
    return rules


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000.0
