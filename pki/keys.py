"""Keys: which kinds are accepted, how they are made, and how they are written.

One table says what a key type is called, how it is made and which hash its signatures take;
`check_public_key` is the only judge of foreign keys (a CSR's, an imported one's).
"""

from __future__ import annotations

from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class KeyType(StrEnum):
    """The key types that this CA makes, by the name that commands take."""

    P256 = "p256"
    P384 = "p384"
    ED25519 = "ed25519"
    RSA2048 = "rsa2048"
    RSA3072 = "rsa3072"
    RSA4096 = "rsa4096"


def generate_key(key_type: KeyType) -> PrivateKey:
    """Make a new key from the operating system's randomness."""
    raise NotImplementedError


def key_type_of(key: PublicKey) -> str:
    """The name of a key's type, `p256` or `rsa3072`, for people and for records."""
    raise NotImplementedError


def check_public_key(key: object) -> PublicKey:
    """Return `key` if it may be certified, else raise `RequestError` that says what is weak.

    Accepted: P-256, P-384, Ed25519, RSA of 2048 to 8192 bits with an odd exponent of 65537 to
    2**256 (FIPS 186-5 section 5.4) .
    """
    raise NotImplementedError


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted (PBES2: scrypt or PBKDF2, AES-256-CBC) if there is a passphrase."""
    raise NotImplementedError


def load_private_key(pem: bytes, passphrase: bytes | None, what: str) -> PrivateKey:
    """Read PKCS#8 PEM; `what` names the file in errors. Raise `PassphraseError` or `PkiError`."""
    raise NotImplementedError


def is_encrypted(pem: bytes) -> bool:
    """Whether a private key's PEM says that it is encrypted."""
    raise NotImplementedError
