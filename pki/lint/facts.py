"""What the rules of both kinds share: roles, findings, drafts, and what is read once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from itertools import islice
from typing import Any, Final, NamedTuple

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


UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)

Extensions = Mapping[type[x509.ExtensionType], x509.Extension[Any]]


class Facts(NamedTuple):  # twice as quickly made as a frozen dataclass, once for each leaf
    """What rules look at. Fields in bytes are the DER inside of the TBSCertificate's element.

    `certificate` is a draft: what is to be signed, with an empty signature.
    """

    certificate: x509.Certificate
    issuer: bytes
    validity: bytes
    subject: bytes
    key: bytes
    extensions: Extensions
    names: tuple[x509.GeneralName, ...]
    not_before: datetime
    not_after: datetime

    def value(self, kind: type[x509.ExtensionType]) -> Any:
        """The value of the extension of this type, or None."""
        found = self.extensions.get(kind)
        return None if found is None else found.value


def facts(tbs: bytes) -> Facts:
    """Read a TBSCertificate, or raise one of `UNREADABLE`."""
    fields = [content for _, content in islice(der.elements(der.content(tbs)), 7)]
    if len(fields) < 7 or fields[0] != _V3:
        raise ValueError("it is not X.509 v3")
    _version, _serial, algorithm, issuer, validity, subject, key = fields
    draft = x509.load_der_x509_certificate(unsigned(tbs, algorithm))
    extensions = by_type(draft.extensions)
    san = extensions.get(x509.SubjectAlternativeName)
    return Facts(
        draft,
        issuer,
        validity,
        subject,
        key,
        extensions,
        () if san is None else tuple(san.value),
        draft.not_valid_before_utc,
        draft.not_valid_after_utc,
    )


_V3: Final = b"\x02\x01\x02"  # INTEGER 2


def unsigned(tbs: bytes, algorithm: bytes) -> bytes:
    """What is to be signed with the inside of its AlgorithmIdentifier and an empty signature."""
    return der.sequence(tbs, der.sequence(algorithm), b"\x03\x01\x00")


def by_type(extensions: x509.Extensions) -> Extensions:
    """The extensions, to be found by the type of their value."""
    return {type(extension.value): extension for extension in extensions}


@lru_cache(maxsize=8)  # one issuer signs many leaves
def issuer_facts(issuer: x509.Certificate) -> Facts:
    """Read an issuer's certificate, or raise one of `UNREADABLE`."""
    return facts(issuer.tbs_certificate_bytes)


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
