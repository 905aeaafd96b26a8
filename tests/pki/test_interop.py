"""Other people's judgement: openssl's verifier, pkilint, and a TLS handshake."""

from __future__ import annotations

import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import build
from pki.build import Revoked
from pki.keys import KeyType, private_pem
from pki.names import SpiffeID
from pki.profile import Profile, Request, parse_ip
from tests.certs import TestCA
from tests.pki.kit import DAY, NOW, ORDERS, WEB, Chain, chain, key, make_chain, serial
from tests.pki.tools import lint_certificate, lint_crl, needs_openssl, openssl, write_pem

KEY_TYPES = [KeyType.P256, KeyType.P384, KeyType.ED25519, KeyType.RSA2048]
STRICT = ("shop.example.com",)
NAMES = Request(WEB, ("orders", "localhost", "web.demo.local"), (parse_ip("127.0.0.1"),))
PRIVATE_NAMES = Request(WEB, ("web.demo.local", "a.demo.local"), (parse_ip("10.0.0.1"),))
STRICT_NAMES = Request(WEB, ("web.demo.local", "a.shop.example.com"), (parse_ip("10.0.0.1"),))


def verify(
    folder: Path, ca: Chain, leaf: x509.Certificate, *options: str, untrusted: bool = True
) -> tuple[int, str]:
    """openssl verify of `leaf` an hour after `NOW`."""
    root = write_pem(folder / "root.pem", ca.root.certificate)
    middle = write_pem(folder / "intermediate.pem", ca.issuer.certificate)
    made = write_pem(folder / "leaf.pem", leaf)
    chain_options = ["-untrusted", str(middle)] if untrusted else []
    when = ["-attime", str(int(NOW.timestamp()) + 3600)] if "-attime" not in options else []
    return openssl(
        "verify", "-x509_strict", "-policy_check", *when, *options,
        "-CAfile", root, *chain_options, made,
    )  # fmt: skip


@needs_openssl
@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_a_leaf_for_both_purposes(
    tmp_path: Path, key_type: KeyType, purpose: str
) -> None:
    ca = chain(key_type)
    leaf = ca.leaf(NAMES, leaf_key=key("leaf", key_type))
    assert verify(tmp_path, ca, leaf, "-purpose", purpose)[0] == 0
    assert verify(tmp_path, ca, leaf, "-purpose", "smimesign")[0] == 2


@needs_openssl
@pytest.mark.parametrize("host", ["orders", "localhost", "web.demo.local"])
def test_by_default_openssl_accepts_the_short_names_of_compose(tmp_path: Path, host: str) -> None:
    """Why DNS names are not constrained by default: no tree holds `orders` (`pki.profile`)."""
    leaf = chain().leaf(NAMES)
    assert verify(tmp_path, chain(), leaf, "-verify_hostname", host)[0] == 0
    assert verify(tmp_path, chain(), leaf, "-verify_hostname", "other")[0] == 2


@needs_openssl
def test_openssl_accepts_names_within_dns_constraints(tmp_path: Path) -> None:
    ca = chain(permit_dns=STRICT)
    assert verify(tmp_path, ca, ca.leaf(STRICT_NAMES))[0] == 0


@needs_openssl
@pytest.mark.parametrize(
    ("permit", "request_", "complaint"),
    [
        ((), Request(SpiffeID.parse("spiffe://evil.local/a")), "permitted subtree violation"),
        ((), Request(SpiffeID.parse("spiffe://sub.demo.local/a")), "permitted subtree violation"),
        (STRICT, Request(WEB, ("orders",)), "permitted subtree violation"),
        (STRICT, Request(WEB, ("evil.com",)), "permitted subtree violation"),
        (STRICT, Request(WEB, (), (parse_ip("8.8.8.8"),)), "permitted subtree violation"),
    ],
)
def test_openssl_refuses_what_a_stolen_intermediate_signs_beyond_its_constraints(
    tmp_path: Path, permit: tuple[str, ...], request_: Request, complaint: str
) -> None:
    """Name constraints (threat class 12): the belt that holds when our own linter is not asked."""
    ca = chain(permit_dns=permit)
    thief = TestCA("demo.local")
    thief.key, thief.cert = ca.issuer.key, ca.issuer.certificate
    leaf = thief.leaf(
        str(request_.spiffe_id),
        dns=request_.dns,
        ips=[str(ip) for ip in request_.ips],
        not_before=NOW.timestamp(),
        not_after=NOW.timestamp() + 86400,
    ).cert
    code, said = verify(tmp_path, ca, leaf)
    assert (code, complaint in said) == (2, True)


@needs_openssl
@pytest.mark.parametrize(
    ("offset", "complaint"),
    [(timedelta(seconds=-61), "not yet valid"), (DAY + timedelta(seconds=1), "has expired")],
)
def test_openssl_refuses_a_leaf_out_of_its_time(
    tmp_path: Path, offset: timedelta, complaint: str
) -> None:
    moment = str(int((NOW + offset).timestamp()))
    code, said = verify(tmp_path, chain(), chain().leaf(), "-attime", moment)
    assert (code, complaint in said) == (2, True)


