"""Has any certificate of the path been revoked? One complete CRL of each issuer answers.

Every certificate below the root is looked up, not the leaf alone: a leaf under a revoked
intermediate is worth nothing. Where no answer can be had (no CRL, an old one, a bad signature),
that is a finding too: silence would be a yes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pki import fields
from pki.read import MALFORMED
from pki.text import span, timestamp
from pki.verify import rules
from pki.verify.finding import Finding, Link
from pki.verify.path import subject_words

Crl = x509.CertificateRevocationList


def check(path: Sequence[Link], crls: Sequence[Crl], now: datetime) -> Iterator[Finding]:
    """Everything that the CRLs say against the path, and everything that they fail to say."""
    for link, issuer in pairwise(path):
        name = fields.subject(issuer.certificate)
        mine = [crl for crl in crls if name is not None and fields.issuer(crl) == name]
        usable = [crl for crl in mine if _signed_by(crl, issuer)]
        if not mine:
            found = f"no CRL of {subject_words(issuer.certificate)}"
            yield link.finding(rules.CRL_MISSING, "revocation", found, "one CRL of each issuer")
        elif not usable:
            expected = f"the signature of {subject_words(issuer.certificate)}"
            yield _of(issuer, rules.CRL_UNUSABLE, "signature", "not its issuer's", expected)
        else:
            yield from _judge(link, issuer, max(usable, key=lambda crl: crl.last_update_utc), now)


def _judge(link: Link, issuer: Link, crl: Crl, now: datetime) -> Iterator[Finding]:
    yield from _current(issuer, crl, now)
    yield from _complete(issuer, crl)
    serial = fields.serial_number(link.certificate)
    entry = crl.get_revoked_certificate_by_serial_number(serial)
    if entry is not None:
        when, why = timestamp(entry.revocation_date_utc), fields.revocation_reason(entry)
        yield link.finding(rules.REVOKED, "serial number", f"revoked {when} ({why})", "not revoked")


def _current(issuer: Link, crl: Crl, now: datetime) -> Iterator[Finding]:
    until = crl.next_update_utc
    if until is None:
        yield _of(issuer, rules.CRL_STALE, "nextUpdate", "missing", "a time that is to come")
    elif now > until:
        found = f"{timestamp(until)}, {span(now - until)} ago"
        yield _of(issuer, rules.CRL_STALE, "nextUpdate", found, f"later than {timestamp(now)}")
    if now < crl.last_update_utc:
        found = f"{timestamp(crl.last_update_utc)}, in {span(crl.last_update_utc - now)}"
        yield _of(issuer, rules.CRL_STALE, "thisUpdate", found, f"{timestamp(now)} or earlier")


def _complete(issuer: Link, crl: Crl) -> Iterator[Finding]:
    """A critical extension narrows a CRL down (delta, indirect, partial): no full answer."""
    extensions, problem = fields.extensions(crl)
    if problem:
        yield _of(issuer, rules.CRL_UNUSABLE, "extensions", problem, "well-formed extensions")
    for extension in extensions:
        if extension.critical:
            field = f"extension {fields.extension_name(extension.oid)}"
            yield _of(issuer, rules.CRL_UNUSABLE, field, "critical", "a complete CRL")
    usage = fields.value(issuer.extensions, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        found = ", ".join(fields.usages(usage)) or "nothing"
        yield issuer.finding(rules.CRL_UNUSABLE, "keyUsage", found, "cRLSign")


def _of(issuer: Link, rule: rules.Rule, field: str, found: str, expected: str) -> Finding:
    return Finding(rule, f"CRL of {issuer.place}", field, found, expected)


def _signed_by(crl: Crl, issuer: Link) -> bool:
    try:
        key = issuer.certificate.public_key()
        return crl.is_signature_valid(key)  # type: ignore[arg-type]  # other keys: TypeError
    except (*MALFORMED, TypeError, UnsupportedAlgorithm):
        return False
