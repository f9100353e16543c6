"""Taking up what a server kept: session, subscriptions, and its history of what they missed.

`Kept` is what has to be known for it, also by the next process: it lies in a file of its own that
only its owner can read, as it holds a session's token. A session or subscription is taken up only
from the same start of the same server with the same namespaces: after a restart a token or a
subscription id may belong to somebody else, and a namespace index to other nodes.
"""

import json
import logging
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.decode import Decoder
from connectors.opcua.hooks import Ticket, send
from connectors.opcua.kernel import NO_TIME, Bytes
from connectors.opcua.monitor import Subscribed, chunks
from connectors.opcua.session import Identity
from connectors.opcua.wire import History, Malformed, read_history
from twin.samples import from_us

_log = logging.getLogger(__name__)

_NODES: Final = 10
_VALUES: Final = 1000
_ROUNDS: Final = 10_000
_HISTORY_READ: Final = 0x04
OWNER_ONLY: Final = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What it takes to go on where an earlier connection, or process, ended.

    Parameters
    ----------
    url, digest
        Address, and what the subscriptions rest on (`EndpointConfig.digest`).
    ticket
        Session; None when it is known to be gone.
    application_uri, started, namespaces
        Whose they are.
    subscriptions
        As the server granted them.
    lasts
        Subscription → number of its last message whose rows are stored.
    heard_us, newest_us
        Park time of the last sign of life, and newest source time stored [us].
    wall_s
        When this was noted [s since 1970].
    stamp
        Number of the connection this is about.
    """

    url: str
    digest: str
    ticket: Ticket | None
    application_uri: str
    started: datetime | None
    namespaces: tuple[str, ...]
    subscriptions: tuple[Subscribed, ...]
    lasts: Mapping[int, int]
    heard_us: int
    newest_us: int | None
    wall_s: float
    stamp: int

    def same_server(self, identity: Identity) -> bool:
        """Whether this is the same start of the same server, so that its numbers still hold."""
        return (
            self.started is not None
            and self.started == identity.started
            and self.application_uri == identity.application_uri
            and self.namespaces == identity.namespaces
        )

    def changed(self, identity: Identity) -> str:
        """Why nothing can be taken up; empty when it can."""
        if self.same_server(identity):
            return ""
        if self.started != identity.started:
            return "the server was restarted"
        return "the server's namespaces or name changed"

    @property
    def alive(self) -> bool:
        """Whether the server may still hold the subscriptions, by their lifetimes."""
        age_s = time.time() - self.wall_s
        return any(age_s < one.lifetime_s for one in self.subscriptions)

    def text(self) -> str:
        """As it lies in its file."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        plain["ticket"] = self.ticket and [self.ticket.token.hex(), self.ticket.nonce.hex()]
        plain["started"] = self.started and self.started.isoformat()
        plain["lasts"] = list(self.lasts.items())
        plain["subscriptions"] = [
            {field.name: getattr(one, field.name) for field in fields(one)}
            | {"queues": [[h, *q] for h, q in one.queues.items()]}
            for one in self.subscriptions
        ]
        return json.dumps(plain)


