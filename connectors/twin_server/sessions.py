"""Who may ask what: sessions that only read, and the checks asyncua's server leaves out.

Of asyncua 2.1 as it comes: the certificate of CreateSession is judged, not the one the channel was
opened with, and a client that sends none is not judged at all; a server without the policy None
still takes sessions over an unsecured channel; another connection can take over a session by its
number, which counts up; anybody can register servers and delete any subscription. Each is closed
here, in methods that asyncua offers for it, and each has a test.
"""

import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import SimpleRoleRuleset, User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from connectors.opcua.security import Pki, Verdict
from connectors.plant.ids import named, numbered, status
from connectors.twin_server.alarms import Told, refresh_event
from connectors.twin_server.limits import Limits
from connectors.twin_server.space import Space
from connectors.twin_server.users import TwinUsers

logger = logging.getLogger(__name__)

ALLOWED: Final = frozenset(
    numbered(number)
    for number in (
        ObjectIds.ReadRequest_Encoding_DefaultBinary,
        ObjectIds.BrowseRequest_Encoding_DefaultBinary,
        ObjectIds.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary,
        ObjectIds.RegisterNodesRequest_Encoding_DefaultBinary,
        ObjectIds.UnregisterNodesRequest_Encoding_DefaultBinary,
        ObjectIds.CreateSubscriptionRequest_Encoding_DefaultBinary,
        ObjectIds.ModifySubscriptionRequest_Encoding_DefaultBinary,
        ObjectIds.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
        ObjectIds.TransferSubscriptionsRequest_Encoding_DefaultBinary,
        ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.SetMonitoringModeRequest_Encoding_DefaultBinary,
        ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary,
        ObjectIds.PublishRequest_Encoding_DefaultBinary,
        ObjectIds.RepublishRequest_Encoding_DefaultBinary,
        # Answered with a refusal per node and method, as clients expect it.
        ObjectIds.WriteRequest_Encoding_DefaultBinary,
        ObjectIds.CallRequest_Encoding_DefaultBinary,
    )
)
"""Requests of an activated session; every other one is refused."""
_REFRESH: Final = frozenset(
    {ObjectIds.ConditionType_ConditionRefresh, ObjectIds.ConditionType_ConditionRefresh2}
)
_REASONS: Final = {
    "untrusted": StatusCodes.BadCertificateUntrusted,
    "expired": StatusCodes.BadCertificateTimeInvalid,
    "wrong application": StatusCodes.BadCertificateUriInvalid,
    "weak": StatusCodes.BadCertificatePolicyCheckFailed,
    "revoked": StatusCodes.BadCertificateRevoked,
    "unusable": StatusCodes.BadCertificateUseNotAllowed,
}
"""First words of a verdict → status code."""


class ReadOnly(SimpleRoleRuleset):
    """Lets the requests of `ALLOWED` through, whoever asks."""

    def __init__(self) -> None:
        """Hold no roles: everybody may do the same."""

    def check_validity(self, user: User, action_type: ua.NodeId, body: object) -> bool:
        """Whether a request is allowed."""
        del user, body
        return action_type in ALLOWED


