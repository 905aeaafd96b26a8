"""Everything that can be wrong with a peer's certificate, and the reason that must be given."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certs import HOUR, Leaf, TestCA
from tests.e2e.harness import spiffe

ID: Final = spiffe("frontend")

Flaw = tuple[str, Callable[[TestCA], Leaf]]


def _posing(ca: TestCA) -> Leaf:
    """An issuer that names itself as a workload."""
    usage = ["digital_signature", "key_cert_sign", "crl_sign"]
    issuer = ca.intermediate(uris=[ID], key_usage=usage)
    return Leaf(issuer.cert, issuer.key, ca)


def _deep(ca: TestCA, levels: int) -> TestCA:
    for _ in range(levels):
        ca = ca.intermediate()
    return ca


def _constrained(ca: TestCA) -> TestCA:
    """An issuer that may sign names of another trust domain only."""
    only = x509.NameConstraints([x509.UniformResourceIdentifier("other.local")], None)
    return ca.intermediate(extensions=[(only, True)])


def _lay(ca: TestCA) -> TestCA:
    """An issuer that is no CA."""
    return ca.intermediate(ca=False, key_usage=["digital_signature"])


FLAWS: Final[dict[str, Flaw]] = {
    "foreign CA": ("MTLS-E102", lambda _: TestCA("demo.local").leaf(ID)),
    "expired": ("MTLS-E103", lambda ca: ca.leaf(ID, not_after=time.time() - 1)),
    "not yet valid": ("MTLS-E104", lambda ca: ca.leaf(ID, not_before=time.time() + HOUR / 2)),
    "no URI": ("MTLS-E106", lambda ca: ca.leaf(uris=[], dns=["web.demo.local"])),
    "two URIs": ("MTLS-E107", lambda ca: ca.leaf(uris=[ID, spiffe("admin")])),
    "not a SPIFFE ID": ("MTLS-E108", lambda ca: ca.leaf("https://demo.local/ns/shop/sa/frontend")),
    "dot segment": ("MTLS-E108", lambda ca: ca.leaf("spiffe://demo.local/ns/../sa/frontend")),
    "trailing slash": ("MTLS-E108", lambda ca: ca.leaf(ID + "/")),
    "id of a CA": ("MTLS-E108", lambda ca: ca.leaf("spiffe://demo.local")),
    "foreign trust domain": ("MTLS-E109", lambda ca: ca.leaf("spiffe://other.local/ns/a/sa/b")),
    "CA as leaf": ("MTLS-E110", _posing),
    "no key usage": ("MTLS-E111", lambda ca: ca.leaf(ID, key_usage=None)),
    "signs revocation lists": (
        "MTLS-E114",
        lambda ca: ca.leaf(ID, key_usage=["digital_signature", "crl_sign"]),
    ),
    "half of the purposes": (
        "MTLS-E112",
        lambda ca: ca.leaf(
            ID, eku=[ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.CODE_SIGNING]
        ),
    ),
    "RSA-1024": ("MTLS-E113", lambda ca: ca.leaf(ID, key="rsa1024")),
    "long chain": ("MTLS-E115", lambda ca: _deep(ca, 11).leaf(ID)),
    "name constraint": ("MTLS-E117", lambda ca: _constrained(ca).leaf(ID)),
    "issued by a leaf": ("MTLS-E119", lambda ca: _lay(ca).leaf(ID)),
    "path length": ("MTLS-E119", lambda ca: ca.intermediate(path_length=0).intermediate().leaf(ID)),
}
