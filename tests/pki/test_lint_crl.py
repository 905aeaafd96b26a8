"""The linter, rules for CRLs (RFC 5280 section 5)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509

from pki.keys import KeyType, signature_hash
from pki.lint import crl_findings
from tests import der
from tests.certs import TestCA
from tests.pki.drafts import NAMED
from tests.pki.kit import DAY, NOW, chain

Builder = x509.CertificateRevocationListBuilder
ISSUER = chain().issuer


def builder() -> Builder:
    return Builder(issuer_name=ISSUER.name, last_update=NOW.replace(tzinfo=None)).next_update(
        NOW + DAY
    )


def tbs(made: Builder) -> bytes:
    return made.sign(ISSUER.key, signature_hash(ISSUER.key)).tbs_certlist_bytes


def codes(data: bytes) -> list[str]:
    return [finding.code for finding in crl_findings(data, ISSUER.certificate)]


def with_number(made: Builder, number: int = 1) -> Builder:
    return made.add_extension(x509.CRLNumber(number), critical=False)


def with_key(made: Builder) -> Builder:
    return made.add_extension(ISSUER.key_id.value, critical=False)


GOOD = with_key(with_number(builder()))


def test_a_good_crl_passes() -> None:
    assert codes(tbs(GOOD)) == []


@pytest.mark.parametrize("number", [0, 1, (1 << 159) - 1])
def test_a_crl_number_within_bounds_passes(number: int) -> None:
    assert codes(tbs(with_key(with_number(builder(), number)))) == []


@pytest.mark.parametrize(
    "bend",
    [with_key, lambda made: with_key(with_number(made, 1 << 159))],
)
def test_a_missing_or_oversized_crl_number_is_found(bend: Callable[[Builder], Builder]) -> None:
    assert codes(tbs(bend(builder()))) == ["crl-number"]


def test_a_foreign_issuer_name_is_found() -> None:
    made = Builder(issuer_name=NAMED, last_update=NOW.replace(tzinfo=None)).next_update(NOW + DAY)
    assert codes(tbs(with_key(with_number(made)))) == ["issuer"]


def test_a_missing_authority_key_identifier_is_found() -> None:
    assert codes(tbs(with_number(builder()))) == ["aki"]


def test_the_key_identifier_of_another_issuer_is_found() -> None:
    other = x509.AuthorityKeyIdentifier(b"another", None, None)
    assert codes(tbs(with_number(builder()).add_extension(other, critical=False))) == ["aki"]


@pytest.mark.parametrize(
    ("extension", "critical"),
    [
        (x509.DeltaCRLIndicator(1), True),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), der.NULL), False),
        (
            x509.IssuingDistributionPoint(None, None, True, False, None, False, False),
            True,
        ),
    ],
)
def test_an_extension_that_narrows_the_crl_is_found(
    extension: x509.ExtensionType, critical: bool
) -> None:
    assert codes(tbs(GOOD.add_extension(extension, critical=critical))) == ["extension"]


def test_a_crl_that_never_expires_is_found() -> None:
    data = tbs(GOOD)
    end = der.tlv(0x17, b"260302120000Z")
    assert data.count(end) == 1
    assert codes(der.sequence(data[3:].replace(end, b""))) == ["time", "next-update"]


def test_a_time_in_another_encoding_is_found() -> None:
    data = tbs(GOOD)
    end, other = der.tlv(0x17, b"260302120000Z"), der.tlv(0x18, b"20260302120000Z")
    assert data[:2] == b"\x30\x81"
    assert codes(der.sequence(data[3:].replace(end, other))) == ["time"]


def test_a_weak_hash_is_found() -> None:
    ca = chain(KeyType.RSA2048).issuer
    made = with_number(Builder(issuer_name=ca.name, last_update=NOW.replace(tzinfo=None)))
    made = made.next_update(NOW + DAY).add_extension(ca.key_id.value, critical=False)
    data = made.sign(ca.key, signature_hash(ca.key)).tbs_certlist_bytes
    weak = data.replace(der.oid("1.2.840.113549.1.1.11"), der.oid("1.2.840.113549.1.1.5"))
    assert [f.code for f in crl_findings(data, ca.certificate)] == []
    assert [f.code for f in crl_findings(weak, ca.certificate)] == ["algorithm"]


def test_an_issuer_that_may_not_sign_crls_is_found() -> None:
    odd = TestCA(key_usage=("key_cert_sign",))
    made = Builder(issuer_name=odd.cert.subject, last_update=NOW.replace(tzinfo=None))
    made = with_number(made.next_update(NOW + DAY))
    found = crl_findings(tbs(made), odd.cert)
    assert "issuer-right" in [finding.code for finding in found]


@pytest.mark.parametrize("data", [b"\x30\x00", b"\x30\x04\x05\x00\x05\x00", tbs(GOOD)[:30]])
def test_what_is_no_crl_is_found(data: bytes) -> None:
    assert codes(data) == ["unreadable"]
