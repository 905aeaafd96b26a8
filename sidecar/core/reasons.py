"""Every reason for which the sidecar refuses something or gives up, with a code that never changes.

One table feeds the access log (`flags`, `code`), the metric labels, the HTTP status, the
`sidecar explain` command and `docs/error-codes.md`. Codes are part of the public surface: they
are added, never renumbered and never reused.

The hundreds say where it happened: 1 the peer's certificate and the handshake, 2 policy, 3 the
request, 4 the upstream, 5 limits and life cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something ended the way it did.

    `flag` is the short word of the access log, `status` the HTTP status that a client gets (0
    where no HTTP answer is possible), `title` one line for people, `fix` what usually helps.
    """

    code: str
    flag: str
    status: int
    title: str
    fix: str


ALL: Final[dict[str, Reason]] = {}


def _reason(number: int, flag: str, status: int, title: str, fix: str) -> Reason:
    reason = Reason(f"MTLS-E{number}", flag, status, title, fix)
    assert reason.code not in ALL
    ALL[reason.code] = reason
    return reason


# --- 1: the peer's certificate and the handshake ---------------------------------------------
# The peer may be a server that an outbound route calls: then the application gets the status. A
# client that is refused gets no HTTP at all.

NO_CERTIFICATE: Final = _reason(
    101,
    "TLS",
    502,
    "the peer presented no certificate",
    "give the client a certificate: `pki issue`, then --cert and --key in curl",
)
UNTRUSTED: Final = _reason(
    102,
    "TLS",
    502,
    "the peer's chain does not end at a root that this workload trusts",
    "compare ca.crt on both sides (`pki show`); the peer must send its intermediates in tls.crt",
)
EXPIRED: Final = _reason(
    103,
    "TLS",
    502,
    "a certificate in the peer's chain has expired",
    "renew it: `pki renew`; check the clocks of both machines",
)
NOT_YET_VALID: Final = _reason(
    104,
    "TLS",
    502,
    "a certificate in the peer's chain is not valid yet",
    "check the clocks of both machines; certificates are backdated by 60 s only",
)
REVOKED: Final = _reason(
    105,
    "TLS",
    502,
    "a certificate in the peer's chain is revoked",
    "issue a new one: `pki issue`",
)
NO_SPIFFE_ID: Final = _reason(
    106,
    "TLS",
    502,
    "the peer's certificate carries no URI name",
    "issue it with --spiffe-id; a DNS name or common name is not an identity here",
)
MANY_SPIFFE_IDS: Final = _reason(
    107,
    "TLS",
    502,
    "the peer's certificate carries more than one URI name",
    "issue one certificate for each identity (X.509-SVID section 2)",
)
BAD_SPIFFE_ID: Final = _reason(
    108,
    "TLS",
    502,
    "the peer's URI name is not a SPIFFE ID",
    "names are spiffe://trust-domain/path with segments of A-Z a-z 0-9 . - _",
)
FOREIGN_TRUST_DOMAIN: Final = _reason(
    109,
    "TLS",
    502,
    "the peer belongs to another trust domain",
    "only peers of the own trust domain are accepted",
)
CA_AS_LEAF: Final = _reason(
    110,
    "TLS",
    502,
    "the peer authenticated with a CA certificate",
    "signing certificates never authenticate a workload (X.509-SVID section 5.2)",
)
KEY_USAGE: Final = _reason(
    111,
    "TLS",
    502,
    "the peer's key usage does not allow this",
    "a leaf has critical keyUsage with digitalSignature, without keyCertSign and cRLSign",
)
EXTENDED_KEY_USAGE: Final = _reason(
    112,
    "TLS",
    502,
    "the peer's extended key usage does not allow this",
    "if it is there at all, it must list both serverAuth and clientAuth",
)
WEAK_KEY: Final = _reason(
    113,
    "TLS",
    502,
    "a key or signature in the peer's chain is too weak",
    "use P-256, P-384, Ed25519 or RSA with 2048 bits or more, and SHA-256 or better",
)
MALFORMED_CERTIFICATE: Final = _reason(
    114,
    "TLS",
    502,
    "the peer's certificate cannot be read or is not X.509 v3",
    "look at it: `pki show FILE`",
)
LONG_CHAIN: Final = _reason(
    115,
    "TLS",
    502,
    "the peer sent a longer chain than this workload will walk",
    "send the leaf and its intermediates only",
)
CRL_UNUSABLE: Final = _reason(
    116,
    "TLS",
    502,
    "revocation cannot be decided: a CRL is missing, expired or badly signed",
    "crl.pem needs a current CRL of every issuer in the chain: `pki crl` writes them all",
)
NAME_CONSTRAINT: Final = _reason(
    117,
    "TLS",
    502,
    "the peer's name is outside of what its issuer may sign",
    "the intermediate is constrained to its trust domain; issue from the right CA",
)
UNEXPECTED_SERVER: Final = _reason(
    118,
    "TLS",
    502,
    "the server is not the identity that this route expects",
    "compare `expect` with the server's SPIFFE ID, which the operational log names",
)
BAD_ISSUER: Final = _reason(
    119,
    "TLS",
    502,
    "a certificate in the peer's chain was signed by one that may not sign it",
    "an issuer is a CA with keyCertSign and enough path length; a leaf issues nothing",
)
NOT_TLS: Final = _reason(
    120,
    "TLS",
    502,
    "the other side spoke something other than TLS on an mTLS port",
    "is it the right port? a client without TLS must go through its own sidecar",
)
TLS_VERSION: Final = _reason(
    121,
    "TLS",
    502,
    "the two sides share no TLS version or cipher suite",
    'TLS 1.3 is the floor; `tls: {min_version: "1.2"}` allows 1.2 with AEAD suites',
)
HANDSHAKE_TIMEOUT: Final = _reason(
    122,
    "TLS",
    504,
    "the TLS handshake did not finish in time",
    "is the other side overloaded, or not speaking TLS at all?",
)
HANDSHAKE_CLOSED: Final = _reason(
    123,
    "TLS",
    502,
    "the other side closed the connection during the handshake",
    "look into the other side's log for the reason",
)
OWN_CERTIFICATE_REFUSED: Final = _reason(
    124,
    "TLS",
    502,
    "the other side refused this workload's certificate",
    "its alert is in the log; compare trust bundles, clocks and expiry",
)
HANDSHAKE_FAILED: Final = _reason(
    125,
    "TLS",
    502,
    "the TLS handshake failed",
    "the operational log has OpenSSL's own words",
)
TLS_BROKEN: Final = _reason(
    126,
    "TLS",
    502,
    "a TLS record could not be decrypted",
    "something between the two sides changes bytes, or one side's TLS is faulty",
)

