"""The rules of CRLs (RFC 5280 section 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cryptography import x509

from pki import der
from pki.lint.facts import (
    UNREADABLE,
    Extensions,
    Facts,
    Finding,
    by_type,
    issuer_facts,
    known_algorithm,
    time_encoding,
    unsigned,
)


@dataclass(frozen=True, slots=True)
class _CrlCase:
    crl: x509.CertificateRevocationList
    extensions: Extensions
    issuer: Facts


def crl_findings(tbs: bytes, issuer: x509.Certificate) -> list[Finding]:
    """Every rule that a CRL of `issuer` breaks; `tbs` is its DER-encoded TBSCertList."""
    try:
        _version, (_, algorithm) = islice(der.elements(der.content(tbs)), 2)
        crl = x509.load_der_x509_crl(unsigned(tbs, algorithm))
        case = _CrlCase(crl, by_type(crl.extensions), issuer_facts(issuer))
    except UNREADABLE as error:
        return [Finding("unreadable", f"it cannot be read: {error}")]
    return [finding for rule in _CRL_RULES for finding in rule(case)]


def _crl_issuer(case: _CrlCase) -> Iterator[Finding]:
    usage = case.issuer.value(x509.KeyUsage)
    if usage is None or not usage.crl_sign:
        yield Finding("issuer-right", "its issuer may not sign CRLs")
    if case.crl.issuer != case.issuer.certificate.subject:
        yield Finding("issuer", "its issuer's name is not the subject of its issuer")
    aki = case.extensions.get(x509.AuthorityKeyIdentifier)
    ski = case.issuer.value(x509.SubjectKeyIdentifier)
    if aki is None or ski is None or aki.value.key_identifier != ski.digest:
        yield Finding("aki", "its authority key identifier is not that of its issuer's key")


def _crl_algorithm(case: _CrlCase) -> Iterator[Finding]:
    return known_algorithm(case.crl.signature_algorithm_oid)


def _crl_extensions(case: _CrlCase) -> Iterator[Finding]:
    """Exactly the two that section 5.2 asks for: anything else would narrow what it covers."""
    number = case.extensions.get(x509.CRLNumber)
    if number is None or not 0 <= number.value.crl_number < 1 << 159:
        yield Finding("crl-number", "its CRL number is missing, negative or over 20 octets")
    for kind, extension in case.extensions.items():
        if extension.critical or kind not in {x509.CRLNumber, x509.AuthorityKeyIdentifier}:
            yield Finding(
                "extension",
                f"its extension {extension.oid.dotted_string} is critical"
                " or not one of a complete CRL",
            )


def _crl_times(case: _CrlCase) -> Iterator[Finding]:
    fields = der.elements(der.content(case.crl.tbs_certlist_bytes))
    times = (der.tlv(tag, text) for tag, text in fields if tag in {_UTC_TIME, _GENERALIZED_TIME})
    yield from time_encoding(b"".join(times))
    start, end = case.crl.last_update_utc, case.crl.next_update_utc
    if end is None or end <= start:
        yield Finding("next-update", "it does not say when the next one comes, after this one")


_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


def _crl_entries(case: _CrlCase) -> Iterator[Finding]:
    seen: set[int] = set()
    for entry in case.crl:
        if entry.serial_number in seen:
            yield Finding("twice", f"the serial number {entry.serial_number:x} is in it twice")
        seen.add(entry.serial_number)
        if entry.revocation_date_utc > case.crl.last_update_utc:
            yield Finding("future", f"{entry.serial_number:x} is revoked after the CRL was made")
        if {e.value for e in entry.extensions} & _BAD_REASONS:
            yield Finding("reason", f"{entry.serial_number:x} has a reason that is not for CRLs")


# "unspecified" is said by leaving the reason out (5.3.1); the other two are for delta CRLs.
_BAD_REASONS: Final = {
    x509.CRLReason(x509.ReasonFlags.unspecified),
    x509.CRLReason(x509.ReasonFlags.remove_from_crl),
    x509.CRLReason(x509.ReasonFlags.certificate_hold),
}

_CRL_RULES: Final = (_crl_issuer, _crl_algorithm, _crl_extensions, _crl_times, _crl_entries)
