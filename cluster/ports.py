"""What the faces may ask of the house: one protocol, shared by pages, routes and the command line.

The implementation is `cluster.service`; a page or a route knows only this. Values are frozen
dataclasses of the rooms below, re-exported here; tables are Arrow. Errors are those of
`models.errors`, re-exported too. Every method may raise `NotFound` for an unknown park.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from cluster.control_ports import Control
from cluster.errand_report import Report
from cluster.plant_address import with_gateway
from connectors.opcua.report import (
    BrowsedNode,
    EndpointState,
    EndpointStatus,
    EndpointTest,
    TestStep,
)
from models.errors import (
    Conflict,
    InputError,
    InvalidInput,
    NotFound,
    Problem,
    Refused,
    TwinError,
    Unavailable,
)
from twin.alarms import Alarm, AlarmState, Priority
from twin.figures import Action, FigureSpec, Headroom
from twin.label import Label
from twin.tags import TagChange
from twin.whatif.outcome import Outcome, Provenance

__all__ = [
    "Action",
    "Alarm",
    "AlarmState",
    "Asset",
    "BrowsedNode",
    "CertificateEntry",
    "Certificates",
    "Conflict",
    "EndpointSpec",
    "EndpointState",
    "EndpointStatus",
    "EndpointTest",
    "FigureSpec",
    "Frame",
    "GatewayTokenEntry",
    "Headroom",
    "HistoryQuery",
    "InputError",
    "InvalidInput",
    "IssuedToken",
    "Label",
    "NotFound",
    "Operations",
    "Outcome",
    "ParkService",
    "ParkSummary",
    "Part",
    "Priority",
    "Problem",
    "Provenance",
    "Receipt",
    "Refused",
    "Renewal",
    "Run",
    "RunState",
    "SignedConfig",
    "Tag",
    "TagChange",
    "TestStep",
    "TwinError",
    "Unavailable",
    "Vitals",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkSummary:
    """A park at a glance. ``demo`` tells that a virtual plant feeds it; ``speed`` its clock."""

    id: str
    label: Label
    region: Label
    tz: str
    now_us: int
    demo: bool
    speed: float
    endpoints_up: int
    endpoints: int
    tags: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset: ``id`` is its path below the park; ``attributes`` are shown as they are written
    in the park file (with units); ``tags`` are tag paths, ``figures`` figure ids.
    """

    id: str
    type: str
    label: Label
    parent: str | None
    owner: str
    attributes: Mapping[str, str]
    tags: tuple[str, ...]
    figures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag with its latest value; ``quality``: 0 good, 1 uncertain, 2 bad (stale is uncertain)."""

    tag: int
    path: str
    unit: str
    kind: str
    endpoint: str
    node: str
    at_us: int | None
    seen_us: int | None
    value: float | None
    text: str | None
    status: int
    quality: int
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Live values of one park at one second.

    ``seq`` grows by one per frame; ``values`` holds figure id → value (None when not known),
    ``quality`` only the ids that are not good; ``measured`` only those not wholly measured.
    ``alarms`` counts unresolved ones by priority plus ``unacknowledged``. ``age_s``: seconds since
    the twin last heard from any endpoint.
    """

    seq: int
    now_us: int
    speed: float
    values: Mapping[str, float | None]
    quality: Mapping[str, int]
    measured: Mapping[str, float]
    alarms: Mapping[str, int]
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """What to read: tag paths (or ``figure:<id>``), a left-closed interval and a step.

    ``every_us`` None gives raw rows; ``points`` keeps at most so many rows of each tag, of windows
    those with its extremes;
    ``known_at_us`` reads what was known then.
    """

    tags: tuple[str, ...]
    since_us: int
    until_us: int
    every_us: int | None = None
    points: int | None = None
    known_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """An endpoint as registered. Secrets by reference only (``env:``, ``file:``, ``keyring:``).

    ``mapping`` binds nodes (``nsu=<URI>;s=…``) to tag paths. ``deadband``: least change that is
    sent, in the source's unit or ``2 %`` of its range. ``heartbeat``: node of the device behind the
    server that changes at least every ``heartbeat_s`` while the device lives. ``gateway``: the one
    in a plant that reads it; empty: the service itself.
    """

    id: str
    url: str
    label: Label = field(default_factory=lambda: Label(vi="", en=""))
    policy: str = "None"
    mode: str = "None"
    allow_insecure: bool = False
    user: str = ""
    password: str = ""
    user_certificate: str = ""
    user_key: str = ""
    time_policy: str = "source"
    sampling_ms: float = 1000.0
    publishing_ms: float = 1000.0
    bridge_s: float = 10.0
    deadband: str = ""
    spares: tuple[str, ...] = ()
    redundancy: str = "cold"
    events: tuple[str, ...] = ()
    heartbeat: str = ""
    heartbeat_s: float = 60.0
    reverse: bool = False
    poll: bool = False
    enabled: bool = True
    gateway: str = ""
    mapping: tuple[Mapping[str, str], ...] = ()

    @property
    def address(self) -> str:
        """Its address as what is not registered yet is asked for: ``gateway@opc.tcp://…``."""
        return with_gateway(self.gateway, self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateEntry:
    """A certificate or revocation list of this installation.

    Parameters
    ----------
    place
        ``own``; ``next`` (a new one of ours that waits to be trusted by the servers); ``trusted``,
        ``rejected``, ``issuers``; ``vouched`` (good by a trusted authority); ``crl``.
    fingerprint
        SHA-256; empty for a revocation list.
    subject, application_uri, hosts
        Whom it is made for; of a revocation list its issuer.
    until_us, days_left
        End of its validity: wall time [us], and days from now, negative when it is over.
    due
        Which warning is due: 60, 30, 7 days, 0 when expired; None when none is.
    endpoints
        ``park/endpoint`` whose server showed it.
    remarks
        What is not right, and yet no reason to refuse it.
    """

    place: str
    fingerprint: str
    subject: str
    application_uri: str = ""
    hosts: tuple[str, ...] = ()
    until_us: int | None = None
    days_left: float | None = None
    due: int | None = None
    endpoints: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """What came of a renewal: whether the new certificate is used, and who takes it.

    ``refused`` holds endpoint → what its server said; while there is one, the old is used.
    """

    fingerprint: str
    used: bool
    accepted: tuple[str, ...]
    refused: Mapping[str, str]


class RunState:
    """States of a what-if run."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A what-if run as the queue sees it; ``progress`` 0..1, times are wall time [us]."""

    id: str
    name: str
    park: str
    state: str
    progress: float
    priority: int
    attempt: int
    submitted_by: str
    created_us: int
    started_us: int | None
    finished_us: int | None
    from_us: int | None
    horizon_us: int
    branches: tuple[str, ...]
    replications: int
    error: str
    result_hash: str


class ParkService(Protocol):
    """What pages, routes and verbs ask."""

    async def parks(self) -> Sequence[ParkSummary]:
        """All parks of this service."""

    async def specs(self, park: str) -> Sequence[FigureSpec]:
        """The live figures of a park, in order."""

    async def frame(self, park: str) -> Frame:
        """The newest frame."""

    async def recent(self, park: str, figures: Sequence[str], minutes: float) -> pa.Table:
        """Recent values of figures: columns at (timestamp us UTC), then one float64 per figure."""

    async def headroom(self, park: str) -> Headroom:
        """Headroom of the 110 kV station tonight."""

    async def assets(self, park: str) -> Sequence[Asset]:
        """All assets, parents before children."""

    async def tags(self, park: str, pattern: str = "") -> Sequence[Tag]:
        """Tags whose path contains the pattern (diacritics and case folded), with latest values."""

    async def state(self, park: str, at_us: int | None, known_at_us: int | None) -> pa.Table:
        """Every tag at a time: path, at, value, exact, text, status, quality,
        origin; ``exact`` is the integer where a float64 cannot hold it.
        """

    async def history(self, park: str, query: HistoryQuery) -> pa.Table:
        """History of tags.

        Raw: path, at, value, exact, text, status, origin. With ``every_us``: path, at, mean,
        integral, min, max, first, last, increase, n, good_s, covered_s (nulls where a kind has
        none).
        """

    async def kpis(self, park: str, since_us: int, until_us: int, every_us: int | None) -> pa.Table:
        """ISO 22400 KPIs per line: asset, at, kpi, value (null with a reason in why), unit,
        good_fraction, plan_seen, quality, why, formula.
        """

    async def energy(self, park: str, since_us: int, until_us: int, every_us: int) -> pa.Table:
        """Energy by 15 min or coarser: at, flow (grid, solar, battery_in, battery_out, load,
        site:<id>, aggregated), kwh, measured, cost_vnd, co2_kg, window (peak, normal, off_peak).
        """

    async def alarms(self, park: str, *, history: bool = False) -> Sequence[Alarm]:
        """Unresolved alarms, or the ended ones too; never cut by a time range."""

    async def acknowledge(self, park: str, alarms: Sequence[str], by: str, note: str) -> None:
        """Acknowledge alarms."""

    async def shelve(
        self, park: str, alarms: Sequence[str], by: str, minutes: float, reason: str
    ) -> None:
        """Shelve alarms for a limited time; a reason is required; 0 minutes unshelves."""

    async def endpoints(self, park: str) -> Sequence[EndpointStatus]:
        """All endpoints with their status."""

    async def endpoint_tags(self, park: str, endpoint: str) -> Sequence[Mapping[str, object]]:
        """How each tag of an endpoint does, by its gateway: path, node, values, bad, overflowed,
        bad_share, source_at, refused.
        """

    async def endpoint_events(
        self, park: str, endpoint: str, since_us: int, until_us: int, limit: int
    ) -> Sequence[Mapping[str, object]]:
        """What the notifiers of an endpoint told, the newest first (`cluster.event_desk`)."""

    async def endpoint_test(self, spec: EndpointSpec) -> EndpointTest:
        """Try an endpoint without saving it."""

    async def endpoint_trial_begin(self, park: str, spec: EndpointSpec) -> str:
        """Start to try an endpoint without saving it; the name to ask for it."""

    async def endpoint_trial(self, park: str, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, step by step, and whether it is over."""

    async def endpoint_test_again(self, park: str, endpoint: str) -> EndpointTest:
        """Try an endpoint as it is registered: its security, user and mapping."""

    async def endpoint_add(self, park: str, spec: EndpointSpec, *, force: bool = False) -> None:
        """Test, then save and connect; `force` saves one that does not answer yet."""

    async def endpoint_remove(self, park: str, endpoint: str) -> None:
        """Disconnect and forget; its tags are closed, their history stays."""

    async def endpoint_browse(self, park: str, url_or_id: str, node: str) -> Sequence[BrowsedNode]:
        """Children of a node (empty: the Objects folder) with proposals for the mapping."""

    async def endpoint_map(self, park: str, endpoint: str, mapping: Mapping[str, str]) -> None:
        """Bind nodes to tag paths: node → path (empty path unbinds)."""

    async def endpoint_crawl(
        self, park: str, url_or_id: str, *, fresh: bool, spec: EndpointSpec | None = None
    ) -> Mapping[str, object]:
        """Start a crawl, or tell how far the one under way is: state, nodes, left, per_s.

        ``spec`` says how to speak with an address that is not registered yet.
        """

    async def endpoint_crawl_stop(self, park: str, url_or_id: str) -> Mapping[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was."""

    async def endpoint_review(
        self, park: str, url_or_id: str, endpoint: str, mapping: Mapping[str, str]
    ) -> Mapping[str, object]:
        """What saving a mapping would do: changes, findings, problems; nothing is changed."""

    async def endpoint_propose(self, park: str, url_or_id: str) -> Sequence[Mapping[str, object]]:
        """Proposed mapping of a finished crawl: node, path, unit, confidence, sure, why."""

    async def endpoint_lint(self, park: str, endpoint: str) -> Sequence[Mapping[str, object]]:
        """Findings of an endpoint's mapping: code, severity, node, path, why, remedy."""

    async def endpoint_diff(
        self, park: str, endpoint: str, data: bytes, name: str
    ) -> Mapping[str, object]:
        """What applying a tag list would do: changes, problems by line, the mapping to send."""

    async def endpoint_export(self, park: str, endpoint: str) -> Sequence[Sequence[str]]:
        """The mapping of an endpoint as rows of a tag list, header first."""

    async def endpoint_later(self, park: str, endpoint: str) -> Mapping[str, str]:
        """Nodes that the park file's rules take and that are not bound yet: node → path."""

    async def endpoint_trust(
        self, park: str, endpoint: str, fingerprint: str, gateway: str = ""
    ) -> None:
        """Trust the server certificate with this SHA-256 fingerprint."""

    async def certificates(self) -> Sequence[CertificateEntry]:
        """Our certificate, those of servers, and revocation lists."""

    async def certificate_der(self, *, staged: bool = False) -> bytes:
        """Our certificate as DER; with `staged` the new one that waits to be trusted."""

    async def certificate_trust(self, fingerprint: str) -> None:
        """Trust a certificate that a server has shown."""

    async def certificate_distrust(self, fingerprint: str) -> None:
        """Take trust back; endpoints that rest on it are cut off at once."""

    async def certificate_renew(self, *, force: bool = False) -> Renewal:
        """Make a new certificate of ours, and use it once every server takes it."""

    def whatif_schema(self) -> Mapping[str, object]:
        """JSON Schema of `kind: WhatIf`, with titles and descriptions in vi and en."""

    async def whatif_submit(self, text: str, by: str, priority: int = 0) -> Run:
        """Queue a what-if given as YAML or JSON text."""

    async def whatif_runs(self, park: str) -> Sequence[Run]:
        """All runs, newest first."""

    async def whatif_run(self, run: str) -> Run:
        """One run."""

    async def whatif_spec(self, run: str) -> str:
        """The text it was submitted with."""

    async def whatif_outcome(self, run: str) -> Outcome:
        """Its outcome; Unavailable while it is not done."""

    async def whatif_cancel(self, run: str, by: str) -> None:
        """Cancel a queued or running run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the service and whether it works; `cause` says why it does not."""

    name: str
    ok: bool
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayTokenEntry:
    """A token of a gateway outside the service, without its secret.

    ``parks``: where it may deliver to. ``heard_us``: when its gateway last asked.
    """

    id: str
    gateway: str
    parks: tuple[str, ...]
    created_us: int
    expires_us: int
    revoked_us: int | None
    heard_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken(GatewayTokenEntry):
    """A new token; ``token`` is shown this once."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedConfig:
    """What a gateway has to read, as JSON, and an HMAC over its nonce and that."""

    body: bytes
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Answer to a delivery of a gateway: stored up to `acked_seq`, or `expect` this number."""

    session: int
    acked_seq: int | None
    expect: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vitals:
    """Numbers an operator of the service watches, per park.

    Parameters
    ----------
    park
        Id of the park.
    rows
        Samples journalled since the twin's process started.
    tail_rows
        Samples not yet sealed.
    offset, sealed_offset
        Last journal offset, and the last one sealed.
    restarts
        How often the twin's process was replaced.
    free_fraction
        Free part of the disk, 0..1.
    frame_age_s
        Wall seconds since the newest frame.
    seal_faults
        How often sealing failed since the twin's process started.
    buffered_batches, buffered_bytes
        What the gateway holds that is not acknowledged, and the size of its buffer.
    overflows
        How often the gateway's buffer stopped taking in since it started.
    """

    park: str
    rows: int
    tail_rows: int
    offset: int
    sealed_offset: int
    restarts: int
    free_fraction: float
    frame_age_s: float
    seal_faults: int = 0
    buffered_batches: int = 0
    buffered_bytes: int = 0
    overflows: int = 0


class Certificates(Protocol):
    """Certificates of a gateway in a plant; each call waits for its gateway."""

    async def entries(self) -> Sequence[CertificateEntry]:
        """Those of its folder."""

    async def der(self, *, staged: bool) -> bytes:
        """The gateway's as DER; with `staged` the new one that waits to be trusted."""

    async def trust(self, fingerprint: str) -> None:
        """Trust a certificate that a server has shown there."""

    async def distrust(self, fingerprint: str) -> None:
        """Take trust back there."""

    async def renew(self, *, force: bool) -> Renewal:
        """Make a new certificate there, and use it once its servers take it."""


class Operations(Control, Protocol):
    """What gateways and operators ask beyond `ParkService`."""

    async def parts(self) -> Sequence[Part]:
        """Every part of the service and whether it works."""

    async def vitals(self) -> Sequence[Vitals]:
        """Numbers of every park."""

    async def waiting_runs(self) -> int | None:
        """How many what-ifs wait; None while nobody can tell."""

    async def gateway_admit(
        self, token: str | None, park: str, source: str, *, beside: bool
    ) -> None:
        """Let a gateway outside the service in, or raise `Refused`.

        `beside`: it runs on this machine and comes over no proxy; then it may have no token.
        """

    async def gateway_session(self, park: str, source: str, count: int = 1) -> int:
        """Count a start of a gateway outside the service; its session, the first of `count`."""

    async def gateway_known(self, token: str) -> None:
        """Raise `Refused` for a token of a gateway that does not count."""

    async def gateway_hello(
        self, token: str, nonce: str, told: Mapping[str, Sequence[EndpointStatus]]
    ) -> SignedConfig:
        """Take what a gateway says of its endpoints; what it has to read."""

    async def gateway_errands(
        self, token: str, nonce: str, run: str, reports: Sequence[Report]
    ) -> SignedConfig:
        """Take what a gateway says of its errands; which are open for it."""

    def plant_certificates(self, gateway: str) -> Certificates:
        """The certificates of a gateway in a plant."""

    async def gateway_tokens(self) -> Sequence[GatewayTokenEntry]:
        """All tokens of gateways, also those that are over."""

    async def gateway_token_create(
        self, gateway: str, parks: Sequence[str], days: float
    ) -> IssuedToken:
        """Make a token for a gateway and the parks it may deliver to."""

    async def gateway_token_revoke(self, token: str) -> None:
        """End a token at once."""

    async def ingest(
        self, park: str, source: str, session: int, seq: int, batch: pa.RecordBatch
    ) -> Receipt:
        """Take one numbered batch of a gateway outside the service."""

    async def note(self, park: str, asset: str, text: str, by: str) -> None:
        """Keep a note at an asset."""

    async def apply(self, park: str, text: str, *, dry_run: bool) -> Sequence[TagChange]:
        """Bring a park to an edited file; what that does to its tags."""

    async def backup(self, park: str, to: str) -> Mapping[str, object]:
        """Back the memory of a park up into a new folder of the server."""
