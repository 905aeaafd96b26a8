"""What the rules of both kinds share: roles, findings, drafts, and what is read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import SignatureAlgorithmOID

from pki import der
from pki.errors import PkiError


class Role(StrEnum):
    """What a certificate is for."""

    ROOT = "root"
    INTERMEDIATE = "intermediate"
    LEAF = "leaf"


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: a short stable `code`, and a sentence with what was found."""

    code: str
    message: str


class LintError(PkiError):
    """Something was about to be signed that breaks a rule; nothing was signed."""

    def __init__(self, what: str, findings: list[Finding]) -> None:
        listed = "; ".join(f"{f.message} ({f.code})" for f in findings)
        super().__init__(f"the {what} breaks {len(findings)} rule(s) and was not signed: {listed}")
        self.findings = findings


def check(what: str, findings: list[Finding]) -> None:
    """Raise `LintError` if anything was found in `what`."""
    if findings:
        raise LintError(what, findings)


def draft_certificate(tbs: bytes) -> x509.Certificate:
    """What the TBSCertificate `tbs` would be, with an empty signature."""
    _version, _serial, (_, algorithm) = islice(der.elements(der.content(tbs)), 3)
    return x509.load_der_x509_certificate(der.sequence(tbs, der.sequence(algorithm), _UNSIGNED))


def draft_crl(tbs: bytes) -> x509.CertificateRevocationList:
    """What the TBSCertList `tbs` would be, with an empty signature."""
    _version, (_, algorithm) = islice(der.elements(der.content(tbs)), 2)
    return x509.load_der_x509_crl(der.sequence(tbs, der.sequence(algorithm), _UNSIGNED))


_UNSIGNED: Final = b"\x03\x01\x00"  # BIT STRING of no bits


UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)

Extensions = Mapping[type[x509.ExtensionType], x509.Extension[Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules look at. Fields in bytes are the DER inside of the TBSCertificate's element."""

    certificate: x509.Certificate
    issuer: bytes
    validity: bytes
    subject: bytes
    key: bytes
    extensions: Extensions
    not_before: datetime
    not_after: datetime

    def value(self, kind: type[x509.ExtensionType]) -> Any:
        """The value of the extension of this type, or None."""
        found = self.extensions.get(kind)
        return None if found is None else found.value

    @property
    def names(self) -> tuple[x509.GeneralName, ...]:
        """Its alternative names."""
        return tuple(self.value(x509.SubjectAlternativeName) or ())


def facts(certificate: x509.Certificate) -> Facts:
    """Read a certificate, or raise one of `UNREADABLE`."""
    if certificate.version is not x509.Version.v3:
        raise ValueError("it is not X.509 v3")
    fields = (
        content for _, content in der.elements(der.content(certificate.tbs_certificate_bytes))
    )
    _version, _serial, _algorithm, issuer, validity, subject, key = islice(fields, 7)
    return Facts(
        certificate,
        issuer,
        validity,
        subject,
        key,
        by_type(certificate.extensions),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
    )


def by_type(extensions: x509.Extensions) -> Extensions:
    """The extensions, to be found by the type of their value."""
    return {type(extension.value): extension for extension in extensions}


issuer_facts = lru_cache(maxsize=8)(facts)  # one issuer signs many leaves

_ALGORITHMS: Final = {
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ED25519,
    SignatureAlgorithmOID.RSA_WITH_SHA256,
}


def known_algorithm(oid: x509.ObjectIdentifier) -> Iterator[Finding]:
    """Signatures with SHA-1, MD5 or with algorithms that no issuer here has."""
    if oid not in _ALGORITHMS:
        yield Finding("algorithm", f"the signature algorithm {oid.dotted_string} is not used here")


def time_encoding(times: bytes) -> Iterator[Finding]:
    """RFC 5280 section 4.1.2.5, for the DER of two times, one after the other."""
    if not _TIMES.fullmatch(times):
        yield Finding("time", f"the times {times!r} are not encoded as RFC 5280 asks")


# UTCTime to 2049, GeneralizedTime from 2050, in seconds, of Greenwich.
_TIMES: Final = re.compile(
    rb"(\x17\x0d[0-9]{12}Z|\x18\x0f(20[5-9]|2[1-9][0-9]|[3-9][0-9]{2})[0-9]{11}Z){2}"
)
