"""A client that connects only where it may, and never sends a password in plain text.

asyncua looks a name up itself, after any check; and it takes the first way to log in that a server
names, also one whose password is not encrypted (it only warns).
"""

from dataclasses import replace
from typing import Final

from asyncua import ua
from asyncua.client.client import Client

from connectors.opcua.config import POLICIES
from connectors.opcua.reach import allowed_reach
from models.errors import Refused

POLICY_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#"
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


class GuardedClient(Client):
    """Every connection of this house to an OPC UA server begins here."""

    async def connect_socket(self) -> None:
        """Connect to the address that was checked.

        Raises
        ------
        Refused, Unavailable
            When it may not be connected to, or its name is not known.
        """
        address, port = await allowed_reach().resolve(self.server_url.geturl())
        await self.uaclient.connect_socket(address, port)

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


def _rank(policy: ua.UserTokenPolicy) -> int:
    """Place of a policy, strongest first; one that is not ours comes last."""
    name = (policy.SecurityPolicyUri or "").removeprefix(POLICY_URI).replace("_", "")
    return POLICIES.index(name) if name in POLICIES else len(POLICIES)
