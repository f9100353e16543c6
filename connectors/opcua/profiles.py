"""What servers of known makers allow, so that they are not asked for more.

A profile only ever lowers what is asked: longer intervals, shorter queues, smaller calls. What the
server itself states (OperationLimits, revised values) holds besides. Sources as collected in the
project's facts on OPC UA, section 8; "secondary" means that a user or integrator reported it.
"""

from dataclasses import dataclass
from typing import Final

SESSIONS: Final = 3
"""Sessions of one service to one server, where no profile says less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Limits of a kind of server; None where none is known.

    Parameters
    ----------
    name
        What it is called in the status.
    sampling_ms, publishing_ms
        Shortest intervals [ms].
    queue
        Longest queue of an item.
    per_call
        Nodes or items per call.
    items, subscriptions
        Items in all, and subscriptions of a session.
    sessions
        Sessions we allow ourselves, of those it has.
    samples_per_s
        Samples of all items together.
    lifetime, keep_alive
        Largest lifetime and keep-alive counts.
    """

    name: str
    sampling_ms: float = 0.0
    publishing_ms: float = 0.0
    queue: int | None = None
    per_call: int | None = None
    items: int | None = None
    subscriptions: int | None = None
    sessions: int = SESSIONS
    samples_per_s: float | None = None
    lifetime: int | None = None
    keep_alive: int | None = None

    def sampling_for(self, asked_ms: float, items: int) -> float:
        """Sampling interval to ask for [ms], when so many items are sampled."""
        fair_ms = items * 1000.0 / self.samples_per_s if self.samples_per_s else 0.0
        return max(asked_ms, self.sampling_ms, fair_ms)

    def publishing_for(self, asked_ms: float) -> float:
        """Publishing interval to ask for [ms]."""
        return max(asked_ms, self.publishing_ms)

    def queue_for(self, asked: int) -> int:
        """Queue size to ask for."""
        return asked if self.queue is None else min(asked, self.queue)

    def call_for(self, stated: int) -> int:
        """Nodes per call, of those the server states."""
        return stated if self.per_call is None else min(stated, self.per_call)


PLAIN: Final = Profile(name="")

_KNOWN: Final = (
    # 10 sessions, 5 subscriptions per session, about 1,000 items, sampling 100 ms, publishing
    # 200 ms; calls of more than about 200 items are some 50 times slower (secondary).
    (("s7-1200", "s71200", "simatic.s7-1200"), Profile(
        name="Siemens S7-1200", sampling_ms=100.0, publishing_ms=200.0, per_call=100, items=1000,
        subscriptions=5, sessions=2)),
    # 32 sessions, 10,000 items for 1511 to 1513 with firmware 3.1 and later, 1,000 per call
    # (secondary).
    (("s7-1500", "s71500", "simatic.s7-1500", "simatic s7"), Profile(
        name="Siemens S7-1500", per_call=1000, items=10_000)),
    # 828D: 5 sessions, 5 subscriptions, 500 samples/s in all (SINUMERIK Access MyMachine manual).
    (("828d",), Profile(
        name="SINUMERIK 828D", subscriptions=5, sessions=1, samples_per_s=500.0)),
    # 840D sl: 10 sessions, 10 subscriptions, 1,000 samples/s in all (same manual).
    (("sinumerik", "840d"), Profile(
        name="SINUMERIK 840D sl", subscriptions=10, sessions=2, samples_per_s=1000.0)),
    # Publishing from 50 ms, lifetime count up to 600, keep-alive count up to 200 (secondary).
    (("b&r", "br-automation", "bernecker"), Profile(
        name="B&R", publishing_ms=50.0, lifetime=600, keep_alive=200)),
    # TF6100: no published limits were found; its calls are kept at the size others bear.
    (("beckhoff", "tcopcuaserver", "twincat"), Profile(name="Beckhoff TwinCAT", per_call=500)),
    # BMENUA0100: 10 sessions, 40 subscriptions, queue up to 100 (Schneider's manual).
    (("bmenua", "schneider"), Profile(
        name="Schneider BMENUA0100", queue=100, subscriptions=40, sessions=2)),
    # PLCnext AXC: 3 to 8 sessions, 100 ms (Phoenix Contact's manual).
    (("plcnext", "phoenix contact"), Profile(
        name="PLCnext AXC", sampling_ms=100.0, publishing_ms=100.0, sessions=1)),
    # 128 sessions by default (secondary).
    (("kepware", "kepserver", "thingworx kepware"), Profile(name="Kepware", per_call=1000)),
)  # fmt: skip


def profile_of(*names: str) -> Profile:
    """Profile of a server, by ManufacturerName, ProductName and ProductUri of its BuildInfo."""
    told = " ".join(names).casefold()
    for marks, profile in _KNOWN:
        if any(mark in told for mark in marks):
            return profile
    return PLAIN
