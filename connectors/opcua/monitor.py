"""Subscriptions of one session: queue sizes, chunks, and each refused item by itself."""

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.nodes import resolve
from models.errors import InputError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

KEEP_ALIVE_S: Final = 3.0
"""A silent subscription still answers this often, so that silence can be told from a cut."""
_LIFETIME_S: Final = 60.0
_RETRY_FIRST_S: Final = 10.0
_RETRY_MOST_S: Final = 600.0


@dataclass(slots=True)
class Refusal:
    """An item the server refused: why, and when it is tried again [monotonic s]."""

    item: Item
    handle: int
    reason: str
    retry_at: float
    delay_s: float = _RETRY_FIRST_S

    def again(self, reason: str, now: float) -> None:
        """It failed once more: wait twice as long."""
        self.reason = reason
        self.delay_s = min(self.delay_s * 2, _RETRY_MOST_S)
        self.retry_at = now + self.delay_s


@dataclass(slots=True)
class Monitor:
    """The subscriptions of one session, one per sampling interval.

    Parameters
    ----------
    client
        Connected client.
    config
        Endpoint.
    namespaces
        NamespaceArray of this session.
    per_call
        Items per call the server allows.
    on_message
        Takes each PublishResult, also the empty ones that keep alive.
    """

    client: Client
    config: EndpointConfig
    namespaces: Sequence[str]
    per_call: int
    on_message: Callable[[ua.PublishResult], None]
    accepted: int = 0
    refused: dict[int, Refusal] = field(default_factory=dict)
    short_queues: int = 0
    bridge_s: float | None = None
    silence_s: float = KEEP_ALIVE_S
    _subscriptions: dict[float, int] = field(default_factory=dict)

    async def start(self, items: Iterable[tuple[int, Item]], now: float) -> None:
        """Subscribe to items, given with their client handles.

        Raises
        ------
        asyncua.ua.UaStatusCodeError
            When the server refuses the subscription itself.
        """
        groups: dict[float, list[tuple[int, Item]]] = defaultdict(list)
        for handle, item in items:
            groups[item.sampling_ms or self.config.sampling_ms].append((handle, item))
        for sampling_ms, members in groups.items():
            self._subscriptions[sampling_ms] = await self._subscribe()
            for chunk in chunks(members, self.per_call):
                await self._create(sampling_ms, chunk, now)

    async def retry(self, now: float) -> None:
        """Try refused items again whose time has come, each by itself."""
        for refusal in [r for r in self.refused.values() if r.retry_at <= now]:
            sampling_ms = refusal.item.sampling_ms or self.config.sampling_ms
            await self._create(sampling_ms, [(refusal.handle, refusal.item)], now)

    async def _subscribe(self) -> int:
        wanted = ua.CreateSubscriptionParameters()
        publishing_s = self.config.publishing_ms / 1000.0
        keep_alive = max(1, math.ceil(KEEP_ALIVE_S / publishing_s))
        wanted.RequestedPublishingInterval = self.config.publishing_ms
        wanted.RequestedMaxKeepAliveCount = ua.UInt32(keep_alive)
        wanted.RequestedLifetimeCount = ua.UInt32(
            max(3 * keep_alive, math.ceil(_LIFETIME_S / publishing_s))
        )
        wanted.MaxNotificationsPerPublish = ua.UInt32(10_000)
        wanted.PublishingEnabled = True
        revised = await self.client.uaclient.create_subscription(wanted, self.on_message)
        silence_ms = revised.RevisedPublishingInterval * revised.RevisedMaxKeepAliveCount
        self.silence_s = max(self.silence_s, silence_ms / 1000.0)
        return int(revised.SubscriptionId)

    async def _create(
        self, sampling_ms: float, members: Sequence[tuple[int, Item]], now: float
    ) -> None:
        """Create monitored items; when a call fails as a whole, halve it to find the culprit."""
        requests, asked = [], []
        for handle, item in members:
            try:
                node = resolve(item.namespace, item.identifier, self.namespaces)
            except InputError as fault:
                self._refuse(handle, item, str(fault), now)
                continue
            requests.append(_request(node, handle, sampling_ms, self.config.queue_for(sampling_ms)))
            asked.append((handle, item))
        if not requests:
            return
        wanted = ua.CreateMonitoredItemsParameters()
        wanted.SubscriptionId = ua.IntegerId(self._subscriptions[sampling_ms])
        wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
        wanted.ItemsToCreate = requests
        try:
            results = await self.client.uaclient.create_monitored_items(wanted)
        except UaStatusCodeError as fault:
            if len(asked) == 1:
                self._refuse(*asked[0], ua.StatusCode(ua.UInt32(fault.code)).name, now)
                return
            half = len(asked) // 2
            await self._create(sampling_ms, asked[:half], now)
            await self._create(sampling_ms, asked[half:], now)
            return
        for (handle, item), result in zip(asked, results, strict=True):
            if result.StatusCode.is_bad():
                self._refuse(handle, item, result.StatusCode.name, now)
            else:
                self._accept(handle, result)

    def _accept(self, handle: int, result: ua.MonitoredItemCreateResult) -> None:
        self.refused.pop(handle, None)
        self.accepted += 1
        sampling_ms = max(result.RevisedSamplingInterval, 0.0) or self.config.sampling_ms
        if result.RevisedQueueSize * sampling_ms < self.config.publishing_ms:
            self.short_queues += 1
        held_s = result.RevisedQueueSize * sampling_ms / 1000.0
        self.bridge_s = held_s if self.bridge_s is None else min(self.bridge_s, held_s)

    def _refuse(self, handle: int, item: Item, reason: str, now: float) -> None:
        was = self.refused.get(handle)
        if was is not None:
            was.again(reason, now)
            return
        _log.warning("item refused", extra={"node": item.node, "reason": reason})
        self.refused[handle] = Refusal(item, handle, reason, now + _RETRY_FIRST_S)


def _request(
    node: ua.NodeId, handle: int, sampling_ms: float, queue: int
) -> ua.MonitoredItemCreateRequest:
    what = ua.ReadValueId()
    what.NodeId = node
    what.AttributeId = AttributeIds.Value
    how = ua.MonitoringParameters()
    how.ClientHandle = ua.IntegerId(handle)
    how.SamplingInterval = ua.Duration(sampling_ms)
    how.QueueSize = ua.Counter(queue)
    how.DiscardOldest = True
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = what
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters = how
    return request


def chunks(members: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Consecutive pieces of at most `size`."""
    for first in range(0, len(members), size):
        yield members[first : first + size]
