"""Chains that are long, malformed or revoked, and lists that say so or fail to."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, ObjectIdentifier

from tests.certs import HOUR, Leaf, Options, TestCA
from tests.e2e.apps import WebApplication
from tests.e2e.harness import Sidecar, Site, inbound, spiffe
from tests.threats.kit import ask, refusal_code

ID = spiffe("frontend")


def deep(ca: TestCA, levels: int, **options: str) -> TestCA:
    for _ in range(levels):
        ca = ca.intermediate(subject=options["subject"]) if options else ca.intermediate()
    return ca


# --- 13: what is expensive to walk ---


@pytest.mark.parametrize(("below", "good"), [(8, True), (9, False), (30, False)])
def test_threat_13_the_chain_is_counted(
    server: Sidecar, site: Site, below: int, good: bool
) -> None:
    """Ten certificates may be sent: the leaf, the site's intermediate, and eight more."""
    leaf = deep(site.ca, below).leaf(ID)
    if good:
        assert ask(server, leaf).status == 200
    else:
        assert refusal_code(server, leaf) == "MTLS-E115"


@pytest.mark.parametrize("levels", [9, 60])
def test_threat_13_many_issuers_of_one_name(server: Sidecar, site: Site, levels: int) -> None:
    """Every one of them could be the issuer of every other; nobody trusts the last."""
    chain = deep(TestCA("demo.local", subject="same"), levels, subject="same")
    assert refusal_code(server, chain.leaf(ID)) == "MTLS-E102"
    assert ask(server, site.leaf("frontend")).status == 200


# --- 14: what is not what its type says ---

MALFORMED: dict[str, tuple[ObjectIdentifier, bytes, Options]] = {
    "empty names": (ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\0", {"uris": []}),
    "unknown and critical": (ObjectIdentifier("1.2.3.4"), b"\x05\0", {"uris": [ID]}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_threat_14_a_malformed_extension(server: Sidecar, site: Site, name: str) -> None:
    """What a client can be made to offer; `core/test_x509` has what none can be.

    Refused for its reason, and the next one is served: nothing has crashed.
    """
    oid, value, options = MALFORMED[name]
    extension: Options = {"extensions": [(x509.UnrecognizedExtension(oid, value), True)]}
    assert refusal_code(server, site.ca.leaf(**(options | extension))) == "MTLS-E114"
    assert ask(server, site.leaf("frontend")).status == 200


# --- 15: revocation lists ---


class Listed:
    """A sidecar with a folder whose `crl.pem` can be changed."""

    def __init__(self, site: Site, web: WebApplication) -> None:
        self.site = site
        self.own = site.leaf("web")
        folder = site.place("listed")
        self.own.write_folder(folder / "certs", crl=site.ca.crls())
        self.sidecar = site.start(folder, {"inbound": [inbound("open", web)]})

    def publish(self, crl: bytes) -> None:
        """Change the list on disk."""
        self.own.write_folder(self.sidecar.folder / "certs", crl=crl)

    def use(self, crl: bytes) -> Sidecar:
        """Change the list and wait until the sidecar goes by it."""
        self.publish(crl)
        self.sidecar.reload()
        return self.sidecar


@pytest.fixture(scope="module")
def listed(site: Site, web: WebApplication) -> Listed:
    return Listed(site, web)


def test_threat_15_a_revoked_leaf_and_a_revoked_intermediate(listed: Listed, site: Site) -> None:
    below = site.ca.intermediate()
    good, bad, under = site.leaf("frontend"), site.leaf("frontend"), below.leaf(ID)
    server = listed.use(site.ca.crls([bad]) + below.crl())
    assert ask(server, good).status == 200
    assert ask(server, under).status == 200
    assert refusal_code(server, bad) == "MTLS-E105"
    server = listed.use(site.ca.crls([below]) + below.crl())
    assert ask(server, good).status == 200
    assert refusal_code(server, under) == "MTLS-E105"


def expired(ca: TestCA) -> bytes:
    return ca.crl(this_update=time.time() - 2 * HOUR, next_update=time.time() - HOUR)


def by_another(ca: TestCA) -> bytes:
    return ca.crl(key=TestCA("demo.local").key)


@pytest.mark.parametrize("bad_list", [lambda _: b"", expired, by_another])
def test_threat_15_a_list_that_is_missing_expired_or_forged(
    listed: Listed, site: Site, bad_list: Callable[[TestCA], bytes]
) -> None:
    """Revocation cannot be decided, so nobody whom it concerns gets in; others do."""
    below = site.ca.intermediate()
    server = listed.use(site.ca.crls() + bad_list(below))
    assert refusal_code(server, below.leaf(ID)) == "MTLS-E116"
    assert ask(server, site.leaf("frontend")).status == 200


@pytest.mark.parametrize(
    "broken",
    [b"", b"nonsense", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"],
    ids=["empty", "no PEM", "no list"],
)
def test_threat_15_a_broken_list_changes_nothing(listed: Listed, site: Site, broken: bytes) -> None:
    revoked: Leaf = site.leaf("frontend")
    server = listed.use(site.ca.crls([revoked]))
    listed.publish(broken)
    assert "crl.pem" in server.refuse_reload()
    assert refusal_code(server, revoked) == "MTLS-E105"
    assert ask(server, site.leaf("frontend")).status == 200
