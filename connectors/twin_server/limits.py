"""How much of everything one server gives, so that no client can starve it or the others."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a server.

    Parameters
    ----------
    connections, sessions
        At once.
    tries
        Sessions one connection may ask for.
    activation_s
        Within which a new connection must have logged in [s].
    session_s
        After which a silent session ends with its subscriptions, at the latest [s].
    subscriptions, subscriptions_each
        Of all clients, and of one.
    items
        Watched nodes of one session.
    queue, events
        Values, and events, kept per watched node.
    unacknowledged
        Messages kept per subscription until the client has them.
    publishing_ms, publishing_most_ms
        Shortest and longest publishing interval [ms].
    lifetime, keep_alive
        Publishing intervals without a request until a subscription ends, and without news until
        the client hears that it lives.
    nodes_per_call
        Nodes one request may name.
    waiting
        Requests of one connection that may wait.
    chunk_bytes, message_bytes
        Largest chunk and largest message [B].
    """

    connections: int = 60
    sessions: int = 30
    tries: int = 5
    activation_s: float = 15.0
    session_s: float = 120.0
    subscriptions: int = 200
    subscriptions_each: int = 20
    items: int = 20_000
    queue: int = 100
    events: int = 2_000
    unacknowledged: int = 100
    publishing_ms: float = 100.0
    publishing_most_ms: float = 60_000.0
    lifetime: int = 3_000
    keep_alive: int = 1_000
    nodes_per_call: int = 10_000
    waiting: int = 100
    chunk_bytes: int = 65_535
    message_bytes: int = 4 * 1024 * 1024
