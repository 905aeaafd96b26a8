"""Keys: what is made, what is accepted, how it is written, what unlocks it."""

from __future__ import annotations

import subprocess

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from pki.errors import PassphraseError, PkiError, RequestError
from pki.keys import (
    MAX_RSA_EXPONENT,
    KeyType,
    check_public_key,
    generate_key,
    is_encrypted,
    key_name,
    load_private_key,
    private_pem,
    signature_hash,
)
from tests.certs import make_key
from tests.pki.kit import key
from tests.pki.tools import OPENSSL, needs_openssl

MODULUS = (1 << 2047) | 1  # 2048 bits; nobody checks here that it has two prime factors


def rsa_key(modulus: int, exponent: int) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


@pytest.mark.parametrize("key_type", list(KeyType))
def test_each_type_is_made_named_and_accepted(key_type: KeyType) -> None:
    public = key("leaf", key_type).public_key()
    assert check_public_key(public) is public
    assert key_name(public) == key_type


def test_keys_are_made_anew_each_time() -> None:
    first, second = (generate_key(KeyType.P256).public_key() for _ in range(2))
    assert first != second


@pytest.mark.parametrize("kind", ["p224", "p521", "k256"])
def test_other_curves_are_refused(kind: str) -> None:
    with pytest.raises(RequestError, match=r"curve sec\w+ is not accepted"):
        check_public_key(make_key(kind).public_key())


@pytest.mark.parametrize(
    "foreign",
    [
        ed448.Ed448PrivateKey.generate().public_key(),
        x25519.X25519PrivateKey.generate().public_key(),
        dsa.DSAPublicNumbers(
            2, dsa.DSAParameterNumbers((1 << 2047) | 1, (1 << 255) | 1, 2)
        ).public_key(),
        None,
    ],
)
def test_other_kinds_are_refused(foreign: object) -> None:
    with pytest.raises(RequestError, match="the key's type is not accepted"):
        check_public_key(foreign)


@pytest.mark.parametrize("bits", [2048, 2049, 8192])
def test_rsa_within_bounds_is_accepted(bits: int) -> None:
    assert key_name(check_public_key(rsa_key((1 << (bits - 1)) | 1, 65537))) == f"rsa{bits}"


@pytest.mark.parametrize("bits", [1024, 2047, 8193])
def test_rsa_out_of_bounds_is_refused(bits: int) -> None:
    with pytest.raises(RequestError, match=f"the RSA key has {bits} bits; 2048 to 8192"):
        check_public_key(rsa_key((1 << (bits - 1)) | 1, 65537))


@pytest.mark.parametrize("exponent", [65537, 65539, MAX_RSA_EXPONENT - 1])
def test_a_sane_exponent_is_accepted(exponent: int) -> None:
    public = rsa_key(MODULUS, exponent)
    assert check_public_key(public) is public


@pytest.mark.parametrize("exponent", [3, 17, 65535, MAX_RSA_EXPONENT + 1])
def test_a_bad_exponent_is_refused(exponent: int) -> None:
    with pytest.raises(RequestError, match="public exponent"):
        check_public_key(rsa_key(MODULUS, exponent))


def test_the_hash_is_as_strong_as_the_key() -> None:
    assert isinstance(signature_hash(key("leaf", KeyType.P256)), hashes.SHA256)
    assert isinstance(signature_hash(key("leaf", KeyType.P384)), hashes.SHA384)
    assert isinstance(signature_hash(key("leaf", KeyType.RSA2048).public_key()), hashes.SHA256)
    assert signature_hash(key("leaf", KeyType.ED25519)) is None


@pytest.mark.parametrize("key_type", [KeyType.P256, KeyType.ED25519, KeyType.RSA2048])
@pytest.mark.parametrize("passphrase", [None, b"x", "pässwörd".encode()])
def test_a_key_survives_being_written(key_type: KeyType, passphrase: bytes | None) -> None:
    made = key("leaf", key_type)
    pem = private_pem(made, passphrase)
    assert is_encrypted(pem) is (passphrase is not None)
    assert load_private_key(pem, passphrase, "k").public_key() == made.public_key()


def test_a_passphrase_that_is_not_needed_does_no_harm() -> None:
    assert load_private_key(private_pem(key()), b"unused", "k").public_key() == key().public_key()


@pytest.mark.parametrize("wrong", [b"", b"right ", b"Right", b"\x00"])
def test_a_wrong_passphrase_does_not_open_a_key(wrong: bytes) -> None:
    with pytest.raises(PassphraseError, match=r"^the passphrase does not open root/ca\.key$"):
        load_private_key(private_pem(key(), b"right"), wrong, "root/ca.key")


def test_a_missing_passphrase_is_asked_for() -> None:
    with pytest.raises(PassphraseError, match=r"root/ca\.key is encrypted") as caught:
        load_private_key(private_pem(key(), b"right"), None, "root/ca.key")
    assert caught.value.hints


def test_an_encrypted_key_shows_nothing_of_itself() -> None:
    plain = private_pem(key())
    sealed = private_pem(key(), b"right")
    assert not set(plain.splitlines()[1:-1]) & set(sealed.splitlines())
    assert sealed != private_pem(key(), b"right")  # salted


@pytest.mark.parametrize("data", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(PkiError, match="f is not a private key in PKCS#8 PEM"):
        load_private_key(data, None, "f")


def test_a_key_of_another_kind_is_refused() -> None:
    other = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(PkiError, match="f is a key of a type that is not used here"):
        load_private_key(other, None, "f")


@needs_openssl
def test_openssl_opens_an_encrypted_key_with_the_right_passphrase_only() -> None:
    sealed = private_pem(key(), b"right")
    runs = [
        subprocess.run(
            [OPENSSL, "pkey", "-noout", "-check", "-passin", f"pass:{word}"],
            input=sealed,
            capture_output=True,
            check=False,
        ).returncode
        for word in ("right", "wrong")
    ]
    assert runs == [0, 1]


def test_names_are_also_given_to_keys_that_are_not_accepted() -> None:
    public = make_key("p521").public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey)
    assert key_name(public) == "secp521r1"
