"""Keys: which kinds are accepted, how they are made, and how they are written.

`_KINDS` says how a key type is made; `check_public_key` is the only judge of foreign keys (a
CSR's, for instance). Encrypted keys are PKCS#8 with PBES2 (RFC 8018): the library's own writer
stretches a passphrase with 2,048 rounds of PBKDF2, which guesses at the speed of a laptop undo,
so the envelope is written here with as many rounds as OWASP asks for. Any PKCS#8 reader, openssl
among them, opens it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from pki import der
from pki.errors import PassphraseError, PkiError, RequestError

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

KDF_ROUNDS: Final = 600_000  # OWASP's figure for PBKDF2-HMAC-SHA256; about 0.2 s
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192  # every verifier pays for a larger one (threat class: key-size DoS)
MIN_RSA_EXPONENT: Final = 65537
MAX_RSA_EXPONENT: Final = 2**256  # FIPS 186-5, appendix A.1.1

_ENCRYPTED: Final = "ENCRYPTED PRIVATE KEY"


class KeyType(StrEnum):
    """The key types that this CA makes, by the name that commands take."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"


def _rsa(bits: int) -> Callable[[], PrivateKey]:
    return lambda: rsa.generate_private_key(MIN_RSA_EXPONENT, bits)


_KINDS: Final[dict[KeyType, Callable[[], PrivateKey]]] = {
    KeyType.P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyType.P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate,
    KeyType.RSA2048: _rsa(2048),
    KeyType.RSA3072: _rsa(3072),
    KeyType.RSA4096: _rsa(4096),
}


def generate_key(key_type: KeyType) -> PrivateKey:
    """Make a new key from the operating system's randomness."""
    return _KINDS[key_type]()


def key_name(key: PublicKey) -> str:
    """The name of a key's type, such as `p256` or `rsa3072`, for people and for records."""
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa{key.key_size}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    return {"secp256r1": "p256", "secp384r1": "p384"}.get(key.curve.name, key.curve.name)


def check_public_key(key: object) -> PublicKey:
    """Return `key` if it may be certified, else raise `RequestError` that says what is weak.

    Accepted: P-256, P-384, Ed25519, and RSA of 2048 to 8192 bits whose exponent is odd and
    between 65537 and 2**256.
    """
    match key:
        case ed25519.Ed25519PublicKey():
            return key
        case ec.EllipticCurvePublicKey():
            return _check_curve(key)
        case rsa.RSAPublicKey():
            return _check_rsa(key)
        case _:
            hint = "use P-256, P-384, Ed25519 or RSA"
            raise RequestError("the key's type is not accepted", hint)


def _check_curve(key: ec.EllipticCurvePublicKey) -> ec.EllipticCurvePublicKey:
    if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        raise RequestError(
            f"the key's curve {key.curve.name} is not accepted", "use P-256 or P-384"
        )
    return key


def _check_rsa(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise RequestError(
            f"the RSA key has {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted",
            "make one with 3072 bits, or use P-256",
        )
    exponent = key.public_numbers().e
    if not (MIN_RSA_EXPONENT <= exponent < MAX_RSA_EXPONENT and exponent % 2):
        raise RequestError(
            "the RSA key's public exponent is not an odd number from 65537 to 2**256",
            "every tool makes 65537 unless told otherwise; make a new key",
        )
    return key


def signature_hash(key: PrivateKey | PublicKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash that signatures of `key` take: as strong as the key, None for Ed25519."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey):
        return None
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) or key.curve.key_size <= 256:
        return hashes.SHA256()
    return hashes.SHA384()


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """The key as PKCS#8 PEM, encrypted if there is a passphrase."""
    if passphrase is None:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return der.pem(_ENCRYPTED, _seal(plain, passphrase, os.urandom(16), os.urandom(16)))


def _seal(plain: bytes, passphrase: bytes, salt: bytes, iv: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958 section 3): PBKDF2-HMAC-SHA256, AES-256-CBC."""
    secret = PBKDF2HMAC(hashes.SHA256(), 32, salt, KDF_ROUNDS).derive(passphrase)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(secret), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    prf = der.sequence(der.oid("1.2.840.113549.2.9"), der.NULL)  # hmacWithSHA256
    kdf_parameters = der.sequence(der.octets(salt), der.integer(KDF_ROUNDS), prf)
    kdf = der.sequence(der.oid("1.2.840.113549.1.5.12"), kdf_parameters)  # PBKDF2
    cipher = der.sequence(der.oid("2.16.840.1.101.3.4.1.42"), der.octets(iv))  # aes256-CBC-PAD
    scheme = der.sequence(der.oid("1.2.840.113549.1.5.13"), der.sequence(kdf, cipher))  # PBES2
    return der.sequence(scheme, der.octets(sealed))


def is_encrypted(pem: bytes) -> bool:
    """Whether a private key's PEM says that it is encrypted."""
    return f"-----BEGIN {_ENCRYPTED}-----".encode() in pem


def load_private_key(pem: bytes, passphrase: bytes | None, what: str) -> PrivateKey:
    """Read a PKCS#8 PEM key of an accepted type; `what` names it in errors.

    Raises `PassphraseError` if it is encrypted and the passphrase is missing or wrong,
    `PkiError` if it is not a key that we use. A passphrase that is not needed is not an error.
    """
    locked = is_encrypted(pem)
    if locked and passphrase is None:
        raise PassphraseError(f"{what} is encrypted", "give its passphrase with --passphrase-file")
    try:
        key = serialization.load_pem_private_key(pem, passphrase if locked else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if locked:
            raise PassphraseError(f"the passphrase does not open {what}") from error
        raise PkiError(f"{what} is not a private key in PKCS#8 PEM") from error
    if not isinstance(key, PrivateKey):
        raise PkiError(f"{what} is a key of a type that is not used here")
    return key
