"""Is this chain good? All of what is wrong with it, and where.

    verify(Question(chain, anchors, now)) -> Verdict

A TLS library stops at the first fault and says "verification failed". Here every certificate is
held against every rule, and each `Finding` names the certificate, the field, what was found and
what was expected. The rules are RFC 5280's path validation and those of the SPIFFE X.509-SVID
specification.

`cryptography.x509.verification` does not fit: it refuses any chain whose CA constrains URI names
(which is what keeps a SPIFFE intermediate in its trust domain), and it knows no CRLs. Its
signature check is used, the rest is in small functions here: `path` finds the chain,
`certificate` judges each one, `pki.constraints` the names below each CA, `revocation` reads the
CRLs. The tests hold the verdicts against OpenSSL's.
"""

from __future__ import annotations

from pki.verify.finding import Finding, Link, Purpose, Question, Verdict
from pki.verify.judge import verify

__all__ = ["Finding", "Link", "Purpose", "Question", "Verdict", "verify"]
