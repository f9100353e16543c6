"""Where what-if work is done: functions sent to Ray's workers, with limits around each call."""

import asyncio
import os
import resource
from collections.abc import Callable
from typing import Final, Protocol, TypeVar, cast

import ray
from ray.exceptions import (
    OutOfMemoryError,
    RayError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)

from cluster.engine import WHATIF
from models.errors import TwinError, Unavailable

T = TypeVar("T")
_NICE: Final = 10
_EXTRA_BYTES: Final = 6 * 2**30
_COOPERATE_S: Final = 1.0


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
    """Ray tasks, at most `slots` at once, with low priority and bounded memory and time.

    Parameters
    ----------
    slots
        Calls at once; also the amount of the custom resource Ray was started with.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots

    @property
    def slots(self) -> int:
        """Calls at once."""
        return self._slots

    def share(self, value: object) -> object:
        """A reference into the object store."""
        return ray.put(value)

    async def call(self, function: Callable[..., T], *arguments: object, limit_s: float) -> T:
        """One task; see `Workers.call`."""
        reference = _task.remote(function, *arguments)
        try:
            async with asyncio.timeout(limit_s):
                return cast("T", await reference)
        except (asyncio.CancelledError, TimeoutError) as error:
            await _cancel(reference)
            if isinstance(error, TimeoutError):
                raise WorkFailed(f"it took longer than {limit_s:.0f} s and was stopped") from error
            raise
        except (WorkerCrashedError, OutOfMemoryError) as error:
            raise WorkerLost(f"its process died ({type(error).__name__})") from error
        except TaskCancelledError as error:
            raise WorkerLost("it was cancelled") from error
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TwinError):
                raise cause from error
            raise WorkFailed(_told(cause)) from error
        except RayError as error:
            raise WorkerLost(f"Ray lost it ({type(error).__name__})") from error


@ray.remote(num_cpus=0, resources={WHATIF: 1}, max_retries=0)
def _task(function: Callable[..., T], *arguments: object) -> T:
    """Run one function in a worker that steps back before twins and cannot eat all memory."""
    step_back()
    return function(*arguments)


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


async def _cancel(reference: "ray.ObjectRef[object]") -> None:
    """Ask a task to stop, and stop its process when it does not (a native loop cannot listen)."""
    ray.cancel(reference, force=False)
    done, _ = await asyncio.to_thread(ray.wait, [reference], num_returns=1, timeout=_COOPERATE_S)
    if not done:
        ray.cancel(reference, force=True)


def _told(cause: BaseException) -> str:
    if isinstance(cause, MemoryError):
        return "it needs more memory than a what-if may have: ask for less"
    return f"{type(cause).__name__}: {cause}"
