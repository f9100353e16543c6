"""Tests of endpoints under way: told step by step while they run."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cluster.ports import EndpointTest
from connectors.opcua.config import EndpointConfig
from models.errors import NotFound

_KEPT_MOST: Final = 16

Tries = Callable[[EndpointConfig, Callable[[EndpointTest], None]], Awaitable[EndpointTest]]
"""Tries an endpoint, and tells after each step what was found so far."""


@dataclass(slots=True)
class _Trial:
    found: EndpointTest
    task: asyncio.Task[None] | None = None


class TrialRoom:
    """Tries endpoints in the background."""

    def __init__(self) -> None:
        self._trials: dict[str, _Trial] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._trials

    def begin(self, config: EndpointConfig, tries: Tries) -> str:
        """Start a test; the name to ask for it."""
        name = uuid.uuid4().hex
        nothing = EndpointTest(
            url=config.url, ok=False, steps=(), namespaces=(), product="", policies=()
        )
        trial = self._trials[name] = _Trial(nothing)
        trial.task = asyncio.create_task(_run(trial, config, tries))
        done = [n for n, t in self._trials.items() if t.task is not None and t.task.done()]
        for old in done[: max(0, len(self._trials) - _KEPT_MOST)]:
            del self._trials[old]
        return name

    def told(self, name: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over.

        Raises
        ------
        NotFound
            When it was forgotten: the process started anew since, or many tests followed.
        TwinError
            As it happened, when the test could not be made.
        """
        trial = self._trials.get(name)
        if trial is None or trial.task is None:
            raise NotFound("test", name, ())
        if trial.task.done():
            trial.task.result()
        return trial.found, trial.task.done()

    async def stop(self) -> None:
        """End what is under way."""
        tasks = [t.task for t in self._trials.values() if t.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _run(trial: _Trial, config: EndpointConfig, tries: Tries) -> None:
    def told(found: EndpointTest) -> None:
        trial.found = found

    trial.found = await tries(config, told)
