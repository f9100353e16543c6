"""A gateway's host that also writes and calls, over the session by which its values come.

Only the service's own gateways are this; one inside a plant takes no orders to write or to call.
"""

import asyncio
from collections import defaultdict
from typing import Final

from cluster.gateway_host import Deliver, GatewayHost, GatewayHostSettings
from connectors.opcua import control
from connectors.opcua.config import EndpointConfig
from connectors.opcua.deed import Actor, CallOrder, Deed, WriteOrder
from models.errors import NotFound, TwinError, Unavailable

_TURN_S: Final = 5.0


class ControlHost(GatewayHost):
    """Hold one gateway that may write, where the park file says so. See `GatewayHost`."""

    def __init__(self, settings: GatewayHostSettings, deliver: Deliver) -> None:
        super().__init__(settings, deliver)
        # One after another at each endpoint: what a deed found before and after is its own.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def write(self, endpoint: str, order: WriteOrder, actor: Actor) -> Deed:
        """Write a value, where this role may; what came of it."""
        return await self._do(endpoint, order, actor)

    async def call(self, endpoint: str, order: CallOrder, actor: Actor) -> Deed:
        """Call a method, where this role may; what came of it."""
        return await self._do(endpoint, order, actor)

    async def _do(self, endpoint: str, order: WriteOrder | CallOrder, actor: Actor) -> Deed:
        try:
            await self.begin()
            self._config(endpoint)
            await self._turn(endpoint)
        except TwinError as fault:
            return control.undone(endpoint, order, actor, fault)
        try:
            # Only now: while it waited, the session or who may write can have become another.
            config = self._config(endpoint)
            client, spaces = self._gateway.session_of(endpoint)
            if isinstance(order, WriteOrder):
                return await control.write(client, config, spaces, order, actor)
            return await control.call(client, config, spaces, order, actor)
        except TwinError as fault:
            return control.undone(endpoint, order, actor, fault)
        finally:
            self._turns[endpoint].release()

    def _config(self, endpoint: str) -> EndpointConfig:
        config = self._configs.get(endpoint)
        if config is None:
            raise NotFound("endpoint read here", endpoint, tuple(self._configs))
        return config

    async def _turn(self, endpoint: str) -> None:
        """Wait until no other write or call is under way at an endpoint.

        Raises
        ------
        Unavailable
            When that takes too long; nothing was sent then.
        """
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns[endpoint].acquire()
        except TimeoutError as fault:
            raise Unavailable(
                f"another write or call to {endpoint} is under way", "try again when it has ended"
            ) from fault
