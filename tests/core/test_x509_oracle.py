"""The certificate reader against `cryptography`: they agree on whatever both of them read."""

from __future__ import annotations

import ipaddress
import os
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.crl import Crl
from sidecar.core.pem import pem_blocks
from sidecar.core.x509 import Certificate, MalformedCertificateError
from tests import certs
from tests.certs import TestCA

CA = TestCA()
INNER = CA.intermediate(path_length=0)
ASCII = st.text(st.characters(codec="ascii", min_codepoint=1), min_size=1, max_size=20)
ANY_NAME = st.lists(
    st.builds(
        x509.NameAttribute,
        st.sampled_from([
            NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME,
            NameOID.LOCALITY_NAME, NameOID.STREET_ADDRESS, NameOID.USER_ID,
            NameOID.DOMAIN_COMPONENT,
        ]),
        ASCII,
    ),
    max_size=4,
).map(x509.Name)  # fmt: skip
OPTIONS = st.fixed_dictionaries({
    "uris": st.lists(ASCII, min_size=1, max_size=3),
    "dns": st.lists(ASCII, max_size=3),
    "ips": st.lists(st.ip_addresses().map(str), max_size=3),
    "subject": ANY_NAME,
    "key": st.sampled_from(["p224", "p256", "p384", "p521", "ed25519", "ed448", "rsa1024"]),
    "key_usage": st.one_of(
        st.none(),
        st.lists(st.sampled_from(certs.USAGES[:7]), min_size=1, unique=True),
        st.just(("key_agreement", "decipher_only")),
    ),
    "key_usage_critical": st.booleans(),
    "eku": st.one_of(st.none(), st.lists(st.sampled_from([*certs.BOTH]), min_size=1, unique=True)),
    "ca": st.booleans(),
    "path_length": st.one_of(st.none(), st.integers(0, 300)),
    "basic_constraints": st.booleans(),
    "not_before": st.integers(-631152000, 1_000_000_000),
    "not_after": st.integers(1_000_000_001, 253402300799),
    "serial": st.integers(1, 2**159 - 1),
})  # fmt: skip


@given(OPTIONS)
@settings(max_examples=150)
def test_generated_certificates_are_read_alike(options: certs.Options) -> None:
    leaf = INNER.leaf(**options)
    agree(Certificate.parse(leaf.der), leaf.cert)


def agree(mine: Certificate, theirs: x509.Certificate) -> None:
    assert mine.serial == theirs.serial_number
    assert mine.issuer == theirs.issuer.public_bytes()
    assert mine.subject == theirs.subject.public_bytes()
    assert same_name(mine.subject_text, theirs.subject)
    assert mine.not_before == theirs.not_valid_before_utc.timestamp()
    assert mine.not_after == theirs.not_valid_after_utc.timestamp()
    assert mine.fingerprint == theirs.fingerprint(hashes.SHA256()).hex()
    agree_on_key(mine, theirs)
    agree_on_extensions(mine, theirs)


def same_name(text: str, name: x509.Name) -> bool:
    """Whether the text means the name, in printable ASCII; their own reader of RFC 4514 says."""
    again = x509.Name.from_rfc4514_string(text) if text else x509.Name([])
    values = [(one.oid, one.value) for one in again]
    return text.isascii() and values == [(one.oid, one.value) for one in name]


def agree_on_key(mine: Certificate, theirs: x509.Certificate) -> None:
    key = theirs.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        assert (mine.public_key.algorithm, mine.public_key.bits) == ("rsa", key.key_size)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        assert mine.public_key.algorithm == "ec"
        assert mine.public_key.curve.replace("P-", "secp") + "r1" == key.curve.name
        assert mine.public_key.bits == key.key_size
    else:
        assert mine.public_key.algorithm in type(key).__name__.lower()


def agree_on_extensions(mine: Certificate, theirs: x509.Certificate) -> None:
    found = mine.extensions
    assert found.critical == {e.oid.dotted_string for e in theirs.extensions if e.critical}
    for extension in theirs.extensions:
        match extension.value:
            case x509.SubjectAlternativeName() as names:
                assert found.names.uris == tuple(
                    names.get_values_for_type(x509.UniformResourceIdentifier)
                )
                assert found.names.dns == tuple(names.get_values_for_type(x509.DNSName))
                addresses = names.get_values_for_type(x509.IPAddress)
                assert [ipaddress.ip_address(ip) for ip in found.names.ips] == addresses
            case x509.KeyUsage() as usage:
                assert found.key_usage == bits(usage)
            case x509.ExtendedKeyUsage() as purposes:
                assert found.extended_key_usage == tuple(p.dotted_string for p in purposes)
            case x509.BasicConstraints() as constraints:
                assert (found.is_ca, found.path_length) == (constraints.ca, constraints.path_length)
            case x509.SubjectKeyIdentifier() as identifier:
                assert found.subject_key_id == identifier.digest
            case x509.AuthorityKeyIdentifier() as identifier:
                assert found.authority_key_id == identifier.key_identifier
            case _:
                pass
    present = {type(e.value) for e in theirs.extensions}
    assert (found.key_usage is None) == (x509.KeyUsage not in present)
    assert (found.extended_key_usage is None) == (x509.ExtendedKeyUsage not in present)
    assert not found.is_ca or x509.BasicConstraints in present


