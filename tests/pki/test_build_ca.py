"""Roots, intermediates and CRLs."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pki import build
from pki.build import Issuer, Revoked
from pki.errors import RequestError
from pki.keys import KeyType
from pki.lint import LintError
from pki.profile import PRIVATE_NETWORKS, Profile
from tests.certs import make_key
from tests.pki.kit import DAY, HOUR, NOW, chain, key, make_chain, serial

STRICT = ("shop.example.com",)


def both() -> list[x509.Certificate]:
    return [chain().root.certificate, chain().issuer.certificate]


@pytest.mark.parametrize("index", [0, 1])
def test_a_ca_has_exactly_the_extensions_of_a_signing_certificate(index: int) -> None:
    found = {e.oid: e.critical for e in both()[index].extensions}
    assert found == {
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.NAME_CONSTRAINTS: True,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
    }


def test_path_lengths_leave_room_for_one_intermediate_and_no_more() -> None:
    lengths = [
        made.extensions.get_extension_for_class(x509.BasicConstraints).value for made in both()
    ]
    assert lengths == [x509.BasicConstraints(True, 1), x509.BasicConstraints(True, 0)]


def test_an_intermediate_makes_no_intermediate() -> None:
    """pathlen (threat class 12)."""
    ca = chain()
    with pytest.raises(LintError, match="path length is not below its issuer's"):
        build.intermediate(ca.issuer, key("next").public_key(), ca.profile, NOW, serial())


def test_a_signing_certificate_has_the_id_of_the_trust_domain_without_a_path() -> None:
    for made in both():
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.UniformResourceIdentifier("spiffe://demo.local")]


def test_by_default_only_uri_names_are_constrained() -> None:
    for made in both():
        trees = made.extensions.get_extension_for_class(x509.NameConstraints).value
        assert trees.permitted_subtrees == [x509.UniformResourceIdentifier("demo.local")]
        assert trees.excluded_subtrees is None


def test_on_demand_dns_names_and_addresses_are_constrained_too() -> None:
    for made in (chain(permit_dns=STRICT).root, chain(permit_dns=STRICT).issuer):
        value = made.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        trees = value.permitted_subtrees or []
        hosts = [t.value for t in trees if isinstance(t, x509.DNSName)]
        assert hosts == ["demo.local", "shop.example.com"]
        networks = [t.value for t in trees if isinstance(t, x509.IPAddress)]
        assert networks == list(PRIVATE_NETWORKS)
        assert ip_network("127.0.0.0/8") in networks


def test_a_tree_that_is_named_twice_is_written_once() -> None:
    ca = make_chain(Profile("demo.local", ("demo.local",)))
    value = ca.root.certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    trees = value.permitted_subtrees or []
    assert [t.value for t in trees if isinstance(t, x509.DNSName)] == ["demo.local"]


def test_names_of_cas_differ_when_their_keys_do() -> None:
    """Path building (threat class 13): no two keys share a subject."""
    root = build.root(key("another"), chain().profile, NOW, serial())
    assert root.subject != chain().root.certificate.subject
    assert root.subject.rfc4514_string().endswith("O=demo.local")


def test_a_long_trust_domain_fits_into_the_subject() -> None:
    """X.520: an organisation's name has at most 64 characters."""
    made = make_chain(Profile("a" * 40 + "." + "b" * 40)).root.certificate
    assert f"O={'a' * 40}.{'b' * 23}" in made.subject.rfc4514_string()


def test_validities_are_those_of_the_profile() -> None:
    profile = Profile("demo.local", root_ttl=100 * DAY, intermediate_ttl=10 * DAY)
    ca = make_chain(profile)
    assert ca.root.certificate.not_valid_after_utc == NOW + 100 * DAY
    assert ca.issuer.certificate.not_valid_after_utc == NOW + 10 * DAY
    assert ca.root.certificate.not_valid_before_utc == NOW - timedelta(seconds=60)


