"""Revoking, CRLs of each issuer, rotation of the issuing CA, and the bundle."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki import build, view
from pki.authority import REASONS, Authority
from pki.bundle import spiffe_bundle
from pki.errors import AuthorityError, PassphraseError
from pki.keys import KeyType
from pki.lint import Role
from pki.profile import Profile, Request
from pki.store import Query, Store
from tests.pki.kit import DAY, HOUR, NOW, ORDERS, WEB, chain, key, serial
from tests.pki.tools import lint_certificate, lint_crl, needs_openssl, openssl, write_pem

PROFILE = Profile("demo.local")
SECOND = timedelta(seconds=1)


def root_key(tmp_path: Path) -> Path:
    return tmp_path / "ca" / "root" / "ca.key"


def serials(crl: x509.CertificateRevocationList) -> list[str]:
    return [f"{line.serial_number:040x}" for line in crl]


def number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


# --- revoke -----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS)
def test_a_leaf_is_revoked_for_a_reason(ca: Authority, reason: str) -> None:
    made = ca.issue(Request(WEB), NOW)
    found = ca.revoke(made.entry.serial, NOW + HOUR, reason)
    assert (found.revoked_at, found.reason) == (NOW + HOUR, reason)
    (line,) = ca.crls(NOW + HOUR)[0]
    written = [e.value.reason.value for e in line.extensions if isinstance(e.value, x509.CRLReason)]
    assert written == ([] if reason == "unspecified" else [reason])


@pytest.mark.parametrize("reason", ["certificateHold", "removeFromCRL", "", "KEYCOMPROMISE"])
def test_another_reason_is_refused(ca: Authority, reason: str) -> None:
    made = ca.issue(Request(WEB), NOW)
    with pytest.raises(AuthorityError, match="is not a reason"):
        ca.revoke(made.entry.serial, NOW, reason)
    assert ca.find(made.entry.serial).revoked_at is None


def test_what_is_revoked_stays_so_with_its_first_reason(ca: Authority) -> None:
    made = ca.issue(Request(WEB), NOW)
    ca.revoke(made.entry.serial, NOW, "keyCompromise")
    with pytest.raises(AuthorityError, match=r"is revoked already \(keyCompromise\)"):
        ca.revoke(made.entry.serial, NOW + HOUR, "superseded")
    assert ca.find(made.entry.serial).revoked_at == NOW


def test_a_root_and_an_unknown_certificate_are_not_revoked(ca: Authority) -> None:
    (root,) = ca.ls(Query(role=Role.ROOT)).entries
    with pytest.raises(AuthorityError, match="taken out of every trust bundle"):
        ca.revoke(root.serial, NOW)
    with pytest.raises(AuthorityError, match="no certificate has"):
        ca.revoke("12", NOW)


def test_a_revoked_intermediate_issues_nothing_until_the_next_is_made(ca: Authority) -> None:
    (parent,) = ca.ls(Query(role=Role.INTERMEDIATE)).entries
    ca.revoke(parent.serial, NOW, "cACompromise")
    with pytest.raises(AuthorityError, match="the issuing CA is revoked") as caught:
        ca.issue(Request(WEB), NOW)
    assert "pki rotate" in caught.value.hints[0]
    ca.rotate(NOW)
    assert ca.issue(Request(WEB), NOW).entry.issuer != parent.serial


def test_an_intermediate_is_not_revoked_while_no_crl_could_say_so(
    tmp_path: Path, ca: Authority
) -> None:
    root_key(tmp_path).rename(tmp_path / "offline")
    (parent,) = ca.ls(Query(role=Role.INTERMEDIATE)).entries
    with pytest.raises(AuthorityError, match=r"root/ca\.key is not there"):
        ca.revoke(parent.serial, NOW)
    assert ca.find(parent.serial).revoked_at is None


# --- CRLs -------------------------------------------------------------------------------------


def test_there_is_a_crl_for_each_issuer_and_each_lists_its_own(ca: Authority) -> None:
    good, bad = ca.issue(Request(WEB), NOW), ca.issue(Request(ORDERS), NOW)
    ca.revoke(bad.entry.serial, NOW)
    leaves, roots = ca.crls(NOW)
    assert (serials(leaves), serials(roots)) == ([bad.entry.serial], [])
    assert leaves.is_signature_valid(good.chain[1].public_key())  # type: ignore[arg-type]  # P-256
    assert roots.is_signature_valid(good.bundle[0].public_key())  # type: ignore[arg-type]  # P-256
    ca.revoke(good.entry.issuer, NOW)
    assert serials(ca.crls(NOW)[1]) == [good.entry.issuer]


def test_crl_numbers_only_rise_and_each_crl_is_in_the_log(ca: Authority) -> None:
    """RFC 5280 section 5.2.3."""
    numbers = [number(crl) for _ in range(3) for crl in ca.crls(NOW)]
    assert numbers == sorted(set(numbers))
    assert ca.verify_log().records == 3 + 6


def test_a_crl_lasts_as_the_profile_says(ca: Authority) -> None:
    leaves, roots = ca.crls(NOW + HOUR)
    assert leaves.next_update_utc == NOW + HOUR + PROFILE.crl_ttl
    assert roots.next_update_utc == NOW + HOUR + PROFILE.root_crl_ttl


def test_what_has_expired_leaves_the_crl_after_one_more(ca: Authority) -> None:
    """RFC 5280 section 3.3: an entry stays until a CRL was issued after its end."""
    made = ca.issue(Request(WEB, ttl=HOUR), NOW)
    ca.revoke(made.entry.serial, NOW)
    last = NOW + HOUR + PROFILE.crl_ttl
    assert serials(ca.crls(last)[0]) == [made.entry.serial]
    assert serials(ca.crls(last + SECOND)[0]) == []


def test_the_root_crl_is_served_while_the_key_is_away(tmp_path: Path, ca: Authority) -> None:
    signed = ca.crls(NOW)[1]
    root_key(tmp_path).rename(tmp_path / "offline")
    assert ca.crls(NOW + PROFILE.root_crl_ttl - SECOND)[1] == signed
    assert number(ca.crls(NOW)[0]) > number(signed)  # the intermediate's is new


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda path: path.unlink(), "it has left no CRL"),
        (lambda path: path.write_bytes(b"junk"), "it has left no CRL"),
    ],
)
def test_a_root_crl_that_is_missing_or_broken_is_not_left_out(
    tmp_path: Path, ca: Authority, prepare: object, message: str
) -> None:
    """CRLs (threat class 15): fail closed."""
    ca.crls(NOW)
    root_key(tmp_path).rename(tmp_path / "offline")
    assert callable(prepare)
    prepare(tmp_path / "ca" / "root" / "crl.pem")
    with pytest.raises(AuthorityError, match=message) as caught:
        ca.crls(NOW)
    assert "put root/ca.key back" in caught.value.hints[0]


def test_a_revoked_intermediate_is_in_the_root_crl_before_the_key_can_leave(
    tmp_path: Path, ca: Authority
) -> None:
    ca.crls(NOW)
    (parent,) = ca.ls(Query(role=Role.INTERMEDIATE)).entries
    ca.revoke(parent.serial, NOW)
    root_key(tmp_path).rename(tmp_path / "offline")
    assert serials(ca.crls(NOW)[1]) == [parent.serial]


def test_a_root_crl_that_says_less_than_is_known_is_not_served(
    tmp_path: Path, ca: Authority
) -> None:
    """Revoked intermediate (threat class 15): a crash, or a file from a backup."""
    ca.crls(NOW)
    path = tmp_path / "ca" / "root" / "crl.pem"
    older = path.read_bytes()
    (parent,) = ca.ls(Query(role=Role.INTERMEDIATE)).entries
    ca.revoke(parent.serial, NOW)
    root_key(tmp_path).rename(tmp_path / "offline")
    path.write_bytes(older)
    with pytest.raises(AuthorityError, match=f"its last CRL lacks {parent.serial}"):
        ca.crls(NOW)


def test_a_root_crl_of_another_signer_is_not_served(tmp_path: Path, ca: Authority) -> None:
    """Wrong signer (threat class 15)."""
    root_key(tmp_path).rename(tmp_path / "offline")
    write_pem(tmp_path / "ca" / "root" / "crl.pem", ca_crl(tmp_path / "other"))
    with pytest.raises(AuthorityError, match="is not its own"):
        ca.crls(NOW)


def ca_crl(folder: Path) -> x509.CertificateRevocationList:
    with Authority.create(folder, PROFILE, NOW) as other:
        return other.crls(NOW)[1]


def test_a_root_crl_that_has_expired_is_not_served(tmp_path: Path, ca: Authority) -> None:
    ca.crls(NOW)
    ca.rotate(NOW + 300 * DAY)  # so that there is a living intermediate by then
    root_key(tmp_path).rename(tmp_path / "offline")
    with pytest.raises(AuthorityError, match="its last CRL has expired"):
        ca.crls(NOW + PROFILE.root_crl_ttl)


# --- rotation ---------------------------------------------------------------------------------


def test_after_a_rotation_the_new_intermediate_signs_and_both_have_crls(ca: Authority) -> None:
    old = ca.issue(Request(WEB), NOW)
    made = ca.rotate(NOW + DAY, KeyType.P384)
    new = ca.issue(Request(WEB), NOW + DAY)
    assert (new.entry.issuer, made.key_type) == (made.serial, "p384")
    assert old.entry.issuer != made.serial
    assert new.bundle == old.bundle
    ca.revoke(old.entry.serial, NOW + DAY)
    first, second, _root = ca.crls(NOW + DAY)
    assert (serials(first), serials(second)) == ([old.entry.serial], [])
    new.certificate.verify_directly_issued_by(new.chain[1])


def test_another_process_uses_the_new_intermediate_at_once(tmp_path: Path, ca: Authority) -> None:
    before = ca.issue(Request(WEB), NOW)
    with Authority.open(tmp_path / "ca") as other:
        made = other.rotate(NOW)
    assert ca.issue(Request(WEB), NOW).entry.issuer == made.serial != before.entry.issuer


def test_an_expired_intermediate_has_no_crl_any_more(ca: Authority) -> None:
    ca.rotate(NOW + 300 * DAY)
    later = NOW + PROFILE.intermediate_ttl
    assert len(ca.crls(later - SECOND)) == 3
    assert len(ca.crls(later)) == 2


def test_what_an_interrupted_rotation_left_is_not_used(tmp_path: Path, ca: Authority) -> None:
    stale = tmp_path / "ca" / "intermediate-2"
    stale.mkdir()
    (stale / "ca.key").write_bytes(b"left by a crash")
    assert ca.issue(Request(WEB), NOW).entry.seq == 4
    made = ca.rotate(NOW)
    assert ca.issue(Request(WEB), NOW).entry.issuer == made.serial


def test_a_rotation_needs_the_roots_key(tmp_path: Path, ca: Authority) -> None:
    root_key(tmp_path).rename(tmp_path / "offline")
    with pytest.raises(AuthorityError, match=r"root/ca\.key is not there"):
        ca.rotate(NOW)
    assert ca.verify_log().records == 3


def test_a_rotation_never_puts_a_plain_key_beside_locked_ones(tmp_path: Path) -> None:
    Authority.create(tmp_path / "ca", PROFILE, NOW, passphrase=b"right").close()
    with Authority.open(tmp_path / "ca", b"right") as ca:
        ca.rotate(NOW)
    keys = sorted((tmp_path / "ca").glob("*/ca.key"))
    assert len(keys) == 3
    assert all(b"ENCRYPTED" in path.read_bytes() for path in keys)


def test_nor_does_one_without_the_passphrase(tmp_path: Path, ca: Authority) -> None:
    locked = tmp_path / "ca" / "intermediate-1" / "ca.key"
    locked.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(PassphraseError, match="the other keys are encrypted"):
        ca.rotate(NOW)
    assert ca.verify_log().records == 3


# --- the bundle -------------------------------------------------------------------------------


def test_the_bundle_is_a_jwk_set_as_spiffe_has_it(ca: Authority) -> None:
    bundle = json.loads(json.dumps(ca.spiffe_bundle()))
    assert sorted(bundle) == ["keys", "spiffe_refresh_hint", "spiffe_sequence"]
    (entry,) = bundle["keys"]
    assert sorted(entry) == ["crv", "kty", "use", "x", "x5c", "y"]  # no kid
    assert (entry["kty"], entry["use"], bundle["spiffe_refresh_hint"]) == ("EC", "x509-svid", 3600)
    (der,) = entry["x5c"]
    assert base64.b64decode(der) == ca.bundle()[0].public_bytes(Encoding.DER)


def test_the_sequence_rises_when_trust_changes_and_only_then(tmp_path: Path, ca: Authority) -> None:
    before = ca.spiffe_bundle()["spiffe_sequence"]
    ca.issue(Request(WEB), NOW)
    ca.rotate(NOW)
    assert ca.spiffe_bundle()["spiffe_sequence"] == before
    second = build.root(key("second"), PROFILE, NOW, serial())
    store = Store.open(tmp_path / "ca" / "index.db")
    with store.transaction():
        store.append(view.issue_record(second, Role.ROOT, None, PROFILE.root_ttl, NOW))
    store.close()
    after = ca.spiffe_bundle()
    assert after["spiffe_sequence"] > before
    assert [len(entry["x5c"]) for entry in after["keys"]] == [1, 1]


def unpack(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.P384])
def test_an_elliptic_key_in_the_bundle(key_type: KeyType) -> None:
    root = chain(key_type).root.certificate
    (entry,) = spiffe_bundle([root], 1, HOUR)["keys"]
    curve: ec.EllipticCurve = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}[entry["crv"]]
    numbers = ec.EllipticCurvePublicNumbers(unpack(entry["x"]), unpack(entry["y"]), curve)
    assert numbers.public_key() == root.public_key()
    assert len(entry["x"]) == len(entry["y"]) == (curve.key_size // 8 * 4 + 2) // 3


def test_coordinates_keep_their_leading_zeros() -> None:
    """RFC 7518 section 6.2.1.2."""
    made = ec.derive_private_key(379, ec.SECP256R1())  # the first whose x begins with a zero byte
    (entry,) = spiffe_bundle([build.root(made, PROFILE, NOW, serial())], 1, HOUR)["keys"]
    assert unpack(entry["x"]).bit_length() <= 248
    assert len(entry["x"]) == 43


def test_an_ed25519_and_an_rsa_key_in_the_bundle() -> None:
    roots = [chain(k).root.certificate for k in (KeyType.ED25519, KeyType.RSA2048)]
    edwards, big = spiffe_bundle(roots, 1, HOUR)["keys"]
    assert (edwards["kty"], edwards["crv"]) == ("OKP", "Ed25519")
    raw = unpack(edwards["x"]).to_bytes(32, "big")
    assert ed25519.Ed25519PublicKey.from_public_bytes(raw) == roots[0].public_key()
    numbers = rsa.RSAPublicNumbers(unpack(big["e"]), unpack(big["n"]))
    assert (big["kty"], numbers.public_key()) == ("RSA", roots[1].public_key())


# --- other people's judgement, of what comes out of a real CA ----------------------------------


@needs_openssl
@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.ED25519])
def test_openssl_and_pkilint_accept_everything_that_a_ca_gives_out(
    tmp_path: Path, key_type: KeyType
) -> None:
    with Authority.create(tmp_path / "ca", PROFILE, NOW, key_type=key_type) as ca:
        good, bad = (ca.issue(Request(WEB, ("web.demo.local",)), NOW, key_type) for _ in range(2))
        ca.revoke(bad.entry.serial, NOW, "keyCompromise")
        crls = ca.crls(NOW)
    write_pem(tmp_path / "crl.pem", *crls)
    (tmp_path / "ca.crt").write_bytes(good.bundle_pem)
    codes = []
    for made in (good, bad):
        (tmp_path / "tls.crt").write_bytes(made.chain_pem)
        code, _ = openssl(
            "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()) + 60), "-crl_check_all",
            "-CRLfile", tmp_path / "crl.pem", "-CAfile", tmp_path / "ca.crt",
            "-untrusted", tmp_path / "tls.crt", tmp_path / "tls.crt",
        )  # fmt: skip
        codes.append(code)
    assert codes == [0, 2]
    assert [lint_certificate(made) for made in (*good.chain, *good.bundle)] == [[], [], []]
    assert [lint_crl(crl) for crl in crls] == [[], []]
