"""The CA at work: issue, sign, renew, look around."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki.authority import Authority
from pki.errors import AuthorityError, RequestError
from pki.keys import KeyType, load_private_key
from pki.lint import Role
from pki.names import SpiffePattern
from pki.profile import Profile, Request, parse_ip
from pki.store import Query
from tests.certs import make_key
from tests.pki.kit import DAY, HOUR, NOW, ORDERS, WEB, key

PROFILE = Profile("demo.local")
NAMES = Request(WEB, ("web", "localhost"), (parse_ip("::1"),), ttl=HOUR)


# --- issue ------------------------------------------------------------------------------------


def test_what_is_issued_comes_with_everything_its_holder_needs(ca: Authority) -> None:
    made = ca.issue(NAMES, NOW)
    leaf, intermediate = x509.load_pem_x509_certificates(made.chain_pem)
    (root,) = x509.load_pem_x509_certificates(made.bundle_pem)
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(root)
    held = load_private_key(made.key_pem, None, "tls.key")
    assert held.public_key() == leaf.public_key()
    assert (leaf, root) == (made.certificate, ca.bundle()[0])


def test_what_is_issued_is_recorded(ca: Authority) -> None:
    made = ca.issue(NAMES, NOW)
    found = ca.find(made.entry.serial)
    assert found == made.entry
    assert (found.spiffe_id, found.dns, found.ips) == (str(WEB), ("web", "localhost"), ("::1",))
    assert (found.role, found.issued_at, found.ttl) == (Role.LEAF, NOW, HOUR)
    assert found.issuer == ca.ls(Query(role=Role.INTERMEDIATE)).entries[0].serial
    assert ca.certificate(found.serial) == made.certificate


@pytest.mark.parametrize("key_type", list(KeyType))
def test_each_key_type_is_made_on_demand(ca: Authority, key_type: KeyType) -> None:
    assert ca.issue(Request(WEB), NOW, key_type).entry.key_type == key_type


def test_keys_and_serial_numbers_are_new_each_time(ca: Authority) -> None:
    made = [ca.issue(Request(WEB), NOW) for _ in range(5)]
    assert len({m.key_pem for m in made}) == 5
    assert len({m.entry.serial for m in made}) == 5


def test_a_key_that_was_given_stays_with_its_owner(ca: Authority) -> None:
    made = ca.issue(Request(WEB), NOW, key().public_key())
    assert made.certificate.public_key() == key().public_key()
    assert made.key is None
    with pytest.raises(AuthorityError, match="stayed with whoever sent the CSR"):
        _ = made.key_pem


def test_what_is_refused_is_not_recorded(ca: Authority) -> None:
    with pytest.raises(RequestError):
        ca.issue(Request(WEB, ("google.com",)), NOW)
    with pytest.raises(RequestError):
        ca.issue(Request(WEB), NOW + 400 * DAY)
    with pytest.raises(RequestError):
        ca.issue(Request(WEB), NOW, make_key("p224").public_key())  # type: ignore[arg-type]  # weak
    assert ca.verify_log().records == 3


def test_the_record_is_durable_before_the_certificate_leaves(tmp_path: Path, ca: Authority) -> None:
    """Another process sees it at the moment it is returned."""
    made = ca.issue(Request(WEB), NOW)
    with Authority.open(tmp_path / "ca") as other:
        assert other.find(made.entry.serial) == made.entry


def test_a_private_key_is_not_shown(ca: Authority) -> None:
    assert "PrivateKey" not in repr(ca.issue(Request(WEB), NOW))


def test_a_missing_issuing_key_is_named(tmp_path: Path, ca: Authority) -> None:
    (tmp_path / "ca" / "intermediate-1" / "ca.key").unlink()
    with pytest.raises(AuthorityError, match=r"intermediate-1/ca\.key is not there"):
        ca.issue(Request(WEB), NOW)


def test_a_foreign_issuing_key_is_refused(tmp_path: Path, ca: Authority) -> None:
    keys = [tmp_path / "ca" / name / "ca.key" for name in ("root", "intermediate-1")]
    keys[1].write_bytes(keys[0].read_bytes())
    with pytest.raises(RequestError, match="does not belong to its certificate"):
        ca.issue(Request(WEB), NOW)


# --- sign and renew ---------------------------------------------------------------------------


def csr(san: x509.GeneralName | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=False)
    return builder.sign(key("theirs"), hashes.SHA256()).public_bytes(Encoding.PEM)


def test_a_csr_is_signed_for_what_was_ordered(ca: Authority) -> None:
    made = ca.sign_csr(csr(x509.DNSName("web")), NAMES, NOW)
    assert made.certificate.public_key() == key("theirs").public_key()
    assert (made.key, made.entry.dns) == (None, ("web", "localhost"))


def test_a_csr_that_asks_for_more_is_refused_and_not_recorded(ca: Authority) -> None:
    with pytest.raises(RequestError, match="was not ordered"):
        ca.sign_csr(csr(x509.DNSName("payments")), NAMES, NOW)
    assert ca.verify_log().records == 3


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.ED25519, KeyType.RSA2048])
def test_a_renewed_certificate_has_the_same_names_and_a_new_key(
    ca: Authority, key_type: KeyType
) -> None:
    old = ca.issue(NAMES, NOW, key_type)
    new = ca.renew(old.entry.serial, NOW + HOUR / 2)
    assert (new.entry.spiffe_id, new.entry.dns, new.entry.ips) == (
        str(WEB),
        old.entry.dns,
        ("::1",),
    )
    assert new.entry.key_type == key_type
    assert new.certificate.public_key() != old.certificate.public_key()
    assert new.certificate.not_valid_after_utc == NOW + HOUR / 2 + HOUR


def test_a_renewed_certificate_may_keep_its_key_or_change_type_and_life(ca: Authority) -> None:
    old = ca.issue(NAMES, NOW, key().public_key())
    assert ca.renew(old.entry.serial, NOW, key=key().public_key()).key is None
    assert ca.renew(old.entry.serial, NOW, key=KeyType.P384).entry.key_type == KeyType.P384
    assert ca.renew(old.entry.serial, NOW, ttl=2 * HOUR).entry.ttl == 2 * HOUR


def test_a_life_time_of_nothing_is_not_taken_for_none(ca: Authority) -> None:
    old = ca.issue(NAMES, NOW)
    with pytest.raises(RequestError, match="ttl is 0s"):
        ca.renew(old.entry.serial, NOW, ttl=timedelta(0))


def test_an_expired_certificate_may_be_renewed(ca: Authority) -> None:
    old = ca.issue(NAMES, NOW)
    assert ca.renew(old.entry.serial, NOW + 30 * DAY).entry.not_after == NOW + 30 * DAY + HOUR


def test_a_short_end_is_not_inherited(ca: Authority) -> None:
    """A leaf that was cut off by its issuer's end is renewed for as long as was asked for."""
    end = ca.ls(Query(role=Role.INTERMEDIATE)).entries[0].not_after
    old = ca.issue(Request(WEB), end - HOUR)
    ca.rotate(end - HOUR)
    assert old.entry.not_after == end
    assert ca.renew(old.entry.serial, end - HOUR).entry.not_after == end - HOUR + DAY


