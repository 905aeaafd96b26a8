"""CSR trust: a CSR gives a public key and nothing more (threat class 33).

Every refusal has its own message, and a twin that is granted.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from pki.csr import MAX_CSR_BYTES, read_csr
from pki.errors import RequestError
from pki.keys import KeyType
from pki.profile import Request
from tests import der
from tests.certs import PrivateKey, make_key
from tests.pki.kit import WEB, chain, key

ORDER = Request(WEB, dns=("orders",), ips=(ip_address("10.0.0.1"),))
SUBJECT = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")])


def csr(
    *wishes: x509.ExtensionType, signer: PrivateKey | None = None, subject: x509.Name = SUBJECT
) -> bytes:
    builder = x509.CertificateSigningRequestBuilder(subject)
    for wish in wishes:
        builder = builder.add_extension(wish, critical=True)
    signer = signer or key()
    hash_ = None if signer is key("leaf", KeyType.ED25519) else hashes.SHA256()
    return builder.sign(signer, hash_).public_bytes(Encoding.DER)


def refusal(data: bytes, order: Request = ORDER) -> str:
    with pytest.raises(RequestError) as caught:
        read_csr(data, order)
    return str(caught.value)


def names(*items: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(items)


def usage(*bits: str) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


@pytest.mark.parametrize("key_type", list(KeyType))
def test_a_plain_csr_gives_its_key(key_type: KeyType) -> None:
    made = key("leaf", key_type)
    assert read_csr(csr(signer=made), ORDER) == made.public_key()


def test_pem_and_der_are_read_alike() -> None:
    data = csr()
    pem = x509.load_der_x509_csr(data).public_bytes(Encoding.PEM)
    assert read_csr(b"\n" + pem, ORDER) == read_csr(data, ORDER)


@pytest.mark.parametrize(
    "wishes",
    [
        [x509.BasicConstraints(ca=False, path_length=None)],
        [names(x509.UniformResourceIdentifier(str(WEB)))],
        [names(x509.DNSName("orders"), x509.IPAddress(ip_address("10.0.0.1")))],
        [usage("digital_signature", "key_encipherment", "key_agreement")],
        [x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])],
        [x509.SubjectKeyIdentifier(b"whatever")],
    ],
)
def test_a_csr_may_ask_for_what_was_ordered(wishes: Sequence[x509.ExtensionType]) -> None:
    assert read_csr(csr(*wishes), ORDER) == key().public_key()


def test_nothing_of_a_csr_but_its_key_gets_into_the_certificate() -> None:
    data = csr(usage("key_encipherment"), x509.SubjectKeyIdentifier(b"whatever"))
    made = chain().leaf(leaf_key=key())
    assert read_csr(data, ORDER) == made.public_key()
    assert made.subject == x509.Name([])
    assert b"system:masters" in data
    assert b"system:masters" not in made.public_bytes(Encoding.DER)


@pytest.mark.parametrize("path_length", [None, 0])
def test_a_ca_bit_is_refused(path_length: int | None) -> None:
    wish = x509.BasicConstraints(ca=True, path_length=path_length)
    assert "asks for a CA certificate (CA:TRUE)" in refusal(csr(wish))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (x509.UniformResourceIdentifier("spiffe://demo.local/ns/shop/sa/admin"), "sa/admin"),
        (x509.UniformResourceIdentifier("spiffe://evil.local/a"), "evil.local"),
        (x509.DNSName("payments"), "payments"),
        (x509.DNSName("*.demo.local"), "demo.local"),
        (x509.IPAddress(ip_address("10.0.0.2")), "10.0.0.2"),
        (x509.RFC822Name("root@demo.local"), "root@demo.local"),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), "RegisteredID"),
        (x509.OtherName(x509.ObjectIdentifier("1.2.3"), der.NULL), "OtherName"),
        (x509.DirectoryName(SUBJECT), "DirectoryName"),
    ],
)
def test_a_foreign_name_is_refused_even_beside_a_good_one(
    name: x509.GeneralName, shown: str
) -> None:
    text = refusal(csr(names(x509.DNSName("orders"), name)))
    assert "which was not ordered" in text
    assert shown in text


@pytest.mark.parametrize("bit", ["key_cert_sign", "crl_sign"])
def test_the_right_to_sign_is_refused(bit: str) -> None:
    text = refusal(csr(usage("digital_signature", bit)))
    assert "the right to sign certificates or CRLs" in text


@pytest.mark.parametrize(
    "purpose", [ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
)
def test_another_purpose_is_refused(purpose: x509.ObjectIdentifier) -> None:
    wish = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, purpose])
    assert f"asks for the purpose {purpose.dotted_string}" in refusal(csr(wish))


@pytest.mark.parametrize(
    "wish",
    [
        x509.NameConstraints([x509.DNSName("a")], None),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), der.NULL),
    ],
)
def test_another_extension_is_refused(wish: x509.ExtensionType) -> None:
    assert f"asks for the extension {wish.oid.dotted_string}" in refusal(csr(wish))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("rsa1024", "the RSA key has 1024 bits"),
        ("p224", "curve secp224r1 is not accepted"),
        ("p521", "curve secp521r1 is not accepted"),
        ("k256", "curve secp256k1 is not accepted"),
    ],
)
def test_a_weak_or_unusual_key_is_refused(kind: str, message: str) -> None:
    assert message in refusal(csr(signer=make_key(kind)))


def test_another_kind_of_key_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder(SUBJECT)
    data = builder.sign(make_key("ed448"), None).public_bytes(Encoding.DER)
    assert "the key's type is not accepted" in refusal(data)


def test_a_bad_exponent_is_refused() -> None:
    weak = rsa.generate_private_key(3, 2048)
    assert "public exponent" in refusal(csr(signer=weak))


def test_an_impossible_exponent_is_refused() -> None:
    good = csr(signer=key("leaf", KeyType.RSA2048))
    bad = good.replace(b"\x02\x03\x01\x00\x01", b"\x02\x03\x01\x00\x00")  # 65536: even
    assert bad != good
    assert refusal(bad) in {
        "the CSR's public key is malformed or of an unknown kind",
        "the RSA key's public exponent is not an odd number from 65537 to 2**256",
    }


def test_a_point_off_the_curve_is_refused() -> None:
    data = csr()
    raw = key().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert "public key is malformed" in refusal(data.replace(raw, raw[:-1] + b"\x00"))


def test_a_key_of_an_unknown_algorithm_is_refused() -> None:
    data = csr().replace(der.oid("1.2.840.10045.2.1"), der.oid("1.2.840.10045.2.9"))
    assert "of an unknown kind" in refusal(data)


def test_a_bad_self_signature_is_refused() -> None:
    data = csr()
    assert "self-signature is wrong" in refusal(data[:-1] + bytes([data[-1] ^ 1]))


def test_a_csr_for_somebody_elses_key_is_refused() -> None:
    """Proof of possession: the key in it is not the key that signed it."""
    other = key("other").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    own = key().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert "self-signature is wrong" in refusal(csr().replace(own, other))


def test_a_signature_of_an_unknown_algorithm_is_refused() -> None:
    data = csr().replace(der.oid("1.2.840.10045.4.3.2"), der.oid("1.2.840.10045.4.3.9"))
    assert "self-signature is wrong" in refusal(data)


@pytest.mark.parametrize("size", [0, 1])
def test_tiny_input_is_unreadable(size: int) -> None:
    assert "the CSR cannot be read" in refusal(bytes(size))


def test_another_version_is_unreadable() -> None:
    assert "the CSR cannot be read" in refusal(_SAMPLE.replace(der.integer(0), der.integer(1), 1))


def test_the_size_limit_is_checked_before_anything_is_read() -> None:
    assert "the CSR cannot be read" in refusal(bytes(MAX_CSR_BYTES))
    assert f"the CSR has {MAX_CSR_BYTES + 1} bytes" in refusal(bytes(MAX_CSR_BYTES + 1))


def test_repeated_extensions_are_refused() -> None:
    assert "cannot be read or are repeated" in refusal(_with_extensions(_UNORDERED * 2))


def test_an_extension_that_cannot_be_read_is_refused() -> None:
    broken = der.extension("2.5.29.17", b"\x30\x03\x01")
    assert "cannot be read or are repeated" in refusal(_with_extensions(broken))


@given(st.binary(max_size=400))
def test_any_garbage_is_refused(data: bytes) -> None:
    for candidate in (data, b"-----BEGIN CERTIFICATE REQUEST-----\n" + data):
        with pytest.raises(RequestError):
            read_csr(candidate, ORDER)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_one_changed_byte_of_what_was_signed_is_refused(position: int, change: int) -> None:
    data = bytearray(_SAMPLE)
    signed = x509.load_der_x509_csr(_SAMPLE).tbs_certrequest_bytes
    data[_SAMPLE.index(signed) + position % len(signed)] ^= change
    with pytest.raises(RequestError):
        read_csr(bytes(data), ORDER)


def _with_extensions(extensions: bytes) -> bytes:
    """A signed CSR whose extensionRequest attribute holds `extensions`, whatever they are."""
    template = x509.load_der_x509_csr(csr(subject=x509.Name([])))
    public = template.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    attribute = der.sequence(der.oid("1.2.840.113549.1.9.14"), der.set_of(der.sequence(extensions)))
    info = der.sequence(der.integer(0), der.sequence(), public, der.tlv(0xA0, attribute))
    signer = key()
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    signature = signer.sign(info, ec.ECDSA(hashes.SHA256()))
    algorithm = der.sequence(der.oid("1.2.840.10045.4.3.2"))
    return der.sequence(info, algorithm, der.bit_string(signature))


_UNORDERED = der.extension("2.5.29.15", b"\x03\x02\x07\x80")  # keyUsage: digitalSignature
_SAMPLE = csr()
