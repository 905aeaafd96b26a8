"""The linter, rules for leaves (X.509-SVID sections 2 to 4)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from pki.lint import Role
from pki.profile import Request
from tests.pki.drafts import BC, EKU, LEAF, ROOT, SAN, Draft, codes, draft, leaf_codes, names, usage
from tests.pki.kit import WEB, chain


@pytest.mark.parametrize(
    ("san", "found"),
    [
        (names(str(WEB), more=[x509.DNSName("web")]), []),
        (names(more=[x509.DNSName("web")]), ["one-uri"]),
        (names(str(WEB), str(WEB)), ["one-uri"]),
        (names(str(WEB), "spiffe://demo.local/ns/shop/sa/admin"), ["one-uri"]),
        (names("spiffe://demo.local"), ["spiffe-id"]),
        (names("spiffe://demo.local/"), ["spiffe-id"]),
        (names("spiffe://demo.local/a/../b"), ["spiffe-id"]),
        (names("https://demo.local/a"), ["spiffe-id"]),
        (names("spiffe://evil.local/a"), ["name-constraint"]),
        (names("spiffe://sub.demo.local/a"), ["name-constraint"]),
        (names("spiffe://demo.local/a\x00b"), ["spiffe-id"]),
    ],
)
def test_the_uri_name_of_a_leaf(san: SAN, found: list[str]) -> None:
    """Two identities, NUL, SAN confusion, trust domain (threat classes 5, 6, 10, 11)."""
    assert leaf_codes(LEAF.but(san)) == found


def test_a_leaf_without_any_name_is_found() -> None:
    assert leaf_codes(LEAF.without(SAN)) == ["one-uri"]


def test_names_outside_of_a_constrained_issuer_are_found() -> None:
    ca = chain(permit_dns=("shop.example.com",))
    inside = draft(ca.leaf(Request(WEB, ("a.demo.local",), (ip_address("::1"),))), ca.issuer)
    foreign = [x509.DNSName("evil.com"), x509.IPAddress(ip_address("8.8.8.8"))]
    outside = inside.but(names(str(WEB), more=foreign))
    assert codes(inside.tbs, Role.LEAF, ca.issuer.certificate) == []
    assert codes(outside.tbs, Role.LEAF, ca.issuer.certificate) == ["name-constraint"] * 2


@pytest.mark.parametrize(
    "bent", [LEAF.but(BC(True, None)), LEAF.but(BC(True, 0)), LEAF.without(BC)]
)
def test_a_ca_bit_on_a_leaf_is_found(bent: Draft) -> None:
    assert leaf_codes(bent) == ["ca"]


def test_name_constraints_on_a_leaf_are_found() -> None:
    value, critical = ROOT.extensions[x509.NameConstraints]
    assert leaf_codes(LEAF.but(value, critical=critical)) == ["ca"]


@pytest.mark.parametrize(
    "bits",
    [
        [],
        ["digital_signature", "key_encipherment"],
        ["digital_signature", "key_agreement"],
        ["digital_signature", "key_agreement", "encipher_only"],
        ["digital_signature", "content_commitment"],
        ["digital_signature", "data_encipherment"],
        ["digital_signature", "key_cert_sign"],
        ["digital_signature", "crl_sign"],
        ["key_agreement"],
    ],
)
def test_key_usage_beyond_or_below_a_leafs_is_found(bits: list[str]) -> None:
    assert leaf_codes(LEAF.but(usage(*bits))) == ["key-usage"]


def test_a_leaf_without_key_usage_is_found() -> None:
    assert leaf_codes(LEAF.without(x509.KeyUsage)) == ["key-usage"]


@pytest.mark.parametrize(
    "bent",
    [
        LEAF.without(EKU),
        LEAF.but(EKU([Purpose.SERVER_AUTH])),
        LEAF.but(EKU([Purpose.CLIENT_AUTH])),
        LEAF.but(EKU([Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH, Purpose.CODE_SIGNING])),
        LEAF.but(EKU([Purpose.ANY_EXTENDED_KEY_USAGE])),
    ],
)
def test_other_purposes_than_both_are_found(bent: Draft) -> None:
    """EKU (threat class 4)."""
    assert leaf_codes(bent) == ["eku"]
