"""A client that connects only where it may, and never sends a password in plain text.

asyncua looks a name up itself, after any check; it takes the first way to log in that a server
names, also one whose password is not encrypted (it only warns); and it takes a refusal that comes
in place of a secure channel for a broken message, so that nobody learns why (node-opcua sends such
refusals when it does not trust our certificate).
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, cast

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.utils import Buffer
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from connectors.opcua.config import POLICIES
from connectors.opcua.hooks import adopt, hold_to
from connectors.opcua.reach import allowed_reach
from connectors.opcua.reverse import ReverseHello, listener
from models.errors import Refused

POLICY_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
CLOCKS_APART_S: Final = 60.0
"""Clocks this far apart are told when a server refuses us; five minutes make some refuse."""
_WAYS: Final = {
    ua.UserTokenType.Anonymous: "without a user",
    ua.UserTokenType.UserName: "by user and password",
    ua.UserTokenType.Certificate: "by a user's certificate",
    ua.UserTokenType.IssuedToken: "by an issued token",
}
_REMEDIES: Final = {
    ua.UserTokenType.Anonymous: "give a user, or allow anonymous users on the server",
    ua.UserTokenType.UserName: "leave the user out, or allow users with passwords on the server",
    ua.UserTokenType.Certificate: "give user and password, or allow certificates on the server",
}


_FAULT: Final = ua.FourByteNodeId(ua.Int32(ObjectIds.ServiceFault_Encoding_DefaultBinary))


class _TellingProtocol(UASocketProtocol):
    """Takes a ServiceFault in place of a secure channel for what it is, and reads the clock."""

    server_ahead_s: float | None = None

    def _process_received_message(
        self, msg: ua.Message | ua.Acknowledge | ua.ErrorMessage | None
    ) -> None:
        opening = isinstance(self._open_secure_channel_exchange, ua.OpenSecureChannelParameters)
        if opening and isinstance(msg, ua.Message):
            body = cast("Buffer", msg.body()).copy()  # type: ignore[no-untyped-call]
            kind = nodeid_from_binary(body)
            header = struct_from_binary(ua.ResponseHeader, body)
            if header.Timestamp is not None:
                self.server_ahead_s = (header.Timestamp - datetime.now(UTC)).total_seconds()
            if kind == _FAULT:
                header.ServiceResult.check()
        super()._process_received_message(msg)


class GuardedClient(Client):
    """Every connection of this house to an OPC UA server begins here.

    ``server_ahead_s`` is how far its clock is ahead of ours [s], as the last channel told it; None
    before. It is known although the server then refuses us, which the clocks may be the reason of.

    ``reverse`` waits for the server to connect instead of connecting to it, ``first`` before others
    that wait too; ``hello`` is what the server then said of itself.
    """

    server_ahead_s: float | None = None
    reverse = first = False
    hello: ReverseHello | None = None

    async def open_secure_channel(self, renew: bool = False) -> None:  # noqa: FBT001, FBT002 - theirs
        """Open or renew the channel, and note the server's clock."""
        protocol = self.uaclient.protocol
        try:
            await super().open_secure_channel(renew)
        finally:
            if isinstance(protocol, _TellingProtocol) and protocol.server_ahead_s is not None:
                self.server_ahead_s = protocol.server_ahead_s

    async def send_hello(self) -> None:
        """Say hello; what is only asked what it offers may not answer more than others either."""
        await super().send_hello()
        hold_to(self, self.max_messagesize)

    async def connect_socket(self) -> None:
        """Connect to the address that was checked, or take a connection the server opened.

        Raises
        ------
        Refused, Unavailable
            When it may not be connected to, its name is not known, or it does not connect.
        """
        url = self.server_url.geturl()
        if self.reverse:
            arrived = await listener().next(url, first=self.first)
            self.hello = arrived.hello
            adopt(self, arrived.transport)
        else:
            address, port = await allowed_reach().resolve(url)
            await self.uaclient.connect_socket(address, port)
        if self.uaclient.protocol is not None:
            # asyncua makes it in a function of its own; only one method differs.
            self.uaclient.protocol.__class__ = _TellingProtocol

    def server_policy(self, token_type: ua.UserTokenType) -> ua.UserTokenPolicy:
        """The way to log in: the best the server offers that gives no password away.

        Raises
        ------
        Refused
            When the server offers no such way, or only one that would give a password away.
        """
        offered = list(self._policy_ids or ())
        if not offered:
            return super().server_policy(token_type)
        own = self.security_policy.URI
        ways = [
            replace(policy, SecurityPolicyUri=policy.SecurityPolicyUri or own)
            for policy in offered
            if policy.TokenType == token_type
        ]
        if not ways:
            others = sorted({_WAYS.get(p.TokenType, str(p.TokenType)) for p in offered})
            raise Refused(
                f"the server lets nobody in {_WAYS[token_type]}, only {', '.join(others)}",
                _REMEDIES[token_type],
            )
        best = min(ways, key=_rank)
        if token_type is ua.UserTokenType.UserName:
            return self._encrypted(best)
        if token_type is ua.UserTokenType.Certificate and _rank(best) == len(POLICIES):
            # Its own policy would leave the login unsigned, which proves nothing.
            return replace(best, SecurityPolicyUri=own)
        return best

    def _encrypted(self, policy: ua.UserTokenPolicy) -> ua.UserTokenPolicy:
        """The policy, when its password is encrypted by itself or by the channel."""
        if _rank(policy) < len(POLICIES):
            return policy
        if self.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt:
            return policy
        raise Refused(
            "the password would travel in plain text: the server does not encrypt it "
            f"({(policy.SecurityPolicyUri or '').removeprefix(POLICY_URI) or 'None'}), and mode "
            "Sign does not either",
            "choose SignAndEncrypt for this endpoint, or a policy for users on the server",
        )


def clock_remedy(client: Client) -> str:
    """What to do about the clocks before anything else; empty when they agree."""
    ahead = client.server_ahead_s if isinstance(client, GuardedClient) else None
    if ahead is None or abs(ahead) < CLOCKS_APART_S:
        return ""
    return f"first set both clocks by NTP: the server's is {ahead:+.0f} s from ours"


def _rank(policy: ua.UserTokenPolicy) -> int:
    """Place of a policy, strongest first; one that is not ours comes last."""
    name = (policy.SecurityPolicyUri or "").removeprefix(POLICY_URI).replace("_", "")
    return POLICIES.index(name) if name in POLICIES else len(POLICIES)
