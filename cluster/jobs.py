"""The queue of what-if runs: claimed by priority, run in pieces, kept over restarts.

A run is a row of the metadata store. The dispatcher claims one, keeps the snapshot it starts from
(so that a second attempt starts from the same), splits it into tasks, and stores the outcome. Rows
whose dispatcher fell silent go back into the queue; a run whose workers die again and again is
given up after a few attempts, so that a poison run harms nobody.
"""

import asyncio
import logging
import shutil
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster import outcomes
from cluster.metadata.store import MetadataStore
from cluster.metadata.tables import RunRow
from cluster.ports import Outcome, Run, RunState
from cluster.whatif_tasks import Work
from cluster.workers import Workers
from connectors.clock import wall_us
from models.errors import Conflict, TwinError, Unavailable
from twin.whatif.plan import Piece

logger = logging.getLogger(__name__)

PINNED: Final = "pinned"
"""A file of this name in the folder of a run keeps it for ever."""
_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """Limits of the queue.

    Parameters
    ----------
    runs
        Runs under way at once; their tasks share the workers' slots.
    attempts
        How often a run is tried when its workers die.
    task_s, run_s
        Longest wall time of one task and of a whole run [s].
    look_s, beat_s
        How often the queue is looked at, and a run says that it is alive [s].
    stale_s
        Silence after which a run is taken from its dispatcher [s].
    least_free
        Free part of the disk below which nothing new starts.
    waiting_most
        Runs that may wait; another one is refused.
    keep_s, keep_runs
        Ended runs are forgotten with their outcomes when they are older [s], or when so many newer
        ones have ended. One with a file ``pinned`` in its folder stays.
    tidy_s
        How often that is looked at [s].
    """

    runs: int = 2
    attempts: int = 3
    task_s: float = 300.0
    run_s: float = 3600.0
    look_s: float = 0.3
    beat_s: float = 1.0
    stale_s: float = 10.0
    least_free: float = 0.10
    waiting_most: int = 200
    keep_s: float = 90 * 86_400.0
    keep_runs: int = 500
    tidy_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a run asks for, read from its text once."""

    name: str
    park: str
    origin: str
    horizon_us: int
    branches: tuple[str, ...]
    replications: int


MakePlan = Callable[[str, str], Awaitable[tuple[bytes, int]]]
"""``make_plan(park, text)``: everything a run needs, and the park time it starts from [us]."""


class JobQueue:
    """The queue and its dispatcher.

    Parameters
    ----------
    store
        The durable table.
    workers
        Where tasks run.
    work
        What is done in them.
    folder
        Where outcomes are kept.
    make_plan
        Makes the plan of a run when it begins for the first time.
    free
        Free part of the disk.
    settings
        Limits.
    """

    def __init__(
        self,
        store: MetadataStore,
        workers: Workers,
        work: Work,
        folder: Path,
        make_plan: MakePlan,
        free: Callable[[], float] = lambda: 1.0,
        settings: JobSettings | None = None,
    ) -> None:
        self._store, self._workers, self._work, self._folder = store, workers, work, folder
        self._make_plan, self._free = make_plan, free
        self._settings = settings or JobSettings()
        self._owner = uuid.uuid4().hex
        self._active: dict[str, asyncio.Task[None]] = {}
        self._claiming: set[asyncio.Task[RunRow | None]] = set()
        self._slots = asyncio.Semaphore(workers.slots)
        self._tidy_due_s = 0.0

    # What callers ask

    async def submit(self, text: str, request: Request, by: str, priority: int) -> Run:
        """Queue a run.

        Raises
        ------
        Unavailable
            When the disk is nearly full, or too many runs wait.
        """
        if self._free() < self._settings.least_free:
            raise Unavailable(
                f"the disk has {self._free():.0%} free, what-if needs "
                f"{self._settings.least_free:.0%}",
                "free disk space",
            )
        waiting = await asyncio.to_thread(self._store.queued)
        if waiting >= self._settings.waiting_most:
            raise Unavailable(
                f"{waiting} what-ifs wait already", "wait until some have run, or cancel some"
            )
        row = RunRow(
            id=uuid.uuid4().hex[:12],
            name=request.name,
            park=request.park,
            spec=text,
            state=RunState.QUEUED,
            progress=0.0,
            priority=priority,
            attempt=0,
            submitted_by=by,
            created_us=wall_us(),
            owner="",
            cancel_by="",
            horizon_us=request.horizon_us,
            branches=list(request.branches),
            replications=request.replications,
            error="",
            result_hash="",
        )
        return run_of(await asyncio.to_thread(self._store.add_run, row))

    async def outcome(self, run: str) -> Outcome:
        """The outcome of a run.

        Raises
        ------
        Unavailable
            While it is not done.
        Conflict
            When it will never be.
        """
        row = await asyncio.to_thread(self._store.run, run)
        if row.state in {RunState.QUEUED, RunState.RUNNING}:
            raise Unavailable(f"run {run} is {row.state} ({row.progress:.0%})", "wait for it")
        if row.state != RunState.DONE or row.outcome is None:
            raise Conflict(f"run {run} {row.state}: {row.error}", "submit it again")
        return await asyncio.to_thread(outcomes.read, self._folder / run, row.outcome)

    async def cancel(self, run: str, by: str) -> None:
        """Cancel a run; one that runs stops within seconds."""
        await asyncio.to_thread(self._store.cancel_run, run, by, wall_us())
        task = self._active.get(run)
        if task is not None:
            task.cancel()

    # The dispatcher

    async def dispatch(self) -> None:
        """Claim and run, for ever; on cancellation, what runs goes back into the queue."""
        try:
            while True:
                await self._look()
                await asyncio.sleep(self._settings.look_s)
        finally:
            await asyncio.gather(*self._claiming, return_exceptions=True)
            for task in self._active.values():
                task.cancel()
            await asyncio.gather(*self._active.values(), return_exceptions=True)
            self._store.release(self._owner)

    async def _look(self) -> None:
        settings = self._settings
        try:
            stale_us = wall_us() - round(settings.stale_s * _MICRO)
            # Our own are spared: a step of the wall clock would make a living run stale.
            await asyncio.to_thread(
                self._store.requeue_stale, stale_us, settings.attempts, wall_us(), (*self._active,)
            )
            await self._tidy()
            while len(self._active) < settings.runs and self._free() >= settings.least_free:
                row = await self._claim()
                if row is None:
                    return
                task = asyncio.create_task(self._run(row), name=f"run {row.id}")
                self._active[row.id] = task
                task.add_done_callback(self._ended)
        except Unavailable as error:
            logger.warning("the queue waits", extra={"cause": str(error)})

    async def _tidy(self) -> None:
        """Forget ended runs of long ago, now and then."""
        if time.monotonic() < self._tidy_due_s:
            return
        self._tidy_due_s = time.monotonic() + self._settings.tidy_s
        await asyncio.to_thread(self._forget_old)

    def _forget_old(self) -> None:
        before_us = wall_us() - round(self._settings.keep_s * _MICRO)
        kept = 0
        for run, finished_us in self._store.ended_runs():
            folder = self._folder / run
            if (folder / PINNED).exists():
                continue
            if finished_us >= before_us and kept < self._settings.keep_runs:
                kept += 1
                continue
            # The row goes last: should this end halfway, the next look finishes it.
            shutil.rmtree(folder, ignore_errors=True)
            self._store.forget_run(run)
            logger.info("an old run is forgotten", extra={"run": run})

    async def _claim(self) -> RunRow | None:
        """Claim to the end, even when the dispatcher is being stopped: no row is left between."""
        claim = asyncio.create_task(
            asyncio.to_thread(self._store.claim_run, self._owner, wall_us())
        )
        self._claiming = {claim}
        return await asyncio.shield(claim)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._active = {run: other for run, other in self._active.items() if other is not task}

    async def _run(self, row: RunRow) -> None:
        """One attempt; every ending leaves the row in a state of its own."""
        progress = Progress()
        beating = asyncio.create_task(self._beat(row.id, progress))
        try:
            async with asyncio.timeout(self._settings.run_s):
                outcome = await self._simulate(row, progress)
            kept = await asyncio.to_thread(outcomes.write, self._folder / row.id, outcome)
            self._store.finish_run(
                row.id,
                self._owner,
                RunState.DONE,
                wall_us(),
                result_hash=outcome.provenance.result_hash,
                outcome=kept,
            )
        except asyncio.CancelledError:
            self._cancelled(row)
            raise
        except TimeoutError:
            self._failed(row, f"it took longer than {self._settings.run_s:.0f} s and was stopped")
        except Unavailable as error:
            self._try_again(row, str(error))
        except (TwinError, OSError) as error:
            self._failed(row, str(error))
        except Exception as error:
            logger.exception("a run broke", extra={"run": row.id})
            self._failed(row, f"{type(error).__name__}: {error}")
        finally:
            beating.cancel()

    async def _simulate(self, row: RunRow, progress: "Progress") -> Outcome:
        """Compile, run pieces until the plan wants no more, and combine."""
        plan = row.plan
        if plan is None:
            plan, from_us = await self._make_plan(row.park, row.spec)
            await asyncio.to_thread(self._store.keep_plan, row.id, plan, from_us)
        work, call, limit_s = self._work, self._workers.call, self._settings.task_s
        pieces = await call(work.compile, plan, limit_s=limit_s)
        shared = self._workers.share(plan)
        parts: list[bytes] = []
        while pieces:
            progress.total += len(pieces)
            parts += await self._all(shared, pieces, progress)
            pieces = await call(work.more, shared, parts, limit_s=limit_s)
        return await call(work.combine, shared, parts, limit_s=limit_s)

    async def _all(
        self, plan: object, pieces: Sequence[Piece], progress: "Progress"
    ) -> list[bytes]:
        """Results of pieces in their order, whoever is ready first."""

        async def one(piece: Piece) -> bytes:
            async with self._slots:
                part = await self._workers.call(
                    self._work.run, plan, piece, limit_s=self._settings.task_s
                )
            progress.done += 1
            return part

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(piece)) for piece in pieces]
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _beat(self, run: str, progress: "Progress") -> None:
        while True:
            await asyncio.sleep(self._settings.beat_s)
            try:
                cancel = await asyncio.to_thread(
                    self._store.beat_run, run, self._owner, progress.share, wall_us()
                )
            except Unavailable:
                continue
            except Conflict:
                cancel = "somebody took it over"
            if cancel and run in self._active:
                self._active[run].cancel()
                return

    def _cancelled(self, row: RunRow) -> None:
        """A person cancelled it, or the service ends: then it waits for the next one."""
        by = self._store.run(row.id).cancel_by
        if by:
            self._store.finish_run(
                row.id, self._owner, RunState.CANCELLED, wall_us(), error=f"cancelled by {by}"
            )
        else:
            self._store.requeue(row.id, self._owner, "")

    def _try_again(self, row: RunRow, cause: str) -> None:
        if row.attempt >= self._settings.attempts:
            self._failed(row, f"given up after {row.attempt} attempts: {cause}")
            return
        logger.warning("a run is tried again", extra={"run": row.id, "cause": cause})
        self._store.requeue(row.id, self._owner, cause)

    def _failed(self, row: RunRow, cause: str) -> None:
        logger.warning("a run failed", extra={"run": row.id, "cause": cause})
        self._store.finish_run(row.id, self._owner, RunState.FAILED, wall_us(), error=cause)


@dataclass(slots=True)
class Progress:
    """How many pieces are done, of how many."""

    done: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """0 to 1; the last part is the combination."""
        return 0.98 * self.done / self.total if self.total else 0.0


def run_of(row: RunRow) -> Run:
    """A row as pages and routes see it."""
    return Run(
        id=row.id,
        name=row.name,
        park=row.park,
        state=row.state,
        progress=row.progress,
        priority=row.priority,
        attempt=row.attempt,
        submitted_by=row.submitted_by,
        created_us=row.created_us,
        started_us=row.started_us,
        finished_us=row.finished_us,
        from_us=row.from_us,
        horizon_us=row.horizon_us,
        branches=tuple(row.branches),
        replications=row.replications,
        error=row.error,
        result_hash=row.result_hash,
    )
