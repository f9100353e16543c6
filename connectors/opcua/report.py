"""What an endpoint tells about itself: status, test steps and browsed nodes, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class EndpointState(StrEnum):
    """Where an endpoint stands."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    QUARANTINED = "quarantined"
    """Connected, but its namespaces or identity do not match: no value counts until they do."""
    OFFLINE = "offline"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """One endpoint as its gateway sees it now.

    Parameters
    ----------
    id, url, security
        As registered; security e.g. ``None`` or ``Basic256Sha256/SignAndEncrypt``.
    state, cause
        Where it stands, and why when it is not connected.
    since_us
        Wall time of the last change of state [us].
    requested, accepted, delivering
        Items asked for, accepted by the server, and having sent a value.
    values_per_s
        Mean over the last 10 s.
    lag_ms
        Receive time minus source time, median of the last 10 s, after the time policy [ms].
    clock_offset_s
        Measured offset of the source clock to ours [s]; None before it was measured.
    time_policy
        ``source``, ``server`` or ``receive``: which time becomes `at`.
    bridge_s
        Seconds of outage the server's revised queues survive.
    gaps, lost
        Coverage gaps since start, and values known to be lost.
    rejected
        Node ids the server refused, with the reason.
    overflows
        Values before which the server dropped others.
    resumed, republished, backfilled
        Returns to the same subscriptions, messages had once more, and values of its history.
    profile
        Kind of server, where it is known; its limits are kept.
    failovers
        Times another of its redundant servers took the lead.
    bad, values
        Values with a bad status, and all of them, since the endpoint was started.
    reconnects
        Sessions after the first.
    frozen
        Why the endpoint, or which of its devices, is frozen; empty when it lives.
    suggested_policy
        The time policy its clock asks for; empty when the one it has is right.
    last_gaps
        The newest gaps: from, to (park time) and cause.
    gateway
        Name of the gateway that reads it; empty before that is known.
    certificate_us, own_certificate_us
        When the certificate its server showed last expires, and the one its gateway shows it
        [wall time, us]; None while no certificate was seen.
    model_changes
        Times its server said that it has got or lost nodes (the notifier i=2253 among `events`).
    new_nodes
        Nodes that rules of the park file take and that wait for a review.
    gone, gone_nodes
        How many mapped nodes its server had no more when the rules were looked at, and the first
        of them.
    rules_us, rules_fault
        When the rules were looked at last [wall time, us; None: never], and why that failed.
    """

    id: str
    url: str
    security: str = "None"
    state: EndpointState = EndpointState.CONNECTING
    cause: str = ""
    since_us: int = 0
    requested: int = 0
    accepted: int = 0
    delivering: int = 0
    values_per_s: float = 0.0
    lag_ms: float | None = None
    clock_offset_s: float | None = None
    time_policy: str = "source"
    bridge_s: float | None = None
    gaps: int = 0
    lost: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    overflows: int = 0
    resumed: int = 0
    republished: int = 0
    backfilled: int = 0
    profile: str = ""
    failovers: int = 0
    bad: int = 0
    values: int = 0
    reconnects: int = 0
    frozen: str = ""
    suggested_policy: str = ""
    last_gaps: tuple[Mapping[str, str], ...] = ()
    gateway: str = ""
    certificate_us: int | None = None
    own_certificate_us: int | None = None
    model_changes: int = 0
    new_nodes: int = 0
    gone: int = 0
    gone_nodes: tuple[str, ...] = ()
    rules_us: int | None = None
    rules_fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStep:
    """One step of an endpoint test: connect, security, session, namespaces, read, subscribe."""

    __test__ = False

    step: str
    ok: bool
    detail: str
    remedy: str = ""
    ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointTest:
    """Outcome of an endpoint test; `ok` only when every step passed."""

    url: str
    ok: bool
    steps: tuple[TestStep, ...]
    namespaces: tuple[str, ...] = ()
    product: str = ""
    policies: tuple[str, ...] = ()
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowsedNode:
    """One node of a server's address space.

    Parameters
    ----------
    node
        ``nsu=<URI>;<identifier>``; never a bare index.
    name, node_class, data_type
        Display name; Object, Variable or Method; data type name of a variable.
    value, unit, status
        Present value as text, engineering unit if the server tells it, StatusCode.
    path
        Browse path from the Objects folder, ``/`` between names.
    has_children
        Whether browsing below it makes sense.
    proposal
        Proposed tag path in the park; empty when nothing fits.
    confidence
        0..1, how sure the proposal is.
    why
        What the proposal rests on (name, unit, type).
    """

    node: str
    name: str
    node_class: str
    path: str
    data_type: str = ""
    value: str = ""
    unit: str = ""
    status: int = 0
    has_children: bool = False
    proposal: str = ""
    confidence: float = 0.0
    why: str = ""
