"""Every rule for one certificate: a good one passes, and each bad one is found for its own reason.

The plain chain of `test_a_good_chain_has_no_findings` is the allowed twin of every denied case:
each case differs from it in one thing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.der import content, elements
from pki.verify import Purpose
from pki.verify.report import as_text
from pki.verify.rules import RULES
from tests import der
from tests.certs import HOUR, Leaf, Options, TestCA
from tests.pki.verdicts import WEB, Ask, broken, chain, judge, now, unreadable_subject

SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00")


@pytest.mark.parametrize("key", ["p256", "p384", "ed25519", "rsa2048"])
def test_a_good_chain_has_no_findings(key: str) -> None:
    verdict = judge(chain().leaf(key=key))
    assert verdict.ok
    assert [link.place for link in verdict.path] == ["leaf", "intermediate 1", "root"]


LEAF_FLAWS: list[tuple[str, Options]] = [
    ("expired", {"not_before": time.time() - 2 * HOUR, "not_after": time.time() - HOUR}),
    ("not-yet-valid", {"not_before": time.time() + HOUR, "not_after": time.time() + 2 * HOUR}),
    ("weak", {"key": "rsa1024"}),
    ("weak", {"key": "p224"}),
    ("weak", {"key": "k256"}),
    ("weak", {"key": "ed448"}),
    ("key-usage", {"key_usage": None}),
    ("key-usage", {"key_usage_critical": False}),
    ("key-usage", {"key_usage": ("key_agreement",)}),
    ("key-usage", {"key_usage": ("digital_signature", "key_cert_sign")}),
    ("key-usage", {"key_usage": ("digital_signature", "crl_sign")}),
    ("extended-key-usage", {"eku": SERVER}),
    ("extended-key-usage", {"eku": CLIENT}),
    ("extended-key-usage", {"eku": (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)}),
    ("no-spiffe-id", {"uris": ()}),
    ("no-spiffe-id", {"uris": (), "dns": ("web.demo.local",)}),
    ("many-spiffe-ids", {"uris": (WEB, WEB + "2")}),
    ("bad-spiffe-id", {"uris": ("https://demo.local/ns/shop/sa/web",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local/",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local/a//b",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local/a/../b",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://Demo.Local/a",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local/a%2fb",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local:443/a",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://u@demo.local/a",)}),
    ("bad-spiffe-id", {"uris": ("spiffe://demo.local/a?b",)}),
    ("trust-domain", {"uris": ("spiffe://other.local/ns/shop/sa/web",)}),
    ("critical-extension", {"extensions": ((UNKNOWN, True),)}),
]


@pytest.mark.parametrize(("code", "options"), LEAF_FLAWS)
def test_one_flaw_in_the_leaf_is_found_as_that_flaw(code: str, options: Options) -> None:
    assert broken(judge(chain().leaf(**options))) == [(code, "leaf")]


@pytest.mark.parametrize(
    "options",
    [
        Options(eku=None),
        Options(key_usage=("digital_signature", "key_encipherment")),
        Options(extensions=((UNKNOWN, False),)),
        Options(subject="web"),
        Options(basic_constraints=False),
        Options(dns=("web.demo.local",), ips=("10.0.0.1",)),
    ],
)
def test_what_the_rules_leave_open_passes(options: Options) -> None:
    assert judge(chain().leaf(**options)).ok


def test_threat_10_two_identities_in_one_certificate() -> None:
    both = chain().leaf(uris=(WEB, "spiffe://other.local/admin"))
    assert broken(judge(both)) == [("many-spiffe-ids", "leaf"), ("trust-domain", "leaf")]


@pytest.mark.parametrize("bad", ["\x00", "\r\n", '";', "\x1b[2J", " ", "é"])
def test_threat_6_control_bytes_in_a_uri_name(bad: str) -> None:
    ca = chain()
    leaf = ca.resign(ca.leaf(WEB + "XXXXXX"), _swap(b"XXXXXX", bad.encode().ljust(6, b"x")))
    verdict = judge(leaf)
    assert not verdict.ok
    assert all(text.isprintable() for f in verdict.findings for text in (f.found, f.expected))


def test_threat_12_a_ca_certificate_as_leaf() -> None:
    ca = TestCA()
    below = ca.intermediate()
    leaf = Leaf(below.cert, below.key, ca)
    assert broken(judge(leaf)) == [
        ("ca-as-leaf", "leaf"),
        ("key-usage", "leaf"),
        ("key-usage", "leaf"),
        ("key-usage", "leaf"),
        ("bad-spiffe-id", "leaf"),
    ]
    assert judge(leaf, Ask(purpose=Purpose.CA)).ok


def test_a_leaf_does_not_pass_as_a_ca() -> None:
    assert broken(judge(chain().leaf(eku=None), Ask(purpose=Purpose.CA))) == [
        ("not-a-ca", "CA"),
        ("key-usage", "CA"),
        ("signing-id", "CA"),
    ]


@pytest.mark.parametrize(
    ("eku", "purpose", "good"),
    [
        (SERVER, Purpose.SERVER, True),
        (SERVER, Purpose.CLIENT, False),
        (CLIENT, Purpose.CLIENT, True),
        (CLIENT, Purpose.SERVER, False),
    ],
)
def test_threat_4_extended_key_usage_follows_the_purpose(
    eku: tuple[x509.ObjectIdentifier, ...], purpose: Purpose, good: bool
) -> None:
    assert judge(chain().leaf(eku=eku), Ask(purpose=purpose)).ok is good


def test_the_end_of_validity_is_part_of_it() -> None:
    leaf = chain().leaf()
    end = leaf.cert.not_valid_after_utc
    assert judge(leaf, Ask(at=end)).ok
    late = judge(leaf, Ask(at=end + timedelta(seconds=1)))
    assert broken(late) == [("expired", "leaf")]


def test_sha1_is_found_in_a_leaf_and_ignored_in_an_anchor() -> None:
    ca = TestCA(key="rsa2048")
    leaf = ca.resign(ca.leaf(), lambda tbs: tbs, "sha1")
    assert ("weak", "leaf") in broken(judge(leaf))
    assert judge(ca.leaf()).ok


@pytest.mark.parametrize(("critical", "found"), [(True, []), (False, [("san-critical", "leaf")])])
def test_an_empty_subject_needs_critical_names(
    critical: bool, found: list[tuple[str, str]]
) -> None:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(WEB)])
    assert broken(judge(chain().leaf(uris=(), extensions=((names, critical),)))) == found


def test_version_1_is_malformed() -> None:
    ca = chain()
    leaf = ca.resign(ca.leaf(), _as_version_1)
    assert ("malformed", "leaf") in broken(judge(leaf))


def test_threat_14_repeated_extensions_are_malformed() -> None:
    ca = chain()
    key_id, key_usage = der.oid("2.5.29.14"), der.oid("2.5.29.15")
    leaf = ca.resign(ca.leaf(), lambda tbs: tbs.replace(key_id, key_usage))
    assert broken(judge(leaf)) == [("malformed", "leaf")]


def test_threat_14_an_unreadable_subject_is_malformed() -> None:
    bounds = x509.NameConstraints([x509.UniformResourceIdentifier("demo.local")], None)
    ca = TestCA().intermediate(extensions=((bounds, True),))
    verdict = judge(unreadable_subject(ca))
    assert ("malformed", "leaf") in broken(verdict)
    assert "unreadable" in as_text(verdict, "file", now())


def test_the_report_says_what_is_not_valid_yet() -> None:
    leaf = chain().leaf(not_before=time.time() + HOUR, not_after=time.time() + 2 * HOUR)
    assert "not valid yet" in as_text(judge(leaf), "file", now())


def test_a_serial_number_that_is_not_positive_is_malformed() -> None:
    ca = chain()
    with pytest.warns(CryptographyDeprecationWarning):
        leaf = ca.resign(ca.leaf(serial=1), _swap(der.integer(1), der.integer(0), 1))
    assert broken(judge(leaf)) == [("malformed", "leaf")]


def test_all_flaws_of_all_certificates_come_in_one_verdict() -> None:
    ca = TestCA().intermediate(key_usage=("crl_sign",))
    leaf = ca.leaf(uris=(), eku=SERVER, key="p224", key_usage=None)
    assert set(broken(judge(leaf))) == {
        ("weak", "leaf"),
        ("key-usage", "leaf"),
        ("extended-key-usage", "leaf"),
        ("no-spiffe-id", "leaf"),
        ("key-usage", "intermediate 1"),
    }


def test_every_rule_says_what_helps() -> None:
    for code, rule in RULES.items():
        assert rule.code == code
        assert rule.title[0].islower()
        assert not rule.title.endswith(".")
        assert rule.hint


def _swap(old: bytes, new: bytes, times: int = -1) -> Callable[[bytes], bytes]:
    return lambda tbs: tbs.replace(old, new, times)


def _as_version_1(tbs: bytes) -> bytes:
    """Without the version and the extensions, which version 1 has not."""
    parts = elements(content(tbs))
    return der.sequence(*(der.tlv(tag, body) for tag, body in parts if tag not in (0xA0, 0xA3)))
