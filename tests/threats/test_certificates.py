"""Certificates of a trusted CA that must not get in: what they say, or seem to say, is wrong."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from sidecar.core.x509 import Certificate, MalformedCertificateError
from tests.certs import BOTH, Options
from tests.e2e.apps import WebApplication
from tests.e2e.flaws import FLAWS
from tests.e2e.harness import Sidecar, Site, spiffe
from tests.threats.kit import ask, refusal_code

ID = spiffe("frontend")
SERVER, CLIENT = BOTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
SIGNING = ExtendedKeyUsageOID.CODE_SIGNING


@pytest.fixture(autouse=True)
def nothing_gets_through(web: WebApplication) -> None:
    web.reached.clear()


@pytest.mark.parametrize("eku", [BOTH, None], ids=["both", "none named"])
def test_good_purposes(
    server: Sidecar, site: Site, eku: tuple[x509.ObjectIdentifier, ...] | None
) -> None:
    assert ask(server, site.ca.leaf(ID, eku=eku)).status == 200


@pytest.mark.parametrize(
    "eku",
    [[SERVER], [CLIENT], [SIGNING], [ANY], [CLIENT, SIGNING]],
    ids=["server", "client", "code signing", "any", "client and code signing"],
)
def test_threat_04_a_certificate_for_another_purpose(
    server: Sidecar, site: Site, eku: list[x509.ObjectIdentifier]
) -> None:
    assert refusal_code(server, site.ca.leaf(ID, eku=eku)) == "MTLS-E112"


ELSEWHERE: dict[str, Options] = {
    "DNS name": {"dns": [ID]},
    "mail address": {"other_names": [x509.RFC822Name("frontend@demo.local")]},
    "directory name": {
        "other_names": [
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ID)]))
        ]
    },
    "other name": {
        "other_names": [
            x509.OtherName(
                ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), bytes([12, len(ID)]) + ID.encode()
            )
        ]
    },
    "address": {"ips": ["127.0.0.1"]},
    "subject": {"subject": ID},
    "issuer's alternative name": {
        "extensions": [
            (x509.IssuerAlternativeName([x509.UniformResourceIdentifier(ID)]), False)
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_threat_05_an_identity_in_the_wrong_kind_of_name(
    server: Sidecar, site: Site, name: str
) -> None:
    options: Options = {"subject": "somebody", "uris": []}
    assert refusal_code(server, site.ca.leaf(**(options | ELSEWHERE[name]))) == "MTLS-E106"


@pytest.mark.parametrize("byte", [b"\0", b"\r", b"\n", b'"', b";", b",", b"%", b" ", b"=", b"\\"])
def test_threat_06_a_byte_in_the_name_that_ends_it_for_somebody(
    server: Sidecar, site: Site, byte: bytes
) -> None:
    good = site.ca.leaf(spiffe("front-end"))
    assert ask(server, good).status == 200
    bad = site.ca.resign(good, lambda tbs: tbs.replace(b"front-end", b"front" + byte + b"end"))
    assert refusal_code(server, bad) == "MTLS-E108"


@pytest.mark.parametrize("byte", [b"\0", b"\n", b'"', b";", b","])
def test_threat_06_the_same_in_a_dns_name(server: Sidecar, site: Site, byte: bytes) -> None:
    good = site.ca.leaf(ID, dns=["web-evil.local"])
    bad = site.ca.resign(good, lambda tbs: tbs.replace(b"web-evil", b"web" + byte + b"evil"))
    assert refusal_code(server, bad) == "MTLS-E114"


@pytest.mark.parametrize(
    "uris",
    [[ID, spiffe("admin")], [spiffe("admin"), ID], [ID, ID], [ID, "https://demo.local/"]],
    ids=["two", "the other way round", "twice the same", "one of another kind"],
)
def test_threat_10_two_identities_in_one_certificate(
    server: Sidecar, site: Site, uris: list[str]
) -> None:
    assert refusal_code(server, site.ca.leaf(uris=uris)) == "MTLS-E107"


def test_threat_10_two_identities_in_two_extensions(site: Site) -> None:
    """Both are subjectAltName: a reader that takes the first or the last of them sees one.

    OpenSSL offers no such certificate, so the reader alone is asked.
    """
    second = x509.IssuerAlternativeName([x509.UniformResourceIdentifier(spiffe("admin"))])
    good = site.ca.leaf(ID, extensions=[(second, False)])
    assert Certificate.parse(good.der).extensions.names.uris == (ID,)
    issuer_name, subject_name = b"\x55\x1d\x12", b"\x55\x1d\x11"
    bad = good.der.replace(issuer_name, subject_name)
    with pytest.raises(MalformedCertificateError, match="twice"):
        Certificate.parse(bad)


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("spiffe://other.local/ns/shop/sa/frontend", "MTLS-E109"),
        ("spiffe://demo.local.other.org/ns/shop/sa/frontend", "MTLS-E109"),
        ("spiffe://sub.demo.local/ns/shop/sa/frontend", "MTLS-E109"),
        ("spiffe://demo/ns/shop/sa/frontend", "MTLS-E109"),
        ("spiffe://DEMO.local/ns/shop/sa/frontend", "MTLS-E108"),
        ("spiffe://demo.local:443/ns/shop/sa/frontend", "MTLS-E108"),
        ("spiffe://demo.local@other.org/ns/shop/sa/frontend", "MTLS-E108"),
        ("spiffe://other.org#spiffe://demo.local/ns/shop/sa/frontend", "MTLS-E108"),
        ("spiffe://other.org/spiffe://demo.local/ns/shop/sa/frontend", "MTLS-E108"),
        ("spiffe:demo.local/ns/shop/sa/frontend", "MTLS-E108"),
    ],
)
def test_threat_11_a_trust_domain_that_looks_like_ours(
    server: Sidecar, site: Site, uri: str, code: str
) -> None:
    assert refusal_code(server, site.ca.leaf(uri)) == code


@pytest.mark.parametrize(
    "name", ["CA as leaf", "issued by a leaf", "path length", "name constraint", "id of a CA"]
)
def test_threat_12_issuers_that_pose_as_workloads_and_workloads_that_issue(
    server: Sidecar, site: Site, name: str
) -> None:
    code, make = FLAWS[name]
    assert refusal_code(server, make(site.ca)) == code


def test_threat_12_a_trust_domain_that_the_issuer_must_not_name(
    server: Sidecar, site: Site
) -> None:
    """Its twin: an issuer with a constraint that permits ours."""
    tree = [x509.UniformResourceIdentifier("demo.local")]
    ours = site.ca.intermediate(extensions=[(x509.NameConstraints(tree, None), True)])
    assert ask(server, ours.leaf(ID)).status == 200
    not_ours = site.ca.intermediate(extensions=[(x509.NameConstraints(None, tree), True)])
    assert refusal_code(server, not_ours.leaf(ID)) == "MTLS-E117"
