"""Reading certificate signing requests, which strangers write.

A CSR gives a public key and the proof that its sender holds the private half. It names nothing:
subject and extensions are never copied into a certificate. Names and rights that it asks for
beyond the order are refused rather than dropped, so nobody believes that they got them; the
subject, which tools fill with defaults, is ignored (threat class: CSR trust).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.errors import RequestError
from pki.keys import PublicKey, check_public_key
from pki.profile import Request

MAX_CSR_BYTES: Final = 16 * 1024  # an RSA-8192 request with a hundred names has half of it

_LEAF_PURPOSES: Final = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def read_csr(data: bytes, request: Request) -> PublicKey:
    """Return the public key of a PEM or DER CSR that asks for nothing beyond `request`.

    Raises `RequestError`, with its own message each, for: oversized or unreadable input, a bad
    self-signature, a weak or unknown key, a CA bit, names that were not ordered, usages beyond a
    leaf's, and any other extension.
    """
    if len(data) > MAX_CSR_BYTES:
        raise RequestError(f"the CSR has {len(data)} bytes; at most {MAX_CSR_BYTES} are read")
    csr = _parse(data)
    key = _public_key(csr)
    _check_signature(csr)
    _check_extensions(csr, request)
    return key


def _parse(data: bytes) -> x509.CertificateSigningRequest:
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_csr(data)
        return x509.load_der_x509_csr(data)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        hint = "it is a PKCS#10 request in PEM or DER: openssl req -new -key KEY -subj /"
        raise RequestError("the CSR cannot be read", hint) from error


def _public_key(csr: x509.CertificateSigningRequest) -> PublicKey:
    try:
        key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "use P-256, P-384, Ed25519 or RSA with exponent 65537"
        raise RequestError(
            "the CSR's public key is malformed or of an unknown kind", hint
        ) from error
    return check_public_key(key)


def _check_signature(csr: x509.CertificateSigningRequest) -> None:
    """Proof of possession: without it, somebody could get a name for another's key."""
    with suppress(UnsupportedAlgorithm):  # some versions raise it, others say False
        if csr.is_signature_valid:
            return
    raise RequestError("the CSR's self-signature is wrong", "sign it with the key that is in it")


def _check_extensions(csr: x509.CertificateSigningRequest, request: Request) -> None:
    try:
        extensions = list(csr.extensions)
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise RequestError("the CSR's extensions cannot be read or are repeated") from error
    for extension in extensions:
        check = _CHECKS.get(type(extension.value))
        if check is None:
            raise RequestError(
                f"the CSR asks for the extension {extension.oid.dotted_string},"
                " which is not given to leaves",
                "make it without that extension",
            )
        check(extension.value, request)


def _check_basic(value: x509.BasicConstraints, _: Request) -> None:
    if value.ca:
        raise RequestError(
            "the CSR asks for a CA certificate (CA:TRUE)",
            "`pki sign` issues leaf certificates only",
        )


def _check_names(value: x509.SubjectAlternativeName, request: Request) -> None:
    ordered = {
        x509.UniformResourceIdentifier(str(request.spiffe_id)),
        *map(x509.DNSName, request.dns),
        *map(x509.IPAddress, request.ips),
    }
    for name in value:
        if name not in ordered:
            text = str(name.value) if isinstance(name, _SHOWN) else type(name).__name__
            raise RequestError(
                f"the CSR asks for the name {text[:120]!a}, which was not ordered",
                "order it (--spiffe-id, --dns, --ip), or make the CSR without names",
            )


_SHOWN = (x509.UniformResourceIdentifier, x509.DNSName, x509.IPAddress, x509.RFC822Name)


def _check_usage(value: x509.KeyUsage, _: Request) -> None:
    """keyEncipherment and keyAgreement are what tools ask for by habit: ignored, not granted."""
    if value.key_cert_sign or value.crl_sign:
        raise RequestError("the CSR asks for the right to sign certificates or CRLs (keyUsage)")


def _check_purposes(value: x509.ExtendedKeyUsage, _: Request) -> None:
    for purpose in value:
        if purpose not in _LEAF_PURPOSES:
            raise RequestError(
                f"the CSR asks for the purpose {purpose.dotted_string} (extendedKeyUsage);"
                " leaves are for serverAuth and clientAuth"
            )


def _ignore(_value: x509.ExtensionType, _: Request) -> None:
    """A key identifier is computed from the key, whatever the CSR says."""


_CHECKS: Final[dict[type[x509.ExtensionType], Callable[[Any, Request], None]]] = {
    x509.BasicConstraints: _check_basic,
    x509.SubjectAlternativeName: _check_names,
    x509.KeyUsage: _check_usage,
    x509.ExtendedKeyUsage: _check_purposes,
    x509.SubjectKeyIdentifier: _ignore,
}