@needs_openssl
def test_openssl_refuses_a_leaf_without_its_intermediate(tmp_path: Path) -> None:
    assert verify(tmp_path, chain(), chain().leaf(), untrusted=False)[0] == 2


@needs_openssl
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_openssl_reads_the_crls_of_both_issuers(tmp_path: Path, key_type: KeyType) -> None:
    ca = chain(key_type)
    good, bad = ca.leaf(), ca.leaf()
    line = Revoked(bad.serial_number, NOW, x509.ReasonFlags.key_compromise)
    both = [
        build.crl(ca.issuer, [line], 1, NOW, NOW + DAY),
        build.crl(ca.root, [], 1, NOW, NOW + DAY),
    ]
    crls = str(write_pem(tmp_path / "crl.pem", *both))
    options = ("-crl_check_all", "-CRLfile", crls)
    assert verify(tmp_path, ca, good, *options)[0] == 0
    code, said = verify(tmp_path, ca, bad, *options)
    assert (code, "certificate revoked" in said) == (2, True)


@needs_openssl
def test_a_revoked_intermediate_takes_its_leaves_with_it(tmp_path: Path) -> None:
    """CRLs (threat class 15)."""
    ca = chain()
    line = Revoked(ca.issuer.certificate.serial_number, NOW, None)
    both = [
        build.crl(ca.issuer, [], 1, NOW, NOW + DAY),
        build.crl(ca.root, [line], 1, NOW, NOW + DAY),
    ]
    crls = str(write_pem(tmp_path / "crl.pem", *both))
    code, said = verify(tmp_path, ca, ca.leaf(), "-crl_check_all", "-CRLfile", crls)
    assert (code, "certificate revoked" in said) == (2, True)


@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("permit", [(), STRICT])
def test_pkilint_finds_no_error_in_any_certificate(
    key_type: KeyType, permit: tuple[str, ...]
) -> None:
    ca = chain(key_type, permit)
    leaf = ca.leaf(PRIVATE_NAMES, leaf_key=key("leaf", key_type))
    for made in (ca.root.certificate, ca.issuer.certificate, leaf):
        assert lint_certificate(made) == []


def test_pkilint_wants_a_dot_in_dns_names_and_nothing_else() -> None:
    """`orders` is a domain name (RFC 1034 section 3.5); pkilint's check is for public ones."""
    assert lint_certificate(chain().leaf(NAMES)) == ["pkix.invalid_domain_name_syntax"] * 2


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_pkilint_finds_no_error_in_a_crl(key_type: KeyType) -> None:
    reasons = [None, x509.ReasonFlags.key_compromise, x509.ReasonFlags.superseded]
    lines = [Revoked(serial(), NOW, reason) for reason in reasons]
    for issuer in (chain(key_type).issuer, chain(key_type).root):
        assert lint_crl(build.crl(issuer, lines, 5, NOW, NOW + DAY)) == []
        assert lint_crl(build.crl(issuer, [], 0, NOW, NOW + DAY)) == []


def test_pkilint_would_have_found_one() -> None:
    """The twin: it does look."""
    odd = TestCA(key_usage=("digital_signature",), path_length=3)
    assert lint_certificate(odd.cert) != []


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_two_workloads_shake_hands(tmp_path: Path, key_type: KeyType) -> None:
    ca = live(key_type)
    web = context(tmp_path / "web", ca, WEB, trusted=ca)
    orders = context(tmp_path / "orders", ca, ORDERS, trusted=ca, server=True)
    assert handshake(web, orders) == (str(ORDERS), str(WEB))


def test_two_workloads_of_different_cas_do_not(tmp_path: Path) -> None:
    ca, other = live(KeyType.P256), live(KeyType.P384)
    web = context(tmp_path / "web", ca, WEB, trusted=other)
    orders = context(tmp_path / "orders", ca, ORDERS, trusted=ca, server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(web, orders)


def live(key_type: KeyType) -> Chain:
    """A CA of this moment: the `ssl` module takes the time from the machine."""
    return make_chain(Profile("demo.local"), key_type, datetime.now(UTC))


def context(
    folder: Path, ca: Chain, spiffe_id: SpiffeID, *, trusted: Chain, server: bool = False
) -> ssl.SSLContext:
    folder.mkdir()
    leaf = ca.leaf(Request(spiffe_id), datetime.now(UTC))
    crt = write_pem(folder / "tls.crt", leaf, ca.issuer.certificate)
    (folder / "tls.key").write_bytes(private_pem(key()))
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(crt, folder / "tls.key")
    made.load_verify_locations(write_pem(folder / "ca.crt", trusted.root.certificate))
    return made


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[str, str]:
    """Shake hands in memory; return the URI names that client and server saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for end in ends * 3:
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return uri(ends[0]), uri(ends[1])


def uri(end: ssl.SSLObject) -> str:
    certificate = x509.load_der_x509_certificate(end.getpeercert(binary_form=True) or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