def test_a_revoked_certificate_is_not_renewed(ca: Authority) -> None:
    old = ca.issue(NAMES, NOW)
    ca.revoke(old.entry.serial, NOW, "keyCompromise")
    with pytest.raises(AuthorityError, match=r"is revoked \(keyCompromise\)"):
        ca.renew(old.entry.serial, NOW)


def test_a_ca_certificate_and_an_unknown_one_are_not_renewed(ca: Authority) -> None:
    for entry in ca.ls(Query()).entries:
        with pytest.raises(AuthorityError, match="is a CA certificate"):
            ca.renew(entry.serial, NOW)
    with pytest.raises(AuthorityError, match="no certificate has the serial number"):
        ca.renew("00", NOW)


def test_a_key_type_that_is_not_made_here_is_not_guessed(ca: Authority) -> None:
    odd = make_key("rsa2304").public_key()
    old = ca.issue(Request(WEB), NOW, odd)  # type: ignore[arg-type]  # an RSA key
    with pytest.raises(AuthorityError, match="keys of the type rsa2304 are not made here"):
        ca.renew(old.entry.serial, NOW)


# --- look around ------------------------------------------------------------------------------


def test_a_serial_number_is_found_in_each_way_of_writing_it(ca: Authority) -> None:
    serial = ca.issue(Request(WEB), NOW).entry.serial
    pairs = ":".join(serial[i : i + 2] for i in range(0, 40, 2))
    for text in (serial, serial.upper(), pairs, pairs.upper()):
        assert ca.find(text).serial == serial


@pytest.mark.parametrize("text", ["", "zz", "0", "\x1b[2J", "%", "_" * 40, "0" * 1000])
def test_what_is_no_serial_number_is_not_found(ca: Authority, text: str) -> None:
    with pytest.raises(AuthorityError, match="no certificate has") as caught:
        ca.find(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_listing_is_filtered(ca: Authority) -> None:
    ca.issue(Request(WEB), NOW)
    ca.issue(Request(ORDERS, ttl=8 * DAY), NOW)
    soon = Query(expires_after=NOW, expires_before=NOW + 7 * DAY)
    orders = Query(spiffe=SpiffePattern.parse("spiffe://demo.local/ns/*/sa/orders"))
    assert [e.spiffe_id for e in ca.ls(soon).entries] == [str(WEB)]
    assert [e.spiffe_id for e in ca.ls(orders).entries] == [str(ORDERS)]


def test_p256_is_the_default(ca: Authority) -> None:
    made = ca.issue(Request(WEB), NOW)
    assert isinstance(made.key, ec.EllipticCurvePrivateKey)
    assert made.key.curve.name == "secp256r1"