# --- 2: policy --------------------------------------------------------------------------------

UNKNOWN_PEER: Final = _reason(
    201,
    "DENY",
    403,
    "no rule allows this identity here",
    "add it to `from` of an `allow` rule of this listener",
)
NOT_ALLOWED: Final = _reason(
    202,
    "DENY",
    403,
    "the identity is known, but no rule allows this method and path",
    "widen `methods` or `paths` of one of its `allow` rules",
)
DENIED: Final = _reason(
    203,
    "DENY",
    403,
    "a `deny` rule matched; it wins over every `allow`",
    "the log's `rule` names it",
)

# --- 3: the request ---------------------------------------------------------------------------

BAD_REQUEST: Final = _reason(
    301,
    "BAD",
    400,
    "the request is not well-formed HTTP/1.1",
    "the sidecar forwards only what two parsers cannot read differently (RFC 9112)",
)
BAD_FRAMING: Final = _reason(
    302,
    "BAD",
    400,
    "the request's length is ambiguous",
    "send either one Content-Length or Transfer-Encoding: chunked (RFC 9112 section 6)",
)
HEAD_TOO_LARGE: Final = _reason(
    303,
    "LIMIT",
    431,
    "the request's header section is larger than allowed",
    "raise limits.head_bytes or limits.fields, or send less",
)
BODY_TOO_LARGE: Final = _reason(
    304,
    "LIMIT",
    413,
    "the request's body is larger than allowed",
    "raise limits.body_bytes, or send less",
)
BAD_PATH: Final = _reason(
    305,
    "BAD",
    400,
    "the path can be read in more than one way",
    "where rules name paths: no dot segments, empty segments, `;`, encoded slashes or bad escapes",
)
BAD_HOST: Final = _reason(
    306,
    "BAD",
    400,
    "the Host field is missing, repeated or malformed",
    "send exactly one Host (RFC 9112 section 3.2)",
)
NO_CONNECT: Final = _reason(
    307,
    "BAD",
    501,
    "CONNECT is not served here",
    "use a `protocol: tcp` listener for opaque traffic",
)
HEAD_TIMEOUT: Final = _reason(
    308,
    "TO",
    408,
    "the request's header section did not arrive in time",
    "raise timeouts.head if the client is honest and slow",
)
BAD_VERSION: Final = _reason(
    309,
    "BAD",
    505,
    "this HTTP version is not spoken here",
    "HTTP/1.0 and HTTP/1.1 are",
)
BODY_TIMEOUT: Final = _reason(
    310,
    "TO",
    408,
    "the request's body stopped arriving",
    "raise timeouts.idle if the client is honest and slow",
)
TOTAL_TIMEOUT: Final = _reason(
    311,
    "UT",
    504,
    "the exchange took longer than allowed in total",
    "raise timeouts.total, or find out what is slow: upstream_ms is in the log",
)
BAD_EXPECT: Final = _reason(
    312,
    "BAD",
    417,
    "the request expects something that is not offered",
    "only `Expect: 100-continue` is known (RFC 9110 section 10.1.1)",
)

