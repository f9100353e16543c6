"""Reading all items in a cycle, for servers without subscriptions."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds

from connectors.opcua.config import EndpointConfig
from connectors.opcua.decode import Decoder
from connectors.opcua.frozen import FrozenWatch
from connectors.opcua.hooks import Encoded, heed, send_encoded
from connectors.opcua.intake import Intake
from connectors.opcua.monitor import chunks
from connectors.opcua.nodes import resolve
from connectors.opcua.session import Identity, read_limits
from connectors.opcua.supervision import SourceSettings
from connectors.opcua.telling import Telling
from connectors.opcua.wire import read_results
from models.errors import InputError


class Polling:
    """Cycles of reads over one endpoint.

    Parameters
    ----------
    config, settings
        The endpoint, and how it is supervised.
    decoder, intake, telling, frozen_watch
        Parts of the source.
    connected
        Called when values count.
    tick
        Called once a probe interval with the monotonic time: probes, and looks whether it froze.
    """

    def __init__(
        self,
        config: EndpointConfig,
        settings: SourceSettings,
        *,
        decoder: Decoder,
        intake: Intake,
        telling: Telling,
        frozen_watch: FrozenWatch,
        connected: Callable[[], None],
        tick: Callable[[Client, float], Awaitable[None]],
    ) -> None:
        self._config, self._settings = config, settings
        self._decoder, self._intake, self._telling = decoder, intake, telling
        self._frozen_watch = frozen_watch
        self._connected, self._tick = connected, tick

    async def run(self, client: Client, identity: Identity) -> None:
        """Read all items in a cycle until the connection is lost, which raises."""
        limits, profile = await read_limits(client), identity.profile
        readable = []
        for item in self._config.items:
            try:
                node = resolve(item.namespace, item.identifier, identity.namespaces)
            except InputError as fault:
                self._decoder.unsupported[item.node] = str(fault)
                continue
            readable.append((item, node))
        # The values of an answer have consecutive handles.
        for handle, (item, _) in enumerate(readable, start=1):
            self._decoder.bind(handle, item)
        self._frozen_watch.begin([item for item, _ in readable])
        requests, first = [], 1
        for chunk in chunks(readable, profile.call_for(limits.read)):
            requests.append((first, _read_of([node for _, node in chunk])))
            first += len(chunk)
        self._telling.polled = len(readable)
        self._connected()
        period_s = profile.sampling_for(self._config.sampling_ms, len(readable)) / 1000.0
        next_probe = time.monotonic()
        while True:
            heed()
            began = time.monotonic()
            for handle, request in requests:
                await self._read(client, handle, request)
            if began >= next_probe:
                next_probe = began + self._settings.probe_s
                await self._tick(client, began)
            await asyncio.sleep(max(0.0, began + period_s - time.monotonic()))

    async def _read(self, client: Client, first: int, request: Encoded) -> None:
        """Read one chunk of items."""
        body = await send_encoded(client, request, self._settings.timeout_s)
        found = read_results(body)
        await self._intake.room_for(found.count)
        self._intake.took(
            partial(self._decoder.take_read, body, found.start, found.stop, found.count, first)
        )
        self._telling.heard()


def _read_of(nodes: list[ua.NodeId]) -> Encoded:
    """A read of values with both times."""
    request = ua.ReadRequest()
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    for node in nodes:
        one = ua.ReadValueId()
        one.NodeId = node
        one.AttributeId = AttributeIds.Value
        request.Parameters.NodesToRead.append(one)
    return Encoded(request)
