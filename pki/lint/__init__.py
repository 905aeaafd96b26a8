"""Is this certificate or CRL what SPIFFE and RFC 5280 ask for? Asked before it is signed.

The linter shares no code with `build`: it reads what was encoded and compares it with the rules,
so a mistake in one is seen by the other. It works on a draft: the very bytes that are about to
be signed, with an empty signature.
"""

from pki.lint.certificate import certificate_findings
from pki.lint.crl import crl_findings
from pki.lint.facts import Finding, LintError, Role, check

__all__ = [
    "Finding",
    "LintError",
    "Role",
    "certificate_findings",
    "check",
    "crl_findings",
]