# --- 4: the upstream --------------------------------------------------------------------------

UPSTREAM_UNREACHABLE: Final = _reason(
    401,
    "UF",
    503,
    "the upstream cannot be reached",
    "is it listening where `forward` or `connect` points?",
)
UPSTREAM_CONNECT_TIMEOUT: Final = _reason(
    402,
    "UT",
    504,
    "the upstream did not accept the connection in time",
    "raise timeouts.connect, or look at its backlog and the network",
)
UPSTREAM_CLOSED: Final = _reason(
    403,
    "UC",
    502,
    "the upstream closed the connection before its response was complete",
    "look into the application's log",
)
UPSTREAM_PROTOCOL: Final = _reason(
    404,
    "UP",
    502,
    "the upstream's response is not well-formed HTTP/1.1",
    "look at what the application sends; a malformed response is never passed on",
)
UPSTREAM_TIMEOUT: Final = _reason(
    405,
    "UT",
    504,
    "the upstream's response did not come in time",
    "raise timeouts.response, or find out what is slow",
)
UNASKED_UPGRADE: Final = _reason(
    406,
    "UP",
    502,
    "the upstream switched protocols without being asked",
    "a 101 answers only a request with Upgrade (RFC 9110 section 15.2.2)",
)

# --- 5: limits and life cycle -----------------------------------------------------------------

CONNECTION_LIMIT: Final = _reason(
    501,
    "LIMIT",
    503,
    "the listener has as many connections as it may",
    "raise limits.connections",
)
HANDSHAKE_LIMIT: Final = _reason(
    502,
    "LIMIT",
    0,
    "too many handshakes are in progress",
    "raise limits.handshakes; a flood of unfinished handshakes ends here",
)
IDLE: Final = _reason(
    503,
    "IDLE",
    0,
    "the connection was idle for too long",
    "raise timeouts.idle",
)
DRAINING: Final = _reason(
    504,
    "DRAIN",
    503,
    "the sidecar is shutting down",
    "the client should connect again, to another instance",
)
LIFETIME: Final = _reason(
    505,
    "LIFE",
    0,
    "the connection reached the end of a certificate or its maximum life",
    "clients connect again by themselves; raise limits.lifetime if it is that",
)
CLIENT_CLOSED: Final = _reason(
    506,
    "DC",
    0,
    "the client closed the connection before it had its response",
    "look into the client's log; a client timeout is the usual cause",
)
INTERNAL: Final = _reason(
    507,
    "BUG",
    500,
    "the sidecar itself failed",
    "this is a defect: report it with the traceback of the operational log",
)
