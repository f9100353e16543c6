"""Where what-if work is done: functions sent to Ray's workers, with limits around each call."""

import asyncio
import logging
import os
import resource
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast

import ray
from ray.actor import ActorHandle
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError

from cluster.engine import WHATIF
from models.errors import TwinError, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")
_READY: Final = 2
"""Processes that are started before anybody asks: more would hold memory for nothing."""
_NICE: Final = 10
_EXTRA_BYTES: Final = 6 * 2**30


class WorkFailed(TwinError):
    """A piece of work cannot be done, however often it is tried.

    Parameters
    ----------
    cause
        What the work said.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return self.cause


class WorkerLost(Unavailable):
    """The process that did a piece of work is gone; it may be tried again, a few times."""


class Workers(Protocol):
    """Something that runs functions elsewhere."""

    @property
    def slots(self) -> int:
        """How many calls run at once."""

    def share(self, value: object) -> object:
        """Put a value where all workers reach it; a handle to pass in its place."""

    async def call(self, function: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """Run a function and wait for it; cancelling the wait cancels the work.

        Raises
        ------
        WorkFailed
            When it raised, or took longer than `limit_s`.
        WorkerLost
            When its process died.
        """


class RayWorkers:
    """Processes of Ray that stay: at most `slots`, with low priority, bounded memory and time.

    A new process imports for seconds before it can work, a kept one begins at once and knows the
    park it has read. One that is lost, stopped or broke its work is ended and replaced.

    Parameters
    ----------
    slots
        Calls at once.
    first
        What a new process does before its first call, so that later ones find everything loaded.
        Given, some processes are started at once, one after the other: what the one compiles the
        next one reads.
    """

    def __init__(self, slots: int, first: Callable[[], object] | None = None) -> None:
        self._slots, self._first = slots, first
        self._free = asyncio.Semaphore(slots)
        self._idle: list[ActorHandle[Worker]] = []
        if first is not None:
            before: object = None
            for _ in range(min(slots, _READY)):
                worker, before = self._start(before)
                self._idle.insert(0, worker)

    @property
    def slots(self) -> int:
        """Calls at once."""
        return self._slots

    def share(self, value: object) -> object:
        """A reference into the object store."""
        return ray.put(value)

    async def call(self, function: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """One call in a process of its own as long as it lasts; see `Workers.call`."""
        async with self._free:
            worker = self._idle.pop() if self._idle else self._start()[0]
            try:
                done = await _call(worker, function, arguments, limit_s)
            except TwinError as error:
                self._put_back(worker, whole=not isinstance(error, (WorkFailed, WorkerLost)))
                raise
            except BaseException:
                self._put_back(worker, whole=False)
                raise
            self._put_back(worker, whole=True)
            return done

    def _put_back(self, worker: "ActorHandle[Worker]", *, whole: bool) -> None:
        """Keep a worker for the next call; end one that may still run, or had too little memory."""
        if whole:
            self._idle.append(worker)
            return
        ray.kill(worker)
        self._idle.insert(0, self._start()[0])

    def _start(self, after: object = None) -> "tuple[ActorHandle[Worker], object]":
        """A new process, and a reference that is there when it is ready."""
        worker = cast("ActorHandle[Worker]", _WorkerActor.remote())
        return worker, None if self._first is None else worker.warm.remote(self._first, after)


class Worker:
    """A process for what-if work: it steps back before twins and cannot eat all memory."""

    def __init__(self) -> None:
        step_back()

    def warm(self, first: Callable[[], object], _after: object) -> None:
        """Load what later calls need; a fault here is theirs to meet again and to tell."""
        try:
            first()
        except Exception:
            logger.exception("a worker begins cold")

    def do(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function."""
        return function(*arguments)


# The resource only names the nodes for what-ifs; how many work at once, the pool counts itself.
_WorkerActor = ray.remote(
    max_restarts=0,
    max_task_retries=0,
    num_cpus=0,
    resources={WHATIF: 0.01},
    scheduling_strategy="SPREAD",
)(Worker)


async def _call(
    worker: "ActorHandle[Worker]",
    function: Callable[..., T],
    arguments: tuple[object, ...],
    limit_s: float,
) -> T:
    """One call, with every ending of it told in our own errors."""
    try:
        async with asyncio.timeout(limit_s):
            return cast("T", await worker.do.remote(function, *arguments))
    except TimeoutError as error:
        if isinstance(error, RayTaskError):
            raise WorkFailed(_told(error.cause)) from error
        raise WorkFailed(f"it took longer than {limit_s:.0f} s and was stopped") from error
    except OutOfMemoryError as error:
        raise WorkerLost("its process died (OutOfMemoryError)") from error
    except RayActorError as error:
        raise WorkerLost(f"its process died ({type(error).__name__})") from error
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, TwinError):
            raise cause from error
        raise WorkFailed(_told(cause)) from error
    except RayError as error:
        raise WorkerLost(f"Ray lost it ({type(error).__name__})") from error


def step_back() -> None:
    """Lower this process's priority and bound its address space; once per process."""
    if os.nice(0) < _NICE:
        os.nice(_NICE - os.nice(0))
        used = _address_space()
        resource.setrlimit(resource.RLIMIT_AS, (used + _EXTRA_BYTES, resource.RLIM_INFINITY))


def _address_space() -> int:
    """Virtual memory of this process [B]; the object store alone maps hundreds of MB."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a path object gains nothing
        return int(file.read().split()[0]) * resource.getpagesize()


def _told(cause: BaseException) -> str:
    if isinstance(cause, MemoryError):
        return "it needs more memory than a what-if may have: ask for less"
    return f"{type(cause).__name__}: {cause}"