def test_an_intermediate_never_outlives_its_root() -> None:
    ca = chain()
    late = ca.root.certificate.not_valid_after_utc - HOUR
    made = build.intermediate(ca.root, key("next").public_key(), ca.profile, late, serial())
    assert made.not_valid_after_utc == ca.root.certificate.not_valid_after_utc


def test_an_expired_root_makes_no_intermediate() -> None:
    ca = chain()
    end = ca.root.certificate.not_valid_after_utc
    with pytest.raises(RequestError, match="outside of that"):
        build.intermediate(ca.root, key("next").public_key(), ca.profile, end, serial())


@pytest.mark.parametrize("kind", ["rsa1024", "p224"])
def test_a_weak_key_becomes_no_ca(kind: str) -> None:
    weak = make_key(kind)
    with pytest.raises(RequestError):
        build.root(weak, chain().profile, NOW, serial())  # type: ignore[arg-type]  # refused kinds
    with pytest.raises(RequestError):
        build.intermediate(
            chain().root,
            weak.public_key(),  # type: ignore[arg-type]  # refused kinds
            chain().profile,
            NOW,
            serial(),
        )


def test_an_intermediate_of_another_trust_domain_is_not_signed() -> None:
    with pytest.raises(LintError, match="may not sign the name"):
        build.intermediate(
            chain().root, key("next").public_key(), Profile("evil.local"), NOW, serial()
        )


# --- CRLs -------------------------------------------------------------------------------------

COMPROMISED = x509.ReasonFlags.key_compromise


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.P384, KeyType.ED25519, KeyType.RSA2048])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_crl_lists_what_it_was_given(key_type: KeyType, count: int) -> None:
    issuer = chain(key_type).issuer
    serials = [serial() for _ in range(count)]
    lines = [Revoked(number, NOW, COMPROMISED) for number in serials]
    made = build.crl(issuer, lines, 7, NOW, NOW + DAY)
    assert made.is_signature_valid(issuer.key.public_key())
    assert [line.serial_number for line in made] == serials
    assert (made.last_update_utc, made.next_update_utc) == (NOW, NOW + DAY)
    assert made.issuer == issuer.certificate.subject
    number = made.extensions.get_extension_for_class(x509.CRLNumber).value
    assert number == x509.CRLNumber(7)


def test_a_reason_is_written_and_unspecified_is_left_out() -> None:
    lines = [Revoked(serial(), NOW, COMPROMISED), Revoked(serial(), NOW, None)]
    first, second = build.crl(chain().issuer, lines, 1, NOW, NOW + DAY)
    reason = first.extensions.get_extension_for_class(x509.CRLReason).value
    assert reason == x509.CRLReason(COMPROMISED)
    assert len(second.extensions) == 0


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([Revoked(5, NOW, None), Revoked(5, NOW, None)], "twice"),
        ([Revoked(5, NOW + DAY, None)], "future"),
        ([Revoked(5, NOW, x509.ReasonFlags.unspecified)], "reason"),
        ([Revoked(5, NOW, x509.ReasonFlags.remove_from_crl)], "reason"),
        ([Revoked(5, NOW, x509.ReasonFlags.certificate_hold)], "reason"),
    ],
)
def test_a_crl_with_a_bad_line_is_not_signed(lines: list[Revoked], code: str) -> None:
    with pytest.raises(LintError, match=rf"\({code}\)"):
        build.crl(chain().issuer, lines, 1, NOW, NOW + DAY)


def test_a_leaf_signs_no_crl() -> None:
    leaf = Issuer(chain().leaf(), key())
    with pytest.raises(LintError, match="may not sign CRLs"):
        build.crl(leaf, [], 1, NOW, NOW + DAY)


def test_a_crl_says_when_the_next_one_comes() -> None:
    with pytest.raises(LintError, match="next-update"):
        build.crl(chain().issuer, [], 1, NOW, NOW)
