"""OpenSSL as a second opinion: what it refuses is refused here, what it takes is taken."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certs import HOUR, Leaf, Options, TestCA
from tests.pki.verdicts import Ask, judge

pytestmark = pytest.mark.tool("openssl")

HERE = x509.NameConstraints([x509.UniformResourceIdentifier("demo.local")], None)
THERE = x509.NameConstraints([x509.UniformResourceIdentifier("other.local")], None)
CODE = (ExtendedKeyUsageOID.CODE_SIGNING,)


def openssl(leaf: Leaf, folder: Path, crls: bytes = b"") -> bool:
    """Whether `openssl verify` takes the chain for a TLS server."""
    files = {"leaf.pem": leaf.pem, "above.pem": leaf.chain_pem, "root.pem": leaf.trust_pem}
    for name, content in {**files, "crl.pem": crls}.items():
        (folder / name).write_bytes(content)
    command = ["openssl", "verify", "-purpose", "sslserver", "-CAfile", "root.pem"]
    if crls:
        command += ["-crl_check_all", "-CRLfile", "crl.pem"]
    command += ["-untrusted", "above.pem", "leaf.pem"]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


CASES: list[tuple[Options, Options, bool]] = [
    ({}, {}, True),
    ({"path_length": 0}, {"dns": ("web.demo.local",)}, True),
    ({"extensions": ((HERE, True),)}, {}, True),
    ({"extensions": ((THERE, True),)}, {}, False),
    ({"ca": False}, {}, False),
    ({"key_usage": ("crl_sign",)}, {}, False),
    ({"not_before": time.time() + HOUR, "not_after": time.time() + 2 * HOUR}, {}, False),
    ({"eku": CODE}, {}, False),
    ({}, {"eku": CODE}, False),
    ({}, {"not_before": time.time() - 2 * HOUR, "not_after": time.time() - HOUR}, False),
    ({}, {"not_before": time.time() + HOUR, "not_after": time.time() + 2 * HOUR}, False),
    ({}, {"key_usage": ("key_cert_sign",)}, False),
]


@pytest.mark.parametrize(("above", "below", "good"), CASES)
def test_both_say_the_same(above: Options, below: Options, good: bool, tmp_path: Path) -> None:
    leaf = TestCA().intermediate(**above).leaf(**below)
    assert openssl(leaf, tmp_path) is good
    assert judge(leaf).ok is good


@pytest.mark.parametrize("which", ["nothing", "leaf", "intermediate"])
def test_both_say_the_same_of_revoked_certificates(which: str, tmp_path: Path) -> None:
    ca = TestCA().intermediate()
    leaf = ca.leaf()
    revoked: dict[str, list[Leaf | TestCA]] = {"leaf": [leaf], "intermediate": [ca]}
    crls = ca.crls(revoked.get(which, []))
    assert openssl(leaf, tmp_path, crls) is (which == "nothing")
    assert judge(leaf, Ask(crls=crls)).ok is (which == "nothing")


@pytest.mark.parametrize(
    "flaw",
    [
        Options(uris=()),
        Options(uris=("spiffe://demo.local/a", "spiffe://demo.local/b")),
        Options(uris=("spiffe://demo.local",)),
        Options(uris=("spiffe://other.local/a",)),
        Options(key_usage=("digital_signature", "key_cert_sign")),
        Options(key_usage=None),
        Options(eku=(ExtendedKeyUsageOID.SERVER_AUTH,)),
    ],
)
def test_spiffe_rules_are_ours_alone(flaw: Options, tmp_path: Path) -> None:
    """What OpenSSL lets through and a verifier of SVIDs must not (threats, section 2)."""
    leaf = TestCA().intermediate().leaf(**flaw)
    assert openssl(leaf, tmp_path)
    assert not judge(leaf).ok
