"""Endpoints of a running park: tried before they are saved, mapped, trusted, removed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from cluster import bindings
from cluster.live_park import LivePark
from cluster.metadata.store import FILE_ORIGIN
from cluster.metadata.tables import EndpointRow
from cluster.ports import BrowsedNode, EndpointSpec, EndpointTest
from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.propose import with_proposals
from connectors.opcua.reach import allowed_reach
from models.errors import Conflict, InputError, NotFound, Unavailable


class EndpointDesk:
    """What may be done to the endpoints of one park.

    Parameters
    ----------
    live
        The running park.
    """

    def __init__(self, live: LivePark) -> None:
        self._live = live
        self._store = live.store

    async def add(self, spec: EndpointSpec, *, force: bool) -> None:
        """Test, then save and connect.

        Raises
        ------
        Conflict
            When there is an endpoint of that id.
        InputError
            When the test fails and nobody insists, or the mapping is wrong.
        """
        if spec.id in self._known():
            raise Conflict(f"endpoint {spec.id!r} is there", "remove it, or take another id", "id")
        mapping = {pair["node"]: pair["path"] for pair in spec.mapping}
        self._check(spec.id, mapping)
        config = config_to_try(spec)
        try:
            await allowed_reach().resolve(config.url)
        except Unavailable:  # a name that is not known yet may be saved by force
            if not force:
                raise
        if not force:
            passed(await self._try(config))
        row = bindings.row_of(self._live.id, spec, wall_us())
        await asyncio.to_thread(self._store.put_endpoint, row)
        await asyncio.to_thread(self._store.map_nodes, self._live.id, spec.id, mapping)
        await self._live.rebind()

    async def test_again(self, endpoint: str) -> EndpointTest:
        """Try a registered endpoint with everything it is registered with."""
        self._need(endpoint)
        self._read_here(endpoint)
        live = self._live
        known = await asyncio.to_thread(self._store.endpoints, live.id)
        rows = list(live.dictionary.open.values())
        found = bindings.configs(live.park, known, rows, live.settings.urls)
        return await self._try(next(config for config in found if config.id == endpoint))

    async def trial_begin(self, spec: EndpointSpec) -> str:
        """Start to try an endpoint that is not saved; the name to ask for it."""
        return str(await self._live.ask_gateway("trial_begin", config_to_try(spec)))

    async def trial(self, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over."""
        return cast("tuple[EndpointTest, bool]", await self._live.ask_gateway("trial_told", trial))

    async def _try(self, config: EndpointConfig) -> EndpointTest:
        return cast("EndpointTest", await self._live.ask_gateway("try_endpoint", config))

    async def tags(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        """How each of its tags does, by the gateway that reads it.

        Raises
        ------
        Conflict
            When a gateway in a plant reads it; that one tells totals only.
        """
        self._need(endpoint)
        self._read_here(endpoint)
        told = await self._live.ask_gateway("tag_counts", endpoint)
        counts = cast("Mapping[int, Mapping[str, object]]", told)
        rows = self._live.dictionary.open
        return [
            {"path": rows[tag].binding.path, "node": rows[tag].binding.node, **of}
            for tag, of in counts.items()
            if tag in rows
        ]

    async def remove(self, endpoint: str) -> None:
        """Disconnect and forget; one of the park file stays forgotten over restarts."""
        self._need(endpoint)
        await asyncio.to_thread(self._forget, endpoint)
        await self._live.rebind()

    async def bind(self, endpoint: str, mapping: Mapping[str, str]) -> None:
        """Bind nodes to tag paths; an empty path unbinds."""
        self._need(endpoint)
        self._check(endpoint, mapping)
        await asyncio.to_thread(self._store.map_nodes, self._live.id, endpoint, mapping)
        await self._live.rebind()

    async def browse(self, url_or_id: str, node: str) -> Sequence[BrowsedNode]:
        """Children of a node.

        Raises
        ------
        NotFound, InputError, Refused
            When the endpoint, the node or the address is none, or may not be reached.
        """
        if node:
            bindings.split_node(node)
        if url_or_id.startswith("opc.tcp://"):
            config = EndpointConfig(id="browsed", url=url_or_id, allow_insecure=True)
            await allowed_reach().resolve(config.url)
        else:
            self._need(url_or_id)
            self._read_here(url_or_id)
        found = await self._live.ask_gateway("browse", url_or_id, node)
        nodes = cast("Sequence[BrowsedNode]", found)
        bound = tuple(row.binding for row in self._live.dictionary.open.values())
        park = replace(self._live.park, bindings=bound)
        return await asyncio.to_thread(with_proposals, nodes, park)

    async def trust(self, endpoint: str, fingerprint: str) -> None:
        """Trust a certificate its server has shown, in a test before it is saved or since."""
        await self._live.ask_gateway("trust", endpoint, fingerprint)

    def _known(self) -> tuple[str, ...]:
        return tuple(status.id for status in self._live.statuses)

    def _need(self, endpoint: str) -> None:
        if endpoint not in self._known():
            raise NotFound("endpoint", endpoint, self._known())

    def _read_here(self, endpoint: str) -> None:
        """Refuse what only a gateway in a plant can reach.

        Raises
        ------
        Conflict
            With its name.
        """
        found = self._live.park.endpoints.get(endpoint)
        if found is not None and found.gateway:
            raise Conflict(
                f"endpoint {endpoint!r} is read by gateway {found.gateway} in its plant, the "
                "service cannot reach it",
                "its status says how it is there; `gateway:` in the park file says who reads it",
                "endpoint",
            )

    def _check(self, endpoint: str, mapping: Mapping[str, str]) -> None:
        for node, path in mapping.items():
            if path:
                bindings.binding_of(self._live.park, endpoint, node, path)
            else:
                bindings.split_node(node)

    def _forget(self, endpoint: str) -> None:
        park = self._live.id
        known = {row.id for row in self._store.endpoints(park)}
        if endpoint not in known:
            row = EndpointRow(
                park=park,
                id=endpoint,
                origin=FILE_ORIGIN,
                url=self._live.park.endpoints[endpoint].url,
                spec={},
                fingerprint="",
                created_us=wall_us(),
                removed_us=None,
            )
            self._store.put_endpoint(row)
        self._store.remove_endpoint(park, endpoint, wall_us())


async def try_endpoint(live: LivePark, spec: EndpointSpec) -> EndpointTest:
    """Try an endpoint from the gateway, which would have to reach it."""
    return cast("EndpointTest", await live.ask_gateway("try_endpoint", config_to_try(spec)))


def config_to_try(spec: EndpointSpec) -> EndpointConfig:
    """Configuration of an endpoint that is not saved yet, with the nodes of its mapping."""
    nodes = [bindings.split_node(pair["node"]) for pair in spec.mapping if pair["path"]]
    items = tuple(
        Item(tag=number, namespace=namespace, identifier=identifier)
        for number, (namespace, identifier) in enumerate(nodes, start=1)
    )
    return replace(bindings.config_of(spec.id, asdict(spec), ()), items=items)


def passed(tried: EndpointTest) -> None:
    """Refuse an endpoint whose test failed.

    Raises
    ------
    InputError
        With the step that failed and its remedy.
    """
    failed = next((step for step in tried.steps if not step.ok), None)
    if failed is not None:
        remedy = f"{failed.remedy}; or save it with force" if failed.remedy else ""
        raise InputError(f"{failed.step}: {failed.detail}", remedy, "url")