class GuardedServer(InternalServer):
    """asyncua's inner server: what it holds is bounded, and nobody but us can change it.

    Parameters
    ----------
    users
        Who may log in.
    pki
        Whose certificates are trusted; None on a server without security.
    limits
        How much of everything there may be.
    """

    def __init__(self, users: TwinUsers, pki: Pki | None, limits: Limits) -> None:
        super().__init__(user_manager=users)
        self.pki, self.bounds = pki, limits
        self.space: Space | None = None
        self.retained: Callable[[], Iterable[Told]] = tuple
        self.sessions: set[ReadOnlySession] = set()
        self.owners: dict[int, str] = {}
        self._tries: Counter[object] = Counter()
        self.allow_remote_admin = False
        self.max_connections = limits.connections
        self.max_subscriptions = limits.subscriptions
        self.max_session_timeout_ms = limits.session_s * 1000.0
        self.max_pending_activation_seconds = limits.activation_s
        self.max_pending_messages_per_connection = limits.waiting
        self.max_lifetime_count, self.max_keep_alive_count = limits.lifetime, limits.keep_alive
        self.max_monitored_item_queue_size = max(limits.queue, limits.events)
        self.max_unacked_messages_per_subscription = limits.unacknowledged
        if pki is not None:
            self.certificate_validator = self._validate

    def create_session(
        self,
        name: str,
        user: User | None = None,
        external: bool = False,  # noqa: FBT001, FBT002 - asyncua's signature
    ) -> "ReadOnlySession":
        """Make a session for a connection.

        Raises
        ------
        ServiceError
            When there are too many, or the connection has one.
        """
        self._tries[name] += 1
        mine = [session for session in self.sessions if session.name == name]
        if (
            len(self.sessions) >= self.bounds.sessions
            or self._tries[name] > self.bounds.tries
            or any(session.is_activated() for session in mine)
        ):
            raise ServiceError(StatusCodes.BadTooManySessions)
        for session in mine:
            session.state = SessionState.Closed
            self.sessions.discard(session)
        user = user or User(role=UserRole.Anonymous)
        return ReadOnlySession(self, name, user, external=external)

    def forget(self, name: object) -> None:
        """Forget a connection that was lost."""
        self._tries.pop(name, None)

    def lookup_external_session(self, auth_token: ua.NodeId) -> None:
        """No session is handed to another connection; clients make a new one."""

    def register_external_session(self, session: InternalSession) -> None:
        """Count a session."""
        if isinstance(session, ReadOnlySession):
            self.sessions.add(session)

    def unregister_external_session(self, session: InternalSession) -> None:
        """Count a session no more."""
        if isinstance(session, ReadOnlySession):
            self.sessions.discard(session)

    def register_server(self, server: object, conf: object = None) -> None:
        """Refuse to be a discovery server."""
        del server, conf
        raise ServiceError(StatusCodes.BadServiceUnsupported)

    def judge(self, der: bytes, application_uri: str | None) -> None:
        """Take a client's certificate, or say why not.

        Raises
        ------
        ServiceError
            With the status code of the reason.
        """
        if self.pki is None:
            return
        verdict = self.pki.judge(der, application_uri, datetime.now(UTC))
        if not verdict.ok:
            logger.warning(
                "a client's certificate is refused",
                extra={"reason": verdict.reason, "remedy": verdict.remedy},
            )
            raise ServiceError(_code_of(verdict))

    async def expel(self) -> None:
        """End the sessions of clients that are trusted no more."""
        for session in tuple(self.sessions):
            if session.certificate:
                try:
                    self.judge(session.certificate, None)
                except ServiceError:
                    await session.close_session(delete_subs=True)

    async def _validate(
        self, certificate: x509.Certificate, client: ua.ApplicationDescription
    ) -> None:
        self.judge(certificate.public_bytes(Encoding.DER), str(client.ApplicationUri or ""))


