"""What a source needs to know about its endpoint."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from models.errors import InputError
from twin.parkfile.schema import Endpoint
from twin.tags import TagRow

POLICIES = ("Aes256Sha256RsaPss", "Aes128Sha256RsaOaep", "Basic256Sha256")
"""Security policies we speak, strongest first. Basic128Rsa15 and Basic256 are broken."""
MODES = ("Sign", "SignAndEncrypt")
REFERENCES = ("env:", "file:", "keyring:")
TIME_POLICIES = ("source", "server", "receive")
_QUEUE_LEAST = 10
"""A queue of one publishing interval overflows as soon as a publish is late; ten hold a pause."""


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
    sampling_ms
        Sampling interval asked for [ms]; None takes the endpoint's.
    """

    tag: int
    namespace: str
    identifier: str
    scale: float = 1.0
    sampling_ms: float | None = None

    @property
    def node(self) -> str:
        """The node as files write it."""
        return f"nsu={self.namespace};{self.identifier}"


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
        Queue of each item at the server; 0 computes it from the intervals and `queue_margin`.
    poll
        Read in a cycle of `sampling_ms` instead of subscribing, for servers that cannot.
    enabled
        A disabled endpoint is not connected.
    application_uri
        ApplicationUri the server must have; empty accepts what it says at first contact.
    items
        What is read.
    """

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
        if not re.fullmatch(r"opc\.tcp://[^\s/@]+:\d+(/\S*)?", self.url):
            raise InputError(
                f"{self.url!r} is no OPC UA address",
                "write it like opc.tcp://10.0.4.21:4840, without user and password",
                "url",
            )
        self._check_security()
        if self.time_policy not in TIME_POLICIES:
            raise InputError(f"{self.time_policy!r}", f"one of {TIME_POLICIES}", "time_policy")
        for name in ("sampling_ms", "publishing_ms", "queue_margin"):
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

    def queue_for(self, sampling_ms: float) -> int:
        """Queue size to ask for: what one publishing interval brings, times the margin."""
        if self.queue_size:
            return self.queue_size
        needed = math.ceil(self.publishing_ms / max(sampling_ms, 1.0))
        return max(_QUEUE_LEAST, math.ceil(needed * self.queue_margin))


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
    endpoint: Endpoint, rows: Iterable[TagRow], *, url: str | None = None
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
    rates = _sampling_rules(endpoint)
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
        items=items_of(rows, endpoint.id, rates),
    )


def items_of(
    rows: Iterable[TagRow], endpoint: str, rates: Mapping[re.Pattern[str], float] | None = None
) -> tuple[Item, ...]:
    """Items of one endpoint, from open rows of the tag dictionary.

    Parameters
    ----------
    rows
        Rows of the dictionary; closed ones and those of other endpoints are left out.
    endpoint
        Id of the endpoint.
    rates
        Sampling interval [ms] of the nodes that match a pattern.
    """
    found: list[Item] = []
    for row in rows:
        b = row.binding
        if b.endpoint != endpoint or row.valid_to_us is not None or not b.identifier:
            continue
        rate = next((ms for p, ms in (rates or {}).items() if p.fullmatch(b.node)), None)
        found.append(
            Item(
                tag=row.tag,
                namespace=b.namespace,
                identifier=b.identifier,
                scale=b.scale,
                sampling_ms=rate,
            )
        )
    return tuple(found)


def _sampling_rules(endpoint: Endpoint) -> dict[re.Pattern[str], float]:
    rules: dict[re.Pattern[str], float] = {}
    for mapping in endpoint.map:
        if mapping.sampling is None:
            continue
        pieces = re.split(r"\{\w+\}", mapping.match)
        rules[re.compile("(.+?)".join(map(re.escape, pieces)))] = mapping.sampling * 1000.0
    return rules
