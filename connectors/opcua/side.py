"""Which side of a connection we are: that decides what certificates are for."""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """Which side of a connection we are, and what our peer is: names, and usages of certificates.

    Parameters
    ----------
    peer
        What the other side is called in messages.
    name
        Common name of our own certificate, and the last words of its application URI.
    own_usages, peer_usage
        Extended key usages of our certificate, and the one a peer's must allow.
    trust
        How a person trusts a peer; ``{}`` is the fingerprint.
    """

    peer: str
    name: str
    own_usages: tuple[x509.ObjectIdentifier, ...]
    peer_usage: x509.ObjectIdentifier
    trust: str


GATEWAY: Final = Side(
    peer="server",
    name="gateway",
    own_usages=(ExtendedKeyUsageOID.CLIENT_AUTH,),
    peer_usage=ExtendedKeyUsageOID.SERVER_AUTH,
    trust="compare the fingerprint with the one the server shows, then "
    "`parktwin certificate trust {}`",
)
"""We read servers."""
SERVER: Final = Side(
    peer="client",
    name="server",
    own_usages=(ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    peer_usage=ExtendedKeyUsageOID.CLIENT_AUTH,
    trust="compare the fingerprint with the one the client shows, then `parktwin opcua trust {}`",
)
"""Clients read us."""
