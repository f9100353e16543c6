"""The metadata store: short, blocking methods, each one transaction."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import orjson
from sqlalchemy import CursorResult, Engine, delete, func, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, defer

from cluster.metadata.connect import connect
from cluster.metadata.sqlite import NEXT_SESSION
from cluster.metadata.tables import (
    AuditRow,
    DeedRow,
    EndpointRow,
    GatewayTokenRow,
    MappingRow,
    NoteRow,
    ParkRow,
    RunRow,
)
from cluster.ports import RunState
from models.errors import Conflict, Corrupt, NotFound, Unavailable

FILE_ORIGIN: Final = "file"
REGISTERED: Final = "registered"
UNSETTLED: Final[Mapping[str, object]] = {
    "result": "unknown",
    "cause": "the service ended before the answer came: it may have been done",
}
"""What is known of a deed whose end nobody saw."""
_GENESIS: Final = "0" * 64
_PAGE: Final = 1000


class MetadataStore:
    """Endpoints, gateways, runs, parks, notes and the audit trail of one installation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def attach(cls, folder: Path, url: str | None = None) -> "MetadataStore":
        """Open a store that another process brought to this version's format."""
        return cls(connect(folder, url))

    def close(self) -> None:
        """Release every connection."""
        self._engine.dispose()

    @contextmanager
    def _session(self) -> Iterator[Session]:
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except IntegrityError:
            raise
        except (DatabaseError, InterfaceError, PoolTimeout) as error:
            raise Unavailable(
                f"the metadata store does not answer ({getattr(error, 'orig', error)})",
                "look at its disk or its server; it is tried again at the next call",
            ) from error

    # Parks

    def put_park(self, row: ParkRow) -> None:
        """Remember a park and the text it was applied from."""
        with self._session() as session:
            session.merge(row)

    def park(self, park: str) -> ParkRow:
        """One park as it was applied last.

        Raises
        ------
        NotFound
            When there is none of that id.
        """
        with self._session() as session:
            row = session.get(ParkRow, park)
            if row is None:
                raise NotFound("park", park, tuple(session.scalars(select(ParkRow.id))))
            return row

    def parks(self) -> list[ParkRow]:
        """All parks by id."""
        with self._session() as session:
            return list(session.scalars(select(ParkRow).order_by(ParkRow.id)))

    # Endpoints and their mapping

    def put_endpoint(self, row: EndpointRow) -> None:
        """Add or replace an endpoint; a removed one comes back."""
        with self._session() as session:
            session.merge(row)

    def endpoints(self, park: str) -> list[EndpointRow]:
        """Every endpoint row of a park, removed ones too."""
        with self._session() as session:
            wanted = select(EndpointRow).where(EndpointRow.park == park)
            return list(session.scalars(wanted.order_by(EndpointRow.created_us, EndpointRow.id)))

    def remove_endpoint(self, park: str, endpoint: str, now_us: int) -> None:
        """Mark an endpoint removed and drop its mapping.

        Raises
        ------
        NotFound
            When there is no such endpoint, or it was removed before.
        """
        with self._session() as session:
            row = session.get(EndpointRow, (park, endpoint))
            if row is None or row.removed_us is not None:
                raise NotFound("endpoint", endpoint)
            row.removed_us = now_us
            session.execute(
                delete(MappingRow).where(MappingRow.park == park, MappingRow.endpoint == endpoint)
            )

    def set_fingerprint(self, park: str, endpoint: str, fingerprint: str) -> None:
        """Remember the certificate an operator trusts for an endpoint."""
        with self._session() as session:
            row = session.get(EndpointRow, (park, endpoint))
            if row is None:
                raise NotFound("endpoint", endpoint)
            row.fingerprint = fingerprint

    def map_nodes(self, park: str, endpoint: str, mapping: Mapping[str, str]) -> None:
        """Bind nodes to tag paths; an empty path unbinds."""
        with self._session() as session:
            for node, path in mapping.items():
                session.merge(MappingRow(park=park, endpoint=endpoint, node=node, path=path))

    def mappings(self, park: str) -> list[MappingRow]:
        """Every node bound or unbound at run time."""
        with self._session() as session:
            return list(session.scalars(select(MappingRow).where(MappingRow.park == park)))

    # Gateways

    def next_session(self, source: str, now_us: int, count: int = 1) -> int:
        """Count a start of a gateway for a shard; the new session, from 1.

        With `count` that many are set aside for its next starts; the first of them.
        """
        with self._session() as session:
            asked = {"source": source, "now_us": now_us, "count": count}
            return int(session.execute(text(NEXT_SESSION), asked).scalar_one()) - count + 1

    def put_token(self, row: GatewayTokenRow) -> None:
        """Keep a token of a gateway."""
        with self._session() as session:
            session.merge(row)

    def token(self, token: str) -> GatewayTokenRow | None:
        """One token by its id, also one that is over."""
        with self._session() as session:
            return session.get(GatewayTokenRow, token)

    def tokens(self) -> list[GatewayTokenRow]:
        """All tokens, also those that are over, oldest first."""
        with self._session() as session:
            wanted = select(GatewayTokenRow).order_by(GatewayTokenRow.created_us)
            return list(session.scalars(wanted))

    def revoke_token(self, token: str, now_us: int) -> None:
        """End a token at once; one that was revoked stays as it is.

        Raises
        ------
        NotFound
            When there is none of that id.
        """
        with self._session() as session:
            row = session.get(GatewayTokenRow, token)
            if row is None:
                known = tuple(session.scalars(select(GatewayTokenRow.id)))
                raise NotFound("token", token, known)
            row.revoked_us = row.revoked_us or now_us

    def config_version(self, token: str, park: str, digest: str, now_us: int) -> int:
        """Version of a gateway's configuration: grows whenever its digest is another one."""
        with self._session() as session:
            row = session.get_one(GatewayTokenRow, token)
            row.heard_us = now_us
            version, known = row.versions.get(park, [0, ""])
            if known == digest:
                return int(str(version))
            new = max(now_us, int(str(version)) + 1)
            row.versions = {**row.versions, park: [new, digest]}
            return new

    # Runs

    def add_run(self, row: RunRow) -> RunRow:
        """Queue a run."""
        with self._session() as session:
            if session.get(RunRow, row.id) is not None:
                raise Conflict(f"run {row.id} is already there", "submit it without an id")
            session.add(row)
        return row

    def run(self, run: str) -> RunRow:
        """One run.

        Raises
        ------
        NotFound
            When there is none of that id.
        """
        with self._session() as session:
            row = session.get(RunRow, run)
            if row is None:
                raise NotFound("run", run, tuple(session.scalars(select(RunRow.id))))
            return row

    def runs(self, park: str | None = None, limit: int = 500) -> list[RunRow]:
        """Runs, newest first, without their plans (each holds a whole snapshot)."""
        wanted = (
            select(RunRow)
            .options(defer(RunRow.plan))
            .order_by(RunRow.created_us.desc(), RunRow.id)
            .limit(limit)
        )
        if park is not None:
            wanted = wanted.where(RunRow.park == park)
        with self._session() as session:
            return list(session.scalars(wanted))

    def claim_run(self, owner: str, now_us: int) -> RunRow | None:
        """Take the queued run of the highest priority, the oldest of them; None when none waits."""
        first = (
            select(RunRow.id)
            .where(RunRow.state == RunState.QUEUED)
            .order_by(RunRow.priority.desc(), RunRow.created_us, RunRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._session() as session:
            run = session.scalar(first)
            if run is None:
                return None
            row = session.get_one(RunRow, run)
            row.state, row.owner = RunState.RUNNING, owner
            row.attempt += 1
            row.started_us = row.heartbeat_us = now_us
            row.progress = 0.0
            return row

    def beat_run(self, run: str, owner: str, progress: float, now_us: int) -> str:
        """Say that a run is alive; who wants it cancelled, or an empty text.

        Raises
        ------
        Conflict
            When the run no longer belongs to this owner.
        """
        with self._session() as session:
            row = session.get_one(RunRow, run)
            if row.state != RunState.RUNNING or row.owner != owner:
                raise Conflict(f"run {run} is {row.state} and belongs to {row.owner or 'nobody'}")
            row.progress, row.heartbeat_us = progress, now_us
            return row.cancel_by

    def keep_plan(self, run: str, plan: bytes, from_us: int) -> None:
        """Keep everything a run starts from, so that a retry starts from the same."""
        with self._session() as session:
            row = session.get_one(RunRow, run)
            row.plan, row.from_us = plan, from_us

    def finish_run(
        self,
        run: str,
        owner: str,
        state: str,
        now_us: int,
        *,
        error: str = "",
        result_hash: str = "",
        outcome: Mapping[str, object] | None = None,
    ) -> None:
        """Close a run this owner holds; nothing happens when it no longer does."""
        with self._session() as session:
            session.execute(
                update(RunRow)
                .where(RunRow.id == run, RunRow.owner == owner, RunRow.state == RunState.RUNNING)
                .values(
                    state=state,
                    finished_us=now_us,
                    progress=1.0 if state == RunState.DONE else RunRow.progress,
                    error=error,
                    result_hash=result_hash,
                    outcome=dict(outcome) if outcome is not None else None,
                )
            )

    def requeue(self, run: str, owner: str, error: str) -> None:
        """Put a run this owner holds back into the queue, with why its attempt failed.

        Without a reason the service ended: that counts as no attempt. Nothing happens when the run
        belongs to somebody else by now.
        """
        with self._session() as session:
            row = session.get_one(RunRow, run)
            if row.state == RunState.RUNNING and row.owner == owner:
                row.state, row.owner, row.error = RunState.QUEUED, "", error
                row.attempt -= not error

    def release(self, owner: str) -> None:
        """Put everything an owner still holds back into the queue; no attempt is counted."""
        with self._session() as session:
            session.execute(
                update(RunRow)
                .where(RunRow.owner == owner, RunRow.state == RunState.RUNNING)
                .values(state=RunState.QUEUED, owner="", attempt=RunRow.attempt - 1)
            )

    def requeue_stale(
        self, before_us: int, attempts: int, now_us: int, spared: Collection[str] = ()
    ) -> tuple[int, int]:
        """Requeue runs whose owner fell silent; fail those that used up their attempts.

        Those `spared` are known to run, whatever the wall clock makes of their last sign.

        Returns
        -------
        tuple[int, int]
            How many were requeued, and how many failed.
        """
        stale = (
            (RunRow.state == RunState.RUNNING)
            & (RunRow.heartbeat_us < before_us)
            & RunRow.id.not_in(spared)
        )
        with self._session() as session:
            failed = session.execute(
                update(RunRow)
                .where(stale & (RunRow.attempt >= attempts))
                .values(
                    state=RunState.FAILED,
                    finished_us=now_us,
                    error=f"its worker died {attempts} times: it is not tried again",
                )
            )
            requeued = session.execute(
                update(RunRow).where(stale).values(state=RunState.QUEUED, owner="")
            )
            return _count(requeued), _count(failed)

    def queued(self) -> int:
        """How many runs wait."""
        waiting = select(func.count()).where(RunRow.state == RunState.QUEUED)
        with self._session() as session:
            return session.scalar(waiting) or 0

    def ended_runs(self) -> list[tuple[str, int]]:
        """Ids of the runs that have ended, and when [us], the newest first."""
        wanted = (
            select(RunRow.id, RunRow.finished_us)
            .where(RunRow.state.not_in([RunState.QUEUED, RunState.RUNNING]))
            .order_by(RunRow.finished_us.desc(), RunRow.id)
        )
        with self._session() as session:
            return [(run, finished_us or 0) for run, finished_us in session.execute(wanted)]

    def forget_run(self, run: str) -> None:
        """Remove the row of a run."""
        with self._session() as session:
            session.execute(delete(RunRow).where(RunRow.id == run))

    def cancel_run(self, run: str, by: str, now_us: int) -> str:
        """Cancel a queued run, ask for the cancellation of a running one; the state it is in.

        Raises
        ------
        NotFound, Conflict
            When there is none, or it has ended.
        """
        with self._session() as session:
            row = session.get(RunRow, run)
            if row is None:
                raise NotFound("run", run)
            if row.state not in {RunState.QUEUED, RunState.RUNNING}:
                raise Conflict(f"run {run} is {row.state}", "only a waiting or running one stops")
            row.cancel_by = by
            if row.state == RunState.QUEUED:
                row.state, row.finished_us = RunState.CANCELLED, now_us
            return row.state

    # Audit and notes

    def audit(
        self, at_us: int, who: str, action: str, subject: str, detail: Mapping[str, object]
    ) -> str:
        """Append to the trail; the row's hash."""
        row = AuditRow(at_us=at_us, who=who, action=action, subject=subject, detail=dict(detail))
        with self._session() as session:
            return _append(session, row)

    def begin_deed(self, row: DeedRow) -> None:
        """Keep what is about to be done, so that it is recorded whatever happens meanwhile."""
        with self._session() as session:
            session.add(row)

    def end_deed(self, deed: str, detail: Mapping[str, object]) -> str:
        """Record what came of a deed, as one row of the trail; that row's hash."""
        with self._session() as session:
            row = session.get_one(DeedRow, deed)
            session.delete(row)
            return _append(session, _recorded(row, detail))

    def settle_deeds(self) -> int:
        """Record deeds whose end a process did not live to see; how many there were."""
        with self._session() as session:
            rows = list(session.scalars(select(DeedRow).order_by(DeedRow.at_us, DeedRow.id)))
            for row in rows:
                session.delete(row)
                _append(session, _recorded(row, UNSETTLED))
                session.flush()  # the next row follows from this one
            return len(rows)

    def audit_page(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        who: str = "",
        action: str = "",
        subject: str = "",
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditRow]:
        """Rows of the trail, newest first.

        Parameters
        ----------
        since_us, until_us
            From this wall time on, and before that one [us].
        who, action, subject
            Exactly this name; actions that begin so; subjects that hold this.
        before
            Only rows before this number, to go on from an earlier page.
        limit
            Rows at most.
        """
        wanted = select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit)
        if since_us is not None:
            wanted = wanted.where(AuditRow.at_us >= since_us)
        if until_us is not None:
            wanted = wanted.where(AuditRow.at_us < until_us)
        if who:
            wanted = wanted.where(AuditRow.who == who)
        if action:
            wanted = wanted.where(AuditRow.action.startswith(action, autoescape=True))
        if subject:
            wanted = wanted.where(AuditRow.subject.contains(subject, autoescape=True))
        if before is not None:
            wanted = wanted.where(AuditRow.seq < before)
        with self._session() as session:
            return list(session.scalars(wanted))

    def audit_trail(self, limit: int = 1000) -> list[AuditRow]:
        """The newest rows, oldest first."""
        with self._session() as session:
            newest = select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit)
            return list(session.scalars(newest))[::-1]

    def verify_audit(self) -> int:
        """Check the whole chain; the number of rows.

        In pages, each a transaction: SQLite lets nobody write during one, and a trail grows for
        years. Rows that come meanwhile follow those that were checked.

        Raises
        ------
        Corrupt
            When a row was changed, removed or put in between.
        """
        previous, count = _GENESIS, 0
        after: int | None = None
        while rows := self._audit_after(after):
            for row in rows:
                if row.previous != previous or row.hash != _link(row):
                    raise Corrupt(
                        f"audit row {row.seq} does not follow from the one before it",
                        "keep the database as evidence and restore a backup",
                    )
                previous, count, after = row.hash, count + 1, row.seq
        return count

    def _audit_after(self, seq: int | None) -> list[AuditRow]:
        wanted = select(AuditRow).order_by(AuditRow.seq).limit(_PAGE)
        if seq is not None:
            wanted = wanted.where(AuditRow.seq > seq)
        with self._session() as session:
            return list(session.scalars(wanted))

    def add_note(self, row: NoteRow) -> None:
        """Keep a note."""
        with self._session() as session:
            session.add(row)

    def notes(self, park: str) -> Sequence[NoteRow]:
        """Notes of a park, oldest first."""
        with self._session() as session:
            return list(session.scalars(select(NoteRow).where(NoteRow.park == park)))


def _append(session: Session, row: AuditRow) -> str:
    """Add a row behind the newest one; its hash.

    SQLite lets one write at a time. In PostgreSQL a lock of the newest row would not do: who waited
    for it goes on with that row, although another one follows it by then.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    last = select(AuditRow.hash).order_by(AuditRow.seq.desc()).limit(1)
    row.previous = session.scalar(last) or _GENESIS
    row.hash = _link(row)
    session.add(row)
    return row.hash


def _recorded(row: DeedRow, detail: Mapping[str, object]) -> AuditRow:
    return AuditRow(
        at_us=row.at_us,
        who=row.who,
        action=row.action,
        subject=row.subject,
        detail={**row.detail, **detail},
    )


def _link(row: AuditRow) -> str:
    """SHA-256 over the row before it and everything this row says."""
    content = [row.previous, row.at_us, row.who, row.action, row.subject, row.detail]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _count(result: object) -> int:
    return cast("CursorResult[object]", result).rowcount
