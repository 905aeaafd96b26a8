"""The trust bundle as SPIFFE writes it (SPIFFE Trust Domain and Bundle, section 4): a JWK set.

Each root is one key with `use` x509-svid, its certificate alone in `x5c`, and no `kid`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from pki.keys import PublicKey, check_public_key


def spiffe_bundle(
    roots: Sequence[x509.Certificate], sequence: int, refresh: timedelta
) -> dict[str, Any]:
    """The bundle of `roots`; `sequence` rises with each change, `refresh` is a hint."""
    return {
        "keys": [_key(root) for root in roots],
        "spiffe_sequence": sequence,
        "spiffe_refresh_hint": refresh // timedelta(seconds=1),
    }


def _key(root: x509.Certificate) -> dict[str, Any]:
    der = base64.b64encode(root.public_bytes(Encoding.DER)).decode()
    return {**_jwk(check_public_key(root.public_key())), "use": "x509-svid", "x5c": [der]}


def _jwk(key: PublicKey) -> dict[str, str]:
    """The public key as RFC 7517, RFC 7518 section 6 and RFC 8037 section 2 have it."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        size, point = (key.key_size + 7) // 8, key.public_numbers()
        curve = {256: "P-256", 384: "P-384"}[key.key_size]
        return {"kty": "EC", "crv": curve, "x": _url(point.x, size), "y": _url(point.y, size)}
    if isinstance(key, ed25519.Ed25519PublicKey):
        raw = int.from_bytes(key.public_bytes_raw(), "big")
        return {"kty": "OKP", "crv": "Ed25519", "x": _url(raw, 32)}
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _url(numbers.n), "e": _url(numbers.e)}


def _url(number: int, size: int | None = None) -> str:
    """Base64url without padding of a number, in `size` bytes or as few as it needs."""
    raw = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
