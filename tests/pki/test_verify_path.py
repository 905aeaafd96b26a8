"""From the leaf to an anchor: what is found, what is not, and what bounds the search."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki.read import InputError, parse_items
from pki.verify import Question, verify
from pki.verify.path import MAX_CHAIN
from pki.verify.report import as_text
from tests.certs import Leaf, Options, TestCA
from tests.pki.verdicts import WEB, Ask, broken, chain, judge, now


def test_the_order_of_the_intermediates_does_not_matter() -> None:
    leaf = TestCA().intermediate().intermediate().leaf()
    first, second = leaf.issuer.cert, leaf.issuer.parent
    assert second is not None
    asked = Question((leaf.cert, second.cert, first), (leaf.issuer.root.cert,), now())
    assert verify(asked).ok


def test_the_root_may_be_sent_along_and_is_not_trusted_for_that() -> None:
    leaf = chain().leaf()
    root = leaf.issuer.root.cert
    asked = Question((leaf.cert, leaf.issuer.cert, root), (root,), now())
    assert verify(asked).ok
    assert broken(verify(replace(asked, anchors=()))) == [("untrusted", "intermediate 2")]


def test_a_missing_intermediate_is_untrusted_and_names_both_ends() -> None:
    leaf = chain().leaf()
    verdict = verify(Question((leaf.cert,), (leaf.issuer.root.cert,), now()))
    assert broken(verdict) == [("untrusted", "leaf")]
    assert "intermediate" in verdict.findings[0].found
    assert "root" in verdict.findings[0].expected


def test_a_foreign_root_is_untrusted() -> None:
    assert broken(judge(chain().leaf(), Ask(anchors=(TestCA().cert,)))) == [
        ("untrusted", "intermediate 1")
    ]


def test_another_ca_of_the_same_name_is_a_bad_signature() -> None:
    leaf, twin = TestCA(subject="root").leaf(), TestCA(subject="root")
    assert broken(judge(leaf, Ask(anchors=(twin.cert,)))) == [("signature", "leaf")]
    assert judge(leaf, Ask(anchors=(twin.cert, leaf.issuer.cert))).ok


def test_a_changed_byte_is_a_bad_signature() -> None:
    ca = TestCA()
    raw = bytearray(ca.leaf().cert.public_bytes(serialization.Encoding.DER))
    at = raw.index(b"/sa/web")
    raw[at + 4] ^= 1
    changed = Leaf(x509.load_der_x509_certificate(bytes(raw)), ca.key, ca)
    assert broken(judge(changed)) == [("signature", "leaf")]


def test_a_self_signed_leaf_in_the_bundle_is_no_ca() -> None:
    leaf = TestCA(ca=False, uris=(WEB,), key_usage=("digital_signature",))
    verdict = verify(Question((leaf.cert,), (leaf.cert,), now()))
    assert ("not-a-ca", "root") in broken(verdict)


def test_threat_12_a_leaf_issues_a_leaf() -> None:
    leaf = chain().leaf(subject="web")
    rogue = TestCA(parent=leaf.issuer, ca=False, key_usage=("digital_signature",), uris=(WEB,))
    found = broken(judge(rogue.leaf("spiffe://demo.local/ns/shop/sa/admin")))
    assert ("not-a-ca", "intermediate 1") in found
    assert ("key-usage", "intermediate 1") in found
    assert ("signing-id", "intermediate 1") in found
    assert ("path-length", "intermediate 2") in found


@pytest.mark.parametrize(("limit", "below", "good"), [
    (0, 0, True), (0, 1, False), (1, 1, True), (1, 2, False), (None, 3, True),
])  # fmt: skip
def test_threat_12_path_length(limit: int | None, below: int, good: bool) -> None:
    ca = TestCA(path_length=limit)
    for _ in range(below):
        ca = ca.intermediate()
    assert broken(judge(ca.leaf())) == ([] if good else [("path-length", "root")])


def test_self_issued_intermediates_do_not_count_for_the_path_length() -> None:
    root = TestCA(path_length=0, subject="same")
    assert judge(root.intermediate(subject="same").leaf()).ok
    assert not judge(root.intermediate(subject="other").leaf()).ok


@pytest.mark.parametrize(("extra", "good"), [(MAX_CHAIN - 1, True), (MAX_CHAIN, False)])
def test_threat_13_the_chain_is_counted_before_it_is_walked(extra: int, good: bool) -> None:
    leaf = TestCA().leaf()
    filler = TestCA().cert
    asked = Question((leaf.cert, *[filler] * extra), (leaf.issuer.cert,), now())
    assert broken(verify(asked)) == ([] if good else [("long-chain", "chain")])


def test_threat_13_many_certificates_of_one_name_and_key_end_the_walk() -> None:
    """A circle of cross-signed CAs is walked once around, never again."""
    key = TestCA(subject="loop").key
    ring = TestCA(subject="loop", key=key)
    leaf = ring.leaf()
    copies = tuple(TestCA(subject="loop", key=key).cert for _ in range(MAX_CHAIN - 1))
    verdict = verify(Question((leaf.cert, *copies), (TestCA().cert,), now()))
    assert ("untrusted", f"intermediate {MAX_CHAIN - 1}") in broken(verdict)


INTERMEDIATE_FLAWS: list[tuple[str, Options]] = [
    ("not-a-ca", {"ca": False}),
    ("not-a-ca", {"basic_constraints": False}),
    ("key-usage", {"key_usage": ("crl_sign",)}),
    ("key-usage", {"key_usage": None}),
    ("signing-id", {"uris": (WEB,)}),
    ("expired", {"not_before": 0.0, "not_after": 1.0}),
    ("weak", {"key": "p224"}),
    ("extended-key-usage", {"eku": (ExtendedKeyUsageOID.SERVER_AUTH,)}),
]


@pytest.mark.parametrize(("code", "options"), INTERMEDIATE_FLAWS)
def test_one_flaw_in_the_intermediate_is_found_there(code: str, options: Options) -> None:
    leaf = TestCA().intermediate(**options).leaf()
    assert broken(judge(leaf)) == [(code, "intermediate 1")]


def test_threat_11_the_trust_domain_is_the_anchor_s_or_the_one_asked_for() -> None:
    leaf = TestCA("demo.local").leaf("spiffe://other.local/a")
    assert broken(judge(leaf)) == [("trust-domain", "leaf")]
    assert judge(leaf, Ask(trust_domain="other.local")).ok
    unnamed = TestCA(uris=()).leaf("spiffe://other.local/a")
    assert judge(unnamed).ok
    assert broken(judge(unnamed, Ask(trust_domain="demo.local"))) == [("trust-domain", "leaf")]


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def dns(text: str) -> x509.GeneralName:
    return x509.DNSName(text)


def net(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_network(text))


def named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


PERMITTED: list[tuple[x509.GeneralName, Options, bool]] = [
    (uri("demo.local"), {}, True),
    (uri("other.local"), {}, False),
    (uri(".local"), {}, True),
    (uri("local"), {}, False),
    (dns("demo.local"), {"dns": ("web.demo.local", "demo.local", "WEB.Demo.Local")}, True),
    (dns("demo.local"), {"dns": ("webdemo.local",)}, False),
    (dns("demo.local"), {"dns": ("demo.local.evil",)}, False),
    (dns(".demo.local"), {"dns": ("web.demo.local",)}, True),
    (dns(".demo.local"), {"dns": ("demo.local",)}, False),
    (dns(""), {"dns": ("anything",)}, True),
    (net("10.0.0.0/8"), {"ips": ("10.1.2.3",)}, True),
    (net("10.0.0.0/8"), {"ips": ("11.1.2.3",)}, False),
    (net("10.0.0.0/8"), {"ips": ("::1",)}, False),
    (x509.DirectoryName(named("web")), {"subject": "web"}, True),
    (x509.DirectoryName(named("web")), {"subject": "admin"}, False),
    (x509.RFC822Name("demo.local"), {"other_names": (x509.RFC822Name("a@demo.local"),)}, False),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "options", "good"), PERMITTED)
def test_threat_12_permitted_names(tree: x509.GeneralName, options: Options, good: bool) -> None:
    bounds = x509.NameConstraints([tree], None)
    leaf = TestCA().intermediate(extensions=((bounds, True),)).leaf(**options)
    assert broken(judge(leaf)) == ([] if good else [("name-constraint", "leaf")])


EXCLUDED: list[tuple[x509.GeneralName, Options, bool]] = [
    (uri("other.local"), {}, True),
    (uri("demo.local"), {}, False),
    (dns("evil.local"), {"dns": ("web.demo.local",)}, True),
    (dns("evil.local"), {"dns": ("web.evil.local",)}, False),
    (dns("a.demo.local"), {"dns": ("*.demo.local",)}, False),
    (dns("a.demo.local"), {"dns": ("*.other.local",)}, True),
    (net("10.0.0.0/8"), {"ips": ("11.0.0.1",)}, True),
    (net("10.0.0.0/8"), {"ips": ("10.0.0.1",)}, False),
    (x509.RFC822Name("evil.local"), {"other_names": (x509.RFC822Name("a@demo.local"),)}, False),
]


@pytest.mark.parametrize(("tree", "options", "good"), EXCLUDED)
def test_threat_12_excluded_names(tree: x509.GeneralName, options: Options, good: bool) -> None:
    bounds = x509.NameConstraints(None, [tree])
    leaf = TestCA().intermediate(extensions=((bounds, True),)).leaf(**options)
    assert broken(judge(leaf)) == ([] if good else [("name-constraint", "leaf")])


def test_constraints_of_the_root_bind_the_intermediate_too() -> None:
    bounds = x509.NameConstraints([uri("demo.local")], None)
    root = TestCA(extensions=((bounds, True),))
    assert judge(root.intermediate().leaf()).ok
    stray = root.intermediate(uris=("spiffe://other.local",))
    assert broken(judge(stray.leaf())) == [("name-constraint", "intermediate 1")]


SOUND = TestCA().intermediate(path_length=0).leaf(dns=("web.demo.local",))
SOUND_DER = SOUND.cert.public_bytes(serialization.Encoding.DER)
SIGNED = SOUND.cert.tbs_certificate_bytes


@given(st.integers(0, len(SIGNED) - 1), st.integers(1, 255))
def test_threat_14_no_changed_byte_passes_and_none_raises(at: int, bits: int) -> None:
    """Of the signed part: an ECDSA signature itself can be written in more than one way."""
    changed = bytearray(SOUND_DER)
    changed[SOUND_DER.index(SIGNED) + at] ^= bits
    try:
        (item,) = parse_items("leaf", bytes(changed))
    except InputError:
        return
    if isinstance(item.value, x509.Certificate):
        chain = (item.value, SOUND.issuer.cert)
        verdict = verify(Question(chain, (SOUND.issuer.root.cert,), now()))
        assert not verdict.ok
        assert as_text(verdict, "leaf", now()).replace("\n", "").isprintable()
