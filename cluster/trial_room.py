"""Tests of endpoints under way: told step by step while they run."""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Final

from cluster.ports import EndpointTest
from connectors.opcua.config import EndpointConfig
from connectors.opcua.security import Pki
from connectors.opcua.trial import try_endpoint
from models.errors import NotFound

_KEPT_MOST: Final = 16


@dataclass(slots=True)
class _Trial:
    found: EndpointTest
    task: asyncio.Task[None] | None = None


class TrialRoom:
    """Tries endpoints in the background.

    Parameters
    ----------
    pki
        Certificates.
    """

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._trials: dict[str, _Trial] = {}

    def begin(self, config: EndpointConfig) -> str:
        """Start a test; the name to ask for it."""
        name = uuid.uuid4().hex
        nothing = EndpointTest(
            url=config.url, ok=False, steps=(), namespaces=(), product="", policies=()
        )
        trial = self._trials[name] = _Trial(nothing)
        trial.task = asyncio.create_task(self._run(trial, config))
        done = [n for n, t in self._trials.items() if t.task is not None and t.task.done()]
        for old in done[: max(0, len(self._trials) - _KEPT_MOST)]:
            del self._trials[old]
        return name

    def told(self, name: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over.

        Raises
        ------
        NotFound
            When it was forgotten: the gateway started anew since, or many tests followed.
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

    async def _run(self, trial: _Trial, config: EndpointConfig) -> None:
        def told(found: EndpointTest) -> None:
            trial.found = found

        trial.found = await try_endpoint(config, pki=self._pki, told=told)
