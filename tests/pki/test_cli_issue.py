"""`pki init`, `issue`, `sign`, `renew`, `revoke`, `rotate`, as an operator types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.certs import key_pem
from tests.pki.kit import DAY, HOUR
from tests.pki.terminal import WEB, Pki

ISSUE = ("issue", "--spiffe-id", WEB)


def mode(path: str | Path) -> int:
    return Path(path).stat().st_mode & 0o777


def leaf(path: str | Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(Path(path).read_bytes())[0]


def test_three_commands_lead_from_nothing_to_a_verified_certificate(bare: Pki) -> None:
    made = bare.ok("init", "--dir", bare.ca, "--trust-domain", "demo.local")
    assert "hint: pki issue" in made.err
    assert f"issued {WEB}" in bare.issue().out
    assert bare.ok("verify", bare.path("web")).out.startswith(f"{bare.path('web/tls.crt')}: ok")


def test_a_folder_has_the_names_of_a_kubernetes_secret_and_a_closed_key(pki: Pki) -> None:
    done = pki.issue("web", "--dns", "web", "--ip", "10.0.0.7", "--ttl", "12h")
    for name in ("tls.crt", "tls.key", "ca.crt"):
        assert pki.path(f"web/{name}") in done.out
    assert [mode(pki.path(f"web/{n}")) for n in ("tls.key", "tls.crt")] == [0o600, 0o644]
    cert = leaf(pki.path("web/tls.crt"))
    assert cert.not_valid_after_utc == pki.now + 12 * HOUR
    key = serialization.load_pem_private_key(Path(pki.path("web/tls.key")).read_bytes(), None)
    assert key.public_key() == cert.public_key()


def test_json_names_the_files_and_holds_no_key(pki: Pki) -> None:
    done = pki.issue("web", "--json")
    assert done.json["spiffe_id"] == WEB
    assert done.json["files"] == [pki.path(f"web/{n}") for n in ("ca.crt", "tls.crt", "tls.key")]
    assert "PRIVATE" not in done.out + done.err


@pytest.mark.parametrize("kind", ["p256", "p384", "ed25519", "rsa2048"])
def test_key_types(pki: Pki, kind: str) -> None:
    assert pki.issue("web", "--key-type", kind, "--json").json["key_type"] == kind
    pki.ok("verify", pki.path("web"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--spiffe-id", "spiffe://other.local/a"), "not in the trust domain demo.local"),
        (("--spiffe-id", WEB, "--dns", "example.com"), "outside of what this CA signs"),
        (("--spiffe-id", WEB, "--ttl", "91d"), "ttl is 91d; 1s to 90d is allowed"),
        (("--spiffe-id", WEB, "--ttl", "0s"), "ttl is 0s"),
    ],
)
def test_what_the_profile_forbids_is_refused_and_writes_nothing(
    pki: Pki, words: tuple[str, ...], message: str
) -> None:
    done = pki.run("issue", "--dir", pki.ca, *words, "--out", pki.path("web"))
    assert done.code == 1
    assert message in done.err
    assert not Path(pki.path("web")).exists()
    assert pki.ok("ls", "--dir", pki.ca, "--role", "leaf").out == ""


def test_a_place_that_cannot_take_it_is_seen_before_anything_is_issued(pki: Pki) -> None:
    Path(pki.path("file")).write_text("x")
    Path(pki.path("folder")).mkdir()
    for out, more, message in (
        ("file", (), "is a file, but a folder is to be written"),
        ("folder", ("--format", "k8s-secret", "--name", "x"), "is a folder, but a file"),
        ("no/file", ("--format", "k8s-secret", "--name", "x"), "there is no folder"),
        ("file/web", (), "is a file, so nothing can be below it"),
    ):
        done = pki.run(*ISSUE, "--dir", pki.ca, "--out", pki.path(out), *more)
        assert done.code == 1
        assert message in done.err
    assert pki.ok("ls", "--dir", pki.ca, "--role", "leaf").out == ""


def test_a_ca_is_never_overwritten(pki: Pki) -> None:
    before = Path(pki.ca, "root", "ca.crt").read_bytes()
    done = pki.run("init", "--dir", pki.ca, "--trust-domain", "demo.local")
    assert done.code == 1
    assert "holds a CA already" in done.err
    assert Path(pki.ca, "root", "ca.crt").read_bytes() == before


def test_init_takes_names_and_life_times(bare: Pki) -> None:
    bare.init("--permit-dns", "shop.example.com", "--max-ttl", "1h", "--json")
    bare.issue("web", "--dns", "a.shop.example.com")
    assert leaf(bare.path("web/tls.crt")).not_valid_after_utc == bare.now + HOUR
    longer = bare.run(*ISSUE, "--dir", bare.ca, "--ttl", "61m", "--out", bare.path("x"))
    assert "1h is allowed" in longer.err


def csr(*names: x509.GeneralName) -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM), key


def test_sign_prints_the_chain_and_certifies_the_request_s_key(pki: Pki) -> None:
    request, key = csr()
    done = pki.ok("sign", "--dir", pki.ca, "--csr", "-", "--spiffe-id", WEB, stdin=request)
    chain = x509.load_pem_x509_certificates(done.out.encode())
    assert chain[0].public_key() == key.public_key()
    assert len(chain) == 2


def test_sign_into_a_folder_writes_no_key_and_keeps_the_request_s_own(pki: Pki) -> None:
    request, key = csr()
    Path(pki.path("a.csr")).write_bytes(request)
    words = ("sign", "--dir", pki.ca, "--csr", pki.path("a.csr"), "--spiffe-id", WEB)
    pki.ok(*words, "--out", pki.path("new"))
    assert not Path(pki.path("new/tls.key")).exists()

    Path(pki.path("own")).mkdir()
    Path(pki.path("own/tls.key")).write_bytes(key_pem(key))
    pki.ok(*words, "--out", pki.path("own"))
    pki.ok("verify", pki.path("own"))
    assert Path(pki.path("own/tls.key")).read_bytes() == key_pem(key)
    assert mode(pki.path("own/tls.key")) == 0o600


def test_sign_does_not_put_a_certificate_beside_another_s_key(pki: Pki) -> None:
    pki.issue("web")
    before = Path(pki.path("web/tls.key")).read_bytes()
    words = ("sign", "--dir", pki.ca, "--csr", "-", "--spiffe-id", WEB, "--out", pki.path("web"))
    done = pki.run(*words, stdin=csr()[0])
    assert done.code == 1
    assert "is not the key of this request" in done.err
    assert Path(pki.path("web/tls.key")).read_bytes() == before


def test_threat_33_a_request_gets_no_names_that_were_not_ordered(pki: Pki) -> None:
    request, _ = csr(x509.DNSName("admin.demo.local"))
    words = ("sign", "--dir", pki.ca, "--csr", "-", "--spiffe-id", WEB)
    refused = pki.run(*words, stdin=request)
    assert (refused.code, refused.out) == (1, "")
    pki.ok(*words, "--dns", "admin.demo.local", stdin=request)


@pytest.mark.parametrize("size", [0, 16 * 1024 + 1])
def test_threat_33_empty_and_oversized_requests_are_refused(pki: Pki, size: int) -> None:
    words = ("sign", "--dir", pki.ca, "--csr", "-", "--spiffe-id", WEB)
    done = pki.run(*words, stdin=b"x" * size)
    assert done.code == 1
    assert done.err.startswith("pki: ")


def test_renew_writes_into_the_same_folder_with_a_new_key_and_serial(pki: Pki) -> None:
    pki.issue("web", "--dns", "web", "--ttl", "12h")
    before, key = pki.serial(), Path(pki.path("web/tls.key")).read_bytes()
    pki.wait(6 * HOUR)
    pki.ok("renew", "--dir", pki.ca, pki.path("web"))
    assert pki.serial() != before
    assert Path(pki.path("web/tls.key")).read_bytes() != key
    assert leaf(pki.path("web/tls.crt")).not_valid_after_utc == pki.now + 12 * HOUR
    pki.ok("verify", pki.path("web"))


def test_renew_by_serial_needs_a_place(pki: Pki) -> None:
    pki.issue()
    serial = pki.serial()
    done = pki.run("renew", "--dir", pki.ca, serial)
    assert done.code == 2
    assert "hint: add --out PATH" in done.err
    pki.ok("renew", "--dir", pki.ca, serial, "--out", pki.path("again"), "--key-type", "p384")
    assert pki.ok("verify", pki.path("again")).code == 0


def test_a_revoked_certificate_is_found_by_verify_and_not_renewed(pki: Pki) -> None:
    pki.issue()
    done = pki.ok("revoke", "--dir", pki.ca, pki.path("web"), "--reason", "keyCompromise")
    assert "keyCompromise" in done.out
    assert "hint: pki crl" in done.err
    pki.ok("crl", "--dir", pki.ca, "--out", pki.path("web/crl.pem"))
    verdict = pki.run("verify", pki.path("web"))
    assert verdict.code == 3
    assert "revoked" in verdict.out
    assert "keyCompromise" in verdict.out
    assert pki.run("renew", "--dir", pki.ca, pki.path("web")).code == 1
    assert pki.run("revoke", "--dir", pki.ca, pki.path("web")).code == 1


def test_revoke_by_serial_takes_colons_and_capitals(pki: Pki) -> None:
    pki.issue()
    serial = pki.serial().upper()
    typed = ":".join(serial[at : at + 2] for at in range(0, len(serial), 2))
    assert pki.ok("revoke", "--dir", pki.ca, typed, "--json").json["reason"] == "unspecified"


def test_rotate_makes_a_new_issuer_and_old_leaves_stay_good(pki: Pki) -> None:
    pki.issue("old")
    pki.ok("rotate", "--dir", pki.ca)
    made = pki.ok("rotate", "--dir", pki.ca, "--json").json
    assert made["role"] == "intermediate"
    assert pki.issue("new", "--json").json["issuer"] == made["serial"]
    pki.ok("verify", pki.path("old"))
    pki.ok("verify", pki.path("new"))


def test_the_passphrase_comes_from_a_file_or_a_keyboard(bare: Pki) -> None:
    bare.ok(
        "init", "--dir", bare.ca, "--trust-domain", "demo.local", "--passphrase",
        typed=["horse", "horse"],
    )  # fmt: skip
    assert b"ENCRYPTED" in Path(bare.ca, "root", "ca.key").read_bytes()
    words = (*ISSUE, "--dir", bare.ca, "--out", bare.path("web"))
    nobody = bare.run(*words)
    assert nobody.code == 1
    assert "hint: give the passphrase with --passphrase-file" in nobody.err
    assert bare.run(*words, typed=["donkey"]).code == 1
    assert bare.run(*words, typed=["horse"]).code == 0

    Path(bare.path("secret")).write_text("horse\nsecond line\n")
    assert bare.run(*words, "--passphrase-file", bare.path("secret")).code == 0
    Path(bare.path("secret")).write_text("\n")
    assert "is empty" in bare.run(*words, "--passphrase-file", bare.path("secret")).err
    bare.ok("ls", "--dir", bare.ca)  # needs no key


@pytest.mark.parametrize(
    ("typed", "message"), [(["a", "b"], "two passphrases differ"), ([""], "passphrase is empty")]
)
def test_a_new_passphrase_is_typed_twice(bare: Pki, typed: list[str], message: str) -> None:
    words = ("init", "--dir", bare.ca, "--trust-domain", "demo.local", "--passphrase")
    done = bare.run(*words, typed=typed)
    assert done.code == 1
    assert message in done.err
    assert not Path(bare.ca).exists()


def test_only_revoking_an_intermediate_asks_for_the_passphrase(bare: Pki) -> None:
    words = ("init", "--dir", bare.ca, "--trust-domain", "demo.local", "--passphrase")
    bare.ok(*words, typed=["horse", "horse"])
    bare.ok(*ISSUE, "--dir", bare.ca, "--out", bare.path("web"), typed=["horse"])
    bare.ok("revoke", "--dir", bare.ca, bare.path("web"), typed=[])
    listed = bare.ok("ls", "--dir", bare.ca, "--role", "intermediate", "--json").json
    serial = listed["certificates"][0]["serial"]
    assert bare.run("revoke", "--dir", bare.ca, serial).code == 1
    bare.ok("revoke", "--dir", bare.ca, serial, typed=["horse"])


def test_no_passphrase_or_key_ever_appears_in_what_is_printed(bare: Pki) -> None:
    Path(bare.path("secret")).write_text("correct horse\n")
    secret = ("--passphrase-file", bare.path("secret"))
    bare.init(*secret)
    done = bare.issue("web", *secret)
    wrong = bare.run(*ISSUE, "--dir", bare.ca, "--out", bare.path("x"), typed=["correct donkey"])
    said = done.out + done.err + wrong.out + wrong.err
    assert "horse" not in said
    assert "donkey" not in said
    assert "PRIVATE KEY" not in said


def test_a_disk_that_fails_after_the_issue_names_the_serial(pki: Pki) -> None:
    out = pki.path("web")
    Path(out, "..data", "in the way").mkdir(parents=True)  # where the folder's link should go
    done = pki.run(*ISSUE, "--dir", pki.ca, "--out", out)
    assert done.code == 1
    (entry,) = json.loads(pki.ok("ls", "--dir", pki.ca, "--role", "leaf", "--json").out)[
        "certificates"
    ]
    assert f"pki: {entry['serial']} is issued and recorded, but cannot be written" in done.err
    assert f"`pki revoke --dir {pki.ca} {entry['serial']}`" in done.err


def test_expired_certificates_can_be_renewed(pki: Pki) -> None:
    pki.issue()
    pki.wait(2 * DAY)
    assert pki.run("verify", pki.path("web")).code == 3
    pki.ok("renew", "--dir", pki.ca, pki.path("web"))
    assert pki.run("verify", pki.path("web")).code == 0