def bits(usage: x509.KeyUsage) -> int:
    names = certs.USAGES if usage.key_agreement else certs.USAGES[:7]
    return sum(1 << n for n, name in enumerate(names) if getattr(usage, name))


@pytest.mark.parametrize("key", ["p256", "p384", "ed25519", "ed448", "rsa2048"])
def test_signature_algorithms_of_issuers(key: str) -> None:
    leaf = TestCA(key=key).leaf()
    expected = {"p256": "ecdsa-sha256", "p384": "ecdsa-sha256", "rsa2048": "rsa-sha256"}
    assert Certificate.parse(leaf.der).signature_algorithm == expected.get(key, key)


@pytest.mark.parametrize("size", [256, 384, 512])
def test_pss_signatures(size: int) -> None:
    digests: dict[int, certs.SignatureHash] = {
        256: hashes.SHA256(),
        384: hashes.SHA384(),
        512: hashes.SHA512(),
    }
    digest = digests[size]
    key = certs.make_key("rsa2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2051, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, digest, rsa_padding=scheme)
    )
    mine = Certificate.parse(cert.public_bytes(serialization.Encoding.DER))
    assert mine.signature_algorithm == f"rsa-pss-sha{size}"


@pytest.mark.parametrize("name", ["sha1", "md5"])
def test_weak_signatures(name: str) -> None:
    ca = TestCA(key="rsa2048")
    leaf = ca.resign(ca.leaf(), lambda tbs: tbs, name)
    assert Certificate.parse(leaf.der).signature_algorithm == f"rsa-{name}"


# --- damage: threat class 14, malformed certificates ---

SAMPLES = [
    CA.der,
    INNER.leaf(dns=["web"], ips=["::1"], subject="web").der,
    TestCA(key="rsa2048").leaf(key="rsa2048").der,
]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_certificate_or_one_error(data: bytes) -> None:
    with pytest.raises(MalformedCertificateError):
        Certificate.parse(data)


@given(st.data())
@settings(max_examples=600)
def test_damaged_certificates_are_read_as_the_oracle_does_or_refused(data: st.DataObject) -> None:
    """Reader and oracle may both refuse; they never read one thing in two ways."""
    broken = damage(data, data.draw(st.sampled_from(SAMPLES)))
    try:
        mine = Certificate.parse(broken)
    except MalformedCertificateError:
        return
    try:
        theirs = x509.load_der_x509_certificate(broken)
        list(theirs.extensions)
        theirs.public_key()
        values = (theirs.not_valid_after_utc, theirs.not_valid_before_utc, *theirs.subject)
    except (ValueError, TypeError, x509.UnsupportedGeneralNameType, UnsupportedAlgorithm):
        return
    assert values
    agree_loosely(mine, theirs)


def agree_loosely(mine: Certificate, theirs: x509.Certificate) -> None:
    assert mine.serial == theirs.serial_number
    assert mine.subject == theirs.subject.public_bytes()
    assert mine.not_before == theirs.not_valid_before_utc.timestamp()
    assert mine.not_after == theirs.not_valid_after_utc.timestamp()
    agree_on_extensions(mine, theirs)


def damage(data: st.DataObject, sample: bytes) -> bytes:
    at = data.draw(st.integers(0, len(sample) - 1))
    upto = data.draw(st.integers(at, min(at + 4, len(sample))))
    return sample[:at] + data.draw(st.binary(max_size=4)) + sample[upto:]


# --- revocation lists ---


@given(st.sets(st.integers(1, 2**159 - 1), max_size=6))
def test_generated_lists_are_read_alike(serials: set[int]) -> None:
    crl = Crl.parse(pem_blocks(CA.crl(serials), "X509 CRL")[0])
    theirs = x509.load_pem_x509_crl(CA.crl(serials))
    assert crl.issuer == CA.cert.subject.public_bytes()
    assert crl.serials == {entry.serial_number for entry in theirs} == serials
    assert crl.this_update <= datetime.now(UTC).timestamp() <= crl.next_update


@given(st.data())
@settings(max_examples=200)
def test_damaged_lists_are_read_as_the_oracle_does_or_refused(data: st.DataObject) -> None:
    broken = damage(data, LIST)
    try:
        mine = Crl.parse(broken)
        theirs = x509.load_der_x509_crl(broken)
        assert mine.issuer == theirs.issuer.public_bytes()
    except (MalformedCertificateError, ValueError):
        return
    assert mine.serials == {entry.serial_number for entry in theirs}
    assert theirs.next_update_utc is not None
    assert mine.next_update == theirs.next_update_utc.timestamp()


LIST = pem_blocks(CA.crl([int.from_bytes(os.urandom(15), "big") for _ in range(3)]), "X509 CRL")[0]
