"""Delivery: which numbered batch is taken, and what a source sends next. Pure, both sides.

A source (gateway × shard) numbers its batches 1, 2, 3, … within a session; sessions grow. A stored
batch keeps its first (session, seq). The receiver takes only the next number, acknowledges lower
ones again and answers `Expect` to higher ones; the sender then lets every call that is under way
return (it *drains*) before it *rewinds* to its oldest unacknowledged batch.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from models.errors import InputError, Refused
from twin.effects import Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The batch is the next one: journal it, then say `Inbox.accepted`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyHave:
    """Everything up to `seq` of the session is journalled: acknowledge it again."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """Batches are missing before this one: the source drains and rewinds to `seq`."""

    seq: int


Verdict = Accept | AlreadyHave | Expect


class BatchId(NamedTuple):
    """A batch's number, given once; ids of one source order by session, then seq."""

    session: int
    seq: int


SESSIONS_KEPT: Final = 16
"""Ended sessions whose last number is remembered, per source: a source that lost its note of an
acknowledgement to a power cut may offer batches of them again."""


class Inbox:
    """The receiver's side: the newest sessions of every source, and their last journalled seq."""

    def __init__(self, last: Mapping[str, Sequence[Sequence[int]]] | None = None) -> None:
        self._last = {
            source: [BatchId(session, seq) for session, seq in sessions]
            for source, sessions in (last or {}).items()
        }

    def check(self, source: str, session: int, seq: int) -> Verdict:
        """What to do with a batch; changes nothing.

        Raises
        ------
        InputError
            When the source is empty, or session or seq is below 1.
        Refused
            When the session is over and the batch was not taken while it lasted.
        """
        if not source or session < 1 or seq < 1:
            raise InputError(
                f"batch {seq} of session {session} of source {source!r}",
                "name the source, and count sessions and batches from 1",
                "source",
            )
        sessions = self._last.get(source, [])
        if not sessions or session > sessions[-1].session:
            return Accept() if seq == 1 else Expect(seq=1)
        last = next((s.seq for s in sessions if s.session == session), 0)
        if seq <= last:
            return AlreadyHave(seq=last)
        if session < sessions[-1].session:
            raise Refused(
                f"session {session} of {source} is over, session {sessions[-1].session} is current",
                "stop the older gateway process; only one may deliver as this source",
            )
        return Accept() if seq == last + 1 else Expect(seq=last + 1)

    def accepted(self, source: str, session: int, seq: int) -> None:
        """Note that a batch `check` answered with `Accept` is journalled."""
        sessions = self._last.setdefault(source, [])
        if sessions and sessions[-1].session == session:
            sessions.pop()
        sessions.append(BatchId(session, seq))
        del sessions[:-SESSIONS_KEPT]

    @property
    def last(self) -> Mapping[str, tuple[BatchId, ...]]:
        """Last journalled batch of each remembered session, oldest first, by source."""
        return {source: tuple(self._last[source]) for source in sorted(self._last)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Answer to one delivery.

    Parameters
    ----------
    session
        The session the answer is about.
    acked_seq
        Everything up to this number is journalled and on disk; None when `expect` is set.
    expect
        The batch was not taken: the source drains its window and rewinds to this number.
    effects
        What happened on the way.
    """

    session: int
    acked_seq: int | None = None
    expect: int | None = None
    effects: tuple[Effect, ...] = ()


IN_FLIGHT: Final = 8
"""Batches under way at once; more gains nothing once the shard is busy."""


class Window:
    """The sender's side: which batch to send next, with a bounded number of calls under way.

    Every call ends in exactly one of `acked`, `expect` and `lost`; answers may come in any order.
    Batches of a newer session wait until all older ones are acknowledged, since the receiver
    refuses a session that is over. The first batch of all and the first after a rewind go alone.

    Parameters
    ----------
    limit
        Calls under way at once, at least 1.
    """

    def __init__(self, limit: int = IN_FLIGHT) -> None:
        if limit < 1:
            raise InputError(f"a window of {limit}", "let at least 1 batch be under way", "limit")
        self._limit = limit
        self._unacked: deque[BatchId] = deque()
        self._sent = 0
        self._calls = 0
        self._draining = False
        self._alone = True
        self._probe: BatchId | None = None

    @property
    def unacked(self) -> tuple[BatchId, ...]:
        """Batches that must be kept, oldest first."""
        return tuple(self._unacked)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._calls

    def offer(self, session: int, seq: int) -> None:
        """Add a batch that is stored and may be sent.

        Raises
        ------
        InputError
            When it does not follow the newest one: seq + 1, or a higher session's first.
        """
        batch = BatchId(session, seq)
        if self._unacked:
            newest = self._unacked[-1]
            follows = batch == (newest.session, newest.seq + 1)
            if not follows and not (session > newest.session and seq == 1):
                raise InputError(f"{batch} does not follow {newest}", "offer batches in order")
        self._unacked.append(batch)

    def next_to_send(self) -> BatchId | None:
        """The batch to send now, counted as under way; None when there is none at present."""
        waiting = self._draining or self._probe is not None
        if waiting or self._calls >= self._limit or self._sent >= len(self):
            return None
        batch = self._unacked[self._sent]
        if batch.session != self._unacked[0].session:
            return None
        if self._alone:
            self._alone, self._probe = False, batch
        self._sent += 1
        self._calls += 1
        return batch

    def acked(self, session: int, seq: int) -> None:
        """A call returned: everything up to (session, seq) is journalled and may be dropped."""
        self._forget(BatchId(session, seq))
        self._settle()

    def expect(self, session: int, seq: int) -> None:
        """A call returned: the receiver misses batches from (session, seq) on.

        Raises
        ------
        Refused
            When the receiver asks for batches it had acknowledged: it was set back.
        """
        probe, oldest = self._probe, self._unacked[0] if self._unacked else None
        if probe is not None and probe == oldest and BatchId(session, seq) < probe:
            self._draining = True
            self._settle()
            raise Refused(
                f"batch {seq} of session {session} is asked for, {probe} is the oldest left",
                "the receiver was set back (a restored backup?): begin a new session",
            )
        self._forget(BatchId(session, seq - 1))
        self._draining = True
        self._settle()

    def lost(self) -> None:
        """A call failed, timed out or was refused for now: whether it was taken is unknown."""
        self._draining = True
        self._settle()

    def __len__(self) -> int:
        """Number of batches not acknowledged."""
        return len(self._unacked)

    def _forget(self, upto: BatchId) -> None:
        """Drop what is journalled; older sessions are not meant by an answer to a newer one."""
        while (
            self._unacked
            and self._unacked[0].session == upto.session
            and self._unacked[0].seq <= upto.seq
        ):
            self._unacked.popleft()
            self._sent = max(0, self._sent - 1)

    def _settle(self) -> None:
        """One call fewer is under way; when none is left, a drain ends in a rewind."""
        self._calls -= 1
        self._probe = None
        if self._draining and self._calls == 0:
            self._draining = False
            self._alone = True
            self._sent = 0
