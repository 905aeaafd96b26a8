"""The peer check: a good certificate passes, and each flaw alone is refused for its own reason."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.names import SpiffePattern
from sidecar.core import reasons
from sidecar.core.ids import Peer, RefusedError
from sidecar.core.peer import MAX_CHAIN, check_path, check_peer, check_workload, expect_server
from sidecar.core.reasons import Reason
from sidecar.core.x509 import Certificate
from tests.certs import BOTH, Leaf, TestCA

NOW = 1_800_000_000.0
CA = TestCA(not_after=NOW + 9e6)
RSA_CA = TestCA(key="rsa2048", not_after=NOW + 9e6)
WEB = "spiffe://demo.local/ns/shop/sa/web"


def leaf(spiffe_id: str = WEB, signer: TestCA = CA, **options: Any) -> Leaf:
    return signer.leaf(spiffe_id, **({"not_before": NOW - 60, "not_after": NOW + 3600} | options))


def check(subject: Leaf | Certificate, **changes: Any) -> Peer:
    cert = Certificate.parse(subject.der) if isinstance(subject, Leaf) else subject
    arguments: dict[str, Any] = {
        "trust_domain": "demo.local",
        "now": NOW,
        "revoked": frozenset(),
        "chain_length": 2,
    }
    return check_peer(cert, **(arguments | changes))


def refused(subject: Leaf | Certificate, reason: Reason, **changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        check(subject, **changes)
    assert caught.value.reason is reason
    return caught.value.detail


def test_good_certificate_is_a_peer() -> None:
    good = leaf(dns=["web.shop.svc"], subject="web")
    peer = check(good)
    assert str(peer.spiffe_id) == WEB
    assert peer.fingerprint == good.cert.fingerprint(SHA256()).hex()
    assert (peer.not_before, peer.not_after) == (NOW - 60, NOW + 3600)
    assert peer.serial == good.cert.serial_number
    assert peer.subject == "CN=web"
    assert peer.dns == ("web.shop.svc",)


# --- names ---


def test_two_identities_in_one_certificate_are_refused() -> None:
    """Threat class 10."""
    refused(leaf(uris=[WEB, "spiffe://demo.local/ns/shop/sa/admin"]), reasons.MANY_SPIFFE_IDS)
    refused(leaf(uris=[WEB, WEB]), reasons.MANY_SPIFFE_IDS)
    refused(leaf(uris=[WEB, "https://demo.local/"]), reasons.MANY_SPIFFE_IDS)


def test_name_of_another_type_is_no_identity() -> None:
    """Threat class 5: neither a DNS name nor the common name is taken for a URI."""
    refused(leaf(uris=[], dns=[WEB.replace("/", ".").replace(":", "")]), reasons.NO_SPIFFE_ID)
    refused(leaf(uris=[], subject=WEB), reasons.NO_SPIFFE_ID)


@pytest.mark.parametrize(
    "name",
    [
        "https://demo.local/ns/shop/sa/web",
        "SPIFFE://demo.local/ns/shop/sa/web",
        "spiffe://demo.local",
        "spiffe://demo.local/",
        "spiffe://demo.local/ns//sa/web",
        "spiffe://demo.local/ns/../sa/web",
        "spiffe://demo.local/ns/shop/sa/web/",
        "spiffe://demo.local/ns/shop/sa/web?x=1",
        "spiffe://demo.local:443/ns/shop/sa/web",
        "spiffe://user@demo.local/ns/shop/sa/web",
        "spiffe://Demo.local/ns/shop/sa/web",
        "spiffe://demo.local/ns/shop/sa/w%65b",
        "spiffe://demo.local/" + "a" * 2048,
    ],
)
def test_name_that_is_no_spiffe_id_is_refused(name: str) -> None:
    refused(leaf(uris=[name]), reasons.BAD_SPIFFE_ID)


@pytest.mark.parametrize("inside", ["\x00", "\r\n", "\n", '";', " ", "\x7f", "\x1b[2J"])
def test_control_characters_in_an_identity_are_refused(inside: str) -> None:
    """Threat classes 6, 7 and 29: a NUL or a line break is refused before any log or header."""
    for name in (WEB + inside, WEB + inside + "x", "spiffe://demo.local" + inside + "/a"):
        detail = refused(leaf(uris=[name]), reasons.BAD_SPIFFE_ID)
        assert detail.isprintable()


@pytest.mark.parametrize(
    "name", ["web\x00.evil", "web\r\nx: y", 'web";URI=x', "a b", "a/b", "a" * 254]
)
def test_hostile_dns_name_is_refused(name: str) -> None:
    """Threat classes 6 and 7."""
    assert check(leaf(dns=["web-1.shop.svc", "*.shop.svc", "_tcp.shop"])).dns[1] == "*.shop.svc"
    detail = refused(leaf(dns=["web", name]), reasons.MALFORMED_CERTIFICATE)
    assert detail.isprintable()


def test_foreign_trust_domain_is_refused() -> None:
    """Threat class 11."""
    foreign = leaf("spiffe://other.local/ns/shop/sa/web")
    refused(foreign, reasons.FOREIGN_TRUST_DOMAIN)
    assert check(foreign, trust_domain="other.local").spiffe_id.trust_domain == "other.local"
    for near in ("demo.local.evil", "xdemo.local", "demo"):
        refused(leaf(f"spiffe://{near}/a"), reasons.FOREIGN_TRUST_DOMAIN)


def test_names_must_be_critical_without_a_subject() -> None:
    check(leaf(subject="web", names_critical=False))
    check(leaf(names_critical=True))
    refused(leaf(names_critical=False), reasons.MALFORMED_CERTIFICATE)


# --- purpose ---


def test_ca_as_leaf_is_refused() -> None:
    """Threat class 12: a signing certificate never authenticates a workload."""
    refused(leaf(ca=True), reasons.CA_AS_LEAF)
    refused(leaf(ca=True, key_usage=("digital_signature", "key_cert_sign")), reasons.CA_AS_LEAF)
    check(leaf(basic_constraints=False))


@pytest.mark.parametrize(
    ("options", "flaw"),
    [
        ({"key_usage": None}, "it is missing"),
        ({"key_usage_critical": False}, "it is not critical"),
        ({"key_usage": ("key_encipherment",)}, "digitalSignature is missing"),
        ({"key_usage": ("digital_signature", "key_cert_sign")}, "keyCertSign or cRLSign"),
        ({"key_usage": ("digital_signature", "crl_sign")}, "keyCertSign or cRLSign"),
    ],
)
def test_key_usage(options: dict[str, Any], flaw: str) -> None:
    check(leaf(key_usage=("digital_signature", "key_encipherment", "key_agreement")))
    assert flaw in refused(leaf(**options), reasons.KEY_USAGE)


def test_extended_key_usage_not_checked() -> None:
    """Threat class 4: if it is there, both purposes are."""
    server, client = BOTH
    timestamping = ExtendedKeyUsageOID.TIME_STAMPING
    anything = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    check(leaf(eku=None))
    check(leaf(eku=[client, timestamping, server]))
    for purposes in ([server], [client], [timestamping], [anything]):
        refused(leaf(eku=purposes), reasons.EXTENDED_KEY_USAGE)


# --- strength ---


@pytest.mark.parametrize("key", ["p256", "p384", "p521", "ed25519", "ed448", "rsa2048", "rsa3072"])
def test_strong_keys_pass(key: str) -> None:
    check(leaf(key=key))


@pytest.mark.parametrize("key", ["p224", "k256", "rsa1024", "rsa2047"])
def test_weak_keys_are_refused(key: str) -> None:
    refused(leaf(key=key), reasons.WEAK_KEY)


@pytest.mark.parametrize("name", ["sha1", "md5"])
def test_weak_signatures_are_refused(name: str) -> None:
    good = leaf(signer=RSA_CA)
    check(good)
    bad = RSA_CA.resign(good, lambda tbs: tbs, name)
    assert name in refused(bad, reasons.WEAK_KEY)


# --- time ---


def test_expired() -> None:
    check(leaf(not_after=NOW))
    refused(leaf(not_after=NOW - 1), reasons.EXPIRED)


def test_not_yet_valid() -> None:
    check(leaf(not_before=NOW))
    refused(leaf(not_before=NOW + 1), reasons.NOT_YET_VALID)


def test_skew_is_none_unless_given() -> None:
    late, early = leaf(not_after=NOW - 60), leaf(not_before=NOW + 60)
    check(late, skew=60.0)
    check(early, skew=60.0)
    refused(late, reasons.EXPIRED, skew=59.0)
    refused(early, reasons.NOT_YET_VALID, skew=59.0)


# --- revocation, chain ---


def test_revoked_after_it_was_verified() -> None:
    """Threat classes 2 and 3: the list is consulted for resumed sessions and old connections."""
    cert = Certificate.parse(leaf().der)
    own, other = (cert.issuer, cert.serial), (cert.issuer, cert.serial + 1)
    check(cert, revoked=frozenset({other, (cert.issuer + b"x", cert.serial)}))
    refused(cert, reasons.REVOKED, revoked=frozenset({other, own}))


def test_chain_longer_than_anybody_needs() -> None:
    """Threat class 13: an unauthenticated peer must not make us walk for long."""
    good = leaf()
    check(good, chain_length=1)
    check(good, chain_length=MAX_CHAIN)
    refused(good, reasons.LONG_CHAIN, chain_length=MAX_CHAIN + 1)


# --- our own certificate, and the server's ---


def test_workload_check_knows_no_trust_domain() -> None:
    cert = Certificate.parse(leaf("spiffe://other.local/a").der)
    assert str(check_workload(cert, NOW)) == "spiffe://other.local/a"
    with pytest.raises(RefusedError):
        check_workload(Certificate.parse(leaf(ca=True).der), NOW)


def test_server_must_be_expected() -> None:
    """Threat class 9: whole segments are compared, never a prefix."""
    peer = check(leaf())
    expect_server(peer, [pattern("spiffe://demo.local/ns/shop/sa/web")])
    expect_server(
        peer, [pattern("spiffe://demo.local/x"), pattern("spiffe://demo.local/ns/*/sa/*")]
    )
    for other in ("/ns/shop/sa/we", "/ns/shop/sa", "/ns/shop/sa/web2", "/*"):
        with pytest.raises(RefusedError) as caught:
            expect_server(peer, [pattern("spiffe://demo.local" + other)])
        assert caught.value.reason is reasons.UNEXPECTED_SERVER


def test_route_that_expects_nobody_accepts_nobody() -> None:
    with pytest.raises(RefusedError):
        expect_server(check(leaf()), [])


def pattern(text: str) -> SpiffePattern:
    return SpiffePattern.parse(text)


# --- a path that was verified once (threat class 3) ---


ISSUER = CA.intermediate(not_before=NOW - 60, not_after=NOW + 3600)
PATH = [Certificate.parse(each.der) for each in (leaf(signer=ISSUER), ISSUER, CA)]
ROOTS = frozenset({PATH[-1].fingerprint})


def check_again(path: list[Certificate], **changes: Any) -> None:
    now: dict[str, Any] = {"roots": ROOTS, "revoked": frozenset(), "now": NOW}
    check_path(path, **(now | changes))


@pytest.mark.parametrize(
    ("path", "changes", "reason"),
    [
        (PATH, {"roots": frozenset()}, reasons.UNTRUSTED),
        (PATH, {"roots": frozenset({"another"})}, reasons.UNTRUSTED),
        ([], {}, reasons.UNTRUSTED),
        (PATH, {"revoked": {(PATH[0].issuer, PATH[0].serial)}}, reasons.REVOKED),
        (PATH, {"revoked": {(PATH[1].issuer, PATH[1].serial)}}, reasons.REVOKED),
        (PATH, {"now": NOW + 3601}, reasons.EXPIRED),
    ],
    ids=["no root", "another root", "unknown path", "leaf", "issuer", "issuer's end"],
)
def test_a_path_that_would_not_be_verified_any_more(
    path: list[Certificate], changes: dict[str, Any], reason: Reason
) -> None:
    """Threat class 3."""
    check_again(PATH)
    with pytest.raises(RefusedError) as caught:
        check_again(path, **changes)
    assert caught.value.reason is reason
