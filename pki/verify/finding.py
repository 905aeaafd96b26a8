"""The question and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from pki.keys import PublicKey
from pki.verify.rules import Rule


class Purpose(StrEnum):
    """What a certificate is meant to do."""

    WORKLOAD = "workload"  # both sides of mutual TLS, as every SVID
    SERVER = "server"
    CLIENT = "client"
    CA = "ca"


@dataclass(frozen=True, slots=True)
class Question:
    """A chain to judge: the leaf first, the others in any order, never trusted by being there.

    `trust_domain` None: the one that the trust anchor names, if it does. `crls` empty:
    revocation is not looked at, and the verdict says so. `key`: the public half of the private key
    that goes with the leaf, where there is one.
    """

    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    now: datetime
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    trust_domain: str | None = None
    purpose: Purpose = Purpose.WORKLOAD
    key: PublicKey | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: in which certificate, in which field, what is there, what should be."""

    rule: Rule
    where: str
    field: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Link:
    """One certificate of the path that was found. `problem`: why its extensions are unreadable."""

    place: str  # leaf, intermediate 1, intermediate 2 …, root
    certificate: x509.Certificate
    extensions: x509.Extensions
    problem: str
    anchor: bool = False

    def finding(self, rule: Rule, field: str, found: str, expected: str) -> Finding:
        """A broken rule in this certificate."""
        return Finding(rule, self.place, field, found, expected)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The path that was walked, and all that is wrong with it."""

    path: tuple[Link, ...]
    findings: tuple[Finding, ...]
    revocation_checked: bool

    @property
    def ok(self) -> bool:
        """Whether no rule is broken."""
        return not self.findings
