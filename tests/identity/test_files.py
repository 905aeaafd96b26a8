"""The identity folder: a good one is read whole, each fault names its file and its cure."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.core.x509 import Certificate
from sidecar.identity.files import (
    MAX_FILE_BYTES,
    IdentityError,
    fingerprint,
    load_identity,
    read_folder,
)
from tests.certs import Leaf, TestCA

NOW = time.time()
CA = TestCA()
INNER = CA.intermediate()
GOOD = INNER.leaf()


def refused(path: Path, name: str, problem: str, trust_domain: str | None = None) -> IdentityError:
    with pytest.raises(IdentityError, match=problem) as caught:
        load_identity(path, NOW, trust_domain)
    assert caught.value.path == path / name
    assert str(caught.value).startswith(f"{path / name}: ")
    assert caught.value.hint
    assert "PRIVATE" not in str(caught.value)
    return caught.value


def test_good_folder(tmp_path: Path) -> None:
    GOOD.write_folder(tmp_path)
    identity = load_identity(tmp_path, NOW, "demo.local")
    assert str(identity.spiffe_id) == "spiffe://demo.local/ns/shop/sa/web"
    assert identity.trust_domain == "demo.local"
    assert identity.leaf == Certificate.parse(GOOD.der)
    assert identity.credentials.chain_pem == GOOD.chain_pem
    assert identity.credentials.key_pem == GOOD.key_pem
    assert identity.credentials.trust_pem == CA.pem
    assert identity.credentials.crl_pem is None
    assert identity.fingerprint == fingerprint(tmp_path)
    assert identity.revoked == frozenset()
    assert identity.warnings == ()


def test_mounted_secret(tmp_path: Path) -> None:
    crl = INNER.crls()
    GOOD.write_secret(tmp_path, crl=crl)
    identity = load_identity(tmp_path, NOW)
    assert identity.credentials.crl_pem == crl
    assert identity.warnings == ()


def test_private_key_never_shows(tmp_path: Path) -> None:
    """Threat class 41."""
    identity = load_identity(GOOD.write_folder(tmp_path), NOW)
    body = GOOD.key_pem.splitlines()[1].decode()
    for shown in (repr(identity), str(identity.view()), repr(identity.credentials)):
        assert "PRIVATE" not in shown
        assert body not in shown


def test_view_is_for_operators(tmp_path: Path) -> None:
    crl = INNER.crls([INNER.leaf(), INNER.leaf()])
    view = load_identity(GOOD.write_folder(tmp_path, crl=crl), NOW).view()
    assert view["spiffe_id"] == "spiffe://demo.local/ns/shop/sa/web"
    assert view["serial"] == f"{GOOD.cert.serial_number:x}"
    assert view["not_after"] == GOOD.cert.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (view["key"], view["revoked"], view["checks_revocation"]) == ("P-256", 2, True)


def test_view_names_a_key_without_a_curve(tmp_path: Path) -> None:
    leaf = CA.leaf(key="ed25519")
    assert load_identity(leaf.write_folder(tmp_path), NOW).view()["key"] == "ed25519"


# --- files ---


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    (GOOD.write_folder(tmp_path) / name).unlink()
    assert "pki issue" in refused(tmp_path, name, "no such file").hint


def test_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "none", "tls.crt", "no such file")


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt", "crl.pem"])
def test_dangling_link(tmp_path: Path, name: str) -> None:
    """A `crl.pem` that leads nowhere is not the same as none: revocation was wanted."""
    GOOD.write_folder(tmp_path, crl=CA.crl())
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("nowhere")
    refused(tmp_path, name, "no such file")


@contextmanager
def without_privilege() -> Iterator[None]:
    """Root reads everything, so step down for a moment."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_unreadable_file(tmp_path: Path) -> None:
    GOOD.write_folder(tmp_path)
    (tmp_path / "tls.crt").chmod(0)
    with without_privilege():
        assert "chown" in refused(tmp_path, "tls.crt", "may not be read").hint


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_no_regular_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A pipe in place of a file must not hold up the proxy."""
    GOOD.write_folder(tmp_path)
    (tmp_path / "ca.crt").unlink()
    make(tmp_path / "ca.crt")
    refused(tmp_path, "ca.crt", "regular file|directory")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(tmp_path / "file", "tls.crt", "Not a directory")


def test_file_size_is_bounded(tmp_path: Path) -> None:
    GOOD.write_folder(tmp_path)
    room = MAX_FILE_BYTES - len(GOOD.chain_pem)
    (tmp_path / "tls.crt").write_bytes(b"#" * (room - 1) + b"\n" + GOOD.chain_pem)
    assert load_identity(tmp_path, NOW).leaf.der == GOOD.der
    (tmp_path / "tls.crt").write_bytes(b"#" * room + b"\n" + GOOD.chain_pem)
    refused(tmp_path, "tls.crt", "larger than")


# --- certificate ---


@pytest.mark.parametrize("content", [b"", b"hello", GOOD.key_pem])
def test_no_certificate(tmp_path: Path, content: bytes) -> None:
    (GOOD.write_folder(tmp_path) / "tls.crt").write_bytes(content)
    refused(tmp_path, "tls.crt", "no certificate")


def test_half_written_certificate(tmp_path: Path) -> None:
    (GOOD.write_folder(tmp_path) / "tls.crt").write_bytes(GOOD.chain_pem[:-40])
    refused(tmp_path, "tls.crt", "block is cut off")


def test_certificate_that_is_none(tmp_path: Path) -> None:
    broken = GOOD.pem + b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    (GOOD.write_folder(tmp_path) / "tls.crt").write_bytes(broken)
    assert "pki show" in refused(tmp_path, "tls.crt", "certificate 2: ").hint


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        pytest.param(CA.leaf(not_before=NOW - 99, not_after=NOW - 9), "E103", id="expired"),
        pytest.param(CA.leaf(not_before=NOW + 99), "E104", id="not yet"),
        pytest.param(CA.leaf(uris=[]), "E106", id="no identity"),
        pytest.param(CA.leaf(uris=["https://demo.local"]), "E108", id="other URI"),
        pytest.param(CA.leaf(ca=True), "E110", id="a CA"),
        pytest.param(CA.leaf(key_usage=None), "E111", id="no key usage"),
        pytest.param(CA.leaf(key="p224"), "E113", id="weak key"),
    ],
)
def test_what_a_peer_would_refuse(tmp_path: Path, leaf: Leaf, code: str) -> None:
    refused(leaf.write_folder(tmp_path), "tls.crt", f"no peer would accept it: MTLS-{code}")


def test_expired_intermediate(tmp_path: Path) -> None:
    inner = CA.intermediate(not_before=NOW - 99, not_after=NOW - 9)
    refused(inner.leaf().write_folder(tmp_path), "tls.crt", "MTLS-E103")


def test_wrong_trust_domain(tmp_path: Path) -> None:
    """Threat class 11."""
    GOOD.write_folder(tmp_path)
    assert load_identity(tmp_path, NOW, None).trust_domain == "demo.local"
    refused(tmp_path, "tls.crt", "not in the trust domain other.local", "other.local")


def test_chain_longer_than_a_peer_walks(tmp_path: Path) -> None:
    GOOD.write_folder(tmp_path)
    (tmp_path / "tls.crt").write_bytes(GOOD.pem + INNER.pem * 9)
    assert load_identity(tmp_path, NOW).warnings
    (tmp_path / "tls.crt").write_bytes(GOOD.pem + INNER.pem * 10)
    refused(tmp_path, "tls.crt", "11 certificates")


# --- key ---


def test_key_of_another_certificate(tmp_path: Path) -> None:
    """Threat class 41: a pair that was written apart is refused, not half used."""
    (GOOD.write_folder(tmp_path) / "tls.key").write_bytes(INNER.leaf().key_pem)
    assert "tls.crt" in refused(tmp_path, "tls.key", "does not belong").hint


@pytest.mark.parametrize("content", [b"", b"hello", GOOD.pem])
def test_no_key(tmp_path: Path, content: bytes) -> None:
    (GOOD.write_folder(tmp_path) / "tls.key").write_bytes(content)
    refused(tmp_path, "tls.key", "cannot be used")


def test_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    """OpenSSL would ask at the terminal, and the proxy would hang."""
    from cryptography.hazmat.primitives import serialization as s

    locked = GOOD.key.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret")
    )
    (GOOD.write_folder(tmp_path) / "tls.key").write_bytes(locked)
    assert "not encrypted" in refused(tmp_path, "tls.key", "cannot be used").hint


@pytest.mark.parametrize("mode", [0o640, 0o644, 0o604])
def test_key_that_others_may_read_is_a_warning(tmp_path: Path, mode: int) -> None:
    """Kubernetes mounts Secrets 0644 for fsGroup, so it cannot be an error."""
    GOOD.write_folder(tmp_path)
    assert load_identity(tmp_path, NOW).warnings == ()
    (tmp_path / "tls.key").chmod(mode)
    (warning,) = load_identity(tmp_path, NOW).warnings
    assert f"has mode {mode:04o}" in warning
    assert str(tmp_path / "tls.key") in warning


# --- trust ---


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_empty_bundle_trusts_nothing(tmp_path: Path, content: bytes) -> None:
    (GOOD.write_folder(tmp_path) / "ca.crt").write_bytes(content)
    refused(tmp_path, "ca.crt", "no certificate")


def test_bundle_of_leaves_trusts_nothing(tmp_path: Path) -> None:
    (GOOD.write_folder(tmp_path) / "ca.crt").write_bytes(GOOD.pem)
    refused(tmp_path, "ca.crt", "no CA certificate")


def test_bundle_of_two_roots(tmp_path: Path) -> None:
    (GOOD.write_folder(tmp_path) / "ca.crt").write_bytes(TestCA().pem + CA.pem)
    assert load_identity(tmp_path, NOW).warnings == ()


def test_chain_without_its_intermediate_is_a_warning(tmp_path: Path) -> None:
    (GOOD.write_folder(tmp_path) / "tls.crt").write_bytes(GOOD.pem)
    (warning,) = load_identity(tmp_path, NOW).warnings
    assert "ca.crt does not have" in warning


def test_chain_in_the_wrong_order_is_a_warning(tmp_path: Path) -> None:
    deep = INNER.intermediate().leaf()
    deep.write_folder(tmp_path)
    assert load_identity(tmp_path, NOW).warnings == ()
    (tmp_path / "tls.crt").write_bytes(deep.pem + INNER.pem + deep.issuer.pem)
    (warning,) = load_identity(tmp_path, NOW).warnings
    assert "certificate 2 did not issue certificate 1" in warning


def test_expired_root_is_a_warning(tmp_path: Path) -> None:
    old = TestCA(not_before=NOW - 99, not_after=NOW - 9)
    (GOOD.write_folder(tmp_path) / "ca.crt").write_bytes(CA.pem + old.pem)
    (warning,) = load_identity(tmp_path, NOW).warnings
    assert "has expired" in warning


# --- revocation ---


def test_revoked_pairs_of_issuer_and_serial(tmp_path: Path) -> None:
    bad = INNER.leaf()
    cert = Certificate.parse(bad.der)
    GOOD.write_folder(tmp_path, crl=INNER.crls([bad]))
    identity = load_identity(tmp_path, NOW)
    assert identity.revoked == {(cert.issuer, cert.serial)}
    assert identity.warnings == ()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(CA.crl()[:-30], id="cut off"),
        pytest.param(CA.crl() + CA.pem, id="with a certificate, which OpenSSL would trust"),
        pytest.param(b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", id="no CRL"),
    ],
)
def test_unusable_revocation_list(tmp_path: Path, content: bytes) -> None:
    """Threat class 15: a broken list is an error, never the same as no list."""
    GOOD.write_folder(tmp_path, crl=content)
    assert "pki crl" in refused(tmp_path, "crl.pem", "CRL|element").hint


def test_expired_revocation_list_is_a_warning(tmp_path: Path) -> None:
    """It fails closed in the handshake; refusing it here would hold up a renewed certificate."""
    crl = CA.crl() + INNER.crl(this_update=NOW - 99, next_update=NOW - 9)
    (warning,) = load_identity(GOOD.write_folder(tmp_path, crl=crl), NOW).warnings
    assert "has expired" in warning


def test_missing_revocation_list_of_an_issuer_is_a_warning(tmp_path: Path) -> None:
    (warning,) = load_identity(GOOD.write_folder(tmp_path, crl=CA.crl()), NOW).warnings
    assert "there is no list of CN=intermediate" in warning


def test_own_revocation_is_a_warning(tmp_path: Path) -> None:
    """The peers refuse us now; that is no reason to keep on trusting the others on the list."""
    identity = load_identity(GOOD.write_folder(tmp_path, crl=INNER.crls([GOOD])), NOW)
    assert len(identity.revoked) == 1
    (warning,) = identity.warnings
    assert "revokes the certificate of this workload" in warning


def test_serial_counts_with_its_issuer(tmp_path: Path) -> None:
    crl = INNER.crl() + CA.crl([GOOD.cert.serial_number])
    identity = load_identity(GOOD.write_folder(tmp_path, crl=crl), NOW)
    assert len(identity.revoked) == 1
    assert identity.warnings == ()


def test_revoked_intermediate_is_a_warning(tmp_path: Path) -> None:
    identity = load_identity(GOOD.write_folder(tmp_path, crl=INNER.crls([INNER])), NOW)
    (warning,) = identity.warnings
    assert "revokes CN=intermediate" in warning


def test_read_folder_checks_nothing(tmp_path: Path) -> None:
    (GOOD.write_folder(tmp_path) / "tls.crt").write_bytes(b"hello")
    assert read_folder(tmp_path).chain_pem == b"hello"
