"""Crawls of one gateway: one per endpoint, under way or finished, told while they run."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors.onboarding.seen import SeenNode
from connectors.opcua.config import EndpointConfig
from connectors.opcua.crawl import Progress, crawl_all, look
from connectors.opcua.security import Pki
from connectors.opcua.session import close, explain, open_session
from models.errors import Unavailable

_LOOKS: Final = 5
_LOOK_EVERY_S: Final = 1.0
_LOOKED_MOST: Final = 20_000
"""Above it values are seen once only: five readings of everything would burden a PLC."""
_KEPT_MOST: Final = 4
_TIMEOUT_S: Final = 15.0


@dataclass(slots=True)
class _Crawl:
    task: asyncio.Task[None] | None = None
    progress: Progress = field(
        default_factory=lambda: Progress(nodes=0, levels=0, left=1, per_s=0.0)
    )
    nodes: tuple[SeenNode, ...] = ()
    complete: bool = False
    what: str = ""
    remedy: str = ""
    stopped: bool = False


class CrawlRoom:
    """Crawls endpoints in the background.

    Parameters
    ----------
    folder
        Where states of unfinished crawls are kept.
    pki
        Certificates.
    """

    def __init__(self, folder: Path, pki: Pki) -> None:
        self._folder, self._pki = folder, pki
        self._crawls: dict[str, _Crawl] = {}

    def begin(self, name: str, config: EndpointConfig, *, fresh: bool) -> dict[str, object]:
        """Start a crawl where none is under way or finished; where it stands."""
        crawl = self._crawls.get(name)
        if crawl is not None and crawl.stopped:
            crawl = None  # it goes on from its state
        failed = crawl is not None and bool(crawl.what)
        done = crawl is not None and (crawl.task is None or crawl.task.done())
        if crawl is None or failed or (fresh and done):
            told = self._told(crawl) if failed and not fresh and crawl is not None else None
            if told is not None:
                del self._crawls[name]  # told once; asked again it starts anew, from its state
                return told
            if fresh:
                self._state(config).unlink(missing_ok=True)
            crawl = self._crawls[name] = _Crawl()
            crawl.task = asyncio.create_task(self._run(crawl, config))
            self._forget_old()
        return self._told(crawl)

    async def cancel(self, name: str) -> dict[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was.

        Raises
        ------
        Unavailable
            When none is known.
        """
        crawl = self._crawls.get(name)
        if crawl is None or crawl.task is None:
            raise Unavailable(f"{name} was not crawled yet", "crawl it first")
        if not crawl.task.done():
            crawl.stopped = True
            crawl.task.cancel()
            await asyncio.gather(crawl.task, return_exceptions=True)
        return self._told(crawl)

    def nodes(self, name: str) -> tuple[SeenNode, ...]:
        """Nodes of a finished crawl.

        Raises
        ------
        Unavailable
            When there is none.
        """
        crawl = self._crawls.get(name)
        if (
            crawl is None
            or crawl.task is None
            or not crawl.task.done()
            or crawl.what
            or crawl.stopped
        ):
            raise Unavailable(f"{name} was not crawled yet", "crawl it first")
        return crawl.nodes

    async def stop(self) -> None:
        """End what is under way; the states stay."""
        tasks = [c.task for c in self._crawls.values() if c.task is not None and not c.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, crawl: _Crawl, config: EndpointConfig) -> None:
        def told(progress: Progress) -> None:
            crawl.progress = progress

        try:
            found = await crawl_all(
                config,
                pki=self._pki,
                timeout_s=_TIMEOUT_S,
                state=self._state(config),
                progress=told,
            )
            rounds = _LOOKS if len(found.nodes) <= _LOOKED_MOST else 1
            crawl.nodes, crawl.complete = found.nodes, found.complete
            client = await open_session(config, self._pki, _TIMEOUT_S)
            try:
                crawl.nodes = await look(client, found.nodes, rounds=rounds, every_s=_LOOK_EVERY_S)
            finally:
                await close(client)
        except Exception as fault:  # noqa: BLE001 - whatever a stranger's server does is told
            crawl.what, crawl.remedy = explain(fault)

    def _state(self, config: EndpointConfig) -> Path:
        mark = hashlib.sha256(config.url.encode()).hexdigest()[:16]
        return self._folder / f"crawl-{mark}.jsonl"

    def _told(self, crawl: _Crawl) -> dict[str, object]:
        running = crawl.task is not None and not crawl.task.done()
        state = "running" if running else ("failed" if crawl.what else "done")
        if crawl.stopped:
            state = "stopped"
        progress = crawl.progress
        return {
            "state": state,
            "nodes": len(crawl.nodes) or progress.nodes,
            "levels": progress.levels,
            "left": progress.left if running else 0,
            "per_s": progress.per_s,
            "complete": crawl.complete,
            "what": crawl.what,
            "remedy": crawl.remedy,
        }

    def _forget_old(self) -> None:
        """Keep a few only: the nodes of a crawl are many."""
        done = [n for n, c in self._crawls.items() if c.task is not None and c.task.done()]
        for name in done[: max(0, len(self._crawls) - _KEPT_MOST)]:
            del self._crawls[name]