class ReadOnlySession(InternalSession):
    """A session that reads, browses and subscribes, in its own language, and changes nothing."""

    iserver: GuardedServer

    def __init__(self, server: GuardedServer, name: str, user: User, *, external: bool) -> None:
        self._language, self.certificate, self._items = "en", b"", 0
        super().__init__(
            server, server.aspace, server.subscription_service, name, user, external=external
        )
        self.auth_token = ua.NodeId(
            ua.ByteString(secrets.token_bytes(32)), ua.Int16(0), ua.NodeIdType.ByteString
        )

    @property
    def who(self) -> str:
        """Whose session it is: subscriptions belong to who made them."""
        return f"{self.user.name}|{self.certificate.hex()}"

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Log in, after the channel's own certificate was judged.

        Raises
        ------
        ServiceError
            When the channel is not secured or its certificate not trusted.
        """
        if self.iserver.pki is not None:
            if not peer_certificate:
                raise ServiceError(StatusCodes.BadSecurityModeInsufficient)
            self.iserver.judge(peer_certificate, None)
            self.certificate = peer_certificate
        algorithm = str(params.UserTokenSignature.Algorithm or "")
        if algorithm.endswith("rsa-sha1"):
            raise ServiceError(StatusCodes.BadIdentityTokenRejected)
        result = super().activate_session(params, peer_certificate)
        asked = [str(locale).lower()[:2] for locale in params.LocaleIds or ()]
        self._language = next((name for name in asked if name in {"vi", "en"}), "en")
        return result

    # Reading in a language

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read; names and descriptions in the session's language."""
        self._few(params.NodesToRead)
        results = await super().read(params)
        if self._language == "en":
            return results
        return [
            self._translated(wanted, value)
            for wanted, value in zip(params.NodesToRead, results, strict=True)
        ]

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse; names in the session's language."""
        self._few(params.NodesToBrowse)
        results = await super().browse(params)
        space = self.iserver.space
        if self._language == "en" or space is None:
            return results
        for result in results:
            result.References = [self._renamed(space, reference) for reference in result.References]
        return results

    def _translated(self, wanted: ua.ReadValueId, value: ua.DataValue) -> ua.DataValue:
        space = self.iserver.space
        if space is None:
            return value
        names = {
            AttributeIds.DisplayName: space.names,
            AttributeIds.Description: space.descriptions,
        }.get(wanted.AttributeId, {})
        label = names.get(wanted.NodeId)
        if label is None:
            return value
        shown = ua.LocalizedText(Text=ua.String(label.vi), Locale=ua.String("vi"))
        return ua.DataValue(
            Value=ua.Variant(shown, ua.VariantType.LocalizedText), StatusCode=value.StatusCode
        )

    def _renamed(self, space: Space, reference: ua.ReferenceDescription) -> object:
        label = space.names.get(reference.NodeId)
        if label is None:
            return reference
        shown = ua.LocalizedText(Text=ua.String(label.vi), Locale=ua.String("vi"))
        return ua.ReferenceDescription(
            ReferenceTypeId=reference.ReferenceTypeId,
            IsForward=reference.IsForward,
            NodeId=reference.NodeId,
            BrowseName=reference.BrowseName,
            DisplayName=shown,
            NodeClass=reference.NodeClass,
            TypeDefinition=reference.TypeDefinition,
        )

    # Changing nothing

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Refuse every write."""
        return [status(StatusCodes.BadNotWritable) for _ in params.NodesToWrite]

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Refuse every method but ConditionRefresh."""
        return [await self._call(one) for one in params]

    async def _call(self, wanted: ua.CallMethodRequest) -> ua.CallMethodResult:
        result = ua.CallMethodResult()
        own = wanted.MethodId.NamespaceIndex == 0 and wanted.MethodId.Identifier in _REFRESH
        if not own:
            result.StatusCode = status(StatusCodes.BadUserAccessDenied)
            return result
        arguments = [argument.Value for argument in wanted.InputArguments]
        if not arguments or not all(isinstance(value, int) for value in arguments):
            result.StatusCode = status(StatusCodes.BadArgumentsMissing)
            return result
        if arguments[0] not in self._subscriptions():
            result.StatusCode = status(StatusCodes.BadSubscriptionIdInvalid)
            return result
        await self._refresh(*arguments[:2])
        return result

    async def _refresh(self, subscription: int, item: int | None = None) -> None:
        """Tell every retained condition again, between a start and an end."""
        told = self.subscription_service.subscriptions[subscription].monitored_item_srv
        emitters = [numbered(ObjectIds.Server)]
        if self.iserver.space is not None:
            emitters.append(named("park", self.iserver.space.index))
        whole = (refresh_event(start=True), *self.iserver.retained(), refresh_event(start=False))
        for event in whole:
            for emitter in emitters:
                event.emitting_node = emitter
                await told.trigger_event(event, item)

    # Subscriptions: bounded, and everybody's own

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., object],
        request_callback: Callable[..., object] | None = None,
    ) -> ua.CreateSubscriptionResult:
        """Subscribe, not faster than figures change."""
        bounds, service = self.iserver.bounds, self.subscription_service
        asked = float(params.RequestedPublishingInterval)
        revised = min(max(asked, bounds.publishing_ms), bounds.publishing_most_ms)
        params.RequestedPublishingInterval = ua.Double(revised)
        owners = self.iserver.owners
        for gone in owners.keys() - service.subscriptions.keys():
            del owners[gone]
        if sum(owner == self.who for owner in owners.values()) >= bounds.subscriptions_each:
            raise ServiceError(StatusCodes.BadTooManySubscriptions)
        result = await super().create_subscription(params, callback, request_callback)
        owners[result.SubscriptionId] = self.who
        return result

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Watch nodes."""
        self._mine([params.SubscriptionId])
        self._few(params.ItemsToCreate)
        if self._items + len(params.ItemsToCreate) > self.iserver.bounds.items:
            raise ServiceError(StatusCodes.BadTooManyMonitoredItems)
        bounds = self.iserver.bounds
        for item in params.ItemsToCreate:
            events = item.ItemToMonitor.AttributeId == AttributeIds.EventNotifier
            self._queue(item.RequestedParameters, bounds.events if events else 1)
        results = await super().create_monitored_items(params)
        self._items += sum(result.StatusCode.is_good() for result in results)
        return results

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """Change what is watched."""
        self._mine([params.SubscriptionId])
        for item in params.ItemsToModify:
            self._queue(item.RequestedParameters, self.iserver.bounds.queue)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(
        self, params: ua.DeleteMonitoredItemsParameters
    ) -> list[ua.StatusCode]:
        """Watch nodes no more."""
        self._mine([params.SubscriptionId])
        results = await super().delete_monitored_items(params)
        self._items = max(0, self._items - sum(result.is_good() for result in results))
        return results

    async def set_monitoring_mode(
        self, params: ua.SetMonitoringModeParameters
    ) -> list[ua.StatusCode]:
        """Pause or resume what is watched."""
        self._mine([params.SubscriptionId])
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(
        self, params: ua.SetPublishingModeParameters
    ) -> list[ua.StatusCode]:
        """Pause or resume subscriptions."""
        self._mine(params.SubscriptionIds)
        return await super().set_publishing_mode(params)

    def modify_subscription(
        self, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        """Answer what a subscription has."""
        self._mine([params.SubscriptionId])
        return super().modify_subscription(params)

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """Send a message again."""
        self._mine([params.SubscriptionId])
        return super().republish(params)

    async def transfer_subscriptions(  # type: ignore[override]
        self, params: ua.TransferSubscriptionsParameters, callback: Callable[..., object]
    ) -> list[ua.TransferResult]:
        """Take over subscriptions of an earlier session of the same client and user."""
        self._mine(params.SubscriptionIds)
        return await super().transfer_subscriptions(params, callback)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """End subscriptions."""
        self._mine(ids)
        return await super().delete_subscriptions(ids)

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        """Answer a publish request; the count is of this client's subscriptions.

        What is acknowledged is forgotten, so nobody acknowledges for another.
        """
        given, mine = list(acks or ()), self._subscriptions()
        _, taken = super().publish([ack for ack in given if ack.SubscriptionId in mine])
        results = iter(taken)
        return len(mine), [
            next(results)
            if ack.SubscriptionId in mine
            else status(StatusCodes.BadSubscriptionIdInvalid)
            for ack in given
        ]

    def _subscriptions(self) -> set[int]:
        """Subscriptions of this client that there are."""
        owners = self.iserver.owners
        return {
            sub for sub in self.subscription_service.subscriptions if owners.get(sub) == self.who
        }

    def _mine(self, subscriptions: Iterable[int]) -> None:
        owners = self.iserver.owners
        if any(owners.get(int(one), self.who) != self.who for one in subscriptions):
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)

    def _queue(self, wanted: ua.MonitoringParameters, default: int) -> None:
        """Bound a queue; 0 asks for the default: one value, or as many events as are kept."""
        most = max(self.iserver.bounds.queue, default)
        wanted.QueueSize = ua.Counter(min(int(wanted.QueueSize) or default, most))

    def _few(self, asked: list[object]) -> None:
        if len(asked) > self.iserver.bounds.nodes_per_call:
            raise ServiceError(StatusCodes.BadTooManyOperations)


def _code_of(verdict: Verdict) -> int:
    word = verdict.reason.partition(":")[0]
    return int(_REASONS.get(word, StatusCodes.BadCertificateInvalid))
