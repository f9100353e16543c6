"""Subscriptions of one session: intervals, queue sizes, chunks, and each refused item by itself."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

from connectors.opcua.config import EndpointConfig, Item
from connectors.opcua.nodes import resolve
from connectors.opcua.profiles import PLAIN, Profile
from models.errors import InputError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

KEEP_ALIVE_S: Final = 3.0
"""A silent subscription still answers this often, so that silence can be told from a cut."""
LIFETIME_S: Final = 120.0
"""A subscription nobody asks outlives an outage of this length, if the server grants it."""
NOTIFICATIONS: Final = 10_000
"""Values of one message at most."""
_RETRY_FIRST_S: Final = 10.0
_RETRY_MOST_S: Final = 600.0
_FILTER_FAULTS: Final = frozenset(
    (
        StatusCodes.BadMonitoredItemFilterUnsupported,
        StatusCodes.BadFilterNotAllowed,
        StatusCodes.BadMonitoredItemFilterInvalid,
        StatusCodes.BadDeadbandFilterInvalid,
    )
)


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
class Subscribed:
    """One subscription as the server granted it.

    Parameters
    ----------
    id
        Subscription id.
    asked_publishing_ms, asked_sampling_ms
        Intervals its items asked for [ms]; items of the same ones share it.
    publishing_ms
        Revised publishing interval [ms].
    silence_s
        Without an answer for longer than this it is no more [s].
    lifetime_s
        It outlives an outage of this length [s].
    queues
        Client handle → revised queue size, and the seconds it holds.
    """

    id: int
    asked_publishing_ms: float
    asked_sampling_ms: float
    publishing_ms: float
    silence_s: float
    lifetime_s: float
    queues: dict[int, tuple[int, float]] = field(default_factory=dict)
    events: bool = False
    """Whether notifiers are subscribed in it."""


@dataclass(slots=True)
class Monitor:
    """The subscriptions of one session, one per publishing and sampling interval.

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
    profile
        Limits of this kind of server.
    """

    client: Client
    config: EndpointConfig
    namespaces: Sequence[str]
    per_call: int
    profile: Profile = PLAIN
    careful: bool = False
    """Leave out what is declared as an array, as a message was too large."""
    refused: dict[int, Refusal] = field(default_factory=dict)
    plain: dict[str, str] = field(default_factory=dict)
    """Nodes without their deadband, with the server's reason."""
    subscriptions: dict[tuple[float, float], Subscribed] = field(default_factory=dict)

    # --- what was granted ---

    @property
    def accepted(self) -> int:
        """Items the server took."""
        return sum(len(one.queues) for one in self.subscriptions.values())

    @property
    def bridge_s(self) -> float | None:
        """Seconds of outage every queue survives."""
        held = [s for one in self.subscriptions.values() for _, s in one.queues.values()]
        return min(held, default=None)

    @property
    def short_queues(self) -> int:
        """Items whose queue holds less than one publishing interval."""
        return sum(
            1
            for one in self.subscriptions.values()
            for _, held_s in one.queues.values()
            if held_s * 1000.0 < one.publishing_ms
        )

    @property
    def silence_s(self) -> float:
        """Without any answer for longer than this, something is wrong [s]."""
        return max((one.silence_s for one in self.subscriptions.values()), default=KEEP_ALIVE_S)

    @property
    def publishing_ms(self) -> float:
        """Shortest publishing interval granted [ms]."""
        every = (one.publishing_ms for one in self.subscriptions.values())
        return min(every, default=self.config.publishing_ms)

    @property
    def behind_ms(self) -> float:
        """Time before a message from which on its values may lie in the next one [ms]."""
        every = (one.publishing_ms + one.asked_sampling_ms for one in self.subscriptions.values())
        return max(every, default=0.0)

    @property
    def slower(self) -> str:
        """What the server made of the publishing intervals; empty when it took them."""
        for one in self.subscriptions.values():
            if one.publishing_ms > 1.5 * one.asked_publishing_ms:
                return (
                    f"the server publishes every {one.publishing_ms:.0f} ms instead of "
                    f"{one.asked_publishing_ms:.0f}"
                )
        return ""

    # --- asking ---

    async def start(self, items: Iterable[tuple[int, Item]], now: float) -> None:
        """Subscribe to items, given with their client handles.

        Raises
        ------
        asyncua.ua.UaStatusCodeError
            When the server refuses the subscription itself.
        """
        groups: dict[tuple[float, float], list[tuple[int, Item]]] = defaultdict(list)
        for handle, item in items:
            groups[self.config.intervals_of(item)].append((handle, item))
        for key, members in _within(groups, self.profile.subscriptions).items():
            group = await self._group(key)
            for chunk in chunks(members, self.per_call):
                await self._create(group, chunk, now)

    async def group_for_events(self) -> Subscribed:
        """A subscription for notifiers: the one that has them, or else that of values will do."""
        for one in self.subscriptions.values():
            if one.events:
                return one
        key = (self.config.publishing_ms, self.config.sampling_ms)
        return await self._group(min(self.subscriptions, default=key))

    async def _group(self, key: tuple[float, float]) -> Subscribed:
        most = self.profile.subscriptions
        if key not in self.subscriptions:
            if most and len(self.subscriptions) >= most:
                return self.subscriptions[min(self.subscriptions)]
            self.subscriptions[key] = await self._subscribe(key)
        return self.subscriptions[key]

    async def adopt(
        self, known: Iterable[Subscribed], items: Iterable[tuple[int, Item]], now: float
    ) -> None:
        """Go on with subscriptions of an earlier connection; what they lack is asked for now."""
        have: set[int] = set()
        for one in known:
            self.subscriptions[one.asked_publishing_ms, one.asked_sampling_ms] = one
            have |= one.queues.keys()
        await self.start([pair for pair in items if pair[0] not in have], now)

    async def retry(self, now: float) -> None:
        """Try refused items again whose time has come, each by itself."""
        for refusal in [r for r in self.refused.values() if r.retry_at <= now]:
            await self.start([(refusal.handle, refusal.item)], now)

    async def publish(self, *, enabled: bool) -> None:
        """Tell the server to send values, or to keep them in its queues for now."""
        wanted = ua.SetPublishingModeParameters()
        wanted.PublishingEnabled = enabled
        wanted.SubscriptionIds = [ua.IntegerId(one.id) for one in self.subscriptions.values()]
        await self.client.uaclient.set_publishing_mode(wanted)

    async def _subscribe(self, key: tuple[float, float]) -> Subscribed:
        publishing_ms = self.profile.publishing_for(key[0])
        publishing_s = publishing_ms / 1000.0
        keep_alive = max(1, math.ceil(KEEP_ALIVE_S / publishing_s))
        keep_alive = min(keep_alive, self.profile.keep_alive or keep_alive)
        lifetime = max(3 * keep_alive, math.ceil(LIFETIME_S / publishing_s))
        wanted = ua.CreateSubscriptionParameters()
        wanted.RequestedPublishingInterval = publishing_ms
        wanted.RequestedMaxKeepAliveCount = ua.UInt32(keep_alive)
        wanted.RequestedLifetimeCount = ua.UInt32(min(lifetime, self.profile.lifetime or lifetime))
        wanted.MaxNotificationsPerPublish = ua.UInt32(NOTIFICATIONS)
        wanted.PublishingEnabled = True
        revised = await self.client.uaclient.create_subscription(wanted, _nothing)
        revised_s = revised.RevisedPublishingInterval / 1000.0
        return Subscribed(
            id=int(revised.SubscriptionId),
            asked_publishing_ms=key[0],
            asked_sampling_ms=key[1],
            publishing_ms=float(revised.RevisedPublishingInterval),
            silence_s=max(KEEP_ALIVE_S, revised_s * revised.RevisedMaxKeepAliveCount),
            lifetime_s=revised_s * revised.RevisedLifetimeCount,
        )

    async def _create(
        self, group: Subscribed, members: Sequence[tuple[int, Item]], now: float
    ) -> None:
        """Create monitored items; when a call fails as a whole, halve it to find the culprit."""
        requests, asked = [], []
        for handle, item in members:
            try:
                node = resolve(item.namespace, item.identifier, self.namespaces)
            except InputError as fault:
                self._refuse(handle, item, str(fault), now)
                continue
            requests.append(self._request(node, handle, item))
            asked.append((handle, item))
        if requests and self.careful:
            requests, asked = await self._scalars(requests, asked, now)
        if not requests:
            return
        wanted = ua.CreateMonitoredItemsParameters()
        wanted.SubscriptionId = ua.IntegerId(group.id)
        wanted.TimestampsToReturn = ua.TimestampsToReturn.Both
        wanted.ItemsToCreate = requests
        try:
            results = await self.client.uaclient.create_monitored_items(wanted)
        except UaStatusCodeError as fault:
            if len(asked) == 1:
                self._refuse(*asked[0], ua.StatusCode(ua.UInt32(fault.code)).name, now)
                return
            half = len(asked) // 2
            await self._create(group, asked[:half], now)
            await self._create(group, asked[half:], now)
            return
        unfiltered = []
        for (handle, item), result in zip(asked, results, strict=True):
            code = int(result.StatusCode.value)
            if not result.StatusCode.is_bad():
                self._accept(group, handle, result)
            elif item.deadband and code in _FILTER_FAULTS and item.node not in self.plain:
                self.plain[item.node] = f"no deadband ({result.StatusCode.name})"
                unfiltered.append((handle, item))
            else:
                self._refuse(handle, item, result.StatusCode.name, now)
        if unfiltered:
            await self._create(group, unfiltered, now)

    async def _scalars(
        self,
        requests: Sequence[ua.MonitoredItemCreateRequest],
        asked: Sequence[tuple[int, Item]],
        now: float,
    ) -> tuple[list[ua.MonitoredItemCreateRequest], list[tuple[int, Item]]]:
        """Those that are not declared as arrays; the others are refused with the reason."""
        ranks = await self.client.uaclient.read_attributes(
            [request.ItemToMonitor.NodeId for request in requests], AttributeIds.ValueRank
        )
        kept = []
        for request, pair, rank in zip(requests, asked, ranks, strict=True):
            value = rank.Value.Value if rank.Value is not None else None
            if isinstance(value, int) and value >= 0:
                self._refuse(*pair, "an array, in a message that was too large", now)
            else:
                kept.append((request, pair))
        return [request for request, _ in kept], [pair for _, pair in kept]

    def _request(self, node: ua.NodeId, handle: int, item: Item) -> ua.MonitoredItemCreateRequest:
        publishing_ms, asked_ms = self.config.intervals_of(item)
        sampling_ms = self.profile.sampling_for(asked_ms, len(self.config.items))
        what = ua.ReadValueId()
        what.NodeId = node
        what.AttributeId = AttributeIds.Value
        how = ua.MonitoringParameters()
        how.ClientHandle = ua.IntegerId(handle)
        how.SamplingInterval = ua.Duration(sampling_ms)
        queue = self.profile.queue_for(self.config.queue_for(sampling_ms, publishing_ms))
        how.QueueSize = ua.Counter(queue)
        how.DiscardOldest = True
        if item.deadband and item.node not in self.plain:
            how.Filter = _deadband(item)
        request = ua.MonitoredItemCreateRequest()
        request.ItemToMonitor = what
        request.MonitoringMode = ua.MonitoringMode.Reporting
        request.RequestedParameters = how
        return request

    def _accept(self, group: Subscribed, handle: int, result: ua.MonitoredItemCreateResult) -> None:
        self.refused.pop(handle, None)
        # A sampling interval of 0 is "as fast as the server can": no time can be promised for it.
        sampling_ms = max(result.RevisedSamplingInterval, 0.0) or group.asked_sampling_ms
        size = int(result.RevisedQueueSize)
        group.queues[handle] = (size, size * sampling_ms / 1000.0)

    def _refuse(self, handle: int, item: Item, reason: str, now: float) -> None:
        was = self.refused.get(handle)
        if was is not None:
            was.again(reason, now)
            return
        _log.warning("item refused", extra={"node": item.node, "reason": reason})
        self.refused[handle] = Refusal(item, handle, reason, now + _RETRY_FIRST_S)


def _nothing(_: ua.PublishResult) -> None:
    """Stands in for a callback; our own loop takes the messages."""


def _deadband(item: Item) -> ua.DataChangeFilter:
    found = ua.DataChangeFilter()
    found.Trigger = ua.DataChangeTrigger.StatusValue
    kind = ua.DeadbandType.Percent if item.deadband_percent else ua.DeadbandType.Absolute
    found.DeadbandType = ua.UInt32(kind.value)
    found.DeadbandValue = ua.Double(item.deadband)
    return found


def _within(
    groups: dict[tuple[float, float], list[tuple[int, Item]]], most: int | None
) -> dict[tuple[float, float], list[tuple[int, Item]]]:
    """Groups, the slowest ones put together while there are more than the server allows."""
    while most and len(groups) > most:
        slowest, faster = sorted(groups, reverse=True)[:2]
        groups[faster] = [*groups[faster], *groups.pop(slowest)]
    return groups


def chunks(members: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Consecutive pieces of at most `size`."""
    for first in range(0, len(members), size):
        yield members[first : first + size]
