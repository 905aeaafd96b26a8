"""The linter, rules for all and for CAs: good ones pass, each broken rule is found by its code."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from pki.build import Issuer
from pki.keys import KeyType
from pki.lint import LintError, Role, certificate_findings, check
from tests import der
from tests.certs import TestCA, make_key
from tests.pki.drafts import (
    BC,
    EKU,
    INTERMEDIATE,
    LEAF,
    NAMED,
    ROOT,
    SAN,
    SECOND,
    URI,
    Draft,
    codes,
    edited,
    intermediate_codes,
    leaf_codes,
    names,
    root_codes,
    usage,
)
from tests.pki.kit import DAY, NOW, WEB, chain, key


def test_what_is_good_passes() -> None:
    assert leaf_codes(LEAF) == []
    assert intermediate_codes(INTERMEDIATE) == []
    assert root_codes(ROOT) == []


@pytest.mark.parametrize("key_type", [KeyType.P384, KeyType.ED25519, KeyType.RSA2048])
def test_other_keys_pass_too(key_type: KeyType) -> None:
    ca = chain(key_type)
    made = ca.leaf(leaf_key=key("leaf", key_type))
    assert codes(made.tbs_certificate_bytes, Role.LEAF, ca.issuer.certificate) == []


def test_a_named_subject_makes_the_names_not_critical() -> None:
    named = replace(LEAF, subject=NAMED)
    assert leaf_codes(named.but(names(str(WEB)), critical=False)) == []
    assert leaf_codes(named) == ["critical"]


# --- every certificate ------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, (1 << 151) - 1])
def test_a_short_serial_number_is_found(number: int) -> None:
    assert leaf_codes(replace(LEAF, number=number)) == ["serial"]


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("raw", [b"\x00", b"\x80" + b"\xff" * 19, b"\x00" + b"\xff" * 20])
def test_a_serial_number_that_is_zero_negative_or_too_long_is_found(raw: bytes) -> None:
    """threat class 37."""
    old = der.integer(LEAF.number)
    assert leaf_codes(edited(LEAF.tbs, old, der.tlv(0x02, raw))) == ["serial"]


def test_a_weak_hash_is_found() -> None:
    sha1 = TestCA(key="rsa2048")
    tbs = sha1.resign(sha1.leaf(), lambda t: t, "sha1").cert.tbs_certificate_bytes
    assert "algorithm" in codes(tbs, Role.LEAF, sha1.cert)


@pytest.mark.parametrize("kind", ["rsa1024", "p224", "p521", "ed448"])
def test_a_weak_key_is_found(kind: str) -> None:
    assert leaf_codes(replace(LEAF, public_key=make_key(kind).public_key())) == ["weak-key"]


def test_a_key_of_an_unknown_algorithm_is_found() -> None:
    old, new = der.oid("1.2.840.10045.3.1.7"), der.oid("1.2.840.10045.3.1.99")
    assert leaf_codes(LEAF.tbs.replace(old, new)) == ["weak-key"]


def test_an_end_before_the_beginning_is_found() -> None:
    assert leaf_codes(replace(LEAF, end=LEAF.start)) == ["validity"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"start": NOW - timedelta(seconds=60)}, []),
        ({"start": NOW - timedelta(seconds=61)}, ["validity-issuer"]),
        ({"end": chain().issuer.certificate.not_valid_after_utc}, []),
        ({"end": chain().issuer.certificate.not_valid_after_utc + SECOND}, ["validity-issuer"]),
    ],
)
def test_a_validity_beyond_the_issuers_is_found(
    change: dict[str, datetime], found: list[str]
) -> None:
    assert leaf_codes(replace(LEAF, **change)) == found  # type: ignore[arg-type]  # two datetimes


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        (der.tlv(0x17, b"260302120000Z"), []),
        (der.tlv(0x18, b"20260302120000Z"), ["time"]),  # before 2050, yet with four digits
        (der.tlv(0x17, b"2603021200Z"), ["unreadable"]),  # no seconds
        (der.tlv(0x17, b"260302120000+0000"), ["unreadable"]),  # not Greenwich
        (der.tlv(0x18, b"20260302120000.5Z"), ["unreadable"]),  # fractions
    ],
)
def test_a_time_in_another_encoding_is_found(encoding: bytes, found: list[str]) -> None:
    """Malformed certificates (threat class 14)."""
    start, end = der.tlv(0x17, b"260301115900Z"), der.tlv(0x17, b"260302120000Z")
    old, new = der.sequence(start, end), der.sequence(start, encoding)
    assert leaf_codes(edited(LEAF.tbs, old, new)) == found


def test_a_foreign_issuer_name_is_found() -> None:
    assert leaf_codes(replace(LEAF, issuer_name=NAMED)) == ["issuer"]


@pytest.mark.parametrize(
    "bent",
    [
        LEAF.without(x509.AuthorityKeyIdentifier),
        LEAF.but(x509.AuthorityKeyIdentifier(b"another", None, None)),
    ],
)
def test_a_wrong_authority_key_identifier_is_found(bent: Draft) -> None:
    assert leaf_codes(bent) == ["aki"]


def test_a_missing_subject_key_identifier_is_found() -> None:
    assert leaf_codes(LEAF.without(x509.SubjectKeyIdentifier)) == ["ski"]


def test_the_issuers_own_key_in_a_leaf_is_found() -> None:
    own = chain().issuer.key.public_key()
    assert leaf_codes(replace(LEAF, public_key=own)) == ["own-key"]


def test_an_issuer_that_is_no_ca_is_found() -> None:
    """Leaf issues leaf (threat class 12)."""
    leaf = Issuer(chain().leaf(), key())
    bent = replace(
        LEAF, issuer=leaf, issuer_name=leaf.certificate.subject, public_key=key("x").public_key()
    )
    found = codes(bent.tbs, Role.LEAF, leaf.certificate)
    assert {"issuer-right", "unconstrained"} <= set(found)


@pytest.mark.parametrize(
    "kind", [BC, x509.KeyUsage, EKU, SAN, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier]
)
def test_a_wrong_criticality_is_found(kind: type[x509.ExtensionType]) -> None:
    value, critical = LEAF.extensions[kind]
    assert leaf_codes(LEAF.but(value, critical=not critical)) == ["critical"]


@pytest.mark.parametrize("critical", [True, False])
def test_an_extension_that_has_no_place_is_found(critical: bool) -> None:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), der.NULL)
    assert leaf_codes(LEAF.but(odd, critical=critical)) == ["extension"]


def test_a_repeated_extension_is_found() -> None:
    tbs = LEAF.but(x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.18"), der.NULL)).tbs
    twice = tbs.replace(der.oid("2.5.29.18"), der.oid("2.5.29.37"))
    assert leaf_codes(twice) == ["unreadable"]


def test_version_1_is_found() -> None:
    tbs = edited(LEAF.tbs, der.tlv(0xA0, der.integer(2)), b"")
    assert leaf_codes(tbs) == ["unreadable"]


@pytest.mark.parametrize("data", [b"\x30\x00", LEAF.tbs[:40]])
def test_what_is_no_certificate_is_found(data: bytes) -> None:
    assert leaf_codes(data) == ["unreadable"]


# --- CA certificates --------------------------------------------------------------------------


@pytest.mark.parametrize("bc", [BC(False, None), BC(True, None)])
def test_a_ca_without_a_path_length_is_found(bc: BC) -> None:
    assert "path-length" in root_codes(ROOT.but(bc))
    assert "path-length" in intermediate_codes(INTERMEDIATE.but(bc))


@pytest.mark.parametrize(("length", "found"), [(0, []), (1, ["path-length"]), (2, ["path-length"])])
def test_the_path_length_falls(length: int, found: list[str]) -> None:
    assert intermediate_codes(INTERMEDIATE.but(BC(True, length))) == found


@pytest.mark.parametrize(
    "bits", [["key_cert_sign"], ["crl_sign"], ["key_cert_sign", "crl_sign", "digital_signature"]]
)
def test_key_usage_of_a_ca(bits: list[str]) -> None:
    """A signing certificate never authenticates (X.509-SVID section 5.2)."""
    assert "key-usage" in intermediate_codes(INTERMEDIATE.but(usage(*bits)))


def test_a_purpose_on_a_ca_is_found() -> None:
    assert intermediate_codes(INTERMEDIATE.but(EKU([Purpose.SERVER_AUTH]))) == ["eku"]


@pytest.mark.parametrize("uri", ["spiffe://demo.local/ca", "https://demo.local", "spiffe://"])
def test_a_signing_certificate_has_no_path_in_its_id(uri: str) -> None:
    assert "spiffe-id" in intermediate_codes(INTERMEDIATE.but(names(uri)))


@pytest.mark.parametrize(
    "bent",
    [
        ROOT.without(x509.NameConstraints),
        ROOT.but(x509.NameConstraints([x509.DNSName("demo.local")], None)),
        ROOT.but(x509.NameConstraints([URI("demo.local"), URI("evil.local")], None)),
        ROOT.but(x509.NameConstraints([URI(".demo.local")], None)),
        ROOT.but(x509.NameConstraints([URI("evil.local")], None)),
        ROOT.but(x509.NameConstraints(None, [URI("evil.local")])),
    ],
)
def test_a_ca_that_is_not_constrained_to_its_trust_domain_is_found(bent: Draft) -> None:
    assert "constraint" in root_codes(bent)


def test_an_intermediate_that_is_constrained_otherwise_than_its_issuer_is_found() -> None:
    wider = x509.NameConstraints([URI("demo.local"), x509.DNSName("com")], None)
    assert intermediate_codes(INTERMEDIATE.but(wider)) == ["constraint"]


def test_everything_that_is_wrong_is_found_at_once() -> None:
    bent = LEAF.but(BC(True, None), usage("key_cert_sign"), names("x:y")).without(EKU)
    found = leaf_codes(replace(bent, number=1, end=LEAF.end + 400 * DAY))
    expected = [
        "serial",
        "validity-issuer",
        "name-constraint",
        "spiffe-id",
        "ca",
        "key-usage",
        "eku",
    ]
    assert found == expected


def test_findings_raise_and_nothing_found_does_not() -> None:
    check("leaf certificate", [])
    findings = certificate_findings(
        replace(LEAF, number=1).tbs, Role.LEAF, chain().issuer.certificate
    )
    with pytest.raises(LintError, match="the leaf certificate breaks 1 rule") as caught:
        check("leaf certificate", findings)
    assert caught.value.findings == findings


@pytest.mark.parametrize(
    ("bent", "found"),
    [
        (replace(INTERMEDIATE, number=1), "serial"),
        (replace(INTERMEDIATE, public_key=make_key("rsa1024").public_key()), "weak-key"),
        (replace(INTERMEDIATE, end=INTERMEDIATE.start), "validity"),
        (replace(INTERMEDIATE, end=ROOT.end + SECOND), "validity-issuer"),
        (replace(INTERMEDIATE, issuer_name=NAMED), "issuer"),
        (INTERMEDIATE.without(x509.AuthorityKeyIdentifier), "aki"),
        (INTERMEDIATE.without(x509.SubjectKeyIdentifier), "ski"),
        (INTERMEDIATE.but(BC(True, 0), critical=False), "critical"),
        (
            INTERMEDIATE.but(names("spiffe://demo.local", more=[x509.DNSName("a"), URI("x://a/")])),
            "one-uri",
        ),
        (INTERMEDIATE.but(names("spiffe://evil.local")), "name-constraint"),
    ],
)
def test_what_holds_for_leaves_holds_for_cas(bent: Draft, found: str) -> None:
    assert found in intermediate_codes(bent)


def test_an_intermediate_under_something_that_is_no_ca_is_found() -> None:
    leaf = Issuer(chain().leaf(), key())
    bent = replace(INTERMEDIATE, issuer=leaf, issuer_name=leaf.certificate.subject)
    assert "issuer-right" in codes(bent.tbs, Role.INTERMEDIATE, leaf.certificate)


def test_a_weak_hash_and_an_odd_time_on_a_ca_are_found() -> None:
    sha1 = TestCA(key="rsa2048")
    tbs = sha1.cert.tbs_certificate_bytes
    weak = tbs.replace(der.oid("1.2.840.113549.1.1.11"), der.oid("1.2.840.113549.1.1.5"))
    assert "algorithm" not in codes(tbs, Role.ROOT, None)
    assert "algorithm" in codes(weak, Role.ROOT, None)
    end = INTERMEDIATE.end.strftime("%y%m%d%H%M%SZ").encode()
    start = INTERMEDIATE.start.strftime("%y%m%d%H%M%SZ").encode()
    first, old, new = der.tlv(0x17, start), der.tlv(0x17, end), der.tlv(0x18, b"20" + end)
    odd = edited(INTERMEDIATE.tbs, der.sequence(first, old), der.sequence(first, new))
    assert codes(odd, Role.INTERMEDIATE, chain().root.certificate) == ["time"]
