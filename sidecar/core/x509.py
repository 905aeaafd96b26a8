"""A read-only view of an X.509 v3 certificate, for the checks that OpenSSL does not make.

OpenSSL has verified the chain: signatures, time, purpose, revocation, name constraints. The
rules of SPIFFE and the identity that policy sees are ours, and `ssl` shows too little of a
certificate for them. The library that would read it costs 25 MB in every pod, so the few
fields that matter are read here (RFC 5280 section 4.1), strictly: what is not plainly a
version 3 certificate raises `MalformedCertificateError`, and nothing else is ever raised.

This module says what is encoded, `core.peer` what it means: a URI with a line break in it is
returned here as it stands, and refused there for its own reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sidecar.core import der
from sidecar.core.der import Element, MalformedCertificateError
from sidecar.core.dn import name_text
from sidecar.core.extensions import Extensions, read_extensions

__all__ = ["Certificate", "MalformedCertificateError", "PublicKey"]

MAX_CERTIFICATE_BYTES: Final = 32 * 1024
MAX_SERIAL_BYTES: Final = 20  # RFC 5280 section 4.1.2.2
MAX_RSA_BYTES: Final = 2049  # 16384 bits, the most that OpenSSL itself computes with

_VERSION_3: Final = bytes.fromhex("a003020102")
_FIELDS: Final = (
    0xA0, der.INTEGER, der.SEQUENCE, der.SEQUENCE, der.SEQUENCE, der.SEQUENCE, der.SEQUENCE, 0xA3,
)  # fmt: skip
_NULL: Final = bytes.fromhex("0500")
_RSA_KEY: Final = "1.2.840.113549.1.1.1"
_EC_KEY: Final = "1.2.840.10045.2.1"

# By the whole AlgorithmIdentifier of the key (RFC 5480 section 2.1.1.1).
_CURVES: Final = {
    bytes.fromhex("06052b81040021"): ("P-224", 224),
    bytes.fromhex("06082a8648ce3d030107"): ("P-256", 256),
    bytes.fromhex("06052b81040022"): ("P-384", 384),
    bytes.fromhex("06052b81040023"): ("P-521", 521),
}
_EDWARDS_KEYS: Final = {"1.3.101.112": ("ed25519", 256), "1.3.101.113": ("ed448", 456)}


def _pss(digest: str, salt: str) -> bytes:
    """Parameters of RSASSA-PSS with one hash throughout and a salt of its length.

    The only ones that TLS 1.3 knows (RFC 8446 section 4.2.3), encoded as RFC 4055 section 3.1 says.
    """
    algorithm = f"300d06096086480165030402{digest}0500"
    return bytes.fromhex(
        f"3034a00f{algorithm}a11c301a06092a864886f70d010108{algorithm}a2030201{salt}"
    )


# Object identifier and exact parameters (RFC 3279, 4055, 5758, 8410).
_SIGNATURES: Final = {
    ("1.2.840.113549.1.1.4", _NULL): "rsa-md5",
    ("1.2.840.113549.1.1.5", _NULL): "rsa-sha1",
    ("1.2.840.113549.1.1.11", _NULL): "rsa-sha256",
    ("1.2.840.113549.1.1.12", _NULL): "rsa-sha384",
    ("1.2.840.113549.1.1.13", _NULL): "rsa-sha512",
    ("1.2.840.113549.1.1.10", _pss("01", "20")): "rsa-pss-sha256",
    ("1.2.840.113549.1.1.10", _pss("02", "30")): "rsa-pss-sha384",
    ("1.2.840.113549.1.1.10", _pss("03", "40")): "rsa-pss-sha512",
    ("1.2.840.10045.4.1", b""): "ecdsa-sha1",
    ("1.2.840.10045.4.3.2", b""): "ecdsa-sha256",
    ("1.2.840.10045.4.3.3", b""): "ecdsa-sha384",
    ("1.2.840.10045.4.3.4", b""): "ecdsa-sha512",
    ("1.3.101.112", b""): "ed25519",
    ("1.3.101.113", b""): "ed448",
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What kind of key: `rsa`, `ec`, `ed25519`, `ed448`, else the dotted OID with 0 bits.

    `curve` names the curve of an `ec` key (`P-256`); a curve that is not one of NIST's is `?`
    with 0 bits.
    """

    algorithm: str
    bits: int
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate of version 3. Times are seconds since the epoch.

    `issuer` and `subject` are the names' DER, comparable byte for byte, beside their RFC 4514
    text in printable ASCII. `signature_algorithm` is a short name such as `ecdsa-sha256`, or the
    dotted OID of one that is not known.
    """

    der: bytes
    serial: int
    signature_algorithm: str
    issuer: bytes
    issuer_text: str
    not_before: float
    not_after: float
    subject: bytes
    subject_text: str
    public_key: PublicKey
    extensions: Extensions

    @classmethod
    def parse(cls, data: bytes) -> Certificate:
        """Read one certificate, or raise `MalformedCertificateError` and nothing else."""
        if len(data) > MAX_CERTIFICATE_BYTES:
            raise MalformedCertificateError(f"{len(data)} bytes are too many for a certificate")
        top = der.whole(data, der.SEQUENCE)
        tbs, algorithm, signature = der.shape(data, top, der.SEQUENCE, der.SEQUENCE, der.BIT_STRING)
        der.octets(data, signature)
        fields = der.members(data, tbs)
        if not fields or der.raw(data, fields[0]) != _VERSION_3:
            raise MalformedCertificateError("not an X.509 certificate of version 3")
        return _read(data, fields, der.raw(data, algorithm))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER in lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()


def _read(data: bytes, fields: list[Element], signed_with: bytes) -> Certificate:
    """The TBSCertificate: seven fields and the extensions, which a useful one always has.

    The unique identifiers that may stand between them were never used, and are refused.
    """
    if tuple(field.tag for field in fields) != _FIELDS:
        raise MalformedCertificateError("not the fields of a certificate with extensions")
    _, serial, algorithm, issuer, validity, subject, key, extensions = fields
    if der.raw(data, algorithm) != signed_with:
        raise MalformedCertificateError("the two signature algorithms differ")
    not_before, not_after = _validity(data, validity)
    issuer_name, subject_name = der.raw(data, issuer), der.raw(data, subject)
    return Certificate(
        data,
        _serial(data, serial),
        _signature_algorithm(signed_with),
        issuer_name,
        name_text(issuer_name),
        not_before,
        not_after,
        subject_name,
        name_text(subject_name),
        _public_key(data, key),
        read_extensions(data, extensions),
    )


def _serial(data: bytes, element: Element) -> int:
    serial = der.natural(data, element, MAX_SERIAL_BYTES)
    if serial == 0:
        raise MalformedCertificateError("the serial number is zero")
    return serial


def _validity(data: bytes, element: Element) -> tuple[float, float]:
    times = der.members(data, element)
    if len(times) != 2:
        raise MalformedCertificateError("the validity is not two times")
    return der.moment(data, times[0]), der.moment(data, times[1])


def _algorithm(data: bytes, element: Element) -> tuple[str, bytes]:
    """An AlgorithmIdentifier: its OID and the DER of its parameters, empty for none."""
    fields = der.members(data, element)
    if not 1 <= len(fields) <= 2:
        raise MalformedCertificateError(f"not an algorithm at byte {element.begin}")
    return der.identifier(data, fields[0]), data[fields[0].stop : element.stop]


@lru_cache(maxsize=64)
def _signature_algorithm(identifier: bytes) -> str:
    algorithm = _algorithm(identifier, der.whole(identifier, der.SEQUENCE))
    return _SIGNATURES.get(algorithm, algorithm[0])


def _public_key(data: bytes, element: Element) -> PublicKey:
    algorithm, key = der.shape(data, element, der.SEQUENCE, der.BIT_STRING)
    oid, parameters = _algorithm(data, algorithm)
    value = der.octets(data, key)
    if oid == _EC_KEY:
        curve, bits = _CURVES.get(parameters, ("?", 0))
        return PublicKey("ec", bits, curve)
    if oid == _RSA_KEY:
        return PublicKey("rsa", _rsa_bits(value))
    name, bits = _EDWARDS_KEYS.get(oid, (oid, 0))
    return PublicKey(name, bits)


def _rsa_bits(key: bytes) -> int:
    """The size of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1)."""
    modulus, exponent = der.shape(key, der.whole(key, der.SEQUENCE), der.INTEGER, der.INTEGER)
    power = der.natural(key, exponent, MAX_RSA_BYTES)
    if power < 3 or power % 2 == 0:  # with 1, anybody can sign
        raise MalformedCertificateError(f"an RSA key with the exponent {power}")
    return der.natural(key, modulus, MAX_RSA_BYTES).bit_length()
