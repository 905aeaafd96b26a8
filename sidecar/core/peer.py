"""From a certificate that OpenSSL has verified to the peer that policy can judge.

`ssl` knows nothing of SPIFFE: two names in one certificate, a CA that poses as a workload, a
signing key on a leaf and a line break inside a name all pass it. Nor does it look again when a
session is resumed. So these checks run on every connection, resumed or not, with the time of
that connection, and each rule has its own reason.

Rules: X.509-SVID sections 2 to 5, SPIFFE-ID section 2, RFC 5280 sections 4.1.2 and 4.2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from pki.names import InvalidNameError, SpiffeID, SpiffePattern
from sidecar.core import extensions, reasons
from sidecar.core.ids import Peer, RefusedError
from sidecar.core.x509 import Certificate

MAX_CHAIN: Final = 10
MIN_RSA_BITS: Final = 2048
_CURVES: Final = frozenset({"P-256", "P-384", "P-521"})
_EDWARDS: Final = frozenset({"ed25519", "ed448"})
_SIGNATURES: Final = frozenset({
    "ecdsa-sha256", "ecdsa-sha384", "ecdsa-sha512", "ed25519", "ed448", "rsa-sha256", "rsa-sha384",
    "rsa-sha512", "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512",
})  # fmt: skip
_SIGNING: Final = extensions.KEY_CERT_SIGN | extensions.CRL_SIGN
_BOTH: Final = frozenset({extensions.SERVER_AUTH, extensions.CLIENT_AUTH})
_DNS_NAME: Final = re.compile(r"[A-Za-z0-9._*-]{1,253}")


def check_peer(
    cert: Certificate,
    *,
    trust_domain: str,
    now: float,
    revoked: AbstractSet[tuple[bytes, int]],
    chain_length: int,
    skew: float = 0.0,
) -> Peer:
    """Return who the peer is, or raise `RefusedError` with the reason.

    `now` is in seconds since the epoch, `skew` in seconds; it is nothing by default, because
    certificates are backdated and renewed long before their end. `revoked` holds pairs of the
    issuer's name (DER) and a serial. `chain_length` counts what the peer sent, the leaf included.
    """
    if chain_length > MAX_CHAIN:
        raise RefusedError(reasons.LONG_CHAIN, f"{chain_length} certificates")
    spiffe_id = check_workload(cert, now, skew)
    if spiffe_id.trust_domain != trust_domain:
        raise RefusedError(reasons.FOREIGN_TRUST_DOMAIN, f"{spiffe_id} is not of {trust_domain}")
    if (cert.issuer, cert.serial) in revoked:
        raise RefusedError(reasons.REVOKED, f"serial {cert.serial:x} of {cert.issuer_text}")
    return Peer(
        spiffe_id,
        cert.fingerprint,
        cert.not_before,
        cert.not_after,
        cert.serial,
        cert.subject_text,
        cert.extensions.names.dns,
    )


def check_workload(cert: Certificate, now: float, skew: float = 0.0) -> SpiffeID:
    """Return the SPIFFE ID of a certificate that is fit for a workload, or raise `RefusedError`.

    All that can be said without knowing whom the reader trusts; our own certificate must pass too.
    """
    _check_purpose(cert.extensions)
    _check_strength(cert)
    check_time(cert, now, skew)
    return _identity(cert)


def check_time(cert: Certificate, now: float, skew: float = 0.0) -> None:
    """Raise `RefusedError` outside of the validity, to which both its ends belong.

    RFC 5280 section 4.1.2.5; `now` is in seconds since the epoch, `skew` in seconds.
    """
    if now < cert.not_before - skew:
        raise RefusedError(reasons.NOT_YET_VALID, f"it begins in {cert.not_before - now:.0f} s")
    if now > cert.not_after + skew:
        raise RefusedError(reasons.EXPIRED, f"it ended {now - cert.not_after:.0f} s ago")


def check_path(
    path: Sequence[Certificate],
    *,
    roots: AbstractSet[str],
    revoked: AbstractSet[tuple[bytes, int]],
    now: float,
) -> None:
    """Raise `RefusedError` if a path that was verified once would not be any more.

    For connections that are open when trust changes. `path` is the leaf, its issuers and the root
    that OpenSSL ended at; `roots` holds the fingerprints of those that are trusted now, `revoked`
    pairs of an issuer's name (DER) and a serial. A path that nobody knows ends nowhere.
    """
    if not path or path[-1].fingerprint not in roots:
        raise RefusedError(reasons.UNTRUSTED, "its root is trusted no more")
    for cert in path:
        check_time(cert, now)
        if (cert.issuer, cert.serial) in revoked:
            raise RefusedError(reasons.REVOKED, f"serial {cert.serial:x} of {cert.issuer_text}")


def expect_server(peer: Peer, patterns: Iterable[SpiffePattern]) -> None:
    """Raise `RefusedError` unless the server is one that the route expects; none expects nobody."""
    if not any(pattern.matches(peer.spiffe_id) for pattern in patterns):
        raise RefusedError(reasons.UNEXPECTED_SERVER, str(peer.spiffe_id))


def _check_purpose(found: extensions.Extensions) -> None:
    """A leaf that signs handshakes, both ways, and nothing else (X.509-SVID section 4)."""
    if found.is_ca:
        raise RefusedError(reasons.CA_AS_LEAF)
    if found.key_usage is None:
        raise RefusedError(reasons.KEY_USAGE, "it is missing")
    if extensions.KEY_USAGE not in found.critical:
        raise RefusedError(reasons.KEY_USAGE, "it is not critical")
    if not found.key_usage & extensions.DIGITAL_SIGNATURE:
        raise RefusedError(reasons.KEY_USAGE, "digitalSignature is missing")
    if found.key_usage & _SIGNING:
        raise RefusedError(reasons.KEY_USAGE, "keyCertSign or cRLSign is there")
    purposes = found.extended_key_usage
    if purposes is not None and not _BOTH.issubset(purposes):
        raise RefusedError(reasons.EXTENDED_KEY_USAGE, f"only {', '.join(purposes)}")


def _check_strength(cert: Certificate) -> None:
    key = cert.public_key
    strong = (
        key.curve in _CURVES
        or key.algorithm in _EDWARDS
        or (key.algorithm == "rsa" and key.bits >= MIN_RSA_BITS)
    )
    if not strong:
        kind = " ".join(filter(None, (key.algorithm, key.curve)))
        raise RefusedError(reasons.WEAK_KEY, f"{kind} key of {key.bits} bits")
    if cert.signature_algorithm not in _SIGNATURES:
        raise RefusedError(reasons.WEAK_KEY, f"signed with {cert.signature_algorithm}")


def _identity(cert: Certificate) -> SpiffeID:
    """Exactly one URI name, which is a SPIFFE ID (X.509-SVID section 2)."""
    names = cert.extensions.names
    if not names.uris:
        raise RefusedError(reasons.NO_SPIFFE_ID)
    if len(names.uris) > 1:
        raise RefusedError(reasons.MANY_SPIFFE_IDS, f"{len(names.uris)} of them")
    if not cert.subject_text and extensions.SUBJECT_ALT_NAME not in cert.extensions.critical:
        raise RefusedError(
            reasons.MALFORMED_CERTIFICATE, "no subject, and its alternative names are not critical"
        )
    for name in names.dns:
        if not _DNS_NAME.fullmatch(name):
            raise RefusedError(reasons.MALFORMED_CERTIFICATE, f"not a DNS name: {name[:80]!a}")
    try:
        return SpiffeID.parse(names.uris[0])
    except InvalidNameError as error:
        raise RefusedError(reasons.BAD_SPIFFE_ID, str(error)) from None
