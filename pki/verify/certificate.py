"""What one certificate of a path must be, as a leaf or as a CA: one small function for each rule.

Sources: RFC 5280 sections 4.2 and 6.1, SPIFFE X.509-SVID sections 2, 4 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pki import fields
from pki.errors import RequestError
from pki.keys import check_public_key
from pki.names import SCHEME as SPIFFE
from pki.names import InvalidNameError, SpiffeID, parse_trust_domain
from pki.read import MALFORMED
from pki.text import printable, span, timestamp
from pki.verify import rules
from pki.verify.finding import Finding, Link, Purpose


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the certificates of a path are held against."""

    now: datetime
    purpose: Purpose
    trust_domain: str | None


Check = Callable[[Link, Wanted], Iterator[Finding]]

_UNDERSTOOD: Final = (
    x509.BasicConstraints,
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.SubjectAlternativeName,
    x509.NameConstraints,
)
_STRONG: Final = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    SignatureAlgorithmOID.RSA_WITH_SHA256,
    SignatureAlgorithmOID.RSA_WITH_SHA384,
    SignatureAlgorithmOID.RSA_WITH_SHA512,
    SignatureAlgorithmOID.RSASSA_PSS,
    SignatureAlgorithmOID.ED25519,
}
_PURPOSES: Final = {
    Purpose.WORKLOAD: {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
    Purpose.SERVER: {ExtendedKeyUsageOID.SERVER_AUTH},
    Purpose.CLIENT: {ExtendedKeyUsageOID.CLIENT_AUTH},
    Purpose.CA: set[x509.ObjectIdentifier](),
}


def check(link: Link, wanted: Wanted) -> Iterator[Finding]:
    """All broken rules of one certificate; the first of a path is the leaf, others are CAs."""
    for rule in _COMMON:
        yield from rule(link, wanted)
    if link.problem:  # the rest would only say that nothing is there
        return
    for rule in _LEAF if link.place == "leaf" else _AUTHORITY:
        yield from rule(link, wanted)


def _readable(link: Link, _: Wanted) -> Iterator[Finding]:
    if link.problem:
        yield link.finding(
            rules.MALFORMED, "extensions", link.problem, "well-formed, each at most once"
        )
    if link.certificate.version is not x509.Version.v3:
        yield link.finding(rules.MALFORMED, "version", "1", "3")
    for field, read in (("subject", fields.subject), ("issuer", fields.issuer)):
        if read(link.certificate) is None:
            yield link.finding(rules.MALFORMED, field, "an unreadable name", "a readable one")
    serial = fields.serial_number(link.certificate)
    if serial <= 0:
        found = fields.serial_text(serial)
        yield link.finding(rules.MALFORMED, "serial number", found, "a positive number")


def _understood(link: Link, _: Wanted) -> Iterator[Finding]:
    for extension in link.extensions:
        if extension.critical and not isinstance(extension.value, _UNDERSTOOD):
            name = fields.extension_name(extension.oid)
            yield link.finding(
                rules.CRITICAL, f"extension {name}", "critical", "not critical, or a known one"
            )


def _time(link: Link, wanted: Wanted) -> Iterator[Finding]:
    start = link.certificate.not_valid_before_utc
    end = link.certificate.not_valid_after_utc
    if wanted.now > end:
        found = f"{timestamp(end)}, {span(wanted.now - end)} ago"
        yield link.finding(rules.EXPIRED, "notAfter", found, f"later than {timestamp(wanted.now)}")
    if wanted.now < start:
        found = f"{timestamp(start)}, in {span(start - wanted.now)}"
        expected = f"{timestamp(wanted.now)} or earlier"
        yield link.finding(rules.NOT_YET_VALID, "notBefore", found, expected)


def _strength(link: Link, _: Wanted) -> Iterator[Finding]:
    try:
        check_public_key(link.certificate.public_key())
    except RequestError as error:
        expected = ", ".join(error.hints) or "a stronger one"
        yield link.finding(rules.WEAK, "public key", str(error), expected)
    except (*MALFORMED, UnsupportedAlgorithm):
        found = fields.key_words(link.certificate)
        yield link.finding(rules.MALFORMED, "public key", found, "a key of a known type")
    algorithm = link.certificate.signature_algorithm_oid
    if not link.anchor and algorithm not in _STRONG:  # an anchor is trusted without its signature
        found = fields.signature_name(link.certificate)
        yield link.finding(rules.WEAK, "signature algorithm", found, "SHA-256 or better")


def _no_authority(link: Link, _: Wanted) -> Iterator[Finding]:
    basic = fields.value(link.extensions, x509.BasicConstraints)
    if basic is not None and basic.ca:
        yield link.finding(rules.CA_AS_LEAF, "basicConstraints", "CA: yes", "CA: no")


def _leaf_usage(link: Link, _: Wanted) -> Iterator[Finding]:
    usage = fields.find(link.extensions, x509.KeyUsage)
    if usage is None:
        yield link.finding(rules.KEY_USAGE, "keyUsage", "missing", "digitalSignature, critical")
        return
    bits = fields.usages(usage.value)
    if not usage.critical:
        yield link.finding(rules.KEY_USAGE, "keyUsage", "not critical", "critical")
    if "digitalSignature" not in bits:
        found = ", ".join(bits) or "nothing"
        yield link.finding(rules.KEY_USAGE, "keyUsage", found, "digitalSignature")
    for bit in ("keyCertSign", "cRLSign"):
        if bit in bits:
            yield link.finding(rules.KEY_USAGE, "keyUsage", bit, f"no {bit} in a leaf")


def _purpose(link: Link, wanted: Wanted) -> Iterator[Finding]:
    """In a leaf and, as OpenSSL reads it, in every CA above it that has the extension."""
    usage = fields.value(link.extensions, x509.ExtendedKeyUsage)
    if usage is None:
        return
    missing = _PURPOSES[wanted.purpose].difference(usage)
    if missing:
        yield link.finding(
            rules.EXTENDED_KEY_USAGE,
            "extendedKeyUsage",
            ", ".join(fields.purposes(usage)),
            f"also {', '.join(sorted(fields.purposes(missing)))}",
        )


def _identity(link: Link, wanted: Wanted) -> Iterator[Finding]:
    uris = fields.uris(link.extensions)
    if not uris:
        yield link.finding(rules.NO_SPIFFE_ID, "subjectAltName", "no URI", "exactly one URI")
    elif len(uris) > 1:
        found = ", ".join(map(printable, uris))
        yield link.finding(rules.MANY_SPIFFE_IDS, "subjectAltName", found, "exactly one URI")
    for uri in uris:
        yield from _spiffe_id(link, uri, wanted.trust_domain)


def _spiffe_id(link: Link, uri: str, trust_domain: str | None) -> Iterator[Finding]:
    field = "subjectAltName URI"
    try:
        spiffe_id = SpiffeID.parse(uri)
    except InvalidNameError as error:
        yield link.finding(rules.BAD_SPIFFE_ID, field, str(error), "spiffe://trust-domain/path")
        return
    if trust_domain not in (None, spiffe_id.trust_domain):
        found, expected = spiffe_id.trust_domain, f"the trust domain {trust_domain}"
        yield link.finding(rules.TRUST_DOMAIN, field, found, expected)


def _san_critical(link: Link, _: Wanted) -> Iterator[Finding]:
    names = fields.find(link.extensions, x509.SubjectAlternativeName)
    subject = fields.subject(link.certificate)
    if names and not names.critical and subject is not None and not subject.rdns:
        yield link.finding(rules.SAN_CRITICAL, "subjectAltName", "not critical", "critical")


def _authority(link: Link, _: Wanted) -> Iterator[Finding]:
    basic = fields.value(link.extensions, x509.BasicConstraints)
    if basic is None or not basic.ca:
        found = "missing" if basic is None else "CA: no"
        yield link.finding(rules.NOT_A_CA, "basicConstraints", found, "CA: yes")


def _authority_usage(link: Link, _: Wanted) -> Iterator[Finding]:
    usage = fields.value(link.extensions, x509.KeyUsage)
    bits = () if usage is None else fields.usages(usage)
    if "keyCertSign" not in bits:
        found = "missing" if usage is None else ", ".join(bits) or "nothing"
        yield link.finding(rules.KEY_USAGE, "keyUsage", found, "keyCertSign")


def _signing_id(link: Link, _: Wanted) -> Iterator[Finding]:
    """A CA may carry its trust domain's own id; CAs of other makes carry none, or other URIs."""
    for uri in fields.uris(link.extensions):
        if uri.startswith(SPIFFE) and anchor_domain(uri) is None:
            found, expected = printable(uri), "spiffe://trust-domain, without a path"
            yield link.finding(rules.SIGNING_ID, "subjectAltName URI", found, expected)


def anchor_domain(uri: str) -> str | None:
    """The trust domain that a CA's URI name stands for, or None if it is no trust domain's."""
    if not uri.startswith(SPIFFE):
        return None
    try:
        return parse_trust_domain(uri.removeprefix(SPIFFE))
    except InvalidNameError:
        return None


_COMMON: Final[tuple[Check, ...]] = (_readable, _understood, _time, _strength)
_LEAF: Final[tuple[Check, ...]] = (
    _no_authority,
    _leaf_usage,
    _purpose,
    _identity,
    _san_critical,
)
_AUTHORITY: Final[tuple[Check, ...]] = (_authority, _authority_usage, _purpose, _signing_id)
