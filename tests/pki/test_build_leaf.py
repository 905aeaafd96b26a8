"""Leaves: what is in them, what is not, and what they never outlive."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID
from hypothesis import given
from hypothesis import strategies as st

from pki import build
from pki.build import Issuer
from pki.errors import RequestError
from pki.keys import KeyType
from pki.lint import LintError
from pki.names import SpiffeID
from pki.profile import Profile, Request
from tests.certs import USAGES, make_key
from tests.pki.kit import DAY, HOUR, NOW, WEB, chain, key, make_chain, serial

SECOND = timedelta(seconds=1)


def value(made: x509.Certificate, kind: type[x509.ExtensionType]) -> object:
    return made.extensions.get_extension_for_class(kind).value


def test_a_leaf_has_exactly_the_extensions_of_an_svid() -> None:
    found = {e.oid: e.critical for e in chain().leaf().extensions}
    assert found == {
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: True,  # the subject is empty
        ExtensionOID.BASIC_CONSTRAINTS: True,
        ExtensionOID.KEY_USAGE: True,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
    }


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_leaf_signs_and_does_nothing_else_whatever_its_key(key_type: KeyType) -> None:
    """RSA too: keyEncipherment serves only key transport without forward secrecy."""
    made = chain().leaf(leaf_key=key("leaf", key_type))
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert [name for name in USAGES[:7] if getattr(usage, name)] == ["digital_signature"]
    assert value(made, x509.BasicConstraints) == x509.BasicConstraints(False, None)
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert value(made, x509.ExtendedKeyUsage) == x509.ExtendedKeyUsage(purposes)
    assert made.public_key() == key("leaf", key_type).public_key()


def test_a_leaf_has_one_uri_and_the_names_that_were_asked_for() -> None:
    made = chain().leaf(Request(WEB, ("web", "localhost"), (ip_address("::1"),)))
    assert value(made, x509.SubjectAlternativeName) == x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier("spiffe://demo.local/ns/shop/sa/web"),
            x509.DNSName("web"),
            x509.DNSName("localhost"),
            x509.IPAddress(ip_address("::1")),
        ]
    )
    assert made.subject == x509.Name([])
    assert made.issuer == chain().issuer.certificate.subject


@pytest.mark.parametrize(
    ("key_type", "algorithm"),
    [
        (KeyType.P256, SignatureAlgorithmOID.ECDSA_WITH_SHA256),
        (KeyType.P384, SignatureAlgorithmOID.ECDSA_WITH_SHA384),
        (KeyType.ED25519, SignatureAlgorithmOID.ED25519),
        (KeyType.RSA2048, SignatureAlgorithmOID.RSA_WITH_SHA256),
    ],
)
def test_each_kind_of_issuer_signs_and_the_chain_holds(
    key_type: KeyType, algorithm: x509.ObjectIdentifier
) -> None:
    ca = chain(key_type)
    made = ca.leaf()
    made.verify_directly_issued_by(ca.issuer.certificate)
    ca.issuer.certificate.verify_directly_issued_by(ca.root.certificate)
    ca.root.certificate.verify_directly_issued_by(ca.root.certificate)
    assert made.signature_algorithm_oid == algorithm


def test_the_same_values_give_the_same_bytes_to_be_signed() -> None:
    ca, number = chain(), serial()
    both = [
        build.leaf(ca.issuer, Request(WEB), key().public_key(), ca.profile, NOW, number)
        for _ in range(2)
    ]
    assert both[0].tbs_certificate_bytes == both[1].tbs_certificate_bytes


def test_a_leaf_is_backdated_by_a_minute_and_lasts_as_asked_from_now() -> None:
    later = NOW + HOUR + timedelta(microseconds=999_999)
    made = chain().leaf(Request(WEB, ttl=90 * SECOND), later)
    assert made.not_valid_before_utc == NOW + HOUR - 60 * SECOND
    assert made.not_valid_after_utc == NOW + HOUR + 90 * SECOND


def test_a_time_zone_is_understood_and_a_naive_time_refused() -> None:
    there = (NOW + HOUR).astimezone(timezone(5 * HOUR))
    assert chain().leaf(now=there).not_valid_after_utc == NOW + HOUR + DAY
    with pytest.raises(TypeError):
        chain().leaf(now=datetime(2026, 3, 1, 13))  # noqa: DTZ001  # naive on purpose


@pytest.mark.parametrize("left", [SECOND, HOUR, DAY])
def test_a_leaf_never_outlives_its_issuer(left: timedelta) -> None:
    ca = chain()
    end = ca.issuer.certificate.not_valid_after_utc
    assert ca.leaf(Request(WEB, ttl=2 * DAY), end - left).not_valid_after_utc == end


def test_a_leaf_that_ends_sooner_is_not_stretched() -> None:
    end = chain().issuer.certificate.not_valid_after_utc
    assert chain().leaf(Request(WEB, ttl=HOUR), end - DAY).not_valid_after_utc == end - DAY + HOUR


def test_a_leaf_never_begins_before_its_issuer() -> None:
    start = chain().issuer.certificate.not_valid_before_utc
    assert chain().leaf(now=start).not_valid_before_utc == start


@pytest.mark.parametrize("offset", [timedelta(0), DAY])
def test_an_expired_issuer_signs_nothing(offset: timedelta) -> None:
    end = chain().issuer.certificate.not_valid_after_utc
    with pytest.raises(RequestError, match="now is outside of that"):
        chain().leaf(now=end + offset)


def test_an_issuer_that_is_not_valid_yet_signs_nothing() -> None:
    """Time: the clock was set back (threat class 43)."""
    start = chain().issuer.certificate.not_valid_before_utc
    with pytest.raises(RequestError, match="now is outside of that") as caught:
        chain().leaf(now=start - SECOND)
    assert "clock" in caught.value.hints[0]


@pytest.mark.parametrize(
    ("moment", "encoding"),
    [
        (datetime(2049, 12, 30, 12, tzinfo=NOW.tzinfo), b"\x17\x0d491231120000Z"),
        (datetime(2049, 12, 31, 12, tzinfo=NOW.tzinfo), b"\x18\x0f20500101120000Z"),
    ],
)
def test_years_from_2050_on_have_four_digits(moment: datetime, encoding: bytes) -> None:
    made = make_chain(Profile("demo.local"), now=moment).leaf(now=moment)
    assert encoding in made.tbs_certificate_bytes


@given(st.binary(min_size=20, max_size=20))
def test_a_serial_number_is_positive_random_and_of_20_octets(entropy: bytes) -> None:
    """Serial collision (threat class 37): nothing but the two highest bits is lost."""
    number = build.serial_number(entropy)
    raw = number.to_bytes(20, "big")
    assert 0x40 <= raw[0] <= 0x7F
    assert (raw[0] & 0x3F, raw[1:]) == (entropy[0] & 0x3F, entropy[1:])


@pytest.mark.parametrize("number", [1, 1 << 100, (1 << 151) - 1])
def test_a_shorter_serial_number_is_not_signed(number: int) -> None:
    ca = chain()
    with pytest.raises(LintError, match=r"\(serial\)"):
        build.leaf(ca.issuer, Request(WEB), key().public_key(), ca.profile, NOW, number)


@pytest.mark.parametrize("number", [0, -1, 1 << 159])
def test_an_impossible_serial_number_is_not_signed(number: int) -> None:
    ca = chain()
    with pytest.raises(ValueError, match="serial number"):
        build.leaf(ca.issuer, Request(WEB), key().public_key(), ca.profile, NOW, number)


def test_what_the_profile_forbids_is_not_signed() -> None:
    foreign = Request(SpiffeID.parse("spiffe://evil.local/a"))
    with pytest.raises(RequestError, match="not in the trust domain"):
        chain().leaf(foreign)


def test_what_the_issuer_is_not_constrained_to_is_not_signed_whatever_the_profile_says() -> None:
    """Two belts: the profile is one mistake, the constraint of the certificate another."""
    foreign = Request(SpiffeID.parse("spiffe://evil.local/a"))
    with pytest.raises(LintError, match=r"may not sign the name 'spiffe://evil\.local/a'"):
        build.leaf(
            chain().issuer, foreign, key().public_key(), Profile("evil.local"), NOW, serial()
        )


def test_a_weak_key_is_not_certified() -> None:
    weak = make_key("rsa1024").public_key()
    ca = chain()
    with pytest.raises(RequestError, match="1024 bits"):
        build.leaf(ca.issuer, Request(WEB), weak, ca.profile, NOW, serial())  # type: ignore[arg-type]  # its declared types include kinds that are refused


def test_the_issuers_own_key_is_not_certified() -> None:
    with pytest.raises(LintError, match="key of its own issuer"):
        chain().leaf(leaf_key=chain().issuer.key)


def test_an_issuer_needs_the_key_of_its_certificate() -> None:
    right = Issuer(chain().issuer.certificate, chain().issuer.key)
    assert right.certificate == chain().issuer.certificate
    with pytest.raises(RequestError, match="does not belong to its certificate"):
        Issuer(chain().issuer.certificate, key("other"))


def test_an_issuer_does_not_show_its_key() -> None:
    assert "key=" not in repr(chain().issuer)


def test_a_leaf_issues_no_leaf() -> None:
    """CA as client, leaf issues leaf (threat class 12)."""
    ca = chain()
    leaf = Issuer(ca.leaf(), key())
    with pytest.raises(LintError, match="not a CA that may sign"):
        build.leaf(leaf, Request(WEB), key("next").public_key(), ca.profile, NOW, serial())


def test_a_certificate_is_read_back_as_it_was_built() -> None:
    made = chain().leaf()
    data = made.public_bytes(Encoding.DER)
    assert x509.load_der_x509_certificate(data) == made
