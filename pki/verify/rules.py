"""Every rule that can be broken, each with a word that never changes and what usually helps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that must hold; `code` is for programs, `title` and `hint` are for people."""

    code: str
    title: str
    hint: str


RULES: Final[dict[str, Rule]] = {}


def _rule(code: str, title: str, hint: str) -> Rule:
    assert code not in RULES
    RULES[code] = Rule(code, title, hint)
    return RULES[code]


LONG_CHAIN: Final = _rule(
    "long-chain",
    "the chain is longer than anything walks",
    "keep the leaf and its intermediates only",
)
UNTRUSTED: Final = _rule(
    "untrusted",
    "the chain does not end at a trusted root",
    "is it the right ca.crt, and are all intermediates in the file? compare with `pki show`",
)
SIGNATURE: Final = _rule(
    "signature",
    "the signature is not its issuer's",
    "the file was changed, or another CA of the same name signed it; issue it again",
)
MALFORMED: Final = _rule(
    "malformed",
    "the certificate cannot be read",
    "look at it with `pki show`; issue it again",
)
CRITICAL: Final = _rule(
    "critical-extension",
    "a critical extension is not understood",
    "RFC 5280 section 4.2: who does not know a critical extension must refuse the certificate",
)
EXPIRED: Final = _rule(
    "expired",
    "the certificate has expired",
    "`pki renew SERIAL` for a leaf; is the clock right?",
)
NOT_YET_VALID: Final = _rule(
    "not-yet-valid",
    "the certificate is not valid yet",
    "compare the clocks of this machine and the CA's",
)
WEAK: Final = _rule(
    "weak",
    "a key or a signature is too weak",
    "use P-256, P-384, Ed25519 or RSA with 2048 bits or more, and SHA-256 or better",
)
CA_AS_LEAF: Final = _rule(
    "ca-as-leaf",
    "a CA certificate stands where a workload's should",
    "tls.crt has the leaf first; to look at a CA itself, add `--purpose ca`",
)
NOT_A_CA: Final = _rule(
    "not-a-ca",
    "a certificate that is no CA's signed another",
    "only certificates of a CA may sign; trust nothing from this key",
)
KEY_USAGE: Final = _rule(
    "key-usage",
    "the key usage is not right",
    "a leaf: critical, digitalSignature, no keyCertSign, no cRLSign; a CA: keyCertSign",
)
EXTENDED_KEY_USAGE: Final = _rule(
    "extended-key-usage",
    "the extended key usage does not allow this",
    "if it is there, it lists serverAuth and clientAuth (X.509-SVID section 4.4)",
)
PATH_LENGTH: Final = _rule(
    "path-length",
    "there are more CAs below this one than it allows",
    "issue from the CA above, or make the chain shorter",
)
NAME_CONSTRAINT: Final = _rule(
    "name-constraint",
    "a name is outside of what its CA may sign",
    "the CA is bound to its trust domain and DNS names (`permits` in `pki show`)",
)
NO_SPIFFE_ID: Final = _rule(
    "no-spiffe-id",
    "the leaf has no URI name, so it has no identity",
    "`pki issue --spiffe-id …` makes certificates with one",
)
MANY_SPIFFE_IDS: Final = _rule(
    "many-spiffe-ids",
    "the leaf has more than one URI name",
    "issue one certificate for each identity (X.509-SVID section 2)",
)
BAD_SPIFFE_ID: Final = _rule(
    "bad-spiffe-id",
    "the URI name is not a SPIFFE ID",
    "spiffe://trust-domain/path, with segments of A-Z a-z 0-9 . - _",
)
SIGNING_ID: Final = _rule(
    "signing-id",
    "a CA certificate carries a workload's name",
    "a signing certificate's SPIFFE ID has no path (X.509-SVID section 2)",
)
TRUST_DOMAIN: Final = _rule(
    "trust-domain",
    "the identity belongs to another trust domain",
    "take the bundle of the identity's own trust domain",
)
SAN_CRITICAL: Final = _rule(
    "san-critical",
    "the subject is empty, so the alternative names must be critical",
    "RFC 5280 section 4.2.1.6; issue it again",
)
REVOKED: Final = _rule(
    "revoked",
    "the certificate is revoked",
    "`pki issue` makes a new one with a new key",
)
CRL_MISSING: Final = _rule(
    "crl-missing",
    "there is no CRL of this certificate's issuer",
    "`pki crl` writes those of all issuers into one file",
)
CRL_STALE: Final = _rule(
    "crl-stale",
    "the CRL is not current",
    "`pki crl` writes a new one",
)
CRL_UNUSABLE: Final = _rule(
    "crl-unusable",
    "the CRL cannot be used",
    "fetch it again; `pki crl` writes complete CRLs, signed by their issuer",
)
KEY_MISMATCH: Final = _rule(
    "key-mismatch",
    "the private key does not belong to the leaf",
    "tls.crt and tls.key come from two different issues; write both again",
)