class Marks:
    """How far the rows of a connection are stored: a few bytes, overwritten at every batch.

    What a kill of the process leaves is whole, as it is one small write; what lies in `Kept` is
    written once per connection only, as it names every item.

    Parameters
    ----------
    path
        File of its own, beside that of `Kept`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def note(self, kept: Kept) -> None:
        """Overwrite."""
        told = [kept.stamp, list(kept.lasts.items()), kept.heard_us, kept.newest_us, kept.wall_s]
        text = json.dumps(told)
        line = f"{zlib.crc32(text.encode()):08x}{text}\n".encode()
        try:
            if self._file < 0:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, OWNER_ONLY)
            os.pwrite(self._file, line, 0)
        except OSError as fault:
            _log.warning("sequence numbers not noted", extra={"fault": str(fault)})

    def onto(self, kept: Kept) -> Kept:
        """What an earlier process noted, brought up to date."""
        try:
            line = self._path.read_bytes().partition(b"\n")[0]
            if int(line[:8], 16) != zlib.crc32(line[8:]):
                return kept
            stamp, lasts, heard_us, newest_us, wall_s = json.loads(line[8:])
        except (OSError, ValueError):
            return kept
        if stamp != kept.stamp:
            return kept
        return replace(
            kept,
            lasts={int(k): int(v) for k, v in lasts},
            heard_us=heard_us,
            newest_us=newest_us,
            wall_s=wall_s,
        )

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_kept(path: Path) -> Kept | None:
    """What an earlier process noted; None when there is nothing, or it cannot be read."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        ticket = plain["ticket"]
        started = plain["started"]
        subscriptions = tuple(
            Subscribed(**{**one, "queues": {h: (size, s) for h, size, s in one["queues"]}})
            for one in plain["subscriptions"]
        )
        return Kept(
            **{
                **plain,
                "ticket": ticket
                and Ticket(token=bytes.fromhex(ticket[0]), nonce=bytes.fromhex(ticket[1])),
                "started": started and datetime.fromisoformat(started),
                "namespaces": tuple(plain["namespaces"]),
                "lasts": {int(k): int(v) for k, v in plain["lasts"]},
                "subscriptions": subscriptions,
            }
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


async def transfer(client: Client, kept: Kept) -> tuple[Subscribed, ...]:
    """Move subscriptions into a new session; those the server moved.

    No initial values are asked for: what changed lies in the queues and the retransmission queue.
    """
    wanted = ua.TransferSubscriptionsParameters()
    wanted.SubscriptionIds = [ua.IntegerId(one.id) for one in kept.subscriptions]
    wanted.SendInitialValues = False
    try:
        results = await client.uaclient.session.transfer_subscriptions(wanted)
    except UaStatusCodeError:
        return ()
    return tuple(
        one
        for one, result in zip(kept.subscriptions, results, strict=False)
        if not result.StatusCode.is_bad()
    )


# --- history ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """Time for which one item may lack values.

    Parameters
    ----------
    handle, node
        Item.
    after_us, before_us
        Last source time we have before it, and first one after it [us].
    """

    handle: int
    node: ua.NodeId
    after_us: int
    before_us: int


Reached = dict[tuple[int, int], int]
"""(Handle, beginning of a hole) → source time up to which history gave its values [us]."""


def rest_of(hole: Hole, reached: Reached) -> Hole:
    """What a fill that was interrupted left of a hole."""
    upto_us = reached.get((hole.handle, hole.after_us), hole.after_us)
    return replace(hole, after_us=max(hole.after_us, upto_us))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What history gave: values, items filled, and items it could not fill with the reason."""

    values: int
    items: int
    failed: Mapping[int, str]


async def backfill(
    client: Client,
    decoder: Decoder,
    holes: Sequence[Hole],
    *,
    room: Callable[[int], Awaitable[None]],
    timeout_s: float,
    ahead_us: int = 0,
    reached: Reached | None = None,
) -> Filled:
    """Read from the server's history what the subscriptions missed.

    Parameters
    ----------
    client
        Connected client, whose identity was verified.
    decoder
        Takes the values.
    holes
        Items and times.
    room
        Waits until so many rows find a place.
    timeout_s
        Longest wait for one answer [s].
    ahead_us
        How far the source's clock is ahead of ours [us].
    reached
        How far earlier calls came with the same holes, which is not read again; kept up to date,
        also when this one is interrupted.

    Raises
    ------
    OSError, TimeoutError
        When the connection is lost on the way.
    """
    filling = _Filling(
        client=client,
        decoder=decoder,
        room=room,
        timeout_s=timeout_s,
        ahead_us=ahead_us,
        reached={} if reached is None else reached,
    )
    readable: list[Hole] = []
    for chunk in chunks(holes, 100):
        levels = await client.uaclient.read_attributes(
            [hole.node for hole in chunk], AttributeIds.UserAccessLevel
        )
        for hole, level in zip(chunk, levels, strict=True):
            value = level.Value.Value if level.Value is not None else None
            if isinstance(value, int) and value & _HISTORY_READ:
                readable.append(hole)
            else:
                filling.failed[hole.handle] = "no history"
    values = 0
    for some in chunks(readable, _NODES):
        values += await filling.fill(some)
    failed = filling.failed
    return Filled(values=values, items=len(holes) - len(failed), failed=failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Filling:
    """One call of `backfill`: what it was given, and which items failed with their reasons."""

    client: Client
    decoder: Decoder
    room: Callable[[int], Awaitable[None]]
    timeout_s: float
    ahead_us: int
    reached: Reached
    failed: dict[int, str] = field(default_factory=dict)

    async def fill(self, holes: Sequence[Hole]) -> int:
        """Read some holes to their ends, over as many answers as it takes."""
        values = 0
        whole = {hole.handle: hole for hole in holes}
        rests = [rest_of(hole, self.reached) for hole in holes]
        left = [(rest, b"") for rest in rests if rest.before_us - rest.after_us > 1]
        for _ in range(_ROUNDS):
            if not left:
                return values
            try:
                body = await send(self.client, _history(left), self.timeout_s)
                results = read_history(body)
            except (UaStatusCodeError, Malformed) as fault:
                if len(left) == 1:
                    self.failed[left[0][0].handle] = str(fault)
                    return values
                # One node can spoil the call for the others.
                for hole, _ in left:
                    values += await self.fill([whole[hole.handle]])
                return values
            following: list[tuple[Hole, bytes]] = []
            for (hole, _), result in zip(left, results, strict=False):
                values += await self._taken(body, hole, whole[hole.handle].after_us, result)
                part, upto_us = result.values, self.decoder.history_us
                if hole.handle in self.failed or part is None:
                    continue
                if result.more:
                    following.append((hole, result.more))
                elif part.count >= _VALUES and hole.after_us < upto_us < hole.before_us:
                    # Some servers cut at the number asked for, and say nothing: go on from there.
                    following.append((replace(hole, after_us=upto_us), b""))
            left = following
        for hole, _ in left:
            self.failed[hole.handle] = "the history does not come to an end"
        return values

    async def _taken(self, body: Bytes, hole: Hole, begun_us: int, result: History) -> int:
        if result.status >= 0x8000_0000:
            self.failed[hole.handle] = ua.StatusCode(ua.UInt32(result.status)).name
            return 0
        part = result.values
        if part is None or not part.count:
            return 0
        await self.room(part.count)
        values = self.decoder.take_history(
            body, part.start, part.stop, part.count, hole.handle,
            after_us=hole.after_us, before_us=hole.before_us, ahead_us=self.ahead_us,
        )  # fmt: skip
        # The next piece may begin with more values of the time this one ends with.
        upto_us = min(self.decoder.history_us - bool(result.more), hole.before_us)
        self.reached[hole.handle, begun_us] = max(upto_us, hole.after_us)
        return values


def _history(holes: Iterable[tuple[Hole, bytes]]) -> ua.HistoryReadRequest:
    every = list(holes)
    details = ua.ReadRawModifiedDetails()
    details.IsReadModified = False
    details.StartTime = from_us(min(hole.after_us for hole, _ in every))
    details.EndTime = from_us(max(hole.before_us for hole, _ in every))
    details.NumValuesPerNode = ua.Counter(_VALUES)
    details.ReturnBounds = False
    request = ua.HistoryReadRequest()
    request.Parameters.HistoryReadDetails = details
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ReleaseContinuationPoints = False
    for hole, more in every:
        one = ua.HistoryReadValueId()
        one.NodeId = hole.node
        if more:
            one.ContinuationPoint = more
        request.Parameters.NodesToRead.append(one)
    return request


def without_ticket(kept: Kept) -> Kept:
    """The same, its session being gone."""
    return replace(kept, ticket=None)


def bounded(after_us: int, before_us: int, floor_us: int, ceiling_us: int) -> tuple[int, int]:
    """A hole's bounds, where an end is not known the outage's own [us]."""
    return (
        floor_us if after_us == NO_TIME else after_us,
        ceiling_us if before_us == NO_TIME else before_us,
    )
