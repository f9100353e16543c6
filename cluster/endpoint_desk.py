"""Endpoints of a running park: tried before they are saved, mapped, trusted, removed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import cast

from cluster import bindings
from cluster.gateway_host import room_for
from cluster.live_park import LivePark
from cluster.metadata.store import FILE_ORIGIN
from cluster.metadata.tables import EndpointRow
from cluster.plant_address import split_gateway
from cluster.ports import BrowsedNode, EndpointSpec, EndpointTest
from connectors.clock import wall_us
from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.propose import with_proposals
from connectors.opcua.reach import allowed_reach
from models.errors import Conflict, InputError, NotFound, Unavailable, did_you_mean


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
        if spec.gateway:
            await self._behind(spec.gateway, config)
        else:
            await self._reached(config, force=force)
        if not force:
            passed(await self._try(config, spec.gateway))
        row = bindings.row_of(self._live.id, spec, wall_us())
        await asyncio.to_thread(self._store.put_endpoint, row)
        await asyncio.to_thread(self._store.map_nodes, self._live.id, spec.id, mapping)
        await self._live.rebind()

    async def test_again(self, endpoint: str) -> EndpointTest:
        """Try a registered endpoint with everything it is registered with."""
        self._need(endpoint)
        live, gateway = self._live, self._live.gateway_of(endpoint)
        known = await asyncio.to_thread(self._store.endpoints, live.id)
        rows = list(live.dictionary.open.values())
        if gateway:
            found = bindings.edge_configs(live.park, known, rows, gateway)
        else:
            found = bindings.configs(live.park, known, rows, live.settings.urls)
        return await self._try(next(config for config in found if config.id == endpoint), gateway)

    async def trial_begin(self, spec: EndpointSpec) -> str:
        """Start to try an endpoint that is not saved; the name to ask for it."""
        live, config = self._live, config_to_try(spec)
        if spec.gateway:
            return live.errands.trial_begin(spec.gateway, live.id, config)
        return str(await live.ask_gateway("trial_begin", config))

    async def trial(self, trial: str) -> tuple[EndpointTest, bool]:
        """What a test found so far, and whether it is over."""
        if trial in self._live.errands.trials:
            return self._live.errands.trials.told(trial)
        return cast("tuple[EndpointTest, bool]", await self._live.ask_gateway("trial_told", trial))

    async def try_spec(self, spec: EndpointSpec) -> EndpointTest:
        """Try an endpoint that is not saved, from the gateway that would have to reach it."""
        return await self._try(config_to_try(spec), spec.gateway)

    async def _try(self, config: EndpointConfig, gateway: str) -> EndpointTest:
        live = self._live
        if gateway:
            found = await live.errands.ask(gateway, live.id, "try_endpoint", config)
        else:
            found = await live.ask_gateway("try_endpoint", config)
        return cast("EndpointTest", found)

    async def _reached(self, config: EndpointConfig, *, force: bool) -> None:
        if config.reverse:
            allowed_reach().claimed(config.url)
            return
        try:
            await allowed_reach().resolve(config.url)
        except Unavailable:  # a name that is not known yet may be saved by force
            if not force:
                raise

    async def _behind(self, gateway: str, config: EndpointConfig) -> None:
        """Refuse a gateway that has no token for this park, or no room.

        Raises
        ------
        InputError, Conflict
            With what to do.
        """
        live = self._live
        tokens = await asyncio.to_thread(self._store.tokens)
        known = {row.gateway for row in tokens if live.id in row.parks and row.revoked_us is None}
        if gateway not in known:
            raise InputError(
                f"no gateway {gateway!r} has a token for park {live.id}",
                did_you_mean(gateway, tuple(known))
                or f"make one: parktwin gateway-token create {gateway} --park {live.id}",
                "gateway",
            )
        endpoints = await asyncio.to_thread(self._store.endpoints, live.id)
        room_for((*bindings.edge_configs(live.park, endpoints, (), gateway), config))

    async def tags(self, endpoint: str) -> Sequence[Mapping[str, object]]:
        """How each of its tags does, by the gateway that reads it.

        Raises
        ------
        NotFound, Unavailable
            When there is no such endpoint, or its gateway is away.
        """
        self._need(endpoint)
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
        gateway, url = split_gateway(url_or_id)
        if url.startswith("opc.tcp://"):
            config = EndpointConfig(id="browsed", url=url, allow_insecure=True)
            if not gateway:  # else its machine says where it may reach
                await allowed_reach().resolve(config.url)
        else:
            self._need(url)
        found = await self._live.ask_gateway("browse", url_or_id, node)
        nodes = cast("Sequence[BrowsedNode]", found)
        bound = tuple(row.binding for row in self._live.dictionary.open.values())
        park = replace(self._live.park, bindings=bound)
        return await asyncio.to_thread(with_proposals, nodes, park)

    async def trust(self, endpoint: str, fingerprint: str, gateway: str = "") -> None:
        """Trust a certificate its server has shown, in a test before it is saved or since.

        Parameters
        ----------
        gateway
            The one in a plant to which it was shown, for an endpoint that is not saved.
        """
        live = self._live
        if gateway:
            await live.errands.ask(gateway, live.id, "trust", endpoint, fingerprint)
        else:
            await live.ask_gateway("trust", endpoint, fingerprint)

    def _known(self) -> tuple[str, ...]:
        return tuple(status.id for status in self._live.statuses)

    def _need(self, endpoint: str) -> None:
        if endpoint not in self._known():
            raise NotFound("endpoint", endpoint, self._known())

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
