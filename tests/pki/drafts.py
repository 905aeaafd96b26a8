"""Drafts of certificates for the linter: a good one of each role, and ways to bend it.

They are made with the library's own builder and bent by one thing each, or edited as DER where
the builder refuses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.build import Issuer
from pki.keys import signature_hash
from pki.lint import Role, certificate_findings
from tests import der
from tests.certs import USAGES
from tests.pki.kit import chain

EKU = x509.ExtendedKeyUsage
SAN = x509.SubjectAlternativeName
BC = x509.BasicConstraints
URI = x509.UniformResourceIdentifier
NAMED = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web")])
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Draft:
    """What is to be signed; `extensions` are (value, critical) by their type."""

    issuer: Issuer
    subject: x509.Name
    issuer_name: x509.Name
    public_key: Any
    start: datetime
    end: datetime
    number: int
    extensions: dict[type[x509.ExtensionType], tuple[x509.ExtensionType, bool]] = field(
        default_factory=dict
    )

    def but(self, *values: x509.ExtensionType, critical: bool | None = None) -> Draft:
        """The same with these extensions, as critical as those of the type were."""
        new = dict(self.extensions)
        for value in values:
            was = new.get(type(value), (value, False))[1]
            new[type(value)] = (value, was if critical is None else critical)
        return replace(self, extensions=new)

    def without(self, kind: type[x509.ExtensionType]) -> Draft:
        return replace(self, extensions={k: v for k, v in self.extensions.items() if k != kind})

    @property
    def tbs(self) -> bytes:
        builder = (
            x509.CertificateBuilder(self.issuer_name, self.subject, self.public_key, self.number)
            .not_valid_before(self.start)
            .not_valid_after(max(self.start, self.end))
        )
        for value, critical in self.extensions.values():
            builder = builder.add_extension(value, critical)
        return builder.sign(self.issuer.key, signature_hash(self.issuer.key)).tbs_certificate_bytes


def draft(made: x509.Certificate, issuer: Issuer) -> Draft:
    return Draft(
        issuer,
        made.subject,
        made.issuer,
        made.public_key(),
        made.not_valid_before_utc,
        made.not_valid_after_utc,
        made.serial_number,
        {type(e.value): (e.value, e.critical) for e in made.extensions},
    )


LEAF = draft(chain().leaf(), chain().issuer)
INTERMEDIATE = draft(chain().issuer.certificate, chain().root)
ROOT = draft(chain().root.certificate, chain().root)


def leaf_codes(bent: Draft | bytes) -> list[str]:
    tbs = bent if isinstance(bent, bytes) else bent.tbs
    return codes(tbs, Role.LEAF, chain().issuer.certificate)


def intermediate_codes(bent: Draft) -> list[str]:
    return codes(bent.tbs, Role.INTERMEDIATE, chain().root.certificate)


def root_codes(bent: Draft) -> list[str]:
    return codes(bent.tbs, Role.ROOT, None)


def codes(tbs: bytes, role: Role, issuer: x509.Certificate | None) -> list[str]:
    return [finding.code for finding in certificate_findings(tbs, role, issuer)]


def usage(*bits: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{bit: bit in bits for bit in USAGES})


def names(*uris: str, more: Iterable[x509.GeneralName] = ()) -> SAN:
    return SAN([*map(URI, uris), *more])


def edited(tbs: bytes, old: bytes, new: bytes) -> bytes:
    """A TBSCertificate with one of its elements exchanged, and the length around it put right."""
    inside = tbs[4:]
    assert tbs[:2] == b"\x30\x82"
    assert inside.count(old) == 1
    return der.sequence(inside.replace(old, new))
