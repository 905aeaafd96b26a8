"""The certificate factory itself: OpenSSL must believe its good ones and refuse its bad ones."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests import certs
from tests.certs import Leaf, TestCA


def handshake(client: Leaf, server: Leaf, *, crl: bytes = b"") -> None:
    """One mutual handshake in memory, verified against each other's roots; raises SSLError."""
    sides = []
    for leaf, other, role in (
        (client, server, ssl.PROTOCOL_TLS_CLIENT),
        (server, client, ssl.PROTOCOL_TLS_SERVER),
    ):
        context = ssl.SSLContext(role)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=other.trust_pem.decode())
        if crl:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
            with memory_file(crl) as path:  # cadata takes certificates only
                context.load_verify_locations(path)
        with memory_file(leaf.chain_pem + leaf.key_pem) as path:
            context.load_cert_chain(path)
        sides.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = sides[0].wrap_bio(to_client, to_server)
    b = sides[1].wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (a, b):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    b.write(b"x")
    assert a.read(1) == b"x"


@contextmanager
def memory_file(content: bytes) -> Iterator[str]:
    """A path to `content` that no disk ever sees."""
    fd = os.memfd_create("pem")
    try:
        os.write(fd, content)
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


@pytest.mark.parametrize("key", ["p256", "p384", "ed25519", "rsa2048"])
def test_good_certificates_shake_hands(key: str) -> None:
    ca = TestCA()
    handshake(ca.intermediate().leaf(key=key), ca.leaf(key=key))


def test_expired_certificate_is_refused() -> None:
    ca = TestCA()
    with pytest.raises(ssl.SSLError, match="expired"):
        handshake(ca.leaf(not_before=time.time() - 99, not_after=time.time() - 9), ca.leaf())


def test_foreign_certificate_is_refused() -> None:
    ca = TestCA()
    stranger = TestCA().leaf()
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        handshake(Leaf(stranger.cert, stranger.key, ca), ca.leaf())


def test_crls_of_the_whole_chain_let_the_unrevoked_in_and_the_revoked_not() -> None:
    ca = TestCA()
    inner = ca.intermediate()
    good, bad = inner.leaf(), inner.leaf()
    crl = inner.crls([bad])
    handshake(good, good, crl=crl)
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(bad, good, crl=crl)


def test_revoked_intermediate_is_on_the_roots_list() -> None:
    ca = TestCA()
    inner = ca.intermediate()
    leaf = inner.leaf()
    with pytest.raises(ssl.SSLError, match="revoked"):
        handshake(leaf, leaf, crl=inner.crls([inner]))


@pytest.mark.parametrize("name", ["sha1", "md5"])
def test_weak_signatures_are_really_there(name: str) -> None:
    ca = TestCA(key="rsa2048")
    leaf = ca.resign(ca.leaf(), lambda tbs: tbs, name)
    assert leaf.cert.signature_hash_algorithm is not None
    assert leaf.cert.signature_hash_algorithm.name == name
    assert isinstance(ca.key, rsa.RSAPrivateKey)
    ca.key.public_key().verify(
        leaf.cert.signature,
        leaf.cert.tbs_certificate_bytes,
        padding.PKCS1v15(),
        leaf.cert.signature_hash_algorithm,
    )


def test_secret_folder_swaps_in_one_rename(tmp_path: Path) -> None:
    ca = TestCA()
    first, second = ca.leaf(), ca.leaf()
    first.write_secret(tmp_path)
    before = (tmp_path / "..data").resolve()
    second.write_secret(tmp_path)
    assert (tmp_path / "..data").resolve() != before
    assert (tmp_path / "tls.crt").read_bytes() == second.chain_pem
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600


def test_key_never_shows_in_repr() -> None:
    leaf = TestCA().leaf()
    assert "PRIVATE" not in repr(leaf)
    assert certs.key_pem(leaf.key).startswith(b"-----BEGIN PRIVATE KEY-----")
