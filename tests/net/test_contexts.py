"""Contexts: what they refuse, under which reason, and what they never do."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from sidecar.core import reasons
from sidecar.core.ids import RefusedError
from sidecar.core.reasons import Reason
from sidecar.net.contexts import (
    Credentials,
    CredentialsError,
    client_context,
    reason_of,
    server_context,
)
from tests.certs import HOUR, Leaf, TestCA
from tests.net.kit import (
    ca,
    client_side,
    credentials,
    issuing_ca,
    lax_client,
    orders,
    server_side,
    shake,
    web,
)


def refused_by_server(leaf: Leaf, crl: bytes | None = None) -> Reason:
    """Present `leaf` to a good server and return the reason for which it says no."""
    client = client_context(credentials(leaf))
    result = shake(client, server_context(credentials(orders(), crl_pem=crl)))
    assert result.server is not None, "the server let it in"
    return reason_of(result.server)[0]


def refused_by_client(leaf: Leaf, crl: bytes | None = None) -> Reason:
    """The same with the sides exchanged."""
    server = server_context(credentials(leaf))
    result = shake(client_context(credentials(web(), crl_pem=crl)), server)
    assert result.client is not None, "the client let it in"
    return reason_of(result.client)[0]


def foreign() -> Leaf:
    return TestCA("demo.local").leaf()


def missing_intermediate() -> Leaf:
    leaf = issuing_ca().leaf()
    return Leaf(leaf.cert, leaf.key, ca())


def self_signed() -> Leaf:
    authority = TestCA("demo.local", ca=False, key_usage=("digital_signature",))
    return Leaf(authority.cert, authority.key, TestCA("demo.local"))


def leaf_issues_leaf() -> Leaf:
    no_ca = TestCA("demo.local", parent=ca(), ca=False, key_usage=("digital_signature",))
    return no_ca.leaf()


def beyond_path_length() -> Leaf:
    return ca().intermediate(path_length=0).intermediate().leaf()


def signer_without_key_cert_sign() -> Leaf:
    return ca().intermediate(key_usage=("crl_sign",)).leaf()


def constrained_to_another_domain() -> Leaf:
    constraint = x509.NameConstraints([x509.UniformResourceIdentifier("other.local")], None)
    return ca().intermediate(extensions=[(constraint, True)]).leaf()


def unknown_critical_extension() -> Leaf:
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
    return issuing_ca().leaf(extensions=[(x509.UnrecognizedExtension(oid, b"\x05\x00"), True)])


def no_purpose_of_ours() -> Leaf:
    return issuing_ca().leaf(eku=[ExtendedKeyUsageOID.CODE_SIGNING])


def expired_intermediate() -> Leaf:
    return ca().intermediate(not_before=time.time() - 9, not_after=time.time() - 5).leaf()


def endless_chain() -> Leaf:
    authority = ca()
    for _ in range(12):
        authority = authority.intermediate()
    return authority.leaf()


BAD: list[tuple[Callable[[], Leaf], Reason]] = [
    (foreign, reasons.UNTRUSTED),
    (missing_intermediate, reasons.UNTRUSTED),
    (self_signed, reasons.UNTRUSTED),
    (lambda: issuing_ca().leaf(not_after=time.time() - 1), reasons.EXPIRED),
    (expired_intermediate, reasons.EXPIRED),
    (lambda: issuing_ca().leaf(not_before=time.time() + HOUR / 2), reasons.NOT_YET_VALID),
    (leaf_issues_leaf, reasons.BAD_ISSUER),
    (beyond_path_length, reasons.BAD_ISSUER),
    (signer_without_key_cert_sign, reasons.BAD_ISSUER),
    (no_purpose_of_ours, reasons.EXTENDED_KEY_USAGE),
    (constrained_to_another_domain, reasons.NAME_CONSTRAINT),
    (unknown_critical_extension, reasons.MALFORMED_CERTIFICATE),
    (lambda: ca().intermediate(key_usage=None).leaf(), reasons.MALFORMED_CERTIFICATE),  # strict
]


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_a_bad_client_is_refused_for_its_reason(make: Callable[[], Leaf], reason: Reason) -> None:
    assert refused_by_server(make()) is reason


@pytest.mark.parametrize(("make", "reason"), BAD)
def test_a_bad_server_is_refused_for_its_reason(make: Callable[[], Leaf], reason: Reason) -> None:
    assert refused_by_client(make()) is reason


@pytest.mark.parametrize("make", [make for make, _ in BAD])
def test_the_refused_side_learns_that_it_was_its_certificate(make: Callable[[], Leaf]) -> None:
    refused = shake(client_context(credentials(make())), server_side())
    assert refused.client is not None
    assert reason_of(refused.client)[0] is reasons.OWN_CERTIFICATE_REFUSED
    refused = shake(client_side(), server_context(credentials(make())))
    assert refused.server is not None
    assert reason_of(refused.server)[0] is reasons.OWN_CERTIFICATE_REFUSED


def test_a_good_pair_is_let_in() -> None:
    result = shake(client_side(), server_side())
    assert result.client is None
    assert result.server is None
    assert result.server_object.getpeercert(binary_form=True) == web().der


# --- revocation -----------------------------------------------------------------------------


def test_a_good_chain_passes_when_every_issuer_has_a_crl() -> None:
    crl = issuing_ca().crls()
    client = client_context(credentials(web(), crl_pem=crl))
    result = shake(client, server_context(credentials(orders(), crl_pem=crl)))
    assert result.client is None
    assert result.server is None


@pytest.mark.parametrize("refused_by", [refused_by_server, refused_by_client])
def test_threat_15_crl(refused_by: Callable[[Leaf, bytes], Reason]) -> None:
    authority = ca().intermediate()
    leaf = authority.leaf()
    # The other side checks our good peer's chain as well, so its issuer has a list throughout.
    good = issuing_ca().crl()
    root = ca().crl()

    def reason(*lists: bytes) -> Reason:
        return refused_by(leaf, b"".join([*lists, good]))

    assert reason(authority.crl([leaf]), root) is reasons.REVOKED
    assert reason(authority.crl(), ca().crl([authority])) is reasons.REVOKED
    assert reason(root) is reasons.CRL_UNUSABLE  # the leaf's issuer has none
    assert reason(authority.crl()) is reasons.CRL_UNUSABLE  # the intermediate's has none
    past = time.time() - HOUR
    expired = authority.crl(this_update=past - HOUR, next_update=past)
    assert reason(expired, root) is reasons.CRL_UNUSABLE
    future = authority.crl(this_update=time.time() + HOUR, next_update=time.time() + 2 * HOUR)
    assert reason(future, root) is reasons.CRL_UNUSABLE
    forged = authority.crl(key=TestCA("demo.local").key)
    assert reason(forged, root) is reasons.CRL_UNUSABLE


# --- weak keys and old protocols ------------------------------------------------------------


def server_error(client: ssl.SSLContext, server: ssl.SSLContext | None = None) -> Reason:
    error = shake(client, server or server_side()).server
    assert error is not None
    return reason_of(error)[0]


def test_no_certificate() -> None:
    assert server_error(lax_client(None)) is reasons.NO_CERTIFICATE


def test_short_rsa_key() -> None:
    assert server_error(lax_client(issuing_ca().leaf(key="rsa1024"))) is reasons.WEAK_KEY


def test_sha1_signature() -> None:
    authority = TestCA("demo.local", key="rsa2048")
    weak = authority.resign(authority.leaf(), lambda tbs: tbs, "sha1")
    trusting = server_context(credentials(orders(), trust_pem=authority.pem))
    assert server_error(lax_client(weak), trusting) is reasons.WEAK_KEY
    good = lax_client(authority.leaf())
    assert shake(good, trusting).server is None


def test_tls_1_2_is_refused_unless_asked_for() -> None:
    old = lax_client(web())
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    result = shake(old, server_side())
    assert result.server is not None
    assert result.client is not None
    assert reason_of(result.server)[0] is reasons.TLS_VERSION
    assert reason_of(result.client)[0] is reasons.TLS_VERSION
    result = shake(old, server_context(credentials(orders()), "1.2"))
    assert result.server is None
    assert result.server_object.version() == "TLSv1.2"


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256", "CAMELLIA"])
def test_tls_1_2_without_aead_or_forward_secrecy_is_refused(suite: str) -> None:
    old = lax_client(web(), ciphers=f"{suite}:@SECLEVEL=0")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    server = server_context(credentials(orders()), "1.2")
    assert server_error(old, server) is reasons.TLS_VERSION


@pytest.mark.parametrize("make", [server_context, client_context])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_every_suite_is_aead_with_forward_secrecy(
    make: Callable[..., ssl.SSLContext], version: str
) -> None:
    suites = make(credentials(web()), version).get_ciphers()
    assert suites
    assert all(suite["aead"] for suite in suites)
    assert {suite["kea"] for suite in suites} <= {"kx-any", "kx-ecdhe"}


# --- sessions -------------------------------------------------------------------------------


def session_of(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLSession:
    """A session whose connection ended in order; OpenSSL forgets those of broken ones."""
    shaken = shake(client, server)
    for end in (shaken.client_object, shaken.server_object):
        with suppress(ssl.SSLWantReadError):
            end.unwrap()
    session = shaken.client_object.session
    assert session is not None
    return session


def test_threat_1_no_ticket_is_given() -> None:
    client, server = client_side(), server_side()
    session = session_of(server, client)
    assert not session.has_ticket
    again = shake(client, server, session)
    assert not again.server_object.session_reused
    assert again.server_object.getpeercert(binary_form=True) == web().der


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_threat_1_a_session_is_worth_nothing_at_another_listener(version: str) -> None:
    client = client_context(credentials(web()), "1.2")
    if version == "1.2":
        client.maximum_version = ssl.TLSVersion.TLSv1_2
    first, second = (server_context(credentials(orders()), "1.2") for _ in range(2))
    session = session_of(first, client)
    assert shake(client, first, session).server_object.session_reused is (version == "1.2")
    assert not shake(client, second, session).server_object.session_reused


def test_threat_2_no_session_outlives_a_change_of_trust() -> None:
    client = client_context(credentials(web()), "1.2")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    session = session_of(server_context(credentials(orders()), "1.2"), client)
    other = TestCA("demo.local").pem
    changed = server_context(credentials(orders(), trust_pem=other), "1.2")
    error = shake(client, changed, session).server
    assert error is not None
    assert reason_of(error)[0] is reasons.UNTRUSTED


# --- what is loaded -------------------------------------------------------------------------


def test_the_key_is_never_shown() -> None:
    shown = repr(credentials(web()))
    assert "PRIVATE" not in shown
    assert web().key_pem.decode().splitlines()[1] not in shown


BROKEN: list[tuple[str, dict[str, bytes], str]] = [
    ("foreign key", {"key_pem": orders().key_pem}, "does not belong"),
    ("no key", {"key_pem": b""}, "cannot be used"),
    ("no chain", {"chain_pem": b""}, "cannot be used"),
    ("torn chain", {"chain_pem": web().chain_pem[:200]}, "cannot be used"),
    ("no trust", {"trust_pem": b""}, "trust bundle cannot be read"),
    ("a leaf as trust", {"trust_pem": web().pem}, "no CA certificate"),
    ("no CRL", {"crl_pem": b""}, "revocation list cannot be read"),
    ("trust smuggled in", {"crl_pem": ca().crl() + TestCA().pem}, "would be trusted"),
    ("a certificate for a CRL", {"crl_pem": ca().pem}, "holds no CRL"),
]


@pytest.mark.parametrize(("bent", "words"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN])
def test_unusable_credentials_are_refused_in_words(bent: dict[str, bytes], words: str) -> None:
    good = credentials(web())
    parts = {
        "chain_pem": good.chain_pem, "key_pem": good.key_pem, "trust_pem": good.trust_pem,
        "crl_pem": None,
    }  # fmt: skip
    before = open_files()
    for make in (server_context, client_context):
        with pytest.raises(CredentialsError, match=words) as caught:
            make(Credentials(**(parts | bent)))  # type: ignore[arg-type]  # a dict of two types
        assert "BEGIN" not in str(caught.value)
    assert open_files() == before


def test_an_encrypted_key_is_refused_and_nobody_is_asked() -> None:
    sealed = web().key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    good = credentials(web())
    with pytest.raises(CredentialsError, match="cannot be used"):
        server_context(Credentials(good.chain_pem, sealed, good.trust_pem))


def test_threat_41_no_memory_file_is_left_open() -> None:
    before = open_files()
    client_context(credentials(web(), crl_pem=ca().crl()))
    assert open_files() == before


def open_files() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        if entry.is_symlink():
            found.add(f"{entry.name} {entry.readlink()}")
    return {name for name in found if "memfd" in name}


# --- reasons --------------------------------------------------------------------------------


def test_reasons_of_other_errors() -> None:
    assert reason_of(RefusedError(reasons.DENIED, "x")) == (reasons.DENIED, "x")
    assert reason_of(TimeoutError())[0] is reasons.HANDSHAKE_TIMEOUT
    assert reason_of(ConnectionResetError("gone")) == (reasons.HANDSHAKE_CLOSED, "gone")
    assert reason_of(ssl.SSLEOFError())[0] is reasons.HANDSHAKE_CLOSED
    assert reason_of(ssl.SSLError(1, "something"))[0] is reasons.HANDSHAKE_FAILED
    assert reason_of(KeyError("secret")) == (reasons.INTERNAL, "KeyError")
