"""Work that goes on until somebody ends the process."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine


async def until_stopped(work: Coroutine[object, object, None], for_s: float | None) -> None:
    """Work until SIGINT, SIGTERM or the time is over; its error is raised.

    Parameters
    ----------
    work
        Is cancelled then, and waited for.
    for_s
        Stop after so many seconds; None for never.
    """
    working = asyncio.create_task(work)
    stopped = asyncio.create_task(_stopped(for_s))
    await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
    for task in (working, stopped):
        task.cancel()
    ended, _ = await asyncio.gather(working, stopped, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def _stopped(for_s: float | None) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await told.wait()
