"""Onboarding an endpoint of a running park: crawl, proposals, lint, tag lists, rules."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from cluster import bindings
from cluster.live_park import LivePark
from connectors.onboarding.lint import lint
from connectors.onboarding.match import Match, Matcher
from connectors.onboarding.seen import SeenNode
from connectors.onboarding.taglist import Diff, diff, read_list, table
from connectors.onboarding.wildcard import Rule, added
from connectors.opcua.reach import allowed_reach
from models.errors import InputError, NotFound, Problem, Unavailable
from twin.park import Park
from twin.parkfile.mapping import is_rule
from twin.tags import Binding


class OnboardingDesk:
    """What helps to map an endpoint; nothing here changes anything.

    Parameters
    ----------
    live
        The running park.
    """

    def __init__(self, live: LivePark) -> None:
        self._live = live

    async def crawl(self, url_or_id: str, *, fresh: bool = False) -> Mapping[str, object]:
        """Start a crawl, or tell how far the one under way is.

        Raises
        ------
        NotFound, InputError, Refused
            When the endpoint is none, or its address may not be reached.
        """
        await self._reachable(url_or_id)
        told = await self._live.ask_gateway("crawl", url_or_id, fresh)
        return cast("Mapping[str, object]", told)

    async def propose(self, url_or_id: str) -> Sequence[Mapping[str, object]]:
        """Proposals for everything a finished crawl found, the most certain first."""
        nodes = await self._crawled(url_or_id)
        return await asyncio.to_thread(_proposals, nodes, self._park())

    async def lint(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        """Findings of an endpoint's mapping."""
        self._known(endpoint)
        nodes = await self._crawled(endpoint)
        found = await asyncio.to_thread(lint, self._bound(endpoint), nodes)
        return [asdict(finding) for finding in found]

    async def diff(self, endpoint: str, data: bytes, name: str) -> Mapping[str, object]:
        """What applying a tag list would do, with what is wrong by line.

        Raises
        ------
        InputError
            When the list cannot be read.
        """
        self._known(endpoint)
        listed = await asyncio.to_thread(read_list, data, name)
        nodes: tuple[SeenNode, ...] = ()
        if any(not entry.node or not entry.path for entry in listed.entries):
            nodes = await self._crawled(endpoint)
        park, bound = self._live.park, self._bound(endpoint)
        found: Diff = await asyncio.to_thread(diff, listed, nodes, park, endpoint, bound, name)
        return {
            "dialect": listed.dialect,
            "changes": [asdict(change) for change in found.changes],
            "problems": [_problem(problem) for problem in found.problems],
            "mapping": found.mapping(),
        }

    async def export(self, endpoint: str) -> Sequence[Sequence[str]]:
        """The mapping as rows of a tag list, header first."""
        self._known(endpoint)
        return table(self._bound(endpoint))

    async def later(self, endpoint: str) -> Mapping[str, str]:
        """Nodes of a finished crawl that the park file's rules take and that are not bound yet."""
        self._known(endpoint)
        written = self._live.park.endpoints.get(endpoint)
        rules = [
            Rule(match=m.match, to="" if m.to == "auto" else m.to, unit=m.unit or "")
            for m in (written.map if written is not None else ())
            if is_rule(m)
        ]
        if not rules:
            return {}
        nodes = await self._crawled(endpoint)
        park = self._park()
        found = await asyncio.to_thread(added, rules, nodes, park, endpoint, self._bound(endpoint))
        return {binding.node: bindings.written(binding) for binding in found}

    # --- what is known ---

    async def _reachable(self, url_or_id: str) -> None:
        if url_or_id.startswith("opc.tcp://"):
            await allowed_reach().resolve(url_or_id)
        else:
            self._known(url_or_id)

    def _known(self, endpoint: str) -> None:
        known = tuple(status.id for status in self._live.statuses)
        if endpoint not in known:
            raise NotFound("endpoint", endpoint, known)

    def _bound(self, endpoint: str) -> tuple[Binding, ...]:
        rows = self._live.dictionary.open.values()
        return tuple(row.binding for row in rows if row.binding.endpoint == endpoint)

    def _park(self) -> Park:
        bound = tuple(row.binding for row in self._live.dictionary.open.values())
        return replace(self._live.park, bindings=bound)

    async def _crawled(self, url_or_id: str) -> tuple[SeenNode, ...]:
        told = await self.crawl(url_or_id)
        if told["state"] == "running":
            raise Unavailable(
                f"the crawl of {url_or_id} is under way ({told['nodes']} nodes)", "ask again soon"
            )
        if told["state"] == "failed":
            raise InputError(str(told["what"]), str(told["remedy"]), "endpoint")
        nodes = await self._live.ask_gateway("crawled", url_or_id)
        return cast("tuple[SeenNode, ...]", nodes)


def _proposals(nodes: Sequence[SeenNode], park: Park) -> list[dict[str, object]]:
    by_node = {node.node: node for node in nodes}
    return [_proposal(match, by_node[match.node]) for match in Matcher(park).match(nodes)]


def _proposal(match: Match, node: SeenNode) -> dict[str, object]:
    return {
        "node": match.node,
        "browsed": node.path,
        "path": match.path,
        "unit": match.unit,
        "confidence": match.confidence,
        "sure": match.sure,
        "why": match.why,
        "reasons": [asdict(reason) for reason in match.reasons],
    }


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
        "suggestion": problem.suggestion,
    }
