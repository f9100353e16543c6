"""What a server's refusal for reasons of security means, and what to do, in plain words."""

from typing import Final

_TRUST: Final = (
    "trust our certificate on the server (`parktwin certificate export --der parktwin.der`; it "
    "usually lies in the server's rejected folder already)"
)
_CLOCKS: Final = "compare both clocks: 5 minutes apart is enough to fail"

REFUSALS: Final = {
    "BadSecurityPolicyRejected": (
        "the server refuses this security policy",
        "choose one it offers: `parktwin endpoint test` lists them",
    ),
    "BadSecurityModeRejected": ("the server refuses this security mode", "choose another mode"),
    "BadSecurityChecksFailed": (
        "the server refuses our certificate",
        f"{_TRUST}; {_CLOCKS}",
    ),
    "BadCertificateUntrusted": ("the server does not trust our certificate", _TRUST),
    "BadCertificateInvalid": ("the server cannot use our certificate", f"{_TRUST}; {_CLOCKS}"),
    "BadCertificateUriInvalid": (
        "the server does not accept the URI of our certificate",
        "`parktwin certificate renew` makes a new one; trust that on the server",
    ),
    "BadCertificateTimeInvalid": (
        "the server holds our certificate for expired or not yet valid",
        "set the clock of the server; `parktwin certificate list` says until when ours is valid",
    ),
    "BadCertificateHostNameInvalid": (
        "the server does not accept the host of our certificate",
        "switch its check of host names off for clients, or renew ours on this machine",
    ),
    "BadCertificateUseNotAllowed": (
        "the server holds our certificate for one of another purpose",
        "trust it as an application instance certificate, not as an authority's",
    ),
    "BadCertificateRevoked": (
        "the server holds our certificate for revoked",
        "`parktwin certificate renew` makes a new one; trust that on the server",
    ),
    "BadCertificateRevocationUnknown": (
        "the server misses a revocation list for our certificate",
        "ours is self-signed and has none: trust it as it is, not through an authority",
    ),
    "BadCertificateChainIncomplete": (
        "the server misses the issuer of our certificate",
        "ours is self-signed: trust it as it is, not through an authority",
    ),
    "BadCertificatePolicyCheckFailed": (
        "the server wants a certificate with a longer key or another hash",
        "choose Basic256Sha256, which takes RSA 2048 with SHA-256",
    ),
    "BadInvalidTimestamp": (
        "the server's clock and ours are too far apart",
        "set both by NTP; the status step of a test without security shows the difference",
    ),
    "BadRequestHeaderInvalid": ("the server refuses our request's header", _CLOCKS),
    "BadNonceInvalid": ("the server refuses our random number", "try again; update its firmware"),
    "BadApplicationSignatureInvalid": (
        "the server cannot verify our signature",
        "trust our present certificate on the server: it may hold an older one",
    ),
    "BadUserAccessDenied": (
        "the server refuses this user",
        "check user and password, and that the user may log in and read",
    ),
    "BadUserSignatureInvalid": (
        "the server cannot verify the user's signature",
        "check that the user's key belongs to its certificate",
    ),
    "BadIdentityTokenRejected": (
        "the server refuses this user",
        "check user and password, or trust the user's certificate on the server; leave the user "
        "out if it knows none",
    ),
    "BadIdentityTokenInvalid": (
        "the server cannot read the login",
        "check user and password; if they are right, choose another security policy",
    ),
}
