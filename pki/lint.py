"""Is this certificate or CRL what SPIFFE and RFC 5280 ask for? Asked before it is signed.

The linter shares no code with `build`: it reads what was encoded and compares it with the rules,
so a mistake in one is seen by the other. It works on a draft: the very bytes that are about to
be signed, with an empty signature.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509

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


def certificate_findings(
    certificate: x509.Certificate, role: Role, issuer: x509.Certificate | None
) -> list[Finding]:
    """Every rule that `certificate` breaks in `role`; `issuer` None means self-signed."""
    raise NotImplementedError


def crl_findings(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> list[Finding]:
    """Every rule that `crl` of `issuer` breaks."""
    raise NotImplementedError
