"""Onboarding an endpoint of a running park: crawl, proposals, lint, tag lists, rules."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from cluster import bindings
from cluster.endpoint_desk import config_to_try
from cluster.live_park import LivePark
from cluster.plant_address import split_gateway
from cluster.ports import EndpointSpec
from connectors.onboarding.lint import lint
from connectors.onboarding.match import Match, Matcher
from connectors.onboarding.seen import SeenNode
from connectors.onboarding.taglist import Diff, diff, read_list, table
from connectors.onboarding.wildcard import added, rules_of
from connectors.opcua.reach import allowed_reach
from models.errors import InputError, NotFound, Problem, Unavailable
from twin.notifiers import is_notifier
from twin.park import Park
from twin.tags import Binding, TagDictionary


class OnboardingDesk:
    """What helps to map an endpoint; nothing here changes anything.

    Parameters
    ----------
    live
        The running park.
    """

    def __init__(self, live: LivePark) -> None:
        self._live = live

    async def crawl(
        self, url_or_id: str, *, fresh: bool = False, spec: EndpointSpec | None = None
    ) -> Mapping[str, object]:
        """Start a crawl, or tell how far the one under way is.

        Parameters
        ----------
        url_or_id
            Which server.
        fresh
            Crawl again, although there is a crawl.
        spec
            How to speak with an address that is not registered yet: security, user.

        Raises
        ------
        NotFound, InputError, Refused
            When the endpoint is none, or its address may not be reached.
        """
        await self._reachable(url_or_id)
        how = () if spec is None else (config_to_try(replace(spec, mapping=())),)
        told = await self._live.ask_gateway("crawl", url_or_id, fresh, *how)
        return cast("Mapping[str, object]", told)

    async def stop(self, url_or_id: str) -> Mapping[str, object]:
        """Stop a crawl under way; begun again, it goes on where it was."""
        await self._reachable(url_or_id)
        told = await self._live.ask_gateway("crawl_stop", url_or_id)
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

    async def review(
        self, url_or_id: str, endpoint: str, mapping: Mapping[str, str]
    ) -> Mapping[str, object]:
        """What saving a mapping would do, before it is saved.

        Parameters
        ----------
        url_or_id
            Whose crawl to compare with.
        endpoint
            Id it would be saved under.
        mapping
            Node → path, with the unit at the source in brackets; an empty path unbinds.

        Returns
        -------
        Mapping
            ``changes`` of tags (add, rename, replace, revive, remove), ``findings`` of the lint
            over what would be bound then, ``problems`` of rows that name no node or no tag.
        """
        nodes = await self._crawled(url_or_id)
        new, problems = self._read(endpoint, mapping)
        known, now_us = TagDictionary(self._live.rows), self._live.now_us
        wanted = [
            binding
            for binding in self._wanted_now()
            if binding.path not in new
            and not (binding.endpoint == endpoint and binding.node in mapping)
        ]
        wanted += new.values()
        _, changes = await asyncio.to_thread(known.plan, wanted, now_us)
        here = [b for b in wanted if b.endpoint == endpoint and not is_notifier(b)]
        found = await asyncio.to_thread(lint, here, nodes)
        return {
            "changes": [asdict(change) for change in changes],
            "findings": [asdict(finding) for finding in found],
            "problems": problems,
        }

    def _wanted_now(self) -> list[Binding]:
        """Every open binding, also those of figures."""
        latest = {row.tag: row for row in self._live.rows}
        return [row.binding for row in latest.values() if row.valid_to_us is None]

    def _read(
        self, endpoint: str, mapping: Mapping[str, str]
    ) -> tuple[dict[str, Binding], list[dict[str, object]]]:
        """Bindings of a mapping by path, and what is wrong with the others."""
        new: dict[str, Binding] = {}
        problems: list[dict[str, object]] = []
        for node, path in mapping.items():
            try:
                if not path:
                    bindings.split_node(node)
                    continue
                binding = bindings.binding_of(self._live.park, endpoint, node, path)
            except InputError as fault:
                problems.append(_refused(node, path, fault.what, fault.remedy))
                continue
            if binding.path in new:
                what = f"{binding.path} is given to two nodes"
                problems.append(_refused(node, path, what, "keep one of them"))
            else:
                new[binding.path] = binding
        return new, problems

    async def diff(self, endpoint: str, data: bytes, name: str) -> Mapping[str, object]:
        """What applying a tag list would do, with what is wrong by line.

        Raises
        ------
        InputError
            When the list cannot be read.
        """
        await self._reachable(endpoint)
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
        rules = rules_of(written.map) if written is not None else ()
        if not rules:
            return {}
        nodes = await self._crawled(endpoint)
        park = self._park()
        found = await asyncio.to_thread(added, rules, nodes, park, endpoint, self._bound(endpoint))
        return {binding.node: bindings.written(binding) for binding in found}

    # --- what is known ---

    async def _reachable(self, url_or_id: str) -> None:
        gateway, url = split_gateway(url_or_id)
        if gateway:
            return  # where its plant's gateway may reach, that one says itself
        if url.startswith("opc.tcp://"):
            await allowed_reach().resolve(url)
        else:
            self._known(url_or_id)

    def _known(self, endpoint: str) -> None:
        known = tuple(status.id for status in self._live.statuses)
        if endpoint not in known:
            raise NotFound("endpoint", endpoint, known)

    def _bound(self, endpoint: str) -> tuple[Binding, ...]:
        rows = self._live.dictionary.open.values()
        return tuple(
            row.binding
            for row in rows
            if row.binding.endpoint == endpoint and not is_notifier(row.binding)
        )

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
    return [_proposal(match, by_node[match.node], park) for match in Matcher(park).match(nodes)]


def _proposal(match: Match, node: SeenNode, park: Park) -> dict[str, object]:
    return {
        "node": match.node,
        "browsed": node.path,
        "path": match.path,
        "unit": match.unit,
        "stored": bindings.binding_of(park, "", match.node, match.path).unit,
        "data_type": node.data_type,
        "confidence": match.confidence,
        "sure": match.sure,
        "why": match.why,
        "reasons": [asdict(reason) for reason in match.reasons],
    }


def _refused(node: str, path: str, message: str, suggestion: str) -> dict[str, object]:
    return {"node": node, "path": path, "message": message, "suggestion": suggestion}


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "message": problem.message,
        "suggestion": problem.suggestion,
    }
