"""Questions to `pki.verify` in one line, for the tests of its rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from pki.read import parse_items
from pki.verify import Purpose, Question, Verdict, verify
from tests.certs import Leaf, TestCA


def now() -> datetime:
    """The present, not that of the import: what a slow suite makes later must be valid by then."""
    return datetime.now(UTC)


WEB: Final = "spiffe://demo.local/ns/shop/sa/web"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a question may differ in from the plainest one."""

    anchors: tuple[x509.Certificate, ...] | None = None
    crls: bytes = b""
    trust_domain: str | None = None
    purpose: Purpose = Purpose.WORKLOAD
    after: timedelta = timedelta()
    at: datetime | None = None


PLAIN: Final = Ask()


def judge(leaf: Leaf, ask: Ask = PLAIN) -> Verdict:
    """The verdict on what `leaf` would send to a peer that trusts its root."""
    items = parse_items("chain", leaf.chain_pem)
    certificates = (item.value for item in items)
    return verify(
        Question(
            tuple(c for c in certificates if isinstance(c, x509.Certificate)),
            (leaf.issuer.root.cert,) if ask.anchors is None else ask.anchors,
            (ask.at or now()) + ask.after,
            lists(ask.crls),
            ask.trust_domain,
            ask.purpose,
        )
    )


def lists(pem: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The CRLs of a PEM file."""
    end = b"-----END X509 CRL-----\n"
    return tuple(x509.load_pem_x509_crl(part + end) for part in pem.split(end) if part.strip())


def broken(verdict: Verdict) -> list[tuple[str, str]]:
    """The rules that a verdict finds broken, and where."""
    return [(finding.rule.code, finding.where) for finding in verdict.findings]


def chain() -> TestCA:
    """A root and an intermediate that may sign leaves only."""
    return TestCA().intermediate(path_length=0)


def unreadable_subject(ca: TestCA) -> Leaf:
    """A leaf whose subject says that it is UTF-8 and is not."""
    return ca.resign(ca.leaf(subject="XXXX"), lambda tbs: tbs.replace(b"XXXX", b"\xff" * 4))
