"""What the fields of a certificate say, in the words of the standards.

`show` prints these words and `verify` quotes them as what it found, so both speak alike. Text
that a stranger chose is returned as it is; whoever prints it passes it through
`pki.text.printable`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, SignatureAlgorithmOID

from pki.keys import PublicKey, key_name
from pki.read import MALFORMED, quiet, words

Signed = x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList
Subject = x509.Certificate | x509.CertificateSigningRequest
ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)

KEY_USAGES: Final = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
    "encipher_only": "encipherOnly",
    "decipher_only": "decipherOnly",
}
"""The library's attribute -> the bit's name in RFC 5280 section 4.2.1.3."""

PURPOSES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
    ExtendedKeyUsageOID.CODE_SIGNING: "codeSigning",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "emailProtection",
    ExtendedKeyUsageOID.TIME_STAMPING: "timeStamping",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSPSigning",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "anyExtendedKeyUsage",
}


def _constants(names: type) -> dict[x509.ObjectIdentifier, str]:
    """The library's constants turned round: `ECDSA_WITH_SHA256` -> `ecdsa-with-sha256`."""
    return {
        oid: name.lower().replace("_", "-")
        for name, oid in vars(names).items()
        if isinstance(oid, x509.ObjectIdentifier)
    }


_EXTENSIONS: Final = _constants(ExtensionOID)
_SIGNATURES: Final = _constants(SignatureAlgorithmOID)


def extension_name(oid: x509.ObjectIdentifier) -> str:
    """An extension's name, or its dotted OID."""
    return _EXTENSIONS.get(oid, oid.dotted_string)


def signature_name(signed: Signed) -> str:
    """The signature algorithm's name, or its dotted OID."""
    oid = signed.signature_algorithm_oid
    return _SIGNATURES.get(oid, oid.dotted_string)


def extensions(signed: Signed) -> tuple[x509.Extensions, str]:
    """All extensions and "", or none and why they cannot be read: one bad one spoils them all."""
    try:
        return signed.extensions, ""
    except MALFORMED as error:
        return x509.Extensions([]), words(error)


def find(found: x509.Extensions, kind: type[ExtensionT]) -> x509.Extension[ExtensionT] | None:
    """The extension of that kind, or None."""
    try:
        return found.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def value(found: x509.Extensions, kind: type[ExtensionT]) -> ExtensionT | None:
    """The content of the extension of that kind, or None."""
    extension = find(found, kind)
    return extension.value if extension else None


def alternative_names(found: x509.Extensions) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names, in order; none if there is no such extension."""
    names = value(found, x509.SubjectAlternativeName)
    return tuple(names) if names is not None else ()


def uris(found: x509.Extensions) -> tuple[str, ...]:
    """The URI names among the subject alternative names: where a SPIFFE ID stands."""
    return tuple(
        name.value
        for name in alternative_names(found)
        if isinstance(name, x509.UniformResourceIdentifier)
    )


def general_name(name: x509.GeneralName) -> tuple[str, str]:
    """A name's kind and text: `("URI", "spiffe://…")`."""
    match name:
        case x509.UniformResourceIdentifier():
            return "URI", name.value
        case x509.DNSName():
            return "DNS", name.value
        case x509.IPAddress():
            return "IP", str(name.value)
        case x509.RFC822Name():
            return "email", name.value
        case x509.DirectoryName():
            return "directory", distinguished_name(name.value)
        case x509.RegisteredID():
            return "OID", name.value.dotted_string
        case x509.OtherName():
            return f"other {name.type_id.dotted_string}", name.value.hex()
        case _:
            return "other", type(name).__name__


def distinguished_name(name: x509.Name) -> str:
    """A name by RFC 4514, in the order of the certificate's most specific attribute first."""
    return name.rfc4514_string()


def subject(signed: Subject) -> x509.Name | None:
    """The subject, or None if it cannot be read."""
    try:
        return signed.subject
    except MALFORMED:
        return None


def issuer(signed: x509.Certificate | x509.CertificateRevocationList) -> x509.Name | None:
    """The issuer, or None if it cannot be read."""
    try:
        return signed.issuer
    except MALFORMED:
        return None


def usages(usage: x509.KeyUsage) -> tuple[str, ...]:
    """The bits that are set; the last two exist only beside keyAgreement."""
    only = {"encipher_only", "decipher_only"} if not usage.key_agreement else set()
    return tuple(
        name for attribute, name in KEY_USAGES.items()
        if attribute not in only and getattr(usage, attribute)
    )  # fmt: skip


def purposes(usage: Iterable[x509.ObjectIdentifier]) -> tuple[str, ...]:
    """The purposes of an extended key usage, by name or dotted OID."""
    return tuple(PURPOSES.get(oid, oid.dotted_string) for oid in usage)


def key_words(subject: Subject) -> str:
    """The public key's type as `pki.keys` names it, or why it cannot be read."""
    try:
        key = subject.public_key()
    except (*MALFORMED, UnsupportedAlgorithm) as error:
        return f"unreadable: {words(error)}"
    if isinstance(key, rsa.RSAPublicKey) and (exponent := key.public_numbers().e) != 65537:
        return f"{key_name(key)}, exponent {exponent}"
    if isinstance(key, PublicKey):
        return key_name(key)
    return type(key).__name__.removesuffix("PublicKey").lower()


def fingerprint(signed: x509.Certificate | x509.CertificateRevocationList) -> str:
    """SHA-256 of the DER, in hex."""
    return signed.fingerprint(hashes.SHA256()).hex()


def key_fingerprint(subject: Subject) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in hex (what pins and key comparisons use), or ""."""
    try:
        return fingerprint_of(subject.public_key())
    except (*MALFORMED, UnsupportedAlgorithm):
        return ""


def fingerprint_of(key: CertificatePublicKeyTypes) -> str:
    """SHA-256 of a public key's SubjectPublicKeyInfo, in hex."""
    encoded = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(encoded)
    return digest.finalize().hex()


def serial_number(certificate: x509.Certificate) -> int:
    """The serial number, also where it is not positive, as RFC 5280 asks."""
    with quiet():
        return certificate.serial_number


def serial_text(serial: int) -> str:
    """A serial number in hex as the index writes it: whole bytes, lower case."""
    digits = f"{abs(serial):x}"
    return ("-" if serial < 0 else "") + digits.zfill(len(digits) + len(digits) % 2)


def authority_key_id(found: x509.Extensions) -> str | None:
    """The key identifier of the issuer in hex, or None."""
    identifier = value(found, x509.AuthorityKeyIdentifier)
    if identifier is None or identifier.key_identifier is None:
        return None
    return identifier.key_identifier.hex()


def proves_possession(csr: x509.CertificateSigningRequest) -> bool:
    """Whether a request is signed by the key that it carries."""
    try:
        return csr.is_signature_valid
    except (*MALFORMED, UnsupportedAlgorithm):
        return False


def revocation_reason(entry: x509.RevokedCertificate) -> str:
    """Why a certificate was revoked, by RFC 5280 section 5.3.1; `unspecified` if not said."""
    try:
        reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except (*MALFORMED, x509.ExtensionNotFound):
        return x509.ReasonFlags.unspecified.value
    return reason.value
